"""Baselines for slots and intents of utterances."""

from __future__ import annotations

import copy
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from zoo.metrics.chunks import count_chunks

Tags = list[list[str]]
"""The tags of each of several utterances."""

EDGE = "<edge>"
"""Word before the first and after the last word of an utterance."""
WINDOW = 2
"""Number of words on either side that ``window_features`` sees. Set by hand."""
AFFIX = 4
"""Largest number of characters of a prefix or suffix. Set by hand."""
RARE = 2
"""Number of words with a feature below which it is not used. Set by hand."""


def slot_f1(predicted: Tags, true: Tags) -> float:
    """Return the F1 of slots, see ``zoo.metrics.ChunkF1``."""
    correct, found, wanted = count_chunks(predicted, true)
    return 2 * correct / max(1, found + wanted)


def _measured(data: Any, tags: Tags) -> dict[str, float]:
    """Return the metrics of tags of the test split together with the intents of ``svm_intents``."""
    rows = data.utterances()["test"]
    right = np.array(svm_intents(data)) == [row.intent for row in rows]
    exact = [found == row.tags for found, row in zip(tags, rows, strict=True)]
    return {
        "test_slot_f1": slot_f1(tags, [row.tags for row in rows]),
        "test_intent_accuracy": float(right.mean()),
        "test_sentence_accuracy": float((right & exact).mean()),
    }


def svm_intents(data: Any) -> list[str]:
    """Return the intents of the test split by a linear support vector machine on TF-IDF of words and pairs of words.

    C is selected by validation accuracy.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    parts = {
        split: ([" ".join(row.words) for row in rows], [row.intent for row in rows])
        for split, rows in data.utterances().items()
    }
    fitted = [
        make_pipeline(
            TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\S+", sublinear_tf=True), LinearSVC(C=c, random_state=0)
        ).fit(*parts["train"])
        for c in (0.3, 1, 3, 10)
    ]
    best = max(fitted, key=lambda pipeline: pipeline.score(*parts["val"]))
    return best.predict(parts["test"][0]).tolist()


def word_pair_tags(model: Any, data: Any) -> dict[str, float]:
    """The most frequent tag of the previous word and a word, that of the word alone, or ``O``; and ``svm_intents``."""
    counts: dict[Any, Counter[str]] = defaultdict(Counter)
    for row in data.utterances()["train"]:
        for before, word, tag in zip([EDGE, *row.words], row.words, row.tags):
            counts[before, word][tag] += 1
            counts[word][tag] += 1
    best = {key: max(found, key=lambda tag: (found[tag], tag)) for key, found in counts.items()}
    tags = [
        [best.get((before, word), best.get(word, "O")) for before, word in zip([EDGE, *row.words], row.words)]
        for row in data.utterances()["test"]
    ]
    return _measured(data, tags)


def window_features(words: Sequence[str]) -> list[list[str]]:
    """Return the features of each word of an utterance: the words around it, pairs of them, prefixes and suffixes."""
    padded = [EDGE] * WINDOW + list(words) + [EDGE] * WINDOW
    found = []
    for place, word in enumerate(words, WINDOW):
        near = [f"{k}={padded[place + k]}" for k in range(-WINDOW, WINDOW + 1)]
        pairs = [f"{k},{k + 1}={padded[place + k]} {padded[place + k + 1]}" for k in range(-WINDOW, WINDOW)]
        affixes = [f"{kind}={part}" for k in range(1, AFFIX + 1) for kind, part in (("^", word[:k]), ("$", word[-k:]))]
        shape = "".join("0" if letter.isdigit() else "a" if letter.isalpha() else letter for letter in word)
        found.append([*near, *pairs, *affixes, f"shape={shape}"])
    return found


class _WindowTagger:
    """Logistic regression of the tag of a word on ``window_features`` and the previous tag, applied from left to right.

    Args:
        rows: Training utterances.
    """

    def __init__(self, rows: Sequence[Any]) -> None:
        from sklearn.feature_extraction.text import CountVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import OneHotEncoder

        self.words = CountVectorizer(analyzer=lambda features: features, min_df=RARE, binary=True)
        self.before = OneHotEncoder(handle_unknown="ignore")
        self.regression = LogisticRegression(max_iter=100, warm_start=True)
        before = [[tag] for row in rows for tag in [EDGE, *row.tags[:-1]]]
        seen = self.words.fit_transform(self._features(rows))
        self.x = self._joined(seen, self.before.fit_transform(before))
        self.y = [tag for row in rows for tag in row.tags]

    @staticmethod
    def _features(rows: Sequence[Any]) -> list[list[str]]:
        return [features for row in rows for features in window_features(row.words)]

    @staticmethod
    def _joined(seen: Any, before: Any) -> Any:
        from scipy.sparse import hstack

        return hstack([seen, before], format="csr")

    def fit(self, c: float) -> Callable[[Sequence[Any]], Tags]:
        """Fit with a regularisation C, from the last coefficients, and return what tags utterances."""
        import warnings

        from sklearn.exceptions import ConvergenceWarning

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the number of iterations is a regularisation too
            self.regression.set_params(C=c).fit(self.x, self.y)
        fitted = copy.copy(self.regression)
        fitted.coef_, fitted.intercept_ = fitted.coef_.copy(), fitted.intercept_.copy()

        def tag(rows: Sequence[Any]) -> Tags:
            seen = self.words.transform(self._features(rows))
            starts = np.cumsum([0, *(len(row.words) for row in rows)])[:-1]
            found: Tags = [[] for _ in rows]
            for place in range(max(len(row.words) for row in rows)):
                chosen = [k for k, row in enumerate(rows) if len(row.words) > place]
                before = [[found[k][-1] if place else EDGE] for k in chosen]
                x = self._joined(seen[starts[chosen] + place], self.before.transform(before))
                for k, name in zip(chosen, fitted.predict(x).tolist()):
                    found[k].append(name)
            return found

        return tag


def window_logistic_regression(model: Any, data: Any) -> dict[str, float]:
    """Logistic regression of each tag on the words around it and the previous tag, and ``svm_intents``.

    The features are those of ``window_features``, and utterances are tagged from left to right with the tags predicted
    so far. C is selected by the F1 of slots in validation.
    """
    parts = data.utterances()
    tagger = _WindowTagger(parts["train"])
    fitted = [tagger.fit(c) for c in (1, 10, 100)]
    true = [row.tags for row in parts["val"]]
    best = max(fitted, key=lambda tag: slot_f1(tag(parts["val"]), true))
    return _measured(data, best(parts["test"]))
