"""From recordings of the heart to annotated beats, tables and reports."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.ecg.beats import beats_of
from datamodules.ecg.records import Record, order_leads, read_record
from zoo.errors import printable
from zoo.figures.ecg import BEAT_NAMES, CAUTION
from zoo.prediction.ecg_files import (
    ANNOTATOR,
    answer_files,
    check_formats,
    edited_file,
    output_names,
    plan_files,
    read_edited,
    write_answers_of,
)
from zoo.prediction.ecg_report import beat_summary
from zoo.prediction.inputs import Predictions, as_file, as_float_tensor, names_of
from zoo.prediction.jobs import run_jobs
from zoo.tasks.ecg_annotation import Annotation, choose_leads


def predict(
    model: Any,
    data: Any,
    inputs: Sequence[Any],
    output: str | None = None,
    *,
    annotator: str | None = None,
    fs: float | None = None,
    format: str | Sequence[str] | None = None,
    **reading: Any,
) -> Predictions:
    """Annotate the beats of recordings.

    Args:
        model: A ``BeatAnnotator``.
        data: Not needed: recordings are read as they are.
        inputs: WFDB records and CSV files, bytes of CSV files, or arrays of millivolts (samples, leads).
        output: Folder for the answers; it is made if its own folder is there.
        annotator: Ending of the annotation file from which R peaks are taken; they are detected if None. From a file
            ``zoo``, as ``predict`` writes it, in the folder or beside the recording, classes and episodes of atrial
            fibrillation are taken too.
        fs: Samples a second of CSV files and arrays.
        format: Formats of the files written, see ``ecg_files.FORMATS``; all but JSON if None.
        **reading: ``leads``, ``units`` and ``time_column`` of files, see ``read_record``; ``leads`` of arrays are their
            names.

    Returns:
        Answers with the ``annotation`` of each recording, its ``summary`` as rows, the ``warnings`` about its
        files, how it was read as ``reading``, and the ``files`` written.

    Raises:
        ValueError, OSError: If no recording can be annotated.
    """
    if annotator is not None:
        check_annotator(annotator)
    formats = check_formats(format)
    if format is not None and output is None:
        raise ValueError("format is of the files in the folder --output, which is missing")
    jobs = list(zip(names_of(inputs), inputs))
    names = output_names(jobs)
    if output is not None:
        plan_files(jobs, names, output, annotator, formats)

    def one(job: tuple[tuple[str, Any], str]) -> dict[str, Any]:
        (name, source), stem = job
        edited = edited_file(source, output, stem) if annotator == ANNOTATOR else None
        record = order_leads(read_input(source, name, None if annotator == ANNOTATOR else annotator, fs, **reading))
        renamed = "" if stem == record.name else f"{name}: its files are called {stem}, others have its name"
        record = record._replace(name=stem)
        for warning in record.warnings:
            print(printable(f"warning: {warning}"), file=sys.stderr)
        if annotator == ANNOTATOR:
            if edited is None:
                places = "beside it" if output is None else f"beside it or in {output}"
                raise FileNotFoundError(f"{name}: no {stem}.{ANNOTATOR} {places}; predict with --output writes it")
            found, origin = annotate_edited(model, record, edited)
        else:
            peaks, origin = (beats_of(record)[0] if annotator else None), ""
            found = model.annotate(record.signal, record.fs, peaks, record.leads)
        files = {} if output is None else answer_files(output, stem, formats, edited)
        write_answers_of(files, record, found, origin)
        return {
            "input": name,
            "annotation": found,
            "summary": beat_summary(found, record.fs, len(record.signal)),
            "files": [str(path) for path in files.values()],
            "name": stem,
            "remarks": [line for line in (renamed, origin, leads_used(record, found)) if line],
            "reading": record.reading,
            "warnings": list(record.warnings),
        }

    answers, failures = run_jobs(list(zip(jobs, names)), one, "annotating", len(jobs) > 1)
    display: list[Any] = []
    for answer in answers:
        display.append(summary_table(str(answer.pop("name")), answer["summary"]))
        display += [
            printable(line) for line in (answer["reading"], *answer.pop("remarks"), ", ".join(answer["files"])) if line
        ]
    return Predictions(answers, failures, len(jobs), [*display, CAUTION])


def leads_used(record: Record, found: Annotation) -> str:
    """Return a line that names the two leads by which beats were classified, if the recording has more."""
    if found.quality is None or len(record.leads) < 3:
        return ""
    first, second = (record.leads[k] for k in choose_leads(record.leads, found.quality))
    return f"beats are classified by {first} and {second}"


def check_annotator(annotator: str) -> None:
    """Raise ``ValueError`` unless an annotator is the ending of a file."""
    if not isinstance(annotator, str) or Path(f"record.{annotator}").suffix != f".{annotator}":
        raise ValueError(f"annotator {annotator!r}: expected the ending of an annotation file, such as atr")


def annotate_edited(model: Any, record: Record, path: Path) -> tuple[Annotation, str]:
    """Return the beats of a file that ``predict`` wrote and that may have been edited, and a line that says so.

    Positions and classes are those of the file, and atrial fibrillation if it marks rhythms. Probabilities are those
    that the model gives to the classes of the file; NaN where it gives none.
    """
    read = read_edited(path, record)
    found = model.annotate(record.signal, record.fs, read.sample, record.leads)
    probability, probabilities = read.probability, None
    if np.array_equal(found.sample, read.sample):
        same = np.array(found.symbol, dtype="U1") == np.array(read.symbol, dtype="U1")
        probability, probabilities = np.where(same, found.probability, probability), found.probabilities
        if probabilities is not None:
            rows = [list(BEAT_NAMES).index(symbol) for symbol in read.symbol]
            probability = probabilities[np.arange(len(rows)), rows]
    own = read._replace(probability=probability, probabilities=probabilities, quality=found.quality)
    if read.fibrillation is not None:
        return own, f"beats, classes and atrial fibrillation are those of {path}, not classified again"
    return own, f"beats and classes are those of {path}, not classified again; it marks no rhythm"


def read_input(source: Any, name: str, annotator: str | None, fs: float | None, **reading: Any) -> Record:
    """Read a recording from a path, the bytes of a CSV file or an array of millivolts (samples,) or (samples, leads).

    Raises:
        ValueError: If an array comes without ``fs``, with an annotator, or with its axes exchanged.
    """
    if isinstance(reading.get("leads"), str):
        reading["leads"] = [lead.strip() for lead in reading["leads"].split(",")]
    if isinstance(source, str):
        return read_record(source, annotator, fs, **reading)
    if annotator is not None:
        raise ValueError(f"{name}: only a record on disk has annotations {annotator!r}")
    if isinstance(source, bytes):
        with as_file(source, ".csv") as path:
            return read_record(path, fs=fs, **reading)._replace(name=name)
    for option in sorted(reading.keys() - {"leads"}):
        raise ValueError(f"{name}: {option} is for files; an array is in millivolts, without a column of times")
    if fs is None:
        raise ValueError(f"{name}: an array does not say its rate; give fs, the samples a second")
    signal = as_float_tensor(source).numpy()
    signal = signal[:, None] if signal.ndim == 1 else signal
    if signal.ndim != 2 or not 0 < signal.shape[1] <= len(signal):
        turned = "; transpose it" if signal.ndim == 2 and signal.size else ""
        raise ValueError(f"{name}: array of shape {signal.shape}, expected millivolts (samples, leads){turned}")
    leads = list(reading.get("leads") or [f"lead {k + 1}" for k in range(signal.shape[1])])
    if len(leads) != signal.shape[1]:
        raise ValueError(f"{name}: {len(leads)} names of leads for an array of {signal.shape[1]}")
    return Record(name, signal, fs, leads)


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
