"""Detection of QRS complexes in a recording."""

from __future__ import annotations

import numpy as np

from datamodules.errors import needs

MIN_FS = 60.0
"""Sampling rate in Hz above which the detector, which filters up to 30 Hz, can be used."""
MIN_SECONDS = 1.0
"""Duration below which no beats are detected. Set by hand."""
DOUBLE_DETECTION_SECONDS = 0.28
"""Distance below which one of two detections may be a P or T wave. Chosen on DS1 of MIT-BIH."""
STEEPNESS_RATIO = 0.7
"""Steepness, relative to the other of two close detections, below which a detection is dropped. Chosen on DS1 of
MIT-BIH."""
GAP_RATIO = 1.4
"""Length of an interval, relative to the median of its neighbours, above which beats may be missing. Set by hand."""
MIN_GAP_SECONDS = 0.3
"""Smallest distance from both neighbours at which a beat of the second lead is inserted. Set by hand."""


def detect_qrs(signal: np.ndarray, fs: float) -> np.ndarray:
    """Return the positions (N,) of the beats of a signal, int64, detected by ``sleepecg``.

    Beats are detected in the first lead. In an interval of more than 1.4 times the median of its neighbours, beats of
    the second lead are inserted that are more than 0.3 s from both ends, since a ventricular beat may have a small
    amplitude in one lead. ``drop_double_detections`` then removes P and T waves.

    Args:
        signal: Millivolts (samples, leads).
        fs: Sampling rate in Hz.

    Raises:
        ValueError: If the rate is too low for the filters of the detector.
    """
    if fs <= MIN_FS:
        raise ValueError(
            f"fs={fs:g} is too low to detect beats: more than {MIN_FS:g} samples a second, or give R peaks"
        )
    return drop_double_detections(signal, _detect_in_two_leads(signal, fs), fs)


def drop_double_detections(signal: np.ndarray, peaks: np.ndarray, fs: float) -> np.ndarray:
    """Return positions (N,) without the less steep of two detections within 0.28 s, if it is much less steep.

    The steepness of a detection is the range, within 80 ms, of the signal's changes over 30 ms, divided by its median
    over the record and averaged over leads: large in QRS complexes, small in P and T waves. A detection is dropped if
    it has less than 0.7 of the steepness of the other. Both thresholds were chosen on DS1 of MIT-BIH.

    Args:
        signal: Millivolts (samples, leads).
        peaks: Positions (N,), ascending.
        fs: Sampling rate in Hz.
    """
    close = np.flatnonzero(np.diff(peaks) < DOUBLE_DETECTION_SECONDS * fs)
    if not len(close):
        return peaks
    step = max(1, round(0.03 * fs))
    radius = max(step, int(0.08 * fs))
    window = signal[(peaks[:, None] + np.arange(-radius, radius + 1)).clip(0, len(signal) - 1)]
    steepness = np.ptp(window[:, step:] - window[:, :-step], axis=1)
    steepness = (steepness / np.median(steepness, axis=0).clip(1e-3)).mean(1)
    kept = np.ones(len(peaks), bool)
    for k in close:
        weak, strong = (k, k + 1) if steepness[k] < steepness[k + 1] else (k + 1, k)
        if kept[weak] and kept[strong] and steepness[weak] < STEEPNESS_RATIO * steepness[strong]:
            kept[weak] = False
    return peaks[kept]


def _detect_in_two_leads(signal: np.ndarray, fs: float) -> np.ndarray:
    """Return the positions (N,) of the beats of the first lead, and of the second lead in its gaps."""
    first = _detect_in_lead(signal[:, 0], fs)
    second = _detect_in_lead(signal[:, 1], fs) if signal.shape[1] > 1 else first[:0]
    if len(first) < 3 or not len(second):
        return first if len(first) >= len(second) else second
    intervals = np.diff(first)
    # Median of the 16 intervals around each interval.
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
    min_gap = MIN_GAP_SECONDS * fs
    long = intervals[after - 1] > GAP_RATIO * local_median[after - 1]
    missed = (before_gap > min_gap) & (after_gap > min_gap) & long
    return np.sort(np.concatenate([first, second[missed]]))


def _detect_in_lead(lead: np.ndarray, fs: float) -> np.ndarray:
    """Return the positions (N,) of the beats of one lead (samples,); none if it is too short or flat."""
    lead = lead.astype(np.float64)
    if len(lead) < MIN_SECONDS * fs or np.ptp(lead) < 1e-3:
        return np.zeros(0, np.int64)
    return np.asarray(needs("sleepecg", "ecg").detect_heartbeats(lead, fs), np.int64)
