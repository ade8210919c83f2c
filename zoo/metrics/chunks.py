"""F1 of the chunks, such as slots or names, that BIO tags mark."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric


class Chunk(NamedTuple):
    """Chunk: its type, and its first position and the one after its last."""

    kind: str
    start: int
    end: int


def find_chunks(tags: Sequence[str]) -> list[Chunk]:
    """Return the chunks that BIO tags mark, in order, as ``conlleval`` of the CoNLL-2000 shared task finds them.

    ``B-x`` begins a chunk of type x, and ``I-x`` continues one. ``I-x`` that follows no tag of type x begins one too.
    """
    found: list[Chunk] = []
    for place, tag in enumerate(tags):
        if tag[:2] not in ("B-", "I-"):
            continue
        kind, last = tag[2:], found[-1] if found else None
        if tag.startswith("I-") and last is not None and last.kind == kind and last.end == place:
            found[-1] = last._replace(end=place + 1)
        else:
            found.append(Chunk(kind, place, place + 1))
    return found


def count_chunks(predicted: Iterable[Sequence[str]], true: Iterable[Sequence[str]]) -> tuple[int, int, int]:
    """Return the numbers of correct, predicted and true chunks; a correct one has the type and both ends of a true one.

    Args:
        predicted: Predicted tags of each sequence.
        true: True tags of each sequence.
    """
    pairs = [(set(find_chunks(p)), set(find_chunks(t))) for p, t in zip(predicted, true, strict=True)]
    return sum(len(p & t) for p, t in pairs), sum(len(p) for p, _ in pairs), sum(len(t) for _, t in pairs)


class ChunkF1(Metric):
    """F1 of chunks over an epoch: 2 correct / (predicted + true), from the numbers of ``count_chunks``.

    ``update`` takes predicted tags (N, T) and true tags (N, T), the numbers of tags from 1 on and 0 in the padding;
    ``compute`` returns a scalar, 0 without any chunk.

    Args:
        tags: Names of the tags in the order of their numbers.
    """

    higher_is_better = True
    is_differentiable = False
    full_state_update = False
    counts: Tensor

    def __init__(self, tags: Sequence[str]) -> None:
        super().__init__()
        self.tags = list(tags)
        self.add_state("counts", torch.zeros(3, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predicted: Tensor, true: Tensor) -> None:
        """Add a batch of predicted and true tags (N, T)."""
        rows = [[self.names(row) for row in part.tolist()] for part in (predicted, true)]
        self.counts += torch.tensor(count_chunks(*rows), device=self.counts.device)

    def names(self, row: Sequence[int]) -> list[str]:
        """Return the names of the tags of a sequence, without those of its padding."""
        return [self.tags[number - 1] for number in row if number]

    def compute(self) -> Tensor:
        """Return F1."""
        correct, predicted, true = self.counts.double()
        return (2 * correct / (predicted + true).clamp_min(1)).float()
