"""Attention over the positions of a sequence."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.errors import unknown


class Attention(nn.Module):
    """Attention: the mean of the positions of a sequence, weighted by their relevance to a query.

    The weights are the softmax over the positions k of q W k (``general``) or of v tanh(W q + U k) (``additive``).

    Args:
        query_dim: Number of features of a query.
        key_dim: Number of features of a position.
        kind: ``general`` (Luong, Pham & Manning, 2015) or ``additive`` (Bahdanau, Cho & Bengio, 2015).

    Raises:
        ValueError: If the kind is unknown.
    """

    def __init__(self, query_dim: int, key_dim: int, kind: str = "general") -> None:
        super().__init__()
        if kind not in ("additive", "general"):
            raise unknown("attention", kind, ("additive", "general", "none"))
        self.kind = kind
        self.query = nn.Linear(query_dim, key_dim, bias=False)
        self.key = nn.Linear(key_dim, key_dim) if kind == "additive" else nn.Identity()
        self.score = nn.Linear(key_dim, 1, bias=False) if kind == "additive" else nn.Identity()

    def forward(self, queries: Tensor, positions: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the weighted means for each query.

        Args:
            queries: Queries (N, T, query_dim).
            positions: Keys, which are the values too, (N, S, key_dim).
            mask: (N, S), True at the positions within a sequence. An empty sequence gives zeros.

        Returns:
            Means (N, T, key_dim) and weights (N, T, S), which sum to 1 over S.
        """
        projected = self.query(queries)
        if self.kind == "additive":
            scores = self.score((projected[:, :, None] + self.key(positions)[:, None]).tanh())[..., 0]
        else:
            scores = projected @ positions.transpose(1, 2)
        weights = scores.masked_fill(~mask[:, None], -torch.inf).softmax(2)
        weights = weights.masked_fill(~mask[:, None], 0.0)  # the softmax over no position is NaN
        return weights @ positions, weights
