"""The data of the TensorFlow Playground, the models that learn them, and what is drawn of them."""

import runpy
import sys

import numpy as np
import pytest
import torch
from conftest import answer, quiet_trainer
from PIL import Image

import zoo
from datamodules import PlaygroundDataModule, create_datamodule
from datamodules.playground import CLASSIFICATION, DATASETS, FEATURES, PEAKS, REGRESSION
from zoo.figures.plane import plane_figure, plane_grid, unit_responses
from zoo.verification import evaluate

RECIPES = zoo.list_recipes("mlp.playground_*")


def drawn(dataset, noise=0.0, n=4000):
    points, y = DATASETS[dataset](np.random.default_rng(0), n, noise)
    return points, np.asarray(y)


# ---- the data ----


def test_circle_has_a_gap_and_its_noise_moves_labels_alone():
    points, y = drawn("circle")
    radius = np.linalg.norm(points, axis=1)
    assert radius[y].max() <= 2.5
    assert radius[~y].min() >= 3.5
    assert radius.max() <= 5
    noisy, labels = drawn("circle", 0.5)
    assert np.linalg.norm(noisy, axis=1).max() <= 5
    assert 0 < (labels != (np.linalg.norm(noisy, axis=1) < 2.5)).mean() < 0.5


def test_xor_is_padded():
    points, y = drawn("xor")
    assert np.abs(points).min() >= 0.3
    assert np.abs(points).max() <= 5.3
    assert (y == (points.prod(1) >= 0)).all()


@pytest.mark.parametrize(("noise", "variance"), [(0.0, 0.5), (0.5, 4.0)])
def test_gauss_has_the_variance_of_its_noise(noise, variance):
    points, y = drawn("gauss", noise, 40_000)
    for label, centre in ((True, 2), (False, -2)):
        assert points[y == label].mean(0) == pytest.approx([centre, centre], abs=0.05)
        assert points[y == label].var(0) == pytest.approx([variance, variance], rel=0.05)


def test_spiral_arms_are_turned_by_half_a_turn():
    points, y = drawn("spiral", n=500)
    assert np.allclose(points[y], -points[~y])
    assert np.linalg.norm(points[y], axis=1) == pytest.approx(5 * np.arange(250) / 250)
    angle = 3.5 * np.pi * 100 / 250
    assert points[y][100] == pytest.approx([2 * np.sin(angle), 2 * np.cos(angle)])
    assert np.abs(drawn("spiral", 0.5, 500)[0] - points).max() <= 0.5


def test_targets_of_regression():
    points, y = drawn("plane")
    assert y == pytest.approx(points.sum(1) / 10)
    points, y = drawn("multi_gauss")
    for x0, y0, sign in PEAKS:
        near = np.linalg.norm(points - [x0, y0], axis=1)
        row = near.argmin()
        assert y[row] == pytest.approx(sign * (1 - near[row] / 2), abs=1e-9)
    assert (y[np.linalg.norm(points[:, None] - PEAKS[:, :2], axis=2).min(1) > 2] == 0).all()


@pytest.mark.parametrize("dataset", DATASETS)
def test_sizes_and_splits_are_those_of_the_playground(dataset):
    data = PlaygroundDataModule(dataset=dataset)
    data.setup()
    sizes = {name: len(split.groups) for name, split in data.splits.items()}
    half = 250 if dataset in CLASSIFICATION else 600
    assert sizes == {"train": half - 50, "val": 50, "test": half}
    other = PlaygroundDataModule(dataset=dataset, seed=3)
    other.setup()
    assert torch.equal(data.splits["test"].tensors[0], other.splits["test"].tensors[0])
    assert not torch.equal(data.splits["val"].tensors[0], other.splits["val"].tensors[0])
    moved = PlaygroundDataModule(dataset=dataset, draw=1)
    moved.setup()
    assert not torch.equal(data.splits["test"].tensors[0], moved.splits["test"].tensors[0])
    points, y = data.training_points()
    rows = {tuple(row) for row in points.tolist()}
    assert len(y) == half
    assert dataset == "spiral" or not rows & {tuple(row) for row in data.splits["test"].tensors[0].tolist()}


def test_all_rows_can_be_trained_on():
    data = PlaygroundDataModule(train_on_all=True)
    data.setup()
    assert len(data.splits["train"].groups) == 250
    assert len(data.splits["val"].groups) == 50


def test_features_are_those_of_their_names():
    data = PlaygroundDataModule(features=list(FEATURES))
    x = data.features_of(torch.tensor([[0.5, -2.0]]))
    assert x[0].numpy() == pytest.approx([0.5, -2, 0.25, 4, -1, np.sin(0.5), np.sin(-2)])
    assert data.spec["in_features"] == 7
    assert torch.equal(data.read("0.5, -2"), x)


