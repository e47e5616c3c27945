"""`Gemini`: what goes to a server of the Gemini API, what it answers and refuses, and what models refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autonomousai import (
    ConfigError,
    FinishReason,
    Gemini,
    HTTPError,
    IncompleteStreamError,
    InvalidMessagesError,
    ModelNotFoundError,
    Reasoning,
    StatusError,
    StreamError,
    ToolCalls,
)
from autonomousai.capabilities import CANNOT_COUNT
from autonomousai.clients import retries
from autonomousai.config import load_config
from autonomousai.testing import Script, ScriptedServer
from autonomousai.testing.server import Request
from autonomousai.wires.google_gemini.upstream_contents import UNSIGNED

HELLO = [{"role": "user", "content": "Hello"}]

Json = dict[str, Any]


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses before another try, which nobody waits for."""
    waited: list[float] = []

    async def wait(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(retries, "sleep", wait)
    return waited


def fault(said: str, status: int = 400, word: str = "INVALID_ARGUMENT", *details: Json, wrapped: bool = False) -> Script:
    error = {"error": {"code": status, "message": said, "status": word, "details": list(details)}}
    return Script.status(status, json.dumps([error] if wrapped else error))


async def test_the_request_is_the_apis() -> None:
    """The path names the model and whether the answer is streamed; the key has a header of its own."""
    async with ScriptedServer(Script.gemini("H", "i")) as server, Gemini(f"{server.url}/v1beta/", api_key="k") as provider:
        text = await provider.create_async_generator("models/a b", HELLO, stream=True, stop="END").text()
        server.play(Script.gemini_document("Hi"))
        whole = await provider.create_async_generator("m", HELLO, api_key="mine").text()
        streamed, document = server.requests

    assert ("Hi", "Hi") == (text, whole)
    assert "/v1beta/models/a%20b:streamGenerateContent?alt=sse" == streamed.path
    assert "/v1beta/models/m:generateContent" == document.path
    assert ["k", None, "application/json"] == [
        streamed.headers.get(name) for name in ("x-goog-api-key", "authorization", "content-type")
    ]
    assert "mine" == document.headers["x-goog-api-key"]
    assert {
        "contents": [{"role": "user", "parts": [{"text": "Hello"}]}],
        "generationConfig": {"stopSequences": ["END"]},
    } == streamed.json()


async def test_an_answer_is_all_that_its_parts_say() -> None:
    """Thoughts, text and calls, streamed or not."""
    parts = ({"text": "hm", "thought": True}, "Hi", {"functionCall": {"id": "x", "name": "f", "args": {"a": [1]}}})
    for stream in (True, False):
        script = Script.gemini(*parts) if stream else Script.gemini_document(*parts)
        async with ScriptedServer(script) as server, Gemini(server.url, model="m") as provider:
            thought, text, calls, end = [chunk async for chunk in provider.create_async_generator("", HELLO, stream=stream)]

        assert (Reasoning("hm"), "Hi") == (thought, text)
        assert isinstance(calls, ToolCalls)
        assert [("x", "f", '{"a":[1]}')] == [(call.id, call.name, call.arguments) for call in calls.calls]
        assert isinstance(end, FinishReason)
        assert ("tool_calls", "scripted") == (end.reason, end.model)


async def test_a_list_in_place_of_events_is_read() -> None:
    """As the server streams that does not know ``alt=sse``."""
    chunks = [{"candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}]}]
    async with ScriptedServer(Script.status(200, json.dumps(chunks))) as server, Gemini(server.url) as provider:
        assert "Hi" == await provider.create_async_generator("m", HELLO, stream=True).text()


async def test_a_stream_that_just_ends_is_none() -> None:
    """What came is kept."""
    async with ScriptedServer(Script.cut("Hel", "lo", terminator=True, api="gemini")) as server:
        async with Gemini(server.url, retries=0) as provider:
            with pytest.raises(IncompleteStreamError) as caught:
                await provider.create_async_generator("m", HELLO, stream=True).text()

    assert "Hello" == caught.value.partial


# ---- keys


@pytest.mark.parametrize(
    ("variables", "given", "sent"),
    [
        ({"GEMINI_API_KEY": "a", "GOOGLE_API_KEY": "b"}, None, "a"),
        ({"GOOGLE_API_KEY": "b"}, None, "b"),
        ({"GEMINI_API_KEY": "a"}, "mine", "mine"),
        ({"GEMINI_API_KEY": "a"}, "", None),
    ],
)
def test_the_key_is_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], given: str | None, sent: str | None
) -> None:
    """Under either of the vendor's names; one that is given comes first, and no other server gets it."""
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GEMINI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    own, other = Gemini(api_key=given), Gemini("http://127.0.0.1:9", api_key=given)

    assert sent == own._headers(own._options).get("x-goog-api-key")
    assert (given or None) == other._headers(other._options).get("x-goog-api-key")


def test_the_vendors_server_is_not_asked_without_a_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In Python and in a config the variable is named; another server needs none."""
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GEMINI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "c.toml"

    with pytest.raises(ConfigError, match="GEMINI_API_KEY"):
        Gemini()
    path.write_text('[upstreams.u]\nkind = "gemini"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="GEMINI_API_KEY"):
        load_config(path, {})
    path.write_text('[upstreams.u]\nkind = "gemini"\nbase_url = "http://127.0.0.1:9"\n', encoding="utf-8")
    assert load_config(path, {}).upstreams["u"].place == "http://127.0.0.1:9"


@pytest.mark.parametrize(("keys", "key"), [('model = ""', "model"), ('version = "v1/beta"', "version")])
def test_the_config_is_checked(tmp_path: Path, keys: str, key: str) -> None:
    """By the key that is wrong."""
    path = tmp_path / "c.toml"
    path.write_text(f'[upstreams.u]\nkind = "gemini"\nbase_url = "http://127.0.0.1:9"\n{keys}\n', encoding="utf-8")

    with pytest.raises(ConfigError) as caught:
        load_config(path, {})

    assert f"upstreams.u.{key}" == caught.value.key


# ---- errors

INFO = "type.googleapis.com/google.rpc.ErrorInfo"
FAULTS: dict[str, tuple[Script, Json]] = {
    "a key": (
        fault(
            "API key not valid. Please pass a valid API key.",
            400,
            "INVALID_ARGUMENT",
            {"@type": INFO, "reason": "API_KEY_INVALID"},
        ),
        {"code": "invalid_api_key", "type": "authentication_error", "retryable": False},
    ),
    "a key in other words": (
        fault("The key may not be used.", 403, "PERMISSION_DENIED", {"@type": INFO, "reason": "API_KEY_SERVICE_BLOCKED"}),
        {"code": "invalid_api_key", "type": "authentication_error", "retryable": False},
    ),
    "a pause": (
        fault("You exceeded your current quota.", 429, "RESOURCE_EXHAUSTED", {"retryDelay": "13s"}, wrapped=True),
        {"retry_after": 13.0, "retryable": True},
    ),
    "a quota of nothing": (
        fault("You exceeded your current quota.", 429, "RESOURCE_EXHAUSTED", {"violations": [{"quotaValue": "0"}]}),
        {"code": "insufficient_quota", "retryable": False},
    ),
    "a model": (
        fault("models/nope is not found for API version v1beta, or is not supported for generateContent.", 404, "NOT_FOUND"),
        {"code": "model_not_found", "retryable": False},
    ),
    "too much to do": (
        fault("The model is overloaded. Please try again later.", 503, "UNAVAILABLE"),
        {"type": "UNAVAILABLE", "retryable": True},
    ),
    "too long": (
        fault("The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."),
        {"code": "context_length_exceeded", "retryable": False},
    ),
    "where it is not served": (
        fault("User location is not supported for the API use.", 400, "FAILED_PRECONDITION"),
        {"code": "unsupported_country_region_territory"},
    ),
}


@pytest.mark.parametrize(("script", "said"), FAULTS.values(), ids=FAULTS)
async def test_an_error_says_whose_fault_it_is(script: Script, said: Json) -> None:
    """In the words of OpenAI, by which gateways and agents know what to do."""
    async with ScriptedServer(script) as server, Gemini(server.url, api_key="k", retries=0) as provider:
        with pytest.raises(StatusError) as caught:
            await provider.create_async_generator("m", HELLO, stream=True).text()

    assert said == {name: getattr(caught.value, name) for name in said}


async def test_a_pause_that_is_asked_for_is_kept(pauses: list[float]) -> None:
    """Where the server says for how long."""
    scripts = [fault("slow down", 429, "RESOURCE_EXHAUSTED", {"retryDelay": "2.5s"}), Script.gemini("Hi")]
    async with ScriptedServer(*scripts) as server, Gemini(server.url) as provider:
        text = await provider.create_async_generator("m", HELLO, stream=True).text()

    assert ("Hi", [2.5]) == (text, pauses)


async def test_no_error_shows_the_key() -> None:
    """Whatever the server repeats of it."""
    async with (
        ScriptedServer(fault("API key 'sk-0123456789abcdef' is wrong")) as server,
        Gemini(server.url, api_key="sk-0123456789abcdef", retries=0) as provider,
    ):
        with pytest.raises(StatusError) as caught:
            await provider.create_async_generator("m", HELLO).text()

    assert "0123456789" not in f"{caught.value} {caught.value.body}"


def test_what_cannot_be_asked_is_said_at_the_call() -> None:
    """Before any connection."""
    provider = Gemini("http://127.0.0.1:9", models=["a"])

    with pytest.raises(ModelNotFoundError):
        provider.create_async_generator("b", HELLO)
    with pytest.raises(InvalidMessagesError):
        provider.create_async_generator("a", [])


# ---- what models refuse

TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {"const": 1}}}}}]
CALL = {"id": "x", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TURN = [
    *HELLO,
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "x", "content": "1"},
]
SIGNED = [TURN[0], {**TURN[1], "tool_calls": [{**CALL, "extra_content": {"google": {"thought_signature": "S"}}}]}, TURN[2]]


def config(body: Json) -> Json:
    found: Json = body.get("generationConfig", {})
    return found


#: What a model refuses, what was asked, and what of the further request shows the other form.
FORMS: dict[str, tuple[str, str, Json, Any, Any]] = {
    "a level": (
        "gemini-x",
        "Thinking level is not supported for this model.",
        {"reasoning_effort": "low"},
        lambda body: config(body)["thinkingConfig"],
        {"thinkingBudget": 1024, "includeThoughts": True},
    ),
    "a level that it has not": (
        "gemini-3.7-flash",
        "Thinking level MINIMAL is not supported for this model. Please retry with other thinking level.",
        {"reasoning_effort": "none"},
        lambda body: config(body)["thinkingConfig"],
        {"thinkingLevel": "low"},
    ),
    "a number of tokens": (
        "gemini-2.5-x",
        "Thinking budget is not supported for this model.",
        {"reasoning_effort": "high"},
        lambda body: config(body)["thinkingConfig"],
        {"thinkingLevel": "high", "includeThoughts": True},
    ),
    "not to think": (
        "gemini-2.5-x",
        "Budget 0 is invalid. This model only works in thinking mode.",
        {"reasoning_effort": "none"},
        config,
        {},
    ),
    "penalties": (
        "m",
        "Penalty is not enabled for models/m",
        {"presence_penalty": 1, "frequency_penalty": 1, "top_p": 0.5},
        config,
        {"topP": 0.5},
    ),
    "a field": ("m", "top_k is not supported", {"top_k": 5, "top_p": 0.5}, config, {"topP": 0.5}),
    "the length": (
        "m",
        "maxOutputTokens is 99999, but the supported range is from 1 (inclusive) to 65537 (exclusive)",
        {"max_tokens": 99999},
        config,
        {"maxOutputTokens": 65536},
    ),
    "a call without a signature": (
        "m",
        "Function call is missing a thought_signature in functionCall parts.",
        {"messages": TURN},
        lambda body: body["contents"][1]["parts"][0].get("thoughtSignature"),
        UNSIGNED,
    ),
    "the signature of another server": (
        "m",
        "Corrupted tool call context.",
        {"messages": SIGNED},
        lambda body: body["contents"][1]["parts"][0].get("thoughtSignature"),
        UNSIGNED,
    ),
    "ids of calls": (
        "m",
        "Invalid JSON payload received. Unknown name \"id\" at 'contents[1].parts[0].function_call': Cannot find field.",
        {"messages": TURN},
        lambda body: [part.get("id") for each in body["contents"][1:] for part in each["parts"][0].values()],
        [None, None],
    ),
    "JSON Schema": (
        "m",
        "Invalid JSON payload received. Unknown name \"parametersJsonSchema\" at 'tools[0].function_declarations[0]'",
        {
            "tools": TOOLS,
            "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": ["string", "null"]}}},
        },
        lambda body: (body["tools"][0]["functionDeclarations"][0]["parameters"], config(body)["responseSchema"]),
        (
            {"type": "object", "properties": {"a": {"description": "One of: 1"}}},
            {"type": "string", "nullable": True},
        ),
    ),
    "JSON beside tools": (
        "m",
        "Function calling with a response mime type: 'application/json' is unsupported",
        {"tools": TOOLS, "response_format": {"type": "json_object"}},
        lambda body: (config(body), body.get("systemInstruction")),
        ({}, {"parts": [{"text": "Where you call no function, answer with JSON alone."}]}),
    ),
    "two turns of the user in a row": (
        "m",
        "Please ensure that multiturn requests alternate between user and model.",
        {"messages": [*TURN, *HELLO]},
        lambda body: [each["role"] for each in body["contents"]],
        ["user", "model", "user", "model", "user"],
    ),
    "to continue": (
        "m",
        "Requests ending with a model turn are not supported.",
        {"messages": [*HELLO, {"role": "assistant", "content": "Once"}]},
        lambda body: body["contents"][-1],
        {"role": "user", "parts": [{"text": "Continue."}]},
    ),
    "a system's instruction": (
        "gemma-3",
        "Developer instruction is not enabled for models/gemma-3",
        {"messages": [{"role": "system", "content": "S"}, *HELLO]},
        lambda body: (body["contents"], "systemInstruction" in body),
        ([{"role": "user", "parts": [{"text": "S"}, {"text": "Hello"}]}], False),
    ),
}


@pytest.mark.parametrize(("model", "said", "asked", "shown", "form"), FORMS.values(), ids=FORMS)
async def test_a_request_is_asked_in_the_form_that_the_model_takes(
    model: str, said: str, asked: Json, shown: Any, form: Any
) -> None:
    """Once more, still as a stream; and where it says something of the model, from then on at once."""
    asked = {"messages": HELLO, **asked}
    async with ScriptedServer(fault(said), Script.gemini("H", "i"), Script.gemini("Hi")) as server:
        async with Gemini(server.url) as provider:
            chunks = [chunk async for chunk in provider.create_async_generator(model, stream=True, **asked)]
            await provider.create_async_generator(model, stream=True, **asked).text()
            known = [name for _, name in provider.status().adaptations]

    assert ["H", "i"] == chunks[:-1]
    assert form == shown(server.requests[1].json())
    assert (form == shown(server.requests[2].json())) is bool(known)


async def test_a_refusal_that_no_form_answers_is_the_answer() -> None:
    """In its own words."""
    async with ScriptedServer(fault("Unheard of.")) as server, Gemini(server.url) as provider:
        with pytest.raises(StatusError, match="Unheard of"):
            await provider.create_async_generator("m", HELLO, temperature=1).text()

    assert 1 == len(server.requests)


# ---- beside answers


async def test_tokens_are_counted_by_the_server() -> None:
    """Of all that is asked, tools and system included."""
    async with ScriptedServer(Script.status(200, {"totalTokens": 31})) as server, Gemini(server.url, model="m") as provider:
        count = await provider.count_prompt("", [{"role": "system", "content": "S"}, *HELLO], tools=TOOLS)
        request = server.requests[0]

    assert (31, "/v1beta/models/m:countTokens") == (count, request.path)
    assert {"model", "contents", "systemInstruction", "tools"} == request.json()["generateContentRequest"].keys()


@pytest.mark.parametrize(
    ("script", "kind", "code"),
    [
        (Script.status(404, "nothing here"), StatusError, CANNOT_COUNT),
        (fault("models/m is not found for API version v1beta", 404, "NOT_FOUND"), StatusError, "model_not_found"),
        (Script.status(200, {"totalTokens": "many"}), StreamError, None),
    ],
)
async def test_a_count_that_there_is_not_is_an_error(script: Script, kind: type[HTTPError], code: str | None) -> None:
    """One that says whether the server counts at all."""
    async with ScriptedServer(script) as server, Gemini(server.url, model="m", retries=0) as provider:
        with pytest.raises(kind) as caught:
            await provider.count_prompt("", HELLO)

    assert code == caught.value.code


async def test_models_are_listed_page_by_page() -> None:
    """By the names that callers use."""
    pages = [
        Script.status(200, {"models": [{"name": "models/a", "inputTokenLimit": 5}], "nextPageToken": "x/y"}),
        Script.status(200, {"models": [{"name": "tunedModels/b"}]}),
    ]
    async with ScriptedServer(*pages) as server, Gemini(server.url) as provider:
        models = await provider.list_models()

    assert [("a", 5), ("tunedModels/b", None)] == [(model.id, model.fields.get("inputTokenLimit")) for model in models]
    assert "/v1beta/models?pageSize=1000&pageToken=x/y" == server.requests[1].path


async def test_embeddings_are_made_in_one_request() -> None:
    """In the order of the texts."""
    answer = {"embeddings": [{"values": [0.5, 1]}, {"values": [2, 3]}], "usageMetadata": {"promptTokenCount": 4}}
    async with ScriptedServer(Script.status(200, answer)) as server, Gemini(server.url, model="e") as provider:
        made = await provider.embed("", ["a", "b"], dimensions=2, task_type="RETRIEVAL_QUERY")
        request = server.requests[0]

    assert [[0.5, 1.0], [2.0, 3.0]] == made.vectors
    assert made.usage is not None
    assert 4 == made.usage.prompt_tokens
    assert "/v1beta/models/e:batchEmbedContents" == request.path
    options = {"model": "models/e", "outputDimensionality": 2, "taskType": "RETRIEVAL_QUERY"}
    assert [{**options, "content": {"parts": [{"text": text}]}} for text in "ab"] == request.json()["requests"]


async def test_embeddings_of_many_texts_are_made_in_several_requests() -> None:
    """The API takes a hundred at once; their order stays, and their tokens are counted together."""

    def play(request: Request) -> Script:
        texts = [float(each["content"]["parts"][0]["text"]) for each in request.json()["requests"]]
        return Script.status(
            200, {"embeddings": [{"values": [text]} for text in texts], "usageMetadata": {"promptTokenCount": 5}}
        )

    async with ScriptedServer(play) as server, Gemini(server.url, model="e") as provider:
        made = await provider.embed("", [str(number) for number in range(250)])

    assert [100, 100, 50] == [len(request.json()["requests"]) for request in server.requests]
    assert [[float(number)] for number in range(250)] == made.vectors
    assert made.usage is not None
    assert 15 == made.usage.prompt_tokens


@pytest.mark.parametrize(
    "answer", [{"embeddings": [{"values": [1]}]}, {"embeddings": [{"values": [1]}, {"values": []}]}, {"candidates": []}, [1]]
)
async def test_vectors_that_are_missing_are_an_error(answer: Any) -> None:
    """They are distinguished by their order alone."""
    async with ScriptedServer(Script.status(200, json.dumps(answer))) as server, Gemini(server.url, retries=0) as provider:
        with pytest.raises(StreamError):
            await provider.embed("e", ["a", "b"])


async def test_what_the_api_does_not_make_is_refused() -> None:
    """Tokens have no meaning there, and documents are not ranked."""
    async with Gemini("http://127.0.0.1:9") as provider:
        with pytest.raises(StatusError, match="takes no tokens"):
            await provider.embed("e", [1, 2])


async def test_health_is_a_small_list() -> None:
    """Which costs no tokens."""
    async with ScriptedServer(Script.status(200, {"models": []}), Script.status(503)) as server, Gemini(server.url) as provider:
        assert (True, False) == (await provider.check_health(), await provider.check_health())

    assert {"/v1beta/models?pageSize=1"} == {request.path for request in server.requests}
