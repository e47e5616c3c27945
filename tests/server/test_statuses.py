"""Statuses that no table knows, as an upstream may send them: a server passes them on."""

from __future__ import annotations

import pytest

from autonomousai import HTTPError, OpenAICompatible, StatusError
from autonomousai.clients import refusals
from autonomousai.gateway.gateway import Gateway
from autonomousai.gateway.upstream import Upstream
from autonomousai.testing import Close, Pause, Raw, Script, ScriptedServer
from tests.conftest import Serve
from tests.support.sockets import CHAT, HELLO, ask, request

WORDS = b'{"error": {"message": "bad n"}}'


@pytest.mark.usefixtures("transport")
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("status", "told"),
    [
        (408, 408),
        (409, 409),
        (418, 418),
        (430, 430),
        (499, 499),
        (520, 520),
        (527, 527),
        (529, 529),
        (599, 599),
        (600, 502),
        (999, 502),
    ],
)
async def test_an_upstreams_status_is_passed_on(status: int, told: int, stream: bool, serve: Serve) -> None:
    """With its Retry-After; above 599, where HTTP has none, it is a 502 whose message names it."""
    refusal = Script.status(status, {"error": {"message": "odd"}}, retry_after=7)
    async with ScriptedServer(refusal) as upstream, OpenAICompatible(upstream.url, retries=0) as provider:
        running = await serve(provider)
        answer = await ask(running.port, request("POST", CHAT, {**HELLO, "stream": stream}))

    assert (told, "7") == (answer.status, answer["retry-after"])
    assert f"answered {status}" in answer.error["message"]


@pytest.mark.usefixtures("transport")
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"000 Nothing", "the upstream did not answer in HTTP: status 0"),
        (b"099 Less", "the upstream did not answer in HTTP: status 99"),
        (b"1000 More", "the upstream did not answer in HTTP"),
        (
            b"101 Switching Protocols",
            "the upstream answered 101 where an answer should be; report it to this server's operator",
        ),
        (b"300 Choices", "the upstream answered 300 where an answer should be; report it to this server's operator"),
        (b"304 Not Modified", "the upstream answered 304 where an answer should be; report it to this server's operator"),
        (b"302 Found\r\nLocation: https://inner.example/", "the upstream answered 302 and redirects to the upstream"),
        (b"307 Moved\r\nLocation: http://10.0.0.5:8000/v1/x", "the upstream answered 307 and redirects to the upstream"),
    ],
)
async def test_a_status_that_is_no_answer_is_a_502(head: bytes, words: str, stream: bool, serve: Serve) -> None:
    """The caller learns what came, and not where an upstream lives."""
    script = Script(Raw(b"HTTP/1.1 %b\r\nContent-Length: 0\r\n\r\n" % head), Close())
    async with ScriptedServer(script) as upstream, OpenAICompatible(upstream.url, retries=0) as provider:
        running = await serve(provider)
        answer = await ask(running.port, request("POST", CHAT, {**HELLO, "stream": stream}))

    assert 502 == answer.status
    assert answer.error["message"].startswith(words)
    assert "inner" not in answer.error["message"]
    assert "10.0.0.5" not in answer.error["message"]


@pytest.mark.parametrize(("status", "tries"), [(600, 2), (999, 2), (302, 1)])
async def test_a_client_takes_no_status_for_more_than_it_is(status: int, tries: int) -> None:
    """Above 599 it is the server's fault, which may pass; a redirection does not."""
    async with (
        ScriptedServer(Script.status(status, retry_after=0)) as upstream,
        OpenAICompatible(upstream.url, retries=1) as client,
    ):
        with pytest.raises(HTTPError) as caught:
            await client.create_async_generator("m", [{"role": "user", "content": "Hello"}]).text()

    assert (status, tries) == (caught.value.status, len(upstream.requests))


async def test_a_gateway_passes_it_on_after_its_tries(serve: Serve) -> None:
    """A status that may pass is tried again, and told when it lasts."""
    async with ScriptedServer(Script.status(529, {"error": {"message": "odd"}}, retry_after=0)) as upstream:
        gateway = Gateway([Upstream("u", OpenAICompatible(upstream.url))], {"llama": ["u"]})
        running = await serve(gateway)
        answer = await ask(running.port, request("POST", CHAT, HELLO))

    assert (529, 6) == (answer.status, len(upstream.requests))  # the only upstream is tried twice as often


@pytest.mark.usefixtures("transport")
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: 100\r\n\r\n" + WORDS,
        b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(WORDS), WORDS),
        b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\nnonsense\r\n" % (len(WORDS), WORDS),
        b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
    ],
    ids=["short of its length", "without its end", "garbage behind it", "not packed"],
)
@pytest.mark.parametrize("ask_for", ["an answer", "models"])
async def test_a_refusal_whose_words_break_off_is_one(body: bytes, stream: bool, ask_for: str) -> None:
    """Its status is known, and so is whether asking again can help; its words are told as far as they came."""
    refusal = Script(Raw(b"HTTP/1.1 400 Bad Request\r\n" + body), Close())
    async with ScriptedServer(refusal) as server, OpenAICompatible(server.url) as provider:
        with pytest.raises(StatusError) as caught:
            if ask_for == "models":
                await provider.list_models()
            else:
                await provider.create_async_generator("m", HELLO["messages"], stream=stream).text()

    assert (400, False, 1) == (caught.value.status, caught.value.retryable, len(server.requests))
    assert ("bad n" in str(caught.value)) == (WORDS in body)


@pytest.mark.usefixtures("transport")
@pytest.mark.parametrize("stream", [True, False])
async def test_a_refusal_whose_words_do_not_end_is_one(stream: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy may keep its body open: what it refuses is known before."""
    monkeypatch.setattr(refusals, "_WORDS_S", 0.0)
    never = Pause()
    head = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 100\r\n\r\n"
    async with ScriptedServer(Script(Raw(head), Raw(WORDS), never)) as server:
        async with OpenAICompatible(server.url, retries=0) as provider:
            with pytest.raises(StatusError) as caught:
                await provider.create_async_generator("m", HELLO["messages"], stream=stream).text()
        never.release()

    assert (429, 7.0) == (caught.value.status, caught.value.retry_after)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
async def test_a_prompt_that_does_not_fit_has_openais_code(path: str, serve: Serve) -> None:
    """By which agents shorten the conversation, also where llama.cpp's server has a word of its own."""
    refused = {"error": {"code": 400, "message": "too large", "type": "exceed_context_size_error", "n_ctx": 64}}
    asked = {"model": "m", "messages": HELLO["messages"]} if path == CHAT else {"model": "m", "input": "a"}
    async with ScriptedServer(Script.status(400, refused)) as server:
        upstream = Upstream("u", OpenAICompatible(f"{server.url}/v1", retries=0))
        running = await serve(Gateway([upstream], {"m": ["u"]}))
        got = await ask(running.port, request("POST", path, asked))

    assert (400, "invalid_request_error", "context_length_exceeded") == (got.status, got.error["type"], got.error["code"])
