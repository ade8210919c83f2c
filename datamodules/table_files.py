"""Files of tables with named columns: text with a delimiter, JSON, Excel and Parquet, each also gzipped."""

from __future__ import annotations

import difflib
import importlib
import io
import json
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from datamodules.archives import LARGEST_FILE, check_size, unpack_gzip, unpacking_errors
from datamodules.tables import Row, guess_delimiter, parse_rows
from datamodules.text.files import decode_text, without_surrogates

READ = "CSV (comma, tab, semicolon or pipe), JSON, Excel (.xlsx) and Parquet, each also as .gz"
"""Kinds of files that are read, in messages."""
ENDINGS = (".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".json", ".xlsx", ".parquet")
"""Endings of the names of such files."""
NAMES = {",": "comma", "\t": "tab", ";": "semicolon", "|": "pipe", " ": "space"}
OTHERS = {
    b"\xd0\xcf\x11\xe0": "an old Excel workbook (.xls)",
    b"%PDF": "a PDF file",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ": "compressed with xz",
    b"\x28\xb5\x2f\xfd": "compressed with Zstandard",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"SQLite format 3": "an SQLite database",
    b"\x1f\x8b": "gzipped twice",
}
"""What first bytes say of files that are not read."""


class Table(NamedTuple):
    """A table with named columns."""

    columns: list[str]
    rows: list[Row]
    kind: str
    """What was read, such as ``"CSV, comma, UTF-8"``."""
    delimiter: str = ""


def is_table_file(path: str) -> bool:
    """Return whether a file's name ends as those of tables do."""
    return path.lower().removesuffix(".gz").endswith(ENDINGS)


def read_table(
    path: Path, columns: Sequence[str] = (), encoding: str | None = None, delimiter: str | None = None
) -> Table:
    """Read a table; its kind is judged by its content.

    Args:
        path: Path of the file.
        columns: Names of columns that are wanted, by which the delimiter is guessed.
        encoding: Encoding of a file of text; if None that of its byte order mark, else UTF-8.
        delimiter: Delimiter of the cells, or its name; guessed if None.

    Raises:
        FileNotFoundError: If there is no such file.
        ModuleNotFoundError: If it is Excel or Parquet and the package that reads it is not installed.
        ValueError: If it is no such table; the message gives the row.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise FileNotFoundError(f"{path}: {what}; expected a table: {READ}")
    size = path.stat().st_size
    if size > LARGEST_FILE:
        raise ValueError(f"{path} has {size:,} bytes: tables of at most {LARGEST_FILE:,} are read")
    content, packed = path.read_bytes(), ""
    if content.startswith(b"\x1f\x8b"):
        content, packed = unpack_gzip(content, str(path)), ", gzipped"
    for start, what in OTHERS.items():
        if content.startswith(start):
            raise ValueError(f"{path} is {what}: what is read is {READ}")
    if content.startswith(b"PK\x03\x04"):
        table = _excel(content, path)
    elif content.startswith(b"PAR1"):
        table = _parquet(content, path)
    else:
        table = _text(content, path, columns, encoding, delimiter)
    return table._replace(kind=table.kind + packed)


def column_index(table: Table, name: str, path: Path) -> int:
    """Return the index of a column.

    Raises:
        ValueError: If the table has no such column, or several.
    """
    found = [k for k, column in enumerate(table.columns) if column == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"{path} has {len(found)} columns {name!r}: rename all but one")
    near = difflib.get_close_matches(name, [each for each in table.columns if each], n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]}?" if near else ""
    shown = ", ".join(table.columns[:20])[:200]
    raise ValueError(f"{path} has no column {name!r}: its header line has {shown} (read as {table.kind}){hint}")


def check_width(table: Table, number: int, cells: list[str], last: int, path: Path) -> None:
    """Raise ``ValueError`` for a row with too few cells to have column ``last``, or more than the header has."""
    columns = len(table.columns)
    if len(cells) <= last or any(cells[columns:]):
        hint = f" (quote texts with {table.delimiter!r} in them)" if len(cells) > columns and table.delimiter else ""
        raise ValueError(f"{path}, row {number}: {len(cells)} columns, expected {columns}{hint}")


def _text(content: bytes, path: Path, columns: Iterable[str], encoding: str | None, delimiter: str | None) -> Table:
    text, encoding = decode_text(content, str(path), encoding, ", or set encoding: {}")
    if text.lstrip()[:1] in ("{", "[") and _is_json(text, path):
        return _json(text, path, encoding)
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    if delimiter is None:
        delimiter = guess_delimiter(text, suffix, columns)
    delimiter = {name: sign for sign, name in NAMES.items()}.get(delimiter, delimiter).replace("\\t", "\t")
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise ValueError(f"unknown delimiter {delimiter!r}: expected one character, or {', '.join(NAMES.values())}")
    rows = parse_rows(text, delimiter, str(path))
    if not rows:
        raise ValueError(f"{path} is empty: expected a header line and rows")
    header = [cell.strip().strip("\ufeff") for cell in rows[0][1]]
    return Table(header, rows[1:], f"CSV, {NAMES.get(delimiter, repr(delimiter))}, {encoding}", delimiter)


def _is_json(text: str, path: Path) -> bool:
    if path.name.lower().removesuffix(".gz").endswith((".json", ".jsonl", ".ndjson")):
        return True
    try:
        return isinstance(json.loads(text.lstrip().partition("\n")[0]), (dict, list))
    except (ValueError, RecursionError):
        return False


def _json(text: str, path: Path, encoding: str) -> Table:
    """Read a list of objects, or an object a line."""

    def load(part: str, where: str) -> Any:
        try:
            return json.loads(part)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}{where}: not JSON ({' '.join(str(error).split())[:100]})") from None

    if text.lstrip().startswith("["):
        objects = list(enumerate(load(text, ""), 1))
    else:
        lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
        objects = [(number, load(line, f", line {number}")) for number, line in lines]
    for number, found in objects:
        if not isinstance(found, dict):
            raise ValueError(f'{path}, row {number}: expected an object such as {{"text": ..., "label": ...}}')
    header = list(dict.fromkeys(key for _, found in objects for key in found))
    rows = [(number, [_cell(found.get(key)) for key in header]) for number, found in objects]
    return Table(header, rows, f"JSON, {encoding}")


def _excel(content: bytes, path: Path) -> Table:
    with unpacking_errors(str(path)), zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        check_size(sum(member.file_size for member in members), len(content), "it", LARGEST_FILE)
        is_excel = any(member.filename == "xl/workbook.xml" for member in members)
    if not is_excel:
        raise ValueError(f"{path} is a zip archive, but no Excel workbook: what is read is {READ}")
    openpyxl = _library("openpyxl", path, "an Excel workbook")
    with unpacking_errors(str(path)):
        sheets = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True).worksheets
        sheet = sheets[0]
        cells = [[_cell(value) for value in row] for row in sheet.iter_rows(values_only=True)]
    rows = [(number, row) for number, row in enumerate(cells, 1) if any(cell.strip() for cell in row)]
    if not rows:
        raise ValueError(f"{path} is empty: expected a header line and rows in its first sheet")
    others = f", the first of {len(sheets)} sheets" if len(sheets) > 1 else ""
    return Table([cell.strip() for cell in rows[0][1]], rows[1:], f"Excel, sheet {sheet.title}{others}")


def _parquet(content: bytes, path: Path) -> Table:
    parquet = _library("pyarrow.parquet", path, "a Parquet file")
    with unpacking_errors(str(path)):
        table = parquet.read_table(io.BytesIO(content))
        columns = [column.to_pylist() for column in table.columns]
        header = [str(name) for name in table.column_names]
    rows = [(number, [_cell(value) for value in row]) for number, row in enumerate(zip(*columns), 1)]
    return Table(header, rows, "Parquet")


def _library(module: str, path: Path, what: str) -> Any:
    """Import the package that reads a kind of file."""
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            f"{path} is {what}, which {package} reads: pip install lightning-zoo[tables], or save it as CSV"
        ) from None


def _cell(value: Any) -> str:
    """Return a value of a file of typed values as text; a missing one is empty."""
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return without_surrogates(value) if isinstance(value, str) else str(value)
