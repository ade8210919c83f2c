"""Figures of pictures with captions."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor


def caption_grid(
    pictures: Sequence[Tensor], captions: Sequence[str], references: Sequence[str] | None = None, columns: int = 4
) -> Any:
    """Draw pictures in a grid, each with its caption below it.

    Args:
        pictures: Images (3, H, W) in [0, 1], of any size.
        captions: Caption of each.
        references: A reference caption of each, drawn in grey below the caption; None for none.
        columns: Number of pictures in a row.

    Returns:
        A matplotlib figure, drawn without pyplot's global state.
    """
    from matplotlib.figure import Figure

    rows = -(-len(pictures) // columns)
    figure = Figure(figsize=(2.4 * columns, (3.1 + 0.4 * bool(references)) * rows), layout="constrained")
    cells = figure.subplots(rows, columns, squeeze=False).ravel()
    for cell in cells:
        cell.axis("off")
    for number, (cell, picture, caption) in enumerate(zip(cells, pictures, captions)):
        cell.imshow(_as_array(picture))
        place = {"transform": cell.transAxes, "ha": "center", "parse_math": False}
        cell.text(0.5, -0.04, _wrapped(caption), fontsize=8, va="top", **place)
        if references:
            cell.text(0.5, 1.02, _wrapped(references[number]), fontsize=7, color="grey", va="bottom", **place)
    return figure


def attention_grid(picture: Tensor, caption: str, attention: Tensor, columns: int = 8) -> Any:
    """Draw a picture, and for each word of its caption the picture brightened where the attention is.

    Args:
        picture: Image (3, H, W) in [0, 1].
        caption: Its caption, whose words are separated by spaces.
        attention: Weights (words, H', W') over the feature map.
        columns: Number of pictures in a row.

    Returns:
        A matplotlib figure, drawn without pyplot's global state.
    """
    from matplotlib.figure import Figure

    words = caption.split()
    rows = -(-(len(words) + 1) // columns)
    figure = Figure(figsize=(1.3 * columns, 1.55 * rows + 0.4), layout="constrained")
    cells = figure.subplots(rows, columns, squeeze=False).ravel()
    for cell in cells:
        cell.axis("off")
    image = _as_array(picture)
    cells[0].imshow(image)
    cells[0].set_title("picture", fontsize=8)
    size = tuple(picture.shape[1:])
    weights = F.interpolate(attention[:, None].float().cpu(), size, mode="bicubic", align_corners=False)[:, 0]
    for cell, word, map_ in zip(cells[1:], words, weights.clamp_min(0)):
        bright = (map_ / map_.max().clamp_min(1e-9)).numpy()[:, :, None]
        cell.imshow(image * (0.2 + 0.8 * bright))
        cell.set_title(word, fontsize=8, parse_math=False)
    figure.suptitle("\n".join(textwrap.wrap(caption, 100)), fontsize=9, parse_math=False)
    return figure


def _as_array(picture: Tensor) -> Any:
    return picture.float().cpu().clamp(0, 1).permute(1, 2, 0).numpy()


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, 34))
