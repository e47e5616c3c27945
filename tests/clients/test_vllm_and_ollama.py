"""vLLM and Ollama as upstreams, in the shapes that their sources have: vLLM 0.32 (`openai/chat_completion/serving.py`) and
Ollama of August 2026 (`middleware/openai.go`, `openai/openai.go`, `server/routes.go`). Each ends and breaks in its own way.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from autonomousai import HTTPError, IncompleteStreamError, OpenAICompatible, StatusError, StreamError
from autonomousai.events import FinishReason, Reasoning, ToolCalls
from autonomousai.server import create_app
from autonomousai.testing import Head, Script, ScriptedServer, Send
from tests.proof.test_faults import gateway
from tests.support.program import PATIENCE
from tests.support.sockets import ask, listening, request

HELLO = [{"role": "user", "content": "Hello"}]

TEXT, USAGE = "The sky is blue.", {"prompt_tokens": 9, "total_tokens": 14, "completion_tokens": 5}
WORDS = ["The", " sky", " is", " blue", "."]

DONE = b"data: [DONE]\n\n"

OVERLOADED = "server busy, please try again.  maximum pending requests exceeded"


def data(document: Any) -> bytes:
    return b"data: " + json.dumps(document, separators=(",", ":")).encode() + b"\n\n"


def vllm(delta: dict[str, Any] | None, finish: str | None = None, **more: Any) -> bytes:
    """A chunk of vLLM's: unset fields are left out, and the last one bears the reason beside an empty text."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    if finish is not None:
        choice["stop_reason"] = None
    head = {"id": "chatcmpl-8f0c", "object": "chat.completion.chunk", "created": 1795990000, "model": "tiny"}
    return data({**head, "choices": [] if delta is None else [choice], **more})


def ollama(delta: dict[str, Any] | None, finish: str | None = None, *, model: str = "tiny", **more: Any) -> bytes:
    """A chunk of Ollama's: each has a fingerprint, and the last one bears the reason beside an empty delta."""
    head = {"id": "chatcmpl-417", "object": "chat.completion.chunk", "created": 1795990000, "model": model}
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return data({**head, "system_fingerprint": "fp_ollama", "choices": choices, **more})


def vllm_text() -> bytes:
    begin = vllm({"role": "assistant", "content": ""})
    words = b"".join(vllm({"content": word}) for word in WORDS)
    return begin + words + vllm({"content": ""}, "stop")


def ollama_text() -> bytes:
    words = b"".join(ollama({"content": word}) for word in WORDS[1:])
    return ollama({"role": "assistant", "content": WORDS[0]}) + words + ollama({}, "stop")


WHOLE = {
    "vllm": vllm_text() + vllm(None, usage=USAGE) + DONE,
    "ollama": ollama_text() + ollama(None, usage=USAGE) + DONE,
}

CALL = ("get_weather", '{"city":"Paris"}')
TOOLS = {
    # vLLM streams the name first, and the arguments in pieces.
    "vllm": vllm({"role": "assistant", "content": ""})
    + vllm({"reasoning": "They want"})
    + vllm({"reasoning": " the weather."})
    + vllm({"tool_calls": [{"id": "c-1", "type": "function", "index": 0, "function": {"name": CALL[0], "arguments": ""}}]})
    + vllm({"tool_calls": [{"index": 0, "function": {"arguments": '{"city":'}}]})
    + vllm({"tool_calls": [{"index": 0, "function": {"arguments": '"Paris"}'}}]})
    + vllm({"content": ""}, "tool_calls")
    + vllm(None, usage=USAGE)
    + DONE,
    # Ollama sends each call complete, with an empty text beside it.
    "ollama": ollama({"role": "assistant", "content": "", "reasoning": "They want"})
    + ollama({"content": "", "reasoning": " the weather."})
    + ollama(
        {
            "content": "",
            "tool_calls": [
                {"id": "call_1", "index": 0, "type": "function", "function": {"name": CALL[0], "arguments": CALL[1]}}
            ],
        }
    )
    + ollama({}, "tool_calls")
    + ollama(None, usage=USAGE)
    + DONE,
}  # fmt: skip

