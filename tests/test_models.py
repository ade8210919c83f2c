"""Every registered model: it learns, it does not leak, it is stored and it is read back."""

import importlib
import inspect
import json
import pkgutil

import lightning as L
import pytest
import torch
import torch.nn.functional as F
from adapters import ADAPTERS, adapter_of, task_of
from conftest import assert_same, published_files, quiet_trainer, run_python, state, tiny_batch, tiny_data, tiny_inputs
from marks import slowly
from torch import nn

import datamodules
import zoo
from datamodules.aeslc import AeslcDataModule
from datamodules.fra_eng import FraEngDataModule
from datamodules.reuters import ReutersDataModule
from datamodules.text.base import TextDataModule
from datamodules.text.private_words import PrivateWords
from datamodules.text.vocabulary import Vocabulary
from datamodules.tinyshakespeare import TinyShakespeareDataModule
from zoo.base import ZooModule
from zoo.registry import find_model
from zoo.training.checkpoints import load_checkpoint

MODELS = zoo.list_models()
RECIPES = zoo.list_recipes()
every_model = pytest.mark.parametrize("name", MODELS)
CLASSIFIERS = [name for name in MODELS if adapter_of(find_model(name).cls).classifies]
every_classifier = pytest.mark.parametrize("name", CLASSIFIERS)


def fit(model, data, **settings):
    trainer = quiet_trainer(**{"max_epochs": 1, **settings})
    trainer.fit(model, data)
    return trainer


# ---- learning ----


class StopOverfitted(L.Callback):
    """Stops a fit once the model knows its batch by heart, after which nothing more is to be seen."""

    def __init__(self, adapter):
        self.adapter = adapter

    @torch.no_grad()
    def on_train_epoch_end(self, trainer, model):
        if trainer.current_epoch % 10 == 9:
            with model.evaluating():
                trainer.should_stop = self.adapter.has_overfitted(model, trainer.datamodule.splits["train"].tensors)


@pytest.mark.parametrize(
    "name",
    [pytest.param(each, marks=pytest.mark.slow) if each == "inpainting_autoencoder" else each for each in MODELS],
)
def test_overfits_a_batch(name):
    model = zoo.create_model(name)
    data, adapter = tiny_data(model, val_size=0), adapter_of(type(model))
    stop = StopOverfitted(adapter)
    fit(model, data, max_epochs=adapter.overfitting_epochs, limit_val_batches=0, callbacks=[stop])
    with torch.no_grad():
        assert adapter.has_overfitted(model.eval(), data.splits["train"].tensors)


@every_model
def test_every_parameter_gets_a_gradient(name):
    model = zoo.create_model(name)
    # All ten classes are there, so that a perceptron, which learns from mistakes alone, makes some in every class.
    model.step(tiny_batch(model))["loss"].backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.abs().sum() > 0, key
        assert parameter.grad.isfinite().all(), key


@every_classifier
def test_nothing_is_learned_from_shuffled_labels(name):
    accuracy = {}
    for shuffled in (True, False):
        model = zoo.create_model(name)
        data = tiny_data(model, n=80, n_val=400, noise=0.3, shuffled=shuffled, batch_size=10)
        fit(model, data, max_epochs=10, limit_val_batches=0)
        accuracy[shuffled] = quiet_trainer().validate(model, data, verbose=False)[0]["val_accuracy"]
    # The right answers of a guesser are binomial(400, chance): within 4 standard deviations but once in 15,000.
    chance = 1 / model.hparams["num_classes"]
    assert abs(accuracy[True] - chance) < 4 * (chance * (1 - chance) / 400) ** 0.5
    assert accuracy[False] > 0.55 + 0.45 * chance


@every_model
def test_samples_do_not_see_each_other(name):
    model = zoo.create_model(name)
    fit(model, tiny_data(model), max_epochs=2, limit_val_batches=0)  # batch statistics are no longer 0 and 1
    inputs = tiny_inputs(model)
    model.eval()
    with torch.no_grad():
        scores = model(*inputs)
        for number, x in enumerate(inputs):
            changed = x.clone()
            changed[0] = 1 - changed[0] if x.is_floating_point() else changed[0].flip(0) + 1
            others = model(*inputs[:number], changed, *inputs[number + 1 :])
            assert not torch.equal(others[0], scores[0])
            assert torch.equal(others[1:], scores[1:])
        torch.testing.assert_close(model(*(x[3:4] for x in inputs))[0], scores[3], atol=1e-5, rtol=1e-4)


