"""What a translator makes of texts as people write them: sentences, numbers, names, capitals, and phrases in a loop."""

import json
import random

import pytest
import torch
from conftest import quiet_trainer
from small_texts import small_text

import zoo
from datamodules.text.alignment import WordPair, word_pairs
from datamodules.text.entity_masks import NAMES, NUMBERS, SHOWN, SYMBOLS, EntityMasks, localize_number
from datamodules.text.lexicon import Lexicon
from datamodules.text.sentences import edited, split_long, split_sentences
from datamodules.text.vocabulary import END, PAD, START, Vocabulary
from zoo.baselines.everyday import everyday_translation, has_repeats
from zoo.baselines.everyday_sentences import EVERYDAY
from zoo.nn.decoding import beam_search, greedy, nucleus
from zoo.nn.decoding_constraints import CopiedSymbols, forbid_repeats
from zoo.tasks.sources import SourceText

WORDS = "I Monday have dogs a dog is here need help old man sea the and in met Tom Paris NATO TV left my name left at"
ENGLISH = EntityMasks(json.dumps({"source": "eng", "target": "fra", "words": WORDS}))


def knows(word):
    return word in ENGLISH.words


# ---- sentences ----


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Hello. How are you?  Fine!\n", ["Hello.", "How are you?", "Fine!"]),
        ("First line\n\n  second line\r\nthird\n", ["First line", "second line", "third"]),
        ("Mr. Baker met J. K. Rowling, e.g. in St. Ives. He left.", None),
        ("It costs 3.50 euros. Really?", ["It costs 3.50 euros.", "Really?"]),
        ("no capitals. here too! ok", ["no capitals.", "here too!", "ok"]),
        ("Wait... he said nothing. (Why?) Because.", ["Wait... he said nothing.", "(Why?)", "Because."]),
        ("Vraiment ? Oui. Il partit.", ["Vraiment ?", "Oui.", "Il partit."]),
        ("", []),
        (" \n\t\n", []),
    ],
)
def test_texts_are_divided_and_nothing_is_lost(text, sentences):
    found = split_sentences(text)
    assert "".join(sentence + space for sentence, space in found) == text
    if sentences is None:
        sentences = ["Mr. Baker met J. K. Rowling, e.g. in St. Ives.", "He left."]
    assert [sentence for sentence, _ in found if sentence.strip()] == sentences


def test_any_text_can_be_put_together_again():
    draw = random.Random(0)
    for _ in range(300):
        text = "".join(
            draw.choice(["a", "B", ".", "?", "!", " ", "\n", "\r", "Mr", "é", '"', "1", "\t"]) for _ in range(30)
        )
        assert "".join(sentence + space for sentence, space in split_sentences(text)) == text
        parts = split_long(text, lambda part: len(part) <= 7)
        assert "".join(part + space for part, space in parts) == text
        assert max(len(part) for part, _ in parts) <= 7


@pytest.mark.parametrize(
    ("text", "ready", "answer"),
    [
        ("i have a dog", "I have a dog.", "Oui"),
        ("I HAVE A DOG!", "I have a dog!", "OUI."),
        ("I NEED help.", "I need help.", "Oui."),
        ("tom met NATO", "Tom met NATO.", "Oui"),
        ("NATO TV", "NATO TV.", "Oui"),
        ("The Old Man And The Sea", "The old man and the sea.", "Oui"),
        ("SIOBHAN IS HERE", "Siobhan is here.", "OUI"),
        ("Tom is here.", "Tom is here.", "Oui."),
    ],
)
def test_sentences_are_written_as_in_edited_text(text, ready, answer):
    found, restore = edited(text, knows)
    assert found == ready
    assert restore("Oui.") == answer


