"""A request of the Messages API becomes one of chat completions, and keeps what it was."""

from __future__ import annotations

import json
from typing import Any

import pytest

from autonomousai.errors import StatusError
from autonomousai.request import ChatRequest
from autonomousai.wires.anthropic_messages.request import MESSAGES_REQUEST, read_messages_request
from autonomousai.wires.registry import ANTHROPIC_MESSAGES

HELLO = {"role": "user", "content": "Hello"}
PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}}
PNG_PART = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}
LINK = {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}
LINK_PART = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}


def text(said: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": said, **more}


def use(id: str = "toolu_1", **more: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": "weather", "input": {"place": "Paris"}, **more}


def call(id: str = "toolu_1", arguments: str = '{"place":"Paris"}', **more: Any) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": "weather", "arguments": arguments}, **more}


def result(id: str = "toolu_1", **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": id, **more}


def read(path: str = "/v1/messages", **body: Any) -> ChatRequest:
    document = {"model": "llama", "max_tokens": 9, "messages": [HELLO], **body}
    return ANTHROPIC_MESSAGES.decode_request(json.dumps({k: v for k, v in document.items() if v is not ...}).encode(), path)


def user(*blocks: Any) -> list[Any]:
    """What the user says, after the calls whose results are among it."""
    calls = [use(block["tool_use_id"]) for block in blocks if block["type"] == "tool_result"]
    before = [{"role": "assistant", "content": calls}] if calls else []
    return read(messages=[*before, {"role": "user", "content": list(blocks)}]).messages[len(before) :]


def answered(*blocks: Any) -> list[Any]:
    """The messages of a conversation in which the assistant said this."""
    results = [result(block["id"], content="done") for block in blocks if block["type"] == "tool_use"]
    said = {"role": "assistant", "content": list(blocks)}
    return read(messages=[HELLO, said, {"role": "user", "content": [*results, text("Hello")]}]).messages[1 : -1 - len(results)]


# ---- messages ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("blocks", "messages"),
    [
        pytest.param([text("Hello")], [{"role": "user", "content": "Hello"}], id="text"),
        pytest.param(
            [text("a"), text("b", cache_control={"type": "ephemeral"})], [{"role": "user", "content": "a\n\nb"}], id="texts"
        ),
        pytest.param([], [{"role": "user", "content": ""}], id="nothing"),
        pytest.param([text("What is it?"), PNG], [{"role": "user", "content": [text("What is it?"), PNG_PART]}], id="image"),
        pytest.param(
            [{"type": "image", "source": {**PNG["source"], "data": PNG_PART["image_url"]["url"]}}],
            [{"role": "user", "content": [PNG_PART]}],
            id="an address in place of the data",
        ),
        pytest.param([LINK], [{"role": "user", "content": [LINK_PART]}], id="image by its address"),
        pytest.param([result(content="Sunny")], [{"role": "tool", "tool_call_id": "toolu_1", "content": "Sunny"}], id="result"),
        pytest.param([result()], [{"role": "tool", "tool_call_id": "toolu_1", "content": ""}], id="empty result"),
        pytest.param(
            [result(content=[text("a"), text("b")])],
            [{"role": "tool", "tool_call_id": "toolu_1", "content": "a\n\nb"}],
            id="result of blocks",
        ),
        pytest.param(
            [result(content="no such place", is_error=True)],
            [{"role": "tool", "tool_call_id": "toolu_1", "content": "Error: no such place"}],
            id="failed",
        ),
        pytest.param(
            [result(content="Error: no", is_error=True)],
            [{"role": "tool", "tool_call_id": "toolu_1", "content": "Error: no"}],
            id="failed, and says so",
        ),
        pytest.param(
            [text("Go on"), result("toolu_1", content="1"), result("toolu_2", content="2")],
            [
                {"role": "tool", "tool_call_id": "toolu_1", "content": "1"},
                {"role": "tool", "tool_call_id": "toolu_2", "content": "2"},
                {"role": "user", "content": "Go on"},
            ],
            id="results first, whatever their place",
        ),
        pytest.param(
            [result(content=[text("A map"), PNG]), text("Where is it?")],
            [
                {"role": "tool", "tool_call_id": "toolu_1", "content": "A map"},
                {"role": "user", "content": [PNG_PART, text("Where is it?")]},
            ],
            id="an image in a result",
        ),
        pytest.param(
            [result(content=[PNG])],
            [
                {"role": "tool", "tool_call_id": "toolu_1", "content": "(see what follows)"},
                {"role": "user", "content": [PNG_PART]},
            ],
            id="a result of nothing but an image",
        ),
        pytest.param(
            [{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Once"}, "title": "Tale"}],
            [{"role": "user", "content": "Tale\n\nOnce"}],
            id="a document of text",
        ),
        pytest.param(
            [{"type": "document", "source": {"type": "content", "content": [text("Once"), PNG]}}],
            [{"role": "user", "content": [text("Once"), PNG_PART]}],
            id="a document of blocks",
        ),
        pytest.param(
            [{"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}}],
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "file", "file": {"filename": "document", "file_data": "data:application/pdf;base64,JVBE"}}
                    ],
                }
            ],
            id="a PDF",
        ),
        pytest.param(
            [{"type": "document", "source": {"type": "url", "url": "https://a.example/b.pdf"}, "title": "B"}],
            [{"role": "user", "content": [{"type": "file", "file": {"file_url": "https://a.example/b.pdf"}}]}],
            id="a PDF at a URL",
        ),
        pytest.param(
            [{"type": "search_result", "title": "T", "source": "S", "content": [text("found")]}],
            [{"role": "user", "content": "T\nS\n\nfound"}],
            id="a search result",
        ),
        pytest.param(
            [result(content=[{"type": "tool_reference", "tool_name": "weather"}])],
            [{"role": "tool", "tool_call_id": "toolu_1", "content": "Tool found: weather"}],
            id="tools that were found",
        ),
        pytest.param(
            [{"type": "container_upload", "file_id": "f"}],
            [{"role": "user", "content": [{"type": "container_upload", "file_id": "f"}]}],
            id="what is not known passes",
        ),
    ],
)
def test_what_the_user_says(blocks: list[Any], messages: list[Any]) -> None:
    """Block by block."""
    assert messages == user(*blocks)


@pytest.mark.parametrize(
    ("blocks", "messages"),
    [
        ([text("Hel"), text("lo")], [{"role": "assistant", "content": "Hello"}]),
        ([use()], [{"role": "assistant", "content": None, "tool_calls": [call()]}]),
        ([text("Let me see."), use()], [{"role": "assistant", "content": "Let me see.", "tool_calls": [call()]}]),
        ([use("a"), use("b", input={})], [{"role": "assistant", "content": None, "tool_calls": [call("a"), call("b", "{}")]}]),
        ([use(input=None)], [{"role": "assistant", "content": None, "tool_calls": [call(arguments="{}")]}]),
        (
            [use(cache_control={"type": "ephemeral"}, extra_content={"google": 1})],
            [{"role": "assistant", "content": None, "tool_calls": [call(extra_content={"google": 1})]}],
        ),
        (
            [{"type": "thinking", "thinking": "Hm", "signature": "x"}, {"type": "redacted_thinking", "data": "y"}, text("Hi")],
            [{"role": "assistant", "content": "Hi", "reasoning_content": "Hm"}],
        ),
        (
            [{"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}, text("Hi")],
            [{"role": "assistant", "content": "Hi"}],
        ),
        ([{"type": "thinking", "thinking": "Hm"}], []),
        ([], []),
    ],
)
def test_what_the_assistant_said(blocks: list[Any], messages: list[Any]) -> None:
    """Calls are calls, and thinking is told beside; the blocks of tools that the vendor runs are left out, and messages of
    nothing else, or of thinking alone."""
    assert messages == answered(*blocks)


def test_tools_that_the_caller_runs_are_functions() -> None:
    """Under their own names, so that calls of them are the caller's; those that the vendor runs are left out."""
    tools = [
        {"type": "bash_20250124", "name": "bash", "cache_control": {"type": "ephemeral"}},
        {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool", "max_characters": 9},
        {"type": "memory_20250818", "name": "memory"},
        {"type": "web_search_20250305", "name": "web_search"},
        {"type": "bash_code_execution", "name": ""},
    ]
    request = read(tools=tools, tool_choice={"type": "tool", "name": "bash"})
    functions = [tool["function"] for tool in request.fields["tools"]]

    assert ["bash", "str_replace_based_edit_tool", "memory"] == [function["name"] for function in functions]
    assert ["command", "restart"] == list(functions[0]["parameters"]["properties"])
    assert [["command", "path"], ["command"]] == [function["parameters"]["required"] for function in functions[1:]]
    assert {"type": "function", "function": {"name": "bash"}} == request.fields["tool_choice"]


def test_a_summary_stands_for_all_before_it() -> None:
    """The last one that says something; what follows it stays."""
    failed = {"type": "compaction", "content": None}
    got = read(
        messages=[
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": [{"type": "compaction", "content": "Old."}]},
            {"role": "assistant", "content": [text("Hi"), {"type": "compaction", "content": "They met."}, failed, text("And")]},
            {"role": "user", "content": "Go on"},
        ],
        system="Be brief.",
    ).messages

    assert [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Summary of the conversation so far:\nThey met."},
        {"role": "assistant", "content": "And"},
        {"role": "user", "content": "Go on"},
    ] == got


def test_calls_and_results_without_ids_belong_together() -> None:
    """In their order."""
    got = read(
        messages=[
            {"role": "assistant", "content": [{"type": "tool_use", "name": "f", "input": {}}, use("b")]},
            {"role": "user", "content": [{"type": "tool_result", "content": "1"}, result("b", content="2")]},
        ]
    ).messages

    assert ["call_0_0", "b"] == [each["id"] for each in got[0]["tool_calls"]]
    assert [("call_0_0", "1"), ("b", "2")] == [(each["tool_call_id"], each["content"]) for each in got[1:]]


def test_results_stand_behind_their_calls() -> None:
    """Though something is said between them: servers of chat completions refuse that."""
    got = read(
        messages=[
            {"role": "assistant", "content": [use("a"), use("b")]},
            {"role": "assistant", "content": "Meanwhile"},
            {"role": "user", "content": [result("a", content="1"), text("Look")]},
            {"role": "user", "content": [result("b", content="2")]},
        ]
    ).messages

    assert ["assistant", "tool", "tool", "assistant", "user"] == [message["role"] for message in got]


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        ("Be brief.", "Be brief."),
        ([text("Be brief."), text("Be kind.", cache_control={"type": "ephemeral"})], "Be brief.\n\nBe kind."),
        ([text("x-anthropic-billing-header: cc_version=2.1; cch=00e6;"), text("Be brief.")], "Be brief."),
        ("x-anthropic-billing-header: cch=1;\nBe brief.", "Be brief."),
    ],
)
def test_what_the_model_is_told_first(system: Any, expected: str) -> None:
    """In its order, as the first message; a line that changes each time and is for the vendor alone is left out."""
    assert [{"role": "system", "content": expected}, HELLO] == read(system=system).messages


@pytest.mark.parametrize("system", [None, "", [], [text("")]])
def test_an_empty_system_prompt_is_none(system: Any) -> None:
    """No message stands for it."""
    assert [HELLO] == read(system=system).messages


def test_what_the_system_says_first_is_one_message() -> None:
    """The chat templates of many models take no second one."""
    messages = [{"role": "system", "content": "B"}, {"role": "system", "content": [text("C")]}, HELLO]

    assert [{"role": "system", "content": "A\n\nB\n\nC"}, HELLO] == read(system="A", messages=messages).messages


def test_a_message_of_the_system_stays_in_its_place() -> None:
    """Among the others."""
    messages = [HELLO, {"role": "system", "content": [text("Now be brief.")]}, HELLO]

    assert [HELLO, {"role": "system", "content": "Now be brief."}, HELLO] == read(messages=messages).messages


def test_a_last_message_of_the_assistant_is_the_beginning_of_the_answer() -> None:
    """It stays the last."""
    begun = {"role": "assistant", "content": "The answer is ("}

    assert [HELLO, begun] == read(messages=[HELLO, begun]).messages


# ---- fields --------------------------------------------------------------------------------------------------------------

TOOL = {"name": "weather", "description": "The weather.", "input_schema": {"type": "object", "properties": {}}}
FUNCTION = {
    "type": "function",
    "function": {"name": "weather", "description": "The weather.", "parameters": {"type": "object", "properties": {}}},
}
SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
FORMAT = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}}
MANY = {"tools": [TOOL]}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({}, {"type": "object", "properties": {}}),
        ({"type": None}, {"type": "object", "properties": {}}),
        ({"type": "object", "properties": None, "required": None, "description": None}, {"type": "object", "properties": {}}),
        ({"type": "object"}, {"type": "object", "properties": {}}),
        ({"properties": {"a": {}}, "required": ["a"]}, {"type": "object", "properties": {"a": {}}, "required": ["a"]}),
        ({"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}),
        ({"anyOf": [{"type": "object"}]}, {"anyOf": [{"type": "object"}]}),
    ],
)
def test_the_schema_of_a_tool_is_an_objects(schema: Any, expected: Any) -> None:
    """Servers of chat completions refuse one that does not say so, or names no properties."""
    (tool,) = read(tools=[{**TOOL, "input_schema": schema}]).fields["tools"]

    assert expected == tool["function"]["parameters"]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {}),
        ({"temperature": 0.5, "top_p": 0.9, "top_k": 40}, {"temperature": 0.5, "top_p": 0.9, "top_k": 40}),
        ({"stop_sequences": ["\n\nHuman:"]}, {"stop": ["\n\nHuman:"]}),
        ({"stop_sequences": []}, {}),
        (MANY, {"tools": [FUNCTION]}),
        (
            {"tools": [{**TOOL, "type": "custom", "strict": True, "cache_control": {"type": "ephemeral"}}]},
            {
                "tools": [{"type": "function", "function": {**FUNCTION["function"], "strict": True}}]  # type: ignore[dict-item]
            },
        ),
        ({"tools": [SEARCH, TOOL]}, {"tools": [FUNCTION]}),
        ({"tools": [SEARCH], "tool_choice": {"type": "any"}}, {}),
        ({"tools": [], "tool_choice": {"type": "auto"}}, {}),
        ({**MANY, "tool_choice": {"type": "auto"}}, {"tools": [FUNCTION], "tool_choice": "auto"}),
        ({**MANY, "tool_choice": {"type": "any"}}, {"tools": [FUNCTION], "tool_choice": "required"}),
        ({**MANY, "tool_choice": {"type": "none"}}, {"tools": [FUNCTION], "tool_choice": "none"}),
        (
            {**MANY, "tool_choice": {"type": "tool", "name": "weather", "disable_parallel_tool_use": True}},
            {
                "tools": [FUNCTION],
                "tool_choice": {"type": "function", "function": {"name": "weather"}},
                "parallel_tool_calls": False,
            },
        ),
        ({"tools": [TOOL, SEARCH], "tool_choice": {"type": "tool", "name": "web_search"}}, {"tools": [FUNCTION]}),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, {"reasoning_effort": "low"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 5000}}, {"reasoning_effort": "medium"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 31_999}}, {"reasoning_effort": "high"}),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 31_999}, "output_config": {"effort": "low"}},
            {"reasoning_effort": "low"},
        ),
        ({"thinking": {"type": "disabled"}}, {}),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}, {"reasoning_effort": "low"}),
        ({"output_config": {"effort": "max"}}, {"reasoning_effort": "high"}),
        ({"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}, {"response_format": FORMAT}),
        ({"output_format": {"type": "json_schema", "schema": SCHEMA}}, {"response_format": FORMAT}),
        ({"metadata": {"user_id": "u-1"}}, {"user": "u-1"}),
        ({"metadata": {"user_id": None}}, {}),
        (
            {"metadata": {"user_id": "user_" + "a" * 100}},
            {"user": "63c3b01fb5dcd6a12ee21c59a9bb0e39d4ae72b2d2e4dc49ec27ed6e4d5f7a71"},
        ),
        ({"service_tier": "auto", "container": None, "context_management": {"edits": []}, "betas": ["x"], "new_field": 1}, {}),
    ],
)
def test_what_a_field_becomes(body: dict[str, Any], fields: dict[str, Any]) -> None:
    """In the words of chat completions; what has none is left out."""
    got = dict(read(**body).fields)
    if "user" in fields and len(fields["user"]) == 64:
        fields = {**fields, "user": got["user"]}
        assert 64 == len(got["user"])

    assert {"max_tokens": 9, **fields} == got


