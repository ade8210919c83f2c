"""Translation with an encoder-decoder."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from datamodules.text.vocabulary import END, PAD, START, Vocabulary, vocabulary_from_json
from zoo.base import Batch, Values, ZooModule
from zoo.errors import unknown
from zoo.nn.decoding import State, beam_search, greedy, nucleus
from zoo.nn.losses import token_loss
from zoo.training.batches import check_batch, check_ids, inputs_of

DECODINGS = ("beam", "greedy", "nucleus")
SENTENCES_A_BATCH = 64


class Translator(ZooModule):
    """Translator: a network that scores each target token given the source and the target tokens before it.

    The network has ``encode(src)`` and ``decode(tgt, memory, mask, state)`` besides ``forward(src, tgt)``, as
    ``Seq2SeqNet``. A batch is (src, src_len, tgt, tgt_len): token ids (N, S) and (N, T), int64, enclosed in start and
    end tokens and padded with 0. The loss is the cross-entropy averaged over the batch's target tokens, with label
    smoothing in training.

    The decoder is trained with teacher forcing, or with scheduled sampling (Bengio et al., 2015), where a random share
    of its input tokens is replaced by the model's predictions; all positions are predicted in parallel from the true
    target (Mihaylova & Martins, 2019). The share of true tokens decreases linearly from 1 to ``teacher_forcing`` over
    the epochs.

    Metrics in evaluation: ``nats``, the negative log-likelihood of a target sentence averaged over sentences, and
    ``accuracy``, the share of a sentence's tokens predicted correctly under teacher forcing, averaged likewise.

    Args:
        vocab_size: Number of tokens, which both languages share; token 0 is padding.
        max_length: Largest number of tokens of a sentence with start and end; longer sources are truncated.
        tokenizer: Vocabulary as JSON of Hugging Face's ``tokenizers``; None for a model that takes token ids only.
        label_smoothing: Label smoothing; evaluation uses none.
        teacher_forcing: Share of true tokens among the decoder's inputs in the last epoch.
        **optimisation: Arguments of ``ZooModule``.
    """

    net: Any
    default_monitor = "val_nats"
    batch_parts = ("src", "src_len", "tgt", "tgt_len")
    outside_net = "Tokenization and decoding (beam search, greedy or nucleus sampling)."
    output_formats: ClassVar[dict[str, str]] = {".txt": "translation"}

    def __init__(
        self,
        *,
        vocab_size: int = 5_000,
        max_length: int = 60,
        tokenizer: str | None = None,
        label_smoothing: float = 0.0,
        teacher_forcing: float = 1.0,
        **optimisation: Any,
    ) -> None:
        super().__init__(**optimisation)
        if vocab_size <= END or max_length < 3:
            raise ValueError(f"vocab_size and max_length: at least {END + 1} and 3, not {vocab_size} and {max_length}")
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing must be in [0, 1), not {label_smoothing}")
        if not 0 <= teacher_forcing <= 1:
            raise ValueError(f"teacher_forcing must be in [0, 1], not {teacher_forcing}")

    @property
    def example_input_array(self) -> Any:
        """Token ids of a short source and of a target prefix."""
        return {"src": torch.ones(1, 4, dtype=torch.long), "tgt": torch.ones(1, 3, dtype=torch.long)}

    @example_input_array.setter
    def example_input_array(self, example: Any) -> None:
        raise AttributeError("example_input_array is the same for every pair of languages")

    def check_batch(self, batch: Any) -> None:
        """Raise ``ValueError`` unless a batch is token ids (N, S), their lengths, token ids (N, T), their lengths."""
        check_batch(batch, self.batch_parts)
        check_ids(batch[0], self.hparams["vocab_size"], "src")
        check_ids(batch[2], self.hparams["vocab_size"], "tgt")

    def predict_step(self, batch: Any, batch_idx: int) -> Any:
        """Return the translations of a batch src or (src, ...) of token ids, an array (N,) of strings.

        Without a tokenizer they are token ids (N, T).
        """
        src = inputs_of(batch)
        check_ids(src, self.hparams["vocab_size"], "src")
        ids = self.translated(src)
        return np.array(self.vocabulary.decode(ids.tolist())) if self.hparams["tokenizer"] is not None else ids

    def forward(self, src: Tensor, tgt: Tensor) -> Tensor:  # type: ignore[override]
        """Map token ids (N, S) and (N, T) to scores (N, T, vocab_size) of the tokens that follow ``tgt[:, t]``."""
        return self.net(src, tgt)

    def step(self, batch: Batch) -> Values:
        """Compute the loss of a batch (src, src_len, tgt, tgt_len) and in evaluation ``nats`` and ``accuracy``."""
        src, _, tgt, _ = batch
        before, wanted = tgt[:, :-1], tgt[:, 1:]
        if self.training:
            scores = self(src, self.decoder_inputs(src, before))
            smoothing = self.hparams["label_smoothing"]
            loss = token_loss(scores.flatten(0, 1), wanted.flatten(), smoothing, PAD)
            return {"loss": loss}
        scores = self(src, before)
        missed = F.cross_entropy(scores.transpose(1, 2), wanted, ignore_index=PAD, reduction="none")
        counted = wanted != PAD
        right = ((scores.argmax(2) == wanted) & counted).sum(1) / counted.sum(1).clamp_min(1)
        loss = missed.sum() / counted.sum().clamp_min(1)
        return {"loss": loss, "nats": missed.sum(1).detach(), "accuracy": right}

    def decoder_inputs(self, src: Tensor, before: Tensor) -> Tensor:
        """Return the decoder's input tokens (N, T) in training: true ones, some replaced by predictions."""
        last = self.hparams["teacher_forcing"]
        if last == 1 or self._trainer is None:
            return before
        epochs = max(1, (self.trainer.max_epochs or 1) - 1)
        share = 1 - (1 - last) * min(1.0, self.trainer.current_epoch / epochs)
        with torch.no_grad():
            predicted = self(src, before).argmax(2)
        predicted = torch.cat([before[:, :1], predicted[:, :-1]], 1)
        true = torch.rand(before.shape, device=before.device) < share
        return torch.where(true | (before == PAD) | (before == START), before, predicted)

    @torch.no_grad()
    def translated(
        self,
        src: Tensor,
        *,
        decoding: str = "beam",
        beam: int = 5,
        length_penalty: float = 0.6,
        seed: int | None = None,
    ) -> Tensor:
        """Decode the targets of sources (N, S) of token ids: token ids (N, T), each up to ``END``.

        A target has at most twice as many tokens as the longest source of the batch, plus ten. The arguments are those
        of ``translate``.

        Raises:
            ValueError: If an argument is unknown or out of range.
        """
        if decoding not in DECODINGS:
            raise unknown("decoding", decoding, DECODINGS)
        with self.evaluating():
            memory, mask, state = self.net.encode(src.to(self.device))

            def step(last: Tensor, state: State) -> tuple[Tensor, State]:
                scores, state, _ = self.net.decode(last[:, None], memory, mask, state)
                return scores[:, 0].float().log_softmax(1), state

            common = {"start": START, "end": END, "max_length": 2 * src.shape[1] + 10}
            if decoding == "greedy":
                return greedy(step, state, len(src), **common)[0]
            if decoding == "nucleus":
                generator = None if seed is None else torch.Generator(self.device).manual_seed(seed)
                return nucleus(step, state, len(src), generator=generator, **common)[0]
            return beam_search(step, state, len(src), beam=beam, length_penalty=length_penalty, **common)[0]

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary.

        Raises:
            ValueError: If the model has none.
        """
        if self.hparams["tokenizer"] is None:
            raise ValueError("this model has no tokenizer: build it from a recipe, whose data give it one")
        return vocabulary_from_json(self.hparams["tokenizer"])

    def translate(self, sentences: Sequence[str], **decoding: Any) -> list[str]:
        """Translate sentences, in batches of similar length, with a progress bar where there are many.

        Sentences longer than ``max_length`` tokens are truncated; an empty sentence stays empty.

        Args:
            sentences: The sentences.
            **decoding: ``decoding``, which is ``beam`` (default), ``greedy`` or ``nucleus``; ``beam``, the beam
                width; ``length_penalty``, see ``beam_search``; ``seed`` of ``nucleus``.

        Raises:
            ValueError: If the model has no tokenizer, a sentence is not a string, or an argument is wrong.
        """
        from rich.progress import track

        listed = isinstance(sentences, Sequence) and not isinstance(sentences, str)
        if not listed or not all(isinstance(sentence, str) for sentence in sentences):
            raise ValueError(f"{type(sentences).__name__}: expected a list of strings")
        vocabulary = self.vocabulary
        ids = vocabulary.encode_padded(sentences, self.hparams["max_length"], ends=True)
        lengths = (ids != PAD).sum(1)
        order = [row for row in lengths.argsort(stable=True).tolist() if sentences[row].strip()]
        answers = [""] * len(sentences)
        batches = [order[at : at + SENTENCES_A_BATCH] for at in range(0, len(order), SENTENCES_A_BATCH)]
        quiet = len(batches) < 10 or not sys.stderr.isatty()
        for rows in track(batches, "translating", disable=quiet, transient=True):
            written = self.translated(ids[rows][:, : int(lengths[rows].max())], **decoding)
            for row, text in zip(rows, vocabulary.decode(written.tolist())):
                answers[row] = text
        return answers

    def predict_rows(self, x: Any) -> list[dict[str, Any]]:
        """Return the translation of each sentence."""
        return [{"translation": text} for text in self.translate(x)]

    @torch.no_grad()
    def attention(self, src: Tensor, tgt: Tensor) -> Tensor | None:
        """Return the attention weights (N, T, S) of the last layer over the source for each target token.

        Args:
            src: Token ids (N, S).
            tgt: Token ids (N, T), from ``START`` on.
        """
        with self.evaluating():
            memory, mask, state = self.net.encode(src.to(self.device))
            return self.net.decode(tgt.to(self.device), memory, mask, state)[2]
