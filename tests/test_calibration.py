"""Probabilities that mean something: the temperature chosen in validation, and the expected calibration error."""

import pytest
import torch
import torch.nn.functional as F
from conftest import quiet_trainer
from torch import nn

import zoo
from datamodules import DigitsDataModule
from zoo.metrics.calibration import FEWEST_ERRORS, Temperature, best_temperature
from zoo.training.checkpoints import load_checkpoint


def scores_at(temperature, n=20_000):
    """Return scores (n, 5) and classes (n,) drawn from softmax(scores / temperature)."""
    generator = torch.Generator().manual_seed(0)
    scores = 3 * torch.randn(n, 5, generator=generator)
    labels = torch.multinomial((scores / temperature).softmax(1), 1, generator=generator)[:, 0]
    return scores, labels


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_temperature_of_made_up_scores_is_found(temperature):
    scores, labels = scores_at(temperature)
    found = best_temperature(scores, labels)
    assert found == pytest.approx(temperature, rel=0.05)
    losses = [float(F.cross_entropy(scores / t, labels)) for t in (found * 0.98, found, found * 1.02)]
    assert min(losses) == losses[1]
    metric = Temperature()
    for part in range(0, len(labels), 3_000):
        metric.update(scores[part : part + 3_000].half(), labels[part : part + 3_000])
    assert metric.compute() == {}
    assert metric.temperature == pytest.approx(temperature, rel=0.05)


def test_without_anything_to_choose_by_the_temperature_is_one():
    scores, labels = scores_at(2.0)
    assert best_temperature(scores, scores.argmax(1)) == 1
    wrong = torch.nonzero(scores.argmax(1) != labels)[:, 0]
    few = torch.where(torch.arange(len(labels)) < wrong[FEWEST_ERRORS - 1], labels, scores.argmax(1))
    assert best_temperature(scores, few) == 1
    assert best_temperature(scores.index_fill(0, torch.tensor([3]), float("nan")), labels) == 1


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """An overconfident classifier, its datamodule and its checkpoint."""
    torch.manual_seed(0)
    data = DigitsDataModule(train_size=100, val_size=400, batch_size=20)
    model = zoo.create_model("mlp", in_features=64, input_shape=[1, 8, 8], hidden_dims=[64], lr=1e-2)
    trainer = quiet_trainer(max_epochs=30)
    trainer.fit(model, data)
    path = tmp_path_factory.mktemp("fit") / "last.ckpt"
    trainer.save_checkpoint(path)
    return model, data, path


def test_a_fit_chooses_the_temperature_on_validation(fitted):
    model, data, path = fitted
    x, y = data.splits["val"].tensors
    x = data.to_natural_units(x)
    with torch.no_grad():
        scores = model.eval()(x)
    found = model.hparams["temperature"]
    assert found == pytest.approx(best_temperature(scores, y), rel=1e-3)
    assert found > 1.05
    assert F.cross_entropy(scores / found, y) < F.cross_entropy(scores, y)
    loaded = load_checkpoint(type(model), path)
    assert loaded.hparams["temperature"] == found
    answers = loaded.classify(x[:5])
    expected = (scores[:5] / found).softmax(1).max(1)
    torch.testing.assert_close(torch.tensor([each.probability for each in answers]), expected.values)


def test_the_calibration_error_is_measured_in_a_test(fitted):
    model, data, _ = fitted
    calibrated = quiet_trainer().test(model, data, verbose=False)[0]
    found, model.hparams["temperature"] = model.hparams["temperature"], 1.0
    plain = quiet_trainer().test(model, data, verbose=False)[0]
    model.hparams["temperature"] = found
    assert calibrated["test_ece"] < plain["test_ece"]
    assert {**calibrated, "test_ece": 0} == {**plain, "test_ece": 0}
    x, y = data.splits["test"].tensors
    with torch.no_grad():
        p, predicted = model.predict_step((data.to_natural_units(x),), 0).max(1)
    bins, error = (p * 15).ceil().long(), 0.0
    for k in bins.unique():
        rows = bins == k
        error += float(rows.float().mean() * ((predicted == y)[rows].float().mean() - p[rows].mean()).abs())
    assert calibrated["test_ece"] == pytest.approx(error, abs=2e-3)


def test_rows_that_are_trained_on_choose_no_temperature(monkeypatch):
    monkeypatch.setattr(DigitsDataModule, "train_on_all", True)
    data = DigitsDataModule(batch_size=100)
    model = zoo.create_model("mlp", in_features=64, input_shape=[1, 8, 8], hidden_dims=[16])
    quiet_trainer(max_epochs=1).fit(model, data)
    assert model.hparams["temperature"] == 1


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("inf")])
def test_a_temperature_is_positive(temperature):
    with pytest.raises(ValueError, match="temperature must be positive"):
        zoo.create_model("mlp", temperature=temperature)


def test_the_temperature_changes_no_class():
    x = torch.rand(50, 1, 28, 28)
    one, two = (zoo.create_model("mlp", temperature=t) for t in (1.0, 3.0))
    two.load_state_dict(one.state_dict())
    assert isinstance(one.net, nn.Module)
    assert [each.label for each in one.classify(x)] == [each.label for each in two.classify(x)]
    assert all(a.probability > b.probability for a, b in zip(one.classify(x), two.classify(x)))