@pytest.mark.parametrize(
    ("args", "line"),
    [
        ({"dataset": "sprial"}, "unknown dataset 'sprial': did you mean spiral?"),
        ({"noise": 50}, "noise must be in .0, 0.5., a share, not 50"),
        ({"noise": -0.1}, "noise must be in"),
        ({"noise": float("nan")}, "noise must be in"),
        ({"train_share": 1.0}, "train_share must be between 0 and 1, not 1.0"),
        ({"train_share": 0.0}, "train_share must be between 0 and 1"),
        ({"points": 3}, "points must be at least 8, not 3"),
        ({"draw": -1}, "draw must be at least 0, not -1"),
        ({"features": []}, "features must be different ones of x, y"),
        ({"features": ["x", "x"]}, "features must be different ones of x, y"),
        ({"features": ["x", "y^3"]}, "unknown feature 'y.3': did you mean y.2"),
        ({"points": 20}, "val_size=50 does not fit"),
    ],
)
def test_what_cannot_be_drawn_is_refused(args, line):
    with pytest.raises(ValueError, match=line):
        create_datamodule("playground", **args).setup()


@pytest.mark.parametrize("text", ["1", "1 2 3", "one two", "nan 1", "inf 0", ""])
def test_what_is_not_a_point_is_refused(text):
    with pytest.raises(ValueError, match="is not a point such as"):
        PlaygroundDataModule().read(text)


# ---- regression ----


@pytest.fixture
def regressor():
    return zoo.create_model("mlp", in_features=2, hidden_dims=[16], num_classes=0, activation="tanh", lr=0.03)


def test_a_regressor_learns_numbers(regressor):
    data = PlaygroundDataModule(dataset="plane", val_size=100, batch_size=50)
    quiet_trainer(max_epochs=30).fit(regressor, data)
    found = evaluate(regressor, data)
    assert found["test_loss"] < 0.01
    assert set(found) == {"test_loss", "test_mae"}
    assert regressor.monitor == "val_loss"
    assert regressor.mode == "min"
    (row,) = zoo.predict(regressor, ["3 -1"], data=data)
    assert row["value"] == pytest.approx(0.2, abs=0.3)


