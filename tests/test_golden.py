"""Numbers that published figures hang on: what each function gives for fixed inputs and seeds is recorded.

A change that is meant to change numbers writes them anew (``python tests/test_golden.py``) and says so; any other
change must leave them alone.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import datamodules
import zoo
from datamodules import fra_eng, reviews
from datamodules.ecg import beats, records, rhythm_simulation, rr_intervals, synthetic_beats
from datamodules.images import augment, foreground, reading
from datamodules.loader import BucketSampler, EpochSampler
from datamodules.splits import stratified_split
from zoo import metrics
from zoo.baselines import classification, restoration, sentiment
from zoo.figures import ecg as figures_ecg
from zoo.figures import images as figures_images
from zoo.metrics.retrieval import precision_at_recall
from zoo.nn import (
    ACTIVATIONS,
    CORRUPTIONS,
    PENALTIES,
    colours,
    decoding,
    ecg,
    inpainting,
    kernel_smoothing,
    losses,
    stacks,
    tiles,
)
from zoo.nn.attention import Attention
from zoo.nn.recurrent import CELLS, Recurrent
from zoo.prediction import ecg as prediction_ecg
from zoo.prediction import ecg_files
from zoo.tasks import Annotation
from zoo.tasks.ecg_classification import beat_weights
from zoo.training.optim import OPTIMIZERS, SCHEDULES, build_optimizer, schedule_factor

GOLDEN = Path(__file__).parent / "golden.json"
CASES = {}


def case(*names):
    def register(function):
        for name in names or [None]:
            CASES[f"{function.__name__}[{name}]" if name else function.__name__] = (function, name)
        return function

    return register


def draws(seed=0):
    return torch.Generator().manual_seed(seed)


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=draws(seed))


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=draws(seed))


def fingerprint(found):
    """Return shape, mean, standard deviation and a weighted sum of each part of a result."""
    if isinstance(found, dict):
        found = [found[key] for key in sorted(found)]
    if isinstance(found, str):
        found = np.frombuffer(bytearray(found.encode()), np.uint8)
    if isinstance(found, (list, tuple)) and not (found and isinstance(found[0], (int, float))):
        return [row for part in found for row in fingerprint(part)]
    x = torch.as_tensor(np.asarray(found)) if not isinstance(found, torch.Tensor) else found.detach()
    x = x.double().flatten().nan_to_num(-1.0, 1e9, -1e9)
    weights = torch.cos(torch.arange(len(x), dtype=torch.float64))
    size = max(len(x), 1)
    return [[len(x), float(x.sum() / size), float((x * x).sum() / size), float((x * weights).sum() / size)]]


# Data of heart beats


def hearts():
    return rhythm_simulation.synthetic_hearts(40, 1)


def rhythm():
    return np.rint(np.cumsum(0.8 + 0.2 * np.random.default_rng(0).normal(size=120)) * 360).astype(np.int64)


def recording():
    positions = rhythm()[:60]
    time = np.arange(positions[-1] + 400)
    wave = sum(np.exp(-(((time - p) / 12) ** 2)) - 0.3 * np.exp(-(((time - p - 90) / 40) ** 2)) for p in positions)
    signal = np.stack([wave, 0.6 * wave + 0.1 * np.sin(time / 50)], 1).astype(np.float32)
    symbols = [("N", "V", "A", "F", "N", "N")[k % 6] for k in range(len(positions))]
    return records.Record("100", signal, 360.0, ["V1", "MLII"], positions, symbols)


@case()
def rhythms_are_simulated():
    made = hearts()
    return made.label, made.position, made.heart, made.fibrillates


@case()
def intervals():
    return rr_intervals.surrounding_intervals(rhythm(), 360.0), rr_intervals.rhythm_around(rhythm(), 360.0)


@case()
def beats_are_extracted():
    return tuple(beats.extract_beats(recording()))


@case()
def beats_are_synthesized():
    found = beats.extract_beats(recording())
    return tuple(synthetic_beats.synthesize_beats(found, np.arange(len(found.label)), 4, 0))


@case("250", "128", "360")
def resampling(rate):
    return records.resample(recording(), float(rate)).signal


@case("2", "5")
def folds(count):
    return beats.balanced_folds(np.random.default_rng(0).integers(0, 90, (22, 3)), int(count))


# Images


@case(*augment.AUGMENTATIONS)
def augmentation(name):
    strength = {"flip": 0.5, "grey": 0.5, "halve": 0.5, "scale": 0.2, "rotate": 20, "shear": 15}.get(name, 3)
    strengths = {name: strength} | ({"window": 5} if name == "halve" else {})
    return augment.augment_images(rand(6, 3, 16, 16), strengths, draws(1))


@case("centred_digit", "upright_garment", "extract_ink")
def preprocessing(name):
    y, x = torch.meshgrid(torch.linspace(-1, 1, 70), torch.linspace(-1, 1, 50), indexing="ij")
    drawing = 0.9 - 0.7 * (((x - 0.2) ** 2 + (y + 0.1) ** 2 - 0.2).abs() < 0.06).float() + 0.05 * x
    return getattr(foreground, name)((drawing + 0.002 * randn(70, 50))[None].clamp(0, 1))


@case("20", "40")
def cropping(size):
    return reading.resize_center_crop(rand(3, 33, 27), int(size))


@case("epoch", "bucket")
def order_of_rows(kind):
    if kind == "epoch":
        sampler = EpochSampler(100, True, seed=3, rank=1, world_size=3)
    else:
        sampler = BucketSampler(torch.arange(100) % 17, 8, pool=3, seed=3)
    sampler.set_epoch(2)
    return sampler.rows()


@case()
def validation_rows():
    return stratified_split(torch.arange(100) % 3, 20, seed=1)


@case("digits", "breast_cancer")
def splits(name):
    data = datamodules.create_datamodule(name)
    data.setup()
    return [part for split in data.splits.values() for part in (split.groups, *split.tensors)]


# Networks


@case(*CORRUPTIONS)
def corruption(name):
    return CORRUPTIONS[name].apply(rand(5, 3, 20, 24), CORRUPTIONS[name].strength, draws(1))


@case(*PENALTIES)
def penalty(name):
    torch.manual_seed(0)
    x = rand(8, 6).requires_grad_()
    return PENALTIES[name]((x @ randn(6, 4)).sigmoid(), x, 0.1)


@case(*ACTIVATIONS)
def activation(name):
    return ACTIVATIONS[name]()(torch.linspace(-4, 4, 33))


@case("rgb_to_lab", "rgb_to_ycbcr", "luma")
def colour_space(name):
    return getattr(colours, name)(rand(2, 3, 5, 5) * torch.linspace(0, 1, 5))


@case("lab_to_rgb", "ycbcr_to_rgb")
def colour_space_back(name):
    scale = torch.tensor([100.0, 60.0, 60.0] if name.startswith("lab") else [1.0, 0.4, 0.4])[:, None, None]
    offset = torch.tensor([0.0, 0.5, 0.5])[:, None, None]
    return getattr(colours, name)((rand(2, 3, 5, 5) - offset) * scale)


@case("causal", "whole")
def rhythm_features(kind):
    rr = 0.8 + 0.2 * randn(9, 18)
    rr[0, :3] = 0
    rr[1, 9:] = 0
    return ecg.relative_rhythm(rr.clamp_min(0), 8, kind == "causal")


@case()
def beat_features():
    x, other, amplitude = randn(7, 2, 256), randn(7, 2, 256, seed=1), rand(7, 2)
    torch.manual_seed(0)
    parts = ecg.augment_beats(x, other, rand(7, 18), 1.0)
    return [ecg.segment_correlations(x, other), ecg.divide_by_amplitude(x, amplitude), *parts]


@case()
def smoothing():
    shapes = kernel_smoothing.shape_features(randn(30, 2, 256) * 0.05, rand(30, 2) + 0.5)
    timings = kernel_smoothing.timing_features(0.8 + 0.05 * randn(30, 18))
    return kernel_smoothing.smooth_over_similar_beats(randn(30, 5), shapes, timings, 0.05), shapes, timings


@case("0.0", "0.1")
def token_loss(smoothing):
    scores = randn(300, 40).requires_grad_()
    loss = losses.token_loss(scores, torch.arange(300) % 40, float(smoothing), 0)
    return loss, torch.autograd.grad(loss, scores)[0]


@case(*CELLS)
def recurrence(cell):
    torch.manual_seed(0)
    layers = Recurrent(5, 4, 2, cell=cell, bidirectional=True).eval()
    return layers(randn(3, 7, 5), torch.tensor([7, 3, 5]))


@case("general", "additive")
def attention(kind):
    torch.manual_seed(0)
    mask = torch.arange(6) < torch.tensor([[6], [2], [4]])
    return Attention(4, 5, kind)(randn(3, 2, 4), randn(3, 6, 5), mask)


@case("greedy", "nucleus", "beam_search")
def decoded(name):
    table = randn(12, 12).log_softmax(1)

    def step(last, state):
        return (table[last] + state[0][:, None] / 9).log_softmax(1), (state[0] + 1,)

    options = {"generator": draws(2)} if name == "nucleus" else {"beam": 3} if name == "beam_search" else {}
    return getattr(decoding, name)(step, (torch.arange(4.0),), 4, start=2, end=3, max_length=9, **options)


@case()
def tiling():
    net = nn.Conv2d(2, 1, 5, padding=2)
    nn.init.constant_(net.weight, 0.1)
    nn.init.constant_(net.bias, 0.3)
    with torch.no_grad():
        return tiles.apply_in_tiles(net, rand(1, 2, 45, 70), 4, 2, 16)


@case()
def holes_are_filled():
    x, holes = rand(2, 3, 21, 17), rand(2, 1, 21, 17, seed=1) < 0.6
    return inpainting.append_holes(x, holes), *inpainting.halve_known(x, ~holes)


@case()
def dense_layers():
    torch.manual_seed(0)
    net = stacks.dense_net([1, 4, 4], [6, 5], 3, activation_name="tanh", mean=0.2, std=0.5).eval()
    return net(rand(4, 1, 4, 4))


# Metrics and training


@case()
def ec57():
    found, true, record = ((rand(400, seed=k) * size).long() - 1 for k, size in ((0, 6), (1, 6), (2, 3)))
    scores = metrics.EC57([100, 232])
    scores.update(found, true, record * 132 + 100)
    return scores.compute()


@case()
def retrieval():
    codes = randn(40, 6)
    relevant = (torch.arange(40)[:, None] % 5 == torch.arange(40) % 5).fill_diagonal_(False)
    similarity = metrics.cosine_similarity(codes, codes).fill_diagonal_(-torch.inf)
    return precision_at_recall(similarity, relevant, (0.1, 0.5, 0.9))


@case()
def image_quality():
    x, other = rand(5, 3, 9, 9), rand(5, 3, 9, 9, seed=1)
    return metrics.psnr(x, other)


@case()
def weights_of_beats():
    counts = torch.tensor([[900, 20, 300, 0, 2], [500, 180, 0, 130, 0], [400, 0, 10, 5, 0]])
    return beat_weights(torch.tensor([-7, 5, 7]), counts, 0.6, 0.5)


@case(*SCHEDULES)
def schedule(name):
    return torch.tensor([schedule_factor(name, p / 20) for p in range(21)], dtype=torch.float64)


@case(*OPTIMIZERS)
def optimizer(name):
    torch.manual_seed(0)
    net = nn.Linear(4, 3)
    steps = build_optimizer(net, {"optimizer": name, "lr": 0.05, "weight_decay": 0.1}, torch.device("cpu"))
    for k in range(5):
        steps.zero_grad()
        net(randn(6, 4, seed=k)).square().mean().backward()
        steps.step()
    return list(net.parameters())


@case(*zoo.list_models())
def model(name):
    return scores_and_losses(name, {})


def scores_and_losses(name, args):
    """Return scores, loss and metrics of a model as it is built, in training and in evaluation."""
    from conftest import tiny_batch, tiny_inputs

    torch.manual_seed(0)
    built = zoo.create_model(name, **args)
    batch, inputs = tiny_batch(built), tiny_inputs(built)
    found = [built.train().step(batch)["loss"], *built.parameters()][:30]
    built.eval()
    with torch.no_grad():
        if hasattr(built, "_reset_draws"):
            built._reset_draws()
        values = built.step(batch)
        found += [built(*inputs), *(value for key, value in sorted(values.items()) if isinstance(value, torch.Tensor))]
    return found


VARIANTS = {
    "mlp": [{"batch_norm": True, "dropout": 0.3, "input_dropout": 0.1}, {"num_classes": 2, "label_smoothing": 0.1}],
    "cnn": [{"mirror": True, "in_channels": 3, "dropout": 0.1, "input_shape": [3, 21, 18]}],
    "lstm_classifier": [
        {"pooling": "attention", "word_dropout": 0.3, "layers": 2, "dropout": 0.2, "cell": "gru"},
        {"pooling": "last", "bidirectional": False},
        {"pooling": "mean"},
    ],
    "lstm_tagger": [
        {"pooling": "attention", "word_dropout": 0.3, "layers": 2, "dropout": 0.2, "crf": False},
        {"intent_to_tags": False, "character_dim": 0, "cell": "gru"},
    ],
    "lstm_seq2seq": [
        {"attention": "none", "cell": "gru"},
        {"attention": "additive", "layers": 1, "dropout": 0.2},
        {"copying": True, "layers": 1},
    ],
    "lstm_captioner": [
        {"attention": "general", "tied": False, "dropout": 0.2, "picture_dropout": 0.2},
        {"blind": True, "contrastive": 0.5, "bag_of_words": 0.1},
    ],
    "lstm_language_model": [
        {"tied": True, "embedding_dim": 256, "dropout": 0.2},
        {"cell": "gru", "layers": 1},
        {"tied": True, "embedding_dim": 32, "hidden_dim": 48},
    ],
    "ecg_classifier": [
        {"causal": True, "compare": False},
        {"rhythm_dim": 0, "augmentation": 1.0, "smoothing_bandwidth": 0.1},
        {"neighbours": 2, "dropout": 0.2, "balance": 0.9},
    ],
    "ecg_autoencoder": [{"compare": False, "start": 60, "stop": 180}],
    "autoencoder": [
        {"penalty": "kl", "corruption": "masking", "hidden_dims": [32], "batch_norm": True},
        {"penalty": "contractive", "loss": "cross_entropy"},
        {"network": "conv", "corruption": "erase", "loss": "psnr", "dropout": 0.1},
        {"network": "fully_convolutional", "penalty": "l1", "corruption": "salt_pepper", "blocks": 1},
    ],
    "colorizer": [{"mode": "lab", "loss": "psnr"}, {"mode": "ycbcr", "skip": True}],
    "inpainting_autoencoder": [{"corruption": "strokes", "loss": "psnr"}, {"corruption": "erase", "skip": False}],
    "vae": [{"beta": 3.0, "network": "conv", "hidden_dims": [8, 8], "latent_dim": 5}],
    "perceptron": [{"num_classes": 2, "in_features": 4}],
}


@case(*(f"{name} {number}" for name, all_args in VARIANTS.items() for number in range(len(all_args))))
def variant(name):
    name, number = name.split()
    return scores_and_losses(name, VARIANTS[name][int(number)])


@case()
def restored_in_tiles_and_at_half_size():
    torch.manual_seed(0)
    holes = torch.zeros(1, 1, 70, 60)
    holes[..., 10:55, 5:50] = 1
    filled = zoo.create_model("inpainting_autoencoder", hidden_dims=[4], latent_dim=3, blocks=0)
    coloured = zoo.create_model("colorizer", mode="ycbcr", hidden_dims=[4], latent_dim=3, blocks=0)
    return filled.reconstruct(rand(1, 1, 70, 60), mask=holes), coloured.reconstruct(rand(1, 1, 90, 70))


@case("both", "one_off")
def beats_of_two_leads(kind):
    from datamodules.ecg.qrs_detection import detect_qrs

    signal = recording().signal.copy()
    signal[len(signal) // 2 :, 0] *= kind == "both"
    return detect_qrs(signal, 360.0)


@case("total_variation", "wavelet", "nonlocal_means", "median", "linear_denoiser")
def grid_of_restoration(name):
    """The settings that a baseline chooses from."""
    tried = []

    def tuned(model, data, filters):
        tried.extend(f"{sorted(one.keywords.items())}" for one in filters)
        return lambda images: images

    class Model:
        sample_shape = (1, 28, 28)

    kept = restoration._tuned, restoration._test_psnr
    restoration._tuned, restoration._test_psnr = tuned, lambda restorer, model, data, limit=None: {"rows": limit}
    try:
        rows = {} if name == "linear_denoiser" else getattr(restoration, name)(Model(), None)
    finally:
        restoration._tuned, restoration._test_psnr = kept
    return "\n".join([*tried, str(rows), str(restoration.HOLES), str(restoration.TUNING_ROWS)])


@case("svc", "softmax_regression")
def grid_of_classification(name):
    tried = []

    class Data:
        def arrays(self, split):
            return np.random.default_rng(len(split)).normal(size=(12, 3)), np.arange(12) % 3

    import sklearn.pipeline

    original = sklearn.pipeline.make_pipeline
    sklearn.pipeline.make_pipeline = lambda *steps: tried.append(str(steps)) or original(*steps)
    try:
        getattr(classification, name)(None, Data())
    finally:
        sklearn.pipeline.make_pipeline = original
    return "\n".join(tried)


@case()
def texts():
    counts = torch.tensor(np.random.default_rng(0).integers(0, 90, (3, 6, 6)))
    table = metrics.ec57_table(counts, [100, 232])
    sets = sentiment.negation_sentences()
    sentences = [f"{text} {label}" for name in ("negation", "negation_aside") for text, label in sets[name]]
    tidy = [reviews.detokenize("it 's n't `` bad '' -lrb- at all -rrb- , is it ?")]
    phrases = sorted(map(str, reviews.all_phrases(("a", "b", "c"))))
    groups = fra_eng.components([("a", "x"), ("b", "x"), ("c", "y"), ("A!", "z"), ("d", "w")])
    return [table, "\n".join(sentences), "\n".join(tidy + phrases), groups]


@case()
def rhythm_of_an_annotated_recording():
    torch.manual_seed(0)
    model = zoo.create_model("ecg_classifier", smoothing_bandwidth=0.05, neighbours=1)
    found = recording()
    beats_found = model.annotate(found.signal, 360.0, found.sample, found.leads)
    return beats_found.probability, "".join(beats_found.symbol)


# Figures


def content(figure):
    """Return what a figure of matplotlib shows: its size, labels, curves, images and texts."""
    words, numbers = [figure._suptitle.get_text() if figure._suptitle else ""], [figure.get_size_inches()]
    for axes in figure.axes:
        words += [axes.get_title(), axes.get_xlabel(), axes.get_ylabel(), *(text.get_text() for text in axes.texts)]
        numbers += [np.asarray(line.get_xydata(), float) for line in axes.lines]
        numbers += [np.asarray(image.get_array(), float) for image in axes.images]
        numbers += [np.asarray(axes.get_xlim()), np.asarray(axes.get_ylim())]
    return ["\n".join(words), *numbers]


@case("comparison", "confusion", "precision_recall", "saliency", "beat_strips", "record_strips", "no_beats")
def figure(name):
    found, torch_beats = recording(), randn(4, 2, 256)
    symbols = [symbol if symbol in "NVF" else "S" for symbol in found.symbol]
    annotation = Annotation(found.sample, symbols, rand(len(symbols)).numpy())
    if name == "comparison":
        return content(
            figures_images.comparison_figure({"original": rand(3, 1, 5, 5), "other": rand(3, 1, 5, 5, seed=1)})
        )
    if name == "confusion":
        return content(figures_ecg.confusion(torch.arange(36).reshape(6, 6)))
    if name == "precision_recall":
        return content(figures_ecg.precision_recall(rand(60, 5), torch.arange(60) % 5))
    if name == "saliency":
        beats_by_class = {key: [torch_beats[:, 0]] if key != "F" else [] for key in "NSVF"}
        return content(figures_ecg.saliency(beats_by_class, {key: [rand(4, 256)] for key in "NSVF"}, 180))
    if name == "beat_strips":
        beat = {"title": "one", "x": torch_beats[0], "around": randn(4, 2, 256, seed=1), "rr": rand(18) + 0.5}
        return content(figures_ecg.beat_strips([beat, beat], 180, 8))
    if name == "no_beats":
        annotation = Annotation(found.sample[:0], [], np.zeros(0, np.float32))
    return content(figures_ecg.record_strips(found.signal, 360.0, annotation, "100", found.leads))


@case()
def grid_of_images():
    return figures_images.image_grid(rand(7, 1, 4, 5), 3)


@case()
def summary_of_beats():
    found = recording()
    annotation = Annotation(found.sample, [("N", "S", "V", "V")[k % 4] for k in range(len(found.sample))], np.zeros(60))
    rows = prediction_ecg.beat_summary(annotation, 360.0, len(found.signal))
    return [json.dumps(rows), ecg_files.as_csv(annotation, 360.0).decode()]


EXPECTED = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}


def test_every_case_is_recorded():
    assert sorted(EXPECTED) == sorted(CASES)


@pytest.mark.parametrize("name", CASES)
def test_numbers_are_those_recorded(name):
    function, argument = CASES[name]
    found = fingerprint(function() if argument is None else function(argument))
    assert len(found) == len(EXPECTED[name])
    for row, expected in zip(found, EXPECTED[name], strict=True):
        assert row == pytest.approx(expected, rel=1e-3, abs=1e-5)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    lines = []
    for name, (function, argument) in CASES.items():
        rows = fingerprint(function() if argument is None else function(argument))
        lines.append(f" {json.dumps(name)}: {json.dumps([[float(f'{x:.7g}') for x in row] for row in rows])}")
    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")
