"""Symbols in place of what is private in e-mails: names, numbers, addresses and words that few of them have."""

from __future__ import annotations

import functools
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

NAME, NUMBER, PHONE, EMAIL, LINK, ADDRESS, RARE = map(chr, range(0xE020, 0xE027))
"""Symbols, characters of Unicode's private use area, of each kind of private text."""
LINE, SEPARATOR = "\ue028", "\ue029"
"""Symbols of the end of a line, and of the end of the context that a text is read with, such as its subject."""
SHOWN = {
    NAME: "<name>",
    NUMBER: "<number>",
    PHONE: "<phone>",
    EMAIL: "<e-mail>",
    LINK: "<link>",
    ADDRESS: "<address>",
    RARE: "<word>",
}
"""What a reader is shown for each kind of private text."""
SYMBOLS = (*SHOWN, LINE, SEPARATOR)
"""All symbols."""
FEWEST = 5
"""Number of e-mails that a word must be in to be a common one. Set by hand."""
NAME_SHARE, AMBIGUOUS_SHARE = 0.5, 0.1
"""Share of capital letters within sentences from which on a word is a name, and may be one. Set by hand."""

STREET = (
    "Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Drive|Dr|Lane|Ln|Way|Court|Ct|Circle|Cir|Place|Pl|Parkway|Pkwy"
    "|Highway|Hwy|Plaza|Square|Sq|Loop|Freeway|Fwy|Trail|Terrace"
)
PATTERNS = (
    (EMAIL, r"(?<![^\s<>()\[\],;:\"])[^\s<>()\[\],;:\"@]+@[^\s<>()\[\],;:\"]*[^\W_]"),
    (LINK, r"[a-z]+://\S*[^\W_]/?|\bwww\.\S*[^\W_]|(?:[a-z]:)?(?:\\+[^\s\\]+)+"),
    (
        LINK,
        r"\b[\w-]+(?:\.[\w-]+)*\.(?:com|net|org|gov|edu|mil|biz|info|us|uk|html?|docx?|xlsx?|pptx?|pdf|txt|zip|exe|jpe?g"
        r"|gif|csv|asp|php|rtf|wpd|url|mdb|pst)\b(?:/\S*[^\W_])?",
    ),
    (
        ADDRESS,
        r"\b\d+[\w-]*\s+(?:[nsew]\.?\s+)?(?:[\w'.]+\s+){0,3}(?:street|avenue|ave|blvd|boulevard|parkway|pkwy)\b\.?"
        rf"|(?-i:\b\d+[\w-]*\s+(?:[NSEW]\.?\s+)?(?:[A-Z][\w'.]*\s+){{1,3}}(?:{STREET})\b\.?)"
        r"|\bp\.?\s?o\.?\s?box\s+\w*\d\w*",
    ),
    (
        PHONE,
        r"(?<!\w)(?=[+(\d])(?:\+?\d{1,3}[\s.-]*)?\(?\d{3}\)?[\s./-]*\d{3}[\s.-]{0,3}\d{4}(?!\w)(?:\s*(?:x|ext\.?)\s*\d+)?"
        r"|(?<![\w.,/-])\d{3}[.-]\d{4}(?![\w-])|(?<!\w)(?:x|ext\.?)[\s.-]*\d{3,6}(?!\w)",
    ),
    (NUMBER, r"(?<!\w)[^\W\d]*\d\w*(?:[-.,:/'\u2019&]\w*\d\w*)*"),
)
"""Regular expressions of private text other than words, in the order in which they are tried, without case."""
PRIVATE = tuple((symbol, re.compile(pattern, re.IGNORECASE)) for symbol, pattern in PATTERNS)
WORD = re.compile(r"[^\W\d_]+(?:['\u2019&][^\W\d_]+)*")
LOCAL_PART = re.compile(r"(?<![\w.-])([\w.-]+)@")
POSSESSIVE = re.compile(r"['\u2019]s$", re.IGNORECASE)
SENTENCE_START = re.compile(rf"(?:^|[.!?:;\n\r\t{LINE}{SEPARATOR}*>\u2022]|--|\s-\s|\s\s)[\s\"'\u201c\u2018(\[-]*$")
GREETING = re.compile(
    r"\b(?:hi|hello|dear|hey|hiya|greetings|morning|afternoon|evening|thanks|thank you),?\s(?!\s)", re.I
)
TITLE = re.compile(r"\b(?:mr|mrs|ms|dr|messrs|miss|prof|rev|sen|gov)\.?\s(?!\s)", re.IGNORECASE)
LONGEST_CLOSING = 60
"""Characters at the end of a text that are searched for the name of its writer. Set by hand."""
BEFORE = 12
"""Characters before a word that are searched for a greeting or a title. Set by hand."""
OPENING = re.compile(r"\s*([^\W\d_]+(?:(?:\s?[,/&+]\s?|\s(?:and|&)\s|\s)[^\W\d_]+){0,3})\s*(?:[,:;]|--?\s|\s\s)")
"""The words before the first punctuation mark of a text, which may address its reader."""
CLOSING = re.compile(r"(?:^|[\n,.!?]|\s\s)\s*([^\W\d_]+(?:\s[^\W\d_]\.?)?(?:\s[^\W\d_]+)?)\s*$")
"""The last words of a text, which may name its writer."""
KEPT = frozenset(
    "i i'm i'll i've i'd a monday tuesday wednesday thursday friday saturday sunday mon tue tues wed thu thur thurs fri "
    "sat sun january february march april may june july august september october november december jan feb mar apr jun "
    "jul aug sep sept oct nov dec hi hello dear hey thanks thank regards sincerely cheers best all everyone everybody "
    "team folks guys gentlemen ladies sir madam there mr mrs ms dr am pm ok fyi asap ps re fw cc christmas thanksgiving "
    "easter internet english american e-mail email per please attached friends greetings good morning afternoon "
    "evening love yes no sorry great congratulations hope happy the you and".split()
)
"""Words that are no names where they have a capital letter, and not private."""
EITHER = frozenset(
    "may april june august march love hope jan will mark bill grant rob sue pat art gene rose grace joy frank rich chip "
    "drew jean dick guy bob jack dale earl miles case young long short best".split()
)
"""Common words that are names where someone is addressed or signs. Set by hand."""
UNAMBIGUOUS = KEPT - EITHER


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


