"""Which detections of QRS complexes are beats: neither P nor T waves, nor noise between two beats."""

from __future__ import annotations

import numpy as np
from scipy.signal import butter, sosfiltfilt

from datamodules.ecg.signal_quality import SignalQuality, ranges_of

WAVES = ((0.28, 0.8), (0.36, 0.5))
"""Distances in seconds below which one of two detections is a P or T wave if it has less than the share beside it of
the other's steepness. Chosen on DS1 of MIT-BIH."""
SUPERFLUOUS_STEEPNESS, SUPERFLUOUS_TOLERANCE = 0.8, 0.12
"""Steepness relative to both neighbours, and deviation of their distance from the median interval, below which a
detection between two beats on time is none. Chosen on DS1 of MIT-BIH."""
LIKENESS, LIKENESS_TOLERANCE = 0.9, 0.3
"""Correlation with the beats around below which a detection, no larger than they are, is noise if they are on time
without it, and the deviation of their distance from the median interval. Chosen on DS1 of MIT-BIH with one lead
flat."""
LIKENESS_SECONDS, LIKENESS_BEATS = 0.08, 10
"""Half the length of the compared stretch, and the number of beats on either side. Set by hand."""
LIKENESS_BAND = (3.0, 35.0)
"""Pass band in Hz of the compared stretches. Set by hand."""
MARGIN_SECONDS = 0.5
"""Length that is filtered before and after it. Set by hand."""
BLOCK_BEATS = 4_096
"""Number of stretches that are filtered at a time, which bounds the memory."""
MOST_UNLIKE = 4
"""Largest number of successive detections that are dropped together. Set by hand."""


def drop_waves(peaks: np.ndarray, steepness: np.ndarray, fs: float) -> np.ndarray:
    """Return positions without P and T waves: the much less steep of two close detections.

    Args:
        peaks: Positions (N,), ascending.
        steepness: Steepness (N,) at each.
        fs: Sampling rate in Hz.
    """
    for seconds, ratio in WAVES:
        kept = np.ones(len(peaks), bool)
        for k in np.flatnonzero(np.diff(peaks) < seconds * fs):
            weak, strong = (k, k + 1) if steepness[k] < steepness[k + 1] else (k + 1, k)
            if kept[weak] and kept[strong] and steepness[weak] < ratio * steepness[strong]:
                kept[weak] = False
        peaks, steepness = peaks[kept], steepness[kept]
    return peaks


def drop_superfluous(peaks: np.ndarray, steepness: np.ndarray) -> np.ndarray:
    """Return positions (N,) without small detections between two beats that are on time without them.

    Args:
        peaks: Positions (N,), ascending.
        steepness: Steepness (N,) at each.
    """
    intervals = np.diff(peaks)
    kept = np.ones(len(peaks), bool)
    for k in range(1, len(peaks) - 1):
        if not kept[k - 1] or steepness[k] >= SUPERFLUOUS_STEEPNESS * min(steepness[k - 1], steepness[k + 1]):
            continue
        others = np.concatenate([intervals[max(0, k - 12) : k - 1], intervals[k + 1 : k + 12]])
        usual = float(np.median(others)) if len(others) else 0.0
        kept[k] = abs(peaks[k + 1] - peaks[k - 1] - usual) >= SUPERFLUOUS_TOLERANCE * usual
    return peaks[kept]


