"""Reading of text files: encodings, lines and empty texts."""

from __future__ import annotations

import codecs
import os
import re
import unicodedata
from pathlib import Path

BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # starts with the mark of UTF-16
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_lines(source: str) -> list[str]:
    """Return the lines of a text file, or the string itself if it is not the path of a file.

    Lines end in LF or CRLF; other characters that Unicode counts as line ends belong to a text.

    Raises:
        FileNotFoundError: If the string looks like the path of a text file that does not exist.
        ValueError: If the file is empty, or its encoding is not known.
    """
    path = Path(source)
    if not os.path.isfile(source):  # a text may be too long for a path
        if source.lower().endswith((".txt", ".tsv", ".csv")) and " " not in source:
            raise FileNotFoundError(f"{source}: no such file; expected a file with a text a line, or a text")
        return [source]
    content, _ = decode_text(path.read_bytes(), source)
    if not content:
        raise ValueError(f"{source} is empty: expected a text a line")
    return re.split("\r?\n", content.removesuffix("\n").removesuffix("\r"))


def is_blank(text: str) -> bool:
    """Return whether a text shows nothing: only spaces, control and zero-width characters, and lone surrogates."""
    return all(c.isspace() or unicodedata.category(c) in ("Cc", "Cf", "Cs", "Cn") for c in text)


def without_surrogates(text: str) -> str:
    """Return a text whose lone surrogates, which no encoding can hold, are replaced by U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def decode_text(content: bytes, name: str, encoding: str | None = None, hint: str = "") -> tuple[str, str]:
    """Decode the content of a file of text.

    Args:
        content: The content.
        name: Path of the file.
        encoding: Its encoding; if None that of its byte order mark, else UTF-8.
        hint: How a user sets the encoding, with ``{}`` in place of its name; added to the message of an error.

    Returns:
        The text, and the name of the encoding.

    Raises:
        ValueError: If the encoding is unknown, or the content is not in it or has a zero character; the message gives
            the line, the byte and a guess of the encoding.
    """
    if encoding is not None:
        try:
            if not codecs.lookup(encoding)._is_text_encoding:
                raise LookupError
        except (LookupError, ValueError):
            raise ValueError(f"unknown encoding {encoding!r}: expected one such as utf-8, utf-16, cp1252") from None
    chosen = encoding or next((name for mark, name in BYTE_ORDER_MARKS.items() if content.startswith(mark)), "utf-8")
    if codecs.lookup(chosen).name == "utf-8":
        chosen = "utf-8-sig"
    shown = {"utf-8-sig": "UTF-8"}.get(chosen, chosen)
    try:
        text = content.decode(chosen)
    except UnicodeError as error:
        start = getattr(error, "start", len(content) - 1)
    else:
        if "\0" not in text:
            return text, shown
        start = content.find(b"\0")
    line, byte = content[:start].count(b"\n") + 1, content[start]
    guess = _guess_encoding(content, start)
    advice = f"; it may be {guess}: save it as UTF-8{hint.format(guess)}" if guess else ""
    raise ValueError(f"{name}, line {line}: not {shown} text (byte 0x{byte:02x}){advice}")


def decode_utf8(content: bytes, name: str) -> str:
    """Decode the content of a UTF-8 file of text, with or without a byte order mark.

    Raises:
        ValueError: If the content is not UTF-8 or has a zero byte; the message gives the line and the byte.
    """
    return decode_text(content, name, "utf-8")[0]


def _guess_encoding(content: bytes, start: int) -> str:
    """Guess the encoding of bytes that are not UTF-8 from the one at ``start`` on; empty if it may be no text."""
    head = content[:10_000]
    for offset, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(head) >= 4 and head[offset::2].count(0) > 0.6 * len(head[offset::2]) and 0 not in head[1 - offset :: 2]:
            return name
    near = content[max(0, start - 5_000) : start + 5_000]
    if any(byte < 32 and byte not in (9, 10, 12, 13) for byte in near):
        return ""
    if sum(byte > 127 for byte in near) > 0.2 * len(near):  # mostly letters other than Latin ones
        try:
            from charset_normalizer import from_bytes
        except ModuleNotFoundError:
            return ""
        best = from_bytes(near).best()
        return best.encoding if best else ""
    try:
        near.decode("cp1252")
    except UnicodeDecodeError:
        return "latin-1"
    return "cp1252"
