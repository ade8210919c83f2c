"""What TensorBoard is given, when, and that it changes nothing else."""

import copy
import inspect
import json

import lightning as L
import pytest
import torch
from conftest import assert_same, quiet_trainer, state, tiny_data
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from small_texts import small_text, write_texts
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata
from torch import nn
from torch.utils.tensorboard import SummaryWriter

import datamodules
import zoo
from zoo.callbacks import FIGURES, Graph, Histograms, Mistakes, Settings, TensorBoardCallback, Throughput
from zoo.callbacks.graph import positional
from zoo.callbacks.pace import Pace
from zoo.callbacks.settings import flattened
from zoo.recipes.fit import fit_recipe

QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}


def digits(**args):
    return datamodules.create_datamodule("digits", **{"batch_size": 64, "val_size": 200, **args})


def mlp(**args):
    return zoo.create_model("mlp", **{"in_features": 64, "input_shape": [1, 8, 8], "hidden_dims": [16], **args})


def fit(model, data, folder, *callbacks, logger=None, **settings):
    logger = TensorBoardLogger(folder, name="", version="run", default_hp_metric=False) if logger is None else logger
    trainer = quiet_trainer(**{"max_epochs": 2, "logger": logger, "callbacks": list(callbacks), **settings})
    trainer.fit(model, data)
    return trainer


def events(folder):
    return EventAccumulator(str(folder), size_guidance={"images": 0, "scalars": 0, "tensors": 0}).Reload()


def rows(folder):
    """Return the settings that each of the HParams messages of a run has."""
    found = []
    for file in sorted(folder.glob("events*")):
        content = EventAccumulator(str(file)).Reload().summary_metadata
        if metadata.SESSION_START_INFO_TAG in content:
            message = content[metadata.SESSION_START_INFO_TAG].plugin_data.content
            started = metadata.parse_session_start_info_plugin_data(message)
            found.append({name: getattr(value, value.WhichOneof("kind")) for name, value in started.hparams.items()})
        assert metadata.EXPERIMENT_TAG not in content
    return found


COUNTS = [
    (callback, name)
    for callback in FIGURES
    for name, parameter in inspect.signature(callback).parameters.items()
    if name in ("shown", "length", "counted")
]


@pytest.mark.parametrize(("callback", "name"), COUNTS)
@pytest.mark.parametrize("count", [0, -1, 1.5])
def test_counts_of_what_is_drawn_are_at_least_one(callback, name, count):
    with pytest.raises(ValueError, match=f"{name} must be a whole number of at least 1, not {count}"):
        callback(**{name: count})


# ---- off ----


@pytest.mark.parametrize("kind", [lambda _: False, CSVLogger], ids=["none", "csv"])
def test_without_tensorboard_nothing_happens(kind, tmp_path, monkeypatch):
    for name in ("begin", "collect", "draw", "finish"):
        for cls in (TensorBoardCallback, *FIGURES, Settings):
            monkeypatch.setattr(cls, name, lambda *_: pytest.fail("called"))
    model = mlp()
    callbacks = [*zoo.callbacks.default_callbacks(model, tmp_path / "kept"), Histograms()]
    trainer = fit(model, digits(), tmp_path, *callbacks, logger=kind(tmp_path), enable_checkpointing=True, max_epochs=1)
    assert not list(tmp_path.rglob("events*"))
    assert not model._forward_hooks
    assert set(trainer.callback_metrics) == {"train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr"}


