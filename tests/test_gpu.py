"""Every model on a CUDA device: `pytest -m gpu`; with LIGHTNING_ZOO_TEST_DEVICE=cpu they are tried without one."""

import gc
import os

import lightning as L
import numpy as np
import pytest
import torch
from conftest import answer, need_files, quiet_trainer, tiny_batch, tiny_data
from recorded_graphs import RecordedGraphs
from test_captured import OPTIONS

import datamodules
import zoo
from zoo import pretrained
from zoo.recipes import load_recipe
from zoo.training import captured
from zoo.verification import evaluate

DEVICE = os.environ.get("LIGHTNING_ZOO_TEST_DEVICE", "cuda")
IS_CUDA = DEVICE == "cuda"
# Kernels that give the same bits each time need it before the first of them.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(IS_CUDA and not torch.cuda.is_available(), reason="no CUDA device"),
]
EAGER = ("lstm_captioner",)
"""Models whose updates cannot be captured."""
OWN_SCORES = ("mlp.digits", "cnn.digits", "*.mnist", "*.fashion_mnist", "lstm_seq2seq.fra_eng")
SHIPPED = sorted({name for pattern in OWN_SCORES for name in zoo.list_recipes(pattern)})


@pytest.fixture(autouse=True)
def graphs(monkeypatch):
    """What captures in a test."""
    made, real = [], captured.graph_backend if IS_CUDA else RecordedGraphs

    def keep(model):
        backend = real(model)
        if backend is None:  # a model on the CPU
            return None
        made.append(Counted(backend))
        return made[-1]

    monkeypatch.setattr(captured, "graph_backend", keep)
    return made


class Counted:
    """A backend that counts its captures."""

    def __init__(self, backend):
        self.backend, self.captures, self.rate_dtype = backend, 0, backend.rate_dtype

    def __getattr__(self, name):
        return getattr(self.backend, name)

    def capture(self, function):
        found = self.backend.capture(function)
        self.captures += 1
        return found


def train(model, data, **settings):
    trainer = quiet_trainer(**{"max_epochs": 1, "accelerator": DEVICE, "devices": 1, **settings})
    trainer.fit(model, data)
    return trainer


NEVER = 10**9


