"""Decision boundaries of models of points in the plane, in TensorBoard."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from torch import Tensor

from zoo.callbacks.tensorboard import TensorBoardCallback
from zoo.figures.plane import plane_figure
from zoo.tasks import Classifier

GROWTH = 1.4
"""Factor between the epochs after which the boundary is drawn: often at first, when it moves most."""
MOST_FEATURES = 7


class Boundaries(TensorBoardCallback):
    """Log what a model answers over the plane, and the response of each hidden unit, as the figure ``boundary``.

    It is for two features, or for features that the trainer's datamodule computes from points of the plane: one with
    ``features_of(points)`` and ``training_points()``, as ``playground`` has. It draws after validations whose epochs lie ever
    further apart, a factor of 1.4, and after the last one.

    Args:
        shown: Number of points drawn.
    """

    def __init__(self, shown: int = 500) -> None:
        self.shown = shown
        self._batch: tuple[Tensor, Tensor] | None = None
        self._next = 0.0

    @classmethod
    def suits(cls, model: L.LightningModule) -> bool:
        """Return whether the model classifies, or predicts numbers from, a vector of a few features."""
        shape = getattr(model, "input_shape", ())
        return isinstance(model, Classifier) and len(shape) == 1 and 2 <= shape[0] <= MOST_FEATURES

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Begin with the first epoch."""
        self._next = 0.0

    def collect(self, model: Any, batch: Any, batch_idx: int) -> None:
        """Keep the first batch."""
        if batch_idx == 0:
            self._batch = batch[0][: self.shown].float().cpu(), batch[1][: self.shown].cpu()

    def draw(self, model: Any, writer: Any, step: int) -> None:
        """Log the figure, if it is due."""
        trainer = model.trainer
        epoch = trainer.current_epoch + 1
        if epoch < self._next and epoch != trainer.max_epochs:
            return
        data = getattr(trainer, "datamodule", None)
        if hasattr(data, "features_of") and hasattr(data, "training_points"):
            points, y = data.training_points()
            points, y, features_of = points[: self.shown], y[: self.shown], data.features_of
        elif self._batch is not None and model.input_shape == (2,):
            (points, y), features_of = self._batch, _as_they_are
        else:
            return
        self._next = max(epoch + 1, epoch * GROWTH)
        figure = plane_figure(model, points, y, features_of, f"epoch {epoch}")
        writer.add_figure("boundary", figure, step)


def _as_they_are(points: Tensor) -> Tensor:
    return torch.as_tensor(points)
