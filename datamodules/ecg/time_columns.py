"""Columns of time in tables: clocks and numbers, their steps, and the samples missing between them."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np

from datamodules.errors import needs

DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{2,4}")
"""A date without a clock."""
CLOCK = re.compile(
    r"\[?\s*(?:\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}[T ,]+)?\d+(?::\d{1,2}){1,2}(?:[.,:]\d+)?\s*([AP]M)?\s*"
    r"(?:Z|UTC|[+-]\d\d:?\d\d)?(?:\s+\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4})?\s*\]?",
    re.IGNORECASE,
)
"""A clock or an elapsed time such as ``0:00.004``, with or without a date."""
_CLOCK_PARTS = r"(\d+(?::\d{1,2}){1,2}(?:[.,:]\d+)?)(?!\d)"
PLAUSIBLE_RATES = (60.0, 4_000.0)
"""Smallest and largest sampling rate in Hz for which a unit of time is assumed. Set by hand."""
READABLE_RATES = (20.0, 50_000.0)
"""Smallest and largest sampling rate in Hz of a column whose unit is stated. Set by hand."""
REGULAR = 0.9
"""Smallest share of equal steps of a column of time. Set by hand."""
ROUNDED = 0.005
"""Share of steps of 0 and 2 from which they come of rounding instead of missing samples. Set by hand."""
LONGEST_FILL = 7 * 24 * 3600
"""Longest time in seconds, over all gaps, that is filled with missing samples. Set by hand."""
SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "min": 60.0}
"""Seconds per unit of time."""
_UNITS = {
    "s": r"s|secs?|seconds?|sekunden?",
    "ms": r"ms|msecs?|millis(?:econds?)?",
    "us": r"[uµμ]s|usecs?|micros(?:econds?)?",
    "ns": r"ns|nanos(?:econds?)?",
    "min": r"min|minutes?",
    "clock": r"h+:m+(?::s+)?[.:,sm0-9]*|mm:ss[.\w]*|clock",
}
_UNIT_ALONE = {unit: re.compile(words, re.IGNORECASE) for unit, words in _UNITS.items()}
_UNIT_AT_END = {
    unit: re.compile(rf"(?:^|.*[\s_(\[/.,-])(?:{words})[\s)\]]*", re.IGNORECASE) for unit, words in _UNITS.items()
}
_TIME = re.compile(
    r"(?<![a-z])(date|time|timestamps?|datetime|elapsed|t|zeit\w*|uhrzeit|temps|tiempo|tempo|hora|clock|sec|secs|seconds?|epoch"
    r"|milliseconds?|millis|ms|unix\w*|time[ _]?[mun]?s|datum|ts)(?![a-z])",
    re.IGNORECASE,
)
_COUNTER = re.compile(
    r"(?<![a-z])(samples?|index|idx|n|no|nr|number|row|frames?|counters?|seq\w*|id|unnamed.*)(?![a-z])|^#$",
    re.IGNORECASE,
)


def time_unit(text: str, alone: bool = False) -> str:
    """Return the unit of time at the end of a name, or that a text is if ``alone``; empty if there is none.

    It is a key of ``SECONDS``, or ``clock`` for a format such as ``hh:mm:ss``.
    """
    table = _UNIT_ALONE if alone else _UNIT_AT_END
    return next((unit for unit, pattern in table.items() if pattern.fullmatch(text.strip())), "")


def is_time_name(name: str) -> bool:
    """Return whether a name is that of a column of time."""
    return bool(_TIME.search(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " ")))


def is_counter_name(name: str) -> bool:
    """Return whether a name is that of a column of sample numbers; an empty name is that of a table's index."""
    return not name.strip() or bool(_COUNTER.search(name.replace("_", " ")))


