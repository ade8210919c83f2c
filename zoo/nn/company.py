"""Beats of a record that are alike, and what they tell of each other."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.nn.beats import per_amplitude

SHAPE, SHAPE_STEP = slice(72, 184), 4
"""Samples of a window that beats of a record look alike by, QRS complex and T wave; means of four are compared."""
COMPANY = 4_096
"""Beats, about an hour of them, among which those alike are sought."""


def shape_of(x: Tensor, amplitude: Tensor) -> Tensor:
    """Return what beats look alike by (N, K): windows (N, leads, T) less their medians, in amplitudes, coarse."""
    x = per_amplitude(x - x.median(2, keepdim=True).values, amplitude)
    return x[..., SHAPE].unflatten(2, (-1, SHAPE_STEP)).mean(3).flatten(1)


def timing_of(rr: Tensor) -> Tensor:
    """Return what beats are timed alike by (N, 2): logarithms of the intervals before and after over the recent mean.

    Args:
        rr: See ``relative_rhythm``; an interval that is not there counts as the mean.
    """
    last = (rr.shape[1] - 2) // 2 - 1
    beside, recent = rr[:, last : last + 2], rr[:, -1:]
    return torch.where((beside > 0) & (recent > 0), (beside / recent).clamp(0.05, 20).log(), 0.0)


def in_company(scores: Tensor, shapes: Tensor, timings: Tensor, width: float) -> Tensor:
    """Return the probabilities (N, C) of a record's beats when those that are alike share what that tells.

    With p_i = softmax(scores_i), beats whose z_i, of K numbers, are alike weigh

        w_ij(z) = exp(-|z_i - z_j|^2 / (2 K width^2))

    for each other. By shape each of V, F and Q, and N and S together, gets the weighted mean of p (Nadaraya, 1964;
    Watson, 1964): q_i = sum_j w_ij(shape) p_j / sum_j w_ij(shape). What is N or S is a matter of timing: the share of S
    in both is the mean of p_jS / (p_jN + p_jS), in which beat j weighs w_ij(timing) (q_jN + q_jS). A beat that is like
    no other keeps its own. To judge a record's beats together with those in their cluster is an idea of Llamedo &
    Martinez (2012).

    Args:
        scores: The network's (N, C) for the beats of one record in order of time; N and S come first.
        shapes: See ``shape_of`` (N, K).
        timings: See ``timing_of`` (N, 2). Beats are compared within stretches of ``COMPANY`` at most.
        width: Root mean square by which beats that are alike may differ, in amplitudes and in logarithms.
    """
    stretches = max(1, -(-len(scores) // COMPANY))
    parts = zip(*(part.tensor_split(stretches) for part in (scores, shapes, timings)), strict=True)
    return torch.cat([_stretch_in_company(s, z, t, width) for s, z, t in parts])


def _stretch_in_company(scores: Tensor, shapes: Tensor, timings: Tensor, width: float) -> Tensor:
    own = scores.softmax(1)
    told = torch.cat([own[:, :2].sum(1, keepdim=True), own[:, 2:]], 1)
    told = _mean_of_like(told, torch.ones_like(told[:, :1]), shapes, width)
    either = told[:, :1]
    return torch.cat([either * _mean_of_like(scores[:, :2].softmax(1), either, timings, width), told[:, 1:]], 1)


def _mean_of_like(values: Tensor, weight: Tensor, z: Tensor, width: float) -> Tensor:
    """Return the means (N, C) of values over beats that are alike in z (N, K), beat j weighed by ``weight`` (N, 1)."""
    alike = torch.cdist(z, z).square_().mul_(-1 / (2 * z.shape[1] * width**2)).exp_().fill_diagonal_(1.0)
    sums = alike @ torch.cat([values * weight, weight], 1)
    return sums[:, :-1] / sums[:, -1:].clamp_min(1e-30)
