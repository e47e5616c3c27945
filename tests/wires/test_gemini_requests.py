"""Requests of the Gemini API: which are taken, and what they become."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autonomousai.errors import InvalidMessagesError, StatusError
from autonomousai.sealed_thoughts import pack
from autonomousai.wires.google_gemini.embeddings import GOOGLE_GEMINI_EMBED
from autonomousai.wires.google_gemini.json_schema import as_json_schema
from autonomousai.wires.google_gemini.member_names import REQUEST, in_camel_case, with_camel_case
from autonomousai.wires.google_gemini.paths import COUNT, EMBED, EMBED_SEVERAL, GENERATE, STREAM
from autonomousai.wires.google_gemini.thoughts import packed_in, signature_of
from autonomousai.wires.google_gemini.wire import GOOGLE_GEMINI

HI = {"role": "user", "parts": [{"text": "Hi"}]}
SAID_HI = {"role": "user", "content": "Hi"}


def asked(path: str = GENERATE, **document: Any) -> Any:
    return GOOGLE_GEMINI.decode_request(json.dumps({"contents": [HI], **document}).encode(), path)


def config(**members: Any) -> Any:
    return asked(generationConfig=members).fields


def declared(*names: str) -> list[dict[str, Any]]:
    return [{"functionDeclarations": [{"name": name, "description": "d"} for name in names]}]


def tool(name: str) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {"name": name, "description": "d", "parameters": {"type": "object", "properties": {}}},
    }


@pytest.mark.parametrize(
    ("members", "fields"),
    [
        ({}, {}),
        (
            {"temperature": 0, "topP": 0.5, "topK": 40.0, "maxOutputTokens": 5, "stopSequences": ["a"], "seed": 7},
            {"temperature": 0, "top_p": 0.5, "top_k": 40.0, "max_tokens": 5, "stop": ["a"], "seed": 7},
        ),
        ({"presencePenalty": 0.1, "frequencyPenalty": 0.2}, {"presence_penalty": 0.1, "frequency_penalty": 0.2}),
        ({"candidateCount": 1, "stopSequences": [], "temperature": None}, {}),
        ({"candidateCount": 2}, {"n": 2}),
        ({"responseLogprobs": True, "logprobs": 3}, {"logprobs": True, "top_logprobs": 3}),
        ({"responseMimeType": "text/plain"}, {}),
        ({"responseMimeType": "text/x.enum", "responseSchema": {"type": "STRING", "enum": ["a"]}}, {}),
        ({"responseMimeType": "application/json"}, {"response_format": {"type": "json_object"}}),
        ({"responseModalities": ["TEXT"]}, {}),
        ({"responseModalities": ["TEXT", "IMAGE"]}, {"modalities": ["text", "image"]}),
        ({"thinkingConfig": {"thinkingBudget": -1}}, {}),
        ({"thinkingConfig": {"thinkingBudget": 0}}, {"reasoning_effort": "none"}),
        ({"thinkingConfig": {"thinkingBudget": 1024}}, {"reasoning_effort": "low"}),
        ({"thinkingConfig": {"thinkingBudget": 8192}}, {"reasoning_effort": "medium"}),
        ({"thinkingConfig": {"thinkingBudget": 24576}}, {"reasoning_effort": "high"}),
        ({"thinkingConfig": {"thinkingLevel": "HIGH", "thinkingBudget": 5}}, {"reasoning_effort": "high"}),
        ({"thinkingConfig": {"thinkingLevel": "MINIMAL"}}, {"reasoning_effort": "low"}),
        ({"thinkingConfig": {"thinkingLevel": "THINKING_LEVEL_UNSPECIFIED"}}, {}),
        ({"speechConfig": {}, "mediaResolution": "x", "unknown": {"a": 1}}, {}),
    ],
    ids=str,
)
def test_a_generation_config_becomes_fields_of_chat_completions(members: dict[str, Any], fields: dict[str, Any]) -> None:
    """What has no meaning there is left out."""
    assert fields == config(**members)


@pytest.mark.parametrize("name", ["responseSchema", "responseJsonSchema", "_responseJsonSchema", "response_schema"])
@pytest.mark.parametrize("kind", [{}, {"responseMimeType": "application/json"}])
def test_a_schema_of_the_answer_is_json_schema(name: str, kind: dict[str, Any]) -> None:
    """By each of its names."""
    schema = {"type": "object", "properties": {"a_b": {"type": "string"}}}

    assert {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}} == config(
        **kind, **{name: {"type": "OBJECT", "properties": {"a_b": {"type": "STRING"}}}}
    )["response_format"]


@pytest.mark.parametrize(
    ("google", "schema"),
    [
        ({"type": "STRING", "format": "enum", "enum": ["a"]}, {"type": "string", "enum": ["a"]}),
        ({"type": "STRING", "format": "date-time"}, {"type": "string", "format": "date-time"}),
        ({"type": "INTEGER", "format": "int32", "nullable": True}, {"type": ["integer", "null"]}),
        ({"type": "STRING", "enum": ["a"], "nullable": True}, {"type": ["string", "null"], "enum": ["a", None]}),
        ({"type": "STRING", "nullable": False}, {"type": "string"}),
        ({"any_of": [{"type": "STRING"}], "nullable": True}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        (
            {"type": "ARRAY", "items": {"type": "NUMBER"}, "minItems": "2"},
            {"type": "array", "items": {"type": "number"}, "minItems": 2},
        ),
        (
            {"type": "OBJECT", "properties": {"type": {"type": "STRING"}}, "propertyOrdering": ["type"], "required": ["type"]},
            {"type": "object", "properties": {"type": {"type": "string"}}, "required": ["type"]},
        ),
        ({"ref": "#/$defs/a", "defs": {"a": {"type": "BOOLEAN"}}}, {"$ref": "#/$defs/a", "$defs": {"a": {"type": "boolean"}}}),
        ({"type": "TYPE_UNSPECIFIED", "description": "d"}, {"description": "d"}),
        (
            {"type": ["string", "null"], "additionalProperties": False},
            {"type": ["string", "null"], "additionalProperties": False},
        ),
        (True, True),
    ],
    ids=str,
)
def test_a_schema_of_googles_is_one_of_json_schema(google: Any, schema: Any) -> None:
    """Names of properties are no keywords; what is JSON Schema already stays so."""
    assert schema == as_json_schema(google)
    assert schema == as_json_schema(schema)


@pytest.mark.parametrize(
    ("calling", "names", "choice"),
    [
        (None, ["f", "g"], None),
        ({}, ["f", "g"], None),
        ({"mode": "AUTO"}, ["f", "g"], "auto"),
        ({"mode": "ANY"}, ["f", "g"], "required"),
        ({"mode": "NONE"}, ["f", "g"], "none"),
        ({"mode": "VALIDATED"}, ["f", "g"], "auto"),
        ({"mode": "ANY", "allowedFunctionNames": ["g"]}, ["g"], "required"),
        ({"mode": "ANY", "allowedFunctionNames": []}, ["f", "g"], "required"),
    ],
)
def test_functions_are_tools(calling: Any, names: list[str], choice: str | None) -> None:
    """Those that may be called, and how."""
    fields = asked(tools=[*declared("f", "g"), {"googleSearch": {}}], toolConfig={"functionCallingConfig": calling}).fields

    assert list(map(tool, names)) == fields["tools"]
    assert choice == fields.get("tool_choice")


@pytest.mark.parametrize("tools", [[], [{"googleSearch": {}}, {"code_execution": {}}], [{"functionDeclarations": []}], None])
def test_what_the_vendor_runs_is_left_out(tools: Any) -> None:
    """And what was said of its choice then."""
    assert {} == asked(tools=tools, toolConfig={"functionCallingConfig": {"mode": "ANY"}}).fields


@pytest.mark.parametrize(
    "member",
    [
        {"parameters": {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}},
        {"parametersJsonSchema": {"type": "object", "properties": {"a": {"type": "string"}}}},
    ],
)
def test_parameters_are_json_schema(member: dict[str, Any]) -> None:
    """Of either kind."""
    fields = asked(tools=[{"functionDeclarations": [{"name": "f", **member}]}]).fields

    assert {"type": "object", "properties": {"a": {"type": "string"}}} == fields["tools"][0]["function"]["parameters"]


def test_names_may_be_written_in_either_form() -> None:
    """As the protocol's own files have them, too; what is the caller's own stays."""
    snake = asked(
        system_instruction={"parts": [{"text": "S"}]},
        contents=[
            {"role": "user", "parts": [{"inline_data": {"mime_type": "image/png", "data": "aGk-"}}]},
            {"role": "model", "parts": [{"function_call": {"name": "f", "args": {"a_b": 1}}, "thought_signature": "c2ln"}]},
            {"role": "user", "parts": [{"function_response": {"name": "f", "response": {"a_b": 2}}}]},
        ],
        tools=[{"function_declarations": [{"name": "f", "parameters_json_schema": {"type": "object", "max_x": 1}}]}],
        tool_config={"function_calling_config": {"mode": "ANY", "allowed_function_names": ["f"]}},
        generation_config={"max_output_tokens": 5, "thinking_config": {"thinking_budget": 0, "include_thoughts": True}},
    )

    assert {"role": "system", "content": "S"} == snake.messages[0]
    assert [{"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk+"}}] == snake.messages[1]["content"]
    (call,) = snake.messages[2]["tool_calls"]
    assert ({"name": "f", "arguments": '{"a_b":1}'}, {"google": {"thought_signature": "c2ln"}}) == (
        call["function"],
        call["extra_content"],
    )
    assert ('{"a_b":2}', call["id"]) == (snake.messages[3]["content"], snake.messages[3]["tool_call_id"])
    assert (5, "none", "required") == (
        snake.fields["max_tokens"],
        snake.fields["reasoning_effort"],
        snake.fields["tool_choice"],
    )
    assert {"type": "object", "max_x": 1, "properties": {}} == snake.fields["tools"][0]["function"]["parameters"]
    assert {"thoughts": True} == snake.echo


@pytest.mark.parametrize(
    ("contents", "messages"),
    [
        ({"parts": [{"text": "Hi"}]}, [SAID_HI]),
        ([{"parts": {"text": "Hi"}}], [SAID_HI]),
        ([{"role": "", "parts": [{"text": "Hi"}]}, {"role": "user", "parts": []}], [SAID_HI]),
        ([{"role": "user", "parts": [{"text": "a"}, {"text": ""}, {"text": "b"}]}], [{"role": "user", "content": "a\n\nb"}]),
        (
            [HI, *({"role": "model", "parts": [{"text": each}]} for each in ("He", "llo", "")), HI],
            [SAID_HI, {"role": "assistant", "content": "Hello"}, SAID_HI],
        ),
        (
            [HI, {"role": "model", "parts": [{"text": "Hm.", "thought": True}, {"text": "Yes."}]}],
            [SAID_HI, {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm."}],
        ),
        ([HI, {"role": "model", "parts": [{"text": "Hm.", "thought": True}]}, HI], [SAID_HI, SAID_HI]),
        ([{"parts": []}, {"role": "model", "parts": [{"text": ""}]}], [{"role": "user", "content": ""}]),
        (
            [
                HI,
                {
                    "role": "model",
                    "parts": [
                        {"executableCode": {"language": "PYTHON", "code": "1+1"}},
                        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2"}},
                    ],
                },
            ],
            [SAID_HI, {"role": "assistant", "content": "\n```python\n1+1\n```\n\n```\n2\n```\n"}],
        ),
        ([{"role": "system", "parts": [{"text": "S"}]}, HI], [{"role": "system", "content": "S"}, SAID_HI]),
    ],
    ids=str,
)
def test_contents_are_messages(contents: Any, messages: list[Any]) -> None:
    """Pieces of the model's are one."""
    assert messages == asked(contents=contents).messages


