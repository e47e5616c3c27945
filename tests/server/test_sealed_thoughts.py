"""What a model thought goes back to its vendor as that signed or encrypted it, whatever API the caller speaks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from autonomousai.config import parse_config
from autonomousai.sealed_thoughts import PREFIX, pack, unpack
from autonomousai.server import create_app
from autonomousai.testing import Script, ScriptedServer
from autonomousai.testing.server import Request
from tests.support.sockets import ask, events, listening, request

Json = dict[str, Any]

#: What Anthropic's model says: a thought, one that is not shown, and a call.
THOUGHT: Json = {"type": "thinking", "thinking": "Let me see.", "signature": "SIGNED=="}
HIDDEN: Json = {"type": "redacted_thinking", "data": "HIDDEN=="}
USE: Json = {"type": "tool_use", "id": "call_1", "name": "f", "input": {}}

#: And what OpenAI's does.
ITEM: Json = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "Let me see."}],
    "encrypted_content": "ENCRYPTED==",
}
SILENT: Json = {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "MORE=="}
CALL: Json = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}

SCHEMA: Json = {"type": "object", "properties": {}}


@asynccontextmanager
async def gateway(kind: str) -> AsyncIterator[tuple[int, ScriptedServer]]:
    """A server before one upstream, of Anthropic's API or of OpenAI's Responses."""
    async with ScriptedServer() as upstream:
        section = (
            f'kind = "anthropic"\nbase_url = "{upstream.url}"\napi_key = "k"'
            if kind == "anthropic"
            else f'kind = "openai"\napi = "responses"\nbase_url = "{upstream.url}/v1"'
        )
        config = parse_config(f'[upstreams.u]\n{section}\n[models.llama]\nroute = ["u"]\n', {})
        async with listening(create_app(config)) as server:
            yield server.port, upstream


def answers(kind: str, *, stream: bool) -> Script:
    if kind == "anthropic":
        parts = (THOUGHT, HIDDEN, "Hello", USE)
        return Script.messages(*parts, finish="tool_use") if stream else Script.message(*parts, finish="tool_use")
    items = (ITEM, SILENT, "Hello", CALL)
    return Script.responses(*items) if stream else Script.response(*items)


async def post(port: int, path: str, body: Json) -> Any:
    got = await ask(port, request("POST", path, {"model": "llama", **body}))
    assert 200 == got.status, got.body
    return got


def joined_message(body: bytes) -> Json:
    """What a client of chat completions makes of a stream."""
    message: Json = {"role": "assistant", "content": ""}
    for chunk in events(body):
        for choice in chunk["choices"] if isinstance(chunk, dict) else ():
            delta = choice["delta"]
            message["content"] += delta.get("content") or ""
            for name in ("tool_calls", "thinking_blocks", "reasoning_items"):
                message.setdefault(name, []).extend(delta.get(name, ()))
    return {**message, "tool_calls": message["tool_calls"][:1]}


async def by_chat(port: int, *, stream: bool) -> None:
    """Two turns of a caller of chat completions, who sends back the message as it came."""
    tools = [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}]
    asked = {"role": "user", "content": "Hi"}
    got = await post(port, "/v1/chat/completions", {"messages": [asked], "tools": tools, "stream": stream})
    said = joined_message(got.body) if stream else got.json()["choices"][0]["message"]
    said["tool_calls"][0]["function"]["arguments"] = "{}"
    result = {"role": "tool", "tool_call_id": "call_1", "content": "42"}
    await post(port, "/v1/chat/completions", {"messages": [asked, said, result], "tools": tools})


async def by_messages(port: int, *, stream: bool) -> None:
    """The same of a caller of Messages."""
    tools = [{"name": "f", "input_schema": SCHEMA}]
    asked = {"role": "user", "content": "Hi"}
    got = await post(port, "/v1/messages", {"messages": [asked], "tools": tools, "max_tokens": 9, "stream": stream})
    said = {"role": "assistant", "content": without(blocks_of(got.body) if stream else got.json()["content"], "extra_content")}
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "42"}]}
    await post(port, "/v1/messages", {"messages": [asked, said, result], "tools": tools, "max_tokens": 9})


def blocks_of(body: bytes) -> list[Json]:
    """What a client of Messages makes of a stream."""
    blocks: list[Json] = []
    for event in events(body):
        if event.get("type") == "content_block_start":
            blocks.append(event["content_block"])
        elif event.get("type") == "content_block_delta":
            delta = event["delta"]
            name = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}.get(delta["type"])
            if name:
                blocks[event["index"]][name] += delta[name]
    return blocks


async def by_responses(port: int, *, stream: bool) -> None:
    """The same of a caller of Responses."""
    tools = [{"type": "function", "name": "f", "parameters": SCHEMA}]
    asked = {"role": "user", "content": "Hi"}
    got = await post(port, "/v1/responses", {"input": [asked], "tools": tools, "store": False, "stream": stream})
    document = (
        next(event for event in events(got.body) if event.get("type") == "response.completed")["response"]
        if stream
        else got.json()
    )
    result = {"type": "function_call_output", "call_id": "call_1", "output": "42"}
    await post(
        port,
        "/v1/responses",
        {"input": [asked, *without(document["output"], "extra_content"), result], "tools": tools, "store": False},
    )


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("kind", "caller"),
    [
        ("anthropic", by_chat),
        ("anthropic", by_messages),
        ("anthropic", by_responses),
        ("responses", by_chat),
        ("responses", by_messages),
        ("responses", by_responses),
    ],
)
async def test_thoughts_go_back_as_they_were_sealed(kind: str, caller: Callable[..., Any], stream: bool) -> None:
    """Before what was said, in their order, unchanged: so the model goes on from them."""
    async with gateway(kind) as (port, upstream):
        upstream.play(lambda request: answers(kind, stream=request.json()["stream"]))
        await caller(port, stream=stream)

    body = upstream.requests[-1].json()
    if kind == "anthropic":
        assert [THOUGHT, HIDDEN] == body["messages"][1]["content"][:2]
    else:
        sealed = [item for item in body["input"] if item.get("type") == "reasoning"]
        assert [(each["id"], each["encrypted_content"]) for each in (ITEM, SILENT)] == [
            (each["id"], each["encrypted_content"]) for each in sealed
        ]
        assert ["message", "reasoning", "reasoning", "message"] == [item.get("type", "message") for item in body["input"]][:4]


async def test_a_caller_who_thinks_gets_what_is_encrypted() -> None:
    """It is asked for, as an upstream that keeps nothing sends it only then; and left out where a model cannot think."""

    def play(asked: Request) -> Script:
        if "include" in asked.json():
            return Script.status(400, {"error": {"message": "Encrypted content is not supported with this model."}})
        return Script.responses("Hello")

    body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9000}
    async with gateway("responses") as (port, upstream):
        upstream.play(play)
        await post(port, "/v1/messages", {**body, "thinking": {"type": "enabled", "budget_tokens": 6000}})
        await post(port, "/v1/messages", body)

    asked = [each.json() for each in upstream.requests]
    assert [["reasoning.encrypted_content"], None, None] == [each.get("include") for each in asked]
    wanted = {"effort": "medium", "summary": "auto"}
    assert [wanted, wanted, None] == [each.get("reasoning") for each in asked]


async def test_what_another_vendor_sealed_is_left_out_where_it_is_refused() -> None:
    """A conversation that went on at another upstream meanwhile goes on."""

    def play(asked: Request) -> Script:
        if PREFIX in asked.body.decode():
            return Script.status(400, {"error": {"message": "messages.1.content.0: Invalid `signature` in `thinking` block"}})
        return Script.messages("Hello")

    said = [{"type": "thinking", "thinking": "Hm.", "signature": pack(ITEM)}, {"type": "text", "text": "A"}]
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": said}, {"role": "user", "content": "B"}]
    async with gateway("anthropic") as (port, upstream):
        upstream.play(play)
        await post(port, "/v1/messages", {"messages": turns, "max_tokens": 9})

    assert [{"type": "text", "text": "A"}] == upstream.requests[-1].json()["messages"][1]["content"]


async def test_what_another_vendor_sealed_is_no_item_of_openais() -> None:
    """It knows nothing of it, and refuses what it has not encrypted itself."""
    item = {"type": "reasoning", "id": "rs_x", "summary": [], "encrypted_content": pack(THOUGHT)}
    async with gateway("responses") as (port, upstream):
        upstream.play(Script.responses("Hello"))
        await post(port, "/v1/responses", {"input": [{"role": "user", "content": "Hi"}, item], "store": False})

    assert ["message"] == [each.get("type", "message") for each in upstream.requests[-1].json()["input"]]


@pytest.mark.parametrize("text", ["", "x", PREFIX, f"{PREFIX}!", f"{PREFIX}W10=", pack(THOUGHT)[:-3], None, 1])
def test_what_was_not_packed_is_not_unpacked(text: Any) -> None:
    """Nor what was cut since."""
    assert unpack(text) is None


def test_what_was_packed_is_unpacked() -> None:
    """Character by character."""
    assert json.loads(json.dumps(HIDDEN)) == unpack(pack(HIDDEN))


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("caller", [by_messages, by_responses])
async def test_the_signature_of_a_call_comes_back(caller: Callable[..., Any], stream: bool) -> None:
    """Gemini wants it with the call. Programs send back the members of a call that they know, and all of what was thought."""
    signed = {"google": {"thought_signature": "SIGNED"}}
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}

    def play(asked: Request) -> Script:
        return Script.stream({"tool_calls": [{**call, "extra_content": signed}]}, finish="tool_calls")

    async with ScriptedServer(play) as upstream:
        config = parse_config(
            f'[upstreams.u]\nkind = "openai"\nbase_url = "{upstream.url}/v1"\n[models.llama]\nroute = ["u"]\n', {}
        )
        async with listening(create_app(config)) as server:
            await caller(server.port, stream=stream)

    messages = upstream.requests[-1].json()["messages"]
    assert ["user", "assistant", "tool"] == [message["role"] for message in messages]
    assert signed == messages[1]["tool_calls"][0]["extra_content"]
    assert {"role", "content", "tool_calls"} == messages[1].keys()


#: What OpenRouter says of thoughts, in pieces as it streams them, and what it wants back. Words alone are no such detail.
WORDS: Json = {"type": "reasoning.text", "index": 0}
SEALED: Json = {"type": "reasoning.encrypted", "data": "MORE==", "format": "google-gemini-v1", "id": "call_1", "index": 1}
USED: Json = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
SIGNED_BY_PARTS: list[list[Json]] = [
    [
        {"reasoning": "Let me ", "reasoning_details": [{**WORDS, "text": "Let me "}]},
        {"reasoning": "see.", "reasoning_details": [{**WORDS, "text": "see."}]},
        {"reasoning_details": [{**WORDS, "signature": "SIGNED==", "format": "anthropic-claude-v1"}]},
        {"content": "Hello"},
        {"tool_calls": [USED], "reasoning_details": [SEALED]},
    ],
    [
        {"reasoning_details": [{**WORDS, "text": "Let me see.", "signature": "SIGNED==", "format": "anthropic-claude-v1"}]},
        {"content": "Hello"},
        {"tool_calls": [USED]},
        {"reasoning_details": [{**SEALED, "data": "MO"}]},
        {"reasoning_details": [{**SEALED, "data": "RE=="}]},
    ],
]
DETAILS: list[Json] = [{**WORDS, "text": "Let me see.", "signature": "SIGNED==", "format": "anthropic-claude-v1"}, SEALED]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("caller", [by_messages, by_responses])
@pytest.mark.parametrize("deltas", SIGNED_BY_PARTS)
async def test_details_of_openrouter_come_back(caller: Callable[..., Any], deltas: list[Json], stream: bool) -> None:
    """Its vendors refuse a turn without them. They stand before or behind the call, as they came."""
    async with ScriptedServer(lambda asked: Script.stream(*deltas, finish="tool_calls")) as upstream:
        config = parse_config(
            f'[upstreams.u]\nkind = "openai"\nbase_url = "{upstream.url}/v1"\n[models.llama]\nroute = ["u"]\n', {}
        )
        async with listening(create_app(config)) as server:
            await caller(server.port, stream=stream)

    messages = upstream.requests[-1].json()["messages"]
    assert ["user", "assistant", "tool"] == [message["role"] for message in messages]
    assert "Hello" == messages[1]["content"]
    assert DETAILS == messages[1]["reasoning_details"]


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses"])
async def test_details_without_a_signature_are_reasoning_alone(path: str) -> None:
    """Nothing is packed that its vendor does not miss."""
    delta = {"reasoning": "Hm.", "reasoning_details": [{**WORDS, "text": "Hm."}]}
    async with ScriptedServer(Script.stream(delta, "Hello")) as upstream:
        config = parse_config(
            f'[upstreams.u]\nkind = "openai"\nbase_url = "{upstream.url}/v1"\n[models.llama]\nroute = ["u"]\n', {}
        )
        async with listening(create_app(config)) as server:
            body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9} if "messages" in path else {"input": "Hi"}
            got = await post(server.port, path, body)

    assert PREFIX not in got.body.decode()
    assert "Hm." in got.body.decode()


def without(value: Any, name: str) -> Any:
    if isinstance(value, list):
        return [without(each, name) for each in value]
    return {key: without(each, name) for key, each in value.items() if key != name} if isinstance(value, dict) else value
