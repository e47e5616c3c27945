"""Anthropic's SDK for Python, and LangChain's part for it, unmodified: against the engine, and before scripted upstreams."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from langchain_anthropic import ChatAnthropic
from pydantic import SecretStr

from autonomousai import OpenAICompatible
from autonomousai.server import create_app
from autonomousai.testing import Script
from autonomousai.testing.server import Request
from tests.support.sockets import ask, listening, request
from tests.support.thread import served

QUESTION: Any = {
    "model": "llama",
    "max_tokens": 40,
    "system": "You are brief.",
    "messages": [{"role": "user", "content": "Name three colours."}],
    "extra_body": {"temperature": 0},
}
WEATHER: Any = {
    "name": "weather",
    "description": "The weather at a place.",
    "input_schema": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
}


def hello(model: str = "llama", **more: Any) -> Any:
    return {"model": model, "max_tokens": 40, "messages": [{"role": "user", "content": "Hello"}], **more}


@pytest.fixture
def engine(real_server: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=real_server, api_key="none", max_retries=0) as client:
        yield client


def test_the_engine_calls_a_tool(engine: anthropic.Anthropic) -> None:
    """The one that it must, with an input that obeys the schema."""
    question = {**QUESTION, "tools": [WEATHER], "tool_choice": {"type": "tool", "name": "weather"}, "max_tokens": 80}
    with engine.messages.stream(**question) as stream:
        final = stream.get_final_message()

    (block,) = final.content
    assert block.type == "tool_use"
    assert ("weather", "tool_use", ["place"]) == (block.name, final.stop_reason, list(block.input))


@pytest.fixture
def scripted(scripted_server: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=scripted_server, api_key="none", max_retries=0) as client:
        yield client


def test_a_message_whole_and_streamed_is_the_same(engine: anthropic.Anthropic) -> None:
    """Text, usage, who answered, and the request's name."""
    whole = engine.messages.create(**QUESTION)
    with engine.messages.stream(**QUESTION) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()

    assert whole.content[0].type == final.content[0].type == "text"
    assert whole.content[0].text == final.content[0].text == text
    assert ("smollm2-135m", "assistant", "message") == (final.model, final.role, final.type)
    assert whole.usage == final.usage
    assert final.usage.input_tokens > 5 < final.usage.output_tokens
    assert final.stop_reason in ("end_turn", "max_tokens")
    assert (whole._request_id or "").removeprefix("req_") == whole.id.removeprefix("msg_")


async def test_the_async_client_reads_raw_events(real_server: str) -> None:
    """In their order; each is what the SDK knows."""
    async with anthropic.AsyncAnthropic(base_url=real_server, auth_token="none", max_retries=0) as client:
        names = [event.type async for event in await client.messages.create(**QUESTION, stream=True)]

    assert ["message_start", "content_block_start", "content_block_delta"] == names[:3]
    assert ["content_block_stop", "message_delta", "message_stop"] == names[-3:]


def test_tokens_are_counted(engine: anthropic.Anthropic) -> None:
    """As the engine counts them when it answers."""
    asked = {name: QUESTION[name] for name in ("model", "system", "messages")}

    assert engine.messages.create(**QUESTION).usage.input_tokens == engine.messages.count_tokens(**asked).input_tokens


def test_a_beginning_is_continued(engine: anthropic.Anthropic) -> None:
    """A last message of the assistant; the answer is the rest."""
    messages: Any = [*QUESTION["messages"], {"role": "assistant", "content": "Red, green and"}]

    got = engine.messages.create(**{**QUESTION, "messages": messages}).content[0]

    assert got.type == "text"
    assert not got.text.startswith("Red")


@pytest.mark.parametrize(
    ("change", "kind", "status", "type"),
    [
        ({"model": "claude-9"}, anthropic.NotFoundError, 404, "not_found_error"),
        ({"max_tokens": -1}, anthropic.BadRequestError, 400, "invalid_request_error"),
        ({"messages": []}, anthropic.BadRequestError, 400, "invalid_request_error"),
    ],
)
def test_errors_are_of_the_sdks_classes(
    engine: anthropic.Anthropic, change: Any, kind: type[anthropic.APIStatusError], status: int, type: str
) -> None:
    """With the request's name, the type and a message."""
    with pytest.raises(kind) as caught:
        engine.messages.create(**{**QUESTION, **change})

    body: Any = caught.value.body
    assert (status, type, caught.value.request_id) == (caught.value.status_code, body["error"]["type"], body["request_id"])
    assert body["error"]["message"] in str(caught.value)


