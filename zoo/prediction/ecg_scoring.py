"""Scores of a model on a user's own annotated recordings, by ANSI/AAMI EC57."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from datamodules.ecg.beats import beats_of
from datamodules.ecg.records import annotators_of, find_records, read_record
from zoo.baselines.ecg import REPORTED_SCORES, annotated_labels
from zoo.baselines.measurement import Measurement
from zoo.errors import in_one_line, printable
from zoo.figures.ecg import CAUTION
from zoo.metrics.ec57 import EC57, NO_BEAT, detection_scores, detection_table, ec57_scores, ec57_table
from zoo.prediction.ecg import check_annotator
from zoo.prediction.jobs import run_jobs


class RecordScores(NamedTuple):
    """Scores of a model on annotated recordings."""

    records: list[str]
    """Names (R,) of the recordings: their paths in the folder."""
    given: Tensor
    """Confusion matrices (R, 6, 6) with the annotated R peaks, int64, by true (row) and predicted class: N, S, V, F, Q
    and no beat."""
    detected: Tensor
    """The same with detected R peaks."""
    left_out: list[str]
    """Why, in one line each, recordings were not scored."""
    warnings: list[str]
    """What is doubtful about the files, a line each."""

    @property
    def metrics(self) -> dict[str, float]:
        """Scores over the beats of all recordings.

        ``records``, ``left_out`` and ``beats`` are numbers. The scores of ``ec57_scores`` with annotated R peaks have
        their names, such as ``v_f1``, those with detected R peaks begin with ``detected_``, and those of
        ``detection_scores`` end it. A score without beats is NaN.
        """
        given, detected = ec57_scores(self.given.sum(0)), ec57_scores(self.detected.sum(0))
        scores = detection_scores(self.detected.sum(0))
        counts = {"missed_beats": int(scores.pop("missed_beats")), "extra_beats": int(scores.pop("extra_beats"))}
        return {
            "records": len(self.records),
            "left_out": len(self.left_out),
            "beats": int(self.given[:, :NO_BEAT].sum()),
            **{name: float(given[name]) for name in REPORTED_SCORES},
            **{f"detected_{name}": float(detected[name]) for name in REPORTED_SCORES},
            **scores,
            **counts,
        }

    def report(self) -> str:
        """Return the tables of EC57 with annotated and with detected R peaks, and of the detection, as text."""
        count = f"{len(self.records)} of {len(self.records) + len(self.left_out)} recordings scored"
        parts = [
            f"R peaks as annotated\n\n{ec57_table(self.given, self.records)}",
            f"R peaks as detected\n\n{ec57_table(self.detected, self.records)}",
            f"Detection of beats within 150 ms, whatever their class\n\n{detection_table(self.detected, self.records)}",
            "\n".join(
                [
                    *(f"left out: {line}" for line in self.left_out),
                    *(f"warning: {line}" for line in self.warnings),
                    f"{count}, each as a whole: the first five minutes, which EC57 allows to leave out, and episodes "
                    "of ventricular flutter, which it leaves out, count as well. " + CAUTION,
                ]
            ),
        ]
        return "\n\n\n".join(parts)


def score_records(
    model: Any, folder: str | os.PathLike[str], annotator: str, ckpt_path: str | os.PathLike[str] | None = None
) -> RecordScores:
    """Score a model on a folder of annotated recordings, with annotated and with detected R peaks, as EC57 does.

    The recordings may have any name, sampling rate, gain and leads, see ``annotate``, and lie in subfolders. Annotated
    beats are those with the codes of ``datamodules.ecg.beats.CODES``; other annotations are ignored. Predicted and
    annotated beats match within 150 ms, one to one, the nearest pairs first. A missed beat is a false negative of its
    class, an extra one a false positive of its predicted class. Recordings are scored from their first to their last
    sample. A model that answers N and Q alone, such as an autoencoder, has no S, V and F.

    Args:
        model: A recipe by name, whose shipped weights are used, a recipe's YAML file, or a model that annotates
            recordings.
        folder: Folder of WFDB records, or one record.
        annotator: Ending of the annotation files, such as ``atr``. Records without one, and those that cannot be read
            or have no annotated beat, are left out.
        ckpt_path: Checkpoint in place of a recipe's shipped weights.

    Raises:
        FileNotFoundError: If the folder is missing or holds no record with such annotations.
        ValueError: If no record can be scored, or the model takes no recordings.
    """
    check_annotator(annotator)
    if isinstance(model, (str, os.PathLike)):
        from zoo.prediction import load_model

        model = load_model(os.fspath(model), ckpt_path)[0]
    elif ckpt_path is not None:
        raise ValueError("ckpt_path belongs to a recipe: a model has its weights already")
    if getattr(model, "input_kind", None) != "recordings":
        raise ValueError(f"annotator is for recordings, which {type(model).__name__} does not take")
    headers, others = find_records(folder, annotator)
    if not headers:
        there = sorted({ending for header in others for ending in annotators_of(header)})
        hint = f"there are {', '.join(there)}" if there else "they have none at all"
        raise FileNotFoundError(f"{folder}: none of {len(others)} records has annotations {annotator!r}; {hint}")
    top = Path(os.path.expanduser(folder))

    def name_of(header: Path) -> str:
        inside = header.relative_to(top) if top.is_dir() else Path(header.name)
        return printable(inside.with_suffix("").as_posix())

    def one(header: Path) -> tuple[str, Tensor, Tensor, tuple[str, ...]]:
        name = name_of(header)
        try:
            record = read_record(header, annotator)
            if not len(beats_of(record)[0]):
                raise ValueError(f"no annotated beat among {len(record.symbol or [])} annotations {annotator!r}")
            found = []
            for detect in (False, True):
                beats = EC57()
                beats.update(*annotated_labels(model, record, detect))
                found.append(beats.matrix)
        except (ValueError, OSError) as error:
            kind = FileNotFoundError if isinstance(error, FileNotFoundError) else ValueError
            raise kind(f"{name}: {in_one_line(error)}") from error
        return name, found[0], found[1], record.warnings

    scored, failures = run_jobs(headers, one, "scoring", len(headers) > 1)
    names, given, detected, warnings = zip(*scored)
    missing = [f"{name_of(header)}: no annotations {annotator!r}" for header in others]
    told = [printable(line) for lines in warnings for line in lines]
    return RecordScores(list(names), torch.stack(given), torch.stack(detected), sorted(failures + missing), told)


def score_settings(
    recipe: str, ckpt_path: str | None, annotator: str, settings: Mapping[str, Mapping[str, Any]]
) -> Measurement:
    """Return the metrics and the report of ``score_records`` for the settings of a command line.

    Args:
        recipe: The recipe.
        ckpt_path: Checkpoint in place of its shipped weights.
        annotator: Ending of the annotation files.
        settings: Settings by section and name, of which there is but ``root`` of ``data``, the folder.

    Raises:
        ValueError: If the folder is missing, or another setting is given.
    """
    given = {f"--{section}.{name}": value for section, part in settings.items() for name, value in part.items()}
    folder = given.pop("--data.root", None)
    for name in given:
        raise ValueError(f"{name} has no use with --annotator, which scores the recordings in --data.root as they are")
    if folder is None:
        raise ValueError("--annotator needs --data.root FOLDER, the folder of your annotated recordings")
    if not isinstance(folder, str):
        raise ValueError(f"--data.root {folder}: expected the path of a folder; write ./NAME if it is a number")
    found = score_records(recipe, folder, annotator, ckpt_path)
    return Measurement(found.metrics, found.report())
