"""Penalties on weights; biases and the scales of normalisation layers, which have one axis, go free."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def _weights(module: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in module.parameters() if parameter.ndim > 1]


def l1_norm(module: nn.Module) -> Tensor:
    """Return the sum of the absolute weights of a module, a scalar (Tibshirani, 1996)."""
    return torch.stack([weight.abs().sum() for weight in _weights(module)]).sum()


def squared_l2_norm(module: nn.Module) -> Tensor:
    """Return the sum of the squared weights of a module, a scalar (Hoerl & Kennard, 1970)."""
    return torch.stack([weight.square().sum() for weight in _weights(module)]).sum()


@torch.no_grad()
def limit_norms(module: nn.Module, max_norm: float) -> None:
    """Scale down, in place, the incoming weights of each unit whose Euclidean norm exceeds ``max_norm``.

    The max-norm constraint of Srivastava et al. (2014), section 5.1.
    """
    for weight in _weights(module):
        norms = weight.flatten(1).norm(dim=1).clamp_min(1e-12)
        weight.mul_((max_norm / norms).clamp_max(1.0).reshape(-1, *[1] * (weight.ndim - 1)))
