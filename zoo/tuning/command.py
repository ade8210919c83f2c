"""The command ``zoo tune``."""

from __future__ import annotations

import argparse
import sys
from typing import Any


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add the arguments of ``zoo tune`` to its parser."""
    command.add_argument("recipe", metavar="RECIPE|FILE.yaml")
    command.add_argument("--space", metavar="FILE.yaml", help="search space (default: the recipe's section tune)")
    command.add_argument("--method", default="bayes", metavar="grid|random|bayes", help="default bayes")
    command.add_argument("--trials", type=int, default=30, metavar="N", help="trials over all processes (default 30)")
    command.add_argument("--jobs", type=int, default=1, metavar="J", help="processes (default 1)")
    command.add_argument(
        "--storage",
        metavar="FILE|URL",
        help="journal file or database that processes and machines share (default runs/tune/<study>/study.journal)",
    )
    command.add_argument("--study", metavar="NAME", help="name of the study (default: the recipe's)")
    command.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the draws and of each training")
    command.add_argument("--no_prune", action="store_true", help="train hopeless trials to their end too")


def run_tune(args: argparse.Namespace, overrides: dict[str, dict[str, Any]]) -> int:
    """Run ``zoo tune`` and return its exit status."""
    from rich.console import Console

    from zoo.tuning import tune

    with Progress(args.trials) as progress:
        found = tune(
            args.recipe,
            args.space,
            method=args.method,
            trials=args.trials,
            jobs=args.jobs,
            storage=args.storage,
            study=args.study,
            seed=args.seed,
            prune=not args.no_prune,
            overrides=overrides,
            show=progress.show,
        )
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    console.print(_table(found))
    for line in found.remarks:
        print(line, file=sys.stderr)
    print(f"\nresults: {found.folder}")
    print(f"next: zoo fit {found.best}")
    print(f"      tensorboard --logdir {found.folder}")
    return 0


def _table(found: Any) -> Any:
    """Return the best trials as a table of Rich."""
    from rich.table import Table

    from zoo.tuning.report import ended_trials, ranked_trials, state_of

    ranked, ended = ranked_trials(found.study), ended_trials(found.study)
    counts = {state: sum(state_of(trial) == state for trial in ended) for state in ("complete", "pruned", "failed")}
    title = f"\n{len(ended)} trials: " + ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    table = Table(title=title, title_justify="left", title_style="bold", box=None, header_style="bold", pad_edge=False)
    table.add_column("trial", justify="right")
    table.add_column(found.metric, justify="right")
    table.add_column("epochs", justify="right")
    table.add_column("s", justify="right")
    for name in found.params:
        table.add_column(name, justify="right")
    for trial in ranked[:10]:
        values = [f"{v:.4g}" if isinstance(v, float) else str(v) for v in (trial.params.get(n) for n in found.params)]
        about = trial.user_attrs
        row = [str(trial.number), f"{trial.value:.4f}", str(about.get("epochs", "")), f"{about.get('seconds', 0):.1f}"]
        table.add_row(*row, *values, style="green" if trial is ranked[0] else None)
    return table


class Progress:
    """A bar of the trials that have ended, with the best value; lines where the output is no terminal.

    Args:
        total: Number of trials.
    """

    def __init__(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self.console = Console(stderr=True, highlight=False)
        self.told: set[int] = set()
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
        self.bar = Bar(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=self.console)
        self.task = self.bar.add_task("", total=total)

    def __enter__(self) -> Progress:
        if self.console.is_terminal:
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self.bar.stop()

    def show(self, trials: list[Any], total: int, metric: str, mode: str) -> None:
        """Show how far a search is."""
        from zoo.tuning.sampling import ERROR, is_ended

        ended = [trial for trial in trials if is_ended(trial)]
        values = [trial.value for trial in ended if trial.state.name == "COMPLETE"]
        best = (min if mode == "min" else max)(values, default=None)
        running = sum(trial.state.name == "RUNNING" for trial in trials)
        text = f"best {metric} {best:.4f}" if best is not None else metric
        self.bar.update(self.task, completed=len(ended), total=total, description=f"{text}, {running} running")
        first = not self.told
        for trial in ended:
            if trial.number in self.told:
                continue
            self.told.add(trial.number)
            if ERROR in trial.user_attrs:
                self.console.print(
                    f"trial {trial.number} failed: {trial.user_attrs[ERROR]}", markup=False, soft_wrap=True
                )
            elif not self.console.is_terminal and not (first and len(ended) > 1):
                value = "" if trial.value is None else f" {trial.value:.4f}"
                state = trial.state.name.lower()
                self.console.print(
                    f"trial {trial.number} {state}{value} ({len(ended)} of {total}, {text})",
                    markup=False,
                    soft_wrap=True,
                )
        if first and len(ended) > 1:
            self.console.print(f"going on with {len(ended)} trials of {total}", markup=False)
