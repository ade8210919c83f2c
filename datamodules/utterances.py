"""Utterances with intents and slots: ATIS and SNIPS."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from datamodules.base import TensorDataModule
from datamodules.download import fetch
from datamodules.learned import checksums, listed
from datamodules.registry import register_datamodule
from datamodules.splits import Split
from datamodules.text.files import decode_utf8
from datamodules.text.padding import truncate
from datamodules.text.reading import TextReader
from datamodules.text.vocabulary import PAD
from datamodules.text.words import FIRST, WordVocabulary

URL = "https://raw.githubusercontent.com/MiuLab/SlotGated-SLU/master/data"
PARTS = {"train": "train", "val": "valid", "test": "test"}
"""Folder of each split."""
FILES = ("seq.in", "seq.out", "label")
"""Files of a split: words, tags and intents, one utterance a line."""


class Utterance(NamedTuple):
    """Words of an utterance, the tag of each, and the intent."""

    words: list[str]
    tags: list[str]
    intent: str


class UtteranceDataModule(TextReader, TensorDataModule):
    """Base class of the datamodules of utterances with an intent and slots.

    The files are those of Goo et al. (2018). Each word has a BIO tag: ``B-<slot>`` for the first word of a slot,
    ``I-<slot>`` for the others, ``O`` outside. The splits are the official ones, but that they are disjoint by
    utterance: training utterances that stand in the validation or the test split too, and validation utterances that
    stand in the test split, are dropped. The test split is complete.

    A batch is (words, characters, tags, intents): ids of the words (N, T) and of their characters (N, T, C), the number
    of each tag, from 1 on, (N, T), and the number of the intent, from 0 on, (N,), all int64 and padded with 0. The
    vocabulary and the alphabet are learned from the training split alone, see ``WordVocabulary``. Tags and intents are
    those of all files; an intent of several labels, such as ``atis_flight#atis_airline``, is one of its own.

    Args:
        min_count: Smallest number of times that a word occurs in training; rarer ones are unknown.
        **common: Arguments of ``TensorDataModule``; ``val_size`` is 0.
    """

    learned = ("words", "characters", "tags", "intents", "vocab_size", "num_characters", "num_tags", "num_intents")
    fixed_by_model = ("min_count",)
    sha256_files: ClassVar[dict[str, str]] = {}
    """Checksum of each file, by its path in the folder."""

    def __init__(self, *, min_count: int = 2, **common: Any) -> None:
        super().__init__(**common)
        if min_count < 1:
            raise ValueError(f"min_count must be at least 1, not {min_count}")
        if self.val_size:
            raise ValueError(f"val_size={self.val_size} does not fit: {self.name} has a validation split of its own")
        self.min_count = min_count
        self._utterances: dict[str, list[Utterance]] | None = None
        self._vocabulary: WordVocabulary | None = None
        self._labels: tuple[list[str], list[str]] | None = None

    def prepare_data(self) -> None:
        """Download the files that do not exist."""
        for name in self.sha256_files:
            self._path(name)

    def _path(self, name: str) -> Path:
        path = self.root / self.name / name
        # What exists is not downloaded again, whatever its checksum is: it may be a user's own.
        if path.is_file():
            return path
        return fetch([f"{URL}/{self.name}/{name}"], f"sha256:{self.sha256_files[name]}", path)

    def _lines(self, name: str) -> list[str]:
        path = self._path(name)
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != self.sha256_files[name]:
            raise ValueError(f"{path}: wrong checksum, not the published {name}; delete it and try again")
        return decode_utf8(content, str(path)).removesuffix("\n").split("\n")

    def read_all(self) -> dict[str, list[Utterance]]:
        """Read the utterances of ``train``, ``val`` and ``test`` as they are published."""
        found = {}
        for split, folder in PARTS.items():
            words, tags, intents = (self._lines(f"{folder}/{name}") for name in FILES)
            if not len(words) == len(tags) == len(intents):
                raise ValueError(f"{self.name}/{folder}: {len(words)}, {len(tags)} and {len(intents)} lines")
            found[split] = [Utterance(w.split(), t.split(), i.strip()) for w, t, i in zip(words, tags, intents)]
            for number, row in enumerate(found[split], 1):
                if not row.words or len(row.words) != len(row.tags):
                    where = f"{self.name}/{folder}, line {number}"
                    raise ValueError(f"{where}: {len(row.words)} words and {len(row.tags)} tags, expected a tag a word")
        return found

    def utterances(self) -> dict[str, list[Utterance]]:
        """Return the utterances of ``train``, ``val`` and ``test``, disjoint, read once."""
        if self._utterances is None:
            rows, kept, seen = self.read_all(), {}, set()
            for split in ("test", "val", "train"):
                kept[split] = [row for row in rows[split] if tuple(row.words) not in seen]
                seen |= {tuple(row.words) for row in kept[split]}
            self._utterances = {split: kept[split] for split in PARTS}
            if self._labels is None:
                every = [row for part in rows.values() for row in part]
                tags = sorted({tag for row in every for tag in row.tags} - {"O"}, key=lambda tag: (tag[2:], tag))
                self._labels = ["O", *tags], sorted({row.intent for row in every})
        return self._utterances

    @property
    def vocabulary(self) -> WordVocabulary:
        """Words and characters, learned from the training split once; those of a model if adopted."""
        if self._vocabulary is None:
            rows = self.utterances()["train"]
            self._vocabulary = WordVocabulary.learn((row.words for row in rows), self.min_count)
        return self._vocabulary

    @property
    def labels(self) -> tuple[list[str], list[str]]:
        """Tags and intents, in the order of their numbers."""
        if self._labels is None:
            self.utterances()
        assert self._labels is not None
        return self._labels

    @property
    def spec(self) -> dict[str, Any]:
        """Words, characters, tags and intents, and their numbers; padding and unknown count as words and characters."""
        (tags, intents), vocabulary = self.labels, self.vocabulary
        return {
            "words": vocabulary.words,
            "characters": vocabulary.characters,
            "tags": tags,
            "intents": intents,
            "vocab_size": len(vocabulary.words) + FIRST,
            "num_characters": len(vocabulary.characters) + FIRST,
            "num_tags": len(tags),
            "num_intents": len(intents),
        }

    def adopt_encoding(self, hparams: Mapping[str, Any]) -> bool:
        """Adopt the words and characters of a tagger that has them, and its tags and intents if both are given."""
        known = [hparams.get(name) for name in ("words", "characters", "tags", "intents")]
        words, characters, tags, intents = (list(each or ()) for each in known)
        if any(each is None for each in known[:2]):
            return False
        labels = self._labels if any(each is None for each in known) else (tags, intents)
        before = (self._vocabulary.words, self._vocabulary.characters) if self._vocabulary else None
        stale = before != (words, characters) or self._labels != labels
        self._vocabulary, self._labels = WordVocabulary(words, characters), labels
        return stale

    def load(self) -> dict[str, Split]:
        """Encode the utterances.

        Raises:
            ValueError: If an adopted model does not know a tag or an intent.
        """
        splits: dict[str, Split] = {}
        groups: dict[tuple[str, ...], int] = {}
        (tags, intents), parts = self.labels, self.utterances()
        tag_numbers = {tag: number for number, tag in enumerate(tags, 1)}
        intent_numbers = {intent: number for number, intent in enumerate(intents)}
        for split, rows in parts.items():
            for kind, known, own in (
                ("tags", tag_numbers, sorted({tag for row in rows for tag in row.tags})),
                ("intents", intent_numbers, sorted({row.intent for row in rows})),
            ):
                other = [each for each in own if each not in known]
                if other:
                    raise ValueError(f"{self.name}: the model does not know the {kind} {listed(other)}")
            words, characters = self.vocabulary.encode([row.words for row in rows])
            numbers = torch.zeros_like(words)
            for place, row in enumerate(rows):
                numbers[place, : len(row.tags)] = torch.tensor([tag_numbers[tag] for tag in row.tags])
            labels = torch.tensor([intent_numbers[row.intent] for row in rows])
            members = np.array([groups.setdefault(tuple(row.words), len(groups)) for row in rows])
            splits[split] = Split((words.int(), characters.short(), numbers.short(), labels), members)
        return splits

    def sha256(self) -> str:
        """Return the SHA-256 checksum of all utterances, tags and intents as they are published."""
        digest = hashlib.sha256()
        for split, rows in sorted(self.read_all().items()):
            for row in rows:
                digest.update(f"{split}\t{row.intent}\t{' '.join(row.words)}\t{' '.join(row.tags)}\n".encode())
        return digest.hexdigest()

    def row_keys(self, split: str) -> np.ndarray:
        """Return keys (N,), int64, of the utterances of a split; equal ones have equal keys."""
        return checksums(" ".join(row.words).encode() for row in self.utterances()[split])

    def bucket_keys(self, split: Split) -> Tensor:
        """Return the number of words (N,) of each row."""
        return (split.column(0) != PAD).sum(1)

    def decode_batch(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Truncate a batch to its longest utterance and its longest word, and convert it to int64."""
        words, characters, tags, intents = batch
        longest = max(1, int((words != PAD).sum(1).max()))
        words, characters, tags = (truncate(part, longest) for part in (words, characters, tags))
        widest = max(1, int((characters != PAD).sum(2).max()))
        return words.long(), truncate(characters, widest, 2).long(), tags.long(), intents


