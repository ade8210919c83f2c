"""Texts as a language model reads and suggests them: context, private words, and a word that is still being typed."""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

import torch

from datamodules.text.files import without_surrogates
from datamodules.text.private_patterns import LINE, RARE, SEPARATOR
from datamodules.text.private_words import PrivateWords, private_words_from_json
from datamodules.text.vocabulary import END, START, UNKNOWN, Vocabulary
from zoo.nn.completions import Endings, endings_of

LAST = re.compile(r"(\s*)((?:[^\W\d_]+(?:['\u2019][^\W\d_]*)*)?)$")
"""The white space and the letters at the end of a text."""
LONGEST = 60
"""Characters at the end of a text that are searched for its last word. Set by hand."""


class Prompt(NamedTuple):
    """A text to continue.

    Args:
        ids: Token ids that are read.
        head: The text of these tokens, with symbols.
        typed: What follows it and is the start of the next token or tokens: the last word, or the space before it.
    """

    ids: list[int]
    head: str
    typed: str


class Prompts:
    """Conversion of texts to what a language model reads, and of what it writes to texts.

    With a vocabulary that has ``SEPARATOR``, a text is read as START, its context, SEPARATOR, the text, END. With
    ``private`` its names, numbers and addresses are read as symbols.

    Args:
        vocabulary: Vocabulary of the model.
        private: What is read as symbols and never suggested; None for nothing.
    """

    def __init__(self, vocabulary: Vocabulary, private: PrivateWords | None) -> None:
        self.vocabulary, self.private = vocabulary, private
        self.surfaces = vocabulary.surfaces
        self._endings: dict[str, Endings] = {}
        self.is_suggested = [
            text not in (RARE, SEPARATOR) and not (private and vocabulary.is_byte(i))
            for i, text in enumerate(self.surfaces)
        ]
        self._separator = vocabulary.ids_of([SEPARATOR])[0]
        if private:
            self.surfaces = [_surface(text, private) for text in self.surfaces]
        self._has_subwords = any(len(text) > 1 and not vocabulary.is_byte(i) for i, text in enumerate(self.surfaces))

    def endings(self, until: str) -> Endings:
        """Return the endings of a ``word`` or a ``sentence``."""
        if until not in self._endings:
            found = endings_of(self.surfaces, until)
            self._endings[until] = found._replace(allowed=found.allowed & torch.tensor(self.is_suggested))
        return self._endings[until]

    @property
    def has_context(self) -> bool:
        """Whether texts are read with a context, which may be empty."""
        return self._separator is not None

    def knows(self, text: str) -> bool:
        """Return whether some character of a text is known."""
        return any(i != UNKNOWN for i in self.vocabulary.encode([self._masked(without_surrogates(text))])[0])

    def sequence(self, text: str, context: str | None = None) -> tuple[list[int], int]:
        """Return the token ids of a whole text, and the number of leading ones that are not scored."""
        ids = self.vocabulary.encode([self._masked(without_surrogates(text))])[0]
        before = self._before(context)
        return (before + ids + [END], len(before)) if self.has_context else (ids, 1)

    def prompt(self, text: str, context: str | None = None) -> Prompt:
        """Return a text to continue, without tokens that the model does not know.

        With subwords the last word is part of ``typed``, so that the tokens of the whole word are found. One that is
        private, or that is no beginning of a common word, is read as a symbol.

        Raises:
            ValueError: If the text is no string, or no known token is left.
        """
        if not isinstance(text, str):
            raise ValueError(f"text is a {type(text).__name__}: expected a string")
        written = without_surrogates(text)
        before = self._before(context)
        head, typed = self._divide(written, bool(before)) if self._has_subwords else (written, "")
        head = self._masked(head, ended=False)
        ids = before + [i for i in self.vocabulary.encode([head])[0] if i != UNKNOWN]
        if typed and not ids:  # nothing is read before the last word
            head, typed = self._masked(written, ended=False), ""
            ids = [i for i in self.vocabulary.encode([head])[0] if i != UNKNOWN]
        if not ids:
            what = "has no character that the model knows" if text else "is empty"
            raise ValueError(f"text {text[:40]!r} {what}: expected at least one, such as a letter")
        return Prompt(ids, head, typed)

    def whole(self, prompt: Prompt) -> Prompt:
        """Return a prompt with its last word read as a whole one."""
        head = prompt.head + prompt.typed
        before = prompt.ids[: prompt.ids.index(self._separator) + 1] if self._separator in prompt.ids else []
        return Prompt(before + [i for i in self.vocabulary.encode([head])[0] if i != UNKNOWN], head, "")

    def continuation(self, prompt: Prompt, written: str, *, hide: bool = False) -> str | None:
        """Return what a reader is shown of a continuation; None if it is private and must not be suggested.

        Args:
            prompt: The prompt.
            written: The text after ``prompt.head``, with symbols; it begins with ``prompt.typed``.
            hide: Whether what is private is replaced by symbols instead.
        """
        if self.private is None:
            return written[len(prompt.typed) :]
        if hide:
            written = self.private.hide(prompt.head, written)
        elif not self.private.offers(prompt.head, written):
            return None
        base, full = self.private.show(prompt.head + prompt.typed), self.private.show(prompt.head + written)
        return full[len(base) :] if full.startswith(base) else None

    def _before(self, context: str | None) -> list[int]:
        if not self.has_context:
            if context is not None:
                raise ValueError("context: this model reads no context")
            return []
        if context is not None and not isinstance(context, str):
            raise ValueError(f"context is a {type(context).__name__}: expected a string")
        ids = self.vocabulary.encode([self._masked(without_surrogates(context or ""))])[0]
        return [START, *ids, self._separator]  # type: ignore[list-item]

    def _masked(self, text: str, ended: bool = True) -> str:
        return self.private.mask(text, ended=ended) if self.private else text

    def _divide(self, text: str, is_start: bool) -> tuple[str, str]:
        """Divide a text into what is read, and the space and word at its end."""
        match = LAST.search(text, max(0, len(text) - LONGEST))
        space, word = (match[1], match[2]) if match else ("", "")
        head = text[: len(text) - len(space) - len(word)]
        if self.private and word and not self.private.may_go_on(text, word):
            return text, ""
        if not space and not word and head:
            return text, ""
        if "\n" in space:
            head += "\n"
        joint = " " if space or (is_start and not head) else ""
        return head, joint + word


def _surface(text: str, private: PrivateWords) -> str:
    """Return the surface of a token: that of a symbol as it is shown, and nothing for one that is not suggested."""
    if text == LINE:
        return "\n"
    shown = private.show(text)
    return f" {shown}" if shown and shown != text else shown


@functools.lru_cache(maxsize=16)
def prompts_of(vocabulary: Vocabulary, private_words: str | None) -> Prompts:
    """Return the prompts of a vocabulary and of private words as JSON, built once."""
    return Prompts(vocabulary, None if private_words is None else private_words_from_json(private_words))
