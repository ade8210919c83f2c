"""Scores of captions, and rivals without a network: a constant caption and those of similar pictures."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Any

import numpy as np
import torch

from datamodules.images.reading import resize
from datamodules.text.captions import caption_words
from zoo.baselines.measurement import Measurement
from zoo.errors import needs

ORDERS = (1, 2, 3, 4)
"""Orders of the n-grams of BLEU."""
SIDE = 56
"""Height and width to which pictures are reduced before their gradients and colours are compared. Set by hand."""
ASKED = 250
"""Number of test captions that are asked for their picture, one caption of each of so many. Set by hand."""
SHOWN = 50
"""Number of captions in a report."""
TIMED = 20
"""Number of pictures that are captioned one by one to measure the time."""


def score_captions(captions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Score captions of pictures against all references of each.

    Words are in lower case and without punctuation, see ``datamodules.text.captions.caption_words``.

    Args:
        captions: A caption of each picture.
        references: Reference captions of each picture, at least one.

    Returns:
        ``test_bleu_1`` to ``test_bleu_4``, corpus BLEU (Papineni et al., 2002) of ``nltk`` without smoothing, with the
        reference length closest to that of the caption, in percent; ``test_cider``, CIDEr-D (Vedantam, Zitnick &
        Parikh, 2015) of ``pycocoevalcap``, with the document frequencies of these references and without its usual
        factor of 100; ``test_rouge_l``, ROUGE-L (Lin, 2004) of ``pycocoevalcap`` in percent. METEOR is not among them:
        it needs WordNet or Java.
    """
    bleu = needs("nltk.translate.bleu_score", "caption")
    cider, rouge = needs("pycocoevalcap.cider.cider", "caption"), needs("pycocoevalcap.rouge.rouge", "caption")
    found = [caption_words(text) for text in captions]
    wanted = [[caption_words(text) for text in texts] for texts in references]
    weights = [tuple([1 / n] * n) for n in ORDERS]
    joined = {row: [" ".join(words)] for row, words in enumerate(found)}
    known = {row: [" ".join(words) for words in texts] for row, texts in enumerate(wanted)}
    scores = [100 * float(value) for value in _corpus_bleu(bleu, wanted, found, weights)]
    return {
        **{f"test_bleu_{n}": score for n, score in zip(ORDERS, scores)},
        "test_cider": float(cider.Cider().compute_score(known, joined)[0]),
        "test_rouge_l": 100 * float(rouge.Rouge().compute_score(known, joined)[0]),
    }


def _corpus_bleu(bleu: Any, wanted: Any, found: Any, weights: Any) -> Any:
    import warnings

    with warnings.catch_warnings():  # that there is no common n-gram is in the score
        warnings.simplefilter("ignore", UserWarning)
        return bleu.corpus_bleu(wanted, found, weights)


def caption_scores(model: Any, data: Any) -> Measurement:
    """Score the model's captions of the test pictures, by beam search, and how well its likelihood tells pictures.

    For retrieval the first caption of each of ``ASKED`` test pictures, evenly spaced in the list, ranks all test
    pictures by its probability given each.

    Returns:
        The scores of ``score_captions``; ``test_recall_1`` and ``test_recall_10``, the percentage of captions for which
        the own picture is among the first 1 or 10; ``test_seconds_a_caption``, the mean time of a caption of a single
        picture. The report shows the first captions with a reference.
    """
    pictures, references = pictures_of(data, "test"), data.references("test")
    found = model.caption(pictures)
    captions = [each.text for each in found]
    start = time.perf_counter()
    timed = pictures[:TIMED]
    for picture in timed:
        model.caption(picture[None])
    seconds = (time.perf_counter() - start) / len(timed)
    chosen = np.unique(np.linspace(0, len(pictures) - 1, min(ASKED, len(pictures))).round().astype(int))
    likelihood = model.log_likelihood(pictures, [references[row][0] for row in chosen])
    metrics = {
        **score_captions(captions, references),
        **recalls_of(likelihood, torch.from_numpy(chosen)),
        "test_seconds_a_caption": seconds,
    }
    rows = [
        f"{each.probability:.2f}  {each.text}  |  {texts[0]}" for each, texts in list(zip(found, references))[:SHOWN]
    ]
    return Measurement(metrics, "\n".join(rows))


def recalls_of(likelihood: torch.Tensor, own: torch.Tensor) -> dict[str, float]:
    """Return ``test_recall_1`` and ``test_recall_10`` in percent.

    Args:
        likelihood: Log-probabilities (N, M) of M captions given each of N pictures.
        own: Number (M,) of the picture of each caption. Of pictures of equal probability the own one is the last.
    """
    values = likelihood.gather(0, own[None])
    rank = (~(likelihood < values)).sum(0)  # NaN is not among the first
    return {f"test_recall_{k}": 100 * float((rank <= k).double().mean()) for k in (1, 10)}


def pictures_of(data: Any, part: str) -> torch.Tensor:
    """Return the pictures (N, 3, H, W) of a split in natural units."""
    data.setup()
    return data.to_natural_units(data.splits[part].column(0))


# ---- rivals ----


