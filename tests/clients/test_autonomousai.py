"""The mission document's provider: its attributes, its parameters, its errors, its six steps."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import warnings
from typing import Any

import pytest

from autonomousai import (
    AutonomousAI,
    ConfigError,
    ConnectError,
    FinishReason,
    HTTPError,
    InvalidMessagesError,
    StatusError,
    TimeoutError,  # noqa: A004  the contract's own name
)
from autonomousai.clients import retries
from autonomousai.clients.autonomousai import _warn_of_the_hosted_service
from autonomousai.clients.remote import ResponseStream
from autonomousai.provider import AsyncGeneratorProvider, ProviderModelMixin
from autonomousai.result import AsyncResult
from autonomousai.testing import Script, ScriptedServer, chunks

HELLO = [{"role": "user", "content": "Hello, how are you?"}]

FIVE = ["llama", "qwen_coder", "hermes", "vision", "summary"]


def sent_messages(body: bytes) -> Any:
    return json.loads(base64.b64decode(json.loads(body)["messages"], validate=True).decode())


def test_attributes_are_the_documents() -> None:
    """Every attribute of the document is there, with its type and its default."""
    expected: dict[str, Any] = {
        "url": "https://www.autonomous.ai/anon/",
        "api_endpoints": {
            "llama": "https://chatgpt.autonomous.ai/api/v1/ai/chat",
            "qwen_coder": "https://chatgpt.autonomous.ai/api/v1/ai/chat",
            "hermes": "https://chatgpt.autonomous.ai/api/v1/ai/chat-hermes",
            "vision": "https://chatgpt.autonomous.ai/api/v1/ai/chat-vision",
            "summary": "https://chatgpt.autonomous.ai/api/v1/ai/summary",
        },
        "working": False,
        "supports_stream": True,
        "supports_system_message": True,
        "supports_message_history": True,
        "default_model": "llama",
        "models": FIVE,
        "model_aliases": {
            "llama-3.3-70b": "llama",
            "qwen-2.5-coder-32b": "qwen_coder",
            "hermes-3": "hermes",
            "llama-3.2-90b": "vision",
            "llama-3.2-70b": "summary",
        },
    }

    found = {name: getattr(AutonomousAI, name) for name in expected}

    assert expected == found


def test_it_inherits_from_both_bases() -> None:
    """The class is an AsyncGeneratorProvider and a ProviderModelMixin."""
    assert issubclass(AutonomousAI, AsyncGeneratorProvider)
    assert issubclass(AutonomousAI, ProviderModelMixin)


@pytest.mark.parametrize(
    ("named", "model"),
    [("llama", "llama"), ("", "llama"), (None, "llama"), ("hermes-3", "hermes"), ("llama-3.2-70b", "summary")],
)
def test_get_model_resolves_names_aliases_and_the_default(named: str | None, model: str) -> None:
    """A name, an alias, and nothing at all become a model, on the class as well as on an instance."""
    found = (AutonomousAI.get_model(named), AutonomousAI("http://127.0.0.1:1").get_model(named))

    assert (model, model) == found


def test_get_models_lists_the_five() -> None:
    """`get_models()` gives the five, as a list of the caller's own."""
    AutonomousAI.get_models().clear()

    assert AutonomousAI.get_models() == FIVE


def test_an_unsupported_model_is_a_value_error_at_the_call() -> None:
    """An unknown model raises ValueError before anything is read, and names the models there are."""
    with pytest.raises(
        ValueError, match=r"'gpt-9' is not supported; the models are: llama, qwen_coder, hermes, vision, summary"
    ):
        AutonomousAI.create_async_generator(model="gpt-9", messages=HELLO)


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ([], "messages"),
        ([{"role": "user"}], r"messages\[0\]"),
        ([*HELLO, {"role": 5, "content": "x"}], r"messages\[1\].role"),
        ([{"role": "user", "content": "broken \ud800"}], r"messages\[0\]"),
        ("Hello", "messages"),
    ],
)
def test_bad_messages_are_named_at_the_call(messages: Any, text: str) -> None:
    """Messages that cannot be sent raise at the call, and the error says which and where."""
    with pytest.raises(InvalidMessagesError, match=text):
        AutonomousAI.create_async_generator(model="llama", messages=messages)


