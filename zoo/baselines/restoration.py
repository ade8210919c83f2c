"""Baselines for denoising, inpainting and colorization, and measures of the restored images."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.errors import needs
from zoo.metrics.images import ciede2000, colourfulness, psnr
from zoo.nn import CORRUPTIONS, luma

SLOW_ROWS = 1_000
"""Number of test images, the first ones, for the slow denoisers; set by hand."""
TUNING_ROWS = 300
"""Number of validation images for the selection of their settings, and of training images for the fit of their levels;
set by hand."""
NONLOCAL_SETTINGS = ((3, 5, 7), (0.1, 0.15, 0.2, 0.3), (0.2, 0.25, 0.3, 0.35))
"""Grid of patch sizes, filter strengths and noise levels for non-local means; set by hand."""
HOLES = {"hole": ("erase", 0.25), "stroke": ("strokes", 3.0)}
"""Test holes for inpainting by name: corruption and strength, the defaults of the corruptions."""

Filter = Callable[[np.ndarray], np.ndarray]
"""Function from a channel (H, W) to the restored channel."""
Restorer = Callable[[np.ndarray], np.ndarray]
"""Function from images (N, C, H, W) to the restored images."""


def _examples(model: Any, data: Any, split: str, limit: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return original and corrupted images (N, C, H, W) of a split.

    Those of the test split equal the ones that the model is tested on in a single process on any device, since both are
    drawn on the CPU, batch by batch.
    """
    data.setup()
    generator, clean, corrupted, rows = torch.Generator().manual_seed(0), [], [], 0
    batches = (
        data.test_dataloader() if split == "test" else [data.splits[split].take(np.arange(limit or 20_000)).tensors]
    )
    for batch in batches:
        x = data.to_natural_units(batch[0])
        clean.append(x)
        corrupted.append(model.corrupt(x, generator))
        rows += len(x)
        if limit and rows >= limit:
            break
    return torch.cat(clean)[:limit].numpy(), torch.cat(corrupted)[:limit].numpy()


def mean_psnr(restored: np.ndarray, clean: np.ndarray) -> float:
    """Return the mean PSNR in dB of restored images (N, ...), clipped to [0, 1]."""
    return float(psnr(torch.from_numpy(np.clip(restored, 0, 1)), torch.from_numpy(clean)).mean())


def _test_psnr(restorer: Restorer, model: Any, data: Any, limit: int | None = None) -> dict[str, float]:
    clean, noisy = _examples(model, data, "test", limit)
    return {"test_psnr": mean_psnr(restorer(noisy), clean)}


def least_squares(model: Any, data: Any) -> Restorer:
    """Return ridge regression from corrupted to original pixels, with a penalty selected by validation PSNR."""
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
    """Ridge regression from corrupted to original pixels, with a penalty selected by validation PSNR."""
    return _test_psnr(least_squares(model, data), model, data)


def _tuned(model: Any, data: Any, filters: list[Filter]) -> Restorer:
    """Return the filter with the best validation PSNR and a linear map of its levels, fitted on training images.

    The linear map corrects the bias that clipping of the noise causes in dark and light regions, which classical
    filters do not model.
    """

    def apply(restore: Filter, images: np.ndarray) -> np.ndarray:
        return np.stack([np.stack([restore(channel) for channel in image]) for image in images])

    clean, noisy = _examples(model, data, "train", TUNING_ROWS)
    lines = [np.polyfit(apply(restore, noisy).ravel(), clean.ravel(), 1) for restore in filters]
    clean, noisy = _examples(model, data, "val", TUNING_ROWS)
    scores = [mean_psnr(np.polyval(line, apply(restore, noisy)), clean) for restore, line in zip(filters, lines)]
    best = int(np.argmax(scores))
    return lambda images: np.polyval(lines[best], apply(filters[best], images))


def tuned_total_variation(model: Any, data: Any) -> Restorer:
    """Return total variation denoising (Chambolle, 2004), from scikit-image, with a weight selected on validation."""
    from skimage.restoration import denoise_tv_chambolle as tv

    return _tuned(model, data, [partial(tv, weight=weight) for weight in (0.2, 0.3, 0.5, 0.7, 1.0, 1.5)])


