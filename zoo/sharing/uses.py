"""How a model is used, in a few lines of Python and a command, and its task in the words of the Hugging Face Hub."""

from __future__ import annotations

import fnmatch
import inspect
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

EXAMPLES = {
    "lstm_classifier.reuters_topics": "Crude oil prices rose sharply after the meeting of OPEC.",
    "*.eng_fra": "I love you.",
    "*.fra_eng*": "Je t'aime.",
    "*.geoquery*": "what is the capital of texas",
    "*.atis": "flights from boston to denver on monday",
    "*.snips": "play some jazz by Miles Davis",
    "*.clinc150": "what is the weather like tomorrow",
    "*.sst2": "I don't think it's a bad film at all!",
    "*.tinyshakespeare": "To be, or not to b",
}
"""A text by recipe, for its example."""
TRANSLATIONS = {"geoquery": "text-generation", "aeslc_subjects": "summarization"}
"""Tasks of models of the task ``Translator`` on data that are no translations."""
FIGURES = {
    "captions.png": "lstm_captioner.flickr8k",
    "sentiment.png": "lstm_classifier.sst2",
    "surprise.png": "lstm_language_model.tinyshakespeare",
    "alignment.png": "lstm_seq2seq.fra_eng",
    "beats.png": "ecg_classifier.mitbih",
    "coloured.png": "colorizer.cifar10_jpeg*",
    "coloured_photographs.png": "colorizer.flickr8k",
    "denoised.png": "denoising_autoencoder.fashion_mnist",
    "denoised_photographs.png": "denoising_autoencoder.flickr8k",
    "filled.png": "inpainting_autoencoder.fashion_mnist",
    "filled_cifar10.png": "inpainting_autoencoder.cifar10_jpeg",
    "filled_photographs.png": "inpainting_autoencoder.flickr8k",
    "filters.png": "sparse*_autoencoder.mnist",
    "codes.png": "deep_autoencoder.*_2d",
    "retrieval.png": "deep_autoencoder.reuters",
    "samples.png": "vae.mnist",
    "reconstructions.png": "*autoencoder.mnist",
    "playground.png": "mlp.playground_*",
    "results.png": "*.*mnist",
}
"""Figures in ``scripts/figures`` by the recipes that they show; the first that fits is taken."""


class Use(NamedTuple):
    """How a model is used.

    Args:
        task: Task of the Hub, empty where it has none.
        described: The task in words.
        python: Lines of Python that use the model, which is called ``model``.
        inputs: What follows ``zoo predict RECIPE``.
        extra: Extra of the package that is needed, empty if none is.
    """

    task: str
    described: str
    python: str
    inputs: str
    extra: str = ""


def use_of(module: Any, title: str, data: str | None) -> Use:
    """Return how a model is used.

    Args:
        module: The model.
        title: Name of its recipe, if it has one.
        data: Name of its datamodule, if it is known.
    """
    text = next((text for pattern, text in EXAMPLES.items() if fnmatch.fnmatchcase(title, pattern)), "A short text.")
    made = MAKERS.get(_task_of(module), _any_use)
    return made(module, text, data)


def figure_of(recipe: str) -> str | None:
    """Return the name of the figure that shows a recipe's results, or None if there is none."""
    return next((name for name, pattern in FIGURES.items() if fnmatch.fnmatchcase(recipe, pattern)), None)


def _task_of(module: Any) -> str:
    return next((base.__name__ for base in type(module).__mro__ if base.__name__ in MAKERS), "")


def _inputs(shape: Sequence[int]) -> tuple[str, str, str]:
    """Return the name of inputs in Python, a line that makes random ones, and what the command takes instead."""
    sizes = ", ".join(map(str, shape))
    if len(shape) == 3:
        return "images", f"images = torch.rand(1, {sizes})  # floats in [0, 1]", "picture.png"
    numbers = ",".join(["0.5"] * shape[0]) if len(shape) == 1 and shape[0] <= 4 else "rows.csv"
    return "rows", f"rows = torch.rand(1, {sizes})  # in the units of the data", numbers


def _classifier_use(module: Any, text: str, data: str | None) -> Use:
    name, line, word = _inputs(module.input_shape)
    kind = "image" if name == "images" else "tabular"
    if getattr(module, "regresses", False):
        return Use(f"{kind}-regression", "regression", f"import torch\n\n{line}\nmodel({name})", word)
    described = f"classification of {'images' if kind == 'image' else 'rows of numbers'}"
    return Use(f"{kind}-classification", described, f"import torch\n\n{line}\nmodel.classify({name})", word)


def _autoencoder_use(module: Any, text: str, data: str | None) -> Use:
    inpaints = "mask" in inspect.signature(module.reconstruct).parameters
    name, line, word = _inputs(module.sample_shape if inpaints else module.input_shape)
    if module.input_kind != "images":
        calls = f"model.reconstruct({name})\nmodel.encode({name})"
        described = "encoding and reconstruction"
        return Use("feature-extraction", described, f"import torch\n\n{line}\n{calls}", f"{word} --output codes.npy")
    call = f"model.reconstruct({name})"
    if inpaints:
        line += f"\nmask = torch.rand(1, 1, {', '.join(map(str, module.sample_shape[1:]))}) > 0.9  # 1 in a hole"
        call, word = f"model.reconstruct({name}, mask)", f"{word} mask.png"
    python = f"import torch\n\n{line}\n{call}"
    return Use("image-to-image", "restoration of images", python, f"{word} --output restored.png")


def _recording_use(module: Any, text: str, data: str | None) -> Use:
    line = "signal_mV = torch.randn(3600, 2)  # millivolts (samples, leads)"
    call = "model.annotate(signal_mV.numpy(), fs=360, r_peaks=[500, 800, 1100])"
    described = "annotation of the heartbeats of an electrocardiogram"
    return Use("", described, f"import torch\n\n{line}\n{call}", "path/to/100 --output beats/", "ecg")


def _text_use(task: str, described: str, call: str) -> Any:
    def make(module: Any, text: str, data: str | None) -> Use:
        found = TRANSLATIONS.get(data or "", task) if task == "translation" else task
        words = {"text-generation": "queries of a database from questions", "summarization": "subject lines of e-mails"}
        told = words[found] if found != task else described
        return Use(
            found, told, f"model.{call.format(text=json.dumps(text, ensure_ascii=False))}", _quoted(text), "text"
        )

    return make


def _caption_use(module: Any, text: str, data: str | None) -> Use:
    name, line, _ = _inputs(module.input_shape)
    python = f"import torch\n\n{line}\nmodel.caption({name})"
    return Use("image-to-text", "captions of photographs", python, "photo.jpg", "text")


def _quoted(text: str) -> str:
    return f'"{text}"' if "!" not in text else "'" + text.replace("'", "'\\''") + "'"


def _any_use(module: Any, text: str, data: str | None) -> Use:
    return Use("", "a model of a task of its own", "model(model.example_input_array)", "INPUT")


MAKERS: dict[str, Any] = {
    "Classifier": _classifier_use,
    "ClassifierOrRegressor": _classifier_use,
    "TextClassifier": _text_use("text-classification", "classification of texts", "classify([{text}])"),
    "LanguageModel": _text_use("text-generation", "completion of texts", "complete({text})"),
    "Tagger": _text_use("token-classification", "tagging of words, and intents", "tag([{text}])"),
    "Translator": _text_use("translation", "translation", "translate([{text}])"),
    "Captioner": _caption_use,
    "Autoencoder": _autoencoder_use,
    "BeatClassifier": _recording_use,
    "BeatAutoencoder": _recording_use,
}
"""Makers of uses by the name of the task."""
