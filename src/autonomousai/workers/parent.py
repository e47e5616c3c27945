"""The parent of several workers: starts them, starts another where one ends, owns the engines and the signals, and serves
no caller itself.

Each worker takes connections from a listening socket of its own, or from one that all share where the system has no more. The
sockets are the parent's, so that what waits in them outlives a worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ..config import Reloaded, check_reload
from ..engine.process import describe
from ..errors import ConfigError, ConnectError, ProviderError
from ..streams.stores import open_state
from ..telemetry.exposition import remains
from .messages import Begin, BreakerNews, Channel, Drain, Failed, Leave, WorkerMessage, packed
from .reloading import LoadConfig
from .shutdown import FAREWELL_S, Shutdown, say
from .sockets import cannot_listen, open_listeners
from .worker_handle import WorkerHandle

if TYPE_CHECKING:
    from .engines import SharedEngines

#: Seconds before another is started in the place of one that ended: doubled with each, but for one that had lived for a while.
_BACKOFF_S: Final = 0.5
_LONGEST_S: Final = 30.0
_LIVED_S: Final = 60.0

#: Seconds beyond its time to drain that a worker may take to leave, before it is killed.
_GRACE_S: Final = 10.0

#: Seconds between two looks whether a worker answers, and seconds without an answer after which it is killed.
_LOOK_S: Final = 5.0
_HUNG_S: Final = 30.0


class Workers:
    """``engines``: those that all share, which know the config. ``on_listening``: called when all workers take requests;
    ``on_draining``: when the end was asked for. ``load``: see `reload`."""

    def __init__(
        self,
        engines: SharedEngines,
        count: int,
        ending: Shutdown,
        *,
        on_listening: Callable[[], None],
        on_draining: Callable[[], None],
        load: LoadConfig | None = None,
    ) -> None:
        self._engines = engines
        self._load = load
        self._reloading = asyncio.Lock()
        self._ending = ending
        self._on_listening = on_listening
        self._on_draining = on_draining
        #: By number, whether one of that number has ever taken requests.
        self._listening = [asyncio.Event() for _ in range(count)]
        #: One for each worker, by its number, or one for all.
        self._listeners: list[socket.socket] = []
        self._desks: dict[WorkerHandle, Channel[WorkerMessage]] = {}
        #: What those counted that have ended.
        self._remains = b""

    async def serve(self, bound: socket.socket, where: str) -> None:
        """Serve until the end. ``where``: what to call the socket's address. Raises what a worker cannot start for."""
        await self._check_state()
        keeping: list[asyncio.Task[None]] = []
        try:
            await self._engines.start()
            self._listen(bound, where)
            keeping += [asyncio.create_task(self._keep(number, where)) for number in range(len(self._listening))]
            await self._wait_for(self._all_listen(), keeping)
            if not self._ending.asked.is_set():
                self._on_listening()
                await self._wait_for(self._ending.asked.wait(), keeping)
                self._on_draining()
            await self._drain(keeping)
        finally:
            for task in keeping:
                task.cancel()
            await asyncio.gather(*keeping, return_exceptions=True)
            for listener in self._listeners:
                listener.close()
            await self._engines.aclose()

    async def reload(self) -> Reloaded:
        """Load the config's file again, and have all workers serve by it. Raises `ConfigError` for one that cannot be
        served, or that changes an engine: these are the parent's, and all workers'."""
        if self._load is None:
            raise ConfigError("the server was started without a config file, so there is none to reload")
        async with self._reloading:
            config = await self._load()
            check_reload(self._engines.config, config)
            await self._engines.adopt(config)
            return await self._reload_workers()

    async def follow_installed(self) -> Reloaded:
        """Have all workers serve the models that are installed now, where that has changed. Raises `ConfigError`."""
        async with self._reloading:
            if not await self._engines.is_stale():
                return Reloaded([], [], [], [])
            await self._engines.adopt_installed()
            return await self._reload_workers()

    async def _reload_workers(self) -> Reloaded:
        word = packed(self._engines.config)
        done = await asyncio.gather(*(handle.reload(word) for handle in list(self._desks)))
        changed = [each for each in done if each is not None]
        return changed[0] if changed else Reloaded([], [], [], list(self._engines.config.served()))

    def _listen(self, bound: socket.socket, where: str) -> None:
        try:
            self._listeners = open_listeners(bound, len(self._listening))
        except OSError as error:
            raise cannot_listen(where, error) from None

    async def _check_state(self) -> None:
        """Workers would all say the same of a place that cannot be used; and a new file is laid out once."""
        resume = self._engines.config.resume
        store = open_state(self._engines.config.server.state, keep_s=resume.keep_s, max_bytes=resume.max_bytes)
        await store.open()
        await store.aclose()

    async def _wait_for(self, work: Coroutine[Any, Any, Any], keeping: list[asyncio.Task[None]]) -> None:
        """Until *work* is done. Raises what ends a keeper meanwhile: what its first worker cannot start for, or a bug."""
        working = asyncio.create_task(work)
        await asyncio.wait([working, *keeping], return_when=asyncio.FIRST_COMPLETED)
        working.cancel()
        for task in keeping:
            if task.done():
                task.result()

    async def _all_listen(self) -> None:
        """Return when all take requests, or the end was asked for."""
        for event in self._listening:
            await self._ending.first(asyncio.create_task(event.wait()), self._ending.asked)

    async def _drain(self, keeping: list[asyncio.Task[None]]) -> None:
        for channel in self._desks.values():
            channel.say(Drain())
        ended = asyncio.ensure_future(asyncio.wait(keeping))
        if not await self._ending.first(ended, self._ending.forced, self._engines.config.server.drain_s + _GRACE_S):
            for channel in self._desks.values():
                channel.say(Leave(self._ending.number))
            await asyncio.wait([ended], timeout=3 * FAREWELL_S)

    # One worker after the other

    async def _keep(self, number: int, where: str) -> None:
        """Until the end was asked for. Raises what the first one says that cannot start."""
        loop = asyncio.get_running_loop()
        pause = 0.0
        while True:
            born = loop.time()
            try:
                end, failure = await self._run(number, where)
            except OSError as error:  # the system has no process or descriptor to spare: later, it may
                end, failure = f"could not be made a process ({error})", None
            if self._ending.asked.is_set():
                return
            if not self._listening[number].is_set():
                raise failure or ConfigError(f"a worker {end} before it took requests; what it said last stands above")
            if loop.time() - born > _LIVED_S:
                pause = 0.0
            why = f"cannot start: {failure}" if failure else end
            say(f"worker {number + 1} {why}; another is started in {pause:g} s\n")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._ending.asked.wait()
                    return
            pause = min(2 * pause or _BACKOFF_S, _LONGEST_S)

    async def _run(self, number: int, where: str) -> tuple[str, ProviderError | None]:
        """One worker, from its start to its end, which is reported; and why it could not start, where it said so."""
        ours, theirs = socket.socketpair()
        own = self._listeners[number % len(self._listeners)]
        others = [listener for listener in self._listeners if listener is not own]
        inherited = [each.fileno() for each in (theirs, own, *others)]
        try:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-P",  # the working directory is no place to import from
                    *("-m", "autonomousai.workers.worker"),
                    *(where, *map(str, inherited)),
                    pass_fds=inherited,
                    stdin=DEVNULL,
                    stdout=2,  # on ours stands one line alone
                    start_new_session=True,  # Ctrl-C in the terminal is for us, who tell all in the same way
                )
        except BaseException:
            ours.close()
            raise
        try:
            channel: Channel[WorkerMessage] = await Channel.open(ours, WorkerMessage)
            failed = await self._serve_one(channel, process, self._listening[number].set)
            status = await process.wait()
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if failed is None:
            return f"(process {process.pid}) {describe(status)}", None
        return "", ConfigError(failed.message) if failed.setup else ConnectError(failed.message)

    async def _serve_one(
        self, channel: Channel[WorkerMessage], process: asyncio.subprocess.Process, on_listening: Callable[[], None]
    ) -> Failed | None:
        """Mind the worker at the other end until it is gone. Returns why it could not start, where it said so."""
        listening = asyncio.Event()

        def note_listening() -> None:
            listening.set()
            on_listening()

        handle = WorkerHandle(
            channel,
            self._engines.supervisors,
            on_listening=note_listening,
            gather=self._gather,
            reload=self.reload,
            follow_installed=self.follow_installed,
            spread=partial(self._spread, channel),
        )
        self._desks[handle] = channel
        watching = asyncio.create_task(_watch(handle, process, listening))
        ending = asyncio.create_task(self._end_unready(process, listening))
        try:
            config = packed(self._engines.config)
            channel.say(Begin(config, self._engines.settings(), reloads=self._load is not None))
            if self._ending.asked.is_set():
                channel.say(Drain())
            await handle.serve()
        finally:
            watching.cancel()
            ending.cancel()
            del self._desks[handle]
            if handle.counted:
                self._remains = remains(each for each in (self._remains, handle.counted) if each)
            await channel.aclose()
        return handle.failure

    async def _end_unready(self, process: asyncio.subprocess.Process, listening: asyncio.Event) -> None:
        """End a worker that does not take requests yet soon after the end was asked for: to begin can take long, and it serves
        no caller."""
        await self._ending.asked.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_S):
                await listening.wait()
                return
        with contextlib.suppress(ProcessLookupError):
            process.kill()

    def _spread(self, teller: Channel[WorkerMessage], news: BreakerNews) -> None:
        """Hand on what one worker found out of an upstream, so that the others need not find out too."""
        for channel in self._desks.values():
            if channel is not teller:
                channel.say(news)

    async def _gather(self, asking: WorkerHandle) -> list[bytes]:
        """What all others counted, those included that have ended. Who asks is asked too: it may not live to be asked again."""
        await asyncio.gather(*(handle.ask() for handle in self._desks))
        counted = [handle.counted for handle in self._desks if handle is not asking]
        return [snapshot for snapshot in (self._remains, *counted) if snapshot]


async def _watch(handle: WorkerHandle, process: asyncio.subprocess.Process, listening: asyncio.Event) -> None:
    """Look again and again whether a worker that takes requests answers, and kill one that does not: it never ends itself."""
    await listening.wait()
    while await handle.answers(_HUNG_S):  # noqa: ASYNC110  nothing tells that it hangs
        await asyncio.sleep(_LOOK_S)
    say(f"a worker (process {process.pid}) did not answer for {_HUNG_S:g} s, and is ended\n")
    with contextlib.suppress(ProcessLookupError):
        process.kill()
