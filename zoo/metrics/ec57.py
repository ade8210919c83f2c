"""Beat-by-beat scores of ANSI/AAMI EC57: of an arrhythmia classifier, with given or with detected beats."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

CLASSES = ("N", "S", "V", "F", "Q")
NO_BEAT = len(CLASSES)
"""Row of the beats that are none and column of the beats that were not found; the label -1 stands for either."""
TOLERANCE = 0.15
"""Seconds within which a detected beat is the annotated one."""
SUPRAVENTRICULAR_RECORD = 232
"""Record with three quarters of all S beats that the zoo tests on."""
MEASURES = ("sensitivity", "positive_predictivity", "f1", "false_positive_rate")


def ec57_scores(matrix: Tensor) -> dict[str, Tensor]:
    """Return the scores of a confusion matrix.

    Beats of class Q are listed apart: what they are taken for counts nowhere else, not as a false positive either. A
    beat of another class that is taken for Q is missed by its own. All else counts as it is: no beat is excused for
    being taken for a neighbouring class. A score without a beat to count is not a number, and the means over classes
    leave those out.

    Args:
        matrix: Beats (6, 6) by true class (row) and found class (column): N, S, V, F, Q and no beat.

    Returns:
        Scalars on the CPU, float64. Of each class, as ``s_f1``: ``sensitivity`` TP / (TP + FN),
        ``positive_predictivity`` TP / (TP + FP), ``f1`` 2 TP / (2 TP + FP + FN) and ``false_positive_rate``
        FP / (FP + TN). Of all beats of N, S, V and F: ``accuracy``, the share that is right (a beat found where there
        is none is one more that is wrong); ``macro_f1`` over N, S, V, F and ``macro_f1_3`` over N, S, V; ``kappa``,
        Cohen's; ``j_index``, the sum of sensitivity and positive predictivity of S and V (0 where undefined), and
        ``jk_index``, kappa / 2 + j / 8 (Mar et al., 2011).
    """
    counts = matrix.cpu().double()  # some forty operations on single numbers
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
        scores.update({f"{name.lower()}_{measure}": value for measure, value in zip(MEASURES, values, strict=True)})
    total = scored.sum()
    agreed = scored.diagonal().sum() / total
    expected = (scored.sum(0) * scored.sum(1)).sum() / total.square()
    f1 = torch.stack([scores[f"{name.lower()}_f1"] for name in CLASSES[:4]])
    scores["accuracy"] = agreed
    scores["macro_f1"], scores["macro_f1_3"] = f1.nanmean(), f1[:3].nanmean()
    scores["kappa"] = (agreed - expected) / (1 - expected)
    scores["j_index"] = torch.stack([scores[f"{c}_{measure}"] for c in "sv" for measure in MEASURES[:2]]).nansum()
    scores["jk_index"] = scores["kappa"] / 2 + scores["j_index"] / 8
    return scores


class EC57(Metric):
    """Confusion matrix of beats, and the scores of ``ec57_scores`` from it.

    Args:
        records: Numbers of the records that have a matrix of their own; with 232 among them, the scores of S are given
            without it too, as ``s_f1_without_232``.
    """

    full_state_update = False
    matrices: Tensor
    _records: Tensor

    def __init__(self, records: Sequence[int] = ()) -> None:
        super().__init__()
        self.records = sorted(records)
        # The last one is of beats of any other record.
        shape = (len(self.records) + 1, NO_BEAT + 1, NO_BEAT + 1)
        self.add_state("matrices", torch.zeros(shape, dtype=torch.int64), dist_reduce_fx="sum")
        self.register_buffer("_records", torch.tensor(self.records, dtype=torch.int64), persistent=False)

    def update(self, found: Tensor, true: Tensor, record: Tensor | None = None) -> None:
        """Add beats.

        Args:
            found: Class (N,) that each was found to be, 0 to 4 for N, S, V, F, Q; -1 for one that was not found.
            true: Its class (N,); -1 for one that was found where there is none.
            record: Number (N,) of its record; none of ``records`` if None.
        """
        size = NO_BEAT + 1
        cells = (true % size) * size + found % size  # the label -1 is the last place
        if record is not None and self.records:
            same = record[:, None].eq(self._records)
            place = torch.where(same.any(1), same.int().argmax(1), len(self.records))
        else:
            place = torch.full_like(cells, len(self.records))
        ones = torch.ones_like(cells, dtype=torch.int64)
        counts = self.matrices.flatten().index_add(0, place * size * size + cells, ones)
        self.matrices = counts.reshape(self.matrices.shape)

    @property
    def matrix(self) -> Tensor:
        """Beats (6, 6) of all records by true class (row) and found class: N, S, V, F, Q and no beat."""
        return self.matrices.sum(0)

    def compute(self) -> dict[str, Tensor]:
        """Return the scores over all beats, see ``ec57_scores``; without record 232 too where it has beats."""
        scores = ec57_scores(self.matrix)
        if SUPRAVENTRICULAR_RECORD in self.records:
            own = self.matrices[self.records.index(SUPRAVENTRICULAR_RECORD)]
            if not own.any():
                return scores  # they are without it as they are
            without = ec57_scores(self.matrix - own)
            scores.update({f"s_{m}_without_{SUPRAVENTRICULAR_RECORD}": without[f"s_{m}"] for m in MEASURES})
        return scores

    def table(self) -> str:
        """Return the tables as text; see ``ec57_table``."""
        return ec57_table(self.matrices, self.records)


def match_beats(
    true: np.ndarray, found: np.ndarray, fs: float, tolerance: float = TOLERANCE
) -> tuple[np.ndarray, np.ndarray]:
    """Pair detected beats with annotated ones, each with one at most, the nearest pairs first.

    Args:
        true: Annotated positions (N,) in samples, ascending.
        found: Detected positions (M,), ascending.
        fs: Samples a second.
        tolerance: Seconds that a pair may be apart.

    Returns:
        Row numbers (P,) of the pairs in ``true`` and in ``found``, ascending.
    """
    true, found, reach = np.asarray(true, np.int64), np.asarray(found, np.int64), tolerance * fs + 1e-9
    first, last = np.searchsorted(found, true - reach, "left"), np.searchsorted(found, true + reach, "right")
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
    """Return the classes of detected and annotated beats side by side, as ``EC57.update`` takes them.

    A beat that was missed has no found class and counts as a false negative of its own; one that was found where there
    is none has no true class and counts as a false positive of the class it was given. Either is -1.

    Args:
        true: Annotated positions (N,) in samples, ascending.
        true_label: Their classes (N,).
        found: Detected positions (M,), ascending.
        found_label: Their classes (M,).
        fs: Samples a second.
        tolerance: Seconds that a pair may be apart.

    Returns:
        Found and true classes (P,), int64, of pairs, then of missed, then of extra beats.
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


