"""CIFAR-10, from the official binary files or re-encoded as JPEG."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from datamodules.base import data_root
from datamodules.download import find_source, read_source
from datamodules.image_folder import ImageFolderDataModule
from datamodules.images.base import ImageDataModule, spec_of_images
from datamodules.images.reading import read_picture, square
from datamodules.registry import register_datamodule
from datamodules.splits import Split, rows_as_groups

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
_RECORD = 1 + 3 * 32 * 32


@register_datamodule("cifar10")
class CIFAR10DataModule(ImageDataModule):
    """CIFAR-10: colour pictures of 32x32 pixels in ten classes (Krizhevsky, 2009).

    The official binary version, whose records are a byte for the class and 3,072 for the pixels, is downloaded as
    ``cifar-10-binary.tar.gz``; that or its folder ``cifar-10-batches-bin`` is read. Official split of 50,000 and
    10,000; ``val_size`` of the former are set aside for validation.

    Args:
        val_size: Rows of the training split set aside for validation.
        **common: Arguments of ``ImageDataModule``.
    """

    url = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
    md5 = "c32a1d4ab5d03f1284b67883e8d87530"
    folder = "cifar-10-batches-bin"
    files = {"train": [f"data_batch_{k}.bin" for k in range(1, 6)], "test": ["test_batch.bin"]}
    rows = 10_000

    def __init__(self, *, val_size: int = 5_000, **common: Any) -> None:
        super().__init__(val_size=val_size, **common)

    @property
    def spec(self) -> dict[str, Any]:
        """Shape, classes and pixel statistics."""
        return spec_of_images((3, 32, 32), CLASSES, [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616])

    def prepare_data(self) -> None:
        """Download the archive unless it or its files are there."""
        self._source()

    def _source(self) -> Path:
        """Return the folder of the files or the archive, which is checked."""
        names = [name for names in self.files.values() for name in names]
        archive = self.root / "cifar-10-binary.tar.gz"
        source = find_source(self.root / self.folder, names, archive, [self.url], f"md5:{self.md5}")
        if source == archive and hashlib.md5(archive.read_bytes()).hexdigest() != self.md5:
            raise ValueError(f"{archive}: wrong checksum, not the published archive; delete it and try again")
        return source

    def load(self) -> dict[str, Split]:
        """Read the official splits."""
        source, splits = self._source(), {}
        groups = rows_as_groups({split: self.rows * len(names) for split, names in self.files.items()})
        for split, names in self.files.items():
            contents = [self._checked(name, content) for name, content in zip(names, read_source(source, names))]
            records = np.frombuffer(bytearray(b"".join(contents)), np.uint8).reshape(-1, _RECORD)
            x = torch.from_numpy(records[:, 1:].copy()).reshape(-1, 3, 32, 32)
            splits[split] = Split((x, torch.from_numpy(records[:, 0].astype(np.int64))), groups[split])
        return splits

    def read(self, source: str) -> Tensor:
        """Read a picture, of any size and mode, as CIFAR-10 would show it: (1, 3, 32, 32)."""
        return square(read_picture(source, "RGB"), 32)[None]

    def _checked(self, name: str, content: bytes) -> bytes:
        """Return the content of a file if it has as many records as it should, each of a known class."""
        if len(content) != self.rows * _RECORD:
            raise ValueError(f"{name}: {len(content)} bytes, expected {self.rows * _RECORD}; is it truncated?")
        if max(content[::_RECORD]) > 9:
            raise ValueError(f"{name}: a class above 9, expected records of a class and 3,072 pixels; is it damaged?")
        return content


@register_datamodule("cifar10_jpeg")
class CIFAR10JPEGDataModule(ImageFolderDataModule):
    """CIFAR-10 (JPEG re-encoded): a part of CIFAR-10 (Krizhevsky, 2009), compressed with loss.

    ``cifar10-jpeg.zip``, or the folder ``cifar10-jpeg`` that it unpacks to, with ``train/<class>/NNNN.jpg`` (20,000
    pictures, the first 2,000 of each class) and ``test/<class>/NNNN.jpg`` (the official 10,000). Good for colouring and
    filling; a figure measured on it is not one on CIFAR-10.

    Args:
        root: Folder of the data; ``$ZOO_DATA`` or a per-user cache folder if None.
        val_size: Rows of the training split set aside for validation.
        batch_size: Rows an update.
        **common: Arguments of ``ImageFolderDataModule``.
    """

    archive = "cifar10-jpeg"

    def __init__(self, *, root: str | None = None, val_size: int = 2_000, batch_size: int = 128, **common: Any) -> None:
        folder = data_root(root) / self.archive
        found = folder if folder.is_dir() else folder.with_suffix(".zip")
        # Decoding takes ten seconds: it is done once, into the memory-mapped file of a set too large for memory.
        super().__init__(root=str(found), val_size=val_size, batch_size=batch_size, **{"memory_limit": 0.0, **common})

    @property
    def spec(self) -> dict[str, Any]:
        """Shape, classes and pixel statistics."""
        if self.grey or self.image_size != 32:
            return super().spec
        return spec_of_images((3, 32, 32), CLASSES, [0.4926, 0.4828, 0.4471], [0.2457, 0.2435, 0.2611])

    def check_root(self) -> None:
        """Leave the look for the files to ``load``: shape and classes are known without them."""

    def prepare_data(self) -> None:
        """Check that the pictures are there; no server offers them."""
        if not self.root.exists():
            raise FileNotFoundError(
                f"{self.root.name} is missing and no server offers it: zip train/<class>/*.jpg and test/<class>/*.jpg, "
                f"and put it at {self.root}; datamodule cifar10 downloads the original"
            )

    def load(self) -> dict[str, Split]:
        """Decode the pictures."""
        self.prepare_data()
        return super().load()
