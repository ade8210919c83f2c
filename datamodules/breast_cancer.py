"""Breast Cancer Wisconsin (Diagnostic), from scikit-learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from datamodules.base import TensorDataModule
from datamodules.registry import register_datamodule
from datamodules.splits import Split, with_test_split
from datamodules.tables import numbers_of, read_rows


@register_datamodule("breast_cancer")
class BreastCancerDataModule(TensorDataModule):
    """Breast Cancer Wisconsin (Diagnostic): 569 biopsies, 30 features of cell nuclei (Street et al., 1993).

    There is no official split. The test split is 114 rows drawn by scikit-learn's ``train_test_split``, stratified by
    class with ``random_state=0``, regardless of ``seed``; ``val_size`` of the other 455 are held out for validation.
    Mean and standard deviation of each feature are those of the 455 rows.

    Args:
        val_size: Number of training rows held out for validation.
        **common: Arguments of ``TensorDataModule``.
    """

    def __init__(self, *, val_size: int = 55, **common: Any) -> None:
        super().__init__(val_size=val_size, **common)

    @property
    def spec(self) -> dict[str, Any]:
        """Shape, classes, and mean and standard deviation of each feature."""
        x = self.load()["train"].tensors[0].double()
        return {
            "input_shape": [30],
            "in_features": 30,
            "num_classes": 2,
            "class_names": ["malignant", "benign"],
            "mean": x.mean(0).tolist(),
            "std": x.std(0, correction=0).tolist(),
        }

    def load(self) -> dict[str, Split]:
        """Load the 569 rows and split them."""
        from sklearn.datasets import load_breast_cancer

        x, y = load_breast_cancer(return_X_y=True)
        return with_test_split(torch.from_numpy(x).float(), torch.from_numpy(y).long(), 114)

    def read(self, source: str) -> Tensor:
        """Read a CSV file with the 30 features of one biopsy per row, in scikit-learn's order, as (N, 30)."""
        path = Path(source)
        if not path.is_file():
            raise FileNotFoundError(f"{source}: no such file; expected a CSV file with 30 numbers a row")
        return torch.from_numpy(numbers_of(read_rows(path, ","), 30, path))
