"""Recipes from a stranger: data, of which nothing is run, and whose faults are one line with file and section."""

import time
from pathlib import Path

import lightning as L
import pytest
import yaml
from conftest import answer, assert_same, state
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.plugins import TorchCheckpointIO
from lightning.pytorch.profilers import SimpleProfiler
from lightning.pytorch.strategies import SingleDeviceStrategy
from marks import slowly

import zoo
from zoo.arguments import signature
from zoo.recipes import load_recipe
from zoo.recipes.schema import SECTIONS, load_yaml

pytestmark = pytest.mark.usefixtures("elsewhere")
GOOD = {"model": {"name": "mlp"}, "data": {"name": "digits"}, "trainer": {"max_epochs": 1}}


def refusal(capfd, content, *words):
    """Return the one line with which a recipe is refused by the command line."""
    Path("own.yaml").write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
    status, out, err = answer(capfd, *(words or ("fit",)), "own.yaml")
    assert (status, out) == (2, ""), err
    assert len(err.splitlines()) == 1
    assert not Path("runs").exists()
    return err


# ---- no object is made ----

MODULE = """
import pathlib
pathlib.Path("was_here").touch()
class Made:
    def __init__(self, *args, **kwargs):
        pathlib.Path("was_here").touch()
"""
FLAGS = [
    "logger",
    "callbacks",
    "strategy",
    "accelerator",
    "plugins",
    "profiler",
    "precision",
    "devices",
    "max_time",
    "default_root_dir",
    "limit_val_batches",
]
VALUES = {
    "class": {"class_path": "stranger.Made"},
    "class with arguments": {"class_path": "stranger.Made", "init_args": {"x": 1}},
    "list of classes": [{"class_path": "stranger.Made"}],
    "path": "stranger.Made",
    "system": {"class_path": "os.system", "init_args": {"command": "touch was_here"}},
}


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("flag", FLAGS)
def test_a_recipe_imports_nothing(capfd, flag, value, monkeypatch):
    Path("stranger.py").write_text(MODULE)
    monkeypatch.syspath_prepend(Path.cwd())
    Path("own.yaml").write_text(yaml.safe_dump({**GOOD, "trainer": {"max_epochs": 1, flag: VALUES[value]}}))
    if (flag, value) != ("default_root_dir", "path"):  # the name of a folder
        assert flag in refusal(capfd, {**GOOD, "trainer": {"max_epochs": 1, flag: VALUES[value]}})
        for command in ("fit", "test"):
            words = [command, "mlp.digits", f"--trainer.{flag}", yaml.safe_dump(VALUES[value], default_flow_style=True)]
            status, _, err = answer(capfd, *words)
            assert status == 2
            assert len(err.splitlines()) == 1
    assert not Path("was_here").exists()


def test_no_flag_of_the_trainer_takes_a_class(capfd, monkeypatch):
    Path("stranger.py").write_text(MODULE)
    monkeypatch.syspath_prepend(Path.cwd())
    recipe = load_recipe("mlp.digits")
    for flag in signature(L.Trainer):
        with pytest.raises(ValueError, match=flag) as caught:
            recipe.build(trainer={flag: VALUES["class"]})
        assert "\n" not in str(caught.value)
    assert not Path("was_here").exists()


def test_models_and_data_take_no_class_either(monkeypatch):
    Path("stranger.py").write_text(MODULE)
    monkeypatch.syspath_prepend(Path.cwd())
    recipe = load_recipe("mlp.digits")
    for argument in signature(type(zoo.create_model("mlp"))):
        with pytest.raises(ValueError, match=argument):
            recipe.build(model={argument: VALUES["class"]})
    for argument in ("batch_size", "root", "augment", "seed"):
        with pytest.raises(ValueError, match=argument):
            recipe.build(data={argument: VALUES["class"]})
    assert not Path("was_here").exists()


def test_objects_are_given_from_python(tmp_path):
    objects = {
        "logger": CSVLogger(tmp_path),
        "callbacks": [Callback()],
        "plugins": [TorchCheckpointIO()],
        "profiler": SimpleProfiler(),
        "strategy": SingleDeviceStrategy("cpu"),
    }
    _, _, trainer = load_recipe("mlp.digits").build(trainer=objects)
    assert trainer.logger is objects["logger"]
    assert trainer.profiler is objects["profiler"]
    assert trainer.strategy is objects["strategy"]
    assert objects["callbacks"][0] in trainer.callbacks
    with pytest.raises(ValueError, match=r"logger takes .*bool.*; objects are given from Python"):
        load_recipe("mlp.digits").build(trainer={"logger": "csv"})
    with pytest.raises(ValueError, match=r"callbacks takes None.*; objects are given from Python"):
        load_recipe("mlp.digits").build(trainer={"callbacks": "RichProgressBar"})


