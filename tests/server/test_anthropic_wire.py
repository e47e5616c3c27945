"""The Messages API over sockets: answers, errors, keys, headers, counts, silence, and streams that are resumed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from autonomousai import OpenAICompatible
from autonomousai.config import RetryConfig
from autonomousai.errors import StatusError, StreamError
from autonomousai.events import Extra, FinishReason, Reasoning, ToolCallDelta, Usage
from autonomousai.gateway import Gateway, Upstream
from autonomousai.request import ChatRequest
from autonomousai.testing import Pause, Request, Script, ScriptedProvider, ScriptedServer, answer
from tests.conftest import Serve
from tests.support.sockets import CHAT, Connection, ask, events, request, text_of
from tests.support.sockets import HELLO as CHAT_HELLO
from tests.wires.test_anthropic_encoder import accumulated, named

MESSAGES = "/v1/messages"
COUNT = "/v1/messages/count_tokens"
HELLO = {"model": "llama", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}
STREAMED = {**HELLO, "stream": True}
EVERYTHING = answer(
    Reasoning("hm"), "Hello", ToolCallDelta(0, "call_1", "f", '{"a": 1}'), finish="tool_calls", usage=Usage(3, 2, 5)
)
BLOCKS = [
    {"type": "thinking", "thinking": "hm", "signature": ""},
    {"type": "text", "text": "Hello"},
    {"type": "tool_use", "id": "call_1", "name": "f", "input": {"a": 1}},
]


@pytest.mark.parametrize("path", [MESSAGES, "/messages", f"{MESSAGES}?beta=true"])
async def test_an_answer_is_a_message(serve: Serve, path: str) -> None:
    """Whole and streamed the same; with or without /v1, whatever the query."""
    port = (await serve(ScriptedProvider(EVERYTHING))).port

    whole = await ask(port, request("POST", path, HELLO))
    streamed = await ask(port, request("POST", path, STREAMED))

    message = whole.json()
    assert (200, BLOCKS, "tool_use") == (whole.status, message["content"], message["stop_reason"])
    assert (3, 2) == (message["usage"]["input_tokens"], message["usage"]["output_tokens"])
    got = accumulated(named(streamed.body))
    assert (200, "text/event-stream; charset=utf-8") == (streamed.status, streamed["content-type"])
    assert (BLOCKS, "tool_use", message["usage"]) == (got["content"], got["stop_reason"], got["usage"])


async def test_the_request_has_one_name_everywhere(port: int) -> None:
    """In both headers, in the answer's id, and in an error's body."""
    good = await ask(port, request("POST", MESSAGES, HELLO))
    bad = await ask(port, request("POST", MESSAGES, {**HELLO, "max_tokens": None}))

    assert good["request-id"] == good["x-request-id"] == "req_" + good.json()["id"].removeprefix("msg_")
    assert bad["request-id"] == bad["x-request-id"] == bad.json()["request_id"]


@pytest.mark.parametrize(
    ("sent", "status", "kind"),
    [
        (request("POST", MESSAGES, b"{", content_type="application/json"), 400, "invalid_request_error"),
        (request("POST", MESSAGES, {**HELLO, "messages": []}), 400, "invalid_request_error"),
        (request("POST", MESSAGES, {**HELLO, "model": "none"}), 404, "not_found_error"),
        (request("POST", COUNT, {**HELLO, "model": "none"}), 404, "not_found_error"),
        (request("POST", MESSAGES, b"{}", content_type="text/plain"), 415, "invalid_request_error"),
        (request("POST", MESSAGES, b"[" + b" " * 2_000 + b"]", content_type="application/json"), 413, "request_too_large"),
        (request("GET", MESSAGES), 405, "invalid_request_error"),
        (request("GET", COUNT), 405, "invalid_request_error"),
        (request("POST", f"{MESSAGES}/batches", {}), 404, "not_found_error"),
        (request("GET", f"{MESSAGES}/batches"), 404, "not_found_error"),
        (request("POST", MESSAGES, HELLO, host="evil.example"), 403, "permission_error"),
        (request("GET", "/v1/streams/str_nothing?wire=anthropic_messages"), 404, "not_found_error"),
    ],
)
async def test_an_error_has_the_vendors_shape(serve: Serve, sent: bytes, status: int, kind: str) -> None:
    """Whoever finds it: the wire, the router, the access control, the reader of bodies, or the streams."""
    port = (await serve(max_body=1_000)).port

    got = await ask(port, sent)

    assert (status, "error", kind) == (got.status, got.json()["type"], got.json()["error"]["type"])
    assert got["x-request-id"] == got.json()["request_id"]
    assert got.json()["error"]["message"]


@pytest.mark.parametrize("path", [MESSAGES, COUNT, f"{MESSAGES}/batches"])
@pytest.mark.parametrize("headers", [{}, {"x_api_key": "sk-wrong"}, {"authorization": "Bearer sk-wrong"}])
async def test_a_key_is_asked_for_in_the_vendors_shape(serve: Serve, path: str, headers: dict[str, str]) -> None:
    """On all its paths."""
    port = (await serve(api_keys=["sk-right"])).port

    got = await ask(port, request("POST", path, HELLO, **headers))

    assert (401, "authentication_error") == (got.status, got.json()["error"]["type"])


@pytest.mark.parametrize("headers", [{"x_api_key": "sk-right"}, {"authorization": "Bearer sk-right"}])
async def test_a_key_may_stand_in_either_header(serve: Serve, headers: dict[str, str]) -> None:
    """The vendor's own, or the usual one."""
    port = (await serve(api_keys=["sk-right"])).port

    assert 200 == (await ask(port, request("POST", MESSAGES, HELLO, **headers))).status


