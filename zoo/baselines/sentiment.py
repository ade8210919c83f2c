"""Baselines for the classification of sentiment, and accuracy on sentences whose sentiment a negation reverses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

Sentence = tuple[str, str]
"""A text and its label, ``positive`` or ``negative``."""

EXAMPLES: list[Sentence] = [
    ("I love this car!", "positive"),
    ("I am not sure I love this car!", "negative"),
    ("I don't think its a bad car at all!", "positive"),
]

PATTERNS = (
    ("What a {good} {noun}!", "positive"),
    ("What a {bad} {noun}!", "negative"),
    ("I don't think this is a {bad} {noun} at all!", "positive"),
    ("I am not sure this is a {good} {noun}.", "negative"),
    ("This {noun} is not {bad}.", "positive"),
    ("This {noun} is not {good}.", "negative"),
    ("Nobody could say that the {noun} was {bad}.", "positive"),
    ("I would not call it a {good} {noun}.", "negative"),
    ("I did not find the {noun} {bad}.", "positive"),
    ("The {noun} isn't {good} at all.", "negative"),
)
WORDS = {
    "good": ("good", "great", "funny", "interesting", "enjoyable"),
    "bad": ("bad", "boring", "dull", "awful", "stupid"),
    "noun": ("film", "movie", "car", "story"),
}

ASIDE_PATTERNS = (
    ("There is nothing {bad} about this {noun}.", "positive"),
    ("There is nothing {good} about this {noun}.", "negative"),
    ("No one will think that the {noun} is {bad}.", "positive"),
    ("It can't be said that the {noun} is {good}.", "negative"),
    ("The {noun} was never {bad}.", "positive"),
    ("It is hardly a {good} {noun}.", "negative"),
)
ASIDE_WORDS = {
    "good": ("charming", "clever", "moving", "entertaining"),
    "bad": ("terrible", "tedious", "ridiculous", "weak"),
    "noun": ("book", "show", "song", "script"),
}

HELD_OUT_PATTERNS = (
    ("Far from being {bad}, the {noun} kept us awake all night.", "positive"),
    ("Far from being {good}, the {noun} put us to sleep.", "negative"),
    ("At no point is the {noun} {bad}.", "positive"),
    ("Not once does the {noun} become {good}.", "negative"),
    ("Neither the {noun} nor its ending is {bad}.", "positive"),
    ("Neither the {noun} nor its ending is {good}.", "negative"),
)
HELD_OUT_WORDS = {
    "good": ("delightful", "touching", "witty", "gripping"),
    "bad": ("dreary", "pointless", "annoying", "lame"),
    "noun": ("play", "novel", "concert", "game"),
}

TOKEN = r"\w+(?:'\w+)?|[^\w\s]"
"""Regular expression of a token: a word with its contraction, or a punctuation mark."""


def fill_patterns(patterns: Sequence[Sentence], words: Mapping[str, Sequence[str]]) -> list[Sentence]:
    """Return the sentences of each pattern with each noun and each adjective of the quality it names."""
    found = []
    for pattern, label in patterns:
        quality = "good" if "{good}" in pattern else "bad"
        for word, noun in product(words[quality], words["noun"]):
            found.append((pattern.format(**{quality: word, "noun": noun}), label))
    return found


def negation_sentences() -> dict[str, list[Sentence]]:
    """Return sets of sentences by name, half of them positive; four in five of the first contain a negation.

    ``negation`` has the three examples and 200 sentences, ``negation_aside`` 96 sentences with other patterns and other
    words; choices may be based on both. ``negation_held_out`` has 96 sentences with patterns and words of neither,
    which no choice is based on.
    """
    return {
        "negation": EXAMPLES + fill_patterns(PATTERNS, WORDS),
        "negation_aside": fill_patterns(ASIDE_PATTERNS, ASIDE_WORDS),
        "negation_held_out": fill_patterns(HELD_OUT_PATTERNS, HELD_OUT_WORDS),
    }


def _negation_accuracy(classify: Callable[[list[str]], Sequence[str]]) -> dict[str, float]:
    """Return the accuracy on each set of ``negation_sentences``."""
    accuracies = {}
    for name, sentences in negation_sentences().items():
        predicted = classify([text for text, _ in sentences])
        correct = [found == label for found, (_, label) in zip(predicted, sentences)]
        accuracies[f"test_{name}_accuracy"] = float(np.mean(correct))
    return accuracies


def negation(model: Any, data: Any) -> dict[str, float]:
    """Accuracy of the model on sentences with a negation, see ``negation_sentences``."""
    return _negation_accuracy(lambda texts: [found.label for found in model.classify(texts)])


def _select_pipeline(data: Any, candidates: Sequence[Any]) -> dict[str, float]:
    """Fit pipelines on the training texts, and return the test accuracy of the one best in validation."""
    parts, names = data.text_splits(), np.array(data.class_names)
    fitted = [pipeline.fit(parts["train"].texts, parts["train"].labels) for pipeline in candidates]
    best = max(fitted, key=lambda pipeline: pipeline.score(parts["val"].texts, parts["val"].labels))
    return {
        "test_accuracy": float(best.score(parts["test"].texts, parts["test"].labels)),
        **_negation_accuracy(lambda texts: names[best.predict(texts)].tolist()),
    }


def tfidf_logistic_regression(model: Any, data: Any) -> dict[str, float]:
    """Logistic regression on TF-IDF of unigrams and bigrams; C is selected by validation accuracy."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    return _select_pipeline(
        data,
        [
            make_pipeline(
                TfidfVectorizer(ngram_range=(1, 2), token_pattern=TOKEN, sublinear_tf=True),
                LogisticRegression(C=c, max_iter=500),
            )
            for c in (1, 4, 16, 64)
        ],
    )


def naive_bayes(model: Any, data: Any) -> dict[str, float]:
    """Multinomial naive Bayes on the presence of unigrams and bigrams; alpha is selected by validation accuracy."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.pipeline import make_pipeline

    return _select_pipeline(
        data,
        [
            make_pipeline(CountVectorizer(ngram_range=(1, 2), token_pattern=TOKEN, binary=True), MultinomialNB(alpha=a))
            for a in (0.1, 0.3, 1.0, 3.0)
        ],
    )
