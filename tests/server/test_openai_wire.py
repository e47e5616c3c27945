"""The OpenAI wire as a caller sees it: streams, whole answers, errors before and inside them, the list of models."""

from __future__ import annotations

import hashlib
import logging

import pytest

from autonomousai.errors import ConnectError, IncompleteStreamError, StatusError, StreamError
from autonomousai.errors import TimeoutError as ClockError
from autonomousai.events import FinishReason, Reasoning, ToolCallDelta, Usage
from autonomousai.provider import AsyncGeneratorProvider
from autonomousai.report import Attempt, Report, Splice
from autonomousai.result import AsyncResult
from autonomousai.testing import Pause, ScriptedProvider, answer
from tests.support.sockets import CHAT, HELLO, Connection, ask, events, request, text_of

STREAM = {**HELLO, "stream": True}
USAGE = Usage(prompt_tokens=3, completion_tokens=2, total_tokens=5)
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


async def test_a_whole_answer_is_one_document(port, provider):
    """Without `stream` the answer comes as one JSON document, under the name of who really answered, with its usage."""
    provider.play(answer("Hello", " world", usage=USAGE, model=None))

    got = await ask(port, request("POST", CHAT, HELLO))

    document = got.json()
    assert (200, "application/json") == (got.status, got["content-type"])
    assert ("chat.completion", "scripted") == (document["object"], document["model"])
    message = {"role": "assistant", "content": "Hello world", "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    assert [choice] == document["choices"]
    assert {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5} == document["usage"]
    assert document["id"].startswith("chatcmpl-")


async def test_a_stream_is_chunks_and_done(port, provider):
    """With `stream` each piece is a chunk, the last one says why it ended, and [DONE] follows."""
    provider.play(answer("Hello", " world", usage=USAGE))

    got = await ask(port, request("POST", CHAT, STREAM))

    *chunks, done = events(got.body)
    expected = {
        "content-type": "text/event-stream; charset=utf-8",
        "cache-control": "no-cache",
        "x-accel-buffering": "no",
        "transfer-encoding": "chunked",
    }
    assert (200, expected) == (got.status, {name: got[name] for name in expected})
    assert ("Hello world", "[DONE]") == (text_of(chunks), done)
    assert [None, None, None, "stop"] == [chunk["choices"][0]["finish_reason"] for chunk in chunks]
    assert {"role": "assistant", "content": ""} == chunks[0]["choices"][0]["delta"]
    assert {"chat.completion.chunk"} == {chunk["object"] for chunk in chunks}
    assert 1 == len({(chunk["id"], chunk["model"], chunk["created"]) for chunk in chunks})
    assert not any("usage" in chunk for chunk in chunks)


async def test_usage_is_counted_in_a_stream_when_asked_for(port, provider):
    """`stream_options.include_usage` adds a last chunk without choices, and only then."""
    provider.play(answer("Hello", usage=USAGE))

    got = await ask(port, request("POST", CHAT, {**STREAM, "stream_options": {"include_usage": True}}))

    *_, last, done = events(got.body)
    assert ([], {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}) == (last["choices"], last["usage"])
    assert "[DONE]" == done


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_carries_what_it_can_be_checked_against(port, provider, stream):
    """The last event before [DONE], and a document, hold the text's length in characters and its hash."""
    text = "Héllo 🌍"
    provider.play(answer(*text))

    got = await ask(port, request("POST", CHAT, {**HELLO, "stream": stream}))

    document = events(got.body)[-2] if stream else got.json()
    expected = {
        "upstream": None,
        "attempts": [],
        "splices": [],
        "length": 7,
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
    }
    assert expected == document["x_autonomousai"]


async def test_an_answer_tells_how_it_came_about(serve):
    """What a gateway reports of upstreams, attempts and splices is written out."""
    report = Report("b", [Attempt("a", "reset", None, 3), Attempt("b", "ok", 200, 5)], [Splice(2, "a", "b")])

    class Reporting(ScriptedProvider):
        def stream(self, request, options):
            options.answer.report = report
            return super().stream(request, options)

    got = await ask((await serve(Reporting())).port, request("POST", CHAT, HELLO))

    told = got.json()["x_autonomousai"]
    attempts = [
        {"upstream": "a", "outcome": "reset", "status": None, "ms": 3},
        {"upstream": "b", "outcome": "ok", "status": 200, "ms": 5},
    ]
    assert ("b", attempts, [{"offset": 2, "from": "a", "to": "b"}]) == (told["upstream"], told["attempts"], told["splices"])


@pytest.mark.parametrize("stream", [False, True])
async def test_reasoning_and_tool_calls_travel(port, provider, stream):
    """What is not text has its own places in both forms."""
    calls = [ToolCallDelta(0, "call_1", "look", '{"a"'), ToolCallDelta(0, arguments=":1}")]
    provider.play([Reasoning("Hm."), *calls, FinishReason("tool_calls", "finish_reason")])

    got = await ask(port, request("POST", CHAT, {**HELLO, "stream": stream}))

    if stream:
        deltas = [chunk["choices"][0]["delta"] for chunk in events(got.body)[:-1]]
        arguments = "".join(call["function"]["arguments"] for delta in deltas for call in delta.get("tool_calls", ()))
        reasoning = "".join(delta.get("reasoning_content", "") for delta in deltas)
    else:
        message = got.json()["choices"][0]["message"]
        arguments = message["tool_calls"][0]["function"]["arguments"]
        reasoning = message["reasoning_content"]
    assert ('{"a":1}', "Hm.") == (arguments, reasoning)


async def test_a_batch_is_one_event_block(port, provider):
    """Everything that one read of the upstream brought leaves in one piece."""
    provider.play([["Hello", " ", "world"], FinishReason("stop", "finish_reason")])

    async with Connection(port) as connection:
        await connection.send(request("POST", CHAT, STREAM))
        await connection.head()
        pieces = [await connection.piece() for _ in range(3)]

    assert [4, 2, 0] == [len(events(piece)) for piece in pieces]  # with the role before; with [DONE]; the end


async def test_the_request_reaches_the_provider(port, provider):
    """Model, messages, the stream flag and the fields arrive; what only the server needs does not."""
    document = {
        **HELLO,
        "temperature": 0.5,
        "max_completion_tokens": 9,
        "seed": 7,
        "user": "me",
        "top_k": 3,
        "logit_bias": None,
        "stream_options": None,
    }

    await ask(port, request("POST", CHAT, document))

    call = provider.calls[0]
    assert ("llama", HELLO["messages"], False, None) == (call.model, call.messages, call.stream, call.proxy)
    assert {"temperature": 0.5, "max_completion_tokens": 9, "seed": 7, "user": "me", "top_k": 3} == call.kwargs


@pytest.mark.parametrize("name", ["proxy", "headers", "api_key", "timeout", "retries", "self", "base_url"])
async def test_a_caller_cannot_reach_the_providers_own_options(port, provider, name):
    """What steers our own client is no field of a request: a proxy given there would get our upstream's key."""
    got = await ask(port, request("POST", CHAT, {**HELLO, name: "http://evil.example"}))

    assert (400, name, []) == (got.status, got.error["param"], provider.calls)


@pytest.mark.parametrize("model", ["llama", "llama-3.3-70b", "", None])
async def test_a_model_can_be_named_in_several_ways(port, provider, model):
    """By its name, by an alias, or not at all for the default."""
    got = await ask(port, request("POST", CHAT, {**HELLO, "model": model}))

    assert (200, "Hello world") == (got.status, got.json()["choices"][0]["message"]["content"])


# Errors


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("change", "status", "param"),
    [
        ({"model": "gpt-5"}, 404, "model"),
        ({"model": 5}, 400, "model"),
        ({"messages": None}, 400, "messages"),
        ({"messages": []}, 400, "messages"),
        ({"messages": "Hello"}, 400, "messages"),
        ({"messages": [{"role": 5, "content": "x"}]}, 400, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [IMAGE]}]}, 400, "messages[0].content"),
        ({"temperature": "hot"}, 400, "temperature"),
        ({"n": "two"}, 400, "n"),
        ({"tools": [{"type": "function"}]}, 400, "tools[0].function"),
    ],
)
async def test_a_bad_request_is_told_its_place(port, provider, stream, change, status, param):
    """A wrong field is an error of the right status that names it, in both forms, and no model is asked."""
    got = await ask(port, request("POST", CHAT, {**HELLO, "stream": stream, **change}))

    assert (status, param, "invalid_request_error") == (got.status, got.error["param"], got.error["type"])
    assert [] == provider.calls


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b'{"model": "llama", "messages": [{"role": "user", "content": "\xff"}]}',
        b'{"model": "llama", "messages": [{"role": "user", "content": "\\ud800"}], "n": NaN}',
        b'{"model": "llama", "messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a": ' * 100_000 + b"1" + b"}" * 100_000,
        b'{"model": NaN}',
    ],
)
async def test_a_body_that_cannot_be_read_is_refused_and_the_server_stays_up(port, body):
    """No bytes of a body bring the server down."""
    async with Connection(port) as connection:
        got = await connection.ask(request("POST", CHAT, body, content_type="application/json", content_length=str(len(body))))
        next_one = await connection.ask(request("POST", CHAT, HELLO))

    assert (400, "invalid_request_error", 200) == (got.status, got.error["type"], next_one.status)


