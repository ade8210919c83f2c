"""Terms of the data that shipped weights were trained on, as the file LICENSE gives them."""

from __future__ import annotations

import fnmatch
import functools
import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

LICENCE_FILE = Path(__file__).parents[2] / "LICENSE"
"""The file in a checkout; an installed package has it in its metadata."""
FIRST = "The weights in zoo/pretrained/"
"""Beginning of the part on data."""
_ENTRY = re.compile(r"^(\*?\.\S+(?:[ ]\*?\.\S+)*)(?:\s+(.*))?$")


def data_terms(recipe: str) -> str | None:
    """Return the data of a recipe with their licence or terms, in one line; None if they are not known."""
    for patterns, text in _entries():
        variants = (*patterns, *(f"{pattern}_*" for pattern in patterns))
        if any(fnmatch.fnmatchcase(recipe, pattern) for pattern in variants):
            return text
    return None


@functools.cache
def _entries() -> list[tuple[tuple[str, ...], str]]:
    """Return the entries of the file: patterns of names of recipes, and what it says of their data."""
    found: list[tuple[tuple[str, ...], str]] = []
    for line in _licence_text().partition(FIRST)[2].splitlines():
        entry = _ENTRY.match(line)
        if entry:
            names = ("*" + name.lstrip("*") for name in entry.group(1).split())
            found.append((tuple(names), (entry.group(2) or "").strip()))
        elif found and line.startswith(" "):
            patterns, text = found[-1]
            found[-1] = (patterns, f"{text} {line.strip()}".strip())
    return found


def _licence_text() -> str:
    if LICENCE_FILE.is_file():
        return LICENCE_FILE.read_text(encoding="utf-8")
    try:
        package = distribution("lightning-zoo")
    except PackageNotFoundError:
        return ""
    return package.read_text("licenses/LICENSE") or package.read_text("LICENSE") or ""