def test_a_module_of_no_zoo_and_a_higher_rank_are_passed_over(tmp_path):
    class Plain(L.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(64, 10)

        def training_step(self, batch, _):
            return nn.functional.cross_entropy(self.net(batch[0].flatten(1)), batch[1])

        validation_step = training_step

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    every = [Settings(), Histograms(), *(cls() for cls in FIGURES)]
    fit(Plain(), digits(), tmp_path, *every, max_epochs=1)
    found = events(tmp_path / "run").Tags()
    assert not any(found[kind] for kind in ("images", "graph", "tensors"))
    assert "samples_per_second" not in found["scalars"]
    model = mlp()
    trainer = quiet_trainer(logger=TensorBoardLogger(tmp_path / "other"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(trainer), "is_global_zero", property(lambda _: False))
        assert all(callback.writer(trainer, model) is None for callback in every)


# ---- on, and nothing else changes ----


@pytest.mark.parametrize("batches_per_step", [1, 4])
def test_the_weights_are_the_same_with_and_without(tmp_path, batches_per_step):
    found = []
    for logger in (False, None):
        L.seed_everything(3, verbose=False)
        model = mlp(dropout=0.3, batch_norm=True)
        callbacks = [*zoo.callbacks.default_callbacks(model, tmp_path / "kept"), Histograms()]
        trainer = fit(
            model,
            digits(batches_per_step=batches_per_step),
            tmp_path,
            *callbacks,
            logger=logger,
            enable_checkpointing=True,
            max_epochs=2,
        )
        assert model.run.chunked == (batches_per_step > 1)
        found.append((state(model), torch.get_rng_state(), trainer.callback_metrics["val_loss"]))
    assert_same(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])
    assert found[0][2] == found[1][2]


@pytest.mark.parametrize("name", zoo.list_models())
def test_every_network_has_a_graph_and_stays_as_it_is(name, tmp_path):
    model = zoo.create_model(name).train()
    first = next(module for module in model.net.modules() if not list(module.children()))
    first.eval()  # such as a frozen part
    calls = []
    handle = model.net.register_forward_hook(lambda *_: calls.append(1))
    before, modes = copy.deepcopy(model.state_dict()), [module.training for module in model.modules()]
    random = torch.get_rng_state()
    with SummaryWriter(tmp_path) as writer:
        Graph().begin(model, writer, 0)
    assert events(tmp_path).Tags()["graph"]
    assert_same(before, model.state_dict())
    assert modes == [module.training for module in model.modules()]
    assert torch.equal(random, torch.get_rng_state())
    assert not calls
    assert list(model.net._forward_hooks) == [handle.id]


def test_a_network_that_cannot_be_traced_is_left_out(tmp_path, capfd):
    model = mlp()
    model.net = nn.Sequential(Refusing(), model.net)
    with SummaryWriter(tmp_path) as writer:
        Graph().begin(model, writer, 0)
    assert not events(tmp_path).Tags()["graph"]
    assert capfd.readouterr() == ("", "")


class Refusing(nn.Module):
    def forward(self, x):
        raise RuntimeError("not this")


def test_a_dictionary_is_given_by_position():
    model = zoo.create_model("lstm_seq2seq")
    src, tgt = positional(model.net, model.example_input_array)
    assert (src.shape[1], tgt.shape[1]) == (4, 3)


def test_evaluating_restores_the_mode_of_every_module():
    model = mlp().train()
    model.net[0].eval()
    with model.evaluating():
        assert not any(module.training for module in model.modules())
    assert [model.training, model.net.training, model.net[0].training] == [True, True, False]


# ---- how often ----


def drawn(seconds, cost, epochs, share=0.02, often=False):
    now, pace, found = 0.0, Pace(share, 0.0, often), []
    for epoch in range(1, epochs + 1):
        now += seconds
        if pace.due(now):
            pace.record(now, now + cost)
            now += cost
            found.append(epoch)
    return found


def test_drawing_takes_a_small_share_of_long_epochs():
    assert drawn(6.0, 0.1, 30) == list(range(1, 31))  # 1.7 %
    rare = drawn(6.0, 0.6, 100)
    assert rare[0] == 1
    assert 0.6 * len(rare) <= 0.03 * 600
    assert 0.05 * (len(drawn(0.1, 0.05, 100)) - 1) <= 0.02 * 10
    assert drawn(0.1, 0.05, 30, often=True) == [1, 2, 3, 5, 7, 10, 14, 20, 28]
    assert drawn(0.1, 0.0005, 9) == list(range(1, 10))


@pytest.mark.parametrize("settings", [{"max_epochs": 3}, {"max_epochs": 99, "max_steps": 3 * 20 + 5}])
def test_the_last_validation_is_drawn_however_training_ends(tmp_path, monkeypatch, settings):
    class Note(TensorBoardCallback):
        def __init__(self):
            self.drawn, self.training = [], []

        def draw(self, model, writer, step):
            self.drawn.append(step)
            self.training.append(model.training)

    note = Note()
    monkeypatch.setattr(Pace, "due", lambda pace, now: pace.drawn < 0)
    fit(mlp(), digits(), tmp_path, note, **settings)
    assert note.drawn == [20, 60]
    assert note.training == [False, False]


# ---- scalars ----


@pytest.mark.parametrize("batches_per_step", [1, 4])
def test_samples_a_second_leave_validation_out(tmp_path, batches_per_step, monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr("zoo.callbacks.throughput.time.perf_counter", lambda: float(next(clock)))
    data = digits(batches_per_step=batches_per_step)
    fit(mlp(), data, tmp_path, Throughput())
    found = events(tmp_path / "run").Scalars("samples_per_second")
    rows_trained = len(data.splits["train"].groups)
    assert [event.value for event in found] == [rows_trained, rows_trained]
    assert [event.step for event in found] == [data.train_batches, 2 * data.train_batches]


# ---- histograms ----


@pytest.mark.parametrize("batches_per_step", [1, 4])
@pytest.mark.parametrize("settings", [{}, {"limit_val_batches": 0}, {"max_epochs": -1, "max_steps": 5}])
def test_histograms_of_weights_and_gradients(tmp_path, batches_per_step, settings):
    model = mlp(lr=0.1, optimizer="sgd")
    trainer = fit(model, digits(batches_per_step=batches_per_step), tmp_path, Histograms(), **settings)
    assert model.run.chunked == (batches_per_step > 1)
    found = EventAccumulator(str(tmp_path / "run"), size_guidance={"histograms": 0}).Reload()
    names = [name for name, _ in model.net.named_parameters()]
    assert set(found.Tags()["histograms"]) == {f"{kind}/{name}" for kind in ("weights", "gradients") for name in names}
    for name, parameter in model.net.named_parameters():
        last = found.Histograms(f"weights/{name}")[-1]
        assert last.step == trainer.global_step
        assert last.histogram_value.sum == pytest.approx(parameter.sum().item(), rel=1e-3, abs=1e-4)
        assert last.histogram_value.num == parameter.numel()
        assert found.Histograms(f"gradients/{name}")[-1].histogram_value.sum_squares > 0


def test_histograms_leave_out_what_is_not_finite(tmp_path):
    model = mlp()
    with torch.no_grad():
        model.net[-1].bias.fill_(float("nan"))
        model.net[-1].weight[0, 0] = float("inf")
    model.to(torch.bfloat16)
    callback = Histograms()
    trainer = quiet_trainer(logger=TensorBoardLogger(tmp_path, name="", version="run"))
    callback.on_train_epoch_end(trainer, model)
    trainer.logger.finalize("success")
    found = EventAccumulator(str(tmp_path / "run")).Reload()
    assert "weights/" + [n for n, _ in model.net.named_parameters()][-1] not in found.Tags()["histograms"]


# ---- settings ----


def test_settings_are_flattened_whatever_they_are():
    settings = {"a": {"b": [1, None], "c": None, "d": {}, "e": True}, "f": 2, "g": object(), "h": "x" * 500}
    found = dict(flattened(settings))
    assert {name: found[name] for name in ("a/b", "a/c", "a/d", "a/e", "f", "g")} == {
        "a/b": "[1, null]",
        "a/c": "null",
        "a/d": "{}",
        "a/e": True,
        "f": 2,
        "g": "object",
    }
    assert len(found["h"]) == 101
    assert len(dict(flattened({"words": [str(n) for n in range(5000)]}))["words"]) <= 101


def test_a_recipe_is_shown_as_used(tmp_path):
    overrides = {"trainer": {**QUIET, "max_epochs": 2}, "model": {"lr": 0.004}, "data": {"batch_size": 64}}
    run = tmp_path / "version_0"
    found = fit_recipe(zoo.load_recipe("mlp.digits"), seed=5, run=run, overrides=overrides, histograms=True)
    seen = events(run)
    text = seen.Tensors("settings/text_summary")[0].tensor_proto.string_val[0].decode()
    assert text.startswith("```yaml\nrecipe: mlp.digits\nseed: 5\n")
    assert all(part in text for part in ("lr: 0.004", "batch_size: 64", "max_epochs: 2"))
    [row] = rows(run)
    assert row["recipe"] == "mlp.digits"
    assert (row["seed"], row["model/lr"], row["data/batch_size"], row["trainer/max_epochs"]) == (5, 0.004, 64, 2)
    assert row["model/hidden_dims"] == json.dumps([256, 256])
    assert row["model/clip_norm"] == "null"
    assert row["data/augment/rotate"] == 8.0
    assert seen.Scalars("best_val_loss")[0].value == pytest.approx(found.metrics["best_val_loss"])
    assert any(tag.startswith("gradients/") for tag in seen.Tags()["histograms"])


@pytest.mark.parametrize("placeholder", [True, False])
def test_a_trainer_of_ones_own_has_one_row(tmp_path, placeholder):
    model = mlp(lr=0.02)
    logger = TensorBoardLogger(tmp_path, name="", version="run", default_hp_metric=placeholder)
    callbacks = zoo.callbacks.default_callbacks(model, tmp_path / "kept")
    fit(model, digits(), tmp_path, *callbacks, logger=logger, enable_checkpointing=True)
    [row] = rows(tmp_path / "run")
    assert (row["model/lr"], row["model/name"], row["data/name"]) == (0.02, "MLP", "digits")
    assert "lr" not in row
    assert "hp_metric" not in events(tmp_path / "run").Tags()["scalars"]
    assert "best_val_accuracy" in events(tmp_path / "run").Tags()["scalars"]
    assert (tmp_path / "run" / "hparams.yaml").read_text().count("lr: 0.02") == 1


def test_loaders_by_hand_have_a_row(tmp_path):
    model, data = mlp(), tiny_data(mlp())
    data.setup()
    loaders = (
        torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*data.splits[s].tensors), 8)
        for s in ("train", "val")
    )
    trainer = quiet_trainer(
        max_epochs=1, logger=TensorBoardLogger(tmp_path, name="", version="run"), callbacks=[Settings()]
    )
    trainer.fit(model, *loaders)
    assert rows(tmp_path / "run")[0]["data/name"] == "loaders"


