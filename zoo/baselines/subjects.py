"""ROUGE of the subject lines of e-mails, and baselines without a network."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from datamodules.text.sentences import split_sentences

KEYWORDS = 4
"""Number of keywords of a subject, about the mean length of a training subject."""
_WORD = re.compile(r"[^\W\d_]{2,}")


def score_subjects(subjects: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Score subjects by ROUGE (Lin, 2004) of torchmetrics, the mean F1 over subjects, without stemming.

    Words are runs of the letters a to z and digits, in lower case.

    Args:
        subjects: Subjects that were found.
        references: The subject that the author of each e-mail wrote.

    Returns:
        ``test_rouge1`` and ``test_rouge2``, F1 of words and of pairs of adjacent words, and ``test_rougeL``, F1 of the
        longest common subsequence of words, in percent.
    """
    from torchmetrics.functional.text import rouge_score

    keys = ("rouge1", "rouge2", "rougeL")
    found = rouge_score(list(subjects), list(references), rouge_keys=keys)
    return {f"test_{key}": 100 * float(found[f"{key}_fmeasure"]) for key in keys}


def subject_rouge(model: Any, data: Any) -> dict[str, float]:
    """Scores of the model's subjects of the test e-mails, by beam search; see ``score_subjects``."""
    texts, subjects = data.sentences("test")
    return score_subjects(model.translate(texts), subjects)


def first_sentence(model: Any, data: Any, part: str = "test") -> dict[str, float]:
    """Scores of the first sentence of each e-mail as its subject, see ``score_subjects``.

    Args:
        model: The model, which is not used.
        data: The datamodule.
        part: The split that is scored.
    """
    texts, subjects = data.sentences(part)
    return score_subjects([_first_sentence(text) for text in texts], subjects)


def four_keywords(model: Any, data: Any, part: str = "test") -> dict[str, float]:
    """Scores of the four words of each e-mail with the highest TF-IDF as its subject, in order of appearance.

    Inverse document frequencies are those of the training e-mails; English stop words are no keywords.

    Args:
        model: The model, which is not used.
        data: The datamodule.
        part: The split that is scored.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    weighting = TfidfVectorizer(stop_words="english", token_pattern=_WORD.pattern)
    weighting.fit(data.sentences("train")[0])
    texts, subjects = data.sentences(part)
    names, weights = weighting.get_feature_names_out(), weighting.transform(texts)
    found = []
    for row, text in enumerate(texts):
        columns, values = weights[row].indices, weights[row].data
        best = {names[column] for column in columns[np.argsort(-values, kind="stable")[:KEYWORDS]]}
        words = dict.fromkeys(word for word in _WORD.findall(text.lower()) if word in best)
        found.append(" ".join(words))
    return score_subjects(found, subjects)


def _first_sentence(text: str) -> str:
    return next((sentence for sentence, _ in split_sentences(text) if sentence.strip()), "")
