"""Texts: subwords, splits that share nothing, batches of one length."""

import shutil
import tarfile
import zipfile

import numpy as np
import pooch
import pytest
import torch
from conftest import need_files, no_server
from small_texts import small_text, write_texts

import datamodules
from datamodules import fra_eng
from datamodules.loader import BucketSampler
from datamodules.reviews import all_phrases, detokenize, longest_phrases
from datamodules.text.files import read_lines
from datamodules.text.labels import read_labelled
from datamodules.text.negations import NEGATION_WORD
from datamodules.text.vocabulary import END, PAD, START, Vocabulary, pad_sequences

CORPUS = [
    *("the film is dull", "the plot is lovely", "a film , a plot !", "où est la scène ?", "une caméra et un acteur"),
    *("nobody knows the director of photography", "where the music ends , silence begins"),
] * 30


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_texts(tmp_path_factory.mktemp("texts"))


# ---- subwords ----


@pytest.mark.parametrize(
    "text",
    ["the film is dull", "an unseen word", "l'été, où ?", "漢字 and 🎉!", "a" * 500, "", "Straße", "tab\tand  spaces"],
)
def test_any_text_comes_back(text):
    vocabulary = Vocabulary.train(CORPUS, 320)
    [ids] = vocabulary.encode([text])
    assert vocabulary.decode([ids]) == [" ".join(text.split())]
    assert all(0 <= i < len(vocabulary) for i in ids)
    assert 1 not in ids  # nothing is unknown
    [ends] = vocabulary.encode([text], ends=True)
    assert ends == [START, *ids, END]
    assert vocabulary.decode([[*ends, PAD, PAD, 300]]) == [" ".join(text.split())]


def test_vocabulary_is_its_json_and_repeats():
    one, two = (Vocabulary.train(CORPUS, 320) for _ in range(2))
    assert one.json == two.json
    again = Vocabulary(one.json)
    assert again.encode(CORPUS) == one.encode(CORPUS)
    assert len(again) == 320
    lower = Vocabulary.train(CORPUS, 320, lowercase=True)
    assert lower.encode(["The FILM"]) == lower.encode(["the film"])
    assert one.encode(["The FILM"]) != one.encode(["the film"])
    assert one.pieces(one.encode(["the film"])[0])[0] == "the"


@pytest.mark.parametrize(
    ("size", "message"),
    [(10, "vocab_size must be at least 300, not 10"), (5000, "vocab_size=5000 is larger than the texts allow")],
)
def test_wrong_size_of_vocabulary_is_named(size, message):
    with pytest.raises(ValueError, match=message):
        Vocabulary.train(CORPUS, size)
    with pytest.raises(ValueError, match="not a tokenizer"):
        Vocabulary("{}")


def test_rows_are_filled_up_and_cut():
    ids, lengths = pad_sequences([[5, 6, 7], [8], []], 2)
    assert ids.tolist() == [[5, 6], [8, 0], [0, 0]]
    assert lengths.tolist() == [2, 1, 0]
    assert ids.dtype == np.int16
    assert pad_sequences([[40_000]], 2)[0].dtype == np.int32
    assert pad_sequences([], 2)[0].shape == (0, 1)


# ---- batches ----


@pytest.mark.parametrize("world", [1, 3])
def test_buckets_hold_each_row_once_and_rows_of_one_length(world):
    lengths = torch.randint(1, 60, (1003,), generator=torch.Generator().manual_seed(0))
    samplers = [BucketSampler(lengths, 16, pool=20, seed=1, rank=rank, world_size=world) for rank in range(world)]
    order = torch.stack([sampler.rows() for sampler in samplers], 1).flatten()
    assert len(order) == 1003 - 1003 % world
    assert len(order.unique()) == len(order)
    batches = order.split(16 * world)
    padding = sum(len(b) * int(lengths[b].max()) for b in batches) / int(lengths[order].sum()) - 1
    assert padding < 0.1
    starts = [int(lengths[batch].float().mean()) for batch in batches[:10]]
    assert starts != sorted(starts)
    samplers[0].set_epoch(1)
    other = samplers[0].rows()
    assert not torch.equal(other, samplers[0].rows()[: len(other)].sort().values)
    samplers[0].set_epoch(0)
    assert torch.equal(samplers[0].rows(), order[::world])


