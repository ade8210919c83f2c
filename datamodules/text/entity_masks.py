"""Entity masks: symbols that stand for the numbers and names of a sentence while it is translated."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from datamodules.text.word_lists import WordList

NUMBERS = tuple(map(chr, range(0xE000, 0xE00A)))
"""Masks of numbers, characters of Unicode's private use area."""
NAMES = tuple(map(chr, range(0xE010, 0xE01A)))
"""Masks of names."""
SYMBOLS = (*NUMBERS, *NAMES)
"""All masks."""
FREQUENT = 20
"""Occurrences in the training split from which on a network learns a name itself. Set by hand."""
WORD = re.compile(r"(?:O['\u2019])?[^\W\d_]+(?:-[^\W\d_]+)*")
TITLED = r"(?:[^\W\d_a-zß-öø-ÿ]\.|(?:O['\u2019])?[^\W\d_a-zß-öø-ÿ][^\W\d_]+(?:-[^\W\d_]+)*)"
"""A word with a capital letter, or an initial, after a title."""
MIXED = re.compile(
    r"https?://\S*\w|[\w.+-]+@[\w-]+(?:\.[\w-]+)+|www\.[\w./-]*\w|[^\W\d_]+-?\d[\w-]*"
    "|[\u2190-\u2bff\ufe0f\U0001f000-\U0001faff]+"
)
"""Addresses, words with digits in them such as ``MP3``, and pictographs, which are copied as names are."""
SENTENCE_START = re.compile(
    r"(?:^|(?<!\bMr)(?<!\bMrs)(?<!\bMs)(?<!\bDr)(?<!\bSt)(?<!\bM)[.!?…:]\s)[\s\"'“”«»\u2018\u2019(\[¿¡-]*$"
)
NUMBER_WORDS = {
    "eng": "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen twenty thirty "
    "forty fifty sixty",
    "fra": "deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize vingt trente "
    "quarante cinquante soixante",
}
"""Number words of the same meaning in the same order."""


class Numerals(NamedTuple):
    """How a language writes numbers.

    Args:
        pattern: Regular expression of a number, which may be a time of day.
        decimal: Decimal separator.
        thousands: Separator of groups of three digits.
        time: Separator of hours and minutes.
    """

    pattern: re.Pattern[str]
    decimal: str
    thousands: str
    time: str


_NOT_IN_WORD = r"(?<![\w.,])"
NUMERALS = {
    "eng": Numerals(re.compile(_NOT_IN_WORD + r"\d+(?:[.,:/-]\d+)*"), ".", ",", ":"),
    "fra": Numerals(
        re.compile(
            _NOT_IN_WORD
            + r"(?:\d{1,2} ?h ?\d{2}(?!\d)|\d{1,3}(?:[ \u00a0\u202f]\d{3})+(?:,\d+)?(?!\d)|\d+(?:[.,:/-]\d+)*)"
        ),
        ",",
        " ",
        " h ",
    ),
}
"""Numerals by ISO 639-3 code."""
TITLES = (
    {"eng": ("Mr.", "Mr", "mr."), "fra": ("M.", "Mr")},
    {"eng": ("Mrs.", "Mrs", "Ms.", "Ms"), "fra": ("Mme", "Mme.")},
    {"eng": ("Dr.", "Dr"), "fra": ("Dr", "Dr.")},
    {"eng": ("Miss",), "fra": ("Mlle", "Mlle.")},
)
"""Titles before names with the same meaning by language, the usual form first."""
HOURS = {"eng": " o'clock", "fra": " heures?"}
"""What a language writes after full hours alone."""
VERBS = {"fra": re.compile(r".*(?:ez|ons|-(?:en|y|je|tu|il|elle|on|nous|vous|ils|elles|moi|toi|lui|leur|le|la|les))")}
"""Verbs by language; the first word of a sentence that matches is not taken for a name."""
SHOWN = {ord(symbol): f"<number {k}>" for k, symbol in enumerate(NUMBERS, 1)} | {
    ord(symbol): f"<name {k}>" for k, symbol in enumerate(NAMES, 1)
}
"""What a reader is shown where nothing is known of what a mask stands for."""


class Masked(NamedTuple):
    """A sentence in which masks stand for numbers and names.

    Args:
        text: The sentence with masks.
        values: The string that each mask stands for.
    """

    text: str
    values: dict[str, str]