# ---- numbers and names ----


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("I have 25 dogs.", "I have # dogs."),
        ("I need 1,500.50, a 3.5 and 7%.", "I need #, a # and #%."),
        ("Siobhan met Tom in Reykjavik.", "@ met Tom in @."),
        ("Siobhan O'Brien left Monday.", "@ left Monday."),
        ("Dogs left.", "Dogs left."),
        ("Mr. Dogs left.", "@. @ left."),  # the word after a title is a name whatever it means
        ("A dog at bob@x.org, www.x.org/a or http://x.org.", "A dog at @, @ or @."),
        ("The MP3 is here at 10:30.", "The @ is here at #."),
        ("I need help 😀", "I need help @"),
    ],
)
def test_numbers_and_names_are_replaced_and_put_back(text, masked):
    found, values = ENGLISH.mask(text)
    shown = "".join("#" if c in NUMBERS else "@" if c in NAMES else c for c in found)
    assert shown == masked
    same = EntityMasks(json.dumps({"source": "eng", "target": "eng", "words": WORDS}))
    assert same.unmask(found, values) == text


@pytest.mark.parametrize(
    ("number", "french"),
    [
        ("1,500.5", "1 500,5"),
        ("3.5", "3,5"),
        ("2013", "2013"),
        ("10:30", "10 h 30"),
        ("555-0199", "555-0199"),
        ("1.2.3", "1.2.3"),
    ],
)
def test_numbers_are_written_as_the_language_does(number, french):
    assert localize_number(number, "eng", "fra") == french
    assert localize_number(french, "fra", "eng") == number
    assert localize_number(number, "eng", "deu") == number


def test_names_are_learned_from_what_is_copied():
    pairs = [("Ann is here.", "Ann est ici."), ("I met Ann.", "J'ai rencontré Ann."), ("On Monday.", "Lundi.")]
    found = EntityMasks.learn([*pairs, ("We met on Monday.", "On s'est rencontré lundi.")], "eng", "fra")
    assert "Monday" in found.words
    assert not {"Ann", "ann"} & found.words
    many = EntityMasks.learn([("I met Ann.", "J'ai rencontré Ann.")] * 20, "eng", "fra")
    assert "Ann" in many.words  # the network learns a frequent name itself
    assert found.mask("Bea met Ann on Monday.").text == f"{NAMES[0]} met {NAMES[1]} on Monday."
    assert EntityMasks(found.json).words == found.words
    with pytest.raises(ValueError, match="not serialised entity masks"):
        EntityMasks("[]")


def test_pairs_have_the_same_masks_on_both_sides():
    one, two = NUMBERS[:2]
    assert ENGLISH.mask_pair("I have 2 and 1,500.", "J'ai 1 500 et 2.") == (
        f"I have {one} and {two}.",
        f"J'ai {two} et {one}.",
    )
    assert ENGLISH.mask_pair("I have 2 dogs.", "J'ai deux chiens.") == ("I have 2 dogs.", "J'ai deux chiens.")
    assert ENGLISH.mask_pair("Bo is here.", "Bo est là.") == (f"{NAMES[0]} is here.", f"{NAMES[0]} est là.")
    assert ENGLISH.mask_pair("two dogs", "deux chiens", all_names=True) == (f"{one} dogs", f"{one} chiens")
    masked = ENGLISH.mask_pair("Bo met Tom.", "Bo a rencontré Tom.", lambda symbols: symbols[::-1], all_names=True)
    assert masked == (f"{NAMES[9]} met {NAMES[8]}.", f"{NAMES[9]} a rencontré {NAMES[8]}.")


def test_french_words_lose_their_vowel_before_a_name():
    assert (
        ENGLISH.unmask(f"le chien de {NAMES[0]} et {NAMES[1]}", {NAMES[0]: "Anna", NAMES[1]: "Bo"})
        == "le chien d'Anna et Bo"
    )


