"""MNIST and Fashion-MNIST, from IDX files in torchvision's folder layout, raw or gzipped."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from datamodules.archives import read_gzip
from datamodules.download import fetch
from datamodules.images.base import ImageDataModule, spec_of_images
from datamodules.images.blank import NothingFoundError
from datamodules.images.foreground import upright_garment
from datamodules.images.pages import digits_on_page
from datamodules.images.reading import read_image
from datamodules.registry import register_datamodule
from datamodules.splits import Split, rows_as_groups

_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", 60_000),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", 10_000),
}


def _checksum(path: Path, digest: hashlib._Hash) -> str:
    """Return the checksum of a file, read in blocks of 1 MiB."""
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_idx(path: Path, expected: tuple[int, ...]) -> Tensor:
    """Read an IDX file of bytes, raw or gzipped, into a uint8 tensor.

    Args:
        path: Path of the file; a gzipped file ends in ``.gz``.
        expected: Expected shape of the tensor.

    Raises:
        ValueError: If the file is truncated or not an IDX file of this shape.
    """
    header = 4 + 4 * len(expected)
    magic = struct.pack(f">BBBB{len(expected)}I", 0, 0, 8, len(expected), *expected)
    wanted = header + int(np.prod(expected))
    try:
        # A tensor can share a bytearray; bytes would be copied, and MNIST takes half of the memory of a small run.
        raw = read_gzip(path, wanted) if path.suffix == ".gz" else np.fromfile(path, np.uint8, wanted + 1)
    except ValueError as error:
        raise ValueError(f"{error}; delete it and it is downloaded again") from None
    if len(raw) != wanted or bytes(raw[:header]) != magic:
        shape = " x ".join(map(str, expected))
        raise ValueError(
            f"{path}: {'more' if len(raw) > wanted else f'{len(raw)} bytes'}, expected an IDX file of {shape} bytes "
            f"({wanted}); is it {'another file' if len(raw) > wanted else 'truncated'}?"
        )
    return torch.frombuffer(raw, dtype=torch.uint8, offset=header).reshape(expected)


class _IdxDataModule(ImageDataModule):
    """Base class of data sets of grey images of 28x28 pixels in ten classes: 60,000 training and 10,000 test rows."""

    folder: str
    mirrors: tuple[str, ...]
    md5: dict[str, str]
    sha256_raw: dict[str, str]

    def __init__(self, *, val_size: int = 5_000, **common: Any) -> None:
        super().__init__(val_size=val_size, **common)
        self._verified: set[Path] = set()

    def prepare_data(self) -> None:
        """Download the missing files."""
        for *names, _ in _FILES.values():
            for name in names:
                self._file(name)

    def _file(self, name: str) -> Path:
        folder = self.root / self.folder / "raw"
        for path, digest, known in (
            (folder / name, hashlib.sha256, self.sha256_raw[name]),
            (folder / f"{name}.gz", hashlib.md5, self.md5[name]),
        ):
            if path.exists():
                if path not in self._verified and _checksum(path, digest()) != known:
                    self._check_shape(path, name)
                    raise ValueError(f"{path}: wrong checksum, not the published {name}; delete it and try again")
                self._verified.add(path)
                return path
        urls = [mirror + name + ".gz" for mirror in self.mirrors]
        return fetch(urls, f"md5:{self.md5[name]}", folder / f"{name}.gz")

    def _check_shape(self, path: Path, name: str) -> None:
        split = "train" if name.startswith("train") else "test"
        read_idx(path, (_FILES[split][2], 28, 28) if "images" in name else (_FILES[split][2],))

    def load(self) -> dict[str, Split]:
        """Load the official splits."""
        splits = {}
        groups = rows_as_groups({split: n for split, (_, _, n) in _FILES.items()})
        for split, (images, labels, n) in _FILES.items():
            x = read_idx(self._file(images), (n, 28, 28)).reshape(n, 1, 28, 28)
            splits[split] = Split((x, read_idx(self._file(labels), (n,)).long()), groups[split])
        return splits


@register_datamodule("mnist")
class MNISTDataModule(_IdxDataModule):
    """MNIST: handwritten digits (LeCun, Bottou, Bengio & Haffner, 1998).

    The split is the official one, 60,000 training and 10,000 test rows; ``val_size`` of the training rows are held out
    for validation. Mean 0.1307 and standard deviation 0.3081 are those of the training pixels in [0, 1].

    Args:
        val_size: Number of training rows held out for validation.
        **common: Arguments of ``ImageDataModule``.
    """

    folder = "MNIST"
    mirrors = (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "http://yann.lecun.com/exdb/mnist/",
    )
    md5 = {
        "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c",
    }
    sha256_raw = {
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    }

    @property
    def spec(self) -> dict[str, Any]:
        """Shape, classes and pixel statistics."""
        return spec_of_images((1, 28, 28), [str(k) for k in range(10)], 0.1307, 0.3081)

    def read(self, source: str) -> Tensor:
        """Read the digits on an image of any size, mode and polarity, normalised as in MNIST: (N, 1, 28, 28)."""
        return digits_on_page(read_image(source, paper="contrast"), source)


@register_datamodule("fashion_mnist")
class FashionMNISTDataModule(_IdxDataModule):
    """Fashion-MNIST: articles of clothing (Xiao, Rasul & Vollgraf, 2017).

    The split is the official one, 60,000 training and 10,000 test rows; ``val_size`` of the training rows are held out
    for validation. Mean 0.2860 and standard deviation 0.3530 are those of the training pixels in [0, 1].

    Args:
        val_size: Number of training rows held out for validation.
        **common: Arguments of ``ImageDataModule``.
    """

    folder = "FashionMNIST"
    mirrors = ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",)
    md5 = {
        "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
    }
    sha256_raw = {
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    }

    @property
    def spec(self) -> dict[str, Any]:
        """Shape, classes and pixel statistics."""
        names = ["t_shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle_boot"]
        return spec_of_images((1, 28, 28), names, 0.2860, 0.3530)

    def read(self, source: str) -> Tensor:
        """Read an image of a garment of any size, mode and polarity as (1, 1, 28, 28), light on black."""
        found = upright_garment(read_image(source, paper="contrast"))
        if not found.any():
            raise NothingFoundError(source)
        return found
