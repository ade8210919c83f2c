"""Compare detectors of QRS complexes on MIT-BIH recordings, as they are and with faults (``ecg_faults.py``).

    python scripts/detector_comparison.py
    python scripts/detector_comparison.py --minutes 10 --detectors zoo sleepecg --processes 1
    python scripts/detector_comparison.py --neurokit pantompkins1985 kalidas2017

``zoo`` is ``datamodules.ecg.qrs_detection.detect_qrs``, which takes both leads; the others, ``sleepecg``, ``XQRS`` of
``wfdb`` and ``neurokit2``, take the first, which is MLII. Gaps are interpolated for all of them, as in ``annotate``.
Reference are the annotated beats; a detection matches one within 150 ms, one to one, the nearest pairs first. The
whole recording counts, the first five minutes too. As in EC57, episodes of ventricular flutter do not.

Sensitivity, positive predictivity and missed and extra beats are those of all recordings together, outside the fault:
beats and detections within 1 s of a faulty sample are left out, and are scored apart in the last two columns. What a
single-lead detector finds inside is chance where its lead is gone.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

import numpy as np
from ecg_faults import FAULTS
from scipy.ndimage import maximum_filter1d

from datamodules.ecg.beats import beats_of, two_leads
from datamodules.ecg.qrs_detection import detect_qrs
from datamodules.ecg.records import Record, fill_gaps
from zoo.metrics import match_beats

Detector = Callable[[np.ndarray, float], np.ndarray]
Counts = dict[tuple[str, str], np.ndarray]
"""Matched, missed and extra beats, outside and inside the fault, and seconds (7,) by fault and detector."""

MARGIN_SECONDS = 1.0
"""Distance from a faulty sample within which beats do not count. Set by hand."""


def sleepecg(signal: np.ndarray, fs: float) -> np.ndarray:
    from sleepecg import detect_heartbeats

    return detect_heartbeats(signal[:, 0].astype(np.float64), fs)


def xqrs(signal: np.ndarray, fs: float) -> np.ndarray:
    from wfdb.processing import XQRS

    detector = XQRS(signal[:, 0].astype(np.float64), fs)
    detector.detect(verbose=False)
    return detector.qrs_inds


def neurokit(method: str) -> Detector:
    """Return the detector of ``neurokit2`` that has a method, with the filter that belongs to it."""

    def detect(signal: np.ndarray, fs: float) -> np.ndarray:
        import neurokit2

        clean = neurokit2.ecg_clean(signal[:, 0].astype(np.float64), sampling_rate=int(fs), method=method)
        return neurokit2.ecg_peaks(clean, sampling_rate=int(fs), method=method)[1]["ECG_R_Peaks"]

    return detect


def detectors(names: list[str], methods: list[str]) -> dict[str, Detector]:
    """Return the detectors by name, without those whose package is not installed, which are said in a line."""
    known: dict[str, dict[str, Detector]] = {
        "zoo": {"zoo": detect_qrs},
        "sleepecg": {"sleepecg": sleepecg},
        "wfdb": {"wfdb XQRS": xqrs},
        "neurokit2": {f"neurokit2 {method}": neurokit(method) for method in methods},
    }
    found: dict[str, Detector] = {}
    for name in names:
        if importlib.util.find_spec(name) is None:
            print(f"{name} is left out: not installed (pip install {name})", file=sys.stderr)
        else:
            found |= known[name]
    return found


def flutter(record: Record) -> np.ndarray:
    """Return the mask (samples,) of the episodes of ventricular flutter, annotated from ``[`` to ``]``."""
    assert record.sample is not None
    assert record.symbol is not None
    mask, start = np.zeros(len(record.signal), bool), None
    for sample, symbol in zip(record.sample.tolist(), record.symbol):
        if symbol == "[":
            start = sample
        elif symbol == "]":
            mask[start or 0 : sample + 1], start = True, None
    if start is not None:
        mask[start:] = True
    return mask


def widened(mask: np.ndarray, radius: int) -> np.ndarray:
    """Return the mask of the samples at most ``radius`` samples from one of a mask."""
    return maximum_filter1d(mask.astype(np.uint8), 2 * radius + 1, mode="constant") > 0


def count(true: np.ndarray, found: np.ndarray, fs: float, inside: np.ndarray, apart: np.ndarray) -> list[int]:
    """Return matched, missed and extra beats outside and then inside a fault (6,).

    A pair belongs to where its annotated beat is. What lies in ``apart`` does not count.
    """
    rows, columns = match_beats(true, found, fs)
    parts = true[rows], np.delete(true, rows), np.delete(found, columns)
    return [int((inside[part] == where)[~apart[part]].sum()) for where in (False, True) for part in parts]


def score_record(number: int, names: list[str], methods: list[str], minutes: float, root: str | None) -> Counts:
    """Count the beats that each detector finds in a recording with each fault."""
    from datamodules import MITBIHDataModule

    warnings.simplefilter("ignore")
    (record,) = MITBIHDataModule(**({"root": root} if root else {})).recordings((number,))
    record = two_leads(record)
    kept = min(len(record.signal), round(minutes * 60 * record.fs))
    true, apart = beats_of(record)[0], flutter(record)[:kept]
    true = true[true < kept]
    counts: Counts = {}
    for fault, damage in FAULTS.items():
        signal, mask = damage(record.signal[:kept], record.fs)
        inside, filled = widened(mask, round(MARGIN_SECONDS * record.fs)), fill_gaps(signal)
        for name, detect in detectors(names, methods).items():
            start = time.perf_counter()
            try:
                found = np.unique(np.asarray(detect(filled, record.fs), np.int64).clip(0, kept - 1))
            except Exception as error:
                print(f"{number}, {fault}: {name} fails ({str(error).splitlines()[:1]})", file=sys.stderr, flush=True)
                found = np.zeros(0, np.int64)
            seconds = time.perf_counter() - start
            counts[fault, name] = np.array([*count(true, found, record.fs, inside, apart), seconds])
    return counts


def table(counts: Counts, records: int) -> str:
    """Return the counts of all recordings as a Markdown table."""
    heads = ["fault", "detector", "Se %", "+P %", "missed", "extra", "seconds a record", "Se % inside", "+P % inside"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]

    def percent(hits: float, others: float) -> str:
        return f"{100 * hits / (hits + others):.2f}" if hits + others else ""

    for (fault, name), (hits, missed, extra, hits_in, missed_in, extra_in, seconds) in counts.items():
        cells = [fault, name, percent(hits, missed), percent(hits, extra), f"{missed:.0f}", f"{extra:.0f}"]
        cells += [f"{seconds / records:.2f}", percent(hits_in, missed_in), percent(hits_in, extra_in)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    from datamodules.mitbih import DS1, DS2

    parser = argparse.ArgumentParser(description="Compare detectors of QRS complexes.", allow_abbrev=False)
    packages = ["zoo", "sleepecg", "wfdb", "neurokit2"]
    parser.add_argument("--split", choices=["ds1", "ds2"], default="ds1", help="ds2 is the test split")
    parser.add_argument("--detectors", nargs="+", choices=packages, default=packages)
    parser.add_argument("--neurokit", nargs="+", default=["neurokit"], metavar="METHOD", help="methods of neurokit2")
    parser.add_argument("--minutes", type=float, default=60, help="length of the recordings from their start on")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--root", help="data folder; that of the package if not given")
    args = parser.parse_args(argv)
    os.nice(10)
    records = {"ds1": DS1, "ds2": DS2}[args.split]
    names = [name for name in args.detectors if detectors([name], args.neurokit)]
    total: Counts = {}
    with ProcessPoolExecutor(args.processes) as pool:
        rest: tuple[Any, ...] = (names, args.neurokit, args.minutes, args.root)
        jobs = {pool.submit(score_record, number, *rest): number for number in records}
        for done, job in enumerate(as_completed(jobs), 1):
            for key, value in job.result().items():
                total[key] = total.get(key, 0) + value
            print(f"{done} of {len(records)}: record {jobs[job]}", file=sys.stderr, flush=True)
    print(f"{len(records)} recordings of {args.split.upper()}\n\n{table(total, len(records))}")


if __name__ == "__main__":
    main()
