"""Checkpoints from a stranger: nothing of the user's is touched, and what is wrong in them is one line."""

import contextlib
import copy
import math
import os
import shutil
from pathlib import Path

import lightning as L
import pytest
import torch
import yaml
from conftest import assert_same, quiet_trainer, state

import zoo
from datamodules import DigitsDataModule
from zoo import cli
from zoo.callbacks import default_callbacks
from zoo.prediction import predict
from zoo.recipes import Recipe
from zoo.recipes.fit import fit_recipe
from zoo.training.callback_states import restrict_callback_states
from zoo.training.checkpoints import check_checkpoint, load_checkpoint, read_checkpoint

QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
ARGS = {"hidden_dims": [8], "dropout": 0.2, "schedule": "plateau", "patience": 3, "monitor": "val_loss"}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def own_recipe(max_epochs=2):
    return Recipe(
        "mlp.own",
        {"name": "mlp", "args": ARGS},
        {"name": "digits", "args": {"batch_size": 256}},
        {**QUIET, "max_epochs": max_epochs},
    )


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory):
    """A folder in which a recipe was trained for two epochs, and that of the run in it."""
    folder = tmp_path_factory.mktemp("trained").resolve()
    with contextlib.chdir(folder):
        L.seed_everything(0, verbose=False)
        return folder, fit_recipe(own_recipe()).run


@pytest.fixture
def trained(trained_once, tmp_path):
    """A run of two epochs, as if trained in the folder of the test, and the content of its last checkpoint."""
    folder, run = trained_once
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    for path in run.rglob("*.ckpt"):
        torch.save(moved(torch.load(path, weights_only=True), str(folder), str(tmp_path.resolve())), path)
    return run, torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)


def moved(content, before, after):
    """Return the content of a checkpoint with the paths of another folder."""
    if isinstance(content, str):
        return content.replace(before, after)
    if isinstance(content, dict):
        pairs = [(moved(key, before, after), moved(value, before, after)) for key, value in content.items()]
        return type(content)(pairs)
    if isinstance(content, (list, tuple)):
        return type(content)(moved(part, before, after) for part in content)
    return content


def of_callback(content, name, monitor=True):
    return next(
        state
        for key, state in content["callbacks"].items()
        if key.startswith(name) and (monitor is None or ("'monitor': None" in key) is not monitor)
    )


