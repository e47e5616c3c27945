"""Callers of each API of the server, before an upstream of the Gemini API: what they get, and what comes back with their next
turn."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from autonomousai.config import parse_config
from autonomousai.server import create_app
from autonomousai.testing import Script, ScriptedServer, gemini_answer, gemini_chunks
from tests.server.test_sealed_thoughts import by_messages, by_responses, post
from tests.support.sockets import ask, events, listening, request, text_of

Json = dict[str, Any]

#: What the model says: a thought, text, a call with a signature and one without.
SAID: tuple[Any, ...] = (
    {"text": "hm", "thought": True},
    "Hello",
    {"functionCall": {"id": "call_1", "name": "f", "args": {"a": 1}}, "thoughtSignature": "SIGNED"},
)
USAGE = {"promptTokenCount": 3, "candidatesTokenCount": 4, "thoughtsTokenCount": 5, "totalTokenCount": 12}

HI: Json = {"role": "user", "content": "Hi"}
SCHEMA: Json = {"type": "object", "properties": {}}


@asynccontextmanager
async def gateway(*scripts: Any, second: str = "", prefill: bool = False) -> AsyncIterator[tuple[int, ScriptedServer]]:
    """A server before one upstream of the Gemini API, and perhaps a *second* one, of chat completions."""
    async with ScriptedServer(*scripts) as upstream:
        section = f'[upstreams.u]\nkind = "gemini"\nbase_url = "{upstream.url}"\napi_key = "k"\nmodel = "gemini-3-pro"\n'
        route = '["u"]'
        if second:
            section += f'[upstreams.v]\nkind = "openai"\nbase_url = "{second}/v1"\nprefill = "{"yes" if prefill else "no"}"\n'
            route = '["u", "v"]'
        config = parse_config(f"{section}[models.llama]\nroute = {route}\n[retry]\nattempts = 1\n", {})
        async with listening(create_app(config)) as server:
            yield server.port, upstream


#: For each API: the path, a request, and where its document has the text.
CALLERS: dict[str, tuple[str, Json, Callable[[Json], Any]]] = {
    "chat": (
        "/v1/chat/completions",
        {"messages": [HI]},
        lambda got: got["choices"][0]["message"]["content"],
    ),
    "responses": (
        "/v1/responses",
        {"input": "Hi", "store": False},
        lambda got: next(each for each in got["output"] if each["type"] == "message")["content"][0]["text"],
    ),
    "messages": (
        "/v1/messages",
        {"messages": [HI], "max_tokens": 9},
        lambda got: next(each for each in got["content"] if each["type"] == "text")["text"],
    ),
    "ollama": ("/api/chat", {"messages": [HI], "stream": False}, lambda got: got["message"]["content"]),
}


@pytest.mark.parametrize(("path", "body", "said_in"), CALLERS.values(), ids=CALLERS)
async def test_callers_of_each_api_are_answered(path: str, body: Json, said_in: Callable[[Json], Any]) -> None:
    """Streamed or not, in their API's own words."""
    async with gateway(lambda _: Script.gemini(*SAID, usage=USAGE)) as (port, upstream):
        document = (await post(port, path, body)).json()
        streamed = await post(port, path, {**body, "stream": True})

    assert "Hello" == said_in(document)
    assert b"Hello" in streamed.body
    assert {"k"} == {each.headers["x-goog-api-key"] for each in upstream.requests}
    assert {"Hi"} == {each.json()["contents"][0]["parts"][0]["text"] for each in upstream.requests}
    assert b"SIGNED" in streamed.body or b"aa1." in streamed.body or path == "/api/chat"


async def test_a_chat_caller_gets_thoughts_calls_and_tokens() -> None:
    """As the vendor's own layer for chat completions has them."""
    async with gateway(lambda _: Script.gemini(*SAID, usage=USAGE)) as (port, _):
        got = (await post(port, "/v1/chat/completions", {"messages": [HI]})).json()

    message, usage = got["choices"][0]["message"], got["usage"]
    assert ("hm", "Hello", "tool_calls") == (
        message["reasoning_content"],
        message["content"],
        got["choices"][0]["finish_reason"],
    )
    assert [
        {
            "id": "call_1",
            "type": "function",
            "function": {"name": "f", "arguments": '{"a":1}'},
            "extra_content": {"google": {"thought_signature": "SIGNED"}},
        }
    ] == message["tool_calls"]
    assert (3, 9, 12, {"reasoning_tokens": 5}) == (
        usage["prompt_tokens"],
        usage["completion_tokens"],
        usage["total_tokens"],
        usage["completion_tokens_details"],
    )


