"""Search spaces: which arguments of a recipe are searched, over which ranges or choices."""

from __future__ import annotations

import json
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zoo.arguments import check_arguments, current_names, renamed_arguments, signature
from zoo.errors import unknown
from zoo.recipes import Recipe
from zoo.recipes.schema import read_yaml

KEYS = ("low", "high", "log")
SECTIONS = ("model", "data", "trainer")
FIXED = {
    "model": {"monitor": "what is compared"},
    "data": {"seed": "the split", "val_size": "the split", "train_on_all": "the split", "root": "the data"},
    "trainer": {
        "limit_val_batches": "the rows validated on",
        "check_val_every_n_epoch": "how often is validated",
        "callbacks": "what the search sets",
        "logger": "what the search sets",
        "plugins": "what the search sets",
        "profiler": "what the search sets",
        "default_root_dir": "what the search sets",
        "enable_checkpointing": "what the search sets",
        "enable_progress_bar": "what the search sets",
        "enable_model_summary": "what the search sets",
        "fast_dev_run": "what is compared",
    },
}
"""Arguments with which trials could not be compared, and what they change."""


@dataclass(frozen=True)
class Parameter:
    """One searched argument: a range, or choices.

    Args:
        name: ``<section>.<argument>``, such as ``"model.lr"``.
        low: Lower end of the range, inclusive.
        high: Upper end of the range, inclusive.
        log: Whether the range is searched in the logarithm.
        whole: Whether only whole numbers of the range are taken.
        choices: The values to choose from; without any the parameter is a range.
    """

    name: str
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False
    choices: tuple[Any, ...] = ()

    @property
    def labels(self) -> list[str]:
        """The choices as texts, under which a study stores them."""
        return [value if isinstance(value, str) else json.dumps(value) for value in self.choices]

    @property
    def extremes(self) -> list[Any]:
        """The ends of the range, or all choices."""
        return list(self.choices) if self.choices else [self.low, self.high]

    def suggest(self, trial: Any) -> Any:
        """Return the value of an Optuna trial."""
        if self.choices:
            return self.choices[self.labels.index(trial.suggest_categorical(self.name, self.labels))]
        suggest = trial.suggest_int if self.whole else trial.suggest_float
        return suggest(self.name, self.low, self.high, log=self.log)

    def value_of(self, stored: Any) -> Any:
        """Return the value of the argument for a value that a study stores."""
        return self.choices[self.labels.index(stored)] if self.choices else stored

    def to_table(self) -> Any:
        """Return the parameter as a search space writes it."""
        return list(self.choices) if self.choices else {"low": self.low, "high": self.high, "log": self.log}


def load_space(path: str | Path) -> dict[str, Any]:
    """Read a search space from a user's YAML file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a YAML file of a table.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"--space {path}: no such file; it is a YAML file such as `model.lr: {{low: 1.0e-4, ...}}`"
        )
    content = read_yaml(path, f"--space {path}")
    if isinstance(content, dict) and set(content) == {"tune"}:
        content = content["tune"]
    if not isinstance(content, dict):
        raise ValueError(f"--space {path}: expected a table of parameters such as `model.lr: {{low: 1.0e-4, ...}}`")
    return content


def check_space(recipe: Recipe, table: Mapping[str, Any]) -> list[Parameter]:
    """Return the parameters of a search space, each checked against the recipe.

    Names, ranges and types are compared with the arguments of the recipe's model, datamodule and trainer, which are
    then built with both ends of each range and with each choice.

    Args:
        recipe: What is searched.
        table: By argument, ``"model.lr"``, a range ``{"low": ..., "high": ..., "log": ...}`` or a list of choices.

    Raises:
        ValueError: If anything is wrong with it; the line names the parameter.
    """
    if not isinstance(table, Mapping):
        raise ValueError(f"the search space is a table of parameters, not {table!r}")
    if not table:
        raise ValueError(
            f"{recipe.name} has no section 'tune': name a search space with --space FILE.yaml, "
            "such as `model.lr: {low: 1.0e-4, high: 1.0e-1, log: true}`"
        )
    classes = searched_classes(recipe)
    space: list[Parameter] = []
    for name, entry in table.items():
        parameter = _read(name, entry, classes)
        if parameter.name in [other.name for other in space]:
            raise ValueError(f"{name}: {parameter.name} is in the search space already, under another name")
        space.append(parameter)
    base, _, _ = build_trial(recipe, {}, 0)
    for parameter in space:
        for value in parameter.extremes:
            try:
                model, _, _ = build_trial(recipe, {parameter.name: value}, 0)
            except (ValueError, OSError, ImportError) as error:
                raise ValueError(f"{parameter.name} of the search space: {error}") from error
            if (model.monitor, model.mode) != (base.monitor, base.mode):
                raise ValueError(
                    f"{parameter.name} {value!r} changes the metric: trials are compared by {base.monitor}"
                )
    return space


def searched_classes(recipe: Recipe) -> dict[str, tuple[str, type]]:
    """Return by section the owner of its arguments, as messages name it, and its class."""
    import lightning as L

    from zoo.registry import find_model

    return {
        "model": (f"model {recipe.model['name']}", find_model(recipe.model["name"]).cls),
        "data": (f"datamodule {recipe.data['name']}", type(recipe.datamodule())),
        "trainer": ("the trainer", L.Trainer),
    }


def by_section(params: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return values by section and argument."""
    found: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for name, value in params.items():
        section, _, key = name.partition(".")
        found[section][key] = value
    return found


