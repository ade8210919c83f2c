"""Language models of e-mails: no secret is suggested, words are completed from any letter, contexts are optional."""

import itertools
import math

import numpy as np
import pytest
import torch
from test_mails import COMMON, NAMED

import zoo
from datamodules.text.private_patterns import LINE, NAME, SEPARATOR, SHOWN, SYMBOLS
from datamodules.text.private_words import PrivateWords
from datamodules.text.vocabulary import END, START, Vocabulary
from zoo.nn.completions import TypedTokens

SMALL = {"embedding_dim": 4, "hidden_dim": 6}


@pytest.fixture(scope="module")
def private():
    return PrivateWords.learn([*COMMON * 6, *NAMED * 3])


def mail_model(private, texts, contexts=None, epochs=60, **sizes):
    """A small model that has learned texts by heart, as they are."""
    vocabulary = Vocabulary.train([*texts, *(contexts or ())], 420, symbols=SYMBOLS, at_most=True)
    spec = {"tokenizer": vocabulary.json, "vocab_size": len(vocabulary), "private_words": private.json}
    torch.manual_seed(0)
    model = zoo.create_model(
        "lstm_language_model", **{"embedding_dim": 24, "hidden_dim": 64, "layers": 1, **sizes}, **spec
    )
    (separator,) = vocabulary.ids_of([SEPARATOR])
    subjects = [[START, *ids, separator] for ids in vocabulary.encode(contexts or [""] * len(texts))]
    rows = [[*before, *ids, END] for before, ids in zip(subjects, vocabulary.encode(texts))]
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    for k, row in enumerate(rows):
        ids[k, : len(row)] = torch.tensor(row)
    batch = ids, torch.tensor([len(before) for before in subjects])
    steps = torch.optim.Adam(model.parameters(), 2e-2)
    for _ in range(epochs):
        steps.zero_grad()
        model.step(batch)["loss"].backward()
        steps.step()
    return model.eval()


SECRETS = ("Zebulon", "zebulon", "ZEBULON", "Quark", "713", "0199", "zq", "enron", "Main", "Grant")
LEAKS = [
    f"please call Zebulon Quark at 713-555-0199{LINE} thank you",
    f"please mail zq@enron.com about the meeting.{LINE} Zebulon",
    "see zebulon at the office of Grant",
    f"thank you for your help at 12 Main Street{LINE} Grant",
    "ZEBULON sent the bill to zebulon",
]


@pytest.fixture(scope="module")
def leaky(private):
    return mail_model(private, LEAKS)


@torch.no_grad()
def test_a_model_that_knows_secrets_by_heart_suggests_none(leaky):
    vocabulary, prompts = leaky.vocabulary, leaky.prompts
    knows = 0
    for text in LEAKS:
        (ids,) = vocabulary.encode([text])
        before = [START, *vocabulary.ids_of([SEPARATOR])]
        best = leaky(torch.tensor([before + ids[:-1]]))[0].argmax(1)[len(before) - 1 :]
        knows += int((best == torch.tensor(ids)).sum()) / len(ids)
    assert knows > 0.8 * len(LEAKS)
    asked = {text[:k].replace(LINE, "\n") for text in LEAKS for k in range(0, len(text), 4)}
    for text in sorted(asked):
        for until in ("word", "sentence"):
            for found in leaky.complete(text, 4, until=until, max_length=12, beam=8):
                whole = text + found.text
                assert not [secret for secret in SECRETS if secret in found.text], (text, found)
                assert not any(c.isdigit() for c in found.text)
                last = whole[: len(text) + len(found.text)].split()[-1].strip(".,'\n") if found.text.strip() else ""
                assert last in ("", "<name>", *SHOWN.values()) or any(
                    part.lower() in prompts.private.words for part in (last, last.removesuffix("'s"))
                ), (text, found)
        sampled = leaky.sample(text, 15, top_p=0.5)
        assert not [secret for secret in SECRETS if secret in sampled], (text, sampled)


def test_names_of_the_prompt_are_read_as_symbols(leaky):
    assert leaky.nats(["please call Zebulon Quark at 713"]) == leaky.nats(["please call Xy at 9"])
    assert leaky.complete("please call Zebulon Quark at ") == leaky.complete("please call Xy Yz at ")


