"""Decoding of sequences from the probabilities of each next token: greedy, nucleus sampling and beam search."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

State = tuple[Tensor, ...]
StepFunction = Callable[[Tensor, State], tuple[Tensor, State]]
"""Function from the last tokens (N,) and a state, tensors (N, ...), to the log-probabilities (N, V) of the next tokens
and the new state."""
Adjustment = Callable[[Tensor, Tensor], Tensor]
"""Function from the tokens so far (N, T) and the log-probabilities (N, V) of the next ones to adjusted ones (N, V)."""


def _unchanged(tokens: Tensor, log_probabilities: Tensor) -> Tensor:
    return log_probabilities


def _check_positive(max_length: int, **others: float) -> None:
    for name, value in {"max_length": max_length, **others}.items():
        if not value > 0:
            raise ValueError(f"{name} must be positive, not {value}")


def _select_rows(state: State, rows: Tensor) -> State:
    return tuple(part.index_select(0, rows) for part in state)


def _extend_sequences(
    step: StepFunction,
    state: State,
    n: int,
    start: int,
    end: int,
    max_length: int,
    pick: Callable[[Tensor], Tensor],
    adjust: Adjustment,
) -> tuple[Tensor, Tensor]:
    """Extend sequences by the tokens (N,) that ``pick`` selects from log-probabilities (N, V), until all have ended."""
    device = state[0].device if state else None
    last = torch.full((n,), start, dtype=torch.long, device=device)
    finished = torch.zeros(n, dtype=torch.bool, device=device)
    tokens: list[Tensor] = []
    total = torch.zeros(n, device=device)
    for _ in range(max_length):
        log_probabilities, state = step(last, state)
        log_probabilities = adjust(torch.stack(tokens, 1) if tokens else last[:, None][:, :0], log_probabilities)
        last = pick(log_probabilities.float())
        log_probability = log_probabilities.float().gather(1, last[:, None])[:, 0]
        total = total + log_probability.masked_fill(finished, 0.0)
        last = last.masked_fill(finished, end)
        tokens.append(last)
        finished = finished | (last == end)
        if bool(finished.all()):
            break
    return torch.stack(tokens, 1) if tokens else last[:, None][:, :0], total


@torch.no_grad()
def greedy(
    step: StepFunction,
    state: State,
    n: int,
    *,
    start: int,
    end: int,
    max_length: int,
    adjust: Adjustment = _unchanged,
) -> tuple[Tensor, Tensor]:
    """Decode greedily: append the most probable token at each step.

    Args:
        step: Function of the last tokens and the state, see ``StepFunction``.
        state: State before the first token.
        n: Number of sequences.
        start: Token before the first one; it is not part of the result.
        end: Token at the end of a sequence.
        max_length: Maximum number of tokens.
        adjust: Function that adjusts the log-probabilities at each step, see ``Adjustment``.

    Returns:
        Tokens (n, T), padded with ``end``, and log-probabilities (n,).

    Raises:
        ValueError: If ``max_length`` is not positive.
    """
    _check_positive(max_length)
    return _extend_sequences(
        step, state, n, start, end, max_length, lambda log_probabilities: log_probabilities.argmax(1), adjust
    )


@torch.no_grad()
def nucleus(
    step: StepFunction,
    state: State,
    n: int,
    *,
    start: int,
    end: int,
    max_length: int,
    p: float = 0.9,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
    adjust: Adjustment = _unchanged,
) -> tuple[Tensor, Tensor]:
    """Sample each token from the smallest set with total probability ``p`` or more (Holtzman et al., 2020).

    Args:
        step: Function of the last tokens and the state, see ``StepFunction``.
        state: State before the first token.
        n: Number of sequences.
        start: Token before the first one; it is not part of the result.
        end: Token at the end of a sequence.
        max_length: Maximum number of tokens.
        p: Probability of the nucleus, in (0, 1]; 1 samples from all tokens.
        temperature: Divisor of the log-probabilities; values below 1 sharpen the distribution.
        generator: Random number generator; torch's default one if None.
        adjust: Function that adjusts the log-probabilities at each step, see ``Adjustment``.

    Returns:
        Tokens (n, T), padded with ``end``, and log-probabilities (n,).

    Raises:
        ValueError: If an argument is out of range.
    """
    _check_positive(max_length, p=p, temperature=temperature)
    if p > 1:
        raise ValueError(f"p must be at most 1, not {p}")

    def pick(log_probabilities: Tensor) -> Tensor:
        probabilities, order = (log_probabilities / temperature).softmax(1).sort(1, descending=True)
        before = probabilities.cumsum(1) - probabilities
        kept = probabilities.masked_fill(before >= p, 0.0)
        return order.gather(1, torch.multinomial(kept, 1, generator=generator))[:, 0]

    return _extend_sequences(step, state, n, start, end, max_length, pick, adjust)


@torch.no_grad()
def beam_search(
    step: StepFunction,
    state: State,
    n: int,
    *,
    start: int,
    end: int,
    max_length: int,
    beam: int = 5,
    length_penalty: float = 1.0,
    adjust: Adjustment = _unchanged,
) -> tuple[Tensor, Tensor]:
    """Extend the ``beam`` best partial sequences at each step and return the best complete sequence.

    A sequence is complete when it ends with ``end`` or has ``max_length`` tokens. Its score is its log-probability
    divided by its number of tokens to the power of ``length_penalty`` (0 favours short sequences; Wu et al., 2016, use
    0.6 to 0.7 in a similar term). A beam of 1 is greedy decoding; a beam as wide as the number of partial sequences is
    exact.

    Args:
        step: Function of the last tokens and the state, see ``StepFunction``.
        state: State before the first token.
        n: Number of sequences.
        start: Token before the first one; it is not part of the result.
        end: Token at the end of a sequence.
        max_length: Maximum number of tokens.
        beam: Number of partial sequences kept.
        length_penalty: Exponent of the length.
        adjust: Function that adjusts the log-probabilities at each step, see ``Adjustment``; the rows are the ``beam``
            partial sequences of the first sequence, then those of the second, and so on.

    Returns:
        Tokens (n, T), padded with ``end``, and scores (n,).

    Raises:
        ValueError: If an argument is out of range.
    """
    _check_positive(max_length, beam=beam)
    if length_penalty < 0:
        raise ValueError(f"length_penalty must be at least 0, not {length_penalty}")
    device = state[0].device if state else None
    offset = torch.arange(n, device=device)[:, None] * beam
    state = _select_rows(state, torch.arange(n, device=device).repeat_interleave(beam))
    tokens = torch.full((n, beam, 0), end, dtype=torch.long, device=device)
    last = torch.full((n * beam,), start, dtype=torch.long, device=device)
    open_scores = torch.full((n, beam), -torch.inf, device=device)
    open_scores[:, 0] = 0.0  # the beams of a sequence start equal: only one counts
    best = torch.full((n,), -torch.inf, device=device)
    complete = torch.full((n, max_length), end, dtype=torch.long, device=device)
    for length in range(1, max_length + 1):
        log_probabilities, state = step(last, state)
        log_probabilities = adjust(tokens.flatten(0, 1), log_probabilities)
        size = log_probabilities.shape[1]
        scores = (open_scores[:, :, None] + log_probabilities.float().reshape(n, beam, size)).flatten(1)
        # Each beam can end in one way only, so at least ``beam`` of twice as many candidates go on.
        candidate_scores, index = scores.topk(min(2 * beam, scores.shape[1]), 1)
        source, token = index // size, index % size
        candidates = torch.cat([tokens.gather(1, source[:, :, None].expand(-1, -1, length - 1)), token[:, :, None]], 2)
        ended = (token == end) | (length == max_length)
        score, which = (candidate_scores / length**length_penalty).masked_fill(~ended, -torch.inf).max(1)
        better = score > best
        best = torch.where(better, score, best)
        ending = candidates.gather(1, which[:, None, None].expand(-1, 1, length))[:, 0]
        complete[:, :length] = torch.where(better[:, None], ending, complete[:, :length])
        complete[:, length:] = torch.where(better[:, None], end, complete[:, length:])
        open_scores, kept = candidate_scores.masked_fill(ended, -torch.inf).topk(
            min(beam, candidate_scores.shape[1]), 1
        )
        # Extending a sequence lowers its log-probability, and the length term is largest at max_length.
        if bool((open_scores[:, 0] / max_length**length_penalty <= best).all()):
            break
        source, token = source.gather(1, kept), token.gather(1, kept)
        tokens = candidates.gather(1, kept[:, :, None].expand(-1, -1, length))
        if open_scores.shape[1] < beam:  # fewer candidates than beams
            missing = beam - open_scores.shape[1]
            open_scores = torch.nn.functional.pad(open_scores, (0, missing), value=-torch.inf)
            source, token = (torch.nn.functional.pad(part, (0, missing)) for part in (source, token))
            tokens = torch.nn.functional.pad(tokens, (0, 0, 0, missing), value=end)
        last, state = token.flatten(), _select_rows(state, (offset + source).flatten())
    longest = max(1, int((complete != end).sum(1).max()) + 1) if n else 1
    return complete[:, : min(longest, max_length)], best