def test_a_refused_request_is_tried_again(scripted_server: str) -> None:
    """As the status and the header say."""
    with anthropic.Anthropic(base_url=scripted_server, api_key="none", max_retries=2) as client:
        got = client.messages.create(**hello("limited")).content[0]

    assert got.type == "text"
    assert "There is room" == got.text


def test_thinking_is_a_block_before_the_text(scripted: anthropic.Anthropic) -> None:
    """Streamed and whole; the SDK takes both for what they are, and takes them back in the next turn."""
    whole = scripted.messages.create(**hello("thinks"))
    with scripted.messages.stream(**hello("thinks")) as stream:
        names = [event.type for event in stream]
        final = stream.get_final_message()
    again = scripted.messages.create(
        **hello("thinks", messages=[{"role": "user", "content": "a"}, whole.to_param(), {"role": "user", "content": "b"}])
    )

    for message in (whole, final, again):
        said = [(block.type, getattr(block, "thinking", None) or getattr(block, "text", None)) for block in message.content]
        assert [("thinking", "Hm, yes."), ("text", "I think so.")] == said
    assert "thinking" in names


def test_a_tool_is_called_and_its_result_read(scripted: anthropic.Anthropic) -> None:
    """By hand, streamed."""
    with scripted.messages.stream(**hello(tools=[WEATHER])) as stream:
        asked = stream.get_final_message()
    use = asked.content[0]
    assert use.type == "tool_use"
    result: Any = {"type": "tool_result", "tool_use_id": use.id, "content": [{"type": "text", "text": "21 degrees"}]}
    messages: Any = [*hello()["messages"], asked.to_param(), {"role": "user", "content": [result]}]
    answered = scripted.messages.create(**hello(tools=[WEATHER], messages=messages)).content[0]

    assert ("weather", {"place": "Paris"}, "tool_use") == (use.name, use.input, asked.stop_reason)
    assert answered.type == "text"
    assert "In Paris it is 21 degrees." == answered.text


@pytest.mark.parametrize("streamed", [False, True])
def test_the_tool_runner_runs_to_the_end(scripted: anthropic.Anthropic, streamed: bool) -> None:
    """The SDK's own loop: it calls the function, sends what it returns, and ends with the answer. It wants the conversation to
    be kept, hears that it is not, and sends all of it: were that passed over, it would ask for the tool for ever."""

    @anthropic.beta_tool
    def weather(place: str) -> str:
        """The weather at a place.

        Args:
            place: Where.
        """
        return f"fine in {place}"

    runner = scripted.beta.messages.tool_runner(**hello(tools=[weather], stream=streamed))
    last = runner.until_done()

    assert "In Paris it is fine in Paris." == last.content[0].text


@pytest.mark.parametrize("streamed", [False, True])
def test_a_broken_answer_is_an_error(scripted: anthropic.Anthropic, streamed: bool) -> None:
    """Never a message that looks whole."""
    with pytest.raises(anthropic.APIStatusError) as caught:
        if streamed:
            with scripted.messages.stream(**hello("broken")) as stream:
                stream.get_final_message()
        else:
            scripted.messages.create(**hello("broken"))

    body: Any = caught.value.body
    assert "api_error" == body["error"]["type"]


# ---- LangChain -----------------------------------------------------------------------------------------------------------


def langchain(url: str, **more: Any) -> ChatAnthropic:
    return ChatAnthropic(model_name="llama", base_url=url, api_key=SecretStr("none"), max_tokens=40, max_retries=0, **more)


def test_langchain_invokes_and_streams(real_server: str) -> None:
    """The pieces are the whole, and the tokens are counted once."""
    model = langchain(real_server, temperature=0)

    whole = model.invoke("Name three colours.")
    pieces = list(model.stream("Name three colours."))
    joined = pieces[0]
    for piece in pieces[1:]:
        joined += piece

    assert whole.text == joined.text
    assert whole.usage_metadata is not None
    assert joined.usage_metadata is not None
    for counted in ("input_tokens", "output_tokens", "total_tokens"):
        assert whole.usage_metadata[counted] == joined.usage_metadata[counted]  # type: ignore[literal-required]


