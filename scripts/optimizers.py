"""Train the same MLP on MNIST with every optimiser, each at the learning rate that validation prefers.

    python scripts/optimizers.py

All optimisers share one logarithmic grid of rates, the initial weights and the order of the batches. A rate at which
the loss is no longer finite counts as accuracy 0. The test split stays closed.
"""

import argparse
import functools
import sys
from typing import Any

from demonstrations import WIDTH, History, command_line, draw_band, fit, one_line_errors, save, seeded
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from datamodules import create_datamodule
from datamodules.base import TensorDataModule
from zoo.recipes.claims import mean_std
from zoo.training.optim import OPTIMIZERS

HIDDEN = [256, 128]
PICTURES, VAL_SIZE, BATCH = 20_000, 5_000, 128
DECAY = {"adamw": 0.01}
"""Weight decay, torch's default; without it AdamW is Adam."""
RATES = [float(f"{10 ** (k / 2):.1g}") for k in range(-8, 1)]
"""The grid of learning rates, two a decade from 0.0001 to 1."""


@functools.lru_cache(maxsize=4)
def pictures(size: int, seed: int) -> TensorDataModule:
    """Return MNIST with some training pictures, read once for the trainings that follow each other."""
    return create_datamodule(
        "mnist", train_size=size, val_size=VAL_SIZE, seed=seed, batch_size=min(BATCH, size), batches_per_step=16
    )


def train(optimizer: str, lr: float, seed: int, args: argparse.Namespace, bar: tqdm, label: str) -> History | None:
    """Return the curves of one training; None if the loss is no longer finite."""
    settings = {"hidden_dims": HIDDEN, "optimizer": optimizer, "weight_decay": DECAY.get(optimizer, 0.0)}
    model, start = seeded(seed, "mlp", lr=lr, **settings), bar.n
    try:
        return fit(model, pictures(args.pictures, seed), args.epochs, bar, label)[0]
    except FloatingPointError:
        bar.update(start + args.epochs - bar.n)
        return None


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Choose each optimiser's rate with seed 0, train with all seeds, and return what was measured."""
    rows: dict[str, Any] = {}
    with tqdm(total=len(OPTIMIZERS) * args.epochs * (len(RATES) + args.seeds), unit="epoch") as bar:
        for name in OPTIMIZERS:
            tried = {}
            for rate in RATES:
                history = train(name, rate, 0, args, bar, f"{name} {rate:g}, choosing")
                tried[rate] = history["val_accuracy"][-1] if history else 0.0
            best = max(tried, key=lambda rate: tried[rate])
            found = [train(name, best, seed, args, bar, f"{name} {best:g}") for seed in range(args.seeds)]
            curves = [history for history in found if history]
            if not curves:
                raise ValueError(f"{name} diverges with every seed at lr={best:g}: extend RATES downwards")
            rows[name] = {
                "lr": best,
                "weight_decay": DECAY.get(name, 0.0),
                "at_the_edge_of_the_grid": best in (RATES[0], RATES[-1]),
                "diverged_seeds": len(found) - len(curves),
                "val_accuracy_by_lr": tried,
                "metrics": {key: mean_std([history[key][-1] for history in curves]) for key in curves[0]},
                "curves": curves,
            }
    return {
        "model": {"name": "mlp", "hidden_dims": HIDDEN},
        "data": {"name": "mnist", "train_size": args.pictures, "val_size": VAL_SIZE, "batch_size": BATCH},
        "epochs": args.epochs,
        "seeds": args.seeds,
        "rows": rows,
    }


def draw(numbers: dict[str, Any]) -> Figure:
    """Draw training loss and validation accuracy after each epoch, and the accuracy at each rate of the grid."""
    figure = Figure(figsize=(15, 4.8), layout="constrained")
    loss, accuracy, grid = figure.subplots(1, 3)
    epochs = [epoch + 1 for epoch in range(numbers["epochs"])]
    for name, row in numbers["rows"].items():
        label = f"{name}, lr {row['lr']:g}"
        draw_band(loss, epochs, [history["train_loss"] for history in row["curves"]], label=label, marker=".")
        errors = [[100 * (1 - value) for value in history["val_accuracy"]] for history in row["curves"]]
        draw_band(accuracy, epochs, errors, label=label, marker=".")
        tried = row["val_accuracy_by_lr"]
        grid.plot(list(tried), [100 * value for value in tried.values()], marker=".", label=name)
    loss.set(yscale="log", xlabel="epoch", ylabel="cross-entropy", title="training loss")
    accuracy.set(yscale="log", xlabel="epoch", ylabel="error (%)", title="validation error")
    grid.set(xscale="log", xlabel="learning rate", ylabel="accuracy (%)", title="validation accuracy by rate, seed 0")
    loss.legend(fontsize=9)
    for axes in (loss, accuracy, grid):
        axes.grid(alpha=0.3, which="both")
    seeds = f"mean and standard deviation of {numbers['seeds']} seeds"
    figure.suptitle(f"Optimisers on {numbers['data']['train_size']:,} MNIST pictures, MLP {HIDDEN}: {seeds}")
    return figure


def show(numbers: dict[str, Any]) -> None:
    """Print the figures of the last epoch, and which rates lie at an end of the grid."""
    table = Table(title=f"Optimisers after {numbers['epochs']} epochs, mean ± standard deviation over seeds")
    for head in ("optimiser", "learning rate", "training loss", "validation loss", "validation accuracy (%)"):
        table.add_column(head)
    for name, row in numbers["rows"].items():
        cells = [
            f"{factor * row['metrics'][key]['mean']:.{digits}f} ± {factor * row['metrics'][key]['std']:.{digits}f}"
            for key, factor, digits in (("train_loss", 1, 4), ("val_loss", 1, 4), ("val_accuracy", 100, 2))
        ]
        edge = " (end of the grid)" if row["at_the_edge_of_the_grid"] else ""
        table.add_row(name, f"{row['lr']:g}{edge}", *cells)
    Console(width=WIDTH).print(table)


def main() -> None:
    parser = command_line(__doc__, seeds=3, epochs=12, pictures=PICTURES)
    args = parser.parse_args()
    with one_line_errors(parser, args.output):
        numbers = run(args)
        show(numbers)
        save(args.output, "optimizers", draw(numbers), numbers)


if __name__ == "__main__":
    sys.exit(main())
