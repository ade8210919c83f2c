"""The command line, as a user types it."""

import json
import subprocess
import sys
from pathlib import Path

import pooch
import pytest
import torch
import yaml
from conftest import no_server, run_python
from PIL import Image

import zoo
from zoo import cli, pretrained
from zoo.recipes import load_recipe

QUICK = ["--trainer.max_epochs", "2"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def answer(capfd, *words: str) -> tuple[int, str, str]:
    status = cli.main(list(words))
    out, err = capfd.readouterr()
    return status, out, err


def test_list_and_help_load_no_torch():
    code = """
import sys
from zoo.cli import main
main(["list"])
try:
    main(["--help"])
except SystemExit:
    pass
assert not {"torch", "lightning", "torchvision", "numpy"} & set(sys.modules), sys.modules.keys()
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert all(name in run.stdout for name in zoo.list_recipes())


def test_list_takes_a_pattern(capfd):
    status, out, _ = answer(capfd, "list", "perceptron.*")
    assert status == 0
    assert "perceptron.and" in out
    assert "mlp" not in out


@pytest.mark.parametrize("name", ["mlp", "mlp.digits", "logistic_regression.breast_cancer"])
def test_info(capfd, name):
    status, out, _ = answer(capfd, "info", name)
    assert status == 0
    assert name in out
    assert ("hidden_dims" in out) == name.startswith("mlp")


def test_fit_then_test_a_checkpoint(capfd):
    status, out, _ = answer(capfd, "fit", "mlp.digits", *QUICK, "--model.hidden_dims", "[32]", "--model.lr=1e-2")
    assert status == 0
    assert "test_accuracy" in out
    assert "next: tensorboard" in out
    checkpoint = torch.load("runs/mlp.digits/version_0/checkpoints/best.ckpt", weights_only=True)
    assert checkpoint["hyper_parameters"]["hidden_dims"] == [32]
    assert checkpoint["hyper_parameters"]["lr"] == 0.01
    line = next(line for line in out.splitlines() if line.startswith("test_accuracy"))
    status, out, _ = answer(capfd, "test", "mlp.digits", "--ckpt_path", "best")
    assert status == 0
    assert f"test_accuracy  {line.split()[-1]}" in " ".join(out.replace("  ", " ").split()).replace(" ", "  ")


def test_fit_can_leave_the_test_split_closed(capfd):
    _, out, _ = answer(capfd, "fit", "mlp.digits", *QUICK, "--no_test")
    assert "val_accuracy" in out
    assert "test_accuracy" not in out


@pytest.mark.slow
def test_interrupted_fit_goes_on_to_the_same_weights(capfd):
    settings = ["--model.dropout", "0.5"]
    assert answer(capfd, "fit", "mlp.digits", "--trainer.max_epochs", "4", *settings)[0] == 0
    whole = torch.load("runs/mlp.digits/version_0/checkpoints/last.ckpt", weights_only=True)
    # A run killed in its third epoch: what is left is the last checkpoint, of the second.
    code = f"""
import os
from zoo import base, cli
kept = base.ZooModule.on_train_epoch_start
def kill(self):
    kept(self)
    if self.current_epoch == 2:
        os._exit(9)
base.ZooModule.on_train_epoch_start = kill
cli.main({["fit", "mlp.digits", "--trainer.max_epochs", "4", *settings]!r})
"""
    assert run_python("-c", code, cwd=Path.cwd()).returncode == 9
    words = ["fit", "mlp.digits", "--trainer.max_epochs", "4", *settings, "--ckpt_path", "last"]
    assert answer(capfd, *words)[0] == 0
    resumed = torch.load("runs/mlp.digits/version_1/checkpoints/last.ckpt", weights_only=True)
    assert resumed["epoch"] == whole["epoch"] == 3
    assert all(torch.equal(value, resumed["state_dict"][key]) for key, value in whole["state_dict"].items())
    assert not Path("runs/mlp.digits/version_2").exists()


def test_own_recipe_file(capfd):
    recipe = {
        "model": {"name": "logistic_regression"},
        "data": {"name": "digits"},
        "trainer": {"max_epochs": 1},
    }
    Path("mine.yaml").write_text(yaml.safe_dump(recipe))
    status, out, _ = answer(capfd, "fit", "mine.yaml")
    assert status == 0
    assert "test_accuracy" in out
    assert Path("runs/mine/version_0/checkpoints/best.ckpt").exists()


def bad_recipe(content: str) -> str:
    Path("bad.yaml").write_text(content)
    return "bad.yaml"


BAD = {
    "no such command": (["fti", "mlp.digits"], "'fti'", "fit"),
    "no such recipe": (["fit", "mlp.digts"], "'mlp.digts'", "mlp.digits"),
    "no such model": (["info", "mpl"], "'mpl'", "mlp"),
    "no such option": (["fit", "mlp.digits", "--modle.lr", "1"], "'--modle.lr'", "--model.X"),
    "misspelt hyper-parameter": (["fit", "mlp.digits", "--model.hiden_dims", "3"], "'hiden_dims'", "hidden_dims"),
    "misspelt data option": (["fit", "mlp.digits", "--data.batchsize", "3"], "'batchsize'", "batch_size"),
    "misspelt trainer flag": (["fit", "mlp.digits", "--trainer.max_epoch", "3"], "'max_epoch'", "max_epochs"),
    "wrong type": (["fit", "mlp.digits", "--model.lr", "fast"], "'fast'", "float"),
    "wrong type of a list": (["fit", "mlp.digits", "--model.hidden_dims", "wide"], "'wide'", "list"),
    "no value": (["fit", "mlp.digits", "--model.lr"], "--model.lr", "value"),
    "no such optimizer": (["fit", "mlp.digits", "--model.optimizer", "adm"], "'adm'", "adam"),
    "no such schedule": (["fit", "mlp.digits", "--model.schedule", "cosin"], "'cosin'", "cosine"),
    "no such activation": (["fit", "mlp.digits", "--model.activation", "rleu"], "'rleu'", "relu"),
    "negative lr": (["fit", "mlp.digits", "--model.lr", "-1"], "-1", "lr"),
    "batch of none": (["fit", "mlp.digits", "--data.batch_size", "0"], "0", "at least 1"),
    "batch too large": (["fit", "mlp.digits", "--data.batch_size", "9999"], "9999", "1257"),
    "validation too large": (["fit", "mlp.digits", "--data.val_size", "9999"], "9999", "1427"),
    "no such checkpoint": (["test", "mlp.digits", "--ckpt_path", "no.ckpt"], "no.ckpt", "no such"),
    "no run to go on": (["fit", "mlp.digits", "--ckpt_path", "last"], "last", "zoo fit"),
    "no such file": (["fit", "no.yaml"], "no.yaml", "zoo list"),
    "not YAML": (["fit", "bad.yaml"], "bad.yaml, line 2:", "not a YAML file"),
    "no such picture": (["predict", "cnn.mnist", "no.png"], "no.png", "no such file"),
    "no picture": (["predict", "cnn.mnist", "text.png"], "text.png", "not a picture"),
    "empty folder": (["predict", "cnn.mnist", "empty"], "empty", "folder"),
    "output of another kind": (["predict", "cnn.mnist", "a.png", "--output", "a.txt"], "a.txt", ".csv or .json"),
    "output nowhere": (["predict", "cnn.mnist", "a.png", "--output", "no/a.csv"], "no/a.csv", "folder"),
    "no seeds": (["verify", "mlp.digits", "--seeds", "0"], "0", "at least 1"),
    "too few seeds to publish": (["verify", "mlp.digits", "--seeds", "1", "--publish"], "1", "5 seeds"),
    "settings where none are": (["verify", "mlp.digits", "--model.lr", "1"], "--model.lr", "zoo fit"),
    "nan": (["fit", "mlp.digits", "--model.optimizer", "sgd", "--model.lr", "1e30"], "train_loss", "lower lr"),
    "no mnist": (["fit", "mlp.mnist", "--data.root", "empty"], "train-images-idx3-ubyte", "download it from"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_status_2(capfd, case, monkeypatch):
    Path("text.png").write_text("no picture")
    Path("bad.yaml").write_text("model: {}\nseed: ]\n")
    Path("empty").mkdir()
    monkeypatch.setattr(pooch, "retrieve", no_server)
    words, value, hint = BAD[case]
    status, _, err = answer(capfd, *words)
    assert status == 2
    lines = [line for line in err.splitlines() if line.startswith("zoo: error:")]
    assert len(lines) == 1
    assert "Traceback" not in err
    assert value in lines[0]
    assert hint in lines[0]


def test_a_damaged_file_costs_no_other_its_answer(capfd):
    Path("text.png").write_text("no picture")
    Path("notes.txt").write_text("no picture")
    Image.new("L", (28, 28), 255).save("white.png")
    status, out, err = answer(capfd, "predict", "cnn.mnist", ".", "--output", "answers.json")
    assert status == 2
    assert [row["input"] for row in json.loads(Path("answers.json").read_text())] == ["white.png"]
    assert out == "1 answers in answers.json\n"
    left, failed = err.splitlines()
    assert left.startswith(".: 1 of 3 files left out, not .")
    assert failed.startswith("zoo: error: 1 of 2 inputs have no answer: text.png is not a picture")


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        ("model: {name: mlp}", "'data'"),
        ("model: {name: mlp\n", "line"),
        ("modle: {name: mlp}", "model"),
        ("just words", "sections"),
        ("model: {name: mpl}\ndata: {name: digits}", "mlp"),
        ("model: {name: mlp}\ndata: {name: digit}", "digits"),
        ("model: {name: mlp, args: {lr: fast}}\ndata: {name: digits}", "'fast'"),
    ],
)
def test_bad_recipe_is_one_line(capfd, content, hint):
    status, _, err = answer(capfd, "fit", bad_recipe(content))
    assert status == 2
    assert len(err.strip().splitlines()) == 1
    assert hint in err


def test_checkpoints_of_another_kind(capfd):
    assert answer(capfd, "fit", "perceptron.and", *QUICK)[0] == 0
    other = "runs/perceptron.and/version_0/checkpoints/best.ckpt"
    Path("junk.ckpt").write_bytes(b"junk")
    torch.save({"weights": torch.zeros(2)}, "bare.ckpt")
    assert answer(capfd, "fit", "mlp.digits", *QUICK, "--model.hidden_dims", "[16]")[0] == 0
    for words, hint in (
        (["test", "mlp.digits", "--ckpt_path", other], "Perceptron"),
        (["fit", "mlp.digits", "--ckpt_path", other], "Perceptron"),
        (["test", "mlp.digits", "--ckpt_path", "junk.ckpt"], "junk.ckpt"),
        (["test", "mlp.digits", "--ckpt_path", "bare.ckpt"], "bare.ckpt"),
        (["fit", "mlp.digits", "--ckpt_path", "last"], "does not fit"),
    ):
        status, _, err = answer(capfd, *words)
        assert status == 2
        assert hint in err
        assert len(err.strip().splitlines()) == 1


def test_unwritable_folder(capfd):
    Path("runs").write_text("a file where the folder should be")
    status, _, err = answer(capfd, "fit", "perceptron.and", *QUICK)
    assert status == 2
    assert "runs" in err
    assert len(err.strip().splitlines()) == 1


def test_predict_reads_pictures_of_any_kind(capfd):
    if not pretrained.weights_path("cnn.digits").exists():
        pytest.skip("cnn.digits has no shipped weights yet")
    data = load_recipe("cnn.digits").datamodule()
    data.setup()
    x, y = data.splits["test"].tensors
    for index in range(20):
        ink = (255 - x[index, 0].float() * 255 / 16).to(torch.uint8).numpy()
        Image.fromarray(ink).resize((96, 96), Image.Resampling.BICUBIC).convert(
            ("RGB", "RGBA", "P", "L")[index % 4]
        ).save(f"{index:02}.png")
    Path("pictures").mkdir()
    for path in Path().glob("*.png"):
        path.rename(Path("pictures") / path.name)
    assert answer(capfd, "predict", "cnn.digits", "pictures", "--output", "answers.json")[0] == 0
    found = json.loads(Path("answers.json").read_text())
    assert [Path(row["input"]).name for row in found] == [f"{index:02}.png" for index in range(20)]
    right = sum(row["class"] == str(int(label)) for row, label in zip(found, y[:20]))
    assert right >= 17
    assert all(0 <= row["probability"] <= 1 for row in found)
    _, out, _ = answer(capfd, "predict", "cnn.digits", "pictures/00.png")
    assert out.split()[:2] == ["pictures/00.png", found[0]["class"]]


def test_an_unexpected_error_is_one_line_and_its_traceback_can_be_shown(capfd, monkeypatch):
    monkeypatch.setitem(cli.COMMANDS, "list", lambda *_: [][1])
    status, out, err = answer(capfd, "list")
    assert (status, out, err) == (2, "", "zoo: error: IndexError: list index out of range (ZOO_DEBUG=1 shows where)\n")
    monkeypatch.setenv("ZOO_DEBUG", "1")
    with pytest.raises(IndexError):
        cli.main(["list"])


MEMORY = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.1 GiB"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"
    ),
    MemoryError(),
)


@pytest.mark.parametrize("error", MEMORY, ids=["cuda", "cpu", "python"])
@pytest.mark.parametrize(
    ("command", "advice"), [("fit", "--data.batch_size"), ("predict", "inputs"), ("verify", "a machine with more")]
)
def test_too_little_memory_is_one_line(monkeypatch, capfd, command, advice, error):
    def fail(*args):
        raise error

    monkeypatch.setitem(cli.COMMANDS, command, fail)
    status, out, err = answer(capfd, command, "mlp.digits", *["x.png"] * (command == "predict"))
    assert (status, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("zoo: error: there is not enough memory")
    assert ("20.00 GiB on the GPU" in line) == ("CUDA" in str(error))
    assert advice in line
