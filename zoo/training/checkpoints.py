"""Checkpoints: safe reading, checks, and the random state of a run."""

from __future__ import annotations

import os
from typing import Any

import torch

from zoo.arguments import current_names

LAST = "last"
"""Name of the checkpoint of the last epoch."""


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
    if not isinstance(content, dict) or "state_dict" not in content or "hyper_parameters" not in content:
        raise ValueError(f"{os.fspath(path)} is not a Lightning checkpoint of a model")
    return content


def check_checkpoint(path: str | os.PathLike[str], model: Any) -> None:
    """Raise ``ValueError`` unless a checkpoint's weights fit a model."""
    content = read_checkpoint(path)
    found = content.get("zoo", {}).get("class", "?")
    if found != type(model).__name__:
        raise ValueError(f"{os.fspath(path)} is a checkpoint of {found}, expected one of {type(model).__name__}")
    saved = {key: tuple(value.shape) for key, value in content["state_dict"].items()}
    wanted = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    for key in sorted(saved.keys() | wanted.keys()):
        if saved.get(key) != wanted.get(key):
            raise ValueError(
                f"{os.fspath(path)} does not fit the model: {key} is {saved.get(key, 'absent')}, "
                f"expected {wanted.get(key, 'absent')}"
            )


def load_checkpoint(cls: type, path: str | os.PathLike[str]) -> Any:
    """Build a model from a checkpoint, in evaluation mode.

    Args:
        cls: The model's class.
        path: The checkpoint.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a checkpoint of this class.
    """
    content = read_checkpoint(path)
    found = content.get("zoo", {}).get("class", "?")
    if found != cls.__name__:
        raise ValueError(f"{os.fspath(path)} is a checkpoint of {found}, expected one of {cls.__name__}")
    model = cls(**current_names(cls, content["hyper_parameters"]))
    try:
        model.load_state_dict(content["state_dict"])
    except RuntimeError as error:
        raise ValueError(f"{os.fspath(path)} does not fit {found} as it is now: fit the model anew") from error
    return model.eval()
