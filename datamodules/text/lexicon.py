"""A lexicon: words and their translations, learned from pairs of sentences."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from datamodules.text.alignment import WordPair
from datamodules.text.word_lists import WordList

ONE_WORD = re.compile(r"([^\W\d_]+(?:['\u2019-][^\W\d_]+)*)\s?([.!?…]*)")
"""A sentence of one word, and its punctuation."""


class Entry(NamedTuple):
    """Translation of a word.

    Args:
        translation: The translation.
        probability: Its probability given the word, in [0, 1].
    """

    translation: str
    probability: float


class Lexicon:
    """Translations of single words. The object is serialised in the attribute ``json``.

    Args:
        json: Serialised lexicon, such as ``Lexicon.json``.

    Raises:
        ValueError: If the string is not a serialised lexicon.
    """

    def __init__(self, json_: str) -> None:
        self.source, self.target, fields = WordList.from_json(json_, "a serialised lexicon")
        try:
            triples = zip(fields[::3], fields[1::3], fields[2::3], strict=True)
            self.entries = {word: Entry(translation, float(p)) for word, translation, p in triples}
        except ValueError:
            raise ValueError("not a serialised lexicon: expected words, each with a translation and a number") from None
        self.json = json_

    @classmethod
    def of_pairs(cls, pairs: Iterable[WordPair], source: str, target: str) -> Lexicon:
        """Return the lexicon of pairs of words between two languages, given by their ISO 639-3 codes."""
        fields = [field for pair in pairs for field in (pair.source, pair.target, f"{pair.probability:.2f}")]
        return cls(WordList(source, target, fields).json)

    @property
    def sentences(self) -> list[tuple[str, str]]:
        """The words and their translations as sentences, such as ``("House.", "Maison.")``."""
        return [(f"{_capital(word)}.", f"{_capital(entry.translation)}.") for word, entry in self.entries.items()]

    def look_up(self, sentence: str) -> Entry | None:
        """Return the translation of a sentence of one word, with its capital letter and punctuation; None for others.

        Args:
            sentence: The sentence, such as ``house``, ``House.`` or ``Why?``.
        """
        match = ONE_WORD.fullmatch(sentence)
        if not match:
            return None
        word, ending = match.groups()
        found = next((self.entries[form] for form in _forms(word) if form in self.entries), None)
        if found is None:
            return None
        text = found.translation if word[0].islower() else _capital(found.translation)
        if len(word) > 1 and word.isupper():
            text = text.upper()
        space = " " if self.target == "fra" and ending.strip(".…") else ""
        return Entry(text + space + ending, found.probability)


@functools.lru_cache(maxsize=16)
def lexicon_from_json(json_: str) -> Lexicon:
    """Return the lexicon of a JSON string, parsed once."""
    return Lexicon(json_)


def _forms(word: str) -> Sequence[str]:
    return word, word.lower(), word.capitalize()


def _capital(word: str) -> str:
    return word[0].upper() + word[1:]
