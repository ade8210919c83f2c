"""Restored images of any size."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from datamodules.images.photographs import WRITABLE_ENDINGS, Photograph, read_photograph
from datamodules.images.reading import IMAGE_ENDINGS
from zoo.errors import printable
from zoo.files import check_outputs, expand, write_atomically
from zoo.nn import luma
from zoo.prediction.inputs import Predictions, as_file, as_float_tensor, names_of, refuse_nonfinite
from zoo.prediction.jobs import run_jobs

SOFT_EDGE = 0.1
"""Share of the way from a mask's background to its lightest level above which a pixel is part of a hole. Set by hand,
above the ringing of JPEG."""


def predict(model: Any, data: Any, inputs: Sequence[Any], output: str | None = None) -> Predictions:
    """Restore images of any size.

    Args:
        model: An ``Autoencoder`` that takes images of any size.
        data: Not needed: images are read as they are.
        inputs: Image files, folders of them, bytes of files, or arrays (C, H, W) in [0, 1]; for a model that takes
            masks an image and its mask, or a folder of each.
        output: File for one image, or folder for several; if None the answers hold the restored images.

    Returns:
        Answers with the ``output`` file of each image, or with its ``image``, float32 (C, H, W) in [0, 1].

    Raises:
        ValueError, OSError: If no image can be restored.
    """
    start = time.perf_counter()
    if output is None or not all(isinstance(source, str) for source in inputs):
        return _restore_in_memory(model, inputs, output)
    jobs = plan_jobs(inputs, output, model.takes_mask, WRITABLE_ENDINGS, IMAGE_ENDINGS)
    done, failures = restore_images(model, jobs, read_photograph)
    what = str(jobs[0].target) if len(jobs) == 1 else f"{len(done)} picture{'s' * (len(done) != 1)} in {output}"
    answers = [{"input": job.source, "output": str(job.target)} for job in done]
    seconds = time.perf_counter() - start
    return Predictions(answers, failures, len(jobs), [printable(f"{what}, {seconds:.1f} s; {model.trained_for}")])


def _restore_in_memory(model: Any, inputs: Sequence[Any], output: str | None) -> Predictions:
    """Restore images and return them; write them to a file if there is one of each."""
    if model.takes_mask and len(inputs) != 2:
        raise ValueError(f"{len(inputs)} inputs: expected an image and its mask")
    sources = list(inputs) if model.takes_mask else expand(inputs, WRITABLE_ENDINGS)
    names = names_of(sources)
    pairs = [(names[0], sources[0], sources[1])] if model.takes_mask else [(n, s, None) for n, s in zip(names, sources)]
    if output is not None:
        if len(pairs) > 1:
            raise ValueError(f"--output {output}: {len(pairs)} images in memory cannot be written to one file")
        _check_endings([Path(output)], WRITABLE_ENDINGS)
        check_outputs(output, [(names[0], Path(output))], [source for source in sources if isinstance(source, str)])

    def one(pair: tuple[str, Any, Any]) -> dict[str, Any]:
        name, source, mask = pair
        photograph = _as_photograph(source, name)
        hole = None if mask is None else _hole(_as_photograph(mask, "mask"), "mask", photograph.pixels, name)
        image = restore_image(model, photograph.pixels, hole).cpu()
        if output is not None:
            write_atomically(Path(output), _content(photograph, image, Path(output)))
        return {"input": name, "image": image}

    answers, failures = run_jobs(pairs, one, "restoring", len(pairs) > 1)
    return Predictions(answers, failures, len(pairs))


def _as_photograph(source: Any, name: str) -> Photograph:
    """Return a file, its bytes, or an array (C, H, W) or (H, W) as a photograph."""
    if isinstance(source, str):
        return read_photograph(source)
    if isinstance(source, bytes):
        with as_file(source, ".png") as path:
            return read_photograph(path)
    pixels = as_float_tensor(source)
    pixels = pixels[None] if pixels.ndim == 2 else pixels
    if pixels.ndim != 3 or pixels.shape[0] not in (1, 3):
        raise ValueError(f"{name}: image of shape {tuple(pixels.shape)}, expected (H, W), (1, H, W) or (3, H, W)")
    refuse_nonfinite(pixels[None], name)
    return Photograph(pixels)


class Job(NamedTuple):
    """A picture to restore: its file, that of its mask if the model takes one, and where the result goes."""

    source: str
    mask: str | None
    target: Path


def plan_jobs(
    inputs: Sequence[str], output: str | None, masked: bool, endings: Sequence[str], readable: Collection[str]
) -> list[Job]:
    """Pair images with masks and output files, and check them before any work is done.

    Args:
        inputs: Picture files and folders of them; with masks a picture and its mask, or two folders with files of the
            same names, but for the endings if these are not the same.
        output: A file for one picture, or a folder for several; it is made if its own folder is there.
        masked: Whether each picture comes with a mask.
        endings: Endings of the files that can be written; others in a folder of pictures are left out.
        readable: Endings of the files that a mask in a folder can have.

    Raises:
        ValueError: If inputs and output do not fit together, a folder has no pictures, or an input would be lost.
    """
    if output is None:
        raise ValueError("--output is missing: a file for one picture, a folder for several")
    sources, masks = _paired(inputs, endings, readable) if masked else _unmasked(inputs, endings)
    target = Path(output)
    folder = len(sources) > 1 or os.path.isdir(inputs[0]) or os.path.isdir(output)
    if not folder:
        targets = [target]
    elif os.path.isfile(output) or target.suffix.lower() in endings:
        raise ValueError(f"--output {output}: {len(sources)} pictures go into a folder, not into a file")
    else:
        targets = [target / Path(source).name for source in sources]
    _check_endings(targets, endings)
    check_outputs(output, list(zip(sources, targets)), [*sources, *(mask for mask in masks if mask)], folder)
    return [Job(source, mask, path) for source, mask, path in zip(sources, masks, targets)]


def _check_endings(targets: Sequence[Path], endings: Collection[str]) -> None:
    for path in targets:
        if path.suffix.lower() not in endings:
            raise ValueError(f"{path}: pictures are written as {', '.join(endings)}")


def _unmasked(inputs: Sequence[str], endings: Collection[str]) -> tuple[list[str], list[str | None]]:
    sources = expand(inputs, endings)
    return sources, [None] * len(sources)


def _paired(
    inputs: Sequence[str], endings: Collection[str], readable: Collection[str]
) -> tuple[list[str], list[str | None]]:
    if len(inputs) != 2:
        raise ValueError(f"{len(inputs)} inputs: expected a picture and its mask, or a folder of each")
    picture, mask = map(Path, inputs)
    folders = [os.path.isdir(path) for path in inputs]
    if folders[0] != folders[1]:
        raise ValueError(f"{picture} and {mask}: expected two files or two folders")
    if not folders[0]:
        return [inputs[0]], [inputs[1]]
    sources, found = expand(inputs[:1], endings), expand(inputs[1:], readable)
    by_name, by_stem = {Path(path).name: path for path in found}, {Path(path).stem: path for path in found}
    stems = Counter(Path(path).stem for path in found)
    masks: list[str | None] = []
    for source in sources:
        name, stem = Path(source).name, Path(source).stem
        if stem not in stems:
            raise ValueError(f"{source} has no mask: expected {mask / name}")
        if name not in by_name and stems[stem] > 1:
            raise ValueError(f"{source} has {stems[stem]} masks called {stem} in {mask}: expected one, or {name}")
        masks.append(by_name.get(name, by_stem[stem]))
    return sources, masks


def restore_image(model: Any, pixels: Tensor, mask: Tensor | None = None) -> Tensor:
    """Restore an image of any size and number of channels.

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


