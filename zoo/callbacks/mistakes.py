"""Confusion matrix and mistakes of a classifier in TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning as L
import torch
from torch import Tensor

from datamodules.text.vocabulary import vocabulary_from_json
from zoo.callbacks.ecg import Beats
from zoo.callbacks.tensorboard import TensorBoardCallback
from zoo.errors import check_counts
from zoo.figures.classification import confusion_matrix, labelled_images
from zoo.figures.images import has_images
from zoo.figures.tables import text_table
from zoo.tasks import Classifier, TextClassifier

LONGEST = 300
"""Characters of a text that are shown."""


class Mistakes(TensorBoardCallback):
    """Log the confusion matrix of the validation samples, and those misclassified with the highest probability.

    The figure ``confusion`` is the matrix. ``mistakes`` is a figure where samples are images, a table where they are
    texts. The scores are those of the validation itself, of the last call of the model for a batch.

    Args:
        shown: Number of misclassified samples shown.
    """

    def __init__(self, shown: int = 12) -> None:
        check_counts(shown=shown)
        self.shown = shown
        self._scores: Tensor | None = None
        self._handle: Any = None
        self._clear()

    def _clear(self) -> None:
        self._counts: Tensor | None = None
        self._worst: tuple[Tensor, ...] | None = None

    @classmethod
    def suits(cls, model: L.LightningModule) -> bool:
        """Return whether the model has one class a sample, and no pictures of its own kind as heart beats have."""
        other = getattr(model, "regresses", False) or getattr(model, "multi_label", False)
        return isinstance(model, Classifier) and not other and not Beats.suits(model)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Begin to keep the model's scores."""
        self._release()
        if self.writer(trainer, pl_module) is not None:
            self._clear()
            self._handle = pl_module.register_forward_hook(self._keep)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draw what was collected, if it is time to."""
        self._release()
        super().on_validation_end(trainer, pl_module)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Leave the model as it was."""
        self._release()

    def _keep(self, _: Any, __: Any, scores: Any) -> None:
        self._scores = scores.detach() if isinstance(scores, Tensor) else None

    def _release(self) -> None:
        if self._handle is not None:
            self._handle.remove()
        self._handle = self._scores = None

    def collect(self, model: Any, batch: Any, batch_idx: int) -> None:
        """Count the predictions of a batch, and keep the worst mistakes so far."""
        scores, self._scores = self._scores, None
        x, y = batch[0], batch[1]
        if scores is None or scores.ndim != 2 or len(scores) != len(y):
            return
        sure, predicted = model.probabilities(scores.float()).max(1)
        k = scores.shape[1]
        if self._counts is None:
            self._counts = torch.zeros(k * k, dtype=torch.long, device=y.device)
        self._counts.index_add_(0, y * k + predicted, torch.ones_like(y))
        # Correct ones have the confidence 0; nothing here waits for the device.
        sure = torch.where(predicted == y, 0.0, sure)
        top = sure.topk(min(self.shown, len(y))).indices
        found = tuple(part[top] for part in (sure, predicted, y, x))
        if self._worst is not None:
            found = tuple(_joined(*parts) for parts in zip(self._worst, found))
            top = found[0].topk(min(self.shown, len(found[0]))).indices
            found = tuple(part[top] for part in found)
        self._worst = found

    def draw(self, model: Any, writer: Any, step: int) -> None:
        """Log the matrix and the mistakes."""
        if self._counts is None or self._worst is None:
            return
        k = round(len(self._counts) ** 0.5)
        names = model.hparams.get("class_names") or [str(number) for number in range(k)]
        counts = self._counts.cpu().reshape(k, k)
        rows = int(counts.sum())
        title = f"{rows:,} validation samples, {rows - int(counts.trace()):,} misclassified"
        writer.add_figure("confusion", confusion_matrix(counts, names, title), step)
        sure, predicted, y, x = (part.cpu() for part in self._worst)
        wrong = sure > 0
        labels = [
            (names[true], names[found], f"{probability:.2f}")
            for true, found, probability in zip(y[wrong].tolist(), predicted[wrong].tolist(), sure[wrong].tolist())
        ]
        if isinstance(model, TextClassifier):
            self._draw_texts(model, writer, x[wrong], labels, step)
        elif has_images(model) and x.ndim == 4:
            title = "Most confident mistakes: true class → predicted class, probability"
            title = title if labels else "No misclassified validation sample"
            shown = [f"{true} → {found}, {probability}" for true, found, probability in labels]
            writer.add_figure("mistakes", labelled_images(x[wrong], shown, title), step)

    @staticmethod
    def _draw_texts(
        model: TextClassifier, writer: Any, ids: Tensor, labels: Sequence[tuple[str, ...]], step: int
    ) -> None:
        if model.hparams["tokenizer"] is None:
            return
        texts = vocabulary_from_json(model.hparams["tokenizer"]).decode(ids.tolist())
        cut = [text if len(text) <= LONGEST else f"{text[:LONGEST]}…" for text in texts]
        rows = [(*label, text) for label, text in zip(labels, cut)]
        writer.add_text("mistakes", text_table(("true class", "predicted class", "probability", "text"), rows), step)


def _joined(one: Tensor, other: Tensor) -> Tensor:
    """Return the rows of two tensors, one below the other; token ids are padded with 0 to the longer ones."""
    if one.ndim == other.ndim == 2 and one.shape[1] != other.shape[1]:
        width = max(one.shape[1], other.shape[1])
        one, other = (torch.nn.functional.pad(part, (0, width - part.shape[1])) for part in (one, other))
    return torch.cat([one, other])
