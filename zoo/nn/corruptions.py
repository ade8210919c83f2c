"""Corruptions by name: what is done to an input that an autoencoder then learns to undo."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.errors import unknown
from zoo.nn.colours import luma

Draw = Callable[[Tensor, float, torch.Generator | None], Tensor]


def _uniform(like: Tensor, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    return torch.rand(shape, device=like.device, dtype=like.dtype, generator=generator)


def gaussian(x: Tensor, strength: float, generator: torch.Generator | None = None) -> Tensor:
    """Add normal noise of standard deviation ``strength`` and clip to [0, 1]."""
    noise = torch.randn(x.shape, device=x.device, dtype=x.dtype, generator=generator)
    return noise.mul_(strength).add_(x).clamp_(0, 1)


def masking(x: Tensor, strength: float, generator: torch.Generator | None = None) -> Tensor:
    """Set each number to 0 with probability ``strength`` (Vincent et al., 2008)."""
    return x * (_uniform(x, tuple(x.shape), generator) >= strength)


def salt_pepper(x: Tensor, strength: float, generator: torch.Generator | None = None) -> Tensor:
    """Set each number to 0 or to 1, as likely, with probability ``strength``."""
    draw = _uniform(x, tuple(x.shape), generator)
    return torch.where(draw < strength / 2, 0.0, torch.where(draw < strength, 1.0, x))


def square_holes(x: Tensor, strength: float, generator: torch.Generator | None = None) -> Tensor:
    """Return masks (N, 1, H, W), True in a rectangle of the picture's shape that has ``strength`` of its area."""
    n, _, height, width = x.shape
    tall, wide = (max(1, round(side * math.sqrt(strength))) for side in (height, width))
    draws = _uniform(x, (n, 2), generator)
    top = (draws[:, :1] * (height - tall + 1)).floor()
    left = (draws[:, 1:] * (width - wide + 1)).floor()
    rows, columns = torch.arange(height, device=x.device), torch.arange(width, device=x.device)
    inside_rows = (rows >= top) & (rows < top + tall)
    inside_columns = (columns >= left) & (columns < left + wide)
    return (inside_rows[:, :, None] & inside_columns[:, None, :])[:, None]


def stroke_holes(x: Tensor, strength: float, generator: torch.Generator | None = None) -> Tensor:
    """Return masks (N, 1, H, W), True on ``strength`` straight strokes, a twelfth of the shorter side wide."""
    n, _, height, width = x.shape
    ends = _uniform(x, (n, 2, round(strength), 2), generator) * torch.tensor([height, width], device=x.device)
    start, along = ends[:, 0, :, None, None], (ends[:, 1] - ends[:, 0])[:, :, None, None]  # (N, strokes, 1, 1, 2)
    grid = torch.meshgrid(
        torch.arange(height, device=x.device) + 0.5, torch.arange(width, device=x.device) + 0.5, indexing="ij"
    )
    offset = torch.stack(grid, -1) - start  # (N, strokes, H, W, 2)
    length = along.square().sum(-1).clamp_min(1e-6)
    nearest = ((offset * along).sum(-1) / length).clamp(0, 1)[..., None]
    distance = (offset - nearest * along).square().sum(-1).sqrt()
    return (distance < max(min(height, width) / 24, 0.75)).any(1, keepdim=True)


def mixed_holes(x: Tensor, strength: float, generator: torch.Generator | None = None) -> Tensor:
    """Return masks (N, 1, H, W) of a rectangle with ``strength`` of the area or of three strokes, either as likely."""
    rectangle, lines = square_holes(x, strength, generator), stroke_holes(x, 3.0, generator)
    return torch.where(_uniform(x, (len(x), 1, 1, 1), generator) < 0.5, rectangle, lines)


def erase(x: Tensor, strength: float, generator: torch.Generator | None = None) -> Tensor:
    """Paint one rectangle of each picture black; it has ``strength`` of the area."""
    return x.masked_fill(square_holes(x, strength, generator), 0.0)


def strokes(x: Tensor, strength: float, generator: torch.Generator | None = None) -> Tensor:
    """Paint ``strength`` straight black strokes across each picture."""
    return x.masked_fill(stroke_holes(x, strength, generator), 0.0)


def holes(x: Tensor, strength: float, generator: torch.Generator | None = None) -> Tensor:
    """Paint a rectangle with ``strength`` of the area or three strokes black, either as likely."""
    return x.masked_fill(mixed_holes(x, strength, generator), 0.0)


def grey(x: Tensor, strength: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
    """Take ``strength`` of the colour of a picture (N, 3, H, W) out; one channel has none to lose."""
    if x.shape[1] != 3:
        return x
    return x + strength * (luma(x) - x)


def none(x: Tensor, strength: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
    """Leave a batch as it is."""
    return x


class Corruption(NamedTuple):
    """A corruption and what its strength means.

    Args:
        apply: Function of the batch, the strength and a source of random numbers.
        strength: Strength if the user gives none.
        top: Largest strength.
        meaning: What the strength is.
        pictures: Whether it needs samples of the shape (C, H, W).
        holes: For a corruption that takes parts of a picture away, the function that draws which: masks (N, 1, H, W).
    """

    apply: Draw
    strength: float
    top: float
    meaning: str
    pictures: bool = False
    holes: Draw | None = None


CORRUPTIONS = {
    "erase": Corruption(erase, 0.25, 1.0, "share of the area that one rectangle takes", True, square_holes),
    "gaussian": Corruption(gaussian, 0.5, math.inf, "standard deviation of the noise"),
    "grey": Corruption(grey, 1.0, 1.0, "share of the colour that is lost", True),
    "holes": Corruption(holes, 0.25, 1.0, "share of the area that one rectangle takes", True, mixed_holes),
    "masking": Corruption(masking, 0.25, 1.0, "probability of a zero"),
    "none": Corruption(none, 0.0, math.inf, "nothing"),
    "salt_pepper": Corruption(salt_pepper, 0.25, 1.0, "probability of a zero or a one"),
    "strokes": Corruption(strokes, 3.0, 100.0, "number of strokes", True, stroke_holes),
}
"""The corruptions by name."""


def find_corruption(name: str, strength: float | None, shape: tuple[int, ...]) -> tuple[Corruption, float]:
    """Return a corruption and its strength, checked.

    Args:
        name: One of ``CORRUPTIONS``.
        strength: Its strength; its own default if None.
        shape: Shape of a sample.

    Raises:
        ValueError: If the name is unknown, the strength out of range, or the samples are no pictures and must be.
    """
    if name not in CORRUPTIONS:
        raise unknown("corruption", name, CORRUPTIONS)
    found = CORRUPTIONS[name]
    strength = found.strength if strength is None else strength
    if not 0 <= strength <= found.top or math.isinf(strength):
        top = f"at most {found.top:g}" if math.isfinite(found.top) else "finite"
        raise ValueError(
            f"corruption_strength of {name} is the {found.meaning}, at least 0 and {top}, not {strength:g}"
        )
    if found.pictures and len(shape) != 3:
        raise ValueError(f"corruption {name!r} needs pictures (C, H, W), not samples of shape {tuple(shape)}")
    return found, strength
