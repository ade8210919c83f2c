"""Verified downloads, and files in folders or archives."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import pooch
import requests

from datamodules.archives import read_members


def fetch(urls: Sequence[str], known_hash: str | None, path: Path) -> Path:
    """Download a file from the first server that answers, unless it exists.

    The file appears under its name only once it is complete and its checksum is right. A failed download leaves neither
    files nor empty folders.

    Args:
        urls: URLs of the same file.
        known_hash: Checksum as ``"md5:..."`` or ``"sha256:..."``; None if the caller checks the content.
        path: Path to download to.

    Returns:
        ``path``.

    Raises:
        FileNotFoundError: If no server answers; the message names the file, its URL and its path.
        ValueError: If the downloaded file has another checksum.
    """
    created = [folder for folder in path.parents if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileNotFoundError(f"{path.name} is missing and {path.parent} cannot be made: {error.strerror}") from error
    try:
        return _retrieve(urls, known_hash, path)
    finally:
        for folder in created:  # innermost first
            with contextlib.suppress(OSError):  # the folder is not empty
                folder.rmdir()


def _retrieve(urls: Sequence[str], known_hash: str | None, path: Path) -> Path:
    """Download a file into an existing folder; see ``fetch``."""
    pooch.get_logger().setLevel(logging.WARNING)
    damaged = ""
    for url in urls:
        try:
            return Path(pooch.retrieve(url, known_hash, fname=path.name, path=path.parent, progressbar=False))
        except requests.exceptions.RequestException:
            continue
        except PermissionError as error:
            raise FileNotFoundError(f"{path.name} is missing and {path.parent} is not writable") from error
        except ValueError:
            damaged = damaged or f"{url}: wrong checksum, expected {known_hash}; nothing was kept"
    if damaged:
        raise ValueError(damaged)
    raise FileNotFoundError(
        f"{path.name} is missing and no server answers: download it from {urls[0]} and put it at {path}"
    )


def find_source(folder: Path, names: Sequence[str], archive: Path, urls: Sequence[str], known_hash: str | None) -> Path:
    """Return the folder if it holds all files, else the archive, downloaded unless it exists.

    Args:
        folder: Folder of the unpacked files.
        names: Names of the files.
        archive: Path of the archive.
        urls: URLs of the archive.
        known_hash: Checksum of the archive; see ``fetch``.
    """
    missing = [name for name in names if not (folder / name).is_file()]
    if not missing:
        return folder
    if archive.exists():
        return archive
    try:
        return fetch(urls, known_hash, archive)
    except FileNotFoundError:
        if len(missing) == len(names):
            raise
        raise FileNotFoundError(f"{folder / missing[0]} is missing: unpack {urls[0]} into {folder.parent}") from None


def read_source(source: Path, names: Sequence[str]) -> Iterator[bytes]:
    """Yield the contents of files, in order, from a folder or from a zip or tar archive.

    Args:
        source: Path of the folder or the archive. In an archive files are matched by name in any folder.
        names: Names of the files.

    Raises:
        ValueError: If the archive is damaged or lacks a file.
    """
    if source.is_dir():
        for name in names:
            yield (source / name).read_bytes()
        return
    try:
        yield from read_members(source, names)
    except ValueError as error:
        raise ValueError(f"{error}; delete it and try again") from None
