"""What the columns of a table are: leads, time, sample numbers or other signals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from datamodules.ecg.lead_choice import choose_leads, find_signal
from datamodules.ecg.lead_names import LEADS, canonical_lead, is_lead, other_kind, split_unit
from datamodules.ecg.lead_units import OTHER_UNITS, canonical_unit
from datamodules.ecg.table_layout import Layout, is_number
from datamodules.ecg.time_columns import (
    CLOCK,
    DATE,
    is_counter_name,
    is_counting,
    is_time_name,
    steps_of,
    time_unit,
)

MIN_ROWS = 8
"""Smallest number of rows by whose steps a column without such a name is taken for time. Set by hand."""


class Column(NamedTuple):
    """A column of a table, or a row of one that has a row per lead."""

    name: str
    unit: str
    """As written; empty if there is none."""
    kind: str
    """``signal``, ``clock``, ``time``, ``counter`` or, for what is not read, ``skip``."""
    reason: str = ""
    """Why it is not read."""


def find_columns(layout: Layout, wanted: Sequence[str | int] | None, time_column: str | int | None) -> list[Column]:
    """Return what each column is by its name, unit and first rows.

    Args:
        layout: Layout of the table.
        wanted: Names, or numbers from 1, of the columns to take for leads; None for all that may be an ECG.
        time_column: Name or number of the column of time, ``"none"``, or None to recognise it.

    Raises:
        ValueError: If a name is unknown, or no column may be a lead.
    """
    decimal = layout.decimal
    if layout.transposed:
        names = [row[0] if not is_number(row[0], decimal) else f"lead {k + 1}" for k, row in enumerate(layout.rows)]
        cells = [row[not is_number(row[0], decimal) :] for row in layout.rows]
    else:
        names = layout.names or [f"lead {k + 1}" for k in range(layout.width)]
        cells = [[row[k] for row in layout.rows if len(row) > k] for k in range(layout.width)]
    unnamed = [layout.names is None] * len(names)
    if layout.transposed:
        unnamed = [is_number(row[0], decimal) for row in layout.rows]
    bare = layout.names is None and not layout.transposed
    units = [_unit_of(name, layout.units[k] if k < len(layout.units) else "") for k, name in enumerate(names)]
    asked = None
    if time_column is not None and str(time_column).strip().lower() != "none":
        asked = find_signal(time_column, names, "column")
    chosen = set() if wanted is None else set(choose_leads(names, units, wanted, "column").places)
    columns: list[Column] = []
    for k, (name, unit) in enumerate(zip(names, units)):
        kind, reason = _kind("" if unnamed[k] else name, unit, [cell for cell in cells[k] if cell], decimal, unnamed[k])
        if k in chosen:
            if k == asked:
                raise ValueError(f"column {name!r} is given for a lead and for the time")
            kind, reason = "signal", ""
        elif k == asked:
            kind, reason = ("clock" if kind == "clock" else "time"), ""
        elif time_column is not None and kind == "time" and reason == "steps":
            kind = "signal"
        elif time_column is not None and kind in ("clock", "time", "counter"):
            kind, reason = "skip", "time, not asked for"
        elif wanted is not None and kind == "signal":
            kind, reason = "skip", "not asked for"
        columns.append(Column(name, unit, kind, reason))
    if wanted is None:
        signals = [k for k, column in enumerate(columns) if column.kind == "signal"]
        if not signals:
            raise ValueError(f"no column of a lead beside {', '.join(names)}")
        choice = choose_leads([names[k] for k in signals], [units[k] for k in signals], None, "column", named=not bare)
        for k in set(range(len(signals))) - set(choice.places):
            column, kind = columns[signals[k]], other_kind(names[signals[k]])
            foreign = column.unit and not canonical_unit(column.unit)
            reason = kind or (f"in {column.unit}" if foreign else "not named as an ECG")
            columns[signals[k]] = column._replace(kind="skip", reason=reason)
    return columns


def _unit_of(name: str, row: str) -> str:
    """Return the unit in the name of a column or in the row of units; text in brackets may be a remark."""
    unit = split_unit(name)[1] or row
    return unit if canonical_unit(unit) or time_unit(unit, True) or unit.lower() in OTHER_UNITS else ""


def _kind(name: str, unit: str, cells: list[str], decimal: str, bare: bool) -> tuple[str, str]:
    """Return the kind of a column by its name and first filled cells, and why it is not read or ``"steps"``."""
    if canonical_lead(name) in LEADS:
        return "signal", ""
    clocks = sum(bool(CLOCK.fullmatch(cell)) for cell in cells)
    if cells and clocks >= 0.9 * len(cells):
        return "clock", ""
    if cells and all(DATE.fullmatch(cell) and not is_number(cell, decimal) for cell in cells):
        return "skip", "dates"
    if not cells:
        return "skip", "empty"
    if not bare and (is_time_name(name) or time_unit(unit, True)):
        return "time", ""
    index = not bare and not name.strip()  # the index of a table, which may be its time
    if not bare and not index and is_counter_name(name) and not is_lead(name):
        return "counter", ""
    if (not bare and (is_lead(name) or other_kind(name))) or len(cells) < MIN_ROWS:
        return "counter" if index else "signal", ""
    if not all(is_number(cell, decimal) for cell in cells):
        return "signal", ""
    values = np.array([to_float(cell) for cell in cells])
    steps = steps_of(values)
    if steps.regular >= 0.99 and (np.diff(values) >= 0).all():
        return "time", "steps"
    return ("counter", "") if index or is_counting(values) else ("signal", "")


def to_float(cell: str) -> float:
    """Return a cell as a number, NaN if it is none."""
    try:
        return float(cell.replace(",", ".").replace("\u2212", "-"))
    except ValueError:
        return float("nan")