def test_histograms_need_tensorboard(tmp_path):
    overrides = {"trainer": {**QUIET, "logger": False}}
    with pytest.raises(ValueError, match="histograms go to TensorBoard, which this run does not log to"):
        fit_recipe(zoo.load_recipe("mlp.digits"), run=tmp_path / "run", overrides=overrides, histograms=True)
    assert not list(tmp_path.iterdir())


# ---- mistakes ----


def test_the_matrix_counts_every_validation_sample(tmp_path, monkeypatch):
    matrices = []
    original = zoo.callbacks.mistakes.confusion_matrix
    monkeypatch.setattr(
        "zoo.callbacks.mistakes.confusion_matrix",
        lambda counts, *rest: (matrices.append(counts), original(counts, *rest))[1],
    )
    model, data, mistakes = mlp(), digits(), Mistakes()
    fit(model, data, tmp_path, mistakes)
    x, y = data.splits["val"].tensors
    with model.evaluating(), torch.no_grad():
        predicted = model(data.to_natural_units(x)).argmax(1)
    wanted = torch.zeros(10, 10, dtype=torch.long)
    for true, found in zip(y.tolist(), predicted.tolist()):
        wanted[true, found] += 1
    assert torch.equal(matrices[-1], wanted)
    assert set(events(tmp_path / "run").Tags()["images"]) == {"confusion", "mistakes"}
    assert not model._forward_hooks


