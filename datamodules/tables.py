"""Reading of tables: files of rows whose cells are separated by a delimiter."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from datamodules.text.files import decode_utf8

Row = tuple[int, list[str]]
"""Number of a row in its file, from 1, and its cells."""


def read_rows(path: Path, delimiter: str | None = None) -> list[Row]:
    """Return the rows of a UTF-8 table, except empty ones.

    Args:
        path: Path of the file.
        delimiter: Delimiter of the cells; if None a tab, between which quotes have no meaning, in a file that ends in
            ``.tsv`` or ``.tab`` or has a tab in its first line, else a comma.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not such a table; the message gives the row.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a table of rows")
    content = decode_utf8(path.read_bytes(), str(path))
    first = content.lstrip("\r\n").partition("\n")[0]
    if delimiter is None:
        delimiter = "\t" if path.suffix.lower() in (".tsv", ".tab") or "\t" in first else ","
    quoted = delimiter != "\t"
    lines = io.StringIO(content, newline="")
    reader = csv.reader(
        lines, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE, strict=quoted
    )
    rows: list[Row] = []
    number = 0
    try:
        for number, cells in enumerate(reader, 1):
            if cells not in ([], [""]):
                rows.append((number, cells))
    except csv.Error as error:
        hint = "; is a quote not closed?" if quoted else ""
        raise ValueError(f"{path}, row {number + 1}: {' '.join(str(error).split())}{hint}") from None
    return rows


def numbers_of(rows: Sequence[Row], columns: int, path: Path) -> np.ndarray:
    """Return rows of numbers as an array (rows, columns), float32; a first row without any number is a header.

    Raises:
        ValueError: If a row has another number of cells, or a cell is not a finite number; the message gives the place.
    """
    if rows and not any(map(_is_number, rows[0][1])):
        rows = rows[1:]
    if not rows:
        raise ValueError(f"{path}: no row of {columns} numbers in it")
    found = np.zeros((len(rows), columns), np.float32)
    for index, (number, cells) in enumerate(rows):
        if len(cells) != columns:
            raise ValueError(f"{path}, row {number}: {len(cells)} numbers, expected {columns}")
        for column, cell in enumerate(cells):
            place = f"{path}, row {number}, column {column + 1}"
            if not _is_number(cell):
                raise ValueError(f"{place}: {cell[:40]!r} is not a number" if cell.strip() else f"{place} is empty")
            if not abs(float(cell)) <= float(np.finfo(np.float32).max):
                raise ValueError(f"{place}: {cell[:40]!r} is not a finite number")
            found[index, column] = float(cell)
    return found


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell  # as in Python's own source
