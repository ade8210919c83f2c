"""E-mails: what is private is read as symbols and never suggested; rows score each token of a body once."""

import gzip
import json
import zipfile

import numpy as np
import pooch
import pytest
import torch
from conftest import no_server, quiet_trainer
from small_texts import small_text, write_texts

import datamodules
from datamodules.aeslc import SUBJECT, Mail, mail_key, mails_sha256, without_contexts
from datamodules.text.private_patterns import LINE, NAME, NUMBER, RARE, SEPARATOR, SYMBOLS
from datamodules.text.private_words import PrivateWords
from datamodules.text.vocabulary import END, PAD, START
from zoo.baselines import measure
from zoo.baselines.ngrams import ngram_probabilities

COMMON = (
    "please call me about the meeting will you mark the bill that i have sent to our office and thank you for the help "
    "your",
    "it may be green if the price is right we said so at the house and see you there or ask for more of them by mail",
)
NAMED = (
    "Hi Phillip,\nwe spoke to Phillip and Zebulon and asked Quark about it. Thanks, Bill",
    "Dear Grant,\nthe price that Zebulon Green gave is right. Mark",
)


@pytest.fixture(scope="module")
def private():
    return PrivateWords.learn([*COMMON * 6, *NAMED * 3])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_texts(tmp_path_factory.mktemp("texts"))


# ---- symbols ----


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("call me at 713-345-6687", "call me at <phone>"),
        ("call (713) 345 6687 or x31787 or 345-6687.", "call <phone> or <phone> or <phone>."),
        ("call +1 713.345.6687 ext. 12", "call <phone>"),
        ("mail ann.lee@enron.com, or Ann_Lee/HOU/ECT@ECT", "mail <e-mail>, or <e-mail>"),
        ("see https://a.b/c?d=1. or www.enron.com/x", "see <link>. or <link>"),
        ("see enron.com or draft2.doc", "see <link> or <link>"),
        ("see \\\\server\\lee\\x", "see <link>"),
        ("see 401 Carlson Circle, or 12 N. main street or P.O. Box 12", "see <address>, or <address> or <address>"),
        ("1,608,683.05 or 10/30/01 or 9:00am or $5", "<number> or <number> or <number> or $<number>"),
        ("12¾ or ²³ or \u0663", "<number>\u2044<number> or <number> or <number>"),
        ("SDG2 and 3Q and 30th", "<number> and <number> and <number>"),
        ("1 2\t3 and 4", "<number> and <number>"),
        ("please call Phillip", "please call <name>"),
        ("please call phillip, or PHILLIP", "please call <word>, or <name>"),
        ("call Phillip K. Quark-Lee's office", "call <name>. <name>-<name>'s office"),
        ("call Xavier or xavier", "call <name> or <word>"),
        ("hi xavier, call me", "hi <name>, call me"),
        ("see mr. green", "see mr. green"),
        ("see Mr. Green or Mr Office", "see Mr. <name> or Mr <name>"),
        ("Will you call Will and will Mark mark it?", "Will you call <name> and will <name> mark it?"),
        ("Bill, the bill is right. Bill it to our office.", "<name>, the bill is right. Bill it to our office."),
        ("thank you for the bill.\nBill", "thank you for the bill.\n<name>"),
        ("Hi Mark, thank you\nBill Green", "Hi <name>, thank you\n<name>"),
        ("I see Zebulon Office at the Office house", "I see <name> at the Office house"),
        ("May I see you in May or on Monday?", "May I see you <word> May or <word> Monday?"),
        ("PLEASE CALL ME AT THE OFFICE", "PLEASE CALL ME AT THE OFFICE"),
        ("the McX or eBay", "the <name> or <name>"),
        ("Thanks,\n\n  Phillip", "Thanks,\n<name>"),
        ("(Phillip) \"Quark\" /Lee/", "(<name>) \"<name>\" /<name>/"),
        ("", ""),
        (" \n ", ""),
    ],
)  # fmt: skip
def test_what_is_private_is_shown_as_its_kind(private, text, shown):
    assert private.show(private.mask(text)) == shown


def test_symbols_cannot_be_written_and_are_masked_once(private):
    assert private.mask(f"call{''.join(SYMBOLS)} me") == "call me"
    masked = private.mask("Hi Phillip,\ncall 12 or x")
    assert masked == f"Hi{NAME},{LINE} call{NUMBER} or{RARE}"
    assert private.show(masked + SEPARATOR) == "Hi <name>,\ncall <number> or <word>"


