"""What an exported file says of its model."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from zoo.nn.graphs import Graph
from zoo.recipes import Recipe
from zoo.recipes.claims import format_claim
from zoo.sharing.shared_model import package_version
from zoo.sharing.terms import terms_of

LONGEST = 1_000
"""Largest number of characters of a setting that is told; longer ones are tables of methods that stay outside."""


def model_facts(model: Any, recipe: Recipe | None = None, shipped: bool = False) -> dict[str, str]:
    """Return what is known of a model, as strings by name.

    ``tokenizer`` is JSON of Hugging Face's ``tokenizers``. ``settings``, ``measured`` and each list of names, such as
    ``class_names``, are JSON.

    Args:
        model: The model.
        recipe: Its recipe, if it has one.
        shipped: Whether its weights are those of the published result.
    """
    facts = {"model": type(model).__name__, "zoo_version": package_version() or "not installed"}
    if getattr(model, "outside_net", ""):
        facts["outside_net"] = model.outside_net
    settings = {}
    for name, value in dict(getattr(model, "hparams", {})).items():
        if name == "tokenizer":
            facts |= {name: value} if value else {}
        elif isinstance(value, list) and value and all(isinstance(each, str) for each in value):
            facts[name] = json.dumps(value, ensure_ascii=False)
        elif len(text := json.dumps(value, default=str)) <= LONGEST and value is not None:
            settings[name] = json.loads(text)
    facts["settings"] = json.dumps(settings, ensure_ascii=False)
    return {**facts, **(_recipe_facts(recipe, shipped) if recipe else {})}


def _recipe_facts(recipe: Recipe, shipped: bool) -> dict[str, str]:
    from zoo.pretrained import load_result

    facts = {"recipe": recipe.title, "data": recipe.data["name"]}
    if terms := terms_of(recipe.data["name"]):
        facts["data_terms"] = terms.text if terms.text.startswith(terms.title) else f"{terms.title}: {terms.text}"
    if recipe.claim:
        facts["claim"] = "; ".join(map(format_claim, recipe.claim))
    result = load_result(recipe.name) if shipped and not recipe.is_file else None
    if result:
        spread = {name: {"mean": each["mean"], "std": each["std"]} for name, each in result["metrics"].items()}
        facts["measured"] = json.dumps(
            {"seeds": result["seeds"], "all_seeds": spread, "these_weights": result["weights"]["metrics"]}
        )
    return facts


def describe_tensors(names: list[str], tensors: list[Tensor], graph: Graph, axes: Mapping[str, str]) -> str:
    """Return name, dtype, shape and meaning of each tensor, as JSON; the sizes that are free are given by name."""
    symbols = re.compile(rf"\b({'|'.join(map(re.escape, axes)) or '$^'})\b")

    def size(each: Any) -> int | str:
        found = symbols.sub(lambda symbol: axes[symbol.group()], str(each))
        return int(found) if found.isdecimal() else found

    return json.dumps(
        [
            {
                "name": name,
                "dtype": str(tensor.dtype).removeprefix("torch."),
                "shape": [size(each) for each in tensor.shape],
                "meaning": graph.meanings.get(name, ""),
            }
            for name, tensor in zip(names, tensors, strict=True)
        ],
        ensure_ascii=False,
    )
