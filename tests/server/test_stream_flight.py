"""A usual request for a stream is sent without a task too, and answered so where its answer comes completely at once."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.server.test_keyed_flight import BEARER, LIMITS, Books, key
from tests.server.test_messages_flight import ASKED, one_piece, two_pieces
from tests.support.flights import UNUSUAL, WHOLE, Tasks, ask_thrice, metrics, never_silent, serving, stop_time, whole
from tests.support.raw import RawConnection
from tests.support.sockets import CHAT, HELLO, PATIENCE, Answer, Connection, request

CHAT_STREAM = {**HELLO, "stream": True}

#: How each API asks.
CALLERS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": (CHAT, CHAT_STREAM),
    "chat with usage": (CHAT, {**CHAT_STREAM, "stream_options": {"include_usage": True}}),
    "messages": ("/v1/messages", {**ASKED, "stream": True}),
    "responses": ("/v1/responses", {"model": "llama", "input": "Hello", "store": False, "stream": True}),
}

#: Members that differ each time, wherever they stand.
_EACH_TIME = {"id", "item_id", "created", "created_at", "completed_at", "ms"}


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without(each) for name, each in value.items() if name not in _EACH_TIME}
    return [_without(each) for each in value] if isinstance(value, list) else value


def lines(answer: Answer) -> list[Any]:
    """The lines of a stream, without what differs each time."""
    data = "data: {"
    return [
        _without(json.loads(line.removeprefix("data: "))) if line.startswith(data) else line
        for line in answer.body.decode().splitlines()
    ]


def said(answer: Answer) -> Any:
    """The text of a stream of chat completions, and its last event: how an answer is cut into events may differ."""
    documents = [line for line in lines(answer) if isinstance(line, dict)]
    text = "".join(choice["delta"].get("content", "") for each in documents for choice in each.get("choices", ()))
    return answer.status, text, documents[-1] if documents else answer.body


def headers(answer: Answer) -> list[tuple[str, str]]:
    each_time = {"date", "x-request-id", "request-id", "retry-after"}
    return [(name, "" if name in each_time or "reset" in name else value) for name, value in answer.headers]


async def asked(
    upstream: Any, caller: str, *, launches: bool, kind: str = "openai", seen: Any = lines, keyed: bool = False
) -> tuple[Any, Tasks]:
    """All that three requests leave behind, by either way."""
    path, body = CALLERS[caller]
    with pytest.MonkeyPatch.context() as patch:
        async with serving(upstream, key(LIMITS) if keyed else "", kind=kind) as (listener, server):
            stop_time(listener.app)
            never_silent(listener.app)
            books = Books(listener.app) if keyed else None
            tasks = Tasks(listener.app, patch)
            if not launches:
                patch.setattr(listener.app, "launch", lambda exchange: False)
            more = BEARER if keyed else {}
            answers = await ask_thrice(listener.port, path, body, **more)
            begun = tasks.begun
            got = [seen(answer) for answer in answers], [headers(answer) for answer in answers]
            booked = None if books is None else (books.noted(), books.counted())
            admin = {"authorization": "Bearer sk-all"} if keyed else {}
            left = *got, booked, server.asked, server.requests, await metrics(listener.port, **admin)
            tasks.begun = begun
    return left, tasks


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize(
    ("upstream", "kind"),
    [(whole, "openai"), (one_piece, "anthropic"), (two_pieces, "anthropic")],
    ids=["chat-at-once", "messages-at-once", "messages-two-words"],
)
async def test_both_ways_give_and_count_the_same(upstream: Any, kind: str, caller: str) -> None:
    """Each event and header, what was sent and what is counted; and the short way makes no task."""
    short, tasks = await asked(upstream, caller, launches=True, kind=kind)
    long, _ = await asked(upstream, caller, launches=False, kind=kind)

    assert long == short
    assert "sha256" in json.dumps(short[0])
    assert (1, 0) == (tasks.begun, tasks.handed_over)


async def test_a_caller_with_a_key_pays_the_same() -> None:
    """The ledger's lines, the key's counters and the headers of its limits."""
    short, tasks = await asked(whole, "chat", launches=True, keyed=True)
    long, _ = await asked(whole, "chat", launches=False, keyed=True)

    assert long == short
    assert 3 == len(short[2][0])
    assert (0, 1) == (tasks.begun, tasks.handed_over)  # the first, which opens the upstream's connection


@pytest.mark.parametrize("upstream", UNUSUAL, ids=lambda each: each.__name__)
@pytest.mark.parametrize("keyed", [False, True])
async def test_what_comes_otherwise_takes_the_longer_way(upstream: Any, keyed: bool) -> None:
    """Pieces, refusals, documents, breaks and stale connections: with the result of a request that was never launched."""
    short, tasks = await asked(upstream, "chat", launches=True, seen=said, keyed=keyed)
    long, _ = await asked(upstream, "chat", launches=False, seen=said, keyed=keyed)

    assert long == short
    assert tasks.handed_over >= 1


async def test_a_silence_is_bridged_by_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comments are sent while nothing of the answer comes; then the answer as if nothing were."""
    heard = asyncio.Event()

    async def late(connection: RawConnection) -> None:
        if connection.heard == 2:
            await heard.wait()
        await connection.send(WHOLE)

    async with serving(late, "[server]\nkeepalive_s = 0.01\n") as (listener, server):
        tasks = Tasks(listener.app, monkeypatch)
        async with Connection(listener.port) as connection:
            await connection.ask(request("POST", CHAT, CHAT_STREAM))
            await connection.send(request("POST", CHAT, CHAT_STREAM))
            status, _ = await connection.head()
            comments = [await connection.piece() for _ in range(2)]
            heard.set()
            rest = await connection.until(b"[DONE]\n\n")

    assert (200, [b": keep-alive\n\n"] * 2) == (status, comments)
    assert b'"content":"Hel"' in rest
    assert (1, 1) == (tasks.begun, tasks.handed_over)
    assert 2 == len(server.asked)


