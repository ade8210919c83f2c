"""Baselines for the codes of images, and measures of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from zoo.metrics.images import psnr_from_mse


def _reconstruction_errors(data: Any, components: int) -> dict[str, float]:
    """Return the errors of the reconstructions of the test samples from their first principal components."""
    x, fitted = data.arrays("test")[0], _fit_pca(data, components)
    errors = np.square(fitted.inverse_transform(fitted.transform(x)) - x).mean(1)
    return {
        "test_mse": float(errors.mean()),
        "test_sse": float(errors.mean() * x.shape[1]),
        "test_psnr": float(psnr_from_mse(torch.from_numpy(errors)).mean()),
    }


def _fit_pca(data: Any, components: int) -> Any:
    """Fit principal component analysis (Pearson, 1901), from scikit-learn, on the training samples."""
    from sklearn.decomposition import PCA

    return PCA(components, random_state=0).fit(data.arrays("train")[0])


def pca(model: Any, data: Any, components: int | None = None) -> dict[str, float]:
    """Errors of reconstructions from ``components`` principal components, the width of the model's code if None."""
    return _reconstruction_errors(data, model.hparams["latent_dim"] if components is None else components)


def _neighbour_error(codes: dict[str, np.ndarray], data: Any) -> dict[str, float]:
    """Return the error of the 1-nearest-neighbour classifier: Euclidean distance, training codes, test queries."""
    from sklearn.neighbors import KNeighborsClassifier

    neighbours = KNeighborsClassifier(1).fit(codes["train"], data.arrays("train")[1])
    return {"test_neighbour_error": 1 - float(neighbours.score(codes["test"], data.arrays("test")[1]))}


def neighbour_error(model: Any, data: Any) -> dict[str, float]:
    """Error of the 1-nearest-neighbour classifier (Fix & Hodges, 1951) on the model's codes."""
    codes = {}
    for split in ("train", "test"):
        x = data.to_natural_units(data.splits[split].tensors[0])
        codes[split] = np.concatenate([model.encode(batch).numpy() for batch in x.split(2048)])
    return _neighbour_error(codes, data)


def neighbour_by_pca(model: Any, data: Any) -> dict[str, float]:
    """Error of the 1-nearest-neighbour classifier on as many principal components as the model's code has units."""
    fitted = _fit_pca(data, model.hparams["latent_dim"])
    return _neighbour_error({split: fitted.transform(data.arrays(split)[0]) for split in ("train", "test")}, data)


def neighbour_by_pixels(model: Any, data: Any) -> dict[str, float]:
    """Error of the 1-nearest-neighbour classifier on the pixels."""
    return _neighbour_error({split: data.arrays(split)[0] for split in ("train", "test")}, data)
