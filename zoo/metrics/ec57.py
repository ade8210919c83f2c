"""Beat-by-beat scores of arrhythmia classifiers by ANSI/AAMI EC57, with annotated or detected beats."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

CLASSES = ("N", "S", "V", "F", "Q")
NO_BEAT = len(CLASSES)
"""Row of the false detections and column of the missed beats in a confusion matrix; the label of either is -1."""
TOLERANCE = 0.15
"""Maximum distance in seconds between a detected and an annotated beat that match: 150 ms, as in EC57."""
SUPRAVENTRICULAR_RECORD = 232
"""Record with three quarters of the S beats in the test set of ``mitbih``."""
CLASS_SCORES = ("sensitivity", "positive_predictivity", "f1", "false_positive_rate")


def ec57_scores(matrix: Tensor) -> dict[str, Tensor]:
    """Return the scores of a confusion matrix.

    Beats of true class Q are excluded from the scores of all other classes, also as false positives. A beat of another
    class that is classified as Q is a false negative of its own. All other errors count, including those that EC57
    permits between neighbouring classes. A score without beats is NaN and excluded from the means over classes.

    Args:
        matrix: Number of beats (6, 6) by true (row) and predicted class (column): N, S, V, F, Q and no beat.

    Returns:
        Scalars on the CPU, float64. For each class, with names such as ``s_f1``: ``sensitivity`` TP / (TP + FN),
        ``positive_predictivity`` TP / (TP + FP), ``f1`` 2 TP / (2 TP + FP + FN) and ``false_positive_rate``
        FP / (FP + TN). For all beats of N, S, V and F: ``accuracy``, where false detections count as errors;
        ``macro_f1`` over N, S, V, F and ``macro_f1_3`` over N, S, V; Cohen's ``kappa``; ``j_index``, the sum of
        sensitivity and positive predictivity of S and V (0 where undefined), and ``jk_index``, kappa / 2 + j / 8 (Mar
        et al., 2011).
    """
    counts = matrix.cpu().double()  # about forty scalar operations, which are slow on a GPU
    scored = counts.clone()
    scored[CLASSES.index("Q")] = 0
    scores: dict[str, Tensor] = {}
    for k, name in enumerate(CLASSES):
        used = counts if name == "Q" else scored
        hits = used[k, k]
        misses, extras = used[k].sum() - hits, used[:, k].sum() - hits
        rejected = used.sum() - hits - misses - extras
        values = (
            hits / (hits + misses),
            hits / (hits + extras),
            2 * hits / (2 * hits + misses + extras),
            extras / (extras + rejected),
        )
        scores.update({f"{name.lower()}_{measure}": value for measure, value in zip(CLASS_SCORES, values, strict=True)})
    total = scored.sum()
    agreed = scored.diagonal().sum() / total
    expected = (scored.sum(0) * scored.sum(1)).sum() / total.square()
    f1 = torch.stack([scores[f"{name.lower()}_f1"] for name in CLASSES[:4]])
    scores["accuracy"] = agreed
    scores["macro_f1"], scores["macro_f1_3"] = f1.nanmean(), f1[:3].nanmean()
    scores["kappa"] = (agreed - expected) / (1 - expected)
    scores["j_index"] = torch.stack([scores[f"{c}_{measure}"] for c in "sv" for measure in CLASS_SCORES[:2]]).nansum()
    scores["jk_index"] = scores["kappa"] / 2 + scores["j_index"] / 8
    return scores


class EC57(Metric):
    """Confusion matrices of beats by record, and the scores of ``ec57_scores``.

    Args:
        records: Numbers of the records with a matrix of their own. If 232 is among them, the scores of S without it are
            computed too, as ``s_f1_without_232``.
    """

    full_state_update = False
    matrices: Tensor
    _records: Tensor

    def __init__(self, records: Sequence[int] = ()) -> None:
        super().__init__()
        self.records = sorted(records)
        # The last matrix is that of all other records.
        shape = (len(self.records) + 1, NO_BEAT + 1, NO_BEAT + 1)
        self.add_state("matrices", torch.zeros(shape, dtype=torch.int64), dist_reduce_fx="sum")
        self.register_buffer("_records", torch.tensor(self.records, dtype=torch.int64), persistent=False)

    def update(self, found: Tensor, true: Tensor, record: Tensor | None = None) -> None:
        """Add beats.

        Args:
            found: Predicted classes (N,), 0 to 4 for N, S, V, F, Q; -1 for a missed beat.
            true: True classes (N,); -1 for a false detection.
            record: Numbers (N,) of their records; other than those of ``records`` if None.
        """
        size = NO_BEAT + 1
        cells = (true % size) * size + found % size  # the label -1 is the last index
        if record is not None and self.records:
            same = record[:, None].eq(self._records)
            index = torch.where(same.any(1), same.int().argmax(1), len(self.records))
        else:
            index = torch.full_like(cells, len(self.records))
        ones = torch.ones_like(cells, dtype=torch.int64)
        counts = self.matrices.flatten().index_add(0, index * size * size + cells, ones)
        self.matrices = counts.reshape(self.matrices.shape)

    @property
    def matrix(self) -> Tensor:
        """Number of beats (6, 6) of all records by true (row) and predicted class: N, S, V, F, Q and no beat."""
        return self.matrices.sum(0)

    def compute(self) -> dict[str, Tensor]:
        """Return the scores of all beats, see ``ec57_scores``, and those of S without record 232 if it has beats."""
        scores = ec57_scores(self.matrix)
        if SUPRAVENTRICULAR_RECORD in self.records:
            own = self.matrices[self.records.index(SUPRAVENTRICULAR_RECORD)]
            if not own.any():
                return scores  # the scores already exclude it
            without = ec57_scores(self.matrix - own)
            scores.update({f"s_{m}_without_{SUPRAVENTRICULAR_RECORD}": without[f"s_{m}"] for m in CLASS_SCORES})
        return scores

    def table(self) -> str:
        """Return the results as text, see ``ec57_table``."""
        return ec57_table(self.matrices, self.records)


def match_beats(
    true: np.ndarray, found: np.ndarray, fs: float, tolerance: float = TOLERANCE
) -> tuple[np.ndarray, np.ndarray]:
    """Match detected with annotated beats one to one, the nearest pairs first.

    Args:
        true: Annotated positions (N,) in samples, ascending.
        found: Detected positions (M,), ascending.
        fs: Sampling rate in Hz.
        tolerance: Maximum distance of a pair in seconds.

    Returns:
        Indices (P,) of the pairs in ``true`` and in ``found``, ascending.
    """
    true, found, max_distance = np.asarray(true, np.int64), np.asarray(found, np.int64), tolerance * fs + 1e-9
    first, last = (
        np.searchsorted(found, true - max_distance, "left"),
        np.searchsorted(found, true + max_distance, "right"),
    )
    candidates = last - first
    rows = np.repeat(np.arange(len(true)), candidates)
    columns = np.arange(len(rows)) - np.repeat(np.cumsum(candidates) - candidates, candidates) + first[rows]
    order = np.argsort(np.abs(true[rows] - found[columns]), kind="stable")
    free_true, free_found = np.ones(len(true), bool), np.ones(len(found), bool)
    pairs = []
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if free_true[row] and free_found[column]:
            free_true[row] = free_found[column] = False
            pairs.append((row, column))
    pairs.sort()
    paired = np.array(pairs, np.int64).reshape(-1, 2)
    return paired[:, 0], paired[:, 1]


def matched_labels(
    true: np.ndarray,
    true_label: np.ndarray,
    found: np.ndarray,
    found_label: np.ndarray,
    fs: float,
    tolerance: float = TOLERANCE,
) -> tuple[Tensor, Tensor]:
    """Return the paired classes of detected and annotated beats, the arguments of ``EC57.update``.

    A missed beat has the predicted class -1 and is a false negative of its true class; a false detection has the true
    class -1 and is a false positive of its predicted class.

    Args:
        true: Annotated positions (N,) in samples, ascending.
        true_label: Their classes (N,).
        found: Detected positions (M,), ascending.
        found_label: Their classes (M,).
        fs: Sampling rate in Hz.
        tolerance: Maximum distance of a pair in seconds.

    Returns:
        Predicted and true classes (P,), int64, of the pairs, the missed beats and the false detections, in this order.
    """
    rows, columns = match_beats(true, found, fs, tolerance)
    missed = np.delete(np.asarray(true_label), rows)
    extra = np.delete(np.asarray(found_label), columns)
    none = -np.ones(max(len(missed), len(extra)), np.int64)
    labels = (
        np.concatenate([np.asarray(found_label)[columns], none[: len(missed)], extra]),
        np.concatenate([np.asarray(true_label)[rows], missed, none[: len(extra)]]),
    )
    return torch.from_numpy(labels[0].astype(np.int64)), torch.from_numpy(labels[1].astype(np.int64))


def _format_percent(value: Tensor) -> str:
    return "-" if value.isnan() else f"{100 * value.item():.2f}"


def _format_index(value: Tensor) -> str:
    return "-" if value.isnan() else f"{value.item():.4f}"


def _align_columns(rows: Sequence[Sequence[str]]) -> str:
    """Return a table of cells as text, its columns aligned right, the first one left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:]))] for row in rows)
    return "\n".join("  ".join(line) for line in lines)