def _percent(value: Tensor) -> str:
    return "-" if value.isnan() else f"{100 * value.item():.2f}"


def _columns(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as lines, each column as wide as its widest cell, the first flush left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:]))] for row in rows)
    return "\n".join("  ".join(line) for line in lines)


def ec57_table(matrices: Tensor, records: Sequence[int] = ()) -> str:
    """Return confusion matrix, scores by class, overall scores and scores by record as text; shares are in percent.

    Args:
        matrices: Beats (R + 1, 6, 6) of each record and, last, of any other, or (6, 6) of all.
        records: Numbers (R,) of the records; one without beats is left out.
    """
    matrices = matrices.cpu().reshape(-1, NO_BEAT + 1, NO_BEAT + 1)
    matrix = matrices.sum(0)
    scores = ec57_scores(matrix)
    names = [*CLASSES, "none"] if matrix[NO_BEAT].any() or matrix[:, NO_BEAT].any() else list(CLASSES)
    confusion = [["true \\ found", *names]]
    confusion += [[name, *map(str, matrix[k, : len(names)].tolist())] for k, name in enumerate(names)]
    by_class = [["class", "beats", "Se", "+P", "F1", "FPR"]]
    for k, name in enumerate(CLASSES):
        values = [_percent(scores[f"{name.lower()}_{measure}"]) for measure in MEASURES]
        by_class.append([name + (" (apart)" if name == "Q" else ""), str(int(matrix[k].sum())), *values])
    if SUPRAVENTRICULAR_RECORD in records:
        others = matrix - matrices[list(records).index(SUPRAVENTRICULAR_RECORD)]
        without = ec57_scores(others)
        values = [_percent(without[f"s_{measure}"]) for measure in MEASURES]
        by_class.append([f"S without {SUPRAVENTRICULAR_RECORD}", str(int(others[1].sum())), *values])
    overall = (
        f"accuracy {_percent(scores['accuracy'])}, macro-F1 {_percent(scores['macro_f1'])} over N, S, V, F and "
        f"{_percent(scores['macro_f1_3'])} over N, S, V, kappa {scores['kappa'].item():.4f}, "
        f"j {scores['j_index'].item():.4f}, j-kappa {scores['jk_index'].item():.4f}"
    )
    tables = [_columns(confusion), _columns(by_class), overall]
    if len(records):
        heads = [f"{name} {measure}" for name in CLASSES[:4] for measure in ("Se", "+P")]
        by_record = [["record", "beats", *heads, "accuracy"]]
        for record, part in zip(records, matrices):
            if not part.any():
                continue
            own = ec57_scores(part)
            values = [_percent(own[f"{name.lower()}_{m}"]) for name in CLASSES[:4] for m in MEASURES[:2]]
            by_record.append([str(record), str(int(part[:NO_BEAT].sum())), *values, _percent(own["accuracy"])])
        tables.append(_columns(by_record))
    return "\n\n".join(tables)
