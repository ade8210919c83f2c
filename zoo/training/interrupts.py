"""Interrupts: SIGTERM and Ctrl-C leave a training as exceptions, with the status that shells expect."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM
"""Exit status after Ctrl-C and after SIGTERM."""
AGAIN = 0.05
"""Seconds after which the signal of a dropped interrupt is sent again."""


class Terminated(SystemExit):
    """The process was asked to end by SIGTERM; without being caught it ends with status 143."""

    def __init__(self) -> None:
        super().__init__(TERMINATED)


@contextlib.contextmanager
def sigterm_raises() -> Iterator[None]:
    """Raise ``Terminated`` inside the block when SIGTERM arrives; the handler before it is put back afterwards.

    Lightning calls it beside its own handler. A second SIGTERM ends the process at once. Python drops an exception that
    is raised inside a ``__del__``: the signal of an interrupt that was dropped there is sent again.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before, unraisable = signal.getsignal(signal.SIGTERM), sys.unraisablehook
    received = False

    def terminate(number: int, frame: Any) -> None:
        nonlocal received
        if received:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
        received = True
        raise Terminated

    def send_again(dropped: Any) -> None:
        nonlocal received
        if not isinstance(dropped.exc_value, (Terminated, KeyboardInterrupt)):
            return unraisable(dropped)
        received = False
        number = signal.SIGTERM if isinstance(dropped.exc_value, Terminated) else signal.SIGINT
        later = threading.Timer(AGAIN, os.kill, (os.getpid(), number))
        later.daemon = True
        return later.start()

    signal.signal(signal.SIGTERM, terminate)
    sys.unraisablehook = send_again
    try:
        yield
    finally:
        sys.unraisablehook = unraisable
        signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)


@contextlib.contextmanager
def lightning_interrupts(last: Path | None = None) -> Iterator[None]:
    """Let an interrupt leave Lightning as ``KeyboardInterrupt`` or ``Terminated``, not as an exit with status 1 or 0.

    Args:
        last: The checkpoint to go on from; if it exists by then it stands at the exception as ``kept``.
    """
    try:
        try:
            yield
        except Terminated:
            raise
        except SystemExit as error:
            if isinstance(error.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from None
            lightning = sys.modules.get("lightning.pytorch.utilities.exceptions")  # if nothing ran, it is not loaded
            if lightning and isinstance(error, lightning.SIGTERMException):
                raise Terminated from None
            raise
    except (KeyboardInterrupt, Terminated) as stop:
        if last is not None and last.is_file():
            stop.kept = last  # type: ignore[union-attr]
        raise
