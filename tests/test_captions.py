"""Captions: the published files, the network and its objectives, pictures in and sentences out, scores and rivals."""

import gzip
import math
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import quiet_trainer
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import zoo
from datamodules import Flickr8kCaptionsDataModule
from datamodules.text.captions import caption_words, read_captions
from datamodules.text.vocabulary import END, PAD, START, UNKNOWN
from zoo.baselines import captions as rivals
from zoo.baselines import measure
from zoo.callbacks import Captions
from zoo.figures.captions import attention_grid, caption_grid
from zoo.nn.attention import Attention
from zoo.nn.captions import contrastive_loss, word_loss

COLOURS = {"red": (220, 40, 40), "green": (40, 200, 60), "blue": (50, 60, 230), "white": (235, 235, 235)}
FORMS = ("A {} square on a dark wall .", "A {} square .", "There is a {} square", "The square is {} .", "A {} thing")
SMALL = {"hidden_dims": [8, 16, 16], "embedding_dim": 24, "hidden_dim": 32, "attention_dim": 16}


def write_photographs(root, counts=(("train", 48), ("dev", 12), ("test", 12)), captions="Flickr8k.token.txt"):
    """Write dark pictures with a coloured square each, at a random place, and five captions that name the colour."""
    folder, lines, draw = root / "flickr8k", [], np.random.default_rng(0)
    (folder / captions).parent.mkdir(parents=True)
    (folder / "Flicker8k_Dataset").mkdir()
    for part, count in counts:
        names = [f"{part}_{number}.jpg" for number in range(count)]
        (folder / f"Flickr_8k.{part}Images.txt").write_text("\n".join(names) + "\n")
        for number, name in enumerate(names):
            colour = list(COLOURS)[number % 4]
            Image.fromarray(picture(colour, draw)).save(folder / "Flicker8k_Dataset" / name, quality=95)
            lines += [f"{name}#{k}\t{form.format(colour)}\n" for k, form in enumerate(FORMS)]
    lines[0] = lines[0].replace("wall", "unheard-of wall")
    lines += [f"no_such_picture.jpg.1#{k}\tA zebra zebra zebra zebra zebra zebra\n" for k in range(5)]
    content = "".join(lines).encode()
    (folder / captions).write_bytes(gzip.compress(content) if captions.endswith(".gz") else content)
    return root


def picture(colour, draw, side=16):
    pixels = draw.integers(0, 60, (side, side, 3), dtype=np.uint8)
    top, left = draw.integers(0, side - 6, 2)
    pixels[top : top + 6, left : left + 6] = COLOURS[colour]
    return pixels


def data_of(root, **args):
    return Flickr8kCaptionsDataModule(root=str(root), **{"image_size": 16, "batch_size": 8, "min_count": 2, **args})


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_photographs(tmp_path_factory.mktemp("photographs"))


@pytest.fixture(scope="module")
def captioner(root, tmp_path_factory):
    """A small captioner fitted on the pictures, its data, and where it logged."""
    torch.manual_seed(0)
    data = data_of(root)
    known = zoo.model_info("lstm_captioner")["parameters"]
    spec = {name: value for name, value in data.spec.items() if name in known}
    model = zoo.create_model("lstm_captioner", **spec, **SMALL, lr=5e-3, schedule="onecycle", clip_norm=1.0)
    logs = TensorBoardLogger(tmp_path_factory.mktemp("logs"))
    quiet_trainer(max_epochs=14, log_every_n_steps=6, logger=logs, callbacks=[Captions(shown=3, mapped=1)]).fit(
        model, data
    )
    return model.eval(), data, logs.log_dir


def small_model(**args):
    torch.manual_seed(0)
    return zoo.create_model("lstm_captioner", vocab_size=30, input_shape=[3, 16, 16], **{**SMALL, **args}).eval()


def small_batch(n=4, k=3, longest=7):
    captions = torch.randint(4, 30, (n, k, longest))
    for row, length in enumerate(torch.randint(2, longest, (n * k,)).tolist()):
        captions.view(n * k, -1)[row, length - 1] = END
        captions.view(n * k, -1)[row, length:] = PAD
    captions[:, :, 0] = START
    return torch.rand(n, 3, 16, 16), captions


