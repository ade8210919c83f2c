"""Sample-weighted means over an epoch, kept on the device until the epoch ends."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric


class SampleMean(Metric):
    """Mean of a quantity over samples and processes, from means of batches; not a number once one batch's is.

    torchmetrics' own ``MeanMetric`` ignores the weights under ``nan_strategy="disable"``, and otherwise waits for the
    device to look for such batches.
    """

    full_state_update = False
    total: Tensor
    samples: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("samples", torch.tensor(0.0), dist_reduce_fx="sum")

    def update(self, means: Tensor, sizes: Tensor) -> None:
        """Add the means (B,) of B batches of the given sizes (B,)."""
        # Not in place: sums of float64 are float64.
        self.total = self.total + (means * sizes).sum()
        self.samples = self.samples + sizes.sum()

    def compute(self) -> Tensor:
        """Return the mean over all samples, a scalar."""
        return self.total / self.samples


class EpochMeans:
    """Mean of each quantity over the samples of an epoch and over all processes.

    A quantity arrives as the mean of a batch or as one value a sample. Batches are only collected; they are summed
    every ``flush`` batches, so that a step costs no arithmetic and no synchronisation with the device.

    Args:
        flush: Number of batches collected before they are summed.
    """

    def __init__(self, flush: int = 1024) -> None:
        self.flush = flush
        self._means: dict[str, SampleMean] = {}
        self._pending: list[dict[str, Tensor]] = []
        self._sizes: list[int] = []

    def add(self, values: dict[str, Tensor], size: int) -> None:
        """Collect the means (scalars) or the values (``size``,) of one batch of ``size`` samples."""
        self._pending.append(values)
        self._sizes.append(size)
        if len(self._sizes) >= self.flush:
            self._sum()

    def _sum(self) -> None:
        for name in self._pending[0] if self._pending else ():
            found = [batch[name] for batch in self._pending]
            by_sample = found[0].ndim > 0
            values = torch.cat(found) if by_sample else torch.stack(found)
            values = values if values.dtype == torch.float64 else values.float()  # half precision counts too coarsely
            weights = values.new_ones(len(values)) if by_sample else values.new_tensor(self._sizes)
            if name not in self._means:
                self._means[name] = SampleMean().to(values.device)
            self._means[name].update(values, weights)
        self._pending, self._sizes = [], []

    def compute(self) -> dict[str, Tensor]:
        """Return the means since the last call, by name, and start anew."""
        self._sum()
        means = {name: metric.compute() for name, metric in self._means.items()}
        self.reset()
        return means

    def reset(self) -> None:
        """Start anew."""
        self._pending, self._sizes = [], []
        for metric in self._means.values():
            metric.reset()
