"""Filling of holes in images: smooth surfaces, coarse-to-fine processing and blending by evidence."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Fill = Callable[[Tensor, Tensor], Tensor]
"""Function from images (N, C, H, W) and holes (N, 1, H, W), True in a hole, to the filled images."""
DEEPEST_SURFACE = 100
"""Distance in pixels from the edge of a hole up to which a biharmonic surface is computed at full resolution: its
matrix has an entry for each pixel of the hole. Set by hand."""
LARGEST_SURFACE, SHALLOW = 100_000, 16
"""Number of missing pixels of an image above which surfaces are computed at full resolution only up to ``SHALLOW``
pixels from the edge, so that time and memory stay bounded. Set by hand."""
LEAST_ERROR = (1.5 / 255) ** 2
"""Mean squared error of the smooth filling below which it is left as it is: the rounding of pixels to bytes hides what
could be won. Set by hand."""
LEAST_SPREAD, PRIOR = 4, 0.05
"""Smallest standard deviation in pixels of the Gaussian over which evidence is averaged, and the weight of no change,
relative to the largest evidence. Chosen on photographs held out for validation and on drawn pictures."""
SMALLEST_EVIDENCE = 1e-9
"""Mean squared difference of two fillings that are taken to be the same."""


def halve_known(x: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Halve images (N, C, H, W) by averaging known pixels (N, 1, H, W), and return the mask of known results."""
    share = F.avg_pool2d(known.to(x.dtype), 2, ceil_mode=True)
    return F.avg_pool2d(x * known, 2, ceil_mode=True) / share.clamp_min(1e-6), share > 0


def fill_by_interpolation(x: Tensor, known: Tensor) -> Tensor:
    """Fill the pixels of images (N, C, H, W) that are not known (N, 1, H, W) by interpolation of the known ones.

    The pull-push interpolation of Gortler, Grzeszczuk, Szeliski & Cohen (1996): averages of known pixels at ever lower
    resolution. An image without known pixels becomes 0.
    """
    if max(x.shape[2:]) == 1:
        return x * known
    small, some = halve_known(x, known)
    return torch.where(known, x, F.interpolate(fill_by_interpolation(small, some), x.shape[2:], mode="bilinear"))


def append_holes(x: Tensor, holes: Tensor) -> Tensor:
    """Interpolate images (N, C, H, W) where the mask (N, 1, H, W) is True, and append the mask as a channel."""
    return torch.cat([fill_by_interpolation(x, ~holes), holes.to(x.dtype)], 1)


def coarse_to_fine(fill: Fill, x: Tensor, holes: Tensor, depth: int) -> Tensor:
    """Fill holes, those pixels that are more than ``depth`` from the edge first, at half the resolution, recursively.

    Args:
        fill: Function that fills holes of any kind.
        x: Images (N, C, H, W).
        holes: (N, 1, H, W), True in a hole.
        depth: Distance in pixels, the larger of rows and columns.
    """
    width = 2 * depth + 1
    any_known = F.max_pool2d((~holes).float(), (width, 1), 1, (depth, 0))  # rows, then columns: separable
    interior = holes & (F.max_pool2d(any_known, (1, width), 1, (0, depth)) == 0)
    if bool(interior.any()) and min(x.shape[2:]) > 2 * depth and not bool(holes.all()):
        small, known = halve_known(x, ~holes)
        coarse = F.interpolate(coarse_to_fine(fill, small, ~known, depth), x.shape[2:], mode="bilinear")
        x, holes = torch.where(interior, coarse, x), holes & ~interior
    return fill(x, holes)


