"""Signals of EDF, EDF+ and BDF files."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from datamodules.ecg.lead_choice import choose_leads, describe, same_rate, to_millivolts
from datamodules.ecg.wfdb_files import Leads
from datamodules.errors import needs

EDF_ENDINGS = (".edf", ".bdf")
"""Endings of European Data Format and BioSemi Data Format files."""


def read_edf(path: Path, wanted: Sequence[str | int] | None = None, units: str | None = None) -> Leads:
    """Read the leads of an EDF, EDF+ or BDF file at their own rate.

    Where some signals have the name of a lead or of an ECG, those of other names are left out.

    Args:
        path: Path of the file.
        wanted: Names, or numbers from 1, of the signals to take in that order; None for all that may be an ECG.
        units: Unit of all leads; None for those of the file.

    Raises:
        ValueError: If the file is damaged or has pauses, or no signal is an ECG; the message names it.
        ModuleNotFoundError: If ``edfio`` is not installed.
    """
    package = needs("edfio", "ecg")
    read = package.read_bdf if path.suffix.lower() == ".bdf" else package.read_edf
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            file = read(path, header_encoding="latin-1")
            signals = list(file.signals)
            names = [signal.label.strip() or f"signal {k + 1}" for k, signal in enumerate(signals)]
            stated = [signal.physical_dimension.strip() for signal in signals]
            rates = [float(signal.sampling_frequency) for signal in signals]
            continuous = bool(file.is_continuous) or not file.num_data_records
            length = int(file.num_data_records)
        except Exception as error:  # edfio raises exceptions of many types
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"{path}: damaged header, or no {path.suffix[1:].upper()} file ({reason})") from error
    if not continuous:
        raise ValueError(f"{path}: a recording with pauses (EDF+D); split it into files without pauses, or export CSV")
    if not signals or not length:
        raise ValueError(f"{path}: the file holds no signal")
    try:
        choice = choose_leads(names, stated, wanted, named=True)
        index, left_out = same_rate(choice, names, rates, wanted)
        fs = rates[index[0]]
        if not 0 < fs < float("inf"):
            raise ValueError(f"damaged header (a rate of {fs:g} Hz)")
        signal = np.stack([_physical(signals[k]) for k in index], axis=1)
        known, doubts = to_millivolts(signal, [stated[k] for k in index], fs, units)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    chosen = [names[k] for k in index]
    lines = [f"{path}: {' '.join(str(each.message).split())}" for each in caught]
    return Leads(
        signal,
        fs,
        chosen,
        lines + [f"{path}: {line}" for line in doubts],
        describe(chosen, known, f"{fs:g} Hz", left_out),
    )


def _physical(signal: object) -> np.ndarray:
    """Return the samples of a signal of ``edfio`` in its unit, float32, without a copy in float64."""
    try:
        digital, physical = signal.digital_range, signal.physical_range  # type: ignore[attr-defined]
    except ValueError as error:
        raise ValueError(f"damaged header ({' '.join(str(error).split())})") from None
    if digital.max == digital.min or physical.max == physical.min:
        name = signal.label  # type: ignore[attr-defined]
        raise ValueError(f"damaged header ({name!r}: its digital or physical minimum is its maximum)")
    gain = (physical.max - physical.min) / (digital.max - digital.min)
    values = signal.digital.astype(np.float32)  # type: ignore[attr-defined]
    values -= np.float32(digital.min)
    values *= np.float32(gain)
    values += np.float32(physical.min)
    return values
