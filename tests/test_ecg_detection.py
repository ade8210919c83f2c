"""Detection of beats in recordings as people have them: faults of leads, wide beats, large T waves, any rate."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

from ecg_faults import FAULTS

from datamodules.ecg.false_beats import drop_noise
from datamodules.ecg.qrs_detection import detect_qrs
from datamodules.ecg.signal_quality import FAULTS as CODES
from datamodules.ecg.signal_quality import assess_quality, runs

FS = 250


def heart(seconds=60.0, fs=FS, interval=0.78, every=12, width=0.04, wave=0.3, leads=(1.0, 0.8), seed=0, jitter=0.02):
    """Make up a recording in which every n-th beat is a wide premature one without a P wave, none if ``every`` is 0."""
    draw = np.random.default_rng(seed)
    time, beats = interval, []
    while time < seconds - interval:
        early = every and (len(beats) + 1) % every == 0
        time -= 0.35 * interval * bool(early)
        beats.append((time, bool(early)))
        time += interval * (1 + 0.35 * bool(early)) * draw.uniform(1 - jitter, 1 + jitter)
    t = np.arange(int(seconds * fs)) / fs
    signal = draw.normal(0, 0.01, (len(t), len(leads)))
    for beat, early in beats:
        normal = ((-0.17, 0.025, 0.12), (0.0, 0.012, 1.2), (0.28, 0.05, wave))
        for centre, spread, height in ((0.0, width, 1.46), (0.3, 0.06, -0.35)) if early else normal:
            signal += height * np.exp(-(((t - beat - centre) / spread) ** 2) / 2)[:, None] * np.array(leads)
    return signal.astype(np.float32), np.rint(np.array([beat for beat, _ in beats]) * fs).astype(np.int64)


def missed_and_extra(found, true, fs=FS, apart=None):
    """Return the beats without a detection within 0.1 s and the other way round, outside a mask widened by a second."""
    near = np.abs(found[:, None] - true[None]) < 0.1 * fs
    missed, extra = true[~near.any(0)], found[~near.any(1)]
    if apart is not None and apart.any():
        faulty = np.flatnonzero(apart)
        missed, extra = (x[[np.abs(faulty - k).min() > fs for k in x.tolist()]] for x in (missed, extra))
    return len(missed), len(extra)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_costs_no_beat_elsewhere(name):
    signal, beats = heart(seconds=120)
    faulty, mask = FAULTS[name](signal, FS)
    missed, extra = missed_and_extra(detect_qrs(faulty, FS), beats, apart=mask)
    assert missed <= 1
    assert extra <= 2


@pytest.mark.parametrize("place", [0.0, 0.3, 1.3, 30, 59])
@pytest.mark.parametrize("height", [-15, -3, 3, 8, 100])
def test_a_pulse_anywhere_costs_no_beat_elsewhere(place, height):
    signal, beats = heart()
    mask = np.zeros(len(signal), bool)
    mask[int(place * FS) : int(place * FS) + 10] = True
    signal[mask] += height
    missed, extra = missed_and_extra(detect_qrs(signal, FS), beats, apart=mask)
    assert missed <= 1
    assert extra == 0


@pytest.mark.parametrize("fill", [0.0, 5.12, -5.12, np.nan, "noise", "hum"])
@pytest.mark.parametrize("lead", [0, 1])
@pytest.mark.parametrize("part", [slice(0, 0.5), slice(0.5, 1), slice(0.2, 0.4), slice(0, 1)])
def test_where_one_lead_is_off_the_other_one_counts(fill, lead, part):
    signal, beats = heart(seconds=90)
    rows = slice(int(part.start * len(signal)), int(part.stop * len(signal)))
    t = np.arange(len(signal))[rows] / FS
    draw = np.random.default_rng(1)
    other = {"noise": draw.normal(0, 0.4, len(t)), "hum": 0.4 * np.sin(2 * np.pi * 50 * t)}.get(fill, fill)
    signal[rows, lead] = other
    missed, extra = missed_and_extra(detect_qrs(signal, FS), beats)
    assert missed <= 2
    assert extra <= 2


def test_of_many_leads_those_that_can_be_read_count():
    signal, beats = heart(leads=np.linspace(1, 0.5, 12))
    signal[len(signal) // 3 :, :6] = np.nan
    missed, extra = missed_and_extra(detect_qrs(signal, FS), beats)
    assert missed <= 1
    assert extra <= 1


@pytest.mark.parametrize("every", [0, 2, 3, 4, 12])
@pytest.mark.parametrize("wave", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("width", [0.02, 0.04])
def test_wide_beats_count_and_t_waves_do_not(every, wave, width):
    signal, beats = heart(every=every, wave=wave, width=width)
    missed, extra = missed_and_extra(detect_qrs(signal, FS), beats)
    assert missed <= 1
    assert extra <= 1


@pytest.mark.parametrize("fs", [61, 100, 128, 257.3, 500, 1000, 2000])
@pytest.mark.parametrize("interval", [0.35, 0.6, 1.0, 1.6])
def test_any_rate_of_samples_and_beats(fs, interval):
    signal, beats = heart(seconds=40, fs=fs, interval=interval, every=0, wave=0.1)
    missed, extra = missed_and_extra(detect_qrs(signal, fs), beats, fs)
    assert missed <= 1
    assert extra <= 1


def bursts(signal, beats, count, size, seconds=0.02):
    """Return a signal with bursts between some beats, ``count`` in a row: up and down again, as no beat is."""
    t = np.arange(len(signal))[:, None] / FS
    faulty, places = signal.copy(), []
    for k in range(6, len(beats) - 6, 9):
        for step in range(1, count + 1):
            at = beats[k] + step * (beats[k + 1] - beats[k]) // (count + 1)
            faulty += size * -(t - at / FS) / seconds * np.exp(0.5 - ((t - at / FS) / seconds) ** 2 / 2)
            places.append(at)
    return faulty, np.array(places)


@pytest.mark.parametrize("count", [1, 2])
def test_a_burst_unlike_the_beats_on_either_side_is_none(count):
    signal, beats = heart(seconds=120, every=0, leads=(1.0,), interval=1.1)
    faulty, places = bursts(signal, beats, count, 0.35)
    found = detect_qrs(faulty, FS)
    assert missed_and_extra(found, beats) == missed_and_extra(detect_qrs(signal, FS), beats)
    everything = np.sort(np.concatenate([beats, places]))
    kept = drop_noise(everything, faulty, FS, assess_quality(faulty, FS), [0])
    assert np.array_equal(kept, beats)  # though the bursts were found


def test_a_large_or_similar_wave_between_two_beats_is_one():
    signal, beats = heart(seconds=120, every=0, leads=(1.0,), interval=1.1)
    quality = assess_quality(signal, FS)
    for faulty, places in (
        bursts(signal, beats, 1, 2.0),  # larger than the beats, as an interpolated ventricular beat is
        (np.maximum(signal, 0.8 * np.roll(signal, round(0.5 * FS), axis=0)), beats[:-1] + round(0.5 * FS)),
    ):
        everything = np.sort(np.concatenate([beats, places]))
        assert np.array_equal(drop_noise(everything, faulty, FS, quality, [0]), everything)


@pytest.mark.parametrize("scale", [-1, 0.05, 20])
def test_polarity_and_scale_do_not_matter(scale):
    signal, beats = heart()
    assert missed_and_extra(detect_qrs(scale * signal, FS), beats) <= (1, 1)


def test_a_pause_is_kept():
    signal, beats = heart(every=0)
    gap = slice(beats[30] - 60, beats[34] - 60)
    signal[gap] = np.random.default_rng(0).normal(0, 0.01, signal[gap].shape)
    found = detect_qrs(signal, FS)
    assert missed_and_extra(found, np.delete(beats, range(30, 34))) == (0, 0)


@pytest.mark.parametrize("seconds", [2, 20, 60, 300])
@pytest.mark.parametrize("place", [0, 30, 60])
def test_noise_in_which_the_heart_is_silent_has_no_beats(seconds, place):
    signal, beats = heart(leads=(1.0,), every=0)
    silence = np.random.default_rng(1).normal(0, 0.01, (seconds * FS, 1)).astype(np.float32)
    found = detect_qrs(np.insert(signal, [place * FS] * len(silence), silence, axis=0), FS)
    late = beats + len(silence) * (beats >= place * FS)
    # Beats that are cut in two where the silence begins or ends do not count.
    apart = np.zeros(len(signal) + len(silence), bool)
    apart[[max(0, place * FS - 1), min(len(apart) - 1, place * FS + len(silence))]] = True
    assert missed_and_extra(found, late, apart=apart) == (0, 0)


@pytest.mark.parametrize("value", [0, 3, np.nan])
def test_no_heart_has_no_beats(value):
    assert not len(detect_qrs(np.full((60 * FS, 2), value, np.float32), FS))


def test_faults_are_named_by_second_and_lead():
    signal, _ = heart(seconds=30)
    signal[5 * FS : 8 * FS, 0] = np.nan
    signal[10 * FS : 14 * FS, 0] = 0.3
    signal[16 * FS : 17 * FS, 0] = 9
    signal[20 * FS : 22 * FS, 1] += np.random.default_rng(0).normal(0, 0.5, 2 * FS)
    signal[25 * FS : 25 * FS + 5, 1] += 30
    quality = assess_quality(signal, FS)
    names = np.array(CODES)[quality.faults]
    assert set(names[5:8, 0]) == {"missing"}
    assert set(names[10:14, 0]) == {"flat"}
    assert names[16, 0] == "saturated"
    assert set(names[20:22, 1]) == {"noise"}
    assert names[25, 1] == "artefact"
    assert (quality.faults != 0).sum() == 3 + 4 + 1 + 2 + 1
    assert quality.usable.all()
    assert quality.amplitude == pytest.approx([1.2, 1.0], abs=0.2)


def test_runs():
    mask = np.array([1, 0, 1, 1, 0, 1, 1, 1], bool)
    assert runs(mask, 3).tolist() == [False] * 5 + [True] * 3
    assert runs(np.ones(2, bool), 3).all()
