"""The rhythm around each beat of a recording, in RR intervals."""

from __future__ import annotations

import numpy as np

AROUND = 8
"""RR intervals that a row holds on either side of its beat."""
RECENT = 300
"""Intervals before a beat that its recent mean is taken over, about four minutes."""
RHYTHM_HALF_WIDTHS = (16, 64)
"""Intervals on either side, near and far, over which the rhythm is summed up."""
INTERVAL_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
"""Of the intervals around: which quantiles the beat is compared with."""
CHANGE_QUANTILES = (0.25, 0.5, 0.75)
"""Quantiles of how much neighbouring intervals differ."""
MIN_CHANGE = 0.02
"""Least change of the interval that counts, in logarithms: a fiftieth."""
MAX_FEATURE = 8.0
"""No number of ``rhythm_around`` is larger."""


def rr_intervals(positions: np.ndarray, fs: float, around: int = AROUND) -> np.ndarray:
    """Return the RR intervals around each beat in seconds (N, 2 * around + 2), float32.

    Columns: the ``around`` intervals up to the beat, oldest first, so that column ``around - 1`` ends at the beat; the
    ``around`` intervals after it, next first; the median interval of the whole record; the mean of the last 300
    intervals up to the beat. All but the first and the last kind look into the future. An interval that the record
    does not have is 0, which none is.

    Args:
        positions: R peaks in samples, ascending.
        fs: Samples a second.
        around: Intervals on either side.
    """
    n = len(positions)
    intervals = np.diff(positions) / fs
    padded = np.concatenate([np.zeros(around), intervals, np.zeros(around)])
    columns = np.arange(2 * around)[None] + np.arange(n)[:, None]
    rows = np.zeros((n, 2 * around + 2), np.float32)
    if n > 1:
        rows[:, : 2 * around] = padded[columns]
        rows[:, -2] = np.median(intervals)
        total = np.concatenate([[0.0], np.cumsum(intervals)])
        since = np.maximum(np.arange(n) - RECENT, 0)
        rows[:, -1] = (total - total[since]) / np.maximum(np.arange(n) - since, 1)
    return rows


def rhythm_around(positions: np.ndarray, fs: float, half_widths: tuple[int, ...] = RHYTHM_HALF_WIDTHS) -> np.ndarray:
    """Return how each beat stands in a longer stretch of its rhythm (N, 12 * len(half_widths)), float32.

    With l_k the logarithms of the ``half_width`` intervals up to the beat and the ``half_width`` intervals after it, l the one
    that ends at the beat and n the next, and d_k = |l_k - l_k-1|, these are, for each half_width: l less the 10, 25, 50, 75
    and 90 % quantile of the l_k; the logarithm of 0.02 plus the 25, 50 and 75 % quantile of the d_k, which are large
    in an irregular rhythm such as atrial fibrillation; the share of the l_k below l, and below n; and l and n less the
    median over 0.04 plus the median of the d_k: how unusual an early beat is for this rhythm. An interval that the
    record does not have is left out; where there is none all are 0. They look into the future.

    Args:
        positions: R peaks in samples, ascending.
        fs: Samples a second.
        half_widths: Intervals on either side.
    """
    around = max(half_widths)
    intervals = rr_intervals(positions, fs, around)[:, : 2 * around]
    log = np.log(np.where(intervals > 0, intervals.clip(0.05, 20), np.nan))
    last, following = log[:, around - 1 : around], log[:, around : around + 1]
    parts = []
    for half_width in half_widths:
        near = log[:, around - half_width : around + half_width]
        present = (~np.isnan(near)).sum(1, keepdims=True).clip(1)
        quantiles, changes = _quantiles(near, INTERVAL_QUANTILES), _quantiles(np.abs(np.diff(near)), CHANGE_QUANTILES)
        median, scale = quantiles[:, 2:3], 2 * MIN_CHANGE + changes[:, 1:2]
        parts += [last - quantiles, np.log(MIN_CHANGE + changes)]
        parts += [(near < edge).sum(1, keepdims=True) / present for edge in (last, following)]
        parts += [(edge - median) / scale for edge in (last, following)]
    return np.nan_to_num(np.concatenate(parts, 1)).clip(-MAX_FEATURE, MAX_FEATURE).astype(np.float32)


def rhythm_features(half_widths: tuple[int, ...] = RHYTHM_HALF_WIDTHS) -> int:
    """Return the number of features that ``rhythm_around`` gives."""
    return len(half_widths) * (len(INTERVAL_QUANTILES) + len(CHANGE_QUANTILES) + 4)


def _quantiles(values: np.ndarray, shares: tuple[float, ...]) -> np.ndarray:
    """Return the quantiles (N, len(shares)) of rows (N, K), NaN left out; NaN where there is nothing else."""
    ordered = np.sort(values, axis=1)  # NaN last
    place = ((~np.isnan(ordered)).sum(1, keepdims=True).clip(1) - 1) * np.array(shares)
    low = place.astype(np.int64)
    lower, upper = (np.take_along_axis(ordered, at, 1) for at in (low, np.ceil(place).astype(np.int64)))
    return lower + (place - low) * (upper - lower)


def on_time(rr: np.ndarray) -> np.ndarray:
    """Return which beats (N,) come no earlier than the mean of the recent intervals, of rows of ``rr_intervals``.

    Hardly an ectopic beat is among them, even where most beats are ectopic: those come early.
    """
    last = rr[:, (rr.shape[1] - 2) // 2 - 1]
    return (last > 0) & (last >= rr[:, -1])
