"""Labelled texts, and a user's own table of them."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from datamodules.base import Split, TensorDataModule, stratified
from datamodules.registry import register_datamodule
from datamodules.vocabulary import Vocabulary, padded


class Labelled(NamedTuple):
    """Texts, the numbers of their classes, and the number of the group that each belongs to."""

    texts: list[str]
    labels: list[int]
    groups: list[int]

    def take(self, rows: Any) -> Labelled:
        """Return the rows of the given numbers."""
        return Labelled(*([column[i] for i in rows] for column in self))


class TextDataModule(TensorDataModule):
    """Base of the datamodules of labelled texts.

    A row is a text's token ids, (T,) filled up with 0, and its class. The subword vocabulary is learned from the
    training rows alone, after validation and test were set aside. Training batches hold texts of about the same length
    and are cut to the longest of them.

    Args:
        vocab_size: Number of tokens.
        max_length: Largest number of tokens of a text; the rest of a longer one is left out.
        lowercase: Whether case is dropped.
        **common: Arguments of ``TensorDataModule``.
    """

    class_names: list[str]

    def __init__(
        self, *, vocab_size: int = 8_000, max_length: int = 128, lowercase: bool = True, **common: Any
    ) -> None:
        super().__init__(**common)
        if max_length < 1:
            raise ValueError(f"max_length must be at least 1, not {max_length}")
        if self.augment:
            raise ValueError(f"augment: {', '.join(self.augment)} changes pictures, and {self.name} holds texts")
        self.vocab_size, self.max_length, self.lowercase = vocab_size, max_length, lowercase
        self._parts: dict[str, Labelled] | None = None
        self._vocabulary: Vocabulary | None = None

    # ---- what a source gives ----

    def read_all(self) -> dict[str, Labelled]:
        """Read all texts: ``train`` and ``test``, and ``val`` where the source defines one."""
        raise NotImplementedError(f"{type(self).__name__} is abstract: it has no texts")

    def tidy(self, text: str) -> str:
        """Return a text as people write; a source whose texts were cut into words puts them together again."""
        return text

    def enlarged(self, train: Labelled) -> Labelled:
        """Return the training texts with such as are made from them, if a source makes any."""
        return train

    def divide(self, train: Labelled) -> tuple[Any, Any]:
        """Return the row numbers that are trained on and those set aside for validation."""
        return stratified(torch.tensor(train.labels), self.val_size, self.seed)

    # ---- splits ----

    def parts(self) -> dict[str, Labelled]:
        """Return the texts of ``train``, ``val`` and ``test``, read once."""
        if self._parts is None:
            parts = self.read_all()
            if "val" not in parts:
                rest, taken = self.divide(parts["train"])
                parts = {
                    **parts,
                    "train": parts["train"].take(sorted(rest)),
                    "val": parts["train"].take(sorted(taken)),
                }
            self._parts = {
                name: parts[name]._replace(texts=[self.tidy(text) for text in parts[name].texts])
                for name in ("train", "val", "test")
            }
            self._parts["train"] = self.enlarged(self._parts["train"])
        return self._parts

    @property
    def vocabulary(self) -> Vocabulary:
        """The subwords, learned from the training texts once."""
        if self._vocabulary is None:
            self._vocabulary = Vocabulary.train(self.parts()["train"].texts, self.vocab_size, lowercase=self.lowercase)
        return self._vocabulary

    @property
    def spec(self) -> dict[str, Any]:
        """Classes, the vocabulary as JSON, its size and the largest number of tokens."""
        return {
            "num_classes": len(self.class_names),
            "class_names": self.class_names,
            "tokenizer": self.vocabulary.json,
            "vocab_size": len(self.vocabulary),
            "max_length": self.max_length,
        }

    def load(self) -> dict[str, Split]:
        """Turn the texts into token ids."""
        splits = {}
        for name, part in self.parts().items():
            ids, _ = padded(self.vocabulary.encode(part.texts), self.max_length)
            splits[name] = Split((torch.from_numpy(ids), torch.tensor(part.labels)), np.array(part.groups))
        return splits

    def sha256(self) -> str:
        """Return the checksum of all texts and labels, however they are divided."""
        digest = hashlib.sha256()
        for name, part in sorted(self.read_all().items()):
            for text, label in zip(part.texts, part.labels):
                digest.update(f"{name}\t{label}\t{text}\n".encode())
        return digest.hexdigest()

    # ---- batches ----

    def lengths(self, split: Split) -> Tensor:
        """Return the number of tokens (N,) of each row."""
        return (split.column(0) != 0).sum(1)

    def to_natural(self, x: Tensor) -> Tensor:
        """Cut ids (N, T) to the longest row and make them int64."""
        used = (x != 0).any(0).nonzero()
        return x[:, : int(used[-1]) + 1 if len(used) else 1].long()

    def read(self, source: str) -> list[str]:  # type: ignore[override]
        """Read a text file, a text a line, or take the string for the text itself."""
        return read_lines(source)


def read_lines(source: str) -> list[str]:
    """Return the lines of a text file, or the string itself where there is no such file.

    Raises:
        FileNotFoundError: If the string looks like a path of a text file that is not there.
        ValueError: If the file is empty or no UTF-8.
    """
    path = Path(source)
    if not os.path.isfile(source):  # a text may be too long for a path
        if source.endswith((".txt", ".tsv", ".csv")) and " " not in source:
            raise FileNotFoundError(f"{source}: no such file; expected a file with a text a line, or a text")
        return [source]
    lines = decoded(path.read_bytes(), source).splitlines()
    if not lines:
        raise ValueError(f"{source} is empty: expected a text a line")
    return lines


def decoded(content: bytes, name: str) -> str:
    """Return the content of a file as text.

    Raises:
        ValueError: If it is no UTF-8; the line says where.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(f"{name}, line {line}: not UTF-8 (byte 0x{content[error.start]:02x})") from None


