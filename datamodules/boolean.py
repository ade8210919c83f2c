"""Truth tables of Boolean functions of two inputs."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import torch
from torch import Tensor

from datamodules.base import TensorDataModule
from datamodules.errors import unknown
from datamodules.registry import register_datamodule
from datamodules.splits import Split

TABLES = {"and": [0, 0, 0, 1], "or": [0, 1, 1, 1], "xor": [0, 1, 1, 0]}
"""Values of each function at (0, 0), (0, 1), (1, 0), (1, 1)."""


@register_datamodule("boolean")
class BooleanDataModule(TensorDataModule):
    """The truth table of AND, OR or XOR: x in {0, 1}^2, y in {0, 1}.

    All splits hold the same four rows: the task tests whether a model can represent the function, not whether it
    generalises.

    Args:
        function: ``and``, ``or`` or ``xor``.
        repeat: Number of copies of the table in the training split.
        batch_size: Rows per update.
        **common: Arguments of ``TensorDataModule``.
    """

    generalises = False

    def __init__(self, *, function: str = "xor", repeat: int = 1, batch_size: int = 4, **common: Any) -> None:
        super().__init__(batch_size=batch_size, **common)
        if function not in TABLES:
            raise unknown("function", function, TABLES)
        if repeat < 1:
            raise ValueError(f"repeat must be at least 1, not {repeat}")
        self.function, self.repeat = function, repeat

    @property
    def spec(self) -> dict[str, Any]:
        """Shape and classes."""
        return {"input_shape": [2], "in_features": 2, "num_classes": 2, "class_names": ["0", "1"]}

    def load(self) -> dict[str, Split]:
        """Return the truth table as all splits."""
        x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
        table = Split((x, torch.tensor(TABLES[self.function])), np.arange(4))
        return {"train": table.take(np.tile(np.arange(4), self.repeat)), "val": table, "test": table}

    def read(self, source: str) -> Tensor:
        """Parse two bits, such as ``"0 1"``, as (1, 2)."""
        bits = re.findall(r"[^\s,]+", source)
        if len(bits) != 2 or not set(bits) <= {"0", "1"}:
            raise ValueError(f"{source!r} is not two bits such as '0 1'")
        return torch.tensor([[float(bit) for bit in bits]])
