"""Codecs without a dense layer: pictures of any size to a smaller plane of codes and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.nn.activations import activation
from zoo.nn.codecs import Codec
from zoo.nn.inputs import Standardize
from zoo.nn.stacks import conv_block

TILE = 512
"""Height and width in pixels of the tiles in which a larger picture is worked on."""


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions whose result is added to their input (He, Zhang, Ren & Sun, 2016).

    Args:
        channels: Maps of input and output.
        activation_name: Name of the activation.
    """

    def __init__(self, channels: int, activation_name: str = "relu") -> None:
        super().__init__()
        self.branch = nn.Sequential(
            conv_block(channels, channels, activation_name),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.activation = activation(activation_name)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        return self.activation(x + self.branch(x))


class PlaneCodec(Codec):
    """A codec of convolutions alone, whose code is a plane of maps (N, latent_dim, H / stride, W / stride).

    Pictures whose sides are no multiple of ``stride`` are continued to the right and downwards by their last pixels.

    Args:
        encoder: Network from pictures (N, C, H, W) to code maps.
        decoder: Network from code maps to scores (N, C', H, W).
        output: Name of the last step, as ``Codec`` takes it.
        stride: Pixels of a side that share one position of the code.
        reach: How far, in pixels, what a pixel of the result depends on is from it at most.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, output: str, stride: int, reach: int) -> None:
        super().__init__(encoder, decoder, output)
        self.stride, self.reach = stride, reach

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct pictures (N, C, H, W) of any size, all at once."""
        height, width = x.shape[2:]
        return self.decode(self.encode(x))[..., :height, :width]

    def encode(self, x: Tensor) -> Tensor:
        """Turn pictures (N, C, H, W) of any size into code maps."""
        return self.encoder(filled_up(x, self.stride))


def filled_up(x: Tensor, stride: int) -> Tensor:
    """Continue pictures (N, C, H, W) by their last pixels until both sides are multiples of ``stride``."""
    height, width = x.shape[2:]
    return F.pad(x, (0, -width % stride, 0, -height % stride), mode="replicate")


def plane_codec(
    channels: tuple[int, int],
    hidden_dims: Sequence[int],
    latent_dim: int,
    *,
    blocks: int = 2,
    activation_name: str = "relu",
    latent_activation: str = "identity",
    output: str = "sigmoid",
    dropout: float = 0.0,
) -> PlaneCodec:
    """Return a fully convolutional codec (Long, Shelhamer & Darrell, 2015): any size in, the same size out.

    Each stage of the encoder halves the picture; ``blocks`` residual blocks follow, where a 3x3 convolution sees far at
    little cost, and a convolution to the code. The decoder is its mirror image, with transposed convolutions.

    Args:
        channels: Channels of the input and of the output.
        hidden_dims: Maps of each stage.
        latent_dim: Maps of the code.
        blocks: Residual blocks before the code, and as many after it.
        activation_name: Name of the hidden activation.
        latent_activation: Name of the activation of the code.
        output: Last step of the decoder, as ``Codec`` takes it.
        dropout: Probability with which a map before the code is left out.
    """
    channels_in, channels_out = channels
    widths, deep = [channels_in, *hidden_dims], hidden_dims[-1]
    encoder = nn.Sequential(
        Standardize((channels_in, None, None)),
        *(conv_block(a, b, activation_name, stride=2) for a, b in pairwise(widths)),
        *(ResidualBlock(deep, activation_name) for _ in range(blocks)),
        nn.Dropout2d(dropout),
        nn.Conv2d(deep, latent_dim, 3, padding=1),
        activation(latent_activation),
    )
    back: list[nn.Module] = [conv_block(latent_dim, deep, activation_name)]
    back += [ResidualBlock(deep, activation_name) for _ in range(blocks)]
    for a, b in pairwise(widths[:0:-1]):
        back += [nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), activation(activation_name)]
    back.append(nn.ConvTranspose2d(widths[1], channels_out, 4, 2, 1))
    stride = 2 ** len(hidden_dims)
    # A 3x3 convolution sees one position to each side; on the way down and up these are 1, 2, 4, ... pixels.
    reach = stride * (4 * blocks + 2) + 3 * stride
    return PlaneCodec(encoder, nn.Sequential(*back), output, stride, reach).to(memory_format=torch.channels_last)


def in_tiles(net: Callable[[Tensor], Tensor], x: Tensor, stride: int, reach: int, tile: int = TILE) -> Tensor:
    """Apply a fully convolutional network to pictures of any size, piece by piece, as if to all at once.

    Each tile is worked on with ``reach`` pixels around it, so nothing that a pixel depends on is missing and there are
    no seams; memory depends on the tile's size alone.

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
        return net(filled_up(x, stride))[..., :height, :width]
    whole: Tensor | None = None
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            above, before = max(top - margin, 0), max(left - margin, 0)
            piece = x[..., above : top + tile + margin, before : left + tile + margin]
            done = net(filled_up(piece, stride))[..., top - above :, left - before :]
            if whole is None:
                whole = x.new_empty(*done.shape[:2], height, width)
            there = whole[..., top : top + tile, left : left + tile]
            there.copy_(done[..., : there.shape[2], : there.shape[3]])
    assert whole is not None
    return whole
