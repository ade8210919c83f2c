"""Networks from pictures to captions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from datamodules.text.vocabulary import PAD, SPECIAL
from zoo.nn.attention import Attention
from zoo.nn.decoding import State
from zoo.nn.graphs import Graph, Part
from zoo.nn.inputs import Standardize
from zoo.nn.recurrent import SequenceDropout
from zoo.nn.stacks import ResidualBlock, conv_block

RARE = -6.0
"""First logit of each word in the prediction of words: most are in one caption of 400 or fewer. Set by hand."""


class PictureMap(NamedTuple):
    """What a decoder attends to: the positions of the feature map of each picture."""

    positions: Tensor
    """Features (N, P, C) of the positions, row by row."""
    keys: Tensor
    """Their keys (N, P, A), see ``Attention.keys_of``."""
    size: tuple[int, int]
    """Height and width of the map; P is their product."""


def conv_encoder(
    in_channels: int,
    hidden_dims: Sequence[int],
    blocks: Sequence[int],
    mean: float | list[float] = 0.0,
    std: float | list[float] = 1.0,
) -> nn.Sequential:
    """Return a residual convolutional network from images (N, C, H, W) of any size to feature maps.

    Each stage is a 3x3 convolution of stride 2, batch normalisation and ReLU, then residual blocks.

    Args:
        in_channels: Channels of the images.
        hidden_dims: Channels of each stage.
        blocks: Number of residual blocks of each stage.
        mean: Mean of the pixels, see ``Standardize``.
        std: Standard deviation of the pixels.
    """
    layers: list[nn.Module] = [Standardize((in_channels, None, None), mean, std)]
    for (before, after), count in zip(pairwise([in_channels, *hidden_dims]), blocks, strict=True):
        layers += [conv_block(before, after, stride=2), *(ResidualBlock(after) for _ in range(count))]
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)


class AttentionLSTM(nn.Module):
    """LSTM decoder with attention over the positions of a feature map (Xu et al., 2015).

    With y_t the embedding of the input token, v_p the features of position p = 1..P, and h_0 and c_0 a linear map with
    tanh of the mean of the features:

        a_tp = softmax over p of w tanh(Q h_(t-1) + U v_p)
        z_t  = sigmoid(G h_(t-1)) * sum over p of a_tp v_p
        h_t, c_t = LSTM((y_t, z_t), h_(t-1), c_(t-1))

    The output is tanh(V (h_t, z_t)), of the embedding's width. The part of the LSTM's gates that depends on the
    embeddings alone is computed for all steps at once, and the keys U v_p once a picture.

    Args:
        embedding_dim: Width of the embedding.
        hidden_dim: Number of units.
        features: Number of features of a position.
        attention: Kind of the attention, ``additive`` or ``general``.
        attention_dim: Width of the hidden layer of additive attention.
        dropout: Dropout probability before the output, and of the context in the output.
    """

    def __init__(
        self, embedding_dim: int, hidden_dim: int, features: int, attention: str, attention_dim: int, dropout: float
    ) -> None:
        super().__init__()
        self.hidden_dim = hidden_dim
        self.start = nn.Linear(features, 2 * hidden_dim)
        self.attention = Attention(hidden_dim, features, attention, attention_dim)
        self.gate = nn.Linear(hidden_dim, features)
        self.word_gates = nn.Linear(embedding_dim, 4 * hidden_dim)
        self.state_gates = nn.Linear(features + hidden_dim, 4 * hidden_dim, bias=False)
        self.output = nn.Linear(hidden_dim + features, embedding_dim)
        self.dropout = SequenceDropout(dropout)
        with torch.no_grad():  # the forget gates start open (Jozefowicz, Zaremba & Sutskever, 2015)
            self.word_gates.bias[hidden_dim : 2 * hidden_dim] += 1.0

    def start_state(self, positions: Tensor) -> State:
        """Return h_0 and c_0, each (N, hidden_dim), for the features (N, P, C) of pictures."""
        return tuple(self.start(positions.mean(1)).tanh().chunk(2, 1))

    def forward(self, embedded: Tensor, picture: PictureMap, state: State) -> tuple[Tensor, State, Tensor]:
        """Decode K captions of each picture.

        Args:
            embedded: Embeddings (N, K, T, E) of the input tokens; (1, K, T, E) for the same captions of all pictures.
            picture: Feature maps of N pictures.
            state: h and c before the first token, each (N, K, hidden_dim).

        Returns:
            Outputs (N, K, T, E), the state after the last token, and the weights (N, K, T, P) of the positions.
        """
        hidden, cell = state
        gates = self.word_gates(embedded)
        hiddens, contexts, maps = [], [], []
        for t in range(embedded.shape[2]):
            context, weights = self.attention(hidden, picture.positions, None, picture.keys)
            context = self.gate(hidden).sigmoid() * context
            changes = gates[:, :, t] + self.state_gates(torch.cat([context.to(hidden.dtype), hidden], 2))
            # The cell sums up many steps: float32 at least, also in a network of half precision.
            wide = changes.to(torch.promote_types(changes.dtype, torch.float32))
            into, forget, new, out = wide.chunk(4, 2)
            cell = forget.sigmoid() * cell + into.sigmoid() * new.tanh()
            hidden = (out.sigmoid() * cell.tanh()).to(embedded.dtype)
            hiddens.append(hidden)
            contexts.append(context)
            maps.append(weights)
        found = torch.cat([torch.stack(hiddens, 2), torch.stack(contexts, 2).to(hidden.dtype)], 3)
        dropped = self.dropout(found.flatten(0, 1)).reshape(found.shape)
        return self.output(dropped).tanh(), (hidden, cell), torch.stack(maps, 2)


class CaptionNet(nn.Module):
    """Network from pictures and prefixes of captions to scores of each next token.

    Args:
        encoder: Network from images to feature maps (N, features, H, W), which begins with ``Standardize``.
        features: Channels of the feature maps.
        vocab_size: Number of tokens.
        embedding_dim: Width of the embedding.
        hidden_dim: Number of units of the LSTM.
        attention: Kind of the attention, ``additive`` or ``general``.
        attention_dim: Width of the hidden layer of additive attention.
        dropout: Dropout probability of the embedding and before the scores.
        picture_dropout: Dropout probability of the channels of the feature map.
        tied: Whether the output layer has the weights of the embedding (Press & Wolf, 2017).
        blind: Whether every picture is replaced by a black one.
        code_dim: Width of the codes of the contrastive objective; 0 for none.
        bag_of_words: Whether the words of the captions of a picture are predicted too, see ``word_scores``.
    """

    def __init__(
        self,
        encoder: nn.Sequential,
        features: int,
        vocab_size: int,
        embedding_dim: int,
        hidden_dim: int,
        *,
        attention: str = "additive",
        attention_dim: int = 128,
        dropout: float = 0.0,
        picture_dropout: float = 0.0,
        tied: bool = True,
        blind: bool = False,
        code_dim: int = 0,
        bag_of_words: bool = False,
    ) -> None:
        super().__init__()
        self.encoder, self.blind = encoder, blind
        self.picture_dropout = nn.Dropout1d(picture_dropout)
        self.embedding = nn.Embedding(vocab_size, embedding_dim, padding_idx=PAD)
        nn.init.normal_(self.embedding.weight, std=embedding_dim**-0.5)
        nn.init.zeros_(self.embedding.weight[PAD].data)
        self.scale = embedding_dim**0.5
        self.dropout = SequenceDropout(dropout)
        self.decoder = AttentionLSTM(embedding_dim, hidden_dim, features, attention, attention_dim, dropout)
        self.output = None if tied else nn.Linear(embedding_dim, vocab_size)
        self.output_bias = nn.Parameter(torch.zeros(vocab_size)) if tied else None
        self.picture_code = nn.Linear(features, code_dim) if code_dim else None
        self.caption_code = nn.Linear(embedding_dim, code_dim) if code_dim else None
        self.temperature = nn.Parameter(torch.tensor(2.7)) if code_dim else None
        """Logarithm of the factor of the cosine similarities of the contrastive objective."""
        self.words = nn.Linear(features, embedding_dim) if bag_of_words else None
        self.word_bias = nn.Parameter(torch.full((vocab_size,), RARE)) if bag_of_words else None

    def forward(self, images: Tensor, captions: Tensor) -> Tensor:
        """Map images (N, C, H, W) and token ids (N, K, T) to scores (N, K, T, vocab_size).

        At t the scores are those of the token after ``captions[:, :, t]``.

        Raises:
            ValueError: If the images are not floats of the channels of the encoder, or the ids are not int64 of three
                axes.
        """
        if captions.ndim != 3 or captions.dtype != torch.int64:
            raise ValueError(
                f"input of shape {tuple(captions.shape)} and {captions.dtype}: expected N x K x T ids, torch.int64"
            )
        picture = self.encode(images)
        return self.score(self.decode(captions, picture, self.start(picture, captions.shape[1]))[0])

    def encode(self, images: Tensor) -> PictureMap:
        """Return the feature maps of images (N, C, H, W) in natural units."""
        if self.blind:  # all pictures are the same: one is encoded
            found = self.encoder(torch.zeros_like(images[:1])).expand(images.shape[0], -1, -1, -1)
        else:
            found = self.encoder(images)
        positions = self.picture_dropout(found.flatten(2)).transpose(1, 2)
        return PictureMap(positions, self.decoder.attention.keys_of(positions), (found.shape[2], found.shape[3]))

    def start(self, picture: PictureMap, k: int) -> State:
        """Return the decoder's state before the first token of ``k`` captions of each picture, each (N, k, H)."""
        return tuple(part[:, None].expand(-1, k, -1) for part in self.decoder.start_state(picture.positions))

    def embed(self, captions: Tensor) -> Tensor:
        """Return the scaled embeddings (N, K, T, E) of token ids (N, K, T), with dropout."""
        embedded = self.embedding(captions) * self.scale
        return self.dropout(embedded.flatten(0, 1)).reshape(embedded.shape)

    def decode(self, captions: Tensor, picture: PictureMap, state: State) -> tuple[Tensor, State, Tensor]:
        """Decode token ids (N, K, T), or (1, K, T) for the same captions of all pictures, from a state.

        Returns:
            Outputs (N, K, T, E) for ``score``, the state after the last token and the weights (N, K, T, P) of the
            positions of the feature map.
        """
        return self.decoder(self.embed(captions), picture, state)

    def score(self, outputs: Tensor) -> Tensor:
        """Return the scores (..., vocab_size) of the next tokens from outputs (..., E) of ``decode``."""
        if self.output is None:
            return nn.functional.linear(outputs, self.embedding.weight, self.output_bias)
        return self.output(outputs)

    def word_scores(self, picture: PictureMap) -> Tensor:
        """Return the logits (N, vocab_size) of the words of the captions of pictures.

        They are the products of the embeddings with a linear map of the mean of the features.

        Raises:
            ValueError: If the network does not predict words.
        """
        if self.words is None or self.word_bias is None:
            raise ValueError("this network does not predict words: set bag_of_words above 0")
        return nn.functional.linear(self.words(picture.positions.mean(1)), self.embedding.weight, self.word_bias)

    def codes(self, picture: PictureMap, captions: Tensor) -> tuple[Tensor, Tensor]:
        """Return the unit vectors (N, D) of pictures and (N, K, D) of their captions (N, K, T), ids of tokens.

        That of a picture is a linear map of the mean of its features, that of a caption one of the mean of its
        embeddings.

        Raises:
            ValueError: If the network has no contrastive objective.
        """
        if self.picture_code is None or self.caption_code is None:
            raise ValueError("this network has no codes: set contrastive above 0")
        count = (captions != PAD).sum(2, keepdim=True).clamp_min(1)
        mean = (self.embedding(captions) * self.scale).sum(2) / count
        found = self.picture_code(picture.positions.mean(1)), self.caption_code(mean)
        return nn.functional.normalize(found[0], dim=1), nn.functional.normalize(found[1], dim=2)

    def graphs(self) -> dict[str, Graph]:
        """Return the graphs of ``encoder`` and of one step of the ``decoder``, for export."""
        first, weight = self.encoder[0], self.embedding.weight
        if not isinstance(first, Standardize):
            raise ValueError(f"the encoder begins with {type(first).__name__}, not with Standardize of known channels")
        images = torch.zeros(2, first.shape[0] or 1, 64, 64, device=weight.device, dtype=weight.dtype)
        with torch.no_grad():
            positions, keys, *state = _encode(self, images)
        start = {f"state_{number}": part for number, part in enumerate(state)}
        token = torch.arange(2, device=images.device)
        places = {name: {1: "positions"} for name in ("positions", "keys")}
        meanings = {
            "images": "images in [0, 1], resized to the size of the training images",
            "positions": "features of the positions of the feature map, row by row",
            "keys": "their keys for the attention",
            "token": "ids of the last words; the start token at first",
            "scores": "scores of the next words, of which softmax gives the probabilities",
            **dict.fromkeys(start, "state of the decoder"),
            **dict.fromkeys((f"new_{name}" for name in start), "state of the decoder after the word"),
        }
        before = {"token": token, "positions": positions, "keys": keys, **start}
        after = ("scores", *(f"new_{name}" for name in start))
        size = {"images": {2: "height", 3: "width"}}
        return {
            "encoder": Graph(
                Part(self, _encode), {"images": images}, ("positions", "keys", *start), size, meanings=meanings
            ),
            "decoder": Graph(Part(self, _decode_one), before, after, places, meanings=meanings),
        }


