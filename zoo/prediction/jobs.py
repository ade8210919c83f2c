"""Run a job on each of several inputs, with a progress bar and collected failures."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from zoo.errors import in_one_line

Task = TypeVar("Task")


Result = TypeVar("Result")


def run_jobs(
    tasks: Sequence[Task], work: Callable[[Task], Result], doing: str, shown: bool
) -> tuple[list[Result], list[str]]:
    """Run a function on each task; if there are several, a failure does not stop the others.

    Args:
        tasks: Arguments of the function.
        work: The function.
        doing: Label of the progress bar.
        shown: Whether to show a progress bar on a terminal.

    Returns:
        The results, and one line for each failure.

    Raises:
        ValueError, OSError: If no task succeeds.
    """
    from rich.progress import track

    results, failures = [], []
    first: Exception | None = None
    for task in track(tasks, doing, disable=not (shown and sys.stderr and sys.stderr.isatty()), transient=True):
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
