"""Train a recipe once: resume, measure the time, keep the best or the last checkpoint by one rule."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.files import write_atomically
from zoo.recipes import Recipe
from zoo.training.checkpoints import LAST

SECONDS = "seconds.json"


@dataclass(frozen=True)
class Fit:
    """A finished training.

    Args:
        model: The trained model, in evaluation mode on the CPU, with the weights of ``checkpoint``.
        data: Its datamodule.
        metrics: Training and validation metrics of the last epoch, and under ``best_<monitor>`` the best validation.
        epochs: Number of epochs trained.
        seconds: Training time, that of interrupted attempts before it included.
        run: Folder of logs and checkpoints.
        checkpoint: The checkpoint kept: the best on validation, or the last where the validation rows are trained on
            too; None if the trainer wrote none.
    """

    model: Any
    data: Any
    metrics: dict[str, float]
    epochs: int
    seconds: float
    run: Path
    checkpoint: Path | None


def fit_recipe(
    recipe: Recipe,
    *,
    seed: int | None = None,
    run: Path | None = None,
    resume: Path | None = None,
    overrides: dict[str, dict[str, Any]] | None = None,
    accept_finished: bool = False,
    histograms: bool = False,
    say: Callable[[str], None] | None = None,
    start: str | os.PathLike[str] | None = None,
) -> Fit:
    """Train a recipe with one seed; the test split stays closed.

    A run is resumed with its own seed and settings; only ``max_epochs`` of the trainer, and what does not say what is
    learned, may change. One that has all its epochs, or that early stopping has ended, is over.

    Args:
        recipe: What to train.
        seed: Seed of everything random; if None that of the checkpoint, or 0.
        run: Folder of logs and checkpoints; a new one if None.
        resume: Checkpoint to go on from; from the start if None.
        overrides: Arguments by section, ``model``, ``data`` and ``trainer``, that replace the recipe's.
        accept_finished: Whether a run that is over is returned as it is instead of being refused.
        histograms: Whether histograms of weights and gradients are logged to TensorBoard.
        say: Function that is called with what the datamodule says of its data, if anything.
        start: Recipe or checkpoint whose weights a new run starts from, with a new head where its classes are others.
            The run that is resumed later does not need it again.

    Raises:
        KeyboardInterrupt: If the training was interrupted; its last checkpoint is kept.
        zoo.training.interrupts.Terminated: If SIGTERM ended it, likewise.
        ValueError: If an argument is wrong, or the checkpoint cannot be resumed.
    """
    from zoo.training.checkpoint_io import UNFINISHED
    from zoo.training.checkpoints import load_checkpoint, read_checkpoint
    from zoo.training.interrupts import lightning_interrupts
    from zoo.training.resuming import CheckedResume, reason_of_end, seed_of

    if resume and start is not None:
        both = f"--from {os.fspath(start)} begins a run and --ckpt_path {resume} resumes one"
        raise ValueError(f"{both}: give one of them")
    content = read_checkpoint(resume) if resume else None
    if seed is None:
        seed = (seed_of(content) if content else None) or 0
    new = run is None
    run, model, data, trainer = _build(recipe, seed, run, overrides or {}, content, resume, histograms, start)
    about = data.describe() if say and trainer.is_global_zero else ""
    if say and about:
        say(about)
    checked = None
    if content is not None:
        ended = reason_of_end(content, trainer)
        if ended and accept_finished:
            return _finished(content, model, data, run)
        if ended:
            raise ValueError(f"{resume}: the run is over: {ended}")
        checked = CheckedResume(content, str(resume))
        trainer.callbacks.append(checked)
    last = run / "checkpoints" / f"{LAST}.ckpt"
    before = _seconds(run) if resume else 0.0
    for half in last.parent.glob(f".*{UNFINISHED}"):  # of a process that was killed
        half.unlink(missing_ok=True)
    begun = time.perf_counter()
    try:
        with lightning_interrupts(last):
            trainer.fit(model, data, ckpt_path=str(resume) if resume else None, weights_only=True)
    except Exception as error:
        if new and not trainer.fit_loop.epoch_progress.total.started:  # nothing was learned
            shutil.rmtree(run, ignore_errors=True)
            _remove_empty(run.parent)
        if checked is None or checked.restored or isinstance(error, (ValueError, OSError, ArithmeticError)):
            raise
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{resume} cannot be resumed: {type(error).__name__} {reason}") from error
    finally:
        if run.is_dir():
            write_atomically(run / SECONDS, json.dumps(before + time.perf_counter() - begun).encode())
    seconds = _seconds(run)
    if trainer.interrupted:
        raise KeyboardInterrupt
    if not trainer.fit_loop.epoch_progress.total.ready and not trainer.global_step:
        print("nothing was trained: the trainer takes no training batch", file=sys.stderr)
    metrics = {name: float(value) for name, value in sorted(trainer.callback_metrics.items()) if name != "lr"}
    checkpoint = kept_checkpoint(trainer.checkpoint_callback, data.train_on_all)
    if checkpoint is not None and checkpoint.stem == LAST and not data.train_on_all:
        print(f"{model.monitor} was never measured: the last checkpoint is kept", file=sys.stderr)
    if checkpoint is None:
        model = model.cpu().eval()
    else:
        score = trainer.checkpoint_callback.best_model_score
        metrics |= {} if score is None else {f"best_{model.monitor}": float(score)}
        model = load_checkpoint(type(model), checkpoint)
    return Fit(model, data, metrics, trainer.current_epoch, seconds, run, checkpoint)


def _build(
    recipe: Recipe,
    seed: int,
    run: Path | None,
    overrides: dict[str, Any],
    content: Any,
    resume: Path | None,
    histograms: bool,
    start: str | os.PathLike[str] | None = None,
) -> tuple[Path, Any, Any, Any]:
    """Build and check everything, and make the folder of a new run last, which no other process then has."""
    from zoo.registry import find_model
    from zoo.training.checkpoints import read_hparams
    from zoo.training.monitor import check_monitor
    from zoo.training.resuming import check_resume

    learned = None
    if content is not None:
        learned = read_hparams(content, find_model(recipe.model["name"]).cls, str(resume))
    while True:
        folder = run or recipe.new_run()
        model, data, trainer = recipe.build(**overrides, seed=seed, run=folder, learned=learned, start=start)
        if getattr(trainer.strategy, "_start_method", None) in ("fork", "forkserver"):
            name = f"{type(trainer.strategy).__name__} with the start method {trainer.strategy._start_method}"
            raise ValueError(f"the trainer's strategy is {name}, which hangs after torch has computed: use ddp_spawn")
        data.prepare_data()
        data.setup("fit")
        if trainer.limit_val_batches:
            check_monitor(model, data)
        if content is not None:
            check_resume(content, str(resume), model, data, trainer)
        if histograms:
            _add_histograms(trainer)
        if run is not None or trainer.global_rank > 0:
            return folder, model, data, trainer
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder, model, data, trainer


def _add_histograms(trainer: Any) -> None:
    from zoo.callbacks import Histograms
    from zoo.callbacks.tensorboard import tensorboard_logger

    if tensorboard_logger(trainer) is None:
        raise ValueError("histograms go to TensorBoard, which this run does not log to: leave the trainer's logger out")
    trainer.callbacks.append(Histograms())


def _seconds(run: Path) -> float:
    """Return the training time of a run so far, 0 if it is not known."""
    try:
        return max(0.0, float(json.loads((run / SECONDS).read_text())))
    except (OSError, ValueError, TypeError):
        return 0.0


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def _finished(content: dict[str, Any], model: Any, data: Any, run: Path) -> Fit:
    """Return a training that is over, from its files."""
    from zoo.training.checkpoints import load_checkpoint

    kept = run / "checkpoints" / f"{LAST if data.train_on_all else 'best'}.ckpt"
    epochs = content["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
    return Fit(load_checkpoint(type(model), kept), data, {}, epochs, _seconds(run), run, kept)


def kept_checkpoint(keeper: Any, train_on_all: bool) -> Path | None:
    """Return the checkpoint that counts: the best on validation, or the last where validation rows are trained on.

    Args:
        keeper: The trainer's first ``ModelCheckpoint``; None if it writes no checkpoints.
        train_on_all: Whether the validation rows are trained on too.
    """
    best = getattr(keeper, "best_model_path", "")
    if best and not train_on_all:
        return Path(best)
    folder = getattr(keeper, "dirpath", None)
    last = Path(folder) / f"{LAST}.ckpt" if folder else None
    return last if last is not None and last.is_file() else None