# ---- data ----


def test_words_of_captions():
    assert caption_words('A dog \'s "tri-colored" coat , No. 12 !') == [
        "a",
        "dog",
        "'s",
        "tri-colored",
        "coat",
        "no",
        "12",
    ]
    assert caption_words("The dog's t-shirt\u2019s blue") == ["the", "dog", "'s", "t-shirt", "'s", "blue"]
    assert caption_words(" . ") == []


@pytest.mark.parametrize("place", ["Flickr8k.token.txt", "Flickr8k.token.txt.gz", "Flickr8k_text/Flickr8k.token.txt"])
def test_captions_are_read_in_every_layout(place, tmp_path):
    data = data_of(write_photographs(tmp_path, captions=place))
    data.prepare_data()
    data.setup()
    assert data.references("val")[1] == [form.format("green") for form in FORMS]
    assert {name: tuple(s.column(1).shape[:2]) for name, s in data.splits.items()} == {
        "train": (48, 5),
        "val": (12, 5),
        "test": (12, 5),
    }
    for part, split in data.splits.items():
        for texts, ids in zip(data.references(part), split.column(1)):
            known = [" ".join(w for w in caption_words(text) if w != "unheard-of") for text in texts]
            assert data.vocabulary.decode(ids.tolist()) == known


def test_vocabulary_is_of_frequent_training_words(root):
    data = data_of(root)
    words = set(data.vocabulary.surfaces[4:])
    assert {"red", "square", "a"} < words
    assert not words & {"zebra", "unheard-of", "."}
    assert data.spec["vocab_size"] == len(words) + 4
    data.setup()
    assert data.splits["train"].column(1)[0, 0].tolist().count(UNKNOWN) == 1
    assert data_of(root, min_count=61).vocabulary.surfaces[4:] == ["a", "is", "square"]
    with pytest.raises(ValueError, match="min_count=1000: the training captions have no word more than"):
        data_of(root, min_count=1000).vocabulary  # noqa: B018


def test_a_batch_is_pictures_with_their_captions(root):
    data = data_of(root, max_length=6)
    data.setup()
    images, captions = data.on_after_batch_transfer(next(iter(data.val_dataloader())), 0)
    assert images.shape == (12, 3, 16, 16)
    assert captions.shape == (12, 5, 6)
    assert captions.dtype == torch.int64
    assert (captions[:, :, 0] == START).all()
    assert captions[0, 1].tolist()[-2:] == [END, PAD]
    assert END not in captions[0, 0]  # a truncated caption has no end


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda text: text.replace("dev_3.jpg#2", "other.jpg#2"), "dev_3.jpg has 4 captions, expected 5"),
        (lambda text: text.replace("dev_3.jpg#2\t", "dev_3.jpg#2 "), "line 258: .*expected a line NAME#K, a tab"),
        (lambda text: text.replace("dev_3.jpg#2\t", "dev_3.jpg\t"), "line 258: .*expected a line NAME#K, a tab"),
        (lambda text: text.replace("red", "r\xe9d").encode("latin-1"), "line 1: not UTF-8 text"),
    ],
)
def test_damaged_captions_are_named_in_one_line(spoil, message, tmp_path):
    path = write_photographs(tmp_path) / "flickr8k" / "Flickr8k.token.txt"
    spoiled = spoil(path.read_text())
    path.write_bytes(spoiled if isinstance(spoiled, bytes) else spoiled.encode())
    with pytest.raises(ValueError, match=message) as error:
        data_of(tmp_path).references("val")
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"Flickr8k.token.txt is missing: the captions"):
        data_of(tmp_path).prepare_data()


def test_a_photograph_of_two_lists_is_refused(tmp_path):
    root = write_photographs(tmp_path)
    with (root / "flickr8k" / "Flickr_8k.testImages.txt").open("a") as file:
        file.write("train_3.jpg\n")
    with pytest.raises(ValueError, match=r"train_3\.jpg is named twice"):
        data_of(root).setup()


