"""Drawings of the report of a recording, as SVG: the trend of the heart rate, and strips on the grid of ECG paper."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from zoo.figures.ecg import STRIP_SECONDS

TREND_BINS = 720
"""Largest number of points of a trend."""
LEAST_BIN = 5.0
"""Seconds of a point of a trend, at least: some beats."""
UNITS = 10
"""Units of a strip's drawing per millimetre of paper."""
MM_PER_SECOND = 25
GAINS = (20.0, 10.0, 5.0, 2.5, 1.0)
"""Millimetres per millivolt of strips; the largest at which a strip's signal is not too high is taken."""
TALLEST = 36.0
"""Largest height in millimetres of a strip's signal. Set by hand."""
COLUMNS = 1_000
"""Number of columns of a strip; of the samples in each, the least and the largest are drawn."""
HEAD = 8.0
"""Millimetres above a strip's signal, for the classes of its beats."""


def rate_trend(
    sample: np.ndarray, rates: np.ndarray, fs: float, samples: int, shaded: dict[str, Any], name: str
) -> Any:
    """Draw the heart rate over time: the mean of each bin, and the range from its smallest to its largest rate.

    Args:
        sample: Positions (N,) of beats in samples.
        rates: Heart rates (N,) in beats a minute; NaN where not known.
        fs: Sampling rate in Hz.
        samples: Length of the recording.
        shaded: Start and stop (M, 2) in seconds, by their label, of the times that are shaded: the bins of which they
            cover at least half.
        name: Name of the recording.

    Returns:
        A matplotlib figure.
    """
    from matplotlib.figure import Figure

    seconds = max(samples / fs, 1e-9)
    width = max(LEAST_BIN, seconds / TREND_BINS)
    unit, label = (3_600.0, "h") if seconds >= 7_200 else (60.0, "min")
    figure = Figure(figsize=(10.5, 2.9), layout="constrained")
    axes = figure.subplots()
    for (what, times), colour in zip(shaded.items(), ("tab:red", "0.6", "tab:blue")):
        starts = _shaded_bins(np.asarray(times, float).reshape(-1, 2), width, seconds) * width / unit
        bars = [(start, width / unit) for start in starts.tolist()]
        if bars:
            whole = axes.get_xaxis_transform()
            axes.broken_barh(bars, (0, 1), transform=whole, color=colour, alpha=0.25, linewidth=0, label=what)
    known = np.isfinite(rates)
    bins, values = (sample[known] / fs / width).astype(np.int64), rates[known]
    if len(bins):
        first = np.flatnonzero(np.diff(bins, prepend=-1))
        x, low, mean, high = (np.full(bins[-1] + 1, np.nan) for _ in range(4))
        rows = bins[first]
        x[:] = (np.arange(len(x)) + 0.5) * width / unit
        low[rows], high[rows] = np.minimum.reduceat(values, first), np.maximum.reduceat(values, first)
        mean[rows] = np.add.reduceat(values, first) / np.diff(first, append=len(values))
        axes.fill_between(x, low, high, color="tab:blue", alpha=0.3, linewidth=0, label="smallest to largest")
        axes.plot(x, mean, color="tab:blue", linewidth=0.9, label=f"mean of {width:.0f} s")
    else:
        axes.text(0.5, 0.5, "no heart rate is known", ha="center", va="center", transform=axes.transAxes)
    axes.set(title=f"Heart rate of {name}", xlabel=f"time from the start, {label}", ylabel="beats a minute")
    axes.set_xlim(0, seconds / unit)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3, linewidth=0.5)
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    return figure


def _shaded_bins(times: np.ndarray, width: float, seconds: float) -> np.ndarray:
    """Return the bins of a width of which at least half lies in ranges of time (M, 2) that do not overlap."""
    edges = np.arange(int(np.ceil(seconds / width)) + 1) * width
    covered = np.concatenate([[0.0], np.cumsum(times[:, 1] - times[:, 0])])
    before = np.stack([covered[:-1], covered[1:]], 1)
    if not len(times):
        return np.zeros(0, np.int64)
    return np.flatnonzero(np.diff(np.interp(edges, times.ravel(), before.ravel())) >= width / 2)


def as_svg(figure: Any) -> str:
    """Return a figure as an SVG element for a page, its texts as text."""
    from matplotlib import rc_context

    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "zoo", "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Type": None, "Format": None})
    content = buffer.getvalue()
    return content[content.index("<svg") :]