@register_datamodule("atis")
class ATISDataModule(UtteranceDataModule):
    """ATIS (Hemphill, Godfrey & Doddington, 1990): spoken questions on flights, with an intent and slots.

    Of the 4,478 training and 500 validation utterances 4,395 and 497 are kept: the others stand in a later split too,
    as 13 of the 893 test utterances do. There are 127 tags and 26 intents; eight tags and five intents are in no
    training utterance.

    Args:
        **settings: Arguments of ``UtteranceDataModule`` and ``TensorDataModule``.
    """

    sha256_files: ClassVar[dict[str, str]] = {
        "train/seq.in": "3a670980841b21ab39088b2595efc17d487cdc45769c075a3e5f9458bba28c7f",
        "train/seq.out": "14c7131bd66562f797dbd7189bc7358f0cf354c6afb0785a9ab973c35b58f34c",
        "train/label": "d0a771547665eecbdf9f96ea015ef07d1f6ee9f063e861020dafabb3c2a04377",
        "valid/seq.in": "c7435b96e7948393608c34819628e863c5338f11ca68e8f896d2cc041d8e17f8",
        "valid/seq.out": "83ccff3e36f83a993f8e5b5b82adf3256076f234abda4d784051381d7ac76922",
        "valid/label": "06957cfe6fdffac84f8280bc3a1f8ca85c85631b363817aa4543aac611f8addf",
        "test/seq.in": "4b2119fc59c37f9398c6605db435d4f467505009e6ee3e5af04fed09f39dc397",
        "test/seq.out": "a4690d6bceadc06876d1ff99bc401744aa981cb321e598ae12a3859d7be53254",
        "test/label": "ce4bfe6590d9498e1078f30b4137d3e8b3e94277b444b26360c0bf2e9e282761",
    }

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)


