"""A caller who leaves stops what was begun for them, at once, in every phase, on both wires; and leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import Any

import pytest

from autonomousai import OpenAICompatible
from autonomousai.config import Clocks, Config
from autonomousai.events import Batch, FinishReason, Started
from autonomousai.gateway import Gateway, Upstream
from autonomousai.provider import AsyncGeneratorProvider
from autonomousai.result import AsyncResult
from autonomousai.server import create_app
from autonomousai.testing import Head, Pause, Script, ScriptedServer, answer, chunks
from tests.support.sockets import CHAT, HELLO, PATIENCE, Connection, Listening, ask, listening, request

AGENT = "/api/v1/ai/chat"
WIRES = pytest.mark.parametrize("path", [CHAT, AGENT])
STREAMS = pytest.mark.parametrize("stream", [False, True])
WAYS = pytest.mark.parametrize("way", ["close", "reset"])


def leave(connection: Connection, way: str) -> None:
    if way == "reset":
        connection.reset()
    else:
        connection.writer.close()


async def settled(serving: Listening) -> list[str]:
    """Wait until nobody is inside and no connection is left; the names of the tasks that are still there."""
    async with asyncio.timeout(PATIENCE):
        await serving.app.empty()
        await serving.connections.none_left.wait()
        while serving.connections.tasks:
            await asyncio.wait(list(serving.connections.tasks))
    await asyncio.sleep(0)
    return [task.get_coro().__qualname__ for task in asyncio.all_tasks() if task is not asyncio.current_task()]


@WIRES
@STREAMS
@WAYS
async def test_who_leaves_before_the_first_token_stops_the_answer(serve, provider, path, stream, way):
    """In the prompt phase there is nothing to send yet, and the leaving is noticed all the same."""
    pause = Pause()
    provider.play([pause, *answer("late")])
    serving = await serve()

    async with Connection(serving.port) as connection:
        await connection.send(request("POST", path, {**HELLO, "stream": stream}))
        await pause.reached.wait()
        leave(connection, way)
        left = await provider.calls[0].over()

    assert ("cancelled", []) == (left, await settled(serving))


@WIRES
@STREAMS
@WAYS
async def test_who_leaves_in_the_midst_stops_the_answer(serve, provider, path, stream, way):
    """While it is generated, and whether or not anything was sent yet."""
    pause = Pause()
    provider.play(["Hello", " ", pause, *answer("world")])
    serving = await serve()

    async with Connection(serving.port) as connection:
        await connection.send(request("POST", path, {**HELLO, "stream": stream}))
        await pause.reached.wait()
        leave(connection, way)
        left = await provider.calls[0].over()

    assert ("cancelled", []) == (left, await settled(serving))


@WIRES
@STREAMS
async def test_who_leaves_the_queue_is_never_answered(serve, provider, path, stream):
    """A request that waits for a place and is left asks no model, and does not take the place when it is free."""
    pause = Pause()
    provider.play([pause, *answer("first")], answer("second"))
    serving = await serve(max_concurrency=1)

    async with Connection(serving.port) as first:
        await first.send(request("POST", CHAT, HELLO))
        await pause.reached.wait()
        async with Connection(serving.port) as queued:
            await queued.send(request("POST", path, {**HELLO, "stream": stream}))
            while b"in_flight 2" not in (await ask(serving.port, request("GET", "/metrics"))).body:
                pass
        while b"in_flight 1" not in (await ask(serving.port, request("GET", "/metrics"))).body:
            pass
        asked = len(provider.calls)
        pause.release()
        await first.answer()
        second = await first.ask(request("POST", CHAT, HELLO))

    assert (1, "second") == (asked, second.json()["choices"][0]["message"]["content"])
    assert [] == await settled(serving)


@WIRES
async def test_who_leaves_while_sending_asks_nobody(serve, provider, path):
    """Half a body, and gone: no model hears of it, and it is no error."""
    serving = await serve()

    async with Connection(serving.port) as connection:
        await connection.send(request("POST", path, HELLO)[:-5])
        while not serving.connections.tasks:
            await asyncio.sleep(0)

    assert ([], []) == (await settled(serving), provider.calls)


async def test_a_slow_reader_who_leaves_stops_the_answer(serve, provider):
    """Who does not read, until nothing more can be sent, and then leaves, stops it as well."""
    blocked = Pause()
    provider.play(["x" * 1_000_000] * 100 + [blocked])
    serving = await serve()

    async with Connection(serving.port) as connection:
        await connection.send(request("POST", CHAT, {**HELLO, "stream": True}))
        await connection.until(b"xxx")
        connection.writer.transport.pause_reading()
        protocol = next(iter(serving.connections.connections))
        while protocol.clear is None:
            await asyncio.sleep(0)
        connection.reset()
        left = await provider.calls[0].over()

    assert (True, False) == (left in ("cancelled", "closed"), blocked.reached.is_set())
    assert [] == await settled(serving)


FLOOD = [Started("m"), *("x" * 65536 for _ in range(500)), FinishReason("stop", "finish_reason")]


@pytest.mark.parametrize("resumable", [False, True])
@STREAMS
async def test_who_reads_nothing_keeps_no_place(provider, stream, resumable):
    """A caller who stops reading holds a place, and the upstream, for as long as an answer may take and no longer."""
    provider.play(FLOOD)
    config = Config(clocks=Clocks(total=0.5))
    headers = {"x_stream_resumable": "1"} if resumable else {}
    async with listening(create_app(config, provider=provider)) as serving, Connection(serving.port) as connection:
        connection.writer.transport.pause_reading()
        await connection.send(request("POST", CHAT, {**HELLO, "stream": stream}, **headers))
        async with asyncio.timeout(PATIENCE):
            left = await called(provider)
            await serving.app.empty()

        inside = serving.app._places.inside

    assert (0, True) == (inside, left in ("closed", "cancelled", "finished"))


class Flood:
    """A step that says more and more, as fast as it is read."""

    async def play(self, line: Any) -> None:
        data = chunks("x" * 1000, finish=None, done=False)
        while not line.transport.is_closing():
            await line.write_body(data)


@pytest.mark.usefixtures("transport")
async def test_a_flood_ends_with_its_total_behind_a_reader_who_sleeps():
    """An upstream without an end, a stream that is resumable, a caller who reads nothing of it: the total clock ends all."""
    async with ScriptedServer(Script.stream("Hi"), Script(Head(), Flood())) as upstream:
        client = OpenAICompatible(upstream.url, retries=0, prefill="no")
        await client.create_async_generator("llama", HELLO["messages"], stream=True).text()  # the first takes long over aiohttp
        made = Gateway([Upstream("u0", client)], {"llama": ["u0"]}, total=0.5)
        config = Config(clocks=Clocks(total=0.5))
        async with listening(create_app(config, provider=made)) as serving, Connection(serving.port) as connection:
            connection.writer.transport.pause_reading()
            await connection.send(request("POST", CHAT, {**HELLO, "stream": True}, x_stream_resumable="1"))
            async with asyncio.timeout(PATIENCE):
                end = await (await upstream.request(1)).over()
                await serving.app.empty()

    assert ("left", 2) == (end, len(upstream.requests))


async def called(provider: Any) -> Any:
    while not provider.calls:
        await asyncio.sleep(0)
    return await provider.calls[0].over()


async def test_leaving_is_no_error(serve, provider, caplog):
    """Callers may leave: the log does not speak of it, and the counter calls it 499."""
    pause = Pause()
    provider.play(["Hello", pause])
    serving = await serve()

    with caplog.at_level(logging.WARNING):
        async with Connection(serving.port) as connection:
            await connection.send(request("POST", CHAT, {**HELLO, "stream": True}))
            await connection.until(b"Hello")
        await settled(serving)
        counted = (await ask(serving.port, request("GET", "/metrics"))).body.decode()

    assert [] == caplog.records
    assert 'autonomousai_requests_total{route="/v1/chat/completions",status="499"} 1' in counted


@STREAMS
async def test_a_whole_answer_is_not_taken_for_one_that_was_left(serve, provider, stream):
    """Who closes after the last byte has had the answer: it ends finished."""
    serving = await serve()

    async with Connection(serving.port) as connection:
        await connection.ask(request("POST", CHAT, {**HELLO, "stream": stream}))
    await settled(serving)
    counted = (await ask(serving.port, request("GET", "/metrics"))).body

    assert ("finished", True) == (provider.calls[0].left, b'status="200"} 1' in counted)


class Reluctant(AsyncGeneratorProvider):
    """Takes its time to clean up after itself, as a provider that has to tell somebody may."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.cleaning = asyncio.Event()
        self.may_end = asyncio.Event()
        self.clean = False

    def create_async_generator(self, model, messages, proxy=None, stream=False, **kwargs: Any) -> AsyncResult:
        async def source():
            batch: Batch = ["Hello"]
            yield batch
            try:
                self.asked.set()
                await asyncio.Event().wait()
            finally:
                self.cleaning.set()
                await self.may_end.wait()
                self.clean = True

        return AsyncResult(source)


