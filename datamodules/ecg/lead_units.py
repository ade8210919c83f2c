"""Units of the voltage of leads: as they are written, or judged by the amplitude."""

from __future__ import annotations

import re
import unicodedata

import numpy as np

from datamodules.errors import unknown

MILLIVOLTS = {"nV": 1e-6, "uV": 1e-3, "mV": 1.0, "V": 1e3, "adu": 1 / 200}
"""Millivolts per unit. ``adu`` are counts of a converter without a gain: WFDB's default is 200 per millivolt."""
VOLTS_RANGE = (1e-4, 1e-2)
"""Smallest and largest amplitude, without a unit, that is taken for volts. Set by hand: 0.1 to 10 mV."""
MICROVOLTS_RANGE = (50.0, 20_000.0)
"""Smallest and largest amplitude, without a unit, that is taken for microvolts or counts. Set by hand."""
LARGEST_AMPLITUDE = 20.0
"""Largest amplitude, without a unit, that is taken for millivolts. Set by hand."""
JUDGED_SECONDS = 600
"""Largest number of seconds from which the amplitude is estimated."""
COUNTS_OFFSET = 300.0
"""Distance from 0 of the median of whole numbers from which they are taken for counts. Set by hand."""
_VOLT = re.compile(r"(n|nano|m|milli|u|µ|μ|micro|[^\x00-\x7f?]{1,6}|\?{1,2}|)[ -]?v(olts?)?")
_COUNTS = ("adu", "adus", "count", "counts", "lsb", "adc counts", "adc units")
OTHER_UNITS = frozenset(
    re.split(
        " ",
        "mmhg cmh2o kpa bpm 1/min /min rpm % g mg m/s m/s2 m/s^2 m/s² deg/s dps ohm kohm l/min l ml c °c degc celsius"
        " us µs a.u. au nu hz lux db none n/a -",
    )
)
"""Units of signals that are not leads, and what is written for none, in lower case."""


def canonical_unit(text: str) -> str:
    """Return the unit of ``MILLIVOLTS`` that a text means, or an empty text if it is none of them.

    The micro sign may be either code point, or characters that come of reading it in another encoding, such as
    ``ÂµV``.
    """
    text = unicodedata.normalize("NFC", text).strip(" \t'\"[]()").lower()
    if text in _COUNTS:
        return "adu"
    found = _VOLT.fullmatch(text)
    if not found:
        return ""
    prefix = found[1]
    known = {"n": "nV", "nano": "nV", "m": "mV", "milli": "mV", "": "V"}
    return known.get(prefix, "uV")


def named_unit(text: str) -> str:
    """Return the unit that a user gave.

    Raises:
        ValueError: If it is not a unit of voltage.
    """
    found = canonical_unit(text)
    if not found:
        raise unknown("units", text, MILLIVOLTS)
    return found


def amplitude(signal: np.ndarray, fs: float) -> float:
    """Return the largest over leads of the median per-second peak-to-peak amplitude of a signal (samples, leads).

    Seconds without samples or in which a lead is flat are left out; 0 if there are no others.
    """
    length = max(2, round(fs))
    starts = np.arange(0, max(1, len(signal) - length + 1), length)
    if len(starts) > JUDGED_SECONDS:
        starts = starts[np.linspace(0, len(starts) - 1, JUDGED_SECONDS).astype(int)]
    largest = 0.0
    for lead in range(signal.shape[1]):
        spans = []
        for start in starts.tolist():
            part = signal[start : start + length, lead]
            part = part[np.isfinite(part)]
            if len(part) and np.ptp(part) > 0:
                spans.append(float(np.ptp(part)))
        if spans:
            largest = max(largest, float(np.median(spans)))
    return largest


def judge_unit(signal: np.ndarray, fs: float) -> tuple[str, str]:
    """Judge the unit of a signal (samples, leads) that states none by its amplitude.

    Returns:
        The unit, and a line that says what was assumed; empty for millivolts.

    Raises:
        ValueError: If the amplitude fits no unit.
    """
    found = amplitude(signal, fs)
    says = f"no unit is stated and a second spans {found:.3g}"
    if found == 0 or VOLTS_RANGE[1] < found <= LARGEST_AMPLITUDE:
        return "mV", ""
    if VOLTS_RANGE[0] <= found <= VOLTS_RANGE[1]:
        return "V", f"{says}: taken as volts; if they are not, give units, such as mV"
    if MICROVOLTS_RANGE[0] <= found <= MICROVOLTS_RANGE[1]:
        some = signal[:100_000]
        some = some[np.isfinite(some)]
        if (some == np.rint(some)).all() and abs(np.median(some)) > max(COUNTS_OFFSET, found / 2):
            return "adu", f"{says} about {np.median(some):g}: taken as counts, 200 a millivolt; if not, give units"
        return "uV", f"{says}: taken as microvolts; if they are counts of a converter or others, give units"
    raise ValueError(f"{says}, which fits no unit of an ECG; give units, one of {', '.join(MILLIVOLTS)}")


def doubtful_amplitude(signal: np.ndarray, fs: float) -> str:
    """Return a line about millivolts (samples, leads) whose amplitude is not that of an ECG; empty if it may be."""
    found = amplitude(signal, fs)
    if found == 0 or 1e-2 < found <= 50:
        return ""
    return f"a second spans {found:.3g} mV, which is no ECG's; if the stated unit is wrong, give units"
