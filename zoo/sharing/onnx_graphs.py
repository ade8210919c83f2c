"""Conversion of traced networks to ONNX."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from zoo.errors import in_one_line, needs

OPSET = 18
"""Version of the operators of ONNX, that of ``torch.onnx`` without a conversion; ``onnxruntime`` has it since 1.14."""
LARGEST = 2**31 - 2**20
"""Largest number of bytes of weights in one file: the format ends at 2 GB, graph and metadata included."""


def onnx_bytes(
    program: Any, inputs: list[str], outputs: list[str], axes: Mapping[str, str], facts: Mapping[str, str]
) -> bytes:
    """Convert a traced network to the bytes of one ONNX file.

    Args:
        program: ``torch.export.ExportedProgram``, traced for ONNX.
        inputs: Names of the inputs.
        outputs: Names of the outputs.
        axes: Names of the free sizes by their symbols in the program.
        facts: Metadata by name.

    Raises:
        ValueError: If the weights are larger than one file, or an operator has no equivalent in ONNX.
        ModuleNotFoundError: If ``onnx`` or ``onnxscript`` is not installed.
    """
    onnx = needs("onnx", "export")
    needs("onnxscript", "export")
    size = sum(tensor.numel() * tensor.element_size() for tensor in program.state_dict.values())
    if size > LARGEST:
        raise ValueError(f"weights of {size / 1e9:.1f} GB: one ONNX file holds 2 GB; choose the format torch_export")
    aten = torch.ops.aten
    table: dict[Any, Any] = {aten.median.dim: _median, aten.nanmedian.dim: _nanmedian}
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            if any(node.target in table for node in program.graph.nodes):
                program = program.run_decompositions(table)
            converted = torch.onnx.export(
                program,
                dynamo=True,
                opset_version=OPSET,
                input_names=inputs,
                output_names=outputs,
                external_data=False,
                verbose=False,
            )
    except Exception as error:
        reason = in_one_line(_first_cause(error))
        raise ValueError(f"the network cannot be converted to ONNX: {reason[:300]}") from error
    assert converted is not None
    model = converted.model_proto
    _name_axes(model, axes)
    model.producer_name, model.producer_version = "lightning-zoo", facts.get("zoo_version", "")
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, dict(facts))
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _first_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _name_axes(model: Any, axes: Mapping[str, str]) -> None:
    """Replace the symbols of free sizes by their names, also where a size is computed from them."""
    if not axes:
        return
    symbols = re.compile(rf"\b({'|'.join(map(re.escape, axes))})\b")
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param:
                size.dim_param = symbols.sub(lambda found: axes[found.group()], size.dim_param)


# ---- operators that torch.onnx lacks ----


def _median(x: Tensor, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """Return the lower median along an axis and its place, as ``torch.median`` without NaN."""
    values, places = x.sort(dim)
    middle = (x.shape[dim] - 1) // 2
    return _kept(values.narrow(dim, middle, 1), places.narrow(dim, middle, 1), dim, keepdim)


def _nanmedian(x: Tensor, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """Return the lower median along an axis of what is not NaN and its place, as ``torch.nanmedian``."""
    missing = x.isnan()
    values, places = x.masked_fill(missing, torch.inf).sort(dim)
    count = (~missing).sum(dim, keepdim=True)
    middle = (count - 1).clamp_min(0) // 2
    found = values.gather(dim, middle).masked_fill(count == 0, torch.nan)
    return _kept(found, places.gather(dim, middle), dim, keepdim)


def _kept(values: Tensor, places: Tensor, dim: int, keepdim: bool) -> tuple[Tensor, Tensor]:
    return (values, places) if keepdim else (values.squeeze(dim), places.squeeze(dim))
