"""What a model does at the hooks of a Trainer, as a callback, so that a subclass may override any hook of its own."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, ModelPruning
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor, nn

from zoo.training import optim, updates
from zoo.training.captured import capture_updates
from zoo.training.checkpoints import add_model_state, restore_random_state, take_model_state
from zoo.training.freezing import check_backbone, restore_unfrozen, train_norms
from zoo.training.malloc import keep_freed_memory
from zoo.training.seen import rows_of, warn_of_other_rows
from zoo.training.trainer_flags import (
    accumulate_batches,
    chunk_obstacle,
    datamodule_in_use,
    overrides,
    refuse_flags,
)


class ModelHooks(Callback):
    """Callback of a ``ZooModule``: optimisation mode, metrics of an epoch, checks of batches, resuming.

    A model inserts it before the other callbacks of its trainer. Lightning calls the hooks of callbacks whatever a
    subclass of the model overrides, with or without ``super()``.

    Args:
        model: The model.
        base: Its base class, with which overridden methods are compared.
    """

    takes_chunks = True

    def __init__(self, model: Any, base: type) -> None:
        self.model, self.base, self.run = model, base, model.run
        self.validated = False
        self.resumed: dict[str, Any] = {}
        self.data: Any = None
        self.accumulated: int | None = None

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Choose between automatic and manual optimisation, and set what is trained to training mode."""
        other = pl_module is not self.model
        if other:  # the trainer has gone on to another model
            remove_hooks(trainer)
            return
        keep_freed_memory()
        self.resumed = {}  # of a checkpoint read earlier, for another purpose
        if stage != "fit":
            return
        model = self.model
        check_backbone(trainer, model)
        own_update = overrides(model, "update", self.base)
        self.data = datamodule_in_use(trainer)
        wanted = getattr(self.data, "batches_per_step", 1)
        obstacle = chunk_obstacle(trainer, model, self.base, own_update) if wanted > 1 else ""
        if obstacle:
            rank_zero_warn(f"batches_per_step={wanted} is taken as 1 in this run: {obstacle}")
        self.run = model.run = updates.Run(chunked=wanted > 1 and not obstacle, own_update=own_update)
        if own_update:
            refuse_flags(trainer)
        elif not self.run.chunked:
            self.accumulated = trainer.accumulate_grad_batches
            accumulate_batches(trainer, model.hparams["accumulate"])
        if not model.training:
            train_unfrozen(model)
        if any(isinstance(callback, ModelPruning) for callback in trainer.callbacks):  # type: ignore[attr-defined]
            for parameter in model.parameters():  # pruning takes views of weights in their usual layout alone
                parameter.data = parameter.data.contiguous()
        rows = getattr(self.data, "from_user", False)
        model.rows_seen = rows_of(self.data, getattr(model, "rows_seen", None)) if rows else None
        model.begin_fit()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Restore the random state of an interrupted run."""
        if not self.run.chunked and getattr(trainer.train_dataloader, "batches_per_step", 1) > 1:
            raise ValueError("batches_per_step > 1 needs the datamodule itself: call Trainer.fit(model, datamodule)")
        updates.refuse_single_row(trainer, self.model.net)
        self.run.plain = updates.has_plain_step(trainer, self.model)
        self.run.captured = capture_updates(self.model)
        restore_random_state(self.resumed, self.model.device)
        self.resumed = {}
        restore_unfrozen(trainer)
        self.run.frozen_norms = train_norms(trainer, self.run.frozen_norms)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Count the batches of the epoch from zero."""
        self.validated = False
        self._begin("train")
        if self.run.steps_itself:
            batches = getattr(self.data, "train_batches", 0)
            self.run.accumulation = updates.Accumulation(self.model.hparams["accumulate"], batches)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Free the graphs of updates."""
        self._release()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Free the graphs of updates."""
        self._release()

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Check the first batch of an epoch."""
        if batch_idx == 0:
            self.run.frozen_norms = train_norms(trainer, self.run.frozen_norms)
            self.model.check_batch(next(iter(batch)) if self.run.chunked else batch)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the weights within their limits, and count updates where a training step takes several."""
        if not self.run.steps_itself:
            self.model.constrain()
        elif self.run.chunked:
            # Loggers and callbacks read this count, which Lightning raises by one after each training step.
            trainer.fit_loop.epoch_loop._batches_that_stepped = trainer.global_step - 1

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log the training metrics and the learning rate, and lower it on a plateau."""
        model = self.model
        values = self._end("train")
        updates.check_finite(trainer, [values["train_loss"].cpu()] if "train_loss" in values else [])
        rates = optim.learning_rates(trainer)
        self._log({"lr" if len(rates) == 1 else f"lr_{k}": torch.tensor(rate) for k, rate in enumerate(rates)})
        is_new = self.validated or model.monitor.startswith("train_")
        if self.run.plateau is not None and is_new and model.monitor in trainer.callback_metrics:
            self.run.plateau.step(float(trainer.callback_metrics[model.monitor]))

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Reset the validation metrics."""
        self._begin("val")

    def on_validation_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Check the first batch."""
        if batch_idx == 0:
            self.model.check_batch(batch)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log the validation metrics."""
        self.validated = True
        self._end("val")

    def on_test_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Reset the test metrics."""
        self._begin("test")

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Say if the test rows are not those of the fit."""
        data, seen = trainer.test_loop._data_source.instance, getattr(self.model, "rows_seen", None)
        if seen and hasattr(data, "row_keys"):
            warn_of_other_rows(seen, data, "test")

    on_test_batch_start = on_validation_batch_start

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log the test metrics."""
        self._end("test")

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add what an exact resume needs beyond Lightning's own: the random state and the plateau's memory."""
        add_model_state(checkpoint, self.model, self.run.plateau)

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Restrict the states of the callbacks, which read them next, and keep what resuming needs."""
        before, now = checkpoint.get("zoo", {}).get("rows"), getattr(self.model, "rows_seen", None)
        self.resumed = take_model_state(checkpoint, self.model)
        self.run.plateau_state = self.resumed.get("plateau")
        if trainer.state.fn == "fit":
            if before and now:
                warn_of_other_rows(before, self.data, "val")
                warn_of_other_rows(before, self.data, "test")
            self.model.rows_seen = rows_of(self.data, before) if now else None

    def _release(self) -> None:
        if self.run.captured is not None:
            self.run.captured.release()
            self.run.captured = None

    def _begin(self, stage: str) -> None:
        self.model.metrics[stage].start(self.model.configure_metrics(), self.model.device)
        self.model.begin_epoch(stage)

    def _end(self, stage: str) -> dict[str, Tensor]:
        """Log the metrics of an epoch and return them by name."""
        values = {f"{stage}_{name}": value for name, value in self.model.metrics[stage].compute().items()}
        self._log(values)
        self.model.end_epoch(stage)
        return values

    def _log(self, values: dict[str, Tensor]) -> None:
        """Log values of an epoch; in a fit the axis of the loggers is the number of updates."""
        trainer, shown = self.model.trainer, ("train_loss", self.model.monitor)
        fits = trainer.state.fn == "fit"
        for name, value in values.items():
            self.model.log(name, value, prog_bar=name in shown, logger=False if fits else None)
        if fits and values and not trainer.sanity_checking:
            numbers = {name: float(value) for name, value in values.items()}
            for logger in trainer.loggers:
                logger.log_metrics(numbers, step=trainer.global_step)
                logger.save()


def train_unfrozen(module: nn.Module) -> None:
    """Set a module in evaluation mode to training mode, except the parts whose parameters are all frozen."""
    parameters = list(module.parameters())
    if parameters and not any(parameter.requires_grad for parameter in parameters):
        return
    module.training = True
    for child in module.children():
        train_unfrozen(child)


def insert_hooks(trainer: Any, model: Any, base: type) -> None:
    """Put the hooks of a model before the other callbacks of a trainer, in place of those of another model."""
    if isinstance(trainer, L.Trainer) and trainer.lightning_module is model:
        remove_hooks(trainer)
        trainer.callbacks = [ModelHooks(model, base), *trainer.callbacks]  # type: ignore[attr-defined]


def remove_hooks(trainer: Any) -> None:
    """Take the hooks of a model out of a trainer, whose own accumulation of gradients is set back."""
    for callback in trainer.callbacks:
        if isinstance(callback, ModelHooks) and callback.accumulated is not None:
            trainer.accumulate_grad_batches = callback.accumulated
    trainer.callbacks = [callback for callback in trainer.callbacks if not isinstance(callback, ModelHooks)]
