"""Results of baselines and measures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Measurement(NamedTuple):
    """Metrics by name, and an optional report as text."""

    metrics: dict[str, float]
    report: str = ""


Measure = Callable[[Any, Any], "dict[str, float] | Measurement"]
"""Function from the trained model and its datamodule to metrics by name, or to a ``Measurement``."""
