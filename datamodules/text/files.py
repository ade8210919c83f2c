"""Text files: lines and encodings."""

from __future__ import annotations

import os
from pathlib import Path


def read_lines(source: str) -> list[str]:
    """Return the lines of a text file, or the string itself where there is no such file.

    Raises:
        FileNotFoundError: If the string looks like a path of a text file that is not there.
        ValueError: If the file is empty or no UTF-8.
    """
    path = Path(source)
    if not os.path.isfile(source):  # a text may be too long for a path
        if source.endswith((".txt", ".tsv", ".csv")) and " " not in source:
            raise FileNotFoundError(f"{source}: no such file; expected a file with a text a line, or a text")
        return [source]
    lines = decode_utf8(path.read_bytes(), source).splitlines()
    if not lines:
        raise ValueError(f"{source} is empty: expected a text a line")
    return lines


def decode_utf8(content: bytes, name: str) -> str:
    """Return the content of a file as text.

    Raises:
        ValueError: If it is no UTF-8; the line says where.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(f"{name}, line {line}: not UTF-8 (byte 0x{content[error.start]:02x})") from None
