"""File handling: expansion of folders, atomic writes, protection of inputs."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import sys
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.errors import in_one_line

LONGEST_NAME = 255
"""Largest number of bytes in the name of a file, of the file systems of Linux, macOS and Windows."""


def expand(inputs: Sequence[Any], endings: Collection[str] = ()) -> list[Any]:
    """Replace each folder among the inputs by the files directly in it, except hidden ones.

    Args:
        inputs: Files, folders or strings; other objects are kept.
        endings: Endings, in lower case, of the files wanted from a folder; a line on the error stream says how many
            others are left out. Any file if empty.

    Raises:
        ValueError: If a folder has no such file.
    """
    found: list[Any] = []
    for source in inputs:
        if not isinstance(source, str) or not os.path.isdir(source):  # a text may be too long for a path
            found.append(source)
            continue
        seen = sorted(path for path in Path(source).iterdir() if path.name[0] != ".")
        files = [path for path in seen if path.is_file()]
        wanted = [str(path) for path in files if not endings or path.suffix.lower() in endings]
        if not seen:
            raise ValueError(f"{source} is an empty folder")
        if not wanted:
            expected = f"pictures directly in {source}: expected {', '.join(sorted(endings))}"
            raise ValueError(f"no {expected}" if endings else f"no files directly in {source}")
        if len(wanted) < len(files):
            left = len(files) - len(wanted)
            print(f"{source}: {left} of {len(files)} files left out, not {', '.join(sorted(endings))}", file=sys.stderr)
        found += wanted
    return found


def check_outputs(
    output: str, targets: Sequence[tuple[str, Path]], inputs: Iterable[str | Path], folder: bool = False
) -> None:
    """Check before any work is done that files can be written and that nothing is lost by it.

    Files are compared by identity: by another path, a symbolic or hard link, or a spelling that the file system does
    not distinguish, a file is still the same. Nothing is written.

    Args:
        output: What the user gave, for the error message.
        targets: Each file to be written, after what it is written for.
        inputs: Files that are read; what is not a file is ignored.
        folder: Whether ``output`` is a folder, which is made if only its own folder exists.

    Raises:
        ValueError: If a file cannot be written, or would replace an input or another output.
    """
    if not output or (output.endswith(os.sep) and not folder):
        raise ValueError(f"--output {output!r}: expected the name of a {'folder' if folder else 'file'}")
    try:
        _check_targets(output, targets, inputs, folder)
    except OSError as error:
        raise ValueError(f"--output {output}: {in_one_line(error)}") from error


def _check_targets(
    output: str, targets: Sequence[tuple[str, Path]], inputs: Iterable[str | Path], folder: bool
) -> None:
    read = {_identity(os.stat(source)): source for source in inputs if os.path.isfile(source)}
    written: dict[tuple[Any, ...], tuple[str, Path]] = {}
    ignoring_case: dict[str, bool] = {}
    for source, target in targets:
        parent, name = os.path.split(os.path.realpath(target))
        if parent not in ignoring_case:
            ignoring_case[parent] = _check_writable(output, parent, folder)
        if len(os.fsencode(name)) > LONGEST_NAME:
            raise ValueError(f"--output {output}: {name[:20]}... is longer than {LONGEST_NAME} bytes")
        try:
            status = os.stat(target)
        except FileNotFoundError:
            status = None
        if status is None:
            key: tuple[Any, ...] = (parent, name.casefold() if ignoring_case[parent] else name)
        elif stat.S_ISDIR(status.st_mode):
            raise ValueError(f"--output {output}: {target} is a folder, expected a file")
        elif not stat.S_ISREG(status.st_mode):
            raise ValueError(f"--output {output}: {target} is not a regular file")
        elif not os.access(target, os.W_OK):
            raise ValueError(f"--output {output}: {target} is write-protected")
        else:
            key = _identity(status)
        if key in read:
            raise ValueError(f"--output {output} would overwrite {read[key]}: choose another place")
        if key in written:
            other, first = written[key]
            places = f"{target}" if first == target else f"{first} and {target}, which are the same file"
            both = f"{other} and {source} would both be written to {places}"
            raise ValueError(f"--output {output}: {both}; write them to different folders")
        written[key] = source, target


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _check_writable(output: str, folder: str, made: bool) -> bool:
    """Raise unless files can be made in a folder, which may itself be missing if it is ``made``.

    Returns:
        Whether the file system ignores the case of names.
    """
    place = os.path.dirname(folder) if made and not os.path.lexists(folder) else folder
    if not os.path.isdir(place):
        missing = not os.path.lexists(place)
        raise ValueError(
            f"--output {output}: "
            + (f"there is no folder {place}" if missing else f"{place} is a file; answers go into a folder")
        )
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".zoo-") as probe:
            return os.path.exists(os.path.join(place, os.path.basename(probe.name).swapcase()))
    except OSError as error:
        raise ValueError(f"--output {output}: {place} cannot be written to ({error.strerror})") from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file atomically; see ``write_files``."""
    write_files({path: content})


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Write files, each atomically and none before all are complete; a link is followed, and permissions are kept.

    Missing folders are made, and removed if writing fails.

    Raises:
        OSError: If a file cannot be written; it is named.
    """
    temporary: dict[Path, Path] = {}
    created: list[Path] = []
    given = Path()
    try:
        for given, content in contents.items():
            path = Path(os.path.realpath(given))
            created += [folder for folder in path.parents if not folder.exists()]
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary[path] = path.with_name(f".{secrets.token_hex(8)}.part")  # the name itself may be the longest
            temporary[path].touch(exist_ok=False)  # a new file has the permissions that the umask leaves
            temporary[path].write_bytes(content)
            if path.exists():
                temporary[path].chmod(stat.S_IMODE(path.stat().st_mode))
        for path, written in temporary.items():
            os.replace(written, path)
    except BaseException as error:
        for written in temporary.values():
            written.unlink(missing_ok=True)
        for folder in created:  # innermost first
            with contextlib.suppress(OSError):  # the folder is not empty
                folder.rmdir()
        if isinstance(error, OSError) and error.errno:
            raise OSError(error.errno, f"cannot be written ({os.strerror(error.errno)})", str(given)) from error
        raise
