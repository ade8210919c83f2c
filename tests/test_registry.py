import pytest
from conftest import run_python

import zoo
from zoo.arguments import check_arguments
from zoo.registry import register_model

MODELS = zoo.list_models()


def test_wildcard_filters_sorted_names():
    assert sorted(MODELS) == MODELS
    assert {"perceptron", "logistic_regression", "mlp", "lenet5", "cnn"} <= set(MODELS)
    assert zoo.list_models("*regression*") == ["logistic_regression"]
    assert zoo.list_models("?lp") == ["mlp"]
    assert zoo.list_models("no_such_*") == []
    assert all(name.startswith("mlp.") for name in zoo.list_recipes("mlp.*"))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: zoo.create_model("lenet"), r"unknown model 'lenet': did you mean lenet5\?"),
        (lambda: zoo.model_info("percepton"), r"unknown model 'percepton': did you mean perceptron\?"),
        (lambda: zoo.create_model("xxxxxxxxx"), r"unknown model 'xxxxxxxxx': choose from autoencoder, "),
        (lambda: zoo.load_recipe("mlp.digit"), r"unknown recipe 'mlp.digit': did you mean mlp.digits"),
        (lambda: zoo.create_model("mlp", hiden_dims=[3]), r"unknown option of model mlp 'hiden_dims': .*hidden_dims"),
        (lambda: zoo.create_model("mlp", hidden_dims="many"), "model mlp: hidden_dims takes list.*, not 'many'"),
        (lambda: zoo.create_model("mlp", dropout="much"), "model mlp: dropout takes float, not 'much'"),
        (lambda: zoo.create_model("mlp", num_classes=2.5), "model mlp: num_classes takes int, not 2.5"),
        (lambda: zoo.create_model("mlp", batch_norm="maybe"), "model mlp: batch_norm takes bool, not 'maybe'"),
        (lambda: zoo.create_model("mlp", pretrained=True), "pretrained weights belong to a recipe.*mlp.digits"),
    ],
)
def test_wrong_name_or_type_is_answered_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_strings_are_read_as_the_annotated_type():
    model = zoo.create_model("mlp", hidden_dims="[5, 4]", dropout="0.25", batch_norm="true", clip_norm="null")
    assert model.hparams["hidden_dims"] == [5, 4]
    assert model.hparams["dropout"] == 0.25
    assert model.hparams["batch_norm"] is True
    assert model.hparams["clip_norm"] is None


def test_duplicate_name_raises():
    with pytest.raises(ValueError, match="model 'mlp' is registered already, by MLP"):
        register_model("mlp", source="nowhere")(object)
    assert zoo.model_info("mlp")["class"] == "zoo.models.mlp.MLP"


def test_registered_defaults_differ_from_the_class_and_give_way_to_arguments():
    assert zoo.model_info("perceptron")["parameters"]["optimizer"] == "sgd"
    assert zoo.model_info("logistic_regression")["parameters"]["optimizer"] == "adam"
    assert zoo.create_model("perceptron").hparams["lr"] == 1.0
    assert zoo.create_model("perceptron", lr=0.5).hparams["lr"] == 0.5


def test_model_info_describes():
    info = zoo.model_info("mlp")
    assert info["task"] == "ClassifierOrRegressor"
    assert info["parameters"]["hidden_dims"] == [256, 128]
    assert info["parameters"]["lr"] == 1e-3
    assert info["doc"].startswith("Multilayer perceptron")
    assert "1986" in info["source"]


PLUGIN = '''
"""A model from elsewhere."""

from typing import Any

from zoo.nn import dense_net
from zoo.registry import register_model
from zoo.tasks import Classifier


@register_model("centroid", source="nobody 2000", lr=0.5)
class Centroid(Classifier):
    """One layer.

    Args:
        in_features: Numbers in a sample.
        num_classes: Number of classes.
        **training: The rest.
    """

    def __init__(self, *, in_features: int = 4, num_classes: int = 3, **training: Any) -> None:
        super().__init__(**training)
        self.input_shape = (in_features,)
        self.net = dense_net([in_features], [], num_classes)
'''

USE = """
import zoo
assert "centroid" in zoo.list_models(), zoo.list_models()
assert zoo.list_models("cent*") == ["centroid"]
model = zoo.create_model("centroid", in_features=5)
assert type(model).__module__ == "elsewhere" and model.hparams["lr"] == 0.5
try:
    zoo.create_model("centroid", in_featurs=5)
except ValueError as error:
    assert "in_features" in str(error)
model, data, trainer = zoo.load_recipe("centroid.own.yaml").build(
    trainer={"logger": False, "enable_progress_bar": False, "accelerator": "cpu", "enable_model_summary": False}
)
assert type(model).__name__ == "Centroid" and model.hparams["in_features"] == 30 and model.hparams["lr"] == 0.1
trainer.fit(model, data)
assert trainer.global_step == 4, trainer.global_step
print("fine")
"""


@pytest.mark.slow
def test_model_of_an_installed_package_and_a_recipe_of_ones_own(tmp_path):
    site = tmp_path / "site"
    metadata = site / "elsewhere-1.0.dist-info"
    metadata.mkdir(parents=True)
    (site / "elsewhere.py").write_text(PLUGIN)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[lightning_zoo.models]\nelsewhere = elsewhere\n")
    (tmp_path / "centroid.own.yaml").write_text(
        "model: {name: centroid, args: {lr: 0.1}}\n"
        "data: {name: breast_cancer, args: {batch_size: 100, batches_per_step: 2}}\n"
        "trainer: {max_epochs: 1}\n"
    )
    result = run_python("-c", f"import sys; sys.path.insert(0, {str(site)!r})\n{USE}", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().endswith("fine")


@pytest.mark.parametrize("statement", ["import zoo", "import datamodules", "import zoo; zoo.list_recipes(); dir(zoo)"])
def test_import_alone_is_light(statement):
    check = "import sys; print(sorted({'torch', 'lightning', 'numpy', 'sklearn', 'matplotlib'} & set(sys.modules)))"
    result = run_python("-c", f"{statement}; {check}")
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("text", ["# no comment", "&a", "null ", "3", "[1]", '{"a": 1}', " ", ""])
def test_text_is_taken_as_it_is_where_text_or_none_is_expected(text):
    class Taker:
        def __init__(self, *, name: str | None = None) -> None: ...

    assert check_arguments("the taker", Taker, {"name": text}) == {"name": text}
    assert check_arguments("the taker", Taker, {"name": "null"}) == {"name": None}
