"""What a model thought goes back to its vendor with the next turn of a caller in Python, as it was signed or encrypted."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from autonomousai import Anthropic, OpenAICompatible
from autonomousai.testing import Script, ScriptedServer

Json = dict[str, Any]

HELLO = [{"role": "user", "content": "Hello"}]
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]

#: What Anthropic's model says: a thought, one that is not shown, and a call.
THOUGHT: Json = {"type": "thinking", "thinking": "Hm.", "signature": "SIGNED=="}
HIDDEN: Json = {"type": "redacted_thinking", "data": "HIDDEN=="}
USE: Json = {"type": "tool_use", "id": "call_1", "name": "f", "input": {}}

#: What OpenAI's says.
ITEM: Json = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "Hm."}],
    "encrypted_content": "ENCRYPTED==",
}
CALL: Json = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}

#: And what OpenRouter says of Gemini's.
DETAIL: Json = {"type": "reasoning.encrypted", "data": "GEMINI==", "index": 0}
CHAT_CALL: Json = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def answer_of(kind: str, *, stream: bool) -> Script:
    """The answer with thoughts and a call, of a server of that kind."""
    if kind == "anthropic":
        parts = (THOUGHT, HIDDEN, USE)
        return Script.messages(*parts, finish="tool_use") if stream else Script.message(*parts, finish="tool_use")
    if kind == "responses":
        return Script.responses(ITEM, CALL) if stream else Script.response(ITEM, CALL)
    said = {"content": "", "reasoning": "Hm.", "reasoning_details": [DETAIL], "tool_calls": [CHAT_CALL]}
    choice: Json = {"index": 0, "finish_reason": "tool_calls"}
    answer = {"model": "m", "choices": [{**choice, "delta" if stream else "message": {"role": "assistant", **said}}]}
    return Script.body(f"data: {json.dumps(answer)}\n\ndata: [DONE]\n\n") if stream else Script.status(200, answer)


def provider_of(kind: str, url: str) -> Anthropic | OpenAICompatible:
    if kind == "anthropic":
        return Anthropic(url, api_key="k")
    return OpenAICompatible(f"{url}/v1", api="responses" if kind == "responses" else "chat")


def thoughts_in(kind: str, asked: Json) -> list[Json]:
    """What a request holds of thoughts, in the server's own form."""
    if kind == "responses":
        return [{name: item[name] for name in ITEM} for item in asked["input"] if item["type"] == "reasoning"]
    said = asked["messages"][1]
    return list(said["content"][:-1] if kind == "anthropic" else said["reasoning_details"])


EXPECTED: dict[str, list[Json]] = {"anthropic": [THOUGHT, HIDDEN], "responses": [ITEM], "chat": [DETAIL]}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("kind", EXPECTED)
async def test_an_answer_as_a_message_holds_what_was_signed(kind: str, stream: bool) -> None:
    """Anthropic and Gemini refuse a turn after a call without it, and OpenAI's models lose what they thought."""
    async with ScriptedServer(answer_of(kind, stream=stream)) as server, provider_of(kind, server.url) as provider:
        first = provider.chat("m", HELLO, stream=stream, tools=TOOLS)
        await first
        result = {"role": "tool", "tool_call_id": "call_1", "content": "42"}
        await provider.chat("m", [*HELLO, first.as_message(), result], stream=stream, tools=TOOLS)

    assert EXPECTED[kind] == thoughts_in(kind, server.requests[1].json())


async def test_without_a_call_an_answer_is_its_text() -> None:
    """No vendor wants thoughts back then, and they are tokens."""
    async with ScriptedServer(Script.messages(THOUGHT, "Hello")) as server, Anthropic(server.url, api_key="k") as provider:
        result = provider.chat("m", HELLO)
        await result

    assert {"role": "assistant", "content": "Hello"} == result.as_message()


@dataclass
class Block:
    """A block as Anthropic's SDK returns it, by the methods that pydantic's models have."""

    held: Json

    def model_dump(self, *, mode: str, exclude_none: bool) -> Json:
        return self.held


RESULT: Json = {"type": "tool_result", "tool_use_id": "call_1", "content": "42"}
WHOLE: Json = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "tool_use", "usage": {}}

TURNS: dict[str, Any] = {
    "the blocks in a message": {"role": "assistant", "content": [Block(THOUGHT), Block(HIDDEN), Block(USE)]},
    "blocks in a tuple": {"role": "assistant", "content": (Block(THOUGHT), HIDDEN, Block(USE))},
    "the answer itself": Block({**WHOLE, "content": [THOUGHT, HIDDEN, USE]}),
    "an answer that was dumped": {**WHOLE, "content": [THOUGHT, HIDDEN, USE]},
}


@pytest.mark.parametrize("said", TURNS.values(), ids=TURNS)
async def test_what_anthropics_sdk_returned_is_a_turn(said: Any) -> None:
    """Its answers go back as they came: the result was said to be of no call, and the thoughts were lost."""
    turns = [*HELLO, said, {"role": "user", "content": [{**RESULT, "cache_control": {"type": "ephemeral"}}]}]
    async with ScriptedServer() as server, Anthropic(server.url, api_key="k") as provider:
        await provider.chat("m", turns, tools=TOOLS)

    _, answered, result = server.requests[0].json()["messages"]
    assert {"role": "assistant", "content": [THOUGHT, HIDDEN, USE]} == answered
    assert {"role": "user", "content": [{**RESULT, "cache_control": {"type": "ephemeral"}}]} == result


@pytest.mark.parametrize("content", [[THOUGHT, {"type": "text", "text": "Hello"}], [HIDDEN, "Hello"]])
async def test_a_block_of_thoughts_is_no_part_of_chat_completions(content: list[Any]) -> None:
    """Servers refuse a content with a part that they do not know."""
    turns = [*HELLO, {"role": "assistant", "content": content}, *HELLO]
    async with ScriptedServer() as server, OpenAICompatible(f"{server.url}/v1") as provider:
        await provider.chat("m", turns)

    said = server.requests[0].json()["messages"][1]
    assert [{"type": "text", "text": "Hello"}] == said["content"]
    assert [content[0]] == said["thinking_blocks"]
