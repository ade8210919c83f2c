"""Answers to inputs that become rows of a batch."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from datamodules.images.blank import NothingFoundError
from datamodules.text.reading import TextReader
from zoo.errors import printable
from zoo.files import check_outputs, expand, write_atomically
from zoo.prediction.inputs import Predictions, as_file, as_float_tensor, names_of, refuse_nonfinite
from zoo.prediction.jobs import run_jobs

OUTPUTS = (".csv", ".json")
ESCAPED = "backslashreplace"
"""How bytes that are not UTF-8, such as in the name of a file, are written."""


def predict(
    model: Any, data: Any, inputs: Sequence[Any], output: str | None = None, column: str | None = None
) -> Predictions:
    """Predict for inputs that become rows of a batch: images, texts, tables, arrays.

    Args:
        model: A ``ZooModule``.
        data: The datamodule that reads files and strings; not needed for arrays and tensors.
        inputs: Files, folders, strings, bytes of files, arrays or tensors.
        output: File to which the answers are written: ``.csv``, ``.json`` or one of the model's ``output_formats``.
        column: Name of the column of texts in tables; the datamodule's if None.

    Raises:
        ValueError, OSError: If no input can be answered, or a column is given to a model of other inputs.
    """
    if column is not None and not isinstance(data, TextReader):
        raise ValueError(f"column is for tables of texts, which {type(model).__name__} does not take")
    sources = list(expand(inputs, getattr(data, "endings", ())))
    if output is not None:
        check_output(output, model.output_formats, [source for source in sources if isinstance(source, str)])

    def one(job: tuple[str, Any]) -> list[dict[str, Any]]:
        name, source = job
        try:
            x = read_input(source, model, data, column)
        except NothingFoundError as error:
            if not hasattr(model, "no_answer"):
                raise
            return [{"input": name, **model.no_answer, "note": error.reason}]
        refuse_nonfinite(x, name)
        answers = model.predict_rows(x)
        names = [name] if len(answers) == 1 else [f"{name}:{number}" for number in range(1, len(answers) + 1)]
        return [{"input": name, **row} for name, row in zip(names, answers)]

    jobs = list(zip(names_of(sources), sources))
    found, failures = run_jobs(jobs, one, "predicting", len(jobs) >= 20)
    answers = [row for rows in found for row in rows]
    if output is not None:
        write_answers(output, answers, model.output_formats)
        display = [printable(f"{len(answers)} answers in {output}")]
    else:
        names = [printable(row["input"]) for row in answers]
        width = max(map(len, names))
        display = [f"{name:{width}}  {printable(format_row(row))}" for name, row in zip(names, plain(answers))]
    return Predictions(answers, failures, len(sources), display)


def read_input(source: Any, model: Any, data: Any, column: str | None = None) -> Any:
    """Read one input into what the model's ``predict_rows`` takes.

    Raises:
        ValueError: If a file or a string is given and no datamodule reads it.
    """
    if isinstance(source, (np.ndarray, Tensor)):
        x = as_float_tensor(source)
        return x[None] if tuple(x.shape) == tuple(model.input_shape) else x
    if data is None:
        raise ValueError(
            f"input {source[:60]!r}: a file or a string needs data, the datamodule that reads it, or a recipe's name"
        )
    named = {} if column is None else {"column": column}
    if isinstance(source, bytes):
        with as_file(source, ".txt") as path:
            return data.read(path, **named)
    if not os.path.exists(source) and not _is_text(source):
        raise ValueError(f"{printable(source[:60])}: no such file, and not UTF-8 text")
    return data.read(source, **named)


def _is_text(source: str) -> bool:
    try:
        source.encode()
    except UnicodeEncodeError:  # bytes that are not UTF-8, in an argument of the command line
        return False
    return True


def check_output(path: str, formats: Mapping[str, str], inputs: Collection[str] = ()) -> None:
    """Raise ``ValueError`` before any work is done if answers cannot be written to a path.

    Args:
        path: Where they shall go.
        formats: Endings of the files that a model's answers have of their own, as in ``write_answers``.
        inputs: Files that are read, none of which may be written over.
    """
    if Path(path).suffix not in (*OUTPUTS, *formats):
        raise ValueError(f"--output {path}: answers are written as {' or '.join((*OUTPUTS, *formats))}")
    check_outputs(path, [("answers", Path(path))], inputs)


def plain(answers: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return answers as plain data: vectors become lists, and what has more axes is left out."""
    return [
        {key: value.tolist() if hasattr(value, "ndim") else value for key, value in row.items() if _is_plain(value)}
        for row in answers
    ]


def _is_plain(value: Any) -> bool:
    return getattr(value, "ndim", 0) < 2


def _is_names(key: str, value: Any) -> bool:
    """Return whether a value is a list of names; the list of a text's topics may have none."""
    return isinstance(value, list) and (key == "topics" or any(isinstance(each, str) for each in value))


def format_row(row: Mapping[str, Any]) -> str:
    """Say an answer in a line, without its input; of a long vector the first numbers, ``-`` for what is missing.

    A list of names follows its key, such as ``topics: earn, acq``, and is ``none`` if there are no names.
    """
    cells = []
    for key, value in row.items():
        if _is_names(key, value):
            cells.append(f"{key}: {', '.join(value) or 'none'}")
        elif isinstance(value, list):
            cells.append(" ".join(f"{number:.3g}" for number in value[:8]) + (" ..." if len(value) > 8 else ""))
        elif key != "input":
            cells.append("-" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value))
    return "  ".join(cells)


def write_answers(path: str, answers: Sequence[Mapping[str, Any]], formats: Mapping[str, str]) -> None:
    """Write answers to a file, atomically.

    Args:
        path: The file. ``.csv`` and ``.json`` take plain data, with a column for each number of a vector in the
            former; ``.npy`` takes one tensor a sample, stacked; ``.png`` one picture, or several in a grid; ``.txt``
            takes a text a line.
        answers: The answers of ``predict``.
        formats: Which part of an answer goes into a file of which ending.
    """
    suffix = Path(path).suffix
    if suffix in formats and suffix == ".txt":
        content = "".join(" ".join(row[formats[suffix]].split()) + "\n" for row in answers).encode(errors=ESCAPED)
    elif suffix in formats:
        stacked = np.stack([np.asarray(row[formats[suffix]]) for row in answers])
        content = _array(stacked) if suffix == ".npy" else _pictures(stacked)
    elif suffix == ".json":
        content = (json.dumps(plain(answers), indent=1, ensure_ascii=False) + "\n").encode(errors=ESCAPED)
    else:
        content = _table(plain(answers)).encode(errors=ESCAPED)
    write_atomically(Path(path), content)


def _array(values: Any) -> bytes:
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
        row = {key: ", ".join(value) if _is_names(key, value) else value for key, value in row.items()}
        flat.append({key: value for key, value in row.items() if not isinstance(value, list)})
        for key, value in row.items():
            flat[-1].update({f"{key}_{k}": number for k, number in enumerate(value)} if isinstance(value, list) else {})
    writer = csv.DictWriter(buffer, fieldnames=list(dict.fromkeys(key for row in flat for key in row)))
    writer.writeheader()
    writer.writerows(flat)
    return buffer.getvalue()
