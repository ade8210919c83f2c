"""Train the detection of atrial fibrillation on DS1 of MIT-BIH, and measure it.

    python scripts/atrial_fibrillation.py fit                   # coefficients, and each record of DS1 by the others
    python scripts/atrial_fibrillation.py measure --split ds1   # with the shipped classifier and detected R peaks
    python scripts/atrial_fibrillation.py measure --split ds2   # the test split

``fit`` trains a logistic regression of ``zoo.nn.atrial_fibrillation.irregularity`` on the beats of DS1, whose classes
and rhythms are annotated, and on the beats of simulated hearts, since only records 201 and 203 of DS1 have atrial
fibrillation: other rhythms are those of ``synthetic_hearts``, and fibrillation has independent log-normal intervals
of widely different spread. Atrial flutter is left out. ``measure`` annotates recordings and prints sensitivity and
positive predictivity by time, the share of flutter that is taken for fibrillation, and how many annotated normal
beats in fibrillation are called S, with annotated R peaks, by the model and by the same model without what the rhythm
says. Records 201 of DS1 and 202 of DS2 are of the same man.
"""

from __future__ import annotations

import argparse
import copy
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

import zoo
from datamodules import MITBIHDataModule
from datamodules.ecg.annotation_files import read_notes
from datamodules.ecg.beats import CLASS_NAMES, beats_of
from datamodules.ecg.records import Record, read_record
from datamodules.ecg.rhythm_simulation import BEATS_PER_HEART, V, synthetic_hearts
from datamodules.ecg.signal_quality import ranges_of
from datamodules.mitbih import DS1, DS2
from zoo.nn.atrial_fibrillation import FEWEST, irregularity
from zoo.tasks.ecg_annotation import Annotation

HEARTS, FIBRILLATING, EVERY, RECORDED_WEIGHT = 400, 300, 5, 2.0
"""Simulated hearts, further ones that fibrillate, the beats that are used of each (one in five), and the weight of a
recorded beat beside them."""
SPREADS = (0.05, 0.35)
"""Standard deviations of the logarithms of the intervals in simulated fibrillation."""
FIBRILLATION, FLUTTER = "(AFIB", "(AFL"
SAME_MAN = 202


class Rows(NamedTuple):
    """Beats to train on."""

    features: np.ndarray
    count: np.ndarray
    label: np.ndarray
    record: np.ndarray


def recordings(numbers: tuple[int, ...]) -> Iterator[tuple[Record, np.ndarray]]:
    """Yield recordings and the note of the rhythm (samples,) at each of their samples."""
    files = MITBIHDataModule().files
    with files.unpacked(files.download()) as folder:
        for number in numbers:
            record = read_record(Path(folder) / str(number), "atr")
            rhythm = np.full(len(record.signal), "", dtype="U8")
            for sample, note in zip(*read_notes(Path(folder) / f"{number}.atr")):
                if note.startswith("("):
                    rhythm[sample:] = note
            yield record, rhythm


def recorded_rows() -> Rows:
    """Return the beats of DS1 that are not in flutter."""
    parts = []
    for record, rhythm in recordings(DS1):
        position, label = beats_of(record)
        ventricular = np.isin(label, [CLASS_NAMES.index(name) for name in "VF"])
        features, count = irregularity(position / record.fs, ventricular)
        used = rhythm[position] != FLUTTER
        fibrillates = rhythm[position] == FIBRILLATION
        parts.append([features[used], count[used], fibrillates[used], np.full(used.sum(), int(record.name))])
    return Rows(*(np.concatenate(column) for column in zip(*parts)))


def simulated_rows() -> Rows:
    """Return beats of simulated hearts, those in fibrillation and others."""
    hearts, rng, parts = synthetic_hearts(HEARTS, seed=0), np.random.default_rng(0), []
    for number in range(HEARTS):
        own = hearts.heart == number
        if not hearts.fibrillates[own].any():
            parts.append((*irregularity(hearts.position[own], hearts.label[own] == V), np.zeros(own.sum(), bool)))
    for _ in range(FIBRILLATING):
        base, spread, shortest = rng.uniform(0.4, 1.1), rng.uniform(*SPREADS), rng.uniform(0.25, 0.5)
        ventricular = rng.random(BEATS_PER_HEART) < rng.choice([0, 0.02, 0.1])
        intervals = np.maximum(min(shortest, 0.8 * base), base * np.exp(spread * rng.normal(size=BEATS_PER_HEART)))
        seconds = np.cumsum(np.where(ventricular, 0.65 * base, intervals))
        parts.append((*irregularity(seconds, ventricular), np.ones(BEATS_PER_HEART, bool)))
    columns = [np.concatenate(column) for column in zip(*parts)]
    return Rows(*columns, np.zeros(len(columns[0]), int))


