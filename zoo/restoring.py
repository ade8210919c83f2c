"""From a user's picture files to restored ones."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from zoo.answers import expand
from zoo.nn import luma
from zoo.pretrained import write_atomically


class Job(NamedTuple):
    """A picture to restore: its file, that of its mask if the model takes one, and where the result goes."""

    source: str
    mask: str | None
    target: Path


def plan(inputs: Sequence[str], output: str | None, masked: bool, endings: Sequence[str]) -> list[Job]:
    """Pair pictures with masks and results, and find what is wrong before any work is done.

    Args:
        inputs: Picture files and folders of them; with masks a picture and its mask, or two folders with files of the
            same names.
        output: A file for one picture, or a folder for several; it is made if its own folder is there.
        masked: Whether each picture comes with a mask.
        endings: Endings of the files that can be written.

    Raises:
        ValueError: If inputs and output do not fit together, or a folder is empty.
    """
    if output is None:
        raise ValueError("--output is missing: a file for one picture, a folder for several")
    sources, masks = _paired(inputs) if masked else _unmasked(inputs)
    target = Path(output)
    if not target.absolute().parent.is_dir():
        raise ValueError(f"--output {output}: there is no folder {target.absolute().parent}")
    if len(sources) == 1 and not Path(inputs[0]).is_dir() and not target.is_dir():
        targets = [target]
    elif target.is_file() or target.suffix.lower() in endings:
        raise ValueError(f"--output {output}: {len(sources)} pictures go into a folder, not into a file")
    else:
        targets = [target / Path(source).name for source in sources]
        twice = [path.name for path in targets if targets.count(path) > 1]
        if twice:
            raise ValueError(f"two of the pictures are called {twice[0]}: restore them into different folders")
    for path in targets:
        if path.suffix.lower() not in endings:
            raise ValueError(f"{path}: pictures are written as {', '.join(endings)}")
    return [Job(source, mask, path) for source, mask, path in zip(sources, masks, targets)]


def _unmasked(inputs: Sequence[str]) -> tuple[list[str], list[str | None]]:
    sources = expand(inputs)
    return sources, [None] * len(sources)


def _paired(inputs: Sequence[str]) -> tuple[list[str], list[str | None]]:
    if len(inputs) != 2:
        raise ValueError(f"{len(inputs)} inputs: expected a picture and its mask, or a folder of each")
    picture, mask = map(Path, inputs)
    if picture.is_dir() != mask.is_dir():
        raise ValueError(f"{picture} and {mask}: expected two files or two folders")
    if not picture.is_dir():
        return [inputs[0]], [inputs[1]]
    sources, masks = expand(inputs[:1]), {Path(path).stem: path for path in expand(inputs[1:])}
    for source in sources:
        if Path(source).stem not in masks:
            raise ValueError(f"{source} has no mask: expected {mask / Path(source).name}")
    return sources, [masks[Path(source).stem] for source in sources]


def restored(model: Any, pixels: Tensor, mask: Tensor | None = None) -> Tensor:
    """Restore a picture of any size and number of channels.

    A model of grey pictures takes each channel of a coloured one by itself; one of coloured pictures takes a grey one
    as red, green and blue, and its answer is made grey again; a colorizer takes the luma.

    Args:
        model: An autoencoder that takes pictures of any size.
        pixels: Floats (C, H, W) in [0, 1]; C is 1 or 3.
        mask: (H, W), 1 in a hole, for a model that takes one.

    Returns:
        Floats (C', H, W) in [0, 1]; C' is 3 for a colorizer and else C.
    """
    sees, gives = model.input_shape[0], model.sample_shape[0]
    options = {} if mask is None else {"mask": mask}
    if sees < gives:
        return model.reconstruct((luma(pixels[None]) if len(pixels) == 3 else pixels[None]).clamp(0, 1))[0]
    if gives == len(pixels):
        return model.reconstruct(pixels[None], **options)[0]
    if gives == 1:
        return model.reconstruct(pixels[:, None], **options)[:, 0]
    return luma(model.reconstruct(pixels[None].expand(-1, gives, -1, -1), **options))[0]


def restore_files(model: Any, jobs: Sequence[Job], read: Callable[[str], Any]) -> None:
    """Restore picture files, each written whole or not at all, with a progress bar where there are several.

    Args:
        model: An autoencoder that takes pictures of any size.
        jobs: What to restore, as ``plan`` gives it.
        read: Function from a path to a ``datamodules.photographs.Photograph``.
    """
    from rich.progress import track

    quiet = len(jobs) < 2 or not sys.stderr.isatty()
    for source, mask, target in track(jobs, "restoring", disable=quiet, transient=True):
        photograph = read(source)
        hole = None if mask is None else _hole(read(mask).pixels, mask, photograph.pixels, source)
        result = restored(model, photograph.pixels, hole).cpu()
        write_atomically(target, photograph.to_bytes(result, target.suffix.lower()))


def _hole(mask: Tensor, name: str, pixels: Tensor, of: str) -> Tensor:
    """Return where a mask's file is light, (H, W)."""
    sizes = [f"{part.shape[2]} x {part.shape[1]}" for part in (mask, pixels)]
    if sizes[0] != sizes[1]:
        raise ValueError(
            f"{name} is {sizes[0]} pixels, {of} {sizes[1]}: a mask has its picture's size, white in a hole"
        )
    return (mask.mean(0) > 0.5).float()
