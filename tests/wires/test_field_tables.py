"""A row of a table says the same thing twice: what its check accepts its JSON schema accepts, and the reverse."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable
from functools import cache
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autonomousai.config import KINDS
from autonomousai.errors import InvalidMessagesError, StatusError
from autonomousai.wires.fields import FieldTable, FieldUse, RequestField
from autonomousai.wires.json import too_deep
from autonomousai.wires.message_schemas import MESSAGES, message_schemas
from autonomousai.wires.registry import WIRES
from autonomousai.wires.shapes import Schema, Shape
from tests.support.examples import examples
from tests.wires.test_fields import PASSED, REFUSED
from tests.wires.test_messages import ACCEPTED
from tests.wires.test_messages import REFUSED as REFUSED_MESSAGES

TABLES = {wire.name: wire.fields for wire in WIRES.values() if wire.fields is not None}
ROWS = {f"{name}.{row.name}": row for name, table in TABLES.items() for row in table.rows.values()}
NAMED = [
    *((name, row.shape) for name, row in ROWS.items()),
    *((f"{name} at {kind}", use.shape) for name, row in ROWS.items() for kind, use in row.uses.items()),
]
#: Every shape once: rows share some.
SHAPES = {name: shape for place, (name, shape) in enumerate(NAMED) if all(shape is not other for _, other in NAMED[:place])}

COMPONENTS = message_schemas() | {name: schema for table in TABLES.values() for name, schema in table.components.items()}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
#: What a value is replaced by: what counts as nothing, the words of the shapes, the ends of their ranges.
NOISE = st.one_of(
    *[st.sampled_from([None, False, 0, "", [], {}])] * 3,
    st.sampled_from(["x", "function", "text", "image_url", "user", "tool", {"type": "x"}, [{"type": ""}], {"type": None}]),
    st.sampled_from([True, -1, 1, 1.5, 2.0, 2.5, 10.5, -100.5, 2**31, -(2**63), -(2**63) - 1, 2**64 - 1, 2**64, 10**400]),
    JSON,
)


def like(schema: Schema) -> st.SearchStrategy[Any]:
    """Values that a schema accepts."""
    return st.deferred(lambda: _like(json.dumps(schema)))


@cache
def _like(text: str) -> st.SearchStrategy[Any]:
    schema = json.loads(text)
    if "$ref" in schema:
        return like(COMPONENTS[schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema:
        rest = {key: value for key, value in schema.items() if key not in ("anyOf", "description")}
        chosen = st.one_of(*map(like, schema["anyOf"]))
        return st.tuples(like(rest), chosen).map(lambda both: both[0] | both[1]) if rest else chosen
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "properties" in schema:
        members = {name: like(member) for name, member in schema["properties"].items()}
        needed = {name: members.pop(name) for name in schema.get("required", ())}
        return st.fixed_dictionaries(needed, optional=members)
    kinds = schema.get("type", "anything")
    found = st.one_of(*(_of_kind(kind, schema) for kind in ([kinds] if isinstance(kinds, str) else kinds)))
    others = schema.get("not", {}).get("enum", [])
    return found.filter(lambda value: value not in others)


def _of_kind(kind: str, schema: Schema) -> st.SearchStrategy[Any]:
    low, high = schema.get("minimum", -5), schema.get("maximum", 5)
    if schema.get("format") == "base64-messages":
        texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)
        return texts.map(lambda text: base64.b64encode(text.encode()).decode())
    return {
        "anything": JSON,
        "array": st.lists(like(schema.get("items", {})), min_size=schema.get("minItems", 0), max_size=2),
        "boolean": st.booleans(),
        "integer": st.sampled_from([low, high]) | st.integers(int(low), int(high)),
        "null": st.none(),
        "number": st.sampled_from([low, high, float(low), 1.5]).filter(lambda value: low <= value <= high),
        "object": st.dictionaries(st.text(max_size=3), JSON, max_size=2),
        "string": st.text(min_size=schema.get("minLength", 0), max_size=3),
    }[kind]


@st.composite
def near(draw: st.DrawFn, schema: Schema) -> Any:
    """What a schema accepts, or the same with a fault in one place: another value there, or none."""
    value = copy.deepcopy(draw(like(schema)))
    if draw(st.booleans()):
        return value
    place = draw(st.sampled_from([None, *_places(value)]))
    if place is None:
        return draw(NOISE)
    inside, key = place
    if draw(st.integers(0, 3)):
        inside[key] = draw(NOISE)
    else:
        del inside[key]
    return value


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every list and object in *value*, with each of its places."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    return [(value, key) for key in keys] + [place for key in keys for place in _places(value[key])]


def accepts(check: Callable[[], Any]) -> bool:
    try:
        check()
    except (StatusError, InvalidMessagesError):
        return False
    return True


@cache
def _validator(text: str) -> Any:
    formats = jsonschema.FormatChecker(formats=())
    formats.checks("base64-messages")(_is_base64_of_a_prompt)
    return jsonschema.Draft202012Validator(json.loads(text), format_checker=formats)


def _is_base64_of_a_prompt(value: object) -> bool:
    """What the schema cannot say of the base64, and names as a format."""
    return not isinstance(value, str) or accepts(lambda: TABLES["autonomousai"].rows["messages"].shape.check("messages", value))


def allows(schema: Schema, value: Any) -> bool:
    whole = {**schema, "components": {"schemas": COMPONENTS}}
    return bool(_validator(json.dumps(whole)).is_valid(value))


def agree(shape: Shape, value: Any) -> bool:
    return accepts(lambda: shape.check("x", value)) == allows(shape.schema, value)


@pytest.mark.parametrize("name", SHAPES)
@examples(50)
@given(data=st.data())
def test_a_check_accepts_what_its_schema_accepts(name: str, data: st.DataObject) -> None:
    """And nothing else. Null is looked at before."""
    value = data.draw(near(SHAPES[name].schema))

    assert value is None or agree(SHAPES[name], value)


@pytest.mark.parametrize("name", [ref["$ref"].rpartition("/")[2] for ref in COMPONENTS["Message"]["anyOf"]])
@examples(100)
@given(data=st.data())
def test_so_does_the_check_of_messages(name: str, data: st.DataObject) -> None:
    """Of each kind of message."""
    value = [data.draw(near(COMPONENTS[name]))]

    assert agree(MESSAGES, value)


WRITTEN: list[tuple[str, Any]] = [
    *((name, value) for fields in PASSED for name, value in fields.items() if name in TABLES["openai_chat"].rows),
    *((name, value) for name, value, _, code in REFUSED if code != "unsupported"),
]


@pytest.mark.parametrize(("name", "value"), WRITTEN, ids=str)
def test_the_schema_agrees_with_what_the_checks_tests_say(name: str, value: Any) -> None:
    """Field by field."""
    assert agree(TABLES["openai_chat"].rows[name].shape, value)


def is_json(value: Any) -> bool:
    """Whether a body can hold it: no half characters, nothing deeper than a body may be."""
    try:
        return json.loads(json.dumps(value, ensure_ascii=False).encode()) == value and not too_deep(value)
    except (TypeError, ValueError, RecursionError):
        return False


TOLD = list(filter(is_json, [*ACCEPTED, *(row[0] for row in REFUSED_MESSAGES)]))


@pytest.mark.parametrize("message", TOLD, ids=lambda message: f"{message!r:.60}")
def test_the_schema_agrees_with_what_the_tests_of_messages_say(message: Any) -> None:
    """Message by message."""
    assert agree(MESSAGES, [message])


@pytest.mark.parametrize("name", TABLES)
@examples(50)
@given(data=st.data())
def test_a_request_is_accepted_where_its_schema_accepts_it(name: str, data: st.DataObject) -> None:
    """With what holds between its fields."""
    table, wire = TABLES[name], WIRES[name]
    members = data.draw(
        st.fixed_dictionaries(
            {"messages": st.just([{"role": "user", "content": "Hello"}]), "input": st.just("Hello")},
            optional={"stream": st.booleans()}
            | {
                field: near(row.shape.schema) | st.none()
                for field, row in table.rows.items()
                if field in ("model", "stream", "stream_options", "tools", "tool_choice", "max_tokens", "max_completion_tokens")
            },
        )
    )
    body = msgspec.json.encode(members)

    assert accepts(lambda: wire.decode_request(body, wire.paths[0])) == allows(table.schema, members)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_every_row_says_what_its_field_does(row: RequestField) -> None:
    """In a sentence; and it knows no upstream that a config does not."""
    assert row.says.endswith(".")
    assert row.uses.keys() <= KINDS.keys()


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_a_row_stands_under_its_name(table: FieldTable) -> None:
    """The table is looked up by it."""
    assert [(name, row.name) for name, row in table.rows.items()] == [(name, name) for name in table.rows]


def refusing(use: FieldUse) -> bool:
    return use.what == "refused"


def test_a_refusal_says_what_to_do_instead() -> None:
    """Of every column that refuses."""
    told = {use.says for table in TABLES.values() for row in table.rows.values() for use in row.uses.values() if refusing(use)}

    assert told
    assert all("; " in says for says in told)
