"""Application of fully convolutional networks to images of any size, large ones in tiles."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

TILE = 512
"""Height and width in pixels of the tiles of larger images; set by hand, not tuned."""


def pad_to_multiple(x: Tensor, stride: int) -> Tensor:
    """Pad images (N, C, H, W) with their last pixels until both sides are multiples of ``stride``."""
    height, width = x.shape[2:]
    return F.pad(x, (0, -width % stride, 0, -height % stride), mode="replicate")


def apply_in_tiles(net: Callable[[Tensor], Tensor], x: Tensor, stride: int, reach: int, tile: int = TILE) -> Tensor:
    """Apply a fully convolutional network to images of any size in tiles, with the result of a single pass.

    Each tile is extended by a margin of the receptive field's radius, so the result has no seams. The memory of the
    network depends on the size of a tile alone; image and result are held as a whole.

    Args:
        net: Function from (N, C, H, W) to (N, C', H, W) for sides that are multiples of ``stride``.
        x: Images (N, C, H, W).
        stride: Total stride of the network in pixels.
        reach: Radius of the receptive field of an output pixel, in pixels.
        tile: Height and width of a tile without its margin.

    Returns:
        The result (N, C', H, W).
    """
    height, width = x.shape[2:]
    margin, tile = -(-reach // stride) * stride, max(tile // stride, 1) * stride
    if max(height, width) <= tile + margin:
        return net(pad_to_multiple(x, stride))[..., :height, :width]
    result: Tensor | None = None
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            patch_top, patch_left = max(top - margin, 0), max(left - margin, 0)
            patch = x[..., patch_top : top + tile + margin, patch_left : left + tile + margin]
            tile_result = net(pad_to_multiple(patch, stride))[..., top - patch_top :, left - patch_left :]
            if result is None:
                result = x.new_empty(*tile_result.shape[:2], height, width)
            target = result[..., top : top + tile, left : left + tile]
            target.copy_(tile_result[..., : target.shape[2], : target.shape[3]])
    assert result is not None
    return result
