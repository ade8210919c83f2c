"""Image metrics."""

from __future__ import annotations

import torch
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


def ciede2000(restored: Tensor, original: Tensor) -> Tensor:
    """Return the mean colour difference CIEDE2000 (N,) of images (N, 3, H, W) in sRGB (Sharma, Wu & Dalal, 2005).

    A difference of 1 is just noticeable; scikit-image computes it.
    """
    from skimage import color

    lab = [color.rgb2lab(images.detach().cpu().permute(0, 2, 3, 1).double().numpy()) for images in (restored, original)]
    return torch.from_numpy(color.deltaE_ciede2000(*lab)).flatten(1).mean(1)


def colourfulness(images: Tensor) -> Tensor:
    """Return the colourfulness M3 (N,) of images (N, 3, H, W) in [0, 1] (Hasler & Suesstrunk, 2003).

    With rg = R - G and yb = (R + G) / 2 - B in levels of 0 to 255, it is sqrt(var rg + var yb) + 0.3 sqrt(mean(rg)^2 +
    mean(yb)^2): 0 for grey images, about 15 for slightly, 45 for quite and 109 for extremely colourful ones.
    """
    red, green, blue = (255 * images.detach().double().flatten(2)).unbind(1)
    opponents = torch.stack([red - green, (red + green) / 2 - blue], -1)
    spread = opponents.var(1, correction=0).sum(-1).sqrt()
    return spread + 0.3 * opponents.mean(1).square().sum(-1).sqrt()
