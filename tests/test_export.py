"""Export: every network gives the same in onnxruntime and as a program of torch, for any batch, size and length."""

import json
import sys
import threading
import warnings
from fnmatch import fnmatch
from pathlib import Path

import lightning as L
import pytest
import torch
from conftest import ROOT, answer, assert_same, run_python, state, tiny_inputs
from torch import Tensor, nn

import zoo
from datamodules.text.vocabulary import Vocabulary
from zoo.sharing.exporting import FACTS, FORMATS
from zoo.sharing.network_graphs import graphs_of

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

LARGE = ("*_captioner", "*denoising_autoencoder", "colorizer", "ecg_classifier", "inpainting_autoencoder")
"""Models that take seconds to trace, and are tested with the slow ones; conversion to ONNX takes that long for each."""
QUICK_ONNX = ("lstm_classifier",)
"""Models that are converted to ONNX each time, besides those of other tests here."""
TOLERANCE = {"onnx": 1e-4, "torch_export": 1e-6}
SIZES = ({"height": 37, "width": 22}, {"height": 20, "width": 61})
"""Heights and widths besides those of the example, none a multiple of a stride."""
LENGTHS = (1, 13)

elsewhere = pytest.mark.usefixtures("elsewhere")


def each_export():
    """Return every model with every format; those that take long are marked as slow."""
    for name in zoo.list_models():
        large = any(fnmatch(name, pattern) for pattern in LARGE)
        for format, quick in {"onnx": name in QUICK_ONNX, "torch_export": not large}.items():
            yield pytest.param(name, format, marks=() if quick else pytest.mark.slow, id=f"{name}-{format}")


class Runner:
    """An exported file, applied to tensors."""

    def __init__(self, file, format):
        if format == "onnx":
            self.session = onnxruntime.InferenceSession(str(file.path))
            self.facts = self.session.get_modelmeta().custom_metadata_map
            self.inputs = [each.name for each in self.session.get_inputs()]
        else:
            extra = {FACTS: ""}
            self.session, self.module = None, torch.export.load(file.path, extra_files=extra).module()
            self.facts = json.loads(extra[FACTS])
            self.inputs = [each["name"] for each in json.loads(self.facts["inputs"])]

    def __call__(self, inputs):
        if self.session is None:
            with torch.no_grad():
                return as_tuple(self.module(*inputs.values()))
        found = self.session.run(None, {name: inputs[name].numpy() for name in self.inputs})
        return tuple(map(torch.from_numpy, found))


def as_tuple(found):
    return (found,) if isinstance(found, Tensor) else tuple(found)


def inputs_of_sizes(runner, graph, seen, sizes):
    """Return inputs of a graph with sizes by name: numbers in [0, 1], and ids among those of an example."""
    draw, found = torch.Generator().manual_seed(0), {}
    for told in json.loads(runner.facts["inputs"]):
        name, shape = told["name"], [sizes[each] if isinstance(each, str) else each for each in told["shape"]]
        example = seen.get(name, graph.inputs[name])
        if example.is_floating_point():
            found[name] = torch.rand(shape, generator=draw)
        elif example.dtype == torch.bool:
            found[name] = torch.ones(shape, dtype=torch.bool)
        else:
            found[name] = example.flatten()[torch.randint(example.numel(), shape, generator=draw)]
    return found


def free_axes(runner):
    return {each for told in json.loads(runner.facts["inputs"]) for each in told["shape"] if isinstance(each, str)}


def assert_agree(runner, graph, inputs, tolerance):
    with torch.no_grad():
        expected = as_tuple(graph.module.eval()(*inputs.values()))
    found = runner(inputs)
    assert len(found) == len(expected) == len(graph.outputs)
    for one, other in zip(found, expected):
        torch.testing.assert_close(one, other.to(one.dtype), atol=tolerance, rtol=tolerance)


