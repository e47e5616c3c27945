"""What a request says of tools, the schemas of their arguments, and how they stand among the messages."""

from __future__ import annotations

import json
from typing import Any

import pytest

from autonomousai.engine.chat_template import tool_style
from autonomousai.engine.handle import EngineCondition
from autonomousai.engine.question import ChatTurn, chat_question
from autonomousai.engine.request import engine_messages
from autonomousai.engine.tool_schema import tool_schema
from autonomousai.engine.tools import ToolPlan, take_tools
from autonomousai.errors import StatusError

CITY: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
ADD: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "integer"}}}
#: The same for the engine: small models do not stop writing digits.
HELD: dict[str, Any] = {
    "type": "object",
    "properties": {"a": {"type": "integer", "minimum": -9 * 10**18, "maximum": 9 * 10**18}},
}


def tool(name: str, parameters: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    described = {} if parameters is None else {"parameters": parameters}
    return {"type": "function", "function": {"name": name, **described, **more}}


TOOLS = [tool("weather", CITY), tool("add", ADD)]


def plan(**fields: Any) -> ToolPlan | None:
    return take_tools({"tools": TOOLS, **fields})


def allowed(mode: str, *names: str) -> dict[str, Any]:
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [tool(name) for name in names]}}


# ---- the choice -------------------------------------------------------------------------------------------------------

CHOICES: list[tuple[dict[str, Any], tuple[str, list[str], bool] | None]] = [
    ({}, ("auto", ["weather", "add"], True)),
    ({"tool_choice": "auto", "parallel_tool_calls": False}, ("auto", ["weather", "add"], False)),
    ({"tool_choice": "required"}, ("required", ["weather", "add"], True)),
    ({"tool_choice": "any"}, ("required", ["weather", "add"], True)),
    ({"tool_choice": "none"}, None),
    ({"tool_choice": tool("add")}, ("required", ["add"], False)),
    ({"tool_choice": allowed("auto", "add")}, ("auto", ["add"], True)),
    ({"tool_choice": allowed("required", "add", "weather")}, ("required", ["add", "weather"], True)),
    ({"tools": [], "tool_choice": "auto"}, None),
]


@pytest.mark.parametrize(("given", "expected"), CHOICES, ids=str)
def test_every_form_of_the_choice(given: dict[str, Any], expected: tuple[str, list[str], bool] | None) -> None:
    """Whether a tool must be called, which ones may be, and whether several."""
    made = plan(**given)

    assert expected == (made and (made.mode, [each.name for each in made.allowed], made.is_parallel))


OLDER: list[tuple[Any, tuple[str, list[str], bool] | None]] = [
    (None, ("auto", ["weather", "add"], False)),
    ("auto", ("auto", ["weather", "add"], False)),
    ("none", None),
    ({"name": "add"}, ("required", ["add"], False)),
]


@pytest.mark.parametrize(("choice", "expected"), OLDER, ids=str)
def test_functions_are_tools_of_which_one_is_called(choice: Any, expected: tuple[str, list[str], bool] | None) -> None:
    """The older form has no room for several calls; all of it is taken out of the fields."""
    fields = {"functions": [each["function"] for each in TOOLS], "function_call": choice, "seed": 1}

    made = take_tools(fields)

    assert expected == (made and (made.mode, [each.name for each in made.allowed], made.is_parallel))
    assert {"seed": 1} == fields
    assert made is None or made.shown == plan(parallel_tool_calls=False).shown  # type: ignore[union-attr]


def test_calls_and_results_in_the_older_form_are_those_of_tools() -> None:
    """A call gets an id, by which its result is found; a result of no call is what the user says."""
    function = {"name": "add", "arguments": '{"a": 1}'}
    messages = [
        {"role": "user", "content": "a"},
        {"role": "function", "name": "lost", "content": "0"},
        {"role": "assistant", "content": None, "function_call": function},
        {"role": "function", "name": "add", "content": "7"},
    ]

    told = engine_messages(messages, None)

    assert [
        {"role": "user", "content": "a"},
        {"role": "user", "content": "0"},
        {"role": "assistant", "content": "", "tool_calls": [{"id": "call_2", "type": "function", "function": function}]},
        {"role": "tool", "content": "7", "tool_call_id": "call_2"},
    ] == told


def test_all_tools_are_shown_whichever_may_be_called() -> None:
    """So that what is read of the prompt stays the same from turn to turn."""
    made = plan(tool_choice=tool("add"))

    assert made is not None
    assert TOOLS == made.shown


