"""The parent of several workers: starts them, starts another where one ends, owns the engines and the signals, and serves
nobody itself.

All workers take connections from one listening socket, which is the parent's: whoever is free takes the next one, and what
waits in it outlives a worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import Callable, Coroutine
from typing import Any, Final

from ..config import Config
from ..engine.process import describe
from ..engine.supervisor import Supervisor
from ..errors import ConfigError, ConnectError, ProviderError
from ..server.upstreams import make_engines, with_coder
from ..streams.stores import open_state
from ..telemetry.exposition import remains
from .messages import Begin, Channel, Drain, Failed, Leave, WorkerMessage
from .shutdown import FAREWELL_S, Shutdown, say
from .worker_handle import WorkerHandle

#: Seconds before another is started in the place of one that ended: doubled with each, but for one that had lived for a while.
_BACKOFF_S: Final = 0.5
_LONGEST_S: Final = 30.0
_LIVED_S: Final = 60.0

#: Seconds beyond its time to drain that a worker may take to leave, before it is killed.
_GRACE_S: Final = 10.0


class Workers:
    """``on_listening``: called when all of them take requests; ``on_draining``: when the end was asked for."""

    def __init__(
        self,
        config: Config,
        count: int,
        ending: Shutdown,
        *,
        on_listening: Callable[[], None],
        on_draining: Callable[[], None],
    ) -> None:
        self._config = with_coder(config)
        self._ending = ending
        self._on_listening = on_listening
        self._on_draining = on_draining
        self._providers = make_engines(self._config)
        self._engines: dict[str, Supervisor] = {}
        #: By number, whether one of that number has ever taken requests.
        self._listening = [asyncio.Event() for _ in range(count)]
        self._desks: dict[WorkerHandle, Channel[WorkerMessage]] = {}
        #: What those counted that have ended.
        self._remains = b""

    async def serve(self, listener: socket.socket, where: str) -> None:
        """Serve until the end. Raises what a worker cannot start for."""
        await self._check_state()
        keeping: list[asyncio.Task[None]] = []
        try:
            for name, provider in self._providers.items():
                self._engines[name] = await provider.supervise()
            keeping += [asyncio.create_task(self._keep(number, listener, where)) for number in range(len(self._listening))]
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
            for provider in self._providers.values():
                await provider.aclose()

    async def _check_state(self) -> None:
        """Workers would all say the same of a place that cannot be used; and a new file is laid out once."""
        resume = self._config.resume
        store = open_state(self._config.server.state, keep_s=resume.keep_s, max_bytes=resume.max_bytes)
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
        if not await self._ending.first(ended, self._ending.forced, self._config.server.drain_s + _GRACE_S):
            for channel in self._desks.values():
                channel.say(Leave(self._ending.number))
            await asyncio.wait([ended], timeout=3 * FAREWELL_S)

    # One worker after the other

    async def _keep(self, number: int, listener: socket.socket, where: str) -> None:
        """Until the end was asked for. Raises what the first one says that cannot start."""
        loop = asyncio.get_running_loop()
        pause = 0.0
        while True:
            born = loop.time()
            try:
                end, failure = await self._run(number, listener, where)
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

    async def _run(self, number: int, listener: socket.socket, where: str) -> tuple[str, ProviderError | None]:
        """One worker, from its start to its end, which is told; and why it could not start, where it said so."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-P",  # the working directory is no place to import from
                    *("-m", "autonomousai.workers.worker"),
                    *(str(theirs.fileno()), str(listener.fileno()), where),
                    pass_fds=(theirs.fileno(), listener.fileno()),
                    stdin=DEVNULL,
                    stdout=2,  # on ours stands one line alone
                    start_new_session=True,  # Ctrl-C in the terminal is for us, who tell all in the same way
                )
        except BaseException:
            ours.close()
            raise
        try:
            failed = await self._serve_one(await Channel.open(ours, WorkerMessage), self._listening[number].set)
            status = await process.wait()
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if failed is None:
            return f"(process {process.pid}) {describe(status)}", None
        return "", ConfigError(failed.message) if failed.setup else ConnectError(failed.message)

    async def _serve_one(self, channel: Channel[WorkerMessage], on_listening: Callable[[], None]) -> Failed | None:
        """Mind the worker at the other end until it is gone. Returns why it could not start, where it said so."""
        desk = WorkerHandle(channel, self._engines, on_listening=on_listening, gather=self._gather)
        self._desks[desk] = channel
        try:
            channel.say(Begin(self._config, {name: engine.settings for name, engine in self._engines.items()}))
            if self._ending.asked.is_set():
                channel.say(Drain())
            await desk.serve()
        finally:
            del self._desks[desk]
            if desk.counted:
                self._remains = remains(each for each in (self._remains, desk.counted) if each)
            await channel.aclose()
        return desk.failure

    async def _gather(self, asking: WorkerHandle) -> list[bytes]:
        """What all others counted, those included that have ended. Who asks is asked too: it may not live to be asked again."""
        await asyncio.gather(*(desk.ask() for desk in self._desks))
        counted = [desk.counted for desk in self._desks if desk is not asking]
        return [snapshot for snapshot in (self._remains, *counted) if snapshot]