@register_datamodule("snips")
class SNIPSDataModule(UtteranceDataModule):
    """SNIPS (Coucke et al., 2018): requests to a voice assistant on seven matters, with an intent and slots.

    Of the 13,084 training and 700 validation utterances 13,003 and 699 are kept: the others stand in a later split too,
    as 26 of the 700 test utterances do. There are 72 tags and 7 intents. Many slots are names of people, songs and
    places that no training utterance has.

    Args:
        **settings: Arguments of ``UtteranceDataModule`` and ``TensorDataModule``.
    """

    sha256_files: ClassVar[dict[str, str]] = {
        "train/seq.in": "04ad1e3f2121d83c6478f9a4b17d2dbdc21d06d6127f73cb7af835ed733f9855",
        "train/seq.out": "fd5f2121d8055827e5d6b3d3bac30f3d7e94e82a5d437751960cbdd9e1b4f6d3",
        "train/label": "bfd7df6cf9dd76c5da5d8b61bc85f90386197bdd3d7510c1d324c051537b962f",
        "valid/seq.in": "64e0f6d8ad8aab3a3828164d7d53731a0993d3ca1aed437ceaca6d3d568d410e",
        "valid/seq.out": "712e6d34feb8d52d208b820a5f8bae6e6ff990f08374507dfde22de389088319",
        "valid/label": "9c1dd041216f647bcfca838aaf1a48eb5781e4404256d31ff07cd38a5436c52f",
        "test/seq.in": "c1e341173fcea2951a8ca371956a6f81c76de87b9583c62eb87edd6158fa3a7c",
        "test/seq.out": "58c07c9097d5e1f78889765c2a535a160f6455b90b3142055c8051847afcca47",
        "test/label": "37a26da3ad079bb41c42c85a3a8f827eb47efec4c5917ce5d08f4b2736e4f830",
    }

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
