"""Translators: what they read, step by step and at once, and sentences in, sentences out."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import assert_same, quiet_trainer, run_python, state
from lightning.pytorch.loggers import TensorBoardLogger
from small_texts import small_text, write_texts
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import zoo
from datamodules.text.vocabulary import END, PAD, START
from zoo import pretrained
from zoo.baselines.sentiment import EXAMPLES, HELD_OUT_WORDS, negation_sentences
from zoo.baselines.translation import score_translations
from zoo.callbacks import Embeddings, Translations
from zoo.cli import main
from zoo.nn.losses import token_loss
from zoo.nn.recurrent import CELLS, SequenceDropout

SMALL = {"vocab_size": 320, "embedding_dim": 24, "hidden_dim": 32}
ATTENTIONS = ("additive", "general", "none")
SHIPPED = [name for name in zoo.list_recipes("lstm_seq2seq.*") if zoo.load_recipe(name).data["name"] == "fra_eng"]
"""Recipes of sentences, all of which have weights."""
QUERIES = [name for name in zoo.list_recipes("lstm_seq2seq.*") if zoo.load_recipe(name).data["name"] == "geoquery"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_texts(tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="module")
def translator(files, tmp_path_factory):
    """A small translator fitted on made-up pairs, its data, and where it logged."""
    torch.manual_seed(0)
    data = small_text("fra_eng", files, batch_size=16, vocab_size=420)
    sizes = {"embedding_dim": 32, "hidden_dim": 64, "layers": 1}
    spec = {key: data.spec[key] for key in ("tokenizer", "max_length", "vocab_size")}
    model = zoo.create_model("lstm_seq2seq", **sizes, **spec, lr=5e-3, schedule="onecycle", clip_norm=1.0)
    logs = TensorBoardLogger(tmp_path_factory.mktemp("logs"))
    quiet_trainer(max_epochs=24, logger=logs, callbacks=[Translations(shown=4, mapped=1), Embeddings(50)]).fit(
        model, data
    )
    return model.eval(), data, logs.log_dir


def pairs(n=5, longest=8):
    """Draw sources and targets of several lengths."""
    ids = torch.randint(4, 320, (2, n, longest))
    for number, length in enumerate(torch.randint(1, longest - 1, (n,)).tolist()):
        ids[:, number, length] = END
        ids[:, number, length + 1 :] = PAD
    ids[:, :, 0] = START
    return ids


# ---- the network ----


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layers", [1, 2])
def test_one_token_at_a_time_is_all_at_once(cell, attention, layers):
    net = zoo.create_model("lstm_seq2seq", **SMALL, cell=cell, attention=attention, layers=layers).eval().net
    src, tgt = pairs()
    with torch.no_grad():
        expected = net(src, tgt)
        memory, mask, state_ = net.encode(src)
        for position in range(tgt.shape[1]):
            scores, state_, _ = net.decode(tgt[:, position : position + 1], memory, mask, state_)
            torch.testing.assert_close(scores[:, 0], expected[:, position])
        torch.testing.assert_close(net(F.pad(src, (0, 5)), F.pad(tgt, (0, 3)))[:, : tgt.shape[1]], expected)
        later = tgt.clone()
        later[:, 4:] = 7
        torch.testing.assert_close(net(src, later)[:, :4], expected[:, :4])  # no look ahead


def test_several_targets_of_a_source_share_its_memory():
    net = zoo.create_model("lstm_seq2seq", **SMALL).eval().net
    src, tgt = pairs(6)
    with torch.no_grad():
        memory, mask, first = net.encode(src[:2])
        found, _, weights = net.decode(tgt, memory, mask, tuple(part.repeat_interleave(3, 0) for part in first))
        torch.testing.assert_close(found, net(src[:2].repeat_interleave(3, 0), tgt))
    assert weights.shape == (6, tgt.shape[1], src.shape[1])
    torch.testing.assert_close(weights.sum(2), torch.ones(6, tgt.shape[1]))


def test_plain_model_knows_the_source_by_one_state_alone():
    net = zoo.create_model("lstm_seq2seq", **SMALL, attention="none").eval().net
    assert not any("attention" in key for key in net.state_dict())
    src, tgt = pairs()
    with torch.no_grad():
        memory, mask, first = net.encode(src)
        torch.testing.assert_close(net.decode(tgt, torch.zeros_like(memory), mask, first)[0], net(src, tgt))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_token_loss_is_torchs_cross_entropy(smoothing, dtype):
    scores = torch.randn(300, 50, dtype=dtype, requires_grad=True)
    before = scores.detach().clone()
    target = torch.randint(0, 50, (300,))
    target[::7] = PAD
    found = token_loss(scores, target, smoothing, PAD)
    (3 * found).backward()
    gradient, scores.grad = scores.grad, None
    expected = F.cross_entropy(scores.float(), target, ignore_index=PAD, label_smoothing=smoothing)
    (3 * expected).backward()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradient, scores.grad, atol=1e-6 if dtype == torch.float32 else 1e-4, rtol=1e-2)
    assert torch.equal(scores.detach(), before)
    assert token_loss(scores, torch.full((300,), PAD), smoothing, PAD) == 0


def test_dropout_is_the_same_at_all_positions():
    layer, x = SequenceDropout(0.25), torch.ones(200, 3, 50)
    dropped = layer(x)
    assert torch.equal(dropped[:, 0], dropped[:, 2])
    assert dropped.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert dropped.mean() == pytest.approx(1, abs=0.03)
    assert not torch.equal(dropped[0], dropped[1])
    assert torch.equal(layer.eval()(x), x)
    with pytest.raises(ValueError, match="dropout must be in"):
        SequenceDropout(1.0)


# ---- training ----


def test_guesses_are_read_in_place_of_some_true_tokens(files):
    data = small_text("fra_eng", files, batch_size=50)
    model = zoo.create_model("lstm_seq2seq", **SMALL, teacher_forcing=0.0)
    seen = []
    original = model.decoder_inputs
    model.decoder_inputs = lambda src, before: seen.append((before, original(src, before))) or seen[-1][1]
    quiet_trainer(max_epochs=3, limit_val_batches=0, limit_train_batches=2).fit(model, data)
    shares = [(read == true)[true > END].float().mean().item() for true, read in seen]
    assert shares[:2] == [1.0, 1.0]  # the first epoch reads what is true
    assert 0.3 < shares[2] < 0.7
    assert shares[4] < 0.2
    for true, read in seen:
        assert torch.equal((true == PAD), (read == PAD) & (true == PAD))
        assert torch.equal(true[:, 0], read[:, 0])


@pytest.mark.parametrize("name", ["lstm_seq2seq", "lstm_classifier"])
def test_resumed_fit_is_the_uninterrupted_one(name, files, tmp_path):
    source = "fra_eng" if name == "lstm_seq2seq" else "movie_reviews"

    def fit(epochs, **settings):
        torch.manual_seed(3)
        data = small_text(source, files, batch_size=25, batches_per_step=4)
        model = zoo.create_model(name, **SMALL, dropout=0.3, clip_norm=1.0, schedule="constant")
        trainer = quiet_trainer(max_epochs=epochs, limit_val_batches=0)
        trainer.fit(model, data, **settings)
        return model, trainer

    whole, _ = fit(4)
    _, first = fit(2)
    first.save_checkpoint(tmp_path / "first.ckpt")
    again, _ = fit(4, ckpt_path=tmp_path / "first.ckpt", weights_only=True)
    assert_same(state(whole), state(again))


def test_metrics_of_evaluation(translator):
    model, data, _ = translator
    batch = data.decode_batch(tuple(column[:7] for column in data.splits["val"].tensors))
    src, _, tgt, _ = batch
    with torch.no_grad():
        found, probabilities = model.step(batch), model(src, tgt[:, :-1]).softmax(2)
    nats = [
        -sum(probabilities[n, t, token].log() for t, token in enumerate(row[1:].tolist()) if token != PAD)
        for n, row in enumerate(tgt)
    ]
    torch.testing.assert_close(found["nats"], torch.stack(nats), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found["loss"], sum(nats) / (tgt[:, 1:] != PAD).sum(), rtol=1e-4, atol=1e-5)


# ---- use ----


def test_sentences_are_translated(translator):
    model, data, _ = translator
    sources, references = data.references()
    found = model.translate(sources)
    bleu = score_translations(found, references)["test_bleu"]
    assert bleu > 80
    assert score_translations(found, [*references[1:], references[0]])["test_bleu"] < bleu - 20
    assert model.translate(sources[:3]) == found[:3]  # whatever stands beside them
    assert model.translate([]) == []
    [row] = model.predict_rows(sources[:1])
    assert row["translation"] == found[0]
    assert 0.5 < row["confidence"] <= 1
    drawn = [model.translate(sources[:5], decoding="nucleus", seed=seed) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1]
    assert model.translate(sources[:5], beam=1) == model.translate(sources[:5], decoding="greedy")


@pytest.mark.parametrize("text", ["", "  ", "a" * 5_000, "mot " * 10_000, "漢字 🎉 кириллица", "\n\t\x00", "<s></s>"])
def test_any_string_is_answered(translator, text):
    [answer, plain] = translator[0].translate([text, "Le film est nul ici."])
    assert isinstance(answer, str)
    assert answer == text or text.strip()
    assert plain == translator[0].translate(["Le film est nul ici."])[0]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"beam": 0}, "beam must be positive, not 0"),
        ({"decoding": "beem"}, "unknown decoding 'beem': did you mean beam"),
        ({"length_penalty": -1.0}, "length_penalty must be at least 0"),
    ],
)
def test_wrong_decoding_is_refused_in_one_line(translator, args, message):
    with pytest.raises(ValueError, match=message):
        translator[0].translate(["Bonjour"], **args)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"attention": "generel"}, "unknown attention 'generel': did you mean general"),
        ({"cell": "lstn"}, "unknown cell 'lstn'"),
        ({"hidden_dim": 3}, "hidden_dim must be even"),
        ({"teacher_forcing": 1.5}, "teacher_forcing must be in"),
        ({"label_smoothing": 1.0}, "label_smoothing must be in"),
        ({"vocab_size": 3}, "vocab_size and max_length"),
        ({"dropout": 1.0}, "dropout must be in"),
    ],
)
def test_wrong_choice_is_refused_in_one_line(args, message):
    with pytest.raises(ValueError, match=message):
        zoo.create_model("lstm_seq2seq", **args)


def test_no_list_of_strings_is_refused(translator):
    with pytest.raises(ValueError, match="str: expected a list of strings"):
        translator[0].translate("Bonjour")
    with pytest.raises(ValueError, match="no tokenizer"):
        zoo.create_model("lstm_seq2seq").translate(["Bonjour"])


def test_tensorboard_shows_translations_and_attention(translator):
    events = EventAccumulator(translator[2], size_guidance={"images": 0, "tensors": 0, "scalars": 0})
    events.Reload()
    tags = events.Tags()
    assert "attention/0" in tags["images"]
    steps = [event.step // 46 for event in events.Scalars("val_bleu")]
    assert steps[0] == 1
    assert events.Scalars("val_bleu")[-1].step == 24 * 46
    assert events.Scalars("val_bleu")[-1].value > 80
    [text, *_] = events.Tensors("translations/text_summary")[-1].tensor_proto.string_val
    assert text.decode().count("\n") == 1 + 4
    assert "source | translation | reference" in text.decode()


def test_projector_shows_the_embedding(translator):
    model, _, logs = translator
    [folder] = Path(logs).glob("*/embedding")
    names = (folder / "metadata.tsv").read_text(encoding="utf-8").splitlines()
    vectors = np.loadtxt(folder / "tensors.tsv")
    assert vectors.shape == (len(names), 32)
    assert 0 < len(names) <= 50
    ids, subwords = model.vocabulary.subwords(50)
    assert names == subwords
    np.testing.assert_allclose(vectors, model.net.embedding.weight.detach()[ids], atol=1e-5)


def test_bleu_counts_every_reference():
    found = ["the cat sat on the mat", "hello there my friend"]
    several = [["a dog", "the cat sat on the mat"], ["hello there my friend"]]
    assert score_translations(found, several)["test_bleu"] == pytest.approx(100)
    assert score_translations(found, [["a dog"], ["hello there my friend"]])["test_exact"] == 0.5


def test_negations_are_balanced_and_kept_apart():
    sets = negation_sentences()
    assert len(sets["negation"]) == 203
    assert set(EXAMPLES) <= set(sets["negation"])
    for sentences in sets.values():
        share = sum(label == "positive" for _, label in sentences) / len(sentences)
        assert share == pytest.approx(0.5, abs=0.02)
    words = {name: {word for text, _ in sentences for word in text.split()} for name, sentences in sets.items()}
    assert len({text for sentences in sets.values() for text, _ in sentences}) == 203 + 96 + 96
    assert not set(sum(HELD_OUT_WORDS.values(), ())) & (words["negation"] | words["negation_aside"])
    assert not {"good", "bad", "movie"} & words["negation_aside"]


IN_A_NEW_PROCESS = """
import json, sys, time, zoo
sources = {"fra": ["Je t'aime.", "Où est la gare ?"], "eng": ["I love you.", "Where is the station?"]}
answers = {}
for recipe in sys.argv[1:]:
    model = zoo.create_model(recipe, pretrained=True)
    sentences = sources["eng" if ".eng_" in recipe else "fra"] * 50
    model.translate(sentences[:2])
    start = time.perf_counter()
    found = model.translate(sentences)
    answers[recipe] = time.perf_counter() - start, found
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def translated(tmp_path_factory):
    """Translate a hundred sentences with each shipped translator, in a new process without any data."""
    folder = tmp_path_factory.mktemp("new_process")
    result = run_python("-c", IN_A_NEW_PROCESS, *SHIPPED, cwd=folder, ZOO_DATA=str(folder / "none"))
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", SHIPPED)
def test_shipped_translator_needs_no_data(recipe, translated):
    seconds, found = translated[recipe]
    assert seconds < 5
    assert found[:2] == found[-2:]
    assert pretrained.weights_path(recipe).stat().st_size <= 10e6
    if "plain" not in recipe:
        assert found[0] in ("I love you.", "Je t'aime.", "Je vous aime.")


@pytest.mark.parametrize("recipe", QUERIES)
def test_shipped_writer_of_queries_needs_no_data(recipe, elsewhere):
    model = zoo.create_model(recipe, pretrained=True)
    (query,) = model.translate(["What is the capital of Ohio?"])
    assert query.startswith("SELECT")
    assert '"ohio"' in query
    assert query.count("(") == query.count(")")


@pytest.mark.parametrize("recipe", SHIPPED[:1])
def test_command_line_translates_a_file(recipe, tmp_path, capsys):
    (tmp_path / "in.txt").write_text("Hello.\n\nBonjour.\n", encoding="utf-8")
    assert main(["predict", recipe, str(tmp_path / "in.txt"), "--output", str(tmp_path / "out.txt")]) == 0
    assert len((tmp_path / "out.txt").read_text(encoding="utf-8").splitlines()) == 3
    (tmp_path / "bad.txt").write_bytes(b"caf\xe9\n")
    assert main(["predict", recipe, str(tmp_path / "bad.txt")]) == 2
    assert "line 1: not UTF-8" in capsys.readouterr().err