def paths_in(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---- the files that a state names ----


def named_paths(mine, checkpoints):
    up = os.path.relpath(mine, checkpoints)
    return {
        "absolute": str(mine / "thesis.txt"),
        "folder": str(mine),
        "up": str(checkpoints / up / "thesis.txt"),
        "up from inside": f"{checkpoints}/../../../../mine/thesis.txt",
        "relative": "mine/thesis.txt",
        "by a url": f"file://{mine}/thesis.txt",
        "in memory": "memory://thesis",
        "through a link": str(checkpoints / "link" / "thesis.txt"),
        "a link": str(checkpoints / "best-v1.ckpt"),
        "another file of the folder": str(checkpoints / "notes.ckpt"),
        "the last checkpoint": str(checkpoints / "last.ckpt"),
        "nothing": "",
        "a number": 3,
        "none": None,
        "a list": ["x"],
        "zero byte": "a\0b",
    }


@pytest.mark.parametrize("case", named_paths(Path("/a/mine"), Path("/a/b/c/d")))
def test_a_state_deletes_no_file_of_the_users(trained, case, tmp_path):
    run, content = trained
    mine, checkpoints = tmp_path / "mine", (run / "checkpoints").resolve()
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    (mine / "best.ckpt").write_text("another's")
    (checkpoints / "link").symlink_to(mine)
    (checkpoints / "best-v1.ckpt").symlink_to(mine / "thesis.txt")
    (checkpoints / "notes.ckpt").write_text("my notes")
    path = named_paths(mine, checkpoints)[case]
    for monitored in (True, False):
        checkpoint_state = of_callback(content, "ModelCheckpoint", monitored)
        checkpoint_state.update(
            best_model_path=path,
            kth_best_model_path=path,
            last_model_path=path,
            dirpath=str(mine),
            best_model_score=torch.tensor(math.inf),
            kth_value=torch.tensor(math.inf),
        )
        if isinstance(path, (str, int)):
            checkpoint_state["best_k_models"] = {path: torch.tensor(math.inf)}
    content["callbacks"]["Unknown{'a': 1}"] = {"best_model_path": str(mine), "dirpath": str(mine)}
    torch.save(content, checkpoints / "last.ckpt")
    fit_recipe(own_recipe(4), resume=checkpoints / "last.ckpt", run=run)
    assert paths_in(mine) == {mine / "thesis.txt": b"years of work", mine / "best.ckpt": b"another's"}
    assert (checkpoints / "notes.ckpt").read_text() == "my notes"
    assert (checkpoints / "link").is_symlink()
    assert (checkpoints / "best-v1.ckpt").is_symlink()
    assert read_checkpoint(checkpoints / "last.ckpt")["epoch"] == 3
    assert read_checkpoint(checkpoints / "best.ckpt")


def test_paths_are_restricted_for_lightnings_own_trainer_too(trained, tmp_path):
    run, content = trained
    thesis = tmp_path / "thesis.txt"
    thesis.write_text("years of work")
    of_callback(content, "ModelCheckpoint").update(
        best_model_path=str(run.resolve() / "checkpoints/../../../../thesis.txt"), kth_value=torch.tensor(1e9)
    )
    torch.save(content, "bad.ckpt")
    model, data, trainer = own_recipe(4).build(run=tmp_path / "again" / "version_0")
    trainer.fit(model, data, ckpt_path="bad.ckpt", weights_only=True)
    assert thesis.read_text() == "years of work"
    assert trainer.checkpoint_callback.best_model_path == str(tmp_path / "again/version_0/checkpoints/best.ckpt")


def test_what_is_kept_of_a_state(trained):
    run, content = trained
    trainer = own_recipe().build(run=run)[2]
    before = copy.deepcopy(content)
    restrict_callback_states(content, trainer)
    assert content["callbacks"].keys() == before["callbacks"].keys()
    for key, restricted in content["callbacks"].items():
        assert restricted == before["callbacks"][key]


def test_a_moved_run_keeps_its_best_checkpoint(trained):
    run, _ = trained
    run.rename(run.with_name("version_7"))
    run = run.with_name("version_7")
    best = run / "checkpoints" / "best.ckpt"
    content = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    checkpoint_state = of_callback(content, "ModelCheckpoint")
    score = torch.tensor(1e-9)  # that no later epoch reaches
    checkpoint_state.update(best_model_score=score, kth_value=score)
    checkpoint_state["best_k_models"] = dict.fromkeys(checkpoint_state["best_k_models"], score)
    torch.save(content, run / "checkpoints" / "last.ckpt")
    before = best.read_bytes()
    fit = fit_recipe(own_recipe(4), resume=run / "checkpoints" / "last.ckpt", run=run)
    assert best.read_bytes() == before
    assert fit.checkpoint.resolve() == best.resolve()


# ---- everything a checkpoint can carry ----


def junk(value):
    """Values in place of another: of other kinds, and out of range."""
    choices = [None, "text", -5, 1e400, 10**30, [], [1, [2]], {}, {"a": {"b": 1}}, torch.zeros(3), math.nan, True]
    if isinstance(value, torch.Tensor):
        empty = torch.empty(0)
        choices += [value.double() * math.nan, value.reshape(-1)[:0], value.to(torch.complex64), empty, value.bool()]
        choices += [torch.zeros((2, 2)).to_sparse(), torch.zeros(1).expand(10**6, 10**6)]
    return choices


def places(content, prefix=()):
    """Yield the keys that lead to every value of nested data."""
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else []
    for key, value in items:
        yield (*prefix, key)
        yield from places(value, (*prefix, key))


def tampered(content, place, change):
    content = copy.copy(content)
    inner = content
    for key in place[:-1]:
        inner[key] = copy.copy(inner[key])
        inner = inner[key]
    change(inner, place[-1])
    return content


def check_one_line(call):
    """Call a function, and return whether it refused: with one line, in a ``ValueError``."""
    try:
        call()
    except ValueError as error:
        line = str(error)
    else:
        return False
    assert "\n" not in line
    assert len(line) < 700
    return True


def tampered_contents(content):
    for place in places(content):
        value = content
        for key in place:
            value = value[key]
        yield place, "removed", tampered(content, place, lambda inner, key: inner.pop(key))
        if isinstance(value, dict):
            yield (
                place,
                "added",
                tampered(
                    content, place, lambda inner, key: inner.__setitem__(key, {**inner[key], "unknown": 1, 5: "five"})
                ),
            )
        for choice in junk(value):
            yield place, choice, tampered(content, place, lambda inner, key, c=choice: inner.__setitem__(key, c))


@pytest.mark.slow
def test_a_tampered_checkpoint_loads_or_is_refused_in_one_line(trained):
    _, content = trained
    cls, refused, seen = type(zoo.create_model("mlp")), 0, 0
    model = own_recipe().build()[0]
    weights = state(model)
    for place, choice, changed in tampered_contents(content):
        if place[0] in ("loops", "optimizer_states", "lr_schedulers", "callbacks") and len(place) > 1:
            continue  # which only a fit reads
        torch.save(changed, "bad.ckpt")
        refusal = check_one_line(lambda: load_checkpoint(cls, "bad.ckpt"))
        check_one_line(lambda: check_checkpoint("bad.ckpt", model))
        seen, refused = seen + 1, refused + refusal
        if place[0] == "state_dict":
            same = (
                isinstance(choice, torch.Tensor) and choice.shape == content["state_dict"].get(place[-1], choice).shape
            )
            assert refusal or same, (place, choice)
    assert seen > 500
    assert refused > seen / 3
    assert_same(weights, state(model))


@pytest.mark.slow
def test_a_fit_from_a_tampered_checkpoint_goes_on_or_is_refused_in_one_line(trained):
    _, content = trained
    draw = torch.Generator().manual_seed(0)
    cases = [
        case for case in tampered_contents(content) if case[0][0] not in ("state_dict", "hyper_parameters", "pytorch")
    ]
    for index in torch.randperm(len(cases), generator=draw)[:400].tolist():
        torch.save(cases[index][2], "bad.ckpt")
        try:
            refused = check_one_line(lambda: fit_recipe(own_recipe(3), resume=Path("bad.ckpt")))
        except FloatingPointError as error:  # values of the right form with which nothing can be learned
            refused, message = True, str(error)
            assert "no longer finite" in message
        if cases[index][1] == "removed" and len(cases[index][0]) == 1 and cases[index][0][0] not in OPTIONAL:
            assert refused, cases[index][0]


OPTIONAL = (
    "hparams_name",
    "datamodule_hparams_name",
    "datamodule_hyper_parameters",
)

PARTS = {
    "no loops": (("loops",), None),
    "empty loops": (("loops",), {}),
    "no optimiser": (("optimizer_states",), []),
    "a second optimiser": (("optimizer_states",), [{}, {}]),
    "an empty optimiser": (("optimizer_states",), [{}]),
    "moments of one parameter": (("optimizer_states", 0, "state", 0), {}),
    "moments of another shape": (("optimizer_states", 0, "state", 0, "exp_avg"), torch.zeros(2)),
    "moments that are no numbers": (("optimizer_states", 0, "state", 3, "exp_avg"), torch.full((10,), math.nan)),
    "no callbacks": (("callbacks",), {}),
    "no schedules": (("lr_schedulers",), 5),
    "another random state": (("zoo", "resume", "cpu"), torch.zeros(7, dtype=torch.uint8)),
    "no plateau": (("zoo", "resume", "plateau"), {}),
    "a negative epoch": (("epoch",), -1),
    "a step that is a text": (("global_step",), "80"),
    "a version that is none": (("pytorch-lightning_version",), "new"),
    "progress that is negative": (("loops", "fit_loop", "epoch_progress", "current", "processed"), -3),
    "progress that is a text": (("loops", "fit_loop", "epoch_progress", "current", "ready"), "2"),
}


@pytest.mark.parametrize("case", PARTS)
def test_a_training_state_that_is_damaged_is_not_resumed(trained, case):
    run, content = trained
    place, value = PARTS[case]
    changed = tampered(content, place, lambda inner, key: inner.__setitem__(key, value))
    torch.save(changed, "bad.ckpt")
    with pytest.raises(ValueError, match=r"bad\.ckpt|checkpoint") as caught:
        fit_recipe(own_recipe(4), resume=Path("bad.ckpt"))
    assert "\n" not in str(caught.value)
    assert [path.name for path in run.parent.iterdir()] == ["version_0"]  # nothing is left of it


WEIGHTS = {
    "NaN": (lambda w: w.fill_(math.nan), "not finite"),
    "one infinity": (lambda w: w.reshape(-1)[3:4].fill_(math.inf) and w, "1 values that are not finite"),
    "whole numbers": (lambda w: w.long(), "torch.int64"),
    "another shape": (lambda w: w[:3], "size mismatch"),
    "a list": (lambda w: w.tolist(), "expected a tensor"),
    "without storage": (lambda w: w.to("meta"), "expected a tensor"),
}


@pytest.mark.parametrize("case", WEIGHTS)
def test_weights_that_are_none_are_refused_by_name(trained, case, capfd):
    _, content = trained
    name = "net.2.weight"
    change, expected = WEIGHTS[case]
    changed = change(content["state_dict"][name])
    content["state_dict"][name] = content["state_dict"][name] if case in ("NaN", "one infinity") else changed
    torch.save(content, "bad.ckpt")
    Path("own.yaml").write_text(yaml.safe_dump({"model": own_recipe().model, "data": own_recipe().data}))
    for words in (
        ["test", "own.yaml", "--ckpt_path", "bad.ckpt"],
        ["fit", "own.yaml", "--ckpt_path", "bad.ckpt"],
        ["predict", "own.yaml", "a.png", "--ckpt_path", "bad.ckpt"],
    ):
        assert cli.main(words) == 2
        out, err = capfd.readouterr()
        assert out == ""
        assert len(err.splitlines()) == 1
        assert name in err
        assert expected in err
    with pytest.raises(ValueError, match=name):
        predict("own.yaml", ["a.png"], ckpt_path="bad.ckpt")
    model, data, trainer = own_recipe(3).build()
    with pytest.raises(ValueError, match=name):
        trainer.fit(model, data, ckpt_path="bad.ckpt", weights_only=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden_dims", [-5]),
        ("hidden_dims", [10**12]),
        ("hidden_dims", "wide"),
        ("hidden_dims", {"class_path": "os.system", "init_args": {"command": "true"}}),
        ("dropout", 7),
        ("lr", -1),
        ("optimizer", "adm"),
        ("no_such", 1),
        ("std", 0.0),
        ("class_names", list(range(10))),
    ],
)
def test_hyper_parameters_that_no_model_takes(trained, name, value):
    _, content = trained
    content["hyper_parameters"][name] = value
    torch.save(content, "bad.ckpt")
    with pytest.raises(ValueError) as caught:
        load_checkpoint(type(zoo.create_model("mlp")), "bad.ckpt")
    assert "\n" not in str(caught.value)


