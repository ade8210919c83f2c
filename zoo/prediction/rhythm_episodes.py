"""The rhythm of annotated beats: RR intervals, heart rate, episodes and heart rate variability."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from datamodules.ecg.signal_quality import STRETCH_SECONDS, ranges_of
from zoo.tasks.ecg_annotation import Annotation

RATE_INTERVALS = 8
"""Number of successive RR intervals over which a heart rate is averaged. Set by hand."""
PAUSE_SECONDS = 2.0
"""RR interval above which there is a pause. Set by hand, after the practice of reports of long-term recordings."""
SHORTEST_RUN = 3
"""Smallest number of successive beats of a class in a run; two of class V are a couplet."""
REPEATS = 3
"""Smallest number of repetitions in bigeminy (NV) and trigeminy (NNV). Set by hand."""
FEWEST_INTERVALS = 30
"""Smallest number of N-N intervals from which heart rate variability is computed. Set by hand."""
NN50_SECONDS = 0.05
"""Difference of successive N-N intervals above which pNN50 counts them."""

AFIB, PAUSE, V_RUN, COUPLET, S_RUN = "atrial fibrillation", "pause", "run of V", "couplet of V", "run of S"
PATTERNS = {
    "bigeminy of V": re.compile(f"(?:NV){{{REPEATS},}}"),
    "trigeminy of V": re.compile(f"(?:NNV){{{REPEATS},}}"),
    V_RUN: re.compile(f"V{{{SHORTEST_RUN},}}"),
    COUPLET: re.compile("(?<!V)VV(?!V)"),
    S_RUN: re.compile(f"S{{{SHORTEST_RUN},}}"),
}
"""Expressions, by kind of episode, over the classes of successive beats."""
KINDS = (AFIB, PAUSE, *PATTERNS)
"""Kinds of episodes in the order of reports."""


class Episode(NamedTuple):
    """An episode of a rhythm."""

    kind: str
    """One of ``KINDS``."""
    first: int
    """Index of its first beat; a pause starts at the beat before it."""
    beats: int
    """Number of its beats; the two beside a pause."""
    start: int
    """Position of its first beat in samples."""
    stop: int
    """Position of its last beat in samples."""
    seconds: float
    """Time from its first to its last beat."""
    rate: float
    """60 over the mean of the RR intervals inside it, in beats a minute; NaN if none is known."""


class Variability(NamedTuple):
    """Heart rate variability in the time domain (Task Force of the ESC and NASPE, 1996)."""

    intervals: int
    """Number of N-N intervals."""
    sdnn: float
    """Standard deviation of the N-N intervals in milliseconds."""
    rmssd: float
    """Root mean square of the differences of successive N-N intervals in milliseconds."""
    pnn50: float
    """Share of these differences that are above 50 ms, in %."""


def rr_seconds(found: Annotation, fs: float) -> np.ndarray:
    """Return the RR interval (N,) in seconds that ends at each beat; NaN where it is not known.

    It is not known at the first beat, where two beats have one position, and where the signal from the beat before to
    the beat touches a stretch without a usable lead: beats may be missing there.
    """
    rr = np.full(len(found.sample), np.nan)
    if len(rr) < 2:
        return rr
    rr[1:] = np.diff(found.sample) / fs
    rr[~(rr > 0)] = np.nan
    if found.quality is not None and len(found.quality.usable):
        usable = found.quality.usable
        before = np.concatenate([[0], np.cumsum(~usable)])  # unusable stretches before each stretch
        stretch = (found.sample / (fs * STRETCH_SECONDS)).astype(np.int64).clip(0, len(usable) - 1)
        rr[1:][before[stretch[1:] + 1] > before[stretch[:-1]]] = np.nan
    return rr


def heart_rates(rr: np.ndarray) -> np.ndarray:
    """Return the heart rate (N,) in beats a minute at each beat: 60 over the mean of the last ``RATE_INTERVALS``.

    Args:
        rr: RR intervals (N,) in seconds, see ``rr_seconds``; the rate is NaN where one of the last is.
    """
    known = np.isfinite(rr)
    seconds, count = (np.concatenate([[0], np.cumsum(part)]) for part in (np.where(known, rr, 0.0), known))
    rates = np.full(len(rr), np.nan)
    if len(rr) >= RATE_INTERVALS:
        total = seconds[RATE_INTERVALS:] - seconds[:-RATE_INTERVALS]
        whole = count[RATE_INTERVALS:] - count[:-RATE_INTERVALS] == RATE_INTERVALS
        rates[RATE_INTERVALS - 1 :][whole] = 60 * RATE_INTERVALS / total[whole]
    return rates


def find_episodes(found: Annotation, fs: float) -> list[Episode]:
    """Return the episodes of a recording, by kind in the order of ``KINDS`` and in order of time.

    Runs, couplets, bigeminy and trigeminy consist of successive beats between which the signal is usable. A pause is an
    RR interval above ``PAUSE_SECONDS``. An episode of atrial fibrillation consists of successive beats of
    ``found.fibrillation``; it may contain stretches that are not usable.
    """
    rr = rr_seconds(found, fs)
    known = np.concatenate([[0], np.cumsum(np.isfinite(rr))])
    seconds = np.concatenate([[0], np.cumsum(np.nan_to_num(rr))])

    def episode(kind: str, first: int, stop: int) -> Episode:
        start, end = int(found.sample[first]), int(found.sample[stop - 1])
        count = int(known[stop] - known[first + 1])
        total = float(seconds[stop] - seconds[first + 1])
        rate = 60 * count / total if count else float("nan")
        return Episode(kind, first, stop - first, start, end, (end - start) / fs, rate)

    episodes = []
    if found.fibrillation is not None:
        episodes += [episode(AFIB, *bounds) for bounds in ranges_of(found.fibrillation).tolist()]
    episodes += [episode(PAUSE, last - 1, last + 1) for last in np.flatnonzero(rr > PAUSE_SECONDS).tolist()]
    text = "".join(found.symbol)
    for kind, pattern in PATTERNS.items():
        for first, stop in _unbroken(rr):
            matches = pattern.finditer(text[first:stop])
            episodes += [episode(kind, first + match.start(), first + match.end()) for match in matches]
    return episodes


def _unbroken(rr: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield first index and last index plus one of beats between which all RR intervals are known."""
    breaks = [*np.flatnonzero(~np.isfinite(rr)).tolist(), len(rr)]
    yield from itertools.pairwise(breaks)


