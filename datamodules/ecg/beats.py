"""Extraction of labelled beats from recordings: windows, classes and RR intervals."""

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
from datamodules.ecg.rr_intervals import on_time, rhythm_around, surrounding_intervals

CLASS_NAMES = ["N", "S", "V", "F", "Q"]
"""Classes of ANSI/AAMI EC57: normal, supraventricular ectopic, ventricular ectopic, fusion, and unknown or paced."""
CODES = {"N": "NLRBej", "S": "AaJSn", "V": "VEr", "F": "F", "Q": "/fQ?"}
"""WFDB beat codes of each class after de Chazal, O'Dwyer & Reilly (2004), who count escape beats as normal."""
CLASS_OF = {code: CLASS_NAMES.index(name) for name, codes in CODES.items() for code in codes}

FS = 180
"""Sampling rate of windows in Hz: half of MIT-BIH's 360, which halves storage and computation. Frequencies below 80 Hz
are kept, and a QRS complex has most of its energy below 40 Hz."""
BEFORE, AFTER = 96, 160
"""Number of samples of a window before and from the R peak: 0.53 s include the P wave, 0.89 s the T wave."""
BLOCK_BEATS = 4_096
"""Number of windows that are cut at a time, which bounds the memory."""
MIN_ON_TIME_BEATS = 8
"""Smallest number of beats on time from which a template beat is computed; below it all beats are used. Set by hand."""
STEPS_PER_MILLIVOLT = 1_000.0
"""Stored integer steps per millivolt: windows are int16 in microvolts, with a range of 32.7 mV."""


class Beats(NamedTuple):
    """All beats of several records, grouped by record and in order of time."""

    window: np.ndarray
    """Microvolts (N, leads, BEFORE + AFTER), int16, at ``FS``; sample ``BEFORE`` is the annotated R peak."""
    label: np.ndarray
    """Class (N,), int64."""
    rr: np.ndarray
    """Seconds (N, 2 * AROUND + 2), float32: see ``surrounding_intervals``."""
    rhythm: np.ndarray
    """Rhythm features (N, 24), float32: see ``rhythm_around``."""
    record: np.ndarray
    """Index (N,) of the beat's record in ``records``, int64."""
    sample: np.ndarray
    """Position (N,) of the R peak in samples at the record's own rate, int64."""
    records: np.ndarray
    """Numbers (R,) of the records, such as 232, int64."""
    template: np.ndarray
    """Millivolts (R, leads, BEFORE + AFTER), float32: each record's template beat, see ``template_beat``."""
    amplitude: np.ndarray
    """Millivolts (R, leads), float32: each record's median peak-to-peak amplitude, see ``median_amplitude``."""


class Rows(NamedTuple):
    """Stored rows of a split. The columns are those of ``Beats``, and ``number``."""

    window: np.ndarray
    label: np.ndarray
    rr: np.ndarray
    rhythm: np.ndarray
    record: np.ndarray
    number: np.ndarray
    """Index (N,) into ``Beats`` of the beat that the window shows, int64."""


_ARRAYS = [name for name in Beats._fields if name != "window"]


def beats_of(record: Record) -> tuple[np.ndarray, np.ndarray]:
    """Return positions (N,) and classes (N,) of a record's annotated beats; other annotations are ignored."""
    if record.sample is None or record.symbol is None:
        raise ValueError(f"{record.name}: no annotations were read")
    rows = [k for k, code in enumerate(record.symbol) if code in CLASS_OF]
    return record.sample[rows], np.array([CLASS_OF[record.symbol[k]] for k in rows], np.int64)


def cut_windows(signal: np.ndarray, positions: np.ndarray, before: int = BEFORE, after: int = AFTER) -> np.ndarray:
    """Return the windows (N, leads, before + after) of a signal (samples, leads) around positions.

    Beyond the ends of the signal its first or last sample is repeated, so that no beat is lost.
    """
    windows = np.empty((len(positions), signal.shape[1], before + after), signal.dtype)
    for start in range(0, len(positions), BLOCK_BEATS):
        block = slice(start, start + BLOCK_BEATS)
        index = (positions[block, None] + np.arange(-before, after)).clip(0, len(signal) - 1)
        windows[block] = signal[index].transpose(0, 2, 1)
    return windows