def biharmonic_surface(x: Tensor, holes: Tensor) -> Tensor:
    """Fill holes with biharmonic surfaces (Damelin & Hoang, 2018), the smoothest that continue their surroundings.

    Args:
        x: Images (N, C, H, W) in [0, 1].
        holes: (N, 1, H, W), True in a hole. An image without known pixels is returned as it is.

    Returns:
        Images (N, C, H, W), clipped to [0, 1] in the holes.
    """
    from skimage.restoration import inpaint_biharmonic

    def fill(x: Tensor, holes: Tensor) -> Tensor:
        filled = x.clone()
        for image, hole, target in zip(x.cpu().double(), holes.cpu(), filled, strict=True):
            if bool(hole.any()) and not bool(hole.all()):
                surface = inpaint_biharmonic(
                    image.permute(1, 2, 0).numpy(), hole[0].numpy(), split_into_regions=True, channel_axis=-1
                )
                target.copy_(torch.from_numpy(surface).permute(2, 0, 1))
        return torch.where(holes, filled.clamp(0, 1), x)

    many = int(holes.flatten(1).sum(1).max()) > LARGEST_SURFACE
    return coarse_to_fine(fill, x, holes, SHALLOW if many else DEEPEST_SURFACE)


def blend_by_evidence(fill: Fill, smooth: Fill, x: Tensor, holes: Tensor) -> Tensor:
    """Fill holes by a mixture s + w (f - s) of two methods, weighted by how well each fills holes beside them.

    Copies of the holes, moved to all four sides, are cut out of the surroundings, and both methods fill them, where
    the holes themselves have been filled by the smooth method. The weight w in [0, 1] of a pixel minimises the
    squared error of the mixture over the pixels that correspond to it and to its neighbours in these copies, whose
    contents are known: stacking (Wolpert, 1992) within one image. So on a surface that the smooth method continues
    exactly, w is 0.

    Args:
        fill: The first method, f.
        smooth: The second method, s, the smooth one.
        x: Images (N, C, H, W) in [0, 1].
        holes: (N, 1, H, W), True in a hole.
    """
    filled, surface = fill(x, holes), smooth(x, holes)
    weights = [
        torch.from_numpy(_weights(fill, smooth, image[None], hole[None])) if bool(hole.any()) else None
        for image, hole in zip(surface, holes, strict=True)
    ]
    shape = (1, *x.shape[2:])
    mixed = torch.stack([w.view(shape).to(x) if w is not None else x.new_zeros(shape) for w in weights])
    return torch.where(holes, surface + mixed * (filled - surface), x)


def _weights(fill: Fill, smooth: Fill, x: Tensor, holes: Tensor) -> np.ndarray:
    """Return the weight (H, W) of the first method in one image (1, C, H, W), whose holes have been filled."""
    from scipy.ndimage import distance_transform_cdt, gaussian_filter

    hole = holes[0, 0].cpu().numpy()
    height, width = hole.shape
    depth = int(distance_transform_cdt(np.pad(hole, 1), "chessboard").max())
    step = max(1, min(2 * depth + 2, min(height, width) // 4))
    gain, power, error, area = (np.zeros(hole.shape) for _ in range(4))
    for rows, columns in ((step, 0), (-step, 0), (0, step), (0, -step)):
        copy = _moved(hole, rows, columns) & ~hole
        if not copy.any():
            continue
        missing = torch.from_numpy(copy).to(holes.device)[None, None]
        f, s = fill(x, missing), smooth(x, missing)
        change, miss = (f - s).double().cpu(), (x - s).double().cpu()
        found = (change * miss, change.square(), miss.square(), torch.ones_like(miss))
        for total, part in zip((gain, power, error, area), found, strict=True):
            total += _moved(part.mean(1)[0].numpy() * copy, -rows, -columns)
    gain, power, error, area = (
        gaussian_filter(part, max(depth, LEAST_SPREAD), mode="constant") for part in (gain, power, error, area)
    )
    weight = gain / (power + PRIOR * power.max() + SMALLEST_EVIDENCE)
    return np.clip(weight * error / (error + LEAST_ERROR * area + SMALLEST_EVIDENCE), 0, 1)


def _moved(x: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Move an array (H, W) by rows and columns; what comes in is 0."""
    height, width = x.shape
    result = np.zeros_like(x)
    result[max(rows, 0) : height + min(rows, 0), max(columns, 0) : width + min(columns, 0)] = x[
        max(-rows, 0) : height + min(-rows, 0), max(-columns, 0) : width + min(-columns, 0)
    ]
    return result
