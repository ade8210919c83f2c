"""Beside the restored pictures: what a user would reach for otherwise."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.errors import needs
from zoo.nn import CORRUPTIONS, luma

SLOW_ROWS = 1_000
"""Test pictures on which the slow denoisers are measured, the first ones."""
TUNING_ROWS = 300
"""Validation pictures on which their settings are chosen, and training pictures on which their levels are fitted."""
NONLOCAL_SETTINGS = ((3, 5, 7), (0.1, 0.15, 0.2, 0.3), (0.2, 0.25, 0.3, 0.35))
"""Patch sizes, strengths and noise levels that non-local means chooses from."""
HOLES = {"hole": ("erase", 0.25), "stroke": ("strokes", 3.0)}
"""Holes that inpainting is measured on: name, corruption and strength."""

Filter = Callable[[np.ndarray], np.ndarray]
"""From a channel (H, W) to its restored form."""
Restorer = Callable[[np.ndarray], np.ndarray]
"""From pictures (N, C, H, W) to their restored form."""


def _examples(model: Any, data: Any, split: str, limit: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures of a split and their corrupted form, (N, C, H, W) each.

    For test they are the very ones that the model is tested on in one process, whatever its device: both draw on the
    CPU, batch by batch.
    """
    data.setup()
    draws, clean, seen, rows = torch.Generator().manual_seed(0), [], [], 0
    batches = (
        data.test_dataloader() if split == "test" else [data.splits[split].take(np.arange(limit or 20_000)).tensors]
    )
    for batch in batches:
        x = data.to_natural_units(batch[0])
        clean.append(x)
        seen.append(model.corrupt(x, draws))
        rows += len(x)
        if limit and rows >= limit:
            break
    return torch.cat(clean)[:limit].numpy(), torch.cat(seen)[:limit].numpy()


def mean_psnr(restored: np.ndarray, clean: np.ndarray) -> float:
    """Return the mean over pictures (N, ...) in [0, 1] of each one's PSNR in dB, clipped to [0, 1] first."""
    errors = np.square(np.clip(restored, 0, 1) - clean).reshape(len(clean), -1).mean(1)
    return float(np.mean(-10 * np.log10(np.maximum(errors, 1e-10))))


def _measured(restorer: Restorer, model: Any, data: Any, limit: int | None = None) -> dict[str, float]:
    clean, noisy = _examples(model, data, "test", limit)
    return {"test_psnr": mean_psnr(restorer(noisy), clean)}


def least_squares(model: Any, data: Any) -> Restorer:
    """Return the linear map from noisy pixels to clean ones, fitted on training, its ridge chosen on validation."""
    from sklearn.linear_model import Ridge

    def flat(split: str) -> tuple[np.ndarray, np.ndarray]:
        clean, noisy = _examples(model, data, split, len(data.splits[split].groups))
        return noisy.reshape(len(noisy), -1), clean.reshape(len(clean), -1)

    data.setup()
    x, y = flat("train")
    candidates = [Ridge(alpha).fit(x, y) for alpha in (10.0, 100.0, 1000.0)]
    x, y = flat("val")
    best = max(candidates, key=lambda candidate: mean_psnr(candidate.predict(x), y))
    return lambda noisy: best.predict(noisy.reshape(len(noisy), -1)).reshape(noisy.shape)


def linear_denoiser(model: Any, data: Any) -> dict[str, float]:
    """Linear least squares from the noisy pixels to the clean ones, with a ridge chosen on validation."""
    return _measured(least_squares(model, data), model, data)


def _tuned(model: Any, data: Any, filters: list[Filter]) -> Restorer:
    """Return the filter that does best in validation, its levels mapped back by a line fitted on training pictures.

    The line undoes what clipping the noise does to dark and light parts; without it a classical filter, which knows
    nothing of clipping, would lose for that alone.
    """

    def apply(one: Filter, pictures: np.ndarray) -> np.ndarray:
        return np.stack([np.stack([one(channel) for channel in picture]) for picture in pictures])

    clean, noisy = _examples(model, data, "train", TUNING_ROWS)
    lines = [np.polyfit(apply(one, noisy).ravel(), clean.ravel(), 1) for one in filters]
    clean, noisy = _examples(model, data, "val", TUNING_ROWS)
    scores = [mean_psnr(np.polyval(line, apply(one, noisy)), clean) for one, line in zip(filters, lines)]
    best = int(np.argmax(scores))
    return lambda pictures: np.polyval(lines[best], apply(filters[best], pictures))


