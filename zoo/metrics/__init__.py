"""Metrics that torchmetrics lacks, imported when first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.metrics.chunks import Chunk, ChunkF1, count_chunks, find_chunks
    from zoo.metrics.classes import ClassScores, class_scores, class_table
    from zoo.metrics.ec57 import (
        EC57,
        detection_scores,
        detection_table,
        ec57_scores,
        ec57_table,
        match_beats,
        matched_labels,
    )
    from zoo.metrics.images import masked_mse, psnr, psnr_from_mse
    from zoo.metrics.labels import LabelScores, best_threshold
    from zoo.metrics.means import EpochMeans, EpochMetrics, SampleMean
    from zoo.metrics.retrieval import cosine_similarity, precision_at_recall

_MODULES = {
    "Chunk": "chunks",
    "ChunkF1": "chunks",
    "ClassScores": "classes",
    "EC57": "ec57",
    "EpochMeans": "means",
    "EpochMetrics": "means",
    "LabelScores": "labels",
    "SampleMean": "means",
    "best_threshold": "labels",
    "class_scores": "classes",
    "class_table": "classes",
    "cosine_similarity": "retrieval",
    "count_chunks": "chunks",
    "detection_scores": "ec57",
    "detection_table": "ec57",
    "ec57_scores": "ec57",
    "ec57_table": "ec57",
    "find_chunks": "chunks",
    "masked_mse": "images",
    "match_beats": "ec57",
    "matched_labels": "ec57",
    "precision_at_recall": "retrieval",
    "psnr": "images",
    "psnr_from_mse": "images",
}

__all__ = [
    "EC57",
    "Chunk",
    "ChunkF1",
    "ClassScores",
    "EpochMeans",
    "EpochMetrics",
    "LabelScores",
    "SampleMean",
    "best_threshold",
    "class_scores",
    "class_table",
    "cosine_similarity",
    "count_chunks",
    "detection_scores",
    "detection_table",
    "ec57_scores",
    "ec57_table",
    "find_chunks",
    "masked_mse",
    "match_beats",
    "matched_labels",
    "precision_at_recall",
    "psnr",
    "psnr_from_mse",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"zoo.metrics.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'zoo.metrics' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
