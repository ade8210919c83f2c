"""Classification: one label a sample."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import MulticlassCalibrationError

from datamodules.images.blank import NOTHING, is_of_one_level
from zoo.base import Batch, Values, ZooModule
from zoo.metrics.calibration import Temperature
from zoo.metrics.classes import ClassScores, class_table
from zoo.training.batches import check_labels, inputs_of

ERROR_BINS = 15
"""Number of bins of the expected calibration error, as in Guo et al. (2017)."""


class Classification(NamedTuple):
    """Predicted class: its label and its probability."""

    label: str
    probability: float


class Classifier(ZooModule):
    """Classifier: a network from samples to scores (N, num_classes), trained by cross-entropy.

    The class probabilities are softmax(scores / T). The temperature T is chosen in each validation of a fit, so that
    the probabilities of validation rows are right on average (Guo et al., 2017); it changes neither the loss nor the
    class. With p = softmax(scores), the loss is the mean over the batch of -log p[y]. With label smoothing e (Szegedy
    et al., 2016) the target distribution is (1 - e) one_hot(y) + e / num_classes.

    Args:
        class_names: Names of the classes in the order of the scores; their numbers if None.
        label_smoothing: Label smoothing e; evaluation uses none.
        temperature: Temperature T of the probabilities; a fit chooses it anew.
        **optimisation: Arguments of ``ZooModule``.
    """

    default_monitor = "val_accuracy"
    batch_parts: ClassVar[tuple[str, ...]] = ("x", "y")
    fewest_classes: ClassVar[int] = 2
    """Smallest number of classes that the task has a meaning for."""
    chosen_in_validation: ClassVar[tuple[str, ...]] = ("temperature",)
    calibrates: ClassVar[bool] = True
    """Whether a fit chooses the temperature."""
    outside_net = "The softmax over the scores, divided by the temperature."
    no_answer: ClassVar[dict[str, Any]] = {"class": None, "probability": None}
    """Answer to an input that shows nothing."""

    def __init__(
        self,
        *,
        class_names: list[str] | None = None,
        label_smoothing: float = 0.0,
        temperature: float = 1.0,
        **optimisation: Any,
    ) -> None:
        super().__init__(**optimisation)
        if self.hparams.get("num_classes", 2) < self.fewest_classes:
            raise ValueError(f"num_classes must be at least 2, not {self.hparams['num_classes']}")
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing must be in [0, 1), not {label_smoothing}")
        if not 0 < temperature < float("inf"):
            raise ValueError(f"temperature must be positive, not {temperature}")

    def loss(self, scores: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss of a batch, a scalar, from scores (N, num_classes) and labels (N,) of dtype int64."""
        smoothing = self.hparams["label_smoothing"] if self.training else 0.0
        return F.cross_entropy(scores, y, label_smoothing=smoothing)

    def step(self, batch: Batch) -> Values:
        """Compute the loss of a batch (x, y), and for each sample whether it is classified correctly.

        In a test the predicted and true classes are under ``"classes"``, from which ``test_macro_f1`` is computed.
        """
        x, y = batch
        scores = self(x)
        predicted = scores.detach().argmax(1)
        values: Values = {"loss": self.loss(scores, y), "accuracy": predicted == y}
        if "classes" in self.metrics["test"].metrics and self._tests:
            values["classes"] = (predicted, y)
            values["ece"] = (self.probabilities(scores.detach().float()), y)
        if "temperature" in self.metrics["val"].metrics and self._validates:
            values["temperature"] = (scores.detach(), y)
        return values

    def end_epoch(self, stage: str) -> None:
        """Keep the temperature that a validation found."""
        found = self.metrics["val"].metrics.get("temperature") if stage == "val" else None
        if isinstance(found, Temperature) and found.update_called:
            self.hparams["temperature"] = found.temperature

    @property
    def _validates(self) -> bool:
        """Whether a fit validates rows that it is not trained on."""
        trainer = self._trainer
        if trainer is None or trainer.state.fn != "fit" or not trainer.validating:
            return False
        return self.calibrates and not getattr(getattr(trainer, "datamodule", None), "train_on_all", False)

    @property
    def _tests(self) -> bool:
        return self._trainer is not None and self._trainer.testing

    def configure_metrics(self) -> dict[str, Metric]:
        """Return the scores of each class and the calibration error in a test, the temperature in a validation."""
        classes = self.hparams.get("num_classes") or 0
        if self._tests and classes >= 2:
            error = MulticlassCalibrationError(classes, n_bins=ERROR_BINS, norm="l1")
            return {"classes": ClassScores(classes), "ece": error}
        return {"temperature": Temperature()} if self._validates and classes >= 2 else {}

    def report(self) -> str:
        """Return precision, recall and F1 of each class in the last test, as text; see ``zoo.metrics.class_table``."""
        scores = self.metrics["test"].metrics.get("classes")
        if not isinstance(scores, ClassScores) or not scores.update_called:
            return ""
        return class_table(scores.confmat, self.hparams["class_names"] or list(map(str, range(len(scores.confmat)))))

    def probabilities(self, scores: Tensor) -> Tensor:
        """Return the class probabilities (N, num_classes) of scores: softmax(scores / temperature)."""
        return (scores / self.hparams["temperature"]).softmax(1)

    def check_batch(self, batch: Any) -> None:
        """Raise ``ValueError`` unless a batch is samples and class indices (N,) of dtype int64."""
        super().check_batch(batch)
        check_labels(batch[1], self.hparams.get("num_classes"))

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the probabilities (N, num_classes) of a batch x or (x, ...)."""
        return self.probabilities(self(inputs_of(batch)))

    @torch.no_grad()
    def classify(self, x: Any) -> list[Classification]:
        """Predict the class of each sample of a batch in natural units, with its probability, in evaluation mode.

        Args:
            x: The batch (N, ...), a tensor or an array, or a tuple of its parts where ``forward`` takes several.

        Raises:
            ValueError: If it is none of them, images are not in [0, 1], or it contains NaN.
        """
        parts = x if isinstance(x, tuple) else (x,)
        with self.evaluating():
            probabilities, classes = self.probabilities(self(*map(self.as_input, parts))).max(1)
        names = self.hparams["class_names"]
        labels = [names[k] if names else str(k) for k in classes.tolist()]
        return [Classification(label, p) for label, p in zip(labels, probabilities.tolist())]

    def predict_rows(self, x: Tensor) -> list[dict[str, Any]]:
        """Return the class of each sample of a batch and its probability, None for an image of one grey level."""
        rows = [{"class": found.label, "probability": found.probability} for found in self.classify(x)]
        if isinstance(x, Tensor) and x.ndim == 4:
            blank = is_of_one_level(x).tolist()
            rows = [{**self.no_answer, "note": NOTHING} if empty else row for empty, row in zip(blank, rows)]
        return rows
