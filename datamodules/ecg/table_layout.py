"""Layout of tables of text: encoding, separators, decimal mark, header, units and what is written above."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import lzma
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from datamodules.archives import check_size
from datamodules.ecg.lead_units import OTHER_UNITS, canonical_unit
from datamodules.ecg.time_columns import CLOCK, DATE, time_unit
from datamodules.text.files import BYTE_ORDER_MARKS, decode_text

_OPENERS: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
COMPRESSED_ENDINGS = tuple(_OPENERS)
"""Endings of compressed tables."""
LARGEST_TABLE = 2**33
"""Largest unpacked size in bytes of a table; a week of two leads at 360 Hz has 3e9. Set by hand."""
HEAD_LINES = 500
"""Number of lines from which the layout is found."""
TRANSPOSED_WIDTH = 100
"""Smallest number of columns of a table whose rows are taken for leads. Set by hand."""
DIALECTS = (
    (",", "."),
    (";", "."),
    ("\t", "."),
    ("|", "."),
    (";", ","),
    ("\t", ","),
    (" ", "."),
    (",", ","),
    (" ", ","),
)
"""Separators and decimal marks, the likeliest first; a space is any run of them."""
COMMENTS = ("#", "%", "//")
_NUMBER = re.compile(
    r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?(nan|inf|infinity)|n/?a|null|none|-+|<na>|\?", re.IGNORECASE
)
_PAIR = re.compile(r"\s*([^,;:=\t]+?)\s*[,;:=\t]+\s*(.*)")
_UNIT_KEY = re.compile(r"unit|einheit|unidad|eenheid|enhet", re.IGNORECASE)
_LEAD_KEY = re.compile(r"lead|ableitung|d[ée]rivation|derivaci[oó]n|channel", re.IGNORECASE)
_RATE_KEY = re.compile(r"sampl|abtast|chantillon|muestreo|campion|^fs\b|^sfreq|\brate\b|^frequency|^hz$", re.IGNORECASE)
_NO_RATE_KEY = re.compile(
    r"filter|pass|cut|notch|mains|powerline|heart|pulse|bpm|paper|speed|number|count", re.IGNORECASE
)
_RATE = re.compile(r"(\d+(?:[.,]\d+)?)\s*(k?hz|hertz|sps|samples)?", re.IGNORECASE)
_INTERVAL = re.compile(r"(\d+(?:[.,]\d+)?(?:e-?\d+)?)\s*(s|sec|seconds?|ms|msec|us|µs)\b", re.IGNORECASE)


class Layout(NamedTuple):
    """How a table of text is laid out."""

    encoding: str
    guessed: bool
    """Whether the encoding was guessed."""
    separator: str
    decimal: str
    quote: str
    comment: str | None
    skip: int
    """Number of lines above the first row of numbers."""
    width: int
    """Number of columns, without empty ones at the ends of rows."""
    names: list[str] | None
    units: list[str]
    """Unit of each column in a row of units; empty if there is none."""
    pairs: list[tuple[str, str]]
    """Keys and values written above the table."""
    rows: list[list[str]]
    """Cells of the first rows of numbers."""
    transposed: bool
    gaps: bool
    """Whether an empty line is a missing sample."""


def open_table(path: Path, encoding: str) -> io.TextIOWrapper:
    """Open a table of text, compressed or not, with the line ends as they are."""
    return io.TextIOWrapper(_open(path), encoding=encoding, newline="")


def _open(path: Path) -> Any:
    return _OPENERS.get(path.suffix.lower(), open)(path, "rb")


def find_encoding(path: Path) -> tuple[str, bool]:
    """Return the encoding of a file and whether it was guessed: of its byte order mark, UTF-8, UTF-16 or Windows-1252.

    Raises:
        ValueError: If the file is damaged or no text.
    """
    try:
        with _open(path) as file:
            head = file.read(10_000)
        mark = next((name for mark, name in BYTE_ORDER_MARKS.items() if head.startswith(mark)), "")
        zeros = [head[k::2].count(0) / max(1, len(head[k::2])) for k in (0, 1)]
        wide = (
            "utf-16-le" if zeros[1] > 0.6 and not zeros[0] else "utf-16-be" if zeros[0] > 0.6 and not zeros[1] else ""
        )
        for encoding in (mark or wide or "utf-8-sig", "cp1252"):
            if _decodes(path, encoding):
                return encoding, encoding == "cp1252"
            if b"\0" in head or mark:
                break
        refuse_encoding(path, mark or "utf-8")
    except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        if isinstance(error, (FileNotFoundError, PermissionError)):
            raise
        raise ValueError(f"{path}: damaged {path.suffix[1:]} file ({' '.join(str(error).split())})") from error
    raise ValueError(f"{path}: no text")


def refuse_encoding(path: Path, encoding: str = "utf-8") -> None:
    """Raise ``ValueError`` if a file is not in an encoding; the message gives the line and the byte."""
    with _open(path) as file:
        decode_text(file.read(), str(path), encoding)


def _decodes(path: Path, encoding: str) -> bool:
    decoder, packed = codecs.getincrementaldecoder(encoding)(), path.stat().st_size
    with _open(path) as file:
        try:
            while block := file.read(1 << 20):
                check_size(file.tell(), packed, f"{path}:", LARGEST_TABLE)
                if "\0" in decoder.decode(block):
                    return False
            decoder.decode(b"", True)
        except UnicodeError:
            return False
    return True


def is_number(cell: str, decimal: str = ".") -> bool:
    """Return whether a cell is a number, or says that there is none."""
    if decimal == ",":
        if "." in cell:
            return False
        cell = cell.replace(",", ".")
    return not cell or bool(_NUMBER.fullmatch(cell.replace("\u2212", "-")))


def _is_value(cell: str, decimal: str) -> bool:
    return is_number(cell, decimal) or bool(CLOCK.fullmatch(cell) or DATE.fullmatch(cell))


def split(line: str, separator: str, quote: str = '"') -> list[str]:
    """Return the cells of a line, without quotes and spaces around them."""
    line = line.strip("\r\n")
    if separator == " ":
        return [cell.strip("'\"") for cell in line.split()]
    cells = next(csv.reader([line], delimiter=separator, quotechar=quote, skipinitialspace=True), [])
    return [cell.strip().strip("'\"").strip() for cell in cells]


def find_layout(path: Path) -> Layout:
    """Find the layout of a table of numbers.

    Raises:
        ValueError: If the file is no text or empty.
    """
    encoding, guessed = find_encoding(path)
    with open_table(path, encoding) as file:
        lines = [line for _, line in zip(range(HEAD_LINES), file)]
        whole = not file.readline()
    if not whole:
        lines = lines[: HEAD_LINES - 1]
    comment = next((mark[0] for mark in COMMENTS if any(line.lstrip().startswith(mark) for line in lines)), None)
    used = [k for k, line in enumerate(lines) if line.strip() and not line.lstrip().startswith(COMMENTS)]
    if not used or not any(re.search(r"[^\s,;|]", lines[k]) for k in used):
        raise ValueError(f"{path} is empty: expected numbers in columns, a lead each")
    quote = "'" if sum(lines[k].count("'") for k in used) > sum(lines[k].count('"') for k in used) else '"'
    separator, decimal, good, width = _dialect([lines[k] for k in used], quote)
    cells = {k: split(lines[k], separator, quote) for k in used}
    transposed = whole and len(used) <= 16 and max(map(len, cells.values())) >= max(TRANSPOSED_WIDTH, 5 * len(used))
    start = used[0] if transposed else _start(used, cells, good, width, decimal)
    above = [k for k in used if k < start]
    rows = [cells[k] for k in used if k >= start]
    if not transposed and len(rows) > 1 and _is_numbering(rows):  # a header of the numbers of columns
        rows, start = rows[1:], start + 1
    while (
        width > 1
        and not any(len(row) >= width and row[width - 1] for row in rows)
        and not (above and len(cells[above[-1]]) >= width and cells[above[-1]][width - 1])
    ):
        width -= 1  # separators at the ends of rows
    names: list[str] | None = None
    units: list[str] = []
    if above and not transposed:
        names, units, above = _header(path, lines, cells, above, width, separator)
    notes = [k for k, line in enumerate(lines[: start + 1]) if line.lstrip().startswith(COMMENTS)]
    if names is None and notes and not transposed:
        text = lines[notes[-1]].strip().lstrip("#%/ ")
        found = split(text, separator, quote)
        if len(found) == width > 1 and not any(is_number(cell, decimal) for cell in found) and not _is_pair(found):
            names = found
    written = [_PAIR.match(lines[k].strip().lstrip("#%/ ")) for k in sorted(above + notes)]
    pairs = [(pair[1].strip("\"' "), pair[2].strip("\"',;\t ")) for pair in written if pair]
    body = [line for line in lines[start:] if not line.lstrip().startswith(COMMENTS)]
    blank = sum(not line.strip() for line in body)
    gaps = width == 1 and 0 < blank < len(body) / 3
    return Layout(
        encoding, guessed, separator, decimal, quote, comment, start, width, names, units, pairs, rows, transposed, gaps
    )


def _dialect(lines: Sequence[str], quote: str) -> tuple[str, str, set[int], int]:
    """Return the separator and decimal mark that make the most lines rows of numbers of one width, and these lines."""
    for share in (1.0, 0.5):
        best: tuple[tuple[int, int, int], str, str, set[int], int] | None = None
        for order, (separator, decimal) in enumerate(DIALECTS):
            rows = [split(line, separator, quote) for line in lines]
            good = []
            for k, row in enumerate(rows):
                filled = [cell for cell in row if cell]
                values = sum(_is_value(cell, decimal) for cell in filled)
                if filled and values >= share * len(filled) and (values > 0):
                    good.append(k)
            if not good:
                continue
            width = Counter(len(rows[k]) for k in good).most_common(1)[0][0]
            score = (sum(len(rows[k]) == width for k in good), width, -order)
            if best is None or score > best[0]:
                best = score, separator, decimal, set(good), width
        if best:
            _, separator, decimal, chosen, width = best
            if separator == "," and width == 2 and _decimal_commas(lines, chosen):
                return ";", ",", chosen, 1
            return separator, decimal, chosen, width
    separator = max(",;\t", key=lines[0].count)
    return separator, ".", set(), len(split(lines[0], separator, quote))


def _decimal_commas(lines: Sequence[str], good: set[int]) -> bool:
    """Return whether rows of two whole numbers are one with a decimal comma: by the header, or leading zeros."""
    rows = [lines[k].strip().split(",") for k in sorted(good)]
    if not all(len(row) == 2 and re.fullmatch(r"[+-]?\d*", row[0]) and re.fullmatch(r"\d+", row[1]) for row in rows):
        return False
    first = min(good)
    if first and "," not in lines[first - 1]:
        return True
    return any(row[0] == "-0" or (len(row[1]) > 1 and row[1][0] == "0") for row in rows)


def _start(used: list[int], cells: dict[int, list[str]], good: set[int], width: int, decimal: str) -> int:
    """Return the number of the line of the first row."""
    if not good:  # no row of numbers: a header, and rows whose cells are at fault
        first = cells[used[0]]
        return used[0] if all(is_number(cell) for cell in first) else used[0] + 1
    place = next((k for k, line in enumerate(used) if k in good and len(cells[line]) == width), min(good))
    while place and len(cells[used[place - 1]]) == width:  # a damaged row, not a header: its first cell is a number
        cell = cells[used[place - 1]][0]
        if not cell or not _is_value(cell, decimal):
            break
        place -= 1
    return used[place]


def _is_numbering(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first row is 0, 1, ... above other numbers, as pandas writes columns without names."""
    first = list(rows[0])
    bare = [cell for cell in first if cell]
    if len(first) < 2 or bare != [str(k) for k in range(len(bare))] or first[len(first) - len(bare) :] != bare:
        return False
    index = len(bare) == len(first) - 1 and rows[1][:1] == ["0"]
    return index or (len(bare) == len(first) and all("." in cell for cell in rows[1]))


