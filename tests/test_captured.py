"""Updates as CUDA graphs: what is replayed is what would have been computed. `RecordedGraphs` stands in for CUDA."""

import contextlib
import copy
import gc
import pickle
import random
import warnings

import lightning as L
import numpy as np
import pytest
import torch
from conftest import assert_same, quiet_trainer, state, tiny_data
from recorded_graphs import RecordedGraphs

import zoo
from zoo.recipes import load_recipe
from zoo.training import captured

EAGER = {"lstm_captioner": "waits for the device"}
"""Models whose updates cannot be captured, and why."""


@pytest.fixture
def graphs(monkeypatch):
    """The stand-ins of the fits of a test, in order."""
    made = []
    monkeypatch.setattr(RecordedGraphs, "made", made)
    return made


def fit(model, data, graphs=True, **settings):
    """Fit on a CPU, with the stand-in or without; return the trainer."""
    with pytest.MonkeyPatch.context() as patch:
        if graphs:
            patch.setattr(captured, "graph_backend", RecordedGraphs)
        trainer = quiet_trainer(**{"max_epochs": 2, **settings})
        trainer.fit(model, data)
    return trainer


def both(make_model, make_data, make_callbacks=list, prepare=None, **settings):
    """Fit twice from the same seed, with the stand-in and without; weights and metrics are the same."""
    found = []
    for graphs in (False, True):
        L.seed_everything(1, verbose=False)
        model = make_model()
        if prepare:
            prepare(model)
        trainer = fit(model, make_data(model), graphs, callbacks=make_callbacks(), **settings)
        found.append((model, trainer))
    (plain, usual), (replayed, trainer) = found
    assert_same(state(plain), state(replayed))
    assert usual.global_step == trainer.global_step
    for name, value in usual.callback_metrics.items():
        assert torch.equal(value, trainer.callback_metrics[name]), name
    return replayed, trainer


def mlp(**args):
    return zoo.create_model("mlp", **{"hidden_dims": [16], "dropout": 0.3, **args})


def chunks(model, **args):
    return tiny_data(model, **{"n": 70, "batch_size": 4, "batches_per_step": 6, **args})


# ---- every model ----


@pytest.mark.parametrize("name", zoo.list_models())
def test_captured_updates_are_the_same(name, graphs):
    model, _ = both(lambda: zoo.create_model(name), chunks, max_epochs=1)
    (stand_in,) = graphs
    assert model.run.captured is None, "the graphs are freed"
    if name in EAGER:
        assert stand_in.captures == 0
    else:
        assert stand_in.captures >= 1
        assert stand_in.replays >= 5


CONFIGURED = sorted(
    name
    for name in zoo.list_recipes()
    if load_recipe(name).data.get("args", {}).get("batches_per_step", 1) > 1
    and "playground" not in name
    and load_recipe(name).model["name"] not in EAGER
)
"""Recipes whose updates are captured on a GPU."""
FROM_DATA = {
    "deep_autoencoder.reuters": {"in_features": 40, "input_shape": [40]},
    "deep_autoencoder.reuters_2d": {"in_features": 40, "input_shape": [40]},
    "inpainting_autoencoder.cifar10_jpeg": {"input_shape": [3, 32, 32]},
    "inpainting_autoencoder.flickr8k": {"input_shape": [3, 32, 32]},
    "lstm_classifier.clinc150": {"num_classes": 3, "class_names": ["yes", "no", "oos"]},
    "lstm_classifier.davidson": {"num_classes": 3},
    "lstm_classifier.reuters_topics": {"num_classes": 4, "multi_label": True, "class_shares": [0.2] * 4},
}
"""Arguments that a datamodule gives these models."""


def labelled(model):
    """Return data of which each row has one class, or as one of several topics."""
    data = chunks(model)
    if not model.hparams.get("multi_label"):
        return data
    load, count = data.load, model.hparams["num_classes"]

    def topics():
        splits = load()
        for name, split in splits.items():
            x, y = split.stored
            splits[name] = split._replace(stored=(x, torch.nn.functional.one_hot(y % count, count).to(torch.uint8)))
        return splits

    data.load = topics
    return data


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGURED)
def test_updates_of_a_recipe_are_captured(name, graphs, caplog):
    caplog.set_level("DEBUG", "zoo")
    model = load_recipe(name).model
    args = {**FROM_DATA.get(name, {}), **model.get("args", {})}
    args |= {"embedding_init": "random"} if "embedding_init" in args else {}  # made-up texts are too few for another
    both(lambda: zoo.create_model(model["name"], **args), labelled, max_epochs=1)
    assert graphs[0].replays >= 5, caplog.text