@pytest.mark.parametrize("system", ["S", {"parts": [{"text": "S"}]}, {"role": "user", "parts": {"text": "S"}}])
def test_instructions_come_first(system: Any) -> None:
    """In each form."""
    assert [{"role": "system", "content": "S"}, SAID_HI] == asked(systemInstruction=system).messages


@pytest.mark.parametrize(
    ("part", "becomes"),
    [
        (
            {"inlineData": {"mimeType": "image/png", "data": "aGk_-w"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk/+w=="}},
        ),
        (
            {"inlineData": {"mimeType": "audio/mpeg", "data": "aGk="}},
            {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "mp3"}},
        ),
        (
            {"inlineData": {"mimeType": "audio/wav", "data": "aGk="}},
            {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
        ),
        (
            {"inlineData": {"mimeType": "video/mp4", "data": "aGk="}},
            {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,aGk="}},
        ),
        (
            {"inlineData": {"mimeType": "application/pdf", "data": "aGk=", "displayName": "a.pdf"}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="}},
        ),
        ({"inlineData": {"mimeType": "text/plain", "data": "aGk="}}, {"type": "text", "text": "hi"}),
        (
            {"inlineData": {"mimeType": "text/plain", "data": "/w=="}},
            {"type": "file", "file": {"filename": "document", "file_data": "data:text/plain;base64,/w=="}},
        ),
        (
            {"fileData": {"mimeType": "image/png", "fileUri": "https://a/b"}},
            {"type": "image_url", "image_url": {"url": "https://a/b"}},
        ),
        ({"fileData": {"fileUri": "https://a/b.JPG"}}, {"type": "image_url", "image_url": {"url": "https://a/b.JPG"}}),
        (
            {"fileData": {"mimeType": "application/pdf", "fileUri": "https://a/b"}},
            {"type": "file", "file": {"file_url": "https://a/b"}},
        ),
    ],
    ids=str,
)
def test_media_are_parts(part: dict[str, Any], becomes: dict[str, Any]) -> None:
    """Google's clients write base64 for addresses, and leave its padding out."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    content = asked(contents=[{"parts": [part, {"inlineData": {"mimeType": "image/png", "data": "aGk="}}]}]).messages[0][
        "content"
    ]

    assert [becomes, image] == content


@pytest.mark.parametrize("ids", [{}, {"id": ""}, {"id": "c1"}])
def test_calls_and_results_find_each_other(ids: dict[str, str]) -> None:
    """By their ids, or by the names of their functions and their order."""
    said = asked(
        contents=[
            HI,
            {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"x": 1}, **ids}}]},
            {"role": "model", "parts": [{"functionCall": {"name": "g"}}]},
            {
                "role": "function",
                "parts": [
                    {"functionResponse": {"name": "g", "response": {"result": "of g"}}},
                    {"functionResponse": {"name": "f", "response": {"output": {"y": 2}}, **ids}},
                    {"text": "Go on."},
                ],
            },
        ]
    ).messages

    first, second = said[1]["tool_calls"]
    assert ({"name": "f", "arguments": '{"x":1}'}, {"name": "g", "arguments": "{}"}) == (first["function"], second["function"])
    assert ids.get("id") in (None, "", first["id"])
    assert [(second["id"], "of g"), (first["id"], '{"y":2}')] == [
        (message["tool_call_id"], message["content"]) for message in said[2:4]
    ]
    assert {"role": "user", "content": "Go on."} == said[4]


@pytest.mark.parametrize(
    ("response", "text"),
    [
        ({"result": "a"}, "a"),
        ({"output": [1]}, "[1]"),
        ({"error": "no"}, "Error: no"),
        ({"error": {"code": 1}}, 'Error: {"code":1}'),
        ({"result": "a", "b": 1}, '{"result":"a","b":1}'),
        ({}, ""),
        (None, ""),
        ("a", "a"),
    ],
    ids=str,
)
def test_what_a_function_returned_is_text(response: Any, text: str) -> None:
    """Its value alone, where it says nothing else."""
    call = {"role": "model", "parts": [{"functionCall": {"name": "f"}}]}
    result = {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": response}}]}

    assert text == asked(contents=[HI, call, result]).messages[2]["content"]


def test_what_a_function_shows_is_shown_by_the_user() -> None:
    """As chat completions want it."""
    call = {"role": "model", "parts": [{"functionCall": {"name": "f"}}]}
    shown = {"inlineData": {"mimeType": "image/png", "data": "aGk="}}
    result = {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}, "parts": [shown]}}]}

    said = asked(contents=[HI, call, result]).messages

    assert "(see what follows)" == said[2]["content"]
    assert ["image_url"] == [part["type"] for part in said[3]["content"]]


@pytest.mark.parametrize(
    ("document", "param"),
    [
        ({"contents": None}, "contents: is missing"),
        ({"contents": []}, "contents"),
        ({"contents": "Hi"}, "contents"),
        ({"contents": [{"role": "nobody", "parts": [{"text": "a"}]}]}, "contents[0].role"),
        ({"contents": [{"parts": [{"text": 1}]}]}, "contents[0].parts[0].text"),
        ({"contents": [{"parts": [{"inline_data": {"mime_type": "image/png"}}]}]}, "contents[0].parts[0].inlineData.data"),
        (
            {"contents": [{"role": "model", "parts": [{"functionCall": {"args": {}}}]}]},
            "contents[0].parts[0].functionCall.name",
        ),
        ({"generationConfig": {"temperature": "hot"}}, "generationConfig.temperature"),
        ({"generationConfig": {"responseSchema": "x"}}, "generationConfig.responseSchema"),
        ({"tools": [{"functionDeclarations": [{}]}]}, "tools[0].functionDeclarations[0].name"),
        ({"toolConfig": {"functionCallingConfig": {"mode": "SOME"}}}, "toolConfig.functionCallingConfig.mode"),
        ({"timeout": 5}, "timeout"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_refused(document: dict[str, Any], param: str) -> None:
    """With the place of what is wrong."""
    with pytest.raises((StatusError, InvalidMessagesError)) as caught:
        asked(**document)

    assert str(caught.value).startswith(param)


def test_what_the_vendor_keeps_is_asked_of_the_vendor_alone() -> None:
    """No other upstream knows it."""
    request = asked(cachedContent="cachedContents/1")

    assert request.is_raw
    assert ("google_gemini", "cachedContents/1") == (request.origin.wire, request.origin.document["cachedContent"])
    with pytest.raises(StatusError, match="cachedContent"):
        asked(COUNT, cachedContent="cachedContents/1")


@pytest.mark.parametrize(("path", "streams"), [(GENERATE, False), (STREAM, True), (COUNT, False)])
def test_the_path_says_whether_it_streams(path: str, streams: bool) -> None:
    """What else stands in the body changes nothing."""
    assert streams is asked(path, stream=not streams, model="models/other").stream


@pytest.mark.parametrize(
    "document", [{"generateContentRequest": {"contents": [HI], "model": "m"}}, {"generate_content_request": {"contents": HI}}]
)
def test_a_complete_request_is_counted(document: dict[str, Any]) -> None:
    """Or its conversation alone."""
    request = GOOGLE_GEMINI.decode_request(json.dumps(document).encode(), COUNT)

    assert [SAID_HI] == request.messages
    assert b'{"totalTokens":7}' == GOOGLE_GEMINI.encode_count(7)


JSON = st.recursive(
    st.none() | st.booleans() | st.text(max_size=3),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=5,
)


@given(value=JSON)
def test_names_in_camel_case_stay(value: Any) -> None:
    """Whatever stands in a request."""
    once = with_camel_case({"generation_config": value, "contents": value}, REQUEST)

    assert once == with_camel_case(once, REQUEST)
    assert {"generationConfig", "contents"} == once.keys()


@given(name=st.from_regex(r"[a-z]{1,4}(_[a-z]{1,4}){0,3}", fullmatch=True))
def test_a_name_has_one_form(name: str) -> None:
    """Without the marks between its words."""
    assert name.replace("_", "") == in_camel_case(name).lower()


@given(texts=st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=3)), min_size=1, max_size=3))
def test_a_signature_carries_what_others_signed(texts: list[dict[str, str]]) -> None:
    """In base64, as the vendor's clients want it."""
    packed = [pack({**each, "type": "x"}) for each in texts]

    assert packed == packed_in(signature_of(packed))
    assert packed == packed_in(signature_of(packed).replace("-", "+").replace("_", "/").rstrip("="))


@pytest.mark.parametrize("signature", ["", "c2ln", "CiQB/w==", "é", "aa1.e30="])
def test_a_signature_of_the_vendors_carries_nothing(signature: str) -> None:
    """It stays what it is."""
    assert [] == packed_in(signature)


# ---- embeddings

TEXT = {"content": {"parts": [{"text": "a"}]}}


@pytest.mark.parametrize(
    ("path", "document", "becomes"),
    [
        (EMBED, TEXT, {"input": ["a"]}),
        (
            EMBED,
            {**TEXT, "model": "models/x", "taskType": "QUERY", "output_dimensionality": 3},
            {"input": ["a"], "dimensions": 3},
        ),
        (EMBED, {**TEXT, "embedContentConfig": {"outputDimensionality": 3}}, {"input": ["a"], "dimensions": 3}),
        (EMBED_SEVERAL, {"requests": [TEXT, {**TEXT, "model": "models/x"}]}, {"input": ["a", "a"]}),
        (EMBED_SEVERAL, {"requests": [{**TEXT, "outputDimensionality": 3}]}, {"input": ["a"], "dimensions": 3}),
    ],
    ids=str,
)
def test_embeddings_are_asked_as_openais(path: str, document: dict[str, Any], becomes: dict[str, Any]) -> None:
    """Over the API that upstreams have."""
    request = GOOGLE_GEMINI_EMBED.decode_request(json.dumps(document).encode(), path)

    assert request.origin is not None
    assert ("openai_embeddings", becomes) == (request.origin.wire, request.origin.document)


@pytest.mark.parametrize(
    ("path", "document", "says"),
    [
        (EMBED, {}, "content: is missing"),
        (EMBED, {"content": {"parts": [{"inlineData": {"data": "aGk="}}]}}, "parts"),
        (EMBED_SEVERAL, {"requests": []}, "must not be an empty list"),
        (EMBED_SEVERAL, {"requests": [TEXT, {**TEXT, "outputDimensionality": 3}]}, "outputDimensionality"),
        (EMBED_SEVERAL, {"requests": [{}]}, "content"),
    ],
    ids=str,
)
def test_embeddings_of_nothing_are_refused(path: str, document: dict[str, Any], says: str) -> None:
    """With what is wrong."""
    with pytest.raises(StatusError, match=says):
        GOOGLE_GEMINI_EMBED.decode_request(json.dumps(document).encode(), path)
