"""The search of hyper-parameters: its space, its trials, what it writes, and what it refuses."""

import csv
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, answer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import zoo
from datamodules import DigitsDataModule
from datamodules.base import data_root
from zoo.recipes import load_recipe

optuna = pytest.importorskip("optuna")

from zoo.tuning import sampling, storage, training, workers  # noqa: E402
from zoo.tuning.sampling import GridSampler, lay_grid, make_sampler  # noqa: E402
from zoo.tuning.space import Parameter, check_space  # noqa: E402

LR = {"low": 1e-4, "high": 1e-1, "log": True}
QUICK = {"trainer": {"max_epochs": 1}, "model": {"hidden_dims": [4]}}
SPACE = {"model.lr": LR, "data.batch_size": {"low": 64, "high": 128}, "model.activation": ["relu", "tanh"]}


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def search(space=SPACE, **settings):
    return zoo.tune("mlp.digits", space, **{"trials": 3, "overrides": QUICK, **settings})


def fake(monkeypatch, value=lambda trial: trial.params["model.lr"]):
    """Let the value of a trial be a function, without a training and without figures."""
    monkeypatch.setattr("zoo.tuning.report.draw_figures", lambda *_: [])
    monkeypatch.setattr(
        "zoo.tuning.search.train_trial", lambda recipe, params, seed, folder, trial, prune: value(trial)
    )


# ---- a search ----


def test_a_search_from_the_command_line(capfd, monkeypatch):
    """It trains, never opens the test split, and ends with a recipe that ``zoo fit`` takes."""
    for opening in ("test_dataloader", "predict_dataloader"):
        monkeypatch.setattr(DigitsDataModule, opening, lambda self: pytest.fail("the test split is opened"))
    Path("mine.yaml").write_text("model.lr: {low: 1e-4, high: 1e-1, log: true}\nmodel.hidden_dims: [[4], [8, 4]]\n")
    words = ("--space", "mine.yaml", "--trials", "4", "--trainer.max_epochs", "2", "--no_prune")
    status, out, err = answer(capfd, "tune", "mlp.digits", *words)
    assert status == 0, err
    folder = Path("runs/tune/mlp.digits")
    assert f"next: zoo fit {folder / 'best.yaml'}" in out
    assert "4 trials: 4 complete" in out
    names = ["trials.csv", "best.yaml", "study.journal", "history.png", "slices.png", "parallel_coordinates.png"]
    assert all((folder / name).stat().st_size for name in names)
    rows = list(csv.DictReader((folder / "trials.csv").open()))
    assert len(rows) == 4
    best = min(rows, key=lambda row: float(row["val_loss"]))
    recipe = load_recipe(folder / "best.yaml")
    assert recipe.model["args"]["lr"] == pytest.approx(float(best["model.lr"]))
    assert json.dumps(recipe.model["args"]["hidden_dims"]) == best["model.hidden_dims"]
    assert recipe.trainer == {"max_epochs": 2}
    assert "val_loss" in recipe.note
    assert recipe.claim == load_recipe("mlp.digits").claim
    assert not list(folder.rglob("*.ckpt"))
    for trial in range(4):
        logs = EventAccumulator(str(folder / f"trial_{trial}")).Reload()
        hparams = logs.SummaryMetadata("_hparams_/session_start_info")
        assert b"model.lr" in hparams.plugin_data.content
        (value,) = logs.Scalars("best_val_loss")
        assert value.value == pytest.approx(float(rows[trial]["val_loss"]), rel=1e-5)
    assert answer(capfd, "fit", str(folder / "best.yaml"), "--trainer.max_epochs", "1", "--no_test")[0] == 0


@pytest.mark.parametrize("method", sampling.METHODS)
def test_a_search_is_reproducible_and_goes_on(monkeypatch, method):
    fake(monkeypatch)
    whole = search(method=method, trials=6, study="whole")
    half = []

    def interrupted(trial):
        if len(half) == 3:
            raise KeyboardInterrupt
        half.append(trial.number)
        return trial.params["model.lr"]

    fake(monkeypatch, interrupted)
    with pytest.raises(KeyboardInterrupt):
        search(method=method, trials=6, study="parts")
    fake(monkeypatch)
    parts = search(method=method, trials=6, study="parts")

    def values(found):
        return [t.params for t in found.study.get_trials() if t.state.name == "COMPLETE"]

    assert len(values(parts)) == len(values(whole)) == 6
    assert values(parts)[:3] == values(whole)[:3]
    if method == "grid":
        assert sorted(map(str, values(parts))) == sorted(map(str, values(whole)))
    else:
        assert len(values(search(method=method, trials=8, study="parts"))) == 8


