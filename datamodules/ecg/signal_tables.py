"""Signals in tables of text, such as CSV files of devices and sites."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.ecg.lead_choice import describe, find_signal, to_millivolts
from datamodules.ecg.lead_names import is_lead
from datamodules.ecg.table_columns import MIN_ROWS, Column, find_columns, to_float
from datamodules.ecg.table_layout import (
    Layout,
    find_layout,
    is_number,
    open_table,
    refuse_encoding,
    stated_lead,
    stated_unit,
)
from datamodules.ecg.table_rates import TimeColumn, find_rate
from datamodules.ecg.time_columns import clock_seconds, find_gaps, is_counting, over_midnight
from datamodules.ecg.wfdb_files import Leads
from datamodules.errors import needs

CHUNK_ROWS = 500_000
"""Rows that are converted at a time, so that text and float64 numbers of few rows are in memory."""
EXPECTED = "expected numbers in columns, a lead each"


def read_signals(
    path: Path,
    fs: float | None = None,
    wanted: Sequence[str | int] | None = None,
    units: str | None = None,
    time_column: str | int | None = None,
) -> Leads:
    """Read a table of numbers with one column per lead, or one row per lead.

    Separators, decimal commas, the encoding, a header, a row of units and lines of keys and values above the table are
    recognised. Columns of time are recognised by their names and constant steps; the rate is that of their steps, else
    that stated above the table. Samples missing by a column of time are NaN. Columns of other signals, sample numbers
    and markers, and constant columns, are left out. A unit that is not stated is judged by the amplitude.

    Args:
        path: Path of the table, which may be compressed.
        fs: Sampling rate in Hz, which must be that of the file within 1 % if it states one.
        wanted: Names, or numbers from 1, of the columns to take in that order; None for all that may be an ECG.
        units: Unit of all leads; None for that of the file.
        time_column: Name, or number from 1, of the column of time; ``"none"`` to take no rate and no time from the
            file; None to recognise it.

    Raises:
        ValueError: If the file is not such a table, its rate or unit cannot be told, or an argument does not fit it;
            the message names it, and the row of a cell at fault.
    """
    layout = find_layout(path)
    try:
        return _read(path, layout, fs, wanted, units, time_column)
    except ValueError as error:
        if layout.guessed and EXPECTED in str(error):  # the text may be no such table because of its encoding
            refuse_encoding(path)
        if str(error).startswith(str(path)):
            raise
        raise ValueError(f"{path}: {error}") from error


def _read(
    path: Path,
    layout: Layout,
    fs: float | None,
    wanted: Sequence[str | int] | None,
    units: str | None,
    time_column: str | int | None,
) -> Leads:
    use_time = time_column is None or str(time_column).strip().lower() != "none"
    pairs = layout.pairs if use_time else []
    if len(layout.rows) < 2:
        find_rate(path, fs, [], pairs)  # raises if there is no rate
    columns = find_columns(layout, wanted, time_column)
    names = [column.name for column in columns]
    if not any(column.kind in ("clock", "time") for column in columns):
        find_rate(path, fs, [], pairs)  # before all rows are read
    arrays = _transposed(path, layout, columns) if layout.transposed else _numbers(path, layout, columns)
    length = max((len(array) for array in arrays.values()), default=0)
    if not length or not any(np.isfinite(array).any() for array in arrays.values()):
        raise ValueError(f"{path} is empty: expected millivolts, a column a lead")
    left_out = [f"{_shown(k, layout, names)} ({c.reason})" for k, c in enumerate(columns) if c.kind == "skip"]
    signals = [k for k, column in enumerate(columns) if column.kind == "signal"]
    if wanted is None:
        signals = _varying(signals, arrays, columns, layout, left_out)
    else:
        signals = [
            find_signal(each, names, "column") for each in ([wanted] if isinstance(wanted, (str, int)) else wanted)
        ]
    if not signals:
        raise ValueError(f"no column of a lead beside {', '.join(_shown(k, layout, names) for k in range(len(names)))}")
    # The columns of time, the likeliest first
    times = [
        TimeColumn(
            k, _shown(k, layout, names), columns[k].name if layout.names else "", columns[k].unit, columns[k].kind
        )
        for k in arrays
        if columns[k].kind in ("clock", "time", "counter")
    ]
    rate = find_rate(path, fs, [(each, arrays[each.number]) for each in times], pairs)
    warnings, text = list(rate.warnings), rate.text
    signal = np.empty((length, len(signals)), np.float32)
    for place, k in enumerate(signals):
        signal[:, place] = arrays.pop(k)
    if rate.column is not None:
        gaps = find_gaps(arrays[rate.column.number], rate.steps, rate.scale, rate.column.shown)
        warnings += gaps.warnings
        if gaps.place is not None:
            whole = np.full((int(gaps.place[-1]) + 1, len(signals)), np.nan, np.float32)
            whole[gaps.place] = signal
            signal = whole
    left_out += [
        f"{each.shown} ({'time' if each.kind != 'counter' else 'sample numbers'})"
        for each in times
        if each.number != rate.used
    ]
    stated = stated_unit(layout.pairs)
    known, doubts = to_millivolts(signal, [columns[k].unit or stated for k in signals], rate.fs, units)
    leads = [columns[k].name if _named(k, layout, columns) else f"lead {n + 1}" for n, k in enumerate(signals)]
    if len(leads) == 1 and not _named(signals[0], layout, columns):
        leads = [stated_lead(layout.pairs) or leads[0]]
    line = describe(leads, known, f"{rate.fs:g} Hz", left_out, text, "one row a lead" if layout.transposed else "")
    return Leads(signal, float(rate.fs), leads, [f"{path}: {warning}" for warning in warnings + doubts], line)


def _named(k: int, layout: Layout, columns: Sequence[Column]) -> bool:
    if layout.transposed:
        return not is_number(layout.rows[k][0], layout.decimal)
    return layout.names is not None and bool(columns[k].name.strip())


def _shown(k: int, layout: Layout, names: Sequence[str]) -> str:
    what = "row" if layout.transposed else "column"
    return (
        f"{what} {k + 1} {names[k]!r}"
        if (layout.names or layout.transposed) and names[k].strip()
        else f"{what} {k + 1}"
    )


def _varying(
    signals: list[int], arrays: dict[int, np.ndarray], columns: Sequence[Column], layout: Layout, left_out: list[str]
) -> list[int]:
    """Return the columns that vary as a signal; constant ones, markers and counters without a lead's name are none."""
    reasons = {}
    for k in signals:
        some = arrays[k][:1_000_000]
        some = some[np.isfinite(some)]
        low, high = np.fmin.reduce(arrays[k]), np.fmax.reduce(arrays[k])
        if not low < high:
            reasons[k] = "constant"
        elif len(some) >= MIN_ROWS and ((np.diff(some) >= 0).all() or (np.diff(some) <= 0).all()):
            reasons[k] = "only rises or falls, as a time of irregular steps"
        elif len(some) >= MIN_ROWS and (some == np.rint(some)).all():
            values, numbers = np.unique(some[:100_000], return_counts=True)
            if len(values) <= 4 and numbers.max() > 0.9 * numbers.sum() and len(some) > 100:
                reasons[k] = "marker"
            elif is_counting(some):
                reasons[k] = "sample numbers"
    kept = [k for k in signals if k not in reasons or (_named(k, layout, columns) and is_lead(columns[k].name))]
    if not kept or all(k in reasons for k in kept):
        return signals
    names = [column.name for column in columns]
    left_out += [f"{_shown(k, layout, names)} ({reasons[k]})" for k in signals if k not in kept]
    return kept