def clock_seconds(cells: Any) -> np.ndarray:
    """Convert clocks or dates with clocks to seconds (rows,), float64; NaN where a cell is none.

    ISO dates count from 1970; otherwise the date is ignored, and a clock that falls by half a day is on the next one.

    Args:
        cells: A ``pandas.Series`` of text.
    """
    pandas = needs("pandas", "ecg")
    text = cells.astype(str).str.strip().str.strip("'\"[] ").str.strip()
    first = next((cell for cell in text if cell and cell.lower() != "nan"), "")
    if re.match(r"\d{4}-\d{1,2}-\d{1,2}[T ]", first):
        moments = pandas.to_datetime(text.str.replace(",", "."), format="ISO8601", utc=True, errors="coerce")
        nanoseconds = moments.dt.tz_localize(None).to_numpy("datetime64[ns]")
        missing = np.isnat(nanoseconds)
        seconds = nanoseconds.astype(np.int64) / 1e9
        seconds[missing] = np.nan
        return seconds
    clock = text.str.extract(_CLOCK_PARTS, expand=False).str.replace(",", ".")
    clock = clock.str.replace(r"(:\d\d):(\d{3,})$", r"\1.\2", regex=True)  # hh:mm:ss:mmm
    parts = clock.str.split(":", expand=True)
    numbers = [pandas.to_numeric(parts[k], errors="coerce").to_numpy(np.float64) for k in range(parts.shape[1])]
    seconds = np.zeros(len(text))
    given = [~np.isnan(column) for column in numbers]
    for column, here in zip(numbers, given):
        seconds = np.where(here, seconds * 60 + column, seconds)
    seconds[~given[0]] = np.nan
    half = text.str.extract(r"(?i)([ap]m)", expand=False).str.lower()
    if half.notna().any():
        hours = numbers[0]
        seconds += np.where((half == "pm") & (hours < 12), 43_200, 0) - np.where(
            (half == "am") & (hours == 12), 43_200, 0
        )
    return seconds


def over_midnight(seconds: np.ndarray) -> np.ndarray:
    """Return clocks (rows,) in seconds that go on where they fall by at least half a day."""
    falls = np.diff(seconds, prepend=seconds[:1]) < -43_200
    return seconds + 86_400.0 * np.cumsum(falls) if falls.any() and np.nanmax(seconds) <= 86_400 else seconds


class Steps(NamedTuple):
    """Steps of a column."""

    step: float
    """Mean of the regular steps; 0 if there are none."""
    regular: float
    """Share of the steps that are regular."""
    tolerance: float
    """Largest deviation of a regular step, in the unit of the column."""
    resolution: float
    """Smallest difference that the column writes."""


def steps_of(values: np.ndarray) -> Steps:
    """Return the steps of a column of numbers (rows,), float64: how many are regular, and their mean.

    A rounded column, such as 0.003, 0.006, 0.008 at 360 Hz, is regular if its steps deviate by its last digit.
    """
    with np.errstate(invalid="ignore"):  # of infinite numbers
        steps = np.diff(values)
    positive = steps[(steps > 0) & np.isfinite(steps)]
    if not len(positive):
        return Steps(0.0, 0.0, 0.0, 0.0)
    # The commonest step, of those that are not gaps: the median is one of them.
    median = float(np.median(positive))
    some = values[np.isfinite(values)][:1_000]
    some = some - np.floor(some[0])
    resolution = next((10.0**-k for k in range(10) if np.abs(some * 10**k - np.rint(some * 10**k)).max() < 1e-4), 0.0)
    near = np.abs(steps - median)
    tolerance = 0.1 * median
    if resolution <= 0.75 * median:
        tolerance = max(tolerance, 1.01 * resolution)
    regular = near <= tolerance
    if not regular.any():
        return Steps(0.0, 0.0, 0.0, 0.0)
    if resolution > 0.75 * median and ((steps == 0) | (np.abs(steps - 2 * median) < tolerance)).mean() > ROUNDED:
        return Steps(float(steps[regular].mean()), 0.0, tolerance, resolution)  # rounded to a digit as long as a step
    return Steps(float(steps[regular].mean()), float(regular.mean()), tolerance, resolution)


def is_counting(values: np.ndarray) -> bool:
    """Return whether most steps of a column (rows,) are 1, as of sample numbers that begin anew now and then."""
    steps = np.diff(values)
    return len(steps) >= 7 and float((steps == 1).mean()) > REGULAR


def seconds_per_unit(name: str, unit: str, step: float) -> tuple[float, str]:
    """Return the seconds per unit of a column of time and the unit, by name or by the plausible rate; 0 if unknown.

    Args:
        name: Name of the column.
        unit: Its unit in a row of units, or in brackets.
        step: Its step.
    """
    stated = time_unit(unit, True) or time_unit(name)
    if stated in SECONDS and READABLE_RATES[0] <= 1 / (SECONDS[stated] * step) <= READABLE_RATES[1]:
        return SECONDS[stated], stated
    if stated in SECONDS:
        return -1.0, stated
    if step == 1:  # sample numbers, or milliseconds
        return 0.0, ""
    low, high = PLAUSIBLE_RATES
    fits = [unit for unit in ("s", "ms", "us", "ns") if low <= 1 / (SECONDS[unit] * step) <= high]
    return (SECONDS[fits[0]], fits[0]) if len(fits) == 1 else (0.0, "")


