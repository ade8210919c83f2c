"""Text classification."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric

from datamodules.text.files import is_blank, without_surrogates
from datamodules.text.vocabulary import vocabulary_from_json
from zoo.base import Batch, Values
from zoo.metrics.labels import LabelScores
from zoo.nn.constants import constant
from zoo.tasks.classification import Classification, Classifier
from zoo.training.batches import check_batch, check_ids, check_labels, check_multi_hot


class Topics(NamedTuple):
    """Predicted topics of a text, the most probable first: their labels and their probabilities; possibly none."""

    labels: list[str]
    probabilities: list[float]


class TextClassifier(Classifier):
    """Text classifier: a network from token ids (N, T), int64, to scores; the methods for users take strings.

    With ``multi_label`` the classes are topics, of which a text has none, one or several: its labels (N, num_classes)
    are zeros and ones, uint8. The probability of a topic is p = sigmoid(score), and the loss is the mean over the batch
    of the sum over the topics of the binary cross-entropy -y log p - (1 - y) log(1 - p). A text has the topics whose
    probability is above a threshold, which is chosen in each validation of a fit, so that the F1 of all topics together
    is largest there. With ``logit_adjustment`` tau > 0 the loss is that of score + tau log(share), where the share is
    that of the training texts with the topic (Menon et al., 2021, for one class a text): a rare topic then needs less
    evidence for the same probability, in favour of the mean over topics of their F1.

    Args:
        vocab_size: Number of tokens; token 0 is padding.
        max_length: Largest number of tokens of a text; longer texts are truncated.
        tokenizer: Vocabulary as JSON of Hugging Face's ``tokenizers``; None for a model that takes token ids only.
        multi_label: Whether a text has any number of the classes, and not just one.
        threshold: Threshold of the probability of a topic with ``multi_label``; a fit chooses it anew.
        logit_adjustment: Factor tau of the logarithms of the shares of the topics in the loss with ``multi_label``.
        class_shares: Share of the training texts that have each topic, above 0.
        **training: Arguments of ``Classifier`` and ``ZooModule``.
    """

    outside_net = (
        "Tokenization, and the softmax over the scores, divided by the temperature; with ``multi_label`` the sigmoid "
        "of the scores and the threshold."
    )
    net_inputs: ClassVar[dict[str, str]] = {"ids": "token ids of the texts, padded with 0"}
    """What the network takes, by the names that an export gives it."""
    chosen_in_validation = (*Classifier.chosen_in_validation, "threshold")

    def __init__(
        self,
        *,
        vocab_size: int = 8_000,
        max_length: int = 128,
        tokenizer: str | None = None,
        multi_label: bool = False,
        threshold: float = 0.5,
        logit_adjustment: float = 0.0,
        class_shares: list[float] | None = None,
        **training: Any,
    ) -> None:
        super().__init__(**training)
        if vocab_size < 2 or max_length < 1:
            raise ValueError(f"vocab_size and max_length: at least 2 and 1, not {vocab_size} and {max_length}")
        if not 0 <= threshold <= 1:
            raise ValueError(f"threshold must be in [0, 1], not {threshold}")
        single = {"label_smoothing": 0.0, "class_weights": None, "temperature": 1.0, "rest_class": None}
        given = [name for name, default in single.items() if self.hparams[name] != default]
        if multi_label and given:
            raise ValueError(f"{given[0]} is for one class a text, but multi_label is true, for several")
        if logit_adjustment:
            self._check_adjustment(logit_adjustment, class_shares)

    def _check_adjustment(self, factor: float, shares: list[float] | None) -> None:
        if factor < 0 or not self.multi_label:
            raise ValueError(f"logit_adjustment must be at least 0, and 0 without multi_label, not {factor}")
        if shares is None:
            raise ValueError(f"logit_adjustment={factor} needs class_shares, which a datamodule of topics gives")
        if len(shares) != self.hparams["num_classes"] or not all(0 < share <= 1 for share in shares):
            raise ValueError(
                f"class_shares must be {self.hparams['num_classes']} numbers in (0, 1], not {len(shares)} from "
                f"{min(shares, default=0):g} to {max(shares, default=0):g}"
            )

    @property
    def multi_label(self) -> bool:
        """Whether a text has any number of the classes."""
        return self.hparams["multi_label"]

    @property
    def default_monitor(self) -> str:  # type: ignore[override]
        """The F1 of all topics together, or the accuracy for one class a text."""
        return "val_micro_f1" if self.multi_label else Classifier.default_monitor

    @property
    def net_output(self) -> dict[str, str]:  # type: ignore[override]
        """Scores of the classes or of the topics."""
        topics = {"scores": "scores of the topics; sigmoid(scores) gives the probabilities"}
        return topics if self.multi_label else Classifier.net_output

    @property
    def no_answer(self) -> dict[str, Any]:  # type: ignore[override]
        """Answer to a text that is empty."""
        return {"topics": None, "probabilities": None} if self.multi_label else Classifier.no_answer

    def loss(self, scores: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss of a batch, a scalar, from scores (N, num_classes) and labels.

        Labels are classes (N,), int64, or with ``multi_label`` zeros and ones (N, num_classes).
        """
        if not self.multi_label:
            return super().loss(scores, y)
        if factor := self.hparams["logit_adjustment"]:
            scores = scores + factor * constant(self.hparams["class_shares"], scores).log()
        return F.binary_cross_entropy_with_logits(scores, y.to(scores.dtype), reduction="sum") / len(y)

    def step(self, batch: Batch) -> Values:
        """Compute the loss of a batch (x, y), and for one class a text whether each is classified correctly."""
        if not self.multi_label:
            return super().step(batch)
        x, y = batch
        scores = self(x)
        values: Values = {"loss": self.loss(scores, y)}
        if not self.training:
            values["topics"] = (self.probabilities(scores.detach().float()), y)
        return values

    def configure_metrics(self) -> dict[str, Metric]:
        """Return what ``Classifier`` does, or the F1 of topics; a validation of a fit chooses the threshold.

        The metrics of topics are ``micro_f1``, ``macro_f1`` and ``exact``, see ``zoo.metrics.LabelScores``.
        """
        if not self.multi_label:
            return super().configure_metrics()
        return {"topics": LabelScores(self.hparams["threshold"], self._validates)}

    def end_epoch(self, stage: str) -> None:
        """Keep the temperature or the threshold that a validation found."""
        super().end_epoch(stage)
        found = self.metrics["val"].metrics.get("topics") if stage == "val" else None
        if isinstance(found, LabelScores) and found.chooses and found.update_called:
            self.hparams["threshold"] = found.threshold

    def probabilities(self, scores: Tensor) -> Tensor:
        """Return the probabilities (N, num_classes) of classes, or with ``multi_label`` of topics, from scores."""
        return scores.sigmoid() if self.multi_label else super().probabilities(scores)

    @property
    def example_input_array(self) -> Any:
        """Token ids of one short text."""
        return torch.ones(1, 4, dtype=torch.long)

    @example_input_array.setter
    def example_input_array(self, example: Any) -> None:
        raise AttributeError("example_input_array is the same for every text")

    def check_batch(self, batch: Any) -> None:
        """Raise ``ValueError`` unless a batch is token ids (N, T), int64, and labels.

        Labels are class indices (N,), int64, or with ``multi_label`` zeros and ones (N, num_classes).
        """
        check_batch(batch, self.batch_parts)
        check_ids(batch[0], self.hparams["vocab_size"])
        if self.multi_label:
            check_multi_hot(batch[1], self.hparams["num_classes"])
        else:
            check_labels(batch[1], self.hparams.get("num_classes"))

    def ids(self, texts: Sequence[str]) -> Tensor:
        """Tokenize texts: token ids (N, T), padded to the longest.

        Raises:
            ValueError: If the model has no tokenizer, or a text is not a string.
        """
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise ValueError(f"{type(texts).__name__}: expected a list of strings")
        return vocabulary_from_json(self.hparams["tokenizer"]).encode_padded(texts, self.hparams["max_length"])

    def features(self, x: Sequence[str] | Tensor) -> Tensor:
        """Return the representation (N, F) of each text before the head; see ``Classifier.features``.

        Args:
            x: Strings, or token ids (N, T).

        Raises:
            ValueError: If the model has no tokenizer, or a text is not a string.
        """
        return super().features(x if isinstance(x, Tensor) else self.ids(x))

    def classify(self, x: Sequence[str] | Tensor) -> list[Any]:
        """Predict the class of each text, a ``Classification``, or with ``multi_label`` its ``Topics``.

        Args:
            x: Strings, or token ids (N, T).

        Raises:
            ValueError: If the model has no tokenizer, or a text is not a string.
        """
        ids = x if isinstance(x, Tensor) else self.ids(x)
        return self._topics(ids) if self.multi_label else super().classify(ids)

    @torch.no_grad()
    def _topics(self, ids: Tensor) -> list[Topics]:
        with self.evaluating():
            probabilities = self.probabilities(self(self.as_input(ids)).float())
        names = self.hparams["class_names"] or list(map(str, range(probabilities.shape[1])))
        found = []
        for row, order in zip(probabilities.tolist(), probabilities.argsort(1, descending=True).tolist()):
            chosen = [k for k in order if row[k] > self.hparams["threshold"]]
            found.append(Topics([names[k] for k in chosen], [row[k] for k in chosen]))
        return found

    def as_row(self, found: Classification | Topics) -> dict[str, Any]:
        """Return an answer of ``classify`` by names, as ``predict_rows`` does."""
        if isinstance(found, Topics):
            return {"topics": found.labels, "probabilities": found.probabilities}
        return super().as_row(found)

    def predict_rows(self, x: Any) -> list[dict[str, Any]]:
        """Return each text with its class and probability, None for a text that is empty; ids have no text.

        A row is ``{"text", "class", "probability"}``, or with ``multi_label`` ``{"text", "topics", "probabilities"}``
        with the list of the labels of the topics, the most probable first, and the list of their probabilities.
        """
        if isinstance(x, Tensor):
            return super().predict_rows(x)
        texts = [without_surrogates(text) for text in x]
        filled = [text for text in texts if not is_blank(text)]
        found = iter(super().predict_rows(filled) if filled else [])  # type: ignore[arg-type]
        return [{"text": text, **(self.no_answer if is_blank(text) else next(found))} for text in texts]
