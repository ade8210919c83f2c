"""Masks of e-mails: symbols in place of addresses and numbers, and lower case in place of capitals."""

from __future__ import annotations

import functools
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping

from datamodules.text.entity_masks import SHOWN, Masked

CONTACTS = tuple(map(chr, range(0xE020, 0xE028)))
"""Symbols of e-mail, web and street addresses and of telephone numbers, characters of Unicode's private use area."""
FIGURES = tuple(map(chr, range(0xE030, 0xE044)))
"""Symbols of numbers."""
OTHER = chr(0xE04F)
"""Symbol of an address or number for which no other symbol remains; it is never written."""
MAIL_SYMBOLS = (*CONTACTS, *FIGURES, OTHER)
"""All symbols of e-mails."""
SHOWN_SYMBOLS = {
    **SHOWN,
    **{ord(symbol): f"<address {k}>" for k, symbol in enumerate(CONTACTS, 1)},
    **{ord(symbol): f"<number {k}>" for k, symbol in enumerate(FIGURES, 1)},
    ord(OTHER): "<other>",
}
"""What a reader is shown where nothing is known of what a mask of any kind stands for."""
FEWEST = 3
"""Occurrences in training subjects from which on the usual capitals of a word are known. Set by hand."""

_STREETS = (
    "street|st|avenue|ave|road|rd|drive|dr|boulevard|blvd|lane|ln|court|ct|place|pl|parkway|pkwy|circle|highway|hwy"
)
_CONTACT = re.compile(
    r"(?:https?|ftp)://\S*\w|\bwww\.\S*\w"  # web addresses
    r"|(?<![\w.+'/-])[\w.+'/-]{1,99}@\w[\w-]*(?:\.[\w-]+)*"  # e-mail addresses, and Name/HOU/ECT@ECT of Lotus Notes
    r"|(?<![\w-])(?:\+?\d{1,2}[-. ]?)?(?:\(\d{3}\) ?|\d{3}[-./ ]{1,2})\d{3}[-. ]\d{4}(?:,? ?(?:x|ext\.?) ?\d{1,6})?\b"
    r"|(?<![\w-])\d{3}-\d{4}(?![\w-])|(?<!\w)\+\d[\d ().-]{7,}\d|\b(?:x|ext\.?) ?\d{4,6}\b"  # telephone numbers
    rf"|\b\d{{1,6}} (?:[NSEW]\.? )?(?:[^\W\d_]+ ){{1,3}}(?:{_STREETS})\b\.?|\bp\. ?o\. box \d+",
    re.IGNORECASE,
)
_FIGURE = re.compile(r"(?<![\w.,])(?!(?:19|20)\d\d(?!\w|[.,:/-]\d))(?:\d+(?:[.,:/-]\d+)+|\d{3,})")
"""A number of three digits or more, or of several parts; a year is a word."""
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")
_ANY_SYMBOL = f"[{''.join(MAIL_SYMBOLS)}]"


