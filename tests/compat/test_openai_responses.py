"""The openai package, unmodified, against the server's Responses API: on the real engine, and on scripted upstreams for what
the engine's small model would say by chance alone."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import openai
import pydantic
import pytest

from autonomousai.errors import IncompleteStreamError, StatusError
from autonomousai.events import FinishReason, LogProbs, Reasoning, Refusal, Started, ToolCallDelta, Usage
from autonomousai.server import create_app
from autonomousai.testing import ScriptedProvider, answer
from tests.support.openresponses import check_response
from tests.support.sockets import listening

TOOL: Any = {
    "type": "function",
    "name": "add",
    "description": "Add two numbers.",
    "parameters": {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
        "additionalProperties": False,
    },
    "strict": True,
}
FIXED: Any = {"model": "llama", "input": "Name three colours.", "max_output_tokens": 30, "temperature": 0}


class Point(pydantic.BaseModel):
    """What a model is asked for."""

    x: int
    y: int


def test_the_engine_calls_a_tool(client: openai.OpenAI) -> None:
    """With arguments that obey the schema."""
    response = client.responses.create(**FIXED, tools=[TOOL], tool_choice="required", parallel_tool_calls=False)

    (call,) = response.output
    assert call.type == "function_call"
    assert ("add", ["a", "b"]) == (call.name, list(json.loads(call.arguments)))


@pytest.fixture
def client(real_server: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{real_server}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
async def scripted(provider: ScriptedProvider) -> AsyncIterator[openai.AsyncOpenAI]:
    """A client of a server around the scripted provider."""
    async with AsyncExitStack() as stack:
        place = await stack.enter_async_context(listening(create_app(provider=provider)))
        url = f"http://127.0.0.1:{place.port}/v1"
        yield await stack.enter_async_context(openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0))


# ---- on the real engine


def test_a_whole_answer_and_a_streamed_one(client: openai.OpenAI) -> None:
    """Text, status, and tokens that add up; the stream says the same, in pieces."""
    whole = client.responses.create(**FIXED)
    with client.responses.create(**FIXED, stream=True) as stream:
        events = list(stream)

    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert whole.output_text
    assert whole.usage is not None
    assert whole.usage.total_tokens == whole.usage.input_tokens + whole.usage.output_tokens
    assert len(deltas) > 3
    assert events[-1].type in {"response.completed", "response.incomplete"}
    assert "".join(deltas) == events[-1].response.output_text
    check_response(json.loads(whole.model_dump_json(warnings=False)))


def test_an_answer_that_is_too_long(client: openai.OpenAI) -> None:
    """It is incomplete, and says why."""
    response = client.responses.create(model="llama", input="Count to a hundred.", max_output_tokens=3)

    assert ("incomplete", "max_output_tokens") == (
        response.status,
        response.incomplete_details and response.incomplete_details.reason,
    )


def test_a_schema_is_obeyed(client: openai.OpenAI) -> None:
    """What `parse` asks for is what it gets."""
    response = client.responses.parse(model="llama", input="A point.", text_format=Point, max_output_tokens=60, temperature=0)

    assert isinstance(response.output_parsed, Point)


def test_a_conversation_is_sent_back_as_it_came(client: openai.OpenAI) -> None:
    """The items of an answer are input of the next request."""
    first = client.responses.create(**FIXED)
    items: Any = [
        {"role": "user", "content": "Name three colours."},
        *first.output,
        {"role": "user", "content": "And one more."},
    ]

    assert client.responses.create(model="llama", input=items, max_output_tokens=5).output_text


def test_errors_are_the_clients_own(client: openai.OpenAI) -> None:
    """Each with the field that it is about."""
    with pytest.raises(openai.NotFoundError) as missing:
        client.responses.create(model="none", input="Hello")
    with pytest.raises(openai.BadRequestError) as wrong:
        client.responses.create(model="llama", input="Hello", max_output_tokens=0)

    assert ("model", "model_not_found") == (missing.value.param, missing.value.code)
    assert "max_output_tokens" == wrong.value.param


# ---- on scripted upstreams


async def test_a_loop_of_tools(scripted: openai.AsyncOpenAI, provider: ScriptedProvider) -> None:
    """The call, its output sent back, and the answer; the upstream sees one conversation."""
    provider.play(
        answer(Reasoning("Add"), "Let me", ToolCallDelta(0, "call_1", "add", '{"a":2,'), ToolCallDelta(0, arguments='"b":3}')),
        answer("5"),
    )
    items: list[Any] = [{"role": "user", "content": "2 + 3?"}]
    first = await scripted.responses.create(model="llama", input=items, tools=[TOOL])
    (call,) = [item for item in first.output if item.type == "function_call"]
    given = json.loads(call.arguments)
    items += first.output
    items.append({"type": "function_call_output", "call_id": call.call_id, "output": str(given["a"] + given["b"])})
    second = await scripted.responses.create(model="llama", input=items, tools=[TOOL])

    assert ("add", "call_1", "5") == (call.name, call.call_id, second.output_text)
    assert [
        {"role": "user", "content": "2 + 3?"},
        {
            "role": "assistant",
            "content": "Let me",
            "reasoning_content": "Add",
            "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a":2,"b":3}'}}],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "5"},
    ] == provider.calls[1].messages


async def test_the_helper_folds_a_stream(scripted: openai.AsyncOpenAI, provider: ScriptedProvider) -> None:
    """Its snapshots and its final response have all that came."""
    usage = Usage(3, 4, 7, 1, 2)
    provider.play(
        answer(
            Reasoning("Hm"), "Hel", "lo", ToolCallDelta(0, "call_1", "add", '{"a":1,'), ToolCallDelta(0, arguments='"b":2}'),
            ToolCallDelta(1, "call_2", "add", '{"a":3,"b":4}'), finish="tool_calls", usage=usage,
        )
    )  # fmt: skip
    texts, arguments = [], []
    async with scripted.responses.stream(model="llama", input="Hello", tools=[TOOL]) as stream:
        async for event in stream:
            if event.type == "response.output_text.delta":
                texts.append(event.snapshot)
            elif event.type == "response.function_call_arguments.done":
                arguments.append(event.arguments)
        final = await stream.get_final_response()

    assert ["Hel", "Hello"] == texts
    assert ['{"a":1,"b":2}', '{"a":3,"b":4}'] == arguments
    assert ("Hello", ["reasoning", "message", "function_call", "function_call"]) == (
        final.output_text,
        [item.type for item in final.output],
    )
    assert final.usage is not None
    assert (3, 4, 7, 1, 2) == (
        final.usage.input_tokens,
        final.usage.output_tokens,
        final.usage.total_tokens,
        final.usage.input_tokens_details.cached_tokens,
        final.usage.output_tokens_details.reasoning_tokens,
    )


async def test_the_helper_parses_a_stream(scripted: openai.AsyncOpenAI, provider: ScriptedProvider) -> None:
    """By the schema that it had sent."""
    provider.play(answer('{"x":1,', '"y":2}'))
    async with scripted.responses.stream(model="llama", input="A point.", text_format=Point) as stream:
        final = await stream.get_final_response()

    assert Point(x=1, y=2) == final.output_parsed
    assert "json_schema" == provider.calls[0].kwargs["response_format"]["type"]
    assert "Point" == provider.calls[0].kwargs["response_format"]["json_schema"]["name"]


async def test_what_else_an_answer_may_hold(scripted: openai.AsyncOpenAI, provider: ScriptedProvider) -> None:
    """Log probabilities, a refusal, a call of a custom tool: each is the client's own type."""
    token = {"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}
    provider.play([[Started("m"), LogProbs([token]), "Hi"], Refusal("no"), ToolCallDelta(0, "c", "patch", '{"input":"x"}'),
                   FinishReason("stop", "finish_reason")])  # fmt: skip
    tool: Any = {"type": "custom", "name": "patch"}
    response = await scripted.responses.create(
        model="llama", input="Hello", tools=[tool], include=["message.output_text.logprobs"], top_logprobs=1
    )

    message, call = response.output
    assert message.type == "message"
    text, refusal = message.content
    assert text.type == "output_text"
    assert text.logprobs is not None
    assert ("Hi", -0.5) == (text.logprobs[0].token, text.logprobs[0].logprob)
    assert ("refusal", "no") == (refusal.type, getattr(refusal, "refusal", None))
    assert ("custom_tool_call", "x") == (call.type, getattr(call, "input", None))
    assert {"logprobs": True, "top_logprobs": 1} == {
        name: value for name, value in provider.calls[0].kwargs.items() if "logprobs" in name
    }


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (StatusError("too long", status=400, code="context_length_exceeded"), openai.BadRequestError),
        (StatusError("slow down", status=429, retry_after=5), openai.RateLimitError),
        (StatusError("broken", status=500), openai.InternalServerError),
        (IncompleteStreamError(), openai.InternalServerError),
    ],
)
async def test_an_error_before_the_answer(
    scripted: openai.AsyncOpenAI, provider: ScriptedProvider, error: Exception, kind: type[Exception]
) -> None:
    """Is an error of the client, also where a stream was asked for."""
    provider.play([error])
    for stream in (False, True):
        with pytest.raises(kind):
            await scripted.responses.create(model="llama", input="Hello", stream=stream)


async def test_an_error_in_the_midst(scripted: openai.AsyncOpenAI, provider: ScriptedProvider) -> None:
    """The last event is a response that failed; nothing is completed."""
    provider.play(["Hel", IncompleteStreamError()])
    events = [event async for event in await scripted.responses.create(model="llama", input="Hello", stream=True)]

    assert "response.failed" == events[-1].type
    assert events[-1].response.error is not None
    assert "server_error" == events[-1].response.error.code
    assert "response.completed" not in {event.type for event in events}
