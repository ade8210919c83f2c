"""Figures of heart beats: strips, confusion matrix, precision-recall curves, saliency."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.figures.classification import confusion_matrix
from zoo.metrics.ec57 import CLASSES
from zoo.tasks.ecg_annotation import PEAK, Annotation

BEAT_NAMES = {"N": "normal", "S": "supraventricular", "V": "ventricular", "F": "fusion", "Q": "unknown"}
CLASS_COLOURS = {"N": "tab:gray", "S": "tab:blue", "V": "tab:red", "F": "tab:purple", "Q": "tab:olive"}
CAUTION = "A research tool, not a medical device: it makes no diagnosis."
STRIP_SECONDS = 10.0
SCORED = CLASSES[:4]
"""Classes that are drawn: those that EC57 scores, without Q."""
SALIENCY_SAMPLES = 9
"""Width in samples of the moving average of saliency, 50 ms; set by hand, not tuned."""


def record_strips(signal: np.ndarray, fs: float, annotation: Annotation, name: str, leads: Sequence[str]) -> Any:
    """Draw ten seconds around the most probable beat of each predicted class, with the class of every beat.

    If no probability is known it is the first of its class.

    Args:
        signal: Signal (samples, leads) in millivolts; the first lead is drawn.
        fs: Sampling rate in Hz.
        annotation: The beats.
        name: Name of the recording.
        leads: Names of the leads.

    Returns:
        A matplotlib figure.
    """
    from matplotlib.figure import Figure

    present = [symbol for symbol in BEAT_NAMES if symbol in annotation.symbol] or [""]
    symbols = np.array(annotation.symbol, dtype="U1")
    figure = Figure(figsize=(11, 0.8 + 1.9 * len(present)), layout="constrained")
    sure = np.nan_to_num(np.asarray(annotation.probability, float), nan=-1.0)
    which = "most probable" if (sure >= 0).any() or not len(sure) else "first"
    figure.suptitle(f"{name}: the {which} beat of each class. {CAUTION}")
    for axes, symbol in zip(np.atleast_1d(figure.subplots(len(present), 1)), present):
        middle = len(signal) // 2
        if symbol:
            rows = np.flatnonzero(symbols == symbol)
            middle = int(annotation.sample[rows[sure[rows].argmax()]])
        width = int(STRIP_SECONDS * fs)
        start = max(0, min(middle - width // 2, len(signal) - width))
        part = signal[start : start + width, 0]
        axes.plot((start + np.arange(len(part))) / fs, part, color="black", linewidth=0.7)
        top = np.nanmax(part) if np.isfinite(part).any() else 1.0
        inside = (annotation.sample >= start) & (annotation.sample < start + width)
        for sample, mark in zip(annotation.sample[inside], symbols[inside]):
            weight = "bold" if sample == middle else "normal"
            axes.annotate(
                mark,
                (sample / fs, top),
                ha="center",
                va="bottom",
                color=CLASS_COLOURS[mark],
                fontweight=weight,
                fontsize=9,
            )
        axes.margins(x=0, y=0.2)
        axes.set(ylabel=f"{leads[0]}, mV", title=f"{symbol} {BEAT_NAMES[symbol]}" if symbol else "no beats")
    axes.set_xlabel("seconds")
    return figure


def confusion(matrix: Tensor) -> Any:
    """Draw a confusion matrix with true classes in rows, coloured by the share of the class.

    Args:
        matrix: Numbers of beats (6, 6), see ``zoo.metrics.EC57``.

    Returns:
        A matplotlib figure.
    """
    return confusion_matrix(matrix[: len(CLASSES), : len(CLASSES)], CLASSES, "Validation beats")


def precision_recall(probabilities: Tensor, y: Tensor) -> Any:
    """Draw the precision-recall curve of each class against all others.

    Args:
        probabilities: Class probabilities (N, 5).
        y: True classes (N,).

    Returns:
        A matplotlib figure.
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
            axes.plot(recall, precision, color=CLASS_COLOURS[name], label=f"{name}, {is_class.sum()} beats: {area:.3f}")
    axes.set(title="One class against all others", xlabel="sensitivity", ylabel="positive predictivity")
    axes.set(xlim=(0, 1.01), ylim=(0, 1.01))
    axes.legend(title="class and average precision", loc="lower left")
    return figure


def beat_strips(beats: list[dict[str, Any]], fs: float, around: int) -> Any:
    """Draw beats and their neighbours, the first lead, on a common time axis.

    Args:
        beats: ``x``, ``around`` and ``rr`` of each beat, see ``BeatInputs``, without the batch axis, and its ``title``.
        fs: Sampling rate of the windows in Hz.
        around: Number of RR intervals on either side in ``rr``.

    Returns:
        A matplotlib figure.
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
        figure.suptitle("No misclassified beats")
    return figure


def saliency(beats: dict[str, list[Tensor]], gradients: dict[str, list[Tensor]], fs: float) -> Any:
    """Draw the mean beat of each class over the saliency of its samples (Simonyan, Vedaldi & Zisserman, 2014).

    Args:
        beats: Windows (N, T) by class, in amplitudes of their records.
        gradients: Absolute gradients (N, T) of the class's score with respect to the signal, by class.
        fs: Sampling rate in Hz.

    Returns:
        A matplotlib figure.
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
        # Gradients of single samples are noisy.
        sizes = torch.nn.functional.avg_pool1d(sizes[None], SALIENCY_SAMPLES, 1, SALIENCY_SAMPLES // 2)
        heat = (sizes / sizes.max().clamp_min(1e-12)).numpy()
        extent = (seconds[0], seconds[-1], low, high)
        axes.imshow(heat, aspect="auto", extent=extent, cmap="Reds", vmin=0, vmax=1.5)
        axes.fill_between(seconds, mean - spread, mean + spread, color="black", alpha=0.15, linewidth=0)
        axes.plot(seconds, mean, color="black", linewidth=1.2)
        axes.set_title(f"{name}: {len(windows)} beats, mean and standard deviation")
        axes.label_outer()
    return figure
