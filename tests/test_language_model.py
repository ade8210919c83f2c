"""Language models: rows that score each token once, states that are carried, continuations and n-grams by hand."""

import itertools
import math
from collections import Counter

import numpy as np
import pooch
import pytest
import torch
import torch.nn.functional as F
from conftest import no_server, quiet_trainer
from small_texts import small_text, write_texts
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import datamodules
import zoo
from datamodules.text.vocabulary import END, PAD, START, UNKNOWN, Vocabulary
from datamodules.tinyshakespeare import evaluation_rows
from zoo.baselines import measure
from zoo.baselines.ngrams import USUAL_DISCOUNTS, modified_discounts, ngram_probabilities
from zoo.callbacks import Continuations

SMALL = {"embedding_dim": 4, "hidden_dim": 6}
ALPHABET = "ab' .\n"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_texts(tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="module")
def trained(files):
    """A small model of the small text, its data and its test metrics."""
    data = small_text("tinyshakespeare", files, batch_size=16)
    sizes = {"embedding_dim": 16, "hidden_dim": 48, "layers": 1}
    model = zoo.create_model("lstm_language_model", **sizes, **data.spec, lr=1e-2, schedule="onecycle", clip_norm=1.0)
    trainer = quiet_trainer(max_epochs=40)
    trainer.fit(model, data)
    return model.eval(), data, trainer.test(model, data, verbose=False)[0]


def lively(alphabet=ALPHABET, seed=0, **args):
    """A random model that is far from uniform."""
    torch.manual_seed(seed)
    vocabulary = Vocabulary.of_characters([alphabet])
    spec = {"tokenizer": vocabulary.json, "vocab_size": len(vocabulary)}
    model = zoo.create_model("lstm_language_model", **{**SMALL, **args}, **spec).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.5)
        model.net.scores.bias[: END + 1] = torch.tensor([-20.0, -20.0, -20.0, -3.0])  # special tokens are rare
    return model


# ---- characters ----


@pytest.mark.parametrize("text", ["a  b\n\n", "\n", " ", "<s></s><pad>", "\r\n\ttab", "l'\u00e9t\u00e9 \U0001f389", ""])
def test_characters_come_back_exactly(text):
    vocabulary = Vocabulary.of_characters([text, "ab\n "])
    (ids,) = vocabulary.encode([text])
    assert len(ids) == len(text)
    assert UNKNOWN not in ids
    assert vocabulary.decode([ids]) == [text]
    assert vocabulary.surfaces[4:] == sorted(set(text + "ab\n "))
    assert Vocabulary(vocabulary.json).encode([text]) == [ids]


def test_new_characters_are_unknown_and_none_are_refused():
    vocabulary = Vocabulary.of_characters(["ab"])
    assert vocabulary.encode(["azb"]) == [[4, UNKNOWN, 5]]
    assert vocabulary.decode([[4, UNKNOWN, 5]]) == ["ab"]
    with pytest.raises(ValueError, match="at least one"):
        Vocabulary.of_characters([""])
    assert Vocabulary.of_characters(["a b\n"]).subwords(9) == ([4, 5, 6, 7], ["\\n", "_", "a", "b"])


# ---- rows ----


@pytest.mark.parametrize("size", [2, 3, 40, 41, 100])
@pytest.mark.parametrize("context", [1, 7, 50])
def test_each_token_is_scored_once_with_the_context_before_it(size, context):
    tokens = torch.arange(4, 4 + size, dtype=torch.int16)  # a token's id says its place
    ids, start = evaluation_rows(tokens, 20, context)
    scored = []
    for row, skipped in zip(ids.tolist(), start.tolist()):
        row = [i for i in row if i != PAD]
        assert row == list(range(row[0], row[-1] + 1))
        assert skipped == min(context, row[skipped] - 4)
        scored += row[skipped:]
    assert scored == list(range(5, 4 + size))


