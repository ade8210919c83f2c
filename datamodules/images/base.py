"""Base class of the image datamodules."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from datamodules.base import TensorDataModule
from datamodules.images.augment import augment_images, check_augmentation
from datamodules.images.reading import IMAGE_ENDINGS
from datamodules.loader import TensorLoader, epoch_seed
from datamodules.splits import Split, stratified_split


class ImageDataModule(TensorDataModule):
    """Base class of the image datamodules, with random augmentation of training batches on their device.

    Args:
        augment: Strengths of the augmentations of training images by name; see ``AUGMENTATIONS``.
        train_size: Number of images that are trained on, drawn by ``seed`` and stratified by class out of the training
            rows that are not held out for validation; all of them if None. Validation and test stay the same.
        **common: Arguments of ``TensorDataModule``.
    """

    endings = IMAGE_ENDINGS

    def __init__(
        self, *, augment: dict[str, float] | None = None, train_size: int | None = None, **common: Any
    ) -> None:
        super().__init__(**common)
        if train_size is not None and train_size < 1:
            raise ValueError(f"train_size must be at least 1, not {train_size}")
        self.train_size = train_size
        check_augmentation(augment or {})
        self.augment = dict(augment or {})
        self._draws: tuple[int, torch.Generator] | None = None

    def select_training_rows(self, train: Split) -> Split:
        """Return ``train_size`` of the training rows, stratified by class."""
        if self.train_size is None or self.train_size == len(train.groups):
            return train
        return train.take(stratified_split(self.strata(train), self.train_size, self.seed, "train_size")[1])

    @property
    def augments(self) -> bool:
        """Whether training batches are augmented."""
        return bool(self.augment)

    def augment_batch(self, x: Tensor) -> Tensor:
        """Augment a training batch (N, C, H, W) of floats in [0, 1], on its device."""
        return augment_images(x, self.augment, self._generator())

    def train_dataloader(self) -> TensorLoader:
        """Return the training batches."""
        self._draws = None  # each fit draws the same augmentations
        return super().train_dataloader()

    def _generator(self) -> torch.Generator:
        """Return the generator of the epoch's augmentations, seeded by seed, epoch and rank."""
        epoch = self.trainer.current_epoch  # type: ignore[union-attr]
        if self._draws is None or self._draws[0] != epoch:
            rank = self.trainer.global_rank  # type: ignore[union-attr]
            # 4,099 is a prime above any number of processes, so that no two processes share a seed.
            seed = epoch_seed(self.seed, epoch) * 4_099 + rank + 1
            self._draws = (epoch, torch.Generator().manual_seed(seed))
        return self._draws[1]


def spec_of_images(
    shape: tuple[int, int, int], class_names: list[str], mean: float | list[float], std: float | list[float]
) -> dict[str, Any]:
    """Return the ``spec`` of a data set of labelled images.

    Args:
        shape: Shape (C, H, W) of the images.
        class_names: Names of the classes.
        mean: Mean of the training pixels in natural units, overall or per channel.
        std: Their standard deviation, overall or per channel.
    """
    return {
        "input_shape": list(shape),
        "in_features": shape[0] * shape[1] * shape[2],
        "in_channels": shape[0],
        "num_classes": len(class_names),
        "class_names": class_names,
        "mean": mean,
        "std": std,
    }
