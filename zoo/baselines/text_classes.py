"""Scores of text classifiers by class, and linear baselines on TF-IDF."""

from __future__ import annotations

import re
from itertools import product
from typing import Any

import numpy as np


def class_recalls(found: np.ndarray, true: np.ndarray, names: list[str]) -> dict[str, float]:
    """Return macro-F1, F1 weighted by the number of rows of each class, and the recall of each class.

    Args:
        found: Predicted classes (N,).
        true: Classes (N,).
        names: Names of the classes.
    """
    from sklearn.metrics import f1_score, recall_score

    every = list(range(len(names)))
    recalls = recall_score(true, found, labels=every, average=None, zero_division=0)
    return {
        "test_macro_f1": float(f1_score(true, found, labels=every, average="macro", zero_division=0)),
        "test_weighted_f1": float(f1_score(true, found, labels=every, average="weighted", zero_division=0)),
        **{f"test_{re.sub(r'[^a-z0-9]+', '_', n.lower())}_recall": float(r) for n, r in zip(names, recalls)},
    }


def recalls(model: Any, data: Any) -> dict[str, float]:
    """Weighted F1 of the model, and its recall of each class."""
    names, test = list(data.class_names), data.text_splits()["test"]
    found = np.array([names.index(answer.label) for answer in model.classify(test.texts)])
    scores = class_recalls(found, np.array(test.labels), names)
    scores.pop("test_macro_f1")  # the model's own
    return scores


def tfidf_linear(model: Any, data: Any) -> dict[str, float]:
    """Logistic regression on TF-IDF of words, pairs of words and characters; selected by macro-F1 in validation.

    Selected are C and whether the classes have equal weight in the loss.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score
    from sklearn.pipeline import make_union

    from zoo.baselines.sentiment import TOKEN

    parts, names = data.text_splits(), list(data.class_names)
    words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=TOKEN, sublinear_tf=True, min_df=2)
    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, min_df=5)
    vectorizer = make_union(words, letters).fit(parts["train"].texts)
    rows = {name: vectorizer.transform(part.texts) for name, part in parts.items()}
    fitted = [
        LogisticRegression(C=c, class_weight=weight, max_iter=300).fit(rows["train"], parts["train"].labels)
        for c, weight in product((0.3, 1, 4), (None, "balanced"))
    ]
    best = max(fitted, key=lambda each: f1_score(parts["val"].labels, each.predict(rows["val"]), average="macro"))
    return class_recalls(best.predict(rows["test"]), np.array(parts["test"].labels), names)
