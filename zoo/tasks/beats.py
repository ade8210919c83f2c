"""Classification of heart beats in electrocardiograms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.base import Batch
from zoo.metrics import EC57
from zoo.metrics.ec57 import CLASSES, SUPRAVENTRICULAR_RECORD, ec57_table
from zoo.tasks.classification import Classification, Classifier

BEATS_AT_A_TIME = 4_096
FEWEST_SECONDS = 1.0
"""Of a recording in which beats are looked for."""


class Annotation(NamedTuple):
    """The beats of a recording."""

    sample: np.ndarray
    """Positions (N,) in samples of the recording, int64."""
    symbol: list[str]
    """Class of each beat: N, S, V, F or Q."""
    probability: np.ndarray
    """Probability (N,) that the model gives it, float32."""


class BeatClassifier(Classifier):
    """A network that names the class of each beat; a research tool, not a medical device.

    A batch is (x, y, rr, amplitude, template, around, record), as the datamodule ``mitbih`` gives it; the network takes
    x, rr, amplitude and template. The loss is the cross-entropy in which class k weighs w_k, normalised by the batch's
    sum of weights, with w_k = (n / n_k) ** ``balance`` over the classes' counts n_k in training and 0 for a class of
    fewer than 100, such as Q, of which nothing can be learned.

    Metrics in evaluation are those of ``zoo.metrics.EC57``: ``macro_f1`` over N, S, V and F, the share ``accuracy`` of
    all their beats, ``s_f1``, ...

    Args:
        class_counts: Beats of each class in training; all classes weigh alike if None.
        balance: Exponent of the weights: 0 counts each beat alike, 1 each class.
        fs: Samples a second of the network's windows.
        **training: Arguments of ``Classifier`` and ``ZooModule``.
    """

    default_monitor = "val_macro_f1"

    def __init__(
        self,
        *,
        class_counts: list[int] | None = None,
        balance: float = 0.5,
        fs: int = 180,
        **training: Any,
    ) -> None:
        super().__init__(**training)
        if not 0 <= balance <= 1:
            raise ValueError(f"balance must be in [0, 1], not {balance}")
        weights = None
        if class_counts:
            counts = torch.tensor(class_counts, dtype=torch.float32)
            weights = torch.where(counts >= 100, (counts.sum() / counts.clamp_min(1)) ** balance, 0.0)
            weights = weights / weights[counts.argmax()]
        self.register_buffer("class_weights", weights, persistent=False)
        self._beats: dict[str, EC57] = {}
        self.matrices: dict[str, Tensor] = {}
        """Confusion matrices of the last evaluation of each stage, by record, as ``EC57`` has them."""

    @property
    def example_input_array(self) -> Any:
        """What the network takes of one beat."""
        rr = 2 * self.hparams["rr_around"] + 2
        shapes = {"x": (2, 64), "rr": (rr,), "amplitude": (2,), "template": (2, 64)}
        return {name: torch.ones(1, *shape) for name, shape in shapes.items()}

    @example_input_array.setter
    def example_input_array(self, example: Any) -> None:
        raise AttributeError("example_input_array follows from rr_around")

    def forward(self, x: Tensor, rr: Tensor, amplitude: Tensor, template: Tensor) -> Tensor:  # type: ignore[override]
        """Map windows (N, 2, T), RR intervals, amplitudes (N, 2) and usual beats (N, 2, T) to scores (N, 5)."""
        return self.net(x, rr, amplitude, template)

    def table(self, stage: str = "test") -> str:
        """Return the tables of the last evaluation as text, see ``zoo.metrics.ec57_table``."""
        return ec57_table(self.matrices[stage], self._beats[stage].records)

    # ---- training ----

    def loss(self, scores: Tensor, y: Tensor) -> Tensor:
        """Return the weighted mean loss of a batch."""
        smoothing = self.hparams["label_smoothing"] if self.training else 0.0
        return F.cross_entropy(scores, y, weight=self.class_weights, label_smoothing=smoothing)  # type: ignore[arg-type]

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Compute the loss of a batch, and which class was found for each beat."""
        x, y, rr, amplitude, template, *_ = batch
        scores = self(x, rr, amplitude, template)
        return {"loss": self.loss(scores, y), "found": scores.detach().argmax(1)}

    def _record(self, stage: str, values: dict[str, Tensor], batch: Batch) -> None:
        found = values.pop("found")
        if stage != "train":
            if stage not in self._beats:
                datamodule = getattr(self.trainer, "datamodule", None)
                records = getattr(datamodule, "records", (SUPRAVENTRICULAR_RECORD,))
                self._beats[stage] = EC57(records).to(found.device)
            self._beats[stage].update(found, batch[1], batch[6])
        super()._record(stage, values, batch)

    def _log_means(self, stage: str) -> dict[str, Tensor]:
        means = super()._log_means(stage)
        if stage in self._beats:
            scores = {f"{stage}_{name}": value for name, value in self._beats[stage].compute().items()}
            for name, value in scores.items():
                if not value.isnan():
                    self.log(name, value.float(), prog_bar=name == self.monitor)
            self.matrices[stage] = self._beats[stage].matrices.cpu()
            self._beats[stage].reset()
        return means

    # ---- use ----

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the probabilities (N, 5) of a batch (x, y, rr, amplitude, template, ...)."""
        x, _, rr, amplitude, template, *_ = batch
        return self.probabilities(self(x, rr, amplitude, template))

    @torch.no_grad()
    def classify(self, x: Sequence[Tensor]) -> list[Classification]:  # type: ignore[override]
        """Name the class of each beat, from what the network takes; ``annotate`` takes a whole recording.

        Args:
            x: Windows, RR intervals, amplitudes and usual beats, as ``forward`` takes them.
        """
        with self.evaluating():
            sure, classes = self.probabilities(self(*(part.to(self.device) for part in x))).max(1)
        names = self.hparams["class_names"] or [str(k) for k in range(len(CLASSES))]
        return [Classification(names[k], p) for k, p in zip(classes.tolist(), sure.tolist())]

    @torch.no_grad()
    def annotate(
        self,
        signal_mV: Any,  # noqa: N803  the unit is part of the name
        fs: float,
        r_peaks: Any = None,
        leads: list[str] | None = None,
    ) -> Annotation:
        """Name the class of each beat of a recording.

        Args:
            signal_mV: Millivolts (samples, leads), or (samples,) of one lead; NaN where the recorder gave none.
            fs: Samples a second.
            r_peaks: Positions of the beats in samples; found by ``sleepecg`` in the first lead if None.
            leads: Names of the leads; if None the first is MLII.

        Returns:
            The beats in order; with given peaks exactly one a peak.

        Raises:
            ValueError: If an argument has another shape or is out of range.
        """
        from datamodules.beats import cut_windows, median_amplitude, median_beat, rr_intervals, two_leads
        from datamodules.wfdb_records import Record, resampled, without_gaps

        signal = np.asarray(signal_mV, np.float32)
        signal = signal[:, None] if signal.ndim == 1 else signal
        if signal.ndim != 2 or not signal.shape[1]:
            raise ValueError(f"signal of shape {signal.shape}: expected (samples, leads), in millivolts")
        if not 1 <= fs < float("inf"):
            raise ValueError(f"fs must be samples a second, at least 1, not {fs}")
        names = list(leads) if leads is not None else ["MLII", *(f"lead {k}" for k in range(2, signal.shape[1] + 1))]
        if len(names) != signal.shape[1]:
            raise ValueError(f"{len(names)} names of leads for a signal of {signal.shape[1]}")
        record = two_leads(Record("signal", without_gaps(signal), float(fs), names))
        peaks = detected(record.signal, fs) if r_peaks is None else checked_peaks(r_peaks, len(signal))
        if not len(peaks):
            return Annotation(peaks, [], np.zeros(0, np.float32))
        slower = resampled(record._replace(sample=peaks), self.hparams["fs"])
        windows = cut_windows(slower.signal, slower.sample)  # type: ignore[arg-type]
        whole = (median_amplitude(windows)[None], median_beat(windows)[None])
        rows = rr_intervals(peaks, fs)
        found, sure = [], []
        with self.evaluating():
            for start in range(0, len(peaks), BEATS_AT_A_TIME):
                part = slice(start, start + BEATS_AT_A_TIME)
                x, rr = (torch.from_numpy(array[part]).to(self.device) for array in (windows, rows))
                amplitude, template = (
                    torch.from_numpy(array).to(self.device).expand(len(x), *array.shape[1:]) for array in whole
                )
                best, classes = self.probabilities(self(x, rr, amplitude, template)).max(1)
                found += classes.tolist()
                sure.append(best.float().cpu().numpy())
        symbols = self.hparams["class_names"] or CLASSES
        return Annotation(peaks, [symbols[k] for k in found], np.concatenate(sure))


def detected(signal: np.ndarray, fs: float) -> np.ndarray:
    """Return the positions (N,) of the beats in the first lead of a signal (samples, leads), int64."""
    from zoo.errors import needs

    lead = signal[:, 0].astype(np.float64)
    if len(lead) < FEWEST_SECONDS * fs or np.ptp(lead) < 1e-3:
        return np.zeros(0, np.int64)
    return np.asarray(needs("sleepecg", "ecg").detect_heartbeats(lead, fs), np.int64)


def checked_peaks(r_peaks: Any, samples: int) -> np.ndarray:
    """Return positions as int64 after a look whether they are in order and inside the recording."""
    peaks = np.asarray(r_peaks)
    if peaks.ndim != 1 or not (peaks.size == 0 or np.issubdtype(peaks.dtype, np.integer)):
        raise ValueError(f"r_peaks of shape {peaks.shape} and {peaks.dtype}: expected whole numbers (beats,), samples")
    peaks = peaks.astype(np.int64)
    if len(peaks) and (peaks[0] < 0 or peaks[-1] >= samples or (np.diff(peaks) < 0).any()):
        raise ValueError(f"r_peaks must ascend from 0 to {samples - 1}, not go from {peaks[0]} to {peaks[-1]}")
    return peaks
