"""Between strings and token ids, by the vocabulary that a model carries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from zoo.errors import needs

PAD, UNKNOWN, START, END = 0, 1, 2, 3
"""Ids of the special tokens: filling, what no subword can spell, and the two ends of a sequence."""


class Tokens:
    """A subword vocabulary of Hugging Face's ``tokenizers`` in use.

    Args:
        json: The vocabulary, as a datamodule's ``spec`` has it.
    """

    def __init__(self, json: str) -> None:
        self._tokenizer = needs("tokenizers", "text").Tokenizer.from_str(json)

    def ids(self, texts: Sequence[str], longest: int, *, ends: bool = False) -> Tensor:
        """Turn texts into ids (N, T) of dtype int64, filled up with ``PAD`` and cut at ``longest``; T is at least 1.

        Args:
            texts: The texts.
            longest: Largest number of tokens.
            ends: Whether ``START`` and ``END``, which count as tokens, stand around each.
        """
        room = longest - 2 * ends
        rows = [found.ids[:room] for found in self._tokenizer.encode_batch(list(texts), add_special_tokens=False)]
        rows = [[START, *row, END] for row in rows] if ends else rows
        ids = torch.full((len(rows), max(1, *map(len, rows)) if rows else 1), PAD)
        for target, row in zip(ids, rows):
            target[: len(row)] = torch.tensor(row, dtype=torch.long)
        return ids

    def texts(self, rows: Iterable[Sequence[int]]) -> list[str]:
        """Turn rows of ids into texts, each up to its ``END``."""
        kept = []
        for row in rows:
            ids = list(row)
            ids = ids[: ids.index(END)] if END in ids else ids
            kept.append([i for i in ids if i > END])
        return self._tokenizer.decode_batch(kept, skip_special_tokens=False)

    def learned(self, n: int) -> tuple[list[int], list[str]]:
        """Return ids and subwords of the first ``n`` that were learned; special tokens and bytes were not."""
        words = ((i, self._tokenizer.id_to_token(i)) for i in range(END + 1, self._tokenizer.get_vocab_size()))
        kept = [(i, word.replace("\u2581", "_")) for i, word in words if not word.startswith("<0x")]
        longer = [(i, word) for i, word in kept if len(word.strip("_")) > 1][:n]
        return [i for i, _ in longer], [word for _, word in longer]

    def pieces(self, row: Sequence[int]) -> list[str]:
        """Return each id's subword by itself, special tokens by name."""
        names = {PAD: "", UNKNOWN: "<unknown>", START: "<start>", END: "<end>"}
        found = self._tokenizer.decode_batch([[i] for i in row], skip_special_tokens=False)
        return [names.get(i, text.strip()) for i, text in zip(row, found)]
