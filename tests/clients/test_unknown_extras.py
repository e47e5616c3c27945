"""What agents send to Anthropic unasked is left out before servers of the Messages API that refuse it, and what says nothing
before any server; what a caller asked for in so many words is not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from autonomousai import Anthropic, StatusError
from autonomousai.clients.adaptations import ADAPTATIONS, other_form
from autonomousai.clients.messages_forms import MessagesAdaptations, OwnAdaptations
from autonomousai.clients.unknown_extras import refused_betas, without_betas
from autonomousai.errors import HTTPError
from autonomousai.request import ChatRequest
from autonomousai.testing import Script, ScriptedServer
from autonomousai.testing.server import Request
from autonomousai.wires.foreign_errors import read_error
from autonomousai.wires.registry import ANTHROPIC_MESSAGES

HI = [{"role": "user", "content": "Hi"}]
TOOL = {"name": "f", "input_schema": {"type": "object", "properties": {"scope": {}, "strict": {}}}}
ADVISOR = {"type": "advisor_20260301", "name": "advisor"}
BASH = {"type": "bash_20250124", "name": "bash"}
MARK = {"type": "ephemeral"}


def extra(path: str) -> str:
    return f"{path}: Extra inputs are not permitted"


def refusal(said: str) -> HTTPError:
    return read_error(
        400, json.dumps({"type": "error", "error": {"type": "invalid_request_error", "message": said}}).encode(), {}
    )


def marked(count: int) -> list[dict[str, Any]]:
    return [{"type": "text", "text": str(i), "cache_control": MARK} for i in range(count)]


#: What a request says, what a server says of it, and what the server is asked then; None: the refusal is the answer.
REFUSALS: list[tuple[dict[str, Any], str, dict[str, Any] | None]] = [
    *(
        ({name: value}, extra(name), {})
        for name, value in {
            "context_management": {"edits": []},
            "anthropic_beta": ["x"],
            "speed": "fast",
            "service_tier": "auto",
            "mcp_servers": [],
            "thinking": {"type": "adaptive"},
            "output_config": {"effort": "high"},
        }.items()
    ),
    ({"mcp_servers": [{"name": "x"}]}, extra("mcp_servers"), None),
    ({"temperature": 0.5}, extra("temperature"), None),
    ({"output_config": {"format": {"type": "json_schema"}}}, extra("output_config"), None),
    ({"context_management": {}}, "context_management.edits.0.type: Extra inputs are not permitted", None),
    ({"context_management": {}}, "Unknown parameter: 'context_management'.", {}),
    *(
        ({"tools": [{**TOOL, name: True}]}, extra(f"tools.0.custom.{name}"), {"tools": [TOOL]})
        for name in ("input_examples", "defer_loading", "eager_input_streaming", "allowed_callers")
    ),
    ({"tools": [{**TOOL, "defer_loading": True}]}, "Unknown parameter: 'tools[0].defer_loading'.", {"tools": [TOOL]}),
    (
        {"system": [{"type": "text", "text": "S", "cache_control": {**MARK, "scope": "global"}}], "tools": [TOOL]},
        extra("system.0.cache_control.ephemeral.scope"),
        {"system": [{"type": "text", "text": "S", "cache_control": MARK}], "tools": [TOOL]},
    ),
    (
        {"tools": [{**TOOL, "cache_control": {**MARK, "ttl": "1h"}}]},
        extra("tools.0.custom.cache_control.ephemeral.ttl"),
        {"tools": [{**TOOL, "cache_control": MARK}]},
    ),
    ({"tools": [{**TOOL, "cache_control": MARK}]}, extra("tools.0.custom.cache_control"), {"tools": [TOOL]}),
    (
        {"system": marked(6)},
        "A maximum of 4 blocks with cache_control may be provided. Found 6.",
        {"system": [{"type": "text", "text": "0"}, {"type": "text", "text": "1"}, *marked(6)[2:]]},
    ),
    (
        {"tools": [TOOL, ADVISOR]},
        "tools[1]: unknown variant `advisor_20260301`, expected `web_search_20250305` or `web_search_20260209`",
        {"tools": [TOOL]},
    ),
    (
        {"tools": [ADVISOR], "tool_choice": {"type": "auto"}},
        "tools.0: Input tag 'advisor_20260301' found using 'type' does not match any of the expected tags: 'custom'",
        {},
    ),
    (
        {"tools": [ADVISOR, BASH]},
        "tools.1: Input tag 'bash_20250124' found using 'type' does not match any of the expected tags: 'advisor_20260301'",
        None,
    ),
    (
        {"tools": [TOOL, ADVISOR], "tool_choice": {"type": "tool", "name": "advisor"}},
        "unknown variant `advisor_20260301`",
        None,
    ),
    (
        {"max_tokens": 32000},
        "max_tokens: 32000 > 8192, which is the maximum allowed number of output tokens for claude-3-5-haiku",
        {"max_tokens": 8192},
    ),
    (
        {"max_tokens": 32000, "thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}},
        "adaptive thinking is not supported on this model",
        {"max_tokens": 32000, "thinking": {"type": "enabled", "budget_tokens": 1024}},
    ),
    ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, "This model does not support thinking.", {}),
]


@pytest.mark.parametrize("rows", [OwnAdaptations.rows, MessagesAdaptations.rows], ids=["own", "translated"])
@pytest.mark.parametrize(("fields", "said", "expected"), REFUSALS, ids=[said[:60] for _, said, _ in REFUSALS])
def test_what_a_server_does_not_know_is_left_out(
    fields: dict[str, Any], said: str, expected: dict[str, Any] | None, rows: Any
) -> None:
    """Once, by a refusal in the words of the vendors; schemas keep members of the same names."""
    if rows is MessagesAdaptations.rows and "temperature" in fields:
        return  # a caller of another API may not have chosen it: its own table
    body = {"model": "m", "max_tokens": 9, "messages": HI}
    form = other_form(json.dumps({**body, **fields}).encode(), refusal(said), rows)

    assert (None if expected is None else {**body, **expected}) == (form and json.loads(form[1]))


NEEDLESS: list[tuple[dict[str, Any], str, bool]] = [
    ({"n": 1}, "n", True),
    ({"n": 2}, "n", False),
    ({"logprobs": False}, "logprobs", True),
    ({"logprobs": True}, "logprobs", False),
    ({"seed": None}, "seed", False),
    ({"stop": None}, "stop", True),
    ({"service_tier": "auto"}, "service_tier", True),
    ({"service_tier": "flex"}, "service_tier", False),
    ({"parallel_tool_calls": False}, "parallel_tool_calls", True),
    ({"client_metadata": {"a": "b"}}, "client_metadata", True),
    ({"include": ["reasoning.encrypted_content"]}, "include", True),
    ({"include": ["file_search_call.results"]}, "include", False),
    ({"tool_choice": "auto"}, "tool_choice", True),
    ({"tool_choice": "auto", "tools": [{}]}, "tool_choice", False),
    ({"temperature": 0.2}, "temperature", False),
]


@pytest.mark.parametrize(("fields", "name", "is_left_out"), NEEDLESS)
@pytest.mark.parametrize(
    "said", ["Unsupported parameter: '{}' is not supported with this model.", "Unrecognized request argument supplied: {}"]
)
def test_what_says_nothing_is_left_out(fields: dict[str, Any], name: str, is_left_out: bool, said: str) -> None:
    """Also of a caller of the server's own API."""
    form = other_form(json.dumps({"model": "m", **fields}).encode(), refusal(said.format(name)), ADAPTATIONS)

    assert is_left_out == (form is not None and name not in json.loads(form[1]))


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("Unexpected value(s) `a-1`, `c-3` for the `anthropic-beta` header.", "b-2"),
        ("invalid beta flag", ""),
        ("messages: a-1 must not be empty", None),
    ],
)
def test_which_marks_of_features_are_refused(said: str, left: str | None) -> None:
    """Those that the refusal names, or all where it names none."""
    marks = "a-1, b-2,c-3"
    refused = refused_betas(marks, said)

    assert left == (without_betas(marks, refused).strip() if refused else None)


