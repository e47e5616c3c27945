"""How much work a call is, counted in the interpreter's own steps: the same on a busy machine, and beside a large heap."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


class LineCounter:
    """Counts the lines of Python that are executed in functions which are entered within it. What is written in C counts as its
    caller."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> LineCounter:
        self._before = sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(self, *error: object) -> None:
        sys.settrace(self._before)

    def _trace(self, _: FrameType, event: str, __: Any) -> Any:
        self.count += event == "line"
        return self._trace


def lines(work: Callable[[], object]) -> int:
    """Return how many lines of Python *work* executes, each turn of a loop anew."""
    with LineCounter() as counter:
        work()
    return counter.count
