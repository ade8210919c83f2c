"""Completions of a text as it is typed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from zoo.nn.decoding import State

if TYPE_CHECKING:
    from zoo.tasks.language_modelling import Completion, LanguageModel

SINGLY = 8
"""Number of tokens at the end of a text that are read one by one. The last word changes its tokens as it is typed: with
the state after each of them kept, only what changed is read. Set by hand."""
SHOWN = 40
"""Number of characters of a text that are shown before a continuation. Set by hand."""
KEPT = 64
"""Largest number of states that are kept. Set by hand."""


class TypingSession:
    """Completions of a text as it is typed: the tokens that the text shares with the last one are not read again.

    The answers are those of ``LanguageModel.complete`` up to the rounding of floats. The states of the network that are
    kept are dropped when its weights are changed in place or moved, such as by an optimizer, ``load_state_dict`` or
    ``to``; a change by ``parameter.data`` is not noticed.

    Args:
        model: The model.
    """

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        self._weights: list[tuple[Any, ...]] = []
        self._ids: list[int] = []
        self._states: dict[int, State] = {}

    def complete(self, text: str, n: int = 5, **options: Any) -> list[Completion]:
        """Return the most probable continuations of a text, as ``LanguageModel.complete`` does with these arguments."""
        return self.model.complete(text, n, read=self.state_before_last, **options)

    def describe(self, text: str, n: int = 5) -> list[str]:
        """Return a line for each continuation: its probability, and the end of the text with the continuation."""
        return [f"{found.probability:.4f}  {text[-SHOWN:]}{found.text}" for found in self.complete(text, n)]

    def state_before_last(self, ids: Tensor) -> State:
        """Return the state of the network after all ids (1, T) but the last, T >= 1."""
        weights = [(each.data_ptr(), each._version, each.dtype) for each in self.model.net.parameters()]
        if weights != self._weights:
            self._weights, self._states = weights, {}
        *known, _ = ids[0].tolist()
        if not known:
            return self.model.state_before_last(ids)
        shared = next((k for k, pair in enumerate(zip(known, self._ids)) if pair[0] != pair[1]), None)
        shared = min(len(known), len(self._ids)) if shared is None else shared
        self._ids, self._states = known, {length: each for length, each in self._states.items() if length <= shared}
        done = max(self._states, default=0)
        state = self._states.get(done)
        for end in [*range(max(done + 1, len(known) - SINGLY), len(known)), len(known)] if done < len(known) else []:
            state = self._states[end] = self.model.advance(ids[:, done:end], state)
            done = end
        self._states = dict(list(self._states.items())[-KEPT:])
        return self._states[len(known)]
