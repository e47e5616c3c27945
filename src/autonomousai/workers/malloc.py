"""Sets glibc's malloc for a server, so that large batches are not mapped and unmapped again and again (mallopt(3))."""

from __future__ import annotations

import ctypes
import sys
from typing import Final

#: glibc's parameters by number (``malloc.h``), in bytes. Setting one of them ends the adaptation of the first two, which would
#: let the first go up to 32 MiB.
_PARAMETERS: Final = (
    (-3, 1 << 20),  # M_MMAP_THRESHOLD: larger blocks are mapped each by itself, and returned at once; 128 KiB at first
    (-1, 8 << 20),  # M_TRIM_THRESHOLD: free memory at the top of the heap beyond this is returned; 128 KiB at first
    (-2, 256 << 10),  # M_TOP_PAD: bytes that are added whenever the heap grows; 128 KiB
)


def tune_malloc() -> None:
    """Keep up to 8 MiB of freed memory for the next allocations. Does nothing where malloc is not glibc's."""
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        for parameter, value in _PARAMETERS:
            mallopt(parameter, value)