def _numbers(path: Path, layout: Layout, columns: Sequence[Column]) -> dict[int, np.ndarray]:
    """Return the columns that are read: signals in float32, columns of time in float64."""
    pandas = needs("pandas", "ecg")
    parts: dict[int, list[np.ndarray]] = {k: [] for k, column in enumerate(columns) if column.kind != "skip"}
    options = {"sep": r"\s+" if layout.separator == " " else layout.separator, "skipinitialspace": True}
    # The first rows say the width to pandas; it fills shorter rows and refuses longer ones.
    with open_table(path, layout.encoding) as file:
        for _ in range(layout.skip):
            file.readline()
        try:
            chunks = pandas.read_csv(
                file,
                header=None,
                decimal=layout.decimal,
                quotechar=layout.quote,
                comment=layout.comment,
                chunksize=CHUNK_ROWS,
                skip_blank_lines=not layout.gaps,
                na_values=["-", "--", "?"],
                low_memory=False,
                **options,
            )
            offset = 0
            for chunk in chunks:
                _append(parts, chunk, columns, path, layout, offset)
                offset += len(chunk)
        except pandas.errors.EmptyDataError:
            raise ValueError(f"{path} is empty: expected millivolts, a column a lead") from None
        except (pandas.errors.ParserError, UnicodeError) as error:
            reason = re.sub(r"in line (\d+)", lambda found: f"in line {int(found[1]) + layout.skip}", str(error))
            raise ValueError(f"{path}: {EXPECTED} ({' '.join(reason.split())})") from error
    arrays = {}
    for k in list(parts):
        array = np.concatenate(parts.pop(k)) if parts[k] else np.zeros(0, np.float32)
        arrays[k] = over_midnight(array) if columns[k].kind == "clock" else array
    if layout.gaps:  # empty lines at the end are no samples
        last = max(
            (int(np.flatnonzero(np.isfinite(array))[-1]) + 1 for array in arrays.values() if len(array)), default=0
        )
        arrays = {k: array[:last] for k, array in arrays.items()}
    return arrays


