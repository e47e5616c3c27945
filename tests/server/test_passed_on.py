"""Request fields over HTTP, before an upstream that plays a script and before the embedded engine: the first gets what the
caller sent, whatever it is; the second refuses what it cannot do. What is malformed reaches neither."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from autonomousai.config import Config, LlamaCppConfig, ModelConfig, OpenAIConfig
from autonomousai.server import create_app
from autonomousai.testing import Script, ScriptedServer
from tests.support.sockets import CHAT, Answer, ask, listening, request

Json = dict[str, Any]

HELLO = [{"role": "user", "content": "Hello"}]
FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CUSTOM = {"type": "custom", "custom": {"name": "run", "format": {"type": "text"}}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


@asynccontextmanager
async def served() -> AsyncIterator[tuple[int, ScriptedServer]]:
    """A server of two models: ``llama`` is the engine's, ``big`` the scripted upstream's."""
    async with ScriptedServer() as upstream:
        config = Config(
            upstreams={"embedded": LlamaCppConfig(), "far": OpenAIConfig(f"{upstream.url}/v1", vision=True)},
            models={"llama": ModelConfig(route=("embedded",)), "big": ModelConfig(route=("far",))},
        )
        async with listening(create_app(config)) as place:
            yield place.port, upstream


async def sent_upstream(**fields: Any) -> Json:
    """What the scripted upstream got of a request with these fields."""
    async with served() as (port, upstream):
        upstream.play(Script.stream("Hi", finish="stop"))
        got = await ask(port, request("POST", CHAT, {"model": "big", "messages": HELLO, **fields}))
    assert 200 == got.status, got.body
    body: Json = upstream.requests[0].json()
    return body


async def told_by_the_engine(**fields: Any) -> Answer:
    """What the engine's route answered."""
    async with served() as (port, _):
        return await ask(port, request("POST", CHAT, {"model": "llama", "messages": HELLO, **fields}))


#: Fields as they are passed on, and the place that the engine's refusal names, if it refuses them.
FIELDS: list[tuple[Json, str | None]] = [
    ({"logprobs": True, "top_logprobs": 5}, "logprobs"),
    ({"logprobs": 5}, "logprobs"),
    ({"n": 3}, "n"),
    ({"stop": ["a", "b", "c", "d", "e", "f"]}, None),
    ({"stop": [str(number) for number in range(65)]}, "stop"),
    ({"temperature": 2.5}, "temperature"),
    ({"temperature": -1}, "temperature"),
    ({"top_p": 1.5}, "top_p"),
    ({"presence_penalty": 3}, "presence_penalty"),
    ({"logit_bias": {"7": 200}}, "logit_bias.7"),
    ({"max_tokens": -1}, "max_tokens"),
    ({"max_completion_tokens": 7}, None),
    ({"tools": [CUSTOM]}, "tools"),
    ({"tools": [FUNCTION, {"type": "web_search", "web_search": {"enable": True}}]}, "tools"),
    ({"tools": [FUNCTION] * 200}, "tools"),
    (
        {
            "parallel_tool_calls": True,
            "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [FUNCTION]}},
            "tools": [FUNCTION],
        },
        "tools",
    ),
    ({"tool_choice": "any", "tools": [FUNCTION]}, "tools"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"web_search_options": {"search_context_size": "low"}}, "web_search_options"),
    ({"response_format": {"type": "json_object", "schema": SCHEMA}}, "response_format.schema"),
    ({"response_format": {"type": "json_schema", "schema": SCHEMA}}, "response_format.json_schema"),
    ({"response_format": {"type": "structural_tag", "structures": []}}, "response_format.type"),
    ({"service_tier": "flex", "prompt_cache_key": "k", "metadata": {"a": "b"}, "store": True}, None),
    ({"user": "u", "safety_identifier": "s", "prediction": {"type": "content", "content": "x"}}, None),
    ({"reasoning_effort": "high", "verbosity": "low", "chat_template_kwargs": {"enable_thinking": False}}, None),
    ({"enable_thinking": False, "thinking": {"type": "enabled", "budget_tokens": 99}}, None),
    ({"guided_json": SCHEMA, "anything": [1, {"two": None}]}, "guided_json"),
]
REFUSED = [(fields, place) for fields, place in FIELDS if place is not None]
ACCEPTED = [fields for fields, place in FIELDS if place is None]

