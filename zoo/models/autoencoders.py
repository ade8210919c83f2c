"""Autoencoders: representations learned without labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from zoo.errors import unknown
from zoo.nn import Codec, conv_codec, dense_codec, fully_convolutional_codec, image_shape
from zoo.nn.fully_convolutional import ResidualCodec
from zoo.nn.stein import mix_by_risk
from zoo.registry import register_model
from zoo.tasks import Autoencoder
from zoo.tasks.reconstruction import LATENT_ACTIVATIONS


@dataclass(frozen=True)
class Network:
    """Network architecture of an autoencoder.

    Args:
        build: Function that returns a ``Codec`` for a sample shape, ``hidden_dims``, ``latent_dim`` and options.
        hidden_dims: Default widths.
        options: Names of the arguments that only some architectures take.
        settings: Arguments with the same value in all networks of this architecture.
    """

    build: Callable[..., Codec]
    hidden_dims: tuple[int, ...] = ()
    options: tuple[str, ...] = ("codec",)
    settings: dict[str, Any] = field(default_factory=dict)


def _fully_convolutional(shape: list[int], *widths: Any, **settings: Any) -> Codec:
    return fully_convolutional_codec((shape[0], shape[0]), *widths, **settings)


NETWORKS = {
    "conv": Network(conv_codec, (16, 32)),
    "dense": Network(dense_codec, options=("batch_norm", "codec")),
    "fully_convolutional": Network(_fully_convolutional, (32, 48), ("blocks",), {"unit_variance": True}),
    "residual_unet": Network(
        _fully_convolutional, (32, 64), ("blocks",), {"skip": True, "residual": True, "padding_mode": "replicate"}
    ),
}
"""The network architectures of an autoencoder by name."""


@register_model(
    "autoencoder", source="Rumelhart, Hinton & Williams 1986, Learning internal representations by error propagation"
)
@register_model(
    "deep_autoencoder",
    source="Hinton & Salakhutdinov 2006, Reducing the dimensionality of data with neural networks",
    hidden_dims=[1000, 500, 250],
    latent_dim=30,
    activation="silu",
    batch_norm=True,
    loss="cross_entropy",
)
@register_model(
    "sparse_autoencoder",
    source="Olshausen & Field 1996, Emergence of simple-cell receptive field properties by learning a sparse code",
    latent_dim=1024,
    penalty="l1",
    penalty_weight=0.03,
)
@register_model(
    "conv_autoencoder",
    source="Masci, Meier, Ciresan & Schmidhuber 2011, Stacked convolutional auto-encoders",
    network="conv",
    hidden_dims=[16, 32, 64],
    latent_dim=32,
)
@register_model(
    "denoising_autoencoder",
    source="Vincent, Larochelle, Bengio & Manzagol 2008, Extracting and composing robust features",
    network="fully_convolutional",
    latent_dim=48,
    latent_activation="relu",
    corruption="gaussian",
)
@register_model(
    "sparse_denoising_autoencoder",
    source="Vincent et al. 2008, as denoising_autoencoder, with a penalty as in Olshausen & Field 1996",
    network="fully_convolutional",
    latent_dim=48,
    corruption="gaussian",
    penalty="l1",
    penalty_weight=0.01,
)
class CodecAutoencoder(Autoencoder):
    """Autoencoder composed of a corruption, a network and a penalty, each chosen by name.

    The registered names of this class are combinations of the three and of widths; any other combination works too.
    With one linear layer in encoder and decoder each, squared error and no output activation, the best code of k units
    spans the first k principal components (Baldi & Hornik, 1989); hidden layers generalise that plane to a curved
    manifold.

    Args:
        network: ``dense`` for fully connected layers, ``conv`` for convolutions of stride 2 with a dense code,
            ``fully_convolutional`` for a code of feature maps and images of any size, or ``residual_unet`` for the same
            with skip connections and an output that is the change of the input; its ``output`` is ``identity``.
        in_features: Number of features of a sample.
        hidden_dims: Widths of the encoder's hidden layers, or channels of its stages; the decoder has them in reverse
            order. The network's own default if empty.
        latent_dim: Width of the code, or its number of channels.
        activation: Name of the hidden activation.
        latent_activation: Name of the activation of the code; if None, ``relu`` for the penalty ``l1``, ``sigmoid`` for
            ``kl`` and ``identity`` otherwise.
        output: Output activation of the decoder: ``sigmoid``, ``identity``, or ``softmax`` for shares that sum to 1.
        dropout: Dropout probability of the hidden layers.
        batch_norm: Whether to apply batch normalisation in ``dense``; convolutional networks always have it.
        blocks: Number of residual blocks on each side of the code of a network for images of any size.
        input_shape: Shape of a sample that is not a vector; 1x28x28 for 784 features if None.
        words: Words that the features of a document count, in order, for a model of documents; None for other data.
        **training: Arguments of ``Autoencoder`` and ``ZooModule``.
    """

    codec: ClassVar[type[Codec]] = Codec
    outside_net = (
        "Corruption in training; in reconstruct, checks of the input, tiling of large images, the mixture of a "
        "residual network's answer with its input, and clamping to [0, 1]."
    )

    def __init__(
        self,
        *,
        network: str = "dense",
        in_features: int = 784,
        hidden_dims: list[int] = [],  # noqa: B006
        latent_dim: int = 64,
        activation: str = "relu",
        latent_activation: str | None = None,
        output: str = "sigmoid",
        dropout: float = 0.0,
        batch_norm: bool = False,
        blocks: int = 2,
        input_shape: list[int] | None = None,
        words: list[str] | None = None,
        **training: Any,
    ) -> None:
        if network not in NETWORKS:
            raise unknown("network", network, NETWORKS)
        if words is not None and len(words) != in_features:
            raise ValueError(f"{len(words)} words for in_features={in_features}: expected as many")
        check_widths(hidden_dims, latent_dim, blocks)
        shape = image_shape(in_features, input_shape)
        super().__init__(**training)
        self.set_shape(shape)
        default_activation = LATENT_ACTIVATIONS.get(self.hparams["penalty"], "identity")
        if output == "identity" and self.hparams["loss"] == "cross_entropy":
            raise ValueError("loss cross_entropy needs output sigmoid or softmax, not identity")
        if output == "softmax" and len(shape) != 1:
            raise ValueError(f"output softmax takes samples of one axis, not of shape {tuple(shape)}")
        if network in ("fully_convolutional", "residual_unet") and len(shape) != 3:
            raise ValueError(f"network {network!r} takes images (C, H, W), not samples of shape {tuple(shape)}")
        architecture = NETWORKS[network]
        options = {"batch_norm": batch_norm, "blocks": blocks, "codec": self.codec}
        self.net = architecture.build(
            shape,
            hidden_dims or list(architecture.hidden_dims),
            latent_dim,
            activation_name=activation,
            latent_activation=latent_activation or default_activation,
            output=output,
            dropout=dropout,
            **{key: options[key] for key in architecture.options},
            **architecture.settings,
        )

    @torch.no_grad()
    def reconstruct(self, x: Tensor | np.ndarray) -> Tensor:
        """Return the reconstructions, in [0, 1], of a batch (N, ...) that is not corrupted any further.

        Those of a ``residual_unet`` are mixed with the batch where the network removes more than noise; see
        ``zoo.nn.stein.mix_by_risk``.

        Raises:
            ValueError: If shape, dtype or range of the batch are wrong or it contains NaN.
        """
        if not isinstance(self.net, ResidualCodec):
            return super().reconstruct(x)
        with self.evaluating():
            inputs = self.network_inputs(x)
            return mix_by_risk(lambda noisy: self.restored(self.scores(noisy), noisy), inputs).clamp(0, 1)


def check_widths(hidden_dims: list[int], latent_dim: int, blocks: int = 0) -> None:
    """Raise ``ValueError`` if a width is below 1 or the number of residual blocks is negative."""
    if latent_dim < 1 or min(hidden_dims, default=1) < 1:
        raise ValueError(f"hidden_dims and latent_dim must be at least 1, not {hidden_dims} and {latent_dim}")
    if blocks < 0:
        raise ValueError(f"blocks must be at least 0, not {blocks}")
