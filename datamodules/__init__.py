"""Datamodules of the data sets that the zoo's models train on, held in memory as tensors.

The public names are imported on first use, so that ``import datamodules`` alone is fast.
"""

from __future__ import annotations

import importlib
from typing import Any

_MODULES = {
    "AeslcDataModule": "datamodules.aeslc",
    "AeslcSubjectsDataModule": "datamodules.aeslc_subjects",
    "ATISDataModule": "datamodules.utterances",
    "BooleanDataModule": "datamodules.boolean",
    "BreastCancerDataModule": "datamodules.breast_cancer",
    "CIFAR10DataModule": "datamodules.cifar",
    "CIFAR10JPEGDataModule": "datamodules.cifar",
    "Davidson2017DataModule": "datamodules.tweets",
    "DigitsDataModule": "datamodules.digits",
    "FashionMNISTDataModule": "datamodules.mnist",
    "Flickr8kCaptionsDataModule": "datamodules.captions",
    "Flickr8kDataModule": "datamodules.flickr8k",
    "FraEngDataModule": "datamodules.fra_eng",
    "GeoQueryDataModule": "datamodules.text2sql",
    "ImageFolderDataModule": "datamodules.image_folder",
    "ImageDataModule": "datamodules.images.base",
    "MITBIHDataModule": "datamodules.mitbih",
    "MNISTDataModule": "datamodules.mnist",
    "PlaygroundDataModule": "datamodules.playground",
    "ReutersDataModule": "datamodules.reuters",
    "ReutersTopicsDataModule": "datamodules.reuters_topics",
    "CLINC150DataModule": "datamodules.intents",
    "MovieReviewsDataModule": "datamodules.reviews",
    "SNIPSDataModule": "datamodules.utterances",
    "SST2DataModule": "datamodules.reviews",
    "TensorDataModule": "datamodules.base",
    "TextTableDataModule": "datamodules.text_table",
    "TinyShakespeareDataModule": "datamodules.tinyshakespeare",
    "UtteranceDataModule": "datamodules.utterances",
    "create_datamodule": "datamodules.registry",
    "list_datamodules": "datamodules.registry",
    "register_datamodule": "datamodules.registry",
}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'datamodules' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
