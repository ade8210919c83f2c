"""Sample-weighted means over an epoch, kept on the device until the epoch ends."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import MeanMetric


class EpochMeans:
    """Mean of each quantity over the samples of an epoch and over all processes.

    A quantity arrives as the mean of a batch. Batches are only collected; they are summed every ``flush`` batches, so
    that a step costs no arithmetic and no synchronisation with the device.

    Args:
        flush: Number of batches collected before they are summed.
    """

    def __init__(self, flush: int = 1024) -> None:
        self.flush = flush
        self._means: dict[str, MeanMetric] = {}
        self._pending: list[dict[str, Tensor]] = []
        self._sizes: list[int] = []

    def add(self, values: dict[str, Tensor], size: int) -> None:
        """Collect the scalar means of one batch of ``size`` samples."""
        self._pending.append(values)
        self._sizes.append(size)
        if len(self._sizes) >= self.flush:
            self._sum()

    def _sum(self) -> None:
        for name in self._pending[0] if self._pending else ():
            values = torch.stack([batch[name] for batch in self._pending]).float()
            if name not in self._means:
                self._means[name] = MeanMetric(nan_strategy="disable").to(values.device)
            self._means[name].update(values, torch.tensor(self._sizes, dtype=torch.float32, device=values.device))
        self._pending, self._sizes = [], []

    def compute(self) -> dict[str, Tensor]:
        """Return the means since the last call, by name, and start anew."""
        self._sum()
        means = {name: metric.compute() for name, metric in self._means.items()}
        for metric in self._means.values():
            metric.reset()
        return means
