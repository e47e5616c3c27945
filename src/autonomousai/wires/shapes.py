"""What a value in a request must look like. A `Shape` says it twice, as a check with a 400 that names the place, and as a JSON
schema (draft 2020-12). Knows no field.

Shapes are made of one another, so that what is checked and what is published cannot part; tests sample both.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, TypeAlias

import msgspec

from ..errors import StatusError
from .json_kinds import kind

Schema: TypeAlias = dict[str, Any]

#: Checks the value at a place, which is not null, and returns what to pass on.
Check: TypeAlias = Callable[[str, Any], Any]


class Shape(msgspec.Struct, frozen=True):
    """What a value must look like. ``check`` raises `StatusError` 400 for exactly the values that ``schema`` forbids."""

    check: Check
    schema: Schema


def refusal(param: str | None, problem: str, code: str = "invalid_value") -> StatusError:
    """Return a 400 that names the field."""
    message = f"{param}: {problem}" if param else problem
    return StatusError(message, status=400, type="invalid_request_error", param=param, code=code)


def shown(value: Any) -> str:
    """Return a caller's value for an error's message: at most 100 characters, and of lists and objects only what they are."""
    if isinstance(value, dict | list | tuple):
        return kind(value)
    try:
        text = msgspec.json.encode(value[:101] if isinstance(value, str) else value).decode()
    except (TypeError, ValueError):  # what a caller in Python gave, which is no JSON
        return kind(value)
    return text if len(text) <= 102 else f"{text[:100]}…"


def as_whole(value: Any) -> Any:
    """Return a whole number that was written with a point as the integer that it is, any other value as it came: JSON knows one
    kind of numbers, and some languages write 40 as 40.0."""
    return int(value) if type(value) is float and value.is_integer() else value


def or_null(schema: Schema) -> Schema:
    """Return *schema*, or null, which is the same as leaving the value out."""
    if isinstance(schema.get("type"), str) and "enum" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    if "enum" in schema:
        return {**schema, "enum": [*schema["enum"], None]}
    return {"anyOf": [schema, {"type": "null"}]} if schema else {}


# ---- single values ----------------------------------------------------------------------------------------------------

_TYPES: Final[dict[type, tuple[str, str]]] = {
    str: ("text", "string"),
    bool: ("true or false", "boolean"),
    dict: ("an object", "object"),
    list: ("a list", "array"),
    int: ("a whole number", "integer"),
    float: ("a number", "number"),
}


def check_type(param: str, value: Any, wanted: type) -> None:
    """Raise `StatusError` 400 unless *value* is of that type. A boolean is no number; a whole number will do for any."""
    if type(value) is not wanted and not (wanted is float and type(value) is int):
        raise refusal(param, f"must be {_TYPES[wanted][0]}, not {shown(value)}", "invalid_type")


def _of_type(wanted: type) -> Shape:
    def check(param: str, value: Any) -> Any:
        check_type(param, value, wanted)
        return value

    return Shape(check, {"type": _TYPES[wanted][1]})


ANYTHING: Final = Shape(lambda _, value: value, {})
TEXT: Final = _of_type(str)
FLAG: Final = _of_type(bool)
OBJECT: Final = _of_type(dict)
LIST: Final = _of_type(list)
NUMBER: Final = _of_type(float)


def _check_name(param: str, value: Any) -> Any:
    check_type(param, value, str)
    if not value:
        raise refusal(param, "must not be empty")
    return value


#: Text that is not empty.
NAME: Final = Shape(_check_name, {"type": "string", "minLength": 1})


def _within(wanted: type, low: float, high: float) -> Shape:
    def check(param: str, value: Any) -> Any:
        if wanted is int:
            value = as_whole(value)
        check_type(param, value, wanted)
        if not low <= value <= high:
            raise refusal(param, f"must be from {low} to {high}, not {shown(value)}")
        return value

    return Shape(check, {"type": _TYPES[wanted][1], "minimum": low, "maximum": high})


def number(low: float, high: float) -> Shape:
    """Return the shape of a number within bounds."""
    return _within(float, low, high)


def whole(low: int = -(2**63), high: int = 2**64 - 1) -> Shape:
    """Return the shape of a whole number, without bounds any that 64 bits hold."""
    return _within(int, low, high)


#: Keywords that are never null, and say nothing where they are.
_UNSAID: Final = ("type", "properties", "required", "description", "title", "$schema", "additionalProperties")


def object_schema(schema: Schema | None) -> Schema:
    """Return the schema of a function's arguments as all servers of chat completions take it: an object's, with properties, and
    without the nulls that some generators write for what they do not say."""
    said = {name: value for name, value in (schema or {}).items() if value is not None or name not in _UNSAID}
    if said.get("type", "object") != "object" or said.keys() & {"$ref", "anyOf", "oneOf", "allOf"}:
        return said
    return {"type": "object", "properties": {}, **said}


# ---- values made of others --------------------------------------------------------------------------------------------


def either(words: str, shapes: Mapping[type, Shape]) -> Shape:
    """Return the shape of a value of several types, each with a shape of its own; *words* name the types."""

    def check(param: str, value: Any) -> Any:
        shape = shapes.get(type(value))
        if shape is None:
            raise refusal(param, f"must be {words}, not {shown(value)}", "invalid_type")
        return shape.check(param, value)

    return Shape(check, {"anyOf": [shape.schema for shape in shapes.values()]})


def list_of(item: Shape) -> Shape:
    """Return the shape of a list whose items have one shape."""

    def check(param: str, value: Any) -> Any:
        check_type(param, value, list)
        for place, each in enumerate(value):
            item.check(f"{param}[{place}]", each)
        return value

    return Shape(check, {"type": "array", "items": item.schema})


def object_of(members: Mapping[str, Shape], needed: Collection[str] = ()) -> Shape:
    """Return the shape of an object whose *members* have shapes; one that is not *needed* may be null. Other members pass."""

    def check(param: str, value: Any) -> Any:
        check_type(param, value, dict)
        for name, shape in members.items():
            if (member := value.get(name)) is not None or name in needed:
                shape.check(f"{param}.{name}", member)
        return value

    properties = {name: shape.schema if name in needed else or_null(shape.schema) for name, shape in members.items()}
    return Shape(check, {"type": "object", "properties": properties, **({"required": sorted(needed)} if needed else {})})


def typed(known: Mapping[str, Shape], *, needed: bool = False) -> Shape:
    """Return the shape of an object whose ``type`` says what it is: a *known* type has its shape, and another passes with
    whatever it holds. Unless ``type`` is *needed*, and then not empty, it may be absent or null."""
    other = object_of({"type": NAME if needed else TEXT}, ("type",) if needed else ())

    def check(param: str, value: Any) -> Any:
        other.check(param, value)
        if (shape := known.get(value.get("type"))) is not None:
            shape.check(param, value)
        return value

    schemas = [with_type(name, shape.schema) for name, shape in known.items()]
    return Shape(check, {"anyOf": [*schemas, with_other_type((*known, *([""] if needed else [])), needed=needed)]})


def with_type(name: str, schema: Schema) -> Schema:
    """Return *schema*, of an object whose ``type`` is *name*."""
    properties = {"type": {"enum": [name]}, **schema.get("properties", {})}
    return {**schema, "properties": properties, "required": ["type", *schema.get("required", ())]}


def with_other_type(known: Collection[str], *, needed: bool = True) -> Schema:
    """Return the schema of an object whose ``type`` is none of the *known* ones."""
    other = {"type": "string", "not": {"enum": list(known)}}
    return {
        "type": "object",
        "properties": {"type": other if needed else or_null(other)},
        **({"required": ["type"]} if needed else {}),
    }


def either_form(name: str, nested: Shape, flat: Shape) -> Shape:
    """Return the shape of an object that is *nested*, in its member *name*, or *flat*, where it has none."""

    def check(param: str, value: Any) -> Any:
        is_flat = value.get(name) is None and value.get("name") is not None
        return (flat if is_flat else nested).check(param, value)

    properties = {name: {"type": "null"}, **flat.schema["properties"]}
    return Shape(check, {"anyOf": [nested.schema, {**flat.schema, "properties": properties}]})
