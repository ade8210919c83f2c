"""Several topics a text: the datamodule, the loss, the threshold chosen in validation, and the answers."""

import numpy as np
import pytest
import torch
from conftest import quiet_trainer
from sklearn.metrics import f1_score
from small_texts import reuters_document, small_text, write_documents

import zoo
from datamodules.reuters import SGML_FILES
from zoo.baselines import BASELINES
from zoo.baselines.topics import choose_thresholds, topic_scores, topic_thresholds
from zoo.metrics import LabelScores, best_threshold
from zoo.nn.word_vectors import latent_word_vectors
from zoo.prediction.rows import format_row, write_answers
from zoo.tasks import Topics
from zoo.training.monitor import check_monitor, logged_names

SMALL = {"embedding_dim": 16, "hidden_dim": 16}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    root = tmp_path_factory.mktemp("topics")
    write_documents(root)
    return root


@pytest.fixture(scope="module")
def fitted(files):
    """A small model fitted on made-up documents, its data and its trainer."""
    data = small_text("reuters_topics", files, batch_size=16)
    model = zoo.create_model("lstm_classifier", **data.spec, **SMALL, lr=2e-2)
    trainer = quiet_trainer(max_epochs=15)
    trainer.fit(model, data)
    return model, data, trainer


def test_topics_have_a_document_in_both_splits(files):
    data = small_text("reuters_topics", files)
    data.setup()
    assert data.class_names == ["blame", "oil", "praise"]  # not rare, which no test document has
    x, y = data.splits["test"].tensors
    assert (y.shape, y.dtype, len(x)) == ((96, 3), torch.uint8, 96)
    assert y[:8].tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 1, 1], [1, 1, 0], [0, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert sum(len(data.splits[part].groups) for part in ("train", "val")) == 256
    assert data.spec["multi_label"] is True
    text = data.text_splits()["test"].texts[0]
    assert " 16.0 " in text
    assert "PARIS" not in text
    assert "  " not in text


def test_copies_of_test_documents_are_dropped_and_others_stay_together(tmp_path):
    write_documents(tmp_path)
    folder = tmp_path / "reuters21578"
    copied = [
        reuters_document("TRAIN", ["oil"], "twice", "the  same"),
        reuters_document("TRAIN", [], "Twice", "the same"),
    ]
    again = [reuters_document(split, ["oil"], "late", "in both") for split in ("TRAIN", "TEST")]
    path = folder / SGML_FILES[0]
    path.write_text(path.read_text(encoding="latin-1") + "".join(copied + again), encoding="latin-1")
    for seed in range(4):
        parts = small_text("reuters_topics", tmp_path, seed=seed).text_splits()
        keys = {part: {text.lower() for text in parts[part].texts} for part in parts}
        assert not keys["train"] & keys["test"]
        assert not keys["train"] & keys["val"]
        assert sum(len(parts[part].texts) for part in ("train", "val")) == 258
        assert 40 <= len(parts["val"].texts) <= 41
        assert len(parts["test"].texts) == 97


def test_validation_size_out_of_range_is_named(files):
    with pytest.raises(ValueError, match="val_size=256 does not fit: choose from 1 to 255 documents"):
        small_text("reuters_topics", files, val_size=256).setup()


def test_labels_follow_the_order_of_the_model(files):
    data, other = (small_text("reuters_topics", files) for _ in range(2))
    data.setup()
    other.adopt({"class_names": ["praise", "gold", "oil", "blame"]})
    other.setup()
    y, moved = data.splits["test"].tensors[1], other.splits["test"].tensors[1]
    assert torch.equal(moved[:, [3, 2, 0]], y)
    assert not moved[:, 1].any()


def test_loss_is_the_sum_over_topics_of_the_binary_cross_entropy():
    model = zoo.create_model("lstm_classifier", **SMALL, num_classes=3, multi_label=True)
    scores, y = torch.randn(5, 3), torch.randint(0, 2, (5, 3), dtype=torch.uint8)
    p = scores.sigmoid()
    expected = -torch.where(y == 1, p, 1 - p).log().sum(1).mean()
    torch.testing.assert_close(model.loss(scores, y), expected)
    torch.testing.assert_close(model.probabilities(scores), p)
    assert model.monitor == "val_micro_f1"
    assert model.mode == "max"
    assert zoo.create_model("lstm_classifier", **SMALL).monitor == "val_accuracy"
    many = zoo.create_model("lstm_classifier", **SMALL, num_classes=90, multi_label=True).eval()
    with torch.no_grad():  # before it is trained
        torch.testing.assert_close(
            many.probabilities(many(torch.ones(1, 4).long())).sum().item(), 1.0, rtol=0.3, atol=0
        )


def test_an_adjusted_loss_adds_the_logarithm_of_the_share_of_a_topic():
    shares = {"num_classes": 3, "multi_label": True, "class_shares": [0.5, 0.1, 0.01]}
    plain, adjusted = (zoo.create_model("lstm_classifier", **SMALL, **shares, logit_adjustment=tau) for tau in (0, 0.3))
    scores, y = torch.randn(5, 3), torch.randint(0, 2, (5, 3), dtype=torch.uint8)
    moved = scores + 0.3 * torch.tensor(shares["class_shares"]).log()
    torch.testing.assert_close(adjusted.loss(scores, y), plain.loss(moved, y))
    torch.testing.assert_close(adjusted.probabilities(scores), scores.sigmoid())


def test_shares_of_topics_are_those_of_training(files):
    data = small_text("reuters_topics", files)
    data.prepare_data()
    data.setup()
    y = data.splits["train"].tensors[1].double()
    assert data.spec["class_shares"] == pytest.approx(((y.sum(0) + 1) / (len(y) + 1)).tolist(), abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_the_threshold_is_the_best_of_all(seed):
    draw = np.random.default_rng(seed)
    true = draw.random((40, 4)) < 0.3
    scores = np.round(true * 0.3 + draw.random((40, 4)) * 0.6, 2)
    found = best_threshold(torch.tensor(scores), torch.tensor(true))
    value = f1_score(true, scores > found, average="micro")
    assert value == max(f1_score(true, scores > each, average="micro") for each in np.arange(-0.005, 1, 0.01))
    metric = LabelScores(chooses=True)
    for half in (slice(0, 15), slice(15, 40)):
        metric.update(torch.tensor(scores[half]), torch.tensor(true[half]).byte())
    result = metric.compute()
    assert float(result["micro_f1"]) == pytest.approx(value, abs=1e-6)
    assert float(result["macro_f1"]) == pytest.approx(f1_score(true, scores > found, average="macro"), abs=1e-6)
    assert float(result["exact"]) == pytest.approx(((scores > found) == true).all(1).mean(), abs=1e-6)


def test_little_to_choose_by_leaves_the_threshold():
    labels = torch.zeros(30, 2).index_fill(0, torch.arange(4), 1)
    assert best_threshold(torch.rand(30, 2), labels) == 0.5
    assert best_threshold(torch.rand(30, 2), labels, default=0.0) == 0.0
    assert best_threshold(torch.full((30, 2), torch.nan), torch.ones(30, 2)) == 0.5
    assert best_threshold(torch.full((30, 2), 0.3), torch.ones(30, 2)) == 0.5


def test_topics_are_learned_and_the_threshold_comes_from_validation(fitted, tmp_path):
    model, data, trainer = fitted
    check_monitor(model, data)
    assert {"val_micro_f1", "val_macro_f1"} < {f"val_{each}" for each in logged_names(model, data)}
    threshold = model.hparams["threshold"]
    assert 0 < threshold < 1
    assert threshold != 0.5
    found = quiet_trainer().test(model, data, verbose=False)[0]
    assert found.keys() == {"test_loss", "test_micro_f1", "test_macro_f1", "test_exact"}
    assert min(found["test_micro_f1"], found["test_macro_f1"]) > 0.9
    assert model.hparams["threshold"] == threshold  # the test chooses nothing
    assert model.hparams["temperature"] == 1
    trainer.save_checkpoint(tmp_path / "own.ckpt")
    again = type(model).load_from_checkpoint(tmp_path / "own.ckpt", weights_only=True)
    assert again.hparams["threshold"] == threshold


def test_answers_are_the_topics_of_a_text(fitted):
    model, data, _ = fitted
    texts = ["lovely moving warm film", "crude barrel opec dull awful tedious", "camera script music story", " "]
    one, two, none = model.classify(texts[:3])
    assert isinstance(one, Topics)
    assert (one.labels, sorted(two.labels), none) == (["praise"], ["blame", "oil"], Topics([], []))
    assert two.probabilities == sorted(two.probabilities, reverse=True)
    rows = model.predict_rows(texts)
    assert rows[1] == {"text": texts[1], "topics": two.labels, "probabilities": two.probabilities}
    assert rows[3] == {"text": " ", "topics": None, "probabilities": None}
    answers = zoo.predict(model, texts[1], data=data)
    assert answers[0]["topics"] == two.labels
    ids = model.ids(texts[:1])
    assert model.predict_rows(ids)[0]["topics"] == ["praise"]


def test_answers_are_printed_and_written(tmp_path):
    rows = [
        {"input": "a", "topics": ["earn", "acq"], "probabilities": [0.9, 0.75]},
        {"input": "b", "topics": [], "probabilities": []},
        {"input": "c", "topics": None, "probabilities": None},
    ]
    assert [" ".join(format_row(row).split()) for row in rows] == ["topics: earn, acq 0.9 0.75", "topics: none", "- -"]
    write_answers(str(tmp_path / "found.csv"), rows, {})
    lines = (tmp_path / "found.csv").read_text().splitlines()
    assert lines[0].startswith("input,topics,probabilities_0,probabilities_1")
    assert lines[1].startswith('a,"earn, acq",0.9,0.75')
    assert lines[2].startswith("b,,")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"threshold": 1.5}, r"threshold must be in \[0, 1\], not 1.5"),
        ({"label_smoothing": 0.1}, "label_smoothing is for one class a text, but multi_label is true"),
        ({"temperature": 2.0}, "temperature is for one class a text"),
        ({"class_weights": [1.0, 2.0]}, "class_weights is for one class a text"),
        ({"logit_adjustment": -1.0}, "logit_adjustment must be at least 0"),
        ({"logit_adjustment": 0.3}, "logit_adjustment=0.3 needs class_shares"),
        ({"logit_adjustment": 0.3, "class_shares": [0.5, 0.0]}, r"class_shares must be 2 numbers in \(0, 1\]"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(args, words):
    with pytest.raises(ValueError, match=words):
        zoo.create_model("lstm_classifier", **SMALL, multi_label=True, **args)


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (torch.zeros(2, dtype=torch.long), r"labels of shape \(2,\) and torch.int64: expected zeros and ones \(N, 3\)"),
        (torch.zeros(2, 4, dtype=torch.uint8), r"labels of shape \(2, 4\)"),
        (torch.full((2, 3), 2, dtype=torch.uint8), "labels range from 2 to 2: expected zeros and ones"),
        (torch.zeros(2, 3), "torch.float32"),
    ],
)
def test_wrong_labels_are_named(y, words):
    model = zoo.create_model("lstm_classifier", **SMALL, num_classes=3, multi_label=True)
    with pytest.raises(ValueError, match=words):
        model.check_batch((torch.ones(2, 4, dtype=torch.long), y))


