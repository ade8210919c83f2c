"""The report of a recording: episodes, variability, rows, page, formats, and beats that were edited."""

import csv
import json
import re
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from datamodules.ecg.annotation_files import read_annotations, read_notes
from datamodules.ecg.records import Record
from datamodules.ecg.signal_quality import SignalQuality
from zoo.cli import main
from zoo.figures.ecg import CAUTION, record_strips
from zoo.figures.ecg_report import _outline, _shaded_bins
from zoo.prediction import OPTIONS, ecg, ecg_files, predict_inputs
from zoo.prediction.ecg_page import report_page
from zoo.prediction.ecg_report import analysed_share, choose_strips, episode_lists, report_rows, rows_of_time
from zoo.prediction.rhythm_episodes import (
    AFIB,
    PAUSE,
    S_RUN,
    V_RUN,
    find_episodes,
    heart_rate_variability,
    heart_rates,
    rr_seconds,
)
from zoo.tasks.ecg_annotation import Annotation

wfdb = pytest.importorskip("wfdb")
FS = 100.0


def beats(symbols, rr=0.8, **fields):
    """Annotate beats at intervals in seconds; the first lies at one interval."""
    intervals = np.full(len(symbols), rr) if np.isscalar(rr) else np.asarray(rr)
    sample = np.rint(np.cumsum(intervals) * FS).astype(np.int64)
    return Annotation(sample, list(symbols), np.linspace(0.5, 1, len(symbols)).astype(np.float32), **fields)


def quality(seconds, unusable=(), leads=2):
    faults = np.zeros((seconds, leads), np.int8)
    faults[list(unusable)] = 3
    return SignalQuality(faults, np.ones(faults.shape[1]))


def recording(seconds, name="r", leads=("MLII", "V1")):
    draw = np.random.default_rng(0)
    return Record(name, draw.normal(0, 0.3, (int(seconds * FS), len(leads))).astype(np.float32), FS, list(leads))


def of_kind(found, kind):
    return [each for each in find_episodes(found, FS) if each.kind == kind]


# ---- rhythm ----


def test_runs_are_of_three_beats_at_least():
    found = beats("NNVVVVNSSSNVVNVNSSN")
    (run,) = of_kind(found, V_RUN)
    assert (run.first, run.beats, run.start, run.stop) == (2, 4, 240, 480)
    assert run.seconds == pytest.approx(2.4)
    assert run.rate == pytest.approx(75)
    assert [each.first for each in of_kind(found, S_RUN)] == [7]
    assert [each.first for each in of_kind(found, "couplet of V")] == [11]


@pytest.mark.parametrize(
    ("symbols", "kind", "expected"),
    [
        ("NNNVNVNVNN", "bigeminy of V", [(2, 6)]),
        ("NVNVNN", "bigeminy of V", []),
        ("NNVNNVNNVNN", "trigeminy of V", [(0, 9)]),
        ("NSNSNSNSN", "bigeminy of V", []),
        ("NVNVNVNNVNNVNNV", "trigeminy of V", [(6, 9)]),
    ],
)
def test_bigeminy_and_trigeminy_repeat_three_times(symbols, kind, expected):
    assert [(each.first, each.beats) for each in of_kind(beats(symbols), kind)] == expected


def test_a_pause_is_a_long_interval_that_can_be_read():
    rr = [0.8] * 5 + [2.5] + [0.8] * 5 + [2.0] + [0.8] * 3
    found = beats("N" * len(rr), rr)
    (pause,) = of_kind(found, PAUSE)
    assert (pause.start, pause.stop, pause.seconds) == (400, 650, 2.5)
    for second in (4, 5, 6):
        assert not of_kind(found._replace(quality=quality(20, [second])), PAUSE)
    for second in (3, 7):
        assert of_kind(found._replace(quality=quality(20, [second])), PAUSE)
    one_lead = quality(20)
    one_lead.faults[5, 0] = 2  # the other lead can be read
    assert of_kind(found._replace(quality=one_lead), PAUSE)


def test_nothing_reaches_across_what_cannot_be_read():
    found = beats("VVVV", quality=quality(4, [2]))
    assert np.isnan(rr_seconds(found, FS)).tolist() == [True, False, True, True]
    assert not of_kind(found, V_RUN)
    assert [each.first for each in of_kind(found, "couplet of V")] == [0]
    assert np.isnan(heart_rates(rr_seconds(beats("N" * 20, quality=quality(16, [8])), FS))[10:17]).all()


