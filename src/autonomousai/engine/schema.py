"""Which JSON schemas the embedded engine can be held to: tables of keywords and bounds. Knows no engine and no request.

llama.cpp ignores what it does not know, and some small schemas make it hang or eat all memory (a minimum above its maximum, a
thousand alternatives, counted groups in a pattern). So a schema is let through only where every word of it is known to be
honoured and to be cheap; anything else is a 400 that names the place. With the code ``unsupported_parameter`` it is a schema
that another way may hold the engine to; see `request.answer_format`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Final

from ..wires.fields import UNSUPPORTED
from ..wires.schema_bounds import check_schema
from ..wires.shapes import refusal

#: They say nothing about what is valid.
_ANNOTATIONS: Final = frozenset(
    {"title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$schema", "$id", "$comment"}
)
_DEFINITIONS: Final = ("$defs", "definitions")

#: The one keyword that makes a schema what it is; beside it, nothing but annotations, definitions and a type is honoured.
_FORMS: Final = ("$ref", "const", "enum", "anyOf")

#: The keywords that are honoured for a value of each type.
_TYPES: Final[dict[str, frozenset[str]]] = {
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "array": frozenset({"items", "prefixItems", "minItems", "maxItems"}),
    "string": frozenset({"minLength", "maxLength", "format"}),
    "integer": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}),
    "number": frozenset(),
    "boolean": frozenset(),
    "null": frozenset(),
}
_FORMATS: Final = ("date", "time", "date-time", "uuid")
_RANGES: Final = (("minLength", "maxLength"), ("minItems", "maxItems"))

#: Measured: within these bounds the engine's next token takes some ten milliseconds more, beyond them seconds.
_MAX_COUNT: Final = 1000
_MAX_SCHEMAS: Final = 500
_MAX_VALUES: Final = 250

_TOO_MANY: Final = "the embedded engine cannot work with so many"

#: llama.cpp gets bounds of sixteen digits wrong, and many a bound alone: 18 passes for at least 100. Given both, it is right.
_MAX_BOUND: Final = 10**12
_BOUNDS: Final = (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum"))


def engine_schema(schema: Any, param: str) -> dict[str, Any]:
    """*schema* as the engine can be held to it. Raises `StatusError` 400 that names the place, where it cannot be."""
    check_schema(schema, param)
    bounded: dict[str, Any] = copy.deepcopy(schema)
    values = 0
    for count, (place, node) in enumerate(_walk(bounded, param), start=1):
        values += _check(place, node)
        _check_reference(place, node, bounded)
        _pair_bounds(node)
        if count > _MAX_SCHEMAS:
            raise refusal(param, f"holds more than {_MAX_SCHEMAS} schemas; {_TOO_MANY}", UNSUPPORTED)
        if values > _MAX_VALUES:
            raise refusal(param, f"lists more than {_MAX_VALUES} values; {_TOO_MANY}", UNSUPPORTED)
    return bounded


def _walk(node: Any, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The schema and all schemas in it, each with its place."""
    if not isinstance(node, dict):
        raise refusal(place, "must be a schema: an object", UNSUPPORTED if isinstance(node, bool) else "invalid_type")
    yield place, node
    for keyword in (*_DEFINITIONS, "properties"):
        for name, child in _mapping(node, keyword, place).items():
            yield from _walk(child, f"{place}.{keyword}.{name[:50]}")
    for keyword in ("anyOf", "prefixItems"):
        for index, child in enumerate(_list(node, keyword, place)):
            yield from _walk(child, f"{place}.{keyword}[{index}]")
    for keyword in ("items", "additionalProperties"):
        child = node.get(keyword)
        if child is not None and not (keyword == "additionalProperties" and isinstance(child, bool)):
            yield from _walk(child, f"{place}.{keyword}")


def _check_reference(place: str, node: dict[str, Any], root: dict[str, Any]) -> None:
    """llama.cpp resolves references to definitions of the root alone."""
    if "$ref" not in node:
        return
    steps = str(node["$ref"]).split("/")
    if len(steps) != 3 or steps[0] != "#" or steps[1] not in _DEFINITIONS or steps[2] not in (root.get(steps[1]) or ()):
        raise refusal(f"{place}.$ref", "leads to no definition that the embedded engine could be held to", UNSUPPORTED)


