"""Files of the MIT-BIH Arrhythmia Database: source folder or zip archive, download and checksums."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from datamodules.download import fetch, read_source

ENDINGS = ("hea", "dat", "atr")
"""Endings of the files of a record: header, signals and reference annotations."""


@dataclass(frozen=True)
class MITBIHFiles:
    """Files of records in a data folder, as a folder or as PhysioNet's zip archive.

    Args:
        root: Data folder.
        records: Numbers of the records, ascending.
        folder: Name of the folder of the records in the data folder.
        archive: Name of the zip archive without its ending, and of the folder that it unpacks to.
        url: URL of the folder of the files, from which missing files are downloaded.
        sha256_sums: SHA-256 checksum of the file ``SHA256SUMS.txt`` at ``url``.
        blake2b_files: BLAKE2b checksum of all files; None to accept any.
    """

    root: Path
    records: tuple[int, ...]
    folder: str
    archive: str
    url: str
    sha256_sums: str
    blake2b_files: str | None

    @property
    def names(self) -> list[str]:
        """Names of all files, in order."""
        return [f"{record}.{ending}" for record in self.records for ending in ENDINGS]

    def source(self) -> Path | None:
        """Return the folder of the records, even if files are missing, or the zip archive; None if neither exists."""
        folders = (self.root / self.folder / "1.0.0", self.root / self.folder, self.root / self.archive)
        for folder in folders:
            if any(folder.glob("*.hea")):
                return folder
        archive = self.root / f"{self.archive}.zip"
        return archive if archive.exists() else None

    def download(self) -> Path:
        """Download missing files, each verified by PhysioNet's list of checksums; return the source."""
        source = self.source() or self.root / self.folder / "1.0.0"
        missing = [] if source.suffix == ".zip" else [name for name in self.names if not (source / name).exists()]
        if missing:
            sums = fetch([self.url + "SHA256SUMS.txt"], f"sha256:{self.sha256_sums}", source / "SHA256SUMS.txt")
            digests = _read_sums(sums)
            for name in missing:
                fetch([self.url + name], f"sha256:{digests[name]}", source / name)
        return source

    def checksum(self, source: Path) -> str:
        """Return the BLAKE2b checksum of all files.

        Raises:
            ValueError: If the files are not the published ones.
        """
        digest = hashlib.blake2b(digest_size=16)
        for name, content in self._contents(source):
            digest.update(f"{name} {len(content)}\n".encode())
            digest.update(content)
        found = digest.hexdigest()
        if self.blake2b_files not in (None, found):
            raise ValueError(f"{source}: {self._altered(source)} is not the published one; delete it and try again")
        return found

    @contextmanager
    def unpacked(self, source: Path) -> Iterator[Path]:
        """Provide a folder of the files: the source, or a temporary folder of the unpacked archive."""
        if source.suffix != ".zip":
            yield source
            return
        with tempfile.TemporaryDirectory() as folder:
            for name, content in self._contents(source):
                (Path(folder) / name).write_bytes(content)
            yield Path(folder)

    def _contents(self, source: Path) -> Iterator[tuple[str, bytes]]:
        """Yield name and content of each file, in order."""
        yield from zip(self.names, read_source(source, self.names))

    def _altered(self, source: Path) -> str:
        """Return the name of the first file that differs from PhysioNet's list of checksums, if the list exists."""
        sums = source / "SHA256SUMS.txt"
        if source.suffix != ".zip" and sums.exists():
            digests = _read_sums(sums)
            for name, content in self._contents(source):
                if digests.get(name) != hashlib.sha256(content).hexdigest():
                    return name
        return "a file"


def _read_sums(path: Path) -> dict[str, str]:
    """Return the SHA-256 checksums of a ``SHA256SUMS.txt`` by file name."""
    return {name: digest for digest, name in map(str.split, path.read_text().splitlines())}
