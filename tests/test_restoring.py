"""Pictures with noise, with holes, without colour: networks for any size, and the tool that restores files."""

import io
import math
import os
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from adapters import TinyData
from conftest import quiet_trainer, tiny_batch, tiny_data
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo
from scipy.ndimage import gaussian_filter

import zoo
from datamodules.images.photographs import WRITABLE_ENDINGS, Photograph, read_photograph
from datamodules.images.reading import IMAGE_ENDINGS
from datamodules.text.files import read_lines
from zoo import cli
from zoo.baselines import BASELINES, MEASURES, restoration
from zoo.callbacks.samples import walk
from zoo.figures.images import comparison_figure
from zoo.files import expand, write_atomically
from zoo.metrics import psnr
from zoo.nn import (
    CORRUPTIONS,
    apply_in_tiles,
    fully_convolutional_codec,
    lab_to_rgb,
    luma,
    rgb_to_lab,
    rgb_to_ycbcr,
    ycbcr_to_rgb,
)
from zoo.prediction import rows
from zoo.prediction.images import Job, _hole, plan_jobs, restore_image, restore_images
from zoo.prediction.rows import check_output

RESTORERS = {
    "denoising_autoencoder": {},
    "inpainting_autoencoder": {},
    "inpainting_autoencoder ": {"input_shape": [3, 32, 32]},
    **{f"colorizer {mode}": {"mode": mode} for mode in ("vanilla", "ycbcr", "lab")},
}
NARROW = {"hidden_dims": [4, 4], "latent_dim": 4}
"""As deep as the default network, so that its tiles are the same."""
every_restorer = pytest.mark.parametrize("name", RESTORERS)


def restorer(name, **args):
    return zoo.create_model(name.split()[0], **{**RESTORERS[name], **args})


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def shaken(model):
    """Give batch normalisation statistics that are not 0 and 1, so that a padding of zeros is not neutral."""
    for layer in model.net.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_(generator=generator())
            layer.running_var.uniform_(0.5, 2, generator=generator())
    return model.eval()


# ---- any size ----


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("hidden_dims", [[6], [6, 8], [4, 6, 8]])
def test_tiles_give_what_the_whole_picture_gives(hidden_dims, skip):
    codec = fully_convolutional_codec((2, 1), hidden_dims, 5, blocks=1, skip=skip)
    torch.manual_seed(0)
    for layer in codec.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(layer.running_mean)
    codec.eval()
    x = torch.rand(2, 2, 203, 150)

    def net(piece):
        return codec.code_and_scores(piece)[1]

    with torch.no_grad():
        whole = net(torch.nn.functional.pad(x, (0, -150 % codec.stride, 0, -203 % codec.stride), mode="replicate"))
        whole = whole[..., :203, :150]
        tiled = apply_in_tiles(net, x, codec.stride, codec.reach, tile=40)
        near = apply_in_tiles(net, x, codec.stride, codec.stride, tile=40)
    assert tiled.shape == whole.shape
    torch.testing.assert_close(tiled, whole, atol=1e-5, rtol=1e-4)
    assert (near - whole).abs().max() > 20 * (tiled - whole).abs().max()  # without what is around, there would be seams


@every_restorer
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (27, 31), (40, 28), (70, 101)])
def test_any_size_comes_back_in_its_size(name, size):
    model = restorer(name)
    seen = 1 if name.startswith("colorizer") else model.sample_shape[0]
    x = torch.rand(2, seen, *size)
    pictures = model.reconstruct(x)
    assert pictures.shape == (2, model.sample_shape[0], *size)
    assert pictures.dtype == torch.float32
    assert 0 <= pictures.min() <= pictures.max() <= 1
    assert torch.equal(pictures, model.reconstruct(x))
    codes = model.encode(x)
    assert codes.shape == (2, 48, -(-size[0] // 4), -(-size[1] // 4))


def test_large_picture_takes_memory_by_the_tile():
    model = shaken(zoo.create_model("denoising_autoencoder", **NARROW))
    sizes = []
    model.net.encoder.register_forward_hook(lambda _, inputs, __: sizes.append(inputs[0].numel()))
    model.reconstruct(torch.rand(1, 1, 1500, 1100))
    assert len(sizes) == 9
    assert max(sizes) <= (512 + 2 * 56) ** 2


def test_pieces_without_a_hole_are_not_worked_on():
    model = shaken(zoo.create_model("inpainting_autoencoder", **NARROW))
    x, mask = torch.rand(1, 1, 1500, 1100), torch.zeros(1500, 1100)
    mask[700:705, 700:705] = 1
    mask[1200:1204, 300:800] = 1
    pieces, work = [], model.net.code_and_scores
    model.net.code_and_scores = lambda piece: pieces.append(piece) or work(piece)
    found = model.reconstruct(x, mask=mask)
    assert 2 <= len(pieces) < 5
    pieces.clear()
    model.piece_scores = lambda seen: model.net.code_and_scores(seen)[1]
    assert torch.equal(model.reconstruct(x, mask=mask), found)
    assert len(pieces) == 9


@every_restorer
def test_floats_of_any_precision_and_numpy_arrays_are_taken(name):
    model = shaken(restorer(name, **({} if name.startswith(("color", "inp")) else {"latent_activation": "sigmoid"})))
    x = torch.rand(2, 1 if name.startswith("colorizer") else model.sample_shape[0], 30, 30)
    arrays = [x.double(), x.numpy(), x.double().numpy(), np.flip(x.numpy(), 3)[..., ::-1]]
    options = [{}] * 4
    if model.takes_mask:
        mask = (torch.rand(30, 30) < 0.3).float()
        options = [{"mask": m} for m in (mask.double(), mask.numpy(), mask.numpy() > 0, mask.numpy().astype(np.uint8))]
    wanted = model.reconstruct(x, **options[0])
    for given, option in zip(arrays, options, strict=True):
        found = model.reconstruct(given, **option)
        assert found.dtype == torch.float32
        assert torch.equal(found, wanted)
        assert torch.equal(model.encode(given), model.encode(x))
    with pytest.raises(ValueError, match=r"dtype torch\.uint8"):
        model.reconstruct((x.numpy() * 255).astype(np.uint8))
    assert model.reconstruct(np.nextafter(np.ones((1, x.shape[1], 8, 8)), 2)).isfinite().all()  # 1 but for rounding


@every_restorer
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x: x[0], r"input of shape \(\d, 30, 30\): expected N x \d x any x any"),
        (lambda x: torch.cat([x, x], 1), r"input of shape \(2, \d, 30, 30\): expected N x \d x any x any"),
        (lambda x: x[..., :0], "expected N x . x any x any"),
        (lambda x: (255 * x).byte(), "dtype torch.uint8"),
        (lambda x: 255 * x, r"expected \[0, 1\]"),
        (lambda x: x * math.nan, "NaN"),
    ],
)
def test_wrong_pictures_are_named_in_one_line(name, spoil, message):
    model = restorer(name)
    x = torch.rand(2, 1 if name.startswith("colorizer") else model.sample_shape[0], 30, 30)
    x[0, 0, 0, 0] = 0.99
    for method in (model.encode, model.reconstruct):
        with pytest.raises(ValueError, match=message) as caught:
            method(spoil(x))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        (
            "inpainting_autoencoder",
            {"corruption": "gaussian"},
            "unknown corruption of an inpainting .*: choose from any_holes, erase",
        ),
        ("inpainting_autoencoder", {"corruption": "stroke"}, "did you mean strokes"),
        ("inpainting_autoencoder", {"loss": "cross_entropy"}, "psnr or squared_error, not cross_entropy"),
        ("inpainting_autoencoder", {"input_shape": [28, 28]}, r"input_shape \(C, H, W\)"),
        ("colorizer", {"mode": "lap"}, "unknown mode 'lap': did you mean lab"),
        ("colorizer", {"input_shape": [1, 28, 28]}, r"is \(3, H, W\), not \[1, 28, 28\]"),
        ("colorizer", {"loss": "cross_entropy"}, "psnr or squared_error, not cross_entropy"),
        ("colorizer", {"blocks": -1}, "blocks must be at least 0"),
        ("colorizer", {"latent_dim": 0}, "latent_dim must be at least 1"),
        ("vae", {"beta": -1.0}, "beta must be at least 0, not -1"),
        ("vae", {"loss": "squared_error"}, "loss of a vae is cross_entropy"),
        ("vae", {"network": "fully_convolutional"}, "network of a vae is conv or dense"),
        ("denoising_autoencoder", {"in_features": 20}, "takes images"),
    ],
)
def test_wrong_choice_is_refused_in_one_line(name, args, message):
    with pytest.raises(ValueError, match=message) as caught:
        zoo.create_model(name, **args)
    assert "\n" not in str(caught.value)


