"""Encoders with their decoders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn

from zoo.errors import unknown
from zoo.nn.activations import activation
from zoo.nn.inputs import Standardize
from zoo.nn.stacks import conv_block, dense_stack

OUTPUTS: dict[str, Callable[[], nn.Module]] = {
    "identity": nn.Identity,
    "sigmoid": nn.Sigmoid,
    "softmax": lambda: nn.Softmax(1),
}
"""Last step of a decoder: none, numbers in [0, 1], or shares that sum to 1."""


class Codec(nn.Module):
    """An encoder and a decoder in a row: reconstruction = output(decoder(encoder(x))).

    Args:
        encoder: Network from inputs (N, ...) to codes (N, latent_dim).
        decoder: Network from codes to scores of the inputs' shape.
        output: Name of the last step, from scores to the reconstruction; one of ``OUTPUTS``.
    """

    numbers = 1
    """How many numbers the encoder gives for each unit of the code."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, output: str = "sigmoid") -> None:
        super().__init__()
        if output not in OUTPUTS:
            raise unknown("output", output, OUTPUTS)
        self.encoder, self.decoder, self.output = encoder, decoder, OUTPUTS[output]()

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct a batch (N, ...) in natural units."""
        return self.decode(self.encode(x))

    def encode(self, x: Tensor) -> Tensor:
        """Turn a batch (N, ...) in natural units into codes (N, latent_dim)."""
        return self.encoder(x)

    def decode(self, code: Tensor) -> Tensor:
        """Turn codes (N, latent_dim) into reconstructions (N, ...)."""
        return self.output(self.decoder(code))

    def code_and_scores(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the encoder gives for a batch (N, ...), and the decoder's scores for that."""
        code = self.encoder(x)
        return code, self.decoder(code)


class GaussianCodec(Codec):
    """A codec whose code is normally distributed: the encoder gives means and logarithms of variances.

    ``encode`` and ``forward`` take the mean for the code.
    """

    numbers = 2

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance, both (N, latent_dim), of the codes of a batch (N, ...)."""
        mean, log_variance = self.encoder(x).chunk(2, 1)
        return mean, log_variance.clamp(-12, 12)

    def encode(self, x: Tensor) -> Tensor:
        """Turn a batch (N, ...) in natural units into the means of its codes (N, latent_dim)."""
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
    """Return fully connected layers to a code and, their widths in reverse, back.

    Args:
        input_shape: Shape of one sample.
        hidden_dims: Widths of the encoder's hidden layers; none for a single layer each way.
        latent_dim: Width of the code.
        activation_name: Name of the hidden activation.
        latent_activation: Name of the activation of the code.
        output: Last step of the decoder, as ``Codec`` takes it.
        dropout: Probability with which a hidden unit is left out.
        batch_norm: Whether hidden layers are normalised before their activation (Ioffe & Szegedy, 2015).
        codec: Class of the result.
    """
    sizes = [prod(input_shape), *hidden_dims]
    encoder = nn.Sequential(
        Standardize(input_shape),
        nn.Flatten(),
        *dense_stack(sizes, activation_name, dropout, batch_norm),
        nn.Linear(sizes[-1], codec.numbers * latent_dim),
        activation(latent_activation),
    )
    back = [latent_dim, *reversed(hidden_dims)]
    decoder = nn.Sequential(
        *dense_stack(back, activation_name, dropout, batch_norm),
        nn.Linear(back[-1], sizes[0]),
        nn.Unflatten(1, tuple(input_shape)),
    )
    return codec(encoder, decoder, output)


class Crop(nn.Module):
    """Cut pictures (N, C, H, W) down to a height and a width, from their top left corner.

    Args:
        height: Height of the result.
        width: Width of the result.
    """

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = height, width

    def forward(self, x: Tensor) -> Tensor:
        """Cut a batch of pictures."""
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
    """Return convolutions that halve a picture to a code, and transposed ones that double it back.

    Each stage of the encoder is a 3x3 convolution of stride 2, batch normalisation and the activation; each of the
    decoder a transposed 4x4 convolution of stride 2 (Masci et al., 2011; Radford et al., 2016).

    Args:
        input_shape: Shape (C, H, W) of one picture.
        hidden_dims: Maps of each stage of the encoder; the decoder's are the same in reverse.
        latent_dim: Width of the code.
        activation_name: Name of the hidden activation.
        latent_activation: Name of the activation of the code.
        output: Last step of the decoder, as ``Codec`` takes it.
        dropout: Probability with which a number before the code is left out.
        codec: Class of the result.

    Raises:
        ValueError: If samples are no pictures or there is no stage.
    """
    if len(input_shape) != 3 or not hidden_dims:
        raise ValueError(
            f"network 'conv' takes pictures (C, H, W) and at least one of hidden_dims, not samples of shape "
            f"{tuple(input_shape)} and {list(hidden_dims)}"
        )
    channels, height, width = input_shape
    widths = [channels, *hidden_dims]
    stages = [conv_block(a, b, activation_name, stride=2) for a, b in pairwise(widths)]
    low, across = height, width
    for _ in hidden_dims:
        low, across = -(-low // 2), -(-across // 2)
    flat = widths[-1] * low * across
    encoder = nn.Sequential(
        Standardize(input_shape),
        *stages,
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(flat, codec.numbers * latent_dim),
        activation(latent_activation),
    )
    back: list[nn.Module] = [
        nn.Linear(latent_dim, flat),
        activation(activation_name),
        nn.Unflatten(1, (widths[-1], low, across)),
    ]
    for a, b in pairwise(widths[:0:-1]):
        back += [nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), activation(activation_name)]
    back += [nn.ConvTranspose2d(widths[1], channels, 4, 2, 1), Crop(height, width)]
    return codec(encoder, nn.Sequential(*back), output).to(memory_format=torch.channels_last)
