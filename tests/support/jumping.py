"""An event loop in which waiting takes no time: where nothing is ready, its clock jumps to the next timer."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _JumpingSelector(selectors.DefaultSelector):
    """``jumped``: the seconds that were not waited for."""

    jumped = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(timeout if timeout is None else 0)
        if not ready and timeout:
            self.jumped += timeout
        return ready


class _JumpingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return super().time() + self._jumping.jumped


def run_at_once(work: Coroutine[Any, Any, T]) -> T:
    """Run *work*, which opens no socket, without waiting for what it waits for."""
    with asyncio.Runner(loop_factory=_JumpingLoop) as runner:
        return runner.run(work)