# ---- reproducing and storing ----


def trained(name, seed=0):
    L.seed_everything(seed, verbose=False)
    model = zoo.create_model(name)
    fit(model, tiny_data(model, batch_size=5, seed=seed), limit_val_batches=0)
    return state(model)


class BreakOff(L.Callback):
    """Stops an evaluation after its first batch."""

    def on_validation_batch_end(self, *args):
        raise RuntimeError("broken off")

    on_test_batch_end = on_validation_batch_end


@every_model
@pytest.mark.parametrize("stage", ["validate", "test"])
def test_an_evaluation_that_was_broken_off_counts_for_nothing(name, stage):
    torch.manual_seed(0)
    model = zoo.create_model(name)
    data, other = tiny_data(model), tiny_data(model, n_val=30, noise=0.9, shuffled=True)

    def metrics():
        torch.manual_seed(0)
        return getattr(quiet_trainer(), stage)(model, data, verbose=False)[0]

    expected = metrics()
    with pytest.raises(RuntimeError, match="broken off"):
        getattr(quiet_trainer(callbacks=[BreakOff()]), stage)(model, other, verbose=False)
    assert metrics() == pytest.approx(expected, nan_ok=True)


@every_model
def test_seed_decides_the_weights(name):
    first = trained(name)
    assert_same(first, trained(name))
    other = trained(name, seed=1)
    assert any(not torch.equal(value, other[key]) for key, value in first.items())

    start = {}
    for seed in (0, 1):
        torch.manual_seed(seed)
        start[seed] = torch.cat([parameter.flatten() for parameter in zoo.create_model(name).parameters()])
    assert start[0].any() != torch.equal(start[0], start[1])  # a convex model may start at zero


READ_BACK = """
import importlib, json, sys, torch
torch.set_num_threads(1)
for name, where in json.load(open("classes.json")).items():
    module, _, cls = where.rpartition(".")
    content = torch.load(f"{name}.ckpt", weights_only=True)
    model = getattr(importlib.import_module(module), cls).load_from_checkpoint(f"{name}.ckpt", weights_only=True).eval()
    expected = torch.load(f"{name}.pt", weights_only=True)
    with torch.no_grad():
        same = torch.equal(model(*expected["x"]), expected["scores"])
    print(json.dumps([name, same, dict(model.hparams) == expected["hparams"], sorted(content)]))
"""


