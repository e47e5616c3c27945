"""Calls in the older form: who offers `functions` reads `function_call`, whatever its upstream speaks."""

from __future__ import annotations

from typing import Any

import pytest

from autonomousai import Anthropic, OpenAICompatible
from autonomousai.gateway import Gateway, Upstream
from autonomousai.server import create_app
from autonomousai.testing import Script, ScriptedServer
from tests.support.sockets import CHAT, Connection, ask, events, listening, request

Json = dict[str, Any]

ASKED: Json = {"model": "m", "messages": [{"role": "user", "content": "What is 1 and 2?"}]}
OLDER: Json = {**ASKED, "functions": [{"name": "f", "parameters": {"type": "object"}}], "function_call": "auto"}
CALL = {"name": "f", "arguments": '{"a": 1}'}

OLD_CHUNKS = ({"function_call": {"name": "f", "arguments": '{"a":'}}, {"function_call": {"arguments": " 1}"}})
NEW_CHUNK = {"tool_calls": [{"index": index, "id": f"c{index}", "type": "function", "function": CALL} for index in (0, 1)]}

UPSTREAMS = {
    "chat": (OpenAICompatible, {}, Script.stream(*OLD_CHUNKS, finish="function_call")),
    "chat that answers with tools": (OpenAICompatible, {}, Script.stream(NEW_CHUNK, finish="tool_calls")),
    "messages": (
        Anthropic,
        {},
        Script.messages({"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}}, finish="tool_use"),
    ),
    "responses": (
        OpenAICompatible,
        {"api": "responses"},
        Script.responses({"type": "function_call", "id": "fc", "call_id": "c1", "name": "f", "arguments": CALL["arguments"]}),
    ),
}


async def answered(upstream: str, body: Json, **headers: str) -> Any:
    """Return the answer to *body* of a server before an *upstream* that makes a call, and what that was asked."""
    client, options, script = UPSTREAMS[upstream]
    async with ScriptedServer(script) as server:
        provider = client(server.url if client is Anthropic else f"{server.url}/v1", retries=0, **options)
        async with listening(create_app(provider=Gateway([Upstream("u", provider)], {"m": ["u"]}))) as place:
            got = await ask(place.port, request("POST", CHAT, body, **headers))
            assert 200 == got.status, got.body
            if headers:
                async with Connection(place.port) as connection:
                    again = request("GET", f"/v1/streams/{got['x-stream-id']}?wire=openai_chat")
                    got = await connection.ask(again)
            return got, server.requests[0].json()


@pytest.mark.parametrize("upstream", UPSTREAMS)
async def test_a_document_has_the_one_call_that_was_asked_for(upstream: str) -> None:
    """With the reason of that form, and without ids, for which there is no place."""
    got, _ = await answered(upstream, OLDER)

    [choice] = got.json()["choices"]
    assert (None, CALL, "function_call") == (
        choice["message"]["content"],
        choice["message"]["function_call"],
        choice["finish_reason"],
    )
    assert "tool_calls" not in choice["message"]


@pytest.mark.parametrize("headers", [{}, {"x_stream_resumable": "1"}], ids=["streamed", "read again"])
@pytest.mark.parametrize("upstream", UPSTREAMS)
async def test_so_has_a_stream(upstream: str, headers: dict[str, str]) -> None:
    """Also where it is read again from what was recorded."""
    got, _ = await answered(upstream, {**OLDER, "stream": True}, **headers)

    *chunks, done = events(got.body)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    calls = [delta["function_call"] for delta in deltas if "function_call" in delta]
    assert "[DONE]" == done
    assert CALL == {
        "name": "".join(call.get("name", "") for call in calls),
        "arguments": "".join(call["arguments"] for call in calls),
    }
    assert not any("tool_calls" in delta for delta in deltas)
    assert "function_call" == chunks[-1]["choices"][0]["finish_reason"]


async def test_a_caller_of_tools_has_tool_calls() -> None:
    """Nothing changes for those who offer tools, whatever else they say."""
    got, _ = await answered("chat", {**OLDER, "tools": [{"type": "function", "function": {"name": "f"}}]})

    assert CALL == got.json()["choices"][0]["message"]["tool_calls"][0]["function"]


async def test_one_call_is_asked_for() -> None:
    """Of APIs that would make several, for which the older form has no room."""
    _, of_messages = await answered("messages", OLDER)
    _, of_responses = await answered("responses", OLDER)

    assert {"type": "auto", "disable_parallel_tool_use": True} == of_messages["tool_choice"]
    assert of_responses["parallel_tool_calls"] is False
