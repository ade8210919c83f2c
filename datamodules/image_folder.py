"""Users' labelled images, from a folder or a zip file with one folder per class."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import torch
from rich.progress import track
from torch import Tensor

from datamodules.archives import ZipReader
from datamodules.images.base import ImageDataModule, spec_of_images
from datamodules.images.folders import ImageFile, ImageFiles, group_by_split, inside_class, list_images
from datamodules.images.reading import read_image, resize_center_crop
from datamodules.registry import register_datamodule
from datamodules.splits import Split, rows_as_groups, stable_split
from datamodules.text.labels import show_labels

SHOWN = 20
"""Number of damaged images that an error names."""
STATISTICS_ROWS = 256
"""Number of images per step of ``channel_statistics``, which bounds its memory. Set by hand."""


def machine_memory() -> int:
    """Return the physical memory in bytes; 8 GiB if the system does not report it."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 8 * 2**30


@register_datamodule("image_folder")
class ImageFolderDataModule(ImageDataModule):
    """Images in a folder or zip file with one folder per class.

    The layout is either ``train/<class>/...`` with ``test/<class>/...`` or ``val/<class>/...`` or both, or
    ``<class>/...`` alone; ``Training``, ``validation`` and the like are understood. Without ``test/`` whether an image
    is in the test split depends on its class and file name alone, by their checksum, regardless of ``seed``: images
    that are added later move no other one, see ``datamodules.splits.stable_split``. Without ``val/`` training images
    are held out for validation likewise, by ``seed``. A single enclosing folder is skipped, links are followed, and
    files that are no images are left out; ``describe`` counts them.

    The shorter side of each image is resized to ``image_size`` and the centre is cropped. Images are decoded once and
    stored as bytes. A data set larger than ``memory_limit`` is decoded into a memory-mapped file in the per-user cache
    folder, which is reused until an image is added, removed or changed.

    Args:
        root: Path of the folder or zip file; required.
        image_size: Height and width in pixels.
        grey: Whether to convert images to one grey channel instead of RGB.
        val_size: Number of training images held out for validation; about a tenth if None. Must be None if ``val/``
            exists.
        test_size: Number of test images; about a fifth if None. Must be None if ``test/`` exists.
        memory_limit: Largest size in GiB of the decoded images in memory; half of the physical memory if None.
        batch_size: Rows per update.
        **common: Arguments of ``ImageDataModule``.
    """

    from_user = True
    learned = (*ImageDataModule.learned, "mean", "std")
    fixed_by_model = ("image_size", "grey")

    def __init__(
        self,
        *,
        root: str | None = None,
        image_size: int = 32,
        grey: bool = False,
        val_size: int | None = None,
        test_size: int | None = None,
        memory_limit: float | None = None,
        batch_size: int = 32,
        **common: Any,
    ) -> None:
        if not root:
            raise ValueError("image_folder needs root: the folder or zip file of your pictures, one folder a class")
        super().__init__(root=root, val_size=val_size or 0, batch_size=batch_size, **common)
        if image_size < 1:
            raise ValueError(f"image_size must be at least 1, not {image_size}")
        if test_size is not None and test_size < 1:
            raise ValueError(f"test_size must be at least 1, not {test_size}")
        if memory_limit is not None and not memory_limit >= 0:
            raise ValueError(f"memory_limit must be at least 0 GiB, not {memory_limit}")
        self.image_size, self.grey = image_size, grey
        self.test_size, self.memory_limit = test_size, memory_limit
        self._val_size_given = val_size is not None
        self._loaded: tuple[dict[str, Split], list[str]] | None = None
        self._found: ImageFiles | None = None
        self._draws_test = False
        self._train_keys: list[str] = []
        self._statistics: tuple[list[float], list[float]] | None = None
        self.check_root()

    def check_root(self) -> None:
        """Raise ``FileNotFoundError`` if the folder or zip file does not exist."""
        if not self.root.exists():
            list_images(self.root)

    @property
    def spec(self) -> dict[str, Any]:
        """Shape, class names, which are those of the folders, and pixel statistics of all training images."""
        splits, names = self._load_once()
        if self._statistics is None:
            self._statistics = channel_statistics(splits["train"].stored[0])
        mean, std = self._statistics
        shape = (1 if self.grey else 3, self.image_size, self.image_size)
        return spec_of_images(shape, names, mean[0] if self.grey else mean, std[0] if self.grey else std)

    @property
    def source_classes(self) -> list[str]:
        """Names of the folders of images."""
        return self._load_once()[1]

    def load(self) -> dict[str, Split]:
        """Return the splits, decoded or from the cache file."""
        return self._load_once()[0]

    def describe(self) -> str:
        """Return what was read and left out, and how many images of each class are in each split."""
        self.setup()
        names = self.source_classes
        counts = {part: torch.bincount(self.strata(split), minlength=len(names)) for part, split in self.splits.items()}
        total = sum(counts.values(), torch.zeros(len(names), dtype=torch.long)).tolist()
        sizes = ", ".join(f"{int(count.sum()):,} {part}" for part, count in counts.items())
        side, mode = self.image_size, "grey" if self.grey else "RGB"
        lines = [
            f"{self.root}: {sum(total):,} pictures, read as {mode}, {side} x {side}",
            self._found.describe_left_out() if self._found else "",
            f"split: {sizes}" + (" (test drawn from the pictures)" if self._draws_test else ""),
            f"{len(names)} classes: {show_labels(names, dict(zip(names, total)))}",
        ]
        return "\n".join(line for line in lines if line)

    def read(self, source: str) -> Tensor:
        """Read an image in the format of the data set: (1, C, image_size, image_size)."""
        return self.to_natural_units(self._decode(source, source)[None])

    def _load_once(self) -> tuple[dict[str, Split], list[str]]:
        """Return the splits and the class names, loaded once."""
        if self._loaded is None:
            parts = self._images_by_split()
            names = sorted({name for _, name in parts["train"]})
            x = self._decode_all([file for part in parts.values() for file, _ in part])
            self._train_keys = [inside_class(file, name) for file, name in parts["train"]]
            groups, splits, start = rows_as_groups({part: len(p) for part, p in parts.items()}), {}, 0
            for part, labelled in parts.items():
                y = torch.tensor([names.index(name) for _, name in labelled])
                # A subset, so that the validation split is no copy, for which memory may not suffice.
                rows = torch.arange(len(y)) if part == "train" else None
                splits[part] = Split((x[start : start + len(y)], y), groups[part], rows)
                start += len(y)
            self._loaded = splits, names
        return self._loaded

    def _images_by_split(self) -> dict[str, list[tuple[ImageFile, str]]]:
        """Return the image files and class names of each split; draw a test split if there is none."""
        self._found = list_images(self.root)
        parts = group_by_split(self.root, self._found.files)
        for given, part in ((self._val_size_given, "val"), (self.test_size is not None, "test")):
            if given and part in parts:
                raise ValueError(f"{part}_size has no use: {self.root} has {part}/")
        self._draws_test = "test" not in parts
        if self._draws_test:
            everything = parts["train"]
            names = sorted({name for _, name in everything})
            labels = torch.tensor([names.index(name) for _, name in everything])
            keys = [inside_class(file, name) for file, name in everything]
            rest, taken = stable_split(keys, labels, 0.2, self.test_size, 0, "test_size")
            parts |= {part: [everything[i] for i in sorted(rows)] for part, rows in (("train", rest), ("test", taken))}
        return parts

    def split_validation(self, train: Split) -> tuple[np.ndarray, np.ndarray]:
        """Return the indices of the rows that are not held out for validation and of those that are."""
        if not self.from_user:
            return super().split_validation(train)
        size = self.val_size if self._val_size_given else None
        rest, taken = stable_split(self._train_keys, self.strata(train), 0.1, size, self.seed + 1, "val_size")
        self.val_size = len(taken)
        return rest, taken

    def _decode(self, source: Any, name: str) -> Tensor:
        image = resize_center_crop(read_image(source, "L" if self.grey else "RGB", name=name), self.image_size)
        return (image * 255).round().to(torch.uint8)

    def _decode_all(self, files: list[ImageFile]) -> Tensor:
        """Return all images (N, C, H, W), uint8, in memory or in a memory-mapped file."""
        shape = (len(files), 1 if self.grey else 3, self.image_size, self.image_size)
        limit = machine_memory() / 2 if self.memory_limit is None else self.memory_limit * 2**30
        if np.prod(shape, dtype=float) <= limit:
            x = np.empty(shape, np.uint8)
            self._decode_into(x, files)
            return torch.from_numpy(x)
        path = self._cache_path(files)
        if not path.exists():
            self._write(path, shape, files)
        # Copy-on-write mode, because torch does not accept read-only arrays; nothing is written.
        return torch.from_numpy(np.load(path, mmap_mode="c"))

    def _decode_into(self, x: np.ndarray, files: list[ImageFile]) -> None:
        with contextlib.ExitStack() as stack:
            archive = None if self.root.is_dir() else stack.enter_context(ZipReader(self.root))

            def decode(row: int) -> None:
                name = files[row].name
                content = self.root / name if archive is None else io.BytesIO(archive.read(name))
                place = f"{self.root / name}" if archive is None else f"{self.root}: {name}"
                x[row] = self._decode(content, place).numpy()

            def try_to_decode(row: int) -> str:
                try:
                    decode(row)
                except ValueError as error:
                    return str(error)
                return ""

            quiet = len(files) < 200 or not sys.stderr.isatty()
            with ThreadPoolExecutor(os.cpu_count()) as threads:
                tried = threads.map(try_to_decode, range(len(files)))
                failures = [line for line in track(tried, "reading pictures", len(files), disable=quiet) if line]
        if failures:
            more = f"; and {len(failures) - SHOWN} more" if len(failures) > SHOWN else ""
            what = f"{len(failures)} of {len(files)} pictures are damaged: " if len(failures) > 1 else ""
            raise ValueError(f"{what}{'; '.join(failures[:SHOWN])}{more}")

    def _cache_path(self, files: list[ImageFile]) -> Path:
        """Return the path of the cache file, named by hashes of the settings and of the list of image files."""
        settings = [str(self.root.resolve()), self.image_size, self.grey, self.test_size]
        keys = (hashlib.sha256(json.dumps(part).encode()).hexdigest()[:16] for part in (settings, files))
        return platformdirs.user_cache_path("lightning-zoo") / "image_folder" / f"{'-'.join(keys)}.npy"

    def _write(self, path: Path, shape: tuple[int, ...], files: list[ImageFile]) -> None:
        """Decode into a cache file that appears under its name once complete, and delete outdated ones."""
        size = int(np.prod(shape, dtype=float))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Writing to a memory-mapped file on a full disk would kill the process without an error.
            free = shutil.disk_usage(path.parent).free
            if size > free:
                raise ValueError(f"{path.parent}: {size / 2**30:.1f} GiB of pictures, {free / 2**30:.1f} GiB are free")
            with tempfile.TemporaryDirectory(dir=path.parent) as folder:
                unfinished = Path(folder) / path.name
                x = np.lib.format.open_memmap(unfinished, mode="w+", dtype=np.uint8, shape=shape)
                self._decode_into(x, files)
                x.flush()
                os.replace(unfinished, path)
        except FileNotFoundError:
            raise  # an image was deleted during decoding
        except OSError as error:
            raise ValueError(f"{path.parent} cannot be written ({error.strerror or error})") from error
        for outdated in path.parent.glob(f"{path.name.split('-')[0]}-*.npy"):
            if outdated != path:
                outdated.unlink(missing_ok=True)


def channel_statistics(x: Tensor) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of each channel of images (N, C, H, W), uint8, in [0, 1], to 4 decimals."""
    count, total, squares = 0, torch.zeros(x.shape[1]).double(), torch.zeros(x.shape[1]).double()
    for rows in x.split(STATISTICS_ROWS):
        values = rows.double() / 255
        count += values[:, 0].numel()
        total += values.sum((0, 2, 3))
        squares += values.square().sum((0, 2, 3))
    mean = total / count
    std = (squares / count - mean.square()).clamp(min=0).sqrt()
    return [round(v, 4) for v in mean.tolist()], [round(v, 4) for v in std.tolist()]
