"""File handling: expansion of folders, atomic writes, protection of inputs."""

from __future__ import annotations

import os
import secrets
import stat
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any


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


def refuse_overwriting(output: str, targets: Collection[Path], inputs: Collection[str]) -> None:
    """Raise ``ValueError`` if an output is one of the inputs, also by another path or a link."""
    sources = {Path(source).resolve(): source for source in inputs if os.path.isfile(source)}
    for target in targets:
        if target.resolve() in sources:
            raise ValueError(f"--output {output} would overwrite {sources[target.resolve()]}: choose another place")


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file atomically; a link is followed, and permissions are kept."""
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        temporary.touch(exist_ok=False)  # a new file has the permissions that the umask leaves
        temporary.write_bytes(content)
        if path.exists():
            temporary.chmod(stat.S_IMODE(path.stat().st_mode))
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
