"""From one sequence to another: an encoder reads it, a decoder writes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from datamodules.text.vocabulary import PAD
from zoo.nn.attention import Attention
from zoo.nn.recurrent import Recurrent, SequenceDropout, State, last_outputs, padding_mask
from zoo.registry import register_model
from zoo.tasks.translation import Translator


class Seq2SeqNet(nn.Module):
    """Token ids of a source and of the target so far to scores of each next token.

    Args:
        vocab_size: Number of tokens.
        embedding_dim: Width of the embedding, which source, target and scores share.
        hidden_dim: Units of a decoder's layer, and of both directions of an encoder's layer together.
        layers: Number of layers of encoder and decoder each.
        cell: Recurrent cell.
        attention: Kind of the attention, or ``none``.
        dropout: Probability with which a number is left out, of the embedding, between layers and before the scores.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int,
        hidden_dim: int,
        layers: int,
        cell: str,
        attention: str,
        dropout: float,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_dim, padding_idx=PAD)
        nn.init.normal_(self.embedding.weight, std=embedding_dim**-0.5)
        nn.init.zeros_(self.embedding.weight[PAD].data)
        self.scale = embedding_dim**0.5
        self.dropout = SequenceDropout(dropout)
        self.encoder = Recurrent(embedding_dim, hidden_dim // 2, layers, cell=cell, bidirectional=True, dropout=dropout)
        self.bridge = nn.Linear(self.encoder.out_features, layers * hidden_dim)
        looks_back = attention != "none"
        seen = hidden_dim + looks_back * self.encoder.out_features
        self.decoder = nn.ModuleList(
            Recurrent(seen if number else embedding_dim, hidden_dim, cell=cell) for number in range(layers)
        )
        self.attention = nn.ModuleList(
            Attention(hidden_dim, self.encoder.out_features, attention) for _ in range(layers * looks_back)
        )
        self.output = nn.Linear(seen, embedding_dim)

    def forward(self, src: Tensor, tgt: Tensor) -> Tensor:
        """Map token ids (N, S) and (N, T) to scores (N, T, vocab_size): at t those of the token after ``tgt[:, t]``.

        Raises:
            ValueError: If ids have another number of axes or another dtype.
        """
        for ids in (src, tgt):
            if ids.ndim != 2 or ids.dtype != torch.int64:
                raise ValueError(
                    f"input of shape {tuple(ids.shape)} and {ids.dtype}: expected N x T token ids, torch.int64"
                )
        memory, mask, state = self.encode(src)
        return self.decode(tgt, memory, mask, state)[0]

    def embedded(self, ids: Tensor) -> Tensor:
        """Return the vectors (N, T, embedding_dim) of token ids (N, T)."""
        return self.dropout(self.embedding(ids) * self.scale)

    def encode(self, src: Tensor) -> tuple[Tensor, Tensor, State]:
        """Read a source (N, S): its positions (N, S, hidden_dim), where they are (N, S), the decoder's first state."""
        lengths = (src != PAD).sum(1)
        memory, _ = self.encoder(self.embedded(src), lengths)
        starts = self.bridge(last_outputs(memory, lengths, bidirectional=True)).tanh().chunk(len(self.decoder), 1)
        rest = self.encoder.num_state_tensors - 1  # an LSTM's cell starts empty
        state = tuple(part for start in starts for part in (start, *[torch.zeros_like(start)] * rest))
        return memory, padding_mask(lengths, src.shape[1]), state

    def decode(self, tgt: Tensor, memory: Tensor, mask: Tensor, state: State) -> tuple[Tensor, State, Tensor | None]:
        """Go on from a state with the tokens (M, T).

        Args:
            tgt: Token ids; M is N, or a multiple of it when several targets of each source follow one another.
            memory: Positions of the sources (N, S, hidden_dim).
            mask: Where they are (N, S).
            state: State before the first of the tokens.

        Returns:
            Scores (M, T, vocab_size), the state after them, and the weights (M, T, S) with which the last layer looked
            back, None without attention.
        """
        x, after, weights = self.embedded(tgt), [], None
        for number, layer in enumerate(self.decoder):
            size = self.encoder.num_state_tensors
            hidden, new = layer(x, state=state[number * size : (number + 1) * size])
            after += new
            x = self.dropout(hidden)
            if len(self.attention):
                asked = x.reshape(memory.shape[0], -1, x.shape[2])
                seen, weights = self.attention[number](asked, memory, mask)
                x = torch.cat([x, self.dropout(seen).reshape(*x.shape[:2], -1)], 2)
                weights = weights.reshape(*x.shape[:2], -1)
        scores = self.dropout(self.output(x).tanh()) @ self.embedding.weight.T
        return scores, tuple(after), weights


@register_model("lstm_seq2seq", source="Sutskever, Vinyals & Le 2014; Luong, Pham & Manning 2015, attention")
class LSTMSeq2Seq(Translator):
    """Recurrent encoder and decoder, which turn a sentence into one of another language.

    The encoder reads the source both ways: m_s = (forth_s, back_s). The decoder starts from tanh(W (forth_S, back_1)).
    Its layer k reads what the layer below it saw and looks back at the source:

        h_t = LSTM(x_t, h_(t-1)),  a_ts = softmax over s of h_t W m_s,  c_t = sum over s of a_ts m_s,  x'_t = (h_t, c_t)

    so that from the second layer on it remembers where it has looked, which input feeding is for, and yet all positions
    of a target are computed at once in training. The scores are E tanh(V x_t), where the embedding E is that of
    source and target too (Press & Wolf, 2017). Without attention x'_t = h_t, and all that is known of the source is the
    decoder's first state.

    Args:
        embedding_dim: Width of the embedding.
        hidden_dim: Units of a decoder's layer, and of both directions of an encoder's layer together.
        layers: Number of layers of encoder and decoder each.
        cell: ``lstm``, ``gru`` or ``rnn``.
        attention: ``general``, ``additive`` or ``none``.
        dropout: Probability with which a number is left out, of the embedding, between layers and before the scores.
        **training: Arguments of ``Translator`` and ``ZooModule``.
    """

    net: Seq2SeqNet

    def __init__(
        self,
        *,
        embedding_dim: int = 128,
        hidden_dim: int = 128,
        layers: int = 2,
        cell: str = "lstm",
        attention: str = "general",
        dropout: float = 0.0,
        **training: Any,
    ) -> None:
        super().__init__(**training)
        if hidden_dim < 2 or hidden_dim % 2:
            raise ValueError(f"hidden_dim must be even and at least 2, not {hidden_dim}: half are for each direction")
        self.net = Seq2SeqNet(self.hparams["vocab_size"], embedding_dim, hidden_dim, layers, cell, attention, dropout)
