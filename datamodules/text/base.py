"""Base class of the datamodules of labelled texts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from datamodules.base import TensorDataModule
from datamodules.learned import checksums
from datamodules.splits import Split, stratified_split
from datamodules.text.padding import truncate
from datamodules.text.reading import TextReader
from datamodules.text.vocabulary import Vocabulary, pad_sequences, vocabulary_from_json


class Labelled(NamedTuple):
    """Texts with the class index and the group of each; of several classes a text, a tuple of class indices."""

    texts: list[str]
    labels: list[Any]
    groups: list[int]

    def take(self, rows: Any) -> Labelled:
        """Return the rows of the given indices."""
        return Labelled(*([column[i] for i in rows] for column in self))


class TextDataModule(TextReader, TensorDataModule):
    """Base class of the datamodules of labelled texts.

    A row is the token ids (T,) of a text, padded with 0, and its class. The subword vocabulary is learned from the
    training split alone. Training batches are bucketed by length and truncated to their longest text.

    Args:
        vocab_size: Size of the vocabulary.
        max_length: Largest number of tokens of a text; longer texts are truncated.
        lowercase: Whether texts are converted to lower case.
        **common: Arguments of ``TensorDataModule``.
    """

    class_names: list[str]
    learned = (*TensorDataModule.learned, "tokenizer", "vocab_size", "max_length")
    fixed_by_model = ("vocab_size", "max_length", "lowercase")
    _fits_vocabulary = False
    """Whether the vocabulary is smaller where the texts have fewer subwords."""

    def __init__(
        self, *, vocab_size: int = 8_000, max_length: int = 128, lowercase: bool = True, **common: Any
    ) -> None:
        super().__init__(**common)
        if max_length < 1:
            raise ValueError(f"max_length must be at least 1, not {max_length}")
        self.vocab_size, self.max_length, self.lowercase = vocab_size, max_length, lowercase
        self._text_splits: dict[str, Labelled] | None = None
        self._vocabulary: Vocabulary | None = None

    def read_all(self) -> dict[str, Labelled]:
        """Read the texts of ``train`` and ``test``, and of ``val`` where the source defines one."""
        raise NotImplementedError(f"{type(self).__name__} is abstract: it has no texts")

    def clean_text(self, text: str) -> str:
        """Return a text as it is written by users; overridden for sources of tokenized texts."""
        return text

    def add_synthetic(self, train: Labelled) -> Labelled:
        """Return the training texts with synthetic ones added; overridden for sources that derive some."""
        return train

    def split_texts(self, train: Labelled) -> tuple[Any, Any]:
        """Return the row indices of the training split and of the validation split."""
        return stratified_split(torch.tensor(train.labels), self.val_size, self.seed)

    def text_splits(self) -> dict[str, Labelled]:
        """Return the texts of ``train``, ``val`` and ``test``, read once."""
        if self._text_splits is None:
            parts = self.read_all()
            if "val" not in parts:
                rest, taken = self.split_texts(parts["train"])
                parts = {
                    **parts,
                    "train": parts["train"].take(sorted(rest)),
                    "val": parts["train"].take(sorted(taken)),
                }
            self._text_splits = {
                name: parts[name]._replace(texts=[self.clean_text(text) for text in parts[name].texts])
                for name in ("train", "val", "test")
            }
            self._text_splits["train"] = self.add_synthetic(self._text_splits["train"])
        return self._text_splits

    def adopt_encoding(self, hparams: Mapping[str, Any]) -> bool:
        """Adopt the vocabulary and the largest number of tokens of a model that has a tokenizer."""
        return adopt_tokenizer(self, hparams)

    @property
    def source_classes(self) -> list[str]:
        """Classes in the order of the source's labels."""
        return list(self.class_names)

    @property
    def vocabulary(self) -> Vocabulary:
        """Subword vocabulary, learned from the training split once; that of a model if adopted."""
        if self._vocabulary is None:
            texts = self.text_splits()["train"].texts
            self._vocabulary = Vocabulary.train(
                texts, self.vocab_size, lowercase=self.lowercase, at_most=self._fits_vocabulary
            )
        return self._vocabulary

    @property
    def spec(self) -> dict[str, Any]:
        """Classes, vocabulary as JSON, its size and the largest number of tokens."""
        return {
            "num_classes": len(self.class_names),
            "class_names": self.class_names,
            "tokenizer": self.vocabulary.json,
            "vocab_size": len(self.vocabulary),
            "max_length": self.max_length,
        }

    def load(self) -> dict[str, Split]:
        """Encode the texts as token ids."""
        splits = {}
        for name, part in self.text_splits().items():
            ids, _ = pad_sequences(self.vocabulary.encode(part.texts), self.max_length)
            splits[name] = Split((torch.from_numpy(ids), torch.tensor(part.labels)), np.array(part.groups))
        return splits

    def sha256(self) -> str:
        """Return the SHA-256 checksum of all texts and labels, independent of the validation split."""
        digest = hashlib.sha256()
        for name, part in sorted(self.read_all().items()):
            for text, label in zip(part.texts, part.labels):
                digest.update(f"{name}\t{label}\t{text}\n".encode())
        return digest.hexdigest()

    def row_keys(self, split: str) -> np.ndarray:
        """Return keys (N,), int64, of the texts of a split; equal texts have equal keys."""
        return checksums(text.encode("utf-8", "surrogatepass") for text in self.text_splits()[split].texts)

    def bucket_keys(self, split: Split) -> Tensor:
        """Return the number of tokens (N,) of each row."""
        return (split.column(0) != 0).sum(1)

    def to_natural_units(self, x: Tensor) -> Tensor:
        """Truncate ids (N, T) to the longest row and convert them to int64."""
        used = (x != 0).any(0).nonzero()
        return truncate(x, used[-1] + 1 if len(used) else 1).long()


def adopt_tokenizer(data: Any, hparams: Mapping[str, Any]) -> bool:
    """Give a datamodule of texts a model's vocabulary and largest number of tokens.

    Args:
        data: Datamodule with ``max_length`` and ``_vocabulary``, which is None before it is learned.
        hparams: Hyper-parameters of the model; without a ``tokenizer`` nothing is adopted.

    Returns:
        Whether texts are encoded otherwise than before.
    """
    tokenizer = hparams.get("tokenizer")
    if tokenizer is None:
        return False
    before = data.max_length, getattr(data._vocabulary, "json", None)
    data.max_length = hparams.get("max_length", data.max_length)
    if before[1] != tokenizer:
        data._vocabulary = vocabulary_from_json(tokenizer)
    return before != (data.max_length, tokenizer)
