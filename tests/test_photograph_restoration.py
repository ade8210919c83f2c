"""Restoration of photographs: holes of any width, noise of any level, colours as classes."""

import importlib.util

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import ROOT, quiet_trainer
from skimage.color import deltaE_ciede2000, rgb2lab
from torch import Tensor

import zoo
from datamodules.splits import Split
from zoo.baselines import BASELINES, MEASURES, hole_widths, noise_levels
from zoo.metrics.images import ciede2000, colourfulness, psnr
from zoo.nn import CORRUPTIONS, add_noise, lab_to_rgb, luma, rgb_to_lab
from zoo.nn.colour_classes import ColourClasses
from zoo.nn.inpainting import biharmonic_surface, blend_by_evidence, coarse_to_fine, fill_by_interpolation
from zoo.nn.stein import mix_by_risk, noise_level

SPEC = importlib.util.spec_from_file_location("drawn_pictures", ROOT / "scripts" / "drawn_pictures.py")
drawn_pictures = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(drawn_pictures)
SMALL = {"hidden_dims": [4, 6], "latent_dim": 6, "blocks": 1, "padding_mode": "replicate"}


def ramp(height: int, width: int) -> Tensor:
    y, x = torch.meshgrid(torch.linspace(0, 0.4, height), torch.linspace(0.1, 0.6, width), indexing="ij")
    return torch.stack([x + y, 1 - x - y, x])[None]


def block(height: int, width: int, *box: int) -> Tensor:
    holes = torch.zeros(1, 1, height, width, dtype=torch.bool)
    holes[..., box[0] : box[1], box[2] : box[3]] = True
    return holes


# ---- holes ----


@pytest.mark.parametrize("size", [(64, 64), (32, 48), (9, 30), (3, 3)])
def test_holes_of_any_width_leave_something_and_take_something(size):
    x = torch.rand(400, 3, *size)
    holes = CORRUPTIONS["any_holes"].holes(x, 0.5, torch.Generator().manual_seed(0))
    assert holes.shape == (400, 1, *size)
    share = holes.flatten(1).float().mean(1)
    assert (share > 0).all()
    assert float((share < 1).float().mean()) > 0.95
    again = CORRUPTIONS["any_holes"].holes(x, 0.5, torch.Generator().manual_seed(0))
    assert torch.equal(holes, again)


def test_widths_of_holes_span_pixels_to_half_of_the_image():
    holes = CORRUPTIONS["any_holes"].holes(torch.rand(500, 1, 64, 64), 0.5, torch.Generator().manual_seed(0))
    depth, left = torch.zeros(500), holes.float()
    while bool(left.any()):  # erosion counts how deep a hole is
        depth += left.flatten(1).any(1)
        left = 1 - F.max_pool2d(1 - left, 3, 1, 1)
    assert depth.min() == 1
    assert 12 <= depth.max() <= 40
    assert 0.2 < float((depth <= 2).float().mean()) < 0.7


def noise_of_its_own(x: Tensor, holes: Tensor) -> Tensor:
    """Fill holes with a checkerboard, the pattern of a network that fails."""
    rows, columns = torch.arange(x.shape[2])[:, None], torch.arange(x.shape[3])
    return torch.where(holes, ((rows + columns) % 2).float().expand_as(x), x)


@pytest.mark.parametrize("width", [3, 12, 30, 70])
def test_no_pattern_of_a_network_appears_on_a_smooth_ramp(width):
    x = ramp(120, 140)
    holes = block(120, 140, 20, 20 + width, 40, 40 + width)
    filled = blend_by_evidence(noise_of_its_own, biharmonic_surface, x * ~holes, holes)
    inside = (filled - x)[:, :, 20 : 20 + width, 40 : 40 + width]
    assert inside.abs().max() < 1 / 255
    spectrum = torch.fft.rfft2(inside - inside.mean((2, 3), keepdim=True)).abs() / width**2
    assert spectrum.max() < 0.2 / 255
    assert torch.equal(filled[~holes.expand_as(x)], x[~holes.expand_as(x)])