def test_failed_trials_are_recorded_and_the_search_goes_on(monkeypatch, capfd):
    errors = [ValueError("bad\nvalue"), MemoryError(), RuntimeError("CUDA out of memory"), float("nan")]

    def value(trial):
        if trial.number < len(errors):
            if isinstance(errors[trial.number], Exception):
                raise errors[trial.number]
            return errors[trial.number]
        return 1.0

    fake(monkeypatch, value)
    found = search(trials=6)
    rows = list(csv.DictReader((found.folder / "trials.csv").open()))
    assert [row["state"] for row in rows] == ["failed"] * 4 + ["complete"] * 2
    assert [bool(row["error"]) for row in rows] == [True] * 4 + [False] * 2

    fake(monkeypatch, lambda trial: errors[0] and (_ for _ in ()).throw(errors[0]))
    status, _, err = answer(capfd, "tune", "mlp.digits", "--trials", "2", "--study", "none")
    assert status == 2
    assert err.splitlines()[-1].startswith("zoo: error: no trial of 2 has a value; 2 failed")


def test_a_diverged_training_fails(monkeypatch):
    found = search(
        {"model.lr": [1e-3, 1e30]}, method="grid", trials=2, overrides={**QUICK, "model": {"optimizer": "sgd"}}
    )
    assert found.params == {"model.lr": 1e-3}


def test_hopeless_trials_are_pruned():
    """The value reported is that of each validation, and a trial that falls behind stops at once."""
    trial = optuna.trial.create_trial(value=0.0)

    class Judge:
        def __init__(self):
            self.reported = []

        def report(self, value, step):
            self.reported.append((step, value))

        def should_prune(self):
            return len(self.reported) == 2

        def set_user_attr(self, name, value):
            trial.set_user_attr(name, value)

    judge = Judge()
    from zoo.tuning.space import with_settings

    recipe = with_settings(load_recipe("mlp.digits"), {**QUICK, "trainer": {"max_epochs": 5}})
    with pytest.raises(optuna.TrialPruned):
        training.train_trial(recipe, {}, 0, trial=judge)
    assert [step for step, _ in judge.reported] == [1, 2]
    assert trial.user_attrs["epochs"] == 2


# ---- the space ----

WRONG_SPACES = {
    "model.lrr": (LR, "did you mean lr"),
    "lr": (LR, "model.lr"),
    "modle.lr": (LR, "did you mean model"),
    "trainer.max_epoch": ([1], "did you mean max_epochs"),
    "model.lr": ({"low": 0.1, "high": 0.001}, "low 0.1 is not below high 0.001"),
    "model.l2": ({"low": 0.1, "high": 0.1}, "is empty"),
    "model.dropout": ({"low": 0.1, "high": 1.5}, "dropout"),
    "model.weight_decay": ({"low": 0, "high": 1, "log": True}, "above 0"),
    "model.l1": ({"low": float("nan"), "high": 1}, "finite number"),
    "model.clip_norm": ({"low": 1, "high": float("inf")}, "finite number"),
    "model.hidden_dims": ([], "empty list"),
    "model.optimizer": (["adam", "adamm"], "adamm"),
    "model.activation": ({"low": 1, "high": 2}, "activation"),
    "model.batch_norm": ({"low": 0, "high": 1}, "batch_norm"),
    "model.patience": (["many"], "patience"),
    "model.schedule": ("cosine", "list of choices"),
    "model.monitor": (["val_loss", "val_accuracy"], "cannot be searched"),
    "data.batch_size": ({"low": 16.5, "high": 32}, "whole numbers"),
    "data.seed": ([1, 2], "cannot be searched"),
    "trainer.max_epochs": ({"low": 1}, "'high'"),
    "trainer.max_steps": ({"low": 1, "high": 2, "step": 1}, "unknown key"),
    "trainer.precision": ([32, "33"], "33"),
    "model.input_dropout": ([0.1, 0.1], "twice"),
    "data.val_size": ([1], "cannot be searched"),
    "data.batches_per_step": ({"low": "one", "high": 2}, "'one'"),
}


@pytest.mark.parametrize("name", WRONG_SPACES)
def test_a_wrong_space_is_refused_before_the_first_trial(name, monkeypatch):
    fake(monkeypatch, lambda trial: pytest.fail("a trial was run"))
    entry, expected = WRONG_SPACES[name]
    with pytest.raises(ValueError, match=expected) as error:
        search({name: entry})
    assert "\n" not in str(error.value)
    assert not Path("runs").exists()


