"""Upstreams whose answers are complete to whoever believes a status of 200, and are not: the gateway asks the next one, or
finishes what they began. Over real sockets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from autonomousai import OpenAICompatible
from autonomousai.config import RetryConfig
from autonomousai.errors import HTTPError, IncompleteStreamError, StatusError, StreamError
from autonomousai.gateway import Gateway, Upstream
from autonomousai.testing import Script, ScriptedServer
from autonomousai.testing.completions import chunks, event
from autonomousai.testing.steps import End, Head, Send

HELLO = [{"role": "user", "content": "Hello"}]

#: Streams of no word: each is an empty stream or an error, whatever its end looks like.
NOTHING: dict[str, bytes] = {
    "[DONE] behind no chunk": event("[DONE]"),
    "comments alone": b": ping\n\n" * 3,
    "comments and [DONE]": b": ping\n\n" + event("[DONE]"),
    "a role and an abort": chunks("", finish="abort"),
    "a role and [DONE]": chunks(finish=None),
    "an error in a field of its own": chunks(finish=None, done=False)
    + b'error: {"code":500,"message":"m"}\n\n'
    + event("[DONE]"),
    "an error in MiniMax's words": event({"choices": None, "base_resp": {"status_code": 1002, "status_msg": "rate limit"}}),
    "an error in Zhipu's words": event({"code": "1305", "msg": "busy"}) + event("[DONE]"),
    "an empty chunk before the error": chunks(done=False, finish=None) + event({"error": {"message": "boom"}}),
}

#: Streams of half an answer.
HALVES: dict[str, bytes] = {
    name: chunks("Hel", "lo", finish=name) for name in ("abort", "error", "network_error", "MALFORMED_FUNCTION_CALL")
} | {
    "usage in mid-answer, and no end": chunks("Hel", "lo", finish=None, done=False),
    "the reason 'null', and no end": chunks("Hel", "lo", finish="null", done=False),
}


def script(body: bytes) -> Script:
    return Script(Head(), Send(body), End())


def upstream(name: str, server: ScriptedServer) -> Upstream:
    return Upstream(name, OpenAICompatible(server.url, prefill="yes"))


async def ask(*servers: ScriptedServer, stream: bool = True) -> tuple[str, list[str]]:
    """The text that a caller of a gateway before these servers gets, and the outcomes of the attempts."""
    names = [f"u{number}" for number in range(len(servers))]
    made = [upstream(*pair) for pair in zip(names, servers, strict=True)]
    async with Gateway(made, {"llama": names}, retry=RetryConfig(attempts=1, backoff=0)) as gateway:
        result = gateway.create_async_generator("llama", HELLO, stream=stream)
        text = await result.text()
    assert result.report is not None
    return text, [attempt.outcome for attempt in result.report.attempts]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("body", NOTHING.values(), ids=NOTHING)
async def test_an_answer_of_nothing_is_asked_elsewhere(body: bytes, stream: bool) -> None:
    """No empty text passes as an answer: the next upstream gives it."""
    async with ScriptedServer(script(body)) as bad, ScriptedServer(Script.stream("Hello")) as good:
        text, outcomes = await ask(bad, good, stream=stream)

    assert "Hello" == text
    assert (2, "ok") == (len(outcomes), outcomes[-1])


@pytest.mark.parametrize("body", HALVES.values(), ids=HALVES)
async def test_half_an_answer_is_finished_elsewhere(body: bytes) -> None:
    """A reason that says that the answer broke off ends nothing: the next upstream continues the text."""
    async with ScriptedServer(script(body)) as bad, ScriptedServer(Script.stream(", you")) as good:
        text, outcomes = await ask(bad, good)

    assert "Hello, you" == text
    assert (2, "ok") == (len(outcomes), outcomes[-1])


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"choices": [{"message": {"content": "Hel"}, "finish_reason": "abort"}]}, "broke the answer off"),
        (
            {"choices": [{"message": {"content": "Hel"}, "finish_reason": "stop", "native_finish_reason": "error"}]},
            "broke the answer off",
        ),
        ({"choices": [{"message": {"content": "Hel"}, "finish_reason": "stop", "error": {"message": "boom"}}]}, "boom"),
        (
            {
                "choices": [{"message": {"content": "Hel"}, "finish_reason": "stop"}],
                "base_resp": {"status_code": 1027, "status_msg": "sensitive"},
            },
            "sensitive",
        ),
    ],
    ids=["abort", "abort behind OpenRouter", "error in the choice", "a vendor's code"],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_a_broken_document_keeps_what_it_holds(document: dict[str, Any], message: str, stream: bool) -> None:
    """The error has the text in ``.partial``, whether a stream was asked for or not."""
    async with (
        ScriptedServer(Script.body(json.dumps(document).encode())) as server,
        OpenAICompatible(server.url) as provider,
    ):
        with pytest.raises(StreamError, match=message) as caught:
            await provider.create_async_generator("m", HELLO, stream=stream).text()

    assert "Hel" == caught.value.partial


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b": ping\n\n" + b'{"error": {"message": "boom"}}', "boom"),
        (chunks("Hel", finish=None, done=False) + b'{"error": {"message": "boom"}}\n', "boom"),
        (b'[{"error": {"code": 400, "message": "boom", "status": "INVALID_ARGUMENT"}}]', "boom"),
        (b'data: {"type": "message_start", "message": {}}\n\n', 'no event of this API: \'{"type": "message_start"'),
        (b"upstream is overloaded", "what came is no event of this API: 'upstream is overloaded'"),
        (
            chunks("Hel", finish=None, done=False) + b"<html>Gateway Timeout\n",
            "what came is no event of this API: '<html>Gateway Timeout'",
        ),
    ],
    ids=["JSON behind a comment", "JSON behind a text", "a list", "another API", "a text", "a page behind a text"],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_what_is_sent_in_the_place_of_events_is_told(body: bytes, words: str, stream: bool) -> None:
    """A server that fails writes of it what it can, and not always as an event."""
    async with ScriptedServer(script(body)) as server, OpenAICompatible(server.url, retries=0) as provider:
        with pytest.raises(HTTPError, match=words) as caught:
            await provider.create_async_generator("m", HELLO, stream=stream).text()

    assert ("Hel" if b"Hel" in body else "") == caught.value.partial


@pytest.mark.parametrize("chunked", [True, False])
async def test_usage_is_evidence_in_good_order_alone(chunked: bool) -> None:
    """A body that the connection's end delimits may have been cut after usage that was counted in between."""
    body = chunks("Hello", finish=None, done=False, usage={"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2})
    played = Script(Head(chunked=chunked), Send(body), End())
    async with ScriptedServer(played) as server, OpenAICompatible(server.url) as provider:
        result = provider.create_async_generator("m", HELLO, stream=True)
        if chunked:
            assert "Hello" == await result.text()
            assert result.finish is not None
            assert "usage" == result.finish.evidence
        else:
            with pytest.raises(IncompleteStreamError):
                await result.text()


async def test_an_error_behind_the_end_is_reported_and_no_other_words_are_added() -> None:
    """A guard that refuses the answer afterwards, or counting that fails: the text is complete, and has no rest."""
    told = b'data: {"error": {"message": "the usage could not be counted", "type": "server_error"}}\n\n'
    async with ScriptedServer() as first, ScriptedServer() as second:
        first.play(Script(Head(), Send(chunks("The sky is blue.", done=False)), Send(told)))
        second.play(Script(Head(), Send(chunks(" And green."))))
        upstreams = [
            Upstream(name, OpenAICompatible(f"{server.url}/v1", prefill="yes"))
            for name, server in (("first", first), ("second", second))
        ]
        async with Gateway(upstreams, {"llama": ["first", "second"]}) as gateway:
            with pytest.raises(StreamError, match="could not be counted") as caught:
                await gateway.create_async_generator("llama", HELLO, stream=True).text()

    assert "The sky is blue." == caught.value.partial
    assert [] == second.requests


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (400, {"message": "Your credit balance is too low to access the API.", "type": "invalid_request_error"}),
        (400, {"message": "API key not valid. Please pass a valid API key.", "code": 400, "status": "INVALID_ARGUMENT"}),
        (400, {"message": "The model `m` has been decommissioned.", "code": "model_decommissioned"}),
        (400, {"message": "m does not support tools", "type": "api_error", "code": None}),
        (400, {"message": "Unsupported value: 'temperature'", "code": "unsupported_value", "param": "temperature"}),
        (410, {"message": "The model 'm' has reached its end of life"}),
        (424, {"message": "Request failed during generation"}),
    ],
    ids=["money", "key", "model", "tools", "value", "gone", "failed"],
)
async def test_a_refusal_that_says_nothing_of_the_request_is_asked_elsewhere(status: int, said: dict[str, Any]) -> None:
    """Many servers answer 400 where only they cannot: the next upstream can."""
    refusal = Script.status(status, {"error": said})
    async with ScriptedServer(refusal) as bad, ScriptedServer(Script.stream("Hello")) as good:
        text, outcomes = await ask(bad, good)

    assert ("Hello", ["status", "ok"]) == (text, outcomes)


