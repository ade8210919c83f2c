"""The first layer of every network, which standardises inputs in natural units."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn


class Standardize(nn.Module):
    """Check the shape of a batch and standardise it: (x - mean) / std.

    The constants are buffers, so a trained network includes its normalisation and takes natural units.

    Args:
        shape: Shape of one sample; ``None`` stands for any size. Samples may also be flattened.
        mean: Mean of each channel (the first axis of ``shape``), or one for all channels.
        std: Standard deviation, likewise.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, shape: Sequence[int | None], mean: float | list[float] = 0.0, std: float | list[float] = 1.0
    ) -> None:
        super().__init__()
        self.shape = tuple(shape)
        for name, value in (("mean", mean), ("std", std)):
            constants = torch.as_tensor(value, dtype=torch.float32).reshape(-1)
            if len(constants) not in (1, self.shape[0]):
                raise ValueError(f"{name} has {len(constants)} values, the input {self.shape[0]} channels")
            self.register_buffer(name, constants.reshape(-1, *[1] * (len(self.shape) - 1)))
        if not bool((self.std > 0).all()):
            raise ValueError(f"std must be positive, not {std!r}")

    def forward(self, x: Tensor) -> Tensor:
        """Standardise a floating-point batch (N, *shape).

        Raises:
            ValueError: If the shape differs or the dtype is not a floating-point one.
        """
        sizes = [size for size in self.shape if size is not None]
        if x.ndim == 2 and len(sizes) == len(self.shape) > 1 and x.shape[1] == prod(sizes):
            x = x.reshape(-1, *sizes)
        shape = x.shape[1:]
        if len(shape) != len(self.shape) or any(w is not None and w != s for w, s in zip(self.shape, shape)):
            wanted = " x ".join("any" if size is None else str(size) for size in self.shape)
            raise ValueError(f"input of shape {tuple(x.shape)}: expected N x {wanted}")
        if not x.is_floating_point():
            raise ValueError(f"input of dtype {x.dtype}: expected natural units as floats, such as pixels in [0, 1]")
        return (x - self.mean).div_(self.std)  # in place: the difference is not used elsewhere
