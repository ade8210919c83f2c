"""Reuters-21578: newswire documents as token ids, with their topics."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from datamodules.registry import register_datamodule
from datamodules.reuters import Document, ReutersSource
from datamodules.splits import Split
from datamodules.text.base import Labelled, TextDataModule
from datamodules.text.vocabulary import pad_sequences


@register_datamodule("reuters_topics")
class ReutersTopicsDataModule(ReutersSource, TextDataModule):
    """Reuters-21578, Distribution 1.0 (Lewis, 1997): documents of the ModApte split and which topics each has.

    The 90 classes are the topics with at least one document in the training split and one in the test split, as in
    Joachims (1998): of 115 topics in the one and 93 in the other. As there, all 9,603 training and 3,299 test documents
    are used: those with none of the topics, 1,833 and 280, are negative examples of each. Four training documents with
    the text of a test document, up to case and white space, are dropped from training.

    The text is the title and the body. Labels are the topics (N, 90), zeros and ones, uint8; a document has none, one
    or several.

    Args:
        val_size: Number of training documents held out for validation, drawn by the seed; at most a few more, since
            documents of the same text are not divided.
        max_length: Largest number of tokens of a text.
        **common: Arguments of ``TextDataModule``.
    """

    def __init__(self, *, val_size: int = 960, max_length: int = 200, **common: Any) -> None:
        super().__init__(val_size=val_size, max_length=max_length, **common)
        self._read: list[Document] = []

    def _documents(self) -> list[Document]:
        """Return the documents of ModApte, read once."""
        self._read = self._read or super()._documents()
        return self._read

    @property
    def class_names(self) -> list[str]:  # type: ignore[override]
        """Topics that have a document in the training and in the test split, in sorted order."""
        train, test = ({topic for d in self._documents() if d.split == split for topic in d.topics}
                       for split in ("train", "test"))  # fmt: skip
        return sorted(train & test)

    @property
    def spec(self) -> dict[str, Any]:
        """Topics and their shares, vocabulary as JSON, its size and the largest number of tokens; ``multi_label``.

        The share of a topic is (n + 1) / (N + 1) for n of the N training documents that have it.
        """
        labels = self.text_splits()["train"].labels
        counts = Counter(topic for row in labels for topic in row)
        shares = [round((counts[k] + 1) / (len(labels) + 1), 6) for k in range(len(self.class_names))]
        return {**super().spec, "multi_label": True, "class_shares": shares}

    def read_all(self) -> dict[str, Labelled]:
        """Read the documents of ``train`` and ``test``; a label is a tuple of topic indices, the group is the text."""
        number = {topic: k for k, topic in enumerate(self.class_names)}
        group: dict[str, int] = {}
        parts, tested = {}, set[int]()
        for split in ("test", "train"):
            part = Labelled([], [], [])
            for document in self._documents():
                text = self.clean_text(document.text)
                row_group = group.setdefault(text.lower(), len(group))
                if document.split != split or row_group in tested:
                    continue
                part.texts.append(text)
                part.labels.append(tuple(sorted({number[topic] for topic in document.topics if topic in number})))
                part.groups.append(row_group)
            parts[split] = part
            tested = set(part.groups)
        return parts

    def clean_text(self, text: str) -> str:
        """Return a text with one space for each run of white space."""
        return " ".join(text.split())

    def split_texts(self, train: Labelled) -> tuple[Any, Any]:
        """Hold out whole groups for validation, drawn by the seed."""
        groups, n = np.array(train.groups), len(train.texts)
        if not 1 <= self.val_size < n:
            raise ValueError(f"val_size={self.val_size} does not fit: choose from 1 to {n - 1} documents")
        order = np.random.default_rng(self.seed).permutation(np.unique(groups))
        sizes = np.cumsum(np.bincount(groups)[order])
        held_out = np.isin(groups, order[: 1 + np.searchsorted(sizes, self.val_size)])
        return np.flatnonzero(~held_out), np.flatnonzero(held_out)

    def load(self) -> dict[str, Split]:
        """Encode the texts as token ids, and their topics as zeros and ones."""
        splits, topics = {}, len(self.class_names)
        for name, part in self.text_splits().items():
            ids, _ = pad_sequences(self.vocabulary.encode(part.texts), self.max_length)
            splits[name] = Split((torch.from_numpy(ids), multi_hot(part.labels, topics)), np.array(part.groups))
        return splits

    def _numbered(self, split: Split) -> Split:
        """Move the columns of the labels to where the adopted model has them."""
        order = self._class_order(self._classes)
        if order is None:
            return split
        x, y, *rest = split.stored
        moved = y.new_zeros(len(y), len(self._classes or ()))
        moved[:, order] = y
        return split._replace(stored=(x, moved, *rest))


def multi_hot(labels: list[tuple[int, ...]], classes: int) -> Tensor:
    """Return labels (N, classes), zeros and ones, uint8, of the class indices of each of N rows."""
    found = torch.zeros(len(labels), classes, dtype=torch.uint8)
    for row, indices in enumerate(labels):
        found[row, list(indices)] = 1
    return found
