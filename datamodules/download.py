"""Verified downloads, and files in folders or archives."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pooch
import requests

from datamodules.archives import read_members, unpack_gzip

READ_SECONDS = 30.0
"""Seconds without a byte after which a connection is given up."""
GRACE_SECONDS = 60.0
"""Seconds that a download may take beyond those that ``LEAST_RATE`` allows."""
LEAST_RATE = 10_000.0
"""Bytes a second below which a download is given up. Set by hand."""
LARGEST_DOWNLOAD = 2**30
"""Largest size in bytes of a download, five times that of any published file. Set by hand."""
_CHUNK = 1 << 14


class _NotAsExpectedError(ValueError):
    """A download that is complete and is not the file."""


def fetch(
    urls: Sequence[str], known_hash: str | None, path: Path, check: Callable[[Path], object] | None = None
) -> Path:
    """Download a file from the first server that answers, unless it exists.

    The file appears under its name only once it is complete and its checksum is right. A failed download leaves neither
    files nor empty folders. One that is slower than ``LEAST_RATE`` is given up.

    Args:
        urls: URLs of the same file.
        known_hash: Checksum as ``"md5:..."`` or ``"sha256:..."``; None if ``check`` checks the content.
        path: Path to download to.
        check: Function of the path of the downloaded file, which raises ``ValueError`` if it is not as expected.

    Returns:
        ``path``.

    Raises:
        FileNotFoundError: If no server answers; the message names the file, its URL and its path.
        ValueError: If the downloaded file has another checksum or does not pass the check.
    """
    created = [folder for folder in path.parents if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileNotFoundError(f"{path.name} is missing and {path.parent} cannot be made: {error.strerror}") from error
    try:
        return _retrieve(urls, known_hash, path, check)
    finally:
        for folder in created:  # innermost first
            with contextlib.suppress(OSError):  # the folder is not empty
                folder.rmdir()


def _retrieve(urls: Sequence[str], known_hash: str | None, path: Path, check: Callable[[Path], object] | None) -> Path:
    """Download a file into an existing folder; see ``fetch``."""
    pooch.get_logger().setLevel(logging.WARNING)

    def download(url: str, output_file: str, _: Any) -> None:
        _download(url, Path(output_file))
        if check is not None:
            try:
                check(Path(output_file))
            except ValueError as error:
                reason = str(error).replace(output_file, path.name)
                raise _NotAsExpectedError(f"{url}: {reason}; nothing was kept") from error

    damaged = ""
    for url in urls:
        try:
            found = pooch.retrieve(url, known_hash, path.name, path.parent, progressbar=False, downloader=download)
            return Path(found)
        except requests.exceptions.RequestException:
            continue
        except _NotAsExpectedError as error:
            damaged = damaged or str(error)
        except ValueError:
            damaged = damaged or f"{url}: wrong checksum, expected {known_hash}; nothing was kept"
        except PermissionError as error:
            raise FileNotFoundError(f"{path.name} is missing and {path.parent} is not writable") from error
        except OSError as error:
            reason = error.strerror or error
            raise FileNotFoundError(f"{path.name} is missing and {path} cannot be written ({reason})") from error
    if damaged:
        raise ValueError(damaged)
    raise FileNotFoundError(
        f"{path.name} is missing and no server answers: download it from {urls[0]} and put it at {path}"
    )


def _download(url: str, path: Path) -> None:
    """Download a file, whole and in limited time.

    Raises:
        RequestException: If the server does not answer, is too slow, or sends too little or too much.
    """
    chunks: queue.Queue[bytes | Exception] = queue.Queue(maxsize=64)
    given_up = threading.Event()
    # Another thread waits for the server: a byte now and then would keep any read going for ever.
    threading.Thread(target=_receive, args=(url, chunks, given_up), daemon=True).start()
    start, size = time.monotonic(), 0
    try:
        with path.open("wb") as file:
            while True:
                left = start + GRACE_SECONDS + size / LEAST_RATE - time.monotonic()
                try:
                    chunk = chunks.get(timeout=max(left, 0.0))
                except queue.Empty:
                    raise requests.exceptions.Timeout(f"{url}: too slow") from None
                if isinstance(chunk, Exception):
                    raise chunk
                if not chunk:
                    return
                size += len(chunk)
                if size > LARGEST_DOWNLOAD:
                    raise requests.exceptions.ContentDecodingError(f"{url}: more than {LARGEST_DOWNLOAD} bytes")
                file.write(chunk)
    finally:
        given_up.set()


def _receive(url: str, chunks: queue.Queue[bytes | Exception], given_up: threading.Event) -> None:
    """Put the chunks of a file into a queue, last an empty one or the exception that ended it."""

    def put(item: bytes | Exception) -> None:
        while not given_up.is_set():
            with contextlib.suppress(queue.Full):
                return chunks.put(item, timeout=1.0)

    try:
        # Another encoding would change the file, whose checksum is known as it is.
        settings: dict[str, Any] = {"stream": True, "timeout": READ_SECONDS, "headers": {"Accept-Encoding": "identity"}}
        with requests.get(url, **settings) as response:
            response.raise_for_status()
            for chunk in response.iter_content(_CHUNK):
                if given_up.is_set():
                    return
                put(chunk)
            stated = response.headers.get("Content-Length", "")
            if stated.isdigit() and response.raw.tell() != int(stated):
                raise requests.exceptions.ConnectionError(f"{url}: {response.raw.tell()} of {stated} bytes")
        put(b"")
    except requests.exceptions.RequestException as error:
        put(error)
    except Exception as error:  # what the libraries below do not convert, such as of a malformed answer
        put(requests.exceptions.ConnectionError(f"{url}: {type(error).__name__}: {error}"))


def find_source(
    folder: Path,
    names: Sequence[str],
    archive: Path,
    urls: Sequence[str],
    known_hash: str | None,
    check: Callable[[list[bytes]], None] | None = None,
) -> Path:
    """Return the folder if it holds all files, else the archive, downloaded unless it exists.

    Args:
        folder: Folder of the unpacked files.
        names: Names of the files.
        archive: Path of the archive.
        urls: URLs of the archive.
        known_hash: Checksum of the archive; None if it may differ, so that a downloaded one must hold the files.
        check: Function of the contents of the files in a downloaded archive, which raises ``ValueError`` if they are
            not as expected.
    """
    missing = [name for name in names if not (folder / name).is_file()]
    if not missing:
        return folder
    if archive.exists():
        return archive

    def check_contents(downloaded: Path) -> None:
        contents = list(read_members(downloaded, names, zipped=archive.suffix == ".zip"))
        if check is not None:
            check(contents)

    try:
        return fetch(urls, known_hash, archive, check_contents if known_hash is None else None)
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
        yield from read_members(source, names, zipped=source.suffix == ".zip")
    except ValueError as error:
        raise ValueError(f"{error}; delete it and try again") from None


def read_published(url: str, sha256: str, path: Path) -> bytes:
    """Return the content of a published file, from ``path`` or gzipped beside it; downloaded if there is neither.

    Raises:
        FileNotFoundError: If the file is missing and no server answers.
        ValueError: If its content has another checksum.
    """
    packed = path.with_name(f"{path.name}.gz")
    source = packed if packed.is_file() else fetch([url], f"sha256:{sha256}", path)
    content = unpack_gzip(source.read_bytes(), str(source)) if source == packed else source.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"{source}: wrong checksum, not the published {path.name}; delete it and try again")
    return content
