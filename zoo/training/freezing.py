"""Lightning's ``BackboneFinetuning`` with the models of this package: what it freezes, and until when."""

from __future__ import annotations

from typing import Any

import lightning as L
from lightning.pytorch.callbacks import BackboneFinetuning
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def backbone_finetuning(trainer: L.Trainer | None) -> BackboneFinetuning | None:
    """Return the callback ``BackboneFinetuning`` of a trainer, None if it has none."""
    callbacks = trainer.callbacks if trainer is not None else []  # type: ignore[attr-defined]
    return next((each for each in callbacks if isinstance(each, BackboneFinetuning)), None)


def check_backbone(trainer: L.Trainer, model: Any) -> None:
    """Raise ``ValueError`` if a trainer is to freeze the backbone of a model that has none, or one without weights."""
    if backbone_finetuning(trainer) is None:
        return
    name = type(model).__name__
    if not isinstance(getattr(model, "backbone", None), nn.Module):
        raise ValueError(f"BackboneFinetuning freezes model.backbone, which {name} does not have: leave it out")
    if next(model.backbone.parameters(), None) is None:
        raise ValueError(f"BackboneFinetuning has nothing to freeze in {name}, which is its output layer alone")


def freeze_norms(model: Any) -> list[nn.Module]:
    """Freeze the batch normalisation of a backbone that ``BackboneFinetuning`` has frozen, and return its layers.

    The callback leaves it trainable. Since the optimiser, which is built next, does not have its parameters, the
    callback adds them with the rest of the backbone; until then ``train_norms`` keeps its statistics.
    """
    trainer = getattr(model, "_trainer", None)
    if backbone_finetuning(trainer) is None:
        return []
    layers: list[nn.Module] = list(model.backbone.modules())
    frozen = [layer for layer in layers if isinstance(layer, _BatchNorm) and layer.training]
    for layer in frozen:
        layer.requires_grad_(False)
    return list[nn.Module](frozen)


def restore_unfrozen(trainer: L.Trainer) -> None:
    """Let the optimisers of a resumed run train all parameters that they have, as they did before.

    ``BackboneFinetuning`` freezes the backbone anew at the beginning of each fit, also after its epoch.
    """
    if backbone_finetuning(trainer) is not None:
        for optimizer in trainer.optimizers:
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    parameter.requires_grad = True


def train_norms(trainer: L.Trainer, frozen: list[nn.Module]) -> list[nn.Module]:
    """Set batch normalisation that ``freeze_norms`` froze to evaluation mode, to training mode once it is unfrozen.

    In evaluation mode it uses its running statistics, which do not change. With ``train_bn=False`` of the callback it
    stays frozen.

    Args:
        trainer: The trainer, at the start of an epoch.
        frozen: The layers.

    Returns:
        The layers that are still frozen.
    """
    callback = backbone_finetuning(trainer)
    trains = callback is not None and callback.train_bn
    trains = trains and trainer.current_epoch >= callback.unfreeze_backbone_at_epoch  # type: ignore[union-attr]
    for layer in frozen:
        layer.train(trains)
    return [] if trains else frozen
