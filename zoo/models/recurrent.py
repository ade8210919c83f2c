"""Recurrent networks for the classification of texts."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from datamodules.text.vocabulary import PAD, UNKNOWN
from zoo.errors import unknown
from zoo.nn.attention import Attention
from zoo.nn.pooling import POOLINGS, pool_outputs
from zoo.nn.recurrent import Recurrent
from zoo.nn.word_vectors import latent_word_vectors
from zoo.registry import register_model
from zoo.tasks.text_classification import TextClassifier

INITIALISATIONS = ("lsa", "random")


class TextNet(nn.Module):
    """Network from token ids to scores: embedding, recurrent layers, pooling over the positions and a linear layer.

    Args:
        vocab_size: Number of tokens.
        num_classes: Number of classes.
        embedding_dim: Width of the embedding.
        hidden_dim: Number of units of a recurrent layer in each direction.
        layers: Number of recurrent layers.
        cell: Name of the recurrent cell.
        bidirectional: Whether to use both directions.
        pooling: Name of the pooling, one of ``POOLINGS``.
        dropout: Dropout probability of the embedding, between the layers and of the pooled vector.
        word_dropout: Probability of replacing a token by the unknown token in training.
    """

    def __init__(
        self,
        vocab_size: int,
        num_classes: int,
        embedding_dim: int,
        hidden_dim: int,
        layers: int,
        cell: str,
        bidirectional: bool,
        pooling: str,
        dropout: float,
        word_dropout: float,
    ) -> None:
        super().__init__()
        self.vocab_size, self.pooling, self.word_dropout = vocab_size, pooling, word_dropout
        self.embedding = nn.Embedding(vocab_size, embedding_dim, padding_idx=PAD)
        nn.init.normal_(self.embedding.weight, std=embedding_dim**-0.5)
        nn.init.zeros_(self.embedding.weight[PAD].data)
        self.dropout = nn.Dropout(dropout)
        self.layers = Recurrent(
            embedding_dim, hidden_dim, layers, cell=cell, bidirectional=bidirectional, dropout=dropout
        )
        width = self.layers.out_features
        if pooling == "attention":
            self.question = nn.Parameter(torch.randn(width) * width**-0.5)
            self.attention = Attention(width, width, "additive")
        self.scores = nn.Linear(width, num_classes)

    def forward(self, ids: Tensor) -> Tensor:
        """Map token ids (N, T) to scores (N, num_classes).

        Raises:
            ValueError: If the ids are not a matrix of dtype int64.
        """
        if ids.ndim != 2 or ids.dtype != torch.int64:
            raise ValueError(
                f"input of shape {tuple(ids.shape)} and {ids.dtype}: expected N x T token ids, torch.int64"
            )
        lengths = (ids != PAD).sum(1)
        if self.training and self.word_dropout:
            dropped = torch.rand(ids.shape, device=ids.device) < self.word_dropout
            ids = ids.masked_fill(dropped & (ids != PAD), UNKNOWN)
        outputs, _ = self.layers(self.dropout(self.embedding(ids)), lengths)
        return self.scores(self.dropout(self.pool(outputs, lengths)))

    def pool(self, outputs: Tensor, lengths: Tensor) -> Tensor:
        """Pool outputs (N, T, width) over the positions to (N, width); zeros for an empty text."""
        return pool_outputs(
            outputs,
            lengths,
            self.pooling,
            bidirectional=self.layers.back is not None,
            question=getattr(self, "question", None),
            attention=getattr(self, "attention", None),
        )


@register_model("lstm_classifier", source="Hochreiter & Schmidhuber 1997, Long short-term memory")
class LSTMClassifier(TextClassifier):
    """Bidirectional recurrent classifier of texts.

    With e_t the embedding of token t, f_t = LSTM(e_t, f_(t-1)), b_t = LSTM(e_t, b_(t+1)) and h_t = (f_t, b_t), the
    scores (N, num_classes) of token ids (N, T) are W p + c, where p is, by ``pooling``:

        max         the elementwise maximum of all h_t
        mean        the mean of all h_t
        last        (f at the last token, b at the first)
        attention   sum a_t h_t, a = softmax over t of v tanh(q + U h_t)

    Padding is masked, so the scores of a text do not depend on the other texts of its batch. With ``multi_label`` c is
    initialised such that each topic has the probability 1 / num_classes, so that a text has one topic on average, as
    Lin et al. (2017) do for rare objects.

    Args:
        num_classes: Number of classes.
        embedding_dim: Width of the embedding.
        hidden_dim: Number of units of a recurrent layer in each direction.
        layers: Number of recurrent layers.
        cell: ``lstm``, ``gru`` or ``rnn``.
        bidirectional: Whether to use both directions.
        pooling: ``attention``, ``last``, ``max`` or ``mean``.
        dropout: Dropout probability of the embedding, between the layers and before the linear layer.
        word_dropout: Probability of replacing a token by the unknown token in training.
        embedding_init: How the embedding is initialised: ``random``, or ``lsa`` by latent semantic analysis of the
            texts of the first fit, see ``latent_word_vectors``, which needs a datamodule.
        **training: Arguments of ``TextClassifier``, ``Classifier`` and ``ZooModule``.
    """

    net: TextNet

    def __init__(
        self,
        *,
        num_classes: int = 2,
        embedding_dim: int = 128,
        hidden_dim: int = 128,
        layers: int = 1,
        cell: str = "lstm",
        bidirectional: bool = True,
        pooling: str = "max",
        dropout: float = 0.0,
        word_dropout: float = 0.0,
        embedding_init: str = "random",
        **training: Any,
    ) -> None:
        super().__init__(**training)
        if embedding_init not in INITIALISATIONS:
            raise unknown("embedding_init", embedding_init, INITIALISATIONS)
        if pooling not in POOLINGS:
            raise unknown("pooling", pooling, POOLINGS)
        if num_classes < 2:
            raise ValueError(f"num_classes must be at least 2, not {num_classes}")
        self.net = TextNet(
            self.hparams["vocab_size"],
            num_classes,
            embedding_dim,
            hidden_dim,
            layers,
            cell,
            bidirectional,
            pooling,
            dropout,
            word_dropout,
        )
        if self.multi_label:
            nn.init.constant_(self.net.scores.bias, -math.log(num_classes - 1))
        if embedding_init == "lsa":
            self.net.register_buffer("embedding_is_initialised", torch.tensor(False))

    def begin_fit(self) -> None:
        """Initialise the embedding in the first fit of a model with ``embedding_init: lsa``.

        Raises:
            ValueError: If the trainer has no datamodule with token ids.
        """
        super().begin_fit()
        done = getattr(self.net, "embedding_is_initialised", None)
        if done is None or bool(done):
            return
        splits = getattr(getattr(self.trainer, "datamodule", None), "splits", None)
        if splits is None:
            raise ValueError("embedding_init='lsa' needs the texts: call Trainer.fit(model, datamodule)")
        weight = self.net.embedding.weight
        vectors = latent_word_vectors(splits["train"].column(0), *weight.shape)
        known = vectors.any(1, keepdim=True)
        with torch.no_grad():
            weight.copy_(torch.where(known, vectors, weight.cpu()))
            done.fill_(True)
