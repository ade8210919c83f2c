"""What the tests know of each task: tiny data that any of its models takes, and when a model has learned them.

A new task adds one class here and one line in ``ADAPTERS``.
"""

import numpy as np
import torch
import torch.nn.functional as F

from datamodules import ImageDataModule
from datamodules.splits import Split
from zoo.tasks import (
    Autoencoder,
    BeatAutoencoder,
    BeatClassifier,
    Captioner,
    Classifier,
    ClassifierOrRegressor,
    LanguageModel,
    Tagger,
    TextClassifier,
    Translator,
)
from zoo.tasks.ecg_annotation import RHYTHM, beat_inputs


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


class TinyCaptions(TinyData):
    """Made-up pictures with three captions each: the pattern of a picture gives their words, the caption their order.

    As in the published data, no two captions of a picture are the same, and they have several lengths.
    """

    def load(self):
        vocabulary, shape, patterns, *_ = self.args[0]
        classes = min(patterns, self.args[1])
        self.args = (shape, classes, *self.args[2:])
        splits = super().load()
        for name, split in splits.items():
            x, y = split.tensors
            words = 4 + (3 * y[:, None] + torch.arange(3)) % (vocabulary - 5)
            captions = torch.zeros(len(y), 3, 6, dtype=torch.long)
            for k, order in enumerate(([0, 1, 2], [1, 2], [2])):
                captions[:, k, 0], captions[:, k, len(order) + 1] = 2, 3
                captions[:, k, 1 : len(order) + 1] = words[:, order]
            splits[name] = split._replace(stored=(x, captions))
        return splits

    def strata(self, train):
        return torch.zeros(len(train.groups))

    def decode_batch(self, batch):
        return batch


class TinyRows(TinyData):
    """Made-up rows of a text, of several lengths and contexts: each token but the first follows from the one before."""

    def load(self):
        vocabulary, _, n, n_val, *_ = self.args
        draw = torch.Generator().manual_seed(0)
        splits = {}
        for split, size in {"train": n, "val": n_val, "test": n_val}.items():
            first = torch.arange(size) % min(10, vocabulary - 5)
            x = 4 + (first[:, None] + torch.arange(9)) % min(10, vocabulary - 5)
            lengths = torch.randint(5, 10, (size,), generator=draw)
            x = x.masked_fill(torch.arange(9) >= lengths[:, None], 0)
            splits[split] = Split((x, torch.randint(1, 4, (size,), generator=draw)), np.arange(size))
        return splits

    def decode_batch(self, batch):
        return batch


