"""Signals of WFDB records."""

from __future__ import annotations

import contextlib
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from datamodules.ecg.lead_choice import choose_leads, describe, same_rate, to_millivolts
from datamodules.errors import needs

SAMPLE_BYTES = {"8": 1, "16": 2, "24": 3, "32": 4, "61": 2, "80": 1, "160": 2, "212": 1.5, "310": 4 / 3, "311": 4 / 3}
"""Bytes per sample of the WFDB signal formats."""
_FILE_NAME = re.compile(r"~?[-\w]*\.?\w*", re.ASCII)
_RECORD_NAME = re.compile(r"[-\w]+(/\d*)?", re.ASCII)
_UNITS = re.compile(r"/(\S+)$")


class Leads(NamedTuple):
    """The leads of a recording as read from its files."""

    signal: np.ndarray
    """Millivolts (samples, leads), float32; NaN for missing samples."""
    fs: float
    """Sampling rate in Hz."""
    names: list[str]
    warnings: list[str]
    """What is doubtful, a line each."""
    reading: str
    """What was taken for what, in one line."""
    frame: int = 1
    """Samples per frame: the unit of time of WFDB annotations."""


def read_wfdb(
    header: Path, wanted: Sequence[str | int] | None = None, units: str | None = None, strict: bool = False
) -> Leads:
    """Read the leads of a WFDB record at their own rate.

    Args:
        header: Path of its header.
        wanted: Names, or numbers from 1, of the signals to take in that order; None for all that may be an ECG.
        units: Unit of all leads; None for those of the header, which are millivolts where it states none.
        strict: Whether signals that do not have the checksum of their header are an error.

    Raises:
        FileNotFoundError: If a file of signals is missing.
        ValueError: If a file is damaged or truncated, or no signal is an ECG.
    """
    package, lines = needs("wfdb", "ecg"), header_lines(header)
    _check_record_line(header, lines)
    with _readable(header, lines) as readable:
        name = str(readable.with_suffix(""))
        try:
            head = package.rdheader(name)
            fs, n_sig, files = float(head.fs), int(head.n_sig), list(getattr(head, "file_name", None) or [])
        except Exception as error:  # wfdb raises exceptions of many types
            raise ValueError(f"{header}: damaged header ({_first_line(error)})") from error
        if not fs > 0:
            raise ValueError(f"{header}: damaged header (a rate of {fs:g} Hz)")
        if not hasattr(head, "seg_name"):
            if len(files) != n_sig:
                raise ValueError(f"{header}: damaged header ({len(files)} of {n_sig} signals are described)")
            _check_files(header, head, [line.split()[0] for line in lines[1 : n_sig + 1]])
        try:
            read = package.rdrecord(name, return_res=32, smooth_frames=False)
            signals = list(read.e_p_signal if read.e_p_signal is not None else [])
            sums = list(_check_sums(header, readable))
        except Exception as error:
            raise ValueError(f"{header.with_suffix('')}: signals cannot be read ({_first_line(error)})") from error
    if strict and sums:
        raise ValueError(sums[0])
    if not signals or not any(signal.size for signal in signals):
        raise ValueError(f"{header}: the record holds no signal")
    stated, names, physical = _stated(header), [], []
    for k, (name, unit) in enumerate(zip(read.sig_name, read.units)):
        name_in_file, unit_in_file = stated.get(_ascii(name)) or stated.get(k) or ("", "")
        names.append(name_in_file or name or f"lead {k + 1}")
        physical.append(unit_in_file or unit or "mV")
    try:
        frames = [int(n or 1) for n in (read.samps_per_frame or [1] * len(names))]
        rates = [fs * n for n in frames]
        index, left_out = same_rate(choose_leads(names, physical, wanted), names, rates, wanted)
        most = frames[index[0]]
        signal = np.stack([signals[k].astype(np.float32, copy=False) for k in index], axis=1)
        del signals, read
        known, doubts = to_millivolts(signal, [physical[k] for k in index], fs * most, units)
    except ValueError as error:
        raise ValueError(f"{header}: {error}") from None
    chosen = [names[k] for k in index]
    warnings = [*sums, *(f"{header}: {line}" for line in doubts)]
    return Leads(signal, fs * most, chosen, warnings, describe(chosen, known, f"{fs * most:g} Hz", left_out), most)


def header_lines(header: Path) -> list[str]:
    """Return the lines of a header without comments, from UTF-8 or else Latin-1."""
    content = header.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return [line for line in re.split(r"[\r\n]+", text) if line.strip() and not line.startswith("#")]


