"""Readers of one log: what is handed on without a task switch, what is left for later, and what is remembered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from autonomousai.events import FinishReason, Started
from autonomousai.outage import Outage
from autonomousai.streams.log import StreamLog, StreamReader
from autonomousai.streams.records import Record, RecordEncoder, StreamHeader, UnknownWireError
from autonomousai.streams.stores import GoneError, LeaseLostError
from autonomousai.streams.stores.memory import MemoryStore
from autonomousai.wires.base import Wire
from autonomousai.wires.registry import AUTONOMOUSAI, OPENAI_CHAT, WIRES

HEADER = StreamHeader("openai_chat", "req_1", 1700000000, "llama", False)
FIRST = Record([Started("llama")], header=HEADER)
END = Record([FinishReason("stop", "done")], end=True, provenance={})


def text(words: str) -> Record:
    return Record([words])


def encoded(*records: Record, wire: Wire = OPENAI_CHAT) -> list[bytes]:
    """What a reader of these records gets."""
    encoder = RecordEncoder(wire, WIRES)
    return [encoder.encode([record]) for record in records]


class Logged:
    """A log in memory that was begun with one record, and its readers."""

    def __init__(self, log: StreamLog) -> None:
        self.log = log
        self.left = 0

    def reader(self, last: int = 0, wire: Wire | None = OPENAI_CHAT) -> StreamReader:
        return StreamReader(self.log, last, wire, self._on_left)

    def _on_left(self, log: StreamLog) -> None:
        self.left += 1

    def write(self, *records: Record) -> None:
        for record in records:
            assert self.log.append_now(record)


async def logged(max_bytes: int = 10**9, header: StreamHeader = HEADER) -> Logged:
    store = MemoryStore(keep_s=300, max_bytes=max_bytes)
    log = StreamLog("s", store, 0, "req_1", Outage("away", "back"))
    log.lease = await store.create("s", b"", b"")
    made = Logged(log)
    made.write(Record([Started("llama")], header=header))
    return made


class Piped:
    """A reader that hands on what comes; ``takes``: whether it is asked to go on after the next."""

    def __init__(self, reader: StreamReader) -> None:
        self.got: list[bytes] = []
        self.takes = True
        self.task = asyncio.ensure_future(reader.pipe_to(self._put))

    def _put(self, data: bytes) -> bool:
        self.got.append(data)
        return self.takes


@pytest.fixture
async def made() -> AsyncIterator[Logged]:
    made = await logged()
    yield made
    made.log.close()


# ---- without a task switch


async def test_what_comes_is_handed_on_at_once(made: Logged) -> None:
    """Before the writer's next line, to every reader that pipes, in its own wire."""
    chat, ours = made.reader(), made.reader(wire=AUTONOMOUSAI)
    for reader in (chat, ours):
        await reader.read()
    piped = [Piped(chat), Piped(ours)]
    await asyncio.sleep(0)
    made.write(text("Hel"), text("lo"))

    assert [encoded(FIRST, text("Hel"), text("lo"), wire=wire)[1:] for wire in (OPENAI_CHAT, AUTONOMOUSAI)] == [
        each.got for each in piped
    ]
    assert (3, False, False) == (chat.last, chat.ended, piped[0].task.done())


async def test_a_reader_that_wants_its_turn_gets_it(made: Logged) -> None:
    """What was put was taken; what comes after that is left for `read`."""
    reader = made.reader()
    await reader.read()
    piped = Piped(reader)
    piped.takes = False
    await asyncio.sleep(0)
    made.write(text("Hel"), text("lo"))
    await piped.task

    assert encoded(FIRST, text("Hel"), text("lo"))[1:] == [*piped.got, await reader.read()]


async def test_the_end_is_left_for_reading(made: Logged) -> None:
    """So that it can be sent as the last piece."""
    reader = made.reader()
    await reader.read()
    piped = Piped(reader)
    await asyncio.sleep(0)
    made.write(text("Hello"), END)
    await piped.task
    last = await reader.read()

    assert ([encoded(FIRST, text("Hello"), END)[1]], encoded(FIRST, text("Hello"), END)[2]) == (piped.got, last)
    assert (True, None) == (reader.ended, await reader.read())


async def test_a_reader_that_is_behind_reads_first(made: Logged) -> None:
    """Nothing comes before what has come already."""
    reader = made.reader()
    made.write(text("Hello"))
    piped = Piped(reader)
    await piped.task

    assert ([], b"".join(encoded(FIRST, text("Hello")))) == (piped.got, await reader.read())


async def test_a_stream_that_stops_here_ends_the_piping(made: Logged) -> None:
    """Nothing more comes in this process, and the reader is told so."""
    reader = made.reader()
    await reader.read()
    piped = Piped(reader)
    await asyncio.sleep(0)
    made.log.close()
    await piped.task

    assert (None, False) == (await reader.read(), reader.ended)