class TinyUtterances(TinyData):
    """Made-up utterances: the number of a word is spelt by its characters and gives its tag; one word gives the intent.

    Every third word begins a slot of one of five kinds, which a following word of the same third continues.
    """

    def load(self):
        (vocabulary, _, tags, intents), _, n, n_val, _, shuffled = self.args
        draw = torch.Generator().manual_seed(0)
        kinds, splits = max(1, min(5, (tags - 1) // 2)), {}
        for split, size in {"train": n, "val": n_val, "test": n_val}.items():
            lengths = torch.randint(3, 8, (size,), generator=draw)
            mask = torch.arange(7) < lengths[:, None]
            words = (2 + torch.randint(min(vocabulary - 3, 90), (size, 7), generator=draw)).masked_fill(~mask, 0)
            y = torch.arange(size) % min(intents, 10)
            words[:, 0] = 92 + y
            characters = torch.stack([2 + words // 10, 2 + words % 10], 2) * mask[:, :, None]
            kind, slot = words // 3 % kinds, (words % 3 == 0) & mask
            before = torch.cat([torch.full((size, 1), -1), torch.where(slot, kind, -1)[:, :-1]], 1)
            labels = torch.where(slot, 2 + 2 * kind + (kind == before), 1) * mask
            y = y[torch.randperm(size, generator=draw)] if shuffled else y
            splits[split] = Split((words, characters, labels, y), np.arange(size))
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


class Adapter:
    """What any task has; the batches are (x, ...)."""

    classifies = False
    overfitting_epochs = 300
    """Epochs after which a model must know one batch by heart; what is corrupted or drawn anew takes long."""
    tiny = TinyData

    def shape(self, model):
        """Return the first argument of the tiny data."""
        return tuple(model.input_shape)

    def data(self, model, **args):
        """Return tiny data in the form of a model."""
        classes = model.hparams.get("num_classes", 10)
        return self.tiny(self.shape(model), classes, **{"batch_size": 20, **args})

    def inputs(self, model, batch):
        """Return what the network sees of a batch, a tuple."""
        return (batch[0],)

    def has_overfitted(self, model, batch):
        """Say whether a model in evaluation knows a batch by heart."""
        raise NotImplementedError

    def answer(self, model, example):
        """Return what a model makes of its ``example_input_array``."""
        return model(**example) if isinstance(example, dict) else model(example)

    def answer_shape(self, model, example):
        """Return the shape that ``answer`` must have."""
        raise NotImplementedError


class ClassifierAdapter(Adapter):
    classifies = True
    overfitting_epochs = 80

    def has_overfitted(self, model, batch):
        y, scores = batch[1], model(*self.inputs(model, batch))
        right = (scores.argmax(1) == y).all()
        return bool(right and model.loss(scores, y) < 0.2)  # a guess costs log 10 = 2.3

    def answer_shape(self, model, example):
        return (1, model.hparams["num_classes"])


class TextClassifierAdapter(ClassifierAdapter):
    tiny = TinyTexts

    def shape(self, model):
        return model.hparams["vocab_size"]


class TranslatorAdapter(Adapter):
    tiny = TinyPairs

    def shape(self, model):
        return model.hparams["vocab_size"]

    def inputs(self, model, batch):
        return batch[0], batch[2]

    def has_overfitted(self, model, batch):
        return bool(model.step(batch)["accuracy"].mean() > 0.95)

    def answer_shape(self, model, example):
        return (*example["tgt"].shape, model.hparams["vocab_size"])


class CaptionerAdapter(Adapter):
    tiny = TinyCaptions
    overfitting_epochs = 80

    def shape(self, model):
        # The network takes pictures of any size, and those of its own take the tests long.
        return model.hparams["vocab_size"], (model.input_shape[0], 32, 32), 10

    def inputs(self, model, batch):
        return batch[0], batch[1]

    def has_overfitted(self, model, batch):
        return bool(model.step(batch)["accuracy"] > 0.75)  # 7 of 9: the first words can only be guessed

    def answer_shape(self, model, example):
        return (*example["captions"].shape, model.hparams["vocab_size"])


class LanguageModelAdapter(Adapter):
    tiny = TinyRows

    def shape(self, model):
        return model.hparams["vocab_size"]

    def has_overfitted(self, model, batch):
        return bool(model.step(batch)["accuracy"] > 0.95)

    def answer_shape(self, model, example):
        return (*example.shape, model.hparams["vocab_size"])


class TaggerAdapter(Adapter):
    tiny = TinyUtterances

    def shape(self, model):
        return tuple(model.hparams[name] for name in ("vocab_size", "num_characters", "num_tags", "num_intents"))

    def inputs(self, model, batch):
        return batch[:2]

    def has_overfitted(self, model, batch):
        return bool(model.step(batch)["sentence_accuracy"].float().mean() > 0.95)

    def answer_shape(self, model, example):
        return (*example["words"].shape, model.hparams["num_tags"] + model.hparams["num_intents"])


class AutoencoderAdapter(Adapter):
    def shape(self, model):
        return tuple(model.sample_shape)

    def inputs(self, model, batch):
        x = batch[0]
        if tuple(x.shape[1:]) == tuple(model.input_shape):
            return (x,)
        return (model.corrupt(x, torch.Generator().manual_seed(0)),)  # it sees its samples in another form

    def has_overfitted(self, model, batch):
        x = batch[0]
        seen = model.corrupt(x, torch.Generator().manual_seed(0))
        errors = model.errors(model.restored(model.scores(seen), seen), x, seen)
        return bool(errors.mean() < 0.2 * (x - x.mean(0)).square().mean())

    def answer(self, model, example):
        return model.restored(model(example), example)

    def answer_shape(self, model, example):
        return (1, *model.sample_shape)


class BeatAdapter(Adapter):
    """What the tasks on heart beats share."""

    tiny = TinyBeats

    def shape(self, model):
        return (2, 256)

    def inputs(self, model, batch):
        return tuple(model.network_inputs(beat_inputs(batch)).values())


class BeatClassifierAdapter(BeatAdapter, ClassifierAdapter):
    pass


class BeatAutoencoderAdapter(BeatAdapter):
    def has_overfitted(self, model, batch):
        seen, normal = model.net.segments(*self.inputs(model, batch)), batch[1] == 0
        return bool(model.step(batch)["loss"] < 0.2 * seen[normal].square().mean())

    def answer_shape(self, model, example):
        return (1,)


ADAPTERS = {
    Captioner: CaptionerAdapter(),
    Classifier: ClassifierAdapter(),
    ClassifierOrRegressor: ClassifierAdapter(),
    TextClassifier: TextClassifierAdapter(),
    LanguageModel: LanguageModelAdapter(),
    Tagger: TaggerAdapter(),
    Translator: TranslatorAdapter(),
    Autoencoder: AutoencoderAdapter(),
    BeatClassifier: BeatClassifierAdapter(),
    BeatAutoencoder: BeatAutoencoderAdapter(),
}


def task_of(cls):
    """Return the task of a model's class: the first of its bases that ``zoo.tasks`` defines, or the class itself."""
    return next((base for base in cls.__mro__ if base.__module__.startswith("zoo.tasks.")), cls)


def adapter_of(cls):
    """Return the adapter of a model's class: that of the nearest of its bases."""
    task = task_of(cls)
    if task not in ADAPTERS:
        raise LookupError(f"the tests do not know the task {task.__name__}: add one to tests/adapters.py")
    return ADAPTERS[task]
