"""Continuations of texts by a language model in TensorBoard."""

from __future__ import annotations

from typing import Any

import lightning as L

from datamodules.text.vocabulary import PAD
from zoo.callbacks.tensorboard import TensorBoardCallback
from zoo.errors import check_counts
from zoo.tasks.language_modelling import LanguageModel


class Continuations(TensorBoardCallback):
    """Log random continuations of validation texts, the same texts and draws each time.

    After each validation the text ``continuations`` shows the last line of the context of some rows, and after it a
    continuation that the model draws, see ``LanguageModel.sample``.

    Args:
        shown: Number of texts.
        length: Number of tokens of a continuation.
        top_p: Probability of the nucleus that each token is drawn from, in (0, 1].
    """

    def __init__(self, shown: int = 3, length: int = 200, top_p: float = 0.9) -> None:
        check_counts(shown=shown, length=length)
        self.shown, self.length, self.top_p = shown, length, top_p
        self._contexts: list[list[int]] = []

    @classmethod
    def suits(cls, model: L.LightningModule) -> bool:
        """Return whether the model is a language model."""
        return isinstance(model, LanguageModel)

    def collect(self, model: Any, batch: Any, batch_idx: int) -> None:
        """Keep the contexts of the first rows that have the most context, which are the same each time."""
        if batch_idx == 0:
            ids, start = batch
            rows = (start == start.max()).nonzero()[: self.shown, 0].tolist()
            self._contexts = [[i for i in ids[row, : start[row]].tolist() if i != PAD] for row in rows]

    def draw(self, model: Any, writer: Any, step: int) -> None:
        """Log the continuations."""
        if model.hparams["tokenizer"] is None:
            return
        blocks = []
        for number, context in enumerate(model.vocabulary.decode(self._contexts)):
            if context:
                drawn = model.sample(context, self.length, top_p=self.top_p, seed=number)
                shown = context.rstrip("\n").rpartition("\n")[2] + context[len(context.rstrip("\n")) :] + drawn
                blocks.append("\n".join(f"    {line}" for line in shown.split("\n")))  # Markdown keeps indented lines
        if blocks:
            writer.add_text("continuations", "\n\n---\n\n".join(blocks), step)
