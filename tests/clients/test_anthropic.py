"""`Anthropic`: what goes to a server of the Messages API, what models refuse, and how an answer is continued there."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from autonomousai import (
    Anthropic,
    ConfigError,
    FinishReason,
    HTTPError,
    InvalidMessagesError,
    ModelNotFoundError,
    Reasoning,
    StatusError,
    StreamError,
    ToolCalls,
    Usage,
)
from autonomousai.answer import Answer
from autonomousai.capabilities import CANNOT_COUNT
from autonomousai.clients import retries
from autonomousai.config import load_config
from autonomousai.events import Extra
from autonomousai.request import CallOptions, ChatRequest, OriginalRequest
from autonomousai.result import AsyncResult
from autonomousai.testing import Close, Script, ScriptedServer, message_event, message_events

HELLO = [{"role": "user", "content": "Hello"}]
SAID = [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]

Json = dict[str, Any]


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses before another try, which nobody waits for."""
    waited: list[float] = []

    async def wait(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(retries, "sleep", wait)
    return waited


def refusal(said: str, status: int = 400) -> Script:
    return Script.status(status, {"type": "error", "error": {"type": "invalid_request_error", "message": said}})


async def test_the_request_is_the_apis() -> None:
    """Under the root, with the key and the version in headers of their own."""
    async with ScriptedServer(Script.messages("Hi")) as server, Anthropic(f"{server.url}/v1/", api_key="k") as provider:
        text = await provider.create_async_generator("m", HELLO, stream=True, stop="END").text()
        request = server.requests[0]

    names = ("x-api-key", "anthropic-version", "content-type", "authorization", "anthropic-beta")
    assert ("Hi", "/v1/messages") == (text, request.path)
    assert ["k", "2023-06-01", "application/json", None, None] == [request.headers.get(name) for name in names]
    assert {
        "model": "m",
        "messages": SAID,
        "stop_sequences": ["END"],
        "stream": True,
        "max_tokens": 8192,
    } == request.json()


async def test_the_key_goes_where_the_server_wants_it() -> None:
    """As a bearer token, which vLLM and some gateways take alone; of an own key of a call too."""
    async with (
        ScriptedServer(Script.message("Hi")) as server,
        Anthropic(server.url, api_key="k", key_header="authorization") as provider,
    ):
        await provider.create_async_generator("m", HELLO).text()
        await provider.create_async_generator("m", HELLO, api_key="mine").text()

    sent = [(each.headers.get("authorization"), each.headers.get("x-api-key")) for each in server.requests]
    assert [("Bearer k", None), ("Bearer mine", None)] == sent


async def test_headers_model_and_length_can_be_set() -> None:
    """By the provider; a caller's own headers go over them."""
    async with (
        ScriptedServer(Script.message("Hi")) as server,
        Anthropic(server.url, version="v", beta=["a", "b"], model="real", max_tokens=7, headers={"x-a": "1"}) as provider,
    ):
        text = await provider.create_async_generator("m", HELLO, headers={"anthropic-version": "w"}).text()
        request = server.requests[0]

    assert "Hi" == text
    assert ["w", "a,b", "1", None] == [
        request.headers.get(name) for name in ("anthropic-version", "anthropic-beta", "x-a", "x-api-key")
    ]
    assert ("real", 7, False) == tuple(request.json()[name] for name in ("model", "max_tokens", "stream"))


@pytest.mark.parametrize(
    ("base_url", "given", "sent"),
    [
        (None, None, "env"),
        ("https://api.anthropic.com/v1/", None, "env"),
        (None, "", None),
        (None, "mine", "mine"),
        ("http://127.0.0.1:1", None, None),
    ],
)
def test_the_key_of_the_environment_is_for_the_vendor_alone(
    monkeypatch: pytest.MonkeyPatch, base_url: str | None, given: str | None, sent: str | None
) -> None:
    """No other server gets it."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "env")

    provider = Anthropic(base_url, api_key=given)

    assert sent == provider._headers(provider._options).get("x-api-key")


@pytest.mark.parametrize("named", ["http://127.0.0.1:9", "http://127.0.0.1:9/v1/ "])
def test_the_environment_names_another_server_and_its_key(monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    """As Anthropic's own clients read it; one that is given comes first, and does not get that key."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "env")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", named)

    provider, given = Anthropic(), Anthropic("http://127.0.0.1:8")

    assert ("http://127.0.0.1:9", "env") == (provider.base_url, provider._headers(provider._options).get("x-api-key"))
    assert ("http://127.0.0.1:8", None) == (given.base_url, given._headers(given._options).get("x-api-key"))


@pytest.mark.parametrize("value", [None, "", " "])
def test_the_vendors_server_is_not_asked_without_a_key(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str | None
) -> None:
    """As with every vendor, the variable is named, in Python and in a config; another server needs none."""
    if value is None:
        monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    else:
        monkeypatch.setenv("ANTHROPIC_API_KEY", value)
    file = tmp_path / "config.toml"
    route = '\n[models.llama]\nroute = ["u"]'

    with pytest.raises(ConfigError, match="the environment variable ANTHROPIC_API_KEY, for the key of Anthropic, is not set"):
        Anthropic()
    for url in ("", 'base_url = "https://api.anthropic.com/v1"'):
        file.write_text(f'[upstreams.u]\nkind = "anthropic"\n{url}{route}')
        with pytest.raises(ConfigError, match=r"upstreams\.u\.api_key: the environment variable ANTHROPIC_API_KEY is not set"):
            load_config(file, {})
        assert "k" == load_config(file, {"ANTHROPIC_API_KEY": "k"}).secrets()[0]
    file.write_text(f'[upstreams.u]\nkind = "anthropic"\nbase_url = "http://127.0.0.1:1"{route}')
    assert () == load_config(file, {"ANTHROPIC_API_KEY": "k"}).secrets()
    Anthropic(headers={"Authorization": "Bearer token"})


def test_what_cannot_be_asked_is_refused_at_the_call() -> None:
    """Addresses, models, messages and fields."""
    with pytest.raises(ConfigError, match="base_url"):
        Anthropic("localhost:8000")
    provider = Anthropic("http://127.0.0.1:1", models=["a", "b"])
    with pytest.raises(ModelNotFoundError, match="a, b"):
        provider.create_async_generator("c", HELLO)
    with pytest.raises(InvalidMessagesError):
        provider.create_async_generator("a", [])
    with pytest.raises(StatusError, match="one choice"):
        provider.create_async_generator("a", HELLO, n=2)


TOOL = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}}
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "s"}


