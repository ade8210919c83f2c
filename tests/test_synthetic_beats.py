"""Made-up rhythms: what their beats are like, and that nothing of a validation patient is in them."""

import numpy as np
import pytest
import torch

from datamodules.ecg import rhythm_simulation as simulated_rhythms
from datamodules.ecg.beats import AFTER, BEFORE, Beats
from datamodules.ecg.rhythm_simulation import BEATS_PER_HEART, MAX_INTERVAL, MIN_INTERVAL, N, S, V, synthetic_hearts
from datamodules.ecg.rr_intervals import AROUND, surrounding_intervals
from datamodules.ecg.synthetic_beats import P_WAVE, WARM_UP_BEATS, intervals_of, remove_p_wave, synthesize_beats


def only(kind, monkeypatch):
    monkeypatch.setattr(simulated_rhythms, "KIND_PROBABILITIES", {kind: 1.0})
    return synthetic_hearts(20, seed=0)


def intervals(hearts):
    """Return the intervals up to all beats but the first of each heart, and the rows of these beats."""
    rows = np.flatnonzero(np.diff(hearts.heart, prepend=-1) == 0)
    return np.diff(hearts.position, prepend=0)[rows], rows


def test_the_same_seed_gives_the_same_hearts():
    first, again, other = synthetic_hearts(6, 1), synthetic_hearts(6, 1), synthetic_hearts(6, 2)
    assert all(np.array_equal(a, b) for a, b in zip(first, again))
    assert not np.array_equal(first.position, other.position)
    assert len(first.label) == 6 * BEATS_PER_HEART
    assert set(np.unique(first.label)) <= {N, S, V}
    gaps, _ = intervals(first)
    assert gaps.min() >= MIN_INTERVAL - 1e-9
    assert gaps.max() <= MAX_INTERVAL + 1e-9


def test_every_kind_is_drawn():
    hearts = synthetic_hearts(150, 0)
    share = hearts.fibrillates.mean()
    assert share == pytest.approx(simulated_rhythms.KIND_PROBABILITIES["fibrillation"], abs=0.08)
    counts = np.bincount(hearts.label, minlength=3)
    assert counts.min() > 1_000


def test_premature_beats_are_early(monkeypatch):
    for kind, ectopic in (("early_atrial", S), ("ventricular", V)):
        hearts = only(kind, monkeypatch)
        gaps, rows = intervals(hearts)
        label = hearts.label[rows]
        for heart in range(20):
            mine = hearts.heart[rows] == heart
            if (label[mine] == ectopic).sum() > 5:
                assert np.median(gaps[mine & (label == ectopic)]) < 0.95 * np.median(gaps[mine & (label == N)])
        assert not (label == (V if ectopic == S else S)).any()
        assert not hearts.fibrillates.any()


def test_some_hearts_beat_mostly_ectopically(monkeypatch):
    hearts = only("mostly_ectopic", monkeypatch)
    assert (hearts.label == S).mean() > 0.6


def test_fibrillation_is_irregular_and_sinus_rhythm_is_not(monkeypatch):
    spread = {}
    for kind in ("fibrillation", "sinus"):
        hearts = only(kind, monkeypatch)
        gaps, rows = intervals(hearts)
        following = np.diff(hearts.heart[rows]) == 0
        spread[kind] = np.median(np.abs(np.diff(np.log(gaps)))[following])
        assert hearts.fibrillates.all() == (kind == "fibrillation")
        assert not (hearts.label == S).any()
    assert spread["fibrillation"] > 3 * spread["sinus"]


@pytest.fixture
def beats():
    """Three records of made-up beats; windows say whose they are and which."""
    draw = np.random.default_rng(0)
    n = 900
    record = np.repeat(np.arange(3), n // 3)
    rr = np.concatenate([surrounding_intervals(np.cumsum(draw.integers(200, 400, n // 3)), 360) for _ in range(3)])
    window = np.zeros((n, 2, BEFORE + AFTER), np.int16)
    window += np.arange(n, dtype=np.int16)[:, None, None]
    window[..., BEFORE - 30] = 5_000  # a P wave
    nothing = np.zeros((3, 2))
    label = np.where(draw.random(n) < 0.3, np.where(draw.random(n) < 0.5, S, V), N)
    names = np.array([101, 102, 103])
    return Beats(window, label, rr, np.zeros((n, 24), np.float32), record, np.arange(n), names, nothing, nothing)


def test_beats_stand_in_made_up_rhythms(beats):
    rows = np.flatnonzero(beats.record != 1)
    made = synthesize_beats(beats, rows, hearts=8, seed=0)
    again = synthesize_beats(beats, rows, hearts=8, seed=0)
    assert all(np.array_equal(a, b) for a, b in zip(made, again))
    assert np.isin(made.number, rows).all()  # nothing of the record that was not given
    assert np.array_equal(beats.label[made.number], made.label)
    most = 8 * (BEATS_PER_HEART - WARM_UP_BEATS - AROUND - 1)
    assert most >= len(made.label) > 0.9 * most
    kind = (made.record - beats.record[made.number]) // 3
    assert set(kind.tolist()) == {1, 2}
    same = kind == 1
    assert np.array_equal(made.window[same], beats.window[made.number[same]])
    assert made.window[~same][..., P_WAVE].max() < 5_000  # fibrillation has no P wave
    assert (made.rr[:, : 2 * AROUND] > 0).all()
    near = np.log(beats.rr[made.number][:, AROUND - 1 : AROUND + 1] / made.rr[:, AROUND - 1 : AROUND + 1])
    usual = np.log(beats.rr[rows][:, AROUND - 1 : AROUND + 1].clip(0.2) / 0.8)
    assert np.median(np.abs(near)) < 0.5 * np.median(np.abs(usual))  # windows of beats in a like place
    assert beats.window[..., BEFORE - 30].min() == 5_000  # what is drawn from stays as it is


def test_rhythms_of_two_hearts_do_not_mix():
    hearts = synthetic_hearts(3, 0)
    rr, rhythm = intervals_of(hearts)
    alone, _ = intervals_of(synthetic_hearts(1, 0))
    assert np.array_equal(rr[:BEATS_PER_HEART], alone)
    assert rhythm.shape == (3 * BEATS_PER_HEART, 24)
    assert not rr[BEATS_PER_HEART, :AROUND].any()  # a heart's first beat has none before it


def test_a_class_that_no_row_has_is_left_out(beats):
    made = synthesize_beats(beats, np.flatnonzero(beats.label == N)[:5], hearts=4, seed=0)
    assert set(made.label.tolist()) == {N}


def test_p_wave_becomes_a_straight_line():
    windows = np.random.default_rng(0).normal(size=(4, 2, BEFORE + AFTER)).astype(np.float32)
    flat = remove_p_wave(windows)
    assert np.abs(np.diff(flat[..., P_WAVE], 2)).max() < 1e-6
    outside = np.delete(np.arange(BEFORE + AFTER), np.arange(P_WAVE.start + 1, P_WAVE.stop - 1))
    assert np.allclose(flat[..., outside], windows[..., outside])
    assert P_WAVE.stop <= BEFORE - 10  # the QRS complex stays
    assert torch.from_numpy(remove_p_wave(windows.astype(np.int16))).dtype == torch.int16
