"""Captured updates: the device's work of an update as a CUDA graph, which one launch replays.

A small network on a GPU waits for the launches of its kernels, some hundred in an update. A graph of them takes one.
What an update computes is the same, in the same order, from the same random numbers.
"""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn

from zoo.training.capturable import GraphOptimizer, frozen_settings
from zoo.training.cuda_graphs import Backend, CudaGraphs, Values
from zoo.training.updates import learn

LOG = logging.getLogger(__name__)
WITHOUT = "updates are computed without CUDA graphs: %s"

EAGER_UPDATES = 4
"""Updates of a kind that are computed without a graph before one is captured: kernels are chosen in the first ones, and
a kind that is as rare as the last batch of an epoch does not pay for its capture earlier."""
MOST_GRAPHS = 32
"""Graphs that are kept; further kinds of updates are computed without one."""
SHORTEST_USE, MOST_CHANGES = 32, 3
"""Replays after which a graph has paid for its capture, and how often graphs may be discarded before that."""


def graph_backend(model: L.LightningModule) -> Backend | None:
    """Return what captures the work of a model's device; None where nothing does."""
    return CudaGraphs(model.device) if model.device.type == "cuda" else None


def capture_updates(model: Any) -> CapturedUpdates | None:
    """Return the captured updates of a fit; None where an update is more than arithmetic on one CUDA device."""
    run = model.run
    backend = graph_backend(model) if run.chunked and model.hparams["cuda_graphs"] else None
    if backend is None:
        return None
    if run.own_update or not run.plain:
        own = f"{type(model).__name__} overrides update" if run.own_update else ""
        LOG.debug(WITHOUT, own or "several processes, a loss scale, or a callback with a hook on gradients")
        return None
    return CapturedUpdates(model, model.optimizers(), backend)


@dataclass
class Update:
    """A captured update.

    Args:
        replay: Function that does its work.
        batch: Tensors that it reads the batch from.
        values: What it returns, in tensors that each replay overwrites.
        gradients: Parameters with the gradients that it leaves.
        uses: Number of replays.
    """

    replay: Callable[[], None]
    batch: tuple[Tensor, ...]
    values: Values
    gradients: list[tuple[nn.Parameter, Tensor]]
    uses: int = 0


