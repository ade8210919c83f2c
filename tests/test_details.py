"""Details whose change no coarser test would notice."""

import math

import numpy as np
import pytest
import requests
import torch
from conftest import quiet_trainer
from torch import nn

import datamodules
import zoo
from datamodules import download
from datamodules.images.augment import augment_images
from zoo import pretrained
from zoo.metrics import EpochMetrics
from zoo.training.optim import OPTIMIZERS, build_optimizer, build_plateau
from zoo.training.updates import has_plain_step


@pytest.mark.parametrize(("mode", "better"), [("max", 1.0), ("min", -1.0)])
def test_a_plateau_knows_which_way_is_better(mode, better):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    plateau = build_plateau(optimizer, mode, patience=3)
    for epoch in range(6):
        plateau.step(better * epoch)
    assert optimizer.param_groups[0]["lr"] == 1.0
    for epoch in range(3):
        plateau.step(-better * epoch)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1)


def test_a_plateau_is_stepped_once_a_validation():
    model = zoo.create_model("mlp", in_features=64, input_shape=[1, 8, 8], schedule="plateau", hidden_dims=[4])
    seen = []
    configure = model.configure_optimizers

    def configured():
        optimizer = configure()
        step = model.run.plateau.step
        model.run.plateau.step = lambda value: seen.append((model.current_epoch, value)) or step(value)
        return optimizer

    model.configure_optimizers = configured
    trainer = quiet_trainer(max_epochs=5, check_val_every_n_epoch=2)
    trainer.fit(model, datamodules.create_datamodule("digits"))
    assert [epoch for epoch, _ in seen] == [1, 3]
    assert seen[-1][1] == pytest.approx(float(trainer.callback_metrics["val_accuracy"]))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weights_are_decayed_and_biases_are_not(name):
    net = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    nn.init.ones_(net[0].weight)
    nn.init.ones_(net[0].bias)
    before = [parameter.detach().clone() for parameter in net.parameters()]
    optimizer = build_optimizer(net, {"optimizer": name, "lr": 0.1, "weight_decay": 0.5}, torch.device("cpu"))
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for old, new in zip(before, net.parameters(), strict=True):
        assert torch.equal(old, new) == (new.ndim == 1)
    assert (net[0].weight < 1).all()


def test_what_is_recorded_keeps_no_graph():
    metrics = EpochMetrics()
    metrics.start({}, torch.device("cpu"))
    weight = torch.ones(3, requires_grad=True)
    metrics.record({"loss": weight.sum(), "each": 2 * weight, "weight": weight * 1}, 3)
    assert not any(value.requires_grad for value in metrics.means._pending[0].values())
    assert not metrics.means._sizes[0][1].requires_grad
    assert metrics.compute()["each"].item() == pytest.approx(2)


def test_scheduled_sampling_reads_the_prediction_for_each_position(monkeypatch):
    model = zoo.create_model("lstm_seq2seq", vocab_size=40, teacher_forcing=0.0).train()
    trainer = quiet_trainer(max_epochs=3)
    trainer.strategy.connect(model)
    model._trainer = trainer
    trainer.fit_loop.epoch_progress.current.completed = 2  # the last epoch: no true token is read
    model.begin_epoch("train")
    predicted = torch.arange(10, 15).repeat(2, 1)
    monkeypatch.setattr(type(model), "forward", lambda self, src, tgt: nn.functional.one_hot(predicted, 40).float())
    before = torch.tensor([[2, 20, 21, 22, 23], [2, 30, 31, 0, 0]])
    found = model.decoder_inputs(torch.ones(2, 3, dtype=torch.long), before)
    # What is predicted from the tokens up to t is read at t + 1; start and padding stay.
    assert found.tolist() == [[2, 10, 11, 12, 13], [2, 10, 11, 0, 0]]


