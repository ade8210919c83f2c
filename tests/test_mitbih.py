"""Records, beats, and the database that keeps patients apart."""

import hashlib
import http.server
import os
import shutil
import threading
import zipfile

import numpy as np
import pytest
import torch
from conftest import ROOT, need_files, quiet_trainer, run_python

import zoo
from datamodules import MITBIHDataModule
from datamodules.ecg.beats import (
    AFTER,
    BEFORE,
    CLASS_OF,
    FS,
    balanced_folds,
    beats_of,
    cut_windows,
    median_amplitude,
    template_beat,
    two_leads,
)
from datamodules.ecg.records import Record, fill_gaps, order_leads, read_record, resample
from datamodules.ecg.rr_intervals import RHYTHM_HALF_WIDTHS, on_time, rhythm_around, surrounding_intervals
from datamodules.mitbih import DS1, DS2
from zoo.baselines.ecg import detected_beats, random_forest
from zoo.tasks.ecg_annotation import Annotation

wfdb = pytest.importorskip("wfdb")

TRAINED, TESTED = (201, 203, 205, 207), (100, 103)


def write_record(folder, name, leads=("MLII", "V1"), fs=360, seconds=30, codes="NNSNVNFNQL", gaps=False, **options):
    """Write a record with a beat nearly every second, the first and last at its very edges, and other annotations."""
    folder.mkdir(parents=True, exist_ok=True)
    n, draw = int(seconds * fs), np.random.default_rng(int(name))
    steps = draw.uniform(0.7, 1.1, 2 * int(seconds))
    beats = np.unique(np.concatenate([[2], np.cumsum(steps) * fs, [n - 3]]).astype(int))
    beats = beats[beats < n - 2]
    clock = np.arange(n)
    height = {lead: 2.0 - k for k, lead in enumerate(sorted(leads))}  # MLII before V1, in any order in the file
    shape = sum(np.exp(-(((clock - beat) / (0.01 * fs)) ** 2) / 2) for beat in beats)
    signal = np.stack([height[lead] * shape + 0.1 for lead in leads], 1) + draw.normal(0, 0.01, (n, len(leads)))
    if gaps:
        signal[fs : 2 * fs, 0] = np.nan
    common = {"units": ["mV"] * len(leads), "sig_name": list(leads), "fmt": ["16"] * len(leads), **options}
    wfdb.wrsamp(str(name), fs=fs, p_signal=signal, write_dir=str(folder), **common)
    symbols = [codes[k % len(codes)] for k in range(len(beats))]
    others = [(int(1.3 * fs), "+"), (int(2.3 * fs), "~"), (int(3.3 * fs), "|")]
    rows = sorted([*zip(beats.tolist(), symbols, strict=True), *others])
    wfdb.wrann(str(name), "atr", np.array([row[0] for row in rows]), [row[1] for row in rows], write_dir=str(folder))
    return beats, symbols


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ecg") / "mitdb"
    for record in (*TRAINED, *TESTED):
        write_record(folder / "1.0.0", record, ("V1", "MLII") if record == 203 else ("MLII", "V1"))
    return folder.parent


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "lightning-zoo" / "mitbih"


@pytest.fixture
def small(written, cache, monkeypatch):
    """Build the datamodule over made-up records."""
    monkeypatch.setattr(MITBIHDataModule, "ds1", TRAINED)
    monkeypatch.setattr(MITBIHDataModule, "ds2", TESTED)
    monkeypatch.setattr(MITBIHDataModule, "blake2b_files", None)
    monkeypatch.setattr(MITBIHDataModule, "blake2b_paced", None)

    def build(**args):
        data = MITBIHDataModule(**{"root": str(written), "folds": 2, "batch_size": 8, **args})
        data.setup()
        return data

    return build


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


# ---- records ----


def test_a_record_is_read_whatever_file_of_it_is_named(tmp_path):
    beats, symbols = write_record(tmp_path, 7)
    for ending in ("", ".hea", ".dat", ".atr"):
        record = read_record(tmp_path / f"7{ending}", "atr")
        assert record.name == "7"
        assert record.leads == ["MLII", "V1"]
        assert record.fs == 360
        assert record.signal.dtype == np.float32
        assert record.signal.shape == (30 * 360, 2)
        assert record.signal[:, 0].max() == pytest.approx(2.1, abs=0.1)
        sample, label = beats_of(record)
        assert np.array_equal(sample, beats)
        assert label.tolist() == [CLASS_OF[code] for code in symbols]
        assert len(record.symbol) == len(symbols) + 3
    assert read_record(tmp_path / "7").sample is None
    with pytest.raises(ValueError, match="no annotations were read"):
        beats_of(read_record(tmp_path / "7"))