def _stated(header: Path) -> dict[str | int, tuple[str, str]]:
    """Return the name and unit of signals in whose lines are characters that are not ASCII, for ``wfdb`` drops these.

    Of ``µV`` it leaves ``V``. The keys are the ASCII characters of the name, or without a name the number from 0.
    """
    lines = header_lines(header)
    stated: dict[str | int, tuple[str, str]] = {}
    if "/" in lines[0].split()[0]:
        for line in lines[1:]:
            segment = header.parent / f"{line.split()[0]}.hea"
            if segment.is_file() and segment != header:
                stated |= _stated(segment)
        return stated
    for k, line in enumerate(lines[1:]):
        cells = line.split(None, 8)
        unit = _UNITS.search(cells[2]) if len(cells) > 2 else None
        name = cells[8].strip() if len(cells) > 8 else ""
        if not line.isascii():
            stated[_ascii(name) or k] = (name, unit[1] if unit else "")
    return stated


def _ascii(name: str | None) -> str:
    return (name or "").encode("ascii", "ignore").decode().strip()


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}" if str(error).strip() else repr(error)


@contextlib.contextmanager
def _readable(header: Path, lines: Sequence[str]) -> Iterator[Path]:
    """Yield the path of a header that ``wfdb`` can read: the given one, or one in a temporary folder.

    ``wfdb`` refuses names with dots, spaces or other characters, and takes a length of 0 for no samples instead of an
    unknown number.
    """
    cells = lines[0].split()
    rows = [line.split(None, 1) for line in lines[1:]]
    unknown_length = len(cells) > 3 and cells[3] == "0" and len(cells) > 1 and cells[1] != "0"
    fine = _RECORD_NAME.fullmatch(cells[0]) and all(_FILE_NAME.fullmatch(row[0]) for row in rows)
    if "/" in cells[0] or (fine and not unknown_length) or any(len(row) < 2 for row in rows):
        yield header
        return
    with tempfile.TemporaryDirectory() as folder:
        renamed = {name: f"s{k}.dat" for k, name in enumerate(dict.fromkeys(row[0] for row in rows if row[0] != "~"))}
        for file, link in renamed.items():
            if (header.parent / file).is_file():
                _link((header.parent / file).resolve(), Path(folder, link))
        record = ["record", *(cells[1:3] if unknown_length else cells[1:])]
        text = [" ".join(record), *(f"{renamed.get(row[0], row[0])} {row[1]}" for row in rows)]
        path = Path(folder, "record.hea")
        path.write_bytes("\n".join([*text, ""]).encode("ascii", "ignore"))
        yield path


def _link(file: Path, link: Path) -> None:
    try:
        os.symlink(file, link)
    except OSError:  # Windows allows links to few users
        shutil.copyfile(file, link)


def _check_sums(header: Path, readable: Path) -> Iterator[str]:
    """Yield a line for each file of signals whose samples do not have the checksums of a header, if it states any."""
    package, name = needs("wfdb", "ecg"), str(readable.with_suffix(""))
    head = package.rdheader(name)
    for segment in getattr(head, "seg_name", None) or []:
        if segment != "~":
            path = header.parent / f"{segment}.hea"
            yield from _check_sums(path, path)
    stated = getattr(head, "checksum", None) or []
    if not any(stated) or not head.sig_len:  # 0 for all is what is written where they were not computed
        return
    # The samples as they are in the file: of every rate, and without the shift of a skew.
    read = package.rdrecord(name, physical=False, smooth_frames=False, ignore_skew=True, return_res=32)
    files = [line.split()[0] for line in header_lines(header)[1:]]
    wrong: dict[str, list[str]] = {}
    for k, (value, found) in enumerate(zip(stated, read.calc_checksum(expanded=True))):
        if value is not None and (value - found) % 65536:
            wrong.setdefault(files[k], []).append(str((head.sig_name or [])[k] or f"signal {k + 1}"))
    for file, signals in wrong.items():
        yield f"{(header.parent / file)}: {', '.join(signals)} differ from the checksums in {header.name}; damaged?"


def _check_record_line(header: Path, lines: Sequence[str]) -> None:
    """Raise if the number of signals, the rate or the number of samples in the record line is not a number.

    ``wfdb`` ignores invalid fields and falls back to 250 Hz.
    """
    cells = lines[0].split() if lines else []
    if not cells:
        raise ValueError(f"{header}: damaged header (it is empty)")
    for cell, what in zip(cells[1:4], ("number of signals", "rate", "number of samples")):
        number = cell.split("/")[0].split("(")[0]  # a rate may be followed by a counter frequency
        try:
            valid = float(number or "nan") >= 0 or not number
        except ValueError:
            valid = False
        if not valid:
            raise ValueError(f"{header}: damaged header ({cell!r} is no {what})")


def _check_files(header: Path, head: Any, files: list[str]) -> None:
    """Raise if a signal file is missing, of an unknown format or shorter than the header states."""
    formats = list(getattr(head, "fmt", None) or [])
    for file in dict.fromkeys(files):
        path = header.parent / str(file)
        rows = [k for k, name in enumerate(files) if name == file]
        if file == "~" or not formats:
            continue  # a null signal
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
