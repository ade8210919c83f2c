"""Pictures of our own making and holes in them, for tables of restoration: drawn, rendered and synthesised."""

import math

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor


def smooth(side: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a sum of a ramp and five broad bumps in each channel."""
    y, x = np.mgrid[:side, :side] / side
    planes = []
    for _ in range(3):
        plane = rng.normal() * x + rng.normal() * y
        for _ in range(5):
            a, b, width = rng.random(), rng.random(), rng.uniform(0.2, 0.6)
            plane = plane + rng.normal() * np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * width**2))
        planes.append((plane - plane.min()) / np.ptp(plane))
    return np.stack(planes, -1)


def texture(side: int, rng: np.random.Generator) -> np.ndarray:
    """Synthesise a random field whose amplitudes fall with the frequency, of two colours."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]) * side
    noise = np.fft.rfft2(rng.normal(size=(side, side))) / np.maximum(frequency, 1) ** rng.uniform(0.8, 1.4)
    field = np.fft.irfft2(noise, s=(side, side))
    share = np.clip(0.5 + field / (4 * field.std()), 0, 1)[..., None]
    return share * rng.random(3) + (1 - share) * rng.random(3)


def weave(side: int, rng: np.random.Generator) -> np.ndarray:
    """Draw bent stripes of two colours with a period of 8 to 24 pixels."""
    y, x = np.mgrid[:side, :side].astype(float)
    angle, period = rng.uniform(0, math.pi), rng.uniform(8, 24)
    bend = 4 * np.sin(2 * math.pi * y / side * rng.uniform(1, 3))
    share = (0.5 + 0.5 * np.sin(2 * math.pi * (x * math.cos(angle) + y * math.sin(angle) + bend) / period))[..., None]
    return share * rng.random(3) + (1 - share) * rng.random(3)


def drawn(side: int, rng: np.random.Generator) -> np.ndarray:
    """Draw flat discs, boxes and lines."""
    image = Image.new("RGB", (2 * side, 2 * side), _colour(rng))
    pen = ImageDraw.Draw(image)
    for _ in range(12):
        x, y, size = *rng.integers(0, 2 * side, 2).tolist(), int(rng.uniform(0.1, 0.5) * side)
        box = (x - size, y - size, x + size, y + int(size * rng.uniform(0.3, 1)))
        kind = rng.integers(3)
        if kind == 0:
            pen.ellipse(box, fill=_colour(rng), outline=_colour(rng), width=4)
        elif kind == 1:
            pen.rectangle(box, fill=_colour(rng))
        else:
            pen.line(box, fill=_colour(rng), width=int(rng.integers(3, 12)))
    return np.asarray(image.resize((side, side), Image.Resampling.BOX)) / 255


def rendered(side: int, rng: np.random.Generator) -> np.ndarray:
    """Render lit balls above a chequered floor."""
    y, x = np.mgrid[:side, :side] / side
    depth = 0.35 / np.maximum(y - 0.45, 0.02)
    tiles = ((np.floor((x - 0.5) * depth * 4) + np.floor(depth * 4)) % 2)[..., None]
    floor = tiles * rng.random(3) + (1 - tiles) * rng.random(3)
    image = np.where((y > 0.47)[..., None], floor, rng.random(3) * (0.6 + 0.4 * y[..., None]))
    light = np.array([0.5, -0.6, 0.6]) / math.hypot(0.5, 0.6, 0.6)
    for _ in range(4):
        a, b, radius = rng.uniform(0.1, 0.9), rng.uniform(0.3, 0.8), rng.uniform(0.08, 0.22)
        u, v = (x - a) / radius, (y - b) / radius
        inside = u**2 + v**2 < 1
        w = np.sqrt(np.maximum(1 - u**2 - v**2, 0))
        shade = np.clip(u * light[0] + v * light[1] + w * light[2], 0, 1)[..., None]
        image = np.where(inside[..., None], np.clip(rng.random(3) * (0.2 + 0.8 * shade) + shade**20 * 0.6, 0, 1), image)
    return image


def scan(side: int, rng: np.random.Generator) -> np.ndarray:
    """Print lines of letters on paper with a shadow and grain."""
    image = Image.new("L", (side, side), 255)
    pen, size = ImageDraw.Draw(image), int(rng.integers(9, 16))
    font = ImageFont.load_default(size)
    for top in range(size, side - size, int(1.6 * size)):
        words = ["".join(chr(c) for c in rng.integers(97, 123, rng.integers(2, 9))) for _ in range(side // (2 * size))]
        pen.text((size // 2, top), " ".join(words), fill=int(rng.integers(20, 70)), font=font)
    y, x = np.mgrid[:side, :side] / side
    paper = (0.93 - 0.15 * (x * rng.random() + y * rng.random()))[..., None] * np.array([1.0, 0.98, 0.93])
    return np.clip(paper * np.asarray(image)[..., None] / 255 + rng.normal(0, 0.01, (side, side, 1)), 0, 1)


def _colour(rng: np.random.Generator) -> tuple[int, ...]:
    return tuple(rng.integers(0, 256, 3).tolist())


KINDS = {"smooth": smooth, "texture": texture, "weave": weave, "drawn": drawn, "rendered": rendered, "scan": scan}
"""Kinds of pictures by name."""


def picture(kind: str, side: int, seed: int) -> Tensor:
    """Return a picture (3, side, side) of 8 bits in [0, 1]."""
    pixels = KINDS[kind](side, np.random.default_rng([seed, side]))
    return torch.from_numpy((np.clip(pixels, 0, 1) * 255).round() / 255).permute(2, 0, 1).float()


def bar(side: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Return a hole (side, side) that crosses the picture."""
    hole, start = np.zeros((side, side), bool), int(rng.integers(1, side - width))
    hole[start : start + width] = True
    return hole.T if rng.random() < 0.5 else hole


def block(side: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Return a square hole."""
    hole, (top, left) = np.zeros((side, side), bool), rng.integers(1, side - width, 2)
    hole[top : top + width, left : left + width] = True
    return hole


def stroke(side: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Return two straight strokes."""
    image = Image.new("1", (side, side))
    for _ in range(2):
        ImageDraw.Draw(image).line(tuple(rng.integers(0, side, 4).tolist()), fill=1, width=width)
    hole = np.array(image)
    return hole if hole.any() else stroke(side, width, rng)


def text(side: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Return letters whose lines are about ``width`` pixels thick."""
    image, size = Image.new("1", (side, side)), min(8 * width, side // 2)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(size)
    for top in range(0, side - size, 2 * size):
        letters = "".join(chr(c) for c in rng.integers(65, 91, 2 * side // size))
        pen.text((size // 4, top), letters, fill=1, font=font)
    return np.array(image)


HOLES = {"bar": bar, "block": block, "stroke": stroke, "text": text}
"""Kinds of holes by name."""


def hole(kind: str, side: int, width: int, seed: int) -> Tensor:
    """Return a mask (1, side, side), True in the hole."""
    return torch.from_numpy(HOLES[kind](side, width, np.random.default_rng([seed, side, width])))[None]