def test_langchain_calls_a_tool(scripted_server: str) -> None:
    """Whole and streamed."""
    model = langchain(scripted_server).bind_tools([WEATHER])

    whole: Any = model.invoke("How warm is it in Paris?")
    joined: Any = None
    for piece in model.stream("How warm is it in Paris?"):
        joined = piece if joined is None else joined + piece

    for got in (whole, joined):
        assert [("weather", {"place": "Paris"})] == [(call["name"], call["args"]) for call in got.tool_calls]


# ---- what Claude Code sends ------------------------------------------------------------------------------------------------


def claude_code_request() -> dict[str, Any]:
    """A request of the shape and the size that Claude Code sends: about 25,000 tokens of system prompt and tools."""
    cached = {"type": "ephemeral", "ttl": "1h"}
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "additionalProperties": False}
    tools = [
        {
            "name": f"Tool{number}",
            "description": f"Does the thing of number {number}. " + "It is described at length, with examples. " * 60,
            "input_schema": {
                **schema,
                "properties": {"path": {"type": "string", "description": "Where."}},
                "required": ["path"],
            },
        }
        for number in range(20)
    ]
    tools += [{"type": "web_search_20250305", "name": "web_search", "max_uses": 8}]
    call = {"type": "tool_use", "id": "toolu_01", "name": "Tool1", "input": {"path": "a.py"}}
    result = {"type": "tool_result", "tool_use_id": "toolu_01", "content": "1\timport os", "cache_control": cached}
    return {
        "model": "llama",
        "max_tokens": 32000,
        "stream": True,
        "system": [
            {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.300.abc; cc_entrypoint=sdk-cli; cch=00e6f;"},
            {"type": "text", "text": "You are Claude Code.", "cache_control": cached},
            {"type": "text", "text": "Follow these rules. " * 3000, "cache_control": cached},
        ],
        "tools": tools,
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "<system-reminder>Today is a day.</system-reminder>"},
                    {"type": "text", "text": "Read a.py", "cache_control": cached},
                ],
            },
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm", "signature": "EqQB"}, call]},
            {"role": "user", "content": [result, {"type": "text", "text": "<system-reminder>Go on.</system-reminder>"}]},
        ],
        "metadata": {"user_id": json.dumps({"device_id": "d" * 64, "account_uuid": "", "session_id": "s" * 36})},
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "medium"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "betas": ["claude-code-20250219"],
    }


HEADERS = {
    "authorization": "Bearer any",
    "anthropic_version": "2023-06-01",
    "anthropic_beta": "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27",
    "x_app": "cli",
    "user_agent": "claude-cli/2.1.300 (external, sdk-cli)",
    "x_stainless_retry_count": "0",
}


async def test_what_claude_code_sends_is_answered() -> None:
    """`HEAD /`, a count, and a streamed request of 25,000 tokens; its upstream, of chat completions, gets what it can use."""
    seen: list[Request] = []

    def upstream(asked: Request) -> Script:
        if asked.path.endswith("/input_tokens"):
            return Script.status(404)
        seen.append(asked)
        return Script.stream("Done", ".")

    with served(upstream) as at:
        async with OpenAICompatible(f"{at.url}/v1", retries=0) as provider, listening(create_app(provider=provider)) as serving:
            body = claude_code_request()
            head = await ask(serving.port, request("HEAD", "/", **HEADERS))
            count = await ask(serving.port, request("POST", "/v1/messages/count_tokens?beta=true", body, **HEADERS))
            answer = await ask(serving.port, request("POST", "/v1/messages?beta=true", body, **HEADERS))

    assert 200 == head.status
    assert (404, "not_found_error") == (count.status, count.json()["error"]["type"])
    assert 200 == answer.status
    assert b"event: message_stop" in answer.body
    sent = seen[-1].json()
    assert ["system", "user", "assistant", "tool", "user"] == [message["role"] for message in sent["messages"]]
    assert sent["messages"][0]["content"].startswith("You are Claude Code.\n\nFollow these rules.")
    assert [f"Tool{number}" for number in range(20)] == [tool["function"]["name"] for tool in sent["tools"]]
    known = {"model", "messages", "stream", "stream_options", "max_tokens", "tools", "user", "reasoning_effort"}
    assert known == sent.keys()
    assert 64 == len(sent["user"])
