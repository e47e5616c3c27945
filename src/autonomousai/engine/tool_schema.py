"""The JSON schema of a tool's arguments, as the engine's grammar can be held to it. A table of keywords; knows no engine.

The engine drops a complete grammar, without a word to its caller, where one keyword of it is malformed or unknown; see
`grammar_check`. So what it cannot be held to is left out beforehand: the arguments are then freer than the schema. Where the
caller wants them strict it is a 400 that names the place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from ..wires.fields import UNSUPPORTED
from ..wires.schema_bounds import check_schema
from ..wires.shapes import refusal
from .usual_schema import usual_schema

#: Measured: within these bounds the engine makes the grammar in some ten milliseconds.
_MOST_SCHEMAS: Final = 1000
_MOST_VALUES: Final = 1000
_MOST_COUNTED: Final = 10_000
_LONGEST_PATTERN: Final = 500

#: Of the names of one object's members: a hundred that overlap take a second for each token.
_MOST_NAMES: Final = 32

#: Of a whole number: the engine's grammar reads bounds as doubles, and makes them 64 bits.
_GREATEST: Final = 9 * 10**18

_TYPES: Final = frozenset({"object", "array", "string", "integer", "number", "boolean", "null"})
_FORMATS: Final = frozenset({"date", "time", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"})

#: Look-arounds, named groups, back references, boundaries: other engines of regular expressions have none.
_FOREIGN_PATTERN: Final = re.compile(r"\(\?(?!:)|\\[1-9bBAZzGkpPX]|\(\*")
_COUNTS: Final = re.compile(r"\{(\d*)(?:,(\d*))?\}")


def _is_type(value: Any) -> bool:
    names = value if isinstance(value, list) else [value]
    return bool(names) and all(isinstance(name, str) and name in _TYPES for name in names)


def _is_values(value: Any) -> bool:
    return isinstance(value, list) and bool(value)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _MOST_COUNTED


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e15


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _is_pattern(value: Any) -> bool:
    if not isinstance(value, str) or len(value) > _LONGEST_PATTERN or _FOREIGN_PATTERN.search(value):
        return False
    if any(int(count or 0) > 100 for counts in _COUNTS.findall(value) for count in counts):
        return False
    try:
        re.compile(value)
    except (re.error, OverflowError, RecursionError):
        return False
    return True


def _are_names(patterns: dict[str, Any]) -> bool:
    return len(patterns) <= _MOST_NAMES and all(map(_is_pattern, patterns))


#: The keywords that are honoured, and what their values must be.
_KEYWORDS: Final[dict[str, Callable[[Any], bool]]] = {
    "type": _is_type,
    "enum": _is_values,
    "const": lambda value: True,
    "required": _is_names,
    "minItems": _is_count,
    "maxItems": _is_count,
    "minLength": _is_count,
    "maxLength": _is_count,
    "minimum": _is_number,
    "maximum": _is_number,
    "exclusiveMinimum": _is_number,
    "exclusiveMaximum": _is_number,
    "multipleOf": lambda value: _is_number(value) and value > 0,
    "pattern": _is_pattern,
    "format": lambda value: value in _FORMATS,
}
#: Those whose values are schemas: of names, in a list, or one.
_MAPPINGS: Final = ("properties", "patternProperties", "$defs", "definitions")
_LISTS: Final = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE: Final = ("items", "additionalProperties")

#: They say nothing about what is valid. A format is a remark as well where it is none that is known.
_REMARKS: Final = frozenset(
    {"title", "description", "default", "examples", "example", "deprecated", "readOnly", "writeOnly"}
    | {"$schema", "$id", "$anchor", "$comment", "format", "nullable", "discriminator", "contentEncoding", "contentMediaType"}
    | {"externalDocs", "xml"}
)


def tool_schema(parameters: Any, param: str, *, is_strict: bool = False) -> dict[str, Any]:
    """Return what the engine's grammar is made of for the arguments that *parameters* describes: always an object.

    Raises `StatusError` 400 that names the place: for what is no schema, or is too large; and for *is_strict* where the engine
    cannot be held to a part of it.
    """
    if not parameters:  # no schema at all: OpenAI's word for a function without arguments
        return {"type": "object", "properties": {}, "additionalProperties": False}
    schema = held_schema(parameters, param, is_strict=is_strict)
    if "type" not in schema and not schema.keys() & {"$ref", *_LISTS}:
        schema["type"] = "object"
    if isinstance(schema.get("type"), list) and "object" in schema["type"]:
        schema["type"] = "object"  # null is no set of arguments
    if schema.get("type", "object") != "object":
        raise refusal(f"{param}.type", "must be object: a function's arguments are one")
    return schema


def held_schema(schema: Any, param: str, *, is_strict: bool) -> dict[str, Any]:
    """Return of *schema* what a grammar can hold the engine to. Raises `StatusError` 400 as `tool_schema` does."""
    check_schema(schema, param)
    usual = usual_schema(schema)
    return _SchemaReader(usual, param, is_strict=is_strict).read(usual, param)


#: JSON as models were trained to write it, with one space and no line breaks.
_SPACING: Final = {
    "x-guidance": {
        "whitespace_flexible": False,
        "key_separator": ": ",
        "item_separator": ", ",
        "lenient": True,
        "coerce_one_of": True,
    }
}


def json_rule(schema: dict[str, Any]) -> str:
    """Return what stands in a rule of a grammar for JSON that obeys *schema*; see `tool_grammar`."""
    return f"%json {json.dumps({**schema, **_SPACING})}"


class _SchemaReader:
    """One walk through a schema."""

    def __init__(self, root: dict[str, Any], param: str, *, is_strict: bool) -> None:
        self._root = root
        self._param = param
        self._is_strict = is_strict
        #: Whether objects are closed that describe their members and say nothing of others: models fill in what is
        #: described, and an answer to the narrower schema is one to the wider. Not beside `allOf`, whose parts describe one
        #: object together.
        self._closes = b'"allOf"' not in msgspec.json.encode(root)
        self._schemas = self._values = 0

    def read(self, node: Any, place: str) -> dict[str, Any]:
        """Return *node* without what the engine does not honour."""
        self._count(node)
        if not isinstance(node, dict):
            raise refusal(place, "must be a schema: an object", "invalid_type")
        kept: dict[str, Any] = {}
        for keyword, value in node.items():
            where = f"{place}.{keyword[:50]}"
            if keyword in _MAPPINGS and isinstance(value, dict) and (keyword != "patternProperties" or _are_names(value)):
                kept[keyword] = {name: self._schema(each, f"{where}.{name[:50]}") for name, each in value.items()}
            elif keyword in _LISTS and _is_values(value):
                kept[keyword] = [self._schema(each, f"{where}[{index}]") for index, each in enumerate(value)]
            elif keyword in _SINGLE and isinstance(value, dict | bool):
                kept[keyword] = self._schema(value, where)
            elif (keyword in _KEYWORDS and _KEYWORDS[keyword](value)) or (keyword == "$ref" and self._is_here(value)):
                kept[keyword] = value
            elif self._is_strict and keyword not in _REMARKS and not keyword.startswith("x-"):
                problem = "is not something that the embedded engine can be held to; leave it out, or send strict: false"
                raise refusal(where, problem, UNSUPPORTED)
        self._settle(kept)
        return kept

    def _schema(self, node: Any, place: str) -> Any:
        return node if isinstance(node, bool) else self.read(node, place)

    def _count(self, node: Any) -> None:
        self._schemas += 1
        if isinstance(node, dict) and isinstance(values := node.get("enum"), list):
            self._values += len(values)
        if self._schemas > _MOST_SCHEMAS or self._values > _MOST_VALUES:
            problem = f"at most {_MOST_SCHEMAS} schemas and {_MOST_VALUES} values are accepted"
            raise refusal(self._param, f"is too large for the embedded engine: {problem}")

    def _settle(self, kept: dict[str, Any]) -> None:
        if kept.get("type") == "integer" and not kept.keys() & {"enum", "const"}:
            self._bound(kept)
        if "$ref" in kept:  # what stands beside it was a remark once, and is an intersection now: the reference is enough
            for keyword in kept.keys() - {"$ref", "$defs", "definitions"}:
                del kept[keyword]
        described = kept.get("properties")
        if "required" in kept and described is not None and self._closes:
            kept["required"] = [name for name in kept["required"] if name in described]
        if described is not None and self._closes and not kept.keys() & {"additionalProperties", *_LISTS[:3]}:
            kept["additionalProperties"] = False

    def _bound(self, kept: dict[str, Any]) -> None:
        """Bound a whole number on the sides where the schema does not: small models do not stop writing digits."""
        if not kept.keys() & {"minimum", "exclusiveMinimum"}:
            kept["minimum"] = -_GREATEST
        if not kept.keys() & {"maximum", "exclusiveMaximum"}:
            kept["maximum"] = _GREATEST

    def _is_here(self, reference: Any) -> bool:
        """Return whether *reference* leads to a schema within the root."""
        if reference == "#":
            return True
        if not isinstance(reference, str) or not reference.startswith(("#/$defs/", "#/definitions/")):
            return False
        node: Any = self._root
        for step in _steps(reference):
            if not isinstance(node, dict) or step not in node:
                return False
            node = node[step]
        return isinstance(node, dict)


def _steps(reference: str) -> Iterator[str]:
    """Yield the names on a JSON pointer's way (RFC 6901)."""
    for step in reference[2:].split("/"):
        yield step.replace("~1", "/").replace("~0", "~")
