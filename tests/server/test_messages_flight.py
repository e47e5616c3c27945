"""Usual requests of the Messages API, and those that an upstream of that API answers, are sent without a task too."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.support.flights import HEAD, UNUSUAL, Tasks, ask_thrice, metrics, serving, stop_time, told, whole
from tests.support.raw import RawConnection
from tests.support.sockets import CHAT

Upstream = Callable[[RawConnection], Awaitable[None]]

PATH = "/v1/messages"
SECRET = "sk-aai-DGqvQhGvw2mkrFFXFsNYBKMlBSPBs4yhjJ9KJLQvYwE"
SAID = [{"role": "user", "content": "Hello"}]
ASKED = {"model": "llama", "system": "Be brief.", "messages": SAID, "max_tokens": 20, "temperature": 0.5}

#: How each API asks.
CALLERS: dict[str, dict[str, Any]] = {
    PATH: ASKED,
    CHAT: {"model": "llama", "messages": SAID, "temperature": 0.5, "max_tokens": 20, "user": "me"},
    "/v1/responses": {"model": "llama", "input": "Hello", "store": False},
}


def event(kind: str, **members: Any) -> bytes:
    data = b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps({"type": kind, **members}).encode())
    return b"%x\r\n%b\r\n" % (len(data), data)


def delta(text: str) -> bytes:
    return event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})


_MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None}
_COUNTED = {"input_tokens": 9, "cache_read_input_tokens": 2, "output_tokens": 1, "service_tier": "standard"}
START = event("message_start", message={**_MESSAGE, "stop_sequence": None, "usage": _COUNTED, "container": None}) + event(
    "content_block_start", index=0, content_block={"type": "text", "text": ""}
)
STOP = (
    event("content_block_stop", index=0)
    + event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 2})
    + event("message_stop")
)
WHOLE = HEAD + START + delta("Hello") + STOP + b"0\r\n\r\n"


async def one_piece(connection: RawConnection) -> None:
    await connection.send(WHOLE)


async def two_pieces(connection: RawConnection) -> None:
    await connection.send(HEAD + START + delta("Hel") + event("ping") + delta("lo") + STOP + b"0\r\n\r\n")


async def a_call(connection: RawConnection) -> None:
    block = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}
    begun = event("content_block_start", index=1, content_block=block)
    arguments = event("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": '{"a": 1}'})
    call = begun + arguments + event("content_block_stop", index=1)
    end = STOP.replace(b"end_turn", b"tool_use")
    await connection.send(HEAD + START + delta("Hello") + event("content_block_stop", index=0) + call + end + b"0\r\n\r\n")


async def in_many_writes(connection: RawConnection) -> None:
    for line in WHOLE.splitlines(keepends=True):
        await connection.send(line)


async def an_error(connection: RawConnection) -> None:
    said = event("error", error={"type": "invalid_request_error", "message": "no"})
    await connection.send(WHOLE if connection.heard == 1 else HEAD + START + said + b"0\r\n\r\n")


async def refused(connection: RawConnection) -> None:
    body = b'{"type":"error","error":{"type":"invalid_request_error","message":"no"}}'
    refusal = b"HTTP/1.1 400 Bad\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    await connection.send(WHOLE if connection.heard == 1 else refusal)


async def broken_then_whole(connection: RawConnection) -> None:
    if connection.number == 1 and connection.heard == 2:
        await connection.send(HEAD + START + delta("Hel"))
        connection.reset()
    else:
        await connection.send(WHOLE)


async def stale(connection: RawConnection) -> None:
    if connection.heard == 1:
        await connection.send(WHOLE)
    else:
        connection.reset()


USUAL = [one_piece, two_pieces]
OTHERS = [a_call, in_many_writes, an_error, refused, broken_then_whole, stale]


def headers(answer: Any) -> list[tuple[str, str]]:
    """All of them, without what differs each time; an answer's id stands in two, which are equal."""
    names = dict(answer.headers)
    assert names["x-request-id"] == names.get("request-id", names["x-request-id"])
    each_time = {"date", "x-request-id", "request-id", "content-length", "retry-after"}
    return [(name, "" if name in each_time or "reset" in name else value) for name, value in answer.headers]


async def asked(
    upstream: Upstream, path: str, *, launches: bool, kind: str = "anthropic", body: Any = None, tables: str = "", **more: str
) -> tuple[Any, Tasks]:
    """All that three requests leave behind, by either way."""
    with pytest.MonkeyPatch.context() as patch:
        async with serving(upstream, tables, kind=kind) as (listener, server):
            stop_time(listener.app)
            tasks = Tasks(listener.app, patch)
            if not launches:
                patch.setattr(listener.app, "launch", lambda exchange: False)
            answers = await ask_thrice(listener.port, path, body or CALLERS[path], **more)
            begun = tasks.begun
            seen = [told(answer) for answer in answers], [headers(answer) for answer in answers]
            left = *seen, server.asked, server.requests, await metrics(listener.port, **more)
            tasks.begun = begun
    return left, tasks