@pytest.mark.parametrize("val_at", ["start", "end"])
def test_splits_are_pieces_of_the_text_and_share_no_row(files, val_at):
    data = small_text("tinyshakespeare", files, val_at=val_at)
    parts, text = data.text_splits(), (files / "tinyshakespeare" / "input.txt").read_text()
    order = ("val", "train", "test") if val_at == "start" else ("train", "val", "test")
    assert "".join(parts[name] for name in order) == text
    assert len(parts["test"]) == math.ceil(0.1 * len(text))
    assert len(parts["val"]) == 800
    assert sorted(set(parts["train"])) == data.vocabulary.surfaces[4:]


def test_training_rows_are_the_text_at_an_offset_of_the_epoch(files):
    import lightning as L

    data, seen = small_text("tinyshakespeare", files, batch_size=16), []

    class Watcher(L.LightningModule):
        def training_step(self, batch, index):
            seen.append((self.trainer.current_epoch, *batch))

        def configure_optimizers(self):
            return None

    quiet_trainer(max_epochs=4, limit_val_batches=0).fit(Watcher(), data)
    (text,) = data.sequences("train")
    offsets = set()
    for epoch in range(4):
        rows = torch.cat([ids for number, ids, _ in seen if number == epoch])
        assert rows.shape[1] == 21
        assert rows.dtype == torch.int64
        windows = {tuple(text[k : k + 21]): k for k in range(len(text) - 20)}
        assert all(tuple(row) in windows for row in rows.tolist())
        (offset,) = (
            k for k in range(20) if sorted(map(tuple, rows.tolist())) == sorted(
                tuple(text[j : j + 21]) for j in range(k, k + 20 * len(rows), 20)
            )
        )  # fmt: skip
        offsets.add(offset)
    assert len(offsets) > 1
    assert all((start == 1).all() for _, _, start in seen)


def test_wrong_text_is_named(files, tmp_path, monkeypatch):
    monkeypatch.setattr(pooch, "retrieve", no_server)
    data = datamodules.create_datamodule("tinyshakespeare", root=str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"input\.txt is missing and no server answers"):
        data.setup()
    (tmp_path / "tinyshakespeare").mkdir()
    (tmp_path / "tinyshakespeare" / "input.txt").write_text("To be")
    with pytest.raises(ValueError, match=r"wrong checksum, not the published input\.txt"):
        data.setup()
    for size in (1, 10**6):
        with pytest.raises(ValueError, match=f"val_size={size} does not fit: choose from 2 to"):
            small_text("tinyshakespeare", files, val_size=size).setup()
    with pytest.raises(ValueError, match="unknown val_at 'front': choose from end, start"):
        small_text("tinyshakespeare", files, val_at="front")


# ---- loss ----


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_a_long_text_costs_what_it_costs_step_by_step(cell, monkeypatch):
    monkeypatch.setattr("zoo.tasks.language_modelling.PIECE", 5)
    model, text = lively(cell=cell), "ab a'b.\nbaab " * 3
    (row,) = model.vocabulary.encode([text])
    state, total = None, 0.0
    for token, following in itertools.pairwise(row):
        scores, state = model.net.extend(torch.tensor([[token]]), state)
        total -= scores[0, 0].log_softmax(0)[following].item()
    ids = torch.tensor([row])
    values = model.step((ids, torch.ones(1, dtype=torch.long)))
    assert float(values["loss"]) == pytest.approx(total / (len(row) - 1), rel=1e-5)
    assert values["weight"] == len(row) - 1
    assert model.nats([text]) == [pytest.approx(total / (len(row) - 1), rel=1e-5)]
    assert float(model.predict_step((ids,), 0).sum()) == pytest.approx(total, rel=1e-5)
    assert math.isnan(model.nats(["a"])[0])
    assert math.isnan(model.nats([""])[0])


