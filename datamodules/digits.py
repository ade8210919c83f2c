"""Data sets that scikit-learn carries inside: nothing to download."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from datamodules.images.base import ImageDataModule, spec_of_images
from datamodules.images.reading import centred_digit, read_picture
from datamodules.registry import register_datamodule
from datamodules.splits import Split, with_test_split


@register_datamodule("digits")
class DigitsDataModule(ImageDataModule):
    """Digits: 1,797 handwritten digits of 8x8 pixels in 17 grey levels (Alpaydin & Kaynak, 1998), in scikit-learn.

    The source names no split. Here 360 rows are the test split: those ``train_test_split`` of scikit-learn draws with
    each class in proportion and ``random_state=0``, whatever ``seed`` is. ``val_size`` of the other 1,437 are set
    aside for validation. The files do not say who wrote which digit, so a writer may stand on both sides.

    Args:
        val_size: Rows of the training split set aside for validation.
        **common: Arguments of ``ImageDataModule``.
    """

    scale = 16.0

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
        return with_test_split(x, torch.from_numpy(data.target).long(), 360)

    def read(self, source: str) -> Tensor:
        """Read a picture of a digit, of any size, mode and polarity: (1, 1, 8, 8)."""
        return centred_digit(read_picture(source, paper="contrast"), size=8, box=8)
