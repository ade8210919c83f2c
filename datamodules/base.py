"""``TensorDataModule``: splits in memory, batches on the device, natural units for the model."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import platformdirs
import torch
from torch import Tensor

from datamodules.loader import BucketSampler, Chunk, EpochSampler, TensorLoader
from datamodules.splits import EVALUATION_BATCH, EVALUATION_BATCH_CPU, Split, stratified

RESIDENT_SHARE = 0.5
"""Share of a CUDA device's free memory that data may fill under ``device_resident="auto"``."""


def data_root(root: str | os.PathLike[str] | None) -> Path:
    """Return the folder of the data: as given, else ``$ZOO_DATA``, else a per-user cache folder."""
    chosen = root or os.environ.get("ZOO_DATA")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("lightning-zoo")


class TensorDataModule(L.LightningDataModule):
    """Base of every datamodule: the whole set in memory as compact tensors.

    A subclass gives ``spec`` and ``load``; the rest is here. Storage may be compact (bytes for pixels); batches reach
    the model in natural units, made on its device by ``to_natural_units``.

    Args:
        root: Folder of the data; ``$ZOO_DATA`` or a per-user cache folder if None.
        batch_size: Rows an update.
        val_size: Rows of the training split set aside for validation, drawn with each class in proportion.
        seed: Seed of the validation split, of the order of the rows and of everything else that is random.
        batches_per_step: Batches handed to the model at a time; it updates its weights after each all the same.
        device_resident: Whether the data live on a CUDA device in training: ``yes``, ``no`` or ``auto``, which is yes
            when they fill at most half of its free memory. Elsewhere they are pinned and prefetched.
    """

    name: str
    scale: float = 255.0
    endings: tuple[str, ...] = ()
    """Endings, in lower case, of the files that ``read`` takes from a folder; any if empty."""
    generalises = True
    """Whether the splits are disjoint; only a truth table, whose rows are all there is, has none to set aside."""
    train_on_all = False
    """Whether the validation rows are trained on too, so that nothing can be chosen by them."""

    def __init__(
        self,
        *,
        root: str | None = None,
        batch_size: int = 128,
        val_size: int = 0,
        seed: int = 0,
        batches_per_step: int = 1,
        device_resident: str = "auto",
    ) -> None:
        super().__init__()
        for key, value in {"batch_size": batch_size, "batches_per_step": batches_per_step}.items():
            if value < 1:
                raise ValueError(f"{key} must be at least 1, not {value}")
        if val_size < 0 or seed < 0:
            raise ValueError(f"val_size and seed must be at least 0, not {val_size} and {seed}")
        if device_resident not in ("auto", "yes", "no"):
            raise ValueError(f"unknown device_resident {device_resident!r}: choose from auto, yes, no")
        self.root = data_root(root)
        self.batch_size, self.batches_per_step = batch_size, batches_per_step
        self.val_size, self.seed = val_size, seed
        self.device_resident = device_resident
        self.splits: dict[str, Split] = {}
        self._resident: dict[str, Split] = {}

    @property
    def spec(self) -> dict[str, Any]:
        """What a model may need to know: ``input_shape``, ``num_classes``, ``class_names``, ``mean``, ``std``, ..."""
        raise NotImplementedError(f"{type(self).__name__} is abstract: it has no spec")

    def load(self) -> dict[str, Split]:
        """Read the splits ``train`` and ``test``, and ``val`` where the source defines one."""
        raise NotImplementedError(f"{type(self).__name__} is abstract: it has no load")

    def strata(self, train: Split) -> Tensor:
        """Return the number (N,) of each training row's stratum; validation takes of each in proportion."""
        return train.column(1)

    def set_aside(self, train: Split) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers of the training rows that are trained on and of those set aside for validation."""
        return stratified(self.strata(train), self.val_size, self.seed)

    def to_natural_units(self, x: Tensor) -> Tensor:
        """Turn stored numbers into natural units, float32: bytes are divided by ``scale``."""
        return x.float().div_(self.scale) if x.dtype == torch.uint8 else x.float()

    def decode_batch(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Turn a stored batch (x, ...) into natural units."""
        x, *rest = batch
        return self.to_natural_units(x), *rest

    def bucket_keys(self, split: Split) -> Tensor | None:
        """Return keys (N,) by which rows are bucketed into training batches, such as lengths; None for no buckets."""
        return None

    def adopt(self, hparams: Mapping[str, Any]) -> None:
        """Take what a model learned about its data, such as a vocabulary, in place of learning it from the data.

        Args:
            hparams: Hyper-parameters of the model.
        """

    def read(self, source: str) -> Tensor:
        """Read one input of a user's, a file or a string, into a batch in natural units."""
        raise ValueError(f"{self.name} takes no input {source!r}: its model has no files or strings to answer")

    @property
    def augments(self) -> bool:
        """Whether training batches are augmented."""
        return False

    def augmented(self, x: Tensor) -> Tensor:
        """Augment a training batch (N, ...) in natural units, on its device."""
        return x

    def setup(self, stage: str | None = None) -> None:
        """Load the data once and set the validation rows aside."""
        if self.splits:
            return
        splits = self.load()
        if "val" not in splits:
            train = splits["train"].as_choice()
            rest, taken = self.set_aside(train)
            splits = {**splits, "train": train.take(rest), "val": train.take(taken)}
        n = len(splits["train"].groups)
        if self.batch_size > n:
            raise ValueError(f"batch_size={self.batch_size} is larger than the training split of {n} rows")
        self.splits = splits

    def sha256(self) -> str:
        """Return the checksum of training and test data as loaded, whatever the seed of the validation split."""
        digest = hashlib.sha256()
        for split in self.load().values():  # each holds the whole of what it stores
            for tensor in split.stored:
                digest.update(np.ascontiguousarray(tensor.numpy()).data)
        return digest.hexdigest()

    def arrays(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Return a split as numpy arrays, x in natural units and flattened to (N, features), y as it is."""
        self.setup()
        x, y = self.splits[split].tensors[:2]
        return self.to_natural_units(x).flatten(1).numpy(), y.numpy()

    @property
    def train_batches(self) -> int:
        """Number of training batches an epoch in each process."""
        return self._loader("train").batches

    def train_dataloader(self) -> TensorLoader:
        """Return the training batches."""
        return self._loader("train")

    def val_dataloader(self) -> TensorLoader:
        """Return the validation batches."""
        return self._loader("val")

    def test_dataloader(self) -> TensorLoader:
        """Return the test batches."""
        return self._loader("test")

    def predict_dataloader(self) -> TensorLoader:
        """Return the test batches, to predict on."""
        return self._loader("test")

    def _loader(self, name: str) -> TensorLoader:
        training, trainer = name == "train", self.trainer
        split, device = self._on_device(name), self._device
        in_chunks = training and self.batches_per_step > 1 and not self.augments and device == "cpu"
        evaluated = max(self.batch_size, EVALUATION_BATCH_CPU if device == "cpu" else EVALUATION_BATCH)
        rank, world = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        keys = self.bucket_keys(split) if training else None
        if keys is None:
            sampler = EpochSampler(len(split.groups), training, self.seed, rank, world)
        else:
            sampler = BucketSampler(keys, self.batch_size, seed=self.seed, rank=rank, world_size=world)
        limit = trainer.limit_train_batches if trainer and training else None
        return TensorLoader(
            split.stored,
            sampler,
            self.batch_size if training else evaluated,
            self.batches_per_step if training else 1,
            max_batches=limit if isinstance(limit, int) and self.batches_per_step > 1 else None,
            prefetch=device == "cuda" and not split.stored[0].is_cuda,
            chosen=split.rows,
            decode_batch=self.decode_batch if in_chunks else None,
        )

    @property
    def _device(self) -> str:
        return self.trainer.strategy.root_device.type if self.trainer else "cpu"

    def _on_device(self, name: str) -> Split:
        """Return a split, moved to a CUDA device if it may stay there."""
        split = self.splits[name]
        if self._device != "cuda" or self.device_resident == "no":
            return split
        if name not in self._resident:
            device = self.trainer.strategy.root_device  # type: ignore[union-attr]
            free, _ = torch.cuda.mem_get_info(device)
            size = len(split.groups) * sum(tensor[:1].numel() * tensor.element_size() for tensor in split.stored)
            if self.device_resident == "auto" and size > RESIDENT_SHARE * free:
                return split
            if size > free:
                raise ValueError(
                    f"device_resident=yes: {name} takes {size / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free on "
                    f"{device}: use device_resident=auto or no"
                )
            self._resident[name] = split.to(device)
        return self._resident[name]

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Turn a batch into natural units; in training augment it and divide it into its batches."""
        if not isinstance(batch, (tuple, list)):
            return batch  # a chunk does it by itself, or it is no batch of this datamodule
        x, *rest = self.decode_batch(tuple(batch))
        training = bool(self.trainer and self.trainer.training)
        if training and self.augments:
            x = self.augmented(x)
        return Chunk((x, *rest), self.batch_size) if training and self.batches_per_step > 1 else (x, *rest)