@pytest.fixture(scope="module")
def read_back(tmp_path_factory):
    """Train and store every model, and read all of them in one new process."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for name in MODELS:
        model = zoo.create_model(name)
        trainer = fit(model, tiny_data(model), limit_val_batches=0)
        trainer.save_checkpoint(folder / f"{name}.ckpt")
        x = tiny_inputs(model)
        with torch.no_grad():
            expected = {"x": x, "scores": model.eval()(*x), "hparams": dict(model.hparams)}
        torch.save(expected, folder / f"{name}.pt")
    (folder / "classes.json").write_text(json.dumps({name: zoo.model_info(name)["class"] for name in MODELS}))
    result = run_python("-c", READ_BACK, cwd=folder)
    assert result.returncode == 0, result.stderr
    lines = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("[")]
    return folder, {name: rest for name, *rest in lines}


@every_model
def test_checkpoint_is_read_in_a_new_process(name, read_back):
    same_scores, same_hparams, sections = read_back[1][name]
    assert same_scores
    assert same_hparams
    assert "zoo" in sections


@every_model
def test_checkpoint_of_another_model_is_refused(name, read_back):
    cls = find_model(name).cls
    other = next(other for other in MODELS if find_model(other).cls is not cls)
    path = read_back[0] / f"{other}.ckpt"
    with pytest.raises(ValueError, match=f"is a checkpoint of {find_model(other).cls.__name__}, expected one of"):
        load_checkpoint(cls, path)
    model = zoo.create_model(name)
    with pytest.raises(ValueError, match=f"the checkpoint is of a {find_model(other).cls.__name__}, not of a"):
        quiet_trainer().test(model, tiny_data(model), ckpt_path=path, weights_only=True)


@every_model
def test_hyper_parameters_are_plain_data(name):
    model = zoo.create_model(name)
    hparams = dict(model.hparams)
    assert json.loads(json.dumps(hparams)) == hparams
    assert set(hparams) == set(zoo.model_info(name)["parameters"])
    again = state(zoo.create_model(name, **hparams))
    assert {key: value.shape for key, value in again.items()} == {key: v.shape for key, v in state(model).items()}


# ---- using ----


@every_model
def test_forward_is_the_network(name):
    model = zoo.create_model(name).eval()
    x = tiny_inputs(model)
    with torch.no_grad():
        assert torch.equal(model(*x), model.net(*x))
    assert isinstance(model.net, nn.Module)
    assert not isinstance(model.net, L.LightningModule)
    adapter, example = adapter_of(type(model)), model.example_input_array
    assert adapter.answer(model, example).shape == adapter.answer_shape(model, example)
    assert model.mode in ("min", "max")


@every_model
@pytest.mark.parametrize("spoil", ["dtype", "features", "axes"])
def test_wrong_input_is_refused_in_one_line(name, spoil):
    model = zoo.create_model(name)
    inputs = tiny_inputs(model)
    for number, x in enumerate(inputs):
        if x.is_floating_point():
            wrong = {"dtype": x.long(), "features": torch.cat([x, x], 1), "axes": x[None, None]}[spoil]
        else:
            wrong = {"dtype": x.float(), "features": torch.stack([x, x], 2), "axes": x[None, None]}[spoil]
        with pytest.raises(ValueError, match="expected") as caught:
            model(*inputs[:number], wrong, *inputs[number + 1 :])
        assert "\n" not in str(caught.value)


@every_classifier
def test_classify_answers_with_label_and_probability(name):
    names = list("abcdefghij")
    model = zoo.create_model(name, class_names=names)
    fit(model, tiny_data(model), max_epochs=2, limit_val_batches=0)
    inputs = tiny_inputs(model)
    x = inputs if len(inputs) > 1 else inputs[0]
    for training in (True, False):
        model.train(training)
        before = state(model)
        answers = model.classify(x)
        assert model.training is training
        assert_same(before, state(model))
    with torch.no_grad():
        probabilities = model.probabilities(model(*inputs))
    torch.testing.assert_close(probabilities.sum(1), torch.ones(len(inputs[0])))
    for answer, row in zip(answers, probabilities, strict=True):
        assert answer.label == names[row.argmax()]
        assert answer.probability == pytest.approx(row.max().item())
    assert zoo.create_model(name).classify(x)[0].label.isdigit()


@every_model
def test_bf16_autocast_is_close(name):
    model = zoo.create_model(name)
    fit(model, tiny_data(model), max_epochs=2, limit_val_batches=0)
    batch = tiny_batch(model)
    model.eval()
    exact = model.step(batch)["loss"]
    with torch.autocast("cpu", torch.bfloat16):
        loss = model.step(batch)["loss"]
    loss.backward()
    torch.testing.assert_close(loss.float(), exact, atol=0.1, rtol=0.1)
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters() if parameter.grad is not None)


# ---- mathematics of single models ----


def test_perceptron_takes_the_perceptron_rule():
    model = zoo.create_model("perceptron", in_features=2, num_classes=2)
    unit = next(layer for layer in model.net if isinstance(layer, nn.Linear))
    with torch.no_grad():
        unit.weight.copy_(torch.tensor([[1.0, -1.0]]))
        unit.bias.fill_(0.25)
    x = torch.tensor([[2.0, 1.0], [1.0, 2.0], [0.5, 3.0], [3.0, 0.5]])
    y = torch.tensor([1, 0, 1, 0])  # z = 1.25, -0.75, -2.25, 2.75: right, right, missed 1, false 1
    model.step((x, y))["loss"].backward()
    change = -4 * unit.weight.grad  # of the sum over the batch
    torch.testing.assert_close(change, (x[2] - x[3])[None])
    torch.testing.assert_close(unit.bias.grad, torch.zeros(1))


def test_perceptron_answers_zero_for_a_score_of_zero():
    model = zoo.create_model("perceptron", in_features=2, num_classes=2)
    x = torch.ones(2, 2)
    # The weights are zero: g(0) = 0, so the row of class 1 is a mistake and that of class 0 is none.
    model.step((x, torch.tensor([0, 1])))["loss"].backward()
    torch.testing.assert_close(-2 * model.net[-2].weight.grad, torch.ones(1, 2))
    assert [answer.probability for answer in model.classify(x)] == [1.0, 1.0]


def test_binary_logistic_regression_by_hand():
    model = zoo.create_model("logistic_regression", in_features=3, num_classes=2, mean=[1.0, 2.0, 3.0], std=2.0)
    unit = next(layer for layer in model.net if isinstance(layer, nn.Linear))
    nn.init.normal_(unit.weight)
    nn.init.normal_(unit.bias)
    x, y = torch.randn(8, 3), torch.tensor([0, 1, 1, 0, 1, 0, 0, 1])
    scaled = (x - torch.tensor([1.0, 2.0, 3.0])) / 2
    z = (scaled * unit.weight).sum(1) + unit.bias
    loss = model.step((x, y))["loss"]
    torch.testing.assert_close(loss, F.binary_cross_entropy(z.sigmoid(), y.float()))
    torch.testing.assert_close(model.probabilities(model(x))[:, 1], z.sigmoid())
    loss.backward()
    residual = (z.sigmoid() - y) / 8
    torch.testing.assert_close(unit.weight.grad[0], residual @ scaled)
    torch.testing.assert_close(unit.bias.grad, residual.sum()[None])


def test_multinomial_logistic_regression_by_hand():
    model = zoo.create_model("logistic_regression", in_features=3, num_classes=4)
    unit = model.net[-1]
    nn.init.normal_(unit.weight)
    x, y = torch.randn(8, 3), torch.arange(8) % 4
    model.step((x, y))["loss"].backward()
    residual = ((x @ unit.weight.T + unit.bias).softmax(1) - F.one_hot(y, 4)) / 8
    torch.testing.assert_close(unit.weight.grad, residual.T @ x)


@pytest.mark.parametrize(
    ("option", "gradient"), [("l1", lambda weight: 0.3 * weight.sign()), ("l2", lambda weight: 0.3 * weight)]
)
def test_penalty_adds_its_gradient_to_the_weights_alone(option, gradient):
    model = zoo.create_model("mlp", in_features=3, hidden_dims=[4], num_classes=2, **{option: 0.3})
    batch = torch.rand(8, 3), torch.arange(8) % 2
    plain = model.step(batch)["loss"]
    expected = torch.autograd.grad(plain, list(model.net.parameters()))
    model.objective(model.step(batch)["loss"]).backward()
    for parameter, of_loss in zip(model.net.parameters(), expected, strict=True):
        extra = gradient(parameter.detach()) if parameter.ndim > 1 else torch.zeros_like(parameter)
        torch.testing.assert_close(parameter.grad - of_loss, extra)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"optimizer": "adamm"}, "unknown optimizer 'adamm': did you mean adam or adamw"),
        ({"schedule": "cosin"}, "unknown schedule 'cosin': did you mean cosine?"),
        ({"activation": "tan"}, "unknown activation 'tan': did you mean tanh"),
        ({"lr": 0.0}, "lr must be positive, not 0"),
        ({"lr": float("nan")}, "lr takes numbers, not nan"),
        ({"l2": -1.0}, "l2 must be at least 0, not -1"),
        ({"clip_norm": -1.0}, "clip_norm must be positive, not -1"),
        ({"clip_norm": 0.0}, "clip_norm must be positive, not 0"),
        ({"max_norm": 0.0}, "max_norm must be positive, not 0"),
        ({"max_norm": -1.0}, "max_norm must be positive, not -1"),
        ({"accumulate": 0}, "accumulate must be positive, not 0"),
        ({"patience": 0}, "patience must be positive, not 0"),
        ({"label_smoothing": 1.0}, "label_smoothing must be in"),
        ({"num_classes": 1}, "num_classes must be at least 2.*, not 1"),
        ({"in_features": 12, "input_shape": [1, 3, 3]}, "in_features is 12, but input_shape .* has 9"),
        ({"mean": [0.1, 0.2]}, "mean has 2 values, the input 1 channels"),
    ],
    ids=lambda value: "-".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_wrong_value_is_refused_in_one_line(args, message):
    with pytest.raises(ValueError, match=message) as caught:
        zoo.create_model("mlp", **args)
    assert "\n" not in str(caught.value)


# ---- completeness ----


@every_model
def test_task_has_an_adapter(name):
    task = task_of(find_model(name).cls)
    assert task in ADAPTERS, f"no test adapter for {task.__name__}: add one to tests/adapters.py"


def test_missing_adapter_is_named():
    class Forecaster(ZooModule):
        pass

    with pytest.raises(LookupError, match=r"the task Forecaster: add one to tests/adapters\.py"):
        adapter_of(Forecaster)


@every_model
def test_model_is_complete(name):
    assert zoo.list_recipes(f"{name}.*"), f"{name} has no recipe"
    info = zoo.model_info(name)
    assert info["doc"]
    assert info["source"]
    assert info["task"]
    undocumented = [key for key in info["parameters"] if f"{key}:" not in documentation(find_model(name).cls)]
    assert not undocumented


def documentation(cls):
    return "\n".join(base.__doc__ or "" for base in cls.__mro__)


@pytest.fixture(scope="module")
def subwords():
    return Vocabulary.train(["the film is dull", "le film est nul", *map(str, range(400))], 300)


@pytest.mark.parametrize("name", slowly(RECIPES, "lstm_*"))
def test_recipe_builds(name, subwords, monkeypatch):
    for cls in (AeslcDataModule, FraEngDataModule, TextDataModule, TinyShakespeareDataModule):  # learning takes long
        monkeypatch.setattr(cls, "vocabulary", subwords)
    monkeypatch.setattr(AeslcDataModule, "private_words", PrivateWords.learn([]))
    monkeypatch.setattr(ReutersDataModule, "words", [f"word{k}" for k in range(2_000)])
    recipe = zoo.load_recipe(name)
    assert name.split(".")[0] == recipe.model["name"]
    assert recipe.model["name"] in MODELS
    assert recipe.data["name"] in datamodules.list_datamodules()
    with published_files(recipe.data["name"]):
        model, data, trainer = recipe.build(
            trainer={"logger": False, "enable_checkpointing": False, "accelerator": "cpu"}
        )
    assert type(model) is find_model(recipe.model["name"]).cls
    assert type(data).name == recipe.data["name"]
    assert trainer.max_epochs not in (None, -1) or trainer.max_steps > 0


def modules():
    for package in (zoo, datamodules):
        yield package.__name__
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            yield module.name


@pytest.mark.parametrize("name", list(modules()))
def test_everything_public_is_documented(name):
    module = importlib.import_module(name)
    assert module.__doc__
    for public, value in vars(module).items():
        if public.startswith("_") or not (inspect.isclass(value) or inspect.isfunction(value)):
            continue
        if value.__module__ == name:
            assert value.__doc__, f"{name}.{public}"
            for member, function in vars(value).items() if inspect.isclass(value) else ():
                if inspect.isfunction(function) and not member.startswith("_"):
                    assert function.__doc__, f"{name}.{public}.{member}"


@pytest.mark.parametrize("package", [zoo, datamodules])
def test_every_public_name_resolves(package):
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        package.nonsense  # noqa: B018


def shaped():
    return [name for name in zoo.list_models() if "input_shape" in zoo.model_info(name)["parameters"]]


@pytest.mark.parametrize("shape", [[], [3], [3, 0, 4], [0], [-1, 4, 4]], ids=str)
@pytest.mark.parametrize("name", shaped())
def test_shapes_that_no_sample_has_are_refused(name, shape):
    with pytest.raises(ValueError, match=r"shape|features"):
        zoo.create_model(name, input_shape=shape)
