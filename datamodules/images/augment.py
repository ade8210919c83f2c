"""Random augmentation of batches of training images on their device."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from datamodules.errors import unknown

_LUMA = (0.299, 0.587, 0.114)  # of ITU-R BT.601
AUGMENTATIONS = {
    "rotate": "degrees of the largest rotation",
    "scale": "the largest relative change of height and width",
    "shear": "degrees of the largest shear",
    "shift": "pixels of the largest translation along each axis, interpolated",
    "crop": "whole pixels of the largest translation along each axis, without interpolation",
    "flip": "the probability of a horizontal flip",
    "erase": "the side in pixels of a square set to black with probability 0.5",
    "halve": "the probability that height and width are halved, before a window is cut out",
    "window": "the side in whole pixels of a random square that is cut out, so that training images are smaller",
    "grey": "the probability of a grey image: its luma as red, green and blue",
}
"""Names of the augmentations and the meaning of their strengths. Rotation, scale, shear and translation are uniform
between plus and minus the strength."""


def check_augmentation(strengths: Mapping[str, float]) -> None:
    """Raise ``ValueError`` for an unknown augmentation or a negative strength."""
    for name, strength in strengths.items():
        if name not in AUGMENTATIONS:
            raise unknown("augmentation", name, AUGMENTATIONS)
        if not strength >= 0 or (name in ("crop", "window") and strength % 1):
            raise ValueError(f"augment: {name} takes {AUGMENTATIONS[name]}, at least 0, not {strength}")
    if strengths.get("shift") and strengths.get("crop"):
        raise ValueError("augment: shift and crop both move the picture; use one of them")
    if strengths.get("halve") and not strengths.get("window"):
        raise ValueError("augment: halve needs a window, which makes all images of a batch equally large")


def augment_images(x: Tensor, strengths: Mapping[str, float], generator: torch.Generator) -> Tensor:
    """Augment each image of a batch by a random affine map, flip, crop and erased square.

    Args:
        x: Images (N, C, H, W) of floats in [0, 1]; padded with black.
        strengths: Strengths by name, see ``AUGMENTATIONS``.
        generator: Random generator on the CPU. Numbers are drawn row by row, so that the augmentation of a batch does
            not depend on whether it is passed alone or as part of a larger one.

    Returns:
        Images of the same dtype and, without a window, the same shape.
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
    if strengths.get("window") or strengths.get("grey"):
        draws = torch.rand(n, 4, generator=generator)
    if strengths.get("window"):
        x = _windows(x, draws[:, :3], int(strengths["window"]), strengths.get("halve", 0))
    if strengths.get("grey"):
        grey = (draws[:, 3] < strengths["grey"]).to(x.device)[:, None, None, None]
        x = torch.where(grey, torch.einsum("c,nchw->nhw", x.new_tensor(_LUMA), x)[:, None], x)
    return x


def _windows(x: Tensor, draws: Tensor, side: int, halve: float) -> Tensor:
    """Cut a random square of ``side`` pixels out of each image, or out of the image at half its size."""
    smallest = min(x.shape[2:]) // (2 if halve else 1)
    if side > smallest:
        raise ValueError(f"augment: a window of {side} pixels is larger than the images, {smallest} pixels")
    result = _random_windows(x, draws[:, :2], (side, side))
    if halve:
        small = _random_windows(F.avg_pool2d(x, 2), draws[:, :2], (side, side))
        result = torch.where((draws[:, 2] < halve).to(x.device)[:, None, None, None], small, result)
    return result


def _random_windows(x: Tensor, draws: Tensor, size: Sequence[int]) -> Tensor:
    """Cut a window of ``size`` out of each image (N, C, H, W) at a place given by draws (N, 2) in [0, 1)."""
    height, width = size
    room = torch.tensor([x.shape[2] - height + 1, x.shape[3] - width + 1])
    top, left = (draws * room).long().to(x.device).unbind(1)
    rows = top[:, None] + torch.arange(height, device=x.device)
    columns = left[:, None] + torch.arange(width, device=x.device)
    index = torch.arange(len(x), device=x.device)[:, None, None], rows[:, :, None], columns[:, None, :]
    return x.permute(0, 2, 3, 1)[index].permute(0, 3, 1, 2)


def _random_crop(x: Tensor, draws: Tensor, margin: int) -> Tensor:
    """Pad each image with ``margin`` black pixels on all sides and crop it at random to its original size."""
    return _random_windows(F.pad(x, (margin,) * 4), draws, x.shape[2:])


def _erased_squares(draws: Tensor, side: float, height: int, width: int) -> Tensor:
    """Return masks (N, 1, H, W) of one square at a random position, with probability 0.5, else empty."""
    # The first draw is used twice: its first binary digit selects the image, the remaining digits give the row.
    chosen, row = draws[:, 0] < 0.5, (2 * draws[:, 0]).frac() * height
    column = draws[:, 1] * width
    rows = (torch.arange(height) + 0.5 - row[:, None]).abs() < side / 2
    columns = (torch.arange(width) + 0.5 - column[:, None]).abs() < side / 2
    return (chosen[:, None, None] & rows[:, :, None] & columns[:, None, :])[:, None]