Span = tuple[int, int, str]


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

    def mask(self, text: str) -> str:
        """Return a text in Unicode NFKC with symbols for what is private and for ends of lines.

        There is no space before a symbol, and one after an end of a line; ``show`` restores them.
        """
        text = _normalized(text)
        text = "".join(c for c in text if c not in SYMBOLS)
        parts, done = [], 0
        for start, end, symbol in self.spans(text):
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

    def offers(self, text: str, continuation: str) -> bool:
        """Return whether a continuation of a text, which may have symbols, has nothing that would be masked.

        So each of its words is a common one, no word is taken for a name, and there is no digit.
        """
        whole = text[-300:] + continuation
        return not any(end > len(whole) - len(continuation) for _, end, _ in self.spans(whole))

    def spans(self, text: str) -> list[Span]:
        """Return the places of what is private in a text, and the symbol of each; runs of one symbol are one."""
        found: list[Span] = []
        rest = text  # with zeros in place of what is found
        for symbol, pattern in PRIVATE:
            here = [(*match.span(), symbol) for match in pattern.finditer(rest)]
            for start, end, _ in here:
                rest = f"{rest[:start]}{chr(0) * (end - start)}{rest[end:]}"
            found += here
        found = sorted([*found, *self._names(text, rest)])
        merged: list[Span] = []
        for start, end, symbol in found:
            if merged and merged[-1][2] == symbol and re.fullmatch(r"[ \t]*", text[merged[-1][1] : start]):
                merged[-1] = (merged[-1][0], end, symbol)
            else:
                merged.append((start, end, symbol))
        return merged

    def _names(self, text: str, rest: str) -> Iterator[Span]:
        """Yield the places of names and rare words of a text, whose other private parts are zeros in ``rest``."""
        words = list(_words(rest))
        kinds = [self._kind(text, word) for word in words]
        opening, closing = _opening(text), _closing(text)
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
