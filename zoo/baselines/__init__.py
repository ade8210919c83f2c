"""Baselines on a model's data, and measures: further metrics of the model itself.

Both take the trained model and its datamodule. A baseline returns metrics of another method, which is selected on the
validation split and evaluated once on the test split; of the model it uses the hyper-parameters alone, and what follows
from them. A measure returns metrics of the model. The grids of settings that baselines are selected from are set
by hand.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from zoo.baselines.captions import caption_scores, consensus_caption, constant_caption
from zoo.baselines.classification import coefficient_error, linear_regression, softmax_regression, solved, svc
from zoo.baselines.codes import neighbour_by_pca, neighbour_by_pixels, neighbour_error, pca
from zoo.baselines.completions import kneser_ney_completions, suggested_words
from zoo.baselines.documents import document_retrieval, lsa
from zoo.baselines.ecg import detected_beats, pca_of_beats, random_forest, template_distance
from zoo.baselines.everyday import everyday_translation
from zoo.baselines.hole_widths import biharmonic_by_width, filled_by_width
from zoo.baselines.intents import scope, tfidf_svm_scope
from zoo.baselines.measurement import Measure, Measurement
from zoo.baselines.ngrams import kneser_ney_model, witten_bell_model
from zoo.baselines.noise_levels import denoised_levels, noisy_input, nonlocal_means_of_level, wavelet_of_level
from zoo.baselines.restoration import (
    biharmonic,
    colour_scores,
    colourful,
    filled,
    grey_copy,
    linear_denoiser,
    median,
    nonlocal_means,
    readable_samples,
    squared_error_colours,
    total_variation,
    wavelet,
)
from zoo.baselines.sentiment import naive_bayes, negation, tfidf_logistic_regression
from zoo.baselines.sql import execution, nearest_question
from zoo.baselines.subjects import first_sentence, four_keywords, subject_rouge
from zoo.baselines.tagging import window_logistic_regression, word_pair_tags
from zoo.baselines.text_classes import recalls, tfidf_linear
from zoo.baselines.topics import tfidf_svm_topics
from zoo.baselines.translation import translation_memory, translation_scores
from zoo.errors import unknown

BASELINES: dict[str, Measure] = {
    "biharmonic": biharmonic,
    "biharmonic_by_width": biharmonic_by_width,
    "consensus_caption": consensus_caption,
    "constant_caption": constant_caption,
    "first_sentence": first_sentence,
    "four_keywords": four_keywords,
    "grey_copy": grey_copy,
    "kneser_ney": kneser_ney_model,
    "kneser_ney_5": partial(kneser_ney_completions, order=5),
    "linear_denoiser": linear_denoiser,
    "linear_regression": linear_regression,
    "lsa_2": partial(lsa, components=2),
    "lsa_10": partial(lsa, components=10),
    "lsa_50": partial(lsa, components=50),
    "median": median,
    "naive_bayes": naive_bayes,
    "nearest_question": nearest_question,
    "nearest_question_with_values": partial(nearest_question, with_values=True),
    "neighbour_by_colours_and_gradients": partial(consensus_caption, neighbours=1),
    "neighbour_by_pca": neighbour_by_pca,
    "neighbour_by_pixels": neighbour_by_pixels,
    "noisy_input": noisy_input,
    "nonlocal_means": nonlocal_means,
    "nonlocal_means_of_level": nonlocal_means_of_level,
    "pca": pca,
    "pca_64": partial(pca, components=64),
    "pca_100": partial(pca, components=100),
    "pca_of_beats": pca_of_beats,
    "random_forest": random_forest,
    "softmax_regression": softmax_regression,
    "squared_error_colours": squared_error_colours,
    "svc": svc,
    "translation_memory": translation_memory,
    "tfidf_keywords": partial(four_keywords, learned=False),
    "tfidf_linear": tfidf_linear,
    "tfidf_logistic_regression": tfidf_logistic_regression,
    "tfidf_svm_scope": tfidf_svm_scope,
    "tfidf_svm_topics": tfidf_svm_topics,
    "total_variation": total_variation,
    "template_distance": template_distance,
    "wavelet": wavelet,
    "wavelet_of_level": wavelet_of_level,
    "window_logistic_regression": window_logistic_regression,
    "witten_bell_5": partial(witten_bell_model, order=5),
    "word_pair_tags": word_pair_tags,
}
"""The baselines by name."""

MEASURES: dict[str, Measure] = {
    "captions": caption_scores,
    "coefficient_error": coefficient_error,
    "colourfulness": colourful,
    "colours": colour_scores,
    "completions": suggested_words,
    "denoised_levels": denoised_levels,
    "detected_beats": detected_beats,
    "everyday": everyday_translation,
    "execution": execution,
    "filled": filled,
    "filled_by_width": filled_by_width,
    "negation": negation,
    "neighbour_error": neighbour_error,
    "readable_samples": readable_samples,
    "retrieval": document_retrieval,
    "scope": scope,
    "solved": solved,
    "subject_rouge": subject_rouge,
    "text_classes": recalls,
    "translations": translation_scores,
}
"""The measures by name."""


def measure(kind: str, name: str, model: Any, data: Any) -> Measurement:
    """Run a baseline or a measure by name.

    Args:
        kind: ``"baseline"`` or ``"measure"``.
        name: One of ``BASELINES`` or ``MEASURES``.
        model: The trained model.
        data: Its datamodule.

    Raises:
        ValueError: If the name is unknown; the message names the nearest known one.
    """
    known = BASELINES if kind == "baseline" else MEASURES
    if name not in known:
        raise unknown(kind, name, known)
    found = known[name](model, data)
    return found if isinstance(found, Measurement) else Measurement(found)