def test_the_better_method_is_chosen_by_holes_beside():
    """On a texture that a method knows the mixture follows it, and where another is exact that one."""
    columns = torch.arange(96)
    x = (0.5 + 0.4 * torch.sin(2 * torch.pi * columns / 6)).expand(1, 3, 96, 96).clone()
    x[..., :48] = 0.3  # a flat half, which the surface continues exactly
    holes = block(96, 96, 40, 52, 66, 78) | block(96, 96, 40, 52, 16, 28)

    def knows_stripes(seen: Tensor, missing: Tensor) -> Tensor:
        stripes = (0.5 + 0.4 * torch.sin(2 * torch.pi * columns / 6)).expand_as(seen)
        return torch.where(missing, stripes, seen)

    filled = blend_by_evidence(knows_stripes, biharmonic_surface, x * ~holes, holes)
    error = (filled - x).abs()
    assert error[..., 66:78].mean() < 0.05
    assert error[..., 16:28].mean() < 0.02
    alone = (biharmonic_surface(x * ~holes, holes) - x).abs()
    assert error[..., 66:78].mean() < 0.5 * alone[..., 66:78].mean()


def test_each_image_of_a_batch_is_filled_by_itself():
    x, holes = torch.rand(3, 3, 24, 30), torch.zeros(3, 1, 24, 30, dtype=torch.bool)
    holes[0, :, 4:9, 5:9] = True
    holes[2, :, 10:20, 3:20] = True
    torch.manual_seed(0)
    model = zoo.create_model("inpainting_autoencoder", input_shape=[3, 24, 30], blend=True, **SMALL).eval()
    whole = model.reconstruct(x, mask=holes)
    for k in range(3):
        torch.testing.assert_close(whole[k : k + 1], model.reconstruct(x[k : k + 1], mask=holes[k : k + 1]))
    assert torch.equal(whole[1], x[1])
    assert torch.equal(model.reconstruct(x, mask=torch.ones(24, 30)).isfinite(), torch.ones(3, 3, 24, 30).bool())


def test_a_surface_over_a_vast_hole_is_found_at_lower_resolution():
    x = ramp(500, 520)
    holes = block(500, 520, 20, 480, 30, 490)
    filled = biharmonic_surface(x * ~holes, holes)
    assert (filled - x).abs().max() < 0.03


def test_coarse_to_fine_calls_with_shallow_holes_alone():
    depths = []

    def fill(x: Tensor, holes: Tensor) -> Tensor:
        left, depth = holes.float(), 0
        while bool(left.any()):
            depth, left = depth + 1, 1 - F.max_pool2d(1 - left, 3, 1, 1)
        depths.append(depth)
        return fill_by_interpolation(x, ~holes)

    x, holes = ramp(200, 200), block(200, 200, 30, 170, 30, 170)
    assert (coarse_to_fine(fill, x * ~holes, holes, 10) - x).abs().mean() < 0.05
    assert max(depths) <= 10
    assert len(depths) > 2


def test_holes_are_measured_by_width(monkeypatch):
    class Filler:
        def reconstruct(self, x, mask):
            return torch.where(mask, 0.5, x)

    data = Pictures(side=40)
    found = hole_widths.filled_by_width(Filler(), data)
    assert set(found) == {"test_hole_psnr", "test_narrow_psnr", "test_medium_psnr", "test_wide_psnr"}
    x = data.to_natural_units(data.splits["test"].tensors[0])
    holes = CORRUPTIONS["any_holes"].holes(x, 0.5, torch.Generator().manual_seed(0))
    by_hand = psnr(torch.where(holes, 0.5, x), x, holes)
    assert found["test_hole_psnr"] == pytest.approx(float(by_hand.mean()), abs=1e-4)
    smooth = hole_widths.biharmonic_by_width(None, data)
    assert smooth["test_narrow_psnr"] > smooth["test_wide_psnr"]
    assert smooth["test_hole_psnr"] > found["test_hole_psnr"]


# ---- noise ----


def test_noise_levels_are_uniform_and_grey_images_stay_grey():
    x = torch.full((2000, 3, 12, 12), 0.5)
    x[1000:, 0] = 0.6
    noisy = CORRUPTIONS["gaussian_range"].apply(x, 0.1, torch.Generator().manual_seed(0))
    level = (noisy - x).flatten(1).std(1)
    assert 0.045 < float(level.mean()) < 0.055
    assert level.min() < 0.002
    assert 0.09 < float(level.max()) < 0.13
    assert torch.equal(noisy[:1000, :1].expand(-1, 3, -1, -1), noisy[:1000])
    assert not torch.equal(noisy[1000:, 1], noisy[1000:, 2])
    vectors = CORRUPTIONS["gaussian_range"].apply(torch.rand(5, 7), 0.1, torch.Generator().manual_seed(0))
    assert vectors.shape == (5, 7)


