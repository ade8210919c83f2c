"""The sampling rate of a table: of a column of time, of what is written above it, or given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from datamodules.ecg.table_layout import stated_rate
from datamodules.ecg.time_columns import (
    PLAUSIBLE_RATES,
    READABLE_RATES,
    REGULAR,
    SECONDS,
    Steps,
    overall_rate,
    rate_of,
    seconds_per_unit,
    steps_of,
    time_unit,
)

AGREEMENT = 0.01
"""Largest relative difference of two rates that are taken for the same."""


class TimeColumn(NamedTuple):
    """A column that may hold time or sample numbers."""

    number: int
    """Place of the column, from 0."""
    shown: str
    """What it is called in messages."""
    name: str
    unit: str
    kind: str
    """``clock`` for text, ``time`` or ``counter``."""


class Rate(NamedTuple):
    """A sampling rate and where it is from."""

    fs: float
    """Hz."""
    text: str
    """What was taken for the time."""
    warnings: list[str]
    column: TimeColumn | None = None
    """The column by which missing samples are found, if any."""
    steps: Steps = Steps(0.0, 0.0, 0.0, 0.0)
    scale: float = 0.0
    """Seconds per unit of the column; 0 for sample numbers."""
    used: int = -1
    """Number from 0 of the column that was taken as time or sample numbers; -1 if none was."""


class _Judged(NamedTuple):
    column: TimeColumn
    steps: Steps
    scale: float
    fs: float
    regular: bool


def find_rate(
    path: Path, fs: float | None, columns: Sequence[tuple[TimeColumn, np.ndarray]], pairs: Sequence[tuple[str, str]]
) -> Rate:
    """Find the sampling rate of a table.

    Args:
        path: Path of the table, for messages.
        fs: The rate that a user gave in Hz, or None.
        columns: Columns that may hold time, and their values (rows,), float64.
        pairs: Keys and values written above the table.

    Raises:
        ValueError: If there is none, or two of them differ by more than ``AGREEMENT``.
    """
    judged = [_judge(column, values) for column, values in columns]
    timed = sorted((each for each in judged if each.fs and each.regular), key=lambda each: -each.steps.regular)
    loose = [each for each in judged if each.fs and not each.regular]
    wrong = [each for each in judged if each.fs < 0]
    counted = [each for each in judged if each.regular and each.fs == 0 and each.steps.step > 0]
    timed = [each for each in timed if each.fs > 0]
    loose = [each for each in loose if each.fs > 0]
    hertz, written = stated_rate(pairs)
    warnings: list[str] = []
    best = timed[0] if timed else None
    if wrong and not timed and fs is None and not hertz:
        each = wrong[0]
        raise ValueError(
            f"{path}: {each.column.shown} steps by {each.steps.step:g}, a rate of {-each.fs:g} Hz by its unit; "
            "give fs and time_column='none'"
        )
    if best:
        step = f"{best.column.shown} steps by {best.steps.step * best.scale * 1e3:.6g} ms, {best.fs:g} Hz"
        if fs is not None and abs(fs - best.fs) > AGREEMENT * best.fs:
            raise ValueError(f"{path}: fs={fs:g}, but {step}; leave out fs, or give time_column='none'")
        if fs is None and hertz and abs(hertz - best.fs) > AGREEMENT * best.fs:
            raise ValueError(f"{path}: {written!r} is stated, but {step}; give fs and time_column='none'")
        others = [each for each in timed[1:] if abs(each.fs - best.fs) > AGREEMENT * best.fs]
        warnings += [f"{each.column.shown} has {each.fs:g} Hz, but {step}: the latter is taken" for each in others]
        if not PLAUSIBLE_RATES[0] <= best.fs <= PLAUSIBLE_RATES[1]:
            warnings.append(f"{step}, an unusual rate of an ECG")
        text = f"{best.column.shown} taken as time"
        return Rate(fs or best.fs, text, warnings, best.column, best.steps, best.scale, best.column.number)
    if fs is not None and hertz and abs(fs - hertz) > AGREEMENT * hertz:
        raise ValueError(f"{path}: fs={fs:g}, but {written!r} is stated; leave out fs, or give time_column='none'")
    column = counted[0] if counted else None
    text = f"{column.column.shown} taken as sample numbers" if column else ""
    place = (column.column, column.steps, 0.0, column.column.number) if column and _is_rising(columns, column) else ()
    if fs is not None or hertz:
        rate = fs or hertz
        for each in loose:
            if abs(each.fs - rate) > 0.05 * rate:
                line = f"{each.column.shown} has {each.fs:.4g} rows a second in all, but {rate:g} Hz is taken"
                warnings.append(f"{line}: are samples missing?")
        text = ", ".join(part for part in (f"rate as given by {written!r}" if fs is None else "", text) if part)
        return Rate(rate, text, warnings, *place)
    if loose:
        each = loose[0]
        line = f"the steps of {each.column.shown} are irregular: the rate is that of all rows, and gaps are not filled"
        return Rate(each.fs, f"{each.column.shown} taken as time", [line], used=each.column.number)
    raise ValueError(f"{path}: a CSV file does not say its rate; give fs, the samples a second")


def _is_rising(columns: Sequence[tuple[TimeColumn, np.ndarray]], judged: _Judged) -> bool:
    """Return whether sample numbers never begin anew."""
    values = next(values for column, values in columns if column == judged.column)
    return bool((np.diff(values) >= 0).all())


def _judge(column: TimeColumn, values: np.ndarray) -> _Judged:
    """Return the steps, unit and rate of a column; a negative rate is one that its stated unit makes impossible."""
    steps = steps_of(values)
    if not steps.step:
        return _Judged(column, steps, 0.0, 0.0, False)
    regular = steps.regular >= REGULAR
    if column.kind == "counter":
        return _Judged(column, steps, 0.0, 0.0, regular and steps.step == 1)
    if column.kind == "clock":
        fs = rate_of(values, steps, 1.0) if regular else overall_rate(values)
        plausible = READABLE_RATES[0] <= fs <= READABLE_RATES[1]
        return _Judged(column, steps, 1.0, fs if plausible else -fs, regular)
    if regular:
        scale, _ = seconds_per_unit(column.name, column.unit, steps.step)
        if scale < 0:
            stated = time_unit(column.unit, True) or time_unit(column.name)
            return _Judged(column, steps, 0.0, -1 / (SECONDS[stated] * steps.step), regular)
        return _Judged(column, steps, scale, rate_of(values, steps, scale) if scale else 0.0, regular)
    overall = overall_rate(values)
    scale = seconds_per_unit(column.name, column.unit, 1 / overall)[0] if overall else 0.0
    return _Judged(column, steps, scale, overall / scale if scale > 0 else 0.0, False)
