"""Fully convolutional codecs, for images of any size."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import unknown
from zoo.nn.activations import activation
from zoo.nn.codecs import Codec
from zoo.nn.inputs import Standardize
from zoo.nn.stacks import Padding, ResidualBlock, conv_block
from zoo.nn.tiles import pad_to_multiple


class UnitVariance(nn.Module):
    """Normalise channels to unit variance over the batch, with a learned offset.

    Batch normalisation (Ioffe & Szegedy, 2015) without a learned scale: a penalty on the activity that follows cannot
    be lowered by a smaller scale, only by fewer active units.

    Args:
        channels: Number of channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.normalise = nn.BatchNorm2d(channels, affine=False)
        self.offset = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        return self.normalise(x) + self.offset


class FullyConvolutionalCodec(Codec):
    """Codec of convolutions, whose code is a feature map (N, latent_dim, H / stride, W / stride).

    Images whose sides are no multiples of ``stride`` are padded at the right and the bottom with their last pixels.

    Args:
        encoder: Network from images (N, C, H, W) to code maps.
        decoder: Network from code maps to scores (N, C', H, W).
        output: Name of the output activation, see ``Codec``.
        stride: Stride of the code in pixels.
        reach: Radius of the receptive field of an output pixel, in pixels.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, output: str, stride: int, reach: int) -> None:
        super().__init__(encoder, decoder, output)
        self.stride, self.reach = stride, reach

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct images (N, C, H, W) of any size, without tiling."""
        height, width = x.shape[2:]
        padded = pad_to_multiple(x, self.stride)
        result = self.output(self.code_and_scores(padded)[1])
        if result.shape[2:] != padded.shape[2:]:
            result = F.interpolate(result, padded.shape[2:], mode="bilinear")
        return result[..., :height, :width]

    def encode(self, x: Tensor) -> Tensor:
        """Encode images (N, C, H, W) of any size as code maps."""
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
    residual: bool = False,
    padding_mode: Padding = "zeros",
    half: bool = False,
) -> FullyConvolutionalCodec:
    """Return a fully convolutional codec (Long, Shelhamer & Darrell, 2015), whose output has the input's size.

    Each stage of the encoder halves height and width; ``blocks`` residual blocks follow, which widen the receptive
    field at low resolution and so at low cost, then a convolution to the code. The decoder mirrors the encoder, with
    transposed convolutions.

    Args:
        channels: Channels of the input and of the output.
        hidden_dims: Number of channels of each stage.
        latent_dim: Number of channels of the code.
        blocks: Number of residual blocks before the code, and as many after it.
        activation_name: Name of the hidden activation.
        latent_activation: Name of the activation of the code.
        output: Name of the output activation, see ``Codec``.
        dropout: Dropout probability of the channels before the code.
        unit_variance: Whether to apply ``UnitVariance`` to the code before its activation.
        skip: Whether to add skip connections from encoder to decoder, see ``SkipCodec``.
        residual: Whether the decoder's output is added to the input, see ``ResidualCodec``; takes ``skip``.
        padding_mode: Padding of the convolutions, as in ``torch.nn.Conv2d``. With ``replicate`` the borders of an image
            are like its interior, so that a network that was trained on small images works on large ones.
        half: Whether the output has half the height and width of the input; takes ``skip``.
    """
    if padding_mode not in get_args(Padding):
        raise unknown("padding_mode", padding_mode, get_args(Padding))
    channels_in, channels_out = channels
    widths, deep = [channels_in, *hidden_dims], hidden_dims[-1]
    encoder = nn.Sequential(
        Standardize((channels_in, None, None)),
        *(conv_block(a, b, activation_name, 2, padding_mode) for a, b in pairwise(widths)),
        *(ResidualBlock(deep, activation_name, padding_mode) for _ in range(blocks)),
        nn.Dropout2d(dropout),
        nn.Conv2d(deep, latent_dim, 3, padding=1, padding_mode=padding_mode),
        *([UnitVariance(latent_dim)] if unit_variance else []),
        activation(latent_activation),
    )
    decoder_layers: list[nn.Module] = [conv_block(latent_dim, deep, activation_name, padding_mode=padding_mode)]
    decoder_layers += [ResidualBlock(deep, activation_name, padding_mode) for _ in range(blocks)]
    stride = 2 ** len(hidden_dims)
    # A 3x3 convolution reaches one position to each side: 1, 2, 4, ... pixels, by stage.
    reach = stride * (4 * blocks + 2) + 4 * stride
    if skip:
        deep_layers = nn.Sequential(*decoder_layers)
        decoder: nn.Module = SkipDecoder(deep_layers, widths, channels_out, activation_name, padding_mode, half)
        codec: type[FullyConvolutionalCodec] = ResidualCodec if residual else SkipCodec
    else:
        for a, b in pairwise(widths[:0:-1]):
            decoder_layers += [
                nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False),
                nn.BatchNorm2d(b),
                activation(activation_name),
            ]
        decoder, codec = (
            nn.Sequential(*decoder_layers, nn.ConvTranspose2d(widths[1], channels_out, 4, 2, 1)),
            FullyConvolutionalCodec,
        )
    if residual:
        decoder.get_parameter("last.weight").data.mul_(0.1)  # the first output is close to the input
    return codec(encoder, decoder, output, stride, reach).to(memory_format=torch.channels_last)


