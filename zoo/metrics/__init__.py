"""Metrics that torchmetrics lacks."""

from zoo.metrics.ec57 import EC57, ec57_scores, ec57_table, match_beats, matched_labels
from zoo.metrics.means import EpochMeans, SampleMean
from zoo.metrics.retrieval import cosine_similarity, precision_at_recall

__all__ = [
    "EC57",
    "EpochMeans",
    "SampleMean",
    "cosine_similarity",
    "ec57_scores",
    "ec57_table",
    "match_beats",
    "matched_labels",
    "precision_at_recall",
]
