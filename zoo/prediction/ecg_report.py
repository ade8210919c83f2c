"""The report of an annotated recording as rows: counts, signal quality, hours, episodes, variability, strips."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from datamodules.ecg.records import Record
from datamodules.ecg.signal_quality import FAULTS, STRETCH_SECONDS
from zoo.figures.ecg import BEAT_NAMES, STRIP_SECONDS
from zoo.prediction.rhythm_episodes import (
    AFIB,
    COUPLET,
    KINDS,
    PAUSE,
    PAUSE_SECONDS,
    S_RUN,
    V_RUN,
    Episode,
    find_episodes,
    heart_rate_variability,
    heart_rates,
    ranges_of,
    rr_seconds,
)
from zoo.tasks.ecg_annotation import Annotation

UNKNOWN = "-"
"""What a cell says whose value is not known."""
LONG_RECORDING = 7_200.0
"""Seconds from which a recording has rows of an hour instead of five minutes."""
LISTED = 20
"""Largest number of episodes of a kind that are listed one by one. Set by hand."""
BEFORE_EVENT = 3.0
"""Seconds of a strip before its event, if the event does not fit in its middle."""


class Strip(NamedTuple):
    """A part of a recording to be drawn."""

    start: int
    """First sample."""
    caption: str
    marked: tuple[int, int]
    """Samples between which the event lies."""


class Strips(NamedTuple):
    """Strips of one kind of event."""

    title: str
    found: int
    """Number of events of the kind, of which some are drawn."""
    order: str
    """Which are drawn, if not all are."""
    strips: list[Strip]


def clock(seconds: float) -> str:
    """Return a time from the start of a recording as h:mm:ss."""
    whole = math.floor(seconds + 0.5)
    return f"{whole // 3_600}:{whole // 60 % 60:02}:{whole % 60:02}"


def number(value: float, digits: int = 0, unit: str = "") -> str:
    """Return a number as text, ``UNKNOWN`` if it is not finite."""
    return f"{value:.{digits}f}{unit}" if math.isfinite(value) else UNKNOWN


def mean_rate(rr: np.ndarray) -> float:
    """Return 60 over the mean of the known RR intervals in seconds; NaN if none is known."""
    known = rr[np.isfinite(rr)]
    return 60 / float(known.mean()) if len(known) else math.nan


def beat_summary(found: Annotation, fs: float, samples: int) -> list[dict[str, str]]:
    """Summarise annotated beats in a row for each class and one for all: number, burden in %, longest run, mean rate.

    The burden is the class's share of all beats. A rate is 60 over the mean of the RR intervals that end at the class's
    beats, in beats a minute; see ``rr_seconds``.

    Args:
        found: The beats.
        fs: Samples a second.
        samples: Length of the recording.
    """
    rr, symbols = rr_seconds(found, fs), np.array(found.symbol, dtype="U1")
    rows = []
    for symbol in (*BEAT_NAMES, "all"):
        chosen = symbols == symbol if symbol != "all" else np.ones(len(symbols), bool)
        n = int(chosen.sum())
        longest = int(np.diff(ranges_of(chosen)).max(initial=0))
        rows.append(
            {
                "class": f"{symbol} {BEAT_NAMES[symbol]}" if symbol != "all" else f"all, in {samples / fs:.0f} s",
                "beats": str(n),
                "burden %": number(100 * n / len(symbols), 2) if len(symbols) else UNKNOWN,
                "longest run": str(longest) if symbol != "all" else "",
                "mean rate, 1/min": number(mean_rate(rr[chosen])),
            }
        )
    return rows


def analysed_share(found: Annotation, start: float = 0.0, stop: float = math.inf) -> float:
    """Return the share of the stretches between two times in seconds that are usable; NaN if it was not assessed."""
    if found.quality is None:
        return math.nan
    usable = found.quality.usable
    first, end = (math.ceil(min(time / STRETCH_SECONDS, len(usable)) - 1e-9) for time in (start, stop))
    part = usable[first:end]
    return float(part.mean()) if len(part) else math.nan


def quality_rows(found: Annotation, leads: Sequence[str]) -> list[dict[str, str]]:
    """Return a row for each lead that was assessed: shares of time, in %, without fault and with each fault."""
    if found.quality is None:
        return []
    faults = found.quality.faults[:, : len(leads)]  # a single lead may be assessed twice
    return [
        {
            "lead": leads[k],
            "good %": number(100 * float((faults[:, k] == 0).mean()), 1) if len(faults) else UNKNOWN,
            **{
                f"{fault} %": number(100 * float((faults[:, k] == code).mean()), 1) if len(faults) else UNKNOWN
                for code, fault in enumerate(FAULTS)
                if code
            },
        }
        for k in range(faults.shape[1])
    ]


def rows_of_time(found: Annotation, fs: float, samples: int, episodes: Sequence[Episode]) -> list[dict[str, str]]:
    """Return a row for each hour, or each five minutes of a recording under two hours.

    Rates are in beats a minute: the mean is that of all RR intervals, least and largest are of ``heart_rates``. A beat
    and the RR interval before it belong to the row in which the beat lies, a pause to that in which it begins.
    """
    seconds = samples / fs
    width = 3_600 if seconds >= LONG_RECORDING else 300
    symbols, rr = np.array(found.symbol, dtype="U1"), rr_seconds(found, fs)
    rates, pauses = heart_rates(rr), [each.start / fs for each in episodes if each.kind == PAUSE]
    rows = []
    for start in range(0, math.ceil(seconds), width):
        stop = min(start + width, seconds)
        part = slice(*np.searchsorted(found.sample, (start * fs, stop * fs)))
        known = rates[part][np.isfinite(rates[part])]
        rows.append(
            {
                "from": clock(start),
                "to": clock(stop),
                "rate min": number(float(known.min(initial=math.inf))),
                "mean": number(mean_rate(rr[part])),
                "max": number(float(known.max(initial=-math.inf))),
                **{symbol: str(int((symbols[part] == symbol).sum())) for symbol in BEAT_NAMES},
                "pauses": str(sum(start <= pause < stop for pause in pauses)),
                "analysed %": number(100 * analysed_share(found, start, stop)),
            }
        )
    return rows


def episode_summary(found: Annotation, fs: float, samples: int, episodes: Sequence[Episode]) -> list[dict[str, str]]:
    """Return a row for each kind of episode: number, time, share of the recording, the longest and the fastest."""
    rows = []
    for kind in KINDS:
        own = [each for each in episodes if each.kind == kind]
        known = [each for each in own if math.isfinite(each.rate)]
        total = sum(each.seconds for each in own)
        longest = max(own, key=lambda each: each.seconds, default=None)
        fastest = max(known, key=lambda each: each.rate, default=None) if kind != PAUSE else None
        assessed = kind != AFIB or found.fibrillation is not None
        rows.append(
            {
                "episodes": kind if kind != PAUSE else f"pause above {PAUSE_SECONDS:g} s",
                "number": str(len(own)) if assessed else "not assessed",
                "time": clock(total) if own else "",
                "share %": number(100 * total * fs / samples, 2) if own else "",
                "longest": f"{_extent(longest)} at {clock(longest.start / fs)}" if longest else "",
                "fastest": f"{fastest.rate:.0f} 1/min, {fastest.beats} beats at {clock(fastest.start / fs)}"
                if fastest
                else "",
            }
        )
    return rows


def _extent(episode: Episode) -> str:
    if episode.kind == PAUSE:
        return f"{episode.seconds:.1f} s"
    return f"{episode.beats} beats, {_duration(episode.seconds)}"


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else clock(seconds)


def episode_lists(found: Annotation, fs: float, episodes: Sequence[Episode]) -> list[dict[str, Any]]:
    """Return the episodes of each kind that has any, couplets apart: ``kind``, their number ``found`` and ``rows``.

    The rows are those of the ``LISTED`` longest in order of time. Their column ``rhythm`` says whether they lie in
    atrial fibrillation, where it was assessed.
    """
    lists = []
    for kind in KINDS:
        own = [each for each in episodes if each.kind == kind != COUPLET]
        rows = []
        for each in sorted(sorted(own, key=lambda each: -each.seconds)[:LISTED], key=lambda each: each.start):
            row = {"start": clock(each.start / fs), "duration": _duration(each.seconds)}
            if kind != PAUSE:
                row |= {"beats": str(each.beats), "rate, 1/min": number(each.rate)}
            if kind != AFIB and found.fibrillation is not None:
                row["rhythm"] = "AFIB" if found.fibrillation[each.first : each.first + each.beats].all() else ""
            rows.append(row)
        if own:
            lists.append({"kind": kind, "found": len(own), "rows": rows})
    return lists


def variability_row(found: Annotation, fs: float) -> dict[str, str]:
    """Return the heart rate variability as a row; see ``heart_rate_variability``."""
    values = heart_rate_variability(found, fs)
    return {
        "N-N intervals": str(values.intervals),
        "SDNN, ms": number(values.sdnn, 1),
        "RMSSD, ms": number(values.rmssd, 1),
        "pNN50, %": number(values.pnn50, 1),
    }


def choose_strips(found: Annotation, fs: float, samples: int, episodes: Sequence[Episode]) -> list[Strips]:
    """Choose parts of a recording to be drawn: episodes of each kind, beats of each class, and the least certain beats.

    Each kind has a largest number of strips. Of more episodes the longest are drawn, of more beats some that are spread
    evenly; beats that lie in a strip of their kind already are not drawn again.
    """
    width = int(STRIP_SECONDS * fs)

    def strip(start: int, stop: int, caption: str) -> Strip:
        margin = max(BEFORE_EVENT * fs, (width - (stop - start)) / 2) if stop - start < width else BEFORE_EVENT * fs
        begin = max(0, min(int(start - margin), samples - width))
        return Strip(begin, f"{clock(start / fs)}  {caption}", (start, stop))

    chosen = []
    for kind in KINDS:
        own = [each for each in episodes if each.kind == kind]
        most = 6 if kind == COUPLET else 12
        shown = sorted(sorted(own, key=lambda each: -each.seconds)[:most], key=lambda each: each.start)
        title = {AFIB: "onset of atrial fibrillation"}.get(kind, kind)
        captions = [
            _extent(each) + (f", {each.rate:.0f} 1/min" if kind != PAUSE and math.isfinite(each.rate) else "")
            for each in shown
        ]
        onset = kind == AFIB  # its strip shows how it begins
        strips = [strip(each.start, each.start if onset else each.stop, text) for each, text in zip(shown, captions)]
        chosen.append(Strips(title, len(own), "the longest", strips))
    symbols, sure = np.array(found.symbol, dtype="U1"), found.probability
    in_run = np.zeros(len(symbols), bool)
    for each in episodes:
        if each.kind in (V_RUN, S_RUN):
            in_run[each.first : each.first + each.beats] = True

    def beats(title: str, rows: np.ndarray, most: int, order: str, caption: Callable[[int], str]) -> Strips:
        strips: list[Strip] = []
        for row in rows.tolist():
            place = int(found.sample[row])
            if len(strips) < most and not any(each.start <= place < each.start + width for each in strips):
                strips.append(strip(place, place, caption(row)))
        return Strips(title, len(rows), order, sorted(strips))

    def certainty(row: int) -> str:
        return f"{symbols[row]}, p = {sure[row]:.2f}" if math.isfinite(sure[row]) else str(symbols[row])

    for symbol in "VSFQN":
        rows = np.flatnonzero((symbols == symbol) & ~in_run)
        most = 3 if symbol != "N" else 1
        spread = rows[np.linspace(0, len(rows) - 1, most + 2).astype(int)[1:-1]] if len(rows) > most else rows
        title = f"{BEAT_NAMES[symbol]} beats ({symbol}){' outside runs' if symbol in 'VS' else ''}"
        chosen.append(beats(title, spread, most, "spread evenly", certainty)._replace(found=len(rows)))
    rows = np.flatnonzero(np.isfinite(sure))
    least = rows[np.argsort(sure[rows], kind="stable")[:500]]
    found_least = beats("beats of the lowest certainty", least, 12, "the least certain in different strips", certainty)
    return [each for each in (*chosen, found_least._replace(found=len(rows))) if each.strips]


def report_rows(record: Record, found: Annotation) -> dict[str, Any]:
    """Return what the report of a recording says, in plain data.

    Args:
        record: The recording, its leads in the order in which they were annotated.
        found: Its beats.

    Returns:
        ``name``, ``reading``, ``warnings``, ``duration``, ``fs``, ``leads``, ``analysed`` in %, and rows of text:
        ``summary``, ``quality``, ``times``, ``episodes``, ``lists`` and ``variability``.
    """
    fs, samples = record.fs, len(record.signal)
    episodes = find_episodes(found, fs)
    return {
        "name": str(record.name),
        "reading": getattr(record, "reading", ""),
        "warnings": list(record.warnings),
        "duration": clock(samples / fs),
        "fs": fs,
        "leads": list(record.leads),
        "analysed": number(100 * analysed_share(found), 1),
        "summary": beat_summary(found, fs, samples),
        "quality": quality_rows(found, record.leads),
        "times": rows_of_time(found, fs, samples, episodes),
        "episodes": episode_summary(found, fs, samples, episodes),
        "lists": episode_lists(found, fs, episodes),
        "variability": variability_row(found, fs),
    }