@pytest.mark.parametrize("path", CALLERS)
@pytest.mark.parametrize("upstream", USUAL, ids=lambda each: each.__name__)
async def test_a_complete_answer_of_a_messages_upstream(upstream: Upstream, path: str) -> None:
    """Over each API: the answer, all its headers, what was sent and what is counted; and the short way makes no task."""
    short, tasks = await asked(upstream, path, launches=True)
    long, _ = await asked(upstream, path, launches=False)

    assert long == short
    assert "Hello" in json.dumps(short[0][-1])
    assert (1, 0) == (tasks.begun, tasks.handed_over)


@pytest.mark.parametrize("path", CALLERS)
@pytest.mark.parametrize("upstream", OTHERS, ids=lambda each: each.__name__)
async def test_what_comes_otherwise_takes_the_longer_way(upstream: Upstream, path: str) -> None:
    """Calls, pieces, errors, refusals, breaks and stale connections: with the result of a request that was never launched."""
    short, tasks = await asked(upstream, path, launches=True)
    long, _ = await asked(upstream, path, launches=False)

    assert long == short
    assert tasks.handed_over >= 1


@pytest.mark.parametrize("upstream", [whole, *UNUSUAL], ids=lambda each: each.__name__)
async def test_a_chat_upstream_of_a_caller_of_messages(upstream: Upstream) -> None:
    """Its answer is translated alike, whichever way it takes."""
    short, tasks = await asked(upstream, PATH, launches=True, kind="openai")
    long, _ = await asked(upstream, PATH, launches=False, kind="openai")

    assert long == short
    assert 1 == tasks.begun


UNUSUAL_REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "parts": (PATH, {**ASKED, "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]}),
    "a temperature that is too high": (PATH, {**ASKED, "temperature": 7}),
    "a longest answer of nothing": (PATH, {**ASKED, "max_tokens": 0}),
    "an empty message": (PATH, {**ASKED, "messages": [{"role": "user", "content": ""}]}),
    "a turn of the assistant at the end": (PATH, {**ASKED, "messages": [*SAID, {"role": "assistant", "content": "Hel"}]}),
    "several answers": (CHAT, {**CALLERS[CHAT], "n": 2}),
    "a seed": (CHAT, {**CALLERS[CHAT], "seed": 7}),
    "an unknown model": (PATH, {**ASKED, "model": "other"}),
    "two turns of one role": (CHAT, {**CALLERS[CHAT], "messages": [*SAID, *SAID]}),
    "the assistant alone": (CHAT, {**CALLERS[CHAT], "messages": [{"role": "assistant", "content": ""}]}),
    "nothing said": (CHAT, {**CALLERS[CHAT], "messages": [{"role": "user", "content": ""}]}),
}


@pytest.mark.parametrize(("path", "body"), UNUSUAL_REQUESTS.values(), ids=UNUSUAL_REQUESTS)
async def test_what_is_asked_otherwise_is_the_same(path: str, body: dict[str, Any]) -> None:
    """By either way: what is sent, and what is refused."""
    short, _ = await asked(one_piece, path, launches=True, body=body)
    long, _ = await asked(one_piece, path, launches=False, body=body)

    assert long == short


@pytest.mark.parametrize("limit", [100, 2])
async def test_a_caller_with_a_key_has_the_same_headers(limit: int) -> None:
    """Of its limits, in Anthropic's words, beside the id; also where one is reached."""
    tables = f'[keys.shop]\nkey = "{SECRET}"\nrequests_per_minute = {limit}\ntokens_per_minute = 100000\n'
    key = {"x-api-key": SECRET}
    short, _ = await asked(one_piece, PATH, launches=True, tables=tables, **key)
    long, _ = await asked(one_piece, PATH, launches=False, tables=tables, **key)

    assert long == short
    assert [200, 200, 200 if limit == 100 else 429] == [answer["status"] for answer in short[0]]
    assert "anthropic-ratelimit-requests-remaining" in dict(short[1][-1])


async def test_marks_of_beta_features_are_handed_on() -> None:
    """With what the first request, and each after it, sends."""
    beta = {"anthropic-beta": "context-1m-2025-08-07"}
    short, _ = await asked(one_piece, PATH, launches=True, **beta)
    long, _ = await asked(one_piece, PATH, launches=False, **beta)

    assert long == short
    assert all(b"anthropic-beta: context-1m-2025-08-07\r\n" in sent.lower() for sent in short[3])
    assert 3 == len(short[3])
