"""Figures of models of points in the plane: what the output and each hidden unit respond to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

SIDE = 60
"""Points along each side of the grid on which responses are computed."""
SHOWN_UNITS = 16
"""Hidden units of a layer that are drawn."""
COLUMNS = 4
COLOURS = "RdBu"
MARGIN = 0.15
"""What is drawn beyond the outermost points, as a share of their extent."""

Features = Callable[[Tensor], Tensor]


def plane_grid(points: Tensor, side: int = SIDE) -> tuple[Tensor, tuple[float, float, float, float]]:
    """Return a grid of points (side * side, 2) over the square around given points, and its left, right, bottom, top.

    Rows go from the bottom to the top.
    """
    low, high = points.amin(0), points.amax(0)
    reach = (1 + MARGIN) * float((high - low).max().clamp(min=1e-6)) / 2
    centre = (low + high) / 2
    x, y = (torch.linspace(float(c) - reach, float(c) + reach, side) for c in centre)
    grid = torch.stack([axis.flatten() for axis in torch.meshgrid(x, y, indexing="xy")], 1)
    return grid, (float(x[0]), float(x[-1]), float(y[0]), float(y[-1]))


@torch.no_grad()
def unit_responses(model: Any, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return what a model answers to features, and the responses of each of its hidden layers.

    Args:
        model: A classifier or regressor whose network has ``nn.Linear`` layers.
        x: Features (N, F).

    Returns:
        The answer (N,): the probability of class 1 of two classes, the class of more than two, or the predicted
        number. And the input (N, units) of every linear layer but the first, which are the hidden units' responses.
    """
    inputs: list[Tensor] = []
    linear = [module for module in model.net.modules() if isinstance(module, nn.Linear)]
    handles = [
        module.register_forward_pre_hook(lambda _, args: inputs.append(args[0].float().cpu())) for module in linear
    ]
    try:
        with model.evaluating():
            scores = model(model.as_input(x)).float().cpu()
    finally:
        for handle in handles:
            handle.remove()
    if scores.shape[1] == 1:
        return scores[:, 0], inputs[1:]
    probabilities = model.probabilities(scores)
    return (probabilities[:, 1] if scores.shape[1] == 2 else probabilities.argmax(1).float()), inputs[1:]


def plane_figure(
    model: Any, points: Tensor, y: Tensor, features_of: Features = lambda points: points, title: str = ""
) -> Any:
    """Draw the answer of a model over the plane with the data on it, and beside it each hidden unit's response.

    Args:
        model: A classifier or regressor, see ``unit_responses``.
        points: Points (N, 2) of the data.
        y: Their classes or numbers (N,).
        features_of: Function that returns the features (N, F) that the model takes of points (N, 2).
        title: Title of the figure.

    Returns:
        A matplotlib figure.
    """
    from matplotlib.figure import Figure

    grid, extent = plane_grid(points)
    answer, hidden = unit_responses(model, features_of(grid))
    figure = Figure(figsize=(5.6 + 2.4 * len(hidden), 4.4), layout="constrained")
    axes = figure.subplots(1, 1 + len(hidden), squeeze=False, width_ratios=[1.7, *[1.0] * len(hidden)])[0]
    draw_boundary(axes[0], answer, extent, points, y)
    for number, (cell, layer) in enumerate(zip(axes[1:], hidden, strict=True), 1):
        draw_units(cell, layer, number)
    figure.suptitle(title or "Answer of the model and responses of its hidden units")
    return figure


def draw_boundary(
    axes: Any, answer: Tensor, extent: tuple[float, float, float, float], points: Tensor, y: Tensor
) -> None:
    """Draw an answer (side * side,) over the plane, its boundary between two classes, and the data.

    Args:
        axes: Axes of matplotlib.
        answer: What ``unit_responses`` returns for the grid of ``plane_grid``.
        extent: Left, right, bottom and top of the grid.
        points: Points (N, 2) of the data.
        y: Their classes or numbers (N,).
    """
    side = round(len(answer) ** 0.5)
    numbers = y.is_floating_point()
    classes = 0 if numbers else int(max(y.max(), answer.max())) + 1
    low, high = (-1.0, 1.0) if numbers else (0.0, float(max(classes - 1, 1)))
    colours = COLOURS if numbers or classes <= 2 else "tab10"
    surface = answer.reshape(side, side).numpy()
    shown = axes.imshow(
        surface, extent=extent, origin="lower", cmap=colours, vmin=low, vmax=high, alpha=0.7, interpolation="bilinear"
    )
    if not numbers and classes <= 2 and surface.min() < 0.5 < surface.max():
        axes.contour(surface, [0.5], extent=extent, origin="lower", colors="black", linewidths=1)
    axes.scatter(
        *points.T.numpy(), c=y.numpy(), s=12, cmap=colours, vmin=low, vmax=high, edgecolors="black", linewidths=0.4
    )
    axes.set(xlabel="x", ylabel="y", xlim=extent[:2], ylim=extent[2:])
    axes.set_title("output" if numbers else "probability of class 1" if classes <= 2 else "class", fontsize=10)
    axes.figure.colorbar(shown, ax=axes, shrink=0.75)


def draw_units(axes: Any, responses: Tensor, number: int) -> None:
    """Draw the responses (side * side, units) of a hidden layer over the plane, a tile a unit, each on its own scale.

    Args:
        axes: Axes of matplotlib.
        responses: Responses of the units of the layer on the grid.
        number: Number of the layer, for the title.
    """
    side, units = round(len(responses) ** 0.5), responses.shape[1]
    shown = responses[:, :SHOWN_UNITS]
    low, high = shown.amin(0), shown.amax(0)
    tiles = ((shown - low) / (high - low).clamp(min=1e-9)).T.reshape(-1, 1, side, side).flip(2)
    axes.imshow(unit_sheet(tiles).numpy(), cmap=COLOURS, vmin=0, vmax=1, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    some = f"{len(tiles)} of {units}" if units > len(tiles) else f"{units}"
    axes.set_title(f"hidden layer {number}, {some} units", fontsize=10)
    axes.set_xlabel("low red, high blue", fontsize=8)
    axes.spines[:].set_visible(False)


def unit_sheet(tiles: Tensor) -> Tensor:
    """Return tiles (units, 1, H, W) side by side as one image (H', W'), with gaps of NaN, which are drawn white."""
    from torchvision.utils import make_grid

    return make_grid(tiles, COLUMNS, padding=3, pad_value=float("nan"))[0]
