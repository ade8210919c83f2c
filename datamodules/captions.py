"""Photographs and their captions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from datamodules.flickr8k import Flickr8kDataModule
from datamodules.images.blank import is_of_one_level
from datamodules.images.reading import read_image
from datamodules.registry import register_datamodule
from datamodules.splits import Split
from datamodules.text.base import adopt_tokenizer
from datamodules.text.captions import caption_words, read_captions
from datamodules.text.padding import truncate
from datamodules.text.vocabulary import END, PAD, START, Vocabulary, pad_sequences

CAPTIONS = 5
"""Number of captions of a photograph."""
_NAMES = ("Flickr8k.token.txt", "Flickr8k.token.txt.gz")
FILES = tuple(folder + name for folder in ("", "Flickr8k_text/") for name in _NAMES)
"""Places of the file of captions in the folder, the first that exists is read."""


@register_datamodule("flickr8k_captions")
class Flickr8kCaptionsDataModule(Flickr8kDataModule):
    """Flickr8k with the five captions of each photograph; photographs and splits are those of ``Flickr8kDataModule``.

    The folder holds the captions as well, ``Flickr8k.token.txt`` or ``Flickr8k.token.txt.gz``, also in a folder
    ``Flickr8k_text``. Captions of a photograph that no list names are ignored, such as those of the published file
    whose photograph does not exist.

    The vocabulary is that of the words in lower case, without punctuation, that the training captions have at least
    ``min_count`` times; any other word is encoded as unknown. A row is a photograph with its five captions, so that a
    network encodes it once for all of them: a batch is (images, captions), (N, 3, H, W) in [0, 1] and token ids (N, 5,
    T), int64, enclosed in start and end tokens and padded with 0. Training batches are bucketed by the longest caption
    of a photograph.

    Args:
        min_count: Smallest number of times that the training captions have a word of the vocabulary.
        max_length: Largest number of tokens of a caption with start and end; longer captions are truncated.
        **common: Arguments of ``Flickr8kDataModule``.

    Raises:
        FileNotFoundError: If photographs, lists or captions are missing.
        ValueError: If a photograph of the lists has not five captions.
    """

    learned = ("tokenizer", "vocab_size", "max_length")
    fixed_by_model = ("min_count", "max_length")

    def __init__(self, *, min_count: int = 5, max_length: int = 30, batch_size: int = 32, **common: Any) -> None:
        super().__init__(batch_size=batch_size, **common)
        if min_count < 1:
            raise ValueError(f"min_count must be at least 1, not {min_count}")
        if max_length < 3:
            raise ValueError(f"max_length must be at least 3, not {max_length}: both ends are tokens")
        self.min_count, self.max_length = min_count, max_length
        self._references: dict[str, list[list[str]]] | None = None
        self._vocabulary: Vocabulary | None = None

    def prepare_data(self) -> None:
        """Check that the files exist; they cannot be downloaded."""
        super().prepare_data()
        self._captions_file()

    def adopt_encoding(self, hparams: Mapping[str, Any]) -> bool:
        """Adopt the vocabulary and the largest number of tokens of a model that has a tokenizer."""
        return adopt_tokenizer(self, hparams)

    def strata(self, train: Split) -> Tensor:
        """Return one stratum for all photographs, which have no classes."""
        return torch.zeros(len(train.groups), dtype=torch.long)

    def _captions_file(self) -> Any:
        for name in FILES:
            if (self.folder / name).is_file():
                return self.folder / name
        raise FileNotFoundError(f"{self.folder / FILES[0]} is missing: the captions of the photographs, gzipped or not")

    def references(self, part: str) -> list[list[str]]:
        """Return the five captions of each photograph of a split, as they were written, in the order of its list."""
        if self._references is None:
            path = self._captions_file()
            known = read_captions(path)
            found = {split: [known.get(name, []) for name in names] for split, names in self.lists().items()}
            for split, names in self.lists().items():
                for name, captions in zip(names, found[split]):
                    if len(captions) != CAPTIONS:
                        raise ValueError(f"{path}: {name} has {len(captions)} captions, expected {CAPTIONS}")
            self._references = found
        return self._references[part]

    @property
    def vocabulary(self) -> Vocabulary:
        """Words of the training captions, learned once; those of a model if adopted."""
        if self._vocabulary is None:
            texts = chain.from_iterable(self.references("train"))
            counts = Counter(chain.from_iterable(map(caption_words, texts)))
            frequent = [word for word, count in counts.items() if count >= self.min_count]
            if not frequent:
                most = max(counts.values(), default=0)
                raise ValueError(
                    f"min_count={self.min_count}: the training captions have no word more than {most} times"
                )
            self._vocabulary = Vocabulary.of_words(frequent)
        return self._vocabulary

    @property
    def spec(self) -> dict[str, Any]:
        """Shape of the photographs, vocabulary as JSON, its size, largest number of tokens of a caption."""
        return {
            **super().spec,
            "tokenizer": self.vocabulary.json,
            "vocab_size": len(self.vocabulary),
            "max_length": self.max_length,
        }

    def load(self) -> dict[str, Split]:
        """Decode the photographs of the official splits and encode their captions."""
        splits = {}
        for name, split in super().load().items():
            texts = [" ".join(caption_words(text)) for text in chain.from_iterable(self.references(name))]
            rows = [[START, *ids, END] for ids in self.vocabulary.encode(texts)]
            ids, _ = pad_sequences(rows, self.max_length)
            captions = torch.from_numpy(ids).unflatten(0, (-1, CAPTIONS))
            splits[name] = split._replace(stored=(split.stored[0], captions))
        return splits

    def bucket_keys(self, split: Split) -> Tensor:
        """Return the number of tokens (N,) of the longest caption of each row."""
        return (split.column(1) != PAD).sum(2).amax(1)

    def decode_batch(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Convert pictures to natural units, truncate ids to the longest caption and convert them to int64."""
        x, ids = batch
        longest = int((ids != PAD).sum(2).max()) if len(ids) else 0
        return self.to_natural_units(x), truncate(ids, max(1, longest), 2).long()

    def read(self, source: str) -> Tensor:
        """Read an image of any size and mode, (1, 3, H, W); a model of captions resizes it.

        Raises:
            ValueError: If it cannot be read, or all its pixels are nearly equal.
        """
        image = read_image(source, "RGB")[None]
        if bool(is_of_one_level(image.transpose(0, 1)).all()):  # each channel
            raise ValueError(f"{source} is a picture of one colour, which shows nothing to describe")
        return image
