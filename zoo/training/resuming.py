"""Resuming: whether a checkpoint carries on the run that is asked for, and whether that run is over."""

from __future__ import annotations

import math
from collections.abc import Mapping
from inspect import Parameter
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from torch import Tensor

from zoo.arguments import current_names, signature
from zoo.training.callback_states import restrict_callback_states
from zoo.training.checkpoints import check_class, check_state, trainer_settings
from zoo.training.contents import as_plain, check_form, check_kind, shorten

FREE = ("root", "device_resident", "batches_per_step")
"""Arguments of a datamodule that may change when a run is resumed: they do not say what is learned."""
KERNELS = ("capturable", "foreach", "fused")
"""Settings of an optimiser that depend on the device and not on the run."""
NEW = ("length",)
"""Parts of a schedule's state that checkpoints of earlier versions lack."""
RATES = ("lr", "initial_lr")
"""Settings of an optimiser that change in a run."""
NOT_NEGATIVE = ("step", "exp_avg_sq", "max_exp_avg_sq", "sum")
"""Moments of an optimiser that are counts or sums of squares."""
SECTIONS = {"model": "hyper_parameters", "data": "datamodule_hyper_parameters"}


def seed_of(content: Mapping[str, Any]) -> int | None:
    """Return the seed of the data that a checkpoint was trained on; None if the checkpoint does not say."""
    seed = content.get(SECTIONS["data"], {}).get("seed")
    if seed is not None:
        check_kind(seed, int, "the checkpoint's seed")
    return seed


def check_resume(content: dict[str, Any], where: str, model: Any, data: Any, trainer: L.Trainer) -> None:
    """Check that a checkpoint carries on a run, as far as it can be seen before the training.

    Args:
        content: The checkpoint.
        where: Its path, for messages.
        model: The model that is to be trained on.
        data: Its datamodule.
        trainer: The trainer.

    Raises:
        ValueError: If it is of another model, of other settings, or lacks what resuming needs.
    """
    check_class(content, type(model), where)
    trained_on = content["zoo"].get("data", data.name)
    if trained_on != data.name:
        raise ValueError(f"{where} does not fit: it was trained on {trained_on}, the data here are {data.name}")
    for section, owner in (("model", model), ("data", data)):
        if SECTIONS[section] in content:
            _check_settings(content[SECTIONS[section]], owner, section, where)
    _check_trainer(content["zoo"].get("trainer", {}), trainer_settings(trainer), model, where)
    check_state(content["state_dict"], model, where)
    for key in ("epoch", "global_step", "loops", "optimizer_states", "lr_schedulers", "callbacks"):
        if key not in content:
            raise ValueError(f"{where} has no {key}: only a checkpoint of the whole training state can be resumed")
    if "cpu" not in content["zoo"].get("resume", {}):
        raise ValueError(f"{where} has no random state: only a checkpoint of the whole training state can be resumed")
    loops = content["loops"]
    if not isinstance(loops, dict) or "fit_loop" not in loops:
        raise ValueError(f"{where}: its loops are {shorten(loops)}, expected the progress of a fit")
    check_form(loops["fit_loop"], trainer.fit_loop.state_dict(), f"{where}: fit_loop")
    states = content["callbacks"]
    if not isinstance(states, dict):
        raise ValueError(f"{where}: its callbacks are {shorten(states)}, expected a state by name")
    restrict_callback_states({"callbacks": dict(states)}, trainer)  # of a copy, to see that each can be read
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, (EarlyStopping, ModelCheckpoint)) and not states.get(callback.state_key):
            raise ValueError(f"{where} has no state of {type(callback).__name__}, which it needs to be resumed")
    if model.hparams.get("schedule") == "plateau" and not isinstance(content["zoo"]["resume"].get("plateau"), dict):
        raise ValueError(f"{where} has no state of the schedule 'plateau'")


def _check_settings(saved: Mapping[str, Any], owner: Any, section: str, where: str) -> None:
    """Compare the settings in a checkpoint with those of a model or datamodule."""
    saved, given = current_names(type(owner), dict(saved)), as_plain(dict(owner.hparams))
    cls: Any = type(owner)
    known = signature(cls)  # what an older version did not have yet was as it is by default
    defaults = {name: known[name].default for name in given if name in known}
    saved = {**{name: value for name, value in defaults.items() if value is not Parameter.empty}, **saved}
    for name, value in as_plain(saved).items():
        if name in FREE or (section == "data" and name not in given):
            continue
        if name in getattr(owner, "chosen_in_validation", ()):
            continue
        if name not in given:
            raise ValueError(f"{where} does not fit: {type(owner).__name__} has no argument {name}")
        if value != given[name]:
            option = "--seed" if (section, name) == ("data", "seed") else f"--{section}.{name}"
            raise ValueError(
                f"{where} does not fit: {option} is {shorten(value, exact=True)} in the checkpoint, "
                f"{shorten(given[name], exact=True)} here: a run is resumed with its own settings"
            )