@pytest.mark.parametrize(
    ("unit", "gain", "expected"), [("mV", 200, 1.0), ("uV", 0.2, 1.0), ("V", 200_000, 1.0), ("mV", 1000, 0.2)]
)
def test_units_and_gains_come_out_as_millivolts(unit, gain, expected, tmp_path):
    write_record(tmp_path, 7, adc_gain=[200.0, 200.0], baseline=[0, 0])
    plain = read_record(tmp_path / "7").signal
    header = tmp_path / "7.hea"
    header.write_text(header.read_text().replace("200.0(0)/mV", f"{gain}(0)/{unit}"))
    assert np.allclose(read_record(tmp_path / "7").signal, expected * plain, rtol=1e-5)


def test_signals_of_other_kinds_are_no_leads(tmp_path):
    write_record(tmp_path, 7, ("MLII", "V1", "ABP"), units=["mV", "mV", "mmHg"])
    assert read_record(tmp_path / "7").leads == ["MLII", "V1"]
    write_record(tmp_path, 8, ("ABP",), units=["mmHg"])
    with pytest.raises(ValueError, match="no signal is in volts, but in mmHg"):
        read_record(tmp_path / "8")


def test_missing_and_damaged_files_are_named_in_one_line(tmp_path):
    write_record(tmp_path, 7)
    whole = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    header = whole["7.hea"].decode()
    cases = {
        "no such record; expected 9.hea": ("9", {}, None),
        "7.qrs is missing: annotators of this record: atr": ("7", {}, "qrs"),
        "7.hea: damaged header": ("7", {"7.hea": b""}, None),
        "'hello' is no number of signals": ("7", {"7.hea": b"7 hello 360 10\n"}, None),
        "'many' is no rate": ("7", {"7.hea": header.replace(" 360 ", " many ").encode()}, None),
        "a rate of 0 Hz": ("7", {"7.hea": header.replace(" 360 ", " 0 ").encode()}, None),
        "damaged header (1 of 2 signals": ("7", {"7.hea": "\n".join(header.splitlines()[:2]).encode()}, None),
        "unknown signal format 77; choose from 8, 16": ("7", {"7.hea": header.replace(" 16 ", " 77 ").encode()}, None),
        "gone.dat is missing": ("7", {"7.hea": header.replace("7.dat", "gone.dat").encode()}, None),
        "7.dat: 1000 bytes, expected 43200 for 10800": ("7", {"7.dat": whole["7.dat"][:1000]}, None),
        "7.dat: 0 bytes": ("7", {"7.dat": b""}, None),
        "7.atr: damaged annotations (their end is missing)": ("7", {"7.atr": whole["7.atr"][:20]}, "atr"),
        "7.atr: annotations out of order or beyond the 100": (
            "7",
            {"7.hea": header.replace("10800", "100").encode()},
            "atr",
        ),
    }
    for words, (name, changes, annotator) in cases.items():
        for file, content in {**whole, **changes}.items():
            (tmp_path / file).write_bytes(content)
        with pytest.raises((ValueError, FileNotFoundError)) as error:
            read_record(tmp_path / name, annotator)
        assert words in one_line(error)
    (tmp_path / "7.hea").write_bytes(whole["7.hea"])
    with pytest.raises(ValueError, match="the record's rate is 360 Hz"):
        read_record(tmp_path / "7", fs=250)


def test_without_wfdb_the_line_gives_the_command(tmp_path, monkeypatch):
    write_record(tmp_path, 7)
    monkeypatch.setitem(__import__("sys").modules, "wfdb", None)
    with pytest.raises(ModuleNotFoundError, match=r"^wfdb is not installed: pip install 'lightning-zoo\[ecg\]'$"):
        read_record(tmp_path / "7")


