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

OFFERED = (2, 8)
"""Continuations that are searched for each that is wanted, since some are private: at first, and where too few are
found. Set by hand."""


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
    least: float = 0.0,
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
        least: Probability that a continuation must exceed.
    """
    endings, last = model.endings(until), prompt.ids[-1]
    step: StepFunction = model.next_tokens
    before = model.endings("word").before
    ids = torch.tensor([prompt.ids], device=model.device)
    state, scale, ended, is_word = read(ids), 0.0, -math.inf, False
    if starts_word:
        scale = float(step(ids[:, -1], state)[0][:, before].logsumexp(1))
    elif prompt.typed:
        typed = TypedTokens(model.prompts.surfaces, prompt.typed, before)
        scale, ended = typed.log_masses(step, state, last, beam)
        if scale == -math.inf:
            return {}
        is_word = until == "word" and bool(prompt.typed.strip())
        step, state = typed.step(step, within=is_word), typed.begin(state)

    def search(wanted: int, least: float) -> tuple[dict[str, float], float]:
        """Return the continuations more probable than ``least`` that may be suggested, and a bound of all others."""
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
            floor=_log(least) + scale,
        )
        found: dict[str, float] = {}
        for each, (_, log_probability) in zip(decode_after(model.vocabulary, last, [row for row, _ in rows]), rows):
            text = model.prompts.continuation(prompt, each)
            if text:  # several subwords may give the same text
                found[text] = found.get(text, 0.0) + math.exp(log_probability - scale)
        return found, math.exp(rows[-1][1] - scale) if len(rows) == wanted else 0.0

    def go_on(least: float) -> dict[str, float]:
        """Return the continuations by another word that are more probable than ``least``."""
        options: dict[str, Any] = {"n": n, "until": until, "units": units, "max_length": max_length, "beam": beam}
        whole = model.prompts.whole(prompt)
        given = find_continuations(model, whole, read=read, starts_word=True, least=least / share, **options)
        return {text: p * share for text, p in given.items()}

    share = math.exp(ended - scale) if is_word else 0.0
    at_first, at_most = (n, n) if model.prompts.private is None else (k * n for k in OFFERED)
    others = go_on(least) if share > 0.5 else {}  # the likelier ones first, so that the others need less search
    found, rest = search(at_first, max(least, _nth(others, n)))
    if _nth(found, n) < share <= 0.5:
        others = go_on(max(least, _nth(found, n)))
    best = _nth({**others, **found}, n)
    if at_most > at_first and rest > best:
        found, _ = search(at_most, max(least, best))
    return {text: found.get(text, 0.0) + others.get(text, 0.0) for text in (*found, *others)}


def _nth(found: dict[str, float], n: int) -> float:
    """Return the n-th highest probability, 0 if there are fewer."""
    return sorted(found.values())[-n] if len(found) >= n else 0.0


def _log(probability: float) -> float:
    return math.log(probability) if probability > 0 else -math.inf


def decode_after(vocabulary: Vocabulary, last: int, rows: Sequence[Sequence[int]]) -> list[str]:
    """Decode the tokens that follow a last one; a vocabulary of subwords drops the space at the start of a text."""
    before, *texts = vocabulary.decode([[last], *([last, *row] for row in rows)])
    return [text[len(before) :] for text in texts]
