"""Simulation of heart rhythms: classes and times of beats."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

N, S, V = range(3)
BEATS_PER_HEART = 400
"""Number of beats of a synthetic heart. Set by hand."""
KIND_PROBABILITIES = {
    "sinus": 0.1,
    "early_atrial": 0.2,
    "tachycardia": 0.2,
    "mostly_ectopic": 0.12,
    "ventricular": 0.1,
    "mixed": 0.1,
    "fibrillation": 0.18,
}
"""Kinds of hearts and their probabilities. Set by hand, as are all distributions of this module."""
MIN_INTERVAL, MAX_INTERVAL = 0.25, 3.5
"""Limits in seconds to which intervals are clipped. Set by hand."""


class Hearts(NamedTuple):
    """Beats of synthetic hearts, one heart after the other."""

    label: np.ndarray
    """Class (N,) of each beat: N, S or V, int64."""
    position: np.ndarray
    """Time (N,) of each beat in seconds, counted from the start of its heart."""
    heart: np.ndarray
    """Index (N,) of the beat's heart, ascending, int64."""
    fibrillates: np.ndarray
    """Mask (N,) of the beats in atrial fibrillation, which have no P wave."""


def synthetic_hearts(hearts: int, seed: int) -> Hearts:
    """Simulate the rhythms of hearts with ``BEATS_PER_HEART`` beats each, of the kinds in ``KIND_PROBABILITIES``.

    The rhythms are those that are rare in recordings: premature atrial beats, isolated, in couplets, in bigeminy to
    quadrigeminy or in runs of four to a hundred; hearts with mostly ectopic beats; premature ventricular beats with a
    compensatory pause or interpolated, isolated, in runs or in bigeminy; pauses; and atrial fibrillation, with
    independent intervals. Heart rates, coupling intervals and frequencies of events are drawn for each heart from wide
    ranges; nothing is fitted to recordings.

    Args:
        hearts: Number of hearts.
        seed: Seed of all draws.
    """
    rng = np.random.default_rng(seed)
    parts = []
    for number in range(hearts):
        kind = str(rng.choice(list(KIND_PROBABILITIES), p=list(KIND_PROBABILITIES.values())))
        beats = [beat for beat, _ in zip(_heart(kind, rng), range(BEATS_PER_HEART))]
        label, interval = (np.array(column) for column in zip(*beats))
        time = np.cumsum(interval.clip(MIN_INTERVAL, MAX_INTERVAL))
        parts.append((label, time, np.full(BEATS_PER_HEART, number), np.full(BEATS_PER_HEART, kind == "fibrillation")))
    return Hearts(*(np.concatenate(column) for column in zip(*parts)))


Beat = tuple[int, float]
"""Class of a beat and the RR interval in seconds that ends at it."""


def _heart(kind: str, rng: np.random.Generator) -> Iterator[Beat]:
    """Return an endless iterator over the beats of a heart of a kind."""
    if kind == "fibrillation":
        return _fibrillation(rng)
    return _mostly_ectopic(rng) if kind == "mostly_ectopic" else _sinus_with_ectopy(kind, rng)


