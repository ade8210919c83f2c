"""Symbols in place of what is private in e-mails: names, numbers, addresses and words that few of them have."""

from __future__ import annotations

import functools
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from datamodules.text.private_patterns import (
    AMBIGUOUS_SHARE,
    BEFORE,
    CLOSING,
    EITHER,
    FEWEST,
    FUNCTION_WORDS,
    GREETING,
    KEPT,
    LINE,
    LOCAL_PART,
    LONGEST_BEFORE,
    LONGEST_CLOSING,
    NAME,
    NAME_SHARE,
    OPENING,
    POSSESSIVE,
    PRIVATE,
    RARE,
    SENTENCE_START,
    SEPARATOR,
    SHOWN,
    SYMBOLS,
    TITLE,
    UNAMBIGUOUS,
    WORD,
)

Span = tuple[int, int, str]
"""Place of a part of a text, and the symbol of its kind."""


class Word(NamedTuple):
    """A word of a text, without an ending in 's, and its place."""

    start: int
    end: int
    text: str
    key: str
    """The word in lower case with straight apostrophes."""
    is_titled: bool
    """Whether some letter is a capital one."""

    @property
    def is_shouted(self) -> bool:
        """Whether all of two letters or more are capital ones."""
        return len(self.text) > 1 and self.text.isupper()