def tuned_total_variation(model: Any, data: Any) -> Restorer:
    """Return total variation denoising (Chambolle, 2004), from scikit-image, its weight chosen on validation."""
    tv = needs("skimage.restoration", "image").denoise_tv_chambolle
    return _tuned(model, data, [partial(tv, weight=weight) for weight in (0.2, 0.3, 0.5, 0.7, 1.0, 1.5)])


def total_variation(model: Any, data: Any) -> dict[str, float]:
    """Total variation denoising (Chambolle, 2004), from scikit-image, its weight chosen on validation."""
    return _measured(tuned_total_variation(model, data), model, data, SLOW_ROWS)


def wavelet_settings(shape: tuple[int, ...]) -> list[tuple[float, str, int]]:
    """Return the noise levels, wavelets and depths to choose from for pictures (H, W) or (C, H, W).

    A depth at which the wavelet is longer than what is left of the picture is no choice.
    """
    depth = needs("pywt", "image").dwt_max_level
    sigmas, kinds = (0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.7), ("db1", "db2", "sym4")
    deepest = {kind: max(1, depth(min(shape[-2:]), kind)) for kind in kinds}
    return [(sigma, kind, k) for sigma in sigmas for kind in kinds for k in (1, 2, 3) if k <= deepest[kind]]


def wavelet(model: Any, data: Any) -> dict[str, float]:
    """Wavelet shrinkage (Chang, Yu & Vetterli, 2000), from scikit-image, its settings chosen on validation.

    PyWavelets does the transform; each picture's own noise is not estimated, since it is known to be alike in all.
    """
    shrink = needs("skimage.restoration", "image").denoise_wavelet
    filters: list[Filter] = [
        partial(shrink, sigma=sigma, wavelet=kind, wavelet_levels=depth, method="BayesShrink")
        for sigma, kind, depth in wavelet_settings(model.sample_shape)
    ]
    return _measured(_tuned(model, data, filters), model, data, SLOW_ROWS)


def nonlocal_means(model: Any, data: Any) -> dict[str, float]:
    """Non-local means (Buades, Coll & Morel, 2005), from scikit-image, its settings chosen on validation."""
    nlm = needs("skimage.restoration", "image").denoise_nl_means
    filters: list[Filter] = [
        partial(nlm, patch_size=size, patch_distance=7, h=h, sigma=sigma, fast_mode=True)
        for size, h, sigma in itertools.product(*NONLOCAL_SETTINGS)
    ]
    return _measured(_tuned(model, data, filters), model, data, SLOW_ROWS)


def median(model: Any, data: Any) -> dict[str, float]:
    """Median filter (Tukey, 1974), from SciPy, its size chosen on validation."""
    from scipy.ndimage import median_filter

    filters: list[Filter] = [partial(median_filter, size=size) for size in (2, 3, 4, 5, 7)]
    return _measured(_tuned(model, data, filters), model, data, SLOW_ROWS)


def _with_holes(data: Any, corruption: str, strength: float) -> tuple[Tensor, Tensor]:
    """Return the test pictures (N, C, H, W) and masks (N, 1, H, W), always the same ones."""
    data.setup()
    x = data.to_natural_units(data.splits["test"].tensors[0])
    draw = CORRUPTIONS[corruption].holes
    assert draw is not None
    return x, draw(x, strength, torch.Generator().manual_seed(0))


def hole_psnr(restored: Tensor, x: Tensor, mask: Tensor) -> float:
    """Return the mean over pictures of the PSNR in dB inside each one's holes."""
    inside = mask.flatten(1).sum(1) * x.shape[1]
    errors = ((restored - x).square() * mask).flatten(1).sum(1) / inside
    return float((-10 * errors.clamp_min(1e-10).log10()).mean())