def trained(name, captures, epochs=2, data=(), seed=1, **args):
    """Return the weights and the training loss of a model after some epochs.

    The same code runs with captures and without: a fused optimiser rounds a learning rate that is a tensor, and an
    RMSprop whose counters are on the device has another formula.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(captured, "EAGER_UPDATES", captured.EAGER_UPDATES if captures else NEVER)
        return fitted(name, epochs, dict(data), seed, args)


def fitted(name, epochs, data, seed, args):
    settings = {key: args.pop(key) for key in ("precision", "max_steps", "limit_train_batches") if key in args}
    L.seed_everything(seed, verbose=False)
    model = zoo.create_model(name, **args)
    batches = {"n": 102, "batch_size": 4, "batches_per_step": 16, **data}
    trainer = train(model, tiny_data(model, **batches), max_epochs=epochs, **settings)
    weights = {key: value.detach().cpu().double() for key, value in model.net.state_dict().items()}
    return weights, trainer.callback_metrics["train_loss"].cpu(), model


def distance(one, other):
    return max(float((value - other[key]).abs().max()) for key, value in one.items() if value.numel())


def assert_captured_is_eager(name, **settings):
    """Compare captured updates with eager ones: the same bits where two eager runs agree, else as close as those."""
    first, second = (trained(name, False, **settings) for _ in range(2))
    third = trained(name, True, **settings)
    spread, found = distance(first[0], second[0]), distance(first[0], third[0])
    assert found <= 5 * spread + 2e-6, f"{found:.2e} apart, two eager runs {spread:.2e}"
    assert third[1] == pytest.approx(float(first[1]), rel=1e-3, abs=1e-4)


# ---- every model ----


@pytest.mark.parametrize("device_resident", ["yes", "no"])
@pytest.mark.parametrize("batches_per_step", [1, 16])
@pytest.mark.parametrize("name", zoo.list_models())
def test_every_model_fits(name, batches_per_step, device_resident, graphs):
    model = zoo.create_model(name)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    data = tiny_data(model, n=100, batch_size=4, batches_per_step=batches_per_step, device_resident=device_resident)
    trainer = train(model, data)
    assert trainer.global_step == 25
    assert [each.captures > 0 for each in graphs] == ([name not in EAGER] if batches_per_step > 1 else [])
    assert trainer.callback_metrics["train_loss"].isfinite()
    assert any(not torch.equal(old, new.cpu()) for old, new in zip(before, model.parameters(), strict=True))
    found = trainer.test(model, data, verbose=False)[0]
    on_cpu = quiet_trainer().test(model.cpu(), data, verbose=False)[0]
    assert found["test_loss"] == pytest.approx(on_cpu["test_loss"], rel=0.02, abs=0.02)


@pytest.mark.parametrize("name", zoo.list_models())
def test_captured_updates_are_the_eager_ones(name):
    assert_captured_is_eager(name)


@pytest.mark.parametrize("name", zoo.list_models())
def test_graphs_last_through_validations(name, graphs):
    model = zoo.create_model(name)
    train(model, tiny_data(model, n=200, batch_size=4, batches_per_step=16), max_epochs=3)
    assert [each.captures for each in graphs] == [int(name not in EAGER)]


def test_new_graphs_follow_a_change_of_settings(graphs):
    class Change(L.Callback):
        takes_chunks = True

        def on_train_epoch_start(self, trainer, model):
            trainer.optimizers[0].param_groups[0]["weight_decay"] = 0.1 * trainer.current_epoch

        def on_train_epoch_end(self, trainer, model):
            assert model.run.captured.obstacle == ""

    model = zoo.create_model("mlp")
    train(model, tiny_data(model, n=400, batch_size=4, batches_per_step=16), max_epochs=3, callbacks=[Change()])
    assert graphs[0].captures == 3


@pytest.mark.parametrize("name", zoo.list_models())
def test_bf16(name):
    _, loss, _ = trained(name, True, precision="bf16-mixed")
    _, eager, _ = trained(name, False, precision="bf16-mixed")
    assert loss == pytest.approx(float(eager), rel=0.1, abs=0.05)


@pytest.mark.parametrize("name", zoo.list_models())
def test_losses_are_those_of_updates_without_graphs(name):
    _, loss, _ = trained(name, True)
    _, usual, _ = trained(name, True, cuda_graphs=False)
    assert loss == pytest.approx(float(usual), rel=0.02, abs=0.01)


MORE_OPTIONS = {
    **OPTIONS,
    "dropout": {"dropout": 0.5},
    "rmsprop": {"optimizer": "rmsprop"},
    "adagrad": {"optimizer": "adagrad"},
    "max_steps": {"max_steps": 41},
    "limit_train_batches": {"limit_train_batches": 11},
}


@pytest.mark.parametrize("options", MORE_OPTIONS.values(), ids=MORE_OPTIONS)
def test_options_keep_their_meaning(options):
    assert_captured_is_eager("mlp", epochs=4, **options)


@pytest.mark.parametrize("name", ["mlp", "lenet5", "autoencoder", "denoising_autoencoder"])
def test_deterministic_kernels_give_the_same_bits(name, monkeypatch):
    torch.use_deterministic_algorithms(True)
    try:
        one, other = trained(name, False)[0], trained(name, False)[0]
        assert distance(one, other) == 0
        assert distance(trained(name, True)[0], trained(name, True)[0]) == 0
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("batches_per_step", [1, 16])
def test_resumed_run_is_the_whole_run(batches_per_step, tmp_path):
    class Stop(L.Callback):
        takes_chunks = True

        def on_train_epoch_end(self, trainer, model):
            if trainer.current_epoch == 1:
                trainer.save_checkpoint(tmp_path / "half.ckpt")

    def run(callbacks=(), **settings):
        L.seed_everything(1, verbose=False)
        model = zoo.create_model("mlp", dropout=0.3, schedule="cosine", lr=0.01)
        data = tiny_data(model, n=102, batch_size=4, batches_per_step=batches_per_step)
        device = settings.pop("accelerator", DEVICE)
        trainer = quiet_trainer(max_epochs=4, accelerator=device, devices=1, callbacks=list(callbacks))
        trainer.fit(model, data, **settings)
        return {key: value.cpu().double() for key, value in model.net.state_dict().items()}

    whole = run([Stop()])
    assert distance(whole, run(ckpt_path=tmp_path / "half.ckpt")) <= 2e-6
    on_cpu = run(ckpt_path=tmp_path / "half.ckpt", accelerator="cpu")  # draws other dropout masks
    assert all(bool(value.isfinite().all()) for value in on_cpu.values())


@pytest.mark.parametrize("name", ["cnn", "lstm_seq2seq"])
def test_memory_is_freed(name):
    if not IS_CUDA:
        pytest.skip("needs a CUDA device")

    def used():
        gc.collect()
        torch.cuda.empty_cache()
        return torch.cuda.memory_reserved()

    trained(name, True)
    before = used()
    for _ in range(3):
        trained(name, True)
    assert used() <= before + 2**22


# ---- data ----


@pytest.mark.parametrize("batches_per_step", [1, 16])
@pytest.mark.parametrize("data", ["digits", "boolean", "breast_cancer"])
def test_shared_data(data, batches_per_step):
    data = datamodules.create_datamodule(data, batch_size=4, batches_per_step=batches_per_step)
    spec = {key: value for key, value in data.spec.items() if key in zoo.model_info("mlp")["parameters"]}
    model = zoo.create_model("mlp", **spec)
    trainer = train(model, data)
    assert trainer.global_step == -(-len(data.splits["train"].groups) // 4)


def test_augmentation_runs_on_the_device():
    data = datamodules.create_datamodule("digits", batches_per_step=4, augment={"shift": 1, "rotate": 5, "erase": 2})
    model = zoo.create_model("mlp", in_features=64, input_shape=[1, 8, 8])
    assert train(model, data).callback_metrics["train_loss"].isfinite()


def test_translator_meets_few_shapes(graphs):
    data = need_files(load_recipe("lstm_seq2seq.fra_eng").datamodule())
    data.setup()
    data.splits["train"] = data.splits["train"].take(np.arange(16_000))
    spec = {key: value for key, value in data.spec.items() if key in zoo.model_info("lstm_seq2seq")["parameters"]}
    model = zoo.create_model("lstm_seq2seq", **{**spec, "embedding_dim": 16, "hidden_dim": 16})
    train(model, data, max_epochs=2)
    assert 1 <= graphs[0].captures <= captured.MOST_GRAPHS


@pytest.mark.parametrize("recipe", SHIPPED)
def test_shipped_weights_score_what_the_result_file_says(recipe):
    if not pretrained.weights_path(recipe).exists():
        pytest.skip(f"{recipe}: its weights are not here")
    data = need_files(load_recipe(recipe).datamodule())
    found = evaluate(zoo.create_model(recipe, pretrained=True), data, {"accelerator": DEVICE, "devices": 1})
    for name, recorded in pretrained.load_result(recipe)["weights"]["metrics"].items():
        tolerance = {"abs": 5e-4} if name.endswith("accuracy") else {"rel": 2e-3, "abs": 5e-4}
        assert found[name] == pytest.approx(recorded, **tolerance), name


# ---- faults ----


@pytest.mark.parametrize("batches_per_step", [1, 16])
def test_loss_that_is_no_number_stops_training(batches_per_step):
    model = zoo.create_model("mlp", optimizer="sgd", lr=1e30)
    with pytest.raises(FloatingPointError, match="no longer finite in epoch"):
        train(model, tiny_data(model, batch_size=4, batches_per_step=batches_per_step), max_epochs=3)


def test_batch_that_does_not_fit_is_one_line(elsewhere, capfd):
    if not IS_CUDA:
        pytest.skip("needs a CUDA device")
    torch.cuda.set_per_process_memory_fraction(0.002)
    try:
        words = ("--model.hidden_dims", "[20000, 20000]", "--trainer.accelerator", "gpu")
        status, _, err = answer(capfd, "fit", "mlp.digits", *words)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert status == 2
    assert "not enough memory" in err.strip().splitlines()[-1]


def test_classify_takes_a_batch_from_the_host():
    model = zoo.create_model("mlp")
    x = tiny_batch(model)[0]
    assert len(model.to(DEVICE).classify(x)) == len(x)
