"""Random changes of training pictures, for a whole batch at once on its device."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from datamodules.errors import unknown

AUGMENTATIONS = {
    "rotate": "degrees either way",
    "scale": "fraction by which each side shrinks or grows, either way",
    "shear": "degrees either way",
    "shift": "pixels either way, along both axes",
    "crop": "whole pixels either way, along both axes, which blurs nothing",
    "flip": "probability of a left-right mirror image",
    "erase": "side in pixels of a square painted black, in every other picture",
}
"""What ``augment_images`` knows, and what the number beside each name means."""


def check_augmentation(strengths: Mapping[str, float]) -> None:
    """Raise ``ValueError`` for an unknown augmentation or a negative strength."""
    for name, strength in strengths.items():
        if name not in AUGMENTATIONS:
            raise unknown("augmentation", name, AUGMENTATIONS)
        if not strength >= 0 or (name == "crop" and strength % 1):
            raise ValueError(f"augment: {name} takes {AUGMENTATIONS[name]}, at least 0, not {strength}")
    if strengths.get("shift") and strengths.get("crop"):
        raise ValueError("augment: shift and crop both move the picture; use one of them")


def augment_images(x: Tensor, strengths: Mapping[str, float], generator: torch.Generator) -> Tensor:
    """Change each picture of a batch at random by an affine map, a mirror image, a crop and a black square.

    Args:
        x: Pictures (N, C, H, W) of floats in [0, 1]; outside the picture lies black.
        strengths: Names of ``AUGMENTATIONS`` and their strengths.
        generator: Source of the random numbers, on the CPU. They are drawn row by row, so that a batch changes in the
            same way whether it comes alone or within a larger one.

    Returns:
        Pictures of the same shape and dtype.
    """
    n, _, height, width = x.shape
    draws = torch.rand(n, 9, generator=generator)
    signed = (2 * draws - 1).unbind(1)
    angle = signed[0] * math.radians(strengths.get("rotate", 0))
    shear = torch.tan(signed[1] * math.radians(strengths.get("shear", 0)))
    grow_x, grow_y = (1 + s * strengths.get("scale", 0) for s in signed[2:4])
    shift = 2 * strengths.get("shift", 0)
    shift_x, shift_y = signed[4] * shift / width, signed[5] * shift / height
    mirror = torch.where(draws[:, 6] < strengths.get("flip", 0), -1.0, 1.0)
    cos, sin = torch.cos(angle), torch.sin(angle)
    matrix = torch.stack(
        [
            torch.stack([mirror * cos * grow_x, (shear * cos - sin) * grow_y, shift_x], 1),
            torch.stack([mirror * sin * grow_x, (shear * sin + cos) * grow_y, shift_y], 1),
        ],
        1,
    ).to(x.device, x.dtype)
    if any(strengths.get(name) for name in ("rotate", "scale", "shear", "shift")):
        x = F.grid_sample(x, F.affine_grid(matrix, list(x.shape), align_corners=False), align_corners=False)
    elif strengths.get("flip"):
        x = torch.where((mirror < 0).to(x.device)[:, None, None, None], x.flip(-1), x)
    if strengths.get("crop"):
        x = _random_crop(x, draws[:, 4:6], int(strengths["crop"]))
    if strengths.get("erase"):
        x = x.masked_fill(_erased_squares(draws[:, 7:9], strengths["erase"], height, width).to(x.device), 0.0)
    return x


def _random_crop(x: Tensor, draws: Tensor, margin: int) -> Tensor:
    """Pad each picture with black on all sides and cut its size out again, anywhere."""
    n, _, height, width = x.shape
    top, left = (draws * (2 * margin + 1)).long().to(x.device).unbind(1)
    rows = top[:, None] + torch.arange(height, device=x.device)
    columns = left[:, None] + torch.arange(width, device=x.device)
    index = torch.arange(n, device=x.device)[:, None, None], rows[:, :, None], columns[:, None, :]
    return F.pad(x, (margin,) * 4).permute(0, 2, 3, 1)[index].permute(0, 3, 1, 2)


def _erased_squares(draws: Tensor, side: float, height: int, width: int) -> Tensor:
    """Return masks (N, 1, H, W) of one square each, anywhere, in those pictures whose first draw is odd enough."""
    # One draw serves twice: its first binary digit decides whether, its rest decides where.
    chosen, row = draws[:, 0] < 0.5, (2 * draws[:, 0]).frac() * height
    column = draws[:, 1] * width
    rows = (torch.arange(height) + 0.5 - row[:, None]).abs() < side / 2
    columns = (torch.arange(width) + 0.5 - column[:, None]).abs() < side / 2
    return (chosen[:, None, None] & rows[:, :, None] & columns[:, None, :])[:, None]
