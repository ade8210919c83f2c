"""Requests and tweets: their splits, the class of what is none of the others, and class weights."""

import gzip
import json

import lightning as L
import numpy as np
import pytest
import torch
from small_texts import small_text, write_texts

import datamodules
import zoo
from datamodules.tweets import clean_tweet, tweet_key
from zoo.baselines.intents import scope, scope_scores, tfidf_svm_scope
from zoo.metrics.calibration import choose_rest_threshold


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_texts(tmp_path_factory.mktemp("texts"))


def test_requests_of_the_test_split_are_not_trained_on(files):
    parts = small_text("clinc150", files).text_splits()
    assert {name: len(part.texts) for name, part in parts.items()} == {"train": 128, "val": 48, "test": 48}
    written = json.loads((files / "clinc150" / "data_full.json").read_text())
    assert len(written["train"]) + len(written["oos_train"]) == 129  # one is in the test split, in capitals
    assert small_text("clinc150", files).class_names == ["blame", "praise", "oos"]


def test_gzipped_files_are_read_and_damaged_ones_refused(files, tmp_path):
    for name, path in (("clinc150", "clinc150/data_full.json"), ("davidson2017", "davidson2017/labeled_data.csv")):
        (tmp_path / name).mkdir()
        packed = tmp_path / f"{path}.gz"
        packed.write_bytes(gzip.compress((files / path).read_bytes()))
        data = small_text(name, files)
        data.root = tmp_path
        assert data.sha256() == small_text(name, files).sha256()
        packed.write_bytes(gzip.compress(b"{}"))
        again = small_text(name, files)
        again.root = tmp_path
        with pytest.raises(ValueError, match="wrong checksum, not the published"):
            again.setup()


def test_five_folds_are_every_tweet_once_and_copies_are_together(files):
    tested = []
    for fold in range(5):
        parts = small_text("davidson2017", files, fold=fold, batch_size=8).text_splits()
        assert not {*parts["train"].groups, *parts["val"].groups} & {*parts["test"].groups}
        assert small_text("davidson2017", files, fold="seed", seed=5 + fold).text_splits()["test"] == parts["test"]
        tested += parts["test"].texts
    whole = small_text("davidson2017", files).read_all()
    assert sorted(tested) == sorted(map(clean_tweet, [*whole["train"].texts, *whole["test"].texts]))
    for wrong in (5, -1, "random"):
        with pytest.raises(ValueError, match=f"fold must be from 0 to 4, or 'seed', not {wrong!r}"):
            small_text("davidson2017", files, fold=wrong)


def test_tweets_in_plain_text():
    text = "RT @Someone_1: it&#8217;s &amp;lt;3 http://t.co/Ab1 ok"
    assert clean_tweet(text) == "RT @user it\u2019s <3 http ok"
    assert tweet_key(text) == tweet_key("@other IT&#8217;s 3 ok!") == "it s 3 ok"
    assert tweet_key("@me http://t.co/x") == "@me http://t.co/x"  # no words: a group of its own


# ---- the class of what is none of the others ----


def scores_of(probabilities):
    return torch.tensor(probabilities).log()


def rest_model(**args):
    return zoo.create_model(
        "lstm_classifier", num_classes=3, class_names=["a", "b", "rest"], rest_class="rest", vocab_size=300, **args
    )


def test_below_the_threshold_a_text_is_of_the_rest_class():
    scores = scores_of([[0.5, 0.4, 0.1], [0.7, 0.2, 0.1], [0.2, 0.3, 0.5], [0.61, 0.38, 0.01]])
    probability, classes = rest_model(rest_threshold=0.6).decide(scores)
    assert classes.tolist() == [2, 0, 2, 0]
    assert probability.tolist() == pytest.approx([0.5, 0.7, 0.7, 0.61])
    assert rest_model().decide(scores)[1].tolist() == [0, 0, 2, 0]
    plain = zoo.create_model("lstm_classifier", num_classes=3, vocab_size=300)
    assert plain.decide(scores)[1].tolist() == [0, 0, 2, 0]


def test_the_threshold_costs_few_of_the_correct_answers():
    draw = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 4, (5000,), generator=draw)
    scores = torch.randn(5000, 4, generator=draw) + 2.0 * torch.nn.functional.one_hot(labels, 4)
    probabilities = scores.softmax(1)
    threshold = choose_rest_threshold(probabilities, labels, 3)
    others, best = probabilities[:, :3].max(1)
    correct = (best == labels) & (others >= probabilities[:, 3])
    lost = (correct & (others < threshold)).sum() / correct.sum()
    assert 0.0022 < lost <= 0.003
    assert choose_rest_threshold(probabilities[:0], labels[:0], 3) == 0.0


def test_a_fit_chooses_the_threshold_and_a_checkpoint_keeps_it(files, tmp_path):
    data = small_text("clinc150", files, batch_size=16)
    data.setup()
    model = zoo.create_model("lstm_classifier", **data.spec, rest_class="oos", hidden_dim=16, lr=1e-2)
    trainer = L.Trainer(
        max_epochs=3, logger=False, default_root_dir=tmp_path, enable_progress_bar=False, enable_model_summary=False
    )
    trainer.fit(model, data)
    assert 0 < model.hparams["rest_threshold"] < 1
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    again = type(model).load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True)
    assert again.hparams["rest_threshold"] == model.hparams["rest_threshold"]
    measured = scope(model, data)
    found = trainer.test(model, data, verbose=False)[0]
    inside = 40 / 48
    total = inside * measured["test_in_scope_accuracy"] + (1 - inside) * measured["test_out_of_scope_recall"]
    assert found["test_accuracy"] == pytest.approx(total, abs=1e-6)  # the same decision in test and in classify
    assert set(tfidf_svm_scope(model, data)) == {"test_accuracy", *measured}


def test_scores_in_and_out_of_scope():
    scores = scope_scores(np.array([0, 1, 2, 2, 1]), np.array([0, 0, 1, 2, 2]), 2)
    assert scores == pytest.approx(
        {"test_accuracy": 0.4, "test_in_scope_accuracy": 1 / 3, "test_out_of_scope_recall": 0.5}
    )


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"rest_class": "c", "class_names": ["a", "b"]}, "rest_class 'c' is none of the classes a, b"),
        ({"rest_class": "c"}, "rest_class 'c' is none of the classes"),
        ({"rest_threshold": 2}, r"rest_threshold must be in \[0, 1\], not 2"),
        ({"class_weights": [1.0]}, r"class_weights must be 2 positive numbers, one a class, not \[1.0\]"),
        ({"class_weights": [1.0, 0.0]}, "class_weights must be 2 positive numbers"),
    ],
)
def test_wrong_arguments_are_refused(args, message):
    with pytest.raises(ValueError, match=message):
        zoo.create_model("lstm_classifier", num_classes=2, vocab_size=300, **args)


def test_class_weights_weigh_the_training_loss_alone():
    model = zoo.create_model("lstm_classifier", num_classes=2, vocab_size=300, class_weights=[1.0, 3.0])
    scores, y = torch.tensor([[2.0, 0.0], [2.0, 0.0]]), torch.tensor([0, 1])
    each = torch.nn.functional.cross_entropy(scores, y, reduction="none")
    assert model.loss(scores, y) == pytest.approx(float((each[0] + 3 * each[1]) / 4))
    model.eval()
    assert model.loss(scores, y) == pytest.approx(float(each.mean()))


def test_the_sets_are_registered():
    assert {"clinc150", "davidson2017"} <= set(datamodules.list_datamodules())
