"""Reconstructions of an autoencoder in TensorBoard."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from torch import Tensor

from zoo.callbacks.tensorboard import TensorBoardCallback
from zoo.figures.images import comparison_figure, has_images, image_grid
from zoo.tasks import Autoencoder


class Reconstructions(TensorBoardCallback):
    """Log validation images beside their reconstructions, and at the end of training their codes.

    After each validation the image ``reconstructions`` shows a column a sample: the original, the corrupted input if it
    differs, and the reconstruction. At the end of training the figure ``psnr`` adds the PSNR of each, and codes that
    are vectors go to TensorBoard's projector, with the images as thumbnails and the labels as colours.

    Args:
        columns: Number of samples shown.
        points: Number of codes in the projector.
    """

    def __init__(self, columns: int = 12, points: int = 1000) -> None:
        self.columns, self.points = columns, points
        self._batches: list[tuple[Tensor, ...]] = []

    @classmethod
    def suits(cls, model: L.LightningModule) -> bool:
        """Return whether the model is an autoencoder of images."""
        return isinstance(model, Autoencoder) and has_images(model)

    def collect(self, model: Any, batch: Any, batch_idx: int) -> None:
        """Keep the first batches, which are the same each time."""
        if batch_idx == 0:
            self._batches = []
        if sum(len(kept[0]) for kept in self._batches) < self.points:
            self._batches.append(tuple(batch))

    def draw(self, model: Any, writer: Any, step: int) -> None:
        """Log originals, corrupted inputs and reconstructions."""
        rows = self._rows(model)
        x = rows["original"]
        images = torch.cat([row.expand_as(x) for row in rows.values()])
        writer.add_image("reconstructions", image_grid(images, len(x)), step)

    def _rows(self, model: Autoencoder) -> dict[str, Tensor]:
        """Return the first images: as they are, corrupted if that differs, and reconstructed."""
        x = self._batches[0][0][: self.columns].float()
        seen = model.corrupt(x, torch.Generator(x.device).manual_seed(0))
        with torch.no_grad(), model.evaluating():
            restored = model.restored(model.scores(seen), seen).float().clamp(0, 1)
        shown = seen[:, : x.shape[1]]  # what follows the image's own channels is a mask
        return {"original": x, **({} if torch.equal(shown, x) else {"corrupted": shown}), "reconstructed": restored}

    def finish(self, model: Any, writer: Any, step: int) -> None:
        """Log the images with their PSNR, and hand the codes to the projector."""
        if not self._batches:
            return
        figure = comparison_figure(self._rows(model), title="validation pictures, PSNR beside the original")
        writer.add_figure("psnr", figure, step)
        if model.any_size or model.sample_shape != model.input_shape:
            return  # the projector takes vectors, not maps
        x, *labels = (torch.cat(parts)[: self.points] for parts in zip(*self._batches, strict=True))
        metadata = [str(int(label)) for label in labels[0]] if labels and labels[0].ndim == 1 else None
        writer.add_embedding(model.encode(x.float()), metadata=metadata, label_img=x.float(), global_step=step)
