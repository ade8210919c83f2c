"""Baseline for the topics of documents."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch

FEWEST_DOCUMENTS = 10
"""Smallest number of documents by which a threshold of a single topic is chosen. Set by hand."""


def topic_scores(found: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Return ``test_micro_f1`` and ``test_macro_f1`` of found and true topics (N, K); a ratio without any is 0."""
    from sklearn.metrics import f1_score

    return {
        f"test_{average}_f1": float(f1_score(true, found, average=average, zero_division=0))
        for average in ("micro", "macro")
    }


def global_threshold(scores: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return one threshold for all topics (K,), the best one by micro-F1; 0 where there is too little to choose by."""
    from zoo.metrics.labels import best_threshold

    return np.full(true.shape[1], best_threshold(torch.from_numpy(scores), torch.from_numpy(true), default=0.0))


def topic_thresholds(scores: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return a threshold for each topic (K,), the best one by its F1; of topics of few documents the global one."""
    thresholds = global_threshold(scores, true)
    for k in np.flatnonzero(true.sum(0) >= FEWEST_DOCUMENTS):
        thresholds[k] = global_threshold(scores[:, k : k + 1], true[:, k : k + 1])[0]
    return thresholds


def choose_thresholds(scores: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, float]:
    """Choose the thresholds of scores (N, K): one of each topic, or a global one.

    Both are compared by the micro-F1 of each half of the rows with thresholds that are chosen on the other half, since
    thresholds of more numbers always fit the rows better that they are chosen on.

    Returns:
        Thresholds (K,) of the better kind, chosen on all rows, and its micro-F1 in that comparison.
    """
    even = np.arange(len(true)) % 2 == 0

    def micro_f1(choose: Any) -> float:
        found = np.zeros(true.shape, bool)
        for half in (even, ~even):
            found[half] = scores[half] > choose(scores[~half], true[~half])
        return topic_scores(found, true)["test_micro_f1"]

    values = {choose: micro_f1(choose) for choose in (global_threshold, topic_thresholds)}
    best = max(values, key=values.__getitem__)
    return best(scores, true), values[best]


def tfidf_svm_topics(model: Any, data: Any) -> dict[str, float]:
    """Linear support vector machines on TF-IDF of words, one for each topic against all other documents.

    C, whether pairs of words are counted too, and the kind of the thresholds are selected in validation, see
    ``choose_thresholds``.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.svm import LinearSVC

    from zoo.baselines.sentiment import TOKEN

    data.setup()
    parts = data.text_splits()
    true = {name: split.tensors[1].numpy().astype(np.int64) for name, split in data.splits.items()}
    best: tuple[float, dict[str, float]] = (-1.0, {})
    for words in (1, 2):
        tfidf = TfidfVectorizer(ngram_range=(1, words), token_pattern=TOKEN, sublinear_tf=True, min_df=2)
        x = {"train": tfidf.fit_transform(parts["train"].texts)}
        x |= {name: tfidf.transform(parts[name].texts) for name in ("val", "test")}
        for c in (0.1, 0.3, 1.0, 3.0, 10.0):
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", category=ConvergenceWarning)
                warnings.filterwarnings("ignore", message="Label .* is present in|Label not")  # a topic without rows
                svm = OneVsRestClassifier(LinearSVC(C=c)).fit(x["train"], true["train"])
            scores = {name: np.asarray(svm.decision_function(x[name])) for name in ("val", "test")}
            thresholds, value = choose_thresholds(scores["val"], true["val"])
            if value > best[0]:
                best = value, topic_scores(scores["test"] > thresholds, true["test"])
    return best[1]