def test_what_a_regressor_cannot_take_is_refused(regressor):
    x = torch.zeros(4, 2)
    for y in (torch.zeros(4, dtype=torch.int64), torch.zeros(4, 1), torch.full((4,), float("nan"))):
        with pytest.raises(ValueError, match="targets"):
            regressor.check_batch((x, y))
    with pytest.raises(ValueError, match="predicts numbers"):
        regressor.classify(x)
    for name in zoo.list_models():
        if "num_classes" in zoo.model_info(name)["parameters"] and name != "mlp":
            with pytest.raises(ValueError, match=r"num_classes.*(at least|from) 2|num_classes must be"):
                zoo.create_model(name, num_classes=0)
    with pytest.raises(ValueError, match="num_classes must be at least 2, or 0 for regression, not 1"):
        zoo.create_model("mlp", num_classes=1)
    with pytest.raises(ValueError, match="for classes"):
        zoo.create_model("mlp", num_classes=0, label_smoothing=0.1)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["mlp.playground_plane", "--model.num_classes", "2"], "expected class indices"),
        (["mlp.playground_circle", "--model.num_classes", "0", "--model.class_names", "null"], "expected numbers"),
    ],
)
def test_targets_that_do_not_suit_the_model_are_refused(capfd, elsewhere, tmp_path, words, line):
    status, _, err = answer(capfd, "fit", *words)
    assert status == 2
    assert line in err
    assert len(err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_point_may_begin_with_a_minus_sign(capfd, elsewhere):
    words = ("--trainer.max_epochs", "1", "--no_test", "--trainer.enable_progress_bar", "false")
    assert answer(capfd, "fit", "mlp.playground_circle", *words)[0] == 0
    status, out, err = answer(capfd, "predict", "mlp.playground_circle", "-1.5,2", "-.5 -1", "--ckpt_path", "last")
    assert status == 0, err
    assert [line.split("  ")[0].strip() for line in out.splitlines()] == ["-1.5,2", "-.5 -1"]


# ---- recipes and pictures ----


def test_every_data_set_has_a_recipe_and_a_smallest_network():
    for dataset in DATASETS:
        recipe = zoo.load_recipe(f"mlp.playground_{dataset}")
        assert recipe.seeds == 20
        assert recipe.data["args"].get("noise", 0) == 0
        assert "features" not in recipe.data["args"]
        assert any(name.endswith("_regression") for name in recipe.baselines)
        assert f"mlp.playground_{dataset}_small" in recipe.baselines
        small = zoo.create_model(f"mlp.playground_{dataset}_small")
        assert sum(p.numel() for p in small.parameters()) <= sum(
            p.numel() for p in zoo.create_model(recipe.name).parameters()
        )


def test_responses_are_those_of_the_layers():
    model = zoo.create_model("mlp", in_features=2, hidden_dims=[5, 3], num_classes=2, activation="tanh", dropout=0.5)
    x = torch.randn(7, 2)
    model.train()
    answer, hidden = unit_responses(model, x)
    assert model.training
    assert [layer.shape for layer in hidden] == [(7, 5), (7, 3)]
    with model.evaluating():
        assert torch.allclose(answer, model(x).softmax(1)[:, 1])
        first = next(layer for layer in model.net if isinstance(layer, torch.nn.Linear))
        assert torch.allclose(hidden[0], torch.tanh(first(x)))


def test_the_grid_covers_the_points_from_the_bottom_up():
    grid, (left, right, bottom, top) = plane_grid(torch.tensor([[0.0, -1.0], [4.0, 1.0]]), 5)
    assert right - left == pytest.approx(top - bottom)
    assert left < 0
    assert right > 4
    assert grid[0].tolist() == pytest.approx([left, bottom])
    assert grid[1][1] == grid[0][1]
    assert grid[-1].tolist() == pytest.approx([right, top])


@pytest.mark.parametrize("classes", [0, 2, 4])
def test_the_figure_has_labels_and_a_panel_a_layer(classes):
    model = zoo.create_model("mlp", in_features=2, hidden_dims=[20, 3], num_classes=classes)
    y = torch.rand(30) if not classes else torch.arange(30) % classes
    figure = plane_figure(model, torch.randn(30, 2), y, title="a title")
    titles = [axes.get_title() for axes in figure.axes]
    assert "hidden layer 1, 16 of 20 units" in titles
    assert "hidden layer 2, 3 units" in titles
    assert figure.axes[0].get_xlabel() == "x"
    assert figure.get_suptitle() == "a title"


@pytest.mark.parametrize("features", [["x", "y"], ["x", "y", "xy"]])
def test_boundaries_go_to_tensorboard(tmp_path, features):
    from lightning.pytorch.loggers import TensorBoardLogger
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    data = PlaygroundDataModule(features=features, batch_size=50)
    model = zoo.create_model("mlp", in_features=len(features), hidden_dims=[4], num_classes=2)
    logger = TensorBoardLogger(tmp_path, name="", version=0)
    callbacks = [zoo.callbacks.Boundaries()]
    quiet_trainer(max_epochs=7, logger=logger, callbacks=callbacks).fit(model, data)
    events = EventAccumulator(str(tmp_path / "version_0"), size_guidance={"images": 0}).Reload()
    assert [event.step for event in events.Images("boundary")] == [4 * epoch for epoch in (1, 2, 3, 5, 7)]


def test_boundaries_suit_points_alone():
    suits = zoo.callbacks.Boundaries.suits
    assert suits(zoo.create_model("mlp", in_features=2, num_classes=2))
    assert suits(zoo.create_model("mlp", in_features=2, num_classes=0))
    assert not suits(zoo.create_model("mlp"))
    assert not suits(zoo.create_model("cnn"))


@pytest.fixture
def playground(monkeypatch):
    from pathlib import Path

    scripts = Path(__file__).parent.parent / "scripts"
    monkeypatch.syspath_prepend(str(scripts))

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["playground.py", *map(str, words)])
        runpy.run_path(str(scripts / "playground.py"), run_name="__main__")

    return run


@pytest.mark.parametrize("ending", ["gif", "mp4", "png"])
def test_the_script_writes_pictures(playground, tmp_path, monkeypatch, ending):
    monkeypatch.chdir(tmp_path)
    output = tmp_path / f"spiral.{ending}"
    playground("spiral", "--epochs", 3, "--frames", 3, "--noise", 0.1, "--hidden_dims", 4, "--output", output)
    if ending == "gif":
        assert Image.open(output).n_frames >= 3
    elif ending == "png":
        assert Image.open(output).size[0] > 300
    else:
        import imageio_ffmpeg

        frames, seconds = imageio_ffmpeg.count_frames_and_secs(str(output))
        assert frames >= 3
        assert seconds > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [output.name]


@pytest.mark.parametrize(
    "words",
    [
        ["spirale"],
        ["spiral", "--output", "a.bmp"],
        ["spiral", "--output", "missing/a.gif"],
        ["spiral", "--noise", "7", "--output", "a.png"],
        ["spiral", "--frames", "0"],
        ["spiral", "--epochs", "0"],
        ["--output", "a.gif"],
    ],
)
def test_the_script_refuses_in_one_line(playground, tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        playground(*words)
    assert ended.value.code == 2
    assert "error:" in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_regression_and_classification_are_all():
    assert set(DATASETS) == set(CLASSIFICATION) | set(REGRESSION)
    assert len(RECIPES) == 2 * len(DATASETS)
