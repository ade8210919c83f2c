"""Models of one layer: a weighted sum of the inputs decides."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from zoo.nn import dense_net, image_shape
from zoo.registry import register_model
from zoo.tasks import Classifier


class LinearClassifier(Classifier):
    """One linear layer: scores = W x + b for x flattened and standardised; one unit for two classes.

    The losses of its subclasses are convex, so the weights start at zero and the start decides nothing.

    Args:
        in_features: Numbers in a sample.
        num_classes: Number of classes.
        input_shape: Shape of a sample if it is no vector; 1x28x28 for 784 features if None.
        mean: Mean of the input, one number or one a channel or feature.
        std: Standard deviation of the input, likewise.
        **training: Arguments of ``Classifier`` and ``ZooModule``.
    """

    def __init__(
        self,
        *,
        in_features: int = 784,
        num_classes: int = 10,
        input_shape: list[int] | None = None,
        mean: float | list[float] = 0.0,
        std: float | list[float] = 1.0,
        **training: Any,
    ) -> None:
        super().__init__(**training)
        shape = image_shape(in_features, input_shape)
        self.input_shape = tuple(shape)
        self.net = dense_net(shape, [], num_classes, mean=mean, std=std)
        for layer in self.net:
            if isinstance(layer, nn.Linear):
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)


@register_model(
    "perceptron",
    source="Rosenblatt 1958, The perceptron: a probabilistic model for information storage in the brain",
    optimizer="sgd",
    lr=1.0,
)
class Perceptron(LinearClassifier):
    """Rosenblatt's perceptron: a linear unit with the step function g on top, y = g(w x + b).

    The step has no useful derivative. Training minimises the perceptron criterion instead,

        loss = max_k s_k - s_y,

    for the scores s of a sample of class y: zero when the answer is right, and otherwise how far the wrong winner is
    ahead. For two classes, with s = (0, z), its negative subgradient is the perceptron rule: add x to the weights when
    a 1 was answered 0, subtract it when a 0 was answered 1, do nothing when the answer was right. On linearly
    separable data the rule ends after finitely many corrections (Novikoff, 1962); on others, such as XOR, it never
    settles (Minsky & Papert, 1969).
    """

    def loss(self, scores: Tensor, y: Tensor) -> Tensor:
        """Return the mean perceptron criterion of a batch, a scalar."""
        # Of equal scores the first wins, as in argmax: the loss then follows the answer that is really given.
        winner = scores.argmax(1, keepdim=True)
        return (scores.gather(1, winner) - scores.gather(1, y[:, None])).mean()

    def probabilities(self, scores: Tensor) -> Tensor:
        """Apply the step: 1 for the class that wins and 0 for the others."""
        return F.one_hot(scores.argmax(1), scores.shape[1]).to(scores.dtype)


@register_model("logistic_regression", source="Cox 1958, The regression analysis of binary sequences")
class LogisticRegression(LinearClassifier):
    """Logistic regression, binary or multinomial: P(y = k | x) = softmax(W x + b)_k.

    For two classes the single logit z = w x + b gives P(y = 1 | x) = sigmoid(z). The loss is the cross-entropy, the
    negative log-likelihood a sample; with the penalty ``l2`` it is scikit-learn's objective divided by C n, for
    C = 1 / (n l2) and n samples.
    """
