"""Records that are being stored while others come: readers get them in their order, once the store has them."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import pytest

from autonomousai.errors import StatusError
from autonomousai.events import FinishReason, Started
from autonomousai.outage import Outage
from autonomousai.streams.log import StreamLog
from autonomousai.streams.records import Record, StreamHeader, decode_record
from autonomousai.streams.stores import LeaseLostError, StoreError, StoreFullError, StreamVanishedError
from autonomousai.streams.stores.memory import MemoryStore

from .conftest import quiet, soon
from .test_streams import Piping, begin, hub

__all__ = ["hub"]

HEADER = StreamHeader("openai_chat", "req_1", 1700000000, "llama", False)
FIRST = Record([Started("llama")], header=HEADER)
END = Record([FinishReason("stop", "done")], end=True, provenance={})


def text(words: str) -> Record:
    return Record([words])


class Slow(MemoryStore):
    """A store as other servers share it, which stores when a test says so."""

    shared = True

    def __init__(self) -> None:
        super().__init__(keep_s=300, max_bytes=10**9)
        self.under_way: deque[tuple[asyncio.Future[None], tuple[Any, ...]]] = deque()
        self.stored: list[tuple[int, Record]] = []

    def append(  # type: ignore[override]  # a future, as that of Redis is
        self, id: str, lease: int, number: int, data: bytes, *, end: bool = False
    ) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.under_way.append((future, (id, lease, number, data, end)))
        return future

    async def store(self, count: int = 1) -> None:
        """Store so many of the records that have come."""
        for _ in range(count):
            future, (stream, lease, number, data, end) = self.under_way.popleft()
            self.append_now(stream, lease, number, data, len(data), end=end)
            self.stored.append((number, decode_record(data)))
            future.set_result(None)
        await asyncio.sleep(0)

    async def fail(self, error: Exception) -> None:
        self.under_way.popleft()[0].set_exception(error)
        await asyncio.sleep(0)


async def logged(store: MemoryStore) -> StreamLog:
    log = StreamLog("s", store, 0, "req_1", Outage("away", "back"))
    log.lease = await store.create("s", b"", b"")
    return log


async def words(log: StreamLog) -> list[Any]:
    """The events that a reader of the log gets now."""
    return [event for record in await log.read(0) for event in record.events] if log.last else []


async def test_readers_get_records_once_they_are_stored() -> None:
    """Each with its number, and none before."""
    store = Slow()
    log = await logged(store)
    took = [log.append_soon(record) for record in (FIRST, text("a"), text("b"))]
    seen = [await words(log)]
    for count in (2, 1):
        await store.store(count)
        seen.append(await words(log))
    ending = asyncio.create_task(log.append(END))
    await asyncio.sleep(0)
    ended = [log.ended]
    await store.store()
    await soon(ending)

    assert [True] * 3 == took
    assert [[], [Started("llama"), "a"], [Started("llama"), "a", "b"]] == seen
    assert ([False], True) == (ended, log.ended)
    assert [1, 2, 3, 4] == [number for number, _ in store.stored]


@pytest.mark.parametrize("error", [StoreError("away"), StreamVanishedError()], ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("is_last_stored", [True, False])
async def test_a_store_that_fails_a_record_costs_no_reader_one(error: Exception, is_last_stored: bool) -> None:
    """Nor the order of those that come after it, of which none is sent to the store."""
    store = Slow()
    log = await logged(store)
    for record in (FIRST, text("a"), text("b")):
        log.append_soon(record)
    await store.store()
    await store.fail(error)
    log.append_soon(text("c"))
    before = await words(log)
    under_way = len(store.under_way)
    await (store.store() if is_last_stored else store.fail(error))
    await log.append(text("d"))
    await log.append(END)

    assert ([Started("llama"), "a"], 1) == (before, under_way)
    assert [Started("llama"), "a", "b", "c", "d", END.events[0]] == await words(log)
    assert (1, False, True) == (log.stored_last, log.is_stored, log.ended)


async def test_a_store_that_is_full_fails_a_record_at_once() -> None:
    """The answer continues without it."""

    class Full(Slow):
        def append(self, *arguments: Any, **named: Any) -> Any:
            if self.under_way:
                raise StoreFullError("full")
            return super().append(*arguments, **named)

    store = Full()
    log = await logged(store)
    for record in (FIRST, text("a"), text("b")):
        log.append_soon(record)
    await store.store()

    assert [Started("llama"), "a", "b"] == await words(log)
    assert 1 == log.stored_last


async def test_a_lease_that_was_lost_ends_the_writer() -> None:
    """No reader gets what is not stored, and the next record raises why."""
    store = Slow()
    log = await logged(store)
    log.append_soon(FIRST)
    log.append_soon(text("a"))
    for _ in range(2):
        await store.fail(LeaseLostError())
    took = log.append_soon(text("b"))
    with pytest.raises(LeaseLostError):
        await log.append(END)

    assert (False, 0, False) == (took, log.last, log.ended)
    assert not store.under_way


async def test_a_writer_waits_for_a_slow_store() -> None:
    """When many records are being stored; then it may add further ones."""
    store = Slow()
    log = await logged(store)
    took = 0
    while log.append_soon(text("a")):
        took += 1
        assert took < 1000
    waiting = asyncio.create_task(log.append(text("b")))
    await asyncio.sleep(0)
    is_waiting = not waiting.done()
    await store.store(len(store.under_way))
    await soon(waiting)

    assert is_waiting
    assert took + 2 == log.last
    assert log.append_soon(text("c"))
    await store.store()


async def test_a_record_that_is_being_stored_is_waited_for_by_a_writer_that_is_cancelled() -> None:
    """Its number is taken."""
    store = Slow()
    log = await logged(store)
    writing = asyncio.create_task(log.append(FIRST))
    await asyncio.sleep(0)
    for _ in range(2):
        writing.cancel()
        await asyncio.sleep(0)
    is_waiting = not writing.done()
    await store.store()
    (fate,) = await asyncio.gather(writing, return_exceptions=True)

    assert is_waiting
    assert isinstance(fate, asyncio.CancelledError)
    assert 1 == log.last


@pytest.mark.parametrize("how", ["cancel", "close"])
async def test_an_answer_that_is_stopped_ends_behind_what_was_being_stored(hub: Any, how: str) -> None:
    """Of a provider that hands on without a task switch: the end of one that is cancelled has the next number; another server
    continues one whose server closes behind the last that is stored."""
    store, provider = Slow(), Piping()
    streams = await hub(store, provider)
    stream = await begin(streams)
    while not store.under_way:
        await asyncio.sleep(0)
    await store.store()
    await soon(provider.batches.piping.wait())
    assert provider.batches.sink is not None
    took = [provider.batches.sink([each]) for each in ("lo", " you")]
    stopping = asyncio.create_task(streams.cancel(stream.id) if how == "cancel" else streams.aclose())
    while not stopping.done():
        await store.store(len(store.under_way))
        await asyncio.sleep(0)
    await soon(stopping)
    await quiet(streams)

    is_cancelled = how == "cancel"
    assert [True, True] == took
    assert ([1, 2, 3, 4] if is_cancelled else [1, 2, 3]) == [number for number, _ in store.stored]
    assert (is_cancelled, is_cancelled) == (stream.ended, isinstance(stream.error, StatusError))
