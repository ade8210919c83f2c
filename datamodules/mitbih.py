"""The MIT-BIH Arrhythmia Database: beats to classify, with no patient on both sides."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import platformdirs
import torch
from torch import Tensor

from datamodules.base import TensorDataModule
from datamodules.download import fetch, read_source
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
"""Records that de Chazal, O'Dwyer & Reilly (2004) train on."""
DS2 = (
    *(100, 103, 105, 111, 113, 117, 121, 123, 200, 202, 210),
    *(212, 213, 214, 219, 221, 222, 228, 231, 232, 233, 234),
)
"""Records that they test on."""
PROTOCOLS = ("inter_patient", "intra_patient")
ENDINGS = ("hea", "dat", "atr")
FORMAT = "2"
"""Number of what ``prepare`` makes of the same files and settings; it goes up with each change of that."""


@register_datamodule("mitbih")
class MITBIHDataModule(TensorDataModule):
    """MIT-BIH Arrhythmia Database (Moody & Mark, 2001): half-hour recordings of two leads, each beat annotated.

    The classes are N, S, V, F and Q of ANSI/AAMI EC57. The records with a pacemaker, 102, 104, 107 and 217, are left
    out. Under ``inter_patient`` the split is that of de Chazal, O'Dwyer & Reilly (2004): 22 records, DS1, to train on,
    22 others, DS2, to test on; validation is one of ``folds`` groups of DS1's records, of about equal numbers of S, V
    and N beats. A group is a record. Records 201 and 202 are of one man, and the published split has the first in DS1
    and the second in DS2: a flaw that is kept, for the sake of comparison. Under ``intra_patient`` beats are drawn at
    random, a fifth to test on, so that each patient is on all sides: figures are far better and tell nothing about a
    patient who is new. There a group is a beat.

    A batch is (x, y, rr, rhythm, amplitude, template, around, record), N beats of two leads: ``MLII`` first, by name,
    then the other, which is V1 in 38 records and V2, V4 or V5 in six:

    - x (N, 2, 256): millivolts from 0.53 s before the R peak to 0.89 s after it, at 180 Hz, the baseline not
      removed. At a record's ends the first or last sample goes on, and no beat is lost.
    - y (N,): the class, int64.
    - rr (N, 18): seconds; the 8 RR intervals up to the beat, oldest first, and the 8 after it; the median of the
      record; the mean of the last 300 up to the beat. 0 where the record has none.
    - rhythm (N, 24): how the beat stands among the 16 and among the 64 intervals on either side, see
      ``datamodules.ecg.rr_intervals.rhythm_around``.
    - amplitude (N, 2): millivolts; the record's median peak-to-peak of a beat, for each lead.
    - template (N, 2, 256): millivolts; the record's usual beat, the median of those that come no earlier than the mean
      of the last 300 intervals, each less its own median.
    - around (N, 2 * ``neighbours``, 2, 256): millivolts; the windows of the beats before, the farthest first, and of
      those after. Where the record has none, those of its first or last beat.
    - record (N,): the record's number, such as 232, int64; negative in a made-up rhythm.

    What looks into the future: the end of x, rr but for its first 8 columns and its last, rhythm, amplitude and
    template, which take the whole record, and the second half of around.

    The records are read from ``mitdb/1.0.0`` (or ``mitdb``, or PhysioNet's zip file or the folder that it unpacks to)
    and downloaded if they are missing. What they are made into is kept in the per-user cache folder, under the checksum
    of all the files, which are read anew each time: a changed file is noticed whatever its date.

    Args:
        protocol: ``inter_patient`` or ``intra_patient``.
        folds: Number of groups of DS1's records, from 2 to 22, which leaves one record out.
        fold: Number of the group that is set aside for validation; ``seed`` modulo ``folds`` if None.
        train_on_all: Whether the validation records are trained on too, for weights to keep: validation then says
            nothing about generalisation.
        neighbours: Beats before and after whose windows a batch holds as well.
        synthetic_hearts: Number of made-up hearts to train on besides: their rhythms are simulated, their windows are
            those of the training beats, see ``synthesize_beats``; each adds about 360 beats.
        val_size: Beats set aside for validation under ``intra_patient``, 8,000 if 0; no use under ``inter_patient``.
        batch_size: Rows an update.
        **common: Arguments of ``TensorDataModule``.
    """

    url = "https://physionet.org/files/mitdb/1.0.0/"
    folder = "mitdb"
    archive = "mit-bih-arrhythmia-database-1.0.0"
    ds1, ds2 = DS1, DS2
    renamed: ClassVar[dict[str, str]] = {"made_up_hearts": "synthetic_hearts"}
    """Old names of arguments, which are aliases."""
    sha256_sums = "8f7525fd188fd684e8e5b0417e059ca666529c3fa1669b356fdd221d059b4823"
    blake2b_files: str | None = "5238d2a1bdcecaae7fe917a3a6c4c55d"

    def __init__(
        self,
        *,
        protocol: str = "inter_patient",
        folds: int = 5,
        fold: int | None = None,
        train_on_all: bool = False,
        neighbours: int = 2,
        synthetic_hearts: int = 0,
        val_size: int = 0,
        batch_size: int = 256,
        **common: Any,
    ) -> None:
        super().__init__(val_size=val_size, batch_size=batch_size, **common)
        if protocol not in PROTOCOLS:
            raise unknown("protocol", protocol, PROTOCOLS)
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
        """Numbers of all records, in order."""
        return tuple(sorted((*self.ds1, *self.ds2)))

    @property
    def spec(self) -> dict[str, Any]:
        """Shape of a window, classes, and how a row was cut; known without the files."""
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

    def _source(self) -> Path | None:
        """Return the folder of the records, whole or not, or the zip file; None if there is neither."""
        folders = (self.root / self.folder / "1.0.0", self.root / self.folder, self.root / self.archive)
        for folder in folders:
            if any(folder.glob("*.hea")):
                return folder
        packed = self.root / f"{self.archive}.zip"
        return packed if packed.exists() else None

    def _names(self) -> list[str]:
        return [f"{record}.{ending}" for record in self.records for ending in ENDINGS]

    def prepare_data(self) -> None:
        """Download the files that are missing, each checked against PhysioNet's list of checksums."""
        source = self._source() or self.root / self.folder / "1.0.0"
        missing = [] if source.suffix == ".zip" else [name for name in self._names() if not (source / name).exists()]
        if not missing:
            return
        sums = fetch([self.url + "SHA256SUMS.txt"], f"sha256:{self.sha256_sums}", source / "SHA256SUMS.txt")
        known = {name: digest for digest, name in map(str.split, sums.read_text().splitlines())}
        for name in missing:
            fetch([self.url + name], f"sha256:{known[name]}", source / name)

    def _contents(self, source: Path) -> Iterator[tuple[str, bytes]]:
        """Yield name and content of each file, in order."""
        yield from zip(self._names(), read_source(source, self._names()))

    def _checksum(self, source: Path) -> str:
        """Return the checksum of all files, after a look whether they are the published ones."""
        digest = hashlib.blake2b(digest_size=16)
        for name, content in self._contents(source):
            digest.update(f"{name} {len(content)}\n".encode())
            digest.update(content)
        found = digest.hexdigest()
        if self.blake2b_files not in (None, found):
            raise ValueError(f"{source}: {self._altered(source)} is not the published one; delete it and try again")
        return found

    def _altered(self, source: Path) -> str:
        """Return the name of the first file that PhysioNet's list of checksums has otherwise, if the list is there."""
        sums = source / "SHA256SUMS.txt"
        if source.suffix != ".zip" and sums.exists():
            known = {name: digest for digest, name in map(str.split, sums.read_text().splitlines())}
            for name, content in self._contents(source):
                if known.get(name) != hashlib.sha256(content).hexdigest():
                    return name
        return "a file"

    @property
    def beats(self) -> Beats:
        """The beats of all records, read once."""
        if self._beats is None:
            self.prepare_data()
            source = self._source()
            assert source is not None
            folder = platformdirs.user_cache_path("lightning-zoo") / "mitbih"
            made = "-".join(map(str, (FORMAT, FS, BEFORE, AFTER, AROUND, RECENT, *RHYTHM_HALF_WIDTHS)))
            path = folder / f"{made}-{self._checksum(source)}"
            self._beats = load_beats(path)
            if self._beats is None:
                self._beats = save_beats(self._cut(source), path)
        return self._beats

    @contextmanager
    def _folder(self, source: Path) -> Iterator[Path]:
        """Give the folder of the files inside the block, unpacked if they are packed."""
        if source.suffix != ".zip":
            yield source
            return
        with tempfile.TemporaryDirectory() as folder:
            for name, content in self._contents(source):
                (Path(folder) / name).write_bytes(content)
            yield Path(folder)

    def _cut(self, source: Path) -> Beats:
        """Read the records and cut them into rows."""
        with self._folder(source) as folder, ThreadPoolExecutor(os.cpu_count()) as threads:
            made = threads.map(lambda record: extract_beats(read_record(folder / str(record), "atr")), self.records)
            return concatenate_beats(list(made))

    def recordings(self, records: Iterable[int] | None = None) -> Iterator[Record]:
        """Yield recordings as they are, with all their annotations.

        Args:
            records: Their numbers; those of DS2 if None.
        """
        self.prepare_data()
        source = self._source()
        assert source is not None
        with self._folder(source) as folder:
            for record in self.ds2 if records is None else records:
                yield read_record(folder / str(record), "atr")

    def load(self) -> dict[str, Split]:
        """Read the splits ``train`` and ``test``, which share one store."""
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

    def setup(self, stage: str | None = None) -> None:
        """Load the data once, set the validation rows aside, and put the training beats into made-up rhythms too."""
        if self.splits:
            return
        super().setup(stage)
        if self.synthetic_hearts:
            train = self.splits["train"]
            made = synthesize_beats(self.beats, train.column(5).numpy(), self.synthetic_hearts, self.seed)
            stored = tuple(
                torch.cat([old, torch.from_numpy(new)]) for old, new in zip(train.tensors, made, strict=True)
            )
            self.splits["train"] = Split(
                stored, np.concatenate([train.groups, self.beats.records[self.beats.record[made.number]]])
            )

    def split_validation(self, train: Split) -> tuple[np.ndarray, np.ndarray]:
        """Return the row numbers that are trained on and those of the validation records."""
        if self.protocol == "intra_patient":
            rest, taken = super().split_validation(train)
        else:
            records = np.array(sorted(self.ds1))
            y = train.column(1).numpy()
            # Q has 8 beats, and nine tenths of F are one record's: they cannot be balanced.
            counts = np.array([np.bincount(y[train.groups == record], minlength=5)[:3] for record in records])
            chosen = records[balanced_folds(counts, self.folds) == self.fold]
            taken, rest = (np.flatnonzero(np.isin(train.groups, chosen) == side) for side in (True, False))
        return (np.arange(len(train.groups)) if self.train_on_all else rest), taken

    def sha256(self) -> str:
        """Return the checksum of all beats as stored, however they are divided."""
        digest = hashlib.sha256()
        for tensor in self.load()["test"].stored:
            digest.update(np.ascontiguousarray(tensor.numpy()).data)
        return digest.hexdigest()

    def counts(self, split: str) -> list[int]:
        """Return the number of beats of each class in a split."""
        return self.counts_by_record(split)[1].sum(0).tolist()

    def counts_by_record(self, split: str) -> tuple[Tensor, Tensor]:
        """Return the numbers (R,) of a split's records, ascending, and the beats (R, 5) of each class in each.

        Those with a negative number are made-up rhythms with windows of the record.
        """
        self.setup()
        y, record = (self.splits[split].column(k) for k in (1, 4))
        names, place = self._lookup_tables(y.device)[3][record].unique(return_inverse=True)
        classes = len(CLASS_NAMES)
        return names, torch.bincount(place * classes + y, minlength=len(names) * classes).reshape(-1, classes)

    def to_natural_units(self, x: Tensor) -> Tensor:
        """Turn stored microvolts into millivolts, float32."""
        return x.float().div_(STEPS_PER_MILLIVOLT)

    def decode_batch(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Turn stored rows (window, class, rr, rhythm, record, number) into a batch: see the class."""
        window, y, rr, rhythm, record, number = batch
        windows, first, last, names, amplitude, template = self._lookup_tables(window.device)
        steps = [step for step in range(-self.neighbours, self.neighbours + 1) if step]
        beside = number[:, None] + torch.tensor(steps, dtype=number.dtype, device=number.device)
        beside = beside.clamp(first[record, None], last[record, None])
        around = self.to_natural_units(windows.index_select(0, beside.flatten())).unflatten(0, beside.shape)
        return self.to_natural_units(window), y, rr, rhythm, amplitude[record], template[record], around, names[record]

    def _lookup_tables(self, device: torch.device) -> tuple[Tensor, ...]:
        """Return what rows are completed with, on a device: windows, and of each record its first and last row, ...

        Each record stands there three times: as it is, in a made-up rhythm, and in one without P waves.
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

    def read(self, source: str) -> Record:  # type: ignore[override]
        """Read a WFDB record, of any rate and leads."""
        return read_record(source)