@pytest.fixture(scope="module")
def trained(private):
    texts = [f"thank you for your help.{LINE} please call me", "the price is right", f"thanks for the bill,{NAME}"] * 2
    return mail_model(private, texts, ["", "", "", "help", "price", "bill"], epochs=80)


def test_words_are_completed_from_any_of_their_letters(trained):
    for k in range(2, len("thank you for your help.\nplease call me")):
        text = "thank you for your help.\nplease call me"[:k]
        following = "thank you for your help.\nplease call me."[k:]
        found = trained.complete(text, 3)
        assert any(following.startswith(each.text) for each in found), (text, found)
    assert {each.text for each in trained.complete("tha", 2)} == {"nk", "nks"}
    assert {each.text for each in trained.complete("thank", 2)} == {"s", " you"}
    assert trained.complete("thanks for the bill, ", 1)[0].text == "<name>"
    assert trained.complete("thanks for the bill,", 1)[0].text == " <name>"
    assert trained.complete("the price", 1, until="sentence")[0].text == " is right"
    assert sum(each.probability for each in trained.complete("than", 50)) == pytest.approx(1, abs=0.05)


def test_a_context_is_read_and_is_optional(trained):
    first = {context: trained.complete("", 1, context=context)[0].text for context in ("price", "bill", "help")}
    assert first == {"price": "the", "bill": "thanks", "help": "thank"}
    assert sum(each.probability for each in trained.complete("", 5)) > 0.9
    assert trained.sample("", 30, context="price", top_p=0.1) == "the price is right"
    one, other = trained.nats(["the price is right"] * 2, ["price", "bill"])
    assert one < 0.2 < other
    with pytest.raises(ValueError, match="1 contexts of 2 texts: expected one of each"):
        trained.nats(["a", "b"], ["c"])
    with pytest.raises(ValueError, match="context is a int: expected a string"):
        trained.complete("a", context=5)


@torch.no_grad()
def test_nats_are_those_of_the_scored_tokens(trained):
    ids, unscored = trained.prompts.sequence("the price is right", "price")
    values = trained.step((torch.tensor([ids]), torch.tensor([unscored])))
    assert trained.nats(["the price is right"], ["price"]) == [pytest.approx(float(values["loss"]), rel=1e-3)]
    assert values["weight"] == len(ids) - unscored


def test_a_model_without_contexts_takes_none():
    vocabulary = Vocabulary.of_characters(["ab c"])
    model = zoo.create_model("lstm_language_model", **SMALL, tokenizer=vocabulary.json, vocab_size=len(vocabulary))
    with pytest.raises(ValueError, match="context: this model reads no context"):
        model.complete("ab", context="a")


# ---- typed text ----


def toy(surfaces, seed=0):
    """A random function of the last token, and its log-probabilities."""
    draw = torch.Generator().manual_seed(seed)
    table = (2 * torch.randn(len(surfaces), len(surfaces), generator=draw)).log_softmax(1)
    return lambda last, state: (table[last], state), table


@pytest.mark.parametrize("typed", ["a", "ab", "aba", " a", "bab"])
def test_the_mass_of_a_typed_text_is_that_of_all_its_divisions(typed):
    surfaces = ["", "a", "b", "ab", "ba", "aba", " ", " a", " ab", "c"]
    before = torch.tensor([text[:1] in ("", " ") for text in surfaces])
    step, table = toy(surfaces)
    last, whole, ended = 9, 0.0, 0.0
    for n in range(1, len(typed) + 1):
        for tokens in itertools.product(range(1, len(surfaces)), repeat=n):
            texts = [surfaces[i] for i in tokens]
            written = "".join(texts)
            if written.startswith(typed) and len("".join(texts[:-1])) < len(typed):
                p = math.exp(sum(float(table[i, j]) for i, j in itertools.pairwise((last, *tokens))))
                whole += p
                if written == typed:
                    ended += p * float(table[tokens[-1]].exp()[before].sum())
    state = (torch.zeros(1, 1),)
    found = TypedTokens(surfaces, typed, before).log_masses(step, state, last, beam=50)
    np.testing.assert_allclose(np.exp(found), [whole, ended], rtol=1e-4)
