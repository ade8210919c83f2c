"""How a search chooses its next trial: a grid, at random, or from the trials before."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from zoo.errors import needs, unknown
from zoo.tuning.space import Parameter

optuna = needs("optuna", "tune")

BaseSampler: Any = optuna.samplers.BaseSampler
METHODS = ("grid", "random", "bayes")
POINT = "grid_point"
"""Attribute of a trial: the number of its point of the grid."""


def make_sampler(method: str, space: Sequence[Parameter], trials: int, seed: int = 0, parallel: bool = False) -> Any:
    """Return Optuna's sampler of a method.

    What it draws depends on the seed, the number of the trial and the trials before, so that an interrupted search
    goes on as it would have. ``bayes`` is the tree-structured Parzen estimator over all parameters jointly; its first
    ten trials are random.

    Args:
        method: ``"grid"``, ``"random"`` or ``"bayes"``.
        space: The parameters.
        trials: Number of trials, from which the grid is laid.
        seed: Seed of the draws, and of the order of the grid.
        parallel: Whether several trials run at a time: ``bayes`` then keeps away from those that are running.

    Raises:
        ValueError: If there is no such method.
    """
    if method not in METHODS:
        raise unknown("method", method, METHODS)
    if method == "grid":
        return GridSampler(space, trials, seed)

    def make(seed: int) -> Any:
        if method == "random":
            return optuna.samplers.RandomSampler(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.TPESampler(multivariate=True, constant_liar=parallel, seed=seed)

    return SeededSampler(make, seed)


def lay_grid(space: Sequence[Parameter], trials: int) -> dict[str, list[Any]]:
    """Return the levels of each parameter of a regular grid, as a study stores them.

    A parameter with choices takes all of them. The ranges share what is left of the number of trials: one after the
    other, the one with the fewest levels first, gets one level more for as long as the grid has at most ``trials``
    points. The levels of a range are the middles of as many equal parts of it, in the logarithm where the range says
    so.

    Args:
        space: The parameters.
        trials: Largest number of points; choices alone may give more, of which a search takes that many.
    """
    counts = {p.name: len(p.choices) if p.choices else 1 for p in space}
    ranges = [p for p in space if not p.choices]
    limit = {p.name: int(p.high - p.low) + 1 if p.whole else math.inf for p in ranges}
    while True:
        for p in sorted(ranges, key=lambda p: counts[p.name]):
            raised = math.prod(counts.values()) // counts[p.name] * (counts[p.name] + 1)
            if raised <= trials and counts[p.name] < limit[p.name]:
                counts[p.name] += 1
                break
        else:
            return {p.name: p.labels if p.choices else _levels(p, counts[p.name]) for p in space}


def _levels(parameter: Parameter, count: int) -> list[float]:
    low, high = parameter.low, parameter.high
    if parameter.whole:  # each number has a part of its own
        low, high = low - 0.5, high + 0.5
    place = [(number + 0.5) / count for number in range(count)]
    if parameter.log:
        values = [low * (high / low) ** share for share in place]
    else:
        values = [low + (high - low) * share for share in place]
    if parameter.whole:
        values = list(dict.fromkeys(math.floor(value + 0.5) for value in values))
    return [min(max(value, parameter.low), parameter.high) for value in values]


class GridSampler(BaseSampler):
    """Optuna's sampler of the points of ``lay_grid``, in an order drawn from the seed.

    Unlike Optuna's own it takes a point again whose trial was killed, and no point twice.

    Args:
        space: The parameters.
        trials: Largest number of points.
        seed: Seed of the order.
    """

    def __init__(self, space: Sequence[Parameter], trials: int, seed: int = 0) -> None:
        self.levels = lay_grid(space, trials)
        sizes = [len(levels) for levels in self.levels.values()]
        total = math.prod(sizes)
        draw = np.random.default_rng(seed)
        if total <= 1_000_000:
            chosen = draw.permutation(total)[:trials].tolist()
        else:  # of more points than fit into memory
            chosen = list(dict.fromkeys(draw.integers(min(total, 2**62), size=2 * trials).tolist()))[:trials]
        self.points = [dict(zip(self.levels, self._values(number, sizes))) for number in chosen]

    def _values(self, number: int, sizes: Sequence[int]) -> list[Any]:
        values = []
        for size, levels in zip(reversed(sizes), reversed(list(self.levels.values()))):
            number, place = divmod(number, size)
            values.append(levels[place])
        return values[::-1]

    def before_trial(self, study: Any, trial: Any) -> None:
        """Take the first point that no other trial has."""
        others = study.get_trials(deepcopy=False)
        taken = {other.system_attrs.get(POINT) for other in others if other.number != trial.number and is_kept(other)}
        free = (number for number in range(len(self.points)) if number not in taken)
        point = next(free, trial.number % len(self.points))  # taken by trials that started meanwhile
        study._storage.set_trial_system_attr(trial._trial_id, POINT, point)

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
        """Return nothing: each value is that of the point."""
        return {}

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
        """Return nothing: each value is that of the point."""
        return {}

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        """Return the value of the trial's point."""
        attributes = study._storage.get_trial_system_attrs(trial._trial_id)
        return self.points[attributes[POINT]][param_name]


class SeededSampler(BaseSampler):
    """A sampler made anew for each trial, with a seed of its own.

    Args:
        make: Returns Optuna's sampler for a seed.
        seed: Seed of all.
    """

    def __init__(self, make: Any, seed: int) -> None:
        self.make = make
        self.seed = seed
        self.sampler: Any = make(seed)

    def before_trial(self, study: Any, trial: Any) -> None:
        """Make the sampler of this trial."""
        own = np.random.SeedSequence([self.seed, trial.number]).generate_state(1)
        self.sampler = self.make(int(own[0]))
        self.sampler.before_trial(study, trial)

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
        """Return the parameters that are drawn jointly."""
        return self.sampler.infer_relative_search_space(study, trial)

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
        """Draw parameters jointly."""
        return self.sampler.sample_relative(study, trial, search_space)

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        """Draw one parameter."""
        return self.sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Any, trial: Any, state: Any, values: Any) -> None:
        """Tell the sampler that a trial has ended."""
        self.sampler.after_trial(study, trial, state, values)


ERROR = "error"
"""Attribute of a trial: why it failed. One without it was killed, or stopped."""


def is_kept(trial: Any) -> bool:
    """Return whether a trial has one of the search's places: it runs, it has ended, or it failed by itself."""
    return trial.state.name != "FAIL" or ERROR in trial.user_attrs


def is_ended(trial: Any) -> bool:
    """Return whether a trial has its result: a value, an early end, or an error of its own."""
    return trial.state.is_finished() and is_kept(trial)
