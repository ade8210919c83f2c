"""Points of the plane, as the TensorFlow Playground draws them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from datamodules.base import TensorDataModule
from datamodules.errors import unknown
from datamodules.registry import register_datamodule
from datamodules.splits import Split, rows_as_groups

Sample = tuple[np.ndarray, np.ndarray]
"""Points (N, 2) and their targets (N,)."""

FEATURES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "x": lambda x, y: x,
    "y": lambda x, y: y,
    "x^2": lambda x, y: x.square(),
    "y^2": lambda x, y: y.square(),
    "xy": lambda x, y: x * y,
    "sin x": lambda x, y: x.sin(),
    "sin y": lambda x, y: y.sin(),
}
"""Features of a point (x, y) by name."""

MAX_NOISE = 0.5
EXTENT = 6.0
"""Half the side of the square that is drawn; all points but a few of ``gauss`` are in it."""
PEAKS = np.array([[-4, 2.5, 1], [0, 2.5, -1], [4, 2.5, 1], [-4, -2.5, -1], [0, -2.5, 1], [4, -2.5, -1]])
"""Centres and signs of the six cones of ``multi_gauss``."""


def _uniform(rng: np.random.Generator, bound: float, n: int) -> np.ndarray:
    return rng.uniform(-bound, bound, (n, 2))


def circle(rng: np.random.Generator, n: int, noise: float) -> Sample:
    """Class 1 within radius 2.5 and class 0 from 3.5 to 5, uniform in radius and angle; noise moves the labelled point.

    A point shifted by up to 5 ``noise`` along each axis gives the label, 1 within radius 2.5; the point itself stays.
    """
    inner = n // 2
    radius = np.concatenate([rng.uniform(0, 2.5, inner), rng.uniform(3.5, 5, n - inner)])
    angle = rng.uniform(0, 2 * np.pi, n)
    points = radius[:, None] * np.stack([np.sin(angle), np.cos(angle)], 1)
    labelled = points + _uniform(rng, 5, n) * noise
    return points, np.linalg.norm(labelled, axis=1) < 2.5


def xor(rng: np.random.Generator, n: int, noise: float) -> Sample:
    """Class 1 where x y >= 0, else 0: uniform in [-5, 5]^2, moved 0.3 away from the axes; noise as in ``circle``."""
    points = _uniform(rng, 5, n)
    points += np.where(points > 0, 0.3, -0.3)
    labelled = points + _uniform(rng, 5, n) * noise
    return points, labelled[:, 0] * labelled[:, 1] >= 0


def gauss(rng: np.random.Generator, n: int, noise: float) -> Sample:
    """Normal distributions around (2, 2), class 1, and (-2, -2), class 0, of variance 0.5 + 7 ``noise`` an axis."""
    y = np.arange(n) < n // 2
    centres = np.where(y, 2.0, -2.0)[:, None]
    return centres + rng.normal(0, np.sqrt(0.5 + 7 * noise), (n, 2)), y


def spiral(rng: np.random.Generator, n: int, noise: float) -> Sample:
    """Two arms of 1.75 turns that begin in the origin; noise moves the points by up to ``noise`` along each axis.

    Point i of m in an arm has radius 5 i / m and angle 3.5 pi i / m, plus pi in the arm of class 0.
    """
    first = n // 2
    i = np.concatenate([np.arange(first) / first, np.arange(n - first) / (n - first)])
    y = np.arange(n) < first
    angle = 3.5 * np.pi * i + np.where(y, 0.0, np.pi)
    return 5 * i[:, None] * np.stack([np.sin(angle), np.cos(angle)], 1) + _uniform(rng, 1, n) * noise, y


def plane(rng: np.random.Generator, n: int, noise: float) -> Sample:
    """Target (x + y) / 10, uniform in [-6, 6]^2, of the point shifted by up to 6 ``noise`` along each axis."""
    points = _uniform(rng, EXTENT, n)
    return points, (points + _uniform(rng, EXTENT, n) * noise).sum(1) / 10


def multi_gauss(rng: np.random.Generator, n: int, noise: float) -> Sample:
    """Target of six cones of height +-1 and radius 2, the one of largest size at a point; noise as in ``plane``."""
    points = _uniform(rng, EXTENT, n)
    shifted = points + _uniform(rng, EXTENT, n) * noise
    distance = np.linalg.norm(shifted[:, None] - PEAKS[:, :2], axis=2)
    heights = PEAKS[:, 2] * np.clip(1 - distance / 2, 0, 1)
    return points, heights[np.arange(n), np.abs(heights).argmax(1)]


CLASSIFICATION = {"circle": circle, "gauss": gauss, "spiral": spiral, "xor": xor}
REGRESSION = {"multi_gauss": multi_gauss, "plane": plane}
DATASETS = CLASSIFICATION | REGRESSION


@register_datamodule("playground")
class PlaygroundDataModule(TensorDataModule):
    """The data sets of the TensorFlow Playground: points of the plane with a class or a number each.

    Two classes for ``circle``, ``gauss``, ``spiral`` and ``xor``; for ``plane`` and ``multi_gauss`` the target is a
    number (N,) in about [-1, 1], which ``num_classes`` 0 in ``spec`` says. The points are synthetic, drawn as in
    ``src/dataset.ts`` of tensorflow/playground. They and the test split depend on ``draw`` alone and not on ``seed``,
    which sets the validation rows.

    Args:
        dataset: ``circle``, ``gauss``, ``spiral``, ``xor``, ``plane`` or ``multi_gauss``.
        points: Number of points; 500 for classes and 1,200 for numbers if None, as in the Playground.
        noise: Share of noise, 0 to 0.5; the Playground's slider shows it in percent.
        train_share: Share of the points for training and validation; the others are the test split.
        features: Features of a point that the model is given, out of x, y, x^2, y^2, xy, ``sin x`` and ``sin y``.
        draw: Seed of the points.
        val_size: Number of training rows held out for validation.
        train_on_all: Whether to train on the validation rows as well, as in the Playground, which has none: validation
            then says nothing new, and the weights of the last epoch are kept.
        batch_size: Rows per update.
        **common: Arguments of ``TensorDataModule``.
    """

    def __init__(
        self,
        *,
        dataset: str = "circle",
        points: int | None = None,
        noise: float = 0.0,
        train_share: float = 0.5,
        features: list[str] = ["x", "y"],  # noqa: B006
        draw: int = 0,
        val_size: int = 50,
        train_on_all: bool = False,
        batch_size: int = 10,
        **common: Any,
    ) -> None:
        super().__init__(batch_size=batch_size, val_size=val_size, **common)
        if dataset not in DATASETS:
            raise unknown("dataset", dataset, DATASETS)
        count = points if points is not None else 500 if dataset in CLASSIFICATION else 1200
        if count < 8:
            raise ValueError(f"points must be at least 8, not {count}")
        if not 0 <= noise <= MAX_NOISE:
            raise ValueError(f"noise must be in [0, {MAX_NOISE}], a share, not {noise}")
        if not 0 < train_share < 1:
            raise ValueError(f"train_share must be between 0 and 1, not {train_share}")
        if draw < 0:
            raise ValueError(f"draw must be at least 0, not {draw}")
        self.dataset, self.noise, self.draw = dataset, noise, draw
        self.train_on_all = train_on_all
        self.train_points = round(train_share * count)
        self.test_points = count - self.train_points
        if not self.train_points or not self.test_points:
            raise ValueError(f"train_share {train_share} of {count} points leaves no row to train on or to test on")
        self.features = _check_features(features)

    @property
    def spec(self) -> dict[str, Any]:
        """Features and classes; no classes for a number as target."""
        n = len(self.features)
        common = {"input_shape": [n], "in_features": n, "feature_names": list(self.features)}
        if self.dataset in REGRESSION:
            return {**common, "num_classes": 0}
        return {**common, "num_classes": 2, "class_names": ["0", "1"]}

    def strata(self, train: Split) -> Tensor:
        """Return the class of each training row, or one stratum for numbers."""
        y = train.column(1)
        return torch.zeros_like(y, dtype=torch.int64) if y.is_floating_point() else y

    def sample(self) -> tuple[Tensor, Tensor]:
        """Return all points (N, 2) and their targets (N,), int64 classes or float32 numbers, in random order."""
        rng = np.random.default_rng(self.draw)
        n = self.train_points + self.test_points
        points, y = DATASETS[self.dataset](rng, n, self.noise)
        order = rng.permutation(n)
        targets = torch.from_numpy(y[order])
        return (
            torch.from_numpy(points[order]).float(),
            targets.long() if self.dataset in CLASSIFICATION else targets.float(),
        )

    def training_points(self) -> tuple[Tensor, Tensor]:
        """Return the points (N, 2) and targets (N,) of the training and validation rows."""
        points, y = self.sample()
        return points[: self.train_points], y[: self.train_points]

    def features_of(self, points: Tensor) -> Tensor:
        """Return the features (N, F) of points (N, 2)."""
        x, y = points.unbind(1)
        return torch.stack([FEATURES[name](x, y) for name in self.features], 1)

    def load(self) -> dict[str, Split]:
        """Draw the points and divide them."""
        points, y = self.sample()
        x, n = self.features_of(points), self.train_points
        groups = rows_as_groups({"train": n, "test": self.test_points})
        return {"train": Split((x[:n], y[:n]), groups["train"]), "test": Split((x[n:], y[n:]), groups["test"])}

    def read(self, source: str) -> Tensor:
        """Parse the two coordinates of a point, such as ``"1.5 -2"``, into its features (1, F)."""
        words = re.findall(r"[^\s,;()]+", source)
        try:
            point = [float(word) for word in words]
        except ValueError:
            point = []
        if len(point) != 2 or not np.isfinite(point).all():
            raise ValueError(f"{source!r} is not a point such as '1.5 -2'")
        return self.features_of(torch.tensor([point]))


def _check_features(features: Sequence[str]) -> list[str]:
    for name in features:
        if name not in FEATURES:
            raise unknown("feature", name, FEATURES)
    if not features or len(set(features)) < len(features):
        raise ValueError(f"features must be different ones of {', '.join(FEATURES)}, not {list(features)}")
    return list(features)
