"""Processes that share a study and are killed: the study ends with its number of trials and an intact storage."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT

optuna = pytest.importorskip("optuna")

from zoo.tuning import storage  # noqa: E402

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
TRIALS = 40
WORK = f"""
import random, sys, time
from zoo.tuning import workers
from zoo.tuning.sampling import make_sampler
from zoo.tuning.space import Parameter
from zoo.tuning.storage import open_study
import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)
workers.NAMELESS = 2.0
space = [Parameter("x", 1e-4, 1.0, log=True), Parameter("c", choices=("a", "b"))]

def objective(trial):
    value = space[0].suggest(trial) + len(space[1].suggest(trial))
    for step in range(3):
        trial.report(value, step)
        time.sleep(0.05)
    if trial.number % 7 == 3:
        raise optuna.TrialPruned
    return value

method = sys.argv[2]
sampler = make_sampler(method, space, {TRIALS}, parallel=True)
study = open_study(sys.argv[1], "study", "minimize", {{"method": method}}, sampler, optuna.pruners.NopPruner())
workers.run_trials(study, {TRIALS}, objective, lambda trials: None)
"""


def start(place, method, folder):
    errors = open(folder / "errors.txt", "a")  # noqa: SIM115
    return subprocess.Popen([sys.executable, "-c", WORK, place, method], env=ENVIRONMENT, stderr=errors)


def kill_at_random(place, method, folder, kills=10):
    """Run two processes, kill one at random and start another, several times; return the study at the end."""
    draw = random.Random(0)
    processes = [start(place, method, folder) for _ in range(2)]
    try:
        for _ in range(kills):
            time.sleep(draw.uniform(0.5, 3.0))
            victim = draw.randrange(2)
            processes[victim].send_signal(signal.SIGKILL)
            processes[victim].wait()
            processes[victim] = start(place, method, folder)
        assert [process.wait(timeout=180) for process in processes] == [0, 0], (folder / "errors.txt").read_text()
    finally:
        for process in processes:
            process.kill()
    return optuna.load_study(study_name="study", storage=storage.open_storage(place))


def check(study, method):
    states = [trial.state.name for trial in study.get_trials()]
    assert states.count("COMPLETE") + states.count("PRUNED") == TRIALS
    assert "RUNNING" not in states
    if method == "grid":
        points = [tuple(t.params.values()) for t in study.get_trials() if t.state.name in ("COMPLETE", "PRUNED")]
        assert len(set(points)) == TRIALS


@pytest.mark.slow
@pytest.mark.parametrize("method", ["grid", "bayes"])
def test_two_processes_killed_ten_times_share_a_journal(tmp_path, method):
    place = str(tmp_path / "study.journal")
    check(kill_at_random(place, method, tmp_path), method)
    assert all(json.loads(line) for line in Path(place).read_bytes().splitlines())


@pytest.mark.slow
def test_two_processes_killed_ten_times_share_a_database(tmp_path):
    check(kill_at_random(f"sqlite:///{tmp_path / 'study.db'}", "random", tmp_path), "random")


@pytest.mark.slow
def test_the_command_with_two_jobs_is_killed_and_interrupted(tmp_path):
    """Its processes end with it, and the same command goes on."""
    words = ["tune", "mlp.digits", "--trials", "8", "--jobs", "2", "--trainer.max_epochs", "8", "--model.lr", "0.01"]
    command = [sys.executable, "-m", "zoo", *words]
    journal = tmp_path / "runs" / "tune" / "mlp.digits" / "study.journal"

    def run():
        return subprocess.Popen(command, cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)

    def trials():
        entries = [json.loads(line) for line in journal.read_bytes().splitlines()] if journal.exists() else []
        return sum(entry["op_code"] == 4 for entry in entries)

    for number, status in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 143), (signal.SIGINT, 130)):
        before = trials()
        process = run()
        end = time.monotonic() + 120
        while trials() < before + 3 and process.poll() is None and time.monotonic() < end:
            time.sleep(0.2)
        process.send_signal(number)
        errors = process.communicate(timeout=60)[1]
        assert process.returncode in (status, 0), errors
        if number != signal.SIGKILL and process.returncode:
            assert "the same command goes on with it" in errors
            assert "Traceback" not in errors
    process = run()
    errors = process.communicate(timeout=240)[1]
    assert process.returncode == 0, errors
    study = optuna.load_study(study_name="mlp.digits", storage=storage.open_storage(str(journal)))
    states = [trial.state.name for trial in study.get_trials()]
    assert states.count("COMPLETE") + states.count("PRUNED") == 8


# ---- PostgreSQL ----


@pytest.fixture
def server(tmp_path_factory):
    """Start a PostgreSQL server of its own; return its port."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        pytest.skip("PostgreSQL's programs are not in /usr/lib/postgresql")
    pytest.importorskip("psycopg")
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="zoo-postgres-"))
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if as_user:
        shutil.chown(folder, "postgres")
    (folder / "password").write_text("secret")
    (folder / "password").chmod(0o644)

    def run(program, *words):
        command = [*as_user, programs[-1] / program, *words]
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    data = folder / "data"
    try:
        run("initdb", "-D", data, "-U", "zoo", "-A", "scram-sha-256", f"--pwfile={folder / 'password'}")
        run("pg_ctl", "-D", data, "-w", "-o", f"-p {port} -h 127.0.0.1 -k {folder}", "-l", folder / "log", "start")
        yield port
    finally:
        if (data / "postmaster.pid").exists():
            run("pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.postgres
def test_two_processes_share_a_postgresql_server(server, tmp_path):
    place = f"postgresql://zoo:secret@127.0.0.1:{server}/postgres"
    check(kill_at_random(place, "grid", tmp_path, kills=3), "grid")
    import psycopg

    for number in range(3):  # processes that start together on a new database
        with psycopg.connect(place, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE new_{number}")
        database = place.replace("/postgres", f"/new_{number}")
        code = f"from zoo.tuning.storage import open_storage; open_storage({database!r})"
        started = [subprocess.Popen([sys.executable, "-c", code], env=ENVIRONMENT) for _ in range(4)]
        assert [process.wait(timeout=120) for process in started] == [0] * 4
    for wrong in (place.replace("secret", "wrong"), place.replace("/postgres", "/none")):
        with pytest.raises(ValueError, match="--storage") as error:
            storage.open_storage(wrong)
        assert "\n" not in str(error.value)
        assert "wrong" not in str(error.value)
