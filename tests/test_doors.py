"""What a new task, metric, callback, claim or input needs of the house: each door is used as a newcomer would."""

import io
import re
from pathlib import Path

import lightning as L
import numpy as np
import pytest
import torch
import yaml
from adapters import TinyData
from conftest import assert_same, quiet_trainer, state
from PIL import Image
from torch import nn
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy

import datamodules
import zoo
from zoo import cli
from zoo.base import ZooModule
from zoo.callbacks import FIGURES, Reconstructions, TensorBoardCallback, default_callbacks
from zoo.metrics import EpochMeans
from zoo.metrics.direction import HIGHER_IS_BETTER, mode_of
from zoo.recipes.claims import Claim, format_claim
from zoo.recipes.fit import fit_recipe
from zoo.tasks import Classifier
from zoo.training.checkpoints import load_checkpoint

ROWS, BATCH = 22, 4  # six batches an epoch, the last of two rows


def data(**args):
    return TinyData((6,), 2, n=ROWS, n_val=10, **{"batch_size": BATCH, **args})


def seeded(cls, **args):
    L.seed_everything(1, verbose=False)
    return cls(**args)


class Adversaries(ZooModule):
    """Two networks with an optimiser each, as in a GAN."""

    def __init__(self, **optimisation):
        super().__init__(**optimisation)
        self.net = nn.ModuleDict({"generator": nn.Linear(3, 6), "critic": nn.Linear(6, 1)})

    def configure_optimizers(self):
        parts = self.net.values()
        return [torch.optim.SGD(part.parameters(), lr=rate) for part, rate in zip(parts, (0.1, 0.01))]

    def losses(self, x):
        fake = self.net["generator"](x[:, :3])
        return {"loss": self.net["critic"](fake).mean(), "critic": (self.net["critic"](x) - 1).square().mean()}

    def step(self, batch):
        return self.losses(batch[0])

    def update(self, batch):
        found = {}
        for name, optimizer in zip(("loss", "critic"), self.optimizers()):
            found[name] = self.losses(batch[0])[name]
            optimizer.zero_grad()
            self.manual_backward(found[name])
            optimizer.step()
        return found


class Centroid(ZooModule):
    """A model that learns without a gradient: the running mean of what it has seen."""

    def __init__(self, **optimisation):
        super().__init__(**optimisation)
        self.net = nn.BatchNorm1d(6, affine=False)
        self.net.running_mean.zero_()
        self.register_buffer("rows", torch.zeros(()), persistent=False)

    def configure_optimizers(self):
        return None

    def step(self, batch):
        return {"loss": (batch[0] - self.net.running_mean).square().mean()}

    def update(self, batch):
        self.rows += len(batch[0])
        self.net.running_mean += (batch[0] - self.net.running_mean).sum(0) / self.rows
        return {"size": torch.tensor(float(len(batch[0])))}


@pytest.mark.parametrize("batches_per_step", [1, 4])
def test_several_optimisers(batches_per_step, tmp_path):
    model = seeded(Adversaries)
    trainer = quiet_trainer(max_epochs=2, callbacks=default_callbacks(model, tmp_path), enable_checkpointing=True)
    trainer.fit(model, data(batches_per_step=batches_per_step))
    by_hand = seeded(Adversaries)
    rows = data()
    rows.setup()
    steps = by_hand.configure_optimizers()
    for epoch in range(2):
        loader = rows.train_dataloader()
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            for name, optimizer in zip(("loss", "critic"), steps):
                optimizer.zero_grad()
                by_hand.losses(batch[0])[name].backward()
                optimizer.step()
    assert_same(state(model), state(by_hand))
    assert trainer.global_step == 2 * 2 * 6  # as Lightning counts: each optimiser's steps
    assert {"lr_0", "lr_1", "train_loss", "train_critic", "val_critic"} <= set(trainer.callback_metrics)
    assert trainer.callback_metrics["lr_1"] == pytest.approx(0.01)
    assert (tmp_path / "best.ckpt").exists()


