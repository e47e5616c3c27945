"""JSON schemas as generators of many languages write them, in the one form that the engine's tables know."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from autonomousai.engine.usual_schema import usual_schema

COLOR = {"enum": ["red", "blue"]}

FORMS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    # null where another language has nothing, and values that may be null
    ({"type": "string", "enum": None, "description": None, "anyOf": None}, {"type": "string"}),
    ({"type": "object", "properties": None, "required": None}, {"type": "object", "properties": {}}),
    ({"const": None, "default": None}, {"const": None, "default": None}),
    # names of types
    ({"type": "STRING"}, {"type": "string"}),
    ({"type": ["STRING", "NULL"]}, {"type": ["string", "null"]}),
    ({"type": "dict", "properties": {"a": {"type": "float"}}}, {"type": "object", "properties": {"a": {"type": "number"}}}),
    ({"type": "any", "title": "A"}, {"title": "A"}),
    ({"type": "strnig"}, {"type": "strnig"}),
    # older drafts
    ({"items": [{"const": 1}], "additionalItems": False}, {"prefixItems": [{"const": 1}], "items": False}),
    ({"items": []}, {}),
    ({"minimum": 0, "exclusiveMinimum": True}, {"exclusiveMinimum": 0}),
    ({"maximum": 9, "exclusiveMaximum": False}, {"maximum": 9}),
    # bounds that no answer reaches
    ({"type": "string", "minLength": 1, "maxLength": 65536}, {"type": "string", "minLength": 1, "maxLength": 10_000}),
    ({"minItems": 20_000, "maxItems": 30_000}, {"minItems": 20_000, "maxItems": 30_000}),
    # no other members
    ({"type": "object", "unevaluatedProperties": False}, {"type": "object", "additionalProperties": False}),
    ({"unevaluatedProperties": {"not": {}}}, {"additionalProperties": False}),
    ({"unevaluatedProperties": False, "allOf": [{}]}, {"unevaluatedProperties": False, "allOf": [{}]}),
    ({"additionalProperties": {"not": {}}}, {"additionalProperties": False}),
    # names of members
    ({"propertyNames": {"type": "string"}, "additionalProperties": COLOR}, {"additionalProperties": COLOR}),
    ({"propertyNames": True}, {}),
    (
        {"propertyNames": {"type": "string", "enum": ["a", "b"]}, "additionalProperties": COLOR, "required": ["a"]},
        {"properties": {"a": COLOR, "b": COLOR}, "required": ["a"], "additionalProperties": False},
    ),
    (
        {"$defs": {"C": COLOR}, "propertyNames": {"$ref": "#/$defs/C"}, "additionalProperties": {"type": "integer"}},
        {
            "$defs": {"C": COLOR},
            "properties": {"red": {"type": "integer"}, "blue": {"type": "integer"}},
            "additionalProperties": False,
        },
    ),
    (
        {"propertyNames": {"pattern": "^x"}, "additionalProperties": COLOR},
        {"patternProperties": {"^x": COLOR}, "additionalProperties": False},
    ),
    ({"propertyNames": {"maxLength": 3}}, {"propertyNames": {"maxLength": 3}}),
    # references
    ({"$defs": {"C": COLOR}, "$ref": "#/$defs/C"}, {"$defs": {"C": COLOR}, "$ref": "#/$defs/C"}),
    ({"anyOf": [{"$ref": "#"}, {"type": "null"}]}, {"anyOf": [{"$ref": "#"}, {"type": "null"}]}),
    ({"$id": "N", "anyOf": [{"$ref": "N"}]}, {"$id": "N", "anyOf": [{"$ref": "#"}]}),
    (
        {"properties": {"a": {"items": COLOR}, "b": {"$ref": "#/properties/a/items"}}},
        {"properties": {"a": {"items": COLOR}, "b": {"$ref": "#/$defs/part0"}}, "$defs": {"part0": COLOR}},
    ),
    (
        {"anyOf": [{"type": "null"}, COLOR, {"$ref": "#/anyOf/1"}]},
        {"anyOf": [{"type": "null"}, COLOR, {"$ref": "#/$defs/part0"}], "$defs": {"part0": COLOR}},
    ),
    (
        {"components": {"schemas": {"C": {"type": "STR"}}}, "items": {"$ref": "#/components/schemas/C"}},
        {
            "components": {"schemas": {"C": {"type": "STR"}}},
            "items": {"$ref": "#/$defs/part0"},
            "$defs": {"part0": {"type": "string"}},
        },
    ),
    (
        {"$defs": {"a/b c": COLOR, "part0": {}}, "$ref": "#/$defs/a~1b%20c"},
        {"$defs": {"a/b c": COLOR, "part0": {}, "part1": COLOR}, "$ref": "#/$defs/part1"},
    ),
    (
        {"items": {"$anchor": "c", "anyOf": [{"$ref": "#c"}]}},
        {
            "items": {"$anchor": "c", "anyOf": [{"$ref": "#/$defs/part0"}]},
            "$defs": {"part0": {"$anchor": "c", "anyOf": [{"$ref": "#/$defs/part0"}]}},
        },
    ),
    ({"items": {"$ref": "#/nowhere/0"}}, {"items": {"$ref": "#/nowhere/0"}}),
    # what only looks like a keyword
    ({"properties": {"$ref": {"type": "STRING"}, "enum": COLOR}}, {"properties": {"$ref": {"type": "string"}, "enum": COLOR}}),
    ({"const": {"type": "STRING", "enum": None}}, {"const": {"type": "STRING", "enum": None}}),
]


@pytest.mark.parametrize(("schema", "expected"), FORMS, ids=lambda value: json.dumps(value)[:60])
def test_a_schema_is_brought_into_the_usual_form(schema: dict[str, Any], expected: dict[str, Any]) -> None:
    """What an answer then obeys, it obeys as it came; the caller's own schema stays as it is."""
    given = copy.deepcopy(schema)

    assert expected == usual_schema(schema)
    assert given == schema


def test_references_are_moved_in_proportion() -> None:
    """No schema of 64 KiB is made a multiple of it: more than 64 references to elsewhere than definitions stay as they are."""
    many = {f"p{number}": {"$ref": f"#/properties/q{number}"} for number in range(100)}
    schema = {"properties": {**many, **{f"q{number}": COLOR for number in range(100)}}}

    usual = usual_schema(schema)

    assert 64 == len(usual["$defs"])
    assert {"$ref": "#/properties/q99"} == usual["properties"]["p99"]
