"""A run that is resumed is the same run, and one that is over stays as it is."""

import concurrent.futures
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from conftest import ROOT, answer, assert_same, run_python

import zoo
from zoo.recipes import Recipe, load_recipe
from zoo.recipes.fit import fit_recipe
from zoo.verification import verify

pytestmark = pytest.mark.usefixtures("elsewhere")

QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
MODEL = {"hidden_dims": [8], "dropout": 0.2, "lr": 1e-2}


def own_recipe(max_epochs=3, model=None, **data):
    return Recipe(
        "mlp.own",
        {"name": "mlp", "args": {**MODEL, **(model or {})}},
        {"name": "digits", "args": {"batch_size": 64, **data}},
        {**QUIET, "max_epochs": max_epochs},
    )


def last_of(run):
    return run / "checkpoints" / "last.ckpt"


def read(path):
    return torch.load(path, weights_only=True)


def files(folder):
    return {
        path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file() and path.name != "seconds.json"
    }


# ---- the same run ----


def test_a_checkpoint_says_on_what_data_it_was_trained():
    fit = fit_recipe(own_recipe(1, augment={"shift": 1.0}), seed=5)
    saved = read(last_of(fit.run))["datamodule_hyper_parameters"]
    assert saved == {
        "batch_size": 64,
        "val_size": 180,
        "seed": 5,
        "batches_per_step": 1,
        "device_resident": "auto",
        "augment": {"shift": 1.0},
        "train_size": None,
    }
    assert "batch_size" not in (fit.run / "hparams.yaml").read_text()


def test_every_datamodule_says_its_arguments_in_plain_data(tmp_path):
    import datamodules
    from datamodules.registry import find_datamodule

    for name in datamodules.list_datamodules():
        needed = {"image_folder": {"root": tmp_path}, "text_table": {"root": tmp_path}}.get(name, {})
        try:
            data = find_datamodule(name)(seed=3, batch_size=7, **needed)
        except (ValueError, TypeError, FileNotFoundError):
            continue
        assert data.hparams["seed"] == 3
        assert data.hparams["batch_size"] == 7
        assert "root" not in data.hparams
        torch.save(dict(data.hparams), tmp_path / "h.pt")
        assert torch.load(tmp_path / "h.pt", weights_only=True) == dict(data.hparams)


@pytest.mark.slow
@pytest.mark.parametrize("batches_per_step", [1, 4])
def test_a_run_is_resumed_with_its_own_seed(batches_per_step):
    whole = fit_recipe(own_recipe(4, batches_per_step=batches_per_step), seed=3)
    part = fit_recipe(own_recipe(2, batches_per_step=batches_per_step), seed=3)
    resumed = fit_recipe(own_recipe(4, batches_per_step=batches_per_step), resume=last_of(part.run), run=part.run)
    assert resumed.data.seed == 3
    assert_same(read(last_of(whole.run))["state_dict"], read(last_of(part.run))["state_dict"])
    assert whole.metrics == resumed.metrics


@pytest.mark.slow
def test_batches_per_step_may_change():
    whole = fit_recipe(own_recipe(4, batches_per_step=4), seed=3)
    for before, after in ((4, 1), (1, 4)):
        part = fit_recipe(own_recipe(2, batches_per_step=before), seed=3)
        fit_recipe(own_recipe(4, batches_per_step=after), resume=last_of(part.run), run=part.run)
        assert_same(read(last_of(whole.run))["state_dict"], read(last_of(part.run))["state_dict"])
        assert read(last_of(whole.run))["global_step"] == read(last_of(part.run))["global_step"]