def test_beats_at_one_place_have_no_interval():
    found = Annotation(np.array([100, 100, 180]), list("NNN"), np.ones(3, np.float32))
    assert np.isnan(rr_seconds(found, FS)).tolist() == [True, True, False]


def test_rate_is_that_of_eight_intervals():
    rates = heart_rates(np.array([np.nan, *[0.5] * 8, *[1.0] * 8]))
    assert np.isnan(rates[:8]).all()
    assert rates[8] == pytest.approx(120)
    assert rates[12] == pytest.approx(80)
    assert rates[16] == pytest.approx(60)
    assert np.isnan(heart_rates(np.full(3, 0.8))).all()


def test_fibrillation_goes_from_its_first_to_its_last_beat():
    inside = np.zeros(20, bool)
    inside[3:9] = inside[15:] = True
    first, second = of_kind(beats("N" * 20, fibrillation=inside), AFIB)
    assert (first.first, first.beats, first.seconds) == (3, 6, 4.0)
    assert (second.first, second.beats) == (15, 5)
    assert second.rate == pytest.approx(75)
    assert not of_kind(beats("N" * 20), AFIB)


@pytest.mark.parametrize("symbols", ["", "N", "V"])
def test_few_beats_are_no_episode(symbols):
    for known in (None, np.zeros(len(symbols), bool)):
        found = beats(symbols, fibrillation=known, quality=quality(3))
        assert find_episodes(found, FS) == []
        assert np.isnan(heart_rate_variability(found, FS).sdnn)


# ---- variability ----


def test_variability_by_hand():
    rr = [0.8, 0.86, 0.81, 0.87] * 10
    found = heart_rate_variability(beats("N" * 40, rr), FS)
    nn = np.array(rr[1:])
    assert found.intervals == 39
    assert found.sdnn == pytest.approx(1_000 * np.sqrt(((nn - nn.mean()) ** 2).sum() / 38))
    steps = [-50, 60, -70, 60] * 10
    assert found.rmssd == pytest.approx(np.sqrt(np.mean(np.square(steps[:38]))))
    assert found.pnn50 == pytest.approx(100 * np.mean(np.abs(steps[:38]) > 50))


def test_only_neighbouring_normal_beats_count():
    symbols = "N" * 40 + "V" + "N" * 40
    assert heart_rate_variability(beats(symbols), FS).intervals == 39 + 39
    inside = np.zeros(81, bool)
    inside[:40] = True
    assert heart_rate_variability(beats(symbols, fibrillation=inside), FS).intervals == 39
    noisy = beats(symbols, quality=quality(65, [10]))
    assert heart_rate_variability(noisy, FS).intervals == 78 - 2
    early = [0.8] * 40 + [0.4, 1.2] + [0.8] * 39
    assert heart_rate_variability(beats(symbols, early), FS).rmssd == pytest.approx(0, abs=1e-6)


def test_few_intervals_have_no_variability():
    assert np.isfinite(heart_rate_variability(beats("N" * 31), FS).sdnn)
    few = beats("N" * 30)
    assert heart_rate_variability(few, FS).intervals == 29
    rows = report_rows(recording(30), few)["variability"]
    assert list(rows.values()) == ["29", "-", "-", "-"]


# ---- rows ----


def test_rows_of_time_add_up():
    found = beats("NNV" * 400, 0.7, quality=quality(860, range(300, 450)))
    rows = rows_of_time(found, FS, 86_000, find_episodes(found, FS))
    assert [row["from"] for row in rows] == ["0:00:00", "0:05:00", "0:10:00"]
    assert rows[-1]["to"] == "0:14:20"
    assert sum(int(row["V"]) for row in rows) == 400
    assert [row["analysed %"] for row in rows] == ["100", "50", "100"]
    assert rows[0]["mean"] == rows[0]["max"] == "86"
    hours = rows_of_time(found, FS, int(2.5 * 3_600 * FS), [])
    assert [row["to"] for row in hours] == ["1:00:00", "2:00:00", "2:30:00"]
    assert hours[2]["mean"] == hours[2]["rate min"] == hours[2]["max"] == hours[2]["analysed %"] == "-"


def test_share_analysed_is_of_usable_seconds():
    found = beats("N", quality=quality(10, [1, 2]))
    assert analysed_share(found) == pytest.approx(0.8)
    assert analysed_share(found, 0, 4) == pytest.approx(0.5)
    assert np.isnan(analysed_share(beats("N")))


