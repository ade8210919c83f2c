"""ECG recordings from WFDB or CSV files."""

from __future__ import annotations

import glob
import math
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from datamodules.ecg.annotation_files import read_annotations
from datamodules.ecg.signal_tables import is_number, read_signals
from datamodules.errors import needs

MILLIVOLTS = {"nv": 1e-6, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "mv": 1.0, "v": 1e3}
"""Millivolts per unit, by the unit's lower-case name. Signals in other units are not ECG leads."""
SAMPLE_BYTES = {"8": 1, "16": 2, "24": 3, "32": 4, "61": 2, "80": 1, "160": 2, "212": 1.5, "310": 4 / 3, "311": 4 / 3}
"""Bytes per sample of the WFDB signal formats."""
TABLE_ENDINGS = (".csv", ".tsv", ".txt")
"""Endings of the files that are read as tables of millivolts."""


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


def read_record(
    path: str | Path, annotator: str | None = None, fs: float | None = None, strict: bool = False
) -> Record:
    """Read a recording of any sampling rate, gain and number of leads.

    Args:
        path: A WFDB record, with or without the ending of one of its files, or a CSV file of millivolts with one column
            per lead and an optional header line.
        annotator: Ending of the annotation file to read, such as ``atr``; None for no annotations.
        fs: Sampling rate of a CSV file in Hz; a WFDB record states its own.
        strict: Whether signals that do not have the checksum of their header are an error instead of a warning.

    Raises:
        FileNotFoundError: If the record or its annotation file is missing.
        ValueError: If a file is damaged, truncated or of an unknown format; the message names it.
        ModuleNotFoundError: If ``wfdb`` is not installed.
    """
    header = find_record(path)
    if header.suffix.lower() in TABLE_ENDINGS:
        if annotator is not None:
            raise ValueError(f"{path}: a CSV file has no annotations {annotator!r}")
        if fs is None:
            raise ValueError(f"{path}: a CSV file does not say its rate; give fs, the samples a second")
        if not (fs > 0 and math.isfinite(fs)):
            raise ValueError(f"{path}: fs must be above 0, not {fs:g}")
        signal, leads = read_signals(header)
        return Record(header.stem, signal, float(fs), leads)
    record = _read_wfdb(header)
    if strict and record.warnings:
        raise ValueError(record.warnings[0])
    if fs is not None and not math.isclose(fs, record.fs):
        raise ValueError(f"{header}: fs={fs:g} has no use, the record's rate is {record.fs:g} Hz")
    return record if annotator is None else _read_annotations(record, header, annotator)