def test_beta_weighs_the_loss_and_not_the_reported_bound():
    values = {}
    for beta in (1.0, 5.0):
        torch.manual_seed(0)
        model = zoo.create_model("vae", beta=beta, hidden_dims=[8], latent_dim=3).eval()
        model._reset_draws()
        values[beta] = model.step((torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(1)),))
    assert values[5.0]["nats"] == pytest.approx(values[1.0]["nats"].item())
    assert values[1.0]["nats"].item() == pytest.approx(values[1.0]["loss"].item())
    assert values[5.0]["loss"].item() == pytest.approx((values[1.0]["loss"] + 4 * values[1.0]["kl"]).item(), rel=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_a_rotation_turns_by_its_angle(seed):
    from torchvision.transforms.functional import InterpolationMode, rotate

    x = torch.zeros(1, 1, 31, 31)
    x[..., 4:9, 13:18] = 1  # a square above the middle
    draw = 2 * torch.rand(1, 9, generator=torch.Generator().manual_seed(seed))[0, 0].item() - 1
    turned = augment_images(x, {"rotate": 60}, torch.Generator().manual_seed(seed))
    errors = {
        sign: (rotate(x, sign * 60 * draw, InterpolationMode.BILINEAR) - turned).square().mean().item()
        for sign in (1, -1)
    }
    assert errors[1] < 1e-3 < errors[-1] / 3 or math.isclose(draw, 0, abs_tol=0.05)


@pytest.fixture
def offline(monkeypatch):
    def fail(*_, **__):
        raise requests.exceptions.ConnectionError

    monkeypatch.setattr(download.pooch, "retrieve", fail)


DOWNLOADED = {
    "aeslc": "aeslc",
    "aeslc_subjects": "aeslc",
    "atis": "atis",
    "cifar10": "cifar-10-batches-bin",
    "fashion_mnist": "FashionMNIST/raw",
    "fra_eng": "fra-eng",
    "geoquery": "text2sql",
    "mitbih": "mitdb/1.0.0",
    "mnist": "MNIST/raw",
    "movie_reviews": "rt-polaritydata",
    "reuters": "reuters21578",
    "snips": "snips",
    "reuters_topics": "reuters21578",
    "sst2": "SST-2",
    "tinyshakespeare": "tinyshakespeare",
}


@pytest.mark.parametrize("name", DOWNLOADED)
def test_a_failed_download_leaves_nothing_behind(name, tmp_path, offline):
    data = datamodules.create_datamodule(name, root=str(tmp_path / "new" / "root"))
    with pytest.raises(FileNotFoundError, match="is missing and no server answers") as caught:
        data.setup()
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", DOWNLOADED)
def test_an_empty_folder_is_no_data(name, tmp_path, offline):
    """What an interrupted download may leave must not count as the data."""
    (tmp_path / DOWNLOADED[name]).mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="is missing and no server answers"):
        datamodules.create_datamodule(name, root=str(tmp_path)).setup()
    assert (tmp_path / DOWNLOADED[name]).is_dir()  # a folder of the user's stays


def test_every_model_says_what_its_network_lacks():
    for name in zoo.list_models():
        assert zoo.model_info(name)["outside_net"].endswith("."), name


def test_embeddings_need_a_tokenizer_and_an_embedding():
    from zoo.callbacks import Embeddings

    model = zoo.create_model("lstm_classifier")
    assert Embeddings.suits(model)
    model.net.embedding = None
    assert not Embeddings.suits(model)
    other = zoo.create_model("mlp")
    other.net.embedding = nn.Embedding(3, 3)
    assert not Embeddings.suits(other)


def test_seeds_of_augmentation_are_those_of_the_published_runs():
    data = datamodules.create_datamodule("digits", seed=3, augment={"shift": 1})
    seeds = []
    for epoch in (0, 2):
        data.trainer = type("Trainer", (), {"current_epoch": epoch, "global_rank": 1})()
        seeds.append(data._generator().initial_seed())
    assert seeds == [(3 * 1_000_003 + epoch) * 4_099 + 2 for epoch in (0, 2)]


def test_a_recording_without_beats_has_no_probabilities():
    found = zoo.create_model("ecg_classifier").annotate(np.zeros((500, 2), np.float32), 250)
    assert (found.sample.shape, found.symbol, found.probability.shape) == ((0,), [], (0,))


def test_result_files_can_be_read_by_people(tmp_path):
    path = pretrained.save_result("mlp.own", {"note": "Mondéjar ± 1"}, tmp_path)
    assert "Mondéjar ± 1" in path.read_text(encoding="utf-8")
    assert pretrained.load_result("mlp.own", tmp_path) == {"note": "Mondéjar ± 1"}


@pytest.mark.parametrize(("platform", "calls"), [("linux", 2), ("darwin", 0)])
def test_the_allocator_is_tuned_on_linux_alone(platform, calls, monkeypatch):
    from zoo.training import malloc

    made = []
    library = type("Library", (), {"mallopt": staticmethod(lambda *args: made.append(args))})
    monkeypatch.setattr(malloc.ctypes, "CDLL", lambda name: library)
    monkeypatch.setattr(malloc.sys, "platform", platform)
    malloc.keep_freed_memory()
    assert made == [(-3, 32 * 2**20), (-1, 2**30)][:calls]


def test_the_recipes_own_number_of_seeds_can_be_published(monkeypatch, tmp_path):
    from zoo import verification

    class TrainedError(Exception):
        pass

    def train(*_):
        raise TrainedError

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(verification, "_train", train)
    recipe = zoo.load_recipe("perceptron.and")
    with pytest.raises(TrainedError):
        verification.verify(recipe, recipe.seeds, publish=True, say=str)
    with pytest.raises(ValueError, match="published over its 5 seeds, not over 4"):
        verification.verify(recipe, recipe.seeds - 1, publish=True, say=str)


