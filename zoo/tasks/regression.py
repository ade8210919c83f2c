"""Regression: one number a sample, for models that also classify."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.base import Batch, Values
from zoo.tasks.classification import Classifier
from zoo.training.batches import check_batch, check_targets, check_values


class ClassifierOrRegressor(Classifier):
    """Classifier, or with ``num_classes`` 0 a regressor: a network from samples to numbers (N, 1).

    The loss of a regressor is the mean squared error over the batch, the mean of (z - y)^2 with the output z and the
    target y, a float.

    Args:
        **training: Arguments of ``Classifier`` and ``ZooModule``.
    """

    fewest_classes: ClassVar[int] = 0

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        if self.regresses and (self.hparams["class_names"] or self.hparams["label_smoothing"]):
            raise ValueError("class_names and label_smoothing are for classes, but num_classes is 0, for regression")

    @property
    def regresses(self) -> bool:
        """Whether the targets are numbers."""
        return self.hparams["num_classes"] == 0

    @property
    def net_output(self) -> dict[str, str]:  # type: ignore[override]
        """Scores of the classes, or the predicted number."""
        return {"prediction": "the predicted number"} if self.regresses else Classifier.net_output

    @property
    def default_monitor(self) -> str:  # type: ignore[override]
        """The loss for numbers, the accuracy for classes."""
        return "val_loss" if self.regresses else Classifier.default_monitor

    def loss(self, scores: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss of a batch, a scalar, from outputs (N, 1) and targets (N,), or scores and labels."""
        if not self.regresses:
            return super().loss(scores, y)
        return F.mse_loss(scores[:, 0], y.to(scores.dtype))

    def step(self, batch: Batch) -> Values:
        """Compute the loss of a batch (x, y), and for numbers the absolute error of each sample."""
        if not self.regresses:
            return super().step(batch)
        x, y = batch
        predicted = self(x)
        return {"loss": self.loss(predicted, y), "mae": (predicted.detach()[:, 0] - y).abs()}

    def check_batch(self, batch: Any) -> None:
        """Raise ``ValueError`` unless a batch is samples and numbers (N,), or classes."""
        if not self.regresses:
            return super().check_batch(batch)
        check_batch(batch, self.batch_parts)
        check_values(batch[0])
        return check_targets(batch[1])

    def probabilities(self, scores: Tensor) -> Tensor:
        """Return the class probabilities of scores; the outputs of a regressor are its answer as they are."""
        return scores if self.regresses else super().probabilities(scores)

    def classify(self, x: Any) -> Any:
        """Predict the class of each sample, see ``Classifier.classify``.

        Raises:
            ValueError: If the model has no classes.
        """
        if self.regresses:
            raise ValueError(f"{type(self).__name__} with num_classes 0 predicts numbers: call the model itself")
        return super().classify(x)

    def predict_rows(self, x: Tensor) -> list[dict[str, Any]]:
        """Return the predicted number of each sample, or its class and its probability."""
        if not self.regresses:
            return super().predict_rows(x)
        with self.evaluating(), torch.no_grad():
            return [{"value": value} for value in self(self.as_input(x))[:, 0].tolist()]
