"""``ZooModule``: everything a model does in training that is not its network, its loss or its metrics."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar

import lightning as L
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torchmetrics import Metric

from zoo.arguments import inherited
from zoo.errors import check_not_negative, check_positive
from zoo.metrics import EpochMetrics
from zoo.metrics.direction import mode_of
from zoo.nn import limit_norms
from zoo.training import freezing, optim, updates
from zoo.training.batches import STANDARDISED, UNIT, as_tensor, check_batch, check_values, has_image_shape
from zoo.training.checkpoints import add_model_state, take_model_state
from zoo.training.hooks import insert_hooks

Batch = Sequence[Tensor]
Values = dict[str, Any]
RESERVED = {"metrics": dict, "run": updates.Run}
"""Attributes in which a ``ZooModule`` keeps its state, with their types."""


class ZooModule(L.LightningModule):
    """Base of every model: one ``step``, epoch-level logging, optimiser and schedule by name, penalties.

    A subclass sets ``self.net`` and implements ``step``. Training minimises the objective

        loss + l1 * sum |w| + l2 / 2 * sum w^2

    over the weights w (parameters of more than one axis; biases are not penalised). A model that learns otherwise, with
    several optimisers or without a gradient, overrides ``update`` and ``configure_optimizers``.

    With ``batches_per_step`` of a datamodule above 1 a training step takes several batches under manual optimisation:
    the same updates in the same order, at a fraction of the Trainer's overhead.

    Args:
        optimizer: ``sgd``, ``momentum``, ``adagrad``, ``rmsprop``, ``adam`` or ``adamw``.
        lr: Learning rate, the peak of its schedule.
        schedule: ``constant``, ``cosine``, ``onecycle``, ``plateau`` or ``step``.
        weight_decay: Weight decay as the optimiser defines it.
        l1: Strength of the L1 penalty.
        l2: Strength of the L2 penalty.
        max_norm: Largest Euclidean norm of a unit's incoming weights; no limit if None.
        clip_norm: Largest norm of the gradient, which is scaled down to it; no limit if None.
        accumulate: Number of batches whose gradients are averaged into one update.
        monitor: Metric by which the best checkpoint is kept and training stops early; the task's own if None.
        monitor_mode: ``max`` or ``min``, whether a higher or a lower ``monitor`` is better; needed only for a metric
            whose direction neither the task nor ``zoo.metrics.direction`` declares.
        patience: Number of epochs without a better ``monitor`` after which training stops.
        cuda_graphs: Whether updates on a CUDA device are captured and replayed as CUDA graphs, which takes
            ``batches_per_step`` > 1; see ``zoo.training.captured``.
    """

    net: nn.Module
    run = updates.Run()
    batch_parts: ClassVar[tuple[str, ...]] = ("x",)
    """Names of the tensors that a batch has at least."""
    input_shape: tuple[int, ...] = ()
    default_monitor = "val_loss"
    higher_is_better: ClassVar[dict[str, bool]] = {}
    """Direction of the metrics that a task defines, by name without the stage, as in ``torchmetrics``."""
    outside_net: ClassVar[str] = ""
    """What the methods for users do beyond ``self.net``, and an export of the network lacks; nothing by default."""
    output_formats: ClassVar[dict[str, str]] = {}
    """Endings of files that ``zoo.predict`` writes besides .csv and .json, each with the key of the answer it holds."""

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
        monitor_mode: str | None = None,
        patience: int = 10,
        cuda_graphs: bool = True,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        optim.check_names(optimizer, schedule)
        check_positive(lr=lr, max_norm=max_norm, clip_norm=clip_norm, accumulate=accumulate, patience=patience)
        check_not_negative(weight_decay=weight_decay, l1=l1, l2=l2)
        self.monitor = monitor or self.default_monitor
        self.mode = mode_of(self.monitor, monitor_mode, inherited(type(self), "higher_is_better"))
        self.run = updates.Run()
        self.metrics = {stage: EpochMetrics() for stage in ("train", "val", "test")}

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; a module, parameter or metric under the name of a method is refused.

        Raises:
            ValueError: If the value would be hidden by a method of the class, or replace what the base class keeps.
        """
        if name == "_current_fx_name":  # Lightning sets it forty times a step: past torch's search for parameters
            self.__dict__[name] = value
            return
        taken = getattr(type(self), name, None)
        hidden = isinstance(value, (nn.Module, nn.Parameter)) and hasattr(type(self), name)
        hidden = hidden or (inspect.isfunction(taken) and not callable(value))
        replaced = name in RESERVED and not isinstance(value, RESERVED[name])
        if hidden or replaced:
            what = f"is an attribute of {type(self).__name__}" if hidden else "is what ZooModule keeps of a run"
            advice = "override it, or choose" if hidden else "choose"
            raise ValueError(f"{name} {what}, which a {type(value).__name__} would not replace: {advice} another name")
        super().__setattr__(name, value)

    def step(self, batch: Batch) -> Values:
        """Compute the loss of a batch, its mean under ``"loss"``, and further metrics.

        A metric is the mean of the batch or a value for each sample (N,); the epoch's mean is taken over samples.
        Under ``"weight"`` the batch may say by what it is weighted instead, such as its number of tokens: a scalar, or
        a weight for each sample (N,). Under the name of a metric of ``configure_metrics`` stand its arguments.
        """
        raise NotImplementedError(f"{type(self).__name__} is abstract: it has no step")

    def configure_metrics(self) -> dict[str, Metric]:
        """Return metrics of a whole epoch by name, for one stage; none by default.

        ``step`` returns the arguments of their ``update`` under their names, a tuple each. What they compute is logged
        as ``<stage>_<name>`` if it is a scalar, as ``<stage>_<key>`` for the scalars of a dictionary.
        """
        return {}

    def report(self) -> str:
        """Return what ``zoo test`` prints below the metrics of a test; nothing by default."""
        return ""

    def predict_rows(self, x: Any) -> list[dict[str, Any]]:
        """Return the answer to each input of a batch, a dictionary of names and values, for ``zoo.predict``."""
        raise NotImplementedError(f"{type(self).__name__} is abstract here: it has no predict_rows")

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Use the network in evaluation mode inside the block, whatever mode the model is in."""
        modes = [(module, module.training) for module in self.modules()]
        self.eval()
        try:
            yield
        finally:
            for module, training in modes:  # frozen parts may be in another mode than the model
                module.training = training

    @property
    def input_kind(self) -> str:
        """Kind of a user's inputs, by which ``zoo.predict`` reads them; a key of ``zoo.prediction.PIPELINES``."""
        return "rows"

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of a sample of the data: that of the network's input, where a task does not say otherwise."""
        return self.input_shape

    @property
    def example_input_array(self) -> Any:
        """One sample of zeros, from which Lightning's summary and export read the shapes."""
        return torch.zeros(1, *self.input_shape, dtype=self.precision) if self.input_shape else None

    @example_input_array.setter
    def example_input_array(self, example: Any) -> None:
        raise AttributeError("example_input_array follows from input_shape")

    def to_onnx(self, file_path: Any, input_sample: Any = None, **options: Any) -> Any:  # type: ignore[override]
        """Export ``forward`` to ONNX as Lightning does, also where it takes several inputs and no sample is given."""
        if input_sample is None and isinstance(self.example_input_array, dict):
            input_sample = tuple(self.example_input_array.values())
        return super().to_onnx(file_path, input_sample, **options)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the network to a batch in natural units."""
        return self.net(x)

    @property
    def automatic_optimization(self) -> bool:
        """Whether Lightning updates the weights: not where the model does in ``update``, or a subclass set it False."""
        return self._automatic_optimization and not self.run.steps_itself

    @automatic_optimization.setter
    def automatic_optimization(self, value: bool) -> None:
        self._automatic_optimization = value

    @property
    def trainer(self) -> Any:
        """The trainer; one that is attached calls this model's ``ModelHooks`` before its callbacks."""
        if self.run.noted is not None:
            self.run.noted.add("asks for its trainer")
        return super().trainer

    @trainer.setter
    def trainer(self, trainer: Any) -> None:
        L.LightningModule.trainer.fset(self, trainer)  # type: ignore[attr-defined]
        insert_hooks(trainer, self, ZooModule)

    @property
    def takes_chunks(self) -> bool:
        """Whether a training step of the current run takes several batches."""
        return self.run.chunked

    def begin_fit(self) -> None:
        """Prepare a fit, before the optimiser is built; nothing by default."""

    def begin_epoch(self, stage: str) -> None:
        """Prepare an epoch of ``train``, ``val`` or ``test``; nothing by default."""

    def end_epoch(self, stage: str) -> None:
        """Finish an epoch of ``train``, ``val`` or ``test`` whose metrics are known; nothing by default."""

    def check_batch(self, batch: Any) -> None:
        """Raise ``ValueError`` for a batch that ``step`` cannot take; called for the first one of each epoch."""
        check_batch(batch, self.batch_parts)
        if self.input_shape or batch[0].is_floating_point() or batch[0].dtype == torch.uint8:  # else they are ids
            check_values(batch[0], STANDARDISED if has_image_shape(self.sample_shape) else None)

    def as_input(self, x: Any) -> Tensor:
        """Return a user's batch as a tensor on the model's device and, if floating-point, in its precision.

        Args:
            x: A tensor, an array, or a list of either, one for each sample.

        Raises:
            ValueError: If it is none of them, or images are not in [0, 1], or it contains NaN.
        """
        x = as_tensor(x)
        if x.is_floating_point() or x.dtype == torch.uint8:
            check_values(x, UNIT if has_image_shape(self.sample_shape) else None)
        return x.to(self.device, self.precision) if x.is_floating_point() else x.to(self.device)

    @property
    def precision(self) -> torch.dtype:
        """Floating-point dtype of the network."""
        return next((p.dtype for p in self.net.parameters() if p.is_floating_point()), torch.float32)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor | None:
        """Take one batch, or an iterable of several with one update each."""
        if self.automatic_optimization:
            values = self.step(batch)
            loss = self.objective(values["loss"])
            self._record("train", {**values, "loss": loss}, batch)
            updates.check_finite(self.trainer, [loss])
            return loss
        trainer, losses, last, own_update = self.trainer, [], self.trainer.max_steps, self.run.own_update
        if self.run.captured is not None:
            self.run.captured.refresh()
        for one in batch if self.run.chunked else [batch]:
            self.run.rows = len(one[0])
            before = trainer.global_step if last != -1 or own_update else 0
            if last != -1 and before >= last:
                break
            values = self.update(one)
            if own_update and trainer.global_step == before:
                updates.count_update(trainer)
            self._record("train", values, one)
            if "loss" in values:
                losses.append(values["loss"].detach())
        self.run.rows = None
        updates.check_finite(self.trainer, losses)
        return None

    def log(self, name: str, value: Any, *args: Any, **options: Any) -> None:
        """Log a value as Lightning does; within a step of several batches it is weighted by its own batch."""
        if self.run.noted is not None:
            self.run.noted.add("logs")
        if self.run.rows is not None and options.get("batch_size") is None:
            options["batch_size"] = self.run.rows
        super().log(name, value, *args, **options)

    def update(self, batch: Batch) -> Values:
        """Learn from one batch under manual optimisation, and return what is logged, as ``step`` does.

        By default the objective's gradient is computed, and after every ``accumulate`` batches it is clipped and the
        optimiser and its schedule take a step: what automatic optimisation does. A model with several optimisers, or
        with none, overrides it and is then always trained in this way.
        """
        optimizer, schedule, accumulation = self.optimizers(), self.lr_schedulers(), self.run.accumulation
        assert isinstance(optimizer, LightningOptimizer)
        starts, ends = accumulation.starts, accumulation.advance()
        if self.run.captured is not None:
            values = self.run.captured(batch, starts, ends)
        else:
            step = partial(updates.step_optimizer, optimizer, self.run.plain)
            values = updates.learn(self, optimizer.optimizer, batch, starts, ends, step)
        if ends and schedule is not None:
            schedule.step()  # type: ignore[union-attr]
        return values

    def objective(self, loss: Tensor) -> Tensor:
        """Add the penalties on the weights to a loss."""
        return updates.objective(loss, self.net, self.hparams["l1"], self.hparams["l2"])

    def constrain(self) -> None:
        """Keep the weights within ``max_norm`` after an update."""
        if self.hparams["max_norm"]:
            limit_norms(self.net, self.hparams["max_norm"])

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip to the trainer's limit or to ``clip_norm``."""
        limit = self.hparams["clip_norm"] if gradient_clip_val is None else gradient_clip_val
        updates.clip_gradients(self, optimizer, limit, gradient_clip_algorithm or "norm")

    def configure_optimizers(self) -> Any:
        """Build the optimiser and its schedule from their names."""
        self.run.frozen_norms = freezing.freeze_norms(self)
        optimizer = optim.build_optimizer(self.net, self.hparams, self.device)
        if self.hparams["schedule"] == "plateau":
            patience, state = self.hparams["patience"], self.run.plateau_state
            self.run.plateau = optim.build_plateau(optimizer, self.mode, patience, state)
        if self.hparams["schedule"] in ("constant", "plateau"):
            return optimizer
        steps = optim.total_steps(self.trainer, self.hparams["accumulate"] if self.run.chunked else None)
        schedule = {"scheduler": optim.build_schedule(self.hparams["schedule"], optimizer, steps), "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Collect the metrics of a validation batch."""
        self._record("val", self.step(batch), batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Collect the metrics of a test batch."""
        self._record("test", self.step(batch), batch)

    def _record(self, stage: str, values: Values, batch: Batch) -> None:
        if not self.metrics[stage].started:  # Lightning's learning-rate finder runs without the hooks of a model
            self.metrics[stage].start(self.configure_metrics(), self.device)
        self.metrics[stage].record(values, len(batch[0]))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the model's class to a checkpoint of weights alone, which ``ModelHooks`` does not see."""
        if "zoo" not in checkpoint:
            add_model_state(checkpoint, self, self.run.plateau)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Check a checkpoint before its weights are read; what a run needs is restored by ``ModelHooks``."""
        take_model_state(checkpoint, self)
