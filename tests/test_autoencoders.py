"""The autoencoders' algebra: corruptions, codes, penalties, losses, and what a user does with them."""

import itertools
import math

import lightning as L
import numpy as np
import pytest
import torch
from conftest import quiet_trainer, state, tiny_batch, tiny_data
from PIL import Image
from torch import nn

import zoo
from zoo import cli
from zoo.baselines import BASELINES, neighbour_error
from zoo.nn import CORRUPTIONS, PENALTIES, find_corruption
from zoo.recipes import load_recipe
from zoo.registry import find_model
from zoo.tasks import Autoencoder

SMALL = {"in_features": 3 * 8 * 8, "input_shape": [3, 8, 8], "hidden_dims": [8], "latent_dim": 6}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# ---- any combination ----


@pytest.mark.parametrize("network", ["dense", "conv", "fully_convolutional"])
@pytest.mark.parametrize(("corruption", "penalty"), list(itertools.product(CORRUPTIONS, PENALTIES)))
def test_any_combination_trains(corruption, penalty, network):
    loss = "cross_entropy" if len(corruption) % 2 else "squared_error"
    model = zoo.create_model(
        "autoencoder", **SMALL, network=network, corruption=corruption, penalty=penalty, loss=loss, lr=1e-2
    )
    data = tiny_data(model, batch_size=5)
    before = quiet_trainer().validate(model, data, verbose=False)[0]["val_mse"]
    trainer = quiet_trainer(max_epochs=8)
    trainer.fit(model, data)
    assert trainer.callback_metrics["val_mse"] < 0.9 * before


@pytest.mark.parametrize("penalty", PENALTIES)
def test_sixteen_batches_a_step_are_the_same_updates(penalty):
    weights = []
    for batches_per_step in (1, 16):
        L.seed_everything(1, verbose=False)
        model = zoo.create_model("autoencoder", **SMALL, corruption="gaussian", penalty=penalty)
        quiet_trainer(max_epochs=2).fit(model, tiny_data(model, batch_size=4, batches_per_step=batches_per_step))
        weights.append(state(model))
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"corruption": "gausian"}, "unknown corruption 'gausian': did you mean gaussian"),
        ({"penalty": "l3"}, "unknown penalty 'l3': .*l1"),
        ({"loss": "squared"}, "unknown loss 'squared': did you mean squared_error"),
        ({"network": "dens"}, "unknown network 'dens': did you mean dense"),
        ({"output": "sigmoidal"}, "unknown output 'sigmoidal': did you mean sigmoid"),
        ({"corruption": "masking", "corruption_strength": 1.5}, "probability of a zero, at least 0 and at most 1, not"),
        ({"corruption": "gaussian", "corruption_strength": math.inf}, "at least 0 and finite, not inf"),
        ({"corruption": "gaussian", "corruption_strength": math.nan}, "not nan"),
        ({"corruption": "erase", "in_features": 20}, "corruption 'erase' needs images"),
        ({"penalty_weight": -1.0}, "penalty_weight must be at least 0, not -1"),
        ({"target_activity": 0.0}, "target_activity must be in"),
        ({"loss": "cross_entropy", "output": "identity"}, "cross_entropy needs output sigmoid or softmax"),
        ({"output": "softmax"}, "output softmax takes samples of one axis"),
        ({"network": "conv", "in_features": 20}, "network 'conv' takes images"),
        ({"latent_dim": 0}, "latent_dim must be at least 1, not .* 0"),
    ],
    ids=str,
)
def test_wrong_choice_is_refused_in_one_line(args, message):
    with pytest.raises(ValueError, match=message) as caught:
        zoo.create_model("autoencoder", **args)
    assert "\n" not in str(caught.value)


