"""``TensorDataModule``, the base class of all datamodules."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import lightning as L
import numpy as np
import platformdirs
import torch
from lightning.pytorch.trainer.states import TrainerStatus
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor

from datamodules.learned import checksums, class_order, warn_of_classes
from datamodules.loader import BucketSampler, Chunk, EpochSampler, TensorLoader
from datamodules.splits import EVALUATION_BATCH, EVALUATION_BATCH_CPU, Split, stratified_split

RESIDENT_SHARE = 0.5
"""Largest fraction of a device's free memory that data may take under ``device_resident="auto"``. Set by hand."""


def data_root(root: str | os.PathLike[str] | None) -> Path:
    """Return the data folder: ``root`` if given, else ``$ZOO_DATA``, else the per-user cache folder."""
    chosen = root or os.environ.get("ZOO_DATA")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("lightning-zoo")


class TensorDataModule(L.LightningDataModule):
    """Base class of all datamodules: the whole data set in memory as compact tensors.

    A subclass implements ``spec`` and ``load``. Tensors are stored compactly, such as pixels as bytes;
    ``to_natural_units`` converts each batch on the device of the model.

    Args:
        root: Data folder; ``$ZOO_DATA`` or the per-user cache folder if None.
        batch_size: Rows per update.
        val_size: Number of training rows held out for validation, stratified by class.
        seed: Seed of the validation split, of the order of the training rows and of all other random draws.
        batches_per_step: Number of batches handed to the model in one ``training_step``; the weights are still updated
            after each batch.
        device_resident: Whether the data are kept on a CUDA device: ``yes``, ``no`` or ``auto``, which keeps them there
            if they take at most half of its free memory. Otherwise batches are gathered into pinned memory and
            prefetched.
    """

    name: str
    scale: float = 255.0
    """Divisor of stored bytes in ``to_natural_units``."""
    endings: tuple[str, ...] = ()
    """Lower-case endings of the files in a folder that ``read`` accepts; empty for any file."""
    generalises = True
    """Whether the splits are disjoint; False for truth tables, whose splits all hold the same rows."""
    train_on_all = False
    """Whether the training split includes the validation rows, which then cannot serve for model selection."""
    from_user: ClassVar[bool] = False
    """Whether the rows are a user's own, whose number and labels may change."""
    learned: ClassVar[tuple[str, ...]] = ("class_names", "num_classes")
    """Entries of ``spec`` that are learned from the rows; a trained model carries them as hyper-parameters."""
    fixed_by_model: ClassVar[tuple[str, ...]] = ()
    """Arguments whose values follow from what a trained model carries."""

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
        self.save_hyperparameters(ignore=["root"], logger=False)
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
        self._warned = False
        self._classes: list[str] | None = None
        self._source_classes: list[str] | None = None

    @property
    def spec(self) -> dict[str, Any]:
        """Properties of the data that a model is built from, such as ``input_shape``, ``num_classes`` and ``mean``."""
        raise NotImplementedError(f"{type(self).__name__} is abstract: it has no spec")

    def load(self) -> dict[str, Split]:
        """Read the splits ``train`` and ``test``, and ``val`` where the source defines one."""
        raise NotImplementedError(f"{type(self).__name__} is abstract: it has no load")

    def strata(self, train: Split) -> Tensor:
        """Return the stratum (N,) of each training row, by which the validation split is stratified."""
        return train.column(1)

    def split_validation(self, train: Split) -> tuple[np.ndarray, np.ndarray]:
        """Return the indices of the rows that are not held out for validation and of those that are."""
        return stratified_split(self.strata(train), self.val_size, self.seed)

    def select_training_rows(self, train: Split) -> Split:
        """Return what is trained on of the training rows that are not held out for validation: all by default."""
        return train

    def to_natural_units(self, x: Tensor) -> Tensor:
        """Convert stored values to natural units, float32: bytes are divided by ``scale``."""
        return x.float().div_(self.scale) if x.dtype == torch.uint8 else x.float()

    def decode_batch(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Convert a stored batch (x, ...) to natural units."""
        x, *rest = batch
        return self.to_natural_units(x), *rest

    def bucket_keys(self, split: Split) -> Tensor | None:
        """Return keys (N,), such as lengths, by which training rows are bucketed into batches; None for no buckets."""
        return None

    def adopt(self, hparams: Mapping[str, Any]) -> None:
        """Adopt what a trained model learned about its data, such as its vocabulary, instead of learning it again.

        Labels are numbered as the model numbers classes of these names, and rows that are encoded already are encoded
        anew if anything differs. A running trainer's model is adopted by ``setup``.

        Args:
            hparams: Hyper-parameters of the model.

        Raises:
            ValueError: If the data have a class that the model does not know.
        """
        stale = self.adopt_encoding(hparams)
        known, before = hparams.get("class_names"), self._classes
        self._classes = None if known is None else list(known)
        if self.splits and (stale or self._class_order(before) != self._class_order(self._classes)):
            self.splits, self._resident = {}, {}
            self.setup()

    def adopt_encoding(self, hparams: Mapping[str, Any]) -> bool:
        """Adopt what decides how rows are encoded, and return whether that differs from what it was."""
        return False

    @property
    def title(self) -> str:
        """What messages call the data: the path of a user's own, else the name."""
        return str(self.root) if self.from_user else self.name

    @property
    def source_classes(self) -> list[str] | None:
        """Classes in the order of the source's labels; None if it has none."""
        return None if type(self).spec is TensorDataModule.spec else self.spec.get("class_names")

    def _class_order(self, known: list[str] | None) -> list[int] | None:
        return class_order(self._source_classes, known, self.title, self.from_user)

    def read(self, source: str) -> Any:
        """Read one user input, a file or a string, as a batch in natural units."""
        raise ValueError(f"{self.name} takes no input {source!r}: its model has no files or strings to answer")

    def describe(self) -> str:
        """Return what a user should know of the data that were read, as text; nothing by default."""
        return ""

    @property
    def augments(self) -> bool:
        """Whether training batches are augmented."""
        return False

    def augment_batch(self, x: Tensor) -> Tensor:
        """Augment a training batch (N, ...) in natural units, on its device."""
        return x

    def setup(self, stage: str | None = None) -> None:
        """Load the data once and hold out the validation split; a running trainer's model is adopted."""
        model = getattr(self._running, "lightning_module", None)
        if model is not None:
            self.adopt(model.hparams)
        if not self.splits:
            splits = self.make_splits()
            self._source_classes = self.source_classes
            self.splits = {name: self._numbered(split) for name, split in splits.items()}
            warn_of_classes(self._source_classes, self._classes, self.title, self.from_user)

    def make_splits(self) -> dict[str, Split]:
        """Load the data, hold out the validation split and select the training rows."""
        splits = self.load()
        if "val" not in splits:
            train = splits["train"].as_subset()
            rest, taken = self.split_validation(train)
            rest = np.arange(len(train.groups)) if self.train_on_all else rest
            splits = {**splits, "train": train.take(rest), "val": train.take(taken)}
        splits = {**splits, "train": self.select_training_rows(splits["train"])}
        n = len(splits["train"].groups)
        if self.batch_size > n:
            raise ValueError(f"batch_size={self.batch_size} is larger than the training split of {n} rows")
        return splits

    def _numbered(self, split: Split) -> Split:
        """Number the labels of a split as the adopted model does."""
        order = self._class_order(self._classes)
        if order is None:
            return split
        x, y, *rest = split.stored
        return split._replace(stored=(x, torch.tensor(order, dtype=y.dtype)[y.long()], *rest))

    def sha256(self) -> str:
        """Return the SHA-256 checksum of the training and test data, independent of the validation split."""
        digest = hashlib.sha256()
        for split in self.load().values():  # a subset stores all rows, whichever it selects
            for tensor in split.stored:
                digest.update(np.ascontiguousarray(tensor.numpy()).data)
        return digest.hexdigest()

    def row_keys(self, split: str) -> np.ndarray:
        """Return keys (N,), int64, of the rows of a split that has been set up; equal rows have equal keys."""
        x, _, rows = self.splits[split]
        return checksums(x[0] if rows is None else (x[0][row] for row in rows.tolist()))

    def arrays(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Return a split as NumPy arrays: x (N, features) in natural units, flattened, and y unchanged."""
        self.setup()
        x, y = self.splits[split].tensors[:2]
        return self.to_natural_units(x).flatten(1).numpy(), y.numpy()

    @property
    def train_batches(self) -> int:
        """Number of training batches per epoch in each process."""
        return self._loader("train").batches

    def train_dataloader(self) -> TensorLoader:
        """Return the loader of the training split."""
        return self._loader("train")

    def val_dataloader(self) -> TensorLoader:
        """Return the loader of the validation split."""
        return self._loader("val")

    def test_dataloader(self) -> TensorLoader:
        """Return the loader of the test split."""
        return self._loader("test")

    def predict_dataloader(self) -> TensorLoader:
        """Return the loader of the test split."""
        return self._loader("test")

    def _loader(self, name: str) -> TensorLoader:
        training, trainer = name == "train", self._running
        split, device = self._on_device(name), self._device
        steps = self._batches_per_step if training else 1
        evaluation_batch = max(self.batch_size, EVALUATION_BATCH_CPU if device == "cpu" else EVALUATION_BATCH)
        rank, world = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        overfits = bool(getattr(trainer, "overfit_batches", 0))  # Lightning promises the same batches in every epoch
        keys = self.bucket_keys(split) if training and not overfits else None
        if keys is None:
            sampler = EpochSampler(len(split.groups), training and not overfits, self.seed, rank, world)
        else:
            sampler = BucketSampler(keys, self.batch_size, seed=self.seed, rank=rank, world_size=world)
        limit = trainer.limit_train_batches if trainer and training else None
        # Batches of sequences are truncated one by one; others are decoded faster together, but for a CPU's cache.
        one_by_one = device == "cpu" or (keys is not None and split.stored[0].is_cuda)
        as_chunks = steps > 1 and not self.augments and one_by_one
        convert = partial(self._convert, dtype=self._precision, augment=False)
        return TensorLoader(
            split.stored,
            sampler,
            self.batch_size if training else evaluation_batch,
            steps,
            max_batches=limit if isinstance(limit, int) and steps > 1 else None,
            prefetch=device == "cuda" and not split.stored[0].is_cuda,
            chosen=split.rows,
            decode_batch=convert if as_chunks else None,
        )

    @property
    def _running(self) -> L.Trainer | None:
        """The trainer that is running with this datamodule; None for loaders that are asked for by hand."""
        trainer = self.trainer
        is_running = trainer is not None and trainer.state.status == TrainerStatus.RUNNING
        return trainer if is_running and getattr(trainer, "datamodule", None) is self else None

    @property
    def _batches_per_step(self) -> int:
        """Number of batches in a training step: one if the model of the running trainer takes no more."""
        model = getattr(self._running, "lightning_module", None)
        if model is None or self.batches_per_step == 1 or getattr(model, "takes_chunks", False):
            return self.batches_per_step
        if not hasattr(model, "takes_chunks") and not self._warned:
            self._warned = True
            rank_zero_warn(
                f"batches_per_step={self.batches_per_step} is taken as 1: {type(model).__name__} takes one batch a step"
            )
        return 1

    @property
    def _device(self) -> str:
        return self._running.strategy.root_device.type if self._running else "cpu"

    @property
    def _precision(self) -> torch.dtype:
        """Floating-point dtype of the running trainer's model."""
        model = getattr(self._running, "lightning_module", None)
        parameters = model.parameters() if model is not None else ()
        return next((each.dtype for each in parameters if each.is_floating_point()), torch.float32)

    def _convert(self, batch: tuple[Tensor, ...], dtype: torch.dtype, augment: bool) -> tuple[Tensor, ...]:
        """Convert a stored batch to natural units in the precision of the model, and augment it."""
        x, *rest = self.decode_batch(tuple(batch))
        parts = (self.augment_batch(x) if augment and self.augments else x, *rest)
        if dtype == torch.float32:
            return parts
        return tuple(part.to(dtype) if part.dtype == torch.float32 else part for part in parts)

    def _on_device(self, name: str) -> Split:
        """Return a split, moved to the CUDA device if ``device_resident`` allows it."""
        split = self.splits[name]
        if self._device != "cuda" or self.device_resident == "no":
            return split
        if name not in self._resident:
            device = self._running.strategy.root_device  # type: ignore[union-attr]
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
        """Convert a batch to natural units; in training also augment it and divide it into a ``Chunk``."""
        if not isinstance(batch, (tuple, list)):
            return batch  # a chunk decodes its own batches; anything else is not a batch of this datamodule
        training = bool(self.trainer and self.trainer.training)
        parts = self._convert(tuple(batch), self._precision, augment=training)
        return Chunk(parts, self.batch_size) if training and self._batches_per_step > 1 else parts
