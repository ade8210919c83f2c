"""CIFAR-10, from the official binary files or from a re-encoding as JPEG."""

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
from datamodules.images.reading import read_image, resize_center_crop
from datamodules.registry import register_datamodule
from datamodules.splits import Split, rows_as_groups

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
_RECORD = 1 + 3 * 32 * 32


@register_datamodule("cifar10")
class CIFAR10DataModule(ImageDataModule):
    """CIFAR-10: colour images of 32x32 pixels in ten classes (Krizhevsky, 2009).

    The source is the official binary version, whose records are one byte for the class and 3,072 for the pixels:
    ``cifar-10-binary.tar.gz``, downloaded if missing, or its folder ``cifar-10-batches-bin``. The split is the official
    one, 50,000 training and 10,000 test rows; ``val_size`` of the training rows are held out for validation. Mean and
    standard deviation in ``spec`` are those of the training pixels in [0, 1].

    Args:
        val_size: Number of training rows held out for validation.
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
        """Download the archive if neither it nor its files exist."""
        self._source()

    def _source(self) -> Path:
        """Return the folder of the files, or the archive after a check of its checksum."""
        names = [name for names in self.files.values() for name in names]
        archive = self.root / "cifar-10-binary.tar.gz"
        source = find_source(self.root / self.folder, names, archive, [self.url], f"md5:{self.md5}")
        if source == archive and hashlib.md5(archive.read_bytes()).hexdigest() != self.md5:
            raise ValueError(f"{archive}: wrong checksum, not the published archive; delete it and try again")
        return source

    def load(self) -> dict[str, Split]:
        """Load the official splits."""
        source, splits = self._source(), {}
        groups = rows_as_groups({split: self.rows * len(names) for split, names in self.files.items()})
        for split, names in self.files.items():
            contents = [self._checked(name, content) for name, content in zip(names, read_source(source, names))]
            records = np.frombuffer(bytearray(b"".join(contents)), np.uint8).reshape(-1, _RECORD)
            x = torch.from_numpy(records[:, 1:].copy()).reshape(-1, 3, 32, 32)
            splits[split] = Split((x, torch.from_numpy(records[:, 0].astype(np.int64))), groups[split])
        return splits

    def read(self, source: str) -> Tensor:
        """Read an image of any size and mode, resized and cropped to CIFAR-10's format: (1, 3, 32, 32)."""
        return resize_center_crop(read_image(source, "RGB"), 32)[None]

    def _checked(self, name: str, content: bytes) -> bytes:
        """Return the content of a file after a check of its number of records and of their classes."""
        if len(content) != self.rows * _RECORD:
            raise ValueError(f"{name}: {len(content)} bytes, expected {self.rows * _RECORD}; is it truncated?")
        if max(content[::_RECORD]) > 9:
            raise ValueError(f"{name}: a class above 9, expected records of a class and 3,072 pixels; is it damaged?")
        return content


@register_datamodule("cifar10_jpeg")
class CIFAR10JPEGDataModule(ImageFolderDataModule):
    """CIFAR-10 (JPEG re-encoded): a subset of CIFAR-10 (Krizhevsky, 2009) with lossy compression.

    The source is ``cifar10-jpeg.zip`` or its unpacked folder ``cifar10-jpeg``, with ``train/<class>/NNNN.jpg`` (20,000
    images, the first 2,000 of each class) and ``test/<class>/NNNN.jpg`` (the official 10,000). It suits colourisation
    and inpainting; results on it are not comparable with results on CIFAR-10. Mean and standard deviation in ``spec``
    are those of the training pixels in [0, 1].

    Args:
        root: Data folder; ``$ZOO_DATA`` or the per-user cache folder if None.
        val_size: Number of training rows held out for validation.
        batch_size: Rows per update.
        **common: Arguments of ``ImageFolderDataModule``.
    """

    archive = "cifar10-jpeg"
    from_user = False

    def __init__(self, *, root: str | None = None, val_size: int = 2_000, batch_size: int = 128, **common: Any) -> None:
        folder = data_root(root) / self.archive
        found = folder if folder.is_dir() else folder.with_suffix(".zip")
        # memory_limit=0: the images are decoded once, which takes ten seconds, into a memory-mapped cache file.
        super().__init__(root=str(found), val_size=val_size, batch_size=batch_size, **{"memory_limit": 0.0, **common})

    @property
    def spec(self) -> dict[str, Any]:
        """Shape, classes and pixel statistics."""
        if self.grey or self.image_size != 32:
            return super().spec
        return spec_of_images((3, 32, 32), CLASSES, [0.4926, 0.4828, 0.4471], [0.2457, 0.2435, 0.2611])

    def check_root(self) -> None:
        """Skip the check, which ``load`` makes: shape and classes are known without the files."""

    def prepare_data(self) -> None:
        """Check that the files exist; they cannot be downloaded."""
        if not self.root.exists():
            raise FileNotFoundError(
                f"{self.root.name} is missing and no server offers it: zip train/<class>/*.jpg and test/<class>/*.jpg, "
                f"and put it at {self.root}; datamodule cifar10 downloads the original"
            )

    def load(self) -> dict[str, Split]:
        """Decode the images."""
        self.prepare_data()
        return super().load()
