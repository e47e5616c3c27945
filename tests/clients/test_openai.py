"""`OpenAICompatible`: what goes to a server that speaks OpenAI's chat completions, and whether it can continue an answer."""

from __future__ import annotations

import json
from collections import ChainMap, UserDict, UserList
from decimal import Decimal
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from yarl import URL

from autonomousai import Anthropic, ConfigError, ModelNotFoundError, OpenAICompatible, StatusError
from autonomousai.clients.openai import Api
from autonomousai.events import Reasoning, ToolCalls
from autonomousai.request import ChatRequest
from autonomousai.result import AsyncResult
from autonomousai.testing import Script, ScriptedServer

HELLO = [{"role": "user", "content": "Hello"}]


def listing(owner: str, *names: str) -> Script:
    data = [{"id": name, "object": "model", "owned_by": owner} for name in names or ("m",)]
    return Script.status(200, json.dumps({"object": "list", "data": data}))


async def test_the_request_is_openais() -> None:
    """The POST goes to /chat/completions under the base URL, with the bearer key and the fields at top level."""
    async with ScriptedServer() as server, OpenAICompatible(server.url + "/v1/", api_key="k") as provider:
        await provider.create_async_generator("m", HELLO, stream=True, temperature=0, top_k=3).text()
        request = server.requests[0]

    assert (request.path, request.headers["authorization"]) == ("/v1/chat/completions", "Bearer k")
    assert request.json() == {
        "model": "m",
        "messages": HELLO,
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0,
        "top_k": 3,
    }


MISSING = {"error": {"message": "no such model", "code": "model_not_found"}}


@pytest.mark.parametrize(
    ("path", "said", "hint"),
    [("", "404 page not found", True), ("/", "Cannot POST", True), ("/v1", "not found", False), ("", MISSING, False)],
)
@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_a_base_url_without_a_path_is_suspected(api: Api, path: str, said: Any, hint: bool) -> None:
    """Where the server has no such page: most have the API below /v1. A model that is not there is none of that, and without
    tries, as a gateway asks, the callers are others than who wrote the URL."""
    answers = []
    async with ScriptedServer(Script.status(404, said)) as server:
        for retries in (2, 0):
            async with OpenAICompatible(server.url + path, api=api, retries=retries) as provider:
                with pytest.raises(StatusError) as raised:
                    await provider.chat("m", HELLO)
            answers.append("most end in /v1" in str(raised.value))

    assert [hint, False] == answers


async def test_without_a_key_none_is_sent() -> None:
    """No key, no Authorization header."""
    async with ScriptedServer() as server, OpenAICompatible(server.url) as provider:
        await provider.create_async_generator("m", HELLO).text()

    assert "authorization" not in server.requests[0].headers


async def test_a_configured_model_replaces_the_callers() -> None:
    """`model=` is the name that is sent, whatever was asked for."""
    async with ScriptedServer() as server, OpenAICompatible(server.url, model="meta/Llama") as provider:
        await provider.create_async_generator("llama", HELLO).text()

    assert server.requests[0].json()["model"] == "meta/Llama"


async def test_with_a_list_of_models_others_are_refused() -> None:
    """`models=` names what callers may ask for; without it every name is passed on."""
    provider = OpenAICompatible("http://127.0.0.1:1/v1", models=["a", "b"])

    with pytest.raises(ModelNotFoundError, match="a, b"):
        provider.create_async_generator("c", HELLO)


async def test_reasoning_and_tool_calls_are_chunks() -> None:
    """Reasoning comes as it streams, tool calls whole before the finish reason, and neither is text."""
    calls = [{"index": 0, "id": "c1", "function": {"name": "f", "arguments": '{"a"'}}]
    more = [{"index": 0, "function": {"arguments": ":1}"}}]
    script = Script.stream({"reasoning_content": "hm"}, {"tool_calls": calls}, {"tool_calls": more}, finish="tool_calls")
    async with ScriptedServer(script) as server, OpenAICompatible(server.url) as provider:
        chunks = [chunk async for chunk in provider.create_async_generator("m", HELLO, stream=True)]

    assert isinstance(chunks[0], Reasoning)
    assert isinstance(chunks[1], ToolCalls)
    assert ("hm", "c1", "f", '{"a":1}') == (
        chunks[0].text,
        chunks[1].calls[0].id,
        chunks[1].calls[0].name,
        chunks[1].calls[0].arguments,
    )
    assert "".join(map(str, chunks)) == ""


