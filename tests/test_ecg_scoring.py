"""Scores of a model on a user's own annotated recordings."""

import numpy as np
import pytest
import torch

import zoo
from datamodules.ecg.records import find_records
from zoo.cli import main
from zoo.metrics import detection_scores, detection_table
from zoo.prediction.ecg_scoring import score_records
from zoo.tasks.ecg_annotation import Annotation, BeatAnnotator

wfdb = pytest.importorskip("wfdb")

SECONDS, GAP = 30, 0.8
RECIPE = "ecg_classifier.mitbih"


def write(path, fs=250, gain=200.0, leads=("MLII", "V1"), symbols=None, marks=(), annotator="atr", seed=0):
    """Write a made-up record of a beat every 0.8 s; return the positions of its beats in samples.

    ``symbols`` go round over the beats; ``marks`` are further annotations, (seconds, symbol).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    t = np.arange(int(SECONDS * fs)) / fs
    beat = np.exp(-((((t + GAP / 2) % GAP) - GAP / 2) ** 2) / 0.0003)
    signal = beat[:, None] * np.linspace(1, 0.6, len(leads))
    signal += np.random.default_rng(seed).normal(0, 0.01, signal.shape)
    form = {"fmt": ["16"] * len(leads), "adc_gain": [gain] * len(leads), "baseline": [0] * len(leads)}
    where = {"write_dir": str(path.parent)}
    wfdb.wrsamp(path.name, fs, ["mV"] * len(leads), list(leads), signal, **form, **where)
    peaks = np.rint(np.arange(1, int(SECONDS / GAP)) * GAP * fs).astype(int)
    if annotator:
        names = [(symbols or ["N"])[k % len(symbols or ["N"])] for k in range(len(peaks))]
        both = sorted([*zip(peaks.tolist(), names), *((round(at * fs), mark) for at, mark in marks)])
        wfdb.wrann(path.name, annotator, np.array([at for at, _ in both]), [name for _, name in both], fs=fs, **where)
    return peaks


class Perfect(BeatAnnotator):
    """Calls each beat N, at the R peaks given; those it detects are every 0.8 s, but the first, and one too many."""

    def __init__(self):
        torch.nn.Module.__init__(self)

    def annotate(self, signal_mV, fs, r_peaks=None, leads=None):  # noqa: N803
        if r_peaks is None:
            detected = np.arange(2, int(SECONDS / GAP)) * GAP
            r_peaks = np.rint(np.sort([*detected, 10.2]) * fs).astype(np.int64)
        return Annotation(r_peaks, ["N"] * len(r_peaks), np.ones(len(r_peaks), np.float32))


@pytest.fixture(scope="module")
def shipped():
    return zoo.create_model(RECIPE, pretrained=True)


def test_command_line_gives_both_tables(tmp_path, capfd):
    """Records of any name, rate, gain and leads, in subfolders too, and other symbols than N, S and V."""
    folder = tmp_path / "my-records"
    beats = [
        write(folder / "patient_A", 250, symbols=["N", "L", "e", "A", "V", "F", "/"]),
        write(folder / "232", 360, gain=1000, leads=["V5"], symbols=["N"]),
        write(folder / "ward 3" / "b" / "s0001-x", 128, leads=["I", "II", "V1", "V2", "V6"], symbols=["R", "n", "r"]),
    ]
    assert main(["test", RECIPE, "--data.root", str(folder), "--annotator", "atr"]) == 0
    out, err = capfd.readouterr()
    assert not err
    for heading in ("R peaks as annotated", "R peaks as detected", "Detection of beats within 150 ms"):
        assert heading in out
    lines = [line.split() for line in out.splitlines()]
    assert ["beats", str(sum(map(len, beats)))] in lines
    assert ["records", "3"] in lines
    assert "3 of 3 recordings scored" in out
    assert "S without 232" not in out  # which is a record of MIT-BIH
    assert "recorded" not in out.replace("recordings", "")  # nor are these the figures of the test split
    for name in ("patient_A", "232", "ward 3/b/s0001-x"):
        assert sum(line.startswith(f"{name} ") for line in out.splitlines()) == 3


def test_given_and_detected_peaks_by_hand(tmp_path):
    count = len(write(tmp_path / "a", symbols=["N", "V", "a", "F", "Q", "N"]))
    found = score_records(Perfect(), tmp_path, "atr")
    assert found.records == ["a"]
    assert not found.left_out
    each = torch.bincount(torch.tensor([[0, 2, 1, 3, 4, 0][k % 6] for k in range(count)]), minlength=5)
    assert torch.equal(found.given[0, :5, 0], each)
    assert found.given.sum() == count
    assert found.detected[0, 0, 5] == 1  # the first beat
    assert found.detected[0, 5].tolist() == [1, 0, 0, 0, 0, 0]
    assert found.metrics["missed_beats"] == found.metrics["extra_beats"] == 1
    assert found.metrics["qrs_sensitivity"] == pytest.approx((count - 1) / count)
    assert found.metrics["qrs_positive_predictivity"] == pytest.approx((count - 1) / count)
    n, rest = int(each[0]), int(each[1:4].sum())
    assert found.metrics["n_f1"] == pytest.approx(2 * n / (2 * n + rest))
    assert found.metrics["accuracy"] == pytest.approx(n / (n + rest))
    assert found.metrics["detected_accuracy"] == pytest.approx((n - 1) / (n + rest + 1))


def test_other_marks_are_no_beats(tmp_path, shipped):
    write(tmp_path / "plain" / "a")
    marks = [(0.1, "+"), (3.3, "~"), (7.1, "|"), (11.3, "["), (12.1, "!"), (13.3, "]"), (20.1, '"'), (25.0, "x")]
    write(tmp_path / "marked" / "a", marks=marks)
    plain, marked = (score_records(shipped, tmp_path / name, "atr") for name in ("plain", "marked"))
    assert torch.equal(plain.given, marked.given)
    assert torch.equal(plain.detected, marked.detected)


def test_rates_and_leads_are_detected(tmp_path, shipped):
    for k, fs in enumerate((100, 250, 360, 499.5, 1000)):
        write(tmp_path / f"r{k}", fs, leads=["V1", "II"][: 1 + k % 2])
    metrics = score_records(shipped, tmp_path, "atr").metrics
    assert metrics["qrs_sensitivity"] > 0.97
    assert metrics["qrs_positive_predictivity"] > 0.97


def test_records_that_cannot_be_scored_are_left_out(tmp_path, capfd):
    folder = tmp_path / "r"
    write(folder / "good")
    write(folder / "unannotated", annotator=None)
    write(folder / "other", annotator="qrs")
    write(folder / "sub" / "cut")
    write(folder / "halved")
    write(folder / "rhythm", marks=[(1, "+"), (2, "~")], annotator=None)
    wfdb.wrann("rhythm", "atr", np.array([5, 10]), ["+", "~"], fs=250, write_dir=str(folder))
    (folder / "sub" / "cut.dat").write_bytes((folder / "sub" / "cut.dat").read_bytes()[:1000])
    (folder / "halved.atr").write_bytes((folder / "halved.atr").read_bytes()[:31])
    (folder / "broken.hea").write_text("damaged x y\n")
    (folder / "broken.atr").write_bytes(b"\0\0")
    (folder / "notes.txt").write_text("not a record\n")
    assert main(["test", RECIPE, "--data.root", str(folder), "--annotator", "atr"]) == 0
    out, _ = capfd.readouterr()
    assert "1 of 7 recordings scored" in out
    left = [line for line in out.splitlines() if line.startswith("left out: ")]
    names = {"unannotated": "no annotations", "other": "no annotations", "sub/cut": "truncated", "halved": "damaged"}
    names |= {"rhythm": "no annotated beat", "broken": "damaged header"}
    assert len(left) == len(names)
    for name, reason in names.items():
        assert [line for line in left if line.startswith(f"left out: {name}: ") and reason in line], name


def test_wrong_checksum_is_said(tmp_path):
    write(tmp_path / "a")
    content = bytearray((tmp_path / "a.dat").read_bytes())
    content[500] ^= 1
    (tmp_path / "a.dat").write_bytes(content)
    assert "warning: " in score_records(Perfect(), tmp_path, "atr").report()


def test_one_record_by_its_name(tmp_path):
    write(tmp_path / "a")
    write(tmp_path / "b")
    for name in ("a", "a.hea", "a.dat"):
        assert score_records(Perfect(), tmp_path / name, "atr").records == ["a"]


def test_a_record_without_detections_is_all_missed(tmp_path, shipped):
    count = len(write(tmp_path / "flat"))
    size = (tmp_path / "flat.dat").stat().st_size
    (tmp_path / "flat.dat").write_bytes(bytes(size))
    found = score_records(shipped, tmp_path, "atr")
    assert found.metrics["missed_beats"] == count
    assert np.isnan(found.metrics["qrs_positive_predictivity"])
    assert "nan" not in found.report().split("left out")[0]


def test_segments_are_no_records_of_their_own(tmp_path):
    write(tmp_path / "whole_1", annotator=None)
    write(tmp_path / "whole_2", annotator=None)
    samples = SECONDS * 250
    (tmp_path / "whole.hea").write_text(f"whole/2 2 250 {2 * samples}\nwhole_1 {samples}\nwhole_2 {samples}\n")
    headers, others = find_records(tmp_path, "atr")
    assert ([path.stem for path in headers], [path.stem for path in others]) == ([], ["whole"])
    wfdb.wrann("whole", "atr", np.array([200, 400, 8000]), ["N", "V", "N"], fs=250, write_dir=str(tmp_path))
    found = score_records(Perfect(), tmp_path, "atr")
    assert (found.records, found.left_out, int(found.given.sum())) == (["whole"], [], 3)
    wfdb.wrann("whole_2", "atr", np.array([200]), ["N"], fs=250, write_dir=str(tmp_path))
    assert score_records(Perfect(), tmp_path, "atr").records == ["whole"]  # no beat counts twice
    (tmp_path / "whole.atr").unlink()
    assert score_records(Perfect(), tmp_path, "atr").records == ["whole_2"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([RECIPE, "--annotator", "atr"], "--data.root"),
        ([RECIPE, "--annotator", "atr", "--data.root", "none"], "no such folder"),
        ([RECIPE, "--annotator", "atr", "--data.root", "empty"], "no WFDB record"),
        ([RECIPE, "--annotator", "atr", "--data.root", "table.csv"], "CSV file"),
        ([RECIPE, "--annotator", "atr", "--data.root", "7"], "./NAME"),
        ([RECIPE, "--annotator", "xyz", "--data.root", "r"], "there are atr"),
        ([RECIPE, "--annotator", "", "--data.root", "r"], "such as atr"),
        ([RECIPE, "--annotator", ".atr", "--data.root", "r"], "such as atr"),
        ([RECIPE, "--annotator", "../a", "--data.root", "r"], "such as atr"),
        ([RECIPE, "--annotator", "atr", "--data.root", "damaged"], "damaged"),
        ([RECIPE, "--annotator", "atr", "--data.root", "r", "--data.folds", "3"], "--data.folds"),
        ([RECIPE, "--annotator", "atr", "--data.root", "r", "--trainer.devices", "1"], "--trainer.devices"),
        ([RECIPE, "--annotator", "atr", "--data.root", "r", "--model.lr", "1"], "--model.lr"),
        (["mlp.digits", "--annotator", "atr", "--data.root", "r"], "annotator is for recordings"),
        ([RECIPE, "--annotator"], "--annotator"),
    ],
)
def test_what_cannot_be_scored_is_one_line(words, message, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "r" / "a")
    write(tmp_path / "damaged" / "a")
    (tmp_path / "damaged" / "a.atr").write_bytes(b"\0")
    (tmp_path / "empty").mkdir()
    (tmp_path / "table.csv").write_text("1,2\n" * 500)
    assert main(["test", *words]) == 2
    out, err = capfd.readouterr()
    assert not out
    assert err.count("\n") == 1
    assert message in err


def test_detection_counts_beats_of_every_class():
    matrix = torch.zeros(6, 6, dtype=torch.int64)
    matrix[0, 1], matrix[2, 5], matrix[4, 4], matrix[5, 2] = 6, 2, 3, 1
    scores = detection_scores(matrix)
    assert scores["qrs_sensitivity"] == pytest.approx(9 / 11)
    assert scores["qrs_positive_predictivity"] == pytest.approx(9 / 10)
    assert (scores["missed_beats"], scores["extra_beats"]) == (2, 1)
    rows = [line.split() for line in detection_table(torch.stack([matrix, 0 * matrix]), ["a", "b"]).splitlines()]
    assert rows[1] == ["a", "11", "2", "1", "81.82", "90.00"]
    assert rows[2] == ["b", "0", "0", "0", "-", "-"]
    assert rows[3][0] == "all"
