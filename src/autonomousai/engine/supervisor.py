"""Keeps one engine alive: starts its child, notices its end, starts it again, and says so when it gives up.

Knows no HTTP and no request; what it offers is a `EngineHandle`: a socket that answers, and slots.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec

from ..errors import ConfigError, ProviderError
from ..limiter import Limiter
from .handle import BUSY, EngineCondition, EngineHandle
from .ipc import EngineSettings
from .process import EngineLog, EngineProcess

#: Seconds before a crashed child is started again; after as many crashes with no completed answer between them, and one more,
#: it is left alone.
_BACKOFF: Final = (0.0, 0.5, 1.0, 2.0)

#: Seconds that an engine is waited for which still works for a caller who left, and between two looks.
_LETTING_GO: Final = 10.0
_LOOK_AGAIN: Final = 0.05

#: Seconds between two looks whether the child answers, seconds that it may take to, and misses after which it is replaced.
_LOOK: Final = 5.0
_ANSWERS_WITHIN: Final = 5.0
_MISSES: Final = 3

#: A Unix socket's path must fit into about 100 bytes; a deep TMPDIR leaves no room for it.
_SOCKET_PATH: Final = 100


class Supervisor(EngineHandle):
    """The owner of one engine. ``lazy``: its child is started when it is `wanted`, not before.

    ``check``: raises `ConfigError` where the weights are damaged; it is called in a thread, beside the child's start.
    ``watchers`` are called at each new condition.
    """

    def __init__(
        self, settings: EngineSettings, log: EngineLog, *, lazy: bool = False, check: Callable[[], None] | None = None
    ) -> None:
        self.directory = _private_directory()
        super().__init__(
            msgspec.structs.replace(settings, socket=str(self.directory / "engine.sock")), Limiter(settings.slots, code=BUSY)
        )
        self.watchers: list[Callable[[], None]] = []
        self._log = log
        #: Says how many the engine works for, by its own count. The maker of its client sets it.
        self.busy: Callable[[], Awaitable[float]] | None = None
        #: Asks the child for a sign of life. The maker of its client sets it.
        self.alive: Callable[[], Awaitable[object]] | None = None
        self._check = check
        self._suspected = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._crashes = 0
        self._died = self._restarted = 0
        self._wanted = asyncio.Event()
        if not lazy:
            self._wanted.set()

    async def lifetime(self) -> AsyncGenerator[None]:
        """Runs from the first step until it is closed; then the child is gone, and its directory with it."""
        self._enter(EngineCondition("starting"))
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
                self._enter(EngineCondition("stopped"))
                shutil.rmtree(self.directory, ignore_errors=True)

    def want(self) -> None:
        """Start the child, if none was started yet."""
        self._wanted.set()

    def let_go(self) -> None:
        task = asyncio.get_running_loop().create_task(self._let_go())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _let_go(self) -> None:
        try:
            async with asyncio.timeout(_LETTING_GO):
                while self.busy is not None and await self.busy() > self.asking:  # noqa: ASYNC110  it signals nothing
                    await asyncio.sleep(_LOOK_AGAIN)
        except (TimeoutError, ProviderError):
            pass  # it is gone, or so busy that nothing more is known
        finally:
            self.slots.release()

    async def ready(self) -> None:
        self.want()
        await super().ready()

    def completed(self) -> None:
        self._crashes = 0

    def suspect(self) -> None:
        self._suspected.set()

    def _enter(self, condition: EngineCondition) -> None:
        super()._enter(msgspec.structs.replace(condition, crashes=self._died, restarts=self._restarted))
        for watcher in self.watchers:
            watcher()

    async def _keep(self) -> None:
        """Run children from when one is wanted, until none can be started or they crash too often."""
        try:
            await self._wanted.wait()
            self._enter(EngineCondition("failed", failure=await self._run_children()))
        except ConfigError as error:
            self._enter(EngineCondition("failed", failure=str(error), setup=True))
        finally:
            if self.state != "failed":
                self._enter(EngineCondition("stopped"))

    async def _run_children(self) -> str:
        """Run one child after the other, and return why they are given up. Raises `ConfigError` if the first cannot start."""
        while True:
            end = await self._run()
            self._crashes += 1
            self._died += 1
            if self._crashes > len(_BACKOFF):
                return self._given_up(end)
            self._enter(EngineCondition("starting"))  # and the crash is counted
            await asyncio.sleep(_BACKOFF[self._crashes - 1])
            self._restarted += 1

    async def _run(self) -> str:
        """One child, from its start to its end, which is reported. The first of all must start, or it is an error."""
        child = await self._start()
        if isinstance(child, ConfigError):
            if not self._crashes:
                raise child
            return f"could not be started: {child}"
        watching = asyncio.create_task(self._watch(child), name="autonomousai-engine-watch")
        try:
            told = EngineCondition(
                "ready",
                child.pid,
                tuple(child.control),
                longest=child.longest,
                tools=child.tools,
                thoughts=child.thoughts,
            )
            self._enter(told)
            return await child.wait()
        finally:
            watching.cancel()
            self._enter(EngineCondition("starting"))
            await child.stop()

    async def _start(self) -> EngineProcess | ConfigError:
        """Return a child that answers, or why there is none. Raises `ConfigError` for weights that are damaged, which is found
        while they are loaded."""
        child, damage = await asyncio.gather(
            EngineProcess.start(self.settings, self._log), self._check_weights(), return_exceptions=True
        )
        if isinstance(damage, BaseException):
            if isinstance(child, EngineProcess):
                await child.stop()
            raise damage
        if isinstance(child, BaseException) and not isinstance(child, ConfigError):
            raise child
        return child

    async def _check_weights(self) -> None:
        if self._check is not None:
            await asyncio.to_thread(self._check)

    async def _watch(self, child: EngineProcess) -> None:
        """Look whether the child answers, again and again, and kill one that does not: a hung one never ends by itself."""
        misses = 0
        while misses < _MISSES:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_AGAIN if misses else _LOOK):
                    await self._suspected.wait()
            self._suspected.clear()
            if self.alive is None:
                continue
            try:
                async with asyncio.timeout(_ANSWERS_WITHIN):
                    await self.alive()
            except (TimeoutError, ProviderError):
                misses += 1
            else:
                misses = 0
        child.kill("did not answer any more, and was ended")

    def _given_up(self, end: str) -> str:
        return (
            f"the embedded engine crashed {self._crashes} times with no completed answer between, and is left alone; "
            f"start it again when the cause is gone (its log may say why). The last time it {end}"
        )


def make_private(directory: Path) -> None:
    """Make a directory for this user alone, where it is not there any more: a child that leaves takes it along. Raises
    `ConfigError` where another user has made it meanwhile."""
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        status = directory.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
            raise ConfigError(f"{directory} belongs to another user; start the server again") from None


def _private_directory() -> Path:
    directory = Path(tempfile.mkdtemp(prefix="autonomousai-"))
    if len(bytes(directory)) + len("/engine.sock") > _SOCKET_PATH:
        directory.rmdir()
        directory = Path(tempfile.mkdtemp(prefix="autonomousai-", dir="/tmp"))
    return directory
