"""Recurrent language models."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from datamodules.text.vocabulary import PAD
from zoo.nn.graphs import Graph, Part
from zoo.nn.recurrent import Recurrent, SequenceDropout, State
from zoo.registry import register_model
from zoo.tasks.language_modelling import LanguageModel


class LanguageModelNet(nn.Module):
    """Network from token ids to scores of each next token: embedding, recurrent layers and a linear layer.

    Args:
        vocab_size: Number of tokens.
        embedding_dim: Width of the embedding.
        hidden_dim: Number of units of a recurrent layer.
        layers: Number of recurrent layers.
        cell: Name of the recurrent cell.
        dropout: Dropout probability of the outputs of each layer.
        tied: Whether the weights of the linear layer are those of the embedding. Where the layers are of another width,
            a projection without a bias maps their outputs to that of the embedding.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int,
        hidden_dim: int,
        layers: int,
        cell: str,
        dropout: float,
        tied: bool,
    ) -> None:
        super().__init__()
        if embedding_dim < 1:
            raise ValueError(f"embedding_dim must be at least 1, not {embedding_dim}")
        self.embedding = nn.Embedding(vocab_size, embedding_dim, padding_idx=PAD)
        nn.init.normal_(self.embedding.weight, std=embedding_dim**-0.5)
        nn.init.zeros_(self.embedding.weight[PAD].data)
        self.scale = embedding_dim**0.5
        self.layers = Recurrent(embedding_dim, hidden_dim, layers, cell=cell, dropout=dropout)
        self.dropout = SequenceDropout(dropout)
        self.projection: nn.Module = nn.Identity()
        if tied and embedding_dim != hidden_dim:
            self.projection = nn.Linear(hidden_dim, embedding_dim, bias=False)
        self.scores = nn.Linear(embedding_dim if tied else hidden_dim, vocab_size)
        if tied:
            self.scores.weight = self.embedding.weight

    def forward(self, ids: Tensor) -> Tensor:
        """Map token ids (N, T) to scores (N, T, vocab_size): at t those of the token after ``ids[:, t]``.

        Raises:
            ValueError: If the ids are not a matrix of dtype int64.
        """
        return self.extend(ids)[0]

    def extend(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Read token ids (N, T) from a state, that of no tokens if None.

        Returns:
            Scores (N, T, vocab_size) of each next token, and the state after the last token.
        """
        outputs, state = self._outputs(ids, state)
        return self.scores(self.projection(self.dropout(outputs))), state

    def advance(self, ids: Tensor, state: State | None = None) -> State:
        """Return the state of ``extend`` without its scores, most of whose cost is that of a large vocabulary."""
        return self._outputs(ids, state)[1]

    def graphs(self) -> dict[str, Graph]:
        """Return the graph that reads tokens from a state, one or several at once, for export."""
        ids = torch.arange(10, device=self.embedding.weight.device).reshape(2, 5) % self.embedding.num_embeddings
        with torch.no_grad():
            state = self.advance(ids)
        start = {f"state_{number}": part for number, part in enumerate(state)}
        meanings = {
            "ids": "token ids that follow those of the state",
            "scores": "scores of each next token, of which softmax gives the probabilities",
            **dict.fromkeys(start, "state after the tokens before; zeros at the beginning of a text"),
            **{f"new_{name}": "state after the tokens" for name in start},
        }
        outputs = ("scores", *(f"new_{name}" for name in start))
        return {"": Graph(Part(self, _read), {"ids": ids, **start}, outputs, {"ids": {1: "length"}}, meanings=meanings)}

    def _outputs(self, ids: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Return the outputs (N, T, hidden_dim) of the layers and the state after the last token."""
        if ids.ndim != 2 or ids.dtype != torch.int64:
            raise ValueError(
                f"input of shape {tuple(ids.shape)} and {ids.dtype}: expected N x T token ids, torch.int64"
            )
        return self.layers(self.embedding(ids) * self.scale, state=state)


def _read(net: LanguageModelNet, ids: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
    scores, after = net.extend(ids, state)
    return scores, *after


@register_model("lstm_language_model", source="Mikolov et al. 2010; Zaremba, Sutskever & Vinyals 2014")
class LSTMLanguageModel(LanguageModel):
    """Recurrent language model: the probability of each token given all tokens before it.

    A text x_1, ..., x_T has by the chain rule the probability p(x_1) times the product over t of
    p(x_(t+1) | x_1, ..., x_t). The recurrent layers l = 1..L keep what has been read in their state, with
    h_t^0 = sqrt(d) E x_t the scaled embedding, of width d:

        h_t^l = LSTM(h_t^(l-1), h_(t-1)^l)
        p(x_(t+1) | x_1, ..., x_t) = softmax(W h_t^L + b)

    where an LSTM (Hochreiter & Schmidhuber, 1997) with input u_t computes, by elementwise products,

        i, f, o = sigmoid(U u_t + V h_(t-1) + a), three vectors with weights of their own
        g_t     = tanh(U' u_t + V' h_(t-1) + a')
        c_t     = f c_(t-1) + i g_t
        h_t     = o tanh(c_t)

    Dropout applies to the outputs h_t^l of each layer on their way up, not to the recurrence (Zaremba et al., 2014),
    with one mask for all positions of a row (Gal & Ghahramani, 2016). Embeddings of characters are narrow and are not
    dropped. With ``tied`` W = E (Press & Wolf, 2017), or W = E P where the layers are wider than the embedding, which
    saves weights and time where the vocabulary is large. The cost of a token is that of one step of the layers, however
    long the text before it.

    Args:
        embedding_dim: Width of the embedding.
        hidden_dim: Number of units of a recurrent layer.
        layers: Number of recurrent layers.
        cell: ``lstm``, ``gru`` or ``rnn``.
        dropout: Dropout probability of the outputs of each layer.
        tied: Whether the output weights are those of the embedding.
        **training: Arguments of ``LanguageModel`` and ``ZooModule``.
    """

    net: LanguageModelNet

    def __init__(
        self,
        *,
        embedding_dim: int = 64,
        hidden_dim: int = 256,
        layers: int = 2,
        cell: str = "lstm",
        dropout: float = 0.0,
        tied: bool = False,
        **training: Any,
    ) -> None:
        super().__init__(**training)
        self.net = LanguageModelNet(self.hparams["vocab_size"], embedding_dim, hidden_dim, layers, cell, dropout, tied)
