"""Registry of datamodules: ``register_datamodule``, ``create_datamodule`` and ``list_datamodules``."""

from __future__ import annotations

import fnmatch
import importlib
import importlib.metadata
import inspect
import pkgutil
from collections.abc import Callable
from typing import Any, TypeVar

from datamodules.errors import unknown

ENTRY_POINTS = "lightning_zoo.datamodules"
"""Entry point group of installed packages; each entry is a module or class that registers datamodules on import."""

T = TypeVar("T", bound=type)

_CLASSES: dict[str, type] = {}
_loaded = False


def register_datamodule(name: str) -> Callable[[T], T]:
    """Return a class decorator that registers a ``LightningDataModule`` under a name.

    Raises:
        ValueError: If the name is taken.
    """

    def register(cls: T) -> T:
        if name in _CLASSES:
            raise ValueError(f"datamodule {name!r} is registered already, by {_CLASSES[name].__qualname__}")
        _CLASSES[name] = cls
        cls.name = name  # type: ignore[attr-defined]
        return cls

    return register


def _classes() -> dict[str, type]:
    """Return all registered classes, after one import of every module that registers some."""
    global _loaded
    if not _loaded:
        _loaded = True
        package = importlib.import_module("datamodules")
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"datamodules.{module.name}")
        for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
            point.load()
    return _CLASSES


def find_datamodule(name: str) -> type:
    """Return the class registered under a name.

    Raises:
        ValueError: If no datamodule has this name; the message gives the nearest names.
    """
    classes = _classes()
    if name not in classes:
        raise unknown("datamodule", name, classes)
    return classes[name]


def list_datamodules(pattern: str = "*") -> list[str]:
    """Return the sorted names of all datamodules that match a wildcard pattern."""
    return sorted(fnmatch.filter(_classes(), pattern))


def create_datamodule(name: str, **args: Any) -> Any:
    """Create a datamodule by name.

    Args:
        name: A registered name.
        **args: Arguments of the datamodule's constructor. The aliases in the class attribute ``renamed`` are accepted.

    Raises:
        ValueError: If the name or an argument is unknown.
    """
    cls = find_datamodule(name)
    renamed = getattr(cls, "renamed", {})
    args = {renamed.get(argument, argument): value for argument, value in args.items()}
    known = [
        parameter.name
        for base in cls.__mro__
        if "__init__" in base.__dict__
        for parameter in inspect.signature(base.__dict__["__init__"]).parameters.values()
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL) and parameter.name != "self"
    ]
    for argument in args:
        if argument not in known:
            raise unknown(f"option of datamodule {name}", argument, known)
    return cls(**args)
