"""Exact matches of suggested words, by language models and n-gram models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from datamodules.text.private_patterns import SHOWN
from datamodules.text.vocabulary import END, PAD, START, Vocabulary
from zoo.baselines.ngram_model import NgramModel
from zoo.baselines.ngrams import ngram_probabilities
from zoo.nn.completions import Endings, endings_of, likely_completions
from zoo.nn.decoding import State, StepFunction

WORDS = range(1, 6)
"""Numbers of words of a suggestion. Those of the task."""
POSITIONS = 1_000
"""Largest number of places at which words are suggested, one in a text. Set by hand."""
BEAM = 10
"""Number of open continuations of the beam search. Set by hand."""
LONGEST = 60
"""Largest number of tokens of a suggestion. Set by hand."""


class Place(NamedTuple):
    """A place in a text, between words, at which the next words are suggested."""

    before: np.ndarray
    """Token ids (T,), int64, of all that precedes it, T >= 1."""
    following: list[list[int]]
    """Token ids of the next words of the text, for each number of ``WORDS``."""


def word_places(ids: np.ndarray, start: int, endings: Endings) -> list[Place]:
    """Return all places after the first word of a text where a word has ended and ``WORDS`` more follow.

    Args:
        ids: Token ids (T,) of a text.
        start: Number of leading tokens that are context, at least 1.
        endings: Endings of words.
    """
    starts, before = endings.starts.numpy()[ids], endings.before.numpy()[ids]
    ends, within = [], False  # where each word ends
    for k in range(start, len(ids)):
        if within and before[k]:
            ends.append(k)
        within = bool(starts[k] or (within and not before[k]))
    if within:
        ends.append(len(ids))
    places = zip(ends, (ends[k + 1 : k + 1 + len(WORDS)] for k in range(len(ends) - len(WORDS))))
    return [Place(ids[:end], [ids[end:after].tolist() for after in following]) for end, following in places]


def draw_places(
    rows: Sequence[tuple[np.ndarray, int]], endings: Endings, most: int = POSITIONS, seed: int = 0
) -> list[Place]:
    """Draw up to ``most`` places, one in each text that has any; the same for the same texts.

    Args:
        rows: Token ids (T,) of each text, and the number of leading ones that are context.
        endings: Endings of words.
        most: Largest number of places.
        seed: Seed of the draws.
    """
    draw = np.random.default_rng(seed)
    found: list[Place] = []
    for row in draw.permutation(len(rows)).tolist():
        ids, start = rows[row]
        places = word_places(ids, start, endings)
        if places and len(found) < most:
            found.append(places[draw.integers(len(places))])
    return found


def exact_matches(
    step: StepFunction,
    state_before_last: Callable[[np.ndarray], State],
    places: Sequence[Place],
    endings: Endings,
    surfaces: Sequence[str],
) -> dict[str, float]:
    """Return ``test_exact_match_N`` for each number N of ``WORDS`` (Chen et al., 2019).

    It is the share of places at which the most probable continuation of exactly N words, by beam search, is how the
    text goes on. A word has ended at each place, so a continuation starts with a token that ends one.

    Args:
        step: Function of the last tokens and the state, see ``StepFunction``.
        state_before_last: Function from token ids (T,), T >= 1, to the state of ``step`` after all but the last.
        places: The places.
        endings: Endings of words.
        surfaces: Text of each token.
    """
    matched = dict.fromkeys(WORDS, 0)

    def written(tokens: Sequence[int]) -> str:
        return "".join(surfaces[i] for i in tokens)

    search = partial(
        likely_completions, step, endings=endings, n=1, max_length=LONGEST, beam=BEAM, first=endings.before
    )
    for place in places:
        state = state_before_last(place.before)
        for words, following in zip(WORDS, place.following):
            best = search(state, int(place.before[-1]), units=words)
            matched[words] += bool(best) and written(best[0][0]) == written(following)
    return {f"test_exact_match_{words}": count / len(places) for words, count in matched.items()}


def scored_rows(data: Any, part: str) -> list[tuple[np.ndarray, int]]:
    """Return the token ids of each text of a split, and the number of leading ones that are context, at least 1."""
    rows = data.sequences(part)
    starts = data.contexts(part).tolist() if hasattr(data, "contexts") else [1] * len(rows)
    return list(zip(rows, starts))


def word_endings(vocabulary: Vocabulary) -> Endings:
    """Return the endings of words, where a symbol of private text, such as a name, is a word."""
    surfaces = vocabulary.surfaces
    endings = endings_of(surfaces, "word")
    return endings._replace(starts=endings.starts | torch.tensor([text.strip() in SHOWN for text in surfaces]))


def nats_by_words(nats: float, data: Any) -> dict[str, float]:
    """Return ``test_word_nats``, the nats of all scored tokens of the test texts by the number of their words.

    It is missing where the datamodule does not count words.
    """
    return {"test_word_nats": nats / data.words("test")} if hasattr(data, "words") else {}


@torch.no_grad()
def suggested_words(model: Any, data: Any) -> dict[str, float]:
    """Nats a word and exact matches of a language model's suggestions of 1 to 5 words in the test texts.

    They are of the texts as the model reads them: with symbols of private text, which ``complete`` does not suggest.
    Each token is scored after all of its text before it.
    """
    endings, rows = word_endings(data.vocabulary), scored_rows(data, "test")
    with model.evaluating():
        nats = [
            model.predict_step(torch.from_numpy(ids)[None], 0)[0, start - 1 :].double().sum() for ids, start in rows
        ]
        matches = exact_matches(
            model.next_tokens,
            lambda ids: model.state_before_last(torch.from_numpy(ids)[None]),
            draw_places(rows, endings),
            endings,
            data.vocabulary.surfaces,
        )
    return {**nats_by_words(float(sum(nats)), data), **matches}


def kneser_ney_completions(model: Any, data: Any, order: int) -> dict[str, float]:
    """Nats and exact matches of an n-gram model of a given order by modified Kneser-Ney smoothing.

    The suggestions are at the places of ``suggested_words`` and by the same search.
    """
    train, rows, vocabulary = data.sequences("train"), scored_rows(data, "test"), data.vocabulary
    following = np.concatenate([ids[1:] for ids in train])
    never = [PAD, *(token for token in (START, END) if not (following == token).any())]
    tests = [ids for ids, _ in rows]
    *_, p = ngram_probabilities(train, tests, len(vocabulary) - len(never), order, "kneser_ney")
    nats = -np.log(p[np.concatenate([np.arange(len(ids)) >= start for ids, start in rows])])
    ngrams, endings = NgramModel(train, len(vocabulary), order, never), word_endings(vocabulary)
    places = draw_places(rows, endings)
    matches = exact_matches(ngrams.next_tokens, ngrams.state_before_last, places, endings, vocabulary.surfaces)
    return {"test_nats": float(nats.mean()), **nats_by_words(float(nats.sum()), data), **matches}
