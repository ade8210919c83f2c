"""F1 of several labels a sample, and the threshold of their probabilities."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.classification import multilabel_exact_match, multilabel_f1_score
from torchmetrics.utilities import dim_zero_cat

FEWEST_LABELS = 10
"""Smallest number of labels that a threshold is chosen by. Set by hand."""
THRESHOLD = 0.5
"""Threshold of probabilities where there is too little to choose it by."""


class LabelScores(Metric):
    """F1 of the labels of an epoch, of which a sample has those whose probability is above a threshold.

    With the hits TP, the false positives FP and the misses FN, F1 is 2 TP / (2 TP + FP + FN), 0 without any of them.
    ``update`` takes probabilities (N, K) and labels (N, K), zeros and ones. ``compute`` returns scalars by name:
    ``micro_f1``, the F1 of all labels together; ``macro_f1``, the mean of the F1 of each of the K labels; and
    ``exact``, the share of samples of which all labels are right.

    Args:
        threshold: Threshold of the probabilities.
        chooses: Whether ``compute`` first replaces the threshold by ``best_threshold``.
    """

    full_state_update = False
    higher_is_better = True
    probabilities: list[Tensor]
    labels: list[Tensor]

    def __init__(self, threshold: float = THRESHOLD, chooses: bool = False) -> None:
        super().__init__()
        self.add_state("probabilities", [], dist_reduce_fx="cat")
        self.add_state("labels", [], dist_reduce_fx="cat")
        self.threshold, self.chooses = threshold, chooses

    def update(self, probabilities: Tensor, labels: Tensor) -> None:
        """Add samples."""
        self.probabilities.append(probabilities.float())
        self.labels.append(labels)

    def compute(self) -> dict[str, Tensor]:
        """Choose the threshold if asked to, and return the scores."""
        probabilities, labels = dim_zero_cat(self.probabilities), dim_zero_cat(self.labels).long()
        if self.chooses:
            self.threshold = best_threshold(probabilities, labels)
        found, classes = (probabilities > self.threshold).long(), labels.shape[1]
        return {
            "micro_f1": multilabel_f1_score(found, labels, classes, average="micro"),
            "macro_f1": multilabel_f1_score(found, labels, classes, average="macro"),
            "exact": multilabel_exact_match(found, labels, classes),
        }


def best_threshold(scores: Tensor, labels: Tensor, default: float = THRESHOLD) -> float:
    """Return the threshold above which scores count as labels with the largest F1 of all labels together.

    It is halfway between two scores; of several with the same F1, the largest.

    Args:
        scores: Probabilities or other scores (N, K).
        labels: Labels (N, K), zeros and ones.
        default: Threshold where there is too little to choose it by.

    Returns:
        The threshold; ``default`` for fewer than ``FEWEST_LABELS`` labels or scores that are not finite.
    """
    total = int(labels.sum())
    if total < FEWEST_LABELS or not bool(scores.isfinite().all()):
        return default
    ordered, rows = scores.double().flatten().sort(descending=True)
    hits = labels.flatten()[rows].long().cumsum(0)
    f1 = 2 * hits / (torch.arange(1, len(ordered) + 1, device=hits.device) + total)
    divides = ordered[:-1] > ordered[1:]  # equal scores are on the same side
    if not bool(divides.any()):
        return default
    best = int(f1[:-1].masked_fill(~divides, -1.0).argmax())
    return float((ordered[best] + ordered[best + 1]) / 2)