@elsewhere
@pytest.mark.parametrize(("name", "format"), list(each_export()))
def test_every_network_gives_the_same_elsewhere(name, format):
    model = zoo.create_model(name).eval()
    graphs, files = graphs_of(model), zoo.export_model(model, f"net{FORMATS[format]}")
    assert len(files) == len(graphs)
    for file, (part, graph) in zip(files, graphs.items(), strict=True):
        assert file.path.name == (f"net.{part}" if part else "net") + FORMATS[format]
        runner = Runner(file, format)
        assert runner.facts == file.facts
        assert runner.inputs == list(graph.inputs)
        assert runner.facts["outside_net"] == model.outside_net
        assert all(each["meaning"] for side in ("inputs", "outputs") for each in json.loads(runner.facts[side]))
        seen = {} if part or hasattr(model.net, "graphs") else dict(zip(graph.inputs, tiny_inputs(model), strict=True))
        free = free_axes(runner)
        assert "batch" in free
        for n in (1, 7):
            rows = {key: x[:n] for key, x in seen.items()}
            usual = {**dict.fromkeys(free, 6), "height": 28, "width": 28, "batch": n}
            assert_agree(runner, graph, rows or inputs_of_sizes(runner, graph, seen, usual), TOLERANCE[format])
        if not any(x.is_floating_point() for x in graph.inputs.values()):
            assert len(free) > 1, "sequences are of any length"
        if getattr(model, "any_size", False):
            assert {"height", "width"} <= free
        others = SIZES if "height" in free else [dict.fromkeys(free, k) for k in LENGTHS] if len(free) > 1 else []
        for sizes in others:
            other = inputs_of_sizes(runner, graph, seen, {**sizes, "batch": 3})
            assert_agree(runner, graph, other, TOLERANCE[format])


# ---- single networks ----


class Recurrences(nn.Module):
    """Recurrent layers of each kind."""

    def __init__(self):
        super().__init__()
        kinds = {
            "lstm": (nn.LSTM, {}),
            "gru": (nn.GRU, {}),
            "tanh": (nn.RNN, {}),
            "relu": (nn.RNN, {"nonlinearity": "relu"}),
        }
        forms = [{}, {"num_layers": 2, "bidirectional": True, "batch_first": True}, {"bias": False}]
        self.layers = nn.ModuleList(
            cell(3, 4, **{**settings, **form}) for cell, settings in kinds.values() for form in forms
        )

    def forward(self, x):
        found = []
        for layer in self.layers:
            outputs, last = layer(x)
            outputs, last = layer(x, last)  # from a state as well
            found += [outputs.flatten(1), *(part.transpose(0, 1).flatten() for part in as_tuple(last))]
        return tuple(found)


class Own(L.LightningModule):
    """A user's model."""

    def __init__(self, net, example=None):
        super().__init__()
        self.net, self.example_input_array = net, example


@elsewhere
@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
def test_recurrent_layers_of_each_kind(format):
    # One axis of the samples for layers of either order: the time of one is the batch of the other.
    model = Own(Recurrences().eval(), torch.rand(2, 5, 3))
    [file] = zoo.export_model(model, f"net{FORMATS[format]}")
    for n in (1, 6):
        assert_agree(Runner(file, format), graphs_of(model)[""], {"x": torch.rand(n, 5, 3)}, TOLERANCE[format])


class Medians(nn.Module):
    def forward(self, x):
        return x.nan_to_num(0.0).median(1, keepdim=True).values, x.nanmedian(1).values, x.nanmedian(1).indices


@elsewhere
@pytest.mark.slow
def test_medians_with_missing_values_in_onnx():
    x = torch.rand(5, 6)
    x[0, :5] = x[1, 1] = x[2] = torch.nan
    model = Own(Medians(), x[:2])
    [file] = zoo.export_model(model, "net.onnx")
    middle, median, place = Runner(file, "onnx")({"x": x})
    torch.testing.assert_close(middle, x.nan_to_num(0.0).median(1, keepdim=True).values)
    torch.testing.assert_close(median, x.nanmedian(1).values, equal_nan=True)
    known = ~median.isnan()
    torch.testing.assert_close(x[known].gather(1, place[known][:, None])[:, 0], median[known])
    assert known.tolist() == [True, True, False, True, True]


