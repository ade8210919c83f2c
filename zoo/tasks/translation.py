"""Translation with an encoder-decoder."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import islice
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from datamodules.text.entity_masks import EntityMasks, entity_masks_from_json
from datamodules.text.lexicon import Lexicon, lexicon_from_json
from datamodules.text.mail_masks import SHOWN_SYMBOLS, MailMasks, mail_masks_from_json
from datamodules.text.sql import DatabaseValues, database_values_from_json
from datamodules.text.vocabulary import END, PAD, START, Vocabulary, vocabulary_from_json
from zoo.base import Batch, Values, ZooModule
from zoo.errors import unknown
from zoo.nn.decoding import State, beam_search, greedy, nucleus
from zoo.nn.decoding_constraints import Constraint, forbid_repeats
from zoo.nn.losses import token_loss
from zoo.tasks.sources import SourceText, Translation, WholeText, answer_constraints
from zoo.training.batches import check_batch, check_ids, inputs_of

DECODINGS = ("beam", "greedy", "nucleus")
SENTENCES_A_BATCH = 64
NO_REPEAT = 3
"""Default length in tokens of phrases that no sentence has twice. Set by hand."""


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
        entity_masks: Masks of numbers and names as JSON, see ``datamodules.text.entity_masks``; None for none.
        lexicon: Translations of single words as JSON, see ``datamodules.text.lexicon``; None for none.
        database_values: Values of a database as JSON, see ``datamodules.text.sql``, for a translator of questions about
            it to SQL queries; None for sentences.
        mail_masks: Masks of e-mails as JSON, see ``datamodules.text.mail_masks``, for a writer of their subject lines;
            None for sentences.
        label_smoothing: Label smoothing; evaluation uses none.
        teacher_forcing: Share of true tokens among the decoder's inputs in the last epoch.
        length_penalty: Default exponent of the length in beam search, see ``beam_search``.
        **optimisation: Arguments of ``ZooModule``.
    """

    net: Any
    default_monitor = "val_nats"
    batch_parts = ("src", "src_len", "tgt", "tgt_len")
    outside_net = (
        "Division into sentences, entity masks, look-up of database values or masks of e-mails, tokenization and "
        "decoding (beam search, greedy or nucleus sampling)."
    )
    output_formats: ClassVar[dict[str, str]] = {".txt": "translation"}
    true_share: float = 1.0
    """Share of true tokens among the decoder's inputs in the current epoch of training."""

    def __init__(
        self,
        *,
        vocab_size: int = 5_000,
        max_length: int = 60,
        tokenizer: str | None = None,
        entity_masks: str | None = None,
        lexicon: str | None = None,
        database_values: str | None = None,
        mail_masks: str | None = None,
        label_smoothing: float = 0.0,
        teacher_forcing: float = 1.0,
        length_penalty: float = 0.6,
        **optimisation: Any,
    ) -> None:
        super().__init__(**optimisation)
        if vocab_size <= END or max_length < 3:
            raise ValueError(f"vocab_size and max_length: at least {END + 1} and 3, not {vocab_size} and {max_length}")
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing must be in [0, 1), not {label_smoothing}")
        if not 0 <= teacher_forcing <= 1:
            raise ValueError(f"teacher_forcing must be in [0, 1], not {teacher_forcing}")
        if length_penalty < 0:
            raise ValueError(f"length_penalty must be at least 0, not {length_penalty}")
        if database_values is not None and mail_masks is not None:
            raise ValueError("database_values and mail_masks: expected one of them, since texts are of one kind")

    def begin_epoch(self, stage: str) -> None:
        """Set the share of true tokens of a training epoch."""
        super().begin_epoch(stage)
        if stage == "train":
            epochs = max(1, (self.trainer.max_epochs or 1) - 1)
            progress = min(1.0, self.trainer.current_epoch / epochs)
            self.true_share = 1 - (1 - self.hparams["teacher_forcing"]) * progress

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

        Without a tokenizer they are token ids (N, T). Masks are shown as ``<number 1>`` or ``<name 1>``: token ids
        do not say what they stand for; ``translate`` takes texts and gives them.
        """
        src = inputs_of(batch)
        check_ids(src, self.hparams["vocab_size"], "src")
        ids = self.translated(src)
        if self.hparams["tokenizer"] is None:
            return ids
        return np.array([text.translate(SHOWN_SYMBOLS) for text in self.vocabulary.decode(ids.tolist())])

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
        if self.hparams["teacher_forcing"] == 1 or self._trainer is None:
            return before
        with torch.no_grad():
            predicted = self(src, before).argmax(2)
        predicted = torch.cat([before[:, :1], predicted[:, :-1]], 1)
        true = torch.rand(before.shape, device=before.device) < self.true_share
        return torch.where(true | (before == PAD) | (before == START), before, predicted)

    @torch.no_grad()
    def translated(
        self,
        src: Tensor,
        *,
        decoding: str = "beam",
        beam: int = 5,
        length_penalty: float | None = None,
        no_repeat: int | None = None,
        seed: int | None = None,
    ) -> Tensor:
        """Decode the targets of sources (N, S) of token ids: token ids (N, T), each up to ``END``.

        A target has at most twice as many tokens as the longest source of the batch, plus ten, and the masks of
        its source; a query has at most ``max_length`` tokens and a subject ``MailMasks.longest``, and both of the
        symbols of values only those of their text. A query closes the brackets and quotes that it opens.
        The arguments are those of ``translate``.

        Raises:
            ValueError: If an argument is unknown or out of range.
        """
        if decoding not in DECODINGS:
            raise unknown("decoding", decoding, DECODINGS)
        masks = self.whole_masks
        if no_repeat is None:
            no_repeat = masks.no_repeat if masks else NO_REPEAT
        if no_repeat < 0 or no_repeat == 1:
            raise ValueError(f"no_repeat must be 0, for none, or at least 2, not {no_repeat}")
        constraints = self._constraints(src.to(self.device))

        def adjust(tokens: Tensor, log_probabilities: Tensor) -> Tensor:
            if no_repeat:
                log_probabilities = forbid_repeats(tokens, log_probabilities, no_repeat)
            for constraint in constraints:
                log_probabilities = constraint(tokens, log_probabilities)
            return log_probabilities

        with self.evaluating():
            src = src.to(self.device)
            memory, mask, state = self.net.encode(src)

            def step(last: Tensor, state: State) -> tuple[Tensor, State]:
                scores, state, _ = self.net.decode(last[:, None], memory, mask, state, src)
                return scores[:, 0].float().log_softmax(1), state

            longest = (masks.longest or self.hparams["max_length"]) if masks else 2 * src.shape[1] + 10
            common: dict[str, Any] = {"start": START, "end": END, "max_length": longest, "adjust": adjust}
            if decoding == "greedy":
                return greedy(step, state, len(src), **common)[0]
            if decoding == "nucleus":
                generator = None if seed is None else torch.Generator(self.device).manual_seed(seed)
                return nucleus(step, state, len(src), generator=generator, **common)[0]
            penalty = self.hparams["length_penalty"] if length_penalty is None else length_penalty
            return beam_search(step, state, len(src), beam=beam, length_penalty=penalty, **common)[0]

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary.

        Raises:
            ValueError: If the model has none.
        """
        return vocabulary_from_json(self.hparams["tokenizer"])

    @property
    def entity_masks(self) -> EntityMasks | None:
        """The masks of numbers and names, None without them."""
        json = self.hparams["entity_masks"]
        return None if json is None else entity_masks_from_json(json)

    @property
    def lexicon(self) -> Lexicon | None:
        """The translations of single words, None without them."""
        json = self.hparams["lexicon"]
        return None if json is None else lexicon_from_json(json)

    @property
    def whole_masks(self) -> DatabaseValues | MailMasks | None:
        """What masks texts that are answered as a whole: questions or e-mails; None for a translator of sentences."""
        values, mails = self.hparams["database_values"], self.hparams["mail_masks"]
        if values is not None:
            return database_values_from_json(values)
        return None if mails is None else mail_masks_from_json(mails)

    def _constraints(self, src: Tensor) -> list[Constraint]:
        if self.hparams["tokenizer"] is None:
            return []
        return answer_constraints(src, self.vocabulary, self.whole_masks, self.entity_masks)

    def translate(self, texts: Sequence[str], **decoding: Any) -> list[str]:
        """Translate texts: sentences, or several sentences and lines, whose white space is kept.

        Each sentence is translated by itself. Numbers and names are copied where the model has entity masks, a text in
        capitals gives one in capitals, and a sentence that is longer than ``max_length`` tokens is divided into
        clauses. A single word of the lexicon is translated by it. What has no letters stays as it is, as does a
        sentence in an alphabet that the model does not know. A model with ``database_values`` takes each text as one
        question and writes an SQL query, one with ``mail_masks`` as one e-mail and writes its subject line. A progress
        bar is shown where there is much to do.

        Args:
            texts: The texts.
            **decoding: ``decoding``, which is ``beam`` (default), ``greedy`` or ``nucleus``; ``beam``, the beam
                width; ``length_penalty``, see ``beam_search``, None for the model's; ``no_repeat``, the length in
                tokens of phrases that no answer has twice, 0 for no such rule, None for 3 in sentences and subjects
                and 0 in queries; ``seed`` of ``nucleus``.

        Raises:
            ValueError: If the model has no tokenizer, a text is not a string, or an argument is wrong.
        """
        return [translation.text for translation in self.translate_with_confidence(texts, **decoding)]

    def translate_with_confidence(self, texts: Sequence[str], **decoding: Any) -> list[Translation]:
        """Translate texts as ``translate`` does, and return each sentence with the confidence in its translation."""
        from rich.progress import track

        listed = isinstance(texts, Sequence) and not isinstance(texts, str)
        if not listed or not all(isinstance(text, str) for text in texts):
            raise ValueError(f"{type(texts).__name__}: expected a list of strings")
        longest = self.hparams["max_length"]
        found = [self._source_text(text) for text in texts]
        parts = [part for text in found for part in text.parts]
        answers: list[tuple[str, float | None]] = [part.known or (part.source, None) for part in parts]
        given = [row for row, part in enumerate(parts) if part.ready is not None]
        rows = self.vocabulary.encode([str(parts[row].ready) for row in given])
        known = {}
        for row, ids in zip(given, rows):
            if self.whole_masks is None and SourceText.is_foreign(ids):
                answers[row] = (parts[row].source, 0.0)
            else:
                known[row] = torch.tensor([START, *ids[: longest - 2], END])
        order = sorted(known, key=lambda row: len(known[row]))
        batches = [order[at : at + SENTENCES_A_BATCH] for at in range(0, len(order), SENTENCES_A_BATCH)]
        quiet = len(batches) < 10 or not sys.stderr.isatty()
        for chosen in track(batches, "translating", disable=quiet, transient=True):
            src = pad_sequence([known[row] for row in chosen], batch_first=True, padding_value=PAD)
            written = self.translated(src, **decoding)
            decoded = self.vocabulary.decode(written.tolist())
            for row, answer, confidence in zip(chosen, decoded, self.confidence(src, written).tolist()):
                answers[row] = (parts[row].finish(answer), confidence)
        remaining = iter(answers)
        return [text.join(list(islice(remaining, len(text.parts)))) for text in found]

    def _source_text(self, text: str) -> SourceText | WholeText:
        if self.whole_masks is not None:
            return WholeText(text, self.whole_masks)
        return SourceText(text, self.vocabulary, self.hparams["max_length"], self.entity_masks, self.lexicon)

    @torch.no_grad()
    def confidence(self, src: Tensor, tgt: Tensor) -> Tensor:
        """Return the geometric mean (N,) of the probabilities of target tokens, each given those before it.

        Args:
            src: Token ids of the sources (N, S).
            tgt: Token ids of the targets (N, T) without ``START``; what follows the first ``END`` does not count.
        """
        with self.evaluating():
            src, tgt = src.to(self.device), tgt.to(self.device)
            before = torch.cat([torch.full_like(tgt[:, :1], START), tgt[:, :-1]], 1)
            log_probabilities = self(src, before).float().log_softmax(2).gather(2, tgt[:, :, None])[:, :, 0]
            counted = ((tgt == END).cumsum(1) - (tgt == END).long()) == 0
            return ((log_probabilities * counted).sum(1) / counted.sum(1).clamp_min(1)).exp()

    def predict_rows(self, x: Any) -> list[dict[str, Any]]:
        """Return the translation of each text, and the lowest confidence of its sentences."""
        found = self.translate_with_confidence(x)
        return [{"translation": each.text, "confidence": each.confidence} for each in found]

    @torch.no_grad()
    def attention(self, src: Tensor, tgt: Tensor) -> Tensor | None:
        """Return the attention weights (N, T, S) of the last layer over the source for each target token.

        Args:
            src: Token ids (N, S).
            tgt: Token ids (N, T), from ``START`` on.
        """
        with self.evaluating():
            src = src.to(self.device)
            memory, mask, state = self.net.encode(src)
            return self.net.decode(tgt.to(self.device), memory, mask, state, src)[2]
