"""The one-line error every wrong name gets."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def unknown(kind: str, value: object, choices: Iterable[str]) -> ValueError:
    """Return the error for a value that is not among its choices.

    Args:
        kind: What was asked for, such as ``"model"``.
        value: What the user wrote.
        choices: The valid names.

    Returns:
        A ``ValueError`` whose single line names the value and the nearest valid choices.
    """
    names = sorted(choices)
    near = difflib.get_close_matches(str(value), names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(names)}"
    return ValueError(f"unknown {kind} {value!r}: {hint}")
