"""Baseline for the translators, a translation memory, and their scores by sacreBLEU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from zoo.errors import needs


def score_translations(translations: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Score translations by sacreBLEU (Post, 2018) over all references of each.

    Args:
        translations: A translation of each source.
        references: Reference translations of each source, at least one.

    Returns:
        ``test_bleu``, case-sensitive corpus BLEU in [0, 100] with 13a tokenization and exponential smoothing;
        ``test_chrf``, chrF2 in [0, 100] (Popovic, 2015); ``test_exact``, the share equal to a reference.
    """
    sacrebleu = needs("sacrebleu", "text")
    most = max(map(len, references))
    streams = [[alternatives[k] if k < len(alternatives) else None for alternatives in references] for k in range(most)]
    return {
        "test_bleu": sacrebleu.corpus_bleu(list(translations), streams).score,
        "test_chrf": sacrebleu.corpus_chrf(list(translations), streams).score,
        "test_exact": float(np.mean([text in alternatives for text, alternatives in zip(translations, references)])),
    }


def translation_scores(model: Any, data: Any) -> dict[str, float]:
    """Scores of the model's translations of the test sources, by beam search, against all references."""
    sources, references = data.references()
    return score_translations(model.translate(sources), references)


def translation_memory(model: Any, data: Any) -> dict[str, float]:
    """Scores of a translation memory, which returns the translation of the most similar training sentence.

    The similarity is the cosine of the TF-IDF of character n-grams within words; n from 1 to 4, 1 to 5 or 2 to 6 is
    selected by BLEU on 500 validation sources. The test uses up to 2,000 sources.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    known, stored = data.sentences("train")

    def look_up(ngram_range: tuple[int, int], sources: Sequence[str]) -> list[str]:
        weighting = TfidfVectorizer(
            analyzer="char_wb", ngram_range=ngram_range, min_df=2, sublinear_tf=True, dtype=np.float32
        )
        memory, queries = weighting.fit_transform(known), weighting.transform(sources)
        nearest = [(queries[k : k + 50] @ memory.T).argmax(1) for k in range(0, len(sources), 50)]
        return [stored[int(row)] for rows in nearest for row in np.asarray(rows).ravel()]

    def score(ngram_range: tuple[int, int], part: str, limit: int) -> dict[str, float]:
        sources, references = data.references(part, limit)
        return score_translations(look_up(ngram_range, sources), references)

    best = max(((1, 4), (1, 5), (2, 6)), key=lambda ngram_range: score(ngram_range, "val", 500)["test_bleu"])
    return score(best, "test", 2_000)
