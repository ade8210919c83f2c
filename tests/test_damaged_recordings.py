"""Damaged recordings: every file is read in bounded time, and what is wrong with one is one line that names it."""

import random
import struct

import numpy as np
import pytest

from datamodules.ecg.annotation_files import read_annotations
from datamodules.ecg.records import read_record
from zoo import cli
from zoo.prediction import ecg
from zoo.tasks.ecg_annotation import Annotation

wfdb = pytest.importorskip("wfdb")
FS, SAMPLES = 250, 3000
FORMATS = ("16", "24", "32", "80", "212")


@pytest.fixture
def record(tmp_path):
    """A record of two leads, with annotations of all kinds of fields."""
    signal = np.round(np.random.default_rng(0).normal(size=(SAMPLES, 2)), 2)
    wfdb.wrsamp("r", FS, ["mV", "mV"], ["MLII", "V1"], p_signal=signal, fmt=["16", "16"], write_dir=str(tmp_path))
    sample = np.array([18, 100, 300, 1500, 2000, 2100, 2200])
    wfdb.wrann(
        "r",
        "atr",
        sample,
        ["+", "N", "V", "N", "~", "A", "N"],
        aux_note=["(N", "", "", "odd", "", "even", ""],
        subtype=np.array([0, 0, 0, 1, 0, -1, 0]),
        chan=np.array([0, 0, 0, 0, 1, 1, 0]),
        num=np.array([0, 0, 2, 2, 2, 0, 0]),
        fs=FS,
        write_dir=str(tmp_path),
    )
    return tmp_path / "r"


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


def word(code, value):
    return struct.pack("<H", code << 10 | value)


def note(text, sample=0, code=22):
    return word(code, sample) + word(63, len(text)) + text + bytes(len(text) % 2)


END = bytes(2)


# ---- annotations ----


def test_annotations_are_those_of_wfdb(record):
    sample, symbol = read_annotations(record.with_suffix(".atr"))
    expected = wfdb.rdann(str(record), "atr")
    assert sample.dtype == np.int64
    assert np.array_equal(sample, expected.sample)
    assert symbol == expected.symbol


def test_long_and_backward_intervals_and_defined_symbols(tmp_path):
    path = tmp_path / "r.atr"
    skip = word(59, 0) + struct.pack("<HH", 1, 5)  # 65,541
    back = word(59, 0) + struct.pack("<HH", 0xFFFF, 0xFFFF)  # -1
    path.write_bytes(word(1, 10) + skip + word(5, 3) + back + word(0, 4) + word(8, 0) + END + END)
    assert read_annotations(path)[0].tolist() == [10, 65_554, 65_557]
    assert read_annotations(path)[1] == ["N", "V", "A"]
    defined = b"".join(map(note, (b"## annotation type definitions", b"45 % odd beat", b"## end of definitions")))
    path.write_bytes(defined + word(45, 7) + note(b"a comment", 3) + END)
    assert [part if isinstance(part, list) else part.tolist() for part in read_annotations(path)] == [
        [7, 10],
        ["%", '"'],
    ]
    path.write_bytes(END)
    assert read_annotations(path)[0].tolist() == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (word(1, 10) + END[:1], "their last byte is missing"),
        (word(1, 10), "their end is missing"),
        (word(1, 10) + END + word(1, 1), "bytes after their end"),
        (word(61, 1) + word(1, 10) + END, "a field of none"),
        (word(1, 10) + word(63, 1000) + END, "their end is missing"),
        (word(1, 10) + word(59, 0) + END, "their end is missing"),
        (word(45, 10) + END, "unknown code 45 at sample 10"),
        (note(b"## annotation type definitions") + END, "the end of their definitions is missing"),
        (note(b"## annotation type definitions") + note(b"x") + END, "'x' defines no symbol"),
        (word(1, 10) + word(59, 0) + struct.pack("<HH", 0xFFFF, 0) + word(1, 0) + END, "out of order"),
        (word(59, 0) + struct.pack("<HH", 0xFFFF, 0xFFF0) + word(1, 0) + END, "out of order"),
        (word(59, 0) + struct.pack("<HH", 0x7FFF, 0) + word(1, 0) + END, "beyond the 3000 samples"),
    ],
)
def test_annotations_that_cannot_be_read(content, words, record):
    path = record.with_suffix(".atr")
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{path.name}: ") as error:
        read_record(record, "atr")
    assert words in one_line(error)


@pytest.mark.parametrize(
    "text", [b"## something else", b"## time resolution: 25O", b"## time resolution: 1.2.3", b"##"]
)
def test_a_comment_on_the_file_may_say_anything(text, record):
    path = record.with_suffix(".atr")
    path.write_bytes(note(b"## time resolution: 250") + note(text) + word(1, 9) + END)
    assert read_record(record, "atr").symbol == ["N"]


