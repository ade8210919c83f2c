"""The step, its schedules, and what a run leaves behind."""

import math
import signal

import lightning as L
import pytest
import torch
from conftest import assert_same, quiet_trainer, run_python, state
from lightning.pytorch.callbacks import Callback, Checkpoint
from lightning.pytorch.loggers import TensorBoardLogger

import zoo
from datamodules import DigitsDataModule
from zoo.callbacks import default_callbacks
from zoo.metrics import EpochMeans
from zoo.training.optim import SCHEDULES, schedule_factor

# 1,257 rows in batches of 64 are 20 batches, the last of them shorter; chunks of 16 leave a remainder of 4.
BATCHES = 20


def digits(**args):
    return DigitsDataModule(**{"batch_size": 64, **args})


def mlp(**args):
    L.seed_everything(3, verbose=False)
    shape = {"in_features": 64, "input_shape": [1, 8, 8], "mean": 0.3, "std": 0.4}
    return zoo.create_model("mlp", **{**shape, "hidden_dims": [16], "lr": 1e-2, **args})


def train(model, data, **settings):
    trainer = quiet_trainer(**{"max_epochs": 2, **settings})
    trainer.fit(model, data)
    return trainer


# ---- batches_per_step ----

OPTIONS = {
    **{schedule: {"schedule": schedule} for schedule in SCHEDULES},
    "plateau_reached": {"schedule": "plateau", "patience": 1, "lr": 1e-9, "monitor": "val_accuracy"},
    "clipping": {"clip_norm": 0.1},
    "dropout": {"dropout": 0.5, "input_dropout": 0.1},
    "batch_norm": {"batch_norm": True},
    "accumulate": {"accumulate": 3, "schedule": "cosine"},
    "accumulate_and_clip": {"accumulate": 16, "clip_norm": 0.1},
    "max_norm": {"max_norm": 0.5, "optimizer": "momentum", "lr": 0.1},
    "penalties": {"l1": 1e-3, "l2": 1e-2, "weight_decay": 1e-2, "optimizer": "adamw"},
    "smoothing": {"label_smoothing": 0.1, "optimizer": "adagrad"},
    "augmentation": {},
    "everything": {
        "schedule": "onecycle",
        "clip_norm": 0.5,
        "dropout": 0.3,
        "accumulate": 3,
        "max_norm": 1.0,
        "l2": 1e-3,
        "optimizer": "momentum",
        "batch_norm": True,
    },
}


@pytest.mark.parametrize("case", OPTIONS)
def test_sixteen_batches_a_step_are_the_same_updates(case):
    augment = {"shift": 1, "rotate": 10, "erase": 2} if case in ("augmentation", "everything") else None
    weights, metrics, steps = [], [], []
    for batches_per_step in (1, 16):
        model = mlp(**OPTIONS[case])
        trainer = train(model, digits(batches_per_step=batches_per_step, augment=augment), max_epochs=3)
        weights.append(state(model))
        metrics.append({name: value.item() for name, value in trainer.callback_metrics.items()})
        steps.append(trainer.global_step)
    accumulate = OPTIONS[case].get("accumulate", 1)
    assert steps == [3 * math.ceil(BATCHES / accumulate)] * 2
    assert_same(*weights)
    assert metrics[0] == metrics[1]
    start = state(mlp(**OPTIONS[case]))
    assert any(not torch.equal(value, start[name]) for name, value in weights[0].items())


@pytest.mark.parametrize("max_steps", [1, 7, 16, 21])
def test_max_steps_is_exact_inside_a_chunk(max_steps):
    weights = []
    for batches_per_step in (1, 16):
        model = mlp(schedule="cosine")
        trainer = train(model, digits(batches_per_step=batches_per_step), max_steps=max_steps, max_epochs=-1)
        assert trainer.global_step == max_steps
        weights.append(state(model))
    assert_same(*weights)


@pytest.mark.parametrize("limit", [1, 7, 18, 500, 1.0])
def test_limit_train_batches_counts_batches(limit):
    weights = []
    for batches_per_step in (1, 16):
        model = mlp(schedule="onecycle", accumulate=2)
        data = digits(batches_per_step=batches_per_step)
        trainer = train(model, data, limit_train_batches=limit)
        batches = min(limit, BATCHES) if isinstance(limit, int) else BATCHES
        assert trainer.global_step == 2 * math.ceil(batches / 2)
        weights.append(state(model))
    assert_same(*weights)