@pytest.mark.parametrize("batches_per_step", [1, 4])
def test_no_gradient_at_all(batches_per_step, tmp_path):
    model = Centroid()
    trainer = quiet_trainer(max_epochs=1, callbacks=default_callbacks(model, tmp_path), enable_checkpointing=True)
    rows = data(batches_per_step=batches_per_step)
    trainer.fit(model, rows)
    torch.testing.assert_close(model.net.running_mean, rows.splits["train"].tensors[0].mean(0))
    assert trainer.global_step == 6
    assert "lr" not in trainer.callback_metrics
    assert trainer.callback_metrics["train_size"] == pytest.approx((5 * 16 + 4) / ROWS)
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 6
    assert load_checkpoint(Centroid, tmp_path / "best.ckpt").net.running_mean.equal(model.net.running_mean)


@pytest.mark.parametrize("batches_per_step", [1, 4])
@pytest.mark.parametrize("cls", [Adversaries, Centroid])
def test_max_steps_counts_what_an_update_of_its_own_does(cls, batches_per_step):
    trainer = quiet_trainer(max_steps=2, max_epochs=-1)
    trainer.fit(cls(), data(batches_per_step=batches_per_step))
    assert trainer.global_step == 2


def test_flags_on_gradients_are_refused_beside_an_update_of_its_own():
    for flag in ({"gradient_clip_val": 1.0}, {"accumulate_grad_batches": 2}):
        with pytest.raises(ValueError, match=f"{next(iter(flag))} does not work with a model that overrides update"):
            quiet_trainer(max_epochs=1, **flag).fit(Adversaries(), data())


class WithMetrics(Classifier):
    """A classifier that measures over whole epochs."""

    class Counts(Metric):
        higher_is_better = True

        def __init__(self):
            super().__init__()
            self.add_state("n", torch.tensor(0), dist_reduce_fx="sum")

        def update(self, y):
            self.n += len(y)

        def compute(self):
            return {"rows": self.n.float(), "undefined": torch.tensor(torch.nan), "vector": torch.zeros(3)}

    def __init__(self, **training):
        super().__init__(**training)
        self.net = nn.Linear(6, 2)

    def configure_metrics(self):
        return {"balanced": MulticlassAccuracy(2, average="macro"), "counts": self.Counts()}

    def step(self, batch):
        x, y = batch
        scores = self(x)
        return {"loss": self.loss(scores, y), "balanced": (scores.argmax(1), y), "counts": (y,)}


def test_metrics_of_an_epoch(tmp_path):
    model = WithMetrics()
    trainer = quiet_trainer(max_epochs=2)
    rows = data()
    trainer.fit(model, rows)
    found = trainer.callback_metrics
    assert found["train_rows"] == ROWS
    assert found["val_rows"] == 10
    x, y = rows.splits["val"].tensors
    right = model(x).argmax(1) == y
    assert found["val_balanced"] == pytest.approx(
        float((right[y == 0].float().mean() + right[y == 1].float().mean()) / 2)
    )
    assert not any("undefined" in name or "vector" in name or name.endswith("counts") for name in found)
    assert model.metrics["val"]["counts"].n == 10
    assert not set(model.state_dict()) - {"net.weight", "net.bias"}


class Tokens(Classifier):
    """A classifier whose batches count by tokens."""

    weights = staticmethod(lambda x: x[:, 0].round() * 10 + 1)

    def __init__(self, by_sample=False, **training):
        super().__init__(**training)
        self.net = nn.Linear(6, 2)

    def step(self, batch):
        x, y = batch
        tokens = self.weights(x)
        value = (x[:, 1] * tokens).sum() / tokens.sum()
        weight = tokens if self.hparams["by_sample"] else tokens.sum()
        return {"loss": self.loss(self(x), y), "mean": value, "each": x[:, 1], "weight": weight}


