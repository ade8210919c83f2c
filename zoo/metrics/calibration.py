"""Decisions by class probabilities: their temperature, and the threshold below which a sample is of no class."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

FEWEST_ERRORS = 10
"""Smallest number of errors that a temperature is chosen by. Set by hand."""
MOST_ROWS = 20_000
"""Largest number of samples that a temperature is chosen on, the first ones. Set by hand."""
LARGEST = 20.0
"""Largest temperature; the smallest is its inverse. Set by hand."""


REST_COST = 0.003
"""Largest share of correct answers that become wrong by the threshold of the rest class. Chosen in validation on
CLINC150."""


class Temperature(Metric):
    """Temperature of the softmax that fits the scores of an epoch best (Guo et al., 2017).

    It is the T that minimises the mean of -log softmax(scores / T)[y]. ``update`` takes scores (N, K) and classes (N,);
    ``temperature`` is the result, a float, and ``compute`` gives nothing to be logged.
    """

    full_state_update = False
    higher_is_better = None
    scores: list[Tensor]
    labels: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("scores", [], dist_reduce_fx="cat")
        self.add_state("labels", [], dist_reduce_fx="cat")
        self.temperature = 1.0

    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Add samples."""
        if sum(map(len, self.labels)) < MOST_ROWS:
            self.scores.append(scores.float())
            self.labels.append(labels)

    def compute(self) -> dict[str, Tensor]:
        """Find the temperature."""
        self.temperature = best_temperature(dim_zero_cat(self.scores), dim_zero_cat(self.labels))
        return {}


def best_temperature(scores: Tensor, labels: Tensor) -> float:
    """Return the temperature that minimises the cross-entropy of scores (N, K) with classes (N,).

    The cross-entropy is convex in 1 / T. The temperature is 1 where there is too little to choose it by: fewer than
    ``FEWEST_ERRORS`` errors, or scores that are not finite.
    """
    from scipy.optimize import minimize_scalar

    scores, labels = scores.double(), labels.long()
    errors = int((scores.argmax(1) != labels).sum())
    if errors < FEWEST_ERRORS or not bool(scores.isfinite().all()):
        return 1.0

    def loss(log_temperature: float) -> float:
        return float(torch.nn.functional.cross_entropy(scores / math.exp(log_temperature), labels))

    limits = -math.log(LARGEST), math.log(LARGEST)
    return round(math.exp(minimize_scalar(loss, bounds=limits, method="bounded").x), 4)


def without_class(probabilities: Tensor, number: int) -> Tensor:
    """Return probabilities (N, K) with that of one class replaced by -1."""
    return probabilities.index_fill(1, torch.tensor([number], device=probabilities.device), -1.0)


def choose_rest_threshold(probabilities: Tensor, labels: Tensor, rest: int) -> float:
    """Return the largest threshold that costs at most ``REST_COST`` of the correct answers of the other classes.

    Args:
        probabilities: Class probabilities (N, K).
        labels: Classes (N,).
        rest: Number of the class of samples that belong to none of the others.
    """
    others, best = without_class(probabilities, rest).max(1)
    correct = others[(labels != rest) & (best == labels) & (others >= probabilities[:, rest])].sort().values
    if not len(correct):
        return 0.0
    return math.floor(1e6 * float(correct[int(REST_COST * len(correct))])) / 1e6
