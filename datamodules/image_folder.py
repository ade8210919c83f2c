"""A user's own pictures: a folder or a zip file with one folder a class."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tempfile
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import platformdirs
import torch
from torch import Tensor

from datamodules.errors import unknown
from datamodules.images.base import ImageDataModule, spec_of_images
from datamodules.images.reading import IMAGE_ENDINGS, read_image, resize_center_crop
from datamodules.registry import register_datamodule
from datamodules.splits import Split, rows_as_groups, stratified_split

SPLITS = ("train", "val", "test")
STATISTICS_ROWS = 256


class ImageFile(NamedTuple):
    """A picture of the set: its path inside the folder or zip file, and what changes when it does."""

    name: str
    size: int
    stamp: int


def machine_memory() -> int:
    """Return the machine's memory in bytes; 8 GiB where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 8 * 2**30


def list_images(root: Path) -> list[ImageFile]:
    """List the pictures in a folder or zip file, sorted by name; hidden files and other kinds of files are left out.

    Raises:
        FileNotFoundError: If there is no such folder or file.
        ValueError: If it is a file but no zip file, or holds no picture.
    """
    if not root.exists():
        raise FileNotFoundError(f"{root}: no such folder or zip file; expected pictures in one folder a class")
    if root.is_dir():
        files = [(path.relative_to(root).as_posix(), path.stat()) for path in root.rglob("*") if path.is_file()]
        found = [ImageFile(name, stat.st_size, stat.st_mtime_ns) for name, stat in files]
    else:
        try:
            with zipfile.ZipFile(root) as archive:
                found = [ImageFile(info.filename, info.file_size, info.CRC) for info in archive.infolist()]
        except (zipfile.BadZipFile, OSError) as error:
            raise ValueError(f"{root} is neither a folder nor a zip file that can be read ({error})") from error
    pictures = [
        picture
        for picture in sorted(found)
        if picture.name.lower().endswith(IMAGE_ENDINGS)
        and not any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(picture.name).parts)
    ]
    if not pictures:
        raise ValueError(f"{root} holds no pictures: expected files ending in {', '.join(IMAGE_ENDINGS)}")
    return pictures


def group_by_split(root: Path, pictures: list[ImageFile]) -> dict[str, list[tuple[ImageFile, str]]]:
    """Sort pictures by part and class, as their folders say.

    Returns:
        Pictures and class names of ``train``, ``test`` and perhaps ``val``; of ``all`` where there are no such folders.

    Raises:
        ValueError: If the folders are not laid out as ``ImageFolderDataModule`` expects.
    """
    paths = [PurePosixPath(picture.name).parts for picture in pictures]
    tops = {path[0] for path in paths}
    if len(tops) == 1 and not tops & set(SPLITS) and min(map(len, paths)) > 2:
        paths = [path[1:] for path in paths]
        tops = {path[0] for path in paths}
    divided = bool(tops & set(SPLITS))
    parts: dict[str, list[tuple[ImageFile, str]]] = {}
    for picture, path in zip(pictures, paths, strict=True):
        part = path[0] if divided else "all"
        if divided and part not in SPLITS:
            raise unknown(f"folder in {root}", part, SPLITS)
        if len(path) < (3 if divided else 2):
            raise ValueError(f"{root}: {picture.name} lies in no class folder: expected one folder a class")
        parts.setdefault(part, []).append((picture, path[1] if divided else path[0]))
    if divided and not {"train", "test"} <= set(parts):
        missing = "train" if "train" not in parts else "test"
        raise ValueError(f"{root}: no pictures in {missing}/, expected train/ and test/, or one folder a class alone")
    classes = {part: {name for _, name in labelled} for part, labelled in parts.items()}
    known = classes["train" if divided else "all"]
    if len(known) < 2:
        raise ValueError(f"{root}: only one class, {next(iter(known))!r}: expected at least two folders of pictures")
    for part, names in classes.items():
        if names - known:
            raise ValueError(f"{root}: class {min(names - known)!r} is in {part}/ but not in train/")
    return parts