@pytest.mark.parametrize("by_sample", [True, False])
def test_means_over_tokens(by_sample):
    model, rows = Tokens(by_sample=by_sample), data()
    rows.setup()
    metrics = quiet_trainer().validate(model, rows, verbose=False)[0]
    x, _ = rows.splits["val"].tensors
    tokens = Tokens.weights(x)
    assert metrics["val_mean"] == pytest.approx(float((x[:, 1] * tokens).sum() / tokens.sum()))
    assert metrics["val_each"] == pytest.approx(
        float((x[:, 1] * tokens).sum() / tokens.sum()) if by_sample else float(x[:, 1].mean())
    )
    assert "val_weight" not in metrics


def test_batches_with_and_without_a_weight_are_weighed_together():
    means = EpochMeans()
    means.add({"a": torch.tensor(1.0), "b": torch.tensor([1.0, 1.0])}, 2)
    means.add({"a": torch.tensor(4.0), "b": torch.tensor([2.0, 6.0])}, 2, torch.tensor(10.0))
    means.add({"a": torch.tensor(0.0), "b": torch.tensor([0.0, 3.0])}, 2, torch.tensor([1.0, 3.0]))
    found = means.compute()
    assert found["a"].item() == pytest.approx((1 * 2 + 4 * 10 + 0 * 4) / 16)
    assert found["b"].item() == pytest.approx((2 + 5 * (2 + 6) + 9) / 16)


# Directions of metrics


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        *[(f"val_{name}", "max") for name in ("accuracy", "kappa", "recall", "iou", "sensitivity", "f1", "macro_f1")],
        *[(f"test_{name}", "max") for name in ("jk_index", "precision_at_recall_10", "s_f1_without_232", "rouge_l")],
        *[("test_precision_at_recall_*", "max"), ("solved", "max"), ("test_readable_samples", "max")],
        *[(f"val_{name}", "min") for name in ("loss", "mse", "nats", "false_positive_rate", "perplexity")],
        *[("coefficient_error", "min"), ("test_detection_loss", "min"), ("test_ciede2000", "min")],
    ],
)
def test_direction_of_known_metrics(name, mode):
    assert mode_of(name) == mode


@pytest.mark.parametrize("name", ["val_goodness", "test_", "accuracyx", "val_inaccurate", "val_lossless"])
def test_direction_of_other_metrics_is_not_guessed(name):
    with pytest.raises(ValueError, match=re.escape(name)) as caught:
        mode_of(name)
    assert "\n" not in str(caught.value)
    assert mode_of(name, "max") == "max"
    assert (
        mode_of(
            name, declared={name.removeprefix("val_").removeprefix("test_"): False} if len(name) > 5 else {"": False}
        )
        == "min"
    )


def test_monitor_of_unknown_direction_needs_a_mode():
    with pytest.raises(ValueError, match="metric 'val_goodness' has no known direction: set mode"):
        zoo.create_model("mlp", monitor="val_goodness")
    assert zoo.create_model("mlp", monitor="val_goodness", monitor_mode="max").mode == "max"
    with pytest.raises(ValueError, match="unknown mode of val_goodness 'maximum'"):
        zoo.create_model("mlp", monitor="val_goodness", monitor_mode="maximum")

    class Declared(WithMetrics):
        higher_is_better = {"goodness": False}

    assert Declared(monitor="val_goodness").mode == "min"
    assert Declared().mode == "max"


def test_every_recorded_metric_has_a_direction_or_is_told():
    from zoo.pretrained import load_result

    for recipe in zoo.list_recipes():
        for claim in zoo.load_recipe(recipe).claim:
            assert claim.sign in (-1, 1)
        for name in (load_result(recipe) or {"metrics": ()})["metrics"]:
            if name not in ("test_active", "test_empty_share"):  # neither is better
                assert mode_of(name) in ("max", "min")
    assert all(isinstance(value, bool) for value in HIGHER_IS_BETTER.values())


