"""Claims: what a recipe must reach, in words and as a judgement on what was measured."""

from __future__ import annotations

from typing import Any

HIGHER_IS_BETTER = ("accuracy", "psnr", "ssim", "bleu", "f1", "auc", "solved")


def mode_of(metric: str) -> str:
    """Return ``"max"`` for a metric of which more is better, as its last word says, and else ``"min"``."""
    return "max" if metric.endswith(HIGHER_IS_BETTER) else "min"


def judge(claim: dict[str, Any], metrics: dict[str, Any], baselines: dict[str, Any]) -> dict[str, Any]:
    """Compare a claim with what was measured.

    Args:
        claim: ``{metric, at_least | at_most, aim}`` or ``{metric, over, margin}``.
        metrics: Summaries by metric.
        baselines: Summaries by method and metric.

    Returns:
        ``{"measured", "bound", "met", "aim_met"}``; ``bound`` is the figure that had to be reached and ``aim_met`` is
        None without an aim.

    Raises:
        ValueError: If the claim names a metric or a baseline that was not measured.
    """
    metric = claim["metric"]
    if metric not in metrics:
        raise ValueError(f"claim on {metric!r}, but measured were {', '.join(metrics)}")
    measured = metrics[metric]["mean"]
    sign = -1 if "at_most" in claim or ("over" in claim and mode_of(metric) == "min") else 1
    if "over" in claim:
        if claim["over"] not in baselines:
            raise ValueError(f"claim over {claim['over']!r}, but the baselines are {', '.join(baselines) or 'none'}")
        bound = baselines[claim["over"]][metric]["mean"] + sign * claim.get("margin", 0.0)
    else:
        bound = claim.get("at_least", claim.get("at_most"))
        if bound is None:
            raise ValueError(f"claim on {metric!r} says neither at_least nor at_most nor over")
    # Means of float32 accuracies carry rounding of about 1e-8.
    reached = [sign * (measured - figure) >= -1e-6 for figure in (bound, claim.get("aim", bound))]
    return {"measured": measured, "bound": bound, "met": reached[0], "aim_met": reached[1] if "aim" in claim else None}


def in_words(claim: dict[str, Any]) -> str:
    """Say a claim in a few words, such as ``test_accuracy >= 0.9875 (aim 0.9905)``."""
    if "over" in claim:
        margin = f" by {claim['margin']:g}" if claim.get("margin") else ""
        return f"{claim['metric']} better than {claim['over']}{margin}"
    relation, bound = ("<=", claim["at_most"]) if "at_most" in claim else (">=", claim["at_least"])
    aim = f" (aim {claim['aim']:g})" if "aim" in claim else ""
    return f"{claim['metric']} {relation} {bound:g}{aim}"
