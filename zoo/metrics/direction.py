"""Direction of metrics: whether a higher value is better.

This module does not import torch, so that claims can be checked without it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from zoo.errors import unknown

HIGHER_IS_BETTER = {
    "accuracy": True,
    "auc": True,
    "auroc": True,
    "bleu": True,
    "chrf": True,
    "ciede2000": False,
    "cider": True,
    "colourfulness": True,
    "colourfulness_lost": False,
    "cross_entropy": False,
    "detection_loss": False,
    "dice": True,
    "ece": False,
    "error": False,
    "everyday_capitals": True,
    "everyday_names": True,
    "everyday_numbers": True,
    "everyday_repeats": False,
    "everyday_words": True,
    "exact": True,
    "exact_match": True,
    "execution": True,
    "execution_answered": True,
    "execution_empty": True,
    "extra_beats": False,
    "f1": True,
    "failed": False,
    "false_positive_rate": False,
    "gain": True,
    "iou": True,
    "j_index": True,
    "jk_index": True,
    "kappa": True,
    "kl": False,
    "loss": False,
    "mae": False,
    "meteor": True,
    "missed_beats": False,
    "mrr": True,
    "mse": False,
    "nats": False,
    "nll": False,
    "perplexity": False,
    "positive_predictivity": True,
    "precision": True,
    "psnr": True,
    "r2": True,
    "readable_samples": True,
    "recall": True,
    "rmse": False,
    "rouge": True,
    "rouge1": True,
    "rouge2": True,
    "rougeL": True,
    "sample_classes": True,
    "seconds_a_caption": False,
    "sensitivity": True,
    "solved": True,
    "specificity": True,
    "sse": False,
    "ssim": True,
}
"""Whether a higher value is better, by the standard name of a metric. The names in the zoo end with it:
``test_hole_psnr`` is a PSNR."""
STAGES = ("train_", "val_", "test_")
_SUFFIXES = re.compile(r"(_at_.*|_without_.*|_macro|_micro|_\d+|_[l\d]|_?\*)+$")
"""Suffixes of a standard name: ``precision_at_recall_10``, ``s_f1_without_232``, ``macro_f1_3``, ``rouge_l``."""


def mode_of(metric: str, mode: str | None = None, declared: Mapping[str, bool] = {}) -> str:
    """Return ``"max"`` for a metric whose higher values are better, else ``"min"``.

    Args:
        metric: Name of the metric, such as ``"val_accuracy"``, or a wildcard pattern such as ``"test_precision_at_*"``.
        mode: ``"max"`` or ``"min"`` given by the user, which is returned.
        declared: Whether higher values are better, by metric name without the stage; precedes ``HIGHER_IS_BETTER``.

    Raises:
        ValueError: If the mode is unknown, or no direction of the metric is declared.
    """
    if mode is not None:
        if mode not in ("max", "min"):
            raise unknown(f"mode of {metric}", mode, ("max", "min"))
        return mode
    name = metric
    for stage in STAGES:
        name = name.removeprefix(stage)
    base_name = _SUFFIXES.sub("", name)
    for known in (declared, HIGHER_IS_BETTER):
        for candidate in (name, base_name):
            words = candidate.split("_")
            for start in range(len(words)):  # the longest suffix that is a standard name
                suffix = "_".join(words[start:])
                if suffix in known:
                    return "max" if known[suffix] else "min"
    raise ValueError(f"metric {metric!r} has no known direction: set mode (a model's monitor_mode) to max or min")
