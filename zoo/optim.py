"""Optimisers and learning-rate schedules by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from zoo.errors import unknown

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": torch.optim.SGD,
    "momentum": partial(torch.optim.SGD, momentum=0.9, nesterov=True),
    "adagrad": torch.optim.Adagrad,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}
"""Optimisers: stochastic gradient descent; with Nesterov momentum 0.9 (Sutskever et al., 2013); Adagrad (Duchi et al.,
2011); Adam (Kingma & Ba, 2015); AdamW (Loshchilov & Hutter, 2019)."""

SCHEDULES = ("constant", "cosine", "onecycle", "plateau", "step")
"""Schedules, as a factor of the learning rate at progress p in [0, 1]: ``constant`` 1; ``cosine`` (1 + cos(pi p)) / 2
(Loshchilov & Hutter, 2017); ``onecycle`` a rise from 0.04 over the first fifth, then a cosine to 0 (Smith & Topin,
2018); ``step`` a tenth after one half and a hundredth after three quarters; ``plateau`` a tenth whenever the
monitored quantity has stood still for a third of the patience."""

WARM_UP = 0.2


def build_optimizer(name: str, net: nn.Module, lr: float, weight_decay: float) -> Optimizer:
    """Build an optimiser over the parameters of a network, with torch's fused kernels.

    Args:
        name: One of ``OPTIMIZERS``.
        net: The network; parameters of one axis (biases, scales) are never decayed.
        lr: Learning rate.
        weight_decay: Decay as the optimiser defines it: decoupled in ``adamw``, added to the gradient elsewhere.

    Raises:
        ValueError: If the name is unknown.
    """
    if name not in OPTIMIZERS:
        raise unknown("optimizer", name, OPTIMIZERS)
    parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [{"params": parameters, "weight_decay": 0.0}]
    if weight_decay:
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        groups = [group for group in groups if group["params"]]
    return OPTIMIZERS[name](groups, lr=lr, fused=True)


def schedule_factor(name: str, progress: float) -> float:
    """Return the factor of the learning rate at a progress between 0 and 1."""
    if name == "cosine":
        return (1 + math.cos(math.pi * progress)) / 2
    if name == "onecycle":
        if progress < WARM_UP:
            return 0.04 + 0.96 * (1 - math.cos(math.pi * progress / WARM_UP)) / 2
        return (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP))) / 2
    if name == "step":
        return 0.01 if progress >= 0.75 else 0.1 if progress >= 0.5 else 1.0
    return 1.0


def build_schedule(name: str, optimizer: Optimizer, total_steps: float) -> LRScheduler | None:
    """Build a schedule that is stepped after every update; ``None`` for a constant learning rate.

    Args:
        name: One of ``SCHEDULES`` but ``plateau``.
        optimizer: The optimiser whose learning rate it sets.
        total_steps: Number of updates in the whole run.

    Raises:
        ValueError: If the length of the run is not known.
    """
    if name == "constant":
        return None
    if not math.isfinite(total_steps):
        raise ValueError(f"schedule {name!r} needs the length of the run: set the trainer's max_epochs or max_steps")
    length = max(int(total_steps), 1)
    return LambdaLR(optimizer, lambda step: schedule_factor(name, min(step / length, 1.0)))


def build_plateau(optimizer: Optimizer, mode: str, patience: int) -> ReduceLROnPlateau:
    """Build a schedule that divides the learning rate by ten when the monitored quantity stands still."""
    return ReduceLROnPlateau(optimizer, "max" if mode == "max" else "min", factor=0.1, patience=max(patience // 3, 1))
