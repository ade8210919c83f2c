"""Attention over a sequence."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.errors import unknown


class Attention(nn.Module):
    """Look back at a sequence: a weighted mean of its positions, the weights by correlation to a query.

    The weights are the softmax over positions of q W k, or of v tanh(W q + U k).

    Args:
        query_dim: Numbers of a query.
        key_dim: Numbers of a position.
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
        """Look back from each query.

        Args:
            queries: (N, T, query_dim).
            positions: (N, S, key_dim).
            mask: (N, S), True where a sequence has something. One that has nothing gives zeros.

        Returns:
            Means (N, T, key_dim) and weights (N, T, S), which sum to 1.
        """
        asked = self.query(queries)
        if self.kind == "additive":
            scores = self.score((asked[:, :, None] + self.key(positions)[:, None]).tanh())[..., 0]
        else:
            scores = asked @ positions.transpose(1, 2)
        weights = scores.masked_fill(~mask[:, None], -torch.inf).softmax(2)
        weights = weights.masked_fill(~mask[:, None], 0.0)  # of nothing the softmax is no number
        return weights @ positions, weights
