"""Encoder-decoder networks for translation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from datamodules.text.vocabulary import PAD
from zoo.errors import unknown
from zoo.nn.attention import Attention
from zoo.nn.graphs import Graph, Part
from zoo.nn.recurrent import Recurrent, SequenceDropout, State, last_outputs, padding_mask
from zoo.registry import register_model
from zoo.tasks.translation import Translator


class Seq2SeqNet(nn.Module):
    """Network from the token ids of a source and of a target prefix to scores of each next token.

    Args:
        vocab_size: Number of tokens.
        embedding_dim: Width of the embedding, which source, target and output layer share.
        hidden_dim: Number of units of a decoder layer, and of both directions of an encoder layer together.
        layers: Number of layers of encoder and decoder each.
        cell: Name of the recurrent cell.
        attention: Kind of the attention, or ``none``.
        dropout: Dropout probability of the embedding, between the layers and before the scores.
        copying: Whether the scores are those of a mixture with the tokens of the source, see ``LSTMSeq2Seq``.
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
        copying: bool = False,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_dim, padding_idx=PAD)
        nn.init.normal_(self.embedding.weight, std=embedding_dim**-0.5)
        nn.init.zeros_(self.embedding.weight[PAD].data)
        self.scale = embedding_dim**0.5
        self.dropout = SequenceDropout(dropout)
        self.encoder = Recurrent(embedding_dim, hidden_dim // 2, layers, cell=cell, bidirectional=True, dropout=dropout)
        self.bridge = nn.Linear(self.encoder.out_features, layers * hidden_dim)
        has_attention = attention != "none"
        layer_dim = hidden_dim + has_attention * self.encoder.out_features
        self.decoder = nn.ModuleList(
            Recurrent(layer_dim if number else embedding_dim, hidden_dim, cell=cell) for number in range(layers)
        )
        self.attention = nn.ModuleList(
            Attention(hidden_dim, self.encoder.out_features, attention) for _ in range(layers * has_attention)
        )
        self.output = nn.Linear(layer_dim, embedding_dim)
        self.generation = nn.Linear(layer_dim + embedding_dim, 1) if copying else None
        """Logit of g, the probability that a token is generated and not copied; None without copying."""

    def forward(self, src: Tensor, tgt: Tensor) -> Tensor:
        """Map token ids (N, S) and (N, T) to scores (N, T, vocab_size): at t those of the token after ``tgt[:, t]``.

        Raises:
            ValueError: If the ids are not a matrix of dtype int64.
        """
        for ids in (src, tgt):
            if ids.ndim != 2 or ids.dtype != torch.int64:
                raise ValueError(
                    f"input of shape {tuple(ids.shape)} and {ids.dtype}: expected N x T token ids, torch.int64"
                )
        memory, mask, state = self.encode(src)
        return self.decode(tgt, memory, mask, state, src)[0]

    def embed(self, ids: Tensor) -> Tensor:
        """Return the scaled embeddings (N, T, embedding_dim) of token ids (N, T), with dropout."""
        return self.dropout(self.embedding(ids) * self.scale)

    def encode(self, src: Tensor) -> tuple[Tensor, Tensor, State]:
        """Return the memory (N, S, hidden_dim) of a source (N, S), its mask (N, S) and the decoder's initial state."""
        lengths = (src != PAD).sum(1)
        memory, _ = self.encoder(self.embed(src), lengths)
        starts = self.bridge(last_outputs(memory, lengths, bidirectional=True)).tanh().chunk(len(self.decoder), 1)
        rest = self.encoder.num_state_tensors - 1  # the cell state of an LSTM starts at zero
        state = tuple(part for start in starts for part in (start, *[torch.zeros_like(start)] * rest))
        return memory, padding_mask(lengths, src.shape[1]), state

    def decode(
        self, tgt: Tensor, memory: Tensor, mask: Tensor, state: State, src: Tensor | None = None
    ) -> tuple[Tensor, State, Tensor | None]:
        """Decode target tokens (M, T) from a state.

        Args:
            tgt: Token ids; M is N, or a multiple of N if several successive targets belong to each source.
            memory: Outputs of the encoder (N, S, hidden_dim).
            mask: (N, S), True within the sources.
            state: State before the first token.
            src: Token ids of the sources (N, S); needed with copying.

        Returns:
            Scores (M, T, vocab_size), log-probabilities in float32 with copying; the state after the last token; and
            the attention weights (M, T, S) of the last layer, None without attention.
        """
        embedded = self.embed(tgt)
        x, new_state, weights = embedded, [], None
        for number, layer in enumerate(self.decoder):
            size = self.encoder.num_state_tensors
            hidden, layer_state = layer(x, state=state[number * size : (number + 1) * size])
            new_state += layer_state
            x = self.dropout(hidden)
            if len(self.attention):
                queries = x.reshape(memory.shape[0], -1, x.shape[2])
                context, weights = self.attention[number](queries, memory, mask)
                x = torch.cat([x, self.dropout(context).reshape(*x.shape[:2], -1)], 2)
                weights = weights.reshape(*x.shape[:2], -1)
        scores = self.dropout(self.output(x).tanh()) @ self.embedding.weight.T
        if self.generation is not None:
            if src is None or weights is None:
                raise ValueError("a network with copying decodes with src, the token ids of the sources")
            scores = mix_copies(scores, self.generation(torch.cat([x, embedded], 2)), weights, src)
        return scores, tuple(new_state), weights

    def graphs(self) -> dict[str, Graph]:
        """Return the graphs of ``encoder`` and of one step of the ``decoder``, for export."""
        src = (
            torch.arange(10, device=self.embedding.weight.device).reshape(2, 5).flip(1) % self.embedding.num_embeddings
        )
        with torch.no_grad():
            memory, mask, state = self.encode(src)
        start = {f"state_{number}": part for number, part in enumerate(state)}
        copied = {} if self.generation is None else {"src": src}
        before = {"token": src[:, 0], **copied, "memory": memory, "mask": mask, **start}
        length = {1: "source_length"}
        meanings = {
            "src": "token ids of the sources with start and end, padded with 0",
            "memory": "outputs of the encoder",
            "mask": "whether a position is within its source",
            "token": "ids of the last target tokens; the start token at first",
            "scores": "scores of the next target tokens, of which softmax gives the probabilities",
            **dict.fromkeys(start, "state of the decoder"),
            **{f"new_{name}": "state of the decoder after the token" for name in start},
        }
        after = tuple(f"new_{name}" for name in start)
        return {
            "encoder": Graph(
                Part(self, _encode), {"src": src}, ("memory", "mask", *start), {"src": length}, meanings=meanings
            ),
            "decoder": Graph(
                Part(self, _decode_one),
                before,
                ("scores", *after),
                {name: length for name in ("src", "memory", "mask") if name in before},
                meanings=meanings,
            ),
        }


def _encode(net: Seq2SeqNet, src: Tensor) -> tuple[Tensor, ...]:
    memory, mask, state = net.encode(src)
    return memory, mask, *state


def _decode_one(net: Seq2SeqNet, token: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
    """Decode one token (N,) given the sources with copying, the memory, its mask and the state."""
    src = None if net.generation is None else rest[0]
    memory, mask, *state = rest if src is None else rest[1:]
    scores, after, _ = net.decode(token[:, None], memory, mask, tuple(state), src)
    return scores[:, 0], *after


def mix_copies(scores: Tensor, logit: Tensor, weights: Tensor, src: Tensor) -> Tensor:
    """Return log p of a mixture of generated and of copied tokens (See, Liu & Manning, 2017).

    With g = sigmoid(logit), p(w) = g softmax(scores)_w + (1 - g) times the sum of the weights of the positions of the
    source that hold w. It is computed in float32, in which p is at least the smallest normal number, so that log p and
    its gradient are finite.

    Args:
        scores: Scores of generated tokens (M, T, V).
        logit: Logit of g (M, T, 1).
        weights: Attention weights (M, T, S).
        src: Token ids of the sources (N, S), int64; M is a multiple of N, and the targets of a source are successive.

    Returns:
        Log-probabilities (M, T, V), float32.
    """
    logit, (m, t, s) = logit.float(), weights.shape
    copied = (weights.float() * (-logit).sigmoid()).reshape(src.shape[0], -1, s)
    generated = (scores.float().softmax(2) * logit.sigmoid()).reshape(src.shape[0], -1, scores.shape[2])
    p = generated.scatter_add(2, src[:, None].expand(-1, copied.shape[1], -1), copied)
    return p.clamp_min(torch.finfo(torch.float32).tiny).log().reshape(m, t, -1)


@register_model("lstm_seq2seq", source="Sutskever, Vinyals & Le 2014; Luong, Pham & Manning 2015, attention")
class LSTMSeq2Seq(Translator):
    """Recurrent encoder-decoder with attention, for the translation of sentences.

    The bidirectional encoder gives a memory m_s = (f_s, b_s) for each source position s = 1..S, and the decoder starts
    from the state tanh(W (f_S, b_1)). Each layer of the decoder maps its inputs x_t, the embeddings in the first layer,
    to the inputs x'_t of the next:

        h_t  = LSTM(x_t, h_(t-1))
        a_ts = softmax over s of h_t W m_s
        c_t  = sum over s of a_ts m_s
        x'_t = (h_t, c_t)

    From the second layer on, the recurrence depends on earlier attention, which is the purpose of input feeding, and
    yet all positions of a target are computed in parallel in training. The scores are E tanh(V x'_t) of the last layer,
    with E the embedding of source and target (Press & Wolf, 2017). Without attention x'_t = h_t, and the decoder
    depends on the source through its initial state alone.

    With ``copying`` a token is generated with probability g = sigmoid(u (h_t, c_t, x_t)), with h_t, c_t of the last
    layer and x_t the embedding of the input token, and otherwise copied from the source (pointer-generator network of
    See, Liu & Manning, 2017):

        p(w) = g softmax(scores)_w + (1 - g) sum over s with src_s = w of a_ts

    Source and target share one vocabulary, so a copied token is one of it; words outside of it are copied subword by
    subword. The network then returns log p in place of scores, of which softmax is p.

    Args:
        embedding_dim: Width of the embedding.
        hidden_dim: Number of units of a decoder layer, and of both directions of an encoder layer together.
        layers: Number of layers of encoder and decoder each.
        cell: ``lstm``, ``gru`` or ``rnn``.
        attention: ``general``, ``additive`` or ``none``.
        dropout: Dropout probability of the embedding, between the layers and before the scores.
        copying: Whether tokens of the source are copied; it needs attention.
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
        copying: bool = False,
        **training: Any,
    ) -> None:
        super().__init__(**training)
        if hidden_dim < 2 or hidden_dim % 2:
            raise ValueError(
                f"hidden_dim must be even and at least 2, not {hidden_dim}: half of the units are for each direction"
            )
        if attention not in ("additive", "general", "none"):
            raise unknown("attention", attention, ("additive", "general", "none"))
        if copying and attention == "none":
            raise ValueError("copying needs attention, not none: choose attention general or additive, or no copying")
        sizes = (self.hparams["vocab_size"], embedding_dim, hidden_dim, layers)
        self.net = Seq2SeqNet(*sizes, cell, attention, dropout, copying)
