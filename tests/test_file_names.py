"""Odd names of files: each is answered, and shown in one line that no terminal takes for a command."""

import csv
import functools
import io
import json
import os
import sys

import numpy as np
import pytest
from conftest import run_python
from PIL import Image

import zoo
import zoo.prediction
from zoo import cli
from zoo.errors import in_one_line, printable
from zoo.prediction import ecg, ecg_files
from zoo.tasks.ecg_annotation import Annotation

NAMES = (
    *(b"caf\xe9", "caf\u00e9 \U0001f600".encode(), b"two words", b"two\nlines", b"tab\tx", b"bell\x07", b"red\x1b[31m"),
    *(b"-dash", b"--output", b"~", b"~none", b"$a^{b$", b"[bold]x", b"{x}", b"%d", b"star*?", b"back\\slash", b"a,b;c"),
    *(b"'quote\"", "line\u2028end".encode(), "\u202eleft".encode()),
)
CAN_BE_MADE = sys.platform.startswith("linux")  # elsewhere a file system refuses bytes that are not UTF-8


class Beats:
    input_kind = "recordings"

    def annotate(self, *_):
        return Annotation(np.array([300, 500]), ["N", "V"], np.array([0.9, 0.8], np.float32))


load_once = functools.cache(zoo.prediction.load_model)


@pytest.fixture(autouse=True)
def shipped_models_are_loaded_once(monkeypatch):
    monkeypatch.setattr(zoo.prediction, "load_model", load_once)


@pytest.fixture(params=NAMES, ids=repr)
def name(request, tmp_path, monkeypatch):
    """The name of a file of each kind, without its ending, in the working folder."""
    if not CAN_BE_MADE:
        pytest.skip("the file system may refuse the name")
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(request.param)
    pixels = np.uint8(np.random.default_rng(0).random((12, 12)) * 255)
    with open(f"{name}.png", "wb") as file:
        Image.fromarray(pixels).save(file, "png")
    np.savetxt(f"{name}.csv", np.random.default_rng(0).random((1000, 1)), header="I$", comments="")
    return name


def predict(monkeypatch, *words):
    """Run ``zoo predict`` with the streams of a UTF-8 terminal; return its status and what it printed."""
    streams = [io.TextIOWrapper(io.BytesIO(), "utf-8", errors) for errors in ("strict", "backslashreplace")]
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", streams[0])
        patch.setattr(sys, "stderr", streams[1])
        status = cli.main(["predict", *words])
    for stream in streams:
        stream.flush()
    return status, *(stream.buffer.getvalue().decode() for stream in streams)


def test_a_picture_of_any_name_is_answered(name, monkeypatch):
    status, out, err = predict(monkeypatch, "cnn.digits", "--", f"{name}.png")
    assert (status, out.count("\n"), err) == (0, 1, "")
    assert out.startswith(printable(f"{name}.png"))
    for output in ("answers.json", "answers.csv"):
        assert predict(monkeypatch, "--output", output, "cnn.digits", "--", f"{name}.png")[0] == 0
    with open("answers.json", encoding="utf-8") as file:
        assert json.load(file)[0]["input"] == f"{name}.png"
    with open("answers.csv", encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["input"] == f"{name}.png".encode(errors="backslashreplace").decode()


def test_a_picture_of_any_name_is_restored(name, monkeypatch):
    status, out, err = predict(
        monkeypatch, f"--output={name}.out.png", "denoising_autoencoder.mnist", "--", f"{name}.png"
    )
    assert (status, out.count("\n"), err) == (0, 1, "")
    assert os.path.isfile(f"{name}.out.png")


def test_a_recording_of_any_name_is_annotated(name, monkeypatch):
    pytest.importorskip("wfdb")
    if name.isascii() and "$" not in name:  # nothing that a figure has to do with
        monkeypatch.setattr(ecg_files, "as_png", lambda _: b"a figure")
    found = ecg.predict(Beats(), None, [f"{name}.csv"], "out", fs=250)
    assert sorted(os.listdir("out")) == sorted(f"{name}.{ending}" for ending in ("zoo", "csv", "png", "html"))
    from rich.console import Console

    stream = io.TextIOWrapper(io.BytesIO(), "utf-8", "strict")
    for part in found.display:
        Console(file=stream, width=160).print(part, markup=not isinstance(part, str))
    stream.flush()
    lines = stream.buffer.getvalue().decode().splitlines()
    assert lines[0].strip() == printable(name).strip()


def test_a_missing_file_of_any_name_is_one_line(name, monkeypatch):
    for recipe, ending in (
        ("cnn.digits", "none.png"),
        ("ecg_classifier.mitbih", "none"),
        ("lstm_classifier.sst2", ".txt"),
    ):
        if recipe.startswith("lstm") and " " in name:
            continue  # a text
        status, out, err = predict(monkeypatch, recipe, "--", f"{name}{ending}")
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert "\x1b" not in err
        with pytest.raises((ValueError, FileNotFoundError)) as error:
            zoo.predict(recipe, f"{name}{ending}")
        assert len(str(error.value).splitlines()) == 1


def test_an_argument_that_is_not_utf_8_is_no_text(monkeypatch):
    pytest.importorskip("tokenizers")
    status, out, err = predict(monkeypatch, "lstm_classifier.sst2", "a lovely caf\udce9")
    assert (status, out) == (2, "")
    assert err == "zoo: error: a lovely caf\\udce9: no such file, and not UTF-8 text\n"
    assert zoo.predict("lstm_classifier.sst2", "a lovely caf\u00e9")[0]["class"] == "positive"


def test_what_is_printed_is_one_line():
    assert printable("plain, caf\u00e9 \U0001f600") == "plain, caf\u00e9 \U0001f600"
    assert printable("a\nb\tc\x1b[0m\udce9\u2028") == "a\\nb\\tc\\x1b[0m\\udce9\\u2028"
    assert in_one_line(ValueError("a\n  b\x1b")) == "a b\\x1b"
    assert in_one_line(FileNotFoundError(2, "No such file", "a\nb")) == "a\\nb: No such file"


@pytest.mark.slow
def test_no_home_is_needed(tmp_path):
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a.png")
    code = (
        "import os\nfor name in ('HOME', 'USERPROFILE', 'XDG_CACHE_HOME', 'ZOO_DATA'):\n"
        "    os.environ.pop(name, None)\n"
        "from zoo.cli import main\nraise SystemExit(main(['predict', 'cnn.digits', 'a.png']))"
    )
    run = run_python("-c", code, cwd=tmp_path)
    assert (run.returncode, run.stdout.count("\n")) == (0, 1), run.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
