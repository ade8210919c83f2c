"""What several test files share: a quiet trainer, and small data that fit any registered model."""

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import lightning as L
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from datamodules import ImageDataModule
from datamodules.splits import Split
from zoo.tasks import BeatAnnotator, Translator
from zoo.tasks.ecg_annotation import RHYTHM, beat_inputs

torch.set_num_threads(1)
for name in ("lightning.pytorch", "lightning.fabric"):
    logging.getLogger(name).setLevel(logging.ERROR)

ROOT = Path(__file__).parent.parent


class TinyData(ImageDataModule):
    """One noisy pattern a class, of any shape; a hyperplane can tell them apart.

    With ``shuffled`` every label is drawn without a look at its row, so that there is nothing to learn.
    """

    name = "tiny"

    def __init__(self, shape, classes, n=20, n_val=20, noise=0.1, shuffled=False, **common):
        super().__init__(**common)
        self.args = shape, classes, n, n_val, noise, shuffled

    def load(self):
        shape, classes, n, n_val, noise, shuffled = self.args
        draw = torch.Generator().manual_seed(0)
        patterns = torch.rand(classes, *shape, generator=draw)
        if len(shape) == 3:  # in patches, as in pictures: an average over the whole must not lose them
            patterns = F.interpolate(patterns[..., :4, :4], shape[1:])
        splits = {}
        for split, size in {"train": n, "val": n_val, "test": n_val}.items():
            y = torch.arange(size) % classes
            x = (1 - noise) * patterns[y] + noise * torch.rand(size, *shape, generator=draw)
            y = y[torch.randperm(size, generator=draw)] if shuffled else y
            splits[split] = Split((x, y), np.arange(size))
        return splits


class TinyTexts(TinyData):
    """Made-up texts of token ids, of several lengths: each class has words of its own among common ones."""

    def load(self):
        vocabulary, classes, n, n_val, noise, shuffled = self.args
        draw = torch.Generator().manual_seed(0)
        splits = {}
        for split, size in {"train": n, "val": n_val, "test": n_val}.items():
            y = torch.arange(size) % classes
            own = 4 + 3 * y[:, None] + torch.randint(3, (size, 9), generator=draw)
            common = torch.randint(4 + 3 * classes, vocabulary, (size, 9), generator=draw)
            x = torch.where(torch.rand(size, 9, generator=draw) < noise + 0.3, common, own)
            lengths = torch.randint(5, 10, (size,), generator=draw)
            x = x.masked_fill(torch.arange(9) >= lengths[:, None], 0)
            y = y[torch.randperm(size, generator=draw)] if shuffled else y
            splits[split] = Split((x, y), np.arange(size))
        return splits

    def to_natural_units(self, x):
        return x


class TinyPairs(TinyData):
    """Made-up sentences and their translations: the same words in the opposite order, other ids, several lengths."""

    def load(self):
        vocabulary, _, n, n_val, *_ = self.args
        draw = torch.Generator().manual_seed(0)
        half = (vocabulary - 4) // 2
        splits = {}
        for split, size in {"train": n, "val": n_val, "test": n_val}.items():
            lengths = torch.randint(2, 7, (size,), generator=draw)
            src, tgt = torch.zeros(size, 8, dtype=torch.long), torch.zeros(size, 8, dtype=torch.long)
            for row, length in enumerate(lengths.tolist()):
                words = 4 + torch.randint(half, (length,), generator=draw)
                src[row, : length + 2] = torch.cat([torch.tensor([2]), words, torch.tensor([3])])
                tgt[row, : length + 2] = torch.cat([torch.tensor([2]), words.flip(0) + half, torch.tensor([3])])
            splits[split] = Split((src, lengths + 2, tgt, lengths + 2), np.arange(size))
        return splits

    def decode_batch(self, batch):
        return batch


class TinyBeats(TinyData):
    """Made-up beats: a wave of its own for each class, and a rhythm that tells nothing."""

    def load(self):
        splits, leads = {}, self.args[0][0]
        for name, split in super().load().items():
            x, y = split.tensors
            draw = torch.Generator().manual_seed(len(name))
            rr = torch.rand(len(x), 18, generator=draw) + 0.5
            template = x.mean(0).expand_as(x).clone()
            splits[name] = Split(
                (
                    x,
                    y,
                    rr,
                    torch.rand(len(x), RHYTHM, generator=draw),
                    torch.ones(len(x), leads),
                    template,
                    torch.rand(len(x), 4, *x.shape[1:], generator=draw),
                    y + 100,
                ),
                split.groups,
            )
        return splits

    def decode_batch(self, batch):
        return batch


def tiny_data(model, **args):
    """Return data in the shape of a model. A new task, whose batches look otherwise, adds its own here."""
    shape, classes = getattr(model, "sample_shape", model.input_shape), model.hparams.get("num_classes", 10)
    if isinstance(model, Translator):
        return TinyPairs(model.hparams["vocab_size"], classes, **{"batch_size": 20, **args})
    if isinstance(model, BeatAnnotator):
        return TinyBeats((2, 256), classes, **{"batch_size": 20, **args})
    if "vocab_size" in model.hparams:
        return TinyTexts(model.hparams["vocab_size"], classes, **{"batch_size": 20, **args})
    return TinyData(tuple(shape), classes, **{"batch_size": 20, **args})


def tiny_batch(model, **args):
    data = tiny_data(model, **args)
    data.setup()
    return data.splits["train"].tensors


def tiny_inputs(model, **args):
    """Return what the network sees of a batch, a tuple: an autoencoder may see its samples in another form."""
    x, *rest = tiny_batch(model, **args)
    if isinstance(model, Translator):
        return x, rest[1]
    if isinstance(model, BeatAnnotator):
        return tuple(model.network_inputs(beat_inputs((x, *rest))).values())
    if not x.is_floating_point() or tuple(x.shape[1:]) == tuple(model.input_shape):
        return (x,)
    return (model.corrupt(x, torch.Generator().manual_seed(0)),)


def quiet_trainer(**settings):
    silent = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    defaults = {"accelerator": "cpu", "num_sanity_val_steps": 0, **dict.fromkeys(silent, False)}
    return L.Trainer(**{**defaults, **settings})


def state(model):
    return {name: value.detach().clone() for name, value in model.net.state_dict().items()}


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), f"{name} differs by {(value - other[name]).abs().max()}"


def run_python(*arguments, cwd=None, timeout=120, **environment):
    """Run a Python process in which the packages of this checkout can be imported."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, paths)), **environment}
    command = [sys.executable, *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    with subprocess.Popen(command, cwd=cwd, env={**os.environ, **environment}, **pipes) as process:
        try:
            output, errors = process.communicate(timeout=timeout)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)  # with the processes that it started
            raise
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


@pytest.fixture(autouse=True)
def seeded():
    L.seed_everything(0, verbose=False)
