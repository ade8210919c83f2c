"""Networks in two parts: a head, whose last layers give the scores of classes, and the backbone before it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from zoo.base import ZooModule


class Part(nn.Module):
    """A module without some of the modules inside it: the rest under the same names, shared and not copied.

    Args:
        module: The module.
        without: Names of the modules that are excluded.
    """

    def __init__(self, module: nn.Module, without: Sequence[str]) -> None:
        super().__init__()
        self.training = module.training
        for name, parameter in module._parameters.items():
            self.register_parameter(name, parameter)
        for name, buffer in module._buffers.items():
            self.register_buffer(name, buffer, persistent=name not in module._non_persistent_buffers_set)
        for name, child in module._modules.items():
            inside = [each.removeprefix(f"{name}.") for each in without if each.startswith(f"{name}.")]
            if name not in without:
                self.add_module(name, Part(child, inside) if inside and child is not None else child)


class Backbone(Part):
    """All of a network but its head, as a module that shares the network's parameters; it returns the features.

    Args:
        net: The network.
        head: Names of the layers of the head.
        features: Function of the network inputs that returns the features.
    """

    def __init__(self, net: nn.Module, head: Sequence[str], features: Callable[..., Tensor]) -> None:
        super().__init__(net, head)
        self._features = features

    def forward(self, *inputs: Tensor) -> Tensor:
        """Map the network inputs of N samples to features (N, F)."""
        return self._features(*inputs)


class ModelWithHead(ZooModule):
    """Base of the models whose network ends in output layers, the head, of as many outputs as there are classes."""

    head_arguments: ClassVar[dict[str, str]] = {}
    """Arguments that are numbers of classes, each with the argument that has the names of these classes."""
    class_arguments: ClassVar[tuple[str, ...]] = ()
    """Further arguments that have a meaning for these classes alone."""

    @property
    def output_layers(self) -> tuple[str, ...]:
        """Names in ``net`` of the layers of the head: the last linear layer, if a subclass does not say otherwise.

        Raises:
            ValueError: If the network has no linear layer, or the last one has another number of outputs.
        """
        layers = [(name, layer) for name, layer in self.net.named_modules() if isinstance(layer, nn.Linear)]
        classes = self.hparams.get("num_classes")
        fitting = (classes, 1) if classes in (0, 2) else (classes,)  # two classes may share one output
        if not layers or (classes is not None and layers[-1][1].out_features not in fitting):
            found = f"{layers[-1][1].out_features} outputs in its last linear layer" if layers else "no linear layer"
            raise ValueError(f"{type(self).__name__} has {found}, no output for each class: override output_layers")
        return (layers[-1][0],)

    def head_inputs(self, *inputs: Any) -> list[Tensor]:
        """Return what the first output layer takes, a tensor each time it is applied to the network inputs."""
        found: list[Tensor] = []
        own = threading.get_ident()

        def keep(_: nn.Module, args: tuple[Tensor, ...]) -> None:
            if threading.get_ident() == own:
                found.append(args[0])

        handle = self.net.get_submodule(self.output_layers[0]).register_forward_pre_hook(keep)
        try:
            self(*inputs)
        finally:
            handle.remove()
        if not found:
            raise ValueError(f"the output layer of {type(self).__name__} was not called: is its network compiled?")
        return found

    def mean_head_input(self, *inputs: Any) -> Tensor:
        """Return what the first output layer takes, the mean where the network averages the scores of several calls."""
        found = self.head_inputs(*inputs)
        return sum(found[1:], start=found[0]) / len(found) if len(found) > 1 else found[0]

    @property
    def backbone(self) -> Backbone:
        """All of the network but its head, which Lightning's ``BackboneFinetuning`` freezes for some epochs.

        Its parameters are those of ``net``, under the same names; called with network inputs, it returns the features.
        """
        return Backbone(self.net, self.output_layers, self.mean_head_input)
