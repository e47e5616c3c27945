"""Text completions as a caller sees them: one document, a stream, a stream that is resumed, and who cannot be asked."""

from __future__ import annotations

from typing import Any

import pytest

from autonomousai.errors import StreamError
from autonomousai.events import FinishReason, Usage
from autonomousai.testing import ScriptedProvider, answer
from tests.conftest import Serve
from tests.support.sockets import CHAT, HELLO, Connection, ask, events, request, text_of

PATH = "/v1/completions"
PROMPT: dict[str, Any] = {"model": "llama", "prompt": "Say: "}


async def test_a_whole_answer_is_one_document(port: int, provider: ScriptedProvider) -> None:
    """In the shape of text completions; the prompt reaches the provider as it is."""
    provider.play(answer("Hello", " world", usage=Usage(1, 2, 3)))
    got = await ask(port, request("POST", PATH, {**PROMPT, "user": "u"}))

    document = got.json()
    choice = {"text": "Hello world", "index": 0, "logprobs": None, "finish_reason": "stop"}
    assert (200, "text_completion", [choice]) == (got.status, document["object"], document["choices"])
    assert (3, 11) == (document["usage"]["total_tokens"], document["x_autonomousai"]["length"])
    assert document["id"].startswith("cmpl-")
    assert provider.calls[0].origin is not None
    assert ("Say: ", []) == (provider.calls[0].origin.document["prompt"], provider.calls[0].messages)


@pytest.mark.parametrize("path", [PATH, "/completions"])
async def test_a_stream_is_chunks_and_done(port: int, provider: ScriptedProvider, path: str) -> None:
    """Each of the same answer, with the usage where it is wanted."""
    provider.play(answer("Hello", " world", usage=Usage(1, 2, 3)))
    body = {**PROMPT, "stream": True, "stream_options": {"include_usage": True}}
    payloads = events((await ask(port, request("POST", path, body))).body)

    *chunks, done = payloads
    assert ("[DONE]", "Hello world", 1) == (done, text_of(payloads), len({chunk["id"] for chunk in chunks}))
    assert ({"text_completion"}, [], 3) == (
        {chunk["object"] for chunk in chunks},
        chunks[-1]["choices"],
        chunks[-1]["usage"]["total_tokens"],
    )
    assert [None, None, "stop"] == [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]]


async def test_an_error_in_the_stream_is_the_last_event(port: int, provider: ScriptedProvider) -> None:
    """Neither a reason nor [DONE] follows."""
    provider.play(["Hel", StreamError("boom", status=200, code="x")])
    payloads = events((await ask(port, request("POST", PATH, {**PROMPT, "stream": True}))).body)

    assert ("Hel", "x") == (text_of(payloads[:-1]), payloads[-1]["error"]["code"])


@pytest.mark.parametrize("after", [0, 1, 2, 3])
async def test_a_stream_is_resumed(port: int, provider: ScriptedProvider, after: int) -> None:
    """After any event, with the same bytes."""
    provider.play(answer("Hello", " world"))
    async with Connection(port) as connection:
        first = await connection.ask(request("POST", PATH, {**PROMPT, "stream": True}, x_stream_resumable="1"))
        rest = await connection.ask(request("GET", f"/v1/streams/{first['x-stream-id']}", last_event_id=str(after)))

    assert b"".join(first.body.partition(b"id: %d\n" % (after + 1))[1:]) == rest.body


async def test_a_provider_that_has_no_raw_prompts_is_not_asked(serve: Serve) -> None:
    """It has a chat template, which must not come between."""
    provider = ScriptedProvider(wires=())
    port = (await serve(provider)).port
    got = await ask(port, request("POST", PATH, PROMPT))
    chat = await ask(port, request("POST", CHAT, HELLO))

    assert (404, "unsupported_endpoint") == got.told
    assert ("model", 200, 1) == (got.error["param"], chat.status, len(provider.calls))


@pytest.mark.parametrize(
    ("document", "param"),
    [({}, "prompt"), ({"prompt": []}, "prompt"), ({"prompt": ["a", 1]}, "prompt[1]"), ({"prompt": "a", "echo": 1}, "echo")],
)
async def test_what_is_malformed_is_a_400(port: int, document: dict[str, Any], param: str) -> None:
    """That names the field."""
    got = await ask(port, request("POST", PATH, {"model": "llama", **document}))

    assert (400, param) == (got.status, got.error["param"])


async def test_a_chats_stream_can_be_read_over_it(port: int, provider: ScriptedProvider) -> None:
    """And the reverse: the log belongs to no wire."""
    provider.play(["Hi", FinishReason("stop", "finish_reason")])
    texts = []
    async with Connection(port) as connection:
        for path, body, wire in ((CHAT, HELLO, "openai_completions"), (PATH, PROMPT, "openai_chat")):
            first = await connection.ask(request("POST", path, {**body, "stream": True}, x_stream_resumable="1"))
            read = await connection.ask(request("GET", f"/v1/streams/{first['x-stream-id']}?wire={wire}"))
            texts.append((events(read.body)[0]["object"], text_of(events(read.body))))

    assert [("text_completion", "Hi"), ("chat.completion.chunk", "Hi")] == texts
