"""A user's pictures of any kind come back as the data sets would show them."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import center_of_mass as centre_of_mass

from datamodules import DigitsDataModule
from datamodules.images.foreground import centred_digit, extract_ink, upright_garment
from datamodules.images.reading import read_image, resize_center_crop


def stroke():
    """A made-up digit in MNIST's form: a thick 7, 20 pixels high, its mass about pixel 14."""
    drawing = np.zeros((20, 14), np.float32)
    drawing[:4] = 1
    for row in range(4, 20):
        column = 10 - round((row - 4) * 0.4)
        drawing[row, column : column + 4] = 1
    padded = np.pad(drawing, 1)
    soft = sum(padded[1 + i : 21 + i, 1 + j : 15 + j] for i in (-1, 0, 1) for j in (-1, 0, 1)) / 9
    return centred_digit(torch.from_numpy(np.pad(np.maximum(drawing, soft), 30))[None])[0, 0].numpy()


def photo(digit, width=300, height=200, side=140, right=0, down=0):
    """The digit as a large picture, white on black, floats (height, width)."""
    grown = Image.fromarray((digit * 255).astype(np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    canvas = Image.new("L", (width, height))
    canvas.paste(grown, ((width - side) // 2 + right, (height - side) // 2 + down))
    return np.asarray(canvas, dtype=np.float32) / 255


def bytes_of(values):
    return Image.fromarray((np.clip(values, 0, 1) * 255).round().astype(np.uint8))


def transparent(ink, level):
    return Image.fromarray(np.dstack([np.full((*ink.shape, 3), level, np.uint8), (ink * 255).astype(np.uint8)]))


def slope(ink):
    return np.linspace(0.6, 1, ink.shape[1], dtype=np.float32)[None] * (1 - 0.8 * ink)


RENDERINGS = {
    "white on black": lambda ink: bytes_of(ink),
    "black on white": lambda ink: bytes_of(1 - ink),
    "colour": lambda ink: bytes_of(1 - ink).convert("RGB"),
    "cmyk": lambda ink: bytes_of(1 - ink).convert("CMYK"),
    "palette": lambda ink: bytes_of(1 - ink).convert("RGB").convert("P", palette=Image.Palette.ADAPTIVE, colors=16),
    "black on transparent": lambda ink: transparent(ink, 0),
    "white on transparent": lambda ink: transparent(ink, 255),
    "16 bits": lambda ink: Image.fromarray(((1 - ink) * 65535).astype(np.uint16)),
    "faint": lambda ink: bytes_of(0.7 - 0.25 * ink),
    "uneven light": lambda ink: bytes_of(slope(ink)),
    "noise": lambda ink: bytes_of(0.85 - 0.8 * ink + np.random.default_rng(0).normal(0, 0.03, ink.shape)),
}


def as_file(image, folder):
    path = folder / f"picture.{'tif' if image.mode == 'CMYK' else 'png'}"
    image.save(path)
    return path


@pytest.mark.parametrize("place", [{}, {"right": 70, "down": -25}, {"width": 1600, "height": 900, "right": -300}])
@pytest.mark.parametrize("rendering", RENDERINGS)
def test_a_photographed_digit_comes_back_as_it_was(rendering, place, tmp_path):
    digit = stroke()
    path = as_file(RENDERINGS[rendering](photo(digit, **place)), tmp_path)
    found = centred_digit(read_image(path, paper="contrast"))
    assert found.shape == (1, 1, 28, 28)
    assert found.dtype == torch.float32
    # A centre of mass between two pixels may be rounded either way.
    shifted = [np.roll(found[0, 0].numpy(), (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    assert min(np.abs(picture - digit).mean() for picture in shifted) < 0.035
    assert all(abs(a - b) < 0.75 for a, b in zip(centre_of_mass(found[0, 0].numpy()), (14, 14), strict=True))
    assert np.abs(digit.T - digit).mean() > 0.1, "the measure can tell one shape from another"


def test_sixteen_bits_are_not_taken_for_eight(tmp_path):
    path = as_file(Image.fromarray((photo(stroke()) * 200).astype(np.uint16)), tmp_path)
    assert float(read_image(path).max()) == pytest.approx(200 / 65535)


@pytest.mark.parametrize("invert", [False, True])
def test_a_picture_in_the_form_already_stays_as_it_is(invert):
    digit = torch.from_numpy(stroke())[None]
    assert (centred_digit(1 - digit if invert else digit)[0] - digit).abs().max() < 0.11
    assert (centred_digit(1 - digit if invert else digit)[0] - digit).abs().mean() < 0.002


@pytest.mark.parametrize("invert", [False, True])
def test_digits_of_eight_pixels_stay_as_they_are(invert, tmp_path):
    data = DigitsDataModule()
    images = data.load()["test"].tensors[0][:20, 0] * 15
    for image in images.numpy():
        Image.fromarray(255 - image if invert else image).save(tmp_path / "digit.png")
        found = data.read(str(tmp_path / "digit.png"))
        assert found.shape == (1, 1, 8, 8)
        expected = torch.from_numpy(image).float() / image.max()
        assert (found[0, 0] - expected).abs().mean() < 0.02


def test_digits_are_centred_by_their_mass():
    ink = torch.zeros(1, 60, 60)
    ink[:, 5:45, 40:46] = 1
    ink[:, 40:45, 20:46] = 1
    found = centred_digit(ink)[0, 0]
    assert centre_of_mass(found.numpy()) == pytest.approx((14, 14), abs=0.51)
    assert int((found.amax(1) > 0.1).sum()) == 20


def test_garments_fill_the_square():
    picture = torch.ones(1, 120, 200)
    picture[:, 30:90, 20:60] = 0.3
    found = upright_garment(picture)[0, 0]
    rows, columns = torch.nonzero(found > 0.5, as_tuple=True)
    assert (int(rows.min()), int(rows.max())) == (0, 27)
    assert int(columns.max()) - int(columns.min()) + 1 == pytest.approx(28 * 40 / 60, abs=1)
    assert abs(int(columns.min()) + int(columns.max()) - 27) <= 1


def test_dust_moves_nothing_but_a_second_stroke_stays():
    picture = torch.zeros(1, 100, 100)
    picture[:, 30:70, 40:60] = 1
    clean = centred_digit(picture)
    dusty = picture.clone()
    dusty[:, 2, 2] = 1
    assert torch.equal(centred_digit(dusty), clean)
    dusty[:, 2:10, 40:50] = 1
    assert not torch.equal(centred_digit(dusty), clean)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 2), (3, 700), (30, 30)])
def test_empty_and_tiny_pictures_give_finite_answers(shape):
    for level in (0.0, 0.5, 1.0):
        blank = torch.full((1, *shape), level)
        assert not extract_ink(blank).any()
        for form in (centred_digit, upright_garment):
            assert form(blank).shape == (1, 1, 28, 28)
            assert not form(blank).any()
    assert torch.isfinite(centred_digit(torch.rand(1, *shape))).all()


def test_transparent_parts_are_white_and_colours_stay(tmp_path):
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[0, 0] = (255, 0, 0, 255)
    Image.fromarray(pixels).save(tmp_path / "red.png")
    red = read_image(tmp_path / "red.png", "RGB")
    assert red.shape == (3, 4, 4)
    assert red[:, 0, 0].tolist() == [1, 0, 0]
    assert (red[:, 1:] == 1).all()


def test_orientation_in_the_metadata_is_followed(tmp_path):
    image = Image.fromarray(np.tile(np.array([0, 0, 255], np.uint8), (2, 1)))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was reverse_sequences: rotate by 90 degrees clockwise
    image.save(tmp_path / "reverse_sequences.png", exif=exif)
    reverse_sequences = read_image(tmp_path / "reverse_sequences.png")
    assert reverse_sequences.shape == (1, 3, 2)
    assert reverse_sequences[0, :, 0].tolist() == [0, 0, 1]


def test_float_and_wide_integer_pictures(tmp_path):
    values = np.array([[0, 0.5], [1, 0.25]], np.float32)
    Image.fromarray(values).save(tmp_path / "float.tif")
    assert torch.equal(read_image(tmp_path / "float.tif")[0], torch.from_numpy(values))
    Image.fromarray((values * 65535).astype(np.int32)).save(tmp_path / "wide.tif")
    assert torch.allclose(read_image(tmp_path / "wide.tif", "RGB")[2], torch.from_numpy(values), atol=1e-4)
    for lightest, white in {200: 65535, 100_000: 2**24 - 1, 2**30: 2**31 - 1}.items():
        Image.fromarray((values * lightest).astype(np.int32)).save(tmp_path / "wide.tif")
        found = read_image(tmp_path / "wide.tif")[0]
        assert torch.allclose(found, torch.from_numpy(values) * (lightest / white), atol=1e-7)


def test_square_keeps_the_aspect_and_the_middle():
    picture = torch.zeros(3, 40, 100)
    picture[:, :, 30:70] = 1
    assert resize_center_crop(picture, 20).shape == (3, 20, 20)
    assert (resize_center_crop(picture, 20) > 0.8).all()
    assert torch.equal(resize_center_crop(picture[:, :, 30:70], 40), picture[:, :, 30:70])
    assert resize_center_crop(torch.rand(1, 3, 1000), 8).shape == (1, 8, 8)


def test_what_is_no_picture_is_named_in_one_line(tmp_path):
    (tmp_path / "note.png").write_text("no picture")
    good = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(good, "PNG")
    (tmp_path / "cut.png").write_bytes(good.getvalue()[:1000])
    kinds = {"note.png": ValueError, "cut.png": ValueError, ".": ValueError, "gone.png": FileNotFoundError}
    for path, kind in kinds.items():
        with pytest.raises(kind) as error:
            read_image(tmp_path / path)
        assert str(tmp_path / path) in str(error.value)
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=r"^the third is not a picture"):
        read_image(io.BytesIO(b"nothing"), name="the third")
