"""A user's pictures, brought to what a model was trained on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from scipy import ndimage
from torch import Tensor

IMAGE_ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
WORKING_SIZE = 512
"""Longest side in pixels at which a photograph is searched for what is drawn on it."""


@contextmanager
def reading_errors(name: str) -> Iterator[None]:
    """Turn whatever reading a file as a picture raises into one line that names it.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no picture that can be read.
    """
    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(f"{name}: no such file; expected a picture") from None
    except IsADirectoryError:
        raise ValueError(f"{name} is a folder; expected a picture") from None
    except Exception as error:  # Pillow's readers raise whatever a damaged file leads them into
        raise ValueError(f"{name} is not a picture that can be read ({type(error).__name__})") from error


def open_image(source: str | Path | IO[bytes]) -> Image.Image:
    """Open an image file, its first picture if it has several, the way up that the file's metadata say."""
    with Image.open(source) as opened:
        image: Image.Image = ImageOps.exif_transpose(opened)
        image.load()
    return image


def read_image(
    source: str | Path | IO[bytes], mode: str = "L", *, name: str | None = None, paper: str = "white"
) -> Tensor:
    """Read an image file of any size and mode.

    The orientation in the file's metadata is followed, and 16-bit grey is kept exact.

    Args:
        source: The file, by path or opened.
        mode: ``"L"`` for grey or ``"RGB"``.
        name: What errors call the file; its path if None.
        paper: What transparent parts lie on: ``"white"``, or ``"contrast"`` for black under what is light.

    Returns:
        Floats (C, H, W) in [0, 1].

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no picture that can be read.
    """
    with reading_errors(name or str(source)):
        return _pixels(open_image(source), mode, paper)


def grey_levels(image: Image.Image) -> tuple[np.ndarray, float]:
    """Return the grey levels (H, W) of an image of more than 8 bits, and the level that is white.

    Whole numbers have 16 bits, or if that is too few 24 or 31; real ones are levels from 0 to 1, to 255 or to as many.
    """
    values = np.nan_to_num(np.asarray(image, dtype=np.float32))
    lightest = float(values.max(initial=0))
    # Only I;16 says how many bits it has; the wider modes hold whatever the file did.
    whites = [65535.0, 2.0**24 - 1, 2.0**31 - 1]
    if image.mode == "F":
        whites = [1.0, 255.0, *whites]
    return values, next((white for white in whites if lightest <= white), max(lightest, 1.0))


def _pixels(image: Image.Image, mode: str, paper: str) -> Tensor:
    """Return the pixels of an image as floats (C, H, W) in [0, 1]."""
    if image.mode.startswith(("I", "F")):
        values, top = grey_levels(image)
        grey = torch.from_numpy(values / top).clamp(0, 1)[None]
        return grey if mode == "L" else grey.expand(3, -1, -1).clone()
    if image.has_transparency_data:
        image = image.convert("RGBA")
        colour = "white"
        if paper == "contrast":
            cover = np.asarray(image.getchannel("A"), dtype=np.float64)
            light = float((np.asarray(image.convert("L")) * cover).sum()) > 127.5 * float(cover.sum())
            colour = "black" if light and cover.min() < 128 else "white"
        image = Image.alpha_composite(Image.new("RGBA", image.size, colour), image)
    pixels = torch.from_numpy(np.array(image.convert(mode)))
    return (pixels[None] if mode == "L" else pixels.permute(2, 0, 1)).float() / 255


def resize_center_crop(picture: Tensor, size: int) -> Tensor:
    """Resize a picture (C, H, W) until its shorter side has ``size`` pixels and cut the middle out: (C, size, size)."""
    height, width = picture.shape[1:]
    ratio = size / min(height, width)
    height, width = max(size, round(height * ratio)), max(size, round(width * ratio))
    if (height, width) != picture.shape[1:]:
        picture = _resize(picture, height, width).clamp(0, 1)
    top, left = (height - size) // 2, (width - size) // 2
    return picture[:, top : top + size, left : left + size]


