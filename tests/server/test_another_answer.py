"""Callers who do not stream have seen nothing of an answer that breaks: they get another one, complete and of one upstream."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from autonomousai.config import CacheConfig, Config, ModelConfig, OpenAIConfig
from autonomousai.ledger.entry import LedgerEntry
from autonomousai.server import create_app
from autonomousai.settings import RetryConfig
from autonomousai.testing import Close, Head, Script, ScriptedServer, Send
from tests.support.flights import never_silent
from tests.support.metrics import counted
from tests.support.sockets import CHAT, HELLO, Connection, Listening, ask, listening, request

USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
BODIES: dict[str, dict[str, Any]] = {
    CHAT: HELLO,
    "/v1/messages": {**HELLO, "max_tokens": 99},
    "/v1/responses": {"model": "llama", "input": "Hello"},
    "/v1/responses?kept=no": {"model": "llama", "input": "Hello", "store": False},
    "/api/v1/ai/chat": HELLO,
}


@asynccontextmanager
async def serving(
    *scripts: Script, attempts: int = 1, cache: CacheConfig | None = None
) -> AsyncIterator[tuple[Listening, list[ScriptedServer], list[LedgerEntry]]]:
    """Serve one model by an upstream for each script; with the upstreams, and the ledger's entries."""
    upstreams = [ScriptedServer(script) for script in scripts]
    entries: list[LedgerEntry] = []
    for upstream in upstreams:
        await upstream.__aenter__()
    try:
        names = [f"u{number}" for number in range(len(upstreams))]
        tables = {name: OpenAIConfig(base_url=f"{each.url}/v1") for name, each in zip(names, upstreams, strict=True)}
        config = Config(
            upstreams={**tables},
            models={"llama": ModelConfig(route=tuple(names))},
            retry=RetryConfig(attempts=attempts, backoff=0),
            cache=cache,
        )
        app = create_app(config)
        app.accounts.subscribe(entries.append)
        async with listening(app) as place:
            yield place, upstreams, entries
    finally:
        for upstream in upstreams:
            await upstream.__aexit__(None, None, None)


async def post(place: Listening, path: str, body: dict[str, Any]) -> tuple[int, str]:
    answer = await ask(place.port, request("POST", path.partition("?")[0], body))
    return answer.status, answer.body.decode()


def chunk(index: int, text: str) -> bytes:
    choice = {"index": index, "delta": {"content": text}, "finish_reason": None}
    return b"data: " + json.dumps({"object": "chat.completion.chunk", "model": "m", "choices": [choice]}).encode() + b"\n\n"


@pytest.mark.parametrize("path", BODIES)
async def test_the_next_upstream_answers_over_every_api(path: str) -> None:
    """Though it says something else. Nothing of the first one is in the answer."""
    async with serving(Script.cut("Hello", " wor"), Script.stream("from", " B", usage=USAGE)) as (place, upstreams, entries):
        status, body = await post(place, path, BODIES[path])
        numbers = await counted(place.port)

    assert 200 == status
    assert "from B" in body
    assert "Hello" not in body
    assert '"splices":[]' in body.replace(" ", "")
    assert [1, 1] == [len(each.requests) for each in upstreams]
    assert (7, 2, 2, 0) == (*_counts(entries[0]), entries[0].splices)
    assert [("u0", "cut", 2), ("u1", "ok", 2)] == [(each.upstream, each.outcome, each.tokens) for each in entries[0].attempts]
    assert {("u0", "u1"): 1} == numbers.by("failovers_total", "source", "target")
    assert {} == numbers.by("rescues_total", "way")


def _counts(entry: LedgerEntry) -> tuple[int, int, int]:
    return entry.prompt_tokens, entry.completion_tokens, entry.lost_tokens


@pytest.mark.parametrize("fields", [{"n": 2}, {"response_format": {"type": "json_object"}}, {"tools": [{"type": "function"}]}])
async def test_also_what_cannot_be_continued(fields: dict[str, Any]) -> None:
    """Several choices, constrained answers, and tool calls."""
    fields = {**fields, **({"tools": [{"type": "function", "function": {"name": "f"}}]} if "tools" in fields else {})}
    async with serving(Script.cut('{"a"', ":"), Script.stream('{"b":', "1}")) as (place, _, _):
        status, body = await post(place, CHAT, {**HELLO, **fields})

    assert (200, '{"b":1}') == (status, json.loads(body)["choices"][0]["message"]["content"])


async def test_the_usage_is_that_of_the_answer() -> None:
    """What was generated for nothing is in the ledger alone."""
    async with serving(Script.cut("Hello", " wor"), Script.stream("B", usage=USAGE)) as (place, _, _):
        _, body = await post(place, CHAT, HELLO)

    assert USAGE == json.loads(body)["usage"]


