"""Subject lines of e-mails: copying, masks, data, scores and what a model writes."""

import gzip
import json

import pytest
import torch
from conftest import quiet_trainer
from small_texts import small_text, write_mails

import zoo
from datamodules.text.mail_masks import CONTACTS, FIGURES, MAIL_SYMBOLS, OTHER, MailMasks
from datamodules.text.vocabulary import END, PAD, START
from zoo.baselines import measure
from zoo.baselines.subjects import score_subjects
from zoo.models.seq2seq import mix_copies
from zoo.nn.losses import token_loss

SMALL = {"vocab_size": 320, "embedding_dim": 24, "hidden_dim": 32}
MAIL = (
    "Dear Ms. Jones,\nthe NYMEX files of 2001 are at http://files.example.com/a?b=1 and cost $ 12,500.00 as of "
    "10/30/01.\nCall 713-345-6687 or x37041, write to ann.lee@example.com or Ann Lee/HOU/ECT@ECT, "
    "or come to 1400 Smith Street on the 5th at 9. That is 12,500.00, not 777."
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    root = tmp_path_factory.mktemp("mails")
    write_mails(root)
    return root


@pytest.fixture(scope="module")
def fitted(files):
    """A small model fitted on e-mails, and its data."""
    torch.manual_seed(0)
    data = small_text("aeslc_subjects", files, batch_size=10)
    sizes = {"embedding_dim": 32, "hidden_dim": 48, "layers": 1, "copying": True}
    model = zoo.create_model("lstm_seq2seq", **sizes, **data.spec, lr=1e-2, schedule="onecycle", clip_norm=1.0)
    quiet_trainer(max_epochs=14, limit_val_batches=0).fit(model, data)
    return model.eval(), data


# ---- copying ----


def test_probabilities_are_the_mixture():
    torch.manual_seed(0)
    scores, logit = torch.randn(4, 3, 11), torch.randn(4, 3, 1)
    weights = torch.rand(4, 3, 5).softmax(2)
    src = torch.tensor([[2, 7, 7, 10, 3], [2, 4, 3, 0, 0]])  # two targets of each source
    found = mix_copies(scores, logit, weights, src).exp()
    for m in range(4):
        for t in range(3):
            g = logit[m, t, 0].sigmoid()
            expected = g * scores[m, t].softmax(0)
            for s, token in enumerate(src[m // 2].tolist()):
                expected[token] += (1 - g) * weights[m, t, s]
            torch.testing.assert_close(found[m, t], expected)
    torch.testing.assert_close(found.log().log_softmax(2), found.log())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("logit", [-200.0, 0.0, 200.0])
def test_extreme_scores_have_finite_gradients(dtype, logit):
    scores = (300 * torch.randn(2, 3, 20)).to(dtype).requires_grad_()
    logits = torch.full((2, 3, 1), logit, dtype=dtype, requires_grad=True)
    weights = (100 * torch.randn(2, 3, 4)).softmax(2).to(dtype).requires_grad_()
    found = mix_copies(scores, logits, weights, torch.randint(4, 20, (2, 4)))
    assert found.dtype == torch.float32
    assert found.isfinite().all()
    token_loss(found.flatten(0, 1), torch.randint(4, 20, (6,)), 0.1).backward()
    assert all(part.grad.isfinite().all() for part in (scores, logits, weights))


@pytest.mark.parametrize("attention", ["additive", "general"])
def test_copying_one_token_at_a_time_is_all_at_once(attention):
    model = zoo.create_model("lstm_seq2seq", **SMALL, attention=attention, copying=True)
    src, tgt = torch.randint(4, 320, (3, 9)), torch.randint(4, 320, (6, 5))
    src[0, 6:] = PAD
    with torch.no_grad():
        net = model.eval().net
        memory, mask, first = net.encode(src)
        first = tuple(part.repeat_interleave(2, 0) for part in first)
        found = net.decode(tgt, memory, mask, first, src)[0]
        torch.testing.assert_close(found, net(src.repeat_interleave(2, 0), tgt))
        torch.testing.assert_close(found.exp().sum(2), torch.ones(6, 5))
        state = first
        for position in range(5):
            scores, state, _ = net.decode(tgt[:, position : position + 1], memory, mask, state, src)
            torch.testing.assert_close(scores[:, 0], found[:, position])
        with pytest.raises(ValueError, match="decodes with src"):
            net.decode(tgt, memory, mask, first)
        assert net(torch.zeros(2, 3, dtype=torch.long), tgt[:2]).isfinite().all()  # sources of padding alone
    model.train().step((src, None, tgt[:3], None))["loss"].backward()
    assert all(part.grad is not None and part.grad.abs().sum() > 0 for part in model.parameters())


@pytest.mark.slow
def test_a_network_with_copying_exports():
    net = zoo.create_model("lstm_seq2seq", **SMALL, copying=True).eval().net
    x = torch.randint(4, 320, (3, 9)), torch.randint(4, 320, (3, 5))
    shapes = tuple({0: torch.export.Dim("rows")} for _ in x)
    program = torch.export.export(net, x, dynamic_shapes=shapes)
    other = tuple(part[:2] for part in x)
    with torch.no_grad():
        torch.testing.assert_close(program.module()(*other), net(*other))


def test_a_network_without_copying_has_no_more_parameters():
    torch.manual_seed(0)
    plain = zoo.create_model("lstm_seq2seq", **SMALL).state_dict()
    torch.manual_seed(0)
    copying = zoo.create_model("lstm_seq2seq", **SMALL, copying=True).state_dict()
    assert set(copying) - set(plain) == {"net.generation.weight", "net.generation.bias"}
    assert all(torch.equal(copying[key], plain[key]) for key in plain)
    with pytest.raises(ValueError, match="copying needs attention, not none"):
        zoo.create_model("lstm_seq2seq", attention="none", copying=True)


def key_words(n, words, draw):
    """Draw sources of 5 words with one marked by token 4 before it, and that word as the target."""
    src = words[torch.randint(len(words), (n, 7), generator=draw)]
    places = torch.randint(1, 5, (n,), generator=draw)
    row = torch.arange(n)
    src[:, 0], src[:, 6] = START, END
    src[row, places] = 4
    return src, torch.stack([torch.full((n,), START), src[row, places + 1], torch.full((n,), END)], 1)


@pytest.mark.parametrize("copying", [True, False])
def test_tokens_unseen_in_training_are_copied(copying):
    draw = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    known, unseen = torch.arange(5, 205), torch.arange(205, 305)
    model = zoo.create_model("lstm_seq2seq", **SMALL, layers=1, copying=copying)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(110):
        src, tgt = key_words(64, known, draw)
        optimizer.zero_grad()
        model.step((src, None, tgt, None))["loss"].backward()
        optimizer.step()
    src, tgt = key_words(100, unseen, draw)
    right = (model.eval().translated(src, beam=2)[:, 0] == tgt[:, 1]).float().mean()
    assert right > 0.9 if copying else right < 0.1


# ---- masks ----


def test_addresses_and_numbers_are_replaced():
    text, values = MailMasks.learn([]).mask(MAIL)
    assert {key: value for key, value in values.items() if key in MAIL_SYMBOLS} == {
        OTHER: "",
        CONTACTS[0]: "http://files.example.com/a?b=1",
        CONTACTS[1]: "713-345-6687",
        CONTACTS[2]: "x37041",
        CONTACTS[3]: "ann.lee@example.com",
        CONTACTS[4]: "Lee/HOU/ECT@ECT",
        CONTACTS[5]: "1400 Smith Street",
        FIGURES[0]: "12,500.00",
        FIGURES[1]: "10/30/01",
        FIGURES[2]: "777",
    }
    assert f"NYMEX files of 2001 are at {CONTACTS[0]} and cost $ {FIGURES[0]} as of {FIGURES[1]}. Call" in text
    assert f"on the 5th at 9. That is {FIGURES[0]}, not {FIGURES[2]}." in text


@pytest.mark.parametrize("contact", ["(713) 345-6687", "713.345.6687", "+1 713-345-6687 ext. 12", "+44 20 7783 0000"])
def test_telephone_numbers_are_found(contact):
    assert MailMasks.learn([]).mask(f"call {contact} today").values[CONTACTS[0]] == contact


def test_what_has_no_symbol_left_is_other():
    text, values = MailMasks.learn([]).mask(" ".join(str(number) for number in range(3000, 3040)))
    assert text.count(OTHER) == 40 - len(FIGURES)
    assert not any(character.isdigit() for character in text)
    assert len(values) == len(FIGURES) + 1


def test_a_subject_has_the_symbols_of_its_mail_only():
    masks = MailMasks.learn([])
    values = masks.mask(MAIL).values
    subject = "RE: 12,500.00 of 2001, not 12,500, call 713-345-6687, not 713-000-0000"
    masked = MailMasks.mask_subject(subject, values)
    assert masked == f"RE: {FIGURES[0]} of 2001, not , call {CONTACTS[1]}, not"
    assert masks.unmask(masked, values).startswith("RE: 12,500.00 Of 2001")
    assert masks.unmask(f"files {OTHER}{FIGURES[9]}", values) == "Files"


def test_capitals_are_those_of_the_mail_or_of_training_subjects():
    masks = MailMasks.learn(["Plan of Enron", "PLAN of gas", "Plan of gas", "eol", "eol", "EOL", "EOL", "EOL", "Rare"])
    values = masks.mask("The NYMEX plan for Jones, a rare one of EOL by McCoy").values
    assert masks.unmask("the nymex plan of jones, eol and mccoy", values) == "The NYMEX Plan of Jones, EOL And McCoy"
    assert masks.unmask("gas rare", {}) == "Gas Rare"
    assert masks.mask("ALL IS LOUD").values == {OTHER: ""}
    again = MailMasks(masks.json)
    assert again.unmask("eol of plan", {}) == "EOL of Plan"
    for damaged in ("", "[]", "{", '{"a": 1}', "3"):
        with pytest.raises(ValueError, match="not serialised masks of e-mails"):
            MailMasks(damaged)


# ---- data ----


def test_rows_are_what_the_mails_say(files):
    data = small_text("aeslc_subjects", files)
    data.setup()
    assert [len(data.splits[name].groups) for name in ("train", "val", "test")] == [120, 40, 40]
    src, src_len, tgt, tgt_len = data.decode_batch(data.splits["train"].tensors)
    texts, subjects = data.masked("train")
    assert data.vocabulary.decode(src.tolist()) == [text.lower() for text in texts]
    assert data.vocabulary.decode(tgt.tolist()) == [subject.lower() for subject in subjects]
    assert all(subject[-1] in FIGURES[:2] for subject in subjects)  # "train 119" is a number too
    assert not any("713" in text for text in texts)
    assert torch.equal((src != 0).sum(1), src_len)
    assert torch.equal((tgt != 0).sum(1), tgt_len)
    short = small_text("aeslc_subjects", files, max_length=12)
    short.setup()
    src = short.splits["test"].column(0)
    assert src.shape[1] == 12
    assert (src[:, -1] == END).all()
    with pytest.raises(ValueError, match="has a validation split of its own"):
        small_text("aeslc_subjects", files, val_size=3)


def test_a_file_is_one_mail(files, tmp_path):
    data = small_text("aeslc_subjects", files)
    (tmp_path / "mail.txt").write_text(MAIL, encoding="utf-8")
    assert data.read(str(tmp_path / "mail.txt")) == [MAIL]
    assert data.read(MAIL) == [MAIL]
    (tmp_path / "mails.csv").write_text('text\n"one\nmail"\nanother\n', encoding="utf-8")
    assert data.read(str(tmp_path / "mails.csv")) == ["one\nmail", "another"]
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(ValueError, match="is empty: expected an e-mail"):
        data.read(str(tmp_path / "empty.txt"))
    with pytest.raises(FileNotFoundError, match="no such file"):
        data.read("missing.txt")
    with pytest.raises(ValueError, match="no file of a table"):
        data.read(str(tmp_path / "mail.txt"), column="text")


# ---- scores ----


def test_rouge_is_the_f1_of_words_and_pairs():
    found = score_subjects(["the Gas plan", "x"], ["Gas plan for 2001!", "x"])
    f1 = 2 * (2 / 3) * (2 / 4) / (2 / 3 + 2 / 4)
    pairs = 2 * (1 / 2) * (1 / 3) / (1 / 2 + 1 / 3)
    assert found == pytest.approx(
        {"test_rouge1": 50 * (f1 + 1), "test_rouge2": 50 * pairs, "test_rougeL": 50 * (f1 + 1)}, abs=0.01
    )


def test_baselines_take_sentences_and_keywords(tmp_path):
    (tmp_path / "aeslc").mkdir()
    rows = {
        part: [
            {
                "id": f"{part}{k}",
                "body": f"Budget {part}{k} now. Please see budget memo, page 9.",
                "subject": "budget memo",
            }
            for k in range(8)
        ]
        for part in ("train", "dev", "test")
    }
    for part, each in rows.items():
        content = "".join(json.dumps(row) + "\n" for row in each)
        (tmp_path / "aeslc" / f"{part}.jsonl.gz").write_bytes(gzip.compress(content.encode()))
    data = small_text("aeslc_subjects", tmp_path)
    names = ("first_sentence", "four_keywords", "tfidf_keywords")
    found = {name: measure("baseline", name, None, data).metrics for name in names}
    assert found["first_sentence"]["test_rouge1"] == pytest.approx(100 * 2 / 5)  # budget test0 now
    assert found["four_keywords"]["test_rouge1"] == pytest.approx(100 * 4 / 6)  # budget test0 memo page
    assert found["four_keywords"]["test_rougeL"] == pytest.approx(100 * 4 / 6)
    assert found["tfidf_keywords"]["test_rouge1"] >= 100 * 2 / 6


# ---- the model ----


def test_a_fitted_model_writes_subjects(fitted):
    model, data = fitted
    scores = measure("measure", "subject_rouge", model, data).metrics
    assert scores["test_rouge2"] > 80  # a number and a noun
    assert scores["test_rouge2"] > measure("baseline", "first_sentence", model, data).metrics["test_rouge2"]
    mail = "Dear test 9,\nthe film of 4711 is at work. Call me at 713-555-0009.\nYours, Ann"
    assert model.translate([mail]) == ["Film 4711"]
    [row] = model.predict_rows([mail])
    assert row["translation"] == "Film 4711"
    assert 0.2 < row["confidence"] <= 1
    assert model.predict_step(data.vocabulary.encode_padded([f"the film of {FIGURES[0]}"], 60, ends=True), 0).shape == (
        1,
    )


@pytest.mark.parametrize(
    "text",
    ["", " \n", "<s> </s> <pad>", "x " * 5_000, "5551 " * 500, FIGURES[0] + OTHER, "漢字\ud800\x00", "a" * 9_000],
)
def test_any_string_is_answered(fitted, text):
    [answer, plain] = fitted[0].translate([text, MAIL])
    assert isinstance(answer, str)
    assert answer == text or not set(answer) & set(MAIL_SYMBOLS)
    assert "\n" not in answer.strip()
    assert plain == fitted[0].translate([MAIL])[0]


def test_a_model_carries_its_masks_and_its_length_penalty(fitted, files, tmp_path):
    model, _ = fitted
    trainer = quiet_trainer(max_epochs=0)
    trainer.strategy.connect(model)
    trainer.save_checkpoint(tmp_path / "own.ckpt")
    again = type(model).load_from_checkpoint(tmp_path / "own.ckpt", weights_only=True, length_penalty=3.0)
    assert again.translate([MAIL], length_penalty=0.6) == model.translate([MAIL])
    assert again.translate([MAIL]) == model.translate([MAIL], length_penalty=3.0)
    other = small_text("aeslc_subjects", files, max_length=40, vocab_size=380)
    other.setup()
    other.adopt(model.hparams)
    assert other.spec == {key: model.hparams[key] for key in other.spec}
    with pytest.raises(ValueError, match="expected one of them"):
        zoo.create_model("lstm_seq2seq", mail_masks="{}", database_values="{}")


def test_predict_gives_the_subject_of_a_file(fitted, tmp_path):
    model, data = fitted
    (tmp_path / "mail.txt").write_text("Dear test 9,\nthe film of 4711 is at work.\n\nYours, Ann\n")
    [row] = zoo.predict(model, str(tmp_path / "mail.txt"), tmp_path / "out.txt", data=data)
    assert row["translation"] == "Film 4711"
    assert (tmp_path / "out.txt").read_text() == "Film 4711\n"
