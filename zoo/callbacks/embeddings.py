"""The vectors of subwords, for TensorBoard's projector."""

from __future__ import annotations

import lightning as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from torch import nn

from zoo.tokens import Tokens


class Embeddings(Callback):
    """Log the embedding of a model of texts when its fit ends, as ``embedding`` in TensorBoard's projector.

    The model has a ``tokenizer`` and its network an ``embedding``; without them nothing is logged.

    Args:
        shown: Number of subwords: the first that byte-pair encoding learned, which are about the most frequent.
    """

    def __init__(self, shown: int = 1_000) -> None:
        self.shown = shown

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log the vectors with their subwords."""
        logger, tokenizer = trainer.logger, pl_module.hparams.get("tokenizer")
        embedding = getattr(pl_module.net, "embedding", None)
        if not isinstance(logger, TensorBoardLogger) or not trainer.is_global_zero:
            return
        if tokenizer is None or not isinstance(embedding, nn.Embedding):
            return
        ids, names = Tokens(tokenizer).learned(self.shown)
        vectors = embedding.weight.detach().float().cpu()[ids]
        logger.experiment.add_embedding(vectors, names, tag="embedding", global_step=trainer.global_step)