def test_ranges_take_the_type_of_their_argument():
    space = {
        "model.dropout": {"low": 0, "high": 1e-1},
        "data.batch_size": {"low": 16.0, "high": "64"},
        "trainer.max_epochs": {"low": 1, "high": 3},
        "model.l2": {"low": 0, "high": 1},
    }
    found = {parameter.name: parameter for parameter in check_space(load_recipe("mlp.digits"), space)}
    assert [found[name].whole for name in space] == [False, True, True, False]


@pytest.mark.parametrize("name", [name for name in zoo.list_recipes() if load_recipe(name).tune])
def test_spaces_of_recipes_can_be_read(name):
    recipe = load_recipe(name)
    for entry, value in recipe.tune.items():
        section, _, argument = entry.partition(".")
        assert section in ("model", "data", "trainer")
        assert argument
        assert isinstance(value, (dict, list))


# ---- samplers ----

PLANE = [Parameter("x", 1e-4, 1.0, log=True), Parameter("n", 1, 3, whole=True), Parameter("c", choices=("a", [1]))]


@pytest.mark.parametrize(("trials", "sizes"), [(1, [1, 1, 2]), (8, [2, 2, 2]), (12, [3, 2, 2]), (30, [5, 3, 2])])
def test_a_grid_is_regular(trials, sizes):
    levels = lay_grid(PLANE, trials)
    assert [len(values) for values in levels.values()] == sizes
    sampler = GridSampler(PLANE, trials)
    points = [tuple(point.values()) for point in sampler.points]
    assert len(set(points)) == len(points) == min(trials, int(np.prod(sizes)))
    assert points != [tuple(p.values()) for p in GridSampler(PLANE, trials, seed=1).points] or trials == 1
    for parameter in PLANE[:2]:
        assert all(parameter.low <= level <= parameter.high for level in levels[parameter.name])


def test_many_choices_give_part_of_a_grid():
    space = [Parameter(f"p{number}", choices=tuple(range(10))) for number in range(30)]
    sampler = GridSampler(space, 7)
    assert len({tuple(point.values()) for point in sampler.points}) == 7


LCBENCH = data_root(None) / "yahpo" / "lcbench"


