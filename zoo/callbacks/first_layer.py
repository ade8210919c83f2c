"""Weights of a linear first layer as images in TensorBoard."""

from __future__ import annotations

import math
from typing import Any

import lightning as L
from torch import nn

from zoo.callbacks.tensorboard import TensorBoardCallback
from zoo.errors import check_counts
from zoo.figures.classification import weight_images
from zoo.figures.images import has_images


class FirstLayer(TensorBoardCallback):
    """Log the incoming weights of units of the first layer as images, the figure ``first_layer``.

    Args:
        shown: Number of units shown, the first ones.
    """

    def __init__(self, shown: int = 64) -> None:
        check_counts(shown=shown)
        self.shown = shown

    @classmethod
    def suits(cls, model: L.LightningModule) -> bool:
        """Return whether samples are images and the first layer is linear in their pixels."""
        return has_images(model) and linear_on_pixels(model) is not None

    def draw(self, model: Any, writer: Any, step: int) -> None:
        """Log the figure."""
        layer = linear_on_pixels(model)
        assert layer is not None
        writer.add_figure(
            "first_layer", weight_images(layer.weight[: self.shown].reshape(-1, *model.sample_shape)), step
        )


def linear_on_pixels(model: Any) -> nn.Linear | None:
    """Return the first layer with weights of a model's network if it is linear and takes all pixels, else None."""
    layers = (module for module in model.net.modules() if next(module.parameters(recurse=False), None) is not None)
    first = next(layers, None)
    return first if isinstance(first, nn.Linear) and first.in_features == math.prod(model.sample_shape) else None
