"""Slot filling and intent detection: a tag for each word of an utterance, and a class for the whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric

from datamodules.text.files import is_blank, without_surrogates
from datamodules.text.vocabulary import PAD
from datamodules.text.words import FIRST, WordVocabulary
from zoo.base import Batch, Values
from zoo.metrics.chunks import ChunkF1, find_chunks
from zoo.nn.crf import bio_constraints, viterbi
from zoo.tasks.heads import ModelWithHead
from zoo.training.batches import check_batch, check_ids, check_labels

UTTERANCES_A_BATCH = 64


class Slot(NamedTuple):
    """Slot of a text: its name, its words, and its first and last character in the text, the latter excluded."""

    slot: str
    text: str
    start: int
    end: int


class TaggedText(NamedTuple):
    """Intent of a text, its probability, and the slots in order; the intent of a text without words is None."""

    intent: str | None
    probability: float | None
    slots: list[Slot]


class Tagger(ModelWithHead):
    """Tagger: a network from words and their characters to the scores of the tags of each word and of the intent.

    A batch is (words, characters, tags, intents), int64 and padded with 0: ids of the words (N, T) and of their
    characters (N, T, C), the number of each tag, from 1 on, (N, T), and the number of the intent, from 0 on, (N,). The
    network is ``net(words, characters)``, and ``net.crf`` is a ``ConditionalRandomField`` or None.

    The loss of an utterance is the negative log-likelihood of its intent and of all its tags,

        -log p(intent | words) - log p(tags | words),

    averaged over the utterances of a batch. p(tags) is that of the conditional random field, or without one the product
    of a softmax for each word. The predicted tags are the most probable ones among those where ``I-x`` follows ``B-x``
    or ``I-x``.

    Metrics in evaluation: ``slot_f1``, the F1 of the slots, see ``ChunkF1``; ``intent_accuracy``; and
    ``sentence_accuracy``, the share of utterances whose intent and tags are all predicted correctly.

    Args:
        vocab_size: Number of words, with 0 for padding and 1 for unknown words.
        num_characters: Number of characters, likewise.
        num_tags: Number of tags.
        num_intents: Number of intents.
        words: The words from id 2 on; None for a model that takes ids only.
        characters: The characters from id 2 on, likewise.
        tags: Names of the tags, BIO; ``O``, ``B-1``, ``I-1``, ``B-2``, ... if None.
        intents: Names of the intents; their numbers if None.
        **optimisation: Arguments of ``ZooModule``.
    """

    net: Any
    default_monitor = "val_sentence_accuracy"
    head_arguments: ClassVar[dict[str, str]] = {"num_tags": "tags", "num_intents": "intents"}
    batch_parts: ClassVar[tuple[str, ...]] = ("words", "characters", "tags", "intents")
    outside_net = "Division into words, the search for the best tags, and the softmax over the scores of the intents."
    net_inputs: ClassVar[dict[str, str]] = {
        "words": "ids of the words, padded with 0; 1 for unknown words, the others from 2 on as in the list words",
        "characters": "ids of the characters of each word, likewise",
    }
    """What the network takes, by the names that an export gives it."""
    net_output: ClassVar[dict[str, str]] = {
        "scores": "scores of the tags at each word, then those of the intents, the same at each word"
    }
    """What the network returns, likewise."""
    no_answer: ClassVar[dict[str, Any]] = {"intent": None, "probability": None, "slots": None}
    """Answer to a text without words."""

    def __init__(
        self,
        *,
        vocab_size: int = 553,
        num_characters: int = 40,
        num_tags: int = 127,
        num_intents: int = 26,
        words: list[str] | None = None,
        characters: list[str] | None = None,
        tags: list[str] | None = None,
        intents: list[str] | None = None,
        **optimisation: Any,
    ) -> None:
        super().__init__(**optimisation)
        sizes = {"vocab_size": vocab_size, "num_characters": num_characters}
        for name, value in {**sizes, "num_tags": num_tags, "num_intents": num_intents}.items():
            least = FIRST if name in sizes else 1
            if value < least:
                raise ValueError(f"{name} must be at least {least}, not {value}")
        for name, names, size, value, first in (
            ("words", words, "vocab_size", vocab_size, FIRST),
            ("characters", characters, "num_characters", num_characters, FIRST),
            ("tags", tags, "num_tags", num_tags, 0),
            ("intents", intents, "num_intents", num_intents, 0),
        ):
            if names is not None and len(names) + first != value:
                raise ValueError(f"{size}={value} does not fit the {len(names)} {name}: expected {len(names) + first}")

    @property
    def output_layers(self) -> tuple[str, ...]:
        """Names of the layers of the intents and of the tags, the conditional random field included."""
        return ("intents", "tags") if self.net.crf is None else ("intents", "tags", "crf")

    @property
    def example_input_array(self) -> Any:
        """Ids of a short utterance and of its characters."""
        words = torch.ones(1, 4, dtype=torch.long)
        return {"words": words, "characters": torch.ones(1, 4, 3, dtype=torch.long)}

    @example_input_array.setter
    def example_input_array(self, example: Any) -> None:
        raise AttributeError("example_input_array is the same for every utterance")

    def check_batch(self, batch: Any) -> None:
        """Raise ``ValueError`` unless a batch is words (N, T), characters (N, T, C), tags (N, T) and intents (N,)."""
        check_batch(batch, self.batch_parts)
        words, characters, tags, intents = batch[:4]
        self._check_inputs(words, characters)
        check_ids(tags, self.hparams["num_tags"] + 1, "tags")
        if tags.shape != words.shape or bool(((tags != PAD) != (words != PAD)).any()):
            raise ValueError(f"tags of shape {tuple(tags.shape)}: expected a tag for each word, and 0 in the padding")
        check_labels(intents, self.hparams["num_intents"])

    def _check_inputs(self, words: Tensor, characters: Tensor) -> None:
        check_ids(words, self.hparams["vocab_size"], "words")
        if characters.ndim != 3 or characters.shape[:2] != words.shape:
            shape = " x ".join(map(str, words.shape))
            raise ValueError(f"characters of shape {tuple(characters.shape)}: expected {shape} x C, int64")
        check_ids(characters.flatten(1), self.hparams["num_characters"], "characters")

    def forward(self, words: Tensor, characters: Tensor) -> Tensor:  # type: ignore[override]
        """Map words (N, T) and characters (N, T, C) to scores (N, T, num_tags + num_intents), see ``split_scores``."""
        return self.net(words, characters)

    def split_scores(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores of the tags (N, T, num_tags) and of the intents (N, num_intents) of a network's output.

        The output has the scores of the tags of each word, and at each word the same scores of the intents.
        """
        tags = self.hparams["num_tags"]
        return scores[:, :, :tags], scores[:, 0, tags:]

    def step(self, batch: Batch) -> Values:
        """Compute the loss of a batch (words, characters, tags, intents), and in evaluation the metrics."""
        words, characters, tags, intents = batch[:4]
        tag_scores, intent_scores = self.split_scores(self(words, characters))
        mask = words != PAD
        loss = self.tag_losses(tag_scores, tags, mask).mean() + F.cross_entropy(intent_scores, intents)
        if self.training:
            return {"loss": loss}
        found, right = self.best_tags(tag_scores.detach(), mask), intent_scores.argmax(1) == intents
        return {
            "loss": loss,
            "intent_accuracy": right,
            "sentence_accuracy": right & ((found == tags) | ~mask).all(1),
            "slot_f1": (found, tags),
        }

    def configure_metrics(self) -> dict[str, Metric]:
        """Return the F1 of the slots."""
        return {"slot_f1": ChunkF1(self.tag_names)}

    def tag_losses(self, scores: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        """Return the negative log-likelihood (N,) of the tags of each utterance.

        Args:
            scores: Scores of the tags (N, T, num_tags).
            tags: Numbers of the tags (N, T), from 1 on.
            mask: (N, T), True at the words.
        """
        if self.net.crf is not None:
            return -self.net.crf.log_likelihood(scores, tags - 1, mask)
        return F.cross_entropy(scores.transpose(1, 2), tags - 1, ignore_index=-1, reduction="none").sum(1)

    @torch.no_grad()
    def best_tags(self, scores: Tensor, mask: Tensor) -> Tensor:
        """Return the numbers of the most probable tags (N, T), from 1 on and 0 in the padding.

        Args:
            scores: Scores of the tags (N, T, num_tags).
            mask: (N, T), True at the words.
        """
        start, moves = (part.to(scores.device) for part in bio_constraints(self.tag_names))
        crf = self.net.crf
        found = viterbi(scores, mask, start, moves) if crf is None else crf.decode(scores, mask, (start, moves))
        return (found + 1) * mask

    @property
    def tag_names(self) -> list[str]:
        """Names of the tags, in the order of their scores."""
        numbered = (f"{'BI'[number % 2]}-{number // 2 + 1}" for number in range(self.hparams["num_tags"] - 1))
        return self.hparams["tags"] or ["O", *numbered]

    @property
    def vocabulary(self) -> WordVocabulary:
        """The vocabulary.

        Raises:
            ValueError: If the model has none.
        """
        if self.hparams["words"] is None or self.hparams["characters"] is None:
            raise ValueError("this model has no words: build it from a recipe, whose data give it some")
        return WordVocabulary(self.hparams["words"], self.hparams["characters"])

    def predict_step(self, batch: Any, batch_idx: int) -> tuple[Tensor, Tensor]:
        """Return the tags (N, T), from 1 on, and the probabilities of the intents (N, num_intents) of a batch.

        A batch is (words, characters, ...).
        """
        check_batch(batch, self.batch_parts[:2])
        return self._predict(batch[0], batch[1])

    def _predict(self, words: Tensor, characters: Tensor) -> tuple[Tensor, Tensor]:
        self._check_inputs(words, characters)
        tags, intents = self.split_scores(self(words, characters))
        return self.best_tags(tags, words != PAD), intents.float().softmax(1)

    @torch.no_grad()
    def tag(self, texts: Sequence[str]) -> list[TaggedText]:
        """Find the intent and the slots of texts as users write them, in evaluation mode.

        Capitals are taken as small letters, and punctuation around words is dropped, see ``WordVocabulary.split``.

        Raises:
            ValueError: If the model has no words, or a text is not a string.
        """
        listed = isinstance(texts, Sequence) and not isinstance(texts, str)
        if not listed or not all(isinstance(text, str) for text in texts):
            raise ValueError(f"{type(texts).__name__}: expected a list of strings")
        vocabulary, names = self.vocabulary, self.tag_names
        found = [vocabulary.split(text) for text in texts]
        answers = [TaggedText(None, None, []) for _ in texts]
        order = sorted((row for row, words in enumerate(found) if words), key=lambda row: len(found[row]))
        for first in range(0, len(order), UTTERANCES_A_BATCH):
            rows = order[first : first + UTTERANCES_A_BATCH]
            ids = vocabulary.encode([[word.form for word in found[row]] for row in rows])
            with self.evaluating():
                tags, probabilities = self._predict(*(part.to(self.device) for part in ids))
            for row, numbers, (probability, intent) in zip(
                rows, tags.tolist(), zip(*(part.tolist() for part in probabilities.max(1)))
            ):
                slots = []
                for kind, begin, end in find_chunks([names[number - 1] for number in numbers if number]):
                    start, stop = found[row][begin].start, found[row][end - 1].end
                    slots.append(Slot(kind, texts[row][start:stop], start, stop))
                intents = self.hparams["intents"]
                answers[row] = TaggedText(intents[intent] if intents else str(intent), probability, slots)
        return answers

    def predict_rows(self, x: Any) -> list[dict[str, Any]]:
        """Return each text with its intent, the intent's probability, and its slots as text; None without words.

        Each slot is given with its first character and the one after its last: ``toloc.city_name: denver [28:34]``.
        """
        texts = [without_surrogates(text) for text in x]
        filled = iter(self.tag([text for text in texts if not is_blank(text)]))
        rows = []
        for text in texts:
            found = TaggedText(None, None, []) if is_blank(text) else next(filled)
            slots = "; ".join(f"{slot}: {words} [{start}:{end}]" for slot, words, start, end in found.slots)
            answer = {"intent": found.intent, "probability": found.probability, "slots": slots}
            rows.append({"text": text, **(self.no_answer if found.intent is None else answer)})
        return rows
