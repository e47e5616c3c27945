"""One worker: an application on a socket of the parent's. Run as ``python -m`` by `parent.py` alone.

It gets its end of the channel and the listening sockets as open descriptors, and everything else in the parent's first word:
nothing secret stands in its arguments. It ends when its parent does, at once and however that ended: the engines are gone then.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import Final, TypeVar

from ..config import Config, Reloaded
from ..engine.handle import BUSY, RemoteEngine
from ..engine.ipc import EngineSettings
from ..engine.parent_death import die_with_parent
from ..errors import ConfigError, ProviderError, StatusError
from ..gateway.breaker import BreakerChange
from ..http.server.exchange import log_bug
from ..server.app import App
from ..server.upstreams import UpstreamMaker
from ..telemetry.access_log import open_log
from ..telemetry.tracer import open_tracer
from .malloc import tune_malloc
from .messages import (
    AcquireSlot,
    Begin,
    BreakerNews,
    Channel,
    Completed,
    Count,
    Counted,
    Drain,
    EngineState,
    Failed,
    Gather,
    Gathered,
    Granted,
    Leave,
    Listening,
    ParentMessage,
    Refused,
    ReleaseSlot,
    ReloadAsked,
    ReloadConfig,
    ReloadDone,
    ReloadEnded,
    unpacked,
)
from .server import Server, loop_factory
from .shutdown import Shutdown, signals_to

T = TypeVar("T")

#: The exit code of one whose parent is gone. No process is left to read it.
ORPHANED: Final = 1


def main() -> int:
    """Serve until the parent says so, or SIGTERM does; the exit code."""
    die_with_parent(signal.SIGKILL)
    tune_malloc()
    where, *numbers = sys.argv[1:]
    channel, *listeners = sockets = [socket.socket(fileno=int(number)) for number in numbers]
    for each in sockets:
        each.set_inheritable(False)
    with contextlib.ExitStack() as stack:
        for listener in listeners:
            stack.enter_context(listener)
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            return runner.run(_work(channel, listeners, where))


async def _work(end: socket.socket, listeners: list[socket.socket], where: str) -> int:
    """``listeners``: its own, and those of the other workers."""
    ending = Shutdown()
    channel: Channel[ParentMessage] = await Channel.open(end, ParentMessage)
    words = channel.words()
    begin = await anext(words, None)
    if not isinstance(begin, Begin):
        return 1  # the parent is gone already
    config = unpacked(begin.config, Config)
    parent = Parent(channel, begin, ending)
    hearing = asyncio.create_task(parent.hear(words))
    tracer = open_tracer(config.telemetry)
    maker = UpstreamMaker(tracer, parent.deputies)
    gateway = maker.make(config)
    gateway.breaker_watchers.append(lambda change: channel.say(BreakerNews(change)))
    app = App(
        config,
        gateway,
        log=open_log(config.server.log),
        tracer=tracer,
        gather=parent.gather,
        maker=maker,
        follow_installed=partial(parent.reload_all, installed=True),
    )
    parent.counted, parent.reload, parent.learn = app.counted, app.reload, gateway.learn
    if begin.reloads:
        app.reload_file = parent.reload_all
    server = Server(
        app,
        config.server.drain_s,
        ending,
        on_listening=partial(channel.say, Listening()),
        on_draining=lambda: None,
    )
    try:
        with signals_to(lambda number: ending.ask()):  # whether it is to be now, the parent says
            await server.serve(listeners[0], where, listeners[1:])
        channel.say(Counted(app.counted()))
    except ProviderError as error:
        channel.say(Failed(str(error), isinstance(error, ConfigError)))
        return 1
    finally:
        hearing.cancel()
        await asyncio.wait([hearing])
        await channel.aclose()
    return ending.code


class Parent:
    """The worker's side of the channel. ``deputies``: the engines, by upstream. ``counted``: says what was counted here;
    ``reload``: has this worker serve by another config. ``learn``: takes over what others found out of an upstream."""

    counted: Callable[[], bytes]
    reload: Callable[[Config], Awaitable[Reloaded]]
    learn: Callable[[BreakerChange], None]

    def __init__(self, channel: Channel[ParentMessage], begin: Begin, ending: Shutdown) -> None:
        self._channel = channel
        self._slots: dict[str, RemoteSlots] = {}
        self.deputies: dict[str, RemoteEngine] = {}
        self._know(begin.engines)
        self._ending = ending
        self._ids = itertools.count()
        self._asked: dict[int, asyncio.Future[Refused | None]] = {}
        self._gathering: dict[int, asyncio.Future[list[bytes]]] = {}
        self._reloading: dict[int, asyncio.Future[ReloadEnded]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def hear(self, words: AsyncIterator[ParentMessage]) -> None:
        """Do as the parent says, until it is gone; then this process is, too."""
        async for word in words:
            self._hear(word)
        os._exit(ORPHANED)

    def _know(self, engines: Mapping[str, EngineSettings]) -> None:
        """Have a deputy for each of these engines."""
        for name in engines.keys() - self.deputies.keys():
            slots = self._slots[name] = RemoteSlots(self, name)
            self.deputies[name] = RemoteEngine(
                engines[name],
                slots,
                completed=partial(self._channel.say, Completed(name)),
                let_go=partial(slots.release, asked=True),
            )

    def _hear(self, word: ParentMessage) -> None:
        match word:
            case EngineState():
                self.deputies[word.engine].learn(word.condition)
            case Granted():
                _answer(self._asked.get(word.id), None)
            case Refused():
                _answer(self._asked.get(word.id), word)
            case Count():
                self._channel.say(Counted(self.counted()))
            case Gathered():
                for name, waiting in word.waiting.items():
                    self._slots[name].waiting = waiting
                _answer(self._gathering.get(word.id), word.snapshots)
            case BreakerNews():
                self.learn(word.change)
            case ReloadConfig():
                self._know(word.engines)
                task = asyncio.get_running_loop().create_task(self._follow(unpacked(word.config, Config)))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            case ReloadEnded():
                _answer(self._reloading.get(word.id), word)
            case Drain():
                self._ending.ask()
            case Leave():
                self._ending.force(word.signal)

    async def _follow(self, config: Config) -> None:
        try:
            self._channel.say(ReloadDone(await self.reload(config)))
        except ProviderError as error:
            self._channel.say(ReloadDone(None, str(error)))
        except Exception as error:  # a bug must not leave the parent waiting
            log_bug(None, error)
            self._channel.say(ReloadDone(None, f"a worker failed to follow it ({type(error).__name__}); its log says more"))

    async def reload_all(self, *, installed: bool = False) -> Reloaded:
        """Have the parent load the config's file again, for all workers; or, if *installed*, have them serve the models that
        are installed now. Raises `ConfigError`."""
        number = next(self._ids)
        asked = self._reloading[number] = asyncio.get_running_loop().create_future()
        self._channel.say(ReloadAsked(number, installed))
        try:
            ended: ReloadEnded = await asked
        finally:
            del self._reloading[number]
        if (reloaded := ended.reloaded) is None:
            raise ConfigError(ended.problem)
        return reloaded

    async def acquire(self, engine: str, patience: float) -> int:
        """A slot of that engine, by its number. Raises `StatusError` 503 where there is none in time."""
        number = next(self._ids)
        slot = self._asked[number] = asyncio.get_running_loop().create_future()
        self._channel.say(AcquireSlot(number, engine, patience))
        try:
            refused = await slot
        except asyncio.CancelledError:
            self.release(number)
            raise
        finally:
            del self._asked[number]
        if refused is not None:
            raise StatusError(refused.message, status=503, type="server_error", code=BUSY, retry_after=refused.retry_after)
        return number

    def release(self, number: int, *, asked: bool = False) -> None:
        """Whether it was granted yet or not."""
        self._channel.say(ReleaseSlot(number, asked))

    async def gather(self) -> list[bytes]:
        """What the other workers counted."""
        number = next(self._ids)
        gathering: asyncio.Future[list[bytes]] = asyncio.get_running_loop().create_future()
        self._gathering[number] = gathering
        self._channel.say(Gather(number))
        try:
            return await gathering
        finally:
            del self._gathering[number]


class RemoteSlots:
    """The slots of one engine, which the parent gives out. It does not matter which of them is given back."""

    def __init__(self, parent: Parent, engine: str) -> None:
        self.waiting = 0  # at the last look
        self._parent = parent
        self._engine = engine
        self._taken: list[int] = []

    async def acquire(self, patience: float) -> None:
        self._taken.append(await self._parent.acquire(self._engine, patience))

    def release(self, *, asked: bool = False) -> None:
        self._parent.release(self._taken.pop(), asked=asked)


def _answer(asked: asyncio.Future[T] | None, answer: T) -> None:
    """Unless no task waits for it any more."""
    if asked is not None and not asked.done():
        asked.set_result(answer)


if __name__ == "__main__":
    sys.exit(main())
