"""Captions of pictures by a convolutional encoder and a recurrent decoder."""

from __future__ import annotations

from typing import Any

import torch

from zoo.errors import check_counts
from zoo.nn.captions import CaptionNet, conv_encoder
from zoo.nn.torchvision_encoders import find_torchvision_weights, load_torchvision_weights, torchvision_encoder
from zoo.registry import register_model
from zoo.tasks.captioning import Captioner


@register_model("lstm_captioner", source="Xu et al. 2015, Show, Attend and Tell; Vinyals et al. 2015")
class LSTMCaptioner(Captioner):
    """Convolutional encoder and LSTM decoder with attention over the feature map, for captions of pictures.

    The encoder is trained from scratch with the decoder: each stage halves height and width by a 3x3 convolution with
    batch normalisation and ReLU, and has residual blocks (He et al., 2016), so that a picture of 112 x 112 pixels
    becomes a map of 7 x 7 positions after four stages. The decoder is ``AttentionLSTM``: before each word it attends to
    the positions of the map according to its state (Xu et al., 2015). The scores are linear in its output, with the
    weights of the embedding if ``tied``.

    With ``encoder`` the encoder is a network of torchvision instead, and with ``encoder_weights`` the first fit starts
    from its published weights, which are downloaded then.

    With ``blind`` the network gets a black picture in place of every picture, in training and in use: what it learns
    is what captions have in common, a rival of the same size.

    Args:
        input_shape: Channels, height and width of the pictures; others are resized to it.
        mean: Mean of the pixels, one number for all channels or one for each.
        std: Their standard deviation, likewise.
        encoder: Name of a convolutional network of torchvision, such as ``resnet18``; None for that of ``hidden_dims``.
        encoder_weights: Name of its published weights, such as ``DEFAULT``; None for random ones.
        hidden_dims: Channels of each stage of the encoder; the last is the number of features of a position.
        blocks: Number of residual blocks of each stage.
        embedding_dim: Width of the embedding.
        hidden_dim: Number of units of the LSTM.
        attention: ``additive`` or ``general``.
        attention_dim: Width of the hidden layer of additive attention.
        dropout: Dropout probability of the embedding and before the output.
        picture_dropout: Dropout probability of the channels of the feature map.
        tied: Whether the output layer has the weights of the embedding.
        blind: Whether every picture is replaced by a black one.
        code_dim: Width of the codes of the contrastive objective.
        **training: Arguments of ``Captioner`` and ``ZooModule``.
    """

    def __init__(
        self,
        *,
        input_shape: list[int] | None = None,
        mean: float | list[float] = 0.0,
        std: float | list[float] = 1.0,
        encoder: str | None = None,
        encoder_weights: str | None = None,
        hidden_dims: list[int] | None = None,
        blocks: list[int] | None = None,
        embedding_dim: int = 256,
        hidden_dim: int = 256,
        attention: str = "additive",
        attention_dim: int = 128,
        dropout: float = 0.0,
        picture_dropout: float = 0.0,
        tied: bool = True,
        blind: bool = False,
        code_dim: int = 128,
        **training: Any,
    ) -> None:
        super().__init__(**training)
        shape = tuple([3, 112, 112] if input_shape is None else input_shape)
        widths = [32, 64, 128, 256] if hidden_dims is None else list(hidden_dims)
        if not widths:
            raise ValueError("hidden_dims must be the channels of at least one stage, not []")
        depths = [0] * (len(widths) - 1) + [1] if blocks is None else list(blocks)
        if len(shape) != 3 or min(shape) < 1:
            raise ValueError(f"input_shape must be channels, height and width, not {list(shape)}")
        if len(depths) != len(widths) or min(depths) < 0:
            raise ValueError(f"blocks must be {len(widths)} numbers of at least 0, one a stage, not {depths}")
        if not 0 <= picture_dropout < 1:
            raise ValueError(f"picture_dropout must be in [0, 1), not {picture_dropout}")
        check_counts(embedding_dim=embedding_dim, hidden_dim=hidden_dim, attention_dim=attention_dim, code_dim=code_dim)
        check_counts(**{f"hidden_dims[{stage}]": width for stage, width in enumerate(widths)})
        self.input_shape = shape
        if encoder is None:
            if encoder_weights is not None:
                raise ValueError(f"encoder_weights={encoder_weights!r} are of an encoder of torchvision: name it")
            network, features = conv_encoder(shape[0], widths, depths, mean, std), widths[-1]
        else:
            if shape[0] != 3:
                raise ValueError(f"encoder {encoder!r} takes three channels, not {shape[0]}")
            network, features = torchvision_encoder(encoder, mean, std)
            if encoder_weights is not None:
                find_torchvision_weights(encoder, encoder_weights)
        self.net = CaptionNet(
            network,
            features,
            self.hparams["vocab_size"],
            embedding_dim,
            hidden_dim,
            attention=attention,
            attention_dim=attention_dim,
            dropout=dropout,
            picture_dropout=picture_dropout,
            tied=tied,
            blind=blind,
            code_dim=code_dim if self.hparams["contrastive"] else 0,
            bag_of_words=self.hparams["bag_of_words"] > 0,
        )
        if encoder_weights is not None:
            self.net.register_buffer("encoder_is_initialised", torch.tensor(False))

    def begin_fit(self) -> None:
        """Load the published weights of the encoder in the first fit of a model with ``encoder_weights``."""
        super().begin_fit()
        done = getattr(self.net, "encoder_is_initialised", None)
        if done is not None and not bool(done):
            load_torchvision_weights(self.net.encoder, self.hparams["encoder"], self.hparams["encoder_weights"])
            done.fill_(True)
