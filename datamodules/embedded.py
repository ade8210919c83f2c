"""Data sets that scikit-learn carries inside: nothing to download."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from datamodules.base import Split, TensorDataModule, rows_as_groups, spec_of_images, stratified
from datamodules.pictures import PICTURE_ENDINGS, centred_digit, read_picture
from datamodules.registry import register_datamodule


def _split(x: Tensor, y: Tensor, test_size: int) -> dict[str, Split]:
    """Divide a set that has no official test split: always the same rows, each class in proportion."""
    everything = Split((x, y), rows_as_groups({"all": len(x)})["all"])
    train, test = stratified(y, test_size, seed=0)
    return {"train": everything.take(train), "test": everything.take(test)}


@register_datamodule("digits")
class DigitsDataModule(TensorDataModule):
    """Digits: 1,797 handwritten digits of 8x8 pixels in 17 grey levels (Alpaydin & Kaynak, 1998), in scikit-learn.

    The source names no split. Here 360 rows are the test split: those ``train_test_split`` of scikit-learn draws with
    each class in proportion and ``random_state=0``, whatever ``seed`` is. ``val_size`` of the other 1,437 are set
    aside for validation. The files do not say who wrote which digit, so a writer may stand on both sides.

    Args:
        val_size: Rows of the training split set aside for validation.
        **common: Arguments of ``TensorDataModule``.
    """

    scale = 16.0
    endings = PICTURE_ENDINGS

    def __init__(self, *, val_size: int = 180, **common: Any) -> None:
        super().__init__(val_size=val_size, **common)

    @property
    def spec(self) -> dict[str, Any]:
        """Shape, classes and pixel statistics."""
        return spec_of_images((1, 8, 8), [str(k) for k in range(10)], 0.3054, 0.3761)

    def load(self) -> dict[str, Split]:
        """Read the 1,797 digits and divide them."""
        from sklearn.datasets import load_digits

        data = load_digits()
        x = torch.from_numpy(data.images).to(torch.uint8)[:, None]
        return _split(x, torch.from_numpy(data.target).long(), 360)

    def read(self, source: str) -> Tensor:
        """Read a picture of a digit, of any size, mode and polarity: (1, 1, 8, 8)."""
        return centred_digit(read_picture(source, paper="contrast"), size=8, box=8)


@register_datamodule("breast_cancer")
class BreastCancerDataModule(TensorDataModule):
    """Breast Cancer Wisconsin (Diagnostic): 569 biopsies, 30 measures of cell nuclei (Street et al., 1993).

    The source names no split. Here 114 rows are the test split: those ``train_test_split`` of scikit-learn draws with
    each class in proportion and ``random_state=0``, whatever ``seed`` is. ``val_size`` of the other 455 are set aside
    for validation. Mean and standard deviation of each measure are those of the 455.

    Args:
        val_size: Rows of the training split set aside for validation.
        **common: Arguments of ``TensorDataModule``.
    """

    def __init__(self, *, val_size: int = 55, **common: Any) -> None:
        super().__init__(val_size=val_size, **common)

    @property
    def spec(self) -> dict[str, Any]:
        """Shape, classes and the statistics of each measure."""
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
        """Read the 569 biopsies and divide them."""
        from sklearn.datasets import load_breast_cancer

        x, y = load_breast_cancer(return_X_y=True)
        return _split(torch.from_numpy(x).float(), torch.from_numpy(y).long(), 114)

    def read(self, source: str) -> Tensor:
        """Read a CSV file with the 30 measures of a biopsy a row, in scikit-learn's order: (N, 30)."""
        path = Path(source)
        if not path.is_file():
            raise FileNotFoundError(f"{source}: no such file; expected a CSV file with 30 numbers a row")
        rows = []
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            for number, row in enumerate(csv.reader(file), 1):
                try:
                    rows.append([float(cell) for cell in row])
                except ValueError:
                    if number == 1:
                        continue
                    raise ValueError(f"{source}, line {number}: {row!r} is not 30 numbers") from None
                if len(row) != 30:
                    raise ValueError(f"{source}, line {number}: {len(row)} numbers, expected 30")
        if not rows:
            raise ValueError(f"{source}: no row of 30 numbers in it")
        return torch.tensor(rows)