def test_batches_are_cut_to_their_longest_row(files):
    data = small_text("sst2", files, batch_size=10)
    data.setup()
    widths = set()
    for x, y in data.train_dataloader():
        natural = data.to_natural_units(x)
        assert natural.dtype == torch.int64
        assert (natural[:, -1] != 0).any()
        assert len(natural) == len(y)
        widths.add(natural.shape[1])
    assert len(widths) > 2
    assert data.to_natural_units(torch.zeros(2, 5, dtype=torch.int16)).shape == (2, 1)


# ---- labelled texts ----


def test_sst2_validates_on_sentences_of_which_nothing_is_trained_on(files):
    data = small_text("sst2", files)
    parts = data.text_splits()
    val = [text.replace(".", " .").split() for text in parts["val"].texts]
    assert len(val) == 20
    assert any(words[-1] == "." for words in val)
    inside = {part for words in val for part in all_phrases(tuple(words))}
    assert not any(tuple(text.split()) in inside for text in parts["train"].texts)
    assert len(parts["train"].texts) > 100
    assert len(parts["test"].texts) == 30


def test_maximal_phrases_are_in_no_other():
    phrases = ["a b c", "b c", "c d", "a b c", "d", "b d"]
    assert longest_phrases([tuple(phrase.split()) for phrase in phrases]) == [0, 2, 5]


def test_vocabulary_knows_the_training_rows_alone(files, monkeypatch):
    seen = []
    train = Vocabulary.train.__func__
    monkeypatch.setattr(
        Vocabulary, "train", classmethod(lambda cls, texts, *a, **k: seen.extend(texts) or train(cls, texts, *a, **k))
    )
    for name in ("sst2", "movie_reviews", "text_table"):
        seen.clear()
        data = small_text(name, files)
        data.setup()
        assert seen == data.text_splits()["train"].texts
    seen.clear()
    data = small_text("fra_eng", files)
    data.setup()
    assert set(seen) == {sentence for pair in data.text_splits()["train"][0] for sentence in pair}


def test_archives_are_read_like_folders(files, tmp_path):
    with zipfile.ZipFile(tmp_path / "SST-2.zip", "w") as packed:
        for name in ("train", "dev"):
            packed.write(files / "SST-2" / f"{name}.tsv", f"SST-2/{name}.tsv")
    with tarfile.open(tmp_path / "rt-polaritydata.tar.gz", "w:gz") as packed:
        packed.add(files / "rt-polaritydata", "rt-polaritydata")
    with zipfile.ZipFile(tmp_path / "fra-eng.zip", "w") as packed:
        packed.write(files / "fra-eng" / "fra.txt", "fra.txt")
    for name in ("sst2", "movie_reviews", "fra_eng"):
        assert small_text(name, tmp_path).sha256() == small_text(name, files).sha256()
    for name, archive in (
        ("sst2", "SST-2.zip"),
        ("movie_reviews", "rt-polaritydata.tar.gz"),
        ("fra_eng", "fra-eng.zip"),
    ):
        (tmp_path / archive).write_bytes(b"no archive")
        with pytest.raises(ValueError, match=archive.replace(".", r"\.")) as error:
            small_text(name, tmp_path).setup()
        assert "\n" not in str(error.value)


def test_original_encoding_of_movie_reviews_is_read(files, tmp_path):
    shutil.copytree(files / "rt-polaritydata", tmp_path / "rt-polaritydata")
    path = tmp_path / "rt-polaritydata" / "rt-polarity.neg"
    path.write_bytes(path.read_text().replace("dull", "d\u00fcll").encode("cp1252"))
    texts = small_text("movie_reviews", tmp_path).read_all()["train"].texts
    assert any("d\u00fcll" in text for text in texts)
    path.write_text("one line\n")
    with pytest.raises(ValueError, match="has 1 sentences, expected 150"):
        small_text("movie_reviews", tmp_path).setup()


def test_damaged_sst2_is_named(files, tmp_path, monkeypatch):
    monkeypatch.setattr(pooch, "retrieve", no_server)
    shutil.copytree(files / "SST-2", tmp_path / "SST-2")
    (tmp_path / "SST-2" / "dev.tsv").write_text("sentence\tlabel\n")
    with pytest.raises(ValueError, match=r"wrong checksum, not the published dev\.tsv"):
        small_text("sst2", tmp_path).setup()
    (tmp_path / "SST-2" / "dev.tsv").unlink()
    with pytest.raises(FileNotFoundError, match=r"dev\.tsv is missing"):
        small_text("sst2", tmp_path).setup()


