"""Stein's unbiased risk estimate: how far a denoiser can be trusted, from the noisy image alone."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

SPREAD = 8.0
"""Standard deviation in pixels of the Gaussian over which the risk is averaged; set by hand."""
STEP = 1e-2
"""Length of the step by which the divergence is measured; set by hand."""
TRUSTED = (20 / 255, 35 / 255)
"""Noise levels between which the mixture goes over to the denoised image: stronger noise is cut off too often for the
estimate to be right, and leaves no details to lose. Chosen on drawn pictures and on photographs held out."""
LEAST_NOISE = 0.25 / 255
"""Noise that is taken for none: below the rounding of pixels to bytes."""


def noise_level(x: Tensor) -> Tensor:
    """Return the standard deviation (N,) of white noise in images (N, C, H, W), estimated robustly.

    The median of the absolute diagonal details of the Haar wavelet, divided by 0.6745 (Donoho & Johnstone, 1994), over
    the details without a pixel of 0 or 1, where noise is cut off.
    """
    if min(x.shape[2:]) < 2:
        return x.new_zeros(len(x))
    x = x[..., : x.shape[2] // 2 * 2, : x.shape[3] // 2 * 2].float()
    a, b, c, d = x[..., ::2, ::2], x[..., ::2, 1::2], x[..., 1::2, ::2], x[..., 1::2, 1::2]
    details = ((a - b - c + d) / 2).abs()
    inside = torch.stack([(part > 0) & (part < 1) for part in (a, b, c, d)]).all(0)
    details = details.masked_fill(~inside, float("nan")).flatten(1)
    return (details.nanmedian(1).values / 0.6745).nan_to_num(0.0)


def mix_by_risk(denoise: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return a mixture x + w (f(x) - x) of noisy images and of their denoised versions, of the least estimated risk.

    For Gaussian noise of standard deviation s, the expected squared error of the mixture is estimated without knowing
    the clean image (Stein, 1981), and is least for

        w = -s^2 div(f(x) - x) / |f(x) - x|^2

    where both are averaged over a neighbourhood of each pixel, and w is limited to [0, 1]. The divergence is measured
    along a random direction (Ramani, Blu & Unser, 2008), always the same one. So a denoiser that removes more than the
    noise, such as details of a kind of image it does not know, is followed less.

    Args:
        denoise: Function f of images (N, C, H, W) in [0, 1].
        x: Noisy images (N, C, H, W); an image with equal channels has equal noise in all of them.
    """
    level = noise_level(x)[:, None, None, None]
    direction = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).to(x)
    grey = (x == x[:, :1]).flatten(1).all(1)[:, None, None, None]
    direction = torch.where(grey, direction[:, :1], direction)
    denoised = denoise(x)
    change = denoised - x
    divergence = direction * (denoise(x + STEP * direction) - denoised) / STEP - 1
    gain, power = (_blurred(part.mean(1, keepdim=True)) for part in (-(level**2) * divergence, change.square()))
    weight = (gain / (power + LEAST_NOISE**2)).clamp(0, 1)
    trust = ((level - TRUSTED[0]) / (TRUSTED[1] - TRUSTED[0])).clamp(0, 1)
    return x + (weight + trust * (1 - weight)) * change


def _blurred(x: Tensor) -> Tensor:
    """Return maps (N, 1, H, W), averaged by a Gaussian whose weights outside of the map are left out."""
    reach = int(3 * SPREAD)
    taps = torch.exp(-(torch.arange(-reach, reach + 1, device=x.device, dtype=x.dtype) ** 2) / (2 * SPREAD**2))

    def along_both(maps: Tensor) -> Tensor:
        maps = F.conv2d(maps, taps.view(1, 1, -1, 1), padding=(reach, 0))
        return F.conv2d(maps, taps.view(1, 1, 1, -1), padding=(0, reach))

    return along_both(x) / along_both(torch.ones_like(x))
