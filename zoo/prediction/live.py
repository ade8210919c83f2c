"""Answers to lines of text as they are entered in a terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from datamodules.text.files import without_surrogates
from datamodules.text.reading import TextReader
from zoo.errors import printable
from zoo.prediction import MISSING
from zoo.prediction.rows import format_row, plain

PROMPT = "> "


def answer_lines(
    model: Any,
    data: Any,
    options: Mapping[str, Any] | None = None,
    ask: Callable[[str], str] = input,
    show: Callable[[str], None] = print,
) -> None:
    """Answer each line that is entered, until an empty one or the end of the input (Ctrl-D).

    A language model shows its most probable continuations, any other model its answer in a line. A line without an
    answer is followed by the reason.

    Args:
        model: A model of texts.
        data: The datamodule that reads its inputs.
        options: Options of ``zoo.predict`` that the user gave; None for one that is not given.
        ask: Function from a prompt to the line that is entered, which raises ``EOFError`` at the end of the input.
        show: Function that is called with each line of an answer.

    Raises:
        ValueError: If the model does not answer lines of text, or an option is given, each of which is for inputs of
            the command line.
    """
    if model.input_kind != "rows" or not isinstance(data, TextReader):
        raise ValueError(f"{MISSING}; only texts are entered in a terminal, which {type(model).__name__} does not take")
    for name, value in (options or {}).items():
        if value is not None:
            raise ValueError(f"{MISSING}; --{name.replace('_', '-')} is for inputs of the command line")
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  it lets ``input`` edit the line and recall earlier ones
    answer = model.typing().describe if hasattr(model, "typing") else lambda line: _rows(model, line)
    show("Enter a text; an empty line or Ctrl-D ends.")
    while True:
        try:
            line = without_surrogates(ask(PROMPT))
            if not line.strip():
                return
            lines = answer(line)
        except EOFError:
            show("")
            return
        except ValueError as error:
            lines = [f"no answer: {error}"]
        for each in lines:
            show(printable(each))


def _rows(model: Any, line: str) -> list[str]:
    """Return the answer to a line of text, without the text."""
    answers = plain(model.predict_rows([line]))
    return [format_row({key: value for key, value in answer.items() if key != "text"}) for answer in answers]