def test_context_and_padding_are_not_scored():
    model = lively()
    ids = torch.tensor([[4, 5, 6, 7, 8, 9], [9, 8, 7, 0, 0, 0]])
    scores = model(ids[:, :-1]).log_softmax(2)
    expected = -(scores[0, 3, 8] + scores[0, 4, 9] + scores[1, 0, 8] + scores[1, 1, 7]) / 4
    values = model.step((ids, torch.tensor([4, 1])))
    torch.testing.assert_close(values["loss"], expected)
    assert values["weight"] == 4
    changed = ids.clone()
    changed[0, 5] = 4  # the last token is read by no other
    assert torch.equal(model(changed)[0, :5], model(ids)[0, :5])


def test_epoch_means_are_over_tokens(trained):
    model, data, metrics = trained
    (ids,) = data.sequences("test")
    rows, start = data.splits["test"].tensors
    total = counted = 0
    for row, skipped in zip(rows.long(), start.tolist()):
        row = row[row != PAD]
        missed = F.cross_entropy(model(row[None, :-1])[0], row[1:], reduction="none")[skipped - 1 :]
        total, counted = total + float(missed.sum()), counted + len(missed)
    assert counted == len(ids) - 1
    assert metrics["test_nats"] == metrics["test_loss"] == pytest.approx(total / counted, rel=1e-4)
    assert metrics["test_nats"] < 1.2  # of log 30 = 3.4
    assert metrics["test_accuracy"] > 0.6


@pytest.mark.parametrize("hidden_dim", [6, 10])
def test_tied_weights_are_one(hidden_dim):
    net = zoo.create_model("lstm_language_model", embedding_dim=6, hidden_dim=hidden_dim, tied=True).eval().net
    assert net.scores.weight is net.embedding.weight
    assert ("projection.weight" in net.state_dict()) == (hidden_dim != 6)
    outputs, _ = net.layers(net.embedding(torch.tensor([[5, 7]])) * 6**0.5)
    expected = net.projection(outputs) @ net.embedding.weight.T + net.scores.bias
    torch.testing.assert_close(net(torch.tensor([[5, 7]])), expected)


# ---- continuations ----


def brute_force(model, text, until, longest):
    """Return the probabilities of all continuations, each token by a new look at the whole text."""
    vocabulary, found = model.vocabulary, Counter()
    surfaces = vocabulary.surfaces

    def extend(tokens, p):
        ids = torch.tensor([vocabulary.encode([text])[0] + tokens])
        probabilities = model(ids)[0, -1].softmax(0).tolist()
        written = "".join(surfaces[i] for i in tokens)
        begun = any(c in "ab" for c in written)
        leaves = []
        for token, c in enumerate(surfaces):
            ends = token == END or c in ((" ", ".", "\n") if until == "word" else ("\n",))
            if ends and begun:
                leaves.append(probabilities[token])
            elif c:
                more, q = [*tokens, token], p * probabilities[token]
                stops = until == "sentence" and c == "." and begun
                if stops or len(more) == longest:
                    found[written + c] += q
                else:
                    extend(more, q)
        if leaves:
            found[written] += p * sum(leaves)

    extend([], 1.0)
    return found


@torch.no_grad()
@pytest.mark.parametrize("until", ["word", "sentence"])
@pytest.mark.parametrize("text", ["ab", "b", "a "])
def test_completions_are_those_of_brute_force(until, text):
    model = lively()
    expected = brute_force(model, text, until, 4)
    assert 0.9 < sum(expected.values()) <= 1 + 1e-6
    found = model.complete(text, 8, until=until, max_length=4, beam=2_000)
    assert [each.text for each in found] == [name for name, _ in expected.most_common(8)]
    for each in found:
        assert each.probability == pytest.approx(expected[each.text], rel=1e-4)
        assert any(c in "ab" for c in each.text) or len(each.text) == 4
    everything = model.complete(text, 5_000, until=until, max_length=4)
    assert len(everything) == len(expected)
    assert sum(each.probability for each in everything) == pytest.approx(sum(expected.values()), rel=1e-4)
    narrow = model.complete(text, 3, until=until, max_length=4, beam=1)
    assert len({each.text for each in narrow}) == len(narrow) == 3


