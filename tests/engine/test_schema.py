"""Which JSON schemas reach the engine: those that it honours and can bear; anything else is refused, and its place named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from autonomousai.engine.answer_schema import guided_schemas, with_grammar
from autonomousai.engine.request import answer_format
from autonomousai.engine.schema import engine_schema
from autonomousai.errors import StatusError
from autonomousai.wires.schema_bounds import MAX_SCHEMA

ACCEPTED: list[Any] = [
    {},
    {"type": "object"},
    {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False},
    {"properties": {"a": {"type": "number"}}},
    {"type": "object", "additionalProperties": {"type": "string"}},
    {"type": "object", "properties": {"enum": {"const": 1}, "$ref": {"const": 2}}},
    {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 2},
    {"items": {"type": "null"}},
    {"type": "array", "prefixItems": [{"const": 1}, {"const": 2}]},
    {"type": "string", "minLength": 1, "maxLength": 1000},
    {"type": ["string", "null"], "maxLength": 5},
    {"type": "string", "format": "date-time"},
    {"type": "integer", "minimum": -5, "exclusiveMaximum": 5},
    {"type": "string", "enum": ["a", "b"]},
    {"const": {"deep": [1, 2]}},
    {"anyOf": [{"type": "string"}, {"type": "null"}], "title": "A", "default": None},
    {"$defs": {"x": {"type": "object", "properties": {"x": {"$ref": "#/$defs/x"}}}}, "$ref": "#/$defs/x"},
    {"description": "d", "examples": [1], "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "string"},
    {"enum": [f"v{number}" for number in range(250)]},
    {"type": "object", "properties": {f"p{number}": {} for number in range(499)}},
]


@pytest.mark.parametrize("schema", ACCEPTED, ids=lambda schema: str(schema)[:60])
def test_what_the_engine_honours_is_let_through(schema: Any) -> None:
    """Every keyword of these was tried on the engine."""
    assert schema == engine_schema(schema, "schema")


@pytest.mark.parametrize(
    ("alone", "paired"),
    [
        ({"minimum": 100}, {"minimum": 100, "maximum": 10**12}),
        ({"exclusiveMinimum": 100}, {"exclusiveMinimum": 100, "maximum": 10**12}),
        ({"maximum": 100}, {"minimum": -(10**12), "maximum": 100}),
        ({"exclusiveMaximum": 100}, {"minimum": -(10**12), "exclusiveMaximum": 100}),
        ({"minimum": 5, "maximum": 2**53 - 1}, {"minimum": 5, "maximum": 10**12}),
        ({"minimum": -(2**53) + 1, "maximum": 2**53 - 1}, {"minimum": -(10**12), "maximum": 10**12}),
        ({"exclusiveMinimum": -(2**63)}, {"exclusiveMinimum": -(10**12), "maximum": 10**12}),
    ],
)
def test_a_bound_gets_its_counterpart(alone: dict[str, int], paired: dict[str, int]) -> None:
    """Without one the engine gets many a bound wrong, and those of many digits too; the caller's own schema stays as it is."""
    given = {"type": "array", "items": {"type": "integer", **alone}}

    sent = engine_schema(given, "schema")

    assert {"type": "array", "items": {"type": "integer", **paired}} == sent
    assert alone.keys() == given["items"].keys() - {"type"}


def nested(depth: int) -> dict[str, Any]:
    return {"type": "array", "items": nested(depth - 1)} if depth else {"type": "string"}


