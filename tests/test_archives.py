"""Archives are read within bounds, and whatever is wrong with one is one line that names it."""

import gzip
import io
import os
import random
import tarfile
import tracemalloc
import zipfile

import numpy as np
import pytest
from PIL import Image

import datamodules.archives as archives
from datamodules import ImageFolderDataModule
from datamodules.archives import ZipReader, read_gzip, read_members
from datamodules.download import read_source

TEXTS = {"a.txt": b"first " * 50, "b.txt": b"second " * 50}
FORMATS = ("zip", "tar", "tar.gz")
MEBIBYTE = 2**20


def write_archive(path, files=TEXTS, folder="inside"):
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(f"{folder}/{name}", content)
        return path
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def refusal(path, names=tuple(TEXTS)):
    with pytest.raises(ValueError, match="cannot be unpacked") as error:
        list(read_source(path, names))
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture(autouse=True)
def small_bounds(monkeypatch):
    """Bounds that a test can exceed in no time."""
    monkeypatch.setattr(archives, "LARGEST_FILE", 4 * MEBIBYTE)
    monkeypatch.setattr(archives, "LARGEST_TOTAL", 6 * MEBIBYTE)
    monkeypatch.setattr(archives, "RATIO_FROM", MEBIBYTE)


@pytest.mark.parametrize("ending", FORMATS)
def test_files_are_found_in_any_folder_and_order(ending, tmp_path):
    path = write_archive(tmp_path / f"x.{ending}")
    assert list(read_members(path, ["b.txt", "a.txt"], ending == "zip")) == [TEXTS["b.txt"], TEXTS["a.txt"]]
    assert "it has no file 'c.txt'" in refusal(path, ["a.txt", "c.txt"])


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("size", [2, 5])
def test_an_archive_that_unpacks_to_too_much_takes_no_memory(ending, size, tmp_path):
    path = write_archive(tmp_path / f"x.{ending}", {"a.txt": bytes(size * MEBIBYTE), "b.txt": b""})
    if size == 2 and ending == "tar":
        assert len(next(read_members(path, ["a.txt"], ending == "zip"))) == 2 * MEBIBYTE  # not packed at all
        return
    tracemalloc.start()
    line = refusal(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "unpack" in line.split("(")[1]
    assert peak < 4 * MEBIBYTE


@pytest.mark.parametrize("ending", FORMATS)
def test_the_total_is_bounded(ending, tmp_path):
    noise = random.Random(0).randbytes(3 * MEBIBYTE)
    path = write_archive(tmp_path / f"x.{ending}", {"a.txt": noise, "b.txt": noise, "c.txt": noise})
    assert "more than 6,291,456 bytes" in refusal(path, ["a.txt", "b.txt", "c.txt"])
    if ending != "zip":  # what is skipped is read all the same
        assert "more than 6,291,456 bytes" in refusal(path, ["a.txt"])


def test_a_sparse_file_is_no_larger_than_it_says(tmp_path):
    info = tarfile.TarInfo("a.txt")
    info.size, info.type = 2**40, tarfile.REGTYPE
    (tmp_path / "x.tar").write_bytes(info.tobuf() + bytes(1024))
    refusal(tmp_path / "x.tar", ["a.txt"])


@pytest.mark.parametrize("kind", ["folder", "symbolic link", "hard link", "device"])
def test_what_is_no_file_is_not_read(kind, tmp_path):
    kinds = {"folder": tarfile.DIRTYPE, "symbolic link": tarfile.SYMTYPE, "hard link": tarfile.LNKTYPE}
    for ending in FORMATS[1:]:
        path = tmp_path / f"x.{ending}"
        with tarfile.open(path, "w:gz" if ending == "tar.gz" else "w") as archive:
            info = tarfile.TarInfo("a.txt")
            info.type, info.linkname = kinds.get(kind, tarfile.CHRTYPE), "a.txt"
            archive.addfile(info)
        assert "it has no file 'a.txt'" in refusal(path, ["a.txt"])
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a.txt/", b"")
    assert "it has no file 'a.txt'" in refusal(tmp_path / "x.zip", ["a.txt"])


def altered_zip(path, at, value):
    """Write a zip archive and set a byte of both headers of its first file, given as offsets in them."""
    write_archive(path)
    content = bytearray(path.read_bytes())
    for signature, offset in zip((b"PK\3\4", b"PK\1\2"), at):
        content[content.index(signature) + offset] = value
    path.write_bytes(content)
    return path


def test_zip_files_that_cannot_be_read(tmp_path):
    assert "encrypted" in refusal(altered_zip(tmp_path / "locked.zip", (6, 8), 1))
    assert "compression" in refusal(altered_zip(tmp_path / "unknown.zip", (8, 10), 97))
    (tmp_path / "folder.zip").mkdir()
    with pytest.raises(ValueError, match="expected a file"):
        ZipReader(tmp_path / "folder.zip")
    os.mkfifo(tmp_path / "pipe.zip")
    with pytest.raises(ValueError, match="expected a file"):
        ZipReader(tmp_path / "pipe.zip")
    with pytest.raises(FileNotFoundError):
        ZipReader(tmp_path / "none.zip")


@pytest.mark.parametrize("ending", [*FORMATS, "gz"])
def test_damaged_bytes_are_one_line_or_do_no_harm(ending, tmp_path):
    path, draw = tmp_path / f"x.{ending}", random.Random(0)
    if ending == "gz":
        path.write_bytes(gzip.compress(TEXTS["a.txt"]))
    else:
        write_archive(path)
    whole, lines = path.read_bytes(), []
    for trial in range(300):
        content = bytearray(whole)
        if trial % 3:
            for _ in range(draw.choice((1, 1, 8))):
                content[draw.randrange(min(len(content), 2048))] = draw.randrange(256)
        else:
            del content[draw.randrange(1, len(content)) :]
        path.write_bytes(content)
        try:
            found = read_gzip(path, 1000) if ending == "gz" else list(read_members(path, list(TEXTS), ending == "zip"))
        except ValueError as error:
            lines.append(str(error))
            continue
        if ending != "tar":  # the contents in a tar archive have no checksums
            assert found == (TEXTS["a.txt"] if ending == "gz" else list(TEXTS.values()))
    assert lines
    assert all(str(path) in line and "\n" not in line for line in lines)


def test_a_gzip_file_is_read_no_further_than_expected(tmp_path):
    (tmp_path / "x.gz").write_bytes(gzip.compress(bytes(50 * MEBIBYTE)))
    tracemalloc.start()
    assert len(read_gzip(tmp_path / "x.gz", 1000)) == 1001
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MEBIBYTE


@pytest.mark.parametrize("fault", ["bomb", "encrypted", "compression"])
def test_a_zip_file_of_pictures_with_a_bad_one_is_one_line(fault, tmp_path):
    path, buffer = tmp_path / "pictures.zip", io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(buffer, "png")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a/1.png", "a/2.png", "a/3.png", "b/1.png", "b/2.png", "b/3.png"):
            bomb = fault == "bomb" and name == "a/1.png"
            archive.writestr(name, bytes(5 * MEBIBYTE) if bomb else buffer.getvalue())
    if fault != "bomb":
        content = bytearray(path.read_bytes())
        for signature, offset in zip((b"PK\3\4", b"PK\1\2"), (6, 8) if fault == "encrypted" else (8, 10)):
            content[content.index(signature) + offset] = 1 if fault == "encrypted" else 97
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"pictures\.zip: a/1\.png cannot be unpacked") as error:
        ImageFolderDataModule(root=str(path), batch_size=1).setup()
    assert "\n" not in str(error.value)
