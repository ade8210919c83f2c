"""Which signals of a recording are leads, and their conversion to millivolts."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from datamodules.ecg.lead_names import canonical_lead, is_lead, other_kind, split_unit
from datamodules.ecg.lead_units import MILLIVOLTS, canonical_unit, doubtful_amplitude, judge_unit, named_unit

UNSTATED = ("", "none", "nu", "n/a", "na", "-", "unknown", "1", "null", "nan")
"""What is written where a unit is not known, in lower case."""


class Choice(NamedTuple):
    """The signals that are taken for leads."""

    places: list[int]
    """Places of the leads among the signals, from 0."""
    left_out: list[str]
    """A text for each of the others: its name and why it is none."""


def choose_leads(
    names: Sequence[str],
    units: Sequence[str],
    wanted: Sequence[str | int] | None,
    kind: str = "signal",
    *,
    named: bool = False,
) -> Choice:
    """Choose the leads among signals by the names and units.

    Args:
        names: Name of each signal.
        units: Unit of each signal as written.
        wanted: Names, or numbers from 1, of the signals to take in that order; None for all that may be an ECG.
        kind: What a signal is called in messages, such as ``"column"``.
        named: Whether other names are no leads where some are those of leads, as among the signals of a sleep study.

    Raises:
        ValueError: If a name is unknown or ambiguous, or no signal may be an ECG.
    """
    if wanted is not None:
        if isinstance(wanted, (str, int)):
            wanted = [wanted]
        index = [find_signal(each, names, kind) for each in wanted]
        if not index:
            raise ValueError(f"leads is empty: expected {kind}s of {', '.join(names)}")
        if len(set(index)) < len(index):
            raise ValueError(f"leads {', '.join(map(str, wanted))}: a {kind} is named twice")
        rest = [f"{names[k]!r} (not asked for)" for k in range(len(names)) if k not in index]
        return Choice(index, rest)
    index, left_out, foreign = [], [], []
    for k, (name, unit) in enumerate(zip(names, units)):
        stated = unit.strip().lower() not in UNSTATED
        other = other_kind(name)
        if stated and not canonical_unit(unit):
            foreign.append(unit)
            left_out.append(f"{name!r} ({other + ', ' if other else ''}in {unit})")
        elif other:
            left_out.append(f"{name!r} ({other})")
        elif unit.strip().lower() == "nu" and not is_lead(name):  # WFDB's "no units"
            foreign.append(unit)
            left_out.append(f"{name!r} (in {unit})")
        else:
            index.append(k)
    if named and any(is_lead(names[k]) for k in index):
        left_out += [f"{names[k]!r} (not named as an ECG)" for k in index if not is_lead(names[k])]
        index = [k for k in index if is_lead(names[k])]
    if not index:
        if len(foreign) == len(names) and foreign:
            raise ValueError(f"no signal is in volts, but in {', '.join(foreign)}")
        raise ValueError(
            f"no {kind} is an ECG: {', '.join(left_out) or 'there is none'}; give leads to take one anyway"
        )
    return Choice(index, left_out)


def find_signal(wanted: str | int, names: Sequence[str], kind: str = "signal") -> int:
    """Return the place from 0 of the signal with a name, or of a number from 1.

    Raises:
        ValueError: If there is none or there are several; the message gives the nearest names.
    """
    text = str(wanted).strip()
    if isinstance(wanted, str):
        tests = (
            lambda name: name.strip() == text,
            lambda name: name.strip().lower() == text.lower(),
            lambda name: split_unit(name)[0].lower() == text.lower(),
            lambda name: canonical_lead(name).lower() == canonical_lead(text).lower(),
        )
        for test in tests:
            found = [k for k, name in enumerate(names) if test(name)]
            if len(found) == 1:
                return found[0]
            if found:
                numbers = " and ".join(str(k + 1) for k in found)
                raise ValueError(f"{kind} {text!r} is ambiguous: {kind}s {numbers} have this name; give a number")
    if text.isdecimal() and 1 <= int(text) <= len(names):
        return int(text) - 1
    near = difflib.get_close_matches(text.lower(), [name.lower() for name in names], n=3, cutoff=0.5)
    close = [name for name in names if name.lower() in near]
    hint = f"did you mean {' or '.join(close)}?" if close else f"choose from {', '.join(names)}"
    raise ValueError(f"unknown {kind} {text!r}: {hint}, or a number from 1 to {len(names)}")


def to_millivolts(
    signal: np.ndarray, stated: Sequence[str], fs: float, units: str | None
) -> tuple[list[str], list[str]]:
    """Scale a signal (samples, leads), float32, to millivolts in place.

    Args:
        signal: The signal in its units.
        stated: Unit of each lead as written, empty if none is.
        fs: Sampling rate in Hz.
        units: Unit of all leads whatever is stated; None for the stated ones, and where none is by the amplitude.

    Returns:
        The unit from which each lead was converted, and a line for each doubt.

    Raises:
        ValueError: If a unit is unknown, or none is stated and the amplitude fits none.
    """
    warnings = []
    if units is not None:
        known = [named_unit(units)] * len(stated)
    else:
        known = [canonical_unit(unit) for unit in stated]
        missing = [k for k, unit in enumerate(known) if not unit]
        if missing:
            judged, line = judge_unit(signal if len(missing) == len(known) else signal[:, missing], fs)
            known = [unit or judged for unit in known]
            warnings += [line] if line else []
        elif "adu" in known:
            warnings.append(
                "the unit is counts without a gain: taken as 200 a millivolt; if not, give units or scale them"
            )
    for k, unit in enumerate(known):
        if unit == "adu":  # counts have an offset of their own, such as 1,024
            signal[:, k] -= np.nanmedian(signal[:1_000_000, k]) if np.isfinite(signal[:1_000_000, k]).any() else 0
        if MILLIVOLTS[unit] != 1:
            signal[:, k] *= np.float32(MILLIVOLTS[unit])
    if units is None and not warnings:
        line = doubtful_amplitude(signal, fs)
        warnings += [line] if line else []
    return known, warnings


def same_rate(
    choice: Choice, names: Sequence[str], rates: Sequence[float], wanted: Sequence[str | int] | None
) -> Choice:
    """Return the leads of the highest rate among those chosen; the others are left out.

    Raises:
        ValueError: If a user named leads of different rates.
    """
    highest = max(rates[k] for k in choice.places)
    slower = [k for k in choice.places if rates[k] < highest]
    listed = [f"{names[k]!r} ({rates[k]:g} Hz)" for k in slower]
    if slower and wanted is not None:
        raise ValueError(f"leads of different rates: the others have {highest:g} Hz, but {', '.join(listed)}")
    return Choice([k for k in choice.places if k not in slower], choice.left_out + listed)


def describe(leads: Sequence[str], units: Sequence[str], rate: str, left_out: Sequence[str], *more: str) -> str:
    """Return one line of what was taken for what: leads and their units, the rate, and what was left out."""
    parts = [f"lead {k + 1} = {name} ({unit})" for k, (name, unit) in enumerate(zip(leads, units))]
    if len(parts) == 1:
        parts.append("lead 2 = none")
    parts += [rate, *(text for text in more if text)]
    line = ", ".join(parts) + (f"; left out: {', '.join(left_out)}" if left_out else "")
    return " ".join("".join(c if c.isprintable() else " " for c in line).split())
