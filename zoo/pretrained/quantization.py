"""Matrices of weights in 8 bits: whole numbers with a scale for each row."""

from __future__ import annotations

import torch
from torch import Tensor

LEVELS = 127
"""Largest stored number: symmetric about 0, as is usual for weights (Jacob et al., 2018)."""
QUANTIZED, SCALE = ".int8", ".scale"
"""Endings of the names under which the numbers and the scales of a matrix are stored."""


def quantize(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Round a matrix to 8 bits with a scale for each row, ``weight ≈ scale * number``.

    The scale of a row is its largest magnitude divided by 127, so an element is off by at most half of it. A row is
    what belongs to one output unit, one channel of a convolution or one word of an embedding.

    Args:
        weight: Finite weights (R, ...), floats, of at least 2 dimensions.

    Returns:
        The numbers (R, ...), int8 from -127 to 127, and the scales (R,), float32.
    """
    rows = weight.detach().float().flatten(1)
    scale = rows.abs().amax(1) / LEVELS
    numbers = (rows / torch.where(scale > 0, scale, 1.0)[:, None]).round().clamp(-LEVELS, LEVELS)
    return numbers.to(torch.int8).reshape(weight.shape), scale


def dequantize(numbers: Tensor, scale: Tensor) -> Tensor:
    """Return the weights (R, ...), float32, of numbers (R, ...) and scales (R,); see ``quantize``."""
    return numbers.float() * scale.reshape(-1, *[1] * (numbers.ndim - 1))


def is_quantizable(weight: Tensor) -> bool:
    """Whether 8 bits hold a tensor in less space than half precision, and all its values: a finite matrix of floats.

    With its scale, a row of up to 4 elements is smaller in half precision.
    """
    return (
        weight.dtype == torch.float32
        and weight.ndim > 1
        and weight.numel() > 4 * len(weight)
        and bool(torch.isfinite(weight).all())
    )


def quantize_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a state with its matrices in 8 bits, ``name`` as ``name.int8`` and ``name.scale``.

    Args:
        state: Tensors by name; those that are not ``is_quantizable`` stay as they are.
    """
    stored = {}
    for name, value in state.items():
        if is_quantizable(value):
            stored[name + QUANTIZED], stored[name + SCALE] = quantize(value)
        else:
            stored[name] = value
    return stored


def dequantize_state(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the state that ``quantize_state`` has stored, its matrices in float32; other states as they are.

    Raises:
        ValueError: If a scale is missing, or it or its matrix is not of the right kind or shape.
    """
    state = dict(stored)
    for key in stored:
        name = key.removesuffix(QUANTIZED)
        if name == key:
            continue
        numbers, scale = state.pop(key), state.pop(name + SCALE, None)
        if scale is None:
            raise ValueError(f"{key} has no {name + SCALE}")
        if numbers.dtype != torch.int8 or numbers.ndim < 2:
            found = f"{numbers.dtype} {tuple(numbers.shape)}"
            raise ValueError(f"{key} is {found}, expected torch.int8 of at least 2 dimensions")
        if scale.dtype != torch.float32 or scale.shape != numbers.shape[:1]:
            found, rows = f"{scale.dtype} {tuple(scale.shape)}", tuple(numbers.shape[:1])
            raise ValueError(f"{name + SCALE} is {found}, expected torch.float32 {rows}")
        wrong = ~(torch.isfinite(scale) & (scale >= 0))
        if bool(wrong.any()):
            raise ValueError(f"{name + SCALE} has {int(wrong.sum())} values that are negative or not finite")
        if name in state:
            raise ValueError(f"{name} is stored twice, in 8 bits and as it is")
        state[name] = dequantize(numbers, scale)
    return state
