"""Suggestions of words: the search, exact matches, n-gram models, texts that are typed, and the prompt."""

import itertools
import math
import os
import re
import select
import sys
import threading
from collections import Counter
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from test_language_model import lively

import zoo
from datamodules.text.reading import TextReader
from datamodules.text.vocabulary import END, START, Vocabulary
from zoo.baselines import measure
from zoo.baselines.completions import WORDS, draw_places, exact_matches, word_places
from zoo.baselines.ngram_model import NgramModel
from zoo.baselines.ngrams import ngram_probabilities
from zoo.cli import main as zoo_command
from zoo.cli.parser import make_parser
from zoo.metrics.direction import mode_of
from zoo.nn.completions import endings_of, likely_completions
from zoo.prediction import parse_words
from zoo.prediction.live import PROMPT, answer_lines

SURFACES = ["", "", "", "", "a", "b", " a", " b", ",", " c"]
"""Text of each token of a small vocabulary of subwords."""


TEXT = "the film is dull and the plot is old. "


@pytest.fixture(scope="module")
def trained():
    """A small model of a text that repeats, and data of it."""
    vocabulary = Vocabulary.of_characters([TEXT])
    ids = np.array(vocabulary.encode([TEXT * 3])[0])
    torch.manual_seed(0)
    spec = {"tokenizer": vocabulary.json, "vocab_size": len(vocabulary)}
    model = zoo.create_model("lstm_language_model", embedding_dim=8, hidden_dim=32, layers=1, **spec)
    steps = torch.optim.Adam(model.parameters(), 2e-2)
    for _ in range(120):
        steps.zero_grad()
        model.step((torch.from_numpy(ids)[None], torch.ones(1, dtype=torch.long)))["loss"].backward()
        steps.step()
        data = SimpleNamespace(
            vocabulary=vocabulary,
            sequences=lambda part: [ids] * 6,
            contexts=lambda part: np.full(6, 4),
            words=lambda part: 6 * 27,
        )
    return model.eval(), data


# ---- n-gram models ----


@pytest.fixture(scope="module")
def ngrams():
    draw = np.random.default_rng(0)
    train = [draw.choice(6, length, p=[0.4, 0.25, 0.15, 0.1, 0.06, 0.04]) for length in (300, 1, 2, 80)]
    return train, NgramModel(train, 8, 4, never=[7])  # 6 is new, 7 is never


def test_ngram_model_gives_the_probabilities_of_given_texts(ngrams):
    train, model = ngrams
    histories = [(), (0,), (6,), (1, 0), (0, 0, 1), (0, 6, 1), (6, 0, 1), (2, 3, 5), (1, 0, 0, 0, 1)]
    ends = [np.array([*history, w]) for history in histories for w in range(7)]
    *_, expected = ngram_probabilities(train, ends, 7, 4, "kneser_ney")
    last = np.cumsum([len(text) for text in ends]) - 1
    padded = np.array([(*[-1] * 3, *history)[-3:] for history in histories])
    found = model.probabilities(padded)
    np.testing.assert_allclose(found[:, :7], expected[last].reshape(-1, 7), rtol=1e-12)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-12)
    assert (found[:, 7] == 0).all()


@pytest.mark.parametrize("order", [2, 4])
def test_ngram_steps_are_its_probabilities(ngrams, order):
    train, _ = ngrams
    model = NgramModel(train, 8, order)
    text = train[0][:9]
    for begin in (1, 2, 7):
        state, last = model.state_before_last(text[:begin]), text[begin - 1 : begin]
        for k in range(begin, len(text)):
            found, state = model.next_tokens(torch.from_numpy(last), state)
            history = np.array([(*[-1] * order, *text[:k])[-order + 1 :]])
            np.testing.assert_allclose(found.exp(), model.probabilities(history), rtol=1e-5)
            last = text[k : k + 1]


def test_ngram_model_of_texts_shorter_than_its_order():
    model = NgramModel([np.array([4, 5]), np.array([4])], 6, 5)
    np.testing.assert_allclose(model.probabilities(np.array([[-1, -1, -1, 4], [4, 5, 4, 5]])).sum(1), 1)


# ---- search ----


def brute_force(step, units, longest):
    """Return the probabilities of all continuations of a number of words, of which each token is scored anew."""
    found = Counter()

    def extend(tokens, p):
        text = "".join(SURFACES[i] for i in tokens)
        words = text.replace(",", " ").split()
        within = bool(text) and text[-1] in "abc"
        following = step(tokens)
        if len(words) == units and within:
            found[tokens] += p * sum(following[i] for i in (END, 6, 7, 8, 9))
        if len(tokens) == longest:
            found[tokens] = p
            return
        for token, more in enumerate(SURFACES):
            if more and not (len(words) == units and within and more[0] in " ,"):
                extend((*tokens, token), p * following[token])

    extend((), 1.0)
    return found


