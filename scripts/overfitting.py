"""Train a large MLP on 1,000 MNIST pictures, and fight over-fitting with one control after the other.

    python scripts/overfitting.py            nothing, L1, L2, dropout, early stopping, all of them, and more data
    python scripts/overfitting.py --large    five epochs of an MLP of 100 million parameters

The strength of each control is chosen on validation pictures. The chosen one is then trained with every seed, which
also draws the pictures, and measured on the test split once. A large MLP takes a GPU, or several among which its
parameters are divided (FSDP).
"""

import argparse
import functools
import os
import sys
from typing import Any

import torch
from demonstrations import WIDTH, command_line, count, draw_band, fit, one_line_errors, save, seeded
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from datamodules import create_datamodule
from datamodules.base import TensorDataModule
from zoo.recipes.claims import mean_std

HIDDEN, PICTURES, BATCH = [512, 512], 1_000, 100
EPOCHS = 30
VAL_SIZE = 2_000
LR = 1e-3
GRIDS: dict[str, list[dict[str, Any]]] = {
    "nothing": [{}],
    "L1": [{"l1": strength} for strength in (1e-5, 3e-5, 1e-4)],
    "L2": [{"l2": strength} for strength in (1e-3, 1e-2, 3e-2)],
    "dropout": [{"dropout": p} for p in (0.25, 0.5, 0.75)],
    "early stopping": [{"patience": epochs} for epochs in (2, 5)],
}
"""Strengths of each control, from which the one of highest validation accuracy is taken."""
ALL_SCALES = (1.0, 0.3)
"""Factors of the chosen strengths when all are used together."""
MORE = {10_000: 0.25, None: 0.08}
"""Numbers of training pictures, None for all, and the share of the epochs that they are trained for."""
LARGE = [6880, 6880, 6880]
LARGE_EPOCHS = 5


@functools.lru_cache(maxsize=6)
def pictures(size: int | None, seed: int) -> TensorDataModule:
    """Return MNIST with some training pictures, read once for the trainings that follow each other."""
    batch = min(BATCH, size or BATCH)
    return create_datamodule(
        "mnist", train_size=size, val_size=VAL_SIZE, seed=seed, batch_size=batch, batches_per_step=16
    )


def train(hidden: list[int], settings: dict[str, Any], seed: int, epochs: int, bar: tqdm, label: str) -> dict[str, Any]:
    """Train with one setting and seed; return the curves, the last or kept epoch's figures, and how to test it."""
    settings = dict(settings)
    data, patience = pictures(settings.pop("pictures", PICTURES), seed), settings.pop("patience", None)
    model = seeded(seed, "mlp", hidden_dims=hidden, lr=LR, **settings)
    history, trainer = fit(model, data, epochs, bar, label, patience=patience)
    losses = history["val_loss"]
    kept = losses.index(min(losses)) if patience is not None else -1
    found = {name: values[kept] for name, values in history.items()}
    return {"history": history, "found": found, "trainer": trainer, "model": model, "data": data}


def choose(hidden: list[int], name: str, grid: list[dict[str, Any]], epochs: int, seeds: int, bar: tqdm) -> list[Any]:
    """Return each setting of a grid with its validation accuracy, the best first."""
    tried = []
    for settings in grid:
        scores = []
        for seed in range(seeds):
            scores.append(train(hidden, settings, seed, epochs, bar, f"{name}, choosing")["found"]["val_accuracy"])
        tried.append((settings, sum(scores) / len(scores)))
    return sorted(tried, key=lambda pair: -pair[1])


