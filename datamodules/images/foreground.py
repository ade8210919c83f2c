"""Foreground of users' pictures, and its conversion to the format of MNIST and Fashion-MNIST."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from datamodules.images.blank import MIN_CONTRAST
from datamodules.images.reading import resize

WORKING_SIZE = 512
"""Longest side in pixels to which an image is reduced before its foreground is extracted. Set by hand."""
BORDER_FRACTION = 1 / 20
"""Width of the border that the background is fitted to, relative to the shorter side. Set by hand."""
BACKGROUND_QUANTILE = 0.6
"""Fraction of the border pixels that the background is fitted to, those of the smallest residuals. Set by hand."""
BACKGROUND_ITERATIONS = 10
"""Number of iterations of the trimmed least-squares fit of the background. Set by hand."""
MAD_TO_STD = 1.4826
"""Ratio of the standard deviation to the median absolute deviation of a normal distribution."""
NOISE_STDS = 4
"""Standard deviations of the noise below which a pixel is background. Set by hand."""
MIN_NOISE = 0.004
"""Standard deviation below which noise is ignored, about one grey level of 255. Set by hand."""
FOREGROUND_THRESHOLD = 0.1
"""Strength above which a pixel is part of a connected component or of the bounding box. Set by hand."""
DUST_FRACTION = 0.01
"""Mass of a connected component, relative to the largest, below which it is removed as dust. Set by hand."""


def _background(grey: Tensor) -> tuple[Tensor, float]:
    """Fit a plane to the border of an image (H, W) as its background, which may be lit unevenly.

    The fit is by trimmed least squares, since the foreground may touch the border: each iteration uses the border
    pixels with the smallest residuals of the previous one.

    Returns:
        The plane (H, W) and the standard deviation of the noise about it.
    """
    height, width = grey.shape
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    design = torch.stack([torch.ones_like(grey), rows, columns], -1)
    edge = max(1, int(min(height, width) * BORDER_FRACTION))
    border = torch.ones(height, width, dtype=torch.bool)
    border[edge : height - edge, edge : width - edge] = False
    points, values = design[border], grey[border]
    residuals = (values - values.median()).abs()
    plane = torch.stack([values.median(), torch.tensor(0.0), torch.tensor(0.0)])
    if min(height, width) > 2:
        for _ in range(BACKGROUND_ITERATIONS):
            near = residuals <= residuals.quantile(BACKGROUND_QUANTILE) + 1e-6
            plane = torch.linalg.lstsq(points[near], values[near, None], driver="gelsd").solution[:, 0]
            residuals = (values - points @ plane).abs()
    return design @ plane, MAD_TO_STD * float(residuals.median())


def reduce(grey: Tensor) -> Tensor:
    """Return an image (1, H, W), reduced if its longest side is above ``WORKING_SIZE``."""
    longest = max(grey.shape[1:])
    if longest <= WORKING_SIZE:
        return grey
    return resize(grey, *(max(1, round(side * WORKING_SIZE / longest)) for side in grey.shape[1:]))


def extract_ink(grey: Tensor) -> Tensor:
    """Return the ink, the foreground strength of each pixel of a grey image: 0 for background, 1 for the strongest.

    The background, a constant or a linear gradient, is subtracted; noise and small components (dust) are removed. The
    result does not depend on the polarity, light on dark or dark on light.

    Args:
        grey: Image (1, H, W) in [0, 1]. If its longest side is above ``WORKING_SIZE`` it is reduced to that.

    Returns:
        Floats (1, H, W) in [0, 1], zeros without foreground.
    """
    grey = reduce(grey)
    background, noise = _background(grey[0])
    ink = grey[0] - background
    if -ink.min() > ink.max():
        ink = -ink
    floor = NOISE_STDS * noise if noise > MIN_NOISE else 0.0
    top = float(ink.max())
    if top - floor < MIN_CONTRAST:
        return torch.zeros_like(grey)
    ink = torch.where(ink > floor, ink / top, 0.0).clamp(0, 1)
    parts, count = ndimage.label(ink.numpy() > FOREGROUND_THRESHOLD, structure=np.ones((3, 3)))
    if count > 1:
        mass = torch.from_numpy(ndimage.sum_labels(ink.numpy(), parts, np.arange(1, count + 1)))
        dust = torch.nonzero(mass < DUST_FRACTION * mass.max())[:, 0] + 1
        ink[torch.from_numpy(np.isin(parts, dust.numpy()))] = 0
        ink = ink / ink.max()
    return ink[None]


def _crop_foreground(ink: Tensor) -> Tensor:
    """Crop ink (1, H, W) to the bounding box of its foreground."""
    rows, columns = torch.nonzero(ink[0] > FOREGROUND_THRESHOLD, as_tuple=True)
    if not len(rows):
        return ink
    return ink[:, int(rows.min()) : int(rows.max()) + 1, int(columns.min()) : int(columns.max()) + 1]


def _fit_box(ink: Tensor, box: int) -> Tensor:
    """Crop ink (1, H, W) and resize it to fit a box, with its aspect ratio kept; not if it fits within one pixel."""
    ink = _crop_foreground(ink)
    if box - 1 <= max(ink.shape[1:]) <= box:
        return ink
    ratio = box / max(ink.shape[1:])
    return resize(ink, *(max(1, round(side * ratio)) for side in ink.shape[1:])).clamp(0, 1)


def _paste(ink: Tensor, size: int, top: int, left: int) -> Tensor:
    """Return a black image (1, 1, size, size) with ink pasted at a position, moved inside if necessary."""
    height, width = ink.shape[1:]
    top, left = min(max(top, 0), size - height), min(max(left, 0), size - width)
    canvas = torch.zeros(1, 1, size, size)
    canvas[0, :, top : top + height, left : left + width] = ink
    return canvas


def centred_digit(grey: Tensor, size: int = 28, box: int = 20) -> Tensor:
    """Normalise an image of one digit as in MNIST (LeCun et al., 1998, section III A).

    The digit is made light on black, cropped, resized to fit a box of 20x20 pixels and placed with its centre of mass
    at the centre of the 28x28 pixels: in the files of MNIST the middle of pixel 14, counted from 0.

    Args:
        grey: Image (1, H, W) in [0, 1] of either polarity.
        size: Side of the result in pixels.
        box: Side of the box of the digit in pixels. If equal to ``size``, the digit is centred by its bounding box, and
            an image of this size is not resized.

    Returns:
        Floats (1, 1, size, size) in [0, 1].
    """
    return place_digit(extract_ink(grey), size, box)


def place_digit(ink: Tensor, size: int, box: int) -> Tensor:
    """Crop, resize and centre the ink (1, H, W) of a digit, see ``centred_digit``: (1, 1, size, size)."""
    if box == size == ink.shape[1] == ink.shape[2]:
        return ink[None]
    ink = _fit_box(ink, box)
    height, width = ink.shape[1:]
    mass = ink.sum()
    if box == size or mass == 0:
        return _paste(ink, size, (size - height) // 2, (size - width) // 2)
    middle = size / 2 + 0.5
    top = round(middle - float((ink.sum((0, 2)) * (torch.arange(height) + 0.5)).sum() / mass))
    left = round(middle - float((ink.sum((0, 1)) * (torch.arange(width) + 0.5)).sum() / mass))
    return _paste(ink, size, top, left)


def upright_garment(grey: Tensor, size: int = 28) -> Tensor:
    """Normalise an image of a garment as in Fashion-MNIST (Xiao et al., 2017, section 2).

    The garment is made light on black, cropped, resized to fit the square with its aspect ratio kept, and centred. An
    image of 28x28 pixels is not resized.

    Args:
        grey: Image (1, H, W) in [0, 1] of either polarity.
        size: Side of the result in pixels.

    Returns:
        Floats (1, 1, size, size) in [0, 1].
    """
    ink = extract_ink(grey)
    if size == ink.shape[1] == ink.shape[2]:
        return ink[None]
    ink = _fit_box(ink, size)
    height, width = ink.shape[1:]
    return _paste(ink, size, (size - height) // 2, (size - width) // 2)