def _check_trainer(saved: Any, given: dict[str, Any], model: Any, where: str) -> None:
    """Compare the settings of the trainer of a checkpoint with those of the one that goes on."""
    check_form(saved, {}, f"{where}: the trainer's settings")
    accumulated = {given["accumulate_grad_batches"], model.hparams["accumulate"]}  # set when the fit begins
    for name, value in saved.items():
        same = value in accumulated if name == "accumulate_grad_batches" else value == given.get(name)
        if name in given and not same:
            raise ValueError(
                f"{where} does not fit: --trainer.{name} is {shorten(value)} in the checkpoint, "
                f"{shorten(given[name])} here: a run is resumed with its own settings"
            )


def reason_of_end(content: Mapping[str, Any], trainer: L.Trainer) -> str | None:
    """Return why the run of a checkpoint is over, None if it is not."""
    epochs = content["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
    if epochs >= (trainer.min_epochs or 0):
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if not isinstance(callback, EarlyStopping):
                continue
            state = content["callbacks"].get(callback.state_key, {})
            waited, patience = state.get("wait_count", 0), state.get("patience", math.inf)
            if isinstance(waited, int) and isinstance(patience, (int, float)) and waited >= patience:
                without = f"{waited} of them without a better {callback.monitor}"
                return f"early stopping ended it after {epochs} epochs, {without}"
            if state.get("stopping_reason"):
                return f"early stopping ended it after {epochs} epochs"
    if trainer.max_epochs not in (None, -1) and epochs >= trainer.max_epochs:
        return f"it has trained {epochs} of {trainer.max_epochs} epochs; a larger --trainer.max_epochs goes on"
    if trainer.max_steps != -1 and content["global_step"] >= trainer.max_steps:
        return f"it has made {content['global_step']} of {trainer.max_steps} updates"
    return None


class CheckedResume(Callback):
    """Check the optimisers' and schedules' states of a checkpoint against those that will read them.

    ``restored`` tells whether the training has gone on with the checkpoint for a batch.

    Args:
        content: The checkpoint.
        where: Its path, for messages.
    """

    takes_chunks = True

    def __init__(self, content: Mapping[str, Any], where: str) -> None:
        self.content, self.where, self.restored = content, where, False

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Compare the states, just before Lightning restores them."""
        self._compare("lr_schedulers", [config.scheduler for config in trainer.lr_scheduler_configs])
        for number, optimizer in enumerate(self._compare("optimizer_states", trainer.optimizers, whole=False)):
            state, where = self.content["optimizer_states"][number], f"{self.where}: optimizer_states {number}"
            groups = optimizer.state_dict()["param_groups"]
            check_form(state, {"state": {}, "param_groups": groups}, where)
            for saved, own in zip(state["param_groups"], groups):
                for name, value in own.items():
                    if name in RATES and not saved[name] >= 0:
                        raise ValueError(f"{where}: {name} is {shorten(saved[name])}, expected at least 0")
                    if name not in (*KERNELS, *RATES) and as_plain(saved[name]) != as_plain(value):
                        raise ValueError(f"{where}: {name} is {shorten(saved[name])}, expected {shorten(value)}")
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            _check_moments(state["state"], parameters, where)

    def on_train_batch_end(self, *_: Any) -> None:
        """Note that an update could be made with what was restored."""
        self.restored = True

    def _compare(self, key: str, owners: list[Any], whole: bool = True) -> list[Any]:
        states = self.content[key]
        if not isinstance(states, list) or len(states) != len(owners):
            raise ValueError(f"{self.where}: {key} is {shorten(states)}, expected a list of {len(owners)}")
        for number, owner in enumerate(owners if whole else []):
            form = {name: value for name, value in owner.state_dict().items() if name not in NEW}
            check_form(states[number], form, f"{self.where}: {key} {number}")
        return owners


def _check_moments(state: Mapping[Any, Any], parameters: list[Tensor], where: str) -> None:
    """Check the tensors that an optimiser keeps for each parameter."""
    names = {tuple(sorted(map(str, entry))) if isinstance(entry, dict) else None for entry in state.values()}
    if len(names) > 1 or None in names or () in names:
        raise ValueError(f"{where}: its state is not the same for all parameters")
    for index, entry in state.items():
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(parameters):
            raise ValueError(f"{where}: it has a state of parameter {shorten(index)}, of {len(parameters)}")
        for name, value in entry.items():
            if not isinstance(value, Tensor):
                check_form(value, value if value is None else 0.0, f"{where}: {name}")
                continue
            check_kind(value, Tensor, f"{where}: {name}")
            if value.shape not in ((), parameters[index].shape):
                raise ValueError(f"{where}: {name} is {tuple(value.shape)}, expected {tuple(parameters[index].shape)}")
            if not bool(torch.isfinite(value).all()):
                raise ValueError(f"{where}: {name} of parameter {index} has values that are not finite")
            if name in NOT_NEGATIVE and bool((value < 0).any()):
                raise ValueError(f"{where}: {name} of parameter {index} has negative values")
