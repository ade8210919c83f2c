"""A search: what each of its processes knows, and the processes."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.errors import in_one_line, needs, unknown
from zoo.recipes import RUNS, Recipe
from zoo.training.interrupts import INTERRUPTED, TERMINATED, Terminated, lightning_interrupts, sigterm_raises
from zoo.tuning.sampling import METHODS, is_ended, make_sampler
from zoo.tuning.space import Parameter, check_space, load_space, with_settings
from zoo.tuning.storage import describe_storage_error, open_study, storage_errors
from zoo.tuning.training import train_trial
from zoo.tuning.workers import WAIT, Watch, run_trials

optuna = needs("optuna", "tune")

JOURNAL = "study.journal"
STARTUP = 5
"""Number of complete trials before one is stopped early."""


@dataclass(frozen=True)
class Search:
    """A search that has been checked.

    Args:
        recipe: What is searched, with the settings of all trials.
        space: The parameters.
        method: ``"grid"``, ``"random"`` or ``"bayes"``.
        trials: Number of trials.
        jobs: Number of processes.
        storage: Path of a journal file, or the URL of a database.
        study: Name of the study.
        seed: Seed of the draws and of each training.
        prune: Whether hopeless trials are stopped.
        monitor: Metric that trials are compared by.
        mode: ``"min"`` or ``"max"``.
        folder: Folder of the results.
    """

    recipe: Recipe
    space: tuple[Parameter, ...]
    method: str
    trials: int
    jobs: int
    storage: str
    study: str
    seed: int
    prune: bool
    monitor: str
    mode: str
    folder: Path

    @classmethod
    def check(
        cls,
        recipe: Recipe,
        space: Any,
        *,
        method: str,
        trials: int,
        jobs: int,
        storage: str | None,
        study: str | None,
        seed: int,
        prune: bool,
        overrides: Mapping[str, Mapping[str, Any]],
    ) -> Search:
        """Return a search after everything that can be checked before its first trial."""
        if method not in METHODS:
            raise unknown("method", method, METHODS)
        for name, number in {"trials": trials, "jobs": jobs}.items():
            if isinstance(number, bool) or not isinstance(number, int) or number < 1:
                raise ValueError(f"{name} takes a whole number of at least 1, not {number!r}")
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
            raise ValueError(f"seed takes a whole number from 0 to {2**32 - 1}, not {seed!r}")
        study = recipe.title if study is None else study
        if not re.fullmatch(r"[\w.+-]{1,100}", study) or study.strip(".") == "":
            raise ValueError(f"study takes a name of letters, digits, '.', '_', '+' and '-', not {study!r}")
        if space is None:
            space = recipe.tune
        elif isinstance(space, (str, os.PathLike)):
            space = load_space(Path(space))
        recipe = with_settings(recipe, overrides)
        parameters = check_space(recipe, space)
        monitor, mode = _check_metric(recipe)
        folder = RUNS / "tune" / study
        _check_writable(folder)
        place = str(folder / JOURNAL) if storage is None else str(storage)
        found = tuple(parameters)
        return cls(recipe, found, method, trials, jobs, place, study, seed, prune, monitor, mode, folder)

    @property
    def size(self) -> int:
        """Number of trials; a grid may have fewer points."""
        return len(self.sampler().points) if self.method == "grid" else self.trials

    def sampler(self) -> Any:
        """Return Optuna's sampler."""
        return make_sampler(self.method, self.space, self.trials, self.seed, parallel=True)

    def open(self) -> Any:
        """Return Optuna's study."""
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        searched = {
            "recipe": self.recipe.title,
            "space": {parameter.name: parameter.to_table() for parameter in self.space},
            "method": self.method,
            "metric": self.monitor,
            "seed": self.seed,
            "configuration": self.recipe.configuration,
        }
        if self.method == "grid":
            searched["number of points"] = self.trials
        epochs = self.recipe.trainer.get("max_epochs") or 0
        pruner = optuna.pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=max(1, epochs // 4))
        direction = "minimize" if self.mode == "min" else "maximize"
        return open_study(self.storage, self.study, direction, searched, self.sampler(), pruner)

    def objective(self, trial: Any) -> float:
        """Train one trial and return its value."""
        params = {parameter.name: parameter.suggest(trial) for parameter in self.space}
        folder = self.folder / f"trial_{trial.number}"
        return train_trial(self.recipe, params, self.seed, folder, trial, self.prune)


def _check_metric(recipe: Recipe) -> tuple[str, str]:
    """Return monitor and mode of a recipe whose validation rows are not trained on."""
    from zoo.training.monitor import check_monitor
    from zoo.tuning.space import build_trial

    model, data, trainer = build_trial(recipe, {}, 0)
    if getattr(data, "train_on_all", False):
        raise ValueError(
            f"{recipe.name} trains on its validation rows: nothing is left to compare trials on; "
            "--data.train_on_all false keeps them apart"
        )
    if not str(model.monitor).startswith("val_"):
        raise ValueError(f"{recipe.name} monitors {model.monitor}: trials are compared on validation, by a val_ metric")
    if not trainer.limit_val_batches:
        raise ValueError(f"{recipe.name} has limit_val_batches=0: trials are compared on validation")
    data.prepare_data()
    data.setup("fit")
    check_monitor(model, data)
    return model.monitor, model.mode


def _check_writable(folder: Path) -> None:
    """Make a folder and raise unless files can be written into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".zoo-"):
            pass
    except OSError as error:
        raise ValueError(f"{folder} cannot be written to ({error.strerror})") from error


def run_search(search: Search, show: Callable[[list[Any]], None]) -> Any:
    """Run the trials of a search that are left and return its study.

    Raises:
        ValueError: If the storage no longer answers.
    """
    try:
        study = search.open()
        if search.jobs == 1:
            run_trials(study, search.size, search.objective, show)
        else:
            _run_processes(search, study, show)
        return study
    except storage_errors() as error:
        raise ValueError(f"storage of study {search.study!r}: {describe_storage_error(error)}") from error


def _run_processes(search: Search, study: Any, show: Callable[[list[Any]], None]) -> None:
    """Start processes that share a study, and others for those that are killed, until it has all its trials."""
    context = multiprocessing.get_context("spawn")
    size, killed = search.size, 0

    def start() -> Any:
        process = context.Process(target=_work, args=(search,), daemon=False)
        process.start()
        return process

    watch = Watch()
    processes: list[Any] = []
    try:
        while True:
            trials = watch.bury_dead(study)
            show(trials)
            if sum(map(is_ended, trials)) >= size:
                return
            for process in [process for process in processes if process.exitcode is not None]:
                processes.remove(process)
                if process.exitcode == 2:
                    raise ValueError(
                        f"a process of the search ended: its line is above; {search.study!r} can be gone on with"
                    )
                killed += process.exitcode != 0
                if killed > search.jobs + size:
                    raise ValueError(f"{killed} processes of the search were killed: out of memory? try fewer --jobs")
            while len(processes) < min(search.jobs, size):
                processes.append(start())
            time.sleep(WAIT)
    finally:
        for process in processes:
            process.join(timeout=2 if sys.exc_info()[0] is None else 0)
            if process.is_alive():
                process.terminate()
        for process in processes:
            process.join(timeout=15)
            if process.is_alive():
                process.kill()


def _work(search: Search) -> None:
    """Run trials in a process of its own; it ends with the one that started it."""
    import logging
    import warnings

    import torch

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // search.jobs))
    end_with_parent()
    try:
        with sigterm_raises(), lightning_interrupts():
            run_trials(search.open(), search.size, search.objective, lambda trials: None)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Terminated:
        sys.exit(TERMINATED)
    except Exception as error:
        text = describe_storage_error(error) if isinstance(error, storage_errors()) else in_one_line(error)
        print(f"zoo: error: {text}", file=sys.stderr, flush=True)
        sys.exit(2)


def end_with_parent() -> None:
    """Let this process be ended by SIGTERM once the one that started it is gone, killed for instance."""

    def watch() -> None:
        parent = multiprocessing.parent_process()
        while parent is not None and parent.is_alive():
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
