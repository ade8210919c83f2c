"""Decoding: from a network that gives the next token's probabilities to whole sequences."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

State = tuple[Tensor, ...]
Step = Callable[[Tensor, State], tuple[Tensor, State]]
"""Function of the last tokens (N,) and a state, tensors with the rows first, to the log-probabilities (N, V) of the
next tokens and the new state."""


def _check(max_length: int, **positive: float) -> None:
    for name, value in {"max_length": max_length, **positive}.items():
        if not value > 0:
            raise ValueError(f"{name} must be positive, not {value}")


def _chosen(state: State, rows: Tensor) -> State:
    return tuple(part.index_select(0, rows) for part in state)


def _sampled(
    step: Step, state: State, n: int, start: int, end: int, max_length: int, pick: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Extend sequences by what ``pick`` takes of the log-probabilities (N, V) until all have ended."""
    device = state[0].device if state else None
    last = torch.full((n,), start, dtype=torch.long, device=device)
    over = torch.zeros(n, dtype=torch.bool, device=device)
    tokens, total = [], torch.zeros(n, device=device)
    for _ in range(max_length):
        log_probabilities, state = step(last, state)
        last = pick(log_probabilities.float())
        gained = log_probabilities.float().gather(1, last[:, None])[:, 0]
        total = total + gained.masked_fill(over, 0.0)
        last = last.masked_fill(over, end)
        tokens.append(last)
        over = over | (last == end)
        if bool(over.all()):
            break
    return torch.stack(tokens, 1) if tokens else last[:, None][:, :0], total


@torch.no_grad()
def greedy(step: Step, state: State, n: int, *, start: int, end: int, max_length: int) -> tuple[Tensor, Tensor]:
    """Take the likeliest token each time.

    Args:
        step: Function of last tokens and state, see ``Step``.
        state: State before the first token.
        n: Number of sequences.
        start: Token that every sequence starts from; it is not part of the result.
        end: Token that ends a sequence.
        max_length: Largest number of tokens.

    Returns:
        Tokens (n, T), filled up with ``end`` from a sequence's end on, and log-probabilities (n,).

    Raises:
        ValueError: If ``max_length`` is not positive.
    """
    _check(max_length)
    return _sampled(step, state, n, start, end, max_length, lambda found: found.argmax(1))


@torch.no_grad()
def nucleus(
    step: Step,
    state: State,
    n: int,
    *,
    start: int,
    end: int,
    max_length: int,
    p: float = 0.9,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Draw each token from the fewest likely ones that together have probability ``p`` (Holtzman et al., 2020).

    Args:
        step: Function of last tokens and state, see ``Step``.
        state: State before the first token.
        n: Number of sequences.
        start: Token that every sequence starts from; it is not part of the result.
        end: Token that ends a sequence.
        max_length: Largest number of tokens.
        p: Probability of the tokens drawn from, in (0, 1]; 1 draws from all.
        temperature: Divisor of the log-probabilities; below 1 makes likely tokens likelier.
        generator: Source of random numbers; torch's own if None.

    Returns:
        Tokens (n, T), filled up with ``end`` from a sequence's end on, and log-probabilities (n,).

    Raises:
        ValueError: If an argument is out of range.
    """
    _check(max_length, p=p, temperature=temperature)
    if p > 1:
        raise ValueError(f"p must be at most 1, not {p}")

    def pick(log_probabilities: Tensor) -> Tensor:
        probabilities, order = (log_probabilities / temperature).softmax(1).sort(1, descending=True)
        before = probabilities.cumsum(1) - probabilities
        kept = probabilities.masked_fill(before >= p, 0.0)
        return order.gather(1, torch.multinomial(kept, 1, generator=generator))[:, 0]

    return _sampled(step, state, n, start, end, max_length, pick)


@torch.no_grad()
def beam_search(
    step: Step,
    state: State,
    n: int,
    *,
    start: int,
    end: int,
    max_length: int,
    beam: int = 5,
    length_penalty: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Follow the ``beam`` best beginnings of each sequence and return the best whole one.

    A sequence is whole when it ends with ``end`` or has ``max_length`` tokens; its score is its log-probability divided
    by its number of tokens to the power of ``length_penalty`` (0 favours short sequences; Wu et al., 2016, use between
    0.6 and 0.7 of a similar term). A beam of one is as good as greedy decoding; one as wide as there are beginnings is
    exact.

    Args:
        step: Function of last tokens and state, see ``Step``.
        state: State before the first token.
        n: Number of sequences.
        start: Token that every sequence starts from; it is not part of the result.
        end: Token that ends a sequence.
        max_length: Largest number of tokens.
        beam: Number of beginnings followed.
        length_penalty: Exponent of the length.

    Returns:
        Tokens (n, T), filled up with ``end`` from a sequence's end on, and scores (n,).

    Raises:
        ValueError: If an argument is out of range.
    """
    _check(max_length, beam=beam)
    if length_penalty < 0:
        raise ValueError(f"length_penalty must be at least 0, not {length_penalty}")
    device = state[0].device if state else None
    offset = torch.arange(n, device=device)[:, None] * beam
    state = _chosen(state, torch.arange(n, device=device).repeat_interleave(beam))
    tokens = torch.full((n, beam, 0), end, dtype=torch.long, device=device)
    last = torch.full((n * beam,), start, dtype=torch.long, device=device)
    alive = torch.full((n, beam), -torch.inf, device=device)
    alive[:, 0] = 0.0  # the beams of a sequence start alike: only one counts
    best = torch.full((n,), -torch.inf, device=device)
    whole = torch.full((n, max_length), end, dtype=torch.long, device=device)
    for length in range(1, max_length + 1):
        log_probabilities, state = step(last, state)
        size = log_probabilities.shape[1]
        scores = (alive[:, :, None] + log_probabilities.float().reshape(n, beam, size)).flatten(1)
        # Each beginning has one way to end: among twice as many at least ``beam`` go on.
        found, place = scores.topk(min(2 * beam, scores.shape[1]), 1)
        source, token = place // size, place % size
        candidates = torch.cat([tokens.gather(1, source[:, :, None].expand(-1, -1, length - 1)), token[:, :, None]], 2)
        ended = (token == end) | (length == max_length)
        score, which = (found / length**length_penalty).masked_fill(~ended, -torch.inf).max(1)
        better = score > best
        best = torch.where(better, score, best)
        ending = candidates.gather(1, which[:, None, None].expand(-1, 1, length))[:, 0]
        whole[:, :length] = torch.where(better[:, None], ending, whole[:, :length])
        whole[:, length:] = torch.where(better[:, None], end, whole[:, length:])
        alive, kept = found.masked_fill(ended, -torch.inf).topk(min(beam, found.shape[1]), 1)
        # What goes on only loses probability, and gains at most by the largest length.
        if bool((alive[:, 0] / max_length**length_penalty <= best).all()):
            break
        source, token = source.gather(1, kept), token.gather(1, kept)
        tokens = candidates.gather(1, kept[:, :, None].expand(-1, -1, length))
        if alive.shape[1] < beam:  # fewer ways to go on than beams
            spare = beam - alive.shape[1]
            alive = torch.nn.functional.pad(alive, (0, spare), value=-torch.inf)
            source, token = (torch.nn.functional.pad(part, (0, spare)) for part in (source, token))
            tokens = torch.nn.functional.pad(tokens, (0, 0, 0, spare), value=end)
        last, state = token.flatten(), _chosen(state, (offset + source).flatten())
    longest = max(1, int((whole != end).sum(1).max()) + 1) if n else 1
    return whole[:, : min(longest, max_length)], best