def test_a_trained_model_completes_words(trained):
    model, _, _ = trained
    best = model.complete("The fi", 3)
    assert best[0].text == "lm"
    assert best[0].probability > 0.9
    assert all(one.probability >= other.probability for one, other in itertools.pairwise(best))
    assert model.complete("The film", 2)[0].text == " is"
    assert model.complete("The \u6f22fi", 1)[0].text == "lm"  # what it does not know is ignored
    assert model.complete("The film is", until="sentence")[0].text.endswith(".")
    assert model.complete("T", 1, max_length=1)[0].text == "h"


def test_subwords_keep_the_space_before_a_word():
    texts = ["the film is dull", "the plot is dull and the film is empty", "a film , a plot !"] * 20
    vocabulary = Vocabulary.train(texts, 400, at_most=True)
    rows = [torch.tensor([row]) for row in vocabulary.encode(texts[:3])]
    spec = {"tokenizer": vocabulary.json, "vocab_size": len(vocabulary)}
    model = zoo.create_model("lstm_language_model", embedding_dim=16, hidden_dim=32, layers=1, **spec)
    steps = torch.optim.Adam(model.parameters(), 2e-2)
    for _ in range(60):
        steps.zero_grad()
        sum(model.step((row, torch.ones(1, dtype=torch.long)))["loss"] for row in rows).backward()
        steps.step()
    found = model.complete("the film", 3)
    assert found[0].text == " is"
    assert found[0].probability > 0.7
    assert model.sample("the plot", 50, top_p=0.01).startswith(" is dull and the film")


def test_samples_repeat_with_their_seed_and_follow_the_probabilities(trained):
    model, _, _ = trained
    one = model.sample("FILM:\n", 60, seed=1)
    assert one == model.sample("FILM:\n", 60, seed=1) != model.sample("FILM:\n", 60, seed=2)
    assert len(one) == 60
    assert "the" in one.lower()
    surest = model.sample("The fi", 5, top_p=1e-6)
    assert surest == model.sample("The fi", 5, temperature=1e-3, seed=5)
    assert surest.startswith("lm is")
    assert model.sample("T", 1, top_p=1e-6) == "h"
    small = lively()
    shares = Counter(small.sample("ab", 1, seed=seed) for seed in range(400))
    with torch.no_grad():
        p = small(torch.tensor(small.vocabulary.encode(["ab"])))[0, -1].softmax(0)
    for token, c in enumerate(small.vocabulary.surfaces[4:], 4):
        q = float(p[token] / (p[4:].sum() + p[END]))
        assert abs(shares[c] / 400 - q) < 4.5 * math.sqrt(q * (1 - q) / 400) + 1e-9


@pytest.mark.parametrize("training", [True, False])
def test_methods_leave_the_mode_and_other_draws_alone(training):
    model = lively(dropout=0.5).train(training)
    before = torch.get_rng_state()
    assert model.complete("ab") == model.complete("ab")
    assert model.sample("ab", 5) == model.sample("ab", 5)
    assert model.nats(["ab a"]) == model.nats(["ab a"])
    assert model.training is training
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: model.complete("ab", 0), "n must be a whole number of at least 1, not 0"),
        (lambda model: model.complete("ab", max_length=0), "max_length must be a whole number of at least 1, not 0"),
        (lambda model: model.complete("ab", beam=0.5), "beam must be a whole number of at least 1, not 0.5"),
        (lambda model: model.complete("ab", until="words"), "unknown until 'words': did you mean word"),
        (lambda model: model.complete(["ab"]), "text is a list: expected a string"),
        (lambda model: model.complete(""), "text '' is empty: expected at least one"),
        (lambda model: model.complete("\u6f22"), "text '\u6f22' has no character that the model knows"),
        (lambda model: model.sample("\u6f22", 5), "text '\u6f22' has no character that the model knows"),
        (lambda model: model.sample("ab", 0), "length must be a whole number of at least 1, not 0"),
        (lambda model: model.sample("ab", temperature=0), "temperature must be positive, not 0"),
        (lambda model: model.sample("ab", temperature=-1.0), "temperature must be positive, not -1"),
        (lambda model: model.sample("ab", top_p=0.0), "top_p must be positive, not 0"),
        (lambda model: model.sample("ab", top_p=1.1), "top_p must be at most 1, not 1.1"),
        (lambda model: model.sample("ab", seed=-1), "seed must be a whole number from 0"),
        (lambda model: model.nats("ab"), "str: expected a list of strings"),
        (lambda model: model.nats([1]), "list: expected a list of strings"),
    ],
)
def test_wrong_requests_are_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace("*", r"\*")) as caught:
        call(lively())
    assert "\n" not in str(caught.value)


