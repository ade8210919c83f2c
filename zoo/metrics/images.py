"""Image metrics."""

from __future__ import annotations

from torch import Tensor

MIN_MSE = 1e-10
"""Smallest mean squared error that the PSNR is computed from, so that it is finite: 100 dB."""


def psnr_from_mse(mse: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio in dB, -10 log10(mse), of mean squared errors of images in [0, 1].

    Args:
        mse: Mean squared errors of any shape.
    """
    return -10 * mse.clamp_min(MIN_MSE).log10()


def masked_mse(restored: Tensor, original: Tensor, mask: Tensor) -> Tensor:
    """Return the mean squared error (N,) of images (N, C, H, W) where a mask (N, 1, H, W) is 1; 0 if it is empty."""
    count = mask.flatten(1).sum(1).clamp_min(1) * original.shape[1]
    return ((restored - original) * mask).square().flatten(1).sum(1) / count


def psnr(restored: Tensor, original: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return the peak signal-to-noise ratio (N,) in dB of images (N, C, H, W) in [0, 1].

    Args:
        restored: Restored images.
        original: Original images.
        mask: Mask (N, 1, H, W), 1 for the pixels that are compared; all pixels if None.
    """
    if mask is not None:
        return psnr_from_mse(masked_mse(restored, original, mask))
    return psnr_from_mse((restored - original).square().flatten(1).mean(1))
