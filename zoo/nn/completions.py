"""Search for the likely continuations of a text, each up to an ending."""

from __future__ import annotations

import functools
import math
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from datamodules.text.vocabulary import END
from zoo.nn.decoding import State, StepFunction

APOSTROPHES = "'\u2019"
"""Characters that belong to a word besides letters and digits, as in ``o'er``."""

LEAST = 1e-6
"""Smallest share of the probability of a typed text of a division into tokens that counts. Set by hand."""


class Endings(NamedTuple):
    """What a token does to a continuation, a truth value (V,) for each token of the vocabulary."""

    allowed: Tensor
    """Whether the token may be part of a continuation."""
    starts: Tensor
    """Whether the token starts a unit, such as a word, unless it is within one."""
    before: Tensor
    """Whether a unit ends before the token, such as before the space that follows a word."""
    after: Tensor
    """Whether a unit ends after the token, such as after a full stop."""


def in_word(character: str) -> bool:
    """Return whether a character is a letter, a digit or an apostrophe."""
    return character.isalnum() or character in APOSTROPHES


def endings_of(surfaces: Sequence[str], until: str) -> Endings:
    """Return the endings of words or of sentences.

    A word ends before a token that starts with another character than those of ``in_word``; a sentence after a full
    stop, an exclamation or a question mark, and before the end of a line. Both end before the end of the text.

    Args:
        surfaces: The text of each token, empty for special ones, see ``Vocabulary.surfaces``.
        until: ``word`` or ``sentence``.
    """
    starts = [any(c.isalnum() for c in text) for text in surfaces]
    if until == "word":
        before = [bool(text) and not in_word(text[0]) for text in surfaces]
        after = [False] * len(surfaces)
    else:
        before = [text.startswith("\n") for text in surfaces]
        after = [text.rstrip().endswith((".", "!", "?")) for text in surfaces]
    before[END] = True
    return Endings(*(torch.tensor(each) for each in ([bool(text) for text in surfaces], starts, before, after)))


@torch.no_grad()
def likely_completions(
    step: StepFunction,
    state: State,
    last: int,
    endings: Endings,
    *,
    n: int,
    max_length: int,
    beam: int,
    units: int = 1,
    first: Tensor | None = None,
    floor: float = -math.inf,
) -> list[tuple[list[int], float]]:
    """Search for likely continuations of a number of units, such as words, by beam search.

    A continuation ends where its last unit does. Continuations exclude each other, and the probabilities of all of them
    sum to at most 1. That of tokens y_1..y_k which end before the next token is p(y_1..y_k) times the sum of the
    probabilities of all tokens of ``endings.before``; that of tokens which end with one of ``endings.after``, or after
    ``max_length`` tokens, is p(y_1..y_k). At each step the ``beam`` most probable open sequences are kept, without
    those that are less probable than ``n`` continuations already found: a sequence becomes less probable with each
    token. The search stops once none is left; it is exact if no sequence was dropped for the beam.

    Args:
        step: Function of the last tokens and the state, see ``StepFunction``.
        state: State before the last token of the text, tensors (1, ...).
        last: Last token of the text.
        endings: The endings.
        n: Number of continuations.
        max_length: Largest number of tokens of a continuation.
        beam: Number of open sequences kept.
        units: Number of units of a continuation.
        first: Tokens (V,), bool, that a continuation may start with; all if None.
        floor: Log-probability that a continuation must exceed.

    Returns:
        The tokens and the log-probability of up to ``n`` continuations, most probable first.
    """
    allowed, starts, before, after = endings
    device = allowed.device
    ends_before = before.nonzero()[:, 0]
    open_to = torch.stack([allowed, allowed & ~before])  # sequences with fewer units, and with all of them
    closed = torch.zeros(open_to.shape, device=device).masked_fill(~open_to, -torch.inf)
    tokens = torch.zeros(1, 0, dtype=torch.long, device=device)
    latest, scores = torch.tensor([last], device=device), torch.zeros(1, device=device)
    begun = torch.zeros(1, dtype=torch.long, device=device)  # units of each sequence
    within = torch.zeros(1, dtype=torch.bool, device=device)  # whether its last unit goes on
    found: list[tuple[list[int], float]] = []
    for length in range(1, max_length + 1):
        log_probabilities, state = step(latest, state)
        log_probabilities = log_probabilities.float()
        full = begun == units
        ended, values = tokens[full], scores[full] + log_probabilities[full][:, ends_before].logsumexp(1)
        found += zip(ended.tolist(), values.tolist())
        if length == 1 and first is not None:
            log_probabilities = log_probabilities.masked_fill(~first, -torch.inf)
        total = (scores[:, None] + log_probabilities + closed[full.long()]).flatten()
        scores, index = total.topk(min(2 * beam, len(total)))
        source, latest = index // len(allowed), index % len(allowed)
        tokens = torch.cat([tokens[source], latest[:, None]], 1)
        going_on = within[source] & ~before[latest]
        begun = begun[source] + (starts[latest] & ~going_on)
        within = (going_on | starts[latest]) & ~after[latest]
        done = (begun == units) & after[latest] | (length == max_length)
        found += zip(tokens[done].tolist(), scores[done].tolist())
        found = sorted((each for each in found if each[1] > floor), key=lambda each: -each[1])[:n]
        least = found[-1][1] if len(found) == n else floor
        kept = (~done & (scores > least)).nonzero()[:beam, 0]
        if not len(kept):
            break
        tokens, latest, scores, begun, within = (each[kept] for each in (tokens, latest, scores, begun, within))
        state = tuple(part.index_select(0, source[kept]) for part in state)
    return found


