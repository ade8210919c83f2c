"""Callbacks that a model chooses for itself."""

from __future__ import annotations

import os
from pathlib import Path

from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint

from zoo.base import ZooModule
from zoo.callbacks.beats import Beats
from zoo.callbacks.embeddings import Embeddings
from zoo.callbacks.reconstructions import Reconstructions
from zoo.callbacks.samples import Samples
from zoo.callbacks.translations import Translations
from zoo.tasks import Autoencoder, BeatClassifier, TextClassifier, Translator


def default_callbacks(model: ZooModule, dirpath: str | os.PathLike[str] | None = None) -> list[Callback]:
    """Return early stopping and checkpointing by the model's own ``monitor``.

    The best and the last checkpoint are kept as ``best.ckpt`` and ``last.ckpt``. Training stops when ``monitor`` has
    not improved for ``patience`` epochs. An autoencoder of pictures logs some of them to TensorBoard,
    and one that can draw new ones logs such. A translator logs translations and where it looked,
    a model of texts its subwords' vectors, and a classifier of heart beats its mistakes.

    Args:
        model: The model to be trained.
        dirpath: Folder of the checkpoints; the logger's own if None.
    """
    pictures = isinstance(model, Autoencoder) and len(model.sample_shape) == 3 and model.sample_shape[0] in (1, 3)
    return [
        EarlyStopping(model.monitor, mode=model.mode, patience=model.hparams["patience"]),
        ModelCheckpoint(
            Path(dirpath) if dirpath else None,
            filename="best",
            monitor=model.monitor,
            mode=model.mode,
            save_last=True,
            enable_version_counter=False,
        ),
        *([Reconstructions()] if pictures else []),
        *([Samples()] if pictures and hasattr(model, "sample") else []),
        *([Translations()] if isinstance(model, Translator) else []),
        *([Beats()] if isinstance(model, BeatClassifier) else []),
        *([Embeddings()] if isinstance(model, (TextClassifier, Translator)) else []),
    ]


__all__ = ["Beats", "Embeddings", "Reconstructions", "Samples", "Translations", "default_callbacks"]