async def by_chat(port: int, *, stream: bool) -> None:
    """Two turns of a caller of chat completions, who sends back the message as it came."""
    got = await post(port, "/v1/chat/completions", {"messages": [HI], "stream": stream})
    if stream:
        said: Json = {"role": "assistant", "content": ""}
        for chunk in events(got.body):
            for choice in chunk["choices"] if isinstance(chunk, dict) else ():
                delta = choice["delta"]
                said["content"] += delta.get("content") or ""
                said |= {name: delta[name] for name in ("tool_calls", "extra_content") if name in delta}
    else:
        said = got.json()["choices"][0]["message"]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "42"} for call in said.get("tool_calls") or ()]
    await post(port, "/v1/chat/completions", {"messages": [HI, said, *(results or [HI])]})


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("caller", [by_chat, by_messages, by_responses])
async def test_the_signature_of_a_call_goes_back(caller: Callable[..., Any], stream: bool) -> None:
    """With the call, whatever API brought it; the model refuses a turn without."""
    async with gateway(lambda _: Script.gemini(*SAID)) as (port, upstream):
        await caller(port, stream=stream)

    asked, said, result = upstream.requests[-1].json()["contents"]
    assert ["user", "model", "user"] == [each["role"] for each in (asked, said, result)]
    assert [("text", None), ("functionCall", "SIGNED")] == [
        (next(iter(part)), part.get("thoughtSignature")) for part in said["parts"]
    ]
    response = {"id": "call_1", "name": "f", "response": {"output": "42"}}
    assert [{"functionResponse": response}] == result["parts"]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
async def test_the_signature_of_a_text_goes_back(path: str, stream: bool) -> None:
    """Beside the text, from where each API has room for it."""
    async with gateway(lambda _: Script.gemini("Hello", {"text": "", "thoughtSignature": "SIGNED"})) as (port, upstream):
        if path == "/v1/chat/completions":
            await by_chat(port, stream=stream)
        elif path == "/v1/messages":
            got = await post(port, path, {"messages": [HI], "max_tokens": 9, "stream": stream})
            blocks = blocks_of(got.body) if stream else got.json()["content"]
            await post(port, path, {"messages": [HI, {"role": "assistant", "content": blocks}, HI], "max_tokens": 9})
        else:
            got = await post(port, path, {"input": [HI], "store": False, "stream": stream})
            ended = (each["response"] for each in events(got.body) if each["type"] == "response.completed") if stream else ()
            done = next(iter(ended), None) or got.json()
            await post(port, path, {"input": [HI, *done["output"], HI], "store": False})

    assert [{"text": "Hello", "thoughtSignature": "SIGNED"}] == upstream.requests[-1].json()["contents"][1]["parts"]


def blocks_of(body: bytes) -> list[Json]:
    """The blocks of a stream of Messages, with the text of theirs."""
    blocks: list[Json] = []
    for event in events(body):
        if event.get("type") == "content_block_start":
            blocks.append(event["content_block"])
        elif event.get("type") == "content_block_delta" and event["delta"]["type"] == "text_delta":
            blocks[event["index"]]["text"] += event["delta"]["text"]
    return blocks


async def test_a_blocked_prompt_is_a_refusal() -> None:
    """With the vendor's reason; a further upstream would be asked the same."""
    blocked = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 3}}
    async with gateway(lambda _: Script.status(200, blocked)) as (port, _):
        chat = (await post(port, "/v1/chat/completions", {"messages": [HI]})).json()
        messages = (await post(port, "/v1/messages", {"messages": [HI], "max_tokens": 9})).json()

    assert ("content_filter", "") == (chat["choices"][0]["finish_reason"], chat["choices"][0]["message"]["content"])
    assert ["the vendor's filter stopped the prompt (PROHIBITED_CONTENT)"] == chat["x_autonomousai"]["notes"]
    assert "refusal" == messages["stop_reason"]


#: What the model says of a call that it could not write.
MALFORMED = Script.gemini(finish="MALFORMED_FUNCTION_CALL")


@pytest.mark.parametrize(
    "fault",
    ["reset_before_headers", "empty_stream", "error_event_first", "overloaded", "not_http", MALFORMED],
    ids=lambda fault: fault if isinstance(fault, str) else "malformed call",
)
async def test_the_next_upstream_is_asked_before_anything_was_said(fault: str | Script) -> None:
    """Whatever it speaks."""
    async with ScriptedServer(Script.stream("Hi from v")) as second, gateway(fault, second=second.url) as (port, _):
        got = await post(port, "/v1/chat/completions", {"messages": [HI], "stream": True})

    assert b"Hi from v" in got.body


async def test_an_answer_that_breaks_is_never_taken_for_whole() -> None:
    """Its caller gets an error behind what came: the API continues no answer."""
    async with gateway(Script.cut("Hel", "lo", terminator=True, api="gemini")) as (port, _):
        got = await post(port, "/v1/chat/completions", {"messages": [HI], "stream": True})

    chunks = events(got.body)
    assert any("error" in chunk for chunk in chunks if isinstance(chunk, dict))
    assert "[DONE]" not in chunks[-1:]
    assert not any(choice["finish_reason"] for chunk in chunks if "choices" in chunk for choice in chunk["choices"])


