"""What becomes of a request at an upstream of the Gemini API: its conversation, its tools, its fields."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autonomousai.errors import StatusError
from autonomousai.request import ChatRequest
from autonomousai.wires.google_gemini.upstream_contents import UNSIGNED
from autonomousai.wires.google_gemini.upstream_request import write_gemini_request
from autonomousai.wires.google_gemini.upstream_schemas import openapi_schema, plain_schema

Json = dict[str, Any]

HELLO = [{"role": "user", "content": "Hello"}]
PNG = "iVBORw0KGgoAAAAA"


def body(messages: Any = HELLO, model: str = "gemini-2.5-flash", echo: Json | None = None, **fields: Any) -> Json:
    request = ChatRequest(model, messages, fields=fields, echo=echo)
    written: Json = json.loads(write_gemini_request(request, model))
    return written


def contents(*messages: Json, model: str = "gemini-2.5-flash") -> list[Any]:
    """The contents as pairs of a role and parts."""
    return [(each["role"], each["parts"]) for each in body(list(messages), model)["contents"]]


def user(content: Any) -> Json:
    return {"role": "user", "content": content}


def calling(*names: str, content: str | None = None, **more: Any) -> Json:
    calls = [{"id": f"id_{name}", "type": "function", "function": {"name": name, "arguments": '{"a":1}'}} for name in names]
    return {"role": "assistant", "content": content, "tool_calls": calls, **more}


def result(name: str, content: Any = "42") -> Json:
    return {"role": "tool", "tool_call_id": f"id_{name}", "content": content}


def called(name: str, signature: str = "") -> Json:
    part: Json = {"functionCall": {"id": f"id_{name}", "name": name, "args": {"a": 1}}}
    return {**part, "thoughtSignature": signature} if signature else part


def response(name: str, said: Any = None) -> Json:
    return {"functionResponse": {"id": f"id_{name}", "name": name, "response": {"output": "42"} if said is None else said}}


# ---- the conversation


def test_roles_are_the_apis() -> None:
    """System messages go first, wherever they stood; messages of one role in a row are one content."""
    written = body(
        [
            {"role": "system", "content": "Be brief."},
            user("a"),
            user([{"type": "text", "text": "b"}, {"type": "text", "text": ""}]),
            {"role": "assistant", "content": "c"},
            {"role": "developer", "content": "And polite."},
            user("d"),
        ]
    )

    assert {"parts": [{"text": "Be brief."}, {"text": "And polite."}]} == written["systemInstruction"]
    assert [
        {"role": "user", "parts": [{"text": "a"}, {"text": "b"}]},
        {"role": "model", "parts": [{"text": "c"}]},
        {"role": "user", "parts": [{"text": "d"}]},
    ] == written["contents"]


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([{"role": "system", "content": "S"}], [("user", [{"text": "S"}])]),
        ([user(" ")], [("user", [{"text": "(no content)"}])]),
        ([{"role": "assistant", "content": "a"}], [("user", [{"text": "(no content)"}]), ("model", [{"text": "a"}])]),
        ([user("a"), {"role": "assistant", "content": ""}, user("b")], [("user", [{"text": "a"}, {"text": "b"}])]),
    ],
)
def test_there_is_something_to_answer(messages: list[Json], said: list[Any]) -> None:
    """The API refuses no contents at all, and empty text; the user begins."""
    assert said == contents(*messages)


def test_results_follow_their_calls_all_together() -> None:
    """In the order of the calls, by which models without ids know them, and alone in their content; one that is missing says
    so, and images stand behind them."""
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    said = contents(
        user("a"),
        calling("f", "g", "h"),
        result("g", [{"type": "text", "text": "see"}, image]),
        result("f", '{"b": [1, 2]}'),
        user("go on"),
    )

    assert [
        ("user", [{"text": "a"}]),
        ("model", [called("f"), called("g"), called("h")]),
        ("user", [response("f", {"b": [1, 2]}), response("g", {"output": "see"}), response("h", {"output": "(no result)"})]),
        ("user", [{"inlineData": {"mimeType": "image/png", "data": PNG}}, {"text": "go on"}]),
    ] == said


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("plain", {"output": "plain"}),
        ("[1]", {"output": "[1]"}),
        ("{}", {"output": "{}"}),
        ('{"a": NaN}', {"output": '{"a": NaN}'}),
        ('{"id": 12345678901234567890}', {"output": '{"id": 12345678901234567890}'}),
        ('{"id": 1.5}', {"id": 1.5}),
    ],
)
def test_an_object_goes_as_it_is_where_the_api_can_hold_it(text: str, written: Json) -> None:
    """Other results are an output; a long number would lose its last digits."""
    assert response("f", written) == contents(user("a"), calling("f"), result("f", text))[-1][1][0]


def test_ids_and_arguments_of_any_server_pass() -> None:
    """An id that two turns have becomes another one; arguments that are no object are one."""
    odd = {"id": "x", "type": "function", "function": {"name": "f", "arguments": "no json"}}
    turn = [{"role": "assistant", "content": None, "tool_calls": [odd]}, {"role": "tool", "tool_call_id": "x", "content": "1"}]
    said = contents(user("a"), *turn, *turn)

    calls = [part["functionCall"] for _, parts in said for part in parts if "functionCall" in part]
    results = [part["functionResponse"]["id"] for _, parts in said for part in parts if "functionResponse" in part]
    assert [call["id"] for call in calls] == results == ["x", "x_2"]
    assert {"INVALID_JSON": "no json"} == calls[0]["args"]


def test_the_older_form_of_calls_is_paired_by_name() -> None:
    """It has no ids."""
    said = contents(
        user("a"),
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "1"},
    )

    assert ("model", [{"functionCall": {"name": "f", "args": {}}}]) == said[1]
    assert ("user", [{"functionResponse": {"name": "f", "response": {"output": "1"}}}]) == said[2]


def signed(signature: str) -> Json:
    return {"extra_content": {"google": {"thought_signature": signature}}}


def test_signatures_go_back_where_they_were() -> None:
    """With the call, or with the text, that they came with."""
    call = {"id": "id_f", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}, **signed("S")}
    said = contents(
        user("a"),
        {"role": "assistant", "content": "hm", "tool_calls": [call], **signed("T")},
        result("f"),
        {"role": "assistant", "content": "done", **signed("U")},
        user("b"),
    )

    assert ("model", [{"text": "hm", "thoughtSignature": "T"}, called("f", "S")]) == said[1]
    assert ("model", [{"text": "done", "thoughtSignature": "U"}]) == said[3]


@pytest.mark.parametrize(
    ("model", "first"),
    [
        ("gemini-3-pro-preview", UNSIGNED),
        ("models/gemini-3.5-flash", UNSIGNED),
        ("gemini-flash-latest", UNSIGNED),
        ("gemini-2.5-pro", ""),
        ("gemini-10-pro", UNSIGNED),
        ("other", ""),
    ],
)
def test_a_turn_without_a_signature_says_so_to_models_that_want_one(model: str, first: str) -> None:
    """As the vendor's guide has it for calls of other models: of each turn the first."""
    said = contents(user("a"), calling("f", "g"), result("f"), result("g"), model=model)

    assert ("model", [called("f", first), called("g")]) == said[1]


