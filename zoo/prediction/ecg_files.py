"""The files of annotated recordings: their names and contents, and beats read back from an edited file."""

from __future__ import annotations

import csv
import io
import json
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.ecg.annotation_files import read_annotations, read_notes
from datamodules.ecg.beats import beats_of
from datamodules.ecg.records import Record, files_of_record, find_record, record_name
from zoo.errors import needs, printable, unknown
from zoo.figures.ecg import BEAT_NAMES, CAUTION, record_strips
from zoo.files import check_outputs, write_files
from zoo.prediction.ecg_page import report_page
from zoo.prediction.ecg_report import report_rows
from zoo.prediction.rhythm_episodes import find_episodes
from zoo.tasks.ecg_annotation import Annotation

ANNOTATOR = "zoo"
"""Ending of the annotation files written. Beats and classes of such a file are taken as they are."""
FORMATS = {"wfdb": ANNOTATOR, "csv": "csv", "png": "png", "html": "html", "json": "json"}
"""Endings of the files of an annotated recording by their format."""
DEFAULT_FORMATS = ("wfdb", "csv", "png", "html")
"""Formats that are written if none is asked for."""
FIBRILLATION, OTHER_RHYTHM = "(AFIB", "(N"
"""Notes of annotation files at the begin of atrial fibrillation, and where it ends."""


