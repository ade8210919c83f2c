"""Figures of attention weights."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from datamodules.text.mail_masks import SHOWN_SYMBOLS
from datamodules.text.vocabulary import Vocabulary


def attention_map(vocabulary: Vocabulary, src: list[int], translation: list[int], weights: Tensor) -> Any:
    """Draw the attention weights of a translation, its tokens in rows and source tokens in columns.

    Args:
        vocabulary: The vocabulary.
        src: Token ids of the source.
        translation: Token ids of the translation.
        weights: Attention weights (T, S); those of padding are not drawn.

    Returns:
        A matplotlib figure.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2 + 0.35 * len(src), 1.5 + 0.3 * len(translation)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(weights[: len(translation), : len(src)].numpy(), vmin=0, vmax=1, cmap="Blues", aspect="auto")
    columns, rows = ([name.translate(SHOWN_SYMBOLS) for name in vocabulary.pieces(ids)] for ids in (src, translation))
    axes.set_xticks(range(len(src)), columns, rotation=60, ha="right", parse_math=False)
    axes.set_yticks(range(len(translation)), rows, parse_math=False)
    axes.set(title="Attention weights of each target token", xlabel="source", ylabel="translation")
    figure.colorbar(image, label="weight")
    return figure
