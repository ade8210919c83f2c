"""Tests of the benchmark script: its table, its errors, and a small run of each kind of epoch."""

import importlib
import subprocess
import sys
from pathlib import Path

import pooch
import pytest
import torch
from conftest import need_files, no_server

from datamodules import MNISTDataModule

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture(scope="module")
def load():
    """Return the function that imports a script by name, while the scripts folder is on ``sys.path``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        yield importlib.import_module


@pytest.fixture(scope="module")
def benchmark(load):
    return load("benchmark")


@pytest.fixture(scope="module")
def contenders(load):
    return load("benchmark_contenders")


def test_parent_imports_no_heavy_package():
    code = f"import sys; sys.path.insert(0, {str(SCRIPTS)!r}); import benchmark; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert not {"numpy", "torch", "lightning", "sklearn", "zoo", "datamodules"} & set(run.stdout.split())


def test_table_shows_medians_ratios_and_whether_goals_are_met(load):
    def runs(*seconds):
        return [{"seconds": [s], "imports_mib": 100.0, "peak_mib": 200.0} for s in seconds]

    results = {"epoch/mlp/loop": runs(1.0, 2.0, 3.0), "epoch/mlp/zoo": runs(1.0, 2.0, 6.0)}
    results |= {"epoch/mlp/usual_0": runs(30.0), "epoch/mlp/usual_2": runs(10.0)}
    lines = load("benchmark_report").table({"device": "cpu", "results": results})
    assert lines[2].startswith("| epoch, MLP 784-256-128-10: zoo/loop | zoo 2.000 (1.000-6.000) s, loop 2.000 (")
    assert lines[2].endswith("| 1.00 (1.00-2.00) | ≤ 1.1 | ≤ 1 | aim |")
    assert "usual_2 10.000 s" in lines[3]
    assert lines[3].endswith("| ≥ 7 | ≥ 9 | **no** |")
    assert "peak memory" in lines[4]
    assert len(lines) == 5


@pytest.mark.parametrize("arguments", [["--only", "speed"], ["--rounds", "0"], ["--threads", "-1"]])
def test_bad_option_exits_with_status_2(benchmark, arguments):
    with pytest.raises(SystemExit) as stopped:
        benchmark.main(arguments)
    assert stopped.value.code == 2


def test_failing_worker_is_one_line(benchmark, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(benchmark.Bench, "call", lambda self, name, **job: self.process(["false"], name))
    assert benchmark.main(["--quick", "--output", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "benchmark: prepare ended with status 1: no message\n"


def test_hand_written_loop_and_zoo_time_the_same_epochs(contenders, tmp_path, monkeypatch):
    data = need_files(MNISTDataModule())
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    for path in (data.root / "MNIST" / "raw").iterdir():
        (tmp_path / "MNIST" / "raw" / path.name).symlink_to(path)
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))  # torchvision unpacks files beside the packed ones
    root = contenders.prepare({"folder": str(tmp_path)})["root"]
    job = {"device": "cpu", "folder": str(tmp_path), "root": root, "case": "logistic_regression"}
    job |= {"train": 300, "val": 128, "warm_up": 1, "epochs": 2, "chunk": 2, "workers": 0}
    for contender in (contenders.loop, contenders.zoo):
        assert len(contender(job)["seconds"]) == 2
    assert len(contenders.usual({**job, "epochs": 1})["seconds"]) == 1


# ---- the benchmark on a CUDA device, tried on a CPU ----


@pytest.fixture(scope="module")
def cuda(load):
    return load("benchmark_cuda")


@pytest.fixture
def job(contenders, tmp_path, monkeypatch):
    data = need_files(MNISTDataModule())
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    for path in (data.root / "MNIST" / "raw").iterdir():
        (tmp_path / "MNIST" / "raw" / path.name).symlink_to(path)
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    root = contenders.prepare({"folder": str(tmp_path)})["root"]
    rows = {"train": 600, "val": 256, "warm_up": 1, "epochs": 2, "rounds": 2, "budget": 60}
    return {"device": "cpu", "folder": str(tmp_path), "root": root, **rows}


def test_contenders_on_cuda_take_turns(cuda, job):
    found = cuda.cuda_epoch({**job, "case": "logistic_regression", "compile": False})
    assert found["errors"] == {}
    assert {name: [len(each) for each in rounds] for name, rounds in found["rounds"].items()} == {
        "loop": [2, 2],
        "zoo": [2, 2],
        "zoo_1": [2, 2],
        "usual": [1, 1],
    }


@pytest.mark.slow
def test_compiled_loop_is_timed(cuda, job):
    found = cuda.cuda_epoch({**job, "case": "logistic_regression", "compile": True, "rounds": 1})
    assert found["errors"] == {}
    assert len(found["rounds"]["compiled"][0]) == 2


def test_recipe_is_timed_with_graphs_and_without(cuda, job, monkeypatch):
    found = cuda.cuda_captured({**job, "recipe": "vae.mnist", "rounds": 1, "epochs": 1})
    assert found["errors"] == {}
    assert set(found["rounds"]) == {"captured", "eager"}
    monkeypatch.setattr(pooch, "retrieve", no_server)
    missing = cuda.cuda_captured({**job, "recipe": "ecg_classifier.mitbih", "rounds": 1})
    assert missing["rounds"] == {"captured": [], "eager": []}
    assert all("FileNotFoundError" in error or "ValueError" in error for error in missing["errors"].values())


def test_seconds_to_an_accuracy_are_those_of_each_seed(cuda, job):
    recipe = "logistic_regression.mnist"
    whole = {key: value for key, value in job.items() if key not in ("train", "val")}
    found = cuda.cuda_seconds({**whole, "recipe": recipe, "seeds": 1, "trainer": {"max_epochs": 1}})
    (run,) = found["runs"]
    assert run["accuracy"] > 0.85
    assert found["first"]["seconds"][0] > 0


def test_table_of_a_cuda_device(load):
    def runs(*seconds, **more):
        return [{"seconds": [s], **more} for s in seconds]

    results = {f"epoch/mlp/{name}": runs(s) for name, s in {"loop": 1.0, "compiled": 0.4, "zoo": 0.2}.items()}
    results |= {"captured/vae.mnist/captured": runs(0.1), "captured/vae.mnist/eager": runs(1.0)}
    results |= {"accuracy/zoo": runs(0.4, 0.4, accuracy=0.991), "tokens/zoo": runs(1.0), "tokens/loop": runs(2.0)}
    lines = load("benchmark_report").table({"device": "cuda", "results": results})
    assert [line.split("|")[1].strip() for line in lines[2:]] == [
        "epoch, MLP 784-256-128-10: zoo/loop",
        "epoch, MLP 784-256-128-10: zoo/compiled loop",
        "epoch, vae.mnist: captured/eager",
        "tokens a second, lstm_seq2seq.fra_eng, 16,384 pairs: zoo/loop",
        "99 % on MNIST, seconds",
    ]
    assert [line.split("|")[-2].strip() for line in lines[2:]] == ["yes", "aim", "aim", "aim", "yes"]


# ---- the checks on a CUDA device ----


@pytest.fixture(scope="module")
def checks(load):
    return load("cuda_checks")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_checks_without_a_device_are_one_line(checks, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["cuda_checks.py", "tests", "--output", str(tmp_path / "new")])
    assert checks.main() == 2
    assert capsys.readouterr().err == "cuda_checks: torch finds no CUDA device here\n"
    assert not (tmp_path / "new").exists()


ENDLESS = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print("started")
try:
    time.sleep(60)
except KeyboardInterrupt:
    print("kept")
"""


def test_part_that_takes_too_long_writes_what_it_has(checks, tmp_path):
    assert checks.run([sys.executable, "-c", ENDLESS], tmp_path / "log", 3) == "stopped after 3 s"
    written = (tmp_path / "log").read_text()
    assert "started" in written
    assert "kept" in written
    assert checks.run([sys.executable, "-c", "import zoo"], tmp_path / "log", 60) == "exit status 0"


@pytest.mark.slow
def test_summary_of_the_tests_names_failures(checks, tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTNING_ZOO_TEST_DEVICE", "cpu")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-k 'classify_takes or shared_data'")
    assert checks.run_tests(tmp_path, 120) == "pytest -m gpu: exit status 0; 7 passed, 0 failed, 0 skipped"
