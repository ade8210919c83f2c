"""Pictures on which nothing stands out."""

from __future__ import annotations

from torch import Tensor

MIN_CONTRAST = 0.02
"""Contrast below which an image has no foreground, about five grey levels of 255. Set by hand."""
NOTHING = "nothing stands out"
"""What is said of a picture without a foreground."""


class NothingFoundError(ValueError):
    """Error of a picture on which nothing stands out from the background.

    Args:
        name: Name of the picture.
    """

    def __init__(self, name: str) -> None:
        self.reason = NOTHING
        super().__init__(f"{name}: {NOTHING} from the background")


def is_of_one_level(x: Tensor) -> Tensor:
    """Return whether each image of a batch (N, C, H, W) in [0, 1] has no contrast: booleans (N,)."""
    values = x.flatten(1)
    return values.amax(1) - values.amin(1) < MIN_CONTRAST
