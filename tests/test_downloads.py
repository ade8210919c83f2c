"""Missing files are downloaded whole and verified, or answered with one line."""

import gzip
import hashlib
import http.server
import struct
import threading

import numpy as np
import pytest

import datamodules.mnist
from datamodules import CIFAR10DataModule, MNISTDataModule
from datamodules.mnist import read_idx

SIZES = {"train": 60, "t10k": 20}


def idx(values):
    return struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.tobytes()


@pytest.fixture
def raw():
    """The four files of a small MNIST, unpacked."""
    draw = np.random.default_rng(0)
    files = {}
    for split, n in SIZES.items():
        files[f"{split}-images-idx3-ubyte"] = idx(draw.integers(0, 256, (n, 28, 28), dtype=np.uint8))
        files[f"{split}-labels-idx1-ubyte"] = idx((np.arange(n) % 10).astype(np.uint8))
    return files


@pytest.fixture
def server(raw, monkeypatch):
    """A server of those files, gzipped, that MNIST is downloaded from; what it answers can be changed."""
    packed = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in raw.items()}

    class Handler(http.server.BaseHTTPRequestHandler):
        answers = dict(packed)
        cut = 0
        asked = []

        def do_GET(self):
            name = self.path.rsplit("/", 1)[-1]
            self.asked.append(name)
            content = self.answers.get(name)
            if content is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) - self.cut])

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        md5 = {name.removesuffix(".gz"): hashlib.md5(content).hexdigest() for name, content in packed.items()}
        sha256 = {name: hashlib.sha256(content).hexdigest() for name, content in raw.items()}
        files = {"train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", SIZES["train"])}
        files["test"] = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", SIZES["t10k"])
        monkeypatch.setattr(datamodules.mnist, "_FILES", files)
        monkeypatch.setattr(MNISTDataModule, "md5", md5)
        monkeypatch.setattr(MNISTDataModule, "sha256_raw", sha256)
        monkeypatch.setattr(MNISTDataModule, "mirrors", (f"http://127.0.0.1:{running.server_address[1]}/",))
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield Handler
        running.shutdown()


def mnist(root):
    return MNISTDataModule(root=str(root), val_size=20, batch_size=10)


def files_under(folder):
    return [path.name for path in folder.rglob("*") if path.is_file()]


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


def test_missing_files_are_downloaded_once(server, raw, tmp_path):
    data = mnist(tmp_path)
    data.prepare_data()
    data.setup()
    assert sorted(files_under(tmp_path)) == sorted(f"{name}.gz" for name in raw)
    assert {name: len(split.groups) for name, split in data.splits.items()} == {"train": 40, "val": 20, "test": 20}
    expected = np.frombuffer(raw["t10k-images-idx3-ubyte"][16:], np.uint8)
    assert np.array_equal(data.splits["test"].tensors[0].numpy().ravel(), expected)
    before = len(server.asked)
    mnist(tmp_path).prepare_data()
    assert len(server.asked) == before == 4


def test_the_next_mirror_is_asked_where_the_first_fails(server, tmp_path, monkeypatch):
    monkeypatch.setattr(MNISTDataModule, "mirrors", ("http://127.0.0.1:9/", *MNISTDataModule.mirrors))
    mnist(tmp_path).prepare_data()
    assert len(files_under(tmp_path)) == 4


def test_a_wrong_checksum_leaves_nothing(server, tmp_path):
    server.answers = {**server.answers, "train-images-idx3-ubyte.gz": gzip.compress(b"something else")}
    with pytest.raises(ValueError, match="wrong checksum") as error:
        mnist(tmp_path).prepare_data()
    assert "train-images-idx3-ubyte.gz" in one_line(error)
    assert files_under(tmp_path) == []


def test_a_transfer_that_breaks_off_leaves_nothing(server, tmp_path):
    server.cut = 100
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        mnist(tmp_path).prepare_data()
    assert "train-images-idx3-ubyte.gz" in one_line(error)
    assert files_under(tmp_path) == []