def test_a_residual_network_returns_about_its_input_before_training():
    torch.manual_seed(0)
    model = zoo.create_model(
        "denoising_autoencoder", network="residual_unet", hidden_dims=[4, 6], latent_dim=6, blocks=1, output="identity",
        corruption="gaussian_range", input_shape=[3, 16, 16], in_features=768,
    ).eval()  # fmt: skip
    x = torch.rand(2, 3, 33, 50)
    assert model.reconstruct(x).shape == x.shape
    assert (model.reconstruct(x) - x).abs().mean() < 0.2
    assert "trained on images of 16 x 16 pixels with gaussian_range, largest standard deviation" in model.trained_for


def textured(side=64, share=0.5):
    """Return a grey and a coloured image (2, 3, side, side) with fine detail on a share at the left, flat elsewhere."""
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    plane = 0.5 + 0.15 * torch.sin(2.1 * rows + 0.7 * columns) * (columns < share * side)
    return torch.stack([plane.expand(3, -1, -1), torch.stack([plane, 1 - plane, 0.5 * plane])])


@pytest.mark.parametrize("level", [3, 10, 20])
def test_noise_is_estimated_from_the_image_alone(level):
    x = textured(128, 0.2)
    x[..., :20, :20] = 1.0  # where noise is cut off
    found = 255 * noise_level(add_noise(x, level / 255, torch.Generator().manual_seed(0)))
    assert float((found / level - 1).abs().max()) < 0.35
    assert torch.equal(noise_level(torch.full((1, 3, 9, 7), 0.5)), torch.zeros(1))
    assert torch.equal(noise_level(torch.ones(2, 1, 1, 5)), torch.zeros(2))


def blur(x):
    return F.avg_pool2d(F.pad(x, (3, 3, 3, 3), mode="replicate"), 7, 1)


def test_detail_that_a_denoiser_would_remove_is_kept_and_noise_is_not():
    x = textured()
    noisy = add_noise(x, 10 / 255, torch.Generator().manual_seed(0))
    mixed, smooth = mix_by_risk(blur, noisy), blur(noisy)
    left, right = slice(0, 24), slice(40, 64)

    def error(y, part):
        return float((y - x)[..., part].square().mean())

    assert error(smooth, left) > 5 * error(noisy, left)  # the blur alone does harm
    assert error(mixed, left) < 1.02 * error(noisy, left)
    assert error(mixed, right) < 0.2 * error(noisy, right)
    assert torch.equal(mixed[0, 0], mixed[0, 1])
    alone = mix_by_risk(blur, noisy[1:])
    assert (alone - mixed[1:]).abs().max() < 0.02  # the random direction differs, and no sample sees another


def test_strong_noise_is_left_to_the_denoiser_and_a_clean_image_as_it_is():
    x = textured()
    noisy = add_noise(x, 80 / 255, torch.Generator().manual_seed(0))
    torch.testing.assert_close(mix_by_risk(blur, noisy), blur(noisy))
    flat = torch.full((1, 3, 20, 31), 0.4)
    torch.testing.assert_close(mix_by_risk(lambda y: 0 * y, flat), flat)


class Perfect:
    """A denoiser that knows the images."""

    def __init__(self, truth):
        self.truth = truth

    def reconstruct(self, x):
        distance = torch.cdist(x.flatten(1), self.truth.flatten(1))
        return self.truth[distance.argmin(1)]


class Pictures:
    """A datamodule of smooth images."""

    def __init__(self, side=16):
        planes = torch.rand(30, 3, 4, 4, generator=torch.Generator().manual_seed(0))
        x = (F.interpolate(planes, side, mode="bicubic").clamp(0, 1) * 255).byte()
        self.splits = {name: Split((x,), np.arange(30)) for name in ("train", "val", "test")}

    def setup(self):
        pass

    def to_natural_units(self, x):
        return x.float() / 255


def test_levels_are_measured_by_kind_and_the_least_gain_is_the_least(monkeypatch):
    monkeypatch.setattr(noise_levels, "LEVELS", (25, 50))
    monkeypatch.setattr(noise_levels, "TUNING_ROWS", 3)
    data = Pictures()
    none = noise_levels.noisy_input(None, data)
    assert set(none) == {
        "test_psnr_25", "test_psnr_50", "test_grey_psnr_25", "test_grey_psnr_50", "test_levels_psnr", "test_least_gain",
    }  # fmt: skip
    assert none["test_least_gain"] == 0
    assert 20 < none["test_psnr_25"] < 22
    x = data.to_natural_units(data.splits["test"].tensors[0])
    perfect = Perfect(torch.cat([x, luma(x).clamp(0, 1).expand_as(x)]))
    known = noise_levels.denoised_levels(perfect, data)
    assert min(value for name, value in known.items() if "psnr" in name) == 100
    assert known["test_least_gain"] == pytest.approx(100 - max(none["test_psnr_25"], none["test_grey_psnr_25"]))
    for filtered in (noise_levels.nonlocal_means_of_level(None, data), noise_levels.wavelet_of_level(None, data)):
        assert filtered["test_least_gain"] > 1


