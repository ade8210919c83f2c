"""MIT-BIH Arrhythmia Database: classification of heart beats with disjoint patients."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import platformdirs
import torch
from torch import Tensor

from datamodules.base import TensorDataModule
from datamodules.ecg.beats import (
    AFTER,
    BEFORE,
    CLASS_NAMES,
    FS,
    STEPS_PER_MILLIVOLT,
    Beats,
    Rows,
    balanced_folds,
    concatenate_beats,
    extract_beats,
    load_beats,
    save_beats,
)
from datamodules.ecg.mitbih_files import MITBIHFiles
from datamodules.ecg.records import Record, read_record
from datamodules.ecg.rr_intervals import AROUND, RECENT, RHYTHM_HALF_WIDTHS
from datamodules.ecg.synthetic_beats import remove_p_wave, synthesize_beats
from datamodules.errors import unknown
from datamodules.registry import register_datamodule
from datamodules.splits import Split, stratified_split

DS1 = (
    *(101, 106, 108, 109, 112, 114, 115, 116, 118, 119, 122),
    *(124, 201, 203, 205, 207, 208, 209, 215, 220, 223, 230),
)
"""Training records of de Chazal, O'Dwyer & Reilly (2004)."""
DS2 = (
    *(100, 103, 105, 111, 113, 117, 121, 123, 200, 202, 210),
    *(212, 213, 214, 219, 221, 222, 228, 231, 232, 233, 234),
)
"""Test records of de Chazal, O'Dwyer & Reilly (2004)."""
PACED = (102, 104, 107, 217)
"""Records with paced beats, which are in neither set."""
PROTOCOLS = ("inter_patient", "intra_patient")
FORMAT = "2"
"""Version of the cached beats; increased whenever ``extract_beats`` yields other rows for the same files."""


