"""The distribution of the next token after any history by modified Kneser-Ney smoothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.baselines.ngrams import modified_discounts, number_ngrams
from zoo.nn.decoding import State


class Order(NamedTuple):
    """The n-grams of an order, n >= 2, sorted by history and last token; a history's number is that of order n - 1."""

    codes: np.ndarray
    """Number of the history times the number of tokens, plus the last token, (M,), int64, ascending."""
    begin: np.ndarray
    """Index of the first n-gram of each history, and M, (H + 1,)."""
    share: np.ndarray
    """(c(h w) - D(c(h w))) / c(h) of each n-gram h w, (M,)."""
    backoff: np.ndarray
    """g(h) / c(h) of each history h, 1 where c(h) is 0, (H,)."""


class NgramModel:
    """Interpolated n-gram model with modified Kneser-Ney smoothing, see ``zoo.baselines.ngrams``.

    The n-grams of each order are a sorted array, in which those of a history are next to each other, so that the
    probabilities of all tokens after a history take one look at each order.

    Args:
        train: Token ids of the training texts.
        size: Number of token ids.
        order: Order, at least 2.
        never: Ids that do not occur, of probability 0.
    """

    def __init__(self, train: Sequence[np.ndarray], size: int, order: int, never: Collection[int] = ()) -> None:
        self.size, self.order = size, order
        tokens = np.concatenate(train).astype(np.int64)
        place = np.concatenate([np.arange(len(text)) for text in train])
        numbered = list(number_ngrams(tokens, place, size, order))
        uniform = np.full(size, 1 / (size - len(never)))
        uniform[list(never)] = 0.0
        self.orders: list[Order] = []
        for n, (numbers, codes) in enumerate(numbered, 1):
            if n == order:
                count = np.bincount(numbers[place >= n - 1], minlength=len(codes))
            else:  # of each longer n-gram one: its token before is a new one
                longer = np.flatnonzero(place >= n)
                _, first = np.unique(numbered[n][0][longer], return_index=True)
                count = np.bincount(numbers[longer[first]], minlength=len(codes))
            discounts = np.array([0.0, *modified_discounts(count[count > 0])])[np.minimum(count, 3)]
            history = codes // size if n > 1 else np.zeros_like(codes)
            histories = len(numbered[n - 2][1]) if n > 1 else 1
            total = np.bincount(history, count, histories)
            known = np.where(total > 0, total, 1.0)
            share = (count - discounts) / known[history]
            backoff = np.where(total > 0, np.bincount(history, discounts, histories) / known, 1.0)
            if n == 1:
                self.unigrams = share + backoff * uniform
            else:
                begin = np.searchsorted(codes, np.arange(histories + 1) * size)
                self.orders.append(Order(codes, begin, share, backoff))

    def probabilities(self, histories: np.ndarray) -> np.ndarray:
        """Return the probabilities (N, ``size``) of the tokens after histories.

        Args:
            histories: The last tokens (N, ``order`` - 1), int64, of each text, -1 before a shorter one.
        """
        found = np.tile(self.unigrams, (len(histories), 1))
        for length, order in enumerate(self.orders, 1):
            numbers = self._numbers(histories[:, histories.shape[1] - length :])
            for row, number in enumerate(numbers):
                if number >= 0:
                    here = slice(order.begin[number], order.begin[number + 1])
                    found[row] *= order.backoff[number]
                    found[row, order.codes[here] - number * self.size] += order.share[here]
        return found

    def _numbers(self, histories: np.ndarray) -> np.ndarray:
        """Return the numbers (N,) of histories (N, n), -1 for new ones."""
        numbers = histories[:, 0]
        for column, order in enumerate(self.orders[: histories.shape[1] - 1], 1):
            wanted = np.where(numbers >= 0, numbers * self.size + histories[:, column], -1)
            if not len(order.codes):
                return np.full(len(histories), -1)
            index = np.searchsorted(order.codes, wanted).clip(max=len(order.codes) - 1)
            numbers = np.where(order.codes[index] == wanted, index, -1)
        return numbers

    def state_before_last(self, ids: np.ndarray) -> State:
        """Return the state before the last of token ids (T,), for ``next_tokens``: the ``order`` - 2 tokens before."""
        before = ids[:-1][max(0, len(ids) + 1 - self.order) :]
        return (torch.tensor([[-1] * (self.order - 2 - len(before)) + before.tolist()], dtype=torch.long),)

    def next_tokens(self, last: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the log-probabilities (N, ``size``) after the last tokens (N,), and the new state, (N, ``order`` - 2).

        This is a ``StepFunction`` of ``zoo.nn.decoding``.
        """
        histories = torch.cat([state[0], last[:, None]], 1)
        found = torch.from_numpy(self.probabilities(histories.numpy()))
        return found.log().float(), (histories[:, 1:],)
