"""Samples a second in TensorBoard."""

from __future__ import annotations

import time
from typing import Any

import lightning as L
import torch

from zoo.callbacks.tensorboard import TensorBoardCallback


class Throughput(TensorBoardCallback):
    """Log the number of training samples a second of each epoch, of all processes together.

    The scalar ``samples_per_second`` is the number of samples trained in an epoch over the seconds of training;
    validation, and what callbacks do at its end, is not counted.
    """

    def __init__(self) -> None:
        self._since, self._seconds = 0.0, 0.0
        self._validated: int | None = None

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock."""
        self._seconds, self._validated = 0.0, None
        self._since = time.perf_counter()

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop the clock."""
        if trainer.state.fn == "fit" and self.writer(trainer, pl_module) is not None:
            if pl_module.device.type == "cuda":  # what is queued is training
                torch.cuda.synchronize(pl_module.device)
            self._stop(trainer)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock again."""
        self._since = time.perf_counter()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log the samples a second."""
        writer = self.writer(trainer, pl_module)
        if writer is None:
            return
        self._stop(trainer)
        model: Any = pl_module
        samples = model.metrics["train"].rows * trainer.world_size
        if samples and self._seconds:
            writer.add_scalar("samples_per_second", samples / self._seconds, trainer.global_step)

    def _stop(self, trainer: L.Trainer) -> None:
        """Add the seconds since the clock was started, unless nothing was trained in them."""
        if trainer.global_step != self._validated:
            self._seconds += time.perf_counter() - self._since
        self._validated = trainer.global_step
