"""Beside translators: BLEU, and a translation memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from zoo.errors import needs


def score_translations(found: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Score translations by sacreBLEU (Post, 2018) over all references of each.

    Args:
        found: A translation of each source.
        references: The right translations of each source, one at least.

    Returns:
        ``test_bleu``, corpus BLEU in [0, 100] with case, 13a tokens and exponential smoothing; ``test_chrf``, chrF2 in
        [0, 100] (Popovic, 2015); ``test_exact``, the share that equals a reference.
    """
    sacrebleu = needs("sacrebleu", "text")
    most = max(map(len, references))
    streams = [[these[k] if k < len(these) else None for these in references] for k in range(most)]
    return {
        "test_bleu": sacrebleu.corpus_bleu(list(found), streams).score,
        "test_chrf": sacrebleu.corpus_chrf(list(found), streams).score,
        "test_exact": float(np.mean([text in these for text, these in zip(found, references)])),
    }


def translation_scores(model: Any, data: Any) -> dict[str, float]:
    """BLEU of the model's translations, by beam search, of the test sources against all their references."""
    sources, references = data.references()
    return score_translations(model.translate(sources), references)


def translation_memory(model: Any, data: Any) -> dict[str, float]:
    """BLEU of the translation of the most similar training sentence, by the cosine of TF-IDF of letters.

    The letters are taken one to four at a time within words, or one to five or two to six, as does best in validation.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    known, answers = data.sentences("train")

    def recalled(span: tuple[int, int], asked: Sequence[str]) -> list[str]:
        weighting = TfidfVectorizer(analyzer="char_wb", ngram_range=span, min_df=2, sublinear_tf=True, dtype=np.float32)
        memory, queries = weighting.fit_transform(known), weighting.transform(asked)
        nearest = [(queries[k : k + 50] @ memory.T).argmax(1) for k in range(0, len(asked), 50)]
        return [answers[int(row)] for rows in nearest for row in np.asarray(rows).ravel()]

    def score(span: tuple[int, int], part: str, limit: int) -> dict[str, float]:
        asked, references = data.references(part, limit)
        return score_translations(recalled(span, asked), references)

    best = max(((1, 4), (1, 5), (2, 6)), key=lambda span: score(span, "val", 500)["test_bleu"])
    return score(best, "test", 2_000)
