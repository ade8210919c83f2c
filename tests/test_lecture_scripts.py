"""The scripts of the lecture's demonstrations, at tiny settings, and what they are built on."""

import importlib
import itertools
import json
import sys

import numpy as np
import pytest
import torch
from conftest import ROOT, need_files
from PIL import Image
from torch import nn

import datamodules
from datamodules import MNISTDataModule
from datamodules.splits import Split, rows_as_groups
from zoo.nn.activations import ACTIVATIONS
from zoo.training.optim import HALF_EPSILON, OPTIMIZERS, build_optimizer

SCRIPTS = ("activations", "backpropagation", "optimizers", "overfitting", "questions")


@pytest.fixture
def script(monkeypatch, tmp_path):
    """Return the function that runs a script on synthetic digits, and returns the numbers that it wrote."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    monkeypatch.setattr(MNISTDataModule, "prepare_data", lambda self: None)
    monkeypatch.setattr(MNISTDataModule, "load", lambda self: synthetic_digits())

    def run(name, *words):
        module = importlib.import_module(name)
        output = tmp_path / "figures"
        monkeypatch.setattr(sys, "argv", [f"{name}.py", "--output", str(output), *map(str, words)])
        for cached in ("pictures",):
            if hasattr(module, cached):
                getattr(module, cached).cache_clear()
        module.main()
        return output

    return run


def synthetic_digits():
    """Return pictures (N, 1, 28, 28) in ten classes, a bright column each: 6,000 for training and 50 for tests."""
    rng, groups = np.random.default_rng(0), rows_as_groups({"train": 6000, "test": 50})
    splits = {}
    for name, rows in groups.items():
        y = torch.arange(len(rows)) % 10
        x = torch.from_numpy(rng.integers(0, 80, (len(rows), 1, 28, 28), dtype=np.uint8))
        for k in range(10):
            x[y == k, :, :, 2 * k + 4] = 200
        splits[name] = Split((x, y), rows)
    return splits


def numbers_of(output, name):
    found = json.loads((output / f"{name}.json").read_text())
    pages = {f"{name}.json", f"{name}.md" if name == "questions" else f"{name}.png"}
    assert {path.name for path in output.iterdir()} == pages
    if name != "questions":
        assert min(Image.open(output / f"{name}.png").size) > 300
    return found


@pytest.mark.slow
def test_overfitting(script, monkeypatch, capsys):
    import overfitting

    monkeypatch.setattr(overfitting, "MORE", {200: 1.0, None: 1.0})
    monkeypatch.setattr(overfitting, "PICTURES", 100)
    found = numbers_of(script("overfitting", "--seeds", 2, "--epochs", 2, "--hidden", 8), "overfitting")
    rows = found["rows"]
    controls = ["nothing", "L1", "L2", "dropout", "early stopping", "all of them"]
    assert list(rows) == [*controls, "200 pictures", "58,000 pictures"]
    for name, row in rows.items():
        metrics = row["metrics"]
        assert len(metrics["test_accuracy"]["values"]) == 2
        for gap, train, test in zip(*(metrics[key]["values"] for key in ("gap", "train_accuracy", "test_accuracy"))):
            assert gap == pytest.approx(train - test, abs=1e-4)
        if name in found["tried"]:  # the strength that did best on validation
            best = max(found["tried"][name], key=lambda tried: tried["val_accuracy"])
            assert row["settings"] == {key: value for key, value in best.items() if key != "val_accuracy"}
    assert set(rows["all of them"]["settings"]) == {"l1", "l2", "dropout", "patience"}
    assert "gap" in capsys.readouterr().out


def test_the_large_network_on_a_cpu(script, capsys):
    words = ("--large", "--accelerator", "cpu", "--batches", 2, "--hidden", 8, "--epochs", 2)
    found = numbers_of(script("overfitting", *words), "overfitting_large")
    assert len(found["curves"]["val_accuracy"]) == 2
    assert f"{784 * 8 + 8 + 80 + 10:,} parameters" in capsys.readouterr().out


def test_the_large_network_has_100_million_parameters(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    from overfitting import LARGE

    sizes = [784, *LARGE, 10]
    assert 100e6 < sum(a * b + b for a, b in itertools.pairwise(sizes)) < 101e6


@pytest.mark.slow
def test_optimizers(script, monkeypatch):
    import optimizers

    monkeypatch.setattr(optimizers, "RATES", [1e-3, 0.1])
    monkeypatch.setattr(optimizers, "HIDDEN", [8])
    found = numbers_of(script("optimizers", "--seeds", 2, "--epochs", 2, "--pictures", 100), "optimizers")
    assert list(found["rows"]) == list(OPTIMIZERS)
    for row in found["rows"].values():
        tried = row["val_accuracy_by_lr"]
        assert tried[f"{row['lr']:g}"] == max(tried.values())
        assert len(row["curves"]) == 2
        assert len(row["curves"][0]["train_loss"]) == 2
        assert "test_accuracy" not in row["metrics"]


def test_a_diverging_rate_counts_as_accuracy_0(script, monkeypatch):
    import optimizers

    monkeypatch.setattr(optimizers, "RATES", [0.1, 1e30])
    monkeypatch.setattr(optimizers, "HIDDEN", [4])
    monkeypatch.setattr(optimizers, "OPTIMIZERS", ["sgd"])
    found = numbers_of(script("optimizers", "--seeds", 1, "--epochs", 2, "--pictures", 300), "optimizers")
    assert found["rows"]["sgd"]["lr"] == 0.1
    assert found["rows"]["sgd"]["val_accuracy_by_lr"]["1e+30"] == 0


@pytest.mark.slow
def test_activations(script):
    found = numbers_of(script("activations", "--seeds", 1, "--epochs", 1, "--pictures", 200), "activations")
    assert len(found["gradients"]) == 8
    for row in found["gradients"].values():
        assert len(row["before"][0]) == len(row["after"][0]) == 10
    ratio = {name: row["first_over_last_before"]["mean"] for name, row in found["gradients"].items()}
    assert ratio["sigmoid"] < 1e-4 < ratio["tanh"]  # gradients vanish through sigmoids
    dead = {name: row["zero_at_the_end"]["mean"] for name, row in found["dead"].items()}
    assert all(share == 0 for name, share in dead.items() if name.startswith("leaky"))


def test_units_that_are_never_positive_are_counted(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    from activations import NeverPositive

    for layer, zeros in ((nn.ReLU(), 1 / 4), (nn.LeakyReLU(), 0)):
        model, counter = nn.Module(), NeverPositive()
        model.net = nn.Sequential(layer)
        counter.on_validation_start(None, model)
        model.net(torch.tensor([[-1.0, 1.0, -1.0, 2.0]]))
        model.net(torch.tensor([[-2.0, -1.0, 3.0, 0.0]]))
        counter.on_validation_end(None, model)
        assert counter.shares == [1 / 4]
        assert counter.zeros == [zeros]


@pytest.mark.slow
def test_questions(script):
    output = script("questions", "--seeds", 1, "--epochs", 10, "--pictures", 100)
    found = numbers_of(output, "questions")
    assert found["parameters"] == 12_013_010
    learns = {name for name, row in found["xor"].items() if row["points"] == 1}
    assert learns == {"decision tree", "SVM, RBF kernel", "MLP, 8 tanh units"}
    page = (output / "questions.md").read_text()
    assert "12,013,010" in page
    assert all(name in page for name in (*found["xor"], *found["outliers"]))


@pytest.mark.parametrize(
    ("name", "words", "line"),
    [
        *((name, ["--seeds", "0"], "at least 1") for name in SCRIPTS if name != "backpropagation"),
        ("backpropagation", ["--sizes", "0", "3"], "at least 1"),
        ("overfitting", ["--batches", "3"], "belong to --large"),
        ("overfitting", ["--large", "--accelerator", "cpu"], "--batches"),
        ("questions", ["--pictures", "5"], "at least 100"),
        ("optimizers", ["--pictures", "4"], "train_size=4 does not fit"),
        ("activations", ["--pictures", "99999"], "train_size=99999 does not fit"),
    ],
)
def test_what_cannot_be_run_is_answered_in_one_line(script, tmp_path, capsys, name, words, line):
    with pytest.raises(SystemExit, match="2"):
        script(name, *words)
    error = capsys.readouterr().err
    assert line in error.splitlines()[-1]
    assert "Traceback" not in error
    assert not (tmp_path / "figures").exists()


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_file_is_no_folder(script, tmp_path, capsys, name):
    (tmp_path / "figures").write_text("kept")
    with pytest.raises(SystemExit, match="2"):
        script(name)
    assert "this is a file" in capsys.readouterr().err
    assert (tmp_path / "figures").read_text() == "kept"


def test_a_folder_inside_a_file_is_refused_before_the_training(script, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(SystemExit, match="2"):
        script("optimizers", "--output", tmp_path / "file" / "deep")
    assert "this is a file" in capsys.readouterr().err


# ---- what the scripts are built on ----


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimiser_takes_a_step_in_every_precision(name, dtype):
    net = nn.Linear(3, 2).to(dtype)
    optimizer = build_optimizer(net, {"optimizer": name, "lr": 0.01, "weight_decay": 0.0}, torch.device("cpu"))
    defaults = optimizer.defaults
    assert defaults.get("fused", True)
    assert dtype == torch.float32 or defaults.get("eps", HALF_EPSILON) == HALF_EPSILON
    for parameter in net.parameters():
        parameter.grad = torch.full_like(parameter, 1e-6)
    optimizer.step()
    assert all(parameter.isfinite().all() for parameter in net.parameters())


def test_rmsprop_divides_by_the_mean_square():
    weight = nn.Parameter(torch.tensor([[1.0]], dtype=torch.float64))
    net = nn.Module()
    net.weight = weight
    optimizer = build_optimizer(net, {"optimizer": "rmsprop", "lr": 0.1, "weight_decay": 0.0}, torch.device("cpu"))
    expected, mean_square = 1.0, 0.0
    for gradient in (2.0, -1.0, 0.5):
        weight.grad = torch.tensor([[gradient]], dtype=torch.float64)
        optimizer.step()
        mean_square = 0.99 * mean_square + 0.01 * gradient**2
        expected -= 0.1 * gradient / (mean_square**0.5 + 1e-8)
    assert weight.item() == pytest.approx(expected)


def test_train_size_takes_a_stratified_part_of_the_training_rows():
    splits = {}
    for size in (None, 100):
        data = datamodules.create_datamodule("digits", train_size=size, batch_size=50)
        data.setup()
        splits[size] = data.splits
        assert data.train_batches == -(-len(data.splits["train"].groups) // 50)
    part = splits[100]["train"]
    assert len(part.groups) == 100
    assert set(part.groups) < set(splits[None]["train"].groups)
    assert part.column(1).bincount().tolist() == pytest.approx([10] * 10, abs=1)
    for name in ("val", "test"):
        assert (splits[100][name].groups == splits[None][name].groups).all()
    again, other = (
        datamodules.create_datamodule("digits", train_size=100, seed=seed, batch_size=50) for seed in (0, 1)
    )
    again.setup()
    other.setup()
    assert (again.splits["train"].groups == part.groups).all()
    assert set(other.splits["train"].groups) != set(part.groups)


def test_train_size_is_checked():
    rows = len(training_groups("digits"))
    for size in (5, rows + 1):
        data = datamodules.create_datamodule("digits", train_size=size)
        with pytest.raises(ValueError, match=f"train_size={size} does not fit"):
            data.setup()
        assert not data.splits
    with pytest.raises(ValueError, match="train_size must be at least 1, not 0"):
        datamodules.create_datamodule("digits", train_size=0)
    data = datamodules.create_datamodule("digits", train_size=20, batch_size=50)
    with pytest.raises(ValueError, match="batch_size=50 is larger than the training split of 20 rows"):
        data.setup()
    data = datamodules.create_datamodule("digits", train_size=rows)
    data.setup()
    assert len(data.splits["train"].groups) == rows


def training_groups(name):
    data = datamodules.create_datamodule(name)
    data.setup()
    return data.splits["train"].groups


def test_mnist_of_a_thousand_pictures():
    data = need_files(MNISTDataModule(train_size=1000))
    data.setup()
    assert {name: len(split.groups) for name, split in data.splits.items()} == {
        "train": 1000,
        "val": 5000,
        "test": 10_000,
    }


def test_every_activation_is_drawn(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    from activations import draw_functions
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 4))
    draw_functions(figure)
    assert [axes.get_title() for axes in figure.axes[: len(ACTIVATIONS)]] == list(ACTIVATIONS)
