"""Batches that are poured into a sink, past the reader's task: the same events, however the two take turns."""

from __future__ import annotations

import asyncio
from itertools import pairwise, zip_longest
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autonomousai.batches import GeneratedBatches
from autonomousai.clients.prepared_request import PreparedRequest
from autonomousai.clients.remote import ResponseStream
from autonomousai.errors import HTTPError
from autonomousai.events import Batch, Event
from autonomousai.http.connection import ClientConnection
from autonomousai.http.fairness import AT_ONCE, FairDispatcher
from autonomousai.http.request_head import Origin
from autonomousai.http.sweep import Sweep
from autonomousai.testing import chunks
from autonomousai.timeouts import Clocks
from autonomousai.wires.registry import OPENAI_CHAT

from .test_connection import OK, Wire

HEAD = OK + b"Content-Type: text/event-stream\r\n\r\n"
WORDS = [chunks(word, finish=None, done=False) for word in (" one", " two", "", " three", " four")]
QUIET = b": keep-alive\n\n"

#: Answers as they may come, and go.
ANSWERS = {
    "whole": b"".join([*WORDS, chunks(" five")]),
    "whole, with comments": QUIET.join([*WORDS, chunks(" five")]),
    "cut": b"".join(WORDS),
    "an error": b"".join(WORDS) + b'data: {"error": {"message": "overloaded", "code": 503}}\n\n',
    "unreadable": b"".join([*WORDS[:3], b"data: {nothing\n\n", *WORDS[3:]]),
    "goes on after a finish reason": b"".join([chunks("a", done=False), *WORDS, chunks("z")]),
}


