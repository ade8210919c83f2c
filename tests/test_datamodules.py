"""Every registered datamodule keeps what the models and recipes rely on."""

import hashlib
import os
import shutil
import tarfile
import zipfile

import numpy as np
import pooch
import pytest
import torch
from conftest import need_files, no_server, quiet_trainer
from marks import slowly
from PIL import Image
from small_texts import TEXTS, small_text, write_texts

import datamodules
from datamodules import CIFAR10DataModule, DigitsDataModule, ImageFolderDataModule
from datamodules.base import TensorDataModule
from datamodules.images.augment import AUGMENTATIONS, augment_images
from datamodules.loader import Chunk, EpochSampler, TensorLoader
from datamodules.registry import find_datamodule
from datamodules.splits import Split, stratified_split
from zoo.nn import luma

NAMES = datamodules.list_datamodules()
EACH = slowly(NAMES, "cifar10_jpeg")
"""All of them; to decode 60,000 pictures takes long."""
PICTURES = (
    "cifar10",
    "cifar10_jpeg",
    "digits",
    "flickr8k",
    "flickr8k_captions",
    "mnist",
    "fashion_mnist",
    "image_folder",
)
OFFICIAL_VALIDATION = (
    "aeslc",
    "aeslc_subjects",
    "atis",
    "clinc150",
    "flickr8k",
    "flickr8k_captions",
    "geoquery",
    "snips",
    "tinyshakespeare",
)
"""Their validation split is the same for every seed."""
PATIENTS = ("mitbih",)
"""Whole patients are set aside, whatever their beats are of."""
CLASSES = ("cat", "dog", "eel")


def write_picture(path, level, side=12):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(int(hashlib.sha256(path.name.encode()).hexdigest()[:8], 16))
    pixels = noise.integers(0, 40, (side, side + 4, 3)) + np.array([level, 100, 200 - level])
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def write_flat(root, n=20):
    for k, name in enumerate(CLASSES):
        for i in range(n):
            write_picture(root / name / f"{name}_{i}.png", 80 * k)
    return root


def write_divided(root, parts=("train", "test")):
    for part in parts:
        for k, name in enumerate(CLASSES):
            for i in range(10 if part == "train" else 3):
                write_picture(root / part / name / f"{part}_{name}_{i}.png", 80 * k)
    return root


def write_flickr8k(root, lists="", photographs="Flicker8k_Dataset", counts=(("train", 24), ("dev", 9), ("test", 6))):
    """Write made-up photographs and their lists in a layout of Flickr8k."""
    folder = root / "flickr8k"
    (folder / lists).mkdir(parents=True, exist_ok=True)
    for part, count in counts:
        names = [f"{part}_{number}.jpg" for number in range(count)]
        for number, name in enumerate(names):
            write_picture(folder / photographs / name, 5 * number)
        (folder / lists / f"Flickr_8k.{part}Images.txt").write_text("\n".join(names) + "\n")
        with (folder / lists / "Flickr8k.token.txt").open("a") as captions:
            for number, name in enumerate(names):
                captions.writelines(f"{name}#{k}\tA dog of {'level ' * k}{number} .\n" for k in range(5))
    return root


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    return write_flickr8k(tmp_path_factory.mktemp("photographs"))


@pytest.fixture(scope="session")
def flat(tmp_path_factory):
    return write_flat(tmp_path_factory.mktemp("pictures") / "flat")


@pytest.fixture(scope="session")
def small_files(tmp_path_factory):
    """Made-up files of the datamodules of texts."""
    return write_texts(tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="session")
def make(flat, photographs, small_files):
    """Build a datamodule by name; one whose files are absent is skipped by name."""
    loaded = {}

    def build(name, **args):
        cls = find_datamodule(name)
        if name in TEXTS:
            return small_text(name, small_files, **args)
        if name == "image_folder":
            args = {"root": str(flat), "image_size": 8, "test_size": 12, "val_size": 9, **args}
        if name in ("flickr8k", "flickr8k_captions"):
            args = {"root": str(photographs), "image_size": 8, "batch_size": 8, **args}
        data = cls(**args)
        if name not in loaded:
            need_files(data)
        if name == "cifar10_jpeg":
            loaded[name] = data._loaded = loaded.get(name) or data._load_once()
        if name == "reuters":
            loaded[name] = data._read = loaded.get(name) or data._all()
        if getattr(cls, "folder", None):  # read once; what is under test is how they are divided and handed out
            loaded[name] = loaded.get(name) or data.load()
            data.load = lambda: loaded[name]
        return data

    return build


def pixels_of(batches):
    return [torch.cat(parts) for parts in zip(*batches, strict=True)]


def training_batches(data, epochs=1):
    """Return the batches of a training run as its model sees them, in natural units."""
    import lightning as L

    seen = []

    class Watcher(L.LightningModule):
        automatic_optimization, takes_chunks = False, True

        def training_step(self, batch, index):
            for one in batch if isinstance(batch, Chunk) else [batch]:
                seen.append(tuple(tensor.clone() for tensor in one))

        def configure_optimizers(self):
            return None

    quiet_trainer(max_epochs=epochs, limit_val_batches=0).fit(Watcher(), data)
    return seen


# ---- registry ----


