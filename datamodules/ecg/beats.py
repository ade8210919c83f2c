"""Beats of a recording as rows: their classes, windows and the rhythm around them."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from datamodules.ecg.records import Record, order_leads, resample
from datamodules.ecg.rr_intervals import on_time, rhythm_around, rr_intervals

CLASS_NAMES = ["N", "S", "V", "F", "Q"]
"""The classes of ANSI/AAMI EC57: normal, supraventricular and ventricular ectopic, fusion, and unknown or paced."""
CODES = {"N": "NLRBej", "S": "AaJSn", "V": "VEr", "F": "F", "Q": "/fQ?"}
"""WFDB codes of the beats of each class, as de Chazal, O'Dwyer & Reilly (2004) sort them: escape beats are normal."""
CLASS_OF = {code: CLASS_NAMES.index(name) for name, codes in CODES.items() for code in codes}

FS = 180
"""Samples a second of a window: half of MIT-BIH's 360, which halves storage and work; what lies below 80 Hz is kept,
and a QRS complex has most of its energy below 40 Hz."""
BEFORE, AFTER = 96, 160
"""Samples of a window before the R peak and from it on: 0.53 s, room for a P wave, and 0.89 s, for a T wave."""
MIN_ON_TIME_BEATS = 8
"""Beats that come no earlier than expected, of which a usual one can be told."""
STEPS_PER_MILLIVOLT = 1_000.0
"""Stored steps a millivolt: windows are whole microvolts, int16, which reaches to 32.7 mV."""


class Beats(NamedTuple):
    """All beats of several records, record after record, each in order of time."""

    window: np.ndarray
    """Microvolts (N, leads, BEFORE + AFTER), int16, at ``FS``; sample ``BEFORE`` is the annotated R peak."""
    label: np.ndarray
    """Class (N,), int64."""
    rr: np.ndarray
    """Seconds (N, 2 * AROUND + 2), float32: see ``rr_intervals``."""
    rhythm: np.ndarray
    """Numbers (N, 24), float32, on a longer stretch: see ``rhythm_around``."""
    record: np.ndarray
    """Number (N,) of the beat's record in ``records``, int64."""
    sample: np.ndarray
    """Position (N,) of the R peak in the record's own samples, int64."""
    records: np.ndarray
    """Names (R,) of the records, as numbers, int64."""
    template: np.ndarray
    """Millivolts (R, leads, BEFORE + AFTER), float32: each record's usual beat, see ``template_beat``."""
    amplitude: np.ndarray
    """Millivolts (R, leads), float32: each record's median peak-to-peak of a beat, see ``median_amplitude``."""


class Rows(NamedTuple):
    """Beats to train on, as they are stored: see ``Beats`` for the columns that are not explained."""

    window: np.ndarray
    label: np.ndarray
    rr: np.ndarray
    rhythm: np.ndarray
    record: np.ndarray
    number: np.ndarray
    """Number (N,) of the beat that the window is of, int64."""


_ARRAYS = [name for name in Beats._fields if name != "window"]


def beats_of(record: Record) -> tuple[np.ndarray, np.ndarray]:
    """Return positions and classes of a record's annotated beats; other annotations are left out."""
    if record.sample is None or record.symbol is None:
        raise ValueError(f"{record.name}: no annotations were read")
    rows = [k for k, code in enumerate(record.symbol) if code in CLASS_OF]
    return record.sample[rows], np.array([CLASS_OF[record.symbol[k]] for k in rows], np.int64)


def cut_windows(signal: np.ndarray, positions: np.ndarray, before: int = BEFORE, after: int = AFTER) -> np.ndarray:
    """Return the windows (N, leads, before + after) of a signal (samples, leads) around positions.

    Beyond the record's ends the first or last sample goes on, so that no beat is lost there.
    """
    index = positions[:, None] + np.arange(-before, after)
    return np.ascontiguousarray(signal.T[:, index.clip(0, len(signal) - 1)].transpose(1, 0, 2))


def template_beat(windows: np.ndarray, rr: np.ndarray) -> np.ndarray:
    """Return the median (leads, L) of the windows (N, leads, L) that are on time, each less its own median.

    That is the record's usual beat: a normal one even where most beats are ectopic, as those come early. Where fewer
    than eight are on time it is the median of all. It looks into the future, as it takes the whole record.

    Args:
        windows: The record's beats.
        rr: Their RR intervals, see ``rr_intervals``.
    """
    if not len(windows):
        return np.zeros(windows.shape[1:], np.float32)
    chosen = on_time(rr)
    windows = windows[chosen] if chosen.sum() >= MIN_ON_TIME_BEATS else windows
    centred = windows - np.median(windows, axis=2, keepdims=True)
    # Beats last, so that those of a sample lie side by side: half the time.
    return np.median(np.ascontiguousarray(centred.transpose(1, 2, 0)), axis=2).astype(np.float32)


