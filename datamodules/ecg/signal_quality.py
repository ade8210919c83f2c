"""Quality of a recording: which stretches of which leads can be read."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

FAULTS = ("", "missing", "flat", "saturated", "artefact", "noise")
"""Faults of a stretch of a lead by their code; none is the first."""
STRETCH_SECONDS = 1.0
"""Length of a stretch."""


class SignalQuality(NamedTuple):
    """Quality of the leads of a recording, by stretches of a second."""

    faults: np.ndarray
    """Code (stretches, leads) in ``FAULTS``, int8; the last stretch may be shorter than a second."""

    @property
    def usable(self) -> np.ndarray:
        """Whether each stretch (stretches,) has a lead without fault."""
        return (self.faults == 0).any(1)
