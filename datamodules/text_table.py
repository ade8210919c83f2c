"""Users' labelled texts, from a table."""

from __future__ import annotations

import functools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from datamodules.registry import register_datamodule
from datamodules.splits import stable_split
from datamodules.text.base import Labelled, TextDataModule
from datamodules.text.labels import LabelledRows, look_alikes, read_labelled, show_labels

VOCAB_SIZE = 2_000
"""Size of the vocabulary where none is given, if the texts have as many subwords."""


@register_datamodule("text_table")
class TextTableDataModule(TextDataModule):
    """Labelled texts in a table with a header line, a column of texts and a column of labels.

    Read are text files whose cells are separated by commas, tabs, semicolons or bars, JSON lines, Excel workbooks and
    Parquet files, each also gzipped. Without a test file whether a text is in the test split depends on the text alone,
    by its checksum, regardless of ``seed``: texts that are added to the file later move no other one, see
    ``datamodules.splits.stable_split``. Duplicate rows are dropped, and rows of the same text with different labels are
    in the same split; a text of the test file is not trained on. ``describe`` says what was read.

    Args:
        root: Path of the file; required.
        text: Name of the column of texts.
        label: Name of the column of labels.
        test: Path of a file of test rows with the same columns; a part of ``root`` is held out if None.
        encoding: Encoding of the files, such as ``cp1252``; if None that of the byte order mark, else UTF-8.
        delimiter: Delimiter of the cells, such as ``";"``; guessed from the header line if None.
        val_size: Number of training texts held out for validation; about a tenth if None.
        test_size: Number of test texts; about a fifth if None.
        batch_size: Rows per update.
        vocab_size: Size of the vocabulary; 2,000 if None, or as many subwords as the texts have.
        **common: Arguments of ``TextDataModule``.
    """

    from_user = True

    def __init__(
        self,
        *,
        root: str | None = None,
        text: str = "text",
        label: str = "label",
        test: str | None = None,
        encoding: str | None = None,
        delimiter: str | None = None,
        val_size: int | None = None,
        test_size: int | None = None,
        batch_size: int = 32,
        vocab_size: int | None = None,
        **common: Any,
    ) -> None:
        if not root:
            raise ValueError("text_table needs root: your table with a column of texts and one of labels")
        if test and test_size is not None:
            raise ValueError(f"test_size={test_size}: all rows of test={test} are test rows; leave one of them out")
        self._fits_vocabulary = vocab_size is None
        vocab_size = VOCAB_SIZE if vocab_size is None else vocab_size  # as the hyper-parameters keep it
        super().__init__(root=root, val_size=val_size or 0, batch_size=batch_size, vocab_size=vocab_size, **common)
        self.text, self.label, self.test_size = text, label, test_size
        self.test_file = Path(test).expanduser() if test else None
        self.encoding, self.delimiter = encoding, delimiter
        self._val_size_given = val_size is not None
        self._notes: list[str] = []

    @functools.cached_property
    def _table(self) -> LabelledRows:
        found = self._read(self.root)
        counts = Counter(row.label for row in found.rows)
        if len(counts) < 2 and self._classes is None:  # a trained model may know others
            raise ValueError(
                f"{self.root}: column {self.label!r} has one label, {show_labels(counts)}, in all {len(found.rows)} "
                "rows: two or more are needed to classify"
            )
        groups = [show_labels(group, counts) for group in look_alikes(counts)]
        if groups:
            rank_zero_warn(f"{self.root}: labels that look alike are classes of their own (rows): {'; '.join(groups)}")
        return found

    def _read(self, path: Path) -> LabelledRows:
        return read_labelled(path, self.text, self.label, self.encoding, self.delimiter)

    @property
    def class_names(self) -> list[str]:  # type: ignore[override]
        """Labels in sorted order."""
        return sorted({row.label for row in self._table.rows})

    def read_all(self) -> dict[str, Labelled]:
        """Read the files, and draw the test split if there is no test file."""
        names = {label: k for k, label in enumerate(self.class_names)}
        found, self._notes = self._group(self._table, names), []
        several = sum(len(labels) > 1 for labels in found.values())
        twice = len(self._table.rows) - sum(map(len, found.values()))
        self._notes += self._table.notes
        self._notes += [f"{twice:,} duplicate rows dropped"] if twice else []
        self._notes += [f"{several:,} texts have several labels and are a row for each"] if several else []
        return self._draw_test(found) if self.test_file is None else self._read_test(found, names)

    def _group(self, table: LabelledRows, names: dict[str, int]) -> dict[str, list[int]]:
        """Return the classes of each text."""
        found: dict[str, list[int]] = {}
        for _, text, label in table.rows:
            classes = found.setdefault(text, [])
            if names[label] not in classes:
                classes.append(names[label])
        return found

    def _draw_test(self, found: dict[str, list[int]]) -> dict[str, Labelled]:
        labels = torch.tensor([classes[0] for classes in found.values()])
        self._refuse_rare(labels, 3, "a test, a validation and a training split")
        rest, taken = stable_split(list(found), labels, 0.2, self.test_size, 0, "test_size")
        return {"train": _take(found, rest), "test": _take(found, taken)}

    def _read_test(self, found: dict[str, list[int]], names: dict[str, int]) -> dict[str, Labelled]:
        assert self.test_file is not None
        table = self._read(self.test_file)
        for row in table.rows:
            if row.label not in names:
                raise ValueError(
                    f"{self.test_file}, row {row.number}: unknown label {show_labels([row.label])}; {self.root} has "
                    f"{show_labels(names)}"
                )
        tested = self._group(table, names)
        shared = tested.keys() & found.keys()
        self._notes += [f"{note} (test file: {table.kind})" for note in table.notes]
        twice = len(table.rows) - sum(map(len, tested.values()))
        self._notes += [f"{twice:,} duplicate rows dropped from the test file"] if twice else []
        self._notes += [f"{len(shared):,} texts are in the test file too and not trained on"] if shared else []
        kept = {text: classes for text, classes in found.items() if text not in shared}
        missing = set(names.values()) - {k for classes in kept.values() for k in classes}
        if missing:
            lost = show_labels(label for label, k in names.items() if k in missing)
            raise ValueError(
                f"{self.test_file}: it has all texts with the label {lost}, so that none can be trained on"
            )
        self._refuse_rare(
            torch.tensor([classes[0] for classes in kept.values()]), 2, "a validation and a training split"
        )
        whole = {**kept, **tested}
        rows = np.arange(len(whole))
        return {"train": _take(whole, rows[: len(kept)]), "test": _take(whole, rows[len(kept) :])}

    def split_texts(self, train: Labelled) -> tuple[Any, Any]:
        """Hold out texts with all their labels."""
        _, first, group = np.unique(train.groups, return_index=True, return_inverse=True)
        size = self.val_size if self._val_size_given else None
        texts, labels = [train.texts[row] for row in first], torch.tensor(train.labels)[first]
        self._refuse_rare(labels, 2, "a validation and a training split, after the test split")
        rest, taken = stable_split(texts, labels, 0.1, size, self.seed + 1, "val_size")
        self.val_size = len(taken)
        return tuple(np.flatnonzero(np.isin(group, chosen)) for chosen in (rest, taken))  # type: ignore[return-value]

    def _refuse_rare(self, labels: torch.Tensor, least: int, splits: str) -> None:
        """Raise ``ValueError`` if a class has too few texts for each split to have one."""
        values, counts = labels.unique(return_counts=True)
        rare = {self.class_names[k]: n for k, n in zip(values.tolist(), counts.tolist()) if n < least}
        if rare:
            raise ValueError(
                f"{self.root}: too few texts with the label {show_labels(rare, rare)}: {least} are needed for "
                f"{splits}; add texts, or remove these rows or give them another label"
            )

    def describe(self) -> str:
        """Return what was read, what was left out, and how many rows of each class are in each split."""
        self.setup()
        parts, names = self.text_splits(), self.class_names
        lines = [f"{self.root}: {self._table.kind}, {len(self._table.rows):,} rows"]
        lines += [f"{self.test_file}: {self._read(self.test_file).kind}"] if self.test_file else []
        sizes = ", ".join(f"{len(part.texts):,} {name}" for name, part in parts.items())
        lines.append(f"split: {sizes}" + ("" if self.test_file else " (test drawn from the table)"))
        counts = Counter(row.label for row in self._table.rows)
        common = [label for label, _ in counts.most_common()]
        lines.append(f"{len(names)} classes: {show_labels(common, counts)}")
        return "\n".join(lines + self._notes + [f"vocabulary: {len(self.vocabulary):,} subwords"])


def _take(found: dict[str, list[int]], rows: Any) -> Labelled:
    """Return the texts of the given indices, a row for each of their classes; the group is the index of the text."""
    texts = list(found)
    labelled = [(texts[i], k, int(i)) for i in sorted(rows) for k in found[texts[i]]]
    return Labelled(*map(list, zip(*labelled)))