@pytest.mark.parametrize("units", [1, 2, 3])
def test_continuations_of_several_words_are_those_of_brute_force(units):
    draw = np.random.default_rng(units)
    table = torch.from_numpy(draw.dirichlet(np.full(len(SURFACES), 0.5), len(SURFACES))).float()

    def step(last, state):
        return table[last].log(), state

    def following(tokens):
        return table[tokens[-1] if tokens else 4].tolist()

    expected = brute_force(following, units, 4)
    endings = endings_of(SURFACES, "word")
    options = {"max_length": 4, "units": units}
    found = likely_completions(step, (), 4, endings, n=12, beam=10_000, **options)
    assert [p for _, p in found] == pytest.approx([math.log(p) for _, p in expected.most_common(12)], rel=1e-4)
    for tokens, p in found:
        assert math.exp(p) == pytest.approx(expected[tuple(tokens)], rel=1e-4)
    (best,) = likely_completions(step, (), 4, endings, n=1, beam=10_000, first=endings.before, **options)
    spaced = {tokens: p for tokens, p in expected.items() if SURFACES[tokens[0]][0] in " ,"}
    assert tuple(best[0]) == max(spaced, key=spaced.get)


def test_a_model_suggests_several_words(trained):
    model, _ = trained
    one, two, three = (model.complete("The film", 1, units=units)[0] for units in (1, 2, 3))
    assert one.text == " is"
    assert two.text.startswith(" is ")
    assert [len(each.text.split()) for each in (one, two, three)] == [1, 2, 3]
    assert one.probability > two.probability > three.probability
    with pytest.raises(ValueError, match="units must be a whole number of at least 1, not 0"):
        model.complete("The film", units=0)


# ---- exact matches ----


def test_places_are_between_words_with_the_next_words_of_the_text():
    endings = endings_of(SURFACES, "word")
    ids = np.array([START, 6, 7, 4, 8, 9, 6, 7, 5, 6, 8, 7])  # context " a", then " ba, c a bb a, b"
    places = word_places(ids, 2, endings)
    assert [len(place.before) for place in places] == [4]
    assert ["".join(SURFACES[i] for i in each) for each in places[0].following] == [
        ", c", ", c a", ", c a bb", ", c a bb a", ", c a bb a, b",
    ]  # fmt: skip
    ended = word_places(np.array([*ids, END]), 2, endings)
    assert [list(map(list, place)) for place in ended] == [list(map(list, place)) for place in places]
    assert word_places(ids[:-1], 2, endings) == []
    assert word_places(ids[:1], 1, endings) == []


def test_drawn_places_are_the_same_each_time_and_one_in_a_text():
    endings = endings_of(SURFACES, "word")
    draw = np.random.default_rng(0)
    rows = [(draw.choice([4, 5, 6, 7, 8, 9], 30), 1) for _ in range(20)]
    drawn = draw_places(rows, endings, 7)
    assert len(drawn) == 7
    sources = [
        next(k for k, (ids, _) in enumerate(rows) if list(ids[: len(p.before)]) == list(p.before)) for p in drawn
    ]
    assert len(set(sources)) == 7
    again = draw_places(rows, endings, 7)
    assert all(np.array_equal(one.before, other.before) for one, other in zip(drawn, again))


def test_exact_matches_count_whole_suggestions():
    endings = endings_of(SURFACES, "word")
    cycle = {4: 6, 6: 7, 7: 9, 9: 6, 8: 9}  # the most probable text is " a b c a b c ..."

    def step(last, state):
        p = torch.full((len(last), len(SURFACES)), 0.01)
        for row, token in enumerate(last.tolist()):
            p[row, cycle.get(token, 6)] = 0.9
        return p.log(), state

    def matches(*tokens):
        places = word_places(np.array(tokens), 1, endings)[:1]
        return list(exact_matches(step, lambda ids: (), places, endings, SURFACES).values())

    assert matches(4, 6, 7, 9, 6, 7, 9) == [1, 1, 1, 1, 1]
    assert matches(4, 6, 7, 9, 6, 6, 9) == [1, 1, 1, 0, 0]
    assert matches(4, 6, 7, 9, 5, 6, 7, 9) == [1, 0, 0, 0, 0]  # " c" is a word, " cb" another
    assert matches(4, 6, 9, 9, 6, 7, 9) == [0, 0, 0, 0, 0]