# ---- a user's own ----


@register_datamodule("text_table")
class TextTableDataModule(TextDataModule):
    """A user's own labelled texts: a TSV or CSV file with a header line, a column of texts and one of labels.

    The test split is drawn here, always the same for the same file; rows of the same text are one, or all on one side.

    Args:
        root: The file; there is no default.
        text: Name of the column of texts.
        label: Name of the column of labels.
        val_size: Texts of the training split set aside for validation; a tenth if None.
        test_size: Texts of the test split; a fifth if None.
        batch_size: Rows an update.
        vocab_size: Number of tokens.
        **common: Arguments of ``TextDataModule``.
    """

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
        """The labels, sorted."""
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
        size = max(len(names), len(texts) // 5) if self.test_size is None else self.test_size
        rest, taken = stratified(labels, size, seed=0, name="test_size")
        if not self._val_size_given:
            self.val_size = max(len(names), len(rest) // 10)
        parts = {}
        for part, chosen in (("train", rest), ("test", taken)):
            labelled = [(texts[i], k, int(i)) for i in sorted(chosen) for k in found[texts[i]]]
            parts[part] = Labelled(*map(list, zip(*labelled)))
        return parts

    def divide(self, train: Labelled) -> tuple[Any, Any]:
        """Set texts aside with all their labels."""
        _, first, group = np.unique(train.groups, return_index=True, return_inverse=True)
        return tuple(
            np.flatnonzero(np.isin(group, chosen))
            for chosen in stratified(torch.tensor(train.labels)[first], self.val_size, self.seed)
        )  # type: ignore[return-value]

    def _table(self) -> list[tuple[str, str]]:
        path = self.root
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file; expected a TSV or CSV file of texts and labels")
        content = decoded(path.read_bytes(), str(path))
        if not content.strip():
            raise ValueError(f"{path} is empty: expected a header line and rows of text and label")
        header = content.splitlines()[0]
        delimiter = "\t" if path.suffix.lower() in (".tsv", ".tab") or "\t" in header else ","
        rows = list(
            csv.reader(
                io.StringIO(content),
                delimiter=delimiter,
                quoting=csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL,
            )
        )
        for name in (self.text, self.label):
            if name not in rows[0]:
                raise ValueError(f"{path} has no column {name!r}: its header line has {', '.join(rows[0])}")
        columns = [rows[0].index(name) for name in (self.text, self.label)]
        table = []
        for number, row in enumerate(rows[1:], 2):
            if not any(row):
                continue
            if len(row) <= max(columns):
                raise ValueError(f"{path}, row {number}: {len(row)} columns, expected {len(rows[0])}")
            table.append((row[columns[0]].strip(), row[columns[1]].strip()))
        return table