async def test_streaming_yields_text_and_last_one_finish_reason() -> None:
    """With stream=True the text comes in the model's pieces, and last exactly one finish reason."""
    async with ScriptedServer(Script.stream("Hel", "lo", finish="stop")) as server, AutonomousAI(server.url) as provider:
        async with provider.create_async_generator("llama", HELLO, stream=True) as result:
            found = [chunk async for chunk in result]

    assert ["Hel", "lo"] == found[:-1]
    assert (found[-1].reason, found[-1].evidence) == ("stop", "finish_reason")  # type: ignore[union-attr]
    assert result.finish is found[-1]


async def test_the_text_so_far_can_be_asked_for_at_any_time() -> None:
    """It grows with each chunk, asks for nothing by itself, and stays after the end; a long one too."""
    words = [f"word {number} " for number in range(300)]
    async with ScriptedServer(Script.stream(*words)) as server, AutonomousAI(server.url) as provider:
        result = provider.create_async_generator("llama", HELLO, stream=True)
        before = (result.text_so_far, len(server.requests))
        said = ""
        async for chunk in result:
            said += str(chunk)
            assert result.text_so_far.startswith(said)  # what came with it in one read is there already

    assert ("", 0) == before
    assert result.text_so_far == said == "".join(words)


async def test_without_stream_the_whole_text_is_one_chunk() -> None:
    """stream=False, the default, yields the whole text as one chunk and then the finish reason."""
    async with ScriptedServer(Script.document("Hello world")) as server, AutonomousAI(server.url) as provider:
        found = [chunk async for chunk in provider.create_async_generator("llama", HELLO)]

    assert "Hello world" == found[0]
    assert [FinishReason] == [type(chunk) for chunk in found[1:]]
    assert json.loads(server.requests[0].body)["stream"] is False


async def test_without_stream_a_streamed_answer_is_one_chunk_too() -> None:
    """A server that streams all the same is understood: one chunk, one finish reason."""
    async with ScriptedServer(Script.stream("Hel", "lo")) as server, AutonomousAI(server.url) as provider:
        found = [chunk async for chunk in provider.create_async_generator("llama", HELLO)]

    assert ["Hello", ""] == [str(chunk) for chunk in found]


async def test_with_stream_a_document_is_understood() -> None:
    """A server that answers with a document where a stream was asked for is understood as well."""
    async with ScriptedServer(Script.document("Hello")) as server, AutonomousAI(server.url) as provider:
        text = await provider.create_async_generator("llama", HELLO, stream=True).text()

    assert text == "Hello"


async def test_the_request_is_the_wires() -> None:
    """The POST goes to the model's endpoint, with the wire's headers and fields."""
    async with ScriptedServer(Script.stream("x")) as server, AutonomousAI(server.url, api_key="k1") as provider:
        await provider.create_async_generator("hermes-3", HELLO, stream=True, temperature=0.5, userId="u1").text()
        request = server.requests[0]

    assert (request.method, request.path) == ("POST", "/api/v1/ai/chat-hermes")
    body = json.loads(request.body)
    assert sent_messages(request.body) == HELLO
    del body["messages"]
    assert body == {"threadId": "hermes", "stream": True, "aiAgent": "hermes", "temperature": 0.5, "userId": "u1"}
    expected = {
        "content-type": "application/json",
        "accept": "*/*",
        "origin": "https://www.autonomous.ai",
        "referer": "https://www.autonomous.ai/",
        "country-code": "US",
        "time-zone": "America/New_York",
        "authorization": "Bearer k1",
    }
    assert expected == {name: request.headers[name] for name in expected}
    assert request.headers["user-agent"].startswith("autonomousai/")


@pytest.mark.parametrize("model", FIVE)
async def test_each_model_has_its_endpoint(model: str) -> None:
    """Each of the five goes to the path of the wire, and names itself as aiAgent."""
    async with ScriptedServer() as server, AutonomousAI(server.url) as provider:
        await provider.create_async_generator(model, HELLO).text()
        request = server.requests[0]

    assert request.path == AutonomousAI.api_endpoints[model].removeprefix("https://chatgpt.autonomous.ai")
    assert json.loads(request.body)["aiAgent"] == model


async def test_client_options_do_not_travel() -> None:
    """timeout, headers, api_key and retries stay here; a caller's header goes over ours."""
    async with ScriptedServer() as server, AutonomousAI(server.url) as provider:
        await provider.create_async_generator(
            "llama", HELLO, timeout=30, headers={"Time-Zone": "Asia/Saigon"}, api_key="k2", retries=1
        ).text()
        request = server.requests[0]

    assert set(json.loads(request.body)) == {"messages", "threadId", "stream", "aiAgent"}
    assert (request.headers["time-zone"], request.headers["authorization"]) == ("Asia/Saigon", "Bearer k2")


