"""A caller who leaves stops the work upstream at once, in whichever phase: seen by the upstream, over real sockets.

At once: the upstream need not say another word for its connection to be closed. The embedded engine's own counters say the
same in `tests/server/test_engine.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest

from autonomousai import OpenAICompatible
from autonomousai.config import BreakerConfig, Config, RetryConfig, ServerConfig
from autonomousai.gateway import Gateway, Upstream
from autonomousai.server import create_app
from autonomousai.testing import Script, ScriptedServer
from tests.support.sockets import CHAT, HELLO, PATIENCE, Connection, Listening, ask, listening, request

AGENT = "/api/v1/ai/chat"
MESSAGES = "/v1/messages"
RESPONSES = "/v1/responses"

#: What is asked, over whichever wire.
ANY = {**HELLO, "input": "Hello", "max_tokens": 99}

#: No clock of ours runs out in these tests: only the leaving may end anything.
FOREVER = 10_000
CLOCKS = {"connect": FOREVER, "first_token": FOREVER, "idle": FOREVER, "total": FOREVER}


class Scene(NamedTuple):
    """A server and its upstream, and the caller's connection to it."""

    serving: Listening
    upstream: ScriptedServer
    made: Gateway
    caller: Connection


class Phase(NamedTuple):
    """How a phase is brought about and recognised, and how each request ends that the upstream has seen by then."""

    scripts: tuple[Script | str, ...]
    reached: Callable[[Scene], Awaitable[None]]
    ends: tuple[str, ...]
    streams: tuple[bool, ...] = (True, False)


async def asked(scene: Scene) -> None:
    """The upstream has the request."""
    await scene.upstream.request(0)


async def delivered(scene: Scene) -> None:
    """The caller has the first words."""
    await scene.caller.until(b"Hello")


async def collected(scene: Scene) -> None:
    """The upstream has sent the first words, which wait here to become a whole answer."""
    seen = await scene.upstream.request(0)
    while not seen.sent:
        await asyncio.sleep(0)


async def refused(scene: Scene) -> None:
    """The upstream has refused, and asked for patience; one failure opens the breaker, which tells us."""
    while scene.made.upstreams["u0"].breaker.state != "open":
        await asyncio.sleep(0)


async def asked_again(scene: Scene) -> None:
    """The answer broke, and its rest has been asked for."""
    await scene.upstream.request(1)


PHASES = {
    "the prompt is read, no head yet": Phase(("silence",), asked, ("left",)),
    "the prompt is read, after the head": Phase(("stall_before_text",), asked, ("left",)),
    "generating": Phase((Script.stall("Hello"),), delivered, ("left",), streams=(True,)),
    "generating, not streamed": Phase((Script.stall("Hello"),), collected, ("left",), streams=(False,)),
    "waiting to retry": Phase((Script.status(503, retry_after=FOREVER / 2),), refused, ("finished",)),
    "waiting for the rest of a broken answer": Phase((Script.cut("Hello"), "silence"), asked_again, ("closed", "left")),
}
CASES = [(name, stream) for name, phase in PHASES.items() for stream in phase.streams]

WIRES = pytest.mark.parametrize("path", [CHAT, AGENT, MESSAGES, RESPONSES])
STREAMS = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
WAYS = pytest.mark.parametrize("way", ["close", "reset"])


@asynccontextmanager
async def serving(url: str, **server: int) -> AsyncIterator[tuple[Listening, Gateway]]:
    """The server over one upstream. Its breaker opens at the first failure, and nothing but leaving ends a wait."""
    upstream = Upstream(
        "u0",
        OpenAICompatible(url, timeout=CLOCKS, prefill="no", retries=0),
        breaker=BreakerConfig(failures=1, cooldown=0),
    )
    made = Gateway([upstream], {"llama": ["u0"]}, retry=RetryConfig(attempts=2, backoff=0), total=FOREVER)
    async with listening(create_app(Config(server=ServerConfig(**server)), provider=made)) as place:
        yield place, made