class SkipDecoder(nn.Module):
    """Decoder with skip connections, which concatenates the encoder's feature maps of the same size.

    Args:
        deep: Layers at the resolution of the code.
        widths: Channels of the encoder's input and of each of its stages.
        channels: Channels of the output.
        activation_name: Name of the activation.
        padding_mode: Padding of the convolutions, as in ``torch.nn.Conv2d``.
        half: Whether the output has half the height and width of the encoder's input.
    """

    def __init__(
        self,
        deep: nn.Module,
        widths: Sequence[int],
        channels: int,
        activation_name: str = "relu",
        padding_mode: Padding = "zeros",
        half: bool = False,
    ) -> None:
        super().__init__()
        self.deep = deep
        sizes = [max(widths[1] // 2, 8), *widths[1:]]
        if half:
            sizes, widths = sizes[1:], widths[1:]
        self.enlarge = nn.ModuleList(nn.ConvTranspose2d(a, b, 4, 2, 1) for b, a in reversed(list(pairwise(sizes))))
        merged_channels = reversed(list(zip(sizes[:-1], widths[:-1])))
        self.merge = nn.ModuleList(
            conv_block(size + features, size, activation_name, padding_mode=padding_mode)
            for size, features in merged_channels
        )
        self.last = nn.Conv2d(sizes[0], channels, 3, padding=1, padding_mode=padding_mode)

    def forward(self, code: Tensor, features: Sequence[Tensor]) -> Tensor:
        """Map code maps and the encoder's feature maps, the largest first, to scores."""
        x = self.deep(code)
        for enlarge, merge, maps in zip(self.enlarge, self.merge, reversed(features)):
            x = merge(torch.cat([enlarge(x), maps], 1))
        return self.last(x)


class SkipCodec(FullyConvolutionalCodec):
    """Fully convolutional codec with skip connections, a U-Net (Ronneberger, Fischer & Brox, 2015).

    The decoder needs the feature maps of the encoder as well as the code, so the code alone cannot be decoded.
    """

    encoder: nn.Sequential

    def code_and_scores(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return code maps and scores of images whose sides are multiples of ``stride``."""
        x, features = self.encoder[0](x), []
        stages = self.stride.bit_length() - 1
        for stage in self.encoder[1 : 1 + stages]:
            features.append(x)
            x = stage(x)
        code = self.encoder[1 + stages :](x)
        return code, self.decoder(code, features)

    def decode(self, code: Tensor) -> Tensor:
        """Raise ``ValueError``: the decoder needs the encoder's feature maps too."""
        raise ValueError("a network with skip connections cannot decode codes alone: use reconstruct")


class ResidualCodec(SkipCodec):
    """Codec with skip connections whose scores are its input plus the decoder's output.

    What the network learns is the change of an image, such as the noise (Zhang, Zuo, Chen, Meng & Zhang, 2017).
    """

    def code_and_scores(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return code maps and scores of images whose sides are multiples of ``stride``."""
        code, change = super().code_and_scores(x)
        return code, x + change