def _encode(net: CaptionNet, images: Tensor) -> tuple[Tensor, ...]:
    picture = net.encode(images)
    return picture.positions, picture.keys, *(part[:, 0] for part in net.start(picture, 1))


def _decode_one(net: CaptionNet, token: Tensor, positions: Tensor, keys: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
    """Decode one word (N,) given the positions of the feature maps, their keys and the state."""
    picture = PictureMap(positions, keys, (0, 0))
    outputs, after, _ = net.decode(token[:, None, None], picture, tuple(part[:, None] for part in state))
    return net.score(outputs[:, 0, 0]), *(part[:, 0] for part in after)


def contrastive_loss(pictures: Tensor, captions: Tensor, factor: Tensor) -> Tensor:
    """Return the symmetric InfoNCE loss of pictures and captions of a batch (Radford et al., 2021).

    With s_ij = factor * p_i c_jk, the loss is the mean over i and k of

        -1/2 log softmax over j of s_ij, at j = i  -  1/2 log softmax over i' of s_i'i, at i' = i

    Args:
        pictures: Unit vectors (N, D) of the pictures.
        captions: Unit vectors (N, K, D) of their captions.
        factor: Factor of the cosine similarities, a scalar.
    """
    similarity = factor * torch.einsum("id,jkd->kij", pictures.float(), captions.float())
    own = torch.arange(len(pictures), device=pictures.device).expand(len(similarity), -1)
    cross_entropy = nn.functional.cross_entropy
    return (cross_entropy(similarity.transpose(1, 2), own) + cross_entropy(similarity, own)) / 2


def word_loss(scores: Tensor, captions: Tensor) -> Tensor:
    """Return the mean over pictures of the binary cross-entropy of the words of their captions, summed over the words.

    The target of a word is the share of the captions of a picture that have it.

    Args:
        scores: Logits (N, V).
        captions: Token ids (N, K, T).
    """
    n, k, _ = captions.shape
    target = (
        torch.zeros(n, k, scores.shape[1], device=scores.device, dtype=torch.float32).scatter_(2, captions, 1.0).mean(1)
    )
    target[:, : len(SPECIAL)] = 0
    return nn.functional.binary_cross_entropy_with_logits(scores.float(), target, reduction="sum") / max(1, n)