def _resize(x: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(x[None], (height, width), mode="bilinear", antialias=True, align_corners=False)[0]


def _background(grey: Tensor) -> tuple[Tensor, float]:
    """Fit a plane to the border of a picture (H, W), for light falls on paper unevenly.

    What is drawn may touch the border, so the plane is that of the six tenths of the border that lie nearest to it.

    Returns:
        The plane (H, W) and the standard deviation of the noise about it.
    """
    height, width = grey.shape
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    design = torch.stack([torch.ones_like(grey), rows, columns], -1)
    edge = max(1, min(height, width) // 20)
    border = torch.ones(height, width, dtype=torch.bool)
    border[edge : height - edge, edge : width - edge] = False
    points, values = design[border], grey[border]
    residuals = (values - values.median()).abs()
    plane = torch.stack([values.median(), torch.tensor(0.0), torch.tensor(0.0)])
    if min(height, width) > 2:
        for _ in range(10):
            near = residuals <= residuals.quantile(0.6) + 1e-6
            plane = torch.linalg.lstsq(points[near], values[near, None], driver="gelsd").solution[:, 0]
            residuals = (values - points @ plane).abs()
    return design @ plane, 1.4826 * float(residuals.median())


def extract_ink(grey: Tensor) -> Tensor:
    """Return how much each pixel of a grey picture stands out from its background, from 0 to 1 (its most).

    The background, an even light or a slope, is taken away, the noise on it too, and so are specks of dust. Whether
    the picture is light on dark or dark on light makes no difference.

    Args:
        grey: ImageFile (1, H, W) in [0, 1].

    Returns:
        Floats (1, H, W) in [0, 1]; zeros if nothing stands out.
    """
    longest = max(grey.shape[1:])
    if longest > WORKING_SIZE:
        grey = _resize(grey, *(max(1, round(side * WORKING_SIZE / longest)) for side in grey.shape[1:]))
    background, noise = _background(grey[0])
    ink = grey[0] - background
    if -ink.min() > ink.max():
        ink = -ink
    floor = 4 * noise if noise > 0.004 else 0.0
    top = float(ink.max())
    if top - floor < 0.02:
        return torch.zeros_like(grey)
    ink = torch.where(ink > floor, ink / top, 0.0).clamp(0, 1)
    parts, count = ndimage.label(ink.numpy() > 0.1, structure=np.ones((3, 3)))
    if count > 1:
        mass = torch.from_numpy(ndimage.sum_labels(ink.numpy(), parts, np.arange(1, count + 1)))
        dust = torch.nonzero(mass < 0.01 * mass.max())[:, 0] + 1
        ink[torch.from_numpy(np.isin(parts, dust.numpy()))] = 0
        ink = ink / ink.max()
    return ink[None]


def _crop_foreground(ink: Tensor) -> Tensor:
    """Cut ink (1, H, W) down to what is stronger than a tenth."""
    rows, columns = torch.nonzero(ink[0] > 0.1, as_tuple=True)
    if not len(rows):
        return ink
    return ink[:, int(rows.min()) : int(rows.max()) + 1, int(columns.min()) : int(columns.max()) + 1]


def _fit_box(ink: Tensor, box: int) -> Tensor:
    """Resize ink (1, H, W) to fit a box, its aspect kept; what is within a pixel of fitting stays as it is."""
    ink = _crop_foreground(ink)
    if box - 1 <= max(ink.shape[1:]) <= box:
        return ink
    ratio = box / max(ink.shape[1:])
    return _resize(ink, *(max(1, round(side * ratio)) for side in ink.shape[1:])).clamp(0, 1)


def _paste(ink: Tensor, size: int, top: int, left: int) -> Tensor:
    height, width = ink.shape[1:]
    top, left = min(max(top, 0), size - height), min(max(left, 0), size - width)
    canvas = torch.zeros(1, 1, size, size)
    canvas[0, :, top : top + height, left : left + width] = ink
    return canvas


def centred_digit(grey: Tensor, size: int = 28, box: int = 20) -> Tensor:
    """Bring a picture of one digit to MNIST's form (LeCun et al., 1998, section III A).

    The digit is made light on black, cut out, fitted into a box of 20x20 pixels and placed so that its centre of mass
    is the centre of the 28x28 pixels: in MNIST's files the middle of pixel 14, counted from 0.

    Args:
        grey: ImageFile (1, H, W) in [0, 1] of either polarity.
        size: Side of the result in pixels.
        box: Side of the box that holds the digit; where it is all of the result, the digit stands in the middle,
            and a picture of this size is not resized.

    Returns:
        Floats (1, 1, size, size) in [0, 1].
    """
    ink = extract_ink(grey)
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
    """Bring a picture of a garment to Fashion-MNIST's form (Xiao et al., 2017, section 2).

    The garment is made light on black, cut out, fitted into the whole square, its aspect kept, and centred. A picture
    of 28x28 pixels is not resized.

    Args:
        grey: ImageFile (1, H, W) in [0, 1] of either polarity.
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
