"""Annotation of the beats of an ECG recording."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Number
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from datamodules.ecg.beats import AFTER, BEFORE, cut_windows, median_amplitude, template_beat
from datamodules.ecg.lead_names import canonical_lead
from datamodules.ecg.qrs_detection import detect_qrs
from datamodules.ecg.records import Record, fill_gaps, resample
from datamodules.ecg.rr_intervals import rhythm_around, rhythm_features, surrounding_intervals
from datamodules.ecg.signal_quality import SignalQuality, assess_quality
from zoo.base import ZooModule
from zoo.nn.atrial_fibrillation import find_fibrillation
from zoo.nn.kernel_smoothing import count_blocks
from zoo.training.batches import check_batch, check_labels, check_values

WINDOW, PEAK = BEFORE + AFTER, BEFORE
"""Number of samples of a window, and the index of the R peak in it."""
RHYTHM = rhythm_features()
"""Number of features of the longer rhythm of a beat; see ``rhythm_around``."""

POOR_SHARE = 0.5
"""Share of the best lead's readable time below which a lead is not preferred. Set by hand."""
LARGEST_MILLIVOLTS = 1e6
"""Largest absolute value of a signal, above that of any recorder in any unit. Set by hand."""
LARGEST_RATE = 1e5
"""Largest sampling rate in Hz, which can still be resampled to that of the model. Set by hand."""
MOST_LEADS = 64
"""Largest number of leads, above that of clinical recorders. Set by hand."""


class Annotation(NamedTuple):
    """The beats of a recording."""

    sample: np.ndarray
    """Positions (N,) in samples of the recording, int64."""
    symbol: list[str]
    """Class of each beat: N, S, V, F or Q."""
    probability: np.ndarray
    """Probability (N,) that the model gives it, float32."""
    probabilities: np.ndarray | None = None
    """Probabilities (N, 5) of N, S, V, F and Q, float32; None from a model that has none."""
    fibrillation: np.ndarray | None = None
    """Whether each beat (N,) lies in an episode of atrial fibrillation, bool; None from a model that does not say."""
    quality: SignalQuality | None = None
    """Where the signal can be read; None if it was not assessed."""


class BeatInputs(NamedTuple):
    """Possible network inputs of N beats, see the datamodule ``mitbih``."""

    x: Tensor
    """Millivolts (N, 2, T): the windows around the beats."""
    rr: Tensor
    """Seconds (N, 2 * around + 2): the RR intervals around each beat, their median, their recent mean."""
    rhythm: Tensor
    """Features (N, 24) of each beat relative to the surrounding rhythm, see ``rhythm_around``."""
    amplitude: Tensor
    """Millivolts (N, 2): the median peak-to-peak amplitude of the record's beats."""
    template: Tensor
    """Millivolts (N, 2, T): the record's template beat."""
    around: Tensor
    """Millivolts (N, 2 * neighbours, 2, T): the windows of the beats before and after."""


def beat_inputs(batch: Any) -> BeatInputs:
    """Return the network inputs in a batch (x, y, rr, rhythm, amplitude, template, around, record)."""
    x, _, *rest = batch
    return BeatInputs(x, *rest[:-1])


