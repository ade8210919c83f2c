"""Features of heart beats: relative RR intervals, correlations with other beats, and augmentation."""

from __future__ import annotations

import torch
from torch import Tensor

MIN_AMPLITUDE = 0.05
"""Millivolts; smaller amplitudes of a record are raised to this, as those of a flat line; set by hand, not tuned."""
SEGMENTS = (slice(None), slice(40, 84), slice(78, 118), slice(118, 180))
"""Samples of a window that are correlated separately: all of them, and the ranges of P wave, QRS complex and T wave.

The R peak is sample 96 of 256 at 180 Hz, so these are -311 to -67 ms, -100 to 122 ms and 122 to 467 ms from it; set by
hand, not tuned."""


def relative_rhythm(rr: Tensor, around: int, causal: bool = False) -> Tensor:
    """Return features of the RR intervals around beats, most of them independent of the heart rate.

    Let l_k = log(interval k / recent mean), with l_0 the interval that ends at the beat and l_1 the next one. In order:

        l_k                up to the beat, oldest first, 0 where an interval is missing
        l_0 - l_-1
        recent mean - 1    in seconds
        statistics         of the l_k up to the beat: l_0 - median, standard deviation, median of |l_k - l_k-1|,
                           maximum - l_0, l_0 - minimum

    and, unless causal:

        l_k                after the beat
        statistics         of all l_k, the same five
        l_1 - l_0
        l_1 - median       of all l_k
        standard deviation of the l_k after the beat
        l_0, l_1, median   relative to the record's median interval instead of the recent mean
        intervals 0, 1     in seconds, minus 0.8

    Ratios of intervals are clamped to [0.05, 20]; these limits and the offsets 1 and 0.8 s are set by hand, not tuned.

    Args:
        rr: Seconds (N, 2 * around + 2): the intervals up to each beat, oldest first, those after it, the record's
            median, and the recent mean up to the beat; 0 where a value is missing.
        around: Number of intervals on either side.
        causal: Whether to exclude features that depend on later beats.

    Returns:
        Features (N, ``relative_rhythm_dim(around, causal)``).
    """
    none = torch.full_like(rr[:, -1:], torch.nan)
    recent = torch.where(
        rr[:, -1:] > 0, rr[:, -1:], 1.0 if causal else torch.where(rr[:, -2:-1] > 0, rr[:, -2:-1], 1.0)
    )
    log = torch.where(rr[:, : 2 * around] > 0, (rr[:, : 2 * around] / recent).clamp(0.05, 20.0).log(), none)
    past, last = log[:, :around], log[:, around - 1 : around]
    parts = [past, last - log[:, around - 2 : around - 1], recent - 1, _interval_statistics(past, last)]
    if not causal:
        following, median = log[:, around : around + 1], log.nanmedian(1, keepdim=True).values
        recent_over_median = torch.where(rr[:, -2:-1] > 0, (recent / rr[:, -2:-1].clamp_min(0.05)).log(), 0.0)
        seconds = torch.where(rr[:, around - 1 : around + 1] > 0, rr[:, around - 1 : around + 1] - 0.8, none)
        parts += [
            log[:, around:],
            _interval_statistics(log, last),
            following - last,
            following - median,
            _nan_std(log[:, around:]),
        ]
        parts += [last + recent_over_median, following + recent_over_median, median + recent_over_median, seconds]
    return torch.cat(parts, 1).nan_to_num(0.0)


def relative_rhythm_dim(around: int, causal: bool = False) -> int:
    """Return the number of features of ``relative_rhythm``."""
    return around + 7 if causal else 2 * around + 20


def _nan_std(log: Tensor) -> Tensor:
    """Return the standard deviation (N, 1) of log intervals (N, K) without NaN."""
    return (log - log.nanmean(1, keepdim=True)).square().nanmean(1, keepdim=True).sqrt()


def _interval_statistics(log: Tensor, last: Tensor) -> Tensor:
    """Return the statistics (N, 5) of log intervals (N, K), NaN where missing, relative to the last one (N, 1)."""
    changes = (log[:, 1:] - log[:, :-1]).abs().nanmedian(1, keepdim=True).values
    median = log.nanmedian(1, keepdim=True).values
    largest = log.nan_to_num(-torch.inf).amax(1, keepdim=True)
    smallest = log.nan_to_num(torch.inf).amin(1, keepdim=True)
    return torch.cat([last - median, _nan_std(log), changes, largest - last, last - smallest], 1)


def correlation(x: Tensor, other: Tensor) -> Tensor:
    """Return the correlations over time (..., leads) of windows (..., leads, T) with others, 0 for a flat line."""
    x, other = (part - part.mean(-1, keepdim=True) for part in (x, other))
    norm = x.norm(dim=-1) * other.norm(dim=-1)
    return torch.where(norm > 1e-6, (x * other).sum(-1) / norm.clamp_min(1e-6), 0.0)


def segment_correlations(x: Tensor, other: Tensor) -> Tensor:
    """Return the correlations (N, 4 * leads) of windows (N, leads, T) with others, by ``SEGMENTS``."""
    return torch.cat([correlation(x[..., part], other[..., part]) for part in SEGMENTS], 1)


def divide_by_amplitude(x: Tensor, amplitude: Tensor) -> Tensor:
    """Return windows (N, leads, T) divided by their records' amplitudes (N, leads), both in millivolts."""
    return x / amplitude.clamp_min(MIN_AMPLITUDE)[:, :, None]


def augment_beats(x: Tensor, template: Tensor, rr: Tensor, strength: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return augmented windows, template beats and RR intervals, as of another patient or recorder.

    With s the strength and each g drawn from N(0, 1):

        gain            each lead of window and template beat times exp(0.15 s g)
        baseline        plus a sine of amplitude 0.05 s g and random frequency and phase, window only
        noise           plus white noise of standard deviation 0.015 s, window only
        shift           by 4 s g samples, window only
        lead dropout    the leads after the first set to 0 with probability 0.2 s
        pace            all intervals times exp(0.05 s g)
        template        replaced by the window with probability 0.05 s, as in a record of few normal beats

    The magnitudes are set by hand, not tuned.

    Args:
        x: Windows (N, 2, T) in amplitudes of the record.
        template: Template beats (N, 2, T), likewise.
        rr: RR intervals (N, ...) in seconds.
        strength: Strength s, at least 0.
    """
    n, leads, length = x.shape
    gain = (0.15 * strength * torch.randn(n, leads, 1, device=x.device)).exp()
    frequency, phase = torch.rand(2, n, leads, 1, device=x.device)
    time = torch.linspace(0, 2, length, device=x.device)
    wave_amplitude = 0.05 * strength * torch.randn(n, leads, 1, device=x.device)
    wave = wave_amplitude * (2 * torch.pi * (time * frequency + phase)).sin()
    lead_mask = torch.ones(n, leads, 1, device=x.device)
    lead_mask[:, 1:] = (torch.rand(n, leads - 1, 1, device=x.device) >= 0.2 * strength).float()
    noise = 0.015 * strength * torch.randn_like(x)
    pace = (0.05 * strength * torch.randn(n, 1, device=x.device)).exp()
    replaced = torch.rand(n, 1, 1, device=x.device) < 0.05 * strength
    template = torch.where(replaced, x, template)
    shift = (4 * strength * torch.randn(n, 1, 1, device=x.device)).round().long()
    samples = (torch.arange(length, device=x.device) + shift).clamp(0, length - 1)
    x = x.gather(2, samples.expand(-1, leads, -1))
    return lead_mask * (gain * x + wave + noise), lead_mask * gain * template, pace * rr
