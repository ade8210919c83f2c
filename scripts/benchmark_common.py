"""Cases, settings and helper functions that the contenders of ``benchmark.py`` share.

Heavy packages are imported inside the functions, because the parent process imports this module too: on Linux the peak
memory of a child process starts at that of its parent.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

BATCH, WORKERS, TRAIN, VAL = 128, 2, 55_000, 5_000
EVALUATION_BATCH = 1_000
"""Batch size of the hand-written evaluation, as in the PyTorch examples; larger batches do not fit a CPU's cache."""
OPTIMIZER = {"optimizer": "adam", "lr": 1e-3}
FAST_RECIPE = "cnn.mnist_fast"
TEXT_RECIPE, BEATS_RECIPE = "lstm_seq2seq.fra_eng", "ecg_classifier.mitbih"


class Case(NamedTuple):
    """A model to be timed on MNIST.

    Args:
        label: Name of the model in the table.
        model: Registered name of the model.
        args: Arguments of the model that differ from the defaults.
        share: Divisor of the number of rows: the model is timed on ``1 / share`` of the data.
        chunk: Value of ``batches_per_step`` for the contender ``zoo``.
    """

    label: str
    model: str
    args: dict[str, Any] = {}
    share: int = 1
    chunk: int = 16


CASES = {
    "logistic_regression": Case("logistic regression", "logistic_regression", chunk=64),
    "mlp_small": Case("MLP 784-128-10", "mlp", {"hidden_dims": [128]}, chunk=64),
    "mlp": Case("MLP 784-256-128-10", "mlp"),
    "lenet5": Case("CNN (LeNet-5)", "lenet5"),
    # The network dominates the time of an epoch whatever the pipeline, so that a sixteenth of the data is enough.
    "cnn": Case("CNN (32-64-128), N/16", "cnn", share=16),
}


def peak_mib() -> float:
    """Return the peak resident memory of this process, in MiB."""
    import resource

    # The unit of ``ru_maxrss`` is bytes on macOS and KiB on Linux.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def now(device: str) -> float:
    """Return the time in seconds after all work queued on the device has finished."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()
    return time.perf_counter()


def durations(starts: list[float], warm_up: int) -> list[float]:
    """Return the differences between consecutive times, without the first ``warm_up`` ones."""
    return [end - start for start, end in itertools.pairwise(starts)][warm_up:]


def tensors(job: dict[str, Any], train: bool = True) -> tuple[Any, Any]:
    """Return the images, of shape (N, 1, 28, 28) and type uint8, and the labels of a split on the device."""
    from torchvision.datasets import MNIST

    data = MNIST(job["root"], train=train)
    return data.data[:, None].to(job["device"]), data.targets.to(job["device"])


def evaluate(net: Any, x: Any, y: Any, scale: Callable[[Any], Any]) -> tuple[float, float]:
    """Return the mean loss and the accuracy over all rows."""
    import torch
    import torch.nn.functional as F

    net.eval()
    loss, right = torch.zeros((), device=x.device), torch.zeros((), device=x.device)
    with torch.no_grad():
        for images, labels in zip(x.split(EVALUATION_BATCH), y.split(EVALUATION_BATCH), strict=True):
            scores = net(scale(images))
            loss += F.cross_entropy(scores, labels, reduction="sum")
            right += (scores.argmax(1) == labels).sum()
    return loss.item() / len(x), right.item() / len(x)


def train(net: Any, optimizer: Any, x: Any, y: Any, batch: int, scale: Callable[[Any], Any]) -> float:
    """Train for one epoch by a hand-written loop and return the mean loss."""
    import torch
    import torch.nn.functional as F

    net.train()
    total = torch.zeros((), device=x.device)
    for rows in torch.randperm(len(x), device=x.device).split(batch):
        # ``index_select`` gathers rows of bytes many times faster than ``x[rows]``.
        loss = F.cross_entropy(net(scale(x.index_select(0, rows))), y.index_select(0, rows))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.detach() * len(rows)
    return total.item() / len(x)


def to_unit(x: Any) -> Any:
    """Scale bytes to floating-point numbers in [0, 1]."""
    return x.float().div_(255)


def build(job: dict[str, Any], recipe: Any, **settings: Any) -> tuple[Any, Any, Any]:
    """Build model, datamodule and trainer of a recipe, and truncate the splits to the numbers of rows of the job.

    Args:
        job: Settings of the job.
        recipe: The ``Recipe``, or its entries.
        **settings: Arguments of ``Recipe.build``.
    """
    from zoo.recipes import Recipe

    accelerator = {"accelerator": "gpu" if job["device"] == "cuda" else "cpu", "devices": 1}
    settings["trainer"] = {**accelerator, **settings.get("trainer", {})}
    run = Path(job["folder"]) / f"run_{os.getpid()}_{time.monotonic_ns()}"
    made = Recipe(**recipe) if isinstance(recipe, dict) else recipe
    model, data, trainer = made.build(**settings, run=run)
    data.setup()
    for split in ("train", "val"):
        if split in job and job[split] < len(data.splits[split].groups):
            data.splits[split] = data.splits[split].take(range(job[split]))
    return model, data, trainer


def timed_fit(job: dict[str, Any], model: Any, data: Any, trainer: Any) -> list[float]:
    """Fit the model and return the seconds of each epoch, measured from its start to the start of the next."""
    import lightning as L

    class Finished(Exception):  # noqa: N818
        """Raised after the last epoch to be timed."""

    class Clock(L.Callback):
        def on_train_epoch_start(self, trainer: Any, model: Any) -> None:
            starts.append(now(job["device"]))
            if len(starts) > job["warm_up"] + job["epochs"]:
                raise Finished

    starts: list[float] = []
    trainer.callbacks.append(Clock())
    with contextlib.suppress(Finished):
        trainer.fit(model, data)
    return durations(starts, job["warm_up"])
