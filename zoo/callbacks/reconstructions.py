"""Pictures of an autoencoder for TensorBoard."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from zoo.grids import picture_grid, sheet
from zoo.tasks import Autoencoder


class Reconstructions(Callback):
    """Log validation pictures beside their reconstructions, and at the end their codes.

    After each validation the picture ``reconstructions`` shows a column a sample: the original, what the network saw
    if that was corrupted, and the reconstruction. At the end of training the picture ``psnr`` gives their figures, and
    codes that are vectors go to TensorBoard's projector, with the pictures as thumbnails and the labels as colours.

    Args:
        columns: Number of samples shown.
        points: Number of codes in the projector.
    """

    def __init__(self, columns: int = 12, points: int = 1000) -> None:
        self.columns, self.points = columns, points
        self._batches: list[tuple[Tensor, ...]] = []

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the first batches, which are the same each time."""
        if batch_idx == 0:
            self._batches = []
        if sum(len(kept[0]) for kept in self._batches) < self.points:
            self._batches.append(tuple(batch))

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log the pictures."""
        writer = self._writer(trainer)
        if writer is None or not isinstance(pl_module, Autoencoder) or trainer.sanity_checking:
            return
        rows = self._rows(pl_module)
        x = rows["original"]
        pictures = torch.cat([row.expand_as(x) for row in rows.values()])
        writer.add_image("reconstructions", sheet(pictures, len(x)), trainer.global_step)

    def _rows(self, pl_module: Autoencoder) -> dict[str, Tensor]:
        """Return the first pictures: as they are, as the network saw them if otherwise, and reconstructed."""
        x = self._batches[0][0][: self.columns].float()
        seen = pl_module.corrupt(x, torch.Generator(x.device).manual_seed(0))
        with torch.no_grad(), pl_module.evaluating():
            restored = pl_module.restored(pl_module.scores(seen), seen).float().clamp(0, 1)
        shown = seen[:, : x.shape[1]]  # what follows the picture's own channels is a mask
        return {"original": x, **({} if torch.equal(shown, x) else {"corrupted": shown}), "reconstructed": restored}

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log the pictures with their PSNR, and hand the codes to the projector."""
        writer = self._writer(trainer)
        if writer is None or not isinstance(pl_module, Autoencoder):
            return
        figure = picture_grid(self._rows(pl_module), title="validation pictures, PSNR beside the original")
        writer.add_figure("psnr", figure, trainer.global_step)
        if pl_module.any_size or pl_module.sample_shape != pl_module.input_shape:
            return  # the projector takes vectors, not maps
        x, *labels = (torch.cat(parts)[: self.points] for parts in zip(*self._batches, strict=True))
        metadata = [str(int(label)) for label in labels[0]] if labels and labels[0].ndim == 1 else None
        writer.add_embedding(
            pl_module.encode(x.float()), metadata=metadata, label_img=x.float(), global_step=trainer.global_step
        )

    def _writer(self, trainer: L.Trainer) -> Any:
        """Return TensorBoard's writer if there is one here, and pictures for it."""
        logger = trainer.logger
        if not isinstance(logger, TensorBoardLogger) or not trainer.is_global_zero or not self._batches:
            return None
        x = self._batches[0][0]
        return logger.experiment if x.ndim == 4 and x.shape[1] in (1, 3) else None
