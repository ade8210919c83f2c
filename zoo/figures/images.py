"""Grids of pictures with their figures, for TensorBoard and for files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from zoo.metrics.images import psnr


def has_images(model: Any) -> bool:
    """Return whether the samples of a model are grey or colour images (C, H, W)."""
    shape: tuple[int, ...] = getattr(model, "sample_shape", ())
    return len(shape) == 3 and shape[0] in (1, 3)


def picture_grid(rows: Mapping[str, Tensor], original: str = "original", title: str = "") -> Any:
    """Draw rows of pictures with a column a picture, and under each its PSNR beside the original.

    Args:
        rows: Pictures (n, C, H, W) in [0, 1] by the name of their row; C is 1 or 3, and may differ between rows.
        original: Name of the row that the others are compared with.
        title: Title of the figure.

    Returns:
        A matplotlib figure, drawn without pyplot's global state.
    """
    from matplotlib.figure import Figure

    wanted = rows[original].float().cpu()
    n = len(wanted)
    figure = Figure(figsize=(1.1 * n + 1.2, 1.35 * len(rows) + 0.4), layout="constrained")
    axes = figure.subplots(len(rows), n, squeeze=False)
    for line, (name, pictures) in zip(axes, rows.items(), strict=True):
        pictures = pictures.float().cpu().clamp(0, 1)
        ratios = psnr(pictures.expand_as(wanted), wanted)
        for one, picture, ratio in zip(line, pictures, ratios, strict=True):
            one.imshow(picture.permute(1, 2, 0).numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            one.set(xticks=[], yticks=[])
            one.spines[:].set_visible(False)
            if name != original:
                one.set_xlabel(f"{ratio:.1f} dB", fontsize=8, labelpad=2)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    if title:
        figure.suptitle(title, fontsize=10)
    return figure


def sheet(pictures: Tensor, columns: int) -> Tensor:
    """Return pictures (N, C, H, W) as one, (C, H', W'), with grey lines between them."""
    from torchvision.utils import make_grid

    return make_grid(pictures, columns, padding=1, pad_value=0.5)
