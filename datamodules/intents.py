"""Intents of short requests: CLINC150."""

from __future__ import annotations

import json
from typing import Any

from datamodules.download import read_published
from datamodules.registry import register_datamodule
from datamodules.text.base import Labelled, TextDataModule

OUT_OF_SCOPE = "oos"
"""Name of the class of requests that have none of the intents, as the source calls it."""


@register_datamodule("clinc150")
class CLINC150DataModule(TextDataModule):
    """CLINC150: requests to an assistant with one of 150 intents, and requests with none (Larson et al., 2019).

    Training, validation and test split are the official ones, with 100, 20 and 30 requests for each intent, and 100,
    100 and 1,000 out of scope, which are the class ``oos``, the last one. Requests that are in the test split
    too, up to case, are dropped from the others, and those in the validation split from training.

    Args:
        vocab_size: Size of the vocabulary.
        max_length: Largest number of tokens of a text.
        **common: Arguments of ``TextDataModule``.
    """

    url = "https://raw.githubusercontent.com/clinc/oos-eval/master/data/data_full.json"
    sha256_content = "36923c3705a59e08fe9c3883d8bc2dd966ef93e22cb78ac41171782a698d56e0"

    def __init__(self, *, vocab_size: int = 3_000, max_length: int = 48, **common: Any) -> None:
        super().__init__(vocab_size=vocab_size, max_length=max_length, **common)
        if self.val_size:
            raise ValueError(f"val_size={self.val_size} does not fit: clinc150 has a validation split of its own")
        self._content: dict[str, list[tuple[str, str]]] = {}

    def prepare_data(self) -> None:
        """Download the file if neither it nor a gzipped one exists."""
        self._read()

    def _read(self) -> dict[str, list[tuple[str, str]]]:
        """Return the rows of the file by split, read once."""
        if not self._content:
            content = read_published(self.url, self.sha256_content, self.root / "clinc150" / "data_full.json")
            self._content = json.loads(content)
        return self._content

    @property
    def class_names(self) -> list[str]:  # type: ignore[override]
        """Intents in sorted order, and ``oos``."""
        return [*sorted({intent for _, intent in self._read()["train"]}), OUT_OF_SCOPE]

    def read_all(self) -> dict[str, Labelled]:
        """Read the requests of the three splits; the group of a request is its text in lower case."""
        number = {name: k for k, name in enumerate(self.class_names)}
        group: dict[str, int] = {}
        parts = {}
        seen: set[str] = set()
        for split in ("test", "val", "train"):
            rows = [*self._read()[split], *self._read()[f"oos_{split}"]]
            rows = [(text, intent) for text, intent in rows if text.lower() not in seen]
            seen |= {text.lower() for text, _ in rows}
            groups = [group.setdefault(text.lower(), len(group)) for text, _ in rows]
            parts[split] = Labelled([text for text, _ in rows], [number[intent] for _, intent in rows], groups)
        return parts