def template_beat(windows: np.ndarray, rr: np.ndarray) -> np.ndarray:
    """Return the template beat (leads, L) of a record: the median of its windows that are on time.

    The median of each window and lead is subtracted first. The restriction to beats on time, see ``on_time``, yields a
    normal beat even if most beats are ectopic. With fewer than eight beats on time all windows are used. The template
    is non-causal: it uses the whole record.

    Args:
        windows: Windows (N, leads, L) of the record's beats.
        rr: RR intervals of the beats, see ``surrounding_intervals``.
    """
    if not len(windows):
        return np.zeros(windows.shape[1:], np.float32)
    chosen = on_time(rr)
    windows = windows[chosen] if chosen.sum() >= MIN_ON_TIME_BEATS else windows
    centred = windows - np.median(windows, axis=2, keepdims=True)
    # The beat axis is moved last, contiguous in memory, which halves the time of the median.
    return np.median(np.ascontiguousarray(centred.transpose(1, 2, 0)), axis=2).astype(np.float32)


def median_amplitude(windows: np.ndarray, radius: int = FS // 10) -> np.ndarray:
    """Return the median over beats (leads,) of the peak-to-peak amplitude within ``radius`` samples of the R peak.

    The amplitude is non-causal: it uses the whole record.
    """
    if not len(windows):
        return np.zeros(windows.shape[1], np.float32)
    near = windows[:, :, BEFORE - radius : BEFORE + radius + 1]
    return np.median(np.ptp(near, axis=2), axis=0).astype(np.float32)


def two_leads(record: Record) -> Record:
    """Return a record with two leads, MLII first if present; a single lead is duplicated, further leads are dropped."""
    ordered = order_leads(record)
    chosen = [0, min(1, len(ordered.leads) - 1)]
    return ordered._replace(signal=ordered.signal[:, chosen], leads=[ordered.leads[k] for k in chosen])


def extract_beats(record: Record) -> Beats:
    """Extract the annotated beats of a record whose name is a number.

    Apart from the low-pass filter of the resampling the signal is neither filtered nor scaled.
    """
    sample, label = beats_of(record)
    resampled = resample(two_leads(record)._replace(sample=sample), FS)
    assert resampled.sample is not None
    windows = cut_windows(resampled.signal, resampled.sample)
    rr = surrounding_intervals(sample, record.fs)
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
    """Concatenate the beats of several records."""
    numbers = np.concatenate([part.record + number for number, part in enumerate(parts)])
    return Beats(*(np.concatenate(column) for column in zip(*parts)))._replace(record=numbers)


def balanced_folds(counts: np.ndarray, folds: int) -> np.ndarray:
    """Divide records greedily into folds with similar numbers of beats of each class.

    Records are assigned in descending order of the largest fraction of a class that they hold; each goes to the fold
    that minimises the sum of squared fractions.

    Args:
        counts: Number of beats (R, C) of each record and class.
        folds: Number of folds.

    Returns:
        Index of the fold (R,) of each record.
    """
    fractions = counts / np.maximum(counts.sum(0), 1)
    order = np.argsort(-fractions.max(1), kind="stable")
    totals, fold_of = np.zeros((folds, counts.shape[1])), np.zeros(len(counts), np.int64)
    for record in order:
        cost = ((totals + fractions[record]) ** 2 - totals**2).sum(1)
        empty = (totals.sum(1) == 0) & (cost.min() > 0)
        fold_of[record] = np.argmin(np.where(empty, -1.0, cost)) if empty.any() else np.argmin(cost)
        totals[fold_of[record]] += fractions[record]
    return fold_of


def load_beats(path: Path) -> Beats | None:
    """Load cached beats from a folder, the windows memory-mapped; return None if they are missing or damaged."""
    try:
        # Copy-on-write mode, because torch does not accept read-only arrays; nothing is written.
        windows = np.load(path / "window.npy", mmap_mode="c")
        with np.load(path / "rest.npz") as rest:
            return Beats(window=windows, **{name: rest[name] for name in _ARRAYS})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def save_beats(beats: Beats, path: Path) -> Beats:
    """Cache beats in a folder that appears once complete; return them, memory-mapped if they were cached."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as unfinished:
            complete = Path(unfinished) / path.name
            complete.mkdir()
            np.save(complete / "window.npy", beats.window)
            np.savez(complete / "rest.npz", **{name: getattr(beats, name) for name in _ARRAYS})
            if path.exists() and load_beats(path) is None:
                shutil.rmtree(path, ignore_errors=True)
            if not path.exists():  # another process may have written it
                os.replace(complete, path)
    except OSError as error:
        cached = load_beats(path)  # another process may have written it
        if cached is None:
            reason = error.strerror or error
            warnings.warn(f"{path.parent} cannot be written ({reason}): beats are cut anew each time", stacklevel=2)
        return cached or beats
    return load_beats(path) or beats