def test_a_model_without_a_tokenizer_takes_ids_only():
    model = zoo.create_model("lstm_language_model", **SMALL)
    for call in (lambda: model.complete("a"), lambda: model.sample("a"), lambda: model.nats(["a"])):
        with pytest.raises(ValueError, match="this model has no tokenizer"):
            call()
    assert model.predict_step(torch.tensor([[4, 5, 0]]), 0)[0, 1] == 0


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ((torch.ones(2, 5, dtype=torch.long),), r"batch has 1 parts: expected a tuple \(ids, start\)"),
        ((torch.full((2, 5), 99), torch.ones(2, dtype=torch.long)), "ids range from 99 to 99: expected 0 to 68"),
        ((torch.ones(2, 1, dtype=torch.long), torch.ones(2, dtype=torch.long)), "with T >= 2"),
        ((torch.ones(2, 5, dtype=torch.long), torch.tensor([1, 0])), "from 0: expected .*at least 1"),
        ((torch.ones(2, 5, dtype=torch.long), torch.ones(2)), "torch.float32"),
    ],
)
def test_wrong_batches_are_refused_in_one_line(batch, message):
    with pytest.raises(ValueError, match=message) as caught:
        zoo.create_model("lstm_language_model", **SMALL).check_batch(batch)
    assert "\n" not in str(caught.value)


# ---- prediction and TensorBoard ----


def test_predict_gives_continuations_and_none_for_nothing(trained, tmp_path):
    model, data, _ = trained
    (tmp_path / "prompts.txt").write_text("The fi\n\n\u6f22\nThe film\n")
    rows = zoo.predict(model, str(tmp_path / "prompts.txt"), data=data, output=tmp_path / "out.csv")
    assert [row["continuation_1"] for row in rows] == ["lm", None, None, " is"]
    assert rows[0]["probability_1"] == pytest.approx(model.complete("The fi")[0].probability)
    assert [row["text"] for row in rows] == ["The fi", "", "\u6f22", "The film"]
    assert set(rows[1]) == set(rows[0])
    (row,) = zoo.predict(model, "The fi", data=data)
    assert row["continuation_1"] == "lm"
    assert ",The fi,lm,0." in (tmp_path / "out.csv").read_text()


def test_continuations_are_logged_the_same_each_time(trained, tmp_path):
    import lightning as L
    from lightning.pytorch.loggers import TensorBoardLogger

    model, data, _ = trained
    logger = TensorBoardLogger(tmp_path, name="", version="")
    callback = Continuations(shown=2, length=20)
    before = torch.get_rng_state()
    trainer = L.Trainer(
        logger=logger, callbacks=[callback], accelerator="cpu", enable_progress_bar=False, enable_model_summary=False
    )
    trainer.validate(model, data, verbose=False)
    assert torch.equal(before, torch.get_rng_state())
    accumulator = EventAccumulator(str(tmp_path)).Reload()
    (event,) = accumulator.Tensors("continuations/text_summary")
    (shown,) = event.tensor_proto.string_val
    ids, start = data.splits["val"].tensors
    assert shown.decode().count("---") == 1
    context = data.vocabulary.decode([ids[start == 12][0][:12].tolist()])[0]
    assert model.sample(context, 20, top_p=0.9, seed=0).split("\n")[0] in shown.decode()


