"""Metrics of an epoch: sample-weighted means, kept on the device until the epoch ends, and epoch-wise metrics."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


class SampleMean(Metric):
    """Weighted mean of a quantity over batches and processes; NaN if any value is NaN.

    torchmetrics' ``MeanMetric`` ignores the weights with ``nan_strategy="disable"`` and otherwise synchronises with the
    device to check for NaN.
    """

    full_state_update = False
    total: Tensor
    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("weight", torch.tensor(0.0), dist_reduce_fx="sum")

    def update(self, means: Tensor, weights: Tensor) -> None:
        """Add values (B,) and their weights (B,), such as the means and the sizes of B batches."""
        # Not in place, so that the sum of float64 values is float64.
        self.total = self.total + (means * weights).sum()
        self.weight = self.weight + weights.sum()

    def compute(self) -> Tensor:
        """Return the weighted mean of all values, a scalar."""
        return self.total / self.weight


class EpochMeans:
    """Mean of each quantity over the samples of an epoch and over all processes.

    A quantity is the mean of a batch or one value for each sample. Batches are collected and summed every ``flush``
    batches, so that a step takes no arithmetic and no synchronisation with the device.

    Args:
        flush: Number of batches collected before they are summed.
    """

    def __init__(self, flush: int = 1024) -> None:
        self.flush = flush
        self._means: dict[str, SampleMean] = {}
        self._pending: list[dict[str, Tensor]] = []
        self._sizes: list[tuple[int, Tensor | None]] = []

    def add(self, values: dict[str, Tensor], size: int, weight: Tensor | None = None) -> None:
        """Collect the quantities of a batch.

        Args:
            values: Means of the batch (scalars) or values of its samples (``size``,), by name.
            size: Number of samples.
            weight: Weight of the batch, a scalar, or of each sample (``size``,); the number of samples if None.
        """
        self._pending.append(values)
        self._sizes.append((size, weight))
        if len(self._sizes) >= self.flush:
            self._sum()

    def _sum(self) -> None:
        for name in self._pending[0] if self._pending else ():
            found = [batch[name] for batch in self._pending]
            by_sample = found[0].ndim > 0
            values = torch.cat(found) if by_sample else torch.stack(found)
            values = (
                values if values.dtype == torch.float64 else values.float()
            )  # half precision is too coarse for sums
            if name not in self._means:
                self._means[name] = SampleMean().to(values.device)
            self._means[name].update(values, self._weights(values, by_sample))
        self._pending, self._sizes = [], []

    def _weights(self, reference: Tensor, by_sample: bool) -> Tensor:
        """Return the weights of the collected values, with the dtype and device of a tensor."""
        if all(weight is None for _, weight in self._sizes):
            return (
                reference.new_ones(len(reference))
                if by_sample
                else reference.new_tensor([size for size, _ in self._sizes])
            )
        parts = []
        for size, weight in self._sizes:
            each = reference.new_ones(size) if weight is None else weight.to(reference)
            if by_sample:
                parts.append(each if each.ndim else (each / size).expand(size))
            else:
                parts.append(each.sum().reshape(1))
        return torch.cat(parts)

    def compute(self) -> dict[str, Tensor]:
        """Return the means since the last call, by name, and reset."""
        self._sum()
        means = {name: metric.compute() for name, metric in self._means.items()}
        self.reset()
        return means

    def reset(self) -> None:
        """Discard the collected batches."""
        self._pending, self._sizes = [], []
        for metric in self._means.values():
            metric.reset()


class EpochMetrics:
    """Metrics of one epoch of a stage: means of the values of ``step``, and epoch-wise metrics.

    ``rows`` counts the samples recorded since the epoch started.
    """

    def __init__(self) -> None:
        self.means = EpochMeans()
        self.rows = 0
        self.metrics: dict[str, Metric] = {}
        self.started = False

    def __getitem__(self, name: str) -> Metric:
        """Return a metric by name, which keeps its state until the next epoch starts."""
        return self.metrics[name]

    def start(self, metrics: dict[str, Metric], device: torch.device) -> None:
        """Start an epoch with new metrics on a device and discard the batches of an interrupted one."""
        self.means.reset()
        self.rows, self.started = 0, True
        self.metrics = {name: metric.to(device) for name, metric in metrics.items()}

    def record(self, values: dict[str, Any], size: int) -> None:
        """Add the values that ``step`` returned for a batch of ``size`` samples."""
        self.rows += size
        means = dict(values)
        for name in self.metrics.keys() & means.keys():
            self.metrics[name].update(*means.pop(name))
        weight = means.pop("weight", None)
        means = {name: value.detach() for name, value in means.items()}
        self.means.add(means, size, None if weight is None else weight.detach())

    def compute(self) -> dict[str, Tensor]:
        """Return the means and the scalar results of the metrics by name, without undefined ones."""
        found = self.means.compute()
        for name, metric in self.metrics.items():
            if metric.update_called:
                value = metric.compute()
                scalars = value if isinstance(value, dict) else {name: value}
                found.update({key: x for key, x in scalars.items() if x.ndim == 0 and not x.isnan()})
        return found
