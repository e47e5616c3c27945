"""Keeps one event loop's engine alive: starts its child, notices its end, starts it again, and says so when it gives up.

Knows no HTTP and no request; what it offers is a socket that answers (`Supervisor.ready`), and slots (`Supervisor.slots`).
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncGenerator, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from ..errors import ConfigError, ConnectError, ProviderError
from ..seats import Seats
from .child import Child, Log
from .engine_words import Settings

#: The code of the error for who cannot wait for a slot. The engine is well: it is no reason to ask it again, or to let it rest.
BUSY: Final = "engine_busy"

State = Literal["stopped", "starting", "ready", "failed"]

#: Seconds before a crashed child is started again; after as many crashes with no completed answer between them, and one more,
#: it is left alone.
_BACKOFF: Final = (0.0, 0.5, 1.0, 2.0)

#: Seconds after a child's connections broke within which its death is noticed.
_NOTICED: Final = 1.0

#: A Unix socket's path must fit into about 100 bytes; a deep TMPDIR leaves no room for it.
_SOCKET_PATH: Final = 100


class Supervisor:
    """One engine. ``lifetime`` is an async generator that holds it: the loop's own end closes it, and so does dropping it."""

    def __init__(self, settings: Settings, log: Log) -> None:
        self.state: State = "stopped"
        self.control: list[str] = []
        self.pid: int | None = None
        #: Ends of a child that nobody asked for, and children that were started after one.
        self.crashes = self.restarts = 0
        self._log = log
        self._directory = _private_directory()
        self.settings = msgspec.structs.replace(settings, socket=str(self._directory / "engine.sock"))
        self.slots = Seats(settings.slots, code=BUSY)
        #: Answers that are being asked for now.
        self.asking = 0
        self._tasks: set[asyncio.Task[None]] = set()
        #: Set when the present child has died; the next one has another.
        self.death = asyncio.Event()
        self._settled = asyncio.Event()
        self._crashes = 0
        self._failure: Callable[[], ProviderError] = ProviderError

    async def lifetime(self) -> AsyncGenerator[None]:
        """Runs from the first step until it is closed; then the child is gone, and its directory with it."""
        self._enter("starting")
        keeping = asyncio.create_task(self._keep(), name="autonomousai-engine")
        try:
            yield
        finally:
            for task in (keeping, *self._tasks):
                task.cancel()
            try:
                await asyncio.wait([keeping, *self._tasks])
            finally:
                keeping.cancel()  # who cannot wait makes it quick
                self._enter("stopped")
                shutil.rmtree(self._directory, ignore_errors=True)

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run *work* beside, at the longest until our own end."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def ready(self) -> None:
        """Wait until the engine answers. Raises `ConfigError` or `ConnectError` that says why it does not and will not."""
        while self.state == "starting":
            await self._settled.wait()
        if self.state == "failed":
            raise self._failure()
        if self.state == "stopped":
            raise ConnectError("the embedded engine was stopped; ask again")

    async def has_died(self, death: asyncio.Event) -> bool:
        """Whether the child is dead whose `death` that was. Its connections break a moment before that is noticed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_NOTICED):
                await death.wait()
        return death.is_set()

    def completed(self) -> None:
        """An answer came whole: whatever crashes later is not the same trouble."""
        self._crashes = 0

    def _enter(self, state: State) -> None:
        self.state = state
        if state == "starting":
            self._settled.clear()
        else:
            self._settled.set()

    async def _keep(self) -> None:
        """Run one child after the other, until none can be started or they crash too often."""
        try:
            while True:
                end = await self._run()
                self._crashes += 1
                self.crashes += 1
                if self._crashes > len(_BACKOFF):
                    self._give_up(end)
                    return
                await asyncio.sleep(_BACKOFF[self._crashes - 1])
                self.restarts += 1
        except ConfigError as error:
            self._fail(partial(ConfigError, str(error)))
        finally:
            if self.state != "failed":
                self._enter("stopped")

    async def _run(self) -> str:
        """One child, from its start to its end, which is told. The first of all must start, or it is an error."""
        try:
            child = await Child.start(self.settings, self._log)
        except ConfigError as error:
            if not self._crashes:
                raise
            return f"could not be started: {error}"
        self.control, self.pid, self.death = child.control, child.pid, asyncio.Event()
        self._enter("ready")
        try:
            return await child.wait()
        finally:
            self.pid = None
            self._enter("starting")
            self.death.set()
            await child.stop()

    def _give_up(self, end: str) -> None:
        why = (
            f"the embedded engine crashed {self._crashes} times with no completed answer between, and is left alone; "
            f"start it again when the cause is gone (its log may tell). The last time it {end}"
        )
        self._fail(partial(ConnectError, why, retryable=False))

    def _fail(self, failure: Callable[[], ProviderError]) -> None:
        self._failure = failure
        self._enter("failed")


def _private_directory() -> Path:
    directory = Path(tempfile.mkdtemp(prefix="autonomousai-"))
    if len(bytes(directory)) + len("/engine.sock") > _SOCKET_PATH:
        directory.rmdir()
        directory = Path(tempfile.mkdtemp(prefix="autonomousai-", dir="/tmp"))
    return directory
