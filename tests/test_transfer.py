"""Fine-tuning: new heads on trained weights, fits that start from them, features, and frozen backbones."""

import re
import shlex
import warnings
from pathlib import Path

import lightning as L
import numpy as np
import pytest
import torch
import yaml
from adapters import adapter_of
from conftest import answer, assert_same, quiet_trainer, state, tiny_data, tiny_inputs
from lightning.pytorch.callbacks import BackboneFinetuning
from PIL import Image, ImageDraw
from test_learned_state import rows_of_table
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

import datamodules
import zoo
from datamodules.text.vocabulary import Vocabulary
from zoo.recipes import load_recipe
from zoo.recipes.fit import fit_recipe
from zoo.recipes.transfer import head_arguments, with_arguments
from zoo.registry import find_model
from zoo.tasks import Autoencoder, BeatAutoencoder, Classifier
from zoo.training.checkpoints import load_checkpoint, read_checkpoint

MODELS = zoo.list_models()
CLASSIFIERS = [name for name in MODELS if issubclass(find_model(name).cls, Classifier)]
WITH_FEATURES = [
    name for name in MODELS if issubclass(find_model(name).cls, (Classifier, Autoencoder, BeatAutoencoder))
]
WITH_HEAD = [name for name in MODELS if head_arguments(find_model(name).cls)]
WITHOUT_HEAD = [name for name in MODELS if name not in WITH_HEAD]


def features_of(model, inputs):
    """Return the features of what the network sees, as a user asks for them."""
    if isinstance(model, Autoencoder) and model.takes_mask:
        return model.features(inputs[0][:, :-1])
    return model.features(inputs if len(inputs) > 1 else inputs[0])


def outside_head(model):
    inside = tuple(f"{layer}." for layer in model.output_layers)
    return {name: value for name, value in state(model).items() if not name.startswith(inside)}


# ---- features ----


@pytest.mark.parametrize("name", WITH_FEATURES)
def test_features_have_one_row_a_sample_and_gradients(name):
    model = zoo.create_model(name)
    quiet_trainer(max_epochs=1, limit_val_batches=0).fit(model, tiny_data(model))
    model.eval()
    inputs = tiny_inputs(model)
    found = features_of(model, inputs)
    assert found.dtype == torch.float32
    assert len(found) == len(inputs[0])
    assert found.isfinite().all()
    if name in CLASSIFIERS:
        assert found.ndim == 2
        torch.testing.assert_close(model.head(found), model(*inputs))
        assert torch.equal(model.backbone(*inputs), found)
    elif isinstance(model, Autoencoder):
        x = inputs[0][:, :-1] if model.takes_mask else inputs[0]
        assert torch.equal(found, model.encode(x))
    else:
        assert found.shape[1] == model.hparams["latent_dim"]
    inputs[0].requires_grad_(inputs[0].is_floating_point())
    features_of(model, inputs).square().sum().backward()
    reached = [parameter.grad is not None for parameter in model.parameters()]
    assert any(reached) or inputs[0].grad.abs().sum() > 0


@pytest.mark.parametrize("name", WITH_FEATURES)
def test_features_of_a_sample_do_not_depend_on_the_others(name):
    model = zoo.create_model(name).eval()
    inputs = tiny_inputs(model)
    with torch.no_grad():
        found = features_of(model, inputs)
        x = inputs[0]
        changed = x.clone()
        changed[0] = 1 - changed[0] if x.is_floating_point() else changed[0].flip(0) + 1
        other = features_of(model, (changed, *inputs[1:]))
        assert not torch.equal(other[0], found[0])
        assert torch.equal(other[1:], found[1:])
        torch.testing.assert_close(features_of(model, tuple(x[3:4] for x in inputs))[0], found[3], atol=1e-5, rtol=1e-4)


def test_features_of_strings_are_those_of_their_ids():
    texts = ["a warm film", "dull"]
    vocabulary = Vocabulary.train(texts * 5, 300, at_most=True)
    model = zoo.create_model("lstm_classifier", tokenizer=vocabulary.json, vocab_size=len(vocabulary)).eval()
    assert torch.equal(model.features(texts), model.features(model.ids(texts)))
    with pytest.raises(ValueError, match="expected a list of strings"):
        model.features("a warm film")


