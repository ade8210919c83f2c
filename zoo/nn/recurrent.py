"""Recurrent layers over sequences of several lengths, and attention."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from zoo.errors import unknown

CELLS: dict[str, Callable[..., nn.RNNBase]] = {"gru": nn.GRU, "lstm": nn.LSTM, "rnn": nn.RNN}
"""The recurrent cells by name: Cho et al. (2014), Hochreiter & Schmidhuber (1997), Elman (1990)."""

State = tuple[Tensor, ...]


def padding_mask(lengths: Tensor, longest: int) -> Tensor:
    """Return where sequences of the given lengths (N,) have something: (N, longest), True up to each length."""
    return torch.arange(longest, device=lengths.device) < lengths[:, None]


def last_outputs(outputs: Tensor, lengths: Tensor, bidirectional: bool) -> Tensor:
    """Return what layers say after they have read everything: (N, C) of outputs (N, T, C).

    That is the output at a sequence's last position; of the way back, which is the second half, that at its first.
    """
    last = outputs.gather(1, (lengths - 1).clamp_min(0)[:, None, None].expand(-1, 1, outputs.shape[2]))[:, 0]
    if not bidirectional:
        return last
    half = outputs.shape[2] // 2
    return torch.cat([last[:, :half], outputs[:, 0, half:]], 1)


def reverse_sequences(x: Tensor, lengths: Tensor) -> Tensor:
    """Turn each sequence of a batch (N, T, ...) round within its length; what fills it up stays behind it."""
    places = torch.arange(x.shape[1], device=x.device).expand(x.shape[0], -1)
    back = torch.where(places < lengths[:, None], lengths[:, None] - 1 - places, places)
    return x.gather(1, back.reshape(*back.shape, *[1] * (x.ndim - 2)).expand_as(x))


class SequenceDropout(nn.Module):
    """Leave out the same numbers at all positions of a sequence, others in each (Gal & Ghahramani, 2016).

    So the layers cannot fill in at one position what they saw at the last, and a mask costs as many random numbers as
    one position has.

    Args:
        p: Probability with which a number is left out; the others are divided by 1 - p.

    Raises:
        ValueError: If ``p`` is not in [0, 1).
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"dropout must be in [0, 1), not {p}")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, T, C) to the same shape."""
        if not self.training or not self.p:
            return x
        kept = torch.rand(x.shape[0], 1, x.shape[2], device=x.device) >= self.p
        return x * (kept / (1 - self.p)).to(x.dtype)


class Recurrent(nn.Module):
    """Recurrent layers in a row, over sequences filled up to the longest.

    The way back of a bidirectional layer (Schuster & Paliwal, 1997) reads each sequence from its own end, so nothing
    depends on how much a batch is filled up, and no packing is needed. Dropout between layers is a layer of its own:
    cuDNN's inside the recurrence does not repeat with a seed.

    Args:
        in_features: Numbers a position.
        hidden_dim: Units of a layer, in each direction.
        layers: Number of layers.
        cell: ``lstm``, ``gru`` or ``rnn``.
        bidirectional: Whether each layer reads both ways.
        dropout: Probability with which a number between layers is left out.

    Raises:
        ValueError: If the cell is unknown or a number is out of range.
    """

    def __init__(
        self,
        in_features: int,
        hidden_dim: int,
        layers: int = 1,
        *,
        cell: str = "lstm",
        bidirectional: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if cell not in CELLS:
            raise unknown("cell", cell, CELLS)
        for name, value in {"hidden_dim": hidden_dim, "layers": layers}.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        self.out_features = hidden_dim * (1 + bidirectional)
        sizes = [in_features, *[self.out_features] * layers]

        def line() -> nn.ModuleList:
            return nn.ModuleList(CELLS[cell](size, hidden_dim, batch_first=True) for size, _ in pairwise(sizes))

        self.forth = line()
        self.back = line() if bidirectional else None
        self.dropout = SequenceDropout(dropout)
        self.numbers = 2 if cell == "lstm" else 1
        """Tensors in a layer's state."""

    def forward(self, x: Tensor, lengths: Tensor | None = None, state: State | None = None) -> tuple[Tensor, State]:
        """Read a batch.

        Args:
            x: Sequences (N, T, in_features).
            lengths: Their lengths (N,); all of T if None.
            state: State to start from, as this method gave it, of layers that read one way.

        Returns:
            Outputs (N, T, out_features), zero beyond each length, and the state of each layer after position T, tensors
            (N, hidden_dim), those of the way forth alone. Beyond its length a sequence's state means nothing.
        """
        if lengths is None:
            lengths = torch.full((x.shape[0],), x.shape[1], device=x.device)
        mask = padding_mask(lengths, x.shape[1])[:, :, None]
        after: list[Tensor] = []
        for number, layer in enumerate(self.forth):
            if number:
                x = self.dropout(x)
            start = None if state is None else state[number * self.numbers : (number + 1) * self.numbers]
            out, last = layer(x, self._inner(start))
            after += [part[0] for part in (last if isinstance(last, tuple) else (last,))]
            if self.back is not None:
                other, _ = self.back[number](reverse_sequences(x, lengths))
                out = torch.cat([out, reverse_sequences(other, lengths)], 2)
            x = out * mask
        return x, tuple(after)

    def _inner(self, state: State | None) -> Tensor | State | None:
        """Return a layer's state in the form that torch's cells take."""
        if state is None:
            return None
        parts = tuple(part[None].contiguous() for part in state)
        return parts if self.numbers == 2 else parts[0]
