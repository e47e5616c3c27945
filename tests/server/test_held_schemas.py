"""Schemas that answers and calls are held to, of callers who wrote for another vendor: each holds its models to others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from autonomousai.clients.held_schemas import plain_schema
from autonomousai.config import parse_config
from autonomousai.server import create_app
from autonomousai.testing import Script, ScriptedServer
from autonomousai.testing.server import Request
from tests.support.sockets import Answer, ask, listening, request

Json = dict[str, Any]

HI = {"role": "user", "content": "Hi"}
AGE: Json = {"type": "integer", "minimum": 0, "description": "In years."}
SCHEMA: Json = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "properties": {"minimum": AGE, "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 3}},
}
PLAIN: Json = {
    "type": "object",
    "properties": {
        "minimum": {"type": "integer", "description": 'In years.\n\n{"minimum":0}'},
        "tags": {"type": "array", "items": {"type": "string"}, "description": '{"maxItems":3}'},
    },
    "additionalProperties": False,
}

#: What Anthropic's server says of such schemas.
REFUSALS = [
    "output_config.format.schema: For 'integer' type, property 'minimum' is not supported",
    "tools.0.custom: For 'array' type, property 'maxItems' is not supported",
    "For 'number' type, properties maximum, minimum are not supported",
    "output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to false",
]
FORMAT: Json = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": SCHEMA}}
STRICT: Json = {"type": "function", "function": {"name": "f", "strict": True, "parameters": SCHEMA}}
LOOSE: Json = {"type": "function", "function": {"name": "g", "parameters": SCHEMA}}


def refusing_first(said: str, answer: Script) -> Callable[[Request], Script]:
    """An upstream that refuses the first request with *said*, and answers the others."""
    asked = []

    def play(request: Request) -> Script:
        asked.append(request)
        error = {"type": "invalid_request_error", "message": said}
        return answer if len(asked) > 1 else Script.status(400, {"type": "error", "error": error})

    return play


async def answered(kind: str, said: str, path: str, *bodies: Json) -> tuple[list[Answer], list[Json]]:
    """Return the answers to *bodies*, and what the upstream was asked, which refused the first with *said*."""
    answer = {
        "anthropic": Script.messages("Hello"),
        "responses": Script.responses("Hello"),
        "chat": Script.stream("Hello"),
    }[kind]
    async with ScriptedServer(refusing_first(said, answer)) as server:
        keys = (
            f'kind = "anthropic"\nbase_url = "{server.url}"\napi_key = "k"'
            if kind == "anthropic"
            else f'kind = "openai"\nbase_url = "{server.url}/v1"\napi = "{kind}"'
        )
        config = parse_config(f'[upstreams.u]\n{keys}\n[models.llama]\nroute = ["u"]\n', {})
        async with listening(create_app(config)) as place:
            got = [await ask(place.port, request("POST", path, {"model": "llama", **body})) for body in bodies]
        return got, [asked.json() for asked in server.requests]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("said", REFUSALS)
async def test_schemas_are_of_keywords_that_an_upstream_of_messages_takes(said: str, stream: bool) -> None:
    """Of the answer and of strict tools; it is remembered. A tool that is not strict keeps its own."""
    body = {"messages": [HI], "response_format": FORMAT, "tools": [STRICT, LOOSE], "stream": stream}
    got, asked = await answered("anthropic", said, "/v1/chat/completions", body, body)

    assert [200, 200] == [each.status for each in got]
    assert 3 == len(asked)
    for second in asked[1:]:
        assert PLAIN == second["output_config"]["format"]["schema"]
        assert [PLAIN, SCHEMA] == [tool["input_schema"] for tool in second["tools"]]


async def test_so_are_those_of_callers_of_responses() -> None:
    """Whose format stands elsewhere."""
    text = {"format": {"type": "json_schema", "name": "n", "strict": True, "schema": SCHEMA}}
    got, asked = await answered("anthropic", REFUSALS[0], "/v1/responses", {"input": "Hi", "text": text, "store": False})

    assert 200 == got[0].status
    assert PLAIN == asked[1]["output_config"]["format"]["schema"]


async def test_schemas_that_are_too_complex_are_no_longer_strict() -> None:
    """The model has them in sight all the same."""
    body = {"messages": [HI], "tools": [STRICT]}
    got, asked = await answered("anthropic", "The compiled grammar is too large.", "/v1/chat/completions", body)

    assert 200 == got[0].status
    assert [[True], [None]] == [[tool.get("strict") for tool in each["tools"]] for each in asked]


@pytest.mark.parametrize("kind", ["chat", "responses"])
@pytest.mark.parametrize(
    "said",
    [
        "Invalid schema for response_format 'answer': In context=(), 'required' is required to be supplied and to be an array",
        "Invalid schema for function 'f': In context=(), 'additionalProperties' is required to be supplied and to be false.",
    ],
)
async def test_schemas_of_callers_of_messages_are_not_strict_where_openai_refuses_them(kind: str, said: str) -> None:
    """Its rules are stricter: all properties are required."""
    tool = {"name": "f", "strict": True, "input_schema": SCHEMA}
    config = {"format": {"type": "json_schema", "schema": SCHEMA}}
    body = {"max_tokens": 9, "messages": [HI], "tools": [tool], "output_config": config}
    got, asked = await answered(kind, said, "/v1/messages", body)

    assert 200 == got[0].status
    for each, expected in zip(asked, [True, False], strict=True):
        form = each["response_format"]["json_schema"] if kind == "chat" else each["text"]["format"]
        [offered] = [tool.get("function", tool) for tool in each["tools"]]
        assert [expected, expected] == [form["strict"], offered["strict"]]


@pytest.mark.parametrize(
    ("schema", "plain"),
    [
        ({"oneOf": [{"type": "string", "pattern": "a"}]}, {"anyOf": [{"type": "string", "description": '{"pattern":"a"}'}]}),
        ({"type": "string", "format": "email"}, {"type": "string", "format": "email"}),
        ({"type": "string", "format": "byte"}, {"type": "string", "description": '{"format":"byte"}'}),
        ({"type": "array", "minItems": 1}, {"type": "array", "minItems": 1}),
        ({"type": "array", "minItems": 2}, {"type": "array", "description": '{"minItems":2}'}),
        (
            {"properties": {"pattern": {"const": {"minimum": 1}}}, "additionalProperties": {"type": "string"}},
            {"properties": {"pattern": {"const": {"minimum": 1}}}, "additionalProperties": False},
        ),
        (
            {"$ref": "#/$defs/a", "$defs": {"a": {"enum": [1], "not": {}}}},
            {"$ref": "#/$defs/a", "$defs": {"a": {"enum": [1], "description": '{"not":{}}'}}},
        ),
    ],
)
def test_plain_schemas(schema: Json, plain: Json) -> None:
    """What is left out is told in words; names of properties are no keywords."""
    assert plain == plain_schema(schema)