class PrivateWords:
    """Replacement of what is private in a text by symbols.

    E-mail and web addresses, telephone numbers, street addresses and all words and numbers with a digit are found by
    ``PATTERNS``. Of the other words only common ones are kept, those that many training texts have in lower case:

    - A word that is not common is a name if it has a capital letter, addresses the reader, or follows a title such as
      ``Mr.``; else it is a rare word. So a name of the training texts is replaced however it is written.
    - A common word that may be a name, such as ``mark``, is one if it has a capital letter within a sentence, addresses
      the reader or is the last word of the text.
    - A common word with a capital letter is part of the name that it follows or precedes within a sentence.

    A run of equal symbols is one. The object is serialised in the attribute ``json``, which has no name.

    Args:
        json: Serialised words, such as ``PrivateWords.json``.

    Raises:
        ValueError: If the string is not serialised private words.
    """

    def __init__(self, json_: str) -> None:
        try:
            content = json.loads(json_)
            self.words = frozenset(content["words"].split()) | KEPT
            self.ambiguous = frozenset(content["ambiguous"].split())
        except (ValueError, TypeError, KeyError, AttributeError):
            raise ValueError("not serialised private words: expected JSON with words and ambiguous") from None
        self.json = json_

    @classmethod
    def learn(cls, texts: Sequence[str], fewest: int = FEWEST) -> PrivateWords:
        """Learn which words are common, and which of those may be names, from the texts of the training split.

        A word is common if at least ``fewest`` texts have it in lower case and it has a capital letter in less than
        half of the cases within sentences. It may be a name if it has one in more than a tenth of the cases, or is
        found where someone is addressed or signs, or in an e-mail address.

        Args:
            texts: The texts.
            fewest: Smallest number of texts that have a common word.
        """
        texts_with: Counter[str] = Counter()
        small: Counter[str] = Counter()
        capital: Counter[str] = Counter()
        named: Counter[str] = Counter()
        addressed: Counter[str] = Counter()
        for text in map(_normalized, texts):
            own: set[str] = set()
            for line in re.split(r"\n", text):
                words = list(_words(line))
                titled = [word for word in words if word.is_titled]
                lower = [word.key for word in words if not word.is_titled]
                own.update(lower)
                small.update(lower)
                for word in titled if 2 * len(titled) <= len(words) else ():
                    if not SENTENCE_START.search(line[max(0, word.start - 9) : word.start]):
                        capital[word.key] += 1
            texts_with.update(own)
            named.update(_called(text))
            addressed.update(_addressed(text))
        common = {
            word
            for word, count in texts_with.items()
            if count >= fewest and capital[word] <= NAME_SHARE * (capital[word] + small[word])
        }
        ambiguous = {
            word
            for word in common - KEPT
            if max(capital[word], addressed[word]) > AMBIGUOUS_SHARE * (capital[word] + small[word]) or named[word] > 1
        }
        content = {
            "words": " ".join(sorted(common)),
            "ambiguous": " ".join(sorted(ambiguous | EITHER & (common | KEPT))),
        }
        return cls(json.dumps(content))

    def mask(self, text: str, *, ended: bool = True) -> str:
        """Return a text in Unicode NFKC with symbols for what is private and for ends of lines.

        There is no space before a symbol, and one after an end of a line; ``show`` restores them.

        Args:
            text: The text.
            ended: Whether nothing follows, so that the last word may be the name of the writer.
        """
        text = _normalized(text)
        text = "".join(c for c in text if c not in SYMBOLS)
        text = text.strip() if ended else text
        parts, done = [], 0
        for start, end, symbol in self.spans(text, ended=ended):
            parts += [text[done:start].rstrip(" \t") if text[done:start].strip() else " ", symbol]
            done = end
        whole = "".join([*parts, text[done:]])
        any_symbol = "".join(SHOWN)
        return re.sub(rf"[ \t]+(?=[{any_symbol}])", "", re.sub(r"[ \t]*\n\s*", f"{LINE} ", whole)).strip(" ")

    @staticmethod
    def show(masked: str) -> str:
        """Return what a reader is shown of a text with symbols, such as ``Hi <name>,``."""
        masked = masked.replace(SEPARATOR, "")
        any_symbol = "".join(SHOWN)
        spaced = re.sub(rf"(?<=[\w.,;:!?)%&{any_symbol}])(?=[{any_symbol}])", " ", masked)
        lines = re.sub(f"{LINE} ?", "\n", spaced)
        return re.sub(f"[{any_symbol}]", lambda match: SHOWN[match.group()], lines)

    def may_go_on(self, text: str, word: str) -> bool:
        """Return whether the last word of a text may be the beginning of a common word, or a whole one, and no name."""
        key = word.lower().replace("\u2019", "'")
        last = [
            symbol
            for _, end, symbol in self.spans(text[-LONGEST_BEFORE:], ended=False)[-1:]
            if end == len(text[-LONGEST_BEFORE:])
        ]
        if key in self.words or last not in ([], [NAME], [RARE]):
            return not last
        return any(each.startswith(key) for each in self.words)

    def offers(self, text: str, continuation: str) -> bool:
        """Return whether a continuation of a text with symbols has nothing that ``hide`` replaces, and no rare word."""
        return RARE not in continuation and not self._private_in(text, continuation)

    def hide(self, text: str, continuation: str) -> str:
        """Replace what is private in a continuation of a text with symbols, such that none of it can be a name.

        Each of its words is then a common one, it has no digit, and no word with a capital letter may be a name.
        """
        parts, done = [], 0
        for start, end, symbol in self._private_in(text, continuation):
            parts += [continuation[done:start].rstrip(" "), symbol]
            done = end
        return "".join([*parts, continuation[done:]])

    def _private_in(self, text: str, continuation: str) -> list[Span]:
        """Return the places in a continuation that would be masked, or have a capital letter and may be names."""
        before = text[-LONGEST_BEFORE:]
        found = self.spans(before + continuation, ended=False)
        found = [(max(0, a - len(before)), b - len(before), symbol) for a, b, symbol in found if b > len(before)]
        for word in _words(continuation):
            is_covered = any(start < word.end and word.start < end for start, end, _ in found)
            if word.is_titled and word.key in self.ambiguous - FUNCTION_WORDS and not is_covered:
                found.append((word.start, word.end, NAME))
        return sorted(found)

    def spans(self, text: str, *, ended: bool = True) -> list[Span]:
        """Return the places of what is private in a text, and the symbol of each; runs of one symbol are one."""
        found: list[Span] = []
        rest = text  # with zeros in place of what is found
        for symbol, pattern in PRIVATE:
            here = [(*match.span(), symbol) for match in pattern.finditer(rest)]
            if here:
                found += here
                rest = pattern.sub(lambda match: chr(0) * len(match.group()), rest)
        found = sorted([*found, *self._names(text, rest, ended)])
        merged: list[Span] = []
        for start, end, symbol in found:
            if merged and merged[-1][2] == symbol and re.fullmatch(r"[ \t]*", text[merged[-1][1] : start]):
                merged[-1] = (merged[-1][0], end, symbol)
            else:
                merged.append((start, end, symbol))
        return merged

    def _names(self, text: str, rest: str, ended: bool) -> Iterator[Span]:
        """Yield the places of names and rare words of a text, whose other private parts are zeros in ``rest``."""
        words = list(_words(rest))
        kinds = [self._kind(text, word) for word in words]
        opening, closing = _opening(text), _closing(text) if ended else (len(text), len(text))
        for k, word in enumerate(words):
            if word.is_titled and (word.end <= opening[1] or word.start >= closing[0]) and word.key in self.ambiguous:
                kinds[k] = NAME
        for others in (range(len(words) - 1), range(len(words) - 1, 0, -1)):
            for other in others:
                k = other + others.step
                if kinds[other] != NAME or kinds[k] is not None or not (words[k].is_titled and words[other].is_titled):
                    continue
                first, second = sorted((words[k], words[other]))
                if text[first.end : second.start] in (" ", ". ") and self._joins(text, words[k]):
                    kinds[k] = NAME
        for k, word in enumerate(words):
            beside = text[word.end : word.end + 1] == NAME or text[max(0, word.start - 2) : word.start] == f"{NAME} "
            if kinds[k] is None and beside and word.is_titled and self._joins(text, word):
                kinds[k] = NAME
        for word, kind in zip(words, kinds):
            if kind:
                yield word.start, word.end, kind

    def _joins(self, text: str, word: Word) -> bool:
        """Return whether a common word with a capital letter, beside a name, is part of it."""
        first = bool(SENTENCE_START.search(text[max(0, word.start - 9) : word.start]))
        return not word.is_shouted and word.key not in KEPT and (not first or word.key in self.ambiguous)

    def _kind(self, text: str, word: Word) -> str | None:
        """Return the symbol of a word; None if it is kept."""
        key, is_titled = word.key, word.is_titled
        is_common = key in self.words
        if is_common and (not is_titled or key in UNAMBIGUOUS):
            return None
        if not is_common and is_titled:
            return NAME
        before = text[max(0, word.start - BEFORE) : word.start]
        is_titled_name = _ends_with(TITLE, before)
        if is_titled_name or _ends_with(GREETING, before):
            return NAME if is_titled_name or not is_common or key in self.ambiguous else None
        if not is_common:
            return RARE
        is_inside = key in self.ambiguous - KEPT and not word.is_shouted and not SENTENCE_START.search(before)
        return NAME if is_inside else None