# ---- the file ----


def bomb(levels):
    lines = ["a0: &a0 [x, x]"] + [f"a{k}: &a{k} [*a{k - 1}, *a{k - 1}]" for k in range(1, levels)]
    return "\n".join(lines)


FILES = {
    "bomb": (bomb(60), "more than 20,000 values"),
    "bomb of merges": (
        "a0: &a0 {x: 1}\n" + "\n".join(f"a{k}: &a{k} {{<<: [*a{k - 1}, *a{k - 1}]}}" for k in range(1, 60)),
        "more than",
    ),
    "self": ("model: &a {name: mlp, args: *a}\ndata: {name: digits}", "holds itself"),
    "self in a list": ("model: &a [*a]\n", "holds itself"),
    "deep": ("model: " + "[" * 5000 + "]" * 5000, "nest"),
    "deeper": ("model: " + "[" * 200_000, "nest"),
    "deep in lines": ("\n".join(" " * k + "a:" for k in range(300)), "deep"),
    "large": ("# " + "x" * 1_100_000, "expected at most"),
    "twice": ("model: {name: mlp}\ndata: {name: digits}\nmodel: {name: lenet5}", "line 3: 'model' stands there twice"),
    "twice inside": ("model: {name: mlp, args: {lr: 1, lr: 2}}\ndata: {name: digits}", "'lr' stands there twice"),
    "a list as a key": ("? [a]\n: 1\n", "a key that is no text"),
    "python": ("model: !!python/object/apply:os.mkdir [was_here]", "not a YAML file"),
    "unknown tag": ("model: !mine {name: mlp}", "not a YAML file"),
    "no date": ("model: {name: mlp}\ndata: {name: digits}\nnote: 2020-99-99", "month"),
    "no unicode": ("model: {name: \x07}", "not a YAML file"),
    "alias of nothing": ("model: *nothing", "not a YAML file"),
    "two documents": ("model: {name: mlp}\n---\ndata: {name: digits}", "not a YAML file"),
    "empty": ("", "a recipe has the sections"),
    "number": ("5", "a recipe has the sections"),
    "long number": (f"model: {{name: mlp}}\ndata: {{name: digits}}\nseeds: {'9' * 6000}", "digits"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_is_no_recipe(capfd, case):
    content, expected = FILES[case]
    start = time.monotonic()
    line = refusal(capfd, content)
    assert time.monotonic() - start < 5
    assert line.startswith("zoo: error: own.yaml")
    assert expected in line


def test_bytes_that_are_no_text(capfd):
    Path("own.yaml").write_bytes(b"\xff\xfe\x00model")
    status, _, err = answer(capfd, "fit", "own.yaml")
    assert status == 2
    assert err.startswith("zoo: error: own.yaml")
    assert len(err.splitlines()) == 1


def test_a_bomb_on_the_command_line(capfd):
    text = "[&a [x, x], &b [*a, *a], &c [*b, *b], &d [*c, *c], &e [*d, *d], &f [*e, *e], &g [*f, *f], &h [*g, *g], "
    text += "&i [*h, *h], &j [*i, *i], &k [*j, *j], &l [*k, *k], &m [*l, *l], &n [*m, *m], &o [*n, *n], &p [*o, *o]]"
    status, _, err = answer(capfd, "fit", "mlp.digits", "--model.hidden_dims", text)
    assert status == 2
    assert "--model.hidden_dims" in err
    assert len(err.splitlines()) == 1


def test_aliases_within_reason_are_fine():
    assert load_yaml("a: &x [1, 2]\nb: *x\nc: {<<: {d: 1}, e: 2}") == {"a": [1, 2], "b": [1, 2], "c": {"d": 1, "e": 2}}
    for name in zoo.list_recipes():
        assert load_recipe(name).name == name


JUNK = [None, True, -1, 0, 1.5, float("nan"), float("inf"), "text", [], [1], ["a", 1], [[]], {}, {"a": 1}, {1: 2}, [{}]]
JUNK += [{"name": 5}, {"name": "mlp", "args": 1}, {"name": "mlp", "args": [1]}, {"name": ["mlp"]}, 10**30, "2020-01-01"]
JUNK += [{"name": "mlp", "args": {1: 2}}, {"name": None}, [{"metric": 1}], [{"metric": "a", "at_least": "b"}], [[1, 2]]]
JUNK += [[{"metric": "a", "over": 3}], [{"metric": "a", "over": "b"}], [{1: 2}], [None], {"name": "mlp", "other": 1}]
JUNK += [[{"metric": "a", "at_least": float("nan")}], [{"metric": ["a"], "at_least": 1}], {"max_epochs": {}}]
JUNK += [[{"metric": "a", "at_least": 1, "mode": 5}], [{"metric": "x", "over": "y", "mode": []}]]


@pytest.mark.parametrize("section", [name for name in SECTIONS if name != "tune"])
def test_any_value_in_any_section(capfd, section):
    refused = 0
    for value in JUNK:
        Path("own.yaml").write_text(yaml.safe_dump({**GOOD, section: value}))
        try:
            load_recipe("own.yaml").build()
        except ValueError as error:
            line = str(error)
        else:
            continue
        refused += 1
        assert "\n" not in line
        assert line.startswith("own.yaml: section"), (value, line)
        assert section in line
    assert refused > 10


@pytest.mark.parametrize("section", ["baselines", "measures"])
def test_unknown_rivals_are_refused_before_anything_is_trained(capfd, section):
    line = refusal(capfd, {**GOOD, section: ["no_such"]}, "verify")
    assert line.startswith(f"zoo: error: own.yaml: section '{section}': unknown {section[:-1]} 'no_such'")


@pytest.mark.parametrize(
    ("content", "section"),
    [
        ({**GOOD, "model": {"name": "mpl"}}, "model"),
        ({**GOOD, "model": {"name": "mlp", "args": {"hiden_dims": [3]}}}, "model"),
        ({**GOOD, "model": {"name": "mlp", "args": {"hidden_dims": [-3]}}}, "model"),
        ({**GOOD, "model": {"name": "mlp", "args": {"hidden_dims": [10**12]}}}, "model"),
        ({**GOOD, "data": {"name": "digit"}}, "data"),
        ({**GOOD, "data": {"name": "digits", "args": {"batch_size": "many"}}}, "data"),
        ({**GOOD, "trainer": {"max_epoch": 3}}, "trainer"),
    ],
)
def test_a_name_or_value_that_is_wrong_names_the_section(capfd, content, section):
    assert refusal(capfd, content).startswith(f"zoo: error: own.yaml: section '{section}'")


# ---- models that cannot be ----


@pytest.mark.parametrize(
    ("recipe", "argument", "value"),
    [
        ("mlp.digits", "hidden_dims", "[-5]"),
        ("mlp.digits", "hidden_dims", "[0]"),
        ("mlp.digits", "hidden_dims", "[1000000000000]"),
        ("mlp.digits", "hidden_dims", "[" + "9" * 40 + "]"),
        ("mlp.digits", "hidden_dims", str([4] * 3000)),
        ("cnn.digits", "depths", "[1000000000, 1, 1]"),
        ("cnn.digits", "hidden_dims", "[-1, 2, 3]"),
        ("cnn.digits", "hidden_dims", "[100000000, 2, 3]"),
    ],
)
def test_a_model_that_cannot_be_is_refused_before_it_takes_memory(capfd, recipe, argument, value):
    start = time.monotonic()
    status, _, err = answer(capfd, "fit", recipe, f"--model.{argument}", value)
    assert status == 2
    assert len(err.splitlines()) == 1
    assert argument in err
    assert len(err) < 700
    assert time.monotonic() - start < 20
    assert not Path("runs").exists()


@pytest.mark.parametrize("name", slowly(zoo.list_models(), "colorizer"))
def test_any_number_in_any_argument_of_a_model(name):
    for argument, parameter in signature(zoo.registry.find_model(name).cls).items():
        kind = str(parameter.annotation)
        values = {"<class 'int'>": [-1, 0, 10**12, 10**40], "list[int]": [[-1], [0], [10**12], []]}.get(kind, [])
        values += {"<class 'float'>": [-1.0, float("nan"), float("inf"), 1e300]}.get(kind, [])
        for value in values:
            try:
                zoo.create_model(name, **{argument: value})
            except ValueError as error:
                line = str(error)
                assert "\n" not in line
                assert argument in line or str(value)[:20] in line, line


def test_nan_is_no_argument():
    nan = float("nan")
    for name, args in (("mlp", {"mean": nan}), ("mlp", {"mean": "nan"}), ("cnn", {"mean": [0.1, nan]})):
        with pytest.raises(ValueError, match=r"mean takes .*nan"):
            zoo.create_model(name, **args)
    with pytest.raises(ValueError, match=r"augment takes .*nan"):
        load_recipe("mlp.digits").build(data={"augment": {"shift": nan}})


def test_counting_changes_no_weight_and_no_random_number():
    import torch

    from zoo import building

    weights, draws = [], []
    for first in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(building, "_may_be_large", lambda *_, first=first: first)
            L.seed_everything(7, verbose=False)
            weights.append([state(zoo.create_model(name)) for name in ("mlp", "vae", "lstm_classifier", "lenet5")])
            draws.append(torch.rand(3))
    assert torch.equal(*draws)
    for one, other in zip(*weights):
        assert_same(one, other)