def test_csv_files_are_read(tmp_path):
    path = tmp_path / "holter.csv"
    path.write_text("time,V1,MLII\n0,0.1,1\n0.01,,2\n0.02,0.3,3\n")
    record = read_record(path, fs=100)
    assert record.leads == ["V1", "MLII"]
    assert record.fs == 100
    assert np.isnan(record.signal[1, 0])
    assert record.signal[:, 1].tolist() == [1, 2, 3]
    path.write_text("1;2\n3;4\n")
    assert read_record(path, fs=100).leads == ["lead 1", "lead 2"]
    assert read_record(path, fs=100).signal.tolist() == [[1, 2], [3, 4]]
    for content, words in (
        ("", "expected numbers in columns"),
        ("MLII\n", "is empty"),
        ("1,2\n3,x\n", "expected numbers in columns"),
        ("1,2\n3,4,5\n", "expected numbers in columns"),
        ("time\n1\n", "no column of a lead"),
    ):
        path.write_text(content)
        with pytest.raises(ValueError) as error:
            read_record(path, fs=100)
        assert words in one_line(error)
    for call, words in (
        (lambda: read_record(path), "give fs"),
        (lambda: read_record(path, fs=0), "fs must be above 0"),
        (lambda: read_record(path, fs=float("nan")), "fs must be above 0"),
        (lambda: read_record(path, "atr", 100), "no annotations 'atr'"),
        (lambda: read_record(tmp_path / "gone.csv", fs=100), "no such file"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=words):
            call()


def test_leads_come_in_one_order_by_name():
    signal = np.arange(12, dtype=np.float32).reshape(2, 6)
    record = Record("7", signal, 360.0, ["I", "V1", "V5", "mlii", "V2", "aVR"])
    ordered = order_leads(record)
    assert ordered.leads == ["mlii", "I", "V1", "V5", "V2", "aVR"]
    assert ordered.signal[0].tolist() == [3, 0, 1, 2, 4, 5]
    assert two_leads(record).leads == ["mlii", "I"]
    assert order_leads(record._replace(leads=["I", "II", "III", "V1", "V2", "V3"])).leads[0] == "II"
    assert order_leads(record, "V5").leads[0] == "V5"
    unknown = record._replace(signal=signal[:, :1], leads=["lead 1"])
    assert two_leads(unknown).signal.tolist() == [[0, 0], [6, 6]]


def test_gaps_are_filled():
    signal = np.array([[np.nan, 1], [2, np.nan], [np.inf, np.nan], [np.nan, 4], [8, np.nan]], np.float32)
    assert fill_gaps(signal)[:, 0].tolist() == [2, 2, 4, 6, 8]
    assert fill_gaps(signal)[:, 1].tolist() == [1, 2, 3, 4, 4]
    assert fill_gaps(np.full((3, 1), np.nan, np.float32)).tolist() == [[0], [0], [0]]
    whole = np.zeros((3, 1), np.float32)
    assert fill_gaps(whole) is whole


@pytest.mark.parametrize("fs", [128, 180, 250, 360, 500, 1000, 257.3])
def test_records_of_any_rate_are_brought_to_one(fs):
    n = int(20 * fs)
    clock = np.arange(n) / fs
    peaks = np.arange(1, 19, dtype=float)
    signal = sum(np.exp(-(((clock - peak) / 0.02) ** 2) / 2) for peak in peaks)[:, None].astype(np.float32) + 5
    record = Record("7", signal, fs, ["MLII"], np.rint(peaks * fs).astype(int), ["N"] * 18)
    slower = resample(record, FS)
    assert slower.fs == FS
    assert abs(len(slower.signal) - 20 * FS) <= 2
    assert np.abs(slower.sample - peaks * FS).max() <= 1
    windows = cut_windows(slower.signal, slower.sample)
    assert np.abs(windows[:, 0].argmax(1) - BEFORE).max() <= 1
    assert windows[:, 0].max(1) == pytest.approx(6, abs=0.1)
    assert slower.signal.min() == pytest.approx(5, abs=0.02)  # no ringing at the ends
    assert slower.signal.dtype == np.float32


def test_no_frequency_is_folded_back():
    clock = np.arange(3600) / 360
    record = Record("7", np.sin(2 * np.pi * 150 * clock)[:, None].astype(np.float32), 360.0, ["MLII"])
    assert np.abs(resample(record, FS).signal[100:-100]).max() < 0.01


def test_a_flat_or_missing_lead_and_a_short_record_are_no_error():
    for signal in (np.zeros((900, 2)), np.full((900, 2), np.nan), np.zeros((1, 2)), np.zeros((0, 2))):
        record = Record("7", signal.astype(np.float32), 250.0, ["MLII", "V1"])
        assert np.isfinite(resample(record, FS).signal).all()


# ---- beats ----


def test_windows_go_on_beyond_the_ends():
    signal = np.stack([np.arange(10), 10 * np.arange(10)], 1)
    windows = cut_windows(signal, np.array([0, 5, 9]), 2, 3)
    assert windows[0].tolist() == [[0, 0, 0, 1, 2], [0, 0, 0, 10, 20]]
    assert windows[1][0].tolist() == [3, 4, 5, 6, 7]
    assert windows[2][0].tolist() == [7, 8, 9, 9, 9]
    assert cut_windows(signal, np.array([], int), 2, 3).shape == (0, 2, 5)


def test_rr_intervals_by_hand():
    rows = surrounding_intervals(np.array([0, 360, 540, 1260]), 360, around=2)
    assert rows.tolist() == pytest.approx(
        np.array(
            [
                [0, 0, 1, 0.5, 1, 0],
                [0, 1, 0.5, 2, 1, 1],
                [1, 0.5, 2, 0, 1, 0.75],
                [0.5, 2, 0, 0, 1, 3.5 / 3],
            ]
        )
    )
    assert surrounding_intervals(np.array([5]), 360).tolist() == [[0] * 18]
    assert surrounding_intervals(np.array([], int), 360).shape == (0, 18)
    positions = np.cumsum(np.random.default_rng(0).integers(200, 400, 1000))
    recent = surrounding_intervals(positions, 360)[:, -1]
    assert recent[900] == pytest.approx((positions[900] - positions[600]) / 360 / 300)
    assert recent[10] == pytest.approx((positions[10] - positions[0]) / 360 / 10)


def test_the_causal_columns_do_not_look_ahead():
    positions = np.cumsum(np.random.default_rng(0).integers(200, 400, 500))
    causal = [*range(8), 17]
    rows, first = surrounding_intervals(positions, 360), surrounding_intervals(positions[:300], 360)
    assert np.array_equal(rows[:300, causal], first[:, causal])


def test_what_is_taken_over_a_record_by_hand():
    windows = np.zeros((3, 1, BEFORE + AFTER), np.float32)
    windows[:, 0, BEFORE] = [1, 2, 30]
    windows[:, 0] += np.array([5, -5, 0])[:, None]
    windows[:, 0, 0] = 99  # far from the R peak
    assert median_amplitude(windows).tolist() == [2]
    rr = np.full((3, 18), 0.8, np.float32)
    assert template_beat(windows, rr)[0, BEFORE] == 2
    assert template_beat(windows, rr)[0, 5] == 0
    assert template_beat(windows[:0], rr[:0]).tolist() == [[0] * (BEFORE + AFTER)]
    assert median_amplitude(windows[:0]).tolist() == [0]


def test_usual_beat_is_normal_where_most_beats_are_early():
    gaps = np.tile([0.6, 0.6, 0.6, 1.4], 30)  # runs of ectopic beats, and a pause before each normal one
    positions = np.rint(np.cumsum(gaps) * 360).astype(np.int64)
    rr = surrounding_intervals(positions, 360)
    normal = gaps == 1.4
    assert np.array_equal(on_time(rr)[8:], normal[8:])
    windows = np.zeros((len(gaps), 1, BEFORE + AFTER), np.float32)
    windows[:, 0, BEFORE] = np.where(normal, 1, 5)
    assert template_beat(windows, rr)[0, BEFORE] == 1
    assert template_beat(windows[:9], rr[:9])[0, BEFORE] == 5  # too few are on time: the median of all


def test_rhythm_around_by_hand():
    gaps = np.full(200, 0.8)
    gaps[100], gaps[101] = 0.4, 1.2
    rows = rhythm_around(np.rint(np.cumsum(gaps) * 360).astype(np.int64), 360)
    assert rows.shape == (200, 12 * len(RHYTHM_HALF_WIDTHS))
    assert rows.dtype == np.float32
    early = np.log(0.5)
    for near in np.split(rows[100], len(RHYTHM_HALF_WIDTHS)):
        assert near[:5].tolist() == pytest.approx([early] * 5, abs=1e-5)
        assert near[5:8].tolist() == pytest.approx([np.log(0.02)] * 3, abs=1e-4)
        assert near[8] == 0
        assert near[9] > 0.95
        assert near[10:].tolist() == pytest.approx([-8, 8])  # log(0.5) and log(1.5) over 0.04, clipped
    assert np.abs(rows[20, [*range(5), 10, 11]]).max() < 1e-6
    slow = rhythm_around(np.rint(np.cumsum(gaps) * 720).astype(np.int64), 360)
    assert np.allclose(rows, slow, atol=1e-5)  # no matter how fast the heart beats
    for few in (0, 1, 2, 5):
        assert np.isfinite(rhythm_around(np.arange(few) * 300, 360)).all()
        assert rhythm_around(np.arange(few) * 300, 360).shape == (few, 24)


def test_rhythm_around_is_numpys_quantile():
    draw = np.random.default_rng(0)
    gaps = draw.lognormal(-0.3, 0.2, 300)
    positions = np.rint(np.cumsum(gaps) * 360).astype(np.int64)
    rows, log = rhythm_around(positions, 360), np.log(np.diff(positions) / 360)
    near = log[149 - 15 : 149 + 17]  # interval 149 ends at beat 150: the 16 up to it and the 16 after it
    assert rows[150, :5].tolist() == pytest.approx(
        (log[149] - np.quantile(near, [0.1, 0.25, 0.5, 0.75, 0.9])).tolist(), abs=1e-5
    )
    changes = np.quantile(np.abs(np.diff(near)), [0.25, 0.5, 0.75])
    assert rows[150, 5:8].tolist() == pytest.approx(np.log(0.02 + changes).tolist(), abs=1e-5)
    assert rows[150, 8] == pytest.approx((near < log[149]).mean())
    edge = log[5 - 5 : 5 + 16]  # beat 5 has five intervals before it
    assert rows[5, 2] == pytest.approx(log[4] - np.median(edge), abs=1e-5)


def test_folds_are_balanced():
    draw = np.random.default_rng(0)
    counts = draw.integers(0, 100, (22, 3))
    for folds in (2, 5, 22):
        fold_of = balanced_folds(counts, folds)
        assert set(fold_of.tolist()) == set(range(folds))
        assert np.array_equal(fold_of, balanced_folds(counts, folds))
    shares = np.array([counts[balanced_folds(counts, 5) == fold].sum(0) for fold in range(5)]) / counts.sum(0)
    assert np.abs(shares - 0.2).max() < 0.06
    assert set(balanced_folds(np.zeros((4, 3)), 4).tolist()) <= set(range(4))


# ---- the datamodule over made-up records ----


def test_rows_are_the_records_beats(small, written):
    data = small(fold=0, neighbours=2)
    record = read_record(written / "mitdb/1.0.0/100", "atr")
    sample, label = beats_of(record)
    split = data.splits["test"]
    rows = split.groups == 100
    x, y, rr, rhythm, amplitude, template, around, names = data.decode_batch(tuple(t[rows] for t in split.tensors))
    assert y.tolist() == label.tolist()  # none is lost at the ends
    assert names.tolist() == [100] * len(label)
    assert torch.equal(rr, torch.from_numpy(surrounding_intervals(sample, 360)))
    assert torch.equal(rhythm, torch.from_numpy(rhythm_around(sample, 360)))
    slower = resample(record._replace(sample=sample), FS)
    expected = cut_windows(slower.signal, slower.sample)
    assert np.abs(x.numpy() - expected).max() <= 0.00051
    assert x.dtype == torch.float32
    assert (x[:, 0, BEFORE - 40 : BEFORE + 40].argmax(1) - 40).abs()[1:-1].max() <= 1
    assert torch.equal(template[0], torch.from_numpy(template_beat(expected, rr.numpy())))
    assert torch.equal(amplitude[-1], torch.from_numpy(median_amplitude(expected)))
    last = len(label) - 1
    for row in (0, 1, 7, last):
        wanted = [min(max(row + step, 0), last) for step in (-2, -1, 1, 2)]
        assert torch.equal(around[row], x[wanted])
    assert small(neighbours=0).decode_batch(split.take(np.arange(3)).tensors)[6].shape == (3, 0, 2, BEFORE + AFTER)


def test_synthetic_hearts_are_trained_on_alone(small):
    plain, data = small(fold=0), small(fold=0, synthetic_hearts=3)
    for name in ("val", "test"):
        for old, new in zip(plain.splits[name].tensors, data.splits[name].tensors, strict=True):
            assert torch.equal(old, new)
    train, held = data.splits["train"], set(data.splits["val"].groups.tolist())
    own = len(plain.splits["train"].groups)
    assert len(train.groups) > own + 500
    assert not held & set(train.groups.tolist())
    assert torch.equal(train.tensors[0][:own], plain.splits["train"].tensors[0])
    x, y, _, rhythm, amplitude, template, _, names = data.decode_batch(tuple(t[own:] for t in train.tensors))
    assert (names < 0).all()
    assert np.array_equal(-names.numpy(), train.groups[own:])
    assert rhythm.shape == (len(x), 24)
    records, counts = data.counts_by_record("train")
    assert records.tolist() == sorted({*names.tolist(), *train.groups[:own].tolist()})
    assert counts[records < 0].sum().item() == len(y)
    assert counts[records < 0].sum(0).tolist() == torch.bincount(y, minlength=5).tolist()
    for row in (0, len(x) // 2, -1):
        real = data.beats.records.tolist().index(train.groups[own:][row])
        assert torch.equal(amplitude[row], torch.from_numpy(data.beats.amplitude[real]))
        assert torch.equal(template[row, :, 100:], torch.from_numpy(data.beats.template[real][:, 100:]))
    assert small(fold=0, synthetic_hearts=3).splits["train"].stored[2].equal(train.stored[2])


def test_swapped_leads_are_put_in_order(small):
    data = small()
    windows, records = data.beats.window, data.beats.records[data.beats.record]
    heights = np.ptp(windows[..., BEFORE - 20 : BEFORE + 20], axis=2)
    for record in (*TRAINED, *TESTED):
        first, second = np.median(heights[records == record], 0)
        assert first > 1.5 * second


def test_patients_are_kept_apart_and_every_one_is_validated_once(small):
    validated = []
    for fold in range(2):
        data = small(fold=fold, seed=5)
        parts = {name: set(split.groups.tolist()) for name, split in data.splits.items()}
        assert parts["test"] == set(TESTED)
        assert parts["train"] | parts["val"] == set(TRAINED)
        assert not parts["train"] & parts["val"]
        validated += sorted(parts["val"])
        assert data.counts("train") == np.bincount(data.splits["train"].column(1), minlength=5).tolist()
    assert sorted(validated) == sorted(TRAINED)
    everything = small(fold=1, train_on_all=True)
    assert set(everything.splits["train"].groups.tolist()) == set(TRAINED)
    assert set(everything.splits["val"].groups.tolist()) == parts["val"]
    assert small(seed=3).fold == 1
    assert len(set(small(folds=4, fold=2).splits["val"].groups.tolist())) == 1


def test_under_intra_patient_beats_are_drawn(small):
    data = small(protocol="intra_patient", val_size=20)
    parts = {name: set(split.groups.tolist()) for name, split in data.splits.items()}
    n = len(data.beats.label)
    assert {name: len(part) for name, part in parts.items()} == {
        "train": n - n // 5 - 20,
        "val": 20,
        "test": n // 5,
    }
    assert sum(map(len, parts.values())) == len(set.union(*parts.values())) == n
    assert set(data.decode_batch(data.splits["test"].tensors)[-1].tolist()) == {*TRAINED, *TESTED}
    assert data.spec["protocol"] == "intra_patient"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"protocol": "interpatient"}, "'interpatient': did you mean inter_patient"),
        ({"folds": 1}, "folds=1 does not fit: choose from 2 to 4"),
        ({"folds": 5}, "folds=5 does not fit"),
        ({"fold": 2}, "fold=2 does not fit: choose from 0 to 1"),
        ({"fold": -1}, "fold=-1"),
        ({"neighbours": -1}, "neighbours must be at least 0"),
        ({"synthetic_hearts": -1}, "synthetic_hearts must be at least 0"),
        ({"val_size": 10}, "val_size=10 does not fit: under inter_patient"),
    ],
)
def test_bad_settings_are_named(args, words, small):
    with pytest.raises(ValueError) as error:
        small(**args)
    assert words in one_line(error)


