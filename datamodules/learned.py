"""What a model carries of the data that it was trained on: the order of its classes, and keys of its rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from lightning.pytorch.utilities.rank_zero import rank_zero_warn

MOST = 5
"""Number of classes that a message names."""


def class_order(own: Sequence[str] | None, known: Sequence[str] | None, name: str, by_name: bool) -> list[int] | None:
    """Return the number that a model gives to each class of a data set; None if the numbers are the same.

    Args:
        own: Classes of the data set, in the order of its labels; None if it has none.
        known: Classes of the model, in the order of its scores; None if it numbers them.
        name: Name of the data set in messages.
        by_name: Whether the names are all that labels have, as in a user's own table. Otherwise they are translations
            of fixed numbers, and may all be others.

    Raises:
        ValueError: If the model does not know a class.
    """
    if not own or not known:
        return None
    unknown = [each for each in own if each not in known]
    if unknown and (by_name or len(unknown) < len(own) or len(own) != len(known)):
        what = _class_or_classes(unknown)
        raise ValueError(f"{name}: the model does not know the {what}: it knows {listed(known)}")
    if unknown:
        return None
    order = [list(known).index(each) for each in own]
    return None if order == list(range(len(own))) else order


def warn_of_classes(own: Sequence[str] | None, known: Sequence[str] | None, name: str, by_name: bool) -> None:
    """Say in one line which classes a model and a data set do not have in common, where that may matter.

    The arguments are those of ``class_order``.
    """
    if not own or not known:
        return
    missing = [each for each in known if each not in own]
    if not by_name and not set(own) & set(known):
        rank_zero_warn(f"{name}: the model's classes {listed(known)} are taken by number, as the data's {listed(own)}")
    elif by_name and missing:
        rank_zero_warn(f"{name}: no row is of the {_class_or_classes(missing)} that the model knows")


def _class_or_classes(names: Sequence[str]) -> str:
    return f"{'class' if len(names) == 1 else 'classes'} {listed(names)}"


def listed(names: Sequence[str]) -> str:
    """Return names for a message, the first few of many."""
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return ", ".join(repr(name) for name in names[:MOST]) + more


def checksums(contents: Iterable[Any]) -> np.ndarray:
    """Return a checksum (N,), int64, of each content, which is bytes or a tensor."""
    parts = (np.ascontiguousarray(each).data.cast("B") if hasattr(each, "shape") else each for each in contents)
    return np.frombuffer(b"".join(hashlib.blake2b(part, digest_size=8).digest() for part in parts), np.int64)