@pytest.mark.parametrize(
    ("path", "document"),
    [
        (CHAT, {"messages": [{"role": "user", "content": "cut \ud83d"}]}),
        ("/v1/responses", {"input": "cut \ud83d"}),
        ("/v1/messages", {"max_tokens": 9, "messages": [{"role": "user", "content": "cut \ud83d"}]}),
    ],
)
async def test_half_a_character_is_replaced(port, provider, path, document):
    """Programs that cut a text by its UTF-16 write one: a conversation that holds it could never be continued."""
    got = await ask(port, request("POST", path, {"model": "llama", **document}))

    (message,) = provider.calls[0].messages
    assert (200, "cut \ufffd") == (got.status, message["content"])


async def test_an_image_is_for_those_who_can_see(serve):
    """A provider that says it can see gets the image."""
    provider = ScriptedProvider(vision=True)
    message = {"role": "user", "content": [{"type": "text", "text": "What is this?"}, IMAGE]}

    got = await ask((await serve(provider)).port, request("POST", CHAT, {**HELLO, "messages": [message]}))

    assert (200, [message]) == (got.status, provider.calls[0].messages)


FAILURES = [
    (StatusError("slow down", status=429, retry_after=7, code="rate_limited"), 429, "rate_limited"),
    (StatusError("too long", status=400, code="context_length_exceeded"), 400, "context_length_exceeded"),
    (ConnectError("nobody there"), 502, "upstream_unreachable"),
    (ClockError("first_token", 20), 504, "first_token_timeout"),
    (StreamError("broken"), 502, "upstream_error"),
    (IncompleteStreamError(), 502, "upstream_incomplete"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("error", "status", "code"), FAILURES)
async def test_a_failure_before_the_first_event_keeps_its_status(port, provider, stream, error, status, code):
    """As long as nothing was sent, an error is an answer of its own, with Retry-After where the upstream gave one."""
    provider.play([error])

    got = await ask(port, request("POST", CHAT, {**HELLO, "stream": stream}))

    assert ((status, code), "application/json") == (got.told, got["content-type"])
    assert (None if error.retry_after is None else "7") == got["retry-after"]


@pytest.mark.parametrize(("error", "status", "code"), FAILURES)
async def test_a_failure_inside_a_stream_is_an_event_and_its_end(port, provider, error, status, code):
    """After the first event an error is the last event, with the same object; no finish reason and no [DONE] follow."""
    provider.play(["Hello", error])

    got = await ask(port, request("POST", CHAT, STREAM))

    *chunks, last = events(got.body)
    assert (200, "Hello", code) == (got.status, text_of(chunks), last["error"]["code"])
    assert {"message", "type", "param", "code"} == set(last["error"])
    assert {None} == {chunk["choices"][0]["finish_reason"] for chunk in chunks}


@pytest.mark.parametrize(("error", "status", "code"), FAILURES)
async def test_a_failure_inside_a_whole_answer_is_an_error(port, provider, error, status, code):
    """Half an answer is none: a caller without `stream` gets the error."""
    provider.play(["Hello", error])

    assert (status, code) == (await ask(port, request("POST", CHAT, HELLO))).told


@pytest.mark.parametrize("stream", [False, True])
async def test_a_stream_that_just_stops_is_not_an_answer(port, provider, stream):
    """Without evidence of its end nothing says that the answer is whole."""
    provider.play(["Hello"])

    got = await ask(port, request("POST", CHAT, {**HELLO, "stream": stream}))

    if stream:
        assert ("upstream_incomplete", 0) == (events(got.body)[-1]["error"]["code"], got.body.count(b"data: [DONE]"))
    else:
        assert (502, "upstream_incomplete") == got.told


@pytest.mark.parametrize("error", [ConnectError("late"), RuntimeError("late")])
async def test_what_goes_wrong_after_the_end_does_not_spoil_the_answer(port, provider, error):
    """An answer that was sent whole stays whole, whatever happens while its connection is put away."""
    provider.play([*answer("Hello"), error])

    async with Connection(port) as connection:
        got = await connection.ask(request("POST", CHAT, STREAM))
        next_one = await connection.ask(request("GET", "/healthz"))

    assert (200, False, 200) == (got.status, b'"error"' in got.body, next_one.status)


@pytest.mark.parametrize("script", [[RuntimeError("SECRET prompt")], ["Hello", RuntimeError("SECRET prompt")]])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_bug_is_a_500_without_details(port, provider, stream, script, caplog):
    """A mistake of ours costs its own request alone: the caller learns nothing of it, the log where it was, but no texts."""
    provider.play(script, answer("fine"))
    document = {**HELLO, "messages": [{"role": "user", "content": "SECRET prompt"}], "stream": stream}

    with caplog.at_level(logging.ERROR):
        got = await ask(port, request("POST", CHAT, document))
        next_one = await ask(port, request("POST", CHAT, HELLO))

    error = events(got.body)[-1]["error"] if got.status == 200 else got.error
    assert ("internal_error", "server_error") == (error["code"], error["type"])
    assert "SECRET" not in got.body.decode()
    assert ("builtins.RuntimeError" in caplog.text, "SECRET" in caplog.text) == (True, False)
    assert (got["x-request-id"] or "none") in caplog.text
    assert 200 == next_one.status


async def test_a_provider_that_breaks_at_the_call_is_a_500(serve):
    """A bug before there is any answer is handled in the same way."""

    class Broken(AsyncGeneratorProvider):
        def create_async_generator(self, model, messages, proxy=None, stream=False, **kwargs) -> AsyncResult:
            raise ZeroDivisionError

    assert (500, "internal_error") == (await ask((await serve(Broken())).port, request("POST", CHAT, HELLO))).told


# Silence


async def test_a_silent_stream_is_kept_alive_with_comments(serve, provider):
    """After keepalive_s of silence the head goes out with a comment, and further ones; then the answer as if nothing were."""
    pause = Pause()
    provider.play([pause, "Hello", *answer(" world")])
    port = (await serve(keepalive_s=0.01)).port

    async with Connection(port) as connection:
        await connection.send(request("POST", CHAT, STREAM))
        status, _ = await connection.head()
        comments = [await connection.piece() for _ in range(3)]
        pause.release()
        rest = await connection.until(b"[DONE]\n\n")

    assert (200, [b": keep-alive\n\n"] * 3) == (status, comments)
    assert b"Hello" in rest


async def test_a_failure_after_the_first_comment_is_an_event(serve, provider):
    """Once the head has gone, an error has no status of its own any more."""
    pause = Pause()
    provider.play([pause, StatusError("slow down", status=429, code="rate_limited")])
    port = (await serve(keepalive_s=0.01)).port

    async with Connection(port) as connection:
        await connection.send(request("POST", CHAT, STREAM))
        await connection.until(b": keep-alive\n\n")
        pause.release()
        rest = await connection.until(b"0\r\n\r\n")

    assert b'"code":"rate_limited"' in rest
    assert b"[DONE]" not in rest


async def test_a_silent_whole_answer_sends_nothing(serve, provider):
    """Comments have no place in a JSON document."""
    provider.play([Pause(seconds=0.05), *answer("Hello")])
    port = (await serve(keepalive_s=0.01)).port

    got = await ask(port, request("POST", CHAT, HELLO))

    assert "Hello" == got.json()["choices"][0]["message"]["content"]


async def test_no_comment_stands_inside_an_event(serve, provider):
    """Comments at every turn of a long stream leave its events whole."""
    words = [f"word{number} " for number in range(50)]
    provider.play([step for word in words for step in (word, Pause(seconds=0.002))] + answer())
    port = (await serve(keepalive_s=0.001)).port

    got = await ask(port, request("POST", CHAT, STREAM))

    assert "".join(words) == text_of(events(got.body))
    assert b": keep-alive\n\n" in got.body


# The cold routes


async def test_the_models_are_listed_with_their_aliases(port):
    """The five stand there, each with its alias."""
    got = await ask(port, request("GET", "/v1/models"))

    document = got.json()
    expected = {
        "llama": ["llama-3.3-70b"],
        "qwen_coder": ["qwen-2.5-coder-32b"],
        "hermes": ["hermes-3"],
        "vision": ["llama-3.2-90b"],
        "summary": ["llama-3.2-70b"],
    }
    assert ("list", expected) == (document["object"], {entry["id"]: entry["aliases"] for entry in document["data"]})
    assert {("model", "autonomousai")} == {(entry["object"], entry["owned_by"]) for entry in document["data"]}
    assert all(isinstance(entry["created"], int) for entry in document["data"])
    assert {False} == {entry["vision"] for entry in document["data"]}


async def test_a_model_that_sees_images_says_so(serve):
    """In the list, and by itself."""
    port = (await serve(ScriptedProvider(vision=True))).port

    (listed, one) = [(await ask(port, request("GET", path))).json() for path in ("/v1/models", "/v1/models/llama")]

    assert ({True}, True) == ({entry["vision"] for entry in listed["data"]}, one["vision"])


@pytest.mark.parametrize(
    ("path", "id"),
    [
        ("llama", "llama"),
        ("llama-3.3-70b", "llama"),
        ("org/model", "org/model"),
        ("org%2Fmodel", "org/model"),
        ("o/m:q", "org/model"),
    ],
)
async def test_one_model_is_found_by_its_name_or_an_alias(serve, path, id):
    """Names may contain slashes; an alias is answered with the model that it means."""
    provider = ScriptedProvider(models=["llama", "org/model"], aliases={"llama-3.3-70b": "llama", "o/m:q": "org/model"})

    got = await ask((await serve(provider)).port, request("GET", f"/v1/models/{path}"))

    assert (200, id) == (got.status, got.json()["id"])


async def test_an_unknown_model_is_a_404_that_names_the_known_ones(port):
    """Who asks for a model that there is none of, learns which there are."""
    got = await ask(port, request("GET", "/v1/models/gpt-5"))

    assert (404, "model_not_found") == got.told
    assert "qwen_coder" in got.error["message"]


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", CHAT, {"POST", "OPTIONS"}),
        ("HEAD", CHAT, {"POST", "OPTIONS"}),
        ("PUT", "/api/v1/ai/chat", {"POST", "OPTIONS"}),
        ("POST", "/v1/models", {"GET", "HEAD", "OPTIONS"}),
        ("DELETE", "/v1/models/llama", {"GET", "HEAD", "OPTIONS"}),
        ("POST", "/", {"GET", "HEAD", "OPTIONS"}),
        ("PATCH", "/healthz", {"GET", "HEAD", "OPTIONS"}),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(port, method, path, allow):
    """405, in OpenAI's shape, with Allow."""
    got = await ask(port, request(method, path))

    assert (405, allow) == (got.status, set((got["allow"] or "").split(", ")))
    assert method == "HEAD" or got.told == (405, "method_not_allowed")


@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/api/v1/ai/summary", "/healthz"])
async def test_options_tells_the_methods(port, path):
    """OPTIONS is a question about methods, and answered."""
    got = await ask(port, request("OPTIONS", path))

    assert (204, True) == (got.status, "OPTIONS" in (got["allow"] or ""))


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/llama", "/healthz", "/readyz", "/", "/metrics"])
async def test_head_is_get_without_its_body(port, path):
    """HEAD has the headers of GET; the connection goes on."""
    async with Connection(port) as connection:
        head = await connection.ask(request("HEAD", path))
        get = await connection.ask(request("GET", path))

    assert (200, get["content-type"], b"") == (head.status, head["content-type"], head.body)


@pytest.mark.parametrize("path", ["/nothing", "/v1", "/v1/", "/v2/models", "/v1/audio/speech", "//nothing/"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_is_not_there_is_a_404_in_openais_shape(port, path, method):
    """No path outside the table is served, redirected or guessed."""
    got = await ask(port, request(method, path))

    assert 404 == got.status
    assert got.error["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "path", ["//v1/chat/completions", "/v1//chat/completions", "/v1/chat/completions/", "//chat/completions//"]
)
async def test_needless_slashes_in_a_path_say_nothing(port, path):
    """A base URL that ends in one, and a program that puts another behind it, are common."""
    got = await ask(port, request("POST", path, HELLO))
    listed = await ask(port, request("GET", "//v1/models/"))
    refused = await ask(port, request("GET", path))

    assert (200, 200, 405) == (got.status, listed.status, refused.status)


async def test_every_answer_has_a_name_of_its_own(port):
    """x-request-id stands on whole answers, streams, errors and cold routes, and is never the same."""
    requests = [
        request("POST", CHAT, HELLO),
        request("POST", CHAT, STREAM),
        request("POST", CHAT, {}),
        request("GET", "/v1/models"),
        request("GET", "/nothing"),
        request("GET", "/", host="evil.example"),
    ]

    names = [(await ask(port, data))["x-request-id"] for data in requests]

    assert all(names)
    assert len(requests) == len(set(names))


ASKED_AS_RESPONSES = {
    "model": "llama",
    "instructions": "Be brief.",
    "input": [{"role": "user", "content": [{"type": "input_text", "text": "Hello"}]}],
    "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
    "reasoning": {"effort": "low"},
    "max_output_tokens": 9,
    "store": False,
    "include": ["reasoning.encrypted_content"],
}


async def test_a_request_of_the_responses_api_is_answered_in_this_one(port, provider):
    """Cursor sends it to this path, and reads chunks."""
    provider.play(answer("Hello", " world", usage=USAGE))
    body = {**ASKED_AS_RESPONSES, "stream": True, "stream_options": {"include_usage": True}}

    got = await ask(port, request("POST", CHAT, body))

    *chunks, done = events(got.body)
    (call,) = provider.calls
    assert ("Hello world", "[DONE]") == (text_of(chunks), done)
    assert 5 == chunks[-1]["usage"]["total_tokens"]
    assert [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}] == call.messages
    assert {"tools", "reasoning_effort", "max_tokens"} == call.kwargs.keys()
    assert call.origin is None


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"input": [{"type": "web_search_call", "id": "ws_1"}], "instructions": None}, "input"),
        ({"input": 7}, "input"),
        ({"max_output_tokens": "9"}, "max_output_tokens"),
    ],
)
async def test_what_only_the_responses_api_has_is_refused_here(port, provider, body, param):
    """By the names that the caller knows."""
    got = await ask(port, request("POST", CHAT, {**ASKED_AS_RESPONSES, **body}))

    assert (400, param, []) == (got.status, got.error["param"], provider.calls)


@pytest.mark.parametrize(
    ("tokens", "status", "said"),
    [(7, 200, {"object": "response.input_tokens", "input_tokens": 7}), (None, 404, "count_not_supported")],
)
async def test_the_tokens_of_a_conversation_are_counted(serve, tokens, status, said):
    """By an upstream that can, where clients of llama.cpp's server look for it; so does another server of this package."""
    port = (await serve(ScriptedProvider(tokens=tokens))).port

    for path in (f"{CHAT}/input_tokens", "/chat/completions/input_tokens"):
        got = await ask(port, request("POST", path, HELLO))
        assert (status, said) == (got.status, got.json() if status == 200 else got.error["code"])
