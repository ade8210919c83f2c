"""E-mails with subjects: the Annotated Enron Subject Line Corpus."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from datamodules.archives import unpack_gzip
from datamodules.download import fetch
from datamodules.text.files import decode_utf8

PARTS = {"train": "train", "dev": "val", "test": "test"}
"""Splits by the name of the file that holds them."""


class Mail(NamedTuple):
    """An e-mail.

    Args:
        id: Identifier in the corpus.
        text: The body.
        subject: The subject line that its author wrote.
    """

    id: str
    text: str
    subject: str


class AeslcSource:
    """What datamodules of AESLC have in common: how its e-mails are read.

    The Annotated Enron Subject Line Corpus (Zhang & Tetreault, 2019, https://github.com/ryanzhumich/AESLC) has 14,436
    e-mails for training, 1,960 for validation and 1,906 for testing, as files of a JSON object a line with ``id``,
    ``body`` and ``subject``. It is licensed under CC BY-NC-SA 4.0, for non-commercial use, and holds names, numbers and
    addresses of real people.
    """

    root: Path
    url = "https://raw.githubusercontent.com/ryanzhumich/AESLC/master/"
    sha256_files = {
        "train": "04df69ad3f8ed1e733f0eda540fb932a06d49c24e9332b08270ee3380cde1ccb",
        "dev": "7d71a2af04f50a33b60c4bc97a372f5fff03ebeb09c2fb579cced037fd3c3963",
        "test": "ae52409730c8cbddcdb2a32f15dcc13b457e3913f6ee38b68426dc284dbcd03d",
    }

    def prepare_data(self) -> None:
        """Download the files that do not exist."""
        for name in PARTS:
            self._path(name)

    def _path(self, name: str) -> Path:
        file = f"{name}.jsonl.gz"
        return fetch([self.url + file], f"sha256:{self.sha256_files[name]}", self.root / "aeslc" / file)

    def read_all(self) -> dict[str, list[Mail]]:
        """Read the e-mails of ``train``, ``val`` and ``test`` in the order of the files.

        One whose body is in the test split too, up to case and white space, is dropped from the others, and one whose
        body is in the validation split from training.

        Raises:
            ValueError: If a file is not the published one.
        """
        found: dict[str, list[Mail]] = {}
        seen: set[str] = set()
        for name in reversed(PARTS):
            mails = [mail for mail in self._mails(name) if mail_key(mail) not in seen]
            seen.update(map(mail_key, mails))
            found[PARTS[name]] = mails
        return {part: found[part] for part in PARTS.values()}

    def _mails(self, name: str) -> list[Mail]:
        path = self._path(name)
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != self.sha256_files[name]:
            raise ValueError(f"{path}: wrong checksum, not the published {path.name}; delete it and try again")
        lines = decode_utf8(unpack_gzip(content, str(path)), str(path)).split("\n")
        rows: list[dict[str, Any]] = [json.loads(line) for line in lines if line]
        return [Mail(row["id"], row["body"], row["subject"]) for row in rows]

    def sha256(self) -> str:
        """Return the SHA-256 checksum of all e-mails."""
        digest = hashlib.sha256()
        for part, mails in self.read_all().items():
            for mail in mails:
                digest.update(f"{part}\t{mail.id}\t{mail.subject}\t{mail.text}\n".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


def mail_key(mail: Mail) -> str:
    """Return what is equal for e-mails of the same body: the body without case and white space."""
    return "".join(mail.text.casefold().split())