def test_filters_see_one_channel_of_grey_images():
    seen = []
    noisy = add_noise(torch.full((2, 3, 8, 8), 0.5), 0.1, torch.Generator().manual_seed(0))
    noise_levels.apply_filter(lambda image, sigma: seen.append(image.shape) or image, noisy, 25)
    noise_levels.apply_filter(lambda image, sigma: seen.append(image.shape) or image, torch.rand(1, 3, 8, 8), 25)
    assert seen == [(8, 8), (8, 8), (8, 8, 3)]


# ---- colours ----


def test_classes_of_colours_cover_srgb_and_decode_what_they_encode():
    classes = ColourClasses(temperature=1.0)
    rgb = torch.rand(500, 3, 1, 1, generator=torch.Generator().manual_seed(0))
    chroma = rgb_to_lab(rgb)[:, 1:]
    distance = torch.cdist(chroma[:, :, 0, 0], classes.grid).amin(1)
    assert distance.max() < 12  # the spacing's half diagonal, and what the sampling of the cube leaves
    found, weights = classes.encode(chroma)
    assert found.shape == weights.shape == (500, 5, 1, 1)
    torch.testing.assert_close(weights.sum(1), torch.ones(500, 1, 1))
    scores = torch.full((500, len(classes), 1, 1), -30.0).scatter(1, found, weights.log())
    assert (100 * classes(scores) - chroma).abs().mean() < 5
    sharp = 100 * ColourClasses(temperature=0.05)(scores)[:, :, 0, 0]
    assert torch.cdist(sharp, classes.grid).amin(1).median() < 0.1


def test_rare_colours_weigh_more_and_the_mean_weight_is_one():
    classes = ColourClasses(rebalance=0.5)
    grey, red = torch.zeros(1, 2, 10, 10), torch.tensor([60.0, 45.0]).view(1, 2, 1, 1).expand(1, 2, 1, 1)
    scores = torch.zeros(1, len(classes), 10, 10, requires_grad=True)
    for _ in range(3):  # the share is that of the batches from the first one on
        classes.loss(scores[..., :1, :1], grey[..., :1, :1])
    share = classes.share.clone()
    assert share.sum() == pytest.approx(1, abs=1e-4)
    classes.eval()
    scores = scores.detach()
    uniform = float(torch.tensor(float(len(classes))).log())
    assert float(classes.loss(scores[..., :1, :1], red)) > 3 * float(classes.loss(scores, grey))
    assert float(classes.loss(scores, grey)) == pytest.approx(uniform, rel=0.05)
    assert torch.equal(classes.share, share)
    equal = ColourClasses(rebalance=1.0).eval()
    assert float(equal.loss(scores, grey)) == pytest.approx(uniform, rel=1e-4)
    assert float(equal.loss(scores[..., :1, :1], red)) == pytest.approx(uniform, rel=1e-4)


@pytest.mark.parametrize("bad", [{"rebalance": 0.0}, {"rebalance": 1.5}, {"temperature": 0.0}, {"temperature": -1}])
def test_settings_of_classes_are_refused_by_value(bad):
    with pytest.raises(ValueError, match=r"rebalance and temperature must be in \(0, 1\]"):
        zoo.create_model("colorizer", mode="classes", **bad)


def colorizer(**changes):
    args = {"mode": "classes", "skip": True, "input_shape": [3, 16, 16], **SMALL, **changes}
    return zoo.create_model("colorizer", **args)


@pytest.mark.parametrize("size", [(16, 16), (5, 9), (1, 1), (70, 130), (300, 40)])
def test_classes_colour_images_of_any_size_and_keep_the_lightness(size):
    torch.manual_seed(0)
    model, grey = colorizer().eval(), torch.rand(2, 1, *size) * 0.6 + 0.2
    coloured = model.reconstruct(grey)
    assert coloured.shape == (2, 3, *size)
    assert model(grey).shape == (2, 2, *size)
    lightness = rgb_to_lab(grey.expand(-1, 3, -1, -1))[:, :1]
    inside = ((coloured > 0) & (coloured < 1)).all(1, keepdim=True)
    assert (rgb_to_lab(coloured)[:, :1] - lightness).abs()[inside].max() < 0.1