PARTS: dict[str, tuple[Json, Json]] = {
    "an image": (
        {"type": "image_url", "image_url": {"url": f"data:image/jpg;base64,{PNG}"}},
        {"inlineData": {"mimeType": "image/png", "data": PNG}},
    ),
    "an image at an address": (
        {"type": "image_url", "image_url": {"url": "https://a/b.JPG?x=1"}},
        {"fileData": {"fileUri": "https://a/b.JPG?x=1", "mimeType": "image/jpeg"}},
    ),
    "an image whose type is not known": (
        {"type": "image_url", "image_url": {"url": "https://a/b"}},
        {"fileData": {"fileUri": "https://a/b"}},
    ),
    "a video": (
        {"type": "video_url", "video_url": {"url": "https://a/b.mp4"}},
        {"fileData": {"fileUri": "https://a/b.mp4", "mimeType": "video/mp4"}},
    ),
    "a document": (
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0x", "filename": "a.pdf"}},
        {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0x"}},
    ),
    "a document without its type": (
        {"type": "file", "file": {"file_data": "JVBERi0x"}},
        {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0x"}},
    ),
    "a file that the vendor keeps": (
        {"type": "file", "file": {"file_id": "https://generativelanguage.googleapis.com/v1beta/files/x"}},
        {"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/x"}},
    ),
    "sound": (
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
        {"inlineData": {"mimeType": "audio/mp3", "data": "AAAA"}},
    ),
}


@pytest.mark.parametrize(("part", "written"), PARTS.values(), ids=PARTS)
def test_parts_are_the_apis(part: Json, written: Json) -> None:
    """In the request, or by their address."""
    assert [("user", [{"text": "see"}, written])] == contents(user([{"type": "text", "text": "see"}, part]))


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,%%%"}},
        {"type": "unheard_of"},
        {"type": "file", "file": {}},
        {"type": "input_audio", "input_audio": {}},
    ],
)
def test_a_part_that_the_api_cannot_take_is_named(part: Json) -> None:
    """By its place."""
    with pytest.raises(StatusError) as caught:
        body([user([part])])

    assert 400 == caught.value.status
    assert (caught.value.param or "").startswith("messages[0].content[0]")