def restore_images(model: Any, jobs: Sequence[Job], read: Callable[[str], Any]) -> tuple[list[Job], list[str]]:
    """Restore image files, each written atomically, with a progress bar if there are several.

    What is transparent in a hole is opaque once it is filled.

    Args:
        model: An autoencoder that takes pictures of any size.
        jobs: What to restore, as ``plan_jobs`` gives it.
        read: Function from a path to a ``datamodules.images.photographs.Photograph``.

    Returns:
        The jobs that are done and, in one line each, why others are not.

    Raises:
        ValueError, OSError: If none is.
    """

    def one(job: Job) -> Job:
        photograph, hole = read(job.source), None
        if job.mask is not None:
            hole = _hole(read(job.mask), job.mask, photograph.pixels, job.source)
            if photograph.alpha is not None:
                photograph = replace(photograph, alpha=np.where(hole.numpy() > 0, np.uint8(255), photograph.alpha))
        result = restore_image(model, photograph.pixels, hole).cpu()
        write_atomically(job.target, _content(photograph, result, job.target))
        return job

    return run_jobs(jobs, one, "restoring", len(jobs) > 1)


def _content(photograph: Any, pixels: Tensor, target: Path) -> bytes:
    """Return the content of a restored picture's file."""
    try:
        content: bytes = photograph.to_bytes(pixels, target.suffix)
    except Exception as error:  # Pillow's writers raise whatever a picture or its metadata lead them into
        size = f"{pixels.shape[2]} x {pixels.shape[1]} pixels"
        raise ValueError(f"{target}, {size}: cannot be written as {target.suffix}: {error}") from error
    return content


def _hole(mask: Any, name: str, pixels: Tensor, of: str) -> Tensor:
    """Return the holes of a mask image, (H, W) of 0 and 1: where it is light.

    Light is the strongest channel, so that a hole may be painted in any colour on black, times the opacity. Of two
    levels the lighter one is the hole, however dark: many programs write masks of 0 and 1. Soft edges belong to the
    hole, down to a tenth of the way from the background to the lightest level.

    Raises:
        ValueError: If the mask has not the picture's size or it does not show where the holes are.
    """
    sizes = [f"{part.shape[2]} x {part.shape[1]}" for part in (mask.pixels, pixels)]
    if sizes[0] != sizes[1]:
        raise ValueError(
            f"{name} is {sizes[0]} pixels, {of} {sizes[1]}: a mask has its picture's size, white in a hole"
        )
    light = mask.pixels.amax(0)
    if mask.alpha is not None:
        light = light * torch.from_numpy(mask.alpha / np.float32(255))
    levels = light.unique()
    hole = light == levels[1] if len(levels) == 2 else light > 0.5
    if len(levels) > 2 and bool(hole.any()) and not bool(hole.all()):
        background = light[~hole].median()
        hole = light > background + SOFT_EDGE * (light.max() - background)
    white = bool((mask.pixels == 1).all()) and bool((light == 1).all())
    if not bool(hole.any()) or (bool(hole.all()) and not white):
        where = "everywhere" if bool(hole.any()) else "nowhere"
        raise ValueError(f"{name} is light {where}: a mask is white in a hole and black elsewhere")
    return hole.float()