def detection_scores(matrix: Tensor) -> dict[str, float]:
    """Return the scores of the detection of beats, whatever their class, Q included.

    Args:
        matrix: Number of beats (6, 6) by true (row) and predicted class (column): N, S, V, F, Q and no beat.

    Returns:
        ``qrs_sensitivity`` TP / (TP + FN) and ``qrs_positive_predictivity`` TP / (TP + FP), NaN where there is nothing
        to divide by, and the numbers of ``missed_beats`` FN and ``extra_beats`` FP.
    """
    counts = matrix.cpu().double()
    hits, missed, extra = counts[:NO_BEAT, :NO_BEAT].sum(), counts[:NO_BEAT, NO_BEAT].sum(), counts[NO_BEAT].sum()
    scores = {
        "qrs_sensitivity": hits / (hits + missed),
        "qrs_positive_predictivity": hits / (hits + extra),
        "missed_beats": missed,
        "extra_beats": extra,
    }
    return {name: float(value) for name, value in scores.items()}


def detection_table(matrices: Tensor, records: Sequence[int | str]) -> str:
    """Return the detection of beats in each record and in all of them as text: numbers, sensitivity, predictivity.

    Args:
        matrices: Confusion matrices (R, 6, 6) of the records.
        records: Numbers or names (R,) of the records.
    """
    rows = [["record", "beats", "missed", "extra", "QRS Se", "QRS +P"]]
    for name, matrix in zip((*records, "all"), torch.cat([matrices, matrices.sum(0, keepdim=True)])):
        scores = detection_scores(matrix)
        counts = [int(matrix[:NO_BEAT].sum()), int(scores["missed_beats"]), int(scores["extra_beats"])]
        shares = [torch.tensor(scores[f"qrs_{measure}"]) for measure in CLASS_SCORES[:2]]
        rows.append([str(name), *map(str, counts), *map(_format_percent, shares)])
    return _align_columns(rows)