def with_settings(recipe: Recipe, settings: Mapping[str, Mapping[str, Any]]) -> Recipe:
    """Return a recipe with other arguments, by section."""
    classes = searched_classes(recipe)

    def merged(section: str, args: Mapping[str, Any]) -> dict[str, Any]:
        cls = classes[section][1]
        return {**current_names(cls, dict(args)), **current_names(cls, dict(settings.get(section, {})))}

    model, data = (
        {**part, "args": merged(section, part.get("args", {}))}
        for section, part in (("model", recipe.model), ("data", recipe.data))
    )
    return replace(recipe, model=model, data=data, trainer=merged("trainer", recipe.trainer))


def build_trial(recipe: Recipe, params: Mapping[str, Any], seed: int, **trainer: Any) -> tuple[Any, Any, Any]:
    """Build model, datamodule and trainer of a recipe for one trial; nothing is written.

    Args:
        recipe: What is searched.
        params: Values by parameter.
        seed: Seed of the training.
        **trainer: Further arguments of the trainer.
    """
    quiet = {"enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    chosen = with_settings(recipe, by_section(params))
    return chosen.build(trainer={**quiet, "logger": False, **trainer}, seed=seed)


def _read(name: Any, entry: Any, classes: Mapping[str, tuple[str, type]]) -> Parameter:
    """Check one entry of a search space, but for what only building shows."""
    section, dot, key = str(name).partition(".")
    if not isinstance(name, str) or not dot or not key:
        raise ValueError(
            f"parameter {name!r} of the search space has no section: {' or '.join(f'{s}.{name}' for s in SECTIONS)}"
        )
    if section not in SECTIONS:
        raise unknown("section of the search space", section, SECTIONS)
    owner, cls = classes[section]
    key = renamed_arguments(cls).get(key, key)
    if key not in signature(cls):
        raise unknown(f"parameter of the search space: {owner} has no argument", key, signature(cls))
    if key in FIXED[section]:
        raise ValueError(f"{name} cannot be searched: it changes {FIXED[section][key]}")
    name = f"{section}.{key}"
    if isinstance(entry, Mapping):
        return _read_range(name, entry, owner, cls)
    if isinstance(entry, (list, tuple)):
        return _read_choices(name, list(entry), owner, cls)
    raise ValueError(
        f"{name} of the search space takes {{low: ..., high: ..., log: true}} or a list of choices, not {entry!r}"
    )


def _read_range(name: str, entry: Mapping[str, Any], owner: str, cls: type) -> Parameter:
    key = name.partition(".")[2]
    for part in entry:
        if part not in KEYS:
            raise unknown(f"key of the range {name}", part, KEYS)
    for part in ("low", "high"):
        if part not in entry:
            raise ValueError(f"range {name} has no {part!r}: it takes {{low: ..., high: ..., log: true}}")
    log = entry.get("log", False)
    if not isinstance(log, bool):
        raise ValueError(f"range {name}: log takes true or false, not {log!r}")
    low, high = (_number(f"range {name}: {part}", entry[part]) for part in ("low", "high"))
    if not low < high:
        raise ValueError(f"range {name} is empty: low {low:g} is not below high {high:g}")
    if log and low <= 0:
        raise ValueError(f"range {name}: a logarithmic range starts above 0, not at {low:g}")
    kinds = _kinds(signature(cls)[key].annotation)
    if not kinds & {int, float}:
        check_arguments(owner, cls, {key: low})  # says what it takes
        raise ValueError(f"{name} takes no numbers: give a list of choices, not a range")
    whole = float not in kinds or (int in kinds and isinstance(low, int) and isinstance(high, int))
    if whole:
        for value in (low, high):
            if value != int(value):
                raise ValueError(f"range {name}: {owner} takes whole numbers for {key}, not {value!r}")
        low, high = int(low), int(high)
        if max(abs(low), abs(high)) >= 2**53:
            raise ValueError(f"range {name}: whole numbers up to 2**53 are searched, not {max(low, high, key=abs)}")
    else:
        low, high = float(low), float(high)
    for value in (low, high):
        check_arguments(owner, cls, {key: value})
    return Parameter(name, low, high, log, whole)


def _read_choices(name: str, choices: list[Any], owner: str, cls: type) -> Parameter:
    key = name.partition(".")[2]
    if not choices:
        raise ValueError(f"{name} of the search space has an empty list of choices")
    for value in choices:
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError):
            raise ValueError(
                f"{name} of the search space: a choice is a number, a text or a list, not {value!r}"
            ) from None
        check_arguments(owner, cls, {key: value})
    found = Parameter(name, choices=tuple(choices))
    twice = next((label for i, label in enumerate(found.labels) if label in found.labels[:i]), None)
    if twice is not None:
        raise ValueError(f"{name} of the search space has the choice {twice} twice")
    return found


def _number(what: str, value: Any) -> float:
    """Return an end of a range; YAML reads ``1e-4``, without a point, as a text."""
    number = value
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            raise ValueError(f"{what} takes a number, not {value!r}") from None
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        raise ValueError(f"{what} takes a number, not {value!r}")
    try:
        finite = math.isfinite(number)
    except OverflowError:
        finite = False
    if not finite:
        raise ValueError(f"{what} takes a finite number, not {value!r}")
    return number


def _kinds(annotation: Any) -> set[Any]:
    """Return the classes that an annotation names, those of a union included; any number without an annotation."""
    if annotation is Any:
        return {int, float}
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return set().union(*(_kinds(part) for part in typing.get_args(annotation)))
    return {annotation}
