"""Reconstruction by autoencoders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.base import Batch, Values, ZooModule
from zoo.errors import unknown
from zoo.metrics.images import psnr_from_mse
from zoo.nn import PENALTIES, Codec, FullyConvolutionalCodec, apply_in_tiles, find_corruption
from zoo.training.batches import UNIT, as_tensor, check_values, inputs_of

LOSSES = ("cross_entropy", "psnr", "squared_error")
FLOOR = 1e-5
"""Mean squared error added in the loss ``psnr``, which bounds it at 50 dB; the square of a byte's step is 1.5e-5."""
ACTIVE = 1e-3
"""Absolute value above which a unit of a code counts as active; set by hand."""
LATENT_ACTIVATIONS = {"kl": "sigmoid", "l1": "relu"}
"""Activation of the code that suits a penalty: exact zeros for ``l1``, rates in (0, 1) for ``kl``."""


class Autoencoder(ZooModule):
    """Autoencoder: a ``Codec`` trained to reconstruct its input, with a corruption and a penalty chosen by name.

    With c the corruption, h = encoder(c(x)) the code and r = output(decoder(h)) the reconstruction, training minimises

        loss(r, x) + penalty_weight * penalty(h)

    where the loss is summed over the elements of a sample and averaged over the batch, or averaged over both:

        squared_error   sum (r - x)^2
        cross_entropy   -sum x log r + (1 - x) log(1 - r), or -sum x log r where the output is a softmax
        psnr            10 log10 mean (r - x)^2, the negative PSNR, to which every sample contributes equally

    The corruption is applied in training and, with the same draws each time and on every device, in validation and
    test, where the penalty is omitted. The metrics compare the reconstruction with the input before its corruption:
    ``mse`` per element (for images, per pixel and channel) and, in validation and test, ``sse`` per sample, ``psnr`` in
    dB, the mean over samples of -10 log10 mse, and ``active``, the share of the code's units above 0.001 in absolute
    value.

    A fully convolutional network (``FullyConvolutionalCodec``) takes images of any size in ``encode``, ``decode`` and
    ``reconstruct``; the last processes large ones in tiles, so that the network's memory stays bounded.

    Args:
        corruption: ``none``, ``any_holes``, ``erase``, ``gaussian``, ``gaussian_range``, ``grey``, ``holes``,
            ``masking``, ``salt_pepper`` or ``strokes``.
        corruption_strength: Its strength, as ``zoo.nn.CORRUPTIONS`` says; the corruption's own default if None.
        penalty: Penalty on the code: ``none``, ``contractive``, ``kl`` or ``l1``.
        penalty_weight: Weight of the penalty.
        target_activity: Target of the mean activity of each unit of the code for ``kl``, in (0, 1).
        loss: ``cross_entropy``, ``psnr`` or ``squared_error``.
        **optimisation: Arguments of ``ZooModule``.
    """

    net: Codec
    takes_mask = False
    """Whether ``reconstruct`` takes a mask of holes beside the images."""
    outside_net = (
        "Corruption in training; in reconstruct, checks of the input, tiling of large images and clamping to [0, 1]."
    )
    net_output: ClassVar[dict[str, str]] = {"reconstruction": "the reconstructions, in the units of the input"}
    """What the network returns, by the name that an export gives it."""
    output_formats: ClassVar[dict[str, str]] = {".npy": "code", ".png": "reconstruction"}

    def __init__(
        self,
        *,
        corruption: str = "none",
        corruption_strength: float | None = None,
        penalty: str = "none",
        penalty_weight: float = 1e-3,
        target_activity: float = 0.05,
        loss: str = "squared_error",
        **optimisation: Any,
    ) -> None:
        super().__init__(**optimisation)
        if penalty not in PENALTIES:
            raise unknown("penalty", penalty, PENALTIES)
        if loss not in LOSSES:
            raise unknown("loss", loss, LOSSES)
        if not penalty_weight >= 0:
            raise ValueError(f"penalty_weight must be at least 0, not {penalty_weight}")
        if not 0 < target_activity < 1:
            raise ValueError(f"target_activity must be in (0, 1), not {target_activity}")
        self._draws: torch.Generator | None = None
        self._sample_shape: tuple[int, ...] = ()

    def set_shape(self, input_shape: Sequence[int], sample_shape: Sequence[int] | None = None) -> None:
        """Set the shapes, which a subclass does in its constructor, and check that the corruption suits them.

        Args:
            input_shape: Shape of what the network takes.
            sample_shape: Shape of a sample of the data if it is another.

        Raises:
            ValueError: If the corruption or its strength is unknown, or does not suit the shape.
        """
        self.input_shape = tuple(input_shape)
        self._sample_shape = tuple(input_shape if sample_shape is None else sample_shape)
        settings = self.hparams["corruption"], self.hparams["corruption_strength"]
        self._corruption, self._strength = find_corruption(*settings, self.input_shape)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of a sample of the data, which the network may take in another form."""
        return self._sample_shape

    def begin_epoch(self, stage: str) -> None:
        """Reset the draws of the corruption before an evaluation."""
        if stage != "train":
            self._reset_draws()

    def end_epoch(self, stage: str) -> None:
        """Drop the draws of an evaluation."""
        self._draws = None

    def _reset_draws(self) -> None:
        """Let each evaluation draw the same corruptions, on the CPU: a device's own generator draws other numbers."""
        self._draws = torch.Generator().manual_seed(self.global_rank)

    def corrupt(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the network input for a batch (N, ...) in [0, 1]: the batch after its corruption.

        Without a ``generator`` the random numbers are torch's own.
        """
        return self._corruption.apply(x, self._strength, generator)

    def corrupted(self, x: Tensor) -> Tensor:
        """Return the network input for a batch: in training, or with the draws of this evaluation.

        In evaluation the corruption is computed on the CPU, so that every device is evaluated on the same samples.
        """
        return self.corrupt(x) if self.training else self.corrupt(x.cpu(), self._draws).to(x.device)

    def restored(self, scores: Tensor, inputs: Tensor) -> Tensor:
        """Return the reconstructions (N, ...) from the decoder's scores and the network input."""
        return self.net.output(scores)

    def reconstruction_loss(self, scores: Tensor, x: Tensor, inputs: Tensor) -> Tensor:
        """Return the loss of a batch, a scalar.

        Args:
            scores: Output of the decoder, (N, ...).
            x: The clean samples.
            inputs: The network input for them.
        """
        scores = scores.float()
        if self.hparams["loss"] == "psnr":
            return 10 * (self.errors(self.restored(scores, inputs), x, inputs) + FLOOR).log10().mean()
        if self.hparams["loss"] == "squared_error":
            total = F.mse_loss(self.net.output(scores), x, reduction="sum")
        elif isinstance(self.net.output, torch.nn.Softmax):
            total = -(x * scores.log_softmax(1)).sum()
        else:
            total = F.binary_cross_entropy_with_logits(scores, x, reduction="sum")
        return total / len(x)

    def errors(self, restored: Tensor, x: Tensor, inputs: Tensor) -> Tensor:
        """Return the mean squared error (N,) of each reconstruction."""
        return F.mse_loss(restored, x, reduction="none").flatten(1).mean(1)

    def step(self, batch: Batch) -> Values:
        """Compute loss and metrics of a batch (x, ...)."""
        x, penalty = batch[0], self.hparams["penalty"]
        inputs = self.corrupted(x)
        penalised = self.training and penalty != "none"
        if penalised and penalty == "contractive":
            inputs = inputs.detach().requires_grad_()
        code, scores = self.net.code_and_scores(inputs)
        loss = self.reconstruction_loss(scores, x, inputs)
        if penalised:
            found = PENALTIES[penalty](code, inputs, self.hparams["target_activity"])
            loss = loss + self.hparams["penalty_weight"] * found
        return {"loss": loss, **self._metrics(scores.detach(), code.detach(), x, inputs.detach())}

    @torch.no_grad()
    def _metrics(self, scores: Tensor, code: Tensor, x: Tensor, inputs: Tensor) -> dict[str, Tensor]:
        """Compare the reconstructions with the clean inputs; in training only by ``mse``."""
        errors = self.errors(self.restored(scores.float(), inputs), x, inputs)
        mse = errors.mean()
        if self.training:
            return {"mse": mse}
        return {
            "mse": mse,
            "sse": mse * x[0].numel(),
            "psnr": psnr_from_mse(errors).mean(),
            "active": (code.abs() > ACTIVE).float().mean(),
        }

    @property
    def trained_for(self) -> str:
        """The images and the corruption that the model was trained for, in one line for its user."""
        side = " x ".join(str(side) for side in self.sample_shape[:0:-1])
        found = f"trained on images of {side} pixels" if len(self.sample_shape) == 3 else "trained on vectors"
        corruption = self.hparams["corruption"]
        return found + (
            f" with {corruption}, {self._corruption.meaning} {self._strength:.3g}" if corruption != "none" else ""
        )

    @property
    def any_size(self) -> bool:
        """Whether the network takes images of any size."""
        return isinstance(self.net, FullyConvolutionalCodec)

    @property
    def input_kind(self) -> str:
        """``images`` for a network that takes images of any size, else ``rows``."""
        return "images" if self.any_size else "rows"

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the codes of a batch x or (x, ...), or its reconstructions where images of any size are restored."""
        return self.reconstruct(inputs_of(batch)) if self.any_size else self.encode(inputs_of(batch))

    @torch.no_grad()
    def encode(self, x: Tensor | np.ndarray) -> Tensor:
        """Return the codes (N, latent_dim), or code maps, of a batch (N, ...) in [0, 1], which is not corrupted.

        Raises:
            ValueError: If shape, dtype or range of the batch are wrong or it contains NaN.
        """
        with self.evaluating():
            return self.net.encode(self.network_inputs(x))

    def features(self, x: Tensor | np.ndarray) -> Tensor:
        """Return the codes (N, latent_dim), or code maps (N, latent_dim, H, W), of a batch (N, ...) in [0, 1].

        They are those of ``encode``, but gradients flow to the encoder, and the network is in the model's mode.

        Raises:
            ValueError: If shape, dtype or range of the batch are wrong or it contains NaN.
        """
        return self.net.encode(self.network_inputs(x))

    @torch.no_grad()
    def decode(self, code: Tensor | np.ndarray) -> Tensor:
        """Return the reconstructions (N, ...) of codes (N, latent_dim), or of code maps (N, latent_dim, H, W)."""
        code = as_tensor(code)
        width, axes = self.hparams["latent_dim"], 4 if self.any_size else 2
        if code.ndim != axes or code.shape[1] != width or not code.is_floating_point():
            wanted = f"N x {width}" + " x H x W" * self.any_size
            raise ValueError(f"codes of shape {tuple(code.shape)} and {code.dtype}: expected {wanted} floats")
        with self.evaluating():
            return self.net.decode(code.to(next(self.net.parameters())))

    @torch.no_grad()
    def reconstruct(self, x: Tensor | np.ndarray) -> Tensor:
        """Return the reconstructions, in [0, 1], of a batch (N, ...) that is not corrupted.

        Raises:
            ValueError: If shape, dtype or range of the batch are wrong or it contains NaN.
        """
        with self.evaluating():
            inputs = self.network_inputs(x)
            return self.restored(self.scores(inputs), inputs).clamp(0, 1)

    def network_inputs(self, x: Tensor | np.ndarray) -> Tensor:
        """Return the network input for a user's batch, checked, on the model's device."""
        return self.checked(x, self.sample_shape)

    def scores(self, inputs: Tensor) -> Tensor:
        """Return the decoder's scores for a network input; large images are processed in tiles."""
        if isinstance(self.net, FullyConvolutionalCodec):
            return apply_in_tiles(self.piece_scores, inputs, self.net.stride, self.net.reach)
        return self.net.decoder(self.net.encode(inputs))

    def piece_scores(self, inputs: Tensor) -> Tensor:
        """Return the decoder's scores for a tile of a network input."""
        return self.net.code_and_scores(inputs)[1]

    def checked(self, x: Tensor | np.ndarray, shape: Sequence[int]) -> Tensor:
        """Check a floating-point batch and return it on the model's device and in its precision.

        Args:
            x: The batch.
            shape: Shape of one sample.

        Raises:
            ValueError: If shape, dtype or range are wrong or it contains NaN.
        """
        x = as_tensor(x)
        fits = tuple(x.shape[1:]) == tuple(shape)
        if self.any_size:
            fits = x.ndim == 4 and x.shape[1] == shape[0] and min(x.shape[2:]) > 0
        if not fits:
            wanted = f"{shape[0]} x any x any" if self.any_size else " x ".join(map(str, shape))
            raise ValueError(f"input of shape {tuple(x.shape)}: expected N x {wanted}")
        check_values(x, UNIT)
        return x.to(self.device, self.precision)

    def predict_rows(self, x: Tensor) -> list[dict[str, Any]]:
        """Return the squared error, the code and the reconstruction of each sample of a batch."""
        codes, pictures = self.encode(x), self.reconstruct(x)
        errors = (pictures - as_tensor(x).to(pictures)).square().flatten(1).mean(1)
        return [
            {"mse": error, "code": code.cpu(), "reconstruction": picture.cpu()}
            for error, code, picture in zip(errors.tolist(), codes, pictures)
        ]
