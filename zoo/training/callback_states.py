"""States of callbacks in a checkpoint, restricted to the files of the run that is resumed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch import Tensor

from zoo.training.contents import check_kind, shorten


def restrict_callback_states(checkpoint: dict[str, Any], trainer: Any) -> None:
    """Restrict the callbacks' states in a checkpoint to files of the current run.

    Lightning's ``ModelCheckpoint`` deletes the files that its state names. Here each one is looked up by its file name
    in the callback's own folder, and stays only if it lies there and is a file that this callback would write.

    Args:
        checkpoint: Lightning's checkpoint, before the callbacks read it; it is changed in place.
        trainer: The ``Trainer`` whose callbacks will read it.

    Raises:
        ValueError: If a state is of a form that its callback cannot read.
    """
    states = checkpoint.get("callbacks")
    if states is None:
        return
    if not isinstance(states, dict):
        raise ValueError(f"the checkpoint's callbacks are {shorten(states)}, expected a state by name")
    for callback in trainer.callbacks:
        for key in (callback.state_key, callback._legacy_state_key):
            if key not in states:
                continue
            if not isinstance(states[key], dict):
                raise ValueError(f"the checkpoint's state of {key} is {shorten(states[key])}, expected a dictionary")
            if isinstance(callback, ModelCheckpoint):
                states[key] = _own_files(states[key], callback)
            elif isinstance(callback, EarlyStopping):
                for name in ("wait_count", "stopped_epoch", "patience"):
                    check_kind(states[key].get(name), int, f"the checkpoint's {name} of early stopping")
                _check_score(states[key].get("best_score"), "the checkpoint's best_score of early stopping")


def _own_files(state: dict[str, Any], callback: ModelCheckpoint) -> dict[str, Any]:
    """Return the state of a ``ModelCheckpoint`` with the paths of its own files alone."""
    folder = Path(callback.dirpath) if callback.dirpath else None
    pattern = _pattern(callback.filename or "{epoch}-{step}")
    saved_in = state.get("dirpath") if isinstance(state.get("dirpath"), str) else ""

    def own(path: Any, pattern: str = pattern) -> str:
        if folder is None or not isinstance(path, str) or "\0" in path:
            return ""
        if saved_in and path.startswith(f"{saved_in}/"):
            place = path[len(saved_in) + 1 :]
        else:
            place = re.split(r"[/\\]", path)[-1]
        found = folder / place
        named = re.fullmatch(rf"(?s:{pattern}(-v\d+)?{callback.FILE_EXTENSION})", place)
        inside = named and ".." not in found.parts and found.is_file() and folder.resolve() in found.resolve().parents
        return str(found) if inside else ""

    scores = state.get("best_k_models", {})
    if not isinstance(scores, dict):
        raise ValueError(f"the checkpoint's best_k_models are {shorten(scores)}, expected scores by path")
    given = [(key, state.get(key)) for key in ("best_model_score", "current_score", "kth_value")]
    for name, score in (*given, *(("best_k_models", score) for score in scores.values())):
        if score is not None or name == "best_k_models":
            _check_score(score, f"the checkpoint's {name}")
    kept = {own(path): score for path, score in scores.items() if own(path)}
    best, kth = own(state.get("best_model_path")), own(state.get("kth_best_model_path"))
    if kept and kth not in kept:
        worst = max if callback.mode == "min" else min
        kth = worst(kept, key=lambda path: float(kept[path]))
    return {
        **state,
        "dirpath": callback.dirpath,
        "best_model_path": best,
        "best_model_score": state.get("best_model_score") if best else None,
        "best_k_models": kept,
        "kth_best_model_path": kth if kept else "",
        "kth_value": kept[kth] if kept else callback.kth_value,
        "last_model_path": own(state.get("last_model_path"), _pattern(callback.CHECKPOINT_NAME_LAST)),
    }


def _pattern(template: str) -> str:
    """Return the regular expression of the names that a template of a ``ModelCheckpoint`` gives."""
    return re.sub(r"\\\{.*?\\\}", ".*", re.escape(template))


def _check_score(score: Any, what: str) -> None:
    check_kind(score, Tensor, what)
    if score.numel() != 1 or score.is_complex():
        raise ValueError(f"{what} is {shorten(score)}, expected one number")
