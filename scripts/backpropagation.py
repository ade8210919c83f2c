"""Back-propagation written out by the chain rule in NumPy, and compared with automatic differentiation.

    python scripts/backpropagation.py

A network of n hidden layers maps an input x to scores v. With h_0 = x,

    u_i = W_i h_(i-1) + b_i        h_i = g(u_i)        for i = 1, ..., n
    v   = V h_n + c                L = loss(v, y)

The chain rule gives the derivatives from the last layer to the first. Written d_a for dL/da,

    d_v = softmax(v) - y           for the cross-entropy L = -sum_k y_k log softmax(v)_k
    d_v = v - y                    for the squared error L = 1/2 sum_k (v_k - y_k)^2
    d_V = d_v h_n^T                d_c = d_v
    d_h_n = V^T d_v
    d_u_i = d_h_i * g'(u_i)        d_W_i = d_u_i h_(i-1)^T        d_b_i = d_u_i        d_h_(i-1) = W_i^T d_u_i

Below, a batch holds a sample in each row, so products are transposed, and L is the mean over the batch.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from demonstrations import WIDTH, command_line, count, one_line_errors, save
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from scipy.special import erf, expit, log_softmax, softmax
from tqdm import tqdm

from zoo.nn.activations import ACTIVATIONS, activation

Array = np.ndarray
Layer = tuple[Array, Array]
"""Weights (outputs, inputs) and biases (outputs,)."""

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
LEAK = 0.01
LOSSES = ("cross_entropy", "squared_error")
TOLERANCE = 1e-6
CHAIN_RULE = (
    r"$u_i = W_i h_{i-1} + b_i,\quad h_i = g(u_i),\quad h_0 = x$",
    r"$v = V h_n + c,\quad L = \mathrm{loss}(v, y)$",
    r"$\partial L/\partial v = \mathrm{softmax}(v) - y$  (cross-entropy)",
    r"$\partial L/\partial v = v - y$  (squared error)",
    r"$\partial L/\partial V = \partial L/\partial v \; h_n^T,\quad \partial L/\partial c = \partial L/\partial v$",
    r"$\partial L/\partial h_n = V^T \, \partial L/\partial v$",
    r"$\partial L/\partial u_i = \partial L/\partial h_i \odot g'(u_i)$",
    r"$\partial L/\partial W_i = \partial L/\partial u_i \; h_{i-1}^T$",
    r"$\partial L/\partial b_i = \partial L/\partial u_i$",
    r"$\partial L/\partial h_{i-1} = W_i^T \, \partial L/\partial u_i$",
)


class Function(NamedTuple):
    """An activation g, its derivative g', and both as they are written."""

    value: Callable[[Array], Array]
    derivative: Callable[[Array], Array]
    formula: str
    derivative_formula: str


def gauss(u: Array) -> Array:
    """Return the density of the standard normal distribution."""
    return np.exp(-(u**2) / 2) / np.sqrt(2 * np.pi)


def normal(u: Array) -> Array:
    """Return the distribution function of the standard normal distribution."""
    return (1 + erf(u / np.sqrt(2))) / 2


def softplus(u: Array) -> Array:
    """Return log(1 + exp(u)), without overflow."""
    return np.logaddexp(0, u)


def mish_derivative(u: Array) -> Array:
    """Return the derivative of u tanh(softplus(u)) by the product rule."""
    t = np.tanh(softplus(u))
    return t + u * (1 - t**2) * expit(u)