def test_no_mistake_is_said_to_be_none():
    from zoo.figures.ecg import beat_strips

    assert beat_strips([], 180, 8)._suptitle.get_text() == "No misclassified beats"
    beat = {"title": "", "x": torch.zeros(2, 256), "around": torch.zeros(4, 2, 256), "rr": torch.ones(18)}
    assert beat_strips([beat], 180, 8)._suptitle is None


def test_memory_limit_is_in_gib(tmp_path):
    from PIL import Image

    for part in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / part / name).mkdir(parents=True)
            for k in range(3):
                Image.new("L", (8, 8), 20 * k).save(tmp_path / part / name / f"{k}.png")
    size = 12 * 8 * 8

    def is_mapped(limit):
        data = datamodules.create_datamodule(
            "image_folder",
            root=str(tmp_path),
            image_size=8,
            grey=True,
            val_size=2,
            batch_size=2,
            memory_limit=limit / 2**30,
        )
        called = []
        data._write, write = lambda *args: called.append(args) or write(*args), data._write
        data.setup()
        return bool(called)

    assert not is_mapped(size)
    assert is_mapped(size - 1)


SMALL = {"hidden_dim": 4, "embedding_dim": 4}
BOUNDS = [
    # name, other arguments, argument, values at the bounds, values beyond them
    ("mlp", {}, "num_classes", [2], [1]),
    ("mlp", {}, "accumulate", [1], [0]),
    ("mlp", {}, "patience", [1], [0]),
    ("mlp", {}, "label_smoothing", [0.0, 0.999], [1.0, -0.001]),
    ("mlp", {}, "weight_decay", [0.0], [-0.001]),
    ("cnn", {"hidden_dims": [2], "depths": [1]}, "num_classes", [2], []),
    ("lstm_classifier", SMALL, "vocab_size", [2], [1]),
    ("lstm_classifier", SMALL, "max_length", [1], [0]),
    ("lstm_classifier", SMALL, "num_classes", [2], [1]),
    ("lstm_classifier", SMALL, "layers", [1], [0]),
    ("lstm_classifier", {"embedding_dim": 4}, "hidden_dim", [1], [0]),
    ("lstm_classifier", {**SMALL, "layers": 2}, "dropout", [0.0, 0.999], [1.0, -0.001]),
    ("lstm_seq2seq", SMALL, "vocab_size", [4], [3]),
    ("lstm_seq2seq", SMALL, "max_length", [3], [2]),
    ("lstm_seq2seq", {"embedding_dim": 4}, "hidden_dim", [2], [1, 0, 3]),
    ("lstm_seq2seq", SMALL, "teacher_forcing", [0.0, 1.0], [-0.001, 1.001]),
    ("lstm_seq2seq", SMALL, "label_smoothing", [0.0, 0.999], [1.0, -0.001]),
    ("lstm_seq2seq", SMALL, "length_penalty", [0.0], [-0.001]),
    ("lstm_language_model", SMALL, "vocab_size", [5], [4]),
    ("lstm_language_model", {"hidden_dim": 4}, "embedding_dim", [1], [0]),
    ("autoencoder", {}, "latent_dim", [1], [0]),
    ("autoencoder", {}, "hidden_dims", [[1]], [[0]]),
    ("autoencoder", {}, "penalty_weight", [0.0], [-0.001]),
    ("autoencoder", {}, "target_activity", [0.001, 0.999], [0.0, 1.0]),
    ("autoencoder", {"corruption": "masking"}, "corruption_strength", [0.0, 1.0], [-0.001, 1.001]),
    ("denoising_autoencoder", {}, "blocks", [0], [-1]),
    ("colorizer", {}, "input_shape", [[3, 1, 1]], [[1, 8, 8], [3, 8]]),
    ("vae", {}, "beta", [0.0], [-0.001]),
    ("ecg_classifier", {}, "rr_around", [2], [1]),
    ("ecg_classifier", {}, "rhythm_dim", [0], [-1]),
    ("ecg_classifier", {}, "neighbours", [0], [-1]),
    ("ecg_classifier", {}, "kernel_size", [1], [0, 2]),
    ("ecg_classifier", {}, "balance", [0.0, 1.0], [-0.001, 1.001]),
    ("ecg_classifier", {}, "patients", [0.0, 1.0], [-0.001, 1.001]),
    ("ecg_classifier", {}, "augmentation", [0.0], [-0.001, float("inf")]),
    ("ecg_classifier", {}, "smoothing_bandwidth", [0.0, 1e-3], [9e-4, -1.0, float("inf")]),
    ("ecg_autoencoder", {}, "flagged", [0.001, 0.999], [0.0, 1.0]),
    ("ecg_autoencoder", {}, "start", [0, 169], [-1, 170]),
    ("ecg_autoencoder", {}, "stop", [71, 256], [70, 257]),
    ("digits", {}, "batch_size", [1], [0]),
    ("digits", {}, "batches_per_step", [1], [0]),
    ("digits", {}, "seed", [0], [-1]),
    ("digits", {}, "val_size", [0], [-1]),
    ("boolean", {}, "repeat", [1], [0]),
    ("reuters", {}, "num_words", [1], [0]),
    ("sst2", {}, "negated", [0], [-1]),
    ("sst2", {}, "max_length", [1], [0]),
    ("fra_eng", {}, "max_length", [3], [2]),
    ("geoquery", {}, "max_length", [3], [2]),
    ("aeslc", {}, "length", [1], [0]),
    ("aeslc", {}, "context", [3], [2]),
    ("aeslc", {}, "fewest", [1], [0]),
    ("aeslc_subjects", {}, "max_length", [3], [2]),
    ("geoquery", {}, "fewest", [1], [0]),
    ("tinyshakespeare", {}, "length", [1], [0]),
    ("tinyshakespeare", {}, "context", [1], [0]),
    ("mitbih", {}, "folds", [2, 22], [1, 23]),
    ("mitbih", {"folds": 4}, "fold", [0, 3], [-1, 4]),
    ("mitbih", {}, "neighbours", [0], [-1]),
    ("mitbih", {}, "synthetic_hearts", [0], [-1]),
]


