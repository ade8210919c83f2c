"""Stacks of fully connected and convolutional layers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Any, Literal

import torch
from torch import Tensor, nn

from zoo.nn.activations import activation
from zoo.nn.inputs import Standardize

Padding = Literal["zeros", "replicate"]
"""Padding of convolutions at the borders of an image: with zeros, or with its last pixels."""


class Stack(nn.Sequential):
    """Sequence of layers that also loads weights saved with other layers without weights between them.

    Weights are stored under the indices of their layers, which shift where a layer without weights is added or left
    out, as dropout once was. The stored layers that have weights are then taken in order.
    """

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        wrapped = f"{prefix}net."  # of a stack that was inside a module with an attribute ``net``
        for key in [key for key in state_dict if key.startswith(wrapped)]:
            state_dict[prefix + key.removeprefix(wrapped)] = state_dict.pop(key)
        stored = {key: key.removeprefix(prefix).split(".", 1) for key in state_dict if key.startswith(prefix)}
        if all(len(parts) == 2 and parts[0].isdigit() for parts in stored.values()):
            found = sorted({int(index) for index, _ in stored.values()})
            wanted = [int(index) for index, layer in self.named_children() if layer.state_dict()]
            if found != wanted and len(found) == len(wanted):
                places = dict(zip(found, wanted, strict=True))
                tensors = {key: state_dict.pop(key) for key in stored}
                for key, (index, name) in stored.items():
                    state_dict[f"{prefix}{places[int(index)]}.{name}"] = tensors[key]
        super()._load_from_state_dict(state_dict, prefix, *rest)


def dense_stack(
    sizes: Sequence[int], activation_name: str = "relu", dropout: float = 0.0, batch_norm: bool = False
) -> list[nn.Module]:
    """Return fully connected layers, each followed by an activation and dropout.

    Args:
        sizes: Widths, beginning with the input's; ``[784, 256, 128]`` gives two layers.
        activation_name: Name of the activation after each layer.
        dropout: Dropout probability (Srivastava et al., 2014).
        batch_norm: Whether to apply batch normalisation before the activations (Ioffe & Szegedy, 2015).
    """
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(sizes):
        layers.append(nn.Linear(fan_in, fan_out, bias=not batch_norm))
        if batch_norm:
            layers.append(nn.BatchNorm1d(fan_out))
        layers.append(with_dropout(activation(activation_name), dropout))
    return layers


def with_dropout(layer: nn.Module, probability: float) -> nn.Module:
    """Return a layer without weights, followed by dropout: one layer of a stack, whose indices stay the same."""
    return nn.Sequential(layer, nn.Dropout(probability)) if probability else layer


def dense_net(
    input_shape: Sequence[int],
    hidden_dims: Sequence[int],
    num_classes: int,
    *,
    activation_name: str = "relu",
    dropout: float = 0.0,
    input_dropout: float = 0.0,
    batch_norm: bool = False,
    mean: float | list[float] = 0.0,
    std: float | list[float] = 1.0,
) -> Stack:
    """Return a fully connected network from samples in natural units to scores (N, num_classes).

    For two classes the network has one output unit z, and the scores are (0, z); see ``BinaryScores``. For regression
    the output is (N, 1).

    Args:
        input_shape: Shape of one sample.
        hidden_dims: Widths of the hidden layers; empty for a linear model.
        num_classes: Number of classes; 0 for regression.
        activation_name: Name of the hidden activation.
        dropout: Dropout probability of the hidden layers.
        input_dropout: Dropout probability of the input.
        batch_norm: Whether to apply batch normalisation before the hidden activations.
        mean: Mean of the input, see ``Standardize``.
        std: Standard deviation of the input, see ``Standardize``.

    Raises:
        ValueError: If there is one class, or less than none.
    """
    if num_classes < 2 and num_classes != 0:
        raise ValueError(f"num_classes must be at least 2, or 0 for regression, not {num_classes}")
    layers: list[nn.Module] = [Standardize(input_shape, mean, std), with_dropout(nn.Flatten(), input_dropout)]
    sizes = [prod(input_shape), *hidden_dims]
    layers += dense_stack(sizes, activation_name, dropout, batch_norm)
    layers.append(nn.Linear(sizes[-1], 1 if num_classes in (0, 2) else num_classes))
    if num_classes == 2:
        layers.append(BinaryScores())
    return Stack(*layers)


def image_shape(in_features: int, input_shape: Sequence[int] | None) -> list[int]:
    """Return the shape of a sample of ``in_features`` features: ``input_shape`` if given, 1x28x28 for 784, else flat.

    Raises:
        ValueError: If ``input_shape`` has another number of features than ``in_features``.
    """
    if input_shape is None:
        return [1, 28, 28] if in_features == 784 else [in_features]
    if prod(input_shape) != in_features:
        raise ValueError(f"in_features is {in_features}, but input_shape {list(input_shape)} has {prod(input_shape)}")
    return list(input_shape)


def conv_block(
    channels_in: int, channels_out: int, activation_name: str = "relu", stride: int = 1, padding_mode: Padding = "zeros"
) -> nn.Sequential:
    """Return a 3x3 convolution that divides height and width by ``stride``, batch normalisation and an activation."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False, padding_mode=padding_mode),
        nn.BatchNorm2d(channels_out),
        activation(activation_name),
    )


