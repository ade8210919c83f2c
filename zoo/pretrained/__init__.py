"""Shipped weights and measured results: one ``.safetensors`` and one JSON file a recipe."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from zoo.files import write_atomically

HERE = Path(__file__).parent


def weights_path(recipe: str, folder: Path = HERE) -> Path:
    """Return the path of the weights of a recipe."""
    return folder / f"{recipe}.safetensors"


def hparams_path(recipe: str, folder: Path = HERE) -> Path:
    """Return the path of hyper-parameters that a recipe's weights lack, since they were added after publication."""
    return folder / f"{recipe}.hparams.json"


def result_path(recipe: str, folder: Path = HERE) -> Path:
    """Return the path of the result of a recipe."""
    return folder / "results" / f"{recipe}.json"


def load_result(recipe: str, folder: Path = HERE) -> dict[str, Any] | None:
    """Return the result of a recipe, or None if it has not been verified yet."""
    path = result_path(recipe, folder)
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def save_result(recipe: str, result: dict[str, Any], folder: Path = HERE) -> Path:
    """Write the result of a recipe."""
    path = result_path(recipe, folder)
    write_atomically(path, (json.dumps(result, indent=1, ensure_ascii=False) + "\n").encode())
    return path


def save_weights(recipe: str, name: str, model: Any, folder: Path = HERE) -> str:
    """Write a model's weights in half precision, with its name and hyper-parameters as metadata.

    Args:
        recipe: Name of the recipe.
        name: Registered name of the model.
        model: The trained ``ZooModule``.
        folder: Destination.

    Returns:
        The SHA-256 of the file.
    """
    import torch
    from safetensors.torch import save

    def compact(tensor: torch.Tensor) -> torch.Tensor:
        # Vectors and scalars stay in float32, since they take little space.
        return tensor.half() if tensor.dtype == torch.float32 and tensor.ndim > 1 else tensor

    state = {key: compact(value.detach().cpu()).contiguous() for key, value in model.net.state_dict().items()}
    content = save(state, {"model": name, "recipe": recipe, "hparams": json.dumps(dict(model.hparams))})
    write_atomically(weights_path(recipe, folder), content)
    return hashlib.sha256(content).hexdigest()


def load_weights(recipe: str, folder: Path = HERE) -> Any:
    """Build a recipe's model with its shipped weights, in float32 and evaluation mode.

    Raises:
        FileNotFoundError: If no weights are shipped for this recipe.
    """
    from safetensors import safe_open

    from zoo.registry import build_model

    path = weights_path(recipe, folder)
    if not path.exists():
        raise FileNotFoundError(
            f"no weights are shipped for {recipe}: `zoo fit {recipe}` trains it, `--ckpt_path best` uses what it made"
        )
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    hparams, added = json.loads(metadata["hparams"]), hparams_path(recipe, folder)
    if added.exists():
        hparams.update(json.loads(added.read_text(encoding="utf-8")))
    model = build_model(metadata["model"], **hparams)
    model.net.load_state_dict(state)
    return model.eval()