TEXTS = {
    "scripts": "Tiếng Việt · العربية · हिन्दी · 中文 · עברית · ไทย",
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 e\u0301 \u200d\u2028\u2029\x85",
    "quotes": '" lone \' and \\" and \\ and data: {"a":1}\n\ndata: [DONE]',
    "megabyte": "0123456789abcdé\n" * 65536,
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
async def test_history_arrives_intact_and_in_order(text: str) -> None:
    """System message and history arrive as they were written, in any script and up to a megabyte, and so does the answer."""
    messages = [
        {"role": "system", "content": f"system {text}"},
        {"role": "user", "content": text},
        {"role": "assistant", "content": f"answer {text}"},
        {"role": "user", "content": "and?"},
    ]
    async with ScriptedServer(Script.stream(text, text)) as server, AutonomousAI(server.url) as provider:
        answer = await provider.create_async_generator("llama", messages, stream=True).text()

    assert messages == sent_messages(server.requests[0].body)
    assert text + text == answer


async def test_the_messages_json_is_not_ascii_escaped() -> None:
    """The base64 holds UTF-8, not \\u escapes."""
    async with ScriptedServer() as server, AutonomousAI(server.url) as provider:
        await provider.create_async_generator("llama", [{"role": "user", "content": "é"}]).text()

    assert "é".encode() in base64.b64decode(json.loads(server.requests[0].body)["messages"])


async def test_an_error_status_is_an_http_error() -> None:
    """A failed request raises HTTPError, with the status, the server's words, and what to do."""
    async with ScriptedServer(Script.status(429, retry_after=7)) as server, AutonomousAI(server.url) as provider:
        with pytest.raises(HTTPError) as caught:
            await provider.create_async_generator("llama", HELLO).text()

    assert isinstance(caught.value, StatusError)
    assert (caught.value.status, caught.value.retryable, caught.value.retry_after) == (429, True, 7)
    assert "scripted 429" in str(caught.value)


async def test_a_redirect_is_not_followed() -> None:
    """A redirect would turn the POST into something else: it is an error that names the target."""
    moved = Script.status(301, "", headers={"Location": "https://elsewhere.example/"})
    async with ScriptedServer(moved) as server, AutonomousAI(server.url) as provider:
        with pytest.raises(HTTPError, match=r"and redirects to https://elsewhere\.example/"):
            await provider.create_async_generator("llama", HELLO).text()


async def test_a_web_page_is_not_an_answer() -> None:
    """A page with status 200 (a captive portal, a proxy) is an error, not an empty answer."""
    async with ScriptedServer(Script.html()) as server, AutonomousAI(server.url) as provider:
        with pytest.raises(HTTPError, match="web page"):
            await provider.create_async_generator("llama", HELLO, stream=True).text()


async def test_the_class_asks_the_server_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """AUTONOMOUSAI_BASE_URL and AUTONOMOUSAI_API_KEY make the default instance that the class stands for."""
    async with ScriptedServer() as server:
        monkeypatch.setenv("AUTONOMOUSAI_BASE_URL", server.url + "/")
        monkeypatch.setenv("AUTONOMOUSAI_API_KEY", "from-env")
        text = "".join([str(chunk) async for chunk in AutonomousAI.create_async_generator("llama", HELLO)])
        await AutonomousAI.default().aclose()

    assert text == "Hello world"
    assert server.requests[0].headers["authorization"] == "Bearer from-env"


async def test_white_space_around_the_environments_key_is_no_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret that is read from a file ends in a line end; a blank one is none."""
    async with ScriptedServer() as server:
        for key in (" from-env\n", " \n"):
            monkeypatch.setenv("AUTONOMOUSAI_API_KEY", key)
            async with AutonomousAI(server.url) as provider:
                await provider.create_async_generator("llama", HELLO)

    assert ["Bearer from-env", None] == [request.headers.get("authorization") for request in server.requests]


@pytest.mark.parametrize("options", [{"api_key": "k\n"}, {"api_key": "schlüssel"}, {"headers": {"X-A": "a\r\nX-B: b"}}])
def test_what_cannot_be_a_header_is_said_at_once(options: dict[str, Any]) -> None:
    """A key with its line end, and a header with a second one inside, are ConfigErrors that do not show them."""
    with pytest.raises(ConfigError) as made:
        AutonomousAI("http://127.0.0.1:1", **options)
    with pytest.raises(ConfigError):
        AutonomousAI("http://127.0.0.1:1").create_async_generator("llama", HELLO, **options)

    assert "schlüssel" not in str(made.value)


async def test_an_empty_key_is_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """api_key="" sends none, whatever the environment holds: it may be meant for another server."""
    monkeypatch.setenv("AUTONOMOUSAI_API_KEY", "from-env")
    async with ScriptedServer() as server, AutonomousAI(server.url, api_key="") as provider:
        await provider.create_async_generator("llama", HELLO).text()

    assert "authorization" not in server.requests[0].headers


def test_an_instance_pointed_at_a_server_is_working() -> None:
    """The hosted service is not operational; a server of one's own is taken to be."""
    assert (AutonomousAI().working, AutonomousAI("http://127.0.0.1:8000").working) == (False, True)


@pytest.mark.parametrize("url", ["", " ", "127.0.0.1:8000", "ftp://x", "http://", "http://host:notaport", "http://[::1"])
def test_a_bad_base_url_says_what_to_write(url: str) -> None:
    """A base URL that is none is a ConfigError at once; an empty one means the default."""
    if not url:
        assert AutonomousAI(url).base_url == "https://chatgpt.autonomous.ai"
        return
    with pytest.raises(ConfigError, match="base_url"):
        AutonomousAI(url)


async def test_a_bad_timeout_names_the_clocks() -> None:
    """A clock that does not exist, and a time that is none, are ValueErrors at the call."""
    with pytest.raises(ValueError, match="connect, first_token, idle, total"):
        AutonomousAI.create_async_generator("llama", HELLO, timeout={"read": 3})
    with pytest.raises(ValueError, match="above 0"):
        AutonomousAI.create_async_generator("llama", HELLO, timeout=-1)


async def test_an_unserialisable_field_is_named_at_the_call() -> None:
    """A request field that JSON cannot carry raises at the call, not in the middle of the answer."""
    with pytest.raises((TypeError, ValueError)):
        AutonomousAI.create_async_generator("llama", HELLO, temperature=object())


# What the public client of this wire got wrong


async def test_a_finish_reason_inside_choices_is_seen() -> None:
    """A standard stream has its finish reason inside choices[0] alone: it is yielded."""
    body = (
        b'data: {"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}\n\n'
        b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}\n\ndata: [DONE]\n\n'
    )
    async with ScriptedServer(Script.body(body)) as server, AutonomousAI(server.url) as provider:
        found = [chunk async for chunk in provider.create_async_generator("llama", HELLO, stream=True)]

    assert ["Hi", "length"] == [found[0], found[1].reason]  # type: ignore[union-attr]


