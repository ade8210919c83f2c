"""Fully convolutional networks on pictures of any size, large ones piece by piece."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

TILE = 512
"""Height and width in pixels of the tiles in which a larger picture is worked on."""


def pad_to_multiple(x: Tensor, stride: int) -> Tensor:
    """Continue pictures (N, C, H, W) by their last pixels until both sides are multiples of ``stride``."""
    height, width = x.shape[2:]
    return F.pad(x, (0, -width % stride, 0, -height % stride), mode="replicate")


def apply_in_tiles(net: Callable[[Tensor], Tensor], x: Tensor, stride: int, reach: int, tile: int = TILE) -> Tensor:
    """Apply a fully convolutional network to pictures of any size, piece by piece, as if to all at once.

    Each tile is worked on with ``reach`` pixels around it, so nothing that a pixel depends on is missing and there are
    no seams. The network's memory depends on the tile's size alone; picture and result are held whole.

    Args:
        net: Function from (N, C, H, W) to (N, C', H, W) for sides that are multiples of ``stride``.
        x: Pictures (N, C, H, W).
        stride: Pixels of a side that share one position inside the network.
        reach: How far, in pixels, what a pixel of the result depends on is from it at most.
        tile: Height and width of a tile without what is around it.

    Returns:
        The result (N, C', H, W).
    """
    height, width = x.shape[2:]
    margin, tile = -(-reach // stride) * stride, max(tile // stride, 1) * stride
    if max(height, width) <= tile + margin:
        return net(pad_to_multiple(x, stride))[..., :height, :width]
    whole: Tensor | None = None
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            above, before = max(top - margin, 0), max(left - margin, 0)
            piece = x[..., above : top + tile + margin, before : left + tile + margin]
            done = net(pad_to_multiple(piece, stride))[..., top - above :, left - before :]
            if whole is None:
                whole = x.new_empty(*done.shape[:2], height, width)
            there = whole[..., top : top + tile, left : left + tile]
            there.copy_(done[..., : there.shape[2], : there.shape[3]])
    assert whole is not None
    return whole
