"""Attention maps."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from datamodules.text.vocabulary import Vocabulary


def attention_map(vocabulary: Vocabulary, src: list[int], written: list[int], weights: Tensor) -> Any:
    """Draw where a model looked: a row for each token written, a column for each of the source.

    Args:
        vocabulary: The vocabulary.
        src: Token ids of the source.
        written: Token ids of what was written.
        weights: (T, S); what fills them up is left out.

    Returns:
        A figure of matplotlib.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2 + 0.35 * len(src), 1.5 + 0.3 * len(written)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(weights[: len(written), : len(src)].numpy(), vmin=0, vmax=1, cmap="Blues", aspect="auto")
    axes.set_xticks(range(len(src)), vocabulary.pieces(src), rotation=60, ha="right")
    axes.set_yticks(range(len(written)), vocabulary.pieces(written))
    axes.set(title="Attention before each token written", xlabel="source", ylabel="written")
    figure.colorbar(image, label="weight")
    return figure
