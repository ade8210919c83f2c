"""Classification of heart beats in electrocardiograms."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.base import Batch
from zoo.metrics import EC57
from zoo.metrics.ec57 import CLASSES, SUPRAVENTRICULAR_RECORD, ec57_table
from zoo.nn.company import in_company, shape_of, timing_of
from zoo.tasks.classification import Classifier
from zoo.tasks.recordings import BeatAnnotator, BeatInputs, inputs_of

FEWEST = 100
"""Beats of a class in training below which it is not learned."""
LEAST_WIDTH = 1e-3
"""Of what is alike: below it no two beats are."""


class BeatClassifier(BeatAnnotator, Classifier):
    """A network that names the class of each beat; a research tool, not a medical device.

    A batch is (x, y, rr, rhythm, amplitude, template, around, record), as ``mitbih`` gives it; the network takes
    all but y and record. The loss is the cross-entropy; in training a beat of class k and record r weighs

        w_rk = (n / n_k) ** balance * n_rk ** -patients / mean_k(n_rk ** -patients)

    with n, n_k and n_rk the beats in training, those of the class, and those of the class in the record, and the mean
    over the class's beats. It is 0 for a class of fewer than 100, such as Q, of which nothing can be learned. The loss
    of a batch is normalised by the batch's sum of weights. Beats in made-up rhythms, whose records have negative
    numbers, are counted apart.

    Beats of a record that are alike share what their shape and their timing tell, see ``zoo.nn.company.in_company``: in
    evaluation, among those that one process sees, and in ``annotate``, which so look into the future. The loss,
    ``predict_step`` and ``classify`` take each beat by itself.

    Metrics in evaluation are those of ``zoo.metrics.EC57``: ``macro_f1`` over N, S, V and F, the share ``accuracy`` of
    all their beats, ``s_f1``, ...

    Args:
        balance: Exponent of the classes: 0 counts each beat alike, 1 each class.
        patients: Exponent of the records: 0 counts each beat of a class alike, 1 each record that has such beats.
        alike: Root mean square by which beats that are alike may differ, of the shape in amplitudes of the record, of
            the timing in logarithms; with 0 each is judged by itself.
        fs: Samples a second of the network's windows.
        **training: Arguments of ``Classifier`` and ``ZooModule``.
    """

    default_monitor = "val_macro_f1"
    weighed_records: Tensor
    weights: Tensor

    def __init__(
        self, *, balance: float = 0.5, patients: float = 0.0, alike: float = 0.0, fs: int = 180, **training: Any
    ) -> None:
        super().__init__(**training)
        for name, value in {"balance": balance, "patients": patients}.items():
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must be in [0, 1], not {value}")
        if alike != 0 and not LEAST_WIDTH <= alike < float("inf"):
            raise ValueError(f"alike must be 0 or at least {LEAST_WIDTH}, not {alike}")
        self.register_buffer("weighed_records", torch.zeros(0, dtype=torch.int64), persistent=False)
        self.register_buffer("weights", torch.zeros(0, len(CLASSES)), persistent=False)
        self._beats: dict[str, EC57] = {}
        self._kept: dict[str, list[tuple[Tensor, ...]]] = {}
        self.evaluated: dict[str, tuple[Tensor, Tensor]] = {}
        """Probabilities (N, 5) and classes (N,) by stage of the beats that this process saw last, in its order."""
        self.matrices: dict[str, Tensor] = {}
        """Confusion matrices by record, as ``EC57`` has them, of the last evaluation by stage, and ``detected``."""

    def forward(  # type: ignore[override]
        self, x: Tensor, rr: Tensor, rhythm: Tensor, amplitude: Tensor, template: Tensor, around: Tensor
    ) -> Tensor:
        """Map what is known of N beats, see ``BeatInputs``, to scores (N, 5)."""
        return self.net(x, rr, rhythm, amplitude, template, around)

    def record_probabilities(self, scores: Tensor, shapes: Tensor, timings: Tensor) -> Tensor:
        """Return the probabilities (N, 5) of the beats of one record, see ``zoo.nn.company.in_company``."""
        alike = self.hparams["alike"]
        return in_company(scores, shapes, timings, alike) if alike else self.probabilities(scores.float())

    def table(self) -> str:
        """Return the tables of the last test as text, see ``zoo.metrics.ec57_table``; with detected beats too."""
        tables = [
            f"R peaks {peaks}\n\n{ec57_table(self.matrices[stage], self._beats['test'].records)}"
            for stage, peaks in {"test": "as annotated", "detected": "as detected"}.items()
            if stage in self.matrices
        ]
        return "\n\n\n".join(tables)

    # ---- training ----

    def setup(self, stage: str) -> None:
        """Weigh the training split's classes and records."""
        super().setup(stage)
        counts = getattr(getattr(self.trainer, "datamodule", None), "counts_by_record", None)
        if stage == "fit" and counts is not None:
            self.weighed_records, table = counts("train")
            exponents = self.hparams["balance"], self.hparams["patients"]
            self.weights = beat_weights(self.weighed_records, table, *exponents)

    def loss(self, scores: Tensor, y: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return the mean loss of a batch, in which each beat has a weight (N,) if there are any."""
        if weight is None:
            return super().loss(scores, y)
        losses = F.cross_entropy(scores, y, label_smoothing=self.hparams["label_smoothing"], reduction="none")
        return (losses * weight).sum() / weight.sum().clamp_min(1e-12)

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Compute the loss of a batch, and the scores of each beat."""
        y, record, weight = batch[1], batch[-1], None
        if self.training and len(self.weights):
            weight = self.weights[torch.searchsorted(self.weighed_records, record), y]
        scores = self(**self.seen(inputs_of(batch)))
        return {"loss": self.loss(scores, y, weight), "scores": scores.detach()}

    def _start(self, stage: str) -> None:
        super()._start(stage)
        self._kept.pop(stage, None)

    def _record(self, stage: str, values: dict[str, Tensor], batch: Batch) -> None:
        scores = values.pop("scores")
        if stage != "train":
            beats = inputs_of(batch)
            kept = (scores, shape_of(beats.x, beats.amplitude), timing_of(beats.rr), batch[1], batch[-1])
            self._kept.setdefault(stage, []).append(kept)
        super()._record(stage, values, batch)

    def _log_means(self, stage: str) -> dict[str, Tensor]:
        means = super()._log_means(stage)
        if stage in self._kept:
            self._score_records(stage)
            scores = {f"{stage}_{name}": value for name, value in self._beats[stage].compute().items()}
            for name, value in scores.items():
                if not value.isnan():
                    self.log(name, value.float(), prog_bar=name == self.monitor)
            self.matrices[stage] = self._beats[stage].matrices.cpu()
            self._beats[stage].reset()
        return means

    def _score_records(self, stage: str) -> None:
        """Count the beats of an evaluation that is over, record by record."""
        *seen, y, record = (torch.cat(parts) for parts in zip(*self._kept.pop(stage)))
        probabilities = torch.empty(seen[0].shape, device=y.device)
        for number in record.unique():
            rows = torch.nonzero(record == number).flatten()
            probabilities[rows] = self.record_probabilities(*(part[rows] for part in seen))
        if stage not in self._beats:
            records = getattr(getattr(self.trainer, "datamodule", None), "records", (SUPRAVENTRICULAR_RECORD,))
            self._beats[stage] = EC57(records).to(y.device)
        self._beats[stage].update(probabilities.argmax(1), y, record)
        self.evaluated[stage] = (probabilities.cpu(), y.cpu())

    # ---- use ----

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the probabilities (N, 5) of a batch (x, y, rr, rhythm, ...), of each beat by itself."""
        return self.probabilities(self(**self.seen(inputs_of(batch))))

    def judged(self, beats: BeatInputs) -> tuple[list[str], Tensor]:
        """Return the class of each beat of a stretch of a recording, in order, and its probability (N,)."""
        kept = self(**self.seen(beats)), shape_of(beats.x, beats.amplitude), timing_of(beats.rr)
        sure, classes = self.record_probabilities(*kept).max(1)
        return [CLASSES[k] for k in classes.tolist()], sure


def beat_weights(records: Tensor, counts: Tensor, balance: float, patients: float) -> Tensor:
    """Return what a beat of each record and class (R, C) weighs in training; see ``BeatClassifier``.

    Args:
        records: Their numbers (R,); those of made-up rhythms are negative and counted apart.
        counts: Beats (R, C).
        balance: Exponent of the classes.
        patients: Exponent of the records.
    """
    found = torch.zeros(counts.shape)
    for pool in (records < 0, records >= 0):
        each = counts[pool].double()
        by_class = each.sum(0)
        classes = torch.where(by_class >= FEWEST, (by_class.sum() / by_class.clamp_min(1)) ** balance, 0.0)
        shares = torch.where(each > 0, each.clamp_min(1) ** -patients, 0.0)
        mean = (each * shares).sum(0) / by_class.clamp_min(1)
        found[pool] = (classes * shares / mean.clamp_min(1e-12)).float()
    return found