def filled(model: Any, data: Any) -> dict[str, float]:
    """PSNR inside the holes that the model fills: rectangles of a quarter of the area, and three strokes."""
    found = {}
    for name, (corruption, strength) in HOLES.items():
        x, mask = _with_holes(data, corruption, strength)
        pieces = [model.reconstruct(a, mask=b) for a, b in zip(x.split(256), mask.split(256))]
        found[f"test_{name}_psnr"] = hole_psnr(torch.cat(pieces), x, mask)
    return found


def biharmonic(model: Any, data: Any) -> dict[str, float]:
    """Biharmonic inpainting (Damelin & Hoang, 2018), from scikit-image, in the same holes of the same pictures."""
    inpaint = needs("skimage.restoration", "image").inpaint_biharmonic
    found = {}
    for name, (corruption, strength) in HOLES.items():
        x, mask = _with_holes(data, corruption, strength)
        seen = x.masked_fill(mask, 0.0).permute(0, 2, 3, 1).numpy()
        pictures = [inpaint(picture, hole[0], channel_axis=-1) for picture, hole in zip(seen, mask.numpy())]
        restored = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).clamp(0, 1)
        found[f"test_{name}_psnr"] = hole_psnr(restored, x, mask)
    return found


def _colour_figures(restored: Tensor, x: Tensor) -> dict[str, float]:
    """Return SSIM (Wang et al., 2004), over the three channels, and CIEDE2000, a pixel, means over all pictures."""
    from torchmetrics.functional.image import structural_similarity_index_measure as ssim

    color = needs("skimage.color", "image")
    found: list[Any] = [ssim(a, b, data_range=1.0, reduction="none") for a, b in zip(restored.split(256), x.split(256))]
    differences = [
        color.deltaE_ciede2000(*(color.rgb2lab(part.permute(0, 2, 3, 1).double().numpy()) for part in pair)).mean()
        for pair in zip(restored.split(256), x.split(256))
    ]
    sizes = [len(part) for part in x.split(256)]
    return {
        "test_ssim": float(torch.cat(found).mean()),
        "test_ciede2000": float(np.average(differences, weights=sizes)),
    }


def colour_scores(model: Any, data: Any) -> dict[str, float]:
    """SSIM and CIEDE2000 (Sharma, Wu & Dalal, 2005) of the coloured test pictures."""
    data.setup()
    x = data.to_natural_units(data.splits["test"].tensors[0])
    restored = torch.cat([model.reconstruct(luma(part).clamp(0, 1)) for part in x.split(256)])
    return _colour_figures(restored, x)


def grey_copy(model: Any, data: Any) -> dict[str, float]:
    """The grey picture itself as red, green and blue."""
    data.setup()
    x = data.to_natural_units(data.splits["test"].tensors[0])
    grey = luma(x).clamp(0, 1).expand_as(x).contiguous()
    return {"test_psnr": mean_psnr(grey.numpy(), x.numpy()), **_colour_figures(grey, x)}


def readable_samples(model: Any, data: Any) -> dict[str, float]:
    """What ``cnn.mnist`` reads in 1,000 samples, always of the same codes.

    ``test_readable_samples`` is the share that it reads with a probability of 0.9 or more, and ``test_sample_classes``
    exp(entropy) of the likeliest classes of all samples: 10 if each digit comes as often, 1 if all are the same.

    A classifier that never saw anything else than digits may read a black picture or noise with certainty too. So the
    first says how sharp the samples are if they are digits, and not that they are; such pictures fall into one or
    two classes, which the second shows. Neither says whether samples are copies of training pictures.
    """
    from zoo.pretrained import load_weights

    reader = load_weights("cnn.mnist")
    with torch.no_grad():
        probabilities = reader(model.sample(1_000, seed=0)).softmax(1)
    shares = probabilities.argmax(1).bincount() / len(probabilities)
    return {
        "test_readable_samples": float((probabilities.amax(1) >= 0.9).float().mean()),
        "test_sample_classes": float(torch.special.entr(shares).sum().exp()),
    }