def test_altered_annotations_are_read_or_refused_in_one_line(record):
    path, lines, read = record.with_suffix(".atr"), [], 0
    whole = path.read_bytes()
    for trial in range(300):
        draw, content = random.Random(trial), bytearray(whole)
        if trial % 4:
            for _ in range(draw.choice((1, 1, 2, 5))):
                content[draw.randrange(len(content))] = draw.randrange(256)
        else:
            del content[draw.randrange(len(content)) :]
        path.write_bytes(content)
        try:
            sample, symbol = read_record(record, "atr")[4:6]
            read += 1
        except ValueError as error:
            lines.append(str(error))
            continue
        assert len(sample) == len(symbol)
        assert (np.diff(sample) >= 0).all()
    assert read > 20
    assert len(lines) > 50
    assert all(str(path) in line and "\n" not in line for line in lines)


# ---- headers and signals ----

TOKENS = ("0", "-1", "1e9", "999999999", "99999999999999999999", "nan", "inf", "x", "", "16x4", "16:3", "16+9", "508")


@pytest.mark.parametrize("form", FORMATS)
def test_altered_headers_are_read_or_refused_in_one_line(form, tmp_path):
    signal = np.round(np.random.default_rng(0).normal(size=(500, 2)), 1)
    wfdb.wrsamp("r", FS, ["mV", "mV"], ["MLII", "V1"], p_signal=signal, fmt=[form] * 2, write_dir=str(tmp_path))
    path, lines = tmp_path / "r.hea", []
    whole = path.read_bytes()
    assert not read_record(path).warnings
    for trial in range(60):
        draw, content = random.Random(trial), bytearray(whole)
        if trial % 3 == 0:
            content[draw.randrange(len(content))] = draw.choice(b"0123456789 /().-+xeE\n\0\xffmV")
        elif trial % 3 == 1:
            rows = [row.split(b" ") for row in whole.split(b"\n") if row]
            row = draw.choice(rows)
            row[draw.randrange(len(row))] = draw.choice(TOKENS).encode()
            content = b"\n".join(b" ".join(row) for row in rows)
        else:
            start = draw.randrange(len(content))
            del content[start : start + draw.randrange(1, len(content))]
        path.write_bytes(content)
        try:
            assert read_record(path).signal.size <= 10_000
        except (ValueError, FileNotFoundError) as error:
            lines.append(str(error))
    assert len(lines) > 10
    assert all(str(tmp_path) in line and "\n" not in line for line in lines)


@pytest.mark.parametrize("form", FORMATS)
def test_samples_that_do_not_have_their_checksum(form, tmp_path):
    signal = np.round(np.random.default_rng(0).normal(size=(500, 2)), 1)
    signal[10, 1] = np.nan
    wfdb.wrsamp("r", FS, ["mV", "mV"], ["MLII", "V1"], p_signal=signal, fmt=[form] * 2, write_dir=str(tmp_path))
    assert read_record(tmp_path / "r", strict=True).warnings == ()
    path = tmp_path / "r.dat"
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)
    (line,) = read_record(tmp_path / "r").warnings
    assert line == f"{path}: MLII differ from the checksums in r.hea; damaged?"
    with pytest.raises(ValueError, match="differ from the checksums"):
        read_record(tmp_path / "r", strict=True)


def test_checksums_of_segments_and_of_headers_without_any(record):
    folder = record.parent
    (folder / "m.hea").write_text(f"m/2 2 {FS} {2 * SAMPLES}\nr {SAMPLES}\nr {SAMPLES}\n")
    assert read_record(folder / "m", strict=True).warnings == ()
    content = bytearray(record.with_suffix(".dat").read_bytes())
    content[2] ^= 1
    record.with_suffix(".dat").write_bytes(content)
    assert "r.dat: V1 differ from the checksums in r.hea" in read_record(folder / "m").warnings[0]
    rows = (folder / "r.hea").read_text().splitlines()
    fields = [row.split() for row in rows[1:3]]
    (folder / "r.hea").write_text("\n".join([rows[0], *(" ".join(row[:3]) for row in fields)]) + "\n")
    assert read_record(folder / "r", strict=True).warnings == ()


class Beats:
    input_kind = "recordings"

    def annotate(self, *_):
        return Annotation(np.array([300]), ["N"], np.ones(1, np.float32))


def test_predict_warns_of_a_wrong_checksum_and_answers(record, capfd):
    content = bytearray(record.with_suffix(".dat").read_bytes())
    content[0] ^= 1
    record.with_suffix(".dat").write_bytes(content)
    found = ecg.predict(Beats(), None, [str(record)])
    (warning,) = found.answers[0]["warnings"]
    assert capfd.readouterr().err == f"warning: {warning}\n"
    assert not any("warning" in str(line) for line in found.display)  # said once
    assert not found.failures


def test_command_line_refuses_what_cannot_be_read(record, capfd):
    record.with_suffix(".atr").write_bytes(note(b"## x")[:-3])
    assert cli.main(["predict", "ecg_classifier.mitbih", str(record), "--annotator", "atr"]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "r.atr: damaged annotations" in err