@pytest.mark.parametrize("absent", ["no server", "no file"])
def test_offline_the_line_says_which_file_from_where_put_where(absent, server, tmp_path, monkeypatch):
    if absent == "no server":
        monkeypatch.setattr(MNISTDataModule, "mirrors", ("http://127.0.0.1:9/",))
    else:
        server.answers = {}
    with pytest.raises(FileNotFoundError) as error:
        mnist(tmp_path).setup()
    line = one_line(error)
    assert "train-images-idx3-ubyte.gz is missing" in line
    assert f"{MNISTDataModule.mirrors[0]}train-images-idx3-ubyte.gz" in line
    assert str(tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte.gz") in line
    assert files_under(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_named(server, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FileNotFoundError) as error:
        mnist(tmp_path / "file").prepare_data()
    assert str(tmp_path / "file" / "MNIST" / "raw") in one_line(error)
    assert server.asked == []


def test_raw_and_packed_files_are_the_same(server, raw, tmp_path):
    for form in ("raw", "packed"):
        folder = tmp_path / form / "MNIST" / "raw"
        folder.mkdir(parents=True)
        for name, content in raw.items():
            path = folder / (name if form == "raw" else f"{name}.gz")
            path.write_bytes(content if form == "raw" else gzip.compress(content, mtime=0))
    assert mnist(tmp_path / "raw").sha256() == mnist(tmp_path / "packed").sha256()
    assert server.asked == []


@pytest.mark.parametrize("form", ["raw", "packed"])
@pytest.mark.parametrize("damage", ["truncated", "altered"])
def test_damaged_local_files_are_named(damage, form, server, raw, tmp_path):
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name, content in raw.items():
        if damage == "altered":
            content = content[:-1] + bytes([content[-1] ^ 1])
        content = content if form == "raw" else gzip.compress(content, mtime=0)
        content = content[:-50] if damage == "truncated" else content
        (folder / (name if form == "raw" else f"{name}.gz")).write_bytes(content)
    with pytest.raises(ValueError) as error:
        mnist(tmp_path).setup()
    assert str(folder / "train-images-idx3-ubyte") in one_line(error)
    words = {"altered": "wrong checksum", "truncated": "truncated" if form == "raw" else "cannot be unpacked"}
    assert words[damage] in str(error.value)


def test_read_idx_refuses_another_kind_of_file(tmp_path):
    values = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    path = tmp_path / "file"
    path.write_bytes(idx(values))
    assert np.array_equal(read_idx(path, (2, 3, 4)).numpy(), values)
    for content, shape in ((idx(values), (2, 4, 3)), (b"x" * 40, (2, 3, 4)), (b"", (2, 3, 4))):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="expected an IDX file"):
            read_idx(path, shape)
    path = tmp_path / "file.gz"
    whole = bytearray(gzip.compress(bytes(np.random.default_rng(0).integers(0, 255, 5000, np.uint8))))
    whole[200:260] = b"\xff" * 60
    path.write_bytes(whole)
    with pytest.raises(ValueError, match="cannot be unpacked"):
        read_idx(path, (70, 80))
    path.write_bytes(gzip.compress(idx(np.zeros(10**6, np.uint8))))
    with pytest.raises(ValueError, match="more, expected an IDX file of 2 x 3 x 4 bytes"):
        read_idx(path, (2, 3, 4))


def test_cifar10_is_downloaded_from_its_archive(server, tmp_path, monkeypatch):
    content = b"an archive"
    server.answers = {**server.answers, "cifar-10-binary.tar.gz": content}
    monkeypatch.setattr(CIFAR10DataModule, "url", MNISTDataModule.mirrors[0] + "cifar-10-binary.tar.gz")
    with pytest.raises(ValueError, match="wrong checksum"):
        CIFAR10DataModule(root=str(tmp_path)).prepare_data()
    assert not files_under(tmp_path)
    monkeypatch.setattr(CIFAR10DataModule, "md5", hashlib.md5(content).hexdigest())
    CIFAR10DataModule(root=str(tmp_path)).prepare_data()
    assert files_under(tmp_path) == ["cifar-10-binary.tar.gz"]
    monkeypatch.setattr(CIFAR10DataModule, "url", "http://127.0.0.1:9/cifar-10-binary.tar.gz")
    with pytest.raises(FileNotFoundError, match=r"cifar-10-binary\.tar\.gz is missing and no server answers"):
        CIFAR10DataModule(root=str(tmp_path / "other")).prepare_data()
