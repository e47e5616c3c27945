"""The parent's side of a worker, whose other end is held by the test: what is left of those who asked for a slot."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Callable, Mapping

import pytest

from autonomousai.config import Reloaded
from autonomousai.engine.ipc import EngineSettings
from autonomousai.engine.process import EngineLog
from autonomousai.engine.supervisor import Supervisor
from autonomousai.gateway.breaker import BreakerChange
from autonomousai.workers import parent
from autonomousai.workers.messages import (
    AcquireSlot,
    BreakerNews,
    Channel,
    Count,
    Counted,
    ParentMessage,
    Refused,
    ReloadAsked,
    ReloadEnded,
    WorkerMessage,
)
from autonomousai.workers.worker_handle import WorkerHandle

TIMES = 50
SETTINGS = EngineSettings(weights="none", name="none", socket="", api_key="", slots=1, context=512, threads=1)


async def _gather(_: WorkerHandle) -> list[bytes]:
    return []


async def _reload() -> Reloaded:
    raise AssertionError("no reload was asked for")


def _handle(
    channel: Channel[WorkerMessage],
    engines: Mapping[str, Supervisor] | None = None,
    spread: Callable[[BreakerNews], None] = lambda news: None,
) -> WorkerHandle:
    return WorkerHandle(
        channel,
        engines or {},
        on_listening=lambda: None,
        gather=_gather,
        reload=_reload,
        follow_installed=_reload,
        spread=spread,
    )


def _tasks() -> int:
    gc.collect()
    return sum(isinstance(each, asyncio.Task) for each in gc.get_objects())


async def test_who_was_refused_leaves_nothing_behind():
    """An engine with no free slot is asked again and again: nothing of it is kept for the parent's lifetime."""
    ours, theirs = socket.socketpair()
    engine = Supervisor(SETTINGS, EngineLog(), lazy=True)
    await engine.slots.acquire(0)
    channel: Channel[WorkerMessage] = await Channel.open(ours, WorkerMessage)
    worker: Channel[ParentMessage] = await Channel.open(theirs, ParentMessage)
    serving = asyncio.create_task(_handle(channel, {"one": engine}).serve())
    words = worker.words()

    before = _tasks()
    for number in range(TIMES):
        worker.say(AcquireSlot(number, "one", 0))
        while not isinstance(await anext(words), Refused):
            pass
    after = _tasks()
    await worker.aclose()
    await serving
    await channel.aclose()

    assert after - before < TIMES / 2


async def test_a_worker_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """One that does not say what it counted is killed, and its end is told; before it takes requests it is left alone."""
    monkeypatch.setattr(parent, "_HUNG_S", 0.05)
    monkeypatch.setattr(parent, "_LOOK_S", 0.0)
    ours, theirs = socket.socketpair()
    channel: Channel[WorkerMessage] = await Channel.open(ours, WorkerMessage)
    worker: Channel[ParentMessage] = await Channel.open(theirs, ParentMessage)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "import signal; signal.pause()")
    handle = _handle(channel)
    serving = asyncio.create_task(handle.serve())
    listening = asyncio.Event()
    watching = asyncio.create_task(parent._watch(handle, process, listening))

    words = worker.words()
    listening.set()
    assert isinstance(await anext(words), Count)
    worker.say(Counted(b""))  # it is alive
    assert isinstance(await anext(words), Count)  # and asked again, and hangs
    await watching

    assert -signal.SIGKILL == await process.wait()
    assert f"process {process.pid}" in capsys.readouterr().err
    await worker.aclose()
    await serving
    await channel.aclose()


async def test_what_a_worker_says_of_a_breaker_is_spread() -> None:
    """As it was said, over the channel in both directions."""
    ours, theirs = socket.socketpair()
    channel: Channel[WorkerMessage] = await Channel.open(ours, WorkerMessage)
    worker: Channel[ParentMessage] = await Channel.open(theirs, ParentMessage)
    news = BreakerNews(BreakerChange("u0", True, 3.0))
    spread: list[BreakerNews] = []

    def take(word: BreakerNews) -> None:
        spread.append(word)
        channel.say(word)

    serving = asyncio.create_task(_handle(channel, spread=take).serve())
    worker.say(news)
    heard = await anext(worker.words())
    await worker.aclose()
    await serving
    await channel.aclose()

    assert ([news], news) == (spread, heard)


class Mute:
    """A channel that keeps what is said over it."""

    def __init__(self) -> None:
        self.said: list[BreakerNews] = []

    def say(self, word: BreakerNews) -> None:
        self.said.append(word)


def test_the_parent_tells_all_workers_but_the_one_that_said_it() -> None:
    """Which knows it already."""
    teller, *others = channels = [Mute() for _ in range(3)]
    workers = object.__new__(parent.Workers)
    workers._desks = dict(enumerate(channels))  # type: ignore[assignment]  # what they are known by does not matter
    news = BreakerNews(BreakerChange("u0", False, 0.0))

    workers._spread(teller, news)  # type: ignore[arg-type]  # it says, and no more

    assert [[], [news], [news]] == [each.said for each in (teller, *others)]


async def test_a_bug_of_a_reload_leaves_no_worker_waiting() -> None:
    """Whoever asked for a model that may have come would wait for ever, and all others of that worker behind it."""
    ours, theirs = socket.socketpair()
    channel: Channel[WorkerMessage] = await Channel.open(ours, WorkerMessage)
    worker: Channel[ParentMessage] = await Channel.open(theirs, ParentMessage)
    handle = _handle(channel)
    serving = asyncio.create_task(handle.serve())

    worker.say(ReloadAsked(7, installed=True))
    ended = await anext(worker.words())
    await worker.aclose()
    await serving
    await channel.aclose()

    assert isinstance(ended, ReloadEnded)
    assert (7, None) == (ended.id, ended.reloaded)
    assert "failed to follow it (AssertionError)" in ended.problem
