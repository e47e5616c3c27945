"""How a child hears at once that its parent is gone. Imports nothing of the package: the engine's child starts with it."""

from __future__ import annotations

import ctypes
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(number: int) -> None:
    """Have that signal sent to this process when its parent dies. Linux alone can; elsewhere the end of a pipe or a socket
    between the two tells, to a process that looks."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
