"""Detection of QRS complexes in a recording."""

from __future__ import annotations

import numpy as np

from datamodules.errors import needs

MIN_SECONDS = 1.0
"""Of a recording in which beats are looked for."""
DOUBLE_DETECTION_SECONDS = 0.28
"""Seconds: of two detections nearer than this one may be a P or T wave."""
STEEPNESS_RATIO = 0.7
"""It is, if it is less steepness than this share of the other."""


def detect_qrs(signal: np.ndarray, fs: float) -> np.ndarray:
    """Return the positions (N,) of the beats of a signal (samples, leads), int64, as ``sleepecg`` finds them.

    The first lead decides. Where it leaves a gap of more than 1.4 times the intervals around it, beats of the second
    that are 0.3 s from any other are put in: a ventricular beat may hardly be seen in one lead. Of two that are less
    than 0.28 s apart one may be a P or T wave: see ``drop_double_detections``.

    Args:
        signal: Millivolts.
        fs: Samples a second.
    """
    return drop_double_detections(signal, _in_both_leads(signal, fs), fs)


def drop_double_detections(signal: np.ndarray, peaks: np.ndarray, fs: float) -> np.ndarray:
    """Return positions (N,) without those that lie less than 0.28 s from one that is far steeper.

    How steep is the range of the signal's changes over 30 ms, within 80 ms, which a QRS complex has large and P and T
    waves have small, over the record's median and averaged over leads; one is left out if it has less than 0.7 of the
    other. Distance and share were chosen on DS1 of MIT-BIH.

    Args:
        signal: Millivolts (samples, leads).
        peaks: Positions (N,), ascending.
        fs: Samples a second.
    """
    close = np.flatnonzero(np.diff(peaks) < DOUBLE_DETECTION_SECONDS * fs)
    if not len(close):
        return peaks
    step = max(1, round(0.03 * fs))
    reach = max(step, int(0.08 * fs))
    window = signal[(peaks[:, None] + np.arange(-reach, reach + 1)).clip(0, len(signal) - 1)]
    steepness = np.ptp(window[:, step:] - window[:, :-step], axis=1)
    steepness = (steepness / np.median(steepness, axis=0).clip(1e-3)).mean(1)
    kept = np.ones(len(peaks), bool)
    for k in close:
        weak, strong = (k, k + 1) if steepness[k] < steepness[k + 1] else (k + 1, k)
        if kept[weak] and kept[strong] and steepness[weak] < STEEPNESS_RATIO * steepness[strong]:
            kept[weak] = False
    return peaks[kept]


def _in_both_leads(signal: np.ndarray, fs: float) -> np.ndarray:
    """Return the positions (N,) of the beats of the first lead, and of the second in its gaps."""
    first = _detect_in_lead(signal[:, 0], fs)
    second = _detect_in_lead(signal[:, 1], fs) if signal.shape[1] > 1 else first[:0]
    if len(first) < 3 or not len(second):
        return first if len(first) >= len(second) else second
    intervals = np.diff(first)
    # The median of the sixteen intervals around each.
    padded = (
        np.pad(intervals, (8, 7), mode="reflect")
        if len(intervals) > 8
        else np.full(len(intervals) + 15, np.median(intervals))
    )
    local_median = np.median(np.lib.stride_tricks.sliding_window_view(padded, 16), axis=1)
    after = np.searchsorted(first, second)
    inside = (after > 0) & (after < len(first))
    second, after = second[inside], after[inside]
    before_gap, after_gap = second - first[after - 1], first[after] - second
    missed = (before_gap > 0.3 * fs) & (after_gap > 0.3 * fs) & (intervals[after - 1] > 1.4 * local_median[after - 1])
    return np.sort(np.concatenate([first, second[missed]]))


def _detect_in_lead(lead: np.ndarray, fs: float) -> np.ndarray:
    """Return the positions (N,) of the beats of one lead (samples,)."""
    lead = lead.astype(np.float64)
    if len(lead) < MIN_SECONDS * fs or np.ptp(lead) < 1e-3:
        return np.zeros(0, np.int64)
    return np.asarray(needs("sleepecg", "ecg").detect_heartbeats(lead, fs), np.int64)