def test_a_damaged_archive_of_captions_is_named(tmp_path):
    path = tmp_path / "captions.txt.gz"
    path.write_bytes(gzip.compress(b"a.jpg#0\tA dog\n" * 100)[:-9])
    with pytest.raises(ValueError, match=r"captions.txt.gz cannot be unpacked"):
        read_captions(path)


# ---- the network ----


@pytest.mark.parametrize("args", [{}, {"attention": "general", "tied": False}, {"blind": True}])
def test_one_token_at_a_time_is_all_at_once(args):
    net, (images, captions) = small_model(**args).net, small_batch()
    with torch.no_grad():
        whole = net(images, captions)
        picture = net.encode(images)
        state, steps = net.start(picture, 3), []
        for t in range(captions.shape[2]):
            outputs, state, weights = net.decode(captions[:, :, t : t + 1], picture, state)
            steps.append(net.score(outputs))
            torch.testing.assert_close(weights.sum(3), torch.ones(4, 3, 1))
        torch.testing.assert_close(torch.cat(steps, 2), whole)
        same = net.score(net.decode(captions[:1], picture, net.start(picture, 3))[0])
        torch.testing.assert_close(same, net(images, captions[:1].expand(4, -1, -1)))


def test_attention_with_given_keys_is_the_same():
    attention = Attention(4, 6, "additive", 3)
    queries, positions = torch.rand(2, 5, 4), torch.rand(2, 7, 6)
    expected = attention(queries, positions, torch.ones(2, 7, dtype=torch.bool))
    found = attention(queries, positions, None, attention.keys_of(positions))
    for a, b in zip(found, expected):
        torch.testing.assert_close(a, b)
    assert attention.keys_of(positions).shape == (2, 7, 3)


def test_a_blind_network_sees_nothing_and_another_does():
    images, captions = small_batch()
    for blind in (True, False):
        model = small_model(blind=blind)
        losses = [model.step((x, captions))["loss"] for x in (images, 1 - images)]
        assert torch.equal(*losses) is blind
        alike = [each.text for each in small_captions(model, images)]
        assert (len(set(alike)) == 1) or not blind
    trained = small_model(blind=True).train()
    trained.step((images, captions))["loss"].backward()
    assert trained.net.embedding.weight.grad.abs().sum() > 0


def small_captions(model, images):
    from datamodules.text.vocabulary import Vocabulary

    model.hparams["tokenizer"] = Vocabulary.of_words(f"w{k}" for k in range(26)).json
    return model.caption(images)


def test_loss_is_the_mean_over_tokens():
    model, (images, captions) = small_model(), small_batch()
    values = model.step((images, captions))
    scores = model(images, captions[:, :, :-1]).flatten(0, 2)
    expected = F.cross_entropy(scores, captions[:, :, 1:].flatten(), ignore_index=PAD)
    torch.testing.assert_close(values["loss"], expected)
    assert values["weight"] == (captions[:, :, 1:] != PAD).sum()
    torch.testing.assert_close(model.train().step((images, captions))["weight"], values["weight"])


def test_auxiliary_objectives_are_of_training_alone():
    images, captions = small_batch()
    model = small_model(contrastive=0.5, bag_of_words=0.25)
    plain = model.step((images, captions))
    assert set(plain) == {"loss", "accuracy", "weight"}
    values = model.train().step((images, captions))
    picture = model.net.encode(images)
    codes = model.net.codes(picture, captions)
    torch.testing.assert_close(codes[1].norm(dim=2), torch.ones(4, 3))
    more = 0.5 * contrastive_loss(*codes, model.net.temperature.exp())
    more = more + 0.25 * word_loss(model.net.word_scores(picture), captions)
    torch.testing.assert_close(values["loss"], values["caption_loss"] + more)
    values["loss"].backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())
    assert small_model().net.picture_code is None
    with pytest.raises(ValueError, match="set contrastive above 0"):
        small_model().net.codes(picture, captions)
    with pytest.raises(ValueError, match="set bag_of_words above 0"):
        small_model().net.word_scores(picture)


