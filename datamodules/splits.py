"""Splits of a data set: aligned tensors with the group of each row."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


def with_test_split(x: Tensor, y: Tensor, test_size: int) -> dict[str, Split]:
    """Return training and test splits of a data set without an official one: stratified by class, always the same."""
    whole = Split((x, y), rows_as_groups({"all": len(x)})["all"])
    train, test = stratified_split(y, test_size, seed=0)
    return {"train": whole.take(train), "test": whole.take(test)}


EVALUATION_BATCH, EVALUATION_BATCH_CPU = 2048, 256
"""Smallest batch size in evaluation, on a CUDA device and on a CPU. On a CPU the feature maps of a small convolutional
network should fit into its cache. Set by hand."""


class Split(NamedTuple):
    """Aligned tensors and the group (patient, sentence, ...) of each row.

    A split may be a subset, given by ``rows``, of larger tensors, so that tensors that are large or memory-mapped are
    not copied: ``stored`` then holds more rows than the split.
    """

    stored: tuple[Tensor, ...]
    groups: np.ndarray
    rows: Tensor | None = None
    """Indices of the split's rows in ``stored``, in order; None for all rows."""

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The rows of the split, copied if it is a subset."""
        return tuple(self.column(k) for k in range(len(self.stored)))

    def column(self, k: int) -> Tensor:
        """Return the rows of the split in tensor ``k``."""
        return self.stored[k] if self.rows is None else self.stored[k].index_select(0, self.rows)

    def as_subset(self) -> Split:
        """Return the split as a subset of all its rows, so that ``take`` returns subsets instead of copies."""
        return self if self.rows is not None else self._replace(rows=torch.arange(len(self.groups)))

    def take(self, rows: np.ndarray) -> Split:
        """Return the rows of the given indices in ascending order: a subset if this split is one, else a copy."""
        rows = np.sort(rows)
        index = torch.from_numpy(rows)
        if self.rows is not None:
            return Split(self.stored, self.groups[rows], self.rows[index])
        return Split(tuple(tensor.index_select(0, index) for tensor in self.stored), self.groups[rows])

    def to(self, device: torch.device) -> Split:
        """Return a copy on a device; a subset is copied in pieces, so that the host never holds a whole copy."""
        if self.rows is None:
            return Split(tuple(tensor.to(device) for tensor in self.stored), self.groups)
        n = len(self.rows)
        moved = tuple(torch.empty((n, *t.shape[1:]), dtype=t.dtype, device=device) for t in self.stored)
        for start in range(0, n, EVALUATION_BATCH):
            piece = self.rows[start : start + EVALUATION_BATCH]
            for source, target in zip(self.stored, moved, strict=True):
                target[start : start + len(piece)] = source.index_select(0, piece)
        return Split(moved, self.groups)


def stratified_split(labels: Tensor, size: int, seed: int, name: str = "val_size") -> tuple[np.ndarray, np.ndarray]:
    """Return the row indices of the rest and of ``size`` rows, stratified by label.

    Args:
        labels: Labels (N,).
        size: Number of rows to hold out.
        seed: Seed of the split.
        name: Name of the setting ``size`` in error messages.

    Raises:
        ValueError: If ``size`` allows less than one row per class on either side, or a class has one row only.
    """
    _check_size(labels, size, name)
    from sklearn.model_selection import train_test_split

    rest, taken = train_test_split(np.arange(len(labels)), test_size=size, stratify=labels.numpy(), random_state=seed)
    return rest, taken


def stable_split(
    keys: Sequence[str], labels: Tensor, share: float, size: int | None, seed: int, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the row indices of the rest and of rows held out, chosen within each class by a checksum of their keys.

    Whether a row is held out depends on its own key alone: rows that are added later move no other row, and no row that
    was in the rest is held out. So it is without a ``size``, but for a class of which all rows or none would be held
    out, from which one is chosen. With a ``size`` the rows of the smallest checksums are taken, in proportion to the
    classes, and a row near the limit may move when rows are added.

    Args:
        keys: A key of each row, such as its text or its file name.
        labels: Labels (N,).
        share: Share of the rows that is held out, approximately.
        size: Number of rows to hold out in its place; None for the share.
        seed: Seed of the split.
        name: Name of the setting ``size`` in error messages.

    Raises:
        ValueError: As ``stratified_split`` does.
    """
    classes = labels.unique(return_counts=True)[1]
    _check_size(labels, max(len(classes), int(len(labels) * share)) if size is None else size, name)
    places = np.array([int.from_bytes(hashlib.sha256(f"{seed}\0{key}".encode("utf-8", "replace")).digest()[:6], "big")
                       for key in keys]) / 2.0**48  # fmt: skip
    rows = [np.flatnonzero(labels.numpy() == label) for label in labels.unique().tolist()]
    counts = [int((places[own] < share).sum()) for own in rows]
    if size is not None:
        counts = _in_proportion([len(own) for own in rows], size)
    taken = [
        own[np.argsort(places[own], kind="stable")[: min(max(count, 1), len(own) - 1)]]
        for own, count in zip(rows, counts)
    ]
    held_out = np.sort(np.concatenate(taken))
    return np.setdiff1d(np.arange(len(labels)), held_out), held_out


def _in_proportion(sizes: Sequence[int], total: int) -> list[int]:
    """Divide a total among classes in proportion to their sizes, with at least one row on either side of each."""
    exact = np.array(sizes) * total / sum(sizes)
    counts = np.clip(np.floor(exact).astype(int), 1, np.array(sizes) - 1)
    while counts.sum() != total:
        step = 1 if counts.sum() < total else -1
        free = (counts + step >= 1) & (counts + step <= np.array(sizes) - 1)
        counts[np.where(free, step * (exact - counts), -np.inf).argmax()] += step
    return counts.tolist()


def _check_size(labels: Tensor, size: int, name: str) -> None:
    n, (values, counts) = len(labels), labels.unique(return_counts=True)
    classes = len(values)
    if not classes <= size <= n - classes:
        raise ValueError(f"{name}={size} does not fit: choose from {classes} to {n - classes} of {n} rows")
    if counts.min() < 2:
        raise ValueError(
            f"{name}={size}: class {int(values[counts.argmin()])} has one row, two are needed to divide it"
        )


def rows_as_groups(sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Return consecutive groups for all splits, for sources in which each row is a group of its own."""
    groups, start = {}, 0
    for name, size in sizes.items():
        groups[name] = np.arange(start, start + size)
        start += size
    return groups