def constant_caption(model: Any, data: Any) -> Measurement:
    """Scores of the one training caption that has the highest BLEU-4 on the validation pictures, given to each picture.

    Returns:
        The scores of ``score_captions``; the report is the caption.
    """
    chosen = _best_constant(data.references("train"), data.references("val"))
    references = data.references("test")
    return Measurement(score_captions([chosen] * len(references), references), chosen)


def _best_constant(candidates: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> str:
    """Return the candidate with the highest corpus BLEU-4 as the caption of every picture, the first of equal ones.

    A candidate without words is ignored.

    For a constant caption the clipped matches of an n-gram are the numbers of pictures with a reference that has it at
    least once, twice and so on, so that those are counted once for all candidates.
    """
    pictures: Counter[tuple[tuple[str, ...], int]] = Counter()
    lengths = []
    for texts in references:
        most: Counter[tuple[str, ...]] = Counter()
        for words in map(caption_words, texts):
            most |= Counter(chain.from_iterable(_ngrams(words, n) for n in ORDERS))
        pictures.update((gram, k) for gram, count in most.items() for k in range(1, count + 1))
        lengths.append([len(caption_words(text)) for text in texts])

    @cache
    def brevity(length: int) -> float:
        closest = sum(min(own, key=lambda other: (abs(other - length), other)) for own in lengths)
        return min(0.0, 1 - closest / (length * len(lengths)))

    def score(words: tuple[str, ...]) -> float:
        total = brevity(len(words))
        for n in ORDERS:
            counts = Counter(_ngrams(words, n))
            matches = sum(pictures[gram, k] for gram, count in counts.items() for k in range(1, count + 1))
            if not matches:
                return -np.inf
            total += np.log(matches / (len(references) * (len(words) - n + 1))) / len(ORDERS)
        return total

    written = (tuple(caption_words(text)) for text in chain.from_iterable(candidates))
    distinct = list(dict.fromkeys(words for words in written if words))
    return " ".join(distinct[int(np.argmax([score(words) for words in distinct]))])


def _ngrams(words: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return list(zip(*(words[k:] for k in range(n))))


def consensus_caption(model: Any, data: Any, neighbours: int = 60) -> dict[str, float]:
    """Scores of the consensus caption of the most similar training pictures (Devlin et al., 2015).

    Pictures are compared by ``picture_features``. Of the captions of the ``neighbours`` nearest pictures the one with
    the highest mean similarity to the others is chosen; the similarity is the cosine of their TF-IDF of n-grams of
    words, with n from 1 to 1, 2 or 4 as selected by BLEU-4 on the validation pictures.

    Args:
        model: The model, which is not used.
        data: The datamodule.
        neighbours: Number of pictures; with 1 the caption is one of those of the nearest picture.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    known = [[" ".join(caption_words(text)) for text in texts] for texts in data.references("train")]
    texts = list(chain.from_iterable(known))
    ends = np.cumsum([0, *map(len, known)])
    features = {part: picture_features(pictures_of(data, part).numpy()) for part in ("train", "val", "test")}
    nearest = {
        part: np.argsort(-(features[part] @ features["train"].T), axis=1, kind="stable")[:, :neighbours]
        for part in ("val", "test")
    }

    def answers(longest: int, part: str) -> list[str]:
        vectors = TfidfVectorizer(ngram_range=(1, longest), token_pattern=r"\S+").fit_transform(texts)
        found = []
        for rows in nearest[part]:
            candidates = np.concatenate([np.arange(ends[row], ends[row + 1]) for row in rows])
            own = vectors[candidates]
            found.append(texts[candidates[np.asarray(own @ own.sum(0).T).ravel().argmax()]])
        return found

    best = max((1, 2, 4), key=lambda n: score_captions(answers(n, "val"), data.references("val"))["test_bleu_4"])
    return score_captions(answers(best, "test"), data.references("test"))


def picture_features(pictures: np.ndarray) -> np.ndarray:
    """Return unit vectors (N, D) of colours and gradients of pictures (N, 3, H, W) in [0, 1], float32.

    Of pictures reduced to ``SIDE`` they are the square roots of histograms of oriented gradients (Dalal & Triggs,
    2005), of 9 orientations in 7 x 7 cells, and of histograms of 4 x 4 x 4 colours in the quarters of a picture, both
    with the same weight.
    """
    hog = needs("skimage.feature", "image").hog
    found, half = [], SIDE // 2
    for picture in torch.from_numpy(pictures):
        image = resize(picture, SIDE, SIDE).permute(1, 2, 0).numpy()
        gradients = hog(image, 9, (SIDE // 7, SIDE // 7), (1, 1), channel_axis=2)
        levels = (np.clip(image, 0, 0.999) * 4).astype(np.int64) @ np.array([16, 4, 1])
        quarters = [levels[top : top + half, left : left + half] for top in (0, half) for left in (0, half)]
        colours = np.concatenate([np.bincount(part.ravel(), minlength=64) for part in quarters])
        parts = [np.sqrt(np.abs(values).astype(np.float64)) for values in (gradients, colours)]
        found.append(np.concatenate([values / max(np.linalg.norm(values), 1e-12) for values in parts]) / np.sqrt(2))
    return np.asarray(found, np.float32)