def test_data_that_refer_to_themselves(trained):
    _, content = trained
    bomb = [0]
    for _ in range(40):
        bomb = [bomb, bomb]
    content["hyper_parameters"]["class_names"] = bomb
    torch.save(content, "bad.ckpt")
    with pytest.raises(ValueError, match="more than"):
        read_checkpoint("bad.ckpt")
    loop = []
    loop.append(loop)
    content["hyper_parameters"]["class_names"] = loop
    torch.save(content, "bad.ckpt")
    with pytest.raises(ValueError, match=r"more than|not a checkpoint"):
        read_checkpoint("bad.ckpt")


def test_code_in_a_checkpoint_is_not_run(trained):
    _, content = trained

    class Run:
        def __reduce__(self):
            return os.mkdir, ("was_here",)

    for place in (("hyper_parameters", "lr"), ("callbacks",), ("zoo", "resume", "cpu")):
        changed = tampered(content, place, lambda inner, key: inner.__setitem__(key, Run()))
        torch.save(changed, "bad.ckpt")
        with pytest.raises(ValueError, match="not a checkpoint that can be read"):
            load_checkpoint(type(zoo.create_model("mlp")), "bad.ckpt")
        with pytest.raises(ValueError, match="not a checkpoint that can be read"):
            fit_recipe(own_recipe(4), resume=Path("bad.ckpt"))
    assert not Path("was_here").exists()