class _Sinus:
    """Intervals of a sinus rhythm: a base interval with slow drift, respiratory sinus arrhythmia and jitter."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng, self.base, self.drift, self.beat = rng, rng.uniform(0.5, 1.25), 0.0, 0
        self.breath, self.jitter = rng.uniform(0, 0.1), rng.uniform(0.005, 0.04)
        self.beats_per_breath, self.phase = rng.uniform(3, 7), rng.uniform(0, 2 * np.pi)

    def __call__(self) -> float:
        """Return the next interval in seconds."""
        self.beat += 1
        self.drift = 0.98 * self.drift + 0.016 * self.rng.normal()
        breath = self.breath * np.sin(2 * np.pi * self.beat / self.beats_per_breath + self.phase)
        return float(self.base * np.exp(0.3 * self.drift + breath + self.jitter * self.rng.normal()))


def _lognormal(rng: np.random.Generator, median: float, sigma: float) -> float:
    """Draw from the log-normal distribution with median ``median`` and log standard deviation ``sigma``."""
    return float(median * np.exp(sigma * rng.normal()))


def _fibrillation(rng: np.random.Generator) -> Iterator[Beat]:
    """Yield beats in atrial fibrillation, with independent intervals, and in some hearts ventricular beats."""
    base, spread, shortest = rng.uniform(0.45, 1.0), rng.uniform(0.12, 0.32), rng.uniform(0.3, 0.5)
    coupling, ventricular = rng.uniform(0.4, 0.8), rng.choice([0, 0.02, 0.1])
    while True:
        if rng.random() < ventricular:
            yield V, _lognormal(rng, base * coupling, 0.08)
            yield N, _lognormal(rng, 1.16 * base, spread)
        else:
            yield N, max(shortest, _lognormal(rng, base, spread))


def _mostly_ectopic(rng: np.random.Generator) -> Iterator[Beat]:
    """Yield runs of premature atrial beats, a pause after each run, and few sinus beats."""
    sinus, early, spread = _Sinus(rng), rng.uniform(0.55, 0.9), 0.04
    length, pause, alone = rng.choice([2, 4, 10, 30]), rng.uniform(1.0, 1.9), 0.6
    while True:
        for _ in range(1 + rng.geometric(1 / length)):
            yield S, _lognormal(rng, sinus.base * early, spread)
        yield N, _lognormal(rng, sinus.base * pause, 0.08)
        for _ in range(rng.geometric(alone) - 1):
            yield N, sinus()


def _sinus_with_ectopy(kind: str, rng: np.random.Generator) -> Iterator[Beat]:
    """Yield a sinus rhythm with the events of a kind of heart, at rates drawn for the heart."""
    rates: dict[str, tuple[list[float], list[float], list[float]]] = {
        # Rates to draw from: premature atrial beats, atrial runs, premature ventricular beats.
        "sinus": ([0.0], [0.0], [0.0]),
        "early_atrial": ([0.01, 0.05, 0.2], [0.0], [0.0]),
        "tachycardia": ([0.02], [0.005, 0.02], [0.0]),
        "ventricular": ([0.0], [0.0], [0.02, 0.1, 0.3]),
        "mixed": ([0.05], [0.005], [0.06]),
    }
    atrial, run, ventricular = (float(rng.choice(chosen)) for chosen in rates[kind])
    sinus, early, coupling = _Sinus(rng), rng.uniform(0.45, 0.88), rng.uniform(0.4, 0.8)
    while True:
        event = rng.random()
        if event < atrial:
            yield from _atrial(sinus, rng, early)
        elif event < atrial + run:
            yield from _tachycardia(sinus, rng)
        elif event < atrial + run + ventricular:
            yield from _ventricular(sinus, rng, coupling)
        elif event < atrial + run + ventricular + 0.002:
            yield N, sinus() * rng.uniform(1.3, 2.0)
        else:
            yield N, sinus()


def _atrial(sinus: _Sinus, rng: np.random.Generator, early: float) -> Iterator[Beat]:
    """Yield a premature atrial beat or a couplet, the next sinus beat, and at times an episode of regular ectopy."""
    expected = sinus()
    yield S, min(_lognormal(rng, early, 0.07), 0.9) * expected
    if rng.random() < 0.15:
        yield S, _lognormal(rng, early, 0.08) * expected
    yield N, expected * rng.uniform(0.95, 1.25)
    if rng.random() < 0.1:
        between = rng.integers(0, 3)
        for _ in range(rng.integers(3, 20)):
            for _ in range(between):
                yield N, sinus()
            expected = sinus()
            yield S, min(_lognormal(rng, early, 0.05), 0.9) * expected
            yield N, expected * rng.uniform(1.0, 1.2)


def _tachycardia(sinus: _Sinus, rng: np.random.Generator) -> Iterator[Beat]:
    """Yield a run of premature atrial beats and the pause that ends it."""
    expected, rate, jitter = sinus(), rng.uniform(0.45, 0.85), rng.uniform(0.005, 0.06)
    for _ in range(3 + rng.geometric(1 / rng.choice([3, 10, 40]))):
        yield S, _lognormal(rng, expected * rate, jitter)
    yield N, expected * rng.uniform(1.0, 1.6)


def _ventricular(sinus: _Sinus, rng: np.random.Generator, coupling: float) -> Iterator[Beat]:
    """Yield premature ventricular beats: isolated, in a run, in bigeminy or trigeminy, or interpolated."""
    alone = rng.random() < 0.7
    period = rng.choice([1, 1, 1, 2])
    for _ in range(1 if alone else rng.integers(3, 20)):
        expected, early = sinus(), min(_lognormal(rng, coupling, 0.06), 0.95)
        if rng.random() < 0.07:
            yield V, 0.5 * expected
            yield N, 0.55 * expected
            continue
        yield V, early * expected
        for _ in range(rng.choice([0, 0, 0, 1, 3]) if alone else 0):
            yield V, _lognormal(rng, early * expected, 0.08)
        yield N, _lognormal(rng, (2 - early) * expected, 0.03)
        for _ in range(period - 1):
            yield N, sinus()
