"""Embeddings of subwords in TensorBoard's projector."""

from __future__ import annotations

from typing import Any

import lightning as L
from torch import nn

from datamodules.text.vocabulary import vocabulary_from_json
from zoo.callbacks.tensorboard import TensorBoardCallback
from zoo.errors import check_counts


class Embeddings(TensorBoardCallback):
    """Log the subword embeddings of a text model at the end of a fit, as ``embedding`` in TensorBoard's projector.

    Args:
        shown: Number of subwords: the first merges of byte-pair encoding, roughly the most frequent subwords.
    """

    def __init__(self, shown: int = 1_000) -> None:
        check_counts(shown=shown)
        self.shown = shown

    @classmethod
    def suits(cls, model: L.LightningModule) -> bool:
        """Return whether the model has a ``tokenizer`` argument and its network an ``embedding``."""
        return "tokenizer" in model.hparams and isinstance(getattr(model.net, "embedding", None), nn.Embedding)

    def finish(self, model: Any, writer: Any, step: int) -> None:
        """Log the embeddings with their subwords as labels."""
        tokenizer = model.hparams["tokenizer"]
        if tokenizer is None:
            return
        ids, names = vocabulary_from_json(tokenizer).subwords(self.shown)
        vectors = model.net.embedding.weight.detach().float().cpu()[ids]
        writer.add_embedding(vectors, names, tag="embedding", global_step=step)
