"""Labelled texts: SST-2, movie reviews, and a user's own table."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
import tarfile
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from datamodules.base import Split, TensorDataModule, rows_as_groups, stratified
from datamodules.download import fetch
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


CUT = [
    (re.compile(pattern), whole)
    for pattern, whole in (
        (r"``|''", '"'),
        (r"-lrb- ?", "("),
        (r" ?-rrb-", ")"),
        (r"\\/", "/"),
        (r"(?<=\w) (n't|'s|'re|'ve|'ll|'d|'m)\b", r"\1"),
        (r" ([.,;:!?%)]+)(?= |$)", r"\1"),
        (r"\( ", "("),
    )
]
"""What the Penn Treebank's rules cut or wrote otherwise, and how people write it."""


def joined(text: str) -> str:
    """Put a text together again that was cut into words by the Penn Treebank's rules: ``do n't .`` to ``don't.``."""
    for pattern, whole in CUT:
        text = pattern.sub(whole, text)
    return text


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


# ---- SST-2 ----


SHORT = re.compile(r"\w+(?: \w+){0,2}")
NEGATIVE = re.compile(r"\b(?:no|not|never|nothing|nor|without|hardly|barely)\b|n't")
NEGATIONS = (
    *("not {}", "is not {}", "isn't {}", "wasn't {}", "not really {}", "not at all {}", "is not {} at all"),
    *("not a {} film", "it is not {}", "i don't think it is {}"),
)
"""Ways of saying that something is not what a phrase says."""


