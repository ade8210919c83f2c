"""A user's pictures as they are: every pixel, and what else is in the file, from reading to writing."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from datamodules.pictures import as_picture_error, levels_of, open_image

WRITTEN = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""Endings of the picture files that can be written."""
_WITHOUT_ALPHA = (".bmp", ".jpeg", ".jpg")


@dataclass(frozen=True)
class Photograph:
    """A picture and what belongs to it.

    Args:
        pixels: Floats (C, H, W) in [0, 1]; C is 1 for grey and 3 for colour.
        alpha: Bytes (H, W), 255 where the picture is opaque; None if it is everywhere.
        deep: Whether the grey levels have 16 bits.
        metadata: What is written back as it was: ``exif``, ``icc_profile`` and ``dpi``.
    """

    pixels: Tensor
    alpha: np.ndarray | None = None
    deep: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)

    def to_bytes(self, pixels: Tensor, suffix: str) -> bytes:
        """Return the content of an image file with other pixels and everything else as it was.

        Args:
            pixels: Floats (C, H, W) in [0, 1], of the same height and width; C is 1 or 3.
            suffix: Ending of the file, one of ``WRITTEN``. JPEG and BMP know no transparency: what is transparent
                comes to lie on white.
        """
        planes = pixels.clamp(0, 1).permute(1, 2, 0).numpy()
        grey = planes.shape[2] == 1
        if self.deep and grey and self.alpha is None and suffix in (".png", ".tif", ".tiff"):
            image = Image.fromarray(np.round(planes[..., 0] * 65535).astype(np.uint16))
        else:
            levels = np.round(planes * 255).astype(np.uint8)
            image = Image.fromarray(levels[..., 0] if grey else levels)
        if self.alpha is not None:
            image.putalpha(Image.fromarray(self.alpha))
            if suffix in _WITHOUT_ALPHA:
                paper = Image.new("RGBA", image.size, "white")
                image = Image.alpha_composite(paper, image.convert("RGBA")).convert("L" if grey else "RGB")
        kept = dict(self.metadata)
        if pixels.shape[0] != self.pixels.shape[0]:
            kept.pop("icc_profile", None)  # a grey picture's profile does not fit a coloured one
        buffer = io.BytesIO()
        format = Image.registered_extensions()[suffix]
        options = {"JPEG": {"quality": 95}, "WEBP": {"quality": 95}}.get(format, {})
        image.save(buffer, format=format, **options, **kept)
        return buffer.getvalue()


def read_photograph(path: str | Path) -> Photograph:
    """Read an image file of any size and mode, nothing of it lost but colours beyond RGB and 8 bits.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no picture that can be read.
    """
    with as_picture_error(str(path)):
        image = open_image(path)
        metadata = {key: image.info[key] for key in ("icc_profile", "dpi") if image.info.get(key)}
        exif = image.getexif()
        if exif:
            metadata["exif"] = exif.tobytes()
        if image.mode.startswith(("I", "F")):
            values, top = levels_of(image)
            return Photograph(torch.from_numpy(values / top).clamp(0, 1)[None], None, top > 255, metadata)
        alpha = None
        if image.has_transparency_data:
            image = image.convert("LA" if image.mode == "LA" else "RGBA")
            alpha = np.array(image.getchannel("A"))
        grey = image.mode in ("1", "L", "LA")
        if image.mode in ("CMYK", "LAB", "YCbCr"):
            metadata.pop("icc_profile", None)
        levels = torch.from_numpy(np.array(image.convert("L" if grey else "RGB")))
        pixels = (levels[None] if grey else levels.permute(2, 0, 1)).float() / 255
    return Photograph(pixels, alpha, False, metadata)