MESSAGES: list[tuple[Json, str]] = [
    ({"role": "critic", "content": "Hm."}, "messages[1].role"),
    ({"role": "user", "content": [{"type": "video_url", "video_url": {"url": "https://x/y.mp4"}}]}, "messages[1].content[0]"),
    ({"role": "user", "content": [{"type": "document", "source": {"data": "x"}}]}, "messages[1].content[0]"),
    ({"role": "assistant", "content": None, "audio": {"id": "audio_1"}}, "messages[1].audio"),
    (
        {"role": "assistant", "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "run", "input": "x"}}]},
        "messages[1].tool_calls",
    ),
]


@pytest.mark.parametrize("fields", [fields for fields, _ in FIELDS], ids=lambda fields: f"{fields!r:.60}")
async def test_an_upstream_gets_what_the_caller_sent(fields: Json) -> None:
    """Whether it can do that is for it to say."""
    body = await sent_upstream(**fields)

    assert fields == {name: body.get(name) for name in fields}


async def test_an_upstream_gets_the_options_of_a_stream() -> None:
    """Beside ours: usage is always asked for."""
    body = await sent_upstream(stream=True, stream_options={"continuous_usage_stats": True, "include_obfuscation": False})

    assert {"continuous_usage_stats": True, "include_obfuscation": False, "include_usage": True} == body["stream_options"]


@pytest.mark.parametrize("message", [message for message, _ in MESSAGES], ids=lambda message: f"{message!r:.60}")
async def test_an_upstream_gets_messages_that_only_it_may_know(message: Json) -> None:
    """Roles, parts and calls of any type."""
    body = await sent_upstream(messages=[*HELLO, message])

    assert [*HELLO, message] == body["messages"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("fields", "place"), REFUSED, ids=[f"{row!r:.60}" for row in REFUSED])
async def test_the_engine_refuses_what_it_cannot_do(fields: Json, place: str, stream: bool) -> None:
    """By name, before anything is generated."""
    got = await told_by_the_engine(stream=stream, **fields)

    assert (400, "invalid_request_error", place) == (got.status, got.error["type"], got.error["param"])
    assert got.error["message"].startswith(f"{place}: ")


async def test_the_engine_refuses_options_of_a_stream_that_it_has_not() -> None:
    """They would be ignored otherwise."""
    got = await told_by_the_engine(stream=True, stream_options={"continuous_usage_stats": True})

    assert (400, "stream_options.continuous_usage_stats") == (got.status, got.error["param"])


@pytest.mark.parametrize(("message", "place"), MESSAGES, ids=[place for _, place in MESSAGES])
async def test_the_engine_refuses_messages_that_it_does_not_know(message: Json, place: str) -> None:
    """Its chat template has no place for them."""
    got = await told_by_the_engine(messages=[*HELLO, message])

    assert (400, place) == (got.status, got.error["param"])


async def test_the_engine_accepts_what_changes_nothing_there() -> None:
    """All of it at once, and a whole answer comes."""
    fields = {name: value for each in ACCEPTED for name, value in each.items()}

    got = await told_by_the_engine(**{**fields, "max_completion_tokens": 1})

    assert (200, 1) == (got.status, got.json()["usage"]["completion_tokens"])


#: What is malformed, and its place.
MALFORMED: list[tuple[Json, str]] = [
    ({"messages": "Hello"}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": [{"content": "Hello"}]}, "messages[0].role"),
    ({"messages": [{"role": "user", "content": [{"text": "a"}]}]}, "messages[0].content[0].type"),
    ({"model": 5}, "model"),
    ({"stream": "yes"}, "stream"),
    ({"temperature": "warm"}, "temperature"),
    ({"top_k": "40"}, "top_k"),
    ({"max_tokens": 1.5}, "max_tokens"),
    ({"n": True}, "n"),
    ({"stop": 5}, "stop"),
    ({"tools": {}}, "tools"),
    ({"tools": [{"type": "function"}]}, "tools[0].function"),
    ({"tool_choice": 5}, "tool_choice"),
    ({"response_format": "json"}, "response_format"),
    ({"response_format": {}}, "response_format.type"),
    ({"metadata": "x"}, "metadata"),
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"stream": True, "stream_options": {"include_usage": "yes"}}, "stream_options.include_usage"),
    ({"api_key": "k"}, "api_key"),
]


@pytest.mark.parametrize("model", ["llama", "big"])
@pytest.mark.parametrize(("fields", "place"), MALFORMED, ids=[f"{row!r:.60}" for row in MALFORMED])
async def test_what_is_malformed_reaches_no_upstream(model: str, fields: Json, place: str) -> None:
    """The server names its place."""
    async with served() as (port, upstream):
        got = await ask(port, request("POST", CHAT, {"model": model, "messages": HELLO, **fields}))

    assert (400, "invalid_request_error", place) == (got.status, got.error["type"], got.error["param"])
    assert [] == upstream.requests


async def test_options_of_a_stream_without_one_are_refused_in_openais_words() -> None:
    """Programs know them."""
    async with served() as (port, _):
        body = {"model": "big", "messages": HELLO, "stream_options": {"include_usage": True}}
        got = await ask(port, request("POST", CHAT, body))

    assert "The 'stream_options' parameter is only allowed when 'stream' is enabled." == got.error["message"]
