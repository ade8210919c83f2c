"""Beside networks of heart beats: what learns the same from the same numbers, and what detected R peaks cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from datamodules.ecg.beats import beats_of
from zoo.baselines.measurement import Measurement
from zoo.metrics.ec57 import CLASSES, EC57, ec57_scores, matched_labels
from zoo.tasks.ecg_annotation import beat_inputs

REPORTED = ("macro_f1", "accuracy", "jk_index", "n_f1", "s_f1", "v_f1", "f_f1")
ROWS_AT_A_TIME = 4_096
STEP = 8
"""Samples of a window that a forest sees one number of, their mean: 22.5 numbers a second."""
UNLIKELY = -20.0
"""Logarithm of the probability of what no tree says."""


def _batches(data: Any, split: str) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a split in order, as the model sees them."""
    data.setup()
    part = data.splits[split]
    rows = torch.arange(len(part.groups)) if part.rows is None else part.rows
    for piece in rows.split(ROWS_AT_A_TIME):
        yield data.decode_batch(tuple(tensor.index_select(0, piece) for tensor in part.stored))


class _Rows(NamedTuple):
    """Beats as a forest sees them."""

    x: np.ndarray
    y: np.ndarray
    record: np.ndarray
    shape: torch.Tensor
    timing: torch.Tensor


def _rows(data: Any, split: str) -> _Rows:
    """Return for each beat of a split the numbers a forest sees, its class, its record, and what it is alike by."""
    from zoo.nn.ecg import correlation, divide_by_amplitude, relative_rhythm
    from zoo.nn.kernel_smoothing import shape_features, timing_features

    found, classes, records, seen, times = [], [], [], [], []
    for x, y, rr, rhythm, amplitude, template, _, record in _batches(data, split):
        level = x - x.median(2, keepdim=True).values
        shapes = [divide_by_amplitude(part, amplitude) for part in (level, template)]
        coarse = [shape.unflatten(2, (-1, STEP)).mean(3).flatten(1) for shape in (shapes[0], shapes[0] - shapes[1])]
        parts = [*coarse, correlation(x, template), relative_rhythm(rr, data.spec["rr_around"]), rhythm]
        found.append(torch.cat(parts, 1).numpy())
        classes.append(y.numpy())
        records.append(record.numpy())
        seen.append(shape_features(x, amplitude))
        times.append(timing_features(rr))
    joined = [np.concatenate(part) for part in (found, classes, records)]
    return _Rows(joined[0], joined[1], joined[2], torch.cat(seen), torch.cat(times))


def random_forest(model: Any, data: Any) -> dict[str, float]:
    """Random forest (Breiman, 2001) on RR intervals and a coarse picture of the beat, from scikit-learn.

    It sees what the network sees: window and difference from the record's usual beat, both divided by the record's
    amplitude, at 22.5 numbers a second, their correlation, and the relative rhythm; and beats that are alike share
    what that tells as they do with the network. The smallest leaf is chosen by macro-F1 in cross-validation over
    the patients it learns from.
    """
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import GroupKFold, cross_val_predict

    rows = _rows(data, "train")
    known = np.unique(rows.y)

    def forest(leaf: int) -> Any:
        return RandomForestClassifier(
            100,
            min_samples_leaf=leaf,
            max_samples=0.3,
            class_weight="balanced_subsample",
            n_jobs=-1,
            random_state=data.seed,
        )

    def scored(trees: np.ndarray, rows: _Rows) -> dict[str, torch.Tensor]:
        """Score beats by the probabilities (N, known classes) that the trees give them."""
        scores = np.full((len(trees), len(CLASSES)), UNLIKELY)
        scores[:, known] = np.log(trees.clip(np.exp(UNLIKELY)))
        found = np.zeros(len(trees), np.int64)
        for number in np.unique(rows.record):
            own = np.flatnonzero(rows.record == number)
            probabilities = model.record_probabilities(torch.from_numpy(scores[own]), rows.shape[own], rows.timing[own])
            found[own] = probabilities.argmax(1).numpy()
        beats = EC57()
        beats.update(torch.from_numpy(found), torch.from_numpy(rows.y))
        return ec57_scores(beats.matrix)

    def macro_f1(leaf: int) -> float:
        patients, real = np.abs(rows.record), rows.record > 0  # made-up rhythms go with their windows' patient
        folds = GroupKFold(min(5, len(np.unique(patients))))
        trees = cross_val_predict(forest(leaf), rows.x, rows.y, groups=patients, cv=folds, method="predict_proba")
        kept = _Rows(rows.x[real], rows.y[real], rows.record[real], rows.shape[real], rows.timing[real])
        return float(scored(trees[real], kept)["macro_f1"])

    chosen = forest(max((5, 50), key=macro_f1)).fit(rows.x, rows.y)
    test = _rows(data, "test")
    scores = scored(chosen.predict_proba(test.x), test)
    return {f"test_{name}": float(scores[name]) for name in REPORTED}