def find_record(path: str | Path) -> Path:
    """Return the CSV file, or the header of the WFDB record, that a path names as in ``read_record``.

    The stem of its name is the name of the recording.

    Raises:
        FileNotFoundError: If there is none.
    """
    path = Path(os.path.expanduser(path))
    if path.suffix.lower() in TABLE_ENDINGS:
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file")
        return path
    if not path.name:
        raise FileNotFoundError(f"{str(path)!r} is a folder; expected a WFDB record or a CSV file")
    header = path if path.suffix == ".hea" else path.with_name(path.name + ".hea")
    if not header.is_file() and path.is_file():  # path is another file of the record
        header = path.with_suffix(".hea")
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
        lines = header.read_text(encoding="latin-1").splitlines()
        named = [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]
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

    ``II`` is treated as ``MLII``, lead II with the electrodes on the trunk.
    """
    synonyms = {"II", "MLII"} if first in ("II", "MLII") else {first}
    order = sorted(range(len(record.leads)), key=lambda k: record.leads[k].upper().strip() not in synonyms)
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


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}" if str(error).strip() else repr(error)


def _read_wfdb(header: Path) -> Record:
    package, name = needs("wfdb", "ecg"), str(header.with_suffix(""))
    _check_record_line(header)
    try:
        head = package.rdheader(name)
        fs, names, units = float(head.fs), list(head.sig_name or []), list(getattr(head, "units", None) or [])
        files = list(getattr(head, "file_name", None) or [])
    except Exception as error:  # wfdb raises exceptions of many types
        raise ValueError(f"{header}: damaged header ({_first_line(error)})") from error
    if not fs > 0:
        raise ValueError(f"{header}: damaged header (a rate of {fs:g} Hz)")
    if not hasattr(head, "seg_name") and len(files) != head.n_sig:
        raise ValueError(f"{header}: damaged header ({len(files)} of {head.n_sig} signals are described)")
    _check_files(header, head, files)
    try:
        read = package.rdrecord(name, return_res=32)
        signal, names, units = read.p_signal, list(read.sig_name or names), list(read.units or units)
        warnings = tuple(check_sums(header))
    except Exception as error:
        raise ValueError(f"{header.with_suffix('')}: signals cannot be read ({_first_line(error)})") from error
    if signal is None or not signal.size:
        raise ValueError(f"{header}: the record holds no signal")
    scales = [MILLIVOLTS.get((unit or "mV").lower()) for unit in units]
    leads = [k for k, scale in enumerate(scales) if scale is not None]
    if not leads:
        raise ValueError(f"{header}: no signal is in volts, but in {', '.join(map(str, units))}")
    millivolts = signal[:, leads].astype(np.float32) * np.array([scales[k] for k in leads], np.float32)
    leads_of = [names[k] or f"lead {k + 1}" for k in leads]
    return Record(header.stem, millivolts, fs, leads_of, warnings=warnings)


def check_sums(header: Path) -> Iterator[str]:
    """Yield a line for each file of signals whose samples do not have the checksums of a header, if it states any."""
    package, name = needs("wfdb", "ecg"), str(header.with_suffix(""))
    head = package.rdheader(name)
    for segment in getattr(head, "seg_name", None) or []:
        if segment != "~":
            yield from check_sums(header.with_name(f"{segment}.hea"))
    stated = getattr(head, "checksum", None) or []
    if not any(value is not None for value in stated) or not head.sig_len:
        return
    # The samples as they are in the file: of every rate, and without the shift of a skew.
    read = package.rdrecord(name, physical=False, smooth_frames=False, ignore_skew=True, return_res=32)
    wrong: dict[str, list[str]] = {}
    for k, (value, found) in enumerate(zip(stated, read.calc_checksum(expanded=True))):
        if value is not None and (value - found) % 65536:
            wrong.setdefault(str(head.file_name[k]), []).append(str((head.sig_name or [])[k] or f"signal {k + 1}"))
    for file, signals in wrong.items():
        yield f"{header.with_name(file)}: {', '.join(signals)} differ from the checksums in {header.name}; damaged?"


def _check_record_line(header: Path) -> None:
    """Raise if the number of signals, the rate or the number of samples in the record line is not a number.

    ``wfdb`` ignores invalid fields and falls back to 250 Hz.
    """
    lines = header.read_text(encoding="latin-1").splitlines()
    cells = next((line.split() for line in lines if line.strip() and not line.startswith("#")), [])
    for cell, what in zip(cells[1:4], ("number of signals", "rate", "number of samples")):
        number = cell.split("/")[0].split("(")[0]  # a rate may be followed by a counter frequency
        if not is_number(number) or float(number) < 0:
            raise ValueError(f"{header}: damaged header ({cell!r} is no {what})")


def _check_files(header: Path, head: Any, files: list[str]) -> None:
    """Raise if a signal file is missing, of an unknown format or shorter than the header states."""
    formats = list(getattr(head, "fmt", None) or [])
    for file in dict.fromkeys(files):
        path = header.with_name(str(file))
        rows = [k for k, name in enumerate(files) if name == file]
        if file == "~" or not formats:
            continue  # a null segment, or a multi-segment record, whose segments have their own headers
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: {header.name} says that it holds the signals")
        sizes = [SAMPLE_BYTES.get(str(formats[k])) for k in rows]
        if None in sizes and not str(formats[rows[0]]).startswith("5"):  # formats 508, 516 and 524 are compressed
            raise ValueError(f"{path}: unknown signal format {formats[rows[0]]}; choose from {', '.join(SAMPLE_BYTES)}")
        if head.sig_len and None not in sizes:
            frames = [int((head.samps_per_frame or [1] * len(files))[k] or 1) for k in rows]
            offset = int((head.byte_offset or [0] * len(files))[rows[0]] or 0)
            needed = offset + sum(head.sig_len * n * size for n, size in zip(frames, sizes) if size)
            if path.stat().st_size < math.floor(needed):
                raise ValueError(
                    f"{path}: {path.stat().st_size} bytes, expected {math.floor(needed)} for {head.sig_len} samples; "
                    "is it truncated?"
                )


def annotators_of(header: Path) -> list[str]:
    """Return the endings of the files of a record, by its header, that may be its annotations, sorted."""
    kinds = {"", ".hea", ".dat", ".csv", ".png", ".txt"}
    return sorted(p.suffix[1:] for p in header.parent.glob(f"{glob.escape(header.stem)}.*") if p.suffix not in kinds)


def _read_annotations(record: Record, header: Path, annotator: str) -> Record:
    """Return a record with the annotations of an annotation file, given by its ending."""
    path = header.with_suffix(f".{annotator}")
    if not path.is_file():
        found = annotators_of(header)
        hint = f"annotators of this record: {', '.join(found)}" if found else "the record has no annotations"
        raise FileNotFoundError(f"{path} is missing: {hint}")
    try:
        sample, symbol = read_annotations(path)
    except ValueError as error:
        raise ValueError(f"{path}: damaged annotations ({error}); is it truncated?") from error
    if len(sample) and (sample[0] < 0 or sample[-1] >= len(record.signal) or (np.diff(sample) < 0).any()):
        raise ValueError(f"{path}: annotations out of order or beyond the {len(record.signal)} samples of the record")
    return record._replace(sample=sample, symbol=symbol)
