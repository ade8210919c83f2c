"""Beat classifiers: what they see, records of any kind in, annotations out."""

import csv

import numpy as np
import pytest
import torch
from conftest import quiet_trainer, tiny_batch, tiny_data, tiny_inputs
from matplotlib.image import imread

import zoo
from datamodules.ecg.false_beats import drop_waves
from datamodules.ecg.qrs_detection import detect_qrs
from datamodules.ecg.records import read_record
from datamodules.splits import Split
from zoo.cli import main
from zoo.nn.ecg import augment_beats, correlation, relative_rhythm, relative_rhythm_dim, segment_correlations
from zoo.nn.kernel_smoothing import BLOCK_SIZE, shape_features, smooth_over_similar_beats, timing_features
from zoo.prediction import ecg as annotating
from zoo.recipes import Recipe, load_recipe
from zoo.tasks.ecg_annotation import Annotation, beat_inputs, check_peaks
from zoo.tasks.ecg_classification import beat_weights

wfdb = pytest.importorskip("wfdb")
FS = 360


def heart(seconds=30.0, fs=FS, rate=72.0, leads=2, early=(), noise=0.01):
    """Make up a recording: a bump for P, QRS and T at each beat; beats whose numbers are ``early`` come too soon."""
    draw = np.random.default_rng(0)
    gap = 60 / rate
    times = [gap]
    while times[-1] + gap < seconds - gap:
        number = len(times)
        times.append(times[-1] + (0.6 * gap if number in early else 1.4 * gap if number - 1 in early else gap))
    peaks = np.rint(np.array(times) * fs).astype(np.int64)
    t = np.arange(int(seconds * fs)) / fs
    signal = draw.normal(0, noise, (len(t), leads))
    for number, peak in enumerate(times):
        for centre, width, height in ((-0.17, 0.025, 0.12 * (number not in early)), (0, 0.012, 1.2), (0.28, 0.05, 0.3)):
            near = slice(int(max(0, (peak + centre - 0.3) * fs)), int((peak + centre + 0.3) * fs))
            signal[near] += height * np.exp(-(((t[near] - peak - centre) / width) ** 2) / 2)[:, None]
    return signal.astype(np.float32), peaks


@pytest.fixture(scope="module")
def model():
    """A classifier that has seen made-up batches, so that its statistics are some."""
    torch.manual_seed(0)
    model = zoo.create_model("ecg_classifier", class_names=list("NSVFQ"))
    quiet_trainer(max_epochs=2, limit_val_batches=0).fit(model, tiny_data(model))
    return model.eval()


# ---- what the network sees ----


def test_rhythm_does_not_depend_on_the_heart_rate():
    rr = torch.rand(20, 18) + 0.5
    slow, fast = relative_rhythm(2 * rr, 8), relative_rhythm(rr, 8)
    seconds = [9, 34, 35]  # the recent mean, and the intervals beside the beat
    others = [k for k in range(36) if k not in seconds]
    assert slow.shape == (20, relative_rhythm_dim(8)) == (20, 36)
    torch.testing.assert_close(slow[:, others], fast[:, others])
    assert (slow - fast)[:, seconds].abs().min() > 0.4
    torch.testing.assert_close(fast[:, 7], (rr[:, 7] / rr[:, 17]).log())
    torch.testing.assert_close(fast[:, 8], (rr[:, 7] / rr[:, 6]).log())
    torch.testing.assert_close(fast[:, 28], (rr[:, 8] / rr[:, 7]).log())
    torch.testing.assert_close(fast[:, 31], (rr[:, 7] / rr[:, 16]).log())


