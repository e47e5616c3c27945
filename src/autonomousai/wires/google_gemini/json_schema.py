"""Schemas as Google has them (Gemini API reference, "Schema": a subset of OpenAPI 3.0), as JSON Schema."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from .member_names import in_camel_case

Json = dict[str, Any]

#: Formats of numbers and of texts that OpenAPI has, and JSON Schema has not.
_FOREIGN_FORMATS: Final = frozenset({"enum", "float", "double", "int32", "int64", "byte", "binary", "password"})

#: Whole numbers, which the protocol writes as texts too.
_COUNTS: Final = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")

#: What says nothing to a reader of JSON Schema.
_LEFT_OUT: Final = frozenset({"nullable", "propertyOrdering", "example"})

#: Names that JSON Schema writes otherwise.
_RENAMED: Final = {"ref": "$ref", "defs": "$defs"}


def as_json_schema(schema: Any) -> Any:
    """Return one of Google's schemas as JSON Schema. What is JSON Schema already stays as it is.

    Example::

        assert as_json_schema({"type": "STRING", "nullable": True}) == {"type": ["string", "null"]}
    """
    if not isinstance(schema, dict):
        return schema
    said: Json = {}
    for name, value in schema.items():
        camel = in_camel_case(name)
        if camel in _LEFT_OUT:
            continue
        convert = _MEMBERS.get(camel)
        said[_RENAMED.get(camel, camel)] = value if convert is None else convert(value)
    if said.get("format") in _FOREIGN_FORMATS:
        del said["format"]
    if said.get("type") == _UNSPECIFIED:
        del said["type"]
    return _or_null(said) if schema.get("nullable") is True else said


_UNSPECIFIED: Final = "type_unspecified"


def _or_null(schema: Json) -> Json:
    kind = schema.get("type")
    if isinstance(kind, str) and kind != "null":
        schema = {**schema, "type": [kind, "null"]}
        return {**schema, "enum": [*schema["enum"], None]} if isinstance(schema.get("enum"), list) else schema
    if isinstance(kinds := schema.get("anyOf"), list) and {"type": "null"} not in kinds:
        return {**schema, "anyOf": [*kinds, {"type": "null"}]}
    return schema


def _type(value: Any) -> Any:
    if isinstance(value, list):
        return [_type(each) for each in value]
    return value.lower() if isinstance(value, str) else value


def _count(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() else value


def _several(value: Any) -> Any:
    return [as_json_schema(each) for each in value] if isinstance(value, list) else value


def _by_name(value: Any) -> Any:
    return {name: as_json_schema(each) for name, each in value.items()} if isinstance(value, dict) else value


_MEMBERS: Final[dict[str, Callable[[Any], Any]]] = {
    "type": _type,
    "items": as_json_schema,
    "additionalProperties": as_json_schema,
    "not": as_json_schema,
    **dict.fromkeys(("anyOf", "oneOf", "allOf", "prefixItems"), _several),
    **dict.fromkeys(("properties", "defs", "$defs", "definitions", "patternProperties"), _by_name),
    **dict.fromkeys(_COUNTS, _count),
}