def _normalized(text: str) -> str:
    return unicodedata.normalize("NFKC", text).replace("\r\n", "\n").replace("\r", "\n")


def _ends_with(pattern: re.Pattern[str], text: str) -> bool:
    return any(match.end() == len(text) for match in pattern.finditer(text))


def _words(text: str) -> Iterator[Word]:
    """Yield the words of a text."""
    for match in WORD.finditer(text):
        word = match.group()
        word = POSSESSIVE.sub("", word) if word[-1] in "sS" else word
        small = word.lower()
        yield Word(match.start(), match.start() + len(word), word, small.replace("\u2019", "'"), word != small)


def _opening(text: str) -> tuple[int, int]:
    """Return the place of the words at the start of a text that may address its reader; (0, 0) if there are none."""
    match = OPENING.match(text)
    return match.span(1) if match else (0, 0)


def _closing(text: str) -> tuple[int, int]:
    """Return the place of the words at the end of a text that may name its writer."""
    begin = max(0, len(text) - LONGEST_CLOSING)
    match = CLOSING.search(text, begin)
    return match.span(1) if match else (len(text), len(text))


def _addressed(text: str) -> Iterator[str]:
    """Yield the words with a capital letter, in lower case, at the start and the end of a text as of an address."""
    for start, end in (_opening(text), _closing(text)):
        yield from (word.key for word in _words(text[start:end]) if word.is_titled)


def _called(text: str) -> Iterator[str]:
    """Yield the words, in lower case, that follow a title or a greeting, and those of e-mail addresses."""
    for match in LOCAL_PART.finditer(text):
        yield from (part.lower() for part in re.split(r"[\W\d_]+", match[1]) if len(part) > 1)
    for pattern in (GREETING, TITLE):
        for match in pattern.finditer(text):
            word = WORD.match(text, match.end())
            if word and word.group() != word.group().lower():
                yield POSSESSIVE.sub("", word.group()).lower().replace("\u2019", "'")


@functools.lru_cache(maxsize=16)
def private_words_from_json(json_: str) -> PrivateWords:
    """Return the private words of a JSON string, parsed once."""
    return PrivateWords(json_)
