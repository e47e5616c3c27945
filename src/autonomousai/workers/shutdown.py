"""The end of a server: who asked for it, whether it is to come now, and what the operator reads. Knows no server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

#: Seconds for the last words to those who were still being answered when the time to drain was over.
FAREWELL_S: Final = 2.0

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def say(text: str) -> None:
    """Tell the operator, on stderr. The end comes even where stderr has no reader any more."""
    with contextlib.suppress(OSError):
        print(text, end="", file=sys.stderr, flush=True)


class Shutdown:
    """Whether the end was asked for, and whether it is to come now. ``code``: what to exit with."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.forced = asyncio.Event()
        self.number = 0

    @property
    def code(self) -> int:
        return 128 + self.number if self.number else 0

    def ask(self) -> None:
        self.asked.set()

    def force(self, number: int) -> None:
        """Now, because of that signal."""
        self.number = number
        self.asked.set()
        self.forced.set()

    def on_signal(self, number: int) -> None:
        """The first asks, the second forces, the third is the end."""
        if self.forced.is_set():
            os._exit(128 + number)
        if self.asked.is_set():
            self.force(number)
        else:
            self.ask()

    async def first(self, work: asyncio.Future[Any], event: asyncio.Event, seconds: float | None = None) -> bool:
        """Whether *work* was done before *event* and within *seconds*. It is not cancelled otherwise."""
        waiting = asyncio.create_task(event.wait())
        await asyncio.wait({work, waiting}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        return work.done()


@contextlib.contextmanager
def signals_to(hear: Callable[[int], None]) -> Iterator[None]:
    """Call *hear* for the signals that ask for the end, within the block."""
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, hear, number)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
