"""Shipped weights: a file that is not what was recorded is refused in one line, and written files are reproducible."""

import hashlib
import json
import math
import shutil
import struct

import pytest
import torch
from conftest import assert_same, state

import zoo
from zoo import cli, pretrained
from zoo.pretrained import load_weights, save_weights

SHIPPED = [name for name in zoo.list_recipes() if pretrained.weights_path(name).exists()]
ARGS = {"in_features": 6, "input_shape": [2, 3], "hidden_dims": [4], "num_classes": 3}


def small(folder):
    torch.manual_seed(0)
    model = zoo.create_model("mlp", **ARGS)
    return model, save_weights("own", "mlp", model, folder)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_files_are_those_recorded(name):
    content = pretrained.weights_path(name).read_bytes()
    assert hashlib.sha256(content).hexdigest() == pretrained.load_result(name)["weights"]["sha256"]


def test_one_bit_of_a_shipped_file_is_noticed(tmp_path, capfd, monkeypatch):
    name = "perceptron.and"
    (tmp_path / "results").mkdir()
    shutil.copy(pretrained.result_path(name), pretrained.result_path(name, tmp_path))
    content = pretrained.weights_path(name).read_bytes()
    for place in range(0, len(content), 7):
        changed = bytearray(content)
        changed[place] ^= 1
        pretrained.weights_path(name, tmp_path).write_bytes(changed)
        with pytest.raises(ValueError, match=r"perceptron\.and\.safetensors is damaged \(sha256 .*anew"):
            load_weights(name, tmp_path)
    monkeypatch.setattr(pretrained, "weights_path", lambda recipe, folder=None: tmp_path / f"{recipe}.safetensors")
    assert cli.main(["test", name]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1


def test_the_same_weights_are_the_same_bytes(tmp_path):
    model, sha256 = small(tmp_path)
    for number in range(20):  # the library's own order is another each time
        assert save_weights("own", "mlp", model, tmp_path / str(number)) == sha256
    again = load_weights("own", tmp_path)
    assert again.hparams == model.hparams
    for key, value in model.net.state_dict().items():
        kept = value.half().float() if value.ndim > 1 else value
        assert torch.equal(again.net.state_dict()[key], kept)
    from safetensors import safe_open

    with safe_open(tmp_path / "own.safetensors", "pt") as file:
        assert list(file.metadata()) is not None
        assert file.metadata()["recipe"] == "own"


def test_files_of_the_librarys_own_order_still_load(tmp_path):
    from safetensors.torch import save_file

    model, _ = small(tmp_path)
    half = {key: value.contiguous() for key, value in model.net.state_dict().items()}
    save_file(half, tmp_path / "own.safetensors", {"hparams": json.dumps(dict(model.hparams)), "model": "mlp"})
    assert_same(state(load_weights("own", tmp_path)), state(model))


def test_weights_too_large_for_half_precision_are_kept(tmp_path):
    model, _ = small(tmp_path)
    with torch.no_grad():
        model.net[-1].weight[0, 0] = 1e6
    save_weights("own", "mlp", model, tmp_path)
    assert load_weights("own", tmp_path).net[-1].weight[0, 0] == 1e6


def header_of(content):
    start = 8 + struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8:start]), content[start:]


def with_header(header, rest):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + rest


def damaged(content):
    header, rest = header_of(content)
    for length in range(0, len(content), max(1, len(content) // 60)):
        yield content[:length]
    for place in range(0, len(content) - len(rest), 11):
        changed = bytearray(content)
        changed[place] ^= 0x11
        yield bytes(changed)
    yield struct.pack("<Q", 2**62) + content[8:]
    yield content + b"more"
    for key in header:
        yield with_header({name: value for name, value in header.items() if name != key}, rest)
    metadata = header["__metadata__"]
    for key in metadata:
        for value in (
            None,
            "junk",
            "[]",
            "5",
            '{"hidden_dims": [-5]}',
            '{"hidden_dims": [1000000000000]}',
            '{"no": 1}',
        ):
            changed = {**metadata, key: value}
            yield with_header({**header, "__metadata__": changed if value is not None else {}}, rest)
    name = next(key for key in header if key != "__metadata__" and len(header[key]["shape"]) == 2)
    for change in (
        {"dtype": "F64"},
        {"dtype": "I64"},
        {"shape": [1]},
        {"shape": [10**12, 10**12]},
        {"shape": [-1, 2]},
        {"data_offsets": [0, 10**15]},
    ):
        yield with_header({**header, name: {**header[name], **change}}, rest)


def test_a_damaged_file_is_one_line(tmp_path):
    small(tmp_path)
    path = tmp_path / "own.safetensors"
    content, refused, seen = path.read_bytes(), 0, 0
    for changed in damaged(content):
        path.write_bytes(changed)
        seen += 1
        try:
            load_weights("own", tmp_path)
        except ValueError as error:
            line = str(error)
        else:
            continue
        refused += 1
        assert "\n" not in line
        assert "own.safetensors" in line
        assert len(line) < 700
    assert refused > 0.9 * seen > 100


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_no_numbers_are_refused(tmp_path, value):
    model, _ = small(tmp_path)
    with torch.no_grad():
        model.net[-1].weight[0, 0] = value
    save_weights("own", "mlp", model, tmp_path)
    with pytest.raises(ValueError, match=r"own\.safetensors: .*weight has 1 values that are not finite, of 12"):
        load_weights("own", tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", "5", "\x00", '{"weights": 5}', '{"weights": {"sha256": 5}}'])
def test_a_damaged_result_is_one_line(tmp_path, content):
    small(tmp_path)
    pretrained.result_path("own", tmp_path).parent.mkdir()
    pretrained.result_path("own", tmp_path).write_text(content)
    with pytest.raises(ValueError, match=r"is damaged .*anew") as caught:
        load_weights("own", tmp_path)
    assert "\n" not in str(caught.value)
