"""Beside the codes of pictures."""

from __future__ import annotations

from typing import Any

import numpy as np


def _reconstruction(data: Any, components: int) -> dict[str, float]:
    """Return the errors of the test rows behind their first principal components (Pearson, 1901), from scikit-learn."""
    x, found = data.arrays("test")[0], _components(data, components)
    errors = np.square(found.inverse_transform(found.transform(x)) - x).mean(1)
    return {
        "test_mse": float(errors.mean()),
        "test_sse": float(errors.mean() * x.shape[1]),
        "test_psnr": float(np.mean(-10 * np.log10(errors))),
    }


def _components(data: Any, components: int) -> Any:
    from sklearn.decomposition import PCA

    return PCA(components, random_state=0).fit(data.arrays("train")[0])


def pca(model: Any, data: Any, components: int | None = None) -> dict[str, float]:
    """Reconstruct with principal components: ``components``, or as many as the model's code has units if None."""
    return _reconstruction(data, model.hparams["latent_dim"] if components is None else components)


def _neighbour_error(codes: dict[str, np.ndarray], data: Any) -> dict[str, float]:
    """Share of test rows whose nearest training row, by Euclidean distance of the codes, is of another class."""
    from sklearn.neighbors import KNeighborsClassifier

    neighbours = KNeighborsClassifier(1).fit(codes["train"], data.arrays("train")[1])
    return {"test_neighbour_error": 1 - float(neighbours.score(codes["test"], data.arrays("test")[1]))}


def neighbour_error(model: Any, data: Any) -> dict[str, float]:
    """1-nearest-neighbour error of the model's codes: training codes, test queries (Fix & Hodges, 1951)."""
    codes = {}
    for split in ("train", "test"):
        x = data.to_natural_units(data.splits[split].tensors[0])
        codes[split] = np.concatenate([model.encode(part).numpy() for part in x.split(2048)])
    return _neighbour_error(codes, data)


def neighbour_by_pca(model: Any, data: Any) -> dict[str, float]:
    """1-nearest-neighbour error of as many principal components as the model's code has units."""
    components = _components(data, model.hparams["latent_dim"])
    return _neighbour_error({split: components.transform(data.arrays(split)[0]) for split in ("train", "test")}, data)


def neighbour_by_pixels(model: Any, data: Any) -> dict[str, float]:
    """1-nearest-neighbour error of the samples themselves."""
    return _neighbour_error({split: data.arrays(split)[0] for split in ("train", "test")}, data)
