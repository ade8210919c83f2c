"""E-mails and their subject lines."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from datamodules.aeslc import AeslcSource, Mail, mail_key
from datamodules.learned import checksums
from datamodules.registry import register_datamodule
from datamodules.splits import Split
from datamodules.table_files import is_table_file
from datamodules.text.base import adopt_tokenizer
from datamodules.text.files import decode_text
from datamodules.text.mail_masks import MAIL_SYMBOLS, MailMasks, mail_masks_from_json
from datamodules.text.pairs import PairDataModule
from datamodules.text.vocabulary import END, START, Vocabulary, pad_sequences

LONGEST_TOKEN = 20
"""Characters a token from which on an e-mail is not encoded, since it is truncated. Set by hand."""


@register_datamodule("aeslc_subjects")
class AeslcSubjectsDataModule(AeslcSource, PairDataModule):
    """E-mails and their subject lines, see ``AeslcSource``.

    Addresses and numbers are replaced by symbols, see ``MailMasks``; those of a subject that are not in its e-mail are
    removed from it. E-mails and subjects are converted to lower case, so that words of the e-mail can be copied
    whatever their capitals are in the subject, and share one vocabulary of subwords. Replies and forwarded e-mails that
    are quoted belong to the e-mail.

    A batch is (src, src_len, tgt, tgt_len): ids (N, S) of e-mails and (N, T) of subjects, enclosed in start and end
    tokens and padded with 0, and their lengths (N,). Longer e-mails than ``max_length`` are truncated; e-mails with
    longer subjects than ``MailMasks.longest`` are dropped from training and those subjects truncated in other splits.

    Args:
        vocab_size: Size of the vocabulary.
        max_length: Largest number of tokens of an e-mail, including the start and end tokens.
        **common: Arguments of ``TensorDataModule``.
    """

    learned = ("tokenizer", "vocab_size", "max_length", "mail_masks")
    fixed_by_model = ("vocab_size", "max_length")

    def __init__(self, *, vocab_size: int = 5_000, max_length: int = 200, batch_size: int = 64, **common: Any) -> None:
        super().__init__(batch_size=batch_size, **common)
        if max_length < 3:
            raise ValueError(f"max_length must be at least 3, not {max_length}: both ends are tokens")
        if self.val_size:
            raise ValueError(f"val_size={self.val_size} does not fit: aeslc_subjects has a validation split of its own")
        self.vocab_size, self.max_length = vocab_size, max_length
        self._text_splits: dict[str, list[Mail]] | None = None
        self._vocabulary: Vocabulary | None = None
        self._mail_masks: MailMasks | None = None
        self._masked: dict[str, tuple[list[str], list[str]]] = {}

    def adopt_encoding(self, hparams: Mapping[str, Any]) -> bool:
        """Adopt the vocabulary, the largest number of tokens and the masks of a model that has a tokenizer."""
        stale = adopt_tokenizer(self, hparams)
        masks = hparams.get("mail_masks")
        if masks is not None and masks != getattr(self._mail_masks, "json", None):
            stale, self._mail_masks, self._masked = True, mail_masks_from_json(masks), {}
        return stale

    def read(self, source: str, column: str | None = None) -> list[str]:
        """Read a text file as one e-mail, the column of texts of a table, or the string itself as an e-mail.

        Args:
            source: Path of a file, or an e-mail.
            column: Name of the column of a table; ``text`` if None.

        Raises:
            ValueError: If a file is empty or cannot be read, a table has no such column, or a column is given for what
                is no table.
        """
        if column is not None or is_table_file(source) or not os.path.isfile(source):
            return super().read(source, column)
        content, _ = decode_text(Path(source).read_bytes(), source)
        if not content.strip():
            raise ValueError(f"{source} is empty: expected an e-mail")
        return [content]

    def text_splits(self) -> dict[str, list[Mail]]:
        """Return the e-mails of ``train``, ``val`` and ``test``, read once."""
        if self._text_splits is None:
            self._text_splits = self.read_all()
        return self._text_splits

    def sentences(self, part: str) -> tuple[list[str], list[str]]:
        """Return the e-mails and their subjects of a split, as they were written."""
        mails = self.text_splits()[part]
        return [mail.text for mail in mails], [mail.subject for mail in mails]

    @property
    def mail_masks(self) -> MailMasks:
        """Masks of e-mails, learned from the training subjects once; those of a model if adopted."""
        if self._mail_masks is None:
            self._mail_masks = MailMasks.learn(mail.subject for mail in self.text_splits()["train"])
        return self._mail_masks

    def masked(self, part: str) -> tuple[list[str], list[str]]:
        """Return the e-mails and the subjects of a split with symbols for addresses and numbers."""
        if part not in self._masked:
            texts, subjects = self.sentences(part)
            found = [self.mail_masks.mask(text) for text in texts]
            masked = [MailMasks.mask_subject(subject, each.values) for subject, each in zip(subjects, found)]
            self._masked[part] = [each.text for each in found], masked
        return self._masked[part]

    @property
    def vocabulary(self) -> Vocabulary:
        """Subwords of the training e-mails and their subjects; those of a model if adopted."""
        if self._vocabulary is None:
            texts, subjects = self.masked("train")
            self._vocabulary = Vocabulary.train(texts + subjects, self.vocab_size, lowercase=True, symbols=MAIL_SYMBOLS)
        return self._vocabulary

    @property
    def spec(self) -> dict[str, Any]:
        """Vocabulary and masks as JSON, size of the vocabulary, largest number of tokens."""
        return {
            "tokenizer": self.vocabulary.json,
            "vocab_size": len(self.vocabulary),
            "max_length": self.max_length,
            "mail_masks": self.mail_masks.json,
        }

    def load(self) -> dict[str, Split]:
        """Encode e-mails and subjects as token ids."""
        numbers: dict[str, int] = {}
        splits = {}
        for name, mails in self.text_splits().items():
            groups = np.array([numbers.setdefault(mail_key(mail), len(numbers)) for mail in mails])
            texts, subjects = self.masked(name)
            beginnings = [text[: LONGEST_TOKEN * self.max_length] for text in texts]
            src = [[START, *ids[: self.max_length - 2], END] for ids in self.vocabulary.encode(beginnings)]
            tgt = self.vocabulary.encode(subjects, ends=True)
            if name == "train":
                kept = [row for row, ids in enumerate(tgt) if 2 < len(ids) <= MailMasks.longest]
                src, tgt, groups = [src[row] for row in kept], [tgt[row] for row in kept], groups[kept]
            sides = ((src, self.max_length), (tgt, MailMasks.longest))
            tensors = [torch.from_numpy(part) for rows, longest in sides for part in pad_sequences(rows, longest)]
            splits[name] = Split(tuple(tensors), groups)
        return splits

    def row_keys(self, split: str) -> np.ndarray:
        """Return keys (N,), int64, of the e-mails of a split; equal e-mails have equal keys."""
        return checksums(mail.text.encode("utf-8", "surrogatepass") for mail in self.text_splits()[split])