def test_what_was_not_assessed_is_not_said_to_be_absent():
    rows = report_rows(recording(60), beats("N" * 60))
    assert rows["episodes"][0]["number"] == "not assessed"
    assert rows["quality"] == []
    assert rows["analysed"] == "-"
    assert report_rows(recording(60), beats("N" * 60, fibrillation=np.zeros(60, bool)))["episodes"][0]["number"] == "0"


def test_each_kind_of_event_has_strips_and_their_number():
    symbols = "N" * 20 + "NVVVNNNNNNNNNN" * 30 + "NSSSNNNF" + "NV" * 4
    rr = np.full(len(symbols), 0.8)
    rr[10] = 3.0
    inside = np.zeros(len(symbols), bool)
    inside[-30:-20] = True
    found = beats(symbols, rr, fibrillation=inside)
    kinds = {each.title: each for each in choose_strips(found, FS, 40_000, find_episodes(found, FS))}
    for title in (PAUSE, V_RUN, S_RUN, "bigeminy of V", "onset of atrial fibrillation"):
        assert kinds[title].strips, title
    assert (len(kinds[V_RUN].strips), kinds[V_RUN].found) == (12, 30)
    assert kinds["fusion beats (F)"].found == 1
    assert kinds["beats of the lowest certainty"].strips[0].marked[0] == found.sample[0]
    for each in kinds.values():
        for strip in each.strips:
            assert 0 <= strip.start <= strip.marked[0] <= strip.start + 10 * FS
    assert [each["found"] for each in episode_lists(found, FS, find_episodes(found, FS)) if each["kind"] == V_RUN] == [
        30
    ]


# ---- page ----


class Page(HTMLParser):
    """Check that tags are balanced, and keep the texts and all attributes."""

    VOID = {"meta", "link", "br", "img", "hr"}

    def __init__(self, text):
        super().__init__()
        self.open, self.texts, self.attributes, self.tags = [], [], [], set()
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_page_needs_nothing_else():
    found = beats("NNVVVN" * 100, fibrillation=np.arange(600) < 50, quality=quality(500, [490]))
    text = report_page(recording(500), found).decode()
    page = Page(text)
    assert "script" not in page.tags
    for name, value in page.attributes:
        if name in ("src", "href", "xlink:href") and value:
            assert value.startswith(("#", "data:"))
    assert not re.search(r"@import|url\((?!#)", text)
    said = " ".join(page.texts)
    for part in (CAUTION, "Signal quality", "12 of 100 shown", "SDNN, ms", "beats a minute", "0:08:20"):
        assert part in said, part
    assert len(text) < 3e6


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "a&b\"'", "$a^{b$", "line\nend", "\udce9", "\u202eleft"])
def test_names_are_escaped(name):
    record = recording(60, name, (name, "V1"))._replace(warnings=(f"{name} differs",))
    text = report_page(record, beats("NNV" * 20), name).decode()
    assert "script" not in Page(text).tags
    assert "\n" not in re.search("<title>ECG report: (.*?)</title>", text, re.DOTALL)[1]


@pytest.mark.parametrize(
    "kind", ["no beats", "one beat", "nan", "inf", "short", "one lead", "huge", "edited", "offset"]
)
def test_odd_recordings_have_a_page(kind):
    record, found = recording(60), beats("NNV" * 20, quality=quality(60))
    if kind == "no beats":
        found = Annotation(
            np.zeros(0, np.int64), [], np.zeros(0, np.float32), None, np.zeros(0, bool), quality(60, range(60))
        )
    elif kind == "one beat":
        found = beats("V", np.array([30.0]))
    elif kind in ("nan", "inf"):
        record.signal[1_000:3_000] = float(kind)
    elif kind == "short":
        record, found = recording(1.5), beats("N")
    elif kind == "one lead":
        record = recording(60, leads=("II",))
    elif kind == "huge":
        record = record._replace(signal=record.signal * 1e4)
    elif kind == "offset":
        record = record._replace(signal=record.signal * 1e-3 + 500)
    else:
        found = found._replace(probability=np.full(60, np.nan, np.float32))
    text = report_page(record, found).decode()
    Page(text)
    assert not re.search(r"\bnan\b|\binf\b", re.sub("<style.*?</style>", "", text, flags=re.DOTALL))
    assert json.loads(ecg_files.as_json(record, found))["name"] == "r"
    title = record_strips(record.signal, FS, found, "r", record.leads).get_suptitle()
    assert ("first" if kind == "edited" else "most probable") in title