@pytest.mark.parametrize("stream", [True, False])
async def test_another_upstream_continues_what_breaks(stream: bool) -> None:
    """In one text; the thoughts and the signature of the first are not mixed into it."""
    broken = Script.cut("Once upon", api="gemini")
    rest = Script.stream(" a time.")
    async with ScriptedServer(rest) as second, gateway(broken, second=second.url, prefill=True) as (port, _):
        got = await post(port, "/v1/chat/completions", {"messages": [HI], "stream": stream})

    said = text_of(events(got.body)) if stream else got.json()["choices"][0]["message"]["content"]
    assert "Once upon a time." == said
    begun = second.requests[0].json()["messages"][-1]
    assert "assistant" == begun["role"]
    assert "Once upon".startswith(begun["content"])


async def test_gemini_is_asked_to_continue_nothing() -> None:
    """Its newer models refuse to: it may begin again, and the caller gets no second answer behind the first."""
    async with ScriptedServer(Script.cut("Once upon")) as first, gateway(Script.gemini("no")) as (_, upstream):
        config = parse_config(
            f'[upstreams.v]\nkind = "openai"\nbase_url = "{first.url}/v1"\n[upstreams.u]\nkind = "gemini"\n'
            f'base_url = "{upstream.url}"\n[models.llama]\nroute = ["v", "u"]\n[retry]\nattempts = 1\n',
            {},
        )
        async with listening(create_app(config)) as server:
            got = await post(server.port, "/v1/chat/completions", {"messages": [HI], "stream": True})

    assert any("error" in chunk for chunk in events(got.body) if isinstance(chunk, dict))
    assert "Once upon" == text_of(events(got.body))
    assert {"user"} == {each["role"] for request in upstream.requests for each in request.json()["contents"]}


async def test_what_an_answer_rests_on_is_cited() -> None:
    """In each API's own words."""
    grounding = {
        "groundingChunks": [{"web": {"uri": "http://a/", "title": "A"}}],
        "groundingSupports": [{"segment": {"endIndex": 5}, "groundingChunkIndices": [0]}],
    }
    answer = json.loads(gemini_answer("Hello"))
    answer["candidates"][0]["groundingMetadata"] = grounding
    async with gateway(lambda _: Script.status(200, answer)) as (port, upstream):
        chat = (await post(port, "/v1/chat/completions", {"messages": [HI], "web_search_options": {}})).json()
        responses = (await post(port, "/v1/responses", {"input": "Hi", "store": False})).json()
        messages = (await post(port, "/v1/messages", {"messages": [HI], "max_tokens": 9})).json()

    page = {"url": "http://a/", "title": "A", "start_index": 0, "end_index": 5}
    assert [{"type": "url_citation", "url_citation": page}] == chat["choices"][0]["message"]["annotations"]
    assert [{"type": "url_citation", **page}] == responses["output"][0]["content"][0]["annotations"]
    assert "http://a/" == messages["content"][0]["citations"][0]["url"]
    assert [{"googleSearch": {}}] == upstream.requests[0].json()["tools"]


async def test_embeddings_are_made() -> None:
    """At the path of OpenAI's, in the format that is wanted."""
    async with gateway(Script.status(200, {"embeddings": [{"values": [1, -2.5]}]})) as (port, upstream):
        got = await post(port, "/v1/embeddings", {"input": "a", "encoding_format": "base64"})

    assert "AACAPwAAIMA=" == got.json()["data"][0]["embedding"]
    assert upstream.requests[0].path.endswith("/models/gemini-3-pro:batchEmbedContents")


async def test_tokens_are_counted_for_callers_of_messages() -> None:
    """By the upstream."""
    async with gateway(Script.status(200, {"totalTokens": 7})) as (port, _):
        assert {"input_tokens": 7} == (await post(port, "/v1/messages/count_tokens", {"messages": [HI]})).json()


async def test_several_choices_are_candidates() -> None:
    """As many as were asked for."""
    answer = json.loads(gemini_answer("a"))
    answer["candidates"].append({"index": 1, "content": {"parts": [{"text": "b"}]}, "finishReason": "MAX_TOKENS"})
    async with gateway(Script.status(200, answer)) as (port, upstream):
        got = (await post(port, "/v1/chat/completions", {"messages": [HI], "n": 2})).json()

    assert [("a", "stop"), ("b", "length")] == [(each["message"]["content"], each["finish_reason"]) for each in got["choices"]]
    assert 2 == upstream.requests[0].json()["generationConfig"]["candidateCount"]


