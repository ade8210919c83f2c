"""Every model on a CUDA device: `pytest -m gpu`."""

import pytest
import torch
from conftest import quiet_trainer, tiny_batch, tiny_data

import datamodules
import zoo

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


def train(model, data, **settings):
    trainer = quiet_trainer(**{"max_epochs": 1, "accelerator": "cuda", "devices": 1, **settings})
    trainer.fit(model, data)
    return trainer


@pytest.mark.parametrize("device_resident", ["yes", "no"])
@pytest.mark.parametrize("batches_per_step", [1, 16])
@pytest.mark.parametrize("name", zoo.list_models())
def test_every_model_fits(name, batches_per_step, device_resident):
    model = zoo.create_model(name)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    data = tiny_data(model, n=100, batch_size=4, batches_per_step=batches_per_step, device_resident=device_resident)
    trainer = train(model, data)
    assert trainer.global_step == 25
    assert trainer.callback_metrics["train_loss"].isfinite()
    assert any(not torch.equal(old, new.cpu()) for old, new in zip(before, model.parameters(), strict=True))
    found = trainer.test(model, data, verbose=False)[0]
    on_cpu = quiet_trainer().test(model.cpu(), data, verbose=False)[0]
    assert found["test_loss"] == pytest.approx(on_cpu["test_loss"], rel=0.02, abs=0.02)


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


@pytest.mark.parametrize("name", zoo.list_models())
def test_bf16(name):
    model = zoo.create_model(name)
    trainer = train(model, tiny_data(model, n=100, batch_size=20), precision="bf16-mixed", max_epochs=2)
    assert trainer.callback_metrics["train_loss"].isfinite()


@pytest.mark.parametrize("batches_per_step", [1, 16])
def test_loss_that_is_no_number_stops_training(batches_per_step):
    model = zoo.create_model("mlp", optimizer="sgd", lr=1e30)
    with pytest.raises(FloatingPointError, match="no longer finite in epoch"):
        train(model, tiny_data(model, batch_size=4, batches_per_step=batches_per_step), max_epochs=3)


def test_classify_takes_a_batch_from_the_host():
    model = zoo.create_model("mlp")
    x, _ = tiny_batch(model)
    assert len(model.cuda().classify(x)) == len(x)
