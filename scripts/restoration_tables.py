"""Tables of image restoration by kind of picture: inpainting, denoising and colorization beside simple methods.

python scripts/restoration_tables.py inpainting|denoising|colorization [--split val|test] [--figure FILE]
"""

import argparse
import io
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator

import numpy as np
import torch
from drawn_pictures import HOLES, KINDS, hole, picture
from matplotlib.figure import Figure
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

import datamodules
import zoo
from zoo.baselines.noise_levels import LEVELS, apply_filter, nonlocal_filters, wavelet_filters
from zoo.figures.images import comparison_figure
from zoo.metrics.images import ciede2000, colourfulness, psnr
from zoo.nn import add_noise, luma
from zoo.nn.inpainting import biharmonic_surface, fill_by_interpolation

RECIPES = {
    "inpainting": "inpainting_autoencoder.flickr8k",
    "denoising": "denoising_autoencoder.flickr8k",
    "colorization": "colorizer.flickr8k",
}
SIDES = {64: 6, 256: 3, 1000: 1}
"""Sides in pixels of our own pictures, and the number of each kind."""
PHOTOGRAPHS = {"cifar10_jpeg": (32, 48), "flickr8k": (112, 24)}
"""Photographs by data set: side in pixels and number."""
WIDTHS = (3, 10, 30, 100, 200)
"""Widths of holes in pixels; those of more than half of a picture's side are left out."""

Rows = dict[str, list[Tensor]]


def pictures(split: str) -> Iterator[tuple[str, int, list[Tensor]]]:
    """Yield names of kinds, their side, and pictures (3, side, side)."""
    for side, count in SIDES.items():
        for kind in KINDS:
            yield kind, side, [picture(kind, side, seed + 100 * (split == "test")) for seed in range(count)]
    for name, (side, count) in PHOTOGRAPHS.items():
        data = datamodules.create_datamodule(name)
        data.setup()
        x = data.splits[split].take(np.arange(0, len(data.splits[split].groups), 20)[:count]).tensors[0]
        yield name, side, list(data.to_natural_units(x))