async def test_the_servers_models_can_be_listed() -> None:
    """fetch_models() gives the names at /models."""
    async with ScriptedServer(listing("me", "a", "b")) as server, OpenAICompatible(server.url + "/v1") as provider:
        names = await provider.fetch_models()

    assert (names, server.requests[0].path) == (["a", "b"], "/v1/models")


async def test_an_error_does_not_repeat_the_key() -> None:
    """A server that quotes the key back does not get it into our message."""
    script = Script.status(401, {"error": {"message": "bad key very-secret-key"}})
    async with ScriptedServer(script) as server, OpenAICompatible(server.url, api_key="very-secret-key") as provider:
        with pytest.raises(StatusError) as caught:
            await provider.create_async_generator("m", HELLO).text()

    assert "very-secret-key" not in str(caught.value) + caught.value.body


def test_a_bad_base_url_is_a_config_error() -> None:
    """The address is checked when the provider is made."""
    with pytest.raises(ConfigError, match="base_url"):
        OpenAICompatible("localhost:8000")


# Whether it continues


async def found(*chat: Any, owner: str = "library", prefill: Any = "auto") -> tuple[bool, list[dict[str, Any]]]:
    async with ScriptedServer() as server, OpenAICompatible(server.url, prefill=prefill) as provider:
        server.play(listing(owner), path="/models")
        server.play(*chat)
        answers = {await provider.continues() for _ in range(2)}
        asked = [request.json() for request in server.requests if request.method == "POST"]
    assert len(answers) == 1
    return answers.pop(), asked


@pytest.mark.parametrize("owner", ["vllm", "llamacpp"])
async def test_servers_that_say_who_they_are_are_believed(owner: str) -> None:
    """vLLM and llama-server are known to continue: no probe is sent."""
    assert await found(owner=owner) == (True, [])


async def test_vllm_is_told_to_continue() -> None:
    """vLLM wants two flags, or it would begin a new message."""
    async with ScriptedServer() as server, OpenAICompatible(server.url) as provider:
        server.play(listing("vllm"), path="/models")
        await provider.continues()
        await AsyncResult(provider.stream_continuation(ChatRequest("m", HELLO), "The sky is")).text()
        sent = server.requests[-1].json()

    assert sent["messages"] == [*HELLO, {"role": "assistant", "content": "The sky is"}]
    assert (sent["continue_final_message"], sent["add_generation_prompt"]) == (True, False)


@pytest.mark.parametrize(
    ("said", "continues"),
    [(" six seven", True), ("six", True), ("one two three", False), ("Sure! Here you go: one", False), ("", False)],
    ids=["continues", "without a space", "repeats the beginning", "starts again", "says nothing"],
)
async def test_others_are_probed_once(said: str, continues: bool) -> None:
    """One who begins anew, or repeats the beginning, is not taken for one who continues; and nobody is probed twice."""
    answer, asked = await found(Script.stream(said))

    assert (answer, len(asked)) == (continues, 1)


async def test_a_refusal_is_an_answer_and_a_fault_is_none() -> None:
    """A 400 says no for good; a server that is down is asked again when it matters."""
    refused = await found(Script.status(400))
    down = await found(Script.status(503))

    assert (refused[0], len(refused[1])) == (False, 1)
    assert (down[0], len(down[1])) == (False, 2)


@pytest.mark.parametrize(("prefill", "continues"), [("yes", True), ("no", False)])
async def test_a_configured_word_is_final(prefill: str, continues: bool) -> None:
    """ "yes" and "no" ask nobody."""
    assert await found(prefill=prefill) == (continues, [])


@pytest.mark.parametrize("key", [" ", " key", "key ", "key\n", "k\u00e9y", "Bearer key", '"key"', "'key'"])
def test_a_key_that_no_header_can_carry_is_told(key: str) -> None:
    """It would be another one at the server, or none."""
    with pytest.raises(ConfigError, match="visible ASCII"):
        OpenAICompatible("http://localhost:1", api_key=key)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), Decimal("nan"), Decimal("-inf")])
