"""Train a recipe once: resume, measure the time, keep the best or the last checkpoint by one rule."""

from __future__ import annotations

import json
import time
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
    seed: int = 0,
    run: Path | None = None,
    resume: Path | None = None,
    overrides: dict[str, dict[str, Any]] | None = None,
) -> Fit:
    """Train a recipe with one seed; the test split stays closed.

    Args:
        recipe: What to train.
        seed: Seed of everything random.
        run: Folder of logs and checkpoints; a new one if None.
        resume: Checkpoint to go on from; from the start if None.
        overrides: Arguments by section, ``model``, ``data`` and ``trainer``, that replace the recipe's.

    Raises:
        KeyboardInterrupt: If the training was interrupted; its last checkpoint is kept.
        ValueError: If an argument is wrong, or the checkpoint is of another model.
    """
    from zoo.training.checkpoints import check_checkpoint, load_checkpoint

    run = run or recipe.new_run()
    model, data, trainer = recipe.build(**(overrides or {}), seed=seed, run=run)
    if resume:
        check_checkpoint(resume, model)
    spent = run / SECONDS
    before = float(json.loads(spent.read_text())) if resume and spent.exists() else 0.0
    start = time.perf_counter()
    try:
        trainer.fit(model, data, ckpt_path=str(resume) if resume else None, weights_only=True)
    finally:
        seconds = before + time.perf_counter() - start
        if run.is_dir():
            write_atomically(spent, json.dumps(seconds).encode())
    if trainer.interrupted:
        raise KeyboardInterrupt
    metrics = {name: float(value) for name, value in sorted(trainer.callback_metrics.items()) if name != "lr"}
    checkpoint = kept_checkpoint(trainer.checkpoint_callback, data.train_on_all)
    if checkpoint is None:
        model = model.cpu().eval()
    else:
        score = trainer.checkpoint_callback.best_model_score
        metrics |= {} if score is None else {f"best_{model.monitor}": float(score)}
        model = load_checkpoint(type(model), checkpoint)
    return Fit(model, data, metrics, trainer.current_epoch, seconds, run, checkpoint)


def kept_checkpoint(keeper: Any, train_on_all: bool) -> Path | None:
    """Return the checkpoint that counts: the best on validation, or the last where validation rows are trained on.

    Args:
        keeper: The trainer's first ``ModelCheckpoint``; None if it writes no checkpoints.
        train_on_all: Whether the validation rows are trained on too.
    """
    best = getattr(keeper, "best_model_path", "")
    if not best:
        return None
    return Path(best).with_name(f"{LAST}.ckpt") if train_on_all else Path(best)
