"""Penalties: on the weights of a network, and on the code of an autoencoder.

Penalties on the weights exclude biases and the scales of normalisation layers, which have one axis.
"""

from __future__ import annotations

from collections.abc import Callable

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

    The max-norm constraint of Srivastava et al. (2014), section 5.1. Frozen weights stay as they are.
    """
    for weight in filter(lambda weight: weight.requires_grad, _weights(module)):
        norms = weight.flatten(1).norm(dim=1).clamp_min(1e-12)
        weight.mul_((max_norm / norms).clamp_max(1.0).reshape(-1, *[1] * (weight.ndim - 1)))


def no_penalty(code: Tensor, x: Tensor, target: float) -> Tensor:
    """Return 0, for an autoencoder without a penalty."""
    return code.new_zeros(())


def l1_activity(code: Tensor, x: Tensor, target: float) -> Tensor:
    """Return the mean over the batch, and over the positions of code maps, of sum_j |h_j| (Olshausen & Field, 1996)."""
    return code.abs().sum(1).mean()


def kl_activity(code: Tensor, x: Tensor, target: float) -> Tensor:
    """Return sum_j KL(target || mean activity of unit j over the batch), a scalar (Lee, Ekanadham & Ng, 2008).

    KL(r || q) = r log(r / q) + (1 - r) log((1 - r) / (1 - q)), for codes in (0, 1).
    """
    activity = code.float().mean(0).clamp(1e-6, 1 - 1e-6)
    rest = (1 - target) * torch.log((1 - target) / (1 - activity))
    return (target * torch.log(target / activity) + rest).sum()


def contractive(code: Tensor, x: Tensor, target: float) -> Tensor:
    """Estimate the mean over the batch of the squared Frobenius norm of dh/dx, a scalar (Rifai et al., 2011).

    For a vector v of independent random signs E |v dh/dx|^2 is that norm (Hutchinson, 1990), so one backward pass
    suffices for any encoder.
    """
    signs = torch.randint_like(code, 2) * 2 - 1
    (gradient,) = torch.autograd.grad(code, x, signs, create_graph=True)
    return gradient.flatten(1).square().sum(1).mean()


PENALTIES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "contractive": contractive,
    "kl": kl_activity,
    "l1": l1_activity,
    "none": no_penalty,
}
"""The penalties on a code by name: functions of the code, the network inputs and the target activity."""