def leave(connection: Connection, way: str) -> None:
    if way == "reset":
        connection.reset()
    else:
        connection.writer.close()


async def remains(place: Listening) -> list[str]:
    """Wait until nobody is inside and no connection is left; the names of the tasks that are still there, and an orphan for
    each generation that was found to go on, or might still be found to."""
    async with asyncio.timeout(PATIENCE):
        await place.app.empty()
        await place.connections.none_left.wait()
        while place.connections.tasks:
            await asyncio.wait(list(place.connections.tasks))
    await asyncio.sleep(0)
    tasks = [task.get_coro().__qualname__ for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    orphans = place.app.orphans
    return tasks + ["orphan"] * (orphans.count + len(orphans.suspected))


@WAYS
@WIRES
@pytest.mark.parametrize(("phase", "stream"), CASES, ids=[f"{name}-{'streamed' if on else 'whole'}" for name, on in CASES])
async def test_who_leaves_is_worked_for_no_longer(phase: str, stream: bool, path: str, way: str) -> None:
    """The upstream sees its connection closed, is not asked again, and nothing of the request is left here."""
    scripts, reached, right, _ = PHASES[phase]

    async with ScriptedServer(*scripts) as upstream, serving(upstream.url) as (place, made):
        async with Connection(place.port) as caller:
            await caller.send(request("POST", path, {**ANY, "stream": stream}))
            async with asyncio.timeout(PATIENCE):
                await reached(Scene(place, upstream, made, caller))
            leave(caller, way)
            async with asyncio.timeout(PATIENCE):
                ends = tuple([await each.over() for each in upstream.requests])
        left_behind = await remains(place) if ends[-1] == "left" else await without_connections(place, made)

    assert (right, [], len(right)) == (ends, left_behind, len(upstream.requests))


async def without_connections(place: Listening, made: Gateway) -> list[str]:
    """The same where a connection to the upstream is kept for the next request: closing the gateway closes it."""
    async with asyncio.timeout(PATIENCE):
        await place.app.empty()
    await made.aclose()
    await asyncio.sleep(0)
    return await remains(place)


@WAYS
@WIRES
@STREAMS
async def test_who_leaves_while_we_connect_is_connected_for_no_longer(stream: bool, path: str, way: str) -> None:
    """An upstream that accepts and never finishes the TLS handshake: it sees the end of the connection, and no request."""
    begun, over = asyncio.Event(), asyncio.Event()
    received: list[bytes] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            received.append(data)
            begun.set()
        writer.close()
        over.set()

    listener = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with listener, serving(f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}") as (place, _):
        async with Connection(place.port) as caller, asyncio.timeout(PATIENCE):
            await caller.send(request("POST", path, {**ANY, "stream": stream}))
            await begun.wait()
            leave(caller, way)
            await over.wait()
        left_behind = await remains(place)

    assert [] == left_behind
    assert b"HTTP" not in b"".join(received)


@WAYS
@WIRES
@STREAMS
async def test_who_leaves_the_queue_never_reaches_the_upstream(stream: bool, path: str, way: str) -> None:
    """One place, taken: the second caller leaves the queue, and the upstream hears of the first and the third alone."""

    async def inside(number: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while f"in_flight {number}.0\n".encode() not in (await ask(place.port, request("GET", "/metrics"))).body:
                pass

    async with ScriptedServer("silence", Script.stream("third")) as upstream:
        async with serving(upstream.url, max_concurrency=1) as (place, _):
            async with Connection(place.port) as first:
                await first.send(request("POST", CHAT, HELLO))
                await upstream.request(0)
                async with Connection(place.port) as queued:
                    await queued.send(request("POST", path, {**ANY, "stream": stream}))
                    await inside(2)
                    leave(queued, way)
                await inside(1)
            await inside(0)
            third = await ask(place.port, request("POST", CHAT, HELLO))
        ends = [await each.over() for each in upstream.requests]

    assert ("third", ["left", "finished"]) == (third.json()["choices"][0]["message"]["content"], ends)
