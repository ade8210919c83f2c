"""From a user's files and strings to a model's answers."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from zoo.errors import in_one_line
from zoo.pretrained import write_atomically

OUTPUTS = (".csv", ".json")

Task = TypeVar("Task")
Result = TypeVar("Result")


def expand(inputs: Sequence[str], endings: Collection[str] = ()) -> list[str]:
    """Replace each folder among the inputs by the files directly in it, hidden ones left out.

    Args:
        inputs: Files, folders or strings.
        endings: Endings, in lower case, of the files wanted from a folder; a line on the error stream says how many
            others are left out. Any file if empty.

    Raises:
        ValueError: If a folder has no such file.
    """
    found: list[str] = []
    for source in inputs:
        if not os.path.isdir(source):  # a text may be too long for a path
            found.append(source)
            continue
        seen = sorted(path for path in Path(source).iterdir() if path.name[0] != ".")
        files = [path for path in seen if path.is_file()]
        wanted = [str(path) for path in files if not endings or path.suffix.lower() in endings]
        if not seen:
            raise ValueError(f"{source} is an empty folder")
        if not wanted:
            expected = f"pictures directly in {source}: expected {', '.join(sorted(endings))}"
            raise ValueError(f"no {expected}" if endings else f"no files directly in {source}")
        if len(wanted) < len(files):
            left = len(files) - len(wanted)
            print(f"{source}: {left} of {len(files)} files left out, not {', '.join(sorted(endings))}", file=sys.stderr)
        found += wanted
    return found


def work_through(
    tasks: Sequence[Task], work: Callable[[Task], Result], doing: str, shown: bool
) -> tuple[list[Result], list[str]]:
    """Do the same for each task; where there are several, one that fails does not stop the others.

    Args:
        tasks: What to work on.
        work: What to do with each.
        doing: What the progress bar says.
        shown: Whether there is a progress bar, on a terminal.

    Returns:
        The results and, in one line each, why others are missing.

    Raises:
        ValueError, OSError: If no task succeeds.
    """
    from rich.progress import track

    results, failures = [], []
    first: Exception | None = None
    for task in track(tasks, doing, disable=not (shown and sys.stderr.isatty()), transient=True):
        try:
            results.append(work(task))
        except (ValueError, OSError) as error:
            first = first or error
            failures.append(in_one_line(error))
    if len(failures) == 1 and not results and first:
        raise first
    if failures and not results:
        raise ValueError(f"none of {len(tasks)} worked: {'; '.join(failures)}")
    return results, failures


def refuse_overwriting(output: str, targets: Collection[Path], inputs: Collection[str]) -> None:
    """Raise ``ValueError`` if a file to write is one to read, by whatever path or link."""
    sources = {Path(source).resolve(): source for source in inputs if os.path.isfile(source)}
    for target in targets:
        if target.resolve() in sources:
            raise ValueError(f"--output {output} would overwrite {sources[target.resolve()]}: choose another place")


def answer(model: Any, data: Any, inputs: Sequence[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """Answer each input, with a progress bar where there are many.

    Args:
        model: A ``ZooModule``.
        data: The datamodule that reads what the model takes.
        inputs: Files or strings.

    Returns:
        For each sample the input it came from, under ``"input"``, and the model's answer; and why, in one line each,
        inputs have none.

    Raises:
        ValueError, OSError: If no input can be answered.
    """

    def one(source: str) -> list[dict[str, Any]]:
        rows = model.answer(data.read(source))
        names = [source] if len(rows) == 1 else [f"{source}:{number}" for number in range(1, len(rows) + 1)]
        return [{"input": name, **row} for name, row in zip(names, rows)]

    answers, failures = work_through(inputs, one, "answering", len(inputs) >= 20)
    return [row for rows in answers for row in rows], failures


def check_output(path: str, formats: Mapping[str, str], inputs: Collection[str] = ()) -> None:
    """Raise ``ValueError`` before any work is done if answers cannot be written to a path.

    Args:
        path: Where they shall go.
        formats: Endings of the files that a model's answers have of their own, as in ``write_answers``.
        inputs: Files that are read, none of which may be written over.
    """
    refuse_overwriting(path, [Path(path)], inputs)
    if Path(path).suffix not in (*OUTPUTS, *formats):
        raise ValueError(f"--output {path}: answers are written as {' or '.join((*OUTPUTS, *formats))}")
    if not Path(path).absolute().parent.is_dir():
        raise ValueError(f"--output {path}: there is no folder {Path(path).absolute().parent}")


def plain(answers: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return answers as plain data: vectors become lists, and what has more axes is left out."""
    return [
        {key: value.tolist() if hasattr(value, "ndim") else value for key, value in row.items() if _is_plain(value)}
        for row in answers
    ]


def _is_plain(value: Any) -> bool:
    return getattr(value, "ndim", 0) < 2


def in_words(row: Mapping[str, Any]) -> str:
    """Say an answer in a line, without its input; of a long vector the first numbers."""
    cells = []
    for key, value in row.items():
        if isinstance(value, list):
            cells.append(" ".join(f"{number:.3g}" for number in value[:8]) + (" ..." if len(value) > 8 else ""))
        elif key != "input":
            cells.append(f"{value:.4f}" if isinstance(value, float) else str(value))
    return "  ".join(cells)


def write_answers(path: str, answers: Sequence[Mapping[str, Any]], formats: Mapping[str, str]) -> None:
    """Write answers, whole or not at all.

    Args:
        path: The file. ``.csv`` and ``.json`` take plain data, with a column for each number of a vector in the
            former; ``.npy`` takes one tensor a sample, stacked; ``.png`` one picture, or several in a grid; ``.txt``
            takes a text a line.
        answers: What ``answer`` returned.
        formats: Which part of an answer goes into a file of which ending.
    """
    suffix = Path(path).suffix
    if suffix in formats and suffix == ".txt":
        content = "".join(" ".join(row[formats[suffix]].split()) + "\n" for row in answers).encode()
    elif suffix in formats:
        import numpy as np

        stacked = np.stack([np.asarray(row[formats[suffix]]) for row in answers])
        content = _array(stacked) if suffix == ".npy" else _pictures(stacked)
    elif suffix == ".json":
        content = (json.dumps(plain(answers), indent=1, ensure_ascii=False) + "\n").encode()
    else:
        content = _table(plain(answers)).encode()
    write_atomically(Path(path), content)


def _array(values: Any) -> bytes:
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=False)
    return buffer.getvalue()


def _pictures(values: Any, columns: int = 10, gap: int = 2) -> bytes:
    import torch
    from torchvision.utils import make_grid, save_image

    pictures, buffer = torch.from_numpy(values), io.BytesIO()
    sheet = pictures[0] if len(pictures) == 1 else make_grid(pictures, columns, gap, pad_value=0.5)
    save_image(sheet, buffer, format="png")
    return buffer.getvalue()


def _table(rows: list[dict[str, Any]]) -> str:
    buffer = io.StringIO(newline="")
    flat = []
    for row in rows:
        flat.append({key: value for key, value in row.items() if not isinstance(value, list)})
        for key, value in row.items():
            flat[-1].update({f"{key}_{k}": number for k, number in enumerate(value)} if isinstance(value, list) else {})
    writer = csv.DictWriter(buffer, fieldnames=list(flat[0]))
    writer.writeheader()
    writer.writerows(flat)
    return buffer.getvalue()
