"""Base of the callbacks that log to TensorBoard."""

from __future__ import annotations

import time
from typing import Any, ClassVar

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.seed import isolate_rng

from zoo.base import ZooModule
from zoo.callbacks.pace import SHARE, Pace


class TensorBoardCallback(Callback):
    """Callback that collects validation batches and draws something from them after validations.

    A subclass says which models it ``suits``, and implements some of ``begin``, ``collect``, ``draw`` and ``finish``.
    It does nothing for other models, without a ``TensorBoardLogger``, in processes of a rank above 0 and in Lightning's
    sanity check. Random numbers that it draws do not change the training.

    Drawing is rare enough to cost little, see ``Pace``. What the last validation of a fit collected is always drawn.
    """

    often: ClassVar[bool] = False
    """Whether to draw often in short epochs, whatever it costs: for models that are trained to be watched."""
    _pace: Pace | None = None
    _undrawn: int | None = None
    """Step of the last validation if it was not drawn."""

    @classmethod
    def suits(cls, model: L.LightningModule) -> bool:
        """Return whether the callback has something to log for a model; ``default_callbacks`` adds it then."""
        return isinstance(model, ZooModule)

    def begin(self, model: Any, writer: Any, step: int) -> None:
        """Log what is known when a fit starts; arguments as for ``draw``."""

    def collect(self, model: Any, batch: Any, batch_idx: int) -> None:
        """Keep what is needed of a validation batch; the batch 0 starts a new validation."""

    def draw(self, model: Any, writer: Any, step: int) -> None:
        """Log what was collected.

        Args:
            model: The model, one that the callback suits.
            writer: TensorBoard's ``SummaryWriter``.
            step: Number of updates so far.
        """

    def finish(self, model: Any, writer: Any, step: int) -> None:
        """Log what is known when training has ended; arguments as for ``draw``."""

    def writer(self, trainer: L.Trainer, model: L.LightningModule) -> Any:
        """Return the writer of the trainer's first ``TensorBoardLogger`` if there is something to log, else None."""
        logger = tensorboard_logger(trainer)
        if logger is None or trainer.sanity_checking or not trainer.is_global_zero or not self.suits(model):
            return None
        return logger.experiment

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock, and log what is known before training."""
        writer = self.writer(trainer, pl_module)
        if writer is None:
            return
        drawing = [callback for callback in trainer.callbacks if _draws(callback)]  # type: ignore[attr-defined]
        self._pace, self._undrawn = Pace(SHARE / max(1, len(drawing)), time.perf_counter(), self.often), None
        with isolate_rng():
            self.begin(pl_module, writer, trainer.global_step)

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Collect a batch of the first validation loader."""
        if dataloader_idx == 0 and self.writer(trainer, pl_module) is not None:
            self.collect(pl_module, batch, batch_idx)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draw what was collected, if it is time to."""
        writer = self.writer(trainer, pl_module)
        if writer is None or not _draws(self):
            return
        step = self._undrawn = trainer.global_step
        fits = trainer.state.fn == "fit" and self._pace is not None
        if not fits or self._pace.due(time.perf_counter()):  # type: ignore[union-attr]
            self._draw(pl_module, writer, step)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draw what the last validation collected, if that was not drawn, and log what is known after training."""
        writer = self.writer(trainer, pl_module)
        if writer is None:
            return
        if self._undrawn is not None:
            assert isinstance(pl_module, ZooModule)
            with torch.inference_mode(), pl_module.evaluating():  # as after a validation
                self._draw(pl_module, writer, self._undrawn)
        with isolate_rng():
            self.finish(pl_module, writer, trainer.global_step)

    def _draw(self, model: Any, writer: Any, step: int) -> None:
        start, self._undrawn = time.perf_counter(), None
        with isolate_rng():
            self.draw(model, writer, step)
        if self._pace is not None:
            self._pace.record(start, time.perf_counter())


def tensorboard_logger(trainer: L.Trainer) -> TensorBoardLogger | None:
    """Return the first ``TensorBoardLogger`` of a trainer, None if it has none."""
    return next((logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)), None)


def _draws(callback: Any) -> bool:
    """Return whether a callback draws after validations."""
    return isinstance(callback, TensorBoardCallback) and type(callback).draw is not TensorBoardCallback.draw