def heart_rate_variability(found: Annotation, fs: float) -> Variability:
    """Return the variability of the N-N intervals of a recording; NaN with fewer than ``FEWEST_INTERVALS``.

    With NN_i the intervals between neighbouring beats of class N, outside atrial fibrillation and stretches without a
    usable lead, D_i = NN_{i+1} - NN_i where both intervals share a beat, and n and m their numbers:

        SDNN = sqrt(sum (NN_i - mean NN)^2 / (n - 1)), RMSSD = sqrt(sum D_i^2 / m), pNN50 = 100 #{|D_i| > 50 ms} / m
    """
    normal = np.array(found.symbol, dtype="U1") == "N"
    if found.fibrillation is not None:
        normal &= ~found.fibrillation
    rr = rr_seconds(found, fs)
    chosen = np.isfinite(rr) & normal
    chosen[1:] &= normal[:-1]
    nn = rr[chosen]
    differences = np.diff(rr)[chosen[1:] & chosen[:-1]]
    if len(nn) < FEWEST_INTERVALS or not len(differences):
        return Variability(len(nn), *[float("nan")] * 3)
    above = np.abs(differences) > NN50_SECONDS + 0.5e-6  # 50 ms itself is not above, whatever its rounding
    return Variability(
        len(nn),
        1_000 * float(nn.std(ddof=1)),
        1_000 * float(np.sqrt(np.mean(differences**2))),
        100 * float(above.mean()),
    )
