"""What a caller in Python may give, and what is told: the same of every client and API."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from pathlib import PurePosixPath
from typing import Any

import pytest

from autonomousai import Anthropic, AsyncGeneratorProvider, AutonomousAI, HTTPError, OpenAICompatible
from autonomousai.testing import ScriptedServer

HELLO = [{"role": "user", "content": "Hello"}]

Make = Callable[[str], AsyncGeneratorProvider]

CLIENTS: dict[str, Make] = {
    "chat": lambda url: OpenAICompatible(url, retries=0),
    "responses": lambda url: OpenAICompatible(url, api="responses", retries=0),
    "messages": lambda url: Anthropic(url, api_key="k", retries=0),
    "autonomousai": lambda url: AutonomousAI(url, retries=0),
}

every_client = pytest.mark.parametrize("make", CLIENTS.values(), ids=CLIENTS.keys())


class Text(str):
    """What a template engine makes."""

    __slots__ = ()


async def asked(make: Make, messages: Any, **fields: Any) -> str:
    """The body that a server got, with what is base64 in it decoded."""
    async with ScriptedServer() as server, make(server.url) as provider:
        with suppress(HTTPError):  # the server answers in one API alone
            await provider.create_async_generator("llama", messages, stream=True, **fields)
    body = server.requests[0].json()
    said = body.get("messages")
    return json.dumps({**body, "messages": json.loads(b64decode(said))} if isinstance(said, str) else body, ensure_ascii=False)


@every_client
@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("temperature", float("nan")),
        ("temperature", float("-inf")),
        ("tools", [{"type": "function", "function": {"name": "f", "parameters": {"default": float("nan")}}}]),
    ],
)
def test_a_number_that_json_cannot_write_is_told(make: Make, field: str, given: Any) -> None:
    """It would be sent as null, which is another request."""
    with pytest.raises(ValueError, match=f"'{field}' (must be a number|holds NaN)"):
        make("http://127.0.0.1:1").create_async_generator("llama", HELLO, **{field: given})


@every_client
@pytest.mark.parametrize(("field", "given"), [("temperature", object()), ("tools", [len]), ("stop", object())])
def test_what_cannot_be_sent_names_its_field(make: Make, field: str, given: Any) -> None:
    """And not the object's class alone."""
    with pytest.raises((ValueError, HTTPError), match=field):
        make("http://127.0.0.1:1").create_async_generator("llama", HELLO, **{field: given})


@every_client
async def test_texts_of_other_classes_are_texts(make: Make) -> None:
    """As template engines and numpy make them: in messages of a text, of parts, and of calls."""
    messages = [
        {"role": Text("user"), "content": Text("hé")},
        {"role": "assistant", "content": [{"type": "text", "text": Text("two")}]},
        {"role": "user", "content": [{"type": Text("text"), "text": Text("three")}]},
    ]
    body = await asked(make, messages)

    assert all(f'"{word}"' in body for word in ("hé", "two", "three", "user", "assistant"))


@every_client
async def test_a_tools_result_may_hold_paths(make: Make) -> None:
    """Whatever a field may hold, a result may."""
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": {"p": PurePosixPath("/a")}}}
    messages = [
        *HELLO,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": {"p": PurePosixPath("/b")}},
    ]
    body = await asked(make, messages)

    assert "/a" in body
    assert "/b" in body


class Model(Enum):
    """Names of models, as callers keep them."""

    LLAMA = "llama"


class Named(str, Enum):  # noqa: UP042  as callers write it for older Pythons
    """The same for older Pythons."""

    LLAMA = "llama"


@every_client
@pytest.mark.parametrize("given", [Model.LLAMA, Named.LLAMA, Text("llama")])
async def test_a_model_may_be_named_by_a_member(make: Make, given: Any) -> None:
    """It is the member's value that is sent."""
    async with ScriptedServer() as server, make(server.url) as provider:
        with suppress(HTTPError):
            await provider.create_async_generator(given, HELLO, stream=True)
    body = server.requests[0].json()

    assert "llama" == body.get("aiAgent", body.get("model"))


@every_client
@pytest.mark.parametrize("given", [5, ["llama"], object(), float("nan")])
def test_what_is_no_name_of_a_model_is_told(make: Make, given: Any) -> None:
    """It was sent as it stands, or not at all."""
    with pytest.raises(ValueError, match="model must be the name of a model, not"):
        make("http://127.0.0.1:1").create_async_generator(given, HELLO)


def test_options_of_a_stream_are_an_object() -> None:
    """The error names the field."""
    with pytest.raises(ValueError, match="'stream_options' must be an object, not text"):
        OpenAICompatible("http://127.0.0.1:1").create_async_generator("m", HELLO, stream=True, stream_options="include_usage")


@pytest.mark.parametrize("given", [float("nan"), object(), {"a": 1}, b"x", ["a", None], ["a", {"b": 1.5}], [0.5]])
async def test_what_cannot_be_embedded_is_told(given: Any) -> None:
    """Before a server hears of it."""
    with pytest.raises(ValueError, match=r"input(\[\d\])?: must be a text"):
        await OpenAICompatible("http://127.0.0.1:1").embed("m", given)


async def test_a_field_of_embeddings_is_a_number() -> None:
    """As one of a conversation is."""
    with pytest.raises(ValueError, match="'dimensions' must be a number"):
        await OpenAICompatible("http://127.0.0.1:1").embed("m", "a", dimensions=float("nan"))
