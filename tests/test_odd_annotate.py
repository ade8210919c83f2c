"""Odd arguments of ``annotate``: each is answered, or refused by a ``ValueError`` of one line."""

import functools
import itertools
import warnings
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch

import zoo

FS, SECONDS = 250, 8
TIME = np.arange(SECONDS * FS) / FS
BEAT = np.exp(-(((TIME % 0.8) - 0.4) ** 2) / 0.0002).astype(np.float32)
GOOD = np.stack([BEAT, -BEAT], 1)
NAN, INF = np.nan, np.inf

SIGNALS = {
    "answered": {
        "float64": GOOD.astype(np.float64),
        "longdouble": GOOD.astype(np.longdouble),
        "float16": GOOD.astype(np.float16),
        "big endian": GOOD.astype(">f4"),
        "whole numbers": (GOOD * 1000).astype(int),
        "bytes": (GOOD[:, :1] * 200).astype(np.uint8),
        "reversed": GOOD[::-1],
        "a lead": BEAT,
        "a lead of many": np.tile(GOOD, (1, 6)),
        "nested lists": GOOD.tolist(),
        "tensor": torch.from_numpy(GOOD),
        "tensor with gradient": torch.from_numpy(GOOD).requires_grad_(),
        "half tensor": torch.from_numpy(GOOD).half(),
        "bfloat16 tensor": torch.from_numpy(GOOD).bfloat16(),
        "sparse tensor": torch.from_numpy(GOOD).to_sparse(),
        "masked": np.ma.masked_array(GOOD, GOOD > 0.99),
        "a gap": np.where(TIME[:, None] < 1, NAN, GOOD),
        "infinite": np.where(TIME[:, None] < 1, INF, GOOD),
        "a lead without samples": GOOD * [1, NAN],
    },
    "without beats": {
        "nothing": [],
        "no samples": np.zeros((0, 2)),
        "one sample": GOOD[:1],
        "two samples": GOOD[:2],
        "three samples": GOOD[:3],
        "zeros": GOOD * 0,
        "constant": GOOD * 0 + 5,
        "all NaN": GOOD * NAN,
        "all infinite": np.full_like(GOOD, INF),
        "all masked": np.ma.masked_array(GOOD, np.ones_like(GOOD, bool)),
    },
    "refused": {
        "transposed": GOOD.T,
        "a string": "abc",
        "None": None,
        "bytes of text": b"abc",
        "a number": 1.0,
        "a set": {1, 2},
        "a dictionary": {"a": 1},
        "a generator": (k for k in (1, 2)),
        "a type": int,
        "strings": np.full((10, 2), "1.0"),
        "objects": np.full((10, 2), None),
        "objects of numbers": GOOD.astype(object),
        "complex": GOOD.astype(complex),
        "complex tensor": torch.ones(10, 2, dtype=torch.cfloat),
        "boolean": GOOD > 0.5,
        "dates": np.zeros((10, 2), "M8[D]"),
        "a structure": np.zeros(10, [("a", float)]),
        "different lengths": [[1.0, 2.0], [3.0]],
        "three axes": GOOD[None],
        "no leads": np.zeros((10, 0)),
        "too large": GOOD * 1e30,
        "too large for 32 bits": GOOD.astype(float) * 1e300,
    },
}
RATES = {
    "answered": [FS, 250.0, np.float64(FS), np.array(FS), torch.tensor(250.0), Fraction(FS), Decimal(FS), 61, 360.5],
    "refused": [
        *("250", b"250", None, -1, 0, NAN, INF, -INF, 0.5, 1e12, 1e300, 10**400, 250j, True, [250], (250,), {}),
        *(np.array([250.0, 250.0]), torch.tensor([250.0, 1.0]), object(), np.array("250"), float, 1e5 + 1),
    ],
    "refused without R peaks": [1, 1.5, 3, 10, 33.3, 60],
}
PEAKS = {
    "answered": [
        *([100, 300], (100, 300), range(100, 900, 200), [100, 100, 300], [0], [len(GOOD) - 1], [100] * 30, []),
        *(np.array([100], np.int8), np.array([100, 300], np.uint64), torch.tensor([100, 300]), np.zeros(0)),
        np.ma.masked_array([100, 300]),
    ],
    "refused": [
        *([100.0, 300.0], [100.5], [NAN], [INF], [300, 100], [100, 10**9], [-1, 3], [len(GOOD)], "abc", ["a"], [None]),
        *(100, None.__class__, b"ab", {100, 300}, {1: 2}, [1j], [[100], [300]], [[1], [2, 3]], [2**70], [True, False]),
        *(np.array([100, None]), BEAT > 0.9, np.array([2**63 + 5], np.uint64), (k for k in (100, 300))),
        *(torch.tensor([100.0]).requires_grad_(), np.ma.masked_array([100, 300], [False, True])),
    ],
}
LEADS = {
    "answered": [None, ["II", "V1"], ("a", "b"), np.array(["a", "b"]), ["II", "II"], ["MLII", "MLII"], ["", ""]],
    "refused": [
        *("II", "ab", b"II", 5, {"a", "b"}, {"a": 1, "b": 2}, ["II"], ["a", "b", "c"], [], [None, "II"], [1, 2]),
        *([b"II", b"V1"], [["a"], ["b"]], [NAN, "b"], np.array([1, 2]), (k for k in "ab"), True, "x" * 1000),
    ],
}