@pytest.mark.parametrize(("tasks", "seeds"), [(3, 2), pytest.param(34, 1, marks=pytest.mark.slow)])
def test_samplers_on_a_surrogate_of_lcbench(tasks, seeds, monkeypatch):
    """Mean regret in validation accuracy after 50 trials over data sets: bayes < random < grid.

    A grid whose levels begin and end with each range has the lowest regret: the best settings of these tasks lie there.
    """
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    from tuning_comparison import from_end_to_end

    runtime = pytest.importorskip("onnxruntime")
    if not (LCBENCH / "model.onnx").is_file():
        pytest.skip("LCBench's surrogate is not there")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(str(LCBENCH / "model.onnx"), options)
    codes = json.loads((LCBENCH / "encoding.json").read_text())["OpenML_task_id"]
    order = ("batch_size", "learning_rate", "momentum", "weight_decay", "num_layers", "max_units", "max_dropout")
    config = {p["name"]: p for p in json.loads((LCBENCH / "config_space.json").read_text())["hyperparameters"]}
    space = [
        Parameter(n, config[n]["lower"], config[n]["upper"], config[n]["log"], config[n]["type"] == "uniform_int")
        for n in order
    ]
    names = [part.name for part in session.get_inputs()]

    def accuracy(code, rows):
        numbers = np.array([[52, *row] for row in rows], np.float32)
        feeds = {}
        for name, part in zip(names, session.get_inputs()):
            whole = "int" in part.type
            feeds[name] = np.full((len(rows), 1), code, np.int32) if whole else numbers
            if len(part.shape) == 1:
                feeds[name] = feeds[name].reshape(-1)
        return session.run(None, feeds)[0][:, 1]

    draw = np.random.default_rng(0)
    every = max(1, len(codes) // tasks)
    regrets = {method: [] for method in (*sampling.METHODS, "grid_ends")}
    spaces = dict.fromkeys(regrets, space)
    ends = from_end_to_end(space, 50)
    spaces["grid_ends"] = [Parameter(name, choices=tuple(levels)) for name, levels in ends.items()]
    for code in [code for task, code in codes.items() if task != "#na#"][::every][:tasks]:
        unit = draw.random((5000, len(space)))
        rows = [
            [low * (high / low) ** u if log else low + (high - low) * u for u, (low, high, log) in zip(row, ends)]
            for row in unit
            for ends in [[(p.low, p.high, p.log) for p in space]]
        ]
        top = accuracy(code, rows).max()
        for method in regrets:
            searched, grid = spaces[method], method.startswith("grid")
            for seed in range(1 if grid else seeds):
                sampler = make_sampler("grid" if grid else method, searched, 50, seed)
                study = optuna.create_study(direction="maximize", sampler=sampler)
                for _ in range(len(sampler.points) if grid else 50):
                    trial = study.ask()
                    study.tell(trial, float(accuracy(code, [[p.suggest(trial) for p in searched]])[0]))
                regrets[method].append(top - study.best_value)
    mean = {method: float(np.mean(values)) for method, values in regrets.items()}
    assert mean["bayes"] < min(mean["random"], mean["grid"]), mean
    assert mean["random"] < mean["grid"] or tasks < 34, mean
    assert mean["grid_ends"] < mean["random"] or tasks < 34, mean


# ---- what is refused ----


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--method", "bayesian"], "did you mean bayes"),
        (["--trials", "0"], "trials takes a whole number of at least 1, not 0"),
        (["--jobs", "-1"], "jobs takes a whole number of at least 1, not -1"),
        (["--seed", "-1"], "seed"),
        (["--study", "../x"], "study takes a name"),
        (["--space", "none.yaml"], "no such file"),
        (["--space", "."], "no such file"),
        (["--storage", "foo://host/db"], "foo"),
        (["--storage", "postgresql+nodriver://u:secret@localhost:1/x"], "storage"),
        (["--storage", "postgresql://u:secret@localhost:1/x"], "does not answer"),
        (["--storage", "sqlite:///none/x.db"], "no folder none"),
        (["--storage", "sqlite://"], "in memory"),
        (["--storage", "none/x.journal"], "no folder none"),
        (["--storage", "."], "is a folder"),
        (["--storage", "text.txt"], "not a journal"),
        (["--storage", "damaged.journal"], "damaged journal, line 2"),
        (["--storage", "://"], "storage"),
        (["--storage", "postgresql://u:secret@localhost:port/x"], "not the URL"),
        (["--model.lrr", "1"], "did you mean lr"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else "",
)
def test_bad_input_gets_one_line(capfd, words, expected, monkeypatch):
    fake(monkeypatch, lambda trial: pytest.fail("a trial was run"))
    Path("text.txt").write_text("hello\n")
    Path("damaged.journal").write_text('{"op_code":0}\nxx\n{"op_code":0}\n')
    status, _, err = answer(capfd, "tune", "mlp.digits", *words)
    assert status == 2
    assert len(err.splitlines()) == 1
    assert expected in err
    assert "secret" not in err


def test_a_recipe_without_a_space_is_refused(capfd):
    status, _, err = answer(capfd, "tune", "cnn.mnist_fast")
    assert status == 2
    assert "--space" in err


@pytest.mark.parametrize(
    "overrides",
    [{"model": {"monitor": "train_loss"}}, {"trainer": {"limit_val_batches": 0}}],
)
def test_a_recipe_without_a_metric_on_validation_is_refused(overrides):
    with pytest.raises(ValueError, match="validation"):
        search(overrides=overrides)


def test_a_recipe_that_trains_on_its_validation_rows_is_refused(monkeypatch):
    fake(monkeypatch)
    with pytest.raises(ValueError, match=r"trains on its validation rows.*--data\.train_on_all false"):
        zoo.tune("mlp.playground_xor", {"model.lr": LR}, trials=1)
    zoo.tune("mlp.playground_xor", {"model.lr": LR}, trials=1, overrides={"data": {"train_on_all": False}})


def test_another_search_in_the_same_storage_is_refused(monkeypatch):
    fake(monkeypatch)
    search(study="one", storage="all.journal")
    search(study="two", storage="all.journal", method="random")
    with pytest.raises(ValueError, match="another method: bayes, not grid"):
        search(study="one", storage="all.journal", method="grid")
    with pytest.raises(ValueError, match="another space"):
        search({"model.lr": LR}, study="one", storage="all.journal")
    with pytest.raises(ValueError, match="another metric"):
        search(study="one", storage="all.journal", overrides={"model": {"monitor": "val_accuracy"}})
    with pytest.raises(ValueError, match="another recipe"):
        zoo.tune("cnn.digits", {"model.lr": LR}, study="one", storage="all.journal", trials=1)


def test_a_folder_that_cannot_be_written_is_refused():
    Path("runs").write_text("")
    with pytest.raises(ValueError, match="cannot be written"):
        search()


def test_processes_that_start_together_make_the_tables_once():
    """Optuna creates its tables without a lock; whoever comes second finds them."""
    barrier, errors = threading.Barrier(6), []

    def start():
        barrier.wait()
        try:
            storage.open_storage("sqlite:///new.db").get_all_studies()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


@pytest.mark.parametrize(("statement", "attempts"), [("CREATE TYPE x", 3), (None, 1)])
def test_only_what_happens_after_connecting_is_tried_again(monkeypatch, statement, attempts):
    from sqlalchemy.exc import OperationalError

    made = []

    def build(*_, **__):
        made.append(1)
        if len(made) < 3:
            raise OperationalError(statement, {}, Exception("it is there already"))
        return "a storage"

    monkeypatch.setattr(optuna.storages, "RDBStorage", build)
    monkeypatch.setattr(storage.time, "sleep", lambda _: None)
    if statement:
        assert storage.open_storage("sqlite:///new.db") == "a storage"
    else:
        with pytest.raises(ValueError, match="it is there already"):
            storage.open_storage("sqlite:///new.db")
    assert len(made) == attempts


def test_a_server_that_never_answers_is_refused(monkeypatch):
    pytest.importorskip("psycopg")
    monkeypatch.setattr(storage, "PATIENCE", 2)
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(ValueError, match="storage") as error:
        storage.open_storage(f"postgresql://u:secret@127.0.0.1:{server.getsockname()[1]}/x")
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)