class BeatAnnotator(ZooModule):
    """Base of the models of heart beats, which annotate the beats of a recording; a research tool.

    A subclass implements ``classify_beats``.
    """

    outside_net = "QRS detection, resampling, windows, RR intervals and the record's template beat and amplitude."
    net_inputs: ClassVar[dict[str, str]] = {
        "x": "the windows around the beats, both leads, in millivolts",
        "rr": "the RR intervals around each beat, the record's median and their recent mean, in seconds",
        "rhythm": "features of each beat relative to the surrounding rhythm",
        "amplitude": "the median peak-to-peak amplitude of the record's beats by lead, in millivolts",
        "template": "the record's template beat, in millivolts",
        "around": "the windows of the beats before and after, in millivolts",
    }
    """What the network may take, by the names that an export gives it; see ``BeatInputs``."""
    batch_parts: ClassVar[tuple[str, ...]] = ("x", "y", *BeatInputs._fields[1:], "record")
    input_names: ClassVar[tuple[str, ...]] = BeatInputs._fields
    """Fields of ``BeatInputs`` that ``forward`` takes."""

    @property
    def input_kind(self) -> str:
        """Recordings."""
        return "recordings"

    def check_batch(self, batch: Any) -> None:
        """Raise ``ValueError`` unless a batch is windows in millivolts, classes, the other inputs, record numbers."""
        check_batch(batch, self.batch_parts)
        check_values(batch[0])
        check_labels(batch[1], None)

    def network_inputs(self, beats: BeatInputs) -> dict[str, Tensor]:
        """Return the arguments of ``forward`` for N beats."""
        return {name: getattr(beats, name) for name in self.input_names}

    @property
    def example_input_array(self) -> Any:
        """Network inputs of one beat."""
        rr, beside = 2 * self.hparams["rr_around"] + 2, 2 * self.hparams["neighbours"]
        shapes = ((2, WINDOW), (rr,), (RHYTHM,), (2,), (2, WINDOW), (beside, 2, WINDOW))
        return self.network_inputs(BeatInputs(*(torch.ones(1, *shape, dtype=self.precision) for shape in shapes)))

    @example_input_array.setter
    def example_input_array(self, example: Any) -> None:
        raise AttributeError("example_input_array follows from the model's arguments")

    def classify_beats(self, beats: BeatInputs) -> tuple[list[str], Tensor]:
        """Return the symbols of successive beats of a recording and their probabilities.

        Probabilities are those of all five classes (N, 5), or (N,) of the symbols alone.
        """
        raise NotImplementedError(f"{type(self).__name__} is abstract: it has no classify_beats")

    @torch.no_grad()
    def annotate(
        self,
        signal_mV: Any,  # noqa: N803  the unit is part of the name
        fs: float,
        r_peaks: Any = None,
        leads: list[str] | None = None,
    ) -> Annotation:
        """Classify each beat of a recording.

        Args:
            signal_mV: Millivolts (samples, leads), or (samples,) of one lead; NaN where the recorder gave none.
            fs: Samples a second.
            r_peaks: Positions of the R peaks in samples; detected if None, see ``detect_qrs``.
            leads: Names of the leads; if None the first is taken to be MLII.

        Returns:
            The beats in order, one for each R peak.

        Raises:
            ValueError: If an argument has another shape or type or is out of range.
        """
        signal, fs = check_signal(signal_mV), check_rate(fs)
        names = check_leads(leads, signal.shape[1])
        quality = assess_quality(signal, fs)
        peaks = detect_qrs(signal, fs, quality) if r_peaks is None else check_peaks(r_peaks, len(signal))
        if not len(peaks):
            return Annotation(peaks, [], np.zeros(0, np.float32), quality=quality)
        chosen = choose_leads(names, quality)
        record = Record("signal", fill_gaps(signal[:, chosen]), fs, [names[k] for k in chosen], sample=peaks)
        slower = resample(record, self.hparams["fs"])
        readable = readable_leads(quality, peaks, fs)[:, chosen]
        symbols, values = self._classify(slower, readable, (surrounding_intervals(peaks, fs), rhythm_around(peaks, fs)))
        fibrillation = find_fibrillation(peaks / fs, np.isin(symbols, ("V", "F")))
        probability = (values,) if values.ndim == 1 else (values.max(1), values)
        return self.in_rhythm(
            Annotation(peaks, symbols, *probability)._replace(fibrillation=fibrillation, quality=quality)
        )

    def in_rhythm(self, found: Annotation) -> Annotation:
        """Return an annotation after considering what the rhythm says of its beats; here as it is."""
        return found

    def _classify(
        self, record: Record, readable: np.ndarray, rows: tuple[np.ndarray, np.ndarray]
    ) -> tuple[list[str], np.ndarray]:
        """Return the classes (N,) of the beats of a recording at the model's rate, and their probabilities.

        Where one of the two leads cannot be read the other one takes its place; its beats are compared with all others
        that it shows.

        Args:
            record: The recording of two leads, with its beats as annotations.
            readable: Whether each lead (N, 2) can be read around each beat.
            rows: RR intervals and rhythm features of the beats.
        """
        assert record.sample is not None
        symbols = np.full(len(readable), "", dtype="U1")
        values: dict[int, np.ndarray] = {}
        both = readable[:, 0] == readable[:, 1]
        for pair, own, shown in (
            ([0, 1], both, both),
            ([0, 0], ~both & readable[:, 0], readable[:, 0]),
            ([1, 1], ~both & readable[:, 1], readable[:, 1]),
        ):
            if not own.any():
                continue
            windows = cut_windows(record.signal[:, pair], record.sample[shown])
            beside = rows[0][shown], rows[1][shown]
            whole = (median_amplitude(windows)[None], template_beat(windows, beside[0])[None])
            found, sure = [], []
            with self.evaluating():
                for part in self._pieces(windows, beside, whole):
                    classes, probability = self.classify_beats(part)
                    found += classes
                    sure.append(probability.float().cpu().numpy())
            del windows  # before those of the next pair are cut
            symbols[own] = np.array(found, dtype="U1")[own[shown]]
            values |= dict(zip(np.flatnonzero(own).tolist(), np.concatenate(sure)[own[shown]]))
        return symbols.tolist(), np.stack([values[k] for k in range(len(readable))])

    def _pieces(
        self, windows: np.ndarray, rows: tuple[np.ndarray, np.ndarray], whole: tuple[np.ndarray, np.ndarray]
    ) -> Iterator[BeatInputs]:
        """Yield the network inputs of a recording, a block of beats at a time, on the model's device."""
        steps = np.array([step for step in range(-self.hparams["neighbours"], self.hparams["neighbours"] + 1) if step])
        for number in np.array_split(np.arange(len(windows)), count_blocks(len(windows))):
            beside = (number[:, None] + steps.astype(np.int64)).clip(0, len(windows) - 1)
            arrays = (windows[number], *(row[number] for row in rows), *whole, windows[beside])
            x, rr, rhythm, amplitude, template, around = map(self.as_input, arrays)
            whole_record = amplitude.expand(len(x), -1), template.expand(len(x), -1, -1)
            yield BeatInputs(x, rr, rhythm, *whole_record, around)


