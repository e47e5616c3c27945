"""Request fields over HTTP, before an upstream that plays a script and before the embedded engine: the first gets what the
caller sent, whatever it is; the second refuses what it cannot do. What is malformed reaches neither."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from autonomousai.config import Config, LlamaCppConfig, ModelConfig, OpenAIConfig
from autonomousai.server import create_app
from autonomousai.testing import Script, ScriptedServer
from tests.support.sockets import CHAT, Answer, ask, listening, request

pytestmark = pytest.mark.asyncio(loop_scope="module")

Json = dict[str, Any]

HELLO = [{"role": "user", "content": "Hello"}]
FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CUSTOM = {"type": "custom", "custom": {"name": "run", "format": {"type": "text"}}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


@dataclass
class Served:
    """A server of two models: ``llama`` is the engine's, ``big`` the scripted upstream's."""

    port: int
    upstream: ScriptedServer

    async def ask(self, model: str, /, **fields: Any) -> Answer:
        return await ask(self.port, request("POST", CHAT, {"model": model, "messages": HELLO, **fields}))

    async def sent(self, **fields: Any) -> Json:
        """What the scripted upstream got of a request with these fields."""
        before = len(self.upstream.requests)
        got = await self.ask("big", **fields)
        (asked,) = self.upstream.requests[before:]
        assert 200 == got.status, got.body
        body: Json = asked.json()
        return body


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def served() -> AsyncIterator[Served]:
    async with ScriptedServer(Script.stream("Hi", finish="stop")) as upstream:
        config = Config(
            upstreams={"embedded": LlamaCppConfig(), "far": OpenAIConfig(f"{upstream.url}/v1", vision=True)},
            models={"llama": ModelConfig(route=("embedded",)), "big": ModelConfig(route=("far",))},
        )
        async with listening(create_app(config)) as place:
            yield Served(place.port, upstream)


#: Fields as they are passed on, and the place that the engine's refusal names, if it refuses them.
FIELDS: list[tuple[Json, str | None]] = [
    ({"logprobs": True, "top_logprobs": 5}, None),
    ({"logprobs": 5}, "logprobs"),
    ({"n": 5}, "n"),
    ({"stop": ["a", "b", "c", "d", "e", "f"]}, None),
    ({"stop": [str(number) for number in range(65)]}, "stop"),
    ({"temperature": 2.5}, "temperature"),
    ({"temperature": -1}, "temperature"),
    ({"top_p": 1.5}, "top_p"),
    ({"presence_penalty": 3}, "presence_penalty"),
    ({"logit_bias": {"7": 200}}, "logit_bias.7"),
    ({"max_tokens": -1, "top_k": -1, "repetition_penalty": 1.1}, None),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_completion_tokens": 7}, None),
    ({"tools": [CUSTOM]}, "tools[0].type"),
    ({"tools": [FUNCTION, {"type": "web_search", "web_search": {"enable": True}}]}, "tools[1].type"),
    ({"tools": [FUNCTION] * 200}, "tools"),
    (
        {
            "parallel_tool_calls": True,
            "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [FUNCTION]}},
            "tools": [FUNCTION],
        },
        None,
    ),
    ({"tool_choice": "some", "tools": [FUNCTION]}, "tool_choice"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"web_search_options": {"search_context_size": "low"}}, "web_search_options"),
    ({"response_format": {"type": "json_object", "schema": SCHEMA}}, None),
    ({"response_format": {"type": "json_schema", "schema": SCHEMA}}, None),
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
async def test_an_upstream_gets_what_the_caller_sent(served: Served, fields: Json) -> None:
    """Whether it can do that is for it to say."""
    body = await served.sent(**fields)

    assert fields == {name: body.get(name) for name in fields}


async def test_an_upstream_gets_the_options_of_a_stream(served: Served) -> None:
    """Beside ours: usage is always asked for."""
    body = await served.sent(stream=True, stream_options={"continuous_usage_stats": True, "include_obfuscation": False})

    assert {"continuous_usage_stats": True, "include_obfuscation": False, "include_usage": True} == body["stream_options"]


@pytest.mark.parametrize("message", [message for message, _ in MESSAGES], ids=lambda message: f"{message!r:.60}")
async def test_an_upstream_gets_messages_that_only_it_may_know(served: Served, message: Json) -> None:
    """Roles, parts and calls of any type."""
    body = await served.sent(messages=[*HELLO, message])

    assert [*HELLO, message] == body["messages"]


async def test_an_upstream_gets_calls_and_results_with_ids(served: Served) -> None:
    """Which Ollama's API has not, and clients leave out: strict upstreams refuse what has none."""
    function = {"name": "f", "arguments": {"a": 1}}

    body = await served.sent(
        messages=[*HELLO, {"role": "assistant", "tool_calls": [{"function": function}]}, {"role": "tool", "content": "r"}]
    )

    assert ["call_1_0", "call_1_0"] == [body["messages"][1]["tool_calls"][0]["id"], body["messages"][2]["tool_call_id"]]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("fields", "place"), REFUSED, ids=[f"{row!r:.60}" for row in REFUSED])
async def test_the_engine_refuses_what_it_cannot_do(served: Served, fields: Json, place: str, stream: bool) -> None:
    """By name, before anything is generated."""
    got = await served.ask("llama", stream=stream, **fields)

    assert (400, "invalid_request_error", place) == (got.status, got.error["type"], got.error["param"])
    assert got.error["message"].startswith(f"{place}: ")


async def test_the_engine_refuses_options_of_a_stream_that_it_has_not(served: Served) -> None:
    """They would be ignored otherwise."""
    got = await served.ask("llama", stream=True, stream_options={"continuous_usage_stats": True})

    assert (400, "stream_options.continuous_usage_stats") == (got.status, got.error["param"])


@pytest.mark.parametrize(("message", "place"), MESSAGES, ids=[place for _, place in MESSAGES])
async def test_the_engine_refuses_messages_that_it_does_not_know(served: Served, message: Json, place: str) -> None:
    """Its chat template has no place for them."""
    got = await served.ask("llama", messages=[*HELLO, message])

    assert (400, place) == (got.status, got.error["param"])


async def test_the_engine_accepts_what_changes_nothing_there(served: Served) -> None:
    """All of it at once, and a whole answer comes."""
    fields = {name: value for each in ACCEPTED for name, value in each.items()}

    got = await served.ask("llama", **{**fields, "max_completion_tokens": 1})

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
async def test_what_is_malformed_reaches_no_upstream(served: Served, model: str, fields: Json, place: str) -> None:
    """The server names its place."""
    before = len(served.upstream.requests)

    got = await served.ask(model, **fields)

    assert (400, "invalid_request_error", place) == (got.status, got.error["type"], got.error["param"])
    assert before == len(served.upstream.requests)


async def test_options_of_a_stream_without_one_are_refused_in_openais_words(served: Served) -> None:
    """Programs know them."""
    got = await served.ask("big", stream_options={"include_usage": True})

    assert "The 'stream_options' parameter is only allowed when 'stream' is enabled." == got.error["message"]