class OneResponse:
    """A pool whose only response is that of one connection."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def post(self, *args: Any, **options: Any) -> ClientConnection:
        await self._connection.head()
        return self._connection


def framed(data: bytes) -> bytes:
    """A chunk of a body (RFC 9112 section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


async def begin(limit: int = AT_ONCE, head: bytes = HEAD) -> tuple[ClientConnection, ResponseStream]:
    """A connection on which a response's head has come, and the stream that reads it."""
    loop = asyncio.get_running_loop()
    connection = ClientConnection(
        Origin(True, "localhost", 443), loop, FairDispatcher(loop, limit), Sweep(loop), lambda _: None, lambda _: None
    )
    connection.connection_made(Wire())
    now = loop.time()
    connection.send(b"", b"", ends=True, clocks=Clocks(), streaming=False, total_at=now + 600, now=now)
    connection.data_received(head)
    request = PreparedRequest(url="https://localhost/", headers={}, body=b"", clocks=Clocks(), stream=True, wire=OPENAI_CHAT)
    return connection, ResponseStream(OneResponse(connection), request)  # type: ignore[arg-type]


async def read(reads: list[bytes], turns: list[bool] | None, pauses: list[bool], limit: int) -> tuple[list[Event], str]:
    """All events, and what ended them. ``turns``: what the sink says to each batch; None where there is no sink. ``pauses``:
    after which reads the loop goes on to do other things; by default after each. ``limit``: how much is poured at once."""
    connection, reader = await begin(limit)

    async def bring() -> None:
        for data, pause in zip_longest(reads, pauses[: len(reads)], fillvalue=True):
            connection.data_received(data)
            if pause:
                await asyncio.sleep(0)
        connection.eof_received()

    events: list[Event] = []
    answers = iter(turns or ())

    def sink(batch: Batch) -> bool:
        events.extend(batch)
        return next(answers, True)

    bringing = asyncio.create_task(bring())
    end = "nothing"
    try:
        async for batch in reader:
            events += batch
            if turns is not None:
                await reader.pipe_to(sink)
    except HTTPError as error:
        end = f"{type(error).__name__}: {error}"
    await bringing
    connection.connection_lost(None)
    return events, end


@settings(deadline=None, max_examples=200)
@given(
    st.sampled_from(sorted(ANSWERS)),
    st.lists(st.integers(1, 600), max_size=12),
    st.lists(st.booleans(), max_size=8),
    st.lists(st.booleans(), max_size=12),
    st.integers(1, 4),
)
def test_nothing_is_lost_or_doubled(name: str, cuts: list[int], turns: list[bool], pauses: list[bool], limit: int) -> None:
    """Whatever comes, however it is cut, and whenever the sink hands back: the events and the end are those of reading."""
    data = ANSWERS[name]
    ends = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    reads = [data[start:end] for start, end in pairwise(ends)]

    async def both() -> tuple[Any, Any]:
        return await read(reads, None, [], 1), await read(reads, turns, pauses, limit)

    alone, together = asyncio.run(both())
    assert alone == together


async def test_what_goes_on_is_poured() -> None:
    """Of an answer that comes piece by piece the reader gets the beginning and the end; what is between goes to the sink."""
    connection, reader = await begin()
    poured: list[Event] = []
    connection.data_received(WORDS[0])
    first = await anext(reader)
    pouring = asyncio.create_task(reader.pipe_to(lambda batch: not poured.extend(batch)))
    await asyncio.sleep(0)
    for word in (WORDS[1], WORDS[3]):
        connection.data_received(word)
        await asyncio.sleep(0)
    before = (list(poured), pouring.done())
    connection.data_received(chunks(" five"))
    again = await pouring
    last = await anext(reader)

    assert ([" one"], [" two", " three"], False, True) == (first[1:], *before, again)
    assert (" five", True) == (last[0], last[-1].reason == "stop")  # type: ignore[union-attr]
    await reader.aclose()


async def test_a_mistake_of_the_sink_is_the_readers() -> None:
    """What the sink raises comes out where it was asked for, and not in the event loop."""
    connection, reader = await begin()
    connection.data_received(WORDS[0])
    await anext(reader)

    def sink(batch: Batch) -> bool:
        raise LookupError

    pouring = asyncio.create_task(reader.pipe_to(sink))
    await asyncio.sleep(0)
    connection.data_received(WORDS[1])
    with pytest.raises(LookupError):
        await pouring
    await reader.aclose()


async def test_what_is_broken_behind_a_piece_ends_the_answer() -> None:
    """One read may bring a piece that could be handed on, and what breaks the body: the piece comes, and then the error."""
    connection, reader = await begin(head=OK + b"Transfer-Encoding: chunked\r\n\r\n")
    poured: list[Event] = []
    connection.data_received(framed(WORDS[0]))
    await anext(reader)
    pouring = asyncio.create_task(reader.pipe_to(lambda batch: not poured.extend(batch)))
    await asyncio.sleep(0)
    connection.data_received(framed(WORDS[1]))
    connection.data_received(framed(WORDS[3]) + b"no length\r\n")
    await pouring
    rest = await anext(reader)
    with pytest.raises(HTTPError):
        await anext(reader)

    assert ([" two"], [" three"]) == (poured, rest)


async def test_who_stops_waiting_gets_nothing_more() -> None:
    """Cancelled, the sink is let go, even of what was to be poured in the next turn: that waits for the reader."""
    connection, reader = await begin(limit=1)
    connection.data_received(WORDS[0])
    await anext(reader)
    poured: list[Event] = []
    pouring = asyncio.create_task(reader.pipe_to(lambda batch: not poured.extend(batch)))
    await asyncio.sleep(0)
    pouring.cancel()
    connection.data_received(WORDS[1])
    connection.data_received(WORDS[3])
    await asyncio.wait([pouring])
    batch = await asyncio.wait_for(anext(reader), 60)

    assert ([" two"], [" three"]) == (poured, batch)
    await reader.aclose()


async def test_a_stream_that_cannot_pour_is_not_asked_again() -> None:
    """Any other source of batches is read."""

    async def batches():
        yield ["text"]

    assert await GeneratedBatches(batches).pipe_to(lambda batch: True) is False