def test_skip_network_does_not_decode_codes_alone():
    model = zoo.create_model("inpainting_autoencoder")
    with pytest.raises(ValueError, match="skip connections"):
        model.decode(model.encode(torch.rand(1, 1, 8, 8)))


def test_smaller_numbers_do_not_meet_the_penalty():
    """Whatever scale the encoder's last layer has, the code is the same: only fewer units make it cheaper."""
    model = zoo.create_model("sparse_denoising_autoencoder")
    x = torch.rand(16, 1, 28, 28, generator=generator())
    codes = []
    for _ in range(2):
        with torch.no_grad():
            codes.append(model.train().net.encoder(x))
            last = [layer for layer in model.net.encoder if isinstance(layer, torch.nn.Conv2d)][-1]
            last.weight.mul_(0.2)
            last.bias.mul_(0.2)
    torch.testing.assert_close(codes[0], codes[1], atol=2e-3, rtol=2e-2)


# ---- holes ----


def holes_and_pictures(n=4, channels=1, size=28):
    x = torch.rand(n, channels, size, size, generator=generator())
    return x, CORRUPTIONS["holes"].holes(x, 0.25, generator()).float()


@pytest.mark.parametrize("channels", [1, 3])
def test_only_holes_change_and_what_they_show_is_not_looked_at(channels):
    model = shaken(zoo.create_model("inpainting_autoencoder", input_shape=[channels, 28, 28]))
    x, mask = holes_and_pictures(channels=channels)
    pictures = model.reconstruct(x, mask=mask)
    outside = (mask == 0).expand_as(x)
    assert torch.equal(pictures[outside], x[outside])
    assert not torch.equal(pictures, x)
    other = torch.where(mask > 0, torch.rand(x.shape), x)
    assert torch.equal(model.reconstruct(other, mask=mask), pictures)
    assert torch.equal(model.reconstruct(x), x)
    one = mask[:1]
    torch.testing.assert_close(model.reconstruct(x, mask=one[0, 0]), model.reconstruct(x, mask=one))
    torch.testing.assert_close(
        model.reconstruct(x, mask=one.bool()), model.reconstruct(x, mask=one.expand(4, -1, -1, -1))
    )


def test_large_hole_is_filled_from_smaller_pictures():
    """A smooth picture with a hole far deeper than the network sees comes back about right, without training."""
    model = zoo.create_model("inpainting_autoencoder").eval()
    model.scores = lambda seen: torch.zeros_like(seen[:, :-1])  # the smooth filling is as it shall be
    x = torch.linspace(0.2, 0.8, 300)[None, None, None].expand(1, 1, 260, 300).contiguous()
    mask = torch.zeros(260, 300)
    mask[30:230, 40:260] = 1
    filled = model.reconstruct(x, mask=mask)
    assert (filled - x).abs().max() < 0.15
    assert (filled[..., :, 40:260].diff(dim=-1).abs().max()) < 0.05
    whole = model.reconstruct(x, mask=torch.ones(260, 300))
    assert whole.isfinite().all()


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.zeros(4, 1, 27, 28), r"mask of shape \(4, 1, 27, 28\): expected 4 x 1 x 28 x 28"),
        (torch.zeros(3, 1, 28, 28), r"mask of shape \(3, 1, 28, 28\): expected 4 x 1"),
        (torch.zeros(4, 2, 28, 28), "expected 4 x 1 x 28 x 28, 1 in a hole"),
        (torch.full((28, 28), 0.5), "mask has values besides 0 and 1"),
        (torch.full((28, 28), 255), "mask has values besides 0 and 1"),
    ],
)
def test_wrong_mask_is_named_in_one_line(mask, message):
    with pytest.raises(ValueError, match=message):
        zoo.create_model("inpainting_autoencoder").reconstruct(torch.rand(4, 1, 28, 28), mask=mask)


