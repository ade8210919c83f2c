"""Graph of a network in TensorBoard."""

from __future__ import annotations

import contextlib
import copy
import inspect
import io
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from zoo.callbacks.tensorboard import TensorBoardCallback

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class Graph(TensorBoardCallback):
    """Log the graph of the network when a fit starts, traced from the model's ``example_input_array``.

    A copy of the network in evaluation mode is traced, so that the model stays as it is. A network that cannot be
    copied or traced is left out.
    """

    def begin(self, model: Any, writer: Any, step: int) -> None:
        """Log the graph."""
        with contextlib.suppress(Exception), warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            example = model.example_input_array
            if example is None:
                return
            net = copy.deepcopy(model.net).eval()
            for module in net.modules():
                for name in HOOKS:  # a user's, which see what is trained and not this
                    getattr(module, name).clear()
            with contextlib.redirect_stdout(io.StringIO()):  # where tracing failed torch prints the reason
                writer.add_graph(net, _on(model.device, positional(net, example)), use_strict_trace=False)


def positional(net: nn.Module, example: Any) -> tuple[Any, ...]:
    """Return the positional arguments of a network for an example: a tensor, a tuple, or a dictionary by name."""
    if not isinstance(example, dict):
        return example if isinstance(example, tuple) else (example,)
    arguments = inspect.signature(net.forward).bind(**example)
    return arguments.args


def _on(device: torch.device, parts: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(part.to(device) if isinstance(part, Tensor) else part for part in parts)