@pytest.mark.parametrize("damage", ["cut", "zeros", "flipped", "empty"])
def test_a_damaged_file(trained, damage):
    run, _ = trained
    content = bytearray((run / "checkpoints" / "last.ckpt").read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "zeros":
        content[-200:] = bytes(200)
    elif damage == "flipped":
        content[200] ^= 255
    else:
        content = bytearray()
    Path("bad.ckpt").write_bytes(content)
    check_one_line(lambda: load_checkpoint(type(zoo.create_model("mlp")), "bad.ckpt"))
    check_one_line(lambda: fit_recipe(own_recipe(4), resume=Path("bad.ckpt")))


def test_a_checkpoint_of_weights_alone_is_used_but_not_resumed(tmp_path):
    model = zoo.create_model("mlp", in_features=64, input_shape=[1, 8, 8], **ARGS)
    trainer = quiet_trainer(max_epochs=1, callbacks=default_callbacks(model, tmp_path), enable_checkpointing=True)
    trainer.fit(model, DigitsDataModule(batch_size=256))
    trainer.save_checkpoint("weights.ckpt", weights_only=True)
    load_checkpoint(type(model), "weights.ckpt")
    with pytest.raises(ValueError, match=r"weights\.ckpt has no optimizer_states"):
        fit_recipe(
            Recipe(
                "mlp.own",
                {"name": "mlp", "args": {**ARGS, "mean": 0.0, "std": 1.0, "class_names": None}},
                {"name": "digits", "args": {"batch_size": 256}},
                QUIET,
            ),
            resume=Path("weights.ckpt"),
        )


def test_a_model_that_is_not_strict_loads_a_part(trained, tmp_path):
    _, content = trained
    del content["state_dict"]["net.2.bias"]
    torch.save(content, "part.ckpt")
    for strict in (True, False):
        model, data, trainer = own_recipe(3).build(run=tmp_path / str(strict))
        model.strict_loading = strict
        if strict:
            with pytest.raises(ValueError, match=r'does not fit the model: Missing key\(s\) .*"net\.2\.bias"'):
                trainer.fit(model, data, ckpt_path="part.ckpt", weights_only=True)
        else:
            trainer.fit(model, data, ckpt_path="part.ckpt", weights_only=True)
            assert trainer.current_epoch == 3


def test_a_model_that_cannot_be_copied_is_loaded_all_the_same(trained):
    _, content = trained
    model = own_recipe().build()[0]
    model.handle = (number for number in range(3))
    torch.save(content, "good.ckpt")
    check_checkpoint("good.ckpt", model)
