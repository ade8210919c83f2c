"""Synthetic training beats: windows of recorded beats in simulated rhythms."""

from __future__ import annotations

import numpy as np

from datamodules.ecg.beats import BEFORE, FS, Beats, Rows
from datamodules.ecg.rhythm_simulation import Hearts, synthetic_hearts
from datamodules.ecg.rr_intervals import AROUND, rhythm_around, surrounding_intervals

WARM_UP_BEATS = 30
"""Number of first beats of a heart that are dropped, since their recent mean is over few intervals. Set by hand."""
RESOLUTION = 1_000.0
"""Sampling rate in Hz of the positions of simulated beats."""
NEIGHBOURS = 12
"""Number of recorded beats with the nearest intervals from which a window is drawn. Set by hand."""
P_WAVE = slice(BEFORE - FS * 28 // 100, BEFORE - FS * 7 // 100)
"""Samples of a window, 0.28 to 0.07 s before the R peak, in which the P wave is removed. Set by hand."""


def synthesize_beats(beats: Beats, rows: np.ndarray, hearts: int, seed: int) -> Rows:
    """Return synthetic beats: windows of recorded beats in simulated rhythms.

    Each beat of a synthetic heart gets the window of a recorded beat of its class with similar RR intervals before and
    after it, since a window shows parts of both adjacent beats. The window is drawn from the ``NEIGHBOURS`` nearest.
    In atrial fibrillation the P wave is replaced by a straight line. RR intervals and rhythm features are those of the
    synthetic heart. The record is that of the window, its index raised by the number R of records, or by 2 R in atrial
    fibrillation. Beats of a class without recorded beats are dropped.

    Args:
        beats: All beats, of R records.
        rows: Indices of the beats to draw windows from.
        hearts: Number of synthetic hearts, of about 360 beats each.
        seed: Seed of all draws.
    """
    simulated = synthetic_hearts(hearts, seed)
    rr, rhythm = intervals_of(simulated)
    kept = _after_warm_up(simulated) & (rr[:, : 2 * AROUND] > 0).all(1)
    label, fibrillates, rr, rhythm = simulated.label[kept], simulated.fibrillates[kept], rr[kept], rhythm[kept]
    source = _match_beats(beats, rows, label, rr, np.random.default_rng(seed))
    found = source >= 0
    label, fibrillates, rr, rhythm, source = (part[found] for part in (label, fibrillates, rr, rhythm, source))
    window = np.asarray(beats.window[source])
    window[fibrillates] = remove_p_wave(window[fibrillates])
    record = beats.record[source] + len(beats.records) * (1 + fibrillates)
    return Rows(window, label, rr, rhythm, record, source)


def intervals_of(hearts: Hearts) -> tuple[np.ndarray, np.ndarray]:
    """Return ``surrounding_intervals`` and ``rhythm_around`` of the beats of each heart, concatenated."""
    positions = np.rint(hearts.position * RESOLUTION).astype(np.int64)
    by_heart = [positions[hearts.heart == number] for number in np.unique(hearts.heart)]
    rr = np.concatenate([surrounding_intervals(beats, RESOLUTION) for beats in by_heart])
    return rr, np.concatenate([rhythm_around(beats, RESOLUTION) for beats in by_heart])


def _after_warm_up(hearts: Hearts) -> np.ndarray:
    """Return a mask (N,) of the beats that follow more than ``WARM_UP_BEATS`` beats of their heart."""
    start = np.searchsorted(hearts.heart, hearts.heart)
    return np.arange(len(hearts.heart)) - start > WARM_UP_BEATS


def _match_beats(
    beats: Beats, rows: np.ndarray, label: np.ndarray, rr: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return the index (N,) of a recorded beat of the same class with similar intervals for each beat; -1 if none."""
    from scipy.spatial import cKDTree

    def log_intervals(intervals: np.ndarray) -> np.ndarray:
        return np.log(intervals[:, AROUND - 1 : AROUND + 1].clip(0.2, 3))

    source = np.full(len(label), -1, np.int64)
    inside = rows[(beats.rr[rows, AROUND - 1 : AROUND + 1] > 0).all(1)]
    for name in np.unique(label):
        real, wanted = inside[beats.label[inside] == name], np.flatnonzero(label == name)
        if not len(real):
            continue
        k = min(NEIGHBOURS, len(real))
        tree = cKDTree(log_intervals(beats.rr[real]))
        nearest = tree.query(log_intervals(rr[wanted]), k=k)[1].reshape(len(wanted), k)
        source[wanted] = real[nearest[np.arange(len(wanted)), rng.integers(0, k, len(wanted))]]
    return source


def remove_p_wave(windows: np.ndarray) -> np.ndarray:
    """Return a copy of windows (..., BEFORE + AFTER) with the P wave replaced by a straight line."""
    flat = windows.copy()
    weight = np.linspace(0, 1, P_WAVE.stop - P_WAVE.start)
    first, last = (windows[..., edge, None].astype(np.float64) for edge in (P_WAVE.start, P_WAVE.stop - 1))
    flat[..., P_WAVE] = (first + weight * (last - first)).astype(windows.dtype)
    return flat
