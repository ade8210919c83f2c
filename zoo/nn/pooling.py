"""Pooling of the outputs of recurrent layers over the positions of a sequence."""

from __future__ import annotations

from torch import Tensor

from zoo.nn.attention import Attention
from zoo.nn.recurrent import last_outputs, padding_mask

POOLINGS = ("attention", "last", "max", "mean")


def pool_outputs(
    outputs: Tensor,
    lengths: Tensor,
    pooling: str,
    *,
    bidirectional: bool,
    question: Tensor | None = None,
    attention: Attention | None = None,
) -> Tensor:
    """Pool outputs over the positions; zeros for an empty sequence.

    Args:
        outputs: Outputs (N, T, C) in [-1, 1], zero in the padding.
        lengths: Lengths (N,).
        pooling: One of ``POOLINGS``.
        bidirectional: Whether the second half of the channels is of the backward direction, for ``last``.
        question: Query (C,) of ``attention``.
        attention: Module of ``attention``.

    Returns:
        Pooled outputs (N, C).
    """
    mask = padding_mask(lengths, outputs.shape[1])
    if pooling == "attention":
        assert question is not None
        assert attention is not None
        query = question.repeat(outputs.shape[0], 1, 1)  # Lightning's summary fails on a view of a parameter
        return attention(query, outputs, mask)[0][:, 0]
    if pooling == "mean":
        return outputs.sum(1) / lengths.clamp_min(1)[:, None]
    if pooling == "max":
        return outputs.masked_fill(~mask[:, :, None], -1.0).amax(1) * (lengths > 0)[:, None]
    return last_outputs(outputs, lengths, bidirectional)
