"""Datamodules of pairs of token sequences, sources and targets."""

from __future__ import annotations

from torch import Tensor

from datamodules.base import TensorDataModule
from datamodules.splits import Split
from datamodules.text.padding import truncate
from datamodules.text.reading import TextReader


class PairDataModule(TextReader, TensorDataModule):
    """Pairs of token sequences: (src, src_len, tgt, tgt_len), ids (N, S) and (N, T) padded with 0, and lengths (N,)."""

    def bucket_keys(self, split: Split) -> Tensor:
        """Return keys (N,) that order rows by the length of the target, then of the source."""
        return split.column(3) * 1_000 + split.column(1)

    def decode_batch(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Truncate ids to the longest row and convert them to int64."""
        src, src_len, tgt, tgt_len = batch
        return truncate(src, src_len.max()).long(), src_len, truncate(tgt, tgt_len.max()).long(), tgt_len
