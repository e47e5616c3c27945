"""`OpenAICompatible(api="responses")`: what goes to a server that speaks the Responses API, and what comes back."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from autonomousai import OpenAICompatible, StreamError
from autonomousai.errors import IncompleteStreamError, StatusError
from autonomousai.events import Reasoning, ToolCall, ToolCalls, Usage
from autonomousai.testing import Head, Pause, Script, ScriptedServer, Send
from autonomousai.wires.registry import OPENAI_RESPONSES
from tests.wires.responses import (
    USAGE,
    added,
    arguments,
    call,
    completed,
    created,
    delta,
    event,
    message,
    part,
    response,
    stream,
    summary,
    thought,
)

HELLO = [{"role": "user", "content": "Hello"}]


def sends(*events: Any) -> Script:
    return Script.body(stream(*events))


def provider_of(server: ScriptedServer, **more: Any) -> OpenAICompatible:
    return OpenAICompatible(f"{server.url}/v1", api="responses", **more)


async def test_the_request_goes_to_responses() -> None:
    """With the bearer key, in the words of that API; the upstream is to keep nothing."""
    async with (
        ScriptedServer(sends(created(), delta("a"), completed())) as server,
        provider_of(server, api_key="k") as provider,
    ):
        text = await provider.create_async_generator("m", HELLO, stream=True, max_tokens=9, temperature=0).text()
        request = server.requests[0]

    assert text == "a"
    assert (request.path, request.headers["authorization"]) == ("/v1/responses", "Bearer k")
    assert request.json() == {
        "input": [{"type": "message", **HELLO[0]}],
        "max_output_tokens": 9,
        "temperature": 0,
        "model": "m",
        "stream": True,
        "store": False,
    }


async def test_an_answer_is_what_any_other_is() -> None:
    """Reasoning, text, calls, a reason and usage."""
    events = (
        summary("hm"),
        delta("Hi", 1),
        added(call(arguments=""), 2),
        arguments("{}", 2),
        completed(usage=USAGE),
    )
    async with ScriptedServer(sends(created(), *events)) as server, provider_of(server) as provider:
        async with provider.create_async_generator("m", HELLO, stream=True) as result:
            chunks = [chunk async for chunk in result]

    assert chunks[:3] == [Reasoning("hm"), "Hi", ToolCalls((ToolCall("call_1", "f", "{}"),))]
    assert result.finish is not None
    assert (result.finish.reason, result.finish.usage) == ("tool_calls", Usage(3, 2, 5, 1, 1))


async def test_an_answer_in_one_document() -> None:
    """Not streamed, it is one JSON object."""
    body = json.dumps(response(output=[thought("hm"), message(part("Hi"))], usage=USAGE))
    async with ScriptedServer(Script.status(200, body)) as server, provider_of(server) as provider:
        result = provider.create_async_generator("m", HELLO)
        text = await result.text()

    assert text == "Hi"
    assert server.requests[0].json()["stream"] is False


FAILED = event("failed", response=response("failed", error={"code": "server_error", "message": "broke"}))


@pytest.mark.parametrize(("last", "error"), [([FAILED], StreamError), ([], IncompleteStreamError)])
async def test_an_answer_without_its_end_is_an_error_with_what_came(last: list[Any], error: type[Exception]) -> None:
    """The upstream's own words, or that nothing proved an end; the text that came is kept."""
    async with ScriptedServer(sends(created(), delta("Hi"), *last)) as server, provider_of(server) as provider:
        with pytest.raises(error) as caught:
            await provider.create_async_generator("m", HELLO, stream=True).text()

    assert caught.value.partial == "Hi"  # type: ignore[attr-defined]


async def test_what_this_api_cannot_say_is_refused_before_anything_is_sent() -> None:
    """By an error that names the field."""
    async with ScriptedServer() as server, provider_of(server) as provider:
        with pytest.raises(StatusError, match="n: "):
            await provider.create_async_generator("m", HELLO, n=2).text()
        with pytest.raises(StatusError, match="stop"):
            await provider.create_async_generator("m", HELLO, stop=["x"], logprobs=True).text()

    assert not server.requests