def test_fast_dev_run_takes_one_batch():
    for batches_per_step in (1, 16):
        assert train(mlp(), digits(batches_per_step=batches_per_step), fast_dev_run=True).global_step == 1


@pytest.mark.parametrize(
    "flag", [{"gradient_clip_val": 1e-3}, {"accumulate_grad_batches": 4}, {"val_check_interval": 0.5}], ids=str
)
def test_the_same_flag_works_batch_by_batch(flag):
    plain, flagged = mlp(), mlp()
    train(plain, digits())
    trainer = train(flagged, digits(), **flag)
    assert trainer.global_step == (10 if "accumulate_grad_batches" in flag else 40)
    if "val_check_interval" not in flag:
        assert not torch.equal(state(plain)["2.weight"], state(flagged)["2.weight"])


def test_accumulation_of_trainer_and_model_must_agree():
    with pytest.raises(ValueError, match="accumulate_grad_batches=2 of the trainer contradicts accumulate=3"):
        train(mlp(accumulate=3), digits(), accumulate_grad_batches=2)


def test_chunks_without_their_datamodule_are_refused():
    data = digits(batches_per_step=16)
    data.setup()
    with pytest.raises(ValueError, match=r"call Trainer.fit\(model, datamodule\)"):
        quiet_trainer(max_epochs=1).fit(mlp(), train_dataloaders=data.train_dataloader())


def test_one_model_can_be_trained_both_ways_in_turn():
    model = mlp()
    train(model, digits(batches_per_step=16), max_epochs=1)
    train(model, digits(), max_epochs=1)
    other = mlp()
    train(other, digits(), max_epochs=1)
    train(other, digits(batches_per_step=16), max_epochs=1)
    assert_same(state(model), state(other))


# ---- what an update does ----


class Watch(Callback):
    """Calls a function before every update, and one right after it, when its gradients still stand."""

    def __init__(self, before=None, after=None):
        self.before, self.after = before, after

    def on_fit_start(self, trainer, model):
        optimizer = trainer.optimizers[0]
        if self.before:
            optimizer.register_step_pre_hook(lambda *_: self.before(trainer, model))
        if self.after:
            optimizer.register_step_post_hook(lambda *_: self.after(trainer, model))


@pytest.mark.parametrize("batches_per_step", [1, 16])
@pytest.mark.parametrize("clip_norm", [0.01, None])
def test_clip_norm_bounds_every_gradient(clip_norm, batches_per_step):
    norms = []

    def measure(trainer, model):
        norms.append(torch.nn.utils.get_total_norm([p.grad for p in model.parameters()]).item())

    model = mlp(clip_norm=clip_norm, optimizer="sgd")
    train(model, digits(batches_per_step=batches_per_step), callbacks=[Watch(after=measure)], max_epochs=1)
    assert len(norms) == BATCHES
    if clip_norm:
        assert max(norms) <= clip_norm * 1.0001
        assert min(norms) >= clip_norm * 0.99  # all of them were longer
    else:
        assert min(norms) > 0.01


@pytest.mark.parametrize("batches_per_step", [1, 16])
def test_max_norm_holds_after_every_update(batches_per_step):
    longest = []

    def measure(trainer, model):
        longest.append(max(p.flatten(1).norm(dim=1).max().item() for p in model.parameters() if p.ndim > 1))

    model = mlp(max_norm=0.3, optimizer="sgd", lr=1.0)
    data = digits(batches_per_step=batches_per_step)
    # Before an update stand the weights that the one before it left.
    train(model, data, callbacks=[Watch(before=measure)])
    measure(None, model)
    assert len(longest) == 2 * BATCHES + 1
    assert longest[0] > 0.3
    assert max(longest[1:]) <= 0.3 * 1.0001


@pytest.mark.parametrize("schedule", ["constant", "cosine", "onecycle", "step"])
@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("batches_per_step", [1, 16])
def test_schedule_sets_the_learning_rate_of_every_update(schedule, accumulate, batches_per_step):
    rates = []
    watch = Watch(before=lambda trainer, model: rates.append(trainer.optimizers[0].param_groups[0]["lr"]))
    model = mlp(schedule=schedule, accumulate=accumulate, lr=0.5)
    train(model, digits(batches_per_step=batches_per_step), callbacks=[watch])
    total = 2 * math.ceil(BATCHES / accumulate)
    assert rates == pytest.approx([0.5 * schedule_factor(schedule, step / total) for step in range(total)])


