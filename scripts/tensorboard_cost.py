"""Time the epochs of recipes with and without TensorBoard, in turns, and compare the medians.

    python scripts/tensorboard_cost.py cnn.mnist ecg_classifier.mitbih --epochs 4 --rounds 3

The last column is the share of the time inside the hooks of the callbacks themselves, which other work on the machine
disturbs least. Only epochs of at least five seconds are of interest; shorter ones are marked.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from statistics import median
from typing import Any

import lightning as L
from demonstrations import count, one_line_errors

import zoo
from zoo.callbacks import TensorBoardCallback
from zoo.callbacks.pace import SHORT

RECIPES = ["cnn.mnist", "vae.mnist", "lstm_seq2seq.fra_eng", "ecg_classifier.mitbih"]
HOOKS = [
    f"on_{name}"
    for name in ("train_epoch_start", "train_epoch_end", "validation_start", "validation_batch_end", "validation_end")
]


class Clock(L.Callback):
    """Seconds of each epoch, its validation and its drawing included, and of the hooks of other callbacks."""

    def __init__(self) -> None:
        self.epochs: list[float] = []
        self.hooks: list[float] = []
        self.start = self.inside = 0.0

    def on_train_epoch_start(self, trainer: Any, model: Any) -> None:
        """Start the clock."""
        self.start, self.inside = time.perf_counter(), 0.0

    def on_train_epoch_end(self, trainer: Any, model: Any) -> None:
        """Stop the clock."""
        self.epochs.append(time.perf_counter() - self.start)
        self.hooks.append(self.inside)

    def watch(self, callback: Any) -> None:
        """Count the seconds in the hooks of a callback."""
        for name in HOOKS:
            setattr(callback, name, self.timed(getattr(callback, name)))

    def timed(self, hook: Any) -> Any:
        """Return a hook that adds its seconds to those of the epoch."""

        def run(*args: Any, **options: Any) -> None:
            start = time.perf_counter()
            hook(*args, **options)
            self.inside += time.perf_counter() - start

        return run


def epochs(name: str, on: bool, folder: str, settings: dict[str, Any]) -> tuple[list[float], list[float]]:
    """Train a recipe; return the seconds of its epochs and those in the hooks of the callbacks for TensorBoard."""
    off = {} if on else {"logger": False}
    quiet = {"enable_progress_bar": False, "enable_model_summary": False}
    model, data, trainer = zoo.load_recipe(name).build(trainer={**settings, **quiet, **off}, run=folder)
    clock = Clock()
    for callback in trainer.callbacks:
        if isinstance(callback, TensorBoardCallback):
            clock.watch(callback)
    trainer.callbacks.append(clock)
    trainer.fit(model, data)
    return clock.epochs, clock.hooks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=RECIPES, metavar="RECIPE")
    parser.add_argument("--epochs", type=count, default=4, help="epochs of a fit (default 4)")
    parser.add_argument("--rounds", type=count, default=3, help="fits of each kind (default 3)")
    parser.add_argument("--batches", type=count, help="training batches of an epoch (default all)")
    args = parser.parse_args()
    with one_line_errors(parser):
        print_costs(args)


def print_costs(args: argparse.Namespace) -> None:
    """Print a table, one row a recipe."""
    settings = {"max_epochs": args.epochs, **({"limit_train_batches": args.batches} if args.batches else {})}
    print(f"{'recipe':28} {'off':>9} {'on':>9} {'cost':>8} {'in hooks':>9}")
    for name in args.recipes:
        seconds: dict[bool, list[float]] = {False: [], True: []}
        hooks = []
        for number in range(2 * args.rounds):
            on = number % 4 in (1, 2)  # off on on off off on ...: a drift of the machine cancels
            with tempfile.TemporaryDirectory() as folder:
                found, inside = epochs(name, on, f"{folder}/version_0", settings)
            seconds[on] += found
            hooks += inside if on else []
        off, with_it = median(seconds[False]), median(seconds[True])
        share = sum(hooks) / sum(seconds[True])
        note = f"   shorter than {SHORT:g} s" if off < SHORT else ""
        print(f"{name:28} {off:7.2f} s {with_it:7.2f} s {with_it / off - 1:+8.1%} {share:9.1%}{note}", flush=True)


if __name__ == "__main__":
    main()