def test_the_support_vector_machine_finds_the_topics(fitted):
    found = BASELINES["tfidf_svm_topics"](*fitted[:2])
    assert found.keys() == {"test_micro_f1", "test_macro_f1"}
    assert min(found.values()) > 0.9


def test_thresholds_of_topics_are_taken_where_they_are_better():
    draw = np.random.default_rng(0)
    true = (draw.random((400, 3)) < 0.3).astype(np.int64)
    scores = true + 0.4 * draw.standard_normal((400, 3)) + np.array([0, 3, -3])
    thresholds, value = choose_thresholds(scores, true)
    assert len(set(thresholds)) == 3
    assert 0.5 < value < topic_scores(scores > thresholds, true)["test_micro_f1"]
    noise = draw.standard_normal((80, 40))  # a threshold each fits the rows that it is chosen on, and no others
    few = (draw.random((80, 40)) < 0.3).astype(np.int64)
    thresholds, value = choose_thresholds(noise, few)
    assert len(set(thresholds)) == 1
    assert value < topic_scores(noise > topic_thresholds(noise, few), few)["test_micro_f1"]
    rare = true.copy()
    rare[5:, 2] = 0
    thresholds = topic_thresholds(scores, rare)
    assert thresholds[1] - thresholds[0] == pytest.approx(3, abs=0.4)