@pytest.mark.parametrize("script", [Script.messages, Script.message])
@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_is_thinking_text_calls_and_usage(script: Any, stream: bool) -> None:
    """However it was asked for, and however it came."""
    usage = {"input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 5}
    async with (
        ScriptedServer(script(THOUGHT, "Hello", TOOL, finish="tool_use", usage=usage)) as server,
        Anthropic(server.url) as provider,
    ):
        chunks = [chunk async for chunk in provider.create_async_generator("m", HELLO, stream=stream)]

    thought, text, calls, finish = chunks
    assert ("hm", "Hello") == (thought.text if isinstance(thought, Reasoning) else None, text)
    assert isinstance(calls, ToolCalls)
    assert [("toolu_1", "f", {"a": 1})] == [(call.id, call.name, json.loads(call.arguments)) for call in calls.calls]
    assert isinstance(finish, FinishReason)
    assert ("tool_calls", "scripted", Usage(7, 5, 12, 4)) == (finish.reason, finish.model, finish.usage)


# ---- errors


async def test_an_overloaded_server_is_asked_again(pauses: list[float]) -> None:
    """After the pause that it asks for."""
    overloaded = Script.status(
        529,
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
        headers={"retry-after": "3", "request-id": "req_1"},
    )
    async with ScriptedServer(overloaded, Script.messages("Hi")) as server, Anthropic(server.url) as provider:
        text = await provider.create_async_generator("m", HELLO, stream=True).text()

    assert ("Hi", 2) == (text, len(server.requests))
    assert pauses[0] >= 3


async def test_a_refusal_says_who_and_why() -> None:
    """With the vendor's type, the request's id, and without the key."""
    script = Script.status(
        401,
        {"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key very-secret-key"}},
        headers={"request-id": "req_1"},
    )
    async with ScriptedServer(script) as server, Anthropic(server.url, api_key="very-secret-key") as provider:
        with pytest.raises(StatusError) as caught:
            await provider.create_async_generator("m", HELLO).text()

    error = caught.value
    assert (401, "authentication_error", "req_1") == (error.status, error.type, error.request_id)
    assert "very-secret-key" not in str(error) + error.body


