"""Models in Lightning's Trainer as its users use it: callbacks, loggers, hooks, subclasses, precisions, resuming."""

import math
import pickle

import lightning as L
import pytest
import torch
import trainer_habits
from conftest import assert_same, quiet_trainer, state, tiny_data
from lightning.pytorch import callbacks as lc
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.tuner import Tuner
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import datamodules
import zoo
from zoo.callbacks import default_callbacks
from zoo.tasks import Classifier

BATCHES = 40


def mlp(**args):
    torch.manual_seed(0)
    return zoo.create_model("mlp", in_features=64, input_shape=[1, 8, 8], hidden_dims=[16], **args)


def digits(**args):
    return datamodules.create_datamodule("digits", batch_size=32, **args)


def fit(model, data=None, *callbacks, **settings):
    trainer = quiet_trainer(**{"max_epochs": 2, "callbacks": list(callbacks), **settings})
    trainer.fit(model, data if data is not None else digits())
    return trainer


def falls_back(because):
    return pytest.warns(UserWarning, match=f"batches_per_step=16 is taken as 1 in this run: .*{because}")


class Own(Classifier):
    """A model of a user's."""

    def __init__(self, **training):
        super().__init__(**training)
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


class Plain(L.LightningModule):
    """A module that knows nothing of the package."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    def training_step(self, batch, batch_idx):
        x, y = batch
        assert len(x) <= 32
        return nn.functional.cross_entropy(self.net(x), y)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


# ---- the table ----


def lines_of(page):
    return {line.split(" | ")[0]: line for line in page.splitlines() if line.startswith("| ")}


def test_the_page_names_every_habit():
    assert set(lines_of(trainer_habits.page({name: {1: {"works": []}, 16: {"works": []}} for name in HABITS}))) == set(
        lines_of(trainer_habits.PAGE.read_text())
    )


HABITS = trainer_habits.HABITS


def expected(habit, model):
    """Return the outcomes that the page gives for a model, with one and with sixteen batches a step."""
    _, *cells = lines_of(trainer_habits.PAGE.read_text())[f"| {habit}"].split(" | ")
    for cell in cells:
        first, *others = cell.strip(" |").split("; ")
        named = [part.split(" for ") for part in others]
        yield next((outcome for outcome, models in named if model in models.split(", ")), first)


def check_habit(habit, model, folder):
    for steps, outcome in zip((1, 16), expected(habit, model), strict=True):
        place = folder / f"{list(HABITS).index(habit)}_{steps}"
        place.mkdir()
        found = trainer_habits.outcome(HABITS[habit], model, steps, place)
        # Where a loss of half precision overflows depends on the processor.
        rounded = habit == trainer_habits.HALF and model != "mlp"
        assert found == outcome or rounded, f"{habit}, {model}, {steps} batches a step"


@pytest.mark.parametrize("name", HABITS)
def test_a_habit_does_what_the_page_says(name, tmp_path):
    check_habit(name, "mlp", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("model", zoo.list_models())
def test_the_page_holds_for_every_model(model, tmp_path):
    for habit in HABITS:
        check_habit(habit, model, tmp_path)


# ---- steps and loggers ----


def test_checkpoints_within_an_epoch_are_named_by_their_own_step(tmp_path):
    keep = lc.ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=10, save_top_k=-1)
    trainer = fit(mlp(), digits(), keep, enable_checkpointing=True, max_epochs=3)
    assert "step" not in trainer.callback_metrics
    found = {path.stem: torch.load(path, weights_only=True)["global_step"] for path in tmp_path.glob("*.ckpt")}
    assert found == {f"step={step}": step for step in range(10, 3 * BATCHES + 1, 10)}


@pytest.mark.parametrize("steps", [1, 16])
def test_all_loggers_count_updates(tmp_path, steps):
    loggers = [CSVLogger(tmp_path / "csv"), TensorBoardLogger(tmp_path / "tb")]
    trainer = fit(mlp(schedule="cosine"), digits(batches_per_step=steps), logger=loggers)
    (events,) = (tmp_path / "tb").rglob("events*")
    read = EventAccumulator(str(events)).Reload()
    for name in ("train_loss", "val_accuracy", "lr"):
        assert [event.step for event in read.Scalars(name)] == [BATCHES, 2 * BATCHES]
    assert trainer.fit_loop.epoch_loop._batches_that_stepped == 2 * BATCHES
    trainer.test(trainer.lightning_module, digits(), verbose=False)
    rows = next((tmp_path / "csv").rglob("metrics.csv")).read_text().splitlines()
    steps_of = [row.split(",")[rows[0].split(",").index("step")] for row in rows[1:]]
    assert set(steps_of) == {str(BATCHES), str(2 * BATCHES)}


@pytest.mark.parametrize("order", [(TensorBoardLogger, CSVLogger), (CSVLogger, TensorBoardLogger)])
def test_pictures_go_to_tensorboard_wherever_it_stands(tmp_path, order):
    model = zoo.create_model("autoencoder", in_features=64, input_shape=[1, 8, 8])
    fit(model, digits(), *default_callbacks(model, tmp_path), logger=[kind(tmp_path) for kind in order], max_epochs=1,
        enable_checkpointing=True)  # fmt: skip
    tags = [EventAccumulator(str(file)).Reload().Tags()["images"] for file in tmp_path.rglob("events*")]
    assert tags == [["reconstructions", "first_layer", "psnr"]]


# ---- what is trained ----


def test_pretrained_weights_are_trained_in_training_mode():
    model = zoo.create_model("cnn.digits", pretrained=True)
    before = {key: value.clone() for key, value in model.state_dict().items() if "running_mean" in key}
    fit(model, max_epochs=1)
    assert model.training
    assert before
    assert all(not torch.equal(model.state_dict()[key], value) for key, value in before.items())


def test_frozen_parts_of_pretrained_weights_stay_frozen():
    model = zoo.create_model("cnn.digits", pretrained=True)
    frozen, last = model.net[:-1], model.net[-1]
    frozen.requires_grad_(False)
    before, head = {key: value.clone() for key, value in frozen.state_dict().items()}, last.weight.clone()
    fit(model, max_epochs=1)
    assert_same(before, dict(frozen.state_dict()))
    assert not torch.equal(head, last.weight)


def test_a_part_that_a_user_puts_into_evaluation_mode_stays_in_it():
    model = zoo.create_model("cnn", input_shape=[1, 8, 8])
    model.net[1].eval()
    before = model.net[1][1].running_mean.clone()
    fit(model, max_epochs=1)
    assert torch.equal(before, model.net[1][1].running_mean)
    assert model.training


def test_overfitting_sees_the_same_batches_in_every_epoch():
    seen = []
    watch = lc.LambdaCallback(on_train_batch_start=lambda t, m, batch, i: seen.append(batch[1].tolist()))
    fit(mlp(), digits(), watch, overfit_batches=1, max_epochs=3)
    assert len(seen) == 3
    assert seen[0] == seen[1] == seen[2]


# ---- several batches a step ----


@pytest.mark.parametrize(
    ("build", "because"),
    [
        (lambda: lc.EMAWeightAveraging(decay=0.9), "EMAWeightAveraging"),
        (lambda: lc.StochasticWeightAveraging(1e-2, swa_epoch_start=1), "StochasticWeightAveraging"),
        (lambda: lc.GradientAccumulationScheduler({0: 2, 1: 4}), "GradientAccumulationScheduler"),
        (lambda: lc.ModelPruning("l1_unstructured", amount=0.5), "ModelPruning"),
        (
            lambda: type("Mine", (lc.Callback,), {"on_train_batch_end": lambda *_: None})(),
            "Mine has on_train_batch_end",
        ),
        (lambda: type("Mean", (lc.StochasticWeightAveraging,), {})(1e-2), "Mean"),
    ],
)
def test_a_callback_that_changes_updates_does_the_same_at_sixteen(build, because):
    models = mlp(batch_norm=True), mlp(batch_norm=True)
    fit(models[0], digits(), build(), max_epochs=3)
    with falls_back(because):
        fit(models[1], digits(batches_per_step=16), build(), max_epochs=3)
    assert_same(*map(state, models))


def test_gradients_are_seen_before_they_are_clipped():
    norms = []

    class Watch(lc.Callback):
        def on_before_optimizer_step(self, trainer, model, optimizer):
            norms.append(float(torch.cat([p.grad.flatten() for p in model.parameters()]).norm()))

    with falls_back("Watch has on_before_optimizer_step"):
        fit(mlp(clip_norm=1e-3), digits(batches_per_step=16), Watch(), max_epochs=1)
    assert len(norms) == BATCHES
    assert min(norms) > 1e-3


def test_checkpoints_by_time_are_written(tmp_path):
    import datetime

    keep = lc.ModelCheckpoint(tmp_path, filename="{step}", train_time_interval=datetime.timedelta(0), save_top_k=-1)
    with falls_back("saves within an epoch"):
        fit(mlp(), digits(batches_per_step=16), keep, enable_checkpointing=True, max_epochs=1)
    assert list(tmp_path.glob("*.ckpt"))


def test_the_learning_rate_is_found(tmp_path):
    trainer = quiet_trainer(max_epochs=1, default_root_dir=tmp_path)
    with falls_back("LearningRateFinder"):
        finder = Tuner(trainer).lr_find(mlp(), digits(batches_per_step=16), num_training=20, update_attr=False)
    assert math.isfinite(finder.suggestion(skip_begin=1, skip_end=1))


@pytest.mark.parametrize("method", ["optimizer_step", "backward", "configure_gradient_clipping", "lr_scheduler_step"])
def test_overridden_optimisation_is_called(method):
    calls = []

    def called(self, *args, **kwargs):
        calls.append(method)
        return getattr(super(cls, self), method)(*args, **kwargs)

    cls = type("Mine", (Own,), {method: called})
    with falls_back(f"Mine overrides {method}"):
        fit(cls(schedule="cosine"), digits(batches_per_step=16), max_epochs=1)
    assert len(calls) == BATCHES


@pytest.mark.parametrize("steps", [1, 16])
@pytest.mark.filterwarnings("default:batches_per_step:UserWarning")
def test_a_schedule_of_ones_own_steps_as_lightning_says(steps):
    class Mine(Own):
        def configure_optimizers(self):
            self.seen = self.trainer.estimated_stepping_batches
            optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)]

    model = Mine()
    trainer = fit(model, digits(batches_per_step=steps), max_epochs=3)
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.1 / 8)
    assert model.seen == 3 * BATCHES


def test_a_module_of_another_kind_gets_single_batches():
    with pytest.warns(UserWarning, match="batches_per_step=16 is taken as 1: Plain takes one batch a step") as caught:
        trainer = fit(Plain(), digits(batches_per_step=16), limit_val_batches=0)
    assert trainer.global_step == 2 * BATCHES
    assert sum("is taken as 1" in str(warning.message) for warning in caught) == 1


# ---- subclasses ----


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("loss", nn.CrossEntropyLoss()),
        ("step", nn.Identity()),
        ("objective", nn.Parameter(torch.zeros(1))),
        ("update", 3),
        ("metrics", nn.ModuleDict()),
        ("run", "runs/1"),
        ("report", []),
    ],
)
def test_a_name_that_would_hide_or_be_hidden_is_refused_where_it_is_set(name, value):
    model = Own()
    with pytest.raises(ValueError, match=f"^{name} is .* another name$") as caught:
        setattr(model, name, value)
    assert "\n" not in str(caught.value)


def test_manual_optimisation_of_ones_own_is_kept():
    class Manual(Own):
        def __init__(self):
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch, batch_idx):
            optimizer = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(self.step(batch)["loss"])
            optimizer.step()

    for steps in (1, 16):
        model = Manual()
        before = model.net[1].weight.clone()
        if steps == 1:
            trainer = fit(model, digits())
        else:
            with falls_back("Manual overrides training_step"):
                trainer = fit(model, digits(batches_per_step=steps))
        assert trainer.global_step == 2 * BATCHES
        assert not torch.equal(before, model.net[1].weight)
        assert model.automatic_optimization is False


@pytest.mark.parametrize("steps", [1, 16])
def test_hooks_without_super_change_nothing(steps, tmp_path):
    names = ["setup", "teardown", "on_fit_start", "on_train_start", "on_train_epoch_start", "on_train_epoch_end",
             "on_validation_epoch_start", "on_validation_epoch_end", "on_save_checkpoint", "on_load_checkpoint",
             "on_train_end", "on_validation_start", "on_validation_end"]  # fmt: skip
    bare = type("Bare", (Own,), {name: lambda self, *_, **__: None for name in names})
    bare.__name__ = Own.__name__
    models, kept = (Own(schedule="plateau", max_norm=0.1), bare(schedule="plateau", max_norm=0.1)), []
    for number, model in enumerate(models):
        folder = tmp_path / str(number)
        data = digits(batches_per_step=steps)
        trainer = fit(model, data, *default_callbacks(model, folder), enable_checkpointing=True)
        kept.append({key: float(value) for key, value in trainer.callback_metrics.items()})
        longer = fit(type(model)(schedule="plateau", max_norm=0.1), None, max_epochs=0)
        longer = quiet_trainer(max_epochs=3, callbacks=default_callbacks(model, folder), enable_checkpointing=True)
        longer.fit(model, data, ckpt_path=str(folder / "last.ckpt"), weights_only=True)
    assert kept[0] == kept[1]
    assert {"train_loss", "val_accuracy"} <= set(kept[0])
    assert_same(*map(state, models))


# ---- keys and groups ----

WITHOUT_WEIGHTS = {
    "mlp": {"dropout": 0.3, "input_dropout": 0.1, "activation": "tanh"},
    "lenet5": {"dropout": 0.3, "activation": "relu"},
    "cnn": {"dropout": 0.3, "mirror": True, "activation": "relu"},
    "vae": {"dropout": 0.3},
    "deep_autoencoder": {"dropout": 0.3},
    "lstm_classifier": {"dropout": 0.3, "word_dropout": 0.1, "pooling": "mean"},
    "ecg_classifier": {"dropout": 0.5},
}


@pytest.mark.parametrize(("name", "args"), WITHOUT_WEIGHTS.items())
def test_arguments_without_weights_leave_the_keys_alone(name, args):
    plain = zoo.create_model(name)
    for changed in ({key: value} for key, value in args.items()):
        other = zoo.create_model(name, **changed)
        assert list(plain.state_dict()) == list(other.state_dict()), changed
        other.load_state_dict(plain.state_dict())


def test_weights_of_a_stack_that_had_other_indices_are_loaded():
    model = zoo.create_model("mlp")
    shifted = {key.replace("4.", "5.").replace("6.", "8."): value for key, value in model.state_dict().items()}
    assert set(shifted) != set(model.state_dict())
    other = zoo.create_model("mlp", dropout=0.5)
    other.load_state_dict(shifted)
    assert_same(state(model), state(other))
    mirrored = {f"net.{key}": value for key, value in zoo.create_model("cnn").state_dict().items()}
    zoo.create_model("cnn", mirror=True).load_state_dict(mirrored)
    zoo.create_model("cnn").load_state_dict(mirrored)
    with pytest.raises(RuntimeError, match="size mismatch"):
        zoo.create_model("mlp", hidden_dims=[3, 4]).load_state_dict(shifted)


def test_another_dropout_loads_from_a_checkpoint(tmp_path):
    model = mlp()
    trainer = fit(model, digits(), max_epochs=1)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    loaded = type(model).load_from_checkpoint(tmp_path / "a.ckpt", dropout=0.3, weights_only=True)
    assert loaded.hparams["dropout"] == 0.3
    assert_same(state(model), state(loaded))


@pytest.mark.parametrize("schedule", ["constant", "cosine", "onecycle", "plateau", "step"])
@pytest.mark.filterwarnings("ignore:The provided params:UserWarning")
def test_a_backbone_is_unfrozen_under_every_schedule(schedule):
    class Fine(Own):
        def __init__(self):
            super().__init__(schedule=schedule)
            self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))

        @property
        def backbone(self):
            return self.net[:-1]

    model = Fine()
    before = model.net[1].weight.clone()
    trainer = fit(model, digits(), lc.BackboneFinetuning(1), max_epochs=3)
    assert not torch.equal(before, model.net[1].weight)
    rates = [group["lr"] for group in trainer.optimizers[0].param_groups]
    assert len(rates) == 2
    assert all(0 <= rate < 0.1 for rate in rates)


def test_pickled_after_a_scheduled_fit():
    data, model = digits(), mlp(schedule="cosine")
    fit(model, data)
    assert len(pickle.loads(pickle.dumps(data)).splits["train"].groups) == len(data.splits["train"].groups)


# ---- precisions and predictions ----


@pytest.mark.parametrize("cast", ["half", "double", "bfloat16"])
@pytest.mark.parametrize("name", ["mlp", "cnn", "conv_autoencoder", "vae", "lstm_classifier", "ecg_classifier"])
def test_a_cast_model_takes_a_users_inputs(name, cast):
    model = getattr(zoo.create_model(name), cast)()
    if name == "ecg_classifier":
        beats = torch.sin(torch.arange(3600) / 40).repeat(2, 1).T.numpy()
        assert len(model.annotate(beats, 360.0, r_peaks=torch.arange(300, 3300, 300).numpy()).sample) == 10
    elif name == "lstm_classifier":
        assert len(model.classify(torch.ones(2, 4, dtype=torch.long))) == 2
    elif hasattr(model, "classify"):
        assert len(model.classify(torch.rand(2, *model.input_shape).numpy())) == 2
    else:
        x = torch.rand(2, *model.input_shape, dtype=torch.float64)
        assert model.reconstruct(x).shape == x.shape
        assert model.decode(model.encode(x)).dtype == model.precision


def test_translations_are_predicted_as_strings():
    model = zoo.create_model("lstm_seq2seq.fra_eng", pretrained=True)
    sentences = ["Je suis fatigué.", "Il pleut."]
    ids = model.vocabulary.encode_padded(sentences, model.hparams["max_length"], ends=True)
    loader = DataLoader(TensorDataset(ids, ids), batch_size=2)
    (found,) = quiet_trainer().predict(model, loader)
    assert found.tolist() == model.translate(sentences)


def test_colour_pictures_are_predicted_in_colour_and_restorers_restore():
    x = torch.rand(2, 3, 32, 32)
    colorizer = zoo.create_model("colorizer.cifar10_jpeg_lab", pretrained=True)
    (found,) = quiet_trainer().predict(colorizer, DataLoader(TensorDataset(x), batch_size=2))
    assert found.shape == (2, 3, 32, 32)
    inpainting = zoo.create_model("inpainting_autoencoder.cifar10_jpeg", pretrained=True)
    mask = torch.zeros(2, 1, 32, 32)
    mask[..., 10:14, 10:14] = 1
    (found,) = quiet_trainer().predict(inpainting, DataLoader(TensorDataset(x, mask), batch_size=2))
    assert torch.equal(found, inpainting.reconstruct(x, mask))


@pytest.mark.parametrize("name", zoo.list_models())
def test_every_model_predicts_its_own_kind_of_data(name):
    model = zoo.create_model(name)
    assert quiet_trainer().predict(model, tiny_data(model))


# ---- inputs of other kinds ----

X, Y = torch.rand(8, 1, 8, 8), torch.arange(8) % 10
PICTURE_MODELS = {
    "mlp": {"in_features": 64, "input_shape": [1, 8, 8]},
    "logistic_regression": {"in_features": 64, "input_shape": [1, 8, 8]},
    "cnn": {"input_shape": [1, 8, 8]},
    "autoencoder": {"in_features": 64, "input_shape": [1, 8, 8]},
    "inpainting_autoencoder": {"input_shape": [1, 8, 8]},
    "denoising_autoencoder": {"in_features": 64, "input_shape": [1, 8, 8]},
    "vae": {"in_features": 64, "input_shape": [1, 8, 8]},
}
WRONG = {
    "bytes": (TensorDataset((X * 255).byte(), Y), "dtype torch.uint8: expected natural units"),
    "0 to 255": (TensorDataset(X * 255, Y), "input ranges from .* expected"),
    "NaN": (TensorDataset(X.masked_fill(X > 0.99, torch.nan).index_fill(0, torch.tensor(0), torch.nan), Y), "NaN"),
    "infinity": (TensorDataset(X / 0, Y), "infinite"),
    "dictionaries": ([{"image": x, "label": y} for x, y in zip(X, Y)], "batch is a dictionary with image, label"),
    "bare tensors": (X, "batch is a Tensor of shape"),
    "integers": (TensorDataset((X * 255).int(), Y), "dtype torch.int32"),
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("name", PICTURE_MODELS)
def test_batches_of_another_kind_are_refused_alike(name, what):
    rows, words = WRONG[what]
    model = zoo.create_model(name, **PICTURE_MODELS[name])
    loader = DataLoader(rows, batch_size=8)
    for run in (
        lambda: quiet_trainer(max_epochs=1).fit(model, loader),
        lambda: quiet_trainer().validate(model, loader, verbose=False),
        lambda: quiet_trainer().test(model, loader, verbose=False),
    ):
        with pytest.raises(ValueError, match=words) as caught:
            run()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (torch.eye(10)[Y], "labels of shape"),
        (Y.float(), "float32: expected class indices"),
        (Y + 5, "labels range from 5 to 12: expected class indices from 0 to 9"),
        (Y - 1, "labels range from -1"),
    ],
)
def test_labels_of_another_kind_are_refused(labels, words):
    loader = DataLoader(TensorDataset(X, labels), batch_size=8)
    with pytest.raises(ValueError, match=words):
        quiet_trainer(max_epochs=1).fit(mlp(), loader)


@pytest.mark.parametrize(
    "x",
    [
        X * 255,
        X * 2 - 1,
        X / 0,
        X * torch.nan,
        (X * 255).byte(),
        "digit.png",
        None,
        {"x": X},
        [X[0], X[0, :, :4]],
        [1, 2],
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("name", PICTURE_MODELS)
def test_what_is_no_picture_is_refused_by_the_methods_for_users(name, x):
    model = zoo.create_model(name, **PICTURE_MODELS[name])
    methods = [model.classify] if hasattr(model, "classify") else [model.encode, model.reconstruct]
    for method in methods:
        with pytest.raises(ValueError, match=r"expected|shapes") as caught:
            method(x)
        assert "\n" not in str(caught.value)


def test_arrays_and_lists_of_pictures_are_taken():
    model = mlp()
    found = [model.classify(x) for x in (X, X.numpy(), list(X), X.double())]
    assert all([one.label for one in each] == [one.label for one in found[0]] for each in found)


# ---- early stopping ----


def test_training_without_validation_keeps_the_last_checkpoint(tmp_path):
    for settings in ({"limit_val_batches": 0}, {"max_steps": 10}):
        model, folder = mlp(), tmp_path / next(iter(settings))
        fit(model, digits(), *default_callbacks(model, folder), enable_checkpointing=True, **settings)
        assert [path.name for path in folder.iterdir()] == ["last.ckpt"]


def test_a_monitor_that_is_not_logged_is_refused_before_training():
    from zoo.training.monitor import check_monitor

    data = digits()
    data.setup()
    check_monitor(mlp(), data)
    check_monitor(mlp(monitor="train_loss"), data)
    with pytest.raises(ValueError, match="unknown monitor 'val_psnr': did you mean"):
        check_monitor(mlp(monitor="val_psnr"), data)


@pytest.mark.parametrize("name", zoo.list_models())
def test_every_model_logs_what_it_monitors(name):
    from zoo.training.monitor import check_monitor, logged_names

    model = zoo.create_model(name)
    data = tiny_data(model)
    data.setup()
    before = torch.random.get_rng_state()
    check_monitor(model, data)
    assert torch.equal(before, torch.random.get_rng_state())
    logged = quiet_trainer().validate(model, data, verbose=False)[0]
    assert logged.keys() <= {f"val_{each}" for each in logged_names(model, data)}


# ---- one trainer after another model ----


def test_accumulation_of_one_model_does_not_reach_the_next():
    trainer = fit(mlp(accumulate=4), max_epochs=1)
    assert trainer.global_step == BATCHES // 4
    trainer.fit_loop.max_epochs = 2
    trainer.fit(mlp(), digits())
    assert trainer.global_step == BATCHES // 4 + BATCHES
    assert trainer.accumulate_grad_batches == 1


def test_a_plain_module_is_fitted_after_a_model_of_the_zoo():
    trainer = fit(mlp(), max_epochs=1)
    trainer.fit_loop.max_epochs = 2
    trainer.fit(Plain(), digits())
    assert trainer.global_step == 2 * BATCHES


def test_loaders_by_hand_after_a_datamodule_are_taken_as_they_are():
    trainer, model = quiet_trainer(max_epochs=1), mlp()
    trainer.test(model, digits(batches_per_step=16), verbose=False)
    trainer.fit(model, DataLoader(TensorDataset(X, Y), batch_size=4))
    assert trainer.global_step == 2


def test_values_logged_in_a_step_are_weighted_alike():
    class Logs(Own):
        def step(self, batch):
            values = super().step(batch)
            if self.training:
                self.log("mine", values["loss"].detach(), on_step=False, on_epoch=True)
            return values

    for steps in (1, 16):
        found = fit(Logs(), digits(batches_per_step=steps), max_epochs=1).callback_metrics
        assert float(found["mine"]) == pytest.approx(float(found["train_loss"]), rel=1e-5)


def test_a_precision_of_ones_own_is_called():
    calls = []

    class Counts(L.pytorch.plugins.Precision):
        def optimizer_step(self, *args, **kwargs):
            calls.append(1)
            return super().optimizer_step(*args, **kwargs)

    with falls_back("Counts"):
        fit(mlp(), digits(batches_per_step=16), plugins=[Counts()], max_epochs=1)
    assert len(calls) == BATCHES


def test_a_schedule_is_stretched_to_more_epochs_with_a_word(tmp_path):
    model = mlp(schedule="cosine")
    fit(model, digits(), *default_callbacks(model, tmp_path), enable_checkpointing=True)
    longer = quiet_trainer(max_epochs=4, callbacks=default_callbacks(model, tmp_path), enable_checkpointing=True)
    with pytest.warns(UserWarning, match="schedule 'cosine' of 80 updates is stretched to 160"):
        longer.fit(model, digits(), ckpt_path=str(tmp_path / "last.ckpt"), weights_only=True)
    rate = longer.lr_scheduler_configs[0].scheduler
    assert rate.get_last_lr() == [pytest.approx(0.0, abs=1e-9)]
    assert rate.factor(80) == pytest.approx(0.5)


def test_the_best_of_a_checkpoint_in_a_folder_below_is_kept(tmp_path):
    keep = lc.ModelCheckpoint(tmp_path, filename="sub/{epoch}", monitor="val_loss")
    last = lc.ModelCheckpoint(tmp_path, filename="last")
    model = mlp()
    fit(model, digits(), keep, last, enable_checkpointing=True)
    best = keep.best_model_path
    again = [lc.ModelCheckpoint(tmp_path, filename="sub/{epoch}", monitor="val_loss")]
    again.append(lc.ModelCheckpoint(tmp_path, filename="last"))
    longer = quiet_trainer(max_epochs=2, callbacks=again, enable_checkpointing=True)
    longer.fit(model, digits(), ckpt_path=str(tmp_path / "last.ckpt"), weights_only=True)
    assert again[0].best_model_path == best
