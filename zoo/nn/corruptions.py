"""Corruptions of an autoencoder's inputs, by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.errors import unknown
from zoo.nn.colours import luma
from zoo.nn.constants import constant

CorruptionFunction = Callable[[Tensor, float, torch.Generator | None], Tensor]


def _uniform(reference: Tensor, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    return torch.rand(shape, device=reference.device, dtype=reference.dtype, generator=generator)


def gaussian(x: Tensor, strength: float, generator: torch.Generator | None = None) -> Tensor:
    """Add Gaussian noise of standard deviation ``strength`` and clip to [0, 1]."""
    noise = torch.randn(x.shape, device=x.device, dtype=x.dtype, generator=generator)
    return noise.mul_(strength).add_(x).clamp_(0, 1)


def gaussian_range(x: Tensor, strength: float, generator: torch.Generator | None = None) -> Tensor:
    """Add Gaussian noise, clip to [0, 1]; the standard deviation is uniform in [0, ``strength``] for each sample.

    An image whose channels are equal gets equal noise in all of them, so that a grey image stays grey.
    """
    level = _uniform(x, (len(x),), generator).mul_(strength).view(-1, *[1] * (x.ndim - 1))
    return add_noise(x, level, generator)


def add_noise(x: Tensor, level: Tensor | float, generator: torch.Generator | None = None) -> Tensor:
    """Add Gaussian noise of standard deviation ``level`` and clip to [0, 1]; a grey image (3, H, W) stays grey."""
    noise = torch.randn(x.shape, device=x.device, dtype=x.dtype, generator=generator)
    if x.ndim == 4 and x.shape[1] == 3:
        grey = (x == x[:, :1]).flatten(1).all(1)[:, None, None, None]
        noise = torch.where(grey, noise[:, :1], noise)
    return noise.mul_(level).add_(x).clamp_(0, 1)


def masking(x: Tensor, strength: float, generator: torch.Generator | None = None) -> Tensor:
    """Set each element to 0 with probability ``strength`` (Vincent et al., 2008)."""
    return x * (_uniform(x, tuple(x.shape), generator) >= strength)


def salt_pepper(x: Tensor, strength: float, generator: torch.Generator | None = None) -> Tensor:
    """Set each element with probability ``strength`` to 0 or 1, both equally likely."""
    draw = _uniform(x, tuple(x.shape), generator)
    return torch.where(draw < strength / 2, 0.0, torch.where(draw < strength, 1.0, x))


def square_holes(x: Tensor, strength: float, generator: torch.Generator | None = None) -> Tensor:
    """Return masks (N, 1, H, W), True in a rectangle of the image's aspect ratio and ``strength`` of its area."""
    n, _, height, width = x.shape
    hole_height, hole_width = (max(1, round(side * math.sqrt(strength))) for side in (height, width))
    positions = _uniform(x, (n, 2), generator)
    top = (positions[:, :1] * (height - hole_height + 1)).floor()
    left = (positions[:, 1:] * (width - hole_width + 1)).floor()
    rows, columns = torch.arange(height, device=x.device), torch.arange(width, device=x.device)
    inside_rows = (rows >= top) & (rows < top + hole_height)
    inside_columns = (columns >= left) & (columns < left + hole_width)
    return (inside_rows[:, :, None] & inside_columns[:, None, :])[:, None]


def stroke_holes(x: Tensor, strength: float, generator: torch.Generator | None = None) -> Tensor:
    """Return masks (N, 1, H, W), True on ``strength`` straight strokes between random points.

    The width of a stroke is a twelfth of the shorter side, and at least 1.5 pixels; set by hand, not tuned.
    """
    n, _, height, width = x.shape
    ends = _uniform(x, (n, 2, round(strength), 2), generator) * constant((height, width), x)
    rows = torch.arange(height, device=x.device) + 0.5
    columns = torch.arange(width, device=x.device) + 0.5
    distance = _distances(ends.transpose(1, 2), rows, columns)
    return (distance < max(min(height, width) / 24, 0.75)).any(1, keepdim=True)


def mixed_holes(x: Tensor, strength: float, generator: torch.Generator | None = None) -> Tensor:
    """Return masks (N, 1, H, W) of a rectangle of ``strength`` of the area or of three strokes, equally likely."""
    rectangle, lines = square_holes(x, strength, generator), stroke_holes(x, 3.0, generator)
    return torch.where(_uniform(x, (len(x), 1, 1, 1), generator) < 0.5, rectangle, lines)


