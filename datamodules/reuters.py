"""Reuters-21578: newswire documents as bags of words."""

from __future__ import annotations

import hashlib
import html
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from datamodules.base import TensorDataModule
from datamodules.download import find_source, read_source
from datamodules.registry import register_datamodule
from datamodules.splits import Split, rows_as_groups
from datamodules.text.files import decode_utf8

MIRRORS = (
    "https://archive.ics.uci.edu/ml/machine-learning-databases/reuters21578-mld/reuters21578.tar.gz",
    "https://kdd.ics.uci.edu/databases/reuters21578/reuters21578.tar.gz",
)
SGML_FILES = [f"reut2-{number:03d}.sgm" for number in range(22)]
_DOCUMENT = re.compile(r"<REUTERS ([^>]*)>(.*?)</REUTERS>", re.S)
_TEXT = re.compile(r"<TEXT[^>]*>(.*?)</TEXT>", re.S)
_TOPICS = re.compile(r"<TOPICS>(.*?)</TOPICS>", re.S)
_TOPIC = re.compile(r"<D>(.*?)</D>")
_DATELINE = re.compile(r"<DATELINE>.*?</DATELINE>", re.S)
_TAG = re.compile(r"<[^>]*>")


class Document(NamedTuple):
    """A document of the ModApte split: split, text and topics."""

    split: str
    text: str
    topics: list[str]


def parse_sgml(content: str) -> Iterator[Document]:
    """Yield the documents of an SGML file that belong to the ModApte split (Apte, Damerau & Weiss, 1994).

    The split consists of the documents with TOPICS="YES" whose LEWISSPLIT is TRAIN or TEST. The text of a document is
    its title and body without the dateline.
    """
    for attributes, inside in _DOCUMENT.findall(content):
        found = re.search(r'LEWISSPLIT="(TRAIN|TEST)"', attributes)
        if not found or 'TOPICS="YES"' not in attributes:
            continue
        text = _TEXT.search(inside)
        topics = _TOPICS.search(inside)
        yield Document(
            found[1].lower(),
            html.unescape(_TAG.sub(" ", _DATELINE.sub(" ", text[1]))) if text else "",
            _TOPIC.findall(topics[1]) if topics else [],
        )


class ReutersSource:
    """What the datamodules of Reuters-21578 have in common: the archive, its checksum and its documents."""

    root: Path
    """Data folder."""
    sha256_parts = "3764d62c6c42ea64f88199a398af03059fb823de62120deefa5cc71f2502a3b3"

    def prepare_data(self) -> None:
        """Download the archive if neither it nor its files exist."""
        self._source()

    def _source(self) -> Path:
        folder = self.root / "reuters21578"
        return find_source(folder, SGML_FILES, folder.with_suffix(".tar.gz"), MIRRORS, None, self._check)

    def _check(self, contents: list[bytes]) -> None:
        if hashlib.sha256(b"".join(contents)).hexdigest() != self.sha256_parts:
            raise ValueError("wrong checksum, not the published Reuters-21578")

    def _documents(self) -> list[Document]:
        source = self._source()
        contents = list(read_source(source, SGML_FILES))
        try:
            self._check(contents)
        except ValueError as error:
            raise ValueError(f"{source}: {error}; delete it and try again") from None
        return [document for content in contents for document in parse_sgml(content.decode("latin-1"))]


@register_datamodule("reuters")
class ReutersDataModule(ReutersSource, TensorDataModule):
    """Reuters-21578, Distribution 1.0 (Lewis, 1997): 9,603 training and 3,299 test documents of the ModApte split.

    A document is stored as the counts of the ``num_words`` most frequent words of the training documents, without
    English stop words. In natural units these are log(1 + count) / sum log(1 + count), which sum to 1, or are all 0 in
    a document without any of the words. Labels are the topics (N, topics), zeros and ones, uint8; a document has none,
    one or several.

    Args:
        num_words: Number of words.
        val_size: Number of training rows held out for validation.
        **common: Arguments of ``TensorDataModule``.
    """

    learned = ("words", "in_features", "input_shape")
    fixed_by_model = ("num_words",)

    def __init__(self, *, num_words: int = 2_000, val_size: int = 960, **common: Any) -> None:
        super().__init__(val_size=val_size, **common)
        if num_words < 1:
            raise ValueError(f"num_words must be at least 1, not {num_words}")
        self.num_words = num_words
        self._adopted: list[str] = []
        self._read: tuple[dict[str, Split], list[str], list[str]] | None = None

    def _vectorizer(self, vocabulary: list[str] | None = None) -> Any:
        from sklearn.feature_extraction.text import CountVectorizer

        return CountVectorizer(
            stop_words="english", token_pattern=r"[a-z]{2,}", max_features=self.num_words, vocabulary=vocabulary
        )

    def _all(self) -> tuple[dict[str, Split], list[str], list[str]]:
        """Return the splits, the words and the topics, loaded once."""
        if self._read is None:
            documents = self._documents()
            parts = {split: [d for d in documents if d.split == split] for split in ("train", "test")}
            vectorizer = self._vectorizer(self._adopted or None).fit(d.text for d in parts["train"])
            topics = sorted({topic for d in documents for topic in d.topics})
            column = {topic: k for k, topic in enumerate(topics)}
            groups = rows_as_groups({split: len(part) for split, part in parts.items()})
            splits = {}
            for split, part in parts.items():
                counts = vectorizer.transform(d.text for d in part).toarray().clip(max=255).astype(np.uint8)
                labels = np.zeros((len(part), len(topics)), np.uint8)
                for row, document in enumerate(part):
                    labels[row, [column[topic] for topic in document.topics]] = 1
                splits[split] = Split((torch.from_numpy(counts), torch.from_numpy(labels)), groups[split])
            self._read = splits, vectorizer.get_feature_names_out().tolist(), topics
        return self._read

    @property
    def spec(self) -> dict[str, Any]:
        """Shape of a document and the counted words."""
        return {"input_shape": [self.num_words], "in_features": self.num_words, "words": self.words}

    @property
    def words(self) -> list[str]:
        """Counted words, in the order of the columns; those of a model if adopted."""
        return self._adopted or self._all()[1]

    def adopt_encoding(self, hparams: Mapping[str, Any]) -> bool:
        """Adopt the ``words`` of a model, so that ``read`` does not need the corpus."""
        words = list(hparams.get("words") or [])
        if not words or words == self._adopted or (self._read is not None and words == self._read[1]):
            return False
        self._adopted, self._read, self.num_words = words, None, len(words)
        return True

    @property
    def topics(self) -> list[str]:
        """Topics in the order of the columns of the labels."""
        return self._all()[2]

    def load(self) -> dict[str, Split]:
        """Return the splits of ModApte."""
        return dict(self._all()[0])

    def strata(self, train: Split) -> Tensor:
        """Return one stratum for all rows, since topics of a single document cannot be stratified."""
        return torch.zeros(len(train.groups))

    def to_natural_units(self, x: Tensor) -> Tensor:
        """Convert counts (N, num_words) to log(1 + count), normalised to sum 1, float32."""
        weights = x.float().log1p()
        return weights / weights.sum(1, keepdim=True).clamp_min(1e-9)

    def read(self, source: str) -> Tensor:
        """Read a text file, or the string itself as a text, as (1, num_words) in natural units."""
        text = decode_utf8(Path(source).read_bytes(), source) if os.path.isfile(source) else source
        counts = self._vectorizer(self.words).transform([text]).toarray()
        if not counts.any():
            raise ValueError(f"{source!r}: none of the {self.num_words} words that the model knows is in this text")
        return self.to_natural_units(torch.from_numpy(counts))