@register_datamodule("mitbih")
class MITBIHDataModule(TensorDataModule):
    """MIT-BIH Arrhythmia Database (Moody & Mark, 2001): half-hour recordings of two leads with annotated beats.

    The classes are N, S, V, F and Q of ANSI/AAMI EC57. The records with paced beats, 102, 104, 107 and 217, are
    excluded as EC57 demands, unless ``paced`` adds them to DS1; their paced beats and fusions with these are Q. Under
    ``inter_patient`` the split is that of de Chazal, O'Dwyer & Reilly (2004): 22 training records, DS1, and 22 test
    records, DS2. The validation split is one of ``folds`` groups of records of DS1 with similar numbers of N, S and V
    beats. Groups are records. Records 201 and 202 are from the same patient, and the published split has the first in
    DS1 and the second in DS2; this flaw is kept for comparability. Under ``intra_patient`` beats are split at random,
    with a fifth for test, so that every patient is in all splits: results are far better and say nothing about new
    patients. Groups are beats.

    A batch is (x, y, rr, rhythm, amplitude, template, around, record) of N beats with two leads: ``MLII`` first,
    selected by name, then the other lead, which is V1 in 38 records and V2, V4 or V5 in six:

    - x (N, 2, 256): millivolts from 0.53 s before the R peak to 0.89 s after it, at 180 Hz, baseline wander included.
      Beyond the ends of a record the first or last sample is repeated, so that no beat is lost.
    - y (N,): class, int64.
    - rr (N, 18): seconds; the 8 RR intervals up to the beat, oldest first, and the 8 after it; the median of the
      record; the mean of the last 300 up to the beat. Intervals outside the record are 0.
    - rhythm (N, 24): features of the interval relative to windows of 16 and of 64 intervals on either side, see
      ``datamodules.ecg.rr_intervals.rhythm_around``.
    - amplitude (N, 2): millivolts; median peak-to-peak amplitude of the record's beats in each lead.
    - template (N, 2, 256): millivolts; template beat of the record, see ``datamodules.ecg.beats.template_beat``.
    - around (N, 2 * ``neighbours``, 2, 256): millivolts; windows of the preceding beats, the farthest first, and of the
      following beats. Outside the record those of its first or last beat.
    - record (N,): number of the record, such as 232, int64; negative in a synthetic rhythm.

    Non-causal, that is dependent on samples after the beat, are x after the R peak, rr except its first 8 columns and
    its last, rhythm, amplitude and template, which use the whole record, and the second half of around.

    The records are read from ``mitdb/1.0.0`` or ``mitdb``, or from PhysioNet's zip archive or the folder that it
    unpacks to, and downloaded if missing. The extracted beats are cached in the per-user cache folder under the
    checksum of all files, which is computed on every use, so that any changed file is noticed regardless of its date.

    Args:
        protocol: ``inter_patient`` or ``intra_patient``.
        folds: Number of groups of records of DS1, from 2 to 22 (leave one record out).
        fold: Index of the group held out for validation; ``seed`` modulo ``folds`` if None.
        train_on_all: Whether to train on the validation records as well, for final weights: validation then says
            nothing about generalisation.
        neighbours: Number of beats on either side whose windows are included in a batch.
        paced: Whether the records with paced beats are part of DS1, so that Q is learned; never of the test split.
        synthetic_hearts: Number of synthetic hearts added to the training split: simulated rhythms with windows of the
            training beats, see ``datamodules.ecg.synthetic_beats``; each adds about 360 beats.
        val_size: Number of beats held out for validation under ``intra_patient``, 8,000 if 0; must be 0 under
            ``inter_patient``.
        batch_size: Rows per update.
        **common: Arguments of ``TensorDataModule``.
    """

    url = "https://physionet.org/files/mitdb/1.0.0/"
    folder = "mitdb"
    archive = "mit-bih-arrhythmia-database-1.0.0"
    ds1: tuple[int, ...] = DS1
    ds2: tuple[int, ...] = DS2
    renamed: ClassVar[dict[str, str]] = {"made_up_hearts": "synthetic_hearts"}
    """Aliases of constructor arguments, accepted by ``create_datamodule``."""
    sha256_sums = "8f7525fd188fd684e8e5b0417e059ca666529c3fa1669b356fdd221d059b4823"
    blake2b_files: str | None = "5238d2a1bdcecaae7fe917a3a6c4c55d"
    blake2b_paced: str | None = "072033465b602c2b1f0a440bd209bb37"
    """The same checksum with the records of ``paced`` beats."""

    def __init__(
        self,
        *,
        protocol: str = "inter_patient",
        folds: int = 5,
        fold: int | None = None,
        train_on_all: bool = False,
        neighbours: int = 2,
        paced: bool = False,
        synthetic_hearts: int = 0,
        val_size: int = 0,
        batch_size: int = 256,
        **common: Any,
    ) -> None:
        super().__init__(val_size=val_size, batch_size=batch_size, **common)
        if protocol not in PROTOCOLS:
            raise unknown("protocol", protocol, PROTOCOLS)
        if paced and protocol != "inter_patient":
            raise ValueError("paced=True does not fit: under intra_patient paced beats would be tested too")
        self.paced = paced
        self.ds1 = (*self.ds1, *PACED) if paced else self.ds1
        if not 2 <= folds <= len(self.ds1):
            raise ValueError(f"folds={folds} does not fit: choose from 2 to {len(self.ds1)}, the records of DS1")
        if fold is not None and not 0 <= fold < folds:
            raise ValueError(f"fold={fold} does not fit: choose from 0 to {folds - 1}")
        for key, value in {"neighbours": neighbours, "synthetic_hearts": synthetic_hearts}.items():
            if value < 0:
                raise ValueError(f"{key} must be at least 0, not {value}")
        if protocol == "inter_patient" and val_size:
            raise ValueError(
                f"val_size={val_size} does not fit: under inter_patient choose folds and fold, whole records"
            )
        self.protocol, self.folds, self.neighbours, self.train_on_all = protocol, folds, neighbours, train_on_all
        self.fold = self.seed % folds if fold is None else fold
        if protocol == "intra_patient" and not val_size:
            self.val_size = 8_000
        self.synthetic_hearts = synthetic_hearts
        self._beats: Beats | None = None
        self._tables: dict[torch.device, tuple[Tensor, ...]] = {}

    @property
    def records(self) -> tuple[int, ...]:
        """Numbers of all records, ascending."""
        return tuple(sorted((*self.ds1, *self.ds2)))

    @property
    def spec(self) -> dict[str, Any]:
        """Shape of a window, classes, and parameters of the extraction; available without the files."""
        length = BEFORE + AFTER
        return {
            "input_shape": [2, length],
            "in_features": 2 * length,
            "in_channels": 2,
            "num_classes": len(CLASS_NAMES),
            "class_names": list(CLASS_NAMES),
            "fs": FS,
            "before": BEFORE,
            "after": AFTER,
            "leads": ["MLII", "V1"],
            "rr_around": AROUND,
            "rr_recent": RECENT,
            "rr_reaches": list(RHYTHM_HALF_WIDTHS),
            "neighbours": self.neighbours,
            "protocol": self.protocol,
        }

    @property
    def files(self) -> MITBIHFiles:
        """Files of the records in the data folder."""
        return MITBIHFiles(
            self.root,
            self.records,
            folder=self.folder,
            archive=self.archive,
            url=self.url,
            sha256_sums=self.sha256_sums,
            blake2b_files=self.blake2b_paced if self.paced else self.blake2b_files,
        )

    def prepare_data(self) -> None:
        """Download missing files, each verified by PhysioNet's list of checksums."""
        self.files.download()

    @property
    def beats(self) -> Beats:
        """Beats of all records, loaded once."""
        if self._beats is None:
            source = self.files.download()
            folder = platformdirs.user_cache_path("lightning-zoo") / "mitbih"
            version = "-".join(map(str, (FORMAT, FS, BEFORE, AFTER, AROUND, RECENT, *RHYTHM_HALF_WIDTHS)))
            path = folder / f"{version}-{self.files.checksum(source)}"
            self._beats = load_beats(path)
            if self._beats is None:
                self._beats = save_beats(self._extract(source), path)
        return self._beats

    def _extract(self, source: Path) -> Beats:
        """Read the records and extract their beats."""
        with self.files.unpacked(source) as folder, ThreadPoolExecutor(os.cpu_count()) as threads:
            extracted = threads.map(
                lambda record: extract_beats(read_record(folder / str(record), "atr", strict=True)), self.records
            )
            return concatenate_beats(list(extracted))

    def recordings(self, records: Iterable[int] | None = None) -> Iterator[Record]:
        """Yield unprocessed recordings with all annotations.

        Args:
            records: Numbers of the records; those of DS2 if None.
        """
        with self.files.unpacked(self.files.download()) as folder:
            for record in self.ds2 if records is None else records:
                yield read_record(folder / str(record), "atr", strict=True)

    def load(self) -> dict[str, Split]:
        """Return the splits ``train`` and ``test``, which are subsets of the same tensors."""
        beats = self.beats
        number = torch.arange(len(beats.label))
        rows = Rows(beats.window, beats.label, beats.rr, beats.rhythm, beats.record, number.numpy())
        stored = tuple(map(torch.from_numpy, rows))
        groups = beats.records[beats.record]
        if self.protocol == "intra_patient":
            groups = number.numpy()
            rest, test = stratified_split(stored[1], len(number) // 5, seed=0, name="test_size")
            parts = {"train": np.sort(rest), "test": np.sort(test)}
        else:
            parts = {
                "train": np.flatnonzero(np.isin(groups, self.ds1)),
                "test": np.flatnonzero(np.isin(groups, self.ds2)),
            }
        return {name: Split(stored, groups[rows], torch.from_numpy(rows)) for name, rows in parts.items()}

    def make_splits(self) -> dict[str, Split]:
        """Load the data, hold out the validation split, and add synthetic beats to the training split."""
        splits = super().make_splits()
        if self.synthetic_hearts:
            train = splits["train"]
            synthetic = synthesize_beats(self.beats, train.column(5).numpy(), self.synthetic_hearts, self.seed)
            stored = tuple(
                torch.cat([old, torch.from_numpy(new)]) for old, new in zip(train.tensors, synthetic, strict=True)
            )
            groups = np.concatenate([train.groups, self.beats.records[self.beats.record[synthetic.number]]])
            splits["train"] = Split(stored, groups)
        return splits

    def split_validation(self, train: Split) -> tuple[np.ndarray, np.ndarray]:
        """Return the indices of the rows that are not held out for validation and of those that are."""
        if self.protocol == "intra_patient":
            return super().split_validation(train)
        records = np.array(sorted(self.ds1))
        y = train.column(1).numpy()
        # F, of which nine tenths are in one record, and without paced records Q, with 8 beats, cannot be balanced.
        classes = [0, 1, 2, 4] if self.paced else [0, 1, 2]
        counts = np.array([np.bincount(y[train.groups == record], minlength=5)[classes] for record in records])
        held_out = np.isin(train.groups, records[balanced_folds(counts, self.folds) == self.fold])
        return np.flatnonzero(~held_out), np.flatnonzero(held_out)

    def sha256(self) -> str:
        """Return the SHA-256 checksum of all stored beats, independent of the splits."""
        digest = hashlib.sha256()
        for tensor in self.load()["test"].stored:
            digest.update(np.ascontiguousarray(tensor.numpy()).data)
        return digest.hexdigest()

    def counts(self, split: str) -> list[int]:
        """Return the number of beats of each class in a split."""
        return self.counts_by_record(split)[1].sum(0).tolist()

    def counts_by_record(self, split: str) -> tuple[Tensor, Tensor]:
        """Return the record numbers (R,) of a split, ascending, and the number of beats (R, 5) of each class.

        Negative numbers denote synthetic rhythms with windows of the record.
        """
        self.setup()
        y, record = (self.splits[split].column(k) for k in (1, 4))
        names, place = self._lookup_tables(y.device)[3][record].unique(return_inverse=True)
        classes = len(CLASS_NAMES)
        return names, torch.bincount(place * classes + y, minlength=len(names) * classes).reshape(-1, classes)

    def to_natural_units(self, x: Tensor) -> Tensor:
        """Convert stored microvolts to millivolts, float32."""
        return x.float().div_(STEPS_PER_MILLIVOLT)

    def decode_batch(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Convert stored rows (window, class, rr, rhythm, record, number) to a batch as described in the class."""
        window, y, rr, rhythm, record, number = batch
        windows, first, last, names, amplitude, template = self._lookup_tables(window.device)
        steps = [step for step in range(-self.neighbours, self.neighbours + 1) if step]
        beside = number[:, None] + torch.tensor(steps, dtype=number.dtype, device=number.device)
        beside = beside.clamp(first[record, None], last[record, None])
        around = self.to_natural_units(windows.index_select(0, beside.flatten())).unflatten(0, beside.shape)
        return self.to_natural_units(window), y, rr, rhythm, amplitude[record], template[record], around, names[record]

    def _lookup_tables(self, device: torch.device) -> tuple[Tensor, ...]:
        """Return the tensors that ``decode_batch`` looks up, on a device.

        These are the windows of all beats and, for each record, its first and last beat, number, amplitude and
        template. Each record has three entries: as recorded, in a synthetic rhythm, and in one without P waves.
        """
        if device not in self._tables:
            beats = self.beats
            windows = beats.window if self.neighbours else beats.window[:0]
            ends = [np.searchsorted(beats.record, np.arange(len(beats.records)), side) for side in ("left", "right")]
            first, last, amplitude = (np.concatenate([x] * 3) for x in (ends[0], ends[1] - 1, beats.amplitude))
            names = np.concatenate([beats.records, -beats.records, -beats.records])
            template = np.concatenate([beats.template, beats.template, remove_p_wave(beats.template)])
            arrays = (windows, first, last, names, amplitude, template)
            self._tables[device] = tuple(torch.from_numpy(array).to(device) for array in arrays)
        return self._tables[device]

    def read(self, source: str) -> Record:
        """Read a WFDB record of any sampling rate and leads."""
        return read_record(source)
