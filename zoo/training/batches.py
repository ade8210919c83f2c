"""Checks of what a model is given, in training and by users: one place, before anything else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

STANDARDISED = (-10.0, 10.0)
"""Limits of pixels in training: images may be standardised by a user's loader, but are not bytes."""
UNIT = (0.0, 1.0)
"""Limits of pixels in natural units."""
TOLERANCE = 1e-3
"""By how much interpolation and half precision may exceed limits."""


def as_tensor(x: Any) -> Tensor:
    """Return a tensor as it is, and a NumPy array, of any memory layout, or a list of either as a new tensor.

    Raises:
        ValueError: If it is none of them.
    """
    if isinstance(x, Tensor):
        if x.layout != torch.strided or x.is_meta or x.is_quantized:
            raise ValueError(f"input is a tensor of layout {x.layout} on {x.device}: expected a dense one with values")
        return x
    if isinstance(x, np.ma.MaskedArray) and np.ma.is_masked(x):
        raise ValueError(f"input has {int(np.ma.getmaskarray(x).sum())} masked values: expected numbers")
    if isinstance(x, (list, tuple)) and x and all(isinstance(part, (Tensor, np.ndarray)) for part in x):
        parts = [as_tensor(part) for part in x]
        if any(part.shape != parts[0].shape for part in parts):
            raise ValueError(f"shapes {sorted({tuple(part.shape) for part in parts})}: expected samples of one shape")
        return torch.stack(parts)
    if not isinstance(x, np.ndarray) or x.dtype.kind not in "biufc":
        found = f"an array of {x.dtype}" if isinstance(x, np.ndarray) else type(x).__name__
        raise ValueError(f"input is {found}: expected a tensor or an array of numbers")
    return torch.from_numpy(np.array(x))


def inputs_of(batch: Any) -> Tensor:
    """Return the inputs of a batch for prediction, which is a tensor or a tuple that starts with it.

    Raises:
        ValueError: If it is neither.
    """
    if isinstance(batch, Tensor):
        return batch
    check_batch(batch, ("x",))
    return batch[0]


def has_image_shape(shape: Sequence[int | None]) -> bool:
    """Return whether the shape of a sample is that of a grey or colour image (C, H, W)."""
    return len(shape) == 3 and shape[0] in (1, 3)


def check_batch(batch: Any, parts: Sequence[str]) -> None:
    """Raise ``ValueError`` unless a batch is a tuple of at least the named tensors, with as many rows each."""
    wanted = "(" + ", ".join(parts) + ("," if len(parts) == 1 else "") + ")"
    if isinstance(batch, dict):
        raise ValueError(f"batch is a dictionary with {', '.join(map(str, batch))}: expected a tuple {wanted}")
    if not isinstance(batch, (tuple, list)):
        shape = f" of shape {tuple(batch.shape)}" if isinstance(batch, Tensor) else ""
        raise ValueError(f"batch is a {type(batch).__name__}{shape}: expected a tuple {wanted}")
    if len(batch) < len(parts):
        raise ValueError(f"batch has {len(batch)} parts: expected a tuple {wanted}")
    for number, part in enumerate(batch):
        name = parts[number] if number < len(parts) else f"part {number + 1}"
        if not isinstance(part, Tensor):
            raise ValueError(f"{name} of the batch is a {type(part).__name__}: expected a tensor")
        if number < len(parts) and (not part.ndim or len(part) != len(batch[0])):
            raise ValueError(f"{name} of the batch has shape {tuple(part.shape)}: expected {len(batch[0])} rows")


def check_values(x: Tensor, limits: tuple[float, float] | None = None) -> None:
    """Raise ``ValueError`` unless a batch (N, ...) is floating-point, finite and within its limits, if it has any."""
    if not x.is_floating_point():
        advice = "; a datamodule's stored bytes become floats in Trainer.fit(model, datamodule)"
        raise ValueError(
            f"input of dtype {x.dtype}: expected natural units as floats, such as pixels in [0, 1]"
            + advice * (x.dtype == torch.uint8)
        )
    if not x.numel():
        return
    low, high = (float(bound) for bound in x.detach().aminmax())
    if not -float("inf") < low <= high < float("inf"):  # a NaN makes both bounds NaN
        wrong = ~x.isfinite()
        row = int(torch.nonzero(wrong.flatten(1).any(1) if x.ndim > 1 else wrong)[0])
        what = "NaN" if bool(x.isnan().any()) else "infinite values"
        raise ValueError(f"input has {int(wrong.sum())} {what}, the first in sample {row}: expected finite numbers")
    if limits and (low < limits[0] - TOLERANCE or high > limits[1] + TOLERANCE):
        raise ValueError(f"input ranges from {low:g} to {high:g}: expected [0, 1]")


def check_labels(y: Tensor, num_classes: int | None) -> None:
    """Raise ``ValueError`` unless labels are class indices (N,) of dtype int64 from 0 to ``num_classes`` - 1."""
    end = f"0 to {num_classes - 1}" if num_classes else "0"
    if y.ndim != 1 or y.dtype != torch.int64:
        raise ValueError(f"labels of shape {tuple(y.shape)} and {y.dtype}: expected class indices (N,), int64, {end}")
    if not len(y):
        return
    low, high = int(y.min()), int(y.max())
    if low < 0 or (num_classes is not None and high >= num_classes):
        raise ValueError(f"labels range from {low} to {high}: expected class indices from {end}")


def check_multi_hot(y: Tensor, num_classes: int) -> None:
    """Raise ``ValueError`` unless labels are zeros and ones (N, ``num_classes``) of dtype uint8, bool or int64."""
    if y.ndim != 2 or y.shape[1] != num_classes or y.dtype not in (torch.uint8, torch.bool, torch.int64):
        wanted = f"zeros and ones (N, {num_classes}), uint8"
        raise ValueError(f"labels of shape {tuple(y.shape)} and {y.dtype}: expected {wanted}")
    if y.numel() and not 0 <= int(y.min()) <= int(y.max()) <= 1:
        raise ValueError(f"labels range from {int(y.min())} to {int(y.max())}: expected zeros and ones")


def check_targets(y: Tensor) -> None:
    """Raise ``ValueError`` unless targets are finite floating-point numbers (N,)."""
    if y.ndim != 1 or not y.is_floating_point():
        raise ValueError(f"targets of shape {tuple(y.shape)} and {y.dtype}: expected numbers (N,), float32")
    if not bool(y.isfinite().all()):
        raise ValueError(f"targets have {int((~y.isfinite()).sum())} values that are not finite: expected numbers")


def check_ids(ids: Tensor, vocab_size: int, name: str = "token ids") -> None:
    """Raise ``ValueError`` unless token ids are int64 (N, T) from 0 to ``vocab_size`` - 1."""
    if ids.ndim != 2 or ids.dtype != torch.int64:
        raise ValueError(f"{name} of shape {tuple(ids.shape)} and {ids.dtype}: expected (N, T), int64")
    if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < vocab_size:
        low, high = int(ids.min()), int(ids.max())
        raise ValueError(f"{name} range from {low} to {high}: expected 0 to {vocab_size - 1}")
