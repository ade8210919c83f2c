"""Multilayer perceptrons."""

from __future__ import annotations

from typing import Any

from zoo.nn import dense_net, image_shape
from zoo.registry import register_model
from zoo.tasks import ClassifierOrRegressor


@register_model("mlp", source="Rumelhart, Hinton & Williams 1986, Learning representations by back-propagating errors")
class MLP(ClassifierOrRegressor):
    """Multilayer perceptron: h_i = g(W_i h_(i-1) + b_i) from h_0 = x, scores = W h_n + b.

    One hidden layer of enough units approximates any continuous function on a bounded set (Cybenko, 1989); XOR, which
    no perceptron computes, takes two units. Dropout (Srivastava et al., 2014) is applied to the input and after each
    hidden layer.

    Args:
        hidden_dims: Widths of the hidden layers.
        in_features: Number of features of a sample.
        num_classes: Number of classes; two share one output unit. 0 for regression: one output, the predicted number.
        activation: Name of the hidden activation.
        dropout: Dropout probability of the hidden layers.
        input_dropout: Dropout probability of the input.
        batch_norm: Whether to apply batch normalisation before the hidden activations (Ioffe & Szegedy, 2015).
        input_shape: Shape of a sample that is not a vector; 1x28x28 for 784 features if None.
        mean: Mean of the input, one for all or one for each channel or feature.
        std: Standard deviation of the input, likewise.
        **training: Arguments of ``ClassifierOrRegressor`` and ``ZooModule``.
    """

    def __init__(
        self,
        *,
        hidden_dims: list[int] = [256, 128],  # noqa: B006
        in_features: int = 784,
        num_classes: int = 10,
        activation: str = "relu",
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        batch_norm: bool = False,
        input_shape: list[int] | None = None,
        mean: float | list[float] = 0.0,
        std: float | list[float] = 1.0,
        **training: Any,
    ) -> None:
        super().__init__(**training)
        shape = image_shape(in_features, input_shape)
        self.input_shape = tuple(shape)
        self.net = dense_net(
            shape,
            hidden_dims,
            num_classes,
            activation_name=activation,
            dropout=dropout,
            input_dropout=input_dropout,
            batch_norm=batch_norm,
            mean=mean,
            std=std,
        )
