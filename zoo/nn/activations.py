"""Activation functions by name."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from zoo.errors import unknown


class Step(nn.Module):
    """Heaviside step, g(x) = 1 for x > 0 and 0 elsewhere (McCulloch & Pitts, 1943).

    Its derivative is 0 wherever it exists, so no gradient reaches the layers before it.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map a tensor of any shape to zeros and ones of the same dtype."""
        return torch.gt(x, 0).to(x.dtype)


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "hardswish": nn.Hardswish,
    "identity": nn.Identity,
    "leaky_relu": nn.LeakyReLU,
    "mish": nn.Mish,
    "relu": nn.ReLU,
    "selu": nn.SELU,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "step": Step,
    "tanh": nn.Tanh,
}
"""The activation functions by name."""


def activation(name: str) -> nn.Module:
    """Return a new activation module by name.

    Raises:
        ValueError: If the name is unknown; the message names the nearest known one.
    """
    if name not in ACTIVATIONS:
        raise unknown("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]()
