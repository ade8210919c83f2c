"""The graphs of a model's network, their example inputs, and what the inputs and outputs are."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from zoo.nn.graphs import Graph

UNKNOWN_OUTPUT = "output of the network"


def graphs_of(model: Any, example: Any = None) -> dict[str, Graph]:
    """Return the graphs of a model's network by name: those of its method ``graphs``, or one under the empty name.

    Args:
        model: A ``LightningModule`` with a network ``net``.
        example: Inputs of the network: a tensor, a tuple or a dictionary; ``model.example_input_array`` if None.

    Raises:
        ValueError: If the model has no network, there is no example, or the network does not take it.
    """
    owner: str = type(model).__name__
    net: Any = getattr(model, "net", None)
    if not isinstance(net, nn.Module):
        raise ValueError(f"{owner} has no network to export: expected a LightningModule with a torch.nn.Module as net")
    several: Any = getattr(net, "graphs", None)
    if callable(several):
        with torch.random.fork_rng(devices=[]):  # a network in training may draw numbers
            return several()
    example = getattr(model, "example_input_array", None) if example is None else example
    inputs = {name: _two_samples(x, name) for name, x in _named(model, net, example, owner).items()}
    try:
        answer = _applied(net, inputs)
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"{owner}: the network does not take its example: {reason}") from error
    outputs = [answer] if isinstance(answer, Tensor) else answer
    if not isinstance(outputs, (tuple, list)) or not all(isinstance(part, Tensor) for part in outputs):
        raise ValueError(
            f"{owner}: the network returns a {type(answer).__name__}, expected a tensor or a tuple of them"
        )
    meanings = {name: describe_input(model, name, x) for name, x in inputs.items()}
    told: Mapping[str, str] = getattr(model, "net_output", {})
    if len(told) != len(outputs):
        told = {f"output_{k}" if len(outputs) > 1 else "output": UNKNOWN_OUTPUT for k in range(len(outputs))}
    return {"": Graph(net, inputs, tuple(told), optional_axes=_free_axes(net, inputs), meanings={**meanings, **told})}


def _applied(net: nn.Module, inputs: Mapping[str, Tensor]) -> Any:
    """Return what a network in evaluation mode makes of inputs; the modes of its parts stay as they are."""
    modes = [(module, module.training) for module in net.modules()]
    try:
        with torch.no_grad():
            return net.eval()(*inputs.values())
    finally:
        for module, training in modes:
            module.training = training


def _free_axes(net: nn.Module, inputs: Mapping[str, Tensor]) -> dict[str, dict[int, str]]:
    """Return the axes that may be of any size: height and width of images, lengths of sequences of ids.

    It is tried: a network that takes larger ones takes any.
    """
    axes: dict[str, dict[int, str]] = {}
    larger = dict(inputs)
    for name, x in inputs.items():
        if x.is_floating_point():
            found = {2: "height", 3: "width"} if x.ndim == 4 else {}
        else:
            found = {axis: {1: "length", 2: "inner_length"}.get(axis, f"size_{axis}") for axis in range(1, x.ndim)}
        if found:
            axes[name] = found
        for axis in found:
            larger[name] = torch.cat([larger[name], larger[name].narrow(axis, 0, 1)], axis)
    try:
        if axes:
            _applied(net, larger)
    except Exception:
        return {}
    return axes


def _named(model: Any, net: nn.Module, example: Any, owner: str) -> dict[str, Tensor]:
    """Return the inputs of an example by name: its own, those of the model's ``net_inputs`` or of ``forward``."""
    if isinstance(example, dict):
        found = dict(example)
    else:
        parts = example if isinstance(example, (tuple, list)) else [example]
        told = list(getattr(model, "net_inputs", {}))
        if len(told) != len(parts):
            several = [f"input_{k}" for k in range(len(parts))]
            names = (_argument_names(function)[: len(parts)] for function in (model.forward, net.forward))
            told = next((found for found in names if len(found) == len(parts)), several)
        found = dict(zip(told, parts))
    if not found or not all(isinstance(x, Tensor) for x in found.values()):
        raise ValueError(
            f"{owner} has no example_input_array of tensors, by which its network is traced: set it, or give example"
        )
    return found


def _argument_names(function: Any) -> list[str]:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [name for name, part in inspect.signature(function).parameters.items() if part.kind in kinds]


def _two_samples(x: Tensor, name: str) -> Tensor:
    """Return an example with two samples: torch takes an axis of one for a fixed one."""
    if not x.ndim or not len(x):
        raise ValueError(f"example {name} of shape {tuple(x.shape)}: expected at least one sample")
    x = x.detach()
    return x[:2] if len(x) > 1 else x.repeat(2, *[1] * (x.ndim - 1))


def describe_input(model: Any, name: str, x: Tensor) -> str:
    """Return what an input of a model's network is, with its unit."""
    told = getattr(model, "net_inputs", {})
    if name in told:
        return told[name]
    if not x.is_floating_point():
        return "ids, padded with 0"
    if x.ndim == 4 and x.shape[1] in (1, 2, 3, 4):
        return "images, grey levels or colours in [0, 1]"
    return "samples in the units of the data"
