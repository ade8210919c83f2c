"""Beats that do not look like normal ones, and the pictures of a classifier of beats."""

import numpy as np
import pytest
import torch
from adapters import TinyBeats
from conftest import quiet_trainer, tiny_data
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import zoo
from datamodules.splits import Split
from zoo.callbacks import Beats
from zoo.figures.ecg import beat_strips, confusion, precision_recall, saliency
from zoo.pretrained import load_weights, save_weights
from zoo.tasks.ecg_annotation import BeatInputs


class Hearts(TinyBeats):
    """Made-up beats whose class N looks like the record's usual beat but for its noise; the others do not."""

    def load(self):
        splits = super().load()
        for name, (stored, groups, _) in splits.items():
            x, y, rr, rhythm, amplitude, _, around, record = stored
            draw = torch.Generator().manual_seed(len(name))
            wave = torch.sin(torch.linspace(0, 12, x.shape[2])).expand_as(x)
            x = wave + 0.1 * torch.randn(x.shape, generator=draw) + 0.5 * (y > 0)[:, None, None] * (x - 0.5)
            splits[name] = Split((x, y, rr, rhythm, amplitude, wave.contiguous(), around, record), groups)
        return splits


@pytest.fixture(scope="module")
def taught():
    torch.manual_seed(0)
    model = zoo.create_model("ecg_autoencoder")
    data = Hearts((2, 256), 5, n=200, n_val=200, batch_size=20)
    quiet_trainer(max_epochs=15).fit(model, data)
    return model.eval(), data


def test_unusual_beats_stand_out(taught):
    model, data = taught
    metrics = quiet_trainer().test(model, data, verbose=False)[0]
    assert metrics["test_auc"] > 0.95
    assert metrics["test_abnormal_auc"] > 0.95
    errors = torch.cat(quiet_trainer().predict(model, data))
    y = data.splits["test"].tensors[1]
    scores = [float((errors[y == k][:, None] > errors[y == 0]).float().mean()) for k in (1, 2, 3, 4)]
    assert metrics["test_auc"] == pytest.approx(scores[1], abs=1e-5)
    assert metrics["test_abnormal_auc"] == pytest.approx(np.mean(scores), abs=1e-5)


def test_only_normal_beats_are_learned_from(taught):
    _, data = taught
    model = zoo.create_model("ecg_autoencoder")
    batch = data.splits["train"].tensors
    normal = batch[1] == 0
    loss = model.step(batch)["loss"]
    alone = model.step(tuple(part[normal] for part in batch))["loss"]
    torch.testing.assert_close(loss, alone)
    none = model.step(tuple(part[~normal] for part in batch))["loss"]
    assert none.item() == 0


def test_flagged_beats_are_as_rare_among_normal_ones_as_asked(taught):
    model, data = taught
    x, y, *rest = data.splits["val"].tensors
    with torch.no_grad():
        symbols, sure = model.classify_beats(BeatInputs(x, *rest[:-1]))
    flagged = np.array(symbols) == "Q"
    assert flagged[y.numpy() == 0].mean() == pytest.approx(model.hparams["flagged"], abs=0.03)
    assert flagged[y.numpy() > 0].mean() > 0.9
    assert ((sure >= 0) & (sure <= 1)).all()
    assert (sure[flagged] > 1 - model.hparams["flagged"]).all()


def test_a_recording_is_annotated(taught):
    model, _ = taught
    found = model.annotate(np.random.default_rng(0).normal(0, 1, (3_000, 2)), 250, r_peaks=[300, 600, 900])
    assert set(found.symbol) <= {"N", "Q"}
    assert len(found.probability) == 3


def test_levels_are_kept_with_the_weights(taught, tmp_path):
    model, data = taught
    save_weights("own", "ecg_autoencoder", model, tmp_path)
    again = load_weights("own", tmp_path)
    assert torch.equal(again.net.quantiles, model.net.quantiles)
    assert (again.net.quantiles.diff() >= 0).all()
    x, _, *rest = data.splits["test"].tensors
    with torch.no_grad():
        beats = BeatInputs(x, *rest[:-1])
        assert "Q" in again.classify_beats(beats)[0]
        assert (
            sum(a != b for a, b in zip(again.classify_beats(beats)[0], model.classify_beats(beats)[0])) <= 2
        )  # half precision


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"flagged": 0.0}, "flagged must be in"),
        ({"start": 90, "stop": 80}, "expected 0 <= start < stop <= 256"),
        ({"latent_dim": 0}, "at least 1"),
    ],
)
def test_wrong_settings_are_refused(args, message):
    with pytest.raises(ValueError, match=message):
        zoo.create_model("ecg_autoencoder", **args)


