"""Image files in a folder or zip file, with their splits and classes by the names of folders."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from datamodules.archives import ZipReader
from datamodules.errors import unknown
from datamodules.images.reading import HEIF_ENDINGS, IMAGE_ENDINGS

SPLITS = ("train", "val", "test")
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Names of folders that are splits, in lower case."""


class ImageFile(NamedTuple):
    """An image file of the data set."""

    name: str
    """Path inside the folder or zip file."""
    size: int
    """Size in bytes."""
    stamp: int
    """Time of modification in nanoseconds, or in a zip file the CRC."""


class ImageFiles(NamedTuple):
    """The image files of a folder or zip file.

    Args:
        files: The image files, sorted by name.
        left_out: Number of other files by their ending, in lower case.
    """

    files: list[ImageFile]
    left_out: Counter[str]

    def describe_left_out(self) -> str:
        """Return a line on the files that are left out, empty if there are none."""
        if not self.left_out:
            return ""
        kinds = [f"{count:,} {ending or 'without ending'}" for ending, count in self.left_out.most_common(10)]
        more = f", and {len(self.left_out) - 10} more endings" if len(self.left_out) > 10 else ""
        heif = "; pip install pillow-heif reads .heic" if set(HEIF_ENDINGS) & set(self.left_out) else ""
        return f"left out as no pictures: {', '.join(kinds)}{more}{heif}"


def list_images(root: Path) -> ImageFiles:
    """List the image files in a folder, also behind links, or in a zip file; hidden files are ignored.

    Raises:
        FileNotFoundError: If the folder or file does not exist.
        ValueError: If it is a file but not a zip file, or holds no images.
    """
    if not root.exists():
        raise FileNotFoundError(f"{root}: no such folder or zip file; expected pictures in one folder a class")
    if root.is_dir():
        found = list(_walk(root))
    else:
        with ZipReader(root) as archive:
            found = [ImageFile(info.filename, info.file_size, info.CRC) for info in archive.members]
    files: list[ImageFile] = []
    left_out: Counter[str] = Counter()
    for file in sorted(found):
        path = PurePosixPath(file.name)
        if any(part.startswith((".", "__MACOSX")) for part in path.parts):
            continue
        if path.suffix.lower() in IMAGE_ENDINGS:
            files.append(file)
        else:
            left_out[path.suffix.lower()] += 1
    if not files:
        others = f" ({ImageFiles([], left_out).describe_left_out()})" if left_out else ""
        raise ValueError(f"{root} holds no pictures{others}: expected files ending in {', '.join(IMAGE_ENDINGS)}")
    return ImageFiles(files, left_out)


def _walk(root: Path) -> Iterator[ImageFile]:
    """Yield the files below a folder; links to folders are followed, each real folder once on a path."""

    def visit(folder: Path, above: tuple[tuple[int, int], ...]) -> Iterator[ImageFile]:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    stat = entry.stat()
                    is_folder, is_file = entry.is_dir(), entry.is_file()
                except OSError:  # a link to nothing, or to itself
                    continue
                if is_file:
                    yield ImageFile(Path(entry.path).relative_to(root).as_posix(), stat.st_size, stat.st_mtime_ns)
                elif is_folder and (stat.st_dev, stat.st_ino) not in above:
                    yield from visit(Path(entry.path), (*above, (stat.st_dev, stat.st_ino)))

    stat = root.stat()
    yield from visit(root, ((stat.st_dev, stat.st_ino),))


def group_by_split(root: Path, files: list[ImageFile]) -> dict[str, list[tuple[ImageFile, str]]]:
    """Group image files by the split in their path and label them by their class folder.

    Returns:
        Image files with class names by split, ``train`` first: of the first folders ``train``, ``val`` and ``test``, by
        any of ``SPLIT_NAMES`` in any case; all of them under ``train`` if there are no such folders.

    Raises:
        ValueError: If the folders are not laid out as ``ImageFolderDataModule`` expects.
    """
    paths = [PurePosixPath(file.name).parts for file in files]
    tops = {path[0] for path in paths}
    if len(tops) == 1 and not _splits_of(tops) and min(map(len, paths)) > 2:
        paths = [path[1:] for path in paths]
        tops = {path[0] for path in paths}
    named = _splits_of(tops)
    # Folders of pictures alone, such as train/1.png beside bus/1.png, are classes of these names.
    divided = any(path[0] in named and len(path) > 2 for path in paths)
    parts: dict[str, list[tuple[ImageFile, str]]] = {}
    for file, path in zip(files, paths, strict=True):
        if divided and path[0] not in named:
            raise unknown(f"folder in {root}", path[0], SPLITS)
        if len(path) < (3 if divided else 2):
            raise ValueError(f"{root}: {file.name} lies in no class folder: expected one folder a class")
        part = named[path[0]] if divided else "train"
        parts.setdefault(part, []).append((file, path[1] if divided else path[0]))
    if "train" not in parts:
        raise ValueError(f"{root}: no pictures in train/, expected train/ and test/, or one folder a class alone")
    classes = {part: {name for _, name in labelled} for part, labelled in parts.items()}
    known = classes["train"]
    if len(known) < 2:
        raise ValueError(f"{root}: only one class, {next(iter(known))!r}: expected at least two folders of pictures")
    for part, names in classes.items():
        if names - known:
            raise ValueError(f"{root}: class {min(names - known)!r} is in {part}/ but not in train/")
    return {part: parts[part] for part in SPLITS if part in parts}


def _splits_of(folders: set[str]) -> dict[str, str]:
    """Return the split of each folder whose name is that of a split."""
    return {folder: SPLIT_NAMES[folder.lower()] for folder in folders if folder.lower() in SPLIT_NAMES}


def inside_class(file: ImageFile, class_name: str) -> str:
    """Return the path of an image from the folder of its class on."""
    parts = PurePosixPath(file.name).parts
    return "/".join(parts[parts.index(class_name) :])