DIFFERENT = {
    "--seed": (["--seed", "4"], ["0", "4"]),
    "--data.seed": (["--data.seed", "4"], ["0", "4"]),
    "--model.lr": (["--model.lr", "0.5"], ["0.003", "0.5"]),
    "--model.optimizer": (["--model.optimizer", "sgd"], ["adamw", "sgd"]),
    "--model.hidden_dims": (["--model.hidden_dims", "[3]"], ["[256, 256]", "[3]"]),
    "--model.schedule": (["--model.schedule", "cosine"], ["onecycle", "cosine"]),
    "--model.patience": (["--model.patience", "7"], ["60", "7"]),
    "--data.batch_size": (["--data.batch_size", "33"], ["32", "33"]),
    "--data.val_size": (["--data.val_size", "33"], ["180", "33"]),
    "--data.augment": (["--data.augment", "{shift: 3}"], ["rotate", "3.0"]),
}


def test_other_settings_are_refused_with_both_values(capfd):
    assert answer(capfd, "fit", "mlp.digits", "--trainer.max_epochs", "1", "--no_test")[0] == 0
    before = files("runs")
    for option, (words, values) in DIFFERENT.items():
        status, _, err = answer(capfd, "fit", "mlp.digits", "--trainer.max_epochs", "2", "--ckpt_path", "last", *words)
        assert status == 2
        assert len(err.splitlines()) == 1
        expected = "--seed" if option == "--data.seed" else option
        assert expected in err
        assert all(value in err for value in values), err
    assert files("runs") == before
    words = ["--data.root", "elsewhere", "--data.device_resident", "no", "--trainer.max_epochs", "2", "--seed", "0"]
    assert answer(capfd, "fit", "mlp.digits", "--ckpt_path", "last", "--no_test", *words)[0] == 0
    assert [path.name for path in Path("runs/mlp.digits").iterdir()] == ["version_0"]


def test_a_checkpoint_without_the_newer_keys_is_resumed():
    fit = fit_recipe(own_recipe(2))
    content = read(last_of(fit.run))
    for key in [key for key in content if key.startswith("datamodule")]:
        del content[key]
    torch.save(content, last_of(fit.run))
    assert fit_recipe(own_recipe(3), resume=last_of(fit.run), run=fit.run).epochs == 3


@pytest.mark.parametrize(
    ("section", "name", "other"),
    [("data", "train_size", 300), ("data", "augment", {"shift": 1.0}), ("model", "l1", 0.1)],
)
def test_a_setting_that_an_older_checkpoint_lacks_was_as_it_is_by_default(section, name, other):
    fit = fit_recipe(own_recipe(1))
    content = read(last_of(fit.run))
    del content[{"data": "datamodule_hyper_parameters", "model": "hyper_parameters"}[section]][name]
    torch.save(content, last_of(fit.run))
    changed = {name: other} if section == "data" else {"model": {name: other}}
    with pytest.raises(ValueError, match=rf"does not fit: --{section}\.{name} is .* in the checkpoint"):
        fit_recipe(own_recipe(2, **changed), resume=last_of(fit.run), run=fit.run)
    assert fit_recipe(own_recipe(2), resume=last_of(fit.run), run=fit.run).epochs == 2


# ---- a run that is over ----


def test_a_run_that_early_stopping_ended_is_over():
    recipe = own_recipe(30, model={"lr": 1e-30, "optimizer": "sgd", "patience": 2})
    fit = fit_recipe(recipe)
    assert fit.epochs == 3
    before = files(fit.run)
    for epochs in (30, 100):
        longer = own_recipe(epochs, model={"lr": 1e-30, "optimizer": "sgd", "patience": 2})
        with pytest.raises(ValueError, match=r"last\.ckpt: the run is over: early stopping ended it after 3 epochs"):
            fit_recipe(longer, resume=last_of(fit.run), run=fit.run)
    assert files(fit.run) == before
    again = fit_recipe(recipe, resume=last_of(fit.run), run=fit.run, accept_finished=True)
    assert again.epochs == 3
    assert again.seconds == fit.seconds
    assert again.checkpoint == Path("runs/mlp.own/version_0/checkpoints/best.ckpt")
    assert_same(again.model.state_dict(), fit.model.state_dict())
    assert files(fit.run) == before