def test_single_leads_other_rates_and_gaps_are_brought_to_the_rows(tmp_path, small):
    folder = tmp_path / "mitdb"
    for record, options in zip(
        (*TRAINED, *TESTED),
        (
            {"fs": 128},
            {"fs": 1000},
            {"leads": ("MLII",)},
            {"gaps": True},
            {"leads": ("V1", "V2", "MLII")},
            {"seconds": 5},
        ),
        strict=True,
    ):
        write_record(folder, record, **options)
    data = small(root=str(tmp_path))
    beats = data.beats
    assert data.to_natural_units(torch.from_numpy(beats.window)).isfinite().all()
    names = beats.records[beats.record]
    for record in (*TRAINED, *TESTED):
        windows = beats.window[names == record]
        assert len(windows) == len(beats_of(read_record(folder / str(record), "atr"))[0])
        near = np.abs(windows[2:-2, 0, BEFORE - 40 : BEFORE + 40].argmax(1) - 40) <= 2
        assert near.mean() > 0.9
    single = beats.window[names == 205]
    assert np.array_equal(single[:, 0], single[:, 1])


# ---- files and cache ----


def test_folder_and_zip_are_the_same(small, written, tmp_path):
    packed = tmp_path / "packed"
    packed.mkdir()
    with zipfile.ZipFile(packed / f"{MITBIHDataModule.archive}.zip", "w") as archive:
        for path in (written / "mitdb/1.0.0").iterdir():
            archive.write(path, f"{MITBIHDataModule.archive}/{path.name}")
    unpacked = tmp_path / "unpacked"
    shutil.copytree(written / "mitdb/1.0.0", unpacked / MITBIHDataModule.archive)
    sums = {small(root=str(root)).sha256() for root in (written, packed, unpacked)}
    assert len(sums) == 1
    (packed / f"{MITBIHDataModule.archive}.zip").write_bytes(b"no zip file")
    with pytest.raises(ValueError, match="cannot be unpacked") as error:
        small(root=str(packed))
    one_line(error)


