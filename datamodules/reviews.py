"""Sentiment of sentences of film reviews: SST-2 and the movie reviews of Pang & Lee."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from datamodules.download import find_source, read_source
from datamodules.registry import register_datamodule
from datamodules.splits import rows_as_groups, stratified_split
from datamodules.text.base import Labelled, TextDataModule
from datamodules.text.negations import negated_and_affirmed

TREEBANK_RULES = [
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
"""Patterns of Penn Treebank tokenization and their replacements in plain text."""


def detokenize(text: str) -> str:
    """Revert the Penn Treebank tokenization of a text, such as ``do n't .`` to ``don't.``."""
    for pattern, whole in TREEBANK_RULES:
        text = pattern.sub(whole, text)
    return text


@register_datamodule("sst2")
class SST2DataModule(TextDataModule):
    """SST-2: sentiment of phrases of film reviews (Socher et al., 2013) in the two classes of GLUE (Wang et al., 2018).

    The training split has 67,349 phrases. The 872 sentences of the development set are the test split, since the test
    labels of GLUE are not public. The training phrases are parts of sentences: ``val_size`` whole sentences, that is
    phrases which are not part of a longer one, are held out for validation, and every phrase that is part of one of
    them is dropped from training.

    Args:
        val_size: Number of training sentences held out for validation.
        negated: Number of synthetic training rows to add: phrases of at most three words in sentences that negate them,
            with the opposite class, and, a third, in sentences that affirm them. In the source nearly all negated
            phrases are negative, so that "not bad" can only be learned from such rows.
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
        """Download the archive if neither it nor its files exist."""
        self._source()

    def _source(self) -> Path:
        names = [f"{name}.tsv" for name in self.sha256_files]
        return find_source(self.root / "SST-2", names, self.root / "SST-2.zip", [self.url], None, self._check)

    def _check(self, contents: list[bytes]) -> None:
        for (name, known), content in zip(self.sha256_files.items(), contents, strict=True):
            self._check_file(name, known, content)

    @staticmethod
    def _check_file(name: str, known: str, content: bytes) -> None:
        if hashlib.sha256(content).hexdigest() != known:
            raise ValueError(f"wrong checksum, not the published {name}.tsv")

    def read_all(self) -> dict[str, Labelled]:
        """Read the phrases of ``train.tsv`` and, as ``test``, the sentences of ``dev.tsv``."""
        rows = {part: self._file(name) for part, name in (("train", "train"), ("test", "dev"))}
        groups = rows_as_groups({part: len(found) for part, found in rows.items()})
        return {
            part: Labelled([text.strip() for text, _ in found], [int(label) for _, label in found], list(groups[part]))
            for part, found in rows.items()
        }

    def clean_text(self, text: str) -> str:
        """Return a phrase in plain text, such as ``don't`` for ``do n't``."""
        return detokenize(text)

    def add_synthetic(self, train: Labelled) -> Labelled:
        """Add sentences that negate or affirm short phrases; phrases and templates are drawn by the seed."""
        added = negated_and_affirmed(train.texts, train.labels, self.negated, np.random.default_rng(self.seed))
        texts, labels, rows = zip(*added) if added else ((), (), ())
        groups = [train.groups[row] for row in rows]
        return Labelled([*train.texts, *texts], [*train.labels, *labels], [*train.groups, *groups])

    def _file(self, name: str) -> list[list[str]]:
        source = self._source()
        (content,) = read_source(source, [f"{name}.tsv"])
        try:
            self._check_file(name, self.sha256_files[name], content)
        except ValueError as error:
            raise ValueError(f"{source}: {error}; delete it and try again") from None
        return [line.split("\t") for line in content.decode().splitlines()[1:]]

    def split_texts(self, train: Labelled) -> tuple[Any, Any]:
        """Hold out whole sentences and drop their phrases from training."""
        words = [tuple(text.split()) for text in train.texts]
        whole = np.array(longest_phrases(words))
        if self.val_size > len(whole) // 2:
            raise ValueError(f"val_size={self.val_size} does not fit: choose from 2 to {len(whole) // 2} sentences")
        _, taken = stratified_split(torch.tensor(train.labels)[whole], self.val_size, self.seed)
        val = whole[taken]
        inside = {part for row in val for part in all_phrases(words[row])}
        return [row for row, phrase in enumerate(words) if phrase not in inside], val


def all_phrases(words: tuple[str, ...]) -> set[tuple[str, ...]]:
    """Return all contiguous subsequences of the words of a sentence."""
    n = len(words)
    return {words[i:j] for i in range(n) for j in range(i + 1, n + 1)}


def longest_phrases(phrases: list[tuple[str, ...]]) -> list[int]:
    """Return the indices of the phrases that are not part of a longer one; of equal phrases the first."""
    found: list[int] = []
    seen: set[int] = set()
    for row in sorted(range(len(phrases)), key=lambda row: -len(phrases[row])):
        # Hashes take a tenth of the memory of tuples; a collision drops one sentence.
        if hash(phrases[row]) not in seen:
            found.append(row)
            seen.update(hash(part) for part in all_phrases(phrases[row]))
    return sorted(found)


@register_datamodule("movie_reviews")
class MovieReviewsDataModule(TextDataModule):
    """Movie reviews: 5,331 positive and 5,331 negative sentences of film reviews (Pang & Lee, 2005).

    There is no official split. The test split is a tenth, stratified by class and always the same. SST was made from
    these sentences, so a model trained on one must not be evaluated on the other.

    Args:
        val_size: Number of training rows held out for validation.
        **common: Arguments of ``TextDataModule``.
    """

    url = "https://www.cs.cornell.edu/people/pabo/movie-review-data/rt-polaritydata.tar.gz"
    class_names = ["negative", "positive"]
    files = ("rt-polarity.neg", "rt-polarity.pos")
    rows = 5_331

    def __init__(self, *, val_size: int = 1_066, **common: Any) -> None:
        super().__init__(val_size=val_size, **common)

    def prepare_data(self) -> None:
        """Download the archive if neither it nor its files exist."""
        self._source()

    def _source(self) -> Path:
        folder = self.root / "rt-polaritydata"
        return find_source(folder, self.files, folder.with_suffix(".tar.gz"), [self.url], None, self._check)

    def _check(self, contents: list[bytes]) -> None:
        for name, content in zip(self.files, contents, strict=True):
            self._sentences(name, content)

    def _sentences(self, name: str, content: bytes) -> list[str]:
        try:
            lines = content.decode().splitlines()
        except UnicodeDecodeError:  # the original files are in Windows-1252
            lines = content.decode("cp1252", errors="replace").splitlines()
        lines = [line.strip() for line in lines if line.strip()]
        if len(lines) != self.rows:
            raise ValueError(f"{name} has {len(lines)} sentences, expected {self.rows}")
        return lines

    def read_all(self) -> dict[str, Labelled]:
        """Read the sentences and rng the test split."""
        texts, labels = [], []
        for label, content in enumerate(read_source(self._source(), self.files)):
            lines = self._sentences(self.files[label], content)
            texts += lines
            labels += [label] * len(lines)
        everything = Labelled(texts, labels, list(range(len(texts))))
        rest, taken = stratified_split(torch.tensor(labels), len(labels) // 10, seed=0, name="test_size")
        return {"train": everything.take(sorted(rest)), "test": everything.take(sorted(taken))}

    def clean_text(self, text: str) -> str:
        """Return a sentence in plain text, such as ``don't`` for ``do n't``."""
        return detokenize(text)
