"""Draw the activations with their derivatives, the gradients they let through, and the units they lose.

    python scripts/activations.py

The norms of dL/dW of each layer of an MLP of ten layers, on a batch of MNIST, at the beginning and after some updates;
and the share of hidden units whose u is negative or 0 for every validation picture, over the training: such a unit of
ReLU is 0, no gradient reaches it, and it is called dead; one of leaky ReLU still learns. The test split stays closed.
"""

import argparse
import sys
from typing import Any

import lightning as L
import torch
from demonstrations import WIDTH, command_line, draw_band, fit, one_line_errors, save, seeded
from lightning.pytorch.callbacks import Callback
from matplotlib.figure import Figure, SubFigure
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from tqdm import tqdm

from datamodules import create_datamodule
from datamodules.base import TensorDataModule
from zoo.base import ZooModule
from zoo.nn.activations import ACTIVATIONS, activation
from zoo.recipes.claims import mean_std

DEEP, BATCH, VAL_SIZE = [100] * 9, 128, 5_000
NETWORKS = [(name, norm) for norm in (False, True) for name in ("sigmoid", "tanh", "relu", "leaky_relu")]
"""Activation, and whether batch normalisation comes before it."""
WIDE = [128, 128]
RATES = {"moderate": 0.001, "too large": 0.03}
"""Learning rates of Adam in the count of dead units."""
DEAD = [(name, rate) for rate in RATES for name in ("relu", "leaky_relu")]


def gradient_norms(model: ZooModule, batch: tuple[Tensor, Tensor]) -> list[float]:
    """Return the Euclidean norm of dL/dW of each fully connected layer, from the first to the last."""
    weights = [layer.weight for layer in model.net.modules() if isinstance(layer, nn.Linear)]
    model.train()  # batch normalisation by the batch's own statistics, as in training
    gradients = torch.autograd.grad(model.step(batch)["loss"], weights)
    return [float(gradient.norm()) for gradient in gradients]


