"""Checkpoints: safe reading, checks of all that they carry, and the random state of a run.

A checkpoint may come from a stranger: it is data, whose every part is checked before it is used.
"""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from packaging.version import InvalidVersion, Version
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from zoo.arguments import check_arguments, current_names
from zoo.building import construct
from zoo.training.callback_states import restrict_callback_states
from zoo.training.contents import MAX_VALUES, as_plain, check_form, check_kind, count_values, shorten
from zoo.training.optim import with_numbers
from zoo.training.seen import check_rows

LAST = "last"
"""Name of the checkpoint of the last epoch."""

# ---- the random state ----


def random_state(device: torch.device) -> dict[str, Any]:
    """Return the state of torch's random numbers on the CPU and on a CUDA device, as tensors."""
    state: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Set torch's random numbers to what ``random_state`` returned; what is missing stays as it is."""
    if "cpu" in state:
        torch.set_rng_state(state["cpu"].cpu())
    if "cuda" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)


# ---- what a model adds to a checkpoint and takes from it ----


def add_model_state(checkpoint: dict[str, Any], model: Any, plateau: Any = None) -> None:
    """Add to a checkpoint what an exact resume needs beyond Lightning's own, as plain data.

    Args:
        checkpoint: Lightning's checkpoint, just before it is written.
        model: The ``ZooModule`` it is of.
        plateau: Its ``ReduceLROnPlateau``, if it has one.
    """
    resume = random_state(model.device)
    if plateau is not None:
        resume["plateau"] = with_numbers(plateau.state_dict())
    checkpoint["zoo"] = {"class": type(model).__name__, "resume": resume}
    if getattr(model, "rows_seen", None):
        checkpoint["zoo"]["rows"] = model.rows_seen
    if getattr(model, "started_from", None):
        checkpoint["zoo"]["start"] = model.started_from
    trainer = getattr(model, "_trainer", None)
    if trainer is not None:
        checkpoint["zoo"]["trainer"] = trainer_settings(trainer)
        name = getattr(getattr(trainer, "datamodule", None), "name", None)
        if isinstance(name, str):
            checkpoint["zoo"]["data"] = name
    for key in ("hyper_parameters", "datamodule_hyper_parameters"):
        if key in checkpoint:
            checkpoint[key] = as_plain(checkpoint[key])


def trainer_settings(trainer: Any) -> dict[str, Any]:
    """Return the settings of a trainer that decide what is learned, as plain data."""
    return {
        "accumulate_grad_batches": trainer.accumulate_grad_batches,
        "gradient_clip_algorithm": str(trainer.gradient_clip_algorithm or "") or None,
        "gradient_clip_val": trainer.gradient_clip_val,
        "limit_train_batches": trainer.limit_train_batches,
        "overfit_batches": getattr(trainer, "overfit_batches", 0),
        "precision": str(trainer.precision),
    }


def take_model_state(checkpoint: dict[str, Any], model: Any) -> dict[str, Any]:
    """Check a checkpoint that Lightning is about to restore, and return what resuming needs of it.

    The states of callbacks are restricted by ``restrict_callback_states`` where the model is attached to a trainer.

    Raises:
        ValueError: If it is of another class, or holds what no checkpoint holds.
    """
    whole = "state_dict" in checkpoint  # a strategy that shards a model reads its weights by itself
    check_content(checkpoint if whole else {**checkpoint, "state_dict": {}}, "the checkpoint")
    saved = checkpoint.get("zoo", {})
    if saved.get("class", type(model).__name__) != type(model).__name__:
        raise ValueError(f"the checkpoint is of a {saved['class']}, not of a {type(model).__name__}")
    if whole:
        check_state(checkpoint["state_dict"], model, "the checkpoint")
    model.rows_seen, model.started_from = saved.get("rows"), saved.get("start")
    _take_chosen(checkpoint.get("hyper_parameters", {}), model)
    trainer = getattr(model, "_trainer", None)
    if trainer is not None:
        _carry_over(checkpoint["hyper_parameters"], model, trainer)
        restrict_callback_states(checkpoint, trainer)
        _count_updates_alike(checkpoint)
    return saved.get("resume", {})


def _take_chosen(saved: Mapping[str, Any], model: Any) -> None:
    """Give a model the hyper-parameters that validation chose for the weights of a checkpoint."""
    chosen = {name: saved[name] for name in getattr(model, "chosen_in_validation", ()) if name in saved}
    if chosen:
        model.hparams.update(check_arguments("the checkpoint", type(model), chosen))


