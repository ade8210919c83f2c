"""Pictures of a classifier of heart beats for TensorBoard."""

from __future__ import annotations

from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from zoo.annotating import COLOURS
from zoo.metrics.ec57 import CLASSES
from zoo.nn.beats import per_amplitude
from zoo.tasks.beats import BeatClassifier
from zoo.tasks.recordings import PEAK, BeatInputs, inputs_of

SCORED = CLASSES[:4]
SMOOTH = 9
"""Samples that the size of a gradient is averaged over."""


class Beats(Callback):
    """Log what a classifier of beats makes of the validation records.

    After each validation there are four pictures: ``confusion``, the beats of each class by what they were taken for;
    ``precision_recall``, a curve for each class against all others; ``mistakes``, the beats that were taken for another
    class with the greatest probability, amid their neighbours; and ``looked_at``, the mean beat of each class, and
    where a change of the signal would change the class's score most.

    Args:
        shown: Number of mistakes shown.
        examined: Beats of each class by which it is seen what the network looks at.
    """

    def __init__(self, shown: int = 8, examined: int = 64) -> None:
        self.shown, self.examined = shown, examined
        self._clear()

    def _clear(self) -> None:
        self._drawn: list[tuple[Tensor, ...]] = []
        self._beats: dict[str, list[Tensor]] = {name: [] for name in SCORED}
        self._looked: dict[str, list[Tensor]] = {name: [] for name in SCORED}

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Forget the last epoch's beats."""
        self._clear()

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep what the pictures need of a batch."""
        if self._writer(trainer) is None or not isinstance(pl_module, BeatClassifier):
            return
        beats = inputs_of(batch)
        drawn = (beats.x[:, :1], beats.around[:, :, :1], beats.rr, batch[-1])
        self._drawn.append(tuple(part.to("cpu", copy=True) for part in drawn))
        self._examine(pl_module, beats, batch[1].cpu())

    def _examine(self, model: BeatClassifier, beats: BeatInputs, y: Tensor) -> None:
        """Keep some beats of each class, in amplitudes, and the size of the gradient of the class's score by them."""
        for k, name in enumerate(SCORED):
            missing = self.examined - sum(len(part) for part in self._beats[name])
            few = max(0, min(missing, self.examined // 8))  # of a batch, so that they are of several records
            rows = torch.nonzero(y == k).flatten()[:few].to(beats.x.device)
            if not len(rows):
                continue
            with torch.inference_mode(False), torch.enable_grad():
                chosen = BeatInputs(*(part[rows].clone() for part in beats))
                x = chosen.x.detach().clone().requires_grad_()
                score = model(**model.seen(chosen._replace(x=x)))[:, k].sum()
                (gradient,) = torch.autograd.grad(score, x)
            level = chosen.x - chosen.x.median(2, keepdim=True).values
            self._beats[name].append(per_amplitude(level, chosen.amplitude)[:, 0].cpu())
            self._looked[name].append(gradient.abs().sum(1).float().cpu())

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log the pictures."""
        writer = self._writer(trainer)
        if writer is None or trainer.sanity_checking or not self._drawn or not isinstance(pl_module, BeatClassifier):
            return
        probabilities, y = pl_module.evaluated["val"]
        fs = pl_module.hparams["fs"]
        figures = {
            "confusion": confusion(pl_module.matrices["val"].sum(0)),
            "precision_recall": precision_recall(probabilities, y),
            "mistakes": strips(self._mistakes(probabilities, y), fs, pl_module.hparams["rr_around"]),
            "looked_at": looked_at(self._beats, self._looked, fs),
        }
        for name, figure in figures.items():
            writer.add_figure(name, figure, trainer.global_step)
        self._clear()

    def _mistakes(self, probabilities: Tensor, y: Tensor) -> list[dict[str, Any]]:
        """Return what is drawn of the beats that were taken for another class with the greatest probability."""
        x, around, rr, record = (torch.cat(parts) for parts in zip(*self._drawn))
        sure, classes = probabilities.max(1)
        wrong = torch.nonzero((classes != y) & (y < len(SCORED))).flatten()
        worst = wrong[sure[wrong].topk(min(self.shown, len(wrong))).indices].tolist()
        return [
            {
                "title": f"record {int(record[row])}: {CLASSES[int(y[row])]} taken for {CLASSES[int(classes[row])]} "
                f"(probability {float(sure[row]):.2f})",
                "x": x[row].float(),
                "around": around[row].float(),
                "rr": rr[row].float(),
            }
            for row in worst
        ]

    @staticmethod
    def _writer(trainer: L.Trainer) -> Any:
        """Return TensorBoard's writer if there is one here."""
        logger = trainer.logger
        return logger.experiment if isinstance(logger, TensorBoardLogger) and trainer.is_global_zero else None


def confusion(matrix: Tensor) -> Any:
    """Draw the beats of each class (row) by what they were taken for (column), coloured by their share of the class.

    Args:
        matrix: Counts, as ``zoo.metrics.EC57`` has them.

    Returns:
        A figure of matplotlib.
    """
    from matplotlib.figure import Figure

    counts = matrix[: len(CLASSES), : len(CLASSES)].double()
    shares = counts / counts.sum(1, keepdim=True).clamp_min(1)
    figure = Figure(figsize=(5.5, 4.5), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares.numpy(), vmin=0, vmax=1, cmap="Blues")
    for row, column in np.ndindex(*counts.shape):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{int(counts[row, column])}", ha="center", va="center", color=colour)
    axes.set_xticks(range(len(CLASSES)), CLASSES)
    axes.set_yticks(range(len(CLASSES)), CLASSES)
    axes.set(title="Validation beats", xlabel="taken for", ylabel="class")
    figure.colorbar(image, label="share of the class")
    return figure


def precision_recall(probabilities: Tensor, y: Tensor) -> Any:
    """Draw the precision of each class against its recall, one class against all others.

    Args:
        probabilities: (N, 5).
        y: Classes (N,).

    Returns:
        A figure of matplotlib.
    """
    from matplotlib.figure import Figure
    from sklearn.metrics import average_precision_score, precision_recall_curve

    figure = Figure(figsize=(5.5, 4.5), layout="constrained")
    axes = figure.subplots()
    for k, name in enumerate(SCORED):
        is_class = (y == k).numpy()
        if is_class.any():
            precision, recall, _ = precision_recall_curve(is_class, probabilities[:, k].numpy())
            area = average_precision_score(is_class, probabilities[:, k].numpy())
            axes.plot(recall, precision, color=COLOURS[name], label=f"{name}, {is_class.sum()} beats: {area:.3f}")
    axes.set(title="One class against all others", xlabel="sensitivity", ylabel="positive predictivity")
    axes.set(xlim=(0, 1.01), ylim=(0, 1.01))
    axes.legend(title="class and mean precision", loc="lower left")
    return figure


def strips(beats: list[dict[str, Any]], fs: float, around: int) -> Any:
    """Draw beats amid their neighbours, the first lead, on a common scale of time.

    Args:
        beats: ``x``, ``around`` and ``rr`` of each, as in ``BeatInputs`` but without a batch's axis, and its ``title``.
        fs: Samples a second of the windows.
        around: RR intervals on either side that are known.

    Returns:
        A figure of matplotlib.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 0.6 + 1.5 * max(1, len(beats))), layout="constrained")
    for axes, beat in zip(np.atleast_1d(figure.subplots(max(1, len(beats)), 1, sharex=True)), beats):
        seconds = (np.arange(beat["x"].shape[1]) - PEAK) / fs
        reach = len(beat["around"]) // 2
        for place, window in enumerate(beat["around"]):
            step = place - reach if place < reach else place - reach + 1
            between = beat["rr"][around + step : around] if step < 0 else beat["rr"][around : around + step]
            if (between > 0).all():
                offset = float(between.sum()) * (1 if step > 0 else -1)
                axes.plot(seconds + offset, window[0].numpy(), color="tab:gray", linewidth=0.7)
        axes.plot(seconds, beat["x"][0].numpy(), color="black", linewidth=1.0)
        axes.axvline(0, color="tab:red", linewidth=0.5)
        axes.set_title(beat["title"], fontsize=9)
        axes.set_ylabel("mV")
        axes.set_xlabel("seconds from the R peak")
        axes.label_outer()
    if not beats:
        figure.suptitle("No mistake")
    return figure


def looked_at(beats: dict[str, list[Tensor]], gradients: dict[str, list[Tensor]], fs: float) -> Any:
    """Draw the mean beat of each class over where its score depends on the signal.

    Args:
        beats: Windows (N, T) by class, in amplitudes of their records.
        gradients: Size (N, T) of the gradient of the class's score by the signal.
        fs: Samples a second.

    Returns:
        A figure of matplotlib.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    figure.suptitle("Mean beat of each class; red where a change of the signal changes the class's score most")
    for axes, name in zip(figure.subplots(2, 2, sharex=True).flat, SCORED):
        axes.set(title=f"{name}: no beat", xlabel="seconds from the R peak", ylabel="amplitudes")
        if not beats[name]:
            continue
        windows, sizes = torch.cat(beats[name]).float(), torch.cat(gradients[name]).mean(0)
        seconds = (np.arange(windows.shape[1]) - PEAK) / fs
        mean, spread = windows.mean(0).numpy(), windows.std(0, unbiased=False).numpy()
        low, high = float((mean - spread).min()), float((mean + spread).max())
        sizes = torch.nn.functional.avg_pool1d(sizes[None], SMOOTH, 1, SMOOTH // 2)  # one sample's says little
        heat = (sizes / sizes.max().clamp_min(1e-12)).numpy()
        extent = (seconds[0], seconds[-1], low, high)
        axes.imshow(heat, aspect="auto", extent=extent, cmap="Reds", vmin=0, vmax=1.5)
        axes.fill_between(seconds, mean - spread, mean + spread, color="black", alpha=0.15, linewidth=0)
        axes.plot(seconds, mean, color="black", linewidth=1.2)
        axes.set_title(f"{name}: {len(windows)} beats, mean and standard deviation")
        axes.label_outer()
    return figure
