"""SIGHUP, by which an operator has the config's file read again. Knows no server."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeAlias

from ..config import Config
from ..errors import ProviderError
from .shutdown import say

#: Reads the config's file again.
LoadConfig: TypeAlias = Callable[[], Awaitable[Config]]


@contextlib.contextmanager
def reload_at_sighup(reload: Callable[[], Awaitable[object]]) -> Iterator[None]:
    """Call *reload* for each SIGHUP within the block, and say what came of it. A second signal meanwhile has it read
    once more."""
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()

    def hear() -> None:
        task = loop.create_task(_reload_and_say(reload))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    before = signal.getsignal(signal.SIGHUP)
    loop.add_signal_handler(signal.SIGHUP, hear)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
        signal.signal(signal.SIGHUP, before)
        for task in tasks:
            task.cancel()


async def _reload_and_say(reload: Callable[[], Awaitable[object]]) -> None:
    try:
        said = str(await reload())
    except ProviderError as error:
        said = f"the config was not reloaded, and the server keeps the one before: {error}"
    say(f"{said}\n")
