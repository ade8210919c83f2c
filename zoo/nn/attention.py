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
        width: Number of rows of W and U in additive attention; ``key_dim`` if None.

    Raises:
        ValueError: If the kind is unknown.
    """

    def __init__(self, query_dim: int, key_dim: int, kind: str = "general", width: int | None = None) -> None:
        super().__init__()
        if kind not in ("additive", "general"):
            raise unknown("attention", kind, ("additive", "general"))
        self.kind = kind
        width = key_dim if width is None or kind == "general" else width
        self.query = nn.Linear(query_dim, width, bias=False)
        self.key = nn.Linear(key_dim, width) if kind == "additive" else nn.Identity()
        self.score = nn.Linear(width, 1, bias=False) if kind == "additive" else nn.Identity()

    def keys_of(self, positions: Tensor) -> Tensor:
        """Return the keys (N, S, width) of positions (N, S, key_dim), for several calls with the same positions."""
        return self.key(positions)

    def forward(
        self, queries: Tensor, positions: Tensor, mask: Tensor | None, keys: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Compute the weighted means for each query.

        Args:
            queries: Queries (N, T, query_dim).
            positions: Values (N, S, key_dim).
            mask: (N, S), True at the positions within a sequence. An empty sequence gives zeros. None for no padding.
            keys: Keys of the positions, see ``keys_of``; computed if None.

        Returns:
            Means (N, T, key_dim) and weights (N, T, S), which sum to 1 over S.
        """
        projected, keys = self.query(queries), self.keys_of(positions) if keys is None else keys
        if self.kind == "additive":
            scores = self.score((projected[:, :, None] + keys[:, None]).tanh())[..., 0]
        else:
            scores = projected @ keys.transpose(1, 2)
        if mask is None:
            weights = scores.softmax(2)
            return weights @ positions, weights
        weights = scores.masked_fill(~mask[:, None], -torch.inf).softmax(2)
        weights = weights.masked_fill(~mask[:, None], 0.0)  # the softmax over no position is NaN
        return weights @ positions, weights
