"""Processes that share one study: each takes a place, and takes over those of processes that were killed."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from zoo.errors import in_one_line, needs
from zoo.tuning.sampling import ERROR, POINT, is_ended, is_kept
from zoo.tuning.storage import storage_errors

optuna = needs("optuna", "tune")

WORKER = "worker"
"""Attribute of a running trial: machine, process, start of the process and a number that counts on."""
BEAT = 10.0
"""Seconds between two signs of life."""
GRACE = 60.0
"""Seconds without one, after which a trial of another machine counts as dead."""
NAMELESS = 20.0
"""Seconds after which a trial that no process has put its name to counts as dead."""
WAIT = 0.5
"""Seconds between two looks at a study whose last places are taken."""


def run_trials(study: Any, size: int, objective: Callable[[Any], float], show: Callable[[list[Any]], None]) -> None:
    """Run trials until a study has as many that have ended as it has places.

    A place is a trial that runs, has ended or failed by itself; a killed or stopped process gives its place back.
    However many processes call this at a time, exactly ``size`` trials end.

    Args:
        study: Optuna's study.
        size: Number of places.
        objective: Returns the value of a trial. It raises ``optuna.TrialPruned`` to end one early; any other
            ``Exception`` is recorded as the trial's error.
        show: Called with all trials after each change.
    """
    watch = Watch()
    while True:
        trials = watch.bury_dead(study)
        show(trials)
        if sum(map(is_ended, trials)) >= size:
            return
        if sum(map(is_kept, trials)) >= size:
            time.sleep(WAIT)
            continue
        trial = study.ask()
        with _alive(study, trial):
            if has_place(study, trial, size):
                _run(study, trial, objective)
            else:
                end_trial(study, trial.number, "FAIL")


def _run(study: Any, trial: Any, objective: Callable[[Any], float]) -> None:
    started = time.perf_counter()
    try:
        value = float(objective(trial))
        if value != value or value in (float("inf"), float("-inf")):
            raise ArithmeticError(f"the value is {value}")
    except optuna.TrialPruned:
        state, value = "PRUNED", None
    except storage_errors():
        raise
    except Exception as error:
        line = in_one_line(error)[:300]
        _note(
            trial,
            ERROR,
            line if isinstance(error, (ValueError, ArithmeticError)) else f"{type(error).__name__}: {line}",
        )
        state, value = "FAIL", None
    else:
        state = "COMPLETE"
    _note(trial, "seconds", round(time.perf_counter() - started, 3))
    end_trial(study, trial.number, state, value)


def _note(trial: Any, name: str, value: Any) -> None:
    """Set an attribute of a trial, unless another process has taken the trial for dead."""
    with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
        trial.set_user_attr(name, value)


def end_trial(study: Any, number: int, state: str, value: float | None = None) -> None:
    """End a trial; nothing if it has ended already."""
    with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
        study.tell(number, value, state=optuna.trial.TrialState[state], skip_if_finished=True)


def has_place(study: Any, trial: Any, size: int) -> bool:
    """Return whether a new trial has a place: fewer than ``size`` before it have one, and none its point of a grid."""
    trials = study.get_trials(deepcopy=False)
    before = [other for other in trials if other.number < trial.number and is_kept(other)]
    point = next(own.system_attrs.get(POINT) for own in trials if own.number == trial.number)
    return len(before) < size and (point is None or all(other.system_attrs.get(POINT) != point for other in before))


@contextlib.contextmanager
def _alive(study: Any, trial: Any) -> Iterator[None]:
    """Show that a trial's process is alive; if the block is left by an interrupt, its place is given back."""
    stop = threading.Event()
    mark = [machine(), os.getpid(), process_start(os.getpid())]

    def beat() -> None:
        count = 0
        while not stop.wait(BEAT):
            count += 1
            try:
                trial.set_user_attr(WORKER, [*mark, count])
            except Exception:  # the main thread meets it
                return

    thread = threading.Thread(target=beat, daemon=True)
    try:
        _note(trial, WORKER, [*mark, 0])
        thread.start()
        yield
    except BaseException:
        stop.set()
        with contextlib.suppress(Exception):
            end_trial(study, trial.number, "FAIL")
        raise
    finally:
        stop.set()
        if thread.is_alive():
            thread.join(timeout=BEAT)


class Watch:
    """What this process has seen of the signs of life of others: no clocks are compared between machines."""

    def __init__(self) -> None:
        self.seen: dict[int, tuple[Any, float]] = {}

    def bury_dead(self, study: Any) -> list[Any]:
        """End the trials of processes that are gone and return all trials."""
        trials = study.get_trials(deepcopy=False)
        dead = [trial.number for trial in trials if trial.state.name == "RUNNING" and self.is_dead(trial)]
        for number in dead:
            end_trial(study, number, "FAIL")
        return study.get_trials(deepcopy=False) if dead else trials

    def is_dead(self, trial: Any) -> bool:
        """Return whether the process of a running trial is gone."""
        mark = trial.user_attrs.get(WORKER)
        if mark and mark[0] == machine() and process_start(mark[1]) != mark[2]:
            return True
        now = time.monotonic()
        last = self.seen.get(trial.number)
        if last is None or last[0] != mark:
            self.seen[trial.number] = mark, now
            return False
        return now - last[1] > (GRACE if mark else NAMELESS)


def machine() -> str:
    """Return the name of this machine, of its start and of its processes' name space: what a process number is for."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8])
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def process_start(pid: int) -> int | None:
    """Return when a process of this machine was started, in ticks, 0 if that is not known; None if it is gone."""
    if os.path.isdir("/proc/self"):
        try:
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            return None
        return None if fields[0] in (b"Z", b"X") else int(fields[19])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        return 0
    return 0
