"""Tables and arrays of rows: whatever cannot be read or is no finite number is one line with its place."""

import functools
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from datamodules import create_datamodule
from datamodules.ecg.records import read_record
from datamodules.images.photographs import read_photograph
from datamodules.images.reading import read_image
from datamodules.tables import numbers_of, read_rows
from zoo import cli

RECIPE = "logistic_regression.breast_cancer"
ROW = [f"{k}.5" for k in range(30)]


def refusal(call):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError) as error:
            call()
    assert "\n" not in str(error.value)
    return str(error.value)


def table(path, *rows, newline="\n"):
    path.write_bytes((newline.join(",".join(row) for row in rows) + newline).encode())
    return path


def altered(column, cell):
    return [*ROW[:column], cell, *ROW[column + 1 :]]


# ---- files ----


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"text,label\na,b\n" + b"x" * 200_000 + b",c\n", "row 3: field larger than field limit"),
        (b"text,label\na,b\n\0,c\n", "line 3: not UTF-8 text (byte 0x00)"),
        (b"text,label\na,b\ncaf\xe9,c\n", "line 3: not UTF-8 text (byte 0xe9)"),
        (b'text,label\na,b\n"never closed,c\nd,e\n', "row 3: "),
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"\n\nwords,label\na,b\n", "has no column 'text': its header line has words, label"),
    ],
)
def test_a_table_of_texts_that_cannot_be_read(content, words, name, tmp_path):
    path = tmp_path / name
    if name == "a.tsv" and not content.startswith(b"\xff\xfe"):
        if b'"' in content:
            pytest.skip("quotes that are not balanced have no meaning between tabs")
        content = content.replace(b",", b"\t")
    path.write_bytes(content)
    line = refusal(lambda: create_datamodule("text_table", root=str(path)).setup())
    assert words in line
    assert str(path) in line


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_rows_are_read_whatever_ends_a_line(newline, tmp_path):
    path = table(tmp_path / "a.csv", ["a", "b"], ["1", ""], [], ["3", "4"], newline=newline)
    assert read_rows(path) == [(1, ["a", "b"]), (2, ["1", ""]), (4, ["3", "4"])]


@pytest.mark.parametrize("cell", ["nan", "NaN", "inf", "-Infinity", "1e39", "1e400", "", " ", "?", "1_0", "0x1", "1,2"])
@pytest.mark.parametrize("row", [0, 1, 2])
def test_a_number_that_is_none_is_named_by_row_and_column(cell, row, tmp_path):
    rows = [ROW] * 3
    rows[row] = altered(4, cell)
    path = table(tmp_path / "a.csv", *rows)
    line = refusal(lambda: zoo.predict(RECIPE, path))
    place = f"row {row + 1}: 31 numbers" if cell == "1,2" else f"row {row + 1}, column 5"
    assert f"{path}, {place}" in line


def test_a_header_is_a_row_without_any_number(tmp_path):
    names = [f"feature {k}" for k in range(30)]
    path = table(tmp_path / "a.csv", names, ROW)
    assert numbers_of(read_rows(path), 30, path).tolist() == [[float(cell) for cell in ROW]]
    assert "no row of 30 numbers" in refusal(lambda: zoo.predict(RECIPE, table(path, names)))
    assert "row 3, column 1" in refusal(lambda: zoo.predict(RECIPE, table(path, names, ROW, altered(0, "x"))))
    assert "row 2, column 1 is empty" in refusal(lambda: zoo.predict(RECIPE, table(path, ROW, [""] * 30)))


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\0" * 100, b"1\0," * 30, b"x" * 200_000, b'"' + b"1," * 40])
def test_bytes_that_are_no_table_are_one_line(content, tmp_path, capfd):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    assert str(path) in refusal(lambda: zoo.predict(RECIPE, path))
    assert cli.main(["predict", RECIPE, str(path)]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"I,II\n0.1,0.2\n0.1,x\n", "row 3, column 2: 'x' is not a number"),
        (b"0.1,0.2\n0.1,True\n", "row 2, column 2: 'True' is not a number"),
        (b"I\nTrue\nFalse\n", "row 2, column 1: 'True' is not a number"),
        (b"I,II\n0.1,0.2\n0.1,0.2,0.3\n", "expected numbers in columns"),
        (b"I,II\n0.1,0.2\n\0,0.2\n", "line 3: not UTF-8 text"),
        (b"I,II\n0.1,\xe9\n", "line 2: not UTF-8 text"),
        (b'I,II\n0.1,"0.2\n', "expected numbers in columns"),
        (b"", "is empty"),
    ],
)
def test_a_recording_that_cannot_be_read(content, words, tmp_path):
    pytest.importorskip("pandas")
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    line = refusal(lambda: read_record(path, fs=250))
    assert words in line
    assert str(path) in line


