"""Anomaly detection in electrocardiograms: what does not look like a normal beat."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics.classification import BinaryAUROC

from zoo.base import Batch
from zoo.metrics.ec57 import CLASSES
from zoo.tasks.recordings import BeatAnnotator, BeatInputs, inputs_of

NORMAL, VENTRICULAR, UNKNOWN = CLASSES.index("N"), CLASSES.index("V"), "Q"


class BeatAutoencoder(BeatAnnotator):
    """An autoencoder that has seen normal beats alone, and gives others back badly; a research tool.

    With z what is seen of a beat and r = decode(encode(z)) its reconstruction, the network gives the error
    e = mean (r - z)^2. Training minimises the mean of e over the normal beats of a batch; the others are left out. The
    error ranks beats by how unusual they are. ``val_auc`` and ``test_auc`` are the areas under the ROC curve by which
    it tells V from N, and ``..._abnormal_auc`` those by which it tells all other classes from N.

    A subclass's network has a buffer ``quantiles`` (K,), in which validation leaves the errors of its normal beats at K
    equal steps from the smallest to the largest.

    Args:
        flagged: Share of the normal beats of validation that ``annotate`` may call unusual.
        fs: Samples a second of the network's windows.
        **optimisation: Arguments of ``ZooModule``.
    """

    sees = ("x", "amplitude", "template")
    default_monitor = "val_auc"

    def __init__(self, *, flagged: float = 0.05, fs: int = 180, **optimisation: Any) -> None:
        super().__init__(**optimisation)
        if not 0 < flagged < 1:
            raise ValueError(f"flagged must be in (0, 1), not {flagged}")
        self._curves = {
            f"{stage}_{name}": BinaryAUROC() for stage in ("val", "test") for name in ("auc", "abnormal_auc")
        }
        self._normal: list[Tensor] = []

    @property
    def quantiles(self) -> Tensor:
        """Errors (K,) of the normal beats of validation, ascending."""
        levels = self.net.quantiles
        assert isinstance(levels, Tensor)
        return levels

    def forward(self, x: Tensor, amplitude: Tensor, template: Tensor) -> Tensor:  # type: ignore[override]
        """Map windows (N, 2, T), amplitudes (N, 2), usual beats (N, 2, T) to errors (N,)."""
        return self.net(x, amplitude, template)

    # ---- training ----

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Compute the mean error of the normal beats of a batch, and the error of each beat."""
        errors = self(**self.seen(inputs_of(batch)))
        normal = (batch[1] == NORMAL).to(errors)
        return {"loss": (errors * normal).sum() / normal.sum().clamp_min(1), "errors": errors.detach()}

    def _start(self, stage: str) -> None:
        super()._start(stage)
        for name, curve in self._curves.items():
            if name.startswith(stage):
                curve.reset()
        if stage == "val":
            self._normal.clear()

    def _record(self, stage: str, values: dict[str, Tensor], batch: Batch) -> None:
        errors, y = values.pop("errors").float().cpu(), batch[1].cpu()
        if stage != "train":
            told = (y == NORMAL) | (y == VENTRICULAR)
            self._curves[f"{stage}_auc"].update(_ranked(errors[told]), y[told] == VENTRICULAR)
            self._curves[f"{stage}_abnormal_auc"].update(_ranked(errors), y != NORMAL)
        if stage == "val":
            self._normal.append(errors[y == NORMAL])
        super()._record(stage, values, batch)

    def _log_means(self, stage: str) -> dict[str, Tensor]:
        means = super()._log_means(stage)
        for name, curve in self._curves.items():
            if name.startswith(stage):
                self.log(name, curve.compute(), prog_bar=name == self.monitor)
        if stage == "val":
            normal = torch.cat(self._normal)
            if len(normal):
                shares = torch.linspace(0, 1, len(self.quantiles))
                self.quantiles.copy_(torch.quantile(normal.double(), shares.double()))
        return means

    # ---- use ----

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the errors (N,) of a batch (x, y, rr, rhythm, amplitude, template, ...)."""
        return self(**self.seen(inputs_of(batch)))

    def judged(self, beats: BeatInputs) -> tuple[list[str], Tensor]:
        """Return N for each beat, or Q where fewer than ``flagged`` of the normal beats are as unusual.

        The second part (N,) is the share of the normal beats of validation that are more usual than a Q, or as unusual
        as an N.
        """
        rank = torch.searchsorted(self.quantiles, self(**self.seen(beats))) / len(self.quantiles)
        unusual = rank > 1 - self.hparams["flagged"]
        symbols = [UNKNOWN if is_unusual else CLASSES[NORMAL] for is_unusual in unusual.tolist()]
        return symbols, torch.where(unusual, rank, 1 - rank)


def _ranked(errors: Tensor) -> Tensor:
    """Return errors in [0, 1) in the same order: torchmetrics would take others for logits, and round large ones."""
    return errors / (1 + errors)
