"""One-line errors for unknown names and missing packages."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from typing import Any


def unknown(kind: str, value: object, choices: Iterable[str]) -> ValueError:
    """Return a ``ValueError`` for a value that is not among the valid choices; its message gives the nearest ones.

    Args:
        kind: Kind of the value, such as ``"datamodule"``.
        value: The invalid value.
        choices: The valid values.
    """
    near = difflib.get_close_matches(str(value), sorted(choices), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(sorted(choices))}"
    return ValueError(f"unknown {kind} {value!r}: {hint}")


def needs(module: str, extra: str) -> Any:
    """Import a module of an optional dependency.

    Args:
        module: Name of the module, such as ``"wfdb"``.
        extra: Name of the package extra that installs it.

    Raises:
        ModuleNotFoundError: If the module is not installed; the message gives the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{module} is not installed: pip install 'lightning-zoo[{extra}]'") from error
