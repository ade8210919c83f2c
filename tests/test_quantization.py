"""Weights in 8 bits: the error is bounded, the file is half as large, and a damaged one is refused in one line."""

import re

import pytest
import torch
from conftest import assert_same, state
from safetensors.torch import load_file, save_file
from test_hostile_weights import header_of

import zoo
from zoo.pretrained import load_weights, save_weights
from zoo.pretrained.quantization import dequantize, dequantize_state, is_quantizable, quantize, quantize_state

ARGS = {"in_features": 64, "input_shape": [8, 8], "hidden_dims": [256], "num_classes": 3}


@pytest.fixture
def stored(tmp_path):
    model = zoo.create_model("mlp", **ARGS)
    save_weights("own", "mlp", model, tmp_path, "int8")
    return model, tmp_path / "own.safetensors"


@pytest.mark.parametrize("shape", [(7, 50), (5, 4, 3), (2, 3, 5, 5), (1, 1)])
def test_an_element_is_off_by_at_most_half_a_step(shape):
    weight = torch.randn(shape) * torch.logspace(-6, 5, shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    numbers, scale = quantize(weight)
    assert (numbers.dtype, numbers.shape) == (torch.int8, weight.shape)
    assert (scale.dtype, scale.shape) == (torch.float32, (shape[0],))
    error = (dequantize(numbers, scale) - weight).abs().flatten(1).amax(1)
    assert bool((error <= scale / 2 * 1.0001).all())
    assert torch.equal(numbers.flatten(1).int().abs().amax(1), torch.full((shape[0],), 127, dtype=torch.int32))
    again, same = quantize(dequantize(numbers, scale))  # what has been rounded stays as it is
    assert torch.equal(again, numbers)
    torch.testing.assert_close(same, scale)


def test_rows_have_scales_of_their_own_and_zero_stays_zero():
    weight = torch.tensor([[0.0, 0, 0], [127, -254, 1], [1e-3, -127e-3, 0]])
    numbers, scale = quantize(weight)
    assert numbers.tolist() == [[0, 0, 0], [64, -127, 0], [1, -127, 0]]
    torch.testing.assert_close(scale, torch.tensor([0, 2, 1e-3]))
    torch.testing.assert_close(dequantize(numbers, scale)[2], weight[2])
    for tiny in (1e-44, 1e-40):  # a scale below the smallest normal number
        assert bool(torch.isfinite(dequantize(*quantize(torch.full((2, 9), tiny)))).all())


def test_only_finite_matrices_of_floats_that_gain_are_rounded():
    state = {
        "matrix": torch.randn(3, 5),
        "vector": torch.randn(9),
        "narrow": torch.randn(3, 4),
        "numbers": torch.arange(40).reshape(4, 10),
        "mask": torch.full((3, 5), -torch.inf),
        "empty": torch.zeros(0, 5),
    }
    assert [name for name in state if name != "empty" and is_quantizable(state[name])] == ["matrix"]
    kept = quantize_state(state)
    assert {"matrix.int8", "matrix.scale", "vector", "narrow", "numbers", "mask"} <= set(kept)
    again = dequantize_state(kept)
    assert again.keys() == state.keys()
    for name in ("vector", "narrow", "numbers", "mask", "empty"):
        assert torch.equal(again[name], state[name])
    torch.testing.assert_close(again["matrix"], state["matrix"], atol=0.02, rtol=0)
    assert dequantize_state(state) == state  # a state of half precision is not touched


def test_a_file_is_half_as_large_and_as_reproducible(stored, tmp_path):
    model, path = stored
    size = path.stat().st_size
    sha256 = save_weights("own", "mlp", model, tmp_path / "again", "int8")
    assert (tmp_path / "again" / "own.safetensors").read_bytes() == path.read_bytes()
    assert save_weights("own", "mlp", model, tmp_path / "half") != sha256
    assert size < 0.65 * (tmp_path / "half" / "own.safetensors").stat().st_size
    read = load_weights("own", tmp_path)
    assert read.hparams == model.hparams
    assert all(value.dtype == torch.float32 for value in state(read).values())
    assert_same(state(read), dequantize_state(quantize_state(state(model))))
    assert save_weights("own", "mlp", read, tmp_path / "third", "int8")  # and it may be stored again
    assert_same(
        {name: value for name, value in load_file(tmp_path / "third" / "own.safetensors").items() if "int8" in name},
        {name: value for name, value in load_file(path).items() if "int8" in name},
    )


def test_large_weights_keep_their_size_and_half_precision_is_the_default(tmp_path):
    model = zoo.create_model("mlp", **ARGS)
    with torch.no_grad():
        model.net[-1].weight[0, 0] = 1e6
    save_weights("own", "mlp", model, tmp_path, "int8")
    assert load_weights("own", tmp_path).net[-1].weight[0, 0].item() == pytest.approx(1e6)
    assert save_weights("own", "mlp", model, tmp_path) == save_weights("own", "mlp", model, tmp_path, "float16")
    with pytest.raises(ValueError, match=r"unknown storage of weights 'int4': did you mean int8\?"):
        save_weights("own", "mlp", model, tmp_path, "int4")


NUMBERS, SCALE = "2.weight.int8", "2.weight.scale"
DAMAGE = {
    "no scale": (lambda s: s.pop(SCALE), "2.weight.int8 has no 2.weight.scale"),
    "no numbers": (lambda s: s.pop(NUMBERS), "does not fit the model"),
    "short scale": (lambda s: s.update({SCALE: s[SCALE][:5].clone()}), "(5,), expected torch.float32 (256,)"),
    "scale of a matrix": (lambda s: s.update({SCALE: s[SCALE][:, None].clone()}), "(256, 1), expected"),
    "half scale": (lambda s: s.update({SCALE: s[SCALE].half()}), "torch.float16 (256,), expected"),
    "NaN": (lambda s: s[SCALE].__setitem__(3, torch.nan), "1 values that are negative or not finite"),
    "infinity": (lambda s: s[SCALE].__setitem__(3, torch.inf), "1 values that are negative or not finite"),
    "negative": (lambda s: s[SCALE].neg_(), "256 values that are negative or not finite"),
    "beyond floats": (lambda s: s[SCALE].fill_(1e38), "values that are not finite"),
    "floats": (lambda s: s.update({NUMBERS: s[NUMBERS].float()}), "expected torch.int8"),
    "flat": (lambda s: s.update({NUMBERS: s[NUMBERS].reshape(-1)}), "at least 2 dimensions"),
    "other shape": (lambda s: s.update({NUMBERS: s[NUMBERS][:, :9].clone()}), "size mismatch"),
    "twice": (lambda s: s.update({"2.weight": torch.zeros(256, 64)}), "stored twice"),
    "without a name": (lambda s: s.update({"2.weight": s.pop(NUMBERS)}) or s.pop(SCALE), "is torch.int8, expected"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_scale_is_one_line(stored, case):
    _, path = stored
    tensors, metadata = load_file(path), header_of(path.read_bytes())[0]["__metadata__"]
    change, message = DAMAGE[case]
    change(tensors)
    save_file(tensors, path, metadata)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        load_weights("own", path.parent)
    line = str(caught.value)
    assert "\n" not in line
    assert "own.safetensors" in line
    assert len(line) < 400


@pytest.mark.slow
def test_verify_stores_what_the_recipe_says_and_measures_it(tmp_path, monkeypatch):
    from zoo.recipes import load_recipe
    from zoo.verification import evaluate, verify

    monkeypatch.chdir(tmp_path)
    content = (
        "model: {name: mlp, args: {hidden_dims: [32], lr: 0.01}}\ndata: {name: digits, args: {batches_per_step: 4}}\n"
        "trainer: {max_epochs: 1, enable_progress_bar: false}\nshipped_weights: "
    )
    (tmp_path / "own.yaml").write_text(content + "int8\n")
    recipe = load_recipe("own.yaml")
    result = verify(recipe, seeds=1, say=str)
    stored = load_file(recipe.verified / "own.safetensors")
    assert {value.dtype for name, value in stored.items() if name.endswith(".int8")} == {torch.int8}
    model = load_weights("own", recipe.verified)
    assert evaluate(model, recipe.datamodule()) == result["weights"]["metrics"]
    assert result["weights"]["metrics"]["test_loss"] != result["metrics"]["test_loss"]["values"][0]
    (tmp_path / "own.yaml").write_text(content + "float16\n")
    assert load_recipe("own.yaml").configuration == recipe.configuration
