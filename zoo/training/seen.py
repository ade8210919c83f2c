"""Which rows a model was trained on: what is tested on other rows than those of its fit is said.

A user's own table or folder may change between a fit and a test. A model therefore carries a key of each row, as the
attribute ``rows_seen``, which its checkpoints hold too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor

PARTS = ("train", "val", "test")


def rows_of(data: Any, before: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """Return the keys of the rows of each split of a datamodule, sorted, int64.

    Args:
        data: The datamodule, set up.
        before: Those of an earlier fit of the same model, whose training rows are added.
    """
    found = {part: np.unique(data.row_keys(part)) for part in PARTS}
    if before:
        found["train"] = np.union1d(found["train"], before["train"].numpy())
    return {part: torch.from_numpy(keys) for part, keys in found.items()}


def warn_of_other_rows(seen: Mapping[str, Tensor], data: Any, part: str) -> None:
    """Say in one line if a split has other rows than in the fit, and how many of them were trained on.

    Args:
        seen: Keys of the rows of the fit.
        data: The datamodule, set up.
        part: ``"val"`` or ``"test"``.
    """
    before, now = seen[part].numpy(), np.unique(data.row_keys(part))
    new = np.setdiff1d(now, before)
    gone = len(np.setdiff1d(before, now))
    if not len(new) and not gone:
        return
    trained = np.isin(new, seen["train"].numpy()).sum()
    rank_zero_warn(
        f"{data.title}: the {part} rows are not those of the fit: of {len(now)} rows {len(new)} are new, {trained} of "
        f"them were trained on, and {gone} of the fit's {len(before)} are missing"
    )


def check_rows(rows: Any, where: str) -> None:
    """Raise ``ValueError`` unless the rows in a checkpoint are keys by split."""
    good = isinstance(rows, dict) and set(rows) == set(PARTS)
    if not good or not all(
        type(keys) is Tensor
        and keys.dtype == torch.int64
        and keys.ndim == 1
        and keys.layout == torch.strided
        and keys.device.type == "cpu"
        for keys in rows.values()
    ):
        raise ValueError(f"{where}: its rows are damaged, expected keys of {', '.join(PARTS)}")
