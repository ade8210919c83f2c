"""Model cards: metadata of the Hugging Face Hub and a text, derived from model, recipe, result and data."""

from __future__ import annotations

import inspect
import json
import math
import re
from importlib.metadata import PackageNotFoundError, metadata
from typing import Any

import yaml

from zoo.pretrained.repository import LIBRARY
from zoo.recipes.claims import format_claim
from zoo.sharing.shared_model import SharedModel, find_model_to_share
from zoo.sharing.terms import terms_of
from zoo.sharing.uses import Use, figure_of, use_of
from zoo.training.contents import as_plain, shorten
from zoo.verification.report import claim_of, format_mean_std

FIGURES = "scripts/figures"
"""Folder of figures in the source tree."""
SPLIT = re.compile("^test_")
"""Prefix of a metric of the test split."""


def model_card(source: Any) -> str:
    """Return the model card of a recipe, a checkpoint, a folder or a model, as Markdown with metadata of the Hub.

    Args:
        source: Name of a recipe, path of a recipe, a checkpoint or a folder, or a model; see ``zoo.push_to_hub``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the source is nothing of these, or a file is damaged.
    """
    return write_card(find_model_to_share(source, weights=False))


def write_card(shared: SharedModel, place: str | None = None) -> str:
    """Return the model card of a model that is shared.

    Args:
        shared: The model with its origin.
        place: Where it is stored, as ``zoo.create_model`` takes it; its recipe's name if None.
    """
    use = use_of(shared.module, shared.recipe_name or shared.title, shared.data)
    front = yaml.safe_dump(_front_matter(shared, use), sort_keys=False, allow_unicode=True, width=110)
    parts = [
        f"# {shared.title}",
        _introduction(shared, use),
        _picture(shared, place),
        "## How to use it\n\n" + _usage(shared, use, place),
        "## Results\n\n" + _results(shared),
        "## Limits\n\n" + _limits(shared),
        _verification(shared),
        "## Data and terms\n\n" + _terms(shared),
        "## Settings\n\n" + _settings(shared),
    ]
    return f"---\n{front}---\n\n" + "\n\n".join(filter(None, parts)) + "\n"


# ---- metadata ----


def _front_matter(shared: SharedModel, use: Use) -> dict[str, Any]:
    terms = terms_of(shared.data)
    front: dict[str, Any] = {}
    if terms:
        front["license"] = terms.license
        if terms.license == "other":
            front |= {"license_name": terms.name, "license_link": terms.link}
    front["library_name"] = LIBRARY
    front["tags"] = [LIBRARY, "pytorch-lightning", shared.name]
    if use.task:
        front["pipeline_tag"] = use.task
    if shared.data:
        front["datasets"] = [(terms and terms.dataset) or shared.data]
    if shared.result:
        front["model-index"] = [{"name": shared.title, "results": [_index_entry(shared, use)]}]
    return front


def _index_entry(shared: SharedModel, use: Use) -> dict[str, Any]:
    terms = terms_of(shared.data)
    data = shared.data or "unknown"
    return {
        "task": {"type": use.task or "other", "name": use.described},
        "dataset": {
            "type": (terms and terms.dataset) or data,
            "name": terms.title if terms else data,
            "split": "test",
        },
        "metrics": [
            {"type": SPLIT.sub("", name), "name": name, "value": float(values["mean"]), "verified": False}
            for name, values in _measured(shared).items()
        ],
    }


def _measured(shared: SharedModel) -> dict[str, Any]:
    """Return the summaries of the metrics that are numbers."""
    found = shared.result["metrics"] if shared.result else {}
    return {name: values for name, values in found.items() if math.isfinite(values["mean"])}


# ---- text ----


def _introduction(shared: SharedModel, use: Use) -> str:
    from zoo.registry import model_info

    info = model_info(shared.name)
    first = " ".join(inspect.cleandoc(info["doc"]).split("\n\n")[0].split())
    weights = sum(parameter.numel() for parameter in shared.module.parameters())
    described = f"{first}\n\nTask: {use.described}. Model: `{shared.name}` ({info['source']})"
    return described + (f", {weights:,} parameters." if shared.trained and weights else ".")


def _picture(shared: SharedModel, place: str | None) -> str:
    """Return the figure of a recipe, by its address in the source tree where the package names one."""
    name = figure_of(shared.recipe_name) if shared.recipe_name else None
    address = _source_address()
    if name is None or (place and not address):
        return ""
    return f"![Figure that shows {shared.title}]({address}{FIGURES}/{name})"


def _source_address() -> str:
    """Return the address of the source tree's files, with a slash; empty where the package names none."""
    try:
        lines = metadata(LIBRARY).get_all("Project-URL") or []
    except PackageNotFoundError:
        return ""
    named = dict(line.split(", ", 1) for line in lines if ", " in line)
    address = next((url for name, url in named.items() if name.lower() in ("repository", "source")), "")
    return f"{address.rstrip('/')}/raw/main/" if address else ""


