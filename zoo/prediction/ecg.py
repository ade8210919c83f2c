"""From a recording of the heart to annotated beats, tables and record_strips."""

from __future__ import annotations

import csv
import io
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.ecg.beats import beats_of
from datamodules.ecg.records import Record, files_of_record, find_record, order_leads, read_record
from zoo.errors import needs, printable
from zoo.figures.ecg import BEAT_NAMES, CAUTION, record_strips
from zoo.files import check_outputs, write_files
from zoo.prediction.inputs import Predictions, as_file, as_float_tensor, names_of
from zoo.prediction.jobs import run_jobs
from zoo.tasks.ecg_annotation import Annotation

ANNOTATOR = "zoo"
"""Ending of the annotation files written."""


"""Options of ``predict`` for recordings."""


def predict(
    model: Any,
    data: Any,
    inputs: Sequence[Any],
    output: str | None = None,
    *,
    annotator: str | None = None,
    fs: float | None = None,
) -> Predictions:
    """Annotate the beats of recordings.

    Args:
        model: A ``BeatAnnotator``.
        data: Not needed: recordings are read as they are.
        inputs: WFDB records and CSV files, bytes of CSV files, or arrays of millivolts (samples, leads).
        output: Folder for WFDB annotations, CSV files and strips; it is made if its own folder is there.
        annotator: Ending of the annotation file from which R peaks are taken; they are detected if None.
        fs: Samples a second of CSV files and arrays.

    Returns:
        Answers with the ``annotation`` of each recording, its ``summary`` as rows, the ``warnings`` about its
        files, and the ``files`` written.

    Raises:
        ValueError, OSError: If no recording can be annotated.
    """
    if annotator is not None:
        check_annotator(annotator)
    jobs = list(zip(names_of(inputs), inputs))
    if output is not None:
        plan_files(jobs, output, annotator)

    def one(job: tuple[str, Any]) -> dict[str, Any]:
        name, source = job
        record = order_leads(read_input(source, name, annotator, fs))
        for warning in record.warnings:
            print(printable(f"warning: {warning}"), file=sys.stderr)
        peaks = beats_of(record)[0] if annotator else None
        found = model.annotate(record.signal, record.fs, peaks, record.leads)
        rows = beat_summary(found, record.fs, len(record.signal))
        files = [] if output is None else write_annotation(Path(output), str(record.name), record, found)
        return {
            "input": name,
            "annotation": found,
            "summary": rows,
            "files": list(map(str, files)),
            "name": record.name,
            "warnings": list(record.warnings),
        }

    answers, failures = run_jobs(jobs, one, "annotating", len(jobs) > 1)
    display: list[Any] = []
    for answer in answers:
        display.append(summary_table(str(answer.pop("name")), answer["summary"]))
        display += [printable(f"warning: {warning}") for warning in answer["warnings"]]
        if answer["files"]:
            display.append(printable(", ".join(answer["files"])))
    return Predictions(answers, failures, len(jobs), [*display, CAUTION])


def check_annotator(annotator: str) -> None:
    """Raise ``ValueError`` unless an annotator is the ending of a file."""
    if not isinstance(annotator, str) or Path(f"record.{annotator}").suffix != f".{annotator}":
        raise ValueError(f"annotator {annotator!r}: expected the ending of an annotation file, such as atr")


def read_input(source: Any, name: str, annotator: str | None, fs: float | None) -> Record:
    """Read a recording from a path, the bytes of a CSV file or an array of millivolts (samples,) or (samples, leads).

    Raises:
        ValueError: If an array comes without ``fs`` or with an annotator.
    """
    if isinstance(source, str):
        return read_record(source, annotator, fs)
    if annotator is not None:
        raise ValueError(f"{name}: only a record on disk has annotations {annotator!r}")
    if isinstance(source, bytes):
        with as_file(source, ".csv") as path:
            return read_record(path, fs=fs)._replace(name=name)
    if fs is None:
        raise ValueError(f"{name}: an array does not say its rate; give fs, the samples a second")
    signal = as_float_tensor(source).numpy()
    signal = signal[:, None] if signal.ndim == 1 else signal
    if signal.ndim != 2:
        raise ValueError(f"{name}: array of shape {signal.shape}, expected millivolts (samples, leads)")
    return Record(name, signal, fs, [f"lead {k + 1}" for k in range(signal.shape[-1])])


