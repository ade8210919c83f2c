"""Batches from tensors: one permutation per epoch, one indexing operation per batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

Batch = tuple[Tensor, ...]


def epoch_seed(seed: int, epoch: int) -> int:
    """Return the seed of an epoch's random draws.

    The factor is prime; no two of the first 1,000,003 epochs of any seeds share a value.
    """
    return seed * 1_000_003 + epoch


class EpochSampler:
    """Row indices of one process for one epoch.

    Process r of w takes the rows r, r + w, ... of the epoch's order, so that batch i of all processes together is
    batch i of a single process with w times the batch size. In training all processes must take the same number of
    steps, so the last ``n mod w`` rows of the epoch's permutation are dropped. Evaluation drops no rows.

    Args:
        n: Number of rows.
        shuffle: Whether each epoch has a new permutation; otherwise the order is 0, 1, ... .
        seed: Seed of the permutations; the order of an epoch is the same on every machine.
        rank: Rank of this process.
        world_size: Number of processes.
    """

    def __init__(self, n: int, shuffle: bool, seed: int = 0, rank: int = 0, world_size: int = 1) -> None:
        self.n, self.shuffle, self.seed = n, shuffle, seed
        self.rank, self.world_size = rank, world_size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch whose order is drawn next; called by Lightning."""
        self.epoch = epoch

    def __len__(self) -> int:
        rest = 0 if self.shuffle else int(self.rank < self.n % self.world_size)
        return self.n // self.world_size + rest

    def rows(self) -> Tensor | None:
        """Return the row indices (int64), or None for all rows in stored order."""
        if not self.shuffle:
            return None if self.world_size == 1 else torch.arange(self.rank, self.n, self.world_size)
        order = torch.randperm(self.n, generator=torch.Generator().manual_seed(epoch_seed(self.seed, self.epoch)))
        return order[: self.n - self.n % self.world_size][self.rank :: self.world_size]


class BucketSampler(EpochSampler):
    """Row indices of an epoch, bucketed into batches of rows of similar length to reduce padding.

    The epoch's permutation is cut into pools of ``pool`` batches; each pool is sorted by key and cut into batches, and
    the batches of all pools are shuffled. Every row occurs once per epoch.

    Args:
        keys: Sort key (N,) of each row, such as its length.
        batch_size: Rows per batch.
        pool: Number of batches that are sorted together; more reduce padding and mix the rows less. The default is set
            by hand.
        **common: Arguments of ``EpochSampler``.
    """

    def __init__(self, keys: Tensor, batch_size: int, pool: int = 256, **common: Any) -> None:
        super().__init__(len(keys), True, **common)
        self.keys, self.batch_size, self.pool = keys, batch_size, pool

    def rows(self) -> Tensor:
        """Return the row indices (int64)."""
        draws = torch.Generator().manual_seed(epoch_seed(self.seed, self.epoch))
        order = torch.randperm(self.n, generator=draws)[: self.n - self.n % self.world_size]
        size = self.batch_size * self.world_size
        pools = [part[self.keys[part].argsort(stable=True)] for part in order.split(size * self.pool)]
        batches = [batch for part in pools for batch in part.split(size)]
        last = [batches.pop()] if batches and len(batches[-1]) < size else []  # a smaller batch stays last
        mixed = [batches[k] for k in torch.randperm(len(batches), generator=draws).tolist()]
        return torch.cat([*mixed, *last, order[:0]])[self.rank :: self.world_size]


