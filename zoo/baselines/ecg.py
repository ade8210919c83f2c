"""Baselines for the networks of heart beats, and their scores with detected R peaks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from datamodules.ecg.beats import beats_of
from datamodules.ecg.records import Record
from zoo.baselines.measurement import Measurement
from zoo.metrics.ec57 import CLASSES, EC57, ec57_scores, matched_labels
from zoo.tasks.ecg_annotation import beat_inputs

REPORTED_SCORES = ("macro_f1", "accuracy", "jk_index", "n_f1", "s_f1", "v_f1", "f_f1")
BATCH_SIZE = 4_096
POOLING = 8
"""Number of samples of a window averaged to one feature of the forest, which gives 22.5 Hz; set by hand, not tuned."""
MIN_LOG_PROBABILITY = -20.0
"""Log probability of a class that no tree predicts; set by hand, not tuned."""


def _batches(data: Any, split: str) -> Iterator[tuple[Any, ...]]:
    """Yield the batches of a split in order, decoded as for the model."""
    data.setup()
    part = data.splits[split]
    rows = torch.arange(len(part.groups)) if part.rows is None else part.rows
    for piece in rows.split(BATCH_SIZE):
        yield data.decode_batch(tuple(tensor.index_select(0, piece) for tensor in part.stored))


class _Beats(NamedTuple):
    """Features of the forest, classes, records, and what the smoothing of a record needs, of N beats."""

    x: np.ndarray
    y: np.ndarray
    record: np.ndarray
    shape: torch.Tensor
    timing: torch.Tensor
    interval: torch.Tensor


def _read_beats(data: Any, split: str) -> _Beats:
    """Return the beats of a split."""
    from zoo.nn.ecg import correlation, divide_by_amplitude, relative_rhythm
    from zoo.nn.kernel_smoothing import last_interval, shape_features, timing_features

    features, classes, records, shapes, timings, intervals = [], [], [], [], [], []
    for x, y, rr, rhythm, amplitude, template, _, record in _batches(data, split):
        centred = x - x.median(2, keepdim=True).values
        window, typical = (divide_by_amplitude(part, amplitude) for part in (centred, template))
        pooled = [part.unflatten(2, (-1, POOLING)).mean(3).flatten(1) for part in (window, window - typical)]
        parts = [*pooled, correlation(x, template), relative_rhythm(rr, data.spec["rr_around"]), rhythm]
        features.append(torch.cat(parts, 1).numpy())
        classes.append(y.numpy())
        records.append(record.numpy())
        shapes.append(shape_features(x, amplitude))
        timings.append(timing_features(rr))
        intervals.append(last_interval(rr))
    arrays = [np.concatenate(part) for part in (features, classes, records)]
    return _Beats(arrays[0], arrays[1], arrays[2], torch.cat(shapes), torch.cat(timings), torch.cat(intervals))


def random_forest(model: Any, data: Any) -> dict[str, float]:
    """Random forest (Breiman, 2001) on RR intervals and the downsampled beat, from scikit-learn.

    The features are computed from the network inputs: the window and its difference from the record's template beat,
    both divided by the record's amplitude and averaged to 22.5 Hz, their correlation, and the relative rhythm. The
    probabilities are smoothed over similar beats as those of the network, and no beat in atrial fibrillation is S. The
    minimum leaf size, 5 or 50, is selected by macro-F1 in cross-validation over the training patients; the other
    settings are set by hand, not tuned.
    """
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import GroupKFold, cross_val_predict

    train = _read_beats(data, "train")
    known = np.unique(train.y)

    def forest(leaf: int) -> Any:
        return RandomForestClassifier(
            100,
            min_samples_leaf=leaf,
            max_samples=0.3,
            class_weight="balanced_subsample",
            n_jobs=-1,
            random_state=data.seed,
        )

    def evaluate(votes: np.ndarray, beats: _Beats) -> dict[str, torch.Tensor]:
        """Return the scores of beats from the forest's probabilities (N, known classes)."""
        scores = np.full((len(votes), len(CLASSES)), MIN_LOG_PROBABILITY)
        scores[:, known] = np.log(votes.clip(np.exp(MIN_LOG_PROBABILITY)))
        predicted = np.zeros(len(votes), np.int64)
        for number in np.unique(beats.record):
            rows = np.flatnonzero(beats.record == number)
            of_record = beats.shape[rows], beats.timing[rows], beats.interval[rows]
            smoothed = model.record_probabilities(torch.from_numpy(scores[rows]), *of_record)
            predicted[rows] = smoothed.argmax(1).numpy()
        metric = EC57()
        metric.update(torch.from_numpy(predicted), torch.from_numpy(beats.y))
        return ec57_scores(metric.matrix)

    def macro_f1(leaf: int) -> float:
        # Beats in simulated rhythms, whose records have negative numbers, belong to the patient of their windows.
        patients, real = np.abs(train.record), train.record > 0
        folds = GroupKFold(min(5, len(np.unique(patients))))
        votes = cross_val_predict(forest(leaf), train.x, train.y, groups=patients, cv=folds, method="predict_proba")
        recorded = _Beats(*(column[real] for column in train))  # type: ignore[arg-type]
        return float(evaluate(votes[real], recorded)["macro_f1"])

    best = forest(max((5, 50), key=macro_f1)).fit(train.x, train.y)
    test = _read_beats(data, "test")
    scores = evaluate(best.predict_proba(test.x), test)
    return {f"test_{name}": float(scores[name]) for name in REPORTED_SCORES}


