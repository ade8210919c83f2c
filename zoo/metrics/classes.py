"""Precision, recall and F1 of each class."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics.classification import MulticlassConfusionMatrix

FULL = 20
"""Number of classes up to which a table shows all."""
WORST, BEST = 10, 3
"""Number of classes that a table of more shows, by F1."""


class ClassScores(MulticlassConfusionMatrix):
    """Confusion matrix (K, K) of an epoch, and from it the mean F1 of the classes that have samples.

    ``update`` takes predicted classes (N,) and true classes (N,); ``compute`` returns ``{"macro_f1": scalar}``.
    """

    def compute(self) -> dict[str, Tensor]:  # type: ignore[override]
        """Return the mean F1 of the classes that have samples; a class never predicted has F1 0."""
        _, _, f1, support = class_scores(self.confmat)
        return {"macro_f1": f1[support > 0].mean()}


def class_scores(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return precision, recall, F1 and number of samples (K,) of each class from a confusion matrix (true, predicted).

    A ratio without any sample is 0.
    """
    hits, true, predicted = matrix.diagonal().double(), matrix.sum(1).double(), matrix.sum(0).double()
    precision, recall = hits / predicted.clamp_min(1), hits / true.clamp_min(1)
    return precision, recall, 2 * hits / (true + predicted).clamp_min(1), true


def class_table(matrix: Tensor, names: Sequence[str]) -> str:
    """Return precision, recall, F1 and number of samples of each class as text, and the mean F1.

    Of more than 20 classes the ten with the lowest F1 are shown and the three with the highest.

    Args:
        matrix: Confusion matrix (K, K), true classes in rows.
        names: Names of the classes.
    """
    scores = torch.stack(class_scores(matrix.cpu()), 1).tolist()
    with_rows = [k for k, row in enumerate(scores) if row[3]]
    shown, title = list(range(len(names))), "each class of the test split"
    if len(names) > FULL:
        ranked = sorted(with_rows, key=lambda k: scores[k][2])
        shown = ranked[:WORST] + ranked[WORST:][-BEST:]
        title = f"the {min(WORST, len(ranked))} worst and the best of {len(names)} classes, by F1"
    width = max(len("class"), *(len(names[k]) for k in shown), len("macro-F1"))
    lines = [title, f"{'class':{width}}  precision  recall      F1    rows"]
    for k in shown:
        precision, recall, f1, rows = scores[k]
        cells = f"{precision:9.4f}  {recall:6.4f}  {f1:6.4f}" if rows else f"{'no test row':>25}"
        lines.append(f"{names[k]:{width}}  {cells}  {int(rows):6,}")
    f1 = sum(scores[k][2] for k in with_rows) / max(1, len(with_rows))
    left = len(names) - len(with_rows)
    note = f"  (mean of the {len(with_rows)} classes with test rows)" if left else ""
    lines.append(f"{'macro-F1':{width}}  {'':17}  {f1:6.4f}  {int(sum(row[3] for row in scores)):6,}{note}")
    return "\n".join(lines)
