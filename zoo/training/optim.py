"""Optimisers and learning-rate schedules by name."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from zoo.errors import unknown

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": torch.optim.SGD,
    "momentum": partial(torch.optim.SGD, momentum=0.9, nesterov=True),
    "adagrad": torch.optim.Adagrad,
    "rmsprop": torch.optim.RMSprop,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}
"""Optimisers: stochastic gradient descent; with Nesterov momentum 0.9 (Sutskever et al., 2013); Adagrad (Duchi et al.,
2011); RMSprop with smoothing constant 0.99 (Tieleman & Hinton, 2012); Adam (Kingma & Ba, 2015); AdamW (Loshchilov &
Hutter, 2019)."""

SCHEDULES = ("constant", "cosine", "onecycle", "plateau", "step")
"""Schedules, as a factor of the learning rate at progress p in [0, 1]: ``constant`` 1; ``cosine`` (1 + cos(pi p)) / 2
(Loshchilov & Hutter, 2017); ``onecycle`` a rise from 0.04 over the first fifth, then a cosine to 0 (Smith & Topin,
2018); ``step`` a tenth after one half and a hundredth after three quarters; ``plateau`` a tenth whenever the
monitored quantity has stood still for a third of the patience."""

WARM_UP = 0.2

HALF_EPSILON = 1e-4
"""Term in the denominator of adaptive optimisers of float16 weights, in which torch's 1e-8 is 0."""


def check_names(optimizer: str, schedule: str) -> None:
    """Raise ``ValueError`` for an unknown optimiser or schedule; the message gives the nearest."""
    if schedule not in SCHEDULES:
        raise unknown("schedule", schedule, SCHEDULES)
    if optimizer not in OPTIMIZERS:
        raise unknown("optimizer", optimizer, OPTIMIZERS)


def build_optimizer(net: nn.Module, hparams: Mapping[str, Any], device: torch.device) -> Optimizer:
    """Build an optimiser over the trainable parameters of a network, with torch's fused kernels where it has them.

    Args:
        net: The network; parameters of one axis (biases, scales) are never decayed.
        hparams: ``optimizer``, one of ``OPTIMIZERS``; ``lr``; and ``weight_decay`` as the optimiser defines it,
            decoupled in ``adamw`` and added to the gradient elsewhere. A group that is added later, such as that of an
            unfrozen backbone, is decayed as a whole.
        device: Device of the network.
    """
    decay = hparams["weight_decay"]
    parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [{"params": parameters, "weight_decay": 0.0}]
    if decay:
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        groups = [group for group in groups if group["params"]]
    build = OPTIMIZERS[hparams["optimizer"]]
    takes = inspect.signature(build).parameters
    options: dict[str, Any] = {"fused": True} if "fused" in takes else {}
    if "eps" in takes and any(p.dtype == torch.float16 for p in parameters):
        options["eps"] = HALF_EPSILON
    optimizer = build(groups, lr=hparams["lr"], weight_decay=decay, **options)
    if device.type == "cpu" and hasattr(optimizer, "_accelerator_graph_capture_health_check"):
        # A check for CUDA before every update; with a variable that Lightning sets it loads a library each time.
        optimizer._accelerator_graph_capture_health_check = lambda: None  # type: ignore[method-assign]
    return optimizer


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


