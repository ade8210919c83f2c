"""ECG files as devices and sites write them: tables, WFDB headers, EDF; leads, units, rates and gaps."""

import bz2
import contextlib
import gzip
import lzma
import random

import numpy as np
import pytest

from datamodules.ecg.lead_names import canonical_lead, other_kind, split_unit
from datamodules.ecg.lead_units import canonical_unit
from datamodules.ecg.records import Record, files_of_record, find_record, order_leads, read_record

pytest.importorskip("pandas")
wfdb = pytest.importorskip("wfdb")
FS, N = 250, 5_000
DRAW = np.random.default_rng(0)


def heart(n=N, fs=FS, leads=2):
    """Return millivolts (samples, leads), rounded to microvolts: an R peak of 1.2 mV a beat, smaller in later leads."""
    t = np.arange(n) / fs
    beat = 1.2 * np.exp(-((((t % 0.8) - 0.4) / 0.012) ** 2) / 2) + 0.2 * np.exp(-((((t % 0.8) - 0.65) / 0.05) ** 2) / 2)
    signal = beat[:, None] * (0.8 ** np.arange(leads)) + np.random.default_rng(0).normal(0, 0.01, (n, leads))
    return np.round(signal, 3)


SIGNAL = heart()


def table(columns, header=None, sep=",", decimal=".", end="\n"):
    """Return the text of a table of columns of text or numbers."""
    texts = [[c if isinstance(c, str) else f"{c:.10g}" for c in column] for column in columns]
    rows = [sep.join(cell.replace(".", decimal) for cell in row) for row in zip(*texts)]
    return end.join([*([header] if header is not None else []), *rows, ""])


def clock(k, form):
    seconds = k / FS
    minutes, second = divmod(seconds, 60)
    return {
        "iso": f"2024-01-01T10:{int(minutes):02d}:{second:06.3f}",
        "iso_zone": f"2024-01-01 10:{int(minutes):02d}:{second:06.3f}+02:00",
        "hms": f"10:{int(minutes):02d}:{second:06.3f}",
        "hms_colon": f"10:{int(minutes):02d}:{int(second):02d}:{round(second % 1 * 1000):03d}",
        "ms": f"{int(minutes)}:{second:06.3f}",
        "quoted": f"'[10:{int(minutes):02d}:{second:06.3f} 01/01/2024]'",
        "german": f"01.02.2024 10:{int(minutes):02d}:{second:06.3f}",
        "us": f"1/2/2024 1:{int(minutes):02d}:{second:06.3f} PM",
    }[form]