@pytest.mark.parametrize(
    ("stop", "events", "text", "reason"),
    [
        ("STOP", [delta("one ST"), delta("OP two")], "one ", "stop"),
        (["x", "STOP"], [delta("one ST"), delta("ART"), delta(" x")], "one START ", "stop"),
        (["STOP"], [delta("one ST")], "one ST", "stop"),
        (["STOP"], [added(call(arguments=""), 0), arguments('"STOP"', 0), delta("one STOP", 1)], "one ", "tool_calls"),
    ],
)
@pytest.mark.parametrize("streamed", [True, False])
async def test_an_answer_ends_at_a_stop_text(stop: Any, events: list[Any], text: str, reason: str, streamed: bool) -> None:
    """The API has no word for it: the client cuts the answer there, and leaves the upstream."""
    script = sends(created(), *events, completed(usage=USAGE))
    async with ScriptedServer(script) as server, provider_of(server) as provider:
        result = provider.create_async_generator("m", HELLO, stream=streamed, stop=stop)
        said = await result.text()

    assert (text, reason) == (said, result.finish and result.finish.reason)
    assert "stop" not in server.requests[0].json()


async def test_a_text_is_checked_as_the_server_sent_it_beside_stop_texts() -> None:
    """Another server of this package says what it sent, of which a part came before."""
    pause = Pause()
    sent = hashlib.sha256(b"one two").hexdigest()
    rest = stream(delta(" two"), {**completed(), "x_autonomousai": {"length": 7, "sha256": sent}})
    script = Script(Head(), Send(stream(created(), delta("one"))), pause, Send(rest))
    async with ScriptedServer(script) as server, provider_of(server) as provider:
        said = []
        async for piece in provider.create_async_generator("m", HELLO, stream=True, stop=["STOP"]).texts():
            said.append(piece)
            pause.release()

    assert "one two" == "".join(said)


async def test_an_upstream_is_left_at_a_stop_text() -> None:
    """One that says no more, and does not end, is not waited for."""
    async with ScriptedServer(Script.stall("one ", "STOP", api="responses")) as server, provider_of(server) as provider:
        text = await provider.create_async_generator("m", HELLO, stream=True, stop=["STOP"]).text()

    assert "one " == text


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_an_answer_without_room_for_a_word_is_one(api: Any, streamed: bool) -> None:
    """OpenAI refuses it with a 400, after it has thought; agents that try a model with one token believe that there is none."""
    said = "Could not finish the message because max_tokens or model output limit was reached. Please try again."
    script = Script.status(400, {"error": {"message": said, "type": "invalid_request_error"}})
    async with ScriptedServer(script) as server, OpenAICompatible(f"{server.url}/v1", api=api) as provider:
        result = provider.create_async_generator("m", HELLO, stream=streamed, max_tokens=1)
        text = await result.text()

    assert result.finish is not None
    assert ("", "length", 1, 1) == (text, result.finish.reason, len(result.finish.notes), len(server.requests))


async def test_a_conversation_that_the_server_keeps_is_passed_on() -> None:
    """As the caller sent it."""
    sent = {"conversation": "conv_1", "prompt": {"id": "pmpt_1"}, "instructions": "Be brief."}
    asked = OPENAI_RESPONSES.decode_request(json.dumps({**sent, "stream": True}).encode(), "/v1/responses")
    async with ScriptedServer(sends(created(), delta("a"), completed())) as server, provider_of(server) as provider:
        text = "".join([event async for batch in provider.stream(asked) for event in batch if isinstance(event, str)])
        (request,) = server.requests

    assert ("a", "/v1/responses") == (text, request.path)
    assert sent == {name: value for name, value in request.json().items() if name in sent}


async def test_an_answer_is_not_continued() -> None:
    """This API has no word for that, and nothing is tried out."""
    async with ScriptedServer() as server, provider_of(server) as provider:
        assert await provider.continues() is False

    assert not server.requests


def test_another_api_is_an_error() -> None:
    """That names those that there are."""
    with pytest.raises(ValueError, match="chat, responses"):
        OpenAICompatible("http://localhost/v1", api="assistants")  # type: ignore[arg-type]


async def test_tokens_are_counted_beside_responses() -> None:
    """Of what a count is made of alone; a server that cannot is not asked twice."""
    async with ScriptedServer(Script.status(200, {"object": "response.input_tokens", "input_tokens": 14})) as server:
        async with provider_of(server) as provider:
            count = await provider.count_prompt("m", HELLO, max_tokens=9, stop=["x"], temperature=0)
        (request,) = server.requests

    assert (14, "/v1/responses/input_tokens") == (count, request.path)
    assert {"model": "m", "input": [{"type": "message", **HELLO[0]}]} == request.json()

    async with ScriptedServer(Script.status(404, {})) as server, provider_of(server) as provider:
        for _ in range(2):
            with pytest.raises(StatusError, match="count"):
                await provider.count_prompt("m", HELLO)

    assert 1 == len(server.requests)
