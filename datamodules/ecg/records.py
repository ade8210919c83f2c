"""ECG recordings from WFDB, EDF, BDF or CSV files."""

from __future__ import annotations

import glob
import math
import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from datamodules.ecg.annotation_files import read_annotations, time_resolution
from datamodules.ecg.edf_files import EDF_ENDINGS, read_edf
from datamodules.ecg.lead_names import canonical_lead
from datamodules.ecg.lead_units import named_unit
from datamodules.ecg.other_files import format_of
from datamodules.ecg.signal_tables import read_signals
from datamodules.ecg.table_layout import COMPRESSED_ENDINGS
from datamodules.ecg.wfdb_files import Leads, header_lines, read_wfdb

TABLE_ENDINGS = (".csv", ".tsv", ".txt")
"""Endings of the files that are read as tables; one of ``COMPRESSED_ENDINGS`` may follow."""


class Record(NamedTuple):
    """A recording: its signal and, if read, its annotations."""

    name: str
    signal: np.ndarray
    """Millivolts (samples, leads), float32; NaN for missing samples."""
    fs: float
    """Sampling rate in Hz."""
    leads: list[str]
    sample: np.ndarray | None = None
    """Positions (annotations,) in samples, int64, in ascending order."""
    symbol: list[str] | None = None
    """WFDB codes of all annotations, beats and others."""
    warnings: tuple[str, ...] = ()
    """What is doubtful about the files, a line each."""
    reading: str = ""
    """What was taken for what in the files, in one line: leads and their units, the rate, and what was left out."""


def read_record(
    path: str | Path,
    annotator: str | None = None,
    fs: float | None = None,
    strict: bool = False,
    *,
    leads: Sequence[str | int] | None = None,
    units: str | None = None,
    time_column: str | int | None = None,
) -> Record:
    """Read a recording of any sampling rate, gain and number of leads.

    Args:
        path: A WFDB record, with or without the ending of one of its files, an EDF or BDF file, or a CSV file with one
            column per lead, as ``signal_tables.read_signals`` reads it.
        annotator: Ending of the annotation file to read, such as ``atr``; None for no annotations.
        fs: Sampling rate in Hz of a CSV file without a column of time; other files state their own.
        strict: Whether signals that do not have the checksum of their header, and annotations past the end, are an
            error instead of a warning.
        leads: Names, or numbers from 1, of the signals or columns to take as leads, in that order; None for all that
            may be an ECG by name and unit.
        units: Unit of all leads, one of ``lead_units.MILLIVOLTS``, whatever the file states; None for the file's.
        time_column: Name, or number from 1, of the column of time of a CSV file, or ``"none"`` if it has none; None to
            recognise it by its steps.

    Raises:
        FileNotFoundError: If the record or its annotation file is missing.
        ValueError: If a file is damaged, truncated or of an unknown format, or an argument does not fit it; the message
            names it.
        ModuleNotFoundError: If ``wfdb``, ``edfio`` or ``pandas`` is needed and not installed.
    """
    header = find_record(path)
    if fs is not None and not (fs > 0 and math.isfinite(fs)):
        raise ValueError(f"{path}: fs must be above 0, not {fs:g}")
    units = None if units is None else named_unit(units)
    if _is_table(header):
        if annotator is not None:
            raise ValueError(f"{path}: a CSV file has no annotations {annotator!r}")
        return _as_record(header, read_signals(header, fs, leads, units, time_column))
    if time_column is not None:
        raise ValueError(f"{header}: time_column={time_column!r} has no use, only a CSV file has columns")
    if header.suffix.lower() in EDF_ENDINGS:
        if annotator is not None:
            raise ValueError(f"{path}: annotations {annotator!r} are read of WFDB records alone")
        found = read_edf(header, leads, units)
    else:
        found = read_wfdb(header, leads, units, strict)
    if fs is not None and not math.isclose(fs, found.fs):
        raise ValueError(f"{header}: fs={fs:g} has no use, the record's rate is {found.fs:g} Hz")
    record = _as_record(header, found)
    return record if annotator is None else _read_annotations(record, header, annotator, found.frame, strict)


