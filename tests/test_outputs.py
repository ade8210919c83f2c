"""Outputs of ``zoo.predict``: checked before any work is done, written whole or not at all, and never over an input."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import zoo.files
from zoo import cli
from zoo.files import check_outputs, write_files
from zoo.prediction import ecg, images, rows
from zoo.tasks.ecg_annotation import Annotation

FS = 250


class Beats:
    """A model that finds two beats in every recording."""

    calls = 0

    def annotate(self, signal, fs, peaks=None, leads=None):
        type(self).calls += 1
        return Annotation(np.array([300, 500]), ["N", "V"], np.array([0.9, 0.8], np.float32))


class Halves:
    """A model that answers texts and arrays with the same number."""

    calls = 0
    output_formats = {".npy": "code"}
    input_shape = (2,)

    def predict_rows(self, x):
        type(self).calls += 1
        return [{"value": 0.5, "code": np.zeros(2)}]


class Restorer:
    """A model that restores an image to itself."""

    calls = 0
    trained_for = "trained on images of 8 x 8 pixels"
    takes_mask = False
    input_shape = sample_shape = (1, 8, 8)

    def reconstruct(self, x, mask=None):
        type(self).calls += 1
        return x


class Texts:
    endings = (".txt",)

    def read(self, source):
        return source


def write_recording(path):
    path.parent.mkdir(exist_ok=True)
    signal = np.random.default_rng(0).normal(size=(1000, 2))
    np.savetxt(path, signal, "%.3f", delimiter=",", header="I,II", comments="")
    return path


def write_picture(path):
    path.parent.mkdir(exist_ok=True)
    Image.new("L", (8, 8), 100).save(path)
    return path


def write_text(path):
    path.parent.mkdir(exist_ok=True)
    path.write_text("a text")
    return path


PIPELINES = {
    "recordings": (Beats, lambda s, o: ecg.predict(Beats(), None, s, o, fs=FS), write_recording, "r.csv", True),
    "images": (Restorer, lambda s, o: images.predict(Restorer(), None, s, o), write_picture, "r.png", False),
    "rows": (Halves, lambda s, o: rows.predict(Halves(), Texts(), s, o), write_text, "r.csv", False),
}
"""Model, prediction, writer of an input, its name, and whether the output is a folder."""


@pytest.fixture(params=PIPELINES)
def pipeline(request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model, predict, write, name, folder = PIPELINES[request.param]
    model.calls = 0
    return model, predict, write, name, folder


def snapshot(folder):
    """Return the content of every file under a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def refused(predict, inputs, output, model, folder):
    """Return the line of a refusal that came before any work and changed nothing."""
    before = snapshot(folder)
    with pytest.raises(ValueError) as error:
        predict(inputs, output)
    assert "\n" not in str(error.value)
    assert model.calls == 0
    assert snapshot(folder) == before
    return str(error.value)


def spellings(folder, is_folder, name):
    """Return outputs that are the input of a name in a folder, or the folder itself."""
    (folder.parent / "symbolic").symlink_to(folder)
    found = [folder, Path(os.path.relpath(folder)), folder / ".." / folder.name, folder.parent / "symbolic"]
    if is_folder:
        return found
    (folder.parent / f"symbolic-{name}").symlink_to(folder / name)
    os.link(folder / name, folder.parent / f"hard-{name}")
    return [*(path / name for path in found), *(folder.parent / f"{kind}-{name}" for kind in ("symbolic", "hard"))]


def test_no_input_is_written_over(pipeline, tmp_path):
    model, predict, write, name, folder = pipeline
    source = write(tmp_path / "in" / name)
    for output in spellings(tmp_path / "in", folder, name):
        assert "would overwrite" in refused(predict, [str(source)], str(output), model, tmp_path), output


@pytest.mark.parametrize("kind", ["symbolic", "hard"])
def test_no_recording_is_written_over_through_a_link(kind, tmp_path):
    Beats.calls = 0
    source = write_recording(tmp_path / "in" / "r.csv")
    (tmp_path / "out").mkdir()
    (os.symlink if kind == "symbolic" else os.link)(source, tmp_path / "out" / "r.csv")
    predict = PIPELINES["recordings"][1]
    assert "would overwrite" in refused(predict, [str(source)], str(tmp_path / "out"), Beats, tmp_path)


