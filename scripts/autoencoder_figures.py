"""Draw codes, filters, reconstructions and retrieval of the autoencoders, from shipped weights and test splits."""

import matplotlib.pyplot as plt
import numpy as np
import torch
from figure_files import save_figures
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.decomposition import PCA

import zoo
from zoo.baselines.documents import RECALLS, latent_semantic_analysis
from zoo.pretrained import load_result

TOPICS = ("earn", "acq", "crude", "grain", "money-fx", "interest", "ship", "coffee")


def load(recipe: str) -> tuple:
    """Return a recipe's shipped model, its datamodule, and the test split in natural units with its labels."""
    data = zoo.load_recipe(recipe).datamodule()
    data.setup()
    x, y = data.splits["test"].tensors
    return zoo.create_model(recipe, pretrained=True), data, data.to_natural_units(x), y


def scatter(axes: Axes, codes: np.ndarray, labels: np.ndarray, names: list[str], title: str, axis: str) -> None:
    """Draw two-dimensional codes, a colour a class."""
    for k, name in enumerate(names):
        rows = labels == k
        axes.scatter(*codes[rows].T, s=2, alpha=0.5, color=plt.get_cmap("tab10")(k), label=name, rasterized=True)
    axes.set(title=title, xlabel=f"{axis} 1", ylabel=f"{axis} 2")


def draw_codes() -> Figure:
    """Draw two-dimensional codes of digits and documents by the autoencoder and by its linear baseline."""
    figure, axes = plt.subplots(2, 2, figsize=(11, 10))
    model, data, x, y = load("deep_autoencoder.mnist_2d")
    result = load_result("deep_autoencoder.mnist_2d")
    error = 100 * result["metrics"]["test_neighbour_error"]["mean"]
    rival = 100 * result["baselines"]["neighbour_by_pca"]["test_neighbour_error"]["mean"]
    digits = [str(k) for k in range(10)]
    components = PCA(2).fit(data.arrays("train")[0]).transform(data.arrays("test")[0])
    title = f"MNIST test digits, deep autoencoder 784-1000-500-250-2\n1-nearest-neighbour error {error:.1f} %"
    scatter(axes[0, 0], model.encode(x).numpy(), y.numpy(), digits, title, "code")
    title = f"MNIST test digits, first two principal components\n1-nearest-neighbour error {rival:.1f} %"
    scatter(axes[0, 1], components, y.numpy(), digits, title, "component")
    model, data, x, y = load("deep_autoencoder.reuters_2d")
    column = [data.topics.index(topic) for topic in TOPICS]
    single = (y.sum(1) == 1).numpy() & y[:, column].bool().any(1).numpy()
    labels = y[:, column].argmax(1).numpy()[single]
    title = "Reuters test documents of one topic, deep autoencoder 2000-500-250-125-2"
    scatter(axes[1, 0], model.encode(x).numpy()[single], labels, list(TOPICS), title, "code")
    title = "Reuters test documents of one topic, LSA"
    scatter(axes[1, 1], latent_semantic_analysis(data, 2)[single], labels, list(TOPICS), title, "dimension")
    for row in axes:
        row[1].legend(markerscale=5, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
        for one in row:
            one.title.set_fontsize(10)
    return figure


def draw_reconstructions(count: int = 10) -> Figure:
    """One test digit of each class, beside its reconstructions from 30 numbers."""
    model, data, x, y = load("deep_autoencoder.mnist")
    rows = [int(torch.nonzero(y == k)[0]) for k in range(count)]
    components = PCA(model.hparams["latent_dim"], random_state=0).fit(data.arrays("train")[0])
    linear = components.inverse_transform(components.transform(x[rows].flatten(1).numpy())).reshape(-1, 1, 28, 28)
    lines = {
        "original": x[rows].numpy(),
        "deep autoencoder\n784-1000-500-250-30": model.reconstruct(x[rows]).numpy(),
        "PCA, 30 components": linear.clip(0, 1),
    }
    figure, axes = plt.subplots(len(lines), count, figsize=(count, len(lines) * 1.15))
    for line, (name, pictures) in zip(axes, lines.items(), strict=True):
        for one, picture, original in zip(line, pictures, lines["original"], strict=True):
            one.imshow(picture[0], cmap="gray", vmin=0, vmax=1)
            one.set(xticks=[], yticks=[])
            if picture is not original:
                one.set_xlabel(f"{np.square(picture - original).sum():.1f}", fontsize=8)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    figure.suptitle("MNIST test digits from 30 numbers, with the squared error of each", fontsize=11)
    return figure


def draw_filters(columns: int = 16, rows: int = 8) -> Figure:
    """The input of unit norm that excites a hidden unit most: its weights, divided by their norm.

    Of pixels that hardly any digit lights up, which teach the weights nothing, the input is zero.
    """
    model, _, x, _ = load("sparse_autoencoder.mnist")
    active = (model.encode(x).abs() > 1e-3).float().mean(0)
    layer = next(layer for layer in model.net.encoder if isinstance(layer, torch.nn.Linear))
    chosen = active.argsort(descending=True)[: columns * rows]
    lit = ((x > 0.5).float().mean(0) >= 0.01).flatten()  # elsewhere weights are what they were at the start
    inputs = layer.weight.detach()[chosen] * lit
    inputs = (inputs / inputs.norm(dim=1, keepdim=True)).reshape(-1, 28, 28)
    figure, axes = plt.subplots(rows, columns, figsize=(columns * 0.6, rows * 0.62))
    for one, picture in zip(axes.flat, inputs, strict=True):
        bound = picture.abs().max()
        image = one.imshow(picture, cmap="RdBu_r", vmin=-bound, vmax=bound)
        one.set_axis_off()
    bar = figure.colorbar(image, ax=axes, fraction=0.02, pad=0.02)
    bar.set_ticks([-float(bound), 0, float(bound)], labels=["-max", "0", "max"])
    share = float(active.mean())
    figure.suptitle(
        f"sparse_autoencoder.mnist: the input of unit norm that excites each of {columns * rows} units most\n"
        f"(of {layer.out_features}; {100 * share:.1f} % are active in a test digit; pixels lit in 1 % of the digits)",
        fontsize=10,
    )
    return figure


def draw_retrieval() -> Figure:
    """Precision and recall of documents of a shared topic."""
    result = load_result("deep_autoencoder.reuters")
    figure, axes = plt.subplots(figsize=(6.5, 4.5))
    curves = {"deep autoencoder, 10 codes": result["metrics"]}
    curves |= {f"LSA, {name.split('_')[1]} dimensions": values for name, values in result["baselines"].items()}
    for (name, values), style in zip(curves.items(), ("o-", "s--", "^:"), strict=False):
        found = [values[f"test_precision_at_recall_{100 * recall:g}"] for recall in RECALLS]
        mean, std = ([point[key] for point in found] for key in ("mean", "std"))
        axes.errorbar(RECALLS, mean, std, fmt=style, capsize=2, label=name)
    axes.set(
        xlabel="recall",
        ylabel="precision",
        xscale="log",
        ylim=(0, 1),
        title="Reuters-21578: test documents of the query's topic, by cosine of codes\n(mean and spread over seeds)",
    )
    axes.set_xticks(RECALLS, [f"{recall:g}" for recall in RECALLS])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


FIGURES = {
    "codes": draw_codes,
    "filters": draw_filters,
    "reconstructions": draw_reconstructions,
    "retrieval": draw_retrieval,
}


if __name__ == "__main__":
    save_figures(FIGURES, __doc__, dpi=110, bbox_inches="tight")
