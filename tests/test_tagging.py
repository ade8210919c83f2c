"""Slots and intents: words of users, the conditional random field, chunks, data, the tagger and its baselines."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from conftest import need_files, quiet_trainer
from small_texts import small_text, write_texts, write_utterances

import zoo
from datamodules import create_datamodule
from datamodules.text.words import LONGEST_WORD, WordVocabulary
from zoo.baselines import BASELINES
from zoo.baselines.tagging import window_features
from zoo.metrics import ChunkF1, count_chunks, find_chunks
from zoo.metrics.direction import mode_of
from zoo.nn.crf import ConditionalRandomField, bio_constraints, viterbi

SMALL = {"embedding_dim": 16, "character_dim": 8, "hidden_dim": 16}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_texts(tmp_path_factory.mktemp("files"))


def build(data, **args):
    known = zoo.model_info("lstm_tagger")["parameters"]
    spec = {name: value for name, value in data.spec.items() if name in known}
    return zoo.create_model("lstm_tagger", **{**spec, **SMALL, **args})


@pytest.fixture(scope="module")
def fitted(files):
    """A tagger fitted on made-up utterances, and its data."""
    torch.manual_seed(0)
    data = small_text("atis", files, batch_size=8)
    model = build(data, lr=1e-2, word_dropout=0.1)
    quiet_trainer(max_epochs=15, limit_val_batches=0).fit(model, data)
    return model, data


# ---- the conditional random field ----


@pytest.fixture
def field():
    torch.manual_seed(3)
    crf = ConditionalRandomField(3)
    for parameter in crf.parameters():
        torch.nn.init.normal_(parameter)
    scores, lengths = 2 * torch.randn(4, 4, 3), torch.tensor([4, 2, 1, 0])
    return crf, scores, torch.arange(4) < lengths[:, None]


def every_score(crf, scores, length):
    """Return all sequences of a length, and the score of each by its definition."""
    found = {}
    for tags in itertools.product(range(scores.shape[1]), repeat=length):
        total = crf.start[tags[0]] + crf.end[tags[-1]] + sum(scores[t, k] for t, k in enumerate(tags))
        found[tags] = float((total + sum(crf.transitions[a, b] for a, b in itertools.pairwise(tags))).detach())
    return found


def test_likelihood_is_that_of_all_sequences(field):
    crf, scores, mask = field
    for row, length in enumerate([4, 2, 1]):
        known = every_score(crf, scores[row], length)
        total = torch.tensor(list(known.values())).logsumexp(0)
        torch.testing.assert_close(crf.log_normalizer(scores, mask)[row], total)
        for tags, score in known.items():
            padded = torch.tensor([[*tags, *[7] * (4 - length)]])  # any number stands in the padding
            found = crf.log_likelihood(scores[row, None], padded, mask[row, None])
            assert float(found.detach()) == pytest.approx(score - float(total), abs=1e-5)


def test_the_likelihood_of_an_empty_sequence_is_one_and_gradients_are_finite(field):
    crf, scores, mask = field
    scores.requires_grad_()
    found = crf.log_likelihood(scores, torch.zeros(4, 4, dtype=torch.long), mask)
    assert found[3].item() == 0
    found.sum().backward()
    assert all(part.grad.isfinite().all() for part in (scores, *crf.parameters()))
    assert not scores.grad[~mask].any()
    # A gradient is 1 for the true tag and 0 for the others, less the marginal probabilities, which sum to 1.
    torch.testing.assert_close(scores.grad[0].sum(1), torch.zeros(4), atol=1e-5, rtol=0)


def test_large_scores_do_not_overflow():
    crf = ConditionalRandomField(4)
    scores = torch.tensor([500.0, -500.0, 0.0, 300.0]).repeat(1, 6, 1)
    found = crf.log_likelihood(scores, torch.zeros(1, 6, dtype=torch.long), torch.ones(1, 6, dtype=torch.bool))
    assert float(found.detach()) == pytest.approx(0, abs=1e-3)


def test_half_precision_of_the_scores_is_raised(field):
    crf, scores, mask = field
    tags = torch.zeros(4, 4, dtype=torch.long)
    with torch.autocast("cpu", torch.bfloat16):
        found = crf.log_likelihood(scores.bfloat16(), tags, mask)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, crf.log_likelihood(scores.bfloat16().float(), tags, mask))
    assert crf.bfloat16().log_likelihood(scores.bfloat16(), tags, mask).dtype == torch.float32


def test_decoding_finds_the_best_of_all_sequences(field):
    crf, scores, mask = field
    found = crf.decode(scores, mask)
    for row, length in enumerate([4, 2, 1]):
        known = every_score(crf, scores[row], length)
        assert tuple(found[row, :length].tolist()) == max(known, key=known.get)
    assert not found[~mask].any()


def test_decoding_keeps_to_the_constraints(field):
    crf, scores, mask = field
    tags = ["O", "B-x", "I-x"]
    constraints = bio_constraints(tags)
    scores[..., 2] += 20  # the best sequences would be inside a slot that never began
    found = crf.decode(scores, mask, constraints)
    for row, length in enumerate([4, 2, 1]):
        allowed = {
            seq: score
            for seq, score in every_score(crf, scores[row], length).items()
            if seq[0] != 2 and not any(b == 2 and a == 0 for a, b in itertools.pairwise(seq))
        }
        assert tuple(found[row, :length].tolist()) == max(allowed, key=allowed.get)
    assert viterbi(scores, mask, *constraints)[0].tolist() == [1, 2, 2, 2]
    start, moves = bio_constraints(["O", "B-x", "I-x", "B-y", "I-y"])
    assert (start == 0).tolist() == [True, True, False, True, False]
    assert (moves[:, 2] == 0).tolist() == [False, True, True, False, False]


# ---- chunks ----


@pytest.mark.parametrize(
    ("tags", "chunks"),
    [
        ("O O", []),
        ("B-a I-a O B-b", [("a", 0, 2), ("b", 3, 4)]),
        ("B-a B-a I-a", [("a", 0, 1), ("a", 1, 3)]),
        ("O I-a I-a", [("a", 1, 3)]),  # conlleval: an I- without its B- begins a chunk
        ("B-a I-b I-b", [("a", 0, 1), ("b", 1, 3)]),
        ("I-a O I-a", [("a", 0, 1), ("a", 2, 3)]),
        ("I-a B-a", [("a", 0, 1), ("a", 1, 2)]),
        ("", []),
    ],
)
def test_chunks_are_those_of_conlleval(tags, chunks):
    assert find_chunks(tags.split()) == chunks


def test_f1_by_hand():
    names = ["O", "B-a", "I-a", "B-b", "I-b"]
    numbers = {name: number for number, name in enumerate(names, 1)}

    def rows(*texts):
        tags = [[numbers[tag] for tag in text.split()] for text in texts]
        return torch.tensor([row + [0] * (4 - len(row)) for row in tags])

    true = rows("B-a I-a O B-b", "O B-a O", "B-b I-b I-b")
    predicted = rows("B-a I-a O B-a", "O B-a I-a", "O O O")  # right; wrong type; too long; missed
    metric = ChunkF1(names)
    metric.update(predicted, true)
    assert float(metric.compute()) == pytest.approx(2 * 1 / (3 + 4))
    halves = ChunkF1(names)
    for half in (slice(0, 1), slice(1, 3)):
        halves.update(predicted[half], true[half])
    assert halves.compute() == metric.compute()
    metric.reset()
    metric.update(torch.ones_like(true), torch.ones_like(true))
    assert float(metric.compute()) == 0  # there is no chunk
    metric.reset()
    metric.update(true, true)
    assert float(metric.compute()) == 1
    assert count_chunks([["I-a"]], [["B-a"]]) == (1, 1, 1)
    assert mode_of("val_slot_f1") == mode_of("val_sentence_accuracy") == "max"
    assert ChunkF1.higher_is_better


# ---- words ----


@pytest.fixture(scope="module")
def words():
    sentences = ("i'd fly from boston to st. louis at 5 pm o'clock", "r&b ii: new york 1000 3rd top-rated")
    return WordVocabulary.learn([sentence.split() for sentence in sentences])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("I'd fly, from Boston!", ["I'd", "fly", "from", "Boston"]),
        ("(boston/new york)?", ["boston", "new", "york"]),
        ("St. Louis, St. Louis.", ["St.", "Louis", "St.", "Louis"]),
        ("at 5 p.m. o\u2019clock", ["at", "5", "p.m", "o\u2019clock"]),
        ("R&B II: top-rated new-york", ["R&B", "II:", "top-rated", "new", "york"]),
        ("  $1,000 \u2014 O'Hare's  ", ["1,000", "O'Hare's"]),
        ("caf\u00e9 cafe\u0301", ["caf\u00e9", "cafe\u0301"]),
        ("?! ...", []),
        ("", []),
    ],
)
def test_words_of_users_keep_their_places(words, text, found):
    split = words.split(text)
    assert [text[word.start : word.end] for word in split] == found


def test_spellings_of_users_are_known_words(words):
    forms = {"p.m": "pm", "o\u2019clock": "o'clock", "1,000": "1000", "I'd": "I'd"}
    for text, form in forms.items():
        assert [word.form for word in words.split(text)] == [form]
        assert form in words


def test_ids_of_words_and_characters(words):
    ids, characters = words.encode([["Boston", "zürich"], ["4"], []])
    assert ids.shape == (3, 2)
    assert characters.shape == (3, 2, 6)
    assert ids[0, 0] > 1
    assert ids[0, 1] == 1  # an unknown word, whose characters but one are known
    assert (characters[0, 1] == 1).tolist() == [letter not in words.characters for letter in "zürich"]
    assert 1 in characters[0, 1]
    assert ids[1].tolist() == [words.encode([["5"]])[0].item(), 0]  # digits are alike
    assert characters[1, 0, 0] != words.encode([["5"]])[1][0, 0, 0]
    assert not ids[2].any()
    assert not characters[2].any()
    assert words.encode([["x" * 99]])[1].shape == (1, 1, LONGEST_WORD)
    assert words.encode([])[0].shape == (0, 1)


def test_rare_words_are_unknown():
    rows = [["a", "b"], ["a", "B", "c"]]
    assert WordVocabulary.learn(rows, min_count=2).words == ["a", "b"]
    assert WordVocabulary.learn(rows).characters == ["a", "b", "c"]


# ---- data ----


def test_splits_are_disjoint_by_utterance_and_the_test_split_is_whole(files):
    data = small_text("atis", files)
    data.setup()
    read, kept = data.read_all(), data.utterances()
    assert [len(read[split]) for split in ("train", "val", "test")] == [80, 12, 12]
    assert kept["test"] == read["test"]
    texts = {split: {" ".join(row.words) for row in rows} for split, rows in kept.items()}
    # ``write_utterances`` puts the first two utterances of the training split into the others.
    assert not texts["train"] & texts["test"]
    assert not texts["val"] & texts["test"]
    assert len(kept["train"]) <= 78
    assert len(kept["val"]) <= 10


@pytest.mark.parametrize(
    ("name", "published", "kept", "sizes"),
    [
        ("atis", (4478, 500, 893), (4395, 497, 893), {"num_tags": 127, "num_intents": 26}),
        ("snips", (13084, 700, 700), (13003, 699, 700), {"num_tags": 72, "num_intents": 7}),
    ],
)
def test_published_files_have_the_official_splits(name, published, kept, sizes):
    data = need_files(create_datamodule(name))
    data.setup()
    assert tuple(len(data.read_all()[split]) for split in ("train", "val", "test")) == published
    assert tuple(len(data.splits[split].groups) for split in ("train", "val", "test")) == kept
    assert sizes.items() <= data.spec.items()
    keys = [set(data.row_keys(split).tolist()) for split in data.splits]
    assert sum(map(len, keys)) == len(set.union(*keys))


def test_tags_and_words_are_read_back_from_the_batches(files):
    data = small_text("snips", files, min_count=1)
    data.setup()
    batch = data.decode_batch(tuple(tensor[:5] for tensor in data.splits["val"].tensors))
    build(data).check_batch(batch)
    words, characters, tags, intents = batch
    spec, rows = data.spec, data.utterances()["val"]
    for row, utterance in enumerate(rows[:5]):
        length = len(utterance.words)
        assert [spec["tags"][number - 1] for number in tags[row, :length].tolist()] == utterance.tags
        assert spec["intents"][int(intents[row])] == utterance.intent
        assert not words[row, length:].any()
        for place, word in enumerate(utterance.words):
            spelt = [spec["characters"][number - 2] for number in characters[row, place].tolist() if number > 1]
            assert word.startswith("".join(spelt)) or 1 in characters[row, place]
    assert words.shape[1] == max(len(row.words) for row in rows[:5])


def test_the_vocabulary_is_that_of_the_training_split(files):
    data = small_text("atis", files, min_count=1)
    train = {word for row in data.utterances()["train"] for word in row.words if not word.isdigit()}
    assert {word for word in data.spec["words"] if not word.isdigit()} == train


def test_a_changed_file_is_refused(tmp_path):
    write_utterances(tmp_path, "atis")
    data = small_text("atis", tmp_path)
    path = tmp_path / "atis" / "test" / "label"
    path.write_text(path.read_text().replace("flight", "fright"))
    with pytest.raises(ValueError, match=r"wrong checksum, not the published test/label; delete it and try again"):
        data.setup()


def test_files_that_do_not_fit_are_named(tmp_path):
    write_utterances(tmp_path, "atis")
    path = tmp_path / "atis" / "train" / "seq.out"
    whole = path.read_text()
    path.write_text(whole.replace("O", "O O", 1))
    with pytest.raises(ValueError, match=r"atis/train, line 1: .* expected a tag a word"):
        small_text("atis", tmp_path).setup()
    path.write_text(whole.split("\n", 1)[1])
    with pytest.raises(ValueError, match="atis/train: 80, 79 and 80 lines"):
        small_text("atis", tmp_path).setup()
    with pytest.raises(ValueError, match="min_count must be at least 1, not 0"):
        small_text("atis", tmp_path, min_count=0)


def test_a_model_of_other_tags_is_refused(fitted, files):
    model, _ = fitted
    data = small_text("snips", files)
    data.adopt(model.hparams)
    with pytest.raises(ValueError, match=r"snips: the model does not know the tags .B-fromloc.album"):
        data.setup()


# ---- the tagger ----


def test_the_loss_is_the_likelihood_of_intent_and_tags(files):
    data = small_text("atis", files)
    data.setup()
    words, characters, tags, intents = batch = data.decode_batch(tuple(t[:6] for t in data.splits["train"].tensors))
    for crf in (True, False):
        model = build(data, crf=crf).eval()
        scores, intent_scores = model.split_scores(model(words, characters))
        losses = F.cross_entropy(intent_scores, intents, reduction="none")
        for row, length in enumerate((words != 0).sum(1).tolist()):
            own = scores[row : row + 1, :length], tags[row : row + 1, :length]
            if crf:
                losses[row] -= model.net.crf.log_likelihood(own[0], own[1] - 1, torch.ones(1, length).bool())[0]
            else:
                losses[row] += F.cross_entropy(own[0][0], own[1][0] - 1, reduction="sum")
        torch.testing.assert_close(model.step(batch)["loss"], losses.mean())


@pytest.mark.parametrize("pooling", ["attention", "last", "max", "mean"])
@pytest.mark.parametrize(("crf", "intent_to_tags", "character_dim"), [(True, False, 0), (False, True, 8)])
def test_variants_do_not_see_the_padding(files, pooling, crf, intent_to_tags, character_dim):
    data = small_text("atis", files)
    data.setup()
    args = {"crf": crf, "intent_to_tags": intent_to_tags, "character_dim": character_dim, "layers": 2}
    model = build(data, pooling=pooling, **args)
    words, characters, *_ = batch = data.decode_batch(tuple(t[:6] for t in data.splits["train"].tensors))
    model.step(batch)["loss"].backward()
    assert all(part.grad is not None for name, part in model.named_parameters())
    model.eval()
    scores = model(words, characters)
    longer = model(F.pad(words, (0, 3)), F.pad(characters, (0, 2, 0, 3)))
    torch.testing.assert_close(longer[:, : words.shape[1]], scores)


def test_unknown_words_differ_by_their_characters(fitted):
    model, _ = fitted
    vocabulary = model.vocabulary
    ids = [vocabulary.encode([[word]]) for word in ("bostom", "qqq")]
    assert ids[0][0].tolist() == ids[1][0].tolist() == [[1]]
    pair = [model.eval()(*part) for part in ids]
    assert not torch.equal(*pair)


def test_word_dropout_replaces_words_in_training_alone(fitted):
    _, data = fitted
    words, characters, *_ = data.decode_batch(tuple(t[:4] for t in data.splits["train"].tensors))
    net = build(data, word_dropout=1.0).net
    unknown = torch.where(words > 0, 1, 0)
    assert torch.equal(net.train()(words, characters), net(unknown, characters))
    assert not torch.equal(net.eval()(words, characters), net(unknown, characters))


def test_made_up_utterances_are_learned_and_measured(fitted):
    model, data = fitted
    found = quiet_trainer().test(model, data, verbose=False)[0]
    assert set(found) == {"test_loss", "test_slot_f1", "test_intent_accuracy", "test_sentence_accuracy"}
    assert found["test_slot_f1"] > 0.9
    assert found["test_intent_accuracy"] > 0.6
    rows = data.utterances()["test"]
    answers = model.tag([" ".join(row.words) for row in rows])
    right = [
        answer.intent == row.intent
        and [(s.slot, s.text) for s in answer.slots]
        == [(kind, " ".join(row.words[a:b])) for kind, a, b in find_chunks(row.tags)]
        for answer, row in zip(answers, rows)
    ]
    assert sum(right) / len(right) == pytest.approx(found["test_sentence_accuracy"], abs=1e-6)


def test_texts_of_users_are_tagged_with_their_places(fitted):
    model, _ = fitted
    text = "  Show FROM San  Francisco, to (Boston)!"
    model.train()
    first, empty, second = model.tag([text, " ?! ", "show from denver to dallas at 5"])
    assert model.training
    assert [slot.slot for slot in first.slots][:2] == ["fromloc.city_name", "toloc.city_name"]
    assert [slot.text for slot in first.slots][:2] == ["San  Francisco", "Boston"]
    assert all(text[slot.start : slot.end] == slot.text for slot in first.slots)
    assert first.intent in model.hparams["intents"]
    assert 0 < first.probability <= 1
    assert empty == (None, None, [])
    assert model.tag(["show from denver to dallas at 5"])[0].slots == second.slots  # whatever it is padded to


def test_rows_for_users(fitted):
    model, data = fitted
    answers = zoo.predict(model, ["show from denver to dallas", "", "..."], data=data)
    assert answers[0]["slots"] == "fromloc.city_name: denver [10:16]; toloc.city_name: dallas [20:26]"
    assert list(answers[0]) == ["input", "text", "intent", "probability", "slots"]
    for blank in answers[1:]:
        assert (blank["intent"], blank["probability"], blank["slots"]) == (None, None, None)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"num_tags": 0}, "num_tags must be at least 1, not 0"),
        ({"vocab_size": 1}, "vocab_size must be at least 2, not 1"),
        ({"words": ["a", "b"], "vocab_size": 5}, "vocab_size=5 does not fit the 2 words: expected 4"),
        ({"tags": ["O"], "num_tags": 2}, "num_tags=2 does not fit the 1 tags: expected 1"),
        ({"pooling": "maximum"}, "unknown pooling 'maximum'"),
        ({"character_dim": -1}, "not 128, -1"),
        ({"dropout": 1.0}, "dropout must be in"),
    ],
)
def test_wrong_arguments_are_named(args, message):
    with pytest.raises(ValueError, match=message):
        zoo.create_model("lstm_tagger", **args)


def test_wrong_batches_and_texts_are_refused():
    model = zoo.create_model("lstm_tagger", **SMALL)
    words, characters = torch.ones(2, 3).long(), torch.ones(2, 3, 4).long()
    good = [words, characters, words, torch.tensor([0, 1])]
    model.check_batch(good)
    for place, wrong, message in (
        (0, words * 999, "words range from 999 to 999: expected 0 to 552"),
        (1, characters[:, :2], r"characters of shape \(2, 2, 4\): expected 2 x 3 x C"),
        (1, characters * 40, "characters range from 40 to 40"),
        (2, words * 128, "tags range from 128"),
        (2, words * 0, "expected a tag for each word"),
        (3, torch.tensor([0, 26]), "labels range from 0 to 26"),
    ):
        with pytest.raises(ValueError, match=message):
            model.check_batch([*good[:place], wrong, *good[place + 1 :]])
    with pytest.raises(ValueError, match="this model has no words"):
        model.tag(["a text"])
    for texts in ("a text", [1]):
        with pytest.raises(ValueError, match="expected a list of strings"):
            model.tag(texts)


# ---- baselines ----


def test_baselines_of_words_and_windows(files):
    data = small_text("atis", files)
    names = {"test_slot_f1", "test_intent_accuracy", "test_sentence_accuracy"}
    pairs, window = (BASELINES[name](None, data) for name in ("word_pair_tags", "window_logistic_regression"))
    assert set(pairs) == set(window) == names
    # The word before a name tells its slot, which a window sees of names of several words too.
    assert 0.5 < pairs["test_slot_f1"] < window["test_slot_f1"] == 1
    assert pairs["test_intent_accuracy"] == window["test_intent_accuracy"]


def test_features_of_a_window():
    found = window_features(["to", "ap57"])
    assert {"0=ap57", "-1=to", "1=<edge>", "-1,0=to ap57", "^=ap", "$=57", "shape=aa00"} <= set(found[1])
    assert "-1=<edge>" in found[0]
