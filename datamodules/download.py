"""Downloads: to the user's folder, verified, or one line that says which file is missing."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import pooch
import requests


def fetch(urls: Sequence[str], known_hash: str | None, path: Path) -> Path:
    """Download a file from the first address that answers, unless it is there already.

    The file appears under its name only when it is complete and its checksum is right.

    Args:
        urls: Addresses of the same file.
        known_hash: Checksum as ``"md5:..."`` or ``"sha256:..."``; None if the caller checks what is in the file.
        path: Where the file goes.

    Returns:
        ``path``.

    Raises:
        FileNotFoundError: If no address answers; the line says which file, from where, put where.
        ValueError: If what arrives has another checksum.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileNotFoundError(f"{path.name} is missing and {path.parent} cannot be made: {error.strerror}") from error
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
