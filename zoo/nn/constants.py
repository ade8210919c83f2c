"""Constants in computations."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def constant(values: Sequence[float], like: Tensor) -> Tensor:
    """Return numbers (K,) with the dtype and on the device of a tensor.

    They are written there one by one: ``torch.tensor`` copies them from the host, which no CUDA graph can.
    """
    return torch.stack([torch.full((), value, dtype=like.dtype, device=like.device) for value in values])
