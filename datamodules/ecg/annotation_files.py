"""Annotation files in the MIT format of WFDB."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from datamodules.errors import needs

SKIP, NUM, SUB, CHAN, AUX = 59, 60, 61, 62, 63
"""Codes of words that do not stand for an annotation: an interval in the next 32 bits, and fields of the last one."""
COMMENT = 22
"""Code of a comment; at time 0 it says something of the file, such as its rate or the symbols that it defines."""
DEFINITIONS = "## annotation type definitions", "## end of definitions"
_RESOLUTION = re.compile(r"## time resolution: (\d+(?:\.\d+)?)")
_DEFINITION = re.compile(r"(\d+) (\S+) .+")


class _Annotation(NamedTuple):
    sample: int
    code: int
    note: str


def read_annotations(path: Path) -> tuple[np.ndarray, list[str]]:
    """Read an annotation file; ``wfdb.rdann`` never returns from some that are damaged.

    Args:
        path: Path of the file.

    Returns:
        Positions (annotations,) in samples, int64, and the code of each annotation. Comments at time 0 are left out.

    Raises:
        ValueError: If the file is not a whole annotation file.
    """
    table = needs("wfdb.io.annotation", "ecg").ann_label_table
    symbols = dict(zip(table["label_store"].tolist(), table["symbol"].tolist()))
    found = list(_annotations(path.read_bytes()))
    symbols |= _definitions([each.note for each in found if _is_about_the_file(each)])
    found = [each for each in found if each.code and not _is_about_the_file(each)]
    for each in found:
        if not symbols.get(each.code, "").strip():
            raise ValueError(f"unknown code {each.code} at sample {each.sample}")
    return np.array([each.sample for each in found], np.int64), [symbols[each.code] for each in found]


def read_notes(path: Path) -> tuple[np.ndarray, list[str]]:
    """Read the annotations of a file that have a note, such as ``(AFIB`` at a change of rhythm.

    Args:
        path: Path of the file.

    Returns:
        Positions (notes,) in samples, int64, and the notes. Comments at time 0 are left out.

    Raises:
        ValueError: If the file is not a whole annotation file.
    """
    found = [each for each in _annotations(path.read_bytes()) if each.note and not _is_about_the_file(each)]
    return np.array([each.sample for each in found], np.int64), [each.note.rstrip("\0") for each in found]


def _is_about_the_file(annotation: _Annotation) -> bool:
    return annotation.sample == 0 and annotation.code == COMMENT


def _annotations(content: bytes) -> Iterator[_Annotation]:
    """Yield the annotations of a file in order.

    A word of 16 bits holds a code in its upper 6 bits and in the others the interval since the last annotation.
    """
    if len(content) % 2 or not content:
        raise ValueError("their last byte is missing" if content else "the file is empty")
    words = np.frombuffer(content, "<u2").tolist()
    place = sample = 0
    last: _Annotation | None = None
    while place < len(words):
        code, value = words[place] >> 10, words[place] & 1023
        place += 1
        if words[place - 1] == 0:  # the end
            if any(words[place:]):
                raise ValueError("there are bytes after their end")
            break
        if code == SKIP:
            high, low = words[place : place + 2] if place + 2 <= len(words) else (0, 0)
            sample += int(np.array(high << 16 | low, np.uint32).astype(np.int32))
            place += 2
        elif code < SKIP:
            if last:
                yield last
            sample += value
            last = _Annotation(sample, code, "")
        elif last is None:
            raise ValueError("they begin with a field of none")
        elif code == AUX:
            last = last._replace(note=content[2 * place : 2 * place + value].decode("latin-1"))
            place += (value + 1) // 2
    else:
        raise ValueError("their end is missing")
    if last:
        yield last


def _definitions(notes: list[str]) -> dict[int, str]:
    """Return the symbols by code that the comments at time 0 define."""
    symbols: dict[int, str] = {}
    inside = False
    for note in notes:
        if note in DEFINITIONS:
            inside = note == DEFINITIONS[0]
        elif inside:
            found = _DEFINITION.match(note)
            if not found:
                raise ValueError(f"{note!r} defines no symbol")
            symbols[int(found[1])] = found[2]
    if inside:
        raise ValueError("the end of their definitions is missing")
    return symbols


def time_resolution(path: Path) -> float | None:
    """Return the number of units of time per second that an annotation file states in a comment at time 0, if any."""
    for each in _annotations(path.read_bytes()):
        if not _is_about_the_file(each):
            return None
        found = _RESOLUTION.fullmatch(each.note.strip())
        if found and float(found[1]) > 0:
            return float(found[1])
    return None
