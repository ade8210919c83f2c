"""Questions to SQL: tokens of queries, values found in a database, splits, execution and what a model writes."""

import time

import pytest
import torch
from conftest import quiet_trainer
from small_texts import STATES, small_text, write_texts

import zoo
from datamodules.text.entity_masks import NAMES
from datamodules.text.sql import DatabaseValues, join_sql, normalize_sql, sql_tokens
from datamodules.text.vocabulary import END, UNKNOWN, Vocabulary
from datamodules.text2sql import fill_variables
from zoo.baselines import measure
from zoo.baselines.sql import is_ordered, read_only, run_query, same_answer, score_queries
from zoo.nn.decoding_constraints import CopiedSymbols

QUERIES = (
    'SELECT MAX( A.X ) FROM T AS A WHERE A.Y = "new york" AND A.Z >= 1.5 ;',
    "SELECT COUNT(*) FROM T WHERE T.NAME <> 'it''s' OR T.N != -2",
    'SELECT A.X FROM T AS A WHERE A.Y = "" ORDER BY A.X LIMIT 1',
)
VALUES = {
    "state_name": ["texas", "new york", "mississippi", "maine"],
    "border": ["texas", "maine"],
    "city_name": ["new york", "york"],
    "river_name": ["mississippi", "red"],
    "lowest_point": ["red river", "st. john's"],
    "elevation": ["139", "-1"],
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_texts(tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="module")
def fitted(files):
    """A small model fitted on questions, and its data."""
    torch.manual_seed(0)
    data = small_text("geoquery", files, batch_size=10)
    sizes = {"embedding_dim": 32, "hidden_dim": 48, "layers": 1}
    model = zoo.create_model("lstm_seq2seq", **sizes, **data.spec, lr=1e-2, schedule="onecycle", clip_norm=1.0)
    quiet_trainer(max_epochs=40, limit_val_batches=0).fit(model, data)
    return model.eval(), data


# ---- tokens ----


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_is_its_tokens(query):
    joined = join_sql(sql_tokens(query))
    assert sql_tokens(joined) == sql_tokens(query)
    assert normalize_sql(joined) == normalize_sql(query)


def test_names_quotes_and_words_of_strings_are_tokens():
    assert sql_tokens('A.X = "new york"') == ["A.", "X", "=", '"', "new", "york", '"']
    assert join_sql(["A.", "X", "=", '"', "new", "york", '"']) == 'A.X = "new york"'
    assert join_sql(["A.", "X", "=", '"', "new"]) == 'A.X = " new'  # an unfinished query
    assert sql_tokens("t.n<=1.5*2") == ["t.", "n", "<=", "1.5", "*", "2"]


def test_case_matters_inside_of_strings_only():
    assert normalize_sql("select x from t ;") == normalize_sql("SELECT  X FROM T")
    assert normalize_sql("SELECT x = 'a'") == normalize_sql('SELECT x = "a"') != normalize_sql("SELECT x = 'A'")


# ---- values ----


def test_values_are_replaced_by_columns_and_symbols():
    values = DatabaseValues.of_columns(VALUES)
    assert values.columns == ["city_name", "lowest_point", "river_name", "state_name"]  # border refers to state_name
    question, found = values.mask("Does the Mississippi River reach NEW YORK, or Texas? Texas!")
    words = ["does the river_name state_name", NAMES[0], "river reach city_name state_name", NAMES[1], "or state_name"]
    assert question == " ".join([*words, NAMES[2], "state_name", NAMES[2]])
    assert list(found.values()) == ["mississippi", "new york", "texas"]
    assert values.mask("the red river")[0] == f"the river_name {NAMES[0]} river"  # not the lowest point
    assert values.mask("St. Johns is not St. John's")[1] == {NAMES[0]: "st. john's"}
    assert values.mask("139 -1 ?") == ("139 1", {})
    assert values.mask("").text == values.mask("?!").text == ""


def test_values_come_back_into_the_query():
    values = DatabaseValues.of_columns(VALUES)
    _, found = values.mask("new york or texas")
    query = normalize_sql('SELECT A.X FROM T AS A WHERE A.Y = "New York" OR A.Y = "texas" OR A.Y = "utah"')
    masked = values.mask_sql(query, found)
    assert masked.endswith(f'= " {NAMES[0]} " OR A. Y = " {NAMES[1]} " OR A. Y = " utah "')
    assert normalize_sql(values.unmask(masked, found)) == query.replace("New York", "new york")


def test_more_values_than_symbols_stay_words():
    values = DatabaseValues.of_columns({"name": [f"value{letter}" for letter in "abcdefghijklm"]})
    question, found = values.mask(" ".join(f"value{letter}" for letter in "abcdefghijklm"))
    assert len(found) == len(NAMES)
    assert question.endswith("valuek valuel valuem")


def test_values_are_serialised(files):
    values = DatabaseValues.of_database(files / "text2sql" / "geography-db.added-in-2020.sqlite")
    assert DatabaseValues(values.json).mask("ohio")[0] == f"river_name state_name {NAMES[0]}"
    assert "red river" not in values.json
    for damaged in ("", "[]", "{", '{"a": 1}', "3"):
        with pytest.raises(ValueError, match="not serialised values of a database"):
            DatabaseValues(damaged)
    with pytest.raises(ValueError, match="not an SQLite database"):
        DatabaseValues.of_database(files / "text2sql" / "geography.json")


def test_symbols_may_be_repeated_or_missing_but_not_invented():
    source = torch.tensor([[2, 10, 3], [2, 5, 3]])
    adjust = CopiedSymbols(source, [10, 11], END, penalty=0.0, once=False)
    adjusted = adjust(torch.tensor([[10], [7]]), torch.zeros(2, 12))
    assert torch.isinf(adjusted).nonzero().tolist() == [[0, 11], [1, 10], [1, 11]]
    assert adjusted[:, END].tolist() == [0, 0]


def test_vocabulary_of_words():
    vocabulary = Vocabulary.of_words(["what", "A.", '"', "<s>", NAMES[0]])
    assert len(vocabulary) == 8
    [ids] = vocabulary.encode([f'what "  A. else {NAMES[0]}'])
    assert ids[3] == UNKNOWN
    assert vocabulary.decode([ids]) == [f'what " A. {NAMES[0]}']
    assert Vocabulary(vocabulary.json).encode(["what A."]) == vocabulary.encode(["what A."])
    with pytest.raises(ValueError, match="texts are empty"):
        Vocabulary.of_words([])


# ---- data ----


def test_variables_are_whole_words():
    assert fill_variables('x "a1" a10 a1', {"a1": "y", "a10": "z"}) == 'x "y" z y'


@pytest.mark.parametrize("split", ["question", "query"])
def test_splits_are_the_official_ones_and_disjoint(split, files):
    parts = small_text("geoquery", files, split=split).text_splits()
    questions = {name: {each.text for each in rows} for name, rows in parts.items()}
    forms = {name: {each.template for each in rows} for name, rows in parts.items()}
    assert [len(parts[name]) for name in ("train", "val", "test")] == (
        [60, 20, 20] if split == "question" else [50, 25, 25]
    )
    assert sum(map(len, questions.values())) == len(set.union(*questions.values())) == 100
    shared = forms["train"] & forms["test"]
    assert len(shared) == (4 if split == "question" else 0)
    assert all("state_name0" not in each.text + each.sql for rows in parts.values() for each in rows)


def test_a_question_of_the_test_split_is_dropped_from_training(files):
    data = small_text("geoquery", files)
    rows = data.read_all()
    repeated = rows["test"][0]._replace(text=rows["test"][0].text.upper() + " ?")
    data.read_all = lambda: {**rows, "train": [repeated, *rows["train"]]}
    assert repeated not in data.text_splits()["train"]
    assert len(data.text_splits()["train"]) == 60


def test_rows_are_what_the_text_says(files):
    data = small_text("geoquery", files)
    data.setup()
    src, src_len, tgt, tgt_len = data.decode_batch(data.splits["train"].tensors)
    texts, queries = data.masked("train")
    assert data.vocabulary.decode(src.tolist()) == texts
    assert data.vocabulary.decode(tgt.tolist()) == queries
    assert torch.equal((src != 0).sum(1), src_len)
    assert torch.equal((tgt != 0).sum(1), tgt_len)
    assert not any(state in text for text in texts for state in STATES)
    assert all(NAMES[0] in query for query in queries)


def test_wrong_arguments_and_files_are_refused(files, monkeypatch):
    with pytest.raises(ValueError, match="unknown split 'querry': did you mean query"):
        small_text("geoquery", files, split="querry")
    with pytest.raises(ValueError, match="has a validation split of its own"):
        small_text("geoquery", files, val_size=3)
    monkeypatch.setattr("datamodules.text2sql.fetch", lambda urls, known, path: path)  # which would download it anew
    for name in ("file", "database"):
        data = small_text("geoquery", files)
        setattr(data, f"sha256_{name}", "0" * 64)
        with pytest.raises(ValueError, match="wrong checksum, not the published geography"):
            data.setup()


# ---- execution ----


def test_only_reading_is_allowed(files, tmp_path):
    path = small_text("geoquery", files).database
    before = path.read_bytes()
    with read_only(path) as connection:
        assert run_query(connection, 'SELECT capital FROM state WHERE state_name = "new york" ;') == [("albany",)]
        assert run_query(connection, 'SELECT "capital" FROM state LIMIT 1') == [("capital",)]  # a string, not a name
        for query in (
            "DROP TABLE state",
            "INSERT INTO state VALUES (1, 2, 3, 4)",
            f"ATTACH DATABASE '{tmp_path / 'new'}' AS other",
            "PRAGMA table_info(state)",
            "CREATE TEMP TABLE x (y int)",
            f"VACUUM INTO '{tmp_path / 'copy'}'",
            "SELECT load_extension('x')",
            "SELECT 1 ; SELECT 2",
            "SELECT",
            "",
            "\x00",
            "SELECT no_such FROM state",
        ):
            assert not run_query(connection, query), query
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == []


def test_a_query_without_end_is_stopped(files):
    with read_only(small_text("geoquery", files).database) as connection:
        start = time.monotonic()
        endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n"
        assert run_query(connection, endless, seconds=0.2) is None
        assert time.monotonic() - start < 5
        assert run_query(connection, endless.replace("COUNT(*)", "i")) is None  # too many rows
        assert run_query(connection, "SELECT 1.0") == [(1,)]


def test_results_are_multisets_unless_ordered():
    assert same_answer([(1,), (2,)], [(2,), (1,)], ordered=False)
    assert not same_answer([(1,), (2,)], [(2,), (1,)], ordered=True)
    assert not same_answer([(1,), (1,)], [(1,)], ordered=False)
    assert not same_answer(None, None, ordered=False)
    assert is_ordered("SELECT x FROM t ORDER BY x LIMIT 1")
    assert not is_ordered('SELECT x FROM (SELECT y FROM t ORDER BY y) WHERE x = "order by"')


def test_scores_of_queries(files):
    data = small_text("geoquery", files)
    ohio = "SELECT population FROM state WHERE state_name = 'ohio'"
    nothing, damaged = ohio.replace("ohio", "atlantis"), "SELECT x = ALL ( SELECT"
    annotated = [ohio, ohio, ohio, nothing, damaged]
    found = [ohio.lower(), "SELECT 200", damaged, "SELECT 1 FROM state WHERE 0", damaged]
    scores = score_queries(found, annotated, data.database)
    expected = {"execution": 0.8, "exact": 0.4, "execution_answered": 2 / 3, "execution_empty": 1.0}
    expected |= {"empty_share": 0.4, "failed": 0.4}
    assert scores == pytest.approx({f"test_{name}": value for name, value in expected.items()})


def test_nearest_question(files):
    data = small_text("geoquery", files)
    names = ("nearest_question", "nearest_question_with_values")
    plain, filled = (measure("baseline", name, None, data).metrics for name in names)
    assert plain["test_exact"] + 0.2 < filled["test_exact"]  # the form is known, the state is another


# ---- the model ----


def test_a_fitted_model_writes_queries(fitted):
    model, data = fitted
    scores = measure("measure", "execution", model, data).metrics
    assert scores["test_exact"] >= 0.9
    [query] = model.translate(["What is the capital of New York?"])
    assert query == 'SELECT STATEalias0.CAPITAL FROM STATE AS STATEalias0 WHERE STATEalias0.STATE_NAME = "new york" ;'
    [row] = model.predict_rows(["how many people live in utah"])
    assert "POPULATION" in row["translation"]
    assert '"utah"' in row["translation"]
    assert 0.5 < row["confidence"] <= 1


@pytest.mark.parametrize("text", ["", " ? ", "<s> </s> <pad>", "x " * 5_000, "ohio " * 500, NAMES[0], "漢字\ud800\x00"])
def test_any_string_is_answered(fitted, text):
    [answer, plain] = fitted[0].translate([text, "how large is texas"])
    assert isinstance(answer, str)
    assert plain == fitted[0].translate(["how large is texas"])[0]


def test_a_model_carries_its_values(fitted, files, tmp_path):
    model, _ = fitted
    trainer = quiet_trainer(max_epochs=0)
    trainer.strategy.connect(model)
    trainer.save_checkpoint(tmp_path / "own.ckpt")
    again = type(model).load_from_checkpoint(tmp_path / "own.ckpt", weights_only=True)
    question = ["say what is the capital of salt lake city"]
    assert again.translate(question) == model.translate(question)
    other = small_text("geoquery", files, split="query", max_length=40)
    other.setup()
    other.adopt(model.hparams)
    assert other.spec == {key: model.hparams[key] for key in other.spec}


def test_sentences_are_translated_as_before():
    model = zoo.create_model("lstm_seq2seq")
    assert model.hparams["database_values"] is None
    assert model.whole_masks is None