def test_table_keeps_texts_on_one_side_and_reads_csv(tmp_path):
    rows = [(f"text number {k} , again", "ab"[k % 2]) for k in range(60)]
    lines = ["id,label,text", *(f'{k},{label},"{text}"' for k, (text, label) in enumerate(rows * 3))]
    path = tmp_path / "table.csv"
    path.write_text("\n".join([*lines, 'x,b,"text number 0 , again"']) + "\n", encoding="utf-8-sig")
    data = datamodules.create_datamodule("text_table", root=str(path), vocab_size=310)
    parts = data.text_splits()
    assert {name: len(set(part.texts)) for name, part in parts.items()} == {"train": 43, "val": 6, "test": 11}
    assert sum(len(part.texts) for part in parts.values()) == 61  # a text with two labels is two rows
    sides = [set(part.texts) for part in parts.values()]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 60
    assert data.spec["class_names"] == ["a", "b"]


def test_table_reads_quotes_and_empty_cells(tmp_path):
    for name, delimiter, quoted in (("a.csv", ",", 'say ""no""'), ("a.tsv", "\t", 'say "no"')):
        rows = [f"{quoted} {k}" if delimiter == "\t" else f'"{quoted}, {k}"' for k in range(9)]
        (tmp_path / name).write_text(
            "\n".join(["text,label,".replace(",", delimiter)] + [f"{row}{delimiter}b" for row in rows])
        )
        table = datamodules.create_datamodule("text_table", root=str(tmp_path / name))._read(tmp_path / name).rows
        comma = "," if delimiter == "," else ""
        assert [row[1:] for row in table] == [(f'say "no"{comma} {k}', "b") for k in range(9)]
    (tmp_path / "a.csv").write_text("text,label\none,a,,\n")
    assert read_labelled(tmp_path / "a.csv", "text", "label").rows == [(2, "one", "a")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"text;label\n", "has no row below its header line text, label"),
        (b"text\tlabel\na\tb\nc\n", "row 3: 1 columns, expected 2"),
        (b"label,text\na,one\nb,two, three\n", r"row 3: 3 columns, expected 2 \(quote texts"),
        (b"label\ttext\na\tone\nb\ttwo\tthree\n", "row 3: 3 columns, expected 2"),
        (b"text\tlabel\ncaf\xe9\tb\n", "line 2: not UTF-8"),
        (b"text\tlabel\na\tb\n", "has one label, 'b'"),
    ],
)
def test_wrong_table_is_named_in_one_line(tmp_path, content, message):
    path = tmp_path / ("table.csv" if content.startswith(b"label,") else "table.tsv")
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        datamodules.create_datamodule("text_table", root=str(path)).setup()
    assert "\n" not in str(error.value)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        datamodules.create_datamodule("text_table", root=str(tmp_path / "none.tsv")).setup()
    with pytest.raises(ValueError, match="text_table needs root"):
        datamodules.create_datamodule("text_table")


def test_a_users_lines_are_read(tmp_path):
    (tmp_path / "lines.txt").write_text("one\ntwo\n")
    assert read_lines(str(tmp_path / "lines.txt")) == ["one", "two"]
    assert read_lines("I love this car!") == ["I love this car!"]
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "latin.txt").write_bytes(b"ok\ncaf\xe9\n")
    for name, message in (("empty.txt", "is empty"), ("latin.txt", "line 2: not UTF-8")):
        with pytest.raises(ValueError, match=message):
            read_lines(str(tmp_path / name))
    with pytest.raises(FileNotFoundError, match=r"none\.txt: no such file"):
        read_lines("none.txt")


# ---- pairs ----


def test_pairs_that_share_a_sentence_are_of_one_group():
    pairs = [
        ("Go.", "Va !"),
        ("Run!", "Cours !"),
        ("go", "Allez !"),
        ("Leave.", "allez"),
        ("Hi", "Salut"),
        ("Sit", "HI"),
    ]
    assert fra_eng.components(pairs).tolist() == [0, 1, 0, 0, 2, 3]  # of two languages "Hi" is no shared sentence


def test_no_sentence_is_on_two_sides_and_both_directions_have_one_split(files):
    to_english, to_french = (small_text("fra_eng", files, source=source) for source in ("fra", "eng"))
    sides = {}
    for name, (pairs, _) in to_english.text_splits().items():
        assert pairs == to_french.text_splits()[name][0]
        for language in (0, 1):
            sides[name, language] = {fra_eng.normalize_sentence(pair[language]) for pair in pairs}
    for language in (0, 1):
        found = [sides[name, language] for name in ("train", "val", "test")]
        assert sum(map(len, found)) == len(set.union(*found))
    assert to_english.sha256() == to_french.sha256()


