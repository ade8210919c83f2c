"""Pictures too large to decode, and files of other formats under a picture's name, are refused before decoding."""

import io
import os
import struct
import tracemalloc
import warnings
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

import zoo
from datamodules import ImageFolderDataModule
from datamodules.images.photographs import read_photograph
from datamodules.images.reading import IMAGE_ENDINGS, IMAGE_FORMATS, LARGEST_PIXELS, open_image, read_image

SIZES = ((10_001, 10_000), (14_000, 14_000), (65_500, 65_500))
"""Sizes of which Pillow accepts none, warns of some and refuses others."""


def png(width, height, colour=6):
    """Return a PNG file of any size whose pixels are missing."""
    chunks = {b"IHDR": struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0), b"IDAT": zlib.compress(bytes(1000))}
    parts = [
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in {**chunks, b"IEND": b""}.items()
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff(width, height, tile_width, tile_height):
    """Return a tiled TIFF file of any size."""
    data = zlib.compress(bytes(1000))
    tags = {256: width, 257: height, 258: 8, 259: 8, 262: 1, 277: 1, 322: tile_width, 323: tile_height, 324: 8}
    tags[325] = len(data)
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", t, 4, 1, v) for t, v in tags.items())
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory + bytes(4)


def first_of(*files):
    """Return the content of a file of several pages or frames."""
    buffer = io.BytesIO()
    files[0].save(buffer, "tiff", save_all=True, append_images=files[1:])
    return buffer.getvalue()


BOMBS = {f"{w} x {h}.png": png(w, h) for w, h in SIZES}
BOMBS |= {"grey.png": png(30_000, 10_000, 0), "image.tif": tiff(20_000, 20_000, 256, 256)}
BOMBS |= {"tile.tif": tiff(16, 16, 40_000, 40_000), "gif.gif": b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0)}
BOMBS["bmp.bmp"] = b"BM" + struct.pack("<IHHIIiiHHIIiiII", 100, 0, 0, 54, 40, 30_000, 30_000, 1, 24, 0, 0, 0, 0, 0, 0)
BOMBS["ppm.ppm"] = b"P6 20000 20000 255\n"


@pytest.mark.parametrize("filters", ["error", "default"])
@pytest.mark.parametrize("name", BOMBS)
def test_a_picture_of_too_many_pixels_is_one_line_before_decoding(name, filters, tmp_path):
    path = tmp_path / name
    path.write_bytes(BOMBS[name])
    for read in (read_image, read_photograph):
        tracemalloc.start()
        with warnings.catch_warnings(record=filters == "default") as caught:
            warnings.simplefilter(filters)
            with pytest.raises(ValueError, match=rf"{path.name} (has more than 100,000,000 pixels|is not a)") as error:
                read(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert "pixels" in str(error.value) or name == "gif.gif"  # a GIF file without a frame
        assert "\n" not in str(error.value)
        assert not caught
        assert peak < 2**24


def test_a_picture_just_below_the_limit_is_read_without_a_warning(tmp_path):
    (tmp_path / "a.png").write_bytes(png(10_000, 10_000))
    with warnings.catch_warnings(), open_image(tmp_path / "a.png") as opened:
        warnings.simplefilter("error")
        assert opened.size == (10_000, 10_000)
    assert LARGEST_PIXELS == 10**8


@pytest.mark.parametrize("recipe", ["denoising_autoencoder.mnist", "colorizer.cifar10_jpeg_lab", "cnn.mnist"])
def test_predict_refuses_it(recipe, tmp_path):
    (tmp_path / "a.png").write_bytes(png(14_000, 14_000))
    output = None if recipe == "cnn.mnist" else tmp_path / "out.png"
    for source in (tmp_path / "a.png", (tmp_path / "a.png").read_bytes()):
        with pytest.raises(ValueError, match="more than 100,000,000 pixels"):
            zoo.predict(recipe, source, output)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_predict_refuses_it_as_a_mask(tmp_path):
    (tmp_path / "mask.png").write_bytes(png(14_000, 14_000))
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"mask\.png has more than"):
        zoo.predict(
            "inpainting_autoencoder.fashion_mnist", [tmp_path / "a.png", tmp_path / "mask.png"], tmp_path / "o.png"
        )


@pytest.mark.parametrize("zipped", [True, False])
def test_training_data_with_one_are_refused(zipped, tmp_path):
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, "png")
    files = {f"{folder}/{k}.png": buffer.getvalue() for folder in "ab" for k in range(4)} | {
        "a/0.png": png(14_000, 9_000)
    }
    root = tmp_path / ("pictures.zip" if zipped else "pictures")
    if zipped:
        with zipfile.ZipFile(root, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    else:
        for name, content in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"a/0\.png has more than 100,000,000 pixels"):
        ImageFolderDataModule(root=str(root), batch_size=1).setup()


def test_a_file_of_several_pages_is_read_no_further_than_the_first(tmp_path):
    path = tmp_path / "pages.tif"
    path.write_bytes(first_of(Image.new("L", (8, 9)), Image.new("L", (4000, 4000))))
    assert read_image(path).shape == (1, 9, 8)
    with pytest.raises(ValueError, match="has 2 pictures in it"):
        read_photograph(path)


@pytest.mark.parametrize("content", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 28 28\n%%EndComments\n", b"PSD"])
def test_other_formats_are_not_opened_whatever_their_name(content, tmp_path, monkeypatch):
    from PIL import EpsImagePlugin

    def interpreter(*_, **__):
        raise AssertionError("the interpreter was started")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", interpreter)
    path = tmp_path / "digit.png"
    path.write_bytes(content + bytes(100))
    for read in (read_image, read_photograph):
        with pytest.raises(ValueError, match=r"digit\.png is not a picture that can be read"):
            read(path)


def test_every_ending_is_of_a_format_that_is_read(tmp_path):
    Image.init()
    assert {Image.registered_extensions()[ending] for ending in IMAGE_ENDINGS} <= set(IMAGE_FORMATS)
    for ending in IMAGE_ENDINGS:
        level = np.float32(0.5) if ending == ".pfm" else np.uint8(128)
        Image.fromarray(np.full((5, 6), level)).convert("1" if ending == ".pbm" else None).save(tmp_path / f"x{ending}")
        assert read_image(tmp_path / f"x{ending}").shape == (1, 5, 6)


def test_what_is_no_regular_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for read in (read_image, read_photograph):
        with pytest.raises(ValueError, match=r"pipe\.png is not a picture"):
            read(tmp_path / "pipe.png")
        with pytest.raises(ValueError, match="is a folder"):
            read(tmp_path)
