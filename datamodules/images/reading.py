"""Reading of users' images and their conversion to the format of the training images."""

from __future__ import annotations

import contextlib
import importlib
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import TILELENGTH, TILEWIDTH
from scipy import ndimage
from torch import Tensor

IMAGE_FORMATS = ("AVIF", "BMP", "GIF", "HEIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""Formats of image files that are read. Pillow would give a PostScript file, whatever its name, to an interpreter."""
HEIF_ENDINGS = (".heic", ".heif", ".hif")
"""Endings of the image files that are read where pillow-heif is installed."""


def _image_endings() -> tuple[str, ...]:
    """Return the endings of the files of ``IMAGE_FORMATS`` that Pillow can read here."""
    with contextlib.suppress(ImportError):
        importlib.import_module("pillow_heif").register_heif_opener()
    Image.init()
    endings = Image.registered_extensions().items()
    return tuple(sorted(ending for ending, name in endings if name in IMAGE_FORMATS and name in Image.OPEN))


IMAGE_ENDINGS = _image_endings()
"""Endings of the image files that are read from folders."""
LARGEST_PIXELS = 100_000_000
"""Largest number of pixels of an image, whose restoration takes gigabytes. Set by hand."""
TOO_LARGE = f"has more than {LARGEST_PIXELS:,} pixels, the most that are read; reduce it first"
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
MIN_CONTRAST = 0.02
"""Contrast below which an image has no foreground, about five grey levels of 255. Set by hand."""
FOREGROUND_THRESHOLD = 0.1
"""Strength above which a pixel is part of a connected component or of the bounding box. Set by hand."""
DUST_FRACTION = 0.01
"""Mass of a connected component, relative to the largest, below which it is removed as dust. Set by hand."""

_OPENING = threading.Lock()  # filters of warnings belong to the process, not to a thread


class PictureError(ValueError):
    """Why a picture is not read, in words that follow the name of its file."""


@contextmanager
def reading_errors(name: str) -> Iterator[None]:
    """Convert any exception raised while reading an image file to a one-line error that names the file.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is not a readable image.
    """
    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(f"{name}: no such file; expected a picture") from None
    except IsADirectoryError:
        raise ValueError(f"{name} is a folder; expected a picture") from None
    except PictureError as error:
        raise ValueError(f"{name} {error}") from None
    except Exception as error:  # Pillow raises exceptions of many types for damaged files
        raise ValueError(f"{name} is not a picture that can be read ({type(error).__name__})") from error


@contextmanager
def open_image(source: str | Path | IO[bytes]) -> Iterator[Image.Image]:
    """Open an image file of one of ``IMAGE_FORMATS`` and of at most ``LARGEST_PIXELS``; its pixels are not decoded yet.

    Raises:
        PictureError: If it has more pixels; ``reading_errors`` adds the name of the file.
    """
    if isinstance(source, (str, Path)) and os.path.exists(source) and not os.path.isfile(source):
        raise IsADirectoryError if os.path.isdir(source) else OSError("not a regular file")
    formats = [name for name in IMAGE_FORMATS if name in Image.OPEN]
    with _OPENING, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # Pillow's limit is another
        try:
            opened = Image.open(source, formats=formats)
        except Image.DecompressionBombError:
            raise PictureError(TOO_LARGE) from None
    with opened:
        tags = getattr(opened, "tag_v2", {})  # a tile of a TIFF file is decoded whole
        if max(opened.width * opened.height, tags.get(TILEWIDTH, 0) * tags.get(TILELENGTH, 0)) > LARGEST_PIXELS:
            raise PictureError(TOO_LARGE)
        yield opened


def load_upright(opened: Image.Image) -> Image.Image:
    """Decode an opened image, or its first frame, and apply the orientation of its metadata."""
    image: Image.Image = ImageOps.exif_transpose(opened)
    image.load()
    return image


def read_image(
    source: str | Path | IO[bytes], mode: str = "L", *, name: str | None = None, paper: str = "white"
) -> Tensor:
    """Read an image file of any size and mode.

    The orientation of the metadata is applied, and grey levels of 16 bits are read exactly.

    Args:
        source: Path of the file, or an open file.
        mode: ``"L"`` for grey or ``"RGB"``.
        name: Name of the file in error messages; ``source`` if None.
        paper: Background of transparent pixels: ``"white"``, or ``"contrast"`` for black behind light images.

    Returns:
        Floats (C, H, W) in [0, 1].

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is not a readable image.
    """
    with reading_errors(name or str(source)):
        with open_image(source) as opened:
            image = load_upright(opened)
        return _pixels(image, mode, paper)


def grey_levels(image: Image.Image) -> tuple[np.ndarray, float]:
    """Return the grey levels (H, W) of an image of more than 8 bits, and the level of white.

    White is the smallest of 2^16 - 1, 2^24 - 1 and 2^31 - 1 that no level exceeds; for floats also 1 and 255.

    Raises:
        PictureError: If a level is not finite.
    """
    values = np.asarray(image, dtype=np.float32)
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise PictureError(f"has a pixel of {values[row, column]} in row {row + 1}, column {column + 1}")
    lightest = float(values.max(initial=0))
    # Only mode I;16 implies a bit depth; the wider modes hold levels of any depth.
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
            opacity = np.asarray(image.getchannel("A"), dtype=np.float64)
            light = float((np.asarray(image.convert("L")) * opacity).sum()) > 127.5 * float(opacity.sum())
            colour = "black" if light and opacity.min() < 128 else "white"
        image = Image.alpha_composite(Image.new("RGBA", image.size, colour), image)
    if image.mode == "LAB":
        image = image.convert("RGB")  # Pillow converts it to nothing else
    pixels = torch.from_numpy(np.array(image.convert(mode)))
    return (pixels[None] if mode == "L" else pixels.permute(2, 0, 1)).float() / 255


def resize_center_crop(image: Tensor, size: int) -> Tensor:
    """Resize the shorter side of an image (C, H, W) to ``size`` pixels and crop the centre: (C, size, size)."""
    height, width = image.shape[1:]
    ratio = size / min(height, width)
    height, width = max(size, round(height * ratio)), max(size, round(width * ratio))
    if (height, width) != image.shape[1:]:
        image = _resize(image, height, width).clamp(0, 1)
    top, left = (height - size) // 2, (width - size) // 2
    return image[:, top : top + size, left : left + size]


def _resize(x: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(x[None], (height, width), mode="bilinear", antialias=True, align_corners=False)[0]


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


def extract_ink(grey: Tensor) -> Tensor:
    """Return the ink, the foreground strength of each pixel of a grey image: 0 for background, 1 for the strongest.

    The background, a constant or a linear gradient, is subtracted; noise and small components (dust) are removed. The
    result does not depend on the polarity, light on dark or dark on light.

    Args:
        grey: Image (1, H, W) in [0, 1]. If its longest side is above ``WORKING_SIZE`` it is reduced to that.

    Returns:
        Floats (1, H, W) in [0, 1], zeros without foreground.
    """
    longest = max(grey.shape[1:])
    if longest > WORKING_SIZE:
        grey = _resize(grey, *(max(1, round(side * WORKING_SIZE / longest)) for side in grey.shape[1:]))
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
    return _resize(ink, *(max(1, round(side * ratio)) for side in ink.shape[1:])).clamp(0, 1)


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
