"""Digits on users' pages: several in a line, in frames, beside shadows and edges, or none."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFilter

import zoo
from datamodules.images.blank import NothingFoundError
from datamodules.images.foreground import centred_digit
from datamodules.images.pages import digits_on_page
from zoo.cli import main

STROKES = {
    "1": [[(5, 0), (5, 20)]],
    "2": [[(0, 4), (3, 0), (9, 0), (12, 4), (0, 20), (12, 20)]],
    "4": [[(8, 0), (0, 13), (12, 13)], [(9, 7), (9, 20)]],
    "5": [[(12, 0), (1, 0), (0, 9), (9, 9), (12, 14), (9, 20), (0, 19)]],
    "7": [[(0, 0), (12, 0), (4, 20)]],
}
"""Strokes of made-up digits, 12 x 20."""


def draw(page, digit, left, top, height, ink=25, width=None):
    pen, scale = ImageDraw.Draw(page), height / 20
    width = width or max(2, round(height / 13))
    for stroke in STROKES[digit]:
        points = [(left + x * scale, top + y * scale) for x, y in stroke]
        pen.line(points, fill=ink, width=width, joint="curve")


def page(width=300, height=400, paper=235):
    return Image.new("L", (width, height), paper)


def finish(picture, noise=2.0, blur=0.7):
    """Return a page as a photograph of it, (1, H, W) in [0, 1]."""
    levels = np.asarray(picture.filter(ImageFilter.GaussianBlur(blur)), np.float32)
    levels += np.random.default_rng(0).normal(0, noise, levels.shape)
    return torch.from_numpy((levels / 255).clip(0, 1).astype(np.float32))[None]


def one(digit="2", **options):
    picture = page(**options)
    draw(picture, digit, 90, 85, 220)
    return picture


def box(picture):
    ImageDraw.Draw(picture).rectangle((30, 40, 270, 360), outline=60, width=4)


def ring(picture):
    ImageDraw.Draw(picture).ellipse((10, 30, 290, 370), outline=60, width=5)


def lines(picture):
    for y in (20, 365, 385):
        ImageDraw.Draw(picture).line((0, y, 300, y), fill=120, width=2)


def shadow(picture):
    dark = Image.eval(picture.crop((0, 0, 130, 400)), lambda level: level * 0.55)
    picture.paste(dark, (0, 0))


def table(picture):
    ImageDraw.Draw(picture).rectangle((0, 0, 300, 45), fill=70)


def corner(picture):
    ImageDraw.Draw(picture).polygon([(300, 400), (300, 340), (200, 400)], fill=40)


SURROUNDINGS = (box, ring, lines, shadow, table, corner)


@pytest.mark.parametrize("add", SURROUNDINGS)
@pytest.mark.parametrize("digit", STROKES)
@pytest.mark.parametrize("invert", [False, True])
def test_what_surrounds_a_digit_is_not_read(add, digit, invert):
    plain, picture = one(digit), one(digit)
    add(picture)
    if invert:
        picture = Image.eval(picture, lambda level: 255 - level)
    found = digits_on_page(finish(picture), "page")
    assert found.shape == (1, 1, 28, 28)
    assert (found - centred_digit(finish(plain))).abs().mean() < 0.07


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("scale", [0.4, 1, 2])
def test_several_digits_come_in_reading_order(invert, scale):
    picture = page(900, 600)
    text = [["7", "4", "2", "1"], ["5", "2"]]
    for row, digits in enumerate(text):
        for k, digit in enumerate(digits):
            draw(picture, digit, 60 + 190 * k, 50 + 290 * row + 15 * (k % 2), 200)
    picture = picture.resize((round(900 * scale), round(600 * scale)), Image.Resampling.LANCZOS)
    if invert:
        picture = Image.eval(picture, lambda level: 255 - level)
    found = digits_on_page(finish(picture), "page")
    assert found.shape == (6, 1, 28, 28)
    for digit, image in zip([each for row in text for each in row], found):
        alone = page(300, 300)
        draw(alone, digit, 80, 50, 200)
        assert (image - centred_digit(finish(alone))[0]).abs().mean() < 0.05, digit


def test_parts_of_a_digit_stay_together():
    picture = page()
    draw(picture, "5", 90, 85, 220)
    ImageDraw.Draw(picture).rectangle((95, 100, 115, 130), fill=235)  # the upper stroke stands alone
    assert len(digits_on_page(finish(picture), "page")) == 1


@pytest.mark.parametrize("level", [0, 90, 255])
@pytest.mark.parametrize("noise", [0.0, 2.0, 6.0])
def test_a_blank_page_has_no_digit(level, noise):
    with pytest.raises(NothingFoundError, match="page: nothing stands out from the background"):
        digits_on_page(finish(page(paper=level), noise), "page")


def test_a_picture_of_the_data_set_is_one_digit():
    x = torch.zeros(1, 28, 28)
    x[:, 4:24, 6:9] = 1
    x[:, 4:24, 18:21] = 1
    assert torch.equal(digits_on_page(x, "page"), centred_digit(x))
    assert len(digits_on_page(torch.nn.functional.pad(x, (9, 9, 9, 9)), "page")) == 2


@pytest.fixture
def pages(tmp_path):
    """A blank page and one with three digits, as files."""
    page().save(tmp_path / "blank.png")
    three = page(700, 300)
    for k, digit in enumerate("742"):
        draw(three, digit, 60 + 210 * k, 50, 200)
    three.save(tmp_path / "three.png")
    return tmp_path


def test_each_digit_and_each_blank_page_has_an_answer(pages, monkeypatch, capfd):
    monkeypatch.chdir(pages)
    assert main(["predict", "cnn.mnist", "blank.png", "three.png", "--output", "out.csv"]) == 0
    rows = list(csv.DictReader((pages / "out.csv").open()))
    assert [(row["input"], row["class"]) for row in rows] == [
        ("blank.png", ""),
        *((f"three.png:{k}", digit) for k, digit in enumerate("742", 1)),
    ]
    assert rows[0]["note"] == "nothing stands out"
    assert main(["predict", "cnn.fashion_mnist", "blank.png"]) == 0
    assert "blank.png  -  -  nothing stands out" in capfd.readouterr().out
    assert main(["predict", "deep_autoencoder.mnist", "blank.png"]) == 2
    assert "blank.png: nothing stands out" in capfd.readouterr().err


def test_images_of_one_level_have_no_class():
    model = zoo.create_model("cnn.mnist", pretrained=True)
    x = torch.stack([torch.zeros(1, 28, 28), torch.full((1, 28, 28), 0.7), torch.eye(28)[None]])
    answers = model.predict_rows(x)
    assert [row["class"] is None for row in answers] == [True, True, False]