BROKEN = {
    # An engine that dies: vLLM says so in the stream, and sends its [DONE] all the same.
    "vllm's error": (
        vllm({"role": "assistant", "content": ""}) + vllm({"content": "The"}) + vllm({"content": " sky"})
        + data({"error": {"message": "EngineCore has died.", "type": "InternalServerError", "param": None, "code": 500}})
        + DONE,
        StreamError,
    ),
    # A request that was aborted inside: it ends with a reason that is none.
    "vllm's abort": (
        vllm({"role": "assistant", "content": ""}) + vllm({"content": "The"}) + vllm({"content": " sky"})
        + vllm({"content": ""}, "abort") + vllm(None, usage=USAGE) + DONE,
        HTTPError,
    ),
    # A runner that dies: Ollama reads its own error as an empty piece of the answer, and ends the body properly.
    "ollama's error": (
        ollama({"role": "assistant", "content": "The"}) + ollama({"content": " sky"}) + ollama({"content": ""}, model=""),
        IncompleteStreamError,
    ),
}  # fmt: skip


def sse(body: bytes) -> Script:
    """In writes of seven bytes, so that no chunk comes at once."""
    return Script(Head(content_type="text/event-stream; charset=utf-8"), Send(body, every=7))


@pytest.mark.parametrize("server", WHOLE)
async def test_an_answer_is_the_same_from_both(server: str) -> None:
    """Its text, its reason, its tokens."""
    async with ScriptedServer(sse(WHOLE[server])) as upstream, OpenAICompatible(upstream.url) as provider:
        chunks = [chunk async for chunk in provider.create_async_generator("tiny", HELLO, stream=True)]
        asked = upstream.requests[0].json()

    assert {"include_usage": True} == asked["stream_options"]
    assert TEXT == "".join(map(str, chunks))
    finish = chunks[-1]
    assert type(finish) is FinishReason
    assert finish.usage is not None
    assert ("stop", "finish_reason", 9, 5) == (
        finish.reason, finish.evidence, finish.usage.prompt_tokens, finish.usage.completion_tokens,
    )  # fmt: skip


@pytest.mark.parametrize("server", TOOLS)
async def test_reasoning_and_calls_are_the_same_from_both(server: str) -> None:
    """Whether the arguments come in pieces or at once."""
    async with ScriptedServer(sse(TOOLS[server])) as upstream, OpenAICompatible(upstream.url) as provider:
        chunks = [chunk async for chunk in provider.create_async_generator("tiny", HELLO, stream=True)]

    reasoning = "".join(chunk.text for chunk in chunks if isinstance(chunk, Reasoning))
    (calls,) = [chunk.calls for chunk in chunks if isinstance(chunk, ToolCalls)]
    assert ("They want the weather.", "") == (reasoning, "".join(map(str, chunks)))
    assert [CALL] == [(call.name, call.arguments) for call in calls]
    assert isinstance(chunks[-1], FinishReason)
    assert "tool_calls" == chunks[-1].reason


@pytest.mark.parametrize("fault", BROKEN)
async def test_a_broken_answer_is_an_error(fault: str) -> None:
    """With the text that had come, although a [DONE], a reason or a proper end of the body follows."""
    body, error = BROKEN[fault]
    async with ScriptedServer(sse(body)) as upstream, OpenAICompatible(upstream.url) as provider:
        with pytest.raises(error) as raised:
            await provider.create_async_generator("tiny", HELLO, stream=True).text()

    assert "The sky" == raised.value.partial