class MailMasks:
    """Masks of the e-mails that a network writes subjects for.

    E-mail addresses, web addresses, street addresses, telephone numbers, and numbers other than years and those of two
    digits are replaced by symbols, numbered in order of appearance, the same for the same string. What a symbol of the
    subject stands for is put in from the e-mail. The subject is written in lower case; a word has the capitals that it
    has in the e-mail if they are more than the first letter, such as ``NYMEX``, else those that it usually has in the
    training subjects, and a word that these do not have begins with a capital. The object is serialised in ``json``.

    Args:
        json_: Serialised masks, such as ``MailMasks.json``.

    Raises:
        ValueError: If the string is not serialised masks.
    """

    symbols = MAIL_SYMBOLS
    """Characters that an answer has only where its text has them."""
    no_repeat = 3
    """Default length in tokens of phrases that no answer has twice. Set by hand."""
    longest = 40
    """Largest number of tokens of an answer. Set by hand."""

    def __init__(self, json_: str) -> None:
        try:
            self.forms = {word.lower(): word for word in json.loads(json_)["words"].split()}
        except (ValueError, TypeError, KeyError, AttributeError):
            raise ValueError("not serialised masks of e-mails: expected JSON with words") from None
        self.json = json_

    @classmethod
    def learn(cls, subjects: Iterable[str]) -> MailMasks:
        """Learn the usual capitals of the words of subjects, the most frequent ones of each word."""
        counts = Counter(word for subject in subjects for word in _WORD.findall(subject))
        total: Counter[str] = Counter()
        best: dict[str, str] = {}
        for word, count in sorted(counts.items()):
            small = word.lower()
            total[small] += count
            if count > counts[best.get(small, "")]:
                best[small] = word
        kept = [best[small] for small in sorted(best) if total[small] >= FEWEST]
        return cls(json.dumps({"words": " ".join(kept)}, ensure_ascii=False))

    def mask(self, mail: str) -> Masked:
        """Replace the addresses and numbers of an e-mail by symbols, as far as there are some, then by ``OTHER``.

        Returns:
            The text; and the string that each symbol stands for, and each word in lower case that has capitals
            wherever it is in the e-mail.
        """
        text, known = _visible(mail), {OTHER: ""}
        for pattern, symbols in ((_CONTACT, CONTACTS), (_FIGURE, FIGURES)):
            text, found = _replace(text, pattern, symbols)
            known.update(found)
        return Masked(text, {**known, **_capitals(text)})

    @staticmethod
    def mask_subject(subject: str, values: Mapping[str, str]) -> str:
        """Replace what an e-mail's symbols stand for in its subject, and remove other addresses and numbers."""
        symbols = {value: symbol for symbol, value in values.items() if symbol in MAIL_SYMBOLS}
        text = _visible(subject)
        for pattern in (_CONTACT, _FIGURE):
            text = pattern.sub(lambda match: symbols.get(match.group(), ""), text)
        return " ".join(text.split())

    def unmask(self, answer: str, values: Mapping[str, str]) -> str:
        """Return a subject with strings in place of symbols, and with capitals."""
        text = _WORD.sub(lambda match: self._with_capitals(match.group(), values), answer)
        text = re.sub(_ANY_SYMBOL, lambda match: values.get(match.group(), ""), text)
        text = " ".join(text.split())
        return text[:1].upper() + text[1:] if text[:1].isalpha() else text

    def _with_capitals(self, word: str, values: Mapping[str, str]) -> str:
        own = values.get(word, "")
        if any(character.isupper() for character in own[1:]):
            return own
        return self.forms.get(word) or own or word[:1].upper() + word[1:]


@functools.lru_cache(maxsize=16)
def mail_masks_from_json(json_: str) -> MailMasks:
    """Return the masks of a JSON string, parsed once."""
    return MailMasks(json_)


def _visible(text: str) -> str:
    """Return a text without characters that are not seen or are symbols, its words divided by single spaces."""
    kept = (" " if c.isspace() or unicodedata.category(c) == "Cc" else c for c in text)
    seen = "".join(c for c in kept if c.isascii() or unicodedata.category(c) not in ("Cf", "Co", "Cs", "Cn"))
    return " ".join(seen.split())


def _replace(text: str, pattern: re.Pattern[str], symbols: tuple[str, ...]) -> tuple[str, dict[str, str]]:
    """Replace the matches of a pattern by symbols; return the text and the string of each symbol."""
    taken: dict[str, str] = {}

    def symbol(match: re.Match[str]) -> str:
        value = match.group()
        if value not in taken and len(taken) == len(symbols):
            return OTHER
        return taken.setdefault(value, symbols[len(taken) % len(symbols)])

    return pattern.sub(symbol, text), {found: value for value, found in taken.items()}


def _capitals(text: str) -> dict[str, str]:
    """Return the first form of each word of a text that is nowhere in lower case, unless all of the text is capitals.

    The keys are the words in lower case.
    """
    if text.isupper():
        return {}
    words = dict.fromkeys(_WORD.findall(text))
    found: dict[str, str] = {}
    for word in words:
        small = word.lower()
        if small not in words and len(small) == len(word):
            found.setdefault(small, word)
    return found
