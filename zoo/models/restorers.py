"""Autoencoders that give back what a picture has lost: a part of it, or its colours."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.errors import unknown
from zoo.models.autoencoders import check_widths
from zoo.nn import CORRUPTIONS, fully_convolutional_codec, lab_to_rgb, luma, rgb_to_lab, rgb_to_ycbcr, ycbcr_to_rgb
from zoo.registry import register_model
from zoo.tasks import Autoencoder
from zoo.tasks.reconstruction import LATENT_ACTIVATIONS, as_tensor


class _Restorer(Autoencoder):
    """Fully convolutional autoencoder that is shown another thing than it shall give back.

    Args:
        hidden_dims: Maps of the encoder's stages, each of which halves the picture; the decoder's are in reverse.
        latent_dim: Maps of the code.
        blocks: Residual blocks on each side of the code.
        activation: Name of the hidden activation.
        latent_activation: Name of the activation of the code; if None what suits the penalty, ``relu`` for most.
        dropout: Probability with which a map before the code is left out.
        skip: Whether the decoder is shown the encoder's maps (a U-Net, Ronneberger, Fischer & Brox, 2015).
        input_shape: Shape (C, H, W) of the pictures trained on; others of any height and width can be restored.
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
        input_shape: list[int] = [1, 28, 28],  # noqa: B006
        **training: Any,
    ) -> None:
        check_widths(hidden_dims, latent_dim, blocks)
        if len(input_shape) != 3 or not hidden_dims:
            raise ValueError(f"input_shape (C, H, W) and at least one of hidden_dims, not {input_shape}, {hidden_dims}")
        super().__init__(**training)
        seen, given, output = self._channels(input_shape[0])
        self.set_shape((seen, *input_shape[1:]), input_shape)
        self.net = fully_convolutional_codec(
            (seen, given),
            hidden_dims,
            latent_dim,
            blocks=blocks,
            activation_name=activation,
            latent_activation=latent_activation or LATENT_ACTIVATIONS.get(self.hparams["penalty"], "relu"),
            output=output,
            dropout=dropout,
            skip=skip,
        )

    def _channels(self, channels: int) -> tuple[int, int, str]:
        """Return the numbers of input and output channels for images of ``channels``, and the output activation."""
        raise NotImplementedError(f"{type(self).__name__} is abstract: it has no channels")


