"""Recipes whose weights are not shipped: the result is published alone, and the weights are those of this machine."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import answer, assert_same, state
from PIL import Image

import zoo
from zoo import pretrained
from zoo.recipes import load_recipe
from zoo.verification import verify

NAME = "mlp.private"
RECIPE = """
model: {name: mlp, args: {hidden_dims: [16], lr: 0.01}}
data: {name: digits, args: {batches_per_step: 4}}
trainer: {max_epochs: 1, enable_progress_bar: false}
minutes: 7
shipped_weights: none
"""
READERS = ("weights_path", "hparams_path", "result_path", "load_result", "load_weights", "save_result", "save_weights")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with one recipe, published into a folder of its own."""
    for folder in ("recipes", "pretrained/results", "work"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.setattr("zoo.recipes.HERE", tmp_path / "recipes")
    for name in READERS:
        function = getattr(pretrained, name)
        monkeypatch.setattr(function, "__defaults__", (tmp_path / "pretrained", *function.__defaults__[1:]))
    (tmp_path / "recipes" / f"{NAME}.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path / "work")
    Image.fromarray(np.uint8(np.arange(64).reshape(8, 8))).save("digit.png")
    return tmp_path


COMMANDS = (("predict", NAME, "digit.png"), ("test", NAME))


def test_without_weights_one_line_says_how_to_make_them(package, capfd):
    for words in COMMANDS:
        status, out, err = answer(capfd, *words)
        assert (status, out, len(err.splitlines())) == (2, "", 1)
        assert "no weights are shipped, because of the terms of the data" in err
        assert f"`zoo verify {NAME} --seeds 1` trains them in about 7 min" in err
        assert f"`zoo fit {NAME}`, whose weights `--ckpt_path best` uses" in err
    for call in (lambda: zoo.create_model(NAME, pretrained=True), lambda: zoo.predict(NAME, "digit.png")):
        with pytest.raises(FileNotFoundError, match="because of the terms of the data"):
            call()
    assert not Path("runs").exists()


@pytest.mark.slow
def test_what_was_verified_here_is_used_whatever_was_published(package, capfd):
    verify(load_recipe(NAME), seeds=1, say=str)
    made = pretrained.load_weights(NAME, load_recipe(NAME).verified)
    result = json.loads((load_recipe(NAME).verified.parent / "results" / f"{NAME}.json").read_text())
    result["weights"]["sha256"] = "0" * 64  # of another run
    pretrained.save_result(NAME, result)
    assert_same(state(zoo.create_model(NAME, pretrained=True)), state(made))
    data = load_recipe(NAME).datamodule()
    assert zoo.predict(NAME, "digit.png") == zoo.predict(made, "digit.png", data=data)
    for words in COMMANDS:
        status, out, err = answer(capfd, *words)
        assert (status, err) == (0, "")
    assert f"{NAME}, the weights of zoo verify" in out
    assert f"recorded {result['weights']['metrics']['test_accuracy']:.4f}" in out
    path = package / "recipes" / f"{NAME}.yaml"
    path.write_text(RECIPE.replace("lr: 0.01", "lr: 0.02"))  # whose weights are others
    with pytest.raises(FileNotFoundError, match="no weights are shipped"):
        zoo.create_model(NAME, pretrained=True)


def test_a_checkpoint_is_used_as_ever(package, capfd):
    assert answer(capfd, "fit", NAME, "--no_test")[0] == 0
    assert answer(capfd, "predict", NAME, "digit.png", "--ckpt_path", "best")[0] == 0


def test_damaged_weights_of_this_machine_are_one_line(package, capfd):
    path = pretrained.weights_path(NAME, load_recipe(NAME).verified)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"junk")
    status, out, err = answer(capfd, "predict", NAME, "digit.png")
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert f"{path} is damaged" in err
    assert "make it anew" in err


def test_the_result_is_published_alone(package, capfd):
    path = package / "recipes" / f"{NAME}.yaml"
    path.write_text(RECIPE.replace("none", "float16"))
    assert answer(capfd, "verify", NAME, "--publish")[0] == 0
    published = [pretrained.weights_path(NAME), pretrained.result_path(NAME)]
    assert all(file.is_file() for file in published)
    path.write_text(RECIPE)  # and a result of before loses its weights
    published[1].unlink()
    assert answer(capfd, "verify", NAME, "--publish")[0] == 0
    files = {file.relative_to(package / "pretrained").as_posix() for file in (package / "pretrained").rglob("*.*")}
    assert files == {f"results/{NAME}.json"}
    result = pretrained.load_result(NAME)
    assert result["configurations"] == [load_recipe(NAME).configuration]
    assert result["weights"]["metrics"].keys() <= result["metrics"].keys()
    assert "shipped_weights: none" in answer(capfd, "info", NAME)[1]
    shutil.rmtree("runs")  # the file of the result is no file of weights
    assert answer(capfd, "test", NAME)[0] == 2


@pytest.mark.slow
def test_an_own_file_may_have_the_key_too(package, capfd):
    Path("own.yaml").write_text(RECIPE)
    assert answer(capfd, "predict", "own.yaml", "digit.png")[0] == 2
    verify(load_recipe("own.yaml"), seeds=1, say=str)
    assert answer(capfd, "predict", "own.yaml", "digit.png")[0] == 0


def test_the_key_is_no_part_of_the_configuration(package):
    path = package / "recipes" / f"{NAME}.yaml"
    found = set()
    for text in (RECIPE, RECIPE.replace("none", "float16"), RECIPE.replace("shipped_weights: none", "")):
        path.write_text(text)
        found.add(load_recipe(NAME).configuration)
    assert len(found) == 1
    assert load_recipe(NAME).shipped_weights == "float16"


@pytest.mark.parametrize("value", ["null", "", "false", "fp16", "[none]", "None"])
def test_other_values_are_refused(package, value):
    (package / "recipes" / f"{NAME}.yaml").write_text(RECIPE.replace("weights: none", f"weights: {value}"))
    with pytest.raises(ValueError, match=r"section 'shipped_weights': it takes one of float16, .*none, not") as caught:
        load_recipe(NAME)
    assert "\n" not in str(caught.value)
