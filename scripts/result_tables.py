"""Tables of claims and results in Markdown, from the recipes and the result files, and the families of models."""

import fnmatch
from collections.abc import Sequence
from typing import NamedTuple

import zoo
from zoo.pretrained import load_result
from zoo.recipes.claims import format_claim, select_metric
from zoo.verification.report import claim_of, claimed_recipes, format_mean_std


class Family(NamedTuple):
    """A family of models: a page of the documentation, and a line in the README."""

    page: str
    """Name of its page in ``scripts/docs/families``."""
    title: str
    models: tuple[str, ...]
    """Wildcard patterns of the registered names; the first family that matches is a model's."""
    recipe: str
    """The recipe whose result stands for the family."""
    metric: str
    """The metric of that recipe, without ``test_``."""
    meaning: str
    """What the metric is."""


FAMILIES = (
    Family(
        "linear",
        "Perceptron and logistic regression",
        ("perceptron", "logistic_regression"),
        "logistic_regression.mnist",
        "accuracy",
        "share of test digits read right",
    ),
    Family(
        "networks",
        "Multilayer perceptrons and convolutional networks",
        ("mlp", "lenet5", "cnn"),
        "cnn.mnist",
        "accuracy",
        "share of test digits read right",
    ),
    Family(
        "restoration",
        "Denoising, inpainting, colouring",
        ("*denoising_autoencoder", "inpainting_autoencoder", "colorizer"),
        "denoising_autoencoder.flickr8k",
        "levels_psnr",
        "PSNR in dB, mean over noise levels",
    ),
    Family(
        "ecg",
        "Electrocardiograms",
        ("ecg_*",),
        "ecg_classifier.mitbih",
        "macro_f1",
        "macro-F1 of four classes of beats, other patients",
    ),
    Family(
        "autoencoders",
        "Autoencoders",
        ("autoencoder", "*_autoencoder"),
        "deep_autoencoder.mnist",
        "sse",
        "squared error of a digit, code of 30 numbers",
    ),
    Family("variational", "Variational autoencoder", ("vae",), "vae.mnist", "nats", "negative ELBO, nats a digit"),
    Family(
        "text",
        "Classification and tagging of texts",
        ("lstm_classifier", "lstm_tagger"),
        "lstm_tagger.snips",
        "slot_f1",
        "F1 of slots",
    ),
    Family(
        "language-models",
        "Language models",
        ("*_language_model",),
        "lstm_language_model.tinyshakespeare",
        "nats",
        "nats a character",
    ),
    Family("translation", "Translation and SQL", ("lstm_seq2seq",), "lstm_seq2seq.fra_eng", "bleu", "BLEU"),
    Family("captions", "Captions of photographs", ("*_captioner",), "lstm_captioner.flickr8k", "cider", "CIDEr-D"),
)
"""Families in the order in which their patterns are tried."""
ORDER = (
    "linear",
    "networks",
    "autoencoders",
    "restoration",
    "variational",
    "text",
    "language-models",
    "translation",
    "captions",
)
"""Pages in the order of the lecture; others follow."""


def family_of(model: str) -> Family:
    """Return the family of a registered model.

    Raises:
        ValueError: If it has none.
    """
    for family in FAMILIES:
        if any(fnmatch.fnmatch(model, pattern) for pattern in family.models):
            return family
    raise ValueError(f"model {model!r} belongs to no family: give it to one, or a page of its own, in {__name__}.py")


def recipes_of(family: Family) -> list[str]:
    """Return the recipes with a claim whose models are of a family."""
    return [name for name in claimed_recipes() if family_of(zoo.load_recipe(name).model["name"]) is family]


def beside(metric: str, baselines: dict[str, dict]) -> str:
    """Return what the baselines reached in a metric."""
    return ", ".join(
        f"{method} {format_mean_std(select_metric(metric, values))}"
        for method, values in baselines.items()
        if fnmatch.filter(values, metric)
    )


def claim_table(names: Sequence[str]) -> str:
    """Return a table with a line for each metric on which one of the recipes has a claim."""
    lines = ["| recipe | metric | claim | measured on test | beside it | |", "|---|---|---|---|---|---|"]
    for name in names:
        claims, result = zoo.load_recipe(name).claim, load_result(name)
        title = f"`{name}`"
        for metric in dict.fromkeys(claim.metric for claim in claims):
            bounds = "; ".join(
                format_claim(claim).removeprefix(claim.metric).strip() for claim in claims if claim.metric == metric
            )
            measured = other = verdict = ""
            if result is not None:
                judged = [each for each in result["claim"] if claim_of(each).metric == metric]
                measured = format_mean_std(select_metric(metric, result["metrics"]))
                seeds = f" ({result['seeds']} seed{'s' * (result['seeds'] > 1)})"
                measured += seeds if title else ""
                other = beside(metric, result["baselines"])
                verdict = "met" if all(each["met"] for each in judged) else "**not met**"
            lines.append(f"| {title} | `{metric}` | {bounds} | {measured or 'not verified'} | {other} | {verdict} |")
            title = ""
    return "\n".join(lines)


def results_table() -> str:
    """Return the claims and results of all recipes, family by family."""
    return "\n\n".join(f"## {family.title}\n\n{claim_table(recipes_of(family))}" for family in in_order())


def in_order() -> list[Family]:
    """Return the families in the order of their pages."""
    return sorted(FAMILIES, key=lambda family: ORDER.index(family.page) if family.page in ORDER else len(ORDER))


def family_table() -> str:
    """Return a table of the families with one result each."""
    lines = ["| family | recipe | measured on test | beside it |", "|---|---|---|---|"]
    for family in in_order():
        result, metric = load_result(family.recipe), f"test_{family.metric}"
        page = f"[{family.title}](scripts/docs/families/{family.page}.md)"
        if result is None:
            lines.append(f"| {page} | `{family.recipe}` | not verified | |")
            continue
        measured = format_mean_std(select_metric(metric, result["metrics"]))
        other = beside(metric, result["baselines"])
        lines.append(f"| {page} | `{family.recipe}` | {measured} ({family.meaning}) | {other} |")
    return "\n".join(lines)