def test_no_file_of_a_wfdb_record_is_written_over(tmp_path):
    wfdb = pytest.importorskip("wfdb")
    signal = np.round(np.random.default_rng(0).normal(size=(1000, 1)), 2)
    wfdb.wrsamp("r", FS, ["mV"], ["MLII"], p_signal=signal, fmt=["16"], write_dir=str(tmp_path))
    wfdb.wrann("r", "zoo", np.array([300, 500]), ["N", "N"], write_dir=str(tmp_path))
    whole = snapshot(tmp_path)
    for source in ("r", "r.hea", "r.dat"):
        found = ecg.predict(Beats(), None, [str(tmp_path / source)], str(tmp_path))  # beside its files
        assert len(found.answers[0]["files"]) == 4
    assert {name: whole[name] for name in ("r.hea", "r.dat")} == {
        name: snapshot(tmp_path)[name] for name in ("r.hea", "r.dat")
    }
    written = snapshot(tmp_path)
    ecg.predict(Beats(), None, [str(tmp_path / "r")], str(tmp_path), annotator="zoo")  # read, so not written
    assert snapshot(tmp_path)["r.zoo"] == written["r.zoo"]
    # Signals in a file that an output would be called.
    (tmp_path / "r.hea").write_text((tmp_path / "r.hea").read_text().replace("r.dat", "r.png"))
    (tmp_path / "r.dat").rename(tmp_path / "r.png")
    with pytest.raises(ValueError, match=r"would overwrite .*r\.png"):
        ecg.predict(Beats(), None, [str(tmp_path / "r")], str(tmp_path))


def test_two_inputs_are_not_written_to_one_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for kind in ("recordings", "images"):
        model, predict, write, name, _ = PIPELINES[kind]
        model.calls = 0
        sources = [str(write(tmp_path / folder / name)) for folder in ("a", "b")]
        if kind == "images":  # recordings of one name have files of their own
            assert "would both be written to" in refused(predict, sources, "out", model, tmp_path)
        assert "would both be written to" in refused(predict, sources[:1] * 2, "out", model, tmp_path)
    predict = PIPELINES["recordings"][1]
    Beats.calls = 0
    same = [str(write_recording(tmp_path / "a" / name)) for name in ("x.csv", "x.txt")]
    assert "would both be" in refused(predict, same, "out", Beats, tmp_path)


def test_case_counts_where_the_file_system_heeds_it(tmp_path, monkeypatch):
    _, predict, write, _, _ = PIPELINES["images"]
    sources = [str(write(tmp_path / name)) for name in ("a.png", "A.png")]
    heeded = len(list(tmp_path.iterdir())) == 2
    if heeded:
        assert len(predict(sources, str(tmp_path / "out")).answers) == 2
        assert len(list((tmp_path / "out").iterdir())) == 2
    monkeypatch.setattr(zoo.files, "_check_writable", lambda *_: True)  # a file system that does not
    with pytest.raises(ValueError, match="would both be written to"):
        check_outputs("o", [("a", tmp_path / "o" / "x.png"), ("b", tmp_path / "o" / "X.png")], [], folder=True)


def test_an_output_of_the_wrong_kind_is_refused(pipeline, tmp_path):
    model, predict, write, name, folder = pipeline
    source = [str(write(tmp_path / "in" / name))]
    (tmp_path / "file").write_text("kept")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / f"loop{Path(name).suffix}").symlink_to(f"loop{Path(name).suffix}")
    outputs = ["", "file/below/out", "missing/folder/out"]
    outputs += ["file", "loop"] if folder else [f"file/{name}", f"missing/{name}", f"loop{Path(name).suffix}"]
    outputs += [] if folder else [f"{'x' * 260}{Path(name).suffix}", f"new{Path(name).suffix}/"]
    if model is Halves:
        outputs.append("folder.csv")
    for output in outputs:
        assert "--output" in refused(predict, source, output, model, tmp_path) or model is Restorer, output


