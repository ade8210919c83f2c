"""Reading of text files."""

from __future__ import annotations

import os
from pathlib import Path


def read_lines(source: str) -> list[str]:
    """Return the lines of a text file, or the string itself if it is not the path of a file.

    Raises:
        FileNotFoundError: If the string looks like the path of a text file that does not exist.
        ValueError: If the file is empty or not UTF-8.
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
    """Decode the content of a UTF-8 file of text, with or without a byte order mark.

    Raises:
        ValueError: If the content is not UTF-8 or has a zero byte; the message gives the line and the byte.
    """
    try:
        text, bad = content.decode("utf-8-sig"), content.find(b"\0")
    except UnicodeDecodeError as error:
        text, bad = "", error.start
    if bad >= 0:
        line = content[:bad].count(b"\n") + 1
        raise ValueError(f"{name}, line {line}: not UTF-8 text (byte 0x{content[bad]:02x})")
    return text
