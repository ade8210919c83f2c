"""Linear classifiers."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from zoo.nn import dense_net, image_shape
from zoo.registry import register_model
from zoo.tasks import Classifier


class LinearClassifier(Classifier):
    """Linear classifier: scores = W x + b for x flattened and standardised; one output unit for two classes.

    The losses of the subclasses are convex, so the minimum does not depend on the initial weights, which are zero.

    Args:
        in_features: Number of features of a sample.
        num_classes: Number of classes.
        input_shape: Shape of a sample that is not a vector; 1x28x28 for 784 features if None.
        mean: Mean of the input, one for all or one for each channel or feature.
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
    """Rosenblatt's perceptron: a linear unit with the step function g, y = g(w x + b).

    The derivative of the step function is 0, so training minimises the perceptron criterion instead,

        loss = max_k s_k - s_y,

    for the scores s of a sample of class y: 0 for a correct prediction, and the margin of the predicted class over the
    true one otherwise. For two classes, with s = (0, z), its negative subgradient is the perceptron rule: add x to the
    weights if a 1 was predicted as 0, subtract it if a 0 was predicted as 1, and leave them otherwise. On linearly
    separable data the rule ends after finitely many corrections (Novikoff, 1962); on others, such as XOR, it does not
    converge (Minsky & Papert, 1969).
    """

    calibrates = False

    def loss(self, scores: Tensor, y: Tensor) -> Tensor:
        """Return the mean perceptron criterion of a batch, a scalar."""
        # argmax takes the first of equal scores, so the loss is that of the class predicted.
        predicted = scores.argmax(1, keepdim=True)
        return (scores.gather(1, predicted) - scores.gather(1, y[:, None])).mean()

    def probabilities(self, scores: Tensor) -> Tensor:
        """Return 1 for the predicted class and 0 for the others (N, num_classes)."""
        return F.one_hot(scores.argmax(1), scores.shape[1]).to(scores.dtype)


@register_model("logistic_regression", source="Cox 1958, The regression analysis of binary sequences")
class LogisticRegression(LinearClassifier):
    """Logistic regression, binary or multinomial: P(y = k | x) = softmax(W x + b)_k.

    For two classes the single logit z = w x + b gives P(y = 1 | x) = sigmoid(z). The loss is the cross-entropy, the
    mean negative log-likelihood; with the penalty ``l2`` the objective is that of scikit-learn divided by C n, for
    C = 1 / (n l2) and n samples.
    """
