"""Decision boundaries of models of points in the plane, in TensorBoard."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from torch import Tensor

from zoo.callbacks.tensorboard import TensorBoardCallback
from zoo.errors import check_counts
from zoo.figures.plane import plane_figure
from zoo.tasks import Classifier

MOST_FEATURES = 7


class Boundaries(TensorBoardCallback):
    """Log what a model answers over the plane, and the response of each hidden unit, as the figure ``boundary``.

    It is for two features, or for features that the trainer's datamodule computes from points of the plane: one with
    ``features_of(points)`` and ``training_points()``, as ``playground`` has.

    Args:
        shown: Number of points drawn.
    """

    often = True

    def __init__(self, shown: int = 500) -> None:
        check_counts(shown=shown)
        self.shown = shown
        self._batch: tuple[Tensor, Tensor] | None = None

    @classmethod
    def suits(cls, model: L.LightningModule) -> bool:
        """Return whether the model classifies, or predicts numbers from, a vector of a few features."""
        shape: tuple[int, ...] = getattr(model, "input_shape", ())
        return isinstance(model, Classifier) and len(shape) == 1 and 2 <= shape[0] <= MOST_FEATURES

    def collect(self, model: Any, batch: Any, batch_idx: int) -> None:
        """Keep the first batch."""
        if batch_idx == 0:
            self._batch = batch[0][: self.shown].float().cpu(), batch[1][: self.shown].cpu()

    def draw(self, model: Any, writer: Any, step: int) -> None:
        """Log the figure."""
        trainer = model.trainer
        data: Any = getattr(trainer, "datamodule", None)
        if hasattr(data, "features_of") and hasattr(data, "training_points"):
            points, y = data.training_points()
            points, y, features_of = points[: self.shown], y[: self.shown], data.features_of
        elif self._batch is not None and model.input_shape == (2,):
            (points, y), features_of = self._batch, _as_they_are
        else:
            return
        figure = plane_figure(model, points, y, features_of, f"epoch {trainer.current_epoch + 1}")
        writer.add_figure("boundary", figure, step)


def _as_they_are(points: Tensor) -> Tensor:
    return torch.as_tensor(points)