def longest_run(symbols: Sequence[str], symbol: str) -> int:
    """Return the largest number of beats of a class in a row."""
    longest = run = 0
    for found in symbols:
        run = run + 1 if found == symbol else 0
        longest = max(longest, run)
    return longest


def beat_summary(found: Annotation, fs: float, samples: int) -> list[dict[str, str]]:
    """Summarise annotated beats in a row for each class and one for all: number, burden in %, longest run, mean rate.

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
    for symbol in (*BEAT_NAMES, "all"):
        chosen = symbols == symbol if symbol != "all" else np.ones(len(symbols), bool)
        intervals = rr[chosen & (rr > 0)]
        n = int(chosen.sum())
        rows.append(
            {
                "class": f"{symbol} {BEAT_NAMES[symbol]}" if symbol != "all" else f"all, in {samples / fs:.0f} s",
                "beats": str(n),
                "burden %": f"{100 * n / len(symbols):.2f}" if len(symbols) else "-",
                "longest run": str(longest_run(found.symbol, symbol)) if symbol != "all" else "",
                "mean rate, 1/min": f"{60 / intervals.mean():.0f}" if len(intervals) else "-",
            }
        )
    return rows


def summary_table(title: str, rows: Sequence[dict[str, str]]) -> Any:
    """Return the rows of ``beat_summary`` as a table of ``rich``."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(printable(title)), title_justify="left", title_style="bold", box=None, pad_edge=False)
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


def _label(name: str) -> str:
    """Return a name for a figure, in which dollar signs would enclose a formula."""
    return printable(name).replace("$", r"\$")


def as_png(figure: Any) -> bytes:
    """Return a figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def plan_files(jobs: Sequence[tuple[str, Any]], folder: str, annotator: str | None) -> None:
    """Raise ``ValueError`` before any work is done if annotations cannot be written, or would replace a recording.

    Args:
        jobs: Name and source of each recording.
        folder: Where the annotations go.
        annotator: Ending of the annotation files that are read.
    """
    targets, read = [], []
    for name, source in jobs:
        if isinstance(source, str):
            try:
                found = find_record(source)
                read += files_of_record(found, annotator)
            except OSError:
                continue  # it has no answer, and the error is its own
        stem = found.stem if isinstance(source, str) else name
        targets += [(name, path) for path in annotation_files(Path(folder), stem)]
    check_outputs(folder, targets, read, folder=True)


def annotation_files(folder: Path, name: str) -> list[Path]:
    """Return the files of a recording's annotations in a folder: WFDB annotations, CSV and strips."""
    return [folder / f"{name}.{ending}" for ending in (ANNOTATOR, "csv", "png")]


def write_annotation(folder: Path, name: str, record: Any, found: Annotation) -> list[Path]:
    """Write the annotated beats of a recording: all files or none.

    Args:
        folder: Where to.
        name: Name of the recording, to which endings are added.
        record: The recording, with ``signal``, ``fs`` and ``leads``.
        found: Its beats.

    Returns:
        The files: WFDB annotations ``.zoo``, ``.csv`` and record_strips ``.png``.
    """
    contents = [
        as_annotation_file(found, record.fs),
        as_csv(found, record.fs),
        as_png(record_strips(record.signal, record.fs, found, _label(name), list(map(_label, record.leads)))),
    ]
    files = annotation_files(folder, name)
    write_files(dict(zip(files, contents)))
    return files
