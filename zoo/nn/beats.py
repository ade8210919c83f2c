"""What a network is told of a beat besides its samples."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SMALLEST = 0.05
"""Millivolts: a record's amplitude below this is taken for a flat line."""


def relative_rhythm(rr: Tensor, around: int, causal: bool = False) -> Tensor:
    """Turn RR intervals into numbers that hold for any heart rate.

    Args:
        rr: Seconds (N, 2 * around + 2): the intervals up to each beat, oldest first, those after it, the record's
            median, and the mean of the last ones up to the beat; 0 where there is none.
        around: Intervals on either side.
        causal: Whether what looks into the future is left out.

    Returns:
        (N, 2 * around + 6), or (N, around + 2) if causal: the logarithm of each interval over the recent mean, 0 where
        there is none; that of the last interval over the one before it; if not causal, that of the next over the last,
        that of the last over the record's median, and both in seconds less 0.8; the recent mean in seconds less one.
    """
    known = rr[:, : 2 * around] > 0
    recent = torch.where(rr[:, -1:] > 0, rr[:, -1:], rr[:, -2:-1])
    recent = torch.where(recent > 0, recent, torch.ones_like(recent))
    if causal:
        recent = torch.where(rr[:, -1:] > 0, rr[:, -1:], torch.ones_like(recent))
    log = torch.where(known, (rr[:, : 2 * around] / recent).clamp(0.05, 20).log(), 0.0)
    before, after = log[:, :around], log[:, around:]
    pair = torch.where(known[:, around - 2 : around].all(1, keepdim=True), before[:, -1:] - before[:, -2:-1], 0.0)
    if causal:
        return torch.cat([before, pair, recent - 1], 1)
    turn = torch.where(known[:, around - 1 : around + 1].all(1, keepdim=True), after[:, :1] - before[:, -1:], 0.0)
    usual = torch.where(rr[:, -2:-1] > 0, rr[:, -2:-1], recent)
    whole = torch.where(known[:, around - 1 : around], (rr[:, around - 1 : around] / usual).clamp(0.05, 20).log(), 0.0)
    absolute = torch.where(known[:, around - 1 : around + 1], rr[:, around - 1 : around + 1] - 0.8, 0.0)
    return torch.cat([before, after, pair, turn, whole, absolute, recent - 1], 1)


def likeness(x: Tensor, other: Tensor) -> Tensor:
    """Return the correlation over time (..., leads) of windows (..., leads, T) with others, 0 for a flat line."""
    x, other = (part - part.mean(-1, keepdim=True) for part in (x, other))
    norm = x.norm(dim=-1) * other.norm(dim=-1)
    return torch.where(norm > 1e-6, (x * other).sum(-1) / norm.clamp_min(1e-6), 0.0)


class ConvStack1d(nn.Sequential):
    """Convolutions over time, each followed by batch normalisation, an activation and a halving.

    Args:
        in_channels: Channels of the signal.
        hidden_dims: Channels after each convolution.
        kernel_size: Samples that a convolution sees.
        dropout: Probability with which a channel is left out after each stage.
    """

    def __init__(self, in_channels: int, hidden_dims: list[int], kernel_size: int, dropout: float) -> None:
        layers: list[nn.Module] = []
        for width in hidden_dims:
            layers += [
                nn.Conv1d(in_channels, width, kernel_size, padding=kernel_size // 2, bias=False),
                nn.BatchNorm1d(width),
                nn.ReLU(),
                nn.MaxPool1d(2),
                nn.Dropout1d(dropout),
            ]
            in_channels = width
        super().__init__(*layers)
