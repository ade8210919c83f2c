"""Files of a repository on the Hugging Face Hub, by its own client: address, cache and token are those that it uses."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zoo.errors import needs, printable
from zoo.pretrained.repository import Reader, read_regular

COMMIT = re.compile("[0-9a-f]{40}")
"""Name of a commit."""
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
"""Name of a repository, whose details the Hub checks."""


def hub_client() -> Any:
    """Return the module ``huggingface_hub``.

    Raises:
        ModuleNotFoundError: If it is not installed.
    """
    return needs("huggingface_hub", "hub")


def check_repository(name: str) -> str:
    """Return the name of a repository.

    Raises:
        ValueError: If it is not ``user/name``.
    """
    from huggingface_hub.utils import validate_repo_id

    try:
        if not REPOSITORY.fullmatch(name):
            raise ValueError
        validate_repo_id(name)
    except ValueError:
        expected = "user/name of letters, digits, '-', '_' and '.', at most 96 characters"
        raise ValueError(f"repository {printable(name[:100])!r}: expected {expected}") from None
    return name


def hub_reader(place: str) -> Reader:
    """Return the function that reads the files of a repository, all of the same commit.

    Args:
        place: ``user/name`` or ``user/name@REVISION``: a branch, a tag or a commit.

    Raises:
        ValueError: If the name is not that of a repository.
        ModuleNotFoundError: If the Hub's client is not installed.
    """
    hub = hub_client()
    name, separator, revision = place.partition("@")
    repository = check_repository(name)
    if separator and not revision:
        raise ValueError(f"{place}: the revision is missing: expected a branch, a tag or a commit")
    wanted: list[str | None] = [revision or None]

    def read(name: str, limit: int) -> bytes:
        where = f"{printable(place)}: {name}"
        with explaining(place, name):
            path = _download(hub, repository, name, wanted[0], limit, where)
        if COMMIT.fullmatch(path.parent.name):  # what is read next is of the same commit
            wanted[0] = path.parent.name
        return read_regular(path, limit, where)

    return read


def _download(hub: Any, repository: str, name: str, revision: str | None, limit: int, where: str) -> Path:
    """Return the path of a file in the Hub's cache, into which it is downloaded unless it is larger than a limit."""
    if revision and COMMIT.fullmatch(revision):
        cached = hub.try_to_load_from_cache(repository, name, revision=revision)
        if isinstance(cached, str):
            return Path(cached)
    size = None
    with contextlib.suppress(Exception):  # what is wrong is said by the download, which may find the file in the cache
        size = hub.get_hf_file_metadata(hub.hf_hub_url(repository, name, revision=revision)).size
    if size is not None and size > limit:
        raise TooLargeError(f"{where} has {size:,} bytes, expected at most {limit:,}")
    return Path(hub.hf_hub_download(repository, name, revision=revision))


class TooLargeError(ValueError):
    """A file larger than allowed."""


@contextlib.contextmanager
def explaining(place: str, name: str | None = None) -> Iterator[None]:
    """Turn whatever the Hub's client raises inside the block into an error of one line.

    Args:
        place: The repository, with a revision if there is one.
        name: The file that is read, if any.

    Raises:
        FileNotFoundError: If there is no such repository, revision or file, or the Hub cannot be reached.
        ValueError: On any other error.
    """
    try:
        yield
    except TooLargeError:
        raise
    except Exception as error:
        kind, text = _explain(error, name)
        raise kind(printable(f"{place}: {text}")) from error


def _explain(error: BaseException, name: str | None) -> tuple[type[Exception], str]:
    """Return what an error means, for the innermost that says it."""
    from huggingface_hub import constants, errors

    what = name or "the repository"
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    if constants.is_offline_mode() and isinstance(error, (FileNotFoundError, errors.OfflineModeIsEnabled)):
        return FileNotFoundError, f"{what} is not in the cache, and HF_HUB_OFFLINE is set"
    for found in chain:
        status = getattr(getattr(found, "response", None), "status_code", None)
        if isinstance(found, errors.GatedRepoError):
            return ValueError, "access to the repository must be asked for on its page, and given by HF_TOKEN"
        if isinstance(found, errors.RevisionNotFoundError):
            return FileNotFoundError, "there is no such revision of the repository"
        if isinstance(found, errors.EntryNotFoundError) and not isinstance(found, FileNotFoundError):
            return FileNotFoundError, f"the repository has no {name}"
        if isinstance(found, errors.RepositoryNotFoundError):
            return FileNotFoundError, f"no such repository on {constants.ENDPOINT}, or it is private: set HF_TOKEN"
        if status in (401, 403):
            login = "`hf auth login` or HF_TOKEN sets one"
            return ValueError, f"{constants.ENDPOINT} refuses the access token for {what} ({status}): {login}"
        if status is not None:
            return ValueError, f"{constants.ENDPOINT} answers {status} for {what}"
        if any("Connect" in each.__name__ or "Timeout" in each.__name__ for each in type(found).__mro__):
            return FileNotFoundError, f"{constants.ENDPOINT} cannot be reached, and {what} is not in the cache"
    deepest = next((each for each in chain if not isinstance(each, errors.LocalEntryNotFoundError)), error)
    reason = str(deepest).strip().partition("\n")[0][:200].rstrip(". ")
    return ValueError, f"{what} cannot be read ({reason or type(deepest).__name__})"