def _usage(shared: SharedModel, use: Use, place: str | None) -> str:
    named = place or shared.recipe_name
    recipe = shared.recipe_name
    lines = []
    if named and (place or (shared.recipe and shared.recipe.shipped_weights != "none")):
        lines.append(_python(f"zoo.create_model({_quoted(named)}, pretrained=True)", use))
    elif recipe:
        lines.append(f"No weights are published. `zoo verify {recipe} --seeds 1` trains them on your machine; then:")
        lines.append(_python(f"zoo.create_model({_quoted(recipe)}, pretrained=True)", use))
    else:
        lines.append("`zoo.save_pretrained` and `zoo.push_to_hub` store the model, `zoo.create_model` builds it again:")
        lines.append(_python('zoo.create_model("local-dir:FOLDER", pretrained=True)', use))
    extras = ["hub"] if place and place.startswith("hf-hub:") else []
    extras += [use.extra] if use.extra else []
    shell = [f"pip install '{LIBRARY}[{','.join(extras)}]'" if extras else f"pip install {LIBRARY}"]
    if recipe:
        shell.append(f"zoo predict {recipe} {use.inputs}")
    lines.append("```bash\n" + "\n".join(shell) + "\n```")
    return "\n\n".join(lines)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _python(create: str, use: Use) -> str:
    imports, found, rest = use.python.partition("\n\n")
    first = f"{imports}\nimport zoo" if found else "import zoo"
    return f"```python\n{first}\n\nmodel = {create}\n{rest if found else use.python}\n```"


def _results(shared: SharedModel) -> str:
    if shared.result is None:
        return "Not measured."
    published = shared.recipe is None or shared.recipe.shipped_weights != "none"
    result, own = shared.result, shared.result["weights"]["metrics"] if published else {}
    rivals = list(result["baselines"])
    spread = " ± standard deviation" if result["seeds"] > 1 else ""
    lines = [
        f"On the test split of {_title(shared)}, mean{spread} over {_plural(result['seeds'], 'seed')}"
        + (f"; the weights are those of seed {result['weights']['seed']}" if own else "")
        + (", with other methods beside it" if rivals else "")
        + ".",
        "",
    ]
    heads = ["metric", "mean", *(["weights"] if own else []), *rivals]
    lines += ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for name, values in _measured(shared).items():
        row = [f"`{name}`", format_mean_std(values)]
        row += [f"{own[name]:.4f}" if name in own else "-"] if own else []
        row += [
            format_mean_std(result["baselines"][rival][name]) if name in result["baselines"][rival] else "-"
            for rival in rivals
        ]
        lines.append("| " + " | ".join(row) + " |")
    lines += ["", *(_claim(judged) for judged in result["claim"])] if result["claim"] else ["", "There is no claim."]
    times = _plural(result["test_opened"], "configuration")
    lines += ["", f"Protocol: {result['protocol']}. The test split was opened for {times}."]
    return "\n".join(lines)


def _claim(judged: dict[str, Any]) -> str:
    aim = {None: "", True: ", aim met", False: ", aim not met"}[judged["aim_met"]]
    anchor = f" Anchor: {judged['anchor']}." if judged.get("anchor") else ""
    return f"- Claim `{format_claim(claim_of(judged))}`: **{'met' if judged['met'] else 'not met'}**{aim}.{anchor}"


def _limits(shared: SharedModel) -> str:
    result = shared.result
    missed = [format_claim(claim_of(judged)) for judged in result["claim"] if not judged["met"]] if result else []
    lines = [f"- The claim `{claim}` is not met." for claim in missed]
    if shared.module.input_kind == "recordings":
        lines.append("- A tool for research, not a medical device: it makes no diagnosis.")
    outside = getattr(type(shared.module), "outside_net", "")
    if outside:
        lines.append(f"- Not part of the network, and so not of an export: {outside[0].lower()}{outside[1:]}")
    note = result["note"] if result else shared.recipe.note if shared.recipe else ""
    lines += [f"- {note}"] if note else []
    lines.append(
        f"- Trained on {_title(shared)} alone; what it answers to other inputs was not measured."
        if result
        else "- Nothing is known of its quality: measure it on data of your own before use."
    )
    return "\n".join(lines)


def _verification(shared: SharedModel) -> str:
    recipe = shared.recipe
    if recipe is None or recipe.is_file:
        return ""
    minutes = f"about {recipe.seeds * recipe.minutes:g} min on 2 cores"
    how = f"`zoo verify {recipe.name}` trains {_plural(recipe.seeds, 'seed')} from scratch, measures and compares"
    seen = f"; `zoo test {recipe.name}` measures the weights" if recipe.shipped_weights != "none" else ""
    return f"## How to verify it\n\n{how} ({minutes}){seen}."


def _terms(shared: SharedModel) -> str:
    terms = terms_of(shared.data)
    if terms is None:
        named = f"`{shared.data}`" if shared.data else "unknown"
        return f"Data: {named}. Their terms are not known to {LIBRARY}: state them before the model is shared."
    link = f" [Terms]({terms.link})." if terms.link else ""
    return f"{terms.text}{link}\n\nThe code is under the MIT License; no data are part of the model."


def _settings(shared: SharedModel) -> str:
    """Return the hyper-parameters as a table, the long ones by their size."""
    recipe = shared.recipe
    hparams = dict(shared.module.hparams) if shared.trained or not recipe else recipe.model.get("args", {})
    lines = ["| hyper-parameter | value |", "|---|---|"]
    for name, value in as_plain(hparams).items():
        text = shorten(value, exact=not isinstance(value, (list, dict)) or len(value) <= 10)
        lines.append(f"| `{name}` | `{_in_cell(text)}` |")
    if recipe:
        lines += ["", f"Data `{recipe.data['name']}` {_listed(recipe.data.get('args', {}))}."]
        lines += ["", f"Trainer {_listed(recipe.trainer)}."] if recipe.trainer else []
    return "\n".join(lines)


def _listed(settings: dict[str, Any]) -> str:
    listed = ", ".join(f"`{name}={shorten(value, exact=True)}`" for name, value in settings.items())
    return listed or "with its defaults"


def _in_cell(text: str) -> str:
    return text.replace("|", "\\|").replace("`", "'")


def _title(shared: SharedModel) -> str:
    terms = terms_of(shared.data)
    return terms.title if terms else str(shared.data)


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}" + "s" * (number != 1)