def test_the_worst_mistakes_are_kept():
    model, mistakes = mlp(num_classes=3), Mistakes(shown=2)
    for batch_idx, (scores, y) in enumerate(
        [([[5.0, 0, 0], [0, 9.0, 0]], [1, 1]), ([[0, 0, 1.0], [0, 7.0, 0]], [0, 2]), ([[8.0, 0, 0]], [0])]
    ):
        mistakes._scores = torch.tensor(scores)
        x = torch.full((len(y), 1, 8, 8), float(batch_idx))
        mistakes.collect(model, (x, torch.tensor(y)), batch_idx)
    sure, predicted, y, x = mistakes._worst
    assert predicted.tolist() == [1, 0]
    assert y.tolist() == [2, 1]
    assert x[:, 0, 0, 0].tolist() == [1.0, 0.0]
    assert sure[0] > sure[1] > 0.9


def test_an_interrupted_validation_leaves_no_hook(tmp_path):
    class Stop(L.Callback):
        def on_validation_batch_end(self, *_):
            raise RuntimeError("stop")

    model = mlp()
    with pytest.raises(RuntimeError, match="stop"):
        fit(model, digits(), tmp_path, Mistakes(), Stop())
    assert not model._forward_hooks


def test_texts_are_a_table(tmp_path):
    data = small_text("sst2", write_texts(tmp_path), batch_size=8)
    names = ("tokenizer", "max_length", "vocab_size", "num_classes", "class_names")
    data.setup()
    model = zoo.create_model("lstm_classifier", **{name: data.spec[name] for name in names if name in data.spec})
    fit(model, data, tmp_path, Mistakes(), max_epochs=1)
    seen = events(tmp_path / "run")
    assert "confusion" in seen.Tags()["images"]
    text = seen.Tensors("mistakes/text_summary")[0].tensor_proto.string_val[0].decode()
    assert text.startswith("true class | predicted class | probability | text\n--- | --- | --- | ---")
    assert text.count("\n") >= 2
