"""Translation of sentences as people write them: what is kept of numbers, names and capitals, and single words."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import Any

import numpy as np

from zoo.baselines.everyday_sentences import EVERYDAY
from zoo.baselines.measurement import Measurement
from zoo.baselines.translation import score_translations

NAME = re.compile(r"[A-ZÀ-Þ][\w-]*\w")


def everyday_translation(model: Any, data: Any) -> Measurement:
    """Measure translations of 200 sentences written for this project, 60 of them with numbers and 60 with names.

    Args:
        model: A translator between English and French.
        data: Its datamodule, which says the direction.

    Returns:
        ``test_everyday_numbers``, the share of sentences with numbers whose digits are all in the translation;
        ``test_everyday_names``, the share of sentences with names whose names are all in it;
        ``test_everyday_capitals``, the share of those in capitals whose translation is the reference, in capitals too;
        ``test_everyday_words``, the share of single words translated as in the reference, up to case and punctuation;
        ``test_everyday_repeats``, the share of all sentences with a phrase of two words or
        more three times; ``test_everyday_bleu``, over all. The report shows each sentence with its translation.
    """
    translations: dict[str, list[str]] = {}
    sources: dict[str, list[str]] = {}
    references: dict[str, list[str]] = {}
    for kind, pairs in EVERYDAY.items():
        sides = [list(side) for side in zip(*pairs)]
        sources[kind], references[kind] = sides if data.source == "eng" else sides[::-1]
        translations[kind] = model.translate(sources[kind])
    wanted_capitals = [_bare(text) for text in references["capitals"]]
    numbers = [_has_numbers(*each) for each in zip(sources["numbers"], translations["numbers"])]
    names = [_has_names(*each) for each in zip(sources["names"], references["names"], translations["names"])]
    capitals = [
        text.isupper() and _bare(text) == wanted for text, wanted in zip(translations["capitals"], wanted_capitals)
    ]
    words = [_bare(text) == _bare(wanted) for text, wanted in zip(translations["words"], references["words"])]
    everything = [text for kind in translations for text in translations[kind]]
    scores = score_translations(everything, [[text] for kind in references for text in references[kind]])
    rows = [
        f"{kind:10}  {source}  ->  {text}"
        for kind in translations
        for source, text in zip(sources[kind], translations[kind])
    ]
    metrics = {
        "test_everyday_numbers": float(np.mean(numbers)),
        "test_everyday_names": float(np.mean(names)),
        "test_everyday_capitals": float(np.mean(capitals)),
        "test_everyday_words": float(np.mean(words)),
        "test_everyday_repeats": float(np.mean([has_repeats(text) for text in everything])),
        "test_everyday_bleu": scores["test_bleu"],
    }
    return Measurement(metrics, "\n".join(rows))


def has_repeats(text: str, times: int = 3, shortest: int = 2) -> bool:
    """Return whether a text has a phrase of ``shortest`` words or more ``times`` times."""
    words = re.findall(r"\w+", text.lower())
    counts = Counter(tuple(words[at : at + shortest]) for at in range(len(words) - shortest + 1))
    return max(counts.values(), default=0) >= times


def _has_numbers(source: str, translation: str) -> bool:
    return not Counter(re.findall(r"\d+", source)) - Counter(re.findall(r"\d+", translation))


def _has_names(source: str, reference: str, translation: str) -> bool:
    """Return whether the words with a capital letter that source and reference share are in the translation."""
    shared = set(NAME.findall(source)) & set(NAME.findall(reference))
    return bool(shared) and all(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", translation) for name in shared)


def _bare(text: str) -> str:
    kept = unicodedata.normalize("NFC", re.sub(r"[^\w]", "", text))
    return kept.casefold()
