"""From a recording of the heart to annotated beats, tables and strips."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo.errors import needs
from zoo.pretrained import write_atomically
from zoo.tasks.recordings import Annotation

CLASSES = {"N": "normal", "S": "supraventricular", "V": "ventricular", "F": "fusion", "Q": "unknown"}
COLOURS = {"N": "tab:gray", "S": "tab:blue", "V": "tab:red", "F": "tab:purple", "Q": "tab:olive"}
CAUTION = "A research tool, not a medical device: it makes no diagnosis."
STRIP_SECONDS = 10.0
ANNOTATOR = "zoo"
"""Ending of the annotation files written."""


def longest_run(symbols: Sequence[str], symbol: str) -> int:
    """Return the largest number of beats of a class in a row."""
    longest = run = 0
    for found in symbols:
        run = run + 1 if found == symbol else 0
        longest = max(longest, run)
    return longest


def summary(found: Annotation, fs: float, samples: int) -> list[dict[str, str]]:
    """Return a row for each class of beats, and one for all: beats, burden in %, longest run, mean rate.

    The burden is the class's share of all beats. A rate is 60 over the mean of the RR intervals that end at the class's
    beats, in beats a minute.

    Args:
        found: The beats.
        fs: Samples a second.
        samples: Length of the recording.
    """
    rr = np.diff(found.sample, prepend=found.sample[:1]) / fs
    symbols = np.array(found.symbol, dtype="U1")
    rows = []
    for symbol in (*CLASSES, "all"):
        chosen = symbols == symbol if symbol != "all" else np.ones(len(symbols), bool)
        intervals = rr[chosen & (rr > 0)]
        n = int(chosen.sum())
        rows.append(
            {
                "class": f"{symbol} {CLASSES[symbol]}" if symbol != "all" else f"all, in {samples / fs:.0f} s",
                "beats": str(n),
                "burden %": f"{100 * n / len(symbols):.2f}" if len(symbols) else "-",
                "longest run": str(longest_run(found.symbol, symbol)) if symbol != "all" else "",
                "mean rate, 1/min": f"{60 / intervals.mean():.0f}" if len(intervals) else "-",
            }
        )
    return rows


def summary_table(title: str, rows: Sequence[dict[str, str]]) -> Any:
    """Return the rows of ``summary`` as a table of ``rich``."""
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in rows[0]:
        table.add_column(column, justify="left" if column == "class" else "right")
    for row in rows:
        table.add_row(*row.values())
    return table


def as_csv(found: Annotation, fs: float) -> bytes:
    """Return the beats as CSV: sample, seconds, symbol and probability."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(["sample", "seconds", "symbol", "probability"])
    for sample, symbol, probability in zip(found.sample.tolist(), found.symbol, found.probability.tolist()):
        writer.writerow([sample, f"{sample / fs:.3f}", symbol, f"{probability:.4f}"])
    return buffer.getvalue().encode()


def as_annotation_file(found: Annotation, fs: float) -> bytes:
    """Return the beats as a WFDB annotation file."""
    if not len(found.sample):
        return b"\0\0"  # the end; wfdb writes no file without annotations
    with tempfile.TemporaryDirectory() as folder:
        needs("wfdb", "ecg").wrann("beats", ANNOTATOR, found.sample, found.symbol, fs=fs, write_dir=folder)
        return (Path(folder) / f"beats.{ANNOTATOR}").read_bytes()


def strips(signal: np.ndarray, fs: float, found: Annotation, name: str, leads: Sequence[str]) -> Any:
    """Draw ten seconds around the surest beat of each class that was found, every beat marked with its class.

    Args:
        signal: Millivolts (samples, leads); the first lead is drawn.
        fs: Samples a second.
        found: The beats.
        name: Name of the recording.
        leads: Names of the leads.

    Returns:
        A figure of matplotlib.
    """
    from matplotlib.figure import Figure

    present = [symbol for symbol in CLASSES if symbol in found.symbol] or [""]
    symbols = np.array(found.symbol, dtype="U1")
    figure = Figure(figsize=(11, 0.8 + 1.9 * len(present)), layout="constrained")
    figure.suptitle(f"{name}: the surest beat of each class. {CAUTION}")
    for axes, symbol in zip(np.atleast_1d(figure.subplots(len(present), 1)), present):
        middle = len(signal) // 2
        if symbol:
            rows = np.flatnonzero(symbols == symbol)
            middle = int(found.sample[rows[found.probability[rows].argmax()]])
        width = int(STRIP_SECONDS * fs)
        start = max(0, min(middle - width // 2, len(signal) - width))
        part = signal[start : start + width, 0]
        axes.plot((start + np.arange(len(part))) / fs, part, color="black", linewidth=0.7)
        top = np.nanmax(part) if np.isfinite(part).any() else 1.0
        inside = (found.sample >= start) & (found.sample < start + width)
        for sample, mark in zip(found.sample[inside], symbols[inside]):
            weight = "bold" if sample == middle else "normal"
            axes.annotate(
                mark, (sample / fs, top), ha="center", va="bottom", color=COLOURS[mark], fontweight=weight, fontsize=9
            )
        axes.margins(x=0, y=0.2)
        axes.set(ylabel=f"{leads[0]}, mV", title=f"{symbol} {CLASSES[symbol]}" if symbol else "no beat found")
    axes.set_xlabel("seconds")
    return figure


def as_png(figure: Any) -> bytes:
    """Return a figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def check_folder(path: str) -> None:
    """Raise ``ValueError`` before any work is done if annotations cannot be written to a folder of this path."""
    if not Path(path).absolute().parent.is_dir():
        raise ValueError(f"--output {path}: there is no folder {Path(path).absolute().parent}")
    if Path(path).is_file():
        raise ValueError(f"--output {path}: annotations go into a folder, not into a file")


def write_annotation(folder: Path, name: str, record: Any, found: Annotation) -> list[Path]:
    """Write the beats of a recording, each file whole or not at all.

    Args:
        folder: Where to.
        name: Name of the recording, to which endings are added.
        record: The recording, with ``signal``, ``fs`` and ``leads``.
        found: Its beats.

    Returns:
        The files: WFDB annotations ``.zoo``, ``.csv`` and strips ``.png``.
    """
    contents = {
        ANNOTATOR: as_annotation_file(found, record.fs),
        "csv": as_csv(found, record.fs),
        "png": as_png(strips(record.signal, record.fs, found, name, record.leads)),
    }
    for ending, content in contents.items():
        write_atomically(folder / f"{name}.{ending}", content)
    return [folder / f"{name}.{ending}" for ending in contents]
