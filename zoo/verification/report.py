"""Reports: claims and results of recipes as rows and as text."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from typing import Any, NamedTuple

from zoo.pretrained import load_result
from zoo.recipes import Recipe, list_recipes, load_recipe
from zoo.recipes.claims import Claim, format_claim, select_metric

TITLES = {"cifar10_jpeg": "CIFAR-10 (JPEG re-encoded)"}
"""Titles of data sets in tables where the name alone would be ambiguous."""


JUDGEMENT = ("measured", "bound", "met", "aim_met")
"""Keys that ``zoo.recipes.claims.judge`` adds to a claim."""


class Row(NamedTuple):
    """A recipe's line in a table."""

    model: str
    recipe: str
    data: str
    claim: str
    measured: str
    beside: str
    verdict: str


def table_rows(names: Sequence[str]) -> list[Row]:
    """Return the rows of the named recipes."""
    return [_row(load_recipe(name)) for name in names]


def _row(recipe: Recipe) -> Row:
    result = load_result(recipe.name)
    claim = "; ".join(format_claim(claim) for claim in recipe.claim) or "none"
    data = TITLES.get(recipe.data["name"], recipe.data["name"])
    if result is None:
        return Row(recipe.model["name"], recipe.name, data, claim, "not verified", "", "")
    claimed = dict.fromkeys([claim.metric for claim in recipe.claim] or list(result["metrics"])[-1:])
    figures = "; ".join(format_mean_std(select_metric(metric, result["metrics"])) for metric in claimed)
    beside = "; ".join(
        f"{method} {format_mean_std(select_metric(metric, values))}"
        for method, values in result["baselines"].items()
        for metric in claimed
        if fnmatch.filter(values, metric)
    )
    verdict = "" if not result["claim"] else "met" if all(claim["met"] for claim in result["claim"]) else "not met"
    return Row(recipe.model["name"], recipe.name, data, claim, f"{figures} ({_seeds(result)})", beside, verdict)


def _seeds(result: dict[str, Any]) -> str:
    return f"{result['seeds']} seed" + "s" * (result["seeds"] > 1)


def format_mean_std(summary: dict[str, Any]) -> str:
    """Format a mean with its standard deviation, such as ``0.9963 ± 0.0002``."""
    mean, std = summary["mean"], summary["std"]
    number = f"{mean:.4f}" if abs(mean) >= 1e-3 or mean == 0 else f"{mean:.1e}"
    return number + (f" ± {std:.4f}" if std >= 5e-5 else "")


def metric_rows(metrics: dict[str, float], recipe: Recipe | None = None) -> dict[str, str]:
    """Return metrics as text by name, beside those that were published for the weights of a recipe, if any."""
    result = None if recipe is None or recipe.is_file else load_result(recipe.name)
    recorded = result["weights"]["metrics"] if result else {}
    rows = {}
    for name, value in metrics.items():
        rows[name] = str(value) if isinstance(value, int) else "-" if value != value else f"{value:.4f}"
        rows[name] += f"   recorded {recorded[name]:.4f}" if name in recorded else ""
    return rows


def claim_of(judged: dict[str, Any]) -> Claim:
    """Return the claim in an entry of a result file, which also holds the judgement."""
    return Claim.from_dict({key: value for key, value in judged.items() if key not in JUDGEMENT})


def describe_result(result: dict[str, Any]) -> str:
    """Describe a result in full."""
    lines = [f"{result['recipe']}: {_seeds(result)}, {result['seconds']:.0f} s each on {result['device']}"]
    lines += [f"  {name} {format_mean_std(values)}" for name, values in result["metrics"].items()]
    for method, metrics in result["baselines"].items():
        lines += [f"  {name} {format_mean_std(values)} by {method}" for name, values in metrics.items()]
    for claim in result["claim"]:
        aim = {None: "", True: ", aim met", False: ", aim not met"}[claim["aim_met"]]
        lines.append(f"  claim {format_claim(claim_of(claim))}: {'met' if claim['met'] else 'NOT MET'}{aim}")
        lines += [f"    anchor: {claim['anchor']}"] if claim.get("anchor") else []
    times = result["test_opened"]
    lines.append(f"  {result['protocol']}; test opened for {times} configuration{'s' * (times > 1)}")
    lines += [f"  {result['note']}"] if result["note"] else []
    return "\n".join(lines)


def claimed_recipes() -> list[str]:
    """Return the names of the recipes with a claim."""
    return [name for name in list_recipes() if load_recipe(name).claim]