def total_variation(model: Any, data: Any) -> dict[str, float]:
    """Total variation denoising (Chambolle, 2004), from scikit-image, with a weight selected on validation."""
    return _test_psnr(tuned_total_variation(model, data), model, data, SLOW_ROWS)


def wavelet_settings(shape: tuple[int, ...]) -> list[tuple[float, str, int]]:
    """Return a grid of noise levels, wavelets and numbers of levels for images (H, W) or (C, H, W); set by hand.

    Levels at which the wavelet is longer than the image are excluded.
    """
    depth = needs("pywt", "image").dwt_max_level
    sigmas, kinds = (0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.7), ("db1", "db2", "sym4")
    deepest = {kind: max(1, depth(min(shape[-2:]), kind)) for kind in kinds}
    return [(sigma, kind, k) for sigma in sigmas for kind in kinds for k in (1, 2, 3) if k <= deepest[kind]]


def wavelet(model: Any, data: Any) -> dict[str, float]:
    """Wavelet shrinkage (Chang, Yu & Vetterli, 2000), from scikit-image, with settings selected on validation.

    PyWavelets computes the transform. The noise level is not estimated for each image, since it is the same in all.
    """
    from skimage.restoration import denoise_wavelet as shrink

    filters: list[Filter] = [
        partial(shrink, sigma=sigma, wavelet=kind, wavelet_levels=depth, method="BayesShrink")
        for sigma, kind, depth in wavelet_settings(model.sample_shape)
    ]
    return _test_psnr(_tuned(model, data, filters), model, data, SLOW_ROWS)


def nonlocal_means(model: Any, data: Any) -> dict[str, float]:
    """Non-local means (Buades, Coll & Morel, 2005), from scikit-image, with settings selected on validation."""
    from skimage.restoration import denoise_nl_means as nlm

    filters: list[Filter] = [
        partial(nlm, patch_size=size, patch_distance=7, h=h, sigma=sigma, fast_mode=True)
        for size, h, sigma in itertools.product(*NONLOCAL_SETTINGS)
    ]
    return _test_psnr(_tuned(model, data, filters), model, data, SLOW_ROWS)


def median(model: Any, data: Any) -> dict[str, float]:
    """Median filter (Tukey, 1974), from SciPy, with a size selected on validation."""
    from scipy.ndimage import median_filter

    filters: list[Filter] = [partial(median_filter, size=size) for size in (2, 3, 4, 5, 7)]
    return _test_psnr(_tuned(model, data, filters), model, data, SLOW_ROWS)


def _test_holes(data: Any, corruption: str, strength: float) -> tuple[Tensor, Tensor]:
    """Return the test images (N, C, H, W) and masks (N, 1, H, W) of holes, drawn with a fixed seed."""
    data.setup()
    x = data.to_natural_units(data.splits["test"].tensors[0])
    draw = CORRUPTIONS[corruption].holes
    assert draw is not None
    return x, draw(x, strength, torch.Generator().manual_seed(0))


def filled(model: Any, data: Any) -> dict[str, float]:
    """PSNR of the model inside of holes: rectangles of a quarter of the area, and three strokes."""
    found = {}
    for name, (corruption, strength) in HOLES.items():
        x, mask = _test_holes(data, corruption, strength)
        restored = [model.reconstruct(a, mask=b) for a, b in zip(x.split(256), mask.split(256))]
        found[f"test_{name}_psnr"] = float(psnr(torch.cat(restored), x, mask).mean())
    return found


def biharmonic(model: Any, data: Any) -> dict[str, float]:
    """PSNR of biharmonic inpainting (Damelin & Hoang, 2018), from scikit-image, inside of the holes of ``filled``."""
    from skimage.restoration import inpaint_biharmonic as inpaint

    found = {}
    for name, (corruption, strength) in HOLES.items():
        x, mask = _test_holes(data, corruption, strength)
        masked = x.masked_fill(mask, 0.0).permute(0, 2, 3, 1).numpy()
        images = [inpaint(image, hole[0], channel_axis=-1) for image, hole in zip(masked, mask.numpy())]
        restored = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).clamp(0, 1)
        found[f"test_{name}_psnr"] = float(psnr(restored, x, mask).mean())
    return found


