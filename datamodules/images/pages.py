"""Digits on a page: one or several, in frames, beside shadows and edges."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from datamodules.images.blank import MIN_CONTRAST, NothingFoundError, is_of_one_level
from datamodules.images.foreground import (
    DUST_FRACTION,
    FOREGROUND_THRESHOLD,
    MAD_TO_STD,
    MIN_NOISE,
    NOISE_STDS,
    extract_ink,
    place_digit,
    reduce,
)

PHOTOGRAPH = 100
"""Longer side in pixels above which a page may be a photograph, with noise and shadows. Set by hand."""
SMOOTHING = 0.8
"""Standard deviation in pixels of the smoothing of photographs. Set by hand."""
BORDER_SHARE = 0.05
"""Share of the border that the foreground covers from which on the background may be no plane. Set by hand."""
STROKE_SHARE = 1 / 6
"""Width of the thickest stroke that is found beside shadows, relative to the shorter side. Set by hand."""
POLARITY_RATIO = 1.5
"""Ratio of contrast to noise by which strokes of the less likely polarity have to stand out more. Set by hand."""
FRAME_FILL = 0.35
"""Largest share of its bounding box that a frame fills. Set by hand."""
LONG_SHARE = 0.6
"""Share of a side of the page from which on a part that touches it is no digit. Set by hand."""
LINE_ASPECT = 6
"""Ratio of width to height from which on a part is a line, not a stroke. Set by hand."""
SMALLEST = 0.03
"""Smallest height or width of what stands out, relative to the longer side of the page. Set by hand."""
MOST_PARTS = 300
"""Largest number of parts of the foreground that are looked at, those of the most ink. Set by hand."""
DIGIT_HEIGHT = 0.5
"""Smallest height of a digit relative to the tallest of the page. Set by hand."""
PART_GAP = 0.25
"""Largest vertical gap between the parts of a digit, relative to its height. Set by hand."""
DIGIT_GAP = 0.04
"""Horizontal gap between two digits, relative to their height, below which they are parts of one. Set by hand."""


class Box(NamedTuple):
    """Bounding box of a part of the foreground: rows from ``top`` to ``bottom``, which is exclusive, and columns."""

    top: int
    bottom: int
    left: int
    right: int
    labels: tuple[int, ...]
    """Labels of the connected components in it."""

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.right - self.left

    def join(self, other: Box) -> Box:
        """Return the bounding box of two boxes."""
        rows = min(self.top, other.top), max(self.bottom, other.bottom)
        columns = min(self.left, other.left), max(self.right, other.right)
        return Box(*rows, *columns, (*self.labels, *other.labels))

    def encloses(self, other: Box) -> bool:
        """Return whether another box lies within this one and does not touch its sides."""
        inside = self.top < other.top and other.bottom < self.bottom
        return inside and self.left < other.left and other.right < self.right


def digits_on_page(grey: Tensor, name: str, size: int = 28, box: int = 20) -> Tensor:
    """Return each digit of a picture, in reading order, normalised as ``centred_digit`` does.

    Dust, frames around digits, lines, and what touches the border beside digits, such as the edge of a table, are left
    out. Digits that touch each other are one. A picture of ``size`` pixels holds one digit.

    Args:
        grey: Image (1, H, W) in [0, 1] of either polarity.
        name: Name of the picture in the error message.
        size: Side of the results in pixels.
        box: Side of the box of a digit in pixels.

    Returns:
        Floats (N, 1, size, size) in [0, 1].

    Raises:
        NothingFoundError: If nothing stands out from the background.
    """
    grey = reduce(grey)
    is_photograph = max(grey.shape[1:]) > PHOTOGRAPH
    if is_photograph:
        # The noise of black or white paper is cut off on one side, and its level not seen in single pixels.
        grey = torch.from_numpy(ndimage.gaussian_filter(grey[0].numpy(), SMOOTHING))[None]
    ink = extract_ink(grey)
    if tuple(grey.shape[1:]) == (size, size):
        found = [] if bool(is_of_one_level(grey[None]).all()) else [ink]
    else:
        if is_photograph and _border_share(ink) > BORDER_SHARE:
            other = ink_beside_shadows(grey)  # what fills the page up to its border is no shadow
            ink = other if other.any() and _border_share(other) <= BORDER_SHARE else ink
        labels, boxes = find_digits(ink[0].numpy())
        found = [ink * torch.from_numpy(np.isin(labels, box.labels)) for box in boxes]
    if not found:
        raise NothingFoundError(name)
    return torch.cat([place_digit(part, size, box) for part in found])


def ink_beside_shadows(grey: Tensor) -> Tensor:
    """Return the strokes of an image (1, H, W) in [0, 1] whose background has shadows or parts of several colours.

    The background of dark strokes is the morphological closing of the image, the largest image above it without dark
    parts narrower than ``STROKE_SHARE``; the ink is the light that a stroke absorbs, relative to its background, which
    a shadow does not change. Light strokes are found in the negative.

    Returns:
        Floats (1, H, W) in [0, 1], zeros without strokes.
    """
    width = max(3, int(min(grey.shape[1:]) * STROKE_SHARE) | 1)

    def dark(image: np.ndarray) -> np.ndarray:
        background = ndimage.grey_closing(image, (width, width), mode="nearest")
        return (background - image) / np.maximum(background, MIN_CONTRAST)

    image = grey[0].numpy()
    is_light = float(np.median(image)) < 0.5  # strokes are less than half of a page
    candidates = dark(1 - image if is_light else image), dark(image if is_light else 1 - image)
    likely, other = map(_contrast, candidates)
    ink = candidates[int(other > POLARITY_RATIO * likely)]
    floor = NOISE_STDS * _noise(ink) if _noise(ink) > MIN_NOISE else 0.0
    top = float(ink.max(initial=0))
    if top - floor < MIN_CONTRAST:
        return torch.zeros_like(grey)
    return torch.from_numpy(np.where(ink > floor, ink / top, 0).clip(0, 1).astype(np.float32))[None]


def _noise(ink: np.ndarray) -> float:
    median = np.median(ink)
    return float(median + MAD_TO_STD * np.median(np.abs(ink - median)))


def _contrast(ink: np.ndarray) -> float:
    return float(ink.max(initial=0)) / (_noise(ink) + MIN_NOISE)


def _border_share(ink: Tensor) -> float:
    """Return the share of the border of ink (1, H, W) that the foreground covers."""
    mask = ink[0] > FOREGROUND_THRESHOLD
    return float(torch.cat([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).float().mean())


def find_digits(ink: np.ndarray) -> tuple[np.ndarray, list[Box]]:
    """Return the labels (H, W) of the components of ink (H, W), and the box of each digit in reading order."""
    labels, count = ndimage.label(ink > 2 * FOREGROUND_THRESHOLD, structure=np.ones((3, 3)))
    mass = ndimage.sum_labels(ink, labels, np.arange(1, count + 1))
    places = ndimage.find_objects(labels)
    parts = []
    for number in np.argsort(-mass, kind="stable")[:MOST_PARTS].tolist():
        (rows, columns), is_dust = places[number], mass[number] < DUST_FRACTION * mass.max()
        part = Box(rows.start, rows.stop, columns.start, columns.stop, (number + 1,))
        if not is_dust and max(part.height, part.width) >= SMALLEST * max(ink.shape):
            parts.append(part)
    parts = _without_surroundings(parts, labels)
    boxes = _joined(parts)
    tallest = max((box.height for box in boxes), default=0)
    return labels, _in_reading_order([box for box in boxes if box.height >= DIGIT_HEIGHT * tallest])


def _without_surroundings(parts: list[Box], labels: np.ndarray) -> list[Box]:
    """Leave out frames, lines and what touches the border, as long as something is left."""
    height, width = labels.shape

    def is_frame(part: Box) -> bool:
        others = [other for other in parts if part.encloses(other) and other.height > part.height / 4]
        area = (labels[part.top : part.bottom, part.left : part.right] == part.labels[0]).sum()
        return bool(others) and area < FRAME_FILL * part.height * part.width

    def is_line(part: Box) -> bool:
        return part.width > LINE_ASPECT * part.height and part.width > width / 3

    def is_at_border(part: Box) -> bool:
        across, down = part.top == 0 or part.bottom == height, part.left == 0 or part.right == width
        is_long = (across and part.width > width * LONG_SHARE) or (down and part.height > height * LONG_SHARE)
        return is_long or (across and down)  # a digit that fills the picture touches its sides shortly

    for is_outside in (is_frame, is_line, is_at_border):
        parts = [part for part in parts if not is_outside(part)] or parts
    return parts


def _joined(parts: list[Box]) -> list[Box]:
    """Join the parts of each digit."""
    boxes: list[Box] = []
    waiting = list(parts)
    while waiting:
        box = waiting.pop()
        other = next((each for each in boxes if _are_of_one_digit(box, each)), None)
        if other is None:
            boxes.append(box)
        else:
            boxes.remove(other)
            waiting.append(box.join(other))
    return boxes


def _are_of_one_digit(a: Box, b: Box) -> bool:
    tall = max(a.height, b.height)
    across = min(a.right, b.right) - max(a.left, b.left)
    down = min(a.bottom, b.bottom) - max(a.top, b.top)
    above = across > 0.3 * min(a.width, b.width) and -down < PART_GAP * tall
    beside = down > 0 and -across < DIGIT_GAP * tall and a.join(b).width < tall
    return above or beside


def _in_reading_order(boxes: list[Box]) -> list[Box]:
    """Sort boxes by lines of text from top to bottom, and from left to right in each."""
    lines: list[list[Box]] = []
    for box in sorted(boxes, key=lambda box: box.top + box.bottom):
        line = lines[-1] if lines else []
        if line and min(box.bottom, line[-1].bottom) - max(box.top, line[-1].top) > 0.3 * min(
            box.height, line[-1].height
        ):
            line.append(box)
        else:
            lines.append([box])
    return [box for line in lines for box in sorted(line, key=lambda box: box.left)]
