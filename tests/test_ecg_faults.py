"""Faults of recordings, and the count of beats outside and inside them, of ``scripts/detector_comparison.py``."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))

import detector_comparison
import ecg_faults

FS = 250.0
SIGNAL = np.random.default_rng(0).normal(size=(200 * int(FS), 2)).astype(np.float32)
SECONDS = {
    "unchanged": (0, 0),
    "pulse of 10 mV at 1.3 s": (1.3, 1.4),
    "3 s of 5 mV white noise": (100, 103),
    "lead 1 flat for half": (0, 0),  # the other lead can be read
    "lead 1 missing for half": (0, 0),
    "saturated for a minute": (100, 160),
}


@pytest.mark.parametrize("name", ecg_faults.FAULTS)
def test_faults_are_where_they_say_and_the_same_each_time(name):
    before = SIGNAL.copy()
    faulty, mask = ecg_faults.FAULTS[name](SIGNAL, FS)
    again, _ = ecg_faults.FAULTS[name](SIGNAL, FS)
    assert np.array_equal(SIGNAL, before)
    assert np.array_equal(faulty, again, equal_nan=True)
    assert faulty.dtype == SIGNAL.dtype
    first, last = (round(second * FS) for second in SECONDS[name])
    assert np.flatnonzero(mask).tolist() == list(range(first, last))
    changed = faulty != SIGNAL
    first_lead_alone = name.startswith("lead 1")
    assert not changed[~mask, int(first_lead_alone) :].any()
    assert changed[mask, 0].sum() >= 0.99 * mask.sum()
    assert changed[:, 1].any() == (name != "unchanged" and not first_lead_alone)
    assert not first_lead_alone or changed[:, 0].mean() > 0.45


@pytest.mark.parametrize("name", ecg_faults.FAULTS)
@pytest.mark.parametrize("samples", [0, 1, 300])
def test_faults_of_short_signals(name, samples):
    faulty, mask = ecg_faults.FAULTS[name](SIGNAL[:samples], FS) if samples else (SIGNAL[:0], np.zeros(0, bool))
    assert faulty.shape == (samples, 2)
    assert mask.shape == (samples,)


def test_masks_are_widened_on_both_sides():
    mask = np.zeros(30, bool)
    mask[[0, 10, 11, 25]] = True
    expected = [k for k in range(30) if min(abs(k - at) for at in (0, 10, 11, 25)) <= 3]
    assert np.flatnonzero(detector_comparison.widened(mask, 3)).tolist() == expected
    assert not detector_comparison.widened(np.zeros(30, bool), 3).any()
    assert detector_comparison.widened(mask, 100).all()


def test_beats_are_counted_outside_and_inside():
    inside, apart = np.zeros(3000, bool), np.zeros(3000, bool)
    inside[1000:2000], apart[2500:] = True, True
    true = np.array([100, 400, 700, 1100, 1500, 2100, 2600])
    found = np.array([110, 400, 800, 1110, 1700, 1800, 2100, 2700])
    # 100, 400 and 2100 are found, 700 is missed and 800 is extra; inside one of two is found, and two are extra.
    assert detector_comparison.count(true, found, FS, inside, apart) == [3, 1, 1, 1, 1, 2]