def _is_pair(cells: Sequence[str]) -> bool:
    """Return whether the cells of a line are a key and a value instead of names of columns."""
    if cells[0].endswith(("=", ":")):
        return True
    if len([cell for cell in cells if cell]) != 2:
        return False
    key, value = cells[0], cells[1]
    return bool(
        (_UNIT_KEY.search(key) and canonical_unit(value))
        or (_RATE_KEY.search(key) and re.match(r"\d", value))
        or re.fullmatch(r"[\d.,]+\s*(k?hz|hertz)", value, re.IGNORECASE)
    )


def _is_unit(cell: str) -> bool:
    bare = cell.strip("[](){} '\"")
    return not bare or bool(canonical_unit(bare) or time_unit(bare, True) or bare.lower() in OTHER_UNITS)


def _header(
    path: Path, lines: list[str], cells: dict[int, list[str]], above: list[int], width: int, separator: str
) -> tuple[list[str] | None, list[str], list[int]]:
    """Return the names of the columns, their units and the lines left above the header."""

    def fitted(k: int) -> list[str]:
        row = list(cells[k])
        if separator == " " and len(row) != width:  # names with spaces in them
            row = [cell.strip("'\"") for cell in re.split(r"\s{2,}|\t", lines[k].strip())]
        while len(row) > width and not row[-1]:
            row.pop()
        return row

    units: list[str] = []
    row = fitted(above[-1])
    if len(above) > 1 and len(row) <= width and all(map(_is_unit, row)) and any(row):
        units = [cell.strip("[](){} '\"") for cell in row] + [""] * (width - len(row))
        above = above[:-1]
        row = fitted(above[-1])
    if len(row) == width and not _is_pair(row) and not all(is_number(cell) for cell in row):
        return row, units, above[:-1]
    if len(above) == 1 and not _is_pair(row) and not units:
        raise ValueError(f"{path}: rows of {width} columns, expected {len(row)} as in the header")
    return None, units, above


