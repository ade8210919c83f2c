"""The search of a language model for continuations of a text."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from datamodules.text.vocabulary import Vocabulary
from zoo.nn.completions import TypedTokens, likely_completions
from zoo.nn.decoding import State, StepFunction
from zoo.tasks.prompts import Prompt

if TYPE_CHECKING:
    from zoo.tasks.language_modelling import LanguageModel

OFFERED = 8
"""Continuations that are searched for each that is wanted, since some are private. Set by hand."""


def find_continuations(
    model: LanguageModel,
    prompt: Prompt,
    *,
    n: int,
    until: str,
    units: int,
    max_length: int,
    beam: int,
    read: Callable[[Tensor], State],
    starts_word: bool = False,
) -> dict[str, float]:
    """Return likely continuations of a prompt, as a reader is shown them, and the probability of each.

    Where a word is typed, the continuations go on with it, or end it and go on with the next one. With the typed text
    t, its end as a word e, and continuations y of either kind, their probabilities are

        p(t y) / p(t)    and    p(t e) / p(t) p(y | e)

    Args:
        model: The language model.
        prompt: The prompt.
        n: Number of continuations.
        until: ``word`` or ``sentence``.
        units: Number of words or sentences.
        max_length: Largest number of tokens.
        beam: Number of open continuations.
        read: Function from token ids (1, T) to the state after all but the last.
        starts_word: Whether only continuations before which a word ends are searched, and the probabilities are those
            given that it ends.
    """
    endings, last = model.endings(until), prompt.ids[-1]
    step: StepFunction = model.next_tokens
    before = model.endings("word").before
    ids = torch.tensor([prompt.ids], device=model.device)
    state, scale = read(ids), 0.0
    found: dict[str, float] = {}
    if starts_word:
        scale = float(step(ids[:, -1], state)[0][:, before].logsumexp(1))
    elif prompt.typed:
        is_word = until == "word" and bool(prompt.typed.strip())
        typed = TypedTokens(model.prompts.surfaces, prompt.typed, before)
        scale, ended = typed.log_masses(step, state, last, beam)
        if scale == -math.inf:
            return {}
        if is_word and ended > -math.inf:
            search: dict[str, Any] = {"n": n, "until": until, "units": units, "max_length": max_length, "beam": beam}
            others = find_continuations(model, model.prompts.whole(prompt), read=read, starts_word=True, **search)
            found = {text: p * math.exp(ended - scale) for text, p in others.items()}
        step, state = typed.step(step, within=is_word), typed.begin(state)
    wanted = n if model.prompts.private is None else OFFERED * n
    rows = likely_completions(
        step,
        state,
        last,
        endings,
        n=wanted,
        max_length=max_length + len(prompt.typed),
        beam=max(beam, wanted),
        units=units,
        first=before if starts_word else None,
    )
    written = decode_after(model.vocabulary, last, [tokens for tokens, _ in rows])
    for each, (_, log_probability) in zip(written, rows):
        text = model.prompts.continuation(prompt, each)
        if text:  # several subwords may give the same text
            found[text] = found.get(text, 0.0) + math.exp(log_probability - scale)
    return found


def decode_after(vocabulary: Vocabulary, last: int, rows: Sequence[Sequence[int]]) -> list[str]:
    """Decode the tokens that follow a last one; a vocabulary of subwords drops the space at the start of a text."""
    before, *texts = vocabulary.decode([[last], *([last, *row] for row in rows)])
    return [text[len(before) :] for text in texts]
