"""Detection of QRS complexes in a recording, over all leads that can be read."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from scipy.ndimage import maximum_filter1d, minimum_filter1d, uniform_filter1d
from scipy.signal import butter, find_peaks, sosfiltfilt

from datamodules.ecg.false_beats import drop_noise, drop_superfluous, drop_waves, usual_intervals
from datamodules.ecg.records import fill_gaps
from datamodules.ecg.signal_quality import NOISE, SignalQuality, assess_quality

MIN_FS = 60.0
"""Sampling rate in Hz above which beats can be detected: a QRS complex has frequencies up to 30 Hz."""
MIN_SECONDS = 1.0
"""Duration below which no beats are detected. Set by hand."""
COMBINED_LEADS = 4
"""Number of leads that are combined, those that can be read for longest, the first ones of equals. Set by hand."""
BAND = (5.5, 35.0)
"""Pass band in Hz, in which QRS complexes stand out from P and T waves. Chosen on DS1 of MIT-BIH."""
SLOPE_SECONDS, SPREAD_SECONDS = 0.03, 0.05
"""Time over which changes are taken, and half the time over which their range is taken. Set by hand."""
CLIP = 4.0
"""Amplitudes of the lead at which the signal is clipped, so that an artefact weighs no more than a beat. Set by hand;
3 to 6 make no difference on DS1 of MIT-BIH."""
LEVEL_SECONDS, LEVEL_WINDOWS, LEVEL_QUANTILE = 1.5, 17, 0.3
"""Length of the windows whose maxima are steepnesses of beats, number of windows around each that are looked at, and
the quantile of their maxima. Chosen on DS1 of MIT-BIH."""
LEVEL_FLOOR, FLOOR_QUANTILE = 0.2, 0.9
"""Smallest steepness of a beat, in the quantile of those of the whole lead, so that noise in which the heart or a lead
is silent has no beats. Set by hand."""
THRESHOLD, NOISE_FACTOR = 0.28, 1.5
"""Smallest steepness of a beat, in those of the lead, and in those of its noise. Chosen on DS1 of MIT-BIH."""
NOISY_WEIGHT = 0.05
"""Factor of the weight of a lead in stretches of noise. Set by hand."""
REFRACTORY_SECONDS = 0.25
"""Smallest distance of two beats. Chosen on DS1 of MIT-BIH."""
GAP_RATIO, GAP_SECONDS = 1.5, 0.3
"""Interval, relative to the median of those around it, above which beats may be missing, and the smallest distance of
an inserted one from its neighbours. Chosen on DS1 of MIT-BIH."""
GAP_THRESHOLD, GAP_NOISE_FACTOR = 0.6, 1.2
"""Threshold in such an interval, relative to ``THRESHOLD`` and to the noise. Chosen on DS1 of MIT-BIH."""
WIDE_BEAT_SIZE, WIDE_BEAT_INTERVAL = 0.6, 0.45
"""Deflection, relative to that of the beats around, from which a wave in such an interval is a wide beat, and its
smallest distance from the beat before, relative to the usual interval, at which it is no T wave. Set by hand."""
PEAK_SECONDS = 0.06
"""Largest distance of the R peak from the middle of the steep stretch. Set by hand."""
DEFLECTION = 0.3
"""Deflection in amplitudes of a lead from which a beat's R peak is looked for in no further lead. Set by hand."""
BLOCK_SECONDS, MARGIN_SECONDS = 600.0, 5.0
"""Length of the pieces that are filtered at a time, which bounds the memory, and what is added at their ends."""