@pytest.mark.parametrize("stream", [True, False])
async def test_an_error_with_a_status_of_success_is_one(stream: bool) -> None:
    """In the vendor's shape or in OpenAI's, as a document or as an event."""
    for error in ({"type": "error", "error": {"type": "api_error", "message": "no"}}, {"error": {"message": "no"}}):
        document = Script.status(200, json.dumps(error))
        events = Script.body(message_events("Hel", finish=None) + b"data: " + json.dumps(error).encode() + b"\n\n")
        async with ScriptedServer(document, events) as server, Anthropic(server.url) as provider:
            for partial in ("", "Hel"):
                with pytest.raises(StreamError, match="no") as caught:
                    await provider.create_async_generator("m", HELLO, stream=stream).text()
                assert partial == caught.value.partial


@pytest.mark.parametrize("end", [(), (Close(),)])
async def test_a_cut_answer_is_an_error_with_its_text(end: tuple[Any, ...]) -> None:
    """Whether its body ends in good order or not."""
    script = Script.body(message_events("Hel", "lo", finish=None)).then(*end)
    async with ScriptedServer(script) as server, Anthropic(server.url) as provider:
        with pytest.raises(HTTPError) as caught:
            await provider.create_async_generator("m", HELLO, stream=True).text()

    assert "Hello" == caught.value.partial


async def test_a_connection_that_lingers_after_the_end_is_not_waited_for() -> None:
    """message_stop completes the answer."""
    script = Script.messages("Hi").then(*Script.silence().steps)
    async with ScriptedServer(script) as server, Anthropic(server.url) as provider:
        assert "Hi" == await provider.create_async_generator("m", HELLO, stream=True).text()


# ---- models that want other forms

EFFORT = {"reasoning_effort": "high"}

#: What was asked with, what the model said to that, and which of these members the next request has.
FORMS: dict[str, tuple[Json, tuple[str, ...], Json]] = {
    "a temperature that is not taken": ({"temperature": 0}, ("`temperature` is deprecated for this model.",), {}),
    "one of two": (
        {"temperature": 0, "top_p": 0.5},
        ("`temperature` and `top_p` cannot both be specified for this model. Please use only one.",),
        {"temperature": 0},
    ),
    "top_k": ({"top_k": 3}, ("top_k is not supported",), {}),
    "thinking by a budget": (
        {**EFFORT, "max_tokens": 20_000},
        ("adaptive thinking is not supported on this model",),
        {"thinking": {"type": "enabled", "budget_tokens": 16_384}, "max_tokens": 20_000},
    ),
    "thinking by a budget that the answer leaves": (
        EFFORT,
        ("adaptive thinking is not supported on this model",),
        {"thinking": {"type": "enabled", "budget_tokens": 8191}},
    ),
    "no room for thinking": ({**EFFORT, "max_tokens": 500}, ("adaptive thinking is not supported",), {"max_tokens": 500}),
    "no effort": (
        EFFORT,
        ("This model does not support the effort parameter.",),
        {"thinking": {"type": "enabled", "budget_tokens": 8191}},
    ),
    "two of them": (
        {**EFFORT, "top_p": 0.99},
        ("adaptive thinking is not supported on this model", "top_p is not supported"),
        {"thinking": {"type": "enabled", "budget_tokens": 8191}},
    ),
    "no budget": (
        {"thinking": {"type": "enabled", "budget_tokens": 2000}},
        ('"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive"',),
        {"thinking": {"type": "adaptive"}},
    ),
    "always thinking": ({"reasoning_effort": "none"}, ("thinking cannot be disabled for this model",), {}),
    "no strict tools": (
        {"tools": [{"type": "function", "function": {"name": "f", "strict": True}}]},
        ("tools.0.custom.strict: Extra inputs are not permitted",),
        {"tools": [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]},
    ),
}


@pytest.mark.parametrize("name", FORMS)
async def test_a_model_is_asked_in_the_form_that_it_takes(name: str) -> None:
    """Once more at once, and from then on; other models are asked as ever."""
    fields, refusals, expected = FORMS[name]
    usual = {"model", "messages", "stream"} | ({"max_tokens"} - fields.keys() if "thinking" not in fields else {"max_tokens"})
    scripts = [*map(refusal, refusals), Script.message("Hi")]
    async with ScriptedServer(*scripts) as server, Anthropic(server.url) as provider:
        for model in ("m", "m", "other"):
            await provider.create_async_generator(model, HELLO, **fields).text()
        asked = [request.json() for request in server.requests]
        first, again, other = asked[0], asked[-2], asked[-1]

    assert len(refusals) + 3 == len(asked)
    assert expected == {name: value for name, value in again.items() if name not in usual}
    assert {**first, "model": "other"} == other


