"""Translations and attention maps in TensorBoard."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from torch import Tensor

from datamodules.text.mail_masks import SHOWN_SYMBOLS
from datamodules.text.vocabulary import END, PAD, START
from zoo.callbacks.tensorboard import TensorBoardCallback
from zoo.errors import check_counts, needs
from zoo.figures.attention import attention_map
from zoo.figures.tables import text_table
from zoo.tasks.translation import Translator


class Translations(TensorBoardCallback):
    """Log translations of validation sentences, the same each time.

    After each validation the text ``translations`` shows sources, greedy translations and references; the figures
    ``attention`` show the attention weights of the last layer for the first of them; and ``val_bleu`` is the BLEU of
    ``counted`` sentences with one reference each.

    Args:
        shown: Number of sentences shown.
        mapped: Number of attention maps.
        counted: Number of sentences for BLEU, at most a validation batch; 0 turns it off.
    """

    def __init__(self, shown: int = 10, mapped: int = 3, counted: int = 256) -> None:
        check_counts(shown=shown, counted=counted)
        self.shown, self.mapped, self.counted = shown, mapped, counted
        self._pairs: tuple[Tensor, Tensor] | None = None

    @classmethod
    def suits(cls, model: L.LightningModule) -> bool:
        """Return whether the model is a translator."""
        return isinstance(model, Translator)

    def collect(self, model: Any, batch: Any, batch_idx: int) -> None:
        """Keep the first sentences, which are the same each time."""
        if batch_idx == 0:
            src, _, tgt, _ = batch
            kept = max(self.shown, self.mapped, self.counted)
            self._pairs = src[:kept], tgt[:kept]

    def draw(self, model: Any, writer: Any, step: int) -> None:
        """Log translations, BLEU and attention maps."""
        if self._pairs is None or model.hparams["tokenizer"] is None:
            return
        src, tgt = self._pairs
        written = model.translated(src, decoding="greedy")
        decoded = [model.vocabulary.decode(ids.tolist()) for ids in (src, written, tgt)]
        texts = [[text.translate(SHOWN_SYMBOLS) for text in column] for column in decoded]
        if self.counted:
            bleu = needs("sacrebleu", "text").corpus_bleu(texts[1], [texts[2]])
            writer.add_scalar("val_bleu", bleu.score, step)
        table = text_table(("source", "translation", "reference"), list(zip(*texts))[: self.shown])
        writer.add_text("translations", table, step)
        self._draw_attention(model, writer, src[: self.mapped], written[: self.mapped], step)

    @staticmethod
    def _draw_attention(model: Translator, writer: Any, src: Tensor, written: Tensor, step: int) -> None:
        begun = torch.cat([torch.full_like(written[:, :1], START), written[:, :-1]], 1)
        weights = model.attention(src, begun)
        if weights is None:
            return
        for number, (row, ids, map_) in enumerate(zip(src, written, weights.float().cpu())):
            figure = attention_map(model.vocabulary, row[row != PAD].tolist(), _to_end(ids.tolist()), map_)
            writer.add_figure(f"attention/{number}", figure, step)


def _to_end(ids: list[int]) -> list[int]:
    return ids[: ids.index(END) + 1] if END in ids else ids
