"""Trainer flags that manual optimisation cannot honour, and accumulation of gradients."""

from __future__ import annotations

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint


def refuse_flags(trainer: L.Trainer, chunked: bool) -> None:
    """Raise for a Trainer flag that manual optimisation cannot honour.

    Args:
        trainer: Lightning's ``Trainer``.
        chunked: Whether a training step holds several batches, so that steps are not batches. If not, the model
            overrides ``update``.
    """
    clips, accumulates = bool(trainer.gradient_clip_val), trainer.accumulate_grad_batches > 1
    if not chunked:
        for flag, used in {"gradient_clip_val": clips, "accumulate_grad_batches": accumulates}.items():
            if used:
                raise ValueError(f"{flag} does not work with a model that overrides update: leave it out")
        return
    check = trainer.val_check_interval
    refused = {
        "gradient_clip_val": (clips, "the model's clip_norm"),
        "accumulate_grad_batches": (accumulates, "the model's accumulate"),
        "val_check_interval": (check not in (None, 1.0) or isinstance(check, int), "check_val_every_n_epoch"),
        "overfit_batches": (getattr(trainer, "overfit_batches", 0), "limit_train_batches"),
        "limit_train_batches": (
            isinstance(trainer.limit_train_batches, float) and trainer.limit_train_batches < 1.0,
            "a whole number of batches",
        ),
        "every_n_train_steps": (
            any(getattr(c, "_every_n_train_steps", 0) for c in trainer.callbacks if isinstance(c, ModelCheckpoint)),  # type: ignore[attr-defined]
            "every_n_epochs",
        ),
    }
    for flag, (is_set, instead) in refused.items():
        if is_set:
            raise ValueError(f"{flag} does not work with batches_per_step > 1: use {instead} or batches_per_step=1")


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
