"""Captions of pictures: their words, and the published file of them."""

from __future__ import annotations

import re
from pathlib import Path

from datamodules.archives import unpack_gzip
from datamodules.text.files import decode_utf8

_WORD = re.compile(r"'?[^\W_]+(?:[-'.,&][^\W_]+)*")
_POSSESSIVE = re.compile(r"(?<=\w)'s\b")


def caption_words(text: str) -> list[str]:
    """Return the words of a caption in lower case, without punctuation; a possessive ending is a word of its own.

    On the published captions of Flickr8k this is what the tokenizer of the COCO evaluation does but for a few dozen
    words: it keeps the point of abbreviations such as ``mr.``, and ``#`` and ``&`` as words.
    """
    return _WORD.findall(_POSSESSIVE.sub(" 's", text.lower().replace("\u2019", "'")))


def read_captions(path: Path) -> dict[str, list[str]]:
    """Read captions by the name of their picture, in the order of the file.

    Args:
        path: File with a line ``NAME#K<tab>CAPTION`` for each caption, gzipped if it ends in ``.gz``.

    Raises:
        ValueError: If the file is damaged or not UTF-8, or a line has another form; the message gives the line.
    """
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = unpack_gzip(content, str(path))
    found: dict[str, list[str]] = {}
    for number, line in enumerate(decode_utf8(content, str(path)).split("\n"), 1):
        if not line.strip():
            continue
        place, tab, caption = line.rstrip("\r").partition("\t")
        name, mark, _ = place.rpartition("#")
        if not (tab and mark and name):
            raise ValueError(f"{path}, line {number}: {line[:40]!r}, expected a line NAME#K, a tab and a caption")
        found.setdefault(name, []).append(caption.strip())
    return found
