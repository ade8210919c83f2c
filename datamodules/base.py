"""``TensorDataModule``: splits in memory, batches on the device, natural units for the model."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import numpy as np
import platformdirs
import torch
from torch import Tensor

from datamodules.augment import augment, check_augmentation
from datamodules.loader import BucketSampler, Chunk, EpochSampler, TensorLoader

EVALUATION_BATCH, EVALUATION_BATCH_CPU = 2048, 256
"""Fewest rows of an evaluation's batch; on a CPU the maps of a small convolutional network should stay in its cache."""
RESIDENT_SHARE = 0.5
"""Share of a CUDA device's free memory that data may fill under ``device_resident="auto"``."""


class Split(NamedTuple):
    """Aligned tensors and, for each row, the number of the group (patient, sentence, ...) it belongs to.

    A split may be a choice of ``rows`` out of larger tensors, in place of a copy of them: ``stored`` then holds more
    than the split, and what is too large to be copied, or lies in a memory-mapped file, stays where it is.
    """

    stored: tuple[Tensor, ...]
    groups: np.ndarray
    rows: Tensor | None = None
    """Numbers of the split's rows in ``stored``, in order; None for all of them."""

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The split's own rows, copied if it is a choice."""
        return tuple(self.column(k) for k in range(len(self.stored)))

    def column(self, k: int) -> Tensor:
        """Return the split's own rows of tensor ``k`` alone."""
        return self.stored[k] if self.rows is None else self.stored[k].index_select(0, self.rows)

    def as_choice(self) -> Split:
        """Return the same split as a choice of all its rows, so that parts of it are choices too, not copies."""
        return self if self.rows is not None else self._replace(rows=torch.arange(len(self.groups)))

    def take(self, rows: np.ndarray) -> Split:
        """Return the rows of the given numbers, in ascending order: copied, or chosen if this is a choice already."""
        rows = np.sort(rows)
        index = torch.from_numpy(rows)
        if self.rows is not None:
            return Split(self.stored, self.groups[rows], self.rows[index])
        return Split(tuple(tensor.index_select(0, index) for tensor in self.stored), self.groups[rows])

    def to(self, device: torch.device) -> Split:
        """Return a copy on a device; a choice goes there piece by piece, and never whole through the host's memory."""
        if self.rows is None:
            return Split(tuple(tensor.to(device) for tensor in self.stored), self.groups)
        n = len(self.rows)
        there = tuple(torch.empty((n, *t.shape[1:]), dtype=t.dtype, device=device) for t in self.stored)
        for start in range(0, n, EVALUATION_BATCH):
            piece = self.rows[start : start + EVALUATION_BATCH]
            for source, target in zip(self.stored, there, strict=True):
                target[start : start + len(piece)] = source.index_select(0, piece)
        return Split(there, self.groups)


def data_root(root: str | os.PathLike[str] | None) -> Path:
    """Return the folder of the data: as given, else ``$ZOO_DATA``, else a per-user cache folder."""
    chosen = root or os.environ.get("ZOO_DATA")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("lightning-zoo")


def stratified(labels: Tensor, size: int, seed: int, name: str = "val_size") -> tuple[np.ndarray, np.ndarray]:
    """Return the row numbers of the rest and of ``size`` rows with each label in proportion.

    Raises:
        ValueError: If ``size`` leaves nothing, or too little for one row a class; the line gives ``name``.
    """
    n, (values, counts) = len(labels), labels.unique(return_counts=True)
    classes = len(values)
    if not classes <= size <= n - classes:
        raise ValueError(f"{name}={size} does not fit: choose from {classes} to {n - classes} of {n} rows")
    if counts.min() < 2:
        raise ValueError(
            f"{name}={size}: class {int(values[counts.argmin()])} has one row, two are needed to divide it"
        )
    from sklearn.model_selection import train_test_split

    rest, taken = train_test_split(np.arange(n), test_size=size, stratify=labels.numpy(), random_state=seed)
    return rest, taken


