"""``ZooModule``: everything a model does in training that is not its network, its loss or its metrics."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from typing import Any, ClassVar

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from zoo.claims import mode_of
from zoo.errors import unknown
from zoo.flags import refuse_flags
from zoo.memory import keep_freed_memory
from zoo.metrics import EpochMeans
from zoo.nn import l1_norm, limit_norms, squared_l2_norm
from zoo.optim import OPTIMIZERS, SCHEDULES, build_optimizer, build_plateau, build_schedule

Batch = Sequence[Tensor]


class ZooModule(L.LightningModule):
    """Base of every model: one ``step``, epoch-level logging, optimiser and schedule by name, penalties.

    A subclass sets ``self.net`` and implements ``step``. Training minimises the objective

        loss + l1 * sum |w| + l2 / 2 * sum w^2

    over the weights w (parameters of more than one axis; biases go free).

    A datamodule with ``batches_per_step`` above 1 hands over several batches at a time. They are stepped through
    under manual optimisation: the same updates in the same order, at a sixteenth (say) of the Trainer's cost a step.

    Args:
        optimizer: ``sgd``, ``momentum``, ``adagrad``, ``adam`` or ``adamw``.
        lr: Learning rate, the peak of its schedule.
        schedule: ``constant``, ``cosine``, ``onecycle``, ``plateau`` or ``step``.
        weight_decay: Weight decay as the optimiser defines it.
        l1: Strength of the L1 penalty.
        l2: Strength of the L2 penalty.
        max_norm: Largest Euclidean norm of a unit's incoming weights; no limit if None.
        clip_norm: Largest norm of the gradient; it is scaled down to this; no limit if None.
        accumulate: Number of batches whose gradients are averaged into one update.
        monitor: Metric by which the best checkpoint is kept and training stopped early; the task's own if None.
        patience: Number of epochs without a better ``monitor`` after which training stops.
    """

    net: nn.Module
    input_shape: tuple[int, ...] = ()
    default_monitor = "val_loss"
    output_formats: ClassVar[dict[str, str]] = {}
    """Endings of files that ``zoo predict`` writes besides .csv and .json, each with the part of an answer it takes."""

    def __init__(
        self,
        *,
        optimizer: str = "adam",
        lr: float = 1e-3,
        schedule: str = "constant",
        weight_decay: float = 0.0,
        l1: float = 0.0,
        l2: float = 0.0,
        max_norm: float | None = None,
        clip_norm: float | None = None,
        accumulate: int = 1,
        monitor: str | None = None,
        patience: int = 10,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        if schedule not in SCHEDULES:
            raise unknown("schedule", schedule, SCHEDULES)
        if optimizer not in OPTIMIZERS:
            raise unknown("optimizer", optimizer, OPTIMIZERS)
        positive = {"lr": lr, "accumulate": accumulate, "patience": patience}
        limits = {"max_norm": max_norm, "clip_norm": clip_norm}
        positive.update({name: limit for name, limit in limits.items() if limit is not None})
        for name, value in {"l1": l1, "l2": l2, "weight_decay": weight_decay, **positive}.items():
            if not 0 <= value < math.inf or (value == 0 and name in positive):
                raise ValueError(f"{name} must be {'positive' if name in positive else 'at least 0'}, not {value}")
        self.monitor = monitor or self.default_monitor
        self.mode = mode_of(self.monitor)
        self._means = {stage: EpochMeans() for stage in ("train", "val", "test")}
        self._plateau: ReduceLROnPlateau | None = None
        self._batches_seen, self._batches_per_epoch = 0, 0
        self._resumed: dict[str, Any] = {}

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute."""
        if name == "_current_fx_name":  # Lightning sets it forty times a step: past torch's search for parameters
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    # ---- what a task implements ----

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Compute the batch mean of the loss, under ``"loss"``, and further metrics as batch means or by sample."""
        raise NotImplementedError(f"{type(self).__name__} is abstract: it has no step")

    def answer(self, x: Tensor) -> list[dict[str, Any]]:
        """Answer a batch for the command line: one dictionary of names and values a sample."""
        raise NotImplementedError(f"{type(self).__name__} is abstract here: it has no answer")

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Use the network in evaluation mode inside the block, whatever mode the model is in."""
        was_training = self.training
        self.eval()
        try:
            yield
        finally:
            self.train(was_training)

    @property
    def example_input_array(self) -> Any:
        """One sample of zeros, from which Lightning's summary and export read the shapes."""
        return torch.zeros(1, *self.input_shape) if self.input_shape else None

    @example_input_array.setter
    def example_input_array(self, example: Any) -> None:
        raise AttributeError("example_input_array follows from input_shape")

    def forward(self, x: Tensor) -> Tensor:
        """Apply the network to a batch in natural units."""
        return self.net(x)

    # ---- training ----

    def setup(self, stage: str) -> None:
        """Choose the way of stepping from the trainer's datamodule."""
        keep_freed_memory()
        self._resumed = {}  # of a checkpoint read earlier, for another purpose
        if stage != "fit":
            return
        datamodule = getattr(self.trainer, "datamodule", None)
        chunked = getattr(datamodule, "batches_per_step", 1) > 1
        self.automatic_optimization = not chunked
        if chunked:
            refuse_flags(self.trainer)
        elif self.hparams["accumulate"] > 1:
            if self.trainer.accumulate_grad_batches not in (1, self.hparams["accumulate"]):
                raise ValueError(
                    f"accumulate_grad_batches={self.trainer.accumulate_grad_batches} of the trainer contradicts "
                    f"accumulate={self.hparams['accumulate']} of the model: set one of them"
                )
            self.trainer.accumulate_grad_batches = self.hparams["accumulate"]

    def training_step(self, batch: Any, batch_idx: int) -> Tensor | None:
        """Take one batch, or an iterable of several with one update each."""
        if not self.automatic_optimization:
            self._train_on(batch)
            return None
        values = self.step(batch)
        loss = self._penalised(values["loss"])
        self._record("train", {**values, "loss": loss}, batch)
        self._refuse_nan([loss])
        return loss

    def _train_on(self, batches: Iterable[Batch]) -> None:
        """Step through several batches as automatic optimisation would through each."""
        optimizer, schedule = self.optimizers(), self.lr_schedulers()
        assert isinstance(optimizer, LightningOptimizer)
        every, clip_norm, losses = self.hparams["accumulate"], self.hparams["clip_norm"], []
        limited, seen = self.trainer.max_steps != -1, self._batches_seen  # to set a module's attribute costs time
        for batch in batches:
            if limited and self.trainer.global_step >= self.trainer.max_steps:
                break
            if seen % every == 0:
                optimizer.optimizer.zero_grad()
            # Autocast keeps its low-precision copies of the weights until a training step ends: stale after an update.
            torch.clear_autocast_cache()
            values = self.step(batch)
            loss = self._penalised(values["loss"])
            scaled = loss / every if every > 1 else loss
            if self._is_plain:
                scaled.backward()
            else:
                self.manual_backward(scaled)
            seen += 1
            if seen % every == 0 or seen == self._batches_per_epoch:
                if clip_norm:
                    self._clip(optimizer.optimizer, clip_norm, "norm")
                self._update(optimizer)
                if schedule is not None:
                    schedule.step()  # type: ignore[union-attr]
            self._record("train", {**values, "loss": loss}, batch)
            losses.append(loss.detach())
        self._batches_seen = seen
        self._refuse_nan(losses)

    def _update(self, optimizer: LightningOptimizer) -> None:
        """Update the weights once; without Lightning's way around the optimiser where nothing happens on that way."""
        if self._is_plain:
            optimizer._on_before_step()
            optimizer.optimizer.step()
            optimizer._on_after_step()
        else:
            optimizer.step()
        self._constrain()

    def _has_plain_step(self) -> bool:
        """Whether backward and update are torch's own: one process, no loss scaling, no callback that looks on."""
        trainer, looks_on = self.trainer, ("on_before_backward", "on_after_backward", "on_before_optimizer_step")
        return (
            isinstance(trainer.strategy, SingleDeviceStrategy)
            and getattr(trainer.precision_plugin, "scaler", None) is None
            and not any(is_overridden(hook, callback, Callback) for callback in trainer.callbacks for hook in looks_on)  # type: ignore[attr-defined]
            and not any(is_overridden(hook, self, L.LightningModule) for hook in looks_on)
        )

    def _penalised(self, loss: Tensor) -> Tensor:
        if self.hparams["l1"]:
            loss = loss + self.hparams["l1"] * l1_norm(self.net)
        if self.hparams["l2"]:
            loss = loss + self.hparams["l2"] / 2 * squared_l2_norm(self.net)
        return loss

    def _constrain(self) -> None:
        if self.hparams["max_norm"]:
            limit_norms(self.net, self.hparams["max_norm"])

    def _refuse_nan(self, losses: list[Tensor]) -> None:
        """Stop on a loss that is no number; on an accelerator only at the end of an epoch, to save a round trip."""
        if self.device.type != "cpu" or all(math.isfinite(loss.detach()) for loss in losses):
            return
        self._stop_on_nan()

    def _stop_on_nan(self) -> None:
        raise FloatingPointError(
            f"train_loss is no longer finite in epoch {self.current_epoch}, near update {self.trainer.global_step}: "
            f"lower lr (now {self.optimizers().param_groups[0]['lr']:g}) or set clip_norm"  # type: ignore[union-attr]
        )

    def on_train_start(self) -> None:
        """Put back the random state of an interrupted run; refuse chunks that nobody would divide."""
        if self.automatic_optimization and getattr(self.trainer.train_dataloader, "batches_per_step", 1) > 1:
            raise ValueError("batches_per_step > 1 needs the datamodule itself: call Trainer.fit(model, datamodule)")
        self._refuse_single_row()
        self._is_plain = self._has_plain_step()
        if "cpu" in self._resumed:
            torch.set_rng_state(self._resumed["cpu"].cpu())
        if "cuda" in self._resumed and self.device.type == "cuda":
            torch.cuda.set_rng_state(self._resumed["cuda"].cpu(), self.device)
        self._resumed = {}

    def _refuse_single_row(self) -> None:
        """Raise if the last batch of an epoch has one row, over which nothing can be normalised."""
        loader: Any = self.trainer.train_dataloader
        size, rows = getattr(loader, "batch_size", None), getattr(loader, "sampler", None)
        if not size or not isinstance(rows, Sized) or getattr(loader, "drop_last", False) or len(rows) % size != 1:
            return
        if any(isinstance(layer, torch.nn.BatchNorm1d) for layer in self.net.modules()):
            raise ValueError(
                f"batch_size={size} leaves a last batch of one of {len(rows)} rows, over which batch normalisation "
                f"cannot normalise: use batch_size={size + 1}"
            )

    def on_train_epoch_start(self) -> None:
        """Count the batches of the epoch anew."""
        self._start("train")
        self._batches_seen, self._validated = 0, False
        self._batches_per_epoch = getattr(getattr(self.trainer, "datamodule", None), "train_batches", 0)

    def on_train_epoch_end(self) -> None:
        """Log the training means and the learning rate, and lower it on a plateau."""
        means = self._log_means("train")
        if not math.isfinite(means.get("train_loss", 0.0)):
            self._stop_on_nan()
        self.log("lr", self.optimizers().param_groups[0]["lr"])  # type: ignore[union-attr]
        is_new = self._validated or self.monitor.startswith("train_")
        if self._plateau is not None and is_new and self.monitor in self.trainer.callback_metrics:
            self._plateau.step(float(self.trainer.callback_metrics[self.monitor]))

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip to the trainer's limit or to ``clip_norm``."""
        limit = self.hparams["clip_norm"] if gradient_clip_val is None else gradient_clip_val
        self._clip(optimizer, limit, gradient_clip_algorithm or "norm")

    def _clip(self, optimizer: Any, limit: float | None, algorithm: str) -> None:
        """Clip the gradient; Lightning refuses fused optimisers in bf16 too, where there is no loss scale to undo."""
        trainer = self.trainer
        whole = isinstance(trainer.strategy, (SingleDeviceStrategy, DDPStrategy))
        if limit and algorithm == "norm" and whole and getattr(trainer.precision_plugin, "scaler", None) is None:
            torch.nn.utils.clip_grad_norm_(self.parameters(), limit)
        else:
            self.clip_gradients(optimizer, limit, algorithm)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Update the weights and keep them within ``max_norm``."""
        super().optimizer_step(*args, **kwargs)
        self._constrain()

    def configure_optimizers(self) -> Any:
        """Build the optimiser and its schedule from their names."""
        hparams = self.hparams
        optimizer = build_optimizer(hparams["optimizer"], self.net, hparams["lr"], hparams["weight_decay"])
        if self.device.type == "cpu" and hasattr(optimizer, "_accelerator_graph_capture_health_check"):
            # A check for CUDA before every update; with a variable that Lightning sets it loads a library each time.
            optimizer._accelerator_graph_capture_health_check = lambda: None  # type: ignore[method-assign]
        if hparams["schedule"] == "plateau":
            self._plateau = build_plateau(optimizer, self.mode, hparams["patience"])
            if "plateau" in self._resumed:
                self._plateau.load_state_dict(self._resumed["plateau"])
            return optimizer
        needs_length = hparams["schedule"] != "constant"
        schedule = build_schedule(hparams["schedule"], optimizer, self._total_steps() if needs_length else 0)
        if schedule is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _total_steps(self) -> float:
        """Count the updates of the whole run."""
        trainer = self.trainer
        if self.automatic_optimization:
            return trainer.estimated_stepping_batches
        updates = math.ceil(trainer.datamodule.train_batches / self.hparams["accumulate"])  # type: ignore[attr-defined]
        by_epochs = updates * trainer.max_epochs if trainer.max_epochs not in (None, -1) else math.inf
        return by_epochs if trainer.max_steps == -1 else min(by_epochs, trainer.max_steps)

    # ---- evaluation and logging ----

    def on_validation_epoch_start(self) -> None:
        """Start the validation afresh."""
        self._start("val")

    def on_test_epoch_start(self) -> None:
        """Start the test afresh."""
        self._start("test")

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Collect the metrics of a validation batch."""
        self._record("val", self.step(batch), batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Collect the metrics of a test batch."""
        self._record("test", self.step(batch), batch)

    def on_validation_epoch_end(self) -> None:
        """Log the validation means."""
        self._validated = True
        self._log_means("val")

    def on_test_epoch_end(self) -> None:
        """Log the test means."""
        self._log_means("test")

    def _start(self, stage: str) -> None:
        """Forget what an epoch of training, validation or test that was broken off has left."""
        self._means[stage].reset()

    def _record(self, stage: str, values: dict[str, Tensor], batch: Batch) -> None:
        self._means[stage].add({name: value.detach() for name, value in values.items()}, len(batch[0]))

    def _log_means(self, stage: str) -> dict[str, Tensor]:
        means = {f"{stage}_{name}": value for name, value in self._means[stage].compute().items()}
        for name, value in means.items():
            self.log(name, value, prog_bar=name in ("train_loss", self.monitor))
        if self.trainer.state.fn == "fit":
            self.log("step", float(self.trainer.global_step))  # loggers then count updates, not chunks of several
        return means

    # ---- checkpoints ----

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what an exact resume needs beyond Lightning's own: the random state and the plateau's memory."""
        resume: dict[str, Any] = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            resume["cuda"] = torch.cuda.get_rng_state(self.device)
        if self._plateau is not None:
            resume["plateau"] = self._plateau.state_dict()
        checkpoint["zoo"] = {"class": type(self).__name__, "resume": resume}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Check that the checkpoint is this class's and keep what resuming needs."""
        saved = checkpoint.get("zoo", {})
        if saved.get("class", type(self).__name__) != type(self).__name__:
            raise ValueError(f"the checkpoint is of a {saved['class']}, not of a {type(self).__name__}")
        self._resumed = saved.get("resume", {})