# ---- n-grams ----


def by_hand(train, history, size, order, smoothing):
    """Return the distribution over ``size`` tokens after a history, from counts in dictionaries."""

    def interpolate(n, highest):
        if n == 0:
            return np.full(size, 1 / size)
        lower = interpolate(n - 1, False)
        if len(history) < n - 1:
            return lower
        grams = [tuple(text[i : i + n]) for text in train for i in range(len(text) - n + 1)]
        if smoothing == "kneser_ney" and not highest:
            longer = {tuple(text[i : i + n + 1]) for text in train for i in range(len(text) - n)}
            grams = [gram[1:] for gram in longer]
        counts = Counter(grams)
        h = tuple(history[len(history) - n + 1 :])
        c = np.array([counts[(*h, w)] for w in range(size)], float)
        if not c.sum():
            return lower
        if smoothing == "witten_bell":
            return (c + (c > 0).sum() * lower) / (c.sum() + (c > 0).sum())
        d = np.array([0.0, *modified_discounts(np.array(list(counts.values())))])[np.minimum(c, 3).astype(int)]
        return (c - d + d.sum() * lower) / c.sum()

    return interpolate(order, True)


@pytest.mark.parametrize("smoothing", ["witten_bell", "kneser_ney"])
def test_ngrams_are_those_of_brute_force_and_sum_to_one(smoothing):
    draw = np.random.default_rng(0)
    size = 5
    train = [draw.choice(size - 1, length, p=[0.5, 0.25, 0.15, 0.1]) for length in (200, 1, 60)]  # 4 is never seen
    histories = [np.array(h, int) for h in ((), (0,), (4,), (1, 0), (0, 0, 1), (4, 0, 1, 2), (2, 3, 0, 0, 1))]
    ends = [np.array([*history, w]) for history in histories for w in range(size)]
    last = np.cumsum([len(text) for text in ends]) - 1
    for order, p in enumerate(ngram_probabilities(train, ends, size, 4, smoothing), 1):
        found = p[last].reshape(len(histories), size)
        np.testing.assert_allclose(found.sum(1), 1, rtol=1e-12)
        assert (found > 0).all()
        for history, row in zip(histories, found):
            np.testing.assert_allclose(row, by_hand(train, history, size, order, smoothing), rtol=1e-10)
    assert order == 4


def test_discounts_are_those_of_chen_and_goodman():
    counts = np.repeat([1, 2, 3, 4, 9], [40, 15, 8, 5, 7])
    y = 40 / 70
    expected = [1 - 2 * y * 15 / 40, 2 - 3 * y * 8 / 15, 3 - 4 * y * 5 / 8]
    np.testing.assert_allclose(modified_discounts(counts), expected)
    for unusable in ([1, 1, 2], [5, 9], [1, 1, 2, 3, 3, 3, 3]):
        assert tuple(modified_discounts(np.array(unusable))) == USUAL_DISCOUNTS


def test_baselines_score_the_tokens_of_the_network_and_choose_by_validation(trained):
    model, data, metrics = trained
    (train,), (val,), (test,) = (data.sequences(part) for part in ("train", "val", "test"))
    size = len(data.vocabulary) - 3
    assert START not in train

    def nats(text, order, smoothing):
        *_, p = ngram_probabilities([train], [text], size, order, smoothing)
        return -np.log(p[1:]).mean()

    found = measure("baseline", "witten_bell_5", model, data).metrics
    assert found == {"test_nats": pytest.approx(nats(test, 5, "witten_bell"))}
    best = min(range(2, 9), key=lambda order: nats(val, order, "kneser_ney"))
    found = measure("baseline", "kneser_ney", model, data).metrics
    assert found == {"test_nats": pytest.approx(nats(test, best, "kneser_ney"))}
    assert 0.3 < found["test_nats"] < 2 * metrics["test_nats"]