# ---- tools

SCHEMA: Json = {"type": "object", "properties": {"a": {"type": "integer"}}}


def function(name: str = "f", parameters: Any = SCHEMA, **more: Any) -> Json:
    return {"type": "function", "function": {"name": name, "parameters": parameters, **more}}


def test_tools_are_functions_with_their_schemas() -> None:
    """In one list; of each name the first, without what says nothing. Those of the vendor's own stand beside it."""
    tools = [function(description="F"), function(description="again"), function("g", {"type": "object", "properties": {}})]

    written = body(tools=[*tools, {"googleSearch": {}}], tool_choice="required")

    declared = [{"name": "f", "description": "F", "parametersJsonSchema": SCHEMA}, {"name": "g"}]
    assert [{"functionDeclarations": declared}, {"googleSearch": {}}] == written["tools"]
    assert {"functionCallingConfig": {"mode": "ANY"}} == written["toolConfig"]


CHOICES: list[tuple[Any, Json]] = [
    ("auto", {"mode": "AUTO"}),
    ("none", {"mode": "NONE"}),
    ({"type": "function", "function": {"name": "f"}}, {"mode": "ANY", "allowedFunctionNames": ["f"]}),
    (
        {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [function("f")]}},
        {"mode": "ANY", "allowedFunctionNames": ["f"]},
    ),
]


@pytest.mark.parametrize(("choice", "written"), CHOICES)
def test_a_choice_is_the_mode(choice: Any, written: Json) -> None:
    """With the names that it leaves."""
    assert {"functionCallingConfig": written} == body(tools=[function()], tool_choice=choice)["toolConfig"]


def test_a_choice_of_some_leaves_them_alone() -> None:
    """The API takes names for calls that are ordered alone. Without functions a choice is none."""
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [function("g")]}}
    written = body(tools=[function(), function("g")], tool_choice=choice)

    assert ["g"] == [each["name"] for each in written["tools"][0]["functionDeclarations"]]
    assert {"functionCallingConfig": {"mode": "AUTO"}} == written["toolConfig"]
    assert body() == body(tool_choice="none") == body(tools=[], tool_choice="auto")


def test_names_are_within_the_apis_pattern() -> None:
    """Where the answer can be given the caller's own: in tools, calls, results and the choice alike."""
    turn = [user("a"), calling("1.read"), {"role": "tool", "tool_call_id": "id_1.read", "content": "x"}]
    choice = {"type": "function", "function": {"name": "1.read"}}
    written = body(turn, echo={"names": {}}, tools=[function("1.read")], tool_choice=choice)

    (name,) = written["toolConfig"]["functionCallingConfig"]["allowedFunctionNames"]
    assert name.isidentifier()
    assert name == written["tools"][0]["functionDeclarations"][0]["name"]
    parts = [part for each in written["contents"] for part in each["parts"]]
    assert [name, name] == [next(iter(part.values()))["name"] for part in parts[1:]]


def test_a_custom_tool_is_a_function_of_one_text() -> None:
    """And so are its calls."""
    call = {"id": "c", "type": "custom", "custom": {"name": "sh", "input": "ls"}}
    written = body(
        [
            user("a"),
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": "x"},
        ],
        tools=[{"type": "custom", "custom": {"name": "sh"}}],
    )

    assert {"id": "c", "name": "sh", "args": {"input": "ls"}} == written["contents"][1]["parts"][0]["functionCall"]
    assert "input" in written["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"]["properties"]


# ---- fields