def test_the_list_is_sorted_and_holds_the_contract():
    assert sorted(NAMES) == NAMES
    assert {"boolean", "breast_cancer", "digits", "fashion_mnist", "image_folder", "mnist"} <= set(NAMES)
    assert datamodules.list_datamodules("*mnist") == ["fashion_mnist", "mnist"]
    assert datamodules.list_datamodules("nothing*") == []


@pytest.mark.parametrize("name", EACH)
def test_the_class_is_public_and_knows_its_name(name):
    cls = find_datamodule(name)
    assert cls.name == name
    assert getattr(datamodules, cls.__name__) is cls
    assert cls.__name__ in datamodules.__all__
    assert cls.__doc__


def test_near_misses_are_answered_with_the_nearest():
    with pytest.raises(ValueError, match=r"^unknown datamodule 'minst': did you mean mnist.*\?$"):
        datamodules.create_datamodule("minst")
    with pytest.raises(ValueError, match="did you mean batch_size"):
        datamodules.create_datamodule("digits", batchsize=3)
    with pytest.raises(ValueError, match="did you mean xor"):
        datamodules.create_datamodule("boolean", function="xro")


def test_a_taken_name_is_refused():
    with pytest.raises(ValueError, match="'digits' is registered already, by DigitsDataModule"):
        datamodules.register_datamodule("digits")(type("Other", (TensorDataModule,), {}))
    assert find_datamodule("digits") is DigitsDataModule


def test_the_base_says_what_a_subclass_lacks():
    with pytest.raises(NotImplementedError, match="TensorDataModule is abstract"):
        TensorDataModule().setup()
    with pytest.raises(AttributeError, match="NoSuchName"):
        datamodules.NoSuchName  # noqa: B018


# ---- every datamodule ----


@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=pytest.mark.slow) if each == "cifar10_jpeg" else each for each in NAMES]
)
def test_spec_and_batches_agree(name, make):
    data = make(name)
    data.setup()
    spec = data.spec
    if name not in TEXTS:
        assert spec["in_features"] == int(np.prod(spec["input_shape"]))
    for split, split_data in data.splits.items():
        x, y = split_data.tensors[:2]
        assert len(x) == len(y) == len(split_data.groups) > 0, split
        if name in TEXTS:
            assert x.shape[1] <= spec.get("max_length", x.shape[1])
            assert int(x.max()) < spec["vocab_size"]
        else:
            assert list(x.shape[1:]) == spec["input_shape"], split
        if "num_classes" in spec:
            several = spec.get("multi_label", False)
            assert y.dtype == (torch.uint8 if several else torch.int64)
            found = set((y.any(0).nonzero()[:, 0] if several else y.unique()).tolist())
            classes = set(range(spec["num_classes"]))
            assert found <= classes if name in PATIENTS else found == classes, split
            assert len(spec["class_names"]) == spec["num_classes"]
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        batch = data.on_after_batch_transfer(next(iter(loader)), 0)
        assert isinstance(batch, tuple)
        assert batch[0].dtype == (torch.int64 if name in TEXTS else torch.float32)
        if name in PICTURES:
            assert 0 <= batch[0].min() < 0.5 < batch[0].max() <= 1
            assert spec["in_channels"] == spec["input_shape"][0]


@pytest.mark.parametrize("name", EACH)
def test_mean_and_std_are_those_of_the_training_data(name, make):
    data = make(name)
    if "mean" not in data.spec:
        pytest.skip(f"{name} gives no mean")
    x = data.to_natural_units(data.load()["train"].tensors[0]).double()
    axes = (0, 2, 3) if x.ndim == 4 else (0,)
    mean, std = (torch.as_tensor(data.spec[key]).double().reshape(-1) for key in ("mean", "std"))
    tolerance = {"rtol": 1e-6, "atol": 0.51e-4}
    assert torch.allclose(mean, x.mean(axes), **tolerance)
    assert torch.allclose(std, x.std(axes, correction=0), **tolerance)


@pytest.mark.parametrize("name", EACH)
def test_no_group_is_in_two_splits(name, make):
    data = make(name)
    if not data.generalises:
        pytest.skip(f"{name} is a table of all there is")
    data.setup()
    groups = [set(split.groups.tolist()) for split in data.splits.values()]
    assert len(groups) == 3
    assert sum(map(len, groups)) == len(set.union(*groups))


@pytest.mark.parametrize("name", EACH)
def test_seeds_decide_validation_and_order_but_not_the_test_split(name, make):
    same, again, other = make(name, seed=3), make(name, seed=3), make(name, seed=4)
    for data in (same, again, other):
        data.setup()
    for split in ("train", "val", "test"):
        assert np.array_equal(same.splits[split].groups, again.splits[split].groups)
    assert np.array_equal(same.splits["test"].groups, other.splits["test"].groups)
    assert name in TEXTS or all(  # the vocabulary of texts is learned from the rows that are trained on
        torch.equal(a, b) for a, b in zip(same.splits["test"].tensors, other.splits["test"].tensors, strict=True)
    )
    if same.generalises and name not in OFFICIAL_VALIDATION:
        assert not np.array_equal(same.splits["val"].groups, other.splits["val"].groups)
    rows = [data.train_dataloader().sampler.rows() for data in (same, again, other)]
    assert torch.equal(rows[0], rows[1])
    assert len(rows[0]) < 10 or not torch.equal(rows[0], rows[2])


