"""A recipe's trained model with the data that it meets: its own settings win over those of an edited recipe."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from zoo.recipes import Recipe

SAME_ROWS = ("batch_size", "val_size")
"""Arguments of a datamodule, besides those free in a resumed run and the seed, on which no test row depends."""


def load_trained(
    recipe: Recipe,
    choice: str | os.PathLike[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    data: Any = None,
) -> tuple[Any, Any]:
    """Return a recipe's model in evaluation mode, and its datamodule, which has adopted what the model carries.

    Where the recipe says otherwise than the checkpoint, the checkpoint is followed, and a warning says so.

    Args:
        recipe: The recipe.
        choice: A checkpoint, or ``last`` or ``best`` of the recipe's newest run; ``recipe.load_weights()`` if None.
        settings: Arguments of the datamodule that replace those of the fit, for a test; None if nothing is tested.
        data: The datamodule in place of the recipe's own.

    Raises:
        FileNotFoundError: If there are no such weights.
        ValueError: If the model fixes one of the settings.
    """
    from lightning.pytorch.utilities.rank_zero import rank_zero_warn

    from zoo.registry import find_model
    from zoo.training.checkpoints import load_checkpoint, read_checkpoint

    content: dict[str, Any] = {}
    if choice is None:
        model = recipe.load_weights()
    else:
        path = recipe.find_checkpoint(os.fspath(choice))
        model, content = load_checkpoint(find_model(recipe.model["name"]).cls, path), read_checkpoint(path)
    if data is None:
        data = _datamodule(recipe, model, content, settings or {})
        if content and settings is not None and data.from_user and not model.rows_seen:
            rank_zero_warn(f"{choice} does not say which rows it was trained on: they may be among the test rows")
    if hasattr(data, "adopt"):
        data.adopt(model.hparams)
    return model, data


def _datamodule(recipe: Recipe, model: Any, content: Mapping[str, Any], settings: Mapping[str, Any]) -> Any:
    """Build the datamodule with the settings of the fit, but for those that are replaced."""
    from zoo.training.resuming import FREE
    from zoo.training.seen import rows_of

    own = recipe.datamodule()
    fitted = _fitted_settings(recipe, own, content)
    changed = {name: value for name, value in settings.items() if value != {**own.hparams, **fitted}.get(name)}
    for name in changed:
        if name in own.fixed_by_model:
            used = {**own.hparams, **fitted}[name]
            raise ValueError(f"--data.{name}: the model was trained with {used} and fixes it; leave it out")
    if content:
        _say_differences(recipe, model, {name: value for name, value in fitted.items() if name not in settings}, own)
    if set(changed) - {*FREE, *SAME_ROWS, "seed"} and not getattr(model, "rows_seen", None):
        before = recipe.datamodule(**fitted)
        before.adopt(model.hparams)
        before.prepare_data()
        before.setup()
        model.rows_seen = rows_of(before)
    return recipe.datamodule(**{**fitted, **settings}) if fitted or settings else own


def _fitted_settings(recipe: Recipe, own: Any, content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the data in a checkpoint that are not those of the recipe."""
    from lightning.pytorch.utilities.rank_zero import rank_zero_warn

    from zoo.arguments import check_arguments, current_names
    from zoo.training.contents import as_plain
    from zoo.training.resuming import FREE, SECTIONS

    name = content.get("zoo", {}).get("data", own.name)
    if name != own.name:
        rank_zero_warn(f"{recipe.name} names the data {own.name}, the checkpoint was trained on {name}")
        return {}
    given = as_plain(dict(own.hparams))
    saved = current_names(type(own), dict(content.get(SECTIONS["data"], {})))
    other = {key: value for key, value in saved.items() if key in given and key not in FREE and value != given[key]}
    return check_arguments(f"datamodule {own.name}", type(own), other)


def _say_differences(recipe: Recipe, model: Any, fitted: Mapping[str, Any], own: Any) -> None:
    """Say in one line which settings a recipe has otherwise than the checkpoint that is used."""
    from lightning.pytorch.utilities.rank_zero import rank_zero_warn

    from zoo.arguments import check_arguments, current_names
    from zoo.training.contents import as_plain, shorten

    cls, hparams = type(model), as_plain(dict(model.hparams))
    args = as_plain(check_arguments(recipe.name, cls, current_names(cls, dict(recipe.model.get("args", {})))))
    told = [
        f"model.{name} is {shorten(hparams[name])}, not {shorten(value)}"
        for name, value in args.items()
        if hparams.get(name) != value
    ]
    told += [
        f"data.{name} is {shorten(value)}, not {shorten(own.hparams[name])}"
        for name, value in fitted.items()
        if name not in (*SAME_ROWS, "seed")
    ]
    if told:
        rank_zero_warn(
            f"{recipe.name} has other settings than the trained model, which keeps its own: {', '.join(told)}"
        )