def drop_noise(
    peaks: np.ndarray, signal: np.ndarray, fs: float, quality: SignalQuality, leads: list[int]
) -> np.ndarray:
    """Return positions without detections, unlike the beats around them, between two beats that are on time.

    Args:
        peaks: Positions (N,), ascending.
        signal: Millivolts (samples, leads).
        fs: Sampling rate in Hz.
        quality: Quality of the signal.
        leads: Numbers of the leads that are compared.
    """
    intervals, stretches = np.diff(peaks), quality.at(peaks, fs)
    usual = usual_intervals(intervals, LIKENESS_BEATS)
    short = np.concatenate([[False], intervals < (1 + LIKENESS_TOLERANCE) / 2 * usual, [False]])
    unlike = _unlike(np.flatnonzero(short[1:] | short[:-1]), peaks, signal, fs, quality.readable[stretches], leads)
    kept = np.ones(len(peaks), bool)
    for start, stop in ranges_of(unlike):
        if not start or stop == len(peaks) or stop - start > MOST_UNLIKE:
            continue
        others = np.concatenate([intervals[max(0, start - 12) : start - 1], intervals[stop : stop + 12]])
        if not len(others):
            continue
        deviation = abs(peaks[stop] - peaks[start - 1] - np.median(others))
        kept[start:stop] = deviation >= LIKENESS_TOLERANCE * np.median(others)
    return peaks[kept]


def _unlike(
    numbers: np.ndarray, peaks: np.ndarray, signal: np.ndarray, fs: float, readable: np.ndarray, leads: list[int]
) -> np.ndarray:
    """Return whether each detection (N,) is in each lead unlike the median of those around it, and no larger.

    Args:
        numbers: Numbers of the detections that are compared; the others are not unlike.
        peaks: Positions (N,), ascending.
        signal: Millivolts (samples, leads).
        fs: Sampling rate in Hz.
        readable: Whether each lead can be read at each detection (N, leads).
        leads: Numbers of the leads that are compared.
    """
    unlike = np.zeros(len(peaks), bool)
    unlike[numbers] = readable[numbers][:, leads].any(1)
    radius = max(2, int(LIKENESS_SECONDS * fs))
    shift = radius // 3
    for lead in leads:
        windows = _filtered_windows(peaks, signal[:, lead], fs, radius + shift) if unlike.any() else peaks
        for k in np.flatnonzero(unlike & readable[:, lead]):
            beside = np.r_[max(0, k - LIKENESS_BEATS) : k, k + 1 : min(len(peaks), k + 1 + LIKENESS_BEATS)]
            beside = beside[readable[beside, lead]]
            if not len(beside):
                continue
            usual, own = np.median(windows[beside, shift:-shift], axis=0), windows[k]
            shifted = np.lib.stride_tricks.sliding_window_view(own, len(usual))
            centred, usual = shifted - shifted.mean(1, keepdims=True), usual - usual.mean()
            norms = np.linalg.norm(centred, axis=1) * np.linalg.norm(usual)
            like = (centred @ usual >= LIKENESS * np.maximum(norms, 1e-12)).any()
            unlike[k] = not like and np.ptp(own[shift:-shift]) < np.ptp(usual)
    return unlike


def _filtered_windows(peaks: np.ndarray, lead: np.ndarray, fs: float, radius: int) -> np.ndarray:
    """Return the filtered samples (N, 2 * radius + 1) of a lead around positions."""
    margin = int(MARGIN_SECONDS * fs)
    band = butter(2, (LIKENESS_BAND[0], min(LIKENESS_BAND[1], 0.45 * fs)), "bandpass", fs=fs, output="sos")
    window, found = np.arange(-radius - margin, radius + margin + 1), np.empty((len(peaks), 2 * radius + 1))
    for start in range(0, len(peaks), BLOCK_BEATS):
        index = (peaks[start : start + BLOCK_BEATS, None] + window).clip(0, len(lead) - 1)
        around = np.nan_to_num(lead[index].astype(np.float64))
        found[start : start + BLOCK_BEATS] = sosfiltfilt(band, around, axis=1, padlen=0)[:, margin:-margin]
    return found


def usual_intervals(intervals: np.ndarray, half: int) -> np.ndarray:
    """Return the median of the intervals around each one."""
    padded = np.pad(intervals, half, mode="reflect" if len(intervals) > half else "edge")
    return np.asarray(np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1), axis=1))
