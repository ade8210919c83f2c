"""English-French sentence pairs for translation in both directions."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from datamodules.download import find_source, read_source
from datamodules.errors import unknown
from datamodules.registry import register_datamodule
from datamodules.splits import Split
from datamodules.text.alignment import word_pairs
from datamodules.text.base import adopt_tokenizer
from datamodules.text.entity_masks import SYMBOLS, EntityMasks, entity_masks_from_json
from datamodules.text.files import decode_utf8
from datamodules.text.lexicon import Lexicon, lexicon_from_json
from datamodules.text.pairs import PairDataModule
from datamodules.text.vocabulary import Vocabulary, pad_sequences

MASKED_PAIRS = 10_000
"""Largest number of training pairs that are repeated with masks for frequent names. Set by hand."""
LARGEST_COMPONENT = 100
"""Largest group, in pairs, of the validation and test splits, which a larger one would dominate. Set by hand."""

NON_ALPHANUMERIC = re.compile(r"[\W_]+")
"""Runs of characters that are neither letters nor digits."""

Pair = tuple[str, str]


@register_datamodule("fra_eng")
class FraEngDataModule(PairDataModule):
    """English-French sentence pairs of Tatoeba in the edition of ManyThings.org.

    The file has one pair per line: English, tab, French, and in recent editions a third column, which is ignored. Since
    a sentence may have several translations, pairs are grouped by the connected components of the graph in which two
    pairs are adjacent if they share a sentence of either language, up to case, spaces, punctuation and the encoding of
    accents. The test split (always the same) and the validation split are whole groups, so that no sentence of either
    language is in two splits. The splits are the same for both directions.

    A batch is (src, src_len, tgt, tgt_len): ids (N, S) and (N, T) enclosed in start and end tokens and padded with 0,
    and their lengths (N,).

    Args:
        source: Source language: ``fra`` or ``eng``.
        vocab_size: Size of the vocabulary, which both languages share.
        max_length: Largest number of tokens of a sentence, including the start and end tokens. Longer pairs are dropped
            from training; longer sentences of other splits are truncated.
        val_size: Smallest number of pairs held out for validation, which are whole groups.
        entity_masks: Whether masks stand for the numbers and rare names that both sentences of a pair have; some
            training pairs are repeated with masks for number words and frequent names too.
        words: Largest number of pairs of single words, found in the training pairs, that are added to them as
            sentences and are the lexicon of the model; the source has nearly no sentence of one word.
        **common: Arguments of ``TensorDataModule``.
    """

    url = "https://www.manythings.org/anki/fra-eng.zip"
    names = ("eng", "fra")
    learned = ("tokenizer", "vocab_size", "max_length", "entity_masks", "lexicon")
    fixed_by_model = ("vocab_size", "max_length", "entity_masks")
    test_sources = 2_000
    """Smallest number of sentences of each language in the test split. Set by hand."""

    def __init__(
        self,
        *,
        source: str = "fra",
        vocab_size: int = 8_000,
        max_length: int = 60,
        val_size: int = 2_000,
        entity_masks: bool = False,
        words: int = 0,
        **common: Any,
    ) -> None:
        super().__init__(val_size=val_size, **common)
        if source not in self.names:
            raise unknown("source", source, self.names)
        if max_length < 3:
            raise ValueError(f"max_length must be at least 3, not {max_length}: both ends are tokens")
        self.source, self.target = source, self.names[1 - self.names.index(source)]
        if words < 0:
            raise ValueError(f"words must be at least 0, not {words}")
        self.vocab_size, self.max_length, self.words = vocab_size, max_length, words
        self._uses_masks = entity_masks
        self._entity_masks: EntityMasks | None = None
        self._lexicon: Lexicon | None = None
        self._encoded: dict[str, tuple[list[Pair], np.ndarray]] = {}
        self._text_splits: dict[str, tuple[list[Pair], np.ndarray]] | None = None
        self._vocabulary: Vocabulary | None = None

    def adopt_encoding(self, hparams: Mapping[str, Any]) -> bool:
        """Adopt the vocabulary, the largest number of tokens and the masks of a model that has a tokenizer."""
        stale = adopt_tokenizer(self, hparams)
        json = hparams.get("entity_masks")
        if hparams.get("tokenizer") is not None and json != getattr(self._entity_masks, "json", None):
            stale, self._uses_masks = True, json is not None
            self._entity_masks = None if json is None else entity_masks_from_json(json)
            if self._entity_masks and self._entity_masks.source != self.source:
                raise ValueError(f"the model translates from {self._entity_masks.source}, the data from {self.source}")
        if hparams.get("lexicon") is not None:
            self._lexicon = lexicon_from_json(hparams["lexicon"])
        if stale:
            self._encoded = {}
        return stale

    def prepare_data(self) -> None:
        """Download the archive if neither it nor its file exists."""
        self._source()

    def _source(self) -> Path:
        folder = self.root / "fra-eng"
        return find_source(folder, ["fra.txt"], folder.with_suffix(".zip"), [self.url], None, self._check)

    def _check(self, contents: list[bytes]) -> None:
        parse_pairs(contents[0], "fra.txt")

    def read_all(self) -> list[Pair]:
        """Read the unique pairs (English, French) in the order of the file."""
        path = self._source()
        (content,) = read_source(path, ["fra.txt"])
        return parse_pairs(content, str(path))

    def text_splits(self) -> dict[str, tuple[list[Pair], np.ndarray]]:
        """Return the pairs and their groups for ``train``, ``val`` and ``test``, read once."""
        if self._text_splits is None:
            pairs = self.read_all()
            groups = components(pairs)
            sizes = np.bincount(groups)
            order = np.random.default_rng(0).permutation(np.flatnonzero(sizes <= LARGEST_COMPONENT))
            members = np.split(np.argsort(groups, kind="stable"), np.cumsum(sizes)[:-1])
            test = self._count_groups(pairs, members, order, self.test_sources)
            rest = np.random.default_rng(self.seed + 1).permutation(order[test:])
            counts = np.cumsum(sizes[rest])
            if self.val_size < 1 or not len(counts) or self.val_size > counts[-1] // 2:
                raise ValueError(f"val_size={self.val_size} does not fit: choose from 1 to {sum(sizes[rest]) // 2}")
            val = int(np.searchsorted(counts, self.val_size)) + 1
            chosen = {"test": order[:test], "val": rest[:val]}
            part_of = np.full(len(sizes), "train", dtype=object)
            for name, numbers in chosen.items():
                part_of[numbers] = name
            side = part_of[groups]
            self._text_splits = {
                name: ([pairs[i] for i in np.flatnonzero(side == name)], groups[side == name])
                for name in ("train", "val", "test")
            }
        return self._text_splits

    @staticmethod
    def _count_groups(pairs: list[Pair], members: list[np.ndarray], order: np.ndarray, sources: int) -> int:
        """Return the smallest number of groups, in order, that hold ``sources`` sentences of each language."""
        found: tuple[set[str], set[str]] = set(), set()
        for count, group in enumerate(order, 1):
            for row in members[group]:
                for sentences, sentence in zip(found, pairs[row]):
                    sentences.add(sentence)
            if min(map(len, found)) >= sources:
                return count
        raise ValueError(f"the file has too few sentences for a test split of {sources} of each language")

    def sentences(self, part: str) -> tuple[list[str], list[str]]:
        """Return the source and target sentences of all pairs of a split."""
        sources, targets = zip(*map(self._oriented, self.text_splits()[part][0]))
        return list(sources), list(targets)

    def references(self, part: str = "test", limit: int | None = 2_000) -> tuple[list[str], list[list[str]]]:
        """Return the first ``limit`` source sentences of a split and all translations of each."""
        found: dict[str, list[str]] = {}
        for pair in self.text_splits()[part][0]:
            source, target = self._oriented(pair)
            found.setdefault(source, []).append(target)
        return list(found)[:limit], list(found.values())[:limit]

    def _oriented(self, pair: Pair) -> Pair:
        return pair if self.source == "eng" else (pair[1], pair[0])

    def _pairs(self, part: str) -> list[Pair]:
        """Return the pairs (source, target) of a split."""
        return list(zip(*self.sentences(part)))

    @property
    def entity_masks(self) -> EntityMasks | None:
        """Masks of names and numbers, learned from the training split once; None without them."""
        if self._uses_masks and self._entity_masks is None:
            self._entity_masks = EntityMasks.learn(self._pairs("train"), self.source, self.target)
        return self._entity_masks

    @property
    def lexicon(self) -> Lexicon | None:
        """Words and their translations, learned from the training split once; none is a sentence of another split."""
        if self._lexicon is None and self.words:
            other = {normalize_sentence(s) for part in ("val", "test") for pair in self._pairs(part) for s in pair}
            found = word_pairs(self._pairs("train"))
            kept = [
                pair for pair in found if not other & {normalize_sentence(pair.source), normalize_sentence(pair.target)}
            ]
            self._lexicon = Lexicon.of_pairs(kept[: self.words], self.source, self.target)
        return self._lexicon

    @property
    def vocabulary(self) -> Vocabulary:
        """Subword vocabulary of both languages, learned from the training split once."""
        if self._vocabulary is None:
            pairs, _ = self._encoded_pairs("train")
            texts = [sentence for pair in pairs for sentence in (pair if self.source == "eng" else pair[::-1])]
            symbols = SYMBOLS if self._uses_masks else ()
            self._vocabulary = Vocabulary.train(texts, self.vocab_size, symbols=symbols)
        return self._vocabulary

    @property
    def spec(self) -> dict[str, Any]:
        """Vocabulary, entity masks and lexicon as JSON, size of the vocabulary, largest number of tokens."""
        return {
            "tokenizer": self.vocabulary.json,
            "vocab_size": len(self.vocabulary),
            "max_length": self.max_length,
            **({"entity_masks": self.entity_masks.json} if self.entity_masks else {}),
            **({"lexicon": self.lexicon.json} if self.lexicon else {}),
        }

    def _encoded_pairs(self, part: str) -> tuple[list[Pair], np.ndarray]:
        """Return the pairs (source, target) of a split with masks and synthetic rows, and their groups."""
        if part not in self._encoded:
            self._encoded[part] = self._encode_pairs(part)
        return self._encoded[part]

    def _encode_pairs(self, part: str) -> tuple[list[Pair], np.ndarray]:
        pairs, groups = self._pairs(part), self.text_splits()[part][1]
        rng = np.random.default_rng(self.seed)
        if self.entity_masks:
            original, order = pairs, rng.permutation if part == "train" else iter
            pairs = [self.entity_masks.mask_pair(*pair, order) for pair in original]
            if part == "train":
                more = [self.entity_masks.mask_pair(*pair, order, all_names=True) for pair in original]
                rows = [row for row, (one, other) in enumerate(zip(pairs, more)) if one != other]
                rows = sorted(rng.permutation(rows)[:MASKED_PAIRS].tolist())
                pairs, groups = pairs + [more[row] for row in rows], np.concatenate([groups, groups[rows]])
        if self.lexicon and part == "train":
            added = self.lexicon.sentences
            groups = np.concatenate([groups, np.arange(len(added)) + self._largest_group + 1])
            pairs = pairs + added
        return pairs, groups

    @property
    def _largest_group(self) -> int:
        return max(int(groups.max()) for _, groups in self.text_splits().values())

    def load(self) -> dict[str, Split]:
        """Encode the pairs as token ids."""
        splits = {}
        for name in self.text_splits():
            pairs, groups = self._encoded_pairs(name)
            rows = [self.vocabulary.encode(side, ends=True) for side in zip(*pairs)]
            if name == "train":
                fits = [max(len(a), len(b)) <= self.max_length for a, b in zip(*rows)]
                rows = [[row for row, fit in zip(side, fits) if fit] for side in rows]
                groups = groups[np.array(fits)]
            tensors = [torch.from_numpy(part) for side in rows for part in pad_sequences(side, self.max_length)]
            splits[name] = Split(tuple(tensors), groups)
        return splits

    def sha256(self) -> str:
        """Return the SHA-256 checksum of all pairs, independent of the splits."""
        return hashlib.sha256("\n".join("\t".join(pair) for pair in self.read_all()).encode()).hexdigest()

    def bucket_keys(self, split: Split) -> Tensor:
        """Return keys (N,) that order pairs by source length, then by target length."""
        return split.column(1) * 1_000 + split.column(3)


def parse_pairs(content: bytes, name: str) -> list[Pair]:
    """Return the unique pairs of a file of a pair a line, in its order.

    Raises:
        ValueError: If the file has no pairs or a line without a tab; the message begins with ``name``.
    """
    pairs: dict[Pair, None] = {}
    for number, line in enumerate(decode_utf8(content, name).splitlines(), 1):
        columns = line.split("\t")
        if len(columns) < 2:
            raise ValueError(f"{name}, line {number}: no tab, expected English, tab, French")
        pairs[columns[0].strip(), columns[1].strip()] = None
    if not pairs:
        raise ValueError(f"{name} is empty: expected a pair a line, English, tab, French")
    return list(pairs)


def normalize_sentence(sentence: str) -> str:
    """Return a sentence without case, spaces and punctuation, in Unicode NFKC."""
    return NON_ALPHANUMERIC.sub("", unicodedata.normalize("NFKC", sentence).casefold()) or sentence


def components(pairs: Sequence[Pair]) -> np.ndarray:
    """Return the index (N,) of the connected component of each pair; pairs that share a sentence are connected.

    Components are numbered in the order of their first pair.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    numbers: dict[tuple[int, str], int] = {}
    ends = np.array(
        [
            [numbers.setdefault((side, normalize_sentence(s)), len(numbers)) for side, s in enumerate(pair)]
            for pair in pairs
        ]
    )
    size = len(numbers)
    graph = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), (size, size))
    labels = connected_components(graph, directed=False)[1][ends[:, 0]]
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]