def test_model_and_ngrams_are_measured_at_the_same_places(trained, monkeypatch):
    model, data = trained
    seen = []

    def watch(step, state, places, endings, surfaces):
        seen.append([(*place.before, *place.following[-1]) for place in places])
        return exact_matches(step, state, places, endings, surfaces)

    monkeypatch.setattr("zoo.baselines.completions.exact_matches", watch)
    found = measure("measure", "completions", model.train(), data).metrics
    assert model.training
    rival = measure("baseline", "kneser_ney_5", model, data).metrics
    names = {f"test_exact_match_{words}" for words in WORDS}
    assert set(found) == {*names, "test_word_nats"}
    assert set(rival) == {*names, "test_nats", "test_word_nats"}
    ids = data.sequences("test")[0]
    nats = model.eval().step((torch.from_numpy(ids)[None], torch.tensor([4])))["nats"]
    *_, p = ngram_probabilities([ids] * 6, [ids], len(data.vocabulary) - 3, 5, "kneser_ney")
    assert found["test_word_nats"] == pytest.approx(float(nats) * (len(ids) - 4) / 27, rel=1e-4)
    assert rival["test_nats"] == pytest.approx(-np.log(p[4:]).mean())
    assert rival["test_word_nats"] == pytest.approx(-np.log(p[4:]).sum() / 27)
    assert found["test_exact_match_1"] > 0.5
    assert rival["test_exact_match_1"] > 0
    assert seen[0] == seen[1]
    assert len(seen[0]) == 6


# ---- texts that are typed ----


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_a_session_answers_as_the_model_does(cell):
    model = lively(cell=cell)
    session = model.typing()
    typed = "ab a'b.\nbaab ab ba a"
    texts = [typed[:k] for k in range(1, len(typed))] + [typed[:6], "b", "ba", typed, typed, "a" * 200, "a" * 90 + "b"]
    for text in texts:
        found, expected = session.complete(text, 3, max_length=5), model.complete(text, 3, max_length=5)
        assert [each.text for each in found] == [each.text for each in expected]
        assert [each.probability for each in found] == pytest.approx([each.probability for each in expected], rel=1e-4)


def test_a_session_reads_only_what_is_new(monkeypatch):
    model, read = lively(), []
    advance = model.net.advance
    monkeypatch.setattr(model.net, "advance", lambda ids, state=None: read.append(ids.shape[1]) or advance(ids, state))
    session = model.typing()

    def tokens_of(text):
        read.clear()
        session.complete(text, 2, max_length=3)
        return sum(read)

    assert tokens_of("ab ab ab ab ab ab ab") == 19
    assert tokens_of("ab ab ab ab ab ab ab") == 0
    assert tokens_of("ab ab ab ab ab ab abb") == 1
    assert tokens_of("ab ab ab ab ab ab bbb") == 2
    assert tokens_of("bb ab") == 4


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.load_state_dict(lively(seed=5).state_dict()),
        lambda model: torch.optim.SGD(model.parameters(), 1.0).step(),
        lambda model: model.double().float(),
        lambda model: torch.nn.init.normal_(model.net.layers.forth[0].weight_hh_l0),
    ],
)
def test_a_session_forgets_when_the_weights_change(change):
    model = lively()
    session = model.typing()
    session.complete("ab ab a", 3)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    change(model)
    found, expected = session.complete("ab ab a", 3), model.complete("ab ab a", 3)
    assert [each.text for each in found] == [each.text for each in expected]
    assert [each.probability for each in found] == pytest.approx([each.probability for each in expected], rel=1e-5)


def test_a_session_drops_states_of_weights_that_moved():
    model = lively()
    session = model.typing()
    session.complete("ab ab a", 3)
    states = dict(session._states)
    assert states
    model.double().float()
    session.complete("ab ab a", 3)
    assert all(session._states[length] is not states[length] for length in states)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@torch.no_grad()
def test_one_step_of_the_cells_is_that_of_the_layers(cell):
    net = lively(cell=cell, layers=2).net
    ids = torch.tensor([[4, 5, 6, 7], [5, 5, 8, 4]])
    whole, after = net.extend(ids)
    scores, state = [], net.advance(ids[:, :1])
    for k in range(1, 4):
        each, state = net.extend(ids[:, k : k + 1], state)
        scores.append(each)
    torch.testing.assert_close(torch.cat(scores, 1), whole[:, 1:])
    for one, other in itertools.zip_longest(state, after):
        torch.testing.assert_close(one, other)
    for one, other in itertools.zip_longest(net.advance(ids), after):
        torch.testing.assert_close(one, other)


# ---- the prompt in a terminal ----


def entered(lines):
    """A function that gives lines one after the other, and then the end of the input."""
    rest = iter(lines)

    def ask(prompt):
        try:
            return next(rest)
        except StopIteration:
            raise EOFError from None

    return ask


class Reader(TextReader):
    """Data that read lines of text."""


