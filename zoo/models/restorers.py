"""Autoencoders for image restoration: the base class and inpainting."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from zoo.errors import unknown
from zoo.metrics.images import masked_mse
from zoo.models.autoencoders import check_widths
from zoo.nn import CORRUPTIONS, fully_convolutional_codec
from zoo.nn.inpainting import append_holes, biharmonic_surface, blend_by_evidence, coarse_to_fine
from zoo.nn.stacks import Padding
from zoo.registry import register_model
from zoo.tasks import Autoencoder
from zoo.tasks.reconstruction import LATENT_ACTIVATIONS
from zoo.training.batches import as_tensor, inputs_of


class ImageRestorer(Autoencoder):
    """Fully convolutional autoencoder whose input channels differ from its output channels.

    Args:
        hidden_dims: Channels of the encoder's stages, each of which halves the image; the decoder has them in reverse
            order.
        latent_dim: Channels of the code.
        blocks: Number of residual blocks on each side of the code.
        activation: Name of the hidden activation.
        latent_activation: Name of the activation of the code; if None, ``sigmoid`` for the penalty ``kl`` and ``relu``
            otherwise.
        dropout: Dropout probability of the channels before the code.
        skip: Whether to add skip connections, as in a U-Net (Ronneberger, Fischer & Brox, 2015).
        padding_mode: Padding of the convolutions: ``zeros``, or ``replicate``, which suits images that are larger than
            those of the training.
        input_shape: Shape (C, H, W) of the training images; images of any height and width can be restored.
        **training: Arguments of ``Autoencoder`` and ``ZooModule``.
    """

    def __init__(
        self,
        *,
        hidden_dims: list[int] = [32, 48],  # noqa: B006
        latent_dim: int = 48,
        blocks: int = 2,
        activation: str = "relu",
        latent_activation: str | None = None,
        dropout: float = 0.0,
        skip: bool = True,
        padding_mode: Padding = "zeros",
        input_shape: list[int] = [1, 28, 28],  # noqa: B006
        **training: Any,
    ) -> None:
        check_widths(hidden_dims, latent_dim, blocks)
        if len(input_shape) != 3 or min(input_shape) < 1 or not hidden_dims:
            raise ValueError(
                f"expected input_shape (C, H, W) and at least one of hidden_dims, not {input_shape}, {hidden_dims}"
            )
        super().__init__(**training)
        in_channels, out_channels, output = self._channels(input_shape[0])
        self.set_shape((in_channels, *input_shape[1:]), input_shape)
        self.net = fully_convolutional_codec(
            (in_channels, out_channels),
            hidden_dims,
            latent_dim,
            blocks=blocks,
            activation_name=activation,
            latent_activation=latent_activation or LATENT_ACTIVATIONS.get(self.hparams["penalty"], "relu"),
            output=output,
            dropout=dropout,
            skip=skip,
            padding_mode=padding_mode,
            **self.net_settings,
        )

    @property
    def net_settings(self) -> dict[str, Any]:
        """Further settings of ``fully_convolutional_codec``."""
        return {}

    def _channels(self, channels: int) -> tuple[int, int, str]:
        """Return the numbers of input and output channels for images of ``channels``, and the output activation."""
        raise NotImplementedError(f"{type(self).__name__} is abstract: a subclass defines its channels")


@register_model(
    "inpainting_autoencoder",
    source="Pathak, Krahenbuhl, Donahue, Darrell & Efros 2016, Context encoders: feature learning by inpainting",
)
class InpaintingAutoencoder(ImageRestorer):
    """Inpainting autoencoder, which fills holes in images (N, C, H, W), such as obstacles, scratches or overlaid text.

    With m the mask, 1 in a hole, and s the image with its holes filled by interpolation, the inputs of the network are
    s and m, and its output is the residual of s. Pixels outside of the holes are kept:

        r = (1 - m) x + m (s + decoder(encoder(s, m)))

    Loss and metrics are computed inside the holes. ``reconstruct`` first fills the interior of large holes from the
    image at half the resolution, recursively, and then their margin at full resolution.

    Args:
        corruption: Distribution of the holes in training: ``any_holes``, ``erase``, ``holes`` or ``strokes``.
        blend: Whether ``reconstruct`` mixes the network's answer with a biharmonic surface, weighted by how well each
            fills copies of the holes beside them; see ``blend_by_evidence``.
        **training: Arguments of ``ImageRestorer``.
    """

    takes_mask = True
    outside_net = (
        "Corruption in training; in reconstruct, checks of the input, the smooth filling of holes, the addition of the "
        "residual inside them, coarse-to-fine processing of deep ones, tiling of large images and clamping to [0, 1]."
    )
    net_inputs: ClassVar[dict[str, str]] = {
        "x": "images in [0, 1] whose holes are filled by interpolation, and as last channel the mask, 1 in a hole"
    }
    """What the network takes, by the name that an export gives it."""
    net_output: ClassVar[dict[str, str]] = {"residual": "what is added to the filled images inside the holes"}
    depth = 10
    """Distance in pixels from the edge of a hole beyond which it is filled at half the resolution; set by hand, not
    tuned."""

    def __init__(self, *, corruption: str = "holes", blend: bool = False, **training: Any) -> None:
        super().__init__(corruption=corruption, **training)
        if self.hparams["loss"] == "cross_entropy":
            raise ValueError("loss of an inpainting autoencoder is psnr or squared_error, not cross_entropy")

    def _channels(self, channels: int) -> tuple[int, int, str]:
        corruption, holes = self.hparams["corruption"], [name for name, found in CORRUPTIONS.items() if found.holes]
        if corruption not in holes:
            raise unknown("corruption of an inpainting autoencoder", corruption, holes)
        return channels + 1, channels, "identity"

    def corrupt(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return images (N, C, H, W) with interpolated holes and, as a further channel, the mask, 1 in a hole."""
        assert self._corruption.holes is not None
        return append_holes(x, self._corruption.holes(x, self._strength, generator))

    def restored(self, scores: Tensor, inputs: Tensor) -> Tensor:
        """Return the images (N, C, H, W), filled where the mask is 1, and in evaluation clipped to [0, 1]."""
        filled = inputs[:, :-1] + inputs[:, -1:] * scores
        return filled if self.training else filled.clamp(0, 1)

    def reconstruction_loss(self, scores: Tensor, x: Tensor, inputs: Tensor) -> Tensor:
        """Return the loss inside the holes."""
        if self.hparams["loss"] == "psnr":
            return super().reconstruction_loss(scores, x, inputs)
        return ((inputs[:, :-1] + scores.float() - x) * inputs[:, -1:]).square().sum() / len(x)

    def errors(self, restored: Tensor, x: Tensor, inputs: Tensor) -> Tensor:
        """Return the mean squared error (N,) inside each image's holes."""
        return masked_mse(restored, x, inputs[:, -1:])

    def network_inputs(self, x: Tensor | np.ndarray, mask: Tensor | np.ndarray | None = None) -> Tensor:
        """Return the network inputs of a user's images and masks."""
        x = super().network_inputs(x)
        if mask is None:
            return append_holes(x, x.new_zeros(len(x), 1, *x.shape[2:]).bool())
        mask = as_tensor(mask)
        if mask.ndim == 2:
            mask = mask[None, None]
        if mask.ndim != 4 or mask.shape[1] != 1 or mask.shape[2:] != x.shape[2:] or len(mask) not in (1, len(x)):
            wanted = " x ".join(map(str, (len(x), 1, *x.shape[2:])))
            raise ValueError(f"mask of shape {tuple(mask.shape)}: expected {wanted}, 1 in a hole and 0 elsewhere")
        if not bool(((mask == 0) | (mask == 1)).all()):
            raise ValueError("mask has values besides 0 and 1: expected 1 in a hole and 0 elsewhere")
        return append_holes(x, mask.to(x.device).bool().expand(len(x), -1, -1, -1))

    @torch.no_grad()
    def reconstruct(self, x: Tensor | np.ndarray, mask: Tensor | np.ndarray | None = None) -> Tensor:
        """Return images (N, C, H, W) in [0, 1] with their holes filled.

        Args:
            x: Images (N, C, H, W) in [0, 1], of any height and width; the pixels in the holes are ignored.
            mask: (N, 1, H, W), (1, 1, H, W) or (H, W), 1 in a hole and 0 elsewhere; no holes if None.

        Raises:
            ValueError: If the shape, dtype or range of either is wrong.
        """
        with self.evaluating():
            return self._filled(self.network_inputs(x, mask))

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the images of a batch with their holes filled.

        Args:
            batch: (x, mask, ...) with masks (N, 1, H, W), 1 in a hole; without masks nothing is missing.
            batch_idx: Its number.
        """
        x = inputs_of(batch)
        given = isinstance(batch, (tuple, list)) and len(batch) > 1 and batch[1].ndim == 4
        return self.reconstruct(x, batch[1] if given else None)

    def piece_scores(self, inputs: Tensor) -> Tensor:
        """Return the decoder's scores of a tile of the network inputs; 0 without a hole, where they are not used."""
        return super().piece_scores(inputs) if bool(inputs[:, -1:].any()) else torch.zeros_like(inputs[:, :-1])

    def _filled(self, inputs: Tensor) -> Tensor:
        """Fill holes, their interior at half the resolution first."""
        x, holes = inputs[:, :-1], inputs[:, -1:] > 0
        if not self.hparams["blend"]:
            return self._filled_by_network(x, holes)
        return blend_by_evidence(self._filled_by_network, biharmonic_surface, x, holes)

    def _filled_by_network(self, x: Tensor, holes: Tensor) -> Tensor:
        def fill(x: Tensor, holes: Tensor) -> Tensor:
            inputs = append_holes(x, holes)
            return self.restored(self.scores(inputs), inputs)

        return coarse_to_fine(fill, x, holes, self.depth)