def test_place_of_a_beat_in_its_rhythm_by_hand():
    rr = torch.full((1, 18), 0.8)
    rr[0, 7], rr[0, 8] = 0.4, 1.2
    found = relative_rhythm(rr, 8)[0]
    early, late = np.log(0.5), np.log(1.5)
    before = np.array([0.0] * 7 + [early])
    assert found[10:15].tolist() == pytest.approx([early, before.std(), 0.0, -early, 0.0], abs=1e-5)
    whole = np.array([0.0] * 7 + [early, late] + [0.0] * 7)
    assert found[23:28].tolist() == pytest.approx([early, whole.std(), 0.0, late - early, 0.0], abs=1e-5)


def test_causal_rhythm_looks_back_alone():
    rr = torch.rand(20, 18) + 0.5
    other = rr.clone()
    other[:, 8:17] = 3.0
    assert relative_rhythm(rr, 8, causal=True).shape == (20, relative_rhythm_dim(8, causal=True)) == (20, 15)
    assert torch.equal(relative_rhythm(rr, 8, causal=True), relative_rhythm(other, 8, causal=True))
    assert not torch.equal(relative_rhythm(rr, 8), relative_rhythm(other, 8))


def test_missing_intervals_say_nothing():
    for causal in (False, True):
        assert relative_rhythm(torch.zeros(3, 18), 8, causal).isfinite().all()
    rr = torch.full((1, 18), 0.8)
    rr[:, :7] = 0
    assert relative_rhythm(rr, 8)[0, :8].abs().max() < 1e-6


def test_likeness_is_the_correlation():
    x, template = torch.randn(5, 2, 40), torch.randn(5, 2, 40)
    found = correlation(x, template)
    assert found[2, 1].item() == pytest.approx(np.corrcoef(x[2, 1], template[2, 1])[0, 1], abs=1e-5)
    assert torch.equal(correlation(torch.ones(1, 2, 40), template[:1]), torch.zeros(1, 2))


def test_disturbances_are_as_strong_as_said():
    x, template, rr = torch.ones(20_000, 2, 8), 3 * torch.ones(20_000, 2, 8), torch.ones(20_000, 18)
    torch.manual_seed(0)
    other, usual, rhythm = augment_beats(x, template, rr, 1.0)
    kept, replaced = usual[:, 1, 0] > 0, usual[:, 0, 0] < 1.7
    assert usual[:, 0].min() > 0
    assert kept.float().mean().item() == pytest.approx(0.8, abs=0.02)
    assert replaced.float().mean().item() == pytest.approx(0.05, abs=0.01)  # by the beat itself
    assert not other[~kept, 1].any()
    assert usual[kept & ~replaced].log().std().item() == pytest.approx(0.15, abs=0.01)
    assert rhythm.log().std().item() == pytest.approx(0.05, abs=0.002)
    assert torch.equal(rhythm[:, :1].expand_as(rhythm), rhythm)
    assert (other - usual / 3)[kept & ~replaced].std().item() == pytest.approx(
        (0.05**2 / 2 + 0.015**2) ** 0.5, rel=0.15
    )
    for same, original in zip(augment_beats(x, template, rr, 0.0), (x, template, rr)):
        assert torch.equal(same, original)


def test_windows_are_moved_and_go_on_at_their_ends():
    x = torch.arange(256.0).expand(20_000, 2, 256) * 100
    torch.manual_seed(0)
    moved = augment_beats(x, x, torch.ones(20_000, 18), 1.0)[0][:, 0]
    gain = (moved[:, 200] - moved[:, 100]) / 10_000
    steps = moved[:, 128] / gain / 100 - 128
    assert steps.std().item() == pytest.approx(4, rel=0.05)
    far = steps.round() >= 6
    assert ((moved[far, -1] - moved[far, -5]) / gain[far]).abs().max() < 1.5  # the last sample, again and again


def test_parts_of_a_beat_are_compared_apart():
    x = torch.randn(5, 2, 256)
    other = x.clone()
    other[..., 45:75] += torch.randn(30)  # another P wave
    whole, p, qrs, t = segment_correlations(x, other).split(2, dim=1)
    assert torch.equal(whole, correlation(x, other))
    assert p.max() < 0.95
    torch.testing.assert_close(torch.cat([qrs, t]), torch.ones(10, 2))