def test_names_of_training_are_no_common_words_and_few_texts_make_none(private):
    assert private.words >= {"please", "mark", "will", "green"}
    assert not private.words & {"phillip", "zebulon", "quark", "spoke"}
    assert private.ambiguous >= {"mark", "will", "bill"}
    assert "phillip" not in private.json.lower()
    assert PrivateWords(private.json).mask("Hi Phillip") == private.mask("Hi Phillip")
    assert "zebulon" in PrivateWords.learn(["see zebulon"] * 5).words
    assert "zebulon" not in PrivateWords.learn(["see zebulon"] * 4).words
    assert "zebulon" not in PrivateWords.learn(["see zebulon", "and Zebulon", "or Zebulon too"] * 5).words
    for wrong in ("", "[]", "{}", '{"words": 1, "ambiguous": ""}'):
        with pytest.raises(ValueError, match="not serialised private words: expected JSON with words and ambiguous"):
            PrivateWords(wrong)


@pytest.mark.parametrize(
    "continuation", [" you", " the bill", " please.", f"{NAME},{LINE} thank you", ".", f" at{NUMBER}"]
)
def test_common_words_and_symbols_are_offered(private, continuation):
    assert private.offers("thank", continuation)
    assert private.hide("thank", continuation) == continuation


@pytest.mark.parametrize(
    "continuation",
    [
        " Phillip",
        " zebulon",
        " 7",
        " x1",
        " a@b",
        " Mark",
        ".\nBill",
        f"{NAME} Green",
        " Mr. Office",
        f"{RARE}",
        " enron.com",
    ],
)
def test_private_words_are_not_offered(private, continuation):
    assert not private.offers("please call", continuation)
    assert not {"Phillip", "zebulon", "7", "x1", "a@b"} & set(private.hide("please call", continuation).split())


def test_a_word_may_go_on_if_it_is_no_name(private):
    assert private.may_go_on("please call the off", "off")
    assert private.may_go_on("Than", "Than")
    assert private.may_go_on("thank", "thank")
    assert not private.may_go_on("call Phillip", "Phillip")
    assert not private.may_go_on("call Mark", "Mark")
    assert not private.may_go_on("mail ann@off", "off")


# ---- data ----


def test_published_files_and_the_archive_give_the_same_mails(files, tmp_path, monkeypatch):
    data = small_text("aeslc", files)
    parts = {}
    for part in ("train", "dev", "test"):
        content = gzip.decompress((files / "aeslc" / f"{part}.jsonl.gz").read_bytes())
        parts[part] = [json.loads(line) for line in content.splitlines()]
    with zipfile.ZipFile(tmp_path / "aeslc.zip", "w") as archive:
        archive.writestr("AESLC-master/README.md", "x")
        for part, rows in parts.items():
            for row in rows:
                more = "\n\n@ann0\nother\n\n@ann1\nmore" if part != "train" else ""
                content = f"{row['body']}{SUBJECT}{row['subject']}{more}"
                archive.writestr(f"AESLC-master/enron_subject_line/{part}/{row['id']}.subject", content)
    other = datamodules.create_datamodule("aeslc", root=str(tmp_path))
    with pytest.raises(
        ValueError, match=r"aeslc\.zip: wrong checksum of the e-mails of train, not the published AESLC"
    ):
        other.read_all()
    other.sha256_mails = {part: mails_sha256([Mail(*row.values()) for row in rows]) for part, rows in parts.items()}
    assert {part: set(mails) for part, mails in other.read_all().items()} == {
        part: set(mails) for part, mails in data.read_all().items()
    }
    monkeypatch.setattr(pooch, "retrieve", no_server)
    with pytest.raises(FileNotFoundError, match=r"aeslc\.zip is missing and no server answers"):
        datamodules.create_datamodule("aeslc", root=str(tmp_path / "none")).setup()


def test_a_body_is_in_one_split_and_once_in_training(files):
    data = small_text("aeslc", files)
    mails = {name: [Mail(f"{name}{k}", f"{name} text {k}", "x") for k in range(4)] for name in data.sha256_files}
    repeated = Mail("a", "One  Text", "y"), Mail("b", "one text\n", "z"), Mail("c", "ONE TEXT", "x")
    mails = {name: [*own, other] for (name, own), other in zip(mails.items(), repeated)}
    mails["train"] += [Mail("d", "TRAIN text 0", "w")]
    data._read_folder = lambda folder: mails
    found = data.mails()
    assert [len(found[part]) for part in ("train", "val", "test")] == [4, 4, 5]
    keys = [mail_key(mail) for part in found.values() for mail in part]
    assert len(set(keys)) == len(keys)