@elsewhere
def test_users_model_is_exported_and_stays_as_it_is():
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 2)).double().train()
    model = Own(net, torch.rand(1, 3).double())
    before = state(model)
    [file] = zoo.export_model(model, "own.pt2")
    assert_same(before, state(model))
    assert model.training
    assert all(module.training for module in net)
    x = torch.rand(4, 3)
    with torch.no_grad():
        expected = net.eval()(x.double()).float()
    torch.testing.assert_close(Runner(file, "torch_export")({"input": x})[0], expected, atol=1e-6, rtol=1e-6)
    other = Own(net)
    assert zoo.export_model(other, "own.pt2", example=x.double())[0].facts["inputs"] == file.facts["inputs"]
    assert json.loads(file.facts["inputs"])[0]["shape"] == ["batch", 3]


@elsewhere
@pytest.mark.parametrize("normalise", [nn.utils.weight_norm, nn.utils.parametrizations.weight_norm])
def test_parametrised_weights_and_hooks_are_part_of_the_network(normalise):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        net = normalise(nn.Linear(3, 2))
    net.register_forward_hook(lambda module, inputs, output: 2 * output)
    [file] = zoo.export_model(Own(net, torch.rand(1, 3)), "net.pt2")
    x = torch.rand(4, 3)
    with torch.no_grad():
        torch.testing.assert_close(Runner(file, "torch_export")({"input": x})[0], net(x), atol=1e-6, rtol=1e-6)


@elsewhere
def test_network_of_any_size_is_found_by_trying():
    convolutions = nn.Sequential(nn.Conv2d(1, 2, 3, stride=2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3))
    [file] = zoo.export_model(Own(convolutions, torch.rand(1, 1, 9, 9)), "net.pt2")
    assert json.loads(file.facts["inputs"])[0]["shape"] == ["batch", 1, "height", "width"]
    fixed = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(98, 3))
    [file] = zoo.export_model(Own(fixed, torch.rand(1, 1, 9, 9)), "net.pt2")
    assert json.loads(file.facts["inputs"])[0]["shape"] == ["batch", 1, 9, 9]


@elsewhere
@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
def test_input_that_a_model_has_none_of(format):
    model = zoo.create_model("ecg_classifier", neighbours=0).eval()
    [file] = zoo.export_model(model, f"net{FORMATS[format]}")
    runner, graph = Runner(file, format), graphs_of(model)[""]
    assert graph.inputs["around"].shape[1] == 0
    inputs = inputs_of_sizes(runner, graph, {}, {"batch": 5})
    assert_agree(runner, graph, {**inputs, "around": torch.zeros(5, 0, 2, 256)}, TOLERANCE[format])


# ---- the command, and what a file says of its model ----


@elsewhere
def test_command_writes_a_described_file(capfd):
    status, out, err = answer(capfd, "export", "logistic_regression.breast_cancer", "--output", "cancer.onnx")
    assert (status, err) == (0, "")
    for told in (
        "cancer.onnx",
        "opset 18",
        "x: float32 batch x 30",
        "scores: float32 batch x 2",
        "What stays outside: ",
    ):
        assert told in out
    model = zoo.create_model("logistic_regression.breast_cancer", pretrained=True)
    written = onnx.load("cancer.onnx")
    facts = {each.key: each.value for each in written.metadata_props}
    assert [each.version for each in written.opset_import if not each.domain] == [18]
    assert written.producer_name == "lightning-zoo"
    assert json.loads(facts["class_names"]) == model.hparams["class_names"]
    assert json.loads(facts["settings"])["temperature"] == model.hparams["temperature"]
    result = json.loads((ROOT / "zoo/pretrained/results/logistic_regression.breast_cancer.json").read_text())
    measured = json.loads(facts["measured"])
    assert measured["these_weights"] == result["weights"]["metrics"]
    assert measured["all_seeds"]["test_accuracy"]["std"] == result["metrics"]["test_accuracy"]["std"]
    assert facts["claim"].startswith("coefficient_error <= ")
    assert facts["data_terms"].endswith("CC BY 4.0.")
    assert facts["recipe"] == "logistic_regression.breast_cancer"
    x = 20 * torch.rand(5, 30)
    with torch.no_grad():
        torch.testing.assert_close(Runner(Files("cancer.onnx"), "onnx")({"x": x})[0], model(x), atol=1e-4, rtol=1e-4)


class Files:
    """A file that a command wrote."""

    def __init__(self, path):
        self.path = Path(path)


