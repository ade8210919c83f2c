"""Writing of checkpoints: whole or not at all, also on a full disk and when the process is killed."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.cloud_io import _is_local_file_protocol
from lightning.pytorch.plugins.io import CheckpointIO, TorchCheckpointIO

UNFINISHED = ".tmp"
"""Ending of a checkpoint that is being written; a process that was killed may leave one, which is written over."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's ``TorchCheckpointIO``, but a file is written beside its target, flushed to the disk and renamed.

    Lightning writes it in the system's temporary folder; if that is on another disk the move copies it, and an
    interrupted copy leaves half a checkpoint in place of the last one. A link in place of the target is replaced and
    not followed.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint to a file; the folder is made if there is none.

        Raises:
            OSError: If it cannot be written; a file that was there before is kept.
        """
        if storage_options is not None or not _is_local_file_protocol(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f".{target.name}{UNFINISHED}")
        try:
            unfinished.unlink(missing_ok=True)
            with unfinished.open("xb") as file:
                file.write(buffer.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, target)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise type(error)(error.errno, error.strerror, str(target)) from error
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk, where the system can."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)


def with_atomic_writing(plugins: Any) -> list[Any]:
    """Return a trainer's plugins with ``AtomicCheckpointIO``, unless they write checkpoints in their own way.

    Args:
        plugins: The user's own, one or a list, or None.
    """
    own = [] if plugins is None else list(plugins) if isinstance(plugins, (list, tuple)) else [plugins]
    return own if any(isinstance(plugin, CheckpointIO) for plugin in own) else [*own, AtomicCheckpointIO()]
