"""Model cards of every recipe: metadata that the Hugging Face Hub reads, and what the result files say."""

import fnmatch
import re
from pathlib import Path

import pytest
import yaml
from adapters import ADAPTERS
from conftest import ROOT, answer, quiet_trainer, tiny_data

import zoo
from zoo.base import ZooModule
from zoo.pretrained import load_result
from zoo.registry import find_model
from zoo.sharing import cards
from zoo.sharing.terms import TERMS, terms_of
from zoo.sharing.uses import EXAMPLES, FIGURES, MAKERS, use_of
from zoo.verification.report import format_mean_std

RECIPES = zoo.list_recipes()
LICENSES = {"mit", "other"}
PIPELINES = {
    "feature-extraction",
    "image-classification",
    "image-to-image",
    "image-to-text",
    "summarization",
    "tabular-classification",
    "tabular-regression",
    "text-classification",
    "text-generation",
    "token-classification",
    "translation",
}
"""Tasks of the Hub that occur here; see https://huggingface.co/tasks."""


def license_entries():
    """Return the entries of the file LICENSE: patterns of recipes and text."""
    lines = (ROOT / "LICENSE").read_text().split("part of this package.")[1].splitlines()
    entries = []
    for line in lines:
        if line.startswith("*"):
            words = re.match(r"((?:[*.][\w.*]*|or)\s+)*(?:[*.][\w.*]+)?", line).group()
            entries.append(([f"*{w.removeprefix('*')}" for w in words.split() if w != "or"], line[len(words) :]))
        elif line.strip():
            entries[-1] = (entries[-1][0], f"{entries[-1][1]} {line}")
    return [(patterns, " ".join(text.split())) for patterns, text in entries]


@pytest.mark.parametrize("name", RECIPES)
def test_the_card_of_every_recipe(name):
    from huggingface_hub import ModelCard
    from huggingface_hub.repocard_data import model_index_to_eval_results

    recipe, result = zoo.load_recipe(name), load_result(name)
    content = zoo.model_card(name)
    card = ModelCard(content)
    data = card.data.to_dict()
    terms = TERMS[recipe.data["name"]]
    assert data["license"] in LICENSES
    assert (data["license"] == "other") == ("license_name" in data) == ("license_link" in data)
    assert re.fullmatch(r"[a-z0-9.-]+", data.get("license_name", "mit"))
    assert data.get("license_link", "https://").startswith("https://")
    assert data["library_name"] == "lightning-zoo"
    assert recipe.model["name"] in data["tags"]
    assert data.get("pipeline_tag") in PIPELINES or name.startswith("ecg_")
    assert data["datasets"] == [terms.dataset or recipe.data["name"]]
    assert terms.text in content
    if result is None:
        assert "Not measured." in content
        return
    index = yaml.safe_load(content.split("---\n")[1])["model-index"]
    title, found = model_index_to_eval_results(index)
    assert title == name
    assert {one.metric_name: one.metric_value for one in found} == {
        metric: values["mean"] for metric, values in result["metrics"].items()
    }
    assert {(one.dataset_name, one.dataset_split, one.verified) for one in found} == {(terms.title, "test", False)}
    for metric, values in result["metrics"].items():
        assert f"| `{metric}` | {format_mean_std(values)} |" in content
    for rival in result["baselines"]:
        assert f"| {rival}" in content
    assert content.count("**not met**") == sum(not claim["met"] for claim in result["claim"])
    assert content.count("is not met.") == content.count("**not met**")
    assert content.count("**met**") == sum(claim["met"] for claim in result["claim"])
    assert all(claim["anchor"] in content for claim in result["claim"] if claim.get("anchor"))
    assert result["protocol"] in content
    assert (result["note"] or "") in content
    assert f"zoo verify {name}" in content
    assert f"zoo predict {name} " in content
    assert ("No weights are published" in content) == (recipe.shipped_weights == "none")
    assert f"over {result['seeds']} seed" in content
    assert ("not a medical device" in content) == name.startswith("ecg_")
    assert "None" not in content.split("## Settings")[0]


def test_terms_are_those_of_the_license():
    entries = license_entries()
    assert len(entries) > 15
    rivals = {rival for name in RECIPES for rival in zoo.load_recipe(name).baselines}
    for name in RECIPES:
        (text,) = {text for patterns, text in entries for one in patterns if fnmatch.fnmatchcase(name, one)}
        recipe = zoo.load_recipe(name)
        terms = TERMS[recipe.data["name"]]
        assert terms.text == text, name
        shipped = recipe.shipped_weights != "none"
        assert terms.allowed == shipped or (name in rivals and not shipped), name
        assert bool(terms.name and terms.link) == (terms.license == "other")
    for patterns, text in entries:
        assert any(fnmatch.filter(RECIPES, pattern) for pattern in patterns), text
    used = {zoo.load_recipe(name).data["name"] for name in RECIPES}
    assert set(TERMS) == used
    assert terms_of("image_folder") is terms_of(None) is None


def test_every_task_has_a_use():
    assert {task.__name__ for task in ADAPTERS} == set(MAKERS)
    for pattern in (*EXAMPLES, *FIGURES.values()):
        assert fnmatch.filter(RECIPES, pattern), pattern
    for name in FIGURES:
        assert (ROOT / "scripts" / "figures" / name).is_file()


USED = {  # for each task, and for each kind of input, the recipe whose weights are loaded in no time
    "cnn.digits",
    "logistic_regression.breast_cancer",
    "mlp.playground_plane_small",
    "lstm_captioner.flickr8k",
    "lstm_classifier.davidson",
    "lstm_tagger.atis",
    "lstm_seq2seq.geoquery",
    "lstm_language_model.tinyshakespeare",
    "vae.mnist",
    "colorizer.cifar10_jpeg_lab",
    "inpainting_autoencoder.fashion_mnist",
    "ecg_classifier.mitbih",
    "ecg_autoencoder.mitbih",
}


