"""The Responses API over real sockets: what its clients send, and what they get, held to the Open Responses models."""

from __future__ import annotations

import json
from typing import Any

import pytest

from autonomousai.errors import IncompleteStreamError, StatusError, StreamError
from autonomousai.events import FinishReason, Reasoning, Started, ToolCallDelta, Usage
from autonomousai.gateway import Gateway, Upstream
from autonomousai.testing import ScriptedProvider, answer
from tests.conftest import Serve
from tests.support.openresponses import Json, check_response, folded, read_events, types_of
from tests.support.sockets import Connection, ask, request

PATH = "/v1/responses"
PNG = "data:image/png;base64,iVBORw0KGgo="
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather at a place",
    "parameters": {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]},
}
CALL = [ToolCallDelta(0, "call_1", "get_weather", '{"location":'), ToolCallDelta(0, arguments='"Rome"}')]


def item(role: str, content: Any, **more: Any) -> Json:
    return {"type": "message", "role": role, "content": content, **more}


def text_of(output: list[Json]) -> str:
    return "".join(part["text"] for each in output if each["type"] == "message" for part in each["content"])


#: The situations of the Open Responses compliance suite: what is asked, what the upstream says, and the types of the items.
SITUATIONS: dict[str, tuple[Json, Any, list[str]]] = {
    "basic response": ({"input": [item("user", "Say hello.")]}, answer("Hel", "lo"), ["message"]),
    "streaming response": ({"input": [item("user", "Count.")], "stream": True}, answer("1", " 2"), ["message"]),
    "system prompt": ({"input": [item("system", "A pirate."), item("user", "Hello")]}, answer("Arr"), ["message"]),
    "tool calling": (
        {"input": [item("user", "Weather?")], "tools": [WEATHER]},
        answer(*CALL, finish="tool_calls"),
        ["function_call"],
    ),
    "tool calling, streamed": (
        {"input": [item("user", "Weather?")], "tools": [WEATHER], "stream": True},
        answer("I look", *CALL, finish="tool_calls"),
        ["message", "function_call"],
    ),
    "image input": (
        {
            "input": [
                item("user", [{"type": "input_text", "text": "What is it?"}, {"type": "input_image", "image_url": PNG}]),
            ]
        },
        answer("A heart"),
        ["message"],
    ),
    "multi-turn": (
        {"input": [item("user", "I am Alice."), item("assistant", "Hello Alice!"), item("user", "Who am I?")]},
        answer("Alice"),
        ["message"],
    ),
    "assistant phase": (
        {
            "input": [
                item("assistant", "I count.", phase="commentary"),
                item("assistant", "Four.", phase="final_answer"),
                item("user", "Again."),
            ]
        },
        answer("Four"),
        ["message"],
    ),
}


@pytest.mark.parametrize("path", [PATH, "/responses"])
@pytest.mark.parametrize("name", SITUATIONS)
async def test_the_situations_of_the_compliance_suite(serve: Serve, name: str, path: str) -> None:
    """Every object and every event is as the specification says, with and without ``/v1``."""
    sent, script, types = SITUATIONS[name]
    port = (await serve(ScriptedProvider(script, vision=True))).port

    got = await ask(port, request("POST", path, {"model": "llama", **sent}))
    if sent.get("stream"):
        stream = read_events(got.body)
        assert folded(stream) == stream[-1]["response"]["output"]
        response = stream[-1]["response"]
    else:
        response = check_response(got.json())

    assert (200, "completed", types) == (got.status, response["status"], [each["type"] for each in response["output"]])
    assert response["id"].startswith("resp_")


