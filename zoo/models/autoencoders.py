"""Autoencoders: a code that says what matters about an input, learned without labels."""

from __future__ import annotations

from typing import Any

from zoo.errors import unknown
from zoo.nn import conv_codec, dense_codec, image_shape
from zoo.registry import register_model
from zoo.tasks import Autoencoder
from zoo.tasks.reconstruction import LATENT_ACTIVATIONS

NETWORKS = {"conv": conv_codec, "dense": dense_codec}
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
    "denoising_autoencoder",
    source="Vincent, Larochelle, Bengio & Manzagol 2008, Extracting and composing robust features",
    hidden_dims=[1024],
    latent_dim=512,
    latent_activation="relu",
    corruption="gaussian",
)
@register_model(
    "sparse_denoising_autoencoder",
    source="Vincent et al. 2008, as denoising_autoencoder, with a penalty as in Olshausen & Field 1996",
    hidden_dims=[1024],
    latent_dim=512,
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
        network: ``dense`` for fully connected layers, ``conv`` for convolutions of stride 2 with a dense code.
        in_features: Numbers in a sample.
        hidden_dims: Widths of the encoder's hidden layers, or the maps of its stages; the decoder has them in reverse.
        latent_dim: Width of the code.
        activation: Name of the hidden activation.
        latent_activation: Name of the activation of the code; if None what suits the penalty, ``identity`` for most.
        output: Last step of the decoder: ``sigmoid``, ``identity``, or ``softmax`` for shares that sum to 1.
        dropout: Probability with which a hidden unit is left out in training.
        batch_norm: Whether hidden layers of ``dense`` are normalised over the batch, as those of ``conv`` always are.
        input_shape: Shape of a sample if it is no vector; 1x28x28 for 784 features if None.
        **training: Arguments of ``Autoencoder`` and ``ZooModule``.
    """

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
        input_shape: list[int] | None = None,
        **training: Any,
    ) -> None:
        if network not in NETWORKS:
            raise unknown("network", network, NETWORKS)
        if latent_dim < 1 or min(hidden_dims, default=1) < 1:
            raise ValueError(f"hidden_dims and latent_dim must be at least 1, not {hidden_dims} and {latent_dim}")
        shape = image_shape(in_features, input_shape)
        self.input_shape = tuple(shape)
        super().__init__(**training)
        suited = LATENT_ACTIVATIONS.get(self.hparams["penalty"], "identity")
        if output == "identity" and self.hparams["loss"] == "cross_entropy":
            raise ValueError("loss cross_entropy needs output sigmoid or softmax, not identity")
        if output == "softmax" and len(shape) != 1:
            raise ValueError(f"output softmax takes samples of one axis, not of shape {tuple(shape)}")
        self.net = NETWORKS[network](
            shape,
            hidden_dims or ([16, 32] if network == "conv" else []),
            latent_dim,
            activation_name=activation,
            latent_activation=latent_activation or suited,
            output=output,
            dropout=dropout,
            **({"batch_norm": batch_norm} if network == "dense" else {}),
        )
