"""Kernel smoothing of class probabilities over similar beats of a record."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.nn.ecg import divide_by_amplitude

SHAPE_SAMPLES, SHAPE_POOLING = slice(72, 184), 4
"""Samples of a window, QRS complex and T wave, that the shapes of beats are compared by, and the number of samples
averaged to one feature; both set by hand, not tuned."""
MAX_SHAPE_FEATURE = 8.0
"""Amplitudes at which shape features are clipped: larger ones are artefacts, whose distances single precision cannot
resolve; set by hand, not tuned."""
BLOCK_SIZE = 4_096
"""Maximum number of successive beats, about an hour of them, that are compared with each other; set by hand, not
tuned."""
MIN_EXPONENT = -60.0
"""Smallest exponent of the kernel: exp(-60) is negligible against a beat's own weight of 1, and smaller values would
give denormal numbers, which are slow; set by hand, not tuned."""
CHUNK_ROWS = 256
"""Rows of the kernel matrix computed at a time, few enough for a CPU's cache; set by hand, not tuned."""


def count_blocks(beats: int) -> int:
    """Return the number of blocks of nearly equal size, ``BLOCK_SIZE`` at most, for a number of beats."""
    return max(1, -(-beats // BLOCK_SIZE))


def shape_features(x: Tensor, amplitude: Tensor) -> Tensor:
    """Return shape features (N, K): windows (N, leads, T) minus their medians, in amplitudes, downsampled.

    Values are clipped to +-``MAX_SHAPE_FEATURE``.
    """
    x = divide_by_amplitude(x - x.median(2, keepdim=True).values, amplitude)
    pooled = x[..., SHAPE_SAMPLES].unflatten(2, (-1, SHAPE_POOLING)).mean(3)
    return pooled.clamp(-MAX_SHAPE_FEATURE, MAX_SHAPE_FEATURE).flatten(1)


def timing_features(rr: Tensor) -> Tensor:
    """Return timing features (N, 2): the logarithms of the intervals before and after a beat over the recent mean.

    The ratios are clamped to [0.05, 20], as in ``relative_rhythm``.

    Args:
        rr: RR intervals as in ``relative_rhythm``; missing intervals count as the mean.
    """
    last = _last(rr)
    neighbours, recent = rr[:, last : last + 2], rr[:, -1:]
    return torch.where((neighbours > 0) & (recent > 0), (neighbours / recent).clamp(0.05, 20).log(), 0.0)


def last_interval(rr: Tensor) -> Tensor:
    """Return the interval (N,) before each beat in seconds, 0 for the first one; ``rr`` as in ``timing_features``."""
    return rr[:, _last(rr)]


def _last(rr: Tensor) -> int:
    return (rr.shape[1] - 2) // 2 - 1


def smooth_over_similar_beats(scores: Tensor, shapes: Tensor, timings: Tensor, width: float) -> Tensor:
    """Return the probabilities (N, C) of a record's beats, averaged over similar beats with a Gaussian kernel.

    With p_i = softmax(scores_i) and features z_i of dimension K, beats i and j have the weight

        w_ij(z) = exp(-|z_i - z_j|^2 / (2 K width^2))

    V, F and Q, and the sum of N and S, depend on the shape: their probabilities are the means of p_j weighted by
    w_ij(shape), a kernel regression (Nadaraya, 1964; Watson, 1964). N and S differ by timing: their sum is divided in
    the proportion of the means of p_jN and p_jS weighted by w_ij(timing). A beat unlike all others keeps its own
    probabilities. Llamedo & Martinez (2012) classify beats together with those in their cluster.

    Beats are compared within blocks of at most ``BLOCK_SIZE`` successive ones.

    Args:
        scores: Scores (N, C) of the beats of one record in order of time; the classes N and S come first.
        shapes: Shape features (N, K), see ``shape_features``.
        timings: Timing features (N, 2), see ``timing_features``.
        width: Bandwidth of the kernel, a root mean square distance: of the shape in amplitudes, of the timing in
            logarithms.

    Returns:
        Probabilities in float32, whatever the precision of the network.
    """
    parts = (part.float().tensor_split(count_blocks(len(scores))) for part in (scores, shapes, timings))
    with torch.autocast(scores.device.type, enabled=False):
        return torch.cat([_smooth_block(s, z, t, width) for s, z, t in zip(*parts, strict=True)])


def _smooth_block(scores: Tensor, shapes: Tensor, timings: Tensor, width: float) -> Tensor:
    probabilities = scores.softmax(1)
    merged = torch.cat([probabilities[:, :2].sum(1, keepdim=True), probabilities[:, 2:]], 1)
    by_shape, by_timing = _kernel_mean(merged, shapes, width), _kernel_mean(probabilities[:, :2], timings, width)
    n_and_s = by_shape[:, :1] * by_timing / by_timing.sum(1, keepdim=True).clamp_min(1e-30)
    return torch.cat([n_and_s, by_shape[:, 1:]], 1)


def _kernel_mean(p: Tensor, z: Tensor, width: float) -> Tensor:
    """Return the means (N, C) of p (N, C), weighted by the kernel of the features z (N, K)."""
    z = z / (width * z.shape[1] ** 0.5)
    half_norm, one = z.square().sum(1, keepdim=True) / 2, z.new_ones(len(z), 1)
    # z_i z_j - |z_i|^2 / 2 - |z_j|^2 / 2 as one matrix product, which is faster than the distances.
    left, right = torch.cat([z, -half_norm, one], 1), torch.cat([z, one, -half_norm], 1).T
    values = torch.cat([p, one], 1)
    means = []
    for start in range(0, len(z), CHUNK_ROWS):
        exponent = left[start : start + CHUNK_ROWS] @ right
        exponent.diagonal(start).zero_()
        sums = exponent.clamp_(MIN_EXPONENT, 0.0).exp_() @ values
        means.append(sums[:, :-1] / sums[:, -1:])
    return torch.cat(means) if means else p