@register_datamodule("sst2")
class SST2DataModule(TextDataModule):
    """SST-2: is a phrase of a film review positive? (Socher et al., 2013; two classes as in GLUE, Wang et al., 2018).

    67,349 phrases to train on; the 872 sentences of dev are the test split here, since GLUE's own test labels are not
    public. The training phrases are parts of sentences: for validation ``val_size`` of those that are in no other one
    are set aside, and every phrase that is a part of one of them is left out of training.

    Args:
        val_size: Sentences of the training split set aside for validation.
        negated: Number of training rows added: phrases of at most three words after a negation, of the opposite class.
            In the source nearly every negation is negative, and "not bad" is learned from such rows.
        **common: Arguments of ``TextDataModule``.
    """

    url = "https://dl.fbaipublicfiles.com/glue/data/SST-2.zip"
    class_names = ["negative", "positive"]
    sha256_files = {
        "train": "c75796b01672b41c38cd4b35f4ff1ade88ca79b7577f3926e01ff69739d85ec9",
        "dev": "f7271f7a919ea884ca8563e13ed03028aa44296d1f738c003af3142b9a2188f8",
    }

    def __init__(self, *, val_size: int = 700, negated: int = 0, **common: Any) -> None:
        super().__init__(val_size=val_size, **common)
        if negated < 0:
            raise ValueError(f"negated must be at least 0, not {negated}")
        self.negated = negated

    def prepare_data(self) -> None:
        """Download the archive unless it or its folder is there."""
        folder, archive = self.root / "SST-2", self.root / "SST-2.zip"
        if not folder.is_dir() and not archive.exists():
            fetch([self.url], None, archive)

    def read_all(self) -> dict[str, Labelled]:
        """Read the phrases of train and, as ``test``, the sentences of dev."""
        self.prepare_data()
        rows = {part: self._file(name) for part, name in (("train", "train"), ("test", "dev"))}
        groups = rows_as_groups({part: len(found) for part, found in rows.items()})
        return {
            part: Labelled([text.strip() for text, _ in found], [int(label) for _, label in found], list(groups[part]))
            for part, found in rows.items()
        }

    def tidy(self, text: str) -> str:
        """Return a phrase as people write, ``don't`` in place of ``do n't``."""
        return joined(text)

    def enlarged(self, train: Labelled) -> Labelled:
        """Add negated phrases, each class alike, each phrase and negation drawn by the seed."""
        draw = np.random.default_rng(self.seed)
        added = Labelled([], [], [])
        for label in range(2):
            rows = [
                row
                for row, (text, own) in enumerate(zip(train.texts, train.labels))
                if own == label and SHORT.fullmatch(text) and not NEGATIVE.search(text)
            ]
            if not rows:
                continue
            for row in draw.choice(rows, self.negated // 2).tolist():
                added.texts.append(NEGATIONS[draw.integers(len(NEGATIONS))].format(train.texts[row]))
                added.labels.append(1 - label)
                added.groups.append(train.groups[row])
        return Labelled(train.texts + added.texts, train.labels + added.labels, train.groups + added.groups)

    def _file(self, name: str) -> list[list[str]]:
        path, archive = self.root / "SST-2" / f"{name}.tsv", self.root / "SST-2.zip"
        if path.parent.is_dir():
            if not path.exists():
                raise FileNotFoundError(f"{path} is missing: unpack {self.url} into {self.root}")
            content = path.read_bytes()
        else:
            try:
                with zipfile.ZipFile(archive) as packed:
                    content = packed.read(f"SST-2/{name}.tsv")
            except (zipfile.BadZipFile, KeyError, OSError) as error:
                raise ValueError(
                    f"{archive}: not the archive of SST-2 ({type(error).__name__}); delete it and try again"
                ) from None
            path = archive
        if hashlib.sha256(content).hexdigest() != self.sha256_files[name]:
            raise ValueError(f"{path}: wrong checksum, not the published {name}.tsv; delete it and try again")
        return [line.split("\t") for line in content.decode().splitlines()[1:]]

    def divide(self, train: Labelled) -> tuple[Any, Any]:
        """Set whole sentences aside, and leave their phrases out of training."""
        words = [tuple(text.split()) for text in train.texts]
        whole = np.array(maximal(words))
        if self.val_size > len(whole) // 2:
            raise ValueError(f"val_size={self.val_size} does not fit: choose from 2 to {len(whole) // 2} sentences")
        _, taken = stratified(torch.tensor(train.labels)[whole], self.val_size, self.seed)
        val = whole[taken]
        inside = {part for row in val for part in parts_of(words[row])}
        return [row for row, phrase in enumerate(words) if phrase not in inside], val


def parts_of(words: tuple[str, ...]) -> set[tuple[str, ...]]:
    """Return all runs of words in a sentence, itself included."""
    n = len(words)
    return {words[i:j] for i in range(n) for j in range(i + 1, n + 1)}


def maximal(phrases: list[tuple[str, ...]]) -> list[int]:
    """Return the numbers of the phrases that are no part of a longer one; of equal ones the first."""
    found: list[int] = []
    seen: set[int] = set()
    for row in sorted(range(len(phrases)), key=lambda row: -len(phrases[row])):
        if hash(phrases[row]) not in seen:  # hashes take a tenth of the memory; a collision loses one sentence
            found.append(row)
            seen.update(hash(part) for part in parts_of(phrases[row]))
    return sorted(found)


# ---- movie reviews ----


@register_datamodule("movie_reviews")
class MovieReviewsDataModule(TextDataModule):
    """Sentences of film reviews, 5,331 positive and 5,331 negative ones (Pang & Lee, 2005).

    There is no official split: a tenth, drawn here and always the same, is the test split. SST was made from these
    sentences, so a model of one says nothing about the other.

    Args:
        val_size: Rows of the training split set aside for validation.
        **common: Arguments of ``TextDataModule``.
    """

    url = "https://www.cs.cornell.edu/people/pabo/movie-review-data/rt-polaritydata.tar.gz"
    class_names = ["negative", "positive"]
    rows = 5_331

    def __init__(self, *, val_size: int = 1_066, **common: Any) -> None:
        super().__init__(val_size=val_size, **common)

    def prepare_data(self) -> None:
        """Download the archive unless it or its folder is there."""
        archive = self.root / "rt-polaritydata.tar.gz"
        if not (self.root / "rt-polaritydata").is_dir() and not archive.exists():
            fetch([self.url], None, archive)

    def read_all(self) -> dict[str, Labelled]:
        """Read the sentences and draw the test split."""
        self.prepare_data()
        texts, labels = [], []
        for label, ending in enumerate(("neg", "pos")):
            content = self._file(f"rt-polarity.{ending}")
            try:
                lines = content.decode().splitlines()
            except UnicodeDecodeError:  # the original files, which are older than their habit
                lines = content.decode("cp1252", errors="replace").splitlines()
            lines = [line.strip() for line in lines if line.strip()]
            if len(lines) != self.rows:
                raise ValueError(f"rt-polarity.{ending} has {len(lines)} sentences, expected {self.rows}")
            texts += lines
            labels += [label] * len(lines)
        everything = Labelled(texts, labels, list(range(len(texts))))
        rest, taken = stratified(torch.tensor(labels), len(labels) // 10, seed=0, name="test_size")
        return {"train": everything.take(sorted(rest)), "test": everything.take(sorted(taken))}

    def tidy(self, text: str) -> str:
        """Return a sentence as people write, ``don't`` in place of ``do n't``."""
        return joined(text)

    def _file(self, name: str) -> bytes:
        path, archive = self.root / "rt-polaritydata" / name, self.root / "rt-polaritydata.tar.gz"
        if path.exists():
            return path.read_bytes()
        if path.parent.is_dir():
            raise FileNotFoundError(f"{path} is missing: unpack {self.url} into {self.root}")
        try:
            with tarfile.open(archive) as packed:
                return packed.extractfile(f"rt-polaritydata/{name}").read()  # type: ignore[union-attr]
        except (tarfile.TarError, KeyError, EOFError, OSError) as error:
            raise ValueError(
                f"{archive} cannot be unpacked ({type(error).__name__}); delete it and try again"
            ) from None


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