FUNCTIONS: dict[str, Function] = {
    "elu": Function(
        lambda u: np.where(u > 0, u, np.expm1(np.minimum(u, 0))),
        lambda u: np.where(u > 0, 1.0, np.exp(np.minimum(u, 0))),
        "u if u > 0 else exp(u) - 1",
        "1 if u > 0 else exp(u)",
    ),
    "gelu": Function(
        lambda u: u * normal(u),
        lambda u: normal(u) + u * gauss(u),
        "u Phi(u)",
        "Phi(u) + u phi(u)",
    ),
    "hardswish": Function(
        lambda u: u * np.clip(u + 3, 0, 6) / 6,
        lambda u: np.where(u <= -3, 0.0, np.where(u >= 3, 1.0, (2 * u + 3) / 6)),
        "u min(max(u + 3, 0), 6) / 6",
        "0, (2 u + 3) / 6 in (-3, 3), 1",
    ),
    "identity": Function(lambda u: u, np.ones_like, "u", "1"),
    "leaky_relu": Function(
        lambda u: np.where(u > 0, u, LEAK * u),
        lambda u: np.where(u > 0, 1.0, LEAK),
        "u if u > 0 else 0.01 u",
        "1 if u > 0 else 0.01",
    ),
    "mish": Function(
        lambda u: u * np.tanh(softplus(u)),
        mish_derivative,
        "u tanh(log(1 + exp(u)))",
        "t + u (1 - t^2) sigmoid(u), t = tanh(log(1 + exp(u)))",
    ),
    "relu": Function(lambda u: np.maximum(u, 0), lambda u: (u > 0).astype(u.dtype), "max(u, 0)", "1 if u > 0 else 0"),
    "selu": Function(
        lambda u: SELU_SCALE * np.where(u > 0, u, SELU_ALPHA * np.expm1(np.minimum(u, 0))),
        lambda u: SELU_SCALE * np.where(u > 0, 1.0, SELU_ALPHA * np.exp(np.minimum(u, 0))),
        "s u if u > 0 else s a (exp(u) - 1)",
        "s if u > 0 else s a exp(u)",
    ),
    "sigmoid": Function(expit, lambda u: expit(u) * (1 - expit(u)), "1 / (1 + exp(-u))", "g (1 - g)"),
    "silu": Function(
        lambda u: u * expit(u),
        lambda u: expit(u) * (1 + u * (1 - expit(u))),
        "u sigmoid(u)",
        "s (1 + u (1 - s)), s = sigmoid(u)",
    ),
    "softplus": Function(softplus, expit, "log(1 + exp(u))", "sigmoid(u)"),
    "step": Function(lambda u: (u > 0).astype(u.dtype), np.zeros_like, "1 if u > 0 else 0", "0"),
    "tanh": Function(np.tanh, lambda u: 1 - np.tanh(u) ** 2, "tanh(u)", "1 - g^2"),
}
"""The activations of ``zoo.nn`` in NumPy, by name."""


def initial_layers(sizes: list[int], seed: int) -> list[Layer]:
    """Return the layers of a network of these widths, normally distributed."""
    rng = np.random.default_rng(seed)
    return [(rng.normal(0, fan_in**-0.5, (out, fan_in)), rng.normal(0, 0.5, out)) for fan_in, out in pairwise(sizes)]


def forward(layers: list[Layer], x: Array, g: Callable[[Array], Array]) -> tuple[list[Array], list[Array], Array]:
    """Return u_1, ..., u_n, then h_0, ..., h_n, and the scores v of a batch (N, inputs)."""
    *hidden, (V, c) = layers  # noqa: N806
    us, hs = [], [x]
    for W, b in hidden:  # noqa: N806
        u = hs[-1] @ W.T + b  # u_i = W_i h_(i-1) + b_i
        us.append(u)
        hs.append(g(u))  # h_i = g(u_i)
    return us, hs, hs[-1] @ V.T + c  # v = V h_n + c


def loss_and_derivative(v: Array, y: Array, loss: str) -> tuple[float, Array]:
    """Return the mean loss of a batch of scores (N, K), and its derivative by them, for targets y (N, K)."""
    if loss == "cross_entropy":  # of labels as rows with a single 1
        return float(-(y * log_softmax(v, 1)).sum(1).mean()), (softmax(v, 1) - y) / len(v)
    return float(((v - y) ** 2).sum(1).mean() / 2), (v - y) / len(v)


def backward(layers: list[Layer], us: list[Array], hs: list[Array], d_v: Array, g: Function) -> list[Layer]:
    """Return the derivatives of the loss by the weights and biases of all layers, from the derivative by v."""
    *hidden, (V, _) = layers  # noqa: N806
    gradients = [(d_v.T @ hs[-1], d_v.sum(0))]  # d_V = d_v h_n^T, d_c = d_v, summed over the batch
    d_h = d_v @ V  # d_h_n = V^T d_v
    for i in reversed(range(len(hidden))):
        d_u = d_h * g.derivative(us[i])  # d_u_i = d_h_i * g'(u_i)
        gradients.insert(0, (d_u.T @ hs[i], d_u.sum(0)))  # d_W_i = d_u_i h_(i-1)^T, d_b_i = d_u_i
        d_h = d_u @ hidden[i][0]  # d_h_(i-1) = W_i^T d_u_i
    return gradients


