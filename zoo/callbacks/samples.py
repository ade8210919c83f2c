"""New pictures of a model that can draw them, for TensorBoard."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from zoo.grids import sheet, walk


class Samples(Callback):
    """Log pictures that the model draws, from the same codes each time, and walks through its code space.

    After each validation the picture ``samples`` shows new pictures, and ``walk`` a row for each of some pairs of
    validation pictures: what lies between their codes.

    Args:
        side: Number of samples in a row, of rows, and of steps and rows of the walks.
    """

    def __init__(self, side: int = 10) -> None:
        self.side = side
        self._pictures: Tensor | None = None

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the first pictures, which are the same each time."""
        if batch_idx == 0:
            self._pictures = batch[0][: 2 * self.side].float()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log the pictures."""
        logger = trainer.logger
        if not isinstance(logger, TensorBoardLogger) or not trainer.is_global_zero or trainer.sanity_checking:
            return
        drawn = pl_module.sample(self.side**2, seed=0)  # type: ignore[operator]
        logger.experiment.add_image("samples", sheet(drawn, self.side), trainer.global_step)
        codes = pl_module.encode(self._pictures)  # type: ignore[operator]
        ways = torch.cat([walk(start, end, self.side) for start, end in zip(codes[::2], codes[1::2])])
        logger.experiment.add_image("walk", sheet(pl_module.decode(ways), self.side), trainer.global_step)  # type: ignore[operator]