def test_contrastive_loss_by_hand():
    pictures, captions = (F.normalize(torch.randn(*shape), dim=-1) for shape in ((3, 5), (3, 2, 5)))
    total = 0.0
    for i in range(3):
        for k in range(2):
            to_captions = torch.stack([4 * pictures[i] @ captions[j, k] for j in range(3)]).log_softmax(0)[i]
            to_pictures = torch.stack([4 * pictures[j] @ captions[i, k] for j in range(3)]).log_softmax(0)[i]
            total -= (to_captions + to_pictures) / 2 / 6
    torch.testing.assert_close(contrastive_loss(pictures, captions, torch.tensor(4.0)), torch.as_tensor(total))


def test_word_loss_counts_the_share_of_captions():
    captions = torch.tensor([[[START, 5, 6, END], [START, 5, 5, END]]])
    target = torch.tensor([[0, 0, 0, 0, 0, 1.0, 0.5, 0]])
    scores = torch.randn(1, 8)
    expected = F.binary_cross_entropy_with_logits(scores, target, reduction="sum")
    torch.testing.assert_close(word_loss(scores, captions), expected)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"blocks": [1]}, "blocks must be 3 numbers of at least 0, one a stage, not .1."),
        ({"attention": "additve"}, "did you mean additive"),
        ({"attention": "none"}, "unknown attention 'none': choose from additive, general"),
        ({"picture_dropout": 1.0}, r"picture_dropout must be in \[0, 1\), not 1"),
        ({"hidden_dims": []}, r"hidden_dims must be the channels of at least one stage, not \[\]"),
        ({"input_shape": []}, r"input_shape must be channels, height and width, not \[\]"),
        ({"hidden_dims": [8, 0, 8]}, r"hidden_dims\[1\] must be a whole number of at least 1, not 0"),
        ({"contrastive": -1.0}, "contrastive must be at least 0, not -1"),
        ({"input_shape": [3, 16]}, "input_shape must be channels, height and width"),
        ({"max_length": 2}, "vocab_size and max_length: at least"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(args, message):
    with pytest.raises(ValueError, match=message) as error:
        zoo.create_model("lstm_captioner", **{**SMALL, **args})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (lambda x, y: (x, y[:, 0]), r"captions of shape \(4, 7\): expected token ids \(N, K, T\)"),
        (lambda x, y: (x, y[:, :, :1]), "T at least 2"),
        (lambda x, y: (x, y + 20), "captions range from .* expected 0 to 29"),
        (lambda x, y: (x, y[:3]), r"captions of the batch has shape \(3, 3, 7\): expected 4 rows"),
        (lambda x, y: (255 * x, y), "input ranges from"),
        (lambda x, y: (x,), r"batch has 1 parts: expected a tuple \(images, captions\)"),
    ],
)
def test_wrong_batches_are_refused_in_one_line(batch, message):
    with pytest.raises(ValueError, match=message) as error:
        small_model().check_batch(batch(*small_batch()))
    assert "\n" not in str(error.value)


# ---- pictures in, sentences out ----


def test_captions_name_what_is_to_be_seen(captioner):
    model, data, _ = captioner
    pictures = rivals.pictures_of(data, "test")
    found = model.caption(pictures)
    right = [list(COLOURS)[number % 4] in each.text.split() for number, each in enumerate(found)]
    assert np.mean(right) > 0.8
    for each in found:
        assert 0 < each.probability <= 1
        assert each.attention.shape == (len(each.text.split()), 2, 2)
        torch.testing.assert_close(each.attention.sum((1, 2)), torch.ones(len(each.attention)))
    alone = [model.caption(picture[None])[0] for picture in pictures[:3]]
    assert [each.text for each in alone] == [each.text for each in found[:3]]


def test_probability_is_that_of_the_words(captioner):
    model, data, _ = captioner
    pictures = rivals.pictures_of(data, "test")[:3]
    found = model.caption(pictures)
    total = model.log_likelihood(pictures, [each.text for each in found])
    for row, each in enumerate(found):
        assert each.probability == pytest.approx(math.exp(total[row, row] / (len(each.text.split()) + 1)), rel=1e-4)