def choose_leads(names: list[str], quality: SignalQuality) -> list[int]:
    """Return the numbers of the two leads that are classified: MLII first, then the others in their order.

    A lead that can be read for less than half of the time for which the best one can comes after the others. A single
    lead is returned twice.
    """
    share = quality.readable.mean(0)
    poor = share < POOR_SHARE * share.max()
    order = sorted(range(len(names)), key=lambda k: (poor[k], canonical_lead(names[k]) != "II"))
    return [order[0], order[min(1, len(order) - 1)]]


def readable_leads(quality: SignalQuality, peaks: np.ndarray, fs: float) -> np.ndarray:
    """Return whether each lead (N, leads) can be read from 0.3 s before to 0.5 s after each of N positions."""
    before, at, after = (quality.at((peaks / fs + shift).clip(0) * fs, fs) for shift in (-0.3, 0.0, 0.5))
    return np.asarray(quality.readable[before] & quality.readable[at] & quality.readable[after])


def _shorten(value: Any) -> str:
    """Return the start of a value's representation in one line, for an error message."""
    return " ".join(repr(value).split())[:40]


def _as_array(values: Any, name: str) -> np.ndarray:
    """Return an array, a tensor or nested sequences as an array of any type; masked numbers become NaN."""
    try:
        if isinstance(values, Tensor):
            values = values.detach().cpu().to_dense()
            return np.asarray(values.float() if values.is_floating_point() else values)
        if np.ma.is_masked(values) and values.dtype.kind in "fiu":
            return np.asarray(values.astype(float).filled(np.nan))
        return np.asarray(values)
    except Exception:  # such as of sequences of different lengths; any, as an object may have its own conversion
        raise ValueError(f"{name} of type {type(values).__name__:.40}: expected an array of numbers") from None


