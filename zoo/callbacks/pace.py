"""How often a callback draws, so that its pictures cost a bounded share of the training time."""

from __future__ import annotations

SHARE = 0.02
"""Share of the time between drawings that all callbacks of a trainer may take together in drawing."""
SHORT = 5.0
"""Seconds below which an epoch counts as short."""
GROWTH = 1.4
"""Factor between the numbers of short epochs after which something is drawn: often at first, when it changes most."""


class Pace:
    """Decide after each validation of a fit whether a callback draws.

    It draws after the first validation, and then once the time since the last drawing is so long that drawing took at
    most ``share`` of it. With ``often``, in epochs of less than five seconds it also draws after the validations 1, 2,
    3, 5, 7, 10, 14, ..., whose numbers grow by the factor 1.4.

    Args:
        share: Largest share of the time.
        now: The time in seconds.
        often: Whether to draw in short epochs whatever it costs.
    """

    def __init__(self, share: float, now: float, often: bool = False) -> None:
        self.share, self.seen, self.often = share, now, often
        self.drawn, self.cost = -float("inf"), 0.0
        self.validations, self.following = 0, 1.0

    def due(self, now: float) -> bool:
        """Count a validation that has ended, and return whether to draw."""
        self.validations += 1
        seconds, self.seen = now - self.seen, now
        often = self.often and seconds < SHORT and self.validations >= self.following
        return often or self.cost <= self.share * (now - self.drawn)

    def record(self, start: float, end: float) -> None:
        """Remember when drawing started and ended."""
        self.cost, self.drawn = end - start, end
        self.following = max(self.validations + 1, self.validations * GROWTH)