async def test_a_finish_reason_at_top_level_is_seen() -> None:
    """The hosted service wrote it at the top of the chunk: that is yielded too."""
    body = b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\ndata: {"choices":[],"finish_reason":"stop"}\n\n'
    async with ScriptedServer(Script.body(body)) as server, AutonomousAI(server.url) as provider:
        found = [chunk async for chunk in provider.create_async_generator("llama", HELLO, stream=True)]

    assert ["Hi", "stop"] == [found[0], found[1].reason]  # type: ignore[union-attr]


async def test_the_text_data_survives_inside_answers() -> None:
    """`data: ` is text like any other inside an answer."""
    text = "a data: b\ndata: c data: [DONE] d"
    async with ScriptedServer(Script.stream(text)) as server, AutonomousAI(server.url) as provider:
        found = await provider.create_async_generator("llama", HELLO, stream=True).text()

    assert text == found


@pytest.mark.parametrize("fault", ["error_event", "malformed_event", "cut", "reset_after_headers"])
async def test_what_goes_wrong_inside_a_stream_is_raised(fault: str) -> None:
    """An error event, an unreadable event, a cut and a reset raise an HTTPError that holds the text so far."""
    script = getattr(Script, fault)("Hel", "lo")
    async with ScriptedServer(script) as server, AutonomousAI(server.url) as provider:
        found: list[str] = []
        with pytest.raises(HTTPError) as caught:
            async for chunk in provider.create_async_generator("llama", HELLO, stream=True):
                found.append(str(chunk))

    assert (caught.value.partial, "".join(found)) == ("Hello", "Hello")


