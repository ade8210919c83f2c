"""Draw the README's figure from the result files, the shipped weights and MNIST's test split."""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes

import zoo
from datamodules import MNISTDataModule
from zoo.pretrained import load_result

RECIPES = {
    "mnist": ("logistic_regression", "mlp", "lenet5", "cnn"),
    "fashion_mnist": ("logistic_regression", "mlp", "cnn"),
}
COLOURS = {"mnist": "tab:blue", "fashion_mnist": "tab:orange"}


def draw_errors(axes: Axes) -> None:
    """Draw the test error of each recipe, every seed a dot, beside the figure it had to reach."""
    names = []
    for data, models in RECIPES.items():
        for model in models:
            result = load_result(f"{model}.{data}")
            if result is None:
                continue
            y = len(names)
            errors = [100 * (1 - value) for value in result["metrics"]["test_accuracy"]["values"]]
            first = not any(name.endswith(f".{data}") for name in names)
            bound = 100 * (1 - result["claim"][0]["bound"])
            axes.plot(errors, [y] * len(errors), "o", color=COLOURS[data], alpha=0.6, label=data if first else None)
            axes.plot([bound], [y], "k|", markersize=16, label=None if names else "claimed at most")
            names.append(result["recipe"])
    axes.set(xscale="log", xlabel="test error (%), one dot a seed", title="Measured on the official test splits")
    axes.set_yticks(range(len(names)), names)
    axes.set_xticks([0.3, 0.5, 1, 2, 5, 10, 20], ["0.3", "0.5", "1", "2", "5", "10", "20"])
    axes.minorticks_off()
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="lower left", fontsize=8)


@torch.no_grad()
def draw_mistakes(axes: Axes, columns: int = 6, rows: int = 4) -> None:
    """Draw the test digits that the shipped network gets wrong most confidently, with its answer and the label."""
    data = MNISTDataModule()
    data.setup()
    x, y = data.splits["test"].tensors
    images = data.to_natural_units(x)
    model = zoo.create_model("cnn.mnist", pretrained=True)
    probabilities = torch.cat([model(part).softmax(1) for part in images.split(1000)])
    confidence, answer = probabilities.max(1)
    wrong = torch.nonzero(answer != y)[:, 0]
    wrong = wrong[confidence[wrong].argsort(descending=True)][: columns * rows]
    sheet = torch.ones(rows * 40, columns * 30)
    for place, index in enumerate(wrong.tolist()):
        top, left = 40 * (place // columns), 30 * (place % columns)
        sheet[top : top + 28, left : left + 28] = 1 - images[index, 0]
        axes.text(
            left + 14, top + 35, f"{int(answer[index])} not {int(y[index])}", ha="center", va="center", fontsize=7
        )
    axes.imshow(sheet, cmap="gray", vmin=0, vmax=1)
    axes.set_axis_off()
    total = int((answer != y).sum())
    axes.set_title(
        f"{len(wrong)} of the {total} digits of {len(y):,} that cnn.mnist\nreads wrong: its answer, the label",
        fontsize=10,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "figures" / "results.png")
    args = parser.parse_args()
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), width_ratios=(1.25, 1))
    draw_errors(left)
    draw_mistakes(right)
    figure.tight_layout()
    args.output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.output, dpi=110)
    print(args.output)


if __name__ == "__main__":
    main()
