"""Figures and grids of images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from zoo.metrics.images import psnr


def has_images(model: Any) -> bool:
    """Return whether the samples of a model are grey or colour images (C, H, W)."""
    shape: tuple[int, ...] = getattr(model, "sample_shape", ())
    return len(shape) == 3 and shape[0] in (1, 3)


def comparison_figure(rows: Mapping[str, Tensor], original: str = "original", title: str = "") -> Any:
    """Draw rows of images and the PSNR of each with respect to the original of its column.

    Args:
        rows: Images (n, C, H, W) in [0, 1] by the name of their row; C is 1 or 3 and may differ between rows.
        original: Name of the row of the originals.
        title: Title of the figure.

    Returns:
        A matplotlib figure, drawn without pyplot's global state.
    """
    from matplotlib.figure import Figure

    originals = rows[original].float().cpu()
    n = len(originals)
    figure = Figure(figsize=(1.1 * n + 1.2, 1.35 * len(rows) + 0.4), layout="constrained")
    axes = figure.subplots(len(rows), n, squeeze=False)
    for cells, (name, images) in zip(axes, rows.items(), strict=True):
        images = images.float().cpu().clamp(0, 1)
        psnrs = psnr(images.expand_as(originals), originals)
        for cell, image, psnr_db in zip(cells, images, psnrs, strict=True):
            cell.imshow(image.permute(1, 2, 0).numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            cell.set(xticks=[], yticks=[])
            cell.spines[:].set_visible(False)
            if name != original:
                cell.set_xlabel(f"{psnr_db:.1f} dB", fontsize=8, labelpad=2)
        cells[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    if title:
        figure.suptitle(title, fontsize=10)
    return figure


def image_grid(images: Tensor, columns: int) -> Tensor:
    """Return images (N, C, H, W) as one image (C, H', W'), separated by grey lines."""
    from torchvision.utils import make_grid

    return make_grid(images, columns, padding=1, pad_value=0.5)
