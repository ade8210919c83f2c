"""What a search leaves: a table, the best recipe, and figures."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from zoo.errors import in_one_line, needs
from zoo.files import write_atomically
from zoo.recipes import Recipe
from zoo.tuning.sampling import ERROR, is_ended
from zoo.tuning.space import Parameter, by_section, with_settings

optuna = needs("optuna", "tune")

FIGURES = ("history", "importance", "slices", "parallel_coordinates")


def ended_trials(study: Any) -> list[Any]:
    """Return the trials that have ended, by number; those that were killed are none."""
    return [trial for trial in study.get_trials(deepcopy=False) if is_ended(trial)]


def ranked_trials(study: Any) -> list[Any]:
    """Return the trials with a value, the best first."""
    found = [trial for trial in ended_trials(study) if trial.state.name == "COMPLETE"]
    return sorted(found, key=lambda trial: trial.value, reverse=study.direction.name == "MAXIMIZE")


def values_of(trial: Any, space: Sequence[Parameter]) -> dict[str, Any]:
    """Return the values of a trial by parameter."""
    return {p.name: p.value_of(trial.params[p.name]) for p in space if p.name in trial.params}


def state_of(trial: Any) -> str:
    """Return how a trial ended, in one word."""
    return {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}.get(trial.state.name, "running")


def write_table(study: Any, space: Sequence[Parameter], metric: str, path: Path) -> None:
    """Write the trials that have ended as a CSV file, one a row."""
    text = io.StringIO()
    names = [p.name for p in space]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "state", metric, "epochs", "seconds", *names, "error"])
    for trial in ended_trials(study):
        about = trial.user_attrs
        row = [trial.number, state_of(trial), "" if trial.value is None else trial.value]
        row += [about.get("epochs", ""), about.get("seconds", "")]
        writer.writerow([*row, *(trial.params.get(name, "") for name in names), about.get(ERROR, "")])
    write_atomically(path, text.getvalue().encode())


def best_recipe(recipe: Recipe, params: dict[str, Any], note: str) -> dict[str, Any]:
    """Return the sections of a recipe with the values of its best trial."""
    found = with_settings(recipe, by_section(params))
    parts = {
        field.name: getattr(found, field.name) for field in fields(found) if field.name not in ("name", "tune", "note")
    }
    parts["claim"] = [claim.to_dict() for claim in recipe.claim]
    return {**{key: value for key, value in parts.items() if value}, "note": note}


def write_recipe(parts: dict[str, Any], path: Path) -> None:
    """Write a recipe's sections as a YAML file."""
    text = yaml.safe_dump(parts, sort_keys=False, width=110, allow_unicode=True, default_flow_style=None)
    write_atomically(path, text.encode())


def draw_figures(study: Any, folder: Path, metric: str) -> list[str]:
    """Draw a study: the history, the importance of each parameter, slices and parallel coordinates.

    Returns:
        One line for each figure that cannot be drawn.
    """
    import matplotlib.pyplot as plt

    draw = optuna.visualization.matplotlib
    drawn = study_of_results(study)
    calls = {
        "history": lambda: draw.plot_optimization_history(drawn, target_name=metric),
        "importance": lambda: draw.plot_param_importances(drawn, target_name=metric),
        "slices": lambda: draw.plot_slice(drawn, target_name=metric),
        "parallel_coordinates": lambda: draw.plot_parallel_coordinate(drawn, target_name=metric),
    }
    lines = []
    for name in FIGURES:
        before = plt.get_fignums()
        try:
            with warnings.catch_warnings(), plt.ioff(), plt.rc_context({"figure.dpi": 120}):
                warnings.simplefilter("ignore")
                _check_drawable(drawn, name)
                axes = calls[name]()
                figure = (axes.flat[0] if hasattr(axes, "flat") else axes).figure
                _tidy(figure, name, len(drawn.best_params))
                content = io.BytesIO()
                figure.savefig(content, format="png", bbox_inches="tight")
            write_atomically(folder / f"{name}.png", content.getvalue())
        except Exception as error:
            (folder / f"{name}.png").unlink(missing_ok=True)  # of an earlier search, which it does not show
            lines.append(f"{name}.png cannot be drawn: {in_one_line(error)}")
        finally:
            for number in set(plt.get_fignums()) - set(before):
                plt.close(number)
    return lines


def _check_drawable(study: Any, name: str) -> None:
    values = {trial.value for trial in study.trials}
    if name == "importance" and len(study.trials) < 2:
        raise ValueError("it takes at least 2 complete trials")
    if name == "importance" and len(values) < 2:
        raise ValueError("all trials have the same value")


def _tidy(figure: Any, name: str, count: int) -> None:
    widths = {"slices": max(6.0, 3.2 * count), "parallel_coordinates": max(7.0, 2.4 * (count + 1))}
    figure.set_size_inches(widths.get(name, 7.0), 4.2)


def study_of_results(study: Any) -> Any:
    """Return a study in memory of the complete trials alone, under the short names of their parameters."""
    found = optuna.create_study(direction=study.direction.name.lower())
    for trial in ended_trials(study):
        if trial.state.name == "COMPLETE":
            found.add_trial(trial)
    return found
