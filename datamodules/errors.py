"""The one-line errors of a wrong name and of a missing package."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from typing import Any


def unknown(kind: str, value: object, choices: Iterable[str]) -> ValueError:
    """Return the one-line error for a value that is not among its choices, with the nearest of them."""
    near = difflib.get_close_matches(str(value), sorted(choices), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(sorted(choices))}"
    return ValueError(f"unknown {kind} {value!r}: {hint}")


def needs(module: str, extra: str) -> Any:
    """Import a module that comes with one of the package's extras.

    Args:
        module: Its name, such as ``"wfdb"``.
        extra: Name of the extra that brings it.

    Raises:
        ModuleNotFoundError: If it is not installed; the line gives the command that brings it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{module} is not installed: pip install 'lightning-zoo[{extra}]'") from error
