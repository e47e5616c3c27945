"""What a model does not take of a request that was written in another API is left out; what was said in its own is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from autonomousai import OpenAICompatible, StatusError
from autonomousai.clients.adaptations import other_form
from autonomousai.clients.translated_forms import TranslatedAdaptations
from autonomousai.request import ChatRequest
from autonomousai.testing import Script, ScriptedServer
from autonomousai.testing.server import Request
from autonomousai.wires.foreign_errors import read_error
from autonomousai.wires.registry import ANTHROPIC_MESSAGES

#: What a request says, what a server says of it, and what the server is asked then; None: the refusal is the answer.
REFUSALS: list[tuple[dict[str, Any], str, dict[str, Any] | None]] = [
    ({"reasoning_effort": "high"}, "Unrecognized request argument supplied: reasoning_effort", {}),
    ({"reasoning_effort": "high"}, "Unsupported parameter: 'reasoning_effort' is not supported with this model.", {}),
    ({"reasoning_effort": "high"}, "Model grok-4 does not support parameter reasoningEffort.", {}),
    ({"reasoning_effort": "high"}, '"llama3.2" does not support thinking', {}),
    ({"reasoning_effort": "xhigh"}, "Input should be 'low', 'medium' or 'high': body.reasoning_effort", {}),
    ({"reasoning": {"effort": "high"}}, "Unsupported parameter: 'reasoning.effort' is not supported with this model.", {}),
    (
        {"reasoning": {"effort": "high", "summary": "auto"}},
        "Unsupported parameter: 'reasoning.effort' is not supported with this model.",
        {"reasoning": {"summary": "auto"}},
    ),
    (
        {"reasoning": {"effort": "high", "summary": "auto"}},
        "Your organization must be verified to generate reasoning summaries. Please go to: https://platform.openai.com/…",
        {"reasoning": {"effort": "high"}},
    ),
    (
        {"reasoning": {"summary": "auto"}},
        "Unsupported parameter: 'reasoning.summary' is not supported with this model.",
        {},
    ),
    ({"reasoning": {"effort": "high"}}, "Unsupported parameter: 'reasoning.summary' is not supported with this model.", None),
    ({"reasoning_effort": "high"}, "messages: must not be empty", None),
    ({}, '"llama3.2" does not support thinking', None),
    (
        {"temperature": 0.2},
        "Unsupported value: 'temperature' does not support 0.2 with this model. Only the default (1) value is supported.",
        {},
    ),
    ({"temperature": 1, "top_p": 0.9}, "Unsupported parameter: 'top_p' is not supported with this model.", {"temperature": 1}),
    ({"top_k": 5}, "Unrecognized request argument supplied: top_k", {}),
    ({"parallel_tool_calls": True}, "Unsupported parameter: 'parallel_tool_calls' is not supported with this model.", {}),
    ({"presence_penalty": 0}, "Unsupported parameter: 'presence_penalty' is not supported with this model.", {}),
    ({"temperature": 3}, "temperature must be at most 2", None),
    (
        {"tools": [{}], "reasoning_effort": "high"},
        "Function tools with reasoning_effort are not supported for gpt-5.6 here. Set reasoning_effort to 'none'.",
        {"tools": [{}], "reasoning_effort": "none"},
    ),
    ({"tool_choice": "required"}, "Thinking mode does not support this tool_choice", {"tool_choice": "auto"}),
    (
        {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        "<400> InternalError: The tool_choice parameter does not support being set to required or object in thinking mode",
        {"tool_choice": "auto"},
    ),
    ({"tool_choice": "auto"}, "Thinking mode does not support this tool_choice", None),
    (
        {"max_output_tokens": 1},
        "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got 1 instead.",
        {"max_output_tokens": 16},
    ),
    ({"max_output_tokens": 1}, "max_output_tokens must be at least 5000", None),
]


@pytest.mark.parametrize(("fields", "said", "expected"), REFUSALS)
def test_a_refusal_asks_for_less(fields: dict[str, Any], said: str, expected: dict[str, Any] | None) -> None:
    """In the words of the vendors that refuse it."""
    error = read_error(400, json.dumps({"error": {"message": said}}).encode(), {})
    form = other_form(json.dumps({"model": "m", **fields}).encode(), error, TranslatedAdaptations.rows)

    assert (None if expected is None else {"model": "m", **expected}) == (form and json.loads(form[1]))


def plain(request: Request) -> Script:
    """A server whose model does not think."""
    if "reasoning_effort" in request.json():
        return Script.status(400, {"error": {"message": "Unrecognized request argument supplied: reasoning_effort"}})
    return Script.stream("Hello")


def messages_request(**fields: Any) -> ChatRequest:
    body = {"model": "m", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": "Hi"}], **fields}
    return ANTHROPIC_MESSAGES.decode_request(json.dumps(body).encode(), "/v1/messages")


async def test_a_caller_of_another_api_is_answered() -> None:
    """One who wanted thoughts of a model that has none; and that is remembered."""
    thinking = {"type": "enabled", "budget_tokens": 16000}
    async with ScriptedServer(plain) as server, OpenAICompatible(server.url) as provider:
        for _ in range(2):
            batches = [batch async for batch in provider.stream(messages_request(thinking=thinking))]
            assert "Hello" == "".join(str(event) for batch in batches for event in batch)
        status = provider.status()

    efforts = [request.json().get("reasoning_effort") for request in server.requests]
    assert ["high", None, None] == efforts
    assert (("m", "no_reasoning_effort"),) == status.adaptations


async def test_a_caller_of_the_servers_api_is_refused() -> None:
    """Also after another API's caller was not: what is asked for in so many words is not left out."""
    async with ScriptedServer(plain) as server, OpenAICompatible(server.url) as provider:
        async for _ in provider.stream(messages_request(thinking={"type": "enabled", "budget_tokens": 1024})):
            pass
        with pytest.raises(StatusError, match="reasoning_effort"):
            await provider.create_async_generator(
                "m", [{"role": "user", "content": "Hi"}], stream=True, reasoning_effort="high"
            ).text()

    assert ["low", None, "high"] == [request.json().get("reasoning_effort") for request in server.requests]
