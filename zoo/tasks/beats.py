"""Classification of heart beats in electrocardiograms."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.base import Batch
from zoo.metrics import EC57
from zoo.metrics.ec57 import CLASSES, SUPRAVENTRICULAR_RECORD, ec57_table
from zoo.tasks.classification import Classifier
from zoo.tasks.recordings import BeatAnnotator, BeatInputs, inputs_of


class BeatClassifier(BeatAnnotator, Classifier):
    """A network that names the class of each beat; a research tool, not a medical device.

    A batch is (x, y, rr, amplitude, template, around, record), as the datamodule ``mitbih`` gives it; the network takes
    all but y and record. The loss is the cross-entropy in which class k weighs w_k, normalised by the batch's
    sum of weights, with w_k = (n / n_k) ** ``balance`` over the classes' counts n_k in training and 0 for a class of
    fewer than 100, such as Q, of which nothing can be learned.

    Metrics in evaluation are those of ``zoo.metrics.EC57``: ``macro_f1`` over N, S, V and F, the share ``accuracy`` of
    all their beats, ``s_f1``, ...

    Args:
        class_counts: Beats of each class in training; all classes weigh alike if None.
        balance: Exponent of the weights: 0 counts each beat alike, 1 each class.
        fs: Samples a second of the network's windows.
        **training: Arguments of ``Classifier`` and ``ZooModule``.
    """

    default_monitor = "val_macro_f1"

    def __init__(
        self,
        *,
        class_counts: list[int] | None = None,
        balance: float = 0.5,
        fs: int = 180,
        **training: Any,
    ) -> None:
        super().__init__(**training)
        if not 0 <= balance <= 1:
            raise ValueError(f"balance must be in [0, 1], not {balance}")
        weights = None
        if class_counts:
            counts = torch.tensor(class_counts, dtype=torch.float32)
            weights = torch.where(counts >= 100, (counts.sum() / counts.clamp_min(1)) ** balance, 0.0)
            weights = weights / weights[counts.argmax()]
        self.register_buffer("class_weights", weights, persistent=False)
        self._beats: dict[str, EC57] = {}
        self.matrices: dict[str, Tensor] = {}
        """Confusion matrices of the last evaluation of each stage, by record, as ``EC57`` has them."""

    def forward(  # type: ignore[override]
        self, x: Tensor, rr: Tensor, amplitude: Tensor, template: Tensor, around: Tensor
    ) -> Tensor:
        """Map what is known of N beats, see ``BeatInputs``, to scores (N, 5)."""
        return self.net(x, rr, amplitude, template, around)

    def table(self, stage: str = "test") -> str:
        """Return the tables of the last evaluation as text, see ``zoo.metrics.ec57_table``."""
        return ec57_table(self.matrices[stage], self._beats[stage].records)

    # ---- training ----

    def loss(self, scores: Tensor, y: Tensor) -> Tensor:
        """Return the weighted mean loss of a batch."""
        smoothing = self.hparams["label_smoothing"] if self.training else 0.0
        return F.cross_entropy(scores, y, weight=self.class_weights, label_smoothing=smoothing)  # type: ignore[arg-type]

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Compute the loss of a batch, and which class was found for each beat."""
        scores = self(**self.seen(inputs_of(batch)))
        return {"loss": self.loss(scores, batch[1]), "found": scores.detach().argmax(1)}

    def _record(self, stage: str, values: dict[str, Tensor], batch: Batch) -> None:
        found = values.pop("found")
        if stage != "train":
            if stage not in self._beats:
                datamodule = getattr(self.trainer, "datamodule", None)
                records = getattr(datamodule, "records", (SUPRAVENTRICULAR_RECORD,))
                self._beats[stage] = EC57(records).to(found.device)
            self._beats[stage].update(found, batch[1], batch[6])
        super()._record(stage, values, batch)

    def _log_means(self, stage: str) -> dict[str, Tensor]:
        means = super()._log_means(stage)
        if stage in self._beats:
            scores = {f"{stage}_{name}": value for name, value in self._beats[stage].compute().items()}
            for name, value in scores.items():
                if not value.isnan():
                    self.log(name, value.float(), prog_bar=name == self.monitor)
            self.matrices[stage] = self._beats[stage].matrices.cpu()
            self._beats[stage].reset()
        return means

    # ---- use ----

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the probabilities (N, 5) of a batch (x, y, rr, amplitude, template, ...)."""
        return self.probabilities(self(**self.seen(inputs_of(batch))))

    def judged(self, beats: BeatInputs) -> tuple[list[str], Tensor]:
        """Return the class of each beat, and its probability (N,)."""
        sure, classes = self.probabilities(self(**self.seen(beats))).max(1)
        return [CLASSES[k] for k in classes.tolist()], sure
