"""Names, types and defaults of a class's arguments, read from its signature."""

from __future__ import annotations

import datetime
import enum
import functools
import inspect
import pathlib
import types
import typing
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from zoo.errors import unknown

PLAIN = (str, int, float, bool, list, dict, tuple, type(None), datetime.timedelta, pathlib.Path)
"""Types whose values a YAML file or a word of the command line can say."""
NULLS = ("null", "Null", "NULL", "~")
"""Strings that are None in YAML."""
EXACT = (str, int, float, bool)
"""Types whose own values are taken as they are."""
MAX_LENGTH = 1000
"""Largest number of values in a list that needs conversion, which takes long."""


@functools.cache
def signature(cls: type) -> Mapping[str, inspect.Parameter]:
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
    return MappingProxyType(found)


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
    known = signature(cls)
    checked = {}
    for name, value in current_names(cls, args).items():
        if name not in known:
            raise unknown(f"option of {owner}", name, known)
        checked[name] = _convert(f"{owner}: {name}", known[name].annotation, value)
    return checked


def _convert(what: str, annotation: Any, value: Any) -> Any:
    """Return a value as its annotated type; of the annotation only plain types count, see ``_plain_types``."""
    if _has_nan(value):
        raise ValueError(f"{what} takes numbers, not {_shorten(value)}")
    if annotation is Any or not _is_plain(value) or _is_exact(value, annotation):
        return value
    wanted = _plain_types(annotation)
    if wanted is None:
        raise ValueError(f"{what} takes objects, which are given from Python, not {_shorten(value)}")
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--value", type=wanted)
    try:
        if isinstance(value, (list, tuple, dict)) and len(value) > MAX_LENGTH:
            raise ValueError(f"more than {MAX_LENGTH} values")
        converted = parser.parse_object({"value": value}).value
        if _has_nan(converted):
            raise ValueError("NaN is no number")
        return converted
    except Exception as error:
        name = getattr(wanted, "__name__", None) if isinstance(wanted, type) else None
        name = "None" if wanted is type(None) else name or str(wanted).replace("typing.", "")
        hint = "" if wanted is annotation else "; objects are given from Python"
        raise ValueError(f"{what} takes {name}, not {_shorten(value)}{hint}") from error


def _plain_types(annotation: Any) -> Any:
    """Return the part of an annotation that a YAML file can say, or None if there is none.

    Of other classes a parser would import and run what a text names: a recipe is data, from which no object is made.
    """
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is Any:
        return str | int | float | bool | list | dict | None
    if origin in (typing.Union, types.UnionType):
        kept = [plain for part in parts if (plain := _plain_types(part)) is not None]
        same = len(kept) == len(parts) and all(one is other for one, other in zip(kept, parts))
        return annotation if same else typing.Union[tuple(kept)] if kept else None  # noqa: UP007
    if origin is typing.Literal or annotation in PLAIN or annotation is None:
        return annotation
    if origin in (list, tuple, dict, Sequence, Mapping):
        plains = [part if part is ... else _plain_types(part) for part in parts]
        if any(plain is None for plain in plains):
            return None
        same = all(one is other for one, other in zip(plains, parts))
        return annotation if same else origin[tuple(plains)]
    return annotation if isinstance(annotation, type) and issubclass(annotation, enum.Enum) else None


def _is_exact(value: Any, annotation: Any) -> bool:
    """Return whether a value, or each part of a list, is of the annotated class itself: nothing is converted."""
    if typing.get_origin(annotation) is list:
        (kind,) = typing.get_args(annotation)
        return type(value) is list and kind in EXACT and all(type(part) is kind for part in value)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        parts = typing.get_args(annotation)
        if type(value) is str:  # a vocabulary is a long string, which takes a parser a second
            return set(parts) == {str, type(None)} and value not in NULLS
        return type(value) is list and any(_is_exact(value, part) for part in parts)
    return annotation in EXACT and type(value) is annotation


def _has_nan(value: Any) -> bool:
    """Return whether a value is NaN, or a list or dictionary that holds one."""
    if isinstance(value, dict):
        return any(_has_nan(part) for part in value.values())
    if isinstance(value, (list, tuple)):
        return any(_has_nan(part) for part in value)
    return isinstance(value, float) and value != value


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else text[:97] + "..."


def _is_plain(value: Any) -> bool:
    """Return whether a value could stand in a YAML file; other objects are not checked."""
    if isinstance(value, dict):
        return all(_is_plain(part) for part in value.values())
    if isinstance(value, (list, tuple)):
        return all(_is_plain(part) for part in value)
    return value is None or isinstance(value, (str, int, float, bool))
