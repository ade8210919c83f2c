"""Baselines for classifiers and regressors, and measures of them."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np


def svc(model: Any, data: Any) -> dict[str, float]:
    """Support vector classifier with a Gaussian kernel (Cortes & Vapnik, 1995), from scikit-learn.

    C and gamma are selected by validation accuracy from a grid set by hand; the features are standardised.
    """
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    x, y = data.arrays("train")
    x_val, y_val = data.arrays("val")
    scale = 1 / x.shape[1]
    candidates = [
        make_pipeline(StandardScaler(), SVC(C=C, gamma=gamma * scale)).fit(x, y)
        for C, gamma in product((1, 3, 10, 30, 100), (0.1, 0.3, 1, 3))
    ] + [SVC(C=C).fit(x, y) for C in (1, 3, 10, 30, 100)]
    best = max(candidates, key=lambda candidate: candidate.score(x_val, y_val))
    return {"test_accuracy": float(best.score(*data.arrays("test")))}


def softmax_regression(model: Any, data: Any) -> dict[str, float]:
    """Multinomial logistic regression with L2 penalty, from scikit-learn; C is selected by validation accuracy."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = data.arrays("train")
    x_val, y_val = data.arrays("val")
    candidates = [
        make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=2000)).fit(x, y)
        for C in (0.01, 0.1, 1.0, 10.0)
    ]
    best = max(candidates, key=lambda candidate: candidate.score(x_val, y_val))
    return {"test_accuracy": float(best.score(*data.arrays("test")))}


def linear_regression(model: Any, data: Any) -> dict[str, float]:
    """Linear regression by ordinary least squares, from scikit-learn: the mean squared error as the loss."""
    from sklearn.linear_model import LinearRegression

    found = LinearRegression().fit(*data.arrays("train"))
    x, y = data.arrays("test")
    errors = found.predict(x) - y
    return {"test_loss": float(np.mean(errors**2)), "test_mae": float(np.mean(np.abs(errors)))}


def coefficient_error(model: Any, data: Any) -> dict[str, float]:
    """Maximum relative error of the coefficients of a binary logistic regression, compared with scikit-learn's.

    scikit-learn minimises C sum(loss) + |w|^2 / 2; for C = 1 / (n l2) that is the model's objective times n C. Both
    take the training samples standardised by the model's constants. The intercept counts as a coefficient.
    """
    from sklearn.linear_model import LogisticRegression

    x, y = data.arrays("train")
    standardize, layer = model.net[0], next(module for module in model.net if hasattr(module, "weight"))
    x = (x.astype(np.float64) - standardize.mean.double().numpy()) / standardize.std.double().numpy()
    reference = LogisticRegression(C=1 / (len(x) * model.hparams["l2"]), tol=1e-10, max_iter=100_000).fit(x, y)
    expected = np.append(reference.coef_[0], reference.intercept_)
    found = np.append(layer.weight.detach().double().numpy()[0], layer.bias.detach().double().numpy())
    return {"coefficient_error": float(np.max(np.abs(found - expected) / np.abs(expected)))}


def solved(model: Any, data: Any) -> dict[str, float]:
    """1 if all test samples are classified correctly, else 0; the mean over seeds is the success rate."""
    import torch

    x, y = data.splits["test"].tensors
    with torch.no_grad():
        return {"solved": float(bool((model(data.to_natural_units(x)).argmax(1) == y).all()))}
