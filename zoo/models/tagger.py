"""Recurrent network that tags the words of an utterance and classifies the whole."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from datamodules.text.vocabulary import PAD, UNKNOWN
from zoo.errors import unknown
from zoo.nn.attention import Attention
from zoo.nn.crf import ConditionalRandomField
from zoo.nn.pooling import POOLINGS, pool_outputs
from zoo.nn.recurrent import Recurrent
from zoo.registry import register_model
from zoo.tasks.tagging import Tagger

KERNEL = 3
"""Width in characters of the convolution over a word, as in Ma & Hovy (2016)."""


class CharacterFeatures(nn.Module):
    """Features of words from their characters: embedding, convolution, and the maximum over a word.

    Args:
        num_characters: Number of characters; 0 is padding.
        embedding_dim: Width of the embedding.
        out_features: Number of features of a word.
    """

    def __init__(self, num_characters: int, embedding_dim: int, out_features: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_characters, embedding_dim, padding_idx=PAD)
        self.convolution = nn.Conv1d(embedding_dim, out_features, KERNEL, padding=KERNEL // 2)

    def forward(self, characters: Tensor) -> Tensor:
        """Map ids of characters (N, T, C) to features (N, T, out_features), zero for a word without characters."""
        ids = characters.flatten(0, 1)
        found = self.convolution(self.embedding(ids).transpose(1, 2)).relu()
        # The rectified features are at least 0, so a masked one is no maximum.
        return (found * (ids != PAD)[:, None]).amax(2).unflatten(0, characters.shape[:2])


class TaggerNet(nn.Module):
    """Network from words and their characters to the scores of the tags of each word and of the intent.

    Args:
        sizes: Numbers of words, characters, tags and intents.
        embedding_dim: Width of the embedding of the words.
        character_dim: Number of features of a word from its characters, and width of their embedding; 0 for none.
        hidden_dim: Number of units of a recurrent layer in each direction.
        layers: Number of recurrent layers.
        cell: Name of the recurrent cell.
        pooling: Name of the pooling, one of ``POOLINGS``.
        intent_to_tags: Whether the scores of the tags depend on the probabilities of the intents.
        crf: Whether the tags have a conditional random field.
        dropout: Dropout probability of the features of a word, between the layers and before the scores.
        word_dropout: Probability of replacing a word by the unknown word in training.
    """

    def __init__(
        self,
        sizes: tuple[int, int, int, int],
        embedding_dim: int,
        character_dim: int,
        hidden_dim: int,
        layers: int,
        cell: str,
        pooling: str,
        intent_to_tags: bool,
        crf: bool,
        dropout: float,
        word_dropout: float,
    ) -> None:
        super().__init__()
        vocab_size, num_characters, num_tags, num_intents = sizes
        self.pooling, self.intent_to_tags, self.word_dropout = pooling, intent_to_tags, word_dropout
        self.embedding = nn.Embedding(vocab_size, embedding_dim, padding_idx=PAD)
        nn.init.normal_(self.embedding.weight, std=embedding_dim**-0.5)
        nn.init.zeros_(self.embedding.weight[PAD].data)
        self.characters = CharacterFeatures(num_characters, character_dim, character_dim) if character_dim else None
        self.dropout = nn.Dropout(dropout)
        self.layers = Recurrent(
            embedding_dim + character_dim, hidden_dim, layers, cell=cell, bidirectional=True, dropout=dropout
        )
        width = self.layers.out_features
        if pooling == "attention":
            self.question = nn.Parameter(torch.randn(width) * width**-0.5)
            self.attention = Attention(width, width, "additive")
        self.intents = nn.Linear(width, num_intents)
        self.tags = nn.Linear(width + num_intents * intent_to_tags, num_tags)
        self.crf = ConditionalRandomField(num_tags) if crf else None

    def forward(self, words: Tensor, characters: Tensor) -> Tensor:
        """Map words (N, T) and characters (N, T, C) to scores (N, T, num_tags + num_intents).

        The scores of the intents are the same at each word of an utterance.

        Raises:
            ValueError: If the ids are not of these shapes and of dtype int64.
        """
        for name, ids, axes in (("words", words, 2), ("characters", characters, 3)):
            if ids.ndim != axes or ids.dtype != torch.int64:
                wanted = "N x T" + " x C" * (axes == 3)
                raise ValueError(f"{name} of shape {tuple(ids.shape)} and {ids.dtype}: expected {wanted}, torch.int64")
        lengths = (words != PAD).sum(1)
        ids = words
        if self.training and self.word_dropout:
            dropped = torch.rand(words.shape, device=words.device) < self.word_dropout
            ids = words.masked_fill(dropped & (words != PAD), UNKNOWN)
        x = self.embedding(ids)
        if self.characters is not None:
            x = torch.cat([x, self.characters(characters)], 2)
        outputs, _ = self.layers(self.dropout(x), lengths)
        pooled = pool_outputs(
            outputs,
            lengths,
            self.pooling,
            bidirectional=True,
            question=getattr(self, "question", None),
            attention=getattr(self, "attention", None),
        )
        intents = self.intents(self.dropout(pooled))[:, None].expand(-1, words.shape[1], -1)
        hidden = self.dropout(outputs)
        if self.intent_to_tags:
            hidden = torch.cat([hidden, intents.softmax(2)], 2)
        return torch.cat([self.tags(hidden), intents], 2)


@register_model(
    "lstm_tagger",
    source="Huang, Xu & Yu 2015, Bidirectional LSTM-CRF models; Goo et al. 2018, slots that depend on the intent",
)
class LSTMTagger(Tagger):
    """Bidirectional recurrent tagger of utterances, with a conditional random field and an intent.

    With w_t the embedding of word t, and c_t the maximum over its characters of relu(convolution of their embeddings),

        x_t = (w_t, c_t)
        f_t = LSTM(x_t, f_(t-1)),  b_t = LSTM(x_t, b_(t+1)),  h_t = (f_t, b_t)
        p   = softmax(U g + d), g the pooled h_1 ... h_T       probabilities of the intents
        s_t = W h_t + V p + c                                  scores of the tags of word t
        p(y_1 ... y_T) = exp(start(y_1) + sum_t s_t(y_t) + sum_(t>1) A(y_(t-1), y_t) + end(y_T)) / Z

    where Z sums over all sequences of tags (Lafferty, McCallum & Pereira, 2001). The characters give features to words
    that are not in the vocabulary (Ma & Hovy, 2016). The term V p lets the tags depend on the intent, the idea of the
    slot gate (Goo et al., 2018). Padding is masked, so the scores of an utterance do not depend on the others of its
    batch.

    Args:
        embedding_dim: Width of the embedding of the words.
        character_dim: Number of features of a word from its characters, and width of their embedding; 0 for none.
        hidden_dim: Number of units of a recurrent layer in each direction.
        layers: Number of recurrent layers.
        cell: ``lstm``, ``gru`` or ``rnn``.
        pooling: ``attention``, ``last``, ``max`` or ``mean``, see ``LSTMClassifier``.
        intent_to_tags: Whether the scores of the tags have the term V p.
        crf: Whether the tags have a conditional random field; otherwise each has a softmax of its own.
        dropout: Dropout probability of x_t, between the layers and before the scores.
        word_dropout: Probability of replacing a word by the unknown word in training; its characters stay.
        **training: Arguments of ``Tagger`` and ``ZooModule``.
    """

    net: TaggerNet

    def __init__(
        self,
        *,
        embedding_dim: int = 128,
        character_dim: int = 64,
        hidden_dim: int = 128,
        layers: int = 1,
        cell: str = "lstm",
        pooling: str = "max",
        intent_to_tags: bool = True,
        crf: bool = True,
        dropout: float = 0.0,
        word_dropout: float = 0.0,
        **training: Any,
    ) -> None:
        super().__init__(**training)
        if pooling not in POOLINGS:
            raise unknown("pooling", pooling, POOLINGS)
        if embedding_dim < 1 or character_dim < 0:
            raise ValueError(f"embedding_dim and character_dim: at least 1 and 0, not {embedding_dim}, {character_dim}")
        names = ("vocab_size", "num_characters", "num_tags", "num_intents")
        self.net = TaggerNet(
            tuple(self.hparams[name] for name in names),
            embedding_dim,
            character_dim,
            hidden_dim,
            layers,
            cell,
            pooling,
            intent_to_tags,
            crf,
            dropout,
            word_dropout,
        )
