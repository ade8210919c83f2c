"""Colorization autoencoder."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.errors import unknown
from zoo.models.restorers import ImageRestorer
from zoo.nn import lab_to_rgb, luma, rgb_to_lab, rgb_to_ycbcr, ycbcr_to_rgb
from zoo.nn.colour_classes import ColourClasses
from zoo.registry import register_model
from zoo.training.batches import inputs_of

MODES = ("classes", "lab", "vanilla", "ycbcr")


@register_model(
    "colorizer",
    source="Iizuka, Simo-Serra & Ishikawa 2016, Let there be color!",
    mode="vanilla",
    skip=False,
    input_shape=[3, 32, 32],
)
class Colorizer(ImageRestorer):
    """Colorization autoencoder from grey images (N, 1, H, W) to colour images (N, 3, H, W).

    With g = 0.299 R + 0.587 G + 0.114 B the grey image and f the network, the result is, by ``mode``:

        vanilla   f(g), with red, green and blue as outputs
        ycbcr     RGB of (g, f(g)), with the two chroma channels as outputs
        lab       RGB of (L*(g), f(g)), with a* / 100 and b* / 100 as outputs
        classes   RGB of (L*(g), c(f(g))), with a score for each of the classes of ``ColourClasses`` as outputs, at half
                  the resolution, and c their annealed mean (Zhang, Isola & Efros 2016, Colorful image colorization)

    The loss ``squared_error`` compares the outputs of the network, summed over an image and averaged over the batch.
    ``psnr`` compares the colour images, and so weights images of little colour more. The mean of all colours that are
    likely is greyish; the weighted cross-entropy of ``classes`` leads to vivid ones, some of them wrong. The modes
    ``ycbcr``, ``lab`` and ``classes`` keep all details of the grey image. Since colours vary slowly, ``reconstruct``
    computes them in these modes on a copy whose shorter side has at most 64 pixels, close to the size of the training
    images, and enlarges them.

    Args:
        mode: ``classes``, ``lab``, ``vanilla`` or ``ycbcr``.
        rebalance: Share of the uniform distribution in the weights of ``classes``, in (0, 1].
        temperature: Temperature of the annealed mean of ``classes``, in (0, 1]; lower ones give more vivid colours.
        **training: Arguments of ``ImageRestorer``; a ``corruption`` is applied to the grey image.
    """

    outside_net = (
        "In reconstruct, checks of the input, the search for colours on a smaller copy, conversion between colour "
        "spaces, tiling of large images and clamping to [0, 1]."
    )
    side = 64
    """Maximum shorter side in pixels of the images that colours are computed on, but for ``vanilla``; set by hand, not
    tuned."""

    def __init__(
        self, *, mode: str = "vanilla", rebalance: float = 0.5, temperature: float = 0.38, **training: Any
    ) -> None:
        if mode not in MODES:
            raise unknown("mode", mode, MODES)
        classes = ColourClasses(rebalance, temperature)
        self._class_count = len(classes)
        super().__init__(**training)
        if mode == "classes":
            self.net.output = classes
        if self.sample_shape[0] != 3:
            raise ValueError(f"input_shape of a colorizer is (3, H, W), not {list(self.sample_shape)}")
        if self.hparams["loss"] == "cross_entropy":
            raise ValueError("loss of a colorizer is psnr or squared_error, not cross_entropy")

    @property
    def net_output(self) -> dict[str, str]:  # type: ignore[override]
        """The colour channels, by ``mode``."""
        chroma = "chroma Cb and Cr of YCbCr, around 0" if self.hparams["mode"] == "ycbcr" else "a* / 100 and b* / 100"
        return {"colours": "red, green and blue in [0, 1]" if self.hparams["mode"] == "vanilla" else chroma}

    @property
    def net_settings(self) -> dict[str, Any]:
        """The output of ``classes`` has half the resolution."""
        return {"half": self.hparams["mode"] == "classes"}

    def _channels(self, channels: int) -> tuple[int, int, str]:
        return {"vanilla": (1, 3, "sigmoid"), "classes": (1, self._class_count, "identity")}.get(
            self.hparams["mode"], (1, 2, "identity")
        )

    def corrupt(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the grey images (N, 1, H, W) of a batch (N, 3, H, W), corrupted if a corruption is set."""
        return super().corrupt(luma(x).clamp(0, 1), generator)

    def restored(self, scores: Tensor, inputs: Tensor) -> Tensor:
        """Return the colour images (N, 3, H, W), in evaluation clipped to [0, 1]."""
        mode = self.hparams["mode"]
        decoded = mode == "classes" and scores.shape[1] == 2
        channels = scores if decoded else self.net.output(scores)
        if channels.shape[2:] != inputs.shape[2:]:
            channels = F.interpolate(channels, inputs.shape[2:], mode="bilinear")
        if mode == "ycbcr":
            channels = ycbcr_to_rgb(torch.cat([inputs, channels], 1))
        elif mode in ("classes", "lab"):
            channels = lab_to_rgb(torch.cat([rgb_to_lab(inputs.expand(-1, 3, -1, -1))[:, :1], 100 * channels], 1))
        return channels if self.training else channels.clamp(0, 1)

    def reconstruction_loss(self, scores: Tensor, x: Tensor, inputs: Tensor) -> Tensor:
        """Return the loss of the output channels, or for ``psnr`` of the colour images; for classes cross-entropy."""
        if isinstance(self.net.output, ColourClasses):
            height, width = scores.shape[2:]
            return self.net.output.loss(scores.float(), F.adaptive_avg_pool2d(rgb_to_lab(x)[:, 1:], (height, width)))
        if self.hparams["loss"] == "psnr":
            return super().reconstruction_loss(scores, x, inputs)
        if self.hparams["mode"] == "ycbcr":
            x = rgb_to_ycbcr(x)[:, 1:]
        elif self.hparams["mode"] == "lab":
            x = rgb_to_lab(x)[:, 1:] / 100
        return F.mse_loss(self.net.output(scores.float()), x, reduction="sum") / len(x)

    def network_inputs(self, x: Tensor | np.ndarray) -> Tensor:
        """Return a user's grey images (N, 1, H, W), validated, as the network inputs."""
        return self.checked(x, self.input_shape)

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the images of a batch x or (x, ...), grey or of a colour that is not looked at, in colours."""
        x = inputs_of(batch)
        return self.reconstruct(luma(x).clamp(0, 1) if x.ndim == 4 and x.shape[1] == 3 else x)

    def scores(self, inputs: Tensor) -> Tensor:
        """Return the decoder's scores of grey images (N, 1, H, W), those of chroma computed on a smaller copy.

        For ``classes`` they are decoded, a* / 100 and b* / 100.
        """
        height, width = inputs.shape[2:]
        shrink = self.side / min(height, width)
        if self.hparams["mode"] == "vanilla":
            return super().scores(inputs)
        small = inputs
        if shrink < 1:
            size = (max(1, round(height * shrink)), max(1, round(width * shrink)))
            small = F.interpolate(inputs, size, mode="bilinear", antialias=True, align_corners=False)
        scores = super().scores(small)
        return scores if shrink >= 1 else F.interpolate(scores, (height, width), mode="bilinear", align_corners=False)

    def piece_scores(self, inputs: Tensor) -> Tensor:
        """Return the decoder's scores of a tile; for ``classes`` they are decoded."""
        scores = super().piece_scores(inputs)
        if self.hparams["mode"] != "classes":
            return scores
        return F.interpolate(self.net.output(scores), inputs.shape[2:], mode="bilinear")

    def decode(self, code: Tensor | np.ndarray) -> Tensor:
        """Decode code maps (N, latent_dim, H, W) to the output channels (N, 3 or 2, H, W)."""
        return super().decode(code)
