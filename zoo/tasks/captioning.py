"""Captions of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from datamodules.text.captions import caption_words
from datamodules.text.vocabulary import END, PAD, START, UNKNOWN, Vocabulary, vocabulary_from_json
from zoo.base import Batch, Values, ZooModule
from zoo.errors import check_counts, check_not_negative
from zoo.nn.captions import CaptionNet, PictureMap, contrastive_loss, word_loss
from zoo.nn.decoding import State, beam_search
from zoo.nn.decoding_constraints import forbid_repeats
from zoo.nn.losses import token_loss
from zoo.training.batches import check_batch, check_ids, inputs_of

PICTURES_A_BATCH = 64
"""Number of pictures that are captioned together. Set by hand."""
CAPTIONS_A_BATCH = 4
"""Number of captions whose probabilities for such a batch of pictures are computed together. Set by hand."""
TOKENS_A_CHUNK = 4_096
"""Number of tokens whose scores over the vocabulary are in memory together in evaluation. Set by hand."""
NO_REPEAT = 3
"""Length in tokens of phrases that no caption has twice. Set by hand."""


class Caption(NamedTuple):
    """Caption of a picture."""

    text: str
    """Its words in lower case."""
    probability: float
    """Geometric mean of the probabilities of its words and of its end, each given the words before it."""
    attention: Tensor
    """Attention weights (words, H, W) of each word over the feature map, which sum to 1 over the map."""


class Captioner(ZooModule):
    """Captioner: a network that scores each word of a caption given the picture and the words before it.

    A batch is (images, captions): (N, 3, H, W) in [0, 1], and token ids (N, K, T), int64, of K captions of each,
    enclosed in start and end tokens and padded with 0. The loss is the cross-entropy averaged over the tokens of the
    batch, with label smoothing in training. In training these may be added:

        contrastive * InfoNCE of the codes of pictures and captions, see ``contrastive_loss``
        bag_of_words * binary cross-entropy of the words of the captions, see ``word_loss``

    ``caption_loss`` is the training loss without them. In evaluation the loss has neither them nor smoothing, and
    ``accuracy`` is the share of tokens that are predicted correctly given the true ones before them. Tokens are
    weighted equally over an epoch.

    Args:
        vocab_size: Number of tokens; token 0 is padding.
        max_length: Largest number of tokens of a caption with start and end.
        tokenizer: Vocabulary of words as JSON of Hugging Face's ``tokenizers``; None for a model of token ids only.
        label_smoothing: Label smoothing; evaluation uses none.
        contrastive: Weight of the contrastive objective.
        bag_of_words: Weight of the prediction of words from the picture alone.
        length_penalty: Default exponent of the length in beam search, see ``beam_search``.
        **optimisation: Arguments of ``ZooModule``.
    """

    net: CaptionNet
    batch_parts = ("images", "captions")
    outside_net = "Resizing of pictures, conversion of token ids to words, and beam search."
    output_formats: ClassVar[dict[str, str]] = {".txt": "caption"}

    def __init__(
        self,
        *,
        vocab_size: int = 2_540,
        max_length: int = 30,
        tokenizer: str | None = None,
        label_smoothing: float = 0.0,
        contrastive: float = 0.0,
        bag_of_words: float = 0.0,
        length_penalty: float = 1.0,
        **optimisation: Any,
    ) -> None:
        super().__init__(**optimisation)
        if vocab_size <= END + 1 or max_length < 3:
            raise ValueError(f"vocab_size and max_length: at least {END + 2} and 3, not {vocab_size} and {max_length}")
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing must be in [0, 1), not {label_smoothing}")
        check_not_negative(contrastive=contrastive, bag_of_words=bag_of_words, length_penalty=length_penalty)

    @property
    def example_input_array(self) -> Any:
        """A black picture and the prefix of a caption."""
        images = torch.zeros(1, *self.input_shape, dtype=self.precision)
        return {"images": images, "captions": torch.ones(1, 1, 3, dtype=torch.long)}

    @example_input_array.setter
    def example_input_array(self, example: Any) -> None:
        raise AttributeError("example_input_array follows from input_shape")

    def check_batch(self, batch: Any) -> None:
        """Raise ``ValueError`` unless a batch is images (N, C, H, W) and token ids (N, K, T) with T of at least 2."""
        check_batch(batch, self.batch_parts)
        captions = batch[1]
        if captions.ndim != 3 or captions.shape[2] < 2:
            raise ValueError(f"captions of shape {tuple(captions.shape)}: expected token ids (N, K, T), T at least 2")
        check_ids(captions.flatten(0, 1), self.hparams["vocab_size"], "captions")
        super().check_batch(batch)

    def forward(self, images: Tensor, captions: Tensor) -> Tensor:  # type: ignore[override]
        """Map images (N, C, H, W) and token ids (N, K, T) to scores (N, K, T, vocab_size) of the next tokens."""
        return self.net(images, captions)

    def step(self, batch: Batch) -> Values:
        """Compute the loss of a batch (images, captions) and in evaluation ``accuracy``, weighted by tokens."""
        images, captions = batch
        before, wanted = captions[:, :, :-1], captions[:, :, 1:]
        picture = self.net.encode(images)
        outputs, _, _ = self.net.decode(before, picture, self.net.start(picture, captions.shape[1]))
        counted = wanted != PAD
        outputs, wanted, weight = outputs[counted], wanted[counted], counted.sum()
        if self.training:
            loss = token_loss(self.net.score(outputs), wanted, self.hparams["label_smoothing"], PAD)
            auxiliary = self._auxiliary(picture, captions)
            found = {"loss": loss} if auxiliary is None else {"loss": loss + auxiliary, "caption_loss": loss.detach()}
            return {**found, "weight": weight}
        missed, right = outputs.new_zeros((), dtype=torch.float32), weight.new_zeros(())
        for part, target in zip(outputs.split(TOKENS_A_CHUNK), wanted.split(TOKENS_A_CHUNK)):
            scores = self.net.score(part).float()
            missed = missed + F.cross_entropy(scores, target, reduction="sum")
            right = right + (scores.argmax(1) == target).sum()
        tokens = weight.clamp_min(1)
        return {"loss": missed / tokens, "accuracy": right / tokens, "weight": weight}

    def _auxiliary(self, picture: PictureMap, captions: Tensor) -> Tensor | None:
        """Return the weighted sum of the auxiliary objectives, None if there is none."""
        found = []
        if self.net.temperature is not None:
            codes = self.net.codes(picture, captions)
            factor = self.net.temperature.clamp(max=4.6).exp()  # at most 100, as in Radford et al. (2021)
            found.append(self.hparams["contrastive"] * contrastive_loss(*codes, factor))
        if self.net.words is not None:
            found.append(self.hparams["bag_of_words"] * word_loss(self.net.word_scores(picture), captions))
        return torch.stack(found).sum() if found else None

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary.

        Raises:
            ValueError: If the model has none.
        """
        return vocabulary_from_json(self.hparams["tokenizer"])

    def network_inputs(self, images: Any) -> Tensor:
        """Return a user's images (N, 3, H, W) or grey ones (N, 1, H, W), in [0, 1], resized to the model's own size.

        They are squeezed to its height and width whatever their own, as the photographs that it was trained on.

        Raises:
            ValueError: If shape, dtype or range are wrong.
        """
        x = self.as_input(images)
        channels, height, width = self.input_shape
        if x.ndim != 4 or x.shape[1] not in (1, channels) or not min(x.shape[2:]):
            raise ValueError(f"input of shape {tuple(x.shape)}: expected N x {channels} x any x any")
        if x.shape[2:] != (height, width):
            resized = F.interpolate(x.float(), (height, width), mode="bilinear", antialias=True, align_corners=False)
            x = resized.clamp(0, 1).to(x.dtype)
        return x.expand(-1, channels, -1, -1)

    def caption(self, images: Any, *, beam: int = 5, length_penalty: float | None = None) -> list[Caption]:
        """Caption pictures by beam search, in evaluation mode.

        Args:
            images: Floats (N, 3, H, W) in [0, 1], of any size.
            beam: Width of the beam.
            length_penalty: Exponent of the length, see ``beam_search``; the model's if None.

        Raises:
            ValueError: If the model has no tokenizer, or shape, dtype or range of the images are wrong.
        """
        vocabulary, found = self.vocabulary, []
        for part in self.network_inputs(images).split(PICTURES_A_BATCH):
            ids, probability, attention = self.captioned(part, beam=beam, length_penalty=length_penalty)
            for text, p, maps in zip(vocabulary.decode(ids.tolist()), probability.tolist(), attention.float().cpu()):
                found.append(Caption(text, p, maps[: len(text.split())]))
        return found

    @torch.no_grad()
    def captioned(
        self, images: Tensor, *, beam: int = 5, length_penalty: float | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Caption a batch of the network's inputs (N, C, H, W) by beam search.

        Args:
            images: The batch, see ``network_inputs``.
            beam: Width of the beam.
            length_penalty: Exponent of the length, see ``beam_search``; the model's if None.

        Returns:
            Token ids (N, T) up to ``END``; the geometric mean (N,) of their probabilities; and the attention weights
            (N, T, H', W') of each token.
        """
        check_counts(beam=beam)
        penalty = self.hparams["length_penalty"] if length_penalty is None else length_penalty
        check_not_negative(length_penalty=penalty)
        with self.evaluating():
            picture = self.net.encode(images.to(self.device))
            n = len(images)

            def step(last: Tensor, state: State) -> tuple[Tensor, State]:
                grouped = tuple(part.unflatten(0, (n, -1)) for part in state)
                outputs, state, _ = self.net.decode(last.reshape(n, -1, 1), picture, grouped)
                scores = self.net.score(outputs[:, :, 0]).flatten(0, 1).float()
                return scores.log_softmax(1), tuple(part.flatten(0, 1) for part in state)

            def adjust(tokens: Tensor, log_probabilities: Tensor) -> Tensor:
                log_probabilities = forbid_repeats(tokens, log_probabilities, NO_REPEAT)
                never = [PAD, UNKNOWN, START] + ([] if tokens.shape[1] else [END])
                log_probabilities[:, never] = -torch.inf
                return log_probabilities

            state = tuple(part.flatten(0, 1) for part in self.net.start(picture, 1))
            common: dict[str, Any] = {"start": START, "end": END, "max_length": self.hparams["max_length"] - 1}
            if n == 0:
                return torch.zeros(0, 1, dtype=torch.long), images.new_zeros(0), images.new_zeros(0, 1, *picture.size)
            ids, _ = beam_search(step, state, n, beam=beam, length_penalty=penalty, adjust=adjust, **common)
            log_probabilities, weights = self._teacher_forced(ids[:, None], picture)
            counted = ((ids == END).cumsum(1) - (ids == END).long()) == 0
            total = (log_probabilities[:, 0] * counted).sum(1)
            return ids, (total / counted.sum(1)).exp(), weights[:, 0].unflatten(2, picture.size)

    def _teacher_forced(self, ids: Tensor, picture: PictureMap) -> tuple[Tensor, Tensor]:
        """Return the log-probabilities (N, K, T) of tokens and the attention weights (N, K, T, P) for them.

        Args:
            ids: Tokens (N, K, T) without ``START``; (1, K, T) for the same captions of all pictures.
            picture: Feature maps of N pictures.
        """
        before = torch.cat([torch.full_like(ids[:, :, :1], START), ids[:, :, :-1]], 2)
        outputs, _, weights = self.net.decode(before, picture, self.net.start(picture, ids.shape[1]))
        scores = self.net.score(outputs).float()
        chosen = scores.gather(3, ids.expand(len(scores), -1, -1)[..., None])[..., 0]
        return chosen - scores.logsumexp(3), weights

    @torch.no_grad()
    def log_likelihood(self, images: Any, captions: Sequence[str]) -> Tensor:
        """Return the log-probability (N, M) of each of M captions given each of N pictures, with its end.

        A word outside the vocabulary counts as the unknown word.

        Args:
            images: Floats (N, 3, H, W) in [0, 1], of any size.
            captions: The captions; of a longer one than ``max_length`` the first tokens count, without an end.

        Raises:
            ValueError: If the model has no tokenizer, a caption is not a string, or shape, dtype or range of the images
                are wrong.
        """
        listed = isinstance(captions, Sequence) and not isinstance(captions, str)
        if not listed or not all(isinstance(text, str) for text in captions):
            raise ValueError(f"captions is {type(captions).__name__}: expected a list of strings")
        rows = [[*ids, END] for ids in self.vocabulary.encode([" ".join(caption_words(text)) for text in captions])]
        rows = [ids[: self.hparams["max_length"] - 1] for ids in rows]
        order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
        x = self.network_inputs(images)
        found = torch.zeros(len(x), len(rows))
        with self.evaluating():
            for start in range(0, len(x), PICTURES_A_BATCH):
                picture = self.net.encode(x[start : start + PICTURES_A_BATCH])
                for at in range(0, len(order), CAPTIONS_A_BATCH):
                    chosen = order[at : at + CAPTIONS_A_BATCH]
                    parts = [torch.tensor(rows[row]) for row in chosen]
                    ids = torch.nn.utils.rnn.pad_sequence(parts, batch_first=True, padding_value=PAD)[None]
                    ids = ids.to(self.device)
                    values, _ = self._teacher_forced(ids, picture)
                    found[start : start + PICTURES_A_BATCH, chosen] = (values * (ids != PAD)).sum(2).cpu()
        return found

    def predict_step(self, batch: Any, batch_idx: int) -> Any:
        """Return the captions of a batch of images or (images, ...), an array (N,) of strings.

        Without a tokenizer they are token ids (N, T).
        """
        x = self.network_inputs(inputs_of(batch))
        if self.hparams["tokenizer"] is None:
            return self.captioned(x)[0]
        return np.array([found.text for found in self.caption(x)])

    def predict_rows(self, x: Any) -> list[dict[str, Any]]:
        """Return the caption of each image of a batch (N, 3, H, W) and its probability; (3, H, W) is one image."""
        x = x[None] if getattr(x, "ndim", 4) == 3 else x
        return [{"caption": found.text, "probability": found.probability} for found in self.caption(x)]
