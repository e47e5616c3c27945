"""The AutonomousAI wire as its clients see it: the endpoints, the ways to send messages, the finish reason at both places."""

from __future__ import annotations

import base64
import json

import pytest

from autonomousai.clients.autonomousai import AutonomousAI
from autonomousai.errors import StatusError
from autonomousai.events import Usage
from autonomousai.testing import ScriptedProvider, answer
from tests.support.sockets import ask, events, request, text_of

PATHS = {
    "/api/v1/ai/chat": "llama",
    "/api/v1/ai/chat-hermes": "hermes",
    "/api/v1/ai/chat-vision": "vision",
    "/api/v1/ai/summary": "summary",
}
MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Grüße 🌍"}]


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def body(**more: object) -> dict[str, object]:
    """A request as the public clients send it."""
    return {"messages": encoded(json.dumps(MESSAGES)), "threadId": "llama", "stream": True, "aiAgent": "llama", **more}


@pytest.mark.parametrize("path", PATHS)
async def test_a_stream_names_the_finish_reason_at_both_places(port, path):
    """Each endpoint streams chunks; clients find the finish reason inside the choice and beside it."""
    got = await ask(port, request("POST", path, body()))

    *chunks, done = events(got.body)
    assert (200, "Hello world", "[DONE]") == (got.status, text_of(chunks), done)
    assert ("stop", "stop") == (chunks[-1]["finish_reason"], chunks[-1]["choices"][0]["finish_reason"])


async def test_a_stream_tells_its_usage_unasked(serve, provider):
    """In the chunk with the finish reason, so that nobody trips over one more; our own client knows what an answer took."""
    provider.play(answer("Hello", usage=Usage(5, 2, 7)))
    serving = await serve()

    got = await ask(serving.port, request("POST", "/api/v1/ai/chat", body()))
    async with AutonomousAI(f"http://127.0.0.1:{serving.port}") as client:
        async with client.create_async_generator("llama", MESSAGES, stream=True) as result:
            await result.text()

    *chunks, _ = events(got.body)
    assert [7] == [chunk["usage"]["total_tokens"] for chunk in chunks if "usage" in chunk]
    assert Usage(5, 2, 7) == result.finish.usage


async def test_a_whole_answer_names_it_at_both_places_too(port):
    """Without `stream`, which is off by default, the answer is one document."""
    asked = body()
    del asked["stream"]

    got = await ask(port, request("POST", "/api/v1/ai/chat", asked))

    document = got.json()
    assert "Hello world" == document["choices"][0]["message"]["content"]
    assert ("stop", "stop") == (document["finish_reason"], document["choices"][0]["finish_reason"])


@pytest.mark.parametrize("path", PATHS)
async def test_the_path_says_which_model_is_meant(port, provider, path):
    """Without aiAgent and model, each path has its own."""
    await ask(port, request("POST", path, {"messages": encoded("Hello")}))

    assert PATHS[path] == provider.calls[0].model


@pytest.mark.parametrize("agent", ["qwen_coder", "qwen-2.5-coder-32b", "hermes"])
async def test_the_agent_goes_over_the_path(port, provider, agent):
    """aiAgent tells apart what shares a path."""
    await ask(port, request("POST", "/api/v1/ai/chat", body(aiAgent=agent)))

    assert agent == provider.calls[0].model


@pytest.mark.parametrize(
    "messages",
    [
        encoded(json.dumps(MESSAGES)),
        encoded(json.dumps(MESSAGES, ensure_ascii=False)),
        encoded(json.dumps(MESSAGES, indent=1)).rstrip("="),
        base64.urlsafe_b64encode(json.dumps(MESSAGES).encode()).decode(),
        MESSAGES,
    ],
)
async def test_messages_arrive_however_they_were_packed(port, provider, messages):
    """Standard or url-safe base64, padded or not, of JSON in either spelling, and the plain list."""
    got = await ask(port, request("POST", "/api/v1/ai/chat", body(messages=messages)))

    assert (200, MESSAGES) == (got.status, provider.calls[0].messages)


async def test_a_bare_prompt_is_a_users_message(port, provider):
    """base64 of anything but an array of objects is a prompt."""
    await ask(port, request("POST", "/api/v1/ai/chat", body(messages=encoded("What is [1, 2]?"))))

    assert [{"role": "user", "content": "What is [1, 2]?"}] == provider.calls[0].messages


async def test_the_fields_of_chat_completions_are_read_too(port, provider):
    """Beside the wire's own fields, which stay here."""
    asked = body(max_tokens=5, temperature=0, userId="6c0d", useTool=False)

    await ask(port, request("POST", "/api/v1/ai/chat", asked))

    assert {"max_tokens": 5, "temperature": 0} == provider.calls[0].kwargs


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("change", "status", "param"),
    [
        ({"messages": "!!!"}, 400, "messages"),
        ({"messages": 5}, 400, "messages"),
        ({"messages": None}, 400, "messages"),
        ({"messages": encoded("[]")}, 400, "messages"),
        ({"messages": encoded('[{"role": 5, "content": "x"}]')}, 400, "messages[0].role"),
        ({"messages": base64.b64encode(b"\xff\xfe").decode()}, 400, "messages"),
        ({"messages": encoded('[{"content":' + "[" * 5000 + "]" * 5000 + "}]")}, 400, "messages"),
        ({"aiAgent": "gpt-5"}, 404, "model"),
        ({"aiAgent": 5}, 400, "aiAgent"),
        ({"stream": "yes"}, 400, "stream"),
        ({"max_tokens": "5"}, 400, "max_tokens"),
        ({"proxy": "http://evil.example"}, 400, "proxy"),
    ],
)
async def test_a_bad_request_is_told_its_place(port, provider, path, change, status, param):
    """The errors are the OpenAI wire's, on every endpoint; no model is asked."""
    got = await ask(port, request("POST", path, body(**change)))

    assert (status, param, []) == (got.status, got.error["param"], provider.calls)


async def test_a_failure_inside_a_stream_is_an_event(port, provider):
    """The same error object, and then neither finish reason nor [DONE]."""
    provider.play(["Hello", StatusError("gone", status=503, code="overloaded")])

    got = await ask(port, request("POST", "/api/v1/ai/chat", body()))

    *chunks, last = events(got.body)
    assert ("Hello", "overloaded") == (text_of(chunks), last["error"]["code"])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["llama", "qwen_coder", "hermes", "vision", "summary", "llama-3.2-90b"])
async def test_our_own_client_gets_each_model_whole(serve, provider, model, stream):
    """Client and server understand each other over a socket: text, finish reason, and who answered."""
    provider.play(answer("Hel", "lo", finish="length"))

    async with AutonomousAI((await serve()).url) as client:
        result = client.create_async_generator(model, MESSAGES, stream=stream, seed=3)
        text = await result.text()

    assert ("Hello", "length", "finish_reason", "scripted") == (
        text,
        result.finish.reason,
        result.finish.evidence,
        result.model,
    )
    call = provider.calls[0]
    assert (MESSAGES, stream, {"seed": 3}) == (call.messages, call.stream, call.kwargs)
    assert call.model == ScriptedProvider().get_model(model)