def _append(
    parts: dict[int, list[np.ndarray]], chunk: Any, columns: Sequence[Column], path: Path, layout: Layout, offset: int
) -> None:
    for extra in range(len(columns), chunk.shape[1]):
        if chunk[extra].notna().any():
            raise ValueError(f"{path}: rows of {chunk.shape[1]} columns, expected {len(columns)} as in the header")
    for k, done in parts.items():
        if k >= chunk.shape[1]:
            raise ValueError(f"{path}: rows of {chunk.shape[1]} columns, expected {len(columns)} as in the header")
        if columns[k].kind == "clock":
            done.append(clock_seconds(chunk[k]))
            continue
        kind = np.float32 if columns[k].kind == "signal" else np.float64
        done.append(_as_numbers(chunk[k], path, layout, offset, k).astype(kind, copy=False))


def _as_numbers(cells: Any, path: Path, layout: Layout, offset: int, column: int) -> np.ndarray:
    """Return the cells of a column of pandas as numbers, NaN where they are empty."""
    pandas = needs("pandas", "ecg")
    if cells.dtype.kind in "iuf":
        return cells.to_numpy()
    values = cells
    if cells.dtype.kind != "b":
        text = cells.astype("string").str.strip().str.strip("'\"").str.replace("\u2212", "-")
        text = text.str.replace(",", ".") if layout.decimal == "," else text
        values = pandas.to_numeric(text.where(text != ""), errors="coerce").astype("float64")
        wrong = (values.isna() & cells.notna() & (text != "") & ~text.str.lower().isin(["nan", "n/a", "na"])).to_numpy(
            bool
        )
    else:
        wrong = np.ones(len(cells), bool)
    if wrong.any():
        row = int(np.argmax(wrong))
        place = f"{path}, row {_line_of(path, layout, offset + row)}, column {column + 1}"
        raise ValueError(f"{place}: {str(cells.iloc[row])[:40]!r} is not a number; {EXPECTED}")
    return values.to_numpy(np.float64, na_value=np.nan)


def _line_of(path: Path, layout: Layout, row: int) -> int:
    """Return the number from 1 of the line of a row from 0."""
    with open_table(path, layout.encoding) as file:
        for number, line in enumerate(file):
            if number < layout.skip or (layout.comment and line.lstrip().startswith(layout.comment)):
                continue
            if line.strip() or layout.gaps:
                if not row:
                    return number + 1
                row -= 1
    return layout.skip + row + 1


def _transposed(path: Path, layout: Layout, columns: Sequence[Column]) -> dict[int, np.ndarray]:
    """Return the rows of a table of one row a lead."""
    pandas = needs("pandas", "ecg")
    arrays = {}
    for k, row in enumerate(layout.rows):
        if columns[k].kind == "skip":
            continue
        named = not is_number(row[0], layout.decimal)
        cells = row[named:]
        while cells and not cells[-1]:
            cells = cells[:-1]
        if columns[k].kind == "clock":
            arrays[k] = over_midnight(clock_seconds(pandas.Series(cells, dtype=object)))
            continue
        wrong = next((n for n, cell in enumerate(cells) if not is_number(cell, layout.decimal)), None)
        if wrong is not None:
            place = f"{path}, row {k + 1}, column {wrong + 1 + named}"
            raise ValueError(f"{place}: {cells[wrong][:40]!r} is not a number; {EXPECTED}")
        kind = np.float32 if columns[k].kind == "signal" else np.float64
        arrays[k] = np.array([to_float(cell) for cell in cells], kind)
    lengths = sorted({len(array) for array in arrays.values()})
    if len(lengths) > 1:
        raise ValueError(f"{path}: rows of {' and '.join(map(str, lengths))} numbers; expected one column per lead")
    return arrays