def test_shaded_are_bins_that_are_mostly_covered():
    times = np.array([[1.0, 2.5], [3.0, 3.4], [6.0, 9.0]])
    assert _shaded_bins(times, 1.0, 9.5).tolist() == [1, 2, 6, 7, 8]
    assert _shaded_bins(times, 3.0, 9.5).tolist() == [0, 2]
    assert len(_shaded_bins(times[:0], 1.0, 9.5)) == 0


def test_strips_keep_the_extremes_of_many_samples():
    part = np.random.default_rng(0).normal(size=10_000)
    part[[123, 4_567]] = 9, -9
    part[2_000:3_000] = np.nan
    x, y = _outline(part)
    assert (np.nanmax(y), np.nanmin(y)) == (9, -9)
    assert np.isnan(y).any()
    assert (np.diff(x) >= 0).all()
    known = np.isfinite(y)
    assert np.array_equal(part[x[known].astype(int)], y[known])


def test_page_of_a_day_takes_seconds():
    draw = np.random.default_rng(0)
    symbols = draw.choice(list("NSVFQ"), 100_000, p=[0.7, 0.1, 0.15, 0.03, 0.02]).tolist()
    found = beats(symbols, draw.uniform(0.6, 1.1, 100_000), fibrillation=np.arange(100_000) // 500 % 2 == 0)
    record = Record("day", np.zeros((int(found.sample[-1] + FS), 2), np.float32), FS, ["MLII", "V1"])
    found = found._replace(quality=quality(len(record.signal) // 100, range(0, 80_000, 97)))
    start = time.process_time()
    content = report_page(record, found)
    assert time.process_time() - start < 15  # about 2 s on an idle machine
    assert len(content) < 3e6


# ---- files and options ----


class Beats:
    """A model that finds a beat every 0.8 seconds, or takes those given, and calls all of them N."""

    input_kind = "recordings"

    def annotate(self, signal, fs, peaks=None, leads=None):
        sample = np.arange(int(0.8 * fs), len(signal), int(0.8 * fs)) if peaks is None else peaks
        probabilities = np.tile(np.array([[0.9, 0.04, 0.03, 0.02, 0.01]], np.float32), (len(sample), 1))
        inside = sample < 20 * fs
        return Annotation(sample, ["N"] * len(sample), probabilities[:, 0], probabilities, inside)


def write_record(path, name="r"):
    path.mkdir(exist_ok=True)
    signal = recording(60).signal.astype(float)
    wfdb.wrsamp(name, FS, ["mV"] * 2, ["MLII", "V1"], signal, fmt=["16"] * 2, write_dir=str(path))
    return str(path / name)


def write_table(path):
    path.parent.mkdir(exist_ok=True)
    np.savetxt(path, recording(60).signal, delimiter=",", header="MLII,V1", comments="")
    return str(path)


@pytest.mark.parametrize(
    ("given", "endings"),
    [
        (None, {"zoo", "csv", "png", "html"}),
        ("json", {"json"}),
        ("csv,html", {"csv", "html"}),
        (["csv", "wfdb, json"], {"csv", "zoo", "json"}),
    ],
)
def test_formats_asked_for_are_written(tmp_path, given, endings):
    found = ecg.predict(Beats(), None, [write_record(tmp_path / "in")], str(tmp_path / "out"), format=given)
    assert {path.suffix[1:] for path in (tmp_path / "out").iterdir()} == endings
    assert sorted(found.answers[0]["files"]) == sorted(map(str, (tmp_path / "out").iterdir()))


@pytest.mark.parametrize("given", ["pdf", "csv,", "", "CSV", ["csv", "xml"]])
def test_unknown_formats_are_refused_before_any_work(tmp_path, given):
    with pytest.raises(ValueError, match="unknown format") as error:
        ecg.predict(Beats(), None, ["nowhere"], str(tmp_path / "out"), format=given)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="--output, which is missing"):
        ecg.predict(Beats(), None, ["nowhere"], format="csv")


def test_command_line_has_the_options_of_recordings(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("zoo.prediction.load_model", lambda recipe, path: (Beats(), None))
    path, seen = write_record(tmp_path / "in"), {}
    monkeypatch.setattr(
        "zoo.prediction.ecg.read_record",
        lambda path, annotator, fs, **options: seen.update(options) or recording(60),
    )
    words = ["--leads", "MLII, V1", "--units", "mV", "--time-column", "t", "--format", "csv", "--format", "json,html"]
    assert main(["predict", "x", path, "--output", str(tmp_path / "out"), *words]) == 0
    assert seen == {"leads": ["MLII", "V1"], "units": "mV", "time_column": "t"}
    assert len(list((tmp_path / "out").iterdir())) == 3
    capsys.readouterr()
    assert main(["predict", "x", path, "--output", str(tmp_path / "out"), "--format", "pdf"]) == 2
    assert capsys.readouterr().err == "zoo: error: unknown format 'pdf': choose from csv, html, json, png, wfdb\n"
    assert {"annotator", "fs", "leads", "units", "time_column", "format"} == {
        name for name, option in OPTIONS.items() if option.kind == "recordings"
    }


def test_how_a_recording_was_read_is_said(tmp_path, monkeypatch):
    class Read(Record):
        reading = "leads MLII, V1 in mV\nby header"

    monkeypatch.setattr("zoo.prediction.ecg.read_record", lambda *_, **__: Read(*recording(60)))
    monkeypatch.setattr("zoo.prediction.ecg.order_leads", lambda record: record)
    found = ecg.predict(Beats(), None, [write_record(tmp_path)])
    assert found.answers[0]["reading"].startswith("leads MLII")
    assert "leads MLII, V1 in mV\\nby header" in found.display


def test_tables_have_what_is_known(tmp_path):
    ecg.predict(Beats(), None, [write_record(tmp_path)], str(tmp_path / "out"), format="csv,json")
    with open(tmp_path / "out" / "r.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[3:] == ["probability", "p_N", "p_S", "p_V", "p_F", "p_Q", "rhythm"]
    assert [rows[0][name] for name in ("p_N", "p_Q", "rhythm")] == ["0.9000", "0.0100", "AFIB"]
    assert rows[-1]["rhythm"] == ""
    content = json.loads((tmp_path / "out" / "r.json").read_text())
    assert content["beats"]["sample"] == [int(row["sample"]) for row in rows]
    assert content["episodes"][0]["kind"] == AFIB
    assert content["summary"][0]["beats"] == str(len(rows))
    plain = ecg_files.as_csv(beats("NV"), FS).decode().splitlines()
    assert plain[0] == "sample,seconds,symbol,probability"


@pytest.mark.parametrize("shape", [(2, 30_000), (1, 500), (2, 3, 500), (0, 2)])
def test_arrays_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected millivolts \(samples, leads\)"):
        ecg.predict(Beats(), None, [np.zeros(shape, np.float32)], fs=FS)


def test_names_of_leads_belong_to_arrays_too():
    signal = np.zeros((500, 2), np.float32)
    assert ecg.read_input(signal, "x", None, FS, leads="V1,II").leads == ["V1", "II"]
    with pytest.raises(ValueError, match="1 names of leads for an array of 2"):
        ecg.predict(Beats(), None, [signal], fs=FS, leads=["II"])
    for option in ("units", "time_column"):
        with pytest.raises(ValueError, match=f"{option} is for files"):
            ecg.predict(Beats(), None, [signal], fs=FS, **{option: "x"})
    with pytest.raises(ValueError, match="unknown option of predict 'lead'"):
        predict_inputs(Beats(), [signal], lead="x")


def test_one_bad_recording_costs_no_other_its_answer(tmp_path):
    (tmp_path / "bad.hea").write_text("bad x y\n")
    (tmp_path / "torn.csv").write_text("MLII\n1.0\nx\n")
    sources = [str(tmp_path / "bad"), write_record(tmp_path), str(tmp_path / "torn.csv"), "nul\0", np.zeros((2, 900))]
    found = ecg.predict(Beats(), None, sources, str(tmp_path / "out"))
    assert len(found.answers) == 1
    assert len(found.failures) == 4
    assert {path.stem for path in (tmp_path / "out").iterdir()} == {"r"}


def test_recordings_of_one_name_have_files_of_their_own(tmp_path):
    (tmp_path / "c").mkdir()
    sources = [write_record(tmp_path / "a"), write_record(tmp_path / "b"), write_record(tmp_path / "c", "s")]
    found = ecg.predict(Beats(), None, sources, str(tmp_path / "out"), format="csv")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a_r.csv", "b_r.csv", "s.csv"}
    assert sum("its files are called" in str(line) for line in found.display) == 2
    deep = [write_table(tmp_path / "a" / "x.csv"), write_record(tmp_path / "a", "x")]
    with pytest.raises(ValueError, match="would both be written to"):
        ecg.predict(Beats(), None, [sources[0]] * 2, str(tmp_path / "out"), fs=FS)
    with pytest.raises(ValueError, match="would both be written to"):
        ecg.predict(Beats(), None, deep, str(tmp_path / "out"), fs=FS)
    names = ecg_files.output_names([(path, path) for path in ("p/a/r", "q/a/r", "q/b/R")])
    assert names == ["p/a/r", "q/a/r", "q/b/R"]  # not there: each has its own error


# ---- edited beats ----


@pytest.mark.parametrize("place", ["folder", "beside"])
@pytest.mark.parametrize("kind", ["record", "table"])
def test_edited_beats_are_reported_as_they_are(tmp_path, place, kind):
    source = write_record(tmp_path / "in") if kind == "record" else write_table(tmp_path / "in" / "r.csv")
    out, options = tmp_path / "out", {} if kind == "record" else {"fs": FS}
    before = ecg.predict(Beats(), None, [source], str(out), format="wfdb,csv", **options).answers[0]
    again = ecg.predict(Beats(), None, [source], str(out), annotator="zoo", format="csv", **options).answers[0]
    assert again["summary"] == before["summary"]
    for one, other in zip(again["annotation"][:5], before["annotation"][:5]):
        assert np.array_equal(one, other)
    own = before["annotation"]
    symbols = ["V" if k in (3, 4, 5) else "A" if k == 9 else "Q" if k == 12 else "N" for k in range(len(own.sample))]
    edited = own._replace(sample=own.sample + 1, symbol=["N"] * len(symbols), fibrillation=own.sample > 30 * FS)
    path = (out if place == "folder" else tmp_path / "in") / "r.zoo"
    (out / "r.zoo").unlink()
    path.write_bytes(ecg_files.as_annotation_file(edited._replace(symbol=symbols), FS))
    content = path.read_bytes()
    found = ecg.predict(Beats(), None, [source], str(out), annotator="zoo", **options)
    answer = found.answers[0]["annotation"]
    assert np.array_equal(answer.sample, edited.sample)
    assert answer.symbol == ["S" if symbol == "A" else symbol for symbol in symbols]
    assert np.array_equal(answer.fibrillation, edited.fibrillation)
    assert answer.probability[3] == np.float32(0.03)  # that of V
    assert any("not classified again" in str(line) for line in found.display)
    assert path.read_bytes() == content
    assert "not classified again" in (out / "r.html").read_text()
    if place == "beside":
        _, symbol = read_annotations(out / "r.zoo")
        assert [code for code in symbol if code != "+"] == answer.symbol


def test_marks_of_rhythm_go_round(tmp_path):
    for inside in (np.zeros(9, bool), np.ones(9, bool), np.arange(9) % 4 < 2, np.arange(9) > 7):
        found = beats("NSVFQNSVF", fibrillation=inside)
        path = Path(tmp_path / "r.zoo")
        path.write_bytes(ecg_files.as_annotation_file(found, FS))
        back = ecg_files.read_edited(path, recording(60))
        assert np.array_equal(back.sample, found.sample)
        assert back.symbol == found.symbol
        assert np.array_equal(back.fibrillation, inside)
        read = wfdb.rdann(str(tmp_path / "r"), "zoo")
        notes = [note.rstrip("\0") for note in read.aux_note if note]
        assert notes == read_notes(path)[1]
        assert notes[0] == ("(AFIB" if inside[0] else "(N")
    wfdb.wrann(
        "r", "zoo", np.array([80, 160, 6_000]), ["N", "V", "+"], aux_note=["", "", "(AFIB"], write_dir=str(tmp_path)
    )
    assert not ecg_files.read_edited(path, recording(60)).fibrillation.any()  # a mark at the end concerns no beat
    path.write_bytes(ecg_files.as_annotation_file(beats("NV"), FS))
    assert ecg_files.read_edited(path, recording(60)).fibrillation is None


def test_what_is_wrong_with_edited_files_is_one_line(tmp_path):
    source = write_record(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no r\.zoo beside it"):
        ecg.predict(Beats(), None, [source], annotator="zoo")
    with pytest.raises(FileNotFoundError, match="no such record"):
        ecg.predict(Beats(), None, [str(tmp_path / "x")], annotator="zoo")
    content = ecg_files.as_annotation_file(beats("N" * 200), FS)
    for wrong, message in ((content[:-3], "damaged annotations"), (content, "beyond the 6000 samples")):
        (tmp_path / "r.zoo").write_bytes(wrong)
        with pytest.raises(ValueError, match=message):
            ecg.predict(Beats(), None, [source], annotator="zoo")
