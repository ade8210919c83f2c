"""Parts of a network that are exported as computation graphs of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn


class Part(nn.Module):
    """Part of a network's computation as a module.

    Args:
        net: The network.
        compute: Function of the network and the inputs, which returns one or several tensors.
    """

    def __init__(self, net: nn.Module, compute: Callable[..., Any]) -> None:
        super().__init__()
        self.net, self.compute = net, compute

    def forward(self, *inputs: Tensor) -> Any:
        """Apply the function to the network and the inputs."""
        return self.compute(self.net, *inputs)


@dataclass(frozen=True)
class Graph:
    """Computation graph of a network, or of one of its parts, before it is traced.

    A network that is used step by step has a method ``graphs`` that returns several by name, such as ``encoder`` and
    ``decoder``, or one under the empty name. Graphs are connected by names: an output ``memory`` of the encoder is the
    input ``memory`` of the decoder, and an output ``new_state_0`` of a step is the input ``state_0`` of the next one.
    Other networks are one graph, that of their ``forward``.

    Args:
        module: Module that takes the inputs in their order and returns one tensor or a tuple of them.
        inputs: Example of each input by name, with two samples; the first axis is that of the samples, whose number is
            free.
        outputs: Names of the outputs.
        axes: Names of further axes of any size, by input and axis.
        optional_axes: Names of axes that are of any size if the network allows it, likewise.
        meanings: What each input and output is, with its unit, by name.
    """

    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]
    axes: dict[str, dict[int, str]] = field(default_factory=dict)
    optional_axes: dict[str, dict[int, str]] = field(default_factory=dict)
    meanings: dict[str, str] = field(default_factory=dict)