def any_holes(x: Tensor, strength: float, generator: torch.Generator | None = None) -> Tensor:
    """Return masks (N, 1, H, W) of rectangles, bars, thick strokes or lines of small marks, equally likely.

    Widths are drawn log-uniformly from 2 pixels to ``strength`` of the shorter side: of a rectangle both sides, of a
    bar one, of up to three strokes their thickness. The marks are cells of 2 pixels in rows, as of overlaid text.
    """
    n, _, height, width = x.shape
    draws, largest = _uniform(x, (n, 18), generator), max(2.0, strength * min(height, width))
    thickness = 2 * (largest / 2) ** draws[:, 0:2]
    kind = (4 * draws[:, 2]).long().clamp_max(3)
    rows = torch.arange(height, device=x.device) + 0.5
    columns = torch.arange(width, device=x.device) + 0.5
    span = constant((height, width), draws)
    sides = thickness.clone()
    bars = kind == 1
    lying = draws[:, 3] < 0.5
    sides[:, 0] = torch.where(bars & ~lying, span[0], sides[:, 0])
    sides[:, 1] = torch.where(bars & lying, span[1], sides[:, 1])
    start = draws[:, 4:6] * (span - sides).clamp_min(0)
    inside = [
        (place >= start[:, axis : axis + 1]) & (place <= start[:, axis : axis + 1] + sides[:, axis : axis + 1])
        for axis, place in enumerate((rows, columns))
    ]
    rectangles = inside[0][:, :, None] & inside[1][:, None, :]
    ends = draws[:, 6:18].view(n, 3, 2, 2) * span
    drawn = torch.arange(3, device=x.device) <= (3 * draws[:, 3:4]).long()
    distance = _distances(ends, rows, columns)
    lines = ((distance < thickness[:, :1, None, None] / 2) & drawn[:, :, None, None]).any(1)
    cells = _uniform(x, (n, -(-height // 2), -(-width // 2)), generator) < 0.45
    marks = cells.repeat_interleave(2, 1).repeat_interleave(2, 2)[:, :height, :width]
    pitch = 4 + 12 * draws[:, :1]
    marks = marks & ((rows + start[:, :1]) % pitch < 0.6 * pitch)[:, :, None]
    marks[:, height // 2, width // 2].fill_(True)  # no image without a hole
    return torch.where((kind == 3)[:, None, None], marks, torch.where((kind == 2)[:, None, None], lines, rectangles))[
        :, None
    ]


def _distances(ends: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return the distance (N, K, H, W) of each pixel to line segments with ends (N, K, 2, 2) in rows and columns."""
    start, direction = ends[:, :, 0, None, None], (ends[:, :, 1] - ends[:, :, 0])[:, :, None, None]
    offset = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), -1) - start  # (N, K, H, W, 2)
    length = direction.square().sum(-1).clamp_min(1e-6)
    nearest = ((offset * direction).sum(-1) / length).clamp(0, 1)[..., None]
    return (offset - nearest * direction).square().sum(-1).sqrt()


def erase(x: Tensor, strength: float, generator: torch.Generator | None = None) -> Tensor:
    """Set a rectangle of ``strength`` of the area of each image to black."""
    return x.masked_fill(square_holes(x, strength, generator), 0.0)


def strokes(x: Tensor, strength: float, generator: torch.Generator | None = None) -> Tensor:
    """Draw ``strength`` straight black strokes on each image."""
    return x.masked_fill(stroke_holes(x, strength, generator), 0.0)


def scattered(x: Tensor, strength: float, generator: torch.Generator | None = None) -> Tensor:
    """Set the holes of ``any_holes`` to black."""
    return x.masked_fill(any_holes(x, strength, generator), 0.0)


def holes(x: Tensor, strength: float, generator: torch.Generator | None = None) -> Tensor:
    """Set a rectangle of ``strength`` of the area, or three strokes, to black, both equally likely."""
    return x.masked_fill(mixed_holes(x, strength, generator), 0.0)


def grey(x: Tensor, strength: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
    """Move images (N, 3, H, W) by ``strength`` towards their luma; images of another number of channels stay."""
    if x.shape[1] != 3:
        return x
    return x + strength * (luma(x) - x)


def none(x: Tensor, strength: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
    """Return the batch unchanged."""
    return x


class Corruption(NamedTuple):
    """A corruption and its strength.

    Args:
        apply: Function from the batch, the strength and a random number generator to the corrupted batch.
        strength: Default strength.
        max_strength: Largest strength.
        meaning: Meaning of the strength.
        images_only: Whether the samples must be images (C, H, W).
        holes: Function that draws the masks (N, 1, H, W) of a corruption that removes parts of an image.
    """

    apply: CorruptionFunction
    strength: float
    max_strength: float
    meaning: str
    images_only: bool = False
    holes: CorruptionFunction | None = None


CORRUPTIONS = {
    "any_holes": Corruption(scattered, 0.5, 1.0, "largest width as a share of the shorter side", True, any_holes),
    "erase": Corruption(erase, 0.25, 1.0, "share of the area that one rectangle takes", True, square_holes),
    "gaussian": Corruption(gaussian, 0.5, math.inf, "standard deviation of the noise"),
    "gaussian_range": Corruption(gaussian_range, 100 / 255, math.inf, "largest standard deviation of the noise"),
    "grey": Corruption(grey, 1.0, 1.0, "share of the colour that is lost", True),
    "holes": Corruption(holes, 0.25, 1.0, "share of the area that one rectangle takes", True, mixed_holes),
    "masking": Corruption(masking, 0.25, 1.0, "probability of a zero"),
    "none": Corruption(none, 0.0, math.inf, "nothing"),
    "salt_pepper": Corruption(salt_pepper, 0.25, 1.0, "probability of a zero or a one"),
    "strokes": Corruption(strokes, 3.0, 100.0, "number of strokes", True, stroke_holes),
}
"""The corruptions by name; their default strengths are set by hand, not tuned."""


def find_corruption(name: str, strength: float | None, shape: tuple[int, ...]) -> tuple[Corruption, float]:
    """Return a corruption by name and its validated strength.

    Args:
        name: One of ``CORRUPTIONS``.
        strength: Strength; the corruption's default if None.
        shape: Shape of a sample.

    Raises:
        ValueError: If the name is unknown, the strength is out of range, or the samples are not images but must be.
    """
    if name not in CORRUPTIONS:
        raise unknown("corruption", name, CORRUPTIONS)
    corruption = CORRUPTIONS[name]
    strength = corruption.strength if strength is None else strength
    if not 0 <= strength <= corruption.max_strength or math.isinf(strength):
        limit = f"at most {corruption.max_strength:g}" if math.isfinite(corruption.max_strength) else "finite"
        raise ValueError(
            f"corruption_strength of {name} is the {corruption.meaning}, at least 0 and {limit}, not {strength:g}"
        )
    if corruption.images_only and len(shape) != 3:
        raise ValueError(f"corruption {name!r} needs images (C, H, W), not samples of shape {tuple(shape)}")
    return corruption, strength
