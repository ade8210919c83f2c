"""Labelled rows of tables: what is left out, and labels that look alike."""

from __future__ import annotations

import contextlib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from datamodules.table_files import check_width, column_index, read_table
from datamodules.text.files import is_blank

MISSING = ("nan", "NaN", "NAN", "<NA>")
"""Cells that stand for a missing value, besides empty ones."""
MANY_LINES = 24
"""Number of line ends in a text from which on it is named, since a quote may not be closed. Set by hand."""


class LabelledRow(NamedTuple):
    """A row of a table: its number, text and label."""

    number: int
    text: str
    label: str


class LabelledRows(NamedTuple):
    """The labelled rows of a table, and what a user should know of it."""

    rows: list[LabelledRow]
    kind: str
    """What was read, such as ``"CSV, comma, UTF-8"``."""
    notes: list[str]
    """What was left out, and what looks odd, a line each."""


def read_labelled(
    path: Path, text: str, label: str, encoding: str | None = None, delimiter: str | None = None
) -> LabelledRows:
    """Read the texts and labels of a table; rows without either are left out, and spaces around both are removed.

    Args:
        path: Path of the file, see ``read_table``.
        text: Name of the column of texts.
        label: Name of the column of labels.
        encoding: Encoding of a file of text.
        delimiter: Delimiter of its cells.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such table; the message gives the row.
    """
    table = read_table(path, (text, label), encoding, delimiter)
    columns = column_index(table, text, path), column_index(table, label, path)
    rows, without, spaced = [], Counter[str](), 0
    for number, cells in table.rows:
        if all(is_blank(cell) for cell in cells):
            continue
        check_width(table, number, cells, max(columns), path)
        found = [cells[k].strip() for k in columns]
        missing = [name for name, cell in zip(("text", "label"), found) if is_blank(cell) or cell in MISSING]
        if missing:
            without[missing[0]] += 1
        else:
            rows.append(LabelledRow(number, *found))
            spaced += found[1] != cells[columns[1]]
    if not rows:
        left = " with a text and a label" if table.rows else ""
        raise ValueError(f"{path} has no row{left} below its header line {', '.join(table.columns)[:200]}")
    _refuse_swallowed(rows, table.delimiter, path)
    notes = [f"{n:,} rows without a {name} left out" for name, n in without.items()]
    if spaced:
        notes.append(f"{spaced:,} labels had spaces around them, which are removed")
    long = [row for row in rows if row.text.count("\n") >= MANY_LINES]
    if long:
        worst = max(long, key=lambda row: row.text.count("\n"))
        lines = f"row {worst.number} of {worst.text.count(chr(10)) + 1} lines: if it is several rows, a quote is open"
        notes.append(f"{len(long):,} texts of many lines, such as {lines}")
    return LabelledRows(rows, table.kind, notes)


def _refuse_swallowed(rows: Iterable[LabelledRow], delimiter: str, path: Path) -> None:
    """Raise ``ValueError`` for a text that has whole rows inside, since a quote is not closed."""
    if not delimiter:
        return
    rows = list(rows)
    known = {row.label for row in rows}
    for row in rows:
        lines = row.text.splitlines() if "\n" in row.text or "\r" in row.text else []
        inside = [line for line in lines if delimiter in line and known & {*line.split(delimiter)}]
        if inside:
            raise ValueError(
                f"{path}, row {row.number}: its text of {len(lines)} lines has {len(inside)} that look like rows, "
                f"such as {inside[0][:60]!r}; is a quote not closed?"
            )


def look_alikes(counts: Mapping[str, int]) -> list[list[str]]:
    """Return the groups of labels that differ only in case, Unicode form, spaces, zero-width signs or as numbers."""
    groups: dict[str, list[str]] = {}
    for label in counts:
        seen = "".join(c for c in unicodedata.normalize("NFKC", label) if unicodedata.category(c) not in ("Cf", "Cc"))
        key = unicodedata.normalize("NFKC", "".join(seen.split()).casefold())
        with contextlib.suppress(ValueError):
            key = repr(float(key)) if "_" not in key else key
        groups.setdefault(key, []).append(label)
    return [group for group in groups.values() if len(group) > 1]


def show_labels(labels: Iterable[str], counts: Mapping[str, int] | None = None, most: int = 20) -> str:
    """Return labels in a line, quoted, with their numbers of rows if given; those that print alike are escaped."""
    labels = list(labels)
    printed = Counter(unicodedata.normalize("NFC", _visible(label)) for label in labels)
    words = []
    for label in labels[:most]:
        plain = _visible(label)
        escape = printed[unicodedata.normalize("NFC", plain)] > 1 or plain != label
        words.append((ascii(label) if escape else repr(label)) + (f" ({counts[label]:,})" if counts else ""))
    return ", ".join(words) + (f", and {len(labels) - most} more" if len(labels) > most else "")


def _visible(text: str) -> str:
    return "".join(c for c in text if unicodedata.category(c) not in ("Cf", "Cc", "Cs"))