@register_datamodule("image_folder")
class ImageFolderDataModule(ImageDataModule):
    """A folder or a zip file of a user's own pictures, one folder a class.

    Either ``train/<class>/...`` and ``test/<class>/...``, perhaps also ``val/<class>/...``; or ``<class>/...`` alone.
    In the latter the test split is drawn here: ``test_size`` pictures with each class in proportion, always the same
    for the same file names, whatever ``seed`` is. Without ``val/``, ``val_size`` training pictures are set aside for
    validation. A single folder around it all does no harm, and a folder without pictures is no class.

    Each picture is resized until its shorter side fits and its middle is cut out. All are decoded once, to bytes. A set
    larger than ``memory_limit`` is decoded into a memory-mapped file in the per-user cache folder, which serves until a
    picture is added, removed or changed.

    Args:
        root: The folder or zip file; there is no default.
        image_size: Height and width in pixels.
        grey: Whether pictures are grey, one channel, instead of red, green and blue.
        val_size: Training pictures set aside for validation; a tenth if None. Takes no number where there is ``val/``.
        test_size: Pictures of the test split; a fifth if None. Takes no number where there is ``test/``.
        memory_limit: GiB of decoded pictures to keep in memory; half of the machine's memory if None.
        batch_size: Rows an update.
        **common: Arguments of ``ImageDataModule``.
    """

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
        self._statistics: tuple[list[float], list[float]] | None = None
        self.check_root()

    def check_root(self) -> None:
        """Raise ``FileNotFoundError`` at once if the folder or zip file is not there."""
        if not self.root.exists():
            list_images(self.root)

    @property
    def spec(self) -> dict[str, Any]:
        """Shape, class names as the folders', and the pixel statistics of all training pictures."""
        splits, names = self._load_once()
        if self._statistics is None:
            self._statistics = channel_statistics(splits["train"].stored[0])
        mean, std = self._statistics
        shape = (1 if self.grey else 3, self.image_size, self.image_size)
        return spec_of_images(shape, names, mean[0] if self.grey else mean, std[0] if self.grey else std)

    def load(self) -> dict[str, Split]:
        """Decode the pictures, or find them decoded."""
        return self._load_once()[0]

    def read(self, source: str) -> Tensor:
        """Read a picture as those of the set are: (1, C, image_size, image_size)."""
        return self.to_natural_units(self._decode(source, source)[None])

    def _load_once(self) -> tuple[dict[str, Split], list[str]]:
        """Return the splits and the class names, read once."""
        if self._loaded is None:
            parts = self._images_by_split()
            names = sorted({name for _, name in parts["train"]})
            x = self._decode_all([picture for part in parts.values() for picture, _ in part])
            groups, splits, start = rows_as_groups({part: len(p) for part, p in parts.items()}), {}, 0
            for part, labelled in parts.items():
                y = torch.tensor([names.index(name) for _, name in labelled])
                # Training rows are chosen for validation, not copied: there may be no room for a second copy.
                rows = torch.arange(len(y)) if part == "train" else None
                splits[part] = Split((x[start : start + len(y)], y), groups[part], rows)
                start += len(y)
            self._loaded = splits, names
        return self._loaded

    def _images_by_split(self) -> dict[str, list[tuple[ImageFile, str]]]:
        """Return the pictures and class names of each part; draw a test split where there is none."""
        parts = group_by_split(self.root, list_images(self.root))
        for given, part in ((self._val_size_given, "val"), (self.test_size is not None, "test")):
            if given and part in parts:
                raise ValueError(f"{part}_size has no use: {self.root} has {part}/")
        if "all" in parts:
            everything = parts["all"]
            names = sorted({name for _, name in everything})
            labels = torch.tensor([names.index(name) for _, name in everything])
            size = max(len(names), len(labels) // 5) if self.test_size is None else self.test_size
            rest, taken = stratified_split(labels, size, seed=0, name="test_size")
            parts = {part: [everything[i] for i in sorted(rows)] for part, rows in (("train", rest), ("test", taken))}
        if "val" not in parts and not self._val_size_given:
            self.val_size = max(len({name for _, name in parts["train"]}), len(parts["train"]) // 10)
        return {part: parts[part] for part in SPLITS if part in parts}

    def _decode(self, source: Any, name: str) -> Tensor:
        picture = resize_center_crop(read_image(source, "L" if self.grey else "RGB", name=name), self.image_size)
        return (picture * 255).round().to(torch.uint8)

    def _decode_all(self, pictures: list[ImageFile]) -> Tensor:
        """Return all pictures as bytes (N, C, H, W), in memory or in a memory-mapped file."""
        shape = (len(pictures), 1 if self.grey else 3, self.image_size, self.image_size)
        limit = machine_memory() / 2 if self.memory_limit is None else self.memory_limit * 2**30
        if np.prod(shape, dtype=float) <= limit:
            x = np.empty(shape, np.uint8)
            self._decode_into(x, pictures)
            return torch.from_numpy(x)
        path = self._cache_path(pictures)
        if not path.exists():
            self._write(path, shape, pictures)
        # Copy on write: torch takes no read-only arrays, and nothing is ever written.
        return torch.from_numpy(np.load(path, mmap_mode="c"))

    def _decode_into(self, x: np.ndarray, pictures: list[ImageFile]) -> None:
        archive = None if self.root.is_dir() else zipfile.ZipFile(self.root)

        def decode(row: int) -> None:
            name = pictures[row].name
            if archive is None:
                x[row] = self._decode(self.root / name, str(self.root / name)).numpy()
                return
            try:
                content = io.BytesIO(archive.read(name))
            except (zipfile.BadZipFile, RuntimeError, EOFError, OSError, zlib.error) as error:
                raise ValueError(f"{self.root}: {name} cannot be unpacked ({error})") from error
            x[row] = self._decode(content, f"{self.root}: {name}").numpy()

        try:
            with ThreadPoolExecutor(os.cpu_count()) as threads:
                for _ in threads.map(decode, range(len(pictures))):
                    pass
        finally:
            if archive is not None:
                archive.close()

    def _cache_path(self, pictures: list[ImageFile]) -> Path:
        """Return the decoded file's path: settings and pictures, in their order, decide its name."""
        settings = [str(self.root.resolve()), self.image_size, self.grey, self.test_size]
        keys = (hashlib.sha256(json.dumps(part).encode()).hexdigest()[:16] for part in (settings, pictures))
        return platformdirs.user_cache_path("lightning-zoo") / "image_folder" / f"{'-'.join(keys)}.npy"

    def _write(self, path: Path, shape: tuple[int, ...], pictures: list[ImageFile]) -> None:
        """Decode into a file that appears under its name when it is complete."""
        size = int(np.prod(shape, dtype=float))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # A memory-mapped file on a full disk would end the process without a word.
            free = shutil.disk_usage(path.parent).free
            if size > free:
                raise ValueError(f"{path.parent}: {size / 2**30:.1f} GiB of pictures, {free / 2**30:.1f} GiB are free")
            with tempfile.TemporaryDirectory(dir=path.parent) as folder:
                unfinished = Path(folder) / path.name
                x = np.lib.format.open_memmap(unfinished, mode="w+", dtype=np.uint8, shape=shape)
                self._decode_into(x, pictures)
                x.flush()
                os.replace(unfinished, path)
        except FileNotFoundError:
            raise  # a picture went while the others were read
        except OSError as error:
            raise ValueError(f"{path.parent} cannot be written ({error.strerror or error})") from error
        for outdated in path.parent.glob(f"{path.name.split('-')[0]}-*.npy"):
            if outdated != path:
                outdated.unlink(missing_ok=True)


def channel_statistics(x: Tensor) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of each channel of bytes (N, C, H, W) as values in [0, 1], to 4 digits."""
    count, total, squares = 0, torch.zeros(x.shape[1]).double(), torch.zeros(x.shape[1]).double()
    for rows in x.split(STATISTICS_ROWS):
        values = rows.double() / 255
        count += values[:, 0].numel()
        total += values.sum((0, 2, 3))
        squares += values.square().sum((0, 2, 3))
    mean = total / count
    std = (squares / count - mean.square()).clamp(min=0).sqrt()
    return [round(v, 4) for v in mean.tolist()], [round(v, 4) for v in std.tolist()]