async def test_the_key_of_the_upstream_is_not_the_callers() -> None:
    """An error of the upstream's key is the operator's, and says nothing of it."""
    refused = {
        "error": {"code": 400, "message": "API key not valid. Please pass a valid API key.", "status": "INVALID_ARGUMENT"}
    }
    async with gateway(Script.status(400, refused)) as (port, _):
        got = await ask(port, request("POST", "/v1/chat/completions", {"model": "llama", "messages": [HI]}))

    assert 502 == got.status


# ---- callers of the same API

MODEL = "/v1beta/models/llama"
ASKED: Json = {
    "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
    "tools": [{"googleSearch": {}}, {"urlContext": {}}],
    "generationConfig": {"thinkingConfig": {"includeThoughts": True}, "mediaResolution": "LOW"},
    "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
    "unheardOf": {"a": [1]},
}


async def test_a_caller_of_the_same_api_is_passed_on() -> None:
    """The request as it came, and of the answer all that the upstream says."""
    answer = json.loads(gemini_answer(*SAID, usage={**USAGE, "trafficType": "ON_DEMAND"}))
    answer["candidates"][0] |= {"safetyRatings": [{"category": "X"}], "urlContextMetadata": {"urlMetadata": []}}
    async with gateway(Script.status(200, answer)) as (port, upstream):
        got = (await ask(port, request("POST", f"{MODEL}:generateContent", ASKED))).json()

    assert ASKED == upstream.requests[0].json()
    assert "/v1beta/models/gemini-3-pro:streamGenerateContent?alt=sse" == upstream.requests[0].path
    assert answer["usageMetadata"] == got["usageMetadata"]
    assert answer["candidates"] == got["candidates"]


async def test_a_stream_of_the_same_api_is_passed_on() -> None:
    """With the thoughts that were asked for, the signature in its place, and the vendor's words at the end."""
    async with gateway(Script.gemini(*SAID, usage=USAGE)) as (port, upstream):
        got = await ask(port, request("POST", f"{MODEL}:streamGenerateContent?alt=sse", ASKED))

    assert upstream.requests[0].path.endswith(":streamGenerateContent?alt=sse")
    parts = [part for chunk in events(got.body) for part in chunk["candidates"][0]["content"]["parts"]]
    assert list(SAID[2:]) == [part for part in parts if "functionCall" in part]
    assert ["hm", "Hello"] == [part["text"] for part in parts if part.get("text")]
    assert ("STOP", USAGE) == (events(got.body)[-1]["candidates"][0]["finishReason"], events(got.body)[-1]["usageMetadata"])


async def test_cached_content_is_known_to_the_vendor_alone() -> None:
    """So the request goes there, and to no other upstream."""
    async with gateway(Script.gemini("Hello")) as (port, upstream):
        body = {**ASKED, "cachedContent": "cachedContents/x"}
        got = await ask(port, request("POST", f"{MODEL}:streamGenerateContent?alt=sse", body))

    assert (200, body) == (got.status, upstream.requests[0].json())


async def test_the_same_apis_counts_and_vectors_are_the_upstreams() -> None:
    """Each at its own method."""
    vectors = Script.status(200, {"embeddings": [{"values": [1, 2]}]})
    async with gateway(Script.status(200, {"totalTokens": 5}), vectors) as (port, upstream):
        counted = await ask(port, request("POST", f"{MODEL}:countTokens", {"contents": ASKED["contents"]}))
        made = await ask(port, request("POST", f"{MODEL}:embedContent", {"content": {"parts": [{"text": "a"}]}}))

    assert (5, [1, 2]) == (counted.json()["totalTokens"], made.json()["embedding"]["values"])
    assert [":countTokens", ":batchEmbedContents"] == [f":{each.path.partition(':')[2]}" for each in upstream.requests]


async def test_a_refusal_is_the_answer_to_a_caller_of_the_same_api() -> None:
    """Nothing of its request is changed, but for signatures of others."""
    refused = {"error": {"code": 400, "message": "top_k is not supported", "status": "INVALID_ARGUMENT"}}
    async with gateway(lambda _: Script.status(400, refused)) as (port, upstream):
        body = {**ASKED, "generationConfig": {"topK": 5}}
        got = await ask(port, request("POST", f"{MODEL}:generateContent", body))

    assert (400, 1) == (got.status, len(upstream.requests))


def test_the_doubles_write_what_the_api_writes() -> None:
    """Line ends, and the reason in the last chunk."""
    stream = gemini_chunks("a", "b")

    assert stream.endswith(b"\r\n\r\n")
    assert [None, "STOP"] == [
        json.loads(line[6:])["candidates"][0].get("finishReason")
        for line in stream.split(b"\r\n")
        if line.startswith(b"data: ")
    ]