def test_a_number_that_json_cannot_write_is_told(value: Any) -> None:
    """It would be sent as null, which is another request."""
    with pytest.raises(ValueError, match="'temperature' must be a number"):
        OpenAICompatible("http://localhost:1").create_async_generator("m", HELLO, temperature=value)


async def test_a_decimal_is_a_number() -> None:
    """Servers take no text in the place of one."""
    async with ScriptedServer() as server, OpenAICompatible(server.url) as provider:
        await provider.create_async_generator("m", HELLO, temperature=Decimal("0.5"))

    assert b'"temperature":0.5' in server.requests[0].body


@pytest.mark.parametrize("value", [{"a": [0.5, float("nan")]}, [float("inf")], (1.5, -float("inf")), {"a": Decimal("nan")}])
def test_a_number_within_a_field_that_json_cannot_write_is_told(value: Any) -> None:
    """As one that is a field itself: the server would read null."""
    with pytest.raises(ValueError, match="'logit_bias' holds NaN or an infinity"):
        OpenAICompatible("http://localhost:1").create_async_generator("m", HELLO, logit_bias=value)


class Floats:
    """What numpy's numbers and arrays have, and torch's tensors."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def tolist(self) -> Any:
        return self.value


class Model:
    """What pydantic's models have."""

    def model_dump(self, *, mode: str, exclude_none: bool) -> dict[str, Any]:
        return {"mode": mode, "exclude_none": exclude_none}


VALUES: dict[str, tuple[Any, Any]] = {
    "a number of numpy's": (Floats(0.5), 0.5),
    "an array": (Floats([1, 2]), [1, 2]),
    "a path": (PurePosixPath("/a/b"), "/a/b"),
    "a URL": (URL("https://x.test/y"), "https://x.test/y"),
    "a mapping that is no dict": (MappingProxyType({"a": UserDict(b=1)}), {"a": {"b": 1}}),
    "several mappings as one": (ChainMap({"a": 1}, {"b": 2}), {"a": 1, "b": 2}),
    "a sequence that is no list": (UserList(["a"]), ["a"]),
    "the keys of a dict": ({"a": 1}.keys(), ["a"]),
    "a model of pydantic's": ([Model()], [{"mode": "json", "exclude_none": True}]),
}


@pytest.mark.parametrize(("value", "sent"), VALUES.values(), ids=VALUES)
async def test_values_are_sent_as_what_they_hold(value: Any, sent: Any) -> None:
    """Wherever they stand: as a field, within one, and within a message."""
    async with ScriptedServer() as server, OpenAICompatible(server.url) as provider:
        await provider.chat("m", [{**HELLO[0], "x_beside": value}], x_field=value, x_within={"a": [value]})  # type: ignore[call-arg]

    asked = server.requests[0].json()
    assert (sent, {"a": [sent]}, sent) == (asked["x_field"], asked["x_within"], asked["messages"][0]["x_beside"])


FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}
SCHEMA = FUNCTION["parameters"]

#: Tools as programs write them, and a choice among them.
OFFERS: dict[str, tuple[Any, Any]] = {
    "a tuple": (({"type": "function", "function": FUNCTION},), {"type": "function", "function": {"name": "f"}}),
    "mappings that are no dict": (UserList([MappingProxyType({"type": "function", "function": UserDict(FUNCTION)})]), "f"),
    "flat": ([{"type": "function", **FUNCTION}], "f"),
    "flat, without a type": ([FUNCTION], {"type": "function", "function": {"name": "f"}}),
    "of the Messages API": ([{"name": "f", "description": "d", "input_schema": SCHEMA}], "f"),
}

#: What a server of each API reads.
OFFERED: dict[str, tuple[Any, Any]] = {
    "chat": ({"type": "function", "function": FUNCTION}, {"type": "function", "function": {"name": "f"}}),
    "responses": ({"type": "function", **FUNCTION, "strict": False}, {"type": "function", "name": "f"}),
    "messages": ({"name": "f", "description": "d", "input_schema": SCHEMA}, {"type": "tool", "name": "f"}),
}


def provider_of(api: str, url: str) -> OpenAICompatible | Anthropic:
    return Anthropic(url, api_key="k") if api == "messages" else OpenAICompatible(f"{url}/v1", api=api)  # type: ignore[arg-type]