def test_only_training_is_disturbed():
    model = zoo.create_model("ecg_classifier", augmentation=1.0)
    inputs = tiny_inputs(model)
    with torch.no_grad():
        assert not torch.equal(model(*inputs), model(*inputs))
        model.eval()
        assert torch.equal(model(*inputs), model(*inputs))
    with pytest.raises(ValueError, match="augmentation must be at least 0"):
        zoo.create_model("ecg_classifier", augmentation=-1.0)


def test_causal_network_sees_no_whole_record():
    causal = zoo.create_model("ecg_classifier", causal=True, compare=False).eval()
    x, _, rr, rhythm, amplitude, template, around, _ = tiny_batch(causal)
    with torch.no_grad():
        expected = causal(x, rr, rhythm, amplitude, template, around)
        later = rr.clone()
        later[:, 8:17] = 1.7
        assert torch.equal(causal(x, later, rhythm + 1, 3 * amplitude, template + 1, around), expected)
    with pytest.raises(ValueError, match="causal excludes the record's template beat"):
        zoo.create_model("ecg_classifier", causal=True)
    with pytest.raises(ValueError, match="causal cannot smooth over later beats"):
        zoo.create_model("ecg_classifier", causal=True, compare=False, smoothing_bandwidth=0.05)


def test_gain_and_baseline_make_no_difference(model):
    x, _, rr, rhythm, amplitude, template, around, _ = tiny_batch(model)
    amplitude = amplitude + 1
    with torch.no_grad():
        torch.testing.assert_close(
            model(2 * x + 0.3, rr, rhythm, 2 * amplitude, 2 * template, around),
            model(x, rr, rhythm, amplitude, template, around),
            atol=1e-4,
            rtol=1e-4,
        )


def test_beats_that_are_alike_share_what_that_tells():
    shapes = torch.tensor([[0.0, 0.0], [0.0, 0.0], [9.0, 9.0]])
    own = torch.tensor([[0.5, 0.2, 0.2, 0.1, 0.0], [0.1, 0.2, 0.4, 0.2, 0.1], [0.3, 0.3, 0.2, 0.1, 0.1]])
    apart = torch.tensor([[0.0, 0.0], [5.0, 5.0], [9.0, 9.0]])
    found = smooth_over_similar_beats(own.log().clamp_min(-50), shapes, apart, 0.05)
    expected = [[0.5 * 5 / 7, 0.5 * 2 / 7, 0.3, 0.15, 0.05], [0.5 / 3, 1 / 3, 0.3, 0.15, 0.05], own[2].tolist()]
    torch.testing.assert_close(found, torch.tensor(expected))
    found = smooth_over_similar_beats(own.log().clamp_min(-50), apart, shapes, 0.05)  # now timed alike
    s = (0.2 + 0.2) / (0.7 + 0.3)
    expected = [[0.7 * (1 - s), 0.7 * s, 0.2, 0.1, 0.0], [0.3 * (1 - s), 0.3 * s, 0.4, 0.2, 0.1], own[2].tolist()]
    torch.testing.assert_close(found, torch.tensor(expected))


def test_company_by_hand():
    z, t, scores = torch.randn(30, 8) * 0.1, torch.randn(30, 2) * 0.1, torch.randn(30, 5)
    p = scores.softmax(1)
    looks, times = ((-(part[:, None] - part).square().mean(2) / 0.02).exp() for part in (z, t))
    q = looks @ p / looks.sum(1, keepdim=True)
    either = q[:, 0] + q[:, 1]
    share = times @ p[:, 1] / (times @ (p[:, 0] + p[:, 1]))
    found = smooth_over_similar_beats(scores, z, t, 0.1)
    torch.testing.assert_close(found[:, 2:], q[:, 2:], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found[:, 1], either * share, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.sum(1), torch.ones(30))
    order = torch.randperm(30)
    torch.testing.assert_close(smooth_over_similar_beats(scores[order], z[order], t[order], 0.1), found[order])
    torch.testing.assert_close(
        smooth_over_similar_beats(scores, z, t, 1e-3), p, atol=1e-5, rtol=1e-4
    )  # nobody is like another
    for dtype in (torch.float64, torch.bfloat16):
        other = smooth_over_similar_beats(scores.to(dtype), z.to(dtype), t.to(dtype), 0.1)
        torch.testing.assert_close(other, found, atol=0.05, rtol=0.1)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(smooth_over_similar_beats(scores, z, t, 0.1), found)


