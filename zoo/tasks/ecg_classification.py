"""Classification of heart beats in electrocardiograms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from zoo.base import Batch, Values
from zoo.metrics import EC57
from zoo.metrics.ec57 import CLASSES, SUPRAVENTRICULAR_RECORD, ec57_table
from zoo.nn.atrial_fibrillation import find_fibrillation
from zoo.nn.kernel_smoothing import last_interval, shape_features, smooth_over_similar_beats, timing_features
from zoo.tasks.classification import Classifier
from zoo.tasks.ecg_annotation import Annotation, BeatAnnotator, BeatInputs, beat_inputs

VENTRICULAR = [CLASSES.index(name) for name in "VF"]
SMOOTHED = ("scores", "shapes", "timings", "intervals", "label", "record")
"""States of ``SmoothedEC57``."""
FEWEST = 100
"""Fewest beats of a class in training with which it is learned; Q has 8, F 415."""
SMALLEST_BANDWIDTH = 1e-3
"""Smallest bandwidth of smoothing; no two beats are so similar."""


class BeatClassifier(BeatAnnotator, Classifier):
    """Classifier of heart beats into N, S, V, F and Q of AAMI EC57; a research tool, not a medical device.

    A batch is (x, y, rr, rhythm, amplitude, template, around, record), as in ``mitbih``; the network takes all of it
    but y and record. The loss is the weighted cross-entropy, normalised by the sum of weights of a batch. A training
    beat of class k and record r has the weight

        w_rk = (n / n_k) ** balance * n_rk ** -patients / mean_k(n_rk ** -patients)

    with n, n_k and n_rk the numbers of training beats, of those of the class, and of those of the class in the record;
    the mean is over the beats of the class. Classes with fewer than 100 beats, such as Q, have weight 0. Beats in
    simulated rhythms, whose records have negative numbers, are counted separately.

    In evaluation and in ``annotate`` probabilities are smoothed over similar beats of the same record, see
    ``zoo.nn.kernel_smoothing``, which uses later beats (non-causal), and in atrial fibrillation, see
    ``zoo.nn.atrial_fibrillation``, the probability of S is added to that of N. The loss, ``predict_step`` and
    ``classify`` treat each beat independently.

    Metrics in evaluation are those of ``zoo.metrics.EC57``: ``accuracy`` and ``macro_f1`` over N, S, V and F,
    ``s_f1``, ...

    Args:
        balance: Exponent of the class weights: 0 weighs each beat equally, 1 each class.
        patients: Exponent of the record weights: 0 weighs each beat of a class equally, 1 each record.
        smoothing_bandwidth: Bandwidth of the smoothing kernel, as a root mean square difference: of the shape in units
            of the record's amplitude, of the timing in logarithms. 0 turns smoothing off.
        unknown_threshold: Probability of Q below which a beat of a recording is not Q; the probabilities of the other
            classes are then normalised to a sum of 1.
        fs: Samples a second of the network's windows.
        **training: Arguments of ``Classifier`` and ``ZooModule``.
    """

    default_monitor = "val_macro_f1"
    outside_net = f"{BeatAnnotator.outside_net[:-1]}; the softmax, and smoothing over similar beats of a record."
    weighed_records: Tensor
    weights: Tensor

    def __init__(
        self,
        *,
        balance: float = 0.5,
        patients: float = 0.0,
        smoothing_bandwidth: float = 0.0,
        unknown_threshold: float = 0.0,
        fs: int = 180,
        **training: Any,
    ) -> None:
        super().__init__(**training)
        for name, value in {"balance": balance, "patients": patients, "unknown_threshold": unknown_threshold}.items():
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must be in [0, 1], not {value}")
        if smoothing_bandwidth != 0 and not SMALLEST_BANDWIDTH <= smoothing_bandwidth < float("inf"):
            raise ValueError(
                f"smoothing_bandwidth must be 0 or at least {SMALLEST_BANDWIDTH}, not {smoothing_bandwidth}"
            )
        self.register_buffer("weighed_records", torch.zeros(0, dtype=torch.int64), persistent=False)
        self.register_buffer("weights", torch.zeros(0, len(CLASSES)), persistent=False)

    def forward(  # type: ignore[override]
        self, x: Tensor, rr: Tensor, rhythm: Tensor, amplitude: Tensor, template: Tensor, around: Tensor
    ) -> Tensor:
        """Map the inputs of N beats, see ``BeatInputs``, to scores (N, 5)."""
        return self.net(x, rr, rhythm, amplitude, template, around)

    def record_probabilities(
        self, scores: Tensor, shapes: Tensor, timings: Tensor, intervals: Tensor | None = None
    ) -> Tensor:
        """Return the probabilities (N, 5) of the beats of one record, smoothed over similar beats.

        Args:
            scores: Scores (N, 5) of the beats in order of time.
            shapes: Shape features, see ``shape_features``.
            timings: Timing features, see ``timing_features``.
            intervals: Seconds (N,) from the beat before, by which atrial fibrillation is found, in which no beat is S;
                None not to look for it.
        """
        width = self.hparams["smoothing_bandwidth"]
        found = (
            smooth_over_similar_beats(scores, shapes, timings, width) if width else self.probabilities(scores.float())
        )
        found = without_doubtful(found, CLASSES.index("Q"), self.hparams["unknown_threshold"])
        if intervals is None:
            return found
        ventricular = np.isin(found.argmax(1).cpu().numpy(), VENTRICULAR)
        fibrillation = find_fibrillation(intervals.double().cumsum(0).cpu().numpy(), ventricular)
        return no_premature_beats(found, torch.from_numpy(fibrillation).to(found.device))

    def report(self) -> str:
        """Return the tables of the last test, with annotated R peaks, as text; see ``zoo.metrics.ec57_table``."""
        beats = self.metrics["test"]["ec57"]
        assert isinstance(beats, SmoothedEC57)
        return f"R peaks as annotated\n\n{ec57_table(beats.matrices, beats.records)}"

    def _require_classes(self) -> None:
        classes = self.hparams.get("num_classes", len(CLASSES))
        if classes != len(CLASSES):
            raise ValueError(
                f"beats are scored and annotated by the classes {', '.join(CLASSES)}, not by {classes} others"
            )

    def begin_fit(self) -> None:
        """Compute the weights of the training split's classes and records.

        Raises:
            ValueError: If the model has other classes than N, S, V, F and Q.
        """
        self._require_classes()
        counts = getattr(getattr(self.trainer, "datamodule", None), "counts_by_record", None)
        if counts is not None:
            self.weighed_records, table = counts("train")
            exponents = self.hparams["balance"], self.hparams["patients"]
            self.weights = beat_weights(self.weighed_records, table, *exponents)

    def loss(self, scores: Tensor, y: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return the mean loss of a batch, weighted by the weights (N,) of its beats if there are any."""
        if weight is None:
            return super().loss(scores, y)
        losses = F.cross_entropy(scores, y, label_smoothing=self.hparams["label_smoothing"], reduction="none")
        return (losses * weight).sum() / weight.sum().clamp_min(1e-12)

    def configure_metrics(self) -> dict[str, Metric]:
        """Return the scores of EC57 over the records of the trainer's data."""
        records = getattr(getattr(self._trainer, "datamodule", None), "records", (SUPRAVENTRICULAR_RECORD,))
        return {"ec57": SmoothedEC57(records, self.record_probabilities)}

    def step(self, batch: Batch) -> Values:
        """Compute the loss of a batch, and in evaluation the scores and features of each beat."""
        y, record, weight = batch[1], batch[-1], None
        if self.training and len(self.weights):
            weight = self.weights[torch.searchsorted(self.weighed_records, record), y]
        beats = beat_inputs(batch)
        scores = self(**self.network_inputs(beats))
        values: Values = {"loss": self.loss(scores, y, weight)}
        if not self.training:
            features = shape_features(beats.x, beats.amplitude), timing_features(beats.rr), last_interval(beats.rr)
            values["ec57"] = (scores.detach(), *features, y, record)
        return values

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the probabilities (N, 5) of a batch (x, y, rr, rhythm, ...), without smoothing."""
        return self.probabilities(self(**self.network_inputs(beat_inputs(batch))))

    def in_rhythm(self, found: Annotation) -> Annotation:
        """Return an annotation in which no beat in atrial fibrillation is S: it has no atrial rhythm."""
        if found.probabilities is None or found.fibrillation is None:
            return found
        values = no_premature_beats(torch.from_numpy(found.probabilities), torch.from_numpy(found.fibrillation))
        sure, classes = values.max(1)
        symbols = [CLASSES[k] for k in classes.tolist()]
        return found._replace(symbol=symbols, probability=sure.numpy(), probabilities=values.numpy())

    def classify_beats(self, beats: BeatInputs) -> tuple[list[str], Tensor]:
        """Return the classes of successive beats of a recording and the probabilities (N, 5) of all classes.

        Raises:
            ValueError: If the model has other classes than N, S, V, F and Q.
        """
        self._require_classes()
        kept = self(**self.network_inputs(beats)), shape_features(beats.x, beats.amplitude), timing_features(beats.rr)
        probabilities = self.record_probabilities(*kept)
        return [CLASSES[k] for k in probabilities.argmax(1).tolist()], probabilities


def without_doubtful(probabilities: Tensor, number: int, threshold: float) -> Tensor:
    """Return probabilities (N, C) of sum 1 in which those of a class below a threshold are 0."""
    doubtful = probabilities[:, number] < min(threshold, 1.0)
    kept = probabilities.clone()
    kept[doubtful, number] = 0
    return kept / kept.sum(1, keepdim=True).clamp_min(1e-12)


def no_premature_beats(probabilities: Tensor, fibrillation: Tensor) -> Tensor:
    """Return probabilities (N, 5) in which that of S is added to that of N where a mask (N,) is set."""
    n, s = CLASSES.index("N"), CLASSES.index("S")
    moved = probabilities.clone()
    moved[fibrillation, n] += moved[fibrillation, s]
    moved[fibrillation, s] = 0
    return moved


class SmoothedEC57(Metric):
    """Scores of EC57 over beats that are classified record by record once all of them are known.

    Args:
        records: Numbers of the records that have a matrix of their own; see ``EC57``.
        probabilities: Function of scores (N, 5), shape features, timing features and intervals (N,) of the beats of one
            record, in order of time, to probabilities (N, 5).
    """

    full_state_update = False
    higher_is_better = True
    scores: list[Tensor]
    shapes: list[Tensor]
    timings: list[Tensor]
    intervals: list[Tensor]
    label: list[Tensor]
    record: list[Tensor]

    def __init__(
        self, records: Sequence[int], probabilities: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    ) -> None:
        super().__init__()
        self.records, self.probabilities = sorted(records), probabilities
        for name in SMOOTHED:
            self.add_state(name, [], dist_reduce_fx="cat")
        self.classified: tuple[Tensor, Tensor] = torch.zeros(0, len(CLASSES)), torch.zeros(0, dtype=torch.int64)
        """Probabilities (N, 5) and classes (N,) of the beats that were scored last, on the CPU."""
        self.matrices = EC57(self.records).matrices
        """Their confusion matrices by record, as ``EC57`` has them, on the CPU."""

    def update(
        self, scores: Tensor, shapes: Tensor, timings: Tensor, intervals: Tensor, label: Tensor, record: Tensor
    ) -> None:
        """Add beats: their scores, features, intervals, classes (N,) and the numbers (N,) of their records."""
        for name, values in zip(SMOOTHED, (scores, shapes, timings, intervals, label, record), strict=True):
            getattr(self, name).append(values)

    def compute(self) -> dict[str, Tensor]:
        """Classify the beats and return the scores; see ``EC57``."""
        columns = (getattr(self, name) for name in SMOOTHED)
        scores, shapes, timings, intervals, label, record = map(dim_zero_cat, columns)
        probabilities = torch.empty(scores.shape, device=label.device)
        for number in record.unique():
            rows = torch.nonzero(record == number).flatten()
            probabilities[rows] = self.probabilities(scores[rows], shapes[rows], timings[rows], intervals[rows])
        beats = EC57(self.records).to(label.device)
        beats.update(probabilities.argmax(1), label, record)
        self.classified, self.matrices = (probabilities.cpu(), label.cpu()), beats.matrices.cpu()
        return {name: value.float() for name, value in beats.compute().items()}


def beat_weights(records: Tensor, counts: Tensor, balance: float, patients: float) -> Tensor:
    """Return the training weight of a beat of each record and class (R, C); see ``BeatClassifier``.

    Args:
        records: Numbers (R,) of the records; those of simulated rhythms are negative and counted separately.
        counts: Numbers of beats (R, C).
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