@STREAMS
async def test_a_place_is_given_back_after_the_answer_is_closed(serve, stream):
    """The cleaning up of an answer that was left is waited for; only then the request counts as gone."""
    provider = Reluctant()
    serving = await serve(provider)

    async with Connection(serving.port) as connection:
        await connection.send(request("POST", CHAT, {**HELLO, "stream": stream}))
        await provider.asked.wait()
    await provider.cleaning.wait()
    metrics = (await ask(serving.port, request("GET", "/metrics"))).body
    provider.may_end.set()
    await settled(serving)

    assert (True, True) == (b"in_flight 1" in metrics, provider.clean)


async def test_nothing_is_said_after_the_end(serve, caplog):
    """However long an answer takes to be closed: the caller has all of it, and no sign of life follows."""

    class Done(Reluctant):
        def create_async_generator(self, model, messages, proxy=None, stream=False, **kwargs: Any) -> AsyncResult:
            async def source():
                try:
                    yield ["Hello", FinishReason("stop", "finish_reason")]
                finally:
                    await asyncio.sleep(0.1)

            return AsyncResult(source)

    serving = await serve(Done(), keepalive_s=0.01)

    with caplog.at_level(logging.ERROR):
        got = await ask(serving.port, request("POST", CHAT, {**HELLO, "stream": True}))
        await settled(serving)
        gc.collect()

    assert (True, []) == (got.body.endswith(b"[DONE]\n\n"), caplog.messages)