@functools.cache
def shipped():
    return zoo.create_model("ecg_classifier.mitbih", pretrained=True)


def annotate(*arguments):
    """Annotate with warnings as errors, and check the form of the answer."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = shipped().annotate(*arguments)
    assert found.sample.dtype == np.int64
    assert len(found.sample) == len(found.symbol) == len(found.probability)
    assert ((found.probability > 0) & (found.probability <= 1)).all()
    return found


def refused(*arguments):
    with pytest.raises(ValueError) as error:
        annotate(*arguments)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 200
    return str(error.value)


@pytest.mark.parametrize("name", SIGNALS["answered"])
def test_signals_with_beats(name):
    signal = SIGNALS["answered"][name]
    assert 7 <= len(annotate(signal, FS).sample) <= 11
    assert annotate(signal, FS, [100, 300]).sample.tolist() == [100, 300]


@pytest.mark.parametrize("name", SIGNALS["without beats"])
def test_signals_without_beats(name):
    signal = SIGNALS["without beats"][name]
    assert not len(annotate(signal, FS).sample)
    assert not len(annotate(signal, FS, []).sample)


@pytest.mark.parametrize("peaks", [None, [], [1, 2]])
@pytest.mark.parametrize("name", SIGNALS["refused"])
def test_signals_that_are_refused(name, peaks):
    assert "signal" in refused(SIGNALS["refused"][name], FS, peaks)


@pytest.mark.parametrize(("kind", "number"), [(kind, k) for kind, rates in RATES.items() for k in range(len(rates))])
def test_rates(kind, number):
    fs = RATES[kind][number]
    for peaks in (None, [100, 300, 500]):
        if kind == "refused":
            assert "fs must be" in refused(GOOD, fs, peaks)
        elif kind == "answered" or peaks is not None:
            assert peaks is None or len(annotate(GOOD, fs, peaks).sample) == len(peaks)
            annotate(GOOD, fs, peaks)
        else:
            assert "is too low to detect beats" in refused(GOOD, fs)


@pytest.mark.parametrize("number", range(len(PEAKS["answered"])))
def test_r_peaks_that_are_answered(number):
    peaks = PEAKS["answered"][number]
    assert annotate(GOOD, FS, peaks).sample.tolist() == [int(k) for k in peaks]


@pytest.mark.parametrize("number", range(len(PEAKS["refused"])))
def test_r_peaks_that_are_refused(number):
    assert "r_peaks" in refused(GOOD, FS, PEAKS["refused"][number])


@pytest.mark.parametrize(("kind", "number"), [(kind, k) for kind, leads in LEADS.items() for k in range(len(leads))])
def test_leads(kind, number):
    if kind == "answered":
        assert len(annotate(GOOD, FS, [100], LEADS[kind][number]).sample) == 1
    else:
        assert "leads" in refused(GOOD, FS, [100], LEADS[kind][number])


def test_no_pair_of_odd_arguments_is_anything_else():
    odd = [
        [*list(SIGNALS["refused"].values())[:4], *list(SIGNALS["without beats"].values())[:3], GOOD],
        [FS, "250", None, NAN, 1, [250]],
        [None, [], [100], [NAN], "a", [10**9]],
        [None, "II", [None, None], ["a", "b"]],
    ]
    for arguments in itertools.product(*odd):
        try:
            annotate(*arguments)
        except ValueError as error:
            assert "\n" not in str(error)  # noqa: PT017  some are answered