async def test_an_image_that_no_upstream_sees_is_refused(port: int) -> None:
    """In words that fit the request as it came."""
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}}
    body = {**HELLO, "system": "Be brief.", "messages": [{"role": "user", "content": [image]}]}

    got = await ask(port, request("POST", MESSAGES, body))

    assert 400 == got.status
    assert got.json()["error"]["message"].startswith("the request carries an image, and no upstream of 'llama' can see; ")


class Keeping(ScriptedProvider):
    """Keeps the requests as they came."""

    def __init__(self, *scripts: Any) -> None:
        super().__init__(*scripts, tokens=7)
        self.asked: list[ChatRequest] = []

    def stream(self, request: ChatRequest, *options: Any) -> Any:
        self.asked.append(request)
        return super().stream(request, *options)

    async def count_tokens(self, request: ChatRequest, *options: Any) -> int:
        self.asked.append(request)
        return await super().count_tokens(request, *options)


@pytest.mark.parametrize("path", [MESSAGES, COUNT])
async def test_the_original_and_its_beta_header_reach_the_upstream(serve: Serve, path: str) -> None:
    """Through the gateway; of other headers none."""
    provider = Keeping()
    port = (await serve(Gateway([Upstream("one", provider)], {"llama": ["one"]}))).port
    body = {**HELLO, "new_field": 1}

    got = await ask(port, request("POST", path, body, anthropic_beta="a-1,b-2", anthropic_version="2023-06-01"))

    [asked] = provider.asked
    assert (200, body) == (got.status, asked.origin and asked.origin.document)
    assert {"anthropic-beta": "a-1,b-2"} == (asked.origin and asked.origin.headers)


# ---- counts --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tokens", "status", "said"),
    [(7, 200, {"input_tokens": 7}), (None, 404, "not_found_error"), (StatusError("no", status=429), 429, "rate_limit_error")],
)
async def test_tokens_are_counted_by_who_can(serve: Serve, tokens: Any, status: int, said: Any) -> None:
    """Where none can, a 404 says so; an upstream's error is an error."""
    port = (await serve(ScriptedProvider(tokens=tokens))).port

    got = await ask(port, request("POST", f"{COUNT}?beta=true", {k: v for k, v in HELLO.items() if k != "max_tokens"}))

    assert status == got.status
    assert said == (got.json() if status == 200 else got.json()["error"]["type"])


DOWN = StatusError("down", status=503, retry_after=None)


@pytest.mark.parametrize(
    ("counts", "status", "counted"),
    [
        ([7, 8], 200, 7),
        ([None, 8], 200, 8),
        ([DOWN, 8], 200, 8),
        ([StatusError("no such path", status=404), None], 404, None),
        ([DOWN, None], 503, None),
        ([StatusError("bad", status=400), 8], 400, None),
    ],
)
async def test_the_first_upstream_that_can_counts(serve: Serve, counts: list[Any], status: int, counted: int | None) -> None:
    """In the order of the route; what is wrong with the request is its caller's to hear."""
    upstreams = [Upstream(str(place), ScriptedProvider(tokens=each)) for place, each in enumerate(counts)]
    port = (await serve(Gateway(upstreams, {"llama": [each.name for each in upstreams]}))).port

    got = await ask(port, request("POST", COUNT, HELLO))

    assert (status, counted) == (got.status, got.json().get("input_tokens"))