#: schema, the place that is named
REFUSED: list[tuple[Any, str]] = [
    # would make the engine hang, or eat all memory
    ({"type": "string", "minLength": 10, "maxLength": 2}, "schema.minLength"),
    ({"type": "array", "items": {}, "minItems": 5, "maxItems": 2}, "schema.minItems"),
    ({"type": "string", "pattern": "^((a{0,500}){0,500}){0,500}$"}, "schema.pattern"),
    ({"enum": [f"v{number}" for number in range(251)]}, "schema"),
    ({"type": "object", "properties": {f"p{number}": {} for number in range(500)}}, "schema"),
    ({"anyOf": [{"enum": [f"v{number}" for number in range(50)]}] * 6}, "schema"),
    (nested(64), "schema"),
    ({"description": "x" * 70_000}, "schema"),
    # would be ignored
    ({"type": "number", "minimum": 5}, "schema.minimum"),
    ({"type": "integer", "multipleOf": 7}, "schema.multipleOf"),
    ({"type": "array", "items": {}, "uniqueItems": True}, "schema.uniqueItems"),
    ({"type": "array", "prefixItems": [{}], "minItems": 2}, "schema.prefixItems"),
    ({"type": "object", "minProperties": 1}, "schema.minProperties"),
    ({"type": "object", "patternProperties": {"^x": {}}}, "schema.patternProperties"),
    ({"not": {"type": "object"}}, "schema.not"),
    ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "schema.oneOf"),
    ({"allOf": [{"$ref": "#/$defs/x"}]}, "schema.allOf"),
    ({"type": "string", "format": "email"}, "schema.format"),
    ({"type": "string", "nullable": True}, "schema.nullable"),
    ({"$ref": "#/$defs/x", "$defs": {"x": {}}, "maxLength": 1}, "schema.maxLength"),
    ({"anyOf": [{"type": "object"}], "properties": {}}, "schema.properties"),
    ({"minLength": 3}, "schema.minLength"),
    ({"type": "object", "properties": {"a": {}}, "required": ["b"]}, "schema.required"),
    ({"type": "object", "properties": {"a": {"type": "string", "pattern": "x"}}}, "schema.properties.a.pattern"),
    ({"anyOf": [{"type": "null"}, {"items": {"anyOf": [{"not": {}}]}}]}, "schema.anyOf[1].items.anyOf[0].not"),
    ({"$defs": {"x": {"if": {}}}, "$ref": "#/$defs/x"}, "schema.$defs.x.if"),
    # are no schemas
    ([], "schema"),
    (None, "schema"),
    ({"type": "banana"}, "schema.type"),
    ({"type": []}, "schema.type"),
    ({"type": 5}, "schema.type"),
    ({"type": "object", "properties": [1]}, "schema.properties"),
    ({"type": "object", "properties": {"a": True}}, "schema.properties.a"),
    ({"type": "object", "properties": {"a": {}}, "required": "a"}, "schema.required"),
    ({"type": "array", "items": [{}]}, "schema.items"),
    ({"anyOf": []}, "schema.anyOf"),
    ({"enum": []}, "schema.enum"),
    ({"type": "string", "minLength": -1}, "schema.minLength"),
    ({"type": "string", "maxLength": 1001}, "schema.maxLength"),
    ({"type": "string", "maxLength": True}, "schema.maxLength"),
    ({"type": "integer", "minimum": 0.5}, "schema.minimum"),
    ({"type": "integer", "minimum": 10**15}, "schema.minimum"),
    ({"type": "integer", "exclusiveMaximum": -(10**15)}, "schema.exclusiveMaximum"),
    ({"type": "integer", "minimum": 3, "maximum": 2}, "schema.maximum"),
    ({"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 4}, "schema.maximum"),
]


@pytest.mark.parametrize(("schema", "place"), REFUSED, ids=[str(case[0])[:60] for case in REFUSED])
def test_anything_else_is_a_400_that_names_the_place(schema: Any, place: str) -> None:
    """Nothing is ignored in silence, and no caller can bring the engine down."""
    with pytest.raises(StatusError) as caught:
        engine_schema(schema, "schema")

    assert (400, place) == (caught.value.status, caught.value.param)


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ([], "must be an object, not a list"),
        (None, "must be an object, not null"),
        (json.loads('{"a":' * 65 + "1" + "}" * 65), "is nested deeper than 64 levels"),
        ({"a": "b" * MAX_SCHEMA}, "at most 65536 are accepted"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_schema_is_bounded(schema: Any, said: str) -> None:
    """In depth and size, for the sake of who compiles it; the error names where it stands."""
    with pytest.raises(StatusError, match=said) as caught:
        engine_schema(schema, "place")

    assert "place" == caught.value.param


# What llama.cpp's own way does not honour, and a grammar does

GUIDED: list[Any] = [
    {"type": "number", "minimum": 0, "maximum": 1},
    {"type": "integer", "multipleOf": 5, "minimum": 0, "maximum": 100},
    {"type": "string", "pattern": "^[A-Z]{3}$"},
    {"type": "string", "format": "email"},
    {"oneOf": [{"const": "a"}, {"const": "b"}]},
    {"allOf": [{"type": "string", "maxLength": 3}]},
    {"type": "string", "maxLength": 2000},
    {"type": "array", "prefixItems": [{"const": 1}, {"const": 2}], "minItems": 2, "maxItems": 2},
    {"enum": [f"v{number}" for number in range(300)]},
    {"type": "object", "patternProperties": {"^x[0-9]$": {"type": "null"}}, "additionalProperties": False},
    {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, "additionalProperties": False},
]


@pytest.mark.parametrize("schema", GUIDED, ids=lambda schema: str(schema)[:60])
def test_more_words_are_honoured_by_a_grammar(schema: Any) -> None:
    """None of them is left out, whether the caller says strict or not."""
    made = answer_format(schema, "schema", is_loose=False)

    assert {"response_format": schema} == guided_schemas({"response_format": made})


def test_remarks_are_no_words_to_be_held_to() -> None:
    """As pydantic and generators of OpenAPI write them: they say nothing of what is valid."""
    schema = {"oneOf": [{"const": 1}], "discriminator": {"propertyName": "kind"}, "x-order": 1, "contentEncoding": "base64"}

    assert {"oneOf": [{"const": 1}]} == guided_schemas({"response_format": answer_format(schema, "s", is_loose=False)})[
        "response_format"
    ]


def test_a_schema_that_llama_cpp_honours_goes_its_way() -> None:
    """Without a grammar."""
    made = answer_format({"type": "string"}, "schema", is_loose=False)

    assert {} == guided_schemas({"response_format": made})
    assert {"response_format": made} == with_grammar({"response_format": made})


@pytest.mark.parametrize("keyword", ["uniqueItems", "minProperties", "not", "if", "contains"])
def test_what_no_way_honours_is_a_400_unless_the_caller_is_not_strict(keyword: str) -> None:
    """It names the place, and says how the rest of the schema can be had."""
    schema = {"type": "object", keyword: {}}
    with pytest.raises(StatusError, match="send strict: false") as caught:
        answer_format(schema, "schema", is_loose=False)

    assert (400, f"schema.{keyword}") == (caught.value.status, caught.value.param)
    made = answer_format(schema, "schema", is_loose=True)
    assert {"type": "object"} == guided_schemas({"response_format": made})["response_format"]


@pytest.mark.parametrize("patterns", [[f"^x{number}.*y$" for number in range(33)], ["(?=a)b"], ["a{1,9999}"]])
def test_patterns_of_names_are_bounded(patterns: list[str]) -> None:
    """In number, and as those of values: with a hundred that overlap, each token takes a second."""
    schema = {"type": "object", "patternProperties": {pattern: {} for pattern in patterns}}
    with pytest.raises(StatusError, match="send strict: false") as caught:
        answer_format(schema, "schema", is_loose=False)

    assert (400, "schema.patternProperties") == (caught.value.status, caught.value.param)


def test_a_reference_to_elsewhere_is_a_400_that_names_its_place() -> None:
    """llama.cpp would say so without the place; with `strict: false` it is left out."""
    schema = {"type": "object", "properties": {"a": {"$ref": "https://example.com/a.json"}}}
    with pytest.raises(StatusError, match="send strict: false") as caught:
        answer_format(schema, "schema", is_loose=False)

    assert (400, "schema.properties.a.$ref") == (caught.value.status, caught.value.param)
    assert (
        {}
        == guided_schemas({"response_format": answer_format(schema, "schema", is_loose=True)})["response_format"]["properties"][
            "a"
        ]
    )


def test_a_schema_that_nothing_obeys_is_refused_whatever_the_caller_says() -> None:
    """A grammar could not be made of it either."""
    for is_loose in (True, False):
        with pytest.raises(StatusError, match="leaves no number"):
            answer_format({"type": "integer", "minimum": 3, "maximum": 2}, "schema", is_loose=is_loose)
