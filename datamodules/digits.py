"""Digits, from scikit-learn."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from datamodules.images.base import ImageDataModule, spec_of_images
from datamodules.images.pages import digits_on_page
from datamodules.images.reading import read_image
from datamodules.registry import register_datamodule
from datamodules.splits import Split, with_test_split


@register_datamodule("digits")
class DigitsDataModule(ImageDataModule):
    """Digits: 1,797 handwritten digits of 8x8 pixels in 17 grey levels (Alpaydin & Kaynak, 1998), in scikit-learn.

    There is no official split. The test split is 360 rows drawn by scikit-learn's ``train_test_split``, stratified by
    class with ``random_state=0``, regardless of ``seed``; ``val_size`` of the other 1,437 are held out for validation.
    The source does not name the writers, so one writer may be in several splits. Mean and standard deviation in
    ``spec`` are those of the pixels of the 1,437 rows in [0, 1].

    Args:
        val_size: Number of training rows held out for validation.
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
        """Load the 1,797 digits and split them."""
        from sklearn.datasets import load_digits

        data = load_digits()
        x = torch.from_numpy(data.images).to(torch.uint8)[:, None]
        return with_test_split(x, torch.from_numpy(data.target).long(), 360)

    def read(self, source: str) -> Tensor:
        """Read an image of a digit of any size, mode and polarity as (1, 1, 8, 8)."""
        return digits_on_page(read_image(source, paper="contrast"), source, size=8, box=8)
