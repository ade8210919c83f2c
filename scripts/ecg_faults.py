"""Faults of ECG recordings, as functions of a signal: what a detector or a classifier has to withstand.

Each function takes millivolts (samples, leads) and the sampling rate in Hz, and returns a faulty copy and the mask
(samples,) of the samples at which no lead can be read. None depends on anything random but a fixed seed. ``FAULTS``
has them by name.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Fault = Callable[[np.ndarray, float], tuple[np.ndarray, np.ndarray]]

PULSE_SECONDS = 0.1
"""Width of the pulse. Set by hand."""
RAIL_MILLIVOLTS = 5.12
"""Upper end of the range of MIT-BIH's recorder, at which a saturated lead stays."""


def _span(signal: np.ndarray, fs: float, start: float, seconds: float) -> tuple[slice, np.ndarray]:
    """Return the samples from a time on, as far as the signal has them, and their mask (samples,)."""
    where = slice(round(start * fs), round((start + seconds) * fs))
    mask = np.zeros(len(signal), bool)
    mask[where] = True
    return where, mask


def _second_half(signal: np.ndarray, fs: float) -> tuple[slice, np.ndarray]:
    return _span(signal, fs, len(signal) / fs / 2, len(signal) / fs)


def unchanged(signal: np.ndarray, fs: float) -> tuple[np.ndarray, np.ndarray]:
    """The recording as it is."""
    return signal.copy(), np.zeros(len(signal), bool)


def pulse(signal: np.ndarray, fs: float) -> tuple[np.ndarray, np.ndarray]:
    """A rectangular pulse of 10 mV at 1.3 s, 0.1 s wide, in all leads: while a detector finds its thresholds."""
    where, mask = _span(signal, fs, 1.3, PULSE_SECONDS)
    faulty = signal.copy()
    faulty[where] += 10
    return faulty, mask


def white_noise(signal: np.ndarray, fs: float) -> tuple[np.ndarray, np.ndarray]:
    """White noise with a standard deviation of 5 mV for 3 s from the middle of the recording, in all leads."""
    where, mask = _span(signal, fs, len(signal) / fs / 2, 3)
    faulty = signal.copy()
    faulty[where] += np.random.default_rng(0).normal(0, 5, faulty[where].shape).astype(signal.dtype)
    return faulty, mask


def flat_lead(signal: np.ndarray, fs: float) -> tuple[np.ndarray, np.ndarray]:
    """The first lead constant, at its last value, in the second half of the recording."""
    where, mask = _second_half(signal, fs)
    faulty = signal.copy()
    faulty[where, 0] = faulty[max(where.start - 1, 0), 0]
    return faulty, np.zeros_like(mask)


def missing_lead(signal: np.ndarray, fs: float) -> tuple[np.ndarray, np.ndarray]:
    """The first lead missing, NaN, in the second half of the recording."""
    where, mask = _second_half(signal, fs)
    faulty = signal.copy()
    faulty[where, 0] = np.nan
    return faulty, np.zeros_like(mask)


def saturated(signal: np.ndarray, fs: float) -> tuple[np.ndarray, np.ndarray]:
    """All leads at 5.12 mV, the end of the recorder's range, for a minute from the middle of the recording."""
    where, mask = _span(signal, fs, len(signal) / fs / 2, 60)
    faulty = signal.copy()
    faulty[where] = RAIL_MILLIVOLTS
    return faulty, mask


FAULTS: dict[str, Fault] = {
    "unchanged": unchanged,
    "pulse of 10 mV at 1.3 s": pulse,
    "3 s of 5 mV white noise": white_noise,
    "lead 1 flat for half": flat_lead,
    "lead 1 missing for half": missing_lead,
    "saturated for a minute": saturated,
}