async def test_an_upstream_alone_is_asked_again_within_its_tries() -> None:
    """Each try is a new answer; none is continued."""
    broken = [Script.cut("Hello", " wor")] * 2
    async with serving(Script.cut("Hello"), attempts=3) as (place, (upstream,), _):
        upstream.play(*broken, Script.stream("Well", " then"))
        status, body = await post(place, CHAT, HELLO)
        asked = len(upstream.requests)

    assert (200, "Well then") == (status, json.loads(body)["choices"][0]["message"]["content"])
    assert 4 == asked


async def test_where_all_break_the_first_cause_is_reported() -> None:
    """Each upstream was asked, and no more often than it may be."""
    async with serving(Script.cut("Hello"), Script.cut("Good")) as (place, upstreams, entries):
        status, body = await post(place, CHAT, HELLO)

    assert (502, "upstream_incomplete") == (status, json.loads(body)["error"]["code"])
    assert [1, 1] == [len(each.requests) for each in upstreams]
    assert [("cut", 1), ("cut", 1)] == [(each.outcome, each.tokens) for each in entries[0].attempts]


async def test_another_answer_is_cached_without_the_broken_one() -> None:
    """Over an API that keeps the order of its parts, too."""
    cut, whole = Script.cut("Hello", " wor"), Script.stream("from", " B")
    async with serving(cut, whole, cache=CacheConfig()) as (place, upstreams, _):
        said = [await post(place, "/v1/messages", BODIES["/v1/messages"]) for _ in range(2)]

    assert [1, 1] == [len(each.requests) for each in upstreams]
    for status, body in said:
        assert (200, ["from B"]) == (status, [block["text"] for block in json.loads(body)["content"]])


async def test_a_caller_who_streams_gets_no_second_answer() -> None:
    """What was delivered stays: nothing is blended."""
    async with serving(Script.cut("Hello", " wor"), Script.stream("from", " B")) as (place, _, _):
        status, body = await post(place, CHAT, {**HELLO, "stream": True})

    assert 200 == status
    assert "from" not in body
    assert "upstream_incomplete" in body


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses?kept=no"])
@pytest.mark.parametrize("stream", [True, False])
async def test_so_it_is_where_the_request_was_sent_without_a_task(path: str, stream: bool) -> None:
    """From the second request of a connection on. A stream that breaks ends in an error, after what was delivered."""
    whole, cut = Script.stream("Well"), Script.cut("Hello", " wor")
    body = {**BODIES[path], "stream": stream}
    async with serving(whole, Script.stream("from", " B")) as (place, (first, _), _):
        never_silent(place.app)
        async with Connection(place.port) as connection:
            first.play(whole, cut)
            for _ in range(3):
                answer = await connection.ask(request("POST", path.partition("?")[0], body))
        text = answer.body.decode()

    assert 200 == answer.status
    assert (stream, stream, not stream) == ("Hello" in text, '"error":{' in text, "from" in text)


async def test_every_choice_of_a_broken_answer_is_counted() -> None:
    """Each was generated, and is to be paid."""
    script = Script(Head(), Send(chunk(0, "A") + chunk(1, "B") + chunk(2, "C")), Close())
    async with serving(script) as (place, _, entries):
        await post(place, CHAT, {**HELLO, "n": 3, "stream": True})

    assert [3] == [each.tokens for each in entries[0].attempts]
    assert (3, 0) == (entries[0].completion_tokens, entries[0].lost_tokens)


CODES = {
    "content_filter": 400,
    "data_inspection_failed": 400,
    "DataInspectionFailed": 400,
    "RESOURCE_EXHAUSTED": 429,
    "rate_limited": 429,
    "server_overloaded": 503,
    "something_else": 502,
}


@pytest.mark.parametrize(("code", "status"), CODES.items())
async def test_an_error_in_the_stream_has_its_status_before_the_head(code: str, status: int) -> None:
    """A refusal of the content is no fault of the server's, which clients would try again."""
    script = Script.error_event(error={"error": {"message": "no", "type": "x", "code": code}})
    async with serving(script) as (place, _, _):
        answered, body = await post(place, CHAT, {**HELLO, "stream": True})

    assert (status, code) == (answered, json.loads(body)["error"]["code"])


WAITS = [
    ((429, 30), (429, 7), 429, "7"),
    ((503, 30), (503, 7), 503, "7"),
    ((429, 30), (503, 7), 503, "7"),
    ((503, None), (529, 9), 503, "9"),
    ((500, None), (503, 9), 502, "9"),
    ((500, None), (429, None), 502, None),
]


@pytest.mark.parametrize(("first", "second", "status", "wait"), WAITS)
async def test_the_least_wait_of_all_upstreams_is_reported(
    first: tuple[int, int | None], second: tuple[int, int | None], status: int, wait: str | None
) -> None:
    """In the header, and in the words where they name a time; overload of different kinds is a 503."""
    scripts = [Script.status(number, retry_after=seconds) for number, seconds in (first, second)]
    async with serving(*scripts) as (place, _, _):
        answer = await ask(place.port, request("POST", CHAT, HELLO))

    assert (status, wait) == (answer.status, answer["retry-after"])
    if first[0] == second[0]:
        assert f"try again in {wait} s" in answer.error["message"]
