"""From a user's files and strings to a model's answers."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
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


def check_output(path: str, formats: Mapping[str, str]) -> None:
    """Raise ``ValueError`` before any work is done if answers cannot be written to a path.

    Args:
        path: Where they shall go.
        formats: Endings of the files that a model's answers have of their own, as in ``write_answers``.
    """
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
