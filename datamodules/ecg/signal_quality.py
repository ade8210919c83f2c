"""Quality of a recording: which stretches of which leads can be read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

FAULTS = ("", "missing", "flat", "saturated", "artefact", "noise")
"""Faults of a stretch of a lead by their code; none is the first."""
MISSING, FLAT, SATURATED, ARTEFACT, NOISE = range(1, len(FAULTS))
STRETCH_SECONDS = 1.0
"""Length of a stretch."""
MISSING_SHARE = 0.1
"""Share of missing samples from which a stretch is missing. Set by hand."""
FLAT_RATIO, FLAT_STRETCHES = 0.01, 3
"""Range, relative to the lead's amplitude, below which a stretch is flat, and the number of such stretches in a row
that are a fault rather than the rest between two beats. Set by hand."""
SILENT_RATIO = 0.1
"""Range, relative to the largest ones, below which a stretch has no part in the lead's amplitude, so that a heart or a
lead that is silent most of the time does not set it. Set by hand."""
SATURATED_SHARE = 0.25
"""Share of samples at the largest or smallest value of the lead from which a stretch is saturated. Set by hand."""
RAIL_DISTANCE = 1.5
"""Distance of that value from the median, in amplitudes of the lead, from which it is the end of the recorder's range.
Set by hand."""
ARTEFACT_RATIO = 6.0
"""Range, in amplitudes of the lead, above which a stretch is an artefact; ventricular beats stay below. Set by hand."""
NOISE_RATIO = 0.15
"""Median curvature, in amplitudes of the lead, above which a stretch is noise: in an ECG most samples lie between two
QRS complexes and are nearly straight. Set by hand."""
CURVATURE_SECONDS = 0.02
"""Distance of the samples between which the curvature is measured, and over which they are averaged, so that a hum of
50 Hz is no noise. Set by hand."""
BLOCK_SECONDS = 600
"""Number of stretches that are measured at a time, which bounds the memory."""


class SignalQuality(NamedTuple):
    """Quality of the leads of a recording, by stretches of a second."""

    faults: np.ndarray
    """Code (stretches, leads) in ``FAULTS``, int8; the last stretch may be shorter than a second."""
    amplitude: np.ndarray
    """Millivolts (leads,), float64: median range of a lead over three seconds; 0 for a lead without signal."""

    @property
    def usable(self) -> np.ndarray:
        """Whether each stretch (stretches,) has a lead without fault."""
        return np.asarray((self.faults == 0).any(1))

    @property
    def readable(self) -> np.ndarray:
        """Whether each stretch of each lead (stretches, leads) has a signal, noisy or not."""
        return np.asarray((self.faults == 0) | (self.faults == NOISE))

    def at(self, positions: np.ndarray, fs: float) -> np.ndarray:
        """Return the numbers (N,) of the stretches of positions in samples."""
        return np.minimum((np.asarray(positions) / fs).astype(np.int64), len(self.faults) - 1)


def assess_quality(signal: np.ndarray, fs: float) -> SignalQuality:
    """Assess each second of each lead by itself: missing, flat, saturated, an artefact, noise, or without fault.

    Args:
        signal: Millivolts (samples, leads), NaN where samples are missing.
        fs: Sampling rate in Hz.
    """
    seconds = max(1, int(np.ceil(len(signal) / fs)))
    if not len(signal):
        return SignalQuality(np.full((1, signal.shape[1]), MISSING, np.int8), np.zeros(signal.shape[1]))
    faults, amplitudes = np.zeros((seconds, signal.shape[1]), np.int8), np.zeros(signal.shape[1])
    for k in range(signal.shape[1]):
        missing, span, curvature = _measure(signal[:, k], fs, seconds)
        padded = np.pad(span, 1, mode="edge")
        span_of_three = np.maximum(np.maximum(padded[:-2], padded[2:]), span)
        present = (missing < MISSING_SHARE) & (span > 0)
        if present.any():
            present &= span_of_three > SILENT_RATIO * np.quantile(span_of_three[present], 0.9)
        amplitudes[k] = amplitude = np.median(span_of_three[present]) if present.any() else 0.0
        code = faults[:, k]
        code[curvature > NOISE_RATIO * amplitude] = NOISE
        code[span > ARTEFACT_RATIO * amplitude] = ARTEFACT
        code[_share_at_rails(signal[:, k], fs, seconds, RAIL_DISTANCE * amplitude) > SATURATED_SHARE] = SATURATED
        code[runs(span <= FLAT_RATIO * amplitude, FLAT_STRETCHES)] = FLAT
        code[missing >= MISSING_SHARE] = MISSING
    return SignalQuality(faults, amplitudes)


def ranges_of(mask: np.ndarray) -> np.ndarray:
    """Return first index and last index plus one (ranges, 2) of each range of successive true values of a mask (N,)."""
    padded = np.concatenate([[0], np.asarray(mask, np.int8), [0]])
    return np.flatnonzero(np.diff(padded)).reshape(-1, 2)


def runs(mask: np.ndarray, least: int) -> np.ndarray:
    """Return a mask (N,) of the places in runs of at least ``least``, or in a run over the whole mask."""
    found = np.zeros(len(mask), bool)
    for start, stop in ranges_of(mask):
        found[start:stop] = stop - start >= min(least, len(mask))
    return found


def _windows(size: int, fs: float, seconds: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield the numbers of a block of stretches and the indices (stretches, width) of their samples."""
    width = max(2, round(fs))
    starts = np.rint(np.arange(seconds) * fs).astype(np.int64).clip(0, max(0, size - width))
    for first in range(0, seconds, BLOCK_SECONDS):
        block = slice(first, first + BLOCK_SECONDS)
        yield block, (starts[block, None] + np.arange(width)).clip(0, size - 1)


def _measure(lead: np.ndarray, fs: float, seconds: int) -> np.ndarray:
    """Return the share of missing samples, the range and the median curvature (3, seconds) of a lead."""
    step = max(1, round(CURVATURE_SECONDS * fs))
    found = np.zeros((3, seconds))
    for block, index in _windows(len(lead), fs, seconds):
        x = lead[index].astype(np.float64)
        there = np.isfinite(x)
        found[0, block] = 1 - there.mean(1)
        span = np.where(there, x, -np.inf).max(1) - np.where(there, x, np.inf).min(1)
        found[1, block] = np.where(there.any(1), span, 0)
        total = np.cumsum(np.where(there, x, 0), axis=1)
        smooth = (total[:, step:] - total[:, :-step]) / step
        if smooth.shape[1] > 2 * step:
            bends = smooth[:, 2 * step :] - 2 * smooth[:, step:-step] + smooth[:, : -2 * step]
            found[2, block] = np.median(np.abs(bends), axis=1)
    return found


def _share_at_rails(lead: np.ndarray, fs: float, seconds: int, distance: float) -> np.ndarray:
    """Return the share (seconds,) of samples at the extremes of a lead that are far from its median."""
    finite = lead[np.isfinite(lead)]
    share = np.zeros(seconds)
    if not len(finite) or distance <= 0:
        return share
    middle = np.median(finite[:: max(1, len(finite) // 100_000)])
    rails = [x for x in (finite.min(), finite.max()) if abs(x - middle) > distance]
    for block, index in _windows(len(lead), fs, seconds) if rails else ():
        share[block] = np.isin(lead[index], rails).mean(1)
    return share
