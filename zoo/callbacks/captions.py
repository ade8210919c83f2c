"""Captions and attention maps in TensorBoard."""

from __future__ import annotations

from typing import Any

import lightning as L
from torch import Tensor

from zoo.callbacks.tensorboard import TensorBoardCallback
from zoo.errors import check_counts
from zoo.figures.captions import attention_grid, caption_grid
from zoo.figures.tables import text_table
from zoo.tasks.captioning import Captioner


class Captions(TensorBoardCallback):
    """Log captions of validation pictures, the same pictures each time.

    After each validation the figure ``captions`` shows pictures with their captions by beam search and one of their
    references, the text ``captions`` the same as a table, and the figures ``attention`` the attention by word for the
    first of them.

    Args:
        shown: Number of pictures.
        mapped: Number of pictures with attention maps.
    """

    def __init__(self, shown: int = 8, mapped: int = 3) -> None:
        check_counts(shown=shown)
        self.shown, self.mapped = shown, mapped
        self._pictures: Tensor | None = None
        self._references: list[list[int]] = []

    @classmethod
    def suits(cls, model: L.LightningModule) -> bool:
        """Return whether the model captions pictures."""
        return isinstance(model, Captioner)

    def collect(self, model: Any, batch: Any, batch_idx: int) -> None:
        """Keep the first pictures with their first captions, which are the same each time."""
        if batch_idx == 0:
            pictures, captions = batch
            self._pictures = pictures[: self.shown].float().clamp(0, 1)
            self._references = captions[: self.shown, 0].tolist()

    def draw(self, model: Any, writer: Any, step: int) -> None:
        """Log captions and attention maps."""
        if self._pictures is None or model.hparams["tokenizer"] is None:
            return
        found = model.caption(self._pictures)
        texts, references = [each.text for each in found], model.vocabulary.decode(self._references)
        writer.add_text("captions", text_table(("caption", "reference"), list(zip(texts, references))), step)
        writer.add_figure("captions", caption_grid(list(self._pictures), texts, references), step)
        for number, (picture, each) in enumerate(zip(self._pictures[: self.mapped], found)):
            writer.add_figure(f"attention/{number}", attention_grid(picture, each.text, each.attention), step)
