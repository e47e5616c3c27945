"""Tools whose schemas a server refuses are offered in a form that it takes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from autonomousai import OpenAICompatible
from autonomousai.clients.adaptations import ADAPTATIONS, other_form
from autonomousai.clients.messages_forms import MESSAGES_FORMS
from autonomousai.clients.tool_schemas import flattened
from autonomousai.testing import Script, ScriptedServer
from autonomousai.testing.server import Request
from autonomousai.wires.foreign_errors import read_error

Json = dict[str, Any]

TEXT: Json = {"type": "string"}
EITHER: Json = {
    "type": "object",
    "properties": {"a": TEXT},
    "required": ["a"],
    "anyOf": [
        {"properties": {"b": TEXT, "c": TEXT}, "required": ["b", "c"]},
        {"properties": {"b": TEXT, "d": TEXT}, "required": ["b"]},
    ],
}
FLAT: Json = {
    "type": "object",
    "properties": {"a": TEXT, "b": TEXT, "c": TEXT, "d": TEXT},
    "required": ["a", "b"],
}

OPENAI = (
    "Invalid schema for function 'f': schema must have type 'object' and not have 'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the "
    "top level."
)
ANTHROPIC = "tools.0.custom.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level"
GOOGLE = (
    "Invalid JSON payload received. Unknown name \"{}\" at 'tools[0].function_declarations[0].parameters': Cannot find field."
)


def form_of(body: Json, said: str, rows: Any = ADAPTATIONS) -> Any:
    return other_form(json.dumps(body).encode(), read_error(400, json.dumps({"error": {"message": said}}).encode(), {}), rows)


@pytest.mark.parametrize(
    ("tool", "expected", "said", "rows"),
    [
        ({"type": "function", "function": {"name": "f", "parameters": EITHER}}, FLAT, OPENAI, ADAPTATIONS),
        ({"type": "function", "name": "f", "parameters": EITHER}, FLAT, OPENAI, ADAPTATIONS),
        ({"name": "f", "input_schema": EITHER}, FLAT, ANTHROPIC, MESSAGES_FORMS),
    ],
)
def test_branches_at_the_top_are_one_object(tool: Json, expected: Json, said: str, rows: Any) -> None:
    """Over chat completions, Responses and Messages."""
    name, body = form_of({"model": "m", "tools": [tool], "max_tokens": 9}, said, rows)

    (written,) = json.loads(body)["tools"]
    schema = written.get("input_schema") or written.get("parameters") or written["function"]["parameters"]
    assert ("flat_schemas", expected["required"]) == (name, schema["required"])
    assert expected["properties"] == dict(sorted(schema["properties"].items()))
    assert "anyOf" not in schema


@pytest.mark.parametrize(
    ("schema", "required"),
    [
        ({"allOf": [{"required": ["a"]}, {"required": ["b"]}]}, ["a", "b"]),
        ({"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}, None),
        ({"oneOf": [{"anyOf": [{"properties": {"a": TEXT}, "required": ["a"]}]}]}, ["a"]),
        ({"anyOf": []}, None),
    ],
)
def test_what_all_branches_want_is_wanted(schema: Json, required: Any) -> None:
    """And of several that hold together, all of it."""
    assert required == flattened(schema).get("required")


@pytest.mark.parametrize("keyword", ["$schema", "additionalProperties", "propertyNames"])
def test_an_unknown_keyword_is_left_out_at_every_depth(keyword: str) -> None:
    """And a property of that name stays."""
    inner = {"type": "object", keyword: False, "properties": {keyword: {"type": "array", "items": {keyword: True}}}}
    tool = {"type": "function", "function": {"name": "f", "parameters": {keyword: "x", "properties": {"a": inner}}}}
    name, body = form_of({"model": "m", "tools": [tool]}, GOOGLE.format(keyword))

    left = {"type": "object", "properties": {keyword: {"type": "array", "items": {}}}}
    assert f"no_schema_keyword {keyword}" == name
    assert {"properties": {"a": left}} == json.loads(body)["tools"][0]["function"]["parameters"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": FLAT}}]}, OPENAI),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": EITHER}}]}, "anyOf is fine"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": FLAT}}]}, GOOGLE.format("$schema")),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, GOOGLE.format("$schema")),
        ({"tools": None}, GOOGLE.format("$schema")),
    ],
)
def test_what_would_change_nothing_is_not_asked_again(body: Json, said: str) -> None:
    """The refusal is the answer."""
    assert form_of({"model": "m", **body}, said) is None


async def test_several_keywords_are_learnt_one_after_the_other() -> None:
    """And all are left out of the next request at once."""

    def play(asked: Request) -> Script:
        parameters = asked.json()["tools"][0]["function"]["parameters"]
        unknown = next((name for name in ("$schema", "additionalProperties") if name in parameters), None)
        return Script.stream("Hello") if unknown is None else Script.status(400, {"error": {"message": GOOGLE.format(unknown)}})

    parameters = {"$schema": "x", "type": "object", "additionalProperties": False, "properties": {}}
    tools = [{"type": "function", "function": {"name": "f", "parameters": parameters}}]
    messages = [{"role": "user", "content": "Hi"}]
    async with ScriptedServer(play) as server, OpenAICompatible(server.url) as provider:
        for _ in range(2):
            assert "Hello" == await provider.create_async_generator("m", messages, stream=True, tools=tools).text()

    assert 4 == len(server.requests)
