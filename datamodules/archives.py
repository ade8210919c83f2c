"""Reading of zip, tar and gzip archives within bounds: whatever is wrong with one is an error of one line."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO

LARGEST_FILE = 2**30
"""Largest unpacked size in bytes of a file in an archive, ten times that of any published file. Set by hand."""
LARGEST_TOTAL = 2**31
"""Largest unpacked size in bytes of all files that are read from an archive together. Set by hand."""
LARGEST_RATIO = 200
"""Largest ratio of unpacked to packed size, ten times that of texts. Set by hand."""
RATIO_FROM = 2**26
"""Unpacked size in bytes below which any ratio is accepted, since it does no harm. Set by hand."""


@contextmanager
def unpacking_errors(name: str) -> Iterator[None]:
    """Convert any exception raised while reading an archive to a ``ValueError`` of one line that names it.

    Args:
        name: Path of the archive, and name of the file in it if a single one is concerned.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:  # damaged archives lead the readers to exceptions of many types
        reason = " ".join(str(error).split())
        kind = "" if type(error) is ValueError else f"{type(error).__name__}: "
        raise ValueError(f"{name} cannot be unpacked ({kind}{reason})") from error


def check_size(size: int, packed: int, what: str, largest: int) -> None:
    """Raise ``ValueError`` if an unpacked size in bytes is above ``largest`` or out of proportion to the packed size.

    Args:
        size: Unpacked size, so far or as stated.
        packed: Packed size.
        what: Name of the file in the error message.
        largest: Largest unpacked size.
    """
    if size > largest:
        raise ValueError(f"{what} has more than {largest:,} bytes unpacked")
    if size > RATIO_FROM and size > LARGEST_RATIO * packed:
        raise ValueError(f"{what} unpacks to more than {LARGEST_RATIO} times its size")


class ZipReader:
    """The files of a zip archive, read within bounds, also by several threads.

    Args:
        path: Path of the archive.

    Raises:
        ValueError: If it is not a readable zip archive.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with unpacking_errors(str(path)):
            if path.exists() and not path.is_file():
                raise ValueError("expected a file")
            self._archive = zipfile.ZipFile(path)
            self.members = [info for info in self._archive.infolist() if not info.is_dir()]
            self._by_name = {info.filename: info for info in self.members}

    def __enter__(self) -> ZipReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._archive.close()

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Raises:
            ValueError: If the file is missing, too large, damaged, encrypted or of an unknown compression.
        """
        with unpacking_errors(f"{self.path}: {name}"):
            if name not in self._by_name:
                raise ValueError("there is no such file")
            info = self._by_name[name]
            check_size(info.file_size, info.compress_size, "it", LARGEST_FILE)
            return self._archive.read(info)


def read_members(path: Path, names: Sequence[str], zipped: bool) -> Iterator[bytes]:
    """Yield the contents of files of a zip archive or of a tar archive, gzipped or not.

    Args:
        path: Path of the archive.
        names: Names of the files, in any folder of the archive, in the order of the contents.
        zipped: Whether it is a zip archive.

    Raises:
        ValueError: If the archive is damaged, too large or lacks a file.
    """
    if zipped:
        with ZipReader(path) as archive:
            inside = {PurePosixPath(info.filename).name: info for info in archive.members}
            with unpacking_errors(str(path)):
                chosen = [inside[name] for name in _present(names, inside)]
                check_size(sum(info.file_size for info in chosen), path.stat().st_size, "it", LARGEST_TOTAL)
            for info in chosen:
                yield archive.read(info.filename)
    else:
        with unpacking_errors(str(path)):
            found = _read_tar(path, names)
            names = _present(names, found)
        for name in names:
            yield found.pop(name)


def _present(names: Sequence[str], found: object) -> list[str]:
    for name in names:
        if name not in found:  # type: ignore[operator]
            raise ValueError(f"it has no file {name!r}")
    return list(names)


def _read_tar(path: Path, names: Sequence[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    total = 0
    with path.open("rb") as packed:
        zipped = packed.read(2) == b"\x1f\x8b"
        packed.seek(0)
        content: IO[bytes] = gzip.GzipFile(fileobj=packed) if zipped else packed  # type: ignore[assignment]
        # In a stream what is skipped counts too.
        size = path.stat().st_size
        bounded = _Bounded(content, size)
        with tarfile.open(fileobj=bounded, mode="r|") as archive:
            for member in archive:
                name = PurePosixPath(member.name).name
                if not member.isfile() or name not in names:
                    continue
                total += member.size
                check_size(member.size, size, member.name, LARGEST_FILE)
                check_size(total, size, "it", LARGEST_TOTAL)
                content_of = archive.extractfile(member)
                found[name] = content_of.read() if content_of else b""
        while bounded.read(2**20):  # the end of a gzip file holds its checksum
            pass
    return found


class _Bounded(io.RawIOBase):
    """A file of which no more can be read than the bounds allow."""

    def __init__(self, file: IO[bytes], packed: int) -> None:
        self.file, self.packed, self.size = file, packed, 0

    def read(self, size: int = -1) -> bytes:
        content = self.file.read(min(size, 2**24) if size >= 0 else 2**24)
        self.size += len(content)
        check_size(self.size, self.packed, "it", LARGEST_TOTAL)
        return content


def unpack_gzip(content: bytes, name: str) -> bytes:
    """Return what gzipped content unpacks to.

    Raises:
        ValueError: If it is damaged or too large.
    """
    parts = []
    with unpacking_errors(name), gzip.GzipFile(fileobj=io.BytesIO(content)) as unpacked:
        size = 0
        while part := unpacked.read(2**22):
            size += len(part)
            check_size(size, len(content), "it", LARGEST_FILE)
            parts.append(part)
    return b"".join(parts)


def read_gzip(path: Path, size: int) -> bytearray:
    """Return the content of a gzip file, at most ``size`` + 1 bytes of it.

    Raises:
        ValueError: If the file is damaged.
    """
    content = bytearray(size + 1)
    with unpacking_errors(str(path)), gzip.open(path) as file:
        filled = 0
        while filled <= size and (count := file.readinto(memoryview(content)[filled:])):
            filled += count
    del content[filled:]
    return content