def test_a_folder_in_the_place_of_one_of_several_files_is_refused(tmp_path):
    for kind, place in (("recordings", "r.png"), ("images", "r.png")):
        model, predict, write, name, _ = PIPELINES[kind]
        model.calls = 0
        source = write(tmp_path / kind / name)
        (tmp_path / f"out-{kind}" / place).mkdir(parents=True)
        line = refused(predict, [str(source)], str(tmp_path / f"out-{kind}"), model, tmp_path)
        assert f"{place} is a folder, expected a file" in line


def test_what_is_not_a_regular_file_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "out.csv")
    Halves.calls = 0
    with pytest.raises(ValueError, match=r"out\.csv is not a regular file"):
        rows.predict(Halves(), Texts(), ["a"], str(tmp_path / "out.csv"))
    assert Halves.calls == 0


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_a_place_that_cannot_be_written_to_is_refused(code, pipeline, tmp_path, monkeypatch):
    model, predict, write, name, _ = pipeline
    source = write(tmp_path / "in" / name)

    def fail(**_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(zoo.files.tempfile, "NamedTemporaryFile", fail)
    line = refused(predict, [str(source)], f"out{'' if model is Beats else Path(name).suffix}", model, tmp_path)
    assert f"{tmp_path} cannot be written to ({os.strerror(code)})" in line


def test_a_full_disk_leaves_nothing(pipeline, tmp_path, monkeypatch):
    _, predict, write, name, folder = pipeline
    source = write(tmp_path / "in" / name)
    output = tmp_path / ("out" if folder else f"out{Path(name).suffix}")
    before = snapshot(tmp_path)
    write_bytes = Path.write_bytes

    def fill(self, content):
        write_bytes(self, content[: len(content) // 2])
        if self.parent in (tmp_path, output) and len(list(self.parent.iterdir())) > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", fill)
    with pytest.raises(OSError, match="No space left") as error:
        predict([str(source)], str(output))
    assert str(output) in zoo.files.in_one_line(error.value)
    assert snapshot(tmp_path) == before


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "b").write_bytes(b"old")

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(zoo.files.os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        write_files({tmp_path / "new" / "a": b"1", tmp_path / "b": b"2"})
    assert snapshot(tmp_path) == {"b": b"old"}


def test_a_vanished_folder_is_one_line_or_made_again(tmp_path, monkeypatch):
    class Vanishing(Beats):
        def annotate(self, *args):
            (tmp_path / "out").rmdir()
            return super().annotate(*args)

    source = write_recording(tmp_path / "in" / "r.csv")
    (tmp_path / "out").mkdir()
    found = ecg.predict(Vanishing(), None, [str(source)], str(tmp_path / "out"), fs=FS)
    assert all(Path(path).is_file() for path in found.answers[0]["files"])
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here").rmdir()
    with pytest.raises(ValueError, match="--output out: "):
        ecg.predict(Beats(), None, [str(source)], "out", fs=FS)


def test_the_longest_names_can_be_written(tmp_path):
    name = "x" * 251 + ".csv"
    rows.predict(Halves(), Texts(), ["a"], str(tmp_path / name))
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_images_in_memory_are_checked_as_files_are(tmp_path):
    x = torch.zeros(1, 8, 8)
    Restorer.calls = 0
    (tmp_path / "folder.png").mkdir()
    for output in ("folder.png", "no/x.png", "x.txt"):
        with pytest.raises(ValueError, match=r"folder\.png|no|x\.txt"):
            images.predict(Restorer(), None, [x], str(tmp_path / output))
    assert Restorer.calls == 0


def test_command_line_refuses_to_write_over_a_recording(tmp_path, capfd):
    source = write_recording(tmp_path / "r.csv")
    before = snapshot(tmp_path)
    words = ["predict", "ecg_classifier.mitbih", str(source), "--fs", "250", "--output", str(tmp_path)]
    assert cli.main(words) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err == f"zoo: error: --output {tmp_path} would overwrite {source}: choose another place\n"
    assert snapshot(tmp_path) == before
