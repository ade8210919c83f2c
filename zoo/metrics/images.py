"""Image metrics."""

from __future__ import annotations

from torch import Tensor


def psnr(restored: Tensor, original: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio (N,) in dB of pictures (N, C, H, W) in [0, 1]: -10 log10 of the mse."""
    return -10 * (restored - original).square().flatten(1).mean(1).clamp_min(1e-10).log10()