def test_the_body_is_kept_as_it_came() -> None:
    """For an upstream of the same wire: also what has no counterpart, and what is not known."""
    body = {
        "model": "llama",
        "max_tokens": 9,
        "system": [text("a", cache_control={"type": "ephemeral"})],
        "messages": [
            HELLO,
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm", "signature": "x"}]},
            HELLO,
        ],
        "thinking": {"type": "adaptive"},
        "stream": True,
        "new_field": {"a": None},
    }

    got = read_messages_request(json.dumps(body).encode())

    assert got.origin is not None
    assert ("anthropic_messages", body) == (got.origin.wire, got.origin.document)
    assert ("llama", True) == (got.model, got.stream)


def test_every_row_that_becomes_something_says_what() -> None:
    """For the reference."""
    assert all(row.becomes is not None for row in MESSAGES_REQUEST.rows.values())


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"max_tokens": ...}, "max_tokens"),
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"messages": ...}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "Hello"}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages[0].content[0].source"),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": 1}]}]},
            "messages[0].content[0].tool_use_id",
        ),
        ({"messages": [{"role": "assistant", "content": [use(input="x")]}]}, "messages[0].content[0].input"),
        ({"system": 1}, "system"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools[0].type"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"stop_sequences": "x"}, "stop_sequences"),
        ({"temperature": "hot"}, "temperature"),
        ({"stream": "yes"}, "stream"),
        ({"thinking": {}}, "thinking.type"),
        ({"metadata": {"user_id": 1}}, "metadata.user_id"),
    ],
)
def test_a_fault_is_named(body: dict[str, Any], param: str) -> None:
    """By its place in the request as it came."""
    with pytest.raises(StatusError) as caught:
        read(**body)

    assert (400, param) == (caught.value.status, caught.value.param)
    assert str(caught.value).startswith(f"{param}: ")


def test_what_is_counted_needs_no_length() -> None:
    """All else is as in a request."""
    got = read("/v1/messages/count_tokens", max_tokens=..., **MANY)

    assert ([HELLO], {"tools": [FUNCTION]}) == (got.messages, got.fields)