class Schedule(LRScheduler):
    """Learning-rate schedule that is stepped after every update: the initial rate times a factor of the progress.

    A parameter group that is added during training, such as that of an unfrozen backbone, starts with the rate it is
    given, which is then changed in proportion to the factor.

    Args:
        optimizer: The optimiser whose learning rate it sets.
        name: One of ``SCHEDULES`` but ``plateau``.
        length: Number of updates in the whole run.
    """

    def __init__(self, optimizer: Optimizer, name: str, length: int) -> None:
        self.name, self.length = name, length
        super().__init__(optimizer)

    def state_dict(self) -> dict[str, Any]:
        """Return the progress and the length of the run."""
        return with_numbers({key: value for key, value in super().state_dict().items() if key != "name"})

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the progress of an interrupted run; name and length are those of this run."""
        ours = {"name", "length", "lr_lambdas"}
        length = state_dict.get("length", self.length)
        if length != self.length:
            rank_zero_warn(f"schedule {self.name!r} of {length} updates is stretched to {self.length}")
        super().load_state_dict({key: value for key, value in state_dict.items() if key not in ours})

    def factor(self, step: int) -> float:
        """Return the factor of the learning rate after a number of updates."""
        return schedule_factor(self.name, min(step / self.length, 1.0))

    def step(self, epoch: int | None = None) -> None:
        """Set the learning rates of the next update, in less time than torch's, which a small network's takes."""
        if epoch is not None:
            super().step(epoch)
            return
        self._step_count += 1
        self.last_epoch += 1
        self._last_lr = self.get_lr()
        for group, rate in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def get_lr(self) -> list[float | Tensor]:
        """Return the learning rate of each parameter group for the next update."""
        factor, before = self.factor(self.last_epoch), self.factor(max(self.last_epoch - 1, 0))
        rates = [base * factor for base in self.base_lrs]
        for group in self.optimizer.param_groups[len(rates) :]:
            if "initial_lr" not in group:
                group["initial_lr"] = group["lr"] / before if before else group["lr"]
            rates.append(group["lr"] * factor / before if before else group["initial_lr"] * factor)
        return rates


def build_schedule(name: str, optimizer: Optimizer, total_steps: float) -> LRScheduler:
    """Build a schedule that is stepped after every update.

    Args:
        name: One of ``SCHEDULES`` but ``plateau``.
        optimizer: The optimiser whose learning rate it sets.
        total_steps: Number of updates in the whole run.

    Raises:
        ValueError: If the length of the run is not known.
    """
    if not math.isfinite(total_steps):
        raise ValueError(f"schedule {name!r} needs the length of the run: set the trainer's max_epochs or max_steps")
    return Schedule(optimizer, name, max(int(total_steps), 1))


def with_numbers(state: dict[str, Any]) -> dict[str, Any]:
    """Return the state of a schedule with its learning rates, which may be scalar tensors, as numbers."""
    return {**state, "_last_lr": [float(rate) for rate in state["_last_lr"]]}


def learning_rates(trainer: Any) -> list[float]:
    """Return the learning rate of each of a trainer's optimisers that has one."""
    groups = [optimizer.param_groups[0] for optimizer in trainer.optimizers if optimizer.param_groups]
    return [float(group["lr"]) for group in groups if "lr" in group]


def total_steps(trainer: Any, accumulate: int | None = None) -> float:
    """Return the number of updates of a whole run, infinity if its length is not known.

    Args:
        trainer: Lightning's ``Trainer``.
        accumulate: Batches an update where a datamodule hands over several batches at a time; None where it does not,
            and Lightning counts.
    """
    if accumulate is None:
        return trainer.estimated_stepping_batches
    updates = math.ceil(trainer.datamodule.train_batches / accumulate)
    by_epochs = updates * trainer.max_epochs if trainer.max_epochs not in (None, -1) else math.inf
    return by_epochs if trainer.max_steps == -1 else min(by_epochs, trainer.max_steps)


def build_plateau(
    optimizer: Optimizer, mode: str, patience: int, state: dict[str, Any] | None = None
) -> ReduceLROnPlateau:
    """Build a schedule that divides the learning rate by ten when the monitored metric has not improved.

    Args:
        optimizer: The optimiser whose learning rate it sets.
        mode: ``max`` or ``min``.
        patience: Epochs after which training stops; a third of them may pass without an improvement.
        state: State of an interrupted run.
    """
    plateau = ReduceLROnPlateau(
        optimizer, "max" if mode == "max" else "min", factor=0.1, patience=max(patience // 3, 1)
    )
    if state is not None:
        plateau.load_state_dict(state)
    return plateau
