"""Users' labelled texts, from a TSV or CSV file."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from datamodules.registry import register_datamodule
from datamodules.splits import stable_split
from datamodules.tables import read_rows
from datamodules.text.base import Labelled, TextDataModule


@register_datamodule("text_table")
class TextTableDataModule(TextDataModule):
    """Labelled texts in a TSV or CSV file with a header line, a column of texts and a column of labels.

    Whether a text is in the test split depends on the text alone, by its checksum, regardless of ``seed``: texts that
    are added to the file later move no other one, see ``datamodules.splits.stable_split``. Duplicate rows are dropped,
    and rows of the same text with different labels are in the same split.

    Args:
        root: Path of the file; required.
        text: Name of the column of texts.
        label: Name of the column of labels.
        val_size: Number of training texts held out for validation; about a tenth if None.
        test_size: Number of test texts; about a fifth if None.
        batch_size: Rows per update.
        vocab_size: Size of the vocabulary.
        **common: Arguments of ``TextDataModule``.
    """

    from_user = True

    def __init__(
        self,
        *,
        root: str | None = None,
        text: str = "text",
        label: str = "label",
        val_size: int | None = None,
        test_size: int | None = None,
        batch_size: int = 32,
        vocab_size: int = 2_000,
        **common: Any,
    ) -> None:
        if not root:
            raise ValueError("text_table needs root: your TSV or CSV file with a column of texts and one of labels")
        super().__init__(root=root, val_size=val_size or 0, batch_size=batch_size, vocab_size=vocab_size, **common)
        self.text, self.label, self.test_size = text, label, test_size
        self._val_size_given = val_size is not None

    @property
    def class_names(self) -> list[str]:  # type: ignore[override]
        """Labels in sorted order."""
        return sorted({label for _, label in self._table()})

    def read_all(self) -> dict[str, Labelled]:
        """Read the file and draw the test split."""
        table, names = self._table(), self.class_names
        found: dict[str, list[int]] = {}
        for text, label in table:
            rows = found.setdefault(text, [])
            if names.index(label) not in rows:
                rows.append(names.index(label))
        texts, labels = list(found), torch.tensor([rows[0] for rows in found.values()])
        rest, taken = stable_split(texts, labels, 0.2, self.test_size, 0, "test_size")
        parts = {}
        for part, chosen in (("train", rest), ("test", taken)):
            labelled = [(texts[i], k, int(i)) for i in sorted(chosen) for k in found[texts[i]]]
            parts[part] = Labelled(*map(list, zip(*labelled)))
        return parts

    def split_texts(self, train: Labelled) -> tuple[Any, Any]:
        """Hold out texts with all their labels."""
        _, first, group = np.unique(train.groups, return_index=True, return_inverse=True)
        size = self.val_size if self._val_size_given else None
        texts, labels = [train.texts[row] for row in first], torch.tensor(train.labels)[first]
        rest, taken = stable_split(texts, labels, 0.1, size, self.seed + 1, "val_size")
        self.val_size = len(taken)
        return tuple(np.flatnonzero(np.isin(group, chosen)) for chosen in (rest, taken))  # type: ignore[return-value]

    def _table(self) -> list[tuple[str, str]]:
        path = self.root
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file; expected a TSV or CSV file of texts and labels")
        rows = read_rows(path)
        if not rows:
            raise ValueError(f"{path} is empty: expected a header line and rows of text and label")
        header = rows[0][1]
        for name in (self.text, self.label):
            if name not in header:
                raise ValueError(f"{path} has no column {name!r}: its header line has {', '.join(header)}")
        columns = [header.index(name) for name in (self.text, self.label)]
        table = []
        for number, row in rows[1:]:
            if not any(row):
                continue
            if len(row) <= max(columns) or any(row[len(header) :]):
                hint = " (quote texts with commas)" if len(row) > len(header) else ""
                raise ValueError(f"{path}, row {number}: {len(row)} columns, expected {len(header)}{hint}")
            table.append((row[columns[0]].strip(), row[columns[1]].strip()))
        return table
