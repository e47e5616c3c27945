"""The parent's side of a worker, whose other end is held by the test: what is left of those who asked for a slot."""

from __future__ import annotations

import asyncio
import gc
import socket

from autonomousai.engine.ipc import EngineSettings
from autonomousai.engine.process import EngineLog
from autonomousai.engine.supervisor import Supervisor
from autonomousai.workers.messages import AcquireSlot, Channel, ParentMessage, Refused, WorkerMessage
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
    parent: Channel[WorkerMessage] = await Channel.open(ours, WorkerMessage)
    worker: Channel[ParentMessage] = await Channel.open(theirs, ParentMessage)
    serving = asyncio.create_task(WorkerHandle(parent, {"one": engine}, on_listening=lambda: None, gather=_gather).serve())
    words = worker.words()

    before = _tasks()
    for number in range(TIMES):
        worker.say(AcquireSlot(number, "one", 0))
        while not isinstance(await anext(words), Refused):
            pass
    after = _tasks()
    await worker.aclose()
    await serving
    await parent.aclose()

    assert after - before < TIMES / 2
