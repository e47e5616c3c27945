"""A `ScriptedServer` in a thread of its own, for tests of blocking code."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from autonomousai.testing import Script, ScriptedServer


class Served:
    """The server, its URL, and a way to run something in its loop."""

    def __init__(self, scripted: ScriptedServer, loop: asyncio.AbstractEventLoop) -> None:
        self.scripted = scripted
        self.url = scripted.url
        self._loop = loop

    def run(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result(30)


@contextmanager
def served(*scripts: Script) -> Iterator[Served]:
    """Serve the scripts in another thread until the block is left."""
    ready: list[Served] = []
    up, leave = threading.Event(), threading.Event()

    async def serve() -> None:
        async with ScriptedServer(*scripts) as server:
            ready.append(Served(server, asyncio.get_running_loop()))
            up.set()
            await asyncio.to_thread(leave.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert up.wait(30)
    try:
        yield ready[0]
    finally:
        leave.set()
        thread.join()
