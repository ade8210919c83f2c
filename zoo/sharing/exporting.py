"""Export of a model's network to a file that runs without this package: ONNX, or a program of ``torch.export``."""

from __future__ import annotations

import argparse
import io
import json
import os
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import torch

from zoo.errors import unknown
from zoo.files import check_outputs, write_files
from zoo.nn.graphs import Graph
from zoo.sharing.facts import describe_tensors, model_facts
from zoo.sharing.network_graphs import graphs_of
from zoo.sharing.onnx_graphs import OPSET, onnx_bytes
from zoo.sharing.tracing import trace, user_inputs, user_outputs

FORMATS = {"onnx": ".onnx", "torch_export": ".pt2"}
"""Formats by name, with the ending of their files."""
FACTS = "facts.json"
"""Name of the metadata within a ``.pt2`` file, see ``extra_files`` of ``torch.export.load``."""


class ExportedFile(NamedTuple):
    """A file that ``export_model`` wrote, and its metadata."""

    path: Path
    facts: dict[str, str]


def export_model(
    model: Any,
    path: str | os.PathLike[str],
    format: str | None = None,
    *,
    ckpt_path: str | os.PathLike[str] | None = None,
    example: Any = None,
) -> list[ExportedFile]:
    """Write the network of a model, ``model.net``, to a file that runs without this package.

    The file takes and returns what the network does in Python: inputs in natural units, since the normalisation is
    part of the network. The number of samples is free, and so are heights, widths and lengths where the network allows
    it. What a model does beyond its network, such as tokenization or beam search, is not in the file; its metadata
    name it under ``outside_net``. Further metadata, all strings: ``inputs`` and ``outputs`` (JSON: name, dtype, shape,
    meaning with units), lists of names such as ``class_names`` (JSON), ``tokenizer`` (JSON of Hugging Face's
    ``tokenizers``), ``settings`` (JSON of the hyper-parameters), ``recipe``, ``data``, ``data_terms`` (the licence),
    ``claim``, ``measured`` (JSON), ``opset`` and ``zoo_version``. An ONNX file has them as ``metadata_props``, a
    ``.pt2`` file as JSON in the extra file ``facts.json``.

    A network with a decoder that is used step by step is written as two files: for ``translator.onnx`` these are
    ``translator.encoder.onnx`` and ``translator.decoder.onnx``, one step. The step takes outputs of the encoder by
    their names, and its output ``new_state_0`` is the input ``state_0`` of the next step.

    All files are written completely or none is.

    Args:
        model: A ``LightningModule`` with its network as ``net``, or a recipe by name, whose trained weights are used.
        path: File to write, which may exist; its ending is ``.onnx`` or ``.pt2``.
        format: ``onnx`` or ``torch_export``; what the ending of ``path`` says if None.
        ckpt_path: A checkpoint in place of a recipe's trained weights, or ``last`` or ``best`` of its newest run.
        example: Inputs of the network, a tensor, a tuple or a dictionary, by which it is traced;
            ``model.example_input_array`` if None.

    Returns:
        The files with their metadata.

    Raises:
        ValueError: If the format is unknown or does not fit the ending, the path cannot be written, or the network
            cannot be traced or converted.
        FileNotFoundError: If a recipe has no weights.
        ModuleNotFoundError: If ``onnx`` or ``onnxscript`` is not installed.
    """
    path, format = _checked(path, format, [ckpt_path, model])
    recipe = None
    if isinstance(model, (str, os.PathLike)):
        model, recipe = _trained(os.fspath(model), ckpt_path)
    elif ckpt_path is not None:
        raise ValueError("ckpt_path belongs to a recipe: a model has its weights already")
    elif not isinstance(model, L.LightningModule):
        raise ValueError(f"model of type {type(model).__name__}: expected a LightningModule or the name of a recipe")
    graphs = graphs_of(model, example)
    targets = {name: path.with_suffix(f".{name}{path.suffix}") if name else path for name in graphs}
    _check_targets(path, list(targets.values()), [ckpt_path, recipe.name if recipe else None])
    facts = model_facts(model, recipe, shipped=ckpt_path is None)
    made = {
        name: _convert(graph, format, {**facts, **({"part": name} if name else {})}) for name, graph in graphs.items()
    }
    write_files({targets[name]: content for name, (content, _) in made.items()})
    return [ExportedFile(targets[name], told) for name, (_, told) in made.items()]


def _convert(graph: Graph, format: str, facts: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    program, axes = trace(graph, for_onnx=format == "onnx")
    outputs = list(graph.outputs)
    facts["inputs"] = describe_tensors(list(graph.inputs), user_inputs(program), graph, axes)
    facts["outputs"] = describe_tensors(outputs, user_outputs(program), graph, axes)
    if format == "onnx":
        facts["opset"] = str(OPSET)
        return onnx_bytes(program, list(graph.inputs), outputs, axes, facts), facts
    facts["torch"] = torch.__version__
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(program, file, extra_files={FACTS: json.dumps(facts, ensure_ascii=False)})
    return file.getvalue(), facts


def _checked(path: str | os.PathLike[str], format: str | None, read: list[Any]) -> tuple[Path, str]:
    """Return path and format, and refuse before a network is traced what cannot be written."""
    if format is not None and format not in FORMATS:
        raise unknown("format", format, FORMATS)
    given = os.fspath(path)
    ending = Path(given).suffix.lower()
    if format is None:
        names = {value: name for name, value in FORMATS.items()}
        if ending not in names:
            wanted = " or ".join(f"{value} for {name}" for name, value in FORMATS.items())
            raise ValueError(f"--output {given}: expected the ending {wanted}")
        format = names[ending]
    if ending != FORMATS[format]:
        raise ValueError(f"--output {given}: a file of {format} ends in {FORMATS[format]}, not {ending or 'nothing'}")
    _check_targets(Path(given), [Path(given)], read)
    return Path(given), format


def _check_targets(path: Path, targets: list[Path], read: list[Any]) -> None:
    inputs = [Path(source) for source in read if isinstance(source, (str, os.PathLike))]
    check_outputs(os.fspath(path), [("the network", target) for target in targets], inputs)


def _trained(name: str, ckpt_path: str | os.PathLike[str] | None) -> tuple[Any, Any]:
    from zoo.recipes import load_recipe
    from zoo.recipes.trained import load_trained

    recipe = load_recipe(name)
    return (recipe.load_weights() if ckpt_path is None else load_trained(recipe, ckpt_path)[0]), recipe


def run_export(args: argparse.Namespace) -> int:
    """Run ``zoo export``: write the files, and say what they take, return and lack."""
    for file in export_model(args.recipe, args.output, args.format, ckpt_path=args.ckpt_path):
        kind = f"ONNX, opset {file.facts['opset']}" if "opset" in file.facts else f"torch.export {file.facts['torch']}"
        print(f"{file.path}  {file.path.stat().st_size / 1e6:.2f} MB, {kind}")
        for direction in ("inputs", "outputs"):
            for each in json.loads(file.facts[direction]):
                shape = " x ".join(map(str, each["shape"]))
                print(f"  {direction[:-1]:6} {each['name']}: {each['dtype']} {shape}; {each['meaning']}".rstrip("; "))
    if outside := file.facts.get("outside_net"):
        print(f"What stays outside: {outside}")
    if terms := file.facts.get("data_terms"):
        print(f"Data of the weights: {terms}")
    return 0
