"""One-line errors: unknown names, values out of range, missing packages."""

from __future__ import annotations

import difflib
import importlib
import math
import unicodedata
from collections.abc import Iterable
from typing import Any


def unknown(kind: str, value: object, choices: Iterable[str]) -> ValueError:
    """Return the error for a value that is not among its choices.

    Args:
        kind: Kind of the value, such as ``"model"``.
        value: The value given.
        choices: The valid names.

    Returns:
        A ``ValueError`` whose single line names the value and the nearest valid choices.
    """
    names = sorted(choices)
    near = difflib.get_close_matches(str(value), names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(names)}"
    return ValueError(f"unknown {kind} {value!r}: {hint}")


def check_positive(**values: float | None) -> None:
    """Raise ``ValueError`` for a value, given by name, that is not positive and finite; None is ignored."""
    for name, value in values.items():
        if value is not None and not 0 < value < math.inf:
            raise ValueError(f"{name} must be positive, not {value}")


def check_counts(**values: int) -> None:
    """Raise ``ValueError`` for a value, given by name, that is no whole number of at least 1."""
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")


def check_not_negative(**values: float) -> None:
    """Raise ``ValueError`` for a value, given by name, that is negative or not finite."""
    for name, value in values.items():
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} must be at least 0, not {value}")


def in_one_line(error: BaseException) -> str:
    """Return the message of an error in one line that can be printed."""
    if isinstance(error, OSError) and error.strerror:
        return printable(f"{error.filename or ''}: {error.strerror}".removeprefix(": "))
    return printable(" ".join(str(error).split())) or type(error).__name__


def printable(text: str) -> str:
    """Return a text, such as the name of a file, in one line that any terminal shows as it is.

    Control characters, ends of lines and bytes that are not UTF-8 are replaced by escapes, as in source code.
    """
    unprintable = ("Cc", "Cs", "Zl", "Zp")
    return "".join(c.encode("unicode_escape").decode() if unicodedata.category(c) in unprintable else c for c in text)


def needs(module: str, extra: str) -> Any:
    """Import a module that comes with one of the package's extras.

    Args:
        module: Its name, such as ``"skimage.restoration"``.
        extra: Name of the extra that brings it.

    Raises:
        ModuleNotFoundError: If it is not installed; the line gives the command that brings it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{module.split('.')[0]} is not installed: pip install 'lightning-zoo[{extra}]'"
        ) from error