DEEP: dict[str, Any] = {"type": "object"}
for _ in range(70):
    DEEP = {"type": "object", "properties": {"a": DEEP}}

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
    ({"tools": [*TOOLS, tool("a b")]}, "tools[2].function.name"),
    ({"tools": [tool("x" * 129)]}, "tools[0].function.name"),
    ({"tools": [tool(f"f{number}") for number in range(129)]}, "tools"),
    ({"tools": [tool("f", description="x" * 600_000)]}, "tools"),
    ({"tools": [tool("f", DEEP)]}, "tools[0].function.parameters"),
    ({"tools": [tool("f", {"type": "string"})]}, "tools[0].function.parameters.type"),
    ({"tools": [tool("f", {"properties": {"a": 1}})]}, "tools[0].function.parameters.properties.a"),
    ({"tools": [tool("f", {"enum": list(range(1001))})]}, "tools[0].function.parameters"),
    ({"tools": [tool("f", {"anyOf": [{}] * 1001})]}, "tools[0].function.parameters"),
    ({"tools": [tool("f", {"not": {}}, strict=True)]}, "tools[0].function.parameters.not"),
    ({"tool_choice": "some"}, "tool_choice"),
    ({"tool_choice": {"type": "custom"}}, "tool_choice"),
    ({"tool_choice": tool("sub")}, "tool_choice"),
    ({"tool_choice": allowed("auto", "sub")}, "tool_choice"),
    ({"tool_choice": allowed("perhaps", "add")}, "tool_choice.allowed_tools.mode"),
    ({"tool_choice": {"type": "allowed_tools", "allowed_tools": {"tools": []}}}, "tool_choice.allowed_tools.tools"),
    ({"tools": [], "tool_choice": "required"}, "tool_choice"),
]


@pytest.mark.parametrize(("given", "param"), REFUSED, ids=[str(param) for _, param in REFUSED])
def test_what_cannot_be_honoured_is_a_400(given: dict[str, Any], param: str) -> None:
    """It names the place."""
    with pytest.raises(StatusError) as caught:
        plan(**given)

    assert (400, param) == (caught.value.status, caught.value.param)


# ---- schemas ----------------------------------------------------------------------------------------------------------


def object_of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


SCHEMAS: list[tuple[Any, dict[str, Any]]] = [
    (None, object_of()),
    ({}, object_of()),
    ({"type": "object"}, {"type": "object"}),
    ({"type": "object", "properties": [], "required": []}, {**object_of(), "required": []}),
    ({"type": "object", "properties": None, "$defs": []}, {**object_of(), "$defs": {}}),
    ({"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}, object_of(a={"type": "string"})),
    ({"properties": {"a": {"title": "A", "type": "string"}}}, object_of(a={"type": "string"})),
    ({**ADD, "additionalProperties": True}, {**HELD, "additionalProperties": True}),
    ({**ADD, "required": ["a", "b"]}, {**HELD, "required": ["a"], "additionalProperties": False}),
    (
        object_of(a={"type": "integer", "minimum": 1}, b={"type": "integer", "exclusiveMaximum": 5}),
        object_of(
            a={"type": "integer", "minimum": 1, "maximum": 9 * 10**18},
            b={"type": "integer", "exclusiveMaximum": 5, "minimum": -9 * 10**18},
        ),
    ),
    (object_of(a={"type": "integer", "enum": [1, 2]}), object_of(a={"type": "integer", "enum": [1, 2]})),
    (object_of(a={"type": "strnig", "minLength": 2}), object_of(a={"minLength": 2})),
    (object_of(a={"pattern": "^a{1,3}$"}), object_of(a={"pattern": "^a{1,3}$"})),
    (object_of(a={"pattern": "(?=a)b"}), object_of(a={})),
    (object_of(a={"pattern": "(a{1,9999})*"}), object_of(a={})),
    (object_of(a={"pattern": "("}), object_of(a={})),
    (object_of(a={"format": "phone"}), object_of(a={})),
    (object_of(a={"format": "uuid", "exclusiveMinimum": True}), object_of(a={"format": "uuid"})),
    (object_of(a={"minLength": 10**9}), object_of(a={})),
    (object_of(a={"not": {}, "oneOf": [{"type": "null"}, True]}), object_of(a={"oneOf": [{"type": "null"}, True]})),
    (
        {**object_of(a={"$ref": "#/$defs/b", "description": "B", "default": 1}), "$defs": {"b": ADD}},
        {**object_of(a={"$ref": "#/$defs/b"}), "$defs": {"b": {**HELD, "additionalProperties": False}}},
    ),
    (object_of(a={"$ref": "#/$defs/b"}, c={"$ref": "http://x/y"}), object_of(a={}, c={})),
    (
        {"type": "object", "allOf": [{"properties": {"a": {}}, "required": ["b"]}, ADD]},
        {"type": "object", "allOf": [{"properties": {"a": {}}, "required": ["b"]}, HELD]},
    ),
]


@pytest.mark.parametrize(("parameters", "expected"), SCHEMAS, ids=lambda value: json.dumps(value)[:60])
def test_a_schema_is_brought_into_the_engines_form(parameters: Any, expected: dict[str, Any]) -> None:
    """What it cannot be held to is left out, and what is described is all there is."""
    assert expected == tool_schema(parameters, "p")


# ---- messages ---------------------------------------------------------------------------------------------------------

HI = {"role": "user", "content": "Weather in Rome?"}


def call(arguments: str, id: str = "c1") -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": "weather", "arguments": arguments}}


TURN = [
    HI,
    {"role": "assistant", "content": None, "tool_calls": [call('{"city": "Rome"}'), call("{", "c2")]},
    {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "20 C"}]},
    {"role": "tool", "tool_call_id": "c2", "content": "no JSON"},
]


