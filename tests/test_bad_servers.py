"""Downloads from servers that are slow, break off or send another file: one line in limited time, and nothing kept."""

import contextlib
import errno
import hashlib
import http.server
import io
import multiprocessing
import os
import tarfile
import threading
import time
import zipfile
from functools import partial
from types import SimpleNamespace

import pytest

from datamodules import create_datamodule, download
from datamodules.download import fetch
from datamodules.fra_eng import FraEngDataModule
from datamodules.reuters import SGML_FILES, ReutersDataModule
from datamodules.reviews import MovieReviewsDataModule, SST2DataModule

PAIRS = "".join(f"Sentence {k}.\tPhrase {k}.\n" for k in range(300)).encode()
PAGE = b"<html><body>Please log in</body></html>"


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


WHOLE = zipped({"fra.txt": PAIRS})


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers a path's first part: how, whatever the rest."""

    content = WHOLE
    asked = 0

    def do_GET(self):
        type(self).asked += 1
        with contextlib.suppress(ConnectionError):
            getattr(self, f"send_{self.path.split('/')[1]}")()

    def start(self, length):
        self.send_response(200)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def drip(self, send):
        while not self.server.closing.wait(0.02):
            send(b"x")

    def send_whole(self):
        self.start(len(self.content))
        self.wfile.write(self.content)

    def send_slow_body(self):
        self.start(10**6)
        self.drip(self.wfile.write)

    def send_slow_body_of_any_length(self):
        self.start(None)
        self.drip(self.wfile.write)

    def send_slow_header(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        self.drip(self.wfile.write)

    def send_silence(self):
        self.server.closing.wait(20)

    def send_endless(self):
        self.start(None)
        while not self.server.closing.is_set():
            self.wfile.write(bytes(1 << 16))

    def send_cut(self):
        self.start(len(self.content))
        self.wfile.write(self.content[:-20])

    def send_cut_to_nothing(self):
        self.start(len(self.content))

    def send_empty(self):
        self.start(0)

    def send_page(self):
        self.start(len(PAGE))
        self.wfile.write(PAGE)

    def send_half_an_archive(self):
        self.start(len(self.content) // 2)
        self.wfile.write(self.content[: len(self.content) // 2])

    def send_garbage(self):
        self.wfile.write(b"\xff\xfe not HTTP\r\n\r\n")

    def send_loop(self):
        self.send_response(302)
        self.send_header("Location", self.path)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    """The address of a server, with limits that a test can reach in no time."""
    monkeypatch.setattr(download, "GRACE_SECONDS", 0.6)
    monkeypatch.setattr(download, "READ_SECONDS", 0.4)
    monkeypatch.setattr(download, "LARGEST_DOWNLOAD", 1 << 20)
    monkeypatch.setattr(Handler, "asked", 0)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads, running.closing = True, threading.Event()
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.closing.set()
        running.shutdown()


WAYS = [name.removeprefix("send_") for name in vars(Handler) if name.startswith("send_") and name != "send_whole"]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("way", WAYS)
def test_a_bad_download_is_one_line_in_limited_time_and_leaves_nothing(way, known, server, tmp_path, monkeypatch):
    path, url = tmp_path / "data" / "fra-eng.zip", f"{server}/{way}/fra-eng.zip"
    monkeypatch.setattr(FraEngDataModule, "url", url)
    known_hash = f"sha256:{hashlib.sha256(WHOLE).hexdigest()}"
    data = FraEngDataModule(root=str(tmp_path / "data"))
    call = partial(fetch, [url], known_hash, path) if known else data.prepare_data
    start = time.monotonic()
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        call()
    assert time.monotonic() - start < 8
    assert "\n" not in str(error.value)
    assert "fra-eng.zip" in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_the_next_server_is_asked_after_a_bad_one(server, tmp_path):
    for way in ("slow_body", "cut", "loop", "garbage", "page"):
        path = tmp_path / way / "file"
        known = f"sha256:{hashlib.sha256(WHOLE).hexdigest()}"
        fetch([f"{server}/{way}/file", f"{server}/whole/file"], known, path)
        assert path.read_bytes() == WHOLE


def test_a_download_at_the_least_rate_is_not_given_up(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_CHUNK", 8)
    monkeypatch.setattr(download, "LEAST_RATE", 20.0)
    monkeypatch.setattr(Handler, "content", b"x" * 100)

    def send(self):
        self.start(100)
        for _ in range(100):
            time.sleep(0.01)
            self.wfile.write(b"x")

    monkeypatch.setattr(Handler, "send_whole", send)
    assert fetch([f"{server}/whole/file"], None, tmp_path / "file").read_bytes() == b"x" * 100


SOURCES = {
    "fra_eng": (zipped, {"fra.txt": b"no tab\n"}, "fra.txt, line 1: no tab"),
    "sst2": (zipped, {"train.tsv": b"a\tb\n", "dev.tsv": b"a\tb\n"}, "wrong checksum, not the published train.tsv"),
    "movie_reviews": (tarred, dict.fromkeys(MovieReviewsDataModule.files, b"one\n"), "has 1 sentences"),
    **dict.fromkeys(
        ("reuters", "reuters_topics"),
        (tarred, dict.fromkeys(SGML_FILES, b"<REUTERS>"), "wrong checksum, not the published Reuters-21578"),
    ),
}


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("damage", ["another", "lacking", "page"])
def test_an_archive_that_is_not_the_published_one_is_not_kept(name, damage, server, tmp_path, monkeypatch):
    pack, files, words = SOURCES[name]
    contents = {"another": pack(files), "lacking": pack({"other": b""}), "page": PAGE}
    monkeypatch.setattr(Handler, "content", contents[damage])
    data = create_datamodule(name, root=str(tmp_path))
    monkeypatch.setattr(type(data), "url", f"{server}/whole/x", raising=False)
    monkeypatch.setattr("datamodules.reuters.MIRRORS", (f"{server}/whole/x", f"{server}/whole/y"))
    for _ in range(2):  # nothing of the first try is in the way of the next
        with pytest.raises(ValueError, match="nothing was kept") as error:
            data.prepare_data()
        assert {"another": words, "lacking": "it has no file", "page": "cannot be unpacked"}[damage] in str(error.value)
        assert "\n" not in str(error.value)
        assert "/tmp" not in str(error.value).replace(str(tmp_path), "")
    assert list(tmp_path.iterdir()) == []


def test_a_good_archive_is_kept(server, tmp_path, monkeypatch):
    texts = {f"{name}.tsv": f"sentence\tlabel\n{name}\t1\n".encode() for name in SST2DataModule.sha256_files}
    digests = {name.removesuffix(".tsv"): hashlib.sha256(content).hexdigest() for name, content in texts.items()}
    monkeypatch.setattr(SST2DataModule, "sha256_files", digests)
    monkeypatch.setattr(SST2DataModule, "url", f"{server}/whole/x")
    monkeypatch.setattr(Handler, "content", zipped({f"SST-2/{name}": content for name, content in texts.items()}))
    for _ in range(2):
        SST2DataModule(root=str(tmp_path)).prepare_data()
    assert [path.name for path in tmp_path.iterdir()] == ["SST-2.zip"]
    assert Handler.asked == 1
    parts = dict.fromkeys(SGML_FILES, b"<x>")
    monkeypatch.setattr(ReutersDataModule, "sha256_parts", hashlib.sha256(b"".join(parts.values())).hexdigest())
    monkeypatch.setattr("datamodules.reuters.MIRRORS", (f"{server}/whole/x",))
    monkeypatch.setattr(Handler, "content", tarred(parts))
    ReutersDataModule(root=str(tmp_path)).prepare_data()
    assert (tmp_path / "reuters21578.tar.gz").exists()


def test_an_interrupt_leaves_nothing(server, tmp_path, monkeypatch):
    times = iter([0.0, 0.0])

    def interrupt():
        try:
            return next(times)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr(download, "time", SimpleNamespace(monotonic=interrupt))
    monkeypatch.setattr(Handler, "content", bytes(100_000))
    with pytest.raises(KeyboardInterrupt):
        fetch([f"{server}/whole/file"], None, tmp_path / "new" / "file")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_full_disk_is_one_line_and_leaves_nothing(code, server, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(download, "_download", fail)
    with pytest.raises(FileNotFoundError, match=os.strerror(code)) as error:
        fetch([f"{server}/whole/file"], None, tmp_path / "new" / "file")
    assert str(tmp_path / "new" / "file") in str(error.value)
    assert list(tmp_path.iterdir()) == []


def prepare(url, path, barrier, results):
    barrier.wait()
    try:
        fetch([url], None, path)
        results.put(path.read_bytes() == WHOLE)
    except Exception as error:
        results.put(repr(error))


def test_two_processes_prepare_one_cache(server, tmp_path):
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(2), context.Queue()
    path = tmp_path / "cache" / "file"
    arguments = (f"{server}/whole/file", path, barrier, results)
    processes = [context.Process(target=prepare, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    assert [results.get(timeout=30) for _ in processes] == [True, True]
    for process in processes:
        process.join(30)
    assert [each.name for each in path.parent.iterdir()] == ["file"]
