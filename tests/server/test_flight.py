"""A usual request is sent and answered without a task. What comes otherwise than as a complete answer takes the longer way."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.support.flights import UNUSUAL, WHOLE, Tasks, ask_thrice, metrics, never_silent, serving, told, whole
from tests.support.raw import RawConnection
from tests.support.sockets import CHAT, HELLO, PATIENCE, Connection, request


async def test_both_ways_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer, its evidence and what is counted, byte by byte but for ids and times; and the short way makes no task."""
    async with serving(whole) as (listener, _):
        tasks = Tasks(listener.app, monkeypatch)
        short = await ask_thrice(listener.port)
        counted_short = await metrics(listener.port)
        begun = tasks.begun
    async with serving(whole) as (listener, _):
        monkeypatch.setattr(listener.app, "launch", lambda exchange: False)
        long = await ask_thrice(listener.port)
        counted_long = await metrics(listener.port)

    assert [told(answer) for answer in long] == [told(answer) for answer in short]
    assert [sorted(name for name, _ in answer.headers) for answer in long] == [
        sorted(name for name, _ in answer.headers) for answer in short
    ]
    assert counted_long == counted_short
    assert (2, 0) == (begun, tasks.handed_over)  # the first request, and that for the metrics


@pytest.mark.parametrize("upstream", UNUSUAL, ids=lambda each: each.__name__)
async def test_what_is_no_complete_answer_takes_the_longer_way(upstream: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces, refusals, documents, breaks and stale connections: with the result of a request that was never launched."""
    async with serving(upstream) as (listener, server):
        tasks = Tasks(listener.app, monkeypatch)
        short = [told(answer) for answer in await ask_thrice(listener.port)]
        asked_short = server.asked
        handed_over = tasks.handed_over
    async with serving(upstream) as (listener, server):
        monkeypatch.setattr(listener.app, "launch", lambda exchange: False)
        long = [told(answer) for answer in await ask_thrice(listener.port)]
        asked_long = server.asked

    assert long == short
    assert asked_long == asked_short
    assert handed_over >= 1


async def test_a_body_whose_end_comes_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """``[DONE]`` has come, and the last chunk has not: the connection is used again only after that."""
    last = asyncio.Event()

    async def unfinished(connection: RawConnection) -> None:
        await connection.send(WHOLE[:-5])
        if connection.heard == 2:
            await last.wait()
        await connection.send(WHOLE[-5:])

    async with serving(unfinished) as (listener, server):
        tasks = Tasks(listener.app, monkeypatch)
        tasks.handed = last
        answers = await ask_thrice(listener.port)

    assert ["Hello"] * 3 == [answer.json()["choices"][0]["message"]["content"] for answer in answers]
    assert 1 <= tasks.handed_over
    assert 3 == len(server.asked)


async def test_who_leaves_stops_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """The upstream's connection is closed, the place is given back, and the request is counted as one whose caller left."""
    heard, over = asyncio.Event(), asyncio.Event()

    async def silent(connection: RawConnection) -> None:
        if connection.heard == 1 and connection.number == 1:
            await connection.send(WHOLE)
            return
        heard.set()
        assert b"" == await connection.reader.read()
        over.set()
        connection.close()

    async with serving(silent) as (listener, _):
        tasks = Tasks(listener.app, monkeypatch)
        async with Connection(listener.port) as connection:
            await connection.ask(request("POST", CHAT, HELLO))
            await connection.send(request("POST", CHAT, HELLO))
            async with asyncio.timeout(PATIENCE):
                await heard.wait()
        async with asyncio.timeout(PATIENCE):
            await over.wait()
            await listener.app.empty()
        counted = await metrics(listener.port)

    assert 1 == tasks.handed_over
    assert any('outcome="left"' in line for line in counted)
    assert any('status="499"' in line for line in counted)


async def test_the_end_of_a_drain_stops_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its caller learns that the server is shutting down."""
    heard = asyncio.Event()

    async def silent(connection: RawConnection) -> None:
        if connection.heard == 1 and connection.number == 1:
            await connection.send(WHOLE)
            return
        heard.set()
        await connection.reader.read()
        connection.close()

    async with serving(silent) as (listener, _):
        async with Connection(listener.port) as connection:
            await connection.ask(request("POST", CHAT, HELLO))
            await connection.send(request("POST", CHAT, HELLO))
            async with asyncio.timeout(PATIENCE):
                await heard.wait()
            listener.app.drain()
            listener.app.cancel_all()
            answer = await connection.answer()
        async with asyncio.timeout(PATIENCE):
            await listener.app.empty()

    assert (503, "shutting_down") == answer.told


async def test_a_bug_costs_its_own_request_alone(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and reported to the caller; the place is given back, and the connection to the upstream is closed."""
    async with serving(whole) as (listener, _):
        async with Connection(listener.port) as connection:
            await connection.ask(request("POST", CHAT, HELLO))
            with monkeypatch.context() as patch:
                patch.setattr("autonomousai.server.flight.provenance_of", lambda answer: 1 / 0)
                broken = await connection.ask(request("POST", CHAT, HELLO))
            after = await connection.ask(request("POST", CHAT, HELLO))
        async with asyncio.timeout(PATIENCE):
            await listener.app.empty()

    assert (500, "internal_error") == broken.told
    assert 200 == after.status
    assert "ZeroDivisionError" in caplog.text


async def test_a_caller_who_streams_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known of a head stands for both: neither makes a task."""
    async with serving(whole) as (listener, _):
        never_silent(listener.app)
        tasks = Tasks(listener.app, monkeypatch)
        async with Connection(listener.port) as connection:
            for stream in (False, False, True, True, False, False):
                size = len(json.dumps({**HELLO, "stream": False}))
                body = json.dumps({**HELLO, "stream": stream}).encode().ljust(size)
                data = request("POST", CHAT, body, content_type="application/json")
                answer = await connection.ask(data)
                assert 200 == answer.status
                assert answer.body.endswith(b"[DONE]\n\n" if stream else b"}")

    assert (1, 0) == (tasks.begun, tasks.handed_over)  # the first, which opens the upstream's connection


async def test_a_caller_who_does_not_read_keeps_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it reads: so the answers that wait for callers are as many as there are places."""
    async with serving(whole) as (listener, _):
        tasks = Tasks(listener.app, monkeypatch)
        async with Connection(listener.port) as connection:
            await connection.ask(request("POST", CHAT, HELLO))
            (protocol,) = listener.connections.connections
            protocol.pause_writing()  # type: ignore[attr-defined]  # as the transport does
            await connection.ask(request("POST", CHAT, HELLO))
            inside = listener.app._places.inside
            protocol.resume_writing()  # type: ignore[attr-defined]
            async with asyncio.timeout(PATIENCE):
                await listener.app.empty()

    assert (1, 1) == (inside, tasks.handed_over)


async def test_a_body_that_is_not_packed_as_its_head_says_is_refused() -> None:
    """Each time: also where its head is known."""
    async with serving(whole) as (listener, _), Connection(listener.port) as connection:
        await connection.ask(request("POST", CHAT, HELLO))
        body = json.dumps(HELLO).encode()
        packed = request("POST", CHAT, body, content_type="application/json", content_encoding="gzip")
        answers = [await connection.ask(packed) for _ in range(3)]

    assert [(400, "invalid_content_encoding")] * 3 == [answer.told for answer in answers]
