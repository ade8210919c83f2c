"""Inpainting of holes of any width: of the model and of biharmonic surfaces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.ndimage import distance_transform_cdt
from torch import Tensor

from zoo.metrics.images import psnr
from zoo.nn import CORRUPTIONS
from zoo.nn.inpainting import biharmonic_surface

ROWS = 300
"""Number of test images, the first ones; set by hand."""
DEPTHS = {"narrow": 3, "medium": 10, "wide": 10_000}
"""Largest distance in pixels of a hole's middle from its edge, by the name of the width."""


def _by_width(data: Any, fill: Callable[[Tensor, Tensor], Tensor]) -> dict[str, float]:
    """Return the PSNR in holes of any width that are drawn with a fixed seed in test images, by their width."""
    data.setup()
    split = data.splits["test"]
    x = data.to_natural_units(split.take(np.arange(min(ROWS, len(split.groups)))).tensors[0])
    draw = CORRUPTIONS["any_holes"].holes
    assert draw is not None
    holes = draw(x, CORRUPTIONS["any_holes"].strength, torch.Generator().manual_seed(0))
    depths = np.array([distance_transform_cdt(np.pad(hole[0], 1), "chessboard").max() for hole in holes.numpy()])
    pairs = zip(x.split(10), holes.split(10), strict=True)
    found = torch.cat([psnr(fill(a.masked_fill(b, 0.0), b), a, b) for a, b in pairs]).numpy()
    result, least = {"test_hole_psnr": float(found.mean())}, 0
    for name, depth in DEPTHS.items():
        result[f"test_{name}_psnr"] = float(found[(depths > least) & (depths <= depth)].mean())
        least = depth
    return result


def filled_by_width(model: Any, data: Any) -> dict[str, float]:
    """PSNR in dB of the model in holes of any width: all, narrow (up to 6 pixels), medium (up to 20) and wide ones."""
    return _by_width(data, lambda x, holes: model.reconstruct(x, mask=holes))


def biharmonic_by_width(model: Any, data: Any) -> dict[str, float]:
    """PSNR in dB of biharmonic surfaces (Damelin & Hoang, 2018) in the holes of ``filled_by_width``."""
    return _by_width(data, biharmonic_surface)