def ec57_table(matrices: Tensor, records: Sequence[int | str] = ()) -> str:
    """Return confusion matrix, scores by class, overall scores in percent and scores by record as text.

    Args:
        matrices: Confusion matrices (R + 1, 6, 6) of each record and, last, of all others, or one (6, 6).
        records: Numbers or names (R,) of the records; those without beats are omitted. Only the number 232, of MIT-BIH,
            is scored apart, not the name.
    """
    matrices = matrices.cpu().reshape(-1, NO_BEAT + 1, NO_BEAT + 1)
    matrix = matrices.sum(0)
    scores = ec57_scores(matrix)
    names = [*CLASSES, "none"] if matrix[NO_BEAT].any() or matrix[:, NO_BEAT].any() else list(CLASSES)
    confusion = [["true \\ found", *names]]
    confusion += [[name, *map(str, matrix[k, : len(names)].tolist())] for k, name in enumerate(names)]
    by_class = [["class", "beats", "Se", "+P", "F1", "FPR"]]
    for k, name in enumerate(CLASSES):
        values = [_format_percent(scores[f"{name.lower()}_{measure}"]) for measure in CLASS_SCORES]
        by_class.append([name + (" (apart)" if name == "Q" else ""), str(int(matrix[k].sum())), *values])
    if SUPRAVENTRICULAR_RECORD in records:
        others = matrix - matrices[list(records).index(SUPRAVENTRICULAR_RECORD)]
        without = ec57_scores(others)
        values = [_format_percent(without[f"s_{measure}"]) for measure in CLASS_SCORES]
        by_class.append([f"S without {SUPRAVENTRICULAR_RECORD}", str(int(others[1].sum())), *values])
    accuracy, macro_f1, macro_f1_3 = (_format_percent(scores[name]) for name in ("accuracy", "macro_f1", "macro_f1_3"))
    overall = (
        f"accuracy {accuracy}, macro-F1 {macro_f1} over N, S, V, F and {macro_f1_3} over N, S, V, "
        f"kappa {_format_index(scores['kappa'])}, j {_format_index(scores['j_index'])}, "
        f"j-kappa {_format_index(scores['jk_index'])}"
    )
    tables = [_align_columns(confusion), _align_columns(by_class), overall]
    if len(records):
        heads = [f"{name} {measure}" for name in CLASSES[:4] for measure in ("Se", "+P")]
        by_record = [["record", "beats", *heads, "accuracy"]]
        for record, part in zip(records, matrices):
            if not part.any():
                continue
            own = ec57_scores(part)
            values = [_format_percent(own[f"{name.lower()}_{m}"]) for name in CLASSES[:4] for m in CLASS_SCORES[:2]]
            by_record.append([str(record), str(int(part[:NO_BEAT].sum())), *values, _format_percent(own["accuracy"])])
        tables.append(_align_columns(by_record))
    return "\n\n".join(tables)
