"""Tiny Shakespeare: a text of a million characters for language models."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from datamodules.base import TensorDataModule
from datamodules.download import fetch
from datamodules.errors import unknown
from datamodules.loader import epoch_seed
from datamodules.registry import register_datamodule
from datamodules.splits import Split, rows_as_groups
from datamodules.text.files import decode_utf8
from datamodules.text.padding import truncate
from datamodules.text.reading import TextReader
from datamodules.text.vocabulary import PAD, Vocabulary, vocabulary_from_json

PLACES = ("end", "start")


@register_datamodule("tinyshakespeare")
class TinyShakespeareDataModule(TextReader, TensorDataModule):
    """Tiny Shakespeare (Karpathy, 2015): 1,115,394 characters of Shakespeare's plays, in one text.

    The splits are pieces of the text in its order: the test split is the last tenth, 111,540 characters, which nanoGPT
    (Karpathy, 2022) validates on; the validation split is the first or the last ``val_size`` characters before it, and
    the training split the rest. The test split begins within The Taming of the Shrew, whose characters the text before
    it introduces: figures are comparable to those of models that are trained on all of it only with ``val_at="start"``.
    Tokens are characters; those that the training split does not have are one unknown token. The seed decides the order
    and the offsets of training rows, not the splits.

    A batch is (ids, start): token ids (N, T), int64, padded with 0, and for each row the number (N,), int64, of leading
    tokens that are context and are not scored. The first character of a split is never scored, every other one of the
    validation and test splits once.

    - A training row has ``length`` tokens to score, after one of context. The rows follow each other in the text, from
      an offset of 0 to ``length`` - 1 that is drawn anew in each epoch.
    - A row of the other splits has ``length`` tokens to score, fewer at the end of the split, after the ``context``
      tokens before them, fewer at its start.

    Args:
        length: Number of scored tokens of a row.
        context: Largest number of context tokens of a validation or test row.
        val_size: Number of characters of the validation split.
        val_at: Where the validation split is, at the ``start`` or at the ``end`` of the text before the test split.
        **common: Arguments of ``TensorDataModule``.
    """

    url = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
    sha256_file = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
    learned = ("tokenizer", "vocab_size")

    def __init__(
        self, *, length: int = 256, context: int = 128, val_size: int = 50_000, val_at: str = "end", **common: Any
    ) -> None:
        super().__init__(val_size=val_size, **common)
        if val_at not in PLACES:
            raise unknown("val_at", val_at, PLACES)
        if length < 1 or context < 1:
            raise ValueError(f"length and context must be at least 1, not {length} and {context}")
        self.length, self.context, self.val_at = length, context, val_at
        self._texts: dict[str, str] | None = None
        self._vocabulary: Vocabulary | None = None

    def prepare_data(self) -> None:
        """Download the text unless it exists."""
        self._source()

    def _source(self) -> Path:
        path = self.root / "tinyshakespeare" / "input.txt"
        return path if path.is_file() else fetch([self.url], f"sha256:{self.sha256_file}", path)

    def read_all(self) -> str:
        """Read the text.

        Raises:
            ValueError: If the file is not the published one.
        """
        path = self._source()
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != self.sha256_file:
            raise ValueError(f"{path}: wrong checksum, not the published input.txt; delete it and try again")
        return decode_utf8(content, str(path))

    def text_splits(self) -> dict[str, str]:
        """Return the texts of ``train``, ``val`` and ``test``, read once."""
        if self._texts is None:
            text = self.read_all()
            known = int(0.9 * len(text))  # as nanoGPT rounds
            least = 2 * self.length  # training rows are drawn from twice their length
            if not 2 <= self.val_size <= known - least:
                raise ValueError(
                    f"val_size={self.val_size} does not fit: choose from 2 to {known - least} of {known} characters"
                )
            at_start = self.val_at == "start"
            cut = self.val_size if at_start else known - self.val_size
            first, second = text[:cut], text[cut:known]
            train, val = (second, first) if at_start else (first, second)
            self._texts = {"train": train, "val": val, "test": text[known:]}
        return self._texts

    def adopt_encoding(self, hparams: Mapping[str, Any]) -> bool:
        """Adopt the vocabulary of a model that has a tokenizer."""
        tokenizer = hparams.get("tokenizer")
        if tokenizer in (None, getattr(self._vocabulary, "json", None)):
            return False
        self._vocabulary = vocabulary_from_json(tokenizer)
        return True

    @property
    def vocabulary(self) -> Vocabulary:
        """Characters of the training split; the vocabulary of a model if adopted."""
        if self._vocabulary is None:
            self._vocabulary = Vocabulary.of_characters([self.text_splits()["train"]])
        return self._vocabulary

    @property
    def spec(self) -> dict[str, Any]:
        """Vocabulary as JSON and its size."""
        return {"tokenizer": self.vocabulary.json, "vocab_size": len(self.vocabulary)}

    def sequences(self, part: str) -> list[np.ndarray]:
        """Return the token ids (T,), int64, of each text of a split, here of one; all but the first are scored."""
        lines = self.text_splits()[part].splitlines(keepends=True)  # a text of one piece takes 300 bytes a character
        return [np.concatenate([np.array(ids, np.int64) for ids in self.vocabulary.encode(lines)])]

    def load(self) -> dict[str, Split]:
        """Encode the splits as rows of token ids."""
        rows = {}
        for name in self.text_splits():
            (ids,) = self.sequences(name)
            tokens = torch.from_numpy(ids.astype(np.int16))
            if name == "train":
                windows = tokens.unfold(0, 2 * self.length, self.length)  # a view: neighbours share their memory
                rows[name] = windows, torch.ones(len(windows), dtype=torch.long)
            else:
                rows[name] = evaluation_rows(tokens, self.length, self.context)
        groups = rows_as_groups({name: len(ids) for name, (ids, _) in rows.items()})
        return {name: Split(tensors, groups[name]) for name, tensors in rows.items()}

    def sha256(self) -> str:
        """Return the SHA-256 checksum of the text."""
        return hashlib.sha256(self.read_all().encode()).hexdigest()

    @property
    def augments(self) -> bool:
        """Whether training rows are cut at an offset of each epoch: always."""
        return True

    def augment_batch(self, x: Tensor) -> Tensor:
        """Cut training rows (N, 2 ``length``) to ``length`` + 1 tokens at the offset of the epoch."""
        trainer: Any = self.trainer
        if trainer.overfit_batches:  # Lightning promises the same batches in every epoch
            return x[:, : self.length + 1]
        draws = torch.Generator().manual_seed(epoch_seed(self.seed, trainer.current_epoch))
        offset = int(torch.randint(self.length, (1,), generator=draws))
        return x[:, offset : offset + self.length + 1]

    def decode_batch(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Convert ids to int64 and truncate them to the longest row."""
        ids, start = batch
        used = (ids != PAD).any(0).sum()
        return truncate(ids, used).long(), start


def evaluation_rows(tokens: Tensor, length: int, context: int, unscored: int = 1) -> tuple[Tensor, Tensor]:
    """Divide a text into rows such that each token but the first ``unscored`` ones is scored in one row.

    Row k scores the ``length`` tokens from the token ``unscored`` + k ``length`` on, counted from 0.

    Args:
        tokens: Token ids (T,) of the text, T > ``unscored``.
        length: Number of scored tokens of a row.
        context: Largest number of tokens before them.
        unscored: Number of leading tokens that are not scored, from 1 to ``context``.

    Returns:
        Token ids (N, ``context`` + ``length``) of the dtype given, padded with 0, and the number (N,), int64, of
        context tokens of each row.
    """
    first = torch.arange(unscored, len(tokens), length)
    begin = (first - context).clamp_min(0)
    places = begin[:, None] + torch.arange(context + length)
    inside = places < (first + length).clamp_max(len(tokens))[:, None]
    return torch.where(inside, tokens[places.clamp_max(len(tokens) - 1)], PAD).to(tokens.dtype), first - begin