def test_what_was_prepared_is_kept_until_a_file_changes(small, written, cache, tmp_path, monkeypatch):
    first = small()
    (kept,) = cache.iterdir()
    assert isinstance(first.beats.window, np.memmap)
    with monkeypatch.context() as patch:
        patch.setattr("datamodules.mitbih.read_record", lambda *_, **__: pytest.fail("the records are read again"))
        assert small().sha256() == first.sha256()
    damaged = (kept / "window.npy").read_bytes()[:500]
    (kept / "window.npy").unlink()  # the first goes on with the file that it has open
    (kept / "window.npy").write_bytes(damaged)
    assert small().sha256() == first.sha256()
    assert list(cache.iterdir()) == [kept]
    other = tmp_path / "other"
    shutil.copytree(written, other)
    path = other / "mitdb/1.0.0/100.dat"
    stat, content = path.stat(), bytearray(path.read_bytes())
    content[40_001] ^= 16
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"100\.dat: .* differ from the checksums in 100\.hea"):
        small(root=str(other))
    content[40_001] ^= 16
    content[39_996:40_008], content[60_000:60_012] = content[60_000:60_012], content[39_996:40_008]
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # the date tells nothing
    assert small(root=str(other)).sha256() != first.sha256()
    assert len(list(cache.iterdir())) == 2