async def test_a_record_that_says_nothing_is_no_piece(made: Logged) -> None:
    """Neither handed on nor read."""
    reader = made.reader()
    await reader.read()
    piped = Piped(reader)
    await asyncio.sleep(0)
    made.write(Record([Started("other")]), text("Hello"))

    assert [encoded(FIRST, text("Hello"))[1]] == piped.got


async def test_a_fault_of_one_reader_is_its_own(made: Logged) -> None:
    """It is raised where that one waits; the writer and the other readers do not notice."""
    broken, sound = made.reader(), made.reader()
    for reader in (broken, sound):
        await reader.read()

    def put(data: bytes) -> bool:
        raise ZeroDivisionError

    failing = asyncio.ensure_future(broken.pipe_to(put))
    piped = Piped(sound)
    await asyncio.sleep(0)
    made.write(text("Hello"))

    assert [encoded(FIRST, text("Hello"))[1]] == piped.got
    with pytest.raises(ZeroDivisionError):
        await failing


@pytest.mark.parametrize("waits", ["pipes", "reads"])
async def test_a_reader_that_left_is_handed_nothing(made: Logged, waits: str) -> None:
    """Its task was cancelled while it waited."""
    reader = made.reader()
    await reader.read()
    got: list[bytes] = []

    def put(data: bytes) -> bool:
        got.append(data)
        return True

    waiting = asyncio.ensure_future(reader.pipe_to(put) if waits == "pipes" else reader.read())
    await asyncio.sleep(0)
    waiting.cancel()
    made.write(text("Hello"))
    await asyncio.wait([waiting])
    made.write(text("Hello"))

    assert ([], True) == (got, waiting.cancelled())


async def test_a_reader_that_waits_again_is_handed_all_once(made: Logged) -> None:
    """After a wait that was cut short, by a timeout for example."""
    reader = made.reader()
    await reader.read()
    for _ in range(3):
        waiting = asyncio.ensure_future(reader.read())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
    piped = Piped(reader)
    await asyncio.sleep(0)
    made.write(text("Hello"))

    assert encoded(FIRST, text("Hello"))[1:] == piped.got


async def test_a_writer_without_a_lease_writes_nothing(made: Logged) -> None:
    """Nor do readers hear of it."""
    made.log.lease = 7
    reader = made.reader()
    await reader.read()
    piped = Piped(reader)
    await asyncio.sleep(0)

    with pytest.raises(LeaseLostError):
        made.log.append_now(text("Hello"))
    assert (1, []) == (made.log.last, piped.got)


# ---- coming back


WORDS = [text(f" {number}") for number in range(5000)]


async def come_back(made: Logged, last: int, wire: Wire | None = OPENAI_CHAT) -> bytes:
    reader = made.reader(last, wire)
    assert await reader.seek()
    return await reader.read() or b""


@pytest.mark.parametrize("last", [1, 2, 500, 513, 514, 1025, 4999, 5000])
async def test_coming_back_to_a_long_stream(made: Logged, last: int) -> None:
    """From wherever: the next piece begins with the event after that one, and the whole is the same."""
    with made.reader() as first:
        made.write(*WORDS)
        whole = await first.read() or b""
        while first.last < 5001:
            whole += await first.read() or b""
        rest = await come_back(made, last)
        with made.reader(last) as second:
            await second.seek()
            got = b""
            while second.last < 5001:
                got += await second.read() or b""

    assert whole == b"".join(encoded(FIRST, *WORDS))
    assert (True, True) == (rest.startswith(b"id: %d\n" % (last + 1)), whole.endswith(got))
    assert 5001 - last == got.count(b"\n\n")


async def test_who_is_not_far_behind_finds_a_stream_whose_beginning_was_dropped() -> None:
    """There is not room for all of it; what can be read on from is remembered for each wire that was read."""
    made = await logged(max_bytes=1_000_000)
    with made.reader() as live:
        for record in WORDS:
            made.write(record)
            await live.read()

        rest = await come_back(made, 4701)
        assert b"".join(encoded(FIRST, *WORDS)[4701:]).startswith(rest)
        for last, wire in ((0, OPENAI_CHAT), (2, OPENAI_CHAT), (4701, AUTONOMOUSAI)):
            with pytest.raises(GoneError):
                await come_back(made, last, wire)


async def test_a_stream_of_a_wire_that_is_not_known() -> None:
    """A server of another version began it: here it can be read over the wires that there are."""
    made = await logged(header=StreamHeader("telepathy", "req_1", 1700000000, "llama", False))
    made.write(text("Hello"))

    assert b"".join(encoded(FIRST, text("Hello"))) == await come_back(made, 0, OPENAI_CHAT)
    with pytest.raises(UnknownWireError):
        await come_back(made, 0, None)


async def test_the_last_reader_that_leaves_is_noticed(made: Logged) -> None:
    """Once, when none is left; not where the stream stopped before."""
    with made.reader():
        with made.reader():
            pass
        before = made.left
    after = made.left
    with made.reader():
        made.log.close()

    assert (0, 1, 1) == (before, after, made.left)