def stated_rate(pairs: Sequence[tuple[str, str]]) -> tuple[float, str]:
    """Return the sampling rate in Hz written above a table and the text that states it; 0 if there is none."""
    found: list[tuple[int, float, str]] = []
    for key, value in pairs:
        if _NO_RATE_KEY.search(key):
            continue
        interval = _INTERVAL.match(value) if re.search(r"interval|period", key, re.IGNORECASE) else None
        rate = _RATE.match(value)
        if interval and (length := float(interval[1].replace(",", "."))) > 0:
            scale = {"m": 1e-3, "u": 1e-6, "µ": 1e-6}.get(interval[2][0].lower(), 1.0)
            found.append((2, 1 / (length * scale), f"{key} {value}"))
        elif rate and (
            _RATE_KEY.search(key) or (rate[2] and "hz" in rate[2].lower()) or (rate[2] or "").lower() == "hertz"
        ):
            hertz = float(rate[1].replace(",", ".")) * (1e3 if (rate[2] or "").lower() == "khz" else 1)
            sure = bool(_RATE_KEY.search(key)) + bool(re.search(r"sampl|abtast|chantillon|muestreo|campion", key, re.I))
            if hertz > 0:
                found.append((sure, hertz, f"{key} {value}"))
    best = max(found, key=lambda each: each[0], default=(0, 0.0, ""))
    return best[1], " ".join(best[2].split())


def stated_unit(pairs: Sequence[tuple[str, str]]) -> str:
    """Return the unit written above a table, as ``canonical_unit`` writes it; empty if there is none."""
    return next((canonical_unit(value) for key, value in pairs if _UNIT_KEY.search(key) and canonical_unit(value)), "")


def stated_lead(pairs: Sequence[tuple[str, str]]) -> str:
    """Return the name of the lead written above a table of one column; empty if there is none."""
    return next((value for key, value in pairs if _LEAD_KEY.fullmatch(key) and value and not is_number(value)), "")