# ---- embeddings by latent semantic analysis ----


def test_tokens_of_the_same_texts_have_vectors_alike():
    draw = torch.Generator().manual_seed(0)
    texts = [torch.randint(low, low + 10, (12,), generator=draw) for low in (5, 15) for _ in range(60)]
    ids = torch.nn.functional.pad(torch.stack(texts), (0, 3))
    vectors = latent_word_vectors(ids, 30, 2)
    assert (vectors.shape, vectors.dtype) == ((30, 2), torch.float32)
    assert not vectors[:5].any()
    assert not vectors[25:].any()
    torch.testing.assert_close(vectors[5:25].norm(dim=1), torch.ones(20))
    alike = vectors[5:25] @ vectors[5:25].T
    assert alike[:10, :10].min() > 0.8
    assert alike[:10, 10:].abs().max() < 0.3
    assert torch.equal(vectors, latent_word_vectors(ids, 30, 2))
    with pytest.raises(ValueError, match="120 texts of 20 tokens have vectors of less than 20, not 20"):
        latent_word_vectors(ids, 30, 20)


def test_an_embedding_is_initialised_in_the_first_fit_alone(files, tmp_path):
    def fit(model, **settings):
        trainer = quiet_trainer(max_epochs=1, **settings)
        trainer.fit(model, small_text("reuters_topics", files, batch_size=64))
        return trainer

    data = small_text("reuters_topics", files)
    model = zoo.create_model("lstm_classifier", **data.spec, **SMALL, lr=1e-6, embedding_init="lsa")
    drawn = model.net.embedding.weight.detach().clone()
    trainer = fit(model, limit_train_batches=1)
    data.setup()
    vectors = latent_word_vectors(data.splits["train"].column(0), *drawn.shape)
    known = vectors.any(1)
    torch.testing.assert_close(model.net.embedding.weight[known].detach(), vectors[known], atol=1e-4, rtol=0)
    assert torch.equal(model.net.embedding.weight[~known], drawn[~known])
    trainer.save_checkpoint(tmp_path / "own.ckpt")
    again = type(model).load_from_checkpoint(tmp_path / "own.ckpt", weights_only=True)
    for other in (model, again):
        with torch.no_grad():
            other.net.embedding.weight.fill_(0.25)
        fit(other, limit_train_batches=1)
        assert (other.net.embedding.weight[known] - 0.25).abs().max() < 1e-3
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*data.splits["train"].tensors))
    other = zoo.create_model("lstm_classifier", **data.spec, **SMALL, embedding_init="lsa")
    with pytest.raises(ValueError, match="needs the texts"):
        quiet_trainer(max_epochs=1).fit(other, loader)
    with pytest.raises(ValueError, match="unknown embedding_init 'lda': did you mean lsa"):
        zoo.create_model("lstm_classifier", embedding_init="lda")
