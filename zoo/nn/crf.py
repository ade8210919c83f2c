"""Linear-chain conditional random field, and the search for the best sequence of tags."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ConditionalRandomField(nn.Module):
    """Linear-chain conditional random field over the tags of a sequence (Lafferty, McCallum & Pereira, 2001).

    With the scores s_t(k) of tag k at position t, the score of a sequence of tags y_1 ... y_T is

        S(y) = start(y_1) + s_1(y_1) + sum over t > 1 of (transition(y_(t-1), y_t) + s_t(y_t)) + end(y_T)

    and its probability is exp(S(y)) / Z, where Z sums exp(S) over all K^T sequences. The forward algorithm computes Z
    in O(T K^2): a_1(k) = exp(start(k) + s_1(k)), a_t(k) = sum_j a_(t-1)(j) exp(transition(j, k)) exp(s_t(k)).

    Masks are (N, T), True at the positions of a sequence, which come first. An empty sequence has probability 1.

    Args:
        num_tags: Number of tags K.

    Raises:
        ValueError: If ``num_tags`` is less than 1.
    """

    def __init__(self, num_tags: int) -> None:
        super().__init__()
        if num_tags < 1:
            raise ValueError(f"num_tags must be at least 1, not {num_tags}")
        self.transitions = nn.Parameter(torch.empty(num_tags, num_tags).uniform_(-0.1, 0.1))
        self.start = nn.Parameter(torch.empty(num_tags).uniform_(-0.1, 0.1))
        self.end = nn.Parameter(torch.empty(num_tags).uniform_(-0.1, 0.1))

    def score(self, scores: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        """Return S (N,) of sequences of tags (N, T), from 0 on; the tags in the padding do not count."""
        tags = tags.masked_fill(~mask, 0)
        start, transitions, end = self._weights(scores.dtype)
        own = scores.gather(2, tags[:, :, None])[:, :, 0] * mask
        moves = transitions[tags[:, :-1], tags[:, 1:]] * mask[:, 1:]
        last = tags.gather(1, (mask.sum(1) - 1).clamp_min(0)[:, None])[:, 0]
        ends = (start[tags[:, 0]] + end[last]) * mask[:, 0]
        return own.sum(1) + moves.sum(1) + ends

    def log_normalizer(self, scores: Tensor, mask: Tensor) -> Tensor:
        """Return log Z (N,) of scores (N, T, K), by the forward algorithm."""
        start, transitions, end = self._weights(scores.dtype)
        largest = transitions.detach().amax()
        moves = (transitions - largest).exp()
        log_a = start + scores[:, 0]
        for t in range(1, scores.shape[1]):
            top = log_a.detach().amax(1, keepdim=True)
            # A product of matrices instead of K^2 exponentials a position; terms below float32 do not change the sum.
            total = ((log_a - top).exp() @ moves).clamp_min(torch.finfo(scores.dtype).tiny)
            log_a = torch.where(mask[:, t, None], total.log() + top + largest + scores[:, t], log_a)
        return (log_a + end).logsumexp(1) * mask[:, 0]

    def _weights(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``start``, ``transitions`` and ``end`` in a dtype, which may be of higher precision than theirs."""
        return self.start.to(dtype), self.transitions.to(dtype), self.end.to(dtype)

    def log_likelihood(self, scores: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        """Return log p(tags) (N,), in float32 or higher precision also under autocast.

        Args:
            scores: Scores (N, T, K).
            tags: Tags (N, T), int64, from 0 to K - 1; any in the padding.
            mask: (N, T), True at the positions of a sequence.
        """
        with torch.autocast(scores.device.type, enabled=False):
            scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
            return self.score(scores, tags, mask) - self.log_normalizer(scores, mask)

    def decode(self, scores: Tensor, mask: Tensor, constraints: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Return the most probable tags (N, T), 0 in the padding, see ``viterbi``.

        Args:
            scores: Scores (N, T, K).
            mask: (N, T), True at the positions of a sequence.
            constraints: Scores that are added to ``start`` and ``transitions``, see ``bio_constraints``.
        """
        start, moves = constraints or (torch.zeros_like(self.start), torch.zeros_like(self.transitions))
        return viterbi(scores, mask, self.start + start, self.transitions + moves, self.end)


def viterbi(scores: Tensor, mask: Tensor, start: Tensor, transitions: Tensor, end: Tensor | None = None) -> Tensor:
    """Return the sequences of tags with the largest score S, see ``ConditionalRandomField`` (Viterbi, 1967).

    Args:
        scores: Scores (N, T, K).
        mask: (N, T), True at the positions of a sequence.
        start: Scores (K,) of the first tag.
        transitions: Scores (K, K) of a tag, in rows, and the next one.
        end: Scores (K,) of the last tag; zeros if None.

    Returns:
        Tags (N, T), int64, from 0 to K - 1, and 0 in the padding.
    """
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    best, origins = start + scores[:, 0], []
    for t in range(1, scores.shape[1]):
        found, origin = (best[:, :, None] + transitions).max(1)
        best = torch.where(mask[:, t, None], found + scores[:, t], best)
        origins.append(origin)
    last = (best if end is None else best + end).argmax(1)
    tags = [last]
    for t in range(scores.shape[1] - 1, 0, -1):  # in the padding the last tag stays
        last = torch.where(mask[:, t], origins[t - 1].gather(1, last[:, None])[:, 0], last)
        tags.append(last)
    return torch.stack(tags[::-1], 1) * mask


def bio_constraints(tags: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Return scores of the first tag (K,) and of a tag and the next (K, K): 0 where BIO tags allow them, else -inf.

    ``I-x`` follows ``B-x`` or ``I-x`` alone.

    Args:
        tags: Names of the tags.
    """
    inside = [tag[2:] if tag.startswith("I-") else None for tag in tags]
    slots = [tag[2:] if tag[:2] in ("B-", "I-") else None for tag in tags]
    start = torch.tensor([0.0 if slot is None else -torch.inf for slot in inside])
    rows = [[0.0 if slot is None or slot == before else -torch.inf for slot in inside] for before in slots]
    return start, torch.tensor(rows)