class Chunk:
    """Several batches handed to the model together; iterating yields them one by one.

    Batches are gathered and decoded lazily, since a batch fits into a CPU's cache and a chunk does not.

    Args:
        tensors: Aligned tensors.
        batch_size: Rows per batch; the last may have fewer.
        rows: Indices of the chunk's rows in the tensors; all rows if None.
        decode_batch: Function applied to each batch; None for none.
    """

    def __init__(
        self,
        tensors: tuple[Tensor, ...],
        batch_size: int,
        rows: Tensor | None = None,
        decode_batch: Callable[[Batch], Batch] | None = None,
    ) -> None:
        self.tensors, self.batch_size = tensors, batch_size
        self.rows, self.decode_batch = rows, decode_batch

    def __len__(self) -> int:
        n = len(self.tensors[0] if self.rows is None else self.rows)
        return -(-n // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        if self.rows is None:
            parts = zip(*(tensor.split(self.batch_size) for tensor in self.tensors), strict=True)
        else:
            pieces = self.rows.split(self.batch_size)
            parts = (tuple(tensor.index_select(0, piece) for tensor in self.tensors) for piece in pieces)  # type: ignore[assignment]
        for batch in parts:
            yield self.decode_batch(batch) if self.decode_batch else batch


class TensorLoader:
    """Iterate over aligned tensors in batches.

    Args:
        tensors: Tensors of the same length on any device; they may be memory-mapped.
        sampler: Source of the row indices of an epoch.
        batch_size: Rows per batch.
        batches_per_step: Number of batches yielded together as one tuple of tensors.
        max_batches: Number of batches after which an epoch ends; all if None.
        prefetch: Whether a thread gathers the next rows into pinned memory while the last are used, for rows on the
            host and a model on a CUDA device.
        chosen: Row indices to which the sampler's 0, 1, ... refer; all rows if None.
        decode_batch: If given, each item is a ``Chunk`` that gathers its batches lazily and applies this function.
    """

    def __init__(
        self,
        tensors: tuple[Tensor, ...],
        sampler: EpochSampler,
        batch_size: int,
        batches_per_step: int = 1,
        max_batches: int | None = None,
        prefetch: bool = False,
        chosen: Tensor | None = None,
        decode_batch: Callable[[Batch], Batch] | None = None,
    ) -> None:
        self.tensors, self.sampler = tensors, sampler
        self.batch_sampler = None  # Lightning reads this attribute of any loader with a sampler
        self.batch_size, self.batches_per_step = batch_size, batches_per_step
        self.max_batches, self.prefetch, self.chosen, self.decode_batch = max_batches, prefetch, chosen, decode_batch

    @property
    def batches(self) -> int:
        """Number of batches per epoch, regardless of ``batches_per_step``."""
        batches = -(-len(self.sampler) // self.batch_size)
        return batches if self.max_batches is None else min(batches, self.max_batches)

    def __len__(self) -> int:
        return -(-self.batches // self.batches_per_step)

    def __iter__(self) -> Iterator[tuple[Tensor, ...] | Chunk]:
        rows = self.sampler.rows()
        if self.chosen is not None:
            rows = self.chosen if rows is None else self.chosen[rows]
        end = min(self.batches * self.batch_size, len(self.sampler))
        if rows is not None:
            rows = rows.to(self.tensors[0].device)
        size = self.batch_size * self.batches_per_step
        spans = [slice(start, min(start + size, end)) for start in range(0, end, size)]
        if not self.prefetch:
            for span in spans:
                yield self._gather(rows, span)
            return
        with ThreadPoolExecutor(1) as thread:
            pending = thread.submit(self._gather, rows, spans[0]) if spans else None
            for following in [*spans[1:], None]:
                assert pending is not None
                batch = pending.result()
                pending = thread.submit(self._gather, rows, following) if following is not None else None
                yield batch

    def _gather(self, rows: Tensor | None, span: slice) -> tuple[Tensor, ...] | Chunk:
        if self.decode_batch and rows is not None:
            return Chunk(self.tensors, self.batch_size, rows[span], self.decode_batch)
        if rows is None:
            batch = tuple(tensor[span] for tensor in self.tensors)
        else:
            batch = tuple(tensor.index_select(0, rows[span]) for tensor in self.tensors)
        return tuple(tensor.pin_memory() for tensor in batch) if self.prefetch else batch
