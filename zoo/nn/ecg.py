"""What a network is told of a beat besides its samples."""

from __future__ import annotations

import torch
from torch import Tensor

SMALLEST = 0.05
"""Millivolts: a record's amplitude below this is taken for a flat line."""
SEGMENTS = (slice(None), slice(40, 84), slice(78, 118), slice(118, 180))
"""Samples of a window that are compared apart: all, and about where P wave, QRS complex and T wave lie."""


def relative_rhythm(rr: Tensor, around: int, causal: bool = False) -> Tensor:
    """Turn RR intervals into numbers that hold for any heart rate.

    With l_k the logarithm of interval k over the recent mean, l_0 the interval that ends at the beat and l_1 the next,
    these are, in order: all l_k, 0 where there is none; l_0 - l_-1; the recent mean in seconds less one; and how the
    beat stands in its surroundings: l_0 less the median of the l_k up to it, their standard deviation, the median of
    |l_k - l_k-1|, which is large in an irregular rhythm, the largest l_k less l_0, and l_0 less the smallest. If not
    causal then too: the same of all the l_k; l_1 - l_0; l_1 less the median of all; the standard deviation of those
    after the beat; l_0, l_1 and the median over the record's median interval in place of the recent mean; and the
    intervals 0 and 1 in seconds less 0.8.

    Args:
        rr: Seconds (N, 2 * around + 2): the intervals up to each beat, oldest first, those after it, the record's
            median, and the mean of the last ones up to the beat; 0 where there is none.
        around: Intervals on either side.
        causal: Whether what looks into the future is left out.

    Returns:
        (N, ``rhythm_features(around, causal)``).
    """
    none = torch.full_like(rr[:, -1:], torch.nan)
    recent = torch.where(
        rr[:, -1:] > 0, rr[:, -1:], 1.0 if causal else torch.where(rr[:, -2:-1] > 0, rr[:, -2:-1], 1.0)
    )
    log = torch.where(rr[:, : 2 * around] > 0, (rr[:, : 2 * around] / recent).clamp(0.05, 20).log(), none)
    before, last = log[:, :around], log[:, around - 1 : around]
    parts = [before, last - log[:, around - 2 : around - 1], recent - 1, _place(before, last)]
    if not causal:
        following, median = log[:, around : around + 1], log.nanmedian(1, keepdim=True).values
        usual = torch.where(rr[:, -2:-1] > 0, (recent / rr[:, -2:-1].clamp_min(0.05)).log(), 0.0)
        seconds = torch.where(rr[:, around - 1 : around + 1] > 0, rr[:, around - 1 : around + 1] - 0.8, none)
        parts += [log[:, around:], _place(log, last), following - last, following - median, _spread(log[:, around:])]
        parts += [last + usual, following + usual, median + usual, seconds]
    return torch.cat(parts, 1).nan_to_num(0.0)


def rhythm_features(around: int, causal: bool = False) -> int:
    """Return how many numbers ``relative_rhythm`` gives."""
    return around + 7 if causal else 2 * around + 20


def _spread(log: Tensor) -> Tensor:
    """Return the standard deviation (N, 1) of what there is of logarithms (N, K)."""
    return (log - log.nanmean(1, keepdim=True)).square().nanmean(1, keepdim=True).sqrt()


def _place(log: Tensor, last: Tensor) -> Tensor:
    """Return how one interval (N, 1) stands among others (N, K): five numbers (N, 5)."""
    changes = (log[:, 1:] - log[:, :-1]).abs().nanmedian(1, keepdim=True).values
    median = log.nanmedian(1, keepdim=True).values
    largest = log.nan_to_num(-torch.inf).amax(1, keepdim=True)
    smallest = log.nan_to_num(torch.inf).amin(1, keepdim=True)
    return torch.cat([last - median, _spread(log), changes, largest - last, last - smallest], 1)


def correlation(x: Tensor, other: Tensor) -> Tensor:
    """Return the correlation over time (..., leads) of windows (..., leads, T) with others, 0 for a flat line."""
    x, other = (part - part.mean(-1, keepdim=True) for part in (x, other))
    norm = x.norm(dim=-1) * other.norm(dim=-1)
    return torch.where(norm > 1e-6, (x * other).sum(-1) / norm.clamp_min(1e-6), 0.0)


def segment_correlations(x: Tensor, other: Tensor) -> Tensor:
    """Return the correlations (N, 4 * leads) of windows (N, leads, T) with others, by ``SEGMENTS``."""
    return torch.cat([correlation(x[..., part], other[..., part]) for part in SEGMENTS], 1)


def divide_by_amplitude(x: Tensor, amplitude: Tensor) -> Tensor:
    """Return windows (N, leads, T) over their records' amplitudes (N, leads), both in millivolts."""
    return x / amplitude.clamp_min(SMALLEST)[:, :, None]


def augment_beats(x: Tensor, template: Tensor, rr: Tensor, strength: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return windows, usual beats and RR intervals as another patient or recorder might have given them.

    Each lead of window and usual beat is multiplied by exp(0.15 s g), the window gets a slow wave of 0.05 s g and noise
    of 0.015 s g and is moved by 4 s g samples, the second lead is left out of one beat in five (at s = 1), and all
    intervals are multiplied by exp(0.05 s g), with s the strength and g drawn from the standard normal distribution. In
    one of twenty beats (at s = 1) the usual beat becomes the beat itself, as in a record with hardly any normal beats.

    Args:
        x: Windows (N, 2, T), of a height of about one.
        template: Usual beats (N, 2, T).
        rr: Seconds (N, ...).
        strength: The strength s, from 0 on.
    """
    n, leads, length = x.shape
    gain = (0.15 * strength * torch.randn(n, leads, 1, device=x.device)).exp()
    turns = torch.rand(2, n, leads, 1, device=x.device)
    time = torch.linspace(0, 2, length, device=x.device)
    height = 0.05 * strength * torch.randn(n, leads, 1, device=x.device)
    wave = height * (2 * torch.pi * (time * turns[0] + turns[1])).sin()
    kept = torch.ones(n, leads, 1, device=x.device)
    kept[:, 1:] = (torch.rand(n, leads - 1, 1, device=x.device) >= 0.2 * strength).float()
    noise = 0.015 * strength * torch.randn_like(x)
    pace = (0.05 * strength * torch.randn(n, 1, device=x.device)).exp()
    alike = torch.rand(n, 1, 1, device=x.device) < 0.05 * strength
    template = torch.where(alike, x, template)
    moved = (4 * strength * torch.randn(n, 1, 1, device=x.device)).round().long()
    place = (torch.arange(length, device=x.device) + moved).clamp(0, length - 1)
    x = x.gather(2, place.expand(-1, leads, -1))
    return kept * (gain * x + wave + noise), kept * gain * template, pace * rr
