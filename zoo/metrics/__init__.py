"""Metrics that torchmetrics lacks."""

from zoo.metrics.means import EpochMeans

__all__ = ["EpochMeans"]