@pytest.mark.parametrize(
    ("source", "text", "masked", "translated"),
    [
        ("eng", "Have you met Mrs. Okafor?", "Have you met <name 1>?", "Have you met Mme Okafor?"),
        ("eng", "Mr Okafor-Reed's dog", "<name 1>'s dog", "M. Okafor-Reed's dog"),
        (
            "eng",
            "I met Dr. Tom Zwick and Miss Eva.",
            "I met <name 1> and <name 2>.",
            "I met Dr Tom Zwick and Mlle Eva.",
        ),
        ("eng", "Mr. J. Ford is here.", "<name 1> is here.", "M. J. Ford is here."),
        ("fra", "M. Petrov et Mme Roy en 2 ans", "<name 1> et <name 2> en <number 1> ans", None),
    ],
)
def test_titles_are_those_of_the_language(source, text, masked, translated):
    masks = EntityMasks(json.dumps({"source": source, "target": "fra" if source == "eng" else "eng", "words": WORDS}))
    found = masks.mask(text)
    assert found.text.translate(SHOWN) == masked
    assert masks.unmask(found.text, found.values) == (translated or "Mr. Petrov et Mrs. Roy en 2 ans")


def test_masks_stand_apart_from_words():
    assert ENGLISH.unmask(f"a book of{NAMES[0]}and{NUMBERS[0]}.", {NAMES[0]: "Roy", NUMBERS[0]: "2"}) == (
        "a book of Roy and 2."
    )
    assert ENGLISH.unmask(f"un livre d'{NAMES[0]}, {NUMBERS[0]}%", {NAMES[0]: "Achebe", NUMBERS[0]: "2"}) == (
        "un livre d'Achebe, 2%"
    )


def test_full_hours_alone_are_followed_by_the_word():
    assert ENGLISH.unmask(f"à {NUMBERS[0]} heures.", {NUMBERS[0]: "17:45"}) == "à 17 h 45."
    assert ENGLISH.unmask(f"à {NUMBERS[0]} heures.", {NUMBERS[0]: "17"}) == "à 17 heures."
    assert ENGLISH.unmask(f"en {NUMBERS[0]} heures.", {NUMBERS[0]: "1,500"}) == "en 1 500 heures."


def test_no_mask_reaches_the_reader():
    assert ENGLISH.unmask(f"un {NAMES[0]} deux {NUMBERS[3]}", {}) == "un  deux "


def test_a_symbol_is_one_token_and_spaces_are_kept():
    texts = [f"I have {NUMBERS[0]} dogs", f"${NUMBERS[1]}, {NAMES[0]}'s!"]
    vocabulary = Vocabulary.train(texts * 5, 300, symbols=SYMBOLS)
    ids = vocabulary.ids_of(SYMBOLS)
    assert None not in ids
    for text in texts:
        encoded = vocabulary.encode([text])[0]
        assert vocabulary.decode([encoded]) == [text]
        assert sum(i in ids for i in encoded) == sum(c in SYMBOLS for c in text)


# ---- single words ----


def test_words_are_aligned_by_what_they_occur_with():
    words = {"cat": "chat", "dog": "chien", "house": "maison", "red": "rouge"}
    draw = random.Random(0)
    pairs = []
    for _ in range(200):
        chosen = draw.sample(sorted(words), 2)
        pairs.append((f"The {chosen[0]} and the {chosen[1]}.", f"Le {words[chosen[0]]} et le {words[chosen[1]]}."))
    found = {pair.source: pair for pair in word_pairs(pairs)}
    assert {key: found[key].target for key in words} == words
    assert all(0.3 <= pair.probability <= 1 + 1e-9 for pair in found.values())
    assert word_pairs([]) == []


@pytest.mark.parametrize(
    ("text", "translation"),
    [
        ("house", "maison"),
        ("House.", "Maison."),
        ("HOUSE!", "MAISON !"),
        ("why?", "pourquoi ?"),
        ("Why?!", "Pourquoi ?!"),
        ("Why...", "Pourquoi..."),
        ("monday", "lundi"),
        ("Monday", "Lundi"),
        ("I", "Je"),
        ("the house", None),
        ("garden", None),
        ("", None),
        ("?", None),
    ],
)
def test_a_single_word_is_looked_up(text, translation):
    pairs = [("house", "maison"), ("why", "pourquoi"), ("Monday", "lundi"), ("I", "je")]
    lexicon = Lexicon.of_pairs([WordPair(*pair, 0.75) for pair in pairs], "eng", "fra")
    found = Lexicon(lexicon.json).look_up(text)
    assert (found and found.translation) == translation
    assert found is None or found.probability == 0.75
    assert ("Monday.", "Lundi.") in lexicon.sentences