def test_classes_learn_colours_that_follow_the_lightness():
    """Dark is red and light is blue: the answer is as vivid as that, not the mean of both."""
    torch.manual_seed(0)
    red, blue = torch.tensor([40.0, 55.0, 35.0]), torch.tensor([70.0, -10.0, -40.0])
    pick = torch.rand(64, 1, 4, 4).round().repeat_interleave(4, 2).repeat_interleave(4, 3)
    x = lab_to_rgb(torch.where(pick > 0, red.view(1, 3, 1, 1), blue.view(1, 3, 1, 1))).clamp(0, 1)
    model = colorizer(lr=1e-2, optimizer="adamw", rebalance=0.5, loss="squared_error")
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, torch.zeros(64)), batch_size=16)
    quiet_trainer(max_epochs=30).fit(model, loader)
    coloured = model.reconstruct(luma(x))
    assert float(ciede2000(coloured, x).mean()) < 12
    assert float(colourfulness(coloured).mean()) > 0.8 * float(colourfulness(x).mean())


def test_colours_are_measured_beside_those_of_squared_error():
    class Blue:
        def reconstruct(self, grey):
            return torch.cat([grey * 0, grey * 0, grey], 1)

    data = Pictures(side=20)
    found = BASELINES["squared_error_colours"](Blue(), data)
    vivid = MEASURES["colourfulness"](Blue(), data)
    assert vivid["test_colourfulness"] > found["test_colourfulness"] > 0
    x = data.to_natural_units(data.splits["test"].tensors[0])
    for measured in (found, vivid):
        total = measured["test_colourfulness"] + measured["test_colourfulness_lost"]
        assert total == pytest.approx(float(colourfulness(x).mean()))
    assert found["test_psnr"] > 10


def test_colour_measures_are_those_of_their_papers():
    torch.manual_seed(0)
    a, b = torch.rand(3, 3, 6, 7), torch.rand(3, 3, 6, 7)
    by_hand = [
        deltaE_ciede2000(*(rgb2lab(image.permute(1, 2, 0).double().numpy()) for image in pair)).mean()
        for pair in zip(a, b)
    ]
    torch.testing.assert_close(ciede2000(a, b), torch.tensor(by_hand))
    red, green, blue = (255 * a[0].double()).flatten(1).numpy()
    rg, yb = red - green, (red + green) / 2 - blue
    m3 = np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())
    assert float(colourfulness(a)[0]) == pytest.approx(m3)
    assert float(colourfulness(luma(a).expand_as(a)).max()) == 0
    assert float(ciede2000(a, a).max()) == 0
    assert float(psnr(a, a).min()) == 100


# ---- the shipped restorers on pictures that no data set has ----


@pytest.mark.slow
@pytest.mark.parametrize("kind", drawn_pictures.KINDS)
@pytest.mark.parametrize("grey", [False, True])
def test_no_kind_of_picture_is_harmed_by_the_denoiser(kind, grey):
    model = zoo.create_model("denoising_autoencoder.flickr8k", pretrained=True)
    x = torch.stack([drawn_pictures.picture(kind, 96, seed) for seed in range(900, 904)])
    if grey:
        x = luma(x).clamp(0, 1).expand_as(x).contiguous()
    for level in (5, 10, 25, 50, 100):
        noisy = add_noise(x, level / 255, torch.Generator().manual_seed(level))
        gain = float((psnr(model.reconstruct(noisy), x) - psnr(noisy, x)).mean())
        assert gain > 0, (level, gain)


@pytest.mark.slow
@pytest.mark.parametrize("kind", drawn_pictures.KINDS)
def test_no_kind_of_picture_is_filled_worse_than_by_a_surface(kind):
    model = zoo.create_model("inpainting_autoencoder.flickr8k", pretrained=True)
    gains = []
    for number, (shape, width) in enumerate(
        [(shape, width) for shape in drawn_pictures.HOLES for width in (3, 12, 24)]
    ):
        for seed in (900, 901):
            x = drawn_pictures.picture(kind, 96, seed)[None]
            holes = drawn_pictures.hole(shape, 96, width, number)[None]
            seen = x * ~holes
            found, smooth = model.reconstruct(seen, mask=holes), biharmonic_surface(seen, holes)
            gains.append(float(psnr(found, x, holes) - psnr(smooth, x, holes)))
    assert np.mean(gains) > -0.1