# ---- step by step ----


@pytest.fixture(scope="module")
def small_translator():
    sentences = ["Le film est nul.", "Il fait beau.", "Je ne sais pas.", *(f"Le numéro {k}." for k in range(400))]
    vocabulary = Vocabulary.train(sentences, 300, lowercase=False)
    torch.manual_seed(0)
    sizes = {"embedding_dim": 16, "hidden_dim": 16, "layers": 2, "attention": "general"}
    model = zoo.create_model("lstm_seq2seq", vocab_size=300, tokenizer=vocabulary.json, **sizes).eval()
    with torch.no_grad():  # large weights give different answers, and without bytes these can be read
        for parameter in model.net.parameters():
            parameter.mul_(5)
        model.net.embedding.weight[4:260] = 0
    return model, sentences[:3]


ONLY_ONNX = """
import runpy, sys
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
assert not {"torch", "zoo", "lightning"} & set(sys.modules)
"""


def translate_elsewhere(*words):
    found = run_python("-c", ONLY_ONNX, ROOT / "scripts" / "translate_onnx.py", *words)
    assert found.returncode == 0, found.stderr
    return found.stdout.splitlines()


@pytest.mark.slow
@elsewhere
def test_script_translates_without_torch(small_translator):
    model, sentences = small_translator
    assert len((ROOT / "scripts" / "translate_onnx.py").read_text().splitlines()) < 40
    files = zoo.export_model(model, "translator.onnx")
    assert [file.path.name for file in files] == ["translator.encoder.onnx", "translator.decoder.onnx"]
    assert [file.facts["part"] for file in files] == ["encoder", "decoder"]
    assert sorted(path.name for path in Path().iterdir()) == ["translator.decoder.onnx", "translator.encoder.onnx"]
    expected = [model.translate([each], decoding="greedy", no_repeat=0)[0] for each in sentences]
    assert len(set(expected)) > 1
    assert translate_elsewhere("translator", *sentences) == expected


@elsewhere
@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["lstm_seq2seq.fra_eng_plain", "lstm_seq2seq.fra_eng"])
def test_script_translates_as_a_shipped_model(recipe, capfd):
    sentences = ["Elle chante bien.", "Nous sommes fatigués.", "Où est la gare ?", "Je ne sais pas ce qu'il veut."]
    status, out, _ = answer(capfd, "export", recipe, "--output", "translator.onnx")
    assert status == 0
    assert "beam search" in out
    model = zoo.create_model(recipe, pretrained=True)
    expected = [model.translate([each], decoding="greedy", no_repeat=0)[0] for each in sentences]
    assert translate_elsewhere("translator", *sentences) == expected


@elsewhere
@pytest.mark.slow
@pytest.mark.parametrize(
    "args",
    [
        {"copying": True},
        {"copying": True, "attention": "additive"},
        {"attention": "none"},
        {"cell": "gru"},
        {"cell": "rnn"},
    ],
    ids=lambda args: "-".join(map(str, args.values())),
)
@pytest.mark.parametrize("format", FORMATS)
def test_steps_of_a_decoder_give_what_the_network_gives(args, format):
    model = zoo.create_model("lstm_seq2seq", vocab_size=40, embedding_dim=8, hidden_dim=8, **args).eval()
    encoder, decoder = (Runner(file, format) for file in zoo.export_model(model, f"net{FORMATS[format]}"))
    src, tgt = torch.randint(4, 40, (3, 6)), torch.randint(4, 40, (3, 4))
    src[1, 4:] = 0
    outputs = {
        side: [each["name"] for each in json.loads(runner.facts["outputs"])]
        for side, runner in (("e", encoder), ("d", decoder))
    }
    values = {"src": src, **dict(zip(outputs["e"], encoder({"src": src})))}
    for t in range(4):
        values["token"] = tgt[:, t].contiguous()
        found = dict(zip(outputs["d"], decoder({name: values[name] for name in decoder.inputs})))
        values |= {name.removeprefix("new_"): x for name, x in found.items()}
        with torch.no_grad():
            torch.testing.assert_close(found["scores"], model(src, tgt)[:, t], atol=1e-4, rtol=1e-4)


