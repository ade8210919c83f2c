"""Recurrent layers over padded sequences of several lengths."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from zoo.errors import unknown

CELLS: dict[str, Callable[..., nn.RNNBase]] = {"gru": nn.GRU, "lstm": nn.LSTM, "rnn": nn.RNN}
"""The recurrent cells by name: Cho et al. (2014), Hochreiter & Schmidhuber (1997), Elman (1990)."""

STEPS: dict[str, Callable[..., Any]] = {"gru": torch.gru_cell, "lstm": torch.lstm_cell, "rnn": torch.rnn_tanh_cell}
"""Functions of one step of each cell. On a CPU they take half the time of a layer with a sequence of one."""

State = tuple[Tensor, ...]


def padding_mask(lengths: Tensor, longest: int) -> Tensor:
    """Return the mask (N, longest) of sequences of the given lengths (N,): True within a sequence, False in padding."""
    return torch.arange(longest, device=lengths.device) < lengths[:, None]


def last_outputs(outputs: Tensor, lengths: Tensor, bidirectional: bool) -> Tensor:
    """Return the final outputs (N, C) of recurrent layers from all outputs (N, T, C).

    The final output of the forward direction is at a sequence's last position; that of the backward direction, the
    second half of the channels, at its first.
    """
    last = outputs.gather(1, (lengths - 1).clamp_min(0)[:, None, None].expand(-1, 1, outputs.shape[2]))[:, 0]
    if not bidirectional:
        return last
    half = outputs.shape[2] // 2
    return torch.cat([last[:, :half], outputs[:, 0, half:]], 1)


def reverse_sequences(x: Tensor, lengths: Tensor) -> Tensor:
    """Reverse each sequence of a batch (N, T, ...) within its length; the padding stays at the end."""
    positions = torch.arange(x.shape[1], device=x.device).expand(x.shape[0], -1)
    reversed_positions = torch.where(positions < lengths[:, None], lengths[:, None] - 1 - positions, positions)
    return x.gather(1, reversed_positions.reshape(*reversed_positions.shape, *[1] * (x.ndim - 2)).expand_as(x))


class SequenceDropout(nn.Module):
    """Variational dropout: one mask for all positions of a sequence (Gal & Ghahramani, 2016).

    Each sequence has a mask of its own. The recurrence cannot recover a dropped feature from earlier positions, and a
    mask takes C random numbers instead of T C.

    Args:
        p: Dropout probability; kept features are divided by 1 - p.

    Raises:
        ValueError: If ``p`` is not in [0, 1).
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"dropout must be in [0, 1), not {p}")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Apply dropout to (N, T, C) in training; the identity in evaluation."""
        if not self.training or not self.p:
            return x
        mask = torch.rand(x.shape[0], 1, x.shape[2], device=x.device) >= self.p
        return x * (mask / (1 - self.p)).to(x.dtype)


class Recurrent(nn.Module):
    """Stack of recurrent layers over padded sequences.

    The backward direction of a bidirectional layer (Schuster & Paliwal, 1997) starts at each sequence's own end, so the
    result does not depend on the padding, and sequences need not be packed. Dropout is applied between the layers as a
    module of its own, since cuDNN's inside of the recurrence is not reproducible.

    Args:
        in_features: Number of features at each position.
        hidden_dim: Number of units of a layer in each direction.
        layers: Number of layers.
        cell: ``lstm``, ``gru`` or ``rnn``.
        bidirectional: Whether to use both directions.
        dropout: Dropout probability between the layers.

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

        def make_layers() -> nn.ModuleList:
            return nn.ModuleList(CELLS[cell](size, hidden_dim, batch_first=True) for size, _ in pairwise(sizes))

        self.forth = make_layers()
        self.back = make_layers() if bidirectional else None
        self.dropout, self.cell = SequenceDropout(dropout), cell
        self.num_state_tensors = 2 if cell == "lstm" else 1
        """Number of tensors in a layer's state."""

    def forward(self, x: Tensor, lengths: Tensor | None = None, state: State | None = None) -> tuple[Tensor, State]:
        """Apply the layers to a batch of sequences.

        Args:
            x: Sequences (N, T, in_features).
            lengths: Lengths (N,) of the sequences; T for all if None.
            state: Initial state of unidirectional layers, as returned by this method; zeros if None.

        Returns:
            Outputs (N, T, out_features), zero in the padding, and the forward direction's state of each layer after
            position T, tensors (N, hidden_dim). The state is meaningless for a sequence with padding.
        """
        if lengths is None and state is not None and not torch.is_grad_enabled() and x.shape[1] == 1:
            return self._step(x[:, 0], state)
        mask = None if lengths is None else padding_mask(lengths, x.shape[1])[:, :, None]
        if lengths is None:
            lengths = torch.full((x.shape[0],), x.shape[1], device=x.device)
        final_state: list[Tensor] = []
        for number, layer in enumerate(self.forth):
            if number:
                x = self.dropout(x)
            start = (
                None
                if state is None
                else state[number * self.num_state_tensors : (number + 1) * self.num_state_tensors]
            )
            out, last = layer(x, self._torch_state(start))
            final_state += [part[0] for part in (last if isinstance(last, tuple) else (last,))]
            if self.back is not None:
                backward, _ = self.back[number](reverse_sequences(x, lengths))
                out = torch.cat([out, reverse_sequences(backward, lengths)], 2)
            x = out if mask is None else out * mask
        return x, tuple(final_state)

    def _step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Apply unidirectional layers to one position (N, in_features); see ``forward``."""
        final_state: list[Tensor] = []
        for number, layer in enumerate(self.forth):
            if number:
                x = self.dropout(x[:, None])[:, 0]
            start = state[number * self.num_state_tensors : (number + 1) * self.num_state_tensors]
            weights = layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0, layer.bias_hh_l0
            after = STEPS[self.cell](x, start if self.num_state_tensors == 2 else start[0], *weights)
            final_state += after if isinstance(after, tuple) else [after]
            x = final_state[-self.num_state_tensors]
        return x[:, None], tuple(final_state)

    def _torch_state(self, state: State | None) -> Tensor | State | None:
        """Return a layer's state in the form of torch's recurrent layers."""
        if state is None:
            return None
        parts = tuple(part[None].contiguous() for part in state)
        return parts if self.num_state_tensors == 2 else parts[0]
