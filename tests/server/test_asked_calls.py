"""A chat caller's custom tools, and names that another API does not take: calls come back as their caller offered the tools."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from autonomousai.config import parse_config
from autonomousai.server import create_app
from autonomousai.testing import Script, ScriptedServer
from autonomousai.testing.server import Request
from tests.support.sockets import CHAT, Answer, Connection, ask, events, listening, request

Json = dict[str, Any]

HI = {"role": "user", "content": "Hi"}
GRAMMAR = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /.+/"}}
PATCH = {"type": "custom", "custom": {"name": "apply.patch", "description": "Edits.", "format": GRAMMAR}}
READ = {"type": "function", "function": {"name": "files.read", "parameters": {"type": "object", "properties": {}}}}
#: As they are offered where dots are no part of a name.
OFFERED = ["apply_patch_43d978a7", "files_read_601e4eb6"]
TURN = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {"id": "c1", "type": "custom", "custom": {"name": "apply.patch", "input": "+a"}},
        {"id": "c2", "type": "function", "function": {"name": "files.read", "arguments": "{}"}},
    ],
}
RESULTS = [{"role": "tool", "tool_call_id": f"c{number}", "content": "done"} for number in (1, 2)]
ASKED: Json = {"model": "llama", "messages": [HI, TURN, *RESULTS], "tools": [PATCH, READ]}


def messages(asked: Request) -> Script:
    """An upstream of Messages that calls each tool."""
    patch, read = (tool["name"] for tool in asked.json()["tools"])
    return Script.messages(
        "Now.",
        {"type": "tool_use", "id": "t1", "name": patch, "input": {"input": "*** Begin\n+b"}},
        {"type": "tool_use", "id": "t2", "name": read, "input": {"path": "x"}},
        finish="tool_use",
    )


def responses(asked: Request) -> Script:
    """An upstream of Responses that does."""
    patch, read = (tool["name"] for tool in asked.json()["tools"])
    return Script.responses(
        "Now.",
        {"type": "custom_tool_call", "call_id": "t1", "name": patch, "input": "*** Begin\n+b"},
        {"type": "function_call", "call_id": "t2", "name": read, "arguments": '{"path": "x"}'},
    )


UPSTREAMS = {"anthropic": messages, "responses": responses}

CALLS = [
    {"id": "t1", "type": "custom", "custom": {"name": "apply.patch", "input": "*** Begin\n+b"}},
    {"id": "t2", "type": "function", "function": {"name": "files.read", "arguments": '{"path": "x"}'}},
]


async def answered(kind: str, body: Json, **headers: str) -> tuple[Answer, Json]:
    """Return the answer to *body* over chat completions, and what the upstream was asked."""
    play: Callable[[Request], Script] = UPSTREAMS[kind]
    async with ScriptedServer(play) as server:
        keys = (
            f'kind = "anthropic"\nbase_url = "{server.url}"\napi_key = "k"'
            if kind == "anthropic"
            else f'kind = "openai"\nbase_url = "{server.url}/v1"\napi = "responses"'
        )
        config = parse_config(f'[upstreams.u]\n{keys}\n[models.llama]\nroute = ["u"]\n', {})
        async with listening(create_app(config)) as place:
            got = await ask(place.port, request("POST", CHAT, body, **headers))
            assert 200 == got.status, got.body
            if headers:
                async with Connection(place.port) as connection:
                    again = request("GET", f"/v1/streams/{got['x-stream-id']}?wire=openai_chat")
                    got = await connection.ask(again)
            return got, server.requests[0].json()


@pytest.mark.parametrize("kind", UPSTREAMS)
async def test_a_document_has_the_calls_that_were_offered(kind: str) -> None:
    """The text of a custom tool is no JSON."""
    got, _ = await answered(kind, ASKED)

    [choice] = got.json()["choices"]
    assert "tool_calls" == choice["finish_reason"]
    assert CALLS == choice["message"]["tool_calls"]


@pytest.mark.parametrize("headers", [{}, {"x_stream_resumable": "1"}], ids=["streamed", "read again"])
@pytest.mark.parametrize("kind", UPSTREAMS)
async def test_so_has_a_stream(kind: str, headers: dict[str, str]) -> None:
    """Also where it is read again from what was recorded."""
    got, _ = await answered(kind, {**ASKED, "stream": True}, **headers)

    *chunks, done = events(got.body)
    pieces = [call for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls", ())]
    custom = [piece for piece in pieces if piece.get("type") == "custom"]
    functions = [piece["function"] for piece in pieces if "function" in piece]
    assert "[DONE]" == done
    assert [{**CALLS[0], "index": 0}] == custom
    assert "files.read" == "".join(each.get("name", "") for each in functions)
    assert '{"path": "x"}' == "".join(each["arguments"] for each in functions)
    assert "tool_calls" == chunks[-1]["choices"][0]["finish_reason"]


async def test_an_upstream_of_messages_has_functions() -> None:
    """A custom tool is one of a text, with its grammar in words; calls of before and the choice name it as it is offered."""
    choice = {"type": "custom", "custom": {"name": "apply.patch"}}
    _, asked = await answered("anthropic", {**ASKED, "tool_choice": choice})

    patch, read = asked["tools"]
    calls = asked["messages"][1]["content"]
    assert OFFERED == [patch["name"], read["name"]] == [call["name"] for call in calls]
    assert {"input": "+a"} == calls[0]["input"]
    assert ["input"] == patch["input_schema"]["required"]
    assert "start: /.+/" in patch["description"]
    assert {"type": "tool", "name": OFFERED[0]} == asked["tool_choice"]


async def test_an_upstream_of_responses_has_custom_tools() -> None:
    """As its API has them, under names that it takes."""
    choice = {"type": "custom", "custom": {"name": "apply.patch"}}
    _, asked = await answered("responses", {**ASKED, "tool_choice": choice})

    assert [("custom", OFFERED[0]), ("function", OFFERED[1])] == [(tool["type"], tool["name"]) for tool in asked["tools"]]
    assert OFFERED == [item["name"] for item in asked["input"] if "name" in item]
    assert {"type": "custom", "name": OFFERED[0]} == asked["tool_choice"]


@pytest.mark.parametrize("stream", [True, False])
async def test_callers_of_responses_have_their_names_back(stream: bool) -> None:
    """What an upstream of Messages calls by another name."""
    tools = [{"type": "custom", "name": "apply.patch"}, {"type": "function", "name": "files.read", "parameters": None}]
    body = {"model": "llama", "input": "Hi", "tools": tools, "stream": stream, "store": False}
    async with ScriptedServer(messages) as server:
        config = parse_config(
            f'[upstreams.u]\nkind = "anthropic"\nbase_url = "{server.url}"\napi_key = "k"\n[models.llama]\nroute = ["u"]\n', {}
        )
        async with listening(create_app(config)) as place:
            got = await ask(place.port, request("POST", "/v1/responses", body))

    response = events(got.body)[-2]["response"] if stream else got.json()
    said = [(item["type"], item["name"]) for item in response["output"] if "name" in item]
    assert [("custom_tool_call", "apply.patch"), ("function_call", "files.read")] == said