def automatic(layers: list[Layer], x: Array, y: Array, name: str, loss: str) -> tuple[float, list[Layer]]:
    """Return the loss and the same derivatives by automatic differentiation in torch."""
    tensors = [tuple(torch.tensor(part, requires_grad=True) for part in layer) for layer in layers]
    h, g = torch.tensor(x), activation(name)
    for W, b in tensors[:-1]:  # noqa: N806
        h = g(F.linear(h, W, b))
    v, target = F.linear(h, *tensors[-1]), torch.tensor(y)
    value = F.cross_entropy(v, target) if loss == "cross_entropy" else ((v - target) ** 2).sum(1).mean() / 2
    value.backward()
    return value.item(), [tuple(torch.zeros_like(t) if t.grad is None else t.grad for t in layer) for layer in tensors]


def largest_difference(name: str, sizes: list[int], loss: str, rows: int = 16, seed: int = 0) -> float:
    """Return the largest difference between both ways, of the loss and of all derivatives."""
    rng = np.random.default_rng(seed)
    layers, x = initial_layers(sizes, seed), rng.normal(size=(rows, sizes[0]))
    classes = np.eye(sizes[-1])[rng.integers(sizes[-1], size=rows)]
    y = classes if loss == "cross_entropy" else rng.normal(size=(rows, sizes[-1]))
    function = FUNCTIONS[name]
    us, hs, v = forward(layers, x, function.value)
    value, d_v = loss_and_derivative(v, y, loss)
    ours = backward(layers, us, hs, d_v, function)
    expected, theirs = automatic(layers, x, y, name, loss)
    differences = [
        np.abs(one - other.numpy()).max()
        for layer, layer_theirs in zip(ours, theirs, strict=True)
        for one, other in zip(layer, layer_theirs, strict=True)
    ]
    return float(max([abs(value - expected), *differences]))


def draw(found: dict[str, dict[str, float]], sizes: list[int]) -> Figure:
    """Draw the chain rule, and the largest difference from autograd of each activation."""
    figure = Figure(figsize=(13, 5), layout="constrained")
    page, axes = figure.subplots(1, 2, width_ratios=(1, 1.2))
    page.set_axis_off()
    for row, line in enumerate(CHAIN_RULE):
        page.text(0, 1 - 0.105 * row, line, fontsize=13, va="top", transform=page.transAxes)
    for offset, loss in zip((-0.2, 0.2), LOSSES):
        places = [place + offset for place in range(len(found))]
        axes.barh(places, [each[loss] for each in found.values()], 0.4, label=loss.replace("_", " "))
    axes.axvline(TOLERANCE, color="black", linestyle="--", label="tolerance")
    axes.set_yticks(range(len(found)), list(found))
    axes.set(xscale="log", xlim=(1e-18, 1e-5), xlabel="largest difference from autograd, float64")
    axes.invert_yaxis()
    axes.legend()
    figure.suptitle(f"Back-propagation in NumPy, widths {sizes}")
    return figure


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--sizes", type=count, nargs="+", default=[12, 10, 9, 8, 5], help="widths, inputs to scores")
    args = parser.parse_args()
    if len(args.sizes) < 2:
        parser.error(f"--sizes {args.sizes[0]}: give at least two widths, of inputs and scores")
    table = Table(title=f"Back-propagation against autograd, widths {args.sizes}, float64: largest difference")
    for head in ("activation", "g(u)", "g'(u)", *LOSSES):
        table.add_column(head)
    found = {}
    with one_line_errors(parser, args.output):
        with tqdm(total=len(ACTIVATIONS), unit="activation") as bar:
            for name in ACTIVATIONS:
                found[name] = {loss: largest_difference(name, args.sizes, loss) for loss in LOSSES}
                cells = [f"{value:.1e}" for value in found[name].values()]
                table.add_row(name, FUNCTIONS[name].formula, FUNCTIONS[name].derivative_formula, *cells)
                bar.set_postfix(activation=name, difference=cells[0], refresh=False)
                bar.update()
        Console(width=WIDTH).print(table)
        save(args.output, "backpropagation", draw(found, args.sizes), {"sizes": args.sizes, "differences": found})


if __name__ == "__main__":
    main()