def test_log_likelihood_is_the_loss(captioner):
    model, data, _ = captioner
    pictures, texts = rivals.pictures_of(data, "test")[:2], ["A red square .", "an unseen thing"]
    found = model.log_likelihood(pictures, texts)
    assert found.shape == (2, 2)
    for column, text in enumerate(texts):
        ids = model.vocabulary.encode([" ".join(caption_words(text))], ends=True)
        for row in range(2):
            values = model.step((pictures[row : row + 1], torch.tensor(ids)[None]))
            torch.testing.assert_close(found[row, column], -values["loss"] * values["weight"])


def test_pictures_of_any_size_and_of_grey(captioner):
    model, data, _ = captioner
    image = rivals.pictures_of(data, "test")[:1]
    large = F.interpolate(image, scale_factor=5)
    assert model.caption(large)[0].text == model.caption(image)[0].text
    assert model.caption(image[:, :1])[0].text == model.caption(image[:, :1].expand(-1, 3, -1, -1))[0].text
    assert model.caption(image[:0]) == []
    for wrong, message in (
        (image[0], "expected N x 3 x any x any"),
        (image[:, :2], "expected N x 3 x any x any"),
        (255 * image, "input ranges from"),
        (image.long(), "expected natural units"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            model.caption(wrong)
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="beam must be a whole number"):
        model.caption(image, beam=0)
    for wrong in (-1.0, math.nan):
        with pytest.raises(ValueError, match="length_penalty must be at least 0, not"):
            model.caption(image, length_penalty=wrong)
    for wrong in ("a red square", ["a red square", 3], None):
        with pytest.raises(ValueError, match="expected a list of strings"):
            model.log_likelihood(image, wrong)
    assert model.log_likelihood(image, []).shape == (1, 0)
    with pytest.raises(ValueError, match="this model has no tokenizer"):
        small_model().caption(image)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("attention", ["additive", "general"])
def test_networks_of_any_precision(dtype, attention):
    images, captions = small_batch()
    model = small_model(attention=attention, contrastive=0.5, bag_of_words=0.1)
    exact = model.step((images, captions))["loss"]
    model = model.to(dtype)
    found = model.step((images.to(dtype), captions))["loss"]
    torch.testing.assert_close(found.float(), exact, atol=0.02, rtol=0)
    model.train().step((images.to(dtype), captions))["loss"].backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    model.eval()
    assert len(small_captions(model, images)) == 4
    with torch.no_grad():
        assert model(images.to(dtype), captions).dtype == dtype
        state = model.net.start(model.net.encode(images.to(dtype)), 1)
        outputs, (hidden, cell), _ = model.net.decode(captions[:, :1], model.net.encode(images.to(dtype)), state)
    assert (outputs.dtype, hidden.dtype, cell.dtype) == (dtype, dtype, torch.promote_types(dtype, torch.float32))


def test_no_caption_has_unknown_words_or_repeats(captioner):
    images = torch.rand(6, 3, 16, 16)
    for each in small_captions(small_model(), images):
        words = each.text.split()
        grams = list(zip(words, words[1:], words[2:]))
        assert words
        assert len(set(grams)) == len(grams)


def test_files_of_any_kind_are_captioned_or_refused(captioner, root, tmp_path):
    model, data, _ = captioner
    image = Image.open(root / "flickr8k" / "Flicker8k_Dataset" / "test_0.jpg")
    image.save(tmp_path / "a.png")
    turned = image.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "b.png", exif=exif)
    image.resize((90, 40)).convert("L").save(tmp_path / "c.png")
    image.save(tmp_path / "d.gif", save_all=True, append_images=[image.rotate(90)])
    Image.new("RGB", (30, 20), "red").save(tmp_path / "e.png")
    (tmp_path / "f.jpg").write_text("no picture")
    from zoo.prediction import predict_inputs

    found = predict_inputs(model, str(tmp_path), tmp_path / "answers.txt", data=data)
    captions = {row["input"].rpartition("/")[2]: row["caption"] for row in found.answers}
    assert set(captions) == {"a.png", "b.png", "c.png", "d.gif"}
    assert captions["b.png"] == captions["a.png"]
    assert len((tmp_path / "answers.txt").read_text().splitlines()) == 4
    assert len(found.failures) == 2
    assert "e.png is a picture of one colour" in found.failures[0]
    assert "f.jpg is not a picture" in found.failures[1]
    array = np.asarray(image, np.float32).transpose(2, 0, 1) / 255
    rows = zoo.predict(model, [array, np.repeat(array, 3, 2), (tmp_path / "a.png").read_bytes()], data=data)
    assert rows[0]["caption"] == rows[2]["caption"]
    assert set(rows[1]) == {"input", "caption", "probability"}