@pytest.mark.parametrize("other", WHOLE)
@pytest.mark.parametrize("fault", BROKEN)
async def test_a_broken_answer_is_finished_by_another(fault: str, other: str) -> None:
    """The caller gets the complete text, once."""
    body, _ = BROKEN[fault]
    async with ScriptedServer(sse(body)) as first, ScriptedServer(sse(WHOLE[other])) as second:
        async with gateway([first, second], {"idle": PATIENCE}) as route:
            async with route.create_async_generator("llama", HELLO, stream=True, temperature=0) as result:
                text = await result.text()

    assert TEXT == text
    assert 1 == len(second.requests)


@pytest.mark.parametrize(
    ("status", "error", "retryable"),
    [
        (503, {"message": OVERLOADED, "type": "api_error", "param": None, "code": None}, True),
        (404, {"message": "model 'tiny' not found", "type": "not_found_error", "param": None, "code": None}, False),
        (500, {"message": "llama runner process has terminated", "type": "api_error", "param": None, "code": None}, True),
        (503, {"message": "The engine stops.", "type": "ServiceUnavailableError", "param": None, "code": 503}, True),
        (404, {"message": "The model `tiny` does not exist.", "type": "NotFoundError", "param": "model", "code": 404}, False),
        (400, {"message": "max_tokens must be at least 1.", "type": "BadRequestError", "param": None, "code": 400}, False),
    ],
    ids=["ollama is full", "ollama has no model", "ollama's runner died", "vllm ends", "vllm has no model", "vllm refuses"],
)  # fmt: skip
async def test_refusals_say_whether_to_try_again(status: int, error: dict[str, Any], retryable: bool) -> None:
    """In their words. vLLM's code is a number, Ollama's null."""
    async with ScriptedServer(Script.status(status, {"error": error})) as upstream:
        async with OpenAICompatible(upstream.url, retries=0) as provider:
            with pytest.raises(StatusError, match=error["message"].split(".")[0].replace("`", ".")) as raised:
                await provider.create_async_generator("tiny", HELLO, stream=True).text()

    assert (status, retryable) == (raised.value.status, raised.value.retryable)


IDS = [82, 38, 36, 85]


def pieces_with_ids(*, chat: bool) -> bytes:
    """Four tokens with their ids (``return_token_ids``); the prompt's come first, and the last text beside the reason."""
    body = b""
    if chat:
        body = vllm({"role": "assistant", "content": ""}, prompt_token_ids=[2, 43], prompt_text=None)
    for place, (letter, token) in enumerate(zip("oCAr", IDS, strict=True)):
        choice = {"index": 0, "logprobs": None, "finish_reason": "length" if place == 3 else None, "token_ids": [token]}
        if chat:
            choice["delta"] = {"content": letter}
        else:
            choice |= {"text": letter, "stop_reason": None, "prompt_token_ids": None if place else [2, 43]}
        body += data({"id": "x-1", "created": 1795990000, "model": "tiny", "choices": [choice]})
    return body + data({"id": "x-1", "created": 1795990000, "model": "tiny", "choices": [], "usage": USAGE}) + DONE


@pytest.mark.parametrize("chat", [True, False], ids=["chat", "completions"])
async def test_the_ids_of_all_tokens_reach_a_caller_who_does_not_stream(chat: bool) -> None:
    """In one list, as the text is; those of the prompt once."""
    path = "/v1/chat/completions" if chat else "/v1/completions"
    asked = {"messages": HELLO} if chat else {"prompt": "Hello"}
    async with ScriptedServer(sse(pieces_with_ids(chat=chat))) as upstream, OpenAICompatible(upstream.url) as provider:
        async with listening(create_app(provider=provider)) as server:
            got = await ask(server.port, request("POST", path, {"model": "tiny", "return_token_ids": True, **asked}))

    answer = got.json()
    choice = answer["choices"][0]
    assert (200, IDS, "length") == (got.status, choice["token_ids"], choice["finish_reason"])
    assert [2, 43] == (answer if chat else choice)["prompt_token_ids"]
    assert "oCAr" == (choice["message"]["content"] if chat else choice["text"])