class EntityMasks:
    """Replacement of the numbers and rare names of a sentence by masks (Luong et al., 2015, rare words).

    A number is replaced always. A word with a capital letter is a name, and replaced, if it is not among the ``words``
    that a network has seen and has to translate, such as ``Monday``; the first word of a sentence also must not be
    among them in lower case. The object is serialised in the attribute ``json``.

    Args:
        json: Serialised masks, such as ``EntityMasks.json``.

    Raises:
        ValueError: If the string is not serialised entity masks.
    """

    def __init__(self, json_: str) -> None:
        self.source, self.target, words = WordList.from_json(json_, "serialised entity masks")
        self.words = frozenset(words)
        self.json = json_

    @classmethod
    def learn(cls, pairs: Sequence[tuple[str, str]], source: str, target: str) -> EntityMasks:
        """Learn which words of the source language are translated, from the pairs of the training split.

        A word with a capital letter is a name if less than ``FREQUENT`` times in the source, and in half of the cases
        or more in the target as well.

        Args:
            pairs: Pairs of source and target sentences.
            source: ISO 639-3 code of the source language.
            target: Code of the target language.
        """
        small: set[str] = set()
        seen: Counter[str] = Counter()
        inside: Counter[str] = Counter()
        copied: Counter[str] = Counter()
        for sentence, translation in pairs:
            translated = set(WORD.findall(translation))
            for match in WORD.finditer(sentence):
                word = match.group()
                if not word[0].isupper():
                    small.add(word)
                    continue
                seen[word] += 1
                inside[word] += not SENTENCE_START.search(sentence[: match.start()])
                copied[word] += word in translated
        words = set(small)
        for word, count in seen.items():
            if count < FREQUENT and 2 * copied[word] >= count:
                continue
            words.add(word if inside[word] else word.lower())
        return cls(WordList(source, target, sorted(words)).json)

    def mask(self, sentence: str) -> Masked:
        """Replace the numbers and names of a source sentence, in their order, as far as there are masks."""
        spans = [*_numbers(sentence, self.source), *self._titled(sentence, self._names(sentence))]
        return _replace(sentence, sorted(spans), iter(NUMBERS), iter(NAMES))

    def mask_pair(
        self,
        sentence: str,
        translation: str,
        order: Callable[[Sequence[str]], Iterable[str]] = iter,
        all_names: bool = False,
    ) -> tuple[str, str]:
        """Replace the numbers and names that a sentence and its translation have in common.

        Args:
            sentence: The source sentence.
            translation: The target sentence.
            order: Function that gives masks in the order in which they are taken.
            all_names: Whether names that the network learns itself, and number words, are replaced too.
        """
        numbers, names = iter(order(NUMBERS)), iter(order(NAMES))
        theirs = [*_numbers(translation, self.target)]
        ours = [*_numbers(sentence, self.source)]
        if all_names:
            theirs += _number_words(translation, self.target)
            ours += _number_words(sentence, self.source)
        found: list[tuple[str, str, str]] = []
        taken: set[int] = set()
        for _, _, text, kind in sorted(ours):
            for k, (_, _, other, _) in enumerate(theirs):
                if k not in taken and _digits(text) == _digits(other):
                    taken.add(k)
                    found.append((text, other, kind))
                    break
        for _, _, name, kind in self._names(sentence, all_names):
            if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", translation):
                found.append((name, name, kind))
        for text, other, kind in found:
            symbol = next(numbers if kind == "number" else names, None)
            if symbol is not None:
                sentence, translation = _put(sentence, text, symbol), _put(translation, other, symbol)
        return sentence, translation

    def unmask(self, translation: str, values: Mapping[str, str]) -> str:
        """Put numbers, in the target language's form, and names back in place of their masks."""
        any_symbol = f"[{''.join(SYMBOLS)}]"
        translation = re.sub(rf"(?<=[^\W_])(?={any_symbol})|(?<={any_symbol})(?=[^\W_])", " ", translation)
        for symbol, value in values.items():
            if symbol in NUMBERS:
                value = localize_number(value, self.source, self.target)
                if self.target in HOURS and not re.fullmatch(r"[\d.,\s]+", value):
                    translation = re.sub(rf"{symbol}{HOURS[self.target]}\b", symbol, translation)
            else:
                value = self._localize_title(value)
                if self.target == "fra" and re.match(r"[aeiouâàéèêëîïôöûüœ]", value.lower()):
                    translation = re.sub(rf"\b([dD]|[qQ]u)e {symbol}", rf"\1'{symbol}", translation)
            translation = translation.replace(symbol, value)
        return "".join(character for character in translation if character not in SYMBOLS)

    def _names(self, sentence: str, all_names: bool = False) -> list[tuple[int, int, str, str]]:
        """Return the places of names, adjacent ones as one, and of what is copied as a name is."""
        spans = [match.span() for match in MIXED.finditer(sentence)]
        for match in WORD.finditer(sentence):
            word, (start, end) = match.group(), match.span()
            if len(word) == 1 or not word[0].isupper() or any(a < end and start < b for a, b in spans):
                continue
            if self._is_translated(word, bool(SENTENCE_START.search(sentence[:start])), all_names):
                continue
            if spans and spans[-1][1] + 1 == start and sentence[start - 1] == " " and sentence[start - 2].isalpha():
                spans[-1] = (spans[-1][0], end)
            else:
                spans.append((start, end))
        return [(a, b, sentence[a:b], "name") for a, b in sorted(spans)]

    def _titled(self, sentence: str, names: list[tuple[int, int, str, str]]) -> list[tuple[int, int, str, str]]:
        """Return the places of names with those that follow a title, which is part of the name."""
        for start, name_start, end in _titled_names(sentence, self.source):
            if sentence[name_start:end].split()[0].lower() not in self.words:
                names = [place for place in names if place[1] <= start or place[0] >= end]
                names.append((start, end, sentence[start:end], "name"))
        return names

    def _localize_title(self, name: str) -> str:
        """Return a name with its title in the target language."""
        title, _, rest = name.partition(" ")
        forms = next((forms for forms in TITLES if rest and title in forms.get(self.source, ())), {})
        return f"{forms[self.target][0]} {rest}" if self.target in forms else name

    def _is_translated(self, word: str, is_first: bool, all_names: bool) -> bool:
        """Return whether a word with a capital letter is translated by the network instead of being copied."""
        verb = VERBS.get(self.source)
        if is_first and (word.lower() in self.words or (verb and verb.fullmatch(word))):
            return True
        return word in self.words and not (all_names and word.lower() not in self.words)