@pytest.mark.parametrize("name", EAGER)
def test_reason_is_said_once(name, graphs, caplog):
    caplog.set_level("DEBUG", "zoo")
    model = zoo.create_model(name)
    fit(model, chunks(model))
    (line,) = [record.getMessage() for record in caplog.records if record.name.startswith("zoo")]
    assert line.startswith("updates are computed without CUDA graphs")
    assert EAGER[name] in line


@pytest.mark.parametrize("name", [name for name in zoo.list_models() if name not in EAGER])
def test_validations_change_no_graph(name, graphs):
    model = zoo.create_model(name)
    fit(model, chunks(model, n=72, n_val=60, noise=0.9), max_epochs=3)
    assert graphs[0].captures == 1
    assert graphs[0].released


class Gradual(L.Callback):
    """A callback that looks at gradients before they are used."""

    takes_chunks = True

    def on_before_optimizer_step(self, trainer, model, optimizer):
        assert all(p.grad is not None for p in model.parameters())


class OwnUpdate(zoo.base.ZooModule):
    """A model that learns in its own way."""

    def __init__(self, **args):
        super().__init__(**args)
        self.net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))

    def step(self, batch):
        return {"loss": torch.nn.functional.cross_entropy(self.net(batch[0]), batch[1])}

    def update(self, batch):
        return super().update(batch)


@pytest.mark.parametrize(
    ("make", "callbacks", "why"),
    [
        (mlp, [Gradual()], "a callback with a hook on gradients"),
        (OwnUpdate, [], "OwnUpdate overrides update"),
    ],
    ids=["hook", "update"],
)
def test_what_else_takes_part_in_an_update(make, callbacks, why, graphs, caplog):
    caplog.set_level("DEBUG", "zoo")
    model = make()
    fit(model, chunks(mlp()), callbacks=callbacks)
    assert graphs[0].runs == 0
    assert why in caplog.text


# ---- every option of an update ----

