"""On a GPU, batches of sequences come in few shapes: lengths are rounded up, and nothing but padding is added."""

import pytest
import torch
from conftest import need_files
from marks import slowly
from small_texts import TEXTS, small_text, write_texts

import datamodules
from datamodules.text import padding

CAPTIONS = "flickr8k_captions"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_texts(tmp_path_factory.mktemp("files"))


def make(name, files):
    if name == CAPTIONS:
        return need_files(datamodules.create_datamodule(name, batch_size=8, image_size=8))
    return small_text(name, files, batch_size=8)


def test_every_datamodule_of_sequences_is_tried():
    names = [n for n in datamodules.list_datamodules() if has_buckets(datamodules.registry.find_datamodule(n))]
    assert set(names) <= {*TEXTS, CAPTIONS}, "no made-up files of one of them"


def has_buckets(cls):
    return cls.bucket_keys is not datamodules.base.TensorDataModule.bucket_keys


@pytest.mark.parametrize("name", slowly([*TEXTS, CAPTIONS], CAPTIONS))
def test_lengths_are_rounded_up(name, files, monkeypatch):
    data = make(name, files)
    data.setup()
    stored = data.splits["train"].stored
    limits = {size for part in stored for size in part.shape[1:]}
    batches = [batch for batch, _ in zip(data.train_dataloader(), range(30), strict=False)]
    exact = [data.decode_batch(tuple(batch)) for batch in batches]
    monkeypatch.setattr(padding, "ROUNDED_ON", ("cpu",))
    rounded = [data.decode_batch(tuple(batch)) for batch in batches]
    assert len({shapes(batch) for batch in rounded}) <= len({shapes(batch) for batch in exact})
    for one, other in zip(exact, rounded, strict=True):
        for part, longer in zip(one, other, strict=True):
            assert part.dtype == longer.dtype
            inside = longer[tuple(slice(size) for size in part.shape)]
            assert torch.equal(part, inside)
            assert longer.count_nonzero() == part.count_nonzero()
            for size, wider in zip(part.shape, longer.shape, strict=True):
                assert size <= wider < size + padding.MULTIPLE
                assert wider == size or wider % padding.MULTIPLE == 0 or wider in limits


def shapes(batch):
    return tuple(part.shape for part in batch)
