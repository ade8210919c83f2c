"""Recurrent classifiers of texts: what they read, and strings in, answers out."""

import pytest
import torch
from conftest import quiet_trainer
from small_texts import small_text, write_texts

import zoo
from datamodules.text.vocabulary import vocabulary_from_json
from zoo.models.recurrent import POOLINGS
from zoo.nn.recurrent import CELLS

SMALL = {"vocab_size": 320, "embedding_dim": 12, "hidden_dim": 10}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_texts(tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="module")
def reader(files):
    """A small classifier fitted on made-up reviews, and its data."""
    data = small_text("sst2", files, batch_size=16)
    args = {key: data.spec[key] for key in ("tokenizer", "class_names", "num_classes", "max_length")}
    model = zoo.create_model("lstm_classifier", **SMALL, **args, lr=1e-2)
    quiet_trainer(max_epochs=8, limit_val_batches=0).fit(model, data)
    return model.eval(), data


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bidirectional", [True, False])
def test_scores_do_not_depend_on_what_fills_up(cell, pooling, bidirectional):
    model = zoo.create_model(
        "lstm_classifier", **SMALL, cell=cell, pooling=pooling, bidirectional=bidirectional, layers=2, num_classes=3
    ).eval()
    ids = torch.randint(1, 320, (5, 8))
    ids[1, 3:], ids[2, 1:], ids[3] = 0, 0, 0
    wider = torch.nn.functional.pad(ids, (0, 6))
    with torch.no_grad():
        scores = model(ids)
        torch.testing.assert_close(model(wider), scores)
        torch.testing.assert_close(model(ids[1:2, :3]), scores[1:2])
    assert scores.isfinite().all()
    assert scores.shape == (5, 3)


def test_strings_are_read_and_answered(reader):
    model, data = reader
    texts, labels = data.text_splits()["test"].texts, data.text_splits()["test"].labels
    answers = model.classify(texts)
    assert {answer.label for answer in answers} == {"negative", "positive"}
    right = [answer.label == data.class_names[label] for answer, label in zip(answers, labels, strict=True)]
    assert sum(right) > 0.9 * len(right)
    assert all(0.5 <= answer.probability <= 1 for answer in answers)
    assert model.classify([texts[0]])[0].label == answers[0].label
    rows = model.predict_rows(texts[:2])
    assert rows[0]["class"] == answers[0].label
    assert model.classify([]) == []


@pytest.mark.parametrize("text", ["", " ", "a" * 100_000, "word " * 10_000, "漢字 🎉 кириллица", "\n\t\x00"])
def test_any_string_is_answered(reader, text):
    [answer] = reader[0].classify([text])
    assert answer.label in ("negative", "positive")
    assert 0.5 <= answer.probability <= 1


@pytest.mark.parametrize(
    ("x", "message"),
    [("a text", "str: expected a list of strings"), ([1, 2], "list: expected a list of strings"), ([None], "list")],
)
def test_no_list_of_strings_is_refused(reader, x, message):
    with pytest.raises(ValueError, match=message):
        reader[0].classify(x)
    with pytest.raises(ValueError, match="no tokenizer"):
        zoo.create_model("lstm_classifier").classify(["a text"])


def test_model_reads_as_its_data_do(reader):
    model, data = reader
    texts = [*data.text_splits()["test"].texts, "", "unseen words, 漢字"]
    ids = vocabulary_from_json(model.hparams["tokenizer"]).encode_padded(texts, 20)
    rows = data.vocabulary.encode(texts)
    assert [row[row != 0].tolist() for row in ids] == [row[:20] for row in rows]
    ends = vocabulary_from_json(model.hparams["tokenizer"]).encode_padded(texts[:2], 6, ends=True)
    assert ends[:, 0].tolist() == [2, 2]
    assert ends[:, -1].tolist() == [3, 3]
    vocabulary = vocabulary_from_json(model.hparams["tokenizer"])
    assert vocabulary.decode(ids.tolist())[0] == data.vocabulary.decode([rows[0][:20]])[0]


def test_word_dropout_hides_words_in_training_alone():
    model = zoo.create_model("lstm_classifier", **SMALL, word_dropout=1.0)
    one, other = torch.randint(4, 320, (3, 6)), torch.randint(4, 320, (3, 6))
    torch.testing.assert_close(model.train()(one), model(other))
    assert not torch.equal(model.eval()(one), model(other))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"pooling": "man"}, "unknown pooling 'man': did you mean mean"),
        ({"cell": "lstn"}, "unknown cell 'lstn'"),
        ({"num_classes": 1}, "num_classes must be at least 2, not 1"),
        ({"vocab_size": 1}, "vocab_size and max_length"),
        ({"hidden_dim": 0}, "hidden_dim must be at least 1"),
    ],
)
def test_wrong_choice_is_refused_in_one_line(args, message):
    with pytest.raises(ValueError, match=message):
        zoo.create_model("lstm_classifier", **args)
