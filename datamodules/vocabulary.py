"""Subword vocabularies: from strings to token ids and back."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np

PAD, UNKNOWN, START, END = 0, 1, 2, 3
"""Ids of the special tokens: filling, what no subword can spell, and the two ends of a sequence."""
SPECIAL = ("<pad>", "<unk>", "<s>", "</s>")


def _library() -> Any:
    try:
        return importlib.import_module("tokenizers")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("tokenizers is not installed: pip install 'lightning-zoo[text]'") from error


class Vocabulary:
    """A subword vocabulary of Hugging Face's ``tokenizers``; ``json`` is all of it, as one string.

    Args:
        json: What ``Vocabulary.json`` was.

    Raises:
        ValueError: If the string is no tokenizer.
    """

    def __init__(self, json: str) -> None:
        try:
            self._tokenizer = _library().Tokenizer.from_str(json)
        except ModuleNotFoundError:
            raise
        except Exception as error:  # the library raises bare exceptions
            raise ValueError(f"not a tokenizer of Hugging Face's tokenizers ({error})") from None
        self.json = json

    @classmethod
    def train(cls, texts: Iterable[str], size: int, *, lowercase: bool = False) -> Vocabulary:
        """Learn byte-pair encoding (Sennrich, Haddow & Birch, 2016) from texts.

        Text is brought to Unicode's form NFKC first. Words keep the space before them, so text comes back as it was but
        for its runs of spaces. A character that the texts do not have is spelled in bytes, and nothing is unknown.

        Args:
            texts: The training split's texts, and no others.
            size: Number of tokens, the special ones and the 256 bytes included.
            lowercase: Whether case is dropped.

        Raises:
            ValueError: If ``size`` leaves no room for subwords, or the texts are too few for so many.
        """
        library = _library()
        if size < 300:
            raise ValueError(f"vocab_size must be at least 300, not {size}: 256 bytes and the special tokens are in it")
        tokenizer = library.Tokenizer(library.models.BPE(unk_token=SPECIAL[UNKNOWN], byte_fallback=True))
        forms = [library.normalizers.NFKC(), *([library.normalizers.Lowercase()] if lowercase else [])]
        forms += [library.normalizers.Replace(library.Regex(r"\s+"), " "), library.normalizers.Strip()]
        tokenizer.normalizer = library.normalizers.Sequence(forms)
        tokenizer.pre_tokenizer = library.pre_tokenizers.Sequence(
            [
                library.pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always"),
                library.pre_tokenizers.Punctuation("isolated"),
            ]
        )
        tokenizer.decoder = library.decoders.Sequence(
            [
                library.decoders.ByteFallback(),
                library.decoders.Fuse(),
                library.decoders.Replace("\u2581", " "),
                library.decoders.Strip(" ", 1, 0),
            ]
        )
        bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
        trainer = library.trainers.BpeTrainer(
            vocab_size=size, special_tokens=[*SPECIAL, *bytes_], show_progress=False, limit_alphabet=1000
        )
        tokenizer.train_from_iterator(texts, trainer)
        if tokenizer.get_vocab_size() < size:
            raise ValueError(
                f"vocab_size={size} is larger than the texts allow: they have {tokenizer.get_vocab_size()} subwords"
            )
        return cls(tokenizer.to_str())

    def __len__(self) -> int:
        return self._tokenizer.get_vocab_size()

    def encode(self, texts: Sequence[str], *, ends: bool = False) -> list[list[int]]:
        """Turn texts into token ids, between ``START`` and ``END`` if ``ends``."""
        found = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts), add_special_tokens=False)]
        return [[START, *ids, END] for ids in found] if ends else found

    def decode(self, rows: Iterable[Sequence[int]]) -> list[str]:
        """Turn token ids into texts; special tokens say nothing, and what follows ``END`` neither."""
        kept = []
        for row in rows:
            ids = list(row)
            ids = ids[: ids.index(END)] if END in ids else ids
            kept.append([i for i in ids if i >= len(SPECIAL)])
        return self._tokenizer.decode_batch(kept, skip_special_tokens=False)

    def tokens(self, row: Sequence[int]) -> list[str]:
        """Return the subwords of token ids as they are written in the vocabulary."""
        return [self._tokenizer.id_to_token(int(i)) for i in row]


def padded(rows: Sequence[Sequence[int]], longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of ids as one array filled up with ``PAD`` and cut at ``longest``, and their lengths.

    Returns:
        Ids (N, T) as int16, or int32 where an id does not fit, and lengths (N,) as int64. T is at least 1.
    """
    lengths = np.array([min(len(row), longest) for row in rows], dtype=np.int64)
    largest = max((max(row, default=0) for row in rows), default=0)
    ids = np.full((len(rows), max(1, int(lengths.max(initial=1)))), PAD, np.int16 if largest < 2**15 else np.int32)
    taken = np.fromiter(chain.from_iterable(row[:longest] for row in rows), ids.dtype, int(lengths.sum()))
    ids[np.arange(ids.shape[1]) < lengths[:, None]] = taken
    return ids, lengths
