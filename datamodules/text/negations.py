"""Sentences that negate or affirm a phrase, from templates."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

SHORT_PHRASE = re.compile(r"\w+(?: \w+){0,2}")
"""Phrases of at most three words."""
NEGATION_WORD = re.compile(r"\b(?:no|not|never|nothing|nobody|none|neither|nor|cannot|without|hardly|barely)\b|n't")
"""Words that mark a phrase as negated."""
SUBJECTS = ("it", "it", "the film", "this movie", "the story", "the plot", "the acting", "this comedy", "the drama")
"""Subjects of the sentences."""
NEGATIONS = (
    *("not {}", "not really {}", "not at all {}", "not a {} film", "nothing {}", "never {}", "hardly {}"),
    *("{it} is not {}", "{it} isn't {}", "{it} wasn't {}", "{it} is not {} at all", "{it} isn't {} at all"),
    *("i don't think {it} is {}", "i do not think that {it} was {} at all", "i am not sure {it} is {}"),
    *("i would not call {it} {}", "i did not find {it} {}", "i wouldn't say that {it} is {}"),
    *("nobody could say that {it} was {}", "nobody finds {it} {}", "no one will think that {it} is {}"),
    *("no one would call {it} {}", "it can't be said that {it} is {}", "it cannot be said that {it} was {}"),
    *("there is nothing {} about {it}", "there was nothing {} in {it}", "nothing about {it} is {}"),
    *("{it} was never {}", "{it} is never {}", "{it} never becomes {}", "never is {it} {}", "{it} is hardly {}"),
    *("{it} is barely {}", "hardly anyone finds {it} {}", "none of {it} is {}", "{it} works without being {}"),
)
"""Templates with the opposite of a phrase's sentiment. Set by hand."""
AFFIRMATIONS = (
    *("{it} is {}", "{it} was {}", "{it} is really {}", "i think {it} is {}", "i am sure {it} is {}"),
    *("i would call {it} {}", "i found {it} {}", "everybody could say that {it} was {}", "all of {it} is {}"),
    *("everyone will think that {it} is {}", "it can be said that {it} is {}", "there is something {} about {it}"),
    *("everything about {it} is {}", "{it} was always {}", "a {} film", "{it} becomes {}"),
)
"""Templates with the sentiment of a phrase, in forms like those of the negations. Set by hand."""
NEGATED_SHARE = 2 / 3
"""Share of the sentences that negate their phrase. Set by hand."""


def negated_and_affirmed(
    texts: Sequence[str], labels: Sequence[int], count: int, rng: np.random.Generator
) -> list[tuple[str, int, int]]:
    """Return sentences around short phrases without a negation, half of them from the phrases of each class.

    Args:
        texts: Phrases and sentences of two classes.
        labels: Class of each, 0 or 1.
        count: Number of sentences.
        rng: Generator that draws phrases and templates.

    Returns:
        Triples (sentence, its class, index of its phrase).
    """
    found = []
    for label in range(2):
        rows = [
            row
            for row, (text, own) in enumerate(zip(texts, labels))
            if own == label and SHORT_PHRASE.fullmatch(text) and not NEGATION_WORD.search(text)
        ]
        for row in rng.choice(rows, count // 2).tolist() if rows else ():
            negates = bool(rng.random() < NEGATED_SHARE)
            templates = NEGATIONS if negates else AFFIRMATIONS
            template, subject = templates[rng.integers(len(templates))], SUBJECTS[rng.integers(len(SUBJECTS))]
            found.append((template.replace("{it}", subject).format(texts[row]), label ^ negates, row))
    return found
