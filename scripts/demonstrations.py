"""What the scripts of the lecture's demonstrations share: their command line, a quiet fit, and their files."""

import argparse
import contextlib
import io
import json
import logging
import os
import re
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from figure_files import FIGURES
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tqdm import tqdm

import zoo
from datamodules.base import TensorDataModule
from zoo.base import ZooModule
from zoo.files import write_files

History = dict[str, list[float]]
"""Values of a metric after each epoch, by name."""
MEASURED_ROWS = 5_000
"""Largest number of training rows whose loss and accuracy are measured after each epoch."""


WIDTH = 140
"""Width of a table on the terminal, in characters."""


def command_line(description: str | None, **defaults: int) -> argparse.ArgumentParser:
    """Return a parser with ``--output``, a folder, and counts of at least 1 with these defaults."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=FIGURES, help="folder of the figure and the numbers")
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=count, default=value, help=f"number of {name}; default: {value}")
    return parser


def count(word: str) -> int:
    """Read a number of at least 1."""
    value = int(word)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is too small: at least 1")
    return value


@contextlib.contextmanager
def one_line_errors(parser: argparse.ArgumentParser, output: Path = Path()) -> Iterator[None]:
    """Answer what goes wrong inside the block with one line and status 2, and silence Lightning's notes.

    Args:
        parser: Parser of the command line.
        output: Folder that is written into.
    """
    place = next(path for path in (output.resolve(), *output.resolve().parents) if path.exists())
    if not place.is_dir():
        parser.error(f"--output {output}: {place}: this is a file, give a folder")
    if not os.access(place, os.W_OK):
        parser.error(f"--output {output}: {place} cannot be written to")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            yield
    except (ValueError, OSError, ModuleNotFoundError) as error:
        parser.error(str(error))


class Curves(Callback):
    """Record loss and accuracy after each epoch, and show them on a bar.

    The training rows are measured as the validation rows are: after the epoch, without dropout and without penalties.

    Args:
        bar: Bar that is moved by one each epoch.
        label: What the bar says is trained.
    """

    def __init__(self, bar: tqdm, label: str) -> None:
        self.bar, self.label = bar, label
        self.history: History = {"train_loss": [], "train_accuracy": [], "val_loss": [], "val_accuracy": []}
        self._rows: tuple[torch.Tensor, torch.Tensor] | None = None

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Measure the training rows, and take what was measured of the validation rows."""
        assert isinstance(pl_module, ZooModule)
        measured = {name: float(trainer.callback_metrics[name]) for name in self.history}
        if trainer.world_size == 1:  # else the weights are divided, and what training logged is taken
            with pl_module.evaluating():
                measured |= self.measure_training(trainer, pl_module)
        for name, value in measured.items():
            self.history[name].append(value)
        self.bar.set_postfix(
            fit=self.label, train_loss=f"{measured['train_loss']:.4f}", val_accuracy=f"{measured['val_accuracy']:.4f}"
        )
        self.bar.update()

    @torch.no_grad()
    def measure_training(self, trainer: L.Trainer, model: ZooModule) -> dict[str, float]:
        """Return loss and accuracy of the training rows, or of some thousands evenly spaced among them."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        if self._rows is None:
            x, y = data.splits["train"].tensors
            every = -(-len(y) // MEASURED_ROWS)
            self._rows = data.to_natural_units(x[::every]), y[::every]
        found = [
            (model.step((x.to(model.device), y.to(model.device))), len(y))
            for x, y in zip(*(part.split(256) for part in self._rows), strict=True)
        ]
        n = sum(size for _, size in found)
        return {
            "train_loss": sum(float(values["loss"]) * size for values, size in found) / n,
            "train_accuracy": sum(float(values["accuracy"].float().sum()) for values, _ in found) / n,
        }


def fit(
    model: ZooModule,
    data: TensorDataModule,
    epochs: int,
    bar: tqdm,
    label: str,
    *,
    patience: int | None = None,
    callbacks: Sequence[Callback] = (),
    **trainer: Any,
) -> tuple[History, L.Trainer]:
    """Train a model and return its curves.

    Args:
        model: The model.
        data: The datamodule.
        epochs: Largest number of epochs.
        bar: Bar that is moved by ``epochs``.
        label: What the bar says is trained.
        patience: If given, training stops after as many epochs without a lower validation loss, and the weights of the
            lowest are kept.
        callbacks: Further callbacks.
        **trainer: Further arguments of the Trainer.
    """
    curves, before = Curves(bar, label), bar.n
    with tempfile.TemporaryDirectory() as folder:
        stopping: list[Any] = []
        if patience is not None:
            stopping = [
                EarlyStopping("val_loss", patience=patience),
                ModelCheckpoint(folder, monitor="val_loss", save_weights_only=True),
            ]
        settings = {
            "accelerator": "cpu",
            "logger": False,
            "enable_model_summary": False,
            "enable_progress_bar": False,
            "enable_checkpointing": patience is not None,
            "num_sanity_val_steps": 0,
        }
        runner = L.Trainer(**{**settings, **trainer}, max_epochs=epochs, callbacks=[curves, *stopping, *callbacks])
        runner.fit(model, data)
        if stopping:
            kept = torch.load(stopping[1].best_model_path, weights_only=True)
            model.load_state_dict(kept["state_dict"])
    bar.update(before + epochs - bar.n)  # the epochs that early stopping spared
    return curves.history, runner


def seeded(seed: int, name: str, **settings: Any) -> ZooModule:
    """Return a new model whose initial weights and further draws depend on the seed alone."""
    L.seed_everything(seed, verbose=False)
    return zoo.create_model(name, **settings)


def draw_band(axes: Axes, x: Sequence[float], runs: Sequence[Sequence[float]], **style: Any) -> None:
    """Draw the mean of the runs, and a band of one standard deviation; shorter runs leave the mean when they end."""
    longest = max(map(len, runs))
    values = np.full((len(runs), longest), np.nan)
    for row, run in zip(values, runs):
        row[: len(run)] = run
    mean, spread = np.nanmean(values, 0), np.nanstd(values, 0)
    (line,) = axes.plot(x[:longest], mean, **style)
    low = np.maximum(mean - spread, np.nanmin(values, 0))
    axes.fill_between(x[:longest], low, mean + spread, color=line.get_color(), alpha=0.2, linewidth=0)


def save(output: Path, name: str, shown: Figure | str, numbers: dict[str, Any]) -> None:
    """Write ``<name>.png``, or a page as ``<name>.md``, and ``<name>.json`` into a folder, each as a whole."""
    text = re.sub(r"\[[^\[\]{}]*\]", lambda found: " ".join(found[0].split()), json.dumps(rounded(numbers), indent=1))
    picture = io.BytesIO()
    if isinstance(shown, Figure):
        shown.savefig(picture, format="png", dpi=100)
    page = output / f"{name}.{'md' if isinstance(shown, str) else 'png'}"
    content = shown.encode() if isinstance(shown, str) else picture.getvalue()
    write_files({output / f"{name}.json": f"{text}\n".encode(), page: content})
    print(output / f"{name}.json", page, sep="\n")


def rounded(value: Any) -> Any:
    """Return a nested value with its floats rounded to six significant digits; what is not finite becomes None."""
    if isinstance(value, dict):
        return {str(key): rounded(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(each) for each in value]
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.6g}") if np.isfinite(value) else None
    return value
