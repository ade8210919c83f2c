"""Baselines for language models: n-gram models by interpolated Kneser-Ney and Witten-Bell smoothing.

An n-gram model takes the probability of a token to depend on the n - 1 tokens before it, its history h. Let c(h w) be
how often token w follows h in the training split, h' the history h without its first token, and V the number of tokens.
Each model interpolates the frequencies of all orders n = 1, 2, ... from p_0(w) = 1 / V on:

    Witten-Bell     p_n(w | h) = (c(h w) + t(h) p_(n-1)(w | h')) / (c(h) + t(h))
    Kneser-Ney      p_n(w | h) = (max(c(h w) - D(c(h w)), 0) + g(h) p_(n-1)(w | h')) / c(h)

with c(h) the sum over w of c(h w), t(h) the number of different tokens after h, and p_n = p_(n-1) for a history that is
new. Modified Kneser-Ney smoothing (Chen & Goodman, 1998) has the discounts D(1), D(2) and D(3) = D(4) = ..., and
g(h) = D(1) t_1(h) + D(2) t_2(h) + D(3) t_3(h), where t_k(h) is the number of tokens that follow h k times, t_3 three
times or more. In all but the highest order it counts for c(h w) the different tokens before h w in place of its
occurrences. Both are proper distributions: the probabilities of all tokens after a history sum to 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from datamodules.text.vocabulary import END, PAD, START

ORDERS = range(2, 9)
"""Orders that Kneser-Ney is selected from. Set by hand."""
USUAL_DISCOUNTS = (0.5, 1.0, 1.5)
"""Discounts of an order whose counts give none, such as that of single characters; those of KenLM's fallback."""


class Counts(NamedTuple):
    """Counts of an order at each evaluated token: of it after its history, and of all tokens after that."""

    gram: np.ndarray
    """c(h w), (N,)."""
    history: np.ndarray
    """c(h), (N,)."""
    types: np.ndarray
    """Number of tokens that follow the history once, twice, and more often, (3, N)."""
    discounts: np.ndarray
    """D(1), D(2), D(3), (3,)."""


class Order(NamedTuple):
    """An order at each evaluated token: its counts, and those of the different tokens before."""

    occurrences: Counts
    continuations: Counts


def modified_discounts(counts: np.ndarray) -> np.ndarray:
    """Return the discounts D(1), D(2), D(3) of counts (M,) of distinct n-grams (Chen & Goodman, 1998).

    With n_k the number of n-grams of count k and Y = n_1 / (n_1 + 2 n_2), D(k) = k - (k + 1) Y n_(k+1) / n_k. Where
    some n_k is 0 or a discount is outside 0 < D(k) <= k, they are ``USUAL_DISCOUNTS``.
    """
    n = np.array([(counts == k).sum() for k in range(1, 5)], dtype=float)
    if not n[:3].all():
        return np.array(USUAL_DISCOUNTS)
    k = np.arange(1, 4)
    found = k - (k + 1) * n[0] / (n[0] + 2 * n[1]) * n[1:] / n[:3]
    return found if ((found > 0) & (found <= k)).all() else np.array(USUAL_DISCOUNTS)


def count_orders(train: Sequence[np.ndarray], evaluated: Sequence[np.ndarray], highest: int) -> Iterator[Order]:
    """Yield the orders 1, 2, ..., ``highest`` with their counts in training texts at each token of evaluated ones.

    An n-gram is the last token of one of order n - 1 that is numbered already and the next token, so that each order
    takes one sort. Near its start a text has no n-grams of the higher orders: there all counts are 0.

    Args:
        train: Token ids of the training texts.
        evaluated: Token ids of the texts to evaluate, none of which is empty.
        highest: Highest order.
    """
    texts = [*train, *evaluated]
    tokens = np.concatenate(texts).astype(np.int64)
    place = np.concatenate([np.arange(len(text)) for text in texts])
    size, trained = int(tokens.max()) + 1, sum(map(len, train))
    numbered = (numbers for numbers, _ in number_ngrams(tokens, place, size, highest + 1))
    grams = [np.zeros(len(tokens), np.int64), *numbered]
    for n in range(1, highest + 1):
        history = np.concatenate([[-1], grams[n - 1][:-1]]) if n > 1 else grams[0]
        inside = place >= n - 1
        seen = np.flatnonzero(inside[:trained])
        longer = np.flatnonzero(place[:trained] >= n)
        _, first = np.unique(grams[n + 1][longer], return_index=True)
        found = []
        for occurrences in (seen, longer[first]):  # of each longer n-gram one: its token before is a new one
            found.append(_counts(grams[n], history, occurrences, inside, trained))
        yield Order(*found)