def paper_strip(
    signal: np.ndarray,
    fs: float,
    start: int,
    sample: np.ndarray,
    symbols: Sequence[str],
    marked: tuple[int, int],
    lead: str,
) -> str:
    """Draw ten seconds of a lead on the grid of ECG paper, with the class of each beat and the RR intervals.

    Args:
        signal: Millivolts (samples,) of the whole recording; NaN where missing.
        fs: Sampling rate in Hz.
        start: First sample drawn.
        sample: Positions (N,) of all beats in samples.
        symbols: Their classes.
        marked: Samples of the first and last beat of what the strip shows.
        lead: Name of the lead.

    Returns:
        An SVG element, which refers to the pattern ``paper`` of ``PAPER``.
    """
    part = signal[start : start + int(STRIP_SECONDS * fs)]
    known = part[np.isfinite(part)]
    low, middle, high = np.percentile(known, [0.1, 50, 99.9]).tolist() if len(known) else (0.0, 0.0, 0.0)
    reach = max(high - middle, middle - low, 0.25)
    low, high = max(low - 0.25, middle - 1.3 * reach), min(high + 0.25, middle + 1.3 * reach)
    gain = next((gain for gain in GAINS if gain * (high - low) <= TALLEST), TALLEST / (high - low))
    tall = max(15.0, math.ceil(gain * (high - low) / 5) * 5.0)
    across, down = MM_PER_SECOND * UNITS / fs, gain * UNITS
    zero = HEAD * UNITS + tall * UNITS / 2 + (low + high) / 2 * down
    width, height = int(STRIP_SECONDS * MM_PER_SECOND * UNITS), int((HEAD + tall) * UNITS)
    x, y = _outline(part)
    x, y = x * across, np.clip(zero - y * down, HEAD * UNITS, height)
    parts = [
        f'<svg class="strip" viewBox="0 0 {width} {height + 40}" role="img">',
        f"<title>{escape(lead)} from {start / fs:.1f} s</title>",
        f'<rect y="{HEAD * UNITS:.0f}" width="{width}" height="{tall * UNITS:.0f}" fill="url(#paper)"/>',
    ]
    begin, end = (min(max((place - start) * across, 0), width) for place in marked)
    if marked[1] > marked[0]:
        parts.append(
            f'<rect class="event" x="{begin:.0f}" y="0" width="{end - begin:.0f}" height="{HEAD * UNITS:.0f}"/>'
        )
    points = np.stack([x, y], 1)
    for run in np.split(points, np.flatnonzero(~np.isfinite(y))):
        places = np.rint(run[np.isfinite(run[:, 1])]).astype(np.int64)
        if len(places) > 1:
            steps = " ".join(map(str, np.diff(places, axis=0).ravel().tolist()))
            parts.append(f'<path class="signal" d="m{places[0, 0]} {places[0, 1]} {steps}"/>')
    first, stop = np.searchsorted(sample, (start, start + len(part))).tolist()
    for k in range(first, stop):
        place = (int(sample[k]) - start) * across
        bold = " chosen" if marked[0] <= sample[k] <= marked[1] else ""
        inside = min(max(place, 18), width - 18)  # a letter at an edge would be cut
        parts.append(f'<text class="beat {symbols[k]}{bold}" x="{inside:.0f}" y="42">{symbols[k]}</text>')
        if k > first:
            interval = (int(sample[k]) - int(sample[k - 1])) / fs
            between = place - interval * MM_PER_SECOND * UNITS / 2
            if interval > 0.25:  # there is room for its digits
                parts.append(f'<text class="rr" x="{between:.0f}" y="72">{1_000 * interval:.0f}</text>')
    for second in range(math.ceil(start / fs), math.floor((start + len(part)) / fs) + 1, 2):
        place = (second * fs - start) * across
        time = f"{second // 3_600}:{second // 60 % 60:02}:{second % 60:02}"
        anchor = "start" if place < 60 else "end" if place > width - 60 else "middle"
        parts.append(f'<text class="time" text-anchor="{anchor}" x="{place:.0f}" y="{height + 32}">{time}</text>')
    parts.append(f'<text class="lead" x="8" y="{HEAD * UNITS + 32:.0f}">{escape(lead)}, {gain:.3g} mm/mV</text></svg>')
    return "".join(parts)


def _outline(part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return places and values of samples that look like all: the least and the largest of each of some columns."""
    size = len(part) // COLUMNS
    if size < 4:
        return np.arange(len(part), dtype=float), part.astype(float)
    whole = part[: len(part) // size * size].reshape(-1, size).astype(float)
    known = np.isfinite(whole)
    ends = np.where(known, whole, np.inf).argmin(1), np.where(known, whole, -np.inf).argmax(1)
    places = np.sort(np.stack(ends, 1), axis=1)
    values = np.take_along_axis(whole, places, 1)
    return (places + size * np.arange(len(whole))[:, None]).ravel().astype(float), values.ravel()


PAPER = (
    '<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs>'
    '<pattern id="paper" width="50" height="50" y="80" patternUnits="userSpaceOnUse">'
    '<path d="M10 0V50M20 0V50M30 0V50M40 0V50M0 10H50M0 20H50M0 30H50M0 40H50" stroke="#f6d9d6" stroke-width="1.2"/>'
    '<path d="M0 0H50M0 0V50" stroke="#eaa9a3" stroke-width="2.4"/></pattern></defs></svg>'
)
"""The grid of ECG paper, which a page of strips contains once: squares of 1 mm and 5 mm."""