class NeverPositive(Callback):
    """Record the shares of hidden units with u <= 0 and with h = 0 for every validation picture, after each epoch."""

    def __init__(self) -> None:
        self.shares: list[float] = []
        self.zeros: list[float] = []

    def watch(self, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """Keep the largest u and the largest size of h of each unit of a layer."""
        found = torch.stack([inputs[0].amax(0), output.abs().amax(0)])
        self._largest[layer] = torch.maximum(self._largest.get(layer, found), found)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Begin to watch the activations."""
        self._largest: dict[nn.Module, Tensor] = {}
        kinds = (nn.ReLU, nn.LeakyReLU)
        layers = [layer for layer in pl_module.net.modules() if isinstance(layer, kinds)]  # type: ignore[union-attr]
        self._hooks = [layer.register_forward_hook(self.watch) for layer in layers]

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Count."""
        for hook in self._hooks:
            hook.remove()
        highest, size = torch.cat(list(self._largest.values()), 1)
        self.shares.append(float((highest <= 0).float().mean()))
        self.zeros.append(float((size == 0).float().mean()))


def measure_gradients(args: argparse.Namespace, data: TensorDataModule, bar: tqdm) -> dict[str, Any]:
    """Return the norms by layer of each network before and after training, a list a seed."""
    data.setup()
    x, y = data.splits["train"].take(torch.arange(min(512, args.pictures)).numpy()).tensors
    batch, found = (data.to_natural_units(x), y), {}
    for name, norm in NETWORKS:
        label = f"{name}, batch norm" if norm else name
        before, after, accuracies = [], [], []
        for seed in range(args.seeds):
            model = seeded(seed, "mlp", hidden_dims=DEEP, activation=name, batch_norm=norm)
            before.append(gradient_norms(model, batch))
            history, _ = fit(model, data, args.epochs, bar, label)
            after.append(gradient_norms(model, batch))
            accuracies.append(history["val_accuracy"][-1])
        found[label] = {
            "before": before,
            "after": after,
            "first_over_last_before": mean_std([norms[0] / norms[-1] for norms in before]),
            "val_accuracy": mean_std(accuracies),
        }
    return found


def count_dead(args: argparse.Namespace, data: TensorDataModule, bar: tqdm) -> dict[str, Any]:
    """Return the share of units that are never positive after each epoch, a list a seed."""
    found = {}
    for name, rate in DEAD:
        label = f"{name}, lr {RATES[rate]:g} ({rate})"
        runs, zeros, accuracies = [], [], []
        for seed in range(args.seeds):
            model, counter = seeded(seed, "mlp", hidden_dims=WIDE, activation=name, lr=RATES[rate]), NeverPositive()
            history, _ = fit(model, data, args.epochs, bar, label, callbacks=[counter])
            runs.append(counter.shares)
            zeros.append(counter.zeros[-1])
            accuracies.append(history["val_accuracy"][-1])
        found[label] = {
            "never_positive": runs,
            "never_positive_at_the_end": mean_std([shares[-1] for shares in runs]),
            "zero_at_the_end": mean_std(zeros),
            "val_accuracy": mean_std(accuracies),
        }
    return found


def draw_functions(figure: SubFigure) -> None:
    """Draw each activation and its derivative, which autograd computes."""
    u = torch.linspace(-4, 4, 801, requires_grad=True)
    panels = figure.subplots(2, -(-len(ACTIVATIONS) // 2)).flat
    for axes, name in zip(panels, ACTIVATIONS):
        values = activation(name)(u)
        slope = torch.autograd.grad(values.sum(), u)[0] if values.requires_grad else torch.zeros_like(u)
        axes.plot(u.detach(), values.detach(), label="g(u)")
        axes.plot(u.detach(), slope, "--", label="g'(u)")
        axes.set_title(name, fontsize=10)
        axes.set(ylim=(-2, 4), xlabel="u")
        axes.grid(alpha=0.3)
    for axes in figure.axes[len(ACTIVATIONS) :]:
        axes.set_axis_off()
    figure.axes[0].legend(fontsize=9)
    figure.suptitle("Activations and their derivatives")


def draw(numbers: dict[str, Any]) -> Figure:
    """Draw the functions above, and the measurements below them."""
    figure = Figure(figsize=(16, 10), layout="constrained")
    above, below = figure.subfigures(2, 1)
    draw_functions(above)
    before, after, dead = below.subplots(1, 3)
    after.sharey(before)
    layers = list(range(1, len(DEEP) + 2))
    for number, (label, row) in enumerate(numbers["gradients"].items()):
        style = {"color": f"C{number % 4}", "linestyle": "--" if "norm" in label else "-", "label": label}
        draw_band(before, layers, row["before"], **style)
        draw_band(after, layers, row["after"], **style)
    for number, (label, row) in enumerate(numbers["dead"].items()):
        shares = [[100 * share for share in run] for run in row["never_positive"]]
        style = {"color": f"C{2 + number % 2}", "linestyle": ":" if number < 2 else "-", "label": label}
        draw_band(dead, list(range(1, numbers["epochs"] + 1)), shares, **style)
    before.set(yscale="log", xlabel="layer", ylabel="norm of dL/dW", title="Gradients by layer at the beginning")
    after.set(xlabel="layer", title=f"Gradients by layer after {numbers['updates']:,} updates")
    dead.set(xlabel="epoch", ylabel="units (%)", title="Units with u <= 0 for all validation pictures")
    before.legend(fontsize=8)
    dead.legend(fontsize=8)
    for axes in (before, after, dead):
        axes.grid(alpha=0.3)
    return figure


def show(numbers: dict[str, Any]) -> None:
    """Print both tables."""
    gradients = Table("network", "norm, first / last layer, before", "validation accuracy (%)", title="Ten layers")
    for label, row in numbers["gradients"].items():
        accuracy = 100 * row["val_accuracy"]["mean"]
        gradients.add_row(label, f"{row['first_over_last_before']['mean']:.2g}", f"{accuracy:.2f}")
    dead = Table("network", "never positive (%)", "zero (%)", "validation accuracy (%)", title="Units at the end")
    for label, row in numbers["dead"].items():
        keys = ("never_positive_at_the_end", "zero_at_the_end", "val_accuracy")
        dead.add_row(label, *(f"{100 * row[key]['mean']:.2f}" for key in keys))
    for table in (gradients, dead):
        Console(width=WIDTH).print(table)


def main() -> None:
    parser = command_line(__doc__, seeds=3, epochs=8, pictures=10_000)
    args = parser.parse_args()
    with one_line_errors(parser, args.output):
        size = {"train_size": args.pictures, "batch_size": min(BATCH, args.pictures)}
        data = create_datamodule("mnist", val_size=VAL_SIZE, batches_per_step=16, **size)
        with tqdm(total=(len(NETWORKS) + len(DEAD)) * args.seeds * args.epochs, unit="epoch") as bar:
            gradients, dead = measure_gradients(args, data, bar), count_dead(args, data, bar)
        numbers = {
            "data": {"name": "mnist", "val_size": VAL_SIZE, **size},
            "deep": {"hidden_dims": DEEP, "optimizer": "adam", "lr": 0.001},
            "wide": {"hidden_dims": WIDE, "optimizer": "adam", "lr": RATES},
            "seeds": args.seeds,
            "epochs": args.epochs,
            "updates": args.epochs * -(-args.pictures // size["batch_size"]),
            "gradients": gradients,
            "dead": dead,
        }
        show(numbers)
        save(args.output, "activations", draw(numbers), numbers)


if __name__ == "__main__":
    sys.exit(main())