def test_a_template_that_knows_tools_gets_calls_and_results() -> None:
    """Arguments that are no JSON object, which it could not write, are one with the text in it."""
    made, _ = chat_question(EngineCondition(tools="hermes"), ChatTurn(engine_messages(TURN, None), plan(), True), {})

    expected = [
        HI,
        {"role": "assistant", "content": "", "tool_calls": [call('{"city": "Rome"}'), call('{"invalid":"{"}', "c2")]},
        {"role": "tool", "tool_call_id": "c1", "content": "20 C"},
        {"role": "tool", "tool_call_id": "c2", "content": "no JSON"},
    ]
    assert expected == made.messages
    assert {"tools": TOOLS} == made.fields["chat_template_kwargs"]


def test_a_template_that_knows_none_gets_text() -> None:
    """The functions stand in the system message, calls in the assistant's text, results in one message of the user."""
    made, _ = chat_question(EngineCondition(), ChatTurn(engine_messages(TURN, "Be brief."), plan(), True), {})

    system, _, called, results = made.messages
    assert system["content"].startswith("Be brief.\n\nYou can call functions.")
    assert [each["function"] for each in TOOLS] == [json.loads(line) for line in system["content"].splitlines()[-2:]]
    block = '<tool_call>\n{"name": "weather", "arguments": %s}\n</tool_call>'
    assert "\n".join((block % '{"city": "Rome"}', block % '{"invalid":"{"}')) == called["content"]
    expected = "Result of the function:\n20 C\n\nResult of the function:\nno JSON"
    assert {"role": "user", "content": expected} == results
    assert "chat_template_kwargs" not in made.fields


def test_control_tokens_in_tools_and_results_are_none() -> None:
    """Wherever a caller's text stands: in a description, in arguments, in a result."""
    end = "<|im_end|>"
    messages = [HI, {"role": "assistant", "content": "", "tool_calls": [call(json.dumps({"city": end}))]}]
    messages.append({"role": "tool", "tool_call_id": "c1", "content": end})
    made = take_tools({"tools": [tool("weather", {"properties": {"city": {"description": end}}}, description=end)]})

    request, restorer = chat_question(
        EngineCondition(tools="hermes", control=(end,)), ChatTurn(engine_messages(messages, None), made, True), {}
    )

    assert end not in json.dumps([request.messages, request.fields["chat_template_kwargs"]])
    assert restorer is not None


# ---- templates --------------------------------------------------------------------------------------------------------

KNOWS = {"supports_tools": True}
STYLES: list[tuple[str, dict[str, Any], str]] = [
    ("… <tool_call> {name, arguments} </tool_call> …", KNOWS, "hermes"),
    ("… <tool_call> {name, arguments} </tool_call> …", {}, ""),
    ("… <tool_call><function=name> … arguments", KNOWS, ""),
    ('… {"name": …, "parameters": …} <|python_tag|> …', KNOWS, "llama3"),
    ("… [TOOL_CALLS] …", KNOWS, ""),
]


@pytest.mark.parametrize(("template", "abilities", "style"), STYLES, ids=[case[0] for case in STYLES])
def test_a_template_says_how_it_writes_calls(template: str, abilities: dict[str, Any], style: str) -> None:
    """One in another way, or that knows none, gets our own instruction."""
    assert style == tool_style(template, abilities)
