"""Tracing of networks by ``torch.export``, recurrent layers over sequences of any length included."""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from zoo.errors import in_one_line
from zoo.nn.graphs import Graph

GATES = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN_TANH": (0,), "RNN_RELU": (0,)}
"""Recurrent layers by ``torch.nn.RNNBase.mode``, with the positions in torch of the gates in the order of ONNX."""
ONNX_WEIGHTS = ("input_weights", "recurrent_weights", "biases")
NAMESPACE = "lightning_zoo"
"""Namespace of the operators that stand for torch's recurrent layers while a network is traced."""


class Traced(NamedTuple):
    """A traced graph."""

    program: Any
    """The ``torch.export.ExportedProgram``."""
    axes: dict[str, str]
    """Names of the free sizes by their symbols in the program."""


def trace(graph: Graph, *, for_onnx: bool = False) -> Traced:
    """Trace a graph in evaluation mode and float32 on the CPU; the network itself is not changed.

    The axes of the graph's ``axes`` are free. The ``optional_axes`` are free if the network allows it for all of them.

    Args:
        graph: The graph.
        for_onnx: Whether recurrent layers become operators of ONNX, which torch cannot execute.

    Raises:
        ValueError: If the network cannot be copied or traced.
    """
    with _refusing("cannot be copied"):
        module = copy.deepcopy(graph.module).cpu().float().eval().requires_grad_(False)
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.data = tensor.data.contiguous()
    _replace_recurrent_layers(module, for_onnx)
    inputs = {name: x.detach().cpu() for name, x in graph.inputs.items()}
    inputs = {name: x.float() if x.is_floating_point() else x for name, x in inputs.items()}
    with warnings.catch_warnings(), torch.enable_grad():
        warnings.simplefilter("ignore")
        if graph.optional_axes:
            with contextlib.suppress(Exception):  # the network fixes one of them
                return _trace(module, inputs, {**graph.axes, **graph.optional_axes}, for_onnx)
        with _refusing("cannot be traced"):
            return _trace(module, inputs, graph.axes, for_onnx)


def _trace(module: nn.Module, inputs: dict[str, Tensor], axes: dict[str, dict[int, str]], for_onnx: bool) -> Traced:
    names = {name: {0: "batch", **axes.get(name, {})} for name in inputs}
    # The sizes have bounds, such as the width of a kernel, so they are free without being named for torch.
    shapes = [dict.fromkeys(names[name], torch.export.Dim.DYNAMIC) for name in inputs]
    arguments = inspect.signature(module.forward).bind(*shapes).arguments
    program = torch.export.export(module, tuple(inputs.values()), dynamic_shapes=dict(arguments))
    # Guards, which torch would check at each call, say how the tensors of the example lie in memory, such as that the
    # height is a multiple of a stride. The operators do not depend on it; ranges of sizes are checked all the same.
    program._guards_code = []
    symbols = {
        str(x.shape[axis]): word for name, x in zip(inputs, user_inputs(program)) for axis, word in names[name].items()
    }
    return Traced(program if for_onnx else _with_operators_of_torch(program), symbols)


@contextmanager
def _refusing(what: str) -> Iterator[None]:
    """Turn whatever torch raises inside the block into a ``ValueError`` of one line."""
    try:
        yield
    except Exception as error:
        reason = in_one_line(error)
        raise ValueError(
            f"the network {what}: {reason[:200]}{'...' * (len(reason) > 200)}; "
            "hooks, parametrisations and branches on values are usual causes"
        ) from error


def user_inputs(program: Any) -> list[Tensor]:
    """Return the inputs of a traced program without values, with symbols as their free sizes."""
    names = set(program.graph_signature.user_inputs)
    return [node.meta["val"] for node in program.graph.nodes if node.op == "placeholder" and node.name in names]


def user_outputs(program: Any) -> list[Tensor]:
    """Return the outputs of a traced program, likewise."""
    values = {node.name: node.meta["val"] for node in program.graph.nodes if "val" in node.meta}
    return [values[name] for name in program.graph_signature.user_outputs]


# ---- recurrent layers ----
#
# torch.export unrolls a recurrent layer to find the shapes of its result, which fixes the length of the sequences. So
# the layer is traced as an operator that has nothing but these shapes, and torch's own takes its place afterwards.


def _replace_recurrent_layers(module: nn.Module, for_onnx: bool) -> None:
    for layer in module.modules():
        if isinstance(layer, nn.RNNBase) and not layer.proj_size:
            if for_onnx:
                _reorder_weights(layer)
            step = _onnx_layer if for_onnx else _torch_layer
            layer.forward = types.MethodType(step, layer)


