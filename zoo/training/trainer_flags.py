"""What a Trainer, its callbacks or a subclass ask for that several batches in one training step cannot give."""

from __future__ import annotations

from typing import Any

import lightning as L
from lightning.pytorch import callbacks as lc
from lightning.pytorch import plugins
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy

BATCH_HOOKS = (
    "on_train_batch_start",
    "on_train_batch_end",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
)
"""Hooks of callbacks and models that Lightning calls for each batch or update."""

OPTIMISATION_METHODS = (
    *BATCH_HOOKS,
    "training_step",
    "optimizers",
    "optimizer_step",
    "optimizer_zero_grad",
    "backward",
    "manual_backward",
    "clip_gradients",
    "configure_gradient_clipping",
    "lr_schedulers",
    "lr_scheduler_step",
    "toggle_optimizer",
    "on_before_batch_transfer",
    "transfer_batch_to_device",
    "on_after_batch_transfer",
)
"""Methods of a model that decide how it learns from a batch; with a ``configure_optimizers`` of its own they are
called by Lightning's automatic optimisation alone."""

INSTEAD = {
    "gradient_clip_val": ", the model's clip_norm does not",
    "accumulate_grad_batches": ", the model's accumulate does not",
}
"""Arguments of a model that do the same with several batches in a training step."""

SAFE = (
    lc.BackboneFinetuning,
    lc.BaseFinetuning,
    lc.BasePredictionWriter,
    lc.Callback,
    lc.Checkpoint,
    lc.DeviceStatsMonitor,
    lc.EarlyStopping,
    lc.LambdaCallback,
    lc.LearningRateMonitor,
    lc.ModelCheckpoint,
    lc.ModelSummary,
    lc.OnExceptionCheckpoint,
    lc.ProgressBar,
    lc.RichModelSummary,
    lc.RichProgressBar,
    lc.TQDMProgressBar,
    lc.Timer,
)
"""Lightning's callbacks that do not depend on the number of batches in a training step."""


PRECISIONS = (plugins.Precision, plugins.MixedPrecision, plugins.HalfPrecision, plugins.DoublePrecision)
"""Precision plugins whose backward pass and update are torch's own, but for a loss scale."""


def datamodule_in_use(trainer: L.Trainer) -> L.LightningDataModule | None:
    """Return the datamodule that a fit takes its batches from; None if its loaders were given by hand.

    Lightning leaves the datamodule of an earlier run at ``trainer.datamodule``.
    """
    source = trainer.fit_loop._data_source.instance
    return source if isinstance(source, L.LightningDataModule) else None


def chunk_obstacle(trainer: L.Trainer, model: Any, base: type, own_update: bool) -> str:
    """Return why a training step must take one batch at a time, as one clause; nothing if it may take several.

    Args:
        trainer: Lightning's ``Trainer``.
        model: The model.
        base: The class whose optimisation takes several batches, ``ZooModule``.
        own_update: Whether the model overrides ``update``, and so chooses how its optimisers are used.
    """
    flag = _flag_obstacle(trainer)
    if flag:
        return f"{flag} counts or changes single batches" + INSTEAD.get(flag, "")
    methods = OPTIMISATION_METHODS if own_update else (*OPTIMISATION_METHODS, "configure_optimizers")
    for method in methods:
        if overrides(model, method, base):
            return f"{type(model).__name__} overrides {method}"
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        found = _callback_obstacle(callback)
        if found:
            return found
    return ""


def overrides(instance: Any, method: str, base: type) -> bool:
    """Return whether an object's class, or the object itself, overrides a method of a base class."""
    return method in vars(instance) or getattr(type(instance), method, None) is not getattr(base, method, None)


def _flag_obstacle(trainer: L.Trainer) -> str:
    """Return the flag of a trainer that counts batches or changes gradients."""
    check, limit = trainer.val_check_interval, trainer.limit_train_batches
    used = {
        "gradient_clip_val": bool(trainer.gradient_clip_val),
        "accumulate_grad_batches": trainer.accumulate_grad_batches != 1,
        "val_check_interval": check not in (None, 1.0) or (isinstance(check, int) and not isinstance(check, bool)),
        "check_val_every_n_epoch=None": trainer.check_val_every_n_epoch is None,
        "overfit_batches": bool(getattr(trainer, "overfit_batches", 0)),
        "limit_train_batches": isinstance(limit, float) and limit < 1.0,
        type(trainer.strategy).__name__: type(trainer.strategy) not in (SingleDeviceStrategy, DDPStrategy),
        type(trainer.precision_plugin).__name__: type(trainer.precision_plugin) not in PRECISIONS,
    }
    return next((flag for flag, is_used in used.items() if is_used), "")


def _callback_obstacle(callback: Any) -> str:
    """Return why a callback needs training steps of one batch; one that has ``takes_chunks = True`` does not."""
    name = type(callback).__name__
    if isinstance(callback, lc.ProgressBar) or getattr(callback, "takes_chunks", False):
        return ""
    for cls in type(callback).__mro__:
        if cls.__module__.split(".")[0] in ("lightning", "pytorch_lightning") and cls not in SAFE:
            return f"the callback {name} counts or changes single updates"
    keeps = isinstance(callback, lc.ModelCheckpoint)
    if keeps and (callback._every_n_train_steps or callback._train_time_interval is not None):
        return f"the callback {name} saves within an epoch"
    if isinstance(callback, lc.LearningRateMonitor) and callback.logging_interval != "epoch":
        return f"the callback {name} logs within an epoch"
    for hook in BATCH_HOOKS:
        definer = next((cls for cls in type(callback).__mro__ if hook in vars(cls)), object)
        if hook in vars(callback) or definer not in SAFE:
            return f"the callback {name} has {hook}"
    return ""


def refuse_flags(trainer: L.Trainer) -> None:
    """Raise ``ValueError`` for a Trainer flag that means nothing to a model that overrides ``update``."""
    used = {
        "gradient_clip_val": bool(trainer.gradient_clip_val),
        "accumulate_grad_batches": trainer.accumulate_grad_batches != 1,
    }
    for flag, is_used in used.items():
        if is_used:
            raise ValueError(f"{flag} does not work with a model that overrides update: leave it out")


def accumulate_batches(trainer: L.Trainer, accumulate: int) -> None:
    """Let the Trainer accumulate the gradients of as many batches as the model says.

    Raises:
        ValueError: If the Trainer's own flag says otherwise.
    """
    if accumulate == 1:
        return
    if trainer.accumulate_grad_batches not in (1, accumulate):
        raise ValueError(
            f"accumulate_grad_batches={trainer.accumulate_grad_batches} of the trainer contradicts "
            f"accumulate={accumulate} of the model: set one of them"
        )
    trainer.accumulate_grad_batches = accumulate
