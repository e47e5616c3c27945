"""A caller's own name for its request, and its trace: repeated, logged and handed on, and never instead of the server's."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from autonomousai.config import Config, ModelConfig, OpenAIConfig
from autonomousai.kinds.anthropic import AnthropicConfig
from autonomousai.server import create_app
from autonomousai.server.caller_context import context_of
from autonomousai.settings import RetryConfig
from autonomousai.telemetry.access_log import AccessLog
from autonomousai.testing import Script, ScriptedServer
from tests.support.sockets import CHAT, HELLO, Connection, Listening, ask, listening, request

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
NAME = "order:4711/a=b"


@asynccontextmanager
async def serving(
    *scripts: Script, kind: str = "openai", log: AccessLog | None = None
) -> AsyncIterator[tuple[Listening, list[ScriptedServer]]]:
    """Serve a model by an upstream for each script."""
    upstreams = [ScriptedServer(script) for script in scripts or (Script.stream("Hello"),)]
    for upstream in upstreams:
        await upstream.__aenter__()
    try:
        make: Any = AnthropicConfig if kind == "anthropic" else OpenAIConfig
        suffix = "" if kind == "anthropic" else "/v1"
        config = Config(
            upstreams={f"u{number}": make(base_url=each.url + suffix) for number, each in enumerate(upstreams)},
            models={"llama": ModelConfig(route=tuple(f"u{number}" for number in range(len(upstreams))))},
            retry=RetryConfig(attempts=1, backoff=0),
        )
        async with listening(create_app(config, log=log)) as place:
            yield place, upstreams
    finally:
        for upstream in upstreams:
            await upstream.__aexit__(None, None, None)


STREAMED = {**HELLO, "stream": True}
WAYS = [
    pytest.param(CHAT, HELLO, {}, id="complete"),
    pytest.param(CHAT, STREAMED, {}, id="streamed"),
    pytest.param(CHAT, STREAMED, {"x-stream-resumable": "1"}, id="resumable"),
    pytest.param("/v1/messages", {**STREAMED, "max_tokens": 9}, {}, id="messages"),
    pytest.param("/v1/responses", {"model": "llama", "input": "Hello"}, {}, id="kept"),
    pytest.param("/api/v1/ai/chat", STREAMED, {}, id="autonomousai"),
]


@pytest.mark.parametrize("header", ["x-client-request-id", "x-request-id"])
@pytest.mark.parametrize(("path", "body", "more"), WAYS)
async def test_a_callers_name_is_repeated_and_handed_on(
    path: str, body: dict[str, Any], more: dict[str, str], header: str
) -> None:
    """Under a header of its own. The server's name stays the server's, as two callers may have chosen the same."""
    async with serving() as (place, (upstream,)):
        async with Connection(place.port) as connection:
            answers = [await connection.ask(request("POST", path, body, **{header: NAME}, **more)) for _ in range(3)]

    assert [200] * 3 == [each.status for each in answers]
    assert [NAME] * 3 == [each["x-client-request-id"] for each in answers]
    assert 3 == len({each["x-request-id"] for each in answers})
    assert all((each["x-request-id"] or "").startswith("req_") for each in answers)
    assert [NAME] * 3 == [each.headers["x-client-request-id"] for each in upstream.requests]
    assert not any("x-request-id" in each.headers for each in upstream.requests)


@pytest.mark.parametrize(("path", "body", "more"), WAYS)
async def test_a_trace_passes_on(path: str, body: dict[str, Any], more: dict[str, str]) -> None:
    """To each upstream that is asked, as it came."""
    trace = {"traceparent": TRACE, "tracestate": "vendor=1,other=2"}
    async with serving(Script.status(503), Script.stream("Hello")) as (place, upstreams):
        answer = await ask(place.port, request("POST", path, body, **trace, **more))

    assert 200 == answer.status
    assert [trace] * 2 == [{name: each.requests[0].headers.get(name) for name in trace} for each in upstreams]


@pytest.mark.parametrize("path", ["/healthz", "/v1/models", "/v1/nothing", "/v1/streams/nothing"])
async def test_every_response_repeats_the_name(path: str) -> None:
    """Errors too."""
    async with serving() as (place, _):
        answer = await ask(place.port, request("GET", path, **{"x-client-request-id": NAME}))

    assert NAME == answer["x-client-request-id"]


@pytest.mark.parametrize("name", ["", "a b", "a\tb", "ä", "a" * 513])
async def test_a_name_that_cannot_be_repeated_is_none(name: str) -> None:
    """It is left out, and no reason to refuse the request."""
    async with serving() as (place, (upstream,)):
        answer = await ask(place.port, request("POST", CHAT, HELLO, **{"x-client-request-id": name}))

    assert (200, None) == (answer.status, answer["x-client-request-id"])
    assert "x-client-request-id" not in upstream.requests[0].headers


async def test_the_log_has_both_names(capfd: pytest.CaptureFixture[str]) -> None:
    """And no line is forged."""
    async with serving(log=AccessLog("json")) as (place, _):
        answer = await ask(place.port, request("POST", CHAT, HELLO, **{"x-client-request-id": '"},{"path":"'}))
        plain = await ask(place.port, request("POST", CHAT, HELLO))

    first, second = (json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith("{"))
    assert ('"},{"path":"', answer["x-request-id"]) == (first["client_request_id"], first["request_id"])
    assert (None, plain["x-request-id"]) == (second.get("client_request_id"), second["request_id"])


async def test_a_line_for_people_has_it_as_one_word(capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever is in it."""
    async with serving(log=AccessLog("text")) as (place, _):
        answer = await ask(place.port, request("POST", CHAT, HELLO, **{"x-request-id": 'a"%&\\'}))

    line = next(line for line in capfd.readouterr().err.splitlines() if CHAT in line)
    assert line.endswith(f" client_request_id=a%22%25%26%5C {answer['x-request-id']}")