def _colour_metrics(restored: Tensor, x: Tensor) -> dict[str, float]:
    """Return the mean SSIM (Wang et al., 2004) over the three channels and the mean CIEDE2000 over the pixels."""
    from torchmetrics.functional.image import structural_similarity_index_measure as ssim

    pairs = list(zip(restored.split(256), x.split(256)))
    found: list[Any] = [ssim(a, b, data_range=1.0, reduction="none") for a, b in pairs]
    return {
        "test_ssim": float(torch.cat(found).mean()),
        "test_ciede2000": float(torch.cat([ciede2000(a, b) for a, b in pairs]).mean()),
    }


def colour_scores(model: Any, data: Any) -> dict[str, float]:
    """SSIM and CIEDE2000 (Sharma, Wu & Dalal, 2005) of the model's colorized test images."""
    data.setup()
    x = data.to_natural_units(data.splits["test"].tensors[0])
    restored = torch.cat([model.reconstruct(luma(part).clamp(0, 1)) for part in x.split(256)])
    return _colour_metrics(restored, x)


def colourful(model: Any, data: Any) -> dict[str, float]:
    """Colourfulness (Hasler & Suesstrunk, 2003) of the model's colorized test images."""
    data.setup()
    x = data.to_natural_units(data.splits["test"].tensors[0])
    return _colourfulness(torch.cat([model.reconstruct(luma(part).clamp(0, 1)) for part in x.split(256)]), x)


def _colourfulness(restored: Tensor, x: Tensor) -> dict[str, float]:
    values = float(colourfulness(restored).mean()), float(colourfulness(x).mean())
    return {"test_colourfulness": values[0], "test_colourfulness_lost": values[1] - values[0]}


def squared_error_colours(model: Any, data: Any) -> dict[str, float]:
    """Colours by ``colorizer.cifar10_jpeg_lab``, which is trained by squared error: all measures of colours."""
    from zoo.pretrained import load_weights

    data.setup()
    x = data.to_natural_units(data.splits["test"].tensors[0])
    other = load_weights("colorizer.cifar10_jpeg_lab")
    restored = torch.cat([other.reconstruct(luma(part).clamp(0, 1)) for part in x.split(256)])
    scores = {"test_psnr": mean_psnr(restored.numpy(), x.numpy()), **_colour_metrics(restored, x)}
    return {**scores, **_colourfulness(restored, x)}


def grey_copy(model: Any, data: Any) -> dict[str, float]:
    """Grey images with the luma as red, green and blue: PSNR, SSIM and CIEDE2000."""
    data.setup()
    x = data.to_natural_units(data.splits["test"].tensors[0])
    grey = luma(x).clamp(0, 1).expand_as(x).contiguous()
    return {"test_psnr": mean_psnr(grey.numpy(), x.numpy()), **_colour_metrics(grey, x)}


def readable_samples(model: Any, data: Any) -> dict[str, float]:
    """Quality and diversity of 1,000 samples from fixed codes, as classified by ``cnn.mnist``.

    ``test_readable_samples`` is the share with a class probability of 0.9 or more, a threshold set by hand, and
    ``test_sample_classes`` is exp(entropy) of the distribution of the predicted classes: 10 if all digits are equally
    frequent, 1 if all samples have the same class.

    A classifier trained on digits alone may classify black images or noise with high probability too. The first metric
    thus measures the sharpness of samples that are digits, not whether they are; other images concentrate in one or two
    classes, which the second metric shows. Neither detects copies of training images.
    """
    from zoo.pretrained import load_weights

    classifier = load_weights("cnn.mnist")
    with torch.no_grad():
        probabilities = classifier(model.sample(1_000, seed=0)).softmax(1)
    shares = probabilities.argmax(1).bincount() / len(probabilities)
    return {
        "test_readable_samples": float((probabilities.amax(1) >= 0.9).float().mean()),
        "test_sample_classes": float(torch.special.entr(shares).sum().exp()),
    }
