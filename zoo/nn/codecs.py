"""Codecs: pairs of an encoder and a decoder, fully connected or convolutional."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn

from zoo.errors import unknown
from zoo.nn.activations import activation
from zoo.nn.inputs import Standardize
from zoo.nn.stacks import Stack, conv_block, dense_stack

OUTPUTS: dict[str, Callable[[], nn.Module]] = {
    "identity": nn.Identity,
    "sigmoid": nn.Sigmoid,
    "softmax": lambda: nn.Softmax(1),
}
"""Output activations of a decoder: none, values in [0, 1], or shares that sum to 1."""


class Codec(nn.Module):
    """Encoder and decoder: reconstruction = output(decoder(encoder(x))).

    Args:
        encoder: Network from inputs (N, ...) to codes (N, latent_dim).
        decoder: Network from codes to scores of the inputs' shape.
        output: Name of the output activation, from scores to the reconstruction; one of ``OUTPUTS``.
    """

    outputs_per_unit = 1
    """Number of encoder outputs for each unit of the code."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, output: str = "sigmoid") -> None:
        super().__init__()
        if output not in OUTPUTS:
            raise unknown("output", output, OUTPUTS)
        self.encoder, self.decoder, self.output = encoder, decoder, OUTPUTS[output]()

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct a batch (N, ...) in natural units."""
        return self.decode(self.encode(x))

    def encode(self, x: Tensor) -> Tensor:
        """Encode a batch (N, ...) in natural units as codes (N, latent_dim)."""
        return self.encoder(x)

    def decode(self, code: Tensor) -> Tensor:
        """Decode codes (N, latent_dim) to reconstructions (N, ...)."""
        return self.output(self.decoder(code))

    def code_and_scores(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the encoder's output for a batch (N, ...), and the decoder's scores of that output."""
        code = self.encoder(x)
        return code, self.decoder(code)


class GaussianCodec(Codec):
    """Codec with a normally distributed code, whose mean and log variance the encoder computes.

    ``encode`` and ``forward`` use the mean as the code.
    """

    outputs_per_unit = 2

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance, both (N, latent_dim), of the codes of a batch (N, ...)."""
        mean, log_variance = self.encoder(x).chunk(2, 1)
        return mean, log_variance.clamp(-12, 12)  # bounds the variance; set by hand, not tuned

    def encode(self, x: Tensor) -> Tensor:
        """Encode a batch (N, ...) in natural units as the means of its codes (N, latent_dim)."""
        return self.moments(x)[0]


def dense_codec(
    input_shape: Sequence[int],
    hidden_dims: Sequence[int],
    latent_dim: int,
    *,
    activation_name: str = "relu",
    latent_activation: str = "identity",
    output: str = "sigmoid",
    dropout: float = 0.0,
    batch_norm: bool = False,
    codec: type[Codec] = Codec,
) -> Codec:
    """Return a fully connected codec; the decoder has the encoder's widths in reverse order.

    Args:
        input_shape: Shape of one sample.
        hidden_dims: Widths of the encoder's hidden layers; empty for a linear encoder and decoder.
        latent_dim: Width of the code.
        activation_name: Name of the hidden activation.
        latent_activation: Name of the activation of the code.
        output: Name of the output activation, see ``Codec``.
        dropout: Dropout probability of the hidden layers.
        batch_norm: Whether to apply batch normalisation before the hidden activations (Ioffe & Szegedy, 2015).
        codec: Class of the codec.
    """
    sizes = [prod(input_shape), *hidden_dims]
    encoder = Stack(
        Standardize(input_shape),
        nn.Flatten(),
        *dense_stack(sizes, activation_name, dropout, batch_norm),
        nn.Linear(sizes[-1], codec.outputs_per_unit * latent_dim),
        activation(latent_activation),
    )
    decoder_sizes = [latent_dim, *reversed(hidden_dims)]
    decoder = Stack(
        *dense_stack(decoder_sizes, activation_name, dropout, batch_norm),
        nn.Linear(decoder_sizes[-1], sizes[0]),
        nn.Unflatten(1, tuple(input_shape)),
    )
    return codec(encoder, decoder, output)


class Crop(nn.Module):
    """Crop images (N, C, H, W) to a height and a width, from the top left corner.

    Args:
        height: Height of the result.
        width: Width of the result.
    """

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = height, width

    def forward(self, x: Tensor) -> Tensor:
        """Crop a batch of images."""
        return x[:, :, : self.height, : self.width]


def conv_codec(
    input_shape: Sequence[int],
    hidden_dims: Sequence[int],
    latent_dim: int,
    *,
    activation_name: str = "relu",
    latent_activation: str = "identity",
    output: str = "sigmoid",
    dropout: float = 0.0,
    codec: type[Codec] = Codec,
) -> Codec:
    """Return a codec of strided convolutions with a dense code.

    Each stage of the encoder is a 3x3 convolution of stride 2, batch normalisation and the activation; each of the
    decoder a transposed 4x4 convolution of stride 2 (Masci et al., 2011; Radford et al., 2016). The last transposed
    convolution has neither, and its result is cropped to the input's height and width.

    Args:
        input_shape: Shape (C, H, W) of one image.
        hidden_dims: Number of channels of each stage of the encoder; the decoder has them in reverse order.
        latent_dim: Width of the code.
        activation_name: Name of the hidden activation.
        latent_activation: Name of the activation of the code.
        output: Name of the output activation, see ``Codec``.
        dropout: Dropout probability of the features before the code.
        codec: Class of the codec.

    Raises:
        ValueError: If the samples are not images or there is no stage.
    """
    if len(input_shape) != 3 or not hidden_dims:
        raise ValueError(
            f"network 'conv' takes images (C, H, W) and at least one of hidden_dims, not samples of shape "
            f"{tuple(input_shape)} and {list(hidden_dims)}"
        )
    channels, height, width = input_shape
    widths = [channels, *hidden_dims]
    stages = [conv_block(a, b, activation_name, stride=2) for a, b in pairwise(widths)]
    rows, columns = height, width
    for _ in hidden_dims:
        rows, columns = -(-rows // 2), -(-columns // 2)
    features = widths[-1] * rows * columns
    encoder = Stack(
        Standardize(input_shape),
        *stages,
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(features, codec.outputs_per_unit * latent_dim),
        activation(latent_activation),
    )
    decoder: list[nn.Module] = [
        nn.Linear(latent_dim, features),
        activation(activation_name),
        nn.Unflatten(1, (widths[-1], rows, columns)),
    ]
    for a, b in pairwise(widths[:0:-1]):
        decoder += [nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), activation(activation_name)]
    decoder += [nn.ConvTranspose2d(widths[1], channels, 4, 2, 1), Crop(height, width)]
    return codec(encoder, nn.Sequential(*decoder), output).to(memory_format=torch.channels_last)
