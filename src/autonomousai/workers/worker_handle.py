"""The parent's side of one worker: gives it slots of the engines and takes them back, tells it what became of the engines, and
asks what it counted. Knows no process: a worker is what holds the other end of the channel.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import Any, Final

import msgspec

from ..engine.supervisor import Supervisor
from ..errors import ConfigError, ProviderError, StatusError
from ..http.server.exchange import log_bug
from ..settings import Reloaded
from .messages import (
    AcquireSlot,
    BreakerNews,
    Channel,
    Completed,
    Count,
    Counted,
    EngineState,
    Failed,
    Gather,
    Gathered,
    Granted,
    Listening,
    Refused,
    ReleaseSlot,
    ReloadAsked,
    ReloadConfig,
    ReloadDone,
    ReloadEnded,
    WorkerMessage,
)

#: Seconds that a worker has to say what it counted; after that, what it said last must do.
_PATIENCE_S: Final = 1.0


class WorkerHandle:
    """``failure``: why the worker cannot start. ``counted``: what it said last that it counted. ``gather``: brings what all
    others counted but this one; ``spread``: hands what it says of a breaker to the others."""

    def __init__(
        self,
        channel: Channel[WorkerMessage],
        engines: Mapping[str, Supervisor],
        *,
        on_listening: Callable[[], None],
        gather: Callable[[WorkerHandle], Awaitable[list[bytes]]],
        reload: Callable[[], Awaitable[Reloaded]],
        follow_installed: Callable[[], Awaitable[Reloaded]],
        spread: Callable[[BreakerNews], None],
    ) -> None:
        self.failure: Failed | None = None
        self.counted = b""
        self._channel = channel
        self._engines = engines
        self._on_listening = on_listening
        self._gather = gather
        self._reload = reload
        self._follow_installed = follow_installed
        self._spread = spread
        self._reloading: asyncio.Future[ReloadDone] | None = None
        self._told: asyncio.Future[None] | None = None
        #: What tells the worker of each engine.
        self._watchers: dict[str, Callable[[], None]] = {}
        #: Who has a slot, or stands in line for one.
        self._sitters: dict[int, asyncio.Task[None]] = {}
        #: Whose slots are given back at once: the engine does nothing for them any more.
        self._idle: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Until the worker is gone; then its slots are free."""
        self._watch_engines()
        try:
            async for word in self._channel.words():
                self._hear(word)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for name, watcher in self._watchers.items():
                self._engines[name].watchers.remove(watcher)
            self._on_told()
            if self._reloading is not None:
                self._reloading.cancel()

    async def reload(self, config: msgspec.Raw) -> Reloaded | None:
        """Have the worker serve by *config*, which is packed; None where it ends meanwhile: the next one gets it. Raises
        `ConfigError`."""
        self._reloading = asyncio.get_running_loop().create_future()
        self._channel.say(ReloadConfig(config, {name: engine.settings for name, engine in self._engines.items()}))
        self._watch_engines()
        try:
            done = await self._reloading
        except asyncio.CancelledError:
            if self._reloading.cancelled():
                return None
            raise
        finally:
            self._reloading = None
        if done.problem:
            raise ConfigError(done.problem)
        return done.reloaded

    async def ask(self) -> None:
        """Have `counted` renewed, if the worker is quick."""
        await self.answers(_PATIENCE_S)

    async def answers(self, seconds: float) -> bool:
        """Return whether the worker says within so many seconds what it has counted. One that hangs does not."""
        if self._told is None:
            self._told = asyncio.get_running_loop().create_future()
            self._channel.say(Count())
        done, _ = await asyncio.wait([self._told], timeout=seconds)
        return bool(done)

    def _hear(self, word: WorkerMessage) -> None:
        match word:
            case AcquireSlot():
                self._sitters[word.id] = sitter = self._spawn(self._sit(word))
                sitter.add_done_callback(partial(self._on_left, word.id))
            case ReleaseSlot():
                if (leaving := self._sitters.pop(word.id, None)) is not None:
                    if not word.asked:
                        self._idle.add(word.id)
                    leaving.cancel()
            case Completed():
                self._engines[word.engine].completed()
            case Counted():
                self.counted = word.snapshot
                self._on_told()
            case Gather():
                self._spawn(self._bring(word.id))
            case ReloadAsked() | ReloadDone():
                self._hear_of_reload(word)
            case BreakerNews():
                self._spread(word)
            case Listening():
                self._on_listening()
            case Failed():
                self.failure = word

    def _hear_of_reload(self, word: ReloadAsked | ReloadDone) -> None:
        if isinstance(word, ReloadAsked):
            self._spawn(self._reload_all(word))
        elif self._reloading is not None and not self._reloading.done():
            self._reloading.set_result(word)

    def _watch_engines(self) -> None:
        """Tell the worker what becomes of each engine, those included that came since it began."""
        for name in self._engines.keys() - self._watchers.keys():
            watcher = self._watchers[name] = partial(self._tell_of, name)
            self._engines[name].watchers.append(watcher)
            watcher()

    def _tell_of(self, engine: str) -> None:
        self._channel.say(EngineState(engine, self._engines[engine].condition))

    def _on_told(self) -> None:
        if self._told is not None:
            self._told.set_result(None)
            self._told = None

    async def _sit(self, asked: AcquireSlot) -> None:
        """Stand in line for a slot, and hold it until it is given back or the worker is gone."""
        engine = self._engines[asked.engine]
        engine.want()
        try:
            await engine.slots.acquire(asked.patience)
            await self._hold(asked.id, engine)
        except StatusError as error:
            self._channel.say(Refused(asked.id, str(error), error.retry_after))

    def _on_left(self, id: int, _: asyncio.Task[None]) -> None:
        """A caller that was refused never gives anything back, and one that was cancelled at once never sat."""
        self._sitters.pop(id, None)
        self._idle.discard(id)

    async def _hold(self, slot: int, engine: Supervisor) -> None:
        engine.asking += 1
        try:
            self._channel.say(Granted(slot))
            await asyncio.Event().wait()
        finally:
            engine.asking -= 1
            if slot in self._idle:
                engine.slots.release()
            else:  # its holder left in mid-answer, or the worker is gone
                engine.let_go()

    async def _bring(self, id: int) -> None:
        snapshots = await self._gather(self)
        self._channel.say(Gathered(id, snapshots, {name: engine.slots.waiting for name, engine in self._engines.items()}))

    async def _reload_all(self, asked: ReloadAsked) -> None:
        reload = self._follow_installed if asked.installed else self._reload
        try:
            self._channel.say(ReloadEnded(asked.id, await reload()))
        except ProviderError as error:
            self._channel.say(ReloadEnded(asked.id, None, str(error)))
        except Exception as error:  # a bug must not leave a worker, and its callers, waiting
            log_bug(None, error)
            problem = f"the server failed to follow it ({type(error).__name__}); its log says more"
            self._channel.say(ReloadEnded(asked.id, None, problem))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