def detected_beats(model: Any, data: Any) -> Measurement:
    """Scores on the test recordings with R peaks that were detected, and what is lost by that.

    A beat counts as found within 150 ms; one that was missed is a false negative of its class, one too many a false
    positive of the class that it was given. ``detection_loss`` is macro-F1 with the annotated peaks less that.
    """
    given, found = EC57(data.records), EC57(data.records)
    for record in data.recordings():
        positions, label = beats_of(record)
        for beats, peaks in ((given, positions), (found, None)):
            annotation = model.annotate(record.signal, record.fs, peaks, record.leads)
            classes = np.array([CLASSES.index(symbol) for symbol in annotation.symbol], np.int64)
            labels = matched_labels(positions, label, annotation.sample, classes, record.fs)
            beats.update(*labels, torch.full_like(labels[0], int(record.name)))
    scores = ec57_scores(found.matrix)
    lost = ec57_scores(given.matrix)["macro_f1"] - scores["macro_f1"]
    metrics = {
        **{f"test_detected_{name}": float(scores[name]) for name in REPORTED},
        "test_detection_loss": float(lost),
        "test_missed_beats": float(found.matrix[:-1, -1].sum()),
        "test_extra_beats": float(found.matrix[-1].sum()),
    }
    return Measurement(metrics, f"R peaks as detected\n\n{found.table()}")


def template_distance(model: Any, data: Any) -> dict[str, float]:
    """Mean squared difference from the record's usual beat, in the window that the autoencoder sees."""
    return _told_apart(model, data, lambda seen: seen.square().mean(1))


def pca_of_beats(model: Any, data: Any) -> dict[str, float]:
    """Error of the best linear autoencoder of the same width, principal components of the normal training beats."""
    from sklearn.decomposition import PCA

    pca = PCA(model.hparams["latent_dim"], random_state=0).fit(_seen(model, data, "train", normal=True)[0])

    def error(seen: torch.Tensor) -> torch.Tensor:
        back = pca.inverse_transform(pca.transform(seen.numpy()))
        return torch.from_numpy(np.square(seen.numpy() - back).mean(1))

    return _told_apart(model, data, error)


def _seen(model: Any, data: Any, split: str, normal: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what an autoencoder of beats sees of a split, or of its normal beats, flat, and their classes."""
    seen, classes = [], []
    for batch in _batches(data, split):
        rows = batch[1] == 0 if normal else torch.ones_like(batch[1], dtype=torch.bool)
        parts = model.network_inputs(beat_inputs(batch))
        seen.append(model.net.view(**{name: part[rows] for name, part in parts.items()}).flatten(1))
        classes.append(batch[1][rows])
    return torch.cat(seen), torch.cat(classes)


def _told_apart(model: Any, data: Any, error: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, float]:
    """Return the areas under the ROC curve of V and of all other classes against N, by an error of each beat."""
    from sklearn.metrics import roc_auc_score

    seen, y = _seen(model, data, "test")
    errors, classes = error(seen).numpy(), y.numpy()
    told = (classes == CLASSES.index("N")) | (classes == CLASSES.index("V"))
    return {
        "test_auc": float(roc_auc_score(classes[told] == CLASSES.index("V"), errors[told])),
        "test_abnormal_auc": float(roc_auc_score(classes > 0, errors)),
    }