def test_a_run_that_has_its_epochs_goes_on_only_to_more(capfd):
    words = ["fit", "mlp.digits", "--no_test", "--trainer.max_epochs"]
    assert answer(capfd, *words, "2")[0] == 0
    before = files("runs")
    for fewer in ("1", "2"):
        status, _, err = answer(capfd, *words, fewer, "--ckpt_path", "last")
        assert status == 2
        assert err.endswith(
            f"the run is over: it has trained 2 of {fewer} epochs; a larger --trainer.max_epochs goes on\n"
        )
    assert files("runs") == before
    assert answer(capfd, *words, "3", "--ckpt_path", "last")[0] == 0
    assert read("runs/mlp.digits/version_0/checkpoints/last.ckpt")["epoch"] == 2


def test_a_run_that_has_its_updates_is_over():
    recipe = Recipe("mlp.own", own_recipe().model, own_recipe().data, {**QUIET, "max_epochs": 9, "max_steps": 40})
    fit = fit_recipe(recipe)
    with pytest.raises(ValueError, match="the run is over: it has made 40 of 40 updates"):
        fit_recipe(recipe, resume=last_of(fit.run), run=fit.run)


def test_any_other_checkpoint_starts_a_new_run(capfd):
    words = ["fit", "mlp.digits", "--no_test", "--trainer.max_epochs"]
    assert answer(capfd, *words, "2")[0] == 0
    before = files("runs/mlp.digits/version_0")
    assert answer(capfd, *words, "3", "--ckpt_path", "best")[0] == 0
    assert files("runs/mlp.digits/version_0") == before
    assert Path("runs/mlp.digits/version_1/checkpoints/last.ckpt").exists()
    whole = Path("runs/mlp.digits/version_0").resolve() / "checkpoints/last.ckpt"
    assert answer(capfd, *words, "3", "--ckpt_path", str(whole))[0] == 0
    assert read(whole)["epoch"] == 2


def test_a_verification_interrupted_after_its_training_ends_with_the_same_result(monkeypatch):
    import zoo.verification as verification

    recipe = own_recipe(2)
    lines = []
    kept = verification.evaluate_recipe

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(verification, "evaluate_recipe", interrupt)
    with pytest.raises(KeyboardInterrupt):
        verify(recipe, say=lines.append)
    monkeypatch.setattr(verification, "evaluate_recipe", kept)
    found = verify(recipe, say=lines.append)
    whole = fit_recipe(recipe, seed=0)
    assert found["metrics"]["test_accuracy"]["mean"] == verification.evaluate(whole.model, whole.data)["test_accuracy"]


@pytest.mark.parametrize("content", ["", "{", "[]", "5", '{"metrics": {}}'])
def test_a_damaged_measurement_is_one_line(content):
    recipe = own_recipe(1)
    path = Path("runs/verify/mlp.own") / recipe.configuration / "seed_0.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(ValueError, match=r"seed_0\.json is damaged .*: remove it") as caught:
        verify(recipe, say=str)
    assert "\n" not in str(caught.value)


# ---- the folder of a run ----


@pytest.mark.slow
def test_runs_started_at_once_have_folders_of_their_own(tmp_path):
    words = ["-m", "zoo", "fit", "perceptron.and", "--trainer.max_epochs", "2", "--no_test"]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda _: run_python(*words, cwd=tmp_path), range(4)))
    assert [run.returncode for run in runs] == [0] * 4, runs
    folders = sorted(path.name for path in Path("runs/perceptron.and").iterdir())
    assert folders == [f"version_{number}" for number in range(4)]
    assert all(last_of(Path("runs/perceptron.and") / name).exists() for name in folders)
    named = [next(line for line in run.stdout.splitlines() if line.startswith("logs")).split()[1] for run in runs]
    assert len(set(named)) == 4


