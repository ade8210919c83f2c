"""One trial: a training whose value is the best metric on validation."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.loggers import TensorBoardLogger

from zoo.errors import needs
from zoo.recipes import Recipe
from zoo.training.interrupts import lightning_interrupts
from zoo.tuning.space import build_trial

optuna = needs("optuna", "tune")


class ReportMetric(Callback):
    """Report the model's ``monitor`` to an Optuna trial after each validation and stop a hopeless one.

    Args:
        trial: The trial; None only keeps the best value.
        prune: Whether the trial may be stopped.
    """

    def __init__(self, trial: Any = None, prune: bool = True) -> None:
        self.trial = trial
        self.prune = prune
        self.values: list[float] = []
        self.pruned = False

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Report the metric."""
        value = trainer.callback_metrics.get(str(pl_module.monitor))
        if trainer.sanity_checking or value is None:
            return
        self.values.append(float(value))
        if not math.isfinite(self.values[-1]):
            trainer.should_stop = True
        elif self.trial is not None:
            with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
                self.trial.report(self.values[-1], step=len(self.values))
            if self.prune and self.trial.should_prune():
                self.pruned = trainer.should_stop = True

    def best(self, monitor: str, mode: str) -> float:
        """Return the best value.

        Raises:
            ArithmeticError: If the metric was not finite.
            ValueError: If it was never measured.
        """
        if not self.values:
            raise ValueError(f"{monitor} was never measured: the trainer validates nothing")
        if not math.isfinite(self.values[-1]):
            raise ArithmeticError(f"{monitor} was {self.values[-1]} after validation {len(self.values)}")
        return min(self.values) if mode == "min" else max(self.values)


class TrialLogger(TensorBoardLogger):
    """TensorBoard logger of a trial, whose hyper-parameters are the searched ones and are logged with their result."""

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Log nothing: those of the model and its data are the same for all trials, but for the searched ones."""

    def log_result(self, params: Mapping[str, Any], name: str, value: float) -> None:
        """Log the row of TensorBoard's HParams page."""
        super().log_hyperparams(dict(params), {name: value})


def train_trial(
    recipe: Recipe,
    params: Mapping[str, Any],
    seed: int,
    folder: Path | None = None,
    trial: Any = None,
    prune: bool = True,
) -> float:
    """Train a recipe with other arguments and return its best metric on validation; the test split stays closed.

    Args:
        recipe: What is searched.
        params: Values by parameter, ``<section>.<argument>``.
        seed: Seed of the training.
        folder: Folder of TensorBoard's logs; none are written if None.
        trial: Optuna's trial, to which each validation is reported.
        prune: Whether a hopeless trial is stopped.

    Raises:
        optuna.TrialPruned: If it was stopped.
        ArithmeticError: If the metric was not finite.
        KeyboardInterrupt: If the training was interrupted.
        zoo.training.interrupts.Terminated: If SIGTERM ended it.
    """
    logger: Any = TrialLogger(folder.parent, name="", version=folder.name) if folder else False
    report = ReportMetric(trial, prune)
    model, data, trainer = build_trial(recipe, params, seed, logger=logger)
    stop = EarlyStopping(
        model.monitor, mode=model.mode, patience=model.hparams["patience"], strict=False, check_finite=False
    )
    trainer.callbacks += [stop, report]
    with lightning_interrupts():
        trainer.fit(model, data)
    if trainer.interrupted:
        raise KeyboardInterrupt
    if trial is not None:
        with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
            trial.set_user_attr("epochs", trainer.current_epoch)
    value = report.best(model.monitor, model.mode)
    if folder:
        shown = {
            name: value if isinstance(value, (bool, int, float, str)) else str(value) for name, value in params.items()
        }
        logger.log_result(shown, f"best_{model.monitor}", value)
        logger.finalize("success")
    if report.pruned:
        raise optuna.TrialPruned
    return value
