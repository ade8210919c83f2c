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

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log the histograms."""
        writer = self.writer(trainer, pl_module)
        if writer is None:
            return
        for name, parameter in pl_module.get_submodule("net").named_parameters():
            _add(writer, f"weights/{name}", parameter, trainer.global_step)
            if parameter.grad is not None:
                _add(writer, f"gradients/{name}", parameter.grad, trainer.global_step)


def _add(writer: Any, tag: str, values: Tensor, step: int) -> None:
    values = values.detach().to_dense().float().flatten()
    values = values[values.isfinite()]
    if len(values):
        writer.add_histogram(tag, values.cpu(), step)