class CapturedUpdates:
    """Updates of a model in one fit: each kind of them is computed as usual at first, then captured and replayed.

    A kind is a shape of the batch and a place in the accumulation of gradients. A graph repeats the kernels with the
    numbers that Python gave them, so graphs are discarded when a setting has changed (see ``frozen_settings``), and
    updates are computed as usual where Python takes part in them: while a module has hooks, for a ``step`` that waits
    for the device, logs, asks for its trainer, draws random numbers on the host or changes an attribute of the model.

    Each graph keeps the gradients and the batch that it works on; what it needs in between is shared by all graphs.

    Args:
        model: The ``ZooModule``.
        optimizer: Its optimiser.
        backend: What captures and replays.
    """

    def __init__(self, model: Any, optimizer: LightningOptimizer, backend: Backend) -> None:
        self.model, self.optimizer, self.backend = model, optimizer, backend
        self.rates = GraphOptimizer(optimizer.optimizer, model.device, backend.rate_dtype)
        self.obstacle = self.rates.obstacle
        self.updates: dict[tuple[Any, ...], Update] = {}
        self.seen: Counter[tuple[Any, ...]] = Counter()
        self.settings: tuple[Any, ...] = ()
        self.changes = 0
        self.hooked = False
        if self.obstacle:
            self._give_up(self.obstacle)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy or pickle a model in training without its graphs, which neither can be."""
        return type(None), ()

    def refresh(self) -> None:
        """Follow what a callback changed since the last training step."""
        if self.obstacle:
            return
        self.rates.refresh()
        settings, self.hooked = frozen_settings(self.model)
        settings = (*self.rates.settings(), *settings)
        if settings == self.settings:
            return
        self.changes += any(update.uses < SHORTEST_USE for update in self.updates.values())
        self.settings, self.updates = settings, {}
        self.seen.clear()
        if self.changes > MOST_CHANGES:
            self._give_up("settings that a graph would keep change too often")

    def __call__(self, batch: Sequence[Tensor], starts: bool, ends: bool) -> Values:
        """Learn from a batch as ``zoo.training.updates.learn`` does, and count an update."""
        if ends:
            self.optimizer._on_before_step()
        values = self._values(batch, starts, ends)
        if ends:
            self.optimizer._on_after_step()
        return values

    def _values(self, batch: Sequence[Tensor], starts: bool, ends: bool) -> Values:
        if self.obstacle or self.hooked:
            return self._eager(batch, starts, ends)
        key = (starts, ends, *[(part.shape, part.dtype) for part in batch])
        update = self.updates.get(key)
        if update is None:
            self.seen[key] += 1
            if self.seen[key] < EAGER_UPDATES or len(self.updates) >= MOST_GRAPHS:
                return self._eager(batch, starts, ends)
            if self.seen[key] == EAGER_UPDATES:
                return self._observed(batch, starts, ends)
            update = self._capture(batch, starts, ends)
            if update is None:
                return self._eager(batch, starts, ends)
            self.updates[key] = update
        for static, part in zip(update.batch, batch, strict=True):
            static.copy_(part, non_blocking=True)
        self._bind_gradients(update)
        update.replay()
        update.uses += 1
        return {name: _copied(value) for name, value in update.values.items()}

    def _bind_gradients(self, update: Update) -> None:
        """Give the parameters the gradients that a graph writes, which a validation and other updates replace."""
        first, own = update.gradients[0]
        if first.grad is own and not self._in_place:
            return
        for parameter, gradient in update.gradients:
            if parameter.grad is not gradient:
                if self._in_place:  # the graph may add to them
                    gradient.copy_(parameter.grad) if parameter.grad is not None else gradient.zero_()
                parameter.grad = gradient

    def _learn(self, batch: Sequence[Tensor], starts: bool, ends: bool) -> Values:
        """Do the device's work of an update; no value keeps its graph of autograd, and with it a stream, alive."""
        values = learn(self.model, self.optimizer.optimizer, batch, starts, ends, self._step, not self._in_place)
        torch.clear_autocast_cache()
        return {name: _detached(value) for name, value in values.items()}

    @property
    def _in_place(self) -> bool:
        """Whether gradients of several batches are summed, by all graphs in the same tensors."""
        return self.model.run.accumulation.every > 1

    def _step(self) -> None:
        self.optimizer.optimizer.step()

    def _eager(self, batch: Sequence[Tensor], starts: bool, ends: bool) -> Values:
        return self.backend.run(lambda: self._learn(batch, starts, ends))

    def _observed(self, batch: Sequence[Tensor], starts: bool, ends: bool) -> Values:
        """Compute an update as usual and find out whether it can be captured."""
        noted: set[str] = set()
        self.model.run.noted = noted
        before = (host_randomness(self.model.device), frozen_settings(self.model))
        try:
            values, waits = self.backend.find_waits(lambda: self._learn(batch, starts, ends))
        finally:
            self.model.run.noted = None
        after = (host_randomness(self.model.device), frozen_settings(self.model))
        name = type(self.model).__name__
        reasons = {
            f"{name} waits for the device in an update": waits,
            f"{name} draws random numbers on the host in an update": before[0] != after[0],
            f"{name} changes its attributes in an update": before[1] != after[1],
            f"{name} returns more than tensors from step": not all(map(_is_tensors, values.values())),
            **{f"{name} {what} in an update": True for what in noted},
        }
        reason = next((reason for reason, holds in reasons.items() if holds), "")
        if reason:
            self._give_up(reason)
        return values

    def _capture(self, batch: Sequence[Tensor], starts: bool, ends: bool) -> Update | None:
        """Capture an update without doing it; None, and no further attempt, where that fails."""
        static = tuple(part.clone() for part in batch)
        parameters = list(self.model.parameters())
        before = [parameter.grad for parameter in parameters]
        try:
            replay, values = self.backend.capture(lambda: self._learn(static, starts, ends))
        except Exception as error:  # computed as usual instead, where a fault of the model's own comes up again
            torch.clear_autocast_cache()
            for parameter, gradient in zip(parameters, before, strict=True):
                parameter.grad = gradient
            self._give_up(f"a CUDA graph cannot be captured: {str(error).splitlines()[0] if str(error) else error!r}")
            return None
        return Update(replay, static, values, [(p, p.grad) for p in parameters if p.grad is not None])

    def _give_up(self, reason: str) -> None:
        """Compute all further updates as usual."""
        LOG.debug(WITHOUT, reason)
        self.obstacle = reason
        self._discard()

    def _discard(self) -> None:
        """Free the graphs and their memory; gradients are copied out of it."""
        if self.updates:
            for parameter in self.model.parameters():
                parameter.grad = None if parameter.grad is None else parameter.grad.clone()
        self.updates = {}
        self.rates.restore()

    def release(self) -> None:
        """End the fit: free the graphs and their memory, and leave the optimiser as it was built."""
        self._discard()
        self.backend.release()
        self.obstacle = self.obstacle or "the fit has ended"


def host_randomness(device: torch.device) -> tuple[Any, ...]:
    """Return the states of the random number generators that are not a device's own."""
    drawn = np.random.get_state(legacy=False)["state"]
    states = (random.getstate(), drawn["key"].tobytes(), drawn["pos"])
    return states if device.type == "cpu" else (*states, torch.get_rng_state().numpy().tobytes())


def _is_tensors(value: Any) -> bool:
    parts = value if isinstance(value, tuple) else (value,)
    return all(isinstance(part, Tensor) for part in parts)


def _detached(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_detached, value))
    return value.detach() if isinstance(value, Tensor) else value


def _copied(value: Any) -> Any:
    return tuple(map(_copied, value)) if isinstance(value, tuple) else value.clone()
