"""Draw test images denoised, inpainted and colorized by the shipped autoencoders, and samples of the VAE."""

import torch
from figure_files import save_figures
from matplotlib.figure import Figure
from torch import Tensor

import zoo
from zoo.baselines import restoration
from zoo.callbacks.samples import walk
from zoo.figures.images import comparison_figure
from zoo.nn import CORRUPTIONS, luma
from zoo.nn.inpainting import biharmonic_surface

JPEG = "CIFAR-10 (JPEG re-encoded)"


def load(recipe: str, count: int) -> tuple:
    """Return a recipe's shipped model, its datamodule and some test images, of each class in turn."""
    data = zoo.load_recipe(recipe).datamodule()
    data.setup()
    x, y = data.splits["test"].tensors
    rows = [torch.nonzero(y == label)[: -(-count // 10), 0] for label in range(10)]
    return (
        zoo.create_model(recipe, pretrained=True),
        data,
        data.to_natural_units(x[torch.stack(rows, 1).flatten()[:count]]),
    )


def draw_denoised(count: int = 10) -> Figure:
    """Draw noisy garments restored by the denoising autoencoder and by its strongest baselines."""
    model, data, x = load("denoising_autoencoder.fashion_mnist", count)
    noisy = model.corrupt(x, torch.Generator().manual_seed(0))

    def by(restorer: restoration.Restorer) -> Tensor:
        return torch.from_numpy(restorer(noisy.numpy())).clamp(0, 1)

    rows = {
        "noise of std 0.5,\nclipped": noisy,
        "total variation,\ntuned": by(restoration.tuned_total_variation(model, data)),
        "linear\nleast squares": by(restoration.least_squares(model, data)),
        "denoising\nautoencoder": model.reconstruct(noisy),
        "original": x,
    }
    return comparison_figure(rows, title="Fashion-MNIST test pictures, PSNR beside the original")


def inpainted(recipe: str, title: str, count: int = 10) -> Figure:
    """Draw images with rectangular holes (first half) and strokes (second half), inpainted by both methods."""
    model, _, x = load(recipe, count)
    half = count // 2
    square = CORRUPTIONS["erase"].holes(x[:half], 0.25, torch.Generator().manual_seed(1))
    lines = CORRUPTIONS["strokes"].holes(x[half:], 3.0, torch.Generator().manual_seed(1))
    mask = torch.cat([square, lines]).float()
    rows = {
        "with holes": x * (1 - mask) + 0.5 * mask,
        "biharmonic": biharmonic_surface(x, mask > 0),
        "inpainting\nautoencoder": model.reconstruct(x, mask=mask),
        "original": x,
    }
    return comparison_figure(rows, title=f"{title} test pictures, PSNR of the whole picture beside the original")


def draw_filled() -> Figure:
    """Garments with holes."""
    return inpainted("inpainting_autoencoder.fashion_mnist", "Fashion-MNIST")


def draw_filled_cifar10() -> Figure:
    """Photographs with holes."""
    return inpainted("inpainting_autoencoder.cifar10_jpeg", JPEG)


def draw_coloured(count: int = 10) -> Figure:
    """The course's table: grey, vanilla, merged with YCbCr, merged with LAB, original."""
    found = {mode: load(f"colorizer.cifar10_jpeg_{mode}", count) for mode in ("vanilla", "ycbcr", "lab")}
    x = found["lab"][-1]
    grey = luma(x)
    names = {"vanilla": "vanilla", "ycbcr": "merge YCbCr", "lab": "merge LAB"}
    rows = {
        "grey": grey,
        **{names[mode]: model.reconstruct(grey) for mode, (model, *_) in found.items()},
        "original": x,
    }
    return comparison_figure(rows, title=f"{JPEG} test pictures, PSNR beside the original")


def draw_samples(side: int = 10) -> Figure:
    """Draw samples of the variational autoencoder and interpolations between the codes of two test digits."""
    model, _, x = load("vae.mnist", 2 * side)
    codes = model.encode(x)
    ways = torch.cat([walk(codes[k], codes[k + 1], side) for k in range(0, 2 * side, 2)])
    sheets = {
        "samples: codes drawn from N(0, 1)": model.sample(side**2, seed=0),
        "walks between the codes of two test digits": model.decode(ways),
    }
    figure = Figure(figsize=(10, 5.4), layout="constrained")
    for axes, (title, pictures) in zip(figure.subplots(1, 2), sheets.items(), strict=True):
        rows = pictures.reshape(side, side, 28, 28).permute(0, 2, 1, 3).reshape(28 * side, 28 * side)
        axes.imshow(rows.numpy(), cmap="gray", vmin=0, vmax=1)
        axes.set(title=title, xticks=[], yticks=[])
    figure.suptitle("vae.mnist: expected pixels")
    return figure


FIGURES = {
    "denoised": draw_denoised,
    "filled": draw_filled,
    "filled_cifar10": draw_filled_cifar10,
    "coloured": draw_coloured,
    "samples": draw_samples,
}


if __name__ == "__main__":
    save_figures(FIGURES, __doc__, dpi=100)
