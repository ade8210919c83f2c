"""Embeddings of subwords in TensorBoard's projector."""

from __future__ import annotations

import lightning as L
from torch import nn

from datamodules.text.vocabulary import vocabulary_from_json
from zoo.callbacks.tensorboard import TensorBoardCallback


class Embeddings(TensorBoardCallback):
    """Log the subword embeddings of a text model at the end of a fit, as ``embedding`` in TensorBoard's projector.

    Args:
        shown: Number of subwords: the first merges of byte-pair encoding, roughly the most frequent subwords.
    """

    def __init__(self, shown: int = 1_000) -> None:
        self.shown = shown

    @classmethod
    def suits(cls, model: L.LightningModule) -> bool:
        """Return whether the model has a ``tokenizer`` argument and its network an ``embedding``."""
        return "tokenizer" in model.hparams and isinstance(getattr(model.net, "embedding", None), nn.Embedding)

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log the embeddings with their subwords as labels."""
        writer, tokenizer = self.writer(trainer, pl_module), pl_module.hparams["tokenizer"]
        if writer is None or tokenizer is None:
            return
        ids, names = vocabulary_from_json(tokenizer).subwords(self.shown)
        embedding = pl_module.get_submodule("net.embedding")
        assert isinstance(embedding, nn.Embedding)
        vectors = embedding.weight.detach().float().cpu()[ids]
        writer.add_embedding(vectors, names, tag="embedding", global_step=trainer.global_step)
