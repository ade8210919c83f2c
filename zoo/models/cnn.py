"""Convolutional networks for images, in channels_last, the fastest memory format of oneDNN and cuDNN."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from zoo.nn import MirrorAverage, Stack, Standardize, conv_block, dense_stack
from zoo.nn import activation as build_activation
from zoo.registry import register_model
from zoo.tasks import Classifier


@register_model(
    "lenet5", source="LeCun, Bottou, Bengio & Haffner 1998, Gradient-based learning applied to document recognition"
)
class LeNet5(Classifier):
    """LeNet-5 for grey images of 28x28 pixels: two convolutions with average pooling and three fully connected layers.

        1x28x28 -conv5, pad 2-> 6x28x28 -mean 2-> 6x14x14 -conv5-> 16x10x10 -mean 2-> 16x5x5 -> 120 -> 84 -> classes

    It has two common simplifications: each channel of the second convolution is connected to all six channels of the
    first, and the output is linear with a softmax instead of radial basis functions.

    Args:
        num_classes: Number of classes.
        activation: Name of the activation; the original has a scaled tanh.
        dropout: Dropout probability of the fully connected layers.
        mean: Mean of the pixels, which are in [0, 1].
        std: Standard deviation of the pixels.
        **training: Arguments of ``Classifier`` and ``ZooModule``.
    """

    input_shape = (1, 28, 28)

    def __init__(
        self,
        *,
        num_classes: int = 10,
        activation: str = "tanh",
        dropout: float = 0.0,
        mean: float | list[float] = 0.0,
        std: float | list[float] = 1.0,
        **training: Any,
    ) -> None:
        super().__init__(**training)
        self.net = Stack(
            Standardize(self.input_shape, mean, std),
            nn.Conv2d(1, 6, 5, padding=2),
            build_activation(activation),
            nn.AvgPool2d(2),
            nn.Conv2d(6, 16, 5),
            build_activation(activation),
            nn.AvgPool2d(2),
            nn.Flatten(),
            *dense_stack([16 * 5 * 5, 120, 84], activation, dropout),
            nn.Linear(84, num_classes),
        )
        self.net.to(memory_format=torch.channels_last)


@register_model(
    "cnn", source="Simonyan & Zisserman 2015, Very deep convolutional networks for large-scale image recognition"
)
class CNN(Classifier):
    """Small convolutional network in the style of VGG, with batch normalisation, for images of any size.

    Each entry of ``hidden_dims`` is a stage of 3x3 convolutions with that many channels, each followed by batch
    normalisation (Ioffe & Szegedy, 2015) and the activation. Between the stages is 2x2 max pooling; global average
    pooling (Lin et al., 2014), dropout and a linear layer follow the last.

    Args:
        in_channels: Channels of an image.
        num_classes: Number of classes.
        hidden_dims: Number of channels of each stage.
        depths: Number of convolutions of each stage; those at full resolution cost most.
        activation: Name of the activation.
        dropout: Dropout probability before the linear layer.
        mirror: Whether to average the scores of an image and its horizontal flip in evaluation, see ``MirrorAverage``.
        input_shape: Shape of a typical image, for summaries; any height and width works.
        mean: Mean of the pixels, which are in [0, 1], one for all channels or one for each.
        std: Standard deviation of the pixels, likewise.
        **training: Arguments of ``Classifier`` and ``ZooModule``.
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        num_classes: int = 10,
        hidden_dims: list[int] = [32, 64, 128],  # noqa: B006
        depths: list[int] = [1, 2, 2],  # noqa: B006
        activation: str = "silu",
        dropout: float = 0.0,
        mirror: bool = False,
        input_shape: list[int] | None = None,
        mean: float | list[float] = 0.0,
        std: float | list[float] = 1.0,
        **training: Any,
    ) -> None:
        super().__init__(**training)
        shape = tuple([in_channels, 28, 28] if input_shape is None else input_shape)
        if len(shape) != 3 or min(shape) < 1:
            raise ValueError(f"input_shape must be channels, height and width, not {list(shape)}")
        self.input_shape = shape
        layers: list[nn.Module] = [Standardize([in_channels, None, None], mean, std)]
        channels = in_channels
        if len(depths) != len(hidden_dims):
            raise ValueError(
                f"depths {depths} and hidden_dims {hidden_dims} differ in length: expected one of each per stage"
            )
        for stage, (width, depth) in enumerate(zip(hidden_dims, depths)):
            if stage:
                layers.append(nn.MaxPool2d(2, ceil_mode=True))
            for _ in range(depth):
                layers.append(conv_block(channels, width, activation))
                channels = width
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(channels, num_classes)]
        self.net = MirrorAverage(*layers) if mirror else Stack(*layers)
        self.net.to(memory_format=torch.channels_last)