async def test_a_caller_without_a_name_gets_none() -> None:
    """The upstream gets none either: a usual request is sent as before."""
    async with serving() as (place, (upstream,)):
        answer = await ask(place.port, request("POST", CHAT, HELLO))

    assert answer["x-client-request-id"] is None
    assert {"x-client-request-id", "traceparent"}.isdisjoint(upstream.requests[0].headers)


async def test_an_upstream_of_messages_gets_them_too() -> None:
    """Beside the headers of its own."""
    async with serving(Script.messages("Hello"), kind="anthropic") as (place, (upstream,)):
        await ask(place.port, request("POST", CHAT, STREAMED, traceparent=TRACE, **{"x-request-id": NAME}))

    headers = upstream.requests[0].headers
    assert (TRACE, NAME, "2023-06-01") == tuple(
        headers.get(name) for name in ("traceparent", "x-client-request-id", "anthropic-version")
    )


@pytest.mark.parametrize(
    ("parent", "state", "passed"),
    [
        (TRACE, "a=1", ["traceparent", "tracestate"]),
        (TRACE, "a" * 513, ["traceparent"]),
        (f"ff{TRACE[2:]}", "a=1", []),
        (f"cc{TRACE[2:]}-what-comes-later", "", ["traceparent"]),
        (TRACE.upper(), "a=1", []),
        (f"{TRACE}\n{TRACE}", "a=1", []),
        ("", "a=1", []),
    ],
)
def test_only_a_trace_that_can_be_read_passes_on(parent: str, state: str, passed: list[str]) -> None:
    """A state says nothing without its parent (W3C Trace Context, section 3.3)."""
    head = {b"traceparent": parent.encode(), b"tracestate": state.encode()}

    assert passed == [*context_of(head, traces=False)]
    assert [] == [*context_of(head, traces=True)]
