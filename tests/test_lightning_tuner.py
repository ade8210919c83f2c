"""Lightning's own ``Tuner`` on every model of the registry."""

import math

import pytest
from conftest import quiet_trainer, tiny_data
from lightning.pytorch.tuner import Tuner

import zoo

QUICK = ("mlp", "lstm_classifier")
MODELS = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in zoo.list_models()]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.filterwarnings("ignore")
def test_lightnings_tuner_works(name, elsewhere):
    """The learning-rate finder sets a learning rate, the batch-size scaler doubles the size of the batches."""
    model = zoo.create_model(name)
    data = tiny_data(model, batch_size=4)
    found = Tuner(quiet_trainer(max_epochs=20)).lr_find(
        model, datamodule=data, num_training=20, early_stop_threshold=None
    )
    assert len(found.results["loss"]) >= 20
    assert all(map(math.isfinite, found.results["loss"][:3]))
    assert model.hparams["lr"] == found.suggestion() > 0
    size = Tuner(quiet_trainer(max_epochs=1)).scale_batch_size(
        model, datamodule=data, init_val=2, max_trials=3, steps_per_trial=1
    )
    assert size == data.batch_size == 8