def _carry_over(saved: Mapping[str, Any], model: Any, trainer: Any) -> None:
    """Let a model carry what the checkpoint's learned about its data, and bring the trainer's datamodule to it."""
    data: Any = getattr(trainer, "datamodule", None)
    saved = current_names(type(model), dict(saved))
    names = [name for name in getattr(data, "learned", ()) if name in model.hparams]
    other = {name: saved[name] for name in names if saved.get(name) not in (None, model.hparams[name])}
    if other:
        model.hparams.update(check_arguments("the checkpoint", type(model), other))
        data.adopt(model.hparams)


def _count_updates_alike(checkpoint: dict[str, Any]) -> None:
    """Let both ways of optimisation have made the checkpoint's updates, since ``batches_per_step`` may change."""
    steps = checkpoint.get("global_step")
    loop = checkpoint.get("loops")
    loop = loop.get("fit_loop") if isinstance(loop, dict) else None
    if not isinstance(loop, dict) or steps is None:
        return
    manual = loop.get("epoch_loop.manual_optimization.optim_step_progress")
    automatic = loop.get("epoch_loop.automatic_optimization.optim_progress")
    try:
        for progress in (manual, automatic["optimizer"]["step"]):  # type: ignore[index]
            progress["total"].update(ready=steps, completed=steps)  # type: ignore[index]
    except (KeyError, TypeError, AttributeError):
        return  # of a form that resuming refuses


# ---- reading and checking ----


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a checkpoint without running any code in it.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a checkpoint, is damaged, or holds more than tensors and plain data.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise FileNotFoundError(f"{os.fspath(path)}: no such checkpoint") from None
    except Exception as error:
        raise ValueError(f"{os.fspath(path)} is not a checkpoint that can be read ({type(error).__name__})") from error
    check_content(content, os.fspath(path))
    return content


def check_content(content: Any, where: str) -> None:
    """Raise ``ValueError`` unless a checkpoint has weights, hyper-parameters and counters of the right kinds.

    Args:
        content: What was read from the file.
        where: Its name in messages.
    """
    if not isinstance(content, dict) or "state_dict" not in content or "hyper_parameters" not in content:
        raise ValueError(f"{where} is not a Lightning checkpoint of a model")
    count_values(content, MAX_VALUES, where)
    for key in ("state_dict", "hyper_parameters", "datamodule_hyper_parameters", "zoo"):
        if not isinstance(content.get(key, {}), Mapping):
            raise ValueError(f"{where}: {key} is {shorten(content[key])}, expected a dictionary")
        for name in content.get(key, {}):
            check_kind(name, str, f"{where}: a name in {key}")
    for name, value in content["state_dict"].items():
        check_kind(value, Tensor, f"{where}: {name}")
    for key in ("epoch", "global_step"):
        if key in content:
            check_kind(content[key], int, f"{where}: {key}")
    try:
        Version(content.get("pytorch-lightning_version", "0"))
    except (InvalidVersion, TypeError):
        version = shorten(content["pytorch-lightning_version"])
        raise ValueError(f"{where}: pytorch-lightning_version is {version}, expected a version") from None
    saved = content.get("zoo", {})
    for key in ("class", "data", "start"):
        check_kind(saved.get(key, ""), str, f"{where}: {key}")
    _check_resume(saved.get("resume", {}), where)
    if "rows" in saved:
        check_rows(saved["rows"], where)


def _check_resume(resume: Any, where: str) -> None:
    """Check the random state, which another generator takes for a trial."""
    if not isinstance(resume, dict):
        raise ValueError(f"{where}: its random state is {shorten(resume)}, expected a dictionary")
    for key in ("cpu", "cuda"):
        if key in resume:
            check_kind(resume[key], Tensor, f"{where}: its random state")
    if "cpu" in resume:
        try:
            torch.Generator().set_state(resume["cpu"])
        except (RuntimeError, TypeError):
            raise ValueError(f"{where}: its random state is damaged") from None
    if "plateau" in resume:
        weight = torch.zeros(1, requires_grad=True)
        expected = ReduceLROnPlateau(torch.optim.SGD([weight])).state_dict()
        state = resume["plateau"]
        if not isinstance(state, dict) or set(state) != set(expected):
            raise ValueError(f"{where}: its state of the schedule 'plateau' is {shorten(state)}, damaged")
        for key, value in expected.items():  # a list has an entry for each group of weights
            form = value * len(state[key]) if isinstance(value, list) and isinstance(state[key], list) else value
            check_form(state[key], form, f"{where}: plateau, {key}")