# ---- corruptions ----


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corruption_keeps_shape_and_range_and_repeats(name):
    x = torch.rand(16, 3, 12, 10, generator=generator())
    found, strength = find_corruption(name, None, (3, 12, 10))
    kept = x.clone()
    one, two, other = (found.apply(x, strength, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(x, kept)
    assert one.shape == x.shape
    assert one.dtype == x.dtype
    assert 0 <= one.min() <= one.max() <= 1
    assert torch.equal(one, two)
    assert torch.equal(one, other) == (name in ("none", "grey"))
    assert torch.equal(one, x) == (name == "none")
    assert torch.allclose(found.apply(x, 0.0, generator()), x) or name in (
        "any_holes",
        "erase",
        "holes",
    )  # which leave a pixel


def test_gaussian_noise_has_its_standard_deviation():
    x = torch.full((1000, 1, 10, 10), 0.5)
    noise = CORRUPTIONS["gaussian"].apply(x, 0.05, generator()) - x
    assert noise.std().item() == pytest.approx(0.05, rel=0.01)
    assert noise.mean().item() == pytest.approx(0, abs=1e-3)


def test_masking_and_salt_and_pepper_have_their_rates():
    x = torch.full((100, 1, 28, 28), 0.5)
    assert (CORRUPTIONS["masking"].apply(x, 0.3, generator()) == 0).float().mean().item() == pytest.approx(
        0.3, abs=0.01
    )
    spoiled = CORRUPTIONS["salt_pepper"].apply(x, 0.3, generator())
    for value, rate in {0.0: 0.15, 1.0: 0.15, 0.5: 0.7}.items():
        assert (spoiled == value).float().mean().item() == pytest.approx(rate, abs=0.01)


def test_erased_rectangle_has_its_area_and_lies_anywhere():
    x = torch.ones(2000, 1, 28, 20)
    holes = 1 - CORRUPTIONS["erase"].apply(x, 0.25, generator())
    assert set(holes.sum((1, 2, 3)).tolist()) == {14 * 10}
    assert (holes.sum(0) > 0).all()


def test_strokes_are_narrow_and_of_their_number():
    x = torch.ones(500, 1, 28, 28)
    few, many = ((CORRUPTIONS["strokes"].apply(x, k, generator()) == 0).float().mean() for k in (1, 5))
    assert 0.005 < few < 0.08
    assert 2 * few < many < 6 * few


def test_grey_is_the_luma_in_every_channel():
    x = torch.rand(4, 3, 5, 5)
    luma = 0.299 * x[:, 0] + 0.587 * x[:, 1] + 0.114 * x[:, 2]
    torch.testing.assert_close(CORRUPTIONS["grey"].apply(x, 1.0, None), luma[:, None].expand(-1, 3, -1, -1))


def test_corruption_works_in_training_and_in_validation_alike_each_time():
    model = zoo.create_model("denoising_autoencoder", network="dense", latent_dim=4, hidden_dims=[8])
    data = tiny_data(model, noise=0.5)
    x, y = tiny_batch(model)
    torch.manual_seed(1)
    losses = {model.step((x, y))["loss"].item() for _ in range(3)}
    assert len(losses) == 3
    runs = [quiet_trainer().validate(model, data, verbose=False)[0] for _ in range(2)]
    assert runs[0] == runs[1]
    clean = zoo.create_model("autoencoder", latent_dim=4, hidden_dims=[8], latent_activation="relu")
    clean.net.load_state_dict(model.net.state_dict())
    assert quiet_trainer().validate(clean, data, verbose=False)[0]["val_mse"] != runs[0]["val_mse"]


# ---- penalties and losses by hand ----


def test_penalties_by_hand():
    code = torch.tensor([[0.2, 0.9], [0.4, 0.1]])
    x = torch.zeros(2, 1)
    assert PENALTIES["l1"](code, x, 0.1).item() == pytest.approx((1.1 + 0.5) / 2)
    activity = code.mean(0)
    kl = 0.1 * torch.log(0.1 / activity) + 0.9 * torch.log(0.9 / (1 - activity))
    assert PENALTIES["kl"](code, x, 0.1).item() == pytest.approx(kl.sum().item())
    assert PENALTIES["kl"](torch.full((5, 3), 0.1), x, 0.1).item() == pytest.approx(0, abs=1e-6)
    assert PENALTIES["none"](code, x, 0.1) == 0


def test_contractive_penalty_is_the_norm_of_the_jacobian():
    encoder = nn.Sequential(nn.Linear(7, 5), nn.Sigmoid())
    x = torch.randn(6, 7)
    jacobian = torch.func.vmap(torch.func.jacrev(encoder))(x)
    exact = jacobian.square().sum((1, 2)).mean()
    drawn = []
    for _ in range(3000):
        inputs = x.clone().requires_grad_()
        drawn.append(PENALTIES["contractive"](encoder(inputs), inputs, 0.0).item())
    assert np.mean(drawn) == pytest.approx(exact.item(), rel=0.02)


@pytest.mark.parametrize("output", ["sigmoid", "softmax", "identity"])
@pytest.mark.parametrize("loss", ["squared_error", "cross_entropy"])
def test_loss_sums_over_a_sample_and_averages_over_the_batch(loss, output):
    if (loss, output) == ("cross_entropy", "identity"):
        return
    model = zoo.create_model("autoencoder", in_features=9, latent_dim=3, loss=loss, output=output).eval()
    x = torch.rand(5, 9)
    x = x / x.sum(1, keepdim=True) if output == "softmax" else x
    r = model(x)
    if loss == "squared_error":
        expected = (r - x).square().sum(1)
    elif output == "softmax":
        expected = -(x * r.log()).sum(1)
    else:
        expected = -(x * r.log() + (1 - x) * (1 - r).log()).sum(1)
    values = model.step((x,))
    torch.testing.assert_close(values["loss"], expected.mean())
    torch.testing.assert_close(values["mse"], (r - x).square().mean())
    torch.testing.assert_close(values["sse"], (r - x).square().sum(1).mean())
    torch.testing.assert_close(values["psnr"], (-10 * (r - x).square().mean(1).log10()).mean())


def test_penalty_is_part_of_the_training_loss_alone():
    model = zoo.create_model("sparse_autoencoder", latent_dim=8)
    plain = zoo.create_model("autoencoder", latent_dim=8, latent_activation="relu")
    plain.net.load_state_dict(model.net.state_dict())
    batch = tiny_batch(model)
    gap = model.step(batch)["loss"] - plain.step(batch)["loss"]
    torch.testing.assert_close(gap, 0.03 * model.encode(batch[0]).abs().sum(1).mean(), rtol=1e-3, atol=1e-5)
    assert model.eval().step(batch)["loss"] == plain.eval().step(batch)["loss"]


def test_active_counts_units_beyond_a_thousandth():
    model = zoo.create_model("autoencoder", in_features=4, latent_dim=4).eval()
    with torch.no_grad():
        model.net.encoder[2].weight.copy_(torch.eye(4))
        model.net.encoder[2].bias.zero_()
    assert model.step((torch.tensor([[0.5, 0.0009, 0.0011, 0.0]]),))["active"] == 0.5


def test_linear_autoencoder_finds_the_principal_subspace():
    from sklearn.decomposition import PCA

    torch.manual_seed(0)
    x = (torch.randn(400, 3) @ torch.randn(3, 10) * 0.1 + 0.05 * torch.randn(400, 10) + 0.5).clamp(0, 1)
    model = zoo.create_model("autoencoder", in_features=10, latent_dim=3, output="identity", lr=1e-2)
    optimizer = model.configure_optimizers()
    for _ in range(1500):
        optimizer.zero_grad()
        model.step((x,))["loss"].backward()
        optimizer.step()
    components = PCA(3).fit(x.numpy())
    best = np.square(components.inverse_transform(components.transform(x.numpy())) - x.numpy()).mean()
    assert 0.999 * best < model.eval().step((x,))["mse"].item() < 1.03 * best


# ---- use ----


@pytest.mark.parametrize("name", [n for n in zoo.list_models() if issubclass(find_model(n).cls, Autoencoder)])
def test_encode_and_reconstruct_never_corrupt(name):
    model = zoo.create_model(name)
    x = tiny_batch(model)[0] if name != "colorizer" else torch.rand(4, 1, 32, 32)
    for training in (True, False):
        model.train(training)
        codes, pictures = model.encode(x), model.reconstruct(x)
        assert model.training is training
        assert torch.equal(codes, model.encode(x))
        assert codes.shape[:2] == (len(x), model.hparams["latent_dim"])
        assert pictures.shape == (len(x), *model.sample_shape)
        assert pictures.dtype == torch.float32
        assert 0 <= pictures.min() <= pictures.max() <= 1
        if name not in ("colorizer", "inpainting_autoencoder"):
            torch.testing.assert_close(model.decode(codes), pictures)
            with torch.no_grad():
                torch.testing.assert_close(model.eval()(x), pictures)


@pytest.mark.parametrize("method", ["encode", "reconstruct"])
@pytest.mark.parametrize("network", ["dense", "conv"])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x: x[..., :27], r"input of shape \(4, 1, 28, 27\): expected N x 1 x 28 x 28"),
        (lambda x: x.expand(-1, 3, -1, -1), r"shape \(4, 3, 28, 28\): expected N x 1 x 28 x 28"),
        (lambda x: x[0, 0], r"shape \(28, 28\): expected N x 1 x 28 x 28"),
        (lambda x: (255 * x).byte(), "dtype torch.uint8: expected natural units as floats"),
        (lambda x: 255 * x, r"input ranges from 0 to 255: expected \[0, 1\]"),
        (lambda x: x - 0.5, r"input ranges from -0.5 to 0.5: expected \[0, 1\]"),
        (
            lambda x: x.masked_fill(torch.arange(4)[:, None, None, None] > 1, math.nan),
            "1568 NaN, the first in sample 2",
        ),
        (lambda x: x * math.inf, "NaN|inf"),
    ],
)
def test_wrong_pictures_are_named_in_one_line(method, network, spoil, message):
    model = zoo.create_model("autoencoder", network=network, latent_dim=4)
    x = torch.linspace(0, 1, 4 * 784).reshape(4, 1, 28, 28)
    with pytest.raises(ValueError, match=message) as caught:
        getattr(model, method)(spoil(x))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("network", ["dense", "conv"])