def combined(chosen: dict[str, dict[str, Any]], scale: float) -> dict[str, Any]:
    """Return the chosen strengths together, all but the patience times a factor."""
    together = {key: value for settings in chosen.values() for key, value in settings.items()}
    return {key: value if key == "patience" else value * scale for key, value in together.items()}


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Choose the strengths, train all seeds, and return what was measured."""
    more = {size: max(1, round(share * args.epochs)) for size, share in MORE.items()}
    choices = sum(len(grid) for grid in GRIDS.values() if len(grid) > 1) + len(ALL_SCALES)
    total = choices * args.epochs * args.choosing_seeds
    total += args.seeds * (args.epochs * (len(GRIDS) + 1) + sum(more.values()))
    chosen, tried, rows = {}, {}, {}
    with tqdm(total=total, unit="epoch") as bar:
        grids = dict(GRIDS)
        for name in [*GRIDS, "all of them"]:
            grid = grids.get(name) or [combined(chosen, scale) for scale in ALL_SCALES]
            if len(grid) > 1:
                tried[name] = choose(args.hidden, name, grid, args.epochs, args.choosing_seeds, bar)
            chosen[name] = tried[name][0][0] if name in tried else grid[0]
        runs = {name: (settings, args.epochs) for name, settings in chosen.items()}
        for size, epochs in more.items():
            runs[f"{size or 60_000 - VAL_SIZE:,} pictures"] = ({"pictures": size}, epochs)
        for name, (settings, epochs) in runs.items():
            found, histories = [], []
            for seed in range(args.seeds):
                one = train(args.hidden, settings, seed, epochs, bar, name)
                (test,) = one["trainer"].test(one["model"], one["data"], verbose=False)
                found.append({**one["found"], **test, "gap": one["found"]["train_accuracy"] - test["test_accuracy"]})
                histories.append(one["history"])
            updates = -(-len(one["data"].splits["train"].groups) // one["data"].batch_size)
            rows[name] = {
                "settings": settings,
                "epochs": epochs,
                "updates_an_epoch": updates,
                "metrics": {key: mean_std([each[key] for each in found]) for key in found[0]},
                "curves": histories,
            }
    parameters = sum(parameter.numel() for parameter in one["model"].parameters())
    return {
        "model": {"name": "mlp", "hidden_dims": args.hidden, "lr": LR, "parameters": parameters},
        "data": {"name": "mnist", "train_size": PICTURES, "val_size": VAL_SIZE, "batch_size": BATCH},
        "seeds": args.seeds,
        "choosing_seeds": args.choosing_seeds,
        "tried": {name: [{**one, "val_accuracy": score} for one, score in pairs] for name, pairs in tried.items()},
        "rows": rows,
    }


def described(settings: dict[str, Any]) -> str:
    """Return the strengths of a control in a few words."""
    return ", ".join(f"{key} {value:g}" for key, value in settings.items() if key != "pictures") or "no control"


def draw(numbers: dict[str, Any]) -> Figure:
    """Draw the losses of training and validation pictures, a panel for each control."""
    rows = numbers["rows"]
    figure = Figure(figsize=(15, 7.2), layout="constrained")
    panels = figure.subplots(2, -(-len(rows) // 2), sharey=True).flat
    for axes, (name, row) in zip(panels, rows.items()):
        longest = max(len(history["val_loss"]) for history in row["curves"])
        updates = [row["updates_an_epoch"] * (epoch + 1) for epoch in range(longest)]
        for key, colour, label in (("train_loss", "tab:blue", "training"), ("val_loss", "tab:orange", "validation")):
            runs = [history[key] for history in row["curves"]]
            draw_band(axes, updates, runs, color=colour, label=label, marker="." if longest < 9 else None)
        test, gap = row["metrics"]["test_accuracy"], row["metrics"]["gap"]
        axes.set_title(
            f"{name}\n{described(row['settings'])}\ntest {100 * test['mean']:.2f} ± {100 * test['std']:.2f} %, "
            f"gap {100 * gap['mean']:.2f} %",
            fontsize=10,
        )
        axes.set(yscale="log", xlabel="updates")
        axes.grid(alpha=0.3)
    for axes in figure.axes[:: -(-len(rows) // 2)]:
        axes.set_ylabel("cross-entropy")
    figure.axes[0].legend()
    figure.suptitle(
        f"An MLP of {numbers['model']['parameters']:,} parameters on {PICTURES:,} MNIST pictures: "
        f"mean and standard deviation of {numbers['seeds']} seeds"
    )
    return figure


def show(numbers: dict[str, Any]) -> None:
    """Print the table: accuracies in percent, the gap between training and test."""
    table = Table(title="Over-fitting, mean ± standard deviation over seeds")
    heads = ("train_accuracy", "val_accuracy", "test_accuracy", "gap", "train_loss", "val_loss")
    for head in ("control", "strength", *heads):
        table.add_column(head.replace("_", " "))
    for name, row in numbers["rows"].items():
        cells = []
        for head in heads:
            factor, digits = (1, 4) if head.endswith("loss") else (100, 2)
            mean, std = (factor * row["metrics"][head][key] for key in ("mean", "std"))
            cells.append(f"{mean:.{digits}f}" + ("" if head.endswith("loss") else f" ± {std:.{digits}f}"))
        table.add_row(name, described(row["settings"]), *cells)
    Console(width=WIDTH).print(table)


def train_large(args: argparse.Namespace, data: TensorDataModule) -> dict[str, Any]:
    """Train an MLP of about 100 million parameters for a few epochs."""
    several = args.accelerator != "cpu" and torch.cuda.device_count() > 1
    settings: dict[str, Any] = {"accelerator": args.accelerator, "limit_train_batches": args.batches}
    if args.accelerator != "cpu":
        settings |= {"precision": "bf16-mixed", "devices": "auto", "strategy": "fsdp" if several else "auto"}
    model = seeded(0, "mlp", hidden_dims=args.hidden, lr=1e-4)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"{parameters:,} parameters, {55_000:,} pictures: {parameters / 55_000:,.1f} parameters a picture")
    first = os.environ.get("LOCAL_RANK", "0") == "0"  # of several processes, which Lightning starts
    with tqdm(total=args.epochs, unit="epoch", disable=not first) as bar:
        history, _ = fit(model, data, args.epochs, bar, "large MLP", **settings)
    return {
        "parameters": parameters,
        "hidden_dims": args.hidden,
        "epochs": args.epochs,
        "curves": history,
        "first": first,
    }


def draw_large(numbers: dict[str, Any]) -> Figure:
    """Draw loss and accuracy of the large MLP after each epoch."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    epochs = range(1, len(numbers["curves"]["val_loss"]) + 1)
    for axes, quantity in zip(figure.subplots(1, 2), ("loss", "accuracy")):
        for part, label in (("train", "training"), ("val", "validation")):
            axes.plot(epochs, numbers["curves"][f"{part}_{quantity}"], marker="o", label=label)
        axes.set(xlabel="epoch", ylabel=quantity)
        axes.set_xticks(list(epochs))
        axes.legend()
    figure.suptitle(f"MLP of {numbers['parameters']:,} parameters on MNIST")
    return figure