def test_a_folder_that_another_process_takes_is_left_to_it(monkeypatch):
    kept, calls = Recipe.build, []

    def build(self, **settings):
        if not calls:  # another process is quicker
            Path("runs/mlp.own/version_0").mkdir(parents=True)
        calls.append(settings["run"])
        return kept(self, **settings)

    monkeypatch.setattr(Recipe, "build", build)
    fit = fit_recipe(own_recipe(1))
    assert fit.run == Path("runs/mlp.own/version_1")
    assert list(Path("runs/mlp.own/version_0").iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        ["--model.lr", "-1"],
        ["--data.batch_size", "9999"],
        ["--trainer.devices", "0"],
        ["--trainer.accelerator", "gpu"],
        ["--model.batch_norm", "true", "--data.batch_size", "1256"],
    ],
)
def test_a_refused_fit_leaves_nothing(capfd, words):
    if words[1] == "gpu" and torch.cuda.is_available():
        pytest.skip("there is one")
    status, _, err = answer(capfd, "fit", "mlp.digits", *words)
    assert status == 2, err
    assert len(err.splitlines()) == 1
    assert not list(Path().glob("runs/*/*"))


def test_files_of_one_name_share_no_runs(monkeypatch):
    content = yaml.safe_dump({"model": {"name": "mlp"}, "data": {"name": "digits"}})
    places = ["own.yaml", "a/own.yaml", "b/own.yaml", "a/b/own.yaml", "own.yml", "mlp.digits.yaml"]
    for place in places:
        Path(place).parent.mkdir(parents=True, exist_ok=True)
        Path(place).write_text(content)
    titles = {place: load_recipe(place).title for place in places}
    assert titles["own.yaml"] == "own"
    assert len(set(titles.values())) == len(places)
    assert "mlp.digits" not in titles.values()
    assert all(title.startswith(Path(place).stem) for place, title in titles.items())
    assert (
        load_recipe("./a/../a/own.yaml").title
        == load_recipe(Path("a/own.yaml").resolve()).title
        == titles["a/own.yaml"]
    )
    assert [load_recipe(name).title for name in zoo.list_recipes("mlp.*")] == zoo.list_recipes("mlp.*")


def test_the_module_runs_without_being_installed():
    run = subprocess.run([sys.executable, "-m", "zoo", "--help"], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0
    assert "ZOO_DEBUG=1" in run.stdout


def test_other_settings_of_the_trainer_are_refused(capfd):
    words = ["fit", "mlp.digits", "--no_test", "--trainer.max_epochs", "1", "--data.batches_per_step", "1"]
    assert answer(capfd, *words, "--trainer.gradient_clip_val", "0.5")[0] == 0
    more = [*words[:3], "--trainer.max_epochs", "2", "--data.batches_per_step", "1", "--ckpt_path", "last"]
    for other in ([], ["--trainer.gradient_clip_val", "1"], ["--trainer.precision", "bf16-true"]):
        status, _, err = answer(capfd, *more, *other)
        assert status == 2
        assert "--trainer." in err
        assert len(err.splitlines()) == 1
    assert answer(capfd, *more, "--trainer.gradient_clip_val", "0.5")[0] == 0


def test_a_strategy_that_forks_is_refused(capfd):
    status, _, err = answer(capfd, "fit", "mlp.digits", "--trainer.strategy", "ddp_notebook", "--trainer.devices", "2",
                            "--trainer.accelerator", "cpu")  # fmt: skip
    assert status == 2
    assert "use ddp_spawn" in err
    assert len(err.splitlines()) == 1


def test_answers_do_not_replace_the_checkpoint_they_come_from(capfd):
    assert answer(capfd, "fit", "mlp.digits", "--no_test", "--trainer.max_epochs", "1")[0] == 0
    last = next(Path().glob("runs/*/*/checkpoints/last.ckpt"))
    kept = Path("own.csv")
    kept.write_bytes(last.read_bytes())
    Path("digit.png").write_bytes(b"")
    status, _, err = answer(
        capfd, "predict", "mlp.digits", "digit.png", "--ckpt_path", "own.csv", "--output", "own.csv"
    )
    assert status == 2
    assert "would overwrite own.csv" in err
    assert kept.read_bytes() == last.read_bytes()
