"""Subword vocabularies: conversion between strings and token ids."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from datamodules.errors import needs

PAD, UNKNOWN, START, END = 0, 1, 2, 3
"""Ids of the special tokens: padding, an unknown subword, and the start and the end of a sequence."""
SPECIAL = ("<pad>", "<unk>", "<s>", "</s>")
"""Strings of the special tokens, in the order of their ids."""


class Vocabulary:
    """A subword vocabulary of Hugging Face's ``tokenizers``, serialised in the attribute ``json``.

    Args:
        json: Serialised tokenizer, such as ``Vocabulary.json``.

    Raises:
        ValueError: If the string is not a serialised tokenizer.
    """

    def __init__(self, json: str) -> None:
        try:
            self._tokenizer = needs("tokenizers", "text").Tokenizer.from_str(json)
        except ModuleNotFoundError:
            raise
        except Exception as error:  # the library raises plain Exception
            raise ValueError(f"not a tokenizer of Hugging Face's tokenizers ({error})") from None
        self.json = json

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        size: int,
        *,
        lowercase: bool = False,
        symbols: Sequence[str] = (),
        at_most: bool = False,
    ) -> Vocabulary:
        """Learn a vocabulary by byte-pair encoding (Sennrich, Haddow & Birch, 2016).

        Texts are normalised to Unicode NFKC. Subwords include the preceding space, so that decoding restores the
        normalised text up to runs of spaces. Characters outside the vocabulary are encoded as bytes, so that no token
        is unknown.

        Args:
            texts: Texts of the training split.
            size: Size of the vocabulary, including the special tokens and 256 bytes.
            lowercase: Whether texts are converted to lower case.
            symbols: Characters that are tokens of their own, which no subword includes.
            at_most: Whether the vocabulary is smaller where the texts have fewer subwords, instead of being refused.

        Raises:
            ValueError: If ``size`` is too small for any subword, or larger than the texts allow.
        """
        library = needs("tokenizers", "text")
        if size < 300:
            raise ValueError(f"vocab_size must be at least 300, not {size}: 256 bytes and the special tokens are in it")
        tokenizer = library.Tokenizer(library.models.BPE(unk_token=SPECIAL[UNKNOWN], byte_fallback=True))
        forms = [library.normalizers.NFKC(), *([library.normalizers.Lowercase()] if lowercase else [])]
        forms += [library.normalizers.Replace(library.Regex(r"\s+"), " "), library.normalizers.Strip()]
        tokenizer.normalizer = library.normalizers.Sequence(forms)
        steps = [
            library.pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always"),
            library.pre_tokenizers.Punctuation("isolated"),
        ]
        if symbols:
            steps.append(library.pre_tokenizers.Split(library.Regex(f"[{''.join(symbols)}]"), "isolated"))
        tokenizer.pre_tokenizer = library.pre_tokenizers.Sequence(steps)
        tokenizer.decoder = library.decoders.Sequence(
            [
                library.decoders.ByteFallback(),
                library.decoders.Fuse(),
                library.decoders.Replace("\u2581", " "),
                library.decoders.Strip(" ", 1, 0),
            ]
        )
        bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
        # limit_alphabet, set by hand, keeps rare characters from displacing subwords; they are encoded as bytes.
        trainer = library.trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=[*SPECIAL, *bytes_],
            show_progress=False,
            limit_alphabet=1000,
            initial_alphabet=list(symbols),
        )
        tokenizer.train_from_iterator(texts, trainer)
        if tokenizer.get_vocab_size() < size and not at_most:
            raise ValueError(
                f"vocab_size={size} is larger than the texts allow: they have {tokenizer.get_vocab_size()} subwords"
            )
        return cls(tokenizer.to_str())

    @classmethod
    def of_characters(cls, texts: Iterable[str]) -> Vocabulary:
        """Return the vocabulary whose tokens are the characters of texts, in the order of their code points.

        Nothing is normalised: case, spaces and ends of lines are kept, so that decoding restores a text exactly. A
        character that the texts do not have is encoded as ``UNKNOWN``, which decoding skips.

        Args:
            texts: Texts of the training split.

        Raises:
            ValueError: If the texts have no character.
        """
        library = needs("tokenizers", "text")
        characters = sorted(set().union(*texts))
        if not characters:
            raise ValueError("the texts are empty: a vocabulary of characters needs at least one")
        ids = {token: number for number, token in enumerate((*SPECIAL, *characters))}
        tokenizer = library.Tokenizer(library.models.WordLevel(ids, unk_token=SPECIAL[UNKNOWN]))
        tokenizer.pre_tokenizer = library.pre_tokenizers.Split(library.Regex(r"[\s\S]"), "isolated")
        tokenizer.decoder = library.decoders.Fuse()
        return cls(tokenizer.to_str())

    @classmethod
    def of_words(cls, words: Iterable[str]) -> Vocabulary:
        """Return the vocabulary of words, in sorted order.

        A text is divided at white space, and nothing is normalised. A word outside the vocabulary is encoded as
        ``UNKNOWN``, which decoding skips; decoding joins words by spaces.

        Args:
            words: Words without white space.

        Raises:
            ValueError: If there is no word.
        """
        library = needs("tokenizers", "text")
        known = sorted(set(words) - set(SPECIAL))
        if not known:
            raise ValueError("the texts are empty: a vocabulary of words needs at least one")
        ids = {token: number for number, token in enumerate((*SPECIAL, *known))}
        tokenizer = library.Tokenizer(library.models.WordLevel(ids, unk_token=SPECIAL[UNKNOWN]))
        tokenizer.pre_tokenizer = library.pre_tokenizers.WhitespaceSplit()
        return cls(tokenizer.to_str())

    def __len__(self) -> int:
        return self._tokenizer.get_vocab_size()

    def encode(self, texts: Sequence[str], *, ends: bool = False) -> list[list[int]]:
        """Encode texts as token ids, enclosed in ``START`` and ``END`` if ``ends``."""
        found = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts), add_special_tokens=False)]
        return [[START, *ids, END] for ids in found] if ends else found

    def encode_padded(self, texts: Sequence[str], max_length: int, *, ends: bool = False) -> Tensor:
        """Encode texts as token ids (N, T), int64, padded with ``PAD`` and truncated to ``max_length``.

        Args:
            texts: The texts.
            max_length: Largest number of tokens.
            ends: Whether each sequence is enclosed in ``START`` and ``END``, which count as tokens.

        Returns:
            Ids (N, T); T is at least 1.
        """
        room = max_length - 2 * ends
        rows = [ids[:room] for ids in self.encode(texts)]
        rows = [[START, *ids, END] for ids in rows] if ends else rows
        return torch.from_numpy(pad_sequences(rows, max_length)[0]).long()

    def ids_of(self, symbols: Sequence[str]) -> list[int | None]:
        """Return the ids of single tokens, None for what is no token."""
        return [self._tokenizer.token_to_id(symbol) for symbol in symbols]

    @staticmethod
    def is_byte(token: int) -> bool:
        """Return whether a token is a byte, of a character without a subword."""
        return len(SPECIAL) <= token < len(SPECIAL) + 256

    def decode(self, rows: Iterable[Sequence[int]]) -> list[str]:
        """Decode token ids to texts, each up to its first ``END``; special tokens are skipped."""
        kept = []
        for row in rows:
            ids = list(row)
            ids = ids[: ids.index(END)] if END in ids else ids
            kept.append([i for i in ids if i >= len(SPECIAL)])
        return self._tokenizer.decode_batch(kept, skip_special_tokens=False)

    def subwords(self, n: int) -> tuple[list[int], list[str]]:
        """Return ids and subwords of the first ``n`` merges of byte-pair encoding, approximately the most frequent.

        Of a vocabulary of characters these are returned, with ``_`` for a space and escapes for control characters.
        """
        words = ((i, self._tokenizer.id_to_token(i)) for i in range(len(SPECIAL), len(self)))
        kept = [(i, word.replace("\u2581", "_")) for i, word in words if not word.startswith("<0x")]
        characters = [(i, "_" if c == " " else c.encode("unicode_escape").decode() if c < " " else c) for i, c in kept]
        found = ([(i, word) for i, word in kept if len(word.strip("_")) > 1] or characters)[:n]
        return [i for i, _ in found], [word for _, word in found]

    @property
    def surfaces(self) -> list[str]:
        """The text of each token within a text, by id: with its space, and empty for special tokens.

        A byte is given by its letters and digits, such as ``E2``, since it is part of a character.
        """
        names = (self._tokenizer.id_to_token(i) for i in range(len(self)))
        found = [name[3:5] if len(name) == 6 and name.startswith("<0x") else name for name in names]
        return [""] * len(SPECIAL) + [name.replace("\u2581", " ") for name in found[len(SPECIAL) :]]

    def pieces(self, row: Sequence[int]) -> list[str]:
        """Return the text of each token id; special tokens are given by name."""
        names = {PAD: "", UNKNOWN: "<unknown>", START: "<start>", END: "<end>"}
        found = self._tokenizer.decode_batch([[i] for i in row], skip_special_tokens=False)
        return [names.get(i, text.strip()) for i, text in zip(row, found)]


@functools.lru_cache(maxsize=16)
def vocabulary_from_json(json: str | None) -> Vocabulary:
    """Return the vocabulary of a JSON string, parsed once.

    Raises:
        ValueError: If it is None, that of a model without a tokenizer.
    """
    if json is None:
        raise ValueError("this model has no tokenizer: build it from a recipe, whose data give it one")
    return Vocabulary(json)


def pad_sequences(rows: Sequence[Sequence[int]], longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Return sequences of ids as one array, padded with ``PAD`` and truncated to ``longest``, and their lengths.

    Returns:
        Ids (N, T) as int16, or as int32 if an id does not fit, and lengths (N,) as int64. T is at least 1.
    """
    lengths = np.array([min(len(row), longest) for row in rows], dtype=np.int64)
    largest = max((max(row, default=0) for row in rows), default=0)
    ids = np.full((len(rows), max(1, int(lengths.max(initial=1)))), PAD, np.int16 if largest < 2**15 else np.int32)
    taken = np.fromiter(chain.from_iterable(row[:longest] for row in rows), ids.dtype, int(lengths.sum()))
    ids[np.arange(ids.shape[1]) < lengths[:, None]] = taken
    return ids, lengths
