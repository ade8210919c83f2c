"""Models on the Hugging Face Hub and in folders of the same layout: weights as safetensors, configuration and card."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from zoo.files import write_files
from zoo.pretrained.hub_files import check_repository, explaining, hub_client
from zoo.pretrained.repository import CARD, CONFIG, LIBRARY, MAX_CONFIG, WEIGHTS, local_reader, parse_config
from zoo.sharing.cards import write_card
from zoo.sharing.shared_model import SharedModel, find_model_to_share
from zoo.sharing.terms import check_allowed


def push_to_hub(
    source: Any,
    repository: str,
    *,
    private: bool | None = None,
    revision: str | None = None,
    storage: str | None = None,
    token: str | None = None,
    message: str | None = None,
) -> str:
    """Store a model in a repository of the Hugging Face Hub, in one commit; the repository is made if there is none.

    Its files are ``model.safetensors``, ``config.json`` with the name of the model, its hyper-parameters and the
    SHA-256 of the weights, and ``README.md``, the model card. ``zoo.create_model("hf-hub:user/name",
    pretrained=True)`` builds the model again. The address of the Hub, its cache and the access token are those of
    ``huggingface_hub``: ``HF_ENDPOINT``, ``HF_HOME``, ``HF_TOKEN`` or ``hf auth login``.

    Args:
        source: Name of a recipe, whose published weights are stored as they are; a user's recipe ``*.yaml``, with the
            best checkpoint of its newest run; path of a checkpoint; path of a folder that ``save_pretrained`` has
            written, whose card may have been edited; or the model itself, a ``ZooModule``.
        repository: ``user/name``.
        private: Whether a new repository is private; as the user has set on the Hub if None.
        revision: Branch, which is made if there is none; ``main`` if None.
        storage: How matrices of weights are stored: ``float32``, which changes no value, ``float16`` or ``int8``. If
            None, published weights stay as they are, and others are stored in float32.
        token: Access token, if not that of ``huggingface_hub``.
        message: Message of the commit.

    Returns:
        The address of the commit.

    Raises:
        FileNotFoundError: If there is no such file or no such weights, or the Hub cannot be reached.
        ValueError: If the terms of the data forbid to publish the weights, an argument is wrong, or the Hub refuses.
        ModuleNotFoundError: If ``huggingface_hub`` is not installed.
    """
    hub = hub_client()
    check_repository(repository)
    shared = find_model_to_share(source)
    _check_may_be_published(shared)
    files = _files(shared, f"hf-hub:{repository}" + (f"@{revision}" if revision else ""), storage)
    place = repository + (f"@{revision}" if revision else "")
    with explaining(place):
        api = hub.HfApi(token=token, library_name=LIBRARY)
        api.create_repo(repository, private=private, exist_ok=True)
        if revision is not None and revision != "main":
            api.create_branch(repository, branch=revision, exist_ok=True)
        operations = [hub.CommitOperationAdd(name, content) for name, content in files.items()]
        commit = api.create_commit(
            repository, operations, commit_message=message or f"{shared.title} of {LIBRARY}", revision=revision
        )
    return str(commit.commit_url)


def save_pretrained(source: Any, folder: str | os.PathLike[str], *, storage: str | None = None) -> Path:
    """Write a model into a folder, in the layout of ``push_to_hub``; nothing leaves the machine.

    ``zoo.create_model("local-dir:FOLDER", pretrained=True)`` builds the model again, and ``zoo.push_to_hub(FOLDER,
    "user/name")`` stores the folder on the Hub. A model that is in the folder already is replaced.

    Args:
        source: As for ``push_to_hub``.
        folder: The folder, which is made if there is none.
        storage: As for ``push_to_hub``.

    Returns:
        The folder.

    Raises:
        FileNotFoundError: If there is no such file or no such weights.
        ValueError: If an argument is wrong, or the folder has files of another kind under the same names.
    """
    target = Path(folder).expanduser()
    _check_replaceable(target)
    shared = find_model_to_share(source)
    files = _files(shared, f"local-dir:{os.fspath(folder)}", storage)
    write_files({target / name: content for name, content in files.items()})
    return target


def _files(shared: SharedModel, place: str, storage: str | None) -> dict[str, bytes]:
    """Return the content of each file of a repository."""
    packed = shared.files if shared.files is not None and storage is None else shared.pack(storage)
    if shared.result and storage is not None:  # the published measurement is not that of weights in another storage
        weights = {**shared.result["weights"], "metrics": {}}
        shared = dataclasses.replace(shared, result={**shared.result, "weights": weights})
    return packed if CARD in packed else {**packed, CARD: write_card(shared, place).encode()}


def _check_may_be_published(shared: SharedModel) -> None:
    """Raise ``ValueError`` if the terms of the data, or the recipe, forbid to publish the weights."""
    check_allowed(shared.title, shared.data)
    if shared.recipe is not None and shared.recipe.shipped_weights == "none":
        raise ValueError(f"{shared.title} is not published: its recipe says shipped_weights: none, see zoo info")


def _check_replaceable(folder: Path) -> None:
    """Raise ``ValueError`` if a model in a folder would replace files that are not of a model of this package."""
    if os.path.lexists(folder) and not folder.is_dir():
        raise ValueError(f"{folder} is a file, expected a folder")
    taken = [name for name in (WEIGHTS, CONFIG, CARD) if os.path.lexists(folder / name)]
    if not taken:
        return
    try:
        parse_config(local_reader(folder)(CONFIG, MAX_CONFIG), CONFIG)
    except (ValueError, FileNotFoundError):
        named = ", ".join(taken)
        raise ValueError(f"{folder} has {named} that are not of zoo.save_pretrained: choose another folder") from None