def test_floats_of_any_precision_and_numpy_arrays_are_taken(network):
    model = zoo.create_model("autoencoder", network=network, latent_dim=4).eval()
    x = torch.rand(3, 1, 28, 28)
    codes, pictures = model.encode(x), model.reconstruct(x)
    for given in (x.double(), x.numpy(), x.double().numpy(), np.flip(x.numpy(), 3)[..., ::-1]):
        assert torch.equal(model.encode(given), codes)
        assert torch.equal(model.reconstruct(given), pictures)
    assert torch.equal(model.decode(codes.double().numpy()), model.decode(codes))
    with pytest.raises(ValueError, match=r"dtype torch\.uint8"):
        model.encode((255 * x).byte().numpy())


@pytest.mark.parametrize("name", ["denoising_autoencoder", "inpainting_autoencoder", "vae"])
def test_draws_of_evaluation_are_those_of_the_cpu_on_every_device(name, monkeypatch):
    model = zoo.create_model(name)
    model.begin_epoch("test")
    assert model._draws.device.type == "cpu"
    # A batch of another device: there the generator of the CPU could not be used.
    there, worked = torch.device("meta"), []
    monkeypatch.setattr(model, "corrupt", lambda x, draws: worked.append((x.device.type, draws)) or x)
    monkeypatch.setattr(torch.Tensor, "cpu", lambda x: torch.zeros(x.shape))
    seen = model.eval().corrupted(torch.zeros(2, *model.sample_shape, device=there))
    assert worked == [("cpu", model._draws)]
    assert seen.device == there
    if name == "vae":
        assert model._random_like(seen).device == there