# ---- journals ----


def test_a_locked_journal_is_refused(monkeypatch, tmp_path):
    import fcntl

    fake(monkeypatch)
    search(storage="x.journal")
    monkeypatch.setattr(storage, "PATIENCE", 0.2)
    with open("x.journal", "rb+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match=r"x\.journal is locked"):
            search(storage="x.journal", trials=4)
    assert len(search(storage="x.journal", trials=4).study.get_trials()) == 4


def test_a_journal_left_by_a_killed_process_goes_on(monkeypatch, capfd):
    """Its lock is stale, and its last line is half written."""
    fake(monkeypatch)
    search(storage="x.journal")
    with open("x.journal", "ab") as file:
        file.write(b'{"op_code":4,"worker_id":"half')
    os.symlink("x.journal", "x.journal.lock")
    monkeypatch.setattr(storage, "PATIENCE", 0.2)
    found = search(storage="x.journal", trials=5)
    assert len(found.study.get_trials()) == 5
    assert "left by a process that was killed" in capfd.readouterr().err
    assert all(json.loads(line) for line in Path("x.journal").read_bytes().splitlines())


# ---- places ----


def test_places_of_dead_processes_are_taken_over(monkeypatch):
    """A trial whose process is gone, or that never had a name, is replaced; one that lives is not."""
    study = optuna.create_study()
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    here, pid = workers.machine(), os.getpid()
    marks = [[here, int(dead.stdout), 1, 0], ["elsewhere", 1, 1, 0], None, [here, pid, workers.process_start(pid), 0]]
    for mark in marks:
        trial = study.ask()
        if mark:
            trial.set_user_attr(workers.WORKER, mark)
    watch = workers.Watch()
    watch.bury_dead(study)
    assert [trial.state.name for trial in study.get_trials()] == ["FAIL", "RUNNING", "RUNNING", "RUNNING"]
    monkeypatch.setattr(workers, "NAMELESS", -1)
    watch.bury_dead(study)
    assert [trial.state.name for trial in study.get_trials()] == ["FAIL", "RUNNING", "FAIL", "RUNNING"]


@pytest.mark.parametrize("method", ["grid", "random"])
def test_threads_that_race_for_places_end_with_as_many(method):
    study = optuna.create_study(sampler=make_sampler(method, PLANE, 12))
    points = []

    def work():
        own = optuna.load_study(
            study_name=study.study_name, storage=study._storage, sampler=make_sampler(method, PLANE, 12)
        )

        def objective(trial):
            points.append([parameter.suggest(trial) for parameter in PLANE])
            time.sleep(0.01)
            return 1.0

        workers.run_trials(own, 12, objective, lambda trials: None)

    threads = [threading.Thread(target=work) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert sum(trial.state.name == "COMPLETE" for trial in study.get_trials()) == 12
    assert len(points) == 12
    if method == "grid":
        assert len(set(map(str, points))) == 12
