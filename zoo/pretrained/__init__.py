"""Shipped weights and measured results: one ``.safetensors`` and one JSON file a recipe."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

from zoo.errors import unknown
from zoo.files import write_atomically

HERE = Path(__file__).parent
STORAGES = ("float16", "int8")
"""How matrices of weights are stored: in half precision, or in 8 bits with a scale for each row."""


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
    """Return the result of a recipe, or None if it has not been verified yet.

    Raises:
        ValueError: If its file is damaged.
    """
    path = result_path(recipe, folder)
    return _read_json(path) if path.exists() else None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error}): {_remedy(path)}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} is damaged (it holds a {type(content).__name__}): {_remedy(path)}")
    return content


def _remedy(path: Path) -> str:
    return "install the package anew" if HERE in path.parents else "make it anew"


def save_result(recipe: str, result: dict[str, Any], folder: Path = HERE) -> Path:
    """Write the result of a recipe."""
    path = result_path(recipe, folder)
    write_atomically(path, (json.dumps(result, indent=1, ensure_ascii=False) + "\n").encode())
    return path


def save_weights(recipe: str, name: str, model: Any, folder: Path = HERE, storage: str = "float16") -> str:
    """Write a model's weights in 16 or 8 bits, with its name and hyper-parameters as metadata.

    Args:
        recipe: Name of the recipe.
        name: Registered name of the model.
        model: The trained ``ZooModule``.
        folder: Destination.
        storage: How matrices are stored: ``float16``, or ``int8``, see ``zoo.pretrained.quantization``.

    Returns:
        The SHA-256 of the file; the same weights give the same bytes.

    Raises:
        ValueError: If ``storage`` is unknown.
    """
    if storage not in STORAGES:
        raise unknown("storage of weights", storage, STORAGES)
    content = pack_weights(name, model, storage, recipe)
    write_atomically(weights_path(recipe, folder), content)
    return hashlib.sha256(content).hexdigest()


def pack_weights(name: str, model: Any, storage: str, recipe: str = "") -> bytes:
    """Return a model's weights as the content of a safetensors file, with its name and hyper-parameters as metadata.

    The same weights give the same bytes.

    Args:
        name: Registered name of the model.
        model: The trained ``ZooModule``.
        storage: How matrices are stored: ``float32``, which changes no value, ``float16`` or ``int8``.
        recipe: Name of its recipe.
    """
    import torch
    from safetensors.torch import save

    from zoo.pretrained.quantization import quantize_state

    def compact(tensor: torch.Tensor) -> torch.Tensor:
        # Vectors and scalars stay in float32, since they take little space, and so do values beyond half precision.
        half = tensor.half() if tensor.dtype == torch.float32 and tensor.ndim > 1 else tensor
        return half if bool(torch.isfinite(half).all()) else tensor

    state = {key: value.detach().cpu() for key, value in model.net.state_dict().items()}
    if storage == "int8":
        state = quantize_state(state)
    if storage != "float32":
        state = {key: compact(value) for key, value in state.items()}
    state = {key: value.contiguous() for key, value in state.items()}
    hparams = json.dumps({name: _unpacked(value) for name, value in model.hparams.items()}, ensure_ascii=False)
    return _with_sorted_metadata(save(state, {"model": name, "recipe": recipe, "hparams": hparams}))


def unpack_weights(content: bytes) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Return the registered name, the hyper-parameters and the state in float32 that ``pack_weights`` has stored.

    Raises:
        ValueError: If the content is not that of such a file.
    """
    from safetensors.torch import load

    from zoo.pretrained.quantization import dequantize_state

    try:
        state = dequantize_state(load(content))
        metadata = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
        name, hparams = metadata["model"], json.loads(metadata["hparams"])
        if not isinstance(hparams, dict):
            raise TypeError("its hyper-parameters are no dictionary")
        return name, {key: _packed(value) for key, value in hparams.items()}, state
    except Exception as error:
        raise ValueError(" ".join(f"{type(error).__name__} {error}".split())[:200]) from error


def _unpacked(value: Any) -> Any:
    """Return a hyper-parameter, compact JSON as ``{"json": its content}``, whose quotes are then escaped once less."""
    if isinstance(value, str) and value.startswith("{"):
        with contextlib.suppress(ValueError):
            content = json.loads(value)
            if _packed({"json": content}) == value:
                return {"json": content}
    return value


def _packed(value: Any) -> Any:
    """Return a hyper-parameter that ``_unpacked`` may have changed as it was."""
    if isinstance(value, dict) and list(value) == ["json"]:
        return json.dumps(value["json"], separators=(",", ":"), ensure_ascii=False)
    return value


def _with_sorted_metadata(content: bytes) -> bytes:
    """Return a safetensors file with its metadata in order, which the library writes in a random one."""
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the tensors begin at a multiple of 8 bytes
    return len(text).to_bytes(8, "little") + text + content[start:]


def load_weights(recipe: str, folder: Path = HERE) -> Any:
    """Build a recipe's model with its shipped weights, in float32 and evaluation mode.

    The file itself says how each tensor is stored. Where the result of the recipe records a checksum, the file must
    have it.

    Raises:
        FileNotFoundError: If no weights are shipped for this recipe.
        ValueError: If the file is damaged.
    """
    from zoo.registry import build_model
    from zoo.training.checkpoints import check_state, load_state

    path = weights_path(recipe, folder)
    if not path.exists():
        raise FileNotFoundError(
            f"no weights are shipped for {recipe}: `zoo fit {recipe}` trains it, `--ckpt_path best` uses what it made"
        )
    content = path.read_bytes()
    result = load_result(recipe, folder)
    weights = result.get("weights") if result else None
    recorded = weights.get("sha256") if isinstance(weights, dict) else weights
    found = hashlib.sha256(content).hexdigest()
    if recorded is not None and recorded != found:
        raise ValueError(
            f"{path} is damaged (sha256 {found[:12]}..., recorded {str(recorded)[:12]}...): {_remedy(path)}"
        )
    try:
        name, hparams, state = unpack_weights(content)
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): {_remedy(path)}") from error
    added = hparams_path(recipe, folder)
    if added.exists():
        hparams.update(_read_json(added))
    try:
        model = build_model(name, **hparams)
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): {_remedy(path)}") from error
    check_state(state, model.net, str(path))
    load_state(model.net, state, str(path))
    return model.eval()
