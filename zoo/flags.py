"""Flags of the Trainer that cannot mean what they say when several batches are handed over at a time."""

from __future__ import annotations

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint


def refuse_flags(trainer: L.Trainer) -> None:
    """Raise for a Trainer flag that would be counted in steps of several batches."""
    check = trainer.val_check_interval
    refused = {
        "gradient_clip_val": (trainer.gradient_clip_val, "the model's clip_norm"),
        "accumulate_grad_batches": (trainer.accumulate_grad_batches > 1, "the model's accumulate"),
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