def check_signal(signal_mV: Any) -> np.ndarray:  # noqa: N803  the unit is part of the name
    """Return a signal as millivolts (samples, leads), float32, after checking its shape, type and range.

    More leads than samples, which are two or more, or more than ``MOST_LEADS`` leads, are taken for a signal (leads,
    samples) and refused.
    """
    signal = _as_array(signal_mV, "signal")
    signal = signal[:, None] if signal.ndim == 1 else signal
    if signal.ndim != 2 or not signal.shape[1]:
        raise ValueError(f"signal of shape {signal.shape}: expected (samples, leads), in millivolts")
    samples, leads = signal.shape
    if leads > MOST_LEADS or leads > samples > 1:
        raise ValueError(
            f"signal of shape {signal.shape}: expected (samples, leads) with at most {MOST_LEADS} leads and no fewer "
            "samples than leads; transpose it if it is (leads, samples)"
        )
    if signal.dtype.kind not in "fiu":
        raise ValueError(f"signal of dtype {signal.dtype!s:.40}: expected millivolts as numbers")
    finite = np.isfinite(signal)
    ends = (float(signal.min(where=finite, initial=0)), float(signal.max(where=finite, initial=0)))
    largest = max(ends, key=abs)
    if abs(largest) > LARGEST_MILLIVOLTS:
        raise ValueError(f"signal reaches {largest:g}: expected millivolts, at most {LARGEST_MILLIVOLTS:g}")
    return signal.astype(np.float32, copy=False)


def check_rate(fs: Any) -> float:
    """Return a sampling rate in Hz after checking that it is a number in range."""
    try:
        number = fs.item() if isinstance(fs, Tensor) else fs
        kind = "" if isinstance(number, bool) else getattr(getattr(number, "dtype", None), "kind", "f")
        known = isinstance(number, (Number, np.ndarray)) and not getattr(fs, "ndim", 0) and not np.ma.is_masked(fs)
        rate = float(number) if known and kind in ("f", "i", "u") else float("nan")
    except (TypeError, ValueError, OverflowError, RuntimeError):
        rate = float("nan")
    if not 1 <= rate <= LARGEST_RATE:
        raise ValueError(f"fs must be samples a second, from 1 to {LARGEST_RATE:g}, not {_shorten(fs)}")
    return rate


def check_leads(leads: Any, count: int) -> list[str]:
    """Return the names of leads, MLII first if None, after checking their number and type."""
    if leads is None:
        return ["MLII", *(f"lead {k}" for k in range(2, count + 1))]
    names = leads.tolist() if hasattr(leads, "tolist") else leads  # an array, or the columns of a table
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"leads {_shorten(leads)}: expected a list of names, one for each lead of the signal")
    if len(names) != count:
        raise ValueError(f"{len(names)} names of leads for a signal of {count}")
    return list(names)


def check_peaks(r_peaks: Any, samples: int) -> np.ndarray:
    """Return R peaks as int64 after checking that they ascend and lie inside the recording; two may be the same.

    Floats are refused even if they are whole: those of 32 bits round large positions.
    """
    peaks = _as_array(r_peaks, "r_peaks")
    if peaks.ndim != 1 or not (peaks.size == 0 or peaks.dtype.kind in "iu"):
        raise ValueError(
            f"r_peaks of shape {peaks.shape} and {peaks.dtype!s:.40}: expected whole numbers (beats,), samples, of "
            "an integer dtype"
        )
    if len(peaks) and (peaks.min() < 0 or peaks.max() >= samples or (peaks[1:] < peaks[:-1]).any()):
        raise ValueError(f"r_peaks must ascend from 0 to {samples - 1}, not go from {peaks[0]} to {peaks[-1]}")
    return peaks.astype(np.int64)