@pytest.mark.parametrize("json_", ["", "[]", "{}", '{"source": "eng", "target": "fra", "words": "a b 0.5 c"}'])
def test_what_is_no_lexicon_is_refused(json_):
    with pytest.raises(ValueError, match="not a serialised lexicon"):
        Lexicon(json_)


# ---- decoding ----


def chain(n, size):
    """Return a step function of random log-probabilities that depend on the last token."""
    table = torch.randn(size, size).log_softmax(1)
    return lambda last, state: (table[last], state)


@pytest.mark.parametrize("decode", [greedy, nucleus, beam_search])
def test_no_phrase_is_repeated(decode):
    step, common = chain(4, 9), {"start": 0, "end": 8, "max_length": 30}

    def never(tokens, log_probabilities):
        return log_probabilities.index_fill(1, torch.tensor([8]), -20.0)

    loops = decode(step, (torch.zeros(4, 1),), 4, **common, adjust=never)[0]
    found = decode(step, (torch.zeros(4, 1),), 4, **common, adjust=lambda t, p: forbid_repeats(t, never(t, p), 3))[0]

    def repeats(row):
        grams = [tuple(row[k : k + 3]) for k in range(len(row) - 2)]
        return len(set(grams)) < len(grams)

    rows = [row[: row.index(8)] if 8 in row else row for row in found.tolist()]
    assert not any(map(repeats, rows))
    assert any(repeats(row) for row in loops.tolist())


@pytest.mark.parametrize("decode", [greedy, nucleus, beam_search])
def test_each_symbol_of_the_source_is_copied_once(decode):
    source = torch.tensor([[0, 5, 6, 8], [0, 6, 8, 8], [0, 1, 2, 8]])
    copied = CopiedSymbols(source, [5, 6, 7], 8, penalty=100.0)

    def adjust(tokens, log_probabilities):
        return forbid_repeats(tokens, copied(tokens, log_probabilities), 2)

    found = decode(chain(3, 9), (torch.zeros(3, 1),), 3, start=0, end=8, max_length=80, adjust=adjust)[0].tolist()
    rows = [row[: row.index(8)] if 8 in row else row for row in found]
    assert [sorted(i for i in row if i in (5, 6, 7)) for row in rows] == [[5, 6], [6], []]


# ---- the datamodule and the task ----


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    """Made-up pairs, some with numbers and names."""
    root = tmp_path_factory.mktemp("numbered")
    draw, pairs = random.Random(0), []
    things = {"dogs": "chiens", "cats": "chats", "books": "livres", "cars": "voitures", "keys": "clés"}
    colours = {"red": "rouges", "small": "petits", "big": "grands", "old": "vieux"}
    for _ in range(400):
        (thing, french), (colour, couleur) = draw.choice([*things.items()]), draw.choice([*colours.items()])
        number, name = draw.randrange(2, 900), "".join(draw.choices("abcdefgh", k=5)).title()
        pairs.append((f"{name} has {number} {thing}.", f"{name} a {number} {french}."))
        pairs.append((f"We like {colour} {thing}.", f"On aime {french} {couleur}."))
        pairs.append((f"We have {number} {colour} {thing}.", f"On a {number} {french} {couleur}."))
    (root / "fra-eng").mkdir()
    (root / "fra-eng" / "fra.txt").write_text("".join(f"{a}\t{b}\n" for a, b in pairs))
    return root