def median_amplitude(windows: np.ndarray, radius: int = FS // 10) -> np.ndarray:
    """Return the median over beats (leads,) of the peak-to-peak within ``radius`` samples of the R peak.

    It looks into the future, as it takes the whole record.
    """
    if not len(windows):
        return np.zeros(windows.shape[1], np.float32)
    near = windows[:, :, BEFORE - radius : BEFORE + radius + 1]
    return np.median(np.ptp(near, axis=2), axis=0).astype(np.float32)


def two_leads(record: Record) -> Record:
    """Return a record with MLII first and one other lead; a single lead is doubled, further ones are left out."""
    ordered = order_leads(record)
    chosen = [0, min(1, len(ordered.leads) - 1)]
    return ordered._replace(signal=ordered.signal[:, chosen], leads=[ordered.leads[k] for k in chosen])


def extract_beats(record: Record) -> Beats:
    """Cut the annotated beats of a record, whose name is a number, into rows.

    Windows are those of the recorded signal, neither filtered (but for the low-pass of the change of rate) nor scaled.
    """
    sample, label = beats_of(record)
    slower = resample(two_leads(record)._replace(sample=sample), FS)
    assert slower.sample is not None
    windows = cut_windows(slower.signal, slower.sample)
    rr = rr_intervals(sample, record.fs)
    return Beats(
        window=np.rint(windows * STEPS_PER_MILLIVOLT).clip(-32_768, 32_767).astype(np.int16),
        label=label,
        rr=rr,
        rhythm=rhythm_around(sample, record.fs),
        record=np.zeros(len(label), np.int64),
        sample=sample,
        records=np.array([int(record.name)]),
        template=template_beat(windows, rr)[None],
        amplitude=median_amplitude(windows)[None],
    )


def concatenate_beats(parts: Sequence[Beats]) -> Beats:
    """Put the beats of several records one after the other."""
    numbers = np.concatenate([part.record + number for number, part in enumerate(parts)])
    return Beats(*(np.concatenate(column) for column in zip(*parts)))._replace(record=numbers)


def balanced_folds(counts: np.ndarray, folds: int) -> np.ndarray:
    """Divide records into folds of as equal numbers of beats of each class as greedily found.

    Records are taken in the order of the largest share that they hold of a class; each goes to the fold in which it
    leaves the least sum of squared shares.

    Args:
        counts: Beats (R, C) of each record and class.
        folds: Number of folds.

    Returns:
        Fold (R,) of each record.
    """
    shares = counts / np.maximum(counts.sum(0), 1)
    order = np.argsort(-shares.max(1), kind="stable")
    held, fold_of = np.zeros((folds, counts.shape[1])), np.zeros(len(counts), np.int64)
    for record in order:
        cost = ((held + shares[record]) ** 2 - held**2).sum(1)
        empty = (held.sum(1) == 0) & (cost.min() > 0)
        fold_of[record] = np.argmin(np.where(empty, -1.0, cost)) if empty.any() else np.argmin(cost)
        held[fold_of[record]] += shares[record]
    return fold_of


def load_beats(path: Path) -> Beats | None:
    """Return the beats kept in a folder, the windows memory-mapped; None if they are not there, or damaged."""
    try:
        # Copy on write: torch takes no read-only arrays, and nothing is ever written.
        windows = np.load(path / "window.npy", mmap_mode="c")
        with np.load(path / "rest.npz") as rest:
            return Beats(window=windows, **{name: rest[name] for name in _ARRAYS})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def save_beats(beats: Beats, path: Path) -> Beats:
    """Keep beats in a folder that appears under its name when it is complete; return them, memory-mapped if kept."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as unfinished:
            whole = Path(unfinished) / path.name
            whole.mkdir()
            np.save(whole / "window.npy", beats.window)
            np.savez(whole / "rest.npz", **{name: getattr(beats, name) for name in _ARRAYS})
            if path.exists() and load_beats(path) is None:
                shutil.rmtree(path, ignore_errors=True)
            if not path.exists():  # or another process was faster
                os.replace(whole, path)
    except OSError as error:
        kept = load_beats(path)  # of the process that was faster after all
        if kept is None:
            reason = error.strerror or error
            warnings.warn(f"{path.parent} cannot be written ({reason}): beats are cut anew each time", stacklevel=2)
        return kept or beats
    return load_beats(path) or beats
