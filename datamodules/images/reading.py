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
        heif = name.lower().endswith(HEIF_ENDINGS) and "HEIF" not in Image.OPEN
        hint = "; pip install pillow-heif reads it" if heif else ""
        raise ValueError(f"{name} is not a picture that can be read ({type(error).__name__}){hint}") from error


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
        image = resize(image, height, width).clamp(0, 1)
    top, left = (height - size) // 2, (width - size) // 2
    return image[:, top : top + size, left : left + size]


def resize(x: Tensor, height: int, width: int) -> Tensor:
    """Return images (C, H, W) resized with antialiasing, bilinear."""
    return F.interpolate(x[None], (height, width), mode="bilinear", antialias=True, align_corners=False)[0]