@pytest.mark.parametrize(
    ("script", "tokens", "asked"),
    [
        (Script.body(b'{"object": "response.input_tokens", "input_tokens": 19}', content_type="application/json"), 19, 2),
        (Script.status(404), None, 1),
        (Script.body(b'{"error": "Unexpected endpoint. Returning 200 anyway"}', content_type="application/json"), None, 1),
        (Script.status(500), StatusError, 2),
    ],
)
async def test_servers_of_chat_completions_count_where_they_can(script: Script, tokens: Any, asked: int) -> None:
    """As llama.cpp's do; one that has no such path is asked once."""
    async with ScriptedServer(script) as server, OpenAICompatible(f"{server.url}/v1", retries=0) as client:
        got: Any
        for _ in range(2):
            try:
                got = await client.count_tokens(ChatRequest("m", [{"role": "user", "content": "Hello"}]))
            except StatusError as error:
                got = None if error.status == 404 else StatusError
        paths = [each.path for each in server.requests]

    assert tokens == got
    assert ["/v1/chat/completions/input_tokens"] * asked == paths


# ---- streams -------------------------------------------------------------------------------------------------------------


async def test_its_stream_is_resumed_after_any_event_and_read_over_others(serve: Serve) -> None:
    """The same bytes again, also over the chat wire, and the reverse."""
    port = (await serve(ScriptedProvider(EVERYTHING))).port

    first = await ask(port, request("POST", MESSAGES, STREAMED, x_stream_resumable="1"))
    place = f"/v1/streams/{first['x-stream-id']}"
    blocks = first.body.split(b"\n\n")[:-1]
    rests = [(await ask(port, request("GET", place, last_event_id=str(last)))).body for last in range(1, len(blocks))]
    chat = await ask(port, request("GET", f"{place}?wire=openai_chat"))
    begun = await ask(port, request("POST", CHAT, {**CHAT_HELLO, "stream": True}, x_stream_resumable="1"))
    other = await ask(port, request("GET", f"/v1/streams/{begun['x-stream-id']}?wire=anthropic_messages"))

    assert [b"".join(block + b"\n\n" for block in blocks[last:]) for last in range(1, len(blocks))] == rests
    assert [b"id: %d" % number for number in range(1, len(blocks) + 1)] == [block.split(b"\n")[0] for block in blocks]
    assert "Hello" == text_of(events(chat.body))
    assert BLOCKS == accumulated(named(other.body))["content"]


async def test_an_error_inside_a_stream_ends_it(serve: Serve, provider: ScriptedProvider) -> None:
    """As the event ``error``; no ``message_stop`` follows."""
    provider.play(["Hello", StreamError("too busy", status=200, retryable=True)])
    port = (await serve()).port

    got = named((await ask(port, request("POST", MESSAGES, STREAMED))).body)

    assert ["message_start", "content_block_start", "content_block_delta", "error"] == [name for name, _ in got]
    assert {"type": "error", "error": {"type": "api_error", "message": got[-1][1]["error"]["message"]}} == got[-1][1]


async def test_an_upstreams_error_before_the_answer_has_a_status(serve: Serve, provider: ScriptedProvider) -> None:
    """Streamed or not."""
    provider.play([StatusError("slow down", status=429, retry_after=3)])
    port = (await serve()).port

    for body in (HELLO, STREAMED):
        got = await ask(port, request("POST", MESSAGES, body))
        assert (429, "rate_limit_error", "3") == (got.status, got.json()["error"]["type"], got["retry-after"])


async def test_silence_is_bridged_by_comments_and_after_the_beginning_by_pings(
    serve: Serve, provider: ScriptedProvider
) -> None:
    """So that ``message_start`` is the first event of every stream."""
    before, between = Pause(), Pause()
    provider.play([before, "Hello", between, FinishReason("stop", "finish_reason")])
    port = (await serve(keepalive_s=0.05)).port

    async with Connection(port) as connection:
        await connection.send(request("POST", MESSAGES, STREAMED))
        await connection.head()
        heard = b""
        while b": keep-alive" not in heard:
            heard += await connection.piece()
        assert b"event:" not in heard
        before.release()
        while b"ping" not in heard:
            heard += await connection.piece()
        between.release()
        while b"message_stop" not in heard:
            heard += await connection.piece()

    events_only = b"".join(block + b"\n\n" for block in heard.split(b"\n\n")[:-1] if not block.startswith(b":"))
    names = [name for name, _ in named(events_only)]
    assert "message_start" == names[0]
    assert names.index("ping") < names.index("content_block_stop")


