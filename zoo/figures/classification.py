"""Figures of classifiers: confusion matrices, samples with their classes, weights of a linear first layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

MOST_NUMBERS = 15
"""Largest number of classes whose counts are written into the cells."""
MOST_NAMES = 40
"""Largest number of classes whose names are written on the axes."""


def confusion_matrix(counts: Tensor, names: Sequence[str], title: str) -> Any:
    """Draw a confusion matrix with true classes in rows, coloured by the share of the class.

    Args:
        counts: Numbers of samples (K, K).
        names: Names of the classes.
        title: Title of the figure.

    Returns:
        A matplotlib figure.
    """
    from matplotlib.figure import Figure

    counts = counts.double()
    shares = counts / counts.sum(1, keepdim=True).clamp_min(1)
    long = max(map(len, names)) > 3
    size = max(4.5, min(9.0, 0.45 * len(names) + 1.5)) + 0.6 * long
    figure = Figure(figsize=(size + 1, size), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares.numpy(), vmin=0, vmax=1, cmap="Blues")
    for row, column in np.ndindex(*counts.shape) if len(names) <= MOST_NUMBERS else ():
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{int(counts[row, column])}", ha="center", va="center", color=colour)
    if len(names) <= MOST_NAMES:
        turned: Any = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if long else {}
        axes.set_xticks(range(len(names)), names, **turned)
        axes.set_yticks(range(len(names)), names)
    axes.set(title=title, xlabel="predicted class", ylabel="true class")
    figure.colorbar(image, label="share of the class")
    return figure


def labelled_images(images: Tensor, labels: Sequence[str], title: str, columns: int = 4) -> Any:
    """Draw images, each above its label.

    Args:
        images: Images (N, C, H, W) with 1 or 3 channels; values outside of [0, 1] are scaled to it, image by image.
        labels: Label of each image.
        title: Title of the figure.
        columns: Number of images in a row.

    Returns:
        A matplotlib figure.
    """
    from matplotlib.figure import Figure

    rows = max(1, -(-len(images) // columns))
    figure = Figure(figsize=(1.9 * columns, 2.0 * rows + 0.5), layout="constrained")
    figure.suptitle(title, fontsize=11)
    cells = figure.subplots(rows, columns, squeeze=False).flat
    for cell, image, label in zip(cells, images.float().cpu(), labels):
        low, high = image.min(), image.max()
        if low < 0 or high > 1:
            image = (image - low) / (high - low)
        cell.imshow(image.permute(1, 2, 0).numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        cell.set_title(label, fontsize=9)
    for cell in figure.axes:
        cell.axis("off")
    return figure


def weight_images(weights: Tensor, columns: int = 8) -> Any:
    """Draw the incoming weights of units as images, on one scale whose middle is 0.

    Args:
        weights: Weights (units, C, H, W); of several channels their mean is drawn.
        columns: Number of units in a row.

    Returns:
        A matplotlib figure.
    """
    from matplotlib.figure import Figure
    from torchvision.utils import make_grid

    shown = weights.detach().float().cpu().mean(1, keepdim=True)
    limit = max(float(shown.abs().max()), 1e-12)
    sheet = make_grid(shown, min(columns, len(shown)), padding=1, pad_value=float("nan"))[0]
    height, width = (6 * side / max(sheet.shape) for side in sheet.shape)
    figure = Figure(figsize=(width + 1.2, height + 0.8), layout="constrained")
    axes = figure.subplots()
    drawn = axes.imshow(sheet.numpy(), cmap="RdBu", vmin=-limit, vmax=limit, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    channels = ", mean of the channels" if weights.shape[1] > 1 else ""
    axes.set_title(f"Weights of the first layer, {len(shown)} units{channels}", fontsize=10)
    figure.colorbar(drawn, label="weight", shrink=0.8)
    return figure