def rate_of(seconds: np.ndarray, steps: Steps, scale: float) -> float:
    """Return the sampling rate in Hz of a regular column, rounded to a whole number if it is one within the precision.

    Args:
        seconds: The column (rows,) in its own unit.
        steps: Its steps.
        scale: Seconds per unit.
    """
    rate = 1 / (steps.step * scale)
    uncertainty = max(1e-6, steps.resolution / (steps.step * max(1, len(seconds) - 1)))
    whole = round(rate)
    return float(whole) if whole and abs(rate - whole) / whole < min(uncertainty, 5e-3) else rate


def overall_rate(seconds: np.ndarray) -> float:
    """Return the rows per second between the first and the last change of a column (rows,) of seconds.

    It is 0 if the column has pauses: if the median rate of its parts is another.
    """
    changes = np.flatnonzero(np.diff(seconds) > 0) + 1
    if len(changes) < 2:
        return 0.0
    ends = changes[np.linspace(0, len(changes) - 1, min(len(changes), 21)).astype(int)]
    times = np.diff(seconds[ends])
    whole = seconds[ends[-1]] - seconds[ends[0]]
    if not whole > 0 or not (times > 0).all():
        return 0.0
    rate = float((ends[-1] - ends[0]) / whole)
    parts = float(np.median(np.diff(ends) / times))
    return rate if abs(parts - rate) <= PAUSES * rate else 0.0


PAUSES = 0.05
"""Largest relative difference of the rate of a column's parts from its whole rate. Set by hand."""


class Places(NamedTuple):
    """Where the rows of a table lie among the samples of a recording."""

    place: np.ndarray | None
    """Number (rows,) of each row's sample, int64; None if no sample is missing."""
    warnings: list[str]


def find_gaps(values: np.ndarray, steps: Steps, scale: float, name: str) -> Places:
    """Find missing samples by a regular column of time.

    Args:
        values: The column (rows,), float64.
        steps: Its steps.
        scale: Seconds per unit; 0 for sample numbers.
        name: What the column is called in messages.

    Raises:
        ValueError: If the gaps are longer than ``LONGEST_FILL``.
    """
    jumps = np.diff(values)
    ratio = jumps / steps.step
    odd = np.abs(ratio - 1) > max(steps.tolerance / steps.step, 0.1)
    unknown = ~np.isfinite(values)
    warnings = []
    if unknown.any():
        return Places(None, [f"{name} is empty in {int(unknown.sum())} rows: no gap can be found"])
    back, same = odd & (ratio < 0), odd & (ratio == 0)
    if back.any():
        row = int(np.argmax(back)) + 2
        line = f"{name} goes back in {int(back.sum())} rows, first in row {row} of the numbers"
        return Places(None, [f"{line}: rows are taken in the order of the file, and gaps are not filled"])
    if same.any():
        warnings.append(
            f"{name} repeats in {int(same.sum())} rows, first in row {int(np.argmax(same)) + 2}: all are taken"
        )
    whole = np.rint(ratio)
    gaps = odd & (whole >= 2)
    gaps[1:] &= ~(same[:-1] & (whole[1:] == 2))  # a row with the time of the one before, and none is missing
    near = np.abs(ratio - whole) <= max(0.1, 1.1 * steps.resolution / steps.step)
    small = odd & (whole < 2) & ~same
    if small.any():
        warnings.append(f"{int(small.sum())} steps of {name} are irregular: taken as one sample each")
    if not gaps.any():
        return Places(None, warnings)
    if scale and float(jumps[gaps].sum()) * scale > LONGEST_FILL:
        row = int(np.argmax(jumps)) + 2
        raise ValueError(f"{name} jumps by {float(jumps.max()) * scale:g} s at row {row}; split the file at such gaps")
    missing = np.where(gaps, whole - 1, 0).astype(np.int64)
    if not scale and missing.sum() > max(10 * len(values), 1_000_000):
        raise ValueError(f"{name} jumps by {float(jumps.max()):g}; split the file there, or give time_column='none'")
    number, samples = int(gaps.sum()), int(missing.sum())
    line = f"{number} gap{'s' if number > 1 else ''} in {name}: {samples} samples are filled in as missing"
    if (gaps & ~near).any():
        line += f"; {int((gaps & ~near).sum())} of them are no whole number of samples"
    place = np.arange(len(values), dtype=np.int64)
    place[1:] += np.cumsum(missing)
    return Places(place, [*warnings, line])
