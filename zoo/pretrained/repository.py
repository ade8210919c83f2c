"""The repository of a model, a folder of weights, configuration and card, whose content is checked as a stranger's."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from zoo.building import MAX_PARAMETERS
from zoo.errors import printable, unknown
from zoo.pretrained import unpack_weights

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
LIBRARY = "lightning-zoo"
SOURCES = ("hf-hub", "local-dir")
"""What stands before the colon of a model's place: a repository of the Hugging Face Hub, or a folder."""
MAX_CONFIG = 1_000_000
"""Largest size of a configuration in bytes. Set by hand."""
MAX_DEPTH = 30
"""Largest depth of nested lists and dictionaries in a configuration, as in a recipe."""
MAX_WEIGHTS = 4 * MAX_PARAMETERS + 100_000_000
"""Largest size of a file of weights in bytes: those of the largest model in float32, and the largest header."""
LONGEST_HPARAM = 10_000
"""Characters of a hyper-parameter in a configuration; longer ones, such as vocabularies, are in the weights alone."""
PICKLES = (b"PK\x03\x04", b"\x80")
"""How a file that ``torch.save`` or ``pickle`` has written begins, and one of safetensors may by chance."""

Reader = Callable[[str, int], bytes]
"""Function that returns the content of a file by its name, and refuses more than a number of bytes."""


# ---- writing ----


def pack_config(
    name: str, hparams: Mapping[str, Any], weights: bytes, *, recipe: str | None, data: str | None, version: str | None
) -> bytes:
    """Return the content of a configuration.

    Args:
        name: Registered name of the model.
        hparams: Hyper-parameters.
        weights: Content of the file of weights.
        recipe: Name of the recipe, if there is one.
        data: Name of the datamodule, if it is known.
        version: Version of this package.
    """
    short = {key: value for key, value in hparams.items() if len(json.dumps(value)) <= LONGEST_HPARAM}
    digest = hashlib.sha256(weights).hexdigest()
    config = {"library": LIBRARY, "version": version, "model": name, "recipe": recipe, "data": data, "sha256": digest}
    return (json.dumps({**config, "hparams": short}, indent=1, ensure_ascii=False) + "\n").encode()


# ---- reading ----


def parse_config(content: bytes, where: str) -> dict[str, Any]:
    """Return a checked configuration.

    Args:
        content: Content of its file.
        where: Name of the file in messages.

    Raises:
        ValueError: If it is not the configuration of a model of this package.
    """
    if len(content) > MAX_CONFIG:
        raise ValueError(f"{where} has {len(content):,} bytes, expected at most {MAX_CONFIG:,}")
    try:
        config = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} is not JSON ({_in_short(error)})") from None
    if not isinstance(config, dict) or config.get("library") != LIBRARY:
        kind = f"library {_shorten(config.get('library'))}" if isinstance(config, dict) else type(config).__name__
        raise ValueError(f"{where} is not the configuration of a model of {LIBRARY} ({kind})")
    if _depth_exceeds(config, MAX_DEPTH):
        raise ValueError(f"{where} is nested more than {MAX_DEPTH} deep")
    for key, kinds, expected in (
        ("model", str, "the name of a model"),
        ("sha256", str, "64 hexadecimal digits"),
        ("hparams", dict, "a dictionary"),
        ("recipe", (str, type(None)), "a name or null"),
        ("data", (str, type(None)), "a name or null"),
        ("version", (str, type(None)), "a version or null"),
    ):
        value = config.get(key)
        if not isinstance(value, kinds) or (key == "sha256" and not re.fullmatch("[0-9a-f]{64}", str(value))):
            raise ValueError(f"{where}: {key} is {_shorten(value)}, expected {expected}")
    return config


def _depth_exceeds(value: Any, limit: int) -> bool:
    pending = [(value, 0)]
    while pending:
        part, depth = pending.pop()
        if isinstance(part, (dict, list)):
            if depth == limit:
                return True
            pending += [(each, depth + 1) for each in (part.values() if isinstance(part, dict) else part)]
    return False


def check_weights(content: bytes, config: Mapping[str, Any], where: str) -> None:
    """Raise ``ValueError`` unless weights are the ones that a configuration names by their SHA-256."""
    found = hashlib.sha256(content).hexdigest()
    if found != config["sha256"]:
        raise ValueError(f"{where} has the sha256 {found[:12]}..., expected {config['sha256'][:12]}... of {CONFIG}")


