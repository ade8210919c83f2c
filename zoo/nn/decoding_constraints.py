"""Adjustments of the probabilities of each next token.

No repeated phrases, symbols that have to be copied, and brackets and quotes that have to be closed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Constraint = Callable[[Tensor, Tensor], Tensor]
"""What adjusts log-probabilities (M, V) of the next tokens given the tokens so far (M, T)."""


def forbid_repeats(tokens: Tensor, log_probabilities: Tensor, size: int) -> Tensor:
    """Forbid each token that would complete an n-gram of ``size`` tokens a second time (Paulus et al., 2018).

    Args:
        tokens: Tokens so far (N, T).
        log_probabilities: Log-probabilities (N, V) of the next tokens.
        size: Length of the n-grams, at least 2.

    Returns:
        Log-probabilities (N, V), minus infinity for forbidden tokens.
    """
    if tokens.shape[1] < size:
        return log_probabilities
    grams = tokens.unfold(1, size, 1)
    seen = (grams[:, :, :-1] == tokens[:, None, 1 - size :]).all(2)
    row, place = seen.nonzero(as_tuple=True)
    adjusted = log_probabilities.clone()
    adjusted[row, grams[row, place, -1]] = -torch.inf
    return adjusted


class CopiedSymbols:
    """Adjustment by which a sequence contains the symbols of its source, each once by default, and no other symbol.

    A symbol that the source lacks, or with ``once`` one that is there already, is forbidden. The end of a sequence that
    lacks a symbol is not forbidden, since a network might never give it, but costs ``penalty`` for each missing one.

    Args:
        source: Tokens of the sources (N, S).
        symbols: Ids of the symbols.
        end: Id of the token at the end of a sequence.
        penalty: Reduction of the log-probability of ``end`` by missing symbol; 0 if symbols may be missing.
        once: Whether a symbol is forbidden where it is already.
    """

    def __init__(
        self, source: Tensor, symbols: Sequence[int], end: int, penalty: float = 10.0, once: bool = True
    ) -> None:
        self.symbols = torch.tensor(symbols, dtype=torch.long, device=source.device)
        self.wanted = (source[:, :, None] == self.symbols).any(1)
        self.end, self.penalty, self.once = end, penalty, once

    def __call__(self, tokens: Tensor, log_probabilities: Tensor) -> Tensor:
        """Adjust log-probabilities (M, V) given the tokens so far (M, T); M is a multiple of the number of sources."""
        wanted = self.wanted.repeat_interleave(len(tokens) // len(self.wanted), 0)
        used = (tokens[:, :, None] == self.symbols).any(1)
        adjusted = log_probabilities.clone()
        forbidden = adjusted[:, self.symbols].masked_fill(~wanted | used if self.once else ~wanted, -torch.inf)
        adjusted[:, self.symbols] = forbidden
        adjusted[:, self.end] -= self.penalty * (wanted & ~used).sum(1)
        return adjusted


class ClosedBrackets:
    """Adjustment by which a sequence closes the brackets and quotes that it opens, and no others.

    A closing bracket is forbidden where none is open, and the end of the sequence where a bracket or a quote is.
    Brackets between quotes are text.

    Args:
        opening: Id of the opening bracket.
        closing: Id of the closing bracket.
        quote: Id of the quote, the same at both ends.
        end: Id of the token at the end of a sequence.
    """

    def __init__(self, opening: int, closing: int, quote: int, end: int) -> None:
        self.opening, self.closing, self.quote, self.end = opening, closing, quote, end

    def __call__(self, tokens: Tensor, log_probabilities: Tensor) -> Tensor:
        """Adjust log-probabilities (M, V) given the tokens so far (M, T)."""
        in_quotes = (tokens == self.quote).cumsum(1) % 2 == 1
        depth = (((tokens == self.opening).long() - (tokens == self.closing).long()) * ~in_quotes).sum(1)
        quoted = in_quotes[:, -1] if tokens.shape[1] else torch.zeros_like(depth, dtype=torch.bool)
        adjusted = log_probabilities.clone()
        adjusted[:, self.closing].masked_fill_((depth <= 0) & ~quoted, -torch.inf)
        adjusted[:, self.end].masked_fill_((depth > 0) | quoted, -torch.inf)
        return adjusted
