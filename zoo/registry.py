"""Registry of models by name."""

from __future__ import annotations

import fnmatch
import importlib
import importlib.metadata
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from zoo.arguments import check_arguments, signature
from zoo.building import construct
from zoo.errors import unknown

ENTRY_POINTS = "lightning_zoo.models"
"""Entry point group in which an installed package names modules or classes that register models."""

T = TypeVar("T", bound=type)


@dataclass(frozen=True)
class Entry:
    """A registered model: its class, its source and the arguments that differ from the class's defaults."""

    name: str
    cls: type
    source: str
    defaults: dict[str, Any] = field(default_factory=dict)


_ENTRIES: dict[str, Entry] = {}
_loaded = False


def register_model(name: str, *, source: str, **defaults: Any) -> Callable[[T], T]:
    """Register a ``LightningModule`` class under a name; a decorator.

    Args:
        name: Name in snake_case.
        source: Author, year and title of the publication the model comes from.
        **defaults: Arguments that differ from the class's own defaults, so that one class can carry several names.

    Raises:
        ValueError: If the name is taken.
    """

    def register(cls: T) -> T:
        if name in _ENTRIES:
            raise ValueError(f"model {name!r} is registered already, by {_ENTRIES[name].cls.__qualname__}")
        _ENTRIES[name] = Entry(name, cls, source, defaults)
        return cls

    return register


def _entries() -> dict[str, Entry]:
    """Import every module that registers models, once, and return what is registered."""
    global _loaded
    if not _loaded:
        _loaded = True
        package = importlib.import_module("zoo.models")
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"zoo.models.{module.name}")
        for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
            point.load()
    return _ENTRIES


def find_model(name: str) -> Entry:
    """Return the registered entry of a name.

    Raises:
        ValueError: If no model has this name; the message gives the nearest.
    """
    entries = _entries()
    if name not in entries:
        raise unknown("model", name, entries)
    return entries[name]


def registered_name(cls_name: str) -> str:
    """Return the name under which a class is registered; of several, the first that changes no default.

    Raises:
        ValueError: If no class of this name is registered.
    """
    found = sorted(
        (bool(entry.defaults), entry.name) for entry in _entries().values() if entry.cls.__name__ == cls_name
    )
    if not found:
        raise ValueError(f"{cls_name} is not registered: @zoo.register_model gives it a name, by which it is built")
    return found[0][1]


def list_models(pattern: str = "*") -> list[str]:
    """Return the sorted names of all models, or of those that match a wildcard pattern."""
    return sorted(fnmatch.filter(_entries(), pattern))


def build_model(name: str, **args: Any) -> Any:
    """Build a model by name.

    Args:
        name: A registered name.
        **args: Arguments of the model's constructor.

    Returns:
        The ``LightningModule``.

    Raises:
        ValueError: If the name or an argument is unknown, or a value is of the wrong type or out of range.
    """
    entry = find_model(name)
    owner = f"model {name}"
    return construct(owner, entry.cls, check_arguments(owner, entry.cls, {**entry.defaults, **args}))


def model_info(name: str) -> dict[str, Any]:
    """Describe a model: name, class, task, parameters with defaults, doc, source, and what is outside its network."""
    entry = find_model(name)
    parameters = {key: parameter.default for key, parameter in signature(entry.cls).items()}
    return {
        "name": name,
        "class": f"{entry.cls.__module__}.{entry.cls.__qualname__}",
        "task": next((b.__name__ for b in entry.cls.__mro__ if b.__module__.startswith("zoo.tasks")), None),
        "parameters": {**parameters, **entry.defaults},
        "doc": (entry.cls.__doc__ or "").strip(),
        "source": entry.source,
        "outside_net": getattr(entry.cls, "outside_net", ""),
    }