def test_schedule_factors():
    assert [schedule_factor("constant", p) for p in (0, 0.5, 1)] == [1, 1, 1]
    assert [schedule_factor("cosine", p) for p in (0, 0.5, 1)] == pytest.approx([1, 0.5, 0])
    assert schedule_factor("cosine", 1 / 3) == pytest.approx(0.75)
    assert [schedule_factor("onecycle", p) for p in (0, 0.1, 0.2, 0.6, 1)] == pytest.approx([0.04, 0.52, 1, 0.5, 0])
    assert [schedule_factor("step", p) for p in (0, 0.49, 0.5, 0.74, 0.75, 1)] == [1, 1, 0.1, 0.1, 0.01, 0.01]


@pytest.mark.parametrize("batches_per_step", [1, 16])
def test_plateau_lowers_the_rate_when_nothing_improves(batches_per_step):
    model = mlp(schedule="plateau", patience=6, lr=1e-12)
    trainer = train(model, digits(batches_per_step=batches_per_step), max_epochs=7)
    # A third of the patience, 2 epochs, may pass without an improvement: epoch 0 is the best, 3 and 6 are one too many.
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(1e-14)


def test_schedule_of_an_endless_run_is_refused():
    for batches_per_step in (1, 16):
        with pytest.raises(ValueError, match="schedule 'cosine' needs the length of the run"):
            train(mlp(schedule="cosine"), digits(batches_per_step=batches_per_step), max_epochs=-1)


# ---- resuming ----


class KillError(RuntimeError):
    pass


class KillAt(Callback):
    takes_chunks = True

    def __init__(self, epoch, batch=0):
        self.epoch, self.batch = epoch, batch

    def on_train_batch_end(self, trainer, model, outputs, batch, batch_idx):
        if trainer.current_epoch == self.epoch and batch_idx == self.batch:
            raise KillError


def run(folder, args, batches_per_step, *callbacks, **settings):
    model = mlp(**args)
    data = digits(batches_per_step=batches_per_step, augment={"shift": 1})
    trainer = quiet_trainer(
        max_epochs=5, callbacks=[*default_callbacks(model, folder), *callbacks], enable_checkpointing=True
    )
    torch.manual_seed(settings.pop("seed", 3))  # the random state in which the run begins
    trainer.fit(model, data, **settings)
    return trainer, model


@pytest.mark.parametrize("batches_per_step", [1, 16])
@pytest.mark.parametrize(
    "args",
    [
        {"schedule": "cosine", "dropout": 0.5},
        {"schedule": "plateau", "patience": 4, "monitor": "val_accuracy", "lr": 1e-6, "dropout": 0.5},
        {"schedule": "onecycle", "accumulate": 3, "optimizer": "momentum", "dropout": 0.5, "batch_norm": True},
    ],
    ids=["cosine", "plateau", "onecycle"],
)
def test_killed_run_resumes_bit_for_bit(args, batches_per_step, tmp_path):
    whole, expected = run(tmp_path / "whole", args, batches_per_step)
    with pytest.raises(KillError):
        run(tmp_path / "killed", args, batches_per_step, KillAt(epoch=2, batch=1 if batches_per_step > 1 else 9))
    # A plateau has stood still for one epoch by then, and takes one more before the rate falls.
    # Other weights and another random state: everything that counts has to come from the checkpoint.
    resumed, model = run(tmp_path / "killed", args, batches_per_step, ckpt_path="last", weights_only=True, seed=99)
    assert resumed.global_step == whole.global_step
    assert_same(state(model), state(expected))
    assert {k: v.item() for k, v in resumed.callback_metrics.items()} == {
        k: v.item() for k, v in whole.callback_metrics.items()
    }
    assert resumed.checkpoint_callback.best_model_score == whole.checkpoint_callback.best_model_score
    _, other = run(tmp_path / "other", args, batches_per_step, seed=99)
    assert any(not torch.equal(value, state(other)[key]) for key, value in state(model).items())


RESUME = """
import os, sys
import test_training
from conftest import state
from lightning.pytorch.callbacks import Callback

class Kill(Callback):
    def on_train_batch_end(self, trainer, model, outputs, batch, batch_idx):
        if trainer.current_epoch == 3 and batch_idx == 1:
            os.kill(os.getpid(), 9)

args = {"schedule": "cosine", "dropout": 0.5}
if sys.argv[1] == "start":
    test_training.run(sys.argv[2], args, 16, Kill())
_, model = test_training.run(sys.argv[2], args, 16, ckpt_path="last", weights_only=True, seed=99)
import torch
torch.save(state(model), sys.argv[2] + "/end.pt")
"""


