"""Figures of a classifier of heart beats in TensorBoard."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from torch import Tensor

from zoo.callbacks.tensorboard import TensorBoardCallback
from zoo.errors import check_counts
from zoo.figures.ecg import SCORED, beat_strips, confusion, precision_recall, saliency
from zoo.metrics.ec57 import CLASSES
from zoo.nn.ecg import divide_by_amplitude
from zoo.tasks.ecg_annotation import BeatInputs, beat_inputs
from zoo.tasks.ecg_classification import BeatClassifier


class Beats(TensorBoardCallback):
    """Log the results of a classifier of beats on the validation records.

    After each validation there are four figures: ``confusion``, the confusion matrix; ``precision_recall``, a curve for
    each class against all others; ``mistakes``, the beats misclassified with the highest probability, with their
    neighbours; and ``saliency``, the mean beat of each class over the gradient of the class's score.

    Args:
        shown: Number of misclassified beats shown.
        examined: Number of beats of each class whose gradients are averaged.
    """

    def __init__(self, shown: int = 8, examined: int = 64) -> None:
        check_counts(shown=shown)
        self.shown, self.examined = shown, examined
        self._clear()

    def _clear(self) -> None:
        self._drawn: list[tuple[Tensor, ...]] = []
        self._chosen: dict[str, list[BeatInputs]] = {name: [] for name in SCORED}

    @classmethod
    def suits(cls, model: L.LightningModule) -> bool:
        """Return whether the model is a classifier of beats."""
        return isinstance(model, BeatClassifier)

    def collect(self, model: Any, batch: Any, batch_idx: int) -> None:
        """Keep what the figures need of a batch."""
        if batch_idx == 0:
            self._clear()
        beats = beat_inputs(batch)
        drawn = (beats.x[:, :1], beats.around[:, :, :1], beats.rr, batch[-1])
        self._drawn.append(tuple(part.to("cpu", copy=True) for part in drawn))
        y = batch[1].cpu()
        for k, name in enumerate(SCORED):
            missing = self.examined - sum(len(part.x) for part in self._chosen[name])
            few = max(0, min(missing, self.examined // 8))  # of a batch, so that they are of several records
            rows = torch.nonzero(y == k).flatten()[:few].to(beats.x.device)
            if len(rows):
                self._chosen[name].append(BeatInputs(*(part[rows] for part in beats)))

    def _examine(self, model: BeatClassifier) -> tuple[dict[str, list[Tensor]], dict[str, list[Tensor]]]:
        """Return the chosen beats of each class, in amplitudes, and the absolute gradient of the class's score."""
        beats: dict[str, list[Tensor]] = {name: [] for name in SCORED}
        gradients: dict[str, list[Tensor]] = {name: [] for name in SCORED}
        for k, name in enumerate(SCORED):
            for part in self._chosen[name]:
                with torch.inference_mode(False), torch.enable_grad():
                    chosen = BeatInputs(*(tensor.clone() for tensor in part))
                    x = chosen.x.detach().clone().requires_grad_()
                    score = model(**model.network_inputs(chosen._replace(x=x)))[:, k].sum()
                    (gradient,) = torch.autograd.grad(score, x)
                level = chosen.x - chosen.x.median(2, keepdim=True).values
                beats[name].append(divide_by_amplitude(level, chosen.amplitude)[:, 0].cpu())
                gradients[name].append(gradient.abs().sum(1).float().cpu())
        return beats, gradients

    def draw(self, model: Any, writer: Any, step: int) -> None:
        """Log the figures."""
        if not self._drawn:
            return
        beats, fs = model.metrics["val"]["ec57"], model.hparams["fs"]
        figures = {
            "confusion": confusion(beats.matrices.sum(0)),
            "precision_recall": precision_recall(*beats.classified),
            "mistakes": beat_strips(self._mistakes(*beats.classified), fs, model.hparams["rr_around"]),
            "saliency": saliency(*self._examine(model), fs),
        }
        for name, figure in figures.items():
            writer.add_figure(name, figure, step)
        self._clear()

    def _mistakes(self, probabilities: Tensor, y: Tensor) -> list[dict[str, Any]]:
        """Return what is drawn of the beats misclassified with the highest probability."""
        x, around, rr, record = (torch.cat(parts) for parts in zip(*self._drawn))
        sure, classes = probabilities.max(1)
        wrong = torch.nonzero((classes != y) & (y < len(SCORED))).flatten()
        worst = wrong[sure[wrong].topk(min(self.shown, len(wrong))).indices].tolist()
        return [
            {
                "title": f"record {int(record[row])}: {CLASSES[int(y[row])]} predicted as {CLASSES[int(classes[row])]} "
                f"(probability {float(sure[row]):.2f})",
                "x": x[row].float(),
                "around": around[row].float(),
                "rr": rr[row].float(),
            }
            for row in worst
        ]