def check_state(state: Mapping[str, Any], model: nn.Module, where: str) -> None:
    """Raise ``ValueError`` unless a model can load a state, of its own shapes and kinds and without NaN and infinity.

    The model is left as it is: a copy without storage loads the state.

    Args:
        state: Tensors by name.
        model: The model.
        where: Name of the file in messages.
    """
    tensors = {**dict(model.named_parameters(remove_duplicate=False)), **dict(model.named_buffers())}
    memo: dict[int, Any] = {}
    for tensor in tensors.values():
        empty = torch.empty_like(tensor.detach(), device="meta")
        memo[id(tensor)] = nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty
    attached = model.__dict__.pop("_trainer", None)  # of which no copy is wanted
    try:
        bare = copy.deepcopy(model, memo)
    except Exception:  # a model that cannot be copied says itself what it cannot load
        bare = None
    finally:
        if attached is not None:
            model.__dict__["_trainer"] = attached
    if bare is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that nothing is copied to a tensor without storage
            load_state(bare, state, where)
    for name, value in state.items():
        own = tensors.get(name)
        if own is not None and own.is_floating_point() != value.is_floating_point():
            raise ValueError(f"{where} does not fit the model: {name} is {value.dtype}, expected {own.dtype}")
        check_finite_tensor(value, own, f"{where}: {name}")


def check_finite_tensor(value: Tensor, own: Tensor | None, what: str) -> None:
    """Raise ``ValueError`` for NaN or infinity where the tensor of a fresh model has none."""
    if (value.is_floating_point() or value.is_complex()) and not bool(torch.isfinite(value).all()):
        wrong = ~torch.isfinite(value)
        if own is None or own.shape != value.shape or bool((wrong & torch.isfinite(own.to(value.device))).any()):
            raise ValueError(f"{what} has {int(wrong.sum())} values that are not finite, of {value.numel()}")


def load_state(model: nn.Module, state: Mapping[str, Any], where: str) -> None:
    """Load a state into a model.

    Raises:
        ValueError: If a tensor is missing, unknown or of another shape.
    """
    try:
        model.load_state_dict(dict(state), strict=getattr(model, "strict_loading", True))
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines()]
        detail = (lines[1] if len(lines) > 1 else lines[0] if lines else type(error).__name__).rstrip(". ")
        raise ValueError(f"{where} does not fit the model: {detail[:300]}") from error


def check_class(content: dict[str, Any], cls: type, path: str | os.PathLike[str]) -> None:
    """Raise ``ValueError`` unless a checkpoint is of a class."""
    found = content.get("zoo", {}).get("class", "?")
    if found != cls.__name__:
        raise ValueError(f"{os.fspath(path)} is a checkpoint of {found}, expected one of {cls.__name__}")


def check_checkpoint(path: str | os.PathLike[str], model: Any) -> None:
    """Raise ``ValueError`` unless a checkpoint's weights fit a model."""
    content = read_checkpoint(path)
    check_class(content, type(model), path)
    check_state(content["state_dict"], model, os.fspath(path))


def read_hparams(content: dict[str, Any], cls: type, where: str) -> dict[str, Any]:
    """Return the checked hyper-parameters of a checkpoint, under their current names.

    Raises:
        ValueError: If it is not a checkpoint of this class, or they are not its arguments.
    """
    check_class(content, cls, where)
    args = current_names(cls, dict(content["hyper_parameters"]))
    return check_arguments(f"{where}: {cls.__name__}", cls, args)


def load_checkpoint(cls: type, path: str | os.PathLike[str]) -> Any:
    """Build a model from a checkpoint, in evaluation mode.

    Args:
        cls: The model's class.
        path: The checkpoint.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a checkpoint of this class.
    """
    content, where = read_checkpoint(path), os.fspath(path)
    model = construct(f"{where}: {cls.__name__}", cls, read_hparams(content, cls, where))
    check_state(content["state_dict"], model, where)
    load_state(model, content["state_dict"], where)
    model.rows_seen, model.started_from = content["zoo"].get("rows"), content["zoo"].get("start")
    return model.eval()
