"""Metrics that torchmetrics lacks."""

from zoo.metrics.means import EpochMeans, SampleMean
from zoo.metrics.retrieval import cosine_similarity, precision_at_recall

__all__ = ["EpochMeans", "SampleMean", "cosine_similarity", "precision_at_recall"]
