"""Language modelling: the probability of each token of a text given those before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from datamodules.text.files import is_blank, without_surrogates
from datamodules.text.vocabulary import END, PAD, SPECIAL, Vocabulary, vocabulary_from_json
from zoo.base import Batch, Values, ZooModule
from zoo.errors import check_counts, check_positive, unknown
from zoo.nn.completions import Endings, TypedTokens
from zoo.nn.decoding import State, StepFunction, nucleus
from zoo.nn.losses import token_loss
from zoo.tasks.continuations import decode_after, find_continuations
from zoo.tasks.prompts import Prompts, prompts_of
from zoo.tasks.typing_session import TypingSession
from zoo.training.batches import check_batch, check_ids, inputs_of

UNITS = ("sentence", "word")
SHOWN = 5
"""Number of continuations that ``predict_rows`` gives. Set by hand."""
BEAM = 20
"""Fewest open continuations kept in the beam search, if none is given. Chosen on validation texts of Tiny Shakespeare,
where the best five are those of a beam of 200."""
PIECE = 1_024
"""Number of tokens of a text that are read at once. Set by hand."""


class Completion(NamedTuple):
    """A continuation of a text, without the text, and its probability."""

    text: str
    probability: float


class LanguageModel(ZooModule):
    """Language model: a network that scores each next token of a text given the tokens before it.

    The network has ``extend(ids, state)``, which returns scores and a state, and ``advance(ids, state)``, which returns
    the state alone, besides ``forward(ids)``, as ``LanguageModelNet``. A batch is (ids, start): token ids (N, T),
    int64, padded with 0, and for each row the number (N,), int64, of leading tokens that are context and are not
    scored, at least 1. The loss is the mean over the scored tokens x_t of -log p(x_t | x_1, ..., x_(t-1)), in nats. The
    means of an epoch are over its scored tokens.

    Metrics: ``nats``, the loss without penalties; in evaluation also ``accuracy``, the share of the scored tokens that
    were the most probable.

    Args:
        vocab_size: Number of tokens; token 0 is padding.
        tokenizer: Vocabulary as JSON of Hugging Face's ``tokenizers``; None for a model that takes token ids only.
        private_words: What is replaced by symbols before a text is read, and is never suggested, as JSON of
            ``PrivateWords``; None for nothing.
        **optimisation: Arguments of ``ZooModule``.
    """

    net: Any
    default_monitor = "val_nats"
    batch_parts = ("ids", "start")
    outside_net = "Tokenization, the softmax over the scores, and the choice of continuations (beam search, sampling)."
    no_answer: ClassVar[dict[str, Any]] = {
        f"{name}_{k}": None for k in range(1, SHOWN + 1) for name in ("continuation", "probability")
    }
    """Answer to a text that shows nothing, or no character that the model knows."""

    def __init__(
        self,
        *,
        vocab_size: int = 69,
        tokenizer: str | None = None,
        private_words: str | None = None,
        **optimisation: Any,
    ) -> None:
        super().__init__(**optimisation)
        if vocab_size <= len(SPECIAL):
            raise ValueError(
                f"vocab_size must be at least {len(SPECIAL) + 1}, not {vocab_size}: {len(SPECIAL)} tokens are special"
            )

    @property
    def example_input_array(self) -> Any:
        """Token ids of one short text."""
        return torch.ones(1, 4, dtype=torch.long)

    @example_input_array.setter
    def example_input_array(self, example: Any) -> None:
        raise AttributeError("example_input_array is the same for every text")

    def check_batch(self, batch: Any) -> None:
        """Raise ``ValueError`` unless a batch is token ids (N, T), T >= 2, and numbers (N,) >= 1, both int64."""
        check_batch(batch, self.batch_parts)
        ids, start = batch[:2]
        check_ids(ids, self.hparams["vocab_size"], "ids")
        if ids.shape[1] < 2:
            raise ValueError(f"ids of shape {tuple(ids.shape)}: expected (N, T) with T >= 2, a token and the next")
        if start.ndim != 1 or start.dtype != torch.int64 or (len(start) and int(start.min()) < 1):
            least = f", from {int(start.min())}" if start.numel() else ""
            raise ValueError(
                f"start of shape {tuple(start.shape)} and {start.dtype}{least}: expected (N,), int64, at least 1"
            )

    def step(self, batch: Batch) -> Values:
        """Compute the loss of a batch (ids, start), ``nats`` and in evaluation ``accuracy``."""
        ids, start = batch
        wanted = ids[:, 1:]
        scored = (torch.arange(1, ids.shape[1], device=ids.device) >= start[:, None]) & (wanted != PAD)
        target = wanted.masked_fill(~scored, PAD)
        scores = self(ids[:, :-1])
        loss = token_loss(scores.flatten(0, 1), target.flatten(), ignore_index=PAD)
        weight = scored.sum()
        values = {"loss": loss, "nats": loss.detach(), "weight": weight}
        if self.training:
            return values
        return {**values, "accuracy": ((scores.argmax(2) == target) & scored).sum() / weight.clamp_min(1)}

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the nats (N, T - 1) of each token given those before it, of a batch ids or (ids, ...); 0 in padding.

        The first token has none.
        """
        ids = inputs_of(batch)
        check_ids(ids, self.hparams["vocab_size"], "ids")
        scores = self(ids[:, :-1]).float()
        return F.cross_entropy(scores.transpose(1, 2), ids[:, 1:], ignore_index=PAD, reduction="none")

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary.

        Raises:
            ValueError: If the model has none.
        """
        return vocabulary_from_json(self.hparams["tokenizer"])

    @property
    def prompts(self) -> Prompts:
        """How texts are read and written."""
        return prompts_of(self.vocabulary, self.hparams["private_words"])

    def complete(
        self,
        text: str,
        n: int = 5,
        *,
        until: str = "word",
        units: int = 1,
        context: str | None = None,
        max_length: int = 100,
        beam: int | None = None,
        read: Callable[[Tensor], State] | None = None,
    ) -> list[Completion]:
        """Return the most probable continuations of a text, each up to the end of a word or of a sentence.

        A continuation of a word goes up to the end of the first word that it has a letter or digit of: the rest of the
        word in which the text ends, or, where the text ends with a whole word, spaces and the next word as well. A word
        ends where a token follows that starts with another character than a letter, a digit or an apostrophe. A
        sentence ends with a full stop, an exclamation or a question mark, or before the end of a line. The probability
        is that the text goes on with this and ends there, see ``likely_completions``, so shorter continuations are
        favoured only by being more probable. With ``units`` it goes on to the end of that many words or sentences. One
        of ``max_length`` tokens ends wherever it is. Characters of the text that the model does not know are ignored.

        A text that ends with letters may end within a word, which a vocabulary of subwords divides otherwise than its
        beginning. So its last word is not read: the tokens of a continuation begin with it, and probabilities are those
        given its letters. With ``private_words`` a continuation has common words alone, no digit and no name; a symbol
        is shown as what it stands for, such as ``<name>``.

        Args:
            text: The text, of at least one known character; any for a model with contexts.
            n: Number of continuations.
            until: ``word`` or ``sentence``.
            units: Number of words or sentences.
            context: What the text is read with, such as the subject of an e-mail; only for a model that has contexts.
            max_length: Largest number of tokens of a continuation.
            beam: Number of open continuations kept in the beam search, at least ``n``; twice that, at least ``BEAM``,
                if None.
            read: Function from token ids (1, T) to the state after all but the last; that of the model if None. A
                ``TypingSession`` has one for texts that are typed.

        Returns:
            Up to ``n`` distinct continuations without the text, best first; fewer if the model has no more.

        Raises:
            ValueError: If the model has no tokenizer, the text is no string or has no known character, or an argument
                is out of range.
        """
        beam = max(BEAM, 2 * n) if beam is None and isinstance(n, int) else beam
        check_counts(n=n, units=units, max_length=max_length, beam=beam)
        if until not in UNITS:
            raise unknown("until", until, UNITS)
        prompt = self.prompts.prompt(text, context)
        search: dict[str, Any] = {
            "n": n,
            "until": until,
            "units": units,
            "max_length": max_length,
            "beam": max(beam, n),
        }
        with torch.no_grad(), self.evaluating():
            found = find_continuations(self, prompt, read=read or self.state_before_last, **search)
        return [Completion(*each) for each in sorted(found.items(), key=lambda each: -each[1])[:n]]

    def sample(
        self,
        text: str,
        length: int = 200,
        *,
        context: str | None = None,
        temperature: float = 1.0,
        top_p: float = 1.0,
        seed: int | None = 0,
    ) -> str:
        """Return a random continuation of a text, without the text.

        Each token is drawn from softmax(scores / temperature), from the smallest set of tokens of total probability
        ``top_p`` or more (Holtzman et al., 2020). Characters of the text that the model does not know are ignored. With
        ``private_words`` what is private in the continuation is replaced by symbols, shown such as ``<name>``.

        Args:
            text: The text, of at least one known character; any for a model with contexts.
            length: Number of tokens; fewer if the model ends the text.
            context: As in ``complete``.
            temperature: Divisor of the scores; values below 1 give more probable texts.
            top_p: Probability of the nucleus, in (0, 1]; 1 draws from all tokens.
            seed: Seed of the draws, from 0 on; None for torch's own generator.

        Raises:
            ValueError: As ``complete`` does.
        """
        check_counts(length=length)
        check_positive(temperature=temperature, top_p=top_p)
        if top_p > 1:
            raise ValueError(f"top_p must be at most 1, not {top_p}")
        if seed is not None and (not isinstance(seed, int) or not 0 <= seed < 2**63):
            raise ValueError(f"seed must be a whole number from 0 to 2**63 - 1, not {seed!r}")
        prompt = self.prompts.prompt(text, context)
        ids = torch.tensor([prompt.ids], device=self.device)
        never = ~self.endings("word").allowed
        never[END] = False

        def without_special(tokens: Tensor, log_probabilities: Tensor) -> Tensor:
            return log_probabilities.masked_fill(never, -torch.inf)

        with torch.no_grad(), self.evaluating():
            step: StepFunction = self.next_tokens
            state = self.state_before_last(ids)
            if prompt.typed:
                typed = TypedTokens(self.prompts.surfaces, prompt.typed, never)
                step, state = typed.step(step), typed.begin(state)
            drawn, _ = nucleus(
                step,
                state,
                1,
                start=int(ids[0, -1]),
                end=END,
                max_length=length,
                p=top_p,
                temperature=temperature,
                generator=None if seed is None else torch.Generator(self.device).manual_seed(seed),
                adjust=without_special,
            )
        (written,) = decode_after(self.vocabulary, prompt.ids[-1], drawn.tolist())
        return self.prompts.continuation(prompt, written, hide=True) or ""

    @torch.no_grad()
    def nats(self, texts: Sequence[str], contexts: Sequence[str] | None = None) -> list[float]:
        """Return the mean over the tokens of each text of -log p(token | those before), in nats.

        The first token has no probability, unless the model has contexts; then the end of the text has one too. The
        state is carried through the whole text.

        Args:
            texts: The texts.
            contexts: What each text is read with, see ``complete``; None for nothing.

        Returns:
            A number for each text; NaN for one of fewer than two tokens.

        Raises:
            ValueError: If the model has no tokenizer or a text is not a string.
        """
        listed = isinstance(texts, Sequence) and not isinstance(texts, str)
        if not listed or not all(isinstance(text, str) for text in texts):
            raise ValueError(f"{type(texts).__name__}: expected a list of strings")
        if contexts is not None and len(contexts) != len(texts):
            raise ValueError(f"{len(contexts)} contexts of {len(texts)} texts: expected one of each")
        found = []
        with self.evaluating():
            for k, text in enumerate(texts):
                row, unscored = self.prompts.sequence(text, None if contexts is None else contexts[k])
                ids, losses, state = torch.tensor([row], dtype=torch.long, device=self.device), [], None
                for read, wanted in zip(ids[:, :-1].split(PIECE, 1), ids[:, 1:].split(PIECE, 1)):
                    if not read.shape[1]:
                        continue
                    scores, state = self.net.extend(read, state)
                    losses.append(F.cross_entropy(scores[0].float(), wanted[0], reduction="none"))
                scored = torch.cat([ids.new_zeros(0, dtype=torch.float), *losses])[unscored - 1 :]
                found.append(float(scored.double().mean()))
        return found

    def predict_rows(self, x: Sequence[str]) -> list[dict[str, Any]]:
        """Return each text with the five best continuations of ``complete`` and their probabilities.

        They are None for a text that shows nothing, or no character that the model knows.
        """
        rows = []
        for text in map(without_surrogates, x):
            answer = dict(self.no_answer)
            if not is_blank(text) and self.prompts.knows(text):
                for k, found in enumerate(self.complete(text, SHOWN), 1):
                    answer.update({f"continuation_{k}": found.text, f"probability_{k}": found.probability})
            rows.append({"text": text, **answer})
        return rows

    def typing(self) -> TypingSession:
        """Return a session of completions of a text as it is typed, which reads only what has changed."""
        return TypingSession(self)

    @torch.no_grad()
    def advance(self, ids: Tensor, state: State | None = None) -> State:
        """Return the state of the network after ids (N, T), T >= 1, from a state; that of no tokens if None."""
        for piece in ids.split(PIECE, 1):
            state = self.net.advance(piece, state)
        return state or ()

    def state_before_last(self, ids: Tensor) -> State:
        """Return the state of the network after all ids (1, T) but the last, T >= 1."""
        if ids.shape[1] == 1:
            return tuple(torch.zeros_like(part) for part in self.advance(ids))
        return self.advance(ids[:, :-1])

    def next_tokens(self, last: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the log-probabilities (N, V) of the tokens after the last ones (N,), and the new state.

        This is a ``StepFunction`` of ``zoo.nn.decoding``.
        """
        scores, state = self.net.extend(last[:, None], state)
        return scores[:, 0].float().log_softmax(1), state

    def endings(self, until: str) -> Endings:
        """Return the endings of a ``word`` or a ``sentence`` on the model's device; see ``complete``."""
        return Endings(*(each.to(self.device) for each in self.prompts.endings(until)))
