"""Prediction for a user's inputs: ``predict``, and the pipeline of each kind of input."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from zoo.errors import in_one_line, unknown

if TYPE_CHECKING:
    from zoo.prediction.inputs import Predictions

PIPELINES = {"images": "zoo.prediction.images", "recordings": "zoo.prediction.ecg", "rows": "zoo.prediction.rows"}
"""Modules, whose ``predict`` answers inputs of each kind; a task says of which kind its inputs are, see
``ZooModule.input_kind``."""


MISSING = "the following arguments are required: INPUT"
"""Error of a parser where only INPUT is missing."""


class Option(NamedTuple):
    """An option of ``predict`` and of its command."""

    kind: str
    """The kind of inputs that it belongs to."""
    users: str
    """What a user calls them."""
    argument: dict[str, Any]
    """Arguments of ``add_argument`` of its parser."""


OPTIONS = {
    "annotator": Option(
        "recordings",
        "recordings",
        {
            "metavar": "ENDING",
            "help": "annotator whose R peaks are used, such as atr; zoo: beats and classes as written and edited",
        },
    ),
    "fs": Option(
        "recordings",
        "recordings",
        {"metavar": "HZ", "type": float, "help": "sampling rate of a recording in a CSV file"},
    ),
    "leads": Option("recordings", "recordings", {"metavar": "NAMES", "help": "leads of a recording, such as MLII,V1"}),
    "units": Option(
        "recordings", "recordings", {"metavar": "UNIT", "help": "unit of a CSV file's signals, such as uV"}
    ),
    "time_column": Option(
        "recordings", "recordings", {"metavar": "NAME", "help": "column of times in a CSV file of a recording"}
    ),
    "format": Option(
        "recordings",
        "recordings",
        {
            "metavar": "FORMAT",
            "action": "append",
            "help": "files of a recording: wfdb, csv, png, html, json, several by commas (default: all but json)",
        },
    ),
    "column": Option("rows", "tables of texts", {"metavar": "NAME", "help": "column of texts in a table"}),
}
"""Options by name."""


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options to the parser of ``zoo predict``."""
    for name, option in OPTIONS.items():
        command.add_argument(f"--{name.replace('_', '-')}", dest=name, **option.argument)


def parse_words(parser: argparse.ArgumentParser, words: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Parse the words of a command as ``parse_known_args`` does; in a terminal INPUT may be missing.

    Its option ``nargs="*"`` would not do: it takes no INPUT that follows an option.

    Args:
        parser: A parser whose errors are of ``ValueError``.
        words: The words.

    Returns:
        The arguments, where ``inputs`` is empty if INPUT is missing, and the words that the parser does not know.
    """
    try:
        return parser.parse_known_args(words)
    except ValueError as error:
        if str(error) != MISSING or not in_terminal():
            raise
        args, rest = parser.parse_known_args([*words, "-"])
        args.inputs = []
        return args, rest


def in_terminal() -> bool:
    """Return whether a user can be asked: input and output are a terminal."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


def predict(
    model: Any, inputs: Any, output: str | os.PathLike[str] | None = None, **options: Any
) -> list[dict[str, Any]]:
    """Predict with a model for a user's inputs.

    Args:
        model: A recipe by name, whose shipped weights are used, a recipe's YAML file, or a model.
        inputs: One input or a sequence of them: paths of files or folders, strings where the model takes texts, the
            bytes of a file, or arrays and tensors in natural units.
        output: File or folder to which the answers are written too.
        **options: ``ckpt_path``, a checkpoint in place of a recipe's shipped weights; ``data``, the datamodule that
            reads the inputs of a model; ``fs``, ``annotator``, ``leads``, ``units``, ``time_column`` and ``format`` of
            recordings, see ``zoo.prediction.ecg.predict``; ``column``, the name of the column of texts in tables.

    Returns:
        A dictionary for each sample: its input under ``"input"``, and what the model answers.

    Raises:
        ValueError: If an input has no answer; the others are written to ``output`` all the same.
        FileNotFoundError: If a file is missing.
    """
    found = predict_inputs(model, inputs, output, **options)
    error = found.error()
    if error:
        raise error
    return found.answers


def predict_inputs(
    model: Any,
    inputs: Any,
    output: str | os.PathLike[str] | None = None,
    *,
    ckpt_path: str | os.PathLike[str] | None = None,
    data: Any = None,
    **options: Any,
) -> Predictions:
    """Predict as ``predict`` does, but return the failures beside the answers.

    Raises:
        ValueError, OSError: If no input can be answered, or an option has no use for the model.
    """
    from zoo.prediction.inputs import as_list

    try:
        return _predict_inputs(model, as_list(inputs), output, ckpt_path, data, options)
    except (ValueError, OSError) as error:
        if len(str(error).splitlines()) < 2:
            raise
        kind = FileNotFoundError if isinstance(error, FileNotFoundError) else ValueError
        raise kind(in_one_line(error)) from error  # a name had an end of a line in it


def _predict_inputs(
    model: Any,
    sources: list[Any],
    output: str | os.PathLike[str] | None,
    ckpt_path: str | os.PathLike[str] | None,
    data: Any,
    options: dict[str, Any],
) -> Predictions:
    refuse_overwriting(output, [ckpt_path, model])
    if isinstance(model, (str, os.PathLike)):
        model, data = load_model(os.fspath(model), ckpt_path, data)
    elif ckpt_path is not None:
        raise ValueError("ckpt_path belongs to a recipe: a model has its weights already")
    elif hasattr(data, "adopt"):
        data.adopt(model.hparams)
    kind = model.input_kind
    if kind not in PIPELINES:
        raise unknown(f"input_kind of {type(model).__name__}", kind, PIPELINES)
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        if name not in OPTIONS:
            raise unknown("option of predict", name, ("ckpt_path", "data", *OPTIONS))
        if kind != OPTIONS[name].kind:
            raise ValueError(f"{name} is for {OPTIONS[name].users}, which {type(model).__name__} does not take")
    pipeline = importlib.import_module(PIPELINES[kind])
    return pipeline.predict(model, data, sources, os.fspath(output) if output is not None else None, **given)


def refuse_overwriting(output: Any, read: Sequence[Any]) -> None:
    """Raise ``ValueError`` if an output is the checkpoint or the recipe that the answers come from."""
    for source in read:
        given = isinstance(source, (str, os.PathLike)) and output is not None and os.path.isfile(source)
        if given and os.path.exists(output) and os.path.samefile(source, output):
            raise ValueError(f"--output {output} would overwrite {source}: choose another place")


def load_model(name: str, ckpt_path: str | os.PathLike[str] | None = None, data: Any = None) -> tuple[Any, Any]:
    """Return a recipe's model in evaluation mode, and the datamodule that reads its inputs.

    Args:
        name: The recipe, or its YAML file.
        ckpt_path: A checkpoint, or ``last`` or ``best`` of the recipe's newest run; the shipped weights if None.
        data: The datamodule; the recipe's own if None.
    """
    from zoo.recipes import load_recipe
    from zoo.recipes.trained import load_trained

    return load_trained(load_recipe(name), ckpt_path, data=data)
