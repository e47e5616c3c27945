"""A server of several workers, as the system shows it (`/proc`): its processes, and which of them takes a connection."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path

from tests.support.sockets import Connection, request

WORKER = "autonomousai.workers.worker"
ENGINE = "autonomousai.engine.child"


def children(pid: int, module: str) -> list[int]:
    """The children of that process that run *module*, the oldest first."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sorted(int(child) for child in listed if module.encode() in _arguments(int(child)))


def _arguments(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@contextmanager
def stopped(*pids: int) -> Iterator[None]:
    """Hold these processes still within the block."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        while any(_state(pid) != "T" for pid in pids):
            os.sched_yield()
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def waiting_at(worker: int) -> int:
    """How many connections wait at the worker's own socket (proc(5): of one that listens, `/proc/net/tcp` has the queue)."""
    arguments = [argument.decode() for argument in _arguments(worker)]
    _where, _channel, own = arguments[arguments.index(WORKER) + 1 :][:3]
    name = str(Path(f"/proc/{worker}/fd/{own}").readlink())
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(row[4].partition(":")[2], 16) for row in rows if f"socket:[{row[9]}]" == name)


@asynccontextmanager
async def connection_to(worker: int, port: int, workers: Iterable[int]) -> AsyncIterator[Connection]:
    """A connection that this one of the *workers* took: the others were held until it had."""
    async with AsyncExitStack() as stack:
        with stopped(*(pid for pid in workers if pid != worker)):
            connection = await stack.enter_async_context(Connection(port))
            await connection.ask(request("GET", "/healthz"))
        yield connection


async def another(parent: int, old: int, count: int) -> list[int]:
    """The workers, as soon as there are so many again without the *old* one."""
    while old in (pids := children(parent, WORKER)) or len(pids) < count:
        await asyncio.sleep(0)
    return pids
