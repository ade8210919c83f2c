"""Division of texts into sentences, and the spelling of sentences as in edited text."""

from __future__ import annotations

import re
from collections.abc import Callable

ABBREVIATIONS = (
    *("mr", "mrs", "ms", "dr", "st", "mt", "prof", "sr", "jr", "no", "vs", "etc", "e.g", "i.e", "p.m", "a.m", "u.s"),
    *("u.k", "approx", "fig", "vol", "m", "mm", "mme", "mlle", "mgr", "av", "bd", "cf", "ex", "env", "art", "p.ex"),
)
"""Abbreviations after whose full stop a sentence may go on."""
ENDS = ".!?…"
_BOUNDARY = re.compile(rf"[{ENDS}]+[\"'»”\u2019)\]]*(?:\s*[»])?(\s+)")
_LAST_WORD = re.compile(r"([^\s\"'«“\u2018(\[]*)\.$")


def split_sentences(text: str) -> list[tuple[str, str]]:
    """Divide a text into sentences, each with the white space that follows it; joined, they are the text.

    A line break always ends a sentence. Apart from that a sentence ends at white space after ``.``, ``!``, ``?`` or
    ``…``, unless the full stop belongs to an abbreviation or an initial, or the next word is in lower case in a text
    with capital letters.

    Returns:
        Pairs (sentence, white space); white space before the first sentence follows an empty one.
    """
    found: list[tuple[str, str]] = []
    has_capitals = any(character.isupper() for character in text)
    for line, space in re.findall(r"([^\r\n]*)((?:\r\n|\r|\n)?)", text):
        if not line and not space:
            continue
        indent = line[: len(line) - len(line.lstrip())]
        if indent:
            found.append(("", indent))
        rest = line.rstrip()
        tail = line[len(rest) :] if rest else ""
        start = len(indent)
        for match in _BOUNDARY.finditer(rest, start):
            if _goes_on(rest[start : match.start(1)], rest[match.end() :], has_capitals):
                continue
            found.append((rest[start : match.start(1)], match.group(1)))
            start = match.end()
        found.append((rest[start:], tail + space))
    return found


def _goes_on(before: str, after: str, has_capitals: bool) -> bool:
    """Return whether a sentence goes on after a full stop."""
    following = after.lstrip("\"'«“\u2018([¿¡ ")
    if has_capitals and following[:1].islower():
        return True
    last = _LAST_WORD.search(before)
    if not last:
        return False
    word = last.group(1)
    return word.lower() in ABBREVIATIONS or (len(word) == 1 and word.isupper() and word != "I")


def split_long(sentence: str, fits: Callable[[str], bool]) -> list[tuple[str, str]]:
    """Divide a sentence that is too long into clauses, at punctuation where there is some, else between words.

    Args:
        sentence: The sentence.
        fits: Function that returns whether a part is short enough.

    Returns:
        Parts, each with the white space that follows it; joined, they are the sentence.
    """
    if fits(sentence):
        return [(sentence, "")]
    middle = len(sentence) / 2
    for pattern in (r"(?<=[;:—])\s+", r"(?<=,)\s+", r"\s+"):
        places = [match for match in re.finditer(pattern, sentence) if match.start() and match.end() < len(sentence)]
        if places:
            best = min(places, key=lambda match: abs(match.start() - middle))
            head = split_long(sentence[: best.start()], fits)
            head[-1] = (head[-1][0], best.group())
            return head + split_long(sentence[best.end() :], fits)
    at = len(sentence) // 2
    return split_long(sentence[:at], fits) + split_long(sentence[at:], fits) if at else [(sentence, "")]


def is_shouted(sentence: str, knows: Callable[[str], bool]) -> bool:
    """Return whether a sentence is written in capitals: all letters, in more than known acronyms.

    Args:
        sentence: The sentence.
        knows: Function that returns whether a word is known as it is written.
    """
    words = re.findall(r"[^\W\d_]{2,}", sentence)
    return bool(words) and sentence == sentence.upper() and not all(map(knows, words))


def is_title(sentence: str, knows: Callable[[str], bool]) -> bool:
    """Return whether the words of a sentence are written with capital letters as in a title."""
    words = [word for word in re.findall(r"[^\W\d_]{3,}", sentence)[1:] if knows(word.lower())]
    return len(words) >= 2 and all(word.istitle() for word in words)


def edited(sentence: str, knows: Callable[[str], bool]) -> tuple[str, Callable[[str], str]]:
    """Return a sentence as in edited text, and the function that gives a translation the form of the original.

    A sentence in capitals or a title is written in lower case, as are other known words in capitals; words that are
    known with a capital letter alone get it, as does the first word; and a full stop is added where the sentence does
    not end in punctuation. The function undoes what the reader would see: it writes the translation in capitals, or
    removes its full stop.

    Args:
        sentence: The sentence.
        knows: Function that returns whether a word is known as it is written.
    """
    shouted, title = is_shouted(sentence, knows), is_title(sentence, knows)

    def in_text(match: re.Match[str]) -> str:
        word = match.group()
        head, tail = re.fullmatch(r"([^\W\d_]+)(.*)", word).groups()  # type: ignore[union-attr]
        lower, capital = head.lower(), head.capitalize()
        loud = len(head) > 1 and head.isupper() and not knows(head)
        if shouted or loud or (title and head.istitle()) or head.islower():
            forms = (form for form in (lower, capital, head.upper()) if knows(form))
            return next(forms, capital if shouted else head) + (tail.lower() if shouted or loud else tail)
        return word

    text = re.sub(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)?", in_text, sentence)
    first = re.search(r"[^\W_]", text)
    if first:
        text = text[: first.start()] + text[first.start()].upper() + text[first.end() :]
    stopped = text[-1:].isalnum() or text[-1:] in tuple("%€$")
    if stopped:
        text += "."

    def restore(translation: str) -> str:
        if stopped and translation.endswith(".") and not translation.endswith(".."):
            translation = translation[:-1]
        return translation.upper() if shouted else translation

    return text, restore