@pytest.mark.parametrize("name", EACH)
def test_validation_rows_have_the_classes_in_proportion(name, make):
    data = make(name)
    if (
        not data.generalises
        or "num_classes" not in data.spec
        or name in ("sst2", "davidson2017", "reuters_topics", *OFFICIAL_VALIDATION, *PATIENTS)
    ):
        pytest.skip(f"{name} has no labelled rows to set aside, or sets aside others than it trains on")
    data.setup()
    shares = [data.splits[split].tensors[1].bincount() / len(data.splits[split].groups) for split in ("train", "val")]
    assert (shares[0] - shares[1]).abs().max() <= 1 / len(data.splits["val"].groups)


@pytest.mark.parametrize("name", EACH)
def test_the_checksum_is_stable(name, make):
    data = make(name, seed=5)
    assert data.sha256() == make(name).sha256()
    assert len(data.sha256()) == 64
    data.setup()
    assert data.sha256() == make(name).sha256()


@pytest.mark.parametrize("name", EACH)
def test_an_epoch_visits_each_row_once_and_the_next_in_another_order(name, make):
    data = make(name)
    data.setup()
    loader = data.train_dataloader()
    n = len(data.splits["train"].groups)
    first = loader.sampler.rows()
    assert sorted(first.tolist()) == list(range(n))
    loader.sampler.set_epoch(1)
    second = loader.sampler.rows()
    assert sorted(second.tolist()) == list(range(n))
    if n > 10:
        assert not torch.equal(first, second)
    x, y = pixels_of(loader)[:2]
    expected = data.splits["train"].tensors
    assert torch.equal(x, expected[0][second])
    assert torch.equal(y, expected[1][second])
    x, _ = pixels_of(data.test_dataloader())[:2]
    assert torch.equal(x, data.splits["test"].tensors[0])


@pytest.mark.parametrize("name", EACH)
def test_many_batches_a_step_are_the_same_batches(name, make):
    many = name in ("cifar10", "cifar10_jpeg", "mnist", "fashion_mnist", *PATIENTS)
    for changes in (None, {"shift": 2, "rotate": 10, "scale": 0.1, "shear": 5, "flip": 0.5, "erase": 3}):
        if changes and name not in PICTURES:
            continue
        common = {"batch_size": 2500 if many else 4, **({"augment": changes} if changes else {})}
        one, several = (training_batches(make(name, batches_per_step=b, **common), 2 - many) for b in (1, 16))
        assert len(one) == len(several) > 1 or name == "boolean"
        for left, right in zip(one, several, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize("name", EACH)
@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
        ({"batch_size": -3}, "-3"),
        ({"batches_per_step": 0}, "batches_per_step must be at least 1, not 0"),
        ({"batch_size": 10**8}, "batch_size=100000000 is larger"),
        ({"val_size": 10**8}, "val_size=100000000 does not fit"),
        ({"val_size": -1}, "-1"),
        ({"seed": -7}, "-7"),
        ({"device_resident": "yess"}, "'yess': choose from auto, yes, no"),
    ],
)
def test_bad_settings_are_named_in_one_line(name, args, words, make):
    if "val_size" in args and args["val_size"] > 0 and not find_datamodule(name).generalises:
        pytest.skip(f"{name} sets nothing aside")
    with pytest.raises(ValueError) as error:
        make(name, **args).setup()
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"augment": {"shfit": 1}}, "'shfit': did you mean shift"),
        ({"augment": {"shift": -1.5}}, "-1.5"),
        ({"augment": {"shift": float("nan")}}, "nan"),
        ({"augment": {"crop": 1.5}}, "crop takes whole pixels"),
        ({"augment": {"crop": 1, "shift": 1}}, "shift and crop both move"),
    ],
)
def test_bad_augmentation_is_named_in_one_line(name, args, words, make):
    with pytest.raises(ValueError) as error:
        make(name, **args)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in PICTURES])
def test_only_images_are_augmented(name):
    with pytest.raises(ValueError, match=f"unknown option of datamodule {name} 'augment'"):
        datamodules.create_datamodule(name, augment={"shift": 1})


@pytest.mark.parametrize("name", slowly([name for name in NAMES if name not in TEXTS], "cifar10_jpeg"))
def test_a_users_input_that_is_missing_or_senseless_is_named(name, make):
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        make(name).read("no such thing.png")
    assert "no such thing.png" in str(error.value)
    assert "\n" not in str(error.value)


# ---- single sources ----


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_mnist_has_the_contracts_sizes(name, make):
    data = make(name)
    data.setup()
    assert {k: len(split.groups) for k, split in data.splits.items()} == {"train": 55_000, "val": 5_000, "test": 10_000}
    assert data.splits["train"].tensors[0].dtype == torch.uint8
    x, y = data.arrays("val")
    assert x.shape == (5_000, 784)
    assert x.dtype == np.float32
    assert y.dtype == np.int64


@pytest.mark.parametrize(("name", "sizes"), [("digits", (1257, 180, 360)), ("breast_cancer", (400, 55, 114))])
def test_embedded_sets_have_their_documented_sizes(name, sizes, make):
    data = make(name)
    data.setup()
    assert tuple(len(data.splits[split].groups) for split in ("train", "val", "test")) == sizes


