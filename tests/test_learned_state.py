"""What a model learned about its data travels with it: another seed, more rows or an edited recipe change no figure."""

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import answer, need_files, quiet_trainer, run_python
from PIL import Image
from small_texts import TEXTS, small_text, write_texts

import datamodules
import zoo
from datamodules.splits import stable_split
from datamodules.text.vocabulary import vocabulary_from_json
from zoo.recipes import load_recipe
from zoo.training.checkpoints import load_checkpoint, read_checkpoint

SOURCES = datamodules.list_datamodules()
QUICK = ("breast_cancer", "image_folder", "text_table")
SMALL = {"embedding_dim": 4, "hidden_dim": 4}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Write small files of texts and pictures."""
    root = write_texts(tmp_path_factory.mktemp("files"))
    draw = np.random.default_rng(0)
    for name in ("cat", "dog", "owl"):
        (root / "pictures" / name).mkdir(parents=True)
        for k in range(20):
            pixels = draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / "pictures" / name / f"{k}.png")
    return root


def make(name, files, **args):
    if name in TEXTS:
        return small_text(name, files, **args)
    if name == "image_folder":
        args = {"root": str(files / "pictures"), "image_size": 8, **args}
    return need_files(datamodules.create_datamodule(name, **{"batch_size": 5 - (name == "boolean"), **args}))


def suitable(data):
    """Return a small model for a datamodule."""
    spec = data.spec
    task = {
        "aeslc": "lstm_language_model",
        "aeslc_subjects": "lstm_seq2seq",
        "atis": "lstm_tagger",
        "flickr8k_captions": "lstm_captioner",
        "fra_eng": "lstm_seq2seq",
        "geoquery": "lstm_seq2seq",
        "mitbih": "ecg_classifier",
        "snips": "lstm_tagger",
        "tinyshakespeare": "lstm_language_model",
    }
    name = "lstm_classifier" if data.name in TEXTS else "mlp" if "num_classes" in spec else "deep_autoencoder"
    name, small = task.get(data.name, name), {**SMALL, "hidden_dims": [8], "latent_dim": 2, "width": 4}
    if name == "lstm_captioner":
        small["hidden_dims"] = [8] * 5  # a stage halves the map, to each position of which it attends
    known = zoo.model_info(name)["parameters"]
    return zoo.create_model(name, **{key: value for key, value in {**spec, **small}.items() if key in known})


def figures(model, data, **settings):
    vocabulary_from_json.cache_clear()
    return quiet_trainer(limit_test_batches=2, **settings).test(model, datamodule=data, verbose=False)[0]


def fitted(model, data):
    quiet_trainer(max_epochs=1, limit_train_batches=2, limit_val_batches=1).fit(model, data)
    return model


@pytest.mark.parametrize(
    "name",
    [each if each in QUICK else pytest.param(each, marks=pytest.mark.slow) for each in SOURCES],
)
def test_another_seed_gives_the_figures_of_the_fit(name, files):
    data = make(name, files)
    model = fitted(suitable(data), data)
    found = figures(model, data)
    other = make(name, files, seed=1)
    assert figures(model, other) == found
    prepared = make(name, files, seed=2)
    prepared.setup()  # which learns from its own training rows
    assert figures(model, prepared) == found
    rows = [each.row_keys("test").tolist() for each in (data, other, prepared)]
    assert rows[0] == rows[1] == rows[2]


@pytest.mark.slow
@pytest.mark.parametrize("name", zoo.list_models())
def test_every_model_meets_the_data_of_another_seed(name, elsewhere):
    recipes = map(load_recipe, zoo.list_recipes(f"{name}.*"))
    recipe = next(each for each in recipes if each.shipped_weights != "none")  # the e-mails take minutes
    need_files(recipe.datamodule())
    small = {"max_epochs": 1, "limit_train_batches": 1, "limit_val_batches": 1, "enable_checkpointing": False}
    model, data, trainer = recipe.build(
        trainer={**small, "logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    )
    trainer.fit(model, data)
    found = figures(model, data)
    assert figures(model, recipe.datamodule(seed=1)) == found


def rows_of_table(n, seed, labels=("bad", "good")):
    draw = random.Random(seed)
    words = [["dull", "empty", "awful"], ["warm", "lovely", "bright"]]
    return [
        f"film {draw.randrange(10**6)} is {' and '.join(draw.choices(words[k % 2], k=2))}\t{labels[k % 2]}\n"
        for k in range(n)
    ]


def write_recipe(path="own.yaml", table="table.tsv", data=None, model=None):
    Path(table).write_text("text\tlabel\n" + "".join(rows_of_table(120, 0)))
    content = {
        "model": {"name": "lstm_classifier", "args": {**SMALL, "lr": 0.01, **(model or {})}},
        "data": {"name": "text_table", "args": {"root": table, "vocab_size": 320, **(data or {})}},
        "trainer": {"max_epochs": 1, "enable_model_summary": False, "enable_progress_bar": False},
    }
    Path(path).write_text(yaml.safe_dump(content))


def table_of(out):
    return {words[0]: words[1] for line in out.splitlines() if len(words := line.split()) >= 2}


@pytest.mark.slow
def test_settings_that_the_model_fixes_are_refused_and_others_change_nothing(capfd, elsewhere):
    write_recipe()
    status, out, _ = answer(capfd, "fit", "own.yaml")
    assert status == 0
    found = table_of(out)
    words = ["test", "own.yaml", "--ckpt_path", "best"]
    for more in ([], ["--data.seed", "1"], ["--data.batch_size", "7"], ["--data.vocab_size", "320"]):
        status, out, err = answer(capfd, *words, *more)
        assert (status, err) == (0, "")
        assert table_of(out)["test_loss"] == found["test_loss"], more
    for name, value in {"vocab_size": "330", "max_length": "3", "lowercase": "false"}.items():
        status, _, err = answer(capfd, *words, f"--data.{name}", value)
        assert status == 2
        assert f"--data.{name}: the model was trained with" in err
        assert len(err.splitlines()) == 1
    status, _, err = answer(capfd, *words, "--data.test_size", "60")
    assert status == 0
    assert "were trained on" in err
    assert len(err.splitlines()) == 1


@pytest.mark.slow
def test_a_new_process_a_grown_table_and_an_edited_recipe(capfd, elsewhere):
    write_recipe()
    status, out, _ = answer(capfd, "fit", "own.yaml")
    found = table_of(out)["test_loss"]
    run = run_python("-m", "zoo", "test", "own.yaml", "--ckpt_path", "best", "--data.seed", "3")
    assert table_of(run.stdout)["test_loss"] == found
    write_recipe(data={"vocab_size": 330, "test_size": 20}, model={"lr": 0.02, "hidden_dim": 8})
    status, out, err = answer(capfd, "test", "own.yaml", "--ckpt_path", "best")
    assert status == 0
    assert table_of(out)["test_loss"] == found
    assert len(err.splitlines()) == 1
    for part in ("model.hidden_dim is 4, not 8", "data.vocab_size is 320, not 330", "data.test_size is None, not 20"):
        assert part in err
    write_recipe()
    with open("table.tsv", "a") as table:
        table.writelines(rows_of_table(60, 1))
    status, out, err = answer(capfd, "test", "own.yaml", "--ckpt_path", "best")
    assert status == 0
    assert len(err.splitlines()) == 1
    assert "0 of them were trained on, and 0 of the fit's" in err
    tokenizer = read_checkpoint("runs/own/version_0/checkpoints/last.ckpt")["hyper_parameters"]["tokenizer"]
    status, out, err = answer(capfd, "fit", "own.yaml", "--ckpt_path", "last", "--trainer.max_epochs", "2")
    assert status == 0
    assert "the test rows are not those of the fit" in err
    resumed = read_checkpoint("runs/own/version_0/checkpoints/last.ckpt")
    assert resumed["hyper_parameters"]["tokenizer"] == tokenizer
    assert resumed["epoch"] == 1
    text = Path("table.tsv").read_text()
    Path("table.tsv").write_text(text.replace("\tbad\n", "\tpoor\n"))
    for words in (["test", "own.yaml"], ["fit", "own.yaml", "--trainer.max_epochs", "3"]):
        status, _, err = answer(capfd, *words, "--ckpt_path", "last")
        assert status == 2
        assert "the model does not know the class 'poor': it knows 'bad', 'good'" in err
        assert len(err.splitlines()) == 1
    good = [line for line in text.splitlines() if not line.endswith("\tbad")]
    Path("table.tsv").write_text("\n".join(good) + "\n")
    status, _, err = answer(capfd, "test", "own.yaml", "--ckpt_path", "last")
    assert status == 0
    assert "no row is of the class 'bad'" in err


def test_classes_are_matched_by_name(files, tmp_path):
    data = make("text_table", files)
    model = fitted(suitable(data), data)
    found = figures(model, data)
    text = (files / "table.tsv").read_text()
    other = datamodules.create_datamodule("text_table", root=str(tmp_path / "table.tsv"), val_size=40, vocab_size=320)
    (tmp_path / "table.tsv").write_text(text)
    swapped = zoo.create_model("lstm_classifier", **{**model.hparams, "class_names": ["good", "bad"]})
    state = {name: value.clone() for name, value in model.state_dict().items()}
    last = [name for name, value in state.items() if value.shape[0] == 2]
    swapped.load_state_dict({name: value.flip(0) if name in last else value for name, value in state.items()})
    assert figures(swapped, other)["test_loss"] == pytest.approx(found["test_loss"], rel=1e-5)
    assert figures(model, other) == found  # and back
    with pytest.warns(UserWarning, match="no row is of the class 'fair'"):
        other.adopt({"class_names": ["good", "bad", "fair"]})
    assert set(other.splits["test"].tensors[1].tolist()) == {0, 1}
    with pytest.raises(ValueError, match="does not know the class 'bad'"):
        other.adopt({"class_names": ["good", "fair"]})


def test_rows_are_encoded_anew_only_where_something_differs(files, monkeypatch):
    data = make("text_table", files)
    model = suitable(data)
    data.setup()
    splits = data.splits
    data.adopt(model.hparams)
    assert data.splits is splits
    other = make("text_table", files, seed=5)
    other.setup()
    other.adopt(model.hparams)
    assert other.vocabulary.json == data.vocabulary.json
    same = make("text_table", files)
    same.setup()
    assert torch.equal(other.splits["test"].tensors[0], same.splits["test"].tensors[0])
    monkeypatch.setattr("datamodules.text.vocabulary.Vocabulary.train", None)
    further = make("text_table", files, seed=6)
    figures(fitted(model, further), further)  # learns no vocabulary that it would not use
    assert further.vocabulary.json == model.hparams["tokenizer"]


def test_a_checkpoint_brings_what_it_learned_to_a_model_of_another_vocabulary(files, tmp_path):
    data = make("text_table", files)
    model = suitable(data)
    trainer = quiet_trainer(max_epochs=1, limit_train_batches=2)
    trainer.fit(model, data)
    path = tmp_path / "own.ckpt"
    trainer.save_checkpoint(path)
    found = figures(model, data)
    other = make("text_table", files, seed=5)
    fresh = suitable(other)
    assert fresh.hparams["tokenizer"] != model.hparams["tokenizer"]
    tester = quiet_trainer(limit_test_batches=2)
    assert tester.test(fresh, datamodule=other, ckpt_path=path, weights_only=True, verbose=False)[0] == found
    assert fresh.hparams["tokenizer"] == model.hparams["tokenizer"]
    again = quiet_trainer(max_epochs=2, limit_train_batches=2)
    other, resumed = make("text_table", files, seed=5), suitable(make("text_table", files, seed=5))
    with pytest.warns(UserWarning, match="the val rows are not those of the fit"):
        again.fit(resumed, other, ckpt_path=path, weights_only=True)
    assert other.vocabulary.json == resumed.hparams["tokenizer"] == model.hparams["tokenizer"]
    assert type(model).load_from_checkpoint(path, weights_only=True).rows_seen.keys() == {"train", "val", "test"}


def test_rows_in_a_checkpoint_are_checked(files, tmp_path):
    data = make("text_table", files)
    model, trainer = suitable(data), quiet_trainer(max_epochs=1, limit_train_batches=2)
    trainer.fit(model, data)
    trainer.save_checkpoint(tmp_path / "own.ckpt")
    content = torch.load(tmp_path / "own.ckpt", weights_only=True)
    for rows in (3, {"train": 1}, {part: torch.zeros(2, 2) for part in ("train", "val", "test")}):
        torch.save({**content, "zoo": {**content["zoo"], "rows": rows}}, tmp_path / "bad.ckpt")
        with pytest.raises(ValueError, match="its rows are damaged"):
            load_checkpoint(type(model), tmp_path / "bad.ckpt")


@pytest.mark.parametrize("seed", range(5))
def test_rows_that_are_added_move_no_other(seed):
    labels = torch.randint(3, (90,), generator=torch.Generator().manual_seed(seed))
    keys = [f"{seed} {k}" for k in range(90)]
    rest, taken = stable_split(keys[:60], labels[:60], 0.2, None, 0, "test_size")
    more_rest, more_taken = stable_split(keys, labels, 0.2, None, 0, "test_size")
    assert set(rest) <= set(more_rest)
    assert sorted([*rest, *taken]) == list(range(60))
    assert set(labels[taken].tolist()) == set(labels[rest].tolist()) == {0, 1, 2}
    assert not set(taken) - set(more_taken) - set(more_rest)
    for size in (3, 7, 30, 57):
        _, taken = stable_split(keys[:60], labels[:60], 0.2, size, 0, "test_size")
        assert len(taken) == size


def test_pictures_that_are_added_are_not_taken_for_what_was_trained_on(files, tmp_path):
    shutil.copytree(files / "pictures", tmp_path / "pictures")
    root = str(tmp_path / "pictures")
    data = datamodules.create_datamodule("image_folder", root=root, image_size=8, batch_size=4)
    model = fitted(suitable(data), data)
    found = figures(model, data)
    for k in range(20, 40):
        shutil.copy(tmp_path / "pictures/cat" / f"{k - 20}.png", tmp_path / "pictures/owl" / f"new{k}.png")
    other = datamodules.create_datamodule("image_folder", root=root, image_size=8, batch_size=4)
    with pytest.warns(UserWarning, match="the test rows are not those of the fit"):
        figures(model, other)
    again = datamodules.create_datamodule("image_folder", root=str(files / "pictures"), image_size=8, batch_size=4)
    assert figures(model, again) == found


@pytest.mark.slow
def test_a_run_is_not_resumed_on_other_data(capfd, elsewhere):
    write_recipe()
    assert answer(capfd, "fit", "own.yaml", "--no_test")[0] == 0
    content = yaml.safe_load(Path("own.yaml").read_text())
    shutil.copy(Path("runs/own/version_0/checkpoints/last.ckpt"), "last.ckpt")
    checkpoint = torch.load("last.ckpt", weights_only=True)
    checkpoint["zoo"]["data"] = "sst2"  # all settings are the same, but the name
    torch.save(checkpoint, "last.ckpt")
    words = ["own.yaml", "--ckpt_path", "last.ckpt"]
    status, _, err = answer(capfd, "fit", *words, "--trainer.max_epochs", "2")
    assert status == 2
    assert "it was trained on sst2, the data here are text_table" in err
    assert len(err.splitlines()) == 1
    status, _, err = answer(capfd, "test", *words)
    assert status == 0
    assert "own.yaml names the data text_table, the checkpoint was trained on sst2" in err
    content["data"]["args"]["vocab_size"] = 340
    Path("own.yaml").write_text(yaml.safe_dump(content))
    status, _, err = answer(capfd, "fit", "own.yaml", "--ckpt_path", "last", "--trainer.max_epochs", "2")
    assert status == 2
    assert "--data.vocab_size is 320 in the checkpoint, 340 here" in err


@pytest.mark.slow
def test_settings_that_move_rows_into_the_test_split_are_named(capfd, elsewhere):
    status, _, err = answer(capfd, "test", "mlp.playground_gauss", "--data.train_share", "0.2")
    assert status == 0
    assert "were trained on" in err
    assert answer(capfd, "test", "mlp.playground_gauss", "--data.seed", "4")[2] == ""


def test_no_two_files_share_their_runs(elsewhere, monkeypatch):
    content = yaml.safe_dump({"model": {"name": "mlp"}, "data": {"name": "digits"}})
    Path("a/b").mkdir(parents=True)
    Path("b").mkdir()
    names = ["own.yaml", "a/own.yaml", "b/own.yaml", "a/b/own.yaml", "own.yml", "verify.yaml", "tune.yaml"]
    for name in names:
        Path(name).write_text(content)
    far = load_recipe("a/own.yaml").title
    Path(f"{far}.yaml").write_text(content)  # named as the runs of another file are
    titles = [load_recipe(name).title for name in [*names, f"{far}.yaml"]]
    assert len(set(titles)) == len(titles)
    assert not {"verify", "tune"} & set(titles)
    before = load_recipe("own.yml").title
    Path("own.yaml").unlink()
    assert load_recipe("own.yml").title == before  # whatever lies beside it
    folders = set()
    for folder in ("a", "b"):
        monkeypatch.chdir(folder)
        folders.add(load_recipe("own.yaml").runs.resolve())
        monkeypatch.chdir("..")
    folders |= {load_recipe(name).runs.resolve() for name in ("a/own.yaml", "b/own.yaml")}
    assert len(folders) == 4
