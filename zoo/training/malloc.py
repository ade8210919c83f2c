"""Reuse of freed memory by the C library's allocator."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_KEPT, _LARGEST = 1 << 30, 32 << 20  # bytes; glibc takes no larger threshold for a mapping of its own


def keep_freed_memory() -> None:
    """Let glibc reuse freed memory for tensors of up to 32 MiB, for the rest of the process.

    By its own choice it hands the larger maps of a batch back to the system after each batch and gets fresh pages for
    the next; each page costs a fault, together a third of LeNet-5's epoch. It keeps up to 1 GiB.
    With another C library nothing happens.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_MMAP_THRESHOLD, _LARGEST)
            mallopt(_M_TRIM_THRESHOLD, _KEPT)