def test_a_cache_that_cannot_be_written_costs_time_only(small, tmp_path, cache):
    (tmp_path / "cache").write_text("in the way")
    with pytest.warns(UserWarning, match="cannot be written"):
        data = small()
    assert len(data.beats.label) > 100


@pytest.mark.slow
def test_processes_that_prepare_at_once_do_not_harm_each_other(written, tmp_path):
    program = (
        "import sys, datamodules\nfrom datamodules import MITBIHDataModule as M\n"
        f"M.ds1, M.ds2, M.blake2b_files = {TRAINED}, {TESTED}, None\n"
        f"print(M(root={str(written)!r}, folds=2).sha256())"
    )
    found = []
    threads = [
        threading.Thread(
            target=lambda: found.append(run_python("-c", program, cwd=ROOT, XDG_CACHE_HOME=str(tmp_path / "cache")))
        )
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.returncode for result in found] == [0, 0], found[0].stderr + found[1].stderr
    assert found[0].stdout == found[1].stdout
    assert len(list((tmp_path / "cache/lightning-zoo/mitbih").iterdir())) == 1


def test_files_that_are_not_the_published_ones_are_named(small, written, tmp_path, monkeypatch):
    monkeypatch.setattr(MITBIHDataModule, "blake2b_files", "0" * 32)
    with pytest.raises(ValueError, match="a file is not the published one") as error:
        small()
    one_line(error)
    shutil.copytree(written, tmp_path / "data")
    folder = tmp_path / "data/mitdb/1.0.0"
    sums = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.name}\n" for path in folder.glob("*.*"))
    (folder / "SHA256SUMS.txt").write_text(sums)
    (folder / "203.atr").write_bytes(b"something else\0\0")
    with pytest.raises(ValueError, match=r"203\.atr is not the published one"):
        small(root=str(tmp_path / "data"))