def record_name(path: Path) -> str:
    """Return the name of the recording in a file: that of the file without its endings."""
    return Path(path.stem).stem if path.suffix.lower() in COMPRESSED_ENDINGS else path.stem


def _as_record(path: Path, found: Leads) -> Record:
    return Record(
        record_name(path), found.signal, found.fs, found.names, warnings=tuple(found.warnings), reading=found.reading
    )


def _is_table(path: Path) -> bool:
    if path.suffix.lower() in COMPRESSED_ENDINGS:
        path = path.with_suffix("")
    return path.suffix.lower() in TABLE_ENDINGS


def find_record(path: str | Path) -> Path:
    """Return the CSV, EDF or BDF file, or the header of the WFDB record, that a path names as in ``read_record``.

    The stem of its name is the name of the recording.

    Raises:
        FileNotFoundError: If there is none.
    """
    path = Path(os.path.expanduser(path))
    kinds = "a WFDB record, or a CSV, EDF or BDF file"
    if _is_table(path) or path.suffix.lower() in EDF_ENDINGS:
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file")
        return path
    if not path.name:
        raise FileNotFoundError(f"{str(path)!r} is a folder; expected {kinds}")
    header = path if path.suffix == ".hea" else path.with_name(path.name + ".hea")
    if not header.is_file() and path.is_file():  # path is another file of the record
        header = path.with_suffix(".hea")
        if not header.is_file() and (reason := format_of(path)):
            raise FileNotFoundError(f"{path}: {reason}; expected {kinds}")
    if not header.is_file():
        raise FileNotFoundError(f"{path}: no such record; expected {header.name} beside its signals, or a CSV file")
    return header


def files_of_record(header: Path, annotator: str | None = None) -> list[Path]:
    """Return the files that ``read_record`` reads for a path found by ``find_record``, existing or not."""
    if header.suffix != ".hea":
        return [header]
    files, headers = [], [header]
    while headers:
        header = headers.pop()
        if header in files or not header.is_file():
            continue
        files.append(header)
        named = [line.split()[0] for line in header_lines(header)]
        headers += [header.parent / f"{name}.hea" for name in named[1:]]  # segments
        files += [header.parent / name for name in named[1:]]
        if annotator:
            files.append(header.with_suffix(f".{annotator}"))
    return files


def find_records(folder: str | os.PathLike[str], annotator: str) -> tuple[list[Path], list[Path]]:
    """Return the headers of the WFDB records in a folder and its subfolders, sorted, with and without annotations.

    The segments of a record are not records of their own, unless they have annotations and it has none.

    Args:
        folder: The folder, or one record, with or without the ending of one of its files.
        annotator: Ending of the annotation files, such as ``atr``.

    Raises:
        FileNotFoundError: If the folder is missing or holds no record.
        ValueError: If the record is a CSV file.
    """
    folder = Path(os.path.expanduser(os.fspath(folder)))
    if folder.is_dir():
        headers = sorted(path for path in folder.rglob("*.hea") if path.is_file())
    elif folder.exists() or folder.with_name(f"{folder.name}.hea").is_file():
        headers = [find_record(folder)]
        if headers[0].suffix != ".hea":
            raise ValueError(f"{folder}: a CSV file has no annotations {annotator!r}; expected a WFDB record")
    else:
        raise FileNotFoundError(f"{folder}: no such folder; expected one of WFDB records, *.hea")
    if not headers:
        raise FileNotFoundError(f"{folder}: no WFDB record, *.hea, in this folder or its subfolders")
    annotated = {header for header in headers if header.with_suffix(f".{annotator}").is_file()}
    covered = {segment for header in annotated for segment in _segments(header)}
    parts = {segment for header in headers for segment in _segments(header)} - annotated
    kept = [header for header in headers if header not in covered | parts] or headers
    return [header for header in kept if header in annotated], [header for header in kept if header not in annotated]


