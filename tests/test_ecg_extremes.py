"""Recordings of any length, rate and number of leads, and of odd signals, through ``annotate`` and ``zoo predict``."""

import numpy as np
import pytest
from test_ecg_detection import heart

import zoo


@pytest.fixture(scope="module")
def model():
    return zoo.create_model("ecg_classifier.mitbih", pretrained=True)


def repeated(signal, seconds, fs):
    return np.tile(signal, (int(np.ceil(seconds * fs / len(signal))), 1))[: int(seconds * fs)]


@pytest.mark.parametrize("leads", [1, 2, 3, 12, 15])
def test_any_number_of_leads(model, leads):
    signal, beats = heart(seconds=120, leads=np.linspace(1, 0.5, leads))
    found = model.annotate(signal, 250)
    assert abs(len(found.sample) - len(beats)) <= 1
    assert found.symbol.count("V") == len(beats) // 12


@pytest.mark.parametrize("fs", [61, 128, 360, 1000, 2000])
def test_any_rate(model, fs):
    signal, beats = heart(seconds=120, fs=fs)
    found = model.annotate(signal, fs)
    assert abs(len(found.sample) - len(beats)) <= 2
    assert found.symbol.count("V") == len(beats) // 12


@pytest.mark.parametrize("kind", ["inverted", "offset", "wandering", "gap", "short", "one sample"])
def test_odd_signals_are_answered(model, kind):
    signal, beats = heart(seconds=60)
    t = np.arange(len(signal))[:, None] / 250
    signal = {
        "inverted": -signal,
        "offset": signal + 400,
        "wandering": signal + 2 * np.sin(2 * np.pi * 0.2 * t),
        "gap": np.where((t > 20) & (t < 25), np.nan, signal),
        "short": signal[:500],
        "one sample": signal[:1],
    }[kind].astype(np.float32)
    found = model.annotate(signal, 250)
    expected = {"gap": len(beats) - 6, "short": 2, "one sample": 0}.get(kind, len(beats))
    assert abs(len(found.sample) - expected) <= 2
    assert np.isfinite(found.probability).all()
    assert len(found.quality.faults) == max(1, len(signal) // 250)


@pytest.mark.slow
@pytest.mark.parametrize(("days", "fs", "leads"), [(1, 250, 2), (7, 61, 1)])
def test_days_of_beats(model, days, fs, leads):
    signal, beats = heart(seconds=600, fs=fs, leads=(1.0, 0.8)[:leads])
    found = model.annotate(repeated(signal, days * 86_400, fs), fs)
    assert len(found.sample) == pytest.approx(len(beats) * days * 144, rel=0.005)
    assert found.symbol.count("V") / len(found.symbol) == pytest.approx(1 / 12, rel=0.05)