@pytest.fixture
def server(written, monkeypatch):
    """A server of the made-up records in place of PhysioNet's."""
    files = {path.name: path.read_bytes() for path in (written / "mitdb/1.0.0").iterdir()}
    sums = "".join(f"{hashlib.sha256(content).hexdigest()} {name}\n" for name, content in files.items()).encode()

    class Handler(http.server.BaseHTTPRequestHandler):
        answers = {**files, "SHA256SUMS.txt": sums}
        asked = []

        def do_GET(self):
            name = self.path.rsplit("/", 1)[-1]
            self.asked.append(name)
            if name not in self.answers:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.answers[name])))
            self.end_headers()
            self.wfile.write(self.answers[name])

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        monkeypatch.setattr(MITBIHDataModule, "url", f"http://127.0.0.1:{running.server_address[1]}/")
        monkeypatch.setattr(MITBIHDataModule, "sha256_sums", hashlib.sha256(sums).hexdigest())
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield Handler
        running.shutdown()


def test_missing_files_are_downloaded_once(server, small, written, tmp_path):
    root = tmp_path / "data"
    assert small(root=str(root)).sha256() == small().sha256()
    assert len(server.asked) == 3 * 6 + 1
    small(root=str(root))
    assert len(server.asked) == 3 * 6 + 1
    (root / "mitdb/1.0.0/203.atr").unlink()
    small(root=str(root))
    assert server.asked[3 * 6 + 1 :] == ["203.atr"]


def test_a_download_that_is_altered_or_absent_is_named(server, small, tmp_path, monkeypatch):
    good = dict(server.answers)
    server.answers = {**good, "203.dat": b"something else"}
    with pytest.raises(ValueError, match="wrong checksum") as error:
        small(root=str(tmp_path / "a"))
    assert "203.dat" in one_line(error)
    server.answers = {**good, "SHA256SUMS.txt": b"something else"}
    with pytest.raises(ValueError, match="wrong checksum"):
        small(root=str(tmp_path / "b"))
    monkeypatch.setattr(MITBIHDataModule, "url", "http://127.0.0.1:9/")
    with pytest.raises(FileNotFoundError) as error:
        small(root=str(tmp_path / "c"))
    line = one_line(error)
    assert "SHA256SUMS.txt is missing" in line
    assert "http://127.0.0.1:9/SHA256SUMS.txt" in line
    assert str(tmp_path / "c") in line


# ---- the database itself ----


@pytest.fixture(scope="module")
def real():
    data = need_files(MITBIHDataModule())
    data.setup()
    return data