def test_wrong_codes_are_refused():
    with pytest.raises(ValueError, match=r"codes of shape \(2, 3\).*: expected N x 64 floats"):
        zoo.create_model("autoencoder").decode(torch.zeros(2, 3))


@pytest.fixture
def fitted(tmp_path, monkeypatch, capfd):
    """A small recipe of a user's own, fitted, with pictures to answer."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.yaml").write_text(
        "model: {name: autoencoder, args: {latent_dim: 5}}\ndata: {name: digits}\ntrainer: {max_epochs: 1}\n"
    )
    for k in range(3):
        pixels = np.random.default_rng(k).integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{k}.png")
    assert cli.main(["fit", "own.yaml", "--no_test"]) == 0
    capfd.readouterr()
    return ["predict", "own.yaml", "0.png", "1.png", "2.png", "--ckpt_path", "best"]


def test_predict_writes_codes_and_pictures(fitted, capfd):
    assert cli.main([*fitted, "--output", "codes.npy"]) == 0
    assert np.load("codes.npy").shape == (3, 5)
    assert cli.main([*fitted, "--output", "sheet.png"]) == 0
    assert Image.open("sheet.png").size == (3 * 10 + 2, 8 + 4)
    assert cli.main([fitted[0], fitted[1], "0.png", *fitted[5:], "--output", "one.png"]) == 0
    assert Image.open("one.png").size == (8, 8)
    assert cli.main([*fitted, "--output", "codes.csv"]) == 0
    with open("codes.csv") as file:
        lines = file.read().splitlines()
    assert lines[0] == "input,mse,code_0,code_1,code_2,code_3,code_4"
    assert len(lines) == 4
    capfd.readouterr()
    assert cli.main(fitted) == 0
    assert capfd.readouterr().out.startswith("0.png  0.")


def test_predict_refuses_another_ending_before_any_work(fitted, capfd):
    assert cli.main([*fitted, "--output", "codes.txt"]) == 2
    assert "answers are written as .csv or .json or .npy or .png" in capfd.readouterr().err


def test_tensorboard_shows_pictures_and_codes(tmp_path):
    from lightning.pytorch.loggers import TensorBoardLogger
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    model = zoo.create_model("denoising_autoencoder", network="dense", hidden_dims=[8], latent_dim=4)
    logger = TensorBoardLogger(tmp_path, name="", version="run")
    callbacks = zoo.callbacks.default_callbacks(model, tmp_path)
    quiet_trainer(max_epochs=2, logger=logger, callbacks=callbacks, enable_checkpointing=True).fit(
        model, tiny_data(model, n_val=300)
    )
    events = EventAccumulator(str(tmp_path / "run"))
    events.Reload()
    pictures = events.Images("reconstructions")
    assert [picture.step for picture in pictures] == [1, 2]
    assert (pictures[0].width, pictures[0].height) == (12 * 29 + 1, 3 * 29 + 1)  # original, noisy, reconstruction
    [sprite] = tmp_path.glob("run/**/sprite.png")
    assert len((sprite.parent / "tensors.tsv").read_text().splitlines()) == 300
    assert (sprite.parent / "metadata.tsv").read_text().split()[:3] == ["0", "1", "2"]


# ---- baselines ----


def test_pca_is_measured_beside_the_model():
    data = load_recipe("mlp.digits").datamodule()
    data.setup()
    model = zoo.create_model("autoencoder", in_features=64, input_shape=[1, 8, 8], latent_dim=5)
    found = BASELINES["pca"](model, data)
    variance = np.square(data.arrays("test")[0] - data.arrays("train")[0].mean(0)).mean()
    assert 0.1 * variance < found["test_mse"] < 0.6 * variance
    assert found["test_sse"] == pytest.approx(64 * found["test_mse"])


def test_neighbour_error_reads_the_codes():
    data = load_recipe("mlp.digits").datamodule()
    data.setup()
    shape = {"in_features": 64, "input_shape": [1, 8, 8], "latent_dim": 64}
    model = zoo.create_model("autoencoder", **shape)
    with torch.no_grad():
        model.net.encoder[2].weight.copy_(torch.eye(64))
        model.net.encoder[2].bias.zero_()
    pixels = BASELINES["neighbour_by_pixels"](model, data)["test_neighbour_error"]
    assert neighbour_error(model, data)["test_neighbour_error"] == pixels < 0.05
    two = zoo.create_model("autoencoder", **{**shape, "latent_dim": 2})
    assert BASELINES["neighbour_by_pca"](two, data)["test_neighbour_error"] > 0.3
