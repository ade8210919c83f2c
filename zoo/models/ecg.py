"""Electrocardiograms: what kind of beat is this?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from zoo.nn.beats import SMALLEST, ConvStack1d, likeness, relative_rhythm
from zoo.registry import register_model
from zoo.tasks.beats import BeatClassifier


class BeatNet(nn.Module):
    """Windows of beats and the rhythm around them to scores.

    Args:
        num_classes: Number of classes.
        around: RR intervals on either side of a beat.
        hidden_dims: Channels of the convolutions.
        kernel_size: Samples that a convolution sees.
        rhythm_dim: Units of the hidden layer over morphology and rhythm; 0 leaves the rhythm out.
        compare: Whether the record's usual beat is seen beside each.
        causal: Whether what looks further into the future than the window is left out.
        dropout: Probability with which a number is left out.
    """

    def __init__(
        self,
        num_classes: int,
        around: int,
        hidden_dims: list[int],
        kernel_size: int,
        rhythm_dim: int,
        compare: bool,
        causal: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.around, self.compare, self.causal, self.rhythm = around, compare, causal, rhythm_dim > 0
        self.shape = nn.Sequential(
            ConvStack1d(4 if compare else 2, hidden_dims, kernel_size, dropout), nn.AdaptiveAvgPool1d(4), nn.Flatten()
        )
        width = 4 * hidden_dims[-1] + 2 * compare
        rhythm = around + 2 if causal else 2 * around + 6
        if self.rhythm:
            self.normalise = nn.BatchNorm1d(rhythm)
            width += rhythm
        self.scores = nn.Sequential(
            nn.Linear(width, rhythm_dim or 64), nn.ReLU(), nn.Dropout(dropout), nn.Linear(rhythm_dim or 64, num_classes)
        )

    def forward(self, x: Tensor, rr: Tensor, amplitude: Tensor, template: Tensor) -> Tensor:
        """Map windows (N, 2, T), RR intervals (N, 2 * around + 2), amplitudes (N, 2), usual beats (N, 2, T) to scores.

        Raises:
            ValueError: If a shape or a dtype is another.
        """
        checked(x, rr, amplitude, template, self.around)
        x = x - x.median(2, keepdim=True).values
        if not self.causal:
            x, template = (part / amplitude.clamp_min(SMALLEST)[:, :, None] for part in (x, template))
        parts = [self.shape(torch.cat([x, template], 1) if self.compare else x)]
        if self.compare:
            parts.append(likeness(x, template))
        if self.rhythm:
            parts.append(self.normalise(relative_rhythm(rr, self.around, self.causal)))
        return self.scores(torch.cat(parts, 1))


def checked(x: Tensor, rr: Tensor, amplitude: Tensor, template: Tensor, around: int) -> None:
    """Raise ``ValueError`` if an input of ``BeatNet`` has another shape or dtype."""
    wanted = {
        "x": (x, (2, None)),
        "rr": (rr, (2 * around + 2,)),
        "amplitude": (amplitude, (2,)),
        "template": (template, (2, None)),
    }
    for name, (part, shape) in wanted.items():
        sizes = part.shape[1:]
        if len(sizes) != len(shape) or any(w is not None and w != s for w, s in zip(shape, sizes)):
            expected = " x ".join("any" if size is None else str(size) for size in shape)
            raise ValueError(f"{name} of shape {tuple(part.shape)}: expected N x {expected}")
        if not part.is_floating_point():
            raise ValueError(f"{name} of dtype {part.dtype}: expected floats, in millivolts or seconds")
    if template.shape != x.shape:
        raise ValueError(f"template of shape {tuple(template.shape)}: expected that of x, {tuple(x.shape)}")


@register_model(
    "ecg_classifier", source="de Chazal, O'Dwyer & Reilly 2004, protocol; Wang et al. 2021, network with RR intervals"
)
class ECGClassifier(BeatClassifier):
    """Small convolutional network for the beats of an electrocardiogram of two leads.

    Each window x, less its own median, is divided by the record's amplitude, lead by lead, and stands beside the
    record's usual beat. Convolutions over time turn both into a few numbers on the shape of the beat; with the
    correlation of beat and usual beat and the logarithms of the RR intervals around it over the recent mean they go
    through one hidden layer to the scores.

    The usual beat, the amplitude, the median interval and the intervals after the beat look into the future: a record
    is annotated when it is over. ``causal`` leaves all of them out, and what is left looks 0.9 s ahead, as far as the
    window goes.

    Args:
        num_classes: Number of classes: N, S, V, F and Q.
        rr_around: RR intervals on either side of a beat.
        hidden_dims: Channels of the convolutions.
        kernel_size: Samples that a convolution sees.
        rhythm_dim: Units of the hidden layer; 0 leaves the rhythm out and takes 64.
        compare: Whether the record's usual beat is seen beside each.
        causal: Whether what looks further into the future than the window is left out.
        dropout: Probability with which a number is left out.
        **training: Arguments of ``BeatClassifier``, ``Classifier`` and ``ZooModule``.
    """

    net: BeatNet

    def __init__(
        self,
        *,
        num_classes: int = 5,
        rr_around: int = 8,
        hidden_dims: list[int] = [24, 32, 48, 64],  # noqa: B006
        kernel_size: int = 7,
        rhythm_dim: int = 64,
        compare: bool = True,
        causal: bool = False,
        dropout: float = 0.0,
        **training: Any,
    ) -> None:
        super().__init__(**training)
        if not hidden_dims or min(hidden_dims) < 1 or kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(
                f"hidden_dims {hidden_dims} and kernel_size {kernel_size}: widths from 1 on, and an odd number"
            )
        least = {"num_classes": (num_classes, 2), "rr_around": (rr_around, 2), "rhythm_dim": (rhythm_dim, 0)}
        for name, (value, lowest) in least.items():
            if value < lowest:
                raise ValueError(f"{name} must be at least {lowest}, not {value}")
        if causal and compare:
            raise ValueError("causal leaves the record's usual beat out: set compare to false")
        self.net = BeatNet(num_classes, rr_around, hidden_dims, kernel_size, rhythm_dim, compare, causal, dropout)