@pytest.mark.slow
def test_run_killed_by_a_signal_resumes_in_a_new_process(tmp_path, request):
    _, expected = run(tmp_path / "whole", {"schedule": "cosine", "dropout": 0.5}, 16)
    folder = tmp_path / "killed"
    here = str(request.path.parent)
    code = f"import sys; sys.path.insert(0, {here!r})\n{RESUME}"
    assert run_python("-c", code, "start", folder, cwd=tmp_path).returncode == -signal.SIGKILL
    result = run_python("-c", code, "resume", folder, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert_same(torch.load(folder / "end.pt", weights_only=True), state(expected))


def test_checkpoint_read_for_testing_leaves_the_next_fit_alone(tmp_path):
    trainer, model = run(tmp_path, {"schedule": "plateau", "dropout": 0.5}, 16)
    trainer.test(model, digits(), ckpt_path="best", weights_only=True, verbose=False)
    weights = state(model)
    ends = []
    for seed in (1, 2):
        again = mlp(schedule="plateau", dropout=0.5)
        again.net.load_state_dict(weights)
        again.on_load_checkpoint(torch.load(tmp_path / "best.ckpt", weights_only=True))
        torch.manual_seed(seed)
        train(again, digits(), max_epochs=1)
        ends.append(state(again))
    assert not torch.equal(ends[0]["2.weight"], ends[1]["2.weight"])  # its own random numbers, not the checkpoint's


# ---- stopping ----


@pytest.mark.parametrize("batches_per_step", [1, 16])
def test_loss_that_is_no_number_stops_training_with_a_line(batches_per_step):
    trainer = quiet_trainer(max_epochs=5)
    with pytest.raises(FloatingPointError, match=r"no longer finite in epoch \d+, near update \d+: lower lr") as caught:
        trainer.fit(mlp(optimizer="sgd", lr=1e30, l2=1.0), digits(batches_per_step=batches_per_step))
    assert "\n" not in str(caught.value)
    assert trainer.global_step <= 16  # on a CPU at once


class Ruin(Callback):
    """From an epoch on the weights are zero and stay so: the monitor falls, and then stands still."""

    def on_train_epoch_start(self, trainer, model):
        if trainer.current_epoch >= 2:
            for parameter in model.net.parameters():
                parameter.data.zero_()
            trainer.optimizers[0].param_groups[0]["lr"] = 0.0


@pytest.mark.parametrize("batches_per_step", [1, 16])
def test_early_stopping_and_the_best_checkpoint_is_tested(batches_per_step, tmp_path):
    model = mlp(patience=3)
    callbacks = [*default_callbacks(model, tmp_path), Ruin()]
    data = digits(batches_per_step=batches_per_step)
    trainer = train(model, data, max_epochs=50, callbacks=callbacks, enable_checkpointing=True)
    assert trainer.current_epoch == 5  # epochs 0 and 1, and three without an improvement
    assert {path.name for path in tmp_path.iterdir()} == {"best.ckpt", "last.ckpt"}
    assert trainer.test(model, data, verbose=False)[0]["test_accuracy"] < 0.2
    best = trainer.test(model, data, ckpt_path="best", weights_only=True, verbose=False)[0]
    assert best["test_accuracy"] > 0.8
    of_file = type(model).load_from_checkpoint(tmp_path / "best.ckpt", weights_only=True)
    assert quiet_trainer().test(of_file, digits(), verbose=False)[0] == best


@pytest.mark.parametrize("monitor", ["val_loss", "val_accuracy"])
def test_monitor_that_stands_still_ends_the_run(monitor, tmp_path):
    model = mlp(patience=2, monitor=monitor, lr=1e-30, optimizer="sgd")
    trainer = train(
        model, digits(), max_epochs=50, callbacks=default_callbacks(model, tmp_path), enable_checkpointing=True
    )
    assert trainer.current_epoch == 3


# ---- logging ----


class History(Checkpoint):
    """Metrics at the end of each epoch; as a checkpoint callback it comes after the model's own hooks."""

    def __init__(self):
        self.epochs = []

    def on_train_epoch_end(self, trainer, model):
        self.epochs.append({name: value.item() for name, value in trainer.callback_metrics.items()})


@pytest.mark.parametrize("batches_per_step", [1, 16])
def test_curves_are_read_back_from_the_event_file(batches_per_step, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    model, history = mlp(schedule="cosine", dropout=0.2), History()
    logger = TensorBoardLogger(tmp_path, name="", version="run")
    data = digits(batches_per_step=batches_per_step)
    trainer = train(
        model, data, max_epochs=4, logger=logger, callbacks=[history], enable_checkpointing=True, log_every_n_steps=1
    )
    logger.finalize("success")
    events = EventAccumulator(str(tmp_path / "run"))
    events.Reload()
    names = {"train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr"}
    assert names <= set(events.Tags()["scalars"])
    for name in names:
        curve = [event.value for event in events.Scalars(name)]
        assert curve == pytest.approx([epoch[name] for epoch in history.epochs]), name
        assert len(curve) == 4
        assert len({event.step for event in events.Scalars(name)}) == 4
    assert history.epochs[-1]["val_loss"] < history.epochs[0]["val_loss"]
    # The last point of the curve is what the weights give.
    validated = trainer.validate(model, data, verbose=False)[0]
    assert validated["val_loss"] == pytest.approx(history.epochs[-1]["val_loss"])


def test_epoch_means_weigh_batches_by_their_size():
    means = EpochMeans(flush=2)
    for value, size in ((1.0, 1), (2.0, 3), (4.0, 6)):
        means.add({"loss": torch.tensor(value), "twice": torch.tensor(2 * value)}, size)
    found = means.compute()
    assert found["loss"].item() == pytest.approx((1 + 2 * 3 + 4 * 6) / 10)
    assert found["twice"].item() == pytest.approx(2 * 31 / 10)
    means.add({"loss": torch.tensor(5.0), "twice": torch.tensor(0.0)}, 2)
    assert means.compute()["loss"].item() == 5.0  # of the old epoch nothing is left
    for loss in (math.nan, 1.0):  # a loss that is no number must not be passed over
        means.add({"loss": torch.tensor(loss), "twice": torch.tensor(0.0)}, 2)
    assert math.isnan(means.compute()["loss"])


def test_validation_loss_is_that_of_all_rows():
    model, data = mlp(), digits(val_size=100)
    found = quiet_trainer().validate(model, data, verbose=False)[0]
    x, y = data.splits["val"].tensors
    with torch.no_grad():
        values = model.step((data.to_natural_units(x), y))
    assert found["val_loss"] == pytest.approx(values["loss"].item(), rel=1e-5)
    assert found["val_accuracy"] == pytest.approx(values["accuracy"].float().mean().item())


@pytest.mark.parametrize("batches_per_step", [1, 4])
def test_a_last_batch_of_one_row_is_refused_before_batch_normalisation(batches_per_step):
    data = digits(val_size=100, batches_per_step=batches_per_step)
    data.setup()
    n = len(data.splits["train"].groups)
    size = next(size for size in range(20, n) if n % size == 1)
    data.batch_size = size
    with pytest.raises(ValueError, match=f"batch_size={size} leaves a last batch of one .* use batch_size={size + 1}"):
        quiet_trainer(max_epochs=1).fit(mlp(batch_norm=True), data)
    quiet_trainer(max_epochs=1).fit(mlp(), data)


@pytest.mark.parametrize("batches_per_step", [1, 4])
def test_loggers_count_updates(batches_per_step, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    settings = {"max_epochs": 2, "enable_progress_bar": False, "enable_model_summary": False}
    model, data, trainer = zoo.load_recipe("mlp.digits").build(
        data={"batches_per_step": batches_per_step}, trainer=settings, run=tmp_path / "run"
    )
    trainer.fit(model, data)
    events = EventAccumulator(str(tmp_path / "run"))
    events.Reload()
    curves = ["lr", "samples_per_second", "train_accuracy", "train_loss", "val_accuracy", "val_loss"]
    assert sorted(events.Tags()["scalars"]) == ["best_val_loss", *curves]
    for name in curves:
        assert [point.step for point in events.Scalars(name)] == [data.train_batches, 2 * data.train_batches]


def test_epoch_means_keep_double_precision():
    means = EpochMeans()
    for value in (1.0, 1.0 + 1e-12):
        means.add({"loss": torch.tensor(value, dtype=torch.float64)}, 1)
    assert float(means.compute()["loss"]) == pytest.approx(1.0 + 5e-13, rel=0, abs=1e-15)