def test_features_of_mirrored_images_are_the_mean():
    model = zoo.create_model("cnn.fashion_mnist", pretrained=True)
    x = torch.rand(3, 1, 28, 28)
    torch.testing.assert_close(model.features(x), model.features(x.flip(-1)))
    torch.testing.assert_close(model.head(model.features(x)), model(x))


@pytest.mark.parametrize("name", WITH_HEAD)
def test_a_backbone_is_the_network_without_its_head(name):
    model = zoo.create_model(name)
    before = list(model.state_dict())
    assert_same(dict(model.backbone.state_dict()), outside_head(model))
    assert all(any(p is q for q in model.net.parameters()) for p in model.backbone.parameters())
    assert list(model.state_dict()) == before
    tree = dict(model.net.named_modules())
    assert all(list(tree[layer].parameters()) for layer in model.output_layers)


def test_a_network_without_a_linear_layer_says_what_to_override():
    class Pooled(Classifier):
        def __init__(self, **training):
            super().__init__(**training)
            self.net = nn.Sequential(nn.Conv2d(1, 10, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    with pytest.raises(ValueError, match=r"Pooled has no linear layer, .*: override output_layers"):
        Pooled().features(torch.rand(2, 1, 8, 8))


# ---- a new head ----


def trained_model(name):
    """Return a model whose classes have names, in the state of a trained one."""
    model = zoo.create_model(name)
    classes = model.hparams.get("num_classes")
    names = {} if classes is None else {"class_names": [f"class {k}" for k in range(classes)]}
    return zoo.create_model(name, **names).eval()


@pytest.mark.parametrize("name", WITH_HEAD)
def test_a_new_head_keeps_all_other_weights(name):
    trained = trained_model(name)
    sizes = dict.fromkeys(trained.head_arguments, 4)
    with pytest.warns(UserWarning, match=r"^mine: .* weights are kept, .* new, with num_\w+ 4 instead of"):
        model = with_arguments(trained, sizes, "mine")
    assert model.training
    assert all(module.training for module in model.modules())
    assert_same(outside_head(model), outside_head(trained))
    for size, names in trained.head_arguments.items():
        assert model.hparams[size] == 4
        assert model.hparams[names] is None
    inputs = tiny_inputs(model.eval())
    assert model(*inputs).shape[-1] == 4 * len(sizes)
    if name in CLASSIFIERS:
        torch.testing.assert_close(features_of(model, inputs), features_of(trained, inputs))
        answers = model.classify(inputs if len(inputs) > 1 else inputs[0])
        assert {each.label for each in answers} <= set("0123")


def test_names_of_classes_follow_the_head():
    with pytest.warns(UserWarning, match="277,600 of 277,987 weights are kept, the output layer net.11 is new"):
        model = zoo.create_model("cnn.mnist", pretrained=True, class_names=["cat", "dog", "owl"], dropout=0.3)
    assert model.hparams["num_classes"] == 3
    assert model.hparams["dropout"] == 0.3
    assert model.classify(torch.rand(2, 1, 28, 28))[0].label in ("cat", "dog", "owl")
    renamed = zoo.create_model("cnn.mnist", pretrained=True, class_names=list("abcdefghij"))
    assert not renamed.training
    assert renamed.hparams["temperature"] == zoo.create_model("cnn.mnist", pretrained=True).hparams["temperature"]


def test_what_validation_chose_and_the_rest_class_do_not_outlive_their_classes():
    chosen = {"temperature": 0.7, "rest_threshold": 0.3, "threshold": 0.5}
    names = ["a", "b", "oos"]
    trained = zoo.create_model("lstm_classifier", num_classes=3, class_names=names, rest_class="oos", **chosen)
    with pytest.warns(UserWarning, match="is new"):
        model = with_arguments(trained, {"num_classes": 4}, "mine")
    assert (model.hparams["rest_class"], model.hparams["rest_threshold"], model.hparams["temperature"]) == (None, 0, 1)
    with pytest.warns(UserWarning, match="is new"):
        model = with_arguments(trained, {"class_names": ["b", "oos"]}, "mine")
    assert (model.hparams["rest_class"], model.hparams["rest_threshold"]) == ("oos", 0)
    topics = zoo.create_model("lstm_classifier", num_classes=3, multi_label=True, threshold=0.2)
    with pytest.warns(UserWarning, match="is new"):
        assert with_arguments(topics, {"num_classes": 4}, "mine").hparams["threshold"] == 0.5
    weighed = zoo.create_model("mlp", num_classes=3, class_weights=[1.0, 2.0, 3.0])
    with pytest.warns(UserWarning, match="is new"):
        assert with_arguments(weighed, {"num_classes": 0}, "mine").hparams["class_weights"] is None


@pytest.mark.parametrize("name", MODELS)
def test_arguments_of_the_optimisation_change_no_weights(name):
    trained = trained_model(name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = with_arguments(trained, {"lr": 1e-4, "schedule": "step", "l2": 0.1, "optimizer": "sgd"}, "mine")
    assert not model.training
    assert model.hparams["lr"] == 1e-4
    assert_same(state(model), state(trained))


REFUSED = {
    "shapes": ("cnn.mnist", {"hidden_dims": [64, 64, 64]}, r"hidden_dims=\[64, .* give \[32, 64, 128\]"),
    "one of two": ("cnn.mnist", {"lr": 0.1, "in_channels": 3}, r"in_channels=3 .* \(32, 1, 3, 3\) and not .* give 1"),
    "a function": ("cnn.mnist", {"activation": "tanh"}, "activation='tanh' .* something else.* give 'silu'"),
    "a constant": ("cnn.mnist", {"mean": 0.5, "num_classes": 3}, "mean=0.5 does not fit .* give 0.1307"),
    "vocabulary": ("lstm_classifier.sst2", {"tokenizer": "{}"}, "tokenizer is what the model learned"),
    "names": ("cnn.mnist", {"num_classes": 3, "class_names": ["a"]}, "class_names has 1 names, but num_classes is 3"),
    "one class": ("cnn.mnist", {"num_classes": 1}, "num_classes must be at least 2, not 1"),
    "misspelt": ("cnn.mnist", {"num_clases": 3}, "unknown option .*'num_clases': did you mean num_classes"),
    "text": ("cnn.mnist", {"num_classes": "three"}, "num_classes takes int, not 'three'"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_would_change_the_features_is_refused_in_one_line(what):
    recipe, args, words = REFUSED[what]
    with pytest.raises(ValueError, match=words) as caught:
        zoo.create_model(recipe, pretrained=True, **args)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", WITHOUT_HEAD)
def test_a_model_without_a_head_refuses_classes(name):
    with pytest.raises(ValueError, match="num_classes is for a model with an output layer for classes, not a "):
        with_arguments(trained_model(name), {"num_classes": 3}, "mine")


def test_beats_of_other_classes_are_neither_annotated_nor_scored():
    with pytest.warns(UserWarning, match="is new"):
        model = zoo.create_model("ecg_classifier.mitbih", pretrained=True, num_classes=3)
    signal = np.sin(np.arange(3600) / 40)[:, None]
    with pytest.raises(ValueError, match="by the classes N, S, V, F, Q, not by 3 others"):
        model.annotate(signal, 360.0, r_peaks=np.arange(300, 3300, 300))
    with pytest.raises(ValueError, match="by the classes N, S, V, F, Q, not by 3 others"):
        quiet_trainer(max_epochs=1).fit(model, tiny_data(zoo.create_model("ecg_classifier")))


# ---- a fit that starts from weights ----


def draw_pictures(root, n=30, kinds=("circle", "cross", "square")):
    """Draw n white figures of each kind on black, of several places and sizes."""
    draw = np.random.default_rng(0)
    for kind in kinds:
        (root / kind).mkdir(parents=True)
        for k in range(n):
            image = Image.new("L", (28, 28))
            pen, size = ImageDraw.Draw(image), int(draw.integers(12, 18))
            x, y = (int(v) for v in draw.integers(3, 25 - size, 2))
            box = (x, y, x + size, y + size)
            if kind == "cross":
                pen.line(box, 255, 3)
                pen.line((x, y + size, x + size, y), 255, 3)
            else:
                getattr(pen, {"circle": "ellipse"}.get(kind, "rectangle"))(box, outline=255, width=3)
            image.save(root / kind / f"{k}.png")


QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}


def write_recipe(model="cnn", data="image_folder", epochs=4, path="mine.yaml", args=None, data_args=None):
    pictures = {"root": "pictures", "image_size": 28, "grey": True, "batch_size": 16, "val_size": 15, "test_size": 15}
    content = {
        "model": {"name": model, "args": {"optimizer": "adamw", "lr": 2e-3, "schedule": "onecycle", **(args or {})}},
        "data": {"name": data, "args": pictures if data_args is None else data_args},
        "trainer": {"max_epochs": epochs, **QUIET},
    }
    Path(path).write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def pictures(elsewhere, tmp_path):
    draw_pictures(tmp_path / "pictures")


def test_a_folder_of_pictures_is_learned_from_the_weights_of_digits(capfd, pictures):
    write_recipe()
    status, out, err = answer(capfd, "fit", "mine.yaml", "--from", "cnn.mnist")
    assert status == 0, err
    assert err.splitlines()[0] == (
        "zoo: mine.yaml starts from cnn.mnist: 277,600 of 277,987 weights are kept, the output layer net.11 is new, "
        "with num_classes 3 instead of 10; mean, std: those of cnn.mnist"
    )
    rows = {words[0]: words[-1] for line in out.splitlines() if len(words := line.split()) > 1}
    assert float(rows["val_accuracy"]) > 0.9
    path = "runs/mine/version_0/checkpoints/best.ckpt"
    model = load_checkpoint(find_model("cnn").cls, path)
    assert model.hparams["class_names"] == ["circle", "cross", "square"]
    assert model.hparams["mean"] == 0.1307
    assert model.started_from == read_checkpoint(path)["zoo"]["start"] == "cnn.mnist"
    assert answer(capfd, "test", "mine.yaml", "--ckpt_path", "best")[0] == 0
    # The run goes on without --from, and a second one starts from its checkpoint, head included.
    status, _, err = answer(capfd, "fit", "mine.yaml", "--ckpt_path", "last", "--trainer.max_epochs", "5", "--no_test")
    assert status == 0, err
    last = read_checkpoint("runs/mine/version_0/checkpoints/last.ckpt")
    assert last["epoch"] == 4
    assert last["zoo"]["start"] == "cnn.mnist"
    assert last["hyper_parameters"]["mean"] == 0.1307
    status, _, err = answer(capfd, "fit", "mine.yaml", "--from", path, "--trainer.max_epochs", "1", "--no_test")
    assert status == 0, err
    assert f"mine.yaml starts from {path}: 277,987 of 277,987 weights are kept" in err
    again = read_checkpoint("runs/mine/version_1/checkpoints/last.ckpt")
    assert again["zoo"]["start"] == path


def test_the_weights_are_those_the_fit_starts_from(pictures):
    write_recipe()
    recipe, trained = load_recipe("mine.yaml"), zoo.create_model("cnn.mnist", pretrained=True)
    with pytest.warns(UserWarning, match="starts from cnn.mnist"):
        model, data, _ = recipe.build(start="cnn.mnist")
    assert_same(outside_head(model), outside_head(trained))
    assert model.hparams["lr"] == 2e-3
    data.setup()
    assert data.spec["class_names"] == model.hparams["class_names"]


WRONG_STARTS = {
    "no such recipe": ({}, "cnn.mnst", "unknown recipe 'cnn.mnst': did you mean cnn.mnist"),
    "a model's name": ({}, "cnn", "pretrained weights belong to a recipe, not to 'cnn': choose from cnn.digits"),
    "no such name": ({}, "weights", "unknown recipe 'weights': choose from autoencoder.mnist"),
    "no such file": ({}, "runs/best.ckpt", "runs/best.ckpt: no such checkpoint"),
    "no checkpoint": ({}, "mine.ckpt", "mine.ckpt is not a checkpoint that can be read"),
    "a recipe's file": ({}, "mine.yaml", "mine.yaml is a recipe's file: expected"),
    "another model": ({}, "lenet5.mnist", "a LeNet5, since it trains a CNN: write name: lenet5 under model"),
    "another network": (
        {"args": {"hidden_dims": [8, 8, 8]}},
        "cnn.mnist",
        "hidden_dims is [32, 64, 128] there and [8, 8, 8] here: write hidden_dims: [32, 64, 128] under model, args",
    ),
    "two arguments": (
        {},
        "cnn.fashion_mnist",
        "write hidden_dims: [32, 96, 192], depths: [2, 2, 2] under model, args",
    ),
    "another function": ({"args": {"activation": "relu"}}, "cnn.mnist", "write activation: 'silu' under model, args"),
    "another normalisation": ({"args": {"mean": 0.5}}, "cnn.mnist", "write mean: 0.1307 under model, args"),
    "colour": (
        {"data_args": {"root": "pictures", "image_size": 28}},
        "cnn.mnist",
        "in_channels is 1 there and 3 here: in_channels: set by the data image_folder, see its image_size, grey",
    ),
}


@pytest.mark.parametrize("what", WRONG_STARTS)
def test_weights_that_do_not_fit_are_refused_in_one_line(what, capfd, pictures):
    settings, start, words = WRONG_STARTS[what]
    write_recipe(**settings)
    Path("mine.ckpt").write_text("no weights")
    status, _, err = answer(capfd, "fit", "mine.yaml", "--from", start)
    assert status == 2
    assert words in err
    assert len(err.splitlines()) == 1
    assert not Path("runs").exists()


def test_from_and_a_checkpoint_to_resume_are_refused_together(capfd, pictures):
    write_recipe()
    Path("last.ckpt").write_text("")
    status, _, err = answer(capfd, "fit", "mine.yaml", "--from", "cnn.mnist", "--ckpt_path", "last.ckpt")
    assert status == 2
    assert "--from cnn.mnist begins a run and --ckpt_path last.ckpt resumes one: give one of them" in err


def test_a_text_classifier_adopts_the_vocabulary_it_starts_from(capfd, elsewhere):
    small = {"embedding_dim": 4, "hidden_dim": 4}
    for name, labels in {"first": ("bad", "good"), "mine": ("dull", "fair")}.items():
        rows = rows_of_table(120, len(name), labels)
        rows += [f"{word} film {k}\tsplendid\n" for k in range(9) for word in ("fine", "great")] * (name == "mine")
        Path(f"{name}.tsv").write_text("text\tlabel\n" + "".join(rows))
        data = {"root": f"{name}.tsv", "vocab_size": 320 + len(rows)}
        write_recipe("lstm_classifier", "text_table", 1, f"{name}.yaml", small, data)
    assert answer(capfd, "fit", "first.yaml", "--no_test")[0] == 0
    start = "runs/first/version_0/checkpoints/best.ckpt"
    status, _, err = answer(capfd, "fit", "mine.yaml", "--from", start, "--no_test")
    assert status == 0, err
    assert f"tokenizer, vocab_size, max_length: those of {start}" in err
    assert "the output layer net.scores is new, with num_classes 3 instead of 2" in err
    trained = read_checkpoint(start)["hyper_parameters"]
    found = read_checkpoint("runs/mine/version_0/checkpoints/last.ckpt")["hyper_parameters"]
    assert found["tokenizer"] == trained["tokenizer"]
    assert found["class_names"] == ["dull", "fair", "splendid"]
    words = ["fit", "mine.yaml", "--ckpt_path", "last", "--trainer.max_epochs", "2", "--no_test"]
    status, _, err = answer(capfd, *words)
    assert status == 0, err
    Path("mine.tsv").write_text(Path("first.tsv").read_text().replace("\tbad\n", "\tpoor\n"))
    status, _, err = answer(capfd, "fit", "mine.yaml", "--from", start, "--no_test")
    assert status == 0, err
    assert "of the output layer were trained for other class_names, ['bad', 'good']" in err


def test_classes_of_the_same_names_keep_their_numbers(elsewhere, tmp_path):
    draw_pictures(tmp_path / "pictures")
    write_recipe()
    model = zoo.create_model("cnn", class_names=["square", "circle", "cross"], num_classes=3)
    trainer = quiet_trainer(max_epochs=1, limit_train_batches=1, limit_val_batches=0)
    trainer.fit(model, tiny_data(model))
    trainer.save_checkpoint("first.ckpt")
    recipe = load_recipe("mine.yaml")
    with pytest.warns(UserWarning, match="277,987 of 277,987"):
        fit = fit_recipe(recipe, start="first.ckpt", overrides={"trainer": {"max_epochs": 1}})
    assert fit.model.hparams["class_names"] == ["square", "circle", "cross"]
    assert fit.data.splits["train"].column(1).unique().tolist() == [0, 1, 2]


def test_a_model_without_a_head_starts_from_all_weights(elsewhere):
    Path("mine.yaml").write_text("model: {name: autoencoder, args: {lr: 0.01}}\ndata: {name: digits}\n")
    with pytest.raises(
        ValueError, match=r"in_features is 784 there .* in_features, input_shape: set by the data digits"
    ):
        load_recipe("mine.yaml").build(start="autoencoder.mnist", trainer=QUIET)
    trained = zoo.create_model("autoencoder", in_features=64, input_shape=[1, 8, 8])
    trainer = quiet_trainer(max_epochs=1, limit_val_batches=0)
    trainer.fit(trained, datamodules.create_datamodule("digits"))
    trainer.save_checkpoint("first.ckpt")
    with pytest.warns(UserWarning, match="mine.yaml starts from first.ckpt: .* weights are kept"):
        model, _, _ = load_recipe("mine.yaml").build(start="first.ckpt", trainer=QUIET)
    assert_same(state(model), state(trained))
    assert model.hparams["lr"] == 0.01


# ---- a frozen backbone ----


def frozen_parts(model):
    """Return copies of the weights and of the batch statistics of the backbone."""
    return {name: value.clone() for name, value in model.backbone.state_dict().items() if value.is_floating_point()}


class Watch(L.Callback):
    """Keeps the backbone and the learning rates at the end of each training epoch."""

    takes_chunks = True

    def __init__(self):
        self.seen, self.rates = [], []

    def on_train_epoch_end(self, trainer, model):
        self.seen.append(frozen_parts(model))
        self.rates.append([group["lr"] for group in trainer.optimizers[0].param_groups])


def fine_tune(model, steps, ckpt_path=None):
    watch, frozen = Watch(), BackboneFinetuning(unfreeze_backbone_at_epoch=2)
    trainer = quiet_trainer(max_epochs=4, limit_train_batches=20, limit_val_batches=0, callbacks=[frozen, watch])
    data = datamodules.create_datamodule("digits", batch_size=8, batches_per_step=steps)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", ".*(trainer is resuming|checkpoint|num_workers|was never).*")
        trainer.fit(model, data, ckpt_path=ckpt_path, weights_only=None if ckpt_path is None else True)
    return trainer, watch


def digits_cnn(**args):
    torch.manual_seed(0)
    with pytest.warns(UserWarning, match="is new"):
        return zoo.create_model("cnn.digits", pretrained=True, num_classes=10 + 1, **args)


@pytest.mark.parametrize(
    ("schedule", "steps"),
    [("constant", 16), ("cosine", 1), ("onecycle", 1), ("onecycle", 16), ("plateau", 16), ("step", 16)],
)
def test_a_backbone_is_frozen_until_its_epoch(schedule, steps):
    model = digits_cnn(schedule=schedule, optimizer="adamw", weight_decay=0.05, max_norm=0.5, monitor="train_loss")
    before = frozen_parts(model)
    assert any("running_mean" in name for name in before)
    trainer, watch = fine_tune(model, steps)
    for epoch in (0, 1):
        assert_same(before, watch.seen[epoch])
    for name, value in watch.seen[2].items():
        if "0.mean" not in name and "0.std" not in name:
            assert not torch.equal(value, before[name]), name
    assert all(module.training for module in model.modules() if isinstance(module, _BatchNorm))
    head, backbone = watch.rates[2][0], watch.rates[2][-1]
    assert 0 < backbone < head <= 0.1 or schedule in ("cosine", "onecycle", "step")
    assert len(trainer.optimizers[0].param_groups) == 3
    assert trainer.optimizers[0].param_groups[-1]["weight_decay"] == 0.05
    assert len({id(p) for group in trainer.optimizers[0].param_groups for p in group["params"]}) == len(
        list(model.parameters())
    )


@pytest.mark.parametrize(
    ("schedule", "stop", "steps"), [("onecycle", 1, 16), ("onecycle", 2, 1), ("onecycle", 3, 16), ("plateau", 3, 1)]
)
def test_a_fine_tuning_is_resumed_to_the_same_weights(schedule, stop, steps, tmp_path):
    args = {"schedule": schedule, "monitor": "train_loss", "optimizer": "adamw", "weight_decay": 0.05}
    whole = digits_cnn(**args)
    fine_tune(whole, steps)
    part = digits_cnn(**args)
    callbacks = [BackboneFinetuning(2), Broken(stop)]
    trainer = quiet_trainer(max_epochs=4, limit_train_batches=20, limit_val_batches=0, callbacks=callbacks)
    trainer.fit(part, datamodules.create_datamodule("digits", batch_size=8, batches_per_step=steps))
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    resumed = digits_cnn(**args)
    fine_tune(resumed, steps, ckpt_path=tmp_path / "last.ckpt")
    assert_same(state(whole), state(resumed))


class Broken(L.Callback):
    """Stops a fit after some epochs."""

    takes_chunks = True

    def __init__(self, epochs):
        self.epochs = epochs

    def on_train_epoch_end(self, trainer, model):
        trainer.should_stop = trainer.current_epoch + 1 == self.epochs


def test_batch_normalisation_stays_frozen_where_it_is_not_to_be_trained():
    model = digits_cnn()
    before = frozen_parts(model)
    frozen = BackboneFinetuning(1, train_bn=False)
    quiet_trainer(max_epochs=2, limit_val_batches=0, callbacks=[frozen]).fit(
        model, datamodules.create_datamodule("digits", batch_size=64)
    )
    norms = {name for name, module in model.net.named_modules() if isinstance(module, _BatchNorm)}
    after = frozen_parts(model)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert not {name for name in changed if name.rpartition(".")[0] in norms}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("autoencoder", "freezes model.backbone, which CodecAutoencoder does not have: leave it out"),
        ("logistic_regression", "nothing to freeze in LogisticRegression, which is its output layer alone"),
    ],
)
def test_a_backbone_that_is_not_there_is_refused(name, words):
    model = zoo.create_model(name)
    with pytest.raises(ValueError, match=words):
        quiet_trainer(max_epochs=1, callbacks=[BackboneFinetuning(1)]).fit(model, tiny_data(model))


@pytest.mark.parametrize("name", [name for name in WITH_HEAD if name not in ("perceptron", "logistic_regression")])
def test_every_backbone_is_frozen_and_trained(name):
    model = zoo.create_model(name)
    watch, before = Watch(), frozen_parts(model)
    callbacks = [BackboneFinetuning(1), watch]
    data = tiny_data(model, batch_size=5)
    assert adapter_of(type(model))
    quiet_trainer(max_epochs=2, limit_val_batches=0, callbacks=callbacks).fit(model, data)
    assert_same(before, watch.seen[0])
    trained = [n for n, p in model.backbone.named_parameters() if not torch.equal(p, before[n])]
    assert set(trained) == {name for name, _ in model.backbone.named_parameters()}


# ---- the page ----

PAGE = Path(__file__).parent.parent / "scripts" / "docs" / "how-to" / "fine-tuning.md"


def test_the_page_runs(capfd, elsewhere):
    """The recipe, the commands and the Python of the page, one after the other in an empty folder."""
    scope = {}
    for kind, block in re.findall(r"```(bash|python|yaml)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        if kind == "yaml":
            name, _, content = block.removeprefix("# ").partition("\n")
            Path(name).write_text(content.replace("max_epochs: 4", "max_epochs: 4, enable_progress_bar: false"))
        elif kind == "bash":
            for line in block.splitlines():
                program, *words = shlex.split(line, comments=True)
                status, out, err = answer(capfd, *words)
                assert program == "zoo"
                assert status == 0, err
                assert words[0] != "fit" or said(PAGE) == " ".join(err.splitlines()[0].split())
                assert words[0] != "predict" or "circle" in out
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                exec(compile(block, str(PAGE), "exec"), scope)
    assert scope["accuracy"] > 0.9
    assert scope["features"].shape == (1, 128)
    assert scope["codes"].shape == (1, 64)


def said(page):
    """Return the line that the page shows of a fit."""
    (text,) = re.findall(r"```text\n(zoo: .*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    return " ".join(text.split())