FIELDS: list[tuple[Json, Json]] = [
    ({"temperature": 1.5, "top_p": 0.5, "top_k": 5}, {"temperature": 1.5, "topP": 0.5, "topK": 5}),
    ({"max_tokens": 5}, {"maxOutputTokens": 5}),
    ({"max_completion_tokens": 5}, {"maxOutputTokens": 5}),
    ({"max_tokens": -1}, {}),
    ({"stop": "a"}, {"stopSequences": ["a"]}),
    ({"stop": ["a", "b"]}, {"stopSequences": ["a", "b"]}),
    (
        {"n": 2, "presence_penalty": 1, "frequency_penalty": -1},
        {"candidateCount": 2, "presencePenalty": 1, "frequencyPenalty": -1},
    ),
    ({"seed": 5}, {"seed": 5}),
    ({"seed": 2**31 + 5}, {"seed": 5}),
    ({"seed": -1}, {}),
    ({"logprobs": True, "top_logprobs": 3}, {"responseLogprobs": True, "logprobs": 3}),
    ({"logprobs": False}, {}),
    ({"modalities": ["text", "image"]}, {"responseModalities": ["TEXT", "IMAGE"]}),
    ({"response_format": {"type": "json_object"}}, {"responseMimeType": "application/json"}),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}},
        {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA},
    ),
    ({"response_format": {"type": "text"}}, {}),
    ({"reasoning_effort": "low"}, {"thinkingConfig": {"thinkingBudget": 1024, "includeThoughts": True}}),
    ({"reasoning_effort": "none"}, {"thinkingConfig": {"thinkingBudget": 0}}),
    ({"reasoning": {"effort": "high"}}, {"thinkingConfig": {"thinkingBudget": 24576, "includeThoughts": True}}),
    ({"thinking": {"type": "enabled", "budget_tokens": 9}}, {"thinkingConfig": {"thinkingBudget": 9, "includeThoughts": True}}),
    ({"thinking": {"type": "disabled"}}, {"thinkingConfig": {"thinkingBudget": 0}}),
    ({"thinking_budget": 7}, {"thinkingConfig": {"thinkingBudget": 7, "includeThoughts": True}}),
    ({"include_reasoning": True}, {"thinkingConfig": {"includeThoughts": True}}),
    ({"generationConfig": {"mediaResolution": "LOW"}, "top_p": 1}, {"topP": 1, "mediaResolution": "LOW"}),
    (
        {"google": {"thinking_config": {"thinking_budget": 3, "include_thoughts": True}}},
        {"thinkingConfig": {"thinkingBudget": 3, "includeThoughts": True}},
    ),
    ({"parallel_tool_calls": True, "store": True, "user": "u", "logit_bias": {"1": 2}}, {}),
]


@pytest.mark.parametrize(("fields", "config"), FIELDS, ids=lambda each: str(each)[:60])
def test_fields_are_the_apis(fields: Json, config: Json) -> None:
    """In ``generationConfig``; what has no place is left out."""
    written = body(**fields)

    assert config == written.pop("generationConfig", {})
    assert {"contents"} == written.keys()


@pytest.mark.parametrize(
    ("fields", "thinking"),
    [
        ({"reasoning_effort": "medium"}, {"thinkingLevel": "medium", "includeThoughts": True}),
        ({"reasoning_effort": "xhigh"}, {"thinkingLevel": "high", "includeThoughts": True}),
        ({"reasoning_effort": "none"}, {"thinkingLevel": "minimal"}),
        ({"thinking_budget": 9000}, {"thinkingLevel": "medium", "includeThoughts": True}),
        ({"thinking_budget": -1}, {"includeThoughts": True}),
    ],
)
def test_later_models_think_by_a_level(fields: Json, thinking: Json) -> None:
    """As their vendor has it; earlier ones refuse that."""
    assert thinking == body(model="gemini-3-flash", **fields)["generationConfig"]["thinkingConfig"]


def test_a_model_that_cannot_but_think_thinks_little() -> None:
    """None at all is refused."""
    assert 128 == body(model="gemini-2.5-pro", reasoning_effort="none")["generationConfig"]["thinkingConfig"]["thinkingBudget"]


def test_the_apis_own_fields_pass() -> None:
    """Beside those of chat completions, under the API's names; others too, for the upstream to judge."""
    written = body(safetySettings=[1], cachedContent="cachedContents/x", labels={"a": "b"}, web_search_options={})

    assert ([1], "cachedContents/x", {"a": "b"}) == tuple(
        written[name] for name in ("safetySettings", "cachedContent", "labels")
    )
    assert [{"googleSearch": {}}] == written["tools"]


@pytest.mark.parametrize(("tier", "written"), [("flex", "flex"), ("default", "standard"), ("auto", None)])
def test_a_tier_is_the_apis(tier: str, written: str | None) -> None:
    """Beside the conversation; its usual one need not be said."""
    assert written == body(service_tier=tier).get("serviceTier")


def test_sound_that_is_asked_for_is_refused() -> None:
    """Its caller would wait for it."""
    with pytest.raises(StatusError) as caught:
        body(audio={"voice": "a"})

    assert (400, "audio") == (caught.value.status, caught.value.param)


