"""Search of hyper-parameters on Optuna: the best metric on validation over a space of a recipe's arguments."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.errors import needs
from zoo.recipes import Recipe, load_recipe


@dataclass(frozen=True)
class Tuning:
    """A finished search.

    Args:
        study: Optuna's study.
        params: Values of the best trial, by parameter.
        value: Best metric on validation.
        metric: Name of the metric.
        folder: Folder of the results.
        best: Path of the best recipe, a file that ``zoo fit`` takes.
        remarks: Lines on what could not be done, such as a figure.
    """

    study: Any
    params: dict[str, Any]
    value: float
    metric: str
    folder: Path
    best: Path
    remarks: list[str]


def tune(
    recipe: str | os.PathLike[str] | Recipe,
    space: Mapping[str, Any] | str | os.PathLike[str] | None = None,
    *,
    method: str = "bayes",
    trials: int = 30,
    jobs: int = 1,
    storage: str | None = None,
    study: str | None = None,
    seed: int = 0,
    prune: bool = True,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    show: Callable[[list[Any], int, str, str], None] | None = None,
) -> Tuning:
    """Search the hyper-parameters of a recipe; the test split stays closed.

    A trial trains the recipe with other arguments; its value is the best of the model's ``monitor`` on validation.
    The same call in another process or on another machine, with the same storage, joins the search; called again after
    an interrupt, or with more trials, it goes on with it. Under ``runs/tune/<study>/`` it writes ``best.yaml``,
    ``trials.csv``, figures, and TensorBoard's logs of each trial.

    Args:
        recipe: A recipe, its name, or the path of a user's file.
        space: By argument, ``"model.lr"``, a range ``{"low": 1e-4, "high": 0.1, "log": True}`` or a list of choices;
            the path of a YAML file of such a table; the recipe's section ``tune`` if None.
        method: ``"grid"``, ``"random"`` or ``"bayes"``.
        trials: Number of trials that end, over all processes; a grid may have fewer points.
        jobs: Number of processes.
        storage: Path of a journal file, or the URL of a database; ``runs/tune/<study>/study.journal`` if None.
        study: Name of the study; the recipe's title if None.
        seed: Seed of the draws and of each training.
        prune: Whether hopeless trials are stopped.
        overrides: Arguments by section, ``model``, ``data`` and ``trainer``, that replace the recipe's.
        show: Called with Optuna's trials, their final number, the metric and its mode when something may have changed.

    Returns:
        The best trial and where everything lies.

    Raises:
        ValueError: If an argument, the space or the storage is wrong, or all trials failed.
        FileNotFoundError: If there is no such file.
        ModuleNotFoundError: If Optuna is not installed.
    """
    needs("optuna", "tune")
    from zoo.tuning.report import (
        best_recipe,
        draw_figures,
        ended_trials,
        ranked_trials,
        values_of,
        write_recipe,
        write_table,
    )
    from zoo.tuning.search import Search, run_search

    search = Search.check(
        recipe if isinstance(recipe, Recipe) else load_recipe(recipe),
        space,
        method=method,
        trials=trials,
        jobs=jobs,
        storage=storage,
        study=study,
        seed=seed,
        prune=prune,
        overrides=overrides or {},
    )
    size = search.size

    def show_trials(trials: list[Any]) -> None:
        if show is not None:
            show(trials, size, search.monitor, search.mode)

    done = run_search(search, show_trials)
    write_table(done, search.space, search.monitor, search.folder / "trials.csv")
    ranked = ranked_trials(done)
    if not ranked:
        failed = [trial.user_attrs["error"] for trial in ended_trials(done) if "error" in trial.user_attrs]
        reason = f"; {len(failed)} failed, the last with: {failed[-1]}" if failed else ""
        raise ValueError(f"no trial of {size} has a value{reason}")
    params = values_of(ranked[0], search.space)
    note = (
        f"Best of {len(ended_trials(done))} trials ({method}, seed {seed}) of {search.recipe.name} on validation: "
        f"{search.monitor} {ranked[0].value:.6g} with " + ", ".join(f"{name} {value}" for name, value in params.items())
    )
    best = search.folder / "best.yaml"
    write_recipe(best_recipe(search.recipe, params, note), best)
    remarks = draw_figures(done, search.folder, search.monitor)
    return Tuning(done, params, ranked[0].value, search.monitor, search.folder, best, remarks)