async def test_an_upstream_of_the_wire_is_passed_on_unchanged(serve: Serve, provider: ScriptedProvider) -> None:
    """Members and blocks that are not known here, at their places, streamed and whole."""
    said = [
        Extra(
            {"content_block": {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}}, 0, "anthropic_messages"
        ),
        "Hi",
    ]
    provider.play(answer(*said))
    port = (await serve()).port

    whole = (await ask(port, request("POST", MESSAGES, HELLO))).json()["content"]
    streamed = accumulated(named((await ask(port, request("POST", MESSAGES, STREAMED))).body))["content"]

    expected = [{"type": "web_search_tool_result", "tool_use_id": "s", "content": []}, {"type": "text", "text": "Hi"}]
    assert expected == whole == streamed


# ---- rescue --------------------------------------------------------------------------------------------------------------


async def ask_broken(serve: Serve, *scripts: Any, tools: bool = False) -> list[tuple[str, Any]]:
    """The events of an answer whose upstreams play these scripts in turn."""
    provider = ScriptedProvider(*scripts)
    upstreams = [Upstream("one", provider), Upstream("two", provider)]
    gateway = Gateway(upstreams, {"llama": ["one", "two"]}, retry=RetryConfig(attempts=1, backoff=0))
    port = (await serve(gateway)).port
    body = {**STREAMED, **({"tools": [{"name": "f", "input_schema": {"type": "object"}}]} if tools else {})}
    async with asyncio.timeout(60):
        return named((await ask(port, request("POST", MESSAGES, body))).body)


CUT = StreamError("cut", status=200, retryable=True)


async def test_a_broken_answer_goes_on_inside_its_block(serve: Serve) -> None:
    """One message, one block, each character once; the splice is told at the end."""
    got = await ask_broken(serve, ["Hel", "lo", CUT], answer("Hello", " world"))

    message = accumulated(got)
    assert [{"type": "text", "text": "Hello world"}] == message["content"]
    assert 1 == len(got[-2][1]["x_autonomousai"]["splices"])
    assert 11 == got[-2][1]["x_autonomousai"]["length"]


def pieces(*arguments: str) -> list[ToolCallDelta]:
    first, *rest = arguments
    return [ToolCallDelta(0, "call_1", "f", first), *(ToolCallDelta(0, arguments=each) for each in rest)]


async def test_a_half_sent_call_is_completed_exactly(serve: Serve) -> None:
    """By an upstream that generates it again byte for byte: its id stays the one that was sent."""
    again = [ToolCallDelta(0, "call_2", "f", '{"a": 1}'), FinishReason("tool_calls", "finish_reason")]

    got = await ask_broken(serve, [*pieces('{"a"'), CUT], again, tools=True)

    assert [{"type": "tool_use", "id": "call_1", "name": "f", "input": {"a": 1}}] == accumulated(got)["content"]


async def test_a_half_sent_call_that_nothing_completes_is_an_error(serve: Serve) -> None:
    """It is never mixed with another one."""
    other = [ToolCallDelta(0, "call_2", "f", '{"b": 2}'), FinishReason("tool_calls", "finish_reason")]

    got = await ask_broken(serve, [*pieces('{"a"'), CUT], other, tools=True)

    names = [name for name, _ in got]
    assert ("error", False) == (names[-1], "message_stop" in names)
    assert ['{"a"'] == [data["delta"]["partial_json"] for name, data in got if name == "content_block_delta"]


THOUGHT = [
    HELLO["messages"][0],  # type: ignore[index]
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "Hm", "signature": ""},
            {"type": "tool_use", "id": "c1", "name": "f", "input": {}},
        ],
    },
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "1"}]},
]


@pytest.mark.parametrize(
    ("error", "is_taken", "asked"),
    [
        ("The `reasoning_content` in the thinking mode must be passed back to the API.", True, 1),
        ("'messages.1' : property 'reasoning_content' is unsupported", False, 2),
    ],
)
async def test_thinking_goes_back_to_servers_that_take_it(serve: Serve, error: str, is_taken: bool, asked: int) -> None:
    """Some refuse calls of tools without what was thought before them, others refuse to hear of it."""

    def play(request: Request) -> Script:
        thoughts = request.json()["messages"][1].get("reasoning_content")
        return Script.stream("Hi") if (thoughts == "Hm") is is_taken else Script.status(400, {"error": {"message": error}})

    async with ScriptedServer(play) as upstream:
        source = OpenAICompatible(upstream.url, prefill="no", retries=0)
        port = (await serve(Gateway([Upstream("u", source)], {"llama": ["u"]}))).port
        got = await ask(port, request("POST", MESSAGES, {**HELLO, "messages": THOUGHT}))

    assert (200, asked) == (got.status, len(upstream.requests))
