"""Tables of labelled texts as people have them: encodings, delimiters, formats, labels, a test file, what is said."""

import gzip
import json

import pytest
import torch

import zoo
from datamodules import create_datamodule
from datamodules.table_files import read_table
from datamodules.text.labels import look_alikes, read_labelled
from datamodules.text.reading import TextReader
from zoo.cli import main
from zoo.metrics import ClassScores, class_table

TEXTS = ['say "no", twice', "café; naïve", "two\nlines", "a | bar\tand a tab", "line\u2028separator", "שלום", "😀"]
ROWS = [(text, "ab"[k % 2]) for k, text in enumerate(TEXTS)]


def as_text(rows, delimiter, newline="\n", columns=("text", "label")):
    cells = [columns, *rows]
    return newline.join(delimiter.join('"' + cell.replace('"', '""') + '"' for cell in row) for row in cells) + newline


def refusal(call):
    with pytest.raises((ValueError, OSError, ModuleNotFoundError)) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("ending", [".csv", ".tsv"])
@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("before", ["", "\n\n", "sep"])
def test_every_delimiter_and_encoding_is_read(ending, delimiter, encoding, before, tmp_path):
    path = tmp_path / f"a{ending}"
    before = f"sep={delimiter}\n" if before == "sep" else before
    path.write_bytes((before + as_text(ROWS, delimiter)).encode(encoding))
    assert [row[1:] for row in read_labelled(path, "text", "label").rows] == ROWS
    path.with_suffix(".gz").write_bytes(gzip.compress(path.read_bytes()))
    assert [row[1:] for row in read_labelled(path.with_suffix(".gz"), "text", "label").rows] == ROWS


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_line_ends_between_and_inside_rows(newline, tmp_path):
    path = tmp_path / "a.csv"
    rows = [(f"one{newline}two", "a"), ("three", "b")]
    path.write_bytes(as_text(rows, ",", newline).encode())
    assert [row[1:] for row in read_labelled(path, "text", "label").rows] == rows
    path.write_bytes(b"text\tlabel\none\rtwo\ta\n")
    assert read_labelled(path, "text", "label").rows == [(2, "one\rtwo", "a")]