class MirrorAverage(Stack):
    """Test-time augmentation by mirroring: the mean of the scores of an image and its horizontal flip.

    In training the scores are those of the image alone. For images whose class a flip does not change, such as clothes.
    The layers map images (N, C, H, W) to scores.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to scores."""
        return super().forward(x) if self.training else (super().forward(x) + super().forward(x.flip(-1))) / 2


class BinaryScores(nn.Module):
    """Scores (0, z) of two classes from one logit z.

    Their softmax is (1 - sigmoid(z), sigmoid(z)), their cross-entropy the binary cross-entropy of z, and their argmax
    the step function of z, so that a model with one output unit has the interface of any other classifier.
    """

    def forward(self, logit: Tensor) -> Tensor:
        """Map logits (N, 1) to scores (N, 2)."""
        return torch.cat([torch.zeros_like(logit), logit], dim=1)


class ResidualBlock(nn.Module):
    """Residual block of two 3x3 convolutions (He, Zhang, Ren & Sun, 2016).

    Args:
        channels: Channels of input and output.
        activation_name: Name of the activation.
        padding_mode: Padding of the convolutions, as in ``torch.nn.Conv2d``.
    """

    def __init__(self, channels: int, activation_name: str = "relu", padding_mode: Padding = "zeros") -> None:
        super().__init__()
        self.branch = nn.Sequential(
            conv_block(channels, channels, activation_name, padding_mode=padding_mode),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False, padding_mode=padding_mode),
            nn.BatchNorm2d(channels),
        )
        self.activation = activation(activation_name)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        return self.activation(x + self.branch(x))


class ConvStack1d(nn.Sequential):
    """Stages of a convolution over time, batch normalisation, ReLU, max pooling by 2 and dropout.

    Args:
        in_channels: Channels of the signal.
        hidden_dims: Channels after each convolution.
        kernel_size: Kernel size of the convolutions.
        dropout: Dropout probability of the channels after each stage.
        stride: Stride of the first convolution.
    """

    def __init__(
        self, in_channels: int, hidden_dims: list[int], kernel_size: int, dropout: float, stride: int = 1
    ) -> None:
        layers: list[nn.Module] = []
        for number, width in enumerate(hidden_dims):
            layers += [
                nn.Conv1d(
                    in_channels,
                    width,
                    kernel_size,
                    stride=1 if number else stride,
                    padding=kernel_size // 2,
                    bias=False,
                ),
                nn.BatchNorm1d(width),
                nn.ReLU(),
                nn.MaxPool1d(2),
                nn.Dropout1d(dropout),
            ]
            in_channels = width
        super().__init__(*layers)