def trained(recorded: Rows, simulated: Rows) -> Any:
    """Return the regression of both."""
    rows = [np.concatenate([ours[::EVERY], theirs[::EVERY]]) for ours, theirs in zip(recorded, simulated)]
    weight = np.where(rows[3] > 0, RECORDED_WEIGHT, 1.0)
    model = make_pipeline(
        StandardScaler(), PolynomialFeatures(2, include_bias=False), LogisticRegression(max_iter=2000)
    )
    return model.fit(rows[0], rows[2], logisticregression__sample_weight=weight)


def fit() -> None:
    """Print the coefficients, and the beats that are found in each record of DS1 by the others."""
    recorded, simulated = recorded_rows(), simulated_rows()
    table = Table("record", "beats in fibrillation", "found", "other beats", "taken for it", title="DS1, by the others")
    for number in DS1:
        own = recorded.record == number
        model = trained(Rows(*(column[~own] for column in recorded)), simulated)
        found = model.predict(recorded.features[own]).astype(bool) & (recorded.count[own] >= FEWEST)
        label = recorded.label[own].astype(bool)
        if label.any() or found.any():
            values = (label.sum(), (found & label).sum(), (~label).sum(), (found & ~label).sum())
            table.add_row(str(number), *map(str, values))
    Console().print(table)
    model = trained(recorded, simulated)
    scaler, products, regression = (step for _, step in model.steps)
    quadratic = np.zeros((4, 4))
    for powers, weight in zip(products.powers_[4:], regression.coef_[0, 4:]):
        quadratic[tuple(np.repeat(np.arange(4), powers))] = weight
    for name, value in (
        ("MEAN", scaler.mean_),
        ("SCALE", scaler.scale_),
        ("BIAS", regression.intercept_[0]),
        ("LINEAR", regression.coef_[0, :4]),
        ("QUADRATIC", quadratic),
    ):
        print(f"{name} = {np.round(value, 3).tolist()}")


def in_episodes(found: Annotation, size: int) -> np.ndarray:
    """Return the mask (samples,) of the time from the first to the last beat of each episode."""
    assert found.fibrillation is not None
    mask = np.zeros(size, bool)
    for start, stop in ranges_of(found.fibrillation):
        mask[found.sample[start] : found.sample[stop - 1] + 1] = True
    return mask


def measure(split: str) -> None:
    """Print how well fibrillation is found in the recordings of a split."""
    model = zoo.create_model("ecg_classifier.mitbih", pretrained=True)
    columns = (
        "record",
        "fibrillation, s",
        "found, s",
        "elsewhere, s",
        "flutter, s",
        "taken for it, s",
        "N",
        "S",
        "S alone",
    )
    table, rows = Table(*columns, title=f"Atrial fibrillation in {split.upper()}, R peaks detected"), {}
    alone = copy.deepcopy(model)
    alone.in_rhythm = lambda found: found
    numbers = DS1 if split == "ds1" else DS2
    for record, rhythm in track(recordings(numbers), "annotating", total=len(numbers)):
        found = model.annotate(record.signal, record.fs, leads=record.leads)
        true, flutter, ours = rhythm == FIBRILLATION, rhythm == FLUTTER, in_episodes(found, len(rhythm))
        position, label = beats_of(record)
        normal = (label == 0) & true[position]
        called = [
            (normal & (np.array(each.annotate(record.signal, record.fs, position, record.leads).symbol) == "S")).sum()
            for each in (model, alone)
        ]
        seconds = [
            mask.sum() / record.fs for mask in (true, true & ours, ours & ~true & ~flutter, flutter, flutter & ours)
        ]
        rows[int(record.name)] = np.array([*seconds, normal.sum(), *called])
    total = sum(rows.values())
    for name, row in [*((str(n), r) for n, r in rows.items() if r[0] or r[2] > 1 or r[3]), ("all", total)]:
        table.add_row(name, *(f"{value:.0f}" for value in row))
    Console(width=120).print(table)
    print(
        f"sensitivity {total[1] / total[0]:.3f}, positive predictivity {total[1] / (total[1] + total[2]):.3f} by time"
    )
    if SAME_MAN in rows:
        without = total - rows[SAME_MAN]
        print(f"without record {SAME_MAN}: sensitivity {without[1] / without[0]:.3f}")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["fit", "measure"])
    parser.add_argument("--split", choices=["ds1", "ds2"], default="ds1", help="ds2 is the test split")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    fit() if args.task == "fit" else measure(args.split)


if __name__ == "__main__":
    main()
