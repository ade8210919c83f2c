"""Documents: how they are read, and how well they are found."""

import tarfile

import numpy as np
import pytest
import torch

import zoo
from datamodules import ReutersDataModule
from datamodules.reuters import SGML_FILES, parse_sgml
from zoo.baselines import BASELINES, MEASURES
from zoo.metrics import cosine_similarity, precision_at_recall

SGML = """<!DOCTYPE lewis SYSTEM "lewis.dtd">
<REUTERS TOPICS="YES" LEWISSPLIT="{split}" CGISPLIT="TRAINING-SET" OLDID="1" NEWID="1">
<TOPICS>{topics}</TOPICS>
<PLACES><D>usa</D></PLACES>
<TEXT>&#2;
<TITLE>{title}</TITLE>
<DATELINE>    SOMEWHERE, Feb 26 - </DATELINE><BODY>{body}
 Reuter
&#3;</BODY></TEXT>
</REUTERS>
"""


def document(split, topics, title, body):
    return SGML.format(split=split, topics="".join(f"<D>{topic}</D>" for topic in topics), title=title, body=body)


# ---- the metric ----


def test_precision_at_recall_by_hand():
    similarity = torch.tensor([[0.9, 0.8, 0.7, 0.6, 0.5], [0.1, 0.2, 0.3, 0.4, 0.5]])
    relevant = torch.tensor([[1, 0, 1, 0, 1], [0, 0, 0, 0, 1]], dtype=torch.bool)
    # First query: found at places 1, 3, 5 of 3 wanted. Second: at place 1 of 1.
    found = precision_at_recall(similarity, relevant, (0.1, 0.34, 2 / 3, 1.0))
    assert found.tolist() == pytest.approx([1.0, (2 / 3 + 1) / 2, (2 / 3 + 1) / 2, (3 / 5 + 1) / 2])


def test_queries_that_look_for_nothing_do_not_count():
    similarity = torch.rand(3, 6)
    relevant = torch.zeros(3, 6, dtype=torch.bool)
    with pytest.raises(ValueError, match="no query has a relevant document"):
        precision_at_recall(similarity, relevant, (0.5,))
    relevant[1, 2] = True
    place = (similarity[1] >= similarity[1, 2]).sum()
    assert precision_at_recall(similarity, relevant, (1.0,)).item() == pytest.approx(1 / place)


def test_random_codes_find_as_many_as_there_are():
    draw = torch.Generator().manual_seed(0)
    similarity = torch.rand(50, 4000, generator=draw)
    relevant = torch.rand(50, 4000, generator=draw) < 0.2
    for precision in precision_at_recall(similarity, relevant, (0.3, 0.6, 0.9)):
        assert precision.item() == pytest.approx(0.2, abs=0.02)


def test_cosine_of_zero_is_zero():
    codes = torch.tensor([[3.0, 4.0], [0.0, 0.0], [-6.0, -8.0]])
    torch.testing.assert_close(cosine_similarity(codes, codes)[0], torch.tensor([1.0, 0.0, -1.0]))


# ---- the documents ----


def test_documents_of_the_split_are_read():
    content = (
        document("TRAIN", ["cocoa", "coffee"], "BEANS &amp; MORE", "Prices &lt;rise>")
        + document("NOT-USED", ["grain"], "A", "B")
        + document("TEST", [], "C", "D").replace('TOPICS="YES"', 'TOPICS="NO"')
        + document("TEST", [], "E", "F")
    )
    first, second = parse_sgml(content)
    assert (first.split, first.topics) == ("train", ["cocoa", "coffee"])
    assert first.text.split() == ["BEANS", "&", "MORE", "Prices", "<rise>", "Reuter"]
    assert (second.split, second.topics) == ("test", [])


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Made-up documents of three topics, each with words of its own, in the layout of the archive."""
    draw = np.random.default_rng(0)
    topics = {topic: [f"{topic}{letter}" for letter in "abcdefgh"] for topic in ("grain", "ship", "money")}
    folder = tmp_path / "reuters21578"
    folder.mkdir()
    for number, part in enumerate(SGML_FILES):
        split = "TEST" if number >= 16 else "TRAIN"
        texts = []
        for topic, words in topics.items():
            for _ in range(4):
                texts.append(document(split, [topic], topic, " ".join([*draw.choice(words, 6), "the", "of"])))
        (folder / part).write_text("".join(texts), encoding="latin-1")
    import hashlib

    digest = hashlib.sha256(b"".join((folder / part).read_bytes() for part in SGML_FILES))
    monkeypatch.setattr(ReutersDataModule, "sha256_parts", digest.hexdigest())
    return tmp_path


def test_bags_of_words(small):
    data = ReutersDataModule(root=str(small), num_words=20, val_size=32)
    data.setup()
    assert {split: len(part.groups) for split, part in data.splits.items()} == {"train": 160, "val": 32, "test": 72}
    x, y = data.splits["test"].tensors
    assert (x.shape, x.dtype, y.shape) == ((72, 20), torch.uint8, (72, 3))
    assert (y.sum(1) == 1).all()
    natural = data.to_natural_units(x)
    torch.testing.assert_close(natural.sum(1), torch.ones(72))
    assert "the" not in data.words
    assert data.topics == ["grain", "money", "ship"]
    word = data.words[3]
    torch.testing.assert_close(data.read(f"{word.upper()}, {word}")[0], torch.eye(20)[3])
    with pytest.raises(ValueError, match="none of the 20 words"):
        data.read("nothing known")


def test_archive_and_folder_are_the_same(small, tmp_path):
    folder = ReutersDataModule(root=str(small), num_words=20, val_size=32)
    elsewhere = tmp_path / "packed"
    elsewhere.mkdir()
    with tarfile.open(elsewhere / "reuters21578.tar.gz", "w:gz") as archive:
        for part in SGML_FILES:
            archive.add(small / "reuters21578" / part, part)
    packed = ReutersDataModule(root=str(elsewhere), num_words=20, val_size=32)
    assert folder.sha256() == packed.sha256()
    (elsewhere / "reuters21578.tar.gz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match="cannot be unpacked"):
        ReutersDataModule(root=str(elsewhere), num_words=20, val_size=32).setup()


def test_changed_documents_are_refused(small):
    path = small / "reuters21578" / SGML_FILES[3]
    path.write_bytes(path.read_bytes().replace(b"grain", b"groin", 1))
    with pytest.raises(ValueError, match="wrong checksum, not the published Reuters-21578"):
        ReutersDataModule(root=str(small)).setup()


def test_codes_that_tell_topics_apart_retrieve_them(small):
    data = ReutersDataModule(root=str(small), num_words=24, val_size=32)
    data.setup()
    model = zoo.create_model("autoencoder", in_features=24, input_shape=[24], latent_dim=3)
    before = np.mean(list(MEASURES["retrieval"](model, data).values()))
    with torch.no_grad():  # the code is the number of words of each topic
        weight = torch.tensor(
            [[word.startswith(topic[:3]) for word in data.words] for topic in ("grain", "ship", "money")]
        )
        model.net.encoder[2].weight.copy_(weight.float())
        model.net.encoder[2].bias.zero_()
    after = MEASURES["retrieval"](model, data)
    assert before < 0.9 < min(after.values())
    assert list(after) == list(BASELINES["lsa_10"](model, data))
    assert np.mean(list(BASELINES["lsa_10"](model, data).values())) > 0.9
