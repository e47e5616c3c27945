"""The parent's side of a worker, whose other end is held by the test: what is left of those who asked for a slot."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys

import pytest

from autonomousai.engine.ipc import EngineSettings
from autonomousai.engine.process import EngineLog
from autonomousai.engine.supervisor import Supervisor
from autonomousai.workers import parent
from autonomousai.workers.messages import AcquireSlot, Channel, Count, Counted, ParentMessage, Refused, WorkerMessage
from autonomousai.workers.worker_handle import WorkerHandle

TIMES = 50
SETTINGS = EngineSettings(weights="none", name="none", socket="", api_key="", slots=1, context=512, threads=1)


async def _gather(_: WorkerHandle) -> list[bytes]:
    return []


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
    serving = asyncio.create_task(WorkerHandle(channel, {"one": engine}, on_listening=lambda: None, gather=_gather).serve())
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
    handle = WorkerHandle(channel, {}, on_listening=lambda: None, gather=_gather)
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