# ---- arrays ----


ODD_VALUES = (np.nan, np.inf, -np.inf)
FAMILIES = {
    "logistic_regression.breast_cancer": (2, 30),
    "mlp.xor": (2, 2),
    "perceptron.and": (2, 2),
    "mlp.digits": (2, 1, 8, 8),
    "cnn.mnist": (2, 1, 28, 28),
    "vae.mnist": (2, 1, 28, 28),
    "deep_autoencoder.mnist": (2, 1, 28, 28),
    "deep_autoencoder.reuters": (2, 2000),
    "denoising_autoencoder.mnist": (1, 28, 28),
    "colorizer.cifar10_jpeg_lab": (1, 32, 32),
}


@functools.cache
def shipped(recipe):
    return zoo.create_model(recipe, pretrained=True)


@pytest.mark.parametrize("recipe", FAMILIES)
@pytest.mark.parametrize("kind", ["array", "float64", "tensor", "masked"])
def test_no_family_answers_a_value_that_is_not_finite(recipe, kind, monkeypatch):
    model = shipped(recipe)
    monkeypatch.setattr(model.net, "forward", lambda *_: pytest.fail("the model was asked"))
    for odd in ODD_VALUES:
        x = np.full(FAMILIES[recipe], 0.5, np.float64 if kind == "float64" else np.float32)
        x[(-1,) * x.ndim] = odd
        if kind == "masked":
            x[(-1,) * x.ndim] = 0.5
            x = np.ma.masked_array(x, mask=np.zeros(x.shape, bool))
            x[(-1,) * x.ndim] = np.ma.masked
        if kind == "tensor":
            x = torch.from_numpy(x).requires_grad_()
        line = refusal(lambda x=x: zoo.predict(model, x))
        assert "input 1, " in line
        assert f"{x.shape[-1]}: {float('nan') if kind == 'masked' else odd} is not a finite number" in line


@pytest.mark.parametrize(
    "x",
    [
        np.zeros((0, 30), np.float32),
        np.zeros((1, 0), np.float32),
        np.float32(1).reshape(()),
        np.full((1, 30), "1.0"),
        np.full((1, 30), None),
        np.full((1, 30), 1j),
        np.ones((1, 30), bool),
        np.ones((1, 30), int),
        np.zeros((1, 30), [("a", np.float32)]),
        np.full((1, 30), 1e300),
        torch.ones(1, 30, dtype=torch.cfloat),
        torch.zeros(1, 30, dtype=torch.int8),
        np.zeros((1, 2, 3, 4, 5), np.float32),
        np.zeros((2, 31), np.float32),
    ],
    ids=lambda x: f"{x.dtype} {tuple(x.shape)}",
)
def test_an_odd_array_is_one_line(x, tmp_path):
    for output in (None, tmp_path / "out.csv", tmp_path / "out.json"):
        assert refusal(lambda output=output: zoo.predict(RECIPE, x, output))
    assert not list(tmp_path.iterdir())


def test_arrays_of_every_float_and_layout_are_answered():
    x = np.full((2, 30), 0.5)
    (first, _) = zoo.predict(RECIPE, x.astype(np.float32))
    kinds = [x, x.astype(np.float16), x.astype(np.longdouble), x.astype(">f4"), x[::-1], np.asfortranarray(x)]
    kinds += [np.ma.masked_array(x), torch.from_numpy(x).requires_grad_(), torch.from_numpy(x).to_sparse()]
    kinds += [torch.full((2, 30), 0.5, dtype=torch.bfloat16)]
    for kind in kinds:
        assert zoo.predict(RECIPE, kind)[0] == first


@pytest.mark.parametrize("inputs", [None, 3, 2.5, [None], [[1.0]], {"a": 1.0}.values(), object()])
def test_inputs_of_other_types_are_one_line(inputs):
    assert "expected" in refusal(lambda: zoo.predict(RECIPE, inputs))


@pytest.mark.parametrize("odd", ODD_VALUES)
def test_a_picture_with_a_pixel_that_is_not_finite_is_one_line(odd, tmp_path):
    pixels = np.full((5, 6), 0.5, np.float32)
    pixels[3, 4] = odd
    path = tmp_path / "a.tif"
    Image.fromarray(pixels).save(path)
    for call in (lambda: read_image(path), lambda: read_photograph(path), lambda: zoo.predict("cnn.mnist", path)):
        assert f"a.tif has a pixel of {odd} in row 4, column 5" in refusal(call)