@elsewhere
@pytest.mark.parametrize("args", [{"blind": True}, pytest.param({"attention": "general"}, marks=pytest.mark.slow)])
def test_steps_of_a_captioner_give_what_the_network_gives(args):
    sizes = {"hidden_dims": [8, 16], "embedding_dim": 12, "hidden_dim": 16, "attention_dim": 8, "vocab_size": 30}
    model = zoo.create_model("lstm_captioner", **sizes, **args).eval()
    encoder, decoder = (Runner(file, "torch_export") for file in zoo.export_model(model, "net.pt2"))
    for shape in ((3, 3, 24, 40), (1, 3, 16, 16)):
        images, captions = torch.rand(shape), torch.randint(4, 30, (shape[0], 1, 4))
        positions, keys, *state = encoder({"images": images})
        for t in range(4):
            values = (captions[:, 0, t].contiguous(), positions, keys, *state)
            scores, *state = decoder(dict(zip(decoder.inputs, values)))
            with torch.no_grad():
                torch.testing.assert_close(scores, model(images, captions)[:, 0, t], atol=1e-5, rtol=1e-5)


@elsewhere
def test_language_model_reads_on_from_its_state():
    model = zoo.create_model("lstm_language_model", vocab_size=20, embedding_dim=8, hidden_dim=8).eval()
    [file] = zoo.export_model(model, "net.pt2")
    runner, ids = Runner(file, "torch_export"), torch.randint(4, 20, (2, 9))
    states = {name: torch.zeros(2, 8) for name in runner.inputs[1:]}
    scores, *after = runner({"ids": ids[:, :8], **states})
    last, *_ = runner({"ids": ids[:, 8:], **dict(zip(states, after))})
    with torch.no_grad():
        torch.testing.assert_close(torch.cat([scores, last], 1), model(ids), atol=1e-6, rtol=1e-6)


@elsewhere
@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["cnn.digits", "mlp.mnist", "lstm_classifier.sst2"])
def test_shipped_weights_by_the_command(recipe, capfd):
    model = zoo.create_model(recipe, pretrained=True)
    for format, ending in FORMATS.items():
        status, _, _ = answer(capfd, "export", recipe, "--format", format, "--output", f"net{ending}")
        assert status == 0
        runner = Runner(Files(f"net{ending}"), format)
        example = model.example_input_array
        x = torch.rand(5, *example.shape[1:]) if example.is_floating_point() else torch.randint(0, 4_000, (5, 9))
        with torch.no_grad():
            torch.testing.assert_close(runner({runner.inputs[0]: x})[0], model(x), atol=1e-4, rtol=1e-4)
        if "tokenizer" in model.hparams:
            assert runner.facts["tokenizer"] == model.hparams["tokenizer"]
        assert "measured" in runner.facts


@elsewhere
@pytest.mark.slow
def test_program_needs_torch_alone():
    model = zoo.create_model("lstm_classifier").eval()
    zoo.export_model(model, "net.pt2")
    ids = torch.randint(4, 100, (3, 8))
    torch.save(ids, "ids.pt")
    read = "import sys, torch; y = torch.export.load('net.pt2').module()(torch.load('ids.pt')); torch.save(y, 'y.pt'); "
    result = run_python("-c", read + "assert 'zoo' not in sys.modules", cwd=Path.cwd())
    assert result.returncode == 0, result.stderr
    with torch.no_grad():
        torch.testing.assert_close(torch.load("y.pt"), model(ids), atol=1e-6, rtol=1e-6)


# ---- what is refused ----


class Inquisitive(nn.Module):
    """A network whose computation depends on a value."""

    def forward(self, x):
        return x if x.sum() > 0 else -x


class Eigenvalues(nn.Module):
    """A network of what ONNX does not have."""

    def forward(self, x):
        return torch.linalg.eigvals(x[:, :, None] * x[:, None]).real


def hooked():
    net = nn.Linear(3, 2)
    net.register_forward_hook(lambda module, inputs, output: output * float(output.detach().numpy().max()))
    return Own(net, torch.rand(1, 3))


def locked():
    net = nn.Linear(3, 2)
    net.lock = threading.Lock()
    return Own(net, torch.rand(1, 3))