async def test_codex(serve: Serve) -> None:
    """What Codex sends is taken as it is, and what it reads is there: items that are done, and the end with its usage."""
    provider = ScriptedProvider(
        [
            [Started("m"), Reasoning("Hm")],
            "I patch",
            ToolCallDelta(0, "call_1", "apply_patch", '{"input":"*** Begin Patch"}'),
            FinishReason("tool_calls", "finish_reason", Usage(100, 20, 120, 64, 8)),
        ]
    )
    port = (await serve(provider)).port
    sent = {
        "model": "llama",
        "instructions": "You are Codex.",
        "input": [
            item("developer", [{"type": "input_text", "text": "<permissions>"}]),
            item("user", [{"type": "input_text", "text": "<environment_context>"}]),
            item("user", [{"type": "input_text", "text": "Fix it"}]),
            {
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": "x"}],
                "content": None,
                "encrypted_content": None,
            },
            item("assistant", [{"type": "output_text", "text": "I look"}]),
            {"type": "function_call", "name": "shell", "arguments": "{}", "call_id": "c1"},
            {"type": "function_call_output", "call_id": "c1", "output": "ok"},
            {"type": "local_shell_call", "call_id": "c2", "status": "completed", "action": {"type": "exec", "command": ["ls"]}},
        ],
        "tools": [
            {"type": "function", "name": "shell", "description": "", "strict": False, "parameters": {"type": "object"}},
            {
                "type": "custom",
                "name": "apply_patch",
                "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"},
            },
            {"type": "web_search", "external_web_access": False},
            {"type": "local_shell"},
            {"type": "namespace", "name": "mcp", "description": "", "tools": [{"type": "function", "name": "x"}]},
        ],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "0198",
        "text": {"verbosity": "low"},
        "client_metadata": {"x-codex-installation-id": "1"},
    }

    got = await ask(port, request("POST", PATH, sent))
    events = read_events(got.body)
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    last = events[-1]["response"]
    (call,) = provider.calls

    assert ["reasoning", "message", "custom_tool_call"] == [each["type"] for each in done]
    assert ("call_1", "apply_patch", "*** Begin Patch") == tuple(done[2][name] for name in ("call_id", "name", "input"))
    assert "response.completed" == events[-1]["type"]
    assert {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 0},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 8},
        "total_tokens": 120,
    } == last["usage"]
    assert ["system", "user", "user", "assistant", "tool", "assistant"] == [message["role"] for message in call.messages]
    assert ["shell", "apply_patch", "local_shell", "mcp__x"] == [tool["function"]["name"] for tool in call.kwargs["tools"]]
    assert {"tools", "tool_choice", "parallel_tool_calls", "reasoning_effort", "verbosity"} == call.kwargs.keys()
    assert call.origin is not None
    assert sent == call.origin.document


async def test_a_broken_answer_goes_on_inside_its_item(serve: Serve) -> None:
    """From another upstream; the item, its part and the numbers are the same, and its end says where it was joined."""
    broken = ScriptedProvider([Started("m"), "The", " sky", IncompleteStreamError()])
    whole = ScriptedProvider(answer("The", " sky", " is", " blue."))
    gateway = Gateway([Upstream("a", broken), Upstream("b", whole)], {"llama": ["a", "b"]})
    port = (await serve(gateway)).port

    events = read_events((await ask(port, request("POST", PATH, {"input": "Hello", "stream": True}))).body)
    last = events[-1]["response"]

    assert 1 == types_of(events).count("output_item.added")
    assert "The sky is blue." == text_of(folded(events)) == text_of(last["output"])
    assert ("completed", ["a"]) == (last["status"], [splice["from"] for splice in last["x_autonomousai"]["splices"]])


@pytest.mark.parametrize("resumable", ["0", "1"])
async def test_an_answer_that_cannot_be_finished_has_failed(serve: Serve, resumable: str) -> None:
    """Nothing says that it is completed."""
    provider = ScriptedProvider([Started("m"), "The sky", IncompleteStreamError()])
    port = (await serve(provider)).port

    got = await ask(port, request("POST", PATH, {"input": "Hello", "stream": True}, x_stream_resumable=resumable))
    events = read_events(got.body)

    assert (200, "response.failed", "server_error", {"code": "upstream_incomplete"}) == (
        got.status,
        events[-1]["type"],
        events[-1]["response"]["error"]["code"],
        events[-1]["response"]["x_autonomousai"],
    )
    assert b"completed" not in got.body.replace(b"completed_at", b"")


async def test_a_stream_is_resumed_after_any_event(serve: Serve) -> None:
    """With the same bytes, whatever the answer is made of."""
    provider = ScriptedProvider(answer(Reasoning("Hm"), "Hello", *CALL, "!"))
    port = (await serve(provider)).port

    first = await ask(port, request("POST", PATH, {"input": "Hello", "stream": True}, x_stream_resumable="1"))
    blocks = first.body.split(b"\n\n")[:-1]

    for number in range(1, len(blocks)):
        place = f"/v1/streams/{first['x-stream-id']}"
        rest = await ask(port, request("GET", place, last_event_id=str(number)))
        assert blocks[number:] == rest.body.split(b"\n\n")[:-1]


async def test_the_head_waits_for_the_first_event(serve: Serve) -> None:
    """So that an error before it keeps its status, and the codes that clients read."""
    for error, told in [
        (StatusError("too long", status=400, code="context_length_exceeded"), (400, "context_length_exceeded")),
        (StatusError("slow down", status=429, code="rate_limit_exceeded", retry_after=5), (429, "rate_limit_exceeded")),
        (StatusError("no money", status=429, code="insufficient_quota"), (429, "insufficient_quota")),
    ]:
        port = (await serve(ScriptedProvider([error]))).port
        for stream in (True, False):
            got = await ask(port, request("POST", PATH, {"input": "Hello", "stream": stream}))
            assert told == (got.status, got.error["code"])
            assert ("5" if error.retry_after else None) == got["retry-after"]