def detect_qrs(signal: np.ndarray, fs: float, quality: SignalQuality | None = None) -> np.ndarray:
    """Return the positions (N,) of the beats of a signal, int64.

    The steepness of a lead is the range, within 0.1 s, of the changes over 30 ms of the signal between 5.5 and 35 Hz.
    It is divided by its usual value in the beats around, and averaged over leads with weights (beats / noise)^2;
    leads have no weight in stretches in which they are missing, flat, saturated or an artefact. Beats are the maxima
    of the average above a threshold. Of two close maxima the much smaller one is a P or T wave; in an interval of
    more than 1.5 times the usual one a lower threshold applies, and a wide wave as large as a beat is one; a small
    maximum between two beats on time is dropped. Nothing depends on more than half a minute of signal, so that no
    artefact ends the detection.

    Args:
        signal: Millivolts (samples, leads), NaN where samples are missing.
        fs: Sampling rate in Hz.
        quality: Quality of the signal; assessed if None.

    Raises:
        ValueError: If the rate is too low.
    """
    if fs <= MIN_FS:
        raise ValueError(
            f"fs={fs:g} is too low to detect beats: more than {MIN_FS:g} samples a second, or give R peaks"
        )
    if len(signal) < MIN_SECONDS * fs:
        return np.zeros(0, np.int64)
    quality = assess_quality(signal, fs) if quality is None else quality
    leads = [k for k in range(signal.shape[1]) if quality.amplitude[k] > 0 and quality.readable[:, k].any()]
    if not leads:
        return np.zeros(0, np.int64)
    leads = sorted(sorted(leads, key=lambda k: -quality.readable[:, k].sum())[:COMBINED_LEADS])
    steepness, noise = _combine(signal, fs, quality, leads)
    heights = np.maximum(THRESHOLD, NOISE_FACTOR * noise)
    peaks, _ = find_peaks(steepness, height=heights, distance=max(1, int(REFRACTORY_SECONDS * fs)))
    peaks = drop_waves(peaks, steepness[peaks], fs)
    if len(peaks) >= LEVEL_WINDOWS // 2:
        size_of = functools.partial(_deflections, signal, fs, quality, leads)
        peaks = _search_gaps(peaks, steepness, noise, fs, size_of)
        peaks = drop_superfluous(peaks, steepness[peaks])
        peaks = drop_noise(peaks, signal, fs, quality, leads)
    return _at_extremes(signal, peaks, fs, quality, leads)


