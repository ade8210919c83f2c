"""Claims: what a recipe must reach, in words and as a judgement on what was measured."""

from __future__ import annotations

import fnmatch
import statistics
from typing import Any

HIGHER_IS_BETTER = ("accuracy", "psnr", "ssim", "bleu", "f1", "auc", "solved", "precision")


def mode_of(metric: str) -> str:
    """Return ``"max"`` for a metric of which more is better, as its last word says, and else ``"min"``.

    What follows ``_at_``, as in ``test_precision_at_recall_10``, does not count.
    """
    return "max" if metric.split("_at_")[0].endswith(HIGHER_IS_BETTER) else "min"


def summary(values: list[float]) -> dict[str, Any]:
    """Return mean, standard deviation (n - 1; 0 for a single value) and the values themselves."""
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return {"mean": statistics.fmean(values), "std": spread, "values": values}


def measured(pattern: str, metrics: dict[str, Any]) -> dict[str, Any]:
    """Return the summary of a metric, or of the mean of all metrics that match a wildcard pattern.

    Raises:
        ValueError: If nothing of this name was measured.
    """
    names = fnmatch.filter(metrics, pattern)
    if not names:
        raise ValueError(f"claim on {pattern!r}, but measured were {', '.join(metrics)}")
    if len(names) == 1:
        return metrics[names[0]]
    return summary([statistics.fmean(values) for values in zip(*(metrics[name]["values"] for name in names))])


def judge(claim: dict[str, Any], metrics: dict[str, Any], baselines: dict[str, Any]) -> dict[str, Any]:
    """Compare a claim with what was measured.

    Args:
        claim: ``{metric, at_least | at_most, aim}`` or ``{metric, over, margin, aim | aim_margin}``. ``over`` names a
            baseline, or with wildcards the best of those that match; ``aim`` is a figure or names another, and
            ``aim_margin`` is a larger margin. A metric with wildcards claims each metric that matches.
        metrics: Summaries by metric.
        baselines: Summaries by method and metric.

    Returns:
        ``{"measured", "bound", "met", "aim_met"}``; ``bound`` is the figure that had to be reached, both the mean over
        metrics for a wildcard, and ``aim_met`` is None without an aim.

    Raises:
        ValueError: If the claim names a metric or a baseline that was not measured.
    """
    pattern = claim["metric"]
    found = measured(pattern, metrics)
    sign = -1 if "at_most" in claim or ("over" in claim and mode_of(pattern) == "min") else 1

    def bounds(name: str, goal: Any, margin: float = 0.0) -> float:
        if not isinstance(goal, str):
            return goal
        rivals = [
            baselines[rival] for rival in fnmatch.filter(baselines, goal) if fnmatch.filter(baselines[rival], name)
        ]
        if not rivals:
            raise ValueError(f"claim over {goal!r}, but the baselines are {', '.join(baselines) or 'none'}")
        return max(sign * measured(name, rival)["mean"] for rival in rivals) * sign + sign * margin

    def reached(goal: Any, margin: float = 0.0) -> bool:
        # Means of float32 accuracies carry rounding of about 1e-8.
        return all(
            sign * (metrics[name]["mean"] - bounds(name, goal, margin)) >= -1e-6
            for name in fnmatch.filter(metrics, pattern)
        )

    goal = claim.get("over", claim.get("at_least", claim.get("at_most")))
    if goal is None:
        raise ValueError(f"claim on {pattern!r} says neither at_least nor at_most nor over")
    margin = claim.get("margin", 0.0)
    further = reached(goal, claim["aim_margin"]) if "aim_margin" in claim else None
    return {
        "measured": found["mean"],
        "bound": bounds(pattern, goal, margin),
        "met": reached(goal, margin),
        "aim_met": reached(claim["aim"]) if "aim" in claim else further,
    }


def in_words(claim: dict[str, Any]) -> str:
    """Say a claim in a few words, such as ``test_accuracy >= 0.9875 (aim 0.9905)``."""
    if "over" in claim:
        margin, rival = claim.get("margin", 0), "the best beside it" if claim["over"] == "*" else claim["over"]
        better = f"within {-margin:g} of" if margin < 0 else "better than"
        by = f" by {margin:g}" if margin > 0 else ""
        aim = f" (aim {claim['aim']})" if "aim" in claim else ""
        aim = f" (aim by {claim['aim_margin']:g})" if "aim_margin" in claim else aim
        return f"{claim['metric']} {better} {rival}{by}{aim}"
    relation, bound = ("<=", claim["at_most"]) if "at_most" in claim else (">=", claim["at_least"])
    aim = f" (aim {claim['aim']:g})" if "aim" in claim else ""
    return f"{claim['metric']} {relation} {bound:g}{aim}"
