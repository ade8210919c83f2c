"""Names, types and defaults of a class's arguments, read from its signature."""

from __future__ import annotations

import inspect
import typing
from typing import Any

from zoo.errors import unknown


def signature(cls: type) -> dict[str, inspect.Parameter]:
    """Return the named arguments of a class, those of its bases included.

    ``**kwargs`` of a constructor stand for the arguments of the next class in the method resolution order, as
    everywhere in this package. Annotations are resolved to types.
    """
    found: dict[str, inspect.Parameter] = {}
    for base in cls.__mro__:
        init = base.__dict__.get("__init__")
        if init is None:
            continue
        hints = typing.get_type_hints(init)
        parameters = list(inspect.signature(init).parameters.values())[1:]
        for parameter in parameters:
            if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                found.setdefault(parameter.name, parameter.replace(annotation=hints.get(parameter.name, Any)))
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            break
    return found


def inherited(cls: type, name: str) -> dict[str, Any]:
    """Return the dictionaries that a class and its bases have as an attribute, merged; a class overrides its bases."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        found.update(base.__dict__.get(name, {}))
    return found


def renamed_arguments(cls: type) -> dict[str, str]:
    """Return the arguments of a class that were renamed: their current names by their old ones, which are aliases.

    A class declares its own as ``renamed``, those of its bases are added.
    """
    return inherited(cls, "renamed")


def current_names(cls: type, args: dict[str, Any]) -> dict[str, Any]:
    """Return arguments under their current names.

    Raises:
        ValueError: If an argument is given under both of its names.
    """
    renamed = renamed_arguments(cls)
    for old, new in renamed.items():
        if old in args and new in args:
            raise ValueError(f"{old} and {new} are the same argument: give {new} alone")
    return {renamed.get(name, name): value for name, value in args.items()}


def original_names(cls: type, args: dict[str, Any]) -> dict[str, Any]:
    """Return arguments under their original names, from which configurations are hashed."""
    first = {new: old for old, new in renamed_arguments(cls).items()}
    return {first.get(name, name): value for name, value in args.items()}


def check_arguments(owner: str, cls: type, args: dict[str, Any]) -> dict[str, Any]:
    """Check names and types of arguments and convert strings to the annotated types.

    Args:
        owner: Owner of the arguments in messages, such as ``"model mlp"``.
        cls: The class whose constructor will take them.
        args: Names and values; a string is read as the annotated type where that is another.

    Returns:
        The same arguments under their current names with converted values.

    Raises:
        ValueError: On an unknown name or a value of the wrong type.
    """
    from jsonargparse import ArgumentParser

    known = signature(cls)
    checked = {}
    for name, value in current_names(cls, args).items():
        if name not in known:
            raise unknown(f"option of {owner}", name, known)
        annotation = known[name].annotation
        if annotation is Any or not _is_plain(value):
            checked[name] = value
            continue
        parser = ArgumentParser(exit_on_error=False)
        parser.add_argument("--value", type=annotation)
        try:
            checked[name] = parser.parse_object({"value": value}).value
        except Exception as error:
            wanted = getattr(annotation, "__name__", None) if isinstance(annotation, type) else None
            wanted = wanted or str(annotation).replace("typing.", "")
            raise ValueError(f"{owner}: {name} takes {wanted}, not {value!r}") from error
    return checked


def _is_plain(value: Any) -> bool:
    """Return whether a value could stand in a YAML file; other objects are not checked."""
    if isinstance(value, dict):
        return all(_is_plain(part) for part in value.values())
    if isinstance(value, (list, tuple)):
        return all(_is_plain(part) for part in value)
    return value is None or isinstance(value, (str, int, float, bool))
