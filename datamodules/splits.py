"""Splits of a data set: aligned tensors with the group that each row belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


def with_test_split(x: Tensor, y: Tensor, test_size: int) -> dict[str, Split]:
    """Divide a set that has no official test split: always the same rows, each class in proportion."""
    everything = Split((x, y), rows_as_groups({"all": len(x)})["all"])
    train, test = stratified(y, test_size, seed=0)
    return {"train": everything.take(train), "test": everything.take(test)}


EVALUATION_BATCH, EVALUATION_BATCH_CPU = 2048, 256
"""Fewest rows of an evaluation's batch; on a CPU the maps of a small convolutional network should stay in its cache."""


class Split(NamedTuple):
    """Aligned tensors and, for each row, the number of the group (patient, sentence, ...) it belongs to.

    A split may be a choice of ``rows`` out of larger tensors, in place of a copy of them: ``stored`` then holds more
    than the split, and what is too large to be copied, or lies in a memory-mapped file, stays where it is.
    """

    stored: tuple[Tensor, ...]
    groups: np.ndarray
    rows: Tensor | None = None
    """Numbers of the split's rows in ``stored``, in order; None for all of them."""

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The split's own rows, copied if it is a choice."""
        return tuple(self.column(k) for k in range(len(self.stored)))

    def column(self, k: int) -> Tensor:
        """Return the split's own rows of tensor ``k`` alone."""
        return self.stored[k] if self.rows is None else self.stored[k].index_select(0, self.rows)

    def as_choice(self) -> Split:
        """Return the same split as a choice of all its rows, so that parts of it are choices too, not copies."""
        return self if self.rows is not None else self._replace(rows=torch.arange(len(self.groups)))

    def take(self, rows: np.ndarray) -> Split:
        """Return the rows of the given numbers, in ascending order: copied, or chosen if this is a choice already."""
        rows = np.sort(rows)
        index = torch.from_numpy(rows)
        if self.rows is not None:
            return Split(self.stored, self.groups[rows], self.rows[index])
        return Split(tuple(tensor.index_select(0, index) for tensor in self.stored), self.groups[rows])

    def to(self, device: torch.device) -> Split:
        """Return a copy on a device; a choice goes there piece by piece, and never whole through the host's memory."""
        if self.rows is None:
            return Split(tuple(tensor.to(device) for tensor in self.stored), self.groups)
        n = len(self.rows)
        there = tuple(torch.empty((n, *t.shape[1:]), dtype=t.dtype, device=device) for t in self.stored)
        for start in range(0, n, EVALUATION_BATCH):
            piece = self.rows[start : start + EVALUATION_BATCH]
            for source, target in zip(self.stored, there, strict=True):
                target[start : start + len(piece)] = source.index_select(0, piece)
        return Split(there, self.groups)


def stratified(labels: Tensor, size: int, seed: int, name: str = "val_size") -> tuple[np.ndarray, np.ndarray]:
    """Return the row numbers of the rest and of ``size`` rows with each label in proportion.

    Raises:
        ValueError: If ``size`` leaves nothing, or too little for one row a class; the line gives ``name``.
    """
    n, (values, counts) = len(labels), labels.unique(return_counts=True)
    classes = len(values)
    if not classes <= size <= n - classes:
        raise ValueError(f"{name}={size} does not fit: choose from {classes} to {n - classes} of {n} rows")
    if counts.min() < 2:
        raise ValueError(
            f"{name}={size}: class {int(values[counts.argmin()])} has one row, two are needed to divide it"
        )
    from sklearn.model_selection import train_test_split

    rest, taken = train_test_split(np.arange(n), test_size=size, stratify=labels.numpy(), random_state=seed)
    return rest, taken


def rows_as_groups(sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Number the rows of all splits on, for sources in which each row stands for itself."""
    groups, start = {}, 0
    for name, size in sizes.items():
        groups[name] = np.arange(start, start + size)
        start += size
    return groups