def test_alone_or_without_any_beat_there_is_no_company():
    scores = torch.randn(1, 5)
    torch.testing.assert_close(
        smooth_over_similar_beats(scores, torch.randn(1, 8), torch.zeros(1, 2), 0.05), scores.softmax(1)
    )
    assert smooth_over_similar_beats(torch.zeros(0, 5), torch.zeros(0, 8), torch.zeros(0, 2), 0.05).shape == (0, 5)


def test_artefacts_are_no_company():
    shapes = shape_features(1e3 * torch.randn(20, 2, 256), torch.zeros(20, 2))
    assert shapes.abs().max() <= 8
    scores = torch.randn(20, 5)
    found = smooth_over_similar_beats(scores, shapes, torch.randn(20, 2) * 3, 0.05)
    torch.testing.assert_close(found, scores.softmax(1), atol=1e-4, rtol=1e-3)


def test_beats_are_compared_within_stretches():
    scores, same = torch.randn(BLOCK_SIZE + 2, 5), torch.zeros(BLOCK_SIZE + 2, 2)
    found = smooth_over_similar_beats(scores, same, same, 0.05)
    halves = [
        smooth_over_similar_beats(part, same[: len(part)], same[: len(part)], 0.05)
        for part in scores.split(BLOCK_SIZE // 2 + 1)
    ]
    torch.testing.assert_close(found, torch.cat(halves))
    assert (found[0, 2] - found[-1, 2]).abs() > 1e-6


def test_timing_is_that_of_the_intervals_beside():
    rr = torch.rand(20, 18) + 0.5
    expected = torch.stack([rr[:, 7] / rr[:, 17], rr[:, 8] / rr[:, 17]], 1).log()
    torch.testing.assert_close(timing_features(rr), expected)
    rr[:, 8] = 0
    assert not timing_features(rr)[:, 1].any()
    assert not timing_features(torch.zeros(3, 18)).any()


def test_shape_is_that_of_any_gain_and_baseline():
    x, amplitude = torch.randn(4, 2, 256), torch.rand(4, 2) + 0.5
    torch.testing.assert_close(
        shape_features(3 * x + 1, 3 * amplitude), shape_features(x, amplitude), atol=1e-4, rtol=1e-4
    )
    other = x.clone()
    other[..., :20] += torch.randn(20)
    assert shape_features(x, amplitude).shape == (4, 56)
    assert (shape_features(other, amplitude) - shape_features(x, amplitude)).abs().max() < 0.2  # but for the median


def with_records(model):
    """Return data whose records have nothing to do with the classes of their beats, and the test split's records."""
    data = tiny_data(model)
    data.setup()
    for name, split in data.splits.items():
        *parts, _ = split.tensors
        data.splits[name] = Split((*parts, 100 + torch.arange(len(parts[0])) % 3), split.groups)
    return data, data.splits["test"].tensors[-1]


def test_evaluation_shares_within_a_record_alone():
    torch.manual_seed(0)
    model = zoo.create_model("ecg_classifier", smoothing_bandwidth=100.0)  # all are alike
    data, record = with_records(model)
    quiet_trainer().test(model, data, verbose=False)
    found, y = model.metrics["test"]["ec57"].classified
    assert len(found) == len(record)
    assert torch.equal(y, data.splits["test"].tensors[1])
    by_itself = torch.cat(quiet_trainer().predict(model, data))
    for number in record.unique():
        own = found[record == number]
        torch.testing.assert_close(own, own[:1].expand_as(own), atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(own[0], by_itself[record == number].mean(0), atol=1e-4, rtol=1e-3)
    means = torch.stack([found[record == number].mean(0) for number in record.unique()])
    assert means.std(0).max() > 1e-5
    assert found[:, 2:].std(0).max() > 1e-5


def test_shape_and_timing_are_what_they_are_called(monkeypatch):
    model = zoo.create_model("ecg_classifier", smoothing_bandwidth=0.05)
    data, _ = with_records(model)
    seen = []
    monkeypatch.setattr(
        "zoo.tasks.ecg_classification.smooth_over_similar_beats",
        lambda s, z, t, width: seen.append((z, t, width)) or s.softmax(1),
    )
    quiet_trainer().test(model, data, verbose=False)
    model.annotate(*heart()[:1], FS)
    assert len(seen) == 4  # three records, and one more
    for shapes, timings, width in seen:
        assert shapes.shape[1:] == (56,)
        assert timings.shape[1:] == (2,)
        assert width == 0.05


def test_annotations_share_too():
    torch.manual_seed(0)
    model = zoo.create_model("ecg_classifier", compare=False, smoothing_bandwidth=0.0).eval()
    signal, peaks = heart(early=(5, 9, 10))
    alone = model.annotate(signal, FS, peaks)
    model.hparams["smoothing_bandwidth"] = 100.0
    assert not np.allclose(model.annotate(signal, FS, peaks).probability, alone.probability, atol=1e-5)


@pytest.mark.parametrize("value", [-0.1, 1e-200, float("inf")])
def test_width_is_a_distance(value):
    with pytest.raises(ValueError, match="smoothing_bandwidth must be 0 or at least"):
        zoo.create_model("ecg_classifier", smoothing_bandwidth=value)


def test_weights_of_classes_and_records():
    counts = torch.tensor([[30_000, 900, 4_000, 400, 8], [10_000, 100, 0, 0, 0]])
    weights = beat_weights(torch.tensor([5, 7]), counts, balance=0.5, patients=0.0)
    n = counts.sum()
    expected = [(n / 40_000) ** 0.5, (n / 1_000) ** 0.5, (n / 4_000) ** 0.5, (n / 400) ** 0.5, 0.0]
    torch.testing.assert_close(weights[0], torch.tensor(expected))
    assert torch.equal(weights[0, :2], weights[1, :2])
    even = beat_weights(torch.tensor([5, 7]), counts, balance=0.0, patients=1.0)
    torch.testing.assert_close((counts * even)[:, 1], torch.tensor([500.0, 500.0]))  # each record alike
    half = beat_weights(torch.tensor([5, 7]), counts, balance=0.0, patients=0.5)
    assert (half[1, 1] / half[0, 1]).item() == pytest.approx(3.0)
    assert (counts * half).sum(0)[:4].tolist() == pytest.approx([40_000, 1_000, 4_000, 400])


def test_training_weighs_and_evaluation_does_not(model):
    batch = tiny_batch(model)
    plain = model.eval().step(batch)["loss"]
    model.weighed_records, model.weights = torch.arange(100, 105), torch.rand(5, 5)
    torch.testing.assert_close(model.step(batch)["loss"], plain)
    with torch.no_grad():
        scores = model.train()(**model.network_inputs(beat_inputs(batch)))
    weight = model.weights[batch[-1] - 100, batch[1]]
    expected = (torch.nn.functional.cross_entropy(scores, batch[1], reduction="none") * weight).sum() / weight.sum()
    torch.testing.assert_close(model.loss(scores, batch[1], weight), expected)
    model.weights = torch.zeros(0, 5)
    model.eval()


def test_made_up_beats_are_weighed_apart():
    real, made = torch.tensor([[900, 100, 0, 0, 0]] * 2), torch.tensor([[300, 700, 0, 0, 0]] * 2)
    both = beat_weights(torch.tensor([-7, -5, 5, 7]), torch.cat([made, real]), 1.0, 0.0)
    assert torch.equal(both[2:], beat_weights(torch.tensor([5, 7]), real, 1.0, 0.0))
    assert both[0, :2].tolist() == pytest.approx([1 / 0.3, 1 / 0.7])
    assert both[2, :2].tolist() == pytest.approx([1 / 0.9, 10])


@pytest.mark.parametrize("name", ["balance", "patients"])
def test_exponents_are_shares(name):
    with pytest.raises(ValueError, match=f"{name} must be in"):
        zoo.create_model("ecg_classifier", **{name: 2.0})


def test_evaluation_gives_ec57(model):
    metrics = quiet_trainer().test(model, tiny_data(model), verbose=False)[0]
    assert {"test_macro_f1", "test_s_f1", "test_v_f1", "test_accuracy", "test_loss"} <= set(metrics)
    assert model.report().startswith("R peaks as annotated\n\ntrue \\ found")


# ---- use ----


@pytest.mark.parametrize("leads", [1, 2, 12])
@pytest.mark.parametrize("fs", [128, 250, 360, 1000])
def test_beats_of_any_rate_and_leads_are_found(model, fs, leads):
    signal, peaks = heart(fs=fs, leads=leads)
    found = model.annotate(signal, fs)
    near = np.abs(found.sample[:, None] - peaks).min(1) / fs
    assert abs(len(found.sample) - len(peaks)) <= 2
    assert (near < 0.15).mean() > 0.9
    assert set(found.symbol) <= set("NSVFQ")
    assert len(found.symbol) == len(found.sample) == len(found.probability)


def test_a_beat_that_one_lead_misses_is_found_in_the_other():
    signal, peaks = heart(seconds=40)
    weak = signal.copy()
    for peak in peaks[[10, 20, 21]]:
        weak[peak - 100 : peak + 160, 0] = 0
    alone, both = (detect_qrs(part, FS) for part in (weak[:, :1], weak))
    assert len(alone) <= len(peaks) - 3
    found = np.abs(both[:, None] - peaks).min(0) / FS < 0.05
    assert found[1:-1].all()
    assert len(both) <= len(peaks) + 1
    clean, single = detect_qrs(signal, FS), detect_qrs(signal[:, :1], FS)
    assert len(clean) == len(single)  # nothing is put in where nothing lacks
    assert (np.abs(clean - single) < 0.02 * FS).all()
    flat = signal * np.array([0, 1])
    assert np.array_equal(detect_qrs(flat, FS), detect_qrs(signal[:, 1:], FS))


def test_a_wave_close_to_a_steeper_one_is_no_beat():
    beats = np.arange(100, 4000, 300)
    waves = beats + int(0.25 * FS)
    both, steepness = np.sort(np.concatenate([beats, waves])), np.tile([1.0, 0.5], len(beats))
    assert np.array_equal(drop_waves(both, steepness, FS), beats)
    assert np.array_equal(drop_waves(both, np.tile([0.5, 1.0], len(beats)), FS), waves)
    assert np.array_equal(drop_waves(both, np.ones(len(both)), FS), both)  # as steep: very early beats
    for few in (beats[:0], beats[:1]):
        assert np.array_equal(drop_waves(few, np.ones(len(few)), FS), few)


def test_large_t_waves_are_no_beats():
    signal, peaks = heart(noise=0.01)
    t = np.arange(len(signal)) / FS
    for wave in (peaks + int(0.3 * FS)) / FS:
        signal += 1.5 * np.exp(-(((t - wave) / 0.05) ** 2) / 2)[:, None].astype(np.float32)
    found = detect_qrs(signal, FS)
    assert len(found) == len(peaks)
    assert (np.abs(found - peaks) < 0.05 * FS).all()


def test_given_peaks_get_one_symbol_each_in_order(model):
    signal, peaks = heart()
    found = model.annotate(signal, FS, r_peaks=peaks)
    assert np.array_equal(found.sample, peaks)
    assert len(found.symbol) == len(peaks)
    swapped = model.annotate(signal[:, ::-1], FS, r_peaks=peaks, leads=["V1", "MLII"])
    assert swapped.symbol == model.annotate(signal, FS, peaks, leads=["MLII", "V1"]).symbol
    edge = model.annotate(signal, FS, r_peaks=[0, len(signal) - 1])
    assert len(edge.symbol) == 2


@pytest.mark.parametrize("kind", ["flat", "nan", "gap", "short", "empty", "one lead flat", "integers"])
def test_odd_recordings_are_answered(model, kind):
    signal, peaks = heart()
    cases = {
        "flat": np.zeros_like(signal),
        "nan": np.full_like(signal, np.nan),
        "gap": np.where((np.arange(len(signal)) // 2_000 == 2)[:, None], np.nan, signal),
        "short": signal[: 5 * FS],
        "empty": signal[:0],
        "one lead flat": signal * [1, 0],
        "integers": np.rint(signal * 3).astype(int),
    }
    found = model.annotate(cases[kind], FS)
    assert np.isfinite(found.probability).all()
    if kind in ("flat", "nan", "empty"):
        assert not len(found.sample)
    else:
        assert len(found.sample) >= 4
    inside = peaks[peaks < len(cases[kind])]
    assert len(model.annotate(cases[kind], FS, inside).symbol) == len(inside)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"signal_mV": np.zeros((5, 2, 2)), "fs": FS}, "expected .samples, leads."),
        ({"signal_mV": np.zeros((900, 2)), "fs": 0}, "fs must be"),
        ({"signal_mV": np.zeros((900, 2)), "fs": FS, "leads": ["MLII"]}, "1 names of leads for a signal of 2"),
        ({"signal_mV": np.zeros((900, 2)), "fs": FS, "r_peaks": [5, 3]}, "must ascend"),
        ({"signal_mV": np.zeros((900, 2)), "fs": FS, "r_peaks": [900]}, "must ascend from 0 to 899"),
        ({"signal_mV": np.zeros((900, 2)), "fs": FS, "r_peaks": [0.5]}, "expected whole numbers"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(model, args, message):
    with pytest.raises(ValueError, match=message):
        model.annotate(**args)


def test_no_peaks_are_peaks_too():
    assert check_peaks([], 10).dtype == np.int64


# ---- files ----


@pytest.fixture
def record(tmp_path):
    signal, peaks = heart(early=(5, 9, 10))
    wfdb.wrsamp("r1", FS, ["mV"] * 2, ["MLII", "V1"], signal.astype(float), fmt=["16"] * 2, write_dir=str(tmp_path))
    wfdb.wrann("r1", "atr", peaks, ["N"] * len(peaks), fs=FS, write_dir=str(tmp_path))
    return tmp_path / "r1", signal, peaks


@pytest.fixture
def shipped(model, monkeypatch):
    """Take the small model for the one that is shipped."""
    monkeypatch.setattr("zoo.prediction.load_model", lambda recipe, path: (model, None))
    return model


def test_command_line_writes_what_other_tools_read(shipped, record, tmp_path, capsys):
    path, signal, peaks = record
    out = tmp_path / "out"
    assert main(["predict", "ecg_classifier.mitbih", str(path), "--annotator", "atr", "--output", str(out)]) == 0
    read = wfdb.rdann(str(out / "r1"), "zoo")
    expected = shipped.annotate(np.round(signal, 3), FS, peaks)
    beats = [k for k, symbol in enumerate(read.symbol) if symbol != "+"]  # the others mark the rhythm
    symbols = [read.symbol[k] for k in beats]
    assert np.array_equal(read.sample[beats], peaks)
    assert len(symbols) == len(expected.symbol)
    with open(out / "r1.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["sample"]) for row in rows] == peaks.tolist()
    assert [row["symbol"] for row in rows] == symbols
    assert all(float(row["probability"]) == max(float(row[f"p_{symbol}"]) for symbol in "NSVFQ") for row in rows)
    assert "Rhythm episodes" in (out / "r1.html").read_text()
    assert imread(out / "r1.png").std() > 0.01
    printed = capsys.readouterr().out
    assert "burden %" in printed
    assert annotating.CAUTION in printed
    assert main(["predict", "ecg_classifier.mitbih", str(path)]) == 0  # with detected beats, on the screen alone


def test_recording_without_beats_is_written_too(shipped, tmp_path):
    (tmp_path / "flat.csv").write_text("MLII,V1\n" + "0.0,0.0\n" * 2_000)
    arguments = ["predict", "ecg_classifier.mitbih", str(tmp_path / "flat.csv"), "--fs", "250"]
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 0
    assert len(wfdb.rdann(str(tmp_path / "out" / "flat"), "zoo").sample) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "no such record"),
        (["damaged"], "damaged"),
        (["flat.csv"], "fs"),
        (["r1", "--annotator", "qrs"], "qrs"),
        (["r1", "--output", "r1.hea"], "into a folder"),
    ],
)
def test_bad_files_get_one_line(shipped, record, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(record[0].parent)
    (record[0].parent / "damaged.hea").write_text("damaged x y\n")
    (record[0].parent / "flat.csv").write_text("0.0\n" * 900)
    assert main(["predict", "ecg_classifier.mitbih", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error


def test_summary_by_hand():
    found = Annotation(np.array([0, 360, 720, 900, 1080, 1800]), list("NNVVNS"), np.ones(6, np.float32))
    rows = {row["class"].split()[0].rstrip(","): row for row in annotating.beat_summary(found, 360, 3_600)}
    assert rows["V"] == {
        "class": "V ventricular", "beats": "2", "burden %": "33.33", "longest run": "2", "mean rate, 1/min": "80"
    }  # fmt: skip
    assert rows["all"]["beats"] == "6"
    assert rows["all"]["mean rate, 1/min"] == "60"
    assert rows["F"]["burden %"] == "0.00"
    runs = Annotation(np.arange(7), list("NVVVNVV"), np.ones(7, np.float32))
    assert [row["longest run"] for row in annotating.beat_summary(runs, 1, 7)] == ["1", "0", "3", "0", "0", ""]


def test_recipe_is_one(model):
    recipe = load_recipe("ecg_classifier.mitbih")
    assert isinstance(recipe, Recipe)
    assert sum(parameter.numel() for parameter in recipe.create_model(recipe.datamodule().spec).net.parameters()) < 3e5


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("time,MLII\n", "7,0.5\n"),
        ("time,MLII\n", "7,0.5,\n"),
        ("time,MLII,\n", "7,0.5,\n"),
        ("time,MLII,\n", "7,0.5\n"),
        ("", "0.5,\n"),
        ("", "0.5\n"),
    ],
)
def test_a_delimiter_at_line_ends_is_no_lead(tmp_path, header, row):
    path = tmp_path / "a.csv"
    path.write_text(header + row * 900)
    record = read_record(path, fs=250.0)
    assert record.signal.shape == (900, 1)
    assert (record.signal == 0.5).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("time,MLII\n" + "7,0.5,3\n" * 900, "rows of 3 columns, expected 2"),
        ("time,MLII,V1\n" + "7,0.5\n" * 900, "rows of 2 columns, expected 3"),
        ("MLII,V1\n", "is empty"),
        ("", "is empty"),
        (",\n" * 9, "is empty"),
    ],
)
def test_rows_of_another_width_than_the_header_are_refused(tmp_path, content, message):
    path = tmp_path / "a.csv"
    path.write_text(content)
    with pytest.raises(ValueError, match=message) as error:
        read_record(path, fs=250.0)
    assert "\n" not in str(error.value)