@pytest.mark.parametrize("api", OFFERED)
@pytest.mark.parametrize(("tools", "choice"), OFFERS.values(), ids=OFFERS)
async def test_tools_are_sent_in_the_servers_form(api: str, tools: Any, choice: Any) -> None:
    """Whichever form and whatever kind of sequence they were written in."""
    async with ScriptedServer() as server, provider_of(api, server.url) as provider:
        await provider.chat("m", HELLO, tools=tools, tool_choice=choice)

    asked = server.requests[0].json()
    assert ([OFFERED[api][0]], OFFERED[api][1]) == (asked["tools"], asked["tool_choice"])


@pytest.mark.parametrize("api", OFFERED)
async def test_fields_are_sent_as_what_they_hold_over_each_api(api: str) -> None:
    """Also where they are checked first, or become others."""

    class Omit:
        """What OpenAI's SDK has for a field that is left out."""

        def __bool__(self) -> bool:
            return False

    given: dict[str, Any] = {"temperature": Decimal("0.5"), "top_p": Floats(0.5), "max_tokens": Omit(), "user": UUID(int=5)}
    async with ScriptedServer() as server, provider_of(api, server.url) as provider:
        await provider.create_async_generator("m", HELLO, **given)

    asked = server.requests[0].json()
    assert (0.5, 0.5) == (asked["temperature"], asked["top_p"])
    assert asked.get("max_tokens") in (None, 8192)  # Anthropic's API needs one


@pytest.mark.parametrize("value", [Floats(float("nan")), {"a": Floats([float("inf")])}, object(), iter("ab")])
def test_what_cannot_be_sent_names_its_field(value: Any) -> None:
    """It would come to the server as null, or not at all."""
    with pytest.raises(ValueError, match="'x_field' cannot be written as JSON"):
        OpenAICompatible("http://localhost:1").create_async_generator("m", HELLO, x_field=value)


@pytest.mark.parametrize(("given", "sent"), [(1, True), (0, False), (None, False), ([], False)])
async def test_stream_is_sent_as_true_or_false(given: Any, sent: bool) -> None:
    """Whatever Python takes for one; text is refused, since "false" would be true."""
    async with ScriptedServer() as server, OpenAICompatible(server.url) as provider:
        await provider.create_async_generator("m", HELLO, stream=given)
        with pytest.raises(ValueError, match="stream must be True or False, not text"):
            provider.create_async_generator("m", HELLO, stream="false")  # type: ignore[arg-type]

    assert sent is server.requests[0].json()["stream"]


async def test_classes_made_of_plain_ones_are_written_as_those() -> None:
    """So are numpy's `str_` and `float64`, and the texts of template engines."""

    class Text(str):
        __slots__ = ()

        def __str__(self) -> str:
            return "something else"

    class Number(float):
        __slots__ = ()

    class Part(dict[str, Any]):
        pass

    messages: Any = [
        {"role": Text("user"), "content": Text("Hi")},
        {"role": "user", "content": [Part(type="text", text=Text("h\u00e9"))]},
    ]
    async with ScriptedServer() as server, OpenAICompatible(server.url) as provider:
        await provider.create_async_generator("m", messages, temperature=Number(0.5)).text()

    (asked,) = server.requests
    assert ["Hi", [{"type": "text", "text": "h\u00e9"}]] == [message["content"] for message in asked.json()["messages"]]
    assert 0.5 == asked.json()["temperature"]


@pytest.mark.parametrize(
    ("field", "given"),
    [
        (
            "response_format",
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"minimum": float("-inf")}}}},
        ),
        ("tools", {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"default": [float("nan")]}}}]}),
        ("metadata", {"metadata": {"note": "null", "numbers": (1, float("inf"))}}),
    ],
)
def test_a_number_that_json_cannot_write_is_told_at_any_depth(field: str, given: Any) -> None:
    """There too it would be sent as null."""
    with pytest.raises(ValueError, match=f"the request field '{field}' holds"):
        OpenAICompatible("http://localhost:1").create_async_generator("m", HELLO, **given)


async def test_null_is_sent_as_it_is_meant() -> None:
    """None, and the word, are no such number."""
    async with ScriptedServer() as server, OpenAICompatible(server.url) as provider:
        await provider.create_async_generator("m", HELLO, metadata={"a": None, "b": "null"})

    assert b'"metadata":{"a":null,"b":"null"}' in server.requests[0].body
