"""Values in a file that may come from a stranger: their kinds, their number, and how they stand in messages."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

MAX_VALUES = 2_000_000
"""Largest number of values, tensors and numbers alike, that a checkpoint may hold."""


def count_values(content: Any, limit: int, where: str) -> None:
    """Raise ``ValueError`` for nested data of more values than a limit, each one counted wherever it is referred to."""
    pending, seen = [content], 0
    while pending:
        value = pending.pop()
        seen += 1
        if seen > limit:
            raise ValueError(f"{where} holds more than {limit:,} values, or one that holds itself")
        if isinstance(value, Mapping):
            pending.extend(value.values())
        elif isinstance(value, (list, tuple, set, frozenset)):
            pending.extend(value)


def check_kind(value: Any, kind: type, what: str) -> None:
    """Raise ``ValueError`` unless a value is a text, a count (at least 0) or an ordinary tensor on the CPU.

    Args:
        value: The value.
        kind: ``str``, ``int`` or ``Tensor``.
        what: Its name in the message.
    """
    if kind is Tensor:
        plain = type(value) in (Tensor, nn.Parameter) and value.layout == torch.strided
        good = plain and value.device.type != "meta" and not value.is_quantized and not value.is_nested
        wanted = "a tensor"
    elif kind is int:
        good = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53
        wanted = "a whole number of at least 0"
    else:
        good, wanted = isinstance(value, kind), "a text"
    if not good:
        raise ValueError(f"{what} is {shorten(value)}, expected {wanted}")


def check_form(found: Any, expected: Any, where: str) -> None:
    """Raise ``ValueError`` unless nested data have all keys of other data, and values of the same kind.

    Counts must be at least 0 and floats finite where the expected ones are.

    Args:
        found: What a file holds.
        expected: What its reader holds now.
        where: Name of the data in messages.
    """
    if isinstance(expected, Mapping):
        if not isinstance(found, Mapping):
            raise ValueError(f"{where} is {shorten(found)}, expected a dictionary")
        for key, value in expected.items():
            if key not in found:
                raise ValueError(f"{where} has no {key}")
            check_form(found[key], value, f"{where}, {key}")
    elif isinstance(expected, (list, tuple)):
        if not isinstance(found, (list, tuple)) or len(found) != len(expected):
            raise ValueError(f"{where} is {shorten(found)}, expected a list of {len(expected)}")
        for number, (part, value) in enumerate(zip(found, expected)):
            check_form(part, value, f"{where}, {number}")
    elif isinstance(expected, (bool, str)):
        if type(found) is not type(expected):
            raise ValueError(f"{where} is {shorten(found)}, expected a {type(expected).__name__}")
    elif isinstance(expected, int) and isinstance(found, int):
        check_kind(found, int, where)
    elif isinstance(expected, (int, float)):
        good = isinstance(found, (int, float)) and not isinstance(found, bool)
        if not good or (math.isfinite(expected) and not math.isfinite(found)):
            raise ValueError(f"{where} is {shorten(found)}, expected a number")
    elif isinstance(expected, Tensor):
        check_kind(found, Tensor, where)
        if found.shape != expected.shape:
            raise ValueError(f"{where} is {shorten(found)}, expected the shape {tuple(expected.shape)}")


def as_plain(value: Any) -> Any:
    """Return hyper-parameters as plain data, which every checkpoint must be read back as."""
    if isinstance(value, Mapping):
        return {str(key): as_plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_plain(part) for part in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist") and not isinstance(value, Tensor):  # of NumPy
        return value.tolist()
    return value


def shorten(value: Any, length: int = 60, exact: bool = False) -> str:
    """Return a value as it stands in a message: at most so many characters, in one line.

    Args:
        value: The value.
        length: Number of characters.
        exact: Whether a container stands with its content, or only with its size.
    """
    if isinstance(value, Tensor):
        return f"a tensor ({value.dtype}, {tuple(value.shape)}, {value.device})"
    if isinstance(value, (Mapping, list, tuple, set)) and not exact:
        return f"a {type(value).__name__} of {len(value)}"
    text = " ".join(repr(value).split())
    return text if len(text) <= length else text[: length - 3] + "..."
