"""What the file of a recipe may hold: plain data of a limited size, in sections of known kinds."""

from __future__ import annotations

import fnmatch
import math
from pathlib import Path
from typing import Any

import yaml

from zoo.errors import unknown
from zoo.pretrained import STORAGES
from zoo.recipes.claims import Claim

SECTIONS = (
    "model",
    "data",
    "trainer",
    "seeds",
    "minutes",
    "claim",
    "baselines",
    "measures",
    "tune",
    "note",
    "shipped_weights",
)
SHIPPED_WEIGHTS = (*STORAGES, "none")
"""How the package stores the weights of a recipe; ``none`` where it has none, such as for the terms of the data."""
MAX_BYTES = 1_000_000
"""Largest size of the file of a recipe or of a search space."""
MAX_NODES = 20_000
"""Largest number of values in a recipe, each counted wherever an alias repeats it."""
MAX_DEPTH = 30
"""Largest depth of nested lists and dictionaries."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_recipe(path: Path) -> dict[str, Any]:
    """Read and check the file of a recipe.

    Returns:
        Its sections, those that are there, with the claims as ``Claim``.

    Raises:
        ValueError: If the file is not YAML, is too large, or says something that a recipe does not; the line names the
            file and the section.
    """
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path}: a recipe has the sections {', '.join(SECTIONS)}")
    for section in content:
        if section not in SECTIONS:
            raise unknown(f"section of {path.name}", section, SECTIONS)
    # An empty section is as good as none, but for the one where it reads like the word `none`.
    found = {name: value for name, value in content.items() if value is not None or name == "shipped_weights"}
    for section in ("model", "data"):
        if section not in found:
            raise ValueError(f"{path}: section {section!r} is missing: {{name: ..., args: {{...}}}}")
    for section, value in found.items():
        try:
            found[section] = _CHECKS[section](value)
        except ValueError as error:
            raise ValueError(f"{path}: section {section!r}: {error}") from None
    try:
        _check_rivals(found.get("claim", []), found.get("baselines", []))
    except ValueError as error:
        raise ValueError(f"{path}: section 'claim': {error}") from None
    return found


def read_yaml(path: Path, name: str | None = None) -> Any:
    """Return the data of a YAML file.

    Args:
        path: The file.
        name: What an error calls it; its path if None.

    Raises:
        ValueError: If it is not YAML, or too large; see ``load_yaml``.
    """
    name = str(path) if name is None else name
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{name}: {path.stat().st_size:,} bytes, expected at most {MAX_BYTES:,}")
    try:
        return load_yaml(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}: not a YAML file ({error})") from None
    except ValueError as error:
        raise ValueError(f"{name}{error}") from None


def load_yaml(text: str) -> Any:
    """Return the data of a YAML text.

    Raises:
        ValueError: If it is not YAML, is too large or too deep, refers to itself or says a key twice; the message
            begins with the line, ``", line 3: ..."``.
    """
    try:
        depth = 0
        for event in yaml.parse(text, _LOADER):  # before a recursive reader meets it
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise ValueError(f"{_line(event)}: nested more than {MAX_DEPTH} deep")
        node = yaml.compose(text, _LOADER)
        _count(node, {}, set())
        content = yaml.load(text, _LOADER)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise ValueError(f"{where}: not a YAML file ({getattr(error, 'problem', None) or error})") from None
    except (OverflowError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(f": not a YAML file ({error})") from None
    except ValueError as error:
        raise error if str(error).startswith((":", ",")) else ValueError(f": {error}") from None
    return content


def _line(node: Any) -> str:
    return f", line {node.start_mark.line + 1}"


def _count(node: Any, known: dict[int, int], open_nodes: set[int]) -> int:
    """Return the number of values below a node with its aliases expanded, and check keys on the way."""
    if not isinstance(node, yaml.CollectionNode):
        return 1
    if id(node) in known:
        return known[id(node)]
    if id(node) in open_nodes:
        raise ValueError(f"{_line(node)}: a value that holds itself")
    open_nodes.add(id(node))
    total, keys = 1, set()
    for part in node.value:
        pair = part if isinstance(part, tuple) else (part,)
        if len(pair) == 2:
            if not isinstance(pair[0], yaml.ScalarNode):
                raise ValueError(f"{_line(pair[0])}: a key that is no text")
            if pair[0].value in keys:
                raise ValueError(f"{_line(pair[0])}: {pair[0].value!r} stands there twice")
            keys.add(pair[0].value)
        total += sum(_count(one, known, open_nodes) for one in pair)
        if total > MAX_NODES:
            raise ValueError(f"{_line(node)}: more than {MAX_NODES:,} values with its aliases written out")
    open_nodes.remove(id(node))
    known[id(node)] = total
    return total


# ---- the sections ----


def _check_plain(value: Any, what: str) -> None:
    """Raise for keys that are no texts and for values that JSON has not."""
    if isinstance(value, dict):
        for key, part in value.items():
            if not isinstance(key, str):
                raise ValueError(f"{what} has the key {key!r}, expected a text")
            _check_plain(part, f"{what}, {key}")
    elif isinstance(value, list):
        for part in value:
            _check_plain(part, what)
    elif not (value is None or isinstance(value, (str, int, float, bool))):
        raise ValueError(f"{what} has {value!r} ({type(value).__name__}), expected a number, a text or a list")


def _check_args(value: Any, what: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{what} takes {{argument: value, ...}}, not {value!r}")
    _check_plain(value, what)
    return value


def _check_part(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or "name" not in value or set(value) - {"name", "args"}:
        raise ValueError(f"it takes {{name: ..., args: {{...}}}}, not {value!r}")
    if not isinstance(value["name"], str):
        raise ValueError(f"name takes a text, not {value['name']!r}")
    return {**value, "args": _check_args(value["args"], "args")} if "args" in value else value


def _check_table(value: Any) -> dict[str, Any]:
    return _check_args(value, "it")


def _check_seeds(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"it takes a whole number of at least 1, not {value!r}")
    return value


def _check_minutes(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise ValueError(f"it takes a number of minutes, not {value!r}")
    return value


def _check_names(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"it takes a list of names, not {value!r}")
    return value


def _check_note(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"it takes a text, not {value!r}")
    return value


def _check_shipped_weights(value: Any) -> str:
    if value not in SHIPPED_WEIGHTS:
        raise ValueError(f"it takes one of {', '.join(SHIPPED_WEIGHTS)}, not {value!r}")
    return value


def _check_claims(value: Any) -> list[Claim]:
    if not isinstance(value, list):
        raise ValueError(f"it takes a list of claims, not {value!r}")
    _check_plain(value, "it")
    return [Claim.from_dict(claim) for claim in value]


def _check_rivals(claims: list[Claim], baselines: list[str]) -> None:
    """Raise for a claim over a baseline that the recipe does not name."""
    for claim in claims:
        for rival in (claim.over, claim.aim):
            if isinstance(rival, str) and not fnmatch.filter(baselines, rival):
                known = ", ".join(baselines) or "none"
                raise ValueError(f"claim on {claim.metric!r} over {rival!r}, but the baselines are {known}")


_CHECKS = {
    "model": _check_part,
    "data": _check_part,
    "trainer": _check_table,
    "seeds": _check_seeds,
    "minutes": _check_minutes,
    "claim": _check_claims,
    "baselines": _check_names,
    "measures": _check_names,
    "tune": _check_table,
    "note": _check_note,
    "shipped_weights": _check_shipped_weights,
}
