"""Senseless values of every flag of ``zoo fit``: it trains, or ends with status 2 and one line."""

import os
from pathlib import Path

import lightning as L
import pytest
import torch
from conftest import answer

from datamodules.registry import find_datamodule
from zoo.arguments import signature
from zoo.registry import find_model

pytestmark = pytest.mark.usefixtures("elsewhere")

QUICK = {
    "trainer.max_epochs": "1",
    "trainer.limit_train_batches": "2",
    "trainer.limit_val_batches": "1",
    "trainer.enable_progress_bar": "false",
    "trainer.enable_model_summary": "false",
}
VALUES = ["-1", "0", "-0.5", "1e30", "nan", "word", "[]", "[-3]", "{}", "{a: 1}", "null", "true", "1000000000000", "''"]
SKIPPED = {
    "trainer.devices": ("true", "1000000000000", "1e30"),  # Lightning starts processes
    "trainer.num_nodes": ("1e30", "1000000000000", "true"),  # and waits for other machines
    "trainer.max_epochs": ("-1", "null", "1000000000000", "1e30"),  # which are served as they are meant: endlessly
    "trainer.fast_dev_run": ("1000000000000",),
}


def check(capfd, flag, value, command="fit"):
    words = {**QUICK, flag: value}
    if command == "test":
        words = {flag: value}
    before = dict(os.environ)
    status, _, err = answer(capfd, command, "mlp.digits", *[f"--{name}={text}" for name, text in words.items()])
    lines = [line for line in err.splitlines() if line.startswith("zoo: error:")]
    assert status in (0, 2), (flag, value, status)
    assert len(lines) == (status == 2), (flag, value, err)
    assert "Traceback" not in err, (flag, value)
    assert len(err) < 2000, (flag, value, err)
    for name in set(os.environ) - set(before):
        del os.environ[name]
    return status


@pytest.mark.slow
@pytest.mark.parametrize("flag", signature(L.Trainer))
def test_any_value_of_a_flag_of_the_trainer(capfd, flag):
    for value in VALUES:
        if value in SKIPPED.get(f"trainer.{flag}", ()) or (
            flag in ("min_epochs", "min_steps") and value in ("1000000000000", "1e30")
        ):
            continue
        check(capfd, f"trainer.{flag}", value)


@pytest.mark.slow
@pytest.mark.parametrize("argument", signature(find_model("mlp").cls))
def test_any_value_of_an_option_of_the_model(capfd, argument):
    for value in VALUES:
        check(capfd, f"model.{argument}", value)


@pytest.mark.slow
@pytest.mark.parametrize("argument", signature(find_datamodule("digits")))
def test_any_value_of_an_option_of_the_data(capfd, argument):
    for value in VALUES:
        check(capfd, f"data.{argument}", value)


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("accelerator", "gpu"),
        ("accelerator", "no_such"),
        ("devices", "0"),
        ("strategy", "no_such"),
        ("callbacks", "RichProgressBar"),
        ("precision", "17"),
        ("limit_val_batches", "0"),
        ("max_steps", "1"),
        ("profiler", "no_such"),
        ("gradient_clip_algorithm", "no_such"),
        ("max_time", "soon"),
    ],
)
@pytest.mark.parametrize("command", ["fit", "test"])
def test_flags_that_cannot_be_honoured(capfd, command, flag, value):
    if value == "gpu" and torch.cuda.is_available():
        pytest.skip("there is one")
    check(capfd, f"trainer.{flag}", value, command)


@pytest.mark.parametrize("seed", ["-1", "x", "1.5", "99999999999999999999", "nan"])
def test_seeds_that_are_none(capfd, seed):
    status, _, err = answer(capfd, "fit", "mlp.digits", "--seed", seed)
    assert status == 2
    assert len(err.splitlines()) == 1
    assert not Path("runs").exists()


def test_a_seed_of_the_data_alone(capfd):
    words = [f"--{name}={value}" for name, value in QUICK.items()]
    assert answer(capfd, "fit", "mlp.digits", "--data.seed", "5", "--no_test", *words)[0] == 0
    content = torch.load("runs/mlp.digits/version_0/checkpoints/last.ckpt", weights_only=True)
    assert content["datamodule_hyper_parameters"]["seed"] == 5


def test_words_that_are_no_numbers_are_said_back(capfd):
    for words in (["verify", "mlp.digits", "--seeds", "x"], ["predict", "cnn.mnist", "a", "--fs", "x"]):
        status, _, err = answer(capfd, *words)
        assert status == 2
        assert "'x'" in err
        assert len(err.splitlines()) == 1


def test_every_command_answers_junk_with_one_line(capfd):
    for command in ("info", "fit", "test", "verify"):
        for name in ("", ".", "..", "a.b", "no.yaml", "\0", "é", "x" * 5000, "runs/x.yaml", "/", "*", "mlp.", ".mlp"):
            status, _, err = answer(capfd, command, name)
            assert status == 2, (command, name)
            assert len(err.splitlines()) == 1, (command, name, err)