# ---- schemas

SCHEMAS: dict[str, tuple[Json, Json]] = {
    "one value": ({"const": "a"}, {"enum": ["a"]}),
    "all of one": ({"allOf": [{"type": "string"}], "title": "t"}, {"type": "string", "title": "t"}),
    "beside a reference": (
        {"$ref": "#/definitions/A", "description": "d"},
        {"description": "d", "anyOf": [{"$ref": "#/$defs/A"}]},
    ),
    "definitions": ({"definitions": {"A": {"const": 1}}, "$schema": "x"}, {"$defs": {"A": {"enum": [1]}}}),
    "a property of such a name": (
        {"properties": {"const": {"type": "string"}, "$ref": {"type": "string"}}},
        {"properties": {"const": {"type": "string"}, "$ref": {"type": "string"}}},
    ),
    "what the API knows": (
        {"type": ["string", "null"], "additionalProperties": False, "anyOf": [{"minimum": 1}]},
        {"type": ["string", "null"], "additionalProperties": False, "anyOf": [{"minimum": 1}]},
    ),
}


@pytest.mark.parametrize(("schema", "written"), SCHEMAS.values(), ids=SCHEMAS)
def test_a_schema_is_in_keywords_that_the_api_knows(schema: Json, written: Json) -> None:
    """The rest as it is."""
    assert written == plain_schema(schema)


OPENAPI: dict[str, tuple[Json, Json]] = {
    "unknown keywords": (
        {
            "type": "object",
            "additionalProperties": False,
            "properties": {"a": {"type": "string", "format": "uri"}},
            "$schema": "x",
        },
        {"type": "object", "properties": {"a": {"type": "string"}}},
    ),
    "or null": ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": "string", "nullable": True}),
    "types": ({"type": ["integer", "string"]}, {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
    "one of": (
        {"oneOf": [{"type": "integer"}, {"const": "a"}]},
        {"anyOf": [{"type": "integer"}, {"enum": ["a"], "type": "string"}]},
    ),
    "numbers to choose from": ({"type": "integer", "enum": [1, 2]}, {"type": "integer", "description": "One of: 1, 2"}),
    "references": (
        {"$defs": {"A": {"type": "object", "properties": {"b": {"$ref": "#/$defs/A"}}}}, "$ref": "#/$defs/A"},
        {"type": "object", "properties": {"b": {"type": "object"}}},
    ),
    "references to nothing": ({"$ref": "#/nowhere"}, {"type": "object"}),
    "all of": (
        {"allOf": [{"properties": {"a": {}}, "required": ["a"]}, {"properties": {"b": {}}, "required": ["b", "z"]}]},
        {"type": "object", "properties": {"a": {}, "b": {}}, "required": ["a", "b"]},
    ),
    "lists of anything": ({"type": "array"}, {"type": "array", "items": {"type": "string"}}),
}


@pytest.mark.parametrize(("schema", "written"), OPENAPI.values(), ids=OPENAPI)
def test_a_schema_can_be_said_in_the_words_of_openapi(schema: Json, written: Json) -> None:
    """For models, and gateways, that refuse JSON Schema."""
    assert written == openapi_schema(schema)


def test_references_that_name_ever_more_end() -> None:
    """A schema of a few lines may stand for more than any memory holds."""
    names = [f"T{place}" for place in range(40)]
    defs = {name: {"anyOf": [{"$ref": f"#/$defs/{after}"}] * 2} for name, after in pairwise(names)}

    assert len(json.dumps(openapi_schema({"$defs": {**defs, names[-1]: {}}, "$ref": "#/$defs/T0"}))) < 10**6


def test_references_that_lead_ever_deeper_end() -> None:
    """As deep as no request is."""
    names = [f"T{place}" for place in range(2000)]
    defs = {name: {"items": {"$ref": f"#/$defs/{after}"}} for name, after in pairwise(names)}

    assert json.dumps(openapi_schema({"$defs": defs, "$ref": "#/$defs/T0"})).count("items") < 100


KEYWORDS = [
    "type",
    "anyOf",
    "allOf",
    "oneOf",
    "items",
    "properties",
    "enum",
    "const",
    "$ref",
    "required",
    "format",
    "definitions",
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["object", "#", "#/properties/type"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYWORDS), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(KEYWORDS), VALUES, max_size=4))
def test_no_schema_raises(schema: Json) -> None:
    """Callers and MCP servers write what they like: their upstream judges it."""
    assert isinstance(plain_schema(schema), dict)
    assert isinstance(openapi_schema(schema), dict)