def build_stored(
    read: Reader, place: str, *, pretrained: bool = True, args: Mapping[str, Any] | None = None
) -> tuple[Any, dict[str, Any]]:
    """Build the model of a repository, and return it with the configuration.

    Args:
        read: Function that reads its files.
        place: What an error calls the repository.
        pretrained: Whether the model gets its weights; it is then in evaluation mode.
        args: Arguments in place of its hyper-parameters.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is not what it should be.
    """
    from zoo.arguments import check_arguments, current_names
    from zoo.registry import build_model, find_model
    from zoo.training.checkpoints import check_state, load_state

    config = parse_config(read(CONFIG, MAX_CONFIG), f"{place}: {CONFIG}")
    content, where = read(WEIGHTS, MAX_WEIGHTS), f"{place}: {WEIGHTS}"
    check_weights(content, config, where)
    try:
        _, hparams, state = unpack_weights(content)
    except ValueError as error:
        if content.startswith(PICKLES):
            raise ValueError(
                f"{where} is a pickle, which can run code, and is not read: expected safetensors"
            ) from None
        raise ValueError(f"{where} cannot be read as safetensors of {LIBRARY} ({error})") from error
    try:
        cls = find_model(config["model"]).cls
        known = {**current_names(cls, hparams), **current_names(cls, config["hparams"]), **(args or {})}
        model = build_model(config["model"], **check_arguments(f"model {config['model']}", cls, known))
    except ValueError as error:
        raise ValueError(f"{place}: {CONFIG}: {_in_short(error, 500)}") from error
    if not pretrained:
        return model, config
    check_state(state, model.net, where)
    load_state(model.net, state, where)
    return model.eval(), config


def local_reader(folder: str | os.PathLike[str]) -> Reader:
    """Return the function that reads the files of a folder; links that lead out of it are not followed.

    Raises:
        FileNotFoundError: If there is no such folder.
    """
    root = Path(os.path.realpath(Path(folder).expanduser()))
    if not root.is_dir():
        raise FileNotFoundError(f"{printable(os.fspath(folder))}: no such folder")

    def read(name: str, limit: int) -> bytes:
        where = f"{printable(os.fspath(folder))}: {name}"
        path = root / name
        if not os.path.lexists(path):
            raise FileNotFoundError(f"{where} is missing: expected {WEIGHTS} and {CONFIG} of zoo.save_pretrained")
        target = os.path.realpath(path)
        if root not in Path(target).parents:
            raise ValueError(f"{where} is a link out of the folder, to {printable(target)}: copy the file itself")
        return read_regular(target, limit, where)

    return read


def read_regular(path: str | os.PathLike[str], limit: int, where: str) -> bytes:
    """Return the content of a regular file of limited size.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is not a regular file, cannot be read or is larger.
    """
    try:
        # Without waiting for the writer of a named pipe.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ValueError(f"{where} is not a regular file")
            content = b"" if status.st_size > limit else file.read(limit + 1)
    except FileNotFoundError:
        raise FileNotFoundError(f"{where} is missing") from None
    except OSError as error:
        raise ValueError(f"{where} cannot be read ({error.strerror})") from None
    size = max(len(content), status.st_size)
    if size > limit:
        raise ValueError(f"{where} has {size:,} bytes, expected at most {limit:,}")
    return content


# ---- places ----


def is_place(name: str) -> bool:
    """Whether a model's name is a place, such as ``hf-hub:user/name`` or ``local-dir:PATH``, and not that of a file."""
    source, colon, _ = name.partition(":")
    return source in SOURCES or bool(colon and not name.endswith((".yaml", ".yml")))


def create_from_place(place: str, args: Mapping[str, Any], pretrained: bool) -> tuple[Any, str | None]:
    """Build the model of a repository of the Hugging Face Hub or of a folder.

    Args:
        place: ``hf-hub:user/name``, ``hf-hub:user/name@REVISION`` or ``local-dir:PATH``.
        args: Arguments of the model in place of its hyper-parameters.
        pretrained: Whether the model gets its weights; it is then in evaluation mode.

    Returns:
        The model, and the name of the datamodule that it was trained on, None if that is not known.

    Raises:
        FileNotFoundError: If there is no such repository, folder or file, or the Hub cannot be reached.
        ValueError: If a file is not what it should be.
        ModuleNotFoundError: If the Hub's client is not installed.
    """
    source, _, path = place.partition(":")
    if source not in SOURCES:
        raise unknown("source of a model", source, SOURCES)
    if not path:
        raise ValueError(f"{place} names no {'repository' if source == 'hf-hub' else 'folder'}")
    if source == "local-dir":
        read = local_reader(path)
    else:
        from zoo.pretrained.hub_files import hub_reader

        read = hub_reader(path)
    model, config = build_stored(read, printable(path), pretrained=pretrained, args=args)
    return model, config.get("data")


def _shorten(value: Any) -> str:
    text = " ".join(repr(value)[:200].split())
    return printable(text if len(text) <= 60 else text[:57] + "...")


def _in_short(error: BaseException, length: int = 200) -> str:
    text = ""
    with contextlib.suppress(Exception):
        text = str(error)
    return printable(" ".join(text.split())[:length]) or type(error).__name__
