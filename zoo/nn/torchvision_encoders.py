"""Convolutional networks of torchvision as encoders of images."""

from __future__ import annotations

import warnings
from contextlib import suppress
from itertools import takewhile
from typing import Any

import torch
from torch import nn

from zoo.errors import unknown
from zoo.nn.inputs import Standardize

POOLING = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
"""Layers that end the feature map of a convolutional network."""


def torchvision_encoder(
    name: str, mean: float | list[float] = 0.0, std: float | list[float] = 1.0
) -> tuple[nn.Sequential, int]:
    """Return a network of torchvision up to its last feature map, with random weights, and the channels of the map.

    It has the layers before the global pooling, such as all but the last two of a ``resnet18``, after ``Standardize``.

    Args:
        name: Name of the network, see ``torchvision.models.list_models``.
        mean: Mean of the pixels, see ``Standardize``.
        std: Standard deviation of the pixels.

    Raises:
        ValueError: If there is no such classifier of images, or it is not a sequence of layers up to a global
            pooling of a feature map.
    """
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise unknown("encoder", name, known)
    with warnings.catch_warnings():  # of googlenet and inception_v3, which are refused
        warnings.simplefilter("ignore", FutureWarning)
        layers = list(models.get_model(name, weights=None).children())
    kept = list(takewhile(lambda layer: not isinstance(layer, POOLING), layers))
    network = nn.Sequential(Standardize((3, None, None), mean, std), *kept)
    found = None
    if len(kept) < len(layers):
        with torch.no_grad(), suppress(RuntimeError):  # the layers of some, such as googlenet, are no sequence
            found = network.eval()(torch.zeros(1, 3, 64, 64))
        if isinstance(found, torch.Tensor) and found.ndim == 4:
            return network.train(), found.shape[1]
    known_good = "resnet18 and mobilenet_v3_small"
    raise ValueError(
        f"encoder {name!r} is no sequence of layers up to a global pooling of a feature map, as {known_good} are"
    )


def load_torchvision_weights(network: nn.Sequential, name: str, weights: str) -> None:
    """Load published weights into a network of ``torchvision_encoder``; they are downloaded once.

    Args:
        network: The network.
        name: Its name.
        weights: Name of the weights, such as ``DEFAULT`` or ``IMAGENET1K_V1``.

    Raises:
        ValueError: If torchvision has no such weights of the network.
        OSError: If they cannot be downloaded.
    """
    from torchvision import models

    whole = models.get_model(name, weights=find_torchvision_weights(name, weights))
    trained = dict(enumerate(whole.children()))
    for number, layer in enumerate(list(network)[1:]):
        layer.load_state_dict(trained[number].state_dict())


def find_torchvision_weights(name: str, weights: str) -> Any:
    """Return the entry of published weights of a network of torchvision.

    Raises:
        ValueError: If there is none of this name.
    """
    from torchvision import models

    choices = models.get_model_weights(name)
    if weights not in choices.__members__:
        raise unknown(f"weights of {name}", weights, choices.__members__)
    return choices[weights]
