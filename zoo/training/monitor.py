"""Names of the metrics that a model will log, found before it is trained."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch

from zoo.errors import unknown

ROWS = 8
"""Number of validation rows that are looked at."""


def check_monitor(model: Any, data: Any) -> None:
    """Raise ``ValueError`` for a ``monitor`` that a model does not log; the line names those that it does.

    Args:
        model: A ``ZooModule``.
        data: Its datamodule, set up.
    """
    stage, _, name = model.monitor.partition("_")
    names = logged_names(model, data)
    if name not in names or stage not in ("train", "val"):
        raise unknown("monitor", model.monitor, [f"val_{each}" for each in names])


def logged_names(model: Any, data: Any) -> list[str]:
    """Return the names of the metrics of a validation, without the stage."""
    split = data.splits["val"]
    rows = split.take(np.arange(min(ROWS, len(split.groups))))
    metrics = model.configure_metrics()
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]), torch.no_grad(), model.evaluating():
        warnings.simplefilter("ignore")  # some metrics are undefined for so few rows
        batch = data.decode_batch(rows.tensors)
        model.check_batch(batch)
        values = model.step(batch)
        for name in metrics.keys() & values.keys():
            metrics[name].update(*values.pop(name))
            found = metrics[name].compute()
            values.update(found if isinstance(found, dict) else {name: found})
    return sorted(values.keys() - {"weight"})