def write(folder, content, name="r.csv", encoding="utf-8"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


def check(record, leads=2, fs=FS, atol=2e-3):
    assert record.fs == pytest.approx(fs, rel=1e-4)
    assert record.signal.dtype == np.float32
    assert record.signal.shape == (N, leads)
    assert np.allclose(record.signal, SIGNAL[:, :leads], atol=atol)
    assert record.reading
    assert "\n" not in record.reading


def refused(call):
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


A, B = SIGNAL.T
SECONDS = np.arange(N) / FS
LAYOUTS = {
    "seconds": table([SECONDS, A, B], "Time (s),MLII,V1"),
    "seconds without a header": table([SECONDS, A, B]),
    "milliseconds": table([SECONDS * 1000, A, B], "t,ecg1,ecg2"),
    "milliseconds without a header": table([SECONDS * 1000, A, B]),
    "epoch in ms": table([[str(17 * 10**11 + k * 4) for k in range(N)], A, B], "x,I,II"),
    "epoch in s": table([[f"{1.7e9 + s:.6f}" for s in SECONDS], A, B], "unix,I,II"),
    "epoch in ns": table([[str(6 * 10**17 + k * 4_000_000) for k in range(N)], A, B], ",I,II"),
    "microseconds": table([SECONDS * 1e6, A, B], "time_us,I,II"),
    "time last": table([A, B, SECONDS], "I,II,sec"),
    "odd name": table([A, SECONDS, B], "I,abscissa,II"),
    "iso": table([[clock(k, "iso") for k in range(N)], A, B], "when,I,II"),
    "iso with a zone": table([[clock(k, "iso_zone") for k in range(N)], A, B]),
    "hms": table([[clock(k, "hms") for k in range(N)], A, B], "Zeit;I;II", ";", ","),
    "hms with colons": table([[clock(k, "hms_colon") for k in range(N)], A, B], "time\tI\tII", "\t"),
    "minutes": table([[clock(k, "ms") for k in range(N)], A, B], "time,I,II"),
    "PhysioNet absolute": table(
        [[clock(k, "quoted") for k in range(N)], A, B], "'Time and date','MLII','V1'\n,'mV','mV'"
    ),
    "PhysioNet seconds": table([SECONDS, A, B], "'Elapsed time','MLII','V1'\n'seconds','mV','mV'"),
    "rdsamp": table([SECONDS, A, B], "   Elapsed time      MLII      V1\n      (seconds)      (mV)    (mV)", "   "),
    "German": table([[clock(k, "german") for k in range(N)], A, B], "Datum;I;II", ";", "."),
    "half day": table([[clock(k, "us") for k in range(N)], A, B], "Date,I,II"),
    "decimal commas": table([SECONDS, A, B], "Zeit [s];EKG I [mV];EKG II [mV]", ";", ","),
    "tabs and decimal commas": table([SECONDS, A, B], "t\tI\tII", "\t", ","),
    "quoted decimal commas": table(
        [[f'"{v:.3f}"' for v in SECONDS], [f'"{v:.3f}"' for v in A], [f'"{v:.3f}"' for v in B]], "t,I,II"
    ).replace(".", ","),
    "spaces": table([SECONDS, A, B], None, "  "),
    "trailing separators": table([SECONDS, A, B, [""] * N], "time;I;II;", ";", ","),
    "comments": "# made up\n# Sampling rate: 250 Hz\n" + table([A, B], "I,II"),
    "header in a comment": "# fs = 250\n# I,II\n" + table([A, B]),
    "preamble": "Name,Nobody\nSample Rate,250 hertz\nHigh pass filter,0.5 Hz\nUnit,mV\n\n" + table([A, B], "I,II"),
    "interval": "Interval=\t0.004 s\nChannelTitle=\tI\tII\n" + table([A, B], None, "\t"),
    "OpenBCI": "%OpenBCI Raw EXG Data\n%Number of channels = 2\n%Sample Rate = 250 Hz\n%Board = Ganglion\n"
    + table(
        [np.arange(N) % 256, A * 1000, B * 1000, np.ones(N), DRAW.normal(size=N), DRAW.normal(size=N)],
        "Sample Index, EXG Channel 0, EXG Channel 1, Other, Accel Channel 0, Analog Channel 1",
    ),
    "others beside": table(
        [SECONDS, A, np.sin(SECONDS), B, np.cos(SECONDS), np.arange(N) % 7 == 0, DRAW.normal(size=N)],
        "time,I,Resp,II,Pleth (NU),marker,acc_x [g]",
    ),
    "sample numbers": "fs: 250\n" + table([np.arange(N), A, B], "'sample #','MLII','V5'"),
    "markers of text": "fs,250\n" + table([A, B, ["", "", "N", "", "V"] * (N // 5)], "I,II,annotation"),
    "numbers of columns": table([[str(k) for k in range(N)], SECONDS, A, B], ",0,1,2"),
    "numbers of columns without an index": table([[f"{s:.3f}" for s in SECONDS], A, B], "0,1,2"),
    "line ends of old": table([SECONDS, A, B], "time,I,II", end="\r"),
    "line ends of Windows": table([SECONDS, A, B], "time,I,II", end="\r\n"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_tables_of_two_leads_that_state_their_rate(name, tmp_path):
    path = write(tmp_path, LAYOUTS[name])
    record = read_record(path)
    check(record)
    assert len(record.leads) == 2
    assert read_record(path, fs=251).fs == 251
    assert "give time_column='none'" in refused(lambda: read_record(path, fs=256))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_encodings(encoding, tmp_path):
    text = table([SECONDS, A * 1000, B * 1000], "Zeit (s);Ableitung I (µV);EKG für II (µV)", ";", ",")
    check(read_record(write(tmp_path, text, encoding=encoding)))


def test_compressed_tables(tmp_path):
    content = LAYOUTS["seconds"].encode()
    assert read_record(write(tmp_path, gzip.compress(content), "day.csv.gz")).name == "day"
    for ending, pack in ((".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)):
        path = write(tmp_path, pack(content), f"r.csv{ending}")
        check(read_record(path))
        assert files_of_record(find_record(path)) == [path]
        path.write_bytes(pack(content)[:1000])
        assert str(path) in refused(lambda: read_record(path))  # noqa: B023
    assert "damaged gz file" in refused(lambda: read_record(write(tmp_path, content, "x.csv.gz")))
    bomb = gzip.compress(b"0,0\n" * 30_000_000, 9)
    assert "times its size" in refused(lambda: read_record(write(tmp_path, bomb, "bomb.csv.gz"), fs=FS))


def test_polar_and_watch(tmp_path):
    rows = [
        [clock(k // 73 * 73, "iso") for k in range(N)],
        [str(6 * 10**17 + k * 4_000_000) for k in range(N)],
        A * 1000,
    ]
    polar = read_record(write(tmp_path, table(rows, "Phone timestamp;sensor timestamp [ns];ecg [uV]", ";")))
    check(polar, 1)
    assert "sensor timestamp" in polar.reading
    assert "Phone timestamp' (time)" in polar.reading
    for rate, unit in (("Sample Rate,250 hertz", "Unit,µV"), ("Abtastrate,250 Hertz", "Einheit,µV")):
        watch = f'Name,A\nDate of Birth,"Jan 1, 2000"\nDevice,"Watch6,7"\n{rate}\n\n\nLead,Lead I\n{unit}\n\n'
        record = read_record(write(tmp_path, watch + table([A * 1000])))
        check(record, 1)
        assert record.leads == ["Lead I"]
        assert "lead 1 = Lead I (uV), lead 2 = none, 250 Hz" in record.reading
        assert not record.warnings
        check(read_record(write(tmp_path, watch + table([A * 1000], decimal=","))), 1)


@pytest.mark.parametrize("header", ["ECG", None])
def test_one_column_with_decimal_commas(header, tmp_path):
    check(read_record(write(tmp_path, table([[f"{v:.4f}" for v in A]], header, decimal=",")), fs=250), 1)


def test_one_column_with_empty_lines_for_missing_samples(tmp_path):
    cells = [f"{v:.3f}" for v in A]
    cells[100:110] = [""] * 10
    record = read_record(write(tmp_path, "ECG\n" + "\n".join(cells) + "\n\n\n"), fs=250)
    assert len(record.signal) == N
    assert np.isnan(record.signal[100:110]).all()
    assert np.isfinite(record.signal[110:]).all()


def test_rows_of_leads(tmp_path):
    rows = [",".join(f"{v:.3f}" for v in lead) for lead in SIGNAL.T]
    check(read_record(write(tmp_path, "\n".join(rows)), fs=250))
    record = read_record(write(tmp_path, "\n".join(f"{name},{row}" for name, row in zip(("V1", "II"), rows))), fs=250)
    check(record)
    assert record.leads == ["V1", "II"]
    time = ",".join(f"{v:.3f}" for v in SECONDS)
    check(read_record(write(tmp_path, "\n".join([time, *rows]))))


@pytest.mark.parametrize("fs", [61, 128, 180, 360, 500, 512, 1000, 2000])
def test_rates_of_rounded_clocks(fs, tmp_path):
    for digits in (3, 6):
        seconds = [f"{k / fs:.{digits}f}" for k in range(N)]
        if len(set(seconds)) < 0.9 * N:
            continue
        record = read_record(write(tmp_path, table([seconds, heart(fs=fs)[:, 0]], "time,ECG")))
        assert record.fs == pytest.approx(fs, rel=1e-6)
        assert not record.warnings
        assert len(record.signal) == N


# ---- gaps ----


@pytest.mark.parametrize("name", ["seconds", "epoch in ms", "iso", "seconds without a header", "hms", "rdsamp"])
def test_gaps_are_missing_samples(name, tmp_path):
    lines = LAYOUTS[name].splitlines()
    first = len(lines) - N
    del lines[first + 3000 : first + 3100], lines[first + 500 : first + 501]
    record = read_record(write(tmp_path, "\n".join(lines)))
    assert len(record.signal) == N
    assert np.isnan(record.signal[3000:3100]).all()
    assert np.isnan(record.signal[500]).all()
    assert np.isfinite(record.signal).sum() == 2 * (N - 101)
    assert np.allclose(record.signal[3100:], SIGNAL[3100:], atol=2e-3)
    assert "2 gaps" in " ".join(record.warnings)
    assert "101 samples" in " ".join(record.warnings)


def test_times_without_a_name_and_of_irregular_steps_are_no_lead(tmp_path):
    for times in (np.floor(SECONDS * 3), np.cumsum(DRAW.exponential(4, N))):
        record = read_record(write(tmp_path, table([times, A, B])), fs=250)
        check(record)
        assert "column 1" in record.reading


def test_clocks_go_on_after_midnight(tmp_path):
    times = [f"{int(s // 3600) % 24:02d}:{int(s // 60) % 60:02d}:{s % 60:06.3f}" for s in 86_390 + SECONDS]
    record = read_record(write(tmp_path, table([times, A], "time,ECG")))
    check(record, 1)
    assert not record.warnings


def test_odd_times_are_said(tmp_path):
    times = SECONDS.copy()
    times[2000:] -= 3.0
    record = read_record(write(tmp_path, table([times, A], "time,ECG")))
    check(record, 1)
    assert "goes back in 1 rows" in record.warnings[0]
    times = SECONDS.copy()
    times[1000] = times[999]
    record = read_record(write(tmp_path, table([times, A], "time,ECG")))
    check(record, 1)
    assert "repeats" in record.warnings[0]
    times = SECONDS.copy()
    times[2000:] += 0.0103
    assert "no whole number" in read_record(write(tmp_path, table([times, A], "time,ECG"))).warnings[0]
    times = [f"{s:.3f}" for s in SECONDS + (np.arange(N) >= 2000) * 1e7]
    assert "jumps by" in refused(lambda: read_record(write(tmp_path, table([times, A], "time,ECG"))))
    times = np.floor(SECONDS)  # a clock of whole seconds
    record = read_record(write(tmp_path, table([times, A], "time (s),ECG")))
    check(record, 1)
    assert "irregular" in record.warnings[0]
    assert "left out" not in record.reading


# ---- arguments ----


def test_arguments_overrule(tmp_path):
    path = write(tmp_path, table([SECONDS, A, B, B], "time,I,II,other thing"))
    record = read_record(path, leads=["other thing", "lead i"])
    assert record.leads == ["other thing", "I"]
    assert np.allclose(record.signal, SIGNAL[:, ::-1], atol=1e-3)
    assert read_record(path, leads=[3]).leads == ["II"]
    assert np.allclose(read_record(path, units="uV").signal * 1000, SIGNAL, atol=1e-3)
    check(read_record(path, time_column="time"))
    check(read_record(path, time_column=1))
    assert read_record(path, fs=500, time_column="none").fs == 500
    assert read_record(path, fs=500, time_column="none").leads == ["I", "II"]
    assert "did you mean other thing" in refused(lambda: read_record(path, leads=["other thong"]))
    assert "unknown column '7'" in refused(lambda: read_record(path, leads=[7]))
    assert "unknown column 'tume': did you mean time" in refused(lambda: read_record(path, time_column="tume"))
    assert "unknown units 'mW'" in refused(lambda: read_record(path, units="mW"))
    assert "twice" in refused(lambda: read_record(path, leads=["I", "Lead I"]))
    assert "for a lead and for the time" in refused(lambda: read_record(path, leads=["I"], time_column="I"))
    assert "give fs" in refused(lambda: read_record(path, time_column="none"))


def test_a_pulse_wave_alone_is_refused_and_may_be_asked_for(tmp_path):
    path = write(tmp_path, table([SECONDS, A, B], "time,PLETH,Resp [mV]"))
    line = refused(lambda: read_record(path))
    assert "PLETH" in line
    assert "respiration" in line
    check(read_record(path, leads=["PLETH", "Resp"]))


def test_cells_at_fault_have_their_line(tmp_path):
    lines = ("Name,Nobody\nfs,250\n\n" + table([A, B], "I,II")).splitlines()
    lines[1234] = "0.1,o.2"
    line = refused(lambda: read_record(write(tmp_path, "\n".join(lines))))
    assert "row 1235, column 2: 'o.2' is not a number" in line


# ---- units ----


@pytest.mark.parametrize(
    ("scale", "unit", "said"), [(1e-3, "V", "volts"), (1, "mV", ""), (1e3, "uV", "microvolts"), (1e9, "", "no unit")]
)
def test_the_amplitude_decides_where_no_unit_is_stated(scale, unit, said, tmp_path):
    path = write(tmp_path, table([A * scale, B * scale], "I,II"))
    if not unit:
        assert "give units" in refused(lambda: read_record(path, fs=250))
        return
    record = read_record(path, fs=250)
    check(record)
    assert f"I ({unit})" in record.reading
    assert said in " ".join(record.warnings)
    assert bool(record.warnings) == bool(said)
    assert np.allclose(read_record(path, fs=250, units="mV").signal, SIGNAL * scale, atol=2e-3 * scale)


def test_counts_with_an_offset(tmp_path):
    record = read_record(write(tmp_path, table([np.rint(A * 200) + 1024, np.rint(B * 200) + 1024], "MLII,V1")), fs=250)
    assert "counts" in record.warnings[0]
    assert np.allclose(np.ptp(record.signal, axis=0), np.ptp(SIGNAL, axis=0), atol=0.01)


@pytest.mark.parametrize("header", ["ecg [uV]", "ECG_uV", "ECG (µV)", "ECG (μV)", "ECG / uV", "ECG\nµV", "ECG ÂµV"])
def test_units_in_headers(header, tmp_path):
    record = read_record(write(tmp_path, table([A * 1000], header)), fs=250)
    check(record, 1)
    assert not record.warnings


def test_flat_leads_gaps_and_a_lead_upside_down(tmp_path):
    signal = SIGNAL.copy()
    signal[:, 0] *= -1
    signal[100:200, 1] = np.nan
    path = write(tmp_path, table([np.zeros(N), *signal.T], "V1,I,II").replace("nan", ""))
    record = read_record(path, fs=250)
    assert record.leads == ["V1", "I", "II"]
    assert not record.signal[:, 0].any()
    assert np.isnan(record.signal[100:200, 2]).all()
    flat = read_record(write(tmp_path, table([np.zeros(N)], "ECG")), fs=250)
    assert flat.signal.shape == (N, 1)
    wide = read_record(write(tmp_path, table(heart(leads=15).T)), fs=2000)
    assert len(wide.leads) == 15


def test_names_and_units():
    for name in ("Lead II", "ECG II", "ii", "MLII", "ML II", "II (mV)", "ECG lead 2", "lead_ii", "EKG-II", "II [µV]"):
        assert canonical_lead(name) == "II"
    for name, lead in (("I", "I"), ("V1", "V1"), ("avr", "aVR"), ("Lead-V5", "V5"), ("MCL1", "V1"), ("x y", "x y")):
        assert canonical_lead(name) == lead
    assert canonical_lead("lead 2") == "lead 2"  # the second column of a table without names
    for name in ("PLETH", "Resp", "ABP", "Event marker", "ACC_X", "SpO2", "ICP", "RespRate", "HR", "Temp"):
        assert other_kind(name)
    for name in ("ECG", "MLII", "V", "CM5", "ch1", "EXG Channel 0", "lead 1", "ECG1", "vx"):
        assert not other_kind(name)
    for text in ("µV", "μV", "uV", "ÂµV", "Î¼V", "\ufffdV", "microvolts", "µv"):
        assert canonical_unit(text) == "uV"
    assert [canonical_unit(text) for text in ("MV", "V", "nv", "adu", "mmHg", "")] == ["mV", "V", "nV", "adu", "", ""]
    assert split_unit("ECG_mV") == ("ECG", "mV")
    record = Record("r", np.arange(6, dtype=np.float32).reshape(2, 3), 250.0, ["Lead V6", "Lead II", "Lead V1"])
    assert order_leads(record).leads == ["Lead II", "Lead V6", "Lead V1"]


# ---- WFDB ----


def write_wfdb(folder, signal=SIGNAL, names=("MLII", "V1"), units=None, name="r", fs=FS):
    units = units or ["mV"] * len(names)
    wfdb.wrsamp(
        name,
        fs,
        list(units),
        list(names),
        p_signal=signal,
        fmt=["16"] * len(names),
        write_dir=str(folder),
        adc_gain=[1000.0] * len(names),
        baseline=[0] * len(names),
    )
    return folder / f"{name}.hea"


def test_frames_of_several_samples(tmp_path):
    counts = np.rint(SIGNAL * 200).astype("<i2")
    frames = np.concatenate([counts[:, 0].reshape(-1, 4), counts[:, 1].reshape(-1, 4), counts[::4, :1]], axis=1)
    (tmp_path / "r.dat").write_bytes(frames.tobytes())
    (tmp_path / "r.hea").write_text(
        f"r 3 62.5 {N // 4}\nr.dat 16x4 200/mV 16 0 0 0 0 MLII\nr.dat 16x4 200/mV 16 0 0 0 0 V1\n"
        "r.dat 16 200/mV 16 0 0 0 0 CM5\n"
    )
    wfdb.wrann("r", "atr", np.array([25, 1000]), ["N", "N"], write_dir=str(tmp_path))
    record = read_record(tmp_path / "r", "atr")
    check(record, atol=4e-3)
    assert not record.warnings
    assert record.sample.tolist() == [100, 4000]
    assert "CM5" in record.reading
    wfdb.wrann("r", "atr", np.array([100, 4000]), ["N", "N"], fs=250, write_dir=str(tmp_path))
    assert read_record(tmp_path / "r", "atr").sample.tolist() == [100, 4000]
    assert "different rates" in refused(lambda: read_record(tmp_path / "r", leads=["MLII", "CM5"]))
    assert read_record(tmp_path / "r", leads=["CM5"]).fs == 62.5


def test_signals_beside_the_ecg(tmp_path):
    write_wfdb(tmp_path, np.stack([B, A, B, A], 1), ("PLETH", "ECG", "RESP", "ABP"), ["mV", "mV", "mV", "mmHg"])
    record = read_record(tmp_path / "r")
    check(record, 1)
    assert record.leads == ["ECG"]
    assert "PLETH" in record.reading
    assert "mmHg" in record.reading
    assert read_record(tmp_path / "r", leads=["PLETH", 2]).leads == ["PLETH", "ECG"]
    write_wfdb(tmp_path, SIGNAL, ("PLETH", "RESP"))
    line = refused(lambda: read_record(tmp_path / "r"))
    assert "PLETH" in line
    assert "RESP" in line
    assert "time_column" in refused(lambda: read_record(tmp_path / "r", time_column=1))


@pytest.mark.parametrize("unit", [b"\xc2\xb5V", b"\xce\xbcV", b"\xb5V", b"uV", b"\xc3\x82\xc2\xb5V"])
def test_micro_sign_in_headers(unit, tmp_path):
    header = write_wfdb(tmp_path)
    content = header.read_bytes().replace(b"1000.0(0)/mV", b"1(0)/" + unit)
    header.write_bytes(content)
    check(read_record(header))
    (tmp_path / "m.hea").write_text(f"m/2 2 {FS} {2 * N}\nr {N}\nr {N}\n")
    assert np.allclose(read_record(tmp_path / "m").signal[N:], SIGNAL, atol=2e-3)
    assert np.allclose(read_record(header, units="mV").signal, 1000 * SIGNAL, atol=2)
    rows = content.splitlines()
    header.write_bytes(b"\n".join([rows[0], *(b" ".join(row.split()[:3]) for row in rows[1:3]), b""]))
    check(read_record(header))


def test_annotations_past_the_end(tmp_path):
    write_wfdb(tmp_path)
    wfdb.wrann("r", "atr", np.array([100, 300, N, N + 7]), ["N", "V", "+", "N"], write_dir=str(tmp_path))
    record = read_record(tmp_path / "r", "atr")
    assert record.sample.tolist() == [100, 300]
    assert record.symbol == ["N", "V"]
    assert "2 of 4 annotations" in record.warnings[0]
    assert "beyond" in refused(lambda: read_record(tmp_path / "r", "atr", strict=True))


@pytest.mark.parametrize("length", ["", " 0"])
def test_signals_without_a_length(length, tmp_path):
    header = write_wfdb(tmp_path)
    header.write_text(header.read_text().replace(f"r 2 {FS} {N}", f"r 2 {FS}{length}"))
    check(read_record(header))


def test_names_with_dots_and_spaces(tmp_path):
    header = write_wfdb(tmp_path)
    for name in ("rec.1", "a b.2.x"):
        (tmp_path / f"{name}.dat").write_bytes((tmp_path / "r.dat").read_bytes())
        word = name.replace(" ", "-")
        (tmp_path / f"{word}.dat").write_bytes((tmp_path / "r.dat").read_bytes())
        (tmp_path / f"{name}.hea").write_text(
            header.read_text().replace("r.dat", f"{word}.dat").replace("r 2", f"{word} 2")
        )
        wfdb.wrann("r", "atr", np.array([100, 300]), ["N", "V"], write_dir=str(tmp_path))
        (tmp_path / f"{name}.atr").write_bytes((tmp_path / "r.atr").read_bytes())
        for ending in ("", ".hea", ".dat"):
            record = read_record(tmp_path / f"{name}{ending}", "atr")
            check(record)
            assert record.name == name
        assert tmp_path / f"{word}.dat" in files_of_record(find_record(tmp_path / name))


# ---- EDF and others ----


def test_edf_and_bdf(tmp_path):
    edfio = pytest.importorskip("edfio")
    seconds = np.arange(N) / FS

    def signals(kind):
        return [
            kind(np.sin(seconds[::5]), FS / 5, label="Resp", physical_dimension="mV"),
            kind(1000 * B, FS, label="EEG Fpz-Cz", physical_dimension="uV"),
            kind(1000 * B, FS, label="C3-A2", physical_dimension="uV"),
            kind(1000 * A, FS, label="ECG II", physical_dimension="uV"),
        ]

    edfio.Edf(signals(edfio.EdfSignal)).write(tmp_path / "r.edf")
    edfio.Bdf(signals(edfio.BdfSignal)).write(tmp_path / "r.bdf")
    for name in ("r.edf", "r.bdf"):
        record = read_record(tmp_path / name)
        check(record, 1)
        assert record.leads == ["ECG II"]
        assert "Fpz-Cz" in record.reading
        assert read_record(tmp_path / name, leads=["C3-A2", 4]).leads == ["C3-A2", "ECG II"]
        assert files_of_record(find_record(tmp_path / name)) == [tmp_path / name]
        assert "unknown signal 'ECG V'" in refused(lambda: read_record(tmp_path / name, leads=["ECG V"]))  # noqa: B023
        for call in ({"fs": 500}, {"annotator": "atr"}, {"time_column": 1}):
            refused(lambda: read_record(tmp_path / name, **call))  # noqa: B023
    content = (tmp_path / "r.edf").read_bytes()
    (tmp_path / "r.edf").write_bytes(content[:-1000])
    assert "truncated" in read_record(tmp_path / "r.edf").warnings[0]
    for cut in (0, 100, 300, 1000):
        (tmp_path / "r.edf").write_bytes(content[:cut])
        assert "r.edf" in refused(lambda: read_record(tmp_path / "r.edf"))
    for start in (168, 184, 236, 244, 252, 256, 800, 1100):
        (tmp_path / "r.edf").write_bytes(content[:start] + b"xxxxx" + content[start + 5 :])
        with contextlib.suppress(ValueError):
            read_record(tmp_path / "r.edf")


def test_edf_with_a_pause(tmp_path):
    edfio = pytest.importorskip("edfio")
    signal = edfio.EdfSignal(1000 * A, FS, label="ECG", physical_dimension="uV")
    file = edfio.Edf([signal], annotations=[edfio.EdfAnnotation(0, None, "start")], data_record_duration=1)
    file.write(tmp_path / "r.edf")
    check(read_record(tmp_path / "r.edf"), 1)
    content = (tmp_path / "r.edf").read_bytes().replace(b"EDF+C", b"EDF+D").replace(b"+10\x14\x14", b"+70\x14\x14")
    (tmp_path / "r.edf").write_bytes(content)
    assert "pauses" in refused(lambda: read_record(tmp_path / "r.edf"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"ISHNE1.0" + bytes(600), "ISHNE"),
        (b"\x89HDF\r\n\x1a\n" + bytes(60), "HDF5"),
        (b"PK\x03\x04" + bytes(60), "ZIP"),
        (bytes(range(256)) * 4, "binary"),
        (b"0       " + b" " * 300, "EDF"),
        (b"", "empty"),
        (b"1,2\n3,4\n", ".csv"),
    ],
)
def test_files_of_other_formats_are_named_in_a_line(content, words, tmp_path):
    path = write(tmp_path, content, "r.ecg")
    line = refused(lambda: read_record(path))
    assert words in line
    assert str(path) in line


def test_binary_content_in_a_table(tmp_path):
    for content in (bytes(range(256)) * 4, b"PK\x03\x04" + bytes(60), gzip.compress(LAYOUTS["seconds"].encode())):
        path = write(tmp_path, content)
        assert str(path) in refused(lambda: read_record(path, fs=250))  # noqa: B023


def test_altered_tables_are_read_or_refused_in_one_line(tmp_path):
    names = ("seconds", "hms", "PhysioNet seconds", "OpenBCI", "preamble", "rdsamp", "German")
    inserts = (b",", b";", b"\n", b'"', b"'", b"\t", b"#", b"x", b"-", b"1e999", b"\r", b"nan", b":", b"0", b"\xb5")
    path, lines = tmp_path / "r.csv", []
    for trial in range(150):
        draw = random.Random(trial)
        content = bytearray(LAYOUTS[draw.choice(names)].encode()[: draw.choice((200, 3000))])
        for _ in range(draw.choice((1, 2, 5, 20))):
            place = draw.randrange(len(content) if draw.random() < 0.5 else min(150, len(content)))
            if draw.random() < 0.5:
                content[place:place] = draw.choice(inserts)
            else:
                del content[place : place + draw.randrange(1, 30)]
        path.write_bytes(content)
        try:
            record = read_record(path, fs=draw.choice((None, 250)))
            assert record.signal.shape[1] == len(record.leads)
        except ValueError as error:
            lines.append(str(error))
    assert len(lines) > 20
    assert all(str(path) in line and "\n" not in line for line in lines)


def test_a_rate_is_asked_for_whatever_the_encoding(tmp_path):
    path = write(tmp_path, table([A * 1000], "für (µV)"), encoding="cp1252")
    assert "give fs" in refused(lambda: read_record(path))
    check(read_record(path, fs=250), 1)