async def test_a_wrong_request_is_not_asked_elsewhere() -> None:
    """Whoever is asked would refuse it."""
    refusal = Script.status(400, {"error": {"message": "temperature: must be at most 2", "type": "invalid_request_error"}})
    async with ScriptedServer(refusal) as bad, ScriptedServer(Script.stream("Hello")) as good:
        with pytest.raises(StatusError, match="at most 2"):
            await ask(bad, good)

    assert [] == good.requests


async def test_an_answer_that_broke_off_while_it_thought_is_given_elsewhere() -> None:
    """Nothing of it was said: another one is no blend, whatever it thinks before."""
    broken = script(chunks({"reasoning_content": "Hm"}, finish=None, done=False))
    other = Script.stream({"reasoning_content": "Well"}, "Hello")
    async with ScriptedServer(broken) as bad, ScriptedServer(other) as good:
        text, outcomes = await ask(bad, good)

    assert ("Hello", ["cut", "ok"]) == (text, outcomes)


async def test_a_call_that_broke_off_is_no_thought() -> None:
    """Its pieces are with the caller: another call behind them would be a blend."""
    call = {"index": 0, "id": "x", "type": "function", "function": {"name": "f", "arguments": '{"a'}}
    broken = script(chunks({"reasoning_content": "Hm"}, {"tool_calls": [call]}, finish=None, done=False))
    async with ScriptedServer(broken) as bad, ScriptedServer(Script.stream("Hello")) as good:
        with pytest.raises(IncompleteStreamError):
            await ask(bad, good)