# ---- TensorBoard and figures ----


def test_captions_and_attention_are_logged(captioner):
    events = EventAccumulator(captioner[2])
    events.Reload()
    assert {"captions", "attention/0"} <= set(events.Tags()["images"])
    assert "captions/text_summary" in events.Tags()["tensors"]


def test_figures_show_every_word():
    images = list(torch.rand(5, 3, 8, 8))
    figure = caption_grid(images, ["a $dog"] * 5, ["the cat"] * 5, columns=3)
    assert len(figure.axes) == 6
    assert sum(bool(axes.images) for axes in figure.axes) == 5
    assert {text.get_text() for text in figure.axes[0].texts} == {"a $dog", "the cat"}
    figure = attention_grid(images[0], "one two three", torch.rand(3, 2, 2))
    assert [axes.get_title() for axes in figure.axes][:5] == ["picture", "one", "two", "three", ""]


# ---- scores and rivals ----


def test_scores_of_captions():
    references = [["A dog runs on the grass .", "the dog is running"], ["two men sit on a red bench", "men on a bench"]]
    perfect = rivals.score_captions(["a dog runs on the grass", "Two men sit on a red bench ."], references)
    assert perfect["test_bleu_1"] == perfect["test_bleu_4"] == perfect["test_rouge_l"] == pytest.approx(100)
    assert perfect["test_cider"] > 1
    worse = rivals.score_captions(["a dog runs on the street", "two men"], references)
    # 7 of 8 words are right, and the closest references have 6 and 4 words, so that 8 of 10 are there.
    assert worse["test_bleu_1"] == pytest.approx(100 * 7 / 8 * math.exp(1 - 10 / 8))
    assert worse["test_cider"] < perfect["test_cider"]
    assert rivals.score_captions(["", "zebra"], references)["test_bleu_4"] == 0


@pytest.mark.parametrize("package", ["nltk", "pycocoevalcap"])
def test_a_missing_package_is_named_with_its_command(package, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        ModuleNotFoundError, match=rf"{package} is not installed: pip install 'lightning-zoo\[caption\]'"
    ):
        rivals.score_captions(["a dog"], [["a dog"]])


def test_recalls_by_hand():
    likelihood = torch.tensor([[-1.0, -5.0, -2.0], [-2.0, -3.0, -2.0], [-3.0, -4.0, -1.0]])
    found = rivals.recalls_of(likelihood, torch.tensor([0, 2, 0]))  # ranks 1, 2 and 3, the last of equal ones
    assert found == {"test_recall_1": pytest.approx(100 / 3), "test_recall_10": 100.0}
    lost = torch.full((20, 1), math.nan)
    assert rivals.recalls_of(lost, torch.tensor([3])) == {"test_recall_1": 0.0, "test_recall_10": 0.0}
    many = torch.arange(20.0)[:, None].expand(-1, 2)
    assert rivals.recalls_of(many, torch.tensor([10, 9])) == {"test_recall_1": 0.0, "test_recall_10": 50.0}