OPTIONS = {
    "accumulate": {"accumulate": 3},
    "clip_norm": {"clip_norm": 0.05},
    "max_norm": {"max_norm": 0.5},
    "penalties": {"l1": 1e-3, "l2": 1e-2},
    "cosine": {"schedule": "cosine", "lr": 0.01},
    "onecycle": {"schedule": "onecycle", "lr": 0.01},
    "step": {"schedule": "step", "lr": 0.01},
    "plateau": {"schedule": "plateau", "patience": 1, "lr": 0.01},
    "decay": {"weight_decay": 0.1, "optimizer": "adamw"},
    "sgd": {"optimizer": "sgd", "lr": 0.1},
    "momentum": {"optimizer": "momentum", "lr": 0.1},
    "accumulated onecycle": {"accumulate": 2, "schedule": "onecycle", "clip_norm": 0.1},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_options_keep_their_meaning(options, graphs):
    both(lambda: mlp(**options), chunks, max_epochs=4)
    assert graphs[0].captures >= 1
    assert graphs[0].replays >= 15


@pytest.mark.parametrize("optimizer", ["adagrad", "rmsprop"])
def test_other_optimizers_are_computed_as_usual(optimizer, graphs):
    both(lambda: mlp(optimizer=optimizer), chunks)
    captures = graphs[0].captures
    assert captures == 0


@pytest.mark.parametrize(
    "flags", [{"precision": "bf16-mixed"}, {"max_steps": 13}, {"limit_train_batches": 9}, {"precision": "64-true"}]
)
def test_flags_keep_their_meaning(flags, graphs):
    both(mlp, chunks, max_epochs=4, **flags)
    assert graphs[0].replays >= 5


def test_no_graphs_if_they_are_turned_off(graphs):
    model = mlp(cuda_graphs=False)
    fit(model, chunks(model))
    model = mlp()
    fit(model, chunks(model, batches_per_step=1))
    assert graphs == []


def test_loss_that_is_no_number_stops_training(graphs):
    model = mlp(optimizer="sgd", lr=1e30)
    with pytest.raises(FloatingPointError, match="no longer finite in epoch"):
        fit(model, chunks(model), max_epochs=9)
    assert model.run.captured is None


# ---- what changes while a graph is in use ----


class Changing(L.Callback):
    """Change something before each epoch."""

    takes_chunks = True

    def __init__(self, change):
        self.change = change

    def on_train_epoch_start(self, trainer, model):
        self.change(trainer, model, trainer.current_epoch)


def set_group(name, values):
    def change(trainer, model, epoch):
        trainer.optimizers[0].param_groups[0][name] = values[epoch % len(values)]

    return change


def set_dropout(trainer, model, epoch):
    for layer in model.net.modules():
        if isinstance(layer, torch.nn.Dropout):
            layer.p = 0.05 * (1 + epoch)


def set_penalty(trainer, model, epoch):
    model.hparams["l2"] = 0.01 * epoch


def freeze_first_layer(trainer, model, epoch):
    first = next(layer for layer in model.net.modules() if isinstance(layer, torch.nn.Linear))
    first.requires_grad_(epoch % 2 == 0)


def move_weights(trainer, model, epoch):
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()


def add_group(trainer, model, epoch):
    if epoch == 1:
        group = trainer.optimizers[0].param_groups[0]
        moved = group["params"].pop()
        trainer.optimizers[0].add_param_group({"params": [moved], "lr": 0.5})


def load_state(trainer, model, epoch):
    trainer.optimizers[0].load_state_dict(trainer.optimizers[0].state_dict())


CHANGES = {
    "lr": set_group("lr", [1e-3, 0.05, 0.01]),
    "weight_decay": set_group("weight_decay", [0.0, 0.3]),
    "betas": set_group("betas", [(0.9, 0.999), (0.5, 0.9)]),
    "dropout": set_dropout,
    "l2": set_penalty,
    "requires_grad": freeze_first_layer,
    "data": move_weights,
    "groups": add_group,
    "state": load_state,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_changes_take_effect(change, graphs):
    both(mlp, chunks, lambda: [Changing(change)], max_epochs=4)
    assert graphs[0].replays >= 20


def test_share_of_true_tokens_takes_effect(graphs):
    both(lambda: zoo.create_model("lstm_seq2seq", teacher_forcing=0.2), chunks, max_epochs=3)
    assert graphs[0].captures >= 2


def test_settings_that_change_all_the_time_end_the_graphs(graphs, caplog):
    caplog.set_level("DEBUG", "zoo")
    both(mlp, lambda model: chunks(model, n=40), lambda: [Changing(set_dropout)], max_epochs=12)
    assert "change too often" in caplog.text
    assert graphs[0].captures <= 5


def test_hooks_are_called(graphs):
    calls = []
    model = mlp()
    model.net[0].register_forward_hook(lambda *_: calls.append(1))
    trainer = fit(model, chunks(model))
    assert len(calls) >= trainer.global_step
    assert graphs[0].captures == 0


def test_gradients_that_a_callback_drops_are_followed(graphs):
    def drop(trainer, model, epoch):
        trainer.optimizers[0].zero_grad()

    both(lambda: mlp(accumulate=3), chunks, lambda: [Changing(drop)], max_epochs=4)
    assert graphs[0].replays >= 15


def test_gradients_are_those_of_the_last_update(graphs):
    seen = []

    class Gradients(L.Callback):
        takes_chunks = True

        def on_train_batch_end(self, trainer, model, *_):
            seen.append([p.grad.clone() for p in model.parameters()])

    both(mlp, lambda model: chunks(model, n=72), lambda: [Gradients()], max_epochs=3)
    half = len(seen) // 2
    for one, other in zip(seen[:half], seen[half:], strict=True):
        assert all(map(torch.equal, one, other))


# ---- what a graph cannot keep ----


class Waits(zoo.base.ZooModule):
    """A model whose step does something besides tensor arithmetic."""

    def __init__(self, what, **args):
        super().__init__(**args)
        self.net, self.what, self.count, self.history = torch.nn.Linear(3, 1), what, 0, []
        self.draws = np.random.default_rng(0)

    def step(self, batch):
        x, y = batch
        loss = (self.net(x)[:, 0] - y.float()).square().mean()
        return {"loss": loss * WHATS[self.what](self, x, loss)}


def counts(model, x, loss):
    model.count += 1
    return 1 + model.count


def collects(model, x, loss):
    model.history.append(float(x.shape[0]))
    return len(model.history)


def logs(model, x, loss):
    model.log("extra", loss.detach(), on_step=False, on_epoch=True)
    return 1.0


WHATS = {
    "item": lambda model, x, loss: 1 + abs(loss.item()),
    "if": lambda model, x, loss: 2.0 if bool((x > 0).any()) else 1.0,
    "mask": lambda model, x, loss: 1 + x[x > 0].sum(),
    "constant": lambda model, x, loss: torch.tensor([1.0, 2.0]).sum(),
    "python": lambda model, x, loss: random.random(),
    "numpy": lambda model, x, loss: float(model.draws.random()),
    "counts": counts,
    "collects": collects,
    "logs": logs,
    "epoch": lambda model, x, loss: 1.0 + model.current_epoch,
    "trainer": lambda model, x, loss: 1.0 + model.trainer.current_epoch,
}


@pytest.mark.parametrize("what", WHATS)
def test_updates_that_are_more_than_arithmetic_are_computed_as_usual(what, graphs):
    def prepare(model):
        random.seed(0)

    both(
        lambda: Waits(what),
        lambda model: chunks(zoo.create_model("mlp", in_features=3, num_classes=2)),
        prepare=prepare,
    )
    assert graphs[0].captures == 0


def test_capture_that_fails_loses_nothing(graphs, monkeypatch):
    real = RecordedGraphs.capture

    def broken(self, function):
        def inner():
            function()
            raise RuntimeError("operation not permitted when stream is capturing")

        return real(self, inner)

    monkeypatch.setattr(RecordedGraphs, "capture", broken)
    both(mlp, chunks)
    assert graphs[0].replays == 0


# ---- checkpoints ----


@pytest.mark.parametrize("schedule", ["cosine", "plateau", "constant"])
def test_checkpoint_holds_numbers_and_resumes_anywhere(schedule, graphs, tmp_path):
    def make():
        return mlp(schedule=schedule, patience=1, lr=0.01, weight_decay=0.1, optimizer="adamw")

    L.seed_everything(1, verbose=False)
    whole = make()
    fit(whole, chunks(whole), graphs=False, max_epochs=4)
    for first, second in ((True, False), (False, True), (True, True)):
        L.seed_everything(1, verbose=False)
        model = make()

        class Stop(L.Callback):
            takes_chunks = True

            def on_train_epoch_end(self, trainer, model):
                if trainer.current_epoch == 1:
                    trainer.save_checkpoint(tmp_path / "half.ckpt")
                    trainer.should_stop = True

        fit(model, chunks(model), graphs=first, max_epochs=4, callbacks=[Stop()])
        saved = torch.load(tmp_path / "half.ckpt", weights_only=True)
        for group in saved["optimizer_states"][0]["param_groups"]:
            assert not any(isinstance(value, torch.Tensor) for value in group.values())
            assert group["capturable"] is False
        for found in (*saved["lr_schedulers"], *filter(None, [saved["zoo"]["resume"].get("plateau")])):
            assert all(isinstance(rate, float) for rate in found["_last_lr"])
        resumed = make()
        with pytest.MonkeyPatch.context() as patch:
            if second:
                patch.setattr(captured, "graph_backend", RecordedGraphs)
            quiet_trainer(max_epochs=4).fit(resumed, chunks(resumed), ckpt_path=tmp_path / "half.ckpt")
        assert_same(state(whole), state(resumed))


def test_optimizer_is_left_as_it_was_built(graphs):
    model = mlp(weight_decay=0.1, optimizer="adamw", lr=0.003)
    trainer = fit(model, chunks(model))
    for group in trainer.optimizers[0].param_groups:
        assert group["lr"] == 0.003
        assert group["capturable"] is False


def test_rates_of_low_precision_are_the_shortest_numbers():
    from zoo.training.capturable import _numbers

    assert _numbers({"lr": torch.tensor(1e-3), "weight_decay": 0.1}) == {"lr": 1e-3}


def test_model_in_training_is_copied_without_its_graphs(graphs):
    copies = []

    class Copy(L.Callback):
        takes_chunks = True

        def on_train_epoch_end(self, trainer, model):
            assert model.run.captured is not None
            copies.append(copy.deepcopy(model.run))
            copies.append(pickle.loads(pickle.dumps(model.run.captured)))

    model = mlp()
    fit(model, chunks(model), callbacks=[Copy()])
    assert copies[0].captured is None
    assert copies[1] is None


# ---- what is asked of CUDA ----


class FakeCuda:
    """What ``CudaGraphs`` calls of ``torch.cuda``, which writes down the calls."""

    def __init__(self, patch):
        self.calls = calls = []
        self.mode = 0

        class Stream:
            device_index = 0

            def __init__(self, *_):
                pass

            def wait_stream(self, other):
                calls.append("wait")

        class Graph:
            def capture_begin(self, pool, capture_error_mode):
                calls.append(f"begin {capture_error_mode}")

            def capture_end(self):
                calls.append("end")

            def replay(self):
                calls.append("replay")

        @contextlib.contextmanager
        def stream(_):
            calls.append("enter")
            yield
            calls.append("leave")

        patch.setattr(torch._C, "_cuda_clearCublasWorkspaces", lambda: calls.append("clear"), raising=False)
        patch.setattr(torch._C, "_cuda_endAllocateToPool", lambda *_: calls.append("pool"), raising=False)

        class Generator:
            def clone_state(self):
                return "before"

            def graphsafe_set_state(self, state):
                calls.append(f"generator {state}")

        def set_mode(mode):
            self.mode = mode

        fakes = {
            "Stream": Stream,
            "CUDAGraph": Graph,
            "stream": stream,
            "default_generators": [Generator()],
            "graph_pool_handle": lambda: "pool",
            "current_stream": lambda _: Stream(),
            "synchronize": lambda _: calls.append("synchronize"),
            "get_sync_debug_mode": lambda: self.mode,
            "set_sync_debug_mode": set_mode,
        }
        for name, fake in fakes.items():
            patch.setattr(torch.cuda, name, fake)


@pytest.fixture
def cuda(monkeypatch):
    return FakeCuda(monkeypatch)


def test_capture_is_begun_and_ended_on_a_stream_of_its_own(cuda):
    graphs = captured.CudaGraphs(torch.device("cuda", 0))
    replay, values = graphs.capture(lambda: cuda.calls.append(f"collects {gc.isenabled()}") or {"loss": 1})
    assert values == {"loss": 1}
    assert cuda.calls == [
        "wait",
        "synchronize",
        "enter",
        "begin thread_local",
        "end",
        "clear",
        "begin thread_local",
        "collects False",
        "end",
        "clear",
        "leave",
        "wait",
    ]
    replay()
    assert cuda.calls[-1] == "replay"
    assert gc.isenabled()
    graphs.capture(dict)
    assert cuda.calls.count("begin thread_local") == 3, "the pool is held once, by an empty graph"
    graphs.release()
    assert graphs.anchor is None


def test_failed_capture_is_ended_and_the_random_numbers_go_on(cuda):
    def fail():
        raise RuntimeError("operation not permitted")

    with pytest.raises(RuntimeError, match="not permitted"):
        captured.CudaGraphs(torch.device("cuda", 0)).capture(fail)
    assert cuda.calls[-4:] == ["end", "clear", "generator before", "pool"]
    assert gc.isenabled()


def test_wait_for_the_device_is_found_and_other_warnings_are_passed_on(cuda):
    def work():
        assert cuda.mode == "warn"
        warnings.warn("called a synchronizing CUDA operation", stacklevel=1)
        warnings.warn("another", stacklevel=1)
        return {}

    graphs = captured.CudaGraphs(torch.device("cuda", 0))
    with pytest.warns(UserWarning, match="another") as caught:
        assert graphs.find_waits(work) == ({}, True)
    assert len(caught) == 1
    assert cuda.mode == 0
    assert graphs.find_waits(dict) == ({}, False)