def number_ngrams(
    tokens: np.ndarray, place: np.ndarray, size: int, highest: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield for the orders 1, 2, ..., ``highest`` the number of the n-gram that ends at each token, and all codes.

    The number of a token is its id, and that of a longer n-gram its index among the codes of its order.

    Args:
        tokens: Token ids (N,), int64, of all texts, joined.
        place: Place (N,) of each token in its text, from 0 on.
        size: Number of token ids.
        highest: Highest order.

    Yields:
        Numbers (N,), -1 where no n-gram of the order ends, and the sorted codes (M,) of the M distinct n-grams: the
        number of the n-gram without its last token, times ``size``, plus its last token. Both are int64.
    """
    last = tokens
    yield last, np.arange(size)
    for n in range(2, highest + 1):
        inside = np.flatnonzero(place >= n - 1)
        numbers = np.full(len(tokens), -1, np.int64)
        codes, numbers[inside] = np.unique(last[inside - 1] * size + tokens[inside], return_inverse=True)
        yield numbers, codes
        last = numbers


def _counts(gram: np.ndarray, history: np.ndarray, counted: np.ndarray, inside: np.ndarray, trained: int) -> Counts:
    """Count n-grams at given places of the training texts; see ``Counts``."""
    grams, histories = max(0, int(gram.max())) + 1, max(0, int(history.max())) + 1
    count = np.bincount(gram[counted], minlength=grams)
    distinct, first = np.unique(gram[counted], return_index=True)
    owner = history[counted[first]]  # the history of each distinct n-gram
    types = [
        np.bincount(owner[k], minlength=histories)
        for k in (count[distinct] == 1, count[distinct] == 2, count[distinct] > 2)
    ]
    total = np.bincount(history[counted], minlength=histories)
    here, valid = slice(trained, None), inside[trained:]
    g, h = np.where(valid, gram[here], 0), np.where(valid, history[here], 0)
    return Counts(
        np.where(valid, count[g], 0),
        np.where(valid, total[h], 0),
        np.stack([np.where(valid, each[h], 0) for each in types]),
        modified_discounts(count[distinct]),
    )


def witten_bell(counts: Counts, lower: np.ndarray) -> np.ndarray:
    """Return the probabilities (N,) of an order by Witten-Bell smoothing from those of the order below."""
    types = counts.types.sum(0)
    known = counts.history > 0
    return np.where(known, (counts.gram + types * lower) / np.where(known, counts.history + types, 1), lower)


def kneser_ney(counts: Counts, lower: np.ndarray) -> np.ndarray:
    """Return the probabilities (N,) of an order by modified Kneser-Ney smoothing from those of the order below."""
    discount = np.concatenate([[0.0], counts.discounts])[np.minimum(counts.gram, 3)]
    known = counts.history > 0
    mass = counts.gram - discount + counts.discounts @ counts.types * lower
    return np.where(known, mass / np.where(known, counts.history, 1), lower)


def ngram_probabilities(
    train: Sequence[np.ndarray], evaluated: Sequence[np.ndarray], size: int, highest: int, smoothing: str
) -> Iterator[np.ndarray]:
    """Yield the probability of each token of evaluated texts, joined (N,), for the orders 1, 2, ..., ``highest``.

    Args:
        train: Token ids of the training texts.
        evaluated: Token ids of the texts to evaluate.
        size: Number V of tokens that may occur.
        highest: Highest order.
        smoothing: ``kneser_ney`` or ``witten_bell``.
    """
    lower = np.full(sum(map(len, evaluated)), 1 / size)
    for order in count_orders(train, evaluated, highest):
        if smoothing == "witten_bell":
            lower = witten_bell(order.occurrences, lower)
            yield lower
        else:
            yield kneser_ney(order.occurrences, lower)
            lower = kneser_ney(order.continuations, lower)


def _nats(data: Any, highest: int, smoothing: str) -> list[dict[str, float]]:
    """Return the nats a token of the validation and test splits for each order."""
    texts = {part: data.sequences(part) for part in ("train", "val", "test")}
    evaluated = [*texts["val"], *texts["test"]]
    starts = [1] * len(evaluated)
    if hasattr(data, "contexts"):
        starts = [*data.contexts("val"), *data.contexts("test")]
    scored = np.concatenate([np.arange(len(text)) >= start for text, start in zip(evaluated, starts)])  # as a network
    in_val = np.arange(len(scored)) < sum(map(len, texts["val"]))
    ends = any(END in text[1:] for text in texts["train"])
    size = len(data.vocabulary) - len({PAD, START} if ends else {PAD, START, END})
    return [
        {part: float(-np.log(p[scored & own]).mean()) for part, own in (("val", in_val), ("test", ~in_val))}
        for p in ngram_probabilities(texts["train"], evaluated, size, highest, smoothing)
    ]


def kneser_ney_model(model: Any, data: Any) -> dict[str, float]:
    """Nats a token of an n-gram model by modified Kneser-Ney smoothing; the order is selected by validation."""
    found = _nats(data, max(ORDERS), "kneser_ney")
    best = min((found[order - 1] for order in ORDERS), key=lambda nats: nats["val"])
    return {"test_nats": best["test"]}


def witten_bell_model(model: Any, data: Any, order: int) -> dict[str, float]:
    """Nats a token of an n-gram model of a given order by Witten-Bell smoothing."""
    return {"test_nats": _nats(data, order, "witten_bell")[-1]["test"]}