def test_rows_score_each_token_of_a_body_once(files):
    data = small_text("aeslc", files)
    data.setup()
    (separator,) = data.vocabulary.ids_of([SEPARATOR])
    for part, split in data.splits.items():
        sequences, contexts = data.sequences(part), data.contexts(part)
        expected = [ids[unscored:].tolist() for ids, unscored in zip(sequences, contexts)]
        for ids, unscored in zip(sequences, contexts):
            assert ids[0] == START
            assert ids[unscored - 1] == separator
            assert ids[-1] == END
            assert unscored <= data.context
        found, several = [], 0
        for row, start in zip(*(tensor.tolist() for tensor in split.tensors)):
            row = [i for i in row if i != PAD]
            assert 0 < len(row) - start <= data.length
            if row[0] == START:
                found.append(row[start:])
            else:
                assert start == data.context
                assert (found[-1][-start:] if len(found[-1]) >= start else row[:start]) == row[:start]
                found[-1] += row[start:]
                several += 1
        assert found == expected
        assert several
    shown = [data.private_words.show(mail.text) for mail in data.text_splits()["test"]]
    assert data.words("test") == sum(len(text.split()) for text in shown)
    assert "713" not in "".join(shown)
    assert "Ann" not in "".join(shown)
    assert data.vocabulary.decode([expected[0]]) == [data.text_splits()["test"][0].text]


def test_half_of_the_mails_are_trained_without_their_subject(files):
    import lightning as L

    data, seen = small_text("aeslc", files, batch_size=16, length=200, context=12), []

    class Watcher(L.LightningModule):
        def training_step(self, batch, index):
            seen.append((self.trainer.current_epoch, *batch))

        def configure_optimizers(self):
            return None

    quiet_trainer(max_epochs=3, limit_val_batches=0).fit(Watcher(), data)
    whole = sorted(tuple(ids[start:]) for ids, start in zip(data.sequences("train"), data.contexts("train")))
    dropped = []
    for epoch in range(3):
        rows = [
            (tuple(i for i in row if i != PAD), k)
            for number, ids, start in seen if number == epoch for row, k in zip(ids.tolist(), start.tolist())
        ]  # fmt: skip
        assert sorted(row[k:] for row, k in rows) == whole
        without = {row[k:] for row, k in rows if k == 2}
        assert 0.3 < len(without) / len(set(whole)) < 0.7
        dropped.append(without)
    assert dropped[0] != dropped[1] != dropped[2]


def test_dropping_a_subject_keeps_the_rest():
    ids = torch.tensor([[START, 7, 8, 5, 9, 9, END], [START, 5, 9, END, PAD, PAD, PAD], [8, 8, 8, 6, 6, END, PAD]])
    start = torch.tensor([4, 2, 3])
    found, numbers = without_contexts(ids, start, torch.tensor([True, True, True]))
    assert found.tolist() == [[START, 5, 9, 9, END, PAD, PAD], ids[1].tolist(), ids[2].tolist()]
    assert numbers.tolist() == [2, 2, 3]
    found, numbers = without_contexts(ids, start, torch.tensor([False, False, False]))
    assert torch.equal(found, ids)
    assert torch.equal(numbers, start)


def test_ngrams_score_the_tokens_of_the_network(files):
    data = small_text("aeslc", files)
    train, test, starts = data.sequences("train"), data.sequences("test"), data.contexts("test")
    *_, p = ngram_probabilities(train, test, len(data.vocabulary) - 2, 5, "witten_bell")
    scored = np.concatenate([np.arange(len(ids)) >= start for ids, start in zip(test, starts)])
    found = measure("baseline", "witten_bell_5", None, data).metrics["test_nats"]
    assert found == pytest.approx(-np.log(p[scored]).mean())
    words = measure("baseline", "kneser_ney_5", None, data).metrics["test_word_nats"]
    assert 0 < words < 3 * scored.sum() / data.words("test")


def test_bad_arguments_are_refused(files):
    for args, message in (
        ({"val_size": 5}, "val_size=5 does not fit: aeslc has a validation split of its own"),
        ({"context": 2}, "length must be at least 1 and context at least 3, not 16 and 2"),
        ({"fewest": 0}, "fewest must be at least 1, not 0"),
    ):
        with pytest.raises(ValueError, match=message):
            small_text("aeslc", files, **args)