def messages_request(betas: str, **fields: Any) -> ChatRequest:
    """A request of the Messages API, with the header that asks for features in beta."""
    body = {"model": "m", "max_tokens": 9, "stream": True, "messages": HI, **fields}
    request = ANTHROPIC_MESSAGES.decode_request(json.dumps(body).encode(), "/v1/messages")
    assert request.origin is not None
    return replace(request, origin=replace(request.origin, headers={"anthropic-beta": betas}))


def of_bedrock(request: Request) -> Script:
    """A server that knows one feature, and no edits of the context."""
    marks = [mark for mark in request.headers.get("anthropic-beta", "").split(",") if mark]
    if any(mark != "known-1" for mark in marks):
        return Script.status(400, {"error": {"message": f"Unexpected value(s) `{marks[-1]}` for the `anthropic-beta` header."}})
    if "context_management" in request.json():
        return Script.status(400, {"error": {"message": extra("context_management")}})
    return Script.messages("Hello")


async def test_what_was_refused_is_not_sent_again() -> None:
    """Neither marks of features nor members."""
    request = messages_request("known-1,b-2,c-3", context_management={"edits": []})
    async with ScriptedServer(of_bedrock) as server, Anthropic(server.url, api_key="k") as provider:
        for _ in range(2):
            batches = [batch async for batch in provider.stream(request)]
            assert "Hello" == "".join(str(event) for batch in batches for event in batch)

    asked = [(each.headers.get("anthropic-beta"), "context_management" in each.json()) for each in server.requests]
    assert [
        ("known-1,b-2,c-3", True),
        ("known-1,b-2", True),
        ("known-1", True),
        ("known-1", False),
        ("known-1", False),
    ] == asked


async def test_a_refusal_of_marks_that_repeats_itself_is_the_answer() -> None:
    """A server that says so of a request without them is asked once more, and not for ever."""
    request = messages_request("a-1")
    async with (
        ScriptedServer(lambda _: Script.status(400, {"error": {"message": "invalid beta flag"}})) as server,
        Anthropic(server.url, api_key="k") as provider,
    ):
        with pytest.raises(StatusError, match="invalid beta flag"):
            [batch async for batch in provider.stream(request)]

    assert ["a-1", None] == [each.headers.get("anthropic-beta") for each in server.requests]