def test_a_csv_file_of_biopsies_is_read(make, tmp_path):
    data, path = make("breast_cancer"), tmp_path / "biopsies.csv"
    row = ",".join(map(str, range(30)))
    path.write_text(",".join(["measure"] * 30) + f"\n{row}\n{row}\n")
    assert torch.equal(data.read(str(path)), torch.arange(30.0).expand(2, 30))
    for content, words in ((f"{row}\n1,2\n", "row 2: 2 numbers"), ("", "no row"), (f"{row}\n{row}x\n", "row 2")):
        path.write_text(content)
        with pytest.raises(ValueError, match=words):
            data.read(str(path))


def test_the_truth_tables_are_right(make):
    for function, answers in {"and": [0, 0, 0, 1], "or": [0, 1, 1, 1], "xor": [0, 1, 1, 0]}.items():
        data = make("boolean", function=function)
        data.setup()
        x, y = data.splits["test"].tensors
        assert {tuple(map(int, bits)): int(value) for bits, value in zip(x, y, strict=True)} == dict(
            zip([(0, 0), (0, 1), (1, 0), (1, 1)], answers, strict=True)
        )
    assert len(make("boolean", repeat=5).load()["train"].groups) == 20
    assert data.read("1, 0").tolist() == [[1, 0]]
    for bits in ("1", "1 2", "1 0 1"):
        with pytest.raises(ValueError, match="two bits"):
            data.read(bits)


def test_stratified_refuses_what_cannot_be_divided():
    labels = torch.tensor([0] * 10 + [1] * 10)
    for size in (1, 19, 20):
        with pytest.raises(ValueError, match=f"val_size={size} does not fit: choose from 2 to 18 of 20 rows"):
            stratified_split(labels, size, 0)
    with pytest.raises(ValueError, match="test_size=4: class 2 has one row"):
        stratified_split(torch.cat([labels, torch.tensor([2])]), 4, 0, "test_size")


# ---- loader and augmentation ----


def test_rows_of_a_split_are_copied_or_chosen():
    store, groups = torch.arange(10, 20), np.arange(10)
    copied = Split((store,), groups).take(np.array([7, 2, 5]))
    assert copied.rows is None
    assert copied.tensors[0].tolist() == [12, 15, 17]
    chosen = Split((store,), groups[1::2], torch.arange(1, 10, 2)).take(np.array([3, 1, 4]))
    assert chosen.stored[0] is store
    for split in (chosen, chosen.to(torch.device("cpu"))):
        assert split.tensors[0].tolist() == [13, 17, 19]
        assert split.groups.tolist() == [3, 7, 9]
    assert chosen.take(np.array([2, 0])).tensors[0].tolist() == [13, 19]


@pytest.mark.parametrize("shuffle", [False, True])
def test_processes_share_the_rows(shuffle):
    parts = [EpochSampler(23, shuffle, seed=1, rank=rank, world_size=4) for rank in range(4)]
    whole = EpochSampler(23, shuffle, seed=1)
    order = whole.rows().tolist() if shuffle else list(range(23))
    rows = [part.rows().tolist() for part in parts]
    assert [len(part) for part in parts] == list(map(len, rows))
    kept = 20 if shuffle else 23
    assert sorted(row for part in rows for row in part) == sorted(order[:kept])
    assert [row for step in zip(*rows, strict=False) for row in step] == order[:20]


@pytest.mark.parametrize("chosen", [None, torch.tensor([1, 4, 5, 8, 20, 21, 22])])
def test_a_loader_of_chosen_rows_gives_those_rows(chosen):
    store = torch.arange(30)
    n = 30 if chosen is None else 7
    expected = store if chosen is None else chosen
    for shuffle in (False, True):
        sampler = EpochSampler(n, shuffle)
        loader = TensorLoader((store,), sampler, 3, chosen=chosen)
        found = torch.cat([batch[0] for batch in loader])
        assert len(loader) == len(list(loader)) == -(-n // 3)
        assert torch.equal(found, expected[sampler.rows()] if shuffle else expected)
    assert [len(batch[0]) for batch in TensorLoader((store,), EpochSampler(30, True), 4, 3, max_batches=5)] == [12, 8]


def test_rows_in_their_own_order_are_not_copied():
    store = torch.arange(30)
    batches = list(TensorLoader((store,), EpochSampler(30, False), 8))
    assert all(batch[0].untyped_storage().data_ptr() == store.untyped_storage().data_ptr() for batch in batches)


@pytest.mark.parametrize("name", sorted({*AUGMENTATIONS} - {"grey", "halve", "window"}))
def test_each_augmentation_changes_pictures_and_none_changes_nothing(name):
    x = torch.rand(64, 1, 16, 16)
    strength = {"scale": 0.3, "flip": 1.0}.get(name, 5.0)
    assert torch.equal(augment_images(x, {name: 0.0}, torch.Generator().manual_seed(0)), x)
    changed = augment_images(x, {name: strength}, torch.Generator().manual_seed(0))
    assert changed.shape == x.shape
    assert changed.min() >= 0
    assert changed.max() <= 1
    share = (changed != x).flatten(1).any(1).float().mean()
    assert 0.3 < share < 0.7 if name == "erase" else share > 0.9
    if name == "flip":
        assert torch.allclose(changed, x.flip(3), atol=1e-5)
    if name == "erase":
        squares = (changed == 0).flatten(1).sum(1)
        assert squares.max() <= 36


def test_crop_moves_by_whole_pixels_anywhere():
    x = torch.rand(500, 2, 6, 5)
    changed = augment_images(x, {"crop": 1}, torch.Generator().manual_seed(0))
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1))
    places = [padded[:, :, top : top + 6, left : left + 5] for top in range(3) for left in range(3)]
    which = [
        int(torch.tensor([torch.equal(one, place[k]) for place in places]).nonzero()) for k, one in enumerate(changed)
    ]
    assert set(which) == set(range(9))
    mirrored = augment_images(x, {"crop": 1, "flip": 1.0}, torch.Generator().manual_seed(0))
    assert torch.equal(mirrored, augment_images(x.flip(3), {"crop": 1}, torch.Generator().manual_seed(0)))


