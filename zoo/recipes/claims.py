"""Claims: what a recipe must reach, checked when it is loaded and judged on what was measured."""

from __future__ import annotations

import fnmatch
import math
import statistics
from dataclasses import asdict, dataclass, fields
from typing import Any

from zoo.errors import unknown
from zoo.metrics.direction import mode_of

GOALS = ("at_least", "at_most", "over")
ROUNDING = 1e-6
"""Amount by which a goal may be missed: means of float32 accuracies carry rounding errors of about 1e-8."""


@dataclass(frozen=True)
class Claim:
    """What a metric must reach: a figure, or a baseline by a margin.

    Args:
        metric: Name of the metric; with wildcards the claim is on each metric that matches.
        at_least: Figure that a metric must reach, higher being better.
        at_most: Figure that a metric must reach, lower being better.
        over: Name of a baseline that must be surpassed; with wildcards the best of those that match.
        margin: Margin over the baseline, in the metric's units; a negative one is a tolerance.
        aim: Figure that should be reached, or the name of another baseline.
        aim_margin: Margin over the baseline that should be reached.
        anchor: Published figure behind the claim, and its source.
        mode: ``max`` or ``min``, where the direction of the metric is not known.

    Raises:
        ValueError: If the values contradict each other.
    """

    metric: str
    at_least: float | None = None
    at_most: float | None = None
    over: str | None = None
    margin: float = 0.0
    aim: float | str | None = None
    aim_margin: float | None = None
    anchor: str = ""
    mode: str | None = None

    def __post_init__(self) -> None:
        where = f"claim on {self.metric!r}"
        for name in ("at_least", "at_most", "margin", "aim_margin"):
            value = getattr(self, name)
            if value is not None and not _is_number(value):
                raise ValueError(f"{where}: {name} takes a number, not {value!r}")
        for name in ("metric", "over", "anchor"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise ValueError(f"{where}: {name} takes a text, not {value!r}")
        if not isinstance(self.aim, str) and self.aim is not None and not _is_number(self.aim):
            raise ValueError(f"{where}: aim takes a number or the name of a baseline, not {self.aim!r}")
        given = [name for name in GOALS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"{where}: give one of {', '.join(GOALS)}, not {' and '.join(given) or 'none'}")
        if self.over is None:
            for name in ("margin", "aim_margin"):
                if getattr(self, name):
                    raise ValueError(f"{where}: {name} belongs to over, not to {given[0]}")
            if isinstance(self.aim, str):
                raise ValueError(
                    f"{where}: aim {self.aim!r} names a baseline, which belongs to over, not to {given[0]}"
                )
        elif self.sign and self.aim is not None and self.aim_margin is not None:
            raise ValueError(f"{where}: give aim or aim_margin, not both")
        bound = self.at_least if self.at_least is not None else self.at_most
        if bound is not None and isinstance(self.aim, (int, float)) and self.sign * (self.aim - bound) < 0:
            raise ValueError(f"{where}: aim {self.aim:g} is on the other side of {given[0]} {bound:g}")
        if self.aim_margin is not None and self.aim_margin < self.margin:
            raise ValueError(f"{where}: aim_margin {self.aim_margin:g} is smaller than margin {self.margin:g}")

    @classmethod
    def from_dict(cls, content: Any) -> Claim:
        """Read a claim as it stands in a recipe.

        Raises:
            ValueError: If it is no dictionary with a metric and a goal, or a key is unknown.
        """
        if not isinstance(content, dict):
            raise ValueError(f"a claim is {{metric: ..., at_least: ...}}, not {content!r}")
        known = [part.name for part in fields(cls)]
        for key in content:
            if key not in known:
                raise unknown("key of a claim", key, known)
        if "metric" not in content:
            raise ValueError(f"claim {content!r} has no metric")
        return cls(**content)

    def to_dict(self) -> dict[str, Any]:
        """Return the claim as it stands in a recipe, without what was not given."""
        return {
            key: value
            for key, value in asdict(self).items()
            if value not in (None, "") and (key, value) != ("margin", 0)
        }

    @property
    def sign(self) -> int:
        """1 where a higher value is better, else -1."""
        if self.over is None:
            return -1 if self.at_most is not None else 1
        return 1 if mode_of(self.metric, self.mode) == "max" else -1


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def mean_std(values: list[float]) -> dict[str, Any]:
    """Return mean, standard deviation (n - 1; 0 for a single value) and the values themselves."""
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return {"mean": statistics.fmean(values), "std": spread, "values": values}


def select_metric(pattern: str, metrics: dict[str, Any]) -> dict[str, Any]:
    """Return the summary of a metric, or of the mean of all metrics that match a wildcard pattern.

    Raises:
        ValueError: If nothing of this name was measured.
    """
    names = fnmatch.filter(metrics, pattern)
    if not names:
        raise ValueError(f"claim on {pattern!r}, but measured were {', '.join(metrics)}")
    if len(names) == 1:
        return metrics[names[0]]
    return mean_std([statistics.fmean(values) for values in zip(*(metrics[name]["values"] for name in names))])


def judge(claim: Claim, metrics: dict[str, Any], baselines: dict[str, Any]) -> dict[str, Any]:
    """Compare a claim with what was measured.

    Args:
        claim: The claim.
        metrics: Summaries by metric.
        baselines: Summaries by method and metric.

    Returns:
        ``{"measured", "bound", "met", "aim_met"}``; ``bound`` is the figure that had to be reached, both the mean over
        metrics for a wildcard, and ``aim_met`` is None without an aim.

    Raises:
        ValueError: If the claim names a metric or a baseline that was not measured.
    """
    pattern, sign = claim.metric, claim.sign
    found = select_metric(pattern, metrics)

    def bounds(name: str, goal: float | str, margin: float = 0.0) -> float:
        if not isinstance(goal, str):
            return goal
        rivals = [
            baselines[rival] for rival in fnmatch.filter(baselines, goal) if fnmatch.filter(baselines[rival], name)
        ]
        if not rivals:
            raise ValueError(f"claim over {goal!r}, but the baselines are {', '.join(baselines) or 'none'}")
        return max(sign * select_metric(name, rival)["mean"] for rival in rivals) * sign + sign * margin

    def reached(goal: float | str, margin: float = 0.0) -> bool:
        return all(
            sign * (metrics[name]["mean"] - bounds(name, goal, margin)) >= -ROUNDING
            for name in fnmatch.filter(metrics, pattern)
        )

    goal: Any = next(value for value in (claim.at_least, claim.at_most, claim.over) if value is not None)
    aim_met = reached(goal, claim.aim_margin) if claim.aim_margin is not None else None
    return {
        "measured": found["mean"],
        "bound": bounds(pattern, goal, claim.margin),
        "met": reached(goal, claim.margin),
        "aim_met": reached(claim.aim) if claim.aim is not None else aim_met,
    }


def format_claim(claim: Claim) -> str:
    """Return a claim in a few words, such as ``test_accuracy >= 0.9875 (aim 0.9905)``."""
    if claim.over is not None:
        margin, rival = claim.margin, "the best beside it" if claim.over == "*" else claim.over
        better = f"within {-margin:g} of" if margin < 0 else "better than"
        by = f" by {margin:g}" if margin > 0 else ""
        aim = f" (aim {claim.aim})" if claim.aim is not None else ""
        aim = f" (aim by {claim.aim_margin:g})" if claim.aim_margin is not None else aim
        return f"{claim.metric} {better} {rival}{by}{aim}"
    relation, bound = ("<=", claim.at_most) if claim.at_most is not None else (">=", claim.at_least)
    aim = f" (aim {claim.aim:g})" if claim.aim is not None else ""
    return f"{claim.metric} {relation} {bound:g}{aim}"