def test_masks_and_words_are_added_to_training_alone(numbered):
    plain = small_text("fra_eng", numbered, source="eng", vocab_size=350)
    data = small_text("fra_eng", numbered, source="eng", vocab_size=350, entity_masks=True, words=4)
    plain.setup()
    data.setup()
    for name in ("val", "test"):
        assert len(data.splits[name].groups) == len(plain.splits[name].groups)
        assert data.references(name) == plain.references(name)
    texts = data.vocabulary.decode(data.splits["train"].column(0).tolist())
    assert len(texts) > len(plain.splits["train"].groups)
    assert not any(character.isdigit() for text in texts for character in text)
    groups = [set(split.groups.tolist()) for split in data.splits.values()]
    assert not groups[0] & (groups[1] | groups[2])
    assert {"tokenizer", "entity_masks", "lexicon"} <= set(data.spec)
    assert not {"entity_masks", "lexicon"} & set(plain.spec)
    assert len(data.lexicon.entries) == 4
    assert data.lexicon.entries["dogs"].translation == "chiens"
    heard = {text.strip(" .") for part in ("val", "test") for side in data.sentences(part) for text in side}
    assert not heard & set(data.lexicon.entries)
    model = zoo.create_model("lstm_seq2seq", embedding_dim=4, hidden_dim=4, layers=1, **data.spec)
    [found] = model.translate_with_confidence(["dogs\nCats!"])
    assert found.text == "chiens\nChats !"
    assert found.confidence == min(data.lexicon.look_up(word).probability for word in ("dogs", "cats"))
    other = small_text("fra_eng", numbered, source="eng", vocab_size=350)
    other.adopt(model.hparams)
    assert other.spec["lexicon"] == data.spec["lexicon"]
    with pytest.raises(ValueError, match="words must be at least 0, not -1"):
        small_text("fra_eng", numbered, words=-1)


@pytest.fixture(scope="module")
def copier(numbered):
    """A translator that has learned to copy masks."""
    torch.manual_seed(0)
    data = small_text("fra_eng", numbered, source="eng", vocab_size=350, entity_masks=True, batch_size=16)
    sizes = {"embedding_dim": 32, "hidden_dim": 48, "layers": 1}
    model = zoo.create_model("lstm_seq2seq", **sizes, **data.spec, lr=1e-2, schedule="onecycle", clip_norm=1.0)
    quiet_trainer(max_epochs=10).fit(model, data)
    return model.eval()


def test_data_are_encoded_with_the_masks_of_the_model(numbered, copier):
    data = small_text("fra_eng", numbered, source="eng", vocab_size=320, seed=3)
    data.setup()
    data.adopt(copier.hparams)
    assert data.spec["entity_masks"] == copier.hparams["entity_masks"]
    texts = data.vocabulary.decode(data.splits["test"].column(0).tolist())
    assert not any(character.isdigit() for text in texts for character in text)
    with pytest.raises(ValueError, match="the model translates from eng, the data from fra"):
        small_text("fra_eng", numbered, source="fra").adopt(copier.hparams)


def test_unseen_numbers_and_names_survive(copier):
    [found, capitals, lower] = copier.translate(
        ["Zoltan has 4,711.5 dogs.", "WE LIKE OLD CATS.", "we like big books\n\nIris has 2 keys. We like red cars."]
    )
    assert found == "Zoltan a 4 711,5 chiens."
    assert capitals == "ON AIME CHATS VIEUX."
    assert lower == "On aime livres grands\n\nIris a 2 clés. On aime voitures rouges."