def test_another_fit_draws_the_same_pictures(make):
    data = make("digits", augment={"shift": 2}, batch_size=300)
    first, again = training_batches(data), training_batches(data)
    assert all(torch.equal(a[0], b[0]) for a, b in zip(first, again, strict=True))
    later = training_batches(data, epochs=2)[len(first) :]
    assert not torch.equal(first[0][0], later[0][0])


# ---- image_folder ----


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "lightning-zoo" / "image_folder"


def test_the_three_layouts_and_the_zip_are_read(flat, tmp_path):
    divided = write_divided(tmp_path / "divided", ("train", "val", "test"))
    (divided / "train" / "cat" / "notes.txt").write_text("no picture")
    (divided / "train" / "cat" / ".hidden.png").write_text("no picture")
    data = ImageFolderDataModule(root=str(divided), image_size=8, batch_size=4)
    data.setup()
    assert {name: len(split.groups) for name, split in data.splits.items()} == {"train": 30, "val": 9, "test": 9}
    assert data.spec["class_names"] == list(CLASSES)
    data = ImageFolderDataModule(root=str(flat), image_size=8)
    data.setup()
    assert {name: len(split.groups) for name, split in data.splits.items()} == {"train": 44, "val": 6, "test": 10}
    for around in ("", "everything/"):
        with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
            archive.writestr(f"__MACOSX/{around}cat/._cat_0.png", b"resource fork")
            for path in flat.rglob("*.png"):
                archive.write(path, around + path.relative_to(flat).as_posix())
        packed = ImageFolderDataModule(root=str(tmp_path / "pictures.zip"), image_size=8)
        assert packed.sha256() == data.sha256()
        assert packed.spec == data.spec


def test_labels_go_with_their_pictures(flat):
    data = ImageFolderDataModule(root=str(flat), image_size=8)
    data.setup()
    for split in data.splits.values():
        x, y = split.tensors
        red = x[:, 0].float().mean((1, 2))
        assert torch.equal((red / 80).floor().long(), y)  # as the pictures were made


@pytest.mark.parametrize("grey", [False, True])
def test_read_gives_what_training_saw(grey, flat):
    data = ImageFolderDataModule(root=str(flat), image_size=8, grey=grey)
    assert data.spec["input_shape"] == [1 if grey else 3, 8, 8]
    assert isinstance(data.spec["mean"], float if grey else list)
    everything = torch.cat([data.to_natural_units(split.tensors[0]) for split in data.load().values()])
    for path in sorted(flat.rglob("*.png"))[::7]:
        found = data.read(str(path))
        assert found.shape == (1, *data.spec["input_shape"])
        assert (everything == found).flatten(1).all(1).sum() == 1