def test_the_counts_are_de_chazals(real):
    splits, names = real.load(), np.array(real.beats.records)
    counts = {name: split.column(1).bincount(minlength=5).tolist() for name, split in splits.items()}
    assert counts["train"] == [45_866, 944, 3_788, 415, 8]
    assert counts["test"] == [44_259, 1_837, 3_221, 388, 7]
    records, by_record = real.counts_by_record("test")
    assert records.tolist() == sorted(DS2)
    assert by_record.sum(0).tolist() == counts["test"]
    assert by_record[records.tolist().index(232)].tolist() == [398, 1_382, 0, 0, 0]
    assert len(DS1) == len(DS2) == 22
    assert sorted((*DS1, *DS2)) == names.tolist()


def test_every_fold_holds_its_share(real):
    ventricular, supraventricular, validated = [], [], []
    for fold in range(5):
        data = MITBIHDataModule(fold=fold)
        data._beats = real.beats
        data.setup()
        counts = data.counts("val")
        supraventricular.append(counts[1])
        ventricular.append(counts[2])
        validated += sorted(set(data.splits["val"].groups.tolist()))
    assert sorted(validated) == sorted(DS1)
    assert min(supraventricular) > 100  # 383 of 944 are one record's
    assert min(ventricular) > 500
    assert max(ventricular) < 1_100


def test_the_first_lead_is_mlii_in_all_records(real):
    beats = real.beats
    # 114 has its leads the other way round in the file.
    record = read_record(real.files.source() / "114", "atr")
    assert record.leads == ["V5", "MLII"]
    sample, _ = beats_of(record)
    slower = resample(order_leads(record)._replace(sample=sample), FS)
    rows = beats.records[beats.record] == 114
    assert np.abs(beats.window[rows] / 1000 - cut_windows(slower.signal, slower.sample)).max() < 0.001
    assert np.array_equal(beats.sample[rows], sample)


def test_the_rows_are_beats_of_people(real):
    beats = real.beats
    assert np.abs(beats.window).max() < 10_000  # millivolts
    intervals = beats.rr[:, 7]
    assert 0.6 < np.median(intervals[intervals > 0]) < 0.9
    assert (intervals == 0).sum() == 44  # the first of each record
    assert (beats.amplitude[:, 0] > 0.3).all()


# ---- beside a model ----


class Oracle:
    """A model that calls every beat N, and puts a detected one where it is told to."""

    def __init__(self, shift):
        self.shift = shift

    def annotate(self, signal, fs, r_peaks=None, leads=None):
        peaks = self.beats + self.shift if r_peaks is None else r_peaks
        return Annotation(peaks, ["N"] * len(peaks), np.ones(len(peaks), np.float32))


def test_detected_beats_are_counted_by_hand(small):
    data = small(fold=0)
    model = Oracle(shift=20)  # 56 ms
    recordings = list(data.recordings())
    assert [record.name for record in recordings] == [str(name) for name in TESTED]
    positions, label = beats_of(recordings[0])
    model.beats = positions
    data.recordings = lambda: recordings[:1]
    scores, report = detected_beats(model, data)
    assert scores["test_missed_beats"] == scores["test_extra_beats"] == 0
    assert scores["test_detection_loss"] == pytest.approx(0, abs=1e-9)
    share = (label == 0).sum() / (label < 4).sum()
    assert scores["test_detected_accuracy"] == pytest.approx(share)
    rows = [line.split() for line in report.splitlines()]
    assert [row[:2] for row in rows if row and row[0].isdigit()] == [[str(TESTED[0]), str(len(positions))]]
    assert report.startswith("R peaks as detected")
    model.shift = 70  # 194 ms: beats that are 0.7 to 1.1 s apart are all missed
    scores, _ = detected_beats(model, data)
    assert scores["test_missed_beats"] == scores["test_extra_beats"] == len(positions)
    assert scores["test_detected_accuracy"] == 0


def test_the_forest_learns_what_is_there(small):
    data = small(train_on_all=True, folds=4, synthetic_hearts=2)
    scores = random_forest(zoo.create_model("ecg_classifier", smoothing_bandwidth=0.05), data)
    assert {"test_macro_f1", "test_accuracy", "test_s_f1", "test_v_f1"} <= set(scores)
    assert scores["test_accuracy"] > 0.5  # all beats look alike; most are N


def test_annotating_is_testing(small):
    torch.manual_seed(0)
    data = small(fold=0, neighbours=0)
    model = zoo.create_model("ecg_classifier", neighbours=0, smoothing_bandwidth=0.05)
    quiet_trainer().test(model, data, verbose=False)
    tested, found = model.metrics["test"]["ec57"].matrices, torch.zeros(len(data.records) + 1, 6, 6)
    for record in data.recordings():
        positions, label = beats_of(record)
        symbols = model.annotate(record.signal, record.fs, positions, record.leads).symbol
        for true, symbol in zip(label, symbols, strict=True):
            found[data.records.index(int(record.name)), true, "NSVFQ".index(symbol)] += 1
    assert tested.sum() == found.sum() > 50
    assert (tested - found).abs().sum() <= 0.05 * found.sum()  # windows are stored in microvolts
