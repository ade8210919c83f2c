"""Flickr8k: photographs of everyday scenes."""

from __future__ import annotations

import io
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from datamodules.archives import ZipReader
from datamodules.images.base import ImageDataModule
from datamodules.images.reading import read_image, resize, resize_center_crop
from datamodules.registry import register_datamodule
from datamodules.splits import Split, rows_as_groups

_LISTS = {name: f"Flickr_8k.{part}Images.txt" for name, part in (("train", "train"), ("val", "dev"), ("test", "test"))}
_SOURCES = ("Flicker8k_Dataset", "Flicker8k_Dataset_112.zip", "Flickr8k_Dataset.zip")
"""Folder or archives of the photographs, the first that exists is read; the spellings are those of the publication."""


@register_datamodule("flickr8k")
class Flickr8kDataModule(ImageDataModule):
    """Flickr8k: 8,000 colour photographs of people and animals in action (Hodosh, Young & Hockenmaier, 2013).

    The folder ``flickr8k`` of the data root holds the photographs, as ``Flickr8k_Dataset.zip``, as its unpacked folder
    ``Flicker8k_Dataset`` or, reduced to 112x112 pixels, as ``Flicker8k_Dataset_112.zip``, and the lists
    ``Flickr_8k.trainImages.txt``, ``Flickr_8k.devImages.txt`` and ``Flickr_8k.testImages.txt``, also in a folder
    ``Flickr8k_text``. The splits are the official ones, 6,000, 1,000 and 1,000 photographs. Each is squeezed to a
    square. The second element of a row is the number of the photograph in its list: there are no classes.

    The photographs belong to their authors and serve research and teaching, without commercial use. Their publishers
    give them to those who accept these terms, so they are not downloaded.

    Args:
        image_size: Height and width of the photographs in pixels.
        **common: Arguments of ``ImageDataModule``.

    Raises:
        FileNotFoundError: If photographs or lists are missing.
    """

    def __init__(self, *, image_size: int = 112, **common: Any) -> None:
        super().__init__(**common)
        if image_size < 1:
            raise ValueError(f"image_size must be at least 1, not {image_size}")
        if self.val_size:
            raise ValueError(f"val_size={self.val_size} does not fit: flickr8k has a validation split of its own")
        self.image_size = image_size
        self.folder = self.root / "flickr8k"

    @property
    def spec(self) -> dict[str, Any]:
        """Shape of the photographs."""
        side = self.image_size
        return {"input_shape": [3, side, side], "in_features": 3 * side * side, "in_channels": 3}

    def strata(self, train: Split) -> Tensor:
        """Return one stratum for all photographs, which have no classes."""
        return torch.zeros_like(train.column(1))

    def prepare_data(self) -> None:
        """Check that the files exist; they cannot be downloaded."""
        self._source()
        for name in _LISTS.values():
            self._list(name)

    def _source(self) -> Path:
        for name in _SOURCES:
            if (self.folder / name).exists():
                return self.folder / name
        raise FileNotFoundError(
            f"{self.folder} has none of {', '.join(_SOURCES)}: Flickr8k is given to those who accept its terms "
            f"(research and teaching); put the archive of its photographs and its three lists there"
        )

    def _list(self, name: str) -> list[str]:
        """Return the file names of a list."""
        for path in (self.folder / name, self.folder / "Flickr8k_text" / name):
            if path.is_file():
                return path.read_text(encoding="utf-8").split()
        raise FileNotFoundError(f"{self.folder / name} is missing: the list of the photographs of one split")

    def lists(self) -> dict[str, list[str]]:
        """Return the file names of the photographs of each official split.

        Raises:
            FileNotFoundError: If a list is missing.
            ValueError: If a photograph is named twice.
        """
        found = {split: self._list(name) for split, name in _LISTS.items()}
        most = Counter(chain.from_iterable(found.values())).most_common(1)
        if most and most[0][1] > 1:
            raise ValueError(
                f"{self.folder}: {most[0][0]} is named twice in the lists, which must have no photograph in common"
            )
        return found

    def load(self) -> dict[str, Split]:
        """Decode the photographs of the official splits."""
        source, lists = self._source(), self.lists()
        groups = rows_as_groups({split: len(names) for split, names in lists.items()})
        if source.is_dir():
            missing = [name for names in lists.values() for name in names if not (source / name).is_file()]
            if missing:
                raise FileNotFoundError(f"{source} lacks {len(missing)} photographs of the lists, such as {missing[0]}")
            return {split: self._decoded(source, None, names, groups[split]) for split, names in lists.items()}
        with ZipReader(source) as archive:
            return {split: self._decoded(source, archive, names, groups[split]) for split, names in lists.items()}

    def _decoded(self, source: Path, archive: ZipReader | None, names: list[str], groups: Any) -> Split:
        """Return the split of the photographs of a folder or an archive."""
        side = self.image_size
        inside = {Path(info.filename).name: info.filename for info in archive.members} if archive else {}

        def one(name: str) -> Tensor:
            if archive is None:
                file: Any = source / name
            elif name in inside:
                file = io.BytesIO(archive.read(inside[name]))
            else:
                raise FileNotFoundError(f"{source} lacks {name}, which a list names")
            image = read_image(file, "RGB", name=f"{source}: {name}")
            if image.shape[1:] != (side, side):
                image = resize(image, side, side)
            return (image * 255).round_().to(torch.uint8)

        with ThreadPoolExecutor() as pool:
            pictures = list(pool.map(one, names))
        return Split((torch.stack(pictures), torch.arange(len(names))), groups)

    def read(self, source: str) -> Tensor:
        """Read an image of any size and mode, resized and cropped to a square: (1, 3, image_size, image_size)."""
        return resize_center_crop(read_image(source, "RGB"), self.image_size)[None]