def test_a_set_larger_than_the_limit_is_mapped_and_the_same(flat, cache):
    common = {"root": str(flat), "image_size": 8, "val_size": 9, "batch_size": 4}
    inside, mapped = ImageFolderDataModule(**common), ImageFolderDataModule(memory_limit=0, **common)
    mapped.setup()
    inside.setup()
    assert [path.suffix for path in cache.iterdir()] == [".npy"]
    for name, split in mapped.splits.items():
        assert all(torch.equal(a, b) for a, b in zip(split.tensors, inside.splits[name].tensors, strict=True))
    assert mapped.sha256() == inside.sha256()
    assert mapped.spec == inside.spec
    # Nothing is copied into memory: training and validation rows are chosen out of the same mapped tensor.
    train, val = (mapped.splits[name] for name in ("train", "val"))
    assert train.stored[0] is val.stored[0]
    assert len(train.stored[0]) == len(train.groups) + len(val.groups)
    for one, other in zip(training_batches(inside, 2), training_batches(mapped, 2), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    for one, other in zip(inside.val_dataloader(), mapped.val_dataloader(), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert torch.equal(train.to(torch.device("cpu")).stored[0], inside.splits["train"].tensors[0])


def test_the_mapped_file_serves_until_a_picture_changes(tmp_path, cache, monkeypatch):
    root = write_flat(tmp_path / "set", 6)
    common = {"root": str(root), "image_size": 8, "memory_limit": 0, "batch_size": 4}
    ImageFolderDataModule(**common).setup()
    (first,) = cache.iterdir()
    with monkeypatch.context() as patch:
        patch.setattr("datamodules.image_folder.read_image", lambda *args, **kwargs: pytest.fail("decoded again"))
        ImageFolderDataModule(**common).setup()
    os.utime(root / "cat" / "cat_0.png", ns=(1, 1))
    ImageFolderDataModule(**common).setup()
    (second,) = cache.iterdir()
    assert first != second, "and the outdated file is gone"
    ImageFolderDataModule(**{**common, "grey": True}).setup()
    assert len(list(cache.iterdir())) == 2


def test_a_decoding_that_fails_leaves_no_file(tmp_path, cache):
    root = write_flat(tmp_path / "set", 6)
    (root / "dog" / "dog_3.png").write_bytes((root / "dog" / "dog_3.png").read_bytes()[:200])
    for limit in (0, None):
        with pytest.raises(ValueError, match=r"dog_3\.png is not a picture") as error:
            ImageFolderDataModule(root=str(root), memory_limit=limit).setup()
        assert "\n" not in str(error.value)
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written_or_is_full_is_named(flat, tmp_path, monkeypatch, cache):
    common = {"root": str(flat), "image_size": 8, "memory_limit": 0}
    with monkeypatch.context() as patch:
        usage = type("Usage", (), {"free": 10})
        patch.setattr("datamodules.image_folder.shutil.disk_usage", lambda folder: usage)
        with pytest.raises(ValueError, match="GiB are free"):
            ImageFolderDataModule(**common).setup()
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(ValueError, match="file/lightning-zoo/image_folder cannot be written"):
        ImageFolderDataModule(**common).setup()


def test_folders_that_are_laid_out_otherwise_are_named_in_one_line(tmp_path):
    def files(*names):
        def make(root):
            root.mkdir()
            for name in names:
                write_picture(root / name, 0)

        return make

    pair = ("train/cat/1.png", "train/dog/2.png")
    cases = {
        "holds no pictures": files(),
        "only one class, 'cat'": files("cat/1.png", "cat/2.png"),
        "1.png lies in no class folder": files("1.png", "cat/2.png", "dog/3.png"),
        "train/1.png lies in no class folder": files("train/1.png", *pair, "test/cat/3.png"),
        "class 'eel' is in test/ but not in train/": files(*pair, "test/eel/3.png"),
        "no pictures in train/": files("test/cat/1.png", "test/dog/2.png"),
        "'tests': did you mean test?": files(*pair, "test/cat/3.png", "tests/dog/4.png"),
        "test_size=2: class 1 has one row": files("cat/1.png", "cat/2.png", "cat/3.png", "dog/4.png"),
    }
    for number, (words, make) in enumerate(cases.items()):
        root = tmp_path / str(number)
        make(root)
        with pytest.raises(ValueError) as error:
            ImageFolderDataModule(root=str(root)).setup()
        assert words in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("names", [("Train", "Test"), ("training", "testing"), ("TRAIN", "test"), ("train", "Testing")])
@pytest.mark.parametrize("enclosed", [False, True])
def test_folders_of_splits_are_known_by_any_name(names, enclosed, tmp_path):
    top = tmp_path / "set" / "pics" if enclosed else tmp_path / "set"
    for k in range(12):
        write_picture(top / names[0] / ("cat", "dog")[k % 2] / f"{k}.png", 0)
    for k in range(4):
        write_picture(top / names[1] / ("cat", "dog")[k % 2] / f"{k}.png", 0)
    data = ImageFolderDataModule(root=str(tmp_path / "set"), batch_size=2, val_size=2)
    data.setup()
    assert data.source_classes == ["cat", "dog"]
    assert {part: len(split.groups) for part, split in data.splits.items()} == {"train": 10, "val": 2, "test": 4}
    assert "drawn" not in data.describe()


def test_training_and_validation_folders_alone_leave_the_test_split_to_be_drawn(tmp_path):
    for part, count in (("train", 20), ("Validation", 6)):
        for k in range(count):
            write_picture(tmp_path / "set" / part / ("cat", "dog")[k % 2] / f"{k}.png", 0)
    data = ImageFolderDataModule(root=str(tmp_path / "set"), batch_size=2)
    data.setup()
    sizes = {part: len(split.groups) for part, split in data.splits.items()}
    assert sizes["val"] == 6
    assert sizes["train"] + sizes["test"] == 20
    assert "(test drawn from the pictures)" in data.describe()


def test_folders_of_pictures_are_classes_whatever_their_names(tmp_path):
    for k in range(12):
        write_picture(tmp_path / "set" / ("train", "bus")[k % 2] / f"{k}.png", 0)
    data = ImageFolderDataModule(root=str(tmp_path / "set"), batch_size=2)
    data.setup()
    assert data.source_classes == ["bus", "train"]


def test_links_are_followed_and_what_is_left_out_is_said(tmp_path):
    for k in range(10):
        write_picture(tmp_path / "else" / f"{k}.png", 0)
        write_picture(tmp_path / "set" / "dog" / f"{k}.png", 0)
    (tmp_path / "set" / "cat").symlink_to(tmp_path / "else")
    (tmp_path / "set" / "dog" / "self").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "dog" / "gone.png").symlink_to(tmp_path / "nothing.png")
    (tmp_path / "set" / "dog" / "notes.txt").write_text("x")
    (tmp_path / "set" / "dog" / ".hidden.txt").write_text("x")
    (tmp_path / "set" / "dog" / "a.JFIF").write_bytes((tmp_path / "set" / "dog" / "0.png").read_bytes())
    (tmp_path / "set" / "cat" / "raw.dng").write_bytes(b"x")
    data = ImageFolderDataModule(root=str(tmp_path / "set"), batch_size=2)
    about = data.describe()
    assert "set: 21 pictures, read as RGB, 32 x 32" in about
    assert "left out as no pictures: 1 .dng, 1 .txt" in about
    assert "2 classes: 'cat' (10), 'dog' (11)" in about


def test_all_damaged_pictures_are_named(tmp_path):
    for k in range(60):
        write_picture(tmp_path / "set" / ("cat", "dog")[k % 2] / f"{k}.png", 0)
    for k in range(3, 60, 2):
        (tmp_path / "set" / "dog" / f"{k}.png").write_bytes(b"none")
    (tmp_path / "set" / "cat" / "0.png").write_bytes(b"")
    with pytest.raises(ValueError) as error:
        ImageFolderDataModule(root=str(tmp_path / "set")).setup()
    line = str(error.value)
    assert line.startswith("30 of 60 pictures are damaged: ")
    assert line.endswith("; and 10 more")
    assert "\n" not in line
    assert line.count(" is not a picture that can be read") == 20


def test_a_root_that_is_missing_or_no_zip_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    with pytest.raises(ValueError, match="image_folder needs root"):
        ImageFolderDataModule()
    with pytest.raises(FileNotFoundError, match=r"gone\.zip: no such folder or zip file"):
        ImageFolderDataModule(root=str(tmp_path / "gone.zip"))
    (tmp_path / "note.zip").write_text("no zip file")
    with pytest.raises(ValueError, match=r"note\.zip cannot be unpacked .*not a zip file"):
        ImageFolderDataModule(root=str(tmp_path / "note.zip")).setup()


def test_a_damaged_zip_names_the_picture(flat, tmp_path):
    path = tmp_path / "pictures.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for picture in sorted(flat.rglob("*.png")):
            archive.write(picture, picture.relative_to(flat).as_posix())
        offset = archive.getinfo("dog/dog_2.png").header_offset + 120
    content = bytearray(path.read_bytes())
    content[offset : offset + 20] = bytes(20)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"dog/dog_2\.png cannot be unpacked") as error:
        ImageFolderDataModule(root=str(path)).setup()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"image_size": 0}, "image_size must be at least 1, not 0"),
        ({"test_size": 0}, "test_size must be at least 1, not 0"),
        ({"test_size": 1000}, "test_size=1000 does not fit"),
        ({"memory_limit": -1.0}, "memory_limit must be at least 0 GiB, not -1.0"),
    ],
)
def test_bad_settings_of_image_folder_are_named(args, words, flat):
    with pytest.raises(ValueError, match=words):
        ImageFolderDataModule(root=str(flat), **args).setup()


