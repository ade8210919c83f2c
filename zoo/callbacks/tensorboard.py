"""Base of the callbacks that log figures to TensorBoard."""

from __future__ import annotations

from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger

from zoo.base import ZooModule


class TensorBoardCallback(Callback):
    """Callback that collects validation batches and draws something from them after each validation.

    A subclass says which models it ``suits``, and implements ``collect`` and ``draw``. It does nothing for other
    models, without a ``TensorBoardLogger``, in processes of a rank above 0 and in Lightning's sanity check.
    """

    @classmethod
    def suits(cls, model: L.LightningModule) -> bool:
        """Return whether the callback has something to log for a model; ``default_callbacks`` adds it then."""
        return isinstance(model, ZooModule)

    def collect(self, model: Any, batch: Any, batch_idx: int) -> None:
        """Keep what is needed of a validation batch; the batch 0 starts a new validation."""

    def draw(self, model: Any, writer: Any, step: int) -> None:
        """Log what was collected.

        Args:
            model: The model, one that the callback suits.
            writer: TensorBoard's ``SummaryWriter``.
            step: Number of updates so far.
        """

    def writer(self, trainer: L.Trainer, model: L.LightningModule) -> Any:
        """Return the writer of the trainer's first ``TensorBoardLogger`` if there is something to log, else None."""
        if trainer.sanity_checking or not trainer.is_global_zero or not self.suits(model):
            return None
        found = (logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger))
        return next((logger.experiment for logger in found), None)

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
        """Draw what was collected."""
        writer = self.writer(trainer, pl_module)
        if writer is not None:
            self.draw(pl_module, writer, trainer.global_step)