@register_model(
    "inpainting_autoencoder",
    source="Pathak, Krahenbuhl, Donahue, Darrell & Efros 2016, Context encoders: feature learning by inpainting",
)
class InpaintingAutoencoder(_Restorer):
    """Fills holes in pictures: an obstacle, a scratch, a text that was written over.

    With m the mask, 1 in a hole, and s the picture whose holes are filled smoothly from around them, the network sees s
    and m and gives what s lacks. Outside of the holes the picture is kept; loss and metrics are those inside:

        r = (1 - m) x + m (s + decoder(encoder(s, m)))

    In ``reconstruct`` a hole too deep for the network is filled from the picture at half the size first, and so on
    down; then its rim is filled again at full size.

    Args:
        corruption: How holes are drawn in training: ``erase``, ``holes`` or ``strokes``.
        **training: Arguments of ``_Restorer``.
    """

    takes_mask = True
    depth = 10
    """Pixels from its rim from which a hole is filled at half the size."""

    def __init__(self, *, corruption: str = "holes", **training: Any) -> None:
        super().__init__(corruption=corruption, **training)
        if self.hparams["loss"] == "cross_entropy":
            raise ValueError("loss of an inpainting autoencoder is psnr or squared_error, not cross_entropy")

    def _channels(self, channels: int) -> tuple[int, int, str]:
        corruption, holes = self.hparams["corruption"], [name for name, found in CORRUPTIONS.items() if found.holes]
        if corruption not in holes:
            raise unknown("corruption of an inpainting autoencoder", corruption, holes)
        return channels + 1, channels, "identity"

    def corrupt(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return pictures (N, C, H, W) with smooth holes and, as a further channel, the mask, 1 inside them."""
        assert self._corruption.holes is not None
        return with_holes(x, self._corruption.holes(x, self._strength, generator))

    def restored(self, scores: Tensor, seen: Tensor) -> Tensor:
        """Return the pictures (N, C, H, W), filled where the mask is 1; in [0, 1] but for training."""
        filled = seen[:, :-1] + seen[:, -1:] * scores
        return filled if self.training else filled.clamp(0, 1)

    def reconstruction_loss(self, scores: Tensor, x: Tensor, seen: Tensor) -> Tensor:
        """Return the loss inside the holes."""
        if self.hparams["loss"] == "psnr":
            return super().reconstruction_loss(scores, x, seen)
        return ((seen[:, :-1] + scores.float() - x) * seen[:, -1:]).square().sum() / len(x)

    def errors(self, restored: Tensor, x: Tensor, seen: Tensor) -> Tensor:
        """Return the mean squared error (N,) inside each picture's holes."""
        mask = seen[:, -1:]
        inside = mask.flatten(1).sum(1).clamp_min(1) * x.shape[1]
        return ((restored - x) * mask).square().flatten(1).sum(1) / inside

    def network_inputs(self, x: Tensor | np.ndarray, mask: Tensor | np.ndarray | None = None) -> Tensor:
        """Return what the network sees of a user's pictures and masks."""
        x = super().network_inputs(x)
        if mask is None:
            return with_holes(x, x.new_zeros(len(x), 1, *x.shape[2:]).bool())
        mask = as_tensor(mask)
        if mask.ndim == 2:
            mask = mask[None, None]
        if mask.ndim != 4 or mask.shape[1] != 1 or mask.shape[2:] != x.shape[2:] or len(mask) not in (1, len(x)):
            wanted = " x ".join(map(str, (len(x), 1, *x.shape[2:])))
            raise ValueError(f"mask of shape {tuple(mask.shape)}: expected {wanted}, 1 in a hole and 0 elsewhere")
        if not bool(((mask == 0) | (mask == 1)).all()):
            raise ValueError("mask has values besides 0 and 1: expected 1 in a hole and 0 elsewhere")
        return with_holes(x, mask.to(x.device).bool().expand(len(x), -1, -1, -1))

    @torch.no_grad()
    def reconstruct(self, x: Tensor | np.ndarray, mask: Tensor | np.ndarray | None = None) -> Tensor:
        """Return pictures (N, C, H, W) in [0, 1] with their holes filled.

        Args:
            x: Pictures (N, C, H, W) in [0, 1], of any height and width; what they show in a hole is not looked at.
            mask: (N, 1, H, W), (1, 1, H, W) or (H, W), 1 in a hole and 0 elsewhere; no holes if None.

        Raises:
            ValueError: If shape, dtype or range of either are wrong.
        """
        with self.evaluating():
            return self._filled(self.network_inputs(x, mask))

    def piece_scores(self, seen: Tensor) -> Tensor:
        """Return the decoder's scores for a piece of what the network sees; without a hole they count for nothing."""
        return super().piece_scores(seen) if bool(seen[:, -1:].any()) else torch.zeros_like(seen[:, :-1])

    def _filled(self, seen: Tensor) -> Tensor:
        """Fill holes, those parts that are deep at half the size first."""
        x, holes = seen[:, :-1], seen[:, -1:] > 0
        width, depth = 2 * self.depth + 1, self.depth
        near = F.max_pool2d((~holes).float(), (width, 1), 1, (depth, 0))  # by rows and then by columns: the same square
        deep = holes & (F.max_pool2d(near, (1, width), 1, (0, depth)) == 0)
        if bool(deep.any()) and min(x.shape[2:]) > 2 * self.depth and not bool(holes.all()):
            small, known = halved(x, ~holes)
            coarse = F.interpolate(self._filled(with_holes(small, ~known)), x.shape[2:], mode="bilinear")
            seen = with_holes(torch.where(deep, coarse, x), holes & ~deep)
        return self.restored(self.scores(seen), seen)


def halved(x: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Return pictures (N, C, H, W) at half the size, means of what is known (N, 1, H, W), and what is known of them."""
    share = F.avg_pool2d(known.to(x.dtype), 2, ceil_mode=True)
    return F.avg_pool2d(x * known, 2, ceil_mode=True) / share.clamp_min(1e-6), share > 0


def smoothly_filled(x: Tensor, known: Tensor) -> Tensor:
    """Fill what is not known (N, 1, H, W) of pictures (N, C, H, W) from coarser and coarser means of what is.

    This is the pull-push interpolation of Gortler, Grzeszczuk, Szeliski & Cohen (1996). Nothing known gives zeros.
    """
    if max(x.shape[2:]) == 1:
        return x * known
    small, some = halved(x, known)
    return torch.where(known, x, F.interpolate(smoothly_filled(small, some), x.shape[2:], mode="bilinear"))


def with_holes(x: Tensor, holes: Tensor) -> Tensor:
    """Return pictures (N, C, H, W) smoothly filled where (N, 1, H, W) is True, and that mask as a further channel."""
    return torch.cat([smoothly_filled(x, ~holes), holes.to(x.dtype)], 1)


MODES = ("lab", "vanilla", "ycbcr")


@register_model(
    "colorizer",
    source="Iizuka, Simo-Serra & Ishikawa 2016, Let there be color!",
    mode="vanilla",
    skip=False,
    input_shape=[3, 32, 32],
)
class Colorizer(_Restorer):
    """Colours grey pictures; what the network sees is 0.299 R + 0.587 G + 0.114 B of shape (N, 1, H, W).

    With g the grey picture and f the network, the result is, by ``mode``:

        vanilla   f(g), red, green and blue
        ycbcr     RGB of (g, f(g)): the network gives the two chroma channels
        lab       RGB of (L*(g), f(g)): the network gives a* and b*, in hundreds

    The loss ``squared_error`` is that of the network's own channels, summed over a picture and averaged over the batch;
    ``psnr`` is that of the coloured pictures, and so more careful with pictures that have little colour. The merging
    modes keep every detail of the grey picture; colours vary slowly, so in ``reconstruct`` they are found on a
    copy whose shorter side has at most 64 pixels, near to the size trained on, and add_synthetic.

    Args:
        mode: ``vanilla``, ``ycbcr`` or ``lab``.
        **training: Arguments of ``_Restorer``; a ``corruption`` spoils the grey picture.
    """

    side = 64
    """Largest shorter side in pixels at which the merging modes look for colours."""

    def __init__(self, *, mode: str = "vanilla", **training: Any) -> None:
        if mode not in MODES:
            raise unknown("mode", mode, MODES)
        super().__init__(**training)
        if self.sample_shape[0] != 3:
            raise ValueError(f"input_shape of a colorizer is (3, H, W), not {list(self.sample_shape)}")
        if self.hparams["loss"] == "cross_entropy":
            raise ValueError("loss of a colorizer is psnr or squared_error, not cross_entropy")

    def _channels(self, channels: int) -> tuple[int, int, str]:
        return (1, 3, "sigmoid") if self.hparams["mode"] == "vanilla" else (1, 2, "identity")

    def corrupt(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the grey pictures (N, 1, H, W) of a batch (N, 3, H, W)."""
        return super().corrupt(luma(x).clamp(0, 1), generator)

    def restored(self, scores: Tensor, seen: Tensor) -> Tensor:
        """Return the coloured pictures (N, 3, H, W); in [0, 1] but for training."""
        given = self.net.output(scores)
        if self.hparams["mode"] == "ycbcr":
            given = ycbcr_to_rgb(torch.cat([seen, given], 1))
        elif self.hparams["mode"] == "lab":
            given = lab_to_rgb(torch.cat([rgb_to_lab(seen.expand(-1, 3, -1, -1))[:, :1], 100 * given], 1))
        return given if self.training else given.clamp(0, 1)

    def reconstruction_loss(self, scores: Tensor, x: Tensor, seen: Tensor) -> Tensor:
        """Return the loss of the channels that the network gives, or of the coloured pictures."""
        if self.hparams["loss"] == "psnr":
            return super().reconstruction_loss(scores, x, seen)
        if self.hparams["mode"] == "ycbcr":
            x = rgb_to_ycbcr(x)[:, 1:]
        elif self.hparams["mode"] == "lab":
            x = rgb_to_lab(x)[:, 1:] / 100
        return F.mse_loss(self.net.output(scores.float()), x, reduction="sum") / len(x)

    def network_inputs(self, x: Tensor | np.ndarray) -> Tensor:
        """Return what the network sees of a user's grey pictures (N, 1, H, W): themselves."""
        return self.checked(x, self.input_shape)

    def scores(self, seen: Tensor) -> Tensor:
        """Return what the network gives for grey pictures (N, 1, H, W), colours alone from a smaller copy."""
        height, width = seen.shape[2:]
        shrink = self.side / min(height, width)
        if self.hparams["mode"] == "vanilla" or shrink >= 1:
            return super().scores(seen)
        size = (max(1, round(height * shrink)), max(1, round(width * shrink)))
        small = F.interpolate(seen, size, mode="bilinear", antialias=True, align_corners=False)
        return F.interpolate(super().scores(small), (height, width), mode="bilinear", align_corners=False)

    def decode(self, code: Tensor | np.ndarray) -> Tensor:
        """Return the channels (N, 3 or 2, H, W) that the network gives for code maps (N, latent_dim, H, W)."""
        return super().decode(code)
