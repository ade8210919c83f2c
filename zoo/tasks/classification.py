"""Classification: one label a sample."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.classification import MulticlassCalibrationError
from torchmetrics.utilities import dim_zero_cat

from datamodules.images.blank import NOTHING, is_of_one_level
from zoo.base import Batch, Values
from zoo.metrics.calibration import Temperature, choose_rest_threshold, without_class
from zoo.metrics.classes import ClassScores, class_table
from zoo.tasks.heads import ModelWithHead
from zoo.training.batches import check_labels, inputs_of

ERROR_BINS = 15
"""Number of bins of the expected calibration error, as in Guo et al. (2017)."""


class Classification(NamedTuple):
    """Predicted class: its label and its probability."""

    label: str
    probability: float


class Classifier(ModelWithHead):
    """Classifier: a network from samples to scores (N, num_classes), trained by cross-entropy.

    The class probabilities are softmax(scores / T). The temperature T is chosen in each validation of a fit, so that
    the probabilities of validation rows are right on average (Guo et al., 2017); it changes neither the loss nor the
    class. With p = softmax(scores), the loss is the mean over the batch of -log p[y]. With label smoothing e (Szegedy
    et al., 2016) the target distribution is (1 - e) one_hot(y) + e / num_classes. With class weights w the loss in
    training is the mean weighted by w[y].

    One of the classes may be that of samples which belong to none of the others. A sample is of this class if it is
    the most probable one, or if the probability of each other class is below a threshold. The threshold is chosen in
    each validation of a fit, as the largest one that costs at most 0.3 % of the correct answers of the other classes.

    Args:
        class_names: Names of the classes in the order of the scores; their numbers if None.
        label_smoothing: Label smoothing e; evaluation uses none.
        class_weights: Weights w (num_classes,) of the classes in the loss; all 1 if None.
        temperature: Temperature T of the probabilities; a fit chooses it anew.
        rest_class: Name of the class of samples that belong to none of the others; None if there is none.
        rest_threshold: Threshold of the probability of the other classes; a fit chooses it anew.
        **optimisation: Arguments of ``ZooModule``.
    """

    default_monitor = "val_accuracy"
    batch_parts: ClassVar[tuple[str, ...]] = ("x", "y")
    fewest_classes: ClassVar[int] = 2
    """Smallest number of classes that the task has a meaning for."""
    head_arguments: ClassVar[dict[str, str]] = {"num_classes": "class_names"}
    class_arguments: ClassVar[tuple[str, ...]] = ("class_weights", "rest_class")
    chosen_in_validation: ClassVar[tuple[str, ...]] = ("temperature", "rest_threshold")
    calibrates: ClassVar[bool] = True
    """Whether a fit chooses the temperature."""
    outside_net = "The softmax over the scores, divided by the temperature."
    net_output: ClassVar[dict[str, str]] = {
        "scores": "scores of the classes; softmax(scores / temperature) gives the probabilities"
    }
    """What the network returns, by the name that an export gives it."""
    class_weights: Tensor | None
    no_answer: ClassVar[dict[str, Any]] = {"class": None, "probability": None}
    """Answer to an input that shows nothing."""

    def __init__(
        self,
        *,
        class_names: list[str] | None = None,
        label_smoothing: float = 0.0,
        class_weights: list[float] | None = None,
        temperature: float = 1.0,
        rest_class: str | None = None,
        rest_threshold: float = 0.0,
        **optimisation: Any,
    ) -> None:
        super().__init__(**optimisation)
        if self.hparams.get("num_classes", 2) < self.fewest_classes:
            raise ValueError(f"num_classes must be at least 2, not {self.hparams['num_classes']}")
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing must be in [0, 1), not {label_smoothing}")
        if not 0 < temperature < float("inf"):
            raise ValueError(f"temperature must be positive, not {temperature}")
        if rest_class is not None and rest_class not in (class_names or ()):
            raise ValueError(f"rest_class {rest_class!r} is none of the classes {', '.join(class_names or ())[:200]}")
        if not 0 <= rest_threshold <= 1:
            raise ValueError(f"rest_threshold must be in [0, 1], not {rest_threshold}")
        self._rest = class_names.index(rest_class) if class_names and rest_class is not None else None
        classes = self.hparams.get("num_classes", len(class_weights or ()))
        if class_weights is not None and (len(class_weights) != classes or not all(w > 0 for w in class_weights)):
            raise ValueError(f"class_weights must be {classes} positive numbers, one a class, not {class_weights}")
        weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        self.register_buffer("class_weights", weights, persistent=False)

    def loss(self, scores: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss of a batch, a scalar, from scores (N, num_classes) and labels (N,) of dtype int64."""
        if not self.training:
            return F.cross_entropy(scores, y)
        return F.cross_entropy(scores, y, self.class_weights, label_smoothing=self.hparams["label_smoothing"])

    def step(self, batch: Batch) -> Values:
        """Compute the loss of a batch (x, y), and for each sample whether it is classified correctly.

        In training the class of the highest score counts, without ``rest_class``, whose threshold a validation chooses.
        In a test the predicted and true classes are under ``"classes"``, from which ``test_macro_f1`` is computed.
        """
        x, y = batch
        scores = self(x)
        plain = self._rest is None or self.training
        predicted = scores.detach().argmax(1) if plain else self.decide(scores.detach())[1]
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
            if self._rest is not None:
                probabilities, labels = self.probabilities(dim_zero_cat(found.scores)), dim_zero_cat(found.labels)
                self.hparams["rest_threshold"] = choose_rest_threshold(probabilities, labels, self._rest)

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

    def decide(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Return the probability (N,) and the number (N,) of the predicted class of scores (N, num_classes).

        The probability of the rest class, where the threshold decides for it, is that of none of the others being
        right: 1 minus the largest of the others.
        """
        if self._rest is None:
            best = scores.argmax(1)
            return self.probabilities(scores).gather(1, best[:, None])[:, 0], best
        probabilities = self.probabilities(scores)
        others, best = without_class(probabilities, self._rest).max(1)
        own = probabilities[:, self._rest]
        rest = (own > others) | (others < self.hparams["rest_threshold"])
        return torch.where(rest, torch.maximum(own, 1 - others), others), best.masked_fill(rest, self._rest)

    def check_batch(self, batch: Any) -> None:
        """Raise ``ValueError`` unless a batch is samples and class indices (N,) of dtype int64."""
        super().check_batch(batch)
        check_labels(batch[1], self.hparams.get("num_classes"))

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the probabilities (N, num_classes) of a batch x or (x, ...)."""
        return self.probabilities(self(inputs_of(batch)))

    @property
    def head(self) -> nn.Module:
        """The output layer and what follows it, from features (N, F) to scores (N, num_classes)."""
        (name,) = self.output_layers
        layers = self.net._modules
        if not isinstance(self.net, nn.Sequential) or name not in layers:
            return self.net.get_submodule(name)
        return nn.Sequential(*list(self.net)[list(layers).index(name) :])

    def features(self, x: Any) -> Tensor:
        """Return the representation (N, F) of each sample before the head: the input of the output layer, float.

        ``head(features(x))`` are the scores. The network is in the model's mode, as in ``forward``, so dropout acts in
        training mode, and gradients flow to its parameters. A network that averages the scores of an image and its
        mirror image gives the mean of the two representations.

        Args:
            x: The batch (N, ...) in natural units, as ``classify`` takes it.

        Raises:
            ValueError: If it is of another kind, images are not in [0, 1], or it contains NaN.
        """
        return self.mean_head_input(*map(self.as_input, x if isinstance(x, tuple) else (x,)))

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
            probabilities, classes = self.decide(self(*map(self.as_input, parts)))
        names = self.hparams["class_names"]
        labels = [names[k] if names else str(k) for k in classes.tolist()]
        return [Classification(label, p) for label, p in zip(labels, probabilities.tolist())]

    def as_row(self, found: Any) -> dict[str, Any]:
        """Return an answer of ``classify`` by names, as ``predict_rows`` does."""
        return {"class": found.label, "probability": found.probability}

    def predict_rows(self, x: Tensor) -> list[dict[str, Any]]:
        """Return the class of each sample of a batch and its probability, None for an image of one grey level."""
        rows = [self.as_row(found) for found in self.classify(x)]
        if isinstance(x, Tensor) and x.ndim == 4:
            blank = is_of_one_level(x).tolist()
            rows = [{**self.no_answer, "note": NOTHING} if empty else row for empty, row in zip(blank, rows)]
        return rows
