"""Autoencoders: a code that says what matters about an input, learned without labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from zoo.errors import unknown
from zoo.nn import Codec, conv_codec, dense_codec, fully_convolutional_codec, image_shape
from zoo.registry import register_model
from zoo.tasks import Autoencoder
from zoo.tasks.reconstruction import LATENT_ACTIVATIONS


@dataclass(frozen=True)
class Network:
    """A kind of network for an autoencoder.

    Args:
        build: Function of the shape of a sample, ``hidden_dims``, ``latent_dim`` and further settings to a ``Codec``.
        hidden_dims: Widths if none are given.
        options: Names of the arguments that this kind takes besides those of all kinds.
        settings: Arguments that are the same for every network of this kind.
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
}
"""The networks of an autoencoder by name."""


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
    """Autoencoder: a corruption, a network and a penalty, each chosen by name.

    Every name registered for this class is a choice of the three and of widths, and any other combination works. With
    one linear layer each way, squared error and no output activation the best code of k units spans the first k
    principal components (Baldi & Hornik, 1989); hidden layers bend that plane to the data.

    Args:
        network: ``dense`` for fully connected layers, ``conv`` for convolutions of stride 2 with a dense code, or
            ``fully_convolutional`` for a code of maps and pictures of any size.
        in_features: Numbers in a sample.
        hidden_dims: Widths of the encoder's hidden layers, or the maps of its stages; the decoder has them in reverse.
        latent_dim: Width of the code, or its number of maps.
        activation: Name of the hidden activation.
        latent_activation: Name of the activation of the code; if None what suits the penalty, ``identity`` for most.
        output: Last step of the decoder: ``sigmoid``, ``identity``, or ``softmax`` for shares that sum to 1.
        dropout: Probability with which a hidden unit is left out in training.
        batch_norm: Whether hidden layers of ``dense`` are normalised over the batch, as convolutions always are.
        blocks: Residual blocks on each side of the code of ``fully_convolutional``.
        input_shape: Shape of a sample if it is no vector; 1x28x28 for 784 features if None.
        **training: Arguments of ``Autoencoder`` and ``ZooModule``.
    """

    codec: ClassVar[type[Codec]] = Codec

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
        **training: Any,
    ) -> None:
        if network not in NETWORKS:
            raise unknown("network", network, NETWORKS)
        check_widths(hidden_dims, latent_dim, blocks)
        shape = image_shape(in_features, input_shape)
        super().__init__(**training)
        self.set_shape(shape)
        suited = LATENT_ACTIVATIONS.get(self.hparams["penalty"], "identity")
        if output == "identity" and self.hparams["loss"] == "cross_entropy":
            raise ValueError("loss cross_entropy needs output sigmoid or softmax, not identity")
        if output == "softmax" and len(shape) != 1:
            raise ValueError(f"output softmax takes samples of one axis, not of shape {tuple(shape)}")
        if network == "fully_convolutional" and len(shape) != 3:
            raise ValueError(f"network {network!r} takes pictures (C, H, W), not samples of shape {tuple(shape)}")
        kind, own = NETWORKS[network], {"batch_norm": batch_norm, "blocks": blocks, "codec": self.codec}
        self.net = kind.build(
            shape,
            hidden_dims or list(kind.hidden_dims),
            latent_dim,
            activation_name=activation,
            latent_activation=latent_activation or suited,
            output=output,
            dropout=dropout,
            **{key: own[key] for key in kind.options},
            **kind.settings,
        )


def check_widths(hidden_dims: list[int], latent_dim: int, blocks: int = 0) -> None:
    """Raise ``ValueError`` for a layer without units or less than no residual blocks."""
    if latent_dim < 1 or min(hidden_dims, default=1) < 1:
        raise ValueError(f"hidden_dims and latent_dim must be at least 1, not {hidden_dims} and {latent_dim}")
    if blocks < 0:
        raise ValueError(f"blocks must be at least 0, not {blocks}")