def test_references_are_all_translations_of_each_source(files):
    data = small_text("fra_eng", files, source="eng")
    sources, references = data.references("train", None)
    pairs = data.text_splits()["train"][0] + data.text_splits()["val"][0] + data.text_splits()["test"][0]
    for source, found in zip(sources, references, strict=True):
        assert found == [french for english, french in pairs if english == source]
    assert len(data.references("test", 40)[0]) == 40


def test_batch_of_pairs_has_ids_and_lengths(files):
    data = small_text("fra_eng", files)
    data.setup()
    src, src_len, tgt, tgt_len = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    for ids, lengths in ((src, src_len), (tgt, tgt_len)):
        assert ids.dtype == torch.int64
        assert ids.shape == (len(src), int(lengths.max()))
        assert ((ids != PAD).sum(1) == lengths).all()
        assert (ids[:, 0] == START).all()
        assert (ids.gather(1, lengths[:, None] - 1) == END).all()
    pairs = {tuple(reversed(pair)) for pair in data.text_splits()["train"][0]}
    texts = zip(data.vocabulary.decode(src.tolist()), data.vocabulary.decode(tgt.tolist()))
    assert all(pair in pairs for pair in texts)


@pytest.mark.parametrize(
    ("content", "message"), [("", "is empty"), ("Go.\tVa !\nno tab\n", "line 2: no tab"), ("Go.\tVa !\n", "too few")]
)
def test_wrong_file_of_pairs_is_named(tmp_path, content, message):
    (tmp_path / "fra-eng").mkdir()
    (tmp_path / "fra-eng" / "fra.txt").write_text(content)
    with pytest.raises(ValueError, match=message):
        small_text("fra_eng", tmp_path).setup()
    with pytest.raises(ValueError, match="unknown source 'french': choose from eng, fra"):
        small_text("fra_eng", tmp_path, source="french")


# ---- the published files, where they are ----


@pytest.mark.parametrize(
    ("name", "folder", "sizes"),
    [
        ("sst2", "SST-2", {"val": 700, "test": 872}),
        ("movie_reviews", "rt-polaritydata", {"train": 8530, "val": 1066, "test": 1066}),
        ("clinc150", "clinc150", {"train": 15_095, "val": 3_100, "test": 5_500}),
        ("davidson2017", "davidson2017", {"train": 17_858, "val": 2_000, "test": 4_925}),
    ],
)
def test_published_sets_have_their_documented_sizes(name, folder, sizes):
    parts = need_files(datamodules.create_datamodule(name)).text_splits()
    assert {part: len(parts[part].texts) for part in sizes} == sizes
    assert len(parts["train"].texts) > 8_000


# ---- texts put together again, and negated ones ----


@pytest.mark.parametrize(
    ("cut", "whole"),
    [
        ("it 's not a bad film at all , i do n't think ...", "it's not a bad film at all, i don't think..."),
        ("-lrb- funny -rrb- and sad !", "(funny) and sad!"),
        ("1\\/2 good", "1/2 good"),
        ("n't like it", "n't like it"),
    ],
)
def test_treebank_words_are_put_together_again(cut, whole):
    assert detokenize(cut) == whole


def test_negated_phrases_are_added_to_training_alone(files):
    plain, more = small_text("sst2", files), small_text("sst2", files, negated=60)
    added = more.text_splits()["train"].texts[len(plain.text_splits()["train"].texts) :]
    assert len(added) == 60
    negated = [bool(NEGATION_WORD.search(text)) for text in added]
    assert 30 < sum(negated) < 50
    assert more.text_splits()["val"] == plain.text_splits()["val"]
    assert more.text_splits()["test"] == plain.text_splits()["test"]
    known = dict(zip(plain.text_splits()["train"].texts, plain.text_splits()["train"].labels))
    labels = more.text_splits()["train"].labels[-60:]
    assert 15 < sum(labels) < 45
    for text, label, is_negated in zip(added, labels, negated):
        phrases = [phrase for phrase in known if phrase and phrase in text]
        assert any(known[phrase] ^ is_negated == label for phrase in phrases)
    assert small_text("sst2", files, negated=60).text_splits() == more.text_splits()
    with pytest.raises(ValueError, match="negated must be at least 0, not -1"):
        small_text("sst2", files, negated=-1)
