"""Networks for the heart beats of electrocardiograms: a classifier and an autoencoder."""

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
from zoo.tasks.ecg_annotation import RHYTHM, WINDOW, BeatInputs
from zoo.tasks.ecg_anomalies import BeatAutoencoder
from zoo.tasks.ecg_classification import BeatClassifier


class BeatNet(nn.Module):
    """Network from the windows and the rhythm of beats to scores.

    Args:
        num_classes: Number of classes.
        rr_around: Number of RR intervals on either side of a beat.
        hidden_dims: Channels of the convolutions.
        kernel_size: Kernel size of the convolutions.
        rhythm_dim: Units of the hidden layer; 0 excludes the rhythm and gives 64 units.
        neighbours: Number of beats on either side whose correlation is an input.
        compare: Whether the record's template beat is an input.
        causal: Whether to exclude inputs that lie further in the future than the window.
        dropout: Dropout probability.
        augmentation: Strength of the augmentation in training.
    """

    def __init__(
        self,
        num_classes: int,
        rr_around: int,
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
        self.rr_around, self.neighbours = rr_around, neighbours
        self.compare, self.causal, self.rhythm = compare, causal, rhythm_dim > 0
        self.shape = nn.Sequential(
            ConvStack1d(4 if compare else 2, hidden_dims, kernel_size, dropout, stride=2),
            nn.AdaptiveAvgPool1d(4),
            nn.Flatten(),
        )
        num_neighbours = neighbours if causal else 2 * neighbours
        self.used_neighbours = slice(0, num_neighbours)
        width = 4 * hidden_dims[-1] + 2 * len(SEGMENTS) * compare + 2 * num_neighbours
        if self.rhythm:
            rhythm = relative_rhythm_dim(rr_around, causal) + RHYTHM * (not causal)
            self.normalise = nn.Sequential(nn.BatchNorm1d(rhythm), nn.Dropout(dropout))
            width += rhythm
        self.scores = nn.Sequential(
            nn.Linear(width, rhythm_dim or 64), nn.ReLU(), nn.Dropout(dropout), nn.Linear(rhythm_dim or 64, num_classes)
        )

    def forward(
        self, x: Tensor, rr: Tensor, rhythm: Tensor, amplitude: Tensor, template: Tensor, around: Tensor
    ) -> Tensor:
        """Map the inputs of N beats, see ``BeatInputs``, to scores (N, num_classes).

        Raises:
            ValueError: If a shape or dtype differs.
        """
        check_inputs(
            x=(x, (2, WINDOW)),
            rr=(rr, (2 * self.rr_around + 2,)),
            rhythm=(rhythm, (RHYTHM,)),
            amplitude=(amplitude, (2,)),
            template=(template, (2, WINDOW)),
            around=(around, (2 * self.neighbours, 2, WINDOW)),
        )
        x = x - x.median(2, keepdim=True).values
        if not self.causal:
            x, template = divide_by_amplitude(x, amplitude), divide_by_amplitude(template, amplitude)
        original = x[:, None]  # the neighbours are not augmented either
        if self.training and self.augmentation:
            x, template, rr = augment_beats(x, template, rr, self.augmentation)
        parts = [self.shape(torch.cat([x, template], 1) if self.compare else x)]
        if self.compare:
            parts.append(segment_correlations(x, template))
        if self.neighbours:
            parts.append(correlation(original, around[:, self.used_neighbours]).flatten(1))
        if self.rhythm:
            near = relative_rhythm(rr, self.rr_around, self.causal)
            parts.append(self.normalise(near if self.causal else torch.cat([near, rhythm], 1)))
        return self.scores(torch.cat(parts, 1))


def check_inputs(**parts: tuple[Tensor, tuple[int, ...]]) -> None:
    """Raise ``ValueError`` if an input, given by name with its shape per sample, has another shape or dtype."""
    for name, (part, shape) in parts.items():
        if tuple(part.shape[1:]) != shape:
            raise ValueError(f"{name} of shape {tuple(part.shape)}: expected N x {' x '.join(map(str, shape))}")
        if not part.is_floating_point():
            raise ValueError(f"{name} of dtype {part.dtype}: expected floats, in millivolts or seconds")


@register_model(
    "ecg_classifier", source="de Chazal, O'Dwyer & Reilly 2004, protocol; Wang et al. 2021, network with RR intervals"
)
class ECGClassifier(BeatClassifier):
    """Small convolutional network that classifies the beats of two-lead electrocardiograms.

    Each window x (N, 2, 256), minus its median and divided by the record's amplitude, lead by lead, is concatenated
    with the record's template beat. One hidden layer gives the scores (N, num_classes) from

    - features of convolutions over time;
    - the correlations of the beat with the template beat, over the whole window and over P wave, QRS complex and T
      wave, and with its neighbours;
    - the logarithms of the RR intervals around it over their recent mean, see ``zoo.nn.ecg.relative_rhythm``, and the
      features of its longer rhythm.

    With ``smoothing_bandwidth`` above 0 the probabilities of similar beats of a record are then averaged, see
    ``BeatClassifier``.

    Template beat, amplitude, median interval, longer rhythm, smoothing, and the intervals and neighbours after the beat
    depend on later samples, so a record is annotated as a whole. ``causal`` excludes all of them and contradicts
    ``compare`` and ``smoothing_bandwidth``; the remaining inputs end with the window, 0.9 s after the beat.

    Args:
        num_classes: Number of classes: N, S, V, F and Q.
        rr_around: Number of RR intervals on either side of a beat.
        hidden_dims: Channels of the convolutions.
        kernel_size: Kernel size of the convolutions, odd.
        rhythm_dim: Units of the hidden layer; 0 excludes the rhythm and gives 64 units.
        neighbours: Number of beats on either side whose correlation with the beat is an input.
        compare: Whether the record's template beat is an input.
        causal: Whether to exclude inputs that lie further in the future than the window.
        dropout: Dropout probability of the convolutional channels, the rhythm and the hidden layer.
        augmentation: Strength of the augmentation in training, see ``zoo.nn.ecg.augment_beats``; 0 disables it.
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
                f"hidden_dims {hidden_dims} and kernel_size {kernel_size}: expected widths from 1 on and an odd size"
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
            raise ValueError("causal excludes the record's template beat: set compare to false")
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
    """Network from beats to the errors of their reconstructions.

    The buffer ``quantiles`` holds the quantiles of the errors of normal beats, to rank other errors by.

    Args:
        start: First sample of the window to reconstruct.
        stop: Index after its last sample.
        compare: Whether to subtract the record's template beat.
        codec: Codec of segments (N, 2, stop - start).
    """

    def __init__(self, start: int, stop: int, compare: bool, codec: Codec) -> None:
        super().__init__()
        self.window, self.compare, self.codec = slice(start, stop), compare, codec
        self.register_buffer("quantiles", torch.linspace(0, 1, 201))

    def segments(self, x: Tensor, amplitude: Tensor, template: Tensor) -> Tensor:
        """Return the segments (N, 2, stop - start) of N beats for the codec, in amplitudes of the record.

        Raises:
            ValueError: If a shape or dtype differs.
        """
        check_inputs(x=(x, (2, WINDOW)), amplitude=(amplitude, (2,)), template=(template, (2, WINDOW)))
        x = x - x.median(2, keepdim=True).values
        x = x - template if self.compare else x
        return divide_by_amplitude(x[:, :, self.window], amplitude)

    def forward(self, x: Tensor, amplitude: Tensor, template: Tensor) -> Tensor:
        """Map windows (N, 2, T), amplitudes (N, 2) and template beats (N, 2, T) to mean squared errors (N,)."""
        segments = self.segments(x, amplitude, template)
        return (self.codec(segments) - segments).square().flatten(1).mean(1)


@register_model(
    "ecg_autoencoder", source="Hawkins, He, Williams & Baxter 2002, Outlier detection using replicator neural networks"
)
class ECGAutoencoder(BeatAutoencoder):
    """Autoencoder of normal heart beats, whose reconstruction error detects anomalies.

    A segment z (N, 2, stop - start) of each window, minus the window's median and divided by the record's amplitude,
    lead by lead, is reconstructed; the score of a beat is the error mean (decoder(encoder(z)) - z)^2. With ``compare``
    the record's template beat is subtracted first, so that anomalies are relative to the patient. Template beat and
    amplitude are those of the whole record and depend on later samples.

    Args:
        start: First sample of the segment in a window.
        stop: Index after its last sample.
        hidden_dims: Widths of the encoder's hidden layers; the decoder has them in reverse order.
        latent_dim: Width of the code.
        activation: Name of the hidden activation.
        compare: Whether to subtract the record's template beat.
        rr_around: Number of RR intervals on either side of a beat in the data; not an input of the network.
        neighbours: Number of beats on either side in the data; not an input of the network.
        **training: Arguments of ``BeatAutoencoder`` and ``ZooModule``.
    """

    net: ReconstructionErrorNet

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

    def features(self, beats: Any) -> Tensor:
        """Return the codes (N, latent_dim) of N beats, float; gradients flow to the encoder.

        Args:
            beats: A ``BeatInputs``, or the tuple (x, amplitude, template) that the network takes.
        """
        parts = self.network_inputs(beats).values() if isinstance(beats, BeatInputs) else beats
        return self.net.codec.encode(self.net.segments(*map(self.as_input, parts)))
