"""How a command ends: its exit status, and one line where it fails or is interrupted."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator

from zoo.errors import in_one_line
from zoo.training.interrupts import INTERRUPTED, TERMINATED, Terminated, lightning_interrupts, sigterm_raises

DEBUG = "ZOO_DEBUG"
"""Environment variable with which an error shows its traceback."""
CLOSED = 128 + getattr(signal, "SIGPIPE", 13)
"""Exit status when the reader of the output is gone."""


def end_well(words: list[str], run: Callable[[list[str]], int]) -> int:
    """Run a command and return its exit status: its own, 2 after an error, 130, 141 or 143 after a signal.

    Args:
        words: The words of the command, for messages and for ``run``.
        run: What the command does.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed before the start
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    try:
        with sigterm_raises(), lightning_interrupts(), _quiet_threads():
            status = run(words)
            sys.stdout.flush()
        return status
    except BrokenPipeError:
        _discard_output()
        return CLOSED
    except Terminated as stop:
        return _say(_describe_stop(words, stop), TERMINATED)
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # Rich ends the process by itself
            _discard_output()
            return CLOSED
        raise
    except KeyboardInterrupt as stop:
        return _say(_describe_stop(words, stop), INTERRUPTED)
    except Exception as error:
        if os.environ.get(DEBUG):
            raise
        return _say(f"zoo: error: {_describe(error, words)}", 2)


@contextlib.contextmanager
def _quiet_threads() -> Iterator[None]:
    """Keep tracebacks of background threads, such as TensorBoard's, off the screen: the main thread meets the error."""
    before = threading.excepthook
    if not os.environ.get(DEBUG):
        threading.excepthook = lambda arguments: None
    try:
        yield
    finally:
        threading.excepthook = before


def _describe(error: Exception, words: list[str]) -> str:
    """Return an error in one line, with its kind where it is none that is expected."""
    line = in_one_line(error)
    wanted = re.search(r"[Tt]ried to allocate ([\d.]+ \w+)", line)
    if type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError) or (wanted and "memory" in line):
        size = f" for {wanted[1]}" if wanted else ""
        fits = dict.fromkeys(("fit", "test", "tune"), "a smaller --data.batch_size")
        advised = {**fits, "predict": "fewer or smaller inputs"}.get("".join(words[:1]), "a machine with more")
        return f"there is not enough memory{size}{' on the GPU' * ('CUDA' in line)}: try {advised}"
    expected = (ValueError, OSError, ArithmeticError, ModuleNotFoundError)
    return line if isinstance(error, expected) else f"{type(error).__name__}: {line} ({DEBUG}=1 shows where)"


def _describe_stop(words: list[str], stop: BaseException) -> str:
    """Return the line that says what was interrupted and how to go on with it."""
    line = f"zoo: {shlex.join(['zoo', *words[:2]])} was interrupted"
    kept = getattr(stop, "kept", None)
    if words[:1] in (["verify"], ["tune"]):
        return f"{line}: the same command goes on with it"
    if words[:1] == ["fit"] and kept is None:
        return f"{line} before its first checkpoint: nothing is kept"
    if words[:1] == ["fit"]:
        resume = shlex.join(["zoo", *_without(words, "--ckpt_path"), "--ckpt_path", str(kept)])
        return f"{line}: `{resume}` goes on with it"
    return f"{line}: nothing is lost, call it again"


def _without(words: list[str], option: str) -> list[str]:
    """Return words without an option and its value."""
    kept: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == option:
            next(rest, None)
        elif not word.startswith(f"{option}="):
            kept.append(word)
    return kept


def _say(line: str, status: int) -> int:
    """Print a line on the error stream and return the exit status; a closed stream changes nothing."""
    try:
        sys.stdout.flush()
    except OSError:  # the reader is gone, or the disk full: the line says more
        _discard_output()
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        _discard_output()
    return status


def _discard_output() -> None:
    """Send what is still to be written nowhere, so that the interpreter does not stumble over it when it ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
