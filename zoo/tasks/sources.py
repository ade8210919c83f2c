"""Texts to be translated: their sentences, in the form that a translator was trained on."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import NamedTuple

from datamodules.text.entity_masks import EntityMasks
from datamodules.text.lexicon import Entry, Lexicon
from datamodules.text.mail_masks import MailMasks
from datamodules.text.sentences import edited, split_long, split_sentences
from datamodules.text.sql import DatabaseValues
from datamodules.text.vocabulary import Vocabulary

FOREIGN = 0.5
"""Share of bytes among the tokens from which on a sentence is not of the languages of the vocabulary. Set by hand."""


class Translation(NamedTuple):
    """Translation of a text.

    Args:
        text: The translation.
        sentences: Source sentence, its translation and the confidence in it, for each sentence of the text.
    """

    text: str
    sentences: list[SentenceTranslation]

    @property
    def confidence(self) -> float | None:
        """Lowest confidence of the sentences; None for a text without words."""
        return min((each.confidence for each in self.sentences if each.confidence is not None), default=None)


class SentenceTranslation(NamedTuple):
    """Translation of a sentence.

    Args:
        source: The sentence.
        translation: Its translation.
        confidence: Geometric mean of the probabilities of the translation's tokens, in [0, 1], or for a single word of
            the lexicon the probability of its translation; 0 for a sentence that is left as it is since its characters
            are not those of the language, None if it has no letters.
    """

    source: str
    translation: str
    confidence: float | None


class Part(NamedTuple):
    """Part of a text that is translated by itself.

    Args:
        source: The sentence as it is written.
        space: White space that follows it.
        ready: What the translator is given; None for what it is not given.
        finish: Function from the translator's answer to the translation.
        known: Translation of a single word by the lexicon; None for what the translator is given or stays as it is.
    """

    source: str
    space: str
    ready: str | None
    finish: Callable[[str], str]
    known: Entry | None = None


class SourceText:
    """A text, divided into the parts that are translated one by one.

    Args:
        text: The text.
        vocabulary: The vocabulary of the translator.
        max_length: Largest number of tokens of a sentence; a longer one is divided into clauses.
        entity_masks: Masks of numbers and names; None for a translator without them.
        lexicon: Translations of single words; None for a translator without them.
    """

    def __init__(
        self,
        text: str,
        vocabulary: Vocabulary,
        max_length: int,
        entity_masks: EntityMasks | None,
        lexicon: Lexicon | None = None,
    ) -> None:
        self._vocabulary, self._max_length = vocabulary, max_length
        self._entity_masks, self._lexicon = entity_masks, lexicon
        self.parts: list[Part] = []
        for sentence, space in split_sentences(_visible(text)):
            clauses = split_long(sentence, self._fits)
            clauses[-1] = (clauses[-1][0], space)
            self.parts += [self._part(*clause) for clause in clauses]

    def join(self, translations: Sequence[tuple[str, float | None]]) -> Translation:
        """Return the translation of the text, given the translation and the confidence of each part."""
        joined = "".join(text + part.space for part, (text, _) in zip(self.parts, translations, strict=True))
        sentences = [
            SentenceTranslation(part.source, text, confidence)
            for part, (text, confidence) in zip(self.parts, translations)
            if part.source.strip()
        ]
        return Translation(joined, sentences)

    def _fits(self, sentence: str) -> bool:
        return len(self._vocabulary.encode([sentence])[0]) <= self._max_length - 4  # both ends, a full stop, a space

    def _knows(self, word: str) -> bool:
        return self._entity_masks is None or word in self._entity_masks.words

    def _part(self, source: str, space: str) -> Part:
        if not any(character.isalpha() for character in source):
            return Part(source, space, None, str)
        known = self._lexicon.look_up(source) if self._lexicon else None
        if known:
            return Part(source, space, None, str, known)
        text, restore = edited(source, self._knows)
        if self._entity_masks is None:
            return Part(source, space, text, restore)
        masks, (text, values) = self._entity_masks, self._entity_masks.mask(text)
        return Part(source, space, text, lambda answer: restore(masks.unmask(answer, values)))

    @staticmethod
    def is_foreign(ids: Sequence[int]) -> bool:
        """Return whether token ids are mostly bytes, which stand for characters that the vocabulary lacks."""
        return sum(map(Vocabulary.is_byte, ids)) > FOREIGN * len(ids)


class WholeText:
    """A text that is answered as a whole: a question about a database, or an e-mail.

    Args:
        text: The text.
        masks: Masks of what the answer has from the text.
    """

    def __init__(self, text: str, masks: DatabaseValues | MailMasks) -> None:
        ready, found = masks.mask(text)
        self.parts = [Part(text, "", ready.strip() or None, lambda answer: masks.unmask(answer, found))]

    def join(self, translations: Sequence[tuple[str, float | None]]) -> Translation:
        """Return the answer, given the answer to the text and the confidence in it, as a sequence of one."""
        [(text, confidence)] = translations
        return Translation(text, [SentenceTranslation(self.parts[0].source, text, confidence)])


def _visible(text: str) -> str:
    """Return a text without characters that are not seen, lone surrogates and entity masks."""
    kept = "".join("" if unicodedata.category(character) in ("Cf", "Co", "Cs") else character for character in text)
    return re.sub(r"[^\S \t\r\n]", " ", kept)