async def test_an_event_of_several_megabytes_is_read() -> None:
    """There is no limit of 512 KiB on an event."""
    text = "x" * 3_000_000
    async with ScriptedServer(Script.stream(text)) as server, AutonomousAI(server.url) as provider:
        found = await provider.create_async_generator("llama", HELLO, stream=True).text()

    assert text == found


@pytest.mark.parametrize("alias", AutonomousAI.model_aliases)
async def test_aliases_are_answered(alias: str) -> None:
    """Every alias reaches its model's endpoint."""
    async with ScriptedServer() as server, AutonomousAI(server.url) as provider:
        text = await provider.create_async_generator(alias, HELLO).text()

    assert text == "Hello world"


@pytest.mark.parametrize("script", [Script.lingering("Hel", "lo"), Script.lingering_without_done("Hel", "lo")])
async def test_nobody_waits_for_the_connection_to_end(script: Script) -> None:
    """After [DONE], or after a finish reason and a short grace, the answer is over although the connection stays open."""
    async with ScriptedServer(script) as server, AutonomousAI(server.url) as provider:
        text = await provider.create_async_generator("llama", HELLO, stream=True).text()
        end = await server.requests[0].over()

    assert (text, end) == ("Hello", "left")


def test_importing_the_class_does_not_import_aiohttp() -> None:
    """aiohttp is imported when the first request is made: importing us is quick."""
    code = "import sys; from autonomousai import AutonomousAI; AutonomousAI.get_models(); print('aiohttp' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"


async def test_a_result_is_iterable_by_anext_and_knows_who_answered() -> None:
    """An AsyncResult is an async iterator too, and names the model that answered."""
    async with ScriptedServer(Script.body(chunks("Hi", model="weights-1"))) as server, AutonomousAI(server.url) as provider:
        result = provider.create_async_generator("llama", HELLO, stream=True)
        first = await anext(result)
        rest = [chunk async for chunk in result]

    assert isinstance(result, AsyncResult)
    assert (first, len(rest), result.model) == ("Hi", 1, "weights-1")


async def test_an_unreachable_hosted_service_says_where_else_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a server, the error is no bare network error: it says that the service is not operational, and what is."""
    monkeypatch.delenv("AUTONOMOUSAI_BASE_URL", raising=False)
    _warn_of_the_hosted_service.cache_clear()
    async with AutonomousAI(proxy="http://127.0.0.1:9") as provider:
        with pytest.warns(UserWarning, match="no server is named") as warned:
            result = provider.create_async_generator("llama", HELLO, stream=True)
        with pytest.raises(ConnectError) as caught:
            await result
        provider.create_async_generator("llama", HELLO)  # it warns once

    assert [__file__] == [warning.filename for warning in warned]
    assert "not operational: name a server with base_url or AUTONOMOUSAI_BASE_URL" in str(caught.value)


@pytest.mark.parametrize("name", ["create_async_generator", "create_completion", "chat", "complete"])
def test_the_warning_is_of_the_callers_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever name is called, on the class too."""
    monkeypatch.delenv("AUTONOMOUSAI_BASE_URL", raising=False)
    _warn_of_the_hosted_service.cache_clear()
    with pytest.warns(UserWarning, match="no server is named") as warned:
        getattr(AutonomousAI, name)("llama", HELLO)

    assert [__file__] == [warning.filename for warning in warned]


async def test_a_connection_that_takes_too_long_says_where_else_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """The timeout of the connection is told like a refused one, with the same advice in place of a longer timeout."""

    async def late(self: object, *_: object, **__: object) -> object:
        raise TimeoutError("connect", 5)

    monkeypatch.delenv("AUTONOMOUSAI_BASE_URL", raising=False)
    monkeypatch.setattr(ResponseStream, "__anext__", late)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        async with AutonomousAI() as provider:
            with pytest.raises(TimeoutError) as caught:
                await provider.create_async_generator("llama", HELLO)

    assert "; the hosted service is taken as not operational: name a server" in str(caught.value)
    assert "raise it" not in str(caught.value)


async def test_the_hosted_service_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no server is named, the error comes within the time that a connection may take; who wants tries says so."""
    monkeypatch.delenv("AUTONOMOUSAI_BASE_URL", raising=False)
    pauses: list[float] = []

    async def note(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(retries, "sleep", note)
    counts = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for wanted in (None, 2):
            async with AutonomousAI(proxy="http://127.0.0.1:9", retries=wanted) as provider:
                with pytest.raises(ConnectError):
                    await provider.create_async_generator("llama", HELLO)
            counts.append(len(pauses))

    assert [0, 2] == counts
