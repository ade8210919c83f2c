"""Models on the Hugging Face Hub, here a server on this machine, and in folders of the same layout."""

import hashlib
import json
import os
import pickle
import struct
import sys
import time

import pytest
import torch
from adapters import adapter_of
from conftest import answer, assert_same, quiet_trainer, run_python, state, tiny_data, tiny_inputs
from hub_server import running_hub

import zoo
from zoo import pretrained
from zoo.base import ZooModule
from zoo.pretrained import repository
from zoo.pretrained.repository import CARD, CONFIG, WEIGHTS
from zoo.registry import find_model
from zoo.sharing.terms import TERMS

NAME = "user/small-model"
ARGS = {"in_features": 6, "input_shape": [2, 3], "hidden_dims": [4], "num_classes": 3}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A server in place of the Hub, with a cache of its own, and no token of the user."""
    constants = pytest.importorskip("huggingface_hub.constants")
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with running_hub() as running:
        for name, value in {
            "ENDPOINT": running.url,
            "HUGGINGFACE_CO_URL_TEMPLATE": running.url + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_CACHE": str(tmp_path / "cache"),
            "HF_TOKEN_PATH": str(tmp_path / "home" / "token"),
            "HF_HUB_DISABLE_XET": True,
            "HF_HUB_OFFLINE": False,
        }.items():
            monkeypatch.setattr(constants, name, value)
        monkeypatch.setattr(time, "sleep", lambda seconds: None)  # of the client's retries
        yield running


def small():
    torch.manual_seed(0)
    return zoo.create_model("mlp", **ARGS).eval()


def same(one, other):
    assert type(one) is type(other)
    assert one.hparams == other.hparams
    assert_same(state(one), state(other))


def files_under(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# ---- every model ----


@pytest.mark.parametrize("name", zoo.list_models())
def test_every_model_comes_back_from_a_folder(name, tmp_path):
    from huggingface_hub import ModelCard

    model = zoo.create_model(name).eval()
    zoo.save_pretrained(model, tmp_path / "own")
    again = zoo.create_model(f"local-dir:{tmp_path / 'own'}", pretrained=True)
    same(model, again)
    assert not again.training
    inputs = tiny_inputs(model)
    with torch.no_grad():
        found, expected = again.net(*inputs), model.net(*inputs)
    for one, other in zip(*[part if isinstance(part, tuple) else (part,) for part in (found, expected)]):
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)
    assert files_under(tmp_path / "own") == sorted((WEIGHTS, CONFIG, CARD))
    card = ModelCard((tmp_path / "own" / CARD).read_text())
    assert card.data.library_name == "lightning-zoo"
    assert "Not measured" in card.text
    assert (tmp_path / "own" / CONFIG).stat().st_size < 100_000


# ---- the Hub ----


@pytest.mark.parametrize("name", ["cnn.digits", "mlp.xor"])
@pytest.mark.parametrize("lfs", [(), (WEIGHTS,)])
def test_a_recipe_comes_back_from_the_hub(name, lfs, hub):
    hub.lfs = lfs
    address = zoo.push_to_hub(name, NAME)
    (commit,) = [oid for oid, files in hub.commits[NAME].items() if CONFIG in files]
    assert address == f"{hub.url}/{NAME}/commit/{commit}"
    files = hub.commits[NAME][commit]
    assert set(files) == {".gitattributes", WEIGHTS, CONFIG, CARD}
    assert files[WEIGHTS] == pretrained.weights_path(name).read_bytes()
    config = json.loads(files[CONFIG])
    assert config["recipe"] == name
    assert config["model"] == name.split(".")[0]
    assert config["sha256"] == pretrained.load_result(name)["weights"]["sha256"]
    assert f'zoo.create_model("hf-hub:{NAME}", pretrained=True)' in files[CARD].decode()
    shipped, again = zoo.create_model(name, pretrained=True), zoo.create_model(f"hf-hub:{NAME}", pretrained=True)
    same(again, shipped)
    x = torch.rand(3, *shipped.input_shape)
    assert torch.equal(again(x), shipped(x))
    fresh = zoo.create_model(f"hf-hub:{NAME}", dropout=0.5)
    assert fresh.hparams["dropout"] == 0.5
    assert fresh.training
    assert hub.tokens == {None}


def test_a_checkpoint_of_ones_own_changes_no_value(hub, tmp_path):
    model = small()
    data = tiny_data(model)
    trainer = quiet_trainer(max_epochs=2)
    trainer.fit(model, data)
    trainer.save_checkpoint(tmp_path / "own.ckpt")
    zoo.push_to_hub(tmp_path / "own.ckpt", NAME)
    again = zoo.create_model(f"hf-hub:{NAME}", pretrained=True)
    same(again, model)
    for storage in ("float16", "int8"):
        zoo.push_to_hub(tmp_path / "own.ckpt", NAME, storage=storage, revision=storage)
        stored = zoo.create_model(f"hf-hub:{NAME}@{storage}", pretrained=True)
        pairs = zip(state(stored).values(), state(model).values())
        assert 0 < max((one - other).abs().max().item() for one, other in pairs) < 0.05
    same(zoo.create_model(f"hf-hub:{NAME}", pretrained=True), model)


def test_revisions_are_kept_apart(hub):
    models = [small(), small()]
    with torch.no_grad():
        models[1].net[-1].bias += 1
    first = zoo.push_to_hub(models[0], NAME).rpartition("/")[2]
    zoo.push_to_hub(models[1], NAME, message="Another bias")
    zoo.push_to_hub(models[0], NAME, revision="old")
    same(zoo.create_model(f"hf-hub:{NAME}@{first}", pretrained=True), models[0])
    same(zoo.create_model(f"hf-hub:{NAME}@old", pretrained=True), models[0])
    same(zoo.create_model(f"hf-hub:{NAME}", pretrained=True), models[1])
    hub.requests.clear()
    zoo.create_model(f"hf-hub:{NAME}@{first}", pretrained=True)
    assert hub.requests == []  # a commit is in the cache for good


def test_files_are_of_one_commit(hub):
    zoo.push_to_hub(small(), NAME)
    hub.requests.clear()
    zoo.create_model(f"hf-hub:{NAME}", pretrained=True)
    commit = hub.branches[NAME]["main"]
    assert {path for _, path in hub.requests if WEIGHTS in path} == {f"/{NAME}/resolve/{commit}/{WEIGHTS}"}


def test_offline_the_cache_is_enough(hub, monkeypatch):
    from huggingface_hub import constants

    model = small()
    zoo.push_to_hub(model, NAME)
    zoo.create_model(f"hf-hub:{NAME}", pretrained=True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.requests.clear()
    same(zoo.create_model(f"hf-hub:{NAME}", pretrained=True), model)
    assert hub.requests == []
    with pytest.raises(FileNotFoundError, match="is not in the cache, and HF_HUB_OFFLINE is set"):
        zoo.create_model("hf-hub:user/another", pretrained=True)


def test_a_token_is_sent_and_never_shown(hub, monkeypatch):
    hub.secret = "hf_secret"
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        zoo.push_to_hub(small(), NAME, token="hf_another")
    assert "hf_" not in str(error.value).replace("hf auth login", "")
    zoo.push_to_hub(small(), NAME, token="hf_secret", private=True)
    assert hub.private[NAME]
    with pytest.raises(FileNotFoundError, match="or it is private: set HF_TOKEN"):
        zoo.create_model(f"hf-hub:{NAME}", pretrained=True)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    zoo.create_model(f"hf-hub:{NAME}", pretrained=True)


def test_a_folder_is_pushed_as_it_is(hub, tmp_path):
    zoo.save_pretrained(small(), tmp_path / "own")
    (tmp_path / "own" / CARD).write_text("---\nlicense: mit\n---\n\nMine.\n")
    zoo.push_to_hub(tmp_path / "own", NAME)
    assert hub.commits[NAME][hub.branches[NAME]["main"]][CARD].endswith(b"Mine.\n")
    zoo.push_to_hub(tmp_path / "own", NAME)  # nothing has changed
    os.remove(tmp_path / "own" / CARD)
    zoo.push_to_hub(str(tmp_path / "own"), "user/another")
    assert CARD in hub.commits["user/another"][hub.branches["user/another"]["main"]]


def test_weights_that_the_terms_forbid_to_publish_stay_here(hub, tmp_path):
    recipes = {name: zoo.load_recipe(name) for name in zoo.list_recipes()}
    forbidden = [name for name, recipe in recipes.items() if not TERMS[recipe.data["name"]].allowed]
    assert forbidden
    for name in forbidden:
        assert recipes[name].shipped_weights == "none"
        with pytest.raises((ValueError, FileNotFoundError), match="terms"):
            zoo.push_to_hub(name, NAME)
    for name in {name for name, recipe in recipes.items() if recipe.shipped_weights == "none"} - set(forbidden):
        with pytest.raises((ValueError, FileNotFoundError), match="no weights"):
            zoo.push_to_hub(name, NAME)
    model = small()
    zoo.save_pretrained(model, tmp_path / "own")
    config = json.loads((tmp_path / "own" / CONFIG).read_text())
    (tmp_path / "own" / CONFIG).write_text(json.dumps({**config, "data": "aeslc"}))
    with pytest.raises(ValueError, match="whose terms do not allow it"):
        zoo.push_to_hub(tmp_path / "own", NAME)
    assert hub.requests == []


# ---- what goes wrong on the way ----

FAULTS = {
    401: (ValueError, "refuses the access token|no such repository"),
    403: (ValueError, "refuses the access token"),
    404: (FileNotFoundError, "has no|no such repository|answers 404"),
    500: (ValueError, "answers 500"),
    503: (ValueError, "answers 503"),
    "cut": (ValueError, "cannot be read"),
    "another length": (ValueError, "cannot be read"),
    "another content": (ValueError, "sha256|is not JSON"),
    "no commit": (ValueError, "X-Repo-Commit"),
    "no etag": (ValueError, "ETag"),
    "huge": (ValueError, "has 10,000,000,000,000 bytes, expected at most"),
}


@pytest.mark.parametrize("file", [CONFIG, WEIGHTS])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_answer_is_one_line_and_leaves_no_part_of_a_file(fault, file, hub, tmp_path):
    zoo.push_to_hub(small(), NAME)
    hub.fault, hub.fault_path = fault, f"resolve/main/{file}" if file == CONFIG else file
    kinds, words = FAULTS[fault]
    with pytest.raises((ValueError, FileNotFoundError), match=words) as error:
        zoo.create_model(f"hf-hub:{NAME}", pretrained=True)
    assert "\n" not in str(error.value)
    assert NAME in str(error.value)
    assert isinstance(error.value, kinds) or fault in (401, 404)
    if fault != "another content":
        cache = tmp_path / "cache"
        assert not [path for path in files_under(cache) if path.endswith(("incomplete", file))]


@pytest.mark.parametrize("step", ["create", "validate-yaml", "preupload", "commit", "branch"])
@pytest.mark.parametrize("status", [400, 401, 403, 500])
def test_a_refused_push_is_one_line(step, status, hub):
    hub.fault, hub.fault_path = status, step
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        zoo.push_to_hub(small(), NAME, revision="branch")
    assert "\n" not in str(error.value)
    assert NAME in str(error.value)
    assert all(set(files) == {".gitattributes"} for files in hub.commits.get(NAME, {}).values())


def test_no_server_is_one_line(hub, monkeypatch):
    from huggingface_hub import constants

    for name in ("ENDPOINT", "HUGGINGFACE_CO_URL_TEMPLATE"):
        value = getattr(constants, name).replace(hub.url, "http://127.0.0.1:1")
        monkeypatch.setattr(constants, name, value)
    for call in (lambda: zoo.create_model(f"hf-hub:{NAME}", pretrained=True), lambda: zoo.push_to_hub(small(), NAME)):
        with pytest.raises(FileNotFoundError, match=f"{NAME}: http://127.0.0.1:1 cannot be reached") as error:
            call()
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("hf-hub:", "names no repository"),
        ("hf-hub:alone", "expected user/name"),
        ("hf-hub:a/b/c", "expected user/name"),
        ("hf-hub:../etc", "expected user/name"),
        ("hf-hub:user/..", "expected user/name"),
        ("hf-hub:user/name@", "the revision is missing"),
        ("hf-hub:user/na\nme", "expected user/name"),
        ("hf-hub:user/" + "x" * 1000, "expected user/name"),
        ("hf-hub:user/missing", "no such repository"),
        (f"hf-hub:{NAME}@missing", "no such revision"),
        ("local-dir:", "names no folder"),
        ("local-dir:missing", "missing: no such folder"),
        ("hfhub:user/name", "unknown source of a model 'hfhub': did you mean hf-hub"),
    ],
)
def test_a_wrong_place_is_one_line(place, words, hub, elsewhere):
    hub.put(NAME, {CONFIG: b""})
    with pytest.raises((ValueError, FileNotFoundError), match=words) as error:
        zoo.create_model(place, pretrained=True)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


def test_a_stored_model_is_fine_tuned(tmp_path):
    model = small()
    zoo.save_pretrained(model, tmp_path)
    with pytest.warns(UserWarning, match="num_classes|classes"):
        other = zoo.create_model(f"local-dir:{tmp_path}", pretrained=True, num_classes=5)
    assert other.hparams["num_classes"] == 5
    first = next(iter(state(model)))
    assert torch.equal(state(other)[first], state(model)[first])
    with pytest.raises(ValueError, match="hidden_dims"):
        zoo.create_model(f"local-dir:{tmp_path}", pretrained=True, hidden_dims=[5])


def test_without_the_client_the_command_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for call in (lambda: zoo.create_model(f"hf-hub:{NAME}", pretrained=True), lambda: zoo.push_to_hub("mlp.xor", NAME)):
        with pytest.raises(ModuleNotFoundError, match=r"pip install 'lightning-zoo\[hub\]'"):
            call()


def test_folders_and_cards_need_no_client(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    zoo.save_pretrained("mlp.xor", tmp_path / "own")
    zoo.create_model(f"local-dir:{tmp_path / 'own'}", pretrained=True)
    assert zoo.model_card("mlp.xor").startswith("---\n")


# ---- files of a stranger ----


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trapped",)


def resigned(folder, weights):
    """Put other weights into a folder, with their own checksum."""
    (folder / WEIGHTS).write_bytes(weights)
    changed(folder, sha256=hashlib.sha256(weights).hexdigest())


def changed(folder, **values):
    config = {**json.loads((folder / CONFIG).read_text()), **values}
    (folder / CONFIG).write_text(json.dumps({key: value for key, value in config.items() if value is not ...}))


def changed_hparams(folder, **values):
    changed(folder, hparams={**json.loads((folder / CONFIG).read_text())["hparams"], **values})


def linked(folder, name):
    (folder / name).rename(folder.parent / "elsewhere")
    (folder / name).symlink_to(folder.parent / "elsewhere")


def piped(folder, name):
    (folder / name).unlink()
    os.mkfifo(folder / name)


def with_nan(folder):
    model = small()
    with torch.no_grad():
        model.net[-1].weight[0, 0] = float("nan")
    resigned(folder, pretrained.pack_weights("mlp", model, "float32"))


def of_another_shape(folder):
    model = zoo.create_model("mlp", **{**ARGS, "hidden_dims": [5]})
    resigned(folder, pretrained.pack_weights("mlp", model, "float32"))


def with_a_huge_header(folder):
    content = (folder / WEIGHTS).read_bytes()
    resigned(folder, struct.pack("<Q", 2**62) + content[8:])


def torch_saved(folder):
    torch.save(Trap(), folder / WEIGHTS)
    resigned(folder, (folder / WEIGHTS).read_bytes())


STRANGE = {
    "an unknown model": (lambda f: changed(f, model="mpl"), "config.json: unknown model 'mpl': did you mean mlp"),
    "a model of no name": (lambda f: changed(f, model=5), "model is 5, expected the name of a model"),
    "a path of a class": (lambda f: changed(f, model="os.system"), "unknown model 'os.system'"),
    "an unknown argument": (lambda f: changed_hparams(f, no=1), "unknown option of model mlp 'no'"),
    "a wrong type": (lambda f: changed_hparams(f, hidden_dims="wide"), "hidden_dims takes"),
    "a name of the builder": (lambda f: changed_hparams(f, name="x"), "unknown option of model mlp 'name'"),
    "a huge size": (lambda f: changed_hparams(f, hidden_dims=[10**12]), "cannot be built"),
    "large sizes": (lambda f: changed_hparams(f, hidden_dims=[50_000, 50_000]), "more than 1,000,000,000 weights"),
    "a negative size": (lambda f: changed_hparams(f, hidden_dims=[-5]), "hidden_dims"),
    "no hyper-parameters": (lambda f: changed(f, hparams=...), "hparams is None, expected a dictionary"),
    "a list of them": (lambda f: changed(f, hparams=[1]), r"hparams is \[1\], expected a dictionary"),
    "no checksum": (lambda f: changed(f, sha256=...), "sha256 is None, expected 64 hexadecimal digits"),
    "a wrong checksum": (lambda f: changed(f, sha256="0" * 64), "has the sha256 .*, expected 000000000000"),
    "a short checksum": (lambda f: changed(f, sha256="0"), "sha256 is '0', expected 64 hexadecimal digits"),
    "a recipe of no name": (lambda f: changed(f, recipe=[]), r"recipe is \[\], expected a name or null"),
    "another library": (lambda f: changed(f, library="timm"), "not the configuration of a model of lightning-zoo"),
    "a list": (lambda f: (f / CONFIG).write_text("[]"), r"not the configuration of .* \(list\)"),
    "no JSON": (lambda f: (f / CONFIG).write_text("{"), "config.json is not JSON"),
    "no text": (lambda f: (f / CONFIG).write_bytes(b"\xff\xfe\x00"), "config.json is not JSON"),
    "a deep one": (lambda f: (f / CONFIG).write_text("[" * 100_000 + "]" * 100_000), "config.json is not JSON"),
    "a nested one": (
        lambda f: changed(f, more=json.loads("[" * 40 + "]" * 40)),
        "config.json is nested more than 30 deep",
    ),
    "a large one": (lambda f: changed(f, more="x" * 10**6), "config.json has .* bytes, expected at most 1,000,000"),
    "a large number": (lambda f: (f / CONFIG).write_text("1" * 10_000), "config.json is not JSON"),
    "NaN": (with_nan, "model.safetensors: .*weight has 1 values that are not finite, of 12"),
    "another shape": (of_another_shape, "model.safetensors does not fit the model"),
    "a huge header": (with_a_huge_header, "model.safetensors cannot be read as safetensors"),
    "a cut file": (lambda f: resigned(f, (f / WEIGHTS).read_bytes()[:-9]), "cannot be read as safetensors"),
    "an empty file": (lambda f: resigned(f, b""), "cannot be read as safetensors"),
    "a pickle": (lambda f: resigned(f, pickle.dumps(Trap())), "is a pickle, which can run code, and is not read"),
    "a checkpoint": (torch_saved, "is a pickle, which can run code, and is not read"),
    "no weights": (lambda f: (f / WEIGHTS).unlink(), "model.safetensors is missing"),
    "no configuration": (lambda f: (f / CONFIG).unlink(), "config.json is missing"),
    "a link out": (lambda f: linked(f, WEIGHTS), "model.safetensors is a link out of the folder, to .*elsewhere"),
    "a link of the configuration": (lambda f: linked(f, CONFIG), "config.json is a link out of the folder"),
    "a pipe": (lambda f: piped(f, CONFIG), "config.json is not a regular file"),
    "a folder": (
        lambda f: ((f / WEIGHTS).unlink(), (f / WEIGHTS).mkdir()),
        "model.safetensors (is not a regular file|cannot)",
    ),
}


@pytest.mark.parametrize("what", STRANGE)
def test_a_strange_folder_is_one_line(what, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = zoo.save_pretrained(small(), tmp_path / "own")
    change, words = STRANGE[what]
    change(folder)
    for pretrained_too in (True, False):
        if not pretrained_too and what in ("NaN", "another shape"):
            continue  # the weights are not used
        with pytest.raises((ValueError, FileNotFoundError), match=words) as error:
            zoo.create_model(f"local-dir:{folder}", pretrained=pretrained_too)
        line = str(error.value)
        assert "\n" not in line
        assert "own" in line
        assert len(line) < 800
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize("what", ["a pickle", "an unknown model", "a wrong checksum", "NaN", "a large one"])
def test_a_strange_repository_is_one_line(what, hub, tmp_path):
    folder = zoo.save_pretrained(small(), tmp_path / "own")
    change, words = STRANGE[what]
    change(folder)
    hub.put(NAME, {path.name: path.read_bytes() for path in folder.iterdir()})
    with pytest.raises(ValueError, match=words) as error:
        zoo.create_model(f"hf-hub:{NAME}", pretrained=True)
    assert NAME in str(error.value)
    assert "\n" not in str(error.value)


def test_a_link_inside_the_folder_is_followed(tmp_path):
    folder = zoo.save_pretrained(small(), tmp_path / "own")
    (folder / WEIGHTS).rename(folder / "blob")
    (folder / WEIGHTS).symlink_to("blob")
    same(zoo.create_model(f"local-dir:{folder}", pretrained=True), small())


def test_long_hyper_parameters_are_in_the_weights_alone(tmp_path):
    names = [f"class {number}" for number in range(3000)]
    model = zoo.create_model("mlp", **{**ARGS, "num_classes": 3000}, class_names=names).eval()
    folder = zoo.save_pretrained(model, tmp_path / "own")
    assert "class_names" not in json.loads((folder / CONFIG).read_text())["hparams"]
    same(zoo.create_model(f"local-dir:{folder}", pretrained=True), model)


# ---- what is written ----


@pytest.mark.parametrize("present", [(CARD,), (CONFIG,), (WEIGHTS,)])
def test_files_of_another_kind_are_not_replaced(present, tmp_path):
    for name in present:
        (tmp_path / name).write_text("{}")
    with pytest.raises(ValueError, match=f"has {present[0]} that are not of zoo.save_pretrained: choose another"):
        zoo.save_pretrained(small(), tmp_path)
    assert files_under(tmp_path) == list(present)


def test_a_model_replaces_another(tmp_path):
    zoo.save_pretrained("mlp.xor", tmp_path)
    zoo.save_pretrained(small(), tmp_path)
    same(zoo.create_model(f"local-dir:{tmp_path}", pretrained=True), small())
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file, expected a folder"):
        zoo.save_pretrained(small(), tmp_path / "file")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("cnn.minst", "unknown recipe 'cnn.minst': did you mean cnn.mnist"),
        ("missing.ckpt", "missing.ckpt: no such checkpoint"),
        ("missing.yaml", "missing.yaml: no such file"),
        ("notes.txt", "notes.txt is not a checkpoint"),
        ("empty", "config.json is missing"),
        (5, "a int cannot be shared"),
        (torch.nn.Linear(1, 1), "a Linear cannot be shared"),
    ],
)
def test_what_cannot_be_shared_is_one_line(source, words, hub, elsewhere):
    with open("notes.txt", "w") as file:
        file.write("notes")
    os.mkdir("empty")
    for call in (lambda: zoo.save_pretrained(source, "own"), lambda: zoo.push_to_hub(source, NAME)):
        with pytest.raises((ValueError, FileNotFoundError), match=words) as error:
            call()
        assert "\n" not in str(error.value)
    assert not os.path.exists("own")
    assert hub.requests == []


def test_an_unknown_storage_is_one_line(tmp_path):
    with pytest.raises(ValueError, match="unknown storage of weights 'float61': did you mean"):
        zoo.save_pretrained(small(), tmp_path / "own", storage="float61")
    assert files_under(tmp_path) == []


def test_a_class_that_is_not_registered_is_one_line(tmp_path):
    class Own(type(small())):
        pass

    class MLP(type(small())):
        pass

    for cls, words in ((Own, "Own is not registered"), (MLP, "another class than the registered model 'mlp'")):
        with pytest.raises(ValueError, match=words):
            zoo.save_pretrained(cls(**ARGS), tmp_path / "own")


def test_a_registered_name_is_found_for_every_class():
    from zoo.registry import registered_name

    for name in zoo.list_models():
        cls = find_model(name).cls
        assert issubclass(cls, ZooModule)
        assert find_model(registered_name(cls.__name__)).cls is cls
        assert adapter_of(cls)


def test_a_recipe_of_ones_own_is_its_best_checkpoint(hub, elsewhere, capfd):
    with open("mine.yaml", "w") as file:
        file.write("model: {name: mlp, args: {hidden_dims: [8]}}\ndata: {name: digits}\ntrainer: {max_epochs: 2}\n")
    with pytest.raises(FileNotFoundError, match=r"zoo fit mine\.yaml"):
        zoo.push_to_hub("mine.yaml", NAME)
    assert answer(capfd, "fit", "mine.yaml", "--no_test")[0] == 0
    status, out, err = answer(capfd, "push", "mine.yaml", NAME, "--private", "--storage", "float16")
    assert (status, err) == (0, "")
    assert out == f"{hub.url}/{NAME}/commit/{hub.branches[NAME]['main']}\n"
    assert hub.private[NAME]
    again = zoo.create_model(f"hf-hub:{NAME}", pretrained=True)
    assert again.hparams["hidden_dims"] == [8]
    assert b"license_name: cc-by-4.0-data" in hub.commits[NAME][hub.branches[NAME]["main"]][CARD]
    hub.fault, hub.fault_path = 403, "commit"
    status, out, err = answer(capfd, "push", "mine.yaml", NAME)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert "refuses the access token" in err


@pytest.mark.slow
def test_the_environment_of_the_client_is_respected(hub, tmp_path):
    environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
    push = run_python("-m", "zoo", "push", "mlp.xor", NAME, cwd=tmp_path, **environment)
    assert push.returncode == 0, push.stderr
    code = f"import zoo; print(zoo.create_model('hf-hub:{NAME}', pretrained=True).hparams['hidden_dims'])"
    for more in ({}, {"HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:1"}):
        read = run_python("-c", code, cwd=tmp_path, **{**environment, **more})
        assert read.returncode == 0, read.stderr
    assert (tmp_path / "hf" / "hub" / "models--user--small-model").is_dir()
    assert repository.LIBRARY == "lightning-zoo"
