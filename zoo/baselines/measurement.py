"""What a baseline or a measure returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Measurement(NamedTuple):
    """Metrics, and a text for the user that says more of them than numbers do."""

    metrics: dict[str, float]
    report: str = ""


Measure = Callable[[Any, Any], "dict[str, float] | Measurement"]
"""Function of the trained model and its datamodule to metrics by name, or to a ``Measurement``."""