def check_formats(given: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return the formats asked for, by names separated by commas or a sequence of such; the default ones if None.

    Raises:
        ValueError: If one is unknown or none is named.
    """
    if given is None:
        return DEFAULT_FORMATS
    names = [part.strip() for text in ([given] if isinstance(given, str) else given) for part in str(text).split(",")]
    for name in names or [""]:
        if name not in FORMATS:
            raise unknown("format", name, FORMATS)
    return tuple(name for name in FORMATS if name in names)


def output_names(jobs: Sequence[tuple[str, Any]]) -> list[str]:
    """Return the name of each recording's files: its own, behind those of its folders where two would share it.

    Args:
        jobs: Name and source of each recording. One that is not found keeps its name, and has its own error later.
    """
    paths = []
    for name, source in jobs:
        try:
            found = find_record(source).absolute() if isinstance(source, str) else None
        except (OSError, ValueError):
            found = None
        paths.append((*found.parent.parts[1:], record_name(found)) if found else (name,))
    names = [path[-1] for path in paths]
    for depth in range(2, max(map(len, paths)) + 1):
        folded = [name.casefold() for name in names]  # some file systems do not distinguish the case of names
        shared = {name for name in folded if folded.count(name) > 1}
        same = {path for path in paths if paths.count(path) > 1}  # a recording given twice: no name tells it apart
        names = [
            "_".join(path[-depth:]) if name.casefold() in shared and path not in same else name
            for name, path in zip(names, paths)
        ]
    return names


def plan_files(
    jobs: Sequence[tuple[str, Any]],
    names: Sequence[str],
    folder: str,
    annotator: str | None,
    formats: Sequence[str],
) -> None:
    """Raise ``ValueError`` before any work is done if answers cannot be written, or would replace what is read.

    Args:
        jobs: Name and source of each recording.
        names: Name of the files of each.
        folder: Where the answers go.
        annotator: Ending of the annotation files that are read.
        formats: Formats of the files.
    """
    targets: list[tuple[str, Path]] = []
    read: list[Path] = []
    for (name, source), stem in zip(jobs, names):
        edited = edited_file(source, folder, stem) if annotator == ANNOTATOR else None
        if isinstance(source, str):
            try:
                read += files_of_record(find_record(source), None if edited else annotator)
            except (OSError, ValueError):
                continue  # it has no answer, and the error is its own
        targets += [(name, path) for path in answer_files(folder, stem, formats, edited).values()]
        read += [edited] if edited else []
    check_outputs(folder, targets, read, folder=True)


def answer_files(folder: str, name: str, formats: Sequence[str], edited: Path | None = None) -> dict[str, Path]:
    """Return the files of a recording in a folder by their format, without the one its beats are read from."""
    files = {form: Path(folder) / f"{name}.{FORMATS[form]}" for form in formats}
    if edited is not None and "wfdb" in files and files["wfdb"].exists() and files["wfdb"].samefile(edited):
        del files["wfdb"]
    return files


def edited_file(source: Any, folder: str | None, name: str) -> Path | None:
    """Return the annotation file of a recording that ``predict`` wrote, in a folder or beside it; None if none is."""
    places = [Path(folder) / f"{name}.{ANNOTATOR}"] if folder is not None else []
    try:
        places += [find_record(source).with_suffix(f".{ANNOTATOR}")] if isinstance(source, str) else []
    except (OSError, ValueError):
        return None  # the error is that of reading the recording
    return next((path for path in places if path.is_file()), None)


def read_edited(path: Path, record: Record) -> Annotation:
    """Read beats, classes and episodes of atrial fibrillation from an annotation file.

    Args:
        path: The file.
        record: The recording that it belongs to.

    Returns:
        The beats, of unknown probability; ``fibrillation`` is None if the file marks no rhythm.

    Raises:
        ValueError: If the file is damaged or is that of another recording.
    """
    try:
        sample, symbol = read_annotations(path)
        places, notes = read_notes(path)
    except ValueError as error:
        raise ValueError(f"{path}: damaged annotations ({error}); is it truncated?") from error
    beats, classes = beats_of(record._replace(sample=sample, symbol=symbol))
    inside = not len(beats) or (beats[0] >= 0 and beats[-1] < len(record.signal))
    if not inside or (np.diff(sample) < 0).any():
        raise ValueError(f"{path}: annotations out of order or beyond the {len(record.signal)} samples of the record")
    symbols = [list(BEAT_NAMES)[k] for k in classes.tolist()]
    marks = [k for k, note in enumerate(notes) if note.startswith("(")]
    fibrillation = None
    if marks:
        last = np.searchsorted(places[marks], beats, side="right") - 1
        begun = np.array([notes[k].strip() == FIBRILLATION for k in marks])
        fibrillation = (last >= 0) & begun[last.clip(0)]
    return Annotation(beats, symbols, np.full(len(beats), np.nan, np.float32), fibrillation=fibrillation)


def as_csv(found: Annotation, fs: float) -> bytes:
    """Return the beats as CSV: sample, seconds, symbol, probability, and what else is known.

    Columns ``p_N`` to ``p_Q`` are the probabilities of all classes, ``rhythm`` is AFIB in atrial fibrillation. What is
    not known of a beat is empty.
    """
    columns = {
        "sample": list(map(str, found.sample.tolist())),
        "seconds": [f"{seconds:.3f}" for seconds in (found.sample / fs).tolist()],
        "symbol": found.symbol,
        "probability": _digits(found.probability),
    }
    if found.probabilities is not None:
        columns |= {f"p_{symbol}": _digits(column) for symbol, column in zip(BEAT_NAMES, found.probabilities.T)}
    if found.fibrillation is not None:
        columns["rhythm"] = ["AFIB" if inside else "" for inside in found.fibrillation.tolist()]
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows([list(columns), *zip(*columns.values())])
    return buffer.getvalue().encode()


def _digits(values: np.ndarray) -> list[str]:
    return [f"{value:.4f}" if math.isfinite(value) else "" for value in values.tolist()]


def as_json(record: Record, found: Annotation) -> bytes:
    """Return the report and all beats and episodes as JSON; what is not known is null."""

    def known(value: float, digits: int) -> float | None:
        return round(value, digits) if math.isfinite(value) else None

    columns: dict[str, Any] = {
        "sample": found.sample.tolist(),
        "symbol": found.symbol,
        "probability": [known(value, 4) for value in found.probability.tolist()],
    }
    if found.probabilities is not None:
        columns["probabilities"] = [[known(value, 4) for value in row] for row in found.probabilities.tolist()]
    if found.fibrillation is not None:
        columns["fibrillation"] = found.fibrillation.tolist()
    episodes = [
        {
            "kind": each.kind,
            "start_sample": each.start,
            "stop_sample": each.stop,
            "start": round(each.start / record.fs, 3),
            "stop": round(each.stop / record.fs, 3),
            "beats": each.beats,
            "rate": known(each.rate, 1),
        }
        for each in find_episodes(found, record.fs)
    ]
    report = report_rows(record, found)
    del report["lists"]
    report |= {"caution": CAUTION, "episodes": episodes, "episode_summary": report["episodes"], "beats": columns}
    return json.dumps(report, ensure_ascii=True, allow_nan=False).encode()


def as_annotation_file(found: Annotation, fs: float) -> bytes:
    """Return the beats as a WFDB annotation file, with marks where atrial fibrillation begins and ends if known."""
    if not len(found.sample):
        return b"\0\0"  # the end; wfdb writes no file without annotations
    sample, symbols, notes = found.sample, found.symbol, None
    if found.fibrillation is not None:
        inside = np.asarray(found.fibrillation, bool)
        changes = np.flatnonzero(np.diff(inside, prepend=~inside[:1]))  # the first beat is one
        sample = np.insert(sample, changes, sample[changes])
        order = np.insert(np.arange(len(inside)), changes, -1 - changes)
        symbols = [found.symbol[k] if k >= 0 else "+" for k in order.tolist()]
        rhythms = FIBRILLATION, OTHER_RHYTHM
        notes = ["" if k >= 0 else rhythms[0] if inside[-1 - k] else rhythms[1] for k in order.tolist()]
    with tempfile.TemporaryDirectory() as folder:
        needs("wfdb", "ecg").wrann("beats", ANNOTATOR, sample, symbols, aux_note=notes, fs=fs, write_dir=folder)
        return (Path(folder) / f"beats.{ANNOTATOR}").read_bytes()


def _label(name: str) -> str:
    """Return a name for a figure, in which dollar signs would enclose a formula."""
    return printable(name).replace("$", r"\$")


def as_png(figure: Any) -> bytes:
    """Return a figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def write_answers_of(files: dict[str, Path], record: Record, found: Annotation, source: str = "") -> None:
    """Write the files of an annotated recording: all or none.

    Args:
        files: The files by their format.
        record: The recording, its leads in the order in which they were annotated.
        found: Its beats.
        source: A line that says where the beats come from.
    """
    name, leads = _label(record.name), list(map(_label, record.leads))
    contents = {
        "wfdb": lambda: as_annotation_file(found, record.fs),
        "csv": lambda: as_csv(found, record.fs),
        "png": lambda: as_png(record_strips(record.signal, record.fs, found, name, leads)),
        "html": lambda: report_page(record, found, source),
        "json": lambda: as_json(record, found),
    }
    write_files({path: contents[form]() for form, path in files.items()})
