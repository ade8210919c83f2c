"""Compare grid search, random search and Bayesian optimisation on a recipe, paired by repeat.

    python scripts/tuning_comparison.py
    python scripts/tuning_comparison.py --trials 4 --repeats 2 --output comparison

Each repeat runs the methods with its own seed, which is that of the split, of each training and of the draws, so
that they differ in the trials alone. The value of a trial is the best ``val_loss`` over its epochs; nothing is stopped
early, and the test split stays closed. The recipe is ``mlp.digits`` over the four parameters of its section ``tune``,
trained for 30 epochs in place of 60: one trial takes about 2 s on one core. With 30 trials the grid has 24 points
(2 x 3 x 2 x 2), the largest regular one of at most 30. Its levels are the middles of equal parts of each range, as in
``zoo tune``; ``grid_ends`` is a grid of as many points whose levels begin and end with the range. The first ten trials
of random search and of Bayesian optimisation are the same. All takes about 20 minutes on two cores.

An interrupted comparison goes on with the methods and repeats that are left. ``tuning.json`` has all values and the
paired differences with their 95 % t-intervals; ``tuning.png`` shows both.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import math
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
from demonstrations import command_line, one_line_errors

from zoo.errors import needs
from zoo.files import write_atomically

RECIPE = "mlp.digits"
EPOCHS = 30
METHODS = ("grid", "grid_ends", "random", "bayes")
PAIRS = (("grid", "random"), ("grid_ends", "random"), ("random", "bayes"))
PUBLISHED = (
    "Bergstra & Bengio 2012, Random Search for Hyper-Parameter Optimization: over 32 dimensions random search equals "
    "grid search and manual steps on 4 of 7 data sets and is better on 1, in a small fraction of the time"
)


def run_method(method: str, repeat: int, trials: int, epochs: int) -> list[float | None]:
    """Return the value of each trial of one method in one repeat; None where it was not finite."""
    import logging
    import warnings

    import optuna
    import torch

    from zoo.recipes import load_recipe
    from zoo.tuning.sampling import METHODS as SAMPLERS
    from zoo.tuning.sampling import make_sampler
    from zoo.tuning.space import check_space, with_settings
    from zoo.tuning.training import train_trial

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    recipe = with_settings(load_recipe(RECIPE), {"trainer": {"max_epochs": epochs}})
    space = check_space(recipe, recipe.tune)
    if method == "grid_ends":
        space = check_space(recipe, from_end_to_end(space, trials))
    sampler = make_sampler(method if method in SAMPLERS else "grid", space, trials, seed=repeat)
    study = optuna.create_study(sampler=sampler)
    values: list[float | None] = []
    for _ in range(len(sampler.points) if hasattr(sampler, "points") else trials):
        trial = study.ask()
        try:
            value = train_trial(recipe, {parameter.name: parameter.suggest(trial) for parameter in space}, repeat)
        except ArithmeticError:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            values.append(None)
        else:
            study.tell(trial, value)
            values.append(value)
    return values


def from_end_to_end(space: Sequence[Any], trials: int) -> dict[str, list[Any]]:
    """Return the levels of a grid of at most some trials whose ranges are divided from end to end."""
    from zoo.tuning.sampling import lay_grid

    found: dict[str, list[Any]] = {}
    for parameter in space:
        levels = lay_grid(space, trials)[parameter.name]
        if not parameter.choices and len(levels) > 1:
            spaced = np.geomspace if parameter.log else np.linspace
            levels = spaced(parameter.low, parameter.high, len(levels)).tolist()
            levels = [round(level) for level in levels] if parameter.whole else levels
        found[parameter.name] = list(parameter.choices) or levels
    return found


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean of values and the ends of its 95 % t-interval."""
    from scipy import stats

    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, math.nan, math.nan
    half = float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values)))
    return mean, mean - half, mean + half


def best_so_far(values: Sequence[float | None], trials: int) -> np.ndarray:
    """Return the best value after each trial; a grid with fewer points keeps its last."""
    best = np.fmin.accumulate(np.array(values, float))
    return np.concatenate([best, np.full(trials - len(best), best[-1])])


def lowest(values: Sequence[float | None]) -> float:
    """Return the best value of a search."""
    return min(value for value in values if value is not None)


def compare(values: dict[str, dict[str, list[float | None]]]) -> dict[str, Any]:
    """Return the paired differences of the best values, positive where the second method is better."""
    found = {}
    for one, other in PAIRS:
        repeats = sorted(values[one].keys() & values[other].keys(), key=int)
        differences = [lowest(values[one][repeat]) - lowest(values[other][repeat]) for repeat in repeats]
        mean, low, high = interval(differences)
        found[f"{one} - {other}"] = {"mean": mean, "low": low, "high": high, "values": differences}
    return found


