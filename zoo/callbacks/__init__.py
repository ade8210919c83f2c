"""Callbacks that a model chooses for itself."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint

from zoo.base import ZooModule
from zoo.callbacks.boundaries import Boundaries
from zoo.callbacks.captions import Captions
from zoo.callbacks.continuations import Continuations
from zoo.callbacks.ecg import Beats
from zoo.callbacks.embeddings import Embeddings
from zoo.callbacks.first_layer import FirstLayer
from zoo.callbacks.graph import Graph
from zoo.callbacks.histograms import Histograms
from zoo.callbacks.mistakes import Mistakes
from zoo.callbacks.reconstructions import Reconstructions
from zoo.callbacks.samples import Samples
from zoo.callbacks.settings import Settings
from zoo.callbacks.tensorboard import TensorBoardCallback
from zoo.callbacks.throughput import Throughput
from zoo.callbacks.translations import Translations
from zoo.training.checkpoints import LAST

FIGURES: tuple[type[TensorBoardCallback], ...] = (
    Graph,
    Reconstructions,
    Samples,
    Translations,
    Continuations,
    Captions,
    Beats,
    Mistakes,
    FirstLayer,
    Embeddings,
    Boundaries,
    Throughput,
)
"""Callbacks that log to TensorBoard, each for the models that it suits."""


def default_callbacks(
    model: ZooModule,
    dirpath: str | os.PathLike[str] | None = None,
    recipe: Mapping[str, Any] | None = None,
) -> list[Callback]:
    """Return early stopping and checkpointing by the model's own ``monitor``, and what TensorBoard shows.

    The best checkpoint is kept as ``best.ckpt`` and that of the last epoch as ``last.ckpt``. Training stops when
    ``monitor`` has not improved for ``patience`` epochs. A run without validation, such as one of fewer steps than an
    epoch has, keeps the last checkpoint alone.

    With a ``TensorBoardLogger`` the run's settings, the network's graph, the samples a second and the figures that suit
    the model are logged; without one that costs nothing.

    Args:
        model: The model to be trained.
        dirpath: Folder of the checkpoints; the logger's own if None.
        recipe: Content of the recipe as used, for the run's settings; see ``Settings``.
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
        Settings(recipe),
        *(figures() for figures in FIGURES if figures.suits(model)),
    ]


__all__ = [
    "FIGURES",
    "Beats",
    "Boundaries",
    "Captions",
    "Continuations",
    "Embeddings",
    "FirstLayer",
    "Graph",
    "Histograms",
    "Mistakes",
    "Reconstructions",
    "Samples",
    "Settings",
    "TensorBoardCallback",
    "Throughput",
    "Translations",
    "default_callbacks",
]
