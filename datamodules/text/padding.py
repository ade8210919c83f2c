"""Padding of batches of token ids."""

from __future__ import annotations

from torch import Tensor

MULTIPLE = 8
ROUNDED_ON = ("cuda",)
"""Kinds of devices on which lengths are rounded up to a multiple of ``MULTIPLE``: for each shape of a batch kernels are
chosen, and an update is captured. On a CPU each position of padding takes time."""


def truncate(ids: Tensor, longest: Tensor | int, axis: int = 1) -> Tensor:
    """Truncate padded ids (N, T, ...) along an axis to the longest row; on a GPU somewhat longer, so in few shapes."""
    length = int(longest)
    if ids.device.type in ROUNDED_ON:
        length = -(-length // MULTIPLE) * MULTIPLE
    return ids.narrow(axis, 0, min(length, ids.shape[axis]))
