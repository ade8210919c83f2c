"""What is shared of a recipe, a checkpoint, a model or a folder: the model with its origin."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from zoo import pretrained
from zoo.errors import unknown
from zoo.pretrained.repository import (
    CARD,
    CONFIG,
    LIBRARY,
    MAX_CONFIG,
    MAX_WEIGHTS,
    WEIGHTS,
    build_stored,
    local_reader,
    pack_config,
)
from zoo.recipes import Recipe, load_recipe

STORAGES = ("float32", *pretrained.STORAGES)
"""How matrices of weights can be stored; the first changes no value."""


@dataclass(frozen=True)
class SharedModel:
    """A model with its origin.

    Args:
        title: The recipe's name, or that of the model.
        name: Registered name of the model.
        module: The model, in evaluation mode.
        data: Name of the datamodule that it was trained on, if it is known.
        recipe: Its recipe, if it is one's: of the package or a user's file.
        result: Result of the recipe, if the weights are the published ones of the package.
        weights: Content of the file of weights, if there is one already.
        files: Content of a repository's files, if the model is from a folder of one.
        trained: Whether the model has its weights; a recipe whose weights are not at hand gives a new model.
    """

    title: str
    name: str
    module: Any
    data: str | None = None
    recipe: Recipe | None = None
    result: dict[str, Any] | None = None
    weights: bytes | None = None
    files: dict[str, bytes] | None = None
    trained: bool = True

    def pack(self, storage: str | None = None) -> dict[str, bytes]:
        """Return the contents of weights and configuration by name.

        Args:
            storage: ``float32``, ``float16`` or ``int8``; where None, the published weights stay as they are, and
                others are stored in float32.

        Raises:
            ValueError: If the storage is unknown.
        """
        if storage is not None and storage not in STORAGES:
            raise unknown("storage of weights", storage, STORAGES)
        weights = self.weights if storage is None else None
        if weights is None:
            weights = pretrained.pack_weights(self.name, self.module, storage or STORAGES[0], self.recipe_name or "")
        config = pack_config(
            self.name,
            dict(self.module.hparams),
            weights,
            recipe=self.recipe_name,
            data=self.data,
            version=package_version(),
        )
        return {WEIGHTS: weights, CONFIG: config}

    @property
    def recipe_name(self) -> str | None:
        """Name of the recipe of the package; None for a user's own."""
        return None if self.recipe is None or self.recipe.is_file else self.recipe.name


def package_version() -> str | None:
    """Return the version of this package, or None where it is not installed."""
    try:
        return version(LIBRARY)
    except PackageNotFoundError:
        return None


def find_model_to_share(source: Any, *, weights: bool = True) -> SharedModel:
    """Return the model of a recipe, a checkpoint, a folder or a ``ZooModule``.

    Args:
        source: Name of a recipe, with its shipped weights; a user's recipe ``*.yaml``, with the best checkpoint of its
            newest run; path of a checkpoint; path of a folder that ``save_pretrained`` has written; or the model.
        weights: Whether weights must exist; without, a recipe that has none gives a new model.

    Raises:
        FileNotFoundError: If there is no such file or no such weights.
        ValueError: If the source is nothing of these, or a file is damaged.
    """
    from zoo.base import ZooModule

    if isinstance(source, ZooModule):
        name = _name_of(source)
        return SharedModel(name, name, source)
    if not isinstance(source, (str, os.PathLike)):
        kind = type(source).__name__
        raise ValueError(f"a {kind} cannot be shared: expected a recipe, a checkpoint, a folder or a model of zoo")
    path = os.fspath(source)
    if os.path.isdir(path):
        return _from_folder(path)
    if path.endswith((".yaml", ".yml")):
        recipe = load_recipe(path)
        try:
            checkpoint = recipe.find_checkpoint("best")
        except FileNotFoundError:
            if weights:
                raise
            return _untrained(recipe)
        return _from_checkpoint(checkpoint, recipe)
    if path.endswith(".ckpt") or os.path.isfile(path):
        return _from_checkpoint(path)
    return _from_recipe(load_recipe(path), weights)


def _from_recipe(recipe: Recipe, weights: bool) -> SharedModel:
    result = pretrained.load_result(recipe.name)
    try:
        module = recipe.load_weights()
    except FileNotFoundError:
        if weights:
            raise
        return _untrained(recipe, result)
    shipped = weights and recipe.shipped_weights != "none"
    content = pretrained.weights_path(recipe.name).read_bytes() if shipped else None
    return SharedModel(recipe.name, recipe.model["name"], module, recipe.data["name"], recipe, result, content)


def _untrained(recipe: Recipe, result: dict[str, Any] | None = None) -> SharedModel:
    """Return a new model with the recipe's settings, but for those that follow from the data, which are not read."""
    from zoo.registry import build_model

    name, args = recipe.model["name"], recipe.model.get("args", {})
    module = build_model(name, **args).eval()
    return SharedModel(recipe.title, name, module, recipe.data["name"], recipe, result, trained=False)


def _from_checkpoint(path: str | os.PathLike[str], recipe: Recipe | None = None) -> SharedModel:
    from zoo.registry import find_model, registered_name
    from zoo.training.checkpoints import load_checkpoint, read_checkpoint

    content = read_checkpoint(path)
    saved = content.get("zoo", {})
    cls_name = saved.get("class")
    if cls_name is None:
        raise ValueError(f"{os.fspath(path)} is not a checkpoint of a model of zoo")
    try:
        name = registered_name(cls_name)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from None
    if recipe is not None and find_model(recipe.model["name"]).cls.__name__ == cls_name:
        name = recipe.model["name"]
    module = load_checkpoint(find_model(name).cls, path)
    own = recipe.data["name"] if recipe else None
    return SharedModel(recipe.title if recipe else name, name, module, saved.get("data", own), recipe)


def _from_folder(path: str) -> SharedModel:
    read = local_reader(path)
    module, config = build_stored(read, path)
    limits = {WEIGHTS: MAX_WEIGHTS, CONFIG: MAX_CONFIG, CARD: MAX_CONFIG}
    files = {name: read(name, limit) for name, limit in limits.items() if name != CARD or Path(path, name).exists()}
    return SharedModel(config["recipe"] or config["model"], config["model"], module, config["data"], files=files)


def _name_of(module: Any) -> str:
    from zoo.registry import find_model, registered_name

    name = registered_name(type(module).__name__)
    if find_model(name).cls is not type(module):
        raise ValueError(f"{type(module).__qualname__} is another class than the registered model {name!r}")
    return name