def test_the_prompt_shows_continuations_until_an_empty_line(trained):
    model, shown = trained[0], []
    answer_lines(
        model, Reader(), {"output": None}, entered(["the fi", "\u6f22", "the film", "  ", "plot"]), shown.append
    )
    blocks = "\n".join(shown[1:]).split("no answer: text '\u6f22' has no character that the model knows")
    assert len(blocks) == 2
    assert blocks[0].split("\n")[0].endswith("  the film")
    assert 0.5 < float(blocks[0].split()[0]) <= 1
    assert "the film is" in blocks[1]
    assert "plot" not in blocks[1].split("\n")[-1]
    assert len(blocks[0].strip().split("\n")) == 5
    answer_lines(model, Reader(), ask=entered([]), show=shown.append)
    assert shown[-1] == ""


def test_the_prompt_is_for_any_model_of_texts():
    vocabulary, shown = Vocabulary.of_characters(["ab "]), []
    spec = {"tokenizer": vocabulary.json, "vocab_size": len(vocabulary), "class_names": ["dull", "lovely"]}
    model = zoo.create_model("lstm_classifier", embedding_dim=4, hidden_dim=4, **spec).eval()
    answer_lines(model, Reader(), ask=entered(["a b", ""]), show=shown.append)
    (row,) = model.predict_rows(["a b"])
    assert shown[1:] == [f"{row['class']}  {row['probability']:.4f}"]


def test_the_prompt_refuses_what_is_no_text(trained):
    ask = entered([])
    with pytest.raises(ValueError, match="only texts are entered in a terminal, which MLP does not take"):
        answer_lines(zoo.create_model("mlp"), object(), ask=ask)
    with pytest.raises(ValueError, match="required: INPUT; --column is for inputs of the command line"):
        answer_lines(trained[0], Reader(), {"output": None, "column": "text"}, ask=ask)


@contextmanager
def terminal(monkeypatch, lines):
    """Make standard input and output a pseudo-terminal in which lines are entered, and give what it shows."""
    import pty

    outer, inner = pty.openpty()
    shown, rest = [], list(lines)

    def talk():
        while select.select([outer], [], [], 60)[0]:
            try:
                content = os.read(outer, 4096)
            except OSError:  # Linux's end of a pseudo-terminal
                return
            if not content:
                return
            shown.append(content.decode())
            if "".join(shown).endswith(PROMPT) and rest:
                os.write(outer, rest.pop(0).encode())

    thread = threading.Thread(target=talk, daemon=True)
    thread.start()
    with open(os.dup(inner)) as stdin, open(inner, "w") as stdout, monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", stdin)
        patch.setattr(sys, "stdout", stdout)
        yield shown
    thread.join(60)
    os.close(outer)


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminal")
@pytest.mark.parametrize("end", ["\n", "\x04"])
def test_predict_without_input_opens_a_prompt(trained, monkeypatch, end):
    monkeypatch.setattr("zoo.prediction.load_model", lambda recipe, ckpt_path: (trained[0], Reader()))
    with terminal(monkeypatch, ["the fi\n", end]) as shown:
        status = zoo_command(["predict", "lstm_language_model.tinyshakespeare"])
    found = "".join(shown).replace("\r\n", "\n")
    assert status == 0, found
    assert "an empty line or Ctrl-D ends" in found
    assert re.search(r"> the fi\n0\.\d{4}  the film\n(0\.\d{4}  the fi.*\n){4}> ", found), found


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminal")
def test_the_prompt_is_not_for_pictures(monkeypatch, capsys):
    monkeypatch.setattr("zoo.prediction.load_model", lambda recipe, ckpt_path: (zoo.create_model("mlp"), object()))
    with terminal(monkeypatch, []):
        status = zoo_command(["predict", "mlp.mnist"])
    assert status == 2
    message = "INPUT; only texts are entered in a terminal, which MLP does not take\n"
    assert capsys.readouterr().err == f"zoo: error: the following arguments are required: {message}"


def test_predict_without_input_and_terminal_is_refused(capsys):
    for words in (["lstm_classifier.sst2"], ["lstm_classifier.sst2", "--output", "a.csv"]):
        assert zoo_command(["predict", *words]) == 2
        assert capsys.readouterr().err == "zoo: error: the following arguments are required: INPUT\n"


def test_an_input_may_follow_an_option():
    args, rest = parse_words(make_parser(), ["predict", "cnn.mnist", "--output", "a.csv", "-1.5,2", "b"])
    assert (args.inputs, rest) == (["-1.5,2", "b"], [])


@pytest.mark.parametrize("metric", ["test_exact_match_*", "test_exact_match_3", "test_exact_match_1"])
def test_more_exact_matches_and_fewer_nats_are_better(metric):
    assert mode_of(metric) == "max"
    assert mode_of("test_word_nats") == "min"