def draw(results: dict[str, Any], path: Path) -> None:
    """Draw the best value by number of trials, and the paired differences."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    trials = results["trials"]
    steps = np.arange(1, trials + 1)
    for method in METHODS:
        curves = np.array([best_so_far(values, trials) for values in results["values"][method].values()])
        bands = np.array([interval(column) for column in curves.T])
        (line,) = left.plot(steps, bands[:, 0], label=method)
        left.fill_between(steps, bands[:, 1], bands[:, 2], color=line.get_color(), alpha=0.2, linewidth=0)
    left.set(xlabel="trials", ylabel="best val_loss so far", yscale="log", title=f"{RECIPE}: mean and 95 % interval")
    left.legend()
    for place, found in enumerate(results["differences"].values()):
        right.plot(found["values"], np.full(len(found["values"]), place), "o", color="0.6", markersize=4)
        error = [[found["mean"] - found["low"]], [found["high"] - found["mean"]]]
        right.errorbar(found["mean"], place + 0.12, xerr=error, fmt="D", color="C3", capsize=4)
    right.axvline(0, color="0.3", linewidth=1)
    names = [f"{one} \u2212 {other}" for one, other in PAIRS]
    right.set(yticks=range(len(names)), yticklabels=names, ylim=(-0.5, len(names) - 0.4))
    right.set(xlabel="difference in best val_loss", title=f"{results['repeats']} paired repeats, 95 % t-interval")
    figure.savefig(path, dpi=120)


def load_results(path: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the results of an interrupted comparison with the same settings, or empty ones."""
    if not path.is_file():
        return {**settings, "values": {method: {} for method in METHODS}}
    found = json.loads(path.read_text())
    for key in ("recipe", "epochs", "trials"):
        if found.get(key) != settings[key]:
            raise ValueError(
                f"{path} was made with {key} {found.get(key)}, not {settings[key]}: choose another --output"
            )
    return {**found, **settings}


def main() -> None:
    parser = command_line(__doc__, trials=30, repeats=10, epochs=EPOCHS, jobs=2)
    args = parser.parse_args()
    with one_line_errors(parser, args.output):
        needs("optuna", "tune")
        measure(args)


def measure(args: argparse.Namespace) -> None:
    """Run what is left of the comparison, and write its numbers and its figure."""
    path = args.output / "tuning.json"
    versions = {name: importlib.metadata.version(name) for name in ("torch", "lightning", "optuna")}
    settings = {"recipe": RECIPE, "epochs": args.epochs, "trials": args.trials, "repeats": args.repeats}
    results = load_results(path, {**settings, "published": PUBLISHED, "versions": versions})
    values = results["values"]

    def save() -> None:
        write_atomically(path, (json.dumps(results, indent=1) + "\n").encode())

    run_all(args, values, save)
    results["differences"] = compare(values)
    save()
    draw(results, args.output / "tuning.png")
    for name, found in results["differences"].items():
        print(f"{name}: {found['mean']:+.4f}, 95 % from {found['low']:+.4f} to {found['high']:+.4f}")
    print(path)


def run_all(args: argparse.Namespace, values: dict[str, dict[str, list[float | None]]], save: Any) -> None:
    """Run the methods and repeats that are left, in processes, with a bar that shows the best value of each method."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    from zoo.tuning.search import end_with_parent

    wanted = [(method, repeat) for repeat in range(args.repeats) for method in METHODS]
    left = [(method, repeat) for method, repeat in wanted if str(repeat) not in values[method]]
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    context = multiprocessing.get_context("spawn")
    with (
        Progress(*columns, TimeElapsedColumn()) as bar,
        ProcessPoolExecutor(args.jobs, mp_context=context, initializer=end_with_parent) as pool,
    ):
        task = bar.add_task("searches", total=len(wanted), completed=len(wanted) - len(left))
        futures: dict[Future[list[float | None]], tuple[str, int]] = {
            pool.submit(run_method, method, repeat, args.trials, args.epochs): (method, repeat)
            for method, repeat in left
        }
        try:
            for future in as_completed(futures):
                method, repeat = futures[future]
                values[method][str(repeat)] = future.result()
                save()
                means = {name: np.mean([lowest(v) for v in found.values()]) for name, found in values.items() if found}
                text = ", ".join(f"{name} {mean:.4f}" for name, mean in means.items())
                bar.update(task, advance=1, description=f"mean best val_loss: {text}")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


if __name__ == "__main__":
    main()
