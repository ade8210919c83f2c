"""Samples of a generative model in TensorBoard."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from torch import Tensor

from zoo.callbacks.tensorboard import TensorBoardCallback
from zoo.figures.images import has_images, image_grid


class Samples(TensorBoardCallback):
    """Log images that the model generates, from the same codes each time, and interpolations in its latent space.

    After each validation the image ``samples`` shows generated images, and ``walk`` a row for each of some pairs of
    validation images: the reconstructions of the codes on the straight line between theirs.

    Args:
        side: Number of samples in a row, of rows, and of steps and rows of the interpolations.
    """

    def __init__(self, side: int = 10) -> None:
        self.side = side
        self._images: Tensor | None = None

    @classmethod
    def suits(cls, model: L.LightningModule) -> bool:
        """Return whether the model has ``sample``, ``encode`` and ``decode`` for images."""
        return has_images(model) and all(hasattr(model, name) for name in ("sample", "encode", "decode"))

    def collect(self, model: Any, batch: Any, batch_idx: int) -> None:
        """Keep the first images, which are the same each time."""
        if batch_idx == 0:
            self._images = batch[0][: 2 * self.side].float()

    def draw(self, model: Any, writer: Any, step: int) -> None:
        """Log samples and interpolations."""
        writer.add_image("samples", image_grid(model.sample(self.side**2, seed=0), self.side), step)
        codes = model.encode(self._images)
        lines = torch.cat([walk(start, end, self.side) for start, end in zip(codes[::2], codes[1::2])])
        writer.add_image("walk", image_grid(model.decode(lines), self.side), step)


def walk(start: Tensor, end: Tensor, steps: int) -> Tensor:
    """Return ``steps`` codes (steps, k) on the straight line from one code (k,) to another, both included."""
    return torch.lerp(start, end, torch.linspace(0, 1, steps, device=start.device)[:, None])
