"""Completion of ``zoo``'s words by the shell, with argcomplete."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Any

from zoo.errors import needs, unknown

SHELLS = ("bash", "zsh", "fish", "tcsh", "powershell")
"""Shells that argcomplete knows."""
REQUEST = "_ARGCOMPLETE"
"""Environment variable that a shell sets when it asks for completions."""


def shell_code(shell: str) -> str:
    """Return the lines that make a shell complete the words of ``zoo``.

    Args:
        shell: ``bash``, ``zsh``, ``fish``, ``tcsh`` or ``powershell``.

    Raises:
        ValueError: If the shell is another one.
        ModuleNotFoundError: If argcomplete is not installed.
    """
    if shell not in SHELLS:
        raise unknown("shell", shell, SHELLS)
    return needs("argcomplete", "completion").shellcode(["zoo"], shell=shell)


def answer_shell(parser: argparse.ArgumentParser) -> None:
    """Answer a shell that asks for completions, and end the process; return at once if none asks.

    Args:
        parser: The parser of all commands; names of recipes, models and shells are completed too.
    """
    if REQUEST not in os.environ:
        return
    argcomplete = needs("argcomplete", "completion")

    for command, words in _subparsers(parser).items():
        for action in words._actions:
            if (find := _NAMES.get(action.dest)) is not None and not action.option_strings:
                action.completer = _completer(find, command)  # type: ignore[attr-defined]
    argcomplete.autocomplete(parser)


def _subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(groups[0].choices) if groups else {}


def _completer(find: Callable[[str], list[str]], command: str) -> Callable[..., Any]:
    return lambda **_: find(command)


def _recipes(command: str) -> list[str]:
    """Return the names of recipes, and the YAML files in the current folder where a command takes them."""
    from pathlib import Path

    from zoo.recipes import list_recipes

    files = [] if command == "list" else [path.name for path in Path().glob("*.y*ml")]
    return list_recipes() + files


def _names(command: str) -> list[str]:
    """Return the names of models and recipes, without loading a model: each has a recipe."""
    from zoo.recipes import list_recipes

    return sorted({name.partition(".")[0] for name in list_recipes()}) + _recipes(command)


_NAMES: dict[str, Callable[[str], list[str]]] = {
    "recipe": _recipes,
    "pattern": _recipes,
    "name": _names,
    "shell": lambda _: list(SHELLS),
}
"""Functions that list what an argument may be, by the argument."""
