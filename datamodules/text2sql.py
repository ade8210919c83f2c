"""Questions about a database and their SQL queries: GeoQuery."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from datamodules.download import fetch
from datamodules.errors import unknown
from datamodules.learned import checksums
from datamodules.registry import register_datamodule
from datamodules.splits import Split
from datamodules.text.base import adopt_tokenizer
from datamodules.text.entity_masks import NAMES
from datamodules.text.files import decode_utf8
from datamodules.text.pairs import PairDataModule
from datamodules.text.sql import (
    DatabaseValues,
    database_values_from_json,
    join_sql,
    normalize_sql,
    question_words,
    sql_tokens,
)
from datamodules.text.vocabulary import Vocabulary, pad_sequences

SPLITS = ("question", "query")
PARTS = {"train": "train", "dev": "val", "test": "test"}


class Question(NamedTuple):
    """A question and its annotated query.

    Args:
        text: The question.
        sql: The query.
        template: The query with the names of variables in place of values, normalised.
    """

    text: str
    sql: str
    template: str


@register_datamodule("geoquery")
class GeoQueryDataModule(PairDataModule):
    """GeoQuery: 877 questions on the geography of the USA and their SQL queries (Zelle & Mooney, 1996).

    The queries are those of Finegan-Dollak et al. (2018), the first one of each question, with the values of the
    question. Both splits are theirs. In the ``question`` split queries of the same form, with other values, are in
    training and test; in the ``query`` split no query of the test split has the form of one in training. Questions that
    are in the test split too, up to case and punctuation, are dropped from the others, and those in the validation
    split from training; in the query split also those with a query of the same form.

    Values that a question names are found in the database and replaced by symbols, see ``DatabaseValues``; the
    vocabulary is words of the training questions and tokens of the training queries.

    A batch is (src, src_len, tgt, tgt_len): ids (N, S) of questions and (N, T) of queries, enclosed in start and end
    tokens and padded with 0, and their lengths (N,).

    Args:
        split: Which of the two splits: ``question`` or ``query``.
        max_length: Largest number of tokens of a question or query, including the start and end tokens. Longer rows are
            dropped from training and truncated in other splits.
        fewest: Occurrences in training from which on a word of questions is a token of its own; rarer words are
            one unknown token.
        **common: Arguments of ``TensorDataModule``.
    """

    folder_url = "https://raw.githubusercontent.com/jkkummerfeld/text2sql-data/master/data/"
    file, database_file = "geography.json", "geography-db.added-in-2020.sqlite"
    sha256_file = "b20ad8ed357029c9efa49aa64434729f624591850f66b1137cabcc0e45273c1b"
    sha256_database = "98955372123cd9a8e761b00c2c67fbf221f1b8699927add538b53154c702dd3c"
    learned = ("tokenizer", "vocab_size", "max_length", "database_values")
    fixed_by_model = ("max_length", "fewest")

    def __init__(
        self, *, split: str = "question", max_length: int = 150, fewest: int = 2, batch_size: int = 32, **common: Any
    ) -> None:
        super().__init__(batch_size=batch_size, **common)
        if split not in SPLITS:
            raise unknown("split", split, SPLITS)
        if max_length < 3:
            raise ValueError(f"max_length must be at least 3, not {max_length}: both ends are tokens")
        if fewest < 1:
            raise ValueError(f"fewest must be at least 1, not {fewest}")
        if self.val_size:
            raise ValueError(f"val_size={self.val_size} does not fit: geoquery has a validation split of its own")
        self.split, self.max_length, self.fewest = split, max_length, fewest
        self._text_splits: dict[str, list[Question]] | None = None
        self._vocabulary: Vocabulary | None = None
        self._database_values: DatabaseValues | None = None

    def adopt_encoding(self, hparams: Mapping[str, Any]) -> bool:
        """Adopt the vocabulary, the largest number of tokens and the values of a model that has a tokenizer."""
        stale = adopt_tokenizer(self, hparams)
        values = hparams.get("database_values")
        if values is not None and values != getattr(self._database_values, "json", None):
            stale, self._database_values = True, database_values_from_json(values)
        return stale

    def prepare_data(self) -> None:
        """Download the questions and the database unless they exist."""
        self._path(self.file, self.sha256_file)
        _ = self.database

    def _path(self, name: str, sha256: str) -> Path:
        return fetch([self.folder_url + name], f"sha256:{sha256}", self.root / "text2sql" / name)

    def _checked(self, name: str, sha256: str) -> tuple[Path, bytes]:
        path = self._path(name, sha256)
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != sha256:
            raise ValueError(f"{path}: wrong checksum, not the published {name}; delete it and try again")
        return path, content

    @property
    def database(self) -> Path:
        """Path of the SQLite database.

        Raises:
            ValueError: If the file is not the published one.
        """
        return self._checked(self.database_file, self.sha256_database)[0]

    def read_all(self) -> dict[str, list[Question]]:
        """Read all questions by split, ``train``, ``val`` and ``test``, in the order of the file.

        Raises:
            ValueError: If the file is not the published one.
        """
        path, content = self._checked(self.file, self.sha256_file)
        parts: dict[str, list[Question]] = {part: [] for part in PARTS.values()}
        for entry in json.loads(decode_utf8(content, str(path))):
            query = entry["sql"][0]
            for sentence in entry["sentences"]:
                part = PARTS[sentence["question-split"] if self.split == "question" else entry["query-split"]]
                text, sql = (fill_variables(each, sentence["variables"]) for each in (sentence["text"], query))
                parts[part].append(Question(text, join_sql(sql_tokens(sql)), normalize_sql(query)))
        return parts

    def text_splits(self) -> dict[str, list[Question]]:
        """Return the questions of ``train``, ``val`` and ``test`` without those of a later split, read once."""
        if self._text_splits is None:
            parts, seen, forms = self.read_all(), set(), set()
            kept = {}
            for name in ("test", "val", "train"):
                kept[name] = [
                    each
                    for each in parts[name]
                    if _key(each) not in seen and (self.split == "question" or each.template not in forms)
                ]
                seen |= set(map(_key, kept[name]))
                forms |= {each.template for each in kept[name]}
            self._text_splits = {name: kept[name] for name in PARTS.values()}
        return self._text_splits

    def sentences(self, part: str) -> tuple[list[str], list[str]]:
        """Return the questions and the queries of a split."""
        rows = self.text_splits()[part]
        return [each.text for each in rows], [each.sql for each in rows]

    @property
    def database_values(self) -> DatabaseValues:
        """Values of the database that are looked up in questions, read once; those of a model if adopted."""
        if self._database_values is None:
            self._database_values = DatabaseValues.of_database(self.database)
        return self._database_values

    def masked(self, part: str) -> tuple[list[str], list[str]]:
        """Return the questions and the tokens of the queries of a split, joined by spaces, with symbols for values."""
        found: tuple[list[str], list[str]] = ([], [])
        for text, sql in zip(*self.sentences(part)):
            question, values = self.database_values.mask(text)
            found[0].append(question)
            found[1].append(self.database_values.mask_sql(sql, values))
        return found

    @property
    def vocabulary(self) -> Vocabulary:
        """Words of the training questions and tokens of the training queries; those of a model if adopted."""
        if self._vocabulary is None:
            questions, queries = self.masked("train")
            counts = Counter(word for question in questions for word in question.split())
            frequent = {word for word, count in counts.items() if count >= self.fewest}
            columns = {*self.database_values.columns, *NAMES}
            self._vocabulary = Vocabulary.of_words(columns | frequent | {word for q in queries for word in q.split()})
        return self._vocabulary

    @property
    def spec(self) -> dict[str, Any]:
        """Vocabulary and values of the database as JSON, size of the vocabulary, largest number of tokens."""
        return {
            "tokenizer": self.vocabulary.json,
            "vocab_size": len(self.vocabulary),
            "max_length": self.max_length,
            "database_values": self.database_values.json,
        }

    def load(self) -> dict[str, Split]:
        """Encode questions and queries as token ids."""
        numbers: dict[str, int] = {}
        splits = {}
        for name, rows in self.text_splits().items():
            groups = np.array([numbers.setdefault(_key(each), len(numbers)) for each in rows])
            sides = [self.vocabulary.encode(side, ends=True) for side in self.masked(name)]
            if name == "train":
                fits = [max(map(len, pair)) <= self.max_length for pair in zip(*sides)]
                sides = [[row for row, fit in zip(side, fits) if fit] for side in sides]
                groups = groups[np.array(fits)]
            tensors = [torch.from_numpy(part) for side in sides for part in pad_sequences(side, self.max_length)]
            splits[name] = Split(tuple(tensors), groups)
        return splits

    def sha256(self) -> str:
        """Return the SHA-256 checksum of all questions and queries."""
        digest = hashlib.sha256()
        for name, rows in self.read_all().items():
            for each in rows:
                digest.update(f"{name}\t{each.text}\t{each.sql}\n".encode())
        return digest.hexdigest()

    def row_keys(self, split: str) -> np.ndarray:
        """Return keys (N,), int64, of the questions of a split; equal questions have equal keys."""
        return checksums(each.text.encode() for each in self.text_splits()[split])


def fill_variables(text: str, variables: Mapping[str, str]) -> str:
    """Return a question or a query with the value of each variable in place of its name, a whole word."""
    if not variables:
        return text
    names = "|".join(map(re.escape, sorted(variables, key=len, reverse=True)))
    return re.sub(rf"(?<!\w)(?:{names})(?!\w)", lambda match: variables[match.group()], text)


def _key(question: Question) -> str:
    return " ".join(question_words(question.text))
