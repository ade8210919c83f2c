"""Anomaly detection in electrocardiograms by reconstruction."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torchmetrics import CatMetric, Metric
from torchmetrics.classification import BinaryAUROC

from zoo.base import Batch, Values
from zoo.metrics.ec57 import CLASSES
from zoo.tasks.ecg_annotation import BeatAnnotator, BeatInputs, beat_inputs

NORMAL, VENTRICULAR, UNKNOWN = CLASSES.index("N"), CLASSES.index("V"), "Q"


class BeatAutoencoder(BeatAnnotator):
    """Autoencoder of normal beats whose reconstruction error is an anomaly score; a research tool.

    With z the input of the network for a beat and r = decode(encode(z)) its reconstruction, the network returns the
    error e = mean (r - z)^2. Training minimises the mean of e over the normal beats of a batch. ``val_auc`` and
    ``test_auc`` are the areas under the ROC curve of e for V against N, ``val_abnormal_auc`` and ``test_abnormal_auc``
    those for all other classes against N.

    A subclass's network has a buffer ``quantiles`` (K,), to which validation writes K evenly spaced quantiles of the
    errors of normal beats, from the minimum to the maximum.

    Args:
        flagged: False positive rate of ``annotate``: share of the normal validation beats that exceed its threshold.
        fs: Samples a second of the network's windows.
        **optimisation: Arguments of ``ZooModule``.
    """

    input_names = ("x", "amplitude", "template")
    default_monitor = "val_auc"
    net_output: ClassVar[dict[str, str]] = {
        "error": "mean squared error of the reconstruction of each beat, in squared amplitudes of the record"
    }
    """What the network returns, by the name that an export gives it."""

    def __init__(self, *, flagged: float = 0.05, fs: int = 180, **optimisation: Any) -> None:
        super().__init__(**optimisation)
        if not 0 < flagged < 1:
            raise ValueError(f"flagged must be in (0, 1), not {flagged}")

    @property
    def quantiles(self) -> Tensor:
        """Errors (K,) of the normal beats of validation, ascending."""
        levels = self.net.quantiles
        assert isinstance(levels, Tensor)
        return levels

    def forward(self, x: Tensor, amplitude: Tensor, template: Tensor) -> Tensor:  # type: ignore[override]
        """Map windows (N, 2, T), amplitudes (N, 2), template beats (N, 2, T) to errors (N,)."""
        return self.net(x, amplitude, template)

    def configure_metrics(self) -> dict[str, Metric]:
        """Return the areas under the ROC curve of V and of all other classes against N, and the errors of N."""
        return {"auc": BinaryAUROC(), "abnormal_auc": BinaryAUROC(), "normal_errors": CatMetric()}

    def step(self, batch: Batch) -> Values:
        """Compute the mean error of the normal beats of a batch, and in evaluation the error of each beat."""
        errors, y = self(**self.network_inputs(beat_inputs(batch))), batch[1]
        normal = y == NORMAL
        weights = normal.to(errors)
        values: Values = {"loss": (errors * weights).sum() / weights.sum().clamp_min(1)}
        if not self.training:
            found = errors.detach().float()
            compared = normal | (y == VENTRICULAR)
            values["auc"] = (_squashed(found[compared]), y[compared] == VENTRICULAR)
            values["abnormal_auc"] = (_squashed(found), ~normal)
            values["normal_errors"] = (found[normal],)
        return values

    def end_epoch(self, stage: str) -> None:
        """Store the quantiles of the errors of normal beats in validation."""
        if stage != "val":
            return
        normal = self.metrics["val"]["normal_errors"].compute()
        if normal.numel():
            shares = torch.linspace(0, 1, len(self.quantiles), dtype=torch.float64, device=normal.device)
            self.quantiles.copy_(torch.quantile(normal.flatten().double(), shares))

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the errors (N,) of a batch (x, y, rr, rhythm, amplitude, template, ...)."""
        return self(**self.network_inputs(beat_inputs(batch)))

    def classify_beats(self, beats: BeatInputs) -> tuple[list[str], Tensor]:
        """Return Q for each beat whose error exceeds the threshold, else N, and the confidence (N,).

        The threshold is the (1 - ``flagged``) quantile of the errors of normal validation beats. The confidence is the
        share of these errors below that of a Q, or above that of an N.
        """
        rank = torch.searchsorted(self.quantiles, self(**self.network_inputs(beats))) / len(self.quantiles)
        unusual = rank > 1 - self.hparams["flagged"]
        symbols = [UNKNOWN if is_unusual else CLASSES[NORMAL] for is_unusual in unusual.tolist()]
        return symbols, torch.where(unusual, rank, 1 - rank)


def _squashed(errors: Tensor) -> Tensor:
    """Map errors to [0, 1) in the same order: torchmetrics takes others for logits, and rounds large ones."""
    return errors / (1 + errors)
