"""Offensive language in tweets: the set of Davidson et al."""

from __future__ import annotations

import csv
import hashlib
import html
import io
import re
from typing import Any

import numpy as np

from datamodules.download import read_published
from datamodules.registry import register_datamodule
from datamodules.text.base import Labelled, TextDataModule

FOLDS = 5
"""Number of folds of the cross-validation."""
_USER, _URL = re.compile(r"@\w+:?"), re.compile(r"https?:\S*")
_RETWEET = re.compile(r"\bRT\b")


def clean_tweet(text: str) -> str:
    """Return a tweet with HTML entities resolved, and ``@user`` and ``http`` in place of names and addresses."""
    text = html.unescape(html.unescape(text))  # some are escaped twice
    return _URL.sub("http", _USER.sub("@user", text))


def tweet_key(text: str) -> str:
    """Return what retweets and copies of a tweet have in common: its words in lower case, without names or links."""
    bare = _RETWEET.sub(" ", _URL.sub(" ", _USER.sub(" ", html.unescape(html.unescape(text)))))
    return " ".join(re.findall(r"\w+", bare.lower())) or text


@register_datamodule("davidson2017")
class Davidson2017DataModule(TextDataModule):
    """24,783 tweets that are hate speech (1,430), offensive (19,190) or neither (4,163) (Davidson et al., 2017).

    There is no official split. The test split is one of five folds, the same for every seed. Tweets with the same
    words, such as retweets, are a group and are in the same fold; groups are in the order of their checksums. A tweet
    is converted to plain text by ``clean_tweet``. The tweets contain offensive language.

    Args:
        fold: Number of the fold, 0 to 4, that is the test split; ``"seed"`` for the remainder of the seed divided by
            five, so that five successive seeds are a cross-validation.
        val_size: Number of training rows held out for validation, approximately, since groups are not divided.
        vocab_size: Size of the vocabulary.
        max_length: Largest number of tokens of a text.
        **common: Arguments of ``TextDataModule``.
    """

    url = "https://raw.githubusercontent.com/t-davidson/hate-speech-and-offensive-language/master/data/labeled_data.csv"
    sha256_content = "fcb8bc7c68120ae4af04a5b9acd58585513ede11e1548ebf36a5c2040b6f6281"
    class_names = ["hate speech", "offensive", "neither"]

    def __init__(
        self,
        *,
        fold: int | str = 0,
        val_size: int = 2_000,
        vocab_size: int = 5_000,
        max_length: int = 64,
        **common: Any,
    ) -> None:
        super().__init__(val_size=val_size, vocab_size=vocab_size, max_length=max_length, **common)
        if fold != "seed" and (not isinstance(fold, int) or not 0 <= fold < FOLDS):
            raise ValueError(f"fold must be from 0 to {FOLDS - 1}, or 'seed', not {fold!r}")
        self.fold = fold
        self._rows: list[tuple[str, int]] = []

    def prepare_data(self) -> None:
        """Download the file if neither it nor a gzipped one exists."""
        self._read()

    def _read(self) -> list[tuple[str, int]]:
        """Return the tweets and their classes, read once."""
        if not self._rows:
            content = read_published(self.url, self.sha256_content, self.root / "davidson2017" / "labeled_data.csv")
            table = csv.DictReader(io.StringIO(content.decode(), newline=""))
            self._rows = [(row["tweet"], int(row["class"])) for row in table]
        return self._rows

    def read_all(self) -> dict[str, Labelled]:
        """Read the tweets, with one of the folds as ``test``."""
        rows = self._read()
        keys = [tweet_key(text) for text, _ in rows]
        ordered = sorted(set(keys), key=lambda key: hashlib.sha256(key.encode()).digest())
        number = {key: k for k, key in enumerate(ordered)}
        groups = np.array([number[key] for key in keys])
        fold = self.seed % FOLDS if self.fold == "seed" else int(self.fold)
        whole = Labelled([text for text, _ in rows], [label for _, label in rows], groups.tolist())
        tested = groups % FOLDS == fold
        return {"train": whole.take(np.flatnonzero(~tested)), "test": whole.take(np.flatnonzero(tested))}

    def split_texts(self, train: Labelled) -> tuple[Any, Any]:
        """Hold out whole groups for validation, drawn by the seed."""
        groups = np.array(train.groups)
        order = np.random.default_rng(self.seed).permutation(np.unique(groups))
        sizes = np.cumsum(np.bincount(groups)[order])
        if self.val_size >= len(groups):
            raise ValueError(f"val_size={self.val_size} does not fit: choose from 1 to {len(groups) - 1} tweets")
        held_out = np.isin(groups, order[: 1 + np.searchsorted(sizes, self.val_size)])
        return np.flatnonzero(~held_out), np.flatnonzero(held_out)

    def clean_text(self, text: str) -> str:
        """Return a tweet in plain text."""
        return clean_tweet(text)