async def test_a_refusal_that_no_form_answers_is_told() -> None:
    """And one of a request that came over the same wire, which is the caller's own."""
    origin = OriginalRequest("anthropic_messages", {"max_tokens": 5, "messages": SAID, "temperature": 0})
    async with ScriptedServer(refusal("temperature is deprecated")) as server, Anthropic(server.url) as provider:
        with pytest.raises(StatusError, match="deprecated"):
            await provider.create_async_generator("m", HELLO).text()
        with pytest.raises(StatusError, match="deprecated"):
            await AsyncResult(provider.stream(ChatRequest("m", HELLO, True, origin=origin))).text()

        assert 2 == len(server.requests)


# ---- a caller of the same wire


async def test_a_caller_of_the_same_wire_is_passed_on() -> None:
    """The document with all its members, and the marks of beta features with those of the config."""
    document = {"model": "theirs", "max_tokens": 5, "messages": SAID, "unknown": {"x": None}}
    origin = OriginalRequest("anthropic_messages", document, headers={"anthropic-beta": "b, c"})
    async with ScriptedServer(Script.messages("Hi")) as server, Anthropic(server.url, beta=["a", "b"]) as provider:
        await AsyncResult(provider.stream(ChatRequest("m", HELLO, True, origin=origin))).text()
        request = server.requests[0]

    assert {**document, "model": "m", "stream": True} == request.json()
    assert "a,b,c" == request.headers["anthropic-beta"]


# ---- continuing


async def continued(text: str, *scripts: Script, **fields: Any) -> tuple[Answer, Json]:
    async with ScriptedServer(*scripts) as server, Anthropic(server.url, prefill="yes") as provider:
        answer = Answer()
        request = ChatRequest("m", HELLO, fields=fields)
        async for batch in provider.stream_continuation(request, text, CallOptions(answer=answer)):
            answer.add(batch)
        return answer, server.requests[0].json()


@pytest.mark.parametrize(
    ("begun", "sent", "said", "expected"),
    [
        ("The sky", "The sky", [" is", " blue"], " is blue"),
        ("The sky ", "The sky", [" is"], "is"),
        ("The sky\n\n", "The sky", ["\n", "\n", "is"], "is"),
        ("The sky ", "The sky", ["is"], "is"),
        ("The sky ", "The sky", ["  is"], " is"),
    ],
)
async def test_an_answer_is_continued_exactly(begun: str, sent: str, said: list[str], expected: str) -> None:
    """White space at the end of the beginning is not sent, and comes once."""
    answer, asked = await continued(begun, Script.messages(*said))

    assert {"role": "assistant", "content": [{"type": "text", "text": sent}]} == asked["messages"][-1]
    assert expected == answer.text


async def test_a_continuation_brings_no_thinking() -> None:
    """It is not asked for, and what comes of it is not part of the answer."""
    answer, asked = await continued("The sky", Script.messages(THOUGHT, " is"), reasoning_effort="high")

    assert "thinking" not in asked
    assert (" is", "") == (answer.text, answer.reasoning)
    assert all(event.members.keys() == {"message_delta"} for event in answer.others if isinstance(event, Extra))


NO_PREFILL = "This model does not support assistant message prefill. The conversation must end with a user message."


async def test_a_model_that_refuses_to_continue_is_not_asked_again() -> None:
    """Another one is."""
    async with ScriptedServer(refusal(NO_PREFILL), Script.messages(" is")) as server, Anthropic(server.url) as provider:
        with pytest.raises(StatusError, match="prefill"):
            await AsyncResult(provider.stream_continuation(ChatRequest("m", HELLO), "The sky")).text()
        with pytest.raises(StatusError, match="continues no answer"):
            provider.stream_continuation(ChatRequest("m", HELLO), "The sky")
        text = await AsyncResult(provider.stream_continuation(ChatRequest("n", HELLO), "The sky")).text()

        assert (" is", 2) == (text, len(server.requests))


