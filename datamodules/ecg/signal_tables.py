"""Signals in CSV files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from datamodules.errors import needs
from datamodules.text.files import decode_utf8

TIME_COLUMNS = ("time", "t", "seconds", "sample", "samples", "index", "")
"""Names of the columns of a CSV file that hold time or sample numbers instead of a lead."""


def read_signals(path: Path) -> tuple[np.ndarray, list[str]]:
    """Read a CSV file of millivolts with one column per lead and an optional header line.

    Returns:
        The signal (samples, leads), float32, NaN where a cell is empty, and the names of the leads.

    Raises:
        ValueError: If the file is not such a table; the message names it and the row.
    """
    pandas = needs("pandas", "ecg")
    line = decode_utf8(path.read_bytes(), str(path)).partition("\n")[0]
    try:
        separator = max(",;\t", key=line.count)
        cells = [cell.strip().strip("'\"") for cell in line.strip().split(separator)]
        named = any(not is_number(cell) for cell in cells)
        # Given the header, pandas would take the first column of wider rows for an index.
        table = pandas.read_csv(
            path, sep=separator, header=None, skiprows=int(named), encoding="utf-8-sig", low_memory=False
        )
    except pandas.errors.EmptyDataError:
        raise ValueError(f"{path} is empty: expected numbers in columns, a lead each") from None
    except Exception as error:  # pandas raises exceptions of many types
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: expected numbers in columns, a lead each ({reason})") from error
    values = _as_numbers(table, path, int(named))
    if not values.size:
        raise ValueError(f"{path} is empty: expected millivolts, a column a lead")
    while len(cells) > values.shape[1] and not cells[-1]:
        cells.pop()
    while (len(cells) < values.shape[1] or not cells[-1]) and np.isnan(values[:, -1]).all():  # a delimiter at line ends
        values = values[:, :-1]
        cells = cells[: values.shape[1]]
        if not values.size:
            raise ValueError(f"{path} is empty: expected millivolts, a column a lead")
    if named and len(cells) != values.shape[1]:
        raise ValueError(f"{path}: rows of {values.shape[1]} columns, expected {len(cells)} as in the header")
    if not named:
        cells = [f"lead {k + 1}" for k in range(values.shape[1])]
    leads = [k for k, cell in enumerate(cells) if cell.lower() not in TIME_COLUMNS]
    if not leads:
        raise ValueError(f"{path}: no column of a lead beside {', '.join(cells)}")
    return values[:, leads], [cells[k] for k in leads]


def _as_numbers(table: Any, path: Path, header: int) -> np.ndarray:
    """Return the cells of a table of pandas as float32, NaN where they are empty.

    Args:
        table: The table.
        path: Path of its file.
        header: Number of rows before the first of the table.
    """
    pandas = needs("pandas", "ecg")
    values = table.apply(pandas.to_numeric, errors="coerce")
    text = (values.isna() & table.notna()) | table.dtypes.map(lambda kind: kind.kind == "b")
    if text.to_numpy().any():
        row, column = np.argwhere(text.to_numpy())[0]
        cell = str(table.iat[row, column])[:40]
        place = f"{path}, row {row + 1 + header}, column {column + 1}"
        raise ValueError(f"{place}: {cell!r} is not a number; expected numbers in columns, a lead each")
    return values.to_numpy(np.float32)


def is_number(cell: str) -> bool:
    """Return whether a cell is a number or empty."""
    try:
        float(cell or "nan")
    except ValueError:
        return False
    return True