def main() -> None:
    parser = command_line(__doc__, seeds=5, choosing_seeds=1)
    parser.add_argument("--epochs", type=count, help=f"epochs; default: {EPOCHS}, with --large {LARGE_EPOCHS}")
    parser.add_argument("--hidden", type=count, nargs="+", help=f"hidden widths; default: {HIDDEN}, --large: {LARGE}")
    parser.add_argument("--large", action="store_true", help="train the MLP of 100 million parameters instead")
    parser.add_argument("--accelerator", choices=["auto", "gpu", "cpu"], default="auto", help="of --large")
    parser.add_argument("--batches", type=count, help="of --large: batches an epoch; needed with --accelerator cpu")
    args = parser.parse_args()
    if not args.large and (args.batches or args.accelerator != "auto"):
        parser.error("--batches and --accelerator belong to --large: add it or leave them out")
    if args.large and args.accelerator == "cpu" and not args.batches:
        parser.error("--accelerator cpu: five epochs take hours; bound them by --batches, such as --batches 20")
    if args.large and args.accelerator != "cpu" and not torch.cuda.is_available():
        parser.error("--large needs a GPU and there is none: add --accelerator cpu --batches 20 to try it on the CPU")
    args.epochs = args.epochs or (LARGE_EPOCHS if args.large else EPOCHS)
    args.hidden = args.hidden or (LARGE if args.large else HIDDEN)
    with one_line_errors(parser, args.output):
        if args.large:
            data = create_datamodule("mnist", batch_size=256)
            numbers = train_large(args, data)
            if numbers.pop("first"):
                save(args.output, "overfitting_large", draw_large(numbers), numbers)
        else:
            numbers = run(args)
            show(numbers)
            save(args.output, "overfitting", draw(numbers), numbers)


if __name__ == "__main__":
    sys.exit(main())
