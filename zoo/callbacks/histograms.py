"""Histograms of weights and gradients in TensorBoard."""

from __future__ import annotations

from typing import Any

import lightning as L
from torch import Tensor

from zoo.callbacks.tensorboard import TensorBoardCallback


class Histograms(TensorBoardCallback):
    """Log histograms of each parameter of the network and of its gradient after each training epoch.

    ``weights/<parameter>`` are the weights, ``gradients/<parameter>`` the gradient of the epoch's last update as the
    optimiser took it, clipped and averaged. Values that are not finite are left out. ``default_callbacks`` does not add
    it, since large networks take seconds: ``callbacks=[*default_callbacks(model), Histograms()]``.
    """

    takes_chunks = True

    def __init__(self) -> None:
        self._gradients: dict[str, Tensor] = {}

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the gradients of the last update, which Lightning discards before a validation."""
        ends = trainer.is_last_batch or trainer.should_stop or trainer.global_step == trainer.max_steps
        self._gradients = _gradients(pl_module) if ends and self.writer(trainer, pl_module) is not None else {}

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log the histograms."""
        writer = self.writer(trainer, pl_module)
        if writer is None:
            return
        for name, parameter in pl_module.get_submodule("net").named_parameters():
            _add(writer, f"weights/{name}", parameter, trainer.global_step)
        for name, gradient in (self._gradients or _gradients(pl_module)).items():
            _add(writer, f"gradients/{name}", gradient, trainer.global_step)
        self._gradients = {}


def _gradients(model: L.LightningModule) -> dict[str, Tensor]:
    parameters = model.get_submodule("net").named_parameters()
    return {name: parameter.grad for name, parameter in parameters if parameter.grad is not None}


def _add(writer: Any, tag: str, values: Tensor, step: int) -> None:
    values = values.detach().to_dense().float().flatten()
    values = values[values.isfinite()]
    if len(values):
        writer.add_histogram(tag, values.cpu(), step)