def _check(place: str, node: dict[str, Any]) -> int:
    """Check one schema by itself; the number of values that it lists."""
    said = node.keys() - _ANNOTATIONS - set(_DEFINITIONS)
    forms = [form for form in _FORMS if form in said]
    types = _types(place, node)
    honoured = {forms[0], "type"} if forms else {"type"}.union(*(_TYPES[name] for name in types))
    for keyword in node:
        if keyword in said and keyword not in honoured:
            beside = f" beside {forms[0]}" if forms else f" for {' or '.join(types)}" if "type" in node else " here"
            problem = f"is not something that the embedded engine can be held to{beside}"
            raise refusal(f"{place}.{keyword[:50]}", problem, UNSUPPORTED)
    _check_counts(place, node)
    _check_object(place, node)
    if node.get("format") is not None and node["format"] not in _FORMATS:
        raise refusal(f"{place}.format", f"the embedded engine can be held to {', '.join(_FORMATS)}", UNSUPPORTED)
    return len(_list(node, "enum", place))


def _types(place: str, node: dict[str, Any]) -> tuple[str, ...]:
    """The types that the schema names; without a name, the one that its keywords belong to."""
    named = node.get("type")
    if named is None:
        return tuple(name for name in ("object", "array") if _TYPES[name] & node.keys())
    types = named if isinstance(named, list) else [named]
    if not types or not all(isinstance(name, str) and name in _TYPES for name in types):
        raise refusal(f"{place}.type", f"must be one or more of {', '.join(_TYPES)}")
    return tuple(types)


def _check_counts(place: str, node: dict[str, Any]) -> None:
    for low, high in _RANGES:
        for keyword in (low, high):
            count = node.get(keyword, 0)
            if type(count) is not int or not 0 <= count <= _MAX_COUNT:
                code = UNSUPPORTED if type(count) is int and count > 0 else "invalid_value"
                raise refusal(f"{place}.{keyword}", f"must be a whole number from 0 to {_MAX_COUNT}", code)
        if node.get(low, 0) > node.get(high, _MAX_COUNT):
            raise refusal(f"{place}.{low}", f"must not be above {high}")
    bounds = {keyword: node[keyword] for keyword in _TYPES["integer"] if keyword in node}
    for keyword, bound in bounds.items():
        # One beyond what the engine can count to is drawn in, where that leaves something: see `_pair_bounds`.
        if type(bound) is float:
            raise refusal(f"{place}.{keyword}", f"must be a whole number from -{_MAX_BOUND} to {_MAX_BOUND}", UNSUPPORTED)
        if type(bound) is not int or (bound > _MAX_BOUND if keyword in _BOUNDS[0] else bound < -_MAX_BOUND):
            raise refusal(f"{place}.{keyword}", f"must be a whole number from -{_MAX_BOUND} to {_MAX_BOUND}")
    lowest = max(bounds.get("minimum", -_MAX_BOUND), bounds.get("exclusiveMinimum", -_MAX_BOUND - 1) + 1)
    highest = min(bounds.get("maximum", _MAX_BOUND), bounds.get("exclusiveMaximum", _MAX_BOUND + 1) - 1)
    if lowest > highest:
        raise refusal(f"{place}.maximum", "leaves no number that would be valid")
    if "prefixItems" in node and node.keys() & {"items", "minItems", "maxItems"}:
        raise refusal(f"{place}.prefixItems", "is not honoured beside items, minItems or maxItems", UNSUPPORTED)


def _pair_bounds(node: dict[str, Any]) -> None:
    """Bounds that the engine gets right: two, and none of more digits than it can count. Some libraries bound every integer by
    what their language can hold, 2^53: an answer within narrower bounds is within those too."""
    for keyword in _TYPES["integer"] & node.keys():
        node[keyword] = min(max(node[keyword], -_MAX_BOUND), _MAX_BOUND)
    low, high = (any(keyword in node for keyword in keywords) for keywords in _BOUNDS)
    if low and not high:
        node["maximum"] = _MAX_BOUND
    elif high and not low:
        node["minimum"] = -_MAX_BOUND


def _check_object(place: str, node: dict[str, Any]) -> None:
    properties = _mapping(node, "properties", place)
    for name in _list(node, "required", place):
        if not isinstance(name, str) or name not in properties:
            raise refusal(f"{place}.required", "must name properties that the schema describes")


def _mapping(node: dict[str, Any], keyword: str, place: str) -> dict[str, Any]:
    value = node.get(keyword, {})
    if not isinstance(value, dict):
        raise refusal(f"{place}.{keyword}", "must be an object", "invalid_type")
    return value


def _list(node: dict[str, Any], keyword: str, place: str) -> list[Any]:
    value = node.get(keyword, [])
    if not isinstance(value, list) or (keyword in node and not value and keyword != "required"):
        raise refusal(f"{place}.{keyword}", "must be a list that is not empty", "invalid_type")
    return value
