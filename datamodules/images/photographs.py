"""Lossless reading and writing of users' images: all pixels, transparency and metadata."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from datamodules.images.reading import grey_levels, load_upright, open_image, reading_errors

WRITABLE_ENDINGS = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""Endings of the image files that can be written."""
_WITHOUT_ALPHA = (".bmp", ".jpeg", ".jpg")
_ORIENTATION, _X_RESOLUTION, _XMP = 274, 282, 700
# TIFF tags that describe the storage of the pixels, not the image.
_LAYOUT_RANGES = [
    *((254, 259), (262, 263), (277, 284), (290, 293), (296, 297), (320, 325), (332, 336), (338, 341), (512, 521)),
    (529, 532),
]
_LAYOUT = {tag for first, last in _LAYOUT_RANGES for tag in range(first, last + 1)}
_LAYOUT |= {266, 273, 301, 317, 330, 347, _XMP, 33723, 34377, 34675}


@dataclass(frozen=True)
class Photograph:
    """An image with transparency and metadata.

    Args:
        pixels: Floats (C, H, W) in [0, 1]; C is 1 for grey and 3 for colour.
        alpha: Opacity (H, W), uint8, 255 for opaque pixels; None for an opaque image.
        deep: Whether the grey levels have 16 bits or more; they are written with 16 bits.
        metadata: Metadata that are preserved: ``exif``, ``icc_profile``, ``dpi`` and ``xmp``, from PNG to PNG also
            ``text``, a dictionary, and from JPEG to JPEG also ``comment``.
    """

    pixels: Tensor
    alpha: np.ndarray | None = None
    deep: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)

    def to_bytes(self, pixels: Tensor, suffix: str) -> bytes:
        """Return the content of an image file with other pixels and the transparency and metadata of this image.

        Args:
            pixels: Floats (C, H, W) in [0, 1] of the same height and width; C is 1 or 3.
            suffix: Ending of the file, one of ``WRITABLE_ENDINGS`` in lower or upper case. JPEG and BMP have no
                transparency: the image is composited over white.
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
                background = Image.new("RGBA", image.size, "white")
                image = Image.alpha_composite(background, image.convert("RGBA")).convert("L" if grey else "RGB")
        buffer = io.BytesIO()
        format = Image.registered_extensions()[suffix]
        options = self._save_options(format)
        if pixels.shape[0] != self.pixels.shape[0]:
            options.pop("icc_profile", None)  # a grey colour profile does not apply to RGB, and vice versa
        if format in ("JPEG", "WEBP"):
            options["quality"] = 95  # the highest that Pillow recommends for JPEG
        image.save(buffer, format=format, **options)
        return buffer.getvalue()

    def _save_options(self, format: str) -> dict[str, Any]:
        """Return the metadata as options of Pillow's writer of a format."""
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
    """Read an image file of any size and mode. Colours are converted to RGB with 8 bits; grey levels keep their depth.

    Of a multi-picture JPEG file, as some cameras write, the first image is read.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is not a readable image, or holds several, such as frames or pages.
    """
    with reading_errors(str(path)), open_image(path) as opened:
        count = 1 if opened.format == "MPO" else getattr(opened, "n_frames", 1)
    if count > 1:
        raise ValueError(f"{path} has {count} pictures in it: expected a file with one")
    with reading_errors(str(path)):
        with open_image(path) as opened:
            image = load_upright(opened)
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
    """Return the metadata of a loaded file, except the orientation, which is applied to the pixels.

    Args:
        opened: The loaded file.
        upright: The image after the orientation was applied.
    """
    found = {key: upright.info[key] for key in ("comment", "dpi", "icc_profile", "xmp") if upright.info.get(key)}
    exif = opened.getexif()
    if opened.format == "TIFF":
        if _X_RESOLUTION not in exif:
            found.pop("dpi", None)  # a default of Pillow, not in the file
        for tag in _LAYOUT.intersection(exif):
            del exif[tag]
    if _ORIENTATION in exif:
        del exif[_ORIENTATION]
    if exif:
        found["exif"] = exif.tobytes()
    # These text chunks repeat EXIF and XMP, with the orientation.
    duplicates = ("Raw profile type", "XML:com.adobe.xmp")
    text = {key: value for key, value in getattr(opened, "text", {}).items() if not key.startswith(duplicates)}
    return {**found, "text": text} if text else found
