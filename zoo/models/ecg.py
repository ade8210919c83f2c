"""Electrocardiograms: what kind of beat is this?"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from zoo.models.autoencoders import check_widths
from zoo.nn import Codec, dense_codec
from zoo.nn.ecg import (
    SEGMENTS,
    augment_beats,
    correlation,
    divide_by_amplitude,
    relative_rhythm,
    relative_rhythm_dim,
    segment_correlations,
)
from zoo.nn.stacks import ConvStack1d
from zoo.registry import register_model
from zoo.tasks.ecg_annotation import RHYTHM, WINDOW
from zoo.tasks.ecg_anomalies import BeatAutoencoder
from zoo.tasks.ecg_classification import BeatClassifier


class BeatNet(nn.Module):
    """Windows of beats and the rhythm around them to scores.

    Args:
        num_classes: Number of classes.
        around: RR intervals on either side of a beat.
        hidden_dims: Channels of the convolutions.
        kernel_size: Samples that a convolution sees.
        rhythm_dim: Units of the hidden layer over morphology and rhythm; 0 leaves the rhythm out.
        neighbours: Beats on either side whose correlation is seen.
        compare: Whether the record's usual beat is seen beside each.
        causal: Whether what looks further into the future than the window is left out.
        dropout: Probability with which a number is left out.
        augmentation: Strength of the disturbances in training.
    """

    def __init__(
        self,
        num_classes: int,
        around: int,
        hidden_dims: list[int],
        kernel_size: int,
        rhythm_dim: int,
        neighbours: int,
        compare: bool,
        causal: bool,
        dropout: float,
        augmentation: float,
    ) -> None:
        super().__init__()
        self.augmentation = augmentation
        self.around, self.neighbours = around, neighbours
        self.compare, self.causal, self.rhythm = compare, causal, rhythm_dim > 0
        self.shape = nn.Sequential(
            ConvStack1d(4 if compare else 2, hidden_dims, kernel_size, dropout, stride=2),
            nn.AdaptiveAvgPool1d(4),
            nn.Flatten(),
        )
        seen = neighbours if causal else 2 * neighbours
        self.beside = slice(0, seen)
        width = 4 * hidden_dims[-1] + 2 * len(SEGMENTS) * compare + 2 * seen
        if self.rhythm:
            rhythm = relative_rhythm_dim(around, causal) + RHYTHM * (not causal)
            self.normalise = nn.Sequential(nn.BatchNorm1d(rhythm), nn.Dropout(dropout))
            width += rhythm
        self.scores = nn.Sequential(
            nn.Linear(width, rhythm_dim or 64), nn.ReLU(), nn.Dropout(dropout), nn.Linear(rhythm_dim or 64, num_classes)
        )

    def forward(
        self, x: Tensor, rr: Tensor, rhythm: Tensor, amplitude: Tensor, template: Tensor, around: Tensor
    ) -> Tensor:
        """Map what is known of N beats, see ``BeatInputs``, to scores (N, num_classes).

        Raises:
            ValueError: If a shape or a dtype is another.
        """
        checked(
            x=(x, (2, WINDOW)),
            rr=(rr, (2 * self.around + 2,)),
            rhythm=(rhythm, (RHYTHM,)),
            amplitude=(amplitude, (2,)),
            template=(template, (2, WINDOW)),
            around=(around, (2 * self.neighbours, 2, WINDOW)),
        )
        x = x - x.median(2, keepdim=True).values
        if not self.causal:
            x, template = divide_by_amplitude(x, amplitude), divide_by_amplitude(template, amplitude)
        beside = x[:, None]
        if self.training and self.augmentation:
            x, template, rr = augment_beats(x, template, rr, self.augmentation)
        parts = [self.shape(torch.cat([x, template], 1) if self.compare else x)]
        if self.compare:
            parts.append(segment_correlations(x, template))
        if self.neighbours:
            parts.append(correlation(beside, around[:, self.beside]).flatten(1))
        if self.rhythm:
            near = relative_rhythm(rr, self.around, self.causal)
            parts.append(self.normalise(near if self.causal else torch.cat([near, rhythm], 1)))
        return self.scores(torch.cat(parts, 1))


def checked(**parts: tuple[Tensor, tuple[int, ...]]) -> None:
    """Raise ``ValueError`` if an input, given by name with the shape of a row, has another shape or dtype."""
    for name, (part, shape) in parts.items():
        if tuple(part.shape[1:]) != shape:
            raise ValueError(f"{name} of shape {tuple(part.shape)}: expected N x {' x '.join(map(str, shape))}")
        if not part.is_floating_point():
            raise ValueError(f"{name} of dtype {part.dtype}: expected floats, in millivolts or seconds")


@register_model(
    "ecg_classifier", source="de Chazal, O'Dwyer & Reilly 2004, protocol; Wang et al. 2021, network with RR intervals"
)
class ECGClassifier(BeatClassifier):
    """Small convolutional network for the beats of an electrocardiogram of two leads.

    Each window x, less its own median, is divided by the record's amplitude, lead by lead, and stands beside the
    record's usual beat. Convolutions over time turn both into a few numbers on the shape of the beat; with the
    correlations of the beat with the usual beat, whole and by P wave, QRS complex and T wave, and with each of its
    neighbours, the logarithms of the RR intervals around it over the recent mean, and its place in the longer rhythm,
    they go through one hidden layer to the scores.

    With ``smoothing_bandwidth`` above 0 the probabilities of similar beats of a record are then averaged, see
    ``BeatClassifier``.

    The usual beat, the amplitude, the median interval, the longer rhythm, beats that are alike, and intervals and
    neighbours after the beat look into the future: a record is annotated when it is over. ``causal`` leaves all of them
    out, refuses ``compare`` and ``smoothing_bandwidth``, and what is left looks 0.9 s ahead, as far as the window goes.

    Args:
        num_classes: Number of classes: N, S, V, F and Q.
        rr_around: RR intervals on either side of a beat.
        hidden_dims: Channels of the convolutions.
        kernel_size: Samples that a convolution sees.
        rhythm_dim: Units of the hidden layer; 0 leaves the rhythm out and takes 64.
        neighbours: Beats before and after whose correlation with this one is seen.
        compare: Whether the record's usual beat is seen beside each.
        causal: Whether what looks further into the future than the window is left out.
        dropout: Probability with which a number is left out.
        augmentation: Strength of the disturbances in training, see ``zoo.nn.ecg.augment_beats``; 1 is a usual one.
        **training: Arguments of ``BeatClassifier``, ``Classifier`` and ``ZooModule``.
    """

    net: BeatNet
    renamed: ClassVar[dict[str, str]] = {"alike": "smoothing_bandwidth", "disturbance": "augmentation"}

    def __init__(
        self,
        *,
        num_classes: int = 5,
        rr_around: int = 8,
        hidden_dims: list[int] = [24, 32, 48, 64],  # noqa: B006
        kernel_size: int = 7,
        rhythm_dim: int = 64,
        neighbours: int = 2,
        compare: bool = True,
        causal: bool = False,
        dropout: float = 0.0,
        augmentation: float = 0.0,
        **training: Any,
    ) -> None:
        super().__init__(**training)
        if not hidden_dims or min(hidden_dims) < 1 or kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(
                f"hidden_dims {hidden_dims} and kernel_size {kernel_size}: widths from 1 on, and an odd number"
            )
        least = {
            "num_classes": (num_classes, 2),
            "rr_around": (rr_around, 2),
            "rhythm_dim": (rhythm_dim, 0),
            "neighbours": (neighbours, 0),
        }
        for name, (value, lowest) in least.items():
            if value < lowest:
                raise ValueError(f"{name} must be at least {lowest}, not {value}")
        if not 0 <= augmentation < float("inf"):
            raise ValueError(f"augmentation must be at least 0, not {augmentation}")
        if causal and compare:
            raise ValueError("causal leaves the record's usual beat out: set compare to false")
        if causal and self.hparams["smoothing_bandwidth"]:
            raise ValueError("causal cannot smooth over later beats: set smoothing_bandwidth to 0")
        self.net = BeatNet(
            num_classes,
            rr_around,
            hidden_dims,
            kernel_size,
            rhythm_dim,
            neighbours,
            compare,
            causal,
            dropout,
            augmentation,
        )


class ReconstructionErrorNet(nn.Module):
    """Beats to the errors of their reconstructions.

    The buffer ``quantiles`` holds errors of normal beats in ascending order, which say how unusual an error is.

    Args:
        start: First sample of the window that is seen.
        stop: Sample after the last one.
        compare: Whether the record's usual beat is subtracted.
        codec: Encoder and decoder of what is seen (N, 2, stop - start).
    """

    def __init__(self, start: int, stop: int, compare: bool, codec: Codec) -> None:
        super().__init__()
        self.window, self.compare, self.codec = slice(start, stop), compare, codec
        self.register_buffer("quantiles", torch.linspace(0, 1, 201))

    def view(self, x: Tensor, amplitude: Tensor, template: Tensor) -> Tensor:
        """Return what the codec sees (N, 2, stop - start) of N beats, in amplitudes of the record.

        Raises:
            ValueError: If a shape or a dtype is another.
        """
        checked(x=(x, (2, WINDOW)), amplitude=(amplitude, (2,)), template=(template, (2, WINDOW)))
        x = x - x.median(2, keepdim=True).values
        x = x - template if self.compare else x
        return divide_by_amplitude(x[:, :, self.window], amplitude)

    def forward(self, x: Tensor, amplitude: Tensor, template: Tensor) -> Tensor:
        """Map windows (N, 2, T), amplitudes (N, 2) and usual beats (N, 2, T) to mean squared errors (N,)."""
        seen = self.view(x, amplitude, template)
        return (self.codec(seen) - seen).square().flatten(1).mean(1)


@register_model(
    "ecg_autoencoder", source="Hawkins, He, Williams & Baxter 2002, Outlier detection using replicator neural networks"
)
class ECGAutoencoder(BeatAutoencoder):
    """Autoencoder of normal heart beats, to which others are anomalies.

    What it sees of a beat is the window from ``start`` to ``stop``, less its own median and divided by the record's
    amplitude, lead by lead; with ``compare`` less the record's usual beat too, so that what is unusual is unusual for
    this heart. The usual beat and the amplitude are those of the whole record and so look into the future.

    Args:
        start: First sample of the window that is seen.
        stop: Sample after the last one.
        hidden_dims: Widths of the encoder's hidden layers; the decoder has them in reverse.
        latent_dim: Width of the code.
        activation: Name of the hidden activation.
        compare: Whether the record's usual beat is subtracted.
        rr_around: RR intervals on either side of a beat, which are not seen.
        neighbours: Beats before and after, which are not seen either.
        **training: Arguments of ``BeatAutoencoder`` and ``ZooModule``.
    """

    def __init__(
        self,
        *,
        start: int = 70,
        stop: int = 170,
        hidden_dims: list[int] = [128],  # noqa: B006
        latent_dim: int = 8,
        activation: str = "silu",
        compare: bool = True,
        rr_around: int = 8,
        neighbours: int = 2,
        **training: Any,
    ) -> None:
        super().__init__(**training)
        if not 0 <= start < stop <= WINDOW:
            raise ValueError(f"start {start} and stop {stop}: expected 0 <= start < stop <= {WINDOW}")
        check_widths(hidden_dims, latent_dim)
        codec = dense_codec([2, stop - start], hidden_dims, latent_dim, activation_name=activation, output="identity")
        self.net = ReconstructionErrorNet(start, stop, compare, codec)
