"""Atrial fibrillation from intervals, and what it and unreadable leads change in annotated recordings."""

import numpy as np
import pytest
import torch
from test_ecg_detection import FS, heart

import zoo
from datamodules.ecg.signal_quality import assess_quality
from zoo.nn.atrial_fibrillation import MIN_SECONDS, find_fibrillation, irregularity
from zoo.tasks.ecg_annotation import Annotation, choose_leads, readable_leads
from zoo.tasks.ecg_classification import no_premature_beats


def beats_of(intervals):
    return np.cumsum(np.asarray(intervals)), np.zeros(len(intervals), bool)


def rhythm(kind, n=300, seed=0):
    """Make up intervals in seconds, and whether each beat is ventricular."""
    draw = np.random.default_rng(seed)
    sinus = 0.8 * np.exp(0.05 * np.sin(np.arange(n) / 2) + draw.normal(0, 0.01, n))
    ventricular = np.zeros(n, bool)
    if kind == "fibrillation":
        return np.cumsum(np.maximum(0.35, 0.7 * np.exp(draw.normal(0, 0.22, n)))), ventricular
    if kind == "rare atrial beats":
        early = np.arange(7, n - 1, 9)
        sinus[early], sinus[early + 1] = 0.55, 0.95
    if kind in ("ventricular bigeminy", "ventricular trigeminy"):
        early = np.arange(5, n - 1, 2 if kind == "ventricular bigeminy" else 3)
        ventricular[early] = True
        sinus[early], sinus[early + 1] = 0.5, 1.1
    if kind == "frequent ventricular beats":
        ventricular = draw.random(n) < 0.3
        sinus[ventricular] *= draw.uniform(0.5, 0.9, ventricular.sum())
        after = np.roll(ventricular, 1)
        sinus[after] *= draw.uniform(1.1, 1.5, after.sum())
    if kind == "drifting rate":
        sinus *= np.linspace(0.6, 1.4, n)
    return np.cumsum(sinus), ventricular


@pytest.mark.parametrize("seed", range(5))
def test_irregular_intervals_are_fibrillation(seed):
    assert find_fibrillation(*rhythm("fibrillation", seed=seed)).mean() > 0.75


REGULAR = ["sinus", "rare atrial beats", "ventricular bigeminy", "ventricular trigeminy", "frequent ventricular beats"]


@pytest.mark.parametrize("kind", [*REGULAR, "drifting rate"])
@pytest.mark.parametrize("seed", range(3))
def test_other_rhythms_are_not(kind, seed):
    assert not find_fibrillation(*rhythm(kind, seed=seed)).any()


def test_an_episode_is_found_where_it_is():
    first, last = np.diff(rhythm("sinus")[0], prepend=0), np.diff(rhythm("sinus", seed=1)[0], prepend=0)
    middle = np.diff(rhythm("fibrillation", seed=2)[0], prepend=0)
    found = find_fibrillation(*beats_of(np.concatenate([first, middle, last])))
    assert found[340:560].mean() > 0.95
    assert not found[:260].any()
    assert not found[640:].any()


def test_no_episode_is_shorter_than_its_definition():
    seconds, ventricular = rhythm("fibrillation", n=300)
    assert not find_fibrillation(seconds * MIN_SECONDS / (1.01 * np.ptp(seconds)) * 1.0, ventricular).any()
    for n in (0, 1, 2, 10):
        assert find_fibrillation(seconds[:n], ventricular[:n]).tolist() == [False] * n


def test_all_beats_ventricular_leave_nothing_to_judge_by():
    seconds, _ = rhythm("fibrillation")
    features, count = irregularity(seconds, np.ones(len(seconds), bool))
    assert not features.any()
    assert not count.any()


def test_the_probability_of_s_goes_to_n():
    values = torch.tensor([[0.2, 0.5, 0.1, 0.1, 0.1], [0.2, 0.5, 0.1, 0.1, 0.1], [0.1, 0.2, 0.6, 0.1, 0.0]])
    moved = no_premature_beats(values, torch.tensor([True, False, True]))
    assert torch.allclose(moved.sum(1), torch.ones(3))
    assert moved[0].tolist() == pytest.approx([0.7, 0, 0.1, 0.1, 0.1])
    assert torch.equal(moved[1], values[1])
    assert moved.argmax(1).tolist() == [0, 1, 2]
    model = zoo.create_model("ecg_classifier", class_names=list("NSVFQ"))
    before = Annotation(np.arange(3), ["S", "S", "V"], values.max(1).values.numpy(), values.numpy())
    assert model.in_rhythm(before) is before
    after = model.in_rhythm(before._replace(fibrillation=np.array([True, False, True])))
    assert after.symbol == ["N", "S", "V"]
    assert after.probability.tolist() == pytest.approx([0.7, 0.5, 0.6])


def test_fibrillation_in_a_recording_is_annotated_and_has_no_s():
    draw = np.random.default_rng(0)
    times = np.cumsum(np.maximum(0.4, 0.75 * np.exp(draw.normal(0, 0.25, 200))))
    t = np.arange(int((times[-1] + 1) * FS)) / FS
    signal = draw.normal(0, 0.01, (len(t), 2))
    for time in times:
        signal += 1.2 * np.exp(-(((t - time) / 0.012) ** 2) / 2)[:, None]
    found = zoo.create_model("ecg_classifier.mitbih", pretrained=True).annotate(signal.astype(np.float32), FS)
    assert found.fibrillation.mean() > 0.9
    assert "S" not in np.array(found.symbol)[found.fibrillation]
    assert found.probabilities.sum(1) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("lead", [0, 1])
def test_beats_have_their_class_by_the_lead_that_can_be_read(lead):
    signal, beats = heart(seconds=120)
    model = zoo.create_model("ecg_classifier.mitbih", pretrained=True)
    whole = model.annotate(signal, FS, beats)
    assert whole.symbol.count("V") == len(beats) // 12
    signal[len(signal) // 2 :, lead] = 0
    half = model.annotate(signal, FS, beats)
    assert half.symbol == whole.symbol
    assert set(half.quality.faults[70:, lead].tolist()) == {2}


def test_leads_are_chosen_by_name_and_by_what_can_be_read():
    signal, beats = heart(leads=(1.0, 0.8, 0.9))
    names = ["V1", "Lead II", "V5"]
    assert choose_leads(names, assess_quality(signal, FS)) == [1, 0]
    signal[: 50 * FS, 1] = np.nan
    quality = assess_quality(signal, FS)
    assert choose_leads(names, quality) == [0, 2]
    assert choose_leads(["II"], assess_quality(signal[:, :1], FS)) == [0, 0]
    readable = readable_leads(quality, beats, FS)
    assert readable[:, 0].all()
    assert not readable[beats < 49 * FS, 1].any()
    assert readable[beats > 51 * FS, 1].all()
