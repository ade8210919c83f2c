"""Requests with and without one of the known intents: scores of a classifier, and a linear baseline."""

from __future__ import annotations

from typing import Any

import numpy as np


def scope_scores(found: np.ndarray, true: np.ndarray, rest: int) -> dict[str, float]:
    """Return accuracy on all texts, accuracy on those in scope, and recall of those out of scope.

    Args:
        found: Predicted classes (N,).
        true: Classes (N,).
        rest: Number of the class of texts out of scope.
    """
    inside = true != rest
    return {
        "test_accuracy": float((found == true).mean()),
        "test_in_scope_accuracy": float((found == true)[inside].mean()),
        "test_out_of_scope_recall": float((found == true)[~inside].mean()),
    }


def scope(model: Any, data: Any) -> dict[str, float]:
    """Accuracy on texts in scope and recall of those out of scope, by ``classify``; the scope is the rest class."""
    names, test = list(data.class_names), data.text_splits()["test"]
    found = np.array([names.index(answer.label) for answer in model.classify(test.texts)])
    scores = scope_scores(found, np.array(test.labels), names.index(model.hparams["rest_class"]))
    scores.pop("test_accuracy")  # the model's own
    return scores


def tfidf_svm_scope(model: Any, data: Any) -> dict[str, float]:
    """Linear support vector machine on TF-IDF of words, pairs of words and characters.

    A text is out of scope if the largest score of the other classes is below a threshold. C is selected by validation
    accuracy in scope; the threshold is chosen in validation as the model's is, so that it costs 0.3 % of the correct
    answers in scope.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline, make_union
    from sklearn.svm import LinearSVC

    from zoo.baselines.sentiment import TOKEN
    from zoo.metrics.calibration import REST_COST

    parts, rest = data.text_splits(), list(data.class_names).index(model.hparams["rest_class"])
    labels = {name: np.array(part.labels) for name, part in parts.items()}
    inside = labels["val"] != rest

    def fit(c: float) -> Any:
        words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=TOKEN, sublinear_tf=True)
        letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True)
        return make_pipeline(make_union(words, letters), LinearSVC(C=c)).fit(parts["train"].texts, labels["train"])

    def decide(pipeline: Any, split: str) -> tuple[np.ndarray, np.ndarray]:
        scores = pipeline.decision_function(parts[split].texts)
        own = scores[:, rest].copy()
        scores[:, rest] = -np.inf
        best = scores.argmax(1)
        largest = scores.max(1)
        return np.where(own > largest, rest, best), largest

    fitted = [fit(c) for c in (0.1, 0.3, 1.0, 3.0)]
    best = max(fitted, key=lambda each: float((decide(each, "val")[0] == labels["val"])[inside].mean()))
    found, largest = decide(best, "val")
    correct = np.sort(largest[inside & (found == labels["val"])])
    threshold = correct[int(REST_COST * len(correct))]
    found, largest = decide(best, "test")
    return scope_scores(np.where(largest < threshold, rest, found), labels["test"], rest)