def test_sizes_have_no_use_beside_the_folders_they_would_make(tmp_path):
    root = str(write_divided(tmp_path / "set", ("train", "val", "test")))
    for name in ("val", "test"):
        with pytest.raises(ValueError, match=f"{name}_size has no use"):
            ImageFolderDataModule(root=root, **{f"{name}_size": 3}).setup()


# ---- CIFAR-10 ----


def write_cifar10(folder, rows=20):
    folder.mkdir(parents=True)
    draw = np.random.default_rng(0)
    for name in [f"data_batch_{k}.bin" for k in range(1, 6)] + ["test_batch.bin"]:
        records = draw.integers(0, 256, (rows, 3073), dtype=np.uint8)
        records[:, 0] = np.arange(rows) % 10
        (folder / name).write_bytes(records.tobytes())
    return folder


@pytest.fixture
def cifar10(tmp_path, monkeypatch):
    monkeypatch.setattr(CIFAR10DataModule, "rows", 20)
    write_cifar10(tmp_path / "cifar-10-batches-bin")
    return tmp_path


def test_cifar10_reads_its_folder_and_its_archive(cifar10, monkeypatch):
    folder = cifar10 / "cifar-10-batches-bin"
    data = CIFAR10DataModule(root=str(cifar10), val_size=10, batch_size=10)
    data.setup()
    assert {name: len(split.groups) for name, split in data.splits.items()} == {"train": 90, "test": 20, "val": 10}
    x, y = data.splits["test"].tensors
    record = np.frombuffer((folder / "test_batch.bin").read_bytes(), np.uint8)[:3073]
    assert y[0] == record[0]
    assert np.array_equal(x[0].numpy().ravel(), record[1:])  # red, green, blue, each row by row
    with tarfile.open(cifar10 / "cifar-10-binary.tar.gz", "w:gz") as archive:
        archive.add(folder, "cifar-10-batches-bin")
    shutil.rmtree(folder)
    packed = CIFAR10DataModule(root=str(cifar10), val_size=10, batch_size=10)
    with pytest.raises(ValueError, match="wrong checksum"):
        packed.load()
    content = (cifar10 / "cifar-10-binary.tar.gz").read_bytes()
    monkeypatch.setattr(CIFAR10DataModule, "md5", hashlib.md5(content).hexdigest())
    assert packed.sha256() == data.sha256()
    (cifar10 / "cifar-10-binary.tar.gz").write_bytes(content[:5000])
    monkeypatch.setattr(CIFAR10DataModule, "md5", hashlib.md5(content[:5000]).hexdigest())
    with pytest.raises(ValueError, match="cannot be unpacked"):
        CIFAR10DataModule(root=str(cifar10)).load()


