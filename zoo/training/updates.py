"""Weight updates: the objective, gradient clipping, the optimiser's step, and checks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence, Sized
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from zoo.nn import l1_norm, squared_l2_norm
from zoo.training.optim import learning_rates

if TYPE_CHECKING:
    from zoo.training.captured import CapturedUpdates

GRADIENT_HOOKS = ("on_before_backward", "on_after_backward", "on_before_optimizer_step")


class Accumulation:
    """Counter of the batches of an epoch that tells which ones start and end an update.

    Args:
        every: Number of batches whose gradients are averaged into one update.
        batches: Number of batches of the epoch, whose last one always ends an update; 0 if unknown.
    """

    def __init__(self, every: int = 1, batches: int = 0) -> None:
        self.every, self.batches, self.seen = every, batches, 0

    @property
    def starts(self) -> bool:
        """Whether the next batch is the first of an update."""
        return self.seen % self.every == 0

    def advance(self) -> bool:
        """Count a batch and return whether it is the last of an update."""
        self.seen += 1
        return self.seen % self.every == 0 or self.seen == self.batches


@dataclass
class Run:
    """How a model learns in one run of a Trainer.

    Args:
        chunked: Whether a training step takes several batches.
        own_update: Whether the model overrides ``update``.
        plain: Whether backward and update are torch's own; see ``has_plain_step``.
        accumulation: Counter of the batches of an epoch.
        plateau: Schedule ``plateau``; None for another.
        plateau_state: State of the schedule ``plateau`` of an interrupted run.
        rows: Number of rows of the batch that is learned from in ``update``; None outside of it.
        frozen_norms: Batch normalisation that is frozen with its backbone; see ``zoo.training.freezing``.
        captured: Updates as CUDA graphs; None where they are not captured.
        noted: What a model does in an update besides tensor arithmetic, such as logging, while that is observed.
    """

    chunked: bool = False
    own_update: bool = False
    plain: bool = False
    accumulation: Accumulation = field(default_factory=Accumulation)
    plateau: ReduceLROnPlateau | None = None
    plateau_state: dict[str, Any] | None = None
    rows: int | None = None
    frozen_norms: list[nn.Module] = field(default_factory=list)
    captured: CapturedUpdates | None = None
    noted: set[str] | None = None

    @property
    def steps_itself(self) -> bool:
        """Whether the model updates its weights in ``update``, under manual optimisation."""
        return self.chunked or self.own_update


def learn(
    model: Any,
    optimizer: Any,
    batch: Sequence[Tensor],
    starts: bool,
    ends: bool,
    step: Callable[[], None],
    set_to_none: bool = True,
) -> dict[str, Any]:
    """Do the arithmetic of an update: the gradient of the objective of a batch, clipping, the optimiser's step.

    Args:
        model: The ``ZooModule``.
        optimizer: Its optimiser.
        batch: The batch.
        starts: Whether it is the first of those whose gradients are averaged.
        ends: Whether it is the last of them, after which the weights change.
        step: Function that updates the weights.
        set_to_none: Whether gradients are dropped before the first, instead of set to zero in place.

    Returns:
        What ``step`` of the model returns, with the objective under ``loss``.
    """
    run = model.run
    if starts:
        optimizer.zero_grad(set_to_none)
    # Autocast keeps its low-precision copies of the weights until a training step ends: stale after an update.
    torch.clear_autocast_cache()
    values = model.step(batch)
    loss = model.objective(values["loss"])
    every = run.accumulation.every
    scaled = loss / every if every > 1 else loss
    if run.plain:
        scaled.backward()
    else:
        model.manual_backward(scaled)
    if ends:
        limit = model.hparams["clip_norm"]
        if limit and run.plain:
            torch.nn.utils.clip_grad_norm_(model.parameters(), limit)
        elif limit:
            clip_gradients(model, optimizer, limit)
        step()
        model.constrain()
    return {**values, "loss": loss}


def objective(loss: Tensor, net: nn.Module, l1: float, l2: float) -> Tensor:
    """Return loss + l1 * sum |w| + l2 / 2 * sum w^2 over the weights w of a network, a scalar."""
    if l1:
        loss = loss + l1 * l1_norm(net)
    if l2:
        loss = loss + l2 / 2 * squared_l2_norm(net)
    return loss


def has_plain_step(trainer: L.Trainer, model: L.LightningModule) -> bool:
    """Return whether backward and update are torch's own: one process, no loss scaling, no hook on gradients."""
    return (
        isinstance(trainer.strategy, SingleDeviceStrategy)
        and getattr(trainer.precision_plugin, "scaler", None) is None
        and not any(
            is_overridden(hook, callback, Callback)
            for callback in trainer.callbacks  # type: ignore[attr-defined]
            for hook in GRADIENT_HOOKS
        )
        and not any(is_overridden(hook, model, L.LightningModule) for hook in GRADIENT_HOOKS)
    )


def step_optimizer(optimizer: LightningOptimizer, plain: bool) -> None:
    """Update the weights once; a plain step bypasses Lightning's wrapper of the optimiser, which would do nothing."""
    if plain:
        optimizer._on_before_step()
        optimizer.optimizer.step()
        optimizer._on_after_step()
    else:
        optimizer.step()


def clip_gradients(model: L.LightningModule, optimizer: Any, limit: float | None, algorithm: str = "norm") -> None:
    """Clip the gradients by their norm or value.

    Lightning's own clipping refuses fused optimisers in bf16, although there is no loss scale to undo.
    """
    trainer = model.trainer
    whole = isinstance(trainer.strategy, (SingleDeviceStrategy, DDPStrategy))
    if not limit or not whole or getattr(trainer.precision_plugin, "scaler", None) is not None:
        model.clip_gradients(optimizer, limit, algorithm)
    elif algorithm == "norm":
        torch.nn.utils.clip_grad_norm_(model.parameters(), limit)
    else:
        torch.nn.utils.clip_grad_value_(model.parameters(), limit)


def count_update(trainer: L.Trainer) -> None:
    """Count an update without an optimiser in ``trainer.global_step``.

    Otherwise a model without a gradient would stay at step 0, for which Lightning writes no checkpoint.
    """
    progress = trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
    progress.increment_ready()
    progress.increment_completed()


def check_finite(trainer: L.Trainer, losses: Iterable[Tensor]) -> None:
    """Raise ``FloatingPointError`` for a loss that is not finite.

    Losses on an accelerator are skipped, since reading one synchronises the device; their mean is checked once an
    epoch.
    """
    if all(loss.device.type != "cpu" or math.isfinite(loss.detach()) for loss in losses):
        return
    rates = ", ".join(f"{rate:g}" for rate in learning_rates(trainer))
    raise FloatingPointError(
        f"train_loss is no longer finite in epoch {trainer.current_epoch}, near update {trainer.global_step}: "
        f"lower lr (now {rates or 'none'}) or set clip_norm"
    )


def refuse_single_row(trainer: L.Trainer, net: nn.Module) -> None:
    """Raise ``ValueError`` if the last batch of an epoch has one row, over which batch normalisation is undefined."""
    loader: Any = trainer.train_dataloader
    size, rows = getattr(loader, "batch_size", None), getattr(loader, "sampler", None)
    if not size or not isinstance(rows, Sized) or getattr(loader, "drop_last", False) or len(rows) % size != 1:
        return
    if any(isinstance(layer, nn.BatchNorm1d) for layer in net.modules()):
        raise ValueError(
            f"batch_size={size} leaves a last batch of one of {len(rows)} rows, over which batch normalisation "
            f"cannot normalise: use batch_size={size + 1}"
        )