def test_confidence_is_of_each_sentence(copier):
    [found, empty, foreign, mixed] = copier.translate_with_confidence(
        ["We like red cats. We like old dogs.", "...", "你好吗朋友", "Ann has 3 cats.\nxqzj vwk qqp zzx."]
    )
    assert [each.source for each in found.sentences] == ["We like red cats.", "We like old dogs."]
    assert all(0.5 < each.confidence <= 1 for each in found.sentences)
    assert (empty.text, empty.confidence) == ("...", None)
    assert (foreign.text, foreign.confidence) == ("你好吗朋友", 0)
    assert mixed.confidence == min(each.confidence for each in mixed.sentences)
    ids = copier.vocabulary.encode_padded(["We like cats."], 20, ends=True)
    written = copier.translated(ids)
    scores = copier(ids, torch.cat([torch.full((1, 1), START), written[:, :-1]], 1)).log_softmax(2)
    end = written[0].tolist().index(END) + 1
    by_hand = scores[0, torch.arange(end), written[0, :end]].mean().exp()
    torch.testing.assert_close(
        copier.confidence(ids, torch.nn.functional.pad(written, (0, 2), value=PAD)), by_hand[None]
    )


@pytest.mark.parametrize(
    "text",
    [
        "\u200b",
        "\ufeff We like red cats.",
        "We\u00a0like\u2028red cats.",
        "We like \ud83d red cats.",
        f"We like {NAMES[0]} red cats.",
    ],
)
def test_what_is_not_seen_is_left_out(copier, text):
    assert copier.translate([text])[0].strip() == ("On aime chats rouges." if "cats" in text else "")


def test_long_sentences_are_divided_and_not_cut(copier):
    text = ", ".join(f"We have {k} red cats" for k in range(2, 40))
    parts = SourceText(text, copier.vocabulary, 20, copier.entity_masks).parts
    assert "".join(part.source + part.space for part in parts) == text
    assert all(len(copier.vocabulary.encode([part.ready])[0]) <= 18 for part in parts)
    assert len(copier.translate_with_confidence([text])[0].sentences) > 4


def test_masks_of_token_ids_are_shown_by_name(copier):
    ids = copier.vocabulary.encode_padded([copier.entity_masks.mask("Iris has 2 keys.").text], 20, ends=True)
    assert copier.predict_step((ids,), 0).tolist() == ["<name 1> a <number 1> clés."]


def test_wrong_settings_are_refused(copier):
    with pytest.raises(ValueError, match="no_repeat must be 0, for none, or at least 2, not 1"):
        copier.translate(["We like cats."], no_repeat=1)


# ---- the sentences of our own ----


def test_everyday_sentences_hold_what_their_kind_says():
    assert sum(map(len, EVERYDAY.values())) == 200
    assert len(EVERYDAY["numbers"]) == len(EVERYDAY["names"]) == 60
    assert all(any(c.isdigit() for c in text) for pair in EVERYDAY["numbers"] for text in pair)
    assert all(text.isupper() for pair in EVERYDAY["capitals"] for text in pair)
    sides = [text for pairs in EVERYDAY.values() for english, _ in pairs for text in [english]]
    assert len(set(sides)) == 200
    assert has_repeats("a b c a b d a b")
    assert not has_repeats("a b c a b d")


@pytest.mark.parametrize("source", ["eng", "fra"])
def test_everyday_translations_are_measured_by_kind(source):
    class Data:
        pass

    class Echo:
        def translate(self, texts):
            return list(texts)

    class Oracle:
        def translate(self, texts):
            pairs = [pair if source == "eng" else pair[::-1] for kind in EVERYDAY.values() for pair in kind]
            return [dict(pairs)[text] for text in texts]

    Data.source = source
    echo, oracle = everyday_translation(Echo(), Data), everyday_translation(Oracle(), Data)
    for name in ("numbers", "names"):
        assert echo.metrics[f"test_everyday_{name}"] == 1.0  # the text itself has them all
    assert echo.metrics["test_everyday_words"] == echo.metrics["test_everyday_capitals"] == 0.0
    assert echo.metrics["test_everyday_bleu"] < 30
    perfect = {f"test_everyday_{name}": 1.0 for name in ("numbers", "names", "capitals", "words")}
    assert oracle.metrics == pytest.approx(perfect | {"test_everyday_repeats": 0.0, "test_everyday_bleu": 100.0})
    assert len(oracle.report.splitlines()) == 200