@pytest.mark.parametrize("prefill", ["yes", "no"])
async def test_whether_it_continues_can_be_said(prefill: Any) -> None:
    """Then nothing is asked."""
    async with ScriptedServer() as server, Anthropic(server.url, prefill=prefill) as provider:
        assert (prefill == "yes") is await provider.continues()
        assert (prefill == "yes") is provider.capabilities.continues
        assert [] == server.requests


async def test_the_vendors_server_continues_but_for_models_that_refuse() -> None:
    """By its documents; what a model says to it counts more."""
    async with ScriptedServer(refusal(NO_PREFILL)) as server, Anthropic(model="m", api_key="", trust_env=False) as provider:
        before = await provider.continues()
        provider._answer_url = f"{server.url}/v1/messages"
        with suppress(StatusError):
            await AsyncResult(provider.stream_continuation(ChatRequest("", HELLO), "The sky")).text()
        after = await provider.continues()

    assert (True, False) == (before, after)


@pytest.mark.parametrize(
    ("script", "continues"),
    [
        (Script.messages(" six seven"), True),
        (Script.messages("one two three"), False),
        (Script.messages("Sure! one"), False),
        (refusal(NO_PREFILL), False),
    ],
)
async def test_other_servers_are_probed_once(script: Script, continues: bool) -> None:
    """One that begins anew is not taken for one that continues."""
    async with ScriptedServer(script) as server, Anthropic(server.url) as provider:
        found = {await provider.continues() for _ in range(2)}

        assert ({continues}, 1) == (found, len(server.requests))


async def test_a_server_that_is_away_is_probed_again() -> None:
    """Nothing was found out of it."""
    async with ScriptedServer(Script.status(503), Script.messages(" six")) as server, Anthropic(server.url) as provider:
        assert [False, True] == [await provider.continues() for _ in range(2)]


# ---- beside answers


async def test_the_servers_models_are_listed() -> None:
    """All on one page."""
    listing = {"data": [{"type": "model", "id": "a", "display_name": "A"}, {"id": "b"}], "has_more": False}
    async with ScriptedServer(Script.status(200, listing)) as server, Anthropic(server.url, api_key="k") as provider:
        names = await provider.fetch_models()
        request = server.requests[0]

    assert (["a", "b"], "/v1/models?limit=1000", "k") == (names, request.path, request.headers["x-api-key"])


async def test_a_prompt_is_counted_by_a_plain_call() -> None:
    """Its fields are part of it, and its options are not."""
    tools = [{"type": "function", "function": {"name": "f"}}]
    async with ScriptedServer(Script.status(200, {"input_tokens": 14})) as server, Anthropic(server.url) as provider:
        count = await provider.count_prompt("m", HELLO, tools=tools, api_key="k", timeout=60)
        request = server.requests[0]

    assert (14, "/v1/messages/count_tokens", "k") == (count, request.path, request.headers["x-api-key"])
    assert {"model": "m", "messages": SAID, "tools": [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]} == (
        request.json()
    )


async def test_tokens_are_counted_by_the_server() -> None:
    """Of what makes the prompt, and nothing else; asked again where that can help."""
    tools = [{"type": "function", "function": {"name": "f"}}]
    scripts = [Script.status(529), Script.status(200, {"input_tokens": 14})]
    async with ScriptedServer(*scripts) as server, Anthropic(server.url) as provider:
        request = ChatRequest(
            "m", [{"role": "system", "content": "s"}, *HELLO], True, fields={"tools": tools, "temperature": 1}
        )
        count = await provider.count_tokens(request)
        asked = server.requests[-1]

    assert (14, "/v1/messages/count_tokens") == (count, asked.path)
    assert {"model", "messages", "system", "tools"} == asked.json().keys()


async def test_a_count_that_cannot_be_read_is_an_error() -> None:
    """Nobody knows what it is."""
    async with ScriptedServer(Script.status(200, {"tokens": 1})) as server, Anthropic(server.url) as provider:
        with pytest.raises(StreamError, match="count of tokens"):
            await provider.count_tokens(ChatRequest("m", HELLO))


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (Script.status(404, "no such page"), CANNOT_COUNT),
        (Script.status(501), CANNOT_COUNT),
        (
            Script.status(404, {"type": "error", "error": {"type": "not_found_error", "message": "nothing here can count"}}),
            CANNOT_COUNT,
        ),
        (Script.status(404, {"type": "error", "error": {"type": "not_found_error", "message": "model: m"}}), None),
        (Script.status(400, {"type": "error", "error": {"type": "invalid_request_error", "message": "no"}}), None),
    ],
)
async def test_a_server_that_cannot_count_is_told_from_one_that_refuses(script: Script, code: str | None) -> None:
    """By the path that it does not have."""
    async with ScriptedServer(script) as server, Anthropic(server.url) as provider:
        with pytest.raises(StatusError) as caught:
            await provider.count_tokens(ChatRequest("m", HELLO))

    assert code == caught.value.code


