"""Beats of patients in rhythms that these patients did not have, to train on."""

from __future__ import annotations

import numpy as np

from datamodules.ecg.beats import BEFORE, FS, Beats, Rows
from datamodules.ecg.rhythm_simulation import Hearts, synthetic_hearts
from datamodules.ecg.rr_intervals import AROUND, rhythm_around, surrounding_intervals

WARM_UP_BEATS = 30
"""Beats of a made-up heart that are left out, as their recent mean is taken over too few."""
RESOLUTION = 1_000.0
"""Samples a second in which made-up beats have their positions."""
NEIGHBOURS = 12
"""Beats with the nearest intervals, of which one is drawn."""
P_WAVE = slice(BEFORE - FS * 28 // 100, BEFORE - FS * 7 // 100)
"""Samples of a window in which atrial fibrillation leaves no P wave."""


def synthesize_beats(beats: Beats, rows: np.ndarray, hearts: int, seed: int) -> Rows:
    """Put the beats of some rows into made-up rhythms.

    Each beat of a made-up heart gets the window of a real one of its class whose intervals before and after are about
    the same, as both neighbours are seen in a window: one of the ``NEIGHBOURS``, drawn at random. Where the heart's atria
    fibrillate the P wave gives way to a straight line. RR intervals and the longer rhythm are those of the made-up
    heart, the record is that of the window; its number is raised by the number R of records, or by 2 R with the P wave
    left out. A class that no row has is left out.

    Args:
        beats: All beats, of R records.
        rows: Numbers of those that are drawn from.
        hearts: Number of made-up hearts, each of about 360 beats.
        seed: Seed of all draws.
    """
    made = synthetic_hearts(hearts, seed)
    rr, rhythm = intervals_of(made)
    kept = _after_warm_up(made) & (rr[:, : 2 * AROUND] > 0).all(1)
    label, fibrillates, rr, rhythm = made.label[kept], made.fibrillates[kept], rr[kept], rhythm[kept]
    source = _match_beats(beats, rows, label, rr, np.random.default_rng(seed))
    found = source >= 0
    label, fibrillates, rr, rhythm, source = (part[found] for part in (label, fibrillates, rr, rhythm, source))
    window = np.asarray(beats.window[source])
    window[fibrillates] = remove_p_wave(window[fibrillates])
    record = beats.record[source] + len(beats.records) * (1 + fibrillates)
    return Rows(window, label, rr, rhythm, record, source)


def intervals_of(hearts: Hearts) -> tuple[np.ndarray, np.ndarray]:
    """Return what ``surrounding_intervals`` and ``rhythm_around`` give for the beats of each heart, one after the other."""
    positions = np.rint(hearts.position * RESOLUTION).astype(np.int64)
    each = [positions[hearts.heart == number] for number in np.unique(hearts.heart)]
    return tuple(np.concatenate([f(one, RESOLUTION) for one in each]) for f in (surrounding_intervals, rhythm_around))  # type: ignore[return-value]


def _after_warm_up(hearts: Hearts) -> np.ndarray:
    """Return which beats (N,) have ``WARM_UP_BEATS`` before them."""
    start = np.searchsorted(hearts.heart, hearts.heart)
    return np.arange(len(hearts.heart)) - start > WARM_UP_BEATS


def _match_beats(
    beats: Beats, rows: np.ndarray, label: np.ndarray, rr: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return for each made-up beat the number (N,) of a real one of its class in a like place; -1 if there is none."""
    from scipy.spatial import cKDTree

    def log_intervals(intervals: np.ndarray) -> np.ndarray:
        return np.log(intervals[:, AROUND - 1 : AROUND + 1].clip(0.2, 3))

    source = np.full(len(label), -1, np.int64)
    inside = rows[(beats.rr[rows, AROUND - 1 : AROUND + 1] > 0).all(1)]
    for k in np.unique(label):
        real, wanted = inside[beats.label[inside] == k], np.flatnonzero(label == k)
        if not len(real):
            continue
        nearest = min(NEIGHBOURS, len(real))
        found = cKDTree(log_intervals(beats.rr[real])).query(log_intervals(rr[wanted]), k=nearest)[1].reshape(len(wanted), nearest)
        source[wanted] = real[found[np.arange(len(wanted)), rng.integers(0, nearest, len(wanted))]]
    return source


def remove_p_wave(windows: np.ndarray) -> np.ndarray:
    """Return a copy of windows (..., BEFORE + AFTER) with a straight line in place of the P wave."""
    flat = windows.copy()
    share = np.linspace(0, 1, P_WAVE.stop - P_WAVE.start)
    first, last = (windows[..., edge, None].astype(np.float64) for edge in (P_WAVE.start, P_WAVE.stop - 1))
    flat[..., P_WAVE] = (first + share * (last - first)).astype(windows.dtype)
    return flat
