"""Some translations, and where the model looked, for TensorBoard."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from zoo.tasks.translation import Translator
from zoo.tokens import END, PAD, START, Tokens


class Translations(Callback):
    """Log what the model makes of validation sentences, the same each time.

    After each validation the text ``translations`` shows sources, what the model wrote by greedy decoding and a right
    answer; the pictures ``attention`` show for the first of them how much of each source token the last layer took in
    before it wrote each token; and ``val_bleu`` is BLEU of ``counted`` sentences against one answer each.

    Args:
        shown: Number of sentences shown.
        mapped: Number of attention maps.
        counted: Number of sentences that BLEU is computed over, at most a validation batch; 0 leaves it out.
    """

    def __init__(self, shown: int = 10, mapped: int = 3, counted: int = 256) -> None:
        self.shown, self.mapped, self.counted = shown, mapped, counted
        self._pairs: tuple[Tensor, Tensor] | None = None

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the first sentences, which are the same each time."""
        if batch_idx == 0:
            src, _, tgt, _ = batch
            kept = max(self.shown, self.mapped, self.counted)
            self._pairs = src[:kept], tgt[:kept]

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log texts and pictures."""
        logger, model = trainer.logger, pl_module
        assert isinstance(model, Translator)
        if not isinstance(logger, TensorBoardLogger) or not trainer.is_global_zero or trainer.sanity_checking:
            return
        if self._pairs is None or model.hparams["tokenizer"] is None:
            return
        src, tgt = self._pairs
        written = model.translated(src, decoding="greedy")
        texts = [model.tokens.texts(ids.tolist()) for ids in (src, written, tgt)]
        if self.counted:
            from zoo.errors import needs

            bleu = needs("sacrebleu", "text").corpus_bleu(texts[1], [texts[2]])
            logger.experiment.add_scalar("val_bleu", bleu.score, trainer.global_step)
        rows = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in list(zip(*texts))[: self.shown]]
        table = "source | written | right\n--- | --- | ---\n" + "\n".join(rows)
        logger.experiment.add_text("translations", table, trainer.global_step)
        self._log_attention(model, logger, src[: self.mapped], written[: self.mapped], trainer.global_step)

    @staticmethod
    def _log_attention(model: Translator, logger: TensorBoardLogger, src: Tensor, written: Tensor, step: int) -> None:
        begun = torch.cat([torch.full_like(written[:, :1], START), written[:, :-1]], 1)
        weights = model.attention(src, begun)
        if weights is None:
            return
        for number, (row, ids, map_) in enumerate(zip(src, written, weights.float().cpu())):
            figure = attention_map(model.tokens, row[row != PAD].tolist(), _to_end(ids.tolist()), map_)
            logger.experiment.add_figure(f"attention/{number}", figure, step)


def _to_end(ids: list[int]) -> list[int]:
    return ids[: ids.index(END) + 1] if END in ids else ids


def attention_map(tokens: Tokens, src: list[int], written: list[int], weights: Tensor) -> Any:
    """Draw where a model looked: a row for each token written, a column for each of the source.

    Args:
        tokens: The vocabulary.
        src: Token ids of the source.
        written: Token ids of what was written.
        weights: (T, S); what fills them up is left out.

    Returns:
        A figure of matplotlib.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2 + 0.35 * len(src), 1.5 + 0.3 * len(written)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(weights[: len(written), : len(src)].numpy(), vmin=0, vmax=1, cmap="Blues", aspect="auto")
    axes.set_xticks(range(len(src)), tokens.pieces(src), rotation=60, ha="right")
    axes.set_yticks(range(len(written)), tokens.pieces(written))
    axes.set(title="Attention before each token written", xlabel="source", ylabel="written")
    figure.colorbar(image, label="weight")
    return figure