async def test_events_of_the_servers_own_reach_a_reader_of_batches() -> None:
    """In their place, bound to the wire."""
    odd = message_event({"type": "custom", "x": 1})
    data = message_events("a", "b").replace(b"event: content_block_stop", odd + b"event: content_block_stop", 1)
    async with ScriptedServer(Script.body(data)) as server, Anthropic(server.url) as provider:
        events = [event async for batch in provider.stream(ChatRequest("m", HELLO, True)) for event in batch]

    kinds = [type(event).__name__ for event in events]
    assert ["Started", "Extra", "str", "str", "ForeignEvent", "Extra", "FinishReason"] == kinds


def written_here(*blocks: Json, **fields: Any) -> ChatRequest:
    """A request that its caller wrote in the words of the API, with an answer of these *blocks* in it."""
    document: Json = {
        "model": "m",
        "max_tokens": 9,
        "messages": [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": list(blocks)},
            {"role": "user", "content": "b"},
        ],
        **fields,
    }
    return ChatRequest("m", HELLO, True, origin=OriginalRequest("anthropic_messages", document))


BAD_SIGNATURE = "messages.1.content.0: Invalid `signature` in `thinking` block"
UNSIGNED = {"type": "thinking", "thinking": "Hm", "signature": ""}
SIGNED = {"type": "thinking", "thinking": "Hm", "signature": "s"}
SPOKEN = {"type": "text", "text": "c"}


@pytest.mark.parametrize("said", [BAD_SIGNATURE, "messages.1.content.0.thinking.signature: Field required"])
async def test_thoughts_that_another_model_did_not_sign_are_left_out(said: str) -> None:
    """Where the server refuses them: the conversation would never be answered again. It is remembered, and changes no more."""
    async with ScriptedServer(refusal(said), Script.messages("Hi")) as server, Anthropic(server.url, retries=0) as provider:
        answers = [
            await AsyncResult(provider.stream(written_here(*blocks))).text()
            for blocks in ([UNSIGNED, SPOKEN], [UNSIGNED, SIGNED, SPOKEN], [UNSIGNED])
        ]
        asked = [request.json()["messages"] for request in server.requests]

    assert ["Hi"] * 3 == answers
    assert [UNSIGNED, SPOKEN] == asked[0][1]["content"]
    assert [[SPOKEN], [SIGNED, SPOKEN]] == [messages[1]["content"] for messages in asked[1:3]]
    assert ["user", "user"] == [message["role"] for message in asked[3]]


async def test_a_call_whose_thoughts_are_left_out_is_not_thought_on() -> None:
    """The API wants the thoughts of a turn that goes on, where thinking is on."""
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    thinking = {"type": "enabled", "budget_tokens": 1024}
    async with ScriptedServer(refusal(BAD_SIGNATURE), Script.messages("Hi")) as server, Anthropic(server.url) as provider:
        await AsyncResult(provider.stream(written_here(UNSIGNED, call, thinking=thinking))).text()
        await AsyncResult(provider.stream(written_here(UNSIGNED, SPOKEN, thinking=thinking))).text()
        asked = [request.json() for request in server.requests]

    assert [True, False, True] == ["thinking" in body for body in asked]


async def test_thoughts_that_another_server_signed_are_left_out_once() -> None:
    """The next conversation keeps its own; a refusal of what has none is the answer."""
    async with ScriptedServer(refusal(BAD_SIGNATURE)) as server, Anthropic(server.url, retries=0) as provider:
        with pytest.raises(StatusError, match="Invalid `signature`"):
            await AsyncResult(provider.stream(written_here(SIGNED, SPOKEN))).text()

    assert [["thinking", "text"], ["text"]] == [
        [block["type"] for block in asked.json()["messages"][1]["content"]] for asked in server.requests
    ]
    assert () == provider.status().adaptations
