"""RR intervals and rhythm features of the beats of a recording."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

AROUND = 8
"""Number of RR intervals on either side of a beat. Set by hand."""
RECENT = 300
"""Number of RR intervals before a beat over which its recent mean is taken, about four minutes. Set by hand."""
RHYTHM_HALF_WIDTHS = (16, 64)
"""Half-widths, in RR intervals, of the windows over which rhythm features are computed. Set by hand."""
INTERVAL_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
"""Quantiles of the log intervals in a window that a beat's interval is compared with."""
CHANGE_QUANTILES = (0.25, 0.5, 0.75)
"""Quantiles of the absolute differences between successive log intervals in a window."""
MIN_CHANGE = 0.02
"""Offset, 2 % in logarithms, that bounds the logarithms and quotients of interval changes. Set by hand."""
MAX_FEATURE = 8.0
"""Absolute value at which the features of ``rhythm_around`` are clipped. Set by hand."""


def surrounding_intervals(positions: np.ndarray, fs: float, around: int = AROUND) -> np.ndarray:
    """Return the RR intervals around each beat in seconds (N, 2 * around + 2), float32.

    Columns: the ``around`` intervals up to the beat, oldest first, so that column ``around - 1`` ends at the beat; the
    ``around`` intervals after it, next first; the median interval of the record; the mean of the last 300 intervals up
    to the beat. The intervals after the beat and the median are non-causal. Intervals outside the record are 0.

    Args:
        positions: R peaks in samples, ascending.
        fs: Sampling rate in Hz.
        around: Number of intervals on either side.
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
    """Return rhythm features (N, 12 * len(half_widths)), float32, of each beat relative to a window around it.

    A window of half-width w holds the w intervals up to the beat and the w intervals after it. Let l_k be the
    logarithms of its intervals, d_k = |l_k - l_(k-1)|, l the logarithm of the interval that ends at the beat and n that
    of the next one. The 12 features of each window, clipped to [-8, 8], are

    - l minus the 10, 25, 50, 75 and 90 % quantiles of the l_k;
    - log(0.02 + q), with q the 25, 50 and 75 % quantiles of the d_k, which are large in irregular rhythms such as
      atrial fibrillation;
    - the fractions of the l_k below l and below n;
    - (l - median l_k) / (0.04 + median d_k), and the same for n: the prematurity relative to the regularity of the
      rhythm.

    Intervals outside the record are excluded; a feature without any interval is 0. All features are non-causal.

    Args:
        positions: R peaks in samples, ascending.
        fs: Sampling rate in Hz.
        half_widths: Number of intervals on either side, for each window.
    """
    around = max(half_widths)
    intervals = surrounding_intervals(positions, fs, around)[:, : 2 * around]
    log = np.log(np.where(intervals > 0, intervals.clip(0.05, 20), np.nan))
    last, following = log[:, around - 1 : around], log[:, around : around + 1]
    features = []
    for half_width in half_widths:
        near = log[:, around - half_width : around + half_width]
        present = (~np.isnan(near)).sum(1, keepdims=True).clip(1)
        quantiles, changes = (
            quantiles_of_rows(near, INTERVAL_QUANTILES),
            quantiles_of_rows(np.abs(np.diff(near)), CHANGE_QUANTILES),
        )
        median, scale = quantiles[:, 2:3], 2 * MIN_CHANGE + changes[:, 1:2]
        features += [last - quantiles, np.log(MIN_CHANGE + changes)]
        features += [(near < edge).sum(1, keepdims=True) / present for edge in (last, following)]
        features += [(edge - median) / scale for edge in (last, following)]
    return np.nan_to_num(np.concatenate(features, 1)).clip(-MAX_FEATURE, MAX_FEATURE).astype(np.float32)


def rhythm_features(half_widths: tuple[int, ...] = RHYTHM_HALF_WIDTHS) -> int:
    """Return the number of features of ``rhythm_around``."""
    return len(half_widths) * (len(INTERVAL_QUANTILES) + len(CHANGE_QUANTILES) + 4)


def quantiles_of_rows(values: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """Return the quantiles (N, len(levels)) of rows (N, K), ignoring NaN; NaN for a row of NaN alone."""
    ordered = np.sort(values, axis=1)  # NaN are sorted last
    position = ((~np.isnan(ordered)).sum(1, keepdims=True).clip(1) - 1) * np.array(levels)
    low = position.astype(np.int64)
    lower, upper = (np.take_along_axis(ordered, at, 1) for at in (low, np.ceil(position).astype(np.int64)))
    return lower + (position - low) * (upper - lower)


def on_time(rr: np.ndarray) -> np.ndarray:
    """Return a mask (N,) of the beats whose RR interval is at least the recent mean interval.

    Ectopic beats are premature, so that few of them are on time, even in a record in which most beats are ectopic.

    Args:
        rr: Rows of ``surrounding_intervals``.
    """
    last = rr[:, (rr.shape[1] - 2) // 2 - 1]
    return (last > 0) & (last >= rr[:, -1])