@pytest.mark.parametrize(
    ("sent", "status", "param"),
    [
        ({}, 400, "input"),
        ({"input": "Hello", "model": "none"}, 404, "model"),
        ({"input": "Hello", "tools": [{"type": "function"}]}, 400, "tools[0].name"),
        ({"input": [item("user", [{"type": "input_image", "image_url": PNG}])]}, 400, "input"),
    ],
)
async def test_an_error_has_openais_shape(port: int, sent: Json, status: int, param: str) -> None:
    """And names the field."""
    got = await ask(port, request("POST", PATH, sent))

    assert (status, param, "invalid_request_error") == (got.status, got.error["param"], got.error["type"])
    assert {"message", "type", "param", "code"} == got.error.keys()


async def test_many_answers_on_one_connection_have_ids_of_their_own(port: int) -> None:
    """Of the response and of its items."""
    found = set()
    async with Connection(port) as connection:
        for _ in range(3):
            response = json.loads((await connection.ask(request("POST", PATH, {"input": "Hello"}))).body)
            found |= {response["id"], response["output"][0]["id"]}

    assert 6 == len(found)


@pytest.mark.parametrize("store", [True, False])
@pytest.mark.parametrize("stream", [True, False])
async def test_items_stand_in_the_order_in_which_they_were_said(serve: Serve, store: bool, stream: bool) -> None:
    """In a document too, kept or not."""
    said = answer("a", *CALL, "b", Reasoning("c"), "d", finish="tool_calls")
    gateway = Gateway([Upstream("one", ScriptedProvider(said))], {"llama": ["one"]})
    port = (await serve(gateway)).port

    got = await ask(port, request("POST", PATH, {"input": "Hello", "store": store, "stream": stream}))

    response = read_events(got.body)[-1]["response"] if stream else got.json()
    assert ["message", "function_call", "message", "reasoning", "message"] == [each["type"] for each in response["output"]]
    assert "abd" == text_of(response["output"])


@pytest.mark.parametrize("more", [{}, {"stream": True}, {"background": True}, {"store": False}], ids=str)
async def test_a_conversation_that_an_upstream_keeps_is_asked_for_there(serve: Serve, more: Json) -> None:
    """A chat upstream of the same model is passed over; where there is no other, it is a 404 that says so."""
    chat, knows = ScriptedProvider(), ScriptedProvider(answer("Hi"), wires=["openai_responses"])
    upstreams = [Upstream("chat", chat), Upstream("knows", knows)]
    port = (await serve(Gateway(upstreams, {"llama": ["chat", "knows"], "chat": ["chat"]}))).port
    sent = {"model": "llama", "input": "And?", "conversation": "conv_1", **more}

    got = await ask(port, request("POST", PATH, sent))
    refused = await ask(port, request("POST", PATH, {**sent, "model": "chat"}))

    assert 200 == got.status
    assert (404, "unsupported_endpoint") == refused.told
    assert not chat.calls
    if not more.get("background"):
        (call,) = knows.calls
        assert call.origin is not None
        assert "conv_1" == call.origin.document["conversation"]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (StreamError("full", status=200, code="context_length_exceeded"), 400, "context_length_exceeded"),
        (StreamError("slow", status=200, type="rate_limit_error"), 429, "upstream_error"),
        (StreamError("busy", status=200, type="overloaded_error"), 503, "upstream_error"),
        (StreamError("broken", status=200), 502, "upstream_error"),
    ],
)
async def test_an_error_in_a_stream_that_said_nothing_has_its_status(
    serve: Serve, error: StreamError, status: int, code: str
) -> None:
    """An upstream that begins with 200 may still refuse: the status tells clients whether to ask again."""
    port = (await serve(ScriptedProvider([error]))).port
    for stream in (True, False):
        got = await ask(port, request("POST", PATH, {"input": "Hello", "stream": stream}))

        assert (status, code) == got.told


@pytest.mark.parametrize(
    ("tokens", "status", "said"),
    [(7, 200, {"object": "response.input_tokens", "input_tokens": 7}), (None, 404, "count_not_supported")],
)
async def test_tokens_are_counted(serve: Serve, tokens: int | None, status: int, said: Any) -> None:
    """By an upstream that can; what a kept response holds is not known to it."""
    port = (await serve(ScriptedProvider(tokens=tokens))).port
    for path in (f"{PATH}/input_tokens", "/responses/input_tokens"):
        got = await ask(port, request("POST", path, {"input": "Hello", "instructions": "Be brief."}))
        assert status == got.status
        assert said == (got.json() if status == 200 else got.error["code"])

    kept = await ask(port, request("POST", path, {"input": "Hello", "previous_response_id": "resp_1"}))

    assert (400, "previous_response_id") == (kept.status, kept.error["param"])