# ---- pictures of a classifier ----


def test_classifier_logs_its_pictures(tmp_path):
    model = zoo.create_model("ecg_classifier", num_classes=5)
    logger = TensorBoardLogger(tmp_path, name="", version="run")
    quiet_trainer(max_epochs=2, logger=logger, callbacks=[Beats(shown=3, examined=4)]).fit(model, tiny_data(model))
    events = EventAccumulator(str(tmp_path / "run"), size_guidance={"images": 0})
    events.Reload()
    assert set(events.Tags()["images"]) == {"confusion", "precision_recall", "mistakes", "saliency"}
    assert len(events.Images("confusion")) == 2


def test_a_validation_alone_logs_its_pictures(tmp_path):
    model = zoo.create_model("ecg_classifier", smoothing_bandwidth=0.05)
    logger = TensorBoardLogger(tmp_path, name="", version="run")
    quiet_trainer(logger=logger, callbacks=[Beats(shown=3, examined=4)]).validate(model, tiny_data(model))
    events = EventAccumulator(str(tmp_path / "run"), size_guidance={"images": 0})
    events.Reload()
    assert set(events.Tags()["images"]) == {"confusion", "precision_recall", "mistakes", "saliency"}


def test_no_more_beats_are_examined_than_asked_for():
    model, pictures = zoo.create_model("ecg_classifier").eval(), Beats(examined=8)
    data = tiny_data(model)
    data.setup("fit")
    batch = next(iter(data.val_dataloader()))
    for batch_idx in range(20):
        pictures.collect(model, batch, batch_idx)
    assert {sum(len(part.x) for part in parts) for parts in pictures._chosen.values()} <= {0, 8}
    assert any(pictures._chosen.values())


def test_the_kept_beats_do_not_follow_later_changes_of_a_batch():
    pictures, n = Beats(examined=0), 4
    batch = [torch.ones(n, 1, 256), torch.zeros(n, dtype=torch.long), torch.ones(n, 18), torch.ones(n, 4)]
    batch += [torch.ones(n, 1), torch.ones(n, 1, 256), torch.ones(n, 4, 1, 256), torch.ones(n, dtype=torch.long)]
    pictures.collect(zoo.create_model("ecg_classifier"), batch, 0)
    for part in batch:
        part.zero_()
    assert all((part == 1).all() for part in pictures._drawn[0])


def test_mistakes_are_those_of_the_evaluation():
    pictures, n = Beats(shown=2), 6
    record, x = torch.arange(100, 100 + n), torch.arange(float(n))[:, None, None].expand(n, 1, 256)
    for part in (slice(0, 4), slice(4, n)):
        pictures._drawn.append((x[part], torch.zeros(n, 4, 1, 256)[part], torch.ones(n, 18)[part], record[part]))
    y = torch.tensor([0, 0, 2, 0, 1, 4])
    probabilities = torch.full((n, 5), 0.02)
    for row, (found, sure) in enumerate([(0, 0.9), (2, 0.6), (1, 0.7), (3, 0.5), (1, 0.9), (0, 0.9)]):
        probabilities[row, found] = sure
    found = pictures._mistakes(probabilities, y)
    assert [strip["title"] for strip in found] == [
        "record 102: V predicted as S (probability 0.70)",
        "record 101: N predicted as V (probability 0.60)",
    ]
    assert [strip["x"][0, 0].item() for strip in found] == [2, 1]


def test_pictures_of_nothing_are_drawn():
    none = {name: [] for name in "NSVF"}
    for figure in (
        confusion(torch.zeros(6, 6, dtype=torch.long)),
        precision_recall(torch.full((4, 5), 0.2), torch.zeros(4, dtype=torch.long)),
        beat_strips([], 180, 8),
        saliency(none, none, 180),
    ):
        figure.canvas.draw()


def test_neighbours_are_drawn_at_their_time():
    rr = torch.tensor([0.0] * 6 + [0.8, 0.5] + [1.1, 0.9] + [0.0] * 6 + [0.8, 0.8])
    beat = {"title": "one", "x": torch.zeros(2, 256), "around": torch.zeros(4, 2, 256), "rr": rr}
    axes = beat_strips([beat], 180, 8).axes[0]
    starts = sorted(line.get_xdata()[0] + 96 / 180 for line in axes.lines if len(line.get_xdata()) == 256)
    assert starts == pytest.approx([-1.3, -0.5, 0, 1.1, 2.0], abs=1e-5)