def test_damaged_cifar10_is_named(cifar10, monkeypatch):
    monkeypatch.setattr(pooch, "retrieve", no_server)
    path = cifar10 / "cifar-10-batches-bin" / "data_batch_3.bin"
    content = path.read_bytes()
    for spoiled, words in ((content[:-1], "is it truncated"), (b"\x0b" + content[1:], "a class above 9")):
        path.write_bytes(spoiled)
        with pytest.raises(ValueError, match=words) as error:
            CIFAR10DataModule(root=str(cifar10)).load()
        assert "data_batch_3.bin" in str(error.value)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"data_batch_3\.bin is missing"):
        CIFAR10DataModule(root=str(cifar10)).load()


@pytest.mark.parametrize("layout", ["folder", "zip", "zip with a folder", "lists apart"])
def test_flickr8k_is_read_in_every_layout(layout, tmp_path):
    root = write_flickr8k(tmp_path, "Flickr8k_text" if layout == "lists apart" else "")
    folder, inside = root / "flickr8k" / "Flicker8k_Dataset", "" if layout == "zip" else "Flicker8k_Dataset/"
    wanted = Image.open(folder / "dev_3.jpg").convert("RGB").resize((12, 12), Image.Resampling.BILINEAR)
    if layout.startswith("zip"):
        with zipfile.ZipFile(root / "flickr8k" / "Flickr8k_Dataset.zip", "w") as archive:
            for path in folder.iterdir():
                archive.write(path, f"{inside}{path.name}")
        shutil.rmtree(folder)
    data = datamodules.create_datamodule("flickr8k", root=str(root), image_size=12, batch_size=4)
    data.setup()
    assert {name: len(split.groups) for name, split in data.splits.items()} == {"train": 24, "val": 9, "test": 6}
    x, number = data.splits["val"].tensors
    assert x.shape == (9, 3, 12, 12)
    assert number.tolist() == list(range(9))
    assert np.abs(x[3].permute(1, 2, 0).numpy().astype(int) - np.asarray(wanted)).max() <= 2


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("Flicker8k_Dataset", "has none of Flicker8k_Dataset, .* accept its terms"),
        ("Flickr_8k.devImages.txt", "Flickr_8k.devImages.txt is missing: the list"),
        ("Flicker8k_Dataset/train_7.jpg", "lacks 1 photographs of the lists, such as train_7.jpg"),
    ],
)
def test_what_flickr8k_lacks_is_named(gone, message, tmp_path):
    path = write_flickr8k(tmp_path) / "flickr8k" / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(FileNotFoundError, match=message):
        datamodules.create_datamodule("flickr8k", root=str(tmp_path), batch_size=4).setup()


def test_windows_are_parts_of_the_images_or_of_their_halves():
    x = torch.rand(200, 3, 20, 24)
    seen = augment_images(x, {"window": 9}, torch.Generator().manual_seed(0))
    assert seen.shape == (200, 3, 9, 9)
    parts = x.unfold(2, 9, 1).unfold(3, 9, 1)
    where = [(parts[k] == seen[k][:, None, None]).flatten(3).all(3).all(0).nonzero().tolist() for k in range(200)]
    assert all(len(places) == 1 for places in where)
    assert {place[0][0] for place in where} == set(range(12))
    assert {place[0][1] for place in where} == set(range(16))
    halves = torch.nn.functional.avg_pool2d(x, 2)
    seen = augment_images(x, {"window": 9, "halve": 1.0}, torch.Generator().manual_seed(0))
    parts = halves.unfold(2, 9, 1).unfold(3, 9, 1)
    assert all((parts[k] == seen[k][:, None, None]).flatten(3).all(3).all(0).any() for k in range(200))
    some = augment_images(x, {"window": 9, "halve": 0.3}, torch.Generator().manual_seed(0))
    assert 0.15 < float((some == seen).flatten(1).all(1).float().mean()) < 0.45


def test_grey_images_have_equal_channels_and_the_luma_of_the_colours():
    x = torch.rand(400, 3, 4, 4)
    seen = augment_images(x, {"grey": 0.4}, torch.Generator().manual_seed(0))
    grey = (seen == seen[:, :1]).flatten(1).all(1)
    assert 0.3 < float(grey.float().mean()) < 0.5
    assert torch.equal(seen[~grey], x[~grey])
    torch.testing.assert_close(seen[grey][:, :1], luma(x[grey]))


def test_windows_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="a window of 9 pixels is larger than the images, 8 pixels"):
        augment_images(torch.rand(2, 3, 8, 30), {"window": 9}, torch.Generator())
    with pytest.raises(ValueError, match="halve needs a window"):
        datamodules.create_datamodule("digits", augment={"halve": 0.5})
    with pytest.raises(ValueError, match="augment: window takes the side in whole pixels"):
        datamodules.create_datamodule("digits", augment={"window": 2.5})


def test_cifar10_jpeg_is_missed_in_one_line(tmp_path):
    data = datamodules.create_datamodule("cifar10_jpeg", root=str(tmp_path))
    assert data.spec["input_shape"] == [3, 32, 32]
    for call in (data.prepare_data, data.setup):
        with pytest.raises(FileNotFoundError, match=r"cifar10-jpeg\.zip is missing") as error:
            call()
        assert "\n" not in str(error.value)


def test_cifar10_jpeg_has_its_documented_sizes(make):
    data = make("cifar10_jpeg")
    data.setup()
    assert {name: len(split.groups) for name, split in data.splits.items()} == {
        "train": 18_000,
        "test": 10_000,
        "val": 2_000,
    }
    assert data.splits["test"].column(1).bincount().tolist() == [1_000] * 10
