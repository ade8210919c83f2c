"""Callbacks that a model chooses for itself."""

from __future__ import annotations

import os
from pathlib import Path

from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint

from zoo.base import ZooModule
from zoo.callbacks.boundaries import Boundaries
from zoo.callbacks.ecg import Beats
from zoo.callbacks.embeddings import Embeddings
from zoo.callbacks.reconstructions import Reconstructions
from zoo.callbacks.samples import Samples
from zoo.callbacks.tensorboard import TensorBoardCallback
from zoo.callbacks.translations import Translations
from zoo.training.checkpoints import LAST

FIGURES: tuple[type[TensorBoardCallback], ...] = (Reconstructions, Samples, Translations, Beats, Embeddings, Boundaries)
"""Callbacks that log to TensorBoard, each for the models that it suits."""


def default_callbacks(model: ZooModule, dirpath: str | os.PathLike[str] | None = None) -> list[Callback]:
    """Return early stopping and checkpointing by the model's own ``monitor``, and the figures that suit the model.

    The best checkpoint is kept as ``best.ckpt`` and that of the last epoch as ``last.ckpt``. Training stops when
    ``monitor`` has not improved for ``patience`` epochs. A run without validation, such as one of fewer steps than an
    epoch has, keeps the last checkpoint alone.

    Args:
        model: The model to be trained.
        dirpath: Folder of the checkpoints; the logger's own if None.
    """
    folder = Path(dirpath) if dirpath else None
    return [
        EarlyStopping(model.monitor, mode=model.mode, patience=model.hparams["patience"], strict=False),
        ModelCheckpoint(
            folder,
            filename="best",
            monitor=model.monitor,
            mode=model.mode,
            enable_version_counter=False,
        ),
        # Lightning's ``save_last`` writes only when the monitored metric has improved.
        ModelCheckpoint(folder, filename=LAST, enable_version_counter=False, save_on_train_epoch_end=True),
        *(figures() for figures in FIGURES if figures.suits(model)),
    ]


__all__ = [
    "FIGURES",
    "Beats",
    "Boundaries",
    "Embeddings",
    "Reconstructions",
    "Samples",
    "TensorBoardCallback",
    "Translations",
    "default_callbacks",
]