@pytest.mark.parametrize("size", [(60, 90), (25, 200), (21, 21)])
def test_deep_parts_of_a_hole_are_those_far_from_its_rim(size):
    """Deep is what has nothing known in the square around it, and it alone is filled from the smaller picture."""
    model = zoo.create_model("inpainting_autoencoder").eval()
    mask = torch.ones(size)
    mask[:2, :3] = 0
    mask[-1, size[1] // 2] = 0
    x = torch.rand(1, 1, *size)
    asked = []
    model.scores = lambda seen: asked.append(seen[:, -1] > 0) or torch.zeros_like(seen[:, :-1])
    model.reconstruct(x, mask=mask)
    side = 2 * model.depth + 1
    known = torch.nn.functional.pad(mask[None] == 0, (model.depth,) * 4)[0]
    near = known.unfold(0, side, 1).unfold(1, side, 1).any(-1).any(-1)
    assert torch.equal(asked[-1][0], (mask > 0) & near)


def test_inpainting_is_measured_inside_the_holes():
    model = zoo.create_model("inpainting_autoencoder").eval()
    x, mask = holes_and_pictures()
    seen = model.network_inputs(x, mask)
    with torch.no_grad():
        scores = model.net.code_and_scores(seen)[1]
    pictures = model.restored(scores, seen)
    by_hand = [(pictures[k] - x[k])[mask[k] > 0].square().mean() for k in range(4)]
    torch.testing.assert_close(model.errors(pictures, x, seen), torch.stack(by_hand))
    total = ((seen[:, :1] + scores - x)[mask > 0]).square().sum() / 4
    torch.testing.assert_close(model.reconstruction_loss(scores, x, seen), total)


# ---- colours ----


def test_colour_spaces_are_those_of_scikit_image():
    color = pytest.importorskip("skimage.color")
    rgb = torch.cat([torch.rand(4, 3, 9, 7), torch.zeros(1, 3, 9, 7), torch.ones(1, 3, 9, 7)]).double()
    lab = rgb_to_lab(rgb)
    expected = torch.from_numpy(color.rgb2lab(rgb.permute(0, 2, 3, 1).numpy())).permute(0, 3, 1, 2)
    torch.testing.assert_close(lab, expected, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(lab_to_rgb(lab), rgb, atol=1e-6, rtol=1e-6)
    ycbcr = rgb_to_ycbcr(rgb)
    torch.testing.assert_close(ycbcr[:, :1], luma(rgb))
    torch.testing.assert_close(ycbcr_to_rgb(ycbcr), rgb)
    assert ycbcr[:, 1:].abs().max() <= 0.5
    image = np.asarray(
        Image.fromarray((rgb[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)).convert("YCbCr")
    )
    bytes_of = (rgb[:1] * 255).round() / 255
    ours = rgb_to_ycbcr(bytes_of)[0].permute(1, 2, 0).numpy() * 255 + np.array([0, 128, 128])
    assert np.abs(ours - image).max() <= 1


@pytest.mark.parametrize("mode", ["ycbcr", "lab"])
def test_merging_keeps_the_luminance_and_is_right_for_right_colours(mode):
    model = zoo.create_model("colorizer", mode=mode).eval()
    x = 0.25 + 0.5 * torch.rand(3, 3, 16, 16)
    grey = model.corrupt(x)
    torch.testing.assert_close(grey, luma(x))
    given = rgb_to_ycbcr(x)[:, 1:] if mode == "ycbcr" else rgb_to_lab(x)[:, 1:] / 100
    restored_ = model.restored(given, grey)
    if mode == "ycbcr":
        torch.testing.assert_close(restored_, x, atol=1e-5, rtol=1e-5)
    else:
        lightness = rgb_to_lab(grey.expand(-1, 3, -1, -1))[:, :1]
        inside = ((restored_ > 0) & (restored_ < 1)).all(1, keepdim=True)
        assert inside.float().mean() > 0.9
        lab = rgb_to_lab(restored_)
        torch.testing.assert_close(lab[:, :1][inside], lightness[inside], atol=1e-2, rtol=1e-4)
        inside = inside.expand(-1, 2, -1, -1)
        torch.testing.assert_close(lab[:, 1:][inside], rgb_to_lab(x)[:, 1:][inside], atol=1e-2, rtol=1e-3)
    torch.testing.assert_close(
        model.restored(torch.zeros_like(given), grey), grey.expand(-1, 3, -1, -1), atol=1e-3, rtol=1e-3
    )
    assert model.reconstruction_loss(given, x, grey).item() == pytest.approx(0, abs=1e-8)


def test_colours_of_a_large_picture_come_from_a_small_copy():
    model = shaken(zoo.create_model("colorizer", mode="ycbcr"))
    sizes = []
    model.net.encoder.register_forward_hook(lambda _, inputs, __: sizes.append(tuple(inputs[0].shape)))
    grey = torch.rand(1, 1, 300, 450)
    picture = model.reconstruct(grey)
    assert sizes == [(1, 1, 64, 96)]
    inside = (picture > 0).all(1, keepdim=True) & (picture < 1).all(1, keepdim=True)
    torch.testing.assert_close(luma(picture)[inside], grey[inside], atol=1e-5, rtol=1e-5)


# ---- the variational autoencoder ----


def test_evidence_bound_by_hand():
    model = zoo.create_model("vae", in_features=9, hidden_dims=[5], latent_dim=2).eval()
    x = torch.rand(6, 9)
    model._draws = generator(3)
    values = model.step((x,))
    draws = generator(3)
    pixels = (torch.rand(x.shape, generator=draws) < x).float()
    mean, log_variance = model.net.moments(pixels)
    code = mean + log_variance.mul(0.5).exp() * torch.randn(mean.shape, generator=draws)
    posterior = torch.distributions.Normal(mean, log_variance.mul(0.5).exp())
    kl = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).sum(1)
    likelihood = torch.distributions.Bernoulli(logits=model.net.decoder(code)).log_prob(pixels).sum(1)
    torch.testing.assert_close(values["nats"], (kl - likelihood).mean())
    torch.testing.assert_close(values["kl"], kl.mean())
    torch.testing.assert_close(values["loss"], values["nats"])


def test_bound_is_the_same_each_time_and_pixels_are_drawn_anew_in_training():
    model = zoo.create_model("vae", hidden_dims=[8], latent_dim=3)
    data = tiny_data(model)
    runs = [quiet_trainer().validate(model, data, verbose=False)[0] for _ in range(2)]
    assert runs[0] == runs[1]
    batch = tiny_batch(model)
    assert len({model.train().step(batch)["loss"].item() for _ in range(3)}) == 3


def test_samples_repeat_with_a_seed_and_are_pictures():
    model = zoo.create_model("vae").eval()
    one, two, other = model.sample(5, seed=1), model.sample(5, seed=1), model.sample(5, seed=2)
    assert one.shape == (5, 1, 28, 28)
    assert 0 <= one.min() <= one.max() <= 1
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert model.sample(0).shape == (0, 1, 28, 28)
    with pytest.raises(ValueError, match="n must be at least 0, not -1"):
        model.sample(-1)


# ---- what is measured beside, and shown ----


def small(name, channels=1, n_val=400, **args):
    """Return a model and data of small pictures, smooth patches under a little noise."""
    model = zoo.create_model(name, hidden_dims=[4], latent_dim=4, blocks=0, input_shape=[channels, 16, 16], **args)
    data = TinyData((channels, 16, 16), 10, n=400, n_val=n_val, noise=0.1, batch_size=50)
    data.setup()
    return model, data


@pytest.mark.slow
def test_denoisers_are_measured_on_the_pictures_of_the_model(monkeypatch):
    pytest.importorskip("skimage")
    monkeypatch.setattr(restoration, "TUNING_ROWS", 40)
    monkeypatch.setattr(restoration, "SLOW_ROWS", 100)
    model, data = small("denoising_autoencoder", n_val=200, in_features=256)
    found = {name: BASELINES[name](model, data)["test_psnr"] for name in ("linear_denoiser", "median")}
    found |= {
        name: BASELINES[name](model, data)["test_psnr"] for name in ("total_variation", "wavelet", "nonlocal_means")
    }
    x = data.to_natural_units(data.splits["test"].tensors[0])
    noisy = restoration.mean_psnr(model.corrupt(x, generator()).numpy(), x.numpy())
    assert all(psnr > noisy + 3 for psnr in found.values()), (noisy, found)
    assert found["linear_denoiser"] == max(found.values())  # ten patterns lie in a plane of ten dimensions
    seen = []
    model.errors = lambda restored, x, seen_: seen.append(seen_) or (restored - x).square().flatten(1).mean(1)
    quiet_trainer().test(model, data, verbose=False)
    clean, corrupted = restoration._examples(model, data, "test")
    assert np.array_equal(torch.cat(seen).numpy(), corrupted)
    assert np.array_equal(clean, x.numpy())
    by_lines = restoration.least_squares(model, data)(corrupted)
    assert by_lines.shape == clean.shape
    assert restoration.mean_psnr(by_lines, clean) == pytest.approx(found["linear_denoiser"])
    some = restoration.tuned_total_variation(model, data)(corrupted[:100])
    assert restoration.mean_psnr(some, clean[:100]) == pytest.approx(found["total_variation"])


def test_denoisers_choose_among_settings_that_fit_the_pictures():
    pytest.importorskip("pywt")
    for size in (8, 16, 28):
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # PyWavelets warns of a depth that is too much for the size
            settings = restoration.wavelet_settings((1, size, size))
            restore = pytest.importorskip("skimage.restoration").denoise_wavelet
            for sigma, kind, depth in settings:
                if depth > 1 or size > 8:
                    restore(np.random.default_rng(0).random((size, size)), sigma, kind, wavelet_levels=depth)
        assert {0.25, 0.35} <= {sigma for sigma, _, _ in settings}
    assert {depth for _, kind, depth in settings if kind == "db1"} == {1, 2, 3}
    sizes, strengths, sigmas = restoration.NONLOCAL_SETTINGS
    assert sizes == (3, 5, 7)
    assert strengths == (0.1, 0.15, 0.2, 0.3)
    assert sigmas == (0.2, 0.25, 0.3, 0.35)


def test_holes_are_measured_inside_them_and_are_the_same_for_both():
    pytest.importorskip("skimage")
    model, data = small("inpainting_autoencoder", channels=3, n_val=80)
    torch.nn.init.zeros_(model.net.decoder.last.weight)
    torch.nn.init.zeros_(model.net.decoder.last.bias)
    ours, biharmonic = MEASURES["filled"](model, data), BASELINES["biharmonic"](model, data)
    assert set(ours) == set(biharmonic) == {"test_hole_psnr", "test_stroke_psnr"}
    assert all(5 < value < 30 for value in (*ours.values(), *biharmonic.values()))
    x, mask = torch.rand(2, 3, 8, 8), torch.zeros(2, 1, 8, 8)
    mask[:, :, 2:4, 2:4] = 1
    worse = torch.where(mask > 0, x + 0.1, x + 0.5)
    assert psnr(worse, x, mask).mean().item() == pytest.approx(20, abs=1e-3)


def test_grey_copy_and_colours_are_measured():
    pytest.importorskip("skimage")
    model, data = small("colorizer", channels=3, mode="ycbcr")
    last = model.net.decoder[-1]
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.zeros_(last.bias)
    grey = BASELINES["grey_copy"](model, data)
    found = MEASURES["colours"](model, data)  # without chroma the merged picture is the grey one
    assert found["test_ssim"] == pytest.approx(grey["test_ssim"], abs=1e-4)
    assert found["test_ciede2000"] == pytest.approx(grey["test_ciede2000"], abs=1e-3)
    x = data.to_natural_units(data.splits["test"].tensors[0])
    perfect = restoration._colour_metrics(x, x)
    assert perfect["test_ssim"] == pytest.approx(1, abs=1e-5)
    assert perfect["test_ciede2000"] == pytest.approx(0, abs=1e-6)


def drawn(pictures):
    """Something that draws given pictures."""

    class Drawer:
        def sample(self, n, seed):
            return pictures

    return Drawer()


def test_samples_are_read_by_the_shipped_classifier():
    one, seven = torch.zeros(2, 1, 28, 28)
    one[:, 4:24, 13:16] = 1
    seven[:, 4:7, 7:21] = 1
    for row in range(7, 24):
        seven[:, row, 19 - (row - 7) // 2 : 22 - (row - 7) // 2] = 1
    read = zoo.create_model("cnn.mnist", pretrained=True).classify(torch.stack([one, seven]))
    assert [found.label for found in read] == ["1", "7"]
    found = MEASURES["readable_samples"](drawn(torch.stack([one] * 500 + [seven] * 500)), None)
    assert found["test_readable_samples"] == 1
    assert found["test_sample_classes"] == pytest.approx(2, abs=1e-4)
    found = MEASURES["readable_samples"](drawn(torch.zeros(1000, 1, 28, 28)), None)
    assert found["test_sample_classes"] == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("counts", "sure", "share"),
    [([100] * 10, [True] * 10, 1.0), ([250, 250, 500], [True, True, False], 0.5), ([10, 990], [False, True], 0.99)],
)
def test_samples_of_a_known_mix_are_counted(counts, sure, share, monkeypatch):
    scores = torch.zeros(1000, 10)
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    scores[torch.arange(1000), labels] = torch.repeat_interleave(torch.tensor(sure), torch.tensor(counts)) * 9 + 1.0
    monkeypatch.setattr("zoo.pretrained.load_weights", lambda recipe: {"cnn.mnist": torch.nn.Identity()}[recipe])
    found = MEASURES["readable_samples"](drawn(scores), None)
    assert found["test_readable_samples"] == pytest.approx(share)
    wanted = math.prod((n / 1000) ** (-n / 1000) for n in counts)
    assert found["test_sample_classes"] == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("name", ["inpainting_autoencoder", "colorizer", "vae"])
def test_tensorboard_shows_what_was_seen_and_restored(name, tmp_path):
    from lightning.pytorch.loggers import TensorBoardLogger
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    model = zoo.create_model(name)
    logger = TensorBoardLogger(tmp_path, name="", version="run")
    quiet_trainer(
        max_epochs=1,
        logger=logger,
        callbacks=zoo.callbacks.default_callbacks(model, tmp_path),
        enable_checkpointing=True,
    ).fit(model, tiny_data(model))
    events = EventAccumulator(str(tmp_path / "run"))
    events.Reload()
    side = model.sample_shape[1]
    rows = 2 if name == "vae" else 3
    [picture] = events.Images("reconstructions")
    assert (picture.width, picture.height) == (12 * (side + 1) + 1, rows * (side + 1) + 1)
    assert {"psnr"} <= set(events.Tags()["images"])
    assert ({"samples", "walk"} <= set(events.Tags()["images"])) == (name == "vae")


def test_grid_gives_each_picture_its_psnr():
    x = torch.full((3, 3, 4, 4), 0.5)
    rows = {"darker": x - 0.1, "grey": x[:, :1] - 0.01, "original": x}
    figure = comparison_figure(rows, title="a title")
    labels = [axes.get_xlabel() for axes in figure.axes]
    assert labels == ["20.0 dB"] * 3 + ["40.0 dB"] * 3 + [""] * 3
    assert figure.axes[0].get_ylabel() == "darker"
    assert figure.get_suptitle() == "a title"
    codes = walk(torch.zeros(4), torch.ones(4), 5)
    assert codes[:, 0].tolist() == [0, 0.25, 0.5, 0.75, 1]


# ---- files ----


def picture(height=30, width=45, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


FILES = {
    "rgb.png": lambda: Image.fromarray(picture()),
    "rgb.jpg": lambda: Image.fromarray(picture()),
    "grey.png": lambda: Image.fromarray(picture()[..., 0]),
    "rgba.png": lambda: Image.fromarray(picture(channels=4)),
    "la.png": lambda: Image.merge("LA", [Image.fromarray(picture(channels=2)[..., k]) for k in (0, 1)]),
    "palette.png": lambda: Image.fromarray(picture()).convert("P", palette=Image.Palette.ADAPTIVE),
    "bits16.png": lambda: Image.fromarray(picture()[..., 0].astype(np.uint16) * 257),
    "one.png": lambda: Image.fromarray(picture(1, 1)),
    "bilevel.tif": lambda: Image.fromarray(picture()[..., 0] > 100),
    "cmyk.jpg": lambda: Image.fromarray(picture()).convert("CMYK"),
    "webp.webp": lambda: Image.fromarray(picture()),
    "LOUD.PNG": lambda: Image.fromarray(picture()),
}


@pytest.mark.parametrize("name", FILES)
def test_photograph_comes_back_as_it_was(name, tmp_path):
    path = tmp_path / name
    image = FILES[name]()
    image.save(path, dpi=(200, 200))
    found = read_photograph(path)
    content = found.to_bytes(found.pixels, path.suffix)
    (tmp_path / f"again{path.suffix}").write_bytes(content)
    again = Image.open(tmp_path / f"again{path.suffix}")
    assert again.size == image.size
    wanted = {"palette.png": "RGB", "cmyk.jpg": "RGB", "bilevel.tif": "L"}.get(name, image.mode)
    assert again.mode == wanted
    if path.suffix.lower() in (".png", ".tif") and name != "palette.png":
        assert np.array_equal(np.asarray(again), np.asarray(image.convert(wanted) if name == "bilevel.tif" else image))
    if path.suffix.lower() in (".png", ".jpg"):
        assert again.info["dpi"] == pytest.approx((200, 200), abs=0.1)


def test_metadata_are_kept_and_the_picture_is_upright(tmp_path):
    image = Image.fromarray(picture(20, 40))
    exif = Image.Exif()
    exif[0x0110], exif[0x0112] = "a camera", 6  # to be reverse_sequences by a quarter
    image.save(tmp_path / "in.jpg", exif=exif, icc_profile=b"a profile", quality=95)
    found = read_photograph(tmp_path / "in.jpg")
    assert found.pixels.shape == (3, 40, 20)
    for suffix in (".jpg", ".png", ".webp", ".tif"):
        (tmp_path / f"out{suffix}").write_bytes(found.to_bytes(found.pixels, suffix))
        again = Image.open(tmp_path / f"out{suffix}")
        assert again.getexif()[0x0110] == "a camera"
        assert again.getexif().get(0x0112, 1) == 1
        assert again.info["icc_profile"] == b"a profile"
        assert again.size == (20, 40)
    coloured = read_photograph(tmp_path / "in.jpg").to_bytes(found.pixels[:1], ".png")
    assert b"a profile" not in coloured


def test_transparency_lies_on_white_where_a_format_has_none(tmp_path):
    image = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    image.save(tmp_path / "in.png")
    found = read_photograph(tmp_path / "in.png")
    (tmp_path / "out.bmp").write_bytes(found.to_bytes(found.pixels, ".bmp"))
    assert (np.asarray(Image.open(tmp_path / "out.bmp").convert("RGB")) == 255).all()


def test_texts_and_comments_are_kept_where_the_format_has_them(tmp_path):
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">a title</x:xmpmeta>'
    notes = PngInfo()
    notes.add_text("Author", "somebody")
    notes.add_itxt("Titel", "Übung", "de", "Title")
    notes.add_itxt("XML:com.adobe.xmp", xmp.decode())
    image, exif = Image.fromarray(picture()), Image.Exif()
    exif[0x010E], exif[700] = "a description", xmp
    image.save(tmp_path / "in.png", pnginfo=notes)
    image.save(tmp_path / "in.jpg", xmp=xmp, comment=b"a comment")
    image.save(tmp_path / "in.tif", exif=exif)
    for source in ("in.png", "in.jpg", "in.tif"):
        found = read_photograph(tmp_path / source)
        for suffix in (".png", ".jpg", ".webp", ".tif"):
            again = Image.open(io.BytesIO(found.to_bytes(found.pixels, suffix)))
            again.load()
            assert again.info["xmp"] == xmp, (source, suffix)
            if source == "in.tif":
                kept = again.getexif()
                assert kept[0x010E] == "a description"
                assert suffix == ".tif" or not {256, 273, 279} & set(kept), "how the other file stored its pixels"
    again = Image.open(io.BytesIO(read_photograph(tmp_path / "in.png").to_bytes(found.pixels, ".png")))
    assert again.text["Author"] == "somebody"
    assert (again.text["Titel"], again.text["Titel"].lang, again.text["Titel"].tkey) == ("Übung", "de", "Title")
    again = Image.open(io.BytesIO(read_photograph(tmp_path / "in.jpg").to_bytes(found.pixels, ".jpg")))
    assert again.info["comment"] == b"a comment"


def test_turned_pictures_are_not_turned_twice_by_their_xmp(tmp_path):
    xmp = b'<rdf:Description tiff:Orientation="6"/>'
    Image.fromarray(picture(20, 40)).save(tmp_path / "in.jpg", xmp=xmp)
    found = read_photograph(tmp_path / "in.jpg")
    assert found.pixels.shape == (3, 40, 20)
    for suffix in (".jpg", ".png", ".tif"):
        again = Image.open(io.BytesIO(found.to_bytes(found.pixels, suffix)))
        assert ImageOps.exif_transpose(again).size == (20, 40)


def test_several_pictures_in_a_file_are_refused_but_for_those_of_a_camera(tmp_path):
    pages = [Image.fromarray(picture(seed=k)) for k in range(3)]
    for name in ("pages.tif", "moving.webp", "moving.png", "moving.gif"):
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
        with pytest.raises(ValueError, match=f"{name} has 3 pictures in it: expected a file with one"):
            read_photograph(tmp_path / name)
    pages[0].save(tmp_path / "camera.jpg", "MPO", save_all=True, append_images=pages[1:])
    assert read_photograph(tmp_path / "camera.jpg").pixels.shape == (3, 30, 45)


def test_grey_levels_beyond_bytes_are_kept(tmp_path):
    levels = np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3)
    for scale, white in ((1, 1), (255, 255), (65535, 65535), (1e6, 2**24 - 1)):
        Image.fromarray(levels * np.float32(scale)).save(tmp_path / "float.tif")
        found = read_photograph(tmp_path / "float.tif")
        torch.testing.assert_close(found.pixels[0], torch.from_numpy(levels) * (scale / white))
        again = Image.open(io.BytesIO(found.to_bytes(found.pixels, ".tif")))
        assert again.mode.startswith("I;16")
        assert np.abs(np.asarray(again) - levels * (scale / white) * 65535).max() <= 0.5


# Every way in which somebody may write the same mask, and the levels of what is hole and what is not.
MASKS = {
    "bytes of 0 and 1": lambda hole: Image.fromarray(hole.astype(np.uint8)),
    "bytes of 0 and 255": lambda hole: Image.fromarray(hole.astype(np.uint8) * 255),
    "bytes of 3 and 9": lambda hole: Image.fromarray(np.where(hole, 9, 3).astype(np.uint8)),
    "bits": lambda hole: Image.fromarray(hole),
    "16 bits, 0 and 1": lambda hole: Image.fromarray(hole.astype(np.uint16)),
    "16 bits, 0 and 255": lambda hole: Image.fromarray(hole.astype(np.uint16) * 255),
    "soft edges": lambda hole: Image.fromarray(
        np.where(hole, 200 + np.arange(hole.shape[1]) % 50, 20).astype(np.uint8)
    ),
    "red": lambda hole: Image.fromarray(np.dstack([hole * 255, hole * 0, hole * 0]).astype(np.uint8)),
    "red palette": lambda hole: Image.fromarray(np.dstack([hole * 255, hole * 0, hole * 0]).astype(np.uint8)).convert(
        "P"
    ),
    "white on transparent": lambda hole: Image.fromarray(
        np.dstack([hole * 0 + 255] * 3 + [hole * 255]).astype(np.uint8)
    ),
    "red on transparent": lambda hole: Image.fromarray(
        np.dstack([hole * 0 + 255, hole * 0, hole * 0, hole * 255]).astype(np.uint8)
    ),
    "white on black, opaque": lambda hole: Image.fromarray(
        np.dstack([hole * 255] * 3 + [hole * 0 + 255]).astype(np.uint8)
    ),
}


@pytest.mark.parametrize("kind", MASKS)
def test_mask_means_the_same_however_it_is_written(kind, tmp_path):
    wanted = np.zeros((12, 20), bool)
    wanted[3:9, 5:8] = True
    MASKS[kind](wanted).save(tmp_path / "mask.png")
    hole = _hole(read_photograph(tmp_path / "mask.png"), "mask.png", torch.zeros(1, 12, 20), "picture.png")
    assert np.array_equal(hole.numpy() > 0, wanted)


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_soft_edges_of_a_mask_belong_to_the_hole(ending, tmp_path):
    """The rim of a feathered scratch is a scratch too, and the ringing of JPEG beside it is not."""
    wanted = np.zeros((40, 60), bool)
    wanted[12:28, 20:41] = True
    levels = gaussian_filter(wanted * 255.0, 2).round().astype(np.uint8)
    Image.fromarray(levels).save(tmp_path / f"mask.{ending}")
    hole = _hole(read_photograph(tmp_path / f"mask.{ending}"), "mask", torch.zeros(1, 40, 60), "picture.png") > 0
    assert hole.numpy()[levels > 40].all()
    assert not hole.numpy()[levels < 10].any()


@pytest.mark.parametrize(
    ("levels", "where"),
    [
        (np.zeros((9, 9)), "nowhere"),
        (np.full((9, 9), 7), "nowhere"),
        (np.arange(81).reshape(9, 9), "nowhere"),
        (np.full((9, 9), 200), "everywhere"),
        (150 + np.arange(81).reshape(9, 9), "everywhere"),
        (np.dstack([np.full((9, 9), 255), np.eye(9) * 255, np.eye(9) * 255]), "everywhere"),  # red on white
        (np.dstack([np.zeros((9, 9))] * 3 + [np.eye(9) * 255]), "nowhere"),  # black on transparent
    ],
)
def test_mask_that_shows_no_hole_is_refused(levels, where, tmp_path):
    Image.fromarray(levels.astype(np.uint8)).save(tmp_path / "mask.png")
    mask = read_photograph(tmp_path / "mask.png")
    with pytest.raises(ValueError, match=f"m.png is light {where}: a mask is white in a hole"):
        _hole(mask, "m.png", torch.zeros(1, 9, 9), "p.png")


def test_mask_white_all_over_is_a_choice():
    assert _hole(Photograph(torch.ones(1, 4, 4)), "m.png", torch.zeros(3, 4, 4), "p.png").all()


def test_file_that_a_format_cannot_hold_is_named(tmp_path):
    model = zoo.create_model("denoising_autoencoder", hidden_dims=[2], latent_dim=2, blocks=0)
    exif = Image.Exif()
    exif[0x010E] = "x" * 70_000
    Image.new("L", (8, 8)).save(tmp_path / "long.png", exif=exif)
    Image.new("L", (65_600, 1)).save(tmp_path / "wide.png")
    for name, size in {"long": "8 x 8", "wide": "65600 x 1"}.items():
        target = tmp_path / f"{name}.jpg"
        with pytest.raises(ValueError, match=f"{name}.jpg, {size} pixels: cannot be written as .jpg: ") as caught:
            restore_images(model, [Job(str(tmp_path / f"{name}.png"), None, target)], read_photograph)
        assert "\n" not in str(caught.value)
        assert not target.exists()


def test_channels_are_fitted_to_the_model():
    grey, colour = torch.rand(1, 9, 9), torch.rand(3, 9, 9)
    one = shaken(zoo.create_model("denoising_autoencoder"))
    by_channel = torch.cat([one.reconstruct(part[None, None])[0] for part in colour])
    torch.testing.assert_close(restore_image(one, colour), by_channel)
    assert restore_image(one, grey).shape == (1, 9, 9)
    three = shaken(zoo.create_model("inpainting_autoencoder", input_shape=[3, 8, 8]))
    mask = (torch.rand(9, 9) < 0.3).float()
    filled = restore_image(three, grey, mask)
    assert filled.shape == (1, 9, 9)
    torch.testing.assert_close(filled[0][mask == 0], grey[0][mask == 0])
    colorizer = zoo.create_model("colorizer")
    torch.testing.assert_close(restore_image(colorizer, colour), restore_image(colorizer, luma(colour[None])[0]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three small recipes of a user's own, fitted, and pictures of all kinds."""
    folder = tmp_path_factory.mktemp("restoring")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        small = "hidden_dims: [4], latent_dim: 4, blocks: 0"
        for name, model in {"denoise": "denoising_autoencoder", "fill": "inpainting_autoencoder"}.items():
            (folder / f"{name}.yaml").write_text(
                f"model: {{name: {model}, args: {{{small}}}}}\ndata: {{name: digits}}\ntrainer: {{max_epochs: 1}}\n"
            )
            assert cli.main(["fit", f"{name}.yaml", "--no_test"]) == 0
        (folder / "pictures").mkdir()
        for name, make in FILES.items():
            make().save(folder / "pictures" / name)
        (folder / "masks").mkdir()
        for name in FILES:
            mask = np.zeros((30, 45), np.uint8)
            mask[10:20, 10:20] = 255
            mask = np.full((1, 1), 255, np.uint8) if name == "one.png" else mask
            Image.fromarray(mask).save(folder / "masks" / f"{name.split('.')[0]}.png")
        (folder / "empty").mkdir()
        (folder / "nested" / "pictures").mkdir(parents=True)
        (folder / "text.png").write_text("no picture")
        Image.fromarray(picture()).save(
            folder / "moving.png", save_all=True, append_images=[Image.fromarray(picture(seed=1))]
        )
    return folder


@pytest.fixture
def restoring(folder, monkeypatch, capfd):
    monkeypatch.chdir(folder)

    def call(*words):
        code = cli.main(["predict", *words, "--ckpt_path", "best"])
        out, err = capfd.readouterr()
        return code, out, err

    return call


def test_predict_denoises_every_kind_of_file(restoring, folder):
    for name in FILES:
        out = folder / f"out_{name}"
        assert restoring("denoise.yaml", f"pictures/{name}", "--output", out.name)[0] == 0
        assert Image.open(out).size == Image.open(folder / "pictures" / name).size
    assert Image.open(folder / "out_rgba.png").mode == "RGBA"
    alpha = [np.asarray(Image.open(path).getchannel("A")) for path in ("out_rgba.png", "pictures/rgba.png")]
    assert np.array_equal(*alpha)
    assert Image.open(folder / "out_bits16.png").mode.startswith("I;16")


def test_predict_fills_holes_and_takes_folders(restoring, folder):
    code, out, _ = restoring("fill.yaml", "pictures/rgb.png", "masks/rgb.png", "--output", "filled.png")
    assert code == 0
    assert out.startswith("filled.png, ")
    before, after = (np.asarray(Image.open(path)) for path in ("pictures/rgb.png", "filled.png"))
    inside = np.zeros((30, 45), bool)
    inside[10:20, 10:20] = True
    assert np.array_equal(before[~inside], after[~inside])
    assert not np.array_equal(before[inside], after[inside])
    code, out, err = restoring("fill.yaml", "pictures", "masks", "--output", "many")
    assert code == 0, err
    assert f"{len(FILES)} pictures in many" in out
    assert sorted(path.name for path in (folder / "many").iterdir()) == sorted(FILES)
    lossless = [name for name in FILES if name.lower().endswith((".png", ".tif")) and name != "one.png"]
    assert len(lossless) > 5
    for name in lossless:
        before, after = (Image.open(folder / part / name) for part in ("pictures", "many"))
        before = before.convert({"P": "RGB", "1": "L"}.get(before.mode, before.mode))
        changed = np.asarray(before) != np.asarray(after)
        changed = changed.any(-1) if changed.ndim == 3 else changed
        assert changed[inside].any(), name
        assert not changed[~inside].any(), name
    assert restoring("denoise.yaml", "pictures", "--output", "many_more")[0] == 0
    assert len(list((folder / "many_more").iterdir())) == len(FILES)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["denoise.yaml", "pictures/rgb.png"], ["--output is missing"]),
        (["denoise.yaml", "pictures/rgb.png", "--output", "a.txt"], ["a.txt", ".png"]),
        (["denoise.yaml", "pictures/rgb.png", "--output", "no/a.png"], ["no/a.png", "there is no folder"]),
        (["denoise.yaml", "pictures", "--output", "a.png"], ["a.png", "go into a folder"]),
        (["denoise.yaml", "empty", "--output", "b"], ["empty is an empty folder"]),
        (["denoise.yaml", "nested", "--output", "b"], ["no pictures directly in nested", ".png"]),
        (
            ["denoise.yaml", "moving.png", "--output", "c.png"],
            ["moving.png has 2 pictures", "expected a file with one"],
        ),
        (
            ["denoise.yaml", "pictures/rgb.png", "--output", "pictures/../pictures/rgb.png"],
            ["would overwrite pictures/"],
        ),
        (["denoise.yaml", "pictures", "--output", "pictures"], ["--output pictures would overwrite", "another place"]),
        (["fill.yaml", "pictures/rgb.png", "masks/rgb.png", "--output", "masks/rgb.png"], ["would overwrite masks/"]),
        (["denoise.yaml", "text.png", "--output", "c.png"], ["text.png is not a picture"]),
        (["denoise.yaml", "none.png", "--output", "c.png"], ["none.png", "no such file"]),
        (
            ["denoise.yaml", "pictures/one.png", "pictures/one.png", "--output", "d"],
            ["one.png would both be written to", "folders"],
        ),
        (["fill.yaml", "pictures/rgb.png", "--output", "c.png"], ["1 inputs", "a picture and its mask"]),
        (["fill.yaml", "pictures/rgb.png", "masks", "--output", "c.png"], ["two files or two folders"]),
        (
            ["fill.yaml", "pictures/rgb.png", "masks/one.png", "--output", "c.png"],
            ["1 x 1", "45 x 30", "white in a hole"],
        ),
        (["fill.yaml", "pictures", "empty", "--output", "e"], ["empty is an empty folder"]),
        (["fill.yaml", "masks", "pictures/", "--output", "c.png"], ["c.png"]),
    ],
)
def test_predict_refuses_in_one_line_and_leaves_nothing(restoring, folder, words, parts):
    before = set(folder.iterdir())
    code, _, err = restoring(*words)
    assert code == 2
    assert err.count("\n") == 1
    assert all(part in err for part in parts), err
    assert set(folder.iterdir()) == before


def test_what_is_no_picture_is_left_out_of_a_folder(restoring, folder, tmp_path):
    for name in ("a.png", "b.PNG", "c.gif"):
        Image.fromarray(picture()).save(tmp_path / name)
    (tmp_path / "Thumbs.db").write_text("no picture")
    (tmp_path / ".hidden").write_text("no picture")
    (tmp_path / "inside.png").mkdir()
    code, out, err = restoring("denoise.yaml", str(tmp_path), "--output", "left")
    assert (code, err.count("\n")) == (0, 1)
    assert f"{tmp_path}: 2 of 4 files left out, not .bmp" in err
    assert out.startswith("2 pictures in left, ")
    assert sorted(path.name for path in (folder / "left").iterdir()) == ["a.png", "b.PNG"]


def test_damaged_file_costs_no_other(restoring, folder, tmp_path):
    for name in ("a.png", "c.png", "e.png"):
        Image.fromarray(picture()).save(tmp_path / name)
    for name in ("b.png", "d.png"):
        (tmp_path / name).write_text("no picture")
    code, out, err = restoring("denoise.yaml", str(tmp_path), "--output", "rest")
    assert (code, err.count("\n")) == (2, 1)
    assert out.startswith("3 pictures in rest, ")
    assert f"error: 2 of 5 inputs have no answer: {tmp_path}/b.png is not a picture" in err
    assert f"; {tmp_path}/d.png is not a picture" in err
    assert sorted(path.name for path in (folder / "rest").iterdir()) == ["a.png", "c.png", "e.png"]
    code, _, err = restoring("denoise.yaml", f"{tmp_path}/b.png", f"{tmp_path}/d.png", "--output", "none")
    assert (code, err.count("\n")) == (2, 1)
    assert "b.png is not a picture" in err
    assert "d.png is not a picture" in err
    assert not (folder / "none").exists()


def test_masks_of_a_folder_go_by_name_and_then_by_stem(tmp_path):
    for name in ("pictures/a.png", "pictures/b.jpg", "masks/a.png", "masks/a.gif", "masks/b.gif", "masks/a.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    words = [str(tmp_path / "pictures"), str(tmp_path / "masks")]
    jobs = plan_jobs(words, str(tmp_path / "out"), True, WRITABLE_ENDINGS, IMAGE_ENDINGS)
    assert [Path(job.mask).name for job in jobs] == ["a.png", "b.gif"]
    (tmp_path / "masks" / "b.png").touch()
    with pytest.raises(ValueError, match=r"b\.jpg has 2 masks called b in .*masks: expected one, or b\.jpg"):
        plan_jobs(words, str(tmp_path / "out"), True, WRITABLE_ENDINGS, IMAGE_ENDINGS)


def test_links_to_an_input_are_not_written_over(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "in.png")
    (tmp_path / "link.png").symlink_to("in.png")
    (tmp_path / "folder").symlink_to(".")
    for output in ("link.png", "folder/in.png", "folder"):
        with pytest.raises(ValueError, match=r"would overwrite .*in\.png: choose another place"):
            plan_jobs([str(tmp_path / "in.png")], str(tmp_path / output), False, WRITABLE_ENDINGS, IMAGE_ENDINGS)


def test_many_files_are_planned_in_no_time(tmp_path):
    names = [str(tmp_path / f"{k}.png") for k in range(20_000)]
    start = time.process_time()
    assert len(plan_jobs(names, str(tmp_path / "out"), False, WRITABLE_ENDINGS, IMAGE_ENDINGS)) == len(names)
    assert time.process_time() - start < 10
    with pytest.raises(ValueError, match=r"7\.png and 7\.png would both be written to .*7\.png"):
        plan_jobs([*names, "7.png"], str(tmp_path / "out"), False, WRITABLE_ENDINGS, IMAGE_ENDINGS)


def test_filled_hole_is_opaque(tmp_path):
    pixels = picture(channels=4)
    hole = np.zeros((30, 45), np.uint8)
    hole[10:20, 10:20] = 255
    pixels[..., 3] = np.where(hole > 0, 0, pixels[..., 3])
    for name, image in {"rgba": Image.fromarray(pixels), "la": Image.fromarray(pixels).convert("LA")}.items():
        image.save(tmp_path / f"{name}.png")
        Image.fromarray(hole).save(tmp_path / "mask.png")
        job = Job(str(tmp_path / f"{name}.png"), str(tmp_path / "mask.png"), tmp_path / f"{name}_out.png")
        model = zoo.create_model("inpainting_autoencoder", hidden_dims=[2], latent_dim=2, blocks=0)
        assert restore_images(model, [job], read_photograph) == ([job], [])
        alpha = np.asarray(Image.open(job.target).getchannel("A"))
        assert (alpha[hole > 0] == 255).all()
        assert np.array_equal(alpha[hole == 0], pixels[..., 3][hole == 0])


def test_answers_go_on_after_a_damaged_file(tmp_path, capsys):
    class Model:
        def predict_rows(self, x):
            return [{"label": x}]

    class Data:
        def read(self, source):
            if "bad" in source:
                raise ValueError(f"{source} is bad")
            return source

    found = rows.predict(Model(), Data(), ["a", "bad b", "c"])
    assert found.answers == [{"input": "a", "label": "a"}, {"input": "c", "label": "c"}]
    assert found.failures == ["bad b is bad"]
    assert str(found.error()) == "1 of 3 inputs have no answer: bad b is bad"
    with pytest.raises(ValueError, match=r"^bad b is bad$"):
        rows.predict(Model(), Data(), ["bad b"])
    with pytest.raises(ValueError, match=r"^none of 2 worked: bad b is bad; bad c is bad$"):
        rows.predict(Model(), Data(), ["bad b", "bad c"])
    text = "a text that is too long for a path " * 20
    assert expand([text]) == read_lines(text) == [text]
    for name in ("a.png", "note.txt"):
        (tmp_path / name).touch()
    assert len(expand([str(tmp_path)])) == 2
    assert expand([str(tmp_path)], (".png",)) == [str(tmp_path / "a.png")]
    assert "1 of 2 files left out, not .png" in capsys.readouterr().err
    with pytest.raises(ValueError, match="would overwrite"):
        check_output(str(tmp_path / "a.png"), {".png": "picture"}, [str(tmp_path / "a.png")])


def test_written_files_keep_permissions_and_links(tmp_path):
    old, new, link = tmp_path / "old", tmp_path / "new", tmp_path / "link"
    old.write_bytes(b"")
    old.chmod(0o640)
    link.symlink_to("old")
    before = os.umask(0o027)
    try:
        write_atomically(new, b"one")
        write_atomically(link, b"two")
    finally:
        os.umask(before)
    assert link.is_symlink()
    assert old.read_bytes() == b"two"
    assert (new.stat().st_mode & 0o777, old.stat().st_mode & 0o777) == (0o640, 0o640)
    old.chmod(0o600)
    write_atomically(old, b"three")
    assert old.stat().st_mode & 0o777 == 0o600
    with pytest.raises(TypeError):
        write_atomically(new, "no bytes")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "new", "old"]


def test_endings_are_those_that_can_be_written():
    Image.init()
    assert all(Image.registered_extensions()[ending] in Image.SAVE for ending in WRITABLE_ENDINGS)
