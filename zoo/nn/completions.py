"""Search for the likely continuations of a text, each up to an ending."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from zoo.nn.decoding import State, StepFunction


class Endings(NamedTuple):
    """What a token does to a continuation, a truth value (V,) for each token of the vocabulary."""

    allowed: Tensor
    """Whether the token may be part of a continuation."""
    starts: Tensor
    """Whether the token starts what is to be completed, such as a word; before it nothing ends."""
    before: Tensor
    """Whether the continuation ends before the token, such as before the space that follows a word."""
    after: Tensor
    """Whether the continuation ends after the token, such as after a full stop."""


@torch.no_grad()
def likely_completions(
    step: StepFunction, state: State, last: int, endings: Endings, *, n: int, max_length: int, beam: int
) -> list[tuple[list[int], float]]:
    """Search for likely continuations by beam search.

    Continuations exclude each other, and the probabilities of all of them sum to at most 1. That of tokens y_1..y_k
    which end before the next token is p(y_1..y_k) times the sum of the probabilities of all tokens of
    ``endings.before``; that of tokens which end with one of ``endings.after``, or after ``max_length`` tokens, is
    p(y_1..y_k). At each step the ``beam`` most probable open sequences are kept. A sequence becomes less probable with
    each token, so the search stops once no open one can be among the best ``n``; it is exact if no sequence was
    dropped.

    Args:
        step: Function of the last tokens and the state, see ``StepFunction``.
        state: State before the last token of the text, tensors (1, ...).
        last: Last token of the text.
        endings: The endings.
        n: Number of continuations.
        max_length: Largest number of tokens of a continuation.
        beam: Number of open sequences kept.

    Returns:
        The tokens and the log-probability of up to ``n`` continuations, most probable first.
    """
    device = endings.allowed.device
    tokens = torch.zeros(1, 0, dtype=torch.long, device=device)
    latest = torch.tensor([last], device=device)
    scores, started = torch.zeros(1, device=device), torch.zeros(1, dtype=torch.bool, device=device)
    found: list[tuple[list[int], float]] = []

    def add(sequences: Tensor, values: Tensor) -> None:
        found.extend(zip(sequences.tolist(), values.tolist()))

    for length in range(1, max_length + 1):
        log_probabilities, state = step(latest, state)
        log_probabilities = log_probabilities.float()
        ending = log_probabilities.masked_fill(~endings.before, -torch.inf).logsumexp(1)
        add(tokens[started], (scores + ending)[started])
        closed = ~endings.allowed | (started[:, None] & endings.before)
        total = (scores[:, None] + log_probabilities.masked_fill(closed, -torch.inf)).flatten()
        values, index = total.topk(min(2 * beam, len(total)))
        values, index = values[values > -torch.inf], index[values > -torch.inf]
        source, latest = index // len(endings.allowed), index % len(endings.allowed)
        tokens = torch.cat([tokens[source], latest[:, None]], 1)
        begun = started[source] | endings.starts[latest]
        ended = begun & endings.after[latest] | (length == max_length)
        add(tokens[ended], values[ended])
        kept = (~ended).nonzero()[:beam, 0]
        tokens, latest, scores, started = tokens[kept], latest[kept], values[kept], begun[kept]
        state = tuple(part.index_select(0, source[kept]) for part in state)
        found = sorted((each for each in found if each[1] > -torch.inf), key=lambda each: -each[1])[:n]
        if not len(kept) or (len(found) == n and float(scores[0]) <= found[-1][1]):
            break
    return found
