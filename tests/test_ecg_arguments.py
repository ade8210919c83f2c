"""Arguments of ``annotate`` from tables and other libraries, and those that look right: one line, or an answer."""

import warnings

import numpy as np
import pytest
import torch

from zoo.tasks.ecg_annotation import MOST_LEADS, check_leads, check_peaks, check_rate, check_signal

pandas = pytest.importorskip("pandas")

NAN = np.nan
GOOD = np.random.default_rng(0).normal(size=(500, 2))
TABLE = pandas.DataFrame(GOOD, columns=["MLII", "V1"])
MASK = np.zeros_like(GOOD, bool)
MASK[3] = True


class Odd:
    """An object whose conversion fails in a way of its own, and whose name has two lines."""

    def __array__(self, dtype=None, copy=None):
        raise KeyError("two\nlines")

    def __repr__(self):
        return "two\nlines"


def answer(check, *arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return check(*arguments)


def refused(check, *arguments):
    with pytest.raises(ValueError) as error:
        answer(check, *arguments)
    assert len(str(error.value).splitlines()) == 1
    assert len(str(error.value)) < 250
    return str(error.value)


@pytest.mark.parametrize("signal", [TABLE, TABLE["MLII"], TABLE.astype("float32"), memoryview(GOOD)])
def test_tables_are_signals(signal):
    found = answer(check_signal, signal)
    assert found.dtype == np.float32
    assert found.shape in ((500, 1), (500, 2))
    assert np.allclose(found[:, 0], GOOD[:, 0], atol=1e-6)


@pytest.mark.parametrize("shape", [(2, 30_000), (12, 5_000), (2, 3), (0, 65), (1, 65), (64, 65), (5_000, 65), (2, 500)])
@pytest.mark.parametrize("kind", [np.zeros, torch.zeros])
def test_more_leads_than_samples_or_than_a_recorder_has(shape, kind):
    message = refused(check_signal, kind(shape))
    assert f"shape {shape}" in message
    assert "expected (samples, leads)" in message
    assert "transpose" in message


@pytest.mark.parametrize("shape", [(0, 2), (0, 12), (1, 1), (1, 12), (2, 2), (3, 2), (12, 12), (5_000, MOST_LEADS)])
def test_short_signals_and_many_leads(shape):
    assert answer(check_signal, np.zeros(shape)).shape == shape


@pytest.mark.parametrize(
    "signal",
    [
        [[1.0, 2.0], [3.0]],
        [[1.0, 2.0], 3.0],
        [GOOD[:, 0], GOOD[1:, 1]],
        [[]],
        GOOD.astype(object),
        GOOD + 0j,
        GOOD > 0,
        TABLE.assign(name="a"),
        TABLE.astype(object),
        TABLE.to_records(index=False),
        pandas.Series(list("abc"), dtype="category"),
        np.ma.masked_array(GOOD + 0j, MASK),
        np.ma.masked_array(GOOD > 0, MASK),
        np.ma.masked_array(GOOD.astype(object), MASK),
        np.ma.masked_array(np.zeros(3, [("a", float)]), [(True,)] * 3),
        np.zeros(10, [("a" * 300, float)]),
        np.full((500, 2), -(2**63)),
        np.full((500, 2), 2**64 - 1, np.uint64),
        [2**70] * 500,
        -GOOD * 1e200,
        torch.zeros(500, 2, device="meta"),
        {"MLII": GOOD[:, 0]},
        Odd(),
    ],
)
def test_what_is_no_signal(signal):
    assert "signal" in refused(check_signal, signal)


@pytest.mark.parametrize(
    "fs",
    [
        *(
            "360",
            None,
            NAN,
            [None],
            "36\n0",
            bytearray(b"250"),
            True,
            np.bool_(True),
            np.array(True),
            torch.tensor(True),
        ),
        *(1 + 0j, np.complex128(250), np.array([250.0]), torch.tensor([250.0]), np.array([]), torch.zeros(0)),
        *(np.timedelta64(250), np.datetime64("2020"), np.ma.masked, np.array(250, object), np.str_("250"), Odd()),
        *(pandas.NA, pandas.Series([250, 250]), pandas.Series([250]), pandas.Timedelta("1s"), lambda: 250),
        *(torch.tensor(250.0, device="meta"), -250, 10**400),
    ],
)
def test_what_is_no_rate(fs):
    assert refused(check_rate, fs).startswith("fs must be samples a second, from 1 to 100000, not ")


@pytest.mark.parametrize("fs", [250, 250.0, np.float32(250), np.int64(250), np.array(250), torch.tensor(250)])
def test_rates(fs):
    assert answer(check_rate, fs) == 250.0


@pytest.mark.parametrize(
    "peaks",
    [
        *([100.5], [NAN], [360.0], np.array([100.0, NAN]), [1e300], [np.inf], torch.tensor([100.0]), [100, 300.0]),
        *([True, False], {100, 300}, {100: 1}, {100: 1}.keys(), "12", ["12"], b"12", "", 100, np.array(100)),
        *([[100, 300]], [[100], [300]], [[100], [300, 400]], [[]], np.zeros((0, 2)), pandas.DataFrame([100])),
        *([300, 100], [-1], [500], [2**70], np.array([2**63], np.uint64), np.array([100, 300], object), [None]),
        *([100 + 0j], np.array([5], "m8[s]"), np.array(["2020"], "M8[D]"), pandas.Series([100, None], dtype="Int64")),
        *(np.ma.masked_array([100, 300], [False, True]), torch.tensor([100], device="meta"), Odd()),
    ],
)
def test_what_are_no_r_peaks(peaks):
    assert "r_peaks" in refused(check_peaks, peaks, 500)


@pytest.mark.parametrize(
    "peaks",
    [
        *([100, 300], (100, 300), pandas.Series([100, 300], index=[5, 7]), pandas.Series([100, 300], dtype="Int64")),
        *(pandas.Index([100, 300]), torch.tensor([100, 300]), np.array([100, 300], np.uint16), range(100, 301, 200)),
    ],
)
def test_r_peaks(peaks):
    found = answer(check_peaks, peaks, 500)
    assert found.dtype == np.int64
    assert found.tolist() == [100, 300]


@pytest.mark.parametrize("peaks", [[], (), np.zeros(0), np.array([], object), pandas.Series([], dtype=float)])
def test_no_r_peaks(peaks):
    assert answer(check_peaks, peaks, 0).dtype == np.int64


def test_the_same_r_peak_twice_is_two_beats():
    assert answer(check_peaks, [100, 100, 300], 500).tolist() == [100, 100, 300]


@pytest.mark.parametrize(
    "leads",
    [
        *([None], ["II", None], "II", b"II", ["II"], ["a", "b", "c"], [], {"a", "b"}, {"a": 1, "b": 2}, NAN, 3),
        *(
            [b"a", b"b"],
            [1, "b"],
            [["a", "b"]],
            np.array([["a", "b"]]),
            np.array("ab"),
            iter("ab"),
            Odd(),
            [Odd(), Odd()],
        ),
        *(pandas.Series(["a", None]), torch.tensor([1, 2]), np.array([1.0, 2.0]), ["a" * 10_000] * 3, Odd()),
    ],
)
def test_what_are_no_names_of_leads(leads):
    assert "leads" in refused(check_leads, leads, 2)


@pytest.mark.parametrize("leads", [TABLE.columns, pandas.Series(["MLII", "V1"]), np.array(["MLII", "V1"], object)])
def test_columns_of_a_table_are_names_of_leads(leads):
    assert answer(check_leads, leads, 2) == ["MLII", "V1"]
