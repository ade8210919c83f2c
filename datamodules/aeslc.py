"""E-mails with subjects: the Annotated Enron Subject Line Corpus."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from datamodules.archives import ZipReader, unpack_gzip
from datamodules.base import TensorDataModule
from datamodules.download import fetch
from datamodules.loader import epoch_seed
from datamodules.registry import register_datamodule
from datamodules.splits import Split
from datamodules.text.files import decode_utf8
from datamodules.text.padding import truncate
from datamodules.text.private_patterns import SEPARATOR, SYMBOLS
from datamodules.text.private_words import PrivateWords, private_words_from_json
from datamodules.text.reading import TextReader
from datamodules.text.vocabulary import END, PAD, START, Vocabulary, vocabulary_from_json
from datamodules.tinyshakespeare import evaluation_rows

PARTS = {"train": "train", "dev": "val", "test": "test"}
"""Splits by the name of the file that holds them."""
SUBJECT, OTHER_SUBJECT = "\n\n@subject\n", "\n\n@ann"
"""What is between the parts of a file of the archive."""
DRAWS = 1_024
"""Number of draws of an epoch; each row takes one of them by its tokens. Set by hand."""


class Mail(NamedTuple):
    """An e-mail.

    Args:
        id: Identifier in the corpus.
        text: The body.
        subject: The subject line that its author wrote.
    """

    id: str
    text: str
    subject: str


class AeslcSource:
    """What datamodules of AESLC have in common: how its e-mails are read.

    The Annotated Enron Subject Line Corpus (Zhang & Tetreault, 2019, https://github.com/ryanzhumich/AESLC) has 14,436
    e-mails for training, 1,960 for validation and 1,906 for testing. It is licensed under CC BY-NC-SA 4.0, for
    non-commercial use, and holds names, numbers and addresses of real people.

    The folder ``aeslc`` has ``train.jsonl.gz``, ``dev.jsonl.gz`` and ``test.jsonl.gz``, with a JSON object a line of
    ``id``, ``body`` and ``subject``. Without them the archive of the repository is read, downloaded unless it exists.
    It has a file for each e-mail: the body, a line ``@subject``, the subject, and in some more subjects.
    """

    root: Path
    url = "https://github.com/ryanzhumich/AESLC/archive/refs/heads/master.zip"
    sha256_mails = {
        "train": "63ce9823d320c30480285a99353e0973d000146841746582621955bb180f9546",
        "dev": "ddb01537ed6d2491fea8eb750a6c5699982ee08982edfd6b8220c4cdb65b6f0f",
        "test": "416f2745a61983f6dbab347094387992e4b1957ab4ba4c33bc920fb766fa7208",
    }
    """Checksums of ``mails_sha256``."""
    sha256_files = {
        "train": "04df69ad3f8ed1e733f0eda540fb932a06d49c24e9332b08270ee3380cde1ccb",
        "dev": "7d71a2af04f50a33b60c4bc97a372f5fff03ebeb09c2fb579cced037fd3c3963",
        "test": "ae52409730c8cbddcdb2a32f15dcc13b457e3913f6ee38b68426dc284dbcd03d",
    }

    def prepare_data(self) -> None:
        """Download the archive if neither it nor the files exist."""
        self._source()

    def _source(self) -> Path:
        """Return the folder if it has all files, else the archive."""
        folder, archive = self.root / "aeslc", self.root / "aeslc.zip"
        if all((folder / f"{name}.jsonl.gz").is_file() for name in PARTS):
            return folder
        return archive if archive.is_file() else fetch([self.url], None, archive, self._check_archive)

    def read_all(self) -> dict[str, list[Mail]]:
        """Read the e-mails of ``train``, ``val`` and ``test`` in the order of the files.

        One whose body is in the test split too, up to case and white space, is dropped from the others, and one whose
        body is in the validation split from training.

        Raises:
            ValueError: If a file is not the published one.
        """
        found: dict[str, list[Mail]] = {}
        seen: set[str] = set()
        source = self._source()
        mails = self._read_folder(source) if source.is_dir() else self._read_archive(source)
        for name in reversed(PARTS):
            kept = [mail for mail in mails[name] if mail_key(mail) not in seen]
            seen.update(map(mail_key, kept))
            found[PARTS[name]] = kept
        return {part: found[part] for part in PARTS.values()}

    def _read_folder(self, folder: Path) -> dict[str, list[Mail]]:
        found = {}
        for name, known in self.sha256_files.items():
            path = folder / f"{name}.jsonl.gz"
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() != known:
                raise ValueError(f"{path}: wrong checksum, not the published {path.name}; delete it and try again")
            lines = decode_utf8(unpack_gzip(content, str(path)), str(path)).split("\n")
            rows: list[dict[str, Any]] = [json.loads(line) for line in lines if line]
            found[name] = [Mail(row["id"], row["body"], row["subject"]) for row in rows]
        return found

    def _check_archive(self, path: Path) -> None:
        self._read_archive(path)

    def _read_archive(self, path: Path) -> dict[str, list[Mail]]:
        found: dict[str, list[Mail]] = {name: [] for name in PARTS}
        with ZipReader(path) as archive:
            for member in sorted(info.filename for info in archive.members if info.filename.endswith(".subject")):
                name, file = member.split("/")[-2:] if "/" in member else ("", member)
                if name in found:
                    text = decode_utf8(archive.read(member), f"{path}: {member}").replace("\r\n", "\n")
                    body, _, rest = text.partition(SUBJECT)
                    subject = rest.partition(OTHER_SUBJECT)[0]
                    found[name].append(Mail(file.removesuffix(".subject"), body.strip(), subject.strip()))
        for name, known in self.sha256_mails.items():
            if mails_sha256(found[name]) != known:
                raise ValueError(f"{path}: wrong checksum of the e-mails of {name}, not the published AESLC")
        return found

    def sha256(self) -> str:
        """Return the SHA-256 checksum of all e-mails."""
        digest = hashlib.sha256()
        for part, mails in self.read_all().items():
            for mail in mails:
                digest.update(f"{part}\t{mail.id}\t{mail.subject}\t{mail.text}\n".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


def mails_sha256(mails: Sequence[Mail]) -> str:
    """Return the SHA-256 checksum of e-mails in the order of their identifiers."""
    digest = hashlib.sha256()
    for mail in sorted(mails):
        digest.update(f"{mail.id}\t{mail.subject}\t{mail.text}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def mail_key(mail: Mail) -> str:
    """Return what is equal for e-mails of the same body: the body without case and white space."""
    return "".join(mail.text.casefold().split())


@register_datamodule("aeslc")
class AeslcDataModule(AeslcSource, TextReader, TensorDataModule):
    """E-mails of AESLC for language models; see ``AeslcSource``.

    Names, numbers and addresses, and words that few training e-mails have, are replaced by symbols, see
    ``PrivateWords``. The vocabulary is subwords, symbols and ends of lines, learned from the training split alone. Of
    equal bodies in the training split one is kept.

    An e-mail is the sequence of tokens START, its subject, a separator, its body, END. The body and END are scored,
    after the others as context. The seed decides the order of the training rows and what they drop, not the splits.

    A batch is (ids, start): token ids (N, T), int64, padded with 0, and for each row the number (N,), int64, of leading
    tokens that are context and are not scored. An e-mail is one row, or several if it has more than ``length`` tokens
    to score; each further row begins with the last ``context`` tokens of the row before it. In training the rows of a
    random half of the e-mails, drawn anew in each epoch, are without the subject, so that a model needs none.

    Args:
        vocab_size: Largest size of the vocabulary.
        length: Largest number of scored tokens of a row.
        context: Largest number of context tokens of a row, at least 3; longer subjects are truncated.
        fewest: Smallest number of training e-mails that have a word which is not replaced.
        **common: Arguments of ``TensorDataModule``.
    """

    learned = ("tokenizer", "vocab_size", "private_words")
    fixed_by_model = ("vocab_size", "fewest")

    def __init__(
        self, *, vocab_size: int = 5_000, length: int = 128, context: int = 32, fewest: int = 5, **common: Any
    ) -> None:
        super().__init__(**common)
        if length < 1 or context < 3:
            raise ValueError(f"length must be at least 1 and context at least 3, not {length} and {context}")
        if fewest < 1:
            raise ValueError(f"fewest must be at least 1, not {fewest}")
        if self.val_size:
            raise ValueError(f"val_size={self.val_size} does not fit: aeslc has a validation split of its own")
        self.vocab_size, self.length, self.context, self.fewest = vocab_size, length, context, fewest
        self._mails: dict[str, list[Mail]] | None = None
        self._text_splits: dict[str, list[Mail]] | None = None
        self._private_words: PrivateWords | None = None
        self._vocabulary: Vocabulary | None = None

    def adopt_encoding(self, hparams: Mapping[str, Any]) -> bool:
        """Adopt the vocabulary and the private words of a model that has a tokenizer."""
        known = hparams.get("tokenizer"), hparams.get("private_words")
        if None in known or known == (
            getattr(self._vocabulary, "json", None),
            getattr(self._private_words, "json", None),
        ):
            return False
        self._vocabulary, self._private_words = vocabulary_from_json(known[0]), private_words_from_json(known[1])
        self._text_splits = None
        return True

    def mails(self) -> dict[str, list[Mail]]:
        """Return the e-mails of ``train``, ``val`` and ``test`` as they were written, read once."""
        if self._mails is None:
            found = self.read_all()
            self._mails = {**found, "train": list({mail_key(mail): mail for mail in found["train"]}.values())}
        return self._mails

    def text_splits(self) -> dict[str, list[Mail]]:
        """Return the e-mails of ``train``, ``val`` and ``test`` with symbols for what is private, masked once."""
        if self._text_splits is None:
            mask = self.private_words.mask
            self._text_splits = {
                part: [Mail(mail.id, mask(mail.text), mask(mail.subject)) for mail in mails]
                for part, mails in self.mails().items()
            }
        return self._text_splits

    @property
    def private_words(self) -> PrivateWords:
        """What is replaced by symbols, learned from the training split once; that of a model if adopted."""
        if self._private_words is None:
            self._private_words = PrivateWords.learn([mail.text for mail in self.mails()["train"]], self.fewest)
        return self._private_words

    @property
    def vocabulary(self) -> Vocabulary:
        """Subwords of the training split, learned once; the vocabulary of a model if adopted."""
        if self._vocabulary is None:
            texts = [text for mail in self.text_splits()["train"] for text in (mail.text, mail.subject)]
            self._vocabulary = Vocabulary.train(texts, self.vocab_size, symbols=SYMBOLS, at_most=True)
        return self._vocabulary

    @property
    def spec(self) -> dict[str, Any]:
        """Vocabulary and private words as JSON, and the size of the vocabulary."""
        return {
            "tokenizer": self.vocabulary.json,
            "vocab_size": len(self.vocabulary),
            "private_words": self.private_words.json,
        }

    def _encoded(self, part: str) -> tuple[list[np.ndarray], np.ndarray]:
        mails = self.text_splits()[part]
        bodies = self.vocabulary.encode([mail.text for mail in mails])
        subjects = [ids[: self.context - 2] for ids in self.vocabulary.encode([mail.subject for mail in mails])]
        (separator,) = self.vocabulary.ids_of([SEPARATOR])
        rows = [np.array([START, *subject, separator, *body, END], np.int64) for subject, body in zip(subjects, bodies)]
        return rows, np.array([len(subject) + 2 for subject in subjects])

    def sequences(self, part: str) -> list[np.ndarray]:
        """Return the token ids (T,), int64, of each e-mail of a split: START, subject, separator, body, END."""
        return self._encoded(part)[0]

    def contexts(self, part: str) -> np.ndarray:
        """Return the number (N,), int64, of leading tokens of each e-mail of a split that are not scored."""
        return self._encoded(part)[1]

    def words(self, part: str) -> int:
        """Return the number of words, divided at white space, of the bodies of a split as they are shown."""
        return sum(len(self.private_words.show(mail.text).split()) for mail in self.text_splits()[part])

    def load(self) -> dict[str, Split]:
        """Encode the splits as rows of token ids."""
        splits: dict[str, Split] = {}
        numbers: dict[str, int] = {}
        for part in self.text_splits():
            ids, starts, groups = [], [], []
            for mail, tokens, unscored in zip(self.mails()[part], *self._encoded(part)):
                number = numbers.setdefault(mail_key(mail), len(numbers))
                rows, start = evaluation_rows(torch.from_numpy(tokens), self.length, self.context, int(unscored))
                ids.append(rows.to(torch.int16))
                starts.append(start)
                groups += [number] * len(rows)
            splits[part] = Split((torch.cat(ids), torch.cat(starts)), np.array(groups))
        return splits

    def bucket_keys(self, split: Split) -> Tensor:
        """Return the number of tokens (N,) of each row."""
        return (split.column(0) != PAD).sum(1)

    def decode_batch(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Convert ids to int64 and truncate them to the longest row."""
        ids, start = batch
        used = (ids != PAD).any(0).sum()
        return truncate(ids, used).long(), start

    def _convert(self, batch: tuple[Tensor, ...], dtype: torch.dtype, augment: bool) -> tuple[Tensor, ...]:
        ids, start = self.decode_batch(tuple(batch))
        trainer: Any = self._running
        # With several batches a step each is converted within the step, and overfit_batches promises the same in all.
        if trainer is None or not trainer.training or trainer.overfit_batches:
            return ids, start
        draws = torch.Generator().manual_seed(epoch_seed(self.seed, trainer.current_epoch))
        is_dropped = (torch.rand(DRAWS, generator=draws) < 0.5).to(ids.device)
        return without_contexts(ids, start, is_dropped[ids.sum(1) % DRAWS])


def without_contexts(ids: Tensor, start: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Drop the subjects of e-mails.

    Args:
        ids: Token ids (N, T), int64, padded with 0.
        start: Number (N,) of leading tokens that are not scored.
        rows: Whether the subject is dropped (N,), bool. A row that does not begin with START has none.

    Returns:
        The ids, of which START and the separator are kept, and the numbers, with 2 for each row without its subject.
    """
    dropped = rows & (ids[:, 0] == START)
    places = torch.arange(ids.shape[1], device=ids.device)
    source = places + torch.where(dropped, start - 2, 0)[:, None] * (places > 0)
    moved = ids.gather(1, source.clamp_max(ids.shape[1] - 1)).masked_fill(source >= ids.shape[1], PAD)
    return moved, torch.where(dropped, 2, start)