@functools.lru_cache(maxsize=16)
def entity_masks_from_json(json_: str) -> EntityMasks:
    """Return the masks of a JSON string, parsed once."""
    return EntityMasks(json_)


def localize_number(number: str, source: str, target: str) -> str:
    """Return a number in the form of another language, such as ``1 500,5`` for ``1,500.5`` in French.

    A time of day such as ``10:30`` becomes ``10 h 30``. Numbers of other languages than those of ``NUMERALS``, and what
    is neither a number nor a time in the source language's form, stay as they are.
    """
    if source not in NUMERALS or target not in NUMERALS or source == target:
        return number
    ours, theirs = NUMERALS[source], NUMERALS[target]
    time = re.fullmatch(r"(\d{1,2})(?::| ?h ?)([0-5]\d)", number)
    if time:
        return theirs.time.join(time.groups())
    decimal, thousands = re.escape(ours.decimal), "[ \u00a0\u202f]" if ours.thousands == " " else ours.thousands
    parts = re.fullmatch(rf"(\d{{1,3}}(?:{thousands}\d{{3}})+|\d+)(?:{decimal}(\d+))?", number)
    if not parts:
        return number
    whole = re.sub(thousands, theirs.thousands, parts[1])
    return whole + (theirs.decimal + parts[2] if parts[2] else "")


def _numbers(text: str, language: str) -> Iterator[tuple[int, int, str, str]]:
    pattern = NUMERALS[language].pattern if language in NUMERALS else NUMERALS["eng"].pattern
    mixed = [match.span() for match in MIXED.finditer(text)]
    for match in pattern.finditer(text):
        if not any(a < match.end() and match.start() < b for a, b in mixed):
            yield match.start(), match.end(), match.group(), "number"


def _titled_names(text: str, language: str) -> Iterator[tuple[int, int, int]]:
    """Yield the start of a title, the start of the name that follows it, and its end."""
    titles = [title for forms in TITLES for title in forms.get(language, ())]
    if not titles:
        return
    choice = "|".join(map(re.escape, sorted(titles, key=len, reverse=True)))
    for match in re.finditer(rf"(?<!\w)(?:{choice}) ({TITLED}(?: {TITLED})*)", text):
        yield match.start(), match.start(1), match.end()


def _number_words(text: str, language: str) -> Iterator[tuple[int, int, str, str]]:
    words = NUMBER_WORDS.get(language, "").split()
    for match in WORD.finditer(text):
        if match.group() in words:
            yield match.start(), match.end(), match.group(), "number"


def _digits(number: str) -> str:
    """Return what is equal for a number in every language's form: its digits, or the index of its word."""
    for words in NUMBER_WORDS.values():
        if number in words.split():
            return f"word {words.split().index(number)}"
    return re.sub(r"\D", "", number)


def _put(text: str, part: str, symbol: str) -> str:
    return re.sub(rf"(?<![\w]){re.escape(part)}(?!\d)", symbol, text, count=1)


def _replace(text: str, spans: list[tuple[int, int, str, str]], numbers: Iterator[str], names: Iterator[str]) -> Masked:
    values: dict[str, str] = {}
    parts, done = [], 0
    for start, end, part, kind in spans:
        symbol = next(numbers if kind == "number" else names, None)
        if symbol is None or start < done:
            continue
        parts += [text[done:start], symbol]
        values[symbol] = part
        done = end
    return Masked("".join([*parts, text[done:]]), values)
