"""Scripts of the Responses API: what they play is what the API's clients and the published models of it take."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from autonomousai import Anthropic, IncompleteStreamError, OpenAICompatible, Reasoning, StreamError, ToolCalls, Usage
from autonomousai.testing import Close, Script, ScriptedServer, response, response_events
from tests.support.openresponses import check_response, folded, read_events

HELLO = [{"role": "user", "content": "Hello"}]
THOUGHT = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Polite."}]}
CALL = {"type": "function_call", "call_id": "call_1", "name": "wave", "arguments": '{"times": 2}'}
PARTS: list[tuple[Any, ...]] = [(), ("Hel", "lo"), (THOUGHT, "Hel", "lo", CALL), (CALL, CALL), ("a", THOUGHT, "b")]


@pytest.mark.parametrize("parts", PARTS, ids=str)
@pytest.mark.parametrize("finish", ["completed", "incomplete", "failed"])
def test_what_is_streamed_is_what_the_document_says(parts: tuple[Any, ...], finish: str) -> None:
    """Both are held to the models of the specification; the deltas make the items, and the last event is the document."""
    document = check_response(json.loads(response(*parts, finish=finish)))
    events = read_events(response_events(*parts, finish=finish))

    assert document["output"] == folded(events)
    assert (f"response.{finish}", document) == (events[-1]["type"], events[-1]["response"])


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_of_ours_reads_it(stream: bool) -> None:
    """Thoughts, text, calls and usage."""
    usage = {"input_tokens": 3, "output_tokens": 9, "total_tokens": 12}
    play = Script.responses if stream else Script.response
    async with ScriptedServer(play(THOUGHT, "Hel", "lo", CALL, usage=usage)) as server:
        async with OpenAICompatible(f"{server.url}/v1", api="responses") as provider:
            async with provider.create_async_generator("m", HELLO, stream=stream) as result:
                chunks = [chunk async for chunk in result]

    assert "Hello" == "".join(map(str, chunks))
    assert ["Polite."] == [chunk.text for chunk in chunks if isinstance(chunk, Reasoning)]
    calls = [call for chunk in chunks if isinstance(chunk, ToolCalls) for call in chunk.calls]
    assert [("wave", '{"times": 2}')] == [(call.name, call.arguments) for call in calls]
    assert result.finish is not None
    assert Usage(3, 9, 12, cached_tokens=0, reasoning_tokens=0) == result.finish.usage


async def test_openais_package_reads_it() -> None:
    """By its helper, which holds deltas and items together."""
    async with ScriptedServer(Script.responses("Hel", "lo", CALL)) as server:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="k", max_retries=0) as client:
            async with client.responses.stream(model="m", input="Hello") as stream:
                got = await stream.get_final_response()

    assert ("Hello", ["message", "function_call"]) == (got.output_text, [item.type for item in got.output])


@pytest.mark.parametrize("parts", PARTS[1:], ids=str)
async def test_without_a_finish_it_breaks_off(parts: tuple[Any, ...]) -> None:
    """Nothing says that the last item is whole."""
    body = response_events(*parts, finish=None)
    async with ScriptedServer(Script.body(body).then(Close())) as server:
        async with OpenAICompatible(f"{server.url}/v1", api="responses", retries=0) as provider:
            with pytest.raises(IncompleteStreamError):
                await provider.create_async_generator("m", HELLO, stream=True).text()

    assert read_events(body)[-1]["type"].endswith((".delta", ".added"))


async def test_a_failure_is_one() -> None:
    """Streamed, behind a text."""
    async with ScriptedServer(Script.responses("Hel", finish="failed")) as server:
        async with OpenAICompatible(f"{server.url}/v1", api="responses", retries=0) as provider:
            with pytest.raises(StreamError, match="scripted failure") as failed:
                await provider.create_async_generator("m", HELLO, stream=True).text()

    assert "Hel" == failed.value.partial


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", ["messages", "responses"])
async def test_a_server_without_scripts_answers_as_its_path_wants(path: str, stream: bool) -> None:
    """Streamed and whole."""
    async with ScriptedServer() as server:
        async with OpenAICompatible(f"{server.url}/v1", api="responses") as provider:
            async with Anthropic(server.url) as other:
                asked = provider if path == "responses" else other
                text = await asked.create_async_generator("m", HELLO, stream=stream).text()

    assert "Hello world" == text