@functools.lru_cache(maxsize=16)
def _sorted_surfaces(surfaces: tuple[str, ...]) -> tuple[list[str], Tensor]:
    """Return the texts of tokens in their order, and the tokens."""
    tokens = sorted(range(len(surfaces)), key=surfaces.__getitem__)
    return [surfaces[token] for token in tokens], torch.tensor(tokens)


class TypedTokens:
    """The tokens that agree with the beginning of a text that is typed already, for a ``StepFunction``.

    Tokens y_1, y_2, ... agree if one of their texts and the typed text is a prefix of the other. The state of the
    network has one more tensor (N, 1), the number of typed characters that have been written.

    Args:
        surfaces: The text of each token, empty for those that are not written.
        typed: The typed text, of at least one character.
        before: Whether a word ends before each token, (V,), bool.
    """

    def __init__(self, surfaces: Sequence[str], typed: str, before: Tensor) -> None:
        m = len(typed)
        self.typed, self.done, self.start = typed, m + 1, m + 2
        table = torch.full((m + 3, len(surfaces)), -1, dtype=torch.long)
        texts, tokens = _sorted_surfaces(tuple(surfaces))
        for written in range(m):
            rest = typed[written:]
            table[written, tokens[bisect_left(texts, rest) : bisect_left(texts, rest + chr(sys.maxunicode))]] = (
                self.done
            )
            for end in range(written + 1, m + 1):
                text = typed[written:end]
                table[written, tokens[bisect_left(texts, text) : bisect_right(texts, text)]] = end
        table[[m, self.done]], table[self.start] = self.done, 0
        self.table, self.before = table.to(before.device), before
        self.closed = torch.zeros(table.shape, device=before.device).masked_fill(self.table < 0, -torch.inf)

    def begin(self, state: State) -> State:
        """Return the state for ``step`` of a state before the last token that is read."""
        return (*state, torch.full((1, 1), self.start, device=self.table.device))

    def step(self, step: StepFunction, *, within: bool = False) -> StepFunction:
        """Return a function of the same kind with a probability of 0 for the tokens that do not agree.

        Args:
            step: The function of the network.
            within: Whether no word may end right after the typed text.
        """
        closed = self.closed.clone()
        closed[len(self.typed), self.before] = -torch.inf if within else 0.0

        def agreeing(last: Tensor, state: State) -> tuple[Tensor, State]:
            *own, written = state
            log_probabilities, after = step(last, tuple(own))
            written = self.table[written[:, 0], last]
            return log_probabilities.float() + closed[written], (*after, written[:, None])

        return agreeing

    @torch.no_grad()
    def log_masses(self, step: StepFunction, state: State, last: int, beam: int) -> tuple[float, float]:
        """Return the log-probability of the typed text, and that of it and the end of a word after it.

        Of the ways to divide the typed text into tokens the ``beam`` most probable of each number of tokens count, as
        long as they have ``LEAST`` of the probability that has been found.

        Args:
            step: The function of the network.
            state: State before the last token that is read.
            last: That token.
            beam: Number of open divisions that are kept.
        """
        agreeing, state, m, before = self.step(step), self.begin(state), len(self.typed), self.before
        latest, scores = torch.tensor([last], device=before.device), torch.zeros(1, device=before.device)
        whole = torch.tensor(-torch.inf, device=before.device)
        ended = whole
        for _ in range(m + 1):
            log_probabilities, state = agreeing(latest, state)
            place = state[-1][:, 0]
            total = scores[:, None] + log_probabilities
            after = torch.where(place[:, None] == m, self.done, self.table[place])
            ended = torch.logaddexp(ended, total[place == m][:, before].flatten().logsumexp(0))
            reaches = (after >= m) & (place != m)[:, None]
            whole = torch.logaddexp(whole, total.masked_fill(~reaches, -torch.inf).flatten().logsumexp(0))
            total = total.masked_fill((after > m) | (place == m)[:, None], -torch.inf).flatten()
            values, index = total.topk(min(beam, len(total)))
            kept = values > (whole + math.log(LEAST) if whole.isfinite() else whole)
            values, index = values[kept], index[kept]
            if not len(values):
                break
            source, latest, scores = index // len(before), index % len(before), values
            state = tuple(part.index_select(0, source) for part in state)
        return float(whole), float(ended)
