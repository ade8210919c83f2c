"""A user's pictures, brought to what a model was trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

PICTURE_ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp")


def read_picture(path: str | Path, mode: str = "L") -> Tensor:
    """Read an image file of any size and mode.

    Transparent parts lie on white, the orientation in the file's metadata is followed, and 16-bit grey is kept exact.

    Args:
        path: The file.
        mode: ``"L"`` for grey or ``"RGB"``.

    Returns:
        Floats (C, H, W) in [0, 1].

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no picture that can be read.
    """
    try:
        with Image.open(path) as opened:
            image: Image.Image = ImageOps.exif_transpose(opened)
            image.load()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file; expected a picture") from None
    except IsADirectoryError:
        raise ValueError(f"{path} is a folder; expected a picture") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} is not a picture that can be read ({type(error).__name__})") from error
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image, dtype=np.float32)
        top = 65535.0 if values.max(initial=0) > 255 else 255.0
        grey = torch.from_numpy(values / top).clamp(0, 1)[None]
        return grey if mode == "L" else grey.expand(3, -1, -1).clone()
    if image.has_transparency_data:
        image = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image)
    pixels = torch.from_numpy(np.array(image.convert(mode)))
    return (pixels[None] if mode == "L" else pixels.permute(2, 0, 1)).float() / 255


def light_on_dark(grey: Tensor) -> Tensor:
    """Invert a grey picture (1, H, W) whose border is lighter than its middle value of darkest and lightest."""
    border = torch.cat([grey[:, 0].flatten(), grey[:, -1].flatten(), grey[:, :, 0].flatten(), grey[:, :, -1].flatten()])
    return 1 - grey if border.median() > (grey.min() + grey.max()) / 2 else grey


def _stretch(grey: Tensor) -> Tensor:
    low, high = grey.min(), grey.max()
    return (grey - low) / (high - low) if high - low > 0.02 else torch.zeros_like(grey)


def _resize(x: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(x[None], (height, width), mode="bilinear", antialias=True, align_corners=False)[0]


def _cropped(grey: Tensor) -> Tensor:
    """Cut a light-on-dark picture (1, H, W) down to what is lighter than a fifth."""
    rows, columns = torch.nonzero(grey[0] > 0.2, as_tuple=True)
    if not len(rows):
        return grey
    return grey[:, int(rows.min()) : int(rows.max()) + 1, int(columns.min()) : int(columns.max()) + 1]


def _boxed(ink: Tensor, size: int, box: int) -> tuple[Tensor, int, int]:
    """Resize to fit a box, its aspect kept, and return it with the place where it is centred in ``size``."""
    ratio = box / max(ink.shape[1:])
    height, width = (max(1, round(side * ratio)) for side in ink.shape[1:])
    return _resize(ink, height, width).clamp(0, 1), (size - height) // 2, (size - width) // 2


def _placed(ink: Tensor, size: int, top: int, left: int) -> Tensor:
    height, width = ink.shape[1:]
    top, left = min(max(top, 0), size - height), min(max(left, 0), size - width)
    canvas = torch.zeros(1, 1, size, size)
    canvas[0, :, top : top + height, left : left + width] = ink
    return canvas


def centred_digit(grey: Tensor, size: int = 28, box: int = 20) -> Tensor:
    """Bring a picture of one digit to MNIST's form (LeCun et al., 1998, section III A).

    The digit is made light on black, cut out, fitted into a box of 20x20 pixels and placed so that its centre of mass
    is the centre of the 28x28 pixels.

    Args:
        grey: Picture (1, H, W) in [0, 1] of either polarity.
        size: Side of the result in pixels.
        box: Side of the box that holds the digit.

    Returns:
        Floats (1, 1, size, size) in [0, 1].
    """
    ink, top, left = _boxed(_cropped(_stretch(light_on_dark(grey))), size, box)
    mass = ink.sum()
    if box < size and mass > 0:
        top = round(size / 2 - float((ink.sum((0, 2)) * (torch.arange(ink.shape[1]) + 0.5)).sum() / mass))
        left = round(size / 2 - float((ink.sum((0, 1)) * (torch.arange(ink.shape[2]) + 0.5)).sum() / mass))
    return _placed(ink, size, top, left)


def upright_garment(grey: Tensor, size: int = 28) -> Tensor:
    """Bring a picture of a garment to Fashion-MNIST's form (Xiao et al., 2017, section 2).

    The garment is made light on black, cut out, fitted into the whole square, its aspect kept, and centred.

    Args:
        grey: Picture (1, H, W) in [0, 1] of either polarity.
        size: Side of the result in pixels.

    Returns:
        Floats (1, 1, size, size) in [0, 1].
    """
    ink, top, left = _boxed(_cropped(_stretch(light_on_dark(grey))), size, size)
    return _placed(ink, size, top, left)