# Claims


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ({"metrik": "test_accuracy", "at_least": 0.9}, "unknown key of a claim 'metrik': did you mean metric"),
        ({"metric": "test_accuracy", "at_leats": 0.9}, "'at_leats': did you mean at_least"),
        ({"at_least": 0.9}, "has no metric"),
        ({"metric": "test_accuracy"}, "give one of at_least, at_most, over, not none"),
        ({"metric": "test_accuracy", "at_least": 0.9, "at_most": 1}, "not at_least and at_most"),
        ({"metric": "test_accuracy", "at_least": "0.9"}, "at_least takes a number, not '0.9'"),
        ({"metric": "test_accuracy", "at_least": True}, "at_least takes a number, not True"),
        ({"metric": "test_accuracy", "at_least": float("nan")}, "at_least takes a number, not nan"),
        ({"metric": "test_accuracy", "at_least": 0.9, "aim": 0.8}, "aim 0.8 is on the other side of at_least 0.9"),
        ({"metric": "test_mse", "at_most": 0.1, "aim": 0.2}, "aim 0.2 is on the other side of at_most 0.1"),
        ({"metric": "test_accuracy", "at_least": 0.9, "margin": 0.1}, "margin belongs to over, not to at_least"),
        ({"metric": "test_accuracy", "at_least": 0.9, "aim": "svc"}, "aim 'svc' names a baseline"),
        ({"metric": "test_accuracy", "over": 3}, "over takes a text, not 3"),
        ({"metric": "test_accuracy", "over": "svc", "aim": 0.9, "aim_margin": 0.1}, "give aim or aim_margin"),
        ({"metric": "test_accuracy", "over": "svc", "margin": 0.2, "aim_margin": 0.1}, "aim_margin 0.1 is smaller"),
        ({"metric": "test_goodness", "over": "svc"}, "metric 'test_goodness' has no known direction: set mode"),
        ({"metric": "test_goodness", "over": "svc", "mode": "up"}, "unknown mode of test_goodness 'up'"),
        ("test_accuracy >= 0.9", "a claim is {metric: ..., at_least: ...}, not 'test_accuracy >= 0.9'"),
    ],
)
def test_a_wrong_claim_is_refused_when_the_recipe_is_loaded(claim, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("own.yaml").write_text(
        yaml.safe_dump({"model": {"name": "mlp"}, "data": {"name": "digits"}, "claim": [claim]})
    )
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        zoo.load_recipe("own.yaml")
    assert "own.yaml" in str(caught.value)
    assert cli.main(["verify", "own.yaml"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not Path("runs").exists()


def test_claims_are_written_as_they_were_read():
    for recipe in zoo.list_recipes():
        for claim in zoo.load_recipe(recipe).claim:
            assert Claim.from_dict(claim.to_dict()) == claim
    told = Claim("test_goodness", over="svc", mode="min")
    assert told.sign == -1
    assert format_claim(told) == "test_goodness better than svc"


# Callbacks


def test_figures_say_whom_they_suit():
    found = {name: {c.__name__ for c in FIGURES if c.suits(zoo.create_model(name))} for name in zoo.list_models()}
    for_all = {"Graph", "Throughput"}
    assert all(names >= for_all for names in found.values())
    found = {name: names - for_all for name, names in found.items()}
    assert found["ecg_autoencoder"] == set()
    assert found["mlp"] == found["logistic_regression"] == {"Mistakes", "FirstLayer"}
    assert found["cnn"] == found["lenet5"] == {"Mistakes"}
    assert found["lstm_classifier"] == {"Embeddings", "Mistakes"}
    assert found["lstm_seq2seq"] == {"Embeddings", "Translations"}
    assert found["lstm_captioner"] == {"Embeddings", "Captions"}
    assert found["lstm_language_model"] == {"Embeddings", "Continuations"}
    assert found["ecg_classifier"] == {"Beats"}
    assert found["conv_autoencoder"] == found["colorizer"] == {"Reconstructions"}
    assert found["deep_autoencoder"] == {"Reconstructions", "FirstLayer"}
    assert found["vae"] == {"Reconstructions", "Samples", "FirstLayer"}
    assert not Reconstructions.suits(zoo.create_model("autoencoder", in_features=12))
    regressor = zoo.create_model("mlp", in_features=2, num_classes=0)
    assert {c.__name__ for c in FIGURES if c.suits(regressor)} == {*for_all, "Boundaries"}
    assert {c.__name__ for c in FIGURES if c.suits(WithMetrics())} == {*for_all, "Mistakes"}


def test_a_figure_is_drawn_where_it_can_be(tmp_path):
    from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

    class Count(TensorBoardCallback):
        def __init__(self):
            self.batches, self.drawn = 0, []

        @classmethod
        def suits(cls, model):
            return isinstance(model, WithMetrics)

        def collect(self, model, batch, batch_idx):
            self.batches += 1

        def draw(self, model, writer, step):
            self.drawn.append(step)

    def drawn(model, logger, **settings):
        callback = Count()
        quiet_trainer(max_epochs=2, logger=logger, callbacks=[callback], **settings).fit(model, data())
        return callback.batches, callback.drawn

    board = TensorBoardLogger(tmp_path)
    assert drawn(WithMetrics(), board) == (2, [6, 12])
    assert drawn(WithMetrics(), board, num_sanity_val_steps=1) == (2, [6, 12])
    assert drawn(WithMetrics(), CSVLogger(tmp_path)) == drawn(WithMetrics(), False) == (0, [])
    assert drawn(Tokens(), board) == (0, [])


# Renamed arguments


def test_old_names_of_arguments_are_aliases(tmp_path):
    old = zoo.create_model("ecg_classifier", alike=0.05, disturbance=0.5)
    assert (old.hparams["smoothing_bandwidth"], old.hparams["augmentation"]) == (0.05, 0.5)
    with pytest.raises(ValueError, match="alike and smoothing_bandwidth are the same argument"):
        zoo.create_model("ecg_classifier", alike=0.05, smoothing_bandwidth=0.05)
    assert datamodules.create_datamodule("mitbih", made_up_hearts=3).synthetic_hearts == 3
    recipe = zoo.load_recipe("ecg_classifier.mitbih")
    args = recipe.model["args"]
    before = {**args, "alike": args["smoothing_bandwidth"], "disturbance": args["augmentation"]}
    before = {name: value for name, value in before.items() if name not in ("smoothing_bandwidth", "augmentation")}
    Path(tmp_path / "old.yaml").write_text(
        yaml.safe_dump(
            {"model": {"name": "ecg_classifier", "args": before}, "data": recipe.data, "trainer": recipe.trainer}
        )
    )
    assert zoo.load_recipe(tmp_path / "old.yaml").configuration == recipe.configuration
    trainer = quiet_trainer(max_epochs=0)
    trainer.strategy.connect(old)
    checkpoint = {
        "state_dict": old.state_dict(),
        "hyper_parameters": dict(old.hparams),
        "zoo": {"class": "ECGClassifier"},
    }
    checkpoint["hyper_parameters"]["alike"] = checkpoint["hyper_parameters"].pop("smoothing_bandwidth")
    torch.save(checkpoint, tmp_path / "old.ckpt")
    assert load_checkpoint(type(old), tmp_path / "old.ckpt").hparams["smoothing_bandwidth"] == 0.05


# Training once


def own_recipe(folder, data_args="", trainer="max_epochs: 3, enable_progress_bar: false"):
    path = folder / "own.yaml"
    path.write_text(
        "model: {name: mlp, args: {hidden_dims: [16], lr: 0.05}}\n"
        f"data: {{name: digits, args: {{batches_per_step: 4{data_args}}}}}\ntrainer: {{{trainer}}}\n"
    )
    return zoo.load_recipe(path)


@pytest.mark.parametrize("train_on_all", [False, True])
def test_the_best_checkpoint_is_kept_unless_validation_is_trained_on(train_on_all, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datamodules.DigitsDataModule, "train_on_all", train_on_all)

    def closed(self):
        raise AssertionError("the test split is closed")

    monkeypatch.setattr(datamodules.DigitsDataModule, "test_dataloader", closed)
    # The highest training loss is that of the first epoch.
    fit = fit_recipe(own_recipe(tmp_path), overrides={"model": {"monitor": "train_loss", "monitor_mode": "max"}})
    assert fit.checkpoint.name == ("last.ckpt" if train_on_all else "best.ckpt")
    epoch = torch.load(fit.checkpoint, weights_only=True)["epoch"]
    assert epoch == (2 if train_on_all else 0)
    assert fit.epochs == 3
    assert not any(name.startswith("test_") for name in fit.metrics)
    kept = torch.load(fit.checkpoint, weights_only=True)["state_dict"]
    assert all(torch.equal(value, kept[f"net.{key}"]) for key, value in fit.model.net.state_dict().items())
    assert not fit.model.training


def test_without_checkpoints_the_last_weights_are_returned(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = "max_epochs: 1, enable_progress_bar: false, enable_checkpointing: false, logger: false"
    fit = fit_recipe(own_recipe(tmp_path, trainer=settings))
    assert fit.checkpoint is None
    assert fit.metrics["val_accuracy"] > 0.2


@pytest.mark.parametrize("flag", [["--trainer.precision", "32"], ["--trainer.limit_test_batches", "1"]])
def test_trainer_flags_work_in_a_test(flag, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["test", "mlp.digits", *flag]) == 0
    assert "test_accuracy" in capsys.readouterr().out
    assert cli.main(["test", "mlp.digits", "--trainer.precisoin", "32"]) == 2
    assert "did you mean precision" in capsys.readouterr().err


# Prediction


@pytest.fixture(scope="module")
def digit(tmp_path_factory):
    rows = datamodules.create_datamodule("digits")
    rows.setup()
    x, y = (part[:1] for part in rows.splits["test"].tensors)
    path = tmp_path_factory.mktemp("digit") / "digit.png"
    pixels = np.kron(np.uint8(x[0, 0].numpy() * 255.0 / 16), np.ones((12, 12), np.uint8))
    Image.fromarray(255 - pixels).save(path)
    return path, rows.to_natural_units(x), str(int(y))


def test_predict_takes_whatever_holds_an_image(digit, tmp_path):
    path, x, label = digit
    kinds = {
        "path": path,
        "string": str(path),
        "bytes": path.read_bytes(),
        "tensor": x,
        "array": x.numpy(),
        "sample": x[0],
        "folder": str(path.parent),
    }
    for kind, source in kinds.items():
        (answer,) = zoo.predict("cnn.digits", source)
        assert answer["class"] == label, kind
        assert answer["input"] == (str(path) if kind in ("path", "string", "folder") else "input 1")
    answers = zoo.predict("cnn.digits", [path, path.read_bytes(), x], tmp_path / "answers.json")
    assert [answer["class"] for answer in answers] == [label] * 3
    assert (tmp_path / "answers.json").exists()
    assert len(zoo.predict("cnn.digits", torch.cat([x, x]))) == 2


def test_predict_takes_a_model(digit):
    path, x, label = digit
    model = zoo.create_model("cnn.digits", pretrained=True)
    assert zoo.predict(model, x)[0]["class"] == label
    rows = datamodules.create_datamodule("digits")
    assert zoo.predict(model, path, data=rows)[0]["class"] == label
    with pytest.raises(ValueError, match="a file or a string needs data, the datamodule that reads it"):
        zoo.predict(model, path)
    with pytest.raises(ValueError, match="ckpt_path belongs to a recipe"):
        zoo.predict(model, x, ckpt_path="best")


def test_predict_takes_texts():
    pytest.importorskip("tokenizers")
    answers = zoo.predict("lstm_classifier.sst2", ["a lovely film", b"a dull film\nan awful plot\n"])
    assert [answer["class"] for answer in answers] == ["positive", "negative", "negative"]
    assert [answer["input"] for answer in answers] == ["a lovely film", "input 2:1", "input 2:2"]
    assert zoo.predict("deep_autoencoder.reuters", "Oil prices rose")[0]["code"].shape == (10,)


def test_predict_restores_images_in_memory(tmp_path):
    noisy = torch.rand(1, 20, 33)
    (answer,) = zoo.predict("denoising_autoencoder.mnist", noisy)
    assert answer["image"].shape == (1, 20, 33)
    buffer = io.BytesIO()
    Image.fromarray(np.uint8(noisy[0].numpy() * 255)).save(buffer, "png")
    (same,) = zoo.predict("denoising_autoencoder.mnist", buffer.getvalue())
    torch.testing.assert_close(same["image"], answer["image"], atol=0.05, rtol=0)
    (tmp_path / "noisy.png").write_bytes(buffer.getvalue())
    (found,) = zoo.predict("denoising_autoencoder.mnist", tmp_path / "noisy.png", tmp_path / "clean.png")
    assert found == {"input": str(tmp_path / "noisy.png"), "output": str(tmp_path / "clean.png")}
    assert Image.open(tmp_path / "clean.png").size == (33, 20)
    hole = torch.zeros(20, 33)
    hole[5:9, 5:9] = 1
    (filled,) = zoo.predict("inpainting_autoencoder.fashion_mnist", [noisy, hole])
    assert torch.equal(filled["image"][:, hole == 0], noisy[:, hole == 0])
    with pytest.raises(ValueError, match="expected an image and its mask"):
        zoo.predict("inpainting_autoencoder.fashion_mnist", noisy)
    with pytest.raises(ValueError, match=r"image of shape \(2, 20, 33\)"):
        zoo.predict("denoising_autoencoder.mnist", torch.rand(2, 20, 33))


def test_predict_annotates_arrays():
    time = np.arange(20 * 250) / 250
    beat = np.exp(-(((time % 0.8) - 0.4) ** 2) / 0.0002).astype(np.float32)
    (answer,) = zoo.predict("ecg_classifier.mitbih", np.stack([beat, -beat], 1), fs=250)
    assert 20 <= len(answer["annotation"].sample) <= 26
    assert answer["summary"][-1]["class"].startswith("all")
    rows = "\n".join(f"{a:.4f},{b:.4f}" for a, b in zip(beat, -beat))
    (same,) = zoo.predict("ecg_classifier.mitbih", f"I,II\n{rows}\n".encode(), fs=250)
    assert len(same["annotation"].sample) == len(answer["annotation"].sample)
    with pytest.raises(ValueError, match="an array does not say its rate; give fs"):
        zoo.predict("ecg_classifier.mitbih", beat)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: zoo.predict("cnn.digits", []), "no inputs"),
        (lambda: zoo.predict("cnn.digits", [3]), "input of type int: expected a path, a string, bytes, an array"),
        (lambda: zoo.predict("cnn.digits", np.zeros((1, 1, 8, 8), np.uint8)), "expected natural units as floats"),
        (lambda: zoo.predict("cnn.digits", b"no picture"), "not a picture"),
        (lambda: zoo.predict("cnn.digits", np.zeros((1, 1, 8, 8), np.float32), fs=3), "fs is for recordings"),
        (lambda: zoo.predict("cnn.digits", np.zeros((1, 1, 8, 8), np.float32), sf=3), "unknown option of predict 'sf'"),
        (lambda: zoo.predict("cnn.digit", "a.png"), "unknown recipe 'cnn.digit': did you mean cnn.digits"),
        (lambda: zoo.predict("cnn.digits", np.zeros((1, 1, 8, 8), np.float32), "a.txt"), "--output a.txt"),
    ],
)
def test_predict_refuses_in_one_line(call, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        call()
    assert "\n" not in str(caught.value)