def _segments(header: Path) -> set[Path]:
    """Return the headers of the segments of a record; none if its header cannot be read."""
    try:
        return {path for path in files_of_record(header) if path.suffix == ".hea"} - {header}
    except OSError:
        return set()


def order_leads(record: Record, first: str = "MLII") -> Record:
    """Return a record with lead ``first`` moved to the front if present; the order of the others is kept.

    Names are compared as ``canonical_lead`` writes them: ``II`` is ``MLII``, lead II with the electrodes on the trunk.
    """
    wanted = canonical_lead(first)
    order = sorted(range(len(record.leads)), key=lambda k: canonical_lead(record.leads[k]) != wanted)
    if order == list(range(len(order))):
        return record
    return record._replace(signal=record.signal[:, order], leads=[record.leads[k] for k in order])


def fill_gaps(signal: np.ndarray) -> np.ndarray:
    """Fill missing samples, NaN or infinite, of a signal (samples, leads) by linear interpolation.

    A gap at an end is filled with the nearest sample, and a lead without any sample with 0. A signal without gaps is
    returned as it is, not copied.
    """
    present = np.isfinite(signal)
    if present.all():
        return signal
    filled, samples = np.zeros_like(signal), np.arange(len(signal))
    for lead in range(signal.shape[1]):
        known = present[:, lead]
        if known.any():
            filled[:, lead] = np.interp(samples, samples[known], signal[known, lead])
    return filled


def resample(record: Record, fs: float) -> Record:
    """Return a record at another sampling rate: gaps filled, low-pass filtered, positions rounded to samples."""
    if math.isclose(record.fs, fs):
        return record._replace(signal=fill_gaps(record.signal))
    from scipy.signal import resample_poly

    ratio = Fraction(fs / record.fs).limit_denominator(1000)
    signal = fill_gaps(record.signal)
    if len(signal):
        # Padding with the edge sample avoids the ringing that zero padding causes.
        signal = resample_poly(signal, ratio.numerator, ratio.denominator, axis=0, padtype="edge").astype(np.float32)
    sample = None if record.sample is None else np.rint(record.sample * float(ratio)).astype(np.int64)
    return record._replace(signal=signal, fs=fs, sample=sample)


def annotators_of(header: Path) -> list[str]:
    """Return the endings of the files of a record, by its header, that may be its annotations, sorted."""
    kinds = {"", ".hea", ".dat", ".csv", ".png", ".txt", ".html", ".json"}
    return sorted(p.suffix[1:] for p in header.parent.glob(f"{glob.escape(header.stem)}.*") if p.suffix not in kinds)


def _read_annotations(record: Record, header: Path, annotator: str, frame: int, strict: bool) -> Record:
    """Return a record with the annotations of an annotation file, given by its ending.

    Their times are in frames of ``frame`` samples, unless the file states another resolution.
    """
    path = header.with_suffix(f".{annotator}")
    if not path.is_file():
        found = annotators_of(header)
        hint = f"annotators of this record: {', '.join(found)}" if found else "the record has no annotations"
        raise FileNotFoundError(f"{path} is missing: {hint}")
    try:
        sample, symbol = read_annotations(path)
    except ValueError as error:
        raise ValueError(f"{path}: damaged annotations ({error}); is it truncated?") from error
    resolution = time_resolution(path)
    scale = record.fs / resolution if resolution else float(frame)
    if scale != 1:
        sample = np.rint(sample * scale).astype(np.int64)
    length = len(record.signal)
    inside = int(np.searchsorted(sample, length)) if (np.diff(sample) >= 0).all() else -1
    lost = len(sample) - inside
    # A file most of which is past the end is of another record or damaged.
    if inside < 0 or (len(sample) and sample[0] < 0) or (lost and (strict or lost > inside)):
        raise ValueError(f"{path}: annotations out of order or beyond the {length} samples of the record")
    warnings = record.warnings
    if lost:
        last = f"the last at sample {sample[-1]}"
        warnings += (f"{path}: {lost} of {len(sample)} annotations are past the {length} samples, {last}: left out",)
    return record._replace(sample=sample[:inside], symbol=symbol[:inside], warnings=warnings)