@pytest.mark.parametrize(("name", "others", "argument", "inside", "outside"), BOUNDS)
def test_bounds_of_arguments(name, others, argument, inside, outside):
    create = zoo.create_model if name in zoo.list_models() else datamodules.create_datamodule
    for value in inside:
        create(name, **others, **{argument: value})
    for value in outside:
        with pytest.raises(ValueError) as caught:
            create(name, **others, **{argument: value})
        assert "\n" not in str(caught.value)


def test_a_random_state_of_another_device_is_left_alone(monkeypatch):
    from zoo.training.checkpoints import random_state, restore_random_state

    called = []
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda *args: called.append(args))
    state = random_state(torch.device("cpu"))
    assert set(state) == {"cpu"}
    expected = torch.rand(2)
    restore_random_state({**state, "cuda": torch.zeros(3)}, torch.device("cpu"))
    assert torch.equal(torch.rand(2), expected)
    restore_random_state(state, torch.device("cuda"))
    assert called == []
    restore_random_state({"cuda": torch.zeros(3)}, torch.device("cuda"))
    assert len(called) == 1


def test_lightning_keeps_the_backward_pass_that_is_not_plain():
    from types import SimpleNamespace

    from lightning.pytorch.callbacks import Callback

    class Watcher(Callback):
        def on_after_backward(self, trainer, pl_module):
            pass

    class WatchingModel(type(zoo.create_model("mlp"))):
        def on_before_optimizer_step(self, optimizer):
            pass

    model = zoo.create_model("mlp")
    assert has_plain_step(quiet_trainer(), model)
    assert not has_plain_step(quiet_trainer(strategy="ddp", devices=2), model)
    assert not has_plain_step(quiet_trainer(callbacks=[Watcher()]), model)
    assert not has_plain_step(quiet_trainer(), WatchingModel())
    scaled = SimpleNamespace(strategy=quiet_trainer().strategy, precision_plugin=SimpleNamespace(scaler=object()))
    scaled.callbacks = []
    assert not has_plain_step(scaled, model)


def test_a_second_training_in_a_folder_replaces_its_checkpoints(tmp_path):
    model = zoo.create_model("mlp", in_features=64, input_shape=[1, 8, 8], hidden_dims=[4])
    for epochs in (1, 2):
        callbacks = zoo.callbacks.default_callbacks(model, tmp_path)
        data = datamodules.DigitsDataModule(batch_size=200)
        quiet_trainer(max_epochs=epochs, callbacks=callbacks, enable_checkpointing=True).fit(model, data)
        assert {path.name for path in tmp_path.glob("*.ckpt")} == {"best.ckpt", "last.ckpt"}
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["epoch"] == 1


@pytest.mark.parametrize("name", ["MNISTDataModule", "FashionMNISTDataModule", "DigitsDataModule", "MITBIHDataModule"])
def test_a_spec_counts_the_features_of_its_shape(name):
    data = getattr(datamodules, name)()
    assert data.spec["in_features"] == math.prod(data.spec["input_shape"])
    if "MNIST" in name:
        assert data.spec["input_shape"] == [1, 28, 28]
