"""Words and their characters: conversion of tokenized utterances, and of texts as users write them, to ids."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from datamodules.text.vocabulary import PAD, UNKNOWN

FIRST = 2
"""Id of the first word and of the first character: 0 is padding, 1 is unknown."""
LONGEST_WORD = 20
"""Largest number of characters of a word that are encoded, the first ones. Set by hand."""

_LETTERS = r"[^\W_][\u0300-\u036f]*"
_APOSTROPHE = "\u2019"
_JOINED = re.compile(rf"(?:{_LETTERS})+(?:[-'{_APOSTROPHE}.,&:/](?:{_LETTERS})+)*")
_PARTS = re.compile(rf"(?:{_LETTERS})+(?:['{_APOSTROPHE}](?:{_LETTERS})+)*")
_DIGIT = re.compile(r"\d")


class Word(NamedTuple):
    """Word of a text: its form for ``WordVocabulary.encode``, and its first and last character, the latter excluded."""

    form: str
    start: int
    end: int


def lower_case(word: str) -> str:
    """Return a word in lower case and in Unicode NFKC."""
    return unicodedata.normalize("NFKC", word).lower()


def entry_of(word: str) -> str:
    """Return the vocabulary entry of a word: in lower case, with 0 for each digit."""
    return _DIGIT.sub("0", lower_case(word))


class WordVocabulary:
    """Vocabulary of whole words, and an alphabet of their characters.

    A word's id is that of its entry, see ``entry_of``; those of its characters are of the word in lower case, whose
    digits differ. Id 0 is padding and 1 is unknown, for words and characters alike.

    Args:
        words: Entries of the words, from id 2 on.
        characters: Characters, from id 2 on.
    """

    def __init__(self, words: Sequence[str], characters: Sequence[str]) -> None:
        self.words, self.characters = list(words), list(characters)
        self._words = {word: number for number, word in enumerate(self.words, FIRST)}
        self._characters = {character: number for number, character in enumerate(self.characters, FIRST)}

    @classmethod
    def learn(cls, rows: Iterable[Sequence[str]], min_count: int = 1) -> WordVocabulary:
        """Learn the vocabulary of tokenized utterances: all characters, and the words in order of their counts.

        Args:
            rows: The words of each utterance.
            min_count: Smallest number of times that a word occurs; rarer ones are unknown.
        """
        words: Counter[str] = Counter()
        characters: Counter[str] = Counter()
        for row in rows:
            words.update(map(entry_of, row))
            characters.update("".join(map(lower_case, row)))
        kept = sorted((word for word, count in words.items() if count >= min_count), key=lambda w: (-words[w], w))
        return cls(kept, sorted(characters, key=lambda c: (-characters[c], c)))

    def __contains__(self, word: str) -> bool:
        return entry_of(word) in self._words

    def encode(self, rows: Sequence[Sequence[str]]) -> tuple[Tensor, Tensor]:
        """Encode tokenized utterances.

        Returns:
            Ids of the words (N, T) and of their characters (N, T, C), int64, padded with 0; T and C are at least 1, and
            C is at most ``LONGEST_WORD``.
        """
        forms = [[lower_case(word)[:LONGEST_WORD] for word in row] for row in rows]
        longest = max(map(len, forms), default=0)
        widest = max((len(form) for row in forms for form in row), default=0)
        words = np.full((len(rows), max(1, longest)), PAD, np.int64)
        characters = np.full((*words.shape, max(1, widest)), PAD, np.int64)
        for n, row in enumerate(rows):
            words[n, : len(row)] = [self._words.get(entry_of(word), UNKNOWN) for word in row]
            for t, form in enumerate(forms[n]):
                characters[n, t, : len(form)] = [self._characters.get(c, UNKNOWN) for c in form]
        return torch.from_numpy(words), torch.from_numpy(characters)

    def split(self, text: str) -> list[Word]:
        """Divide a text as users write it into words, with their places.

        The utterances of the data are in lower case and nearly without punctuation. So punctuation around words is
        dropped unless it belongs to a known word, such as ``st.``, and words joined by punctuation, such as
        ``boston/denver``, are divided unless they are known together, such as ``o'clock``.
        """
        return [word for run in re.finditer(r"\S+", text) for word in self._split_run(run[0], run.start())]

    def _split_run(self, run: str, start: int) -> list[Word]:
        """Divide characters without a space between them into words; they start at ``start`` in their text."""
        if run in self:
            return [Word(run, start, start + len(run))]
        found = []
        for match in _JOINED.finditer(run):
            first, last = match.span()
            dotted = run[first : last + 1]
            if dotted != match[0] and dotted in self and match[0] not in self:  # such as "st." before a comma
                found.append(Word(dotted, start + first, start + last + 1))
                continue
            form = next((form for form in _spellings(match[0]) if form in self), None)
            parts = list(_PARTS.finditer(match[0]))
            known = [next((form for form in _spellings(part[0]) if form in self), None) for part in parts]
            if form is None and len(parts) > 1 and (all(known) or "/" in match[0]):
                for part, spelling in zip(parts, known):
                    place = start + first + part.start()
                    found.append(Word(spelling or part[0], place, place + len(part[0])))
            else:
                found.append(Word(form or match[0], start + first, start + last))
        return found


def _spellings(word: str) -> tuple[str, ...]:
    """Return the forms under which a word may be known: ``p.m`` as ``pm``, ``10:30`` as ``1030``, ``st`` as ``st.``."""
    apostrophes = word.replace(_APOSTROPHE, "'"), word.replace("'", _APOSTROPHE)
    return word, *apostrophes, re.sub(r"[.,:]", "", word), f"{word}."
