"""Beside the codes of pictures."""

from __future__ import annotations

from typing import Any

import numpy as np


def pca(model: Any, data: Any) -> dict[str, float]:
    """Principal components (Pearson, 1901), as many as the model's code has units, from scikit-learn."""
    x = data.arrays("test")[0]
    components = _components(model, data)
    errors = np.square(components.inverse_transform(components.transform(x)) - x).mean(1)
    return {
        "test_mse": float(errors.mean()),
        "test_sse": float(errors.mean() * x.shape[1]),
        "test_psnr": float(np.mean(-10 * np.log10(errors))),
    }


def _components(model: Any, data: Any) -> Any:
    from sklearn.decomposition import PCA

    return PCA(model.hparams["latent_dim"], random_state=0).fit(data.arrays("train")[0])


def _neighbour_error(codes: dict[str, np.ndarray], data: Any) -> dict[str, float]:
    """Share of test rows whose nearest training row, by Euclidean distance of the codes, is of another class."""
    from sklearn.neighbors import KNeighborsClassifier

    neighbours = KNeighborsClassifier(1).fit(codes["train"], data.arrays("train")[1])
    return {"test_neighbour_error": 1 - float(neighbours.score(codes["test"], data.arrays("test")[1]))}


def neighbour_error(model: Any, data: Any) -> dict[str, float]:
    """1-nearest-neighbour error of the model's codes: training codes, test queries (Fix & Hodges, 1951)."""
    codes = {}
    for split in ("train", "test"):
        x = data.to_natural(data.splits[split].tensors[0])
        codes[split] = np.concatenate([model.encode(part).numpy() for part in x.split(2048)])
    return _neighbour_error(codes, data)


def neighbour_by_pca(model: Any, data: Any) -> dict[str, float]:
    """1-nearest-neighbour error of as many principal components as the model's code has units."""
    components = _components(model, data)
    return _neighbour_error({split: components.transform(data.arrays(split)[0]) for split in ("train", "test")}, data)


def neighbour_by_pixels(model: Any, data: Any) -> dict[str, float]:
    """1-nearest-neighbour error of the samples themselves."""
    return _neighbour_error({split: data.arrays(split)[0] for split in ("train", "test")}, data)