def _initial_state(layer: nn.RNNBase, x: Tensor, state: Any) -> list[Tensor]:
    if state is not None:
        return [*state] if isinstance(state, tuple) else [state]
    if not isinstance(x, Tensor) or x.ndim != 3:
        raise ValueError(f"input of a recurrent layer: expected a batch of padded sequences, not {type(x).__name__}")
    rows = layer.num_layers * (1 + layer.bidirectional)
    zeros = x.new_zeros(rows, x.shape[0 if layer.batch_first else 1], layer.hidden_size)
    return [zeros, zeros] if layer.mode == "LSTM" else [zeros]


def _torch_layer(layer: nn.RNNBase, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
    """Apply a recurrent layer by the operator that stands for torch's."""
    start = _initial_state(layer, x, state)
    weights = [getattr(layer, name) for names in layer._all_weights for name in names]
    settings = (layer.bias, layer.num_layers, 0.0, False, layer.bidirectional, layer.batch_first)
    operator = _shape_operator(layer.mode.lower())
    outputs, *last = operator(x, start if layer.mode == "LSTM" else start[0], weights, *settings)
    return outputs, tuple(last) if layer.mode == "LSTM" else last[0]


@functools.cache
def _shape_operator(name: str) -> Any:
    """Define an operator with the arguments and the shapes of torch's, and without a computation."""
    states = 2 if name == "lstm" else 1
    settings = "bool has_biases, int num_layers, float dropout, bool train, bool bidirectional, bool batch_first"
    schema = f"(Tensor input, Tensor{'[]' * (states == 2)} hx, Tensor[] params, {settings}) -> "
    torch.library.define(f"{NAMESPACE}::{name}", schema + f"({', '.join(['Tensor'] * (1 + states))})")

    def shapes(
        x: Tensor,
        start: Any,
        weights: Any,
        _bias: bool,
        _layers: int,
        _p: float,
        _train: bool,
        both: bool,
        _first: bool,
    ):
        first = start if states == 1 else start[0]
        outputs = x.new_empty(*x.shape[:2], first.shape[2] * (1 + both))
        return (outputs, *(torch.empty_like(part) for part in ([start] if states == 1 else start)))

    torch.library.register_fake(f"{NAMESPACE}::{name}")(shapes)
    return getattr(getattr(torch.ops, NAMESPACE), name).default


def _with_operators_of_torch(program: Any) -> Any:
    for node in program.graph.nodes:
        if node.op == "call_function" and str(node.target).startswith(f"{NAMESPACE}."):
            node.target = getattr(torch.ops.aten, str(node.target).split(".")[1]).input
    program.graph_module.recompile()
    return program


def _onnx_layer(layer: nn.RNNBase, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
    """Apply a recurrent layer by the operators of ONNX, which have one layer and the time as first axis."""
    start = _initial_state(layer, x, state)
    x = x.transpose(0, 1) if layer.batch_first else x
    directions, size, last = 1 + layer.bidirectional, layer.hidden_size, []
    attributes: dict[str, Any] = {"hidden_size": size}
    attributes |= {"direction": "bidirectional"} if layer.bidirectional else {}
    attributes |= {"linear_before_reset": 1} if layer.mode == "GRU" else {}
    attributes |= {"activations": ["Relu"] * directions} if layer.mode == "RNN_RELU" else {}
    for number in range(layer.num_layers):
        parts = [part[number * directions : (number + 1) * directions] for part in start]
        weights = [getattr(layer, f"{name}_{number}") for name in ONNX_WEIGHTS]
        shapes = [(x.shape[0], directions, x.shape[1], size), *((directions, x.shape[1], size) for _ in parts)]
        outputs, *after = torch.onnx.ops.symbolic_multi_out(
            layer.mode.partition("_")[0],
            (x, *weights, None, *parts),
            attributes,
            dtypes=[x.dtype] * len(shapes),
            shapes=shapes,
        )
        x = outputs.transpose(1, 2).flatten(2)
        last.append(after)
    state = tuple(torch.cat(parts) for parts in zip(*last))
    return x.transpose(0, 1) if layer.batch_first else x, state if layer.mode == "LSTM" else state[0]


def _reorder_weights(layer: nn.RNNBase) -> None:
    """Replace the weights of a recurrent layer by those of ONNX: (D, G H, C), (D, G H, H) and (D, 2 G H) a layer.

    D is the number of directions and G that of the gates, whose order is another than in torch.
    """
    gates, directions = GATES[layer.mode], 1 + layer.bidirectional
    ordered = [
        [torch.cat([getattr(layer, name).chunk(len(gates))[gate] for gate in gates]) for name in names]
        for names in layer._all_weights
    ]
    for number in range(layer.num_layers):
        rows = ordered[number * directions : (number + 1) * directions]
        biases = [torch.cat(row[2:4]) if layer.bias else row[0].new_zeros(2 * len(row[0])) for row in rows]
        found = [row[0] for row in rows], [row[1] for row in rows], biases
        for name, parts in zip(ONNX_WEIGHTS, found, strict=True):
            layer.register_buffer(f"{name}_{number}", torch.stack(parts))
    layer._parameters.clear()
