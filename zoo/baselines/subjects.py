"""ROUGE of the subject lines of e-mails, and baselines without a network."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from datamodules.text.sentences import split_sentences

KEYWORDS = 4
"""Number of keywords of a subject: the mean length of a training subject, in words."""
_WORD = re.compile(r"[^\W_]{2,}")


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


def four_keywords(model: Any, data: Any, part: str = "test", *, learned: bool = True) -> dict[str, float]:
    """Scores of four words of each e-mail as its subject, in order of appearance; see ``score_subjects``.

    English stop words are no keywords. Without ``learned`` they are the words of the highest TF-IDF f r, where f is the
    number of times that a word is in the e-mail, and r = 1 + log((N + 1) / (n + 1)) if n of N training e-mails have it.
    With it they are the words of the highest

        sqrt(f) r p / (1 + i / 20)

    with i the number of words before the first place of the word, and p = (s + 0.1) / (n + 2) if s of the n e-mails
    have it in their subject too. The form was chosen on the validation split, by hand.

    Args:
        model: The model, which is not used.
        data: The datamodule.
        part: The split that is scored.
        learned: Whether the training subjects and the place in the e-mail count.
    """
    seen: Counter[str] = Counter()
    chosen: Counter[str] = Counter()
    known = list(zip(*data.sentences("train")))
    for text, subject in known:
        distinct = set(_words(text))
        seen.update(distinct)
        chosen.update(distinct & set(_words(subject)))
    texts, subjects = data.sentences(part)
    found = []
    for text in texts:
        words = _words(text)
        place: dict[str, int] = {}
        for number, word in enumerate(words):
            place.setdefault(word, number)
        scores = {}
        for word, count in Counter(words).items():
            rarity = math.log((len(known) + 1) / (seen[word] + 1)) + 1
            share = (chosen[word] + 0.1) / (seen[word] + 2)
            weight = count**0.5 * share / (1 + place[word] / 20) if learned else count
            scores[word] = weight * rarity
        best = sorted(scores, key=lambda word: (-scores[word], place[word]))[:KEYWORDS]
        found.append(" ".join(sorted(best, key=place.__getitem__)))
    return score_subjects(found, subjects)


def _words(text: str) -> list[str]:
    """Return the words of a text in lower case, without English stop words."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return [word for word in _WORD.findall(text.lower()) if word not in ENGLISH_STOP_WORDS]


def _first_sentence(text: str) -> str:
    return next((sentence for sentence, _ in split_sentences(text) if sentence.strip()), "")
