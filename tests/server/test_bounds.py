"""What callers and upstreams can make the server hold: its bound, measured. The table is in docs/security.md."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import tracemalloc
from collections.abc import Iterator
from itertools import repeat
from typing import Any, ClassVar

import pytest

from autonomousai.answer import Answer
from autonomousai.http.server import flow, request_bounds
from autonomousai.http.server.protocol import PIPELINED
from autonomousai.server.bodies import MAX_VALUES, BodyReader
from autonomousai.server.endpoint import MAX_MODEL
from autonomousai.testing import Pause, ScriptedProvider, answer
from autonomousai.wires.base import AnswerHead
from autonomousai.wires.registry import OPENAI_CHAT
from tests.http.test_cycle import Clock, Slow, connect, echo, turns
from tests.support.sockets import CHAT, HELLO, Connection, Listening, ask, request

MB = 1_000_000


@contextlib.contextmanager
def allocated() -> Iterator[list[int]]:
    """The bytes that the block has allocated and not freed, and the most that it had."""
    tracemalloc.start()
    try:
        sizes: list[int] = []
        yield sizes
        sizes += tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()


async def counted(serving: Listening, text: bytes) -> None:
    """Wait until the metrics say that."""
    async with Connection(serving.port) as probe:
        while text not in (await probe.ask(request("GET", "/metrics"))).body:
            pass


# ---- connections


async def test_a_pipeline_is_held_to_a_few_requests():
    """256 KiB of the shortest requests in one read: a few are kept for their turn, and the connection ends after those."""
    app = Slow()
    connection, wire, _ = connect(app)
    data = b"GET / HTTP/1.1\r\nhost:\r\n\r\n" * 10_000

    with allocated() as sizes:
        connection.data_received(data)
    for _ in range(PIPELINED + 1):
        app.end.release()
        await turns()
    connection.connection_lost(None)

    assert sizes[0] < MB / 10
    assert (PIPELINED + 1, True, True) == (len(app.begun), wire.half_closed, b"connection: close" in wire.text)


async def test_the_shortest_headers_are_bounded_in_number(port):
    """64 KiB of them would be two megabytes in memory."""
    head = b"GET / HTTP/1.1\r\nhost: localhost\r\n" + b"a:\r\n" * 1_000 + b"\r\n"

    assert (431, "headers_too_large") == (await ask(port, head)).told


async def test_who_does_not_read_is_let_go(serve, provider, monkeypatch):
    """An answer that its caller stopped reading holds a place, but not for ever."""
    monkeypatch.setattr(flow, "WRITE_S", 0.05)
    provider.play(["x" * 4 * MB] * 10)
    serving = await serve()

    async with Connection(serving.port) as connection:
        await connection.send(request("POST", CHAT, {**HELLO, "stream": True}))
        await connection.head()
        connection.writer.transport.pause_reading()
        await serving.app.empty()

    assert provider.calls[0].left in ("cancelled", "closed")


async def test_hosts_that_are_remembered_are_bounded(serve):
    """This machine has as many names as there are ports and dots at their ends."""
    serving = await serve()
    async with Connection(serving.port) as connection:
        for host in ("localhost" + "." * 60_000, *(f"localhost:{number}" for number in range(1, 1_100))):
            assert 200 == (await connection.ask(request("GET", "/v1/models", host=host))).status

    known = serving.app._guard._known
    assert (1_000, True) == (len(known), max(map(len, known)) <= 100)


# ---- bodies


async def test_bodies_that_trickle_keep_nobody_out(serve):
    """Twice as many as there are places, none of them whole: who sends at once is answered at once."""
    serving = await serve(max_concurrency=2)
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(4):
            slow = await stack.enter_async_context(Connection(serving.port))
            await slow.send(request("POST", CHAT, HELLO)[:-5])
        while len(serving.connections.tasks) < 4:
            await asyncio.sleep(0)

        assert 200 == (await ask(serving.port, request("POST", CHAT, HELLO))).status


async def test_a_body_has_a_time_as_a_whole(serve, provider, monkeypatch):
    """However steadily its bytes come: too few of them in that time are a 408."""
    monkeypatch.setattr(request_bounds, "BODY_S", 0.05)
    port = (await serve()).port
    head, _, _ = request("POST", CHAT, HELLO, content_length="100000").partition(b"\r\n\r\n")

    async with Connection(port) as connection:
        trickle = asyncio.create_task(_trickle(connection, head + b"\r\n\r\n"))
        got = await connection.answer()
        trickle.cancel()

    assert ((408, "request_timeout"), []) == (got.told, provider.calls)


async def _trickle(connection: Connection, head: bytes) -> None:
    with contextlib.suppress(ConnectionError):
        await connection.send(head)
        while True:
            await connection.send(b" ")
            await asyncio.sleep(0.001)


async def test_a_body_that_comes_quickly_enough_has_more_time():
    """A large one over a slow line is no attack: each so many bytes bring a second more."""
    clock = Clock()
    connection, wire, connections = connect(echo, clock)
    data = request("POST", CHAT, b"x" * 1_000_000)
    connection.data_received(data[:1000])
    await turns()
    connection.data_received(data[1000 : 1000 + 5 * request_bounds.BODY_RATE])
    await turns()
    clock.advance(request_bounds.BODY_S)
    connection.data_received(b"x")
    clock.advance(4)
    early = wire.closed or wire.half_closed
    clock.advance(2)
    late = wire.closed or wire.half_closed
    connection.connection_lost(None)
    for task in connections.tasks:
        task.cancel()

    assert (False, True) == (early, late)


async def test_arriving_bodies_are_bounded_together(serve):
    """Past four of the largest in all, the one that began first gives way to the newest."""
    serving = await serve(max_body=MB)
    async with contextlib.AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(Connection(serving.port)) for _ in range(6)]
        document = {**HELLO, "messages": [{"role": "user", "content": "x" * (MB - 1000)}]}
        data = request("POST", CHAT, document)
        reader = serving.app._hot[CHAT]._context.bodies
        for connection in connections:
            await connection.send(data[:-100])
        for _ in connections:  # each has been read, as far as it was sent
            await ask(serving.port, request("GET", "/healthz"))
        while sum(each.size for each in reader._arriving) < 3 * MB:
            await asyncio.sleep(0)
        held = sum(len(each.data) for each in reader._arriving)
        told = [(await connection.ask(data[-100:])).status for connection in connections]

    assert held <= 4 * MB
    assert {200, 503} == set(told)
    assert 200 == told[-1]


async def test_single_bytes_of_a_body_take_no_more_than_themselves():
    """Whether a read brings one each, or a chunk."""

    class Trickling:
        head: ClassVar = {b"content-type": b"application/json"}
        left = MB

        async def next_body(self) -> tuple[bytes, bool]:
            self.left -= 1
            return b" ", self.left > 0

    with allocated() as reads:
        body = await BodyReader(2 * MB).read(Trickling())
    connection, _, _ = connect(Slow())
    head = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
    data = request("GET", "/") + head + b"1\r\nx\r\n" * 50_000
    with allocated() as chunks:
        connection.data_received(data)
    connection.connection_lost(None)
    await turns()

    assert (MB, True) == (len(body), reads[1] < 4 * MB)
    assert chunks[0] < MB / 4


async def test_a_body_that_waits_is_kept_as_it_came(serve, provider):
    """Decoded it takes many times its bytes: it is not, before it has its place."""
    pause = Pause()
    provider.play([pause, *answer("first")], answer("second"))
    serving = await serve(max_concurrency=1)
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"a": [{}] * 900}}}] * 128
    data = request("POST", CHAT, {**HELLO, "tools": tools, "pad": "x" * MB})

    async with Connection(serving.port) as first, Connection(serving.port) as waiting:
        await first.send(request("POST", CHAT, HELLO))
        await pause.reached.wait()
        with allocated() as sizes:
            await waiting.send(data)
            await counted(serving, b"queue_length 1")
        asked = len(provider.calls)
        pause.release()
        await first.answer()
        second = await waiting.answer()

    assert (1, "second") == (asked, second.json()["choices"][0]["message"]["content"])
    assert sizes[0] < 2 * len(data)


async def test_a_resumable_body_that_waits_is_kept_as_it_came(serve, provider):
    """The place that it waited for is the one that its stream is generated at."""
    pause = Pause()
    provider.play([pause, *answer("first")], answer("second"))
    serving = await serve(max_concurrency=1)
    data = {**HELLO, "stream": True, "pad": "x" * 100_000}

    async with Connection(serving.port) as first, Connection(serving.port) as waiting:
        await first.send(request("POST", CHAT, HELLO))
        await pause.reached.wait()
        await waiting.send(request("POST", CHAT, data, x_stream_resumable="1"))
        await counted(serving, b"queue_length 1")
        pause.release()
        await first.answer()
        second = await waiting.answer()
        third = await first.ask(request("POST", CHAT, HELLO))

    assert (b"second" in second.body, 200) == (True, third.status)


@pytest.mark.parametrize(
    "value",
    ["[]", "{}", '{"a":1}', "1", '{"role":"user","content":""}'],
    ids=["lists", "objects", "members", "numbers", "messages"],
)
async def test_a_body_is_bounded_in_values(serve, provider, value):
    """20 MB of the smallest values would be half a gigabyte."""
    serving = await serve()
    body = b'{"model":"llama","messages":[%b]}' % b",".join(repeat(value.encode(), 19 * MB // (len(value) + 1)))

    with allocated() as sizes:
        got = await ask(serving.port, request("POST", CHAT, body, content_type="application/json"))

    assert ((400, "too_many_values"), []) == (got.told, provider.calls)
    assert sizes[1] < 5 * len(body)


async def test_commas_in_a_text_are_no_values(serve):
    """A long text has many, and is one value."""
    text = 'a, "b", {c}, [d]\\' * MAX_VALUES

    assert 200 == (await ask((await serve()).port, request("POST", CHAT, _says(text)))).status


def _says(text: str) -> dict[str, Any]:
    return {**HELLO, "messages": [{"role": "user", "content": text}]}


@pytest.mark.parametrize(("size", "status"), [(MAX_MODEL, 200), (MAX_MODEL + 1, 400), (MB, 400)])
async def test_a_models_name_is_bounded(serve, size, status):
    """Each event repeats it; a refusal shows its beginning."""

    class Anything(ScriptedProvider):
        def get_model(self, model: str) -> str:
            return model

    got = await ask((await serve(Anything())).port, request("POST", CHAT, {**HELLO, "model": "m" * size}))

    assert status == got.status
    assert status == 200 or ("model" == got.error["param"] and len(got.body) < 300)


# ---- upstreams

CALL = {"id": "call", "function": {"name": "f", "arguments": "{}"}}
EVENTS = {
    "calls of one index": lambda n: {"tool_calls": [{**CALL, "index": 0, "id": str(i)} for i in range(n)]},
    "calls without an index": lambda n: {"tool_calls": [{**CALL, "id": str(i)} for i in range(n)]},
    "unknown members": lambda n: {"tool_calls": [{**CALL, "index": i, "more": 1} for i in range(n)]},
}


def seconds(choices: list[dict[str, Any]]) -> float:
    """The processor's time to read such an event and to write it again."""
    event = b"data: " + json.dumps({"model": "m", "choices": choices}).encode() + b"\n\n"
    took = []
    for _ in range(3):
        began = time.process_time()
        said = [each for batch in OPENAI_CHAT.decoder().feed(event) for each in (batch if isinstance(batch, list) else [batch])]
        Answer().add(said)
        OPENAI_CHAT.encoder(AnswerHead("x", 1, "m")).write(said)
        took.append(time.process_time() - began)
    return min(took)


@pytest.mark.parametrize("delta", EVENTS.values(), ids=EVENTS)
def test_an_event_takes_time_in_proportion(delta):
    """An upstream's event of two megabytes must not hold all others up: ten times as much is no hundred times as long."""
    few, many = (seconds([{"index": 0, "delta": delta(n)}]) for n in (1_000, 10_000))

    assert many < 40 * few


def test_choices_take_time_in_proportion():
    """As many choices, each with a member of its own."""
    few, many = (seconds([{"index": i, "more": i, "delta": {"content": "x"}} for i in range(n)]) for n in (1_000, 10_000))

    assert many < 40 * few
