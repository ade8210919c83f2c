"""Reading of tables of text: rows whose cells are separated by a delimiter."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from datamodules.text.files import decode_utf8

Row = tuple[int, list[str]]
"""Number of a row in its file, from 1, and its cells."""
DELIMITERS = (",", "\t", ";", "|")
"""Delimiters that are tried."""


def read_rows(path: Path, delimiter: str | None = None) -> list[Row]:
    """Return the rows of a UTF-8 table, except empty ones.

    Args:
        path: Path of the file.
        delimiter: Delimiter of the cells; if None see ``guess_delimiter``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not such a table; the message gives the row.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a table of rows")
    content = decode_utf8(path.read_bytes(), str(path))
    return parse_rows(content, delimiter or guess_delimiter(content, path.suffix), str(path))


def guess_delimiter(content: str, suffix: str = "", columns: Iterable[str] = ()) -> str:
    """Return the delimiter of a table.

    It is the one that a first line such as ``sep=;`` names; else the one by which the header line holds all
    ``columns``; else a tab in a file that ends in ``.tsv`` or ``.tab`` or has a tab in its first line; else a comma.

    Args:
        content: Content of the file.
        suffix: Ending of its name.
        columns: Names of columns that are wanted.
    """
    first, after = _first_lines(content)
    if re.fullmatch(r"sep=(.)", first):
        return first[-1]
    wanted = set(columns)
    for delimiter in DELIMITERS:
        try:
            header = next(csv.reader([first], delimiter=delimiter), [])
        except csv.Error:
            continue
        if wanted and wanted <= {cell.strip() for cell in header} and (len(header) > 1 or delimiter not in after):
            return delimiter
    return "\t" if suffix.lower() in (".tsv", ".tab") or "\t" in first else ","


def _first_lines(content: str) -> tuple[str, str]:
    """Return the first two lines of a text that are not blank."""
    lines = [line for line in re.split("[\r\n]+", content[:1_000_000].lstrip(), maxsplit=2) if line.strip()]
    first, second, *_ = [*lines, "", ""]
    return first.strip("\ufeff"), second


def parse_rows(content: str, delimiter: str, name: str) -> list[Row]:
    """Return the rows of a table, except empty ones, and without a first line such as ``sep=;``.

    Cells may be quoted, with quotes doubled inside and with ends of lines. In a table of tabs whose quotes are not
    balanced, quotes have no meaning. Where lines end in LF or CRLF, a lone CR belongs to a cell.

    Args:
        content: The table.
        delimiter: Delimiter of the cells.
        name: Name of the table in messages.

    Raises:
        ValueError: If it is no such table; the message gives the row.
    """
    stand_in = ""
    if "\n" in content:  # the csv module takes a lone CR for the end of a row
        stand_in = next(c for c in map(chr, range(0xE000, 0xF8FF)) if c not in content)
        content = re.sub("\r(?!\n)", stand_in, content)
    try:
        rows = _parse(content, delimiter, name, quoted=True)
    except ValueError:
        if delimiter != "\t":
            raise
        rows = _parse(content, delimiter, name, quoted=False)
    if stand_in:
        rows = [(number, [cell.replace(stand_in, "\r") for cell in cells]) for number, cells in rows]
    if rows and re.match(r"sep=", rows[0][1][0]) and delimiter.join(rows[0][1]) == f"sep={delimiter}":
        del rows[0]
    return rows


def _parse(content: str, delimiter: str, name: str, quoted: bool) -> list[Row]:
    lines = io.StringIO(content, newline="")
    if quoted:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
    else:
        reader = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    rows: list[Row] = []
    number = 0
    try:
        for number, cells in enumerate(reader, 1):
            if len(cells) > 1 or (cells and cells[0].strip()):
                rows.append((number, cells))
    except csv.Error as error:
        hint = "; is a quote not closed?" if quoted else ""
        raise ValueError(f"{name}, row {number + 1}: {' '.join(str(error).split())}{hint}") from None
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
