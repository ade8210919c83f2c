"""Denoising at several noise levels: of the model, which is told none, and of filters that are told the level."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.errors import needs
from zoo.metrics.images import psnr
from zoo.nn import add_noise, luma

LEVELS = (5, 10, 15, 25, 50, 75, 100)
"""Standard deviations of the noise in units of 1/255."""
ROWS, TUNING_ROWS = 200, 20
"""Number of test images, the first ones, and of validation images for the settings of the filters; set by hand."""
NONLOCAL_STRENGTHS = (0.5, 0.65, 0.8, 1.0)
"""Filter strengths of non-local means, in units of the noise's standard deviation; set by hand."""
WAVELETS = ("db1", "db2", "sym4")

LevelFilter = Callable[[np.ndarray, float], np.ndarray]
"""Function from an image, (H, W) or (H, W, 3), and the standard deviation of its noise to the restored image."""


def _noisy(x: Tensor, level: int) -> Tensor:
    return add_noise(x, level / 255, torch.Generator().manual_seed(level))


def _kinds(x: Tensor) -> dict[str, Tensor]:
    """Return images (N, 3, H, W) by the prefix of their metrics: in colour, and in grey with three equal channels."""
    return {"": x, "grey_": luma(x).clamp(0, 1).expand_as(x).contiguous()}


def _images(data: Any, split: str, rows: int) -> Tensor:
    data.setup()
    x = data.splits[split].take(np.arange(min(rows, len(data.splits[split].groups)))).tensors[0]
    return data.to_natural_units(x)


def _by_level(data: Any, restore: Callable[[Tensor, int, str], Tensor]) -> dict[str, float]:
    """Return the PSNR of restored test images by level and kind, their mean and the smallest gain over the input."""
    found, gains = {}, []
    for prefix, x in _kinds(_images(data, "test", ROWS)).items():
        for level in LEVELS:
            noisy = _noisy(x, level)
            after = float(psnr(restore(noisy, level, prefix), x).mean())
            gains.append(after - float(psnr(noisy, x).mean()))
            found[f"test_{prefix}psnr_{level}"] = after
    return {**found, "test_levels_psnr": float(np.mean(list(found.values()))), "test_least_gain": min(gains)}


def denoised_levels(model: Any, data: Any) -> dict[str, float]:
    """PSNR in dB of the model at noise of 5 to 100 of 255, in colour and in grey, which it is not told."""
    return _by_level(
        data, lambda noisy, level, prefix: torch.cat([model.reconstruct(part) for part in noisy.split(50)])
    )


def noisy_input(model: Any, data: Any) -> dict[str, float]:
    """PSNR in dB of the noisy images themselves."""
    return _by_level(data, lambda noisy, level, prefix: noisy)


def apply_filter(restore: LevelFilter, noisy: Tensor, level: int) -> Tensor:
    """Apply a filter to images (N, 3, H, W); of grey ones, whose channels are equal, to one channel."""
    grey = bool((noisy == noisy[:, :1]).all())
    arrays = noisy[:, 0].numpy() if grey else noisy.permute(0, 2, 3, 1).numpy()
    done = torch.from_numpy(np.stack([restore(image, level / 255) for image in arrays])).to(noisy.dtype).clamp(0, 1)
    return done[:, None].expand_as(noisy) if grey else done.permute(0, 3, 1, 2)


def _tuned(data: Any, filters: list[LevelFilter]) -> dict[str, float]:
    """Return the test PSNR of the filter that is best on validation images, selected by level and kind."""
    tuning, best = _kinds(_images(data, "val", TUNING_ROWS)), {}
    for prefix, x in tuning.items():
        for level in LEVELS:
            noisy = _noisy(x, level)
            scores = [float(psnr(apply_filter(restore, noisy, level), x).mean()) for restore in filters]
            best[prefix, level] = filters[int(np.argmax(scores))]
    return _by_level(data, lambda noisy, level, prefix: apply_filter(best[prefix, level], noisy, level))


def nonlocal_filters() -> list[LevelFilter]:
    """Return non-local means (Buades, Coll & Morel, 2005), from scikit-image, of several strengths."""
    from skimage.restoration import denoise_nl_means as nlm

    def restore(image: np.ndarray, sigma: float, strength: float, size: int) -> np.ndarray:
        axis = -1 if image.ndim == 3 else None
        settings = {"patch_size": size, "patch_distance": 6, "fast_mode": True, "channel_axis": axis}
        return np.asarray(nlm(image, h=strength * sigma, sigma=sigma, **settings))

    return [partial(restore, strength=strength, size=size) for strength in NONLOCAL_STRENGTHS for size in (3, 5)]


def wavelet_filters() -> list[LevelFilter]:
    """Return wavelet shrinkage (Chang, Yu & Vetterli, 2000), from scikit-image; colours are converted to YCbCr."""
    from skimage.restoration import denoise_wavelet as shrink

    needs("pywt", "image")  # which scikit-image takes without saying how to install it

    def restore(image: np.ndarray, sigma: float, kind: str) -> np.ndarray:
        colour: dict[str, Any] = {"channel_axis": -1, "convert2ycbcr": True} if image.ndim == 3 else {}
        return np.asarray(shrink(image, sigma=sigma, wavelet=kind, method="BayesShrink", rescale_sigma=True, **colour))

    return [partial(restore, kind=kind) for kind in WAVELETS]


def nonlocal_means_of_level(model: Any, data: Any) -> dict[str, float]:
    """PSNR in dB of non-local means that is told the noise level, with settings selected on validation by level."""
    return _tuned(data, nonlocal_filters())


def wavelet_of_level(model: Any, data: Any) -> dict[str, float]:
    """PSNR in dB of wavelet shrinkage that is told the noise level, with the wavelet selected on validation."""
    return _tuned(data, wavelet_filters())