def test_the_constant_caption_is_the_best_on_validation(captioner):
    _, data, _ = captioner
    data.setup()
    references = data.references("val")
    texts = {" ".join(caption_words(text)) for texts in data.references("train") for text in texts}

    def bleu(text):
        return rivals.score_captions([text] * len(references), references)["test_bleu_4"]

    found = measure("baseline", "constant_caption", None, data)
    assert bleu(found.report) == pytest.approx(max(map(bleu, texts)))
    other = rivals._best_constant([["a dog on grass here", "the cat"]], [["a dog on grass there"], ["a dog on grass"]])
    assert other == "a dog on grass here"
    assert rivals._best_constant([[" . ", "a dog"]], [["a dog"]]) == "a dog"


def test_similar_pictures_lend_their_captions(captioner):
    _, data, _ = captioner
    for name in ("consensus_caption", "neighbour_by_colours_and_gradients"):
        found = measure("baseline", name, None, data).metrics
        assert set(found) == {*(f"test_bleu_{n}" for n in range(1, 5)), "test_cider", "test_rouge_l"}
    pictures = rivals.pictures_of(data, "train").numpy()
    features = rivals.picture_features(pictures)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)
    brighter = rivals.picture_features((0.98 * pictures + 0.004).clip(0, 1))
    assert ((brighter @ features.T).argmax(1) == np.arange(len(pictures))).mean() > 0.9


def test_captions_are_measured(captioner):
    model, data, _ = captioner
    found = measure("measure", "captions", model, data)
    assert found.metrics["test_bleu_1"] > 60
    assert found.metrics["test_recall_10"] > 80  # of 12
    assert found.metrics["test_seconds_a_caption"] > 0
    assert len(found.report.splitlines()) == 12


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "vgg11"])
def test_networks_of_torchvision_are_encoders(name):
    model = zoo.create_model("lstm_captioner", encoder=name, input_shape=[3, 64, 64], embedding_dim=8, hidden_dim=8)
    found = model.net.encode(torch.rand(2, 3, 64, 64))
    assert found.size == (2, 2)
    assert found.positions.shape[1] == 4


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"encoder": "resnet"}, "encoder 'resnet'.*resnet18"),
        ({"encoder": "densenet121"}, "no sequence of layers up to a global pooling of a feature map"),
        ({"encoder": "vit_b_16"}, "no sequence of layers up to a global pooling of a feature map"),
        ({"encoder": "googlenet"}, "no sequence of layers up to a global pooling of a feature map"),
        ({"encoder": "resnet18", "input_shape": [1, 64, 64]}, "takes three channels, not 1"),
        ({"encoder_weights": "DEFAULT"}, "name it"),
        ({"encoder": "resnet18", "encoder_weights": "IMAGENET"}, "weights of resnet18.*IMAGENET1K_V1"),
    ],
)
def test_wrong_encoders_are_refused_in_one_line(args, message):
    with pytest.raises(ValueError, match=message) as caught:
        zoo.create_model("lstm_captioner", **args)
    assert "\n" not in str(caught.value)


def test_published_weights_are_taken_by_the_first_fit_alone(root, tmp_path, monkeypatch):
    from torchvision import models

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    source = models.mobilenet_v3_small()
    name = models.get_model_weights("mobilenet_v3_small").DEFAULT.url.rpartition("/")[2]
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(source.state_dict(), tmp_path / "hub" / "checkpoints" / name)
    small = {"embedding_dim": 8, "hidden_dim": 8, "attention_dim": 8, "lr": 1e-30, "optimizer": "sgd"}
    model = zoo.create_model(
        "lstm_captioner", encoder="mobilenet_v3_small", encoder_weights="DEFAULT", input_shape=[3, 32, 32], **small
    )
    data = Flickr8kCaptionsDataModule(root=root, image_size=32, min_count=1)
    for _ in range(2):
        quiet_trainer(max_epochs=1, limit_train_batches=1, limit_val_batches=0).fit(model, data)
        wanted, found = source.features[0][0].weight, model.net.encoder[1][0][0].weight
        assert torch.equal(wanted, found)
        (tmp_path / "hub" / "checkpoints" / name).unlink(missing_ok=True)  # a second fit would have to download them
    assert not torch.equal(source.features[0][1].running_mean, model.net.encoder[1][0][1].running_mean)