def _combine(signal: np.ndarray, fs: float, quality: SignalQuality, leads: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the average steepness (samples,) and noise (samples,) of leads, relative to their beats, float32."""
    size = len(signal)
    width = min(size, round(LEVEL_SECONDS * fs))
    parts = [_steepness(signal[:, lead], fs, quality, lead) for lead in leads]
    levels = [_levels(part, quality.readable[:, lead], fs, width) for part, lead in zip(parts, leads)]
    steepness, noises = np.empty(size, np.float32), np.empty(size, np.float32)
    for start in range(0, size, int(BLOCK_SECONDS * fs)):
        piece = slice(start, min(size, start + int(BLOCK_SECONDS * fs)))
        positions = np.arange(piece.start, piece.stop)
        window, stretch = np.minimum(positions // width, size // width - 1), quality.at(positions, fs)
        weights = np.zeros((3, len(positions)), np.float32)  # of the leads, of their steepness, of their noise
        for lead, part, (beats, noise, clearness) in zip(leads, parts, levels):
            share = np.where(quality.faults[:, lead] == NOISE, NOISY_WEIGHT, quality.readable[:, lead])
            weight = clearness[window] * share[stretch]
            weights += weight.astype(np.float32) * np.stack(
                [np.ones_like(window), part[piece] / beats[window], (noise / beats)[window]]
            ).astype(np.float32)
        steepness[piece], noises[piece] = weights[1:] / np.maximum(weights[0], 1e-12)
    return steepness, noises


def _steepness(lead: np.ndarray, fs: float, quality: SignalQuality, number: int) -> np.ndarray:
    """Return the steepness (samples,) of a lead, float32; 0 where it cannot be read."""
    limit = CLIP * quality.amplitude[number]
    step, radius = max(1, round(SLOPE_SECONDS * fs)), max(1, int(SPREAD_SECONDS * fs))
    band = butter(2, (BAND[0], min(BAND[1], 0.45 * fs)), "bandpass", fs=fs, output="sos")
    block, margin = int(BLOCK_SECONDS * fs), int(MARGIN_SECONDS * fs)
    found = np.zeros(len(lead), np.float32)
    for start in range(0, len(lead), block):
        first, last = max(0, start - margin), min(len(lead), start + block + margin)
        x = fill_gaps(lead[first:last, None].astype(np.float64))[:, 0]
        readable = quality.readable[quality.at(np.arange(first, last), fs), number]
        x = np.where(readable, np.clip(x - _baseline(x, fs), -limit, limit), 0)
        x = sosfiltfilt(band, x, padlen=min(len(x) - 1, margin))
        change = np.zeros_like(x)
        middle = step // 2
        change[middle : len(x) - step + middle] = x[step:] - x[:-step]
        spread = maximum_filter1d(change, 2 * radius + 1) - minimum_filter1d(change, 2 * radius + 1)
        stop = min(len(lead), start + block)
        found[start:stop] = (spread * readable)[start - first : stop - first]
    return found


def _baseline(x: np.ndarray, fs: float) -> np.ndarray:
    """Return the medians of a signal over seconds, interpolated."""
    half = max(1, int(fs / 2))
    centres = np.arange(0, len(x), half)
    index = (centres[:, None] + np.arange(-half, half)).clip(0, len(x) - 1)
    return np.interp(np.arange(len(x)), centres, np.median(x[index], axis=1))


def _levels(
    steepness: np.ndarray, readable: np.ndarray, fs: float, width: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return three values (windows,) of a readable lead: steepness of its beats and of what lies between, and weight.

    Args:
        steepness: Steepness (samples,) of the lead.
        readable: Whether each stretch of a second can be read.
        fs: Sampling rate in Hz.
        width: Length of the windows in samples.
    """
    count = len(steepness) // width
    parts = steepness[: count * width].reshape(count, width)
    total = np.concatenate([[0], np.cumsum(readable)])
    edges = np.arange(count + 1) * width / fs
    before = np.interp(edges, np.arange(len(total)), total)
    used = np.flatnonzero(np.diff(before) > 0.7 * width / fs)
    used = used if len(used) else np.arange(count)
    maxima, medians = parts[used].max(1).astype(np.float64), np.median(parts[used], axis=1).astype(np.float64)
    half = LEVEL_WINDOWS // 2
    near = np.lib.stride_tricks.sliding_window_view(
        np.pad(np.arange(len(used)), half, mode="reflect" if len(used) > half else "edge"), LEVEL_WINDOWS
    )
    beats, noise = np.quantile(maxima[near], LEVEL_QUANTILE, axis=1), np.median(medians[near], axis=1)
    weight = (beats / np.maximum(noise, np.maximum(0.02 * beats, 1e-6))) ** 2
    beats = np.maximum(beats, max(1e-6, LEVEL_FLOOR * float(np.quantile(beats, FLOOR_QUANTILE))))
    every = np.arange(count)
    return np.interp(every, used, beats), np.interp(every, used, noise), np.interp(every, used, weight)


def _search_gaps(
    peaks: np.ndarray,
    steepness: np.ndarray,
    noise: np.ndarray,
    fs: float,
    size_of: Callable[[int, int, np.ndarray], np.ndarray],
) -> np.ndarray:
    """Return positions with those of further beats in long intervals: less steep ones, and wide ones by their size.

    Args:
        peaks: Positions (N,), ascending.
        steepness: Steepness (samples,), relative to the beats around.
        noise: The same of what lies between beats.
        fs: Sampling rate in Hz.
        size_of: Function from the first and last position of a stretch, and beats near it, to its deflections relative
            to those of the beats.
    """
    intervals, heights, margin = np.diff(peaks), steepness[peaks], int(GAP_SECONDS * fs)
    usual = usual_intervals(intervals, 4)
    usual = np.concatenate([usual[:1], usual, usual[-1:]])
    edges = np.concatenate([[0], peaks, [len(steepness)]])
    added: list[int] = []
    for k in np.flatnonzero(np.diff(edges) > GAP_RATIO * usual):
        start, stop = int(edges[k]), int(edges[k + 1])
        near = slice(max(0, k - 4), k + 4)
        level = GAP_THRESHOLD * THRESHOLD * min(1.0, float(np.median(heights[near])))
        while stop - start >= GAP_RATIO * usual[k]:
            after = max(margin, int(WIDE_BEAT_INTERVAL * usual[k]))
            low, wide = (start + margin, start + after) if start else (0, 0)
            high = stop - margin if stop < len(steepness) else stop
            found = _top(steepness[low:high])
            if found is None or steepness[low + found] < max(level, GAP_NOISE_FACTOR * float(noise[low + found])):
                size = size_of(wide, high, peaks[near])
                found, low = _top(size), wide
                if found is None or size[found] < WIDE_BEAT_SIZE:
                    break
            found += low
            added.append(found)
            start, stop = (start, found) if found - start >= stop - found else (found, stop)
    return np.unique(np.concatenate([peaks, np.array(added, np.int64)]))


def _top(values: np.ndarray) -> int | None:
    """Return the middle of the maximum of values (N,); None if it is at an end."""
    if len(values) < 3:
        return None
    first = int(values.argmax())
    if first in (0, len(values) - 1):
        return None
    return first + (int(np.argmax(np.append(values[first:] != values[first], True))) - 1) // 2


def _deflections(
    signal: np.ndarray, fs: float, quality: SignalQuality, leads: list[int], start: int, stop: int, beats: np.ndarray
) -> np.ndarray:
    """Return the deflections (stop - start,) from the median of a stretch, in those of beats, averaged over leads."""
    radius, smooth = max(1, round(PEAK_SECONDS * fs)), max(1, round(SLOPE_SECONDS * fs))
    if stop - start < 3:
        return np.zeros(0)
    used = [k for k in leads if quality.readable[quality.at(np.array([start, *beats, stop - 1]), fs), k].all()]
    total = np.zeros(stop - start)
    for lead in used:
        around = signal[(beats[:, None] + np.arange(-5 * radius, 5 * radius + 1)).clip(0, len(signal) - 1), lead]
        usual = np.nan_to_num(np.abs(around - np.median(around, axis=1, keepdims=True))).max(1)
        x = np.nan_to_num(signal[start:stop, lead].astype(np.float64))
        size = uniform_filter1d(np.abs(x - np.median(x)), smooth)
        total += size / max(float(np.median(usual)), 1e-6) / len(used)
    return total


def _at_extremes(
    signal: np.ndarray, peaks: np.ndarray, fs: float, quality: SignalQuality, leads: list[int]
) -> np.ndarray:
    """Return positions moved to the R peak: the largest deflection of the first lead that can be read and has one."""
    if not len(peaks):
        return peaks.astype(np.int64)
    radius = max(1, round(PEAK_SECONDS * fs))
    moved = np.empty(len(peaks), np.int64)
    for part in np.array_split(np.arange(len(peaks)), 1 + len(peaks) // 4096):
        wide = (peaks[part, None] + np.arange(-3 * radius, 3 * radius + 1)).clip(0, len(signal) - 1)
        readable = quality.readable[quality.at(peaks[part], fs)]
        largest, missing = np.zeros(len(part)), np.ones(len(part), bool)
        moved[part] = peaks[part]
        for lead in leads:
            x = np.nan_to_num(signal[wide, lead].astype(np.float64))
            x = np.abs(x - np.median(x, axis=1, keepdims=True))[:, 2 * radius : 4 * radius + 1]
            height = x.max(1) / quality.amplitude[lead]
            better = missing & readable[:, lead] & (height > largest)
            moved[part[better]] = wide[better, 2 * radius + x.argmax(1)[better]]
            largest = np.where(better, height, largest)
            missing &= largest < DEFLECTION
    return np.unique(moved)