def inpainting(split: str) -> Table:
    """Return the PSNR in holes, by kind of picture and by kind and width of the hole."""
    model = zoo.create_model(RECIPES["inpainting"], pretrained=True)
    methods: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "interpolation": lambda x, holes: fill_by_interpolation(x, ~holes),
        "biharmonic": biharmonic_surface,
        "model": lambda x, holes: model.reconstruct(x, mask=holes),
    }
    cells: dict[tuple[str, ...], Rows] = defaultdict(lambda: defaultdict(list))
    for kind, side, images in track(list(pictures(split)), "inpainting"):
        for name, width in itertools.product(HOLES, [width for width in WIDTHS if width <= side // 2]):
            for number, image in enumerate(images):
                holes, x = hole(name, side, width, number)[None], image[None]
                for method, fill in methods.items():
                    value = psnr(fill(x * ~holes, holes), x, holes)
                    for cell in (("picture", f"{kind}, {side} px"), ("hole", name), ("width", f"{width} px")):
                        cells[cell][method].append(value)
                    cells["", "all"][method].append(value)
    return tabulated("PSNR in the holes, dB", cells)


def denoising(split: str) -> Table:
    """Return the PSNR by kind of picture and by noise level, in colour and in grey."""
    model = zoo.create_model(RECIPES["denoising"], pretrained=True)
    filters = {"non-local means": nonlocal_filters()[4], "wavelets": wavelet_filters()[2]}
    cells: dict[tuple[str, ...], Rows] = defaultdict(lambda: defaultdict(list))
    for kind, side, images in track(list(pictures(split)), "denoising"):
        for level, grey in itertools.product(LEVELS, (False, True)):
            for number, image in enumerate(images[:12]):
                x = luma(image[None]).clamp(0, 1).expand(-1, 3, -1, -1).contiguous() if grey else image[None]
                noisy = add_noise(x, level / 255, torch.Generator().manual_seed(number))
                found = {"input": noisy, "model": model.reconstruct(noisy)}
                if side <= 256:
                    found |= {name: apply_filter(restore, noisy, level) for name, restore in filters.items()}
                for method, restored in found.items():
                    value = psnr(restored, x)
                    cells["level", f"{level} of 255, {'grey' if grey else 'colour'}"][method].append(value)
                    cells["picture", f"{kind}, {side} px"][method].append(value)
    return tabulated("PSNR, dB; filters are told the level, for pictures of up to 256 px", cells)


def colorization(split: str) -> Table:
    """Return CIEDE2000, colourfulness and PSNR of photographs in the colours of several models."""
    cells: dict[tuple[str, ...], Rows] = defaultdict(lambda: defaultdict(list))
    models = {
        name: zoo.create_model(name, pretrained=True)
        for name in ("colorizer.cifar10_jpeg_vanilla", "colorizer.cifar10_jpeg_lab", RECIPES["colorization"])
    }
    for name, side, images in pictures(split):
        if name in PHOTOGRAPHS:
            x = torch.stack(images)
            grey = luma(x).clamp(0, 1)
            found = {"grey copy": grey.expand_as(x), "original": x}
            found |= {key: model.reconstruct(grey) for key, model in models.items()}
            for key, restored in found.items():
                if key != "original":
                    cells[f"{name}, {side} px", "PSNR, dB"][key].append(psnr(restored, x))
                    cells[f"{name}, {side} px", "CIEDE2000"][key].append(ciede2000(restored, x))
                cells[f"{name}, {side} px", "colourfulness"][key].append(colourfulness(restored))
    return tabulated("Photographs in colours", cells)


def tabulated(title: str, cells: dict[tuple[str, ...], Rows]) -> Table:
    """Return a table of the means of the cells, one column a method."""
    methods = list(dict.fromkeys(method for row in cells.values() for method in row))
    table = Table(title=title)
    for column in ("by", "", *methods, "number"):
        table.add_column(column, justify="left" if column in ("by", "") else "right")
    for (group, name), row in sorted(cells.items(), key=lambda item: item[0][0]):
        values = [f"{torch.cat(row[method]).mean():.2f}" if method in row else "" for method in methods]
        table.add_row(group, name, *values, str(len(torch.cat(row[methods[0]]))))
    return table


def photographs(split: str, count: int) -> Tensor:
    """Return a few photographs (count, 3, 112, 112) of Flickr8k."""
    data = datamodules.create_datamodule("flickr8k")
    data.setup()
    return data.to_natural_units(data.splits[split].take(np.arange(5, 5 + 40 * count, 40)).tensors[0])


def figure(tool: str, split: str) -> Figure:
    """Draw pictures of our own and a few photographs, restored by the model and by a simple method."""
    model = zoo.create_model(RECIPES[tool], pretrained=True)
    if tool == "colorization":
        x = photographs(split, 8)
        grey = luma(x).clamp(0, 1)
        rows = {"grey": grey, "model": model.reconstruct(grey), "original": x}
        return comparison_figure(rows, title="Photographs in colours, PSNR beside the original")
    x = torch.cat([torch.stack([picture(kind, 112, 7) for kind in KINDS]), photographs(split, 3)])
    if tool == "denoising":
        levels = torch.tensor([10, 25, 50, 100, 25, 50, 10, 25, 50]).view(-1, 1, 1, 1) / 255
        noisy = add_noise(x, levels, torch.Generator().manual_seed(0))
        nlm = nonlocal_filters()[4]
        filtered = [apply_filter(nlm, a[None], round(255 * float(b))) for a, b in zip(noisy, levels)]
        rows = {"noise of\n10 to 100": noisy, "non-local means,\nlevel known": torch.cat(filtered)}
    else:
        kinds = list(itertools.islice(itertools.cycle(itertools.product((12, 28), HOLES)), len(x)))
        holes = torch.stack([hole(kind, 112, width, 3 + k) for k, (width, kind) in enumerate(kinds)])
        seen = x * ~holes
        rows = {"with holes": seen + 0.5 * holes, "biharmonic": biharmonic_surface(seen, holes)}
    rows["model"] = model.reconstruct(noisy) if tool == "denoising" else model.reconstruct(seen, mask=holes)
    title = "Drawn, rendered and synthesised pictures, and photographs; PSNR of the whole picture beside the original"
    return comparison_figure({**rows, "original": x}, title=title)


def main() -> None:
    """Print one table, or draw one figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tool", choices=list(RECIPES))
    parser.add_argument("--split", choices=("val", "test"), default="val")
    parser.add_argument("--figure", help="file of a figure, drawn in place of the table")
    arguments = parser.parse_args()
    if arguments.figure:
        drawn = io.BytesIO()
        figure(arguments.tool, arguments.split).savefig(drawn, format="png", dpi=110)
        Image.open(drawn).convert("RGB").quantize(256).save(arguments.figure, optimize=True)  # a quarter of the size
        return
    tables = {"inpainting": inpainting, "denoising": denoising, "colorization": colorization}
    Console(width=140).print(tables[arguments.tool](arguments.split))


if __name__ == "__main__":
    main()
