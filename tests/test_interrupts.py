"""What is left of a command that a signal, a closed pipe or a full disk ends, and that it can go on."""

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from conftest import ROOT, answer, quiet_trainer, tiny_data

import zoo
from zoo import cli
from zoo.recipes import load_recipe
from zoo.training.interrupts import Terminated, lightning_interrupts, sigterm_raises

LONG = ["--trainer.max_epochs", "2000", "--model.patience", "5000"]


def start(folder, *words):
    """Start the command line in a folder; of a process group of its own."""
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return subprocess.Popen(
        [sys.executable, "-m", "zoo", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(condition, process, seconds=90):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


def end(process):
    try:
        output, errors = process.communicate(timeout=90)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return process.returncode, output, errors


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_fit_with_its_status_and_the_line_that_resumes_it(tmp_path, number):
    process = start(tmp_path, "fit", "mlp.digits", *LONG)
    last = tmp_path / "runs/mlp.digits/version_0/checkpoints/last.ckpt"
    wait_for(last.exists, process)
    process.send_signal(number)
    status, _, errors = end(process)
    assert status == 128 + number
    lines = [line for line in errors.splitlines() if line.startswith("zoo:")]
    assert len(lines) == 1
    assert "Traceback" not in errors
    kept = "runs/mlp.digits/version_0/checkpoints/last.ckpt"
    assert lines[0].endswith(f"`zoo fit mlp.digits {' '.join(LONG)} --ckpt_path {kept}` goes on with it")
    epoch = torch.load(last, weights_only=True)["epoch"]
    words = lines[0].split("`")[1].split()[1:]
    words[words.index("2000")] = str(epoch + 3)
    status, output, errors = end(start(tmp_path, *words))
    assert status == 0, errors
    assert f"epochs {epoch + 3}" in " ".join(output.split())
    assert not (tmp_path / "runs/mlp.digits/version_1").exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_unfinished_verification_is_not_met(tmp_path, number):
    process = start(tmp_path, "verify", "mlp.digits")
    folder = tmp_path / "runs/verify/mlp.digits"
    wait_for(lambda: any(folder.glob("*/seed_*/checkpoints/last.ckpt")), process)
    process.send_signal(number)
    status, output, errors = end(process)
    assert status == 128 + number
    assert errors.splitlines()[-1] == "zoo: zoo verify mlp.digits was interrupted: the same command goes on with it"
    assert "claim" not in output


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_nothing_is_trained(tmp_path, number):
    code = """
import os, sys, time
from zoo import cli
def wait(*_):
    print("ready", flush=True)
    time.sleep(60)
cli.COMMANDS["list"] = wait
sys.exit(cli.main(["list"]))
"""
    command = [sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert errors == "zoo: zoo list was interrupted: nothing is lost, call it again\n"


def test_handlers_are_put_back(capfd):
    for number in (signal.SIGTERM, signal.SIGINT):
        before = signal.getsignal(number)
        cli.main(["list", "perceptron.*"])
        assert signal.getsignal(number) == before
        with pytest.raises((Terminated, KeyboardInterrupt)), sigterm_raises():
            signal.raise_signal(number)
        assert signal.getsignal(number) == before


def test_a_thread_has_no_handlers(capfd):
    statuses = []
    thread = threading.Thread(target=lambda: statuses.append(cli.main(["list", "perceptron.*"])))
    thread.start()
    thread.join()
    assert statuses == [0]


class SignalAt:
    """Raise a signal in the second epoch."""

    def __new__(cls, number):
        from lightning.pytorch.callbacks import Callback

        class Raise(Callback):
            def on_train_epoch_start(self, trainer, model):
                if trainer.current_epoch == 1:
                    signal.raise_signal(number)

        return Raise()


@pytest.mark.parametrize(("number", "error"), [(signal.SIGTERM, Terminated), (signal.SIGINT, KeyboardInterrupt)])
def test_a_signal_leaves_lightning_as_an_exception(number, error):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    model = zoo.create_model("mlp", in_features=6, input_shape=[6], num_classes=3, hidden_dims=[4])
    trainer = quiet_trainer(max_epochs=4, callbacks=[SignalAt(number)])
    with pytest.raises(error), lightning_interrupts():
        trainer.fit(model, tiny_data(model))
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


@pytest.mark.parametrize("words", [["info", "mlp.digits"], ["info", "mlp"], ["list"], ["--help"]])
def test_a_closed_pipe_ends_quietly(tmp_path, words):
    reading, writing = os.pipe()
    os.close(reading)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.run(
        [sys.executable, "-m", "zoo", *words], stdout=writing, stderr=subprocess.PIPE, text=True, env=environment
    )
    os.close(writing)
    assert process.stderr == ""
    assert process.returncode in (0, 141)


def test_a_closed_output_from_the_start(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    line = f"{sys.executable} -m zoo info mlp.digits >&-"
    process = subprocess.run(["sh", "-c", line], stderr=subprocess.PIPE, text=True, env=environment)
    assert (process.returncode, process.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_output_is_one_line(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with open("/dev/full", "w") as full:
        process = subprocess.run(
            [sys.executable, "-m", "zoo", "info", "mlp.digits"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
    assert process.returncode == 2
    assert process.stderr == "zoo: error: No space left on device\n"


# ---- what is on the disk ----


def test_a_full_disk_is_one_line_and_leaves_the_last_checkpoint(elsewhere, capfd, monkeypatch):
    words = ["fit", "perceptron.and", "--trainer.max_epochs", "2"]
    assert answer(capfd, *words)[0] == 0
    folder = Path("runs/perceptron.and/version_0/checkpoints")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    status, _, err = answer(capfd, *words[:3], "9", "--ckpt_path", "last")
    lines = [line for line in err.splitlines() if line.startswith("zoo:")]
    assert status == 2
    assert len(lines) == 1
    assert lines[0].endswith("last.ckpt: No space left on device") or lines[0].endswith(
        "best.ckpt: No space left on device"
    )
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.skipif(os.geteuid() == 0 if hasattr(os, "geteuid") else True, reason="root may write anywhere")
def test_a_read_only_folder_is_one_line(elsewhere, capfd):
    Path("runs").mkdir(mode=0o500)
    status, _, err = answer(capfd, "fit", "perceptron.and")
    assert status == 2
    assert err.startswith("zoo: error: runs/perceptron.and: Permission denied")


def test_a_run_folder_that_vanishes(elsewhere, capfd, monkeypatch):
    import shutil

    from zoo import base

    kept = base.ZooModule.on_train_epoch_start

    def vanish(self):
        kept(self)
        shutil.rmtree("runs", ignore_errors=True)

    monkeypatch.setattr(base.ZooModule, "on_train_epoch_start", vanish)
    status, _, err = answer(capfd, "fit", "perceptron.and", "--trainer.max_epochs", "3")
    assert "Traceback" not in err
    assert status in (0, 2)


@pytest.mark.slow
def test_without_a_home(tmp_path):
    kept = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CACHE_HOME", "USER")}
    run = subprocess.run(
        [sys.executable, "-m", "zoo", "fit", "perceptron.and", "--trainer.max_epochs", "1"],
        cwd=tmp_path,
        env={**kept, "PYTHONPATH": str(ROOT), "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr


def test_checkpoints_are_written_beside_their_target(tmp_path, monkeypatch):
    from zoo.training.checkpoint_io import AtomicCheckpointIO

    target, aside = tmp_path / "sub" / "a.ckpt", tmp_path / "elsewhere.ckpt"
    writer = AtomicCheckpointIO()
    writer.save_checkpoint({"n": 1}, target)
    assert writer.load_checkpoint(target, weights_only=True) == {"n": 1}
    assert [path.name for path in target.parent.iterdir()] == ["a.ckpt"]
    # what a killed process left is written over, and a link is not followed
    target.with_name(".a.ckpt.tmp").write_bytes(b"half")
    aside.write_bytes(b"mine")
    target.unlink()
    target.symlink_to(aside)
    writer.save_checkpoint({"n": 2}, target)
    assert aside.read_bytes() == b"mine"
    assert writer.load_checkpoint(target, weights_only=True) == {"n": 2}
    assert [path.name for path in target.parent.iterdir()] == ["a.ckpt"]
    with pytest.raises(Exception, match="pickle"):
        writer.save_checkpoint({"n": lambda: None}, target)
    assert writer.load_checkpoint(target, weights_only=True) == {"n": 2}


def test_a_recipe_writes_its_checkpoints_so_and_the_users_own_plugins_stay(tmp_path):
    from lightning.pytorch.plugins import MixedPrecision, TorchCheckpointIO

    from zoo.training.checkpoint_io import AtomicCheckpointIO

    recipe = load_recipe("perceptron.and")
    own = TorchCheckpointIO()
    for plugins, expected in (
        (None, AtomicCheckpointIO),
        (own, TorchCheckpointIO),
        ([MixedPrecision("bf16-mixed", "cpu")], AtomicCheckpointIO),
    ):
        settings = {} if plugins is None else {"plugins": plugins}
        trainer = recipe.build(trainer={**settings, "accelerator": "cpu"}, run=tmp_path / "version_0")[2]
        assert type(trainer.strategy.checkpoint_io) is expected


# ---- killed at any moment ----


def kill_after_a_checkpoint(process, folder, draw):
    """Kill a process some time after it wrote a checkpoint, and return whether it was still at work."""

    def written():
        return {(path, path.stat().st_mtime_ns) for path in folder.rglob("*.ckpt") if path.exists()}

    before, limit = written(), time.monotonic() + 60
    while process.poll() is None and time.monotonic() < limit:
        with contextlib.suppress(FileNotFoundError):  # a verified seed's are removed
            if written() - before:
                break
    time.sleep(float(torch.rand((), generator=draw)) * 0.3)
    if process.poll() is not None:
        return False
    os.killpg(process.pid, signal.SIGKILL)
    return True


FAMILIES = {
    "mlp.digits": {},
    "cnn": {"hidden_dims": [4, 8], "depths": [1, 1], "in_channels": 1},
    "logistic_regression": {"in_features": 64, "input_shape": [1, 8, 8]},
    "denoising_autoencoder": {"in_features": 64, "input_shape": [1, 8, 8], "hidden_dims": [16], "latent_dim": 8},
}


def recipe_of(family, folder):
    """Return a recipe of the package, or write one for a model on the digits."""
    if "." in family:
        return family
    data = {"name": "digits", "args": {"batch_size": 64, "batches_per_step": 4}}
    content = {"model": {"name": family, "args": FAMILIES[family]}, "data": data}
    (folder / "own.yaml").write_text(json.dumps(content))
    return "own.yaml"


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_fit_killed_at_any_moment_resumes_to_the_same_weights(tmp_path, family):
    epochs = 12
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        recipe = recipe_of(family, tmp_path / name)
    words = ["fit", recipe, "--trainer.max_epochs", str(epochs), "--no_test"]
    status, _, errors = end(start(tmp_path / "whole", *words))
    assert status == 0, errors
    title = Path(recipe).stem if recipe.endswith(".yaml") else recipe
    checkpoints = f"runs/{title}/version_0/checkpoints"
    runs, kills = tmp_path / "killed" / "runs" / title, 0
    draw = torch.Generator().manual_seed(len(family))
    for _ in range(20):
        kept = list(runs.glob("version_*/checkpoints/last.ckpt"))  # none if it was killed before the first
        resume = ["--ckpt_path", str(kept[0].relative_to(tmp_path / "killed"))] if kept else []
        process = start(tmp_path / "killed", *words, *resume)
        if kills < 3:
            kills += kill_after_a_checkpoint(process, tmp_path / "killed", draw)
        status, _, errors = end(process)
        for path in runs.rglob("*.ckpt"):
            torch.load(path, weights_only=True)
        if status != -signal.SIGKILL:
            break
    over = "the run is over" in errors
    assert status == 0 or over, errors
    whole = torch.load(tmp_path / "whole" / checkpoints / "last.ckpt", weights_only=True)
    (last,) = runs.glob("version_*/checkpoints/last.ckpt")
    resumed = torch.load(last, weights_only=True)
    assert resumed["epoch"] == whole["epoch"] == epochs - 1
    assert all(torch.equal(value, resumed["state_dict"][key]) for key, value in whole["state_dict"].items())
    assert {path.name for path in last.parent.iterdir()} == {"best.ckpt", "last.ckpt"}


@pytest.mark.slow
def test_a_verification_killed_at_any_moment_ends_with_the_same_result(tmp_path):
    recipe = {
        "model": {"name": "mlp", "args": {"hidden_dims": [16], "dropout": 0.3}},
        "data": {"name": "digits", "args": {"batch_size": 64, "batches_per_step": 4}},
        "trainer": {"max_epochs": 10},
        "seeds": 2,
        "claim": [{"metric": "test_accuracy", "at_least": 0.5}],
    }
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "own.yaml").write_text(json.dumps(recipe))
    status, _, errors = end(start(tmp_path / "whole", "verify", "own.yaml"))
    assert status == 0, errors
    draw = torch.Generator().manual_seed(1)
    for kills in range(20):
        process = start(tmp_path / "killed", "verify", "own.yaml")
        if kills < 5:
            kill_after_a_checkpoint(process, tmp_path / "killed", draw)
        status, _, errors = end(process)
        if status != -signal.SIGKILL:
            break
    assert status == 0, errors
    results = [
        json.loads(next((tmp_path / name).rglob("results/own.json")).read_text()) for name in ("whole", "killed")
    ]
    assert results[0]["metrics"] == results[1]["metrics"]


@pytest.mark.parametrize(("number", "status"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_an_interrupt_inside_a_finaliser_is_not_lost(number, status):
    """Python drops an exception inside ``__del__``; the signal is sent again."""
    code = f"""
import os, signal, time
from zoo.training.interrupts import INTERRUPTED, Terminated, sigterm_raises
class Final:
    def __del__(self):
        os.kill(os.getpid(), signal.{number})
        time.sleep(0.01)
try:
    with sigterm_raises():
        final = Final()
        del final
        time.sleep(20)
except KeyboardInterrupt:
    raise SystemExit(INTERRUPTED)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.returncode == status
    assert run.stderr == ""
