"""A user's pictures as they are: every pixel, and what else is in the file, from reading to writing."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from datamodules.images.reading import grey_levels, reading_errors

WRITABLE_ENDINGS = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""Endings of the picture files that can be written."""
_WITHOUT_ALPHA = (".bmp", ".jpeg", ".jpg")
_ORIENTATION, _X_RESOLUTION, _XMP = 274, 282, 700
# Tags of a TIFF file that say how its pixels are stored, and not what the picture is.
_LAYOUT_RANGES = [
    *((254, 259), (262, 263), (277, 284), (290, 293), (296, 297), (320, 325), (332, 336), (338, 341), (512, 521)),
    (529, 532),
]
_LAYOUT = {tag for first, last in _LAYOUT_RANGES for tag in range(first, last + 1)}
_LAYOUT |= {266, 273, 301, 317, 330, 347, _XMP, 33723, 34377, 34675}


@dataclass(frozen=True)
class Photograph:
    """A picture and what belongs to it.

    Args:
        pixels: Floats (C, H, W) in [0, 1]; C is 1 for grey and 3 for colour.
        alpha: Bytes (H, W), 255 where the picture is opaque; None if it is everywhere.
        deep: Whether the grey levels have 16 bits or more; 16 are written.
        metadata: What is written back as it was: ``exif``, ``icc_profile``, ``dpi`` and ``xmp``, from PNG to PNG the
            ``text``, a dictionary, and from JPEG to JPEG the ``comment``.
    """

    pixels: Tensor
    alpha: np.ndarray | None = None
    deep: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)

    def to_bytes(self, pixels: Tensor, suffix: str) -> bytes:
        """Return the content of an image file with other pixels and everything else as it was.

        Args:
            pixels: Floats (C, H, W) in [0, 1], of the same height and width; C is 1 or 3.
            suffix: Ending of the file, one of ``WRITABLE_ENDINGS``, in either case. JPEG and BMP know no transparency: what is
                transparent comes to lie on white.
        """
        suffix = suffix.lower()
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
        buffer = io.BytesIO()
        format = Image.registered_extensions()[suffix]
        options = self._save_options(format)
        if pixels.shape[0] != self.pixels.shape[0]:
            options.pop("icc_profile", None)  # a grey picture's profile does not fit a coloured one
        if format in ("JPEG", "WEBP"):
            options["quality"] = 95
        image.save(buffer, format=format, **options)
        return buffer.getvalue()

    def _save_options(self, format: str) -> dict[str, Any]:
        """Return the metadata as Pillow's writer of a format takes them."""
        kept = dict(self.metadata)
        xmp, text, comment = kept.pop("xmp", None), kept.pop("text", {}), kept.pop("comment", None)
        if format == "PNG":
            kept["pnginfo"] = PngInfo()
            for key, value in text.items():
                kept["pnginfo"].add_text(key, value)
            if xmp:
                kept["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode(errors="replace"))
        elif format == "TIFF" and xmp:
            exif = Image.Exif()
            exif.load(kept.get("exif", b""))
            exif[_XMP] = xmp
            kept["exif"] = exif
        elif format in ("JPEG", "WEBP") and xmp:
            kept["xmp"] = xmp
        if format == "JPEG" and comment:
            kept["comment"] = comment
        return kept


def read_photograph(path: str | Path) -> Photograph:
    """Read an image file of any size and mode, nothing of it lost but colours beyond RGB and 8 bits.

    Of the pictures that some cameras put into one JPEG file the first is read.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no picture that can be read, or several: an animation, or pages.
    """
    with reading_errors(str(path)), Image.open(path) as opened:
        count = 1 if opened.format == "MPO" else getattr(opened, "n_frames", 1)
    if count > 1:
        raise ValueError(f"{path} has {count} pictures in it: expected a file with one")
    with reading_errors(str(path)):
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened)
            metadata = _metadata(opened, image)
        if image.mode.startswith(("I", "F")):
            values, top = grey_levels(image)
            return Photograph(torch.from_numpy(values / top).clamp(0, 1)[None], None, True, metadata)
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


def _metadata(opened: Image.Image, upright: Image.Image) -> dict[str, Any]:
    """Return what a loaded file says about its picture, but for which way up it was."""
    found = {key: upright.info[key] for key in ("comment", "dpi", "icc_profile", "xmp") if upright.info.get(key)}
    exif = opened.getexif()
    if opened.format == "TIFF":
        if _X_RESOLUTION not in exif:
            found.pop("dpi", None)  # Pillow's answer where the file has none
        for tag in _LAYOUT.intersection(exif):
            del exif[tag]
    if _ORIENTATION in exif:
        del exif[_ORIENTATION]
    if exif:
        found["exif"] = exif.tobytes()
    # What other keys PNG has for EXIF and XMP would be a second answer, the way up included.
    own = ("Raw profile type", "XML:com.adobe.xmp")
    text = {key: value for key, value in getattr(opened, "text", {}).items() if not key.startswith(own)}
    return {**found, "text": text} if text else found