@pytest.mark.parametrize("name", sorted(USED))
def test_the_lines_of_a_card_run(name):
    (code,) = re.findall(r"```python\n(.*?)```", zoo.model_card(name), re.DOTALL)
    scope = {}
    exec(compile(code, name, "exec"), scope)
    assert isinstance(scope["model"], ZooModule)
    *_, last = code.strip().splitlines()
    assert last.startswith("model")
    found = eval(last, scope)
    assert found is not None
    assert len(found)


def test_a_card_names_the_extras_that_its_lines_need():
    for name, extras in {"cnn.digits": "", "lstm_tagger.atis": "[text]", "ecg_autoencoder.mitbih": "[ecg]"}.items():
        wanted = f"pip install 'lightning-zoo{extras}'\n" if extras else "pip install lightning-zoo\n"
        assert wanted in zoo.model_card(name)
    shared = cards.find_model_to_share("lstm_tagger.atis")
    assert "pip install 'lightning-zoo[hub,text]'\n" in cards.write_card(shared, "hf-hub:user/name")


def test_each_task_is_used():
    classes = [find_model(zoo.load_recipe(name).model["name"]).cls for name in USED]
    tasks = {base.__name__ for cls in classes for base in cls.__mro__}
    assert set(MAKERS) <= tasks


def test_a_model_of_ones_own_was_not_measured(tmp_path):
    model = zoo.create_model("mlp", in_features=6, input_shape=[2, 3], hidden_dims=[4], num_classes=3)
    trainer = quiet_trainer(max_epochs=1)
    trainer.fit(model, tiny_data(model))
    trainer.save_checkpoint(tmp_path / "own.ckpt")
    card = zoo.model_card(tmp_path / "own.ckpt")
    front = yaml.safe_load(card.split("---\n")[1])
    assert "license" not in front
    assert "model-index" not in front
    assert front["datasets"] == ["tiny"]
    assert "Not measured." in card
    assert "| `hidden_dims` | `[4]` |" in card
    assert "Data: `tiny`. Their terms are not known" in card
    assert "unknown. Their terms" in zoo.model_card(model)


def test_figures_are_linked_where_their_address_is_known(monkeypatch):
    name = "vae.mnist"
    assert "](scripts/figures/samples.png)" in zoo.model_card(name)
    shared = cards.find_model_to_share(name)
    assert "![" not in cards.write_card(shared, "hf-hub:user/name")
    monkeypatch.setattr(cards, "_source_address", lambda: "https://example.org/zoo/raw/main/")
    assert "](https://example.org/zoo/raw/main/scripts/figures/samples.png)" in cards.write_card(shared, "hf-hub:a/b")


def test_markup_in_settings_stays_text():
    model = zoo.create_model("mlp", in_features=2, num_classes=2, class_names=["a|b", "`c`\n# d"])
    line = next(line for line in zoo.model_card(model).splitlines() if "class_names" in line)
    assert line.count("|") - line.count("\\|") == 3
    assert line.count("`") == 4


def test_a_repacked_model_does_not_show_what_was_measured_in_another_storage(tmp_path):
    zoo.save_pretrained("mlp.xor", tmp_path / "one", storage="int8")
    zoo.save_pretrained("mlp.xor", tmp_path / "two")
    heads = [Path(tmp_path / one / "README.md").read_text().split("| metric | mean |")[1][:9] for one in ("one", "two")]
    assert [" weights " in head for head in heads] == [False, True]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["cnn.minst"], "unknown recipe 'cnn.minst': did you mean cnn.mnist"),
        (["mlp.xor", "--output", "no/such/folder/card.md"], "there is no folder"),
        (["mlp.xor", "--output", "."], "is a folder"),
        (["mlp.xor", "--output", ""], "expected the name of a file"),
        (["mine.yaml", "--output", "mine.yaml"], "would overwrite mine.yaml"),
        (["mlp.xor", "--model.lr", "1"], "zoo card takes a recipe as it is"),
        ([], "the following arguments are required"),
    ],
)
def test_a_wrong_command_is_one_line(words, line, elsewhere, capfd):
    Path("mine.yaml").write_text("model: {name: mlp}\ndata: {name: digits}\n")
    status, out, err = answer(capfd, "card", *words)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert line in err
    assert [path.name for path in Path().iterdir()] == ["mine.yaml"]


def test_the_command_writes_a_file_or_the_screen(elsewhere, capfd):
    status, out, err = answer(capfd, "card", "mlp.xor")
    assert (status, err) == (0, "")
    assert out == zoo.model_card("mlp.xor")
    assert answer(capfd, "card", "mlp.xor", "--output", "card.md") == (0, "", "")
    assert Path("card.md").read_text() == out
    Path("mine.yaml").write_text("model: {name: mlp}\ndata: {name: digits}\n")
    status, out, err = answer(capfd, "card", "mine.yaml")
    assert (status, err) == (0, "")
    assert "Not measured." in out


def test_uses_are_of_the_hub_where_it_has_the_task():
    assert use_of(zoo.create_model("lstm_seq2seq"), "", "aeslc_subjects").task == "summarization"
    assert use_of(zoo.create_model("lstm_seq2seq"), "", None).task == "translation"
    captions = use_of(zoo.create_model("lstm_captioner"), "", "flickr8k_captions")
    assert (captions.task, captions.extra) == ("image-to-text", "text")