@pytest.mark.parametrize("leaves", [True, False])
async def test_who_leaves_or_is_sent_away(monkeypatch: pytest.MonkeyPatch, leaves: bool) -> None:
    """The upstream's connection is closed, and the place is given back; who is still there learns why."""
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
        async with Connection(listener.port) as connection:
            await connection.ask(request("POST", CHAT, CHAT_STREAM))
            await connection.send(request("POST", CHAT, CHAT_STREAM))
            async with asyncio.timeout(PATIENCE):
                await heard.wait()
            if not leaves:
                listener.app.drain()
                listener.app.cancel_all()
                answer = await connection.answer()
                assert (503, "shutting_down") == answer.told
        async with asyncio.timeout(PATIENCE):
            await over.wait()
            await listener.app.empty()
        left = [line for line in await metrics(listener.port) if 'outcome="left"' in line] if leaves else []

    assert leaves == bool(left)


async def test_a_stream_that_may_be_resumed_is_not_launched(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is generated for whoever reads it."""
    async with serving(whole) as (listener, _):
        tasks = Tasks(listener.app, monkeypatch)
        answers = await ask_thrice(listener.port, CHAT, CHAT_STREAM, x_stream_resumable="1")

    assert all(answer["x-stream-id"] for answer in answers)
    assert (3, 0) == (tasks.begun, tasks.handed_over)


async def test_a_bug_costs_its_own_stream_alone(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged and reported to the caller, and the place is given back."""
    async with serving(whole) as (listener, _):
        async with Connection(listener.port) as connection:
            await connection.ask(request("POST", CHAT, CHAT_STREAM))
            with monkeypatch.context() as patch:
                patch.setattr("autonomousai.server.flight.provenance_of", lambda answer: 1 / 0)
                broken = await connection.ask(request("POST", CHAT, CHAT_STREAM))
            after = await connection.ask(request("POST", CHAT, CHAT_STREAM))
        async with asyncio.timeout(PATIENCE):
            await listener.app.empty()

    assert (500, "internal_error") == broken.told
    assert after.body.endswith(b"data: [DONE]\n\n")
    assert "ZeroDivisionError" in caplog.text