def test_json_lines_and_lists(tmp_path):
    rows = [{"text": text, "label": k} for k, text in enumerate(TEXTS)]
    for name, content in (
        ("a.jsonl", "\n".join(json.dumps(row) for row in rows)),
        ("a.json", json.dumps(rows, indent=1)),
        ("a.txt", "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)),
    ):
        (tmp_path / name).write_text(content)
        found = read_labelled(tmp_path / name, "text", "label").rows
        assert [row[1:] for row in found] == [(text, str(k)) for k, text in enumerate(TEXTS)]
    (tmp_path / "a.jsonl").write_text('{"text": "a", "label": 1}\n{"text": \n')
    assert "line 2: not JSON" in refusal(lambda: read_table(tmp_path / "a.jsonl"))


def test_workbooks_and_parquet_files(tmp_path):
    openpyxl, pyarrow = pytest.importorskip("openpyxl"), pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    book = openpyxl.Workbook()
    book.active.append(["text", "label", "n"])
    for row, (text, _) in enumerate(ROWS):
        book.active.append([text, row % 2, 1.5])
    book.active.append([None, None, None])
    book.active.append([12, True, None])
    book.create_sheet("notes").append(["nothing"])
    book.save(tmp_path / "a.xlsx")
    columns = {"text": [*TEXTS, "12"], "label": [*(row % 2 for row in range(len(TEXTS))), None]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    expected = [(text, str(row % 2)) for row, text in enumerate(TEXTS)]
    found = read_labelled(tmp_path / "a.xlsx", "text", "label")
    assert [row[1:] for row in found.rows] == [*expected, ("12", "true")]
    assert read_table(tmp_path / "a.xlsx").kind == "Excel, sheet Sheet, the first of 2 sheets"
    assert [row[1:] for row in read_labelled(tmp_path / "a.parquet", "text", "label").rows] == expected
    for name in ("a.xlsx", "a.parquet"):
        content = (tmp_path / name).read_bytes()
        for cut in (len(content) // 2, len(content) - 30):
            (tmp_path / f"cut-{name}").write_bytes(content[:cut])
            assert name in refusal(lambda name=name: read_table(tmp_path / f"cut-{name}"))
        disguised = tmp_path / f"{name}.csv"
        disguised.write_bytes(content)
        assert read_table(disguised).rows == read_table(tmp_path / name).rows


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("text,label\ncafé,a\n".encode("cp1252"), "line 2: not UTF-8 text (byte 0xe9); it may be cp1252"),
        ("text,label\ncafe,a\n".encode("utf-16-le"), "it may be utf-16-le"),
        (b"PK\x03\x04rest", "cannot be unpacked"),
        (b"\xd0\xcf\x11\xe0rest", "old Excel workbook"),
        (b"\x1f\x8b\x08\x00rest", "cannot be unpacked"),
        pytest.param(gzip.compress(b" " * 2**27), "unpacks to more than 200 times its size", marks=pytest.mark.slow),
        (b"text,label\n", "has no row below its header line"),
        (b"text,text,label\na,b,c\n", "has 2 columns 'text'"),
        (b"txet,label\na,b\n", "did you mean txet?"),
        (b"text,label\nHello, you,a\nb,a\n", "row 2: 3 columns, expected 2"),
        (b'text,label\n"one,a\ntwo,b\nthree,a\nfour",b\nfive,a\n', "look like rows"),
        (b"text,label\nNaN,a\n ,b\nx,\n", "has no row with a text and a label"),
    ],
)
def test_what_is_no_table_is_one_line(content, words, tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    line = refusal(lambda: read_labelled(path, "text", "label"))
    assert words in line
    assert str(path) in line


def test_encoding_and_delimiter_are_taken_from_arguments(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("text^label\ncafé^a\n".encode("cp1252"))
    assert read_labelled(path, "text", "label", "cp1252", "^").rows == [(2, "café", "a")]
    assert "unknown encoding 'cp-1'" in refusal(lambda: read_labelled(path, "text", "label", "cp-1"))


def test_labels_that_look_alike():
    assert look_alikes(dict.fromkeys(["a", "b", "1", "2"], 1)) == []
    for pair in (["1", "1.0"], ["Spam", "spam"], ["\xe9", "e\u0301"], ["a", "a\u200b"], ["a b", "a\xa0b"]):
        assert look_alikes(dict.fromkeys([*pair, "other"], 1)) == [pair]


def sentences(n):
    return [(f"{['good', 'bad'][k % 2]} text number {k}", "ab"[k % 2]) for k in range(n)]


@pytest.mark.slow
def test_what_was_read_is_said_and_a_test_file_is_kept_apart(tmp_path):
    rows = sentences(60)
    (tmp_path / "a.csv").write_text(as_text([*rows, rows[0], ("", "a"), ("x", "")], ";"))
    (tmp_path / "b.csv").write_text(as_text([*rows[:4], ("new good text", "a")], ","))
    data = create_datamodule("text_table", root=str(tmp_path / "a.csv"), test=str(tmp_path / "b.csv"), batch_size=4)
    said = data.describe()
    for words in ("CSV, semicolon, UTF-8, 61 rows", "1 duplicate rows dropped", "1 rows without a text left out"):
        assert words in said
    assert "4 texts are in the test file too and not trained on" in said
    parts = data.text_splits()
    assert len(parts["train"].texts + parts["val"].texts) == 56
    assert len(parts["test"].texts) == 5
    assert not set(parts["test"].texts) & set(parts["train"].texts + parts["val"].texts)
    (tmp_path / "b.csv").write_text(as_text([("new", "c")], ","))
    other = create_datamodule("text_table", root=str(tmp_path / "a.csv"), test=str(tmp_path / "b.csv"))
    assert "row 2: unknown label 'c'" in refusal(other.read_all)


def test_all_rare_labels_are_named(tmp_path):
    (tmp_path / "a.csv").write_text(as_text([*sentences(20), ("u", "one"), ("v", "two")], ","))
    line = refusal(create_datamodule("text_table", root=str(tmp_path / "a.csv")).setup)
    assert "'one' (1), 'two' (1)" in line
    (tmp_path / "a.csv").write_text(as_text([(text, "a") for text, _ in sentences(20)], ","))
    assert "one label, 'a'" in refusal(create_datamodule("text_table", root=str(tmp_path / "a.csv")).setup)


def test_scores_of_classes_are_those_of_scikit_learn():
    from sklearn.metrics import f1_score

    true, predicted = torch.randint(0, 4, (2, 200))
    scores = ClassScores(5)
    scores.update(predicted, true)
    assert float(scores.compute()["macro_f1"]) == pytest.approx(f1_score(true, predicted, average="macro"))
    table = class_table(scores.confmat, list("abcde"))
    assert "no test row" in table.splitlines()[-2]
    assert len(class_table(torch.eye(151, dtype=torch.long), [str(k) for k in range(151)]).splitlines()) == 16


ODD = [
    "",
    " ",
    "\u200b",
    "\ufeff\u2060",
    "a" * 20_000,
    "word " * 5_000,
    "漢字かな",
    "שלום עולם",
    "مرحبا",
    "😀👍🏽",
    "GREAT FILM!",
    "\r",
    "\x0c",
    "\ud83d",
]
"""Texts as people have them: empty, long, in other scripts, from right to left, in capitals."""


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A recipe of a user's own, fitted for an epoch on a table with odd texts, in its folder."""
    folder = tmp_path_factory.mktemp("odd")
    odd = [text for text in ODD if text.strip() and "\r" not in text and text != "\ud83d"]
    rows = [*sentences(40), *[(f"{text}{k}", "ab"[k % 2]) for k, text in enumerate(odd)]]
    (folder / "a.csv").write_text(as_text(rows, ",", columns=("body", "kind")), encoding="utf-8")
    (folder / "own.yaml").write_text(
        "model: {name: lstm_classifier, args: {embedding_dim: 8, hidden_dim: 8}}\n"
        "data: {name: text_table, args: {root: a.csv, text: body, label: kind, batch_size: 8}}\n"
        "trainer: {max_epochs: 1, enable_progress_bar: false, enable_model_summary: false}\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["fit", "own.yaml"]) == 0
    return folder


@pytest.mark.slow
def test_odd_texts_are_answered_line_by_line(fitted, monkeypatch, capfd):
    monkeypatch.chdir(fitted)
    lines = [text for text in ODD if text != "\ud83d" and "\r" not in text] + ["a\rb", "a\u2028b", "a\x85b\x0cc"]
    (fitted / "in.txt").write_bytes("\n".join(lines).encode() + b"\n")
    assert main(["predict", "own.yaml", "in.txt", "--ckpt_path", "best", "--output", "out.json"]) == 0
    answers = json.loads((fitted / "out.json").read_text())
    assert [row["text"] for row in answers] == lines
    empty = [row["class"] is None for row in answers]
    assert empty == [not text.strip(" \u200b\ufeff\u2060\x0c") for text in lines]
    assert all((row["probability"] is None) == (row["class"] is None) for row in answers)
    assert main(["predict", "own.yaml", "  ", "good film", "--ckpt_path", "best"]) == 0
    assert "-  -" in capfd.readouterr().out.splitlines()[-2]


@pytest.mark.slow
def test_the_texts_of_a_table_are_answered(fitted, monkeypatch, capfd):
    monkeypatch.chdir(fitted)
    (fitted / "new.csv").write_text('kind;body\na;"one; two"\nb;"three\nfour"\n')
    assert main(["predict", "own.yaml", "new.csv", "--ckpt_path", "best", "--output", "out.csv"]) == 0
    rows = read_table(fitted / "out.csv").rows
    assert [cells[1] for _, cells in rows] == ["one; two", "three\nfour"]
    (fitted / "other.csv").write_text("id,bdy\n1,x\n")
    assert main(["predict", "own.yaml", "other.csv", "--ckpt_path", "best"]) == 2
    line = capfd.readouterr().err
    assert "has no column 'body'" in line
    assert "--column" in line
    options = ["--ckpt_path", "best", "--output", "other.json"]
    assert main(["predict", "own.yaml", "other.csv", "--column", "bdy", *options]) == 0
    assert [row["text"] for row in json.loads((fitted / "other.json").read_text())] == ["x"]
    (fitted / "other.json").unlink()
    for column, source, words in (
        ("id2", "other.csv", "has no column 'id2'"),
        ("bdy", "a text", "is no file of a table"),
    ):
        assert main(["predict", "own.yaml", source, "--column", column, *options]) == 2
        assert words in capfd.readouterr().err
        assert not (fitted / "other.json").exists()


def test_a_column_is_for_tables_of_texts(tmp_path):
    (tmp_path / "a.csv").write_text("said;by\nWe like dogs.;Ann\n")
    reader = TextReader()
    assert reader.read(str(tmp_path / "a.csv"), "said") == ["We like dogs."]
    with pytest.raises(ValueError, match="column is for tables of texts, which MLP does not take"):
        zoo.predict(zoo.create_model("mlp"), torch.zeros(1, 784), column="a")
    with pytest.raises(ValueError, match="fs is for recordings, which MLP does not take"):
        zoo.predict(zoo.create_model("mlp"), torch.zeros(1, 784), fs=1.0)


@pytest.mark.slow
def test_a_fit_says_what_it_read_and_ends_with_each_class(fitted, monkeypatch, capfd):
    monkeypatch.chdir(fitted)
    assert main(["fit", "own.yaml"]) == 0
    out = capfd.readouterr().out
    for words in ("a.csv: CSV, comma, UTF-8", "2 classes: 'a'", "vocabulary:", "precision  recall", "macro-F1"):
        assert words in out
