"""Codecs without a dense layer: pictures of any size to a smaller plane of codes and back."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from zoo.nn.activations import activation
from zoo.nn.codecs import Codec
from zoo.nn.inputs import Standardize
from zoo.nn.stacks import ResidualBlock, conv_block
from zoo.nn.tiles import pad_to_multiple


class UnitVariance(nn.Module):
    """Scale maps to unit variance over the batch and shift each by a learned offset.

    Batch normalisation (Ioffe & Szegedy, 2015) without its learned scale: a penalty on what follows cannot be met by
    smaller numbers, only by fewer.

    Args:
        channels: Number of maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.normalise = nn.BatchNorm2d(channels, affine=False)
        self.offset = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        return self.normalise(x) + self.offset


class FullyConvolutionalCodec(Codec):
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
        return self.output(self.code_and_scores(pad_to_multiple(x, self.stride))[1])[..., :height, :width]

    def encode(self, x: Tensor) -> Tensor:
        """Turn pictures (N, C, H, W) of any size into code maps."""
        return self.encoder(pad_to_multiple(x, self.stride))


def fully_convolutional_codec(
    channels: tuple[int, int],
    hidden_dims: Sequence[int],
    latent_dim: int,
    *,
    blocks: int = 2,
    activation_name: str = "relu",
    latent_activation: str = "identity",
    output: str = "sigmoid",
    dropout: float = 0.0,
    unit_variance: bool = False,
    skip: bool = False,
) -> FullyConvolutionalCodec:
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
        unit_variance: Whether the maps of the code are scaled to unit variance before their activation.
        skip: Whether the decoder is shown the encoder's maps, as in ``SkipCodec``.
    """
    channels_in, channels_out = channels
    widths, deep = [channels_in, *hidden_dims], hidden_dims[-1]
    encoder = nn.Sequential(
        Standardize((channels_in, None, None)),
        *(conv_block(a, b, activation_name, stride=2) for a, b in pairwise(widths)),
        *(ResidualBlock(deep, activation_name) for _ in range(blocks)),
        nn.Dropout2d(dropout),
        nn.Conv2d(deep, latent_dim, 3, padding=1),
        *([UnitVariance(latent_dim)] if unit_variance else []),
        activation(latent_activation),
    )
    back: list[nn.Module] = [conv_block(latent_dim, deep, activation_name)]
    back += [ResidualBlock(deep, activation_name) for _ in range(blocks)]
    stride = 2 ** len(hidden_dims)
    # A 3x3 convolution sees one position to each side; on the way down and up these are 1, 2, 4, ... pixels.
    reach = stride * (4 * blocks + 2) + 4 * stride
    if skip:
        decoder: nn.Module = SkipDecoder(nn.Sequential(*back), widths, channels_out, activation_name)
        codec: type[FullyConvolutionalCodec] = SkipCodec
    else:
        for a, b in pairwise(widths[:0:-1]):
            back += [nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), activation(activation_name)]
        decoder, codec = (
            nn.Sequential(*back, nn.ConvTranspose2d(widths[1], channels_out, 4, 2, 1)),
            FullyConvolutionalCodec,
        )
    return codec(encoder, decoder, output, stride, reach).to(memory_format=torch.channels_last)


class SkipDecoder(nn.Module):
    """Decoder that is shown, at each size, what the encoder saw at that size.

    Args:
        deep: Layers that stay at the size of the code.
        widths: Channels of the encoder's input and of each of its stages.
        channels: Channels of the result.
        activation_name: Name of the activation.
    """

    def __init__(self, deep: nn.Module, widths: Sequence[int], channels: int, activation_name: str = "relu") -> None:
        super().__init__()
        self.deep = deep
        sizes = [max(widths[1] // 2, 8), *widths[1:]]
        self.enlarge = nn.ModuleList(nn.ConvTranspose2d(a, b, 4, 2, 1) for b, a in reversed(list(pairwise(sizes))))
        shown = reversed(list(zip(sizes[:-1], widths[:-1])))
        self.merge = nn.ModuleList(conv_block(size + seen, size, activation_name) for size, seen in shown)
        self.last = nn.Conv2d(sizes[0], channels, 3, padding=1)

    def forward(self, code: Tensor, seen: Sequence[Tensor]) -> Tensor:
        """Map code maps and what the encoder saw, the largest first, to scores."""
        x = self.deep(code)
        for enlarge, merge, maps in zip(self.enlarge, self.merge, reversed(seen)):
            x = merge(torch.cat([enlarge(x), maps], 1))
        return self.last(x)


class SkipCodec(FullyConvolutionalCodec):
    """A plane codec with skip connections, a U-Net (Ronneberger, Fischer & Brox, 2015).

    The decoder is shown the encoder's maps as well, so the code need not hold what lies near, and cannot be decoded
    without them.
    """

    encoder: nn.Sequential

    def code_and_scores(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return code maps and scores of pictures whose sides are multiples of ``stride``."""
        x, seen = self.encoder[0](x), []
        stages = self.stride.bit_length() - 1
        for stage in self.encoder[1 : 1 + stages]:
            seen.append(x)
            x = stage(x)
        code = self.encoder[1 + stages :](x)
        return code, self.decoder(code, seen)

    def decode(self, code: Tensor) -> Tensor:
        """Refuse: a code is not all that the decoder needs."""
        raise ValueError("a network with skip connections cannot decode codes alone: use reconstruct")
