"""A user's inputs as they come: paths, strings, bytes, arrays and tensors."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass
class Predictions:
    """Answers of a model to a user's inputs.

    Args:
        answers: A dictionary of names and values for each sample, its input under ``"input"``.
        failures: Why, in one line each, inputs have no answer.
        inputs: Number of inputs.
        display: Lines of text and tables of ``rich`` for the terminal.
    """

    answers: list[dict[str, Any]]
    failures: list[str] = field(default_factory=list)
    inputs: int = 0
    display: list[Any] = field(default_factory=list)

    def error(self) -> ValueError | None:
        """Return the error for the inputs without an answer, None if all have one."""
        if not self.failures:
            return None
        return ValueError(f"{len(self.failures)} of {self.inputs} inputs have no answer: {'; '.join(self.failures)}")


def as_list(inputs: Any) -> list[Any]:
    """Return a single input, or a sequence of inputs, as a list; paths become strings.

    Raises:
        ValueError: If there is no input, or one is neither path, string, bytes, array nor tensor.
    """
    single = isinstance(inputs, (str, bytes, os.PathLike, np.ndarray, Tensor))
    if not single and not isinstance(inputs, Iterable):
        raise ValueError(f"inputs of type {type(inputs).__name__}: expected paths, strings, bytes, arrays or tensors")
    found = [inputs] if single else list(inputs)
    if not found:
        raise ValueError("no inputs: expected paths, strings, bytes, arrays or tensors")
    for source in found:
        if not isinstance(source, (str, bytes, os.PathLike, np.ndarray, Tensor)):
            raise ValueError(
                f"input of type {type(source).__name__}: expected a path, a string, bytes, an array or a tensor"
            )
    return [os.fspath(source) if isinstance(source, os.PathLike) else source for source in found]


def names_of(inputs: Sequence[Any]) -> list[str]:
    """Return what answers and errors call each input: itself if it is a string, else its number."""
    return [source if isinstance(source, str) else f"input {number}" for number, source in enumerate(inputs, 1)]


@contextmanager
def as_file(content: bytes, suffix: str) -> Iterator[str]:
    """Give the path of a temporary file with a content inside the block."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"input{suffix}"
        path.write_bytes(content)
        yield str(path)


def as_float_tensor(source: np.ndarray | Tensor) -> Tensor:
    """Return an array or tensor in natural units as a float32 tensor on the CPU; what is masked becomes NaN.

    Raises:
        ValueError: If it holds whole numbers, whose unit is not known, or no numbers.
    """
    if isinstance(source, Tensor):
        if source.is_floating_point():
            return source.detach().cpu().to_dense().float()
    elif source.dtype.kind == "f":
        with np.errstate(over="ignore"):  # what is too large becomes infinite
            return torch.from_numpy(np.array(np.ma.filled(source, np.nan), np.float32))
    raise ValueError(f"input of dtype {source.dtype}: expected natural units as floats, such as pixels in [0, 1]")


def refuse_nonfinite(x: Any, name: str) -> None:
    """Raise ``ValueError`` for a batch (N, ...) without rows, or with a value that is not finite, by its place.

    Args:
        x: The batch; what is not a tensor of floats is not checked.
        name: Name of the input in the error message.
    """
    if not isinstance(x, Tensor) or not x.is_floating_point():
        return
    if not x.numel():
        raise ValueError(f"{name}: shape {tuple(x.shape)}, expected at least one row")
    wrong = ~x.isfinite()
    if bool(wrong.any()):
        place = wrong.nonzero()[0].tolist()
        axes = ["row", "column"] if x.ndim == 2 else ["sample", "channel", "row", "column"]
        axes = axes[: x.ndim] if x.ndim in (1, 2, 4) else [f"axis {k}" for k in range(x.ndim)]
        where = ", ".join(f"{axis} {k + 1}" for axis, k in zip(axes, place))
        raise ValueError(f"{name}, {where}: {float(x[tuple(place)])} is not a finite number")