def annotated_labels(model: Any, record: Record, detect: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Annotate a recording and return predicted and true classes of its beats, the arguments of ``EC57.update``.

    Args:
        model: A ``BeatAnnotator``.
        record: The recording with its annotations, of which those that are no beats are ignored.
        detect: Whether the R peaks are detected, instead of those of the annotated beats; a detection matches a beat
            within 150 ms, see ``matched_labels``.
    """
    positions, label = beats_of(record)
    annotation = model.annotate(record.signal, record.fs, None if detect else positions, record.leads)
    classes = np.array([CLASSES.index(symbol) for symbol in annotation.symbol], np.int64)
    return matched_labels(positions, label, annotation.sample, classes, record.fs)


def detected_beats(model: Any, data: Any) -> Measurement:
    """Scores on the test recordings with detected R peaks, and their difference from those with annotated ones.

    A detection matches an annotated beat within 150 ms. A missed beat is a false negative of its class, a false
    detection a false positive of its predicted class. ``detection_loss`` is macro-F1 with annotated R peaks minus
    macro-F1 with detected ones.
    """
    with_annotated, with_detected = EC57(data.records), EC57(data.records)
    for record in data.recordings():
        for metric, detect in ((with_annotated, False), (with_detected, True)):
            labels = annotated_labels(model, record, detect)
            metric.update(*labels, torch.full_like(labels[0], int(record.name)))
    scores = ec57_scores(with_detected.matrix)
    loss = ec57_scores(with_annotated.matrix)["macro_f1"] - scores["macro_f1"]
    metrics = {
        **{f"test_detected_{name}": float(scores[name]) for name in REPORTED_SCORES},
        "test_detection_loss": float(loss),
        "test_missed_beats": float(with_detected.matrix[:-1, -1].sum()),
        "test_extra_beats": float(with_detected.matrix[-1].sum()),
    }
    return Measurement(metrics, f"R peaks as detected\n\n{with_detected.table()}")


def template_distance(model: Any, data: Any) -> dict[str, float]:
    """Mean squared difference from the record's template beat, in the segment of the autoencoder."""
    return _roc_areas(model, data, lambda segments: segments.square().mean(1))


def pca_of_beats(model: Any, data: Any) -> dict[str, float]:
    """Reconstruction error of as many principal components as the code has units, fitted on normal training beats."""
    from sklearn.decomposition import PCA

    pca = PCA(model.hparams["latent_dim"], random_state=0).fit(_segments(model, data, "train", normal=True)[0])

    def error(segments: torch.Tensor) -> torch.Tensor:
        reconstructed = pca.inverse_transform(pca.transform(segments.numpy()))
        return torch.from_numpy(np.square(segments.numpy() - reconstructed).mean(1))

    return _roc_areas(model, data, error)


def _segments(model: Any, data: Any, split: str, normal: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the flattened segments of an ``ecg_autoencoder`` for a split, or its normal beats, and their classes."""
    segments, classes = [], []
    for batch in _batches(data, split):
        rows = batch[1] == 0 if normal else torch.ones_like(batch[1], dtype=torch.bool)
        parts = model.network_inputs(beat_inputs(batch))
        segments.append(model.net.segments(**{name: part[rows] for name, part in parts.items()}).flatten(1))
        classes.append(batch[1][rows])
    return torch.cat(segments), torch.cat(classes)


def _roc_areas(model: Any, data: Any, error: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, float]:
    """Return the areas under the ROC curve of V and of all other classes against N, ranked by an error."""
    from sklearn.metrics import roc_auc_score

    segments, y = _segments(model, data, "test")
    errors, classes = error(segments).numpy(), y.numpy()
    compared = (classes == CLASSES.index("N")) | (classes == CLASSES.index("V"))
    return {
        "test_auc": float(roc_auc_score(classes[compared] == CLASSES.index("V"), errors[compared])),
        "test_abnormal_auc": float(roc_auc_score(classes > 0, errors)),
    }