LINEAR = Own(nn.Linear(3, 2), torch.rand(1, 3))
REFUSED = {
    "format": (LINEAR, "net.onnx", {"format": "onxx"}, "unknown format 'onxx': did you mean onnx"),
    "ending": (LINEAR, "net.pt2", {"format": "onnx"}, r"net\.pt2: a file of onnx ends in \.onnx, not \.pt2"),
    "no ending": (LINEAR, "net", {}, r"net: expected the ending \.onnx for onnx or \.pt2 for torch_export"),
    "empty": (LINEAR, "", {}, "expected the ending"),
    "no folder": (LINEAR, "no/net.onnx", {}, "there is no folder"),
    "a folder": (LINEAR, "folder.onnx", {}, r"folder\.onnx is a folder, expected a file"),
    "no recipe": ("cnn.mnits", "net.onnx", {}, "unknown recipe 'cnn.mnits': did you mean cnn.mnist"),
    "checkpoint": (LINEAR, "net.onnx", {"ckpt_path": "last"}, "ckpt_path belongs to a recipe"),
    "no checkpoint": ("cnn.mnist", "net.onnx", {"ckpt_path": "no.ckpt"}, "no.ckpt: no such checkpoint"),
    "no model": (nn.Linear(3, 2), "net.onnx", {}, "model of type Linear: expected a LightningModule"),
    "no network": (L.LightningModule(), "net.onnx", {}, "LightningModule has no network to export"),
    "no example": (Own(nn.Linear(3, 2)), "net.onnx", {}, "Own has no example_input_array of tensors"),
    "other example": (LINEAR, "net.onnx", {"example": torch.rand(1, 4)}, "the network does not take its example"),
    "branch": (
        Own(Inquisitive(), torch.rand(1, 3)),
        "net.pt2",
        {},
        "the network cannot be traced: .* branches on values",
    ),
    "hook": (hooked(), "net.pt2", {}, "the network cannot be traced"),
    "no copy": (locked(), "net.pt2", {}, "the network cannot be copied"),
    "operator": (Own(Eigenvalues(), torch.rand(1, 3)), "net.onnx", {}, "the network cannot be converted to ONNX"),
}


@elsewhere
@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_exported_is_refused_in_one_line(case):
    model, path, options, message = REFUSED[case]
    Path("folder.onnx").mkdir()
    kind = FileNotFoundError if case == "no checkpoint" else ValueError
    with pytest.raises(kind, match=message) as caught:
        zoo.export_model(model, path, **options)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    assert [each.name for each in Path().iterdir()] == ["folder.onnx"]


@elsewhere
@pytest.mark.parametrize(
    "words", [["--format", "onxx"], ["--format", "torch_export"], ["--ckpt_path", "best"], ["--bach", "3"]]
)
def test_command_refuses_in_one_line(words, capfd):
    status, out, err = answer(capfd, "export", "mlp.digits", "--output", "net.onnx", *words)
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert words[1] in err or words[0] in err
    assert not list(Path().iterdir())


@elsewhere
@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_missing_package_is_named_with_its_command(package, monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, package, None)
    status, _, err = answer(capfd, "export", "logistic_regression.breast_cancer", "--output", "net.onnx")
    assert status == 2
    assert err.strip().endswith(f"{package} is not installed: pip install 'lightning-zoo[export]'")
    assert not list(Path().iterdir())


@elsewhere
def test_network_beyond_one_file_is_refused(monkeypatch):
    monkeypatch.setattr("zoo.sharing.onnx_graphs.LARGEST", 10)
    with pytest.raises(ValueError, match="one ONNX file holds 2 GB; choose the format torch_export"):
        zoo.export_model(LINEAR, "net.onnx")
    assert not list(Path().iterdir())


@elsewhere
def test_nothing_is_left_of_a_failed_writing(monkeypatch, small_translator):
    written, write = [], Path.write_bytes

    def fail_at_the_second(path, content):
        written.append(path)
        if len(written) == 2:
            raise OSError(28, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", fail_at_the_second)
    with pytest.raises(OSError, match="No space left"):
        zoo.export_model(small_translator[0], "translator.pt2")
    assert len(written) == 2
    assert not list(Path().iterdir())
