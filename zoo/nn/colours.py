"""Conversions between colour spaces, differentiable, for batches of images in [0, 1]."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.nn.constants import constant

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luma of ITU-R BT.601."""
# From linear sRGB to XYZ under D65 with the 2 degree observer, the values of scikit-image.
_RGB_TO_XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
_XYZ_TO_RGB = tuple(map(tuple, torch.linalg.inv(torch.tensor(_RGB_TO_XYZ, dtype=torch.float64)).tolist()))
_D65_WHITE = (0.95047, 1.0, 1.08883)
_LAB_THRESHOLD = 6 / 29  # where the cube root of CIE 1976 L*a*b* turns into a line


def _matmul_channels(x: Tensor, rows: tuple[tuple[float, ...], ...]) -> Tensor:
    """Multiply the channels of a batch (N, C, H, W) by a matrix."""
    return torch.einsum("kc,nchw->nkhw", torch.stack([constant(row, x) for row in rows]), x)


def luma(rgb: Tensor) -> Tensor:
    """Return the luma 0.299 R + 0.587 G + 0.114 B (N, 1, H, W) of images (N, 3, H, W)."""
    return _matmul_channels(rgb, (LUMA,))


def rgb_to_ycbcr(rgb: Tensor) -> Tensor:
    """Convert RGB (N, 3, H, W) to luma in [0, 1] and chroma in [-0.5, 0.5] (ITU-R BT.601, full range)."""
    y = luma(rgb)
    return torch.cat([y, (rgb[:, 2:] - y) / 1.772, (rgb[:, :1] - y) / 1.402], 1)


def ycbcr_to_rgb(ycbcr: Tensor) -> Tensor:
    """Invert ``rgb_to_ycbcr``; colours outside of the RGB gamut have values below 0 or above 1."""
    y, cb, cr = ycbcr.split(1, 1)
    red, blue = y + 1.402 * cr, y + 1.772 * cb
    return torch.cat([red, (y - LUMA[0] * red - LUMA[2] * blue) / LUMA[1], blue], 1)


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """Convert sRGB (N, 3, H, W) to CIE 1976 L* in [0, 100], a* and b*, under the illuminant D65."""
    linear = torch.where(rgb > 0.04045, ((rgb.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    xyz = _matmul_channels(linear, _RGB_TO_XYZ) / constant(_D65_WHITE, rgb)[:, None, None]
    f = torch.where(
        xyz > _LAB_THRESHOLD**3, xyz.clamp_min(_LAB_THRESHOLD**3) ** (1 / 3), xyz / (3 * _LAB_THRESHOLD**2) + 4 / 29
    )
    x, y, z = f.split(1, 1)
    return torch.cat([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """Invert ``rgb_to_lab``; colours outside of the sRGB gamut have values below 0 or above 1."""
    lightness, a, b = lab.split(1, 1)
    y = (lightness + 16) / 116
    f = torch.cat([y + a / 500, y, y - b / 200], 1)
    xyz = torch.where(f > _LAB_THRESHOLD, f**3, 3 * _LAB_THRESHOLD**2 * (f - 4 / 29))
    xyz = xyz * constant(_D65_WHITE, lab)[:, None, None]
    linear = _matmul_channels(xyz, _XYZ_TO_RGB)
    gamma_corrected = 1.055 * linear.clamp_min(0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear > 0.0031308, gamma_corrected, 12.92 * linear)
