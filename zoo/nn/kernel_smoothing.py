"""Beats of a record that are alike, and what they tell of each other."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.nn.ecg import divide_by_amplitude

SHAPE, SHAPE_STEP = slice(72, 184), 4
"""Samples of a window that beats of a record look alike by, QRS complex and T wave; means of four are compared."""
HIGHEST = 8.0
"""Amplitudes; what is farther out is an artefact, and single precision could not tell such apart."""
BLOCK = 4_096
"""Beats in a row, about an hour of them, among which those alike are sought."""
FAR = -60.0
"""Exponent below which a beat counts for nothing; with the denormal numbers that come of others processors are slow."""
ROWS = 256
"""Beats that are compared with a stretch at a time: so few stay in a processor's cache."""


def count_blocks(beats: int) -> int:
    """Return into how many count_blocks, as equal as can be, a number of beats is divided."""
    return max(1, -(-beats // BLOCK))


def shape_features(x: Tensor, amplitude: Tensor) -> Tensor:
    """Return what beats look alike by (N, K): windows (N, leads, T) less their medians, in amplitudes, coarse.

    What is more than ``HIGHEST`` amplitudes high or low, as no beat is, counts as that.
    """
    x = divide_by_amplitude(x - x.median(2, keepdim=True).values, amplitude)
    return x[..., SHAPE].unflatten(2, (-1, SHAPE_STEP)).mean(3).clamp(-HIGHEST, HIGHEST).flatten(1)


def timing_features(rr: Tensor) -> Tensor:
    """Return what beats are timed alike by (N, 2): logarithms of the intervals before and after over the recent mean.

    Args:
        rr: See ``relative_rhythm``; an interval that is not there counts as the mean.
    """
    last = (rr.shape[1] - 2) // 2 - 1
    beside, recent = rr[:, last : last + 2], rr[:, -1:]
    return torch.where((beside > 0) & (recent > 0), (beside / recent).clamp(0.05, 20).log(), 0.0)


def smooth_over_similar_beats(scores: Tensor, shapes: Tensor, timings: Tensor, width: float) -> Tensor:
    """Return the probabilities (N, C) of a record's beats when those that are alike share what that tells.

    With p_i = softmax(scores_i), beats whose z_i, of K numbers, are alike weigh

        w_ij(z) = exp(-|z_i - z_j|^2 / (2 K width^2))

    for each other. V, F and Q, and N and S together, are a matter of shape: each gets the mean of p_j weighed by
    w_ij(shape) (Nadaraya, 1964; Watson, 1964). What is N and what S is a matter of timing: their sum is divided in the
    proportion of the means of p_jN and p_jS weighed by w_ij(timing). A beat that is like no other keeps its own. To
    judge a record's beats together with those in their cluster is an idea of Llamedo & Martinez (2012).

    Args:
        scores: The network's (N, C) for the beats of one record in order of time; N and S come first.
        shapes: See ``shape_features`` (N, K).
        timings: See ``timing_features`` (N, 2). Beats are compared within count_blocks of ``BLOCK`` at most.
        width: Root mean square by which beats that are alike may differ, in amplitudes and in logarithms.

    Returns:
        float32, whatever the precision of the network.
    """
    parts = (part.float().tensor_split(count_blocks(len(scores))) for part in (scores, shapes, timings))
    with torch.autocast(scores.device.type, enabled=False):
        return torch.cat([_smooth_block(s, z, t, width) for s, z, t in zip(*parts, strict=True)])


def _smooth_block(scores: Tensor, shapes: Tensor, timings: Tensor, width: float) -> Tensor:
    own = scores.softmax(1)
    told = _kernel_mean(torch.cat([own[:, :2].sum(1, keepdim=True), own[:, 2:]], 1), shapes, width)
    share = _kernel_mean(own[:, :2], timings, width)
    return torch.cat([told[:, :1] * share / share.sum(1, keepdim=True).clamp_min(1e-30), told[:, 1:]], 1)


def _kernel_mean(p: Tensor, z: Tensor, width: float) -> Tensor:
    """Return the means (N, C) of p (N, C) over beats that are alike in z (N, K)."""
    z = z / (width * z.shape[1] ** 0.5)
    half, one = z.square().sum(1, keepdim=True) / 2, z.new_ones(len(z), 1)
    # z_i z_j - |z_i|^2 / 2 - |z_j|^2 / 2 in one product, which takes less time than the distances.
    left, right, shared = torch.cat([z, -half, one], 1), torch.cat([z, one, -half], 1).T, torch.cat([p, one], 1)
    means = []
    for start in range(0, len(z), ROWS):
        exponent = left[start : start + ROWS] @ right
        exponent.diagonal(start).zero_()
        sums = exponent.clamp_(FAR, 0.0).exp_() @ shared
        means.append(sums[:, :-1] / sums[:, -1:])
    return torch.cat(means) if means else p
