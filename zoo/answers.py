"""From a user's files and strings to a model's answers."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoo.pretrained import write_atomically

OUTPUTS = (".csv", ".json")


def expand(inputs: Sequence[str]) -> list[str]:
    """Replace each folder among the inputs by the files in it, hidden ones left out.

    Raises:
        ValueError: If a folder is empty.
    """
    found: list[str] = []
    for source in inputs:
        if Path(source).is_dir():
            files = sorted(str(path) for path in Path(source).iterdir() if path.is_file() and path.name[0] != ".")
            if not files:
                raise ValueError(f"{source} is an empty folder")
            found += files
        else:
            found.append(source)
    return found


def answer(model: Any, data: Any, inputs: Sequence[str]) -> list[dict[str, Any]]:
    """Answer each input, with a progress bar where there are many.

    Args:
        model: A ``ZooModule``.
        data: The datamodule that reads what the model takes.
        inputs: Files or strings.

    Returns:
        For each sample the input it came from, under ``"input"``, and the model's answer.
    """
    from rich.progress import track

    answers = []
    quiet = len(inputs) < 20 or not sys.stderr.isatty()
    for source in track(inputs, "answering", disable=quiet, transient=True):
        rows = model.answer(data.read(source))
        names = [source] if len(rows) == 1 else [f"{source}:{number}" for number in range(1, len(rows) + 1)]
        answers += [{"input": name, **row} for name, row in zip(names, rows)]
    return answers


def check_output(path: str) -> None:
    """Raise ``ValueError`` before any work is done if answers cannot be written to a path."""
    if Path(path).suffix not in OUTPUTS:
        raise ValueError(f"--output {path}: answers are written as {' or '.join(OUTPUTS)}")
    if not Path(path).absolute().parent.is_dir():
        raise ValueError(f"--output {path}: there is no folder {Path(path).absolute().parent}")


def write_answers(path: str, answers: list[dict[str, Any]]) -> None:
    """Write answers to a CSV or JSON file, whole or not at all."""
    if Path(path).suffix == ".json":
        content = json.dumps(answers, indent=1, ensure_ascii=False) + "\n"
    else:
        buffer = io.StringIO(newline="")
        writer = csv.DictWriter(buffer, fieldnames=list(answers[0]))
        writer.writeheader()
        writer.writerows(answers)
        content = buffer.getvalue()
    write_atomically(Path(path), content.encode())