class TensorDataModule(L.LightningDataModule):
    """Base of every datamodule: the whole set in memory as compact tensors.

    A subclass gives ``spec`` and ``load``; the rest is here. Storage may be compact (bytes for pixels); batches reach
    the model in natural units, made on its device by ``to_natural``.

    Args:
        root: Folder of the data; ``$ZOO_DATA`` or a per-user cache folder if None.
        batch_size: Rows an update.
        val_size: Rows of the training split set aside for validation, drawn with each class in proportion.
        seed: Seed of the validation split, of the order of the rows and of the augmentation.
        batches_per_step: Batches handed to the model at a time; it updates its weights after each all the same.
        augment: Names and strengths of random changes of the training pictures; see ``AUGMENTATIONS``.
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
        augment: dict[str, float] | None = None,
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
        check_augmentation(augment or {})
        self.root = data_root(root)
        self.batch_size, self.batches_per_step = batch_size, batches_per_step
        self.val_size, self.seed = val_size, seed
        self.augment, self.device_resident = dict(augment or {}), device_resident
        self.splits: dict[str, Split] = {}
        self._resident: dict[str, Split] = {}
        self._draws: tuple[int, torch.Generator] | None = None

    # ---- what a source gives ----

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

    def to_natural(self, x: Tensor) -> Tensor:
        """Turn stored numbers into natural units, float32: bytes are divided by ``scale``."""
        return x.float().div_(self.scale) if x.dtype == torch.uint8 else x.float()

    def naturally(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Turn a stored batch (x, ...) into natural units."""
        x, *rest = batch
        return self.to_natural(x), *rest

    def lengths(self, split: Split) -> Tensor | None:
        """Return the length (N,) of each row for sources whose rows differ in it: batches then hold similar ones."""
        return None

    def read(self, source: str) -> Tensor:
        """Read one input of a user's, a file or a string, into a batch in natural units."""
        raise ValueError(f"{self.name} takes no input {source!r}: its model has no files or strings to answer")

    # ---- splits ----

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
        return self.to_natural(x).flatten(1).numpy(), y.numpy()

    # ---- batches ----

    @property
    def train_batches(self) -> int:
        """Number of training batches an epoch in each process."""
        return self._loader("train").batches

    def train_dataloader(self) -> TensorLoader:
        """Return the training batches."""
        self._draws = None  # another fit draws the same pictures as this one
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
        in_chunks = training and self.batches_per_step > 1 and not self.augment and device == "cpu"
        evaluated = max(self.batch_size, EVALUATION_BATCH_CPU if device == "cpu" else EVALUATION_BATCH)
        rank, world = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        lengths = self.lengths(split) if training else None
        if lengths is None:
            sampler = EpochSampler(len(split.groups), training, self.seed, rank, world)
        else:
            sampler = BucketSampler(lengths, self.batch_size, seed=self.seed, rank=rank, world_size=world)
        limit = trainer.limit_train_batches if trainer and training else None
        return TensorLoader(
            split.stored,
            sampler,
            self.batch_size if training else evaluated,
            self.batches_per_step if training else 1,
            max_batches=limit if isinstance(limit, int) and self.batches_per_step > 1 else None,
            prefetch=device == "cuda" and not split.stored[0].is_cuda,
            chosen=split.rows,
            naturally=self.naturally if in_chunks else None,
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
        x, *rest = self.naturally(tuple(batch))
        training = bool(self.trainer and self.trainer.training)
        if training and self.augment:
            x = augment(x, self.augment, self._generator())
        return Chunk((x, *rest), self.batch_size) if training and self.batches_per_step > 1 else (x, *rest)

    def _generator(self) -> torch.Generator:
        """Return the random numbers of the epoch's augmentation, a function of seed and epoch alone."""
        epoch = self.trainer.current_epoch  # type: ignore[union-attr]
        if self._draws is None or self._draws[0] != epoch:
            rank = self.trainer.global_rank  # type: ignore[union-attr]
            seed = (self.seed * 1_000_003 + epoch) * 4_099 + rank + 1
            self._draws = (epoch, torch.Generator().manual_seed(seed))
        return self._draws[1]


def spec_of_images(
    shape: tuple[int, int, int], class_names: list[str], mean: float | list[float], std: float | list[float]
) -> dict[str, Any]:
    """Return the ``spec`` of labelled pictures of a shape (C, H, W)."""
    return {
        "input_shape": list(shape),
        "in_features": shape[0] * shape[1] * shape[2],
        "in_channels": shape[0],
        "num_classes": len(class_names),
        "class_names": class_names,
        "mean": mean,
        "std": std,
    }


def rows_as_groups(sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Number the rows of all splits on, for sources in which each row stands for itself."""
    groups, start = {}, 0
    for name, size in sizes.items():
        groups[name] = np.arange(start, start + size)
        start += size
    return groups
