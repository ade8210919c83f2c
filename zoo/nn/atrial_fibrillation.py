"""Atrial fibrillation from the intervals between heart beats."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter1d

from datamodules.ecg.rr_intervals import quantiles_of_rows
from datamodules.ecg.signal_quality import ranges_of

HALF_WINDOW = 32
"""Number of intervals on either side whose irregularity is measured. Chosen on DS1 of MIT-BIH."""
FEWEST = 16
"""Smallest number of differences of successive intervals in a window by which it is judged. Set by hand."""
SHORTEST, LONGEST = 0.2, 3.0
"""Limits in seconds of the intervals that are used; others are artefacts and pauses. Set by hand."""
OFFSET = 0.01
"""Offset of the logarithms, 1 %. Set by hand."""
MIN_SECONDS = 30.0
"""Duration of the shortest episode, that of its clinical definition."""
HALF_SMOOTHING, MOST_ODDS = 16, 6.0
"""Beats on either side over which the logarithms of the odds are averaged, and the value at which they are clipped.
Chosen on DS1 of MIT-BIH and on simulated rhythms."""
MAX_BREAK_SECONDS = 60.0
"""Duration of an interruption up to which it belongs to the episode. Chosen as the former."""
MEAN, SCALE = np.array([-3.011, -2.398, -1.863, -1.326]), np.array([0.699, 0.805, 0.894, 0.819])
"""Mean and standard deviation of the features in training."""
BIAS, LINEAR = 1.337, np.array([0.558, 3.895, 2.159, -1.596])
QUADRATIC = np.array(
    [[-2.237, -1.636, 6.839, 1.185], [0, -8.822, 3.841, 15.148], [0, 0, -15.862, 9.404], [0, 0, 0, -9.469]]
)
"""Coefficients of the logistic regression of standardised features and of their products, by
``scripts/atrial_fibrillation.py fit``."""


def irregularity(seconds: np.ndarray, ectopic: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how irregular the rhythm around each beat is, and the number of differences (N,) by which it is measured.

    Intervals to and from ectopic beats, which are irregular in any rhythm, are left out. Of the 32 other intervals on
    either side let l be the logarithms and d the absolute differences between successive ones. The features (N, 4) are
    the logarithms of 0.01 plus the 25, 50 and 75 % quantiles of the d, and plus the difference between the 90 and
    the 10 % quantiles of the l.

    Args:
        seconds: Times (N,) of the beats, ascending.
        ectopic: Whether each beat (N,) is ventricular.
    """
    intervals = np.diff(seconds, prepend=np.nan)
    beside = ectopic | np.concatenate([[False], ectopic[:-1]])
    used = np.flatnonzero(~beside & (intervals > SHORTEST) & (intervals < LONGEST))
    if not len(used):
        return np.zeros((len(seconds), 4)), np.zeros(len(seconds), np.int64)
    logs = np.log(intervals[used])
    changes = np.abs(np.diff(logs, prepend=np.nan))
    changes[1:][np.diff(used) > 1] = np.nan
    near, jumps = (
        np.lib.stride_tricks.sliding_window_view(
            np.pad(values, HALF_WINDOW, constant_values=np.nan), 2 * HALF_WINDOW + 1
        )
        for values in (logs, changes)
    )
    spread = np.diff(quantiles_of_rows(near, (0.1, 0.9)), axis=1)
    features = np.log(OFFSET + np.concatenate([quantiles_of_rows(jumps, (0.25, 0.5, 0.75)), spread], axis=1))
    following = np.searchsorted(used, np.arange(len(seconds))).clip(0, len(used) - 1)
    return np.nan_to_num(features)[following], np.isfinite(jumps).sum(1)[following]


def score(features: np.ndarray) -> np.ndarray:
    """Return the logarithm of the odds (N,) of atrial fibrillation by features (N, 4) of ``irregularity``."""
    z = (features - MEAN) / SCALE
    return np.asarray(BIAS + z @ LINEAR + np.einsum("ni,ij,nj->n", z, QUADRATIC, z))


def find_fibrillation(seconds: np.ndarray, ectopic: np.ndarray) -> np.ndarray:
    """Return whether each beat (N,) lies in an episode of atrial fibrillation of at least half a minute.

    A logistic regression of the features of ``irregularity`` and their products, averaged over 33 beats, decides. It
    is trained on the annotated rhythms of DS1 of MIT-BIH, of which two records have atrial fibrillation, and on
    simulated rhythms. Flutter with a constant conduction is regular and not found. An episode goes on over
    interruptions of up to a minute.

    Args:
        seconds: Times (N,) of the beats, ascending.
        ectopic: Whether each beat (N,) is ventricular.
    """
    features, count = irregularity(seconds, ectopic)
    odds = uniform_filter1d(score(features).clip(-MOST_ODDS, MOST_ODDS), 2 * HALF_SMOOTHING + 1, mode="nearest")
    found = (odds > 0) & (count >= FEWEST)
    for start, stop in ranges_of(~found):
        if start and stop < len(found) and seconds[stop] - seconds[start - 1] < MAX_BREAK_SECONDS:
            found[start:stop] = True
    for start, stop in ranges_of(found):
        if seconds[stop - 1] - seconds[start] < MIN_SECONDS:
            found[start:stop] = False
    return found
